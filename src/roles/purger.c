#include "roles/purger.h"

#include "api/ops.h"
#include "base/error.h"
#include "base/log.h"

#define HOUR_MS UINT64_C(3600000)

static uint64_t
at_most_an_hour(uint64_t ms)
{
    return ms < HOUR_MS ? ms : HOUR_MS;
}

/* Returns how long to wait for the next one. */
static uint64_t
purge(struct och_purger *purger)
{
    struct ochre_error err;
    bool was_due = false;
    ochre_status status = och_op_purge_due(purger->db, &was_due, &err);
    if (status != OCHRE_OK && och_log_wants(purger->log, OCH_LOG_WARN))
        och_log_event(purger->log, OCH_LOG_WARN, "purge.failed", "reason=\"%s\"", err.message);
    else if (was_due && och_log_wants(purger->log, OCH_LOG_INFO))
        och_log_event(purger->log, OCH_LOG_INFO, "purge.done", "%s", "");
    return status == OCHRE_OK ? purger->every_ms : at_most_an_hour(purger->every_ms);
}

static void
run(void *argument)
{
    struct och_purger *purger = argument;
    och_thread_lower_priority();
    och_mutex_lock(&purger->lock);
    while (!purger->ends) {
        if (och_cond_wait_for(&purger->wake, &purger->lock, purger->wait_ms))
            continue; /* to end, or for no reason: then the time begins anew */
        och_mutex_unlock(&purger->lock);
        uint64_t wait_ms = purge(purger);
        och_mutex_lock(&purger->lock);
        purger->wait_ms = wait_ms;
    }
    och_mutex_unlock(&purger->lock);
}

ochre_status
och_purger_begin(struct och_purger *purger, struct ochre_db *db, uint64_t every_ms,
        const struct och_log *log, struct ochre_error *err)
{
    *purger = (struct och_purger){
            .db = db, .log = log, .every_ms = every_ms, .wait_ms = at_most_an_hour(every_ms)};
    och_mutex_init(&purger->lock);
    och_cond_init(&purger->wake);
    ochre_status status = och_thread_start(&purger->thread, "och-purge", run, purger, err);
    purger->has_begun = status == OCHRE_OK;
    if (status != OCHRE_OK) {
        och_cond_clear(&purger->wake);
        och_mutex_clear(&purger->lock);
    }
    return status;
}

void
och_purger_end(struct och_purger *purger)
{
    if (!purger->has_begun)
        return;
    och_mutex_lock(&purger->lock);
    purger->ends = true;
    och_cond_signal(&purger->wake);
    och_mutex_unlock(&purger->lock);
    och_thread_join(&purger->thread);
    och_cond_clear(&purger->wake);
    och_mutex_clear(&purger->lock);
    purger->has_begun = false;
}
