/*
 * compare.h - what driver.c and compare.c share: the model's filters as the
 * database takes them.
 */
#ifndef OCH_TESTS_CRASH_COMPARE_H
#define OCH_TESTS_CRASH_COMPARE_H

#include <stdint.h>

#include "crash/model.h"
#include "ochre/types.h"

/* What comparisons that found a session right have seen is compared once more later, as of the
 * positions of then: as it was, or refused.  A session that opens forgets. */
void compare_forget(void);

/* So many such reads of the past were answered, since the program began. */
uint64_t compare_past_reads(void);

struct ochre_filter_node compare_filter(enum model_filter filter, int64_t number, const char *text);

#endif /* OCH_TESTS_CRASH_COMPARE_H */
