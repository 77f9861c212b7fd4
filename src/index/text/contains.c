#include "index/text/contains.h"

#include <string.h>

bool
och_text_contains(
        const char *haystack, size_t haystack_size, const char *needle, size_t needle_size)
{
    if (needle_size == 0)
        return true;
    if (needle_size > haystack_size)
        return false;
    return memmem(haystack, haystack_size, needle, needle_size) != NULL;
}
