#include "segment/columns_part.h"

#include "base/hash.h"
#include "index/meta/columns_build.h"
#include "segment/segment.h"

struct columns_file {
    struct och_seal_file *file;
    const struct och_vector_sink *sink;
};

static ochre_status
read_fields(void *context, uint32_t row, struct ochre_bytes *fields_out, struct ochre_error *err)
{
    const struct columns_file *to = context;
    struct och_row_texts texts;
    ochre_status status = och_seal_texts(to->file, row, OCH_COLUMN_FIELDS, &texts, err);
    *fields_out = texts.fields;
    return status;
}

static ochre_status
put_bytes(void *context, const void *bytes, size_t size, struct ochre_error *err)
{
    const struct columns_file *to = context;
    return to->sink->put(to->sink->context, bytes, size, err);
}

/* Another one for each file, so that values chosen to collide in one do not in the
 * next. */
static uint64_t
seed_of(const struct och_seal *seal)
{
    return och_hash64_seeded(
            seal->collection.bytes, sizeof(seal->collection.bytes), seal->id ^ seal->position);
}

static ochre_status
write_columns(void *context, struct och_seal_file *file, const struct och_vector_sink *sink,
        struct ochre_error *err)
{
    (void) context;
    const struct och_seal *seal = och_seal_of(file);
    struct columns_file to = {file, sink};
    struct och_columns_build build = {.mem = seal->mem,
            .n_rows = seal->n_rows,
            .seed = seed_of(seal),
            .batch = OCH_COLUMNS_BATCH,
            .entries_max = OCH_COLUMN_ENTRIES_MAX,
            .text_max = OCH_COLUMN_TEXT_MAX,
            .fields = read_fields,
            .put = put_bytes,
            .context = &to};
    ochre_status status = sink->begin(sink->context, OCH_SECTION_COLUMNS, err);
    if (status == OCHRE_OK)
        status = och_columns_build(&build, err);
    if (status != OCHRE_NO_MEMORY && status != OCHRE_TOO_LARGE)
        return status;
    och_seal_abandon(file);
    return OCHRE_OK;
}

const struct och_seal_part och_columns_part = {.write = write_columns};
