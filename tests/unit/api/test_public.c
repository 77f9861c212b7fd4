/*
 * test_public.c - what include/ochre promises, in a real directory, through
 * nothing but its headers.
 */
#include <dirent.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/backup.h"
#include "api/restore_point.h"
#include "base/mem.h"
#include "base/pages.h"
#include "ochre/ochre.h"
#include "os/clock.h"
#include "support/check.h"

enum { DIM = 2 };

static char directory[] = "/tmp/ochre-public-XXXXXX";
static ochre_db *db;
static struct ochre_error err;

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static bool
same(struct ochre_bytes bytes, const char *string)
{
    return bytes.data != NULL && bytes.size == strlen(string) &&
            memcmp(bytes.data, string, bytes.size) == 0;
}

static int
remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void) info;
    (void) type;
    return where->level == 0 ? 0 : remove(path);
}

static ochre_status
open_with(struct ochre_options options)
{
    options.size = sizeof(options);
    return ochre_open(directory, &options, &db, &err);
}

static int
set_up(void **state)
{
    (void) state;
    check(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
    check_ok(ochre_open(directory, NULL, &db, &err), &err);
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    ochre_close(db);
    db = NULL;
    check(och_pages_kept() == 0); /* nothing waits for a database that may never come */
    return 0;
}

static void
reopen(void)
{
    ochre_close(db);
    check_ok(ochre_open(directory, NULL, &db, &err), &err);
}

static ochre_collection *
create(const char *name)
{
    ochre_collection *collection;
    check_ok(ochre_collection_create(db, name, NULL, &collection, &err), &err);
    return collection;
}

/* Add records "<first>", ... with a vector that says the number twice. */
static ochre_status
add_numbers(ochre_collection *collection, int first, int n)
{
    enum { N_MAX = 64 };
    static char ids[N_MAX][16];
    struct ochre_bytes names[N_MAX];
    struct ochre_bytes documents[N_MAX];
    struct ochre_field fields[N_MAX];
    struct ochre_metadata metadatas[N_MAX];
    float vectors[N_MAX * DIM];
    for (int i = 0; i < n; i++) {
        (void) snprintf(ids[i], sizeof(ids[i]), "%d", first + i);
        names[i] = text(ids[i]);
        documents[i] = text(i % 2 == 0 ? "even" : "odd");
        fields[i] = (struct ochre_field){
                text("number"), {.type = OCHRE_VALUE_INT, .as.integer = first + i}};
        metadatas[i] = (struct ochre_metadata){&fields[i], 1};
        vectors[i * DIM] = (float) (first + i);
        vectors[i * DIM + 1] = (float) (first + i);
    }
    struct ochre_records records = {.n = (size_t) n,
            .ids = names,
            .embeddings = vectors,
            .dim = DIM,
            .documents = documents,
            .metadatas = metadatas};
    return ochre_add(collection, &records, &err);
}

static uint64_t
count_of(ochre_collection *collection)
{
    uint64_t count;
    check_ok(ochre_count(collection, &count, &err), &err);
    return count;
}

/* --- opening --------------------------------------------------------------------- */

static void
the_library_has_a_version(void **state)
{
    (void) state;
    check(ochre_version() != NULL && strchr(ochre_version(), '.') != NULL);
    for (int status = OCHRE_OK; status <= OCHRE_STALE + 1; status++)
        check(ochre_status_name((ochre_status) status) != NULL);
}

static void
a_second_opener_is_refused_until_the_first_closes(void **state)
{
    (void) state;
    ochre_db *second;
    char pid[24];
    check(ochre_open(directory, NULL, &second, &err) == OCHRE_BUSY);
    check(second == NULL && err.status == OCHRE_BUSY);
    (void) snprintf(pid, sizeof(pid), "%ld", (long) getpid());
    check(strstr(err.message, pid) != NULL);
    ochre_close(db);
    check_ok(ochre_open(directory, NULL, &db, &err), &err);
}

static void
options_say_their_size(void **state)
{
    (void) state;
    ochre_db *second;
    struct ochre_options options = {.size = sizeof(options) - 1};
    check(ochre_open(directory, &options, &second, &err) == OCHRE_INVALID && second == NULL);
    struct ochre_collection_options other = {.size = 1};
    ochre_collection *collection;
    check(ochre_collection_create(db, "things", &other, &collection, &err) == OCHRE_INVALID);
    check(collection == NULL);
}

static void
must_exist_makes_nothing(void **state)
{
    (void) state;
    ochre_close(db);
    check(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
    check(open_with((struct ochre_options){.must_exist = true}) == OCHRE_NOT_FOUND);
    check(db == NULL);
    check_ok(open_with((struct ochre_options){.simd = "scalar"}), &err);
    ochre_close(db);
    check_ok(open_with((struct ochre_options){.must_exist = true, .simd = "no such"}), &err);
}

static void
another_programs_directory_is_left_alone(void **state)
{
    (void) state;
    char path[128];
    ochre_close(db);
    check(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
    (void) snprintf(path, sizeof(path), "%s/chroma.sqlite3", directory);
    FILE *file = fopen(path, "w");
    check(file != NULL && fclose(file) == 0);
    check(ochre_open(directory, NULL, &db, &err) == OCHRE_UNSUPPORTED && db == NULL);
}

static void
closing_nothing_is_fine(void **state)
{
    (void) state;
    ochre_close(NULL);
    ochre_collection_close(NULL);
    ochre_result_close(NULL);
}

static void
errors_may_be_unwanted(void **state)
{
    (void) state;
    ochre_db *second;
    check(ochre_open(directory, NULL, &second, NULL) == OCHRE_BUSY);
    check(ochre_tenant_check(db, "nobody", NULL) == OCHRE_NOT_FOUND);
    check(ochre_reset(db, NULL) == OCHRE_DENIED);
}

/* --- tenants and databases ----------------------------------------------------------- */

struct names {
    char text[256];
    int left; /* until the visit has enough */
};

static bool
note_name(void *context, struct ochre_bytes name)
{
    struct names *names = context;
    size_t size = strlen(names->text);
    (void) snprintf(
            names->text + size, sizeof(names->text) - size, "%.*s ", (int) name.size, name.data);
    return --names->left > 0;
}

static void
defaults_are_there_from_the_beginning(void **state)
{
    (void) state;
    struct names names = {.left = 100};
    check_ok(ochre_tenant_check(db, "default_tenant", &err), &err);
    check_ok(ochre_database_check(db, "default_tenant", "default_database", &err), &err);
    check_ok(ochre_database_list(db, "default_tenant", note_name, &names, &err), &err);
    assert_string_equal(names.text, "default_database ");
}

static void
tenants_and_databases_come_and_go(void **state)
{
    (void) state;
    struct names names = {.left = 100};
    check_ok(ochre_tenant_create(db, "acme", &err), &err);
    check(ochre_tenant_create(db, "acme", &err) == OCHRE_EXISTS);
    check(ochre_tenant_create(db, "ab", &err) == OCHRE_INVALID);
    check(ochre_tenant_create(db, NULL, &err) == OCHRE_INVALID);
    check(ochre_tenant_check(db, "other", &err) == OCHRE_NOT_FOUND);
    check_ok(ochre_database_create(db, "acme", "two", &err), &err);
    check_ok(ochre_database_create(db, "acme", "one", &err), &err);
    check(ochre_database_create(db, "acme", "one", &err) == OCHRE_EXISTS);
    check(ochre_database_create(db, "acme", "a b", &err) == OCHRE_INVALID);
    check_ok(ochre_database_list(db, "acme", note_name, &names, &err), &err);
    assert_string_equal(names.text, "one two ");
    names = (struct names){.left = 1};
    check_ok(ochre_database_list(db, "acme", note_name, &names, &err), &err);
    assert_string_equal(names.text, "one "); /* the visit had enough */
    reopen();
    check_ok(ochre_database_check(db, "acme", "two", &err), &err);
    check_ok(ochre_database_delete(db, "acme", "two", &err), &err);
    check(ochre_database_check(db, "acme", "two", &err) == OCHRE_NOT_FOUND);
    check(ochre_database_delete(db, "acme", "two", &err) == OCHRE_NOT_FOUND);
}

static void
a_database_goes_with_its_collections(void **state)
{
    (void) state;
    ochre_collection *collection;
    struct ochre_collection_options options = {
            .size = sizeof(options), .tenant = "acme", .database = "one"};
    check_ok(ochre_tenant_create(db, "acme", &err), &err);
    check(ochre_collection_create(db, "things", &options, &collection, &err) == OCHRE_INVALID);
    check_ok(ochre_database_create(db, "acme", "one", &err), &err);
    check_ok(ochre_collection_create(db, "things", &options, &collection, &err), &err);
    check_ok(add_numbers(collection, 0, 5), &err);
    check_ok(ochre_database_delete(db, "acme", "one", &err), &err);
    uint64_t count;
    check(ochre_count(collection, &count, &err) == OCHRE_NOT_FOUND);
    ochre_collection_close(collection);
    check(ochre_collection_open(db, "acme", "one", "things", &collection, &err) == OCHRE_NOT_FOUND);
}

/* --- collections ------------------------------------------------------------------------ */

/* What a description said, copied. */
struct shown {
    int n;
    char names[256];
    char id[37];
    char configuration[2048];
    char schema[8192];
    ochre_space space;
    uint32_t dim;
    size_t n_fields;
    char key[32];
    int stop_at;
};

static bool
note_collection(void *context, const struct ochre_collection_info *info)
{
    struct shown *shown = context;
    size_t size = strlen(shown->names);
    (void) snprintf(shown->names + size, sizeof(shown->names) - size, "%.*s/%.*s/%.*s ",
            (int) info->tenant.size, info->tenant.data, (int) info->database.size,
            info->database.data, (int) info->name.size, info->name.data);
    memcpy(shown->id, info->id, sizeof(shown->id));
    (void) snprintf(shown->configuration, sizeof(shown->configuration), "%.*s",
            (int) info->configuration.size, info->configuration.data);
    (void) snprintf(shown->schema, sizeof(shown->schema), "%.*s", (int) info->schema.size,
            info->schema.data);
    shown->space = info->space;
    shown->dim = info->dim;
    shown->n_fields = info->metadata.n_fields;
    if (info->metadata.n_fields > 0)
        (void) snprintf(shown->key, sizeof(shown->key), "%.*s",
                (int) info->metadata.fields[0].key.size, info->metadata.fields[0].key.data);
    return ++shown->n != shown->stop_at;
}

static void
a_collection_describes_itself(void **state)
{
    (void) state;
    static struct shown shown;
    char id[37];
    struct ochre_field fields[] = {
            {text("b"), {.type = OCHRE_VALUE_INT, .as.integer = 1}},
            {text("a"), {.type = OCHRE_VALUE_STRING, .as.string = {"x", 1}}},
    };
    struct ochre_collection_options options = {
            .size = sizeof(options), .space = OCHRE_SPACE_IP, .metadata = {fields, 2}};
    ochre_collection *collection;
    check_ok(ochre_collection_create(db, "things", &options, &collection, &err), &err);
    check_ok(ochre_collection_describe(collection, note_collection, &shown, &err), &err);
    check(shown.n == 1 && shown.dim == 0 && shown.space == OCHRE_SPACE_IP);
    check(shown.n_fields == 2 && strcmp(shown.key, "a") == 0);
    assert_string_equal(shown.names, "default_tenant/default_database/things ");
    ochre_collection_id(collection, id);
    assert_string_equal(shown.id, id);
    check(strlen(id) == 36);
    check(strstr(shown.configuration, "\"space\":\"ip\"") != NULL);
    check(strstr(shown.schema, "\"number\"") == NULL);
    check_ok(add_numbers(collection, 0, 3), &err);
    check_ok(ochre_collection_describe(collection, note_collection, &shown, &err), &err);
    check(shown.dim == DIM && strstr(shown.schema, "\"number\"") != NULL);
    ochre_collection_close(collection);
}

static void
collections_are_listed_in_creation_order(void **state)
{
    (void) state;
    static struct shown shown;
    static const char *const names[] = {"zebra", "apple", "mouse"};
    for (int i = 0; i < 3; i++)
        ochre_collection_close(create(names[i]));
    check_ok(ochre_collection_list(db, NULL, NULL, UINT64_MAX, 0, note_collection, &shown, &err),
            &err);
    assert_string_equal(shown.names,
            "default_tenant/default_database/zebra default_tenant/default_database/apple "
            "default_tenant/default_database/mouse ");
    memset(&shown, 0, sizeof(shown));
    check_ok(ochre_collection_list(db, NULL, NULL, 1, 1, note_collection, &shown, &err), &err);
    assert_string_equal(shown.names, "default_tenant/default_database/apple ");
    memset(&shown, 0, sizeof(shown));
    shown.stop_at = 2;
    check_ok(ochre_collection_list(db, NULL, NULL, 10, 0, note_collection, &shown, &err), &err);
    check(shown.n == 2);
    memset(&shown, 0, sizeof(shown));
    check_ok(ochre_collection_list(db, "nobody", "nothing", 10, 0, note_collection, &shown, &err),
            &err);
    check(shown.n == 0);
}

static void
one_name_is_one_collection(void **state)
{
    (void) state;
    ochre_collection *first = create("things");
    ochre_collection *second;
    char ids[2][37];
    check(ochre_collection_create(db, "things", NULL, &second, &err) == OCHRE_EXISTS);
    check(second == NULL);
    check(ochre_collection_create(db, "no", NULL, &second, &err) == OCHRE_INVALID);
    check(ochre_collection_create(db, NULL, NULL, &second, &err) == OCHRE_INVALID);
    struct ochre_collection_options options = {
            .size = sizeof(options), .get_or_create = true, .space = OCHRE_SPACE_COSINE};
    check_ok(ochre_collection_create(db, "things", &options, &second, &err), &err);
    ochre_collection_id(first, ids[0]);
    ochre_collection_id(second, ids[1]);
    assert_string_equal(ids[0], ids[1]);
    static struct shown shown;
    check_ok(ochre_collection_describe(second, note_collection, &shown, &err), &err);
    check(shown.space == OCHRE_SPACE_L2); /* opened as it is */
    ochre_collection_close(first);
    ochre_collection_close(second);
    check(ochre_collection_open(db, NULL, NULL, "others", &first, &err) == OCHRE_NOT_FOUND);
    check(first == NULL);
}

static void
a_configuration_is_json_of_the_right_shape(void **state)
{
    (void) state;
    static const struct {
        const char *configuration, *schema;
        ochre_status status;
    } cases[] = {
            {"{\"hnsw\":{\"space\":\"cosine\",\"ef_search\":77}}", NULL, OCHRE_OK},
            {"{\"hnsw\":", NULL, OCHRE_INVALID},
            {"{\"hnsw\":5}", NULL, OCHRE_SHAPE},
            {"[]", NULL, OCHRE_SHAPE},
            {NULL, "{\"defaults\":{},\"keys\":{}}", OCHRE_OK},
            {NULL, "{\"keys\":{}}", OCHRE_SHAPE},
            {NULL, "nonsense", OCHRE_INVALID},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ochre_collection_options options = {.size = sizeof(options)};
        if (cases[i].configuration != NULL)
            options.configuration = text(cases[i].configuration);
        if (cases[i].schema != NULL)
            options.schema = text(cases[i].schema);
        char name[16];
        ochre_collection *collection;
        (void) snprintf(name, sizeof(name), "case-%zu", i);
        ochre_status status = ochre_collection_create(db, name, &options, &collection, &err);
        check_status(status, cases[i].status, &err, __FILE__, __LINE__);
        check((collection != NULL) == (status == OCHRE_OK));
        ochre_collection_close(collection);
    }
}

static void
a_collection_may_be_changed_and_renamed(void **state)
{
    (void) state;
    static struct shown shown;
    ochre_collection *collection = create("things");
    ochre_collection_close(create("taken"));
    struct ochre_bytes none = {NULL, 0};
    struct ochre_field field = {text("k"), {.type = OCHRE_VALUE_BOOL, .as.boolean = true}};
    struct ochre_metadata metadata = {&field, 1};
    check_ok(ochre_collection_update(collection, NULL, NULL, none, &err), &err);
    check_ok(ochre_collection_update(collection, "renamed", &metadata,
                     text("{\"hnsw\":{\"ef_search\":123}}"), &err),
            &err);
    check_ok(ochre_collection_describe(collection, note_collection, &shown, &err), &err);
    assert_string_equal(shown.names, "default_tenant/default_database/renamed ");
    check(shown.n_fields == 1 && strstr(shown.configuration, "123") != NULL);
    check(ochre_collection_update(collection, "taken", NULL, none, &err) == OCHRE_EXISTS);
    check(ochre_collection_update(collection, "x", NULL, none, &err) == OCHRE_INVALID);
    check(ochre_collection_update(collection, NULL, NULL, text("{"), &err) == OCHRE_INVALID);
    check(ochre_collection_update(collection, NULL, NULL, text("{\"hnsw\":{\"space\":\"ip\"}}"),
                  &err) == OCHRE_SHAPE);
    check_ok(add_numbers(collection, 0, 3), &err); /* the handle is the same collection */
    ochre_collection_close(collection);
    check(ochre_collection_open(db, NULL, NULL, "things", &collection, &err) == OCHRE_NOT_FOUND);
    reopen();
    check_ok(ochre_collection_open(db, NULL, NULL, "renamed", &collection, &err), &err);
    check(count_of(collection) == 3);
    ochre_collection_close(collection);
}

static void
handles_of_a_deleted_collection_find_nothing(void **state)
{
    (void) state;
    static struct shown shown;
    ochre_collection *collection = create("things");
    check_ok(add_numbers(collection, 0, 3), &err);
    check_ok(ochre_collection_delete(db, NULL, NULL, "things", &err), &err);
    check(ochre_collection_delete(db, NULL, NULL, "things", &err) == OCHRE_NOT_FOUND);
    uint64_t n;
    ochre_result *result;
    struct ochre_get get = {.limit = 1};
    struct ochre_selection all = {.ids = NULL};
    check(ochre_count(collection, &n, &err) == OCHRE_NOT_FOUND);
    check(ochre_get(collection, &get, &result, &err) == OCHRE_NOT_FOUND && result == NULL);
    check(add_numbers(collection, 5, 1) == OCHRE_NOT_FOUND);
    check(ochre_delete(collection, &all, UINT64_MAX, &n, &err) == OCHRE_NOT_FOUND);
    check(ochre_collection_describe(collection, note_collection, &shown, &err) == OCHRE_NOT_FOUND);
    ochre_collection *again = create("things"); /* another one of that name */
    check(count_of(again) == 0);
    check(ochre_count(collection, &n, &err) == OCHRE_NOT_FOUND);
    ochre_collection_close(again);
    ochre_collection_close(collection);
}

/* --- records -------------------------------------------------------------------------------- */

static void
every_column_and_type_comes_back(void **state)
{
    (void) state;
    static const bool booleans[] = {true, false};
    static const int64_t integers[] = {INT64_MIN, INT64_MAX};
    static const double numbers[] = {0.1, -1e300};
    static const struct ochre_bytes strings[] = {{"", 0}, {"a\0b", 3}};
    struct ochre_field fields[] = {
            {text("s"), {.type = OCHRE_VALUE_STRING, .as.string = {"x", 1}}},
            {text("b"), {.type = OCHRE_VALUE_BOOL, .as.boolean = true}},
            {text("i"), {.type = OCHRE_VALUE_INT, .as.integer = -5}},
            {text("f"), {.type = OCHRE_VALUE_FLOAT, .as.number = 2.5}},
            {text("lb"), {.type = OCHRE_VALUE_BOOL_LIST, .n = 2, .as.booleans = booleans}},
            {text("li"), {.type = OCHRE_VALUE_INT_LIST, .n = 2, .as.integers = integers}},
            {text("lf"), {.type = OCHRE_VALUE_FLOAT_LIST, .n = 2, .as.numbers = numbers}},
            {text("ls"), {.type = OCHRE_VALUE_STRING_LIST, .n = 2, .as.strings = strings}},
    };
    struct ochre_metadata metadata = {fields, 8};
    struct ochre_bytes id = {"i\0d", 3};
    struct ochre_bytes document = {"\xe6\x97\xa5", 3};
    struct ochre_bytes uri = text("");
    const float vector[] = {1.5f, -0.25f, 3e38f};
    struct ochre_records records = {.n = 1,
            .ids = &id,
            .embeddings = vector,
            .dim = 3,
            .documents = &document,
            .uris = &uri,
            .metadatas = &metadata};
    ochre_collection *collection = create("things");
    check_ok(ochre_add(collection, &records, &err), &err);
    for (int round = 0; round < 3; round++) { /* in memory, in a file, after a restart */
        struct ochre_get get = {.limit = UINT64_MAX, .include = ~0u};
        ochre_result *result;
        check_ok(ochre_get(collection, &get, &result, &err), &err);
        size_t n;
        const struct ochre_hit *hit = ochre_result_hits(result, 0, &n);
        check(ochre_result_lists(result) == 1 && n == 1 && ochre_result_dim(result) == 3);
        check(hit->id.size == 3 && memcmp(hit->id.data, "i\0d", 3) == 0);
        check(same(hit->document, "\xe6\x97\xa5") && same(hit->uri, ""));
        check(memcmp(hit->embedding, vector, sizeof(vector)) == 0);
        check(hit->metadata.n_fields == 8);
        static const char *const sorted[] = {"b", "f", "i", "lb", "lf", "li", "ls", "s"};
        for (size_t i = 0; i < 8; i++)
            check(same(hit->metadata.fields[i].key, sorted[i]));
        check(hit->metadata.fields[2].value.as.integer == -5);
        check(hit->metadata.fields[3].value.n == 2 && hit->metadata.fields[3].value.as.booleans[0]);
        check(hit->metadata.fields[5].value.as.integers[1] == INT64_MAX);
        check(hit->metadata.fields[6].value.as.strings[1].size == 3);
        check(ochre_result_hits(result, 1, &n) == NULL && n == 0);
        ochre_result_close(result);
        if (round == 0)
            check_ok(ochre_seal(db, &err), &err);
        if (round == 1) {
            ochre_collection_close(collection);
            reopen();
            check_ok(ochre_collection_open(db, NULL, NULL, "things", &collection, &err), &err);
        }
    }
    ochre_collection_close(collection);
}

static void
add_update_and_upsert_do_what_they_say(void **state)
{
    (void) state;
    ochre_collection *collection = create("things");
    check_ok(add_numbers(collection, 0, 3), &err);
    check_ok(add_numbers(collection, 2, 2), &err); /* "2" stays as it is */
    check(count_of(collection) == 4);
    struct ochre_bytes ids[] = {text("2"), text("new")};
    struct ochre_field fields[] = {
            {text("number"), {.type = OCHRE_VALUE_NULL}},
            {text("more"), {.type = OCHRE_VALUE_INT, .as.integer = 1}},
    };
    struct ochre_metadata metadatas[] = {{fields, 2}, {NULL, 0}};
    struct ochre_records records = {.n = 2, .ids = ids, .metadatas = metadatas};
    check_ok(ochre_update(collection, &records, &err), &err);
    check(count_of(collection) == 4); /* "new" was passed over */
    const float vectors[] = {9, 9, 8, 8};
    records.embeddings = vectors;
    records.dim = 2;
    check_ok(ochre_upsert(collection, &records, &err), &err);
    check(count_of(collection) == 5);
    struct ochre_get get = {.selection = {.ids = ids, .n_ids = 2},
            .limit = UINT64_MAX,
            .include =
                    OCHRE_INCLUDE_METADATAS | OCHRE_INCLUDE_EMBEDDINGS | OCHRE_INCLUDE_DOCUMENTS};
    ochre_result *result;
    check_ok(ochre_get(collection, &get, &result, &err), &err);
    size_t n;
    const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
    check(n == 2 && same(hits[0].id, "2") && same(hits[1].id, "new"));
    check(hits[0].metadata.n_fields == 1 && same(hits[0].metadata.fields[0].key, "more"));
    check(same(hits[0].document, "even") && hits[1].document.data == NULL);
    check((int) hits[0].embedding[0] == 9 && (int) hits[1].embedding[0] == 8);
    check(hits[1].metadata.n_fields == 0 && hits[0].uri.data == NULL);
    ochre_result_close(result);
    ochre_collection_close(collection);
}

static void
an_update_may_leave_vectors_out(void **state)
{
    (void) state;
    ochre_collection *collection = create("things");
    check_ok(add_numbers(collection, 0, 3), &err);
    struct ochre_bytes ids[] = {text("0"), text("1"), text("2")};
    const uint32_t dims[] = {0, 2, 0};
    const float vectors[] = {7, 7};
    struct ochre_records records = {.n = 3, .ids = ids, .embeddings = vectors, .dims = dims};
    check_ok(ochre_update(collection, &records, &err), &err);
    struct ochre_get get = {.limit = UINT64_MAX, .include = OCHRE_INCLUDE_EMBEDDINGS};
    ochre_result *result;
    check_ok(ochre_get(collection, &get, &result, &err), &err);
    size_t n;
    const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
    check((int) hits[0].embedding[0] == 0 && (int) hits[1].embedding[0] == 7);
    check((int) hits[2].embedding[0] == 2);
    ochre_result_close(result);
    check(ochre_add(collection, &records, &err) == OCHRE_INVALID);
    records.embeddings = NULL;
    records.dims = NULL;
    check(ochre_add(collection, &records, &err) == OCHRE_INVALID);
    check(ochre_upsert(collection, &records, &err) == OCHRE_INVALID);
    check_ok(ochre_update(collection, &records, &err), &err);
    records.n = 0;
    check_ok(ochre_add(collection, &records, &err), &err); /* nothing is fine */
    ochre_collection_close(collection);
}

static void
a_refused_write_leaves_none_of_its_records(void **state)
{
    (void) state;
    ochre_collection *collection = create("things");
    struct ochre_bytes ids[] = {text("a"), text("")};
    const float vectors[] = {1, 2, 3, 4};
    struct ochre_records records = {.n = 2, .ids = ids, .embeddings = vectors, .dim = 2};
    check(ochre_add(collection, &records, &err) == OCHRE_INVALID);
    ids[1] = text("b");
    const float bad[] = {1, 2, 3, NAN};
    records.embeddings = bad;
    check(ochre_add(collection, &records, &err) == OCHRE_INVALID);
    records.embeddings = vectors;
    records.dim = 65536;
    check(ochre_add(collection, &records, &err) == OCHRE_INVALID);
    check(count_of(collection) == 0);
    records.dim = 2;
    check_ok(ochre_add(collection, &records, &err), &err);
    records.n = 1;
    ids[0] = text("c");
    records.dim = 4;
    check(ochre_add(collection, &records, &err) == OCHRE_INVALID); /* another dimension */
    check(count_of(collection) == 2);
    ochre_collection_close(collection);
}

static struct ochre_filter_node
number_is(ochre_filter_op op, int64_t number)
{
    return (struct ochre_filter_node){.op = op,
            .size = 1,
            .key = text("number"),
            .value = {.type = OCHRE_VALUE_INT, .as.integer = number}};
}

static void
deleting_takes_what_is_selected(void **state)
{
    (void) state;
    uint64_t n = 99;
    ochre_collection *collection = create("things");
    check_ok(add_numbers(collection, 0, 20), &err);
    struct ochre_selection nothing = {.ids = NULL};
    check_ok(ochre_delete(collection, &nothing, UINT64_MAX, &n, &err), &err);
    check(n == 0 && count_of(collection) == 20);
    check(ochre_delete(collection, &nothing, 5, &n, &err) == OCHRE_INVALID);
    struct ochre_bytes ids[] = {text("3"), text("nobody")};
    struct ochre_selection by_id = {.ids = ids, .n_ids = 2};
    check_ok(ochre_delete(collection, &by_id, UINT64_MAX, &n, &err), &err);
    check(count_of(collection) == 19);
    by_id.n_ids = 0;
    check(ochre_delete(collection, &by_id, UINT64_MAX, &n, &err) == OCHRE_INVALID);
    struct ochre_filter_node node = number_is(OCHRE_FILTER_LT, 10);
    struct ochre_selection by_filter = {.filter = {&node, 1}};
    check_ok(ochre_delete(collection, &by_filter, 4, &n, &err), &err);
    check(n == 4 && count_of(collection) == 15); /* 0 1 2 4 */
    by_filter.ids = ids;
    by_filter.n_ids = 2;
    ids[0] = text("5");
    ids[1] = text("15");
    check_ok(ochre_delete(collection, &by_filter, UINT64_MAX, &n, &err), &err);
    check(n == 1 && count_of(collection) == 14); /* 5: both must hold */
    ochre_collection_close(collection);
    reopen();
    check_ok(ochre_collection_open(db, NULL, NULL, "things", &collection, &err), &err);
    check(count_of(collection) == 14);
    ochre_collection_close(collection);
}

static void
queries_find_the_nearest_of_what_is_selected(void **state)
{
    (void) state;
    ochre_collection *collection = create("things");
    check_ok(add_numbers(collection, 0, 20), &err);
    const float queries[] = {4.25f, 4.25f, 100, 100};
    struct ochre_filter_node node = number_is(OCHRE_FILTER_NE, 4);
    struct ochre_query query = {.size = sizeof(query),
            .selection = {.filter = {&node, 1}},
            .queries = queries,
            .n_queries = 2,
            .dim = 2,
            .k = 3,
            .include = OCHRE_INCLUDE_DISTANCES};
    ochre_result *result;
    check_ok(ochre_query(collection, &query, &result, &err), &err);
    check(ochre_result_lists(result) == 2);
    size_t n;
    const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
    check(n == 3 && same(hits[0].id, "5") && same(hits[1].id, "3") && same(hits[2].id, "6"));
    check((int) (hits[0].distance * 1000) == 1125 && hits[0].document.data == NULL);
    hits = ochre_result_hits(result, 1, &n);
    check(n == 3 && same(hits[0].id, "19"));
    ochre_result_close(result);
    query.k = 100;
    check_ok(ochre_query(collection, &query, &result, &err), &err);
    (void) ochre_result_hits(result, 0, &n);
    check(n == 19); /* min(k, matches) */
    ochre_result_close(result);

    struct ochre_bytes id = text("nobody");
    query.selection = (struct ochre_selection){.ids = &id, .n_ids = 1};
    check(ochre_query(collection, &query, &result, &err) == OCHRE_INTERNAL && result == NULL);
    query.selection.filter = (struct ochre_filter){&node, 1};
    check_ok(ochre_query(collection, &query, &result, &err), &err);
    ochre_result_close(result);
    query.dim = 4;
    query.n_queries = 1;
    check(ochre_query(collection, &query, &result, &err) == OCHRE_INVALID && result == NULL);
    query.dim = 65536;
    check(ochre_query(collection, &query, &result, &err) == OCHRE_INVALID && result == NULL);
    const float bad[] = {NAN, 1};
    query.dim = 2;
    query.queries = bad;
    check(ochre_query(collection, &query, &result, &err) == OCHRE_INVALID && result == NULL);
    node.size = 7;
    query.queries = queries;
    check(ochre_query(collection, &query, &result, &err) == OCHRE_INVALID && result == NULL);
    ochre_collection_close(collection);
}

/* Told how hard to look, a collection without an index finds the same. */
static void
a_query_says_how_it_was_answered_when_asked(void **state)
{
    (void) state;
    ochre_collection *collection = create("things");
    check_ok(add_numbers(collection, 0, 20), &err);
    check_ok(ochre_seal(db, &err), &err);
    check_ok(add_numbers(collection, 20, 10), &err);
    const float queries[] = {4.25f, 4.25f, 100, 100};
    struct ochre_filter_node node = number_is(OCHRE_FILTER_LT, 4);
    struct ochre_query query = {
            .size = sizeof(query), .queries = queries, .n_queries = 2, .dim = 2, .k = 3};
    ochre_result *result;
    check_ok(ochre_query(collection, &query, &result, &err), &err);
    check(ochre_result_explain(result, 0) == NULL);
    ochre_result_close(result);

    query.explain = true;
    check_ok(ochre_query(collection, &query, &result, &err), &err);
    const struct ochre_explain *explain = ochre_result_explain(result, 1);
    check(explain != NULL && ochre_result_explain(result, 2) == NULL);
    check(explain->plan == OCHRE_PLAN_EXACT_SCAN && explain->recall_target == 0.99F);
    check(explain->n_sources == 2);
    check(explain->sources[0].kind == OCHRE_SOURCE_FLAT && explain->sources[0].rows == 20);
    check(explain->sources[0].matches == 20 && explain->sources[0].n_distances == 20);
    check(explain->sources[1].kind == OCHRE_SOURCE_HEAD && explain->sources[1].rows == 10);
    check(explain->sources[1].plan == OCHRE_PLAN_EXACT_SCAN);
    ochre_result_close(result);

    query.selection.filter = (struct ochre_filter){&node, 1};
    query.exact = true;
    query.recall_target = 0.5F;
    query.effort = 65536;
    check_ok(ochre_query(collection, &query, &result, &err), &err);
    size_t n;
    const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
    check(n == 3 && same(hits[0].id, "3"));
    explain = ochre_result_explain(result, 0);
    check(explain->recall_target == 1 && explain->sources[0].matches == 4);
    check(explain->sources[1].plan == OCHRE_PLAN_EMPTY && explain->sources[1].matches == 0);
    check(explain->sources[1].n_distances == 0 && explain->plan == OCHRE_PLAN_EXACT_GATHER);
    ochre_result_close(result);
    query.exact = false;
    check_ok(ochre_query(collection, &query, &result, &err), &err);
    check(ochre_result_explain(result, 0)->recall_target == 0.5F);
    ochre_result_close(result);
    ochre_collection_close(collection);
}

/* Points on a spiral: neighbours of a query are known without a search. */
static void
add_spiral(ochre_collection *collection, int n)
{
    for (int first = 0; first < n; first += 500) {
        static char ids[500][16];
        static float vectors[500 * 8];
        struct ochre_bytes names[500];
        for (int i = 0; i < 500; i++) {
            double turn = (first + i) * 0.001;
            (void) snprintf(ids[i], sizeof(ids[i]), "%d", first + i);
            names[i] = text(ids[i]);
            for (int j = 0; j < 8; j++)
                vectors[i * 8 + j] = (float) (10 * cos(turn * (j / 2 + 1) + j % 2 * 1.5708));
        }
        struct ochre_records records = {.n = 500, .ids = names, .embeddings = vectors, .dim = 8};
        check_ok(ochre_add(collection, &records, &err), &err);
    }
}

static bool
count_visit(void *context, const struct ochre_collection_stats *stats)
{
    unsigned *n_visits = context;
    check(stats->graph_segments == 1 && stats->bytes.graph > 0 && stats->bytes.codes > 0);
    check(stats->bytes.vectors == stats->records * (8 + 1) * sizeof(float)); /* and norms */
    ++*n_visits;
    return false;
}

static void
check_stats(uint64_t n)
{
    unsigned n_visits = 0;
    struct ochre_stats stats = {.size = 1};
    check(ochre_stats(db, &stats, NULL, NULL, &err) == OCHRE_INVALID);
    stats.size = sizeof(stats);
    check_ok(ochre_stats(db, &stats, NULL, NULL, &err), &err);
    check(stats.size == sizeof(stats) && stats.records == n && stats.free_bytes > 0);
    check_ok(ochre_stats(db, &stats, count_visit, &n_visits, &err), &err);
    check(n_visits == 1);
}

static void
a_compacted_collection_is_searched_by_its_graph(void **state)
{
    (void) state;
    enum { N = 6000 };
    ochre_collection *collection = create("spiral");
    add_spiral(collection, N);
    check_ok(ochre_compact(db, &err), &err);
    struct ochre_index_status status = {.size = sizeof(status)};
    check_ok(ochre_index_status(collection, &status, &err), &err);
    check(status.segments == 1 && status.graph_segments == 1 && status.unindexed_rows == 0);
    check(status.measured_recall >= 0.98F && status.effort > 0);
    check_stats(N);
    int n_found = 0;
    for (int row = 50; row < N; row += 97) {
        float query[8];
        for (int j = 0; j < 8; j++)
            query[j] = (float) (10 * cos((row + 0.2) * 0.001 * (j / 2 + 1) + j % 2 * 1.5708));
        for (int exact = 0; exact < 2; exact++) {
            struct ochre_query how = {.size = sizeof(how),
                    .queries = query,
                    .n_queries = 1,
                    .dim = 8,
                    .k = 3,
                    .exact = exact != 0,
                    .effort = exact != 0 ? 0 : 40,
                    .explain = true};
            ochre_result *result;
            check_ok(ochre_query(collection, &how, &result, &err), &err);
            const struct ochre_explain *explain = ochre_result_explain(result, 0);
            check(explain->plan == (exact != 0 ? OCHRE_PLAN_EXACT_SCAN : OCHRE_PLAN_GRAPH));
            check(explain->sources[0].kind == OCHRE_SOURCE_GRAPH);
            check(exact != 0 || explain->sources[0].n_estimates < N / 2);
            size_t n;
            const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
            char name[16];
            (void) snprintf(name, sizeof(name), "%d", row);
            check(n == 3);
            check(exact == 0 || same(hits[0].id, name));
            n_found += exact == 0 && same(hits[0].id, name);
            ochre_result_close(result);
        }
    }
    check(n_found >= 56); /* of 62; links, and so what few candidates find, depend on chance */
    ochre_collection_close(collection);
}

static void
the_status_of_the_index_counts_rows_files_and_requests(void **state)
{
    (void) state;
    ochre_collection *collection = create("things");
    struct ochre_index_status status = {.size = sizeof(status)};
    check_ok(ochre_index_status(collection, &status, &err), &err);
    check(status.operations == 0 && status.rows == 0 && status.segments == 0);
    check(status.recall_target == 0.99F && status.measured_recall < 0 && status.effort == 0);
    check_ok(add_numbers(collection, 0, 20), &err);
    check_ok(ochre_seal(db, &err), &err);
    check_ok(add_numbers(collection, 20, 5), &err);
    struct ochre_bytes configuration = text("{\"recall_target\":0.5}");
    check_ok(ochre_collection_update(collection, NULL, NULL, configuration, &err), &err);
    check_ok(ochre_index_status(collection, &status, &err), &err);
    check(status.operations == 2 && status.rows == 25 && status.segments == 1);
    check(status.unindexed_rows == 0 && status.graph_segments == 0);
    check(status.recall_target == 0.5F && status.size == sizeof(status));
    status.size++;
    check(ochre_index_status(collection, &status, &err) == OCHRE_INVALID);
    check(strncmp(err.message, "status.size is", 14) == 0);
    check_ok(ochre_collection_delete(db, NULL, NULL, "things", &err), &err);
    status.size = sizeof(status);
    check(ochre_index_status(collection, &status, &err) == OCHRE_NOT_FOUND);
    check(status.rows == 0);
    ochre_collection_close(collection);
}

static void
a_query_of_another_size_or_range_is_refused(void **state)
{
    (void) state;
    ochre_collection *collection = create("things");
    static const float refused[] = {-0.5F, 1.0000001F, NAN, INFINITY};
    const float zeros[] = {0, 0};
    struct ochre_query query = {.size = sizeof(query), .queries = zeros, .n_queries = 1, .dim = 2};
    ochre_result *result;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        query.recall_target = refused[i];
        check(ochre_query(collection, &query, &result, &err) == OCHRE_INVALID && result == NULL);
        check(strstr(err.message, "recall_target is") != NULL);
        check(strstr(err.message, "above 0 and at most 1") != NULL);
    }
    query.recall_target = 1;
    check_ok(ochre_query(collection, &query, &result, &err), &err);
    ochre_result_close(result);
    query.effort = 65537;
    check(ochre_query(collection, &query, &result, &err) == OCHRE_INVALID && result == NULL);
    assert_string_equal(err.message, "effort is 65537; it must be a whole number from 1 to 65536");
    query.effort = 0;
    query.size--;
    check(ochre_query(collection, &query, &result, &err) == OCHRE_INVALID && result == NULL);
    check(strncmp(err.message, "query.size is", 13) == 0);
    ochre_collection_close(collection);
}

static void
a_result_does_not_change_with_the_collection(void **state)
{
    (void) state;
    ochre_collection *collection = create("things");
    check_ok(add_numbers(collection, 0, 20), &err);
    struct ochre_get get = {.limit = UINT64_MAX, .include = OCHRE_INCLUDE_DOCUMENTS};
    ochre_result *result;
    check_ok(ochre_get(collection, &get, &result, &err), &err);
    check_ok(ochre_seal(db, &err), &err);
    check_ok(ochre_collection_delete(db, NULL, NULL, "things", &err), &err);
    ochre_collection_close(collection);
    size_t n;
    const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
    check(n == 20 && same(hits[19].id, "19") && same(hits[19].document, "odd"));
    ochre_result_close(result);
}

/* --- the whole database ------------------------------------------------------------------ */

static void
a_reset_must_be_allowed(void **state)
{
    (void) state;
    ochre_collection *collection = create("things");
    check_ok(add_numbers(collection, 0, 3), &err);
    check(ochre_reset(db, &err) == OCHRE_DENIED);
    check(count_of(collection) == 3);
    ochre_collection_close(collection);
    ochre_close(db);
    check_ok(open_with((struct ochre_options){.allow_reset = true}), &err);
    check_ok(ochre_tenant_create(db, "acme", &err), &err);
    check_ok(ochre_reset(db, &err), &err);
    check(ochre_collection_open(db, NULL, NULL, "things", &collection, &err) == OCHRE_NOT_FOUND);
    check(ochre_tenant_check(db, "acme", &err) == OCHRE_NOT_FOUND);
    check_ok(ochre_database_check(db, "default_tenant", "default_database", &err), &err);
}

static ochre_status
add_document(ochre_collection *collection, const char *name, struct ochre_bytes document)
{
    const float vector[] = {1, 2};
    struct ochre_bytes id = text(name);
    struct ochre_records records = {
            .n = 1, .ids = &id, .embeddings = vector, .dim = 2, .documents = &document};
    return ochre_add(collection, &records, &err);
}

/* Documents of many times the limit go through it to files; what is too large for
 * it at once is refused, and the database goes on. */
static void
a_memory_limit_is_an_answer_and_not_the_end(void **state)
{
    (void) state;
    enum { LIMIT = 6 << 20, SMALL = 100000, LARGE = 7 << 20, N = 300 };
    static char letters[LARGE];
    memset(letters, 'x', sizeof(letters));
    for (unsigned n_threads = 0; n_threads < 2; n_threads++) {
        struct ochre_options options = {.memory_limit = LIMIT, .n_threads = n_threads};
        char collection_name[16];
        (void) snprintf(collection_name, sizeof(collection_name), "limited-%u", n_threads);
        ochre_close(db);
        check_ok(open_with(options), &err);
        ochre_collection *collection = create(collection_name);
        uint64_t n_added = 0;
        for (int i = 0; n_added < N; i++) {
            char name[32];
            (void) snprintf(name, sizeof(name), "%d", i);
            ochre_status status =
                    add_document(collection, name, (struct ochre_bytes){letters, SMALL});
            /* With threads of its own, writing may be ahead of sealing for a while. */
            check(status == OCHRE_OK || (n_threads > 0 && status == OCHRE_NO_MEMORY));
            n_added += status == OCHRE_OK;
            if (i % 50 == 25) {
                check(add_document(collection, "large", (struct ochre_bytes){letters, LARGE}) ==
                        OCHRE_NO_MEMORY);
                check(err.status == OCHRE_NO_MEMORY && err.message[0] != '\0');
            }
        }
        check(count_of(collection) == n_added);
        ochre_collection_close(collection);
        ochre_close(db);
        check_ok(open_with(options), &err); /* what was left in the log fits as well */
        check_ok(ochre_collection_open(db, NULL, NULL, collection_name, &collection, &err), &err);
        check(count_of(collection) == n_added);
        struct ochre_get get = {.limit = UINT64_MAX, .include = OCHRE_INCLUDE_DOCUMENTS};
        ochre_result *result;
        check_ok(ochre_get(collection, &get, &result, &err), &err);
        size_t n;
        const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
        check(n == n_added && hits[n - 1].document.size == SMALL);
        ochre_result_close(result);
        ochre_collection_close(collection);
    }
    ochre_close(db);
    check(open_with((struct ochre_options){.memory_limit = 1000}) == OCHRE_NO_MEMORY);
    check(db == NULL);
}

static const char secret[] = "xyzzy-never-to-be-seen-again";
static size_t n_seen; /* files that have it */

static int
look_for_secret(const char *file_path, const struct stat *info, int kind, struct FTW *where)
{
    (void) where;
    if (kind != FTW_F || info->st_size == 0)
        return 0;
    char *bytes = malloc((size_t) info->st_size);
    FILE *file = fopen(file_path, "rb");
    check(bytes != NULL && file != NULL);
    size_t size = fread(bytes, 1, (size_t) info->st_size, file);
    n_seen += memmem(bytes, size, secret, sizeof(secret) - 1) != NULL;
    check(fclose(file) == 0);
    free(bytes);
    return 0;
}

static size_t
files_with_secret(void)
{
    n_seen = 0;
    check(nftw(directory, look_for_secret, 8, FTW_PHYS) == 0);
    return n_seen;
}

/* One record with the secret in its id, document and metadata. */
static void
add_secret(ochre_collection *collection, const char *id, bool is_secret)
{
    const char *word = is_secret ? secret : "harmless";
    const struct ochre_bytes id_bytes = text(id), bytes = text(word);
    const float vector[DIM] = {1, 2};
    struct ochre_field field = {{"word", 4}, {.type = OCHRE_VALUE_STRING, .as.string = bytes}};
    struct ochre_metadata metadata = {&field, 1};
    struct ochre_records records = {.n = 1,
            .ids = &id_bytes,
            .embeddings = vector,
            .dim = DIM,
            .documents = &bytes,
            .metadatas = &metadata};
    check_ok(ochre_upsert(collection, &records, &err), &err);
}

/* Deleted from a head, from a file, replaced, dropped: gone from every file. */
static void
what_was_deleted_is_in_no_file_after_a_purge(void **state)
{
    (void) state;
    for (unsigned n_threads = 0; n_threads < 3; n_threads += 2) {
        ochre_close(db);
        check_ok(open_with((struct ochre_options){.n_threads = n_threads, .seal_rows = 10}), &err);
        ochre_collection *kept = create(n_threads == 0 ? "kept-0" : "kept-2");
        ochre_collection *dropped = create("dropped");
        check_ok(add_numbers(kept, 0, 15), &err);
        add_secret(kept, secret, true);
        add_secret(kept, "replaced", true);
        check_ok(ochre_seal(db, &err), &err);
        add_secret(kept, "in-head", true);
        add_secret(dropped, secret, true);
        check(files_with_secret() > 0);
        const struct ochre_bytes ids[] = {{secret, sizeof(secret) - 1}, {"in-head", 7}};
        struct ochre_selection selection = {.ids = ids, .n_ids = 2};
        uint64_t n;
        check_ok(ochre_delete(kept, &selection, UINT64_MAX, &n, &err), &err);
        check(n == 2);
        add_secret(kept, "replaced", false);
        ochre_collection_close(dropped);
        check_ok(ochre_collection_delete(db, NULL, NULL, "dropped", &err), &err);
        check(files_with_secret() > 0);
        check_ok(ochre_purge(db, &err), &err);
        check(files_with_secret() == 0);
        check(count_of(kept) == 16);
        ochre_collection_close(kept);
        reopen();
        check(files_with_secret() == 0);
        check_ok(ochre_collection_open(
                         db, NULL, NULL, n_threads == 0 ? "kept-0" : "kept-2", &kept, &err),
                &err);
        check(count_of(kept) == 16);
        ochre_collection_close(kept);
    }
}

/* The bytes of the files of the log in a directory. */
static uint64_t
log_bytes(const char *dir)
{
    char path[256];
    struct dirent *entry;
    struct stat about;
    uint64_t n_bytes = 0;
    (void) snprintf(path, sizeof(path), "%s/log", dir);
    DIR *log = opendir(path);
    if (log == NULL)
        return 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a directory of its own */
    while ((entry = readdir(log)) != NULL) {
        (void) snprintf(path, sizeof(path), "%.100s/log/%.100s", dir, entry->d_name);
        if (entry->d_name[0] != '.' && stat(path, &about) == 0)
            n_bytes += (uint64_t) about.st_size;
    }
    (void) closedir(log);
    return n_bytes;
}

/* What was written is in the archive when it was asked for, and without being asked when the
 * database was closed; a restore has all of it. */
static void
the_log_is_archived_when_it_is_asked_for(void **state)
{
    (void) state;
    char archive[128], source[128], backup[128], restored[128];
    (void) snprintf(archive, sizeof(archive), "%s/archive", directory);
    (void) snprintf(source, sizeof(source), "%s/archived", directory);
    (void) snprintf(backup, sizeof(backup), "%s/archived-backup", directory);
    (void) snprintf(restored, sizeof(restored), "%s/archived-again", directory);
    check(ochre_archive(db, &err) == OCHRE_INVALID);
    ochre_close(db);
    db = NULL;
    struct ochre_options options = {.size = sizeof(options), .archive = archive};
    check_ok(ochre_open(source, &options, &db, &err), &err);
    ochre_collection *collection = create("archived");
    check_ok(add_numbers(collection, 0, 12), &err);
    check_ok(ochre_backup(db, backup, NULL, &err), &err);
    uint64_t before = log_bytes(archive);
    check_ok(add_numbers(collection, 100, 30), &err);
    check(log_bytes(archive) == before);
    check_ok(ochre_archive(db, &err), &err);
    uint64_t after = log_bytes(archive);
    check(after > before);
    /* There is nothing new. */
    check_ok(ochre_archive(db, &err), &err);
    check(log_bytes(archive) == after);
    check_ok(add_numbers(collection, 200, 5), &err);
    ochre_collection_close(collection);
    ochre_close(db);
    db = NULL;

    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct och_backup_totals totals;
    struct och_point_reached reached;
    const struct och_backup_options how = {.mem = &mem, .machine = och_machine_posix()};
    const struct och_restore_point_paths paths = {
            .backup = backup, .archive = archive, .to = restored};
    const struct och_point now = {.lsn = UINT64_MAX, .time_ns = UINT64_MAX};
    check_ok(och_restore_point(&how, &paths, &now, &reached, &totals, &err), &err);
    check(reached.n_writes == 2 && och_mem_used(&mem) == 0);
    check_ok(ochre_open(restored, NULL, &db, &err), &err);
    check_ok(ochre_collection_open(db, NULL, NULL, "archived", &collection, &err), &err);
    check(count_of(collection) == 47);
    ochre_collection_close(collection);
}

static void
a_database_in_use_is_backed_up(void **state)
{
    (void) state;
    char to[128];
    struct ochre_backup backup = {.size = sizeof(backup)};
    (void) snprintf(to, sizeof(to), "%s-backup", directory);
    ochre_collection *collection = create("backed-up");
    check_ok(add_numbers(collection, 0, 12), &err);
    check_ok(ochre_backup(db, to, &backup, &err), &err);
    check(backup.n_files >= 3 && backup.n_files_copied == backup.n_files);
    check(backup.n_bytes == backup.n_bytes_copied && backup.made_s > 0);
    check_ok(ochre_backup(db, to, &backup, &err), &err);
    check(backup.n_files_copied == 0 && backup.n_bytes_copied == 0);
    check_ok(add_numbers(collection, 100, 3), &err);
    check_ok(ochre_backup(db, to, NULL, &err), &err);
    backup.size--;
    check(ochre_backup(db, to, &backup, &err) == OCHRE_INVALID);
    check(strstr(err.message, "size") != NULL);
    check(ochre_backup(db, directory, NULL, &err) == OCHRE_EXISTS);
    check(count_of(collection) == 15);
    ochre_collection_close(collection);
    check(nftw(to, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

/* Several collections, with and without threads, of many files each. */
static void
compacting_changes_nothing_but_the_number_of_files(void **state)
{
    (void) state;
    for (unsigned n_threads = 0; n_threads < 3; n_threads++) {
        ochre_close(db);
        check_ok(open_with((struct ochre_options){.n_threads = n_threads, .seal_rows = 10}), &err);
        for (int c = 0; c < 3; c++) {
            char name[16];
            (void) snprintf(name, sizeof(name), "files-%u-%d", n_threads, c);
            ochre_collection *collection = create(name);
            for (int i = 0; i < 6; i++)
                check_ok(add_numbers(collection, i * 10, 10 + c), &err);
            struct ochre_filter_node node = number_is(OCHRE_FILTER_LT, 15);
            struct ochre_selection selection = {.filter = {&node, 1}};
            uint64_t n;
            check_ok(ochre_delete(collection, &selection, UINT64_MAX, &n, &err), &err);
            check(n == 15);
            check_ok(ochre_compact(db, &err), &err);
            check(count_of(collection) == (uint64_t) 45 + (uint64_t) c);
            check_ok(add_numbers(collection, 1000, 3), &err);
            check(count_of(collection) == (uint64_t) 48 + (uint64_t) c);
            if (c == 1)
                check_ok(ochre_collection_delete(db, NULL, NULL, name, &err), &err);
            ochre_collection_close(collection);
        }
        check_ok(ochre_compact(db, NULL), &err);
    }
    reopen();
    check_ok(ochre_compact(db, &err), &err);
    ochre_collection *collection;
    check_ok(ochre_collection_open(db, NULL, NULL, "files-2-2", &collection, &err), &err);
    check(count_of(collection) == 50);
    ochre_collection_close(collection);
}

static void
threads_of_its_own_end_with_the_database(void **state)
{
    (void) state;
    ochre_close(db);
    check_ok(open_with((struct ochre_options){.n_threads = 3, .seal_rows = 10}), &err);
    ochre_collection *collection = create("things");
    for (int i = 0; i < 20; i++)
        check_ok(add_numbers(collection, i * 20, 20), &err);
    check(count_of(collection) == 400);
    ochre_collection_close(collection);
    reopen();
    check_ok(ochre_collection_open(db, NULL, NULL, "things", &collection, &err), &err);
    check(count_of(collection) == 400);
    ochre_collection_close(collection);
}

/* --- pins ------------------------------------------------------------------------- */

struct seen_pins {
    char names[4][513];
    uint64_t positions[4];
    int n, n_wanted;
};

static bool
see_pin(void *context, const struct ochre_pin *pin)
{
    struct seen_pins *seen = context;
    check(pin->size == sizeof(*pin) && pin->name.size < sizeof(seen->names[0]));
    memcpy(seen->names[seen->n], pin->name.data, pin->name.size);
    seen->positions[seen->n++] = pin->position;
    return seen->n < seen->n_wanted;
}

static void
a_pin_is_made_listed_read_and_unpinned(void **state)
{
    (void) state;
    static struct seen_pins seen;
    const struct ochre_bytes id = {"a", 1};
    const float vector[2] = {1, 2};
    const struct ochre_records records = {.n = 1, .ids = &id, .embeddings = vector, .dim = 2};
    const struct ochre_selection selection = {.ids = &id, .n_ids = 1};
    struct ochre_pin pin = {.size = sizeof(pin)};
    ochre_collection *collection;
    uint64_t count = 0;
    check_ok(ochre_collection_create(db, "things", NULL, &collection, &err), &err);
    check_ok(ochre_add(collection, &records, &err), &err);
    check_ok(ochre_pin_create(collection, "first", &pin, &err), &err);
    check(pin.position == 1 && pin.created_unix_s > 0 && pin.n_bytes == 0);
    assert_string_equal(pin.text, "first");
    check(pin.name.data == pin.text && pin.name.size == 5);
    check_ok(ochre_delete(collection, &selection, UINT64_MAX, &count, &err), &err);
    check_ok(ochre_pin_create(collection, NULL, NULL, &err), &err);
    check(ochre_pin_create(collection, "first", NULL, &err) == OCHRE_EXISTS);
    pin.size--;
    check(ochre_pin_create(collection, "third", &pin, &err) == OCHRE_INVALID);
    assert_non_null(strstr(err.message, "pin.size is"));
    ochre_collection_close(collection);
    ochre_close(db);

    check_ok(ochre_open(directory, NULL, &db, &err), &err);
    check_ok(ochre_collection_open(db, NULL, NULL, "things", &collection, &err), &err);
    seen = (struct seen_pins){.n_wanted = 4};
    check_ok(ochre_pin_list(collection, see_pin, &seen, &err), &err);
    check(seen.n == 2 && seen.positions[0] == 1 && seen.positions[1] == 2);
    assert_string_equal(seen.names[0], "first");
    check(strlen(seen.names[1]) == 36);
    seen = (struct seen_pins){.n_wanted = 1};
    check_ok(ochre_pin_list(collection, see_pin, &seen, &err), &err);
    check(seen.n == 1);
    const uint64_t first = 1;
    check_ok(ochre_count_as_of(collection, &first, &count, NULL, &err), &err);
    check(count == 1);
    check_ok(ochre_count(collection, &count, &err), &err);
    check(count == 0);
    check_ok(ochre_pin_delete(collection, "first", &err), &err);
    check(ochre_pin_delete(collection, "first", &err) == OCHRE_NOT_FOUND);
    check(ochre_count_as_of(collection, &first, &count, NULL, &err) == OCHRE_STALE);
    ochre_collection_close(collection);
}

/* Damage the second page of vectors of the one file of segments there is. */
static int
damage_segment(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void) info;
    (void) where;
    size_t size = strlen(path);
    if (type != FTW_F || strcmp(path + size - 4, ".seg") != 0)
        return 0;
    FILE *file = fopen(path, "r+b");
    check(file != NULL && fseek(file, 2 * 65536 + 100, SEEK_SET) == 0);
    check(fputs("damaged", file) >= 0 && fclose(file) == 0);
    return 1;
}

static void
what_is_left_of_a_damaged_collection_is_put_beside_it(void **state)
{
    (void) state;
    enum { N = 6000, PAGE_ROWS = 2048 };
    ochre_collection *left = NULL;
    struct ochre_repair repair = {.size = 1};
    uint64_t count = 0;
    ochre_collection *collection = create("spiral");
    add_spiral(collection, N);
    check_ok(ochre_compact(db, &err), &err);
    check(ochre_repair(db, false, &repair, &err) == OCHRE_INVALID);
    repair.size = sizeof(repair);
    check_ok(ochre_repair(db, false, &repair, &err), &err);
    check(repair.n_damaged == 0 && repair.n_records == 0);
    check(nftw(directory, damage_segment, 8, FTW_PHYS) == 1);
    check_ok(ochre_repair(db, true, &repair, &err), &err);
    check(repair.n_damaged == 1 && repair.n_lost == PAGE_ROWS && repair.n_records == 0);
    check(ochre_collection_open(db, NULL, NULL, "spiral.repaired", &left, NULL) == OCHRE_NOT_FOUND);
    check_ok(ochre_repair(db, false, NULL, &err), &err);
    check_ok(ochre_collection_open(db, NULL, NULL, "spiral.repaired", &left, &err), &err);
    check_ok(ochre_count(left, &count, &err), &err);
    check(count == N - PAGE_ROWS);
    add_spiral(left, 500); /* it is written to as any other */
    ochre_collection_close(left);
    ochre_collection_close(collection);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(the_library_has_a_version, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_second_opener_is_refused_until_the_first_closes, set_up, tear_down),
            cmocka_unit_test_setup_teardown(options_say_their_size, set_up, tear_down),
            cmocka_unit_test_setup_teardown(must_exist_makes_nothing, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    another_programs_directory_is_left_alone, set_up, tear_down),
            cmocka_unit_test_setup_teardown(closing_nothing_is_fine, set_up, tear_down),
            cmocka_unit_test_setup_teardown(errors_may_be_unwanted, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    defaults_are_there_from_the_beginning, set_up, tear_down),
            cmocka_unit_test_setup_teardown(tenants_and_databases_come_and_go, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_database_goes_with_its_collections, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_collection_describes_itself, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    collections_are_listed_in_creation_order, set_up, tear_down),
            cmocka_unit_test_setup_teardown(one_name_is_one_collection, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_configuration_is_json_of_the_right_shape, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_collection_may_be_changed_and_renamed, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    handles_of_a_deleted_collection_find_nothing, set_up, tear_down),
            cmocka_unit_test_setup_teardown(every_column_and_type_comes_back, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    add_update_and_upsert_do_what_they_say, set_up, tear_down),
            cmocka_unit_test_setup_teardown(an_update_may_leave_vectors_out, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_refused_write_leaves_none_of_its_records, set_up, tear_down),
            cmocka_unit_test_setup_teardown(deleting_takes_what_is_selected, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    queries_find_the_nearest_of_what_is_selected, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_query_says_how_it_was_answered_when_asked, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_compacted_collection_is_searched_by_its_graph, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    the_status_of_the_index_counts_rows_files_and_requests, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_query_of_another_size_or_range_is_refused, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_result_does_not_change_with_the_collection, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_pin_is_made_listed_read_and_unpinned, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    what_is_left_of_a_damaged_collection_is_put_beside_it, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_reset_must_be_allowed, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_memory_limit_is_an_answer_and_not_the_end, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    what_was_deleted_is_in_no_file_after_a_purge, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    the_log_is_archived_when_it_is_asked_for, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_database_in_use_is_backed_up, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    compacting_changes_nothing_but_the_number_of_files, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    threads_of_its_own_end_with_the_database, set_up, tear_down),
    };
    if (mkdtemp(directory) == NULL)
        return 1;
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    (void) nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return rmdir(directory) == 0 ? result : 1;
}
