/*
 * target.h - take a request target apart, and decode what was escaped.
 *
 *      /api/v2/tenants/a%2Fb/databases?limit=5
 *      \______________ path _________/ \query/
 *
 * The library leaves the target as it came; we split first and decode after,
 * once, so that "%2F" inside a parameter is data and never a separator.
 *
 * Threads: any; no state.
 */
#ifndef OCH_HTTP_TARGET_H
#define OCH_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "ochre/types.h"

struct och_http_target {
    struct ochre_bytes authority; /* of "http://host/path"; absent in "/path" */
    struct ochre_bytes path;      /* begins with "/", except "*" alone */
    struct ochre_bytes query;     /* after the first "?"; absent if there is none */
};

/*
 * Split a target into slices of itself.  False when it is neither "/...", "*"
 * nor "http://authority...", or holds a space or a control character.
 */
OCH_MUST_CHECK bool och_http_target_split(
        struct ochre_bytes target, struct och_http_target *target_out);

/*
 * Decode "%41", and "+" as a space if `plus_is_space`, into `out`, which has
 * room for text.size bytes; returns the bytes written.  A "%" that two hex
 * digits do not follow stands for itself.
 */
size_t och_http_decode(struct ochre_bytes text, bool plus_is_space, char *out);

/* Would decoding change anything? */
bool och_http_is_encoded(struct ochre_bytes text, bool plus_is_space);

/*
 * The next "name=value" of a query string, as sent; `*rest` moves past it.
 * False at the end.  A pair without "=" has an empty value; empty pairs are
 * passed over.
 */
bool och_http_query_next(
        struct ochre_bytes *rest, struct ochre_bytes *name_out, struct ochre_bytes *value_out);

#endif /* OCH_HTTP_TARGET_H */
