/*
 * wal_follow.h - reading the log while another process writes it.
 *
 * A follower visits each record once, in order, as soon as it is known to be durable:
 * a group after it says so, or a newer file.  Of the last group nothing says so; if
 * the follower still finds it last when it looks again, or is told not to wait, it
 * syncs the file itself.  A group that is not whole is not there yet.
 *
 *      visited │ known to be durable │ whole, last │ half written   zeros ..
 *              │ visited by the next look          │ left alone
 *
 * Nothing in the directory is changed.  docs/decisions/0017 has the reasoning.
 *
 * Threads: one at a time.
 */
#ifndef OCH_STORAGE_WAL_FOLLOW_H
#define OCH_STORAGE_WAL_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "storage/log_record.h"
#include "storage/wal.h"

struct och_wal_follower;

/* Of the log that `options` name (mem, vfs, database), from its first record on.
 * Nothing is read yet. */
OCH_MUST_CHECK ochre_status och_wal_follower_open(const struct och_wal_options *options,
        struct och_wal_follower **follower_out, struct ochre_error *err);
void och_wal_follower_close(struct och_wal_follower *follower); /* NULL is fine */

/*
 * Visit the records since those visited.  With `now` the last group is not waited for.
 * A visit that fails ends it, and its record is visited again by the next look.
 *
 * *lost_out: records to come are gone, because the log was trimmed, or some that were
 * visited are not of the log any more, because a newer file overrides them.  Only
 * och_wal_follower_rewind helps.
 *
 * Errors: OCHRE_CORRUPT  as och_wal_open; also where a header is just being written,
 *                        which the next look finds whole
 *         OCHRE_IO, OCHRE_NO_MEMORY, and those of `visit`
 * Cost:   without news: a listing, and a read of a few bytes.
 */
OCH_MUST_CHECK ochre_status och_wal_follow(struct och_wal_follower *follower, bool now,
        och_log_visit visit, void *context, bool *lost_out, struct ochre_error *err);

/* Visit those of the visited records again that have this LSN or a higher one, and are
 * still there.  *lost_out: a file went away meanwhile.  Cost: reads the log from that
 * record's file on. */
OCH_MUST_CHECK ochre_status och_wal_revisit(struct och_wal_follower *follower, uint64_t lsn,
        och_log_visit visit, void *context, bool *lost_out, struct ochre_error *err);

/* Visit the files that hold the visited records, the oldest first, with the bytes of each
 * that count (UINT64_MAX: all it has).  As och_wal_each_file. */
OCH_MUST_CHECK ochre_status och_wal_follower_each_file(
        const struct och_wal_follower *follower, och_wal_visit_file visit, void *context);

/* Begin anew, with the first record there is. */
void och_wal_follower_rewind(struct och_wal_follower *follower);

/* The LSN of the next record to visit; 1 when none was visited. */
uint64_t och_wal_follower_next_lsn(const struct och_wal_follower *follower);

#endif /* OCH_STORAGE_WAL_FOLLOW_H */
