/*
 * columns_part.h - have a new segment file carry an index of its metadata.
 *
 * A part for och_seal: the file gets section OCH_SECTION_COLUMNS, or none where
 * memory does not suffice for it or the metadata has too many keys; filters then
 * read the metadata.
 *
 * Threads: as seal.h.
 */
#ifndef OCH_SEGMENT_COLUMNS_PART_H
#define OCH_SEGMENT_COLUMNS_PART_H

#include "segment/seal.h"

extern const struct och_seal_part och_columns_part;

#endif /* OCH_SEGMENT_COLUMNS_PART_H */
