/*
 * layout.h - the bytes of a segment file, version 1.
 *
 *      0        magic "OCHRSEG1" | u32 version | u32 flags | zero to 64 KiB
 *      64 KiB   ROWS_RAW: f32 [n][dim]
 *      ...      the other sections, each 4 KiB aligned, zero padded
 *      root     section table, identity, page checksums
 *      end-64   footer
 *
 * Everything before the root is cut into pages of 64 KiB, counted from the
 * file's first byte; the root holds an XXH3-64 of each.  The footer holds the
 * root's checksum and its own, and the catalog the footer's: a byte that is
 * read is a byte that is covered.
 *
 * A section of texts is two: OFFSETS, u64 [n + 1] into BYTES; the top bit of
 * offset i says that row i has none.
 *
 * docs/formats/segment.md is normative.
 */
#ifndef OCH_SEGMENT_LAYOUT_H
#define OCH_SEGMENT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define OCH_ALIVE UINT64_MAX /* as the log position at which a row died: never */

#define OCH_SEGMENT_MAGIC UINT64_C(0x314745535248434f) /* "OCHRSEG1" */
#define OCH_SEGMENT_VERSION 1u
#define OCH_SEGMENT_VERSION_AT ((size_t) 8)
#define OCH_SEGMENT_ALIGNMENT ((uint64_t) 4096)
#define OCH_SEGMENT_FOOTER_SIZE ((uint64_t) 64)
#define OCH_SEGMENT_ENTRY_SIZE ((uint64_t) 48)
#define OCH_SEGMENT_ABSENT (UINT64_C(1) << 63)
#define OCH_SEGMENT_ROOT_SIZE_MAX (64u << 20)

/* The kinds of sections.  The numbers are on disk. */
enum och_section_kind {
    OCH_SECTION_ROWS = 1,     /* f32 [n][dim] */
    OCH_SECTION_NORMS = 2,    /* f32 [n] */
    OCH_SECTION_ORDINALS = 3, /* u64 [n], ascending */
    OCH_SECTION_ID_OFFSETS = 4,
    OCH_SECTION_ID_BYTES = 5,
    OCH_SECTION_ID_TABLE = 6, /* u64 [2^b]: hash << 32 | row + 1, 0: empty */
    OCH_SECTION_DOCUMENT_OFFSETS = 7,
    OCH_SECTION_DOCUMENT_BYTES = 8,
    OCH_SECTION_URI_OFFSETS = 9,
    OCH_SECTION_URI_BYTES = 10,
    OCH_SECTION_FIELD_OFFSETS = 11, /* metadata, index/meta/fields.h */
    OCH_SECTION_FIELD_BYTES = 12,
    /* Derived from those above; a file may do without any of them. */
    OCH_SECTION_DERIVED = 13, /* the first */
    OCH_SECTION_COLUMNS = 13, /* index of metadata */
    OCH_SECTION_VECTOR = 16,  /* the first of those of a vector index */
    OCH_SECTION_KINDS = 32,   /* one more than the last that is known */
};

#endif /* OCH_SEGMENT_LAYOUT_H */
