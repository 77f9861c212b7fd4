/*
 * check.h - cmocka, with the few words our tests use.
 *
 * Test names are claims: rows_at_word_edges_are_kept_apart.  A test prints its
 * seed, never sleeps, never needs the network and cleans up.
 */
#ifndef OCH_TESTS_CHECK_H
#define OCH_TESTS_CHECK_H

/* cmocka needs these before itself. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "ochre/status.h"

struct och_mem;

/* Fail the test, with its place, unless `condition` holds. */
#define check(condition) assert_true(condition)

/* The status is OCHRE_OK; otherwise fail and show the error's message. */
#define check_ok(status, err) check_status((status), OCHRE_OK, (err), __FILE__, __LINE__)

void check_status(ochre_status status, ochre_status wanted, const struct ochre_error *err,
        const char *file, int line);

/* Of the calls of a sweep at which something happens, one in so many: all, but where code runs
 * many times slower.  Begin each row elsewhere, and end it with the first call that is not
 * reached. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CHECK_ONE_IN = 21 };
#else
enum { CHECK_ONE_IN = 1 };
#endif

/*
 * Call `body` again and again, refusing its 1st, then its 2nd, ... allocation
 * from `mem`, until a run gets through without a refusal.  `body` returns true
 * when it ran to its end, and must leave no memory behind either way.
 */
void check_each_allocation_failing(bool (*body)(struct och_mem *mem));

#endif /* OCH_TESTS_CHECK_H */
