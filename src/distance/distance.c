#include "distance/distance.h"

#include <float.h>
#include <math.h>

#include "base/compiler.h"

/*
 * Between these bounds a product of two norms, or a sum of squares, tells that
 * the canonical sum behind it is as good as distance.h promises: no partial sum
 * is larger than it (Cauchy and Schwarz), so nothing overflows, and what
 * products lose to underflow, at most 2^-149 each, is less than 2^-32 of it for
 * any dim below 2^17.
 */
#define SAFE_MIN 0x1p-100f
#define SAFE_MAX 0x1p126f

/* Rounds to infinity past the range of a float, which C leaves undefined. */
static float
to_float(double x)
{
    if (x > (double) FLT_MAX)
        return INFINITY;
    if (x < -(double) FLT_MAX)
        return -INFINITY;
    return (float) x;
}

/*
 * Sums in double, for what floats cannot hold: the product of two floats is
 * exact, from 2^-298 to 2^256, and sums of them stay far inside the range.
 */
static double
dot_wide(const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double) a[i] * (double) b[i];
    return sum;
}

static double
norm_wide(const float *v, size_t dim)
{
    return sqrt(dot_wide(v, v, dim));
}

float
och_vector_norm(const struct och_kernels *kernels, const float *v, size_t dim)
{
    float norm2 = kernels->dot(v, v, dim);
    if (norm2 >= SAFE_MIN && norm2 <= SAFE_MAX)
        return sqrtf(norm2);
    return to_float(norm_wide(v, dim));
}

void
och_distance_query_init(struct och_distance_query *q, const struct och_kernels *kernels,
        ochre_space space, const float *query, size_t dim)
{
    *q = (struct och_distance_query){
            .kernels = kernels,
            .space = space,
            .query = query,
            .dim = dim,
    };
    if (space == OCHRE_SPACE_COSINE)
        q->query_norm = och_vector_norm(kernels, query, dim);
}

static void
ip_rows(const struct och_distance_query *q, const float *rows, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        /* Infinite, or not a number where two lanes overflowed apart. */
        if (isfinite(out[i]))
            out[i] = 1.0f - out[i];
        else
            out[i] = to_float(1.0 - dot_wide(q->query, rows + i * q->dim, q->dim));
    }
}

/* Both norms are above zero; one may be too large or too small for a float. */
static float
cosine_wide(const struct och_distance_query *q, const float *row)
{
    double norms = norm_wide(q->query, q->dim) * norm_wide(row, q->dim);
    return to_float(1.0 - dot_wide(q->query, row, q->dim) / norms);
}

static void
cosine_rows(const struct och_distance_query *q, const float *rows, const float *norms, size_t n,
        float *out)
{
    for (size_t i = 0; i < n; i++) {
        float product = q->query_norm * norms[i];
        bool safe = product >= SAFE_MIN && product <= SAFE_MAX && norms[i] >= FLT_MIN &&
                q->query_norm >= FLT_MIN;
        if (safe)
            out[i] = 1.0f - out[i] / product;
        else if (q->query_norm == 0 || norms[i] == 0)
            out[i] = 1.0f;
        else
            out[i] = cosine_wide(q, rows + i * q->dim);
    }
}

void
och_distance_rows(const struct och_distance_query *q, const float *rows, const float *norms,
        size_t n, float *out)
{
    switch (q->space) {
    case OCHRE_SPACE_L2:
        q->kernels->l2_rows(q->query, rows, n, q->dim, out);
        break;
    case OCHRE_SPACE_IP:
        q->kernels->dot_rows(q->query, rows, n, q->dim, out);
        ip_rows(q, rows, n, out);
        break;
    case OCHRE_SPACE_COSINE:
        q->kernels->dot_rows(q->query, rows, n, q->dim, out);
        cosine_rows(q, rows, norms, n, out);
        break;
    }
}
