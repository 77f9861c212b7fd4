/*
 * names.h - what databases, collections, tenants and metadata keys may be called.
 *
 *      databases, collections   3 to 512 characters of a-z A-Z 0-9 . _ -, the first
 *                               and the last a letter or digit, no "..", not an
 *                               IPv4 address; or two such names joined by one "+"
 *      tenants                  3 characters or more, any
 *      metadata keys            not empty, not starting with "#" or "$"
 *
 * Names are checked when something is given a name, never when it is looked up:
 * an impossible name is simply not found.
 *
 * Threads: any; no state.
 */
#ifndef OCH_API_NAMES_H
#define OCH_API_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

typedef enum och_name_kind {
    OCH_NAME_TENANT,
    OCH_NAME_DATABASE,
    OCH_NAME_COLLECTION,
} och_name_kind;

/* OCHRE_INVALID, with the name and the rule it breaks, unless `name` is allowed.
 * The message does not say which field of a request the name was in. */
OCH_MUST_CHECK ochre_status och_name_check(
        och_name_kind kind, struct ochre_bytes name, struct ochre_error *err);

/* The same for a key of a record's or a collection's metadata. */
OCH_MUST_CHECK ochre_status och_metadata_key_check(struct ochre_bytes key, struct ochre_error *err);

/* Is this an IPv4 address: four decimal numbers up to 255 without leading zeros? */
bool och_name_is_ipv4(struct ochre_bytes name);

/*
 * How many bytes of UTF-8 `text` to show in a message by "%.*s": at most
 * `size_max`, up to a NUL, never part of a character.
 */
int och_name_shown(struct ochre_bytes text, size_t size_max);

#endif /* OCH_API_NAMES_H */
