#include "api/upgrade.h"

#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/db.h"
#include "api/held_files.h"
#include "api/paced_files.h"
#include "api/tidy.h"
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

/* Of a database in use old files are written anew so often: forks that were made meanwhile
 * have some, too. */
#define ROUNDS_MAX 4u

struct upgrade {
    struct och_vfs *vfs;
    struct och_vfs *source; /* its files as they are at one moment, to be surveyed and kept */
    struct och_upgrade_options options;
    struct och_directory directory;
    const atomic_bool *stop; /* borrowed; NULL: nobody stops it */
    struct ochre_db *db;     /* the source, open to be read */
    struct och_buf old_ids;  /* of the survey: collections with old files, struct och_uuid each */
    uint64_t n_old;          /* likewise, files */
    uint64_t digest;         /* likewise, of what is visible */
    bool is_silent;          /* what is old is not told */
    struct ochre_error *err;
};

static struct upgrade
begin(struct och_vfs *vfs, const struct och_upgrade_options *options)
{
    struct upgrade upgrade = {.vfs = vfs, .source = vfs, .options = *options};
    if (options->kernels == NULL)
        upgrade.options.kernels = och_kernels_choose(och_cpu_detect().sets, NULL);
    och_buf_init(&upgrade.old_ids, options->mem, SIZE_MAX / 2);
    return upgrade;
}

static struct upgrade
begin_in_use(struct ochre_db *db, const struct och_upgrade_options *options)
{
    struct och_upgrade_options own = *options;
    own.mem = &db->mem;
    own.machine = db->options.machine;
    own.kernels = db->options.kernels;
    struct upgrade upgrade = begin(db->options.vfs, &own);
    upgrade.directory = db->directory;
    upgrade.stop = &db->gives_up;
    return upgrade;
}

/* --- opening --------------------------------------------------------------------- */

static ochre_status
take(struct upgrade *upgrade, struct ochre_error *err)
{
    ochre_status status = och_directory_open(
            upgrade->vfs, upgrade->options.machine, false, &upgrade->directory, err);
    if (status == OCHRE_NOT_FOUND)
        return och_fail(err, OCHRE_INVALID, "the directory is not ochre's (no FORMAT file)");
    return status;
}

/* Open the directory, or the source to be read. */
static ochre_status
open_db(const struct upgrade *upgrade, bool read_only, struct ochre_db **db_out,
        struct ochre_error *err)
{
    const struct och_db_options options = {.mem = upgrade->options.mem,
            .vfs = read_only ? upgrade->source : upgrade->vfs,
            .machine = upgrade->options.machine,
            .kernels = upgrade->options.kernels,
            .n_cpus = 1,
            .read_only = read_only};
    return och_db_open(&options, db_out, err);
}

/* --- what is old ------------------------------------------------------------------- */

static void
tell(struct upgrade *upgrade, const char *path, const char *why)
{
    upgrade->n_old++;
    if (upgrade->options.report != NULL && !upgrade->is_silent)
        upgrade->options.report(upgrade->options.context, path, why);
}

/* NULL: it is as this version writes it.  Its version is the newest, or it would not open:
 * there has been one. */
static const char *
why_old(const struct upgrade *upgrade, struct och_segment *segment)
{
    if (!och_segment_has_index(segment) && segment->n_rows >= OCH_GRAPH_CODES_MIN)
        return "it has no codes of its vectors";
    if (och_segment_has_index(segment) &&
            och_segment_whole_index(segment, upgrade->options.kernels) == NULL)
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
            och_segment_open(&upgrade->db->mem, upgrade->source, id, segment_id, &segment, err);
    if (status != OCHRE_OK)
        return status;
    const char *why = why_old(upgrade, segment);
    och_segment_path(path, sizeof(path), id, segment_id);
    if (why != NULL)
        tell(upgrade, path, why);
    och_segment_release(segment);
    return OCHRE_OK;
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
    och_arena_clear(&arena);
    if (status == OCHRE_OK && upgrade->n_old > n_old)
        och_buf_put(&upgrade->old_ids, id.bytes, sizeof(id.bytes));
    return status == OCHRE_OK && och_buf_status(&upgrade->old_ids) != OCHRE_OK
            ? och_fail_memory(err)
            : status;
}

static ochre_status
look_at_collections(struct upgrade *upgrade, struct ochre_error *err)
{
    struct och_buf ids;
    och_buf_init(&ids, &upgrade->db->mem, SIZE_MAX / 2);
    ochre_status status = och_db_list_collections(upgrade->db, &ids, err);
    for (size_t at = 0; status == OCHRE_OK && at < ids.size; at += sizeof(struct och_uuid)) {
        struct och_uuid id;
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
    ochre_status status = och_vfs_open(upgrade->source, path, OCH_OPEN_READ, &file, upgrade->err);
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

/* All that is old in the source, and what is visible there. */
static ochre_status
survey(struct upgrade *upgrade, struct ochre_error *err)
{
    bool has_copy = false;
    upgrade->err = err;
    upgrade->n_old = 0;
    upgrade->digest = 0;
    och_buf_reset(&upgrade->old_ids);
    ochre_status status = open_db(upgrade, true, &upgrade->db, err);
    if (status == OCHRE_OK)
        status = look_at_collections(upgrade, err);
    if (status == OCHRE_OK)
        status = digest_names(upgrade, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(upgrade->source, "log", look_at_log, upgrade, err);
    if (status == OCHRE_OK)
        status = och_vfs_exists(upgrade->vfs, "catalog.copy", &has_copy, err);
    if (status == OCHRE_OK && !has_copy)
        tell(upgrade, "catalog.db", "it has no copy");
    och_db_close(upgrade->db);
    upgrade->db = NULL;
    return status;
}

/* --- upgrading ----------------------------------------------------------------------- */

static struct och_read_phase
phase_of(const struct upgrade *upgrade, const char *name)
{
    return (struct och_read_phase){.name = name,
            .progress = upgrade->options.progress,
            .context = upgrade->options.context};
}

/* Keep the source, which does not change meanwhile, unless an earlier try has done so. */
static ochre_status
keep(struct upgrade *upgrade, struct ochre_error *err)
{
    enum och_kept_state state;
    const struct och_upgrade_options *options = &upgrade->options;
    struct och_read_phase phase = phase_of(upgrade, "checking ");
    struct och_read_pace pace = {.machine = options->machine,
            .progress = phase.progress == NULL ? NULL : och_read_phase_tell,
            .context = &phase,
            .stop = upgrade->stop};
    const struct och_check_options check = {.mem = options->mem, .pace = &pace};
    ochre_status status = och_kept_look(upgrade->vfs, &state, err);
    if (status != OCHRE_OK || state == OCH_KEPT_WHOLE)
        return status;
    status = och_check_held(
            upgrade->source, options->machine, &upgrade->directory, &check, NULL, err);
    if (status == OCHRE_CORRUPT)
        return och_fail(err, status,
                "the directory is damaged, and was left as it is; `ochre check` says where");
    if (status != OCHRE_OK)
        return status;
    const struct och_kept_was was = {.database = upgrade->directory.database,
            .digest = upgrade->digest,
            .made_unix_s = och_machine_wall_ns(options->machine) / 1000000000u};
    pace.progress = NULL; /* it was checked; now it is read again to be kept */
    struct och_paced_files *files = och_paced_files_make(options->mem, upgrade->source, &pace);
    if (files == NULL)
        return och_fail_memory(err);
    status = och_kept_make(options->mem, upgrade->vfs, och_paced_files_vfs(files), &was, err);
    och_paced_files_release(files);
    return status;
}

/* One that is alone would be left as it is. */
static void
wear(const struct upgrade *upgrade, struct och_collection *collection)
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

static bool
is_stopped(const struct upgrade *upgrade)
{
    return upgrade->stop != NULL && atomic_load_explicit(upgrade->stop, memory_order_relaxed);
}

/* One that was dropped meanwhile has nothing old. */
static ochre_status
compact(const struct upgrade *upgrade, struct ochre_db *db, struct och_uuid id,
        struct ochre_error *err)
{
    struct och_collection *collection = NULL;
    struct och_collection_row row;
    struct och_arena arena;
    if (is_stopped(upgrade))
        return och_fail(err, OCHRE_UNAVAILABLE, "The database is being closed");
    och_arena_init(&arena, &db->mem);
    ochre_status status = db->catalog->ops->collection_by_id(db->catalog, &arena, id, &row, err);
    if (status == OCHRE_OK)
        status = och_engine_collection(db->engine, &row, &collection, err);
    och_arena_clear(&arena);
    if (status == OCHRE_OK) {
        wear(upgrade, collection);
        status = och_engine_compact(db->engine, collection, err);
    }
    och_collection_release(collection);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

/* Old segments are written anew, and a purge lets the log go that holds old records.  By who
 * has begun to tidy. */
static ochre_status
rewrite(const struct upgrade *upgrade, struct ochre_db *db, struct ochre_error *err)
{
    struct och_read_phase anew = phase_of(upgrade, "writing anew ");
    struct och_read_phase purging = phase_of(upgrade, "purging ");
    const struct och_buf *ids = &upgrade->old_ids;
    if (anew.progress != NULL)
        och_read_phase_tell(&anew, 0, ids->size + 1); /* what is in memory counts as one byte */
    ochre_status status = och_engine_seal_all(db->engine, err);
    for (size_t at = 0; status == OCHRE_OK && at < ids->size; at += sizeof(struct och_uuid)) {
        struct och_uuid id;
        memcpy(id.bytes, ids->data + at, sizeof(id.bytes));
        if (anew.progress != NULL)
            och_read_phase_tell(&anew, at, ids->size + 1);
        status = compact(upgrade, db, id, err);
    }
    if (status == OCHRE_OK)
        status = db->catalog->ops->keep_copy(db->catalog, err);
    if (status != OCHRE_OK)
        return status;
    if (purging.progress != NULL)
        och_db_watch(db, och_read_phase_tell, &purging);
    status = och_tidy_purge(db, err);
    if (purging.progress != NULL)
        och_db_watch(db, NULL, NULL);
    return status;
}

/* Nobody uses it: it is opened as anybody opens it. */
static ochre_status
rewrite_all(struct upgrade *upgrade, struct ochre_error *err)
{
    struct ochre_db *db = NULL;
    ochre_status status = open_db(upgrade, false, &db, err);
    if (status == OCHRE_OK)
        status = och_tidy_begin(db, err);
    if (status == OCHRE_OK) {
        status = rewrite(upgrade, db, err);
        och_tidy_end(db);
    }
    och_db_close(db);
    upgrade->is_silent = true;
    if (status == OCHRE_OK)
        status = survey(upgrade, err);
    if (status == OCHRE_OK && upgrade->n_old > 0)
        return och_fail(err, OCHRE_INTERNAL, "%llu files are of an older form still",
                (unsigned long long) upgrade->n_old);
    return status;
}

/* What is there now, for who asked, and an end. */
static ochre_status
conclude(struct upgrade *upgrade, ochre_status status, struct och_upgrade_totals *totals,
        struct ochre_error *err)
{
    struct och_kept_was was;
    och_buf_clear(&upgrade->old_ids);
    if (status != OCHRE_OK)
        return status;
    status = och_kept_look(upgrade->vfs, &totals->state, err);
    if (status == OCHRE_OK && totals->state == OCH_KEPT_WHOLE) {
        status = och_kept_was(upgrade->vfs, &was, err);
        totals->kept_unix_s = was.made_unix_s;
    }
    if (status == OCHRE_NOT_FOUND) { /* it was settled between the two looks */
        totals->state = OCH_KEPT_NONE;
        return OCHRE_OK;
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
    status = survey(&upgrade, err);
    totals_out->n_old = upgrade.n_old;
    bool changes = status == OCHRE_OK && upgrade.n_old > 0 && !options->dry_run;
    if (changes)
        status = keep(&upgrade, err);
    och_directory_close(&upgrade.directory);
    if (status == OCHRE_OK && changes)
        status = rewrite_all(&upgrade, err);
    return conclude(&upgrade, status, totals_out, err);
}

/* --- settling ---------------------------------------------------------------------------- */

/* Is something kept? */
static ochre_status
check_kept(struct upgrade *upgrade, struct ochre_error *err)
{
    enum och_kept_state state = OCH_KEPT_NONE;
    ochre_status status = och_kept_look(upgrade->vfs, &state, err);
    if (status == OCHRE_OK && state == OCH_KEPT_PART)
        status = och_kept_remove(upgrade->vfs, err); /* of no use, and in the way */
    if (status == OCHRE_OK && state != OCH_KEPT_WHOLE)
        status = och_fail(err, OCHRE_NOT_FOUND, "no upgrade is to be settled here");
    return status;
}

/* Hold the directory, in which something is kept. */
static ochre_status
take_kept(struct upgrade *upgrade, struct ochre_error *err)
{
    ochre_status status = take(upgrade, err);
    if (status != OCHRE_OK)
        return status;
    status = check_kept(upgrade, err);
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
    return conclude(&upgrade, status, totals_out, err);
}

/* Is everything that is visible what was visible then? */
static ochre_status
check_unchanged(struct upgrade *upgrade, struct ochre_error *err)
{
    struct och_kept_was was;
    ochre_status status = och_kept_was(upgrade->vfs, &was, err);
    upgrade->is_silent = true;
    if (status == OCHRE_OK)
        status = survey(upgrade, err);
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
    return conclude(&upgrade, status, totals_out, err);
}

/* --- in use ------------------------------------------------------------------------------- */

/* As it is now; and with `keeps` what is old is kept, as it was surveyed. */
static ochre_status
survey_held(struct upgrade *upgrade, struct ochre_db *db, bool keeps, struct ochre_error *err)
{
    struct och_held_files *held = NULL;
    ochre_status status = och_held_files_make(&db->mem, db, &held, err);
    if (status != OCHRE_OK)
        return status;
    upgrade->source = och_held_files_vfs(held);
    status = survey(upgrade, err);
    if (status == OCHRE_OK && keeps && upgrade->n_old > 0)
        status = keep(upgrade, err);
    och_held_files_release(held);
    return status;
}

static ochre_status
upgrade_held(
        struct upgrade *upgrade, struct ochre_db *db, uint64_t *n_old_out, struct ochre_error *err)
{
    ochre_status status = survey_held(upgrade, db, true, err);
    *n_old_out = upgrade->n_old;
    upgrade->is_silent = true;
    for (unsigned n = 0; status == OCHRE_OK && upgrade->n_old > 0; n++) {
        if (n == ROUNDS_MAX)
            return och_fail(err, OCHRE_UNAVAILABLE,
                    "%llu files are of an older form still: a backup needs them, or new ones "
                    "came; upgrade again after that",
                    (unsigned long long) upgrade->n_old);
        status = rewrite(upgrade, db, err);
        /* Who holds the files keeps a purge from its end, but not old ones from going after it. */
        if (status == OCHRE_OK || (status == OCHRE_UNAVAILABLE && !is_stopped(upgrade)))
            status = survey_held(upgrade, db, true, err);
    }
    return status;
}

ochre_status
och_op_upgrade(struct ochre_db *db, const struct och_upgrade_options *options,
        struct och_upgrade_totals *totals_out, struct ochre_error *err)
{
    struct upgrade upgrade = begin_in_use(db, options);
    *totals_out = (struct och_upgrade_totals){.n_old = 0};
    ochre_status status = och_tidy_begin(db, err);
    if (status != OCHRE_OK)
        return status;
    status = upgrade_held(&upgrade, db, &totals_out->n_old, err);
    status = conclude(&upgrade, status, totals_out, err);
    och_tidy_end(db);
    return status;
}

ochre_status
och_op_upgrade_look(struct ochre_db *db, const struct och_upgrade_options *options,
        struct och_upgrade_totals *totals_out, struct ochre_error *err)
{
    struct upgrade upgrade = begin_in_use(db, options);
    *totals_out = (struct och_upgrade_totals){.n_old = 0};
    ochre_status status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = survey_held(&upgrade, db, false, err);
    totals_out->n_old = upgrade.n_old;
    return conclude(&upgrade, status, totals_out, err);
}

ochre_status
och_op_upgrade_commit(
        struct ochre_db *db, struct och_upgrade_totals *totals_out, struct ochre_error *err)
{
    const struct och_upgrade_options options = {.dry_run = false};
    struct upgrade upgrade = begin_in_use(db, &options);
    *totals_out = (struct och_upgrade_totals){.n_old = 0};
    ochre_status status = och_tidy_begin(db, err);
    if (status != OCHRE_OK)
        return status;
    status = check_kept(&upgrade, err);
    if (status == OCHRE_OK)
        status = och_kept_remove(upgrade.vfs, err);
    status = conclude(&upgrade, status, totals_out, err);
    och_tidy_end(db);
    return status;
}
