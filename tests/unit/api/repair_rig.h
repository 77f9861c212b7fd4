/*
 * repair_rig.h - a database of three collections on the simulated disk, a model of each after
 * every write, and damage.
 *
 * A record says in its vector and in its document which write each is of, so that what is
 * found can be told from what never was.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_UNIT_API_REPAIR_RIG_H
#define OCH_TESTS_UNIT_API_REPAIR_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/ops.h"
#include "base/mem.h"
#include "engine/write.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"

struct och_kernels;
struct ochre_db;

enum {
    N_COLLECTIONS = 3,
    N_IDS = 48,
    STEPS_MAX = 96,
    DIM = 3,
    HEAD_ROWS = 20,
    DOCUMENT_SIZE = 9000,
    FILES_MAX = 64,
    NAME_SIZE = 128,
    FOUND_MAX = 512
};

extern const char *const rig_names[N_COLLECTIONS];

/* A record, as the model has it: which write its vector and its document are of. */
struct record {
    uint8_t vector, document; /* 0: it is not there */
};

/* A collection after each of its writes; position 0: empty. */
struct model {
    struct record states[STEPS_MAX][N_IDS];
    unsigned n; /* the newest position */
    struct och_target target;
    char dir[NAME_SIZE];
};

struct fixture {
    struct och_mem own, mem;
    struct sim_machine machine;
    struct sim_disk *disk;
    struct ochre_db *db;
    struct model models[N_COLLECTIONS];
    uint64_t seed;
    struct ochre_error err;
};

struct files {
    struct och_vfs *vfs;
    char dir[NAME_SIZE];
    char paths[FILES_MAX][NAME_SIZE];
    uint64_t sizes[FILES_MAX];
    char dirs[FILES_MAX][NAME_SIZE];
    size_t n, n_dirs;
};

struct ochre_bytes rig_text(const char *string);
const struct och_kernels *rig_kernels(void);
ochre_status rig_open_db(struct fixture *f, struct sim_disk *disk);
void rig_close_db(struct fixture *f);
void rig_create(struct fixture *f, unsigned c);
/* Write n records from id `first` on; `partial`: documents only, which merge. */
void rig_write_records(struct fixture *f, unsigned c, enum och_write_op op, unsigned first,
        unsigned n, bool partial);

void rig_delete_records(struct fixture *f, unsigned c, unsigned first, unsigned n);
void rig_write_something(struct fixture *f, unsigned c);
void rig_seal(struct fixture *f);
void rig_begin(struct fixture *f, uint64_t seed);
void rig_end(struct fixture *f);
/* Segments with delete files, and records in the log, of random writes. */
void rig_fill(struct fixture *f);

/* All files, and a hash of their names and bytes. */
uint64_t rig_list_files(struct fixture *f, struct sim_disk *disk, struct files *files);

void rig_zero(struct sim_disk *disk, const char *path, uint64_t offset, size_t size);
void rig_cut(struct sim_disk *disk, const char *path, uint64_t size);
bool rig_begins_with(const char *path, const char *with);
bool rig_ends_with(const char *path, const char *with);
bool rig_is_same(struct record a, struct record b);
/* What the collection of this name has; false when there is none. */
bool rig_read_collection(struct fixture *f, const char *name, struct record state[N_IDS]);

/* Was the record ever so? */
bool rig_ever_was(const struct model *model, unsigned id, struct record record);

/* The newest position at which the collection was this; 0: never. */
unsigned rig_position_of(const struct model *model, const struct record state[N_IDS]);

/* The first file with this ending below a collection's directory. */
const char *rig_find_file(const struct files *files, const char *dir, const char *ending);

/* Where these bytes stand in a file; they do. */
uint64_t rig_find_bytes(struct fixture *f, const char *path, const char *bytes);

#endif /* OCH_TESTS_UNIT_API_REPAIR_RIG_H */
