/*
 * index.h - what every kind of vector index can do.
 *
 * A segment has primary sections (vectors, ids, metadata, documents), which are
 * the truth, and perhaps one vector index over its rows, which is derived: it can
 * be thrown away and built again.  A kind is one way to make and search such an
 * index.  registry.c knows them by name.
 *
 *      flat     looks at every row.  No sections, nothing to build.  Exact.
 *      graph    walks links between near rows, guided by 4-bit codes, and
 *               measures the few rows it ends with.  Aims at a recall.
 *
 * What the shape below owes to the graph:
 *
 *   - It keeps codes, links, entry points and calibration in sections of the
 *     segment file, each with a checksum, opened by number (sections).  Damage
 *     there is no loss: open or search answers OCHRE_CORRUPT, and the segment
 *     answers exactly from its rows, with flat, until it is rewritten.
 *   - It has a dial: how many candidates a walk keeps.  A caller states the
 *     recall it wants, and calibration turns that into the dial's position; or
 *     states the dial itself (effort).
 *   - It may answer from codes of all rows, which several queries then share, as
 *     they share rows with flat.
 *   - It tightens its walk by the distance to beat, so lists of earlier segments
 *     are handed on to later ones (best).
 *
 * What every kind promises:
 *
 *   - Distances offered are those of och_distance_rows, bit for bit; codes only
 *     choose which rows are measured.
 *   - Never fewer hits than there are: afterwards `best` holds the min(k, rows
 *     that may be found) nearest, or, where the kind is not exact, as many; a
 *     walk that runs dry ends as an exact scan.
 *   - The same index, queries and filter give the same answer.
 *
 * Threads: a kind is constant; an open index may be searched by any number of
 * threads; one thread builds, opens or closes.
 */
#ifndef OCH_INDEX_VECTOR_INDEX_H
#define OCH_INDEX_VECTOR_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "index/vector/rows.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_bitset;
struct och_distance_query;
struct och_executor;
struct och_pace;
struct och_kernels;
struct och_mem;
struct och_topk;

/* --- searching ----------------------------------------------------------- */

/* How an index answered, or shall answer.  The order is that of ochre_plan. */
enum och_vector_plan {
    OCH_PLAN_ANY,    /* whatever costs least */
    OCH_PLAN_EMPTY,  /* nothing may be found */
    OCH_PLAN_FLAT,   /* all allowed vectors, exactly */
    OCH_PLAN_SCAN,   /* all allowed codes, exactly */
    OCH_PLAN_WALK,   /* a walk along links */
    OCH_PLAN_TWO_HOP /* the same, through rows that are not allowed */
};

/* One request to one index.  All borrowed for the call. */
struct och_vector_search {
    const struct och_distance_query *queries; /* [n_queries], of one dim and space */
    size_t n_queries;
    uint32_t source; /* what offered rows say they come from: struct och_near */
    /* Rows that may be found: the filter without the deleted.  NULL: all. */
    const struct och_bitset *allowed;
    float recall;              /* share of the true nearest to aim at; an exact kind ignores it */
    uint32_t effort;           /* candidates a walk keeps; 0: as many as `recall` needs */
    float effort_scale;        /* and so many times as many, when `effort` is 0; 0: once */
    uint32_t effort_min;       /* but no fewer than these, when `effort` is 0 */
    enum och_vector_plan plan; /* OCH_PLAN_ANY but in tests */
    /* Room for a walk's candidates and marks, for the call; an exact kind takes none. */
    struct och_arena *scratch;
};

/* What a search did; each search adds to it.  Feeds plans and slow-query logs. */
struct och_vector_work {
    uint64_t n_distances;      /* rows measured */
    uint64_t n_estimates;      /* rows estimated from codes */
    uint64_t n_hops;           /* rows whose links were followed */
    uint64_t n_allowed;        /* rows that might be found, at the last search */
    uint64_t cost_ns;          /* what it was expected to take */
    uint32_t effort;           /* candidates kept, at the last search */
    enum och_vector_plan plan; /* of the last query */
    bool is_unreadable;        /* what failed is the index, not rows: do without it */
};

/* What an open index is like. */
struct och_vector_stats {
    uint64_t memory; /* bytes held for it, without what is mapped */
    float recall;    /* measured on held-back rows, for the one asked about; 1 when exact */
    uint32_t effort; /* candidates kept for it; 0: it searches exactly */
};

/* --- storing ------------------------------------------------------------- */

/* A section of the segment file that a kind stores beside the primary ones. */
struct och_vector_section {
    uint16_t number;    /* in the segment's section table, never reused */
    const char *name;   /* for `ochre check` and error messages */
    uint32_t alignment; /* of its first byte in the file; a power of two */
};

/* Where a build puts its sections, one after the other; filled in by the segment. */
struct och_vector_sink {
    ochre_status (*begin)(void *context, uint16_t number, struct ochre_error *err);
    ochre_status (*put)(void *context, const void *bytes, size_t size, struct ochre_error *err);
    void *context;
};

/*
 * How an index finds its sections again; *bytes_out NULL: there is no such section.
 * Bytes stay until close.
 */
struct och_vector_source {
    /* A whole one, verified. */
    ochre_status (*section)(void *context, uint16_t number, const void **bytes_out,
            uint64_t *size_out, struct ochre_error *err);
    /* Of one that is large: where it lies, to be looked at as far as it was touched; */
    void (*find)(void *context, uint16_t number, const void **bytes_out, uint64_t *size_out);
    /* part of it read and verified there, which costs next to nothing the next time; */
    ochre_status (*touch)(void *context, uint16_t number, uint64_t offset, uint64_t size,
            struct ochre_error *err);
    /* part of it read into memory, and verified there. */
    ochre_status (*read)(void *context, uint16_t number, uint64_t offset, void *to, size_t size,
            struct ochre_error *err);
    void *context;
};

/* An index over other rows, of which some are among these: what it cost to make is
 * not to be paid again, if it is warm to the end.  All borrowed. */
struct och_vector_kept {
    const struct och_vector_index *index;
    const uint32_t *map; /* its rows to rows here; OCH_ROW_NONE: is no more */
};

/* What a build starts from.  All borrowed until discard. */
struct och_vector_build {
    struct och_mem *mem;
    struct och_executor *executor; /* helps; NULL: the caller does all */
    const struct och_kernels *kernels;
    const struct och_vector_rows *rows; /* numbered as in the file */
    ochre_space space;
    uint32_t dim;
    uint64_t seed; /* all randomness comes from it, so a build can be repeated */
    const struct och_vector_kept *kept; /* of the same space and dim; NULL: none */
    uint32_t effort;       /* candidates a row chooses its links from, at least; 0: the usual */
    bool quick;            /* what is made in no time, for rows that will soon be merged */
    uint32_t graph_rows;   /* fewer rows get no links, whatever they cost; 0: the usual */
    uint32_t join_rows;    /* so many come in together, not one by one; 0: the usual */
    struct och_pace *pace; /* stopped: give up with OCHRE_UNAVAILABLE; NULL: never */
};

/* What an index is opened over.  All borrowed until close. */
struct och_vector_open {
    struct och_mem *mem;
    const struct och_kernels *kernels;
    const struct och_vector_rows *rows;
    ochre_space space;
    uint32_t dim;
    const struct och_vector_source *source; /* where its sections are; NULL: it has none */
};

/* --- the kinds ----------------------------------------------------------- */

/* A build under way; a kind's own struct. */
struct och_vector_builder;

/* An open index; the first member of a kind's own struct. */
struct och_vector_index {
    const struct och_vector_index_kind *kind;
};

struct och_vector_index_kind {
    const char *name; /* stored in the segment, so it never changes */
    bool exact;       /* finds the true nearest, whatever recall is asked for */

    const struct och_vector_section *sections; /* NULL when there are none */
    size_t n_sections;

    /*
     * Building; all NULL for a kind that has nothing to build.  Afterwards `write`
     * hands the sections over.  `discard` takes NULL too.
     *
     * Errors of build: OCHRE_UNSUPPORTED when these rows are better off without;
     * OCHRE_NO_MEMORY; what touching rows answers.
     */
    ochre_status (*build)(const struct och_vector_build *build,
            struct och_vector_builder **builder_out, struct ochre_error *err);
    ochre_status (*write)(struct och_vector_builder *builder, const struct och_vector_sink *sink,
            struct ochre_error *err);
    void (*discard)(struct och_vector_builder *builder);

    /*
     * Open the index.
     *
     * Errors: OCHRE_NO_MEMORY; OCHRE_CORRUPT or OCHRE_IO from its sections.
     */
    ochre_status (*open)(const struct och_vector_open *open, struct och_vector_index **index_out,
            struct ochre_error *err);
    void (*close)(struct och_vector_index *index); /* NULL is fine */

    /*
     * Read and verify the next some `size_max` bytes of what is large, into memory where
     * there is room; NULL for a kind that has nothing to read.  *done_out: that was the last, and searches need not see to what they
     * read any more.  Searches go on meanwhile, and find the same.
     *
     * Errors: OCHRE_CORRUPT: the index is of no use; OCHRE_IO, OCHRE_NO_MEMORY: the next
     *         call goes on from here.
     */
    ochre_status (*warm)(struct och_vector_index *index, uint64_t size_max, bool *done_out,
            struct ochre_error *err);

    /*
     * Compare all of it with the rows it was made of; NULL for a kind that stores nothing.
     *
     * Errors: OCHRE_CORRUPT: it is not what they give; OCHRE_IO, OCHRE_NO_MEMORY.
     */
    ochre_status (*deep_check)(
            const struct och_vector_index *index, struct och_mem *mem, struct ochre_error *err);

    /*
     * Offer to best[i] the rows nearest to queries[i].  The lists may hold what
     * other segments offered, and keep the best of both.  `work` may be NULL.
     *
     * Errors: what reading rows or sections answers (work->is_unreadable tells which);
     * OCHRE_NO_MEMORY from scratch.  `best` then holds part of the rows: throw it away.
     */
    ochre_status (*search)(const struct och_vector_index *index,
            const struct och_vector_search *search, struct och_topk *best,
            struct och_vector_work *work, struct ochre_error *err);

    /* What it is like for searches that aim at `recall`. */
    void (*stats)(
            const struct och_vector_index *index, float recall, struct och_vector_stats *stats_out);
};

/* The kind of that name, or NULL: the file comes from a newer ochre. */
const struct och_vector_index_kind *och_vector_index_find(const char *name);

/* --- saying it shorter --------------------------------------------------- */

void och_vector_index_close(struct och_vector_index *index); /* NULL is fine */

OCH_MUST_CHECK ochre_status och_vector_index_search(const struct och_vector_index *index,
        const struct och_vector_search *search, struct och_topk *best, struct och_vector_work *work,
        struct ochre_error *err);

#endif /* OCH_INDEX_VECTOR_INDEX_H */
