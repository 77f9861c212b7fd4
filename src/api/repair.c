#include "api/repair.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/beside.h"
#include "api/paced_files.h"
#include "api/repair_internal.h"
#include "api/schema.h"
#include "api/stats_internal.h"
#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "drivers/catalog_copy.h"
#include "drivers/catalog_pages.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/dir.h"
#include "os/vfs_posix.h"
#include "storage/directory.h"
#include "storage/wal.h"

/* --- the report ------------------------------------------------------------------- */

const char *
och_repair_kind_name(och_repair_kind kind)
{
    switch (kind) {
    case OCH_REPAIR_NOTE:
        return "note";
    case OCH_REPAIR_REBUILT:
        return "rebuilt";
    case OCH_REPAIR_LOST:
    case OCH_REPAIR_RECORD:
        return "lost";
    case OCH_REPAIR_IN_DOUBT:
        return "in doubt";
    }
    return "note";
}

void
och_repair_report(
        struct och_repair *repair, och_repair_kind kind, const char *path, const char *format, ...)
{
    char message[900];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (size < 0)
        message[0] = '\0';
    /* Ids may have any bytes, and this is read on terminals. */
    for (char *at = message; *at != '\0'; at++)
        if ((unsigned char) *at < 0x20 || *at == 0x7f)
            *at = '?';
    repair->totals.has_lost |= kind >= OCH_REPAIR_LOST;
    och_buf_put_text(&repair->text, och_repair_kind_name(kind));
    och_buf_put_text(&repair->text, " ");
    och_buf_put_text(&repair->text, path);
    och_buf_put_text(&repair->text, ": ");
    och_buf_put_text(&repair->text, message);
    och_buf_put_text(&repair->text, "\n");
    const struct och_repair_finding finding = {kind, path, message};
    if (repair->options->report != NULL)
        repair->options->report(repair->options->context, &finding);
}

/* What became of a collection, as a line of the report. */
static void
put_summary(struct och_repair *repair, const struct och_repair_collection *sum)
{
    char numbers[400];
    och_buf_put_text(&repair->text, "collection ");
    och_buf_put(&repair->text, sum->tenant.data, sum->tenant.size);
    och_buf_put_text(&repair->text, "/");
    och_buf_put(&repair->text, sum->database.data, sum->database.size);
    och_buf_put_text(&repair->text, "/");
    och_buf_put(&repair->text, sum->name.data, sum->name.size);
    if (sum->pin.data != NULL) {
        och_buf_put_text(&repair->text, ", pin ");
        och_buf_put(&repair->text, sum->pin.data, sum->pin.size);
    }
    (void) snprintf(numbers, sizeof(numbers),
            ": %s; %" PRIu64 " records, up to position %" PRIu64 " of its log; lost %" PRIu64
            ", in doubt %" PRIu64 ", files written anew %" PRIu64 ", writes given up %" PRIu64
            ", changes of lost records skipped %" PRIu64 "\n",
            sum->is_whole ? "whole" : "damaged", sum->n_records, sum->position, sum->n_lost,
            sum->n_in_doubt, sum->n_rebuilt, sum->n_given_up, sum->n_skipped);
    och_buf_put_text(&repair->text, numbers);
    if (repair->options->summarize != NULL)
        repair->options->summarize(repair->options->context, sum);
}

bool
och_repair_is_whole(const struct och_repair_member *member)
{
    return !member->is_broken && !member->is_unreadable && !member->has_stopped;
}

void
och_repair_sum_up(struct och_repair *repair)
{
    struct och_repair_totals *totals = &repair->totals;
    for (size_t i = 0; i < repair->n_members; i++) {
        struct och_repair_member *member = &repair->members[i];
        struct och_repair_collection *sum = &member->sum;
        totals->n_collections++;
        totals->n_whole += member->is_left_out;
        if (member->is_left_out)
            continue;
        sum->position = member->position;
        sum->is_whole = och_repair_is_whole(member) && sum->n_rebuilt == 0;
        put_summary(repair, sum);
        totals->n_whole += sum->is_whole;
        totals->n_records += sum->n_records;
        totals->n_lost += sum->n_lost;
        totals->n_in_doubt += sum->n_in_doubt;
        totals->n_rebuilt += sum->n_rebuilt;
        totals->n_given_up += sum->n_given_up;
        totals->n_skipped += sum->n_skipped;
    }
}

/* --- whose it is ------------------------------------------------------------------ */

/* The lock says that nobody uses it; its text stays as it is.  Where it is missing, it is made
 * if the two directories are to change names: nobody may take this one meanwhile. */
static ochre_status
lock_source(struct och_vfs *from, bool create, struct och_file **lock_out, struct ochre_error *err)
{
    bool is_ours = true;
    unsigned flags = create ? OCH_OPEN_WRITE | OCH_OPEN_CREATE : OCH_OPEN_READ;
    ochre_status status = och_vfs_open(from, OCH_DIR_LOCK, flags, lock_out, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_file_lock(*lock_out, err);
    if (status == OCHRE_OK)
        status = och_file_is_at(*lock_out, from, OCH_DIR_LOCK, &is_ours, err);
    if (status == OCHRE_BUSY || (status == OCHRE_OK && (!is_ours || !och_vfs_is_named(from))))
        return och_fail(err, OCHRE_BUSY,
                "another process uses the directory; stop it before it is repaired");
    return status;
}

/* Without FORMAT and a log: does what is here look like ours? */
static ochre_status
check_ours(struct och_repair *repair, struct ochre_error *err)
{
    static const char *const names[] = {OCH_CATALOG_FILE, OCH_CATALOG_COPY};
    bool there = false;
    ochre_status status = och_vfs_exists(repair->from, "chroma.sqlite3", &there, err);
    if (status == OCHRE_OK && there)
        return och_fail(err, OCHRE_INVALID, "the directory holds a Chroma database");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && status == OCHRE_OK && !there; i++)
        status = och_vfs_exists(repair->from, names[i], &there, err);
    if (status == OCHRE_OK && !there)
        return och_fail(err, OCHRE_INVALID, "the directory is not ochre's (no FORMAT, no catalog)");
    return status;
}

static ochre_status
find_database(struct och_repair *repair, struct ochre_error *err)
{
    uint8_t random[16] = {0};
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status = och_directory_read_format(repair->from, &repair->database, &why);
    if (status == OCHRE_OK)
        return OCHRE_OK;
    if (status != OCHRE_NOT_FOUND && status != OCHRE_CORRUPT) {
        if (err != NULL)
            *err = why;
        return status;
    }
    const char *what = status == OCHRE_NOT_FOUND ? "it is missing" : why.message;
    status = check_ours(repair, err);
    if (status != OCHRE_OK)
        return status;
    if (och_wal_find_database(repair->from, &repair->database)) {
        och_repair_report(
                repair, OCH_REPAIR_REBUILT, "FORMAT", "%s; the log has the database's id", what);
        return OCHRE_OK;
    }
    status = och_machine_entropy(repair->options->machine, random, sizeof(random), err);
    repair->database = och_uuid_from_random(random);
    och_repair_report(repair, OCH_REPAIR_REBUILT, "FORMAT",
            "%s, and no log has the database's id: it gets another one", what);
    return status;
}

/* --- the catalog ------------------------------------------------------------------- */

static ochre_status
open_catalog(struct och_repair *repair, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status =
            och_catalog_salvage_open(&repair->catalog, repair->from, repair->mem, &why);
    if (status == OCHRE_CORRUPT)
        return och_fail(err, OCHRE_CORRUPT,
                "not repairable: %.300s.  What collections there are, and which files and log "
                "records are theirs, stands nowhere else: restore a backup",
                why.message);
    if (status != OCHRE_OK) {
        if (err != NULL)
            *err = why;
        return status;
    }
    if (repair->catalog.is_earlier) {
        repair->totals.is_earlier = true;
        och_repair_report(repair, OCH_REPAIR_LOST, OCH_CATALOG_FILE,
                "%.300s; the newest state that catalog.copy has whole is taken, and changes to "
                "the catalog after it are lost: collections dropped since are back",
                repair->catalog.why.message);
    } else if (repair->catalog.is_mended) {
        och_repair_report(repair, OCH_REPAIR_REBUILT, OCH_CATALOG_FILE,
                "%s; catalog.copy has all of it", repair->catalog.why.message);
    }
    return OCHRE_OK;
}

/* Collections, as they are listed. */
struct listing {
    struct och_repair *repair;
    struct och_uuid *ids; /* owned */
    size_t n, room;
    struct ochre_error *err;
};

static ochre_status
note_collection(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct listing *listing = context;
    struct och_mem *mem = listing->repair->mem;
    (void) number;
    (void) n_segments;
    if (listing->n == listing->room) {
        size_t room = listing->room == 0 ? 64 : listing->room * 2;
        struct och_uuid *ids = och_mem_resize(
                mem, listing->ids, listing->room * sizeof(*ids), room * sizeof(*ids));
        if (ids == NULL)
            return och_fail_memory(listing->err);
        listing->ids = ids;
        listing->room = room;
    }
    listing->ids[listing->n++] = id;
    if (state->lsn > listing->repair->lsn_max)
        listing->repair->lsn_max = state->lsn;
    return OCHRE_OK;
}

static ochre_status
read_state(struct och_repair *repair, struct och_repair_member *member, struct och_uuid id,
        struct ochre_error *err)
{
    struct och_catalog *catalog = repair->catalog.catalog;
    struct och_segment_row *rows = NULL;
    size_t n = 0;
    ochre_status status =
            catalog->ops->collection_by_id(catalog, &repair->arena, id, &member->row, err);
    if (status == OCHRE_OK)
        status = catalog->ops->state_get(
                catalog, &repair->arena, id, &member->state, &rows, &n, err);
    if (status != OCHRE_OK)
        return status;
    member->segments = och_arena_take_array(&repair->arena, n + 1, sizeof(*member->segments));
    if (member->segments == NULL)
        return och_fail_memory(err);
    memset(member->segments, 0, (n + 1) * sizeof(*member->segments));
    for (size_t i = 0; i < n; i++)
        member->segments[i].row = rows[i];
    member->n_segments = n;
    member->position = member->state.position;
    member->lsn = member->state.lsn;
    member->renumbered = member->state.position;
    member->sum.tenant = member->row.tenant;
    member->sum.database = member->row.database;
    member->sum.name = member->row.name;
    member->sum.id = member->row.id;
    return OCHRE_OK;
}

static ochre_status
read_member(struct och_repair *repair, struct och_repair_member *member, struct och_uuid id,
        struct ochre_error *err)
{
    const struct och_schema *schema = NULL;
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status = read_state(repair, member, id, err);
    if (status != OCHRE_OK)
        return status;
    status = och_schema_parse(&repair->arena, member->row.schema, &schema, &why);
    if (status == OCHRE_OK) {
        member->settings = och_schema_settings(schema);
    } else if (status == OCHRE_NO_MEMORY) {
        return och_fail_memory(err);
    } else {
        och_repair_report(repair, OCH_REPAIR_LOST, OCH_CATALOG_FILE,
                "the schema of collection \"%.*s\" makes no sense: %.200s",
                (int) member->row.name.size, member->row.name.data, why.message);
        member->is_unreadable = true;
        member->n_segments = 0;
    }
    return OCHRE_OK;
}

static int
compare_members(const void *left, const void *right)
{
    const struct och_repair_member *a = left;
    const struct och_repair_member *b = right;
    return (a->row.number > b->row.number) - (a->row.number < b->row.number);
}

/* A pin is told of by what it is of, whose name somebody knows: its own place has none. */
static void
name_pins(struct och_repair_member *members, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct och_repair_member *pin = &members[i];
        if (!och_collection_row_is_pin(&pin->row))
            continue;
        pin->sum.database = (struct ochre_bytes){"", 0};
        for (size_t k = 0; k < n; k++) {
            const struct och_collection_row *of = &members[k].row;
            const struct ochre_bytes id = {(const char *) of->id.bytes, sizeof(of->id.bytes)};
            if (!och_bytes_equal(id, pin->row.database))
                continue;
            pin->sum.tenant = of->tenant;
            pin->sum.database = of->database;
            pin->sum.name = of->name;
            pin->sum.pin = pin->row.name;
        }
    }
}

static ochre_status
read_members(struct och_repair *repair, struct ochre_error *err)
{
    struct och_catalog *catalog = repair->catalog.catalog;
    struct listing listing = {.repair = repair, .err = err};
    ochre_status status =
            catalog->ops->each_collection(catalog, &repair->arena, note_collection, &listing, err);
    size_t size = (listing.n + 1) * sizeof(*repair->members);
    struct och_repair_member *members =
            status == OCHRE_OK ? och_arena_take(&repair->arena, size) : NULL;
    if (members != NULL)
        memset(members, 0, size);
    else if (status == OCHRE_OK)
        status = och_fail_memory(err);
    repair->members = members;
    for (size_t i = 0; members != NULL && i < listing.n && status == OCHRE_OK; i++) {
        status = read_member(repair, &members[i], listing.ids[i], err);
        repair->n_members += status == OCHRE_OK;
    }
    if (members != NULL)
        qsort(members, repair->n_members, sizeof(*members), compare_members);
    if (members != NULL)
        name_pins(members, repair->n_members);
    och_mem_release(repair->mem, listing.ids, listing.room * sizeof(*listing.ids));
    return status;
}

/* --- files that nothing lists -------------------------------------------------------- */

struct strangers {
    struct och_repair *repair;
    const char *dir;
    const struct och_repair_member *member; /* whose directory it is; NULL: none's */
    struct ochre_error *err;
};

static bool
is_known_name(const char *name)
{
    static const char *const known[] = {"LOCK", "FORMAT", OCH_CATALOG_FILE, OCH_CATALOG_JOURNAL,
            OCH_CATALOG_COPY, "RESERVE", OCH_DIR_REACH, "log", OCH_DIR_SEGMENTS, OCH_DIR_TMP,
            OCH_REPAIR_REPORT, OCH_DIR_REPAIRING, OCH_DIR_RESTORING};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

static bool
is_listed(const struct och_repair_member *member, const char *name)
{
    char expected[OCH_PATH_SIZE_MAX];
    for (size_t i = 0; i < member->n_segments; i++) {
        const struct och_segment_row *row = &member->segments[i].row;
        (void) snprintf(expected, sizeof(expected), "%016" PRIx64 ".seg", row->id);
        if (strcmp(name, expected) == 0)
            return true;
        (void) snprintf(expected, sizeof(expected), "%016" PRIx64 ".%016" PRIx64 ".del", row->id,
                row->deletes_id);
        if (row->deletes_id != 0 && strcmp(name, expected) == 0)
            return true;
    }
    return false;
}

static ochre_status
visit_stranger(void *context, const char *name, bool is_dir)
{
    struct strangers *strangers = context;
    char path[OCH_PATH_SIZE_MAX];
    const struct och_repair_member *member = strangers->member;
    bool is_root = strangers->dir[0] == '\0';
    if (is_root ? is_known_name(name) : !is_dir && member != NULL && is_listed(member, name))
        return OCHRE_OK;
    (void) snprintf(path, sizeof(path), "%s%s%s", strangers->dir, is_root ? "" : "/", name);
    och_repair_report(strangers->repair, OCH_REPAIR_NOTE, path,
            "nothing that is repaired names it; it stays in the damaged directory only");
    return OCHRE_OK;
}

static ochre_status
visit_segment_dir(void *context, const char *name, bool is_dir)
{
    struct strangers *strangers = context;
    struct och_repair *repair = strangers->repair;
    char path[OCH_PATH_SIZE_MAX];
    struct och_uuid id;
    if (!is_dir || !och_uuid_parse(name, strlen(name), &id))
        return visit_stranger(context, name, is_dir);
    struct strangers below = {.repair = repair, .dir = path, .err = strangers->err};
    for (size_t i = 0; i < repair->n_members; i++)
        if (och_uuid_equal(repair->members[i].row.id, id))
            below.member = &repair->members[i];
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s", name);
    return och_vfs_list(repair->from, path, visit_stranger, &below, strangers->err);
}

static ochre_status
find_strangers(struct och_repair *repair, struct ochre_error *err)
{
    struct strangers strangers = {.repair = repair, .dir = "", .err = err};
    ochre_status status = och_vfs_list(repair->from, "", visit_stranger, &strangers, err);
    strangers.dir = OCH_DIR_SEGMENTS;
    if (status == OCHRE_OK)
        status = och_vfs_list(repair->from, OCH_DIR_SEGMENTS, visit_segment_dir, &strangers, err);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

/* --- all of it ------------------------------------------------------------------------ */

ochre_status
och_repair_look(struct och_repair *repair, struct ochre_error *err)
{
    ochre_status status = find_database(repair, err);
    if (status == OCHRE_OK)
        status = open_catalog(repair, err);
    if (status == OCHRE_OK)
        och_repair_lend_ids(repair, repair->catalog.catalog, &repair->lent);
    if (status == OCHRE_OK)
        status = read_members(repair, err);
    return status == OCHRE_OK ? find_strangers(repair, err) : status;
}

ochre_status
och_repair_work(struct och_repair *repair, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    if (repair->to != NULL)
        status = och_repair_take_target(repair, err);
    for (size_t i = 0; i < repair->n_members && status == OCHRE_OK; i++)
        if (!repair->members[i].is_left_out)
            status = och_repair_segments(repair, &repair->members[i], err);
    if (status == OCHRE_OK)
        status = och_repair_log(repair, err);
    if (status == OCHRE_OK && repair->to != NULL)
        status = och_repair_write_target(repair, err);
    return status;
}

static ochre_status
repair_all(struct och_repair *repair, struct ochre_error *err)
{
    ochre_status status = och_repair_look(repair, err);
    if (status == OCHRE_OK)
        status = och_repair_work(repair, err);
    if (status == OCHRE_OK)
        och_repair_sum_up(repair);
    if (status == OCHRE_OK && och_buf_status(&repair->text) != OCHRE_OK)
        status = och_fail_memory(err);
    if (status == OCHRE_OK && repair->to != NULL)
        status = och_repair_publish_target(repair, err);
    return status;
}

ochre_status
och_repair_make(const struct och_repair_options *options, struct och_vfs *from, struct och_vfs *to,
        struct och_repair **repair_out, struct ochre_error *err)
{
    struct och_repair *repair = och_mem_take_zeroed(options->mem, sizeof(*repair));
    *repair_out = repair;
    if (repair == NULL)
        return och_fail_memory(err);
    repair->options = options;
    repair->mem = options->mem;
    repair->from = from;
    repair->to = to;
    och_arena_init(&repair->arena, repair->mem);
    och_buf_init(&repair->text, repair->mem, SIZE_MAX / 2);
    och_vfs_memory_init(&repair->catalog.files, repair->mem);
    return OCHRE_OK;
}

void
och_repair_release(struct och_repair *repair)
{
    if (repair == NULL)
        return;
    for (size_t i = 0; i < repair->n_members; i++)
        och_repair_close_segments(repair, &repair->members[i]);
    och_catalog_salvage_close(&repair->catalog);
    och_buf_clear(&repair->text);
    och_arena_clear(&repair->arena);
    och_mem_release(repair->mem, repair, sizeof(*repair));
}

/* The locks of the new directory stay, in *hold_out. */
static ochre_status
repair_from(const struct och_repair_options *options, struct och_vfs *from, struct och_vfs *to,
        struct och_hold *hold_out, struct och_repair_totals *totals_out, struct ochre_error *err)
{
    struct och_repair *repair = NULL;
    ochre_status status = och_repair_make(options, from, to, &repair, err);
    if (status != OCHRE_OK)
        return status;
    status = repair_all(repair, err);
    *hold_out = repair->hold;
    *totals_out = repair->totals;
    och_repair_release(repair);
    return status;
}

/* The source is locked. */
static ochre_status
repair_held(const struct och_repair_options *options, struct och_vfs *from, struct och_vfs *to,
        struct och_hold *hold_out, struct och_repair_totals *totals_out, struct ochre_error *err)
{
    struct och_read_phase phase = {
            .name = "reading ", .progress = options->progress, .context = options->context};
    struct och_read_pace pace = {
            .machine = options->machine, .progress = och_read_phase_tell, .context = &phase};
    *totals_out = (struct och_repair_totals){.n_collections = 0};
    *hold_out = (struct och_hold){.mark = NULL};
    if (options->progress == NULL)
        return repair_from(options, from, to, hold_out, totals_out, err);
    /* What is wrong with the directory is said by who repairs it. */
    ochre_status status = och_tally_bytes(options->mem, from, &pace.total, NULL);
    if (status == OCHRE_NO_MEMORY)
        return och_fail_memory(err);
    struct och_paced_files *counted = och_paced_files_make(options->mem, from, &pace);
    if (counted == NULL)
        return och_fail_memory(err);
    status = repair_from(options, och_paced_files_vfs(counted), to, hold_out, totals_out, err);
    och_paced_files_release(counted);
    return status;
}

ochre_status
och_repair_vfs(const struct och_repair_options *options, struct och_vfs *from, struct och_vfs *to,
        struct och_repair_totals *totals_out, struct ochre_error *err)
{
    struct och_hold hold = {.mark = NULL};
    struct och_file *lock = NULL;
    *totals_out = (struct och_repair_totals){.n_collections = 0};
    ochre_status status = lock_source(from, false, &lock, err);
    if (status == OCHRE_OK)
        status = repair_held(options, from, to, &hold, totals_out, err);
    och_hold_release(&hold);
    och_file_close(lock);
    return status;
}

ochre_status
och_repair_directory(const struct och_repair_options *options, const char *from, const char *to,
        struct och_repair_totals *totals_out, struct ochre_error *err)
{
    struct och_vfs *source = NULL;
    struct och_vfs *target = NULL;
    *totals_out = (struct och_repair_totals){.n_collections = 0};
    struct och_repair_options how = *options;
    if (how.kernels == NULL)
        how.kernels = och_kernels_choose(och_cpu_detect().sets, NULL);
    ochre_status status = och_vfs_posix_open(options->mem, from, false, &source, err);
    if (status == OCHRE_OK && to != NULL)
        status = och_vfs_posix_open(options->mem, to, true, &target, err);
    if (status == OCHRE_OK)
        status = och_repair_vfs(&how, source, target, totals_out, err);
    och_vfs_posix_close(target);
    och_vfs_posix_close(source);
    return status;
}

/* --- in place -------------------------------------------------------------------------- */

#define SUFFIX_KEPT ".damaged-"
enum { KEPT_MAX = 1000 };

static const struct och_beside_kind in_place = {
        .suffix = ".repairing", .mark = OCH_DIR_REPAIRING, .does = "repairs"};

/* The damaged directory has the name of what was made; now it gets one to be found by. */
static ochre_status
name_kept(
        const struct och_beside *beside, char *kept_out, size_t kept_size, struct ochre_error *err)
{
    ochre_status status = OCHRE_EXISTS;
    for (unsigned n = 1; status == OCHRE_EXISTS && n <= KEPT_MAX; n++) {
        int size = snprintf(kept_out, kept_size, "%s" SUFFIX_KEPT "%u", beside->path, n);
        status = size < 0 || (size_t) size >= kept_size
                ? och_fail(err, OCHRE_INVALID, "the path of the directory is too long")
                : och_dir_move(beside->data, kept_out, err);
    }
    if (status != OCHRE_OK)
        kept_out[0] = '\0';
    return status;
}

/* The repaired directory of one that was killed before it changed names goes. */
static ochre_status
clear_left(struct och_beside *beside, struct ochre_error *err)
{
    struct och_vfs *vfs = NULL;
    struct och_file *lock = NULL;
    ochre_status status = och_vfs_posix_open(beside->mem, beside->data, false, &vfs, err);
    if (status == OCHRE_OK)
        status = lock_source(vfs, false, &lock, err);
    if (status == OCHRE_OK)
        status = och_repair_clear(beside->mem, vfs, err);
    och_file_close(lock);
    och_vfs_posix_close(vfs);
    if (status == OCHRE_OK)
        och_vfs_posix_forget(beside->data);
    return status;
}

static ochre_status
exchange(struct och_beside *beside, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status = och_dir_exchange(beside->path, beside->data, &why);
    if (status == OCHRE_OK)
        return status;
    /* Who reads this may begin to use it: the next repair must not remove it. */
    bool named = false;
    ochre_status kept = och_beside_keep(beside, &named, NULL);
    (void) kept;
    return named
            ? och_fail(err, status,
                      "%.300s; the directory is repaired, and %.150s the damaged one: repair "
                      "again to give it its name",
                      why.message, beside->data)
            : och_fail(err, status, "%.300s; the repaired directory is whole, and stays %.150s",
                      why.message, beside->data);
}

/* Both directories are held until each has the name it keeps. */
static ochre_status
repair_beside(const struct och_repair_options *options, struct och_beside *beside, char *kept_out,
        size_t kept_size, struct och_repair_totals *totals_out, struct ochre_error *err)
{
    struct och_hold hold = {.mark = NULL};
    struct och_vfs *from = NULL;
    struct och_vfs *to = NULL;
    struct och_file *lock = NULL;
    ochre_status status = och_vfs_posix_open(options->mem, beside->path, false, &from, err);
    if (status == OCHRE_OK)
        status = lock_source(from, true, &lock, err);
    if (status == OCHRE_OK)
        status = och_beside_make(beside, &to, err);
    if (status == OCHRE_OK)
        status = repair_held(options, from, to, &hold, totals_out, err);
    if (status != OCHRE_OK && to != NULL) {
        ochre_status cleared = och_repair_clear(options->mem, to, NULL);
        (void) cleared; /* the next one does it */
    }
    if (status == OCHRE_OK)
        status = exchange(beside, err);
    if (status == OCHRE_OK)
        status = name_kept(beside, kept_out, kept_size, err);
    och_hold_release(&hold);
    och_file_close(lock);
    och_vfs_posix_close(to);
    och_vfs_posix_close(from);
    return status;
}

static void
tell_left(const struct och_repair_options *options, const char *path, const char *message)
{
    const struct och_repair_finding finding = {OCH_REPAIR_NOTE, path, message};
    if (options->report != NULL)
        options->report(options->context, &finding);
}

static ochre_status
check_there(struct och_mem *mem, const char *path, struct ochre_error *err)
{
    struct och_vfs *vfs = NULL;
    ochre_status status = och_vfs_posix_open(mem, path, false, &vfs, err);
    och_vfs_posix_close(vfs);
    return status;
}

ochre_status
och_repair_in_place(const struct och_repair_options *options, const char *path, char *kept_out,
        size_t kept_size, struct och_repair_totals *totals_out, struct ochre_error *err)
{
    struct och_repair_options how = *options;
    struct och_beside *beside = NULL;
    enum och_beside_state state = OCH_BESIDE_NONE;
    kept_out[0] = '\0';
    *totals_out = (struct och_repair_totals){.n_collections = 0};
    if (how.kernels == NULL)
        how.kernels = och_kernels_choose(och_cpu_detect().sets, NULL);
    ochre_status status = check_there(options->mem, path, err);
    if (status == OCHRE_OK)
        status = och_dir_check_exchange(path, err);
    if (status == OCHRE_OK)
        status = och_beside_begin(options->mem, &in_place, path, &beside, &state, err);
    if (status != OCHRE_OK)
        return status;
    if (state == OCH_BESIDE_EXCHANGED) {
        status = name_kept(beside, kept_out, kept_size, err);
        if (status == OCHRE_OK)
            tell_left(options, kept_out,
                    "the damaged directory, which an interrupted repair had not named yet");
    } else if (state == OCH_BESIDE_LEFT) {
        status = clear_left(beside, err);
        if (status == OCHRE_OK)
            tell_left(options, beside->dir, "what an interrupted repair had left was removed");
    }
    totals_out->is_finished = status == OCHRE_OK && state == OCH_BESIDE_EXCHANGED;
    if (status == OCHRE_OK && !totals_out->is_finished)
        status = repair_beside(&how, beside, kept_out, kept_size, totals_out, err);
    och_beside_end(beside);
    return status;
}
