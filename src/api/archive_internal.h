/*
 * archive_internal.h - an open archive: noting and copying.
 */
#ifndef OCH_API_ARCHIVE_INTERNAL_H
#define OCH_API_ARCHIVE_INTERNAL_H

#include <stdatomic.h>

#include "api/archive.h"
#include "base/buf.h"
#include "engine/notes.h"
#include "os/thread.h"
#include "storage/log_record.h"

/* Records of a group, and what is put before them. */
enum { OCH_ARCHIVE_GROUP_MAX = 256, OCH_ARCHIVE_BEFORE_MAX = 2 };

/* What the next group has to say first. */
enum och_archive_owed {
    OCH_OWED_NOTHING,
    OCH_OWED_UNDONE, /* that the change at owed_lsn has not happened */
    OCH_OWED_ANSWER, /* whether it has: the catalog could not tell, and is asked again */
    OCH_OWED_BEGIN,  /* that it is not known what happened until now */
};

struct och_archive {
    struct och_record_log port; /* first: the engine's log is ours */
    struct och_notes notes;
    struct och_archive_options options;
    struct och_engine *engine; /* borrowed; NULL: not open yet */
    bool has_begun;            /* the archive may be written to */
    struct och_uuid history;   /* as in the mark: another one after a restore, or a gap */

    /* The committer's: */
    struct och_record_log *log; /* owned: the database's */
    enum och_archive_owed owed;
    uint64_t owed_lsn; /* of the note that is to be taken back, or may be */
    uint64_t last_ns;  /* time of the newest note */
    uint64_t note_lsn; /* of the note whose change is under way */
    struct och_log_record records[OCH_ARCHIVE_GROUP_MAX + OCH_ARCHIVE_BEFORE_MAX];
    struct och_buf before[OCH_ARCHIVE_BEFORE_MAX]; /* payloads of what is put before */
    struct och_buf note;

    struct och_buf
            open_note; /* payload of the note at owed_lsn; while the log is opened, open_lsn */

    /* While the log is opened: */
    och_log_visit visit;
    void *visit_context;
    uint64_t open_lsn; /* of the newest note of a change, if nothing came after it */

    _Atomic uint64_t archived_lsn; /* records below it are in the archive */
    _Atomic uint64_t copied_ns, n_failures;
    struct och_mutex lock;         /* one copy at a time; guards: */
    uint64_t file_number, file_at; /* what was copied last */
    bool rewrites; /* what reads back right behind that may not be durable: a sync has failed */
};

/* By the committer: put a note of its own into the log. */
OCH_MUST_CHECK ochre_status och_archive_note(
        struct och_archive *archive, const struct och_note *note, struct ochre_error *err);

/* Is the catalog as the note says, whoever made it so? */
OCH_MUST_CHECK ochre_status och_archive_is_done(struct och_catalog *catalog, struct och_mem *mem,
        const struct och_note *note, bool *done_out, struct ochre_error *err);

#endif /* OCH_API_ARCHIVE_INTERNAL_H */
