/*
 * test_check.c - `ochre check` against damage planted everywhere: it is found, or
 * it is without effect.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "base/hash.h"
#include "base/random.h"
#include "distance/distance.h"
#include "drivers/catalog_sqlite.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

enum { FILES_MAX = 32, NAME_SIZE = 128, HEAD_ROWS = 20, DIM = 3 };

struct fixture {
    struct och_mem own, mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct ochre_db *db;
    uint64_t contents; /* a hash of all that can be read */
};

/* --- a database with some of everything ------------------------------------------- */

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static ochre_status
open_db(struct fixture *f, struct sim_disk *disk, struct ochre_error *err)
{
    struct och_db_options options = {.mem = &f->mem,
            .vfs = sim_disk_vfs(disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .create = true,
            .engine = {.head_rows_max = HEAD_ROWS}};
    return och_db_open(&options, &f->db, err);
}

static void
close_db(struct fixture *f)
{
    och_db_close(f->db);
    f->db = NULL;
}

static struct och_target
create(struct fixture *f, const char *name)
{
    struct ochre_error err;
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    struct ochre_field field = {text("m"), {.type = OCHRE_VALUE_INT, .as.integer = 1}};
    struct ochre_metadata metadata = {&field, 1};
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &err), &err);
    struct och_create what = {.tenant = text("default_tenant"),
            .database = text("default_database"),
            .name = text(name),
            .metadata = &metadata,
            .indexes = indexes};
    check_ok(och_op_collection_create(f->db, &arena, &what, &info, &err), &err);
    och_arena_clear(&arena);
    return (struct och_target){what.tenant, what.database, info.row.id};
}

static void
add(struct fixture *f, const struct och_target *target, int first, int n)
{
    struct ochre_error err;
    char ids[64][16];
    struct ochre_bytes names[64];
    struct ochre_field fields[64];
    struct ochre_metadata metadatas[64];
    float vectors[64 * DIM];
    for (int i = 0; i < n; i++) {
        (void) snprintf(ids[i], sizeof(ids[i]), "id-%d", first + i);
        names[i] = text(ids[i]);
        fields[i] =
                (struct ochre_field){text("n"), {.type = OCHRE_VALUE_INT, .as.integer = first + i}};
        metadatas[i] = (struct ochre_metadata){&fields[i], 1};
        for (int d = 0; d < DIM; d++)
            vectors[i * DIM + d] = (float) (first + i * d);
    }
    struct och_write_input input = {.records = {.n = (size_t) n,
                                            .ids = names,
                                            .embeddings = vectors,
                                            .dim = DIM,
                                            .documents = names,
                                            .metadatas = metadatas},
            .n_embeddings = (size_t) n,
            .n_documents = (size_t) n,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = (size_t) n};
    struct och_written written;
    check_ok(och_op_write(f->db, target, OCH_WRITE_UPSERT, &input, &written, &err), &err);
}

/* A hash of every record of both collections; 0 when something cannot be read. */
static uint64_t
read_all(struct fixture *f)
{
    uint64_t hash = 1;
    struct ochre_error err;
    struct och_arena arena;
    struct och_collection_info *infos;
    size_t n_infos;
    och_arena_init(&arena, &f->own);
    ochre_status status = och_op_collection_list(f->db, &arena, text("default_tenant"),
            text("default_database"), UINT64_MAX, 0, &infos, &n_infos, &err);
    for (size_t c = 0; status == OCHRE_OK && c < n_infos; c++) {
        struct och_target target = {infos[c].row.tenant, infos[c].row.database, infos[c].row.id};
        struct och_get_input all = {.limit = UINT64_MAX, .include = ~0u};
        struct och_result *result;
        status = och_op_get(f->db, &target, &all, &result, &err);
        if (status != OCHRE_OK)
            break;
        for (size_t i = 0; i < result->lists[0].n; i++) {
            const struct ochre_hit *hit = &result->lists[0].hits[i];
            hash = hash * 31 + och_hash64(hit->id.data, hit->id.size);
            hash = hash * 31 + och_hash64(hit->document.data, hit->document.size);
            hash = hash * 31 + och_hash64(hit->embedding, DIM * sizeof(float));
            hash = hash * 31 + (uint64_t) hit->metadata.fields[0].value.as.integer;
        }
        hash = hash * 31 + infos[c].metadata.n_fields;
        och_result_release(result);
    }
    och_arena_clear(&arena);
    return status == OCHRE_OK ? hash : 0;
}

/* Two collections with segments, a delete file each, and records in the log. */
static void
begin(struct fixture *f)
{
    struct ochre_error err;
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->own, 1);
    sim_machine_init(&f->machine, 1);
    check_ok(open_db(f, f->disk, &err), &err);
    struct och_target first = create(f, "first");
    struct och_target second = create(f, "second");
    add(f, &first, 0, 20);
    add(f, &second, 0, 40);
    add(f, &first, 5, 3); /* updates: deaths in the segment */
    add(f, &second, 5, 3);
    check_ok(och_engine_seal_all(f->db->engine, &err), &err);
    add(f, &first, 100, 4);
    add(f, &second, 100, 4);
    f->contents = read_all(f);
    check(f->contents != 0);
    close_db(f);
}

static void
end(struct fixture *f)
{
    close_db(f);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0);
}

/* --- checking ------------------------------------------------------------------------ */

struct findings {
    unsigned n_notes, n_damaged;
    char paths[512];
};

static void
note_finding(void *context, const struct och_check_finding *finding)
{
    struct findings *findings = context;
    if (finding->kind == OCH_CHECK_DAMAGE)
        findings->n_damaged++;
    else
        findings->n_notes++;
    check(finding->path[0] != '\0' && finding->message[0] != '\0');
    size_t size = strlen(findings->paths);
    (void) snprintf(findings->paths + size, sizeof(findings->paths) - size, "%s ", finding->path);
}

static ochre_status
run_check(struct fixture *f, struct sim_disk *disk, struct findings *findings)
{
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_check_totals totals;
    memset(findings, 0, sizeof(*findings));
    struct och_check_options options = {.report = note_finding, .context = findings};
    ochre_status status =
            och_check_vfs(sim_disk_vfs(disk), &f->machine.machine, &options, &totals, &err);
    check(status == OCHRE_OK || (err.status == status && err.message[0] != '\0'));
    check((status == OCHRE_CORRUPT) == (totals.n_damaged > 0));
    check(totals.n_damaged == findings->n_damaged);
    return status;
}

/* Every file on the disk. */
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

static void
list_files(struct sim_disk *disk, struct files *files)
{
    memset(files, 0, sizeof(*files));
    files->vfs = sim_disk_vfs(disk);
    check(och_vfs_list(files->vfs, "", note_file, files, NULL) == OCHRE_OK);
    for (size_t i = 0; i < files->n_dirs; i++) {
        (void) snprintf(files->dir, sizeof(files->dir), "%s", files->dirs[i]);
        check(och_vfs_list(files->vfs, files->dir, note_file, files, NULL) == OCHRE_OK);
    }
    for (size_t i = 0; i < files->n; i++) {
        struct och_file *file;
        check(och_vfs_open(files->vfs, files->paths[i], OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
        check(och_file_size(file, &files->sizes[i], NULL) == OCHRE_OK);
        och_file_close(file);
    }
}

static bool
ends_with(const char *path, const char *end)
{
    size_t size = strlen(path);
    return size >= strlen(end) && strcmp(path + size - strlen(end), end) == 0;
}

/* What beside the log says how far it went is not read beside a writer, who is ahead of it. */
static ochre_status
check_without_reach(struct fixture *f, const struct sim_disk *disk)
{
    static struct findings findings;
    struct sim_disk *copy = sim_disk_clone(disk);
    ochre_status removed = och_vfs_remove(sim_disk_vfs(copy), "REACH", NULL);
    check(removed == OCHRE_OK || removed == OCHRE_NOT_FOUND);
    ochre_status status = run_check(f, copy, &findings);
    sim_disk_close(copy);
    return status;
}

/* With this damage: is it found?  If not, everything must be as it was. */
static bool
is_found_or_harmless(struct fixture *f, struct sim_disk *disk, const char *what, uint64_t offset)
{
    static struct findings findings;
    struct ochre_error err;
    /* Who does not hold the directory finds the same. */
    ochre_status beside =
            och_check_beside(sim_disk_vfs(disk), &f->machine.machine, NULL, NULL, &err);
    ochre_status status = run_check(f, disk, &findings);
    /* It takes no lock, has no look at the catalog's copy, which the writer keeps, and reads
     * the log no further than there are records. */
    bool is_unread = strcmp(what, "LOCK") == 0 || strcmp(what, "catalog.copy") == 0 ||
            (strncmp(what, "log/", 4) == 0 && offset >= 40960);
    if (status != beside && !is_unread && check_without_reach(f, disk) != beside)
        fail_msg("%s at %llu: %d, and %d beside a writer", what, (unsigned long long) offset,
                (int) status, (int) beside);
    if (status != OCHRE_OK)
        return true;
    ochre_status opened = open_db(f, disk, &err);
    uint64_t contents = opened == OCHRE_OK ? read_all(f) : 0;
    close_db(f);
    if (contents != f->contents)
        fail_msg("%s at %llu: not found, but %s", what, (unsigned long long) offset,
                opened == OCHRE_OK ? "the contents differ" : err.message);
    return false;
}

static void
a_sound_database_has_no_findings(void **state)
{
    (void) state;
    static struct fixture f;
    static struct findings findings;
    begin(&f);
    struct och_check_totals totals;
    struct ochre_error err;
    check_ok(och_check_vfs(sim_disk_vfs(f.disk), &f.machine.machine, NULL, &totals, &err), &err);
    check(totals.n_collections == 2 && totals.n_segments >= 3 && totals.n_log_records > 0);
    check(totals.n_files > 5 && totals.n_bytes > 200000 && totals.n_damaged == 0);
    check(run_check(&f, f.disk, &findings) == OCHRE_OK);
    check(findings.n_notes == 0 && findings.n_damaged == 0);
    end(&f);
}

static ochre_status
note_id(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct och_uuid *ids = context;
    (void) number;
    (void) state;
    (void) n_segments;
    ids[ids[0].bytes[0] == 0 ? 0 : 1] = id;
    return OCHRE_OK;
}

/* The catalog lists no delete files, and says that nothing died: each checksum is right, and
 * what was updated is there twice. */
static void
records_that_live_twice_are_found_deep_down(void **state)
{
    (void) state;
    static struct fixture f;
    static struct findings findings;
    struct ochre_error err;
    struct och_catalog *catalog;
    struct och_arena arena;
    struct och_uuid ids[2] = {{{0}}, {{0}}};
    begin(&f);
    struct och_check_options deep = {.report = note_finding, .context = &findings, .is_deep = true};
    check_ok(och_check_vfs(sim_disk_vfs(f.disk), &f.machine.machine, &deep, NULL, &err), &err);
    och_arena_init(&arena, &f.own);
    check_ok(och_catalog_sqlite_open(&f.mem, sim_disk_vfs(f.disk), false, &catalog, &err), &err);
    check_ok(catalog->ops->each_collection(catalog, &arena, note_id, ids, &err), &err);
    for (size_t i = 0; i < 2; i++) {
        struct och_collection_state now;
        struct och_segment_row *rows;
        size_t n;
        check_ok(catalog->ops->state_get(catalog, &arena, ids[i], &now, &rows, &n, &err), &err);
        for (size_t r = 0; r < n; r++)
            rows[r].deletes_id = rows[r].n_deleted = 0;
        check_ok(catalog->ops->state_set(catalog, ids[i], &now, rows, n, &err), &err);
    }
    catalog->ops->close(catalog);
    och_arena_clear(&arena);
    check(run_check(&f, f.disk, &findings) == OCHRE_OK && findings.n_notes == 2);
    memset(&findings, 0, sizeof(findings));
    check(och_check_vfs(sim_disk_vfs(f.disk), &f.machine.machine, &deep, NULL, &err) ==
            OCHRE_CORRUPT);
    check(findings.n_damaged == 2);
    end(&f);
}

/* A hash of a file's bytes. */
static uint64_t
hash_file(struct fixture *f, struct och_vfs *vfs, const char *path, uint64_t size)
{
    struct och_file *file;
    struct ochre_error err;
    char *bytes = och_mem_take(&f->own, size + 1);
    check(bytes != NULL);
    check_ok(och_vfs_open(vfs, path, OCH_OPEN_READ, &file, &err), &err);
    check_ok(och_file_read_all(file, 0, bytes, size, &err), &err);
    och_file_close(file);
    uint64_t hash = och_hash64(bytes, size);
    och_mem_release(&f->own, bytes, size + 1);
    return hash;
}

static void
checking_leaves_what_is_checked_as_it_is(void **state)
{
    (void) state;
    static struct fixture f;
    static struct findings findings;
    static struct files files;
    begin(&f);
    list_files(f.disk, &files);
    uint64_t before[FILES_MAX];
    for (size_t i = 0; i < files.n; i++)
        before[i] = hash_file(&f, files.vfs, files.paths[i], files.sizes[i]);
    check(run_check(&f, f.disk, &findings) == OCHRE_OK);
    for (size_t i = 0; i < files.n; i++) {
        bool apart = strcmp(files.paths[i], "LOCK") == 0 || ends_with(files.paths[i], "-journal");
        check(apart || before[i] == hash_file(&f, files.vfs, files.paths[i], files.sizes[i]));
    }
    end(&f);
}

/* One bit anywhere. */
static void
every_flipped_bit_is_found_or_harmless(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    uint64_t seed = 4;
    begin(&f);
    list_files(f.disk, &files);
    for (size_t i = 0; i < files.n; i++) {
        bool log = strncmp(files.paths[i], "log/", 4) == 0;
        unsigned n_found = 0;
        unsigned n_tried = 0;
        uint64_t used = log && files.sizes[i] > 40960 ? 40960 : files.sizes[i];
        unsigned wanted = ends_with(files.paths[i], ".del") || ends_with(files.paths[i], "FORMAT")
                ? 400
                : 150;
        for (unsigned n = 0; n < wanted && used > 0; n++, n_tried++) {
            uint64_t offset = och_random_below(&seed, used);
            struct sim_disk *disk = sim_disk_clone(f.disk);
            check(sim_disk_flip(disk, files.paths[i], offset, (unsigned) (n % 8)));
            n_found += is_found_or_harmless(&f, disk, files.paths[i], offset);
            sim_disk_close(disk);
        }
        /* In these every bit is covered. */
        if (ends_with(files.paths[i], ".seg") || ends_with(files.paths[i], ".del") ||
                ends_with(files.paths[i], "FORMAT"))
            check(n_found == n_tried);
        /* Every page but for what SQLite leaves of it counts. */
        if (ends_with(files.paths[i], "catalog.db"))
            check(n_found == n_tried);
        if (log)
            check(n_found > 0);
    }
    end(&f);
}

static void
every_missing_file_is_found(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    begin(&f);
    list_files(f.disk, &files);
    for (size_t i = 0; i < files.n; i++) {
        struct sim_disk *disk = sim_disk_clone(f.disk);
        check(och_vfs_remove(sim_disk_vfs(disk), files.paths[i], NULL) == OCHRE_OK);
        /* A lock, an empty journal and a file of mere space say nothing; what the copy says,
         * the catalog says too; and where the log is whole nothing asks how far it reaches. */
        bool matters = strcmp(files.paths[i], "LOCK") != 0 &&
                strcmp(files.paths[i], "RESERVE") != 0 && strcmp(files.paths[i], "REACH") != 0 &&
                strcmp(files.paths[i], "catalog.copy") != 0 &&
                !ends_with(files.paths[i], "-journal");
        if (!is_found_or_harmless(&f, disk, files.paths[i], 0) && matters)
            fail_msg("without %s", files.paths[i]);
        sim_disk_close(disk);
    }
    end(&f);
}

static void
every_cut_file_is_found_or_harmless(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    struct ochre_error err;
    begin(&f);
    list_files(f.disk, &files);
    for (size_t i = 0; i < files.n; i++) {
        const uint64_t sizes[] = {0, 1, files.sizes[i] / 2, files.sizes[i] - 1};
        for (size_t s = 0; s < 4 && files.sizes[i] > 1; s++) {
            struct sim_disk *disk = sim_disk_clone(f.disk);
            struct och_file *file;
            check_ok(och_vfs_open(sim_disk_vfs(disk), files.paths[i], OCH_OPEN_WRITE, &file, &err),
                    &err);
            check_ok(och_file_truncate(file, sizes[s], &err), &err);
            och_file_close(file);
            bool found = is_found_or_harmless(&f, disk, files.paths[i], sizes[s]);
            if (ends_with(files.paths[i], ".seg") || ends_with(files.paths[i], ".del"))
                check(found);
            sim_disk_close(disk);
        }
    }
    end(&f);
}

static void
files_put_in_each_others_place_are_found(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    struct ochre_error err;
    unsigned n_pairs = 0;
    begin(&f);
    list_files(f.disk, &files);
    for (size_t a = 0; a < files.n; a++) {
        for (size_t b = a + 1; b < files.n; b++) {
            const char *suffix = ends_with(files.paths[a], ".seg") ? ".seg" : ".del";
            if (!ends_with(files.paths[a], suffix) || !ends_with(files.paths[b], suffix))
                continue;
            struct sim_disk *disk = sim_disk_clone(f.disk);
            struct och_vfs *vfs = sim_disk_vfs(disk);
            check_ok(och_vfs_rename(vfs, files.paths[a], "seg/aside", &err), &err);
            check_ok(och_vfs_rename(vfs, files.paths[b], files.paths[a], &err), &err);
            check_ok(och_vfs_rename(vfs, "seg/aside", files.paths[b], &err), &err);
            check(is_found_or_harmless(&f, disk, files.paths[a], b));
            n_pairs++;
            sim_disk_close(disk);
        }
    }
    check(n_pairs >= 3);
    end(&f);
}

static void
strange_files_are_noted_and_no_damage(void **state)
{
    (void) state;
    static struct fixture f;
    static struct findings findings;
    static struct files files;
    struct ochre_error err;
    begin(&f);
    list_files(f.disk, &files);
    const char *dir = NULL;
    for (size_t i = 0; i < files.n_dirs; i++)
        if (strncmp(files.dirs[i], "seg/", 4) == 0)
            dir = files.dirs[i];
    check(dir != NULL);
    char path[NAME_SIZE + 32];
    (void) snprintf(path, sizeof(path), "%s/00000000000000ff.seg", dir);
    struct och_vfs *vfs = sim_disk_vfs(f.disk);
    struct och_file *file;
    check_ok(och_vfs_open(vfs, path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &err), &err);
    och_file_close(file);
    check_ok(och_vfs_open(vfs, "seg/note", OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &err), &err);
    och_file_close(file);
    check_ok(och_vfs_mkdir(vfs, "seg/11111111-1111-4111-8111-111111111111", &err), &err);
    check(run_check(&f, f.disk, &findings) == OCHRE_OK);
    check(findings.n_notes == 3 && strstr(findings.paths, "00000000000000ff.seg") != NULL);
    end(&f);
}

/* What no checksum tells: the catalog and the files do not agree. */
static ochre_status
alter_state(struct fixture *f, struct sim_disk *disk, int how)
{
    struct ochre_error err;
    struct och_catalog *catalog;
    struct och_arena arena;
    struct och_collection_row row;
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n;
    och_arena_init(&arena, &f->own);
    check_ok(och_catalog_sqlite_open(&f->own, sim_disk_vfs(disk), false, &catalog, &err), &err);
    check_ok(catalog->ops->collection_by_name(catalog, &arena, text("default_tenant"),
                     text("default_database"), text("second"), &row, &err),
            &err);
    check_ok(catalog->ops->state_get(catalog, &arena, row.id, &state, &rows, &n, &err), &err);
    check(n >= 2);
    struct och_segment_row exchanged = rows[0];
    switch (how) {
    case 0:
        rows[0].n_rows++;
        break;
    case 1:
        rows[0].file_hash ^= 1;
        break;
    case 2:
        rows[0].file_size++;
        break;
    case 3:
        rows[0].n_deleted++;
        break;
    case 4:
        rows[0].deletes_id++;
        break;
    case 5:
        rows[0].id += 100;
        break;
    case 6:
        state.dim++;
        break;
    case 7:
        rows[0] = rows[1];
        rows[1] = exchanged;
        rows[0].id = exchanged.id;
        break;
    case 8:
        state.lsn += 1000000;
        break;
    case 9:
        state.keys = (struct ochre_bytes){"nonsense", 8};
        break;
    case 10:
        state.next_ordinal = 1;
        break;
    default:
        fail();
    }
    ochre_status status = catalog->ops->state_set(catalog, row.id, &state, rows, n, &err);
    catalog->ops->close(catalog);
    och_arena_clear(&arena);
    return status;
}

static void
a_catalog_that_disagrees_with_its_files_is_found(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    for (int how = 0; how <= 10; how++) {
        static struct findings findings;
        struct sim_disk *disk = sim_disk_clone(f.disk);
        ochre_status set = alter_state(&f, disk, how);
        if (set == OCHRE_OK && run_check(&f, disk, &findings) != OCHRE_CORRUPT)
            fail_msg("alteration %d was not found", how);
        sim_disk_close(disk);
    }
    end(&f);
}

/* The catalog of an earlier day, files and log of today. */
static void
an_old_catalog_is_found(void **state)
{
    (void) state;
    static struct fixture f;
    static struct findings findings;
    struct ochre_error err;
    begin(&f);
    struct sim_disk *old = sim_disk_clone(f.disk);
    check_ok(open_db(&f, f.disk, &err), &err);
    check_ok(och_op_collection_delete(
                     f.db, text("default_tenant"), text("default_database"), text("second"), &err),
            &err);
    close_db(&f);
    struct och_file *from;
    struct och_file *to;
    uint64_t size;
    check_ok(och_vfs_open(sim_disk_vfs(old), "catalog.db", OCH_OPEN_READ, &from, &err), &err);
    check_ok(och_vfs_open(sim_disk_vfs(f.disk), "catalog.db", OCH_OPEN_WRITE, &to, &err), &err);
    check_ok(och_file_size(from, &size, &err), &err);
    char *bytes = och_mem_take(&f.own, size);
    check(bytes != NULL);
    check_ok(och_file_read_all(from, 0, bytes, size, &err), &err);
    check_ok(och_file_truncate(to, 0, &err), &err);
    check_ok(och_file_write(to, 0, bytes, size, &err), &err);
    och_mem_release(&f.own, bytes, size);
    och_file_close(from);
    och_file_close(to);
    sim_disk_close(old);
    check(run_check(&f, f.disk, &findings) == OCHRE_CORRUPT);
    check(strstr(findings.paths, "catalog.db") != NULL);
    end(&f);
}

static void
a_database_in_use_is_checked_beside_its_process(void **state)
{
    (void) state;
    static struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(open_db(&f, f.disk, &err), &err);
    check(och_check_vfs(sim_disk_vfs(f.disk), &f.machine.machine, NULL, NULL, &err) == OCHRE_BUSY);
    static struct files files;
    struct och_check_totals totals;
    uint64_t before[FILES_MAX];
    list_files(f.disk, &files);
    for (size_t i = 0; i < files.n; i++)
        before[i] = hash_file(&f, files.vfs, files.paths[i], files.sizes[i]);
    check_ok(och_check_beside(sim_disk_vfs(f.disk), &f.machine.machine, NULL, &totals, &err), &err);
    check(totals.n_collections == 2 && totals.n_segments >= 3 && totals.n_log_records > 0);
    for (size_t i = 0; i < files.n; i++)
        check(before[i] == hash_file(&f, files.vfs, files.paths[i], files.sizes[i]));
    close_db(&f);
    struct sim_disk *empty = sim_disk_open(&f.own, 1);
    check(och_check_vfs(sim_disk_vfs(empty), &f.machine.machine, NULL, NULL, &err) ==
            OCHRE_INVALID);
    sim_disk_close(empty);
    end(&f);
}

static void
a_disk_that_fails_leaves_the_question_open(void **state)
{
    (void) state;
    static struct fixture f;
    static struct findings findings;
    begin(&f);
    bool failed = true;
    unsigned n_points = 0;
    for (uint64_t n = 1; failed; n++) {
        struct sim_disk *disk = sim_disk_clone(f.disk);
        sim_disk_fail(disk, n, SIM_IO_ONCE);
        ochre_status status = run_check(&f, disk, &findings);
        failed = sim_disk_has_failed(disk);
        check(failed ? status == OCHRE_IO || status == OCHRE_OK : status == OCHRE_OK);
        n_points += failed && status == OCHRE_IO;
        sim_disk_close(disk);
    }
    check(n_points > 20);
    end(&f);
}

static void
a_real_directory_is_checked_by_its_path(void **state)
{
    (void) state;
    char path[] = "/tmp/ochre-check-XXXXXX";
    struct ochre_error err;
    struct och_check_totals totals;
    check(mkdtemp(path) != NULL);
    check(och_check_directory(path, NULL, &totals, &err) == OCHRE_INVALID);
    char lock[64];
    (void) snprintf(lock, sizeof(lock), "%s/LOCK", path);
    (void) remove(lock);
    check(rmdir(path) == 0);
    check(och_check_directory(path, NULL, &totals, &err) == OCHRE_NOT_FOUND);
    check(totals.n_files == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_sound_database_has_no_findings),
            cmocka_unit_test(records_that_live_twice_are_found_deep_down),
            cmocka_unit_test(checking_leaves_what_is_checked_as_it_is),
            cmocka_unit_test(every_flipped_bit_is_found_or_harmless),
            cmocka_unit_test(every_missing_file_is_found),
            cmocka_unit_test(every_cut_file_is_found_or_harmless),
            cmocka_unit_test(files_put_in_each_others_place_are_found),
            cmocka_unit_test(strange_files_are_noted_and_no_damage),
            cmocka_unit_test(a_catalog_that_disagrees_with_its_files_is_found),
            cmocka_unit_test(an_old_catalog_is_found),
            cmocka_unit_test(a_database_in_use_is_checked_beside_its_process),
            cmocka_unit_test(a_disk_that_fails_leaves_the_question_open),
            cmocka_unit_test(a_real_directory_is_checked_by_its_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
