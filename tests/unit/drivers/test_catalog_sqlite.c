/* The catalog on SQLite: what each operation does, and a random program against
 * the model, on a disk that works. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "drivers/catalog_copy.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_sqlite.h"
#include "os/thread.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/drivers/catalog_model.h"

static const struct ochre_bytes tenant = {OCH_DEFAULT_TENANT, sizeof(OCH_DEFAULT_TENANT) - 1};
static const struct ochre_bytes database = {OCH_DEFAULT_DATABASE, sizeof(OCH_DEFAULT_DATABASE) - 1};

struct fixture {
    struct och_mem mem;
    struct och_mem disk_mem;
    struct sim_disk *disk;
    struct och_catalog *catalog;
    struct och_arena arena;
    struct ochre_error err;
};

static struct ochre_bytes
bytes(const char *text)
{
    return (struct ochre_bytes){.data = text, .size = strlen(text)};
}

static bool
same(struct ochre_bytes a, struct ochre_bytes b)
{
    return a.size == b.size && (a.data == NULL) == (b.data == NULL) &&
            (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static struct och_uuid
uuid(uint8_t first)
{
    struct och_uuid id = {.bytes = {first, 1, 2, 3}};
    return id;
}

static void
open_catalog(struct fixture *fixture)
{
    check_ok(och_catalog_sqlite_open(&fixture->mem, sim_disk_vfs(fixture->disk), true,
                     &fixture->catalog, &fixture->err),
            &fixture->err);
}

static void
reopen(struct fixture *fixture)
{
    fixture->catalog->ops->close(fixture->catalog);
    open_catalog(fixture);
}

static int
set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.catalog = NULL};
    och_mem_init(&fixture.mem, NULL);
    och_mem_init(&fixture.disk_mem, NULL);
    och_arena_init(&fixture.arena, &fixture.mem);
    fixture.disk = sim_disk_open(&fixture.disk_mem, 1);
    open_catalog(&fixture);
    *state = &fixture;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *fixture = *state;
    och_arena_clear(&fixture->arena);
    if (fixture->catalog != NULL)
        fixture->catalog->ops->close(fixture->catalog);
    sim_disk_close(fixture->disk);
    return och_mem_used(&fixture->mem) == 0 && och_mem_used(&fixture->disk_mem) == 0 ? 0 : 1;
}

/* Fail unless the status is this one and the message is this text. */
static void
check_said(const struct fixture *fixture, ochre_status status, ochre_status wanted,
        const char *message)
{
    check_status(status, wanted, &fixture->err, __FILE__, __LINE__);
    assert_string_equal(fixture->err.message, message);
    check(fixture->err.status == wanted);
}

/* In brackets, because check is a macro of ours too. */
static ochre_status
verify(struct fixture *f)
{
    return (f->catalog->ops->check)(f->catalog, &f->err);
}

static struct och_collection_row
collection_row(uint8_t id, const char *name)
{
    return (struct och_collection_row){.id = uuid(id),
            .tenant = tenant,
            .database = database,
            .name = bytes(name),
            .schema = bytes("{}")};
}

static void
create(struct fixture *fixture, uint8_t id, const char *name, uint32_t number)
{
    struct och_collection_row row = collection_row(id, name);
    check_ok(fixture->catalog->ops->collection_create(fixture->catalog, &row, &fixture->err),
            &fixture->err);
    check(row.number == number);
}

/* --- opening --------------------------------------------------------------- */

static void
a_new_catalog_holds_the_defaults(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct ochre_bytes resource;
    struct och_database_row row;
    struct och_database_row *rows;
    size_t n;
    check_ok(ops->tenant_get(f->catalog, &f->arena, tenant, &resource, &f->err), &f->err);
    check(resource.data == NULL);
    check_ok(ops->database_get(f->catalog, &f->arena, tenant, database, &row, &f->err), &f->err);
    check(och_uuid_equal(row.id, (struct och_uuid){{0}}));
    check(same(row.tenant, tenant) && same(row.name, database));
    check_ok(ops->database_list(f->catalog, &f->arena, tenant, 10, 0, &rows, &n, &f->err), &f->err);
    check(n == 1 && same(rows[0].tenant, tenant) && same(rows[0].name, database));
    check_ok(verify(f), &f->err);
}

static void
without_create_a_missing_catalog_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct sim_disk *empty = sim_disk_open(&f->disk_mem, 2);
    struct och_catalog *catalog;
    check_said(f, och_catalog_sqlite_open(&f->mem, sim_disk_vfs(empty), false, &catalog, &f->err),
            OCHRE_NOT_FOUND, "catalog: there is none");
    check(catalog == NULL);
    bool exists = true;
    check_ok(och_vfs_exists(sim_disk_vfs(empty), OCH_CATALOG_FILE, &exists, &f->err), &f->err);
    check(!exists);
    sim_disk_close(empty);
}

static void
without_create_a_catalog_there_is_opens(void **state)
{
    struct fixture *f = *state;
    f->catalog->ops->close(f->catalog);
    check_ok(och_catalog_sqlite_open(&f->mem, sim_disk_vfs(f->disk), false, &f->catalog, &f->err),
            &f->err);
}

static void
two_catalogs_in_one_process_are_apart(void **state)
{
    struct fixture *f = *state;
    struct sim_disk *other = sim_disk_open(&f->disk_mem, 2);
    struct och_catalog *catalog;
    struct ochre_bytes resource;
    check_ok(och_catalog_sqlite_open(&f->mem, sim_disk_vfs(other), true, &catalog, &f->err),
            &f->err);
    check_ok(catalog->ops->tenant_create(catalog, bytes("theirs"), &f->err), &f->err);
    check(f->catalog->ops->tenant_get(f->catalog, &f->arena, bytes("theirs"), &resource, NULL) ==
            OCHRE_NOT_FOUND);
    catalog->ops->close(catalog);
    sim_disk_close(other);
}

static void
overwrite(struct fixture *f, uint64_t offset, const void *data, size_t size)
{
    struct och_file *file;
    check_ok(och_vfs_open(sim_disk_vfs(f->disk), OCH_CATALOG_FILE, OCH_OPEN_READ | OCH_OPEN_WRITE,
                     &file, &f->err),
            &f->err);
    unsigned char page[OCH_CATALOG_PAGE_SIZE];
    check_ok(och_file_read_all(file, 0, page, sizeof(page), &f->err), &f->err);
    memcpy(page + offset, data, size);
    och_catalog_page_stamp(page, 1);
    check_ok(och_file_write(file, 0, page, sizeof(page), &f->err), &f->err);
    och_file_close(file);
}

static void
a_newer_format_is_refused(void **state)
{
    struct fixture *f = *state;
    static const unsigned char version[4] = {0, 0, 0, 2};
    f->catalog->ops->close(f->catalog);
    overwrite(f, 60, version, sizeof(version)); /* user_version */
    ochre_status status =
            och_catalog_sqlite_open(&f->mem, sim_disk_vfs(f->disk), true, &f->catalog, &f->err);
    check_said(f, status, OCHRE_UNSUPPORTED, "catalog: format 2; this build reads format 1");
    /* Nothing was recovered: an empty journal, which goes at each opening, is there. */
    bool there = false;
    check_ok(och_vfs_exists(sim_disk_vfs(f->disk), OCH_CATALOG_JOURNAL, &there, &f->err), &f->err);
    check(there);
}

static void
a_database_of_another_program_is_refused(void **state)
{
    struct fixture *f = *state;
    static const unsigned char none[4] = {0};
    f->catalog->ops->close(f->catalog);
    overwrite(f, 68, none, sizeof(none)); /* application_id */
    ochre_status status =
            och_catalog_sqlite_open(&f->mem, sim_disk_vfs(f->disk), true, &f->catalog, &f->err);
    check_said(f, status, OCHRE_CORRUPT, "catalog: not a catalog of ochre");
}

static void
a_file_that_is_not_sqlite_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct sim_disk *other = sim_disk_open(&f->disk_mem, 3);
    struct och_file *file;
    struct och_catalog *catalog;
    static const char junk[] = "SQLite format 3";
    check_ok(och_vfs_open(sim_disk_vfs(other), OCH_CATALOG_FILE, OCH_OPEN_WRITE | OCH_OPEN_CREATE,
                     &file, &f->err),
            &f->err);
    check_ok(och_file_write(file, 0, junk, sizeof(junk), &f->err), &f->err);
    och_file_close(file);
    check(och_catalog_sqlite_open(&f->mem, sim_disk_vfs(other), true, &catalog, &f->err) ==
            OCHRE_CORRUPT);
    sim_disk_close(other);
}

/* --- tenants and databases ------------------------------------------------- */

static void
tenants_are_made_once_and_found(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct ochre_bytes resource;
    check_ok(ops->tenant_create(f->catalog, bytes("acme"), &f->err), &f->err);
    check_said(f, ops->tenant_create(f->catalog, bytes("acme"), &f->err), OCHRE_EXISTS,
            "Tenant [acme] already exists");
    check_said(f, ops->tenant_get(f->catalog, &f->arena, bytes("acm"), &resource, &f->err),
            OCHRE_NOT_FOUND, "Tenant [acm] not found");
    check_ok(ops->tenant_get(f->catalog, &f->arena, bytes("acme"), &resource, &f->err), &f->err);
    check(resource.data == NULL);
}

static void
a_resource_name_is_set_once_and_belongs_to_one(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct ochre_bytes found;
    check_ok(ops->tenant_create(f->catalog, bytes("a"), &f->err), &f->err);
    check_ok(ops->tenant_create(f->catalog, bytes("b"), &f->err), &f->err);
    check_ok(ops->tenant_set_resource_name(f->catalog, bytes("a"), bytes("crn"), &f->err), &f->err);
    check_said(f, ops->tenant_set_resource_name(f->catalog, bytes("a"), bytes("x"), &f->err),
            OCHRE_EXISTS, "Tenant [a] already has a resource name");
    check_said(f, ops->tenant_set_resource_name(f->catalog, bytes("b"), bytes("crn"), &f->err),
            OCHRE_EXISTS, "Resource name [crn] already exists");
    check_said(f, ops->tenant_set_resource_name(f->catalog, bytes("c"), bytes("y"), &f->err),
            OCHRE_NOT_FOUND, "Tenant [c] not found");
    check_ok(ops->tenant_get(f->catalog, &f->arena, bytes("a"), &found, &f->err), &f->err);
    check(same(found, bytes("crn")));
    check_ok(ops->tenant_by_resource_name(f->catalog, &f->arena, bytes("crn"), &found, &f->err),
            &f->err);
    check(same(found, bytes("a")));
    check_said(f,
            ops->tenant_by_resource_name(f->catalog, &f->arena, bytes("nix"), &found, &f->err),
            OCHRE_NOT_FOUND, "Tenant [nix] not found");
}

static void
databases_may_lie_under_a_tenant_nobody_made(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct och_database_row row = {.id = uuid(7), .tenant = bytes("nobody"), .name = bytes("db")};
    struct ochre_bytes resource;
    struct och_database_row *rows;
    size_t n;
    check_ok(ops->database_create(f->catalog, &row, &f->err), &f->err);
    check_said(f, ops->database_create(f->catalog, &row, &f->err), OCHRE_EXISTS,
            "Database [db] already exists");
    check(ops->tenant_get(f->catalog, &f->arena, bytes("nobody"), &resource, NULL) ==
            OCHRE_NOT_FOUND);
    check_said(f, ops->database_get(f->catalog, &f->arena, tenant, bytes("db"), &row, &f->err),
            OCHRE_NOT_FOUND, "Database [db] not found. Are you sure it exists?");
    check(row.name.data == NULL);
    check_ok(ops->database_list(f->catalog, &f->arena, bytes("unknown"), 9, 0, &rows, &n, NULL),
            NULL);
    check(n == 0 && rows == NULL);
}

static void
databases_are_listed_by_name_in_byte_order(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    static const char *const names[] = {"b", "\xc3\xa9", "B", "a", "ab", "", "_"};
    static const char *const sorted[] = {"", "B", "_", "a", "ab", "b", "\xc3\xa9"};
    enum { n_names = 7 };
    for (uint8_t i = 0; i < n_names; i++) {
        struct och_database_row row = {
                .id = uuid(i), .tenant = bytes("t"), .name = bytes(names[i])};
        check_ok(ops->database_create(f->catalog, &row, &f->err), &f->err);
    }
    for (uint64_t offset = 0; offset < n_names + 2; offset++) {
        for (uint64_t limit = 0; limit < n_names + 2; limit++) {
            struct och_database_row *rows;
            size_t n;
            check_ok(ops->database_list(
                             f->catalog, &f->arena, bytes("t"), limit, offset, &rows, &n, &f->err),
                    &f->err);
            uint64_t left = offset < n_names ? n_names - offset : 0;
            check(n == (left < limit ? left : limit));
            for (size_t i = 0; i < n; i++)
                check(same(rows[i].name, bytes(sorted[offset + i])));
        }
    }
}

static void
a_limit_or_offset_of_all_64_bits_is_just_large(void **state)
{
    struct fixture *f = *state;
    struct och_database_row *rows;
    size_t n;
    check_ok(f->catalog->ops->database_list(
                     f->catalog, &f->arena, tenant, UINT64_MAX, 0, &rows, &n, &f->err),
            &f->err);
    check(n == 1);
    check_ok(f->catalog->ops->database_list(
                     f->catalog, &f->arena, tenant, UINT64_MAX, UINT64_MAX, &rows, &n, &f->err),
            &f->err);
    check(n == 0);
}

static void
dropping_a_database_drops_and_names_its_collections(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct och_uuid *dropped;
    struct och_collection_row row;
    size_t n;
    create(f, 3, "three", 1);
    create(f, 1, "one", 2);
    struct och_segment_row segment = {.id = 1};
    struct och_collection_state written = {.position = 1};
    check_ok(ops->state_set(f->catalog, uuid(1), &written, &segment, 1, &f->err), &f->err);
    check_said(f,
            ops->database_delete(f->catalog, &f->arena, tenant, bytes("x"), &dropped, &n, &f->err),
            OCHRE_NOT_FOUND, "Database [x] not found");
    check_ok(ops->database_delete(f->catalog, &f->arena, tenant, database, &dropped, &n, &f->err),
            &f->err);
    check(n == 2 && och_uuid_equal(dropped[0], uuid(3)) && och_uuid_equal(dropped[1], uuid(1)));
    check(ops->collection_by_id(f->catalog, &f->arena, uuid(1), &row, NULL) == OCHRE_NOT_FOUND);
    struct och_collection_row again = collection_row(1, "one");
    check_said(f, ops->collection_create(f->catalog, &again, &f->err), OCHRE_NOT_FOUND,
            "Database [default_database] does not exist");
    check_ok(verify(f), &f->err);
}

/* --- collections ----------------------------------------------------------- */

static void
collections_are_found_by_name_id_and_number(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct och_collection_row row = collection_row(9, "nine");
    struct och_collection_row found;
    row.metadata = (struct ochre_bytes){.data = "m\0m", .size = 3};
    check_ok(ops->collection_create(f->catalog, &row, &f->err), &f->err);
    check(row.number == 1);
    check_ok(ops->collection_by_name(
                     f->catalog, &f->arena, tenant, database, bytes("nine"), &found, &f->err),
            &f->err);
    check(found.number == 1 && och_uuid_equal(found.id, uuid(9)));
    check(same(found.metadata, row.metadata) && same(found.schema, row.schema));
    check_ok(ops->collection_by_id(f->catalog, &f->arena, uuid(9), &found, &f->err), &f->err);
    check(same(found.name, bytes("nine")) && same(found.tenant, tenant));
    check_ok(ops->collection_by_number(f->catalog, &f->arena, 1, &found, &f->err), &f->err);
    check(same(found.name, bytes("nine")) && same(found.database, database));

    check_said(f,
            ops->collection_by_name(
                    f->catalog, &f->arena, tenant, database, bytes("ten"), &found, &f->err),
            OCHRE_NOT_FOUND, "Collection [ten] does not exist");
    check_said(f, ops->collection_by_id(f->catalog, &f->arena, uuid(8), &found, &f->err),
            OCHRE_NOT_FOUND, "Collection [08010203-0000-0000-0000-000000000000] does not exist");
    check_said(f, ops->collection_by_number(f->catalog, &f->arena, 77, &found, &f->err),
            OCHRE_NOT_FOUND, "Collection [77] does not exist");
}

static void
a_taken_name_or_id_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    create(f, 1, "one", 1);
    struct och_collection_row row = collection_row(2, "one");
    check_said(f, ops->collection_create(f->catalog, &row, &f->err), OCHRE_EXISTS,
            "Collection [one] already exists");
    row = collection_row(1, "two");
    check_said(f, ops->collection_create(f->catalog, &row, &f->err), OCHRE_EXISTS,
            "Collection [01010203-0000-0000-0000-000000000000] already exists");
    row.tenant = bytes("x");
    row.database = bytes("y");
    check_said(f, ops->collection_create(f->catalog, &row, &f->err), OCHRE_NOT_FOUND,
            "Database [y] does not exist");
    check(row.number == 0);
    create(f, 2, "two", 2); /* refusals use no number up */
}

static void
no_metadata_and_empty_metadata_differ(void **state)
{
    struct fixture *f = *state;
    struct och_collection_row row = collection_row(1, "none");
    struct och_collection_row found;
    check_ok(f->catalog->ops->collection_create(f->catalog, &row, &f->err), &f->err);
    row = collection_row(2, "empty");
    row.metadata = bytes("");
    row.schema = bytes("");
    check_ok(f->catalog->ops->collection_create(f->catalog, &row, &f->err), &f->err);
    check_ok(f->catalog->ops->collection_by_id(f->catalog, &f->arena, uuid(1), &found, &f->err),
            &f->err);
    check(found.metadata.data == NULL);
    check_ok(f->catalog->ops->collection_by_id(f->catalog, &f->arena, uuid(2), &found, &f->err),
            &f->err);
    check(found.metadata.data != NULL && found.metadata.size == 0);
    check(found.schema.data != NULL && found.schema.size == 0);
}

static void
collections_are_listed_in_creation_order(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    enum { n_collections = 40 }; /* more than one growth of the list */
    char name[8];
    for (uint8_t i = 0; i < n_collections; i++) {
        (void) snprintf(name, sizeof(name), "c%u", (unsigned) (99 - i));
        create(f, (uint8_t) (200 - i), name, (uint32_t) i + 1);
    }
    struct och_collection_row renamed = collection_row(200, "zzz");
    check_ok(ops->collection_update(f->catalog, &renamed, &f->err), &f->err);
    static const uint64_t pages[][2] = {{0, 100}, {0, 0}, {0, 7}, {7, 7}, {38, 7}, {40, 1}};
    for (size_t page = 0; page < sizeof(pages) / sizeof(pages[0]); page++) {
        struct och_collection_row *rows;
        size_t n;
        uint64_t offset = pages[page][0];
        check_ok(ops->collection_list(f->catalog, &f->arena, tenant, database, pages[page][1],
                         offset, &rows, &n, &f->err),
                &f->err);
        uint64_t left = n_collections - offset;
        check(n == (left < pages[page][1] ? left : pages[page][1]));
        for (size_t i = 0; i < n; i++)
            check(rows[i].number == offset + i + 1 && rows[i].id.bytes[0] == 200 - offset - i);
    }
    uint64_t count = 0;
    check_ok(ops->collection_count(f->catalog, tenant, database, &count, &f->err), &f->err);
    check(count == n_collections);
    check_ok(ops->collection_count(f->catalog, tenant, bytes("x"), &count, &f->err), &f->err);
    check(count == 0);
}

static void
an_update_replaces_name_metadata_and_schema(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct och_collection_row found;
    create(f, 1, "one", 1);
    create(f, 2, "two", 2);
    struct och_collection_row row = {.id = uuid(1),
            .name = bytes("uno"),
            .metadata = bytes("m"),
            .schema = bytes("{\"a\":1}")};
    check_ok(ops->collection_update(f->catalog, &row, &f->err), &f->err);
    check_ok(ops->collection_by_id(f->catalog, &f->arena, uuid(1), &found, &f->err), &f->err);
    check(same(found.name, row.name) && same(found.metadata, row.metadata));
    check(same(found.schema, row.schema) && found.number == 1 && same(found.database, database));
    check_ok(ops->collection_update(f->catalog, &row, &f->err), &f->err); /* its own name */
    row.name = bytes("two");
    check_said(f, ops->collection_update(f->catalog, &row, &f->err), OCHRE_EXISTS,
            "Collection [two] already exists");
    row.id = uuid(3);
    check_said(f, ops->collection_update(f->catalog, &row, &f->err), OCHRE_NOT_FOUND,
            "Collection [03010203-0000-0000-0000-000000000000] does not exist");
}

static void
numbers_and_file_ids_are_never_used_again(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    create(f, 1, "one", 1);
    check_ok(ops->collection_delete(f->catalog, uuid(1), &f->err), &f->err);
    check_said(f, ops->collection_delete(f->catalog, uuid(1), &f->err), OCHRE_NOT_FOUND,
            "Collection [01010203-0000-0000-0000-000000000000] does not exist");
    create(f, 1, "one", 2);
    uint64_t last = 0;
    for (int i = 0; i < 300; i++) {
        uint64_t id = 0;
        if (i % 50 == 49)
            reopen(f);
        if (i == 120)
            check_ok(f->catalog->ops->reset(f->catalog, &f->err), &f->err);
        check_ok(f->catalog->ops->next_file_id(f->catalog, &id, &f->err), &f->err);
        check(id > last);
        last = id;
    }
    check(last < 1000);
    create(f, 1, "one", 3); /* and not after a reset either */
}

static void
file_ids_cost_a_transaction_for_many(void **state)
{
    struct fixture *f = *state;
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t id = 0;
    check_ok(f->catalog->ops->next_file_id(f->catalog, &id, &f->err), &f->err);
    check_ok(f->catalog->ops->generation(f->catalog, &before, &f->err), &f->err);
    uint64_t calls = sim_disk_n_calls(f->disk);
    for (int i = 0; i < 63; i++)
        check_ok(f->catalog->ops->next_file_id(f->catalog, &id, &f->err), &f->err);
    check(sim_disk_n_calls(f->disk) == calls);
    check_ok(f->catalog->ops->generation(f->catalog, &after, &f->err), &f->err);
    check(before == after);
}

/* --- names ----------------------------------------------------------------- */

static void
names_are_bytes_compared_exactly(void **state)
{
    struct fixture *f = *state;
    static const struct ochre_bytes names[] = {{"n\0a", 3}, {"n\0b", 3}, {"n", 1}, {"n\0", 2},
            {"\xff\xfe", 2}, {"\xc3\xa9", 2}, {"e\xcc\x81", 3}, {"N", 1}, {"", 0}, {"%s%n", 4},
            {"' OR 1=1", 8}};
    enum { n_names = sizeof(names) / sizeof(names[0]) };
    for (uint8_t i = 0; i < n_names; i++) {
        struct och_collection_row row = collection_row(i, "");
        row.name = names[i];
        check_ok(f->catalog->ops->collection_create(f->catalog, &row, &f->err), &f->err);
        check_ok(f->catalog->ops->tenant_create(f->catalog, names[i], &f->err), &f->err);
    }
    reopen(f);
    for (uint8_t i = 0; i < n_names; i++) {
        struct och_collection_row found;
        struct ochre_bytes resource;
        check_ok(f->catalog->ops->collection_by_name(
                         f->catalog, &f->arena, tenant, database, names[i], &found, &f->err),
                &f->err);
        check(found.id.bytes[0] == i && same(found.name, names[i]));
        check_ok(f->catalog->ops->tenant_get(f->catalog, &f->arena, names[i], &resource, &f->err),
                &f->err);
    }
}

static void
a_message_shows_nul_and_cuts_between_characters(void **state)
{
    struct fixture *f = *state;
    struct ochre_bytes resource;
    check_said(f,
            f->catalog->ops->tenant_get(
                    f->catalog, &f->arena, (struct ochre_bytes){"a\0b", 3}, &resource, &f->err),
            OCHRE_NOT_FOUND,
            "Tenant [a\xe2\x90\x80"
            "b] not found");
    char name[1201];
    for (size_t shift = 0; shift < 3; shift++) {
        for (size_t i = 0; i < sizeof(name); i++)
            name[i] = "\xe2\x98\x83"[i % 3];
        memset(name, 'x', shift);
        memmove(name + shift, name + 3 * ((shift + 2) / 3), sizeof(name) - 6);
        struct ochre_bytes asked = {.data = name, .size = shift + 1194};
        check(f->catalog->ops->tenant_get(f->catalog, &f->arena, asked, &resource, &f->err) ==
                OCHRE_NOT_FOUND);
        const char *end = strstr(f->err.message, "...] not found");
        check(end != NULL && end - f->err.message > 380);
        check((size_t) (end - f->err.message - 8) % 3 == shift);
    }
}

/* --- state ----------------------------------------------------------------- */

static void
a_state_is_replaced_as_a_whole(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct och_collection_state read;
    struct och_segment_row *rows;
    size_t n;
    create(f, 1, "one", 1);
    check_ok(ops->state_get(f->catalog, &f->arena, uuid(1), &read, &rows, &n, &f->err), &f->err);
    check(n == 0 && rows == NULL && read.position == 0 && read.dim == 0);
    check(read.keys.data == NULL);

    static const struct och_segment_row segments[] = {
            {.id = 7,
                    .deletes_id = 8,
                    .n_rows = 9,
                    .n_deleted = 1,
                    .file_size = UINT64_C(1) << 40,
                    .file_hash = UINT64_MAX},
            {.id = 3, .file_hash = UINT64_C(1) << 63},
    };
    struct och_collection_state written = {
            .position = 11, .lsn = 12, .next_ordinal = 13, .dim = UINT32_MAX, .keys = {"k\0y", 3}};
    check_ok(ops->state_set(f->catalog, uuid(1), &written, segments, 2, &f->err), &f->err);
    reopen(f);
    ops = f->catalog->ops;
    check_ok(ops->state_get(f->catalog, &f->arena, uuid(1), &read, &rows, &n, &f->err), &f->err);
    check(n == 2 && memcmp(rows, segments, sizeof(segments)) == 0);
    check(read.position == 11 && read.lsn == 12 && read.next_ordinal == 13);
    check(read.dim == UINT32_MAX && same(read.keys, written.keys));

    check_ok(ops->state_set(f->catalog, uuid(1), &written, segments + 1, 1, &f->err), &f->err);
    check_ok(ops->state_get(f->catalog, &f->arena, uuid(1), &read, &rows, &n, &f->err), &f->err);
    check(n == 1 && rows[0].id == 3);
    check_said(f, ops->state_set(f->catalog, uuid(2), &written, segments, 2, &f->err),
            OCHRE_NOT_FOUND, "Collection [02010203-0000-0000-0000-000000000000] does not exist");
    check(ops->state_get(f->catalog, &f->arena, uuid(2), &read, &rows, &n, NULL) ==
            OCHRE_NOT_FOUND);
}

struct visits {
    struct och_catalog *catalog;
    uint32_t last;
    uint32_t n;
    uint32_t stop_at;
};

static ochre_status
count_visit(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct visits *visits = context;
    uint64_t generation;
    check(number > visits->last);
    check(id.bytes[0] == (uint8_t) number && state->position == 0 && n_segments == 0);
    visits->last = number;
    visits->n++;
    /* The catalog may be used from within. */
    check(visits->catalog->ops->generation(visits->catalog, &generation, NULL) == OCHRE_OK);
    return number == visits->stop_at ? OCHRE_UNAVAILABLE : OCHRE_OK;
}

static void
tenants_are_listed_by_name(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct och_tenant_row *rows = NULL;
    size_t n = 0;
    check_ok(ops->tenant_create(f->catalog, bytes("zebra"), &f->err), &f->err);
    check_ok(ops->tenant_create(f->catalog, bytes("ant"), &f->err), &f->err);
    check_ok(ops->tenant_set_resource_name(f->catalog, bytes("ant"), bytes("hill"), &f->err),
            &f->err);
    check_ok(ops->tenant_list(f->catalog, &f->arena, &rows, &n, &f->err), &f->err);
    check(n == 3);
    check(rows[0].name.size == 3 && memcmp(rows[0].name.data, "ant", 3) == 0);
    check(rows[0].resource_name.size == 4 && memcmp(rows[0].resource_name.data, "hill", 4) == 0);
    check(rows[1].resource_name.data == NULL);
    check(rows[2].name.size == 5 && memcmp(rows[2].name.data, "zebra", 5) == 0);
}

static void
every_collection_is_visited_once(void **state)
{
    struct fixture *f = *state;
    enum { n_collections = 300 }; /* more than one page of them */
    for (uint32_t i = 1; i <= n_collections; i++) {
        char name[8];
        (void) snprintf(name, sizeof(name), "c%u", (unsigned) i);
        struct och_collection_row row = collection_row((uint8_t) i, name);
        row.id.bytes[1] = (uint8_t) (i >> 8);
        check_ok(f->catalog->ops->collection_create(f->catalog, &row, &f->err), &f->err);
    }
    struct visits visits = {.catalog = f->catalog};
    check_ok(f->catalog->ops->each_collection(f->catalog, &f->arena, count_visit, &visits, &f->err),
            &f->err);
    check(visits.n == n_collections);
    visits = (struct visits){.catalog = f->catalog, .stop_at = 5};
    check(f->catalog->ops->each_collection(f->catalog, &f->arena, count_visit, &visits, &f->err) ==
            OCHRE_UNAVAILABLE);
    check(visits.n == 5);
    check_ok(verify(f), &f->err);
}

static void
each_change_raises_the_generation_by_one(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    uint64_t first = 0;
    uint64_t now = 0;
    check_ok(ops->generation(f->catalog, &first, &f->err), &f->err);
    check(first == 1);
    check_ok(ops->tenant_create(f->catalog, bytes("t"), &f->err), &f->err);
    create(f, 1, "one", 1);
    check(ops->tenant_create(f->catalog, bytes("t"), NULL) == OCHRE_EXISTS);
    check(ops->collection_delete(f->catalog, uuid(2), NULL) == OCHRE_NOT_FOUND);
    check_ok(ops->reset(f->catalog, &f->err), &f->err);
    reopen(f);
    check_ok(f->catalog->ops->generation(f->catalog, &now, &f->err), &f->err);
    check(now == first + 3);
}

static void
a_reset_leaves_the_defaults(void **state)
{
    struct fixture *f = *state;
    struct model fresh;
    ochre_status status;
    struct och_database_row row = {.id = uuid(7), .tenant = bytes("t"), .name = bytes("db")};
    check_ok(f->catalog->ops->tenant_create(f->catalog, bytes("t"), &f->err), &f->err);
    check_ok(f->catalog->ops->database_create(f->catalog, &row, &f->err), &f->err);
    create(f, 1, "one", 1);
    check_ok(f->catalog->ops->reset(f->catalog, &f->err), &f->err);
    model_init(&fresh);
    char *wanted = model_text(&fresh);
    char *text = model_text_of(f->catalog, &f->mem, &status, &f->err);
    check_ok(status, &f->err);
    assert_string_equal(text, wanted);
    free(text);
    free(wanted);
}

static void
a_large_schema_and_metadata_survive(void **state)
{
    struct fixture *f = *state;
    enum { size = 1 << 20 };
    char *large = och_arena_take(&f->arena, size);
    check(large != NULL);
    uint64_t seed = 5;
    for (size_t i = 0; i < size; i++)
        large[i] = (char) och_random(&seed);
    struct och_collection_row row = collection_row(1, "large");
    struct och_collection_row found;
    row.schema = (struct ochre_bytes){.data = large, .size = size};
    row.metadata = (struct ochre_bytes){.data = large + 1, .size = size - 1};
    check_ok(f->catalog->ops->collection_create(f->catalog, &row, &f->err), &f->err);
    reopen(f);
    check_ok(f->catalog->ops->collection_by_id(f->catalog, &f->arena, uuid(1), &found, &f->err),
            &f->err);
    check(same(found.schema, row.schema) && same(found.metadata, row.metadata));
    check_ok(f->catalog->ops->collection_delete(f->catalog, uuid(1), &f->err), &f->err);
    check_ok(verify(f), &f->err);
}

/* --- forks --------------------------------------------------------------- */

static ochre_status
try_fork(struct fixture *f, uint8_t source, uint8_t id, const char *name, uint32_t *number_out)
{
    struct och_collection_row row = collection_row(id, name);
    const struct och_segment_row segments[2] = {{.id = 1, .n_rows = 7},
            {.id = 2, .deletes_id = 3, .n_rows = 5, .n_deleted = 2, .file_hash = 9}};
    const struct och_collection_state made = {
            .position = 4, .lsn = 5, .next_ordinal = 6, .dim = 7, .keys = bytes("keys")};
    ochre_status status = f->catalog->ops->collection_fork(
            f->catalog, uuid(source), &row, &made, segments, 2, &f->err);
    *number_out = row.number;
    return status;
}

static void
fork_of(struct fixture *f, uint8_t source, uint8_t id, const char *name)
{
    uint32_t number;
    check_ok(try_fork(f, source, id, name, &number), &f->err);
    check(number > 0);
}

static bool
is_fork(struct fixture *f, uint8_t id)
{
    bool is_fork = true;
    check_ok(f->catalog->ops->is_fork(f->catalog, uuid(id), &is_fork, &f->err), &f->err);
    return is_fork;
}

static uint64_t
n_forks(struct fixture *f, uint8_t id)
{
    uint64_t count;
    check_ok(f->catalog->ops->fork_count(f->catalog, uuid(id), &count, &f->err), &f->err);
    return count;
}

/* File ids up to 3 were given out. */
static void
create_source(struct fixture *f)
{
    uint64_t last = 0;
    create(f, 1, "one", 1);
    while (last < 3)
        check_ok(f->catalog->ops->next_file_id(f->catalog, &last, &f->err), &f->err);
}

static void
a_fork_is_made_with_its_state_and_files(void **state)
{
    struct fixture *f = *state;
    struct och_collection_row found;
    struct och_collection_state kept;
    struct och_segment_row *segments;
    size_t n;
    create_source(f);
    fork_of(f, 1, 2, "two");
    reopen(f);
    const struct och_catalog_ops *ops = f->catalog->ops;
    check_ok(ops->collection_by_id(f->catalog, &f->arena, uuid(2), &found, &f->err), &f->err);
    check(same(found.name, bytes("two")) && found.number == 2);
    check_ok(
            ops->state_get(f->catalog, &f->arena, uuid(2), &kept, &segments, &n, &f->err), &f->err);
    check(kept.position == 4 && kept.lsn == 5 && kept.next_ordinal == 6 && kept.dim == 7);
    check(same(kept.keys, bytes("keys")));
    check(n == 2 && segments[0].id == 1 && segments[1].id == 2 && segments[1].deletes_id == 3);
    check(segments[0].n_rows == 7 && segments[1].n_deleted == 2 && segments[1].file_hash == 9);
    check_ok(
            ops->state_get(f->catalog, &f->arena, uuid(1), &kept, &segments, &n, &f->err), &f->err);
    check(n == 0 && kept.position == 0);
    check_ok(verify(f), &f->err);
}

/* As a fork is, but of nothing. */
static void
what_is_adopted_has_its_state_and_files(void **state)
{
    struct fixture *f = *state;
    struct och_collection_row found;
    struct och_collection_state kept;
    struct och_segment_row *segments;
    size_t n;
    create_source(f);
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct och_collection_row row = collection_row(2, "two");
    struct och_collection_row namesake = collection_row(3, "one");
    const struct och_segment_row segment = {.id = 2, .deletes_id = 3, .n_rows = 5, .n_deleted = 2};
    const struct och_collection_state made = {
            .position = 4, .lsn = 5, .next_ordinal = 6, .dim = 7, .keys = bytes("keys")};
    check_ok(ops->collection_adopt(f->catalog, &row, &made, &segment, 1, &f->err), &f->err);
    check_said(f, ops->collection_adopt(f->catalog, &namesake, &made, &segment, 1, &f->err),
            OCHRE_EXISTS, "Collection [one] already exists");
    check(row.number == 2 && namesake.number == 0);
    reopen(f);
    ops = f->catalog->ops;
    check_ok(ops->collection_by_id(f->catalog, &f->arena, uuid(2), &found, &f->err), &f->err);
    check(same(found.name, bytes("two")) && found.number == 2 && !is_fork(f, 2));
    check_ok(
            ops->state_get(f->catalog, &f->arena, uuid(2), &kept, &segments, &n, &f->err), &f->err);
    check(kept.position == 4 && kept.lsn == 5 && kept.dim == 7 && same(kept.keys, bytes("keys")));
    check(n == 1 && segments[0].id == 2 && segments[0].deletes_id == 3);
    check(ops->collection_by_id(f->catalog, &f->arena, uuid(3), &found, NULL) == OCHRE_NOT_FOUND);
    check_ok(verify(f), &f->err);
}

static void
forks_are_refused_as_collections_are(void **state)
{
    struct fixture *f = *state;
    uint32_t number;
    uint64_t count;
    create_source(f);
    check_said(
            f, try_fork(f, 1, 2, "one", &number), OCHRE_EXISTS, "Collection [one] already exists");
    check(number == 0);
    check(try_fork(f, 9, 2, "two", &number) == OCHRE_NOT_FOUND && number == 0);
    check_said(f, f->catalog->ops->fork_count(f->catalog, uuid(9), &count, &f->err),
            OCHRE_NOT_FOUND, "Collection [09010203-0000-0000-0000-000000000000] does not exist");
    check(n_forks(f, 1) == 0 && !is_fork(f, 1));
    bool forked = true;
    check_said(f, f->catalog->ops->is_fork(f->catalog, uuid(9), &forked, &f->err), OCHRE_NOT_FOUND,
            "Collection [09010203-0000-0000-0000-000000000000] does not exist");
    check(!forked);
    create(f, 2, "two", 2); /* the refused one's number is the next still */
}

static void
forks_are_counted_in_their_tree_until_they_are_dropped(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    create_source(f);
    create(f, 9, "nine", 2);
    fork_of(f, 1, 2, "two");
    fork_of(f, 2, 3, "three");
    fork_of(f, 9, 4, "four");
    check(n_forks(f, 1) == 2 && n_forks(f, 2) == 2 && n_forks(f, 3) == 2);
    check(!is_fork(f, 1) && is_fork(f, 2) && is_fork(f, 3));
    check(n_forks(f, 9) == 1 && n_forks(f, 4) == 1);
    check_ok(ops->collection_delete(f->catalog, uuid(1), &f->err), &f->err);
    check(n_forks(f, 3) == 2);
    fork_of(f, 3, 5, "five");
    check(n_forks(f, 2) == 3);
    check_ok(ops->collection_delete(f->catalog, uuid(2), &f->err), &f->err);
    check(n_forks(f, 3) == 2 && n_forks(f, 5) == 2);
    check_ok(verify(f), &f->err);
    check_ok(ops->reset(f->catalog, &f->err), &f->err);
    create(f, 1, "one", 7);
    check(n_forks(f, 1) == 0);
}

/* --- pins ------------------------------------------------------------------- */

/* A pin lies in a database whose tenant has no name. */
static ochre_status
add_pin(struct och_catalog *catalog, uint8_t source, uint8_t id, uint64_t position,
        const char *name, struct ochre_error *err)
{
    struct och_collection_row row = collection_row(id, name);
    const struct och_collection_state made = {.position = position};
    row.tenant = bytes("");
    return catalog->ops->collection_fork(catalog, uuid(source), &row, &made, NULL, 0, err);
}

static void
pins_are_refused_by_name_and_number_and_listed_in_creation_order(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct och_database_row row = {.id = uuid(7), .tenant = bytes(""), .name = bytes("db")};
    struct och_pin_row *rows = NULL;
    uint64_t count;
    size_t n;
    char name[16];
    create(f, 1, "one", 1);
    check_said(f, ops->database_create(f->catalog, &row, &f->err), OCHRE_INVALID,
            "a database needs a tenant with a name");
    check(add_pin(f->catalog, 9, 100, 1, "of nothing", &f->err) == OCHRE_NOT_FOUND);
    for (uint8_t i = 0; i < OCH_PINS_MAX; i++) {
        (void) snprintf(name, sizeof(name), "pin %u", 100u - i);
        check_ok(add_pin(f->catalog, 1, (uint8_t) (100 + i), 1000u + 10u * i, name, &f->err),
                &f->err);
        check_said(f, add_pin(f->catalog, 1, 99, 1, "pin 100", &f->err), OCHRE_EXISTS,
                "Pin [pin 100] already exists");
    }
    check_said(f, add_pin(f->catalog, 1, 99, 1, "one more", &f->err), OCHRE_INVALID,
            "the collection has 64 pins; the limit is 64");
    check_ok(ops->pin_list(f->catalog, &f->arena, uuid(1), &rows, &n, &f->err), &f->err);
    check(n == OCH_PINS_MAX);
    for (uint8_t i = 0; i < OCH_PINS_MAX; i++) {
        (void) snprintf(name, sizeof(name), "pin %u", 100u - i);
        check(same(rows[i].name, bytes(name)) && rows[i].id.bytes[0] == 100 + i);
    }
    create(f, 2, "two", 2 + OCH_PINS_MAX); /* another has its own */
    check_ok(add_pin(f->catalog, 2, 99, 1005, "pin 100", &f->err), &f->err);
    check_ok(ops->pin_count(f->catalog, &count, &f->err), &f->err);
    check(count == OCH_PINS_MAX + 1);
    check_ok(verify(f), &f->err);
}

static void
a_pin_is_found_at_its_own_position_and_no_other(void **state)
{
    struct fixture *f = *state;
    const struct och_catalog_ops *ops = f->catalog->ops;
    struct och_collection_row row;
    create(f, 1, "one", 1);
    create(f, 2, "two", 2);
    check_ok(add_pin(f->catalog, 1, 11, 20, "a", &f->err), &f->err);
    check_ok(add_pin(f->catalog, 1, 12, 40, "b", &f->err), &f->err);
    check_ok(add_pin(f->catalog, 1, 13, 40, "c", &f->err), &f->err);
    check_ok(add_pin(f->catalog, 2, 14, 30, "d", &f->err), &f->err);
    for (uint64_t position = 0; position < 50; position++) {
        ochre_status status = ops->pin_at(f->catalog, &f->arena, uuid(1), position, &row, &f->err);
        bool is_pinned = position == 20 || position == 40;
        check(status == (is_pinned ? OCHRE_OK : OCHRE_NOT_FOUND));
        check(!is_pinned || row.id.bytes[0] == (position == 20 ? 11 : 12)); /* the first */
    }
}

static void
check_complains_about_wrong_counters(void **state)
{
    struct fixture *f = *state;
    struct och_segment_row segment = {.id = 1000};
    struct och_collection_state written = {.position = 1};
    create(f, 1, "one", 1);
    check_ok(f->catalog->ops->state_set(f->catalog, uuid(1), &written, &segment, 1, &f->err),
            &f->err);
    check_said(f, verify(f), OCHRE_CORRUPT, "catalog: content: a file id is given twice");
    create(f, 2, "two", 2);
    struct och_segment_row twice[2] = {{.id = 0, .file_hash = 7}, {.id = 0, .file_hash = 7}};
    check_ok(f->catalog->ops->state_set(f->catalog, uuid(1), &written, twice, 1, &f->err), &f->err);
    check_ok(f->catalog->ops->state_set(f->catalog, uuid(2), &written, twice, 1, &f->err), &f->err);
    check_ok(verify(f), &f->err); /* as a fork has it */
    check_ok(f->catalog->ops->state_set(f->catalog, uuid(2), &written, twice, 2, &f->err), &f->err);
    check_said(f, verify(f), OCHRE_CORRUPT, "catalog: content: a segment is listed twice");
    twice[0].file_hash = 8;
    check_ok(f->catalog->ops->state_set(f->catalog, uuid(2), &written, twice, 1, &f->err), &f->err);
    check_said(f, verify(f), OCHRE_CORRUPT, "catalog: content: two segments have one id");
}

static void
compare(struct fixture *f, const struct model *model, const struct op *op, int step)
{
    ochre_status status;
    char *wanted = model_text(model);
    char *text = model_text_of(f->catalog, &f->mem, &status, &f->err);
    check_ok(status, &f->err);
    if (strcmp(text, wanted) != 0)
        print_error("step %d, %s:\nwanted\n%s\nis\n%s\n", step, model_op_name(op), wanted, text);
    check(strcmp(text, wanted) == 0);
    free(text);
    free(wanted);
}

static void
random_programs_agree_with_the_model(void **state)
{
    struct fixture *f = *state;
    enum { n_steps = 4000 };
    uint64_t seed = 20251121;
    struct model model;
    uint64_t last_id = 0;
    int n_done = 0;
    model_init(&model);
    for (int step = 0; step < n_steps; step++) {
        struct op op = model_next_op(&seed, &model);
        struct model before = model;
        uint64_t id = UINT64_MAX;
        ochre_status wanted = model_apply(&model, &op);
        ochre_status status = model_run(f->catalog, &f->mem, &before, &op, &id, &f->err);
        check_status(status, wanted, &f->err, model_op_name(&op), step);
        check(id > last_id);
        last_id = op.kind == OP_FILE_ID ? id : last_id;
        n_done += status == OCHRE_OK;
        if (och_random_below(&seed, 40) == 0)
            reopen(f);
        if (step % 10 == 0)
            compare(f, &model, &op, step);
    }
    check(n_done > n_steps / 3);
}

struct worker {
    struct och_thread thread;
    struct och_catalog *catalog;
    uint8_t number;
    unsigned n_wrong;
};

static void
work(void *argument)
{
    struct worker *worker = argument;
    for (uint8_t i = 0; i < 20; i++) {
        char name[2] = {(char) ('a' + worker->number), (char) ('a' + i)};
        struct och_collection_row row = collection_row(i, "");
        row.id.bytes[1] = worker->number;
        row.name = (struct ochre_bytes){.data = name, .size = sizeof(name)};
        uint64_t id = 0;
        worker->n_wrong +=
                worker->catalog->ops->collection_create(worker->catalog, &row, NULL) != OCHRE_OK;
        worker->n_wrong +=
                worker->catalog->ops->next_file_id(worker->catalog, &id, NULL) != OCHRE_OK;
    }
}

static void
threads_take_turns(void **state)
{
    struct fixture *f = *state;
    enum { n_workers = 4 };
    struct worker workers[n_workers];
    uint64_t n = 0;
    uint64_t id = 0;
    for (uint8_t i = 0; i < n_workers; i++) {
        workers[i] = (struct worker){.catalog = f->catalog, .number = i};
        check_ok(och_thread_start(&workers[i].thread, "worker", work, &workers[i], &f->err),
                &f->err);
    }
    for (size_t i = 0; i < n_workers; i++) {
        och_thread_join(&workers[i].thread);
        check(workers[i].n_wrong == 0);
    }
    check_ok(f->catalog->ops->collection_count(f->catalog, tenant, database, &n, &f->err), &f->err);
    check(n == 80);
    check_ok(f->catalog->ops->next_file_id(f->catalog, &id, &f->err), &f->err);
    check(id == 81);
}

static bool
open_and_work(struct och_mem *mem)
{
    struct och_mem disk_mem;
    struct och_catalog *catalog = NULL;
    struct model model;
    uint64_t seed = 3;
    och_mem_init(&disk_mem, NULL);
    struct sim_disk *disk = sim_disk_open(&disk_mem, 1);
    ochre_status status = och_catalog_sqlite_open(mem, sim_disk_vfs(disk), true, &catalog, NULL);
    model_init(&model);
    for (int i = 0; status == OCHRE_OK && i < 30; i++) {
        uint64_t id;
        struct op op = model_next_op(&seed, &model);
        struct model after = model;
        ochre_status wanted = model_apply(&after, &op);
        status = model_run(catalog, mem, &model, &op, &id, NULL);
        check(status == wanted || status == OCHRE_NO_MEMORY);
        if (status == wanted) {
            model = after;
            status = OCHRE_OK;
        }
    }
    if (catalog != NULL) {
        ochre_status read;
        char *text = model_text_of(catalog, mem, &read, NULL);
        if (text == NULL)
            check(read == OCHRE_NO_MEMORY);
        else if (status == OCHRE_OK)
            check(och_mem_used(mem) > 0);
        status = status == OCHRE_OK ? read : status;
        free(text);
        catalog->ops->close(catalog);
    }
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    sim_disk_close(disk);
    check(och_mem_used(&disk_mem) == 0);
    return status == OCHRE_OK;
}

static void
any_allocation_of_ours_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(open_and_work);
}

/* --- what fails half way ------------------------------------------------------ */

enum { N_MANY = 120, N_PINS = 60, FILE_ID = 300 };

/* So much of everything that no list fits what an arena begins with. */
static void
make_many(struct fixture *f)
{
    const struct och_catalog_ops *ops = f->catalog->ops;
    static struct och_segment_row segments[N_MANY];
    char name[64];
    for (uint8_t i = 1; i <= N_MANY; i++) {
        (void) snprintf(name, sizeof(name), "a name that is long enough to count, %u", i);
        struct och_database_row row = {.id = uuid(i), .tenant = tenant, .name = bytes(name)};
        check_ok(ops->database_create(f->catalog, &row, &f->err), &f->err);
        create(f, i, name, i);
        segments[i - 1] = (struct och_segment_row){.id = i};
        check_ok(ops->tenant_create(f->catalog, bytes(name), &f->err), &f->err);
    }
    for (uint8_t i = 1; i <= N_PINS; i++) {
        (void) snprintf(name, sizeof(name), "a pin with a name that is long enough, %u", i);
        check_ok(add_pin(f->catalog, 1, (uint8_t) (N_MANY + i), 0, name, &f->err), &f->err);
    }
    uint64_t id = 0;
    while (id <= FILE_ID)
        check_ok(ops->next_file_id(f->catalog, &id, &f->err), &f->err);
    struct och_collection_state state = {.position = 1};
    check_ok(ops->state_set(f->catalog, uuid(1), &state, segments, N_MANY, &f->err), &f->err);
}

enum step {
    STEP_ADD_TENANT,
    STEP_NAME_RESOURCE,
    STEP_LIST_TENANTS,
    STEP_ADD_DATABASE,
    STEP_GET_DATABASE,
    STEP_LIST_DATABASES,
    STEP_DROP_DATABASE,
    STEP_ADD_COLLECTION,
    STEP_LIST_COLLECTIONS,
    STEP_CHANGE_COLLECTION,
    STEP_DROP_COLLECTION,
    STEP_FORK_COLLECTION,
    STEP_ADD_PIN,
    STEP_LIST_PINS,
    STEP_GET_STATE,
    STEP_SET_STATE,
    STEP_EACH_COLLECTION,
    STEP_SCRUB_COPY,
    STEP_TIDY,
    STEP_RESET,
    N_STEP_KINDS,
};

/* The list's length is right, or it is not an answer. */
static ochre_status
all_there(ochre_status status, size_t n, size_t wanted)
{
    check(status != OCHRE_OK || n == wanted);
    return status;
}

static ochre_status
count_one(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    size_t *n = context;
    check(id.bytes[0] == number && state->position == (number == 1 ? 1 : 0));
    check(n_segments == (number == 1 ? N_MANY : 0));
    (*n)++;
    return OCHRE_OK;
}

static ochre_status
run_upkeep(struct och_catalog *catalog, struct och_arena *arena, enum step kind,
        struct ochre_error *err)
{
    const struct och_catalog_ops *ops = catalog->ops;
    size_t n = 0;
    bool mended = true;
    ochre_status status;
    if (kind == STEP_EACH_COLLECTION) {
        status = ops->each_collection(catalog, arena, count_one, &n, err);
        return all_there(status, n, N_MANY + N_PINS);
    }
    if (kind == STEP_SCRUB_COPY) {
        status = ops->scrub_copy(catalog, &mended, err);
        check(!mended); /* there was nothing to mend */
        return status;
    }
    return kind == STEP_TIDY ? ops->tidy(catalog, err) : ops->reset(catalog, err);
}

static ochre_status
run_changing(struct och_catalog *catalog, enum step kind, struct ochre_error *err)
{
    const struct och_catalog_ops *ops = catalog->ops;
    struct och_database_row database_row = {
            .id = uuid(200), .tenant = tenant, .name = bytes("new")};
    struct och_collection_row row = collection_row(kind == STEP_CHANGE_COLLECTION ? 5 : 201, "new");
    struct och_collection_state state = {.position = 2};
    struct och_segment_row segment = {.id = FILE_ID};
    if (kind == STEP_ADD_TENANT)
        return ops->tenant_create(catalog, bytes("new"), err);
    if (kind == STEP_NAME_RESOURCE)
        return ops->tenant_set_resource_name(catalog, tenant, bytes("resource"), err);
    if (kind == STEP_ADD_DATABASE)
        return ops->database_create(catalog, &database_row, err);
    if (kind == STEP_ADD_COLLECTION)
        return ops->collection_create(catalog, &row, err);
    if (kind == STEP_CHANGE_COLLECTION)
        return ops->collection_update(catalog, &row, err);
    if (kind == STEP_DROP_COLLECTION)
        return ops->collection_delete(catalog, uuid(1), err);
    if (kind == STEP_FORK_COLLECTION)
        return ops->collection_fork(catalog, uuid(1), &row, &state, &segment, 1, err);
    if (kind == STEP_ADD_PIN)
        return add_pin(catalog, 1, 202, 0, "new", err);
    return ops->state_set(catalog, uuid(1), &state, &segment, 1, err);
}

static ochre_status
run_op(struct och_catalog *catalog, struct och_arena *arena, enum step kind,
        struct ochre_error *err)
{
    const struct och_catalog_ops *ops = catalog->ops;
    struct och_database_row database_row;
    struct och_database_row *databases;
    struct och_collection_row *collections;
    struct och_collection_state state;
    struct och_segment_row *segments;
    struct och_tenant_row *tenants;
    struct och_pin_row *pins;
    struct och_uuid *ids;
    size_t n = 0;
    ochre_status status;
    switch (kind) {
    case STEP_LIST_TENANTS:
        status = ops->tenant_list(catalog, arena, &tenants, &n, err);
        return all_there(status, n, N_MANY + 1);
    case STEP_LIST_PINS:
        status = ops->pin_list(catalog, arena, uuid(1), &pins, &n, err);
        return all_there(status, n, N_PINS);
    case STEP_GET_DATABASE:
        return ops->database_get(catalog, arena, tenant, database, &database_row, err);
    case STEP_LIST_DATABASES:
        status = ops->database_list(catalog, arena, tenant, UINT64_MAX, 0, &databases, &n, err);
        return all_there(status, n, N_MANY + 1);
    case STEP_DROP_DATABASE:
        status = ops->database_delete(catalog, arena, tenant, database, &ids, &n, err);
        return all_there(status, n, N_MANY + N_PINS);
    case STEP_LIST_COLLECTIONS:
        status = ops->collection_list(
                catalog, arena, tenant, database, UINT64_MAX, 0, &collections, &n, err);
        return all_there(status, n, N_MANY);
    case STEP_GET_STATE:
        status = ops->state_get(catalog, arena, uuid(1), &state, &segments, &n, err);
        return all_there(status, n, N_MANY);
    case STEP_EACH_COLLECTION:
    case STEP_SCRUB_COPY:
    case STEP_TIDY:
    case STEP_RESET:
        return run_upkeep(catalog, arena, kind, err);
    case STEP_ADD_TENANT:
    case STEP_NAME_RESOURCE:
    case STEP_ADD_DATABASE:
    case STEP_ADD_COLLECTION:
    case STEP_CHANGE_COLLECTION:
    case STEP_DROP_COLLECTION:
    case STEP_FORK_COLLECTION:
    case STEP_ADD_PIN:
    case STEP_SET_STATE:
    case N_STEP_KINDS:
        break;
    }
    return run_changing(catalog, kind, err);
}

/* The n-th call of the disk fails, or the n-th allocation; false when there are fewer.
 * Then nothing has happened, and it can be tried again. */
static bool
fail_within(struct fixture *f, enum step kind, bool of_disk, uint64_t n)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_catalog *catalog;
    struct sim_disk *disk = sim_disk_clone(f->disk);
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    check_ok(och_catalog_sqlite_open(&f->mem, sim_disk_vfs(disk), false, &catalog, &f->err),
            &f->err);
    if (of_disk)
        sim_disk_fail(disk, n, SIM_IO_ONCE);
    else
        mem.fail_at = n;
    ochre_status status = run_op(catalog, &arena, kind, &f->err);
    bool failed = of_disk ? sim_disk_has_failed(disk) : mem.n_grants >= n;
    check(status == OCHRE_OK || (failed && status == (of_disk ? OCHRE_IO : OCHRE_NO_MEMORY)));
    sim_disk_fail(disk, 0, SIM_IO_ONCE);
    mem.fail_at = 0;
    if (status != OCHRE_OK)
        check_ok(run_op(catalog, &arena, kind, &f->err), &f->err);
    check_ok((catalog->ops->check)(catalog, &f->err), &f->err);
    catalog->ops->close(catalog);
    och_arena_clear(&arena);
    check(och_mem_used(&mem) == 0);
    sim_disk_close(disk);
    return failed;
}

static void
what_fails_half_way_has_not_happened(void **state)
{
    struct fixture *f = *state;
    make_many(f);
    f->catalog->ops->close(f->catalog);
    f->catalog = NULL;
    for (int kind = 0; kind < N_STEP_KINDS; kind++) {
        for (unsigned of_disk = 0; of_disk < 2; of_disk++) {
            uint64_t n = 1;
            while (fail_within(f, (enum step) kind, of_disk == 1, n))
                n++;
            check(of_disk == 0 || n > 2);
        }
    }
}

/* From the n-th call on the disk works no more, not even to recover; when it does again, the
 * transaction has happened or has not, and the catalog goes on. */
static void
while_the_disk_fails_nothing_happens(void **state)
{
    struct fixture *f = *state;
    unsigned n_failed = 0;
    uint64_t before, after;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        char name[16];
        (void) snprintf(name, sizeof(name), "t%u", (unsigned) n);
        check_ok(f->catalog->ops->generation(f->catalog, &before, &f->err), &f->err);
        sim_disk_fail(f->disk, n, SIM_IO_FROM);
        ochre_status status = f->catalog->ops->tenant_create(f->catalog, bytes(name), &f->err);
        failed = sim_disk_has_failed(f->disk);
        check(status == (failed ? OCHRE_IO : OCHRE_OK) || (status == OCHRE_OK && failed));
        n_failed += status != OCHRE_OK;
        if (failed)
            check(f->catalog->ops->tenant_create(f->catalog, bytes("x"), &f->err) == OCHRE_IO);
        sim_disk_fail(f->disk, 0, SIM_IO_ONCE);
        ochre_status again = f->catalog->ops->tenant_create(f->catalog, bytes(name), &f->err);
        check(again == OCHRE_EXISTS || (again == OCHRE_OK && status != OCHRE_OK));
        check_ok(f->catalog->ops->generation(f->catalog, &after, &f->err), &f->err);
        check(after == before + 1);
        check_ok(verify(f), &f->err);
    }
    check(n_failed > 5);
}

/* One page of the catalog: how many of these records it has, which now say that they begin
 * with 15 bytes instead of 16. */
static unsigned
shorten_ids(unsigned char page[OCH_CATALOG_PAGE_SIZE], const unsigned char *header, size_t size,
        size_t at)
{
    enum { BLOB_15 = 12 + 2 * 15 };
    unsigned n = 0;
    for (unsigned char *end = page + OCH_CATALOG_PAGE_SIZE, *from = page; from < end; n++) {
        unsigned char *found = memmem(from, (size_t) (end - from), header, size);
        if (found == NULL)
            break;
        found[at] = BLOB_15;
        from = found + size;
    }
    return n;
}

/* Pages with right checksums and a wrong table, as a wrong program would make them. */
static void
an_id_of_another_size_is_damage(void **state)
{
    struct fixture *f = *state;
    /* Of a record of `collections`: the header's size, NULL for the number, an id of 16 bytes
     * and a database, 1; then a name of 2 bytes, no metadata, a schema of 2 bytes. */
    static const unsigned char header[] = {7, 0, 12 + 2 * 16, 9, 12 + 2 * 2, 0, 12 + 2 * 2};
    unsigned char page[OCH_CATALOG_PAGE_SIZE];
    struct och_file *file;
    uint64_t size;
    unsigned n_changed = 0;
    create(f, 7, "c7", 1);
    f->catalog->ops->close(f->catalog);
    f->catalog = NULL;
    struct och_vfs *vfs = sim_disk_vfs(f->disk);
    check_ok(och_vfs_remove(vfs, OCH_CATALOG_COPY, &f->err), &f->err);
    check_ok(och_vfs_open(vfs, OCH_CATALOG_FILE, OCH_OPEN_READ | OCH_OPEN_WRITE, &file, &f->err),
            &f->err);
    check_ok(och_file_size(file, &size, &f->err), &f->err);
    for (uint64_t at = 0; at < size; at += sizeof(page)) {
        check_ok(och_file_read_all(file, at, page, sizeof(page), &f->err), &f->err);
        unsigned n = shorten_ids(page, header, sizeof(header), 2);
        if (n == 0)
            continue;
        n_changed += n;
        och_catalog_page_stamp(page, (uint32_t) (at / sizeof(page)) + 1);
        check_ok(och_file_write(file, at, page, sizeof(page), &f->err), &f->err);
    }
    och_file_close(file);
    check(n_changed == 1);
    open_catalog(f);
    struct och_uuid *dropped;
    size_t n;
    ochre_status status = f->catalog->ops->database_delete(
            f->catalog, &f->arena, tenant, database, &dropped, &n, &f->err);
    check_said(f, status, OCHRE_CORRUPT, "catalog: a value of 15 bytes where 16 belong");
    struct visits visits = {.catalog = f->catalog};
    status = f->catalog->ops->each_collection(f->catalog, &f->arena, count_visit, &visits, &f->err);
    check_said(f, status, OCHRE_CORRUPT, "catalog: a value of 15 bytes where 16 belong");
    check(visits.n == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(a_new_catalog_holds_the_defaults, set_up, tear_down),
            cmocka_unit_test_setup_teardown(tenants_are_listed_by_name, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    without_create_a_missing_catalog_is_not_found, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    without_create_a_catalog_there_is_opens, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    two_catalogs_in_one_process_are_apart, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_newer_format_is_refused, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_database_of_another_program_is_refused, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_file_that_is_not_sqlite_is_corrupt, set_up, tear_down),
            cmocka_unit_test_setup_teardown(tenants_are_made_once_and_found, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_resource_name_is_set_once_and_belongs_to_one, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    databases_may_lie_under_a_tenant_nobody_made, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    databases_are_listed_by_name_in_byte_order, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_limit_or_offset_of_all_64_bits_is_just_large, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    dropping_a_database_drops_and_names_its_collections, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    collections_are_found_by_name_id_and_number, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_taken_name_or_id_is_refused, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    no_metadata_and_empty_metadata_differ, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    collections_are_listed_in_creation_order, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    an_update_replaces_name_metadata_and_schema, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    numbers_and_file_ids_are_never_used_again, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    file_ids_cost_a_transaction_for_many, set_up, tear_down),
            cmocka_unit_test_setup_teardown(names_are_bytes_compared_exactly, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_message_shows_nul_and_cuts_between_characters, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_state_is_replaced_as_a_whole, set_up, tear_down),
            cmocka_unit_test_setup_teardown(every_collection_is_visited_once, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    each_change_raises_the_generation_by_one, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_reset_leaves_the_defaults, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_large_schema_and_metadata_survive, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_fork_is_made_with_its_state_and_files, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    forks_are_refused_as_collections_are, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    forks_are_counted_in_their_tree_until_they_are_dropped, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    pins_are_refused_by_name_and_number_and_listed_in_creation_order, set_up,
                    tear_down),
            cmocka_unit_test_setup_teardown(
                    a_pin_is_found_at_its_own_position_and_no_other, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    check_complains_about_wrong_counters, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    random_programs_agree_with_the_model, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    what_is_adopted_has_its_state_and_files, set_up, tear_down),
            cmocka_unit_test_setup_teardown(threads_take_turns, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    what_fails_half_way_has_not_happened, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    while_the_disk_fails_nothing_happens, set_up, tear_down),
            cmocka_unit_test_setup_teardown(an_id_of_another_size_is_damage, set_up, tear_down),
            cmocka_unit_test(any_allocation_of_ours_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("catalog_sqlite", tests, NULL, NULL);
}
