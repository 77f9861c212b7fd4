/*
 * Copies of a catalog that is changed while they are made.  At any call of who copies a
 * whole transaction happens, or one that fails at any of its calls and is undone: the
 * copy is the catalog of before, or of after.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "drivers/catalog_image.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_sqlite.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_watch.h"
#include "support/check.h"

static struct och_mem mem;
static struct sim_disk *disk;
static struct och_catalog *catalog;
static uint64_t calls_left; /* of who copies, until something happens */
static uint64_t fail_at;    /* the transaction's call that fails; 0: none */
static bool has_failed;     /* it did */
static unsigned n_tenants;

static void
change(void)
{
    char name[32];
    (void) snprintf(name, sizeof(name), "tenant-%u", n_tenants++);
    ochre_status status =
            catalog->ops->tenant_create(catalog, (struct ochre_bytes){name, strlen(name)}, NULL);
    check(status == OCHRE_OK || fail_at > 0);
}

static ochre_status
before_call(void *context, bool changes, struct ochre_error *err)
{
    (void) context;
    (void) err;
    check(!changes);
    if (calls_left == 0 || --calls_left > 0)
        return OCHRE_OK;
    sim_disk_fail(disk, fail_at, SIM_IO_ONCE);
    change();
    has_failed = fail_at > 0 && sim_disk_has_failed(disk);
    sim_disk_fail(disk, 0, SIM_IO_ONCE);
    /* What failed is undone by whoever asks next. */
    uint64_t generation;
    check(catalog->ops->generation(catalog, &generation, NULL) == OCHRE_OK);
    return OCHRE_OK;
}

static void
read_all(struct och_vfs *vfs, struct och_buf *bytes)
{
    struct ochre_error err;
    struct och_file *file;
    uint64_t size;
    och_buf_reset(bytes);
    check_ok(och_vfs_open(vfs, OCH_CATALOG_FILE, OCH_OPEN_READ, &file, &err), &err);
    check_ok(och_file_size(file, &size, &err), &err);
    char *room = och_buf_extend(bytes, (size_t) size);
    check(room != NULL);
    check_ok(och_file_read_all(file, 0, room, (size_t) size, &err), &err);
    och_file_close(file);
}

static bool
is_equal(const struct och_buf *a, const struct och_buf *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* With a transaction at the n-th call of a copy; false when the copy takes fewer. */
static bool
copy_while(uint64_t n, uint64_t fails)
{
    struct ochre_error err;
    struct och_catalog_image *image;
    struct och_buf before, after, copy;
    bool changed;
    och_buf_init(&before, &mem, SIZE_MAX / 2);
    och_buf_init(&after, &mem, SIZE_MAX / 2);
    och_buf_init(&copy, &mem, SIZE_MAX / 2);
    struct sim_watch *watch = sim_watch_open(sim_disk_vfs(disk), before_call, NULL);
    read_all(sim_disk_vfs(disk), &before);
    check_ok(och_catalog_image_make(&mem, sim_watch_vfs(watch), &image, &err), &err);
    calls_left = n;
    fail_at = fails;
    has_failed = false;
    check_ok(och_catalog_image_look(image, &changed, &err), &err);
    bool happened = calls_left == 0;
    calls_left = 0;
    och_catalog_image_take(image);
    read_all(sim_disk_vfs(disk), &after);
    read_all(och_catalog_image_vfs(image), &copy);
    check(is_equal(&copy, &before) || is_equal(&copy, &after));
    /* And what came after the copy is seen by the next look. */
    check_ok(och_catalog_image_look(image, &changed, &err), &err);
    if (changed)
        och_catalog_image_take(image);
    read_all(och_catalog_image_vfs(image), &copy);
    check(is_equal(&copy, &after));
    check_ok(och_catalog_image_look(image, &changed, &err), &err);
    check(!changed);
    och_catalog_image_release(image);
    sim_watch_close(watch);
    och_buf_clear(&before);
    och_buf_clear(&after);
    och_buf_clear(&copy);
    return happened;
}

static int
set_up(void **state)
{
    struct ochre_error err;
    (void) state;
    och_mem_init(&mem, NULL);
    disk = sim_disk_open(&mem, 1);
    check_ok(och_catalog_sqlite_open(&mem, sim_disk_vfs(disk), true, &catalog, &err), &err);
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    catalog->ops->close(catalog);
    sim_disk_close(disk);
    return och_mem_used(&mem) == 0 ? 0 : 1;
}

static void
a_copy_is_of_one_moment_whatever_is_committed_meanwhile(void **state)
{
    (void) state;
    uint64_t n = 1;
    while (copy_while(n, 0))
        n++;
    check(n > 10);
}

static void
a_transaction_that_fails_and_is_undone_is_in_no_copy(void **state)
{
    (void) state;
    uint64_t n_failed = 0;
    bool happened = true;
    for (uint64_t n = 1; happened; n++) {
        for (uint64_t fails = 1; fails == 1 || has_failed; fails++) {
            happened = copy_while(n, fails);
            n_failed += has_failed;
        }
    }
    check(n_failed > 100);
}

/* --- in the middle of a transaction ------------------------------------------ */

/* The two files as they are between two calls of one transaction. */
struct moment {
    struct och_buf db, journal;
    bool has_journal;
};

enum { MOMENTS_MAX = 64 };
static struct moment moments[MOMENTS_MAX];
static unsigned n_moments;
static bool is_noted;

static void
note_file(struct och_file *file, struct och_buf *bytes)
{
    struct ochre_error err;
    uint64_t size;
    och_buf_init(bytes, &mem, SIZE_MAX / 2);
    check_ok(och_file_size(file, &size, &err), &err);
    if (size == 0)
        return;
    char *room = och_buf_extend(bytes, (size_t) size);
    check(room != NULL);
    check_ok(och_file_read_all(file, 0, room, (size_t) size, &err), &err);
}

static void
note_moment(void)
{
    struct ochre_error err;
    struct och_file *file;
    check(n_moments < MOMENTS_MAX);
    struct moment *moment = &moments[n_moments++];
    struct och_vfs *vfs = sim_disk_vfs(disk);
    check_ok(och_vfs_open(vfs, OCH_CATALOG_FILE, OCH_OPEN_READ, &file, &err), &err);
    note_file(file, &moment->db);
    och_file_close(file);
    och_buf_init(&moment->journal, &mem, SIZE_MAX / 2);
    ochre_status status = och_vfs_open(vfs, OCH_CATALOG_JOURNAL, OCH_OPEN_READ, &file, &err);
    moment->has_journal = status == OCHRE_OK;
    if (!moment->has_journal)
        return;
    note_file(file, &moment->journal);
    och_file_close(file);
}

static ochre_status
before_write(void *context, bool changes, struct ochre_error *err)
{
    (void) context;
    (void) err;
    if (is_noted && changes)
        note_moment();
    return OCHRE_OK;
}

/* All moments of one transaction, the first of before and the last of after it. */
static void
note_transaction(void)
{
    struct ochre_error err;
    catalog->ops->close(catalog);
    struct sim_watch *watch = sim_watch_open(sim_disk_vfs(disk), before_write, NULL);
    check_ok(och_catalog_sqlite_open(&mem, sim_watch_vfs(watch), true, &catalog, &err), &err);
    change(); /* the copy is in step from here on */
    n_moments = 0;
    is_noted = true;
    note_moment();
    change();
    is_noted = false;
    note_moment();
    catalog->ops->close(catalog);
    sim_watch_close(watch);
    check_ok(och_catalog_sqlite_open(&mem, sim_disk_vfs(disk), true, &catalog, &err), &err);
}

static void
forget_moments(void)
{
    for (unsigned i = 0; i < n_moments; i++) {
        och_buf_clear(&moments[i].db);
        och_buf_clear(&moments[i].journal);
    }
    n_moments = 0;
}

static void
put_file(struct sim_disk *stage, const char *name, const struct och_buf *bytes)
{
    struct ochre_error err;
    struct och_file *file;
    check_ok(och_vfs_open(sim_disk_vfs(stage), name, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &err),
            &err);
    check_ok(och_file_truncate(file, bytes->size, &err), &err);
    if (bytes->size > 0)
        check_ok(och_file_write(file, 0, bytes->data, bytes->size, &err), &err);
    och_file_close(file);
}

/* Which moments there are for who copies, and from which of its calls on. */
struct play {
    struct sim_disk *stage;
    uint64_t n_calls, second_at, last_at;
    unsigned second;
};

static void
show(const struct play *play, unsigned i)
{
    put_file(play->stage, OCH_CATALOG_FILE, &moments[i].db);
    if (moments[i].has_journal)
        put_file(play->stage, OCH_CATALOG_JOURNAL, &moments[i].journal);
}

static ochre_status
before_scene(void *context, bool changes, struct ochre_error *err)
{
    struct play *play = context;
    (void) err;
    check(!changes);
    play->n_calls++;
    if (play->n_calls == play->second_at)
        show(play, play->second);
    if (play->n_calls == play->last_at)
        show(play, n_moments - 1);
    return OCHRE_OK;
}

/* Copy while there is the second moment from one call on, and the last from another;
 * false: the copy takes fewer calls than the first of them. */
static bool
copy_in_play(struct sim_disk *stage, unsigned second, uint64_t second_at, uint64_t last_at)
{
    struct ochre_error err;
    struct och_catalog_image *image;
    struct och_buf copy;
    bool changed;
    struct play play = {
            .stage = stage, .second = second, .second_at = second_at, .last_at = last_at};
    show(&play, 0);
    och_buf_init(&copy, &mem, SIZE_MAX / 2);
    struct sim_watch *watch = sim_watch_open(sim_disk_vfs(stage), before_scene, &play);
    check_ok(och_catalog_image_make(&mem, sim_watch_vfs(watch), &image, &err), &err);
    check_ok(och_catalog_image_look(image, &changed, &err), &err);
    bool happened = play.n_calls >= second_at;
    play.second_at = play.last_at = 0;
    och_catalog_image_take(image);
    read_all(och_catalog_image_vfs(image), &copy);
    check(is_equal(&copy, &moments[0].db) || is_equal(&copy, &moments[n_moments - 1].db));
    show(&play, n_moments - 1);
    check_ok(och_catalog_image_look(image, &changed, &err), &err);
    if (changed)
        och_catalog_image_take(image);
    read_all(och_catalog_image_vfs(image), &copy);
    check(is_equal(&copy, &moments[n_moments - 1].db));
    och_catalog_image_release(image);
    sim_watch_close(watch);
    och_buf_clear(&copy);
    return happened;
}

/* A transaction that is begun at one call of who copies and done at another: between the
 * two its pages stand still, and are of no state at all. */
static void
a_copy_from_within_a_transaction_is_not_believed(void **state)
{
    (void) state;
    enum { LONGEST = 8 }; /* calls between the two */
    fail_at = 0;
    note_transaction();
    check(n_moments > 6);
    struct sim_disk *stage = sim_disk_open(&mem, 3);
    for (unsigned second = 1; second + 1 < n_moments; second++) {
        bool happened = true;
        for (uint64_t at = 1; happened; at++)
            for (uint64_t length = 1; length <= LONGEST; length++)
                happened = copy_in_play(stage, second, at, at + length);
    }
    sim_disk_close(stage);
    forget_moments();
}

static ochre_status
change_at_once(void *context, bool changes, struct ochre_error *err)
{
    (void) changes;
    (void) err;
    if (*(bool *) context)
        change();
    return OCHRE_OK;
}

/* It is not tried for ever, and when it rests, it is copied. */
static void
a_catalog_that_changes_at_every_call_is_not_copied(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_catalog_image *image;
    bool changed, is_busy = true;
    struct sim_watch *watch = sim_watch_open(sim_disk_vfs(disk), change_at_once, &is_busy);
    fail_at = 0;
    check_ok(och_catalog_image_make(&mem, sim_watch_vfs(watch), &image, &err), &err);
    check(och_catalog_image_look(image, &changed, &err) == OCHRE_UNAVAILABLE);
    is_busy = false;
    check_ok(och_catalog_image_look(image, &changed, &err), &err);
    check(changed);
    och_catalog_image_release(image);
    sim_watch_close(watch);
}

static bool
copy_with(struct och_mem *account)
{
    struct och_catalog_image *image = NULL;
    bool changed;
    ochre_status status = och_catalog_image_make(account, sim_disk_vfs(disk), &image, NULL);
    if (status == OCHRE_OK)
        status = och_catalog_image_look(image, &changed, NULL);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    if (status == OCHRE_OK) {
        struct och_file *file;
        och_catalog_image_take(image);
        status = och_vfs_open(
                och_catalog_image_vfs(image), OCH_CATALOG_FILE, OCH_OPEN_READ, &file, NULL);
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        if (status == OCHRE_OK)
            och_file_close(file);
    }
    och_catalog_image_release(image);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(copy_with);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(
                    a_copy_is_of_one_moment_whatever_is_committed_meanwhile, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_transaction_that_fails_and_is_undone_is_in_no_copy, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_copy_from_within_a_transaction_is_not_believed, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_catalog_that_changes_at_every_call_is_not_copied, set_up, tear_down),
            cmocka_unit_test_setup_teardown(any_allocation_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
