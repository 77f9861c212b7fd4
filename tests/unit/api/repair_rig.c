#include "repair_rig.h"

#include <stdio.h>
#include <string.h>

#include "api/db.h"
#include "api/schema.h"
#include "base/hash.h"
#include "base/random.h"
#include "distance/distance.h"
#include "os/vfs.h"
#include "support/check.h"

const char *const rig_names[N_COLLECTIONS] = {"sealed", "mixed", "fresh"};

/* --- the database -------------------------------------------------------------- */

struct ochre_bytes
rig_text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

const struct och_kernels *
rig_kernels(void)
{
    return och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL);
}

ochre_status
rig_open_db(struct fixture *f, struct sim_disk *disk)
{
    struct och_db_options options = {.mem = &f->own,
            .vfs = sim_disk_vfs(disk),
            .machine = &f->machine.machine,
            .kernels = rig_kernels(),
            .create = true,
            .engine = {.head_rows_max = HEAD_ROWS}};
    return och_db_open(&options, &f->db, &f->err);
}

void
rig_close_db(struct fixture *f)
{
    och_db_close(f->db);
    f->db = NULL;
}

void
rig_create(struct fixture *f, unsigned c)
{
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    char id[OCH_UUID_TEXT_SIZE + 1];
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &f->err), &f->err);
    struct och_create what = {.tenant = rig_text("default_tenant"),
            .database = rig_text("default_database"),
            .name = rig_text(rig_names[c]),
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

void
rig_write_records(struct fixture *f, unsigned c, enum och_write_op op, unsigned first, unsigned n,
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

void
rig_delete_records(struct fixture *f, unsigned c, unsigned first, unsigned n)
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

void
rig_write_something(struct fixture *f, unsigned c)
{
    unsigned first = (unsigned) och_random_below(&f->seed, N_IDS - 8);
    unsigned n = 1 + (unsigned) och_random_below(&f->seed, 8);
    switch (och_random_below(&f->seed, 6)) {
    case 0:
        rig_delete_records(f, c, first, n);
        break;
    case 1:
        rig_write_records(f, c, OCH_WRITE_UPDATE, first, n, true);
        break;
    case 2:
        rig_write_records(f, c, OCH_WRITE_UPDATE, first, n, false);
        break;
    case 3:
        rig_write_records(f, c, OCH_WRITE_ADD, first, n, false);
        break;
    default:
        rig_write_records(f, c, OCH_WRITE_UPSERT, first, n, false);
        break;
    }
}

void
rig_seal(struct fixture *f)
{
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
}

void
rig_begin(struct fixture *f, uint64_t seed)
{
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    sim_machine_init(&f->machine, seed);
    f->seed = seed;
    f->disk = sim_disk_open(&f->own, 1);
    check_ok(rig_open_db(f, f->disk), &f->err);
    for (unsigned c = 0; c < N_COLLECTIONS; c++)
        rig_create(f, c);
}

void
rig_end(struct fixture *f)
{
    rig_close_db(f);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0);
}

void
rig_fill(struct fixture *f)
{
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 14; i++) {
            if (round < 2 || i < 7)
                rig_write_something(f, 0);
            rig_write_something(f, 1);
            if (round == 2)
                rig_write_something(f, 2);
        }
        if (round < 2 || f->seed % 2 == 0)
            rig_seal(f);
    }
    /* Records that are gone, and in no newer segment. */
    rig_delete_records(f, 0, (unsigned) f->seed % 20, 9);
    rig_delete_records(f, 1, (unsigned) f->seed % 20, 9);
    rig_seal(f);
    for (unsigned i = 0; i < 6; i++) {
        rig_write_something(f, 1);
        rig_write_something(f, 2);
    }
}

/* --- files ------------------------------------------------------------------------ */

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

uint64_t
rig_list_files(struct fixture *f, struct sim_disk *disk, struct files *files)
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

void
rig_zero(struct sim_disk *disk, const char *path, uint64_t offset, size_t size)
{
    static const char zeros[4096];
    struct och_file *file;
    check(och_vfs_open(sim_disk_vfs(disk), path, OCH_OPEN_WRITE, &file, NULL) == OCHRE_OK);
    check(och_file_write(file, offset, zeros, size, NULL) == OCHRE_OK);
    och_file_close(file);
}

void
rig_cut(struct sim_disk *disk, const char *path, uint64_t size)
{
    struct och_file *file;
    check(och_vfs_open(sim_disk_vfs(disk), path, OCH_OPEN_WRITE, &file, NULL) == OCHRE_OK);
    check(och_file_truncate(file, size, NULL) == OCHRE_OK);
    och_file_close(file);
}

bool
rig_begins_with(const char *path, const char *with)
{
    return strncmp(path, with, strlen(with)) == 0;
}

bool
rig_ends_with(const char *path, const char *with)
{
    size_t size = strlen(path);
    return size >= strlen(with) && strcmp(path + size - strlen(with), with) == 0;
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

bool
rig_is_same(struct record a, struct record b)
{
    return a.vector == b.vector && a.document == b.document;
}

bool
rig_read_collection(struct fixture *f, const char *name, struct record state[N_IDS])
{
    struct och_arena arena;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    memset(state, 0, N_IDS * sizeof(*state));
    ochre_status status = och_op_collection_get(f->db, &arena, rig_text("default_tenant"),
            rig_text("default_database"), rig_text(name), &info, &f->err);
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

bool
rig_ever_was(const struct model *model, unsigned id, struct record record)
{
    for (unsigned position = 1; position <= model->n; position++)
        if (rig_is_same(model->states[position][id], record))
            return true;
    return false;
}

unsigned
rig_position_of(const struct model *model, const struct record state[N_IDS])
{
    for (unsigned position = model->n; position > 0; position--)
        if (memcmp(model->states[position], state, sizeof(model->states[0])) == 0)
            return position;
    return 0;
}

const char *
rig_find_file(const struct files *files, const char *dir, const char *ending)
{
    for (size_t i = 0; i < files->n; i++)
        if (rig_begins_with(files->paths[i], dir) && rig_ends_with(files->paths[i], ending))
            return files->paths[i];
    fail_msg("no %s below %s", ending, dir);
    return "";
}

uint64_t
rig_find_bytes(struct fixture *f, const char *path, const char *bytes)
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
