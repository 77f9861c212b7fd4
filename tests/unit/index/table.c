#include "unit/index/table.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "index/meta/fields.h"
#include "support/check.h"

void
table_begin(struct table *table, struct och_mem *mem, uint32_t n_rows)
{
    *table = (struct table){.mem = mem,
            .n_rows = n_rows,
            .seed = 5,
            .batch = OCH_COLUMNS_BATCH,
            .entries_max = OCH_COLUMN_ENTRIES_MAX,
            .text_max = OCH_COLUMN_TEXT_MAX,
            .fail_row = UINT32_MAX,
            .size_max = UINT64_MAX};
    och_arena_init(&table->arena, mem);
    och_buf_init(&table->bytes, mem, SIZE_MAX / 2);
    table->metadata = och_arena_take_array(&table->arena, n_rows, sizeof(*table->metadata));
    table->fields = och_arena_take_array(&table->arena, n_rows, sizeof(*table->fields));
    check(table->metadata != NULL && table->fields != NULL);
    for (uint32_t row = 0; row < n_rows; row++) {
        table->metadata[row] = (struct ochre_metadata){NULL, 0};
        table->fields[row] = (struct ochre_bytes){NULL, 0};
    }
}

void
table_end(struct table *table)
{
    och_buf_clear(&table->bytes);
    och_arena_clear(&table->arena);
}

void
table_set(struct table *table, uint32_t row, const struct ochre_metadata *metadata)
{
    struct och_buf buf;
    och_buf_init(&buf, table->mem, SIZE_MAX / 2);
    check(och_fields_encode(&buf, &table->arena, metadata, false) == OCHRE_OK);
    table->metadata[row] = *metadata;
    table->fields[row] =
            (struct ochre_bytes){och_arena_copy(&table->arena, buf.data, buf.size), buf.size};
    check(table->fields[row].data != NULL);
    table->fields_size += buf.size;
    och_buf_clear(&buf);
}

void
table_set_value(struct table *table, uint32_t row, struct ochre_bytes key, struct ochre_value value)
{
    struct ochre_field *field = och_arena_take(&table->arena, sizeof(*field));
    check(field != NULL);
    *field = (struct ochre_field){key, value};
    table_set(table, row, &(struct ochre_metadata){field, 1});
}

static ochre_status
read_fields(void *context, uint32_t row, struct ochre_bytes *fields_out, struct ochre_error *err)
{
    struct table *table = context;
    check(row < table->n_rows && row == table->n_calls++ % table->n_rows);
    if (row == table->fail_row)
        return och_fail(err, OCHRE_IO, "row %u cannot be read", (unsigned) row);
    *fields_out = table->fields[row];
    return OCHRE_OK;
}

static ochre_status
put_bytes(void *context, const void *bytes, size_t size, struct ochre_error *err)
{
    struct table *table = context;
    check(size > 0);
    if (size > table->size_max - table->bytes.size)
        return och_fail(err, OCHRE_FULL, "no space left");
    och_buf_put(&table->bytes, bytes, size);
    check(och_buf_status(&table->bytes) == OCHRE_OK);
    return OCHRE_OK;
}

ochre_status
table_build(struct table *table, struct och_mem *mem, struct ochre_error *err)
{
    struct och_columns_build build = {.mem = mem,
            .n_rows = table->n_rows,
            .seed = table->seed,
            .batch = table->batch,
            .entries_max = table->entries_max,
            .text_max = table->text_max,
            .fields = read_fields,
            .put = put_bytes,
            .context = table};
    och_buf_reset(&table->bytes);
    table->n_calls = 0;
    return och_columns_build(&build, err);
}

void
table_open(struct table *table, struct och_columns *columns_out)
{
    struct ochre_error err;
    check_ok(table_build(table, table->mem, &err), &err);
    struct och_columns_source source = {.bytes = table->bytes.data, .size = table->bytes.size};
    check_ok(och_columns_open(columns_out, &source, table->n_rows, &err), &err);
}
