/*
 * keys.h - which metadata keys a collection has seen, and with which types.
 *
 * This is what makes a collection's schema grow.  A key set is immutable and
 * counted: adding gives a new set, so that a write that fails can go back to
 * the old one and readers never see a set change.
 *
 * Threads: any.
 */
#ifndef OCH_INDEX_META_KEYS_H
#define OCH_INDEX_META_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_buf;
struct och_mem;

struct och_key {
    struct ochre_bytes key;
    uint32_t types; /* 1u << ochre_value_type; a list counts as its elements' type */
};

struct och_keys; /* sorted by key */

/* The empty set. */
OCH_MUST_CHECK ochre_status och_keys_make(struct och_mem *mem, struct och_keys **keys_out);
struct och_keys *och_keys_retain(struct och_keys *keys);
void och_keys_release(struct och_keys *keys); /* NULL is fine */

const struct och_key *och_keys_list(const struct och_keys *keys, size_t *n_out);

/*
 * Replace *keys by a set that also holds the keys and types of `fields`
 * (index/meta/fields.h; nulls and keys starting with "chroma:" add nothing).
 * The reference in *keys moves to the new set; when nothing is new, it stays.
 */
OCH_MUST_CHECK ochre_status och_keys_add(struct och_keys **keys, struct ochre_bytes fields);

/* u32 n, then for each: u32 types | u32 size | key. */
void och_keys_encode(struct och_buf *buf, const struct och_keys *keys);
/* OCHRE_CORRUPT when the bytes are not such a set.  NULL data: the empty set. */
OCH_MUST_CHECK ochre_status och_keys_decode(
        struct och_mem *mem, struct ochre_bytes bytes, struct och_keys **keys_out);

#endif /* OCH_INDEX_META_KEYS_H */
