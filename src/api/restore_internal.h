/*
 * restore_internal.h - what restoring from a stream needs besides restore.c.
 *
 * Threads: one at a time.
 */
#ifndef OCH_API_RESTORE_INTERNAL_H
#define OCH_API_RESTORE_INTERNAL_H

#include <stdint.h>

#include "api/backup_internal.h"
#include "api/backup_stream.h"
#include "api/beside.h"
#include "api/hold.h"
#include "os/vfs.h"
#include "storage/backup_manifest.h"
#include "storage/directory.h"

/* Stands in a directory from before the first file until FORMAT is there. */
#define OCH_RESTORE_MARK OCH_DIR_RESTORING
#define OCH_RESTORE_PART OCH_DIR_TMP "/restore"
#define OCH_RESTORE_CATALOG "catalog.db"

/* A stream that is being read: the bytes of one member after another. */
struct och_stream_source {
    struct och_file file; /* first: what is open is this */
    const struct och_backup_input *input;
    const struct och_backup_member *member; /* borrowed: whose bytes are next */
    uint64_t offset;                        /* in it */
};

struct och_stream_source och_stream_source_of(const struct och_backup_input *input);

/* Read head and manifest.  Memory is taken as bytes come, whatever the head says. */
OCH_MUST_CHECK ochre_status och_stream_source_begin(struct och_stream_source *stream,
        struct och_mem *mem, struct och_backup_manifest *manifest, struct ochre_error *err);

/* The file of a member whose bytes come next, to be read once, from its beginning to its
 * end.  Borrowed, not to be closed. */
struct och_file *och_stream_source_open(
        struct och_stream_source *stream, const struct och_backup_member *member);

/* OCHRE_CORRUPT unless what follows is the end, and nothing behind it. */
OCH_MUST_CHECK ochre_status och_stream_source_end(
        struct och_stream_source *stream, uint64_t manifest_hash, struct ochre_error *err);

/* Read what is left of the stream, for who writes it: nothing of it is wanted any more. */
void och_stream_source_drain(struct och_stream_source *stream, uint64_t size_max);

/* Who restores, or clears what a killed restore left, holds the directory as this. */
extern const struct och_hold_kind och_restore_kind;

extern const struct och_beside_kind och_restore_beside;

/*
 * Begin to put a database together that gets the name `to`, which is not there.  What a
 * restore to it left that was killed goes first, and then *redone_out is set; but where
 * that is all that `copier` restores (NULL: nothing would be), *vfs_out is NULL, and it only
 * lacks its name.
 *
 * Errors: those of och_beside_begin and och_beside_make
 */
OCH_MUST_CHECK ochre_status och_restore_begin_beside(struct och_mem *mem, const char *to,
        struct och_copier *copier, struct och_beside **beside_out, struct och_vfs **vfs_out,
        bool *redone_out, struct ochre_error *err);

/*
 * Is all that the copier's manifest lists in `vfs`, byte for byte, with nothing that opening it
 * to write to it would have added?  Then totals.is_finished is set.
 *
 * Cost: reads all of it, as far as it is there.
 */
OCH_MUST_CHECK ochre_status och_restore_is_whole(
        struct och_copier *copier, struct och_vfs *vfs, bool *whole_out, struct ochre_error *err);

/*
 * A restore of this backup straight to `vfs` that was killed when FORMAT was there has left
 * its mark beside it, which whoever opens the database to write to it would have removed:
 * where all of it is there, do what is left to do.
 *
 * Errors: OCHRE_BUSY  a process restores to it, or has it; OCHRE_IO ...
 */
OCH_MUST_CHECK ochre_status och_restore_finish(struct och_copier *copier, struct och_vfs *vfs,
        bool *finished_out, struct ochre_error *err);

/* Remove what a restore puts into a directory, and what opening it there
 * adds, FORMAT first and the mark last.  What does
 * not go stays, and keeps the mark. */
void och_restore_clear(struct och_vfs *vfs);

/*
 * The same for what a restore left that was killed: with a mark that nobody holds, and
 * without FORMAT.  Anything else is left alone.
 *
 * Errors: OCHRE_BUSY  a process restores to it; OCHRE_IO
 */
OCH_MUST_CHECK ochre_status och_restore_clear_leftover(
        struct och_vfs *vfs, struct ochre_error *err);

#endif /* OCH_API_RESTORE_INTERNAL_H */
