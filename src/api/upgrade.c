#include "api/upgrade.h"

#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/paced_files.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "distance/distance.h"
#include "engine/catalog.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "index/vector/graph.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/vfs.h"
#include "segment/segment.h"
#include "storage/directory.h"

/* Where a log file has the second copy of its header, and what it begins with. */
#define LOG_COPY_AT UINT64_C(2048)
static const char log_magic[8] = {'O', 'C', 'H', 'R', 'E', 'L', 'O', 'G'};

struct upgrade {
    struct och_vfs *vfs;
    const struct och_upgrade_options *options;
    const struct och_kernels *kernels;
    struct och_directory directory;
    struct ochre_db *db; /* open to be read, or written */
    uint64_t n_old;      /* of the survey */
    uint64_t digest;     /* likewise, of what is visible */
    bool rewrites;       /* the survey has old files written anew */
    bool is_silent;      /* what is old is not told */
    struct ochre_error *err;
};

static struct upgrade
begin(struct och_vfs *vfs, const struct och_upgrade_options *options)
{
    const struct och_kernels *kernels = options->kernels;
    if (kernels == NULL)
        kernels = och_kernels_choose(och_cpu_detect().sets, NULL);
    return (struct upgrade){.vfs = vfs, .options = options, .kernels = kernels};
}

/* --- opening --------------------------------------------------------------------- */

static ochre_status
take(struct upgrade *upgrade, struct ochre_error *err)
{
    ochre_status status = och_directory_open(
            upgrade->vfs, upgrade->options->machine, false, &upgrade->directory, err);
    if (status == OCHRE_NOT_FOUND)
        return och_fail(err, OCHRE_INVALID, "the directory is not ochre's (no FORMAT file)");
    return status;
}

static ochre_status
open_db(struct upgrade *upgrade, bool read_only, struct ochre_error *err)
{
    const struct och_db_options options = {.mem = upgrade->options->mem,
            .vfs = upgrade->vfs,
            .machine = upgrade->options->machine,
            .kernels = upgrade->kernels,
            .n_cpus = 1,
            .read_only = read_only};
    return och_db_open(&options, &upgrade->db, err);
}

static void
close_db(struct upgrade *upgrade)
{
    och_db_close(upgrade->db);
    upgrade->db = NULL;
}

/* --- what is old ------------------------------------------------------------------- */

static void
tell(struct upgrade *upgrade, const char *path, const char *why)
{
    upgrade->n_old++;
    if (upgrade->options->report != NULL && !upgrade->is_silent)
        upgrade->options->report(upgrade->options->context, path, why);
}

/* NULL: it is as this version writes it.  Its version is the newest, or it would not open:
 * there has been one. */
static const char *
why_old(const struct upgrade *upgrade, struct och_segment *segment)
{
    if (!och_segment_has_index(segment) && segment->n_rows >= OCH_GRAPH_CODES_MIN)
        return "it has no codes of its vectors";
    if (och_segment_has_index(segment) &&
            och_segment_whole_index(segment, upgrade->kernels) == NULL)
        return "its index of vectors is of an older form";
    if (segment->sections[OCH_SECTION_COLUMNS].offset == 0 &&
            segment->sections[OCH_SECTION_FIELD_BYTES].size > 0)
        return "it has no index of metadata";
    return NULL;
}

static ochre_status
look_at_segment(
        struct upgrade *upgrade, struct och_uuid id, uint64_t segment_id, struct ochre_error *err)
{
    struct och_segment *segment;
    char path[OCH_PATH_SIZE_MAX];
    ochre_status status =
            och_segment_open(&upgrade->db->mem, upgrade->vfs, id, segment_id, &segment, err);
    if (status != OCHRE_OK)
        return status;
    const char *why = why_old(upgrade, segment);
    och_segment_path(path, sizeof(path), id, segment_id);
    if (why != NULL)
        tell(upgrade, path, why);
    och_segment_release(segment);
    return OCHRE_OK;
}

/* One that is alone would be left as it is. */
static void
wear(struct upgrade *upgrade, struct och_collection *collection)
{
    och_mutex_lock(&collection->lock);
    struct och_view *view = och_view_retain(collection->view);
    och_mutex_unlock(&collection->lock);
    for (uint32_t i = 0; i < view->n_segments; i++) {
        if (why_old(upgrade, view->segments[i]) != NULL)
            och_segment_wear(view->segments[i]);
    }
    och_view_release(view);
}

static ochre_status
compact(struct upgrade *upgrade, const struct och_collection_row *row, struct ochre_error *err)
{
    struct och_collection *collection = NULL;
    ochre_status status = och_engine_collection(upgrade->db->engine, row, &collection, err);
    if (status == OCHRE_OK)
        wear(upgrade, collection);
    if (status == OCHRE_OK)
        status = och_engine_compact(upgrade->db->engine, collection, err);
    och_collection_release(collection);
    return status;
}

static void
add_to_digest(struct upgrade *upgrade, const void *bytes, size_t size)
{
    const uint64_t length = size;
    upgrade->digest = och_hash64_seeded(&length, sizeof(length), upgrade->digest);
    if (size > 0)
        upgrade->digest = och_hash64_seeded(bytes, size, upgrade->digest);
}

/* What somebody sees of a collection: its row, and how much of the log it is. */
static void
digest_collection(struct upgrade *upgrade, const struct och_collection_row *row,
        const struct och_collection_state *state)
{
    uint64_t position = state->position;
    struct och_collection *loaded = och_engine_loaded(upgrade->db->engine, row->id);
    if (loaded != NULL) {
        och_mutex_lock(&loaded->lock);
        position = loaded->published.position;
        och_mutex_unlock(&loaded->lock);
    }
    och_collection_release(loaded);
    add_to_digest(upgrade, row->id.bytes, sizeof(row->id.bytes));
    add_to_digest(upgrade, row->tenant.data, row->tenant.size);
    add_to_digest(upgrade, row->database.data, row->database.size);
    add_to_digest(upgrade, row->name.data, row->name.size);
    add_to_digest(upgrade, row->metadata.data, row->metadata.size);
    add_to_digest(upgrade, row->schema.data, row->schema.size);
    add_to_digest(upgrade, &position, sizeof(position));
}

static ochre_status
look_at_collection(struct upgrade *upgrade, struct och_uuid id, struct ochre_error *err)
{
    struct och_catalog *catalog = upgrade->db->catalog;
    struct och_collection_row row;
    struct och_collection_state state;
    struct och_segment_row *rows = NULL;
    size_t n = 0;
    struct och_arena arena;
    och_arena_init(&arena, &upgrade->db->mem);
    uint64_t n_old = upgrade->n_old;
    ochre_status status = catalog->ops->collection_by_id(catalog, &arena, id, &row, err);
    if (status == OCHRE_OK)
        status = catalog->ops->state_get(catalog, &arena, id, &state, &rows, &n, err);
    if (status == OCHRE_OK)
        digest_collection(upgrade, &row, &state);
    for (size_t i = 0; i < n && status == OCHRE_OK; i++)
        status = look_at_segment(upgrade, id, rows[i].id, err);
    if (status == OCHRE_OK && upgrade->rewrites && upgrade->n_old > n_old)
        status = compact(upgrade, &row, err);
    och_arena_clear(&arena);
    return status;
}

static ochre_status
look_at_collections(struct upgrade *upgrade, struct ochre_error *err)
{
    struct och_buf ids;
    och_buf_init(&ids, &upgrade->db->mem, SIZE_MAX / 2);
    ochre_status status = och_db_list_collections(upgrade->db, &ids, err);
    for (size_t at = 0; status == OCHRE_OK && at < ids.size; at += sizeof(struct och_uuid)) {
        struct och_uuid id;
        if (upgrade->rewrites && upgrade->options->progress != NULL)
            upgrade->options->progress(upgrade->options->context, "writing anew ", at, ids.size);
        memcpy(id.bytes, ids.data + at, sizeof(id.bytes));
        status = look_at_collection(upgrade, id, err);
    }
    och_buf_clear(&ids);
    return status;
}

static ochre_status
look_at_log(void *context, const char *name, bool is_dir)
{
    struct upgrade *upgrade = context;
    char path[OCH_PATH_SIZE_MAX];
    char magic[sizeof(log_magic)] = {0};
    struct och_file *file = NULL;
    size_t n_read = 0;
    int size = snprintf(path, sizeof(path), "log/%s", name);
    if (is_dir || size < 0 || size >= OCH_PATH_SIZE_MAX)
        return OCHRE_OK;
    ochre_status status = och_vfs_open(upgrade->vfs, path, OCH_OPEN_READ, &file, upgrade->err);
    if (status == OCHRE_OK)
        status = och_file_read(file, LOG_COPY_AT, magic, sizeof(magic), &n_read, upgrade->err);
    och_file_close(file);
    if (status == OCHRE_OK && memcmp(magic, log_magic, sizeof(magic)) != 0)
        tell(upgrade, path, "its header stands there once");
    return status;
}

/* What somebody sees of what collections are in. */
static ochre_status
digest_names(struct upgrade *upgrade, struct ochre_error *err)
{
    struct och_catalog *catalog = upgrade->db->catalog;
    struct och_arena arena;
    struct och_tenant_row *tenants = NULL;
    size_t n_tenants = 0;
    och_arena_init(&arena, &upgrade->db->mem);
    ochre_status status = catalog->ops->tenant_list(catalog, &arena, &tenants, &n_tenants, err);
    for (size_t i = 0; i < n_tenants && status == OCHRE_OK; i++) {
        struct och_database_row *rows = NULL;
        size_t n = 0;
        add_to_digest(upgrade, tenants[i].name.data, tenants[i].name.size);
        add_to_digest(upgrade, tenants[i].resource_name.data, tenants[i].resource_name.size);
        status = catalog->ops->database_list(
                catalog, &arena, tenants[i].name, UINT64_MAX, 0, &rows, &n, err);
        for (size_t j = 0; j < n && status == OCHRE_OK; j++) {
            add_to_digest(upgrade, rows[j].id.bytes, sizeof(rows[j].id.bytes));
            add_to_digest(upgrade, rows[j].name.data, rows[j].name.size);
        }
    }
    och_arena_clear(&arena);
    return status;
}

/* All that is old, and what is visible; old segments are written anew on the way, if that
 * is wanted. */
static ochre_status
survey(struct upgrade *upgrade, struct ochre_error *err)
{
    bool has_copy = false;
    upgrade->err = err;
    upgrade->n_old = 0;
    upgrade->digest = 0;
    ochre_status status = look_at_collections(upgrade, err);
    if (status == OCHRE_OK)
        status = digest_names(upgrade, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(upgrade->vfs, "log", look_at_log, upgrade, err);
    if (status == OCHRE_OK)
        status = och_vfs_exists(upgrade->vfs, "catalog.copy", &has_copy, err);
    if (status == OCHRE_OK && !has_copy)
        tell(upgrade, "catalog.db", "it has no copy");
    return status;
}

static ochre_status
survey_readable(struct upgrade *upgrade, struct ochre_error *err)
{
    ochre_status status = open_db(upgrade, true, err);
    if (status == OCHRE_OK)
        status = survey(upgrade, err);
    close_db(upgrade);
    return status;
}

/* --- upgrading ----------------------------------------------------------------------- */

static struct och_read_phase
phase_of(const struct upgrade *upgrade, const char *name)
{
    return (struct och_read_phase){.name = name,
            .progress = upgrade->options->progress,
            .context = upgrade->options->context};
}

/* The directory is held: keep what is there, unless an earlier try has done so. */
static ochre_status
keep(struct upgrade *upgrade, struct ochre_error *err)
{
    enum och_kept_state state;
    const struct och_upgrade_options *options = upgrade->options;
    struct och_read_phase phase = phase_of(upgrade, "checking ");
    struct och_read_pace pace = {.machine = options->machine,
            .progress = phase.progress == NULL ? NULL : och_read_phase_tell,
            .context = &phase};
    const struct och_check_options check = {.mem = options->mem, .pace = &pace};
    ochre_status status = och_kept_look(upgrade->vfs, &state, err);
    if (status != OCHRE_OK || state == OCH_KEPT_WHOLE)
        return status;
    status = och_check_held(upgrade->vfs, options->machine, &upgrade->directory, &check, NULL, err);
    if (status == OCHRE_CORRUPT)
        return och_fail(err, status,
                "the directory is damaged, and was left as it is; `ochre check` says where");
    const struct och_kept_was was = {.database = upgrade->directory.database,
            .digest = upgrade->digest,
            .made_unix_s = och_machine_wall_ns(options->machine) / 1000000000u};
    return status == OCHRE_OK ? och_kept_make(options->mem, upgrade->vfs, &was, err) : status;
}

/* Old segments are written anew, and a purge lets the log go that holds old records. */
static ochre_status
rewrite(struct upgrade *upgrade, struct ochre_error *err)
{
    ochre_status status = open_db(upgrade, false, err);
    struct och_read_phase phase = phase_of(upgrade, "purging ");
    upgrade->rewrites = upgrade->is_silent = true;
    if (status == OCHRE_OK)
        status = och_engine_seal_all(upgrade->db->engine, err);
    if (status == OCHRE_OK)
        status = survey(upgrade, err);
    if (status == OCHRE_OK && phase.progress != NULL)
        och_db_watch(upgrade->db, och_read_phase_tell, &phase);
    if (status == OCHRE_OK)
        status = och_op_purge_all_but_kept(upgrade->db, err);
    close_db(upgrade);
    upgrade->rewrites = false;
    if (status == OCHRE_OK)
        status = survey_readable(upgrade, err);
    if (status == OCHRE_OK && upgrade->n_old > 0)
        return och_fail(err, OCHRE_INTERNAL, "%llu files are of an older form still",
                (unsigned long long) upgrade->n_old);
    return status;
}

/* What is there now, for who asked. */
static ochre_status
conclude(struct upgrade *upgrade, struct och_upgrade_totals *totals, struct ochre_error *err)
{
    struct och_kept_was was;
    ochre_status status = och_kept_look(upgrade->vfs, &totals->state, err);
    if (status == OCHRE_OK && totals->state == OCH_KEPT_WHOLE) {
        status = och_kept_was(upgrade->vfs, &was, err);
        totals->kept_unix_s = was.made_unix_s;
    }
    return status;
}

ochre_status
och_upgrade(struct och_vfs *vfs, const struct och_upgrade_options *options,
        struct och_upgrade_totals *totals_out, struct ochre_error *err)
{
    struct upgrade upgrade = begin(vfs, options);
    *totals_out = (struct och_upgrade_totals){.n_old = 0};
    ochre_status status = take(&upgrade, err);
    if (status != OCHRE_OK)
        return status;
    status = survey_readable(&upgrade, err);
    totals_out->n_old = upgrade.n_old;
    bool changes = status == OCHRE_OK && upgrade.n_old > 0 && !options->dry_run;
    if (changes)
        status = keep(&upgrade, err);
    /* It is opened as anybody opens it. */
    och_directory_close(&upgrade.directory);
    if (status == OCHRE_OK && changes)
        status = rewrite(&upgrade, err);
    return status == OCHRE_OK ? conclude(&upgrade, totals_out, err) : status;
}

/* --- settling ---------------------------------------------------------------------------- */

/* Hold the directory, in which something is kept. */
static ochre_status
take_kept(struct upgrade *upgrade, struct ochre_error *err)
{
    enum och_kept_state state = OCH_KEPT_NONE;
    ochre_status status = take(upgrade, err);
    if (status != OCHRE_OK)
        return status;
    status = och_kept_look(upgrade->vfs, &state, err);
    if (status == OCHRE_OK && state == OCH_KEPT_PART)
        status = och_kept_remove(upgrade->vfs, err); /* of no use, and in the way */
    if (status == OCHRE_OK && state != OCH_KEPT_WHOLE)
        status = och_fail(err, OCHRE_NOT_FOUND, "no upgrade is to be settled here");
    if (status != OCHRE_OK)
        och_directory_close(&upgrade->directory);
    return status;
}

ochre_status
och_upgrade_commit(struct och_vfs *vfs, const struct och_upgrade_options *options,
        struct och_upgrade_totals *totals_out, struct ochre_error *err)
{
    struct upgrade upgrade = begin(vfs, options);
    *totals_out = (struct och_upgrade_totals){.n_old = 0};
    ochre_status status = take_kept(&upgrade, err);
    if (status != OCHRE_OK)
        return status;
    status = och_kept_remove(vfs, err);
    och_directory_close(&upgrade.directory);
    return status == OCHRE_OK ? conclude(&upgrade, totals_out, err) : status;
}

/* Is everything that is visible what was visible then? */
static ochre_status
check_unchanged(struct upgrade *upgrade, struct ochre_error *err)
{
    struct och_kept_was was;
    ochre_status status = och_kept_was(upgrade->vfs, &was, err);
    upgrade->is_silent = true;
    if (status == OCHRE_OK)
        status = survey_readable(upgrade, err);
    if (status == OCHRE_OK && was.digest != upgrade->digest)
        return och_fail(err, OCHRE_EXISTS,
                "something was written or made after the upgrade, and would be lost; say "
                "--discard-writes if that is meant, or --commit to keep the upgrade");
    return status;
}

ochre_status
och_upgrade_revert(struct och_vfs *vfs, const struct och_upgrade_options *options,
        struct och_upgrade_totals *totals_out, struct ochre_error *err)
{
    struct upgrade upgrade = begin(vfs, options);
    *totals_out = (struct och_upgrade_totals){.n_old = 0};
    ochre_status status = take_kept(&upgrade, err);
    if (status != OCHRE_OK)
        return status;
    if (!options->discard_writes)
        status = check_unchanged(&upgrade, err);
    if (status == OCHRE_OK)
        status = och_kept_revert(options->mem, vfs, err);
    och_directory_close(&upgrade.directory);
    return status == OCHRE_OK ? conclude(&upgrade, totals_out, err) : status;
}
