#include "roles/purger.h"

#include "api/ops.h"
#include "base/error.h"
#include "base/log.h"

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
        och_log_event(purger->log, OCH_LOG_INFO, "purge.done", "%s", "");
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
