/*
 * test_repair_online.c - a repair of a database in use: beside each damaged collection there is
 * a sound one with all that is left of it, or, after a crash or a failure, none; the damaged
 * ones are as they were, and the others go on.
 */
#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/repair.h"
#include "base/hash.h"
#include "base/random.h"
#include "os/vfs.h"
#include "repair_rig.h"
#include "support/check.h"

/* What a repair said, and what is done while it says it. */
struct heard {
    struct fixture *f;
    unsigned n_findings, n_lost, n_named, n_notes, n_summaries;
    char text[8192];
    struct och_repair_collection sums[N_COLLECTIONS + 1];
    char beside[N_COLLECTIONS + 1][64], doubted[N_COLLECTIONS + 1][64];
    void (*meanwhile)(struct heard *heard); /* once */
};

/* --- repairing ----------------------------------------------------------------------- */

static void
do_meanwhile(struct heard *heard)
{
    void (*meanwhile)(struct heard * heard) = heard->meanwhile;
    heard->meanwhile = NULL;
    if (meanwhile != NULL)
        meanwhile(heard);
}

static void
hear(void *context, const struct och_repair_finding *finding)
{
    struct heard *heard = context;
    size_t size = strlen(heard->text);
    (void) snprintf(heard->text + size, sizeof(heard->text) - size, "%s %s: %s\n",
            och_repair_kind_name(finding->kind), finding->path, finding->message);
    heard->n_findings++;
    heard->n_notes += finding->kind == OCH_REPAIR_NOTE;
    heard->n_lost += finding->kind == OCH_REPAIR_LOST;
    heard->n_named += finding->kind == OCH_REPAIR_RECORD;
    do_meanwhile(heard);
}

static void
hear_summary(void *context, const struct och_repair_collection *sum)
{
    struct heard *heard = context;
    check(heard->n_summaries <= N_COLLECTIONS);
    unsigned i = heard->n_summaries++;
    heard->sums[i] = *sum;
    (void) snprintf(heard->beside[i], 64, "%.*s", (int) sum->beside.size,
            sum->beside.size > 0 ? sum->beside.data : "");
    (void) snprintf(heard->doubted[i], 64, "%.*s", (int) sum->doubted.size,
            sum->doubted.size > 0 ? sum->doubted.data : "");
}

static ochre_status
repair(struct fixture *f, struct heard *heard, bool dry_run, struct och_repair_totals *totals)
{
    void (*meanwhile)(struct heard * heard) = heard->meanwhile;
    memset(heard, 0, sizeof(*heard));
    heard->f = f;
    heard->meanwhile = meanwhile;
    const struct och_repair_options options = {
            .report = hear, .summarize = hear_summary, .context = heard};
    f->err = (struct ochre_error){.status = OCHRE_OK};
    return och_op_repair(f->db, &options, dry_run, totals, &f->err);
}

/* --- looking --------------------------------------------------------------------------- */

struct hashing {
    struct fixture *f;
    struct och_vfs *vfs;
    const char *dir;
    uint64_t hash;
    unsigned n;
};

static ochre_status
add_hash(void *context, const char *name, bool is_dir)
{
    struct hashing *hashing = context;
    char path[2 * NAME_SIZE];
    struct och_file *file;
    uint64_t size = 0;
    check(!is_dir);
    (void) snprintf(path, sizeof(path), "%s%s", hashing->dir, name);
    check(och_vfs_open(hashing->vfs, path, OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
    check(och_file_size(file, &size, NULL) == OCHRE_OK);
    char *bytes = och_mem_take(&hashing->f->own, (size_t) size + 1);
    check(bytes != NULL && och_file_read_all(file, 0, bytes, (size_t) size, NULL) == OCHRE_OK);
    och_file_close(file);
    hashing->hash = och_hash64_seeded(name, strlen(name), hashing->hash);
    hashing->hash = och_hash64_seeded(bytes, (size_t) size, hashing->hash);
    hashing->n++;
    och_mem_release(&hashing->f->own, bytes, (size_t) size + 1);
    return OCHRE_OK;
}

/* The names and bytes of a collection's files. */
static uint64_t
hash_files(struct fixture *f, struct sim_disk *disk, unsigned c)
{
    char dir[NAME_SIZE];
    struct hashing hashing = {
            .f = f, .vfs = sim_disk_vfs(disk), .dir = f->models[c].dir, .hash = 1};
    (void) snprintf(dir, sizeof(dir), "%.*s", (int) strlen(hashing.dir) - 1, hashing.dir);
    if (!sim_disk_has_dir(disk, dir))
        return 0;
    check(och_vfs_list(hashing.vfs, dir, add_hash, &hashing, NULL) == OCHRE_OK);
    return hashing.hash;
}

static ochre_status
count_entry(void *context, const char *name, bool is_dir)
{
    (void) name;
    (void) is_dir;
    ++*(unsigned *) context;
    return OCHRE_OK;
}

static unsigned
count_entries(struct sim_disk *disk, const char *dir)
{
    unsigned n = 0;
    check(och_vfs_list(sim_disk_vfs(disk), dir, count_entry, &n, NULL) == OCHRE_OK);
    return n;
}

static bool
exists(struct fixture *f, const char *name)
{
    struct och_arena arena;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    ochre_status status = och_op_collection_get(f->db, &arena, rig_text("default_tenant"),
            rig_text("default_database"), rig_text(name), &info, &f->err);
    check(status == OCHRE_OK || status == OCHRE_NOT_FOUND);
    och_arena_clear(&arena);
    return status == OCHRE_OK;
}

static void
drop(struct fixture *f, const char *name)
{
    check_ok(och_op_collection_delete(f->db, rig_text("default_tenant"),
                     rig_text("default_database"), rig_text(name), &f->err),
            &f->err);
}

static unsigned
count(const struct record state[N_IDS])
{
    unsigned n = 0;
    for (unsigned id = 0; id < N_IDS; id++)
        n += state[id].vector != 0;
    return n;
}

static bool
is_newest(struct fixture *f, unsigned c, const struct record state[N_IDS])
{
    return memcmp(f->models[c].states[f->models[c].n], state, sizeof(f->models[c].states[0])) == 0;
}

/* What was adopted is as sound as anything that was written. */
static void
check_collection(struct fixture *f, const char *name)
{
    struct och_arena arena;
    struct och_collection_info info;
    struct och_check_totals totals = {.n_files = 0};
    och_arena_init(&arena, &f->own);
    check_ok(och_op_collection_get(f->db, &arena, rig_text("default_tenant"),
                     rig_text("default_database"), rig_text(name), &info, &f->err),
            &f->err);
    check_ok(och_check_collection(
                     f->db->options.vfs, f->db->catalog, info.row.id, NULL, &totals, &f->err),
            &f->err);
    check_ok((f->db->catalog->ops->check)(f->db->catalog, &f->err), &f->err);
    och_arena_clear(&arena);
}

static void
reopen(struct fixture *f)
{
    rig_close_db(f);
    check_ok(rig_open_db(f, f->disk), &f->err);
}

/* --- what is made ------------------------------------------------------------------------ */

static void
write_to_another(struct heard *heard)
{
    rig_write_records(heard->f, 1, OCH_WRITE_UPSERT, 7, 5, false);
    rig_delete_records(heard->f, 1, 8, 1);
    rig_seal(heard->f);
    rig_write_records(heard->f, 1, OCH_WRITE_UPSERT, 20, 2, false);
}

/* A page of documents is gone: what does not need it is in another collection. */
static void
what_a_damaged_page_leaves_is_put_beside(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct heard heard;
    static struct record found[N_IDS];
    struct och_repair_totals totals;
    rig_begin(&f, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 18, false);
    rig_write_records(&f, 1, OCH_WRITE_UPSERT, 0, 10, false);
    rig_seal(&f);
    rig_delete_records(&f, 0, 3, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 30, 4, false);
    rig_write_records(&f, 2, OCH_WRITE_UPSERT, 3, 4, false);
    (void) rig_list_files(&f, f.disk, &files);
    rig_zero(f.disk, rig_find_file(&files, f.models[0].dir, ".seg"), 131072 + 4096, 4096);
    rig_seal(&f);
    uint64_t before = hash_files(&f, f.disk, 0);
    heard.meanwhile = write_to_another;
    check_ok(repair(&f, &heard, false, &totals), &f.err);
    check(hash_files(&f, f.disk, 0) == before && count_entries(f.disk, "tmp") == 0);
    check(totals.n_collections == 3 && totals.n_whole == 2 && totals.has_lost);
    check(totals.n_lost > 2 && totals.n_lost < 12 && heard.n_named == totals.n_lost);
    check(totals.n_records == 21 - totals.n_lost && heard.n_summaries == 1);
    assert_string_equal(heard.beside[0], "sealed.repaired");
    assert_string_equal(heard.doubted[0], "");
    check(exists(&f, "sealed") && !exists(&f, "sealed.in-doubt"));
    for (unsigned opened = 0; opened < 2; opened++) {
        check(rig_read_collection(&f, "sealed.repaired", found));
        check(count(found) == totals.n_records);
        for (unsigned id = 0; id < N_IDS; id++) {
            struct record newest = f.models[0].states[f.models[0].n][id];
            check(found[id].vector == 0 || rig_is_same(found[id], newest));
            /* What lies in another file is there. */
            check(newest.vector <= 2 || found[id].vector != 0);
        }
        check_collection(&f, "sealed.repaired");
        check(rig_read_collection(&f, "mixed", found) && is_newest(&f, 1, found));
        check(rig_read_collection(&f, "fresh", found) && is_newest(&f, 2, found));
        reopen(&f);
        check(count_entries(f.disk, "tmp") == 0);
    }
    /* It is a collection as any other. */
    struct och_target damaged = f.models[0].target;
    f.models[0].target = f.models[1].target;
    drop(&f, "sealed");
    f.models[0].target = damaged;
    check(rig_read_collection(&f, "sealed.repaired", found) && count(found) == totals.n_records);
    rig_end(&f);
}

static void
what_may_have_been_deleted_is_put_apart(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct heard heard;
    static struct record found[N_IDS];
    struct och_repair_totals totals;
    rig_begin(&f, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 16, false);
    rig_seal(&f);
    rig_delete_records(&f, 0, 2, 2);
    rig_seal(&f);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 40, 3, false);
    rig_write_records(&f, 2, OCH_WRITE_UPSERT, 0, 3, false);
    (void) rig_list_files(&f, f.disk, &files);
    check(sim_disk_flip(f.disk, rig_find_file(&files, f.models[0].dir, ".del"), 33, 1));
    /* It answers from memory, and there is a way to lose nothing. */
    check_ok(repair(&f, &heard, true, &totals), &f.err);
    check(strstr(heard.text, "a compaction before it ends loses nothing") != NULL);
    check(rig_read_collection(&f, "sealed", found) && is_newest(&f, 0, found));
    reopen(&f);
    uint64_t before = hash_files(&f, f.disk, 0);
    for (unsigned n = 1; n <= 2; n++) {
        char names[2][64];
        (void) snprintf(names[0], 64, n == 1 ? "sealed.repaired" : "sealed.repaired-%u", n);
        (void) snprintf(names[1], 64, n == 1 ? "sealed.in-doubt" : "sealed.in-doubt-%u", n);
        check_ok(repair(&f, &heard, false, &totals), &f.err);
        check(totals.n_in_doubt == 16 && totals.n_records == 3 && totals.n_whole == 2 * n);
        check(strstr(heard.text, "a compaction") == NULL);
        assert_string_equal(heard.beside[0], names[0]);
        assert_string_equal(heard.doubted[0], names[1]);
        check(rig_read_collection(&f, names[0], found) && count(found) == 3);
        check(found[40].vector != 0 && found[42].vector != 0);
        check(rig_read_collection(&f, names[1], found) && count(found) == 16);
        check_collection(&f, names[1]);
        reopen(&f);
    }
    check(hash_files(&f, f.disk, 0) == before);
    rig_end(&f);
}

/* --- the log ----------------------------------------------------------------------------- */

/* Collections take turns in the log, and a record of one is damaged. */
static void
begin_damaged_log(struct fixture *f)
{
    static struct files files;
    rig_begin(f, 1);
    for (unsigned i = 0; i < 6; i++)
        for (unsigned c = 0; c < N_COLLECTIONS; c++)
            rig_write_records(f, c, OCH_WRITE_UPSERT, c * 10 + i, 3, false);
    (void) rig_list_files(f, f->disk, &files);
    const char *log = rig_find_file(&files, "log/", ".log");
    check(sim_disk_flip(f->disk, log, rig_find_bytes(f, log, "12 in write 3 ") + 3, 1));
}

/* What was read of the log before it was damaged is in memory, and written to files first. */
static void
a_log_that_is_damaged_now_costs_nothing(void **state)
{
    (void) state;
    static struct fixture f;
    static struct heard heard;
    static struct record found[N_IDS];
    struct och_repair_totals totals;
    begin_damaged_log(&f);
    check_ok(repair(&f, &heard, false, &totals), &f.err);
    check(totals.n_whole == 3 && !totals.has_lost && heard.n_summaries == 0);
    for (unsigned opened = 0; opened < 2; opened++) {
        for (unsigned c = 0; c < N_COLLECTIONS; c++)
            check(rig_read_collection(&f, rig_names[c], found) && is_newest(&f, c, found));
        reopen(&f);
    }
    rig_end(&f);
}

static void
what_comes_before_a_hole_in_the_log_is_put_beside(void **state)
{
    (void) state;
    static struct fixture f;
    static struct heard heard;
    static struct record found[N_IDS];
    struct och_repair_totals totals;
    begin_damaged_log(&f);
    struct sim_disk *killed = sim_disk_clone(f.disk);
    rig_close_db(&f);
    sim_disk_close(f.disk);
    f.disk = killed;
    check_ok(rig_open_db(&f, f.disk), &f.err);
    heard.meanwhile = NULL;
    check_ok(repair(&f, &heard, false, &totals), &f.err);
    check(totals.n_whole == 2 && totals.n_given_up == 4 && heard.n_summaries == 1);
    assert_string_equal(heard.beside[0], "mixed.repaired");
    for (unsigned opened = 0; opened < 2; opened++) {
        check(rig_read_collection(&f, "mixed.repaired", found));
        check(rig_position_of(&f.models[1], found) == 2);
        check_collection(&f, "mixed.repaired");
        check(rig_read_collection(&f, rig_names[0], found) && is_newest(&f, 0, found));
        check(rig_read_collection(&f, rig_names[2], found) && is_newest(&f, 2, found));
        reopen(&f);
    }
    rig_end(&f);
}

/* --- what is not made ---------------------------------------------------------------------- */

static void
of_what_is_lost_entirely_nothing_is_made(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct heard heard;
    struct och_repair_totals totals;
    rig_begin(&f, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 6, false);
    rig_seal(&f);
    (void) rig_list_files(&f, f.disk, &files);
    rig_close_db(&f);
    check(och_vfs_remove(sim_disk_vfs(f.disk), rig_find_file(&files, f.models[0].dir, ".seg"),
                  NULL) == OCHRE_OK);
    check_ok(rig_open_db(&f, f.disk), &f.err);
    check_ok(repair(&f, &heard, false, &totals), &f.err);
    check(totals.n_lost == 6 && totals.n_records == 0 && totals.n_whole == 2);
    check(!exists(&f, "sealed.repaired") && heard.beside[0][0] == '\0');
    check(strstr(heard.text, "nothing is left") != NULL && exists(&f, "sealed"));
    rig_end(&f);
}

static void
what_is_whole_is_left_alone(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct heard heard;
    struct och_repair_totals totals;
    bool has_report = true;
    rig_begin(&f, 1);
    rig_fill(&f);
    rig_seal(&f);
    (void) rig_list_files(&f, f.disk, &files);
    size_t n_files = files.n;
    check_ok(repair(&f, &heard, false, &totals), &f.err);
    check(totals.n_whole == 3 && !totals.has_lost && heard.n_findings + heard.n_summaries == 0);
    (void) rig_list_files(&f, f.disk, &files);
    check(files.n == n_files);
    check(och_vfs_exists(sim_disk_vfs(f.disk), "REPAIR", &has_report, NULL) == OCHRE_OK);
    check(!has_report);
    rig_end(&f);
}

static void
a_dry_run_only_says_it(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct heard heard, dry;
    struct och_repair_totals totals, dry_totals;
    bool has_report = true;
    rig_begin(&f, 1);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 18, false);
    rig_seal(&f);
    (void) rig_list_files(&f, f.disk, &files);
    rig_zero(f.disk, rig_find_file(&files, f.models[0].dir, ".seg"), 131072 + 4096, 4096);
    check_ok(repair(&f, &dry, true, &dry_totals), &f.err);
    check(dry_totals.n_lost > 0 && dry_totals.n_whole == 2 && dry.n_summaries == 1);
    check(!exists(&f, "sealed.repaired") && count_entries(f.disk, "tmp") == 0);
    check(och_vfs_exists(sim_disk_vfs(f.disk), "REPAIR", &has_report, NULL) == OCHRE_OK);
    check(!has_report);
    check_ok(repair(&f, &heard, false, &totals), &f.err);
    check(dry_totals.n_lost == totals.n_lost && dry_totals.n_records == 0);
    check(och_vfs_exists(sim_disk_vfs(f.disk), "REPAIR", &has_report, NULL) == OCHRE_OK);
    check(has_report && rig_begins_with(heard.text, dry.text));
    rig_end(&f);
}

/* --- beside others ------------------------------------------------------------------------- */

static void
drop_the_damaged_one(struct heard *heard)
{
    drop(heard->f, "sealed");
}

static void
repair_again(struct heard *heard)
{
    static struct heard second;
    struct och_repair_totals totals;
    check(repair(heard->f, &second, false, &totals) == OCHRE_BUSY);
    check(och_op_compact(heard->f->db, &heard->f->err) == OCHRE_BUSY);
    check(second.n_findings == 0);
}

static void
close_it(struct heard *heard)
{
    och_db_give_up(heard->f->db);
}

static void
begin_with_a_damaged_page(struct fixture *f)
{
    static struct files files;
    rig_begin(f, 1);
    rig_write_records(f, 0, OCH_WRITE_UPSERT, 0, 18, false);
    rig_seal(f);
    (void) rig_list_files(f, f->disk, &files);
    rig_zero(f->disk, rig_find_file(&files, f->models[0].dir, ".seg"), 131072 + 4096, 4096);
}

static void
what_is_dropped_meanwhile_is_not_made(void **state)
{
    (void) state;
    static struct fixture f;
    static struct heard heard;
    struct och_repair_totals totals;
    begin_with_a_damaged_page(&f);
    heard.meanwhile = drop_the_damaged_one;
    check_ok(repair(&f, &heard, false, &totals), &f.err);
    check(!exists(&f, "sealed.repaired") && strstr(heard.text, "was dropped meanwhile") != NULL);
    check(count_entries(f.disk, "seg") == 0 && count_entries(f.disk, "tmp") == 0);
    rig_end(&f);
}

static void
one_at_a_time(void **state)
{
    (void) state;
    static struct fixture f;
    static struct heard heard;
    struct och_repair_totals totals;
    begin_with_a_damaged_page(&f);
    heard.meanwhile = repair_again;
    check_ok(repair(&f, &heard, false, &totals), &f.err);
    check(exists(&f, "sealed.repaired"));
    heard.meanwhile = close_it;
    check(repair(&f, &heard, false, &totals) == OCHRE_UNAVAILABLE);
    check(!exists(&f, "sealed.repaired-2"));
    rig_end(&f);
}

static void
a_pin_becomes_a_collection(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct heard heard;
    static struct record found[N_IDS];
    struct och_repair_totals totals;
    struct och_arena arena;
    struct och_pin_info pin;
    char id[OCH_UUID_TEXT_SIZE + 1], dir[NAME_SIZE];
    rig_begin(&f, 1);
    och_arena_init(&arena, &f.own);
    rig_write_records(&f, 0, OCH_WRITE_UPSERT, 0, 16, false);
    rig_seal(&f);
    rig_delete_records(&f, 0, 2, 2);
    check_ok(och_op_pin(f.db, &arena, &f.models[0].target, rig_text("then"), &pin, &f.err), &f.err);
    struct och_pin_row *pins;
    size_t n_pins;
    check_ok(f.db->catalog->ops->pin_list(
                     f.db->catalog, &arena, f.models[0].target.id, &pins, &n_pins, &f.err),
            &f.err);
    check(n_pins == 1);
    och_uuid_put(pins[0].id, id);
    (void) snprintf(dir, sizeof(dir), "seg/%s/", id);
    (void) rig_list_files(&f, f.disk, &files);
    rig_close_db(&f);
    check(och_vfs_remove(sim_disk_vfs(f.disk), rig_find_file(&files, dir, ".del"), NULL) ==
            OCHRE_OK);
    check_ok(rig_open_db(&f, f.disk), &f.err);
    check_ok(repair(&f, &heard, false, &totals), &f.err);
    check(totals.n_in_doubt == 16 && totals.n_collections == 4 && totals.n_whole == 3);
    check(heard.sums[0].pin.data != NULL);
    assert_string_equal(heard.doubted[0], "sealed.then.unpinned.in-doubt");
    check(rig_read_collection(&f, "sealed.then.unpinned.in-doubt", found) && count(found) == 16);
    check(rig_read_collection(&f, "sealed", found) && is_newest(&f, 0, found));
    och_arena_clear(&arena);
    rig_end(&f);
}

/* --- damage anywhere ------------------------------------------------------------------------- */

/* Damage a file of segments or deletions at random; false: it cannot be. */
static void
damage(struct fixture *f, const struct files *files, bool harmed[N_COLLECTIONS])
{
    for (unsigned n_tries = 0; n_tries < 1000; n_tries++) {
        size_t i = (size_t) och_random_below(&f->seed, files->n);
        const char *path = files->paths[i];
        uint64_t at = och_random_below(&f->seed, files->sizes[i] + 1) / 4096 * 4096;
        if (!rig_begins_with(path, "seg/") || files->sizes[i] == 0)
            continue;
        for (unsigned c = 0; c < N_COLLECTIONS; c++)
            harmed[c] |= rig_begins_with(path, f->models[c].dir);
        if (rig_ends_with(path, ".del"))
            check(sim_disk_flip(f->disk, path, files->sizes[i] / 2, 3));
        else
            rig_zero(f->disk, path, at < files->sizes[i] ? at : 0, 4096);
        return;
    }
}

static void
compare(struct fixture *f, unsigned c, const struct heard *heard)
{
    static struct record found[N_IDS], doubted[N_IDS];
    const struct model *model = &f->models[c];
    char name[64];
    (void) snprintf(name, sizeof(name), "%s.repaired", rig_names[c]);
    bool is_there = rig_read_collection(f, name, found);
    (void) snprintf(name, sizeof(name), "%s.in-doubt", rig_names[c]);
    bool has_doubts = rig_read_collection(f, name, doubted);
    uint64_t n_lost = 0;
    for (unsigned i = 0; i < heard->n_summaries; i++)
        if (rig_begins_with(heard->beside[i], rig_names[c]))
            n_lost = heard->sums[i].n_lost;
    unsigned n_newest = count(model->states[model->n]);
    for (unsigned id = 0; id < N_IDS; id++) {
        struct record newest = model->states[model->n][id];
        check(found[id].vector == 0 || rig_is_same(found[id], newest)); /* nor deleted ones */
        check(doubted[id].vector == 0 || rig_ever_was(model, id, doubted[id]));
        check(found[id].vector == 0 || doubted[id].vector == 0);
    }
    /* Nothing is missing that is not said to be. */
    if (is_there && !has_doubts)
        check(count(found) + n_lost == n_newest);
}

static void
damage_anywhere_is_repaired_beside_it(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    static struct heard heard;
    struct och_repair_totals totals;
    unsigned n_made = 0, n_doubted = 0, n_whole = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        bool harmed[N_COLLECTIONS] = {false};
        rig_begin(&f, seed);
        rig_fill(&f);
        rig_seal(&f);
        (void) rig_list_files(&f, f.disk, &files);
        if (seed % 2 == 0)
            rig_close_db(&f);
        damage(&f, &files, harmed);
        if (seed % 3 == 0)
            damage(&f, &files, harmed);
        if (seed % 2 == 0)
            check_ok(rig_open_db(&f, f.disk), &f.err);
        check_ok(repair(&f, &heard, false, &totals), &f.err);
        for (unsigned c = 0; c < N_COLLECTIONS; c++) {
            static struct record found[N_IDS];
            if (!harmed[c])
                check(rig_read_collection(&f, rig_names[c], found) && is_newest(&f, c, found));
            else
                compare(&f, c, &heard);
        }
        for (unsigned i = 0; i < heard.n_summaries; i++) {
            n_made += heard.beside[i][0] != '\0';
            n_doubted += heard.doubted[i][0] != '\0';
            if (heard.beside[i][0] != '\0')
                check_collection(&f, heard.beside[i]);
        }
        n_whole += heard.n_summaries == 0;
        rig_end(&f);
    }
    print_message("%u made, %u with doubts, %u lost nothing\n", n_made, n_doubted, n_whole);
    check(n_made >= 15 && n_doubted >= 1 && n_whole >= 1);
}

/* --- sweeps ----------------------------------------------------------------------------------- */

/* A page of one and a delete file of another are damaged; it is not open. */
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
    rig_write_records(f, 0, OCH_WRITE_UPSERT, 10, 4, false);
    rig_write_records(f, 1, OCH_WRITE_UPSERT, 20, 2, false);
    rig_write_records(f, 2, OCH_WRITE_UPSERT, 4, 4, false);
    rig_seal(f);
    rig_close_db(f);
    (void) rig_list_files(f, f->disk, &files);
    rig_zero(f->disk, rig_find_file(&files, f->models[0].dir, ".seg"), 65536, 4096);
    check(sim_disk_flip(f->disk, rig_find_file(&files, f->models[1].dir, ".del"), 16, 1));
    sim_disk_recover(f->disk, SIM_ALL_KEPT, 1); /* nothing of before is pending */
}

/* The collections that a repair makes, and how many records they have. */
static const struct {
    const char *name;
    unsigned n_records;
} made[] = {{"sealed.repaired", 4}, {"mixed.in-doubt", 6}, {"mixed.repaired", 2}};

enum { N_MADE = sizeof(made) / sizeof(made[0]) };

/* Each is there with all of it or not at all, in their order; what was there is as it was. */
static unsigned
check_after(struct fixture *f, struct sim_disk *disk, const uint64_t before[2])
{
    static struct record found[N_IDS];
    unsigned n = 0;
    bool was_there = true;
    for (unsigned c = 0; c < 2; c++)
        check(hash_files(f, disk, c) == before[c]);
    check(rig_read_collection(f, rig_names[2], found) && is_newest(f, 2, found));
    for (unsigned i = 0; i < N_MADE; i++) {
        bool is_there = rig_read_collection(f, made[i].name, found);
        check(was_there || !is_there);
        was_there = is_there;
        n += is_there;
        if (!is_there)
            continue;
        assert_int_equal(count(found), made[i].n_records);
        check_collection(f, made[i].name);
    }
    return n;
}

/* It works: what is written is there after the next start, and nothing else is left. */
static void
check_goes_on(struct fixture *f, struct sim_disk *disk, const uint64_t before[2], unsigned n)
{
    struct model was = f->models[2];
    rig_write_records(f, 2, OCH_WRITE_UPSERT, 30, 3, false);
    for (unsigned opened = 0; opened < 2; opened++) {
        check(check_after(f, disk, before) == n);
        check(count_entries(disk, "tmp") == 0);
        assert_int_equal(count_entries(disk, "seg"), 3 + n);
        rig_close_db(f);
        if (opened == 0)
            check_ok(rig_open_db(f, disk), &f->err);
    }
    f->models[2] = was;
}

static void
a_crash_at_any_call_leaves_all_of_a_collection_or_nothing(void **state)
{
    (void) state;
    static struct fixture f;
    static struct heard heard;
    struct och_repair_totals totals;
    unsigned n_with[N_MADE + 1] = {0};
    bool crashed = true;
    begin_damaged(&f);
    const uint64_t before[2] = {hash_files(&f, f.disk, 0), hash_files(&f, f.disk, 1)};
    for (uint64_t n = 1; crashed; n += CHECK_ONE_IN) {
        struct sim_disk *disk = sim_disk_clone(f.disk);
        check_ok(rig_open_db(&f, disk), &f.err);
        sim_disk_crash(disk, n, n % 2 == 0 ? SIM_BEFORE : SIM_AFTER);
        heard.meanwhile = NULL;
        ochre_status status = repair(&f, &heard, false, &totals);
        crashed = sim_disk_has_crashed(disk);
        check(crashed || status == OCHRE_OK);
        if (!crashed)
            sim_disk_crash(disk, 0, SIM_BEFORE);
        rig_close_db(&f);
        sim_disk_recover(disk, (enum sim_mode)(n / 2 % SIM_N_MODES), n);
        check_ok(rig_open_db(&f, disk), &f.err);
        unsigned n_made = check_after(&f, disk, before);
        n_with[n_made]++;
        check(crashed || n_made == N_MADE);
        check_goes_on(&f, disk, before, n_made);
        sim_disk_close(disk);
    }
    print_message("crashes that left 0, 1, 2, 3 collections: %u %u %u %u\n", n_with[0], n_with[1],
            n_with[2], n_with[3]);
    check(n_with[0] * CHECK_ONE_IN > 100 && n_with[N_MADE] > 0);
    check(CHECK_ONE_IN > 1 || (n_with[1] > 0 && n_with[2] > 0));
    rig_end(&f);
}

/* After any failure it goes on, and the next repair makes what is missing. */
static void
a_call_that_fails_is_an_error_and_no_loss(void **state)
{
    (void) state;
    static struct fixture f;
    static struct heard heard;
    struct och_repair_totals totals;
    begin_damaged(&f);
    const uint64_t before[2] = {hash_files(&f, f.disk, 0), hash_files(&f, f.disk, 1)};
    for (unsigned kind = 0; kind < 2; kind++) {
        bool failed = true;
        for (uint64_t n = 1 + kind; failed; n += CHECK_ONE_IN) {
            struct sim_disk *disk = sim_disk_clone(f.disk);
            check_ok(rig_open_db(&f, disk), &f.err);
            sim_disk_fail(disk, n, kind == 0 ? SIM_IO_ONCE : SIM_FULL_ONCE);
            ochre_status status = repair(&f, &heard, false, &totals);
            failed = sim_disk_has_failed(disk);
            sim_disk_fail(disk, 0, SIM_IO_ONCE);
            check(status == OCHRE_OK || (failed && (status == OCHRE_IO || status == OCHRE_FULL)));
            unsigned n_made = check_after(&f, disk, before);
            check(status != OCHRE_OK || n_made == N_MADE);
            rig_close_db(&f);
            check_ok(rig_open_db(&f, disk), &f.err);
            check_goes_on(&f, disk, before, n_made);
            sim_disk_close(disk);
        }
    }
    rig_end(&f);
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    static struct fixture f;
    static struct heard heard;
    struct och_repair_totals totals;
    ochre_status status = OCHRE_NO_MEMORY;
    begin_damaged(&f);
    const uint64_t before[2] = {hash_files(&f, f.disk, 0), hash_files(&f, f.disk, 1)};
    for (uint64_t n = 1; status != OCHRE_OK; n += 1 + n / 50) {
        struct sim_disk *disk = sim_disk_clone(f.disk);
        check_ok(rig_open_db(&f, disk), &f.err);
        f.db->mem.fail_at = f.db->mem.n_grants + n;
        status = repair(&f, &heard, false, &totals);
        f.db->mem.fail_at = 0;
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        unsigned n_made = check_after(&f, disk, before);
        check(status != OCHRE_OK || n_made == N_MADE);
        rig_close_db(&f);
        check_ok(rig_open_db(&f, disk), &f.err);
        check_goes_on(&f, disk, before, n_made);
        sim_disk_close(disk);
    }
    rig_end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_a_damaged_page_leaves_is_put_beside),
            cmocka_unit_test(what_may_have_been_deleted_is_put_apart),
            cmocka_unit_test(a_log_that_is_damaged_now_costs_nothing),
            cmocka_unit_test(what_comes_before_a_hole_in_the_log_is_put_beside),
            cmocka_unit_test(of_what_is_lost_entirely_nothing_is_made),
            cmocka_unit_test(what_is_whole_is_left_alone),
            cmocka_unit_test(a_dry_run_only_says_it),
            cmocka_unit_test(what_is_dropped_meanwhile_is_not_made),
            cmocka_unit_test(one_at_a_time),
            cmocka_unit_test(a_pin_becomes_a_collection),
            cmocka_unit_test(damage_anywhere_is_repaired_beside_it),
            cmocka_unit_test(a_crash_at_any_call_leaves_all_of_a_collection_or_nothing),
            cmocka_unit_test(a_call_that_fails_is_an_error_and_no_loss),
            cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("repair_online", tests, NULL, NULL);
}
