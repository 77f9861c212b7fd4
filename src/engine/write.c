#include "engine/write.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "index/meta/fields.h"

#define WRITE_VERSION 1u
#define WRITE_HEADER_SIZE ((size_t) 16)
#define SIZE_NONE UINT32_MAX

enum {
    FLAG_SOME_VECTORS = 1u << 0,
    FLAG_DOCUMENTS = 1u << 1,
    FLAG_URIS = 1u << 2,
    FLAG_METADATA = 1u << 3,
    FLAGS_KNOWN = FLAG_SOME_VECTORS | FLAG_DOCUMENTS | FLAG_URIS | FLAG_METADATA
};

/* --- encoding --------------------------------------------------------------- */

static void
put_texts(struct och_buf *buf, const struct ochre_bytes *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        och_buf_put_u32(buf, texts[i].data == NULL ? SIZE_NONE : (uint32_t) texts[i].size);
    for (size_t i = 0; i < n; i++)
        och_buf_put(buf, texts[i].data, texts[i].data == NULL ? 0 : texts[i].size);
}

/* Metadata is encoded behind its sizes, which are filled in as they are known. */
static ochre_status
put_metadatas(struct och_buf *buf, struct och_arena *scratch, bool keep_nulls,
        const struct ochre_metadata *metadatas, size_t n)
{
    size_t sizes_at = buf->size;
    char *sizes = och_buf_extend(buf, n * sizeof(uint32_t));
    if (sizes == NULL)
        return OCHRE_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        uint32_t size = SIZE_NONE;
        if (metadatas[i].n_fields > 0) {
            size_t begin = buf->size;
            ochre_status status = och_fields_encode(buf, scratch, &metadatas[i], keep_nulls);
            if (status != OCHRE_OK)
                return status;
            size = (uint32_t) (buf->size - begin);
        }
        och_store_u32(buf->data + sizes_at + i * sizeof(uint32_t), size);
    }
    return OCHRE_OK;
}

static size_t
count_vectors(const struct ochre_records *records, uint32_t *dim_out)
{
    *dim_out = 0;
    if (records->embeddings == NULL)
        return 0;
    if (records->dims == NULL) {
        *dim_out = (uint32_t) records->dim;
        return records->n;
    }
    size_t n = 0;
    for (size_t i = 0; i < records->n; i++) {
        if (records->dims[i] == 0)
            continue;
        och_assert(*dim_out == 0 || *dim_out == records->dims[i]);
        *dim_out = records->dims[i];
        n++;
    }
    return n;
}

ochre_status
och_write_encode(struct och_buf *buf, struct och_arena *scratch, enum och_write_op op,
        const struct ochre_records *records)
{
    size_t n = records->n;
    uint32_t dim;
    size_t n_vectors = count_vectors(records, &dim);
    bool some = n_vectors != 0 && n_vectors != n;
    unsigned flags = (some ? FLAG_SOME_VECTORS : 0u) |
            (records->documents != NULL ? FLAG_DOCUMENTS : 0u) |
            (records->uris != NULL ? FLAG_URIS : 0u) |
            (records->metadatas != NULL ? FLAG_METADATA : 0u);
    och_buf_put_u8(buf, (uint8_t) op);
    och_buf_put_u8(buf, WRITE_VERSION);
    och_buf_put_u16(buf, (uint16_t) flags);
    och_buf_put_u32(buf, (uint32_t) n);
    och_buf_put_u32(buf, dim);
    och_buf_put_u32(buf, (uint32_t) n_vectors);
    if (some) {
        for (size_t i = 0; i < n; i++)
            och_buf_put_u8(buf, records->dims[i] != 0);
        och_buf_pad(buf, 8);
    }
    och_buf_put(buf, records->embeddings, n_vectors * dim * sizeof(float));
    och_buf_pad(buf, 8);
    put_texts(buf, records->ids, n);
    if (records->documents != NULL)
        put_texts(buf, records->documents, n);
    if (records->uris != NULL)
        put_texts(buf, records->uris, n);
    if (records->metadatas != NULL) {
        ochre_status status =
                put_metadatas(buf, scratch, op != OCH_WRITE_ADD, records->metadatas, n);
        if (status != OCHRE_OK)
            return status;
    }
    return och_buf_status(buf);
}

/* --- decoding --------------------------------------------------------------- */

static uint32_t
size_at(const struct och_write_column *column, uint32_t row)
{
    return och_load_u32(column->sizes + (size_t) row * sizeof(uint32_t));
}

/* Take a text column from the reader, checking every size against what is left. */
static void
take_column(struct och_reader *reader, uint32_t n, bool required, struct och_write_column *column)
{
    column->sizes = och_reader_bytes(reader, (size_t) n * sizeof(uint32_t));
    column->next = reader->next;
    for (uint32_t i = 0; i < n && !reader->failed; i++) {
        uint32_t size = size_at(column, i);
        if (size != SIZE_NONE)
            (void) och_reader_bytes(reader, size);
        else if (required)
            reader->failed = true;
    }
}

static void
skip_padding(struct och_reader *reader, const char *start)
{
    size_t at = (size_t) (reader->next - start);
    (void) och_reader_bytes(reader, (8 - at % 8) % 8);
}

static bool
fields_are_valid(const struct och_write *write)
{
    struct och_write_column column = write->fields;
    for (uint32_t i = 0; column.sizes != NULL && i < write->n; i++) {
        uint32_t size = size_at(&column, i);
        if (size == SIZE_NONE)
            continue;
        if (!och_fields_are_valid((struct ochre_bytes){column.next, size}))
            return false;
        column.next += size;
    }
    return true;
}

bool
och_write_decode(struct och_write *write_out, struct ochre_bytes payload)
{
    struct och_write write = {.row = 0};
    struct och_reader reader;
    och_reader_init(&reader, payload.data, payload.size);
    uint8_t op = och_reader_u8(&reader);
    uint8_t version = och_reader_u8(&reader);
    uint16_t flags = och_reader_u16(&reader);
    write.n = och_reader_u32(&reader);
    write.dim = och_reader_u32(&reader);
    write.n_vectors = och_reader_u32(&reader);
    if (reader.failed || op < OCH_WRITE_ADD || op > OCH_WRITE_DELETE || version != WRITE_VERSION ||
            (flags & ~(unsigned) FLAGS_KNOWN) != 0 || write.dim > OCH_DIM_MAX ||
            write.n_vectors > write.n || (write.n_vectors > 0 && write.dim == 0))
        return false;
    write.op = (enum och_write_op) op;
    if ((flags & FLAG_SOME_VECTORS) != 0) {
        write.has_vector = och_reader_bytes(&reader, write.n);
        skip_padding(&reader, payload.data);
        uint32_t n_present = 0;
        for (uint32_t i = 0; !reader.failed && i < write.n; i++)
            n_present += write.has_vector[i] != 0;
        if (n_present != write.n_vectors)
            return false;
    } else if (write.n_vectors != 0 && write.n_vectors != write.n) {
        return false;
    }
    write.next_vector =
            och_reader_bytes(&reader, (size_t) write.n_vectors * write.dim * sizeof(float));
    skip_padding(&reader, payload.data);
    take_column(&reader, write.n, true, &write.ids);
    if ((flags & FLAG_DOCUMENTS) != 0)
        take_column(&reader, write.n, false, &write.documents);
    if ((flags & FLAG_URIS) != 0)
        take_column(&reader, write.n, false, &write.uris);
    if ((flags & FLAG_METADATA) != 0)
        take_column(&reader, write.n, false, &write.fields);
    if (reader.failed || reader.left != 0 || !fields_are_valid(&write))
        return false;
    *write_out = write;
    return true;
}

static struct ochre_bytes
next_text(struct och_write_column *column, uint32_t row)
{
    if (column->sizes == NULL || size_at(column, row) == SIZE_NONE)
        return (struct ochre_bytes){NULL, 0};
    struct ochre_bytes text = {column->next, size_at(column, row)};
    column->next += text.size;
    return text;
}

bool
och_write_next(struct och_write *write, struct och_write_row *row_out)
{
    if (write->row == write->n)
        return false;
    uint32_t row = write->row++;
    row_out->id = next_text(&write->ids, row);
    row_out->document = next_text(&write->documents, row);
    row_out->uri = next_text(&write->uris, row);
    row_out->fields = next_text(&write->fields, row);
    row_out->vector = NULL;
    bool has = write->has_vector != NULL ? write->has_vector[row] != 0 : write->n_vectors != 0;
    if (has) {
        row_out->vector = write->next_vector;
        write->next_vector += (size_t) write->dim * sizeof(float);
    }
    return true;
}

bool
och_write_deletes(struct ochre_bytes payload)
{
    return payload.size > 0 && payload.data[0] == OCH_WRITE_DELETE;
}

/* --- some rows of a request --------------------------------------------------- */

/* A column of the rows that are kept. */
static void
put_column(struct och_buf *buf, struct och_write_column column, uint32_t n, const bool *keep)
{
    if (column.sizes == NULL)
        return;
    for (uint32_t i = 0; i < n; i++)
        if (keep[i])
            och_buf_put_u32(buf, size_at(&column, i));
    for (uint32_t i = 0; i < n; i++) {
        struct ochre_bytes text = next_text(&column, i);
        if (keep[i])
            och_buf_put(buf, text.data, text.size);
    }
}

static bool
has_vector(const struct och_write *write, uint32_t row)
{
    return write->has_vector != NULL ? write->has_vector[row] != 0 : write->n_vectors != 0;
}

static void
put_vectors(struct och_buf *buf, const struct och_write *write, const bool *keep)
{
    size_t size = (size_t) write->dim * sizeof(float);
    const char *next = write->next_vector;
    for (uint32_t i = 0; write->has_vector != NULL && i < write->n; i++)
        if (keep[i])
            och_buf_put_u8(buf, (uint8_t) write->has_vector[i]);
    och_buf_pad(buf, 8);
    for (uint32_t i = 0; i < write->n; i++) {
        if (!has_vector(write, i))
            continue;
        if (keep[i])
            och_buf_put(buf, next, size);
        next += size;
    }
    och_buf_pad(buf, 8);
}

ochre_status
och_write_encode_rows(struct och_buf *buf, struct ochre_bytes payload, const bool *keep)
{
    struct och_write write;
    uint32_t n = 0;
    uint32_t n_vectors = 0;
    if (!och_write_decode(&write, payload))
        return OCHRE_CORRUPT;
    for (uint32_t i = 0; i < write.n; i++) {
        n += keep[i];
        n_vectors += keep[i] && has_vector(&write, i);
    }
    och_assert(n > 0);
    och_buf_put(buf, payload.data, 4); /* operation, version and flags stay */
    och_buf_put_u32(buf, n);
    och_buf_put_u32(buf, write.dim);
    och_buf_put_u32(buf, n_vectors);
    put_vectors(buf, &write, keep);
    put_column(buf, write.ids, write.n, keep);
    put_column(buf, write.documents, write.n, keep);
    put_column(buf, write.uris, write.n, keep);
    put_column(buf, write.fields, write.n, keep);
    return och_buf_status(buf);
}
