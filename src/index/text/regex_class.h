/*
 * regex_class.h - [brackets]: ranges, nested classes and set operations.
 *
 *      [a-z0-9_]  [^\s]  [[:alpha:]]  [\w--[aeiou]]  [a-z&&[^b]&&\pL]
 *
 * A class is computed here to a plain set of code points, because RE2 reads the
 * operations as characters.  Operators group from the left and bind less than
 * putting things side by side.
 *
 * Threads: one thread at a time.
 */
#ifndef OCH_INDEX_TEXT_REGEX_CLASS_H
#define OCH_INDEX_TEXT_REGEX_CLASS_H

#include "index/text/regex_scan.h"

/*
 * Read the class that begins here and make `class`, which is empty, that set.
 * *height_out is how deep it nests.
 *
 * Errors: OCHRE_INVALID; OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_regex_class(
        struct och_scan *scan, struct och_codeset *class, unsigned *height_out);

#endif /* OCH_INDEX_TEXT_REGEX_CLASS_H */
