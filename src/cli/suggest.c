#include "cli/suggest.h"

#include <string.h>

/* Names are ours and short; what is longer is no slip of one. */
enum { SIZE_MAX_COMPARED = 63 };

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t
distance(const char *a, const char *b)
{
    size_t n = strlen(b);
    size_t rows[3][SIZE_MAX_COMPARED + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= n; j++)
        above[j] = j;
    for (size_t i = 1; i <= strlen(a); i++) {
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[n];
}

const char *
och_suggest(const char *text, const char *const *names, size_t n_names)
{
    const char *nearest = NULL;
    size_t nearest_distance = SIZE_MAX_COMPARED;
    if (strlen(text) > SIZE_MAX_COMPARED)
        return NULL;
    for (size_t i = 0; i < n_names; i++) {
        size_t size = strlen(names[i]);
        if (size > SIZE_MAX_COMPARED)
            continue;
        size_t d = distance(text, names[i]);
        if (d < nearest_distance && d <= (size < 3 ? 1 : size / 3)) {
            nearest = names[i];
            nearest_distance = d;
        }
    }
    return nearest;
}
