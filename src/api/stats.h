/*
 * stats.h - what a database holds and costs (`ochre stats`).
 *
 *      catalog, loaded collections ──► rows ─┐
 *      files that these list       ──► bytes ├─► a collection's numbers
 *      all files in the directory  ──► bytes ┴─► the database's, each file once
 *
 * Two names of one file (a fork's) are known by what the file system says of the file;
 * where it says nothing, each name counts.  No row is read: a segment that is not open is
 * opened for its table of sections.
 *
 * Threads: any.
 */
#ifndef OCH_API_STATS_H
#define OCH_API_STATS_H

#include <stddef.h>

#include "base/compiler.h"
#include "ochre/ochre.h"

struct och_arena;
struct och_buf;

struct och_stats {
    struct ochre_stats totals;
    struct ochre_collection_stats *collections; /* by tenant, database and creation */
    size_t n_collections;
    size_t n_pins; /* behind the collections: as those, of what pins hold */
};

/*
 * Of `db` as it is now; what *stats_out points to lies in the arena.
 *
 * Errors: OCHRE_CORRUPT (the catalog), OCHRE_IO, OCHRE_NO_MEMORY, and those of
 *         och_db_be_current.  A collection that cannot be used is no error: it says why.
 */
OCH_MUST_CHECK ochre_status och_op_stats(struct ochre_db *db, struct och_arena *arena,
        struct och_stats *stats_out, struct ochre_error *err);

/* As one JSON object: "collections", "databases" (their sums) and "totals". */
void och_stats_put_json(struct och_buf *buf, const struct och_stats *stats);

#endif /* OCH_API_STATS_H */
