/*
 * limits.h - every limit in ochre, its value and its reason.
 *
 * Each is checked before anything is logged, answered with a status that names
 * the field, the value and the limit, and tested at, below and above.
 */
#ifndef OCH_BASE_LIMITS_H
#define OCH_BASE_LIMITS_H

#include <assert.h>
#include <stdint.h>

/* --- records ------------------------------------------------------------- */

/* Above every embedding model known; a row stays far below a page of 4 GiB maths. */
#define OCH_DIM_MAX 65535u
/* An id is compared on every write; a kilobyte is generous and keeps it one cache line walk. */
#define OCH_ID_SIZE_MAX 1024u
#define OCH_DOCUMENT_SIZE_MAX (16u << 20)
#define OCH_URI_SIZE_MAX (64u << 10)
#define OCH_KEY_SIZE_MAX 256u
#define OCH_STRING_VALUE_SIZE_MAX (1u << 20)
#define OCH_KEYS_PER_RECORD_MAX 1024u
#define OCH_LIST_VALUE_MAX 65536u
/* One record's encoded metadata; bounds the work of one merge. */
#define OCH_METADATA_SIZE_MAX (16u << 20)
/* One write request becomes one log record, which must fit a log file. */
#define OCH_WRITE_SIZE_MAX (48u << 20)
/* Advertised to clients, as the reference does; larger batches are accepted. */
#define OCH_BATCH_ADVERTISED 5461u

/* --- names --------------------------------------------------------------- */

#define OCH_NAME_SIZE_MIN 3u
#define OCH_NAME_SIZE_MAX 512u
#define OCH_TENANT_SIZE_MAX 1024u

/* --- filters ------------------------------------------------------------- */

/* The wire cannot nest deeper anyway (127 levels); clauses bound the work per row. */
#define OCH_FILTER_NODES_MAX 16384u
#define OCH_FILTER_LIST_MAX 65536u
#define OCH_TEXT_PATTERN_SIZE_MAX (64u << 10)
#define OCH_REGEX_NESTING_MAX 250u
#define OCH_REGEX_PROGRAM_MEMORY_MAX (8u << 20)

/* --- vector search --------------------------------------------------------- */

/* What people expect of a search that nobody tuned. */
#define OCH_RECALL_TARGET_DEFAULT 0.99
/* Candidates that a walk keeps: past this an exact scan is cheaper. */
#define OCH_EFFORT_MAX 65536u

/* --- requests ------------------------------------------------------------ */

#define OCH_BODY_SIZE_MAX (40u << 20) /* the reference's 41,943,040 bytes */
#define OCH_JSON_TOKEN_SIZE_MAX (40u << 20)
#define OCH_COLLECTION_METADATA_SIZE_MAX (1u << 20)
#define OCH_SCHEMA_SIZE_MAX (1u << 20)
#define OCH_QUERIES_PER_REQUEST_MAX 8192u
/* One read's own memory: lists of hits and what is decoded for them. */
#define OCH_RESULT_MEMORY_MAX ((size_t) 1 << 30)

/* --- storage ------------------------------------------------------------- */

#define OCH_HEAD_ROWS_MAX 8192u
#define OCH_HEAD_BYTES_MAX (32u << 20)
#define OCH_HEAD_DEAD_MIN (1u << 20) /* a head of so many bytes, all dead, is sealed at once */
#define OCH_LOG_FILE_SIZE_MIN (1u << 20)
/* Files of the log grow to so much: there are two, and with the reserve they are 80 MiB. */
#define OCH_LOG_FILE_SIZE_GROWN (32u << 20)
#define OCH_LOG_FILE_SIZE_MAX (64u << 20) /* one large write may need a longer one */
#define OCH_LOG_SIZE_SEAL (256u << 20)    /* past this the oldest heads are sealed */
/* What is kept of the disk for deleting when it is full (engine/space.h): a sixteenth
 * of what is free, but enough for a small segment, a log file and a transaction or two,
 * each of which takes twice the catalog's pages that it changes. */
#define OCH_RESERVE_SIZE_MIN ((uint64_t) 512 << 10)
#define OCH_RESERVE_SIZE_MAX ((uint64_t) 16 << 20)
#define OCH_PAGE_SIZE 65536u /* the unit of a checksum in a segment */
#define OCH_SEGMENT_ROWS_MAX (1u << 24)
#define OCH_SEGMENT_OVERHEAD ((uint64_t) 128 << 10) /* a file's beside its rows, at most */
/* Merging (engine/merge_policy.h): an index over more rows takes too long to build
 * at once, and a larger file too long to copy. */
#define OCH_MERGE_FAN_IN 8u
#define OCH_MERGE_ROWS_MAX (1u << 22)
#define OCH_MERGE_BYTES_MAX ((uint64_t) 64 << 30)
#define OCH_MERGE_DEAD_PERCENT 20u
#define OCH_SMALL_SEGMENT_ROWS (1u << 19) /* the ids of larger ones are in no filter */
/* Nobody writes: after so long without a write, heads of so many rows are sealed: from
 * there on a segment has codes, and scanning those costs a fifth of scanning the head. */
#define OCH_IDLE_MS 1000u
#define OCH_IDLE_ROWS_MIN 512u
/* A collection is noted as being at rest when it has not written between two looks that are
 * so far apart; writing again then costs one more sync. */
#define OCH_REST_MS 5000u
/* Reading beside a writer: the background looks so often for what is new; a call that
 * finds the last look older looks itself, so that no answer is later than 100 ms; and one
 * says that looking fails when it has done so for longer. */
#define OCH_FOLLOW_MS 15u
#define OCH_FOLLOW_LATE_MS 40u
#define OCH_FOLLOW_FAIL_MS 1000u
/* `ochre run` purges so often: what was deleted is gone from files after as many hours. */
#define OCH_PURGE_HOURS 24u
#define OCH_PURGE_HOURS_MAX 8760u /* of scrubs, too: a year */
/* `ochre run` reads all files again so often, to find what a disk has lost, and at this
 * rate; it begins an hour after the start. */
#define OCH_SCRUB_HOURS 168u
#define OCH_SCRUB_RATE ((uint64_t) 32 << 20) /* bytes a second: a tenth of a slow disk's */
#define OCH_SCRUB_RATE_MAX_MB 1000000u
#define OCH_SCRUB_FINDINGS_MAX 100u /* that are remembered; all are logged */
/* Reading at a rate: so much of what is due is waited for at once, and so long in one go,
 * that is, until it is seen that there is no more need to. */
#define OCH_PACE_BURST_MS 20u
#define OCH_PACE_WAIT_MS 100u

/* The past that may be read (engine/history.h): so many seconds of it, while it takes no more
 * memory than a sixteenth of what the database has, within these bounds, so that what is
 * resident stays flat; and no more than this of the disk (files that merges have replaced; what
 * is there beside the records has 128 MiB in all). */
#define OCH_RETAIN_SECONDS 300u
#define OCH_RETAIN_SECONDS_MAX 86400u
#define OCH_RETAIN_MEMORY_SHARE 16u
#define OCH_RETAIN_MEMORY_MIN ((uint64_t) 4 << 20)
#define OCH_RETAIN_MEMORY_MAX ((uint64_t) 16 << 20)
#define OCH_RETAIN_DISK_MAX ((uint64_t) 32 << 20)
/* Who pages through a position comes again within so many seconds, or has given up. */
#define OCH_RETAIN_LEASE_SECONDS 60u
/* Pins of one collection: each keeps files that merges would have replaced, and is asked for
 * when a position is not there. */
#define OCH_PINS_MAX 64u

/* A backup's list of files is read into memory: 96 bytes each, and 112 at most on disk. */
#define OCH_BACKUP_MEMBERS_MAX (1u << 22)
#define OCH_BACKUP_MANIFEST_SIZE_MAX (512u << 20)
#define OCH_BACKUP_BLOCK_SIZE (1u << 20) /* the unit in which files are read and hashed */
#define OCH_BACKUP_STREAMS_MAX 2u        /* of one database at a time */
/* While the log is archived it says what time it is, so often while there are writes: a
 * point in time is found to so much. */
#define OCH_ARCHIVE_TIME_MS 100u
/* `ochre run` copies so often what is new in the log. */
#define OCH_ARCHIVE_SECONDS 60u

static_assert(OCH_WRITE_SIZE_MAX < OCH_LOG_FILE_SIZE_MAX, "one request fits one log file");

/* --- HTTP ---------------------------------------------------------------- */

#define OCH_HTTP_REQUEST_LINE_MAX 8192u
#define OCH_HTTP_HEADER_MAX 16384u
#define OCH_HTTP_HEADERS_SIZE_MAX 32768u
#define OCH_HTTP_HEADERS_MAX 100u
#define OCH_HTTP_CONNECTIONS_MAX 1024u
#define OCH_HTTP_CONNECTIONS_PER_ADDRESS_MAX 1024u /* loopback is one address */
#define OCH_HTTP_HEADER_TIMEOUT_MS 10000u
#define OCH_HTTP_BODY_RATE_MIN 1024u /* bytes a second, after the grace time */
#define OCH_HTTP_BODY_GRACE_MS 5000u
/* Who takes a streamed answer keeps files and log of the database from being removed: 2 Mbit/s
 * on average are the least, after the grace time. */
#define OCH_HTTP_STREAM_RATE_MIN 262144u /* bytes a second */
#define OCH_HTTP_STREAM_GRACE_MS 60000u
#define OCH_HTTP_IDLE_TIMEOUT_MS 75000u
#define OCH_HTTP_TOTAL_TIMEOUT_MS 600000u
#define OCH_HTTP_BODIES_MEMORY_MAX ((uint64_t) 256 << 20)
/* What may keep the other connections of a thread waiting. */
#define OCH_HTTP_SHORT_NS 1000000u
#define OCH_HTTP_SHORT_BODY_MAX 65536u

#endif /* OCH_BASE_LIMITS_H */
