/*
 * test_repair.c - what a repair makes of damage planted anywhere: a directory that is
 * sound, in which nothing is that never was, from which nothing is missing that lies
 * in whole files, and a damaged one that is as it was.
 */
#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/repair.h"
#include "api/schema.h"
#include "base/hash.h"
#include "base/random.h"
#include "distance/distance.h"
#include "drivers/catalog_sqlite.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

enum {
    N_COLLECTIONS = 3,
    N_IDS = 48,
    STEPS_MAX = 96,
    DIM = 3,
    HEAD_ROWS = 20,
    DOCUMENT_SIZE = 9000,
    FILES_MAX = 64,
    NAME_SIZE = 128,
    FOUND_MAX = 512
};

static const char *const names[N_COLLECTIONS] = {"sealed", "mixed", "fresh"};

/* A record, as the model has it: which write its vector and its document are of. */
struct record {
    uint8_t vector, document; /* 0: it is not there */
};

/* A collection after each of its writes; position 0: empty. */
struct model {
    struct record states[STEPS_MAX][N_IDS];
    unsigned n; /* the newest position */
    struct och_target target;
    char dir[NAME_SIZE];
};

struct fixture {
    struct och_mem own, mem;
    struct sim_machine machine;
    struct sim_disk *disk;
    struct ochre_db *db;
    struct model models[N_COLLECTIONS];
    uint64_t seed;
    struct ochre_error err;
};

/* What a repair said. */
struct findings {
    unsigned n_notes, n_rebuilt, n_lost, n_in_doubt, n_named;
    char last[1024];
};

/* --- the database -------------------------------------------------------------- */

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static const struct och_kernels *
kernels(void)
{
    return och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL);
}

static ochre_status
open_db(struct fixture *f, struct sim_disk *disk)
{
    struct och_db_options options = {.mem = &f->own,
            .vfs = sim_disk_vfs(disk),
            .machine = &f->machine.machine,
            .kernels = kernels(),
            .create = true,
            .engine = {.head_rows_max = HEAD_ROWS}};
    return och_db_open(&options, &f->db, &f->err);
}

static void
close_db(struct fixture *f)
{
    och_db_close(f->db);
    f->db = NULL;
}

static void
create(struct fixture *f, unsigned c)
{
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    char id[OCH_UUID_TEXT_SIZE + 1];
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &f->err), &f->err);
    struct och_create what = {.tenant = text("default_tenant"),
            .database = text("default_database"),
            .name = text(names[c]),
            .indexes = indexes};
    check_ok(och_op_collection_create(f->db, &arena, &what, &info, &f->err), &f->err);
    f->models[c].target = (struct och_target){what.tenant, what.database, info.row.id};
    och_uuid_put(info.row.id, id);
    (void) snprintf(f->models[c].dir, NAME_SIZE, "seg/%s/", id);
    och_arena_clear(&arena);
}

static void
make_vector(unsigned id, unsigned version, float vector[DIM])
{
    for (unsigned d = 0; d < DIM; d++)
        vector[d] = (float) (id * 1000 + version * DIM + d);
}

static struct ochre_bytes
make_document(unsigned id, unsigned version, char bytes[DOCUMENT_SIZE])
{
    int size = snprintf(bytes, DOCUMENT_SIZE, "%u in write %u ", id, version);
    memset(bytes + size, 'a' + (int) (version % 26), DOCUMENT_SIZE - (size_t) size);
    return (struct ochre_bytes){bytes, DOCUMENT_SIZE - id % 7 * 600};
}

static struct model *
next_state(struct fixture *f, unsigned c)
{
    struct model *model = &f->models[c];
    check(model->n + 1 < STEPS_MAX);
    memcpy(model->states[model->n + 1], model->states[model->n], sizeof(model->states[0]));
    model->n++;
    return model;
}

/* Write n records from id `first` on; `partial`: documents only, which merge. */
static void
write_records(struct fixture *f, unsigned c, enum och_write_op op, unsigned first, unsigned n,
        bool partial)
{
    static char ids[N_IDS][16];
    static char documents[N_IDS][DOCUMENT_SIZE];
    static float vectors[N_IDS * DIM];
    static struct ochre_bytes id_texts[N_IDS], document_texts[N_IDS];
    struct model *model = next_state(f, c);
    struct record *state = model->states[model->n];
    for (unsigned i = 0; i < n; i++) {
        unsigned id = first + i;
        int size = snprintf(ids[i], sizeof(ids[i]), "id-%u", id);
        id_texts[i] = (struct ochre_bytes){ids[i], (size_t) size};
        document_texts[i] = make_document(id, model->n, documents[i]);
        make_vector(id, model->n, vectors + (size_t) i * DIM);
        bool exists = state[id].vector != 0;
        if (op == OCH_WRITE_ADD ? exists : op == OCH_WRITE_UPDATE && !exists)
            continue;
        if (!partial)
            state[id].vector = (uint8_t) model->n;
        state[id].document = (uint8_t) model->n;
    }
    struct och_write_input input = {.records = {.n = n,
                                            .ids = id_texts,
                                            .embeddings = partial ? NULL : vectors,
                                            .dim = DIM,
                                            .documents = document_texts},
            .n_embeddings = partial ? OCH_NOT_GIVEN : n,
            .n_documents = n,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = OCH_NOT_GIVEN};
    struct och_written written;
    check_ok(och_op_write(f->db, &model->target, op, &input, &written, &f->err), &f->err);
}

static void
delete_records(struct fixture *f, unsigned c, unsigned first, unsigned n)
{
    char ids[N_IDS][16];
    struct ochre_bytes id_texts[N_IDS];
    struct model *model = next_state(f, c);
    struct och_written written;
    for (unsigned i = 0; i < n; i++) {
        int size = snprintf(ids[i], sizeof(ids[i]), "id-%u", first + i);
        id_texts[i] = (struct ochre_bytes){ids[i], (size_t) size};
        model->states[model->n][first + i] = (struct record){0, 0};
    }
    struct och_select_input select = {.has_ids = true, .ids = id_texts, .n_ids = n};
    check_ok(och_op_delete(f->db, &model->target, &select, UINT64_MAX, &written, &f->err), &f->err);
}

static void
write_something(struct fixture *f, unsigned c)
{
    unsigned first = (unsigned) och_random_below(&f->seed, N_IDS - 8);
    unsigned n = 1 + (unsigned) och_random_below(&f->seed, 8);
    switch (och_random_below(&f->seed, 6)) {
    case 0:
        delete_records(f, c, first, n);
        break;
    case 1:
        write_records(f, c, OCH_WRITE_UPDATE, first, n, true);
        break;
    case 2:
        write_records(f, c, OCH_WRITE_UPDATE, first, n, false);
        break;
    case 3:
        write_records(f, c, OCH_WRITE_ADD, first, n, false);
        break;
    default:
        write_records(f, c, OCH_WRITE_UPSERT, first, n, false);
        break;
    }
}

static void
seal(struct fixture *f)
{
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
}

static void
begin(struct fixture *f, uint64_t seed)
{
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    sim_machine_init(&f->machine, seed);
    f->seed = seed;
    f->disk = sim_disk_open(&f->own, 1);
    check_ok(open_db(f, f->disk), &f->err);
    for (unsigned c = 0; c < N_COLLECTIONS; c++)
        create(f, c);
}

static void
end(struct fixture *f)
{
    close_db(f);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0);
}

/* Segments with delete files, and records in the log, of random writes. */
static void
fill(struct fixture *f)
{
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 14; i++) {
            if (round < 2 || i < 7)
                write_something(f, 0);
            write_something(f, 1);
            if (round == 2)
                write_something(f, 2);
        }
        if (round < 2 || f->seed % 2 == 0)
            seal(f);
    }
    /* Records that are gone, and in no newer segment. */
    delete_records(f, 0, (unsigned) f->seed % 20, 9);
    delete_records(f, 1, (unsigned) f->seed % 20, 9);
    seal(f);
    for (unsigned i = 0; i < 6; i++) {
        write_something(f, 1);
        write_something(f, 2);
    }
}

/* --- files ------------------------------------------------------------------------ */

struct files {
    struct och_vfs *vfs;
    char dir[NAME_SIZE];
    char paths[FILES_MAX][NAME_SIZE];
    uint64_t sizes[FILES_MAX];
    char dirs[FILES_MAX][NAME_SIZE];
    size_t n, n_dirs;
};

static ochre_status
note_file(void *context, const char *name, bool is_dir)
{
    struct files *files = context;
    char *to = is_dir ? files->dirs[files->n_dirs++] : files->paths[files->n++];
    check(files->n <= FILES_MAX && files->n_dirs <= FILES_MAX);
    int length = snprintf(
            to, NAME_SIZE, "%.60s%s%.60s", files->dir, files->dir[0] == '\0' ? "" : "/", name);
    check(length < NAME_SIZE);
    return OCHRE_OK;
}

/* All files, and a hash of their names and bytes. */
static uint64_t
list_files(struct fixture *f, struct sim_disk *disk, struct files *files)
{
    uint64_t hash = 1;
    memset(files, 0, sizeof(*files));
    files->vfs = sim_disk_vfs(disk);
    check(och_vfs_list(files->vfs, "", note_file, files, NULL) == OCHRE_OK);
    for (size_t i = 0; i < files->n_dirs; i++) {
        (void) snprintf(files->dir, sizeof(files->dir), "%s", files->dirs[i]);
        check(och_vfs_list(files->vfs, files->dir, note_file, files, NULL) == OCHRE_OK);
        hash = och_hash64_seeded(files->dirs[i], strlen(files->dirs[i]), hash);
    }
    for (size_t i = 0; i < files->n; i++) {
        struct och_file *file;
        check(och_vfs_open(files->vfs, files->paths[i], OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
        check(och_file_size(file, &files->sizes[i], NULL) == OCHRE_OK);
        size_t size = (size_t) files->sizes[i];
        void *bytes = och_mem_take(&f->own, size + 1);
        check(bytes != NULL && och_file_read_all(file, 0, bytes, size, NULL) == OCHRE_OK);
        hash = och_hash64_seeded(files->paths[i], strlen(files->paths[i]), hash);
        hash = och_hash64_seeded(bytes, size, hash);
        och_mem_release(&f->own, bytes, size + 1);
        och_file_close(file);
    }
    return hash;
}

static void
zero(struct sim_disk *disk, const char *path, uint64_t offset, size_t size)
{
    static const char zeros[4096];
    struct och_file *file;
    check(och_vfs_open(sim_disk_vfs(disk), path, OCH_OPEN_WRITE, &file, NULL) == OCHRE_OK);
    check(och_file_write(file, offset, zeros, size, NULL) == OCHRE_OK);
    och_file_close(file);
}

static void
cut(struct sim_disk *disk, const char *path, uint64_t size)
{
    struct och_file *file;
    check(och_vfs_open(sim_disk_vfs(disk), path, OCH_OPEN_WRITE, &file, NULL) == OCHRE_OK);
    check(och_file_truncate(file, size, NULL) == OCHRE_OK);
    och_file_close(file);
}

static bool
begins_with(const char *path, const char *with)
{
    return strncmp(path, with, strlen(with)) == 0;
}

static bool
ends_with(const char *path, const char *with)
{
    size_t size = strlen(path);
    return size >= strlen(with) && strcmp(path + size - strlen(with), with) == 0;
}

/* --- repairing ---------------------------------------------------------------------- */

static void
note_finding(void *context, const struct och_repair_finding *finding)
{
    struct findings *findings = context;
    findings->n_notes += finding->kind == OCH_REPAIR_NOTE;
    findings->n_rebuilt += finding->kind == OCH_REPAIR_REBUILT;
    findings->n_lost += finding->kind == OCH_REPAIR_LOST;
    findings->n_in_doubt += finding->kind == OCH_REPAIR_IN_DOUBT;
    findings->n_named += begins_with(finding->message, "record \"");
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
            .kernels = kernels(),
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

/* Which record of the model is it? */
static struct record
record_of(const struct ochre_hit *hit, unsigned *id_out)
{
    static char bytes[DOCUMENT_SIZE];
    struct record record = {0, 0};
    float vector[DIM];
    check(hit->id.size > 3 && memcmp(hit->id.data, "id-", 3) == 0);
    *id_out = 0;
    for (size_t i = 3; i < hit->id.size; i++)
        *id_out = *id_out * 10 + (unsigned) (hit->id.data[i] - '0');
    check(*id_out < N_IDS);
    for (unsigned version = 1; version < STEPS_MAX; version++) {
        make_vector(*id_out, version, vector);
        bool is_it = true;
        for (unsigned d = 0; d < DIM; d++)
            is_it &= vector[d] == hit->embedding[d];
        if (is_it)
            record.vector = (uint8_t) version;
        struct ochre_bytes document = make_document(*id_out, version, bytes);
        if (document.size == hit->document.size &&
                memcmp(document.data, hit->document.data, document.size) == 0)
            record.document = (uint8_t) version;
    }
    check(record.vector != 0 && record.document != 0);
    return record;
}

static bool
is_same(struct record a, struct record b)
{
    return a.vector == b.vector && a.document == b.document;
}

/* What the collection of this name has; false when there is none. */
static bool
read_collection(struct fixture *f, const char *name, struct record state[N_IDS])
{
    struct och_arena arena;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    memset(state, 0, N_IDS * sizeof(*state));
    ochre_status status = och_op_collection_get(f->db, &arena, text("default_tenant"),
            text("default_database"), text(name), &info, &f->err);
    check(status == OCHRE_OK || status == OCHRE_NOT_FOUND);
    if (status == OCHRE_OK) {
        struct och_target target = {info.row.tenant, info.row.database, info.row.id};
        struct och_get_input all = {.limit = UINT64_MAX, .include = ~0u};
        struct och_result *result;
        check_ok(och_op_get(f->db, &target, &all, &result, &f->err), &f->err);
        for (size_t i = 0; i < result->lists[0].n; i++) {
            unsigned id;
            struct record record = record_of(&result->lists[0].hits[i], &id);
            check(state[id].vector == 0); /* each once */
            state[id] = record;
        }
        och_result_release(result);
    }
    och_arena_clear(&arena);
    return status == OCHRE_OK;
}

/* Was the record ever so? */
static bool
ever_was(const struct model *model, unsigned id, struct record record)
{
    for (unsigned position = 1; position <= model->n; position++)
        if (is_same(model->states[position][id], record))
            return true;
    return false;
}

/* The newest position at which the collection was this; 0: never. */
static unsigned
position_of(const struct model *model, const struct record state[N_IDS])
{
    for (unsigned position = model->n; position > 0; position--)
        if (memcmp(model->states[position], state, sizeof(model->states[0])) == 0)
            return position;
    return 0;
}

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
    (void) snprintf(name, sizeof(name), "%s.in-doubt", names[c]);
    bool is_there = read_collection(f, names[c], state);
    bool has_doubts = read_collection(f, name, doubted);
    check(is_there || harm->catalog);
    check(!has_doubts || harm->deletes[c]);
    bool is_harmed = harm->segments[c] || harm->deletes[c];
    for (unsigned id = 0; id < N_IDS; id++) {
        check(state[id].vector == 0 || ever_was(model, id, state[id]));
        check(doubted[id].vector == 0 || ever_was(model, id, doubted[id]));
        check(state[id].vector == 0 || doubted[id].vector == 0);
        /* With the whole log, nothing old and nothing deleted is in the collection. */
        if (!harm->log && !harm->catalog && state[id].vector != 0)
            check(is_same(state[id], newest[id]));
    }
    if (is_there && !is_harmed && !harm->log && !harm->catalog)
        check(position_of(model, state) == model->n);
    /* A prefix of what was written. */
    if (is_there && !is_harmed && !harm->catalog)
        check(model->n == 0 || position_of(model, state) > 0);
}

/* The directory is sound, answers, and goes on. */
static void
check_repaired(struct fixture *f, struct sim_disk *disk, const struct harm *harm)
{
    struct och_check_totals totals;
    check_ok(och_check_vfs(sim_disk_vfs(disk), &f->machine.machine, NULL, &totals, &f->err),
            &f->err);
    for (unsigned opened = 0; opened < 2; opened++) {
        check_ok(open_db(f, disk), &f->err);
        for (unsigned c = 0; c < N_COLLECTIONS; c++)
            compare_collection(f, c, harm);
        if (opened == 0 && !harm->catalog) {
            struct model before = f->models[2];
            write_records(f, 2, OCH_WRITE_UPSERT, N_IDS - 1, 1, false);
            f->models[2] = before;
            delete_records(f, 2, N_IDS - 1, 1);
            f->models[2] = before;
        }
        close_db(f);
        if (opened == 0 && !harm->catalog)
            return; /* what was just written is not the model's */
    }
}

static void
note_harm(struct fixture *f, const char *path, struct harm *harm)
{
    for (unsigned c = 0; c < N_COLLECTIONS; c++) {
        if (!begins_with(path, f->models[c].dir))
            continue;
        harm->segments[c] |= ends_with(path, ".seg");
        harm->deletes[c] |= ends_with(path, ".del");
    }
    harm->log |= begins_with(path, "log/");
    harm->catalog |= begins_with(path, "catalog");
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
    begin(&f, 1);
    fill(&f);
    close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    uint64_t before = list_files(&f, f.disk, &files);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(!totals.has_lost && !totals.is_earlier && totals.n_whole == N_COLLECTIONS);
    check(findings.n_lost + findings.n_rebuilt + findings.n_in_doubt == 0);
    check(list_files(&f, f.disk, &files) == before);
    check_repaired(&f, to, &none);
    sim_disk_close(to);
    end(&f);
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
            !ends_with(files->paths[i], wanted));
    const char *path = files->paths[i];
    uint64_t at = och_random_below(&f->seed, files->sizes[i]);
    unsigned kind = (unsigned) och_random_below(&f->seed, 4);
    /* A log is mostly space. */
    if (begins_with(path, "log/") && och_random_below(&f->seed, 4) != 0)
        at %= 400000;
    bool there = false;
    check(och_vfs_exists(sim_disk_vfs(disk), path, &there, NULL) == OCHRE_OK);
    if (!there) /* damaged before, and gone */
        return;
    if (kind == 0)
        (void) sim_disk_flip(disk, path, at, (unsigned) (at % 8));
    else if (kind == 1)
        zero(disk, path, at / 4096 * 4096, 4096);
    else if (kind == 2)
        cut(disk, path, at);
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
        begin(&f, seed);
        fill(&f);
        if (seed % 2 == 0)
            close_db(&f); /* else it is as a killed process leaves it */
        struct sim_disk *killed = sim_disk_clone(f.disk);
        close_db(&f);
        (void) list_files(&f, killed, &files);
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
            uint64_t before = list_files(&f, disk, &after);
            print_message("seed %u, case %u: %s; %s\n", (unsigned) seed, i, what[0], what[1]);
            ochre_status status = repair(&f, disk, to, &findings, &totals);
            check(status == OCHRE_OK || (status == OCHRE_CORRUPT && harm.catalog));
            check(list_files(&f, disk, &after) == before);
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
        end(&f);
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

/* The first file with this ending below a collection's directory. */
static const char *
find_file(const struct files *files, const char *dir, const char *ending)
{
    for (size_t i = 0; i < files->n; i++)
        if (begins_with(files->paths[i], dir) && ends_with(files->paths[i], ending))
            return files->paths[i];
    fail_msg("no %s below %s", ending, dir);
    return "";
}

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
    begin(&f, 1);
    write_records(&f, 0, OCH_WRITE_UPSERT, 0, 18, false);
    seal(&f);
    write_records(&f, 0, OCH_WRITE_ADD, 10, 12, false);
    write_records(&f, 0, OCH_WRITE_UPDATE, 8, 10, true);
    write_records(&f, 2, OCH_WRITE_UPSERT, 3, 4, false);
    close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    (void) list_files(&f, f.disk, &files);
    zero(f.disk, find_file(&files, f.models[0].dir, ".seg"), 131072 + 4096, 4096);
    check_ok(repair(&f, f.disk, NULL, &findings, &dry), &f.err);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(totals.n_lost > 2 && totals.n_lost < 12 && findings.n_named == totals.n_lost);
    check(totals.n_records == 22 - totals.n_lost + 4 && totals.n_rebuilt == 1);
    check(totals.n_skipped > 0 && totals.n_in_doubt == 0 && totals.has_lost);
    check(dry.n_lost == totals.n_lost && dry.n_skipped == totals.n_skipped && dry.n_records == 0);
    check_repaired(&f, to, &harm);
    sim_disk_close(to);
    end(&f);
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
    begin(&f, 1);
    write_records(&f, 0, OCH_WRITE_UPSERT, 0, 16, false);
    seal(&f);
    delete_records(&f, 0, 2, 2);
    seal(&f);
    delete_records(&f, 0, 10, 2);
    write_records(&f, 0, OCH_WRITE_UPSERT, 11, 2, false);
    close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    (void) list_files(&f, f.disk, &files);
    check(sim_disk_flip(f.disk, find_file(&files, f.models[0].dir, ".del"), 33, 1));
    zero(f.disk, find_file(&files, f.models[0].dir, ".del"), 16, 12);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(findings.n_in_doubt == 1 && totals.n_in_doubt == 14 && totals.n_lost == 0);
    check(totals.n_skipped == 1 && totals.n_records == 1); /* 12 may have been dead; 11 was */
    check_repaired(&f, to, &harm);
    check_ok(open_db(&f, to), &f.err);
    check(read_collection(&f, "sealed.in-doubt", doubted));
    for (unsigned id = 0; id < N_IDS; id++)
        check((doubted[id].vector == 1) == (id < 16 && id != 10 && id != 11));
    close_db(&f);
    sim_disk_close(to);
    end(&f);
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
    begin(&f, 1);
    write_records(&f, 0, OCH_WRITE_UPSERT, 0, 16, false);
    seal(&f);
    write_records(&f, 0, OCH_WRITE_UPDATE, 3, 3, true);
    seal(&f);
    close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    (void) list_files(&f, f.disk, &files);
    check(och_vfs_remove(sim_disk_vfs(f.disk), find_file(&files, f.models[0].dir, ".del"), NULL) ==
            OCHRE_OK);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(findings.n_in_doubt == 0 && totals.n_lost == 0 && totals.n_records == 16);
    check_ok(open_db(&f, to), &f.err);
    check(read_collection(&f, names[0], found) && position_of(&f.models[0], found) == 2);
    close_db(&f);
    sim_disk_close(to);
    end(&f);
}

/* --- the log -------------------------------------------------------------------------- */

/* Where these bytes stand in a file; they do. */
static uint64_t
find_bytes(struct fixture *f, const char *path, const char *bytes)
{
    struct och_file *file;
    uint64_t size = 0;
    check(och_vfs_open(sim_disk_vfs(f->disk), path, OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
    check(och_file_size(file, &size, NULL) == OCHRE_OK);
    char *all = och_mem_take(&f->own, (size_t) size);
    check(all != NULL && och_file_read_all(file, 0, all, (size_t) size, NULL) == OCHRE_OK);
    och_file_close(file);
    const char *found = memmem(all, (size_t) size, bytes, strlen(bytes));
    check(found != NULL);
    uint64_t offset = (uint64_t) (found - all);
    och_mem_release(&f->own, all, (size_t) size);
    return offset;
}

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
        begin(&f, 1);
        for (unsigned i = 0; i < 6; i++)
            for (unsigned c = 0; c < N_COLLECTIONS; c++)
                write_records(&f, c, OCH_WRITE_UPSERT, c * 10 + i, 3, false);
        close_db(&f);
        (void) list_files(&f, f.disk, &files);
        const char *log = find_file(&files, "log/", ".log");
        uint64_t at = find_bytes(&f, log, "12 in write 3 "); /* of collection 1 */
        if (whole_page != 0)
            zero(f.disk, log, at / 4096 * 4096, 4096);
        else
            check(sim_disk_flip(f.disk, log, at + 3, 1));
        struct sim_disk *to = sim_disk_open(&f.own, 2);
        check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
        assert_int_equal(totals.n_given_up, 3u + (whole_page == 0));
        assert_int_equal(totals.n_whole, 2);
        assert_int_equal(totals.n_log_missing, whole_page);
        check_ok(open_db(&f, to), &f.err);
        for (unsigned c = 0; c < N_COLLECTIONS; c++) {
            check(read_collection(&f, names[c], found));
            check(position_of(&f.models[c], found) == (c == 1 ? 2 : 6));
        }
        close_db(&f);
        sim_disk_close(to);
        end(&f);
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
    begin(&f, 3);
    fill(&f);
    close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    zero(f.disk, "catalog.db", 0, 4096);
    zero(f.disk, "catalog.copy", 0, 4096);
    uint64_t before = list_files(&f, f.disk, &files);
    check(repair(&f, f.disk, to, &findings, &totals) == OCHRE_CORRUPT);
    check(strstr(f.err.message, "not repairable") != NULL);
    check(strstr(f.err.message, "restore a backup") != NULL);
    check(list_files(&f, f.disk, &files) == before && !has_format(to));
    (void) list_files(&f, to, &files);
    check(files.n == 0); /* nothing was begun */
    sim_disk_close(to);
    end(&f);
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
    begin(&f, 3);
    fill(&f);
    close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    (void) list_files(&f, f.disk, &files);
    zero(f.disk, "catalog.db", 0, 4096);
    for (size_t i = 0; i < files.n; i++)
        if (strcmp(files.paths[i], "catalog.copy") == 0)
            cut(f.disk, "catalog.copy", files.sizes[i] - 100);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(totals.is_earlier && totals.has_lost && totals.n_collections == N_COLLECTIONS);
    check_repaired(&f, to, &harm);
    sim_disk_close(to);
    end(&f);
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
    begin(&f, 1);
    write_records(&f, 0, OCH_WRITE_UPSERT, 0, 3, false);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    struct sim_disk *empty = sim_disk_open(&f.own, 2);
    check(repair(&f, f.disk, to, &findings, &totals) == OCHRE_BUSY);
    close_db(&f);
    check(repair(&f, empty, to, &findings, &totals) == OCHRE_INVALID);
    check(repair(&f, f.disk, f.disk, &findings, &totals) == OCHRE_EXISTS);
    (void) list_files(&f, to, &files);
    check(files.n == 0);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(repair(&f, f.disk, to, &findings, &totals) == OCHRE_EXISTS);
    sim_disk_close(empty);
    sim_disk_close(to);
    end(&f);
}

static void
what_nothing_names_is_listed(void **state)
{
    (void) state;
    static struct fixture f;
    struct findings findings;
    struct och_repair_totals totals;
    struct och_file *file;
    begin(&f, 1);
    write_records(&f, 0, OCH_WRITE_UPSERT, 0, 3, false);
    close_db(&f);
    struct sim_disk *to = sim_disk_open(&f.own, 2);
    check(och_vfs_open(sim_disk_vfs(f.disk), "notes.txt", OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file,
                  NULL) == OCHRE_OK);
    och_file_close(file);
    check_ok(repair(&f, f.disk, to, &findings, &totals), &f.err);
    check(findings.n_notes == 1 && begins_with(findings.last, "notes.txt: ") && !totals.has_lost);
    sim_disk_close(to);
    end(&f);
}

/* --- sweeps ------------------------------------------------------------------------------ */

/* A small database in which something of each kind is damaged. */
static void
begin_damaged(struct fixture *f)
{
    static struct files files;
    begin(f, 1);
    write_records(f, 0, OCH_WRITE_UPSERT, 0, 6, false);
    write_records(f, 1, OCH_WRITE_UPSERT, 0, 6, false);
    seal(f);
    delete_records(f, 1, 2, 1);
    seal(f);
    write_records(f, 0, OCH_WRITE_UPSERT, 4, 4, false);
    write_records(f, 2, OCH_WRITE_UPSERT, 4, 4, false);
    close_db(f);
    (void) list_files(f, f->disk, &files);
    zero(f->disk, find_file(&files, f->models[0].dir, ".seg"), 65536, 4096);
    check(sim_disk_flip(f->disk, find_file(&files, f->models[1].dir, ".del"), 16, 1));
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
    uint64_t before = list_files(&f, f.disk, &files);
    for (uint64_t n = 1; crashed; n++) {
        struct sim_disk *to = sim_disk_open(&f.own, 2);
        sim_disk_crash(to, n, n % 2 == 0 ? SIM_BEFORE : SIM_AFTER);
        ochre_status status = repair(&f, f.disk, to, &findings, &totals);
        crashed = sim_disk_has_crashed(to);
        check(crashed || status == OCHRE_OK);
        sim_disk_recover(to, (enum sim_mode)(n % SIM_N_MODES), n);
        check(list_files(&f, f.disk, &files) == before);
        check_second_repair(&f, to);
        sim_disk_close(to);
    }
    end(&f);
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
    uint64_t before = list_files(&f, f.disk, &files);
    for (unsigned which = 0; which < 2; which++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
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
            check(list_files(&f, from, &files) == before);
            check_second_repair(&f, to);
            sim_disk_close(to);
            sim_disk_close(from);
        }
    }
    end(&f);
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
    end(&f);
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
