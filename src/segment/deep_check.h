/*
 * deep_check.h - is what a segment derives what its rows give?
 *
 * Checksums tell that bytes are those that were written, not that these were right.  A
 * deep check derives once more and compares: lengths of vectors, the index of metadata byte for
 * byte, the index of vectors as its kind does.
 *
 * Threads: any.
 */
#ifndef OCH_SEGMENT_DEEP_CHECK_H
#define OCH_SEGMENT_DEEP_CHECK_H

#include "base/compiler.h"
#include "ochre/status.h"

struct och_kernels;
struct och_segment;

/*
 * Of a segment that och_segment_verify found whole.
 *
 * Errors: OCHRE_CORRUPT: it is not, and the message says what and of which row; OCHRE_IO,
 *         OCHRE_NO_MEMORY.
 * Cost:   some microseconds a row; the memory of building an index of metadata.
 */
OCH_MUST_CHECK ochre_status och_segment_deep_check(
        struct och_segment *segment, const struct och_kernels *kernels, struct ochre_error *err);

#endif /* OCH_SEGMENT_DEEP_CHECK_H */
