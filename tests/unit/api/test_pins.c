/* Pins: a position stays readable as it was, over merges, purges and restarts, until it is unpinned. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "api/stats.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/random.h"
#include "distance/distance.h"
#include "engine/collection.h"
#include "engine/result.h"
#include "os/executor.h"
#include "os/thread.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

enum { N_SLOTS = 64, N_PER_WRITE = 5, N_WRITES_MAX = 600, N_THREADS = 2 };

/* The writes are the same each time, one for each position, so that what a position shows is
 * known: in each slot the number of the write that it is from; 0: no record. */
static uint32_t history[N_WRITES_MAX + 1][N_SLOTS];

struct fixture {
    struct och_mem own, mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct och_executor *executor;
    struct ochre_db *db;
    struct och_target target;
    uint32_t n_written;
    struct ochre_error err;
};

static struct fixture fixture;

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static const struct ochre_bytes generated = {NULL, 0};

/* --- what there is to be seen -------------------------------------------------- */

static bool
is_delete(uint32_t write)
{
    return write % 4 == 3;
}

static uint32_t
slot_of(uint32_t write, uint32_t i)
{
    return (write * 7 + i * N_PER_WRITE) % N_SLOTS;
}

static void
make_history(void)
{
    for (uint32_t write = 1; write <= N_WRITES_MAX; write++) {
        memcpy(history[write], history[write - 1], sizeof(history[0]));
        for (uint32_t i = 0; i < N_PER_WRITE; i++) {
            if (is_delete(write)) /* what the write before has written */
                history[write][slot_of(write - 1, i)] = 0;
            else
                history[write][slot_of(write, i)] = write;
        }
    }
}

/* --- a database ------------------------------------------------------------------ */

static void
open_db(struct fixture *f)
{
    const struct och_db_options options = {.mem = &f->mem,
            .vfs = sim_disk_vfs(f->disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .executor = f->executor,
            .n_cpus = 1,
            .create = true,
            .allow_reset = true,
            .engine = {.head_rows_max = 24, .merge = {.fan_in = 3}, .idle_ms = 5}};
    check_ok(och_db_open(&options, &f->db, &f->err), &f->err);
}

static void
restart(struct fixture *f)
{
    och_db_close(f->db);
    open_db(f);
}

static struct och_target
create(struct fixture *f, const char *database, const char *name)
{
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &f->err), &f->err);
    struct och_create what = {.tenant = text("default_tenant"),
            .database = text(database),
            .name = text(name),
            .indexes = indexes};
    check_ok(och_op_collection_create(f->db, &arena, &what, &info, &f->err), &f->err);
    och_arena_clear(&arena);
    return (struct och_target){what.tenant, what.database, info.row.id};
}

static int
set_up(void **state)
{
    struct fixture *f = &fixture;
    *f = (struct fixture){.n_written = 0};
    make_history();
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->own, 1);
    sim_machine_init(&f->machine, 1);
    open_db(f);
    f->target = create(f, "default_database", "things");
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    och_db_close(f->db);
    och_executor_close(f->executor);
    sim_disk_close(f->disk);
    return och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0 ? 0 : 1;
}

static int
set_up_threads(void **state)
{
    int failed = set_up(state);
    struct fixture *f = *state;
    och_db_close(f->db);
    check_ok(och_executor_open(&f->own, 0, N_THREADS, &f->executor, &f->err), &f->err);
    open_db(f);
    return failed;
}

/* The next write of the history. */
static void
write_next(struct fixture *f)
{
    char ids[N_PER_WRITE][16];
    char document[16];
    struct ochre_bytes names[N_PER_WRITE], documents[N_PER_WRITE];
    float vectors[N_PER_WRITE * 2] = {0};
    struct och_written written;
    uint32_t write = ++f->n_written;
    bool deletes = is_delete(write);
    (void) snprintf(document, sizeof(document), "t%u", write);
    for (uint32_t i = 0; i < N_PER_WRITE; i++) {
        uint32_t slot = slot_of(deletes ? write - 1 : write, i);
        (void) snprintf(ids[i], sizeof(ids[i]), "s%u", slot);
        names[i] = text(ids[i]);
        documents[i] = text(document);
        vectors[i * 2] = (float) slot;
        vectors[i * 2 + 1] = (float) write;
    }
    struct och_write_input input = {.records = {.n = N_PER_WRITE,
                                            .ids = names,
                                            .embeddings = vectors,
                                            .dim = 2,
                                            .documents = documents},
            .n_embeddings = N_PER_WRITE,
            .n_documents = N_PER_WRITE,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = OCH_NOT_GIVEN};
    const struct och_select_input select = {.has_ids = true, .ids = names, .n_ids = N_PER_WRITE};
    ochre_status status = deletes
            ? och_op_delete(f->db, &f->target, &select, UINT64_MAX, &written, &f->err)
            : och_op_write(f->db, &f->target, OCH_WRITE_UPSERT, &input, &written, &f->err);
    check_ok(status, &f->err);
    check(written.position == write);
}

static void
write_some(struct fixture *f, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        write_next(f);
}

/* --- reading ---------------------------------------------------------------------- */

static void
check_hits(const struct och_result *result, uint64_t position)
{
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < N_SLOTS; slot++)
        n += history[position][slot] != 0;
    check(result->snapshot.facts.position == position);
    check(result->lists[0].n == n);
    for (size_t i = 0; i < n; i++) {
        const struct ochre_hit *hit = &result->lists[0].hits[i];
        char wanted[16];
        uint32_t slot = (uint32_t) hit->embedding[0];
        check(slot < N_SLOTS && history[position][slot] != 0);
        check((uint32_t) hit->embedding[1] == history[position][slot]);
        (void) snprintf(wanted, sizeof(wanted), "t%u", history[position][slot]);
        check(och_bytes_equal(hit->document, text(wanted)));
        (void) snprintf(wanted, sizeof(wanted), "s%u", slot);
        check(och_bytes_equal(hit->id, text(wanted)));
    }
}

/* A get of all, a count and a query.  OCHRE_STALE, or a status that is none of the position's. */
static ochre_status
read_at(struct ochre_db *db, const struct och_target *target, uint64_t position,
        struct ochre_error *err)
{
    const float query[2] = {5, (float) position};
    const uint32_t dim = 2;
    uint64_t count = 0;
    uint64_t at = 0;
    uint32_t n = 0;
    struct och_result *result;
    const unsigned include = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_EMBEDDINGS;
    const struct och_get_input get = {.limit = UINT64_MAX, .include = include, .as_of = &position};
    const struct och_query_input nearest = {.queries = query,
            .n_queries = 1,
            .dims = &dim,
            .k = N_SLOTS,
            .include = include,
            .as_of = &position};
    ochre_status status = och_op_get(db, target, &get, &result, err);
    if (status != OCHRE_OK)
        return status;
    check_hits(result, position);
    och_result_release(result);
    status = och_op_query(db, target, &nearest, &result, err);
    if (status != OCHRE_OK)
        return status;
    check_hits(result, position);
    och_result_release(result);
    status = och_op_count(db, target, &position, &count, &at, err);
    for (uint32_t slot = 0; slot < N_SLOTS; slot++)
        n += history[position][slot] != 0;
    check(status != OCHRE_OK || (count == n && at == position));
    return status;
}

static void
check_position(struct fixture *f, uint64_t position)
{
    check_ok(read_at(f->db, &f->target, position, &f->err), &f->err);
}

/* Nothing is in memory but what is in no file. */
static void
forget_past(struct fixture *f)
{
    och_history_forget_all(&f->db->engine->history);
}

static uint64_t
pin(struct fixture *f, const char *name)
{
    struct och_arena arena;
    struct och_pin_info info;
    och_arena_init(&arena, &f->own);
    check_ok(och_op_pin(f->db, &arena, &f->target, text(name), &info, &f->err), &f->err);
    check(info.position == f->n_written && och_bytes_equal(info.name, text(name)));
    check(info.created_unix_s == och_machine_wall_ns(&f->machine.machine) / 1000000000u);
    och_arena_clear(&arena);
    return info.position;
}

static size_t
count_pins(struct fixture *f)
{
    struct och_arena arena;
    struct och_pin_info *infos;
    size_t n = 0;
    och_arena_init(&arena, &f->own);
    check_ok(och_op_pin_list(f->db, &arena, &f->target, &infos, &n, &f->err), &f->err);
    och_arena_clear(&arena);
    return n;
}

static void
unpin(struct fixture *f, const char *name)
{
    check_ok(och_op_unpin(f->db, &f->target, text(name), &f->err), &f->err);
}

static void
check_sound(struct fixture *f)
{
    och_db_close(f->db);
    f->db = NULL;
    check_ok(och_check_vfs(sim_disk_vfs(f->disk), &f->machine.machine,
                     &(struct och_check_options){.report = NULL}, NULL, &f->err),
            &f->err);
    open_db(f);
}

struct files {
    size_t n;
};

static ochre_status
count_file(void *context, const char *name, bool is_dir)
{
    struct files *files = context;
    (void) name;
    files->n += is_dir;
    return OCHRE_OK;
}

/* Directories of collections and pins. */
static size_t
count_directories(struct fixture *f)
{
    struct files files = {.n = 0};
    check_ok(och_vfs_list(sim_disk_vfs(f->disk), "seg", count_file, &files, &f->err), &f->err);
    return files.n;
}

/* --- what a pin is for --------------------------------------------------------------- */

static void
a_pin_outlives_all_that_happens(void **state)
{
    struct fixture *f = *state;
    uint64_t positions[8];
    char name[16];
    for (uint32_t i = 0; i < 8; i++) {
        (void) snprintf(name, sizeof(name), "pin-%u", i);
        positions[i] = pin(f, name); /* the first one of an empty collection */
        write_some(f, 3 + i * 11);
        check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
        if (i % 3 == 1)
            check_ok(och_op_compact(f->db, &f->err), &f->err);
        if (i % 3 == 2)
            check_ok(och_op_purge(f->db, &f->err), &f->err);
        if (i % 2 == 1)
            restart(f);
        forget_past(f);
        for (uint32_t j = 0; j <= i; j++)
            check_position(f, positions[j]);
        check_position(f, f->n_written);
        check(read_at(f->db, &f->target, f->n_written - 2, &f->err) == OCHRE_STALE);
        /* A later pin is none of the position before it. */
        for (uint32_t j = 1; j <= i; j++)
            check(read_at(f->db, &f->target, positions[j] - 1, &f->err) == OCHRE_STALE);
    }
    check(count_pins(f) == 8);
    check_sound(f);
    for (uint32_t j = 0; j < 8; j++)
        check_position(f, positions[j]);
    /* Each by itself. */
    for (uint32_t i = 0; i < 8; i += 2) {
        (void) snprintf(name, sizeof(name), "pin-%u", i);
        unpin(f, name);
    }
    forget_past(f);
    for (uint32_t j = 0; j < 8; j++)
        check(read_at(f->db, &f->target, positions[j], &f->err) ==
                (j % 2 == 0 ? OCHRE_STALE : OCHRE_OK));
    check(count_pins(f) == 4);
    check_sound(f);
}

/* A page is read of a pin, too, as of its position. */
static void
pages_of_a_pin_go_on_when_nothing_else_has_its_position(void **state)
{
    struct fixture *f = *state;
    write_some(f, 50);
    uint64_t position = pin(f, "pages");
    write_some(f, 60);
    check_ok(och_op_compact(f->db, &f->err), &f->err);
    forget_past(f);
    char cursor[64];
    struct och_get_input get = {.limit = 7, .pages = true, .as_of = &position};
    size_t n_seen = 0;
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < N_SLOTS; slot++)
        n += history[position][slot] != 0;
    for (bool more = true; more;) {
        struct och_result *result;
        check_ok(och_op_get(f->db, &f->target, &get, &result, &f->err), &f->err);
        n_seen += result->lists[0].n;
        more = result->cursor.size > 0;
        check(!more || result->cursor.size == sizeof(cursor));
        if (more)
            memcpy(cursor, result->cursor.data, sizeof(cursor));
        get.cursor = (struct ochre_bytes){cursor, sizeof(cursor)};
        och_result_release(result);
        write_next(f);
        restart(f);
    }
    check(n_seen == n);
}

static void
a_pin_takes_no_copying_and_its_files_go_with_it(void **state)
{
    struct fixture *f = *state;
    struct och_arena arena;
    struct och_pin_info *infos;
    struct och_stats stats;
    size_t n = 0;
    och_arena_init(&arena, &f->own);
    write_some(f, 50);
    check_ok(och_op_compact(f->db, &f->err), &f->err);
    uint64_t position = pin(f, "kept");
    check(count_directories(f) == 2);
    check_ok(och_op_pin_list(f->db, &arena, &f->target, &infos, &n, &f->err), &f->err);
    check(n == 1 && infos[0].n_bytes == 0 && infos[0].position == position);
    check_ok(och_op_stats(f->db, &arena, &stats, &f->err), &f->err);
    check(stats.n_collections == 1 && stats.totals.collections == 1 && stats.totals.forks == 0);
    check(stats.totals.pins == 1 && stats.collections[0].pins == 1);
    check(stats.totals.pinned_bytes == 0 && stats.totals.unlisted_files == 0);
    check(stats.totals.records == stats.collections[0].records);
    uint64_t shared = stats.collections[0].shared_bytes;
    check(shared > 0 && shared == stats.totals.segment_bytes);

    write_some(f, 60);
    check_ok(och_op_compact(f->db, &f->err), &f->err);
    forget_past(f);
    check_ok(och_op_pin_list(f->db, &arena, &f->target, &infos, &n, &f->err), &f->err);
    check(n == 1 && infos[0].n_bytes > 0 && infos[0].n_bytes <= shared);
    check_ok(och_op_stats(f->db, &arena, &stats, &f->err), &f->err);
    check(stats.totals.pinned_bytes == shared && stats.collections[0].shared_files == 0);
    check_position(f, position);

    unpin(f, "kept");
    check(count_directories(f) == 1);
    check_ok(och_op_stats(f->db, &arena, &stats, &f->err), &f->err);
    check(stats.totals.pins == 0 && stats.totals.pinned_bytes == 0);
    check(stats.totals.unlisted_files == 0);
    och_arena_clear(&arena);
}

/* Nothing merges it: it would have files of its own then. */
static void
compacting_leaves_a_pin_its_files(void **state)
{
    struct fixture *f = *state;
    struct och_arena arena;
    struct och_stats stats;
    och_arena_init(&arena, &f->own);
    write_some(f, 60);
    uint64_t position = pin(f, "many-files");
    check_position(f, position);
    for (int i = 0; i < 3; i++) {
        check_ok(och_op_compact(f->db, &f->err), &f->err);
        check_position(f, position);
    }
    restart(f);
    check_ok(och_op_compact(f->db, &f->err), &f->err);
    check_ok(och_op_stats(f->db, &arena, &stats, &f->err), &f->err);
    check(stats.n_pins == 1 && stats.collections[stats.n_collections].segments > 1);
    check(stats.collections[0].segments == 1);
    och_arena_clear(&arena);
}

/* What died before the pin is in no file after a purge, of the pin's either; what it shows is. */
static void
a_purge_leaves_what_a_pin_shows_and_says_that_there_is_one(void **state)
{
    struct fixture *f = *state;
    struct och_arena arena;
    struct och_stats stats;
    uint64_t n_pins = 0;
    och_arena_init(&arena, &f->own);
    write_some(f, 40);
    check_ok(och_op_pin_count(f->db, &n_pins, &f->err), &f->err);
    check(n_pins == 0);
    uint64_t position = pin(f, "held");
    write_some(f, 40);
    check_ok(och_op_purge(f->db, &f->err), &f->err);
    check_ok(och_op_pin_count(f->db, &n_pins, &f->err), &f->err);
    check(n_pins == 1);
    check_position(f, position);
    check_ok(och_op_stats(f->db, &arena, &stats, &f->err), &f->err);
    check(stats.totals.dead_rows == 0 && stats.collections[1].dead_rows == 0);
    check(stats.collections[1].records > 0 && stats.totals.pinned_bytes > 0);
    restart(f);
    check_position(f, position);
    unpin(f, "held");
    check_ok(och_op_purge(f->db, &f->err), &f->err);
    check(read_at(f->db, &f->target, position, &f->err) == OCHRE_STALE);
    och_arena_clear(&arena);
}

/* --- what a pin is not ------------------------------------------------------------------ */

static void
a_pin_is_no_collection(void **state)
{
    struct fixture *f = *state;
    struct och_arena arena;
    struct och_collection_info *infos;
    struct och_collection_info info;
    struct och_database_row *databases;
    struct och_database_row database;
    struct och_pin_row *rows;
    struct och_catalog *catalog = f->db->catalog;
    const struct ochre_bytes nobody = {"", 0};
    const struct ochre_bytes source = {(const char *) f->target.id.bytes, 16};
    size_t n = 0;
    uint64_t count = 0;
    och_arena_init(&arena, &f->own);
    write_some(f, 20);
    (void) pin(f, "apart");
    check_ok(och_op_collection_list(f->db, &arena, f->target.tenant, f->target.database, UINT64_MAX,
                     0, &infos, &n, &f->err),
            &f->err);
    check(n == 1);
    check_ok(och_op_collection_count(f->db, f->target.tenant, f->target.database, &count, &f->err),
            &f->err);
    check(count == 1);
    check_ok(och_op_collection_fork_count(f->db, &f->target, &count, &f->err), &f->err);
    check(count == 0);
    check(och_op_collection_get(f->db, &arena, f->target.tenant, f->target.database, text("apart"),
                  &info, &f->err) == OCHRE_NOT_FOUND);

    /* Not even for who knows how it is kept. */
    check_ok(catalog->ops->pin_list(catalog, &arena, f->target.id, &rows, &n, &f->err), &f->err);
    check(n == 1);
    const struct och_target targets[] = {{nobody, source, rows[0].id},
            {f->target.tenant, f->target.database, rows[0].id}, {nobody, source, f->target.id}};
    for (size_t i = 0; i < 3; i++) {
        struct och_pin_info made;
        struct och_written written;
        const struct och_update update = {.new_name = text("renamed")};
        const struct och_select_input all = {.has_ids = true};
        check(och_op_collection_get_by_id(f->db, &arena, &targets[i], &info, &f->err) ==
                OCHRE_NOT_FOUND);
        check(och_op_collection_fork(f->db, &arena, &targets[i], text("forked"), &info, &f->err) ==
                OCHRE_NOT_FOUND);
        check(och_op_collection_update(f->db, &targets[i], &update, &f->err) == OCHRE_NOT_FOUND);
        check(och_op_pin(f->db, &arena, &targets[i], text("again"), &made, &f->err) ==
                OCHRE_NOT_FOUND);
        check(och_op_delete(f->db, &targets[i], &all, UINT64_MAX, &written, &f->err) ==
                OCHRE_NOT_FOUND);
        check(och_op_count(f->db, &targets[i], NULL, &count, NULL, &f->err) == OCHRE_NOT_FOUND);
    }
    check(och_op_collection_get(f->db, &arena, nobody, source, text("apart"), &info, &f->err) ==
            OCHRE_NOT_FOUND);
    check(och_op_collection_delete(f->db, nobody, source, text("apart"), &f->err) ==
            OCHRE_NOT_FOUND);
    check_ok(och_op_collection_list(
                     f->db, &arena, nobody, source, UINT64_MAX, 0, &infos, &n, &f->err),
            &f->err);
    check(n == 0);
    check_ok(och_op_collection_count(f->db, nobody, source, &count, &f->err), &f->err);
    check(count == 0);
    check_ok(och_op_database_list(f->db, &arena, nobody, UINT64_MAX, 0, &databases, &n, &f->err),
            &f->err);
    check(n == 0);
    check(och_op_database_get(f->db, &arena, nobody, source, &database, &f->err) ==
            OCHRE_NOT_FOUND);
    check(och_op_database_delete(f->db, nobody, source, &f->err) == OCHRE_NOT_FOUND);
    check(och_op_database_create(f->db, nobody, text("database"), &f->err) == OCHRE_INVALID);
    check(count_pins(f) == 1);
    /* A collection may have a pin's name, and a collection of another name one of the same. */
    struct och_target other = create(f, "default_database", "apart");
    struct och_pin_info made;
    check_ok(och_op_pin(f->db, &arena, &other, text("apart"), &made, &f->err), &f->err);
    check(made.position == 0);
    och_arena_clear(&arena);
}

static void
pins_go_with_their_collection(void **state)
{
    struct fixture *f = *state;
    struct och_arena arena;
    struct och_pin_info made;
    uint64_t n = 0;
    och_arena_init(&arena, &f->own);
    check_ok(och_op_database_create(f->db, text("default_tenant"), text("second"), &f->err),
            &f->err);
    struct och_target apart = create(f, "second", "apart");
    struct och_target first = f->target;
    write_some(f, 20);
    (void) pin(f, "one");
    write_some(f, 20);
    (void) pin(f, "two");
    f->target = apart;
    f->n_written = 0;
    write_some(f, 20);
    check_ok(och_op_pin(f->db, &arena, &apart, generated, &made, &f->err), &f->err);
    check(count_directories(f) == 5);
    check_position(f, 20); /* loaded */
    check_ok(och_op_database_delete(f->db, text("default_tenant"), text("second"), &f->err),
            &f->err);
    check(read_at(f->db, &apart, 20, &f->err) == OCHRE_NOT_FOUND);
    check_ok(och_op_pin_count(f->db, &n, &f->err), &f->err);
    check(n == 2 && count_directories(f) == 3);
    f->target = first;
    check_position(f, 20);
    check_ok(och_op_collection_delete(f->db, first.tenant, first.database, text("things"), &f->err),
            &f->err);
    check_ok(och_op_pin_count(f->db, &n, &f->err), &f->err);
    check(n == 0 && count_directories(f) == 0);
    check_sound(f);

    f->target = create(f, "default_database", "things");
    f->n_written = 0;
    write_some(f, 20);
    (void) pin(f, "one");
    check_ok(och_op_reset(f->db, &f->err), &f->err);
    check_ok(och_op_pin_count(f->db, &n, &f->err), &f->err);
    check(n == 0);
    check_sound(f);
    check(count_directories(f) == 0);
    och_arena_clear(&arena);
}

/* --- names and limits -------------------------------------------------------------------- */

static void
names_and_the_limit_are_checked(void **state)
{
    struct fixture *f = *state;
    struct och_arena arena;
    struct och_pin_info info;
    struct och_pin_info *infos;
    size_t n = 0;
    och_arena_init(&arena, &f->own);
    check(och_op_pin(f->db, &arena, &f->target, text("no good"), &info, &f->err) == OCHRE_INVALID);
    assert_string_equal(f->err.message,
            "Validation error: name: name 'no good' has something else than a-z A-Z 0-9 . _ - "
            "at byte 2");
    check_ok(och_op_pin(f->db, &arena, &f->target, generated, &info, &f->err), &f->err);
    check(info.name.size == OCH_UUID_TEXT_SIZE);
    write_some(f, 10);
    for (unsigned i = 1; i < OCH_PINS_MAX; i++) {
        char name[16];
        (void) snprintf(name, sizeof(name), "pin-%u", i);
        (void) pin(f, name);
    }
    check(och_op_pin(f->db, &arena, &f->target, text("pin-7"), &info, &f->err) == OCHRE_EXISTS);
    assert_string_equal(f->err.message, "Pin [pin-7] already exists");
    check(och_op_pin(f->db, &arena, &f->target, text("more"), &info, &f->err) == OCHRE_INVALID);
    assert_string_equal(f->err.message, "the collection has 64 pins; the limit is 64");
    check(och_op_unpin(f->db, &f->target, text("more"), &f->err) == OCHRE_NOT_FOUND);
    assert_string_equal(f->err.message, "Pin [more] does not exist.");
    check_ok(och_op_pin_list(f->db, &arena, &f->target, &infos, &n, &f->err), &f->err);
    check(n == OCH_PINS_MAX && och_bytes_equal(infos[7].name, text("pin-7")));
    unpin(f, "pin-7");
    check(count_pins(f) == OCH_PINS_MAX - 1);
    /* One of several at a position leaves it to the others. */
    write_some(f, 30);
    check_ok(och_op_compact(f->db, &f->err), &f->err);
    forget_past(f);
    check_position(f, 10);
    unpin(f, "pin-1");
    check_position(f, 10);
    (void) pin(f, "more");
    och_arena_clear(&arena);
}

/* --- beside a writer ---------------------------------------------------------------------- */

static void
a_reader_sees_pins_too(void **state)
{
    struct fixture *f = *state;
    struct och_mem mem;
    struct sim_machine machine;
    struct ochre_db *reader;
    struct och_arena arena;
    struct och_pin_info *infos;
    struct och_pin_info info;
    size_t n = 0;
    och_mem_init(&mem, NULL);
    sim_machine_init(&machine, 2);
    och_arena_init(&arena, &f->own);
    const struct och_db_options options = {.mem = &mem,
            .vfs = sim_disk_vfs(f->disk),
            .machine = &machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .n_cpus = 1,
            .read_only = true};
    write_some(f, 30);
    uint64_t first = pin(f, "first");
    write_some(f, 30);
    check_ok(och_op_compact(f->db, &f->err), &f->err);
    check_ok(och_db_open(&options, &reader, &f->err), &f->err);
    check_ok(read_at(reader, &f->target, first, &f->err), &f->err);
    check_ok(och_op_pin_list(reader, &arena, &f->target, &infos, &n, &f->err), &f->err);
    check(n == 1 && infos[0].position == first);
    /* One that was made since it looked. */
    uint64_t second = pin(f, "second");
    write_some(f, 30);
    check_ok(och_op_compact(f->db, &f->err), &f->err);
    forget_past(f);
    check_ok(read_at(reader, &f->target, second, &f->err), &f->err);
    check(och_op_pin(reader, &arena, &f->target, text("third"), &info, &f->err) == OCHRE_DENIED);
    check(och_op_unpin(reader, &f->target, text("first"), &f->err) == OCHRE_DENIED);
    och_arena_clear(&arena);
    och_db_close(reader);
    check(och_mem_used(&mem) == 0);
}

/* --- threads ------------------------------------------------------------------------------- */

/* Positions that are pinned, by the pin's number. */
static struct {
    struct fixture *f;
    atomic_uint_fast64_t written;
    atomic_bool done;
    struct och_mutex lock; /* held while a pin is read as one, or goes */
    bool is_pinned[8];
    uint64_t pinned[8]; /* 0: before the first write */
    atomic_uint n_read, n_pinned_read, n_stale;
} shared;

static void
run_writer(void *argument)
{
    (void) argument;
    while (shared.f->n_written < N_WRITES_MAX) {
        write_next(shared.f);
        atomic_store(&shared.written, shared.f->n_written);
    }
    atomic_store(&shared.done, true);
}

/* Any position: as it was, or refused. */
static void
run_reader(void *argument)
{
    struct ochre_error err;
    uint64_t random = (uint64_t) (uintptr_t) argument;
    while (!atomic_load(&shared.done)) {
        uint64_t newest = atomic_load(&shared.written);
        uint64_t position = och_random_below(&random, newest + 1);
        ochre_status status = read_at(shared.f->db, &shared.f->target, position, &err);
        check(status == OCHRE_OK || status == OCHRE_STALE);
        (void) atomic_fetch_add(status == OCHRE_OK ? &shared.n_read : &shared.n_stale, 1);
    }
}

/* Make pins and let them go; what is pinned is never refused. */
static void
run_pinner(void *argument)
{
    struct ochre_error err;
    struct och_mem mem;
    struct och_arena arena;
    uint64_t random = 77;
    (void) argument;
    och_mem_init(&mem, NULL);
    while (!atomic_load(&shared.done)) {
        size_t at = och_random_below(&random, 8);
        struct och_pin_info info;
        char name[16];
        (void) snprintf(name, sizeof(name), "pin-%zu", at);
        och_arena_init(&arena, &mem);
        och_mutex_lock(&shared.lock);
        if (shared.is_pinned[at]) {
            check_ok(och_op_unpin(shared.f->db, &shared.f->target, text(name), &err), &err);
        } else {
            check_ok(och_op_pin(shared.f->db, &arena, &shared.f->target, text(name), &info, &err),
                    &err);
            shared.pinned[at] = info.position;
        }
        shared.is_pinned[at] = !shared.is_pinned[at];
        och_mutex_unlock(&shared.lock);
        och_arena_clear(&arena);
    }
}

static void
run_pin_reader(void *argument)
{
    struct ochre_error err;
    uint64_t random = 99;
    (void) argument;
    while (!atomic_load(&shared.done)) {
        och_mutex_lock(&shared.lock);
        size_t at = och_random_below(&random, 8);
        if (och_random_below(&random, 4) == 0)
            och_history_forget_all(&shared.f->db->engine->history);
        if (shared.is_pinned[at]) {
            check_ok(read_at(shared.f->db, &shared.f->target, shared.pinned[at], &err), &err);
            (void) atomic_fetch_add(&shared.n_pinned_read, 1);
        }
        och_mutex_unlock(&shared.lock);
    }
}

static void
run_compactor(void *argument)
{
    struct ochre_error err;
    (void) argument;
    for (unsigned i = 0; !atomic_load(&shared.done); i++)
        check_ok(i % 3 == 2 ? och_op_purge(shared.f->db, &err) : och_op_compact(shared.f->db, &err),
                &err);
}

static void
positions_and_pins_are_exact_beside_writers_seals_and_merges(void **state)
{
    struct fixture *f = *state;
    void (*const runs[])(void *argument) = {
            run_writer, run_reader, run_reader, run_pinner, run_pin_reader, run_compactor};
    enum { N_RUNS = sizeof(runs) / sizeof(runs[0]) };
    struct och_thread threads[N_RUNS];
    shared.f = f;
    och_mutex_init(&shared.lock);
    for (size_t i = 0; i < N_RUNS; i++)
        check_ok(och_thread_start(
                         &threads[i], "pins", runs[i], (void *) (uintptr_t) (i + 1), &f->err),
                &f->err);
    for (size_t i = 0; i < N_RUNS; i++)
        och_thread_join(&threads[i]);
    check(atomic_load(&shared.n_read) > 0);
    restart(f);
    for (size_t i = 0; i < 8; i++)
        if (shared.is_pinned[i])
            check_position(f, shared.pinned[i]);
    check_position(f, N_WRITES_MAX);
    och_mutex_clear(&shared.lock);
    check_sound(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(a_pin_outlives_all_that_happens, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    pages_of_a_pin_go_on_when_nothing_else_has_its_position, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_pin_takes_no_copying_and_its_files_go_with_it, set_up, tear_down),
            cmocka_unit_test_setup_teardown(compacting_leaves_a_pin_its_files, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_purge_leaves_what_a_pin_shows_and_says_that_there_is_one, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_pin_is_no_collection, set_up, tear_down),
            cmocka_unit_test_setup_teardown(pins_go_with_their_collection, set_up, tear_down),
            cmocka_unit_test_setup_teardown(names_and_the_limit_are_checked, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_reader_sees_pins_too, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    positions_and_pins_are_exact_beside_writers_seals_and_merges, set_up_threads,
                    tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
