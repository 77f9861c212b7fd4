/*
 * random_metadata.h - metadata for tests: few keys and few values, so that they
 * meet again in updates and filters, with the edges of every type among them.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_UNIT_INDEX_RANDOM_METADATA_H
#define OCH_TESTS_UNIT_INDEX_RANDOM_METADATA_H

#include <stdbool.h>
#include <stdint.h>

#include "ochre/types.h"

struct och_arena;

struct ochre_bytes text(const char *text);
bool same_text(struct ochre_bytes a, struct ochre_bytes b);

/* One of the keys that random metadata uses; "chroma:..." may be one. */
struct ochre_bytes random_key(uint64_t *seed);

/* A value of this type; lists have one to five members.  The arena's memory
 * must not run out. */
struct ochre_value random_value(struct och_arena *arena, uint64_t *seed, ochre_value_type type);

/* Up to six fields, unsorted, keys now and then twice; nulls among them. */
struct ochre_metadata random_metadata(struct och_arena *arena, uint64_t *seed, bool nulls);

/* Type for type; 0.0 and -0.0 are the same. */
bool same_value(const struct ochre_value *a, const struct ochre_value *b);

/* The last field with this key, NULL when there is none. */
const struct ochre_value *last_value(const struct ochre_metadata *metadata, struct ochre_bytes key);

#endif /* OCH_TESTS_UNIT_INDEX_RANDOM_METADATA_H */
