#include "roles/scrubber.h"

#include <inttypes.h>

#include "api/scrub.h"
#include "base/error.h"
#include "base/log.h"

static void
log_finding(void *context, const struct och_check_finding *finding)
{
    const struct och_scrubber *scrubber = context;
    if (finding->kind != OCH_CHECK_DAMAGE || !och_log_wants(scrubber->log, OCH_LOG_ERROR))
        return;
    och_log_event(scrubber->log, OCH_LOG_ERROR, "scrub.damaged", "path=%s mended=%s reason=\"%s\"",
            finding->path, finding->is_derived ? "true" : "false", finding->message);
}

static bool
wait(void *context, uint64_t ms)
{
    struct och_scrubber *scrubber = context;
    return och_periodic_wait(&scrubber->periodic, ms);
}

static bool
scrub(void *context)
{
    struct och_scrubber *scrubber = context;
    struct ochre_error err;
    struct och_check_totals totals;
    const struct och_scrub_options options = {
            .rate = OCH_SCRUB_RATE, .wait = wait, .report = log_finding, .context = scrubber};
    ochre_status status = och_op_scrub(scrubber->db, &options, &totals, &err);
    bool is_done = status == OCHRE_OK || status == OCHRE_CORRUPT;
    if (is_done && och_log_wants(scrubber->log, OCH_LOG_INFO))
        och_log_event(scrubber->log, OCH_LOG_INFO, "scrub.done",
                "files=%" PRIu64 " bytes=%" PRIu64 " damaged=%" PRIu64, totals.n_files,
                totals.n_bytes, totals.n_damaged);
    else if (!is_done && status != OCHRE_UNAVAILABLE && och_log_wants(scrubber->log, OCH_LOG_WARN))
        och_log_event(scrubber->log, OCH_LOG_WARN, "scrub.failed", "reason=\"%s\"", err.message);
    return is_done;
}

ochre_status
och_scrubber_begin(struct och_scrubber *scrubber, struct ochre_db *db, uint64_t every_ms,
        const struct och_log *log, struct ochre_error *err)
{
    *scrubber = (struct och_scrubber){.db = db, .log = log};
    return och_periodic_begin(&scrubber->periodic, "och-scrub", every_ms, scrub, scrubber, err);
}

void
och_scrubber_end(struct och_scrubber *scrubber)
{
    och_periodic_end(&scrubber->periodic);
}
