/*
 * main.c - one writer and several readers, each a process of its own, on one directory.
 *
 *      readers DIR [--seconds S] [--readers N] [--seed S] [--late-ms MS]
 *
 * The writer adds, upserts, updates and deletes, seals, compacts, drops and creates; it
 * is killed and stopped and started anew.  What each request will make of a collection
 * is known before it is made: it depends on the collection's number and the request's
 * alone.  So whatever a reader sees of a collection is either the state after the first
 * so many requests, all of which have been sent and none of which it has seen undone,
 * or it is wrong.  How late it is, is how long before the reader asked the first request
 * that it does not show had been acknowledged.
 *
 * One more process verifies every byte, as `ochre check` does, again and again.
 *
 * Exit status: 0 nothing is wrong and nothing later than --late-ms, 1 something is.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/check.h"
#include "base/mem.h"
#include "ochre/ochre.h"
#include "os/clock.h"
#include "os/vfs_posix.h"

enum {
    DIM = 8,
    IDS = 250,          /* of a collection */
    BATCH = 16,         /* records of a request, at most */
    OPS_MAX = 3000,     /* requests to a collection; then it is dropped */
    SLOTS_MAX = 400,    /* collections, one after the other */
    LIVE = 3,           /* of them at a time */
    LATE_BUCKETS = 4096 /* of a quarter of a millisecond each */
};

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

enum phase { NONE, CREATING, ALIVE, DROPPING, DROPPED };

/* A collection: what has been sent and acknowledged.  `sums` is known before. */
struct slot {
    atomic_int phase;
    _Atomic uint64_t created_ns, dropped_ns; /* acknowledged; 0: not yet */
    atomic_uint sent, acked;
    _Atomic uint64_t sums[OPS_MAX + 1]; /* of the state after so many requests */
    _Atomic uint64_t acked_ns[OPS_MAX + 1];
};

/* What all processes see. */
struct shared {
    atomic_bool stop_writer, stop_readers;
    atomic_uint n_slots; /* that were begun */
    _Atomic uint64_t n_requests, n_reads, n_queries, n_drops, n_restarts, n_openings, n_checks;
    _Atomic uint64_t n_wrong, late_max_us;
    _Atomic uint64_t late[LATE_BUCKETS + 1];
    struct slot slots[SLOTS_MAX];
};

static struct shared *shared;
static const char *directory;

/* --- small things ----------------------------------------------------------------- */

static uint64_t
now_ns(void)
{
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * NS_PER_S + (uint64_t) now.tv_nsec;
}

static uint64_t
mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t
random_next(uint64_t *seed)
{
    *seed = mix(*seed);
    return *seed;
}

/* What a record of this version is: its part of the sum, and where its vector comes from. */
static uint64_t
content(unsigned slot, unsigned id, unsigned version)
{
    return mix(mix((uint64_t) slot << 32 | id) + version);
}

static void
fill_vector(float vector[DIM], uint64_t contents)
{
    for (unsigned i = 0; i < DIM; i++)
        vector[i] = (float) ((contents >> (8 * i)) & 255);
}

static void
complain(const char *what, unsigned slot, unsigned op, const struct ochre_error *err)
{
    (void) fprintf(stderr, "readers: process %ld: %s (collection %u, request %u)%s%s\n",
            (long) getpid(), what, slot, op, err == NULL ? "" : ": ",
            err == NULL ? "" : err->message);
}

static void
die(const char *what, unsigned slot, unsigned op, const struct ochre_error *err)
{
    complain(what, slot, op, err);
    _exit(3);
}

static void
name_of(unsigned slot, char name[32])
{
    (void) snprintf(name, 32, "collection-%u", slot);
}

/* --- requests --------------------------------------------------------------------- */

/* A collection's state: each record's version; 0: it is not there. */
struct model {
    unsigned versions[IDS];
    uint64_t sum;
};

enum kind { ADD, UPSERT, UPDATE, DELETE };

/* The records of request `op` to a collection. */
static enum kind
choose(unsigned slot, unsigned op, unsigned ids[BATCH], unsigned *n_out)
{
    uint64_t seed = mix((uint64_t) slot << 32 | op);
    uint64_t what = random_next(&seed) % 100;
    unsigned n = 1 + (unsigned) (random_next(&seed) % BATCH);
    unsigned first = (unsigned) (random_next(&seed) % IDS);
    for (unsigned i = 0; i < n; i++)
        ids[i] = (first + i) % IDS;
    *n_out = n;
    return what < 30 ? ADD : what < 60 ? UPSERT : what < 80 ? UPDATE : DELETE;
}

static void
apply(struct model *model, unsigned slot, unsigned op)
{
    unsigned ids[BATCH];
    unsigned n;
    enum kind kind = choose(slot, op, ids, &n);
    for (unsigned i = 0; i < n; i++) {
        unsigned *version = &model->versions[ids[i]];
        bool is_there = *version != 0;
        if (kind == ADD ? is_there : kind != UPSERT && !is_there)
            continue;
        model->sum -= is_there ? content(slot, ids[i], *version) : 0;
        *version = kind == DELETE ? 0 : op;
        model->sum += kind == DELETE ? 0 : content(slot, ids[i], op);
    }
}

/* The request's columns. */
struct columns {
    char id_texts[BATCH][16], document_texts[BATCH][32];
    struct ochre_bytes ids[BATCH], documents[BATCH];
    float vectors[BATCH][DIM];
    struct ochre_records records;
};

static enum kind
make_request(unsigned slot, unsigned op, struct columns *columns)
{
    unsigned ids[BATCH];
    unsigned n;
    enum kind kind = choose(slot, op, ids, &n);
    for (unsigned i = 0; i < n; i++) {
        int size = snprintf(columns->id_texts[i], sizeof(columns->id_texts[i]), "%u", ids[i]);
        columns->ids[i] = (struct ochre_bytes){columns->id_texts[i], (size_t) size};
        size = snprintf(columns->document_texts[i], sizeof(columns->document_texts[i]), "%u", op);
        columns->documents[i] = (struct ochre_bytes){columns->document_texts[i], (size_t) size};
        fill_vector(columns->vectors[i], content(slot, ids[i], op));
    }
    columns->records = (struct ochre_records){.n = n,
            .ids = columns->ids,
            .embeddings = &columns->vectors[0][0],
            .dim = DIM,
            .documents = columns->documents};
    return kind;
}

/* --- what is read ----------------------------------------------------------------- */

static bool
number_of(struct ochre_bytes text, unsigned *number_out)
{
    char copy[32] = "";
    char *end;
    if (text.data == NULL || text.size == 0 || text.size >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.size);
    *number_out = (unsigned) strtoul(copy, &end, 10);
    return *end == '\0';
}

/* Add up records, each of which must be what some request wrote, whole. */
static bool
add_up(unsigned slot, const struct ochre_hit *hits, size_t n, uint64_t *sum_out)
{
    *sum_out = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned id, version;
        float vector[DIM];
        if (!number_of(hits[i].id, &id) || !number_of(hits[i].document, &version) || id >= IDS)
            return false;
        uint64_t contents = content(slot, id, version);
        fill_vector(vector, contents);
        for (size_t k = 0; k < DIM; k++) /* whole numbers */
            if ((int) vector[k] != (int) hits[i].embedding[k])
                return false;
        *sum_out += contents;
    }
    return true;
}

static ochre_status
read_sum(ochre_collection *collection, unsigned slot, bool *whole_out, uint64_t *sum_out,
        struct ochre_error *err)
{
    struct ochre_get get = {
            .limit = UINT64_MAX, .include = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_EMBEDDINGS};
    ochre_result *result = NULL;
    size_t n = 0;
    *whole_out = false;
    ochre_status status = ochre_get(collection, &get, &result, err);
    if (status != OCHRE_OK)
        return status;
    const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
    *whole_out = add_up(slot, hits, n, sum_out);
    ochre_result_close(result);
    return OCHRE_OK;
}

/* --- the writer ------------------------------------------------------------------- */

struct writer {
    ochre_db *db;
    uint64_t seed;
    struct model models[SLOTS_MAX];
    ochre_collection *collections[SLOTS_MAX]; /* NULL: not alive */
};

static struct writer writer;

static void
open_slot(unsigned slot)
{
    struct ochre_error err;
    char name[32];
    name_of(slot, name);
    if (ochre_collection_open(writer.db, NULL, NULL, name, &writer.collections[slot], &err) !=
            OCHRE_OK)
        die("the writer cannot open a collection", slot, 0, &err);
}

static void
create_slot(void)
{
    struct ochre_error err;
    char name[32];
    unsigned slot = atomic_load(&shared->n_slots);
    if (slot == SLOTS_MAX)
        return;
    struct slot *s = &shared->slots[slot];
    name_of(slot, name);
    atomic_store(&s->phase, CREATING);
    atomic_fetch_add(&shared->n_slots, 1);
    if (ochre_collection_create(writer.db, name, NULL, &writer.collections[slot], &err) != OCHRE_OK)
        die("the writer cannot create a collection", slot, 0, &err);
    atomic_store(&s->created_ns, now_ns());
    atomic_store(&s->phase, ALIVE);
}

static void
drop_slot(unsigned slot)
{
    struct ochre_error err;
    char name[32];
    struct slot *s = &shared->slots[slot];
    name_of(slot, name);
    atomic_store(&s->phase, DROPPING);
    if (ochre_collection_delete(writer.db, NULL, NULL, name, &err) != OCHRE_OK)
        die("the writer cannot drop a collection", slot, 0, &err);
    atomic_store(&s->dropped_ns, now_ns());
    atomic_store(&s->phase, DROPPED);
    ochre_collection_close(writer.collections[slot]);
    writer.collections[slot] = NULL;
    atomic_fetch_add(&shared->n_drops, 1);
}

static void
acknowledge(unsigned slot, unsigned op)
{
    struct slot *s = &shared->slots[slot];
    atomic_store(&s->acked_ns[op], now_ns());
    atomic_store(&s->acked, op);
    atomic_fetch_add(&shared->n_requests, 1);
}

static void
send_next(unsigned slot)
{
    static struct columns columns;
    struct ochre_error err;
    struct slot *s = &shared->slots[slot];
    struct model *model = &writer.models[slot];
    unsigned op = atomic_load(&s->acked) + 1;
    enum kind kind = make_request(slot, op, &columns);
    apply(model, slot, op);
    atomic_store(&s->sums[op], model->sum);
    atomic_store(&s->sent, op);
    ochre_status status = OCHRE_OK;
    if (kind == DELETE) {
        uint64_t deleted;
        struct ochre_selection selection = {.ids = columns.ids, .n_ids = columns.records.n};
        status = ochre_delete(writer.collections[slot], &selection, UINT64_MAX, &deleted, &err);
    } else if (kind == ADD) {
        status = ochre_add(writer.collections[slot], &columns.records, &err);
    } else if (kind == UPSERT) {
        status = ochre_upsert(writer.collections[slot], &columns.records, &err);
    } else {
        status = ochre_update(writer.collections[slot], &columns.records, &err);
    }
    if (status != OCHRE_OK)
        die("a write failed", slot, op, &err);
    acknowledge(slot, op);
}

/* After a kill: the request that was on its way was done, or was not. */
static void
find_out(unsigned slot)
{
    struct ochre_error err;
    struct slot *s = &shared->slots[slot];
    struct model *model = &writer.models[slot];
    unsigned acked = atomic_load(&s->acked);
    unsigned sent = atomic_load(&s->sent);
    uint64_t sum = 0;
    bool whole = false;
    memset(model, 0, sizeof(*model));
    for (unsigned op = 1; op <= acked; op++)
        apply(model, slot, op);
    if (read_sum(writer.collections[slot], slot, &whole, &sum, &err) != OCHRE_OK)
        die("the writer cannot read a collection", slot, acked, &err);
    if (whole && sum == model->sum)
        return;
    for (unsigned op = acked + 1; op <= sent; op++) {
        apply(model, slot, op);
        acknowledge(slot, op);
    }
    if (!whole || sum != model->sum)
        die("the writer does not find what it wrote", slot, acked, NULL);
}

/* What an earlier writer was about when it was killed. */
static void
take_over(void)
{
    char name[32];
    for (unsigned slot = 0; slot < atomic_load(&shared->n_slots); slot++) {
        struct slot *s = &shared->slots[slot];
        enum phase phase = (enum phase) atomic_load(&s->phase);
        ochre_collection *collection = NULL;
        if (phase == DROPPED)
            continue;
        name_of(slot, name);
        ochre_status status = ochre_collection_open(writer.db, NULL, NULL, name, &collection, NULL);
        ochre_collection_close(collection);
        if (status == OCHRE_NOT_FOUND && phase == DROPPING) {
            atomic_store(&s->dropped_ns, now_ns());
            atomic_store(&s->phase, DROPPED);
            continue;
        }
        if (status == OCHRE_NOT_FOUND && phase == CREATING) { /* it never was */
            atomic_store(&s->phase, DROPPED);
            continue;
        }
        open_slot(slot);
        if (phase == CREATING) {
            atomic_store(&s->created_ns, now_ns());
            atomic_store(&s->phase, ALIVE);
        }
        find_out(slot);
        if (phase == DROPPING)
            drop_slot(slot);
    }
}

static void
write_on(void)
{
    struct ochre_error err;
    unsigned alive[SLOTS_MAX];
    unsigned n = 0;
    for (unsigned slot = 0; slot < atomic_load(&shared->n_slots); slot++)
        if (writer.collections[slot] != NULL)
            alive[n++] = slot;
    if (n < LIVE && atomic_load(&shared->n_slots) < SLOTS_MAX) {
        create_slot();
        return;
    }
    if (n == 0)
        return;
    unsigned slot = alive[random_next(&writer.seed) % n];
    uint64_t what = random_next(&writer.seed) % 1000;
    if (atomic_load(&shared->slots[slot].acked) == OPS_MAX || what < 6)
        drop_slot(slot);
    else if (what < 11 && ochre_compact(writer.db, &err) != OCHRE_OK)
        die("compacting failed", slot, 0, &err);
    else if (what < 19 && ochre_seal(writer.db, &err) != OCHRE_OK)
        die("sealing failed", slot, 0, &err);
    else if (what < 21 && ochre_purge(writer.db, &err) != OCHRE_OK)
        die("purging failed", slot, 0, &err);
    else if (what < 25) /* it pauses, so that the last write is the last for a while */
        (void) usleep(150000);
    else
        send_next(slot);
}

static int
run_writer(uint64_t seed)
{
    struct ochre_error err;
    struct ochre_options options = {
            .size = sizeof(options), .n_threads = seed % 2 == 0 ? 2 : 0, .seal_rows = 100};
    writer.seed = mix(~seed); /* not what its successors begin with */
    if (ochre_open(directory, &options, &writer.db, &err) != OCHRE_OK)
        die("the writer cannot open the directory", 0, 0, &err);
    take_over();
    while (!atomic_load(&shared->stop_writer))
        write_on();
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        ochre_collection_close(writer.collections[slot]);
    ochre_close(writer.db);
    return 0;
}

/* --- a reader --------------------------------------------------------------------- */

struct reader {
    ochre_db *db;
    uint64_t seed;
    unsigned seen[SLOTS_MAX];  /* the state that was shown last; it may not go back */
    bool was_there[SLOTS_MAX]; /* likewise */
    bool was_gone[SLOTS_MAX];  /* after it was there */
};

static struct reader reader;

static void
note_wrong(const char *what, unsigned slot, unsigned op, const struct ochre_error *err)
{
    if (atomic_fetch_add(&shared->n_wrong, 1) < 20)
        complain(what, slot, op, err);
}

/* What was acknowledged at `acked_ns` (0: not yet) is not shown to one who asked at
 * `asked_ns`. */
static void
note_late(uint64_t acked_ns, uint64_t asked_ns)
{
    uint64_t late_us = acked_ns != 0 && acked_ns < asked_ns ? (asked_ns - acked_ns) / 1000 : 0;
    uint64_t bucket = late_us / 250;
    atomic_fetch_add(&shared->late[bucket < LATE_BUCKETS ? bucket : LATE_BUCKETS], 1);
    uint64_t max = atomic_load(&shared->late_max_us);
    while (late_us > max && !atomic_compare_exchange_weak(&shared->late_max_us, &max, late_us))
        continue;
}

/* It is not there. */
static void
judge_absent(unsigned slot, uint64_t asked_ns)
{
    struct slot *s = &shared->slots[slot];
    int phase = atomic_load(&s->phase);
    if (phase < DROPPING && reader.was_there[slot])
        note_wrong("a collection that was there is gone", slot, 0, NULL);
    if (phase < DROPPING)
        note_late(atomic_load(&s->created_ns), asked_ns);
    reader.was_gone[slot] |= reader.was_there[slot];
}

static void
judge_sum(unsigned slot, uint64_t sum, uint64_t asked_ns)
{
    struct slot *s = &shared->slots[slot];
    unsigned sent = atomic_load(&s->sent);
    unsigned first = reader.seen[slot];
    /* A state may be that of before once more (what was added is deleted): the reader has
     * got at least to the first that it can be, and is as late as the last makes it. */
    unsigned op = first;
    while (op < sent && atomic_load(&s->sums[op]) != sum)
        op++;
    if (atomic_load(&s->sums[op]) != sum) {
        for (op = 0; op < first && atomic_load(&s->sums[op]) != sum; op++)
            continue;
        note_wrong(
                op < first ? "a state before one that was shown" : "a state that no requests make",
                slot, op, NULL);
        return;
    }
    reader.seen[slot] = op;
    for (op = sent; atomic_load(&s->sums[op]) != sum; op--)
        continue;
    uint64_t missed_ns = op < OPS_MAX ? atomic_load(&s->acked_ns[op + 1]) : 0;
    uint64_t dropped_ns = atomic_load(&s->dropped_ns);
    note_late(missed_ns != 0 ? missed_ns : dropped_ns, asked_ns);
}

/* A query's answers are records that some request wrote. */
static void
query(ochre_collection *collection, unsigned slot)
{
    struct ochre_error err;
    float vector[DIM];
    fill_vector(vector, random_next(&reader.seed));
    struct ochre_query query = {.size = sizeof(query),
            .queries = vector,
            .n_queries = 1,
            .dim = DIM,
            .k = 7,
            .include = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_EMBEDDINGS};
    ochre_result *result = NULL;
    size_t n = 0;
    uint64_t sum;
    ochre_status status = ochre_query(collection, &query, &result, &err);
    if (status == OCHRE_OK && !add_up(slot, ochre_result_hits(result, 0, &n), n, &sum))
        note_wrong("a query's answer is not what was written", slot, 0, NULL);
    if (status != OCHRE_OK && status != OCHRE_NOT_FOUND)
        note_wrong("a query failed", slot, 0, &err);
    ochre_result_close(result);
    atomic_fetch_add(&shared->n_queries, 1);
}

static void
read_slot(unsigned slot)
{
    struct ochre_error err;
    char name[32];
    ochre_collection *collection = NULL;
    bool whole = false;
    uint64_t sum = 0;
    name_of(slot, name);
    uint64_t asked_ns = now_ns();
    ochre_status status = ochre_collection_open(reader.db, NULL, NULL, name, &collection, &err);
    if (status == OCHRE_OK) {
        asked_ns = now_ns();
        status = read_sum(collection, slot, &whole, &sum, &err);
    }
    if (status == OCHRE_NOT_FOUND) {
        judge_absent(slot, asked_ns);
    } else if (status != OCHRE_OK) {
        note_wrong("a read failed", slot, reader.seen[slot], &err);
    } else if (!whole) {
        note_wrong("a record is not what was written", slot, reader.seen[slot], NULL);
    } else if (reader.was_gone[slot]) {
        note_wrong("a collection that was gone is back", slot, 0, NULL);
    } else {
        reader.was_there[slot] = true;
        judge_sum(slot, sum, asked_ns);
    }
    if (status == OCHRE_OK && random_next(&reader.seed) % 4 == 0)
        query(collection, slot);
    ochre_collection_close(collection);
    atomic_fetch_add(&shared->n_reads, 1);
}

static void
open_reader(unsigned number)
{
    struct ochre_error err;
    /* One that is never asked to is not late either: half of them have no threads. */
    struct ochre_options options = {
            .size = sizeof(options), .read_only = true, .n_threads = number % 2};
    ochre_status status = ochre_open(directory, &options, &reader.db, &err);
    while (status == OCHRE_NOT_FOUND) { /* the writer has not made it yet */
        (void) usleep(1000);
        status = ochre_open(directory, &options, &reader.db, &err);
    }
    if (status != OCHRE_OK)
        die("a reader cannot open the directory", number, 0, &err);
    atomic_fetch_add(&shared->n_openings, 1);
}

static int
run_reader(unsigned number, uint64_t seed)
{
    reader.seed = seed;
    open_reader(number);
    while (!atomic_load(&shared->stop_readers)) {
        uint64_t what = random_next(&reader.seed) % 1000;
        unsigned n = atomic_load(&shared->n_slots);
        unsigned last = n < 2 * LIVE ? n : 2 * LIVE; /* dropped ones among them */
        if (what == 0) {
            ochre_close(reader.db);
            open_reader(number);
        } else if (what < 300) {
            (void) usleep((useconds_t) (what * 50));
        } else if (n > 0) {
            read_slot(n - 1 - (unsigned) (random_next(&reader.seed) % last));
        }
    }
    ochre_close(reader.db);
    return 0;
}

/* --- who checks ------------------------------------------------------------------- */

static void
print_finding(void *context, const struct och_check_finding *finding)
{
    (void) context;
    (void) fprintf(stderr, "readers: check: %s: %s\n", finding->path, finding->message);
}

/* Beside whoever writes, and when nobody does: it may take no lock. */
static int
run_checker(unsigned number, uint64_t seed)
{
    struct och_mem mem;
    struct och_vfs *vfs = NULL;
    struct ochre_error err;
    struct och_check_options options = {.report = print_finding};
    (void) number;
    (void) seed;
    och_mem_init(&mem, NULL);
    while (atomic_load(&shared->n_slots) == 0 && !atomic_load(&shared->stop_readers))
        (void) usleep(1000); /* the writer has not made it yet */
    while (!atomic_load(&shared->stop_readers)) {
        ochre_status status = OCHRE_OK;
        (void) usleep(20000);
        if (vfs == NULL)
            status = och_vfs_posix_open(&mem, directory, false, &vfs, &err);
        if (status == OCHRE_OK)
            status = och_check_beside(vfs, och_machine_posix(), &options, NULL, &err);
        atomic_fetch_add(&shared->n_checks, status == OCHRE_OK);
        if (status != OCHRE_OK && status != OCHRE_UNAVAILABLE)
            note_wrong("a check failed", 0, 0, &err);
    }
    if (vfs != NULL)
        och_vfs_posix_close(vfs);
    return 0;
}

/* --- all of them ------------------------------------------------------------------ */

static pid_t
start(int (*run)(unsigned number, uint64_t seed), unsigned number, uint64_t seed)
{
    (void) fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(run(number, seed));
    if (child < 0)
        die("no process can be made", 0, 0, NULL);
    return child;
}

static int
start_writer(unsigned number, uint64_t seed)
{
    (void) number;
    return run_writer(seed);
}

/* Wait for a process; false when it did not end by itself, well. */
static bool
await(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Writers, one after the other, most of them killed. */
static bool
run_writers(double seconds, uint64_t seed)
{
    uint64_t end_ns = now_ns() + (uint64_t) (seconds * (double) NS_PER_S);
    bool good = true;
    while (now_ns() < end_ns && good) {
        atomic_store(&shared->stop_writer, false);
        pid_t child = start(start_writer, 0, random_next(&seed));
        uint64_t ms = 300 + random_next(&seed) % 1500;
        (void) usleep((useconds_t) (ms * 1000));
        if (random_next(&seed) % 4 == 0) {
            atomic_store(&shared->stop_writer, true);
            good = await(child);
        } else {
            (void) kill(child, SIGKILL);
            int status = 0;
            (void) waitpid(child, &status, 0);
            good = WIFSIGNALED(status); /* it had not given up before */
        }
        /* Readers go on while nobody writes. */
        if (random_next(&seed) % 3 == 0)
            (void) usleep(200000);
        atomic_fetch_add(&shared->n_restarts, 1);
    }
    return good;
}

/* The time that so large a share of the reads was not later than. */
static double
late_ms(double share)
{
    uint64_t all = 0, sum = 0;
    for (size_t i = 0; i <= LATE_BUCKETS; i++)
        all += atomic_load(&shared->late[i]);
    for (size_t i = 0; i <= LATE_BUCKETS; i++) {
        sum += atomic_load(&shared->late[i]);
        if ((double) sum >= share * (double) all)
            return (double) i * 0.25;
    }
    return (double) LATE_BUCKETS * 0.25;
}

static void
report(double seconds, unsigned n_readers)
{
    (void) printf("{\"seconds\": %.0f, \"readers\": %u, \"requests\": %" PRIu64
                  ", \"drops\": %" PRIu64 ", \"writers\": %" PRIu64 ", \"openings\": %" PRIu64
                  ", \"checks\": %" PRIu64 ", \"reads\": %" PRIu64 ", \"queries\": %" PRIu64
                  ", \"wrong\": %" PRIu64
                  ", \"late_p50_ms\": %.2f, \"late_p99_ms\": %.2f, \"late_p999_ms\": %.2f"
                  ", \"late_max_ms\": %.2f}\n",
            seconds, n_readers, atomic_load(&shared->n_requests), atomic_load(&shared->n_drops),
            atomic_load(&shared->n_restarts), atomic_load(&shared->n_openings),
            atomic_load(&shared->n_checks), atomic_load(&shared->n_reads),
            atomic_load(&shared->n_queries), atomic_load(&shared->n_wrong), late_ms(0.5),
            late_ms(0.99), late_ms(0.999), (double) atomic_load(&shared->late_max_us) / 1000);
}

struct arguments {
    double seconds, late_ms;
    unsigned n_readers;
    uint64_t seed;
};

static bool
parse(int argc, char **argv, struct arguments *arguments)
{
    *arguments = (struct arguments){.seconds = 5, .late_ms = 1000, .n_readers = 4, .seed = 1};
    if (argc < 2 || argc % 2 != 0)
        return false;
    directory = argv[1];
    for (int i = 2; i < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            arguments->seconds = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--late-ms") == 0)
            arguments->late_ms = strtod(argv[i + 1], NULL);
        else if (strcmp(argv[i], "--readers") == 0)
            arguments->n_readers = (unsigned) strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            arguments->seed = strtoull(argv[i + 1], NULL, 10);
        else
            return false;
    }
    return arguments->n_readers <= 64;
}

int
main(int argc, char **argv)
{
    struct arguments arguments;
    pid_t readers[64] = {0};
    if (!parse(argc, argv, &arguments)) {
        (void) fprintf(stderr,
                "usage: readers DIR [--seconds S] [--readers N] [--seed S] [--late-ms MS]\n");
        return 2;
    }
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    (void) printf("seed %" PRIu64 "\n", arguments.seed);
    for (unsigned i = 0; i < arguments.n_readers; i++)
        readers[i] = start(run_reader, i, mix(arguments.seed + i));
    pid_t checker = start(run_checker, 0, 0);
    bool good = run_writers(arguments.seconds, arguments.seed);
    atomic_store(&shared->stop_readers, true);
    for (unsigned i = 0; i < arguments.n_readers; i++)
        good = await(readers[i]) && good;
    good = await(checker) && good;
    report(arguments.seconds, arguments.n_readers);
    bool seen = atomic_load(&shared->n_reads) > 0 && atomic_load(&shared->n_requests) > 0;
    good = good && seen && atomic_load(&shared->n_wrong) == 0;
    return good && (double) atomic_load(&shared->late_max_us) <= arguments.late_ms * 1000 ? 0 : 1;
}
