#include "unit/segment/rows.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/random.h"
#include "index/meta/fields.h"
#include "os/vfs.h"
#include "segment/seal.h"
#include "segment/segment.h"
#include "segment/source.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/index/random_metadata.h"

static struct ochre_bytes
keep(struct rows *rows, const void *bytes, size_t size)
{
    char *copy = och_arena_copy(&rows->arena, bytes, size);
    check(copy != NULL);
    return (struct ochre_bytes){copy, size};
}

static void
make_row(struct rows *rows, uint32_t i, uint64_t *seed)
{
    static const char *const documents[] = {
            "", "an apple", "apple pie", "Banana", "\xe6\x97\xa5\xe6\x9c\xac", "one\nline two"};
    struct row *row = &rows->rows[i];
    char id[16];
    int length = snprintf(id, sizeof(id), "%u", (unsigned) i);
    *row = (struct row){.insert = {.ordinal = (uint64_t) i * 3, .position = 1}};
    for (uint32_t d = 0; d < rows->dim; d++)
        row->vector[d] = och_random_f32(seed);
    row->insert.vector = row->vector;
    row->insert.norm = och_random_f32(seed);
    row->insert.texts.id = keep(rows, id, (size_t) length);
    if (och_random_below(seed, 2) == 0)
        row->insert.texts.document = text(documents[och_random_below(seed, 6)]);
    if (och_random_below(seed, 2) == 0)
        row->insert.texts.uri = text(documents[och_random_below(seed, 6)]);
    if (och_random_below(seed, 2) == 0)
        return;
    struct och_buf buf;
    och_buf_init(&buf, &rows->own, SIZE_MAX / 2);
    row->metadata = random_metadata(&rows->arena, seed, false);
    check(och_fields_encode(&buf, &rows->arena, &row->metadata, false) == OCHRE_OK);
    row->insert.texts.fields = keep(rows, buf.data, buf.size);
    och_buf_clear(&buf);
}

void
rows_begin(struct rows *rows, uint32_t n, uint32_t dim, uint64_t seed)
{
    check(dim <= ROWS_DIM_MAX);
    memset(rows, 0, sizeof(*rows));
    och_mem_init(&rows->own, NULL);
    och_mem_init(&rows->mem, NULL);
    och_arena_init(&rows->arena, &rows->own);
    rows->collection = (struct och_uuid){{7, 1}};
    rows->dim = dim;
    rows->n = n;
    rows->rows = och_arena_take_array(&rows->arena, n, sizeof(*rows->rows));
    check(rows->rows != NULL);
    for (uint32_t i = 0; i < n; i++)
        make_row(rows, i, &seed);
    rows->disk = sim_disk_open(&rows->own, 1);
    rows->vfs = sim_disk_vfs(rows->disk);
    check(och_vfs_mkdir(rows->vfs, OCH_DIR_TMP, NULL) == OCHRE_OK);
    check(och_vfs_mkdir(rows->vfs, OCH_DIR_SEGMENTS, NULL) == OCHRE_OK);
}

void
rows_end(struct rows *rows)
{
    check(och_mem_used(&rows->mem) == 0);
    sim_disk_close(rows->disk);
    och_arena_clear(&rows->arena);
    check(och_mem_used(&rows->own) == 0);
}

bool
rows_head(struct rows *rows, struct och_head **head_out)
{
    struct och_head *head;
    *head_out = NULL;
    if (och_head_make(&rows->mem, rows->dim, &head) != OCHRE_OK)
        return false;
    for (uint32_t i = 0; i < rows->n; i++) {
        if (och_head_append(head, &rows->rows[i].insert) != OCHRE_OK) {
            och_head_release(head);
            return false;
        }
    }
    *head_out = head;
    return true;
}

ochre_status
rows_seal(struct rows *rows, struct och_head *head, uint64_t id, struct och_segment **segment_out,
        struct ochre_error *err)
{
    struct och_source source = {.head = head, .n_rows = head->n_rows, .position = 1};
    return rows_seal_sources(rows, &source, 1, id, segment_out, err);
}

ochre_status
rows_seal_sources(struct rows *rows, const struct och_source *sources, uint32_t n, uint64_t id,
        struct och_segment **segment_out, struct ochre_error *err)
{
    struct och_seal seal = {.mem = &rows->mem,
            .vfs = rows->vfs,
            .collection = rows->collection,
            .id = id,
            .position = 1,
            .space = OCHRE_SPACE_COSINE,
            .dim = rows->dim,
            .sources = sources,
            .n_sources = n,
            .parts = rows->parts,
            .n_parts = rows->n_parts};
    uint64_t hash = 0;
    uint64_t size = 0;
    *segment_out = NULL;
    ochre_status status = och_seal_rows(&seal, err);
    if (status == OCHRE_OK)
        status = och_seal_write(&seal, &hash, &size, err);
    och_seal_clear(&seal);
    if (status == OCHRE_OK)
        status = och_segment_open(&rows->mem, rows->vfs, rows->collection, id, segment_out, err);
    if (status == OCHRE_OK)
        check((*segment_out)->footer_hash == hash && (*segment_out)->file_size == size);
    return status;
}

struct och_segment *
rows_segment(struct rows *rows, uint64_t id)
{
    struct och_head *head;
    struct och_segment *segment;
    struct ochre_error err;
    check(rows_head(rows, &head));
    check_ok(rows_seal(rows, head, id, &segment, &err), &err);
    och_head_release(head);
    return segment;
}

bool
same_or_absent(struct ochre_bytes a, struct ochre_bytes b)
{
    return (a.data == NULL) == (b.data == NULL) && same_text(a, b);
}

void
check_segment_row(
        const struct och_segment *segment, uint32_t row, const struct och_head_insert *wanted)
{
    check(same_or_absent(och_segment_id(segment, row), wanted->texts.id));
    check(same_or_absent(och_segment_document(segment, row), wanted->texts.document));
    check(same_or_absent(och_segment_uri(segment, row), wanted->texts.uri));
    check(same_or_absent(och_segment_fields(segment, row), wanted->texts.fields));
    check(och_segment_ordinals(segment)[row] == wanted->ordinal);
    check(memcmp(&och_segment_norms(segment)[row], &wanted->norm, sizeof(float)) == 0);
    const float *vector = och_segment_vectors(segment) + (size_t) row * segment->dim;
    check(memcmp(vector, wanted->vector, segment->dim * sizeof(float)) == 0);
}
