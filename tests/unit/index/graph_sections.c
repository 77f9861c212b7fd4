#include "unit/index/graph_sections.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "index/vector/graph.h"
#include "support/check.h"

/* --- as a file keeps them --------------------------------------------------------- */

static ochre_status
begin(void *context, uint16_t number, struct ochre_error *err)
{
    struct graph_sections *to = context;
    (void) err;
    check(number >= OCH_GRAPH_SECTION_MAIN && number <= OCH_GRAPH_SECTION_LINKS);
    to->open = number - OCH_GRAPH_SECTION_MAIN;
    check(to->bytes[to->open] == NULL);
    return OCHRE_OK;
}

static ochre_status
put(void *context, const void *bytes, size_t size, struct ochre_error *err)
{
    struct graph_sections *to = context;
    (void) err;
    char *grown = realloc(to->bytes[to->open], to->sizes[to->open] + size);
    check(grown != NULL);
    memcpy(grown + to->sizes[to->open], bytes, size);
    to->bytes[to->open] = grown;
    to->sizes[to->open] += size;
    return OCHRE_OK;
}

static ochre_status
section(void *context, uint16_t number, const void **bytes_out, uint64_t *size_out,
        struct ochre_error *err)
{
    const struct graph_sections *from = context;
    (void) err;
    *bytes_out = from->bytes[number - OCH_GRAPH_SECTION_MAIN];
    *size_out = from->sizes[number - OCH_GRAPH_SECTION_MAIN];
    return OCHRE_OK;
}

static void
find(void *context, uint16_t number, const void **bytes_out, uint64_t *size_out)
{
    const struct graph_sections *from = context;
    *bytes_out = from->mapped[number - OCH_GRAPH_SECTION_MAIN];
    *size_out = from->sizes[number - OCH_GRAPH_SECTION_MAIN];
}

/* What the bytes are, or the failure that they meet. */
static ochre_status
copy(const struct graph_sections *from, int index, size_t offset, void *to, size_t size)
{
    check(offset <= from->sizes[index] && size <= from->sizes[index] - offset);
    if (from->failure != OCHRE_OK && from->failing_section == index &&
            from->failing_byte - offset < size)
        return from->failure;
    memcpy(to, from->bytes[index] + offset, size);
    return OCHRE_OK;
}

static ochre_status
touch(void *context, uint16_t number, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    struct graph_sections *from = context;
    int index = number - OCH_GRAPH_SECTION_MAIN;
    (void) err;
    from->n_touched += size;
    return copy(from, index, offset, from->mapped[index] + offset, size);
}

static ochre_status
read_bytes(void *context, uint16_t number, uint64_t offset, void *to, size_t size,
        struct ochre_error *err)
{
    struct graph_sections *from = context;
    (void) err;
    from->n_read += size;
    return copy(from, number - OCH_GRAPH_SECTION_MAIN, offset, to, size);
}

struct och_vector_sink
graph_sections_sink(struct graph_sections *sections)
{
    return (struct och_vector_sink){.begin = begin, .put = put, .context = sections};
}

struct och_vector_source
graph_sections_source(struct graph_sections *sections)
{
    for (size_t i = 0; i < GRAPH_SECTIONS; i++) {
        if (sections->mapped_sizes[i] >= sections->sizes[i])
            continue;
        free(sections->mapped[i]);
        sections->mapped[i] = calloc(1, sections->sizes[i]);
        check(sections->mapped[i] != NULL);
        sections->mapped_sizes[i] = sections->sizes[i];
    }
    return (struct och_vector_source){.section = section,
            .find = find,
            .touch = touch,
            .read = read_bytes,
            .context = sections};
}

void
graph_sections_clear(struct graph_sections *sections)
{
    for (size_t i = 0; i < GRAPH_SECTIONS; i++) {
        free(sections->bytes[i]);
        free(sections->mapped[i]);
    }
    *sections = (struct graph_sections){.open = 0};
}

uint64_t
graph_sections_hash(const struct graph_sections *sections)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < GRAPH_SECTIONS; i++)
        hash = och_hash64_seeded(sections->bytes[i], sections->sizes[i], hash);
    return hash;
}

ochre_status
graph_sections_build(struct graph_sections *sections, const struct och_vector_build *build)
{
    struct och_vector_sink sink = graph_sections_sink(sections);
    struct och_vector_builder *builder;
    graph_sections_clear(sections);
    ochre_status status = och_graph_kind.build(build, &builder, NULL);
    if (status == OCHRE_OK)
        status = och_graph_kind.write(builder, &sink, NULL);
    och_graph_kind.discard(builder);
    return status;
}

/* --- as its format says ------------------------------------------------------------ */

enum { DEGREE = 32, FIXED_SIZE = 32 + 12 + 12 * 8 };
#define NO_ROW UINT32_MAX

static uint32_t
u32_at(const char *bytes, size_t place)
{
    uint32_t value;
    memcpy(&value, bytes + place * sizeof(value), sizeof(value));
    return value;
}

struct graph_census
graph_take_census(const void *main_section, size_t main_size, const void *links, size_t links_size)
{
    const char *head = main_section;
    check(main_size >= FIXED_SIZE && u32_at(head, 0) == 1);
    struct graph_census census = {.n_rows = u32_at(head, 1),
            .n_entries = u32_at(head, 3),
            .n_strays = u32_at(head, 4),
            .n_copies = u32_at(head, 5)};
    const char *entries = head + FIXED_SIZE + u32_at(head, 2) * sizeof(float);
    const char *strays = entries + census.n_entries * sizeof(uint32_t);
    const char *copies = strays + census.n_strays * sizeof(uint32_t);
    check(copies + census.n_copies * 2 * sizeof(uint32_t) == head + main_size);
    check(links_size == (size_t) census.n_rows * DEGREE * sizeof(uint32_t));

    uint32_t *queue = malloc(census.n_rows * sizeof(*queue));
    char *is_found = calloc(census.n_rows, 1);
    check(queue != NULL && is_found != NULL);
    uint32_t n = 0;
    for (uint32_t i = 0; i < census.n_entries; i++) {
        uint32_t row = u32_at(entries, i);
        check(row < census.n_rows && !is_found[row]);
        is_found[row] = 1;
        queue[n++] = row;
    }
    for (uint32_t at = 0; at < n; at++) {
        for (size_t i = 0; i < DEGREE; i++) {
            uint32_t to = u32_at(links, (size_t) queue[at] * DEGREE + i);
            if (to == NO_ROW)
                break; /* the first one ends the list */
            check(to < census.n_rows);
            if (!is_found[to])
                queue[n++] = to;
            is_found[to] = 1;
        }
    }
    census.n_reached = n;
    for (uint32_t i = 0; i < census.n_strays; i++)
        is_found[u32_at(strays, i)] = 1;
    for (uint32_t i = 0; i < census.n_copies; i++) {
        uint32_t first = u32_at(copies, 2 * i), row = u32_at(copies, 2 * i + 1);
        check(first < census.n_rows && row < census.n_rows && !is_found[row]);
        is_found[row] = is_found[first];
    }
    for (uint32_t row = 0; row < census.n_rows; row++)
        census.n_lost += !is_found[row];
    free(is_found);
    free(queue);
    return census;
}
