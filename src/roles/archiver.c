#include "roles/archiver.h"

#include "api/archive.h"
#include "api/db.h"
#include "base/error.h"
#include "base/log.h"

/* A failing archive is asked again this soon, and at least this often. */
#define RETRY_MIN_MS UINT64_C(1000)
#define RETRY_MAX_MS UINT64_C(60000)

/* Twice as long with each failure in a row. */
static uint64_t
retry_after(const struct och_archiver *archiver, uint64_t n_failures)
{
    uint64_t wait_ms = RETRY_MIN_MS;
    uint64_t most = archiver->every_ms < RETRY_MAX_MS ? archiver->every_ms : RETRY_MAX_MS;
    for (uint64_t i = 1; i < n_failures && wait_ms < most; i++)
        wait_ms *= 2;
    return wait_ms < most ? wait_ms : most;
}

/* Returns how long to wait for the next one. */
static uint64_t
copy(struct och_archiver *archiver)
{
    struct och_archive *archive = archiver->db->archive;
    struct ochre_error err;
    uint64_t n_failures = och_archive_state(archive).n_failures;
    if (och_archive_copy(archive, &err) == OCHRE_OK) {
        if (n_failures > 0 && och_log_wants(archiver->log, OCH_LOG_INFO))
            och_log_event(archiver->log, OCH_LOG_INFO, "archive.recovered", "failures=%llu",
                    (unsigned long long) n_failures);
        return archiver->every_ms;
    }
    n_failures = och_archive_state(archive).n_failures;
    if (och_log_wants(archiver->log, OCH_LOG_WARN))
        och_log_event(archiver->log, OCH_LOG_WARN, "archive.failed",
                "failures=%llu log_is=kept reason=\"%s\"", (unsigned long long) n_failures,
                err.message);
    return retry_after(archiver, n_failures);
}

static void
run(void *argument)
{
    struct och_archiver *archiver = argument;
    och_thread_lower_priority();
    och_mutex_lock(&archiver->lock);
    while (!archiver->ends) {
        if (och_cond_wait_for(&archiver->wake, &archiver->lock, archiver->wait_ms))
            continue; /* to end, or for no reason: then the time begins anew */
        och_mutex_unlock(&archiver->lock);
        uint64_t wait_ms = copy(archiver);
        och_mutex_lock(&archiver->lock);
        archiver->wait_ms = wait_ms;
    }
    och_mutex_unlock(&archiver->lock);
}

ochre_status
och_archiver_begin(struct och_archiver *archiver, struct ochre_db *db, uint64_t every_ms,
        const struct och_log *log, struct ochre_error *err)
{
    /* The first one soon: what a crash kept from being copied has waited long enough. */
    *archiver = (struct och_archiver){.db = db,
            .log = log,
            .every_ms = every_ms,
            .wait_ms = every_ms < RETRY_MIN_MS ? every_ms : RETRY_MIN_MS};
    och_mutex_init(&archiver->lock);
    och_cond_init(&archiver->wake);
    ochre_status status = och_thread_start(&archiver->thread, "och-archive", run, archiver, err);
    archiver->has_begun = status == OCHRE_OK;
    if (status != OCHRE_OK) {
        och_cond_clear(&archiver->wake);
        och_mutex_clear(&archiver->lock);
    }
    return status;
}

void
och_archiver_end(struct och_archiver *archiver)
{
    if (!archiver->has_begun)
        return;
    och_mutex_lock(&archiver->lock);
    archiver->ends = true;
    och_cond_signal(&archiver->wake);
    och_mutex_unlock(&archiver->lock);
    och_thread_join(&archiver->thread);
    och_cond_clear(&archiver->wake);
    och_mutex_clear(&archiver->lock);
    archiver->has_begun = false;
}
