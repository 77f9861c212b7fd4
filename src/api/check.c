#include "api/check.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "drivers/catalog_sqlite.h"
#include "engine/write.h"
#include "index/meta/fields.h"
#include "os/clock.h"
#include "os/vfs_posix.h"
#include "segment/deletes.h"
#include "segment/segment.h"
#include "storage/directory.h"
#include "storage/wal.h"

struct check {
    struct och_mem mem;
    struct och_arena arena;            /* for one collection at a time */
    struct och_vfs *vfs;               /* borrowed */
    const struct och_machine *machine; /* borrowed */
    struct och_directory directory;
    struct och_catalog *catalog;
    const struct och_check_options *options;
    struct och_check_totals *totals;
    uint64_t lsn_max;
    struct och_uuid collection; /* whose directory is listed */
    const struct och_segment_row *rows;
    size_t n_rows;
};

static void
report(struct check *check, och_check_kind kind, const char *path, const char *message)
{
    if (kind == OCH_CHECK_DAMAGE)
        check->totals->n_damaged++;
    struct och_check_finding finding = {kind, path, message};
    if (check->options->report != NULL)
        check->options->report(check->options->context, &finding);
}

/* Damage is a finding and the check goes on; anything else ends it. */
static ochre_status
judge(struct check *check, ochre_status status, const char *path, const struct ochre_error *why,
        struct ochre_error *err)
{
    if (status == OCHRE_OK)
        return OCHRE_OK;
    if (status == OCHRE_CORRUPT) {
        report(check, OCH_CHECK_DAMAGE, path, why->message);
        return OCHRE_OK;
    }
    if (err != NULL)
        *err = *why;
    return status;
}

/* --- segments --------------------------------------------------------------- */

/* What checksums cannot tell: that the contents make sense. */
static ochre_status
check_contents(struct och_segment *segment, struct ochre_error *err)
{
    const uint64_t *ordinals = och_segment_ordinals(segment);
    for (uint32_t row = 0; row < segment->n_rows; row++) {
        if (row > 0 && ordinals[row - 1] >= ordinals[row])
            return och_fail(err, OCHRE_CORRUPT, "row %u is out of insertion order", row);
        if (!och_fields_are_valid(och_segment_fields(segment, row)))
            return och_fail(err, OCHRE_CORRUPT, "the metadata of row %u is not whole", row);
        uint32_t found;
        ochre_status status = och_segment_find(segment, och_segment_id(segment, row), &found, err);
        if (status != OCHRE_OK)
            return status;
        if (found != row)
            return och_fail(err, OCHRE_CORRUPT, "the id of row %u does not lead to it", row);
    }
    return OCHRE_OK;
}

static ochre_status
check_open_segment(struct check *check, struct och_segment *segment,
        const struct och_segment_row *row, struct ochre_error *err)
{
    if (segment->footer_hash != row->file_hash || segment->n_rows != row->n_rows ||
            segment->file_size != row->file_size)
        return och_fail(err, OCHRE_CORRUPT, "the file is not the one the catalog lists");
    ochre_status status = och_segment_verify(segment, err);
    if (status == OCHRE_OK)
        status = och_segment_load(segment, OCH_COLUMN_ORDINALS, err);
    if (status == OCHRE_OK)
        status = check_contents(segment, err);
    if (status == OCHRE_OK && row->deletes_id != 0)
        status = och_deletes_read(check->vfs, segment, row->deletes_id, err);
    if (status == OCHRE_OK && segment->n_dead_stored != row->n_deleted)
        status =
                och_fail(err, OCHRE_CORRUPT, "its delete file names %u rows, the catalog says %llu",
                        (unsigned) segment->n_dead_stored, (unsigned long long) row->n_deleted);
    return status;
}

static ochre_status
check_segment(struct check *check, const struct och_segment_row *row, struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), check->collection, row->id);
    struct ochre_error why = {.status = OCHRE_OK};
    struct och_segment *segment = NULL;
    ochre_status status =
            och_segment_open(&check->mem, check->vfs, check->collection, row->id, &segment, &why);
    if (status == OCHRE_OK) {
        status = check_open_segment(check, segment, row, &why);
        check->totals->n_bytes += segment->file_size;
    }
    och_segment_release(segment);
    check->totals->n_segments++;
    check->totals->n_files += 1u + (row->deletes_id != 0);
    return judge(check, status, path, &why, err);
}

static ochre_status
visit_collection(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct check *check = context;
    (void) number;
    char uuid[OCH_UUID_TEXT_SIZE + 1];
    char path[OCH_PATH_SIZE_MAX];
    och_uuid_put(id, uuid);
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s", uuid);
    bool there = true;
    ochre_status status = OCHRE_OK;
    if (n_segments > 0)
        status = och_vfs_exists(check->vfs, path, &there, NULL);
    if (status != OCHRE_OK)
        return status;
    if (!there)
        report(check, OCH_CHECK_DAMAGE, path,
                "the catalog lists segments in it, but it is missing");
    check->totals->n_collections++;
    if (state->lsn > check->lsn_max)
        check->lsn_max = state->lsn;
    return OCHRE_OK;
}

/* --- the directory of segments ---------------------------------------------- */

static bool
is_listed(const struct check *check, const char *name)
{
    char expected[OCH_PATH_SIZE_MAX];
    for (size_t i = 0; i < check->n_rows; i++) {
        const struct och_segment_row *row = &check->rows[i];
        (void) snprintf(expected, sizeof(expected), "%016llx.seg", (unsigned long long) row->id);
        if (strcmp(name, expected) == 0)
            return true;
        (void) snprintf(expected, sizeof(expected), "%016llx.%016llx.del",
                (unsigned long long) row->id, (unsigned long long) row->deletes_id);
        if (row->deletes_id != 0 && strcmp(name, expected) == 0)
            return true;
    }
    return false;
}

static ochre_status
visit_file(void *context, const char *name, bool is_dir)
{
    struct check *check = context;
    if (!is_dir && !is_listed(check, name))
        report(check, OCH_CHECK_NOTE, name, "a file that no collection lists; it will be removed");
    return OCHRE_OK;
}

struct listing {
    struct check *check;
    struct ochre_error *err;
};

static ochre_status
visit_directory(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    struct check *check = listing->check;
    if (!is_dir || !och_uuid_parse(name, strlen(name), &check->collection)) {
        report(check, OCH_CHECK_NOTE, name, "not a collection's directory");
        return OCHRE_OK;
    }
    struct och_collection_state state;
    struct och_segment_row *rows;
    ochre_status status = check->catalog->ops->state_get(check->catalog, &check->arena,
            check->collection, &state, &rows, &check->n_rows, listing->err);
    if (status == OCHRE_NOT_FOUND) {
        report(check, OCH_CHECK_NOTE, name, "of a dropped collection; it will be removed");
        return OCHRE_OK;
    }
    check->rows = rows;
    for (size_t i = 0; status == OCHRE_OK && i < check->n_rows; i++)
        status = check_segment(check, &rows[i], listing->err);
    char path[OCH_PATH_SIZE_MAX];
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s", name);
    if (status == OCHRE_OK)
        status = och_vfs_list(check->vfs, path, visit_file, check, listing->err);
    och_arena_clear(&check->arena);
    return status;
}

/* --- the log ------------------------------------------------------------------ */

static ochre_status
visit_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct check *check = context;
    (void) err;
    check->totals->n_log_records++;
    check->totals->n_bytes += record->payload.size;
    char message[96];
    struct och_write write;
    if (damaged)
        (void) snprintf(message, sizeof(message), "the payload of record %llu fails its checksum",
                (unsigned long long) record->lsn);
    else if (record->type == OCH_RECORD_WRITE && !och_write_decode(&write, record->payload))
        (void) snprintf(message, sizeof(message), "record %llu is not a write request",
                (unsigned long long) record->lsn);
    else
        return OCHRE_OK;
    report(check, OCH_CHECK_DAMAGE, "log", message);
    return OCHRE_OK;
}

static ochre_status
check_log(struct check *check, struct ochre_error *err)
{
    struct och_wal_options options = {.mem = &check->mem,
            .vfs = check->vfs,
            .machine = check->machine,
            .database = check->directory.database,
            .lsn_min = check->lsn_max,
            .read_only = true};
    struct och_wal *wal = NULL;
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status = och_wal_open(&options, visit_record, check, &wal, &why);
    och_wal_close(wal);
    if (status == OCHRE_NOT_FOUND && check->lsn_max == 0)
        return OCHRE_OK; /* nothing was ever written */
    if (status == OCHRE_NOT_FOUND)
        status = och_fail(&why, OCHRE_CORRUPT, "the log is missing");
    return judge(check, status, "log", &why, err);
}

/* --- all of it ---------------------------------------------------------------- */

static ochre_status
check_catalog(struct check *check, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status =
            och_catalog_sqlite_open(&check->mem, check->vfs, false, &check->catalog, &why);
    if (status == OCHRE_NOT_FOUND)
        status = och_fail(&why, OCHRE_CORRUPT, "catalog.db is missing");
    if (status == OCHRE_OK)
        status = check->catalog->ops->check(check->catalog, &why);
    check->totals->n_files++;
    return judge(check, status, "catalog.db", &why, err);
}

static ochre_status
check_all(struct check *check, struct ochre_error *err)
{
    ochre_status status =
            och_directory_open(check->vfs, check->machine, false, &check->directory, err);
    if (status == OCHRE_CORRUPT) {
        struct ochre_error none = {.status = OCHRE_CORRUPT};
        return judge(check, status, "FORMAT", err != NULL ? err : &none, NULL);
    }
    if (status == OCHRE_NOT_FOUND)
        return och_fail(err, OCHRE_INVALID, "the directory is not ochre's (no FORMAT file)");
    if (status == OCHRE_OK)
        status = check_catalog(check, err);
    if (status != OCHRE_OK || check->totals->n_damaged > 0)
        return status; /* without a catalog nothing else can be told */
    status = check->catalog->ops->each_collection(
            check->catalog, &check->arena, visit_collection, check, err);
    och_arena_clear(&check->arena);
    struct listing listing = {check, err};
    if (status == OCHRE_OK)
        status = och_vfs_list(check->vfs, OCH_DIR_SEGMENTS, visit_directory, &listing, err);
    if (status == OCHRE_OK)
        status = check_log(check, err);
    return status;
}

ochre_status
och_check_vfs(struct och_vfs *vfs, const struct och_machine *machine,
        const struct och_check_options *options, struct och_check_totals *totals_out,
        struct ochre_error *err)
{
    static const struct och_check_options silent = {.report = NULL};
    struct och_check_totals totals = {.n_files = 0};
    struct check check = {.vfs = vfs,
            .machine = machine,
            .options = options != NULL ? options : &silent,
            .totals = &totals};
    och_mem_init(&check.mem, NULL);
    och_arena_init(&check.arena, &check.mem);
    ochre_status status = check_all(&check, err);
    if (check.catalog != NULL)
        check.catalog->ops->close(check.catalog);
    och_directory_close(&check.directory);
    och_arena_clear(&check.arena);
    if (totals_out != NULL)
        *totals_out = totals;
    if (status == OCHRE_OK && totals.n_damaged > 0)
        status = och_fail(err, OCHRE_CORRUPT, "%llu findings of damage",
                (unsigned long long) totals.n_damaged);
    return status;
}

ochre_status
och_check_directory(const char *path, const struct och_check_options *options,
        struct och_check_totals *totals_out, struct ochre_error *err)
{
    struct och_mem mem;
    struct och_vfs *vfs = NULL;
    och_mem_init(&mem, NULL);
    ochre_status status = och_vfs_posix_open(&mem, path, false, &vfs, err);
    if (status != OCHRE_OK) {
        if (totals_out != NULL)
            *totals_out = (struct och_check_totals){.n_files = 0};
        return status;
    }
    status = och_check_vfs(vfs, och_machine_posix(), options, totals_out, err);
    och_vfs_posix_close(vfs);
    return status;
}
