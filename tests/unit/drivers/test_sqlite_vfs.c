/* SQLite's files on the file seam, called as SQLite would, also in ways that it
 * does not; and a catalog that somebody edited through it. */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "drivers/catalog_copy.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_sqlite.h"
#include "drivers/sqlite_vfs.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "support/check.h"

struct fixture {
    struct och_mem mem;
    struct sim_disk *disk;
    struct och_sqlite_vfs *files;
    sqlite3_vfs *vfs;
    struct ochre_error err;
    /* Room for one of SQLite's file objects, which are ours inside. */
    _Alignas(max_align_t) char room[512];
};

static sqlite3_file *
file_of(struct fixture *f)
{
    check((size_t) f->vfs->szOsFile <= sizeof(f->room));
    return (sqlite3_file *) (void *) f->room;
}

static sqlite3_file *
open_file(struct fixture *f, const char *name)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    check(f->vfs->xOpen(f->vfs, name, file_of(f), flags, &flags) == SQLITE_OK);
    return file_of(f);
}

static int
set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.disk = NULL};
    och_mem_init(&fixture.mem, NULL);
    fixture.disk = sim_disk_open(&fixture.mem, 1);
    check_ok(och_sqlite_vfs_open(
                     &fixture.mem, sim_disk_vfs(fixture.disk), &fixture.files, &fixture.err),
            &fixture.err);
    fixture.vfs = sqlite3_vfs_find(och_sqlite_vfs_name(fixture.files));
    check(fixture.vfs != NULL);
    *state = &fixture;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    och_sqlite_vfs_close(f->files);
    sim_disk_close(f->disk);
    return och_mem_used(&f->mem) == 0 ? 0 : 1;
}

static void
it_is_registered_under_its_own_name_while_open(void **state)
{
    struct fixture *f = *state;
    struct och_sqlite_vfs *other;
    char name[64];
    sqlite3_vfs *usual = sqlite3_vfs_find(NULL);
    check_ok(och_sqlite_vfs_open(&f->mem, sim_disk_vfs(f->disk), &other, &f->err), &f->err);
    (void) snprintf(name, sizeof(name), "%s", och_sqlite_vfs_name(other));
    check(strcmp(name, och_sqlite_vfs_name(f->files)) != 0);
    check(sqlite3_vfs_find(name) != NULL && sqlite3_vfs_find(NULL) == usual);
    och_sqlite_vfs_close(other);
    check(sqlite3_vfs_find(name) == NULL);
    check(sqlite3_vfs_find(och_sqlite_vfs_name(f->files)) == f->vfs);
    och_sqlite_vfs_close(NULL);
}

static void
other_names_and_temporary_files_are_refused(void **state)
{
    struct fixture *f = *state;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int yes = 1;
    check(f->vfs->xOpen(f->vfs, "other.db", file_of(f), flags, NULL) == SQLITE_CANTOPEN);
    check(file_of(f)->pMethods == NULL);
    check(f->vfs->xOpen(f->vfs, NULL, file_of(f), flags, NULL) == SQLITE_CANTOPEN);
    flags = SQLITE_OPEN_READWRITE;
    check(f->vfs->xOpen(f->vfs, OCH_CATALOG_FILE, file_of(f), flags, NULL) == SQLITE_CANTOPEN);
    check(f->vfs->xAccess(f->vfs, "catalog.db-wal", SQLITE_ACCESS_EXISTS, &yes) == SQLITE_OK);
    check(yes == 0);
    char small[4];
    check(f->vfs->xFullPathname(f->vfs, OCH_CATALOG_FILE, 4, small) == SQLITE_CANTOPEN);
}

static void
a_page_is_stamped_when_written_and_verified_when_read(void **state)
{
    struct fixture *f = *state;
    static unsigned char page[2 * OCH_CATALOG_PAGE_SIZE];
    static unsigned char back[2 * OCH_CATALOG_PAGE_SIZE];
    memset(page, 7, sizeof(page));
    sqlite3_file *file = open_file(f, OCH_CATALOG_FILE);
    const sqlite3_io_methods *io = file->pMethods;
    check(io->xWrite(file, page, OCH_CATALOG_PAGE_SIZE, 0) == SQLITE_OK);
    check(io->xWrite(file, page, OCH_CATALOG_PAGE_SIZE, OCH_CATALOG_PAGE_SIZE) == SQLITE_OK);
    check(io->xRead(file, back, OCH_CATALOG_PAGE_SIZE, 0) == SQLITE_OK);
    check(memcmp(back, page, OCH_CATALOG_PAGE_SIZE - OCH_CATALOG_RESERVED_SIZE) == 0);
    check(och_catalog_page_is_sound(back, 1) && !och_catalog_page_is_sound(back, 2));
    check(io->xRead(file, back, sizeof(back), 0) == SQLITE_OK); /* two at once */
    check(och_catalog_page_is_sound(back + OCH_CATALOG_PAGE_SIZE, 2));
    check(io->xRead(file, back, 16, 24) == SQLITE_OK && back[15] == 7);
    check(io->xRead(file, back, 20, OCH_CATALOG_PAGE_SIZE - 10) == SQLITE_OK && back[19] == 7);

    /* Behind the end are zeros, as SQLite wants them. */
    back[0] = 1;
    check(io->xRead(file, back, OCH_CATALOG_PAGE_SIZE, sizeof(page)) == SQLITE_IOERR_SHORT_READ);
    check(back[0] == 0);
    check_ok(och_sqlite_vfs_failure(f->files, &f->err), &f->err);

    check(sim_disk_flip(f->disk, OCH_CATALOG_FILE, 3000, 1));
    check(io->xRead(file, back, 16, 24) == SQLITE_IOERR_DATA);
    check(och_sqlite_vfs_failure(f->files, &f->err) == OCHRE_CORRUPT);
    assert_string_equal(f->err.message, "catalog: the checksum of page 1 does not match");
    och_sqlite_vfs_forget(f->files);
    check(och_sqlite_vfs_failure(f->files, NULL) == OCHRE_OK);
    check(io->xClose(file) == SQLITE_OK);
}

static void
a_write_that_is_no_page_is_refused(void **state)
{
    struct fixture *f = *state;
    static const unsigned char page[OCH_CATALOG_PAGE_SIZE];
    sqlite3_file *file = open_file(f, OCH_CATALOG_FILE);
    check(file->pMethods->xWrite(file, page, 512, 0) == SQLITE_IOERR_WRITE);
    och_sqlite_vfs_thaw(f->files);
    check(file->pMethods->xWrite(file, page, OCH_CATALOG_PAGE_SIZE, 512) == SQLITE_IOERR_WRITE);
    check(file->pMethods->xClose(file) == SQLITE_OK);
}

static void
a_damaged_page_in_the_journal_is_not_read(void **state)
{
    struct fixture *f = *state;
    static const unsigned char number[4] = {0, 0, 0, 9};
    unsigned char page[OCH_CATALOG_PAGE_SIZE] = {5};
    unsigned char back[OCH_CATALOG_PAGE_SIZE];
    sqlite3_file *file = open_file(f, OCH_CATALOG_JOURNAL);
    const sqlite3_io_methods *io = file->pMethods;
    check(io->xWrite(file, number, 4, 512) == SQLITE_OK);
    check(io->xWrite(file, page, sizeof(page), 516) == SQLITE_OK);
    check(io->xRead(file, back, 4, 512) == SQLITE_OK);
    check(io->xRead(file, back, sizeof(back), 516) == SQLITE_OK && back[0] == 5);
    check(och_catalog_page_is_sound(back, 9));
    check(io->xRead(file, back, sizeof(back), 520) == SQLITE_IOERR_SHORT_READ);

    check(sim_disk_flip(f->disk, OCH_CATALOG_JOURNAL, 515, 0)); /* page 8 */
    check(io->xRead(file, back, 4, 512) == SQLITE_OK);
    check(io->xRead(file, back, sizeof(back), 516) == SQLITE_IOERR_DATA);
    check(och_sqlite_vfs_failure(f->files, &f->err) == OCHRE_CORRUPT);
    check(io->xClose(file) == SQLITE_OK);
}

static void
a_frozen_vfs_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static const unsigned char page[OCH_CATALOG_PAGE_SIZE];
    unsigned char back[OCH_CATALOG_PAGE_SIZE];
    sqlite3_file *file = open_file(f, OCH_CATALOG_FILE);
    const sqlite3_io_methods *io = file->pMethods;
    check(io->xWrite(file, page, sizeof(page), 0) == SQLITE_OK);
    och_sqlite_vfs_freeze(f->files);
    uint64_t n_calls = sim_disk_n_calls(f->disk);
    check(io->xWrite(file, page, sizeof(page), 0) == SQLITE_IOERR_WRITE);
    check(io->xTruncate(file, 0) == SQLITE_IOERR_TRUNCATE);
    check(io->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_IOERR_FSYNC);
    check(f->vfs->xDelete(f->vfs, OCH_CATALOG_FILE, 1) == SQLITE_IOERR_DELETE);
    check(sim_disk_n_calls(f->disk) == n_calls);
    check(io->xRead(file, back, sizeof(back), 0) == SQLITE_OK);
    och_sqlite_vfs_thaw(f->files);
    check(io->xTruncate(file, 0) == SQLITE_OK);
    check(io->xClose(file) == SQLITE_OK);
}

static void
a_removal_is_durable_when_sqlite_asks(void **state)
{
    struct fixture *f = *state;
    int yes = 1;
    check(f->vfs->xDelete(f->vfs, OCH_CATALOG_JOURNAL, 1) == SQLITE_IOERR_DELETE_NOENT);
    sqlite3_file *file = open_file(f, OCH_CATALOG_JOURNAL);
    check(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
    check(file->pMethods->xClose(file) == SQLITE_OK);
    check(f->vfs->xDelete(f->vfs, OCH_CATALOG_JOURNAL, 1) == SQLITE_OK);
    sim_disk_recover(f->disk, SIM_NONE_KEPT, 1);
    check(f->vfs->xAccess(f->vfs, OCH_CATALOG_JOURNAL, SQLITE_ACCESS_EXISTS, &yes) == SQLITE_OK);
    check(yes == 0);
    sim_disk_fail(f->disk, 1, SIM_IO_ONCE);
    check(f->vfs->xDelete(f->vfs, OCH_CATALOG_JOURNAL, 1) == SQLITE_IOERR_DELETE);
    check(och_sqlite_vfs_failure(f->files, &f->err) == OCHRE_IO);
}

static void
what_sqlite_may_ask_of_the_machine_asks_nothing(void **state)
{
    struct fixture *f = *state;
    char bytes[16] = {0};
    char none[16] = {0};
    double day = 0;
    int reserved = 1;
    check(f->vfs->xRandomness(f->vfs, 16, bytes) == 16 && memcmp(bytes, none, 16) != 0);
    check(f->vfs->xSleep(f->vfs, 1000000) == 1000000);
    check(f->vfs->xCurrentTime(f->vfs, &day) == SQLITE_OK && day > 2440587 && day < 2440588);
    bytes[0] = 'x';
    check(f->vfs->xGetLastError(f->vfs, 16, bytes) == 0 && bytes[0] == '\0');
    sqlite3_file *file = open_file(f, OCH_CATALOG_FILE);
    check(file->pMethods->xLock(file, SQLITE_LOCK_EXCLUSIVE) == SQLITE_OK);
    check(file->pMethods->xCheckReservedLock(file, &reserved) == SQLITE_OK && reserved == 0);
    check(file->pMethods->xUnlock(file, SQLITE_LOCK_NONE) == SQLITE_OK);
    check(file->pMethods->xSectorSize(file) == OCH_JOURNAL_SECTOR_SIZE);
    check(file->pMethods->xFileControl(file, SQLITE_FCNTL_SIZE_HINT, NULL) == SQLITE_NOTFOUND);
    check(file->pMethods->xClose(file) == SQLITE_OK);
}

/* --- a catalog edited through the VFS -------------------------------------- */

static struct och_catalog *
open_catalog(struct fixture *f)
{
    struct och_catalog *catalog;
    check_ok(och_catalog_sqlite_open(&f->mem, sim_disk_vfs(f->disk), true, &catalog, &f->err),
            &f->err);
    return catalog;
}

/* A catalog that was closed, changed by this SQL, and opened again. */
static struct och_catalog *
edited(struct fixture *f, const char *sql)
{
    struct och_catalog *catalog = open_catalog(f);
    sqlite3 *db;
    catalog->ops->close(catalog);
    check(sqlite3_open_v2(OCH_CATALOG_FILE, &db, SQLITE_OPEN_READWRITE,
                  och_sqlite_vfs_name(f->files)) == SQLITE_OK);
    check(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    check(sqlite3_close(db) == SQLITE_OK);
    return open_catalog(f);
}

static void
wrong_tables_are_corruption(void **state)
{
    struct fixture *f = *state;
    static const char *const edits[] = {
            "DELETE FROM meta",
            "DROP TABLE meta",
            "UPDATE meta SET next_file_id = -64, next_number = 0",
            "PRAGMA ignore_check_constraints = ON; UPDATE databases SET id = x'00'",
    };
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        struct och_catalog *catalog = edited(f, edits[i]);
        struct och_arena arena;
        struct och_database_row *databases;
        size_t n = 0;
        uint64_t number = 0;
        struct och_collection_row row = {.tenant = {OCH_DEFAULT_TENANT, 14},
                .database = {OCH_DEFAULT_DATABASE, 16},
                .name = {"x", 1},
                .schema = {"{}", 2}};
        och_arena_init(&arena, &f->mem);
        check(catalog->ops->collection_create(catalog, &row, &f->err) == OCHRE_CORRUPT);
        if (i < 3)
            check(catalog->ops->next_file_id(catalog, &number, &f->err) == OCHRE_CORRUPT);
        if (i < 2)
            check(catalog->ops->generation(catalog, &number, &f->err) == OCHRE_CORRUPT);
        if (i == 3) {
            check(catalog->ops->database_list(catalog, &arena, row.tenant, 9, 0, &databases, &n,
                          &f->err) == OCHRE_CORRUPT);
            check((catalog->ops->check)(catalog, &f->err) == OCHRE_CORRUPT);
        }
        och_arena_clear(&arena);
        catalog->ops->close(catalog);
        check_ok(och_catalog_recover(sim_disk_vfs(f->disk), &f->err), &f->err);
        check_ok(och_vfs_remove(sim_disk_vfs(f->disk), OCH_CATALOG_FILE, &f->err), &f->err);
        ochre_status gone = och_vfs_remove(sim_disk_vfs(f->disk), OCH_CATALOG_COPY, &f->err);
        check(gone == OCHRE_OK || gone == OCHRE_NOT_FOUND);
    }
}

static void
a_reference_to_nothing_is_corruption(void **state)
{
    struct fixture *f = *state;
    struct och_catalog *catalog =
            edited(f, "PRAGMA foreign_keys = OFF; INSERT INTO segments VALUES (9,0,0,0,0,0,0,0)");
    check((catalog->ops->check)(catalog, &f->err) == OCHRE_CORRUPT);
    assert_string_equal(f->err.message, "catalog: a reference to nothing from table: segments");
    catalog->ops->close(catalog);
}

static void
the_last_collection_number_is_the_last(void **state)
{
    struct fixture *f = *state;
    struct och_catalog *catalog = edited(f, "UPDATE meta SET next_number = 4294967295");
    struct och_collection_row row = {.tenant = {OCH_DEFAULT_TENANT, 14},
            .database = {OCH_DEFAULT_DATABASE, 16},
            .name = {"x", 1},
            .schema = {"{}", 2}};
    check_ok(catalog->ops->collection_create(catalog, &row, &f->err), &f->err);
    check(row.number == UINT32_MAX);
    row.name = (struct ochre_bytes){"y", 1};
    row.id.bytes[0] = 1;
    check(catalog->ops->collection_create(catalog, &row, &f->err) == OCHRE_FULL);
    assert_string_equal(f->err.message, "all 4294967295 collection numbers have been given out");
    catalog->ops->close(catalog);
}

static void
a_file_of_half_a_page_is_corruption(void **state)
{
    struct fixture *f = *state;
    struct och_catalog *catalog = open_catalog(f);
    struct och_file *file;
    uint64_t size = 0;
    check_ok(och_catalog_pages_verify(sim_disk_vfs(f->disk), &f->err), &f->err);
    check_ok(och_vfs_open(sim_disk_vfs(f->disk), OCH_CATALOG_FILE, OCH_OPEN_WRITE, &file, &f->err),
            &f->err);
    check_ok(och_file_size(file, &size, &f->err), &f->err);
    check_ok(och_file_write(file, size, "x", 1, &f->err), &f->err);
    och_file_close(file);
    check((catalog->ops->check)(catalog, &f->err) == OCHRE_CORRUPT);
    catalog->ops->close(catalog);
}

static void
a_journal_beside_no_catalog_is_removed_if_it_says_nothing(void **state)
{
    struct fixture *f = *state;
    struct och_file *file;
    bool exists = true;
    check_ok(och_vfs_open(sim_disk_vfs(f->disk), OCH_CATALOG_JOURNAL,
                     OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &f->err),
            &f->err);
    check_ok(och_file_write(file, 0, "junk", 4, &f->err), &f->err);
    och_file_close(file);
    check_ok(och_catalog_recover(sim_disk_vfs(f->disk), &f->err), &f->err);
    check_ok(och_vfs_exists(sim_disk_vfs(f->disk), OCH_CATALOG_JOURNAL, &exists, &f->err), &f->err);
    check(!exists);
    check_ok(och_catalog_recover(sim_disk_vfs(f->disk), &f->err), &f->err);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(
                    it_is_registered_under_its_own_name_while_open, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    other_names_and_temporary_files_are_refused, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_page_is_stamped_when_written_and_verified_when_read, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_write_that_is_no_page_is_refused, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_damaged_page_in_the_journal_is_not_read, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_frozen_vfs_changes_nothing, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_removal_is_durable_when_sqlite_asks, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    what_sqlite_may_ask_of_the_machine_asks_nothing, set_up, tear_down),
            cmocka_unit_test_setup_teardown(wrong_tables_are_corruption, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_reference_to_nothing_is_corruption, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    the_last_collection_number_is_the_last, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_file_of_half_a_page_is_corruption, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_journal_beside_no_catalog_is_removed_if_it_says_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("sqlite_vfs", tests, NULL, NULL);
}
