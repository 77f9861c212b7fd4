#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "storage/directory.h"
#include "storage/wal_internal.h"

/* --- the directory ---------------------------------------------------------- */

struct listing {
    struct och_mem *mem;
    uint64_t first_number;
    struct wal_found *files;
    size_t n, room;
    struct ochre_error *err;
};

static ochre_status
add_found(struct listing *listing, struct wal_found found)
{
    if (listing->n == listing->room) {
        size_t room = listing->room == 0 ? 16 : listing->room * 2;
        struct wal_found *files = och_mem_resize(listing->mem, listing->files,
                listing->room * sizeof(*files), room * sizeof(*files));
        if (files == NULL)
            return och_fail_memory(listing->err);
        listing->files = files;
        listing->room = room;
    }
    listing->files[listing->n++] = found;
    return OCHRE_OK;
}

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
    return add_found(listing, (struct wal_found){.number = number, .half_made = half_made});
}

static ochre_status
fail_lost(const struct wal_found *found, struct ochre_error *err)
{
    char path[WAL_PATH_SIZE];
    och_wal_path(path, found->number, WAL_SUFFIX);
    const char *why = found->is_missing ? "the file is missing"
            : found->is_zero            ? "there is nothing but zeros in it"
                                        : "the header is damaged";
    return och_fail(
            err, OCHRE_CORRUPT, "%s: %s; run `ochre repair`, or restore a backup", path, why);
}

/* Read a file's header: where it begins, that it was never begun, or that it is lost. */
static ochre_status
inspect(struct och_wal *wal, struct wal_found *found, struct ochre_error *err)
{
    struct wal_scan scan;
    ochre_status status =
            och_wal_scan_open(&scan, &wal->options, found->number, found->salt, OCH_OPEN_READ, err);
    if (status != OCHRE_OK)
        return status;
    char path[WAL_PATH_SIZE];
    och_wal_path(path, found->number, WAL_SUFFIX);
    found->file_size = scan.file_size;
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
        status = och_wal_rest_is_zero(&scan, WAL_PAGE, &found->is_zero, err);
        found->unused = found->is_zero;
        found->is_lost = !found->unused;
    } else if (status == OCHRE_OK) {
        found->first_lsn = header.first_lsn;
        found->salt = header.salt;
        found->full_size = header.full_size;
        found->reach_nonce = header.reach_nonce;
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

static ochre_status
remove_file(struct och_wal *wal, uint64_t number, const char *suffix, struct ochre_error *err)
{
    if (wal->options.read_only)
        return OCHRE_OK;
    char path[WAL_PATH_SIZE];
    och_wal_path(path, number, suffix);
    return och_vfs_remove(wal->options.vfs, path, err);
}

/* Is the table of this log? */
static void
judge_reach(struct wal_reach *reach, const struct listing *listing)
{
    struct wal_reach_file newest = {.number = 0};
    uint64_t last_number = 0;
    for (size_t i = 0; i < listing->n; i++) {
        const struct wal_found *found = &listing->files[i];
        if (found->half_made || found->unused)
            continue;
        last_number = found->number;
        if (!found->is_lost)
            newest = (struct wal_reach_file){found->number, found->salt, found->reach_nonce};
    }
    och_wal_reach_judge(reach, newest.salt != 0 ? &newest : NULL, last_number);
}

/*
 * The last file that was begun, as the table knows, has to be there; and of those that were begun
 * none is all zeros, because a file has a header before it has its name.
 */
static ochre_status
find_missing(struct och_wal *wal, struct listing *listing)
{
    uint64_t last_number = wal->reach->found.last_number;
    bool is_there = last_number == 0;
    for (size_t i = 0; i < listing->n; i++) {
        struct wal_found *found = &listing->files[i];
        if (found->half_made)
            continue;
        is_there = is_there || found->number == last_number;
        found->is_lost = found->is_lost || (found->is_zero && found->number <= last_number);
        found->unused = found->unused && !found->is_lost;
    }
    if (is_there)
        return OCHRE_OK;
    if (last_number >= wal->next_number)
        wal->next_number = last_number + 1;
    return add_found(listing,
            (struct wal_found){.number = last_number, .is_lost = true, .is_missing = true});
}

/* Read the table.  Without one that counts no hole is passed over. */
static ochre_status
open_reach(struct och_wal *wal, struct listing *listing, struct ochre_error *err)
{
    const struct och_wal_options *options = &wal->options;
    if (!options->keeps_reach) {
        wal->options.passes_holes = false;
        return OCHRE_OK;
    }
    ochre_status status =
            och_wal_reach_make(options->mem, options->vfs, options->database, &wal->reach, err);
    if (status != OCHRE_OK)
        return status;
    struct wal_reach *reach = wal->reach;
    judge_reach(reach, listing);
    wal->options.passes_holes &= reach->was_read;
    wal->says_none = !reach->was_read;
    uint64_t known = och_wal_reach_max(reach);
    if (known > wal->options.lsn_min)
        wal->options.lsn_min = known;
    if (!och_wal_reach_knows_files(reach))
        return OCHRE_OK;
    if (reach->found.floor_lsn > wal->next_lsn)
        wal->next_lsn = reach->found.floor_lsn;
    return find_missing(wal, listing);
}

/* All files are looked at, and the table with them, before any is removed: where one is another
 * version's, or damaged, nothing is changed. */
static ochre_status
look_at_files(struct och_wal *wal, struct listing *listing, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < listing->n && status == OCHRE_OK; i++) {
        struct wal_found *found = &listing->files[i];
        if (found->number >= wal->next_number)
            wal->next_number = found->number + 1;
        if (!found->half_made)
            status = inspect(wal, found, err);
    }
    if (status == OCHRE_OK)
        status = open_reach(wal, listing, err);
    for (size_t i = 0; i < listing->n && status == OCHRE_OK; i++)
        if (listing->files[i].is_lost && !wal->options.passes_holes)
            status = fail_lost(&listing->files[i], err);
    return status;
}

/* Remove what was never begun; *n_out: the others, which come to be the first.  One that the
 * table takes for begun stays until another table does not. */
static ochre_status
sort_out(struct och_wal *wal, struct listing *listing, size_t *n_out, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    bool knows = wal->reach != NULL && och_wal_reach_knows_files(wal->reach);
    *n_out = 0;
    for (size_t i = 0; i < listing->n && status == OCHRE_OK; i++) {
        const struct wal_found *found = &listing->files[i];
        if (found->half_made)
            status = remove_file(wal, found->number, WAL_SUFFIX_TMP, err);
        else if (found->unused && knows && found->number == wal->reach->found.last_number)
            continue;
        else if (found->unused)
            status = remove_file(wal, found->number, WAL_SUFFIX, err);
        else
            listing->files[(*n_out)++] = *found;
    }
    return status;
}

/* One that cannot be read is kept as long as what is around it. */
static ochre_status
keep_lost(struct och_wal *wal, const struct wal_found *found, struct ochre_error *err)
{
    if (och_wal_add_file(wal, found->number, wal->next_lsn, found->file_size) != OCHRE_OK)
        return och_fail_memory(err);
    wal->newest->is_missing = found->is_missing;
    return OCHRE_OK;
}

static ochre_status
recover_listing(struct och_wal *wal, const struct listing *listing, size_t n, och_log_visit visit,
        void *context, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    bool knows = wal->reach != NULL && och_wal_reach_knows_files(wal->reach);
    bool is_first = true; /* that can be read */
    for (size_t i = 0; i < n && status == OCHRE_OK; i++) {
        const struct wal_found *found = &listing->files[i];
        struct wal_end end = {.lsn = UINT64_MAX, .lsn_min = wal->options.lsn_min};
        size_t next = i + 1;
        while (next < n && listing->files[next].is_lost)
            next++;
        if (next < n) {
            end.lsn = listing->files[next].first_lsn;
            end.is_next = listing->files[next].number == found->number + 1;
        }
        end.is_lost = next > i + 1;
        if (found->is_lost) {
            status = keep_lost(wal, found, err);
            continue;
        }
        /* Where it begins later than the table knows, an older file is missing. */
        bool is_hole = is_first ? (i > 0 || knows) && found->first_lsn > wal->next_lsn
                                : found->first_lsn != wal->next_lsn;
        is_first = false;
        if (is_hole && (!wal->options.passes_holes || found->first_lsn < wal->next_lsn))
            status = och_wal_fail_damaged(found->number, wal->next_lsn, err);
        else if (is_hole)
            status = och_wal_add_hole(wal, wal->next_lsn, found->first_lsn, err);
        if (status == OCHRE_OK)
            status = och_wal_recover_file(wal, found, &end, visit, context, err);
    }
    return status;
}

/*
 * What is missing behind the end, and where LSNs go on: behind all that anybody has seen, so
 * that none is given twice, and with a gap, by which later openings see that something is
 * missing.  Where a file may be missing, so does a number: what it may have overridden must
 * not count later either.
 */
static ochre_status
pass_end(struct och_wal *wal, const struct listing *listing, size_t n, struct ochre_error *err)
{
    bool is_open = wal->n_holes > 0 && wal->holes[wal->n_holes - 1].to == UINT64_MAX;
    bool is_lost = n > 0 && listing->files[n - 1].is_lost;
    bool is_behind = wal->next_lsn <= wal->options.lsn_min;
    ochre_status status = OCHRE_OK;
    if (!is_open && (is_lost || is_behind)) {
        status = och_wal_add_hole(wal, wal->next_lsn, UINT64_MAX, err);
        is_open = true;
    }
    uint64_t newest = n > 0 ? listing->files[n - 1].number : 0;
    wal->next_number = newest + (wal->is_end_doubted && !is_lost ? 2 : 1);
    if (is_open && wal->next_lsn < wal->seen_lsn)
        wal->next_lsn = wal->seen_lsn;
    if (is_open && wal->next_lsn <= wal->options.lsn_min)
        wal->next_lsn = wal->options.lsn_min + 1;
    wal->next_lsn += is_open;
    return status;
}

static ochre_status
check_end(const struct och_wal *wal, uint64_t catalog_lsn, struct ochre_error *err)
{
    if (wal->next_lsn > wal->options.lsn_min)
        return OCHRE_OK;
    return och_fail(err, OCHRE_CORRUPT,
            "the log ends at record %llu, but %s knows of record %llu; "
            "run `ochre repair`, or restore a backup",
            (unsigned long long) wal->next_lsn - 1,
            wal->options.lsn_min > catalog_lsn ? OCH_DIR_REACH : "the catalog",
            (unsigned long long) wal->options.lsn_min);
}

/* Read what there is; *listing is freed by the caller. */
static ochre_status
recover(struct och_wal *wal, struct listing *listing, och_log_visit visit, void *context,
        struct ochre_error *err)
{
    size_t n = 0;
    uint64_t catalog_lsn = wal->options.lsn_min;
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status = och_vfs_list(wal->options.vfs, WAL_DIR, note_file, listing, &why);
    /* Was there ever one?  The table may know. */
    bool is_gone = status == OCHRE_NOT_FOUND && wal->options.keeps_reach;
    if (status != OCHRE_OK && status == why.status && err != NULL)
        *err = why; /* else whoever was visited has said it */
    if (status == OCHRE_OK || is_gone)
        status = look_at_files(wal, listing, err);
    if (status == OCHRE_OK && is_gone) {
        if (err != NULL)
            *err = why;
        return OCHRE_NOT_FOUND;
    }
    if (status == OCHRE_OK)
        status = sort_out(wal, listing, &n, err);
    if (status == OCHRE_OK)
        status = recover_listing(wal, listing, n, visit, context, err);
    if (status != OCHRE_OK)
        return status;
    return wal->options.passes_holes ? pass_end(wal, listing, n, err)
                                     : check_end(wal, catalog_lsn, err);
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
        status = recover(wal, &listing, visit, context, err);
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
