/*
 * compare.h - what driver.c and compare.c share: the model's filters as the
 * database takes them.
 */
#ifndef OCH_TESTS_CRASH_COMPARE_H
#define OCH_TESTS_CRASH_COMPARE_H

#include <stdint.h>

#include "crash/model.h"
#include "ochre/types.h"

struct ochre_filter_node compare_filter(enum model_filter filter, int64_t number, const char *text);

#endif /* OCH_TESTS_CRASH_COMPARE_H */
