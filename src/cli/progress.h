/*
 * progress.h - how far something is, for a person at a terminal.
 *
 * One line on standard error, drawn over as it goes on; nothing where that is no terminal.
 *
 * Threads: one at a time.
 */
#ifndef OCH_CLI_PROGRESS_H
#define OCH_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct och_progress {
    bool is_shown;
    const char *phase; /* shown last; lives as long as the program */
    unsigned percent;  /* likewise; or 16 MiB */
};

/* `wanted`: unless somebody asked for quiet. */
void och_progress_begin(struct och_progress *progress, bool wanted);

/* So many bytes of so many (0: not known).  `context` is the struct och_progress. */
void och_progress_draw(void *context, uint64_t done, uint64_t total);

/* The same of work that has several parts: which one, as "verifying ", a literal. */
void och_progress_draw_phase(void *context, const char *phase, uint64_t done, uint64_t total);

/* Leave the line empty; more may be drawn. */
void och_progress_end(struct och_progress *progress);

#endif /* OCH_CLI_PROGRESS_H */
