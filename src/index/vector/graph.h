/*
 * graph.h - the kind of vector index that walks links between near rows.
 *
 * Three sections: what is small (mean, entries, copies, calibration), 4-bit
 * codes, and links; docs/formats/graph.md has the bytes.
 *
 *      build    codes of 4 and 7 bits ── links over the 7-bit ones
 *               equal vectors become one node, with a list of copies
 *      measure  some rows are held back, asked for, compared with the exact
 *               answer, and only then let in: how many candidates does a walk
 *               keep for which recall?  (calibrate.h)
 *      search   walk on 4-bit codes, then measure vectors; graph_search.h
 *
 * A quick build, and one of few rows, makes codes only: all searches scan them.
 * Where they cannot help either (very few rows, vectors of extreme length) a
 * build answers OCHRE_UNSUPPORTED, and the segment does without.
 *
 * Threads: as index.h says.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_H
#define OCH_INDEX_VECTOR_GRAPH_H

#include "index/vector/index.h"

/* Sections of the segment file. */
enum { OCH_GRAPH_SECTION_MAIN = 16, OCH_GRAPH_SECTION_CODES = 17, OCH_GRAPH_SECTION_LINKS = 18 };

/* Fewer rows are searched without links: a scan of their codes takes no longer. */
#define OCH_GRAPH_ROWS_MIN 4096u
/* And fewer than these without codes. */
#define OCH_GRAPH_CODES_MIN 512u

extern const struct och_vector_index_kind och_graph_kind;

#endif /* OCH_INDEX_VECTOR_GRAPH_H */
