/*
 * backup_stream.h - a backup as one stream of bytes, and the database out of it again.
 *
 *      database ── och_backup_stream_read, read, read ──>  bytes  ── och_restore_stream ──> database
 *
 * The stream is asked for: whoever takes its bytes decides how fast, and what is
 * between the files and him is one block.  Its length is known before its first byte.
 * All of it is under checksums; a stream that was cut, damaged or put together of two
 * is refused, and what was restored of it by then is removed.
 *
 * The format: docs/formats/backup.md.
 *
 * Threads: one at a time a stream.
 */
#ifndef OCH_API_BACKUP_STREAM_H
#define OCH_API_BACKUP_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "api/backup.h"
#include "base/compiler.h"
#include "ochre/status.h"

struct och_backup_stream;

/*
 * Begin a stream of the database in `from`: check it, and hash its files.  Where another
 * process has it, it is read beside that, as it is at one moment (api/held_files.h).
 *
 * Errors: those of och_backup_vfs but OCHRE_EXISTS; OCHRE_BUSY only if another process
 *         restores or backs up to `from`
 * Cost:   all files are read twice before the first byte.
 */
OCH_MUST_CHECK ochre_status och_backup_stream_open(const struct och_backup_options *options,
        struct och_vfs *from, struct och_backup_stream **stream_out, struct ochre_error *err);

/* The same of a directory of the file system. */
OCH_MUST_CHECK ochre_status och_backup_stream_open_directory(
        const struct och_backup_options *options, const char *from,
        struct och_backup_stream **stream_out, struct ochre_error *err);

/*
 * The same of an open database, which goes on; it keeps the files until the stream is
 * closed.
 *
 * Errors: also OCHRE_BUSY: OCH_BACKUP_STREAMS_MAX are open
 */
OCH_MUST_CHECK ochre_status och_backup_stream_open_database(
        const struct och_backup_options *options, struct ochre_db *db,
        struct och_backup_stream **stream_out, struct ochre_error *err);

/* NULL is fine. */
void och_backup_stream_close(struct och_backup_stream *stream);

/* Bytes of all of it. */
uint64_t och_backup_stream_size(const struct och_backup_stream *stream);

/* What it has; n_files_copied and n_bytes_copied count the contents put so far. */
struct och_backup_totals och_backup_stream_totals(const struct och_backup_stream *stream);

/*
 * The next bytes, `size` at most; *n_out is 0 at the end only.
 *
 * Errors: OCHRE_CORRUPT      a file is not what it was when it was hashed
 *         OCHRE_UNAVAILABLE  told to stop
 *         OCHRE_IO
 * After an error the stream is of no use, and what was read of it is refused by who
 * restores.
 */
OCH_MUST_CHECK ochre_status och_backup_stream_read(struct och_backup_stream *stream, void *bytes,
        size_t size, size_t *n_out, struct ochre_error *err);

/* Where the bytes of a stream come from. */
struct och_backup_input {
    /* Read `size` bytes; *n_read_out is less at the end only. */
    ochre_status (*read)(
            void *context, void *bytes, size_t size, size_t *n_read_out, struct ochre_error *err);
    void *context;
};

/*
 * Make the database of a stream in `to`, which must be empty or what a restore that was
 * killed left.  FORMAT comes last, when all that came before was verified and read back,
 * and the stream has ended as it should.
 *
 * Errors: OCHRE_INVALID   not such a stream
 *         OCHRE_CORRUPT   damaged or cut; the message names the file
 *         OCHRE_EXISTS    `to` is not empty
 *         OCHRE_BUSY      a process restores to it
 *         OCHRE_UNSUPPORTED OCHRE_TOO_LARGE OCHRE_IO OCHRE_FULL OCHRE_NO_MEMORY
 * After an error `to` is as empty as it was, if the disk still answers.
 */
OCH_MUST_CHECK ochre_status och_restore_stream_vfs(const struct och_backup_options *options,
        const struct och_backup_input *input, struct och_vfs *to,
        struct och_backup_totals *totals_out, struct ochre_error *err);

/*
 * The same for a directory of the file system.  If `to` is not there, it gets its name
 * when the database is whole and durable: until then it is `to`.restoring.
 */
OCH_MUST_CHECK ochre_status och_restore_stream(const struct och_backup_options *options,
        const struct och_backup_input *input, const char *to, struct och_backup_totals *totals_out,
        struct ochre_error *err);

#endif /* OCH_API_BACKUP_STREAM_H */
