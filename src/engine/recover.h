/*
 * recover.h - from log to collections, when an engine opens.
 *
 * Threads: the opening one.
 */
#ifndef OCH_ENGINE_RECOVER_H
#define OCH_ENGINE_RECOVER_H

#include <stdbool.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_collection;
struct och_engine;
struct och_log_record;

/* Append a record that says that all before it are durable, so that damage to the
 * newest of them is not taken for a torn end.  Nothing depends on its success. */
void och_engine_vouch(struct och_engine *engine);

/*
 * Apply a record, which is the next one of its collection and not in its segments, and
 * show it.
 *
 * Errors: OCHRE_CORRUPT  it, or a row that it changes, is damaged, or it is not the next
 *         OCHRE_IO, OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_recover_apply(struct och_collection *collection,
        const struct och_log_record *record, bool damaged, struct ochre_error *why);

/*
 * Open the log and apply every record that the catalog's states do not hold
 * yet.  A record that cannot be applied, for damage of its own or of the rows
 * it changes, makes its collection answer with that failure; the others go on.
 *
 * Errors: what makes the whole database unusable.
 */
OCH_MUST_CHECK ochre_status och_recover(struct och_engine *engine, struct ochre_error *err);

#endif /* OCH_ENGINE_RECOVER_H */
