/*
 * routes.h - the HTTP API: which handler answers what.
 *
 * One table (routes.c), and a file of handlers for each kind of thing:
 * routes_system.c, routes_catalog.c, routes_records.c.  A handler decodes with
 * wire/, calls a verb of api/ops.h and lets wire/ write the answer; it decides
 * nothing itself but the order of checks, which is that of the wire:
 *
 *      query string (400), body: JSON (400) and shape (422), database name
 *      (400), collection id (400); then the verb
 *
 * Threads: the table is immutable; handlers run on many threads.
 */
#ifndef OCH_HTTP_ROUTES_H
#define OCH_HTTP_ROUTES_H

#include <stddef.h>

#include "http/router.h"

struct ochre_db;

/* The context of the server that serves these routes. */
struct och_routes_context {
    struct ochre_db *db; /* borrowed: open while the server runs */
};

extern const struct och_http_route och_routes[];
extern const size_t och_routes_count;

#endif /* OCH_HTTP_ROUTES_H */
