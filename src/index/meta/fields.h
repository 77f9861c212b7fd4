/*
 * fields.h - one record's metadata as bytes, in the log, in a head, in a segment.
 *
 *      u32 n | n times: u16 key_size | u8 type | u8 0 | u32 value_size | key | value
 *
 *      bool u8    int i64    float f64    string bytes
 *      list of bool: u8 each    of int: i64 each    of float: f64 each
 *      list of string: u32 size and bytes, each
 *
 * Fields are sorted by key (bytes, then length) and no key stands twice, so
 * that finding is a short walk and merging is one pass.  A null (size 0)
 * occurs only in updates, where it removes the key.  -0.0 is stored as 0.0.
 *
 * Threads: any; bytes are immutable.
 */
#ifndef OCH_INDEX_META_FIELDS_H
#define OCH_INDEX_META_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_buf;

/* One field inside encoded bytes; points into them. */
struct och_field_view {
    struct ochre_bytes key;
    ochre_value_type type;
    const char *value;
    uint32_t value_size;
};

/* Walks encoded fields; zero left means the end. */
struct och_fields_cursor {
    const char *next;
    uint32_t left;
};

/*
 * Append the encoding of `metadata` to `buf`: sorted, the last of equal keys
 * kept, nulls kept only with `keep_nulls`.  `scratch` holds the sorting.
 */
OCH_MUST_CHECK ochre_status och_fields_encode(struct och_buf *buf, struct och_arena *scratch,
        const struct ochre_metadata *metadata, bool keep_nulls);

/* Are these well-formed fields, and nothing more?  For bytes from a file. */
bool och_fields_are_valid(struct ochre_bytes fields);

/* The rest takes bytes that are well-formed; NULL data means no fields. */

struct och_fields_cursor och_fields_begin(struct ochre_bytes fields);
bool och_fields_next(struct och_fields_cursor *cursor, struct och_field_view *view_out);
bool och_fields_find(
        struct ochre_bytes fields, struct ochre_bytes key, struct och_field_view *view_out);
uint32_t och_fields_count(struct ochre_bytes fields);

/* Append `old` with `update` merged over it: its values replace, its nulls
 * remove.  An `old` of no fields gives the update without its nulls. */
void och_fields_merge(struct och_buf *buf, struct ochre_bytes old, struct ochre_bytes update);

/* The fields as the public struct.  Strings point into `fields`; the arrays are
 * taken from `arena`.  Keys starting with "chroma:" are left out with `hide`. */
OCH_MUST_CHECK ochre_status och_fields_decode(struct och_arena *arena, struct ochre_bytes fields,
        bool hide, struct ochre_metadata *metadata_out);

/* The number of elements of a list value. */
uint32_t och_field_list_count(const struct och_field_view *view);

#endif /* OCH_INDEX_META_FIELDS_H */
