/*
 * Every recorded request that has a body is given to its decoder: what the
 * reference called a bad shape (422) or no JSON (400) must be refused at once,
 * what it called a bad filter must be refused later, and everything else must
 * be read.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "support/check.h"
#include "wire/json_catalog.h"
#include "wire/json_read.h"
#include "wire/json_records.h"
#include "wire/json_search.h"

struct judged {
    ochre_status status;      /* at once */
    struct ochre_error later; /* deferred */
};

static struct ochre_error
first_of(struct ochre_error a, struct ochre_error b)
{
    return a.status != OCHRE_OK ? a : b;
}

static bool
ends_with(struct ochre_bytes text, const char *end)
{
    size_t size = strlen(end);
    return text.size >= size && memcmp(text.data + text.size - size, end, size) == 0;
}

/* False when no decoder of ours reads the bodies of this route. */
static bool
judge(struct och_arena *arena, const char *method, struct ochre_bytes path, struct ochre_bytes body,
        struct judged *judged)
{
    static const struct {
        const char *end;
        enum och_write_op op;
    } writes[] = {
            {"/add", OCH_WRITE_ADD}, {"/update", OCH_WRITE_UPDATE}, {"/upsert", OCH_WRITE_UPSERT}};
    static const char *const name[] = {"name"}, *const new_name[] = {"new_name"};
    struct ochre_error err = {.status = OCHRE_OK};
    struct ochre_bytes value;
    *judged = (struct judged){.status = OCHRE_OK};
    if (strcmp(method, "PUT") == 0) {
        struct och_update update;
        judged->status = och_wire_read_update(arena, body, &update, &err);
        return true;
    }
    if (strcmp(method, "POST") != 0)
        return false;
    for (size_t i = 0; i < 3; i++) {
        struct och_write_input input;
        if (!ends_with(path, writes[i].end))
            continue;
        judged->status = och_wire_read_records(arena, body, writes[i].op, &input, &err);
        judged->later = first_of(input.deferred, input.deferred_last);
        return true;
    }
    if (ends_with(path, "/get")) {
        struct och_wire_get get;
        judged->status = och_wire_read_get(arena, body, &get, &err);
        judged->later = get.input.select.deferred;
    } else if (ends_with(path, "/query")) {
        struct och_wire_query query;
        judged->status = och_wire_read_query(arena, body, &query, &err);
        judged->later = first_of(query.input.select.deferred, query.input.deferred);
    } else if (ends_with(path, "/delete")) {
        struct och_wire_delete delete;
        judged->status = och_wire_read_delete(arena, body, &delete, &err);
        judged->later = delete.select.deferred;
    } else if (ends_with(path, "/search")) {
        judged->status = och_wire_read_search(arena, body, &judged->later, &err);
    } else if (ends_with(path, "/collections")) {
        struct och_create create;
        judged->status = och_wire_read_create(arena, body, &create, &err);
    } else if (ends_with(path, "/tenants") || ends_with(path, "/databases")) {
        judged->status = och_wire_read_strings(arena, body, name, 1, &value, &err);
    } else if (ends_with(path, "/fork")) {
        judged->status = och_wire_read_strings(arena, body, new_name, 1, &value, &err);
    } else {
        return false;
    }
    return true;
}

static bool
begins(const struct och_json *text, const char *words)
{
    return text != NULL && text->kind == OCH_JSON_KIND_STRING &&
            text->as.string.size >= strlen(words) &&
            memcmp(text->as.string.data, words, strlen(words)) == 0;
}

/* Does the judgement go with what was answered? */
static bool
agrees(const struct judged *judged, int64_t status, const struct och_json *message)
{
    bool bad_json = begins(message, "Failed to parse the request body");
    if (judged->status == OCHRE_SHAPE)
        return status == 422;
    if (status == 422)
        return false;
    if (bad_json)
        return judged->status == OCHRE_INVALID;
    if (begins(message, "Invalid where"))
        return judged->status == OCHRE_OK && judged->later.status == OCHRE_INVALID &&
                strncmp(judged->later.message, "Invalid where", 13) == 0;
    if (status < 300)
        return judged->status == OCHRE_OK && judged->later.status == OCHRE_OK;
    return true; /* the rest is the verbs' to say */
}

/* One recorded step; 1 when it was judged. */
static unsigned
check_step(struct och_arena *arena, const struct och_json *step)
{
    const struct och_json *json = och_json_get(step, "body"), *raw = och_json_get(step, "body_raw");
    const struct och_json *tags = och_json_get(step, "tags");
    char method[16];
    struct och_buf buf;
    struct judged judged;
    int64_t status = och_json_get(step, "status")->as.integer;
    struct ochre_bytes name = och_json_get(step, "method")->as.string;
    if ((json == NULL && raw == NULL) || status == 404 || status == 405 || status == 415 ||
            (tags != NULL && och_bytes_is(tags->first->as.string, "quirk")))
        return 0;
    if (raw == NULL && json->kind == OCH_JSON_KIND_NULL)
        return 0;
    (void) snprintf(method, sizeof(method), "%.*s", (int) name.size, name.data);
    och_buf_init(&buf, arena->mem, 1 << 24);
    if (raw != NULL)
        och_buf_put(&buf, raw->as.string.data, raw->as.string.size);
    else
        och_json_put_tree(&buf, json);
    check(!buf.failed);
    struct ochre_bytes body = {buf.data, buf.size};
    bool known = judge(arena, method, och_json_get(step, "path")->as.string, body, &judged);
    if (known) {
        const struct och_json *message = och_json_get(och_json_get(step, "response"), "message");
        bool right = agrees(&judged, status, message);
        if (!right)
            print_error("%.*s: recorded %lld, judged %d, %d %s\n", (int) body.size, body.data,
                    (long long) status, (int) judged.status, (int) judged.later.status,
                    judged.later.message);
        check(right);
    }
    och_buf_clear(&buf);
    return known;
}

static void
read_file(struct och_buf *buf)
{
    enum { PIECE = 1 << 16 };
    FILE *file = fopen(OCH_TRANSCRIPTS, "r");
    check(file != NULL);
    for (;;) {
        check(och_buf_reserve(buf, PIECE));
        size_t size = fread(buf->data + buf->size, 1, PIECE, file);
        if (size == 0)
            break;
        buf->size += size;
    }
    check(ferror(file) == 0 && fclose(file) == 0);
}

static void
recorded_bodies_are_judged_as_they_were(void **state)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf buf;
    unsigned n_judged = 0;
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&buf, &mem, 16 << 20);
    read_file(&buf);
    for (size_t at = 0; at < buf.size;) {
        const char *line = buf.data + at, *end = memchr(line, '\n', buf.size - at);
        size_t size = end == NULL ? buf.size - at : (size_t) (end - line);
        struct och_json *root = NULL;
        struct ochre_error err = {.status = OCHRE_OK};
        check_ok(och_json_parse(&arena, line, size, &root, &err), &err);
        const struct och_json *steps = och_json_get(root, "steps");
        for (const struct och_json *step = steps->first; step != NULL; step = step->next)
            n_judged += check_step(&arena, step);
        och_arena_clear(&arena);
        at += size + 1;
    }
    check(n_judged > 700);
    och_buf_clear(&buf);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(recorded_bodies_are_judged_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
