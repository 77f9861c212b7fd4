#include "storage/wal_salvage.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "storage/wal_internal.h"

#define RECORD_UNIT ((uint64_t) 8) /* records begin at multiples of it */

/* A file of the log. */
struct found {
    uint64_t number, first_lsn, salt, full_size;
    bool after_lost; /* before it there is one that cannot be read */
};

struct listing {
    struct och_wal_salvage *salvage;
    struct found *files; /* owned */
    size_t n, room;
    bool is_lost;         /* the last one looked at */
    uint64_t last_number; /* what the table knows to be begun; 0: nothing */
    bool has_last;        /* that is there */
    struct ochre_error *err;
};

static void
note(struct och_wal_salvage *salvage, uint64_t number, const char *message)
{
    char path[WAL_PATH_SIZE];
    och_wal_path(path, number, WAL_SUFFIX);
    if (salvage->note != NULL)
        salvage->note(salvage->context, path, message);
}

/* --- files -------------------------------------------------------------------- */

static ochre_status
open_file(const struct och_wal_salvage *salvage, uint64_t number, uint64_t salt,
        struct wal_scan *scan, struct ochre_error *err)
{
    const struct och_wal_options options = {.mem = salvage->mem, .vfs = salvage->vfs};
    return och_wal_scan_open(scan, &options, number, salt, OCH_OPEN_READ, err);
}

/* *why_out: it cannot be read, because of that; NULL: it can, or has nothing in it. */
static ochre_status
inspect(const struct och_wal_salvage *salvage, uint64_t last_number, struct wal_scan *scan,
        struct found *found, const char **why_out, struct ochre_error *err)
{
    struct wal_header header = {.version = 0};
    const char *page = NULL;
    bool valid = false;
    bool unused = false;
    *why_out = NULL;
    ochre_status status = OCHRE_OK;
    if (scan->file_size >= WAL_PAGE) {
        status = och_wal_fetch(scan, 0, WAL_PAGE, &page, err);
        valid = status == OCHRE_OK && och_wal_header_get(page, &header);
    }
    /* Zeros behind the first page: whatever its header was, nothing was ever in it, unless the
     * table knows better. */
    if (status == OCHRE_OK && !valid)
        status = och_wal_rest_is_zero(scan, WAL_PAGE, &unused, err);
    unused = unused && found->number > last_number;
    if (status != OCHRE_OK)
        return status;
    if (valid && header.version != WAL_VERSION)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "a file of the log has format %u; this version of ochre reads format %u",
                (unsigned) header.version, WAL_VERSION);
    if (!valid && !unused)
        *why_out = "the header is damaged";
    else if (valid && !och_uuid_equal(header.database, salvage->database))
        *why_out = "it belongs to another database";
    else if (valid && header.number != found->number)
        *why_out = "it was renamed";
    found->first_lsn = valid ? header.first_lsn : WAL_NEVER_BEGUN;
    found->salt = header.salt;
    found->full_size = header.full_size;
    return OCHRE_OK;
}

static ochre_status
keep(struct listing *listing, struct found found)
{
    if (listing->n == listing->room) {
        size_t room = listing->room == 0 ? 16 : listing->room * 2;
        struct found *files = och_mem_resize(listing->salvage->mem, listing->files,
                listing->room * sizeof(*files), room * sizeof(*files));
        if (files == NULL)
            return och_fail_memory(listing->err);
        listing->files = files;
        listing->room = room;
    }
    found.after_lost = listing->is_lost;
    listing->is_lost = false;
    listing->files[listing->n++] = found;
    return OCHRE_OK;
}

static ochre_status
visit_name(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    struct och_wal_salvage *salvage = listing->salvage;
    struct found found = {.number = 0};
    struct wal_scan scan;
    char message[128];
    const char *why = NULL;
    if (is_dir || !och_wal_path_number(name, WAL_SUFFIX, &found.number))
        return OCHRE_OK;
    listing->has_last = listing->has_last || found.number == listing->last_number;
    ochre_status status = open_file(salvage, found.number, 0, &scan, listing->err);
    if (status == OCHRE_OK)
        status = inspect(salvage, listing->last_number, &scan, &found, &why, listing->err);
    uint64_t size = scan.file_size;
    och_wal_scan_close(&scan);
    if (status != OCHRE_OK)
        return status;
    /* LSNs rise with numbers: one that does not fit in was begun by nobody. */
    if (why == NULL && found.first_lsn != WAL_NEVER_BEGUN && listing->n > 0 &&
            found.first_lsn < listing->files[listing->n - 1].first_lsn)
        why = "it begins before the file that it follows";
    if (why != NULL) {
        (void) snprintf(message, sizeof(message), "%s: %llu bytes are given up", why,
                (unsigned long long) size);
        note(salvage, found.number, message);
        salvage->n_lost++;
        salvage->bytes_given_up += size;
        listing->is_lost = true;
        return OCHRE_OK;
    }
    return found.first_lsn == WAL_NEVER_BEGUN ? OCHRE_OK : keep(listing, found);
}

/* What the files say of the table. */
struct judging {
    const struct och_wal_salvage *salvage;
    struct wal_reach_file newest; /* salt 0: none */
    uint64_t last_number;
    struct ochre_error *err;
};

static ochre_status
judge_name(void *context, const char *name, bool is_dir)
{
    struct judging *judging = context;
    struct wal_scan scan;
    struct wal_header header = {.version = 0};
    const char *page = NULL;
    uint64_t number = 0;
    bool valid = false;
    bool unused = false;
    if (is_dir || !och_wal_path_number(name, WAL_SUFFIX, &number))
        return OCHRE_OK;
    ochre_status status = open_file(judging->salvage, number, 0, &scan, judging->err);
    if (status == OCHRE_OK && scan.file_size >= WAL_PAGE) {
        status = och_wal_fetch(&scan, 0, WAL_PAGE, &page, judging->err);
        valid = status == OCHRE_OK && och_wal_header_get(page, &header);
    }
    if (status == OCHRE_OK && !valid)
        status = och_wal_rest_is_zero(&scan, WAL_PAGE, &unused, judging->err);
    och_wal_scan_close(&scan);
    if (status != OCHRE_OK || unused || (valid && header.first_lsn == WAL_NEVER_BEGUN))
        return status;
    judging->last_number = number;
    if (valid)
        judging->newest = (struct wal_reach_file){number, header.salt, header.reach_nonce};
    return OCHRE_OK;
}

static ochre_status
judge_reach(struct och_wal_salvage *salvage, struct ochre_error *err)
{
    struct judging judging = {.salvage = salvage, .err = err};
    ochre_status status = och_vfs_list(salvage->vfs, WAL_DIR, judge_name, &judging, err);
    if (status == OCHRE_NOT_FOUND)
        status = OCHRE_OK;
    if (status == OCHRE_OK)
        och_wal_reach_judge(salvage->reach, judging.newest.salt != 0 ? &judging.newest : NULL,
                judging.last_number);
    if (status == OCHRE_OK && och_wal_reach_max(salvage->reach) > salvage->lsn_min)
        salvage->lsn_min = och_wal_reach_max(salvage->reach);
    return status;
}

/* --- records ------------------------------------------------------------------ */

/* Going through one file. */
struct walk {
    struct och_wal_salvage *salvage;
    struct wal_scan scan;
    const struct found *found;
    uint64_t offset;
    uint64_t lsn;     /* the next one expected */
    uint64_t lsn_end; /* the next file begins here; UINT64_MAX: there is none */
    uint64_t lsn_cut; /* of a record that the file ends in; 0: none */
    uint64_t synced;  /* the highest LSN that a frame here knows to be durable */
    uint64_t limit;   /* records up to this one count */
    bool tells;       /* visit and note, instead of only looking */
};

/* Could the frame at these bytes be the one of a record from the walk's on?  Cheaper than
 * its checksum, which then decides. */
static bool
may_follow(const struct walk *walk, const char *bytes, uint64_t offset)
{
    uint64_t lsn = och_load_u64(bytes + 8);
    return lsn >= walk->lsn && lsn < walk->lsn_end &&
            lsn - walk->lsn <= (offset - walk->offset) / WAL_FRAME_SIZE;
}

/* Is it at the walk's offset, where it belongs? */
static ochre_status
take_frame(struct walk *walk, uint64_t offset, struct wal_frame *frame_out, bool *found_out,
        struct ochre_error *err)
{
    bool cut = false;
    ochre_status status = och_wal_read_frame(&walk->scan, offset, found_out, &cut, frame_out, err);
    *found_out = *found_out && frame_out->lsn >= walk->lsn && frame_out->lsn < walk->lsn_end;
    if (status == OCHRE_OK && cut && frame_out->lsn > walk->lsn_cut)
        walk->lsn_cut = frame_out->lsn;
    return status;
}

/* Find the next record from the walk's offset on; *found_out false: there is none. */
static ochre_status
find_frame(struct walk *walk, uint64_t *offset_out, struct wal_frame *frame_out, bool *found_out,
        struct ochre_error *err)
{
    struct wal_scan *scan = &walk->scan;
    uint64_t offset = walk->offset;
    *offset_out = offset;
    ochre_status first = take_frame(walk, offset, frame_out, found_out, err);
    if (first != OCHRE_OK || (*found_out && frame_out->lsn == walk->lsn))
        return first;
    *found_out = false;
    while (offset + WAL_FRAME_SIZE <= scan->file_size) {
        uint64_t left = scan->file_size - offset;
        size_t size = (size_t) (left < WAL_WINDOW_MIN ? left : WAL_WINDOW_MIN);
        const char *bytes;
        ochre_status status = och_wal_fetch(scan, offset, size, &bytes, err);
        if (status != OCHRE_OK)
            return status;
        uint64_t end = offset + size - WAL_FRAME_SIZE;
        for (const char *at = bytes; offset <= end; offset += RECORD_UNIT, at += RECORD_UNIT) {
            /* The frame lies in the window, which stays where it is. */
            if (!may_follow(walk, at, offset))
                continue;
            status = take_frame(walk, offset, frame_out, found_out, err);
            *offset_out = offset;
            if (status != OCHRE_OK || *found_out)
                return status;
        }
    }
    return OCHRE_OK;
}

static void
note_missing(struct och_wal_salvage *salvage, uint64_t from, uint64_t to)
{
    if (salvage->missing_from == 0 || from < salvage->missing_from)
        salvage->missing_from = from;
    if (to > salvage->missing_to)
        salvage->missing_to = to;
}

static void
note_hole(struct walk *walk, uint64_t n_records, uint64_t n_bytes)
{
    struct och_wal_salvage *salvage = walk->salvage;
    char message[128];
    if (!walk->tells || n_records == 0)
        return;
    (void) snprintf(message, sizeof(message),
            "records %llu to %llu are damaged or missing: %llu bytes are given up",
            (unsigned long long) walk->lsn, (unsigned long long) (walk->lsn + n_records - 1),
            (unsigned long long) n_bytes);
    note(salvage, walk->found->number, message);
    note_missing(salvage, walk->lsn, walk->lsn + n_records);
    salvage->n_missing += n_records;
    salvage->bytes_given_up += n_bytes;
}

static ochre_status
visit_frame(
        struct walk *walk, uint64_t offset, const struct wal_frame *frame, struct ochre_error *err)
{
    struct och_wal_salvage *salvage = walk->salvage;
    const char *payload = "";
    ochre_status status = OCHRE_OK;
    if (frame->lsn > walk->limit) {
        note_missing(salvage, frame->lsn, walk->lsn_end);
        salvage->n_in_doubt++;
        return OCHRE_OK;
    }
    if (frame->payload_size > 0)
        status = och_wal_fetch(
                &walk->scan, offset + WAL_FRAME_SIZE, frame->payload_size, &payload, err);
    if (status != OCHRE_OK)
        return status;
    bool damaged = och_crc32c(0, payload, frame->payload_size) != frame->payload_crc;
    struct och_log_record record = {.lsn = frame->lsn,
            .position = frame->position,
            .collection = frame->collection,
            .type = frame->type,
            .payload_crc = frame->payload_crc,
            .payload = {payload, damaged ? 0 : frame->payload_size}};
    salvage->n_records++;
    return salvage->visit(salvage->context, &record, damaged, err);
}

/* Go through all records of the file that no later one overrides. */
static ochre_status
go(struct walk *walk, struct ochre_error *err)
{
    walk->offset = WAL_PAGE;
    walk->lsn = walk->found->first_lsn;
    bool found = true;
    ochre_status status = OCHRE_OK;
    while (status == OCHRE_OK && walk->lsn < walk->lsn_end) {
        uint64_t offset = walk->offset;
        struct wal_frame frame = {.lsn = 0};
        status = find_frame(walk, &offset, &frame, &found, err);
        if (status != OCHRE_OK || !found)
            break;
        note_hole(walk, frame.lsn - walk->lsn, offset - walk->offset);
        if (frame.synced_lsn > walk->synced && frame.synced_lsn < frame.lsn)
            walk->synced = frame.synced_lsn;
        if (walk->tells)
            status = visit_frame(walk, offset, &frame, err);
        walk->offset = offset + och_wal_record_size(frame.payload_size);
        if ((frame.flags & WAL_FLAG_LAST_IN_GROUP) != 0)
            walk->offset = (walk->offset + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
        walk->lsn = frame.lsn + 1;
    }
    return status;
}

/* Between two groups, or so near behind one that nothing of the next is left. */
static void
note_cut(struct walk *walk)
{
    char message[128];
    (void) snprintf(message, sizeof(message),
            "it was cut behind record %llu: what was written after that, if anything was, is lost",
            (unsigned long long) walk->lsn - 1);
    note(walk->salvage, walk->found->number, message);
}

/* What is missing behind the last record of the file, if it is known that something is; with
 * `is_lost` a file that cannot be read comes next. */
static ochre_status
note_end(struct walk *walk, bool is_lost, struct ochre_error *err)
{
    uint64_t lsn_end = walk->lsn_end != UINT64_MAX ? walk->lsn_end : walk->salvage->lsn_min + 1;
    uint64_t size = walk->scan.file_size;
    bool is_cut = false;
    ochre_status status = OCHRE_OK;
    if (walk->lsn_end == UINT64_MAX)
        status = och_wal_is_cut(&walk->scan, walk->offset, &is_cut, err);
    if (walk->lsn_cut >= lsn_end)
        lsn_end = walk->lsn_cut + 1;
    if (walk->lsn < lsn_end)
        note_hole(walk, lsn_end - walk->lsn, size > walk->offset ? size - walk->offset : 0);
    else if (is_cut)
        note_cut(walk);
    bool is_open = walk->lsn_end == UINT64_MAX && (is_cut || walk->lsn < lsn_end || is_lost);
    if (status == OCHRE_OK && is_open)
        note_missing(walk->salvage, walk->lsn, UINT64_MAX);
    return status;
}

static bool
knows_files(const struct och_wal_salvage *salvage)
{
    return salvage->reach != NULL && och_wal_reach_knows_files(salvage->reach);
}

/* One file; `next` is the one that follows, NULL: there is none.  `is_lost`: between the
 * two there is one that cannot be read. */
static ochre_status
salvage_file(struct och_wal_salvage *salvage, const struct found *found, const struct found *next,
        bool is_lost, struct ochre_error *err)
{
    och_assert(found != NULL);
    struct walk walk = {.salvage = salvage,
            .found = found,
            .lsn_end = next != NULL ? next->first_lsn : UINT64_MAX,
            .limit = UINT64_MAX};
    ochre_status status = open_file(salvage, found->number, found->salt, &walk.scan, err);
    if (status != OCHRE_OK)
        return status;
    walk.scan.full_size = found->full_size;
    status = go(&walk, err);
    /* Is a whole file missing that may have begun in the middle of this one? */
    bool is_gone = next == NULL ? walk.lsn <= salvage->lsn_min && !knows_files(salvage)
                                : walk.lsn < next->first_lsn && next->number != found->number + 1;
    if (is_lost || is_gone)
        walk.limit = walk.synced;
    if (walk.lsn - 1 > salvage->lsn_last)
        salvage->lsn_last = walk.lsn - 1;
    walk.tells = true;
    uint64_t n_in_doubt = salvage->n_in_doubt;
    if (status == OCHRE_OK)
        status = go(&walk, err);
    if (status == OCHRE_OK)
        status = note_end(&walk, is_lost, err);
    och_wal_scan_close(&walk.scan);
    if (status == OCHRE_OK && salvage->n_in_doubt > n_in_doubt)
        note(salvage, found->number,
                "what follows it is lost, and may have been in place of its last group, which is "
                "given up");
    return status;
}

/* What the table knows of, and is not there: the newest file, or older ones than there are. */
static void
note_files(struct listing *listing)
{
    struct och_wal_salvage *salvage = listing->salvage;
    uint64_t floor_lsn = salvage->reach->found.floor_lsn;
    uint64_t first_lsn = listing->n > 0 ? listing->files[0].first_lsn : 0;
    char message[128];
    if (listing->last_number != 0 && !listing->has_last) {
        note(salvage, listing->last_number, "the file is missing");
        salvage->n_lost++;
        listing->is_lost = true;
    }
    if (first_lsn <= floor_lsn)
        return;
    (void) snprintf(message, sizeof(message),
            "records %llu to %llu are missing: a file before it is gone or cannot be read",
            (unsigned long long) floor_lsn, (unsigned long long) first_lsn - 1);
    note(salvage, listing->files[0].number, message);
    note_missing(salvage, floor_lsn, first_lsn);
    salvage->n_missing += first_lsn - floor_lsn;
}

ochre_status
och_wal_salvage(struct och_wal_salvage *salvage, struct ochre_error *err)
{
    struct listing listing = {.salvage = salvage, .err = err};
    ochre_status status = salvage->reach == NULL ? OCHRE_OK : judge_reach(salvage, err);
    if (status == OCHRE_OK && knows_files(salvage))
        listing.last_number = salvage->reach->found.last_number;
    if (status == OCHRE_OK)
        status = och_vfs_list(salvage->vfs, WAL_DIR, visit_name, &listing, err);
    if (status == OCHRE_NOT_FOUND)
        status = OCHRE_OK;
    salvage->n_files = listing.n;
    if (status == OCHRE_OK && knows_files(salvage))
        note_files(&listing);
    else if (status == OCHRE_OK && listing.n > 0 && listing.files[0].after_lost)
        note_missing(salvage, 1, listing.files[0].first_lsn);
    for (size_t i = 0; status == OCHRE_OK && i < listing.n; i++) {
        const struct found *next = i + 1 < listing.n ? &listing.files[i + 1] : NULL;
        bool is_lost = next != NULL ? next->after_lost : listing.is_lost;
        status = salvage_file(salvage, &listing.files[i], next, is_lost, err);
    }
    if (status == OCHRE_OK && listing.n == 0 && (listing.is_lost || salvage->lsn_min > 0))
        note_missing(salvage, 1, UINT64_MAX);
    och_mem_release(salvage->mem, listing.files, listing.room * sizeof(*listing.files));
    return status;
}
