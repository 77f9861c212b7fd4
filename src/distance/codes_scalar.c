/* The reference: written to be read. */
#include "distance/codes.h"
#include "distance/distance_internal.h"

static int32_t
dot4(const int8_t *query, const uint8_t *code, size_t padded)
{
    size_t half = padded / 2;
    int32_t sum = 0;
    for (size_t i = 0; i < half; i++)
        sum += (code[i] & 15) * query[i] + (code[i] >> 4) * query[half + i];
    return sum;
}

static void
dot4_gather(const int8_t *query, const uint8_t *codes, size_t stride, const uint32_t *rows,
        size_t n, size_t padded, int32_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = dot4(query, codes + rows[i] * stride, padded);
}

static void
dot4_block(const int8_t *queries, size_t n_queries, const uint8_t *codes, size_t stride, size_t n,
        size_t padded, int32_t *out)
{
    for (size_t q = 0; q < n_queries; q++) {
        for (size_t i = 0; i < n; i++)
            out[q * n + i] = dot4(queries + q * padded, codes + i * stride, padded);
    }
}

static uint64_t
bound_block(const struct och_code_weights *weights, const struct och_code_terms *terms,
        const int32_t *dots, size_t n, float limit, float *out)
{
    return och_bound_rest(weights, terms, dots, 0, n, limit, out);
}

static int32_t
dot7(const uint8_t *a, const uint8_t *b, size_t padded)
{
    int32_t sum = 0;
    for (size_t i = 0; i < padded; i++)
        sum += a[i] * (b[i] - 64);
    return sum;
}

static void
dot7_gather(const uint8_t *a, const uint8_t *codes, size_t stride, const uint32_t *rows, size_t n,
        size_t padded, int32_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = dot7(a, codes + rows[i] * stride, padded);
}

const struct och_code_kernels och_codes_scalar = {
        .name = "scalar",
        .dot4_gather = dot4_gather,
        .dot4_block = dot4_block,
        .bound_block = bound_block,
        .dot7 = dot7,
        .dot7_gather = dot7_gather,
};
