/*
 * heap_short.h - a C++ heap that runs out where a fuzz target says.
 *
 * The memory of the libraries in C++ that we call lies in no account of ours.  A
 * program with heap_short.cc has its own `operator new`, which can be made to
 * throw.  Such a library need not clean up behind an exception, and that is not
 * what our targets look for: what was taken meanwhile and not given back is
 * given back at the end.
 *
 * Threads: one thread at a time, in the whole program.
 */
#ifndef OCH_TESTS_FUZZ_HEAP_SHORT_H
#define OCH_TESTS_FUZZ_HEAP_SHORT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Refuse allocation `n` from now on (0 is the next) and all after it. */
void fuzz_heap_shorten(uint64_t n);

/* Refuse nothing any more, and free what is left of what was taken since. */
void fuzz_heap_restore(void);

#ifdef __cplusplus
}
#endif

#endif /* OCH_TESTS_FUZZ_HEAP_SHORT_H */
