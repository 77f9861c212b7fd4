#include "cli/progress.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum { BAR_WIDTH = 40 };

/* Nothing is drawn yet, so that 0 % is. */
#define PERCENT_NONE UINT_MAX

void
och_progress_begin(struct och_progress *progress, bool wanted)
{
    *progress = (struct och_progress){
            .is_shown = wanted && isatty(STDERR_FILENO), .phase = "", .percent = PERCENT_NONE};
}

void
och_progress_end(struct och_progress *progress)
{
    if (progress->is_shown && progress->percent != PERCENT_NONE)
        (void) fprintf(stderr, "\r%79s\r", "");
    progress->percent = PERCENT_NONE;
}

void
och_progress_draw_phase(void *context, const char *phase, uint64_t done, uint64_t total)
{
    static const char full[] = "########################################";
    static_assert(sizeof(full) == BAR_WIDTH + 1, "a character for each part of the bar");
    struct och_progress *progress = context;
    if (!progress->is_shown)
        return;
    if (phase != progress->phase)
        och_progress_end(progress);
    progress->phase = phase;
    if (total == 0) {
        /* How much there is becomes known while it is read for the first time. */
        unsigned megabytes = (unsigned) (done >> 20);
        if (megabytes / 16 != progress->percent)
            (void) fprintf(stderr, "\r%s%u MiB read", phase, megabytes);
        progress->percent = megabytes / 16;
        return;
    }
    unsigned percent = done >= total ? 100 : (unsigned) (done / (total / 100 + 1));
    if (percent == progress->percent)
        return;
    progress->percent = percent;
    (void) fprintf(stderr, "\r%s[%-*.*s] %3u%%", phase, BAR_WIDTH,
            (int) (percent * BAR_WIDTH / 100), full, percent);
}

void
och_progress_draw(void *context, uint64_t done, uint64_t total)
{
    och_progress_draw_phase(context, "", done, total);
}
