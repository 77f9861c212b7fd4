/*
 * audit.h - do live queries get the recall they were promised?
 *
 * A graph is calibrated with rows of its own, held back; people may ask for
 * something else.  So now and then a query that was just answered by a walk is
 * answered again in the background, once as before and once exactly, and what the
 * walk missed is counted:
 *
 *      query ──► consider ──► background: both answers ──► note
 *                (sometimes)                                 │ too few found?
 *      walks keep `scale` times as many candidates ◄─────────┘
 *
 * Only queries without a filter that ask for the collection's own recall are
 * audited; what was learned goes for all.  It stays in memory: after the next
 * start it is learned again.  Without background threads nothing is audited.
 *
 * Cost: at most a hundredth of one thread, of low priority.
 *
 * Threads: any.
 */
#ifndef OCH_ENGINE_AUDIT_H
#define OCH_ENGINE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

struct och_collection;
struct och_query;

struct och_audit {
    bool running;           /* one is under way: what follows is its */
    float *query;           /* owned: [dim] */
    uint32_t dim, k;        /* what was asked */
    uint64_t not_before_ns; /* by the machine's clock */
    uint64_t n_queries;     /* audited, ever */
    uint64_t n_counted;     /* audits that count now, and of them: */
    uint64_t n_wanted;      /* neighbours there were */
    uint64_t n_found;       /* of them those that were found */
    uint64_t squares;       /* of what each query missed */
    float scale;            /* of the candidates that walks keep; 0: as calibrated */
};

/* What is known, for who shows it. */
struct och_audit_summary {
    uint64_t n_queries;
    float recall; /* below 0: nothing was audited */
    float scale;  /* at least 1 */
};

/* Count an audit, and scale up where chance alone would hardly (one in a hundred
 * times) let walks with the promised recall find so few.  Pure. */
void och_audit_note(struct och_audit *audit, float target, uint64_t n_wanted, uint64_t n_found);

/* A query was answered by a walk: have it audited, if it is time. */
void och_audit_consider(struct och_collection *collection, const struct och_query *query);

struct och_audit_summary och_audit_sum_up(struct och_collection *collection);

#endif /* OCH_ENGINE_AUDIT_H */
