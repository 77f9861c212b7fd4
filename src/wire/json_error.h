/*
 * json_error.h - what a status is called on the wire.
 *
 * Threads: any; no state.
 */
#ifndef OCH_WIRE_JSON_ERROR_H
#define OCH_WIRE_JSON_ERROR_H

#include <stdbool.h>

#include "ochre/status.h"

struct och_wire_error {
    unsigned status;  /* of HTTP */
    const char *name; /* the `error` of the body */
    bool retry;       /* it may go well a little later: Retry-After */
};

/* `status` is not OCHRE_OK. */
struct och_wire_error och_wire_error_of(ochre_status status);

#endif /* OCH_WIRE_JSON_ERROR_H */
