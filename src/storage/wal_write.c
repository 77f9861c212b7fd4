#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/size.h"
#include "os/clock.h"
#include "storage/wal_internal.h"

#define ZERO_CHUNK ((size_t) 256 * 1024)
#define SMALL_FILE ((uint64_t) 16 * 4096)

ochre_status
och_wal_add_file(struct och_wal *wal, uint64_t number, uint64_t first_lsn, uint64_t used)
{
    struct wal_file *file = och_mem_take(wal->options.mem, sizeof(*file));
    if (file == NULL)
        return OCHRE_NO_MEMORY;
    *file = (struct wal_file){.number = number, .first_lsn = first_lsn, .used = used};
    if (wal->newest == NULL)
        wal->oldest = file;
    else
        wal->newest->next = file;
    wal->newest = file;
    return OCHRE_OK;
}

/* --- making files ----------------------------------------------------------- */

/* Zeros, but for a header that says: never begun. */
static ochre_status
fill(struct och_wal *wal, struct och_file *file, uint64_t number, uint64_t size,
        struct ochre_error *err)
{
    struct wal_header header = {.database = wal->options.database,
            .number = number,
            .first_lsn = WAL_NEVER_BEGUN,
            .full_size = size};
    char *zeros = och_mem_take_zeroed(wal->options.mem, ZERO_CHUNK);
    if (zeros == NULL)
        return och_fail_memory(err);
    ochre_status status = OCHRE_OK;
    och_wal_header_put(zeros, &header);
    for (uint64_t at = 0; at < size && status == OCHRE_OK; at += ZERO_CHUNK) {
        uint64_t left = size - at;
        size_t step = left < ZERO_CHUNK ? (size_t) left : ZERO_CHUNK;
        status = och_file_write(file, at, zeros, step, err);
        if (at == 0)
            memset(zeros, 0, WAL_PAGE);
    }
    och_mem_release(wal->options.mem, zeros, ZERO_CHUNK);
    return status;
}

/*
 * A file of `size` bytes, never begun, whose space, size and name are durable.  It
 * gets its name only when its zeros are on disk: whatever a crash leaves of it
 * before has another name, and what has the name is whole.
 */
static ochre_status
make_file(struct och_wal *wal, uint64_t number, uint64_t size, struct och_file **file_out,
        struct ochre_error *err)
{
    char tmp[WAL_PATH_SIZE];
    char path[WAL_PATH_SIZE];
    och_wal_path(tmp, number, WAL_SUFFIX_TMP);
    och_wal_path(path, number, WAL_SUFFIX);
    struct och_vfs *vfs = wal->options.vfs;
    struct och_file *file = NULL;
    *file_out = NULL;
    ochre_status status = och_vfs_open(vfs, tmp, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status != OCHRE_OK)
        return status;
    status = och_file_allocate(file, size, err);
    if (status == OCHRE_OK)
        status = fill(wal, file, number, size, err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    if (status == OCHRE_OK)
        status = och_vfs_rename(vfs, tmp, path, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, WAL_DIR, err);
    if (status == OCHRE_OK) {
        *file_out = file;
        return OCHRE_OK;
    }
    /* Give the space back now; what cannot be removed goes at the next open. */
    och_file_close(file);
    ochre_status removed = och_vfs_remove(vfs, tmp, NULL);
    (void) removed; /* the error that brought us here is the one to report */
    uint64_t space = 0;
    if (status == OCHRE_FULL && och_vfs_space_free(vfs, &space, NULL) == OCHRE_OK)
        (void) och_fail(err, OCHRE_FULL,
                "the disk of the data directory is full: the log wants a file of %llu bytes, and "
                "%llu are free",
                (unsigned long long) size, (unsigned long long) space);
    return status;
}

/* The size for a new file: what is wanted, at most 1/16 of what is free, but
 * enough for `need` bytes behind the header.  Where little is free, not a page more
 * than SMALL_FILE if that is enough. */
static uint64_t
choose_size(struct och_wal *wal, uint64_t want, uint64_t need)
{
    uint64_t space = UINT64_MAX;
    uint64_t unit = ZERO_CHUNK;
    if (och_vfs_space_free(wal->options.vfs, &space, NULL) == OCHRE_OK && want > space / 16)
        want = space / 16;
    if (space / 16 < ZERO_CHUNK) {
        unit = WAL_PAGE;
        want = want < SMALL_FILE && SMALL_FILE <= space ? SMALL_FILE : want;
    }
    need += WAL_PAGE;
    if (want < need)
        want = need;
    return (want + unit - 1) / unit * unit;
}

bool
och_wal_wants_prepare(const struct och_wal *wal)
{
    struct och_wal *mutable = (struct och_wal *) (uintptr_t) wal;
    och_mutex_lock(&mutable->lock);
    bool wants = mutable->prepared == NULL && !mutable->preparing;
    och_mutex_unlock(&mutable->lock);
    return wants && wal->file != NULL && wal->file_used > wal->file_size / 4;
}

ochre_status
och_wal_prepare(struct och_wal *wal, struct ochre_error *err)
{
    och_mutex_lock(&wal->lock);
    if (wal->prepared != NULL || wal->preparing) {
        och_mutex_unlock(&wal->lock);
        return OCHRE_OK;
    }
    wal->preparing = true;
    uint64_t number = wal->next_number++;
    uint64_t want = wal->next_size;
    och_mutex_unlock(&wal->lock);

    struct och_file *file = NULL;
    uint64_t size = choose_size(wal, want, 0);
    ochre_status status = make_file(wal, number, size, &file, err);

    och_mutex_lock(&wal->lock);
    wal->preparing = false;
    wal->prepared = file;
    wal->prepared_number = number;
    wal->prepared_size = size;
    och_mutex_unlock(&wal->lock);
    return status;
}

/* Take the prepared file, or make one now, with room for `need` bytes. */
static ochre_status
next_file(struct och_wal *wal, uint64_t need, uint64_t *size_out, uint64_t *number_out,
        struct och_file **file_out, struct ochre_error *err)
{
    och_mutex_lock(&wal->lock);
    struct och_file *file = wal->prepared;
    uint64_t number = wal->prepared_number;
    uint64_t size = wal->prepared_size;
    wal->prepared = NULL;
    uint64_t new_number = wal->next_number;
    /* A file prepared while a newer one was begun comes too late: numbers and
     * LSNs rise together. */
    bool fits = file != NULL && size >= WAL_PAGE + need &&
            (wal->newest == NULL || number > wal->newest->number);
    if (!fits)
        wal->next_number++;
    /* Sustained writing fills files: each is twice the one before. */
    bool is_grown = wal->next_size >= OCH_LOG_FILE_SIZE_GROWN;
    uint64_t want = is_grown ? wal->next_size / 2 : wal->next_size;
    if (!is_grown && !wal->is_rolled)
        wal->next_size *= 2;
    wal->is_rolled = false;
    och_mutex_unlock(&wal->lock);

    if (fits) {
        *size_out = size;
        *number_out = number;
        *file_out = file;
        return OCHRE_OK;
    }
    if (file != NULL) {
        char path[WAL_PATH_SIZE];
        och_wal_path(path, number, WAL_SUFFIX);
        och_file_close(file);
        ochre_status removed = och_vfs_remove(wal->options.vfs, path, NULL);
        (void) removed; /* an empty file left behind does no harm */
    }
    *size_out = choose_size(wal, want, need);
    *number_out = new_number;
    return make_file(wal, new_number, *size_out, file_out, err);
}

static bool
keeps_reach(const struct och_wal *wal)
{
    return wal->reach != NULL && wal->reach->file != NULL;
}

/* Begin a new file: its header is durable before anything else is in it. */
static ochre_status
rotate(struct och_wal *wal, uint64_t need, struct ochre_error *err)
{
    struct och_file *file = NULL;
    uint64_t number = 0;
    uint64_t size = 0;
    char *page = NULL;

    struct wal_header header = {.database = wal->options.database, .first_lsn = wal->next_lsn};
    ochre_status status =
            och_machine_entropy(wal->options.machine, &header.salt, sizeof(header.salt), err);
    /* As long as nothing of the new file can be on disk, the old one goes on: what it
     * has no room for may be more than the next group wants. */
    if (status == OCHRE_OK)
        status = next_file(wal, need, &size, &number, &file, err);
    /* Known before it can be begun: so its loss is noticed, whatever becomes of it.  Where that
     * fails it may be known all the same: the file without a table is another one. */
    bool is_known = keeps_reach(wal);
    if (status == OCHRE_OK && is_known && !och_wal_reach_file(wal->reach, wal->next_lsn, number)) {
        is_known = false;
        och_file_close(file);
        file = NULL;
        och_wal_roll(wal);
        status = next_file(wal, need, &size, &number, &file, err);
    }
    if (status != OCHRE_OK)
        goto done;
    och_file_close(wal->file);
    wal->file = NULL;
    wal->file_size = size;
    header.number = number;
    header.full_size = size;
    header.reach_nonce = is_known ? wal->reach->table.nonce : 0;
    page = och_mem_take(wal->options.mem, WAL_PAGE);
    if (page == NULL) {
        status = och_fail_memory(err);
        goto done;
    }
    och_wal_header_put(page, &header);
    /* Known before its header can be on disk: a file that turned up at the next
     * open with a header nobody remembers would override what came later. */
    if (och_wal_add_file(wal, number, wal->next_lsn, WAL_PAGE) != OCHRE_OK) {
        status = och_fail_memory(err);
        goto done;
    }
    wal->newest->salt = header.salt;
    status = och_file_write(file, 0, page, WAL_PAGE, err);
    if (status == OCHRE_OK) {
        wal->stats.n_syncs++;
        status = och_file_sync(file, err);
    }
    if (status != OCHRE_OK)
        goto done;
    wal->file = file;
    wal->file_used = WAL_PAGE;
    wal->file_salt = header.salt;
    wal->newest_number = number;
    wal->newest_salt = header.salt;
    wal->says_none = header.reach_nonce == 0;
    file = NULL;

done:
    och_mem_release(wal->options.mem, page, WAL_PAGE);
    och_file_close(file);
    return status;
}

struct syncing {
    struct och_vfs *vfs;
    struct ochre_error *err;
};

static ochre_status
sync_one(void *context, const char *name, bool is_dir)
{
    struct syncing *syncing = context;
    char path[OCH_PATH_SIZE_MAX];
    struct och_file *file = NULL;
    int size = snprintf(path, sizeof(path), WAL_DIR "/%s", name);
    if (is_dir || size < 0 || size >= OCH_PATH_SIZE_MAX)
        return OCHRE_OK;
    ochre_status status = och_vfs_open(syncing->vfs, path, OCH_OPEN_WRITE, &file, syncing->err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, syncing->err);
    och_file_close(file);
    return status;
}

ochre_status
och_wal_sync_files(struct och_vfs *vfs, struct ochre_error *err)
{
    struct syncing syncing = {vfs, err};
    ochre_status status = och_vfs_list(vfs, WAL_DIR, sync_one, &syncing, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, WAL_DIR, err) : status;
}

/* --- appending -------------------------------------------------------------- */

static ochre_status
reserve_buffer(struct och_wal *wal, size_t size, struct ochre_error *err)
{
    if (size <= wal->buffer_size)
        return OCHRE_OK;
    char *buffer = och_mem_take(wal->options.mem, size);
    if (buffer == NULL)
        return och_fail_memory(err);
    och_mem_release(wal->options.mem, wal->buffer, wal->buffer_size);
    wal->buffer = buffer;
    wal->buffer_size = size;
    return OCHRE_OK;
}

/* A big group's buffer is not kept: an idle log should be small. */
static void
shrink_buffer(struct och_wal *wal)
{
    if (wal->buffer_size <= OCH_LOG_FILE_SIZE_MIN)
        return;
    och_mem_release(wal->options.mem, wal->buffer, wal->buffer_size);
    wal->buffer = NULL;
    wal->buffer_size = 0;
}

/* Lay the records out in the buffer, and the rest of the last page as zeros. */
static void
put_group(struct och_wal *wal, struct och_log_record *records, size_t n, size_t size)
{
    char *next = wal->buffer;
    for (size_t i = 0; i < n; i++) {
        records[i].lsn = wal->next_lsn + i;
        struct wal_frame frame = {
                .lsn = records[i].lsn,
                .position = records[i].position,
                .synced_lsn = wal->next_lsn - 1,
                .collection = records[i].collection,
                .payload_size = (uint32_t) records[i].payload.size,
                .payload_crc = records[i].payload_crc,
                .type = records[i].type,
                .flags = i + 1 == n ? WAL_FLAG_LAST_IN_GROUP : 0,
        };
        och_wal_frame_put(next, &frame, wal->file_salt);
        size_t total = (size_t) och_wal_record_size(records[i].payload.size);
        size_t padding = total - WAL_FRAME_SIZE - records[i].payload.size;
        if (records[i].payload.size > 0)
            memcpy(next + WAL_FRAME_SIZE, records[i].payload.data, records[i].payload.size);
        memset(next + total - padding, 0, padding);
        next += total;
    }
    memset(next, 0, size - (size_t) (next - wal->buffer));
}

ochre_status
och_wal_append(
        struct och_wal *wal, struct och_log_record *records, size_t n, struct ochre_error *err)
{
    och_assert(n > 0 && !wal->options.read_only);
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        och_assert(records[i].payload.size <= OCH_WRITE_SIZE_MAX);
        total += och_wal_record_size(records[i].payload.size);
    }
    uint64_t size = (total + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;

    ochre_status status = reserve_buffer(wal, (size_t) size, err);
    if (status != OCHRE_OK)
        return status;
    /* Without the table the log goes on in a file that says so. */
    if (wal->reach != NULL && !och_wal_reach_mark(wal->reach, wal->next_lsn, records, n))
        och_wal_roll(wal);
    if (wal->file == NULL || size > wal->file_size - wal->file_used) {
        status = rotate(wal, size, err);
        if (status != OCHRE_OK)
            return status;
    }
    put_group(wal, records, n, (size_t) size);
    status = och_file_write(wal->file, wal->file_used, wal->buffer, (size_t) size, err);
    if (status == OCHRE_OK && !wal->options.defers_syncs) {
        wal->stats.n_syncs++;
        status = och_file_sync(wal->file, err);
    }
    shrink_buffer(wal);
    if (status != OCHRE_OK) {
        /* Nobody knows what of this group is on disk.  The next file's first
         * LSN will override it. */
        och_file_close(wal->file);
        wal->file = NULL;
        return status;
    }
    wal->file_used += size;
    wal->newest->used = wal->file_used;
    wal->next_lsn += n;
    for (size_t i = 0; i < n && wal->reach != NULL; i++)
        och_wal_reach_note(wal->reach, records[i].collection, records[i].lsn);
    wal->stats.n_records += n;
    wal->stats.n_groups++;
    wal->stats.bytes += size;
    return OCHRE_OK;
}

void
och_wal_roll(struct och_wal *wal)
{
    wal->is_rolled = wal->is_rolled || wal->file != NULL;
    och_file_close(wal->file);
    wal->file = NULL;
}

/* --- how far collections reach ------------------------------------------------ */

bool
och_wal_has_holes(const struct och_wal *wal)
{
    return wal->n_holes > 0 || (wal->reach != NULL && och_wal_reach_has_lacking(wal->reach));
}

bool
och_wal_lacks(struct och_wal *wal, uint32_t collection, uint64_t lsn)
{
    return wal->reach != NULL &&
            och_wal_reach_lacks(wal->reach, collection, lsn, wal->holes, wal->n_holes);
}

ochre_status
och_wal_begin_reach(struct och_wal *wal, struct ochre_error *err)
{
    uint64_t nonce = 0;
    if (wal->reach == NULL)
        return OCHRE_OK;
    ochre_status status = och_machine_entropy(wal->options.machine, &nonce, sizeof(nonce), err);
    och_wal_roll(wal); /* files of before do not say this nonce */
    wal->says_none = false;
    const struct wal_file *oldest = wal->oldest;
    while (oldest != NULL && oldest->is_removed)
        oldest = oldest->next;
    const struct wal_reach_log log = {.next_lsn = wal->next_lsn,
            .oldest_lsn = oldest == NULL ? wal->next_lsn : oldest->first_lsn,
            .newest_number = wal->newest_number,
            .newest_salt = wal->newest_salt,
            .last_number = wal->newest == NULL ? 0 : wal->newest->number};
    if (status == OCHRE_OK)
        status = och_wal_reach_begin(wal->reach, nonce | 1, &log, err);
    return status;
}

/* Once more, and where that fails after more and more looks: each costs a file of the log. */
static void
begin_reach_again(struct och_wal *wal)
{
    enum { looks_max = 64 };
    if (wal->n_looks_left > 0) {
        wal->n_looks_left--;
        return;
    }
    bool begun = och_wal_begin_reach(wal, NULL) == OCHRE_OK;
    wal->n_looks = begun ? 0 : 2 * wal->n_looks + 1;
    if (wal->n_looks > looks_max)
        wal->n_looks = looks_max;
    wal->n_looks_left = wal->n_looks;
}

bool
och_wal_rest(struct och_wal *wal, bool all)
{
    if (wal->reach == NULL)
        return false;
    if (!keeps_reach(wal)) {
        begin_reach_again(wal);
    } else if (!och_wal_reach_rest(wal->reach, wal->next_lsn, all)) {
        och_wal_roll(wal);
    }
    return wal->reach->n_marked > 0;
}

/* Are there records in it?  One that was begun, and failed at once, has none: its header
 * may not be there. */
static bool
has_records(const struct och_wal *wal, const struct wal_file *file)
{
    return file->first_lsn < wal->next_lsn;
}

static bool
is_visited(const struct och_wal *wal, const struct wal_file *file)
{
    return has_records(wal, file) && !file->is_removed && !file->is_missing;
}

void
och_wal_put_reach(const struct och_wal *wal, struct och_buf *out)
{
    const struct wal_file *last = NULL;
    const struct wal_file *first = NULL;
    if (wal->reach == NULL)
        return;
    for (const struct wal_file *file = wal->oldest; file != NULL; file = file->next) {
        if (!is_visited(wal, file))
            continue;
        first = first == NULL ? file : first;
        last = file;
    }
    const struct wal_reach_log log = {.next_lsn = wal->next_lsn,
            .oldest_lsn = first == NULL ? wal->next_lsn : first->first_lsn,
            .newest_number = last == NULL ? 0 : last->number,
            .newest_salt = last == NULL ? 0 : last->salt,
            .last_number = last == NULL ? 0 : last->number};
    och_wal_reach_put(wal->reach, &log, out);
}

/* --- trimming --------------------------------------------------------------- */

bool
och_wal_can_trim(const struct och_wal *wal, uint64_t lsn)
{
    const struct wal_file *file = wal->oldest;
    return file != NULL && file->next != NULL && file->next->first_lsn <= lsn &&
            has_records(wal, file->next);
}

/*
 * A table has to know before files are removed, or they would pass for missing; so may none
 * be that is not kept any more, until a file says so.  What cannot be trimmed now can be later.
 */
static bool
may_trim(struct och_wal *wal, uint64_t lsn)
{
    const struct wal_file *file = wal->oldest;
    if (wal->reach == NULL)
        return true;
    if (!keeps_reach(wal))
        return wal->says_none;
    while (file->next != NULL && file->next->first_lsn <= lsn && has_records(wal, file->next))
        file = file->next;
    if (och_wal_reach_floor(wal->reach, wal->next_lsn, file->first_lsn))
        return true;
    och_wal_roll(wal);
    return false;
}

ochre_status
och_wal_trim(struct och_wal *wal, uint64_t lsn, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    if (!och_wal_can_trim(wal, lsn) || !may_trim(wal, lsn))
        return OCHRE_OK;
    while (status == OCHRE_OK && och_wal_can_trim(wal, lsn)) {
        struct wal_file *file = wal->oldest;
        char path[WAL_PATH_SIZE];
        och_wal_path(path, file->number, WAL_SUFFIX);
        status = och_vfs_remove(wal->options.vfs, path, err);
        if (status != OCHRE_OK && status != OCHRE_NOT_FOUND)
            break;
        file->is_removed = true;
        /* One at a time, and durably: a newer file gone while an older one is still
         * there would look like a hole. */
        status = och_vfs_sync_dir(wal->options.vfs, WAL_DIR, err);
        if (status != OCHRE_OK)
            break;
        wal->oldest = file->next;
        och_mem_release(wal->options.mem, file, sizeof(*file));
    }
    return status;
}

/* --- the rest --------------------------------------------------------------- */

uint64_t
och_wal_oldest_lsn(const struct och_wal *wal)
{
    return wal->oldest == NULL ? wal->next_lsn : wal->oldest->first_lsn;
}

uint64_t
och_wal_next_lsn(const struct och_wal *wal)
{
    return wal->next_lsn;
}

uint64_t
och_wal_size(const struct och_wal *wal)
{
    uint64_t size = 0;
    for (const struct wal_file *file = wal->oldest; file != NULL; file = file->next)
        size += file->used;
    return size;
}

ochre_status
och_wal_each_file(const struct och_wal *wal, och_wal_visit_file visit, void *context)
{
    ochre_status status = OCHRE_OK;
    for (const struct wal_file *file = wal->oldest; file != NULL && status == OCHRE_OK;
            file = file->next)
        if (is_visited(wal, file))
            status = visit(context, file->number, file->used);
    return status;
}

struct och_log_stats
och_wal_stats(const struct och_wal *wal)
{
    return wal->stats;
}

void
och_wal_close(struct och_wal *wal)
{
    if (wal == NULL)
        return;
    och_file_close(wal->file);
    och_mutex_lock(&wal->lock);
    och_file_close(wal->prepared);
    wal->prepared = NULL;
    och_mutex_unlock(&wal->lock);
    while (wal->oldest != NULL) {
        struct wal_file *next = wal->oldest->next;
        och_mem_release(wal->options.mem, wal->oldest, sizeof(*wal->oldest));
        wal->oldest = next;
    }
    och_mem_release(wal->options.mem, wal->buffer, wal->buffer_size);
    och_mem_release(wal->options.mem, wal->holes, wal->holes_room * sizeof(*wal->holes));
    och_wal_reach_close(wal->reach);
    och_mutex_clear(&wal->lock);
    och_mem_release(wal->options.mem, wal, sizeof(*wal));
}
