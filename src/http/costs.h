/*
 * costs.h - how long requests took, by kind.
 *
 * A request that is soon answered is best run on the thread that has read it:
 * handing it to another one and waking the first again costs more than many a
 * search.  A request that takes long must not run there, because the other
 * connections of that thread would wait.  Which of the two a request is, the
 * last ones of its kind say: a kind is a number that requests share which take
 * about equally long (same collection, same shape of filter, ...).
 *
 *      kind    tag (32 bits) | the rest; its lowest bits choose the place
 *      place   tag (32 bits) | cost in ns (32 bits), in one atomic word
 *
 * A cost rises by a sixteenth of the difference, lest an unlucky moment (a virtual
 * processor that did not run, for some milliseconds) make a kind look slow: all
 * connections would be handed over at once, and the workers' turns cost each of them
 * what a round of requests does.  But to OCH_HTTP_COST_SURE_NS and beyond it rises at
 * once, as waiting for that a second time would hurt.  It falls by an eighth: after a
 * very slow request some dozens of quick ones are needed.
 * Two kinds with the same place throw each other out; forgetting is harmless.
 *
 * Threads: any.
 */
#ifndef OCH_HTTP_COSTS_H
#define OCH_HTTP_COSTS_H

#include <stdatomic.h>
#include <stdint.h>

enum { OCH_HTTP_COSTS_N = 1024 }; /* a power of two */

/* Nothing is known of this kind. */
#define OCH_HTTP_COST_UNKNOWN UINT64_MAX

/* So much is no accident. */
#define OCH_HTTP_COST_SURE_NS UINT64_C(50000000)

/* All zero: nothing is known. */
struct och_http_costs {
    _Atomic(uint64_t) places[OCH_HTTP_COSTS_N];
};

/* What requests of this kind take, in ns, 4 s at most; or OCH_HTTP_COST_UNKNOWN. */
uint64_t och_http_costs_get(const struct och_http_costs *costs, uint64_t kind);

/* One more took so long. */
void och_http_costs_note(struct och_http_costs *costs, uint64_t kind, uint64_t cost_ns);

#endif /* OCH_HTTP_COSTS_H */
