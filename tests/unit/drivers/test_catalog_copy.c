/*
 * The second copy of the catalog: damage to one of the two files costs nothing, an old
 * one is noticed, and damage to both is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/mem.h"
#include "drivers/catalog_copy.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_salvage.h"
#include "drivers/catalog_sqlite.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/drivers/catalog_model.h"

enum { N_TENANTS = 36, HEADER = 64, RECORD = 8 + OCH_CATALOG_PAGE_SIZE };

struct fixture {
    struct och_mem mem;
    struct sim_disk *disk;
    struct och_catalog *catalog;
    struct ochre_error err;
};

static struct och_catalog *
open_on(struct fixture *f, struct sim_disk *disk)
{
    struct och_catalog *catalog;
    check_ok(
            och_catalog_sqlite_open(&f->mem, sim_disk_vfs(disk), true, &catalog, &f->err), &f->err);
    return catalog;
}

static void
add_tenant(struct fixture *f, struct och_catalog *catalog, unsigned i)
{
    char name[32];
    int size = snprintf(name, sizeof(name), "tenant-%04u", i);
    check_ok(catalog->ops->tenant_create(
                     catalog, (struct ochre_bytes){name, (size_t) size}, &f->err),
            &f->err);
}

/* A catalog of `N_TENANTS` transactions, closed. */
static int
set_up(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    *f = (struct fixture){.disk = NULL};
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->mem, 1);
    f->catalog = open_on(f, f->disk);
    for (unsigned i = 0; i < N_TENANTS; i++)
        add_tenant(f, f->catalog, i);
    f->catalog->ops->close(f->catalog);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    sim_disk_close(f->disk);
    return och_mem_used(&f->mem) == 0 ? 0 : 1;
}

static bool
exists(struct fixture *f, struct sim_disk *disk, const char *name)
{
    bool there = false;
    check_ok(och_vfs_exists(sim_disk_vfs(disk), name, &there, &f->err), &f->err);
    return there;
}

/* The bytes of a file; free them. */
static unsigned char *
bytes_of(struct fixture *f, struct sim_disk *disk, const char *name, size_t *size_out)
{
    struct och_file *file;
    uint64_t size = 0;
    check_ok(och_vfs_open(sim_disk_vfs(disk), name, OCH_OPEN_READ, &file, &f->err), &f->err);
    check_ok(och_file_size(file, &size, &f->err), &f->err);
    unsigned char *bytes = malloc((size_t) size + 1);
    check(bytes != NULL);
    check_ok(och_file_read_all(file, 0, bytes, (size_t) size, &f->err), &f->err);
    och_file_close(file);
    *size_out = (size_t) size;
    return bytes;
}

static size_t
size_of(struct fixture *f, struct sim_disk *disk, const char *name)
{
    size_t size;
    free(bytes_of(f, disk, name, &size));
    return size;
}

/* Replace a file by these bytes. */
static void
put(struct fixture *f, struct sim_disk *disk, const char *name, const void *bytes, size_t size)
{
    struct och_file *file;
    check_ok(och_vfs_open(
                     sim_disk_vfs(disk), name, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &f->err),
            &f->err);
    check_ok(och_file_truncate(file, 0, &f->err), &f->err);
    check_ok(och_file_write(file, 0, bytes, size, &f->err), &f->err);
    och_file_close(file);
}

static void
cut(struct fixture *f, struct sim_disk *disk, const char *name, size_t size)
{
    struct och_file *file;
    check_ok(och_vfs_open(sim_disk_vfs(disk), name, OCH_OPEN_WRITE, &file, &f->err), &f->err);
    check_ok(och_file_truncate(file, size, &f->err), &f->err);
    och_file_close(file);
}

static bool
has_tenant(struct fixture *f, struct och_catalog *catalog, unsigned i)
{
    char name[32];
    struct och_arena arena;
    struct ochre_bytes resource;
    int size = snprintf(name, sizeof(name), "tenant-%04u", i);
    och_arena_init(&arena, &f->mem);
    ochre_status status = catalog->ops->tenant_get(
            catalog, &arena, (struct ochre_bytes){name, (size_t) size}, &resource, &f->err);
    och_arena_clear(&arena);
    check(status == OCHRE_OK || status == OCHRE_NOT_FOUND);
    return status == OCHRE_OK;
}

/* It opens, has the tenants below `n` and no others, and can go on; and both of its files
 * are sound afterwards. */
static void
check_has(struct fixture *f, struct sim_disk *disk, unsigned n)
{
    struct och_catalog *catalog = open_on(f, disk);
    for (unsigned i = 0; i < n + 2; i++)
        check(has_tenant(f, catalog, i) == (i < n));
    add_tenant(f, catalog, n);
    check_ok((catalog->ops->check)(catalog, &f->err), &f->err);
    check_ok(och_catalog_copy_verify(&f->mem, sim_disk_vfs(disk), &f->err), &f->err);
    catalog->ops->close(catalog);
}

static void
any_damage_of_the_catalog_is_mended(void **state)
{
    struct fixture *f = *state;
    static const unsigned char zeros[OCH_CATALOG_PAGE_SIZE] = {0};
    size_t size;
    unsigned char *bytes = bytes_of(f, f->disk, OCH_CATALOG_FILE, &size);
    for (size_t at = 0; at < size; at += OCH_CATALOG_PAGE_SIZE) {
        struct sim_disk *zeroed = sim_disk_clone(f->disk);
        struct sim_disk *shorter = sim_disk_clone(f->disk);
        struct och_file *file;
        check_ok(och_vfs_open(
                         sim_disk_vfs(zeroed), OCH_CATALOG_FILE, OCH_OPEN_WRITE, &file, &f->err),
                &f->err);
        check_ok(och_file_write(file, at, zeros, sizeof(zeros), &f->err), &f->err);
        och_file_close(file);
        cut(f, shorter, OCH_CATALOG_FILE, at + (at / OCH_CATALOG_PAGE_SIZE) % 2 * 100);
        check_has(f, zeroed, N_TENANTS);
        check_has(f, shorter, N_TENANTS);
        check(exists(f, zeroed, OCH_CATALOG_DAMAGED) && exists(f, shorter, OCH_CATALOG_DAMAGED));
        sim_disk_close(zeroed);
        sim_disk_close(shorter);
    }
    check(size >= (size_t) 10 * OCH_CATALOG_PAGE_SIZE);
    free(bytes);
}

static void
what_was_damaged_is_kept(void **state)
{
    struct fixture *f = *state;
    size_t size, kept_size;
    check(sim_disk_flip(f->disk, OCH_CATALOG_FILE, 5000, 3));
    unsigned char *bytes = bytes_of(f, f->disk, OCH_CATALOG_FILE, &size);
    check_has(f, f->disk, N_TENANTS);
    unsigned char *kept = bytes_of(f, f->disk, OCH_CATALOG_DAMAGED, &kept_size);
    check(kept_size == size && memcmp(kept, bytes, size) == 0);
    free(kept);
    free(bytes);
}

static void
a_catalog_that_is_missing_is_made_of_its_copy(void **state)
{
    struct fixture *f = *state;
    check_ok(och_vfs_remove(sim_disk_vfs(f->disk), OCH_CATALOG_FILE, &f->err), &f->err);
    check_has(f, f->disk, N_TENANTS);
}

/* Wherever it is damaged, catalog.db stands and the copy is made anew. */
static void
any_damage_of_the_copy_is_mended(void **state)
{
    struct fixture *f = *state;
    size_t size = size_of(f, f->disk, OCH_CATALOG_COPY);
    for (size_t at = 0; at < size; at += 997) {
        struct sim_disk *flipped = sim_disk_clone(f->disk);
        struct sim_disk *shorter = sim_disk_clone(f->disk);
        check(sim_disk_flip(flipped, OCH_CATALOG_COPY, at, (unsigned) (at % 8)));
        cut(f, shorter, OCH_CATALOG_COPY, at);
        check(och_catalog_copy_verify(&f->mem, sim_disk_vfs(flipped), &f->err) == OCHRE_CORRUPT);
        check_has(f, flipped, N_TENANTS);
        check_has(f, shorter, N_TENANTS);
        check(!exists(f, flipped, OCH_CATALOG_DAMAGED));
        sim_disk_close(flipped);
        sim_disk_close(shorter);
    }
    check_ok(och_vfs_remove(sim_disk_vfs(f->disk), OCH_CATALOG_COPY, &f->err), &f->err);
    check_has(f, f->disk, N_TENANTS);
}

static void
damage_of_both_is_refused_and_left(void **state)
{
    struct fixture *f = *state;
    size_t copy_size = size_of(f, f->disk, OCH_CATALOG_COPY);
    for (size_t at = 0; at < copy_size; at += copy_size / 40) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        struct och_catalog *catalog = NULL;
        check(sim_disk_flip(disk, OCH_CATALOG_FILE, 4096 + 17, 1));
        check(sim_disk_flip(disk, OCH_CATALOG_COPY, at, 1));
        ochre_status status =
                och_catalog_sqlite_open(&f->mem, sim_disk_vfs(disk), true, &catalog, &f->err);
        check_status(status, OCHRE_CORRUPT, &f->err, __FILE__, __LINE__);
        check(!exists(f, disk, OCH_CATALOG_DAMAGED));
        /* Put right by hand, it is all there. */
        check(sim_disk_flip(disk, OCH_CATALOG_FILE, 4096 + 17, 1));
        check_has(f, disk, N_TENANTS);
        sim_disk_close(disk);
    }
}

static void
an_old_catalog_is_brought_forward(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 1; n <= 3; n++) { /* so many transactions */
        size_t size;
        struct sim_disk *disk = sim_disk_clone(f->disk);
        unsigned char *old = bytes_of(f, disk, OCH_CATALOG_FILE, &size);
        struct och_catalog *catalog = open_on(f, disk);
        for (unsigned i = 0; i < n; i++)
            add_tenant(f, catalog, N_TENANTS + i);
        catalog->ops->close(catalog);
        put(f, disk, OCH_CATALOG_FILE, old, size);
        check_has(f, disk, N_TENANTS + n);
        free(old);
        sim_disk_close(disk);
    }
}

/* One that failed is undone in both files: it does not come back with what mends the one. */
static void
what_failed_does_not_come_back(void **state)
{
    struct fixture *f = *state;
    bool has_failed = true;
    unsigned n_undone = 0;
    for (uint64_t n = 1; has_failed; n++) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        struct och_catalog *catalog = open_on(f, disk);
        sim_disk_fail(disk, n, SIM_IO_ONCE);
        ochre_status status = catalog->ops->tenant_create(
                catalog, (struct ochre_bytes){"tenant-0036", 11}, &f->err);
        has_failed = sim_disk_has_failed(disk);
        sim_disk_fail(disk, UINT64_MAX, SIM_IO_ONCE);
        bool was_there = has_tenant(f, catalog, N_TENANTS);
        check(status != OCHRE_OK || was_there);
        catalog->ops->close(catalog);
        check(sim_disk_flip(disk, OCH_CATALOG_FILE, OCH_CATALOG_PAGE_SIZE + 17, 1));
        catalog = open_on(f, disk);
        check(has_tenant(f, catalog, N_TENANTS) == was_there);
        catalog->ops->close(catalog);
        n_undone += !was_there;
        sim_disk_close(disk);
    }
    check(n_undone > 5);
}

/* As after a day with a version that knows no copy. */
static void
an_old_copy_is_made_anew(void **state)
{
    struct fixture *f = *state;
    size_t size;
    unsigned char *old = bytes_of(f, f->disk, OCH_CATALOG_COPY, &size);
    f->catalog = open_on(f, f->disk);
    for (unsigned i = N_TENANTS; i < N_TENANTS + 3; i++)
        add_tenant(f, f->catalog, i);
    f->catalog->ops->close(f->catalog);
    put(f, f->disk, OCH_CATALOG_COPY, old, size);
    check_has(f, f->disk, N_TENANTS + 3);
    free(old);
}

/*
 * A journal that was lost leaves pages of two states, each of them sound.  Where the page
 * with the generation is of the new one, nobody can tell it from an older version's
 * transaction: that is refused, and nothing else is wrong.
 */
static void
a_journal_that_was_lost_is_noticed(void **state)
{
    struct fixture *f = *state;
    unsigned n_mended = 0;
    unsigned n_refused = 0;
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        f->catalog = open_on(f, disk);
        sim_disk_crash(disk, n, SIM_BEFORE);
        ochre_status status =
                f->catalog->ops->tenant_create(f->catalog, (struct ochre_bytes){"x", 1}, &f->err);
        crashed = sim_disk_has_crashed(disk);
        check(status == OCHRE_OK || (crashed && status == OCHRE_IO));
        f->catalog->ops->close(f->catalog);
        sim_disk_recover(disk, SIM_ALL_KEPT, n);
        if (exists(f, disk, OCH_CATALOG_JOURNAL))
            check_ok(och_vfs_remove(sim_disk_vfs(disk), OCH_CATALOG_JOURNAL, &f->err), &f->err);
        struct och_catalog *catalog = NULL;
        status = och_catalog_sqlite_open(&f->mem, sim_disk_vfs(disk), true, &catalog, &f->err);
        check(status == OCHRE_OK || status == OCHRE_CORRUPT);
        if (catalog != NULL)
            catalog->ops->close(catalog);
        if (crashed && status == OCHRE_OK)
            check_has(f, disk, N_TENANTS);
        n_refused += status == OCHRE_CORRUPT;
        n_mended += exists(f, disk, OCH_CATALOG_DAMAGED);
        sim_disk_close(disk);
    }
    print_message("%u mended, %u refused\n", n_mended, n_refused);
    check(n_mended >= 2);
}

/* Crash at the m-th call of an opening, which puts a damaged catalog aside and makes it
 * anew; the next one finds the catalog all the same.  False: it got through. */
static bool
crash_while_it_is_made_anew(struct fixture *f, const struct sim_disk *before, uint64_t m)
{
    static const enum sim_mode modes[] = {SIM_NONE_KEPT, SIM_ALL_KEPT};
    bool crashed = false;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        struct sim_disk *disk = sim_disk_clone(before);
        struct och_catalog *catalog = NULL;
        sim_disk_crash(disk, m, SIM_BEFORE);
        ochre_status status =
                och_catalog_sqlite_open(&f->mem, sim_disk_vfs(disk), true, &catalog, &f->err);
        crashed = sim_disk_has_crashed(disk);
        check(status == OCHRE_OK || crashed);
        if (catalog != NULL)
            catalog->ops->close(catalog);
        sim_disk_recover(disk, modes[i], m);
        check_has(f, disk, N_TENANTS);
        sim_disk_close(disk);
    }
    return crashed;
}

/* A transaction that a crash cut short left a journal, which was damaged since. */
static void
it_is_made_anew_whenever_that_is_cut_short(void **state)
{
    struct fixture *f = *state;
    unsigned n_swept = 0;
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        f->catalog = open_on(f, disk);
        sim_disk_crash(disk, n, SIM_BEFORE);
        ochre_status status =
                f->catalog->ops->tenant_create(f->catalog, (struct ochre_bytes){"x", 1}, &f->err);
        crashed = sim_disk_has_crashed(disk);
        check(status == OCHRE_OK || (crashed && status == OCHRE_IO));
        f->catalog->ops->close(f->catalog);
        sim_disk_recover(disk, SIM_ALL_KEPT, n);
        if (sim_disk_flip(disk, OCH_CATALOG_JOURNAL, 600, 1)) {
            for (uint64_t m = 1; crash_while_it_is_made_anew(f, disk, m);)
                m++;
            n_swept++;
        }
        sim_disk_close(disk);
    }
    check(n_swept >= 5);
}

static void
it_is_made_anew_when_it_has_grown(void **state)
{
    struct fixture *f = *state;
    size_t largest = 0;
    size_t shrunk = 0;
    size_t before = size_of(f, f->disk, OCH_CATALOG_COPY);
    f->catalog = open_on(f, f->disk);
    for (unsigned i = 0; i < 200; i++) {
        add_tenant(f, f->catalog, N_TENANTS + i);
        size_t size = size_of(f, f->disk, OCH_CATALOG_COPY);
        shrunk += size < before;
        largest = size > largest ? size : largest;
        before = size;
    }
    f->catalog->ops->close(f->catalog);
    size_t db_size = size_of(f, f->disk, OCH_CATALOG_FILE);
    check(shrunk >= 3);
    check(largest <= 512 * 1024 + 2 * db_size);
    check_has(f, f->disk, N_TENANTS + 200);
}

static bool
has_bytes(struct fixture *f, const char *name, const char *text)
{
    size_t size;
    unsigned char *bytes = bytes_of(f, f->disk, name, &size);
    bool has = memmem(bytes, size, text, strlen(text)) != NULL;
    free(bytes);
    return has;
}

static void
tidying_leaves_nothing_of_what_was_deleted(void **state)
{
    struct fixture *f = *state;
    struct och_collection_row row = {.id = {{7}},
            .tenant = {OCH_DEFAULT_TENANT, sizeof(OCH_DEFAULT_TENANT) - 1},
            .database = {OCH_DEFAULT_DATABASE, sizeof(OCH_DEFAULT_DATABASE) - 1},
            .name = {"conspicuous", 11},
            .schema = {"{}", 2}};
    f->catalog = open_on(f, f->disk);
    check_ok(f->catalog->ops->collection_create(f->catalog, &row, &f->err), &f->err);
    f->catalog->ops->close(f->catalog);
    check(sim_disk_flip(f->disk, OCH_CATALOG_FILE, 8, 1)); /* to have a file put aside */
    f->catalog = open_on(f, f->disk);
    check_ok(f->catalog->ops->collection_delete(f->catalog, row.id, &f->err), &f->err);
    check(has_bytes(f, OCH_CATALOG_COPY, "conspicuous"));
    check(has_bytes(f, OCH_CATALOG_DAMAGED, "conspicuous"));
    check_ok(f->catalog->ops->tidy(f->catalog, &f->err), &f->err);
    check(!has_bytes(f, OCH_CATALOG_COPY, "conspicuous"));
    check(!has_bytes(f, OCH_CATALOG_FILE, "conspicuous"));
    check(!exists(f, f->disk, OCH_CATALOG_DAMAGED));
    f->catalog->ops->close(f->catalog);
    check_has(f, f->disk, N_TENANTS);
}

static void
who_only_reads_changes_neither(void **state)
{
    struct fixture *f = *state;
    struct och_catalog *catalog;
    size_t size, size_after;
    cut(f, f->disk, OCH_CATALOG_COPY, 1000);
    unsigned char *before = bytes_of(f, f->disk, OCH_CATALOG_COPY, &size);
    const struct och_catalog_sqlite_options options = {
            .mem = &f->mem, .vfs = sim_disk_vfs(f->disk), .only_reads = true};
    check_ok(och_catalog_sqlite_open_with(&options, &catalog, &f->err), &f->err);
    check(has_tenant(f, catalog, N_TENANTS - 1));
    catalog->ops->close(catalog);
    unsigned char *after = bytes_of(f, f->disk, OCH_CATALOG_COPY, &size_after);
    check(size == size_after && memcmp(before, after, size) == 0);
    free(before);
    free(after);

    check(sim_disk_flip(f->disk, OCH_CATALOG_FILE, 20, 1));
    check(och_catalog_sqlite_open_with(&options, &catalog, &f->err) == OCHRE_CORRUPT);
    check(!exists(f, f->disk, OCH_CATALOG_DAMAGED));
}

/* Found in operation: that call fails, and the next one is answered. */
static void
damage_in_operation_is_mended(void **state)
{
    struct fixture *f = *state;
    f->catalog = open_on(f, f->disk);
    size_t size = size_of(f, f->disk, OCH_CATALOG_FILE);
    for (size_t at = 100; at < size; at += OCH_CATALOG_PAGE_SIZE)
        check(sim_disk_flip(f->disk, OCH_CATALOG_FILE, at, 2));
    ochre_status status =
            f->catalog->ops->tenant_create(f->catalog, (struct ochre_bytes){"y", 1}, &f->err);
    check(status == OCHRE_OK || status == OCHRE_CORRUPT);
    check((f->catalog->ops->check)(f->catalog, &f->err) == OCHRE_CORRUPT || status != OCHRE_OK);
    check(has_tenant(f, f->catalog, N_TENANTS - 1));
    f->catalog->ops->close(f->catalog);
}

/* An old catalog and its newer copy, both whole: any call may fail while it is found out
 * which is which. */
static void
telling_the_older_one_may_fail_and_is_done_again(void **state)
{
    struct fixture *f = *state;
    size_t size;
    uint64_t n_failed = 0;
    bool failed = true;
    unsigned char *old = bytes_of(f, f->disk, OCH_CATALOG_FILE, &size);
    f->catalog = open_on(f, f->disk);
    for (unsigned i = N_TENANTS; i < N_TENANTS + 3; i++)
        add_tenant(f, f->catalog, i);
    f->catalog->ops->close(f->catalog);
    put(f, f->disk, OCH_CATALOG_FILE, old, size);
    for (uint64_t n = 1; failed; n++) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        struct och_catalog *catalog = NULL;
        sim_disk_fail(disk, n, SIM_IO_ONCE);
        ochre_status status =
                och_catalog_sqlite_open(&f->mem, sim_disk_vfs(disk), false, &catalog, &f->err);
        failed = sim_disk_has_failed(disk);
        check(status == OCHRE_OK || (failed && status == OCHRE_IO));
        n_failed += status != OCHRE_OK;
        sim_disk_fail(disk, 0, SIM_IO_ONCE);
        if (catalog != NULL)
            catalog->ops->close(catalog);
        check_has(f, disk, N_TENANTS + 3);
        sim_disk_close(disk);
    }
    check(n_failed > 10);
    free(old);
}

static void
a_scrub_makes_a_copy_that_is_missing(void **state)
{
    struct fixture *f = *state;
    bool mended = true;
    check_ok(och_vfs_remove(sim_disk_vfs(f->disk), OCH_CATALOG_COPY, &f->err), &f->err);
    f->catalog = open_on(f, f->disk);
    check_ok(f->catalog->ops->scrub_copy(f->catalog, &mended, &f->err), &f->err);
    check(!mended); /* who opened knew that it was not there */
    check_ok(och_catalog_copy_verify(&f->mem, sim_disk_vfs(f->disk), &f->err), &f->err);
    check(sim_disk_flip(f->disk, OCH_CATALOG_COPY, 600, 1));
    check_ok(f->catalog->ops->scrub_copy(f->catalog, &mended, &f->err), &f->err);
    check(mended);
    f->catalog->ops->close(f->catalog);
    check_has(f, f->disk, N_TENANTS);
}

/* The disk has lost a write to catalog.db, of one page or of all that a transaction changed: what
 * stands there is sound, and older.  The copy must not be made of it. */
static void
a_scrub_takes_no_write_back(void **state)
{
    struct fixture *f = *state;
    unsigned n_changed = 0;
    size_t n_pages = size_of(f, f->disk, OCH_CATALOG_FILE) / OCH_CATALOG_PAGE_SIZE;
    for (size_t page = 0; page <= n_pages; page++) { /* the last time: all of them */
        struct sim_disk *disk = sim_disk_clone(f->disk);
        struct och_catalog *catalog = open_on(f, disk);
        size_t size_before, size_after;
        unsigned char *before = bytes_of(f, disk, OCH_CATALOG_FILE, &size_before);
        add_tenant(f, catalog, N_TENANTS);
        unsigned char *after = bytes_of(f, disk, OCH_CATALOG_FILE, &size_after);
        size_t at = page * OCH_CATALOG_PAGE_SIZE;
        bool is_changed =
                page == n_pages || memcmp(before + at, after + at, OCH_CATALOG_PAGE_SIZE) != 0;
        if (page < n_pages)
            memcpy(after + at, before + at, OCH_CATALOG_PAGE_SIZE);
        put(f, disk, OCH_CATALOG_FILE, page < n_pages ? after : before,
                page < n_pages ? size_after : size_before);
        bool mended = is_changed;
        if (page % 3 == 1) /* a purge makes the copy anew */
            check_ok(catalog->ops->tidy(catalog, &f->err), &f->err);
        else
            check_ok(catalog->ops->scrub_copy(catalog, &mended, &f->err), &f->err);
        check(mended == is_changed);
        n_changed += is_changed;
        check(has_tenant(f, catalog, N_TENANTS));
        bool goes_on = page % 2 == 0;
        if (goes_on)
            add_tenant(f, catalog, N_TENANTS + 1);
        catalog->ops->close(catalog);
        check_has(f, disk, N_TENANTS + 1 + goes_on);
        check_ok(och_catalog_copy_verify(&f->mem, sim_disk_vfs(disk), &f->err), &f->err);
        free(before);
        free(after);
        sim_disk_close(disk);
    }
    check(n_changed > 2);
}

/* A collection with so much text that its row is in pages of its own. */
static void
fill_row(struct och_collection_row *row, uint8_t i, char *name, char *text, size_t size)
{
    (void) snprintf(name, 32, "collection-%u", (unsigned) i);
    memset(text, 'a' + i, size);
    *row = (struct och_collection_row){.id = {{7, i}},
            .tenant = {"default_tenant", 14},
            .database = {"default_database", 16},
            .name = {name, strlen(name)},
            .metadata = {text, size},
            .schema = {"{}", 2}};
}

/* Whoever only looks after a crash (`ochre check`) recovers catalog.db, and that is all; SQLite has
 * put nothing into the journal of pages that were free, so these are not what they were. */
static void
who_looks_after_a_crash_keeps_nobody_out(void **state)
{
    struct fixture *f = *state;
    static char text[30000];
    char name[32];
    struct och_collection_row row;
    bool has_crashed = true;
    f->catalog = open_on(f, f->disk);
    for (uint8_t i = 0; i < 3; i++) {
        fill_row(&row, i, name, text, sizeof(text));
        check_ok(f->catalog->ops->collection_create(f->catalog, &row, &f->err), &f->err);
    }
    for (uint8_t i = 0; i < 3; i++)
        check_ok(f->catalog->ops->collection_delete(f->catalog, (struct och_uuid){{7, i}}, &f->err),
                &f->err);
    f->catalog->ops->close(f->catalog);
    for (uint64_t n = 1; has_crashed; n++) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        struct och_catalog *catalog = open_on(f, disk);
        fill_row(&row, 9, name, text, sizeof(text));
        sim_disk_crash(disk, n, SIM_BEFORE);
        ochre_status created = catalog->ops->collection_create(catalog, &row, &f->err);
        has_crashed = sim_disk_has_crashed(disk);
        check(created == OCHRE_OK || has_crashed);
        catalog->ops->close(catalog);
        sim_disk_recover(disk, (enum sim_mode)(n % SIM_N_MODES), n);
        const struct och_catalog_sqlite_options looking = {
                .mem = &f->mem, .vfs = sim_disk_vfs(disk), .only_reads = true};
        check_ok(och_catalog_sqlite_open_with(&looking, &catalog, &f->err), &f->err);
        catalog->ops->close(catalog);
        check_has(f, disk, N_TENANTS);
        sim_disk_close(disk);
    }
}

/* --- salvage --------------------------------------------------------------- */

static void
of_two_files_that_are_missing_nothing_is_left(void **state)
{
    struct fixture *f = *state;
    struct och_catalog_salvage salvage;
    check_ok(och_vfs_remove(sim_disk_vfs(f->disk), OCH_CATALOG_COPY, &f->err), &f->err);
    check_ok(och_vfs_remove(sim_disk_vfs(f->disk), OCH_CATALOG_FILE, &f->err), &f->err);
    check(och_catalog_salvage_open(&salvage, sim_disk_vfs(f->disk), &f->mem, &f->err) ==
            OCHRE_CORRUPT);
    check(strcmp(f->err.message,
                  "catalog.db is missing, and so is its copy; and catalog.copy has nothing whole "
                  "in it") == 0);
    check(salvage.catalog == NULL);
    och_catalog_salvage_close(&salvage);
    check(!exists(f, f->disk, OCH_CATALOG_FILE) && !exists(f, f->disk, OCH_CATALOG_COPY));
}

/* Both are damaged, the copy in its last group: whatever call fails, nothing is made of
 * half of the files, and nothing is changed. */
static void
a_salvage_that_cannot_read_says_so(void **state)
{
    struct fixture *f = *state;
    uint64_t n_failed = 0;
    bool failed = true;
    check(sim_disk_flip(f->disk, OCH_CATALOG_FILE, 4096 + 17, 1));
    check(sim_disk_flip(
            f->disk, OCH_CATALOG_COPY, size_of(f, f->disk, OCH_CATALOG_COPY) - RECORD / 2, 1));
    for (uint64_t n = 1; failed; n++) {
        struct och_catalog_salvage salvage;
        sim_disk_fail(f->disk, n, SIM_IO_ONCE);
        ochre_status status =
                och_catalog_salvage_open(&salvage, sim_disk_vfs(f->disk), &f->mem, &f->err);
        failed = sim_disk_has_failed(f->disk);
        sim_disk_fail(f->disk, 0, SIM_IO_ONCE);
        check(status == (failed ? OCHRE_IO : OCHRE_OK));
        n_failed += failed;
        check((salvage.catalog != NULL) == (status == OCHRE_OK));
        if (status == OCHRE_OK) {
            check(salvage.is_earlier && !has_tenant(f, salvage.catalog, N_TENANTS - 1));
            check(has_tenant(f, salvage.catalog, N_TENANTS - 2));
        }
        och_catalog_salvage_close(&salvage);
    }
    check(n_failed > 6); /* the files are read twice */
    check(!exists(f, f->disk, OCH_CATALOG_DAMAGED));
}

static void
another_version_of_the_copy_is_refused(void **state)
{
    struct fixture *f = *state;
    struct och_catalog *catalog = NULL;
    size_t size;
    unsigned char *bytes = bytes_of(f, f->disk, OCH_CATALOG_COPY, &size);
    bytes[8] = 2;
    uint64_t hash = och_hash64(bytes, 56);
    memcpy(bytes + 56, &hash, sizeof(hash)); /* little-endian, as all our machines */
    put(f, f->disk, OCH_CATALOG_COPY, bytes, size);
    free(bytes);
    ochre_status status =
            och_catalog_sqlite_open(&f->mem, sim_disk_vfs(f->disk), true, &catalog, &f->err);
    check_status(status, OCHRE_UNSUPPORTED, &f->err, __FILE__, __LINE__);
    check(strcmp(f->err.message, "catalog copy: format 2; this build reads format 1") == 0);
}

static void
any_allocation_may_fail(void **state)
{
    struct fixture *f = *state;
    check(sim_disk_flip(f->disk, OCH_CATALOG_FILE, 9000, 2));
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        ochre_status status = OCHRE_NO_MEMORY;
        for (uint64_t n = 1; status != OCHRE_OK; n++) {
            struct och_mem mem;
            struct sim_disk *disk = sim_disk_clone(f->disk);
            struct och_catalog *catalog = NULL;
            och_mem_init(&mem, NULL);
            mem.fail_at = n;
            status = och_catalog_sqlite_open(&mem, sim_disk_vfs(disk), true, &catalog, &f->err);
            if (status == OCHRE_OK)
                status =
                        catalog->ops->tenant_create(catalog, (struct ochre_bytes){"z", 1}, &f->err);
            check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
            if (catalog != NULL)
                catalog->ops->close(catalog);
            check(och_mem_used(&mem) == 0);
            if (status != OCHRE_OK)
                check_has(f, disk, N_TENANTS + damaged);
            sim_disk_close(disk);
        }
        check_has(f, f->disk, N_TENANTS + damaged);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(any_damage_of_the_catalog_is_mended, set_up, tear_down),
            cmocka_unit_test_setup_teardown(what_was_damaged_is_kept, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_catalog_that_is_missing_is_made_of_its_copy, set_up, tear_down),
            cmocka_unit_test_setup_teardown(any_damage_of_the_copy_is_mended, set_up, tear_down),
            cmocka_unit_test_setup_teardown(damage_of_both_is_refused_and_left, set_up, tear_down),
            cmocka_unit_test_setup_teardown(an_old_catalog_is_brought_forward, set_up, tear_down),
            cmocka_unit_test_setup_teardown(what_failed_does_not_come_back, set_up, tear_down),
            cmocka_unit_test_setup_teardown(an_old_copy_is_made_anew, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_journal_that_was_lost_is_noticed, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    it_is_made_anew_whenever_that_is_cut_short, set_up, tear_down),
            cmocka_unit_test_setup_teardown(it_is_made_anew_when_it_has_grown, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    tidying_leaves_nothing_of_what_was_deleted, set_up, tear_down),
            cmocka_unit_test_setup_teardown(who_only_reads_changes_neither, set_up, tear_down),
            cmocka_unit_test_setup_teardown(damage_in_operation_is_mended, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    another_version_of_the_copy_is_refused, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    telling_the_older_one_may_fail_and_is_done_again, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_scrub_makes_a_copy_that_is_missing, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    who_looks_after_a_crash_keeps_nobody_out, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_scrub_takes_no_write_back, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    of_two_files_that_are_missing_nothing_is_left, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_salvage_that_cannot_read_says_so, set_up, tear_down),
            cmocka_unit_test_setup_teardown(any_allocation_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("catalog_copy", tests, NULL, NULL);
}
