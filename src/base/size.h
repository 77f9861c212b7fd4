/*
 * size.h - arithmetic on untrusted sizes that cannot wrap unnoticed.
 */
#ifndef OCH_BASE_SIZE_H
#define OCH_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

/* *out = a * b; false, with *out unspecified, when that does not fit. */
OCH_MUST_CHECK static inline bool
och_size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* *out = a + b; false, with *out unspecified, when that does not fit. */
OCH_MUST_CHECK static inline bool
och_size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* `size` rounded up to a multiple of `unit`, a power of two.  The caller knows
 * that `size` is far below SIZE_MAX. */
static inline size_t
och_size_align(size_t size, size_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

#endif /* OCH_BASE_SIZE_H */
