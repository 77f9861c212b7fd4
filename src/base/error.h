/*
 * error.h - make and return an error in one step, where the facts are known.
 *
 * Threads: any; an ochre_error belongs to its caller.
 */
#ifndef OCH_BASE_ERROR_H
#define OCH_BASE_ERROR_H

#include "base/compiler.h"
#include "ochre/status.h"

/*
 * Write `status` and the message into `err`, which may be NULL, and return
 * `status`.  Messages name the thing, the value seen and the value wanted, in
 * lower case without a full stop; a message too long for `err` is cut.
 */
ochre_status och_fail(struct ochre_error *err, ochre_status status, const char *format, ...)
        OCH_PRINTF(3, 4);

/* The one message for a refused allocation; returns OCHRE_NO_MEMORY. */
ochre_status och_fail_memory(struct ochre_error *err);

#endif /* OCH_BASE_ERROR_H */
