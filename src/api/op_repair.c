#include <stdio.h>
#include <string.h>

#include "api/db.h"
#include "api/held_files.h"
#include "api/names.h"
#include "api/paced_files.h"
#include "api/repair_internal.h"
#include "api/tidy.h"
#include "base/error.h"
#include "base/mem.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_sqlite.h"
#include "engine/collection.h"
#include "os/clock.h"
#include "os/vfs.h"
#include "os/vfs_below.h"
#include "segment/segment.h"
#include "storage/directory.h"

/* Where what is left is put together; what a crash leaves there goes at the next open. */
#define DIR_WORK OCH_DIR_TMP "/repair"
#define REPORT_TMP OCH_DIR_TMP "/" OCH_REPAIR_REPORT

/* The name of what is made of a collection begins as its own. */
#define REPAIRED_SUFFIX ".repaired"
enum { NAME_SIZE = 512, SUFFIX_ROOM = 32, NAME_TRIES_MAX = 100, NAME_SHOWN_MAX = 128 };

struct online {
    struct ochre_db *db;
    struct och_repair_options how; /* of the look: it is what is reported */
    struct och_repair_options apart;
    bool dry_run;
    struct och_held_files *held;
    struct och_read_pace pace;
    struct och_paced_files *paced;
    struct och_vfs_below below;
    struct och_repair *look; /* what is damaged */
    struct och_repair *made; /* what was made of it; NULL: nothing had to be */
    size_t n_wanted;
};

/* --- looking --------------------------------------------------------------------- */

/* What is in memory need not be had from a log that is damaged.  A collection that cannot be
 * sealed since it is damaged keeps the others from nothing. */
static ochre_status
seal(struct ochre_db *db, struct ochre_error *err)
{
    ochre_status status = och_engine_seal_all(db->engine, err);
    return status == OCHRE_CORRUPT ? OCHRE_OK : status;
}

static ochre_status
hold(struct online *online, struct ochre_error *err)
{
    struct ochre_db *db = online->db;
    ochre_status status = och_held_files_make(&db->mem, db, &online->held, err);
    if (status != OCHRE_OK)
        return status;
    online->pace = (struct och_read_pace){.machine = db->options.machine, .stop = &db->gives_up};
    online->paced = och_paced_files_make(&db->mem, och_held_files_vfs(online->held), &online->pace);
    return online->paced == NULL ? och_fail_memory(err) : OCHRE_OK;
}

static void
close_segments(struct och_repair *repair)
{
    for (size_t i = 0; repair != NULL && i < repair->n_members; i++)
        och_repair_close_segments(repair, &repair->members[i]);
}

static void
let_go(struct online *online)
{
    close_segments(online->look);
    close_segments(online->made);
    och_paced_files_release(online->paced);
    och_held_files_release(online->held);
    online->paced = NULL;
    online->held = NULL;
}

/* Does it work, as it is in memory?  *loaded_out: it is there. */
static bool
works(struct ochre_db *db, struct och_uuid id, bool *loaded_out)
{
    struct och_collection *collection = och_engine_loaded(db->engine, id);
    *loaded_out = collection != NULL;
    bool does = collection == NULL || och_collection_usable(collection, NULL) == OCHRE_OK;
    och_collection_release(collection);
    return does;
}

static bool
has_lost_deletes(const struct och_repair_member *member)
{
    bool has = false;
    for (size_t i = 0; i < member->n_segments; i++)
        has |= member->segments[i].has_lost_deletes;
    return has;
}

/* Which are to be made anew?  Not those that lose nothing by their damage. */
static void
choose(struct online *online)
{
    struct och_repair *look = online->look;
    for (size_t i = 0; i < look->n_members; i++) {
        struct och_repair_member *member = &look->members[i];
        const struct ochre_bytes name = member->row.name;
        bool is_loaded = false;
        bool is_whole = och_repair_is_whole(member);
        bool does_work = works(online->db, member->row.id, &is_loaded);
        member->is_left_out = is_whole && does_work;
        member->has_stopped |= !does_work; /* it knows why, whatever its files say */
        online->n_wanted += !member->is_left_out;
        if (member->is_left_out && member->sum.n_rebuilt > 0)
            och_repair_report(look, OCH_REPAIR_NOTE, OCH_CATALOG_FILE,
                    "collection \"%.*s\" needs no repair: no record of it is lost, and what is "
                    "made of records is made anew by itself",
                    och_name_shown(name, NAME_SHOWN_MAX), name.data);
        if (!is_whole && is_loaded && does_work && has_lost_deletes(member))
            och_repair_report(look, OCH_REPAIR_NOTE, OCH_CATALOG_FILE,
                    "what was deleted of collection \"%.*s\" is known in memory as long as this "
                    "process runs: a compaction before it ends loses nothing",
                    och_name_shown(name, NAME_SHOWN_MAX), name.data);
    }
}

/* Work on what there is; what becomes of a pin is told under the name that it has. */
static ochre_status
work(struct och_repair *look, struct ochre_error *err)
{
    struct och_repair_collection *known =
            och_arena_take_array(&look->arena, look->n_members + 1, sizeof(*known));
    if (known == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < look->n_members; i++)
        known[i] = look->members[i].sum;
    ochre_status status = och_repair_work(look, err);
    for (size_t i = 0; i < look->n_members; i++) {
        look->members[i].sum.name = known[i].name;
        look->members[i].sum.pin = known[i].pin;
    }
    return status;
}

static ochre_status
look(struct online *online, struct ochre_error *err)
{
    ochre_status status = seal(online->db, err);
    if (status == OCHRE_OK)
        status = hold(online, err);
    if (status == OCHRE_OK)
        status = och_repair_make(
                &online->how, och_paced_files_vfs(online->paced), NULL, &online->look, err);
    if (status == OCHRE_OK)
        status = och_repair_look(online->look, err);
    if (status == OCHRE_OK)
        status = work(online->look, err);
    if (status == OCHRE_OK)
        choose(online);
    return status;
}

/* --- making ------------------------------------------------------------------------ */

static ochre_status
clear_work(struct online *online, struct ochre_error *err)
{
    struct och_vfs *vfs = online->db->options.vfs;
    bool there = false;
    ochre_status status = och_vfs_exists(vfs, DIR_WORK, &there, err);
    if (status != OCHRE_OK || !there)
        return status;
    status = och_repair_clear(&online->db->mem, &online->below.vfs, err);
    return status == OCHRE_OK ? och_vfs_rmdir(vfs, DIR_WORK, err) : status;
}

/* Let the copy of the catalog have none of the files of those that stay where they are; their
 * names stay, so that none of them is given again. */
static ochre_status
leave_out(struct online *online, struct ochre_error *err)
{
    struct och_repair *made = online->made;
    struct och_catalog *catalog = made->catalog.catalog;
    ochre_status status = OCHRE_OK;
    och_assert(made->n_members == online->look->n_members);
    for (size_t i = 0; i < made->n_members && status == OCHRE_OK; i++) {
        struct och_repair_member *member = &made->members[i];
        och_assert(member->row.number == online->look->members[i].row.number);
        member->is_left_out = online->look->members[i].is_left_out;
        if (!member->is_left_out || member->n_segments == 0)
            continue;
        status = catalog->ops->state_set(catalog, member->row.id, &member->state, NULL, 0, err);
        member->n_segments = 0;
    }
    return status;
}

static ochre_status
make(struct online *online, struct ochre_error *err)
{
    struct och_vfs *vfs = online->db->options.vfs;
    ochre_status status = och_space_admit(&online->db->engine->space, err);
    if (status == OCHRE_OK)
        status = clear_work(online, err);
    if (status == OCHRE_OK)
        status = och_vfs_mkdir(vfs, DIR_WORK, err);
    if (status == OCHRE_OK)
        status = och_repair_make(&online->apart, och_paced_files_vfs(online->paced),
                &online->below.vfs, &online->made, err);
    if (status != OCHRE_OK)
        return status;
    online->made->live = online->db->catalog;
    status = och_repair_look(online->made, err);
    if (status == OCHRE_OK)
        status = leave_out(online, err);
    return status == OCHRE_OK ? och_repair_work(online->made, err) : status;
}

/* --- adopting ----------------------------------------------------------------------- */

/* What becomes a collection: of a damaged one, or of what is in doubt of it. */
struct part {
    const struct och_repair_member *of;   /* as it was found */
    const struct och_collection_row *row; /* in the catalog that was made */
    const char *suffix;
    uint64_t position; /* all of its log is in files when these are at this */
    uint64_t n_records;
};

/* The first name that is free: `base`, `base`-2 ... in the arena. */
static ochre_status
find_name(struct online *online, const struct part *part, unsigned *try,
        struct och_collection_row *row, struct ochre_error *err)
{
    struct och_catalog *catalog = online->db->catalog;
    struct och_arena *arena = &online->made->arena;
    const struct ochre_bytes base = part->row->name;
    struct och_collection_row namesake;
    char name[NAME_SIZE];
    int size = base.size < NAME_SIZE - SUFFIX_ROOM ? (int) base.size : NAME_SIZE - SUFFIX_ROOM;
    ochre_status status = OCHRE_OK;
    while (status == OCHRE_OK && *try < NAME_TRIES_MAX) {
        unsigned n = ++*try;
        int length = n == 1
                ? snprintf(name, sizeof(name), "%.*s%s", size, base.data, part->suffix)
                : snprintf(name, sizeof(name), "%.*s%s-%u", size, base.data, part->suffix, n);
        row->name.data = och_arena_copy(arena, name, (size_t) length);
        row->name.size = (size_t) length;
        if (row->name.data == NULL)
            return och_fail_memory(err);
        status = catalog->ops->collection_by_name(
                catalog, arena, row->tenant, row->database, row->name, &namesake, err);
    }
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    return status == OCHRE_OK
            ? och_fail(err, OCHRE_EXISTS, "every name for what is left of \"%.*s\" is taken",
                      och_name_shown(base, NAME_SHOWN_MAX), base.data)
            : status;
}

static ochre_status
try_to_adopt(struct online *online, const struct och_adoption *adoption, const struct part *part,
        struct och_collection_row *row, struct ochre_error *err)
{
    struct ochre_db *db = online->db;
    uint8_t random[16] = {0};
    unsigned n_tries = 0;
    ochre_status status = OCHRE_EXISTS;
    while (status == OCHRE_EXISTS) {
        status = och_machine_entropy(db->options.machine, random, sizeof(random), err);
        row->id = och_uuid_from_random(random);
        if (status == OCHRE_OK)
            status = find_name(online, part, &n_tries, row, err);
        if (status != OCHRE_OK)
            return status;
        /* Somebody may be faster. */
        status = och_engine_adopt(db->engine, adoption, row, err);
    }
    return status;
}

/* Collections that were dropped meanwhile are nobody's loss. */
static ochre_status
forgive_dropped(struct online *online, const struct part *part, ochre_status status)
{
    const struct ochre_bytes name = part->row->name;
    if (status != OCHRE_NOT_FOUND)
        return status;
    och_repair_report(online->look, OCH_REPAIR_NOTE, OCH_CATALOG_FILE,
            "collection \"%.*s\" was dropped meanwhile", och_name_shown(name, NAME_SHOWN_MAX),
            name.data);
    return OCHRE_OK;
}

static ochre_status
adopt(struct online *online, struct och_catalog *from, const struct part *part,
        struct ochre_bytes *name_out, struct ochre_error *err)
{
    char text[OCH_UUID_TEXT_SIZE + 1], dir[OCH_PATH_SIZE_MAX];
    struct och_adoption adoption = {.beside = part->of->row.id, .dir = dir};
    struct och_segment_row *segments = NULL;
    struct och_collection_row row = *part->row;
    och_uuid_put(part->row->id, text);
    (void) snprintf(dir, sizeof(dir), DIR_WORK "/" OCH_DIR_SEGMENTS "/%s", text);
    ochre_status status = from->ops->state_get(from, &online->made->arena, part->row->id,
            &adoption.state, &segments, &adoption.n_segments, err);
    if (status == OCHRE_OK && adoption.state.position != part->position)
        status = och_fail(err, OCHRE_INTERNAL, "what is left of \"%.*s\" is not all in files",
                och_name_shown(row.name, NAME_SHOWN_MAX), row.name.data);
    if (status != OCHRE_OK)
        return status;
    adoption.segments = segments;
    /* Its log is not this database's, which has nothing of it. */
    adoption.state.lsn = part->of->state.lsn;
    status = try_to_adopt(online, &adoption, part, &row, err);
    if (status != OCHRE_OK)
        return forgive_dropped(online, part, status);
    *name_out = row.name;
    och_repair_report(online->look, OCH_REPAIR_REBUILT, OCH_CATALOG_FILE,
            "collection \"%.*s\" was made; it has %llu records",
            och_name_shown(row.name, NAME_SHOWN_MAX), row.name.data,
            (unsigned long long) part->n_records);
    return OCHRE_OK;
}

/* Is there something left, or was there nothing? */
static bool
is_worth_having(const struct och_repair_member *member)
{
    const struct och_repair_collection *sum = &member->sum;
    return !member->is_unreadable &&
            (sum->n_records > 0 ||
                    sum->n_lost + sum->n_in_doubt + sum->n_given_up + sum->n_skipped == 0);
}

/* What is in doubt comes first: who finds the other one knows that there is no more. */
static ochre_status
adopt_member(struct online *online, struct och_catalog *from, size_t i, struct ochre_error *err)
{
    struct och_repair_member *made = &online->made->members[i];
    const struct och_repair_member *found = &online->look->members[i];
    struct och_repair_collection *sum = &made->sum;
    const struct part doubted = {.of = found,
            .row = &made->doubted,
            .suffix = "", /* it has its name */
            .position = made->doubted_position,
            .n_records = sum->n_in_doubt};
    const struct part left = {.of = found,
            .row = &made->row,
            .suffix = och_collection_row_is_pin(&found->row) ? "" : REPAIRED_SUFFIX,
            .position = made->renumbered,
            .n_records = sum->n_records};
    ochre_status status = OCHRE_OK;
    sum->doubted = (struct ochre_bytes){NULL, 0};
    if (made->doubted.number != 0 && sum->n_in_doubt > 0)
        status = adopt(online, from, &doubted, &sum->doubted, err);
    if (status != OCHRE_OK)
        return status;
    if (is_worth_having(made))
        return adopt(online, from, &left, &sum->beside, err);
    och_repair_report(online->look, OCH_REPAIR_LOST, OCH_CATALOG_FILE,
            "nothing is left that is sure to be of collection \"%.*s\"",
            och_name_shown(found->sum.name, NAME_SHOWN_MAX), found->sum.name.data);
    return OCHRE_OK;
}

static ochre_status
adopt_all(struct online *online, struct ochre_error *err)
{
    struct och_repair *made = online->made;
    struct och_catalog *from = NULL;
    ochre_status status =
            och_catalog_sqlite_open(&online->db->mem, &online->below.vfs, false, &from, err);
    for (size_t i = 0; i < made->n_members && status == OCHRE_OK; i++) {
        struct och_repair_member *found = &online->look->members[i];
        if (made->members[i].is_left_out)
            continue;
        status = adopt_member(online, from, i, err);
        /* It is told of under the name that somebody knows. */
        struct och_repair_collection sum = made->members[i].sum;
        sum.name = found->sum.name;
        sum.pin = found->sum.pin;
        found->sum = sum;
    }
    if (from != NULL)
        from->ops->close(from);
    return status;
}

/* --- the report ------------------------------------------------------------------------ */

static ochre_status
write_report(struct online *online, struct ochre_error *err)
{
    struct och_vfs *vfs = online->db->options.vfs;
    const struct och_buf *text = &online->look->text;
    struct och_file *file = NULL;
    ochre_status status =
            och_vfs_open(vfs, REPORT_TMP, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status == OCHRE_OK) /* one that a failure left */
        status = och_file_truncate(file, 0, err);
    if (status == OCHRE_OK)
        status = och_file_write(file, 0, text->data, text->size, err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    if (status == OCHRE_OK)
        status = och_vfs_rename(vfs, REPORT_TMP, OCH_REPAIR_REPORT, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, "", err) : status;
}

static ochre_status
tell(struct online *online, struct ochre_error *err)
{
    struct och_buf *text = &online->look->text;
    och_repair_sum_up(online->look);
    if (och_buf_status(text) != OCHRE_OK)
        return och_fail_memory(err);
    return text->size > 0 && !online->dry_run ? write_report(online, err) : OCHRE_OK;
}

/* --- all of it -------------------------------------------------------------------------- */

static ochre_status
run(struct online *online, struct ochre_error *err)
{
    ochre_status status = look(online, err);
    bool makes = status == OCHRE_OK && online->n_wanted > 0 && !online->dry_run;
    if (makes)
        status = make(online, err);
    let_go(online);
    if (makes && status == OCHRE_OK)
        status = adopt_all(online, err);
    return status == OCHRE_OK ? tell(online, err) : status;
}

static void
end(struct online *online)
{
    bool has_begun = online->made != NULL;
    if (has_begun)
        och_hold_release(&online->made->hold);
    och_repair_release(online->made);
    och_repair_release(online->look);
    ochre_status cleared = has_begun ? clear_work(online, NULL) : OCHRE_OK;
    (void) cleared; /* the next one does it, or the next open */
}

ochre_status
och_op_repair(struct ochre_db *db, const struct och_repair_options *options, bool dry_run,
        struct och_repair_totals *totals_out, struct ochre_error *err)
{
    *totals_out = (struct och_repair_totals){.n_collections = 0};
    ochre_status status = och_tidy_begin(db, err);
    if (status != OCHRE_OK)
        return status;
    struct online online = {.db = db, .how = *options, .dry_run = dry_run};
    online.how.mem = &db->mem;
    online.how.machine = db->options.machine;
    online.how.kernels = db->options.kernels;
    online.how.progress = NULL;
    online.how.stop = &db->gives_up;
    online.apart = online.how;
    online.apart.report = NULL; /* the same once more */
    online.apart.summarize = NULL;
    och_vfs_below_init(&online.below, db->options.vfs, DIR_WORK);
    status = run(&online, err);
    if (online.look != NULL)
        *totals_out = online.look->totals;
    end(&online);
    och_tidy_end(db);
    return status;
}
