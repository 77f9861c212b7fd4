/*
 * notes.h - the port to whoever wants to know how the catalog changes, before it does.
 *
 * Only changes of what people decide are told, not the lists of segments, which are
 * derived.  They are told by the committer, so that no write is between a note and its
 * change: a note and the writes around it are in the order in which all of it happened.
 *
 * Threads: the committer's.
 */
#ifndef OCH_ENGINE_NOTES_H
#define OCH_ENGINE_NOTES_H

#include "base/compiler.h"
#include "ochre/status.h"
#include "storage/log_note.h"

struct och_notes {
    /* It is about to happen.  When this fails it must not. */
    ochre_status (*before)(
            struct och_notes *notes, const struct och_note *note, struct ochre_error *err);
    /* It has happened, or the catalog has said that it has not. */
    void (*after)(struct och_notes *notes, const struct och_note *note, ochre_status status);
};

/* `notes` NULL: nobody wants to know. */
OCH_MUST_CHECK static inline ochre_status
och_notes_before(struct och_notes *notes, const struct och_note *note, struct ochre_error *err)
{
    return notes == NULL ? OCHRE_OK : notes->before(notes, note, err);
}

static inline void
och_notes_after(struct och_notes *notes, const struct och_note *note, ochre_status status)
{
    if (notes != NULL)
        notes->after(notes, note, status);
}

#endif /* OCH_ENGINE_NOTES_H */
