#include "os/pace.h"

#include <stddef.h>

#include "os/clock.h"

#define NS_PER_MS UINT64_C(1000000)

void
och_urgency_init(struct och_urgency *urgency)
{
    och_mutex_init(&urgency->lock);
    och_cond_init(&urgency->over);
    atomic_init(&urgency->n_waiting, 0);
    atomic_init(&urgency->n_served, 0);
    atomic_init(&urgency->its_turn_ns, 0);
}

void
och_urgency_clear(struct och_urgency *urgency)
{
    och_cond_clear(&urgency->over);
    och_mutex_clear(&urgency->lock);
}

static void
count_up(struct och_urgency *urgency, atomic_uint *count)
{
    och_mutex_lock(&urgency->lock);
    (void) atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    och_mutex_unlock(&urgency->lock);
}

static void
count_down(struct och_urgency *urgency, atomic_uint *count)
{
    och_mutex_lock(&urgency->lock);
    if (atomic_fetch_sub_explicit(count, 1, memory_order_relaxed) == 1)
        och_cond_broadcast(&urgency->over);
    och_mutex_unlock(&urgency->lock);
}

void
och_urgency_begin(struct och_urgency *urgency)
{
    count_up(urgency, &urgency->n_waiting);
}

void
och_urgency_end(struct och_urgency *urgency)
{
    count_down(urgency, &urgency->n_waiting);
}

void
och_urgency_serve(struct och_urgency *urgency)
{
    count_up(urgency, &urgency->n_served);
}

void
och_urgency_served(struct och_urgency *urgency)
{
    count_down(urgency, &urgency->n_served);
}

static bool
is_urgent(const struct och_urgency *urgency)
{
    return atomic_load_explicit(&urgency->n_waiting, memory_order_relaxed) > 0 &&
            atomic_load_explicit(&urgency->n_served, memory_order_relaxed) > 0;
}

static bool
is_stopped(const struct och_pace *pace)
{
    return atomic_load_explicit(&pace->stop, memory_order_relaxed);
}

static uint64_t
now_ns(void)
{
    return och_machine_monotonic_ns(och_machine_posix());
}

/* Rest while somebody waits, but for the turn that long work has. */
static void
give_way(const struct och_pace *pace)
{
    struct och_urgency *urgency = pace->urgency;
    uint64_t begin = now_ns();
    if (begin < atomic_load_explicit(&urgency->its_turn_ns, memory_order_relaxed))
        return;
    uint64_t now = begin;
    uint64_t end = begin + OCH_PACE_REST_MS * NS_PER_MS;
    och_mutex_lock(&urgency->lock);
    while (is_urgent(urgency) && now < end && !is_stopped(pace)) {
        (void) och_cond_wait_for(&urgency->over, &urgency->lock, (end - now) / NS_PER_MS + 1);
        now = now_ns();
    }
    atomic_store_explicit(
            &urgency->its_turn_ns, now + (now - begin) / OCH_PACE_TURN_PART, memory_order_relaxed);
    och_mutex_unlock(&urgency->lock);
}

void
och_pace_begin(struct och_pace *pace)
{
    pace->owner = och_thread_number();
}

bool
och_pace_stopped(struct och_pace *pace)
{
    if (pace == NULL)
        return false;
    if (pace->urgency != NULL && is_urgent(pace->urgency) && pace->owner == och_thread_number())
        give_way(pace);
    return is_stopped(pace);
}
