/*
 * tidy.h - what goes through all of a database to have its files as they should be.
 *
 * A compaction, a purge, an upgrade, a repair: one at a time, or a second one would wait for the
 * first, collection by collection.
 *
 * Threads: any; `purge` by who has begun.
 */
#ifndef OCH_API_TIDY_H
#define OCH_API_TIDY_H

#include "base/compiler.h"
#include "ochre/status.h"

struct ochre_db;

/* Errors: OCHRE_BUSY    someone is at it
 *         OCHRE_DENIED  the database was opened to be read */
OCH_MUST_CHECK ochre_status och_tidy_begin(struct ochre_db *db, struct ochre_error *err);
void och_tidy_end(struct ochre_db *db);

/* What och_op_purge does, but for what an upgrade keeps: that may have it still. */
OCH_MUST_CHECK ochre_status och_tidy_purge(struct ochre_db *db, struct ochre_error *err);

#endif /* OCH_API_TIDY_H */
