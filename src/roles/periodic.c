#include "roles/periodic.h"

#define HOUR_MS UINT64_C(3600000)

static uint64_t
at_most_an_hour(uint64_t ms)
{
    return ms < HOUR_MS ? ms : HOUR_MS;
}

static void
run(void *argument)
{
    struct och_periodic *periodic = argument;
    och_thread_lower_priority();
    och_mutex_lock(&periodic->lock);
    while (!periodic->ends) {
        if (och_cond_wait_for(&periodic->wake, &periodic->lock, periodic->wait_ms))
            continue; /* to end, or for no reason: then the time begins anew */
        och_mutex_unlock(&periodic->lock);
        bool done = periodic->work(periodic->context);
        och_mutex_lock(&periodic->lock);
        periodic->wait_ms = done ? periodic->every_ms : at_most_an_hour(periodic->every_ms);
    }
    och_mutex_unlock(&periodic->lock);
}

ochre_status
och_periodic_begin(struct och_periodic *periodic, const char *name, uint64_t every_ms,
        bool (*work)(void *context), void *context, struct ochre_error *err)
{
    *periodic = (struct och_periodic){.work = work,
            .context = context,
            .every_ms = every_ms,
            .wait_ms = at_most_an_hour(every_ms)};
    och_mutex_init(&periodic->lock);
    och_cond_init(&periodic->wake);
    ochre_status status = och_thread_start(&periodic->thread, name, run, periodic, err);
    periodic->has_begun = status == OCHRE_OK;
    if (status != OCHRE_OK) {
        och_cond_clear(&periodic->wake);
        och_mutex_clear(&periodic->lock);
    }
    return status;
}

bool
och_periodic_wait(struct och_periodic *periodic, uint64_t ms)
{
    och_mutex_lock(&periodic->lock);
    if (!periodic->ends) {
        bool woken = och_cond_wait_for(&periodic->wake, &periodic->lock, ms);
        (void) woken; /* why, the flag says */
    }
    bool goes_on = !periodic->ends;
    och_mutex_unlock(&periodic->lock);
    return goes_on;
}

void
och_periodic_end(struct och_periodic *periodic)
{
    if (!periodic->has_begun)
        return;
    och_mutex_lock(&periodic->lock);
    periodic->ends = true;
    och_cond_signal(&periodic->wake);
    och_mutex_unlock(&periodic->lock);
    och_thread_join(&periodic->thread);
    och_cond_clear(&periodic->wake);
    och_mutex_clear(&periodic->lock);
    periodic->has_begun = false;
}
