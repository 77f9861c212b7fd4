#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/archive_internal.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/write.h"
#include "os/clock.h"
#include "os/vfs.h"

#define LOG_DIR "log"
#define STATE "STATE"
#define STATE_PART "STATE.part"
#define PAGE ((size_t) 4096)
#define BLOCK ((size_t) 256 * 1024)
enum {
    PATH_SIZE = 32,
    STATE_SIZE = 80,
    HASH_AT = 72,
    MARK_SIZE = 24,
    STATE_MAJOR = 1,
    MAGIC_SIZE = 16
};

static const char state_magic[MAGIC_SIZE] = "ochre archive";

/* --- STATE ------------------------------------------------------------------------ */

/* 0 magic 16 | 16 u32 major | 20 u32 minor | 24 uuid 16 | 40 history 16 | 56 u64 next lsn |
 * 64 u64 time | 72 u64 XXH3 of all before */

ochre_status
och_archive_read_state(
        struct och_vfs *vfs, struct och_archive_reached *reached_out, struct ochre_error *err)
{
    struct och_file *file = NULL;
    char bytes[STATE_SIZE] = {0};
    size_t n_read = 0;
    *reached_out = (struct och_archive_reached){.next_lsn = 0};
    ochre_status status = och_vfs_open(vfs, STATE, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_OK)
        status = och_file_read(file, 0, bytes, sizeof(bytes), &n_read, err);
    och_file_close(file);
    if (status != OCHRE_OK)
        return status;
    if (n_read < STATE_SIZE || memcmp(bytes, state_magic, MAGIC_SIZE) != 0 ||
            och_load_u64(bytes + HASH_AT) != och_hash64(bytes, HASH_AT))
        return och_fail(err, OCHRE_CORRUPT, "the archive's STATE is damaged");
    if (och_load_u32(bytes + 16) != STATE_MAJOR)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "the archive has format %u; this version of ochre reads format %d",
                (unsigned) och_load_u32(bytes + 16), STATE_MAJOR);
    memcpy(reached_out->database.bytes, bytes + 24, sizeof(reached_out->database.bytes));
    memcpy(reached_out->history.bytes, bytes + 40, sizeof(reached_out->history.bytes));
    reached_out->next_lsn = och_load_u64(bytes + 56);
    reached_out->time_ns = och_load_u64(bytes + 64);
    return OCHRE_OK;
}

static ochre_status
write_state(
        struct och_archive *archive, uint64_t next_lsn, uint64_t time_ns, struct ochre_error *err)
{
    struct och_vfs *vfs = archive->options.vfs;
    struct och_file *file = NULL;
    char bytes[STATE_SIZE] = {0};
    memcpy(bytes, state_magic, MAGIC_SIZE);
    och_store_u32(bytes + 16, STATE_MAJOR);
    memcpy(bytes + 24, archive->options.database.bytes, sizeof(archive->options.database.bytes));
    memcpy(bytes + 40, archive->history.bytes, sizeof(archive->history.bytes));
    och_store_u64(bytes + 56, next_lsn);
    och_store_u64(bytes + 64, time_ns);
    och_store_u64(bytes + HASH_AT, och_hash64(bytes, HASH_AT));
    ochre_status status =
            och_vfs_open(vfs, STATE_PART, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status == OCHRE_OK)
        status = och_file_write(file, 0, bytes, sizeof(bytes), err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    if (status == OCHRE_OK)
        status = och_vfs_rename(vfs, STATE_PART, STATE, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, "", err) : status;
}

/* --- one file ----------------------------------------------------------------------- */

/* A file that is copied, and both sides of it. */
struct pair {
    struct och_archive *archive;
    uint64_t number;
    struct och_file *from, *to;
    char *block, *other; /* BLOCK bytes each */
    char path[PATH_SIZE];
};

static ochre_status
fail_other_history(const struct pair *pair, struct ochre_error *err)
{
    return och_fail(err, OCHRE_EXISTS,
            "the archive's %s is of another history of this database: archive to an empty "
            "directory, and make a backup",
            pair->path);
}

/* Is there a header, and is it the log's?  One that a crash left torn has its bytes, or
 * zeros. */
static ochre_status
compare_header(struct pair *pair, bool *is_there_out, struct ochre_error *err)
{
    size_t n_read = 0;
    bool is_ours = true;
    *is_there_out = false;
    ochre_status status = och_file_read_all(pair->from, 0, pair->block, PAGE, err);
    if (status == OCHRE_OK)
        status = och_file_read(pair->to, 0, pair->other, PAGE, &n_read, err);
    if (status != OCHRE_OK || n_read < PAGE)
        return status;
    *is_there_out = memcmp(pair->block, pair->other, PAGE) == 0;
    for (size_t i = 0; i < PAGE; i++)
        is_ours &= pair->other[i] == pair->block[i] || pair->other[i] == 0;
    return is_ours ? OCHRE_OK : fail_other_history(pair, err);
}

/* A file of zeros, with its space, size and name durable. */
static ochre_status
make_file(struct pair *pair, struct ochre_error *err)
{
    struct och_vfs *vfs = pair->archive->options.vfs;
    struct och_file *file = NULL;
    char part[PATH_SIZE];
    uint64_t size = 0;
    (void) snprintf(part, sizeof(part), LOG_DIR "/%016" PRIx64 ".tmp", pair->number);
    ochre_status status = och_file_size(pair->from, &size, err);
    if (status == OCHRE_OK)
        status = och_vfs_open(vfs, part, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status == OCHRE_OK)
        status = och_file_truncate(file, 0, err);
    if (status == OCHRE_OK)
        status = och_file_allocate(file, size, err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    if (status == OCHRE_OK)
        status = och_vfs_rename(vfs, part, pair->path, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, LOG_DIR, err);
    if (status == OCHRE_OK)
        status = och_vfs_open(vfs, pair->path, OCH_OPEN_WRITE, &pair->to, err);
    return status;
}

/* As the log makes its files: space, size and name first, then the header, and groups only
 * behind a durable header.  So whatever a crash leaves is what it may leave of a log. */
static ochre_status
begin_file(struct pair *pair, struct ochre_error *err)
{
    bool has_header = false;
    ochre_status status = compare_header(pair, &has_header, err);
    if (status != OCHRE_OK || (has_header && !pair->archive->rewrites))
        return status;
    status = och_file_write(pair->to, 0, pair->block, PAGE, err);
    return status == OCHRE_OK ? och_file_sync(pair->to, err) : status;
}

/*
 * Go over [at, end): write what differs; or with `only_compare`, nothing may.  After a sync
 * that failed the page cache has what the disk has not, and a later sync passes over it:
 * only what is written once more is sure to be there after that.
 */
static ochre_status
go_over(struct pair *pair, uint64_t at, uint64_t end, bool only_compare, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    while (at < end && status == OCHRE_OK) {
        size_t size = end - at < BLOCK ? (size_t) (end - at) : BLOCK;
        size_t n_read = 0;
        status = och_file_read_all(pair->from, at, pair->block, size, err);
        if (status == OCHRE_OK)
            status = och_file_read(pair->to, at, pair->other, size, &n_read, err);
        bool differs = status == OCHRE_OK &&
                (n_read < size || memcmp(pair->block, pair->other, size) != 0);
        if (differs && only_compare)
            return och_fail(err, OCHRE_CORRUPT,
                    "the archive's %s does not read back as it was written", pair->path);
        if (status == OCHRE_OK && !only_compare && (differs || pair->archive->rewrites))
            status = och_file_write(pair->to, at, pair->block, size, err);
        at += size;
    }
    return status;
}

static ochre_status
copy_range(struct pair *pair, uint64_t at, uint64_t end, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    if (at < PAGE) {
        status = begin_file(pair, err);
        at = PAGE;
    }
    if (status == OCHRE_OK)
        status = go_over(pair, at, end, false, err);
    if (status == OCHRE_OK)
        status = och_file_sync(pair->to, err);
    return status == OCHRE_OK ? go_over(pair, at, end, true, err) : status;
}

static ochre_status
open_pair(struct och_archive *archive, uint64_t number, unsigned flags, struct pair *pair,
        struct ochre_error *err)
{
    *pair = (struct pair){.archive = archive, .number = number};
    (void) snprintf(pair->path, sizeof(pair->path), LOG_DIR "/%016" PRIx64 ".log", number);
    pair->block = och_mem_take(archive->options.mem, BLOCK);
    pair->other = och_mem_take(archive->options.mem, BLOCK);
    if (pair->block == NULL || pair->other == NULL)
        return och_fail_memory(err);
    ochre_status status = och_vfs_open(
            archive->options.database_vfs, pair->path, OCH_OPEN_READ, &pair->from, err);
    if (status == OCHRE_OK)
        status = och_vfs_open(archive->options.vfs, pair->path, flags, &pair->to, err);
    return status;
}

static void
close_pair(struct pair *pair)
{
    och_file_close(pair->from);
    och_file_close(pair->to);
    och_mem_release(pair->archive->options.mem, pair->block, BLOCK);
    och_mem_release(pair->archive->options.mem, pair->other, BLOCK);
}

/* --- all of it ------------------------------------------------------------------------ */

struct wanted {
    uint64_t number, used;
};

/* The log at one moment. */
struct moment {
    struct och_archive *archive;
    struct och_buf files; /* of struct wanted */
    uint64_t next_lsn, time_ns;
};

static ochre_status
note_file(void *context, uint64_t number, uint64_t size)
{
    struct moment *moment = context;
    const struct wanted wanted = {number, size};
    och_buf_put(&moment->files, &wanted, sizeof(wanted));
    return och_buf_status(&moment->files);
}

/* The copy must not wait while it holds the committer: only remember. */
static ochre_status
look(void *context, struct och_engine *engine, struct ochre_error *err)
{
    struct moment *moment = context;
    (void) engine;
    struct och_record_log *log = moment->archive->log;
    moment->next_lsn = log->ops->next_lsn(log);
    moment->time_ns = och_machine_wall_ns(moment->archive->options.machine);
    ochre_status status = log->ops->each_file(log, note_file, moment);
    return status == OCHRE_NO_MEMORY ? och_fail_memory(err) : status;
}

static ochre_status
copy_file(struct och_archive *archive, const struct wanted *wanted, struct ochre_error *err)
        OCH_REQUIRES(archive->lock)
{
    struct pair pair;
    uint64_t at = wanted->number == archive->file_number ? archive->file_at : 0;
    if (wanted->number < archive->file_number || at >= wanted->used)
        return OCHRE_OK;
    ochre_status status = open_pair(archive, wanted->number, OCH_OPEN_WRITE, &pair, err);
    if (status == OCHRE_NOT_FOUND && pair.from != NULL)
        status = make_file(&pair, err);
    else if (status == OCHRE_OK && archive->rewrites) /* its name may not be durable either */
        status = och_vfs_sync_dir(archive->options.vfs, LOG_DIR, err);
    if (status == OCHRE_OK)
        status = copy_range(&pair, at, wanted->used, err);
    close_pair(&pair);
    if (status != OCHRE_OK)
        return status;
    archive->file_number = wanted->number;
    archive->file_at = wanted->used;
    return OCHRE_OK;
}

static ochre_status
copy_moment(struct och_archive *archive, const struct moment *moment, struct ochre_error *err)
        OCH_REQUIRES(archive->lock)
{
    ochre_status status = OCHRE_OK;
    struct wanted wanted;
    for (size_t at = 0; at < moment->files.size && status == OCHRE_OK; at += sizeof(wanted)) {
        memcpy(&wanted, moment->files.data + at, sizeof(wanted));
        status = copy_file(archive, &wanted, err);
    }
    if (status == OCHRE_OK)
        status = write_state(archive, moment->next_lsn, moment->time_ns, err);
    return status;
}

/* A note that has to be taken back is not copied without that. */
static ochre_status
say_owed(struct och_archive *archive, struct ochre_error *err)
{
    const struct och_note note = {.kind = OCH_NOTE_TIME};
    ochre_status status = OCHRE_OK;
    och_commit_enter(archive->engine->commit);
    if (archive->owed != OCH_OWED_NOTHING)
        status = och_archive_note(archive, &note, err);
    och_commit_leave(archive->engine->commit);
    return status;
}

ochre_status
och_archive_copy(struct och_archive *archive, struct ochre_error *err)
{
    struct moment moment = {.archive = archive};
    if (!archive->has_begun)
        return OCHRE_OK; /* it is not ours to write to */
    och_buf_init(&moment.files, archive->options.mem, SIZE_MAX / 2);
    och_mutex_lock(&archive->lock);
    ochre_status status = say_owed(archive, err);
    if (status == OCHRE_OK)
        status = och_engine_hold(archive->engine, look, &moment, err);
    bool is_held = status == OCHRE_OK;
    uint64_t archived = atomic_load_explicit(&archive->archived_lsn, memory_order_relaxed);
    if (status == OCHRE_OK && moment.next_lsn != archived)
        status = copy_moment(archive, &moment, err);
    if (status == OCHRE_OK) {
        /* Release: what is in the archive by now is there before the log may go. */
        atomic_store_explicit(&archive->archived_lsn, moment.next_lsn, memory_order_release);
        atomic_store_explicit(&archive->copied_ns, moment.time_ns, memory_order_relaxed);
        atomic_store_explicit(&archive->n_failures, 0, memory_order_relaxed);
        archive->rewrites = false;
    } else {
        archive->rewrites = true;
        atomic_fetch_add_explicit(&archive->n_failures, 1, memory_order_relaxed);
    }
    if (is_held)
        och_engine_let_go(archive->engine); /* which trims the log */
    och_mutex_unlock(&archive->lock);
    och_buf_clear(&moment.files);
    return status;
}

/* --- beginning ------------------------------------------------------------------------ */

/* What the archive has of a file was acknowledged once: it is what the log has there, or
 * zeros where nothing was copied, or where a crash left less.  A restored database goes on
 * in the same file, with other records. */
static ochre_status
check_bytes(struct pair *pair, uint64_t used, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    size_t n_read = BLOCK;
    for (uint64_t at = PAGE; n_read == BLOCK && status == OCHRE_OK; at += BLOCK) {
        uint64_t left = at < used ? used - at : 0;
        size_t n = left < BLOCK ? (size_t) left : BLOCK;
        bool is_ours = true;
        memset(pair->block, 0, BLOCK);
        status = och_file_read(pair->to, at, pair->other, BLOCK, &n_read, err);
        if (status == OCHRE_OK && n > 0)
            status = och_file_read_all(pair->from, at, pair->block, n, err);
        for (size_t i = 0; i < n_read && status == OCHRE_OK; i++)
            is_ours &= pair->other[i] == pair->block[i] || pair->other[i] == 0;
        if (status == OCHRE_OK && !is_ours)
            status = fail_other_history(pair, err);
    }
    return status;
}

static ochre_status
check_file(void *context, uint64_t number, uint64_t size)
{
    struct moment *moment = context;
    struct ochre_error err;
    struct pair pair;
    bool has_header = false;
    ochre_status status = open_pair(moment->archive, number, OCH_OPEN_READ, &pair, &err);
    if (status == OCHRE_OK)
        status = compare_header(&pair, &has_header, &err);
    if (status == OCHRE_OK)
        status = check_bytes(&pair, size, &err);
    close_pair(&pair);
    moment->next_lsn = number;
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

bool
och_archive_file_number(const char *name, uint64_t *number_out)
{
    enum { DIGITS = 16 };
    uint64_t number = 0;
    if (strspn(name, "0123456789abcdef") != DIGITS || strcmp(name + DIGITS, ".log") != 0)
        return false;
    for (int i = 0; i < DIGITS; i++)
        number = number * 16 + (uint64_t) (name[i] <= '9' ? name[i] - '0' : name[i] - 'a' + 10);
    *number_out = number;
    return true;
}

static ochre_status
note_newest(void *context, const char *name, bool is_dir)
{
    uint64_t *newest = context;
    uint64_t number = 0;
    if (!is_dir && och_archive_file_number(name, &number) && number > *newest)
        *newest = number;
    return OCHRE_OK;
}

/* The mark: which history it is whose changes are all noted, and a checksum of that.  One
 * that is not whole is none. */
static ochre_status
read_mark(struct och_archive *archive, bool *has_mark_out, struct ochre_error *err)
{
    struct och_file *file = NULL;
    char bytes[MARK_SIZE] = {0};
    size_t n_read = 0;
    *has_mark_out = false;
    ochre_status status = och_vfs_open(
            archive->options.database_vfs, OCH_ARCHIVE_MARK, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_file_read(file, 0, bytes, sizeof(bytes), &n_read, err);
    och_file_close(file);
    *has_mark_out = status == OCHRE_OK && n_read == MARK_SIZE &&
            och_load_u64(bytes + 16) == och_hash64(bytes, 16);
    if (*has_mark_out)
        memcpy(archive->history.bytes, bytes, sizeof(archive->history.bytes));
    return status;
}

static ochre_status
write_mark(struct och_archive *archive, struct ochre_error *err)
{
    struct och_vfs *vfs = archive->options.database_vfs;
    struct och_file *file = NULL;
    char bytes[MARK_SIZE];
    memcpy(bytes, archive->history.bytes, sizeof(archive->history.bytes));
    och_store_u64(bytes + 16, och_hash64(bytes, 16));
    ochre_status status =
            och_vfs_open(vfs, OCH_ARCHIVE_MARK, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status == OCHRE_OK)
        status = och_file_write(file, 0, bytes, sizeof(bytes), err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, "", err) : status;
}

/* Is what lies there of this database, and of this history of it? */
static ochre_status
check_archive(struct och_archive *archive, bool has_mark, struct ochre_error *err)
{
    struct och_vfs *vfs = archive->options.vfs;
    struct och_archive_reached reached;
    struct moment moment = {.archive = archive}; /* next_lsn: our newest file, here */
    uint64_t newest = 0;
    ochre_status status = och_archive_read_state(vfs, &reached, err);
    if (status == OCHRE_OK && !och_uuid_equal(reached.database, archive->options.database))
        return och_fail(err, OCHRE_EXISTS, "the archive is another database's");
    bool is_other =
            status == OCHRE_OK && (!has_mark || !och_uuid_equal(reached.history, archive->history));
    bool has_state = status == OCHRE_OK;
    if (status == OCHRE_NOT_FOUND)
        status = OCHRE_OK;
    /* Whoever was here before may have gone on from there, and failed. */
    archive->rewrites = reached.next_lsn != archive->log->ops->next_lsn(archive->log);
    if (status == OCHRE_OK)
        status = och_vfs_mkdir(vfs, LOG_DIR, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, "", err);
    if (status == OCHRE_OK)
        status = och_vfs_list(vfs, LOG_DIR, note_newest, &newest, err);
    if (status == OCHRE_OK)
        status = archive->log->ops->each_file(archive->log, check_file, &moment);
    bool is_ahead = is_other || (!has_mark && newest > 0) || newest > moment.next_lsn ||
            reached.next_lsn > archive->log->ops->next_lsn(archive->log);
    if (status == OCHRE_EXISTS || (status == OCHRE_OK && is_ahead))
        return och_fail(err, OCHRE_EXISTS,
                "the archive has another history of this database (one that was restored, or was "
                "open without an archive, goes on by itself): archive to an empty directory, and "
                "make a backup");
    uint64_t oldest = archive->log->ops->oldest_lsn(archive->log);
    if (status == OCHRE_OK && has_state && reached.next_lsn < oldest)
        return och_fail(err, OCHRE_EXISTS,
                "the archive ends before record %" PRIu64 ", and the log has none before record "
                "%" PRIu64 " any more (it was archived elsewhere meanwhile): archive to an empty "
                "directory, and make a backup",
                reached.next_lsn, oldest);
    return status == OCHRE_NO_MEMORY ? och_fail_memory(err) : status;
}

/* What is said first of all: what a crash left open, or that there were no notes before. */
static ochre_status
say_first(struct och_archive *archive, bool has_mark, struct ochre_error *err)
{
    const struct och_note note = {.kind = OCH_NOTE_TIME};
    och_commit_enter(archive->engine->commit);
    if (!has_mark) {
        archive->owed = OCH_OWED_BEGIN;
    } else if (archive->open_lsn != 0) {
        archive->owed = OCH_OWED_ANSWER;
        archive->owed_lsn = archive->open_lsn;
    }
    ochre_status status = OCHRE_OK;
    if (archive->owed != OCH_OWED_NOTHING)
        status = och_archive_note(archive, &note, err);
    och_commit_leave(archive->engine->commit);
    return status;
}

ochre_status
och_archive_begin(struct och_archive *archive, struct och_engine *engine, struct ochre_error *err)
{
    bool has_mark = false;
    archive->engine = engine;
    ochre_status status = read_mark(archive, &has_mark, err);
    if (status == OCHRE_OK)
        status = check_archive(archive, has_mark, err);
    if (status == OCHRE_OK && !has_mark)
        status = och_machine_entropy(archive->options.machine, archive->history.bytes,
                sizeof(archive->history.bytes), err);
    if (status == OCHRE_OK)
        status = say_first(archive, has_mark, err);
    /* One that is there, too: who wrote it may have been killed before it was durable, and
     * without it what is archived from here on would be of another history. */
    if (status == OCHRE_OK)
        status = write_mark(archive, err);
    archive->has_begun = status == OCHRE_OK;
    return status;
}

ochre_status
och_archive_give_up(struct och_vfs *database_vfs, struct ochre_error *err)
{
    bool has_mark = false;
    ochre_status status = och_vfs_exists(database_vfs, OCH_ARCHIVE_MARK, &has_mark, err);
    if (status != OCHRE_OK || !has_mark)
        return status;
    status = och_vfs_remove(database_vfs, OCH_ARCHIVE_MARK, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(database_vfs, "", err) : status;
}
