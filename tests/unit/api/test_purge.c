/*
 * test_purge.c - a purge, and collections that are forked while it goes on.
 */
#include <stdio.h>
#include <string.h>

#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "distance/distance.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

enum { N = 12, N_FORKED_MAX = 200 };

struct fixture {
    struct och_mem own, mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct ochre_db *db;
    struct och_catalog_ops ops; /* the catalog's, with a stand-in: */
    const struct och_catalog_ops *real;
    struct och_target source; /* what it forks when a file is about to be written, */
    unsigned n_forks;         /* so often */
    unsigned n_forked;
    bool is_forking;
};

static struct fixture fixture;

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static struct och_target
create(struct fixture *f, const char *name)
{
    struct ochre_error err;
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &err), &err);
    struct och_create what = {.tenant = text("default_tenant"),
            .database = text("default_database"),
            .name = text(name),
            .indexes = indexes};
    check_ok(och_op_collection_create(f->db, &arena, &what, &info, &err), &err);
    och_arena_clear(&arena);
    return (struct och_target){what.tenant, what.database, info.row.id};
}

/* Records in a file, and a death in it in another. */
static void
fill(struct fixture *f, const struct och_target *target)
{
    struct ochre_error err;
    char ids[N][16];
    struct ochre_bytes names[N];
    float vectors[N];
    for (int i = 0; i < N; i++) {
        (void) snprintf(ids[i], sizeof(ids[i]), "id-%d", i);
        names[i] = text(ids[i]);
        vectors[i] = (float) i;
    }
    struct och_write_input input = {
            .records = {.n = N, .ids = names, .embeddings = vectors, .dim = 1},
            .n_embeddings = N,
            .n_documents = OCH_NOT_GIVEN,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = OCH_NOT_GIVEN};
    struct och_written written;
    check_ok(och_op_write(f->db, target, OCH_WRITE_ADD, &input, &written, &err), &err);
    check_ok(och_engine_seal_all(f->db->engine, &err), &err);
    struct och_select_input select = {.has_ids = true, .ids = names, .n_ids = 1};
    check_ok(och_op_delete(f->db, target, &select, UINT64_MAX, &written, &err), &err);
    check_ok(och_engine_seal_all(f->db->engine, &err), &err);
}

/* In all collections. */
struct deaths {
    struct fixture *f;
    struct och_uuid ids[N_FORKED_MAX];
    size_t n;
};

static ochre_status
note(void *context, struct och_uuid id, uint32_t number, const struct och_collection_state *state,
        size_t n_segments)
{
    struct deaths *deaths = context;
    (void) number;
    (void) state;
    (void) n_segments;
    check(deaths->n < N_FORKED_MAX);
    deaths->ids[deaths->n++] = id;
    return OCHRE_OK;
}

static uint64_t
count_deaths(struct fixture *f)
{
    static struct deaths deaths;
    struct ochre_error err;
    struct och_arena arena;
    struct och_catalog *catalog = f->db->catalog;
    uint64_t n_deaths = 0;
    deaths = (struct deaths){.f = f};
    och_arena_init(&arena, &f->own);
    check_ok(catalog->ops->each_collection(catalog, &arena, note, &deaths, &err), &err);
    for (size_t i = 0; i < deaths.n; i++) {
        struct och_collection_state state;
        struct och_segment_row *rows;
        size_t n;
        check_ok(catalog->ops->state_get(catalog, &arena, deaths.ids[i], &state, &rows, &n, &err),
                &err);
        for (size_t r = 0; r < n; r++)
            n_deaths += rows[r].n_deleted;
    }
    och_arena_clear(&arena);
    return n_deaths;
}

static ochre_status
next_file_id(struct och_catalog *catalog, uint64_t *id_out, struct ochre_error *err)
{
    struct fixture *f = &fixture;
    if (f->n_forked < f->n_forks && !f->is_forking) {
        struct och_arena arena;
        struct och_collection_info info;
        char name[16];
        (void) snprintf(name, sizeof(name), "fork-%u", f->n_forked++);
        f->is_forking = true;
        och_arena_init(&arena, &f->own);
        check_ok(och_op_collection_fork(f->db, &arena, &f->source, text(name), &info, err), err);
        f->source.id = info.row.id; /* the next one is a fork of this */
        och_arena_clear(&arena);
        f->is_forking = false;
    }
    return f->real->next_file_id(catalog, id_out, err);
}

static int
set_up(void **state)
{
    struct fixture *f = &fixture;
    struct ochre_error err;
    *f = (struct fixture){.n_forks = 0};
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->own, 1);
    sim_machine_init(&f->machine, 1);
    struct och_db_options options = {.mem = &f->mem,
            .vfs = sim_disk_vfs(f->disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .create = true};
    check_ok(och_db_open(&options, &f->db, &err), &err);
    f->real = f->db->catalog->ops;
    f->ops = *f->real;
    f->ops.next_file_id = next_file_id;
    f->db->catalog->ops = &f->ops;
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    och_db_close(f->db);
    sim_disk_close(f->disk);
    return och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0 ? 0 : 1;
}

/* Each is forked when the one before it is cleaned, before its own turn. */
static void
forks_of_what_was_not_cleaned_yet_are_cleaned_too(void **state)
{
    struct fixture *f = *state;
    struct ochre_error err;
    struct och_target first = create(f, "first");
    struct och_target second = create(f, "second");
    fill(f, &first);
    fill(f, &second);
    check(count_deaths(f) == 2);
    f->source = second;
    f->n_forks = 4;
    check_ok(och_op_purge(f->db, &err), &err);
    check(f->n_forked >= 2);
    check(count_deaths(f) == 0);
}

static void
a_purge_that_new_collections_never_let_end_says_so(void **state)
{
    struct fixture *f = *state;
    struct ochre_error err;
    struct och_target only = create(f, "only");
    fill(f, &only);
    f->source = only;
    f->n_forks = N_FORKED_MAX;
    ochre_status status = och_op_purge(f->db, &err);
    check(status == OCHRE_UNAVAILABLE && f->n_forked >= 100);
    f->n_forks = 0;
    check_ok(och_op_purge(f->db, &err), &err);
    check(count_deaths(f) == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(
                    forks_of_what_was_not_cleaned_yet_are_cleaned_too, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_purge_that_new_collections_never_let_end_says_so, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
