/*
 * sim_internal.h - the file tree of the simulated disk, shared by sim_disk.c
 * (the calls), sim_tree.c (the two states) and sim_crash.c (what survives).
 *
 * An inode is shared by the clones of a disk and copied before it is changed.
 * Files refer to each other by number only, so that a copy can replace its
 * original.
 */
#ifndef OCH_TESTS_SIM_INTERNAL_H
#define OCH_TESTS_SIM_INTERNAL_H

#include <pthread.h>

#include "sim/sim_disk.h"
#include "sim/sim_image.h"

enum {
    SIM_NAME_SIZE = 256, /* with the NUL, as most file systems have it */
    SIM_ROOT = 1,        /* the number of the root directory */
    SIM_NOTHING = 0,     /* the number of no inode */
    SIM_TRACE = 64,      /* calls remembered */
    SIM_TRACE_PATH = 80,
};

/* Written bytes, shared by clones. */
struct sim_bytes {
    uint32_t n_owners;
    size_t size;
    unsigned char bytes[];
};

enum sim_data_kind { SIM_WRITE, SIM_RESIZE };

/* A pending change of a file. */
struct sim_data_op {
    enum sim_data_kind kind;
    uint64_t offset;         /* of a write */
    uint64_t size;           /* of a write; or the new size of the file */
    struct sim_bytes *bytes; /* of a write: shared; NULL for zeros */
};

struct sim_entry {
    uint32_t inode;
    char name[SIM_NAME_SIZE];
};

/* The names in a directory, in byte order. */
struct sim_names {
    struct sim_entry *entries; /* owned */
    size_t n;
    size_t room;
};

struct sim_inode {
    uint32_t n_owners; /* disks that share it */
    uint32_t number;
    bool is_dir;
    bool has_lost;            /* a failed sync has parted the states for good */
    struct sim_image durable; /* of a file */
    struct sim_image current;
    struct sim_data_op *ops; /* owned: pending, oldest first */
    size_t n_ops;
    size_t ops_room;
    struct sim_names durable_names; /* of a directory */
    struct sim_names current_names;
};

enum sim_name_kind { SIM_LINK, SIM_UNLINK, SIM_RENAME };

/* A name in a directory. */
struct sim_key {
    uint32_t dir;
    char name[SIM_NAME_SIZE];
};

/* A pending change of names. */
struct sim_name_op {
    enum sim_name_kind kind;
    uint32_t inode;      /* that is linked, unlinked or renamed */
    struct sim_key at;   /* the name made or removed */
    struct sim_key from; /* of a rename */
};

struct sim_call {
    uint64_t number; /* 0 when refused after a crash */
    const char *name;
    char path[SIM_TRACE_PATH]; /* its end, when it is longer */
    uint64_t offset;
    uint64_t size;
    ochre_status status;
};

struct sim_file {
    struct och_file base;
    struct sim_disk *disk;
    struct sim_file *next; /* among the open files of the disk */
    uint32_t inode;
    uint64_t life; /* the disk's when it was opened */
    bool can_write;
    bool is_locked;
    unsigned n_maps;
    char path[OCH_PATH_SIZE_MAX];
};

struct sim_disk {
    struct och_vfs base;
    pthread_mutex_t lock;      /* one call on the vfs or a file at a time */
    struct och_mem *mem;       /* borrowed */
    struct sim_inode **inodes; /* owned; the inodes shared (counted); by number */
    size_t n_inodes;
    size_t inodes_room;
    uint32_t last_number;
    struct sim_name_op *name_ops; /* owned: pending, oldest first */
    size_t n_name_ops;
    size_t name_ops_room;
    struct sim_file *files; /* open ones; each owned by whoever opened it */
    uint64_t seed;
    uint64_t capacity;
    uint64_t life;     /* raised by each recovery */
    uint64_t n_calls;  /* so far */
    uint64_t crash_at; /* the number of the first call that a crash refuses */
    enum sim_fault fault;
    uint64_t fault_in; /* calls of its kind until it strikes; 0 for never */
    bool has_failed;
    struct sim_call trace[SIM_TRACE];
    uint64_t n_traced;
};

/* --- inodes (sim_tree.c) ---------------------------------------------------- */

/* The inode, to read; NULL when it does not exist. */
struct sim_inode *sim_inode_get(const struct sim_disk *disk, uint32_t number);

/* The inode, to change: copied first when a clone shares it.  It exists. */
struct sim_inode *sim_inode_own(struct sim_disk *disk, uint32_t number);

/* A new empty inode; returns its number. */
uint32_t sim_inode_make(struct sim_disk *disk, bool is_dir);

void sim_inode_release(struct och_mem *mem, struct sim_inode *inode);

/* Forget inodes that neither state, nor a pending operation, nor an open file
 * can reach. */
void sim_collect(struct sim_disk *disk);

/* --- names ------------------------------------------------------------------ */

/* The inode a name stands for, or SIM_NOTHING. */
uint32_t sim_names_find(const struct sim_names *names, const char *name);
void sim_names_set(struct och_mem *mem, struct sim_names *names, const char *name, uint32_t inode);
void sim_names_remove(struct sim_names *names, const char *name);
void sim_names_copy(struct och_mem *mem, struct sim_names *copy, const struct sim_names *names);
void sim_names_clear(struct och_mem *mem, struct sim_names *names);

/* Do a change of names to the current state and leave it pending. */
void sim_do_names(struct sim_disk *disk, const struct sim_name_op *op);

/* Do it to the durable state. */
void sim_apply_names(struct sim_disk *disk, const struct sim_name_op *op);

/* Must `earlier`, which is pending too, be durable when `op` is? */
bool sim_depends(const struct sim_name_op *op, const struct sim_name_op *earlier);

/* Make durable what is pending for the names in this directory, and what that
 * depends on. */
void sim_sync_names(struct sim_disk *disk, uint32_t dir);

/* --- data ------------------------------------------------------------------- */

/* Do a change to the current state of a file and leave it pending. */
void sim_do_write(
        struct sim_disk *disk, uint32_t number, uint64_t offset, const void *bytes, size_t size);
void sim_do_resize(struct sim_disk *disk, uint32_t number, uint64_t size);

/* Make all that is pending for a file durable. */
void sim_sync_data(struct sim_disk *disk, uint32_t number);

/* Lose it, and take it for written. */
void sim_forget_data(struct sim_disk *disk, uint32_t number);

#endif /* OCH_TESTS_SIM_INTERNAL_H */
