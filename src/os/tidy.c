#include "os/tidy.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "base/pages.h"
#include "os/executor.h"
#include "os/process.h"
#include "os/thread.h"

/* So much less than lately is held: worth a millisecond. */
#define DROP_MIN ((size_t) 2 << 20)

struct och_tidy {
    struct och_task task; /* first: the executor hands back its address */
    struct och_executor *executor;
    struct och_mem *mem;
    uint64_t period_ms;
    struct och_tidy_view view; /* of whoever looks */
    struct och_mutex lock;
    struct och_cond ended;
    bool is_armed OCH_GUARDED_BY(lock); /* the task waits, or runs */
    bool closes OCH_GUARDED_BY(lock);
};

bool
och_tidy_is_time(struct och_tidy_view *view, const struct och_mem *mem)
{
    size_t used = och_mem_used_among_others(mem);
    uint64_t n_grants = atomic_load_explicit(&mem->n_grants, memory_order_relaxed);
    bool is_busy = n_grants - view->n_grants > OCH_TIDY_QUIET_GRANTS;
    view->n_quiet = is_busy ? 0 : view->n_quiet + 1;
    view->is_due |= is_busy;
    view->n_grants = n_grants;
    if (used > view->most)
        view->most = used;
    bool is_quiet = view->n_quiet >= OCH_TIDY_QUIET_LOOKS;
    if (view->most - used < DROP_MIN && !(is_quiet && view->is_due))
        return false;
    view->most = used;
    view->is_due = false;
    return true;
}

static void
run(struct och_task *task)
{
    struct och_tidy *tidy = (struct och_tidy *) task;
    och_pages_look();
    if (och_tidy_is_time(&tidy->view, tidy->mem))
        och_process_trim_memory();
    och_mutex_lock(&tidy->lock);
    tidy->is_armed = !tidy->closes;
    if (tidy->is_armed)
        och_executor_submit_later(tidy->executor, &tidy->task, tidy->period_ms);
    else
        och_cond_broadcast(&tidy->ended);
    och_mutex_unlock(&tidy->lock);
}

ochre_status
och_tidy_open(struct och_executor *executor, struct och_mem *mem, uint64_t period_ms,
        struct och_tidy **tidy_out)
{
    struct och_tidy *tidy = och_mem_take_zeroed(mem, sizeof(*tidy));
    *tidy_out = tidy;
    if (tidy == NULL)
        return OCHRE_NO_MEMORY;
    tidy->task.run = run;
    tidy->executor = executor;
    tidy->mem = mem;
    tidy->period_ms = period_ms;
    och_mutex_init(&tidy->lock);
    och_cond_init(&tidy->ended);
    och_mutex_lock(&tidy->lock);
    tidy->is_armed = true;
    och_executor_submit_later(executor, &tidy->task, period_ms);
    och_mutex_unlock(&tidy->lock);
    return OCHRE_OK;
}

void
och_tidy_close(struct och_tidy *tidy)
{
    if (tidy == NULL)
        return;
    och_mutex_lock(&tidy->lock);
    tidy->closes = true;
    if (och_executor_cancel(tidy->executor, &tidy->task))
        tidy->is_armed = false;
    while (tidy->is_armed)
        och_cond_wait(&tidy->ended, &tidy->lock);
    och_mutex_unlock(&tidy->lock);
    och_cond_clear(&tidy->ended);
    och_mutex_clear(&tidy->lock);
    och_mem_release(tidy->mem, tidy, sizeof(*tidy));
}
