/*
 * test_backup_stream.c - a database comes out of a stream as it went in, or not at all:
 * every cut, every bit, every crash, every failing call, every refused allocation, and
 * another restore at every call.
 */
#include <stdio.h>
#include <string.h>

#include "api/backup_stream.h"
#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "sim/sim_watch.h"
#include "storage/backup_manifest.h"
#include "storage/backup_stream.h"
#include "support/check.h"

enum { DIM = 3, HEAD_ROWS = 20, ROWS_MAX = 64, STREAM_MAX = 8 << 20 };

struct fixture {
    struct och_mem own, mem;
    struct sim_machine machine;
    struct och_backup_options options;
    struct sim_disk *source; /* the database */
    struct och_target target, fork;
    struct och_buf stream; /* of it */
    unsigned n_unsaid;     /* restores that had only not said that they were done */
    struct ochre_error err;
};

/* --- a database -------------------------------------------------------------- */

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static struct ochre_db *
open_db(struct fixture *f, struct sim_disk *disk)
{
    struct ochre_db *db = NULL;
    struct och_db_options options = {.mem = &f->own,
            .vfs = sim_disk_vfs(disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .create = true,
            .engine = {.head_rows_max = HEAD_ROWS}};
    return och_db_open(&options, &db, &f->err) == OCHRE_OK ? db : NULL;
}

static void
create(struct fixture *f, struct ochre_db *db)
{
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &f->err), &f->err);
    struct och_create what = {.tenant = text("default_tenant"),
            .database = text("default_database"),
            .name = text("things"),
            .indexes = indexes};
    check_ok(och_op_collection_create(db, &arena, &what, &info, &f->err), &f->err);
    f->target = (struct och_target){what.tenant, what.database, info.row.id};
    och_arena_clear(&arena);
}

static void
fork_it(struct fixture *f, struct ochre_db *db)
{
    struct och_arena arena;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    check_ok(och_op_collection_fork(db, &arena, &f->target, text("forked"), &info, &f->err),
            &f->err);
    f->fork = (struct och_target){f->target.tenant, f->target.database, info.row.id};
    och_arena_clear(&arena);
}

static void
add(struct fixture *f, struct ochre_db *db, int first, int n)
{
    char ids[ROWS_MAX][16];
    struct ochre_bytes names[ROWS_MAX];
    float vectors[ROWS_MAX * DIM];
    check(n <= ROWS_MAX);
    for (int i = 0; i < n; i++) {
        (void) snprintf(ids[i], sizeof(ids[i]), "id-%d", first + i);
        names[i] = text(ids[i]);
        for (int d = 0; d < DIM; d++)
            vectors[i * DIM + d] = (float) (first + i * d);
    }
    struct och_write_input input = {.records = {.n = (size_t) n,
                                            .ids = names,
                                            .embeddings = vectors,
                                            .dim = DIM,
                                            .documents = names},
            .n_embeddings = (size_t) n,
            .n_documents = (size_t) n,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = OCH_NOT_GIVEN};
    struct och_written written;
    check_ok(och_op_write(db, &f->target, OCH_WRITE_UPSERT, &input, &written, &f->err), &f->err);
}

static uint64_t
hash_collection(struct fixture *f, struct ochre_db *db, const struct och_target *target)
{
    uint64_t hash = 1;
    struct och_get_input all = {.limit = UINT64_MAX, .include = ~0u};
    struct och_result *result;
    check_ok(och_op_get(db, target, &all, &result, &f->err), &f->err);
    for (size_t i = 0; i < result->lists[0].n; i++) {
        const struct ochre_hit *hit = &result->lists[0].hits[i];
        hash = hash * 31 + och_hash64(hit->id.data, hit->id.size);
        hash = hash * 31 + och_hash64(hit->document.data, hit->document.size);
        hash = hash * 31 + och_hash64(hit->embedding, DIM * sizeof(float));
    }
    och_result_release(result);
    return hash;
}

/* A hash of every record of both collections. */
static uint64_t
hash_of(struct fixture *f, struct ochre_db *db)
{
    return hash_collection(f, db, &f->target) * 31 + hash_collection(f, db, &f->fork);
}

/* That of the database on this disk. */
static uint64_t
contents_of(struct fixture *f, struct sim_disk *disk)
{
    struct ochre_db *db = open_db(f, disk);
    check(db != NULL);
    uint64_t hash = hash_of(f, db);
    och_db_close(db);
    return hash;
}

/* Two collections that share files, and records in the log. */
static void
begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    sim_machine_init(&f->machine, 1);
    f->options = (struct och_backup_options){.mem = &f->mem, .machine = &f->machine.machine};
    f->source = sim_disk_open(&f->own, 1);
    och_buf_init(&f->stream, &f->own, STREAM_MAX);
    struct ochre_db *db = open_db(f, f->source);
    check(db != NULL);
    create(f, db);
    add(f, db, 0, 30);
    fork_it(f, db);
    add(f, db, 2, 5);
    och_db_close(db);
}

static void
end(struct fixture *f)
{
    och_buf_clear(&f->stream);
    sim_disk_close(f->source);
    check(och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0);
}

/* --- there and back -------------------------------------------------------------- */

/* Read all of a stream, in pieces of `piece` bytes at most. */
static ochre_status
drain(struct fixture *f, struct och_backup_stream *stream, size_t piece)
{
    static char bytes[65536];
    size_t n = 1;
    check(piece <= sizeof(bytes));
    och_buf_reset(&f->stream);
    ochre_status status = OCHRE_OK;
    while (status == OCHRE_OK && n > 0) {
        status = och_backup_stream_read(stream, bytes, piece, &n, &f->err);
        if (status == OCHRE_OK)
            och_buf_put(&f->stream, bytes, n);
    }
    check(och_buf_status(&f->stream) == OCHRE_OK);
    check(status != OCHRE_OK || f->stream.size == och_backup_stream_size(stream));
    return status;
}

/* Of the directory, in use or not. */
static ochre_status
back_up(struct fixture *f, size_t piece)
{
    struct och_backup_stream *stream = NULL;
    ochre_status status =
            och_backup_stream_open(&f->options, sim_disk_vfs(f->source), &stream, &f->err);
    check((status == OCHRE_OK) == (stream != NULL));
    if (status == OCHRE_OK)
        status = drain(f, stream, piece);
    och_backup_stream_close(stream);
    return status;
}

struct input {
    const char *bytes;
    size_t size, at;
};

static ochre_status
read_input(void *context, void *bytes, size_t size, size_t *n_read_out, struct ochre_error *err)
{
    struct input *input = context;
    (void) err;
    size_t left = input->size - input->at;
    *n_read_out = size < left ? size : left;
    if (*n_read_out > 0)
        memcpy(bytes, input->bytes + input->at, *n_read_out);
    input->at += *n_read_out;
    return OCHRE_OK;
}

static ochre_status
restore_bytes_at(struct fixture *f, const char *bytes, size_t size, struct och_vfs *to)
{
    struct input from = {.bytes = bytes, .size = size};
    const struct och_backup_input input = {.read = read_input, .context = &from};
    struct och_backup_totals totals;
    f->err = (struct ochre_error){.status = OCHRE_OK};
    return och_restore_stream_vfs(&f->options, &input, to, &totals, &f->err);
}

static ochre_status
restore_bytes(struct fixture *f, const char *bytes, size_t size, struct sim_disk *to)
{
    return restore_bytes_at(f, bytes, size, sim_disk_vfs(to));
}

static ochre_status
restore(struct fixture *f, struct sim_disk *to)
{
    return restore_bytes(f, f->stream.data, f->stream.size, to);
}

static ochre_status
refuse_any(void *context, const char *name, bool is_dir)
{
    (void) context;
    (void) name;
    (void) is_dir;
    return OCHRE_EXISTS;
}

static bool
is_empty(struct sim_disk *disk)
{
    return och_vfs_list(sim_disk_vfs(disk), "", refuse_any, NULL, NULL) == OCHRE_OK;
}

static ochre_status
refuse_all_but_the_mark(void *context, const char *name, bool is_dir)
{
    bool is_held = strcmp(name, "RESTORING") == 0 || strcmp(name, "LOCK") == 0;
    return is_held ? OCHRE_OK : refuse_any(context, name, is_dir);
}

/* A mark and a LOCK that could not be locked may stay: they are no files of a database. */
static bool
is_as_good_as_empty(struct sim_disk *disk)
{
    return och_vfs_list(sim_disk_vfs(disk), "", refuse_all_but_the_mark, NULL, NULL) == OCHRE_OK;
}

/* What comes out of the stream at hand. */
static uint64_t
contents_restored(struct fixture *f)
{
    struct sim_disk *disk = sim_disk_open(&f->own, 2);
    check_ok(restore(f, disk), &f->err);
    check_ok(och_check_vfs(sim_disk_vfs(disk), &f->machine.machine, NULL, NULL, &f->err), &f->err);
    uint64_t hash = contents_of(f, disk);
    sim_disk_close(disk);
    return hash;
}

static void
what_is_restored_is_what_was_streamed(void **state)
{
    (void) state;
    static struct fixture f;
    static const size_t pieces[] = {65536, 4093, 7, 1};
    begin(&f);
    uint64_t contents = contents_of(&f, f.source);
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        atomic_store(&f.machine.elapsed_ns, 0); /* when it was made is in it */
        check_ok(back_up(&f, pieces[i]), &f.err);
        uint64_t seen = och_hash64(f.stream.data, f.stream.size);
        check(i == 0 || seen == hash); /* the same bytes, however they are read */
        hash = seen;
        check(contents_restored(&f) == contents);
    }
    end(&f);
}

/* Forks share files: each contents is in the stream once. */
static void
shared_files_are_streamed_once(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_stream *stream = NULL;
    begin(&f);
    check_ok(och_backup_stream_open(&f.options, sim_disk_vfs(f.source), &stream, &f.err), &f.err);
    check_ok(drain(&f, stream, 65536), &f.err);
    struct och_backup_totals totals = och_backup_stream_totals(stream);
    check(totals.n_files_copied + 1 == totals.n_files);
    check(totals.n_bytes_copied < totals.n_bytes && totals.n_bytes_copied < f.stream.size);
    och_backup_stream_close(stream);
    end(&f);
}

/* --- a database in use ---------------------------------------------------------- */

static void
change_it(struct fixture *f, struct ochre_db *db, int first)
{
    add(f, db, first, 25);
    add(f, db, 0, 7);
    check_ok(och_engine_seal_all(db->engine, &f->err), &f->err);
    struct och_collection *collection = och_engine_loaded(db->engine, f->target.id);
    check(collection != NULL);
    check_ok(och_engine_compact(db->engine, collection, &f->err), &f->err);
    och_collection_release(collection);
}

/* Segments and log files go out of use while the stream is read; it has them as they were. */
static void
a_database_in_use_is_streamed_as_it_was(void **state)
{
    (void) state;
    static struct fixture f;
    static char bytes[5000];
    begin(&f);
    struct ochre_db *db = open_db(&f, f.source);
    check(db != NULL);
    add(&f, db, 200, 30);
    uint64_t contents = hash_of(&f, db);
    struct och_backup_stream *stream = NULL;
    check_ok(och_backup_stream_open_database(&f.options, db, &stream, &f.err), &f.err);
    size_t n = 1;
    for (int i = 0; n > 0; i++) {
        check_ok(och_backup_stream_read(stream, bytes, sizeof(bytes), &n, &f.err), &f.err);
        och_buf_put(&f.stream, bytes, n);
        if (i < 10)
            change_it(&f, db, 1000 + 30 * i);
    }
    check(f.stream.size == och_backup_stream_size(stream));
    check(db->engine->n_holds == 1);
    och_backup_stream_close(stream);
    check(db->engine->n_holds == 0);
    uint64_t changed = hash_of(&f, db);
    check(changed != contents);
    och_db_close(db);
    check(contents_restored(&f) == contents && contents_of(&f, f.source) == changed);
    end(&f);
}

static void
a_directory_is_streamed_beside_the_process_that_has_it(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    struct ochre_db *db = open_db(&f, f.source);
    check(db != NULL);
    add(&f, db, 200, 30);
    uint64_t contents = hash_of(&f, db);
    check_ok(back_up(&f, 65536), &f.err);
    add(&f, db, 300, 30);
    och_db_close(db);
    check(contents_restored(&f) == contents);
    end(&f);
}

static void
few_streams_of_a_database_are_open_at_a_time(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_stream *streams[OCH_BACKUP_STREAMS_MAX] = {NULL};
    struct och_backup_stream *more = NULL;
    begin(&f);
    struct ochre_db *db = open_db(&f, f.source);
    check(db != NULL);
    uint64_t contents = hash_of(&f, db);
    for (size_t i = 0; i < OCH_BACKUP_STREAMS_MAX; i++)
        check_ok(och_backup_stream_open_database(&f.options, db, &streams[i], &f.err), &f.err);
    check(och_backup_stream_open_database(&f.options, db, &more, &f.err) == OCHRE_BUSY);
    check(more == NULL);
    for (size_t i = 0; i < OCH_BACKUP_STREAMS_MAX; i++) {
        check_ok(drain(&f, streams[i], 65536), &f.err);
        och_backup_stream_close(streams[i]);
    }
    check_ok(och_backup_stream_open_database(&f.options, db, &more, &f.err), &f.err);
    och_backup_stream_close(more);
    och_db_close(db);
    check(contents_restored(&f) == contents);
    end(&f);
}

static void
told_to_stop_it_stops(void **state)
{
    (void) state;
    static struct fixture f;
    char byte;
    size_t n;
    atomic_bool stop;
    struct och_backup_stream *stream = NULL;
    begin(&f);
    atomic_init(&stop, false);
    f.options.stop = &stop;
    check_ok(och_backup_stream_open(&f.options, sim_disk_vfs(f.source), &stream, &f.err), &f.err);
    check_ok(och_backup_stream_read(stream, &byte, 1, &n, &f.err), &f.err);
    atomic_store(&stop, true);
    check(och_backup_stream_read(stream, &byte, 1, &n, &f.err) == OCHRE_UNAVAILABLE);
    och_backup_stream_close(stream);
    check(back_up(&f, 4096) == OCHRE_UNAVAILABLE);
    end(&f);
}

/* --- what is refused --------------------------------------------------------------- */

/* Refused, with nothing left. */
static void
check_refused(struct fixture *f, const char *bytes, size_t size)
{
    struct sim_disk *target = sim_disk_open(&f->own, 4);
    ochre_status status = restore_bytes(f, bytes, size, target);
    check(status == OCHRE_CORRUPT || status == OCHRE_INVALID);
    check(f->err.message[0] != '\0' && is_empty(target));
    sim_disk_close(target);
}

static void
a_cut_stream_leaves_nothing(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    check_ok(back_up(&f, 65536), &f.err);
    for (size_t size = 0; size < f.stream.size; size += size < 1200 ? 1 : 4001)
        check_refused(&f, f.stream.data, size);
    for (size_t n = 1; n < 40; n++)
        check_refused(&f, f.stream.data, f.stream.size - n);
    end(&f);
}

static void
any_damaged_bit_is_refused(void **state)
{
    (void) state;
    static struct fixture f;
    uint64_t seed = 5;
    begin(&f);
    check_ok(back_up(&f, 65536), &f.err);
    for (size_t at = 0; at < f.stream.size; at += at < 1200 ? 1 : 1 + och_random(&seed) % 8000) {
        char bit = (char) (1 << och_random(&seed) % 8);
        f.stream.data[at] ^= bit;
        check_refused(&f, f.stream.data, f.stream.size);
        f.stream.data[at] ^= bit;
    }
    for (size_t n = 1; n <= OCH_BACKUP_STREAM_END_SIZE; n++) {
        f.stream.data[f.stream.size - n] ^= 1;
        check_refused(&f, f.stream.data, f.stream.size);
        f.stream.data[f.stream.size - n] ^= 1;
    }
    end(&f);
}

static void
what_follows_the_end_is_refused(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    check_ok(back_up(&f, 65536), &f.err);
    size_t size = f.stream.size;
    och_buf_put_u8(&f.stream, 0);
    check_refused(&f, f.stream.data, f.stream.size);
    f.stream.size = size;
    struct och_buf twice;
    och_buf_init(&twice, &f.own, 2 * STREAM_MAX);
    och_buf_put(&twice, f.stream.data, size);
    och_buf_put(&twice, f.stream.data, size);
    check_refused(&f, twice.data, twice.size);
    och_buf_clear(&twice);
    end(&f);
}

static void
other_directories_are_left_alone(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    uint64_t contents = contents_of(&f, f.source);
    check_ok(back_up(&f, 65536), &f.err);
    check(restore(&f, f.source) == OCHRE_EXISTS);
    check(contents_of(&f, f.source) == contents);
    struct sim_disk *other = sim_disk_open(&f.own, 4);
    struct och_file *file = NULL;
    check_ok(och_vfs_open(sim_disk_vfs(other), "letter", OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file,
                     &f.err),
            &f.err);
    och_file_close(file);
    check(restore(&f, other) == OCHRE_EXISTS && !is_empty(other));
    check_ok(och_vfs_remove(sim_disk_vfs(other), "letter", &f.err), &f.err);
    check(is_empty(other));
    struct och_backup_stream *stream = NULL;
    check(och_backup_stream_open(&f.options, sim_disk_vfs(other), &stream, &f.err) ==
            OCHRE_INVALID);
    sim_disk_close(other);
    end(&f);
}

/* A manifest of `size` bytes that are not there takes no memory. */
static void
a_lying_head_takes_no_memory(void **state)
{
    (void) state;
    static struct fixture f;
    char head[OCH_BACKUP_STREAM_HEAD_SIZE];
    uint64_t size = 0;
    begin(&f);
    och_backup_stream_put_head(OCH_BACKUP_MANIFEST_SIZE_MAX, head);
    check_ok(och_backup_stream_get_head(head, &size, &f.err), &f.err);
    check(size == OCH_BACKUP_MANIFEST_SIZE_MAX);
    f.mem.limit = 8 << 20;
    check_refused(&f, head, sizeof(head));
    och_backup_stream_put_head((uint64_t) OCH_BACKUP_MANIFEST_SIZE_MAX + 1, head);
    check(och_backup_stream_get_head(head, &size, &f.err) == OCHRE_TOO_LARGE);
    end(&f);
}

/* --- crashes, failures, no memory -------------------------------------------------- */

static bool
exists(struct sim_disk *disk, const char *path)
{
    bool there;
    check(och_vfs_exists(sim_disk_vfs(disk), path, &there, NULL) == OCHRE_OK);
    return there;
}

/* Crash before the n-th call: there is a whole database, or none, and the next restore
 * makes one. */
static bool
survives_crash(struct fixture *f, uint64_t n, enum sim_mode mode, uint64_t contents)
{
    struct sim_disk *trial = sim_disk_open(&f->own, n);
    sim_disk_crash(trial, n, SIM_BEFORE);
    ochre_status status = restore(f, trial);
    bool crashed = sim_disk_has_crashed(trial);
    check(status == OCHRE_OK || crashed);
    sim_disk_recover(trial, mode, n);
    bool whole;
    check(och_vfs_exists(sim_disk_vfs(trial), "FORMAT", &whole, NULL) == OCHRE_OK);
    check(whole || status != OCHRE_OK);
    /* Whoever restored did not say that it was done, unless the mark is gone. */
    bool marked = exists(trial, "RESTORING");
    f->n_unsaid += whole && marked;
    if (!whole || marked)
        check_ok(restore(f, trial), &f->err);
    else
        check(restore(f, trial) == OCHRE_EXISTS);
    check(!exists(trial, "RESTORING"));
    check(contents_of(f, trial) == contents);
    sim_disk_close(trial);
    return crashed;
}

static void
a_crash_leaves_no_half_database(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    uint64_t contents = contents_of(&f, f.source);
    check_ok(back_up(&f, 65536), &f.err);
    bool crashed = true;
    uint64_t n = 0;
    while (crashed) {
        n++;
        for (int mode = 0; mode < SIM_N_MODES; mode++)
            crashed = survives_crash(&f, n, (enum sim_mode) mode, contents);
    }
    check(n > 30 && f.n_unsaid > 0);
    end(&f);
}

static void
a_failing_call_leaves_nothing(void **state)
{
    (void) state;
    static struct fixture f;
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_FULL_ONCE};
    begin(&f);
    uint64_t contents = contents_of(&f, f.source);
    check_ok(back_up(&f, 65536), &f.err);
    for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
        bool failed = true;
        uint64_t n = 0;
        while (failed) {
            n++;
            struct sim_disk *target = sim_disk_open(&f.own, n);
            sim_disk_fail(target, n, faults[k]);
            ochre_status status = restore(&f, target);
            failed = sim_disk_has_failed(target);
            check((status == OCHRE_OK) == !failed);
            check(!failed || status == OCHRE_IO || status == OCHRE_FULL);
            check(!failed || is_as_good_as_empty(target));
            sim_disk_fail(target, 0, faults[k]);
            if (failed)
                check_ok(restore(&f, target), &f.err);
            check(contents_of(&f, target) == contents);
            sim_disk_close(target);
        }
        check(n > 10);
    }
    end(&f);
}

/* A disk that is full, or fails, from some call on: nothing that opens, and nothing lost
 * but time once it works again. */
static void
a_disk_that_goes_on_failing_leaves_nothing_that_opens(void **state)
{
    (void) state;
    static struct fixture f;
    static const enum sim_fault faults[] = {SIM_IO_FROM, SIM_FULL_FROM};
    begin(&f);
    uint64_t contents = contents_of(&f, f.source);
    check_ok(back_up(&f, 65536), &f.err);
    for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct sim_disk *target = sim_disk_open(&f.own, n);
            sim_disk_fail(target, n, faults[k]);
            ochre_status status = restore(&f, target);
            failed = sim_disk_has_failed(target);
            check((status == OCHRE_OK) == !failed);
            sim_disk_fail(target, 0, faults[k]);
            bool whole;
            check(och_vfs_exists(sim_disk_vfs(target), "FORMAT", &whole, NULL) == OCHRE_OK);
            if (!whole)
                check_ok(restore(&f, target), &f.err);
            check(contents_of(&f, target) == contents);
            sim_disk_close(target);
        }
    }
    end(&f);
}

static void
a_failing_read_of_the_database_is_an_error(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    struct ochre_db *db = open_db(&f, f.source);
    check(db != NULL);
    uint64_t contents = hash_of(&f, db);
    bool failed = true;
    uint64_t n = 0;
    while (failed) {
        n++;
        struct och_backup_stream *stream = NULL;
        sim_disk_fail(f.source, n, SIM_IO_ONCE);
        ochre_status status = och_backup_stream_open_database(&f.options, db, &stream, &f.err);
        if (status == OCHRE_OK)
            status = drain(&f, stream, 65536);
        och_backup_stream_close(stream);
        failed = sim_disk_has_failed(f.source);
        /* Some reads are tried again, in parts. */
        check(status == OCHRE_OK || failed);
        check(status != OCHRE_OK || contents_restored(&f) == contents);
        sim_disk_fail(f.source, 0, SIM_IO_ONCE);
        check(db->engine->n_holds == 0 && db->n_streams == 0);
    }
    check(n > 10 && hash_of(&f, db) == contents);
    och_db_close(db);
    end(&f);
}

/* --- two at a time ---------------------------------------------------------------- */

/* What another process does at the n-th call of a restore. */
struct other {
    struct fixture *f;
    struct sim_disk *disk;
    uint64_t n_left; /* calls until then; 0: it is done */
    void (*act)(struct other *other);
    struct och_file *mark, *lock; /* held by a restore that is about to make FORMAT */
    struct sim_disk *before;      /* a copy, as long as there is no FORMAT */
    ochre_status status;
};

static ochre_status
act_at_call(void *context, bool changes, struct ochre_error *err)
{
    struct other *other = context;
    (void) changes;
    (void) err;
    if (other->n_left > 0 && --other->n_left == 0)
        other->act(other);
    return OCHRE_OK;
}

/* Restore the stream at hand to a disk whose calls are watched. */
static ochre_status
restore_watched(struct fixture *f, struct sim_disk *disk, sim_watch_before before, void *context)
{
    struct sim_watch *watch = sim_watch_open(sim_disk_vfs(disk), before, context);
    ochre_status status = restore_bytes_at(f, f->stream.data, f->stream.size, sim_watch_vfs(watch));
    sim_watch_close(watch);
    return status;
}

static void
restore_all(struct other *other)
{
    struct ochre_error err = other->f->err;
    other->status = restore(other->f, other->disk);
    other->f->err = err;
}

static ochre_status
copy_without_format(void *context, bool changes, struct ochre_error *err)
{
    struct other *other = context;
    (void) changes;
    (void) err;
    if (exists(other->disk, "FORMAT"))
        return OCHRE_OK;
    sim_disk_close(other->before);
    other->before = sim_disk_clone(other->disk);
    return OCHRE_OK;
}

static struct och_file *
lock_file(struct fixture *f, struct sim_disk *disk, const char *path)
{
    struct och_file *file = NULL;
    check_ok(och_vfs_open(sim_disk_vfs(disk), path, OCH_OPEN_WRITE, &file, &f->err), &f->err);
    check_ok(och_file_lock(file, &f->err), &f->err);
    return file;
}

/* The last steps of a restore. */
static void
make_format(struct other *other)
{
    struct och_vfs *vfs = sim_disk_vfs(other->disk);
    struct ochre_error *err = &other->f->err;
    check_ok(och_vfs_rename(vfs, "tmp/restore", "FORMAT", err), err);
    check_ok(och_vfs_sync_dir(vfs, "", err), err);
    check_ok(och_vfs_remove(vfs, "RESTORING", err), err);
    check_ok(och_vfs_sync_dir(vfs, "", err), err);
    och_file_close(other->mark);
    och_file_close(other->lock);
    other->mark = other->lock = NULL;
}

/* The database is there, nobody's mark beside it, and it opens with what it had. */
static void
check_whole(struct fixture *f, struct sim_disk *disk, uint64_t contents)
{
    check(exists(disk, "FORMAT") && !exists(disk, "RESTORING"));
    check_ok(och_check_vfs(sim_disk_vfs(disk), &f->machine.machine, NULL, NULL, &f->err), &f->err);
    check(contents_of(f, disk) == contents);
}

/* A restore is at its end while another one begins: whatever that one has seen by then, it
 * leaves the database alone. */
static void
a_restore_that_ends_meanwhile_keeps_its_database(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    uint64_t contents = contents_of(&f, f.source);
    check_ok(back_up(&f, 65536), &f.err);
    struct other first = {.f = &f, .disk = sim_disk_open(&f.own, 4)};
    check_ok(restore_watched(&f, first.disk, copy_without_format, &first), &f.err);
    check(exists(first.before, "RESTORING") && exists(first.before, "tmp/restore"));
    uint64_t n = 0;
    for (bool acted = true; acted; n++) {
        struct sim_disk *disk = sim_disk_clone(first.before);
        struct other other = {.f = &f, .disk = disk, .n_left = n + 1, .act = make_format};
        other.mark = lock_file(&f, disk, "RESTORING");
        other.lock = lock_file(&f, disk, "LOCK");
        ochre_status status = restore_watched(&f, disk, act_at_call, &other);
        check(status == OCHRE_BUSY || status == OCHRE_EXISTS);
        acted = other.n_left == 0;
        if (!acted)
            make_format(&other);
        check_whole(&f, disk, contents);
        sim_disk_close(disk);
    }
    check(n > 3);
    sim_disk_close(first.before);
    sim_disk_close(first.disk);
    end(&f);
}

/* At each call of a restore a second one is run: one of them makes the database. */
static void
check_one_wins(struct fixture *f, const struct sim_disk *before, uint64_t contents)
{
    bool acted = true;
    bool won[2] = {false, false};
    for (uint64_t n = 1; acted; n++) {
        struct sim_disk *disk = sim_disk_clone(before);
        struct other other = {.f = f, .disk = disk, .n_left = n, .act = restore_all};
        ochre_status status = restore_watched(f, disk, act_at_call, &other);
        acted = other.n_left == 0;
        if (acted) {
            check((status == OCHRE_OK) != (other.status == OCHRE_OK));
            ochre_status lost = status == OCHRE_OK ? other.status : status;
            check(lost == OCHRE_BUSY || lost == OCHRE_EXISTS);
            won[status == OCHRE_OK ? 0 : 1] = true;
        }
        check_whole(f, disk, contents);
        sim_disk_close(disk);
    }
    check(won[0] && won[1]);
}

static void
of_two_restores_one_wins(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    uint64_t contents = contents_of(&f, f.source);
    check_ok(back_up(&f, 65536), &f.err);
    struct other first = {.f = &f, .disk = sim_disk_open(&f.own, 4)};
    check_one_wins(&f, first.disk, contents);
    /* The same where a restore was killed just before its end. */
    check_ok(restore_watched(&f, first.disk, copy_without_format, &first), &f.err);
    check_one_wins(&f, first.before, contents);
    sim_disk_close(first.before);
    sim_disk_close(first.disk);
    end(&f);
}

/* Who writes to a database takes away the mark that a killed restore, or a repair, left in it. */
static void
a_mark_beside_format_goes_when_it_is_opened(void **state)
{
    (void) state;
    static const char *const marks[] = {"RESTORING", "REPAIRING"};
    static struct fixture f;
    begin(&f);
    struct och_file *file = NULL;
    uint64_t contents = contents_of(&f, f.source);
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        check_ok(och_vfs_open(sim_disk_vfs(f.source), marks[i], OCH_OPEN_WRITE | OCH_OPEN_CREATE,
                         &file, &f.err),
                &f.err);
        och_file_close(file);
        check(contents_of(&f, f.source) == contents && !exists(f.source, marks[i]));
    }
    end(&f);
}

/* Read the same stream again and again, with one allocation refused each time. */
static void
every_refused_allocation_is_an_error(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    ochre_status status = OCHRE_NO_MEMORY;
    uint64_t n = 0;
    while (status != OCHRE_OK) {
        n++;
        struct sim_disk *target = sim_disk_open(&f.own, 4);
        f.mem.n_grants = 0;
        f.mem.fail_at = n;
        status = back_up(&f, 65536);
        if (status == OCHRE_OK)
            status = restore(&f, target);
        check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && is_empty(target)));
        check(och_mem_used(&f.mem) == 0);
        sim_disk_close(target);
    }
    check(n > 6);
    f.mem.fail_at = 0;
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_is_restored_is_what_was_streamed),
            cmocka_unit_test(shared_files_are_streamed_once),
            cmocka_unit_test(a_database_in_use_is_streamed_as_it_was),
            cmocka_unit_test(a_directory_is_streamed_beside_the_process_that_has_it),
            cmocka_unit_test(few_streams_of_a_database_are_open_at_a_time),
            cmocka_unit_test(told_to_stop_it_stops),
            cmocka_unit_test(a_cut_stream_leaves_nothing),
            cmocka_unit_test(any_damaged_bit_is_refused),
            cmocka_unit_test(what_follows_the_end_is_refused),
            cmocka_unit_test(other_directories_are_left_alone),
            cmocka_unit_test(a_lying_head_takes_no_memory),
            cmocka_unit_test(a_crash_leaves_no_half_database),
            cmocka_unit_test(a_failing_call_leaves_nothing),
            cmocka_unit_test(a_disk_that_goes_on_failing_leaves_nothing_that_opens),
            cmocka_unit_test(a_failing_read_of_the_database_is_an_error),
            cmocka_unit_test(a_restore_that_ends_meanwhile_keeps_its_database),
            cmocka_unit_test(of_two_restores_one_wins),
            cmocka_unit_test(a_mark_beside_format_goes_when_it_is_opened),
            cmocka_unit_test(every_refused_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
