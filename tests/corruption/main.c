/*
 * main.c - damage anywhere in a directory, through the C API.
 *
 *      corruption DIR [--cases N] [--seed S]
 *
 * A directory with three collections (in files only, in files and the log, in the log
 * only) is kept as it is when it was closed, and as a killed process leaves it.  Each
 * case is a copy of one of them in which a bit is flipped, 4 KiB are zeroed, or a file
 * is cut, at random; it is opened and everything is read.  An answer must be what it was,
 * or an error; damage to one collection's files may not touch the others, nor damage to the log
 * the one that rested; and the directory always opens.
 *
 * Some are repaired first, into another directory, in which every collection must answer,
 * with nothing but records that were written, and with all of those that no damaged file
 * had.
 *
 * Exit status: 0 nothing was wrong, 1 something was; a crash is its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/repair.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "ochre/ochre.h"
#include "os/clock.h"

enum { DIM = 8, ROWS = 300, COLLECTIONS = 3, FILES_MAX = 64, PATH_MAX_SIZE = 512, BLOCK = 4096 };
enum { REPAIRED_ONE_IN = 4 }; /* cases; one takes as long as several others */

static const char *const names[COLLECTIONS] = {"sealed", "mixed", "fresh"};

struct file {
    char path[PATH_MAX_SIZE]; /* below its directory */
    unsigned char *bytes;     /* owned */
    size_t size;
};

/* A directory in memory. */
struct image {
    struct file files[FILES_MAX];
    size_t n;
};

struct totals {
    uint64_t n_cases, n_same, n_errors, n_refused, n_wrong;
    uint64_t n_repaired, n_with_losses, n_beyond;
};

static uint64_t sums[COLLECTIONS]; /* of what each collection holds */
static char ids[COLLECTIONS][37];  /* which names its directory */

static void
stop(const char *what, const char *which)
{
    (void) fprintf(stderr, "corruption: %s: %s\n", what, which);
    (void) fflush(stdout);
    _exit(2);
}

static void
must(ochre_status status, const struct ochre_error *err, const char *what)
{
    if (status != OCHRE_OK)
        stop(what, err->message);
}

/* --- directories ------------------------------------------------------------------- */

static void
join(char path[PATH_MAX_SIZE], const char *dir, const char *name)
{
    int size = snprintf(path, PATH_MAX_SIZE, "%s%s%s", dir, dir[0] == '\0' ? "" : "/", name);
    if (size < 0 || size >= PATH_MAX_SIZE)
        stop("a path is too long", name);
}

static void
read_bytes(struct file *file, const char *path)
{
    struct stat about;
    FILE *stream = fopen(path, "rbe");
    if (stream == NULL || fstat(fileno(stream), &about) != 0)
        stop("cannot read", path);
    file->size = (size_t) about.st_size;
    file->bytes = malloc(file->size + 1);
    if (file->bytes == NULL || fread(file->bytes, 1, file->size, stream) != file->size)
        stop("cannot read", path);
    (void) fclose(stream);
}

/* All files below `root`/`dir`, which is one of root, log, seg, seg/ID: no deeper. */
static void
read_image(struct image *image, const char *root, const char *dir)
{
    char path[PATH_MAX_SIZE];
    char below[PATH_MAX_SIZE];
    /* NOLINTNEXTLINE(readability-suspicious-call-argument): a directory in a directory */
    join(path, root, dir);
    DIR *listing = opendir(path);
    if (listing == NULL)
        stop("cannot list", path);
    const struct dirent *entry;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while ((entry = readdir(listing)) != NULL) {
        struct stat about;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        join(below, dir, entry->d_name);
        join(path, root, below);
        if (stat(path, &about) != 0 || image->n == FILES_MAX)
            stop("cannot keep", path);
        if (S_ISDIR(about.st_mode)) {
            /* NOLINTNEXTLINE(misc-no-recursion): two levels */
            read_image(image, root, below);
            continue;
        }
        (void) snprintf(image->files[image->n].path, PATH_MAX_SIZE, "%s", below);
        read_bytes(&image->files[image->n++], path);
    }
    (void) closedir(listing);
}

static void
make_dir(const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        stop("cannot make", path);
}

static void
make_parents(const char *root, const char *below)
{
    char path[PATH_MAX_SIZE];
    join(path, root, below);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        make_dir(path);
        *at = '/';
    }
}

static void
clear_dir(const char *path)
{
    char below[PATH_MAX_SIZE];
    DIR *listing = opendir(path);
    const struct dirent *entry;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        join(below, path, entry->d_name);
        if (unlink(below) != 0) {
            /* NOLINTNEXTLINE(misc-no-recursion): as deep as a database's directory */
            clear_dir(below);
            (void) rmdir(below);
        }
    }
    if (listing != NULL)
        (void) closedir(listing);
}

static void
write_image(const struct image *image, const char *root)
{
    char path[PATH_MAX_SIZE];
    clear_dir(root);
    make_dir(root);
    for (size_t i = 0; i < image->n; i++) {
        const struct file *file = &image->files[i];
        make_parents(root, file->path);
        join(path, root, file->path);
        FILE *stream = fopen(path, "wbe");
        if (stream == NULL || fwrite(file->bytes, 1, file->size, stream) != file->size ||
                fclose(stream) != 0)
            stop("cannot write", path);
    }
}

static void
free_image(struct image *image)
{
    for (size_t i = 0; i < image->n; i++)
        free(image->files[i].bytes);
    image->n = 0;
}

/* --- collections ------------------------------------------------------------------- */

static void
fill(ochre_collection *collection, unsigned from, unsigned n)
{
    static char texts[ROWS][48];
    static float vectors[ROWS][DIM];
    static struct ochre_bytes row_ids[ROWS];
    static struct ochre_bytes documents[ROWS];
    struct ochre_error err;
    for (unsigned i = 0; i < n; i++) {
        uint64_t seed = from + i + 1;
        int size = snprintf(texts[i], sizeof(texts[i]), "r%05u is a document", from + i);
        row_ids[i] = (struct ochre_bytes){texts[i], 6};
        documents[i] = (struct ochre_bytes){texts[i], (size_t) size};
        for (unsigned d = 0; d < DIM; d++)
            vectors[i][d] = (float) och_random_below(&seed, 1000);
    }
    const struct ochre_records records = {
            .n = n, .ids = row_ids, .embeddings = vectors[0], .dim = DIM, .documents = documents};
    must(ochre_add(collection, &records, &err), &err, "add");
}

static uint64_t
sum_of(const ochre_result *result)
{
    size_t n = 0;
    const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
    uint64_t sum = n;
    for (size_t i = 0; i < n; i++) {
        sum = och_hash64_seeded(hits[i].id.data, hits[i].id.size, sum);
        sum = och_hash64_seeded(hits[i].document.data, hits[i].document.size, sum);
        sum = och_hash64_seeded(hits[i].embedding, ochre_result_dim(result) * sizeof(float), sum);
    }
    return sum;
}

/* All of a collection, and what is nearest to something. */
static ochre_status
read_all(ochre_db *db, const char *name, uint64_t *sum_out, struct ochre_error *err)
{
    static const float query_vector[DIM] = {500, 400, 300, 200, 100, 600, 700, 800};
    const unsigned include = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_EMBEDDINGS;
    const struct ochre_get get = {.limit = UINT64_MAX, .include = include};
    const struct ochre_query query = {.size = sizeof(query),
            .queries = query_vector,
            .n_queries = 1,
            .dim = DIM,
            .k = 20,
            .include = include};
    ochre_collection *collection = NULL;
    ochre_result *rows = NULL;
    ochre_result *nearest = NULL;
    ochre_status status = ochre_collection_open(db, NULL, NULL, name, &collection, err);
    if (status == OCHRE_OK)
        status = ochre_get(collection, &get, &rows, err);
    if (status == OCHRE_OK)
        status = ochre_query(collection, &query, &nearest, err);
    if (status == OCHRE_OK)
        *sum_out = sum_of(rows) * 31 + sum_of(nearest);
    ochre_result_close(rows);
    ochre_result_close(nearest);
    ochre_collection_close(collection);
    return status;
}

static ochre_db *
open_db(const char *path, unsigned n_threads)
{
    ochre_db *db;
    struct ochre_error err;
    const struct ochre_options options = {.size = sizeof(options), .n_threads = n_threads};
    must(ochre_open(path, &options, &db, &err), &err, "open");
    return db;
}

/* The two directories that cases are copies of. */
static void
make_images(const char *path, struct image images[2])
{
    struct ochre_error err;
    ochre_collection *collections[COLLECTIONS];
    clear_dir(path);
    make_dir(path);
    ochre_db *db = open_db(path, 1);
    for (unsigned i = 0; i < COLLECTIONS; i++) {
        must(ochre_collection_create(db, names[i], NULL, &collections[i], &err), &err, "create");
        ochre_collection_id(collections[i], ids[i]);
    }
    fill(collections[0], 0, ROWS);
    fill(collections[1], 0, ROWS / 2);
    must(ochre_seal(db, &err), &err, "seal");
    /* From here on the first one is at rest, which stands beside the log. */
    for (unsigned i = 0; i < COLLECTIONS; i++)
        ochre_collection_close(collections[i]);
    ochre_close(db);
    db = open_db(path, 1);
    for (unsigned i = 0; i < COLLECTIONS; i++)
        must(ochre_collection_open(db, NULL, NULL, names[i], &collections[i], &err), &err, "open");
    fill(collections[1], ROWS / 2, ROWS / 2);
    fill(collections[2], 0, ROWS);
    for (unsigned i = 0; i < COLLECTIONS; i++) {
        must(read_all(db, names[i], &sums[i], &err), &err, "read");
        ochre_collection_close(collections[i]);
    }
    /* A second after writes the log says that they were durable: until then nothing can
     * tell a damaged last group from a torn one. */
    const struct timespec while_it_is_said = {.tv_sec = 3};
    (void) nanosleep(&while_it_is_said, NULL);
    read_image(&images[0], path, "");
    ochre_close(db);
    read_image(&images[1], path, "");
}

/* --- cases ------------------------------------------------------------------------- */

/* Damage one file; *kind_out says how, *back_out keeps what it was. */
static void
damage(struct file *file, uint64_t *seed, struct file *back_out, char what[96])
{
    size_t at = (size_t) och_random_below(seed, file->size);
    unsigned kind = (unsigned) och_random_below(seed, 4);
    *back_out = *file;
    file->bytes = malloc(file->size + 1);
    if (file->bytes == NULL)
        stop("memory", file->path);
    memcpy(file->bytes, back_out->bytes, file->size);
    if (kind == 0) {
        file->bytes[at] ^= (unsigned char) (1u << och_random_below(seed, 8));
    } else if (kind == 1) {
        at -= at % BLOCK;
        memset(file->bytes + at, 0, file->size - at < BLOCK ? file->size - at : BLOCK);
    } else {
        at -= kind == 3 ? at % BLOCK : 0; /* what looks like an end most */
        file->size = at;
    }
    static const char *const kinds[] = {"flipped", "zeroed", "cut", "cut"};
    (void) snprintf(what, 96, "%s at %zu", kinds[kind], at);
}

/* Of which collection are these files?  COLLECTIONS: of none alone. */
static unsigned
owner_of(const char *path)
{
    for (unsigned i = 0; i < COLLECTIONS; i++)
        if (strncmp(path, "seg/", 4) == 0 && strncmp(path + 4, ids[i], 36) == 0)
            return i;
    return COLLECTIONS;
}

static void
judge_open(ochre_db *db, const char *path, const char *what, struct totals *totals)
{
    unsigned owner = owner_of(path);
    bool is_log = strncmp(path, "log/", 4) == 0;
    bool same = true;
    bool wrong = false;
    for (unsigned i = 0; i < COLLECTIONS; i++) {
        struct ochre_error err = {.status = OCHRE_OK};
        uint64_t sum = 0;
        ochre_status status = read_all(db, names[i], &sum, &err);
        bool failed = status == OCHRE_OK ? sum != sums[i]
                                         : status == OCHRE_NOT_FOUND ||
                        (owner != COLLECTIONS && owner != i) || (is_log && i == 0);
        if (failed)
            (void) fprintf(stderr, "corruption: %s %s: collection %s: %s\n", path, what, names[i],
                    status == OCHRE_OK ? "other contents" : err.message);
        wrong |= failed;
        same &= status == OCHRE_OK;
    }
    totals->n_wrong += wrong;
    totals->n_same += same && !wrong;
    totals->n_errors += !same && !wrong;
}

/* --- repairing --------------------------------------------------------------------- */

/* Is it one that was written, in all that it has? */
static bool
was_written(const struct ochre_hit *hit)
{
    char text[48];
    unsigned i = 0;
    for (size_t k = 1; k < hit->id.size; k++)
        i = i * 10 + (unsigned) (hit->id.data[k] - '0');
    int size = snprintf(text, sizeof(text), "r%05u is a document", i);
    uint64_t seed = i + 1;
    bool is_right = i < ROWS && hit->id.size == 6 && memcmp(hit->id.data, text, 6) == 0 &&
            hit->document.size == (size_t) size &&
            memcmp(hit->document.data, text, hit->document.size) == 0;
    for (unsigned d = 0; d < DIM && is_right; d++)
        is_right = hit->embedding[d] == (float) och_random_below(&seed, 1000);
    return is_right;
}

/* Records of a repaired collection, each of which was written; `wrong` where not. */
static size_t
count_repaired(ochre_db *db, const char *name, bool *wrong)
{
    struct ochre_error err;
    const struct ochre_get get = {
            .limit = UINT64_MAX, .include = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_EMBEDDINGS};
    ochre_collection *collection = NULL;
    ochre_result *rows = NULL;
    size_t n = 0;
    ochre_status status = ochre_collection_open(db, NULL, NULL, name, &collection, &err);
    if (status == OCHRE_OK)
        status = ochre_get(collection, &get, &rows, &err);
    *wrong |= status != OCHRE_OK;
    const struct ochre_hit *hits = status == OCHRE_OK ? ochre_result_hits(rows, 0, &n) : NULL;
    for (size_t i = 0; i < n; i++)
        *wrong |= !was_written(&hits[i]);
    ochre_result_close(rows);
    ochre_collection_close(collection);
    return n;
}

/* What was damaged: the files of one collection, the log, or what all of them need. */
static void
judge_repaired(const char *to, const char *path, const char *what, struct totals *totals)
{
    unsigned owner = owner_of(path);
    bool wrong = false;
    ochre_db *db = open_db(to, 0);
    for (unsigned i = 0; i < COLLECTIONS; i++) {
        size_t n = count_repaired(db, names[i], &wrong);
        bool may_lose = owner == i || strncmp(path, "log/", 4) == 0;
        wrong |= !may_lose && n != ROWS;
    }
    ochre_close(db);
    if (wrong)
        (void) fprintf(stderr, "corruption: %s %s: other contents after a repair\n", path, what);
    totals->n_wrong += wrong;
}

static void
repair_case(const char *from, const char *path, const char *what, struct totals *totals)
{
    char to[PATH_MAX_SIZE];
    struct och_mem mem;
    struct och_repair_totals result;
    struct ochre_error err;
    och_mem_init(&mem, NULL);
    (void) snprintf(to, sizeof(to), "%.400s-repaired", from);
    clear_dir(to);
    const struct och_repair_options options = {.mem = &mem, .machine = och_machine_posix()};
    ochre_status status = och_repair_directory(&options, from, to, &result, &err);
    if (status == OCHRE_OK) {
        totals->n_repaired++;
        totals->n_with_losses += result.has_lost;
        judge_repaired(to, path, what, totals);
        return;
    }
    /* The catalog is there twice, so that one damage is never too much. */
    (void) fprintf(stderr, "corruption: %s %s: no repair: %s\n", path, what, err.message);
    totals->n_beyond++;
    totals->n_wrong++;
}

static void
run_case(struct image *image, const char *path, uint64_t *seed, struct totals *totals)
{
    struct file *file;
    do {
        file = &image->files[och_random_below(seed, image->n)];
    } while (file->size == 0);
    struct file back;
    char what[96];
    struct ochre_error err = {.status = OCHRE_OK};
    const struct ochre_options options = {.size = sizeof(options)};
    ochre_db *db = NULL;
    damage(file, seed, &back, what);
    write_image(image, path);
    free(file->bytes);
    *file = back;
    if (totals->n_cases++ / 2 % REPAIRED_ONE_IN == 0) /* of both images */
        repair_case(path, file->path, what, totals);
    ochre_status status = ochre_open(path, &options, &db, &err);
    if (status == OCHRE_OK) {
        judge_open(db, file->path, what, totals);
    } else {
        totals->n_refused++;
        totals->n_wrong++;
        (void) fprintf(stderr, "corruption: %s %s: refused: %s\n", file->path, what, err.message);
    }
    ochre_close(db);
}

int
main(int argc, char **argv)
{
    static struct image images[2];
    struct totals totals = {0};
    uint64_t n_cases = 300;
    uint64_t seed = 1;
    char gold[PATH_MAX_SIZE];
    char path[PATH_MAX_SIZE];
    if (argc < 2 || argc % 2 != 0)
        stop("usage", "corruption DIR [--cases N] [--seed S]");
    for (int i = 2; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--cases") == 0)
            n_cases = value;
        else if (strcmp(argv[i], "--seed") == 0)
            seed = value;
        else
            stop("an option that is not known", argv[i]);
    }
    make_dir(argv[1]);
    join(gold, argv[1], "gold");
    join(path, argv[1], "case");
    make_images(gold, images);
    for (uint64_t i = 0; i < n_cases; i++)
        run_case(&images[i % 2], path, &seed, &totals);
    free_image(&images[0]);
    free_image(&images[1]);
    (void) printf("%" PRIu64 " cases: %" PRIu64 " the same, %" PRIu64
                  " an error for some collection, "
                  "%" PRIu64 " do not start, %" PRIu64 " repaired (%" PRIu64
                  " with losses, %" PRIu64 " beyond it), %" PRIu64 " wrong\n",
            totals.n_cases, totals.n_same, totals.n_errors, totals.n_refused, totals.n_repaired,
            totals.n_with_losses, totals.n_beyond, totals.n_wrong);
    return totals.n_wrong == 0 ? 0 : 1;
}
