#include "storage/wal_follow.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "storage/wal_internal.h"

/* So many bytes are looked ahead before what was seen is visited. */
#define AHEAD_MAX (UINT64_C(16) << 20)

/* After so many looks without news, and then after twice as many each time, it is made
 * sure that what stands at the end is no damage: about a second, up to a minute. */
#define IDLE_MIN 64u
#define IDLE_MAX 4096u

/* A file of the log that has been begun. */
struct entry {
    uint64_t number, first_lsn, salt, full_size;
};

struct och_wal_follower {
    struct och_wal_options options;
    struct entry *files; /* owned: as listed last, by number */
    size_t n_files, room;
    struct wal_scan scan; /* of the current file; file NULL: there is none */
    uint64_t number;      /* of it */
    uint64_t offset, lsn; /* where the next record is, or will be */
    uint64_t waiting;     /* the end of what is whole and not shown */
    uint64_t waited;      /* what that was when it was looked last */
    uint64_t not_durable; /* what that was when a sync failed: it is not tried again */
    unsigned n_idle, idle_limit;
    bool is_fresh; /* the end has not been reached since the beginning */
};

/* --- what files there are --------------------------------------------------------- */

struct listing {
    struct och_wal_follower *follower;
    const struct entry *known; /* what was listed before: headers do not change */
    size_t n_known;
    struct ochre_error *err;
};

/* Read a header; *begun_out: something may be behind it. */
static ochre_status
read_entry(struct och_wal_follower *follower, struct entry *entry, bool *begun_out,
        struct ochre_error *err)
{
    struct wal_header header = {.number = 0};
    struct och_file *file = NULL;
    char page[WAL_PAGE];
    char path[WAL_PATH_SIZE];
    size_t n_read = 0;
    *begun_out = false;
    och_wal_path(path, entry->number, WAL_SUFFIX);
    ochre_status status = och_vfs_open(follower->options.vfs, path, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK; /* trimmed since it was listed */
    if (status == OCHRE_OK)
        status = och_file_read(file, 0, page, sizeof(page), &n_read, err);
    och_file_close(file);
    if (status != OCHRE_OK)
        return status;
    memset(page + n_read, 0, sizeof(page) - n_read);
    if (!och_wal_header_get(page, &header)) {
        static const char zeros[WAL_PAGE];
        if (memcmp(page, zeros, sizeof(page)) == 0)
            return OCHRE_OK; /* made before headers said that nothing was begun */
        return och_fail(err, OCHRE_CORRUPT,
                "%s: the header is damaged; run `ochre repair`, or restore a backup", path);
    }
    if (header.version != WAL_VERSION)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "%s: format %u; this version of ochre reads format %u", path,
                (unsigned) header.version, WAL_VERSION);
    if (!och_uuid_equal(header.database, follower->options.database))
        return och_fail(err, OCHRE_CORRUPT, "%s belongs to another database", path);
    if (header.number != entry->number)
        return och_fail(err, OCHRE_CORRUPT, "%s was renamed from file %llu", path,
                (unsigned long long) header.number);
    entry->first_lsn = header.first_lsn;
    entry->salt = header.salt;
    entry->full_size = header.full_size;
    *begun_out = header.first_lsn != WAL_NEVER_BEGUN;
    return OCHRE_OK;
}

static bool
is_known(const struct listing *listing, struct entry *entry)
{
    for (size_t i = 0; i < listing->n_known; i++) {
        if (listing->known[i].number == entry->number) {
            *entry = listing->known[i];
            return true;
        }
    }
    return false;
}

static ochre_status
note_file(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    struct och_wal_follower *follower = listing->follower;
    struct entry entry = {.number = 0};
    bool begun = true;
    ochre_status status = OCHRE_OK;
    if (is_dir || !och_wal_path_number(name, WAL_SUFFIX, &entry.number))
        return OCHRE_OK;
    if (!is_known(listing, &entry))
        status = read_entry(follower, &entry, &begun, listing->err);
    if (status != OCHRE_OK || !begun)
        return status;
    if (follower->n_files == follower->room) {
        size_t room = follower->room == 0 ? 16 : follower->room * 2;
        struct entry *files = och_mem_resize(follower->options.mem, follower->files,
                follower->room * sizeof(*files), room * sizeof(*files));
        if (files == NULL)
            return och_fail_memory(listing->err);
        follower->files = files;
        follower->room = room;
    }
    follower->files[follower->n_files++] = entry;
    return OCHRE_OK;
}

static ochre_status
list_files(struct och_wal_follower *follower, struct ochre_error *err)
{
    struct listing listing = {.follower = follower,
            .known = follower->files,
            .n_known = follower->n_files,
            .err = err};
    size_t known_room = follower->room;
    struct entry *known = follower->files;
    follower->files = NULL;
    follower->n_files = 0;
    follower->room = 0;
    ochre_status status = och_vfs_list(follower->options.vfs, WAL_DIR, note_file, &listing, err);
    och_mem_release(follower->options.mem, known, known_room * sizeof(*known));
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

static const struct entry *
find_entry(const struct och_wal_follower *follower, uint64_t number)
{
    for (size_t i = 0; i < follower->n_files; i++)
        if (follower->files[i].number == number)
            return &follower->files[i];
    return NULL;
}

/* The file that takes over from this one; NULL: none yet. */
static const struct entry *
entry_after(const struct och_wal_follower *follower, uint64_t number)
{
    for (size_t i = 0; i < follower->n_files; i++)
        if (follower->files[i].number > number)
            return &follower->files[i];
    return NULL;
}

static uint64_t
first_lsn_of(const struct entry *entry)
{
    return entry == NULL ? UINT64_MAX : entry->first_lsn;
}

/* Does a newer file stand for records that were visited? */
static bool
is_overridden(const struct och_wal_follower *follower)
{
    for (size_t i = 0; i < follower->n_files; i++)
        if (follower->files[i].number > follower->number &&
                follower->files[i].first_lsn < follower->lsn)
            return true;
    return false;
}

/* --- one file --------------------------------------------------------------------- */

/* What was found behind the current record. */
struct ahead {
    uint64_t offset, lsn; /* where the look stands */
    uint64_t end;         /* the LSN behind the last whole group */
    uint64_t vouched;     /* the highest one known to be durable */
    uint64_t bad;         /* the first LSN of the last group with an unsound payload; 0: none */
    uint64_t group;       /* the first LSN of the group at hand */
};

static bool
crc_matches(const char *payload, const struct wal_frame *frame)
{
    return och_crc32c(0, payload, frame->payload_size) == frame->payload_crc;
}

static ochre_status
fetch_payload(struct wal_scan *scan, uint64_t offset, const struct wal_frame *frame,
        const char **payload_out, struct ochre_error *err)
{
    *payload_out = "";
    if (frame->payload_size == 0)
        return OCHRE_OK;
    return och_wal_fetch(scan, offset + WAL_FRAME_SIZE, frame->payload_size, payload_out, err);
}

/* Where the record behind this one is. */
static uint64_t
offset_after(uint64_t offset, const struct wal_frame *frame)
{
    uint64_t end = offset + och_wal_record_size(frame->payload_size);
    if ((frame->flags & WAL_FLAG_LAST_IN_GROUP) != 0)
        end = (end + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
    return end;
}

/* Is the frame of the next record there?  A cheap look: mostly it is not. */
static ochre_status
has_more(struct och_wal_follower *follower, bool *more_out, struct ochre_error *err)
{
    char bytes[WAL_FRAME_SIZE] = {0};
    struct wal_frame frame;
    size_t n_read = 0;
    ochre_status status = och_file_read(
            follower->scan.file, follower->offset, bytes, sizeof(bytes), &n_read, err);
    *more_out = status == OCHRE_OK && n_read == sizeof(bytes) &&
            och_wal_frame_get(bytes, follower->scan.salt, &frame) && frame.lsn == follower->lsn;
    return status;
}

/* Forget what was read: it may be another by now. */
static ochre_status
refresh(struct wal_scan *scan, struct ochre_error *err)
{
    scan->window_used = 0;
    return och_file_size(scan->file, &scan->file_size, err);
}

static ochre_status
look_at_record(struct och_wal_follower *follower, struct ahead *ahead, bool *more_out,
        struct ochre_error *err)
{
    struct wal_scan *scan = &follower->scan;
    struct wal_frame frame;
    bool valid, cut;
    const char *payload;
    ochre_status status = och_wal_read_frame(scan, ahead->offset, &valid, &cut, &frame, err);
    *more_out = status == OCHRE_OK && valid && frame.lsn == ahead->lsn;
    if (!*more_out)
        return status;
    if (frame.synced_lsn > ahead->vouched)
        ahead->vouched = frame.synced_lsn;
    status = fetch_payload(scan, ahead->offset, &frame, &payload, err);
    if (status != OCHRE_OK)
        return status;
    if (!crc_matches(payload, &frame))
        ahead->bad = ahead->group;
    ahead->offset = offset_after(ahead->offset, &frame);
    ahead->lsn++;
    if ((frame.flags & WAL_FLAG_LAST_IN_GROUP) != 0)
        ahead->end = ahead->group = ahead->lsn;
    return OCHRE_OK;
}

/* Look at what is behind the current record, to the end or far enough. */
static ochre_status
look_ahead(struct och_wal_follower *follower, uint64_t lsn_end, struct ahead *ahead,
        struct ochre_error *err)
{
    *ahead = (struct ahead){.offset = follower->offset,
            .lsn = follower->lsn,
            .end = follower->lsn,
            .group = follower->lsn,
            .vouched = lsn_end == UINT64_MAX ? 0 : lsn_end - 1};
    bool more = false;
    ochre_status status = has_more(follower, &more, err);
    if (status == OCHRE_OK && more)
        status = refresh(&follower->scan, err);
    while (status == OCHRE_OK && more && ahead->lsn < lsn_end) {
        status = look_at_record(follower, ahead, &more, err);
        if (ahead->end == ahead->lsn && ahead->offset - follower->offset > AHEAD_MAX)
            break;
    }
    /* Of a group that was cut by a crash, recovery keeps what is whole. */
    if (ahead->lsn == lsn_end)
        ahead->end = lsn_end;
    return status;
}

/* The LSN up to which records may be shown. */
static uint64_t
limit_of(struct och_wal_follower *follower, const struct ahead *ahead, bool now)
{
    uint64_t limit = ahead->end;
    if (ahead->bad > ahead->vouched && ahead->bad < limit)
        limit = ahead->bad; /* it is being written */
    if (limit <= ahead->vouched + 1)
        return limit;
    uint64_t durable = ahead->vouched + 1 > follower->lsn ? ahead->vouched + 1 : follower->lsn;
    follower->waiting = limit;
    if ((!now && follower->waited != limit) || follower->not_durable == limit)
        return durable;
    /* What was read is made durable before it is shown. */
    if (och_file_sync(follower->scan.file, NULL) == OCHRE_OK)
        return limit;
    follower->not_durable = limit; /* whoever wrote it will find out whether it is */
    return durable;
}

/* Visit the record at hand. */
static ochre_status
visit_record(struct wal_scan *scan, uint64_t number, uint64_t *offset, uint64_t lsn,
        och_log_visit visit, void *context, struct ochre_error *err)
{
    struct wal_frame frame;
    bool valid, cut;
    const char *payload;
    ochre_status status = och_wal_read_frame(scan, *offset, &valid, &cut, &frame, err);
    if (status != OCHRE_OK)
        return status;
    if (!valid || frame.lsn != lsn)
        return och_wal_fail_damaged(number, lsn, err);
    status = fetch_payload(scan, *offset, &frame, &payload, err);
    if (status != OCHRE_OK)
        return status;
    *offset = offset_after(*offset, &frame);
    if (visit == NULL)
        return OCHRE_OK;
    bool damaged = !crc_matches(payload, &frame);
    struct och_log_record record = {.lsn = frame.lsn,
            .position = frame.position,
            .collection = frame.collection,
            .type = frame.type,
            .payload_crc = frame.payload_crc,
            .payload = {damaged ? "" : payload, damaged ? 0 : frame.payload_size}};
    return visit(context, &record, damaged, err);
}

/* A file that is shorter than it was made: has it been opened since by who writes, or was
 * it cut by somebody else, with what was in it? */
static ochre_status
check_size(struct och_wal_follower *follower, struct ochre_error *err)
{
    struct wal_scan *scan = &follower->scan;
    struct ahead ahead;
    struct wal_frame frame;
    bool valid = false, cut = false;
    if (scan->file_size >= scan->full_size)
        return OCHRE_OK;
    ochre_status status = look_ahead(follower, UINT64_MAX, &ahead, err);
    if (status == OCHRE_OK)
        status = och_wal_read_frame(scan, ahead.offset, &valid, &cut, &frame, err);
    if (status != OCHRE_OK || (valid && frame.lsn == ahead.lsn))
        return status; /* there is more than is looked ahead */
    status = och_wal_is_cut(scan, ahead.offset, &cut, err);
    return status == OCHRE_OK && cut ? och_wal_fail_damaged(follower->number, ahead.lsn, err)
                                     : status;
}

/* Nothing has come for a while.  Is there something behind what should be next, that
 * knows it to be durable? */
static ochre_status
check_end(struct och_wal_follower *follower, struct ochre_error *err)
{
    uint64_t synced = 0;
    bool more = false;
    if (!follower->is_fresh && ++follower->n_idle < follower->idle_limit)
        return OCHRE_OK;
    if (!follower->is_fresh && follower->idle_limit < IDLE_MAX)
        follower->idle_limit *= 2;
    follower->is_fresh = false;
    follower->n_idle = 0;
    ochre_status status = refresh(&follower->scan, err);
    if (status == OCHRE_OK)
        status = check_size(follower, err);
    if (status == OCHRE_CORRUPT)
        follower->n_idle = follower->idle_limit; /* and say so each time */
    if (status == OCHRE_OK)
        status = och_wal_synced_after(&follower->scan, follower->offset, &synced, err);
    if (status == OCHRE_OK && synced >= follower->lsn)
        status = has_more(follower, &more, err);
    if (status == OCHRE_OK && synced >= follower->lsn && !more) {
        follower->n_idle = follower->idle_limit;
        status = och_wal_fail_damaged(follower->number, follower->lsn, err);
    }
    return status;
}

/* Visit what the current file has to offer; it ends with `lsn_end`. */
static ochre_status
follow_file(struct och_wal_follower *follower, uint64_t lsn_end, bool now, och_log_visit visit,
        void *context, struct ochre_error *err)
{
    struct ahead ahead;
    ochre_status status = OCHRE_OK;
    bool more = true;
    while (status == OCHRE_OK && more) {
        status = look_ahead(follower, lsn_end, &ahead, err);
        uint64_t limit = status == OCHRE_OK ? limit_of(follower, &ahead, now) : 0;
        if (status == OCHRE_OK && limit > follower->lsn)
            status = refresh(&follower->scan, err);
        more = limit > follower->lsn;
        while (status == OCHRE_OK && follower->lsn < limit) {
            uint64_t offset = follower->offset;
            status = visit_record(
                    &follower->scan, follower->number, &offset, follower->lsn, visit, context, err);
            if (status != OCHRE_OK)
                break;
            follower->offset = offset;
            follower->lsn++;
            follower->n_idle = 0;
            follower->idle_limit = IDLE_MIN;
        }
    }
    return status;
}

/* --- following -------------------------------------------------------------------- */

static ochre_status
begin_file(struct och_wal_follower *follower, const struct entry *entry, bool *lost_out,
        struct ochre_error *err)
{
    struct wal_scan scan;
    ochre_status status = och_wal_scan_open(
            &scan, &follower->options, entry->number, entry->salt, OCH_OPEN_READ, err);
    *lost_out = status == OCHRE_NOT_FOUND;
    if (status != OCHRE_OK)
        return *lost_out ? OCHRE_OK : status; /* and the file at hand stays */
    och_wal_scan_close(&follower->scan);
    follower->scan = scan;
    follower->scan.full_size = entry->full_size;
    follower->number = entry->number;
    follower->lsn = entry->first_lsn;
    follower->offset = WAL_PAGE;
    return OCHRE_OK;
}

/* A big record's window is not kept. */
static void
shrink_window(struct wal_scan *scan)
{
    if (scan->window_size <= OCH_LOG_FILE_SIZE_MIN)
        return;
    och_mem_release(scan->mem, scan->window, scan->window_size);
    scan->window = NULL;
    scan->window_size = scan->window_used = 0;
}

/* The current file had less than the next one says. */
static ochre_status
end_early(struct och_wal_follower *follower, bool *lost_out, struct ochre_error *err)
{
    *lost_out = find_entry(follower, follower->number) == NULL; /* those between are gone too */
    return *lost_out ? OCHRE_OK : och_wal_fail_damaged(follower->number, follower->lsn, err);
}

ochre_status
och_wal_follow(struct och_wal_follower *follower, bool now, och_log_visit visit, void *context,
        bool *lost_out, struct ochre_error *err)
{
    *lost_out = false;
    follower->waited = follower->waiting;
    follower->waiting = 0;
    ochre_status status = list_files(follower, err);
    if (status != OCHRE_OK || follower->n_files == 0)
        return status;
    if (follower->scan.file == NULL) {
        status = begin_file(follower, &follower->files[0], lost_out, err);
    } else if (is_overridden(follower)) {
        *lost_out = true;
    }
    while (status == OCHRE_OK && !*lost_out) {
        const struct entry *next = entry_after(follower, follower->number);
        uint64_t before = follower->lsn;
        status = follow_file(follower, first_lsn_of(next), now, visit, context, err);
        bool ends = status == OCHRE_OK && next == NULL;
        if (ends && (follower->lsn == before || follower->is_fresh))
            status = check_end(follower, err);
        if (ends)
            break;
        if (status == OCHRE_OK && follower->lsn < next->first_lsn)
            status = end_early(follower, lost_out, err);
        else if (status == OCHRE_OK)
            status = begin_file(follower, next, lost_out, err);
    }
    shrink_window(&follower->scan);
    return status;
}

/* --- again ------------------------------------------------------------------------ */

/* Visit one file's records from `lsn` to `lsn_end`. */
static ochre_status
/* NOLINTNEXTLINE(readability-function-size): what is visited, and what for */
revisit_file(struct och_wal_follower *follower, const struct entry *entry, uint64_t lsn,
        uint64_t lsn_end, och_log_visit visit, void *context, bool *lost_out,
        struct ochre_error *err)
{
    struct wal_scan scan;
    ochre_status status = och_wal_scan_open(
            &scan, &follower->options, entry->number, entry->salt, OCH_OPEN_READ, err);
    *lost_out = status == OCHRE_NOT_FOUND;
    if (status != OCHRE_OK)
        return *lost_out ? OCHRE_OK : status;
    uint64_t offset = WAL_PAGE;
    for (uint64_t at = entry->first_lsn; at < lsn_end && status == OCHRE_OK; at++)
        status = visit_record(
                &scan, entry->number, &offset, at, at < lsn ? NULL : visit, context, err);
    och_wal_scan_close(&scan);
    return status;
}

ochre_status
och_wal_revisit(struct och_wal_follower *follower, uint64_t lsn, och_log_visit visit, void *context,
        bool *lost_out, struct ochre_error *err)
{
    size_t first = 0;
    *lost_out = false;
    if (lsn >= follower->lsn)
        return OCHRE_OK;
    for (size_t i = 0; i < follower->n_files; i++)
        if (follower->files[i].first_lsn <= lsn && follower->files[i].number <= follower->number)
            first = i;
    ochre_status status = OCHRE_OK;
    for (size_t i = first; i < follower->n_files && status == OCHRE_OK && !*lost_out; i++) {
        uint64_t lsn_end =
                i + 1 < follower->n_files ? follower->files[i + 1].first_lsn : UINT64_MAX;
        lsn_end = lsn_end < follower->lsn ? lsn_end : follower->lsn;
        status = revisit_file(
                follower, &follower->files[i], lsn, lsn_end, visit, context, lost_out, err);
        if (follower->files[i].number == follower->number)
            break;
    }
    return status;
}

ochre_status
och_wal_follower_each_file(
        const struct och_wal_follower *follower, och_wal_visit_file visit, void *context)
{
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < follower->n_files && status == OCHRE_OK; i++) {
        const struct entry *entry = &follower->files[i];
        bool is_last = entry->number == follower->number;
        if (entry->number <= follower->number)
            status = visit(context, entry->number, is_last ? follower->offset : UINT64_MAX);
    }
    return status;
}

/* --- the rest --------------------------------------------------------------------- */

void
och_wal_follower_rewind(struct och_wal_follower *follower)
{
    och_wal_scan_close(&follower->scan);
    follower->lsn = 1;
    follower->waiting = 0;
    follower->n_idle = 0;
    follower->idle_limit = IDLE_MIN;
    follower->is_fresh = true;
}

uint64_t
och_wal_follower_next_lsn(const struct och_wal_follower *follower)
{
    return follower->lsn;
}

ochre_status
och_wal_follower_open(const struct och_wal_options *options, struct och_wal_follower **follower_out,
        struct ochre_error *err)
{
    struct och_wal_follower *follower = och_mem_take_zeroed(options->mem, sizeof(*follower));
    *follower_out = follower;
    if (follower == NULL)
        return och_fail_memory(err);
    follower->options = *options;
    follower->scan.mem = options->mem;
    och_wal_follower_rewind(follower);
    return OCHRE_OK;
}

void
och_wal_follower_close(struct och_wal_follower *follower)
{
    if (follower == NULL)
        return;
    struct och_mem *mem = follower->options.mem;
    och_wal_scan_close(&follower->scan);
    och_mem_release(mem, follower->files, follower->room * sizeof(*follower->files));
    och_mem_release(mem, follower, sizeof(*follower));
}
