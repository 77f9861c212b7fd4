/*
 * shortage.h - memory that runs out where the input says.
 *
 * A fuzz target of texts may begin with two bytes that no such text begins with:
 *
 *      1 n   the account refuses grant n (0 is the first) and all after it
 *      2 n   n * 16 bytes are left in the arena, and the account refuses more
 *
 * so that what a decoder does when memory is short is reached by inputs like
 * everything else.  Whoever runs short says OCHRE_NO_MEMORY or, if what was left
 * was enough, the same as with all the memory in the world.
 *
 * Threads: one thread at a time.
 */
#ifndef OCH_TESTS_FUZZ_SHORTAGE_H
#define OCH_TESTS_FUZZ_SHORTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ochre/types.h"

struct och_arena;

enum shortage_kind { SHORTAGE_NONE = 0, SHORTAGE_GRANTS = 1, SHORTAGE_ARENA = 2 };

struct shortage {
    enum shortage_kind kind;
    uint8_t n;
};

/* Take the shortage off the front of an input; the rest is the text. */
struct shortage fuzz_shortage(const uint8_t *data, size_t size, struct ochre_bytes *text_out);

/* Let it begin, for an arena that is empty and its account. */
void fuzz_run_short(struct shortage shortage, struct och_arena *arena);

#endif /* OCH_TESTS_FUZZ_SHORTAGE_H */
