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
    bool in_group; /* the last valid record is not the last of its group */
    bool ended;
};

/* What stands at the progress is no valid record: a torn end, or damage? */
static ochre_status
judge_end(struct wal_scan *scan, struct progress *at, bool cut, struct ochre_error *err)
{
    at->ended = true;
    if (at->lsn_end != UINT64_MAX)
        return at->lsn < at->lsn_end ? och_wal_fail_damaged(at->number, at->lsn, err) : OCHRE_OK;
    ochre_status status = OCHRE_OK;
    if (!cut)
        status = och_wal_is_cut(scan, at->offset, &cut, err);
    if (status != OCHRE_OK)
        return status;
    if (cut)
        return och_wal_fail_damaged(at->number, at->lsn, err);
    uint64_t synced;
    status = och_wal_synced_after(scan, at->offset, &synced, err);
    if (status != OCHRE_OK)
        return status;
    return synced >= at->lsn ? och_wal_fail_damaged(at->number, at->lsn, err) : OCHRE_OK;
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
        return judge_end(scan, at, cut && frame.lsn == at->lsn, err);

    const char *payload = "";
    if (frame.payload_size > 0) {
        status =
                och_wal_fetch(scan, at->offset + WAL_FRAME_SIZE, frame.payload_size, &payload, err);
        if (status != OCHRE_OK)
            return status;
    }
    bool damaged = och_crc32c(0, payload, frame.payload_size) != frame.payload_crc;
    uint64_t end = at->offset + och_wal_record_size(frame.payload_size);
    if (damaged) {
        uint64_t synced = at->lsn_end == UINT64_MAX ? 0 : at->lsn_end - 1;
        if (at->lsn_end == UINT64_MAX)
            status = och_wal_synced_after(scan, end, &synced, err);
        if (status != OCHRE_OK)
            return status;
        if (synced < frame.lsn) {
            at->ended = true;
            return OCHRE_OK;
        }
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
    if (at->offset % WAL_PAGE == 0 && frame.synced_lsn + 1 == frame.lsn)
        at->group = at->offset;
    at->lsn++;
    at->offset = end;
    at->in_group = (frame.flags & WAL_FLAG_LAST_IN_GROUP) == 0;
    if (!at->in_group)
        at->offset = (end + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
    return status;
}

/* --- the directory ---------------------------------------------------------- */

/* A log file found at open. */
struct found {
    uint64_t number;
    uint64_t first_lsn;
    uint64_t salt;
    uint64_t full_size;
    bool unused; /* prepared, never begun */
    bool half_made;
};

struct listing {
    struct och_mem *mem;
    uint64_t first_number;
    struct found *files;
    size_t n, room;
    struct ochre_error *err;
};

static ochre_status
note_file(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    uint64_t number = 0;
    bool half_made = !is_dir && och_wal_path_number(name, WAL_SUFFIX_TMP, &number);
    if (!half_made && (is_dir || !och_wal_path_number(name, WAL_SUFFIX, &number)))
        return OCHRE_OK;
    if (number < listing->first_number)
        return OCHRE_OK;
    if (listing->n == listing->room) {
        size_t room = listing->room == 0 ? 16 : listing->room * 2;
        struct found *files = och_mem_resize(listing->mem, listing->files,
                listing->room * sizeof(*files), room * sizeof(*files));
        if (files == NULL)
            return och_fail_memory(listing->err);
        listing->files = files;
        listing->room = room;
    }
    listing->files[listing->n++] = (struct found){.number = number, .half_made = half_made};
    return OCHRE_OK;
}

/* Read a file's header: where it begins, or that it was never begun. */
static ochre_status
inspect(struct och_wal *wal, struct found *found, struct ochre_error *err)
{
    struct wal_scan scan;
    ochre_status status =
            och_wal_scan_open(&scan, &wal->options, found->number, found->salt, OCH_OPEN_READ, err);
    if (status != OCHRE_OK)
        return status;
    char path[WAL_PATH_SIZE];
    och_wal_path(path, found->number, WAL_SUFFIX);
    struct wal_header header = {.number = 0};
    const char *page = NULL;
    bool valid = false;
    if (scan.file_size >= WAL_PAGE) {
        status = och_wal_fetch(&scan, 0, WAL_PAGE, &page, err);
        valid = status == OCHRE_OK && och_wal_header_get(page, &header);
    }
    if (status == OCHRE_OK && !valid) {
        /* Those of before a header said so are all zero.  A file has its size before it has
         * its name, so one without room for a header was not prepared: it was cut. */
        status = och_wal_rest_is_zero(&scan, WAL_PAGE, &found->unused, err);
        if (status == OCHRE_OK && !found->unused)
            status = och_fail(err, OCHRE_CORRUPT,
                    "%s: the header is damaged; run `ochre repair`, or restore a backup", path);
    } else if (status == OCHRE_OK) {
        found->first_lsn = header.first_lsn;
        found->salt = header.salt;
        found->full_size = header.full_size;
        if (header.version != WAL_VERSION)
            status = och_fail(err, OCHRE_UNSUPPORTED,
                    "%s: format %u; this version of ochre reads format %u", path,
                    (unsigned) header.version, WAL_VERSION);
        else if (!och_uuid_equal(header.database, wal->options.database))
            status = och_fail(err, OCHRE_CORRUPT, "%s belongs to another database", path);
        else if (header.number != found->number)
            status = och_fail(err, OCHRE_CORRUPT, "%s was renamed from file %llu", path,
                    (unsigned long long) header.number);
        found->unused = header.first_lsn == WAL_NEVER_BEGUN;
    }
    och_wal_scan_close(&scan);
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
    /* Without a group it is the header. */
    for (uint64_t next = at->group; next < at->offset && status == OCHRE_OK;
            next += WAL_WINDOW_MIN) {
        uint64_t left = at->offset - next;
        size_t size = left < WAL_WINDOW_MIN ? (size_t) left : WAL_WINDOW_MIN;
        const char *bytes;
        status = och_wal_fetch(scan, next, size, &bytes, err);
        if (status == OCHRE_OK)
            status = och_file_write(scan->file, next, bytes, size, err);
    }
    uint64_t end = och_wal_copy_size(at->offset, scan->file_size);
    if (status == OCHRE_OK && at->offset < end)
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

/* Scan one file, from its first LSN to the next one's. */
static ochre_status
recover_file(struct och_wal *wal, const struct found *found, uint64_t lsn_end, och_log_visit visit,
        void *context, struct ochre_error *err)
{
    struct wal_scan scan;
    unsigned flags = wal->options.read_only ? OCH_OPEN_READ : OCH_OPEN_WRITE;
    ochre_status status =
            och_wal_scan_open(&scan, &wal->options, found->number, found->salt, flags, err);
    if (status != OCHRE_OK)
        return status;
    scan.full_size = found->full_size;
    struct progress at = {.offset = WAL_PAGE,
            .lsn = found->first_lsn,
            .lsn_end = lsn_end,
            .number = found->number};
    while (status == OCHRE_OK && !at.ended)
        status = step(&scan, &at, visit, context, err);
    if (status == OCHRE_OK && lsn_end == UINT64_MAX && !wal->options.read_only)
        status = renew_end(&scan, &at, err);
    if (status == OCHRE_OK) {
        wal->next_lsn = at.lsn;
        if (och_wal_add_file(wal, found->number, found->first_lsn, at.offset) != OCHRE_OK)
            status = och_fail_memory(err);
    }
    och_wal_scan_close(&scan);
    return status;
}

static ochre_status
remove_file(struct och_wal *wal, uint64_t number, const char *suffix, struct ochre_error *err)
{
    if (wal->options.read_only)
        return OCHRE_OK;
    char path[WAL_PATH_SIZE];
    och_wal_path(path, number, suffix);
    return och_vfs_remove(wal->options.vfs, path, err);
}

static ochre_status
recover_listing(struct och_wal *wal, struct listing *listing, och_log_visit visit, void *context,
        struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    size_t n_used = 0;
    /* All are looked at before any is removed: where one is another version's, or
     * damaged, nothing is changed. */
    for (size_t i = 0; i < listing->n && status == OCHRE_OK; i++) {
        struct found *found = &listing->files[i];
        if (found->number >= wal->next_number)
            wal->next_number = found->number + 1;
        if (!found->half_made)
            status = inspect(wal, found, err);
    }
    for (size_t i = 0; i < listing->n && status == OCHRE_OK; i++) {
        const struct found *found = &listing->files[i];
        if (found->half_made)
            status = remove_file(wal, found->number, WAL_SUFFIX_TMP, err);
        else if (found->unused)
            status = remove_file(wal, found->number, WAL_SUFFIX, err);
        else
            listing->files[n_used++] = *found;
    }
    for (size_t i = 0; i < n_used && status == OCHRE_OK; i++) {
        const struct found *found = &listing->files[i];
        uint64_t lsn_end = i + 1 < n_used ? listing->files[i + 1].first_lsn : UINT64_MAX;
        if (i > 0 && found->first_lsn != wal->next_lsn)
            status = och_wal_fail_damaged(found->number, wal->next_lsn, err);
        else
            status = recover_file(wal, found, lsn_end, visit, context, err);
    }
    return status;
}

ochre_status
och_wal_open(const struct och_wal_options *options, och_log_visit visit, void *context,
        struct och_wal **wal_out, struct ochre_error *err)
{
    *wal_out = NULL;
    struct och_wal *wal = och_mem_take_zeroed(options->mem, sizeof(*wal));
    if (wal == NULL)
        return och_fail_memory(err);
    wal->options = *options;
    wal->next_lsn = options->lsn_first != 0 ? options->lsn_first : 1;
    wal->next_number = 1;
    wal->next_size = OCH_LOG_FILE_SIZE_MIN;
    och_mutex_init(&wal->lock);

    struct listing listing = {
            .mem = options->mem, .err = err, .first_number = options->first_number};
    ochre_status status = OCHRE_OK;
    if (!options->read_only)
        status = och_vfs_mkdir(options->vfs, WAL_DIR, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(options->vfs, WAL_DIR, note_file, &listing, err);
    if (status == OCHRE_OK)
        status = recover_listing(wal, &listing, visit, context, err);
    if (status == OCHRE_OK && wal->next_lsn <= options->lsn_min)
        status = och_fail(err, OCHRE_CORRUPT,
                "the log ends at record %llu, but the catalog knows of record %llu; "
                "run `ochre repair`, or restore a backup",
                (unsigned long long) wal->next_lsn - 1, (unsigned long long) options->lsn_min);
    /* The directory's own name, and the names in it: found is not yet durable. */
    if (status == OCHRE_OK && !options->read_only)
        status = och_vfs_sync_dir(options->vfs, "", err);
    if (status == OCHRE_OK && !options->read_only)
        status = och_vfs_sync_dir(options->vfs, WAL_DIR, err);
    och_mem_release(options->mem, listing.files, listing.room * sizeof(*listing.files));
    if (status != OCHRE_OK) {
        och_wal_close(wal);
        return status;
    }
    *wal_out = wal;
    return OCHRE_OK;
}

/* --- whose log it is ---------------------------------------------------------- */

struct owner {
    struct och_vfs *vfs;
    struct och_uuid database;
    bool is_known;
    bool is_in_doubt;
};

static ochre_status
note_owner(void *context, const char *name, bool is_dir)
{
    struct owner *owner = context;
    struct wal_header header;
    struct och_file *file = NULL;
    char page[WAL_PAGE];
    char path[WAL_PATH_SIZE];
    uint64_t number = 0;
    if (is_dir || !och_wal_path_number(name, WAL_SUFFIX, &number))
        return OCHRE_OK;
    och_wal_path(path, number, WAL_SUFFIX);
    ochre_status status = och_vfs_open(owner->vfs, path, OCH_OPEN_READ, &file, NULL);
    if (status == OCHRE_OK)
        status = och_file_read_all(file, 0, page, sizeof(page), NULL);
    och_file_close(file);
    if (status != OCHRE_OK || !och_wal_header_get(page, &header) || header.version != WAL_VERSION)
        return OCHRE_OK;
    if (owner->is_known && !och_uuid_equal(header.database, owner->database))
        owner->is_in_doubt = true;
    owner->database = header.database;
    owner->is_known = true;
    return OCHRE_OK;
}

bool
och_wal_find_database(struct och_vfs *vfs, struct och_uuid *database_out)
{
    struct owner owner = {.vfs = vfs};
    ochre_status status = och_vfs_list(vfs, WAL_DIR, note_owner, &owner, NULL);
    *database_out = owner.database;
    return status == OCHRE_OK && owner.is_known && !owner.is_in_doubt;
}
