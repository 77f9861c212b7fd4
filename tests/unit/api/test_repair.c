/*
 * test_repair.c - what a repair makes of damage planted anywhere: a directory that is
 * sound, in which nothing is that never was, from which nothing is missing that lies
 * in whole files, and a damaged one that is as it was.
 */
#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/repair.h"
#include "base/random.h"
#include "os/vfs.h"
#include "repair_rig.h"
#include "support/check.h"

/* What a repair said. */
struct findings {
    unsigned n_notes, n_rebuilt, n_lost, n_in_doubt, n_named;
    char last[1024];
};

/* --- repairing ---------------------------------------------------------------------- */

static void
note_finding(void *context, const struct och_repair_finding *finding)
{
    struct findings *findings = context;
    findings->n_notes += finding->kind == OCH_REPAIR_NOTE;
    findings->n_rebuilt += finding->kind == OCH_REPAIR_REBUILT;
    findings->n_lost += finding->kind == OCH_REPAIR_LOST;
    findings->n_in_doubt += finding->kind == OCH_REPAIR_IN_DOUBT;
    findings->n_named += rig_begins_with(finding->message, "record \"");
    (void) snprintf(findings->last, sizeof(findings->last), "%.400s: %.500s", finding->path,
            finding->message);
}

static ochre_status
repair(struct fixture *f, struct sim_disk *from, struct sim_disk *to, struct findings *findings,
        struct och_repair_totals *totals)
{
    memset(findings, 0, sizeof(*findings));
    const struct och_repair_options options = {.mem = &f->mem,
            .machine = &f->machine.machine,
            .kernels = rig_kernels(),
            .report = note_finding,
            .context = findings};
    f->err = (struct ochre_error){.status = OCHRE_OK};
    ochre_status status = och_repair_vfs(
            &options, sim_disk_vfs(from), to != NULL ? sim_disk_vfs(to) : NULL, totals, &f->err);
    check(och_mem_used(&f->mem) == 0);
    return status;
}

static bool
has_format(struct sim_disk *disk)
{
    bool there = false;
    check(och_vfs_exists(sim_disk_vfs(disk), "FORMAT", &there, NULL) == OCHRE_OK);
    return there;
}

/* --- comparing ---------------------------------------------------------------------- */

/* What was damaged. */
struct harm {
    bool segments[N_COLLECTIONS], deletes[N_COLLECTIONS];
    bool log, catalog;
};

static void
compare_collection(struct fixture *f, unsigned c, const struct harm *harm)
{
    static struct record state[N_IDS], doubted[N_IDS];
    char name[64];
    const struct model *model = &f->models[c];
    const struct record *newest = model->states[model->n];
    (void) snprintf(name, sizeof(name), "%s.in-doubt", rig_names[c]);
    bool is_there = rig_read_collection(f, rig_names[c], state);
    bool has_doubts = rig_read_collection(f, name, doubted);
    check(is_there || harm->catalog);
    check(!has_doubts || harm->deletes[c]);
    bool is_harmed = harm->segments[c] || harm->deletes[c];
    for (unsigned id = 0; id < N_IDS; id++) {
        check(state[id].vector == 0 || rig_ever_was(model, id, state[id]));
        check(doubted[id].vector == 0 || rig_ever_was(model, id, doubted[id]));
        check(state[id].vector == 0 || doubted[id].vector == 0);
        /* With the whole log, nothing old and nothing deleted is in the collection. */
        if (!harm->log && !harm->catalog && state[id].vector != 0)
            check(rig_is_same(state[id], newest[id]));
    }
    if (is_there && !is_harmed && !harm->log && !harm->catalog)
        check(rig_position_of(model, state) == model->n);
    /* A prefix of what was written. */
    if (is_there && !is_harmed && !harm->catalog)
        check(model->n == 0 || rig_position_of(model, state) > 0);
}

/* The directory is sound, answers, and goes on. */
static void
check_repaired(struct fixture *f, struct sim_disk *disk, const struct harm *harm)
{
    struct och_check_totals totals;
    check_ok(och_check_vfs(sim_disk_vfs(disk), &f->machine.machine, NULL, &totals, &f->err),
            &f->err);
    for (unsigned opened = 0; opened < 2; opened++) {
        check_ok(rig_open_db(f, disk), &f->err);
        for (unsigned c = 0; c < N_COLLECTIONS; c++)
            compare_collection(f, c, harm);
        if (opened == 0 && !harm->catalog) {
            struct model before = f->models[2];
            rig_write_records(f, 2, OCH_WRITE_UPSERT, N_IDS - 1, 1, false);
            f->models[2] = before;
            rig_delete_records(f, 2, N_IDS - 1, 1);
            f->models[2] = before;
        }
        rig_close_db(f);
        if (opened == 0 && !harm->catalog)
            return; /* what was just written is not the model's */
    }
}

static void
note_harm(struct fixture *f, const char *path, struct harm *harm)
{
    for (unsigned c = 0; c < N_COLLECTIONS; c++) {
        if (!rig_begins_with(path, f->models[c].dir))
            continue;
        harm->segments[c] |= rig_ends_with(path, ".seg");
        harm->deletes[c] |= rig_ends_with(path, ".del");
    }
    harm->log |= rig_begins_with(path, "log/");
    harm->catalog |= rig_begins_with(path, "catalog");
}

/* --- tests -------------------------------------------------------------------------- */

static void
what_is_whole_is_the_same_afterwards(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    struct findings findings;
    struct och_repair_totals totals;
    const struct harm none = {.log = false};
    rig_begin(&f, 1);
    rig_fill(&f);
    rig_close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    uint64_t before = rig_list_files(&f, f.disk, &files);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(!totals.has_lost && !totals.is_earlier && totals.n_whole == N_COLLECTIONS);
    check(findings.n_lost + findings.n_rebuilt + findings.n_in_doubt == 0);
    check(rig_list_files(&f, f.disk, &files) == before);
    check_repaired(&f, to, &none);
    sim_disk_close(to);
    rig_end(&f);
}

/* Damage a file at random. */
static void
damage(struct fixture *f, struct sim_disk *disk, const struct files *files, struct harm *harm,
        char what[200])
{
    static const char *const kinds[] = {"a bit of", "4 KiB of", "the end of", "all of"};
    static const char *const ends[] = {".log", ".del", "", ""};
    const char *wanted = ends[och_random_below(&f->seed, 4)];
    unsigned n_tries = 0; /* there may be none of the wanted ones */
    size_t i;
    do {
        i = (size_t) och_random_below(&f->seed, files->n);
        wanted = ++n_tries < 1000 ? wanted : "";
    } while (files->sizes[i] == 0 || strcmp(files->paths[i], "LOCK") == 0 ||
            !rig_ends_with(files->paths[i], wanted));
    const char *path = files->paths[i];
    uint64_t at = och_random_below(&f->seed, files->sizes[i]);
    unsigned kind = (unsigned) och_random_below(&f->seed, 4);
    /* A log is mostly space. */
    if (rig_begins_with(path, "log/") && och_random_below(&f->seed, 4) != 0)
        at %= 400000;
    bool there = false;
    check(och_vfs_exists(sim_disk_vfs(disk), path, &there, NULL) == OCHRE_OK);
    if (!there) /* damaged before, and gone */
        return;
    if (kind == 0)
        (void) sim_disk_flip(disk, path, at, (unsigned) (at % 8));
    else if (kind == 1)
        rig_zero(disk, path, at / 4096 * 4096, 4096);
    else if (kind == 2)
        rig_cut(disk, path, at);
    else if (kind == 3)
        check(och_vfs_remove(sim_disk_vfs(disk), path, NULL) == OCHRE_OK);
    (void) snprintf(what, 200, "%s %s at %llu", kinds[kind], path, (unsigned long long) at);
    note_harm(f, path, harm);
}

static void
damage_anywhere_is_repaired_or_said_to_be_beyond_it(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    unsigned n_repaired = 0;
    unsigned n_refused = 0;
    struct och_repair_totals sum = {.n_lost = 0};
    for (uint64_t seed = 1; seed <= 6; seed++) {
        rig_begin(&f, seed);
        rig_fill(&f);
        if (seed % 2 == 0)
            rig_close_db(&f); /* else it is as a killed process leaves it */
        struct sim_disk *killed = sim_disk_clone(f.disk);
        rig_close_db(&f);
        (void) rig_list_files(&f, killed, &files);
        for (unsigned i = 0; i < 30; i++) {
            struct sim_disk *disk = sim_disk_clone(killed);
            struct sim_disk *to = sim_disk_open(&f.own, 2);
            struct harm harm = {.log = false};
            struct findings findings;
            struct och_repair_totals totals;
            static struct files after;
            char what[2][200] = {"", ""};
            damage(&f, disk, &files, &harm, what[0]);
            if (i % 3 == 0)
                damage(&f, disk, &files, &harm, what[1]);
            uint64_t before = rig_list_files(&f, disk, &after);
            print_message("seed %u, case %u: %s; %s\n", (unsigned) seed, i, what[0], what[1]);
            ochre_status status = repair(&f, disk, to, &findings, &totals);
            check(status == OCHRE_OK || (status == OCHRE_CORRUPT && harm.catalog));
            check(rig_list_files(&f, disk, &after) == before);
            n_repaired += status == OCHRE_OK;
            n_refused += status != OCHRE_OK;
            sum.n_lost += totals.n_lost > 0;
            sum.n_in_doubt += totals.n_in_doubt > 0;
            sum.n_rebuilt += totals.n_rebuilt > 0;
            sum.n_skipped += totals.n_skipped > 0;
            sum.n_given_up += totals.n_given_up > 0;
            sum.n_log_missing += totals.n_log_missing > 0;
            if (status == OCHRE_OK)
                check_repaired(&f, to, &harm);
            else
                check(!has_format(to) && strstr(f.err.message, "not repairable") != NULL);
            sim_disk_close(to);
            sim_disk_close(disk);
        }
        sim_disk_close(killed);
        rig_end(&f);
    }
    print_message("%u repaired, %u beyond it; %u lost records, %u have some in doubt, %u files "
                  "made anew, %u skipped changes, %u gave writes up, %u miss log records\n",
            n_repaired, n_refused, (unsigned) sum.n_lost, (unsigned) sum.n_in_doubt,
            (unsigned) sum.n_rebuilt, (unsigned) sum.n_skipped, (unsigned) sum.n_given_up,
            (unsigned) sum.n_log_missing);
    check(n_repaired > 150 && n_refused < 20);
    check(sum.n_lost >= 20 && sum.n_in_doubt >= 5 && sum.n_rebuilt >= 20 && sum.n_skipped >= 5 &&
            sum.n_given_up >= 1);
}

/* --- segments ------------------------------------------------------------------------- */

/* A page of documents is gone: its records are named, and what the log does to them is
 * not done to others. */
static void
rows_that_can_be_read_are_kept_and_the_others_named(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    struct findings findings;
    struct och_repair_totals totals, dry;
    const struct harm harm = {.segments = {true}};
    rig_begin(&f, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 18, false);
    rig_seal(&f);
    rig_write_records(&f, 0, OCH_WRITE_ADD, 10, 12, false);
    rig_write_records(&f, 0, OCH_WRITE_UPDATE, 8, 10, true);
    rig_write_records(&f, 2, OCH_WRITE_UPSERT, 3, 4, false);
    rig_close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    (void) rig_list_files(&f, f.disk, &files);
    rig_zero(f.disk, rig_find_file(&files, f.models[0].dir, ".seg"), 131072 + 4096, 4096);
    check_ok(repair(&f, f.disk, NULL, &findings, &dry), &f.err);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(totals.n_lost > 2 && totals.n_lost < 12 && findings.n_named == totals.n_lost);
    check(totals.n_records == 22 - totals.n_lost + 4 && totals.n_rebuilt == 1);
    check(totals.n_skipped > 0 && totals.n_in_doubt == 0 && totals.has_lost);
    check(dry.n_lost == totals.n_lost && dry.n_skipped == totals.n_skipped && dry.n_records == 0);
    check_repaired(&f, to, &harm);
    sim_disk_close(to);
    rig_end(&f);
}

/* Which rows of a segment are dead is lost: those that nothing else tells of are put
 * apart, and what the log deletes is gone there as well. */
static void
what_may_have_been_deleted_is_put_apart(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct record doubted[N_IDS];
    struct findings findings;
    struct och_repair_totals totals;
    const struct harm harm = {.deletes = {true}};
    rig_begin(&f, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 16, false);
    rig_seal(&f);
    rig_delete_records(&f, 0, 2, 2);
    rig_seal(&f);
    rig_delete_records(&f, 0, 10, 2);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 11, 2, false);
    rig_close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    (void) rig_list_files(&f, f.disk, &files);
    check(sim_disk_flip(f.disk, rig_find_file(&files, f.models[0].dir, ".del"), 33, 1));
    rig_zero(f.disk, rig_find_file(&files, f.models[0].dir, ".del"), 16, 12);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(findings.n_in_doubt == 1 && totals.n_in_doubt == 14 && totals.n_lost == 0);
    check(totals.n_skipped == 1 && totals.n_records == 1); /* 12 may have been dead; 11 was */
    check_repaired(&f, to, &harm);
    check_ok(rig_open_db(&f, to), &f.err);
    check(rig_read_collection(&f, "sealed.in-doubt", doubted));
    for (unsigned id = 0; id < N_IDS; id++)
        check((doubted[id].vector == 1) == (id < 16 && id != 10 && id != 11));
    rig_close_db(&f);
    sim_disk_close(to);
    rig_end(&f);
}

/* When every row that died was replaced, the new rows tell which they are. */
static void
what_was_replaced_is_known_to_be_dead(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct record found[N_IDS];
    struct findings findings;
    struct och_repair_totals totals;
    rig_begin(&f, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 16, false);
    rig_seal(&f);
    rig_write_records(&f, 0, OCH_WRITE_UPDATE, 3, 3, true);
    rig_seal(&f);
    rig_close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    (void) rig_list_files(&f, f.disk, &files);
    check(och_vfs_remove(sim_disk_vfs(f.disk), rig_find_file(&files, f.models[0].dir, ".del"),
                  NULL) == OCHRE_OK);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(findings.n_in_doubt == 0 && totals.n_lost == 0 && totals.n_records == 16);
    check_ok(rig_open_db(&f, to), &f.err);
    check(rig_read_collection(&f, rig_names[0], found) &&
            rig_position_of(&f.models[0], found) == 2);
    rig_close_db(&f);
    sim_disk_close(to);
    rig_end(&f);
}

/* --- the log -------------------------------------------------------------------------- */

/* Collections take turns in the log; a record of one is damaged, its header too or not. */
static void
each_collection_keeps_what_comes_before_its_first_missing_record(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct record found[N_IDS];
    for (unsigned whole_page = 0; whole_page < 2; whole_page++) {
        struct findings findings;
        struct och_repair_totals totals;
        rig_begin(&f, 1);
        for (unsigned i = 0; i < 6; i++)
            for (unsigned c = 0; c < N_COLLECTIONS; c++)
                rig_write_records(&f, c, OCH_WRITE_UPSERT, c * 10 + i, 3, false);
        rig_close_db(&f);
        (void) rig_list_files(&f, f.disk, &files);
        const char *log = rig_find_file(&files, "log/", ".log");
        uint64_t at = rig_find_bytes(&f, log, "12 in write 3 "); /* of collection 1 */
        if (whole_page != 0)
            rig_zero(f.disk, log, at / 4096 * 4096, 4096);
        else
            check(sim_disk_flip(f.disk, log, at + 3, 1));
        struct sim_disk *to = sim_disk_open(&f.own, 2);
        check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
        assert_int_equal(totals.n_given_up, 3u + (whole_page == 0));
        assert_int_equal(totals.n_whole, 2);
        assert_int_equal(totals.n_log_missing, whole_page);
        check_ok(rig_open_db(&f, to), &f.err);
        for (unsigned c = 0; c < N_COLLECTIONS; c++) {
            check(rig_read_collection(&f, rig_names[c], found));
            check(rig_position_of(&f.models[c], found) == (c == 1 ? 2 : 6));
        }
        rig_close_db(&f);
        sim_disk_close(to);
        rig_end(&f);
    }
}

/* Whose last records the log lost, only what is beside it can tell. */
static void
a_cut_log_is_told_of_by_what_is_beside_it(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct record found[N_IDS];
    for (unsigned has_reach = 0; has_reach < 2; has_reach++) {
        struct findings findings;
        struct och_repair_totals totals;
        rig_begin(&f, 1);
        for (unsigned c = 0; c < N_COLLECTIONS; c++)
            rig_write_records(&f, c, OCH_WRITE_UPSERT, c * 10, 3, false);
        rig_write_records(&f, 1, OCH_WRITE_UPSERT, 17, 1, false);
        rig_close_db(&f);
        (void) rig_list_files(&f, f.disk, &files);
        const char *log = rig_find_file(&files, "log/", ".log");
        rig_cut(f.disk, log, rig_find_bytes(&f, log, "17 in write 2 ") / 4096 * 4096);
        if (has_reach == 0)
            check_ok(och_vfs_remove(sim_disk_vfs(f.disk), "REACH", &f.err), &f.err);
        struct sim_disk *to = sim_disk_open(&f.own, 2);
        check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
        assert_int_equal(totals.n_whole, N_COLLECTIONS - has_reach);
        check(totals.has_lost && (strstr(findings.last, "behind position 1") != NULL) == has_reach);
        check_ok(rig_open_db(&f, to), &f.err);
        for (unsigned c = 0; c < N_COLLECTIONS; c++) {
            check(rig_read_collection(&f, rig_names[c], found));
            check(rig_position_of(&f.models[c], found) == 1);
        }
        rig_close_db(&f);
        sim_disk_close(to);
        rig_end(&f);
    }
}

/* --- the catalog ----------------------------------------------------------------------- */

static void
without_any_catalog_nothing_is_repaired(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    struct findings findings;
    struct och_repair_totals totals;
    rig_begin(&f, 3);
    rig_fill(&f);
    rig_close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    rig_zero(f.disk, "catalog.db", 0, 4096);
    rig_zero(f.disk, "catalog.copy", 0, 4096);
    uint64_t before = rig_list_files(&f, f.disk, &files);
    check(repair(&f, f.disk, to, &findings, &totals) == OCHRE_CORRUPT);
    check(strstr(f.err.message, "not repairable") != NULL);
    check(strstr(f.err.message, "restore a backup") != NULL);
    check(rig_list_files(&f, f.disk, &files) == before && !has_format(to));
    (void) rig_list_files(&f, to, &files);
    check(files.n == 0); /* nothing was begun */
    sim_disk_close(to);
    rig_end(&f);
}

static void
the_copy_up_to_its_damage_is_an_earlier_catalog(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    struct findings findings;
    struct och_repair_totals totals;
    const struct harm harm = {.catalog = true};
    rig_begin(&f, 3);
    rig_fill(&f);
    rig_close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    (void) rig_list_files(&f, f.disk, &files);
    rig_zero(f.disk, "catalog.db", 0, 4096);
    for (size_t i = 0; i < files.n; i++)
        if (strcmp(files.paths[i], "catalog.copy") == 0)
            rig_cut(f.disk, "catalog.copy", files.sizes[i] - 100);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(totals.is_earlier && totals.has_lost && totals.n_collections == N_COLLECTIONS);
    check_repaired(&f, to, &harm);
    sim_disk_close(to);
    rig_end(&f);
}

/* --- what is refused --------------------------------------------------------------------- */

static void
what_is_in_use_or_not_ours_is_refused(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    struct findings findings;
    struct och_repair_totals totals;
    rig_begin(&f, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 3, false);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    struct sim_disk *empty = sim_disk_open(&f.own, 2);
    check(repair(&f, f.disk, to, &findings, &totals) == OCHRE_BUSY);
    rig_close_db(&f);
    check(repair(&f, empty, to, &findings, &totals) == OCHRE_INVALID);
    check(repair(&f, f.disk, f.disk, &findings, &totals) == OCHRE_EXISTS);
    (void) rig_list_files(&f, to, &files);
    check(files.n == 0);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(repair(&f, f.disk, to, &findings, &totals) == OCHRE_EXISTS);
    sim_disk_close(empty);
    sim_disk_close(to);
    rig_end(&f);
}

static void
what_nothing_names_is_listed(void **state)
{
    (void) state;
    static struct fixture f;
    struct findings findings;
    struct och_repair_totals totals;
    struct och_file *file;
    rig_begin(&f, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 3, false);
    rig_close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    check(och_vfs_open(sim_disk_vfs(f.disk), "notes.txt", OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file,
                  NULL) == OCHRE_OK);
    och_file_close(file);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(findings.n_notes == 1 && rig_begins_with(findings.last, "notes.txt: ") &&
            !totals.has_lost);
    sim_disk_close(to);
    rig_end(&f);
}

/* --- sweeps ------------------------------------------------------------------------------ */

/* A small database in which something of each kind is damaged. */
static void
begin_damaged(struct fixture *f)
{
    static struct files files;
    rig_begin(f, 1);
    rig_write_records(f, 0, OCH_WRITE_UPSERT, 0, 6, false);
    rig_write_records(f, 1, OCH_WRITE_UPSERT, 0, 6, false);
    rig_seal(f);
    rig_delete_records(f, 1, 2, 1);
    rig_seal(f);
    rig_write_records(f, 0, OCH_WRITE_UPSERT, 4, 4, false);
    rig_write_records(f, 2, OCH_WRITE_UPSERT, 4, 4, false);
    rig_close_db(f);
    (void) rig_list_files(f, f->disk, &files);
    rig_zero(f->disk, rig_find_file(&files, f->models[0].dir, ".seg"), 65536, 4096);
    check(sim_disk_flip(f->disk, rig_find_file(&files, f->models[1].dir, ".del"), 16, 1));
    check(sim_disk_flip(f->disk, "catalog.db", 5000, 1));
}

static const struct harm harm_of_damaged = {.segments = {true}, .deletes = {false, true}};

/* Whatever there is afterwards in the new directory: a database that is whole, or
 * something that a second repair goes over. */
static void
check_second_repair(struct fixture *f, struct sim_disk *to)
{
    struct findings findings;
    struct och_repair_totals totals;
    if (!has_format(to))
        check_ok(repair(f, f->disk, to, &findings, &totals), &f->err);
    check_repaired(f, to, &harm_of_damaged);
}

static void
a_crash_at_any_call_leaves_the_damaged_one_and_a_way_on(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    struct findings findings;
    struct och_repair_totals totals;
    bool crashed = true;
    begin_damaged(&f);
    uint64_t before = rig_list_files(&f, f.disk, &files);
    for (uint64_t n = 1; crashed; n += CHECK_ONE_IN) {
        struct sim_disk *to = sim_disk_open(&f.own, 2);
        sim_disk_crash(to, n, n % 2 == 0 ? SIM_BEFORE : SIM_AFTER);
        ochre_status status = repair(&f, f.disk, to, &findings, &totals);
        crashed = sim_disk_has_crashed(to);
        check(crashed || status == OCHRE_OK);
        sim_disk_recover(to, (enum sim_mode)(n % SIM_N_MODES), n);
        check(rig_list_files(&f, f.disk, &files) == before);
        check_second_repair(&f, to);
        sim_disk_close(to);
    }
    rig_end(&f);
}

/* Any call fails, of one of the two disks. */
static void
a_call_that_fails_is_an_error_and_no_loss(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    struct findings findings;
    struct och_repair_totals totals;
    begin_damaged(&f);
    uint64_t before = rig_list_files(&f, f.disk, &files);
    for (unsigned which = 0; which < 2; which++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n += CHECK_ONE_IN) {
            struct sim_disk *from = sim_disk_clone(f.disk);
            struct sim_disk *to = sim_disk_open(&f.own, 2);
            struct sim_disk *failing = which == 0 ? from : to;
            sim_disk_fail(failing, n, n % 2 == 0 ? SIM_IO_ONCE : SIM_FULL_ONCE);
            ochre_status status = repair(&f, from, to, &findings, &totals);
            failed = sim_disk_has_failed(failing);
            check(status == OCHRE_OK || (failed && (status == OCHRE_IO || status == OCHRE_FULL)));
            sim_disk_fail(failing, 0, SIM_IO_ONCE);
            if (!failed && n % 2 != 0) /* no call of this kind is left; of the other? */
                failed = sim_disk_n_calls(failing) >= n;
            check(rig_list_files(&f, from, &files) == before);
            check_second_repair(&f, to);
            sim_disk_close(to);
            sim_disk_close(from);
        }
    }
    rig_end(&f);
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    static struct fixture f;
    struct findings findings;
    struct och_repair_totals totals;
    ochre_status status = OCHRE_NO_MEMORY;
    begin_damaged(&f);
    for (uint64_t n = 1; status != OCHRE_OK; n += 1 + n / 20) {
        struct sim_disk *to = sim_disk_open(&f.own, 2);
        f.mem.fail_at = f.mem.n_grants + n;
        status = repair(&f, f.disk, to, &findings, &totals);
        f.mem.fail_at = 0;
        check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && !has_format(to)));
        check_second_repair(&f, to);
        sim_disk_close(to);
    }
    rig_end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_is_whole_is_the_same_afterwards),
            cmocka_unit_test(rows_that_can_be_read_are_kept_and_the_others_named),
            cmocka_unit_test(what_may_have_been_deleted_is_put_apart),
            cmocka_unit_test(what_was_replaced_is_known_to_be_dead),
            cmocka_unit_test(each_collection_keeps_what_comes_before_its_first_missing_record),
            cmocka_unit_test(a_cut_log_is_told_of_by_what_is_beside_it),
            cmocka_unit_test(without_any_catalog_nothing_is_repaired),
            cmocka_unit_test(the_copy_up_to_its_damage_is_an_earlier_catalog),
            cmocka_unit_test(what_is_in_use_or_not_ours_is_refused),
            cmocka_unit_test(what_nothing_names_is_listed),
            cmocka_unit_test(a_crash_at_any_call_leaves_the_damaged_one_and_a_way_on),
            cmocka_unit_test(a_call_that_fails_is_an_error_and_no_loss),
            cmocka_unit_test(any_allocation_may_fail),
            cmocka_unit_test(damage_anywhere_is_repaired_or_said_to_be_beyond_it),
    };
    return cmocka_run_group_tests_name("repair", tests, NULL, NULL);
}
