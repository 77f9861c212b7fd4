/*
 * cursor.h - the place behind a page, as text that a client hands back.
 *
 *      position | last ordinal shown | digest of what is asked | check      64 hex digits
 *
 * Nothing is remembered of a cursor: the position says what is read, and the ordinal, which
 * a record has for life, where the next page begins.  The digest is of the collection, the
 * ids and the filter, so that a cursor is not used for another question by mistake; the check
 * is of all before, so that a text that was cut or changed is noticed.  Neither is a secret:
 * who makes a cursor up reads from another place in a collection that it may read.
 *
 * Threads: any; no state.
 */
#ifndef OCH_API_CURSOR_H
#define OCH_API_CURSOR_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_select_input;

enum { OCH_CURSOR_SIZE = 64 };

struct och_cursor {
    uint64_t position;
    uint64_t ordinal;
    uint64_t digest;
};

/* What is asked, in one number. */
uint64_t och_cursor_digest(struct och_uuid collection, const struct och_select_input *select);

void och_cursor_put(const struct och_cursor *cursor, char text[OCH_CURSOR_SIZE]);

/* Errors: OCHRE_INVALID  it is no cursor, or one of another question than `digest`. */
OCH_MUST_CHECK ochre_status och_cursor_parse(struct ochre_bytes text, uint64_t digest,
        struct och_cursor *cursor_out, struct ochre_error *err);

#endif /* OCH_API_CURSOR_H */
