#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "storage/wal_internal.h"

/* Where a scan stands. */
struct progress {
    uint64_t offset;
    uint64_t group;   /* where that of the last valid record begins; 0: there is none */
    uint64_t lsn;     /* the next one expected */
    uint64_t lsn_end; /* the next file begins here; UINT64_MAX: there is none */
    uint64_t number;
    uint64_t synced; /* the highest LSN that a record here knows to be durable */
    bool in_group;   /* the last valid record is not the last of its group */
    bool ended;
    bool is_damaged;     /* records are missing, */
    bool is_cut;         /* at the end of the file */
    struct och_wal *wal; /* whose holes are passed over; NULL: none is */
    bool is_probe;       /* they are not noted */
};

/* What stands at the progress is no valid record: a torn end, or damage? */
static ochre_status
judge_end(struct wal_scan *scan, const struct progress *at, bool cut, bool *damaged_out,
        struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    *damaged_out = at->lsn_end == UINT64_MAX ? cut : at->lsn < at->lsn_end;
    if (at->lsn_end != UINT64_MAX)
        return OCHRE_OK;
    if (!cut)
        status = och_wal_is_cut(scan, at->offset, damaged_out, err);
    uint64_t synced = 0;
    if (status == OCHRE_OK && !*damaged_out)
        status = och_wal_synced_after(scan, at->offset, &synced, err);
    *damaged_out = *damaged_out || synced >= at->lsn;
    return status;
}

ochre_status
och_wal_add_hole(struct och_wal *wal, uint64_t from, uint64_t to, struct ochre_error *err)
{
    if (wal->n_holes == wal->holes_room) {
        size_t room = wal->holes_room == 0 ? 4 : wal->holes_room * 2;
        struct wal_hole *holes = och_mem_resize(wal->options.mem, wal->holes,
                wal->holes_room * sizeof(*holes), room * sizeof(*holes));
        if (holes == NULL)
            return och_fail_memory(err);
        wal->holes = holes;
        wal->holes_room = room;
    }
    wal->holes[wal->n_holes++] = (struct wal_hole){from, to};
    return OCHRE_OK;
}

/* Go on with the next group that is whole, or, without one, where the next file begins. */
static ochre_status
pass_hole(struct wal_scan *scan, struct progress *at, struct ochre_error *err)
{
    uint64_t from = at->lsn;
    uint64_t offset = at->offset / WAL_PAGE * WAL_PAGE + WAL_PAGE;
    struct wal_frame frame = {.lsn = 0};
    bool found = false;
    at->is_damaged = true;
    for (; offset < scan->file_size && !found; offset += WAL_PAGE) {
        bool cut;
        ochre_status status = och_wal_read_frame(scan, offset, &found, &cut, &frame, err);
        if (status != OCHRE_OK)
            return status;
        found = found && frame.lsn > from && frame.lsn < at->lsn_end;
        at->offset = found ? offset : at->offset;
    }
    at->in_group = false;
    at->ended = at->is_cut = !found;
    if (found)
        at->lsn = frame.lsn;
    return at->is_probe ? OCHRE_OK
                        : och_wal_add_hole(at->wal, from, found ? at->lsn : at->lsn_end, err);
}

/* What stands at the progress is not the next record: the end, or damage that is passed over. */
static ochre_status
end_or_pass(struct wal_scan *scan, struct progress *at, bool cut, struct ochre_error *err)
{
    bool damaged = false;
    ochre_status status = judge_end(scan, at, cut, &damaged, err);
    at->ended = !damaged;
    if (status != OCHRE_OK || !damaged)
        return status;
    return at->wal->options.passes_holes ? pass_hole(scan, at, err)
                                         : och_wal_fail_damaged(at->number, at->lsn, err);
}

/* Is a record of the file with a bad payload known to be durable?  Otherwise it is its torn end. */
static ochre_status
is_vouched_for(struct wal_scan *scan, const struct progress *at, const struct wal_frame *frame,
        uint64_t end, bool *vouched_out, struct ochre_error *err)
{
    uint64_t synced = at->lsn_end == UINT64_MAX ? 0 : at->lsn_end - 1;
    ochre_status status = OCHRE_OK;
    if (at->lsn_end == UINT64_MAX)
        status = och_wal_synced_after(scan, end, &synced, err);
    *vouched_out = synced >= frame->lsn;
    return status;
}

/* Visit the record at the progress, or find the end. */
static ochre_status
step(struct wal_scan *scan, struct progress *at, och_log_visit visit, void *context,
        struct ochre_error *err)
{
    bool valid, cut;
    struct wal_frame frame;
    if (at->lsn == at->lsn_end) {
        at->ended = true; /* what follows is overridden by the next file */
        return OCHRE_OK;
    }
    ochre_status status = och_wal_read_frame(scan, at->offset, &valid, &cut, &frame, err);
    if (status != OCHRE_OK)
        return status;
    if (!valid || frame.lsn != at->lsn)
        return end_or_pass(scan, at, cut && frame.lsn == at->lsn, err);
    if (frame.synced_lsn > at->synced && frame.synced_lsn < frame.lsn)
        at->synced = frame.synced_lsn;

    const char *payload = "";
    if (frame.payload_size > 0)
        status =
                och_wal_fetch(scan, at->offset + WAL_FRAME_SIZE, frame.payload_size, &payload, err);
    if (status != OCHRE_OK)
        return status;
    bool damaged = och_crc32c(0, payload, frame.payload_size) != frame.payload_crc;
    uint64_t end = at->offset + och_wal_record_size(frame.payload_size);
    if (damaged) {
        bool vouched = false;
        status = is_vouched_for(scan, at, &frame, end, &vouched, err);
        at->ended = !vouched;
        if (status != OCHRE_OK || !vouched)
            return status;
        payload = "";
        frame.payload_size = 0;
    }
    struct och_log_record record = {.lsn = frame.lsn,
            .position = frame.position,
            .collection = frame.collection,
            .type = frame.type,
            .payload_crc = frame.payload_crc,
            .payload = {payload, frame.payload_size}};
    status = visit(context, &record, damaged, err);
    if (!at->is_probe && at->wal->reach != NULL)
        och_wal_reach_note(at->wal->reach, record.collection, record.lsn);
    if (at->offset % WAL_PAGE == 0 && frame.synced_lsn + 1 == frame.lsn)
        at->group = at->offset;
    at->lsn++;
    at->offset = end;
    at->in_group = (frame.flags & WAL_FLAG_LAST_IN_GROUP) == 0;
    if (!at->in_group)
        at->offset = (end + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
    return status;
}

/*
 * What stands last in the newest file may be in the page cache only: its process
 * may have been killed before its sync, or have had that sync fail, after which
 * a system may take the pages for clean, so that syncing them once more does
 * nothing.  What is shown to readers from here on must be durable.  So the same
 * bytes are written again, where they are, which needs no space; all before
 * them was synced before they were written.
 *
 * Nothing will be added to this file: what it has allocated behind them goes
 * back, or many starts with little written in between would fill a disk.  A page of
 * zeros stays: a file that ends with a group was cut by somebody else.
 */
static ochre_status
renew_end(struct wal_scan *scan, const struct progress *at, struct ochre_error *err)
{
    static const char zeros[2 * WAL_PAGE];
    ochre_status status = OCHRE_OK;
    uint64_t last = at->offset < scan->file_size ? at->offset : scan->file_size;
    /* Without a group it is the header. */
    for (uint64_t next = at->group; next < last && status == OCHRE_OK; next += WAL_WINDOW_MIN) {
        uint64_t left = last - next;
        size_t size = left < WAL_WINDOW_MIN ? (size_t) left : WAL_WINDOW_MIN;
        const char *bytes;
        status = och_wal_fetch(scan, next, size, &bytes, err);
        if (status == OCHRE_OK)
            status = och_file_write(scan->file, next, bytes, size, err);
    }
    /* What is damaged stays as it is: it looks cut to later openings, too. */
    uint64_t end =
            at->is_damaged ? scan->file_size : och_wal_copy_size(at->offset, scan->file_size);
    if (status == OCHRE_OK && at->offset < end && !at->is_damaged)
        status = och_file_write(scan->file, at->offset, zeros, (size_t) (end - at->offset), err);
    if (status == OCHRE_OK)
        status = och_file_sync(scan->file, err);
    /* Only now: a file that ends before its last record was cut by somebody else. */
    if (status == OCHRE_OK && end < scan->file_size) {
        ochre_status cut = och_file_truncate(scan->file, end, NULL);
        (void) cut; /* the space goes with the file */
    }
    return status;
}

static ochre_status
pass_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    (void) context;
    (void) record;
    (void) damaged;
    (void) err;
    return OCHRE_OK;
}

/*
 * Where the file after this one is lost, or might be, it may have begun so that it overrides
 * the last group here, of which a sync had failed.  Then only what a later group knows to be
 * durable counts: records below *lsn_end_out.
 */
static ochre_status
find_doubt(struct wal_scan *scan, const struct progress *begin, const struct wal_end *end,
        uint64_t *lsn_end_out, struct ochre_error *err)
{
    struct progress at = *begin;
    at.is_probe = true;
    ochre_status status = OCHRE_OK;
    while (status == OCHRE_OK && !at.ended)
        status = step(scan, &at, pass_record, NULL, err);
    bool is_short = at.lsn < end->lsn && end->lsn != UINT64_MAX;
    bool is_behind = end->lsn == UINT64_MAX && !at.is_cut && at.lsn <= end->lsn_min &&
            !och_wal_reach_knows_files(at.wal->reach);
    if (at.lsn > at.wal->seen_lsn)
        at.wal->seen_lsn = at.lsn;
    if (end->is_lost || is_behind || (is_short && !end->is_next))
        *lsn_end_out = at.synced + 1 > begin->lsn ? at.synced + 1 : begin->lsn;
    return status;
}

ochre_status
och_wal_recover_file(struct och_wal *wal, const struct wal_found *found, const struct wal_end *end,
        och_log_visit visit, void *context, struct ochre_error *err)
{
    struct wal_scan scan;
    unsigned flags = wal->options.read_only ? OCH_OPEN_READ : OCH_OPEN_WRITE;
    ochre_status status =
            och_wal_scan_open(&scan, &wal->options, found->number, found->salt, flags, err);
    if (status != OCHRE_OK)
        return status;
    scan.full_size = found->full_size;
    uint64_t lsn_end = end->lsn;
    struct progress at = {.offset = WAL_PAGE,
            .lsn = found->first_lsn,
            .lsn_end = end->lsn,
            .synced = found->first_lsn - 1,
            .number = found->number,
            .wal = wal};
    if (wal->options.passes_holes)
        status = find_doubt(&scan, &at, end, &lsn_end, err);
    bool is_doubted = lsn_end != end->lsn;
    at.lsn_end = lsn_end;
    at.ended = at.lsn == lsn_end;
    while (status == OCHRE_OK && !at.ended)
        status = step(&scan, &at, visit, context, err);
    if (status == OCHRE_OK && is_doubted)
        status = och_wal_add_hole(wal, lsn_end, end->lsn, err);
    /* The end is before what is known of: what lies behind it may still be read by a repair. */
    bool is_behind = end->lsn == UINT64_MAX && at.lsn <= end->lsn_min;
    at.is_damaged |= is_doubted || is_behind;
    wal->is_end_doubted = is_doubted && end->lsn == UINT64_MAX;
    bool is_refused = is_behind && !wal->options.passes_holes;
    if (status == OCHRE_OK && end->lsn == UINT64_MAX && !wal->options.read_only && !is_refused)
        status = renew_end(&scan, &at, err);
    if (status == OCHRE_OK) {
        bool is_short = wal->options.passes_holes && end->lsn != UINT64_MAX && at.lsn < end->lsn;
        wal->next_lsn = is_short ? end->lsn : at.lsn;
        wal->newest_number = found->number;
        wal->newest_salt = found->salt;
        if (och_wal_add_file(wal, found->number, found->first_lsn, at.offset) != OCHRE_OK)
            status = och_fail_memory(err);
        else
            wal->newest->salt = found->salt;
    }
    och_wal_scan_close(&scan);
    return status;
}
