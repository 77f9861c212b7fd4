#include "api/check.h"

#include <stdio.h>
#include <string.h>

#include "api/held_files.h"
#include "api/id_set.h"
#include "api/paced_files.h"
#include "api/schema.h"
#include "api/stats_internal.h"
#include "base/arena.h"
#include "base/bitset.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "drivers/catalog_sqlite.h"
#include "engine/write.h"
#include "index/meta/fields.h"
#include "index/meta/keys.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/vfs_posix.h"
#include "segment/deep_check.h"
#include "segment/deletes.h"
#include "segment/segment.h"
#include "storage/directory.h"
#include "storage/wal.h"
#include "storage/wal_reach.h"

struct check {
    struct och_mem mem;
    struct och_arena arena;            /* for one collection at a time */
    struct och_vfs *vfs;               /* borrowed */
    const struct och_machine *machine; /* borrowed */
    struct och_directory directory;
    struct och_catalog *catalog;
    const struct och_check_options *options;
    struct och_check_totals totals;
    uint64_t lsn_max;        /* the newest record the catalog knows of */
    uint64_t generation_max; /* the newest catalog the log knows of */
    struct och_uuid *ids;    /* owned: of all collections */
    size_t n_ids, room;
    bool is_head; /* collections are left out */
    bool is_live; /* files may be replaced and removed meanwhile */
    /* The collection that is looked at; what points, into the arena. */
    struct och_uuid collection;
    ochre_space space;
    struct och_collection_state state;
    const struct och_segment_row *rows;
    size_t n_rows;
    struct och_id_set living; /* of a deep check: ids of what lives in the segments so far */
    const struct och_kernels *kernels;
};

static void
tell(struct check *check, const struct och_check_finding *finding)
{
    if (finding->kind == OCH_CHECK_DAMAGE)
        check->totals.n_damaged++;
    if (check->options->report != NULL)
        check->options->report(check->options->context, finding);
}

static void
report(struct check *check, och_check_kind kind, const char *path, const char *message)
{
    struct och_check_finding finding = {.kind = kind, .path = path, .message = message};
    tell(check, &finding);
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
check_contents(const struct check *check, struct och_segment *segment, struct ochre_error *err)
{
    const uint64_t *ordinals = och_segment_ordinals(segment);
    for (uint32_t row = 0; row < segment->n_rows; row++) {
        if (ordinals[row] >= check->state.next_ordinal)
            return och_fail(err, OCHRE_CORRUPT,
                    "row %u is number %llu of a collection that the catalog says gave %llu", row,
                    (unsigned long long) ordinals[row],
                    (unsigned long long) check->state.next_ordinal);
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

/* Beside a process segments may change while they are looked at, and a record be in two. */
static ochre_status
check_living(struct check *check, struct och_segment *segment, struct ochre_error *err)
{
    struct och_bitset dead;
    och_bitset_init(&dead, &check->mem);
    ochre_status status = check->is_live
            ? OCHRE_OK
            : och_segment_dead_rows(segment, check->state.position, &dead);
    if (status != OCHRE_OK)
        status = och_fail_memory(err);
    for (uint32_t row = 0; row < segment->n_rows && status == OCHRE_OK && !check->is_live; row++) {
        bool is_new = true;
        if (och_bitset_has(&dead, row))
            continue;
        status = och_id_set_add(&check->living, och_segment_id(segment, row), &is_new);
        if (status != OCHRE_OK)
            status = och_fail_memory(err);
        else if (!is_new)
            status = och_fail(err, OCHRE_CORRUPT,
                    "the record in row %u lives in another segment, too", (unsigned) row);
    }
    och_bitset_clear(&dead);
    return status;
}

static ochre_status
check_open_segment(struct check *check, struct och_segment *segment,
        const struct och_segment_row *row, struct ochre_error *err)
{
    if (segment->footer_hash != row->file_hash || segment->n_rows != row->n_rows ||
            segment->file_size != row->file_size)
        return och_fail(err, OCHRE_CORRUPT, "the file is not the one the catalog lists");
    if (segment->dim != check->state.dim || segment->space != check->space)
        return och_fail(err, OCHRE_CORRUPT,
                "its dimension %u and space %u are not the collection's, %u and %u",
                (unsigned) segment->dim, (unsigned) segment->space, (unsigned) check->state.dim,
                (unsigned) check->space);
    if (segment->position > check->state.position)
        return och_fail(err, OCHRE_CORRUPT,
                "it was sealed at position %llu; the catalog knows %llu",
                (unsigned long long) segment->position, (unsigned long long) check->state.position);
    ochre_status status = och_segment_verify(segment, err);
    if (status == OCHRE_OK)
        status = och_segment_load(segment, OCH_COLUMN_ORDINALS, err);
    if (status == OCHRE_OK)
        status = check_contents(check, segment, err);
    if (status == OCHRE_OK && row->deletes_id != 0)
        status = och_deletes_read(check->vfs, segment, row->deletes_id, err);
    if (status == OCHRE_OK && segment->n_dead_stored != row->n_deleted)
        status =
                och_fail(err, OCHRE_CORRUPT, "its delete file names %u rows, the catalog says %llu",
                        (unsigned) segment->n_dead_stored, (unsigned long long) row->n_deleted);
    if (status == OCHRE_OK && check->options->is_deep)
        status = och_segment_deep_check(segment, check->kernels, err);
    if (status == OCHRE_OK && check->options->is_deep)
        status = check_living(check, segment, err);
    return status;
}

/* What the catalog lists now in place of this row: the same segment, perhaps with another
 * delete file.  *listed_out false: it is merged, or the collection dropped. */
static ochre_status
read_row_again(
        struct check *check, struct och_segment_row *row, bool *listed_out, struct ochre_error *err)
{
    struct och_arena arena;
    struct och_segment_row *rows = NULL;
    size_t n = 0;
    och_arena_init(&arena, &check->mem);
    ochre_status status = check->catalog->ops->state_get(
            check->catalog, &arena, check->collection, &check->state, &rows, &n, err);
    *listed_out = false;
    for (size_t i = 0; i < n && !*listed_out; i++) {
        *listed_out = rows[i].id == row->id;
        if (*listed_out)
            *row = rows[i];
    }
    check->state.keys = (struct ochre_bytes){NULL, 0}; /* it lay in the arena */
    och_arena_clear(&arena);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

/* Read one; *finding says what of the damage is its records'. */
static ochre_status
read_segment(struct check *check, const struct och_segment_row *row,
        struct och_check_finding *finding, struct ochre_error *err)
{
    struct och_segment *segment = NULL;
    ochre_status status =
            och_segment_open(&check->mem, check->vfs, check->collection, row->id, &segment, err);
    if (status == OCHRE_OK) {
        status = check_open_segment(check, segment, row, err);
        check->totals.n_bytes += segment->file_size;
        finding->is_derived = status == OCHRE_CORRUPT && segment->n_rows == row->n_rows &&
                segment->footer_hash == row->file_hash && och_segment_is_whole(segment) &&
                och_segment_verify(segment, NULL) == OCHRE_CORRUPT;
    }
    och_segment_release(segment);
    return status;
}

/* A delete file, and with it the row, may be replaced this often while it is read. */
#define ROWS_MAX 16

static ochre_status
check_segment(struct check *check, const struct och_segment_row *listed, struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    struct och_segment_row row = *listed;
    struct ochre_error why = {.status = OCHRE_OK};
    struct och_check_finding finding = {.kind = OCH_CHECK_DAMAGE,
            .path = path,
            .message = why.message,
            .collection = &check->collection,
            .segment = row.id};
    och_segment_path(path, sizeof(path), check->collection, row.id);
    ochre_status status = OCHRE_OK;
    bool is_listed = true, is_same = false;
    for (int i = 0; i < ROWS_MAX && is_listed && !is_same; i++) {
        uint64_t deletes_id = row.deletes_id;
        status = read_segment(check, &row, &finding, &why);
        if (status != OCHRE_CORRUPT && status != OCHRE_NOT_FOUND)
            break;
        if (check->is_live) {
            ochre_status again = read_row_again(check, &row, &is_listed, err);
            if (again != OCHRE_OK)
                return again;
        }
        is_same = row.deletes_id == deletes_id;
    }
    if (!is_listed)
        return OCHRE_OK;
    check->totals.n_segments++;
    check->totals.n_files += 1u + (row.deletes_id != 0);
    if (status != OCHRE_CORRUPT)
        return judge(check, status, path, &why, err);
    tell(check, &finding);
    return OCHRE_OK;
}

/* --- a collection's directory ------------------------------------------------ */

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

/* The files of the collection that is looked at, and strangers among them. */
static ochre_status
check_files(struct check *check, struct ochre_error *err)
{
    char uuid[OCH_UUID_TEXT_SIZE + 1];
    char path[OCH_PATH_SIZE_MAX];
    och_uuid_put(check->collection, uuid);
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s", uuid);
    bool there;
    ochre_status status = och_vfs_exists(check->vfs, path, &there, err);
    if (status != OCHRE_OK)
        return status;
    if (!there && !check->is_live) {
        if (check->n_rows > 0)
            report(check, OCH_CHECK_DAMAGE, path,
                    "the catalog lists segments in it, but it is missing");
        return OCHRE_OK;
    }
    for (size_t i = 0; status == OCHRE_OK && i < check->n_rows; i++)
        status = check_segment(check, &check->rows[i], err);
    if (status == OCHRE_OK && !check->is_live)
        status = och_vfs_list(check->vfs, path, visit_file, check, err);
    return status;
}

/* --- collections -------------------------------------------------------------- */

/* What the catalog has of a collection makes sense; it becomes the one looked at. */
static ochre_status
read_collection(struct check *check, struct ochre_error *err)
{
    struct och_catalog *catalog = check->catalog;
    struct och_collection_row row;
    struct och_segment_row *rows = NULL;
    const struct och_schema *schema;
    struct och_keys *keys = NULL;
    ochre_status status =
            catalog->ops->collection_by_id(catalog, &check->arena, check->collection, &row, err);
    if (status == OCHRE_OK)
        status = och_schema_parse(&check->arena, row.schema, &schema, err);
    if (status == OCHRE_OK && !och_fields_are_valid(row.metadata))
        status = och_fail(err, OCHRE_CORRUPT, "a collection's metadata is not whole");
    if (status == OCHRE_OK)
        status = catalog->ops->state_get(catalog, &check->arena, check->collection, &check->state,
                &rows, &check->n_rows, err);
    if (status != OCHRE_OK)
        return status;
    check->space = och_schema_space(schema);
    check->rows = rows;
    status = och_keys_decode(&check->mem, check->state.keys, &keys);
    och_keys_release(keys);
    if (status == OCHRE_CORRUPT)
        return och_fail(err, status, "a collection's set of keys is not whole");
    return status == OCHRE_OK ? OCHRE_OK : och_fail_memory(err);
}

static ochre_status
check_collection(struct check *check, struct och_uuid id, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    check->collection = id;
    check->n_rows = 0;
    ochre_status status = read_collection(check, &why);
    status = status == OCHRE_OK ? check_files(check, err)
                                : judge(check, status, "catalog.db", &why, err);
    och_id_set_clear(&check->living);
    och_arena_clear(&check->arena);
    return status;
}

struct listing {
    struct check *check;
    struct ochre_error *err;
};

/* Remember each one: the catalog answers one question at a time. */
static ochre_status
visit_collection(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct listing *listing = context;
    struct check *check = listing->check;
    (void) number;
    (void) n_segments;
    if (check->n_ids == check->room) {
        size_t room = check->room == 0 ? 64 : check->room * 2;
        struct och_uuid *ids = och_mem_resize(
                &check->mem, check->ids, check->room * sizeof(*ids), room * sizeof(*ids));
        if (ids == NULL)
            return och_fail_memory(listing->err);
        check->ids = ids;
        check->room = room;
    }
    check->ids[check->n_ids++] = id;
    check->totals.n_collections++;
    if (state->lsn > check->lsn_max)
        check->lsn_max = state->lsn;
    return OCHRE_OK;
}

/* In the directory of segments: is this one a collection's? */
static ochre_status
visit_directory(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    struct check *check = listing->check;
    struct och_uuid id;
    if (!is_dir || !och_uuid_parse(name, strlen(name), &id)) {
        report(check, OCH_CHECK_NOTE, name, "not a collection's directory");
        return OCHRE_OK;
    }
    struct och_collection_row row;
    ochre_status status = check->catalog->ops->collection_by_id(
            check->catalog, &check->arena, id, &row, listing->err);
    och_arena_clear(&check->arena);
    if (status != OCHRE_NOT_FOUND)
        return status;
    report(check, OCH_CHECK_NOTE, name, "of a dropped collection; it will be removed");
    return OCHRE_OK;
}

static ochre_status
check_collections(struct check *check, struct ochre_error *err)
{
    struct och_catalog *catalog = check->catalog;
    struct listing listing = {check, err};
    ochre_status status =
            catalog->ops->each_collection(catalog, &check->arena, visit_collection, &listing, err);
    och_arena_clear(&check->arena);
    if (check->is_head)
        return status;
    for (size_t i = 0; i < check->n_ids && status == OCHRE_OK; i++)
        status = check_collection(check, check->ids[i], err);
    if (status == OCHRE_OK)
        status = och_vfs_list(check->vfs, OCH_DIR_SEGMENTS, visit_directory, &listing, err);
    return status;
}

/* --- the log ------------------------------------------------------------------ */

static ochre_status
visit_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct check *check = context;
    (void) err;
    check->totals.n_log_records++;
    check->totals.n_bytes += record->payload.size;
    char message[96];
    struct och_write write;
    if (record->type == OCH_RECORD_GENERATION && !damaged && record->payload.size == 8) {
        uint64_t generation = och_load_u64(record->payload.data);
        if (generation > check->generation_max)
            check->generation_max = generation;
    }
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
            .keeps_reach = true, /* what it knows of has to be there */
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

/* Nothing of it is needed while the log is whole, and the next start writes it anew. */
static ochre_status
check_reach(struct check *check, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    unsigned n_bad = 0;
    ochre_status status =
            och_wal_reach_check(&check->mem, check->vfs, check->directory.database, &n_bad, &why);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    check->totals.n_files++;
    if (n_bad > 0)
        report(check, OCH_CHECK_NOTE, OCH_DIR_REACH,
                "a part is damaged, or was being written when power failed");
    return judge(check, status, OCH_DIR_REACH, &why, err);
}

/* An old catalog in place of the newest one lists files that are gone, and knows
 * nothing of others. */
static ochre_status
check_generation(struct check *check, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    uint64_t generation = 0;
    ochre_status status = check->catalog->ops->generation(check->catalog, &generation, &why);
    if (status == OCHRE_OK && generation < check->generation_max)
        status = och_fail(&why, OCHRE_CORRUPT,
                "it is older (generation %llu) than the log knows (%llu)",
                (unsigned long long) generation, (unsigned long long) check->generation_max);
    return judge(check, status, "catalog.db", &why, err);
}

/* --- all of it ---------------------------------------------------------------- */

static ochre_status
check_catalog(struct check *check, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    const struct och_catalog_sqlite_options options = {
            .mem = &check->mem, .vfs = check->vfs, .only_reads = true};
    ochre_status status = och_catalog_sqlite_open_with(&options, &check->catalog, &why);
    if (status == OCHRE_NOT_FOUND)
        status = och_fail(&why, OCHRE_CORRUPT, "catalog.db is missing");
    if (status == OCHRE_OK)
        status = check->catalog->ops->check(check->catalog, &why);
    check->totals.n_files++;
    return judge(check, status, "catalog.db", &why, err);
}

/* A directory of before there were copies has none; the next start makes one. */
static ochre_status
check_copy(struct check *check, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status = och_catalog_copy_verify(&check->mem, check->vfs, &why);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    check->totals.n_files++;
    return judge(check, status, "catalog.copy", &why, err);
}

static ochre_status
take_directory(struct check *check, struct ochre_error *err)
{
    ochre_status status =
            och_directory_open(check->vfs, check->machine, false, &check->directory, err);
    if (status == OCHRE_CORRUPT) {
        struct ochre_error none = {.status = OCHRE_CORRUPT};
        return judge(check, status, "FORMAT", err != NULL ? err : &none, NULL);
    }
    if (status == OCHRE_NOT_FOUND)
        return och_fail(err, OCHRE_INVALID, "the directory is not ochre's (no FORMAT file)");
    return status;
}

static ochre_status
check_all(struct check *check, struct ochre_error *err)
{
    ochre_status status = check_catalog(check, err);
    if (status != OCHRE_OK || check->totals.n_damaged > 0)
        return status; /* without a catalog nothing else can be told */
    if (!check->is_head)
        status = check_copy(check, err);
    if (status == OCHRE_OK)
        status = check_collections(check, err);
    if (status == OCHRE_OK)
        status = check_log(check, err);
    if (status == OCHRE_OK)
        status = check_reach(check, err);
    if (status == OCHRE_OK)
        status = check_generation(check, err);
    return status;
}

static const struct och_check_options silent = {.report = NULL};

static void
begin(struct check *check, const struct och_check_options *options)
{
    check->options = options != NULL ? options : &silent;
    och_mem_init(&check->mem, check->options->mem);
    och_arena_init(&check->arena, &check->mem);
    och_id_set_init(&check->living, &check->mem);
    if (check->options->is_deep)
        check->kernels = och_kernels_choose(och_cpu_detect().sets, NULL);
}

static ochre_status
end(struct check *check, ochre_status status, struct ochre_error *err)
{
    och_arena_clear(&check->arena);
    och_mem_release(&check->mem, check->ids, check->room * sizeof(*check->ids));
    if (status == OCHRE_OK && check->totals.n_damaged > 0)
        return och_fail(err, OCHRE_CORRUPT, "%llu findings of damage",
                (unsigned long long) check->totals.n_damaged);
    return status;
}

/* Let the files be read as slowly as wanted; *paced_out NULL: that is not slowly. */
static ochre_status
slow_down(struct check *check, struct och_paced_files **paced_out, struct ochre_error *err)
{
    struct och_read_pace *pace = check->options->pace;
    *paced_out = NULL;
    if (pace == NULL)
        return OCHRE_OK;
    if (pace->progress != NULL && pace->total == 0) {
        ochre_status status = och_tally_bytes(&check->mem, check->vfs, &pace->total, err);
        if (status != OCHRE_OK)
            return status;
    }
    *paced_out = och_paced_files_make(&check->mem, check->vfs, check->options->pace);
    if (*paced_out == NULL)
        return och_fail_memory(err);
    check->vfs = och_paced_files_vfs(*paced_out);
    return OCHRE_OK;
}

/* With the directory `held`, or, if that is NULL, with one taken for the time. */
static ochre_status
run_check(struct check *check, const struct och_directory *held,
        const struct och_check_options *options, struct och_check_totals *totals_out,
        struct ochre_error *err)
{
    struct och_paced_files *paced = NULL;
    begin(check, options);
    ochre_status status = slow_down(check, &paced, err);
    bool takes = status == OCHRE_OK && held == NULL;
    if (held != NULL)
        check->directory = *held;
    else if (takes)
        status = take_directory(check, err);
    if (status == OCHRE_OK && check->totals.n_damaged == 0)
        status = check_all(check, err);
    if (check->catalog != NULL)
        check->catalog->ops->close(check->catalog);
    if (takes)
        och_directory_close(&check->directory);
    och_paced_files_release(paced);
    status = end(check, status, err);
    if (totals_out != NULL)
        *totals_out = check->totals;
    return status;
}

ochre_status
och_check_vfs(struct och_vfs *vfs, const struct och_machine *machine,
        const struct och_check_options *options, struct och_check_totals *totals_out,
        struct ochre_error *err)
{
    struct check check = {.vfs = vfs, .machine = machine};
    return run_check(&check, NULL, options, totals_out, err);
}

ochre_status
och_check_held(struct och_vfs *vfs, const struct och_machine *machine,
        const struct och_directory *held, const struct och_check_options *options,
        struct och_check_totals *totals_out, struct ochre_error *err)
{
    struct check check = {.vfs = vfs, .machine = machine};
    return run_check(&check, held, options, totals_out, err);
}

ochre_status
och_check_head(struct och_vfs *vfs, const struct och_machine *machine,
        const struct och_directory *held, const struct och_check_options *options,
        struct och_check_totals *totals_out, struct ochre_error *err)
{
    struct check check = {.vfs = vfs, .machine = machine, .is_head = true};
    return run_check(&check, held, options, totals_out, err);
}

ochre_status
och_check_collection(struct och_vfs *vfs, struct och_catalog *catalog, struct och_uuid id,
        const struct och_check_options *options, struct och_check_totals *totals,
        struct ochre_error *err)
{
    struct check check = {.vfs = vfs, .catalog = catalog, .totals = *totals, .is_live = true};
    struct och_paced_files *paced = NULL;
    begin(&check, options);
    check.totals.n_damaged = 0;
    ochre_status status = slow_down(&check, &paced, err);
    if (status == OCHRE_OK)
        status = check_collection(&check, id, err);
    if (status == OCHRE_NOT_FOUND) /* dropped meanwhile */
        status = OCHRE_OK;
    och_paced_files_release(paced);
    status = end(&check, status, err);
    check.totals.n_damaged += totals->n_damaged;
    check.totals.n_collections++;
    *totals = check.totals;
    return status;
}

/* Damage that keeps from looking any further. */
static void
report_unheld(const struct och_check_options *options, struct och_check_totals *totals_out,
        const struct ochre_error *err)
{
    const char *message = err != NULL ? err->message : "damaged";
    const char *path = strncmp(message, "catalog", 7) == 0 ? "catalog.db"
            : strncmp(message, "FORMAT", 6) == 0           ? "FORMAT"
                                                           : "log";
    struct och_check_finding finding = {.kind = OCH_CHECK_DAMAGE, .path = path, .message = message};
    if (totals_out != NULL)
        totals_out->n_damaged = 1;
    if (options != NULL && options->report != NULL)
        options->report(options->context, &finding);
}

ochre_status
och_check_beside(struct och_vfs *vfs, const struct och_machine *machine,
        const struct och_check_options *options, struct och_check_totals *totals_out,
        struct ochre_error *err)
{
    struct och_mem mem;
    struct och_directory directory;
    struct och_held_files *held = NULL;
    och_mem_init(&mem, options != NULL ? options->mem : NULL);
    if (totals_out != NULL)
        *totals_out = (struct och_check_totals){.n_files = 0};
    ochre_status status = och_held_files_make_beside(&mem, vfs, &directory, &held, err);
    if (status == OCHRE_OK)
        status = och_check_held(
                och_held_files_vfs(held), machine, &directory, options, totals_out, err);
    else if (status == OCHRE_CORRUPT)
        report_unheld(options, totals_out, err);
    else if (status == OCHRE_NOT_FOUND)
        status = och_fail(err, OCHRE_INVALID, "the directory is not ochre's (no FORMAT file)");
    och_held_files_release(held);
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
    if (status == OCHRE_BUSY)
        status = och_check_beside(vfs, och_machine_posix(), options, totals_out, err);
    och_vfs_posix_close(vfs);
    return status;
}
