#include "wire/json_catalog.h"

#include "api/schema.h"
#include "base/arena.h"
#include "base/error.h"
#include "wire/json_body.h"
#include "wire/json_metadata.h"

/* --- strings ----------------------------------------------------------------- */

ochre_status
och_wire_read_strings(struct och_arena *arena, struct ochre_bytes text, const char *const *names,
        unsigned n, struct ochre_bytes *values_out, struct ochre_error *err)
{
    struct och_body body;
    unsigned field = OCH_BODY_END;
    ochre_status status = och_body_begin(&body, arena, text, names, n, err);
    while (status == OCHRE_OK) {
        status = och_body_next(&body, &field, err);
        if (status != OCHRE_OK || field == OCH_BODY_END)
            break;
        status = och_body_string(&body, &values_out[field], err);
    }
    for (unsigned i = 0; status == OCHRE_OK && i < n; i++)
        status = och_body_require(&body, i, err);
    return status;
}

/* --- collections ------------------------------------------------------------- */

/* An object of metadata, or null; NULL for null. */
static ochre_status
read_metadata(struct och_body *body, struct och_metadata_rules *rules,
        const struct ochre_metadata **metadata_out, struct ochre_error *err)
{
    *metadata_out = NULL;
    if (och_body_is_null(body))
        return OCHRE_OK;
    struct ochre_metadata *metadata = och_arena_take(body->arena, sizeof(*metadata));
    if (metadata == NULL)
        return och_fail_memory(err);
    *metadata_out = metadata;
    return och_metadata_read(body, rules, metadata, err);
}

/* What was noted while reading metadata is an error now. */
static ochre_status
report(const struct och_metadata_rules *rules, struct ochre_error *err)
{
    if (rules->invalid.status == OCHRE_OK)
        return OCHRE_OK;
    return och_fail(err, rules->invalid.status, "%s", rules->invalid.message);
}

enum create_field { NAME, METADATA, CONFIGURATION, SCHEMA, GET_OR_CREATE };
enum { N_CREATE_FIELDS = GET_OR_CREATE + 1 };

static const char *const create_names[] = {
        [NAME] = "name",
        [METADATA] = "metadata",
        [CONFIGURATION] = "configuration",
        [SCHEMA] = "schema",
        [GET_OR_CREATE] = "get_or_create",
};

static_assert(sizeof(create_names) / sizeof(create_names[0]) == N_CREATE_FIELDS,
        "every field has its name");

struct create_trees {
    const struct och_json *configuration, *schema;
};

static ochre_status
read_create_field(struct och_body *body, enum create_field field, struct och_create *create,
        struct create_trees *trees, struct och_metadata_rules *rules, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    switch (field) {
    case NAME:
        status = och_body_string(body, &create->name, err);
        break;
    case METADATA:
        status = read_metadata(body, rules, &create->metadata, err);
        break;
    case CONFIGURATION:
        status = och_body_tree(body, &trees->configuration, err);
        break;
    case SCHEMA:
        status = och_body_tree(body, &trees->schema, err);
        break;
    case GET_OR_CREATE:
        status = och_body_bool(body, &create->get_or_create, err);
        break;
    }
    return status;
}

ochre_status
och_wire_read_create(struct och_arena *arena, struct ochre_bytes text,
        struct och_create *create_out, struct ochre_error *err)
{
    struct och_body body;
    struct create_trees trees = {0};
    struct och_metadata_rules rules = {.scalars_only = true};
    struct och_schema_request *request = NULL;
    unsigned field = OCH_BODY_END;
    *create_out = (struct och_create){0};
    ochre_status status = och_body_begin(&body, arena, text, create_names, N_CREATE_FIELDS, err);
    while (status == OCHRE_OK) {
        status = och_body_next(&body, &field, err);
        if (status != OCHRE_OK || field == OCH_BODY_END)
            break;
        status = read_create_field(
                &body, (enum create_field) field, create_out, &trees, &rules, err);
    }
    if (status == OCHRE_OK)
        status = och_body_require(&body, NAME, err);
    if (status == OCHRE_OK)
        status = och_schema_request_parse(arena, trees.configuration, trees.schema, &request, err);
    create_out->indexes = request;
    return status == OCHRE_OK ? report(&rules, err) : status;
}

enum update_field { NEW_NAME, NEW_METADATA, NEW_CONFIGURATION };
enum { N_UPDATE_FIELDS = NEW_CONFIGURATION + 1 };

static const char *const update_names[] = {
        [NEW_NAME] = "new_name",
        [NEW_METADATA] = "new_metadata",
        [NEW_CONFIGURATION] = "new_configuration",
};

static_assert(sizeof(update_names) / sizeof(update_names[0]) == N_UPDATE_FIELDS,
        "every field has its name");

static ochre_status
read_update_field(struct och_body *body, enum update_field field, struct och_update *update,
        struct och_metadata_rules *rules, struct ochre_error *err)
{
    const struct och_json *tree = NULL;
    ochre_status status = OCHRE_OK;
    switch (field) {
    case NEW_NAME:
        if (!och_body_is_null(body))
            status = och_body_string(body, &update->new_name, err);
        break;
    case NEW_METADATA:
        status = read_metadata(body, rules, &update->new_metadata, err);
        break;
    case NEW_CONFIGURATION:
        status = och_body_tree(body, &tree, err);
        if (status == OCHRE_OK && tree->kind != OCH_JSON_KIND_NULL) {
            struct och_schema_change *change = och_arena_take(body->arena, sizeof(*change));
            if (change == NULL)
                return och_fail_memory(err);
            *change = (struct och_schema_change){0};
            update->change = change;
            status = och_schema_change_parse(tree, change, err);
        }
        break;
    }
    return status;
}

ochre_status
och_wire_read_update(struct och_arena *arena, struct ochre_bytes text,
        struct och_update *update_out, struct ochre_error *err)
{
    struct och_body body;
    struct och_metadata_rules rules = {.nulls = true, .scalars_only = true};
    unsigned field = OCH_BODY_END;
    *update_out = (struct och_update){0};
    ochre_status status = och_body_begin(&body, arena, text, update_names, N_UPDATE_FIELDS, err);
    while (status == OCHRE_OK) {
        status = och_body_next(&body, &field, err);
        if (status != OCHRE_OK || field == OCH_BODY_END)
            break;
        status = read_update_field(&body, (enum update_field) field, update_out, &rules, err);
    }
    return status == OCHRE_OK ? report(&rules, err) : status;
}

/* --- functions --------------------------------------------------------------- */

/* {`name`: bool}, which may be left out: false.  `is_strict`: and nothing else. */
static ochre_status
read_flag(struct och_arena *arena, struct ochre_bytes text, const char *name, bool is_strict,
        bool *flag_out, struct ochre_error *err)
{
    struct och_body body;
    unsigned field = OCH_BODY_END;
    *flag_out = false;
    ochre_status status = och_body_begin(&body, arena, text, &name, 1, err);
    body.is_strict = is_strict;
    while (status == OCHRE_OK) {
        status = och_body_next(&body, &field, err);
        if (status != OCHRE_OK || field == OCH_BODY_END)
            break;
        status = och_body_bool(&body, flag_out, err);
    }
    return status;
}

ochre_status
och_wire_read_detach(struct och_arena *arena, struct ochre_bytes text, struct ochre_error *err)
{
    bool delete_output;
    return read_flag(arena, text, "delete_output", false, &delete_output, err);
}

/* --- pins -------------------------------------------------------------------- */

ochre_status
och_wire_read_pin(struct och_arena *arena, struct ochre_bytes text, struct ochre_bytes *name_out,
        struct ochre_error *err)
{
    static const char *const names[] = {"name"};
    struct och_body body;
    unsigned field = OCH_BODY_END;
    *name_out = (struct ochre_bytes){NULL, 0};
    ochre_status status = och_body_begin(&body, arena, text, names, 1, err);
    body.is_strict = true;
    while (status == OCHRE_OK) {
        status = och_body_next(&body, &field, err);
        if (status != OCHRE_OK || field == OCH_BODY_END)
            break;
        if (!och_body_is_null(&body))
            status = och_body_string(&body, name_out, err);
    }
    return status;
}

/* --- repairs ------------------------------------------------------------------ */

ochre_status
och_wire_read_repair(struct och_arena *arena, struct ochre_bytes text, bool *dry_run_out,
        struct ochre_error *err)
{
    return read_flag(arena, text, "dry_run", true, dry_run_out, err);
}
