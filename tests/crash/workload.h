/*
 * workload.h - random operations, of all kinds, chosen so that most of them do
 * something: they name what exists, and heads fill, seal and lose rows.
 *
 * The same seed gives the same operations.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_CRASH_WORKLOAD_H
#define OCH_TESTS_CRASH_WORKLOAD_H

#include "crash/model.h"

struct workload {
    uint64_t seed;
    size_t n_done; /* operations made so far */
    size_t n_all;  /* that will be made */
};

/* The next operation, for a database in this state. */
void workload_next(struct workload *workload, const struct model *model, struct model_op *op_out);

/* Writes that must work in any state, and that no operation above is: a
 * collection, a record in it, and one in `touched`, unless that is NULL.  Returns
 * how many there are. */
enum { WORKLOAD_N_PROBES = 3 };
size_t workload_probe(uint64_t number, const struct model_collection *touched,
        struct model_op ops_out[WORKLOAD_N_PROBES]);

/* Deletions that a state has something for: of a record, of all records with a tag, and
 * of the collection they are in.  Returns how many there are: none in an empty state. */
enum { WORKLOAD_N_DELETIONS = 3 };
size_t workload_deletions(
        uint64_t number, const struct model *model, struct model_op ops_out[WORKLOAD_N_DELETIONS]);

/* A number below `n` (not 0), moving the seed on. */
uint64_t workload_below(uint64_t *seed, uint64_t n);

/* Scramble numbers into a seed. */
uint64_t workload_mix(uint64_t a, uint64_t b);

/* Names that occur: everything there may be is under these. */
enum { WORKLOAD_N_TENANTS = 3, WORKLOAD_N_DATABASES = 3 };
extern const char *const workload_tenants[WORKLOAD_N_TENANTS];
extern const char *const workload_databases[WORKLOAD_N_DATABASES];

#endif /* OCH_TESTS_CRASH_WORKLOAD_H */
