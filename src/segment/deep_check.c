#include "segment/deep_check.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "distance/distance.h"
#include "index/meta/columns_build.h"
#include "index/vector/index.h"
#include "segment/segment.h"
#include "segment/source.h"

#define ALL_COLUMNS                                                                 \
    (OCH_COLUMN_VECTORS | OCH_COLUMN_IDS | OCH_COLUMN_DOCUMENTS | OCH_COLUMN_URIS | \
            OCH_COLUMN_FIELDS | OCH_COLUMN_ORDINALS)

/* --- vectors ------------------------------------------------------------------ */

static ochre_status
check_vectors(const struct och_segment *segment, const struct och_kernels *kernels,
        struct ochre_error *err)
{
    const float *vectors = och_segment_vectors(segment);
    const float *norms = och_segment_norms(segment);
    for (uint32_t row = 0; row < segment->n_rows; row++) {
        const float *vector = vectors + (size_t) row * segment->dim;
        for (uint32_t i = 0; i < segment->dim; i++)
            if (!isfinite(vector[i]))
                return och_fail(err, OCHRE_CORRUPT, "element %u of row %u's vector is no number",
                        (unsigned) i, (unsigned) row);
        if (segment->space == OCHRE_SPACE_COSINE &&
                norms[row] != och_vector_norm(kernels, vector, segment->dim))
            return och_fail(err, OCHRE_CORRUPT,
                    "the length of row %u's vector is not what is stored", (unsigned) row);
    }
    return OCHRE_OK;
}

/* --- the index of metadata ------------------------------------------------------ */

struct comparison {
    const struct och_segment *segment;
    const char *stored;
    uint64_t size, n_same;
    bool differs;
};

static ochre_status
fields_of_row(void *context, uint32_t row, struct ochre_bytes *fields_out, struct ochre_error *err)
{
    const struct comparison *comparison = context;
    (void) err;
    *fields_out = och_segment_fields(comparison->segment, row);
    return OCHRE_OK;
}

static ochre_status
compare(void *context, const void *bytes, size_t size, struct ochre_error *err)
{
    struct comparison *comparison = context;
    comparison->differs = comparison->size - comparison->n_same < size ||
            memcmp(comparison->stored + comparison->n_same, bytes, size) != 0;
    if (comparison->differs)
        return och_fail(err, OCHRE_CORRUPT,
                "the index of metadata is not what the metadata gives, from byte %llu on",
                (unsigned long long) comparison->n_same);
    comparison->n_same += size;
    return OCHRE_OK;
}

static ochre_status
check_columns(struct och_segment *segment, struct ochre_error *err)
{
    const void *bytes = NULL;
    struct comparison comparison = {.segment = segment};
    ochre_status status =
            och_segment_section(segment, OCH_SECTION_COLUMNS, &bytes, &comparison.size, err);
    if (status != OCHRE_OK || bytes == NULL)
        return status;
    comparison.stored = bytes;
    /* The seed has no part in what is made. */
    const struct och_columns_build build = {.mem = segment->mem,
            .n_rows = segment->n_rows,
            .seed = segment->footer_hash,
            .batch = OCH_COLUMNS_BATCH,
            .entries_max = OCH_COLUMN_ENTRIES_MAX,
            .text_max = OCH_COLUMN_TEXT_MAX,
            .fields = fields_of_row,
            .put = compare,
            .context = &comparison};
    status = och_columns_build(&build, err);
    if (status == OCHRE_TOO_LARGE || (status == OCHRE_OK && comparison.n_same < comparison.size))
        return och_fail(err, OCHRE_CORRUPT, "the index of metadata has more than the metadata");
    return status;
}

/* --- all of it ---------------------------------------------------------------- */

static ochre_status
check_index(struct och_segment *segment, const struct och_kernels *kernels, struct ochre_error *err)
{
    if (!och_segment_has_index(segment))
        return OCHRE_OK;
    const struct och_vector_index *index = och_segment_index(segment, kernels);
    /* Its bytes are right, so it is of an older form, which searches do without: `ochre
     * upgrade` tells of it. */
    if (index == NULL && !och_segment_has_index(segment))
        return OCHRE_OK;
    if (index == NULL)
        return och_fail_memory(err);
    return index->kind->deep_check == NULL ? OCHRE_OK
                                           : index->kind->deep_check(index, segment->mem, err);
}

ochre_status
och_segment_deep_check(
        struct och_segment *segment, const struct och_kernels *kernels, struct ochre_error *err)
{
    ochre_status status = och_segment_load(segment, ALL_COLUMNS, err);
    if (status == OCHRE_OK)
        status = check_vectors(segment, kernels, err);
    if (status == OCHRE_OK)
        status = check_columns(segment, err);
    return status == OCHRE_OK ? check_index(segment, kernels, err) : status;
}
