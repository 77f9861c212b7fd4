#include "api/schema_internal.h"
#include "base/buf.h"
#include "base/json.h"
#include "index/meta/keys.h"

/* An object being written: remembers whether a comma is due. */
struct object {
    struct och_buf *buf;
    bool has_members;
};

static struct object
begin_object(struct och_buf *buf)
{
    och_buf_put_u8(buf, '{');
    return (struct object){buf, false};
}

static void
put_name(struct object *object, struct ochre_bytes name)
{
    if (object->has_members)
        och_buf_put_u8(object->buf, ',');
    object->has_members = true;
    och_json_put_string(object->buf, name);
    och_buf_put_u8(object->buf, ':');
}

/* The same for a name of ours, which needs no escapes. */
static void
put_word(struct object *object, const char *word)
{
    och_buf_put_text(object->buf, object->has_members ? ",\"" : "\"");
    object->has_members = true;
    och_buf_put_text(object->buf, word);
    och_buf_put_text(object->buf, "\":");
}

static void
end_object(struct object *object)
{
    och_buf_put_u8(object->buf, '}');
}

static void
put_bool(struct och_buf *buf, bool value)
{
    och_buf_put_text(buf, value ? "true" : "false");
}

/* An object, or null for no embedding function. */
static void
put_embedding(struct och_buf *buf, const struct och_embedding *embedding)
{
    struct object object;
    switch (embedding->kind) {
    case OCH_EMBEDDING_NONE:
        och_buf_put_text(buf, "null");
        return;
    case OCH_EMBEDDING_LEGACY:
        och_buf_put_text(buf, "{\"type\":\"legacy\"}");
        return;
    case OCH_EMBEDDING_UNKNOWN:
        och_buf_put_text(buf, "{\"type\":\"unknown\"}");
        return;
    case OCH_EMBEDDING_KNOWN:
        object = begin_object(buf);
        put_word(&object, "type");
        och_json_put_text(buf, "known");
        put_word(&object, "name");
        och_json_put_string(buf, embedding->name);
        put_word(&object, "config");
        och_json_put_tree(buf, embedding->config);
        end_object(&object);
        return;
    }
}

/* The fields that are set. */
static void
put_hnsw(struct object *object, const struct och_hnsw *hnsw)
{
    struct och_hnsw copy = *hnsw;
    for (unsigned i = 0; i < OCH_HNSW_PARAMETERS; i++) {
        if ((hnsw->given & 1u << i) == 0)
            continue;
        put_word(object, och_hnsw_names[i]);
        if (i == OCH_HNSW_RESIZE)
            och_json_put_f64(object->buf, hnsw->resize_factor);
        else
            och_json_put_uint(object->buf, *och_hnsw_number(&copy, i));
    }
}

/* --- indexes ---------------------------------------------------------------- */

/* {"enabled":...,"config":{ up to here. */
static struct object
begin_config(struct och_buf *buf, bool enabled)
{
    och_buf_put_text(buf, "{\"enabled\":");
    put_bool(buf, enabled);
    och_buf_put_text(buf, ",\"config\":");
    return begin_object(buf);
}

static void
end_config(struct object *config)
{
    end_object(config);
    och_buf_put_u8(config->buf, '}');
}

static void
put_plain_index(struct object *object, const char *name, och_index_state state)
{
    if (state == OCH_INDEX_ABSENT)
        return;
    put_word(object, name);
    struct object config = begin_config(object->buf, state == OCH_INDEX_ENABLED);
    end_config(&config);
}

static void
put_vector_index(struct object *object, const struct och_vector_index *index)
{
    struct och_buf *buf = object->buf;
    if (index == NULL)
        return;
    put_word(object, "vector_index");
    struct object config = begin_config(buf, index->enabled);
    if (index->has_space) {
        put_word(&config, "space");
        och_json_put_text(buf, och_space_names[index->space]);
    }
    if (index->embedding.kind != OCH_EMBEDDING_NONE) {
        put_word(&config, "embedding_function");
        put_embedding(buf, &index->embedding);
    }
    if (index->source_key.data != NULL) {
        put_word(&config, "source_key");
        och_json_put_string(buf, index->source_key);
    }
    if (index->has_hnsw) {
        put_word(&config, "hnsw");
        struct object hnsw = begin_object(buf);
        put_hnsw(&hnsw, &index->hnsw);
        end_object(&hnsw);
    }
    end_config(&config);
}

static void
put_sparse_index(struct object *object, const struct och_sparse_index *index)
{
    struct och_buf *buf = object->buf;
    if (index == NULL)
        return;
    put_word(object, "sparse_vector_index");
    struct object config = begin_config(buf, index->enabled);
    if (index->embedding.kind != OCH_EMBEDDING_NONE) {
        put_word(&config, "embedding_function");
        put_embedding(buf, &index->embedding);
    }
    if (index->source_key.data != NULL) {
        put_word(&config, "source_key");
        och_json_put_string(buf, index->source_key);
    }
    if (index->has_bm25) {
        put_word(&config, "bm25");
        put_bool(buf, index->bm25);
    }
    if (index->max_score) {
        put_word(&config, "algorithm");
        och_json_put_text(buf, "max_score");
    }
    end_config(&config);
}

/* --- value types ------------------------------------------------------------- */

static void
put_member(struct object *object, const struct och_value_types *types, unsigned member)
{
    put_word(object, och_member_names[member]);
    struct object indexes = begin_object(object->buf);
    switch (1u << member) {
    case OCH_MEMBER_STRING:
        put_plain_index(&indexes, "fts_index", types->fts);
        put_plain_index(&indexes, "string_inverted_index", types->string);
        break;
    case OCH_MEMBER_FLOAT_LIST:
        put_vector_index(&indexes, types->vector);
        break;
    case OCH_MEMBER_SPARSE_VECTOR:
        put_sparse_index(&indexes, types->sparse);
        break;
    case OCH_MEMBER_INT:
        put_plain_index(&indexes, "int_inverted_index", types->integer);
        break;
    case OCH_MEMBER_FLOAT:
        put_plain_index(&indexes, "float_inverted_index", types->number);
        break;
    case OCH_MEMBER_BOOL:
        put_plain_index(&indexes, "bool_inverted_index", types->boolean);
        break;
    default: /* och_member_names has no more */
        break;
    }
    end_object(&indexes);
}

/* `own` (or NULL), and of `defaults` the members in `extra` that it lacks. */
static void
put_types(struct och_buf *buf, const struct och_value_types *own,
        const struct och_value_types *defaults, uint32_t extra)
{
    struct object object = begin_object(buf);
    for (unsigned i = 0; i < OCH_MEMBERS; i++) {
        if (own != NULL && (own->members & 1u << i) != 0)
            put_member(&object, own, i);
        else if ((extra & 1u << i) != 0)
            put_member(&object, defaults, i);
    }
    end_object(&object);
}

/* The members in which values of these types are indexed. */
static uint32_t
members_of(uint32_t value_types)
{
    static const struct {
        ochre_value_type type;
        uint32_t member;
    } table[] = {
            {OCHRE_VALUE_BOOL, OCH_MEMBER_BOOL},
            {OCHRE_VALUE_INT, OCH_MEMBER_INT},
            {OCHRE_VALUE_FLOAT, OCH_MEMBER_FLOAT},
            {OCHRE_VALUE_STRING, OCH_MEMBER_STRING},
    };
    uint32_t members = 0;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if ((value_types & 1u << table[i].type) != 0)
            members |= table[i].member;
    }
    return members;
}

/* At the top, where every client passes over what it does not know. */
static void
put_recall_target(struct object *object, const struct och_schema *schema)
{
    if (schema->recall_target > 0) {
        put_word(object, "recall_target");
        och_json_put_f64(object->buf, schema->recall_target);
    }
}

void
och_schema_put(struct och_buf *buf, const struct och_schema *schema, const struct och_key *seen,
        size_t n_seen)
{
    struct object object = begin_object(buf);
    put_word(&object, "defaults");
    put_types(buf, &schema->defaults, NULL, 0);

    put_word(&object, "keys");
    struct object keys = begin_object(buf);
    size_t at_own = 0;
    size_t at_seen = 0;
    while (at_own < schema->n_keys || at_seen < n_seen) {
        int order = 0; /* whose key comes first */
        if (at_own == schema->n_keys)
            order = 1;
        else if (at_seen == n_seen)
            order = -1;
        else
            order = och_schema_key_order(schema->keys[at_own].key, seen[at_seen].key);

        const struct och_value_types *own = NULL;
        uint32_t extra = 0;
        if (order >= 0)
            extra = members_of(seen[at_seen].types);
        if (order <= 0)
            own = &schema->keys[at_own].types;
        put_name(&keys, order <= 0 ? schema->keys[at_own].key : seen[at_seen].key);
        put_types(buf, own, &schema->defaults, extra);
        at_own += order <= 0;
        at_seen += order >= 0;
    }
    end_object(&keys);

    if (schema->cmek.data != NULL) {
        put_word(&object, "cmek");
        struct object cmek = begin_object(buf);
        put_word(&cmek, "gcp");
        och_json_put_string(buf, schema->cmek);
        end_object(&cmek);
    }
    put_recall_target(&object, schema);
    end_object(&object);
}

void
och_schema_put_configuration(struct och_buf *buf, const struct och_schema *schema)
{
    const struct och_value_types *types = och_schema_find(
            schema, (struct ochre_bytes){OCH_SCHEMA_EMBEDDING, sizeof(OCH_SCHEMA_EMBEDDING) - 1});
    och_assert(types != NULL && types->vector != NULL);
    const struct och_vector_index *index = types->vector;
    struct och_hnsw shown = index->hnsw;
    shown.given &= ~(uint32_t) (OCH_HNSW_NUM_THREADS | OCH_HNSW_BATCH_SIZE);

    struct object object = begin_object(buf);
    put_word(&object, "hnsw");
    struct object hnsw = begin_object(buf);
    put_word(&hnsw, "space");
    och_json_put_text(buf, och_space_names[index->space]);
    put_hnsw(&hnsw, &shown);
    end_object(&hnsw);
    put_word(&object, "spann");
    och_buf_put_text(buf, "null");
    put_word(&object, "embedding_function");
    put_embedding(buf, &index->embedding);
    put_recall_target(&object, schema);
    end_object(&object);
}
