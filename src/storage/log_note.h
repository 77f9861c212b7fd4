/*
 * log_note.h - what a log record of type 4 says: that the catalog is about to change, or
 * what time it is.
 *
 * A log whose files are archived has, besides writes, a note for each change of what
 * people decide (tenants, databases, collections, names, settings), so that from an older
 * state of the database every later one can be had again, by doing in order what the log
 * says.  A note comes before its change; one whose change was refused is taken back by
 * the next note.
 *
 * Bytes: docs/formats/log.md.
 *
 * Threads: any.
 */
#ifndef OCH_STORAGE_LOG_NOTE_H
#define OCH_STORAGE_LOG_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/types.h"

struct och_buf;

/* The numbers are on disk. */
enum och_note_kind {
    OCH_NOTE_BEGIN = 1,  /* changes before this, or right behind it, may have no notes */
    OCH_NOTE_TIME = 2,   /* nothing happens but time */
    OCH_NOTE_UNDONE = 3, /* the change of the note at `lsn` has not happened */
    OCH_NOTE_TENANT_CREATE = 16,
    OCH_NOTE_TENANT_NAME = 17,     /* its resource name is `name` */
    OCH_NOTE_DATABASE_CREATE = 18, /* `database`, with this id */
    OCH_NOTE_DATABASE_DELETE = 19,
    OCH_NOTE_COLLECTION_CREATE = 20,
    OCH_NOTE_COLLECTION_UPDATE = 21,
    OCH_NOTE_COLLECTION_DELETE = 22,
    OCH_NOTE_COLLECTION_FORK = 23, /* of `source` */
    OCH_NOTE_RESET = 24,
    OCH_NOTE_PIN = 25 /* of `source`; one goes as a collection does */
};

/* What a kind does not need is absent (data NULL) or zero. */
struct och_note {
    enum och_note_kind kind;
    uint64_t time_ns; /* since 1970 UTC; never less than that of the note before */
    uint64_t lsn;
    struct och_uuid id, source;
    struct ochre_bytes tenant, database, name, metadata, schema;
};

/* Is it about a change of the catalog? */
static inline bool
och_note_is_change(const struct och_note *note)
{
    return note->kind >= OCH_NOTE_TENANT_CREATE;
}

/* Put a record's payload; och_buf_status tells whether it fitted. */
void och_note_encode(const struct och_note *note, struct och_buf *buf);

/* False: not one, or of a kind that this version does not know.  Strings point into
 * `payload`. */
OCH_MUST_CHECK bool och_note_decode(struct ochre_bytes payload, struct och_note *note_out);

#endif /* OCH_STORAGE_LOG_NOTE_H */
