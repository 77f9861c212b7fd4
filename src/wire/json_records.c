#include "wire/json_records.h"

#include "base/error.h"
#include "wire/json_body.h"
#include "wire/json_metadata.h"
#include "wire/json_vectors.h"

enum field { IDS, EMBEDDINGS, DOCUMENTS, URIS, METADATAS, N_FIELDS };

static const char *const names[] = {
        [IDS] = "ids",
        [EMBEDDINGS] = "embeddings",
        [DOCUMENTS] = "documents",
        [URIS] = "uris",
        [METADATAS] = "metadatas",
};

static_assert(sizeof(names) / sizeof(names[0]) == N_FIELDS, "every field has its name");

struct reading {
    struct och_body body;
    enum och_write_op op;
    struct och_write_input *input;
    struct och_vectors vectors;
    struct och_metadata_rules rules;
};

static ochre_status
read_embeddings(struct reading *reading, struct ochre_error *err)
{
    struct och_vectors *vectors = &reading->vectors;
    struct och_write_input *input = reading->input;
    bool is_update = reading->op == OCH_WRITE_UPDATE;
    if (is_update && och_body_is_null(&reading->body))
        return OCHRE_OK;
    *vectors = (struct och_vectors){
            .base64 = true, .nulls = is_update, .n_expected = input->records.n};
    ochre_status status = och_vectors_read(&reading->body, vectors, err);
    if (status != OCHRE_OK)
        return status;
    input->records.embeddings = vectors->floats;
    input->records.dim = och_vectors_common_dim(vectors);
    if (input->records.dim == 0)
        input->records.dims = vectors->dims; /* NULL when there are none at all */
    input->n_embeddings = vectors->n;
    return OCHRE_OK;
}

/* A column of strings, which may be null itself. */
static ochre_status
read_texts(struct reading *reading, const struct ochre_bytes **texts_out, size_t *n_out,
        struct ochre_error *err)
{
    struct ochre_bytes *items = NULL;
    if (och_body_is_null(&reading->body))
        return OCHRE_OK;
    ochre_status status = och_body_strings(&reading->body, true, &items, n_out, err);
    *texts_out = items;
    return status;
}

static ochre_status
read_metadatas(struct reading *reading, struct ochre_error *err)
{
    struct och_body *body = &reading->body;
    struct och_body_list list = {0};
    if (och_body_is_null(body))
        return OCHRE_OK;
    if (body->reader.token != OCH_JSON_BEGIN_ARRAY)
        return och_body_refuse(body, "an array of objects", OCHRE_SHAPE, err);
    while (och_json_next(&body->reader) != OCH_JSON_END_ARRAY) {
        struct ochre_metadata metadata = {0};
        body->place.row = list.n;
        if (body->reader.token != OCH_JSON_NULL) {
            ochre_status status = och_metadata_read(body, &reading->rules, &metadata, err);
            if (status != OCHRE_OK)
                return status;
        }
        struct ochre_metadata *slot = och_body_list_add(body->arena, &list, sizeof(*slot));
        if (slot == NULL)
            return och_fail_memory(err);
        *slot = metadata;
    }
    reading->input->records.metadatas = list.items;
    reading->input->n_metadatas = list.n;
    return OCHRE_OK;
}

static ochre_status
read_field(struct reading *reading, unsigned field, struct ochre_error *err)
{
    struct och_write_input *input = reading->input;
    struct ochre_bytes *ids = NULL;
    ochre_status status = OCHRE_OK;
    switch ((enum field) field) {
    case IDS:
        status = och_body_strings(&reading->body, false, &ids, &input->records.n, err);
        input->records.ids = ids;
        return status;
    case EMBEDDINGS:
        return read_embeddings(reading, err);
    case DOCUMENTS:
        return read_texts(reading, &input->records.documents, &input->n_documents, err);
    case URIS:
        return read_texts(reading, &input->records.uris, &input->n_uris, err);
    case METADATAS:
        return read_metadatas(reading, err);
    case N_FIELDS:
        break;
    }
    return OCHRE_OK;
}

/* The first error in the order in which the wire looks for them. */
static struct ochre_error
first_error(const struct reading *reading)
{
    if (reading->vectors.bad_text.status != OCHRE_OK)
        return reading->vectors.bad_text;
    if (reading->vectors.bad_number.status != OCHRE_OK)
        return reading->vectors.bad_number;
    return reading->rules.invalid;
}

ochre_status
och_wire_read_records(struct och_arena *arena, struct ochre_bytes text, enum och_write_op op,
        struct och_write_input *input_out, struct ochre_error *err)
{
    struct reading reading = {.op = op, .input = input_out, .rules.nulls = op != OCH_WRITE_ADD};
    unsigned field = OCH_BODY_END;
    *input_out = (struct och_write_input){.n_embeddings = OCH_NOT_GIVEN,
            .n_documents = OCH_NOT_GIVEN,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = OCH_NOT_GIVEN};
    ochre_status status = och_body_begin(&reading.body, arena, text, names, N_FIELDS, err);
    if (status != OCHRE_OK)
        return status;
    for (;;) {
        status = och_body_next(&reading.body, &field, err);
        if (status != OCHRE_OK || field == OCH_BODY_END)
            break;
        status = read_field(&reading, field, err);
        if (status != OCHRE_OK)
            break;
    }
    if (status == OCHRE_OK)
        status = och_body_require(&reading.body, IDS, err);
    if (status == OCHRE_OK && op != OCH_WRITE_UPDATE)
        status = och_body_require(&reading.body, EMBEDDINGS, err);
    if (status != OCHRE_OK)
        return status;
    input_out->deferred = first_error(&reading);
    input_out->deferred_last = reading.rules.unsupported;
    return OCHRE_OK;
}
