#include "roles/purger.h"

#include <inttypes.h>

#include "api/ops.h"
#include "base/error.h"
#include "base/log.h"

/* Of pins only where there are some: what they show is kept. */
static void
log_done(const struct och_purger *purger)
{
    uint64_t n_pins = 0;
    ochre_status status = och_op_pin_count(purger->db, &n_pins, NULL);
    if (status == OCHRE_OK && n_pins > 0)
        och_log_event(purger->log, OCH_LOG_INFO, "purge.done", "pins=%" PRIu64, n_pins);
    else
        och_log_event(purger->log, OCH_LOG_INFO, "purge.done", "%s", "");
}

static bool
purge(void *context)
{
    const struct och_purger *purger = context;
    struct ochre_error err;
    bool was_due = false;
    ochre_status status = och_op_purge_due(purger->db, &was_due, &err);
    if (status != OCHRE_OK && och_log_wants(purger->log, OCH_LOG_WARN))
        och_log_event(purger->log, OCH_LOG_WARN, "purge.failed", "reason=\"%s\"", err.message);
    else if (was_due && och_log_wants(purger->log, OCH_LOG_INFO))
        log_done(purger);
    return status == OCHRE_OK;
}

ochre_status
och_purger_begin(struct och_purger *purger, struct ochre_db *db, uint64_t every_ms,
        const struct och_log *log, struct ochre_error *err)
{
    *purger = (struct och_purger){.db = db, .log = log};
    return och_periodic_begin(&purger->periodic, "och-purge", every_ms, purge, purger, err);
}

void
och_purger_end(struct och_purger *purger)
{
    och_periodic_end(&purger->periodic);
}
