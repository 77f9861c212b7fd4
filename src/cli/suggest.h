/*
 * suggest.h - "did you mean ...?"
 *
 * Threads: any; no state.
 */
#ifndef OCH_CLI_SUGGEST_H
#define OCH_CLI_SUGGEST_H

#include <stddef.h>

/*
 * The name nearest to `text` by edit distance (insert, delete, replace, swap
 * neighbours; Damerau 1964 without edits inside a swap), if it is near enough
 * to be a slip: a third of its length, and at least one.  Else NULL.
 * Of equally near names the first.
 */
const char *och_suggest(const char *text, const char *const *names, size_t n_names);

#endif /* OCH_CLI_SUGGEST_H */
