/*
 * graph_sections.h - a graph's sections in memory, as a segment file would keep
 * them, and what can be said of them without the code that wrote them.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_UNIT_INDEX_GRAPH_SECTIONS_H
#define OCH_TESTS_UNIT_INDEX_GRAPH_SECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "index/vector/index.h"

enum { GRAPH_SECTIONS = 3 }; /* main, codes, links: docs/formats/graph.md */

/* Zeroed, it is empty. */
struct graph_sections {
    char *bytes[GRAPH_SECTIONS]; /* owned */
    size_t sizes[GRAPH_SECTIONS];
    int open;
    /* What is seen of them where they are "mapped": zeros, until they are touched. */
    char *mapped[GRAPH_SECTIONS]; /* owned */
    size_t mapped_sizes[GRAPH_SECTIONS];
    /* Touching or reading a byte of this section fails, if `failure` is not OCHRE_OK. */
    ochre_status failure;
    int failing_section;
    size_t failing_byte;
    size_t n_touched, n_read; /* bytes, those touched again included */
};

struct och_vector_sink graph_sections_sink(struct graph_sections *sections);
/* The sections stay where they are until the index is closed. */
struct och_vector_source graph_sections_source(struct graph_sections *sections);
void graph_sections_clear(struct graph_sections *sections);

/* Of all bytes. */
uint64_t graph_sections_hash(const struct graph_sections *sections);

/* Build a graph into `sections`, which are emptied first. */
ochre_status graph_sections_build(
        struct graph_sections *sections, const struct och_vector_build *build);

/* What a reader of the format finds. */
struct graph_census {
    uint32_t n_rows, n_entries, n_strays, n_copies;
    uint32_t n_reached; /* from the entries, over links alone */
    uint32_t n_lost;    /* rows neither reached nor strays nor copies of what is either */
};

/* Walk all links from the entries.  `main_section` and `links` are whole sections. */
struct graph_census graph_take_census(
        const void *main_section, size_t main_size, const void *links, size_t links_size);

#endif /* OCH_TESTS_UNIT_INDEX_GRAPH_SECTIONS_H */
