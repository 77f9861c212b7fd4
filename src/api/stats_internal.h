/*
 * stats_internal.h - the files of a database, each once.
 *
 * Threads: one at a time.
 */
#ifndef OCH_API_STATS_INTERNAL_H
#define OCH_API_STATS_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "api/stats.h"
#include "base/buf.h"

struct och_file;
struct och_mem;
struct och_segment;
struct och_vfs;

enum och_tally_kind {
    OCH_TALLY_SEGMENT, /* listed by a collection, as is */
    OCH_TALLY_DELETES,
    OCH_TALLY_UNLISTED, /* lies where such files do */
    OCH_TALLY_LOG,
    OCH_TALLY_CATALOG,
    OCH_TALLY_RESERVE,
    OCH_TALLY_OTHER
};

/* One name of a file. */
struct och_tally_file {
    uint64_t identity[2]; /* equal: the same file */
    enum och_tally_kind kind;
    uint32_t collection; /* its index; OCH_TALLY_NOBODY */
    uint64_t size, live;
    struct ochre_file_bytes bytes; /* of one that is listed */
};

#define OCH_TALLY_NOBODY UINT32_MAX

struct och_tally {
    struct och_mem *mem;          /* borrowed */
    struct och_vfs *vfs;          /* borrowed */
    struct och_tally_file *files; /* owned */
    size_t n_files, room;
    /* While the directory is walked: */
    struct och_buf dirs; /* those to come, each with its NUL */
    const char *dir;
    struct ochre_error *err;
};

void och_tally_init(struct och_tally *tally, struct och_mem *mem, struct och_vfs *vfs);
void och_tally_clear(struct och_tally *tally);

/* Sizes of an open segment of which so many rows are alive. */
void och_tally_measure(
        const struct och_segment *segment, uint64_t n_alive, struct och_tally_file *file_out);

/* Add a file that a collection lists; its identity is found out: of `open`, or, if that is
 * NULL, of the file at `path`, whose size is found out as well. */
OCH_MUST_CHECK ochre_status och_tally_add(struct och_tally *tally, struct och_tally_file *file,
        struct och_file *open, const char *path, struct ochre_error *err);

/* Add every file there is. */
OCH_MUST_CHECK ochre_status och_tally_walk(struct och_tally *tally, struct ochre_error *err);

/* The bytes of all files in `vfs`, each name counted. */
OCH_MUST_CHECK ochre_status och_tally_bytes(
        struct och_mem *mem, struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err);

/* Sum up, into the totals and what collections share. */
void och_tally_sum_up(struct och_tally *tally, struct och_stats *stats);

#endif /* OCH_API_STATS_INTERNAL_H */
