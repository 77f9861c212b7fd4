/*
 * compiler.h - the few words of compiler dialect ochre allows itself.
 */
#ifndef OCH_BASE_COMPILER_H
#define OCH_BASE_COMPILER_H

#include <assert.h>

/* The result carries a failure or an allocation; ignoring it is a bug. */
#define OCH_MUST_CHECK __attribute__((warn_unused_result))

/* The compiler checks the arguments against the format, as for printf. */
#define OCH_PRINTF(format_at, first) __attribute__((__format__(__printf__, format_at, first)))

/* On in every build we ship: a wrong invariant must stop here, not on disk. */
#define och_assert(cond) ((cond) ? (void) 0 : och_assert_failed(#cond, __FILE__, __LINE__))

_Noreturn void och_assert_failed(const char *cond, const char *file, int line);

#endif /* OCH_BASE_COMPILER_H */
