#include "roles/single.h"

#include "api/db.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "http/listen.h"
#include "http/routes.h"
#include "http/server.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/executor.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "os/tidy.h"
#include "os/vfs_posix.h"
#include "roles/archiver.h"
#include "roles/purger.h"
#include "roles/scrubber.h"

/* Writers wait for the disk together; so many of them can share one sync. */
#define WORKERS_MIN 24u
/* A seal, which writers may come to wait for, never queues behind one long merge
 * or index build. */
#define BACKGROUND_MIN 2u
/* How often to look whether there is freed memory to give back. */
#define TIDY_PERIOD_MS UINT64_C(250)

struct och_single {
    struct och_mem mem; /* the process */
    const struct och_kernels *kernels;
    struct och_vfs *vfs;
    struct och_executor *workers;    /* run handlers: clients wait for these */
    struct och_executor *background; /* seals, builds, prepares log files */
    struct och_tidy *tidy;
    struct ochre_db *db;
    struct och_vfs *archive; /* owned; NULL: there is none */
    struct och_purger purger;
    struct och_scrubber scrubber;
    struct och_archiver archiver;
    struct och_routes_context routes;
    struct och_http_server *server;
    struct och_http_listeners listeners; /* until the server takes them over */
    struct och_sandbox sandbox;
    bool is_confined;
};

static ochre_status
choose_kernels(const struct och_single_options *options, const struct och_kernels **kernels_out,
        struct ochre_error *err)
{
    struct och_cpu_sets sets = och_cpu_detect().sets;
    const struct och_machine *machine = och_machine_posix();
    if (options->simd != NULL)
        return och_kernels_want(sets, "OCHRE_SIMD", options->simd, kernels_out, err);
    *kernels_out = och_kernels_fastest(sets, machine->monotonic_ns, machine->context);
    return OCHRE_OK;
}

/* The backups' directory has to be there to be let through. */
static ochre_status
make_backup_dir(struct och_single *single, const char *path, struct ochre_error *err)
{
    struct och_vfs *backups = NULL;
    ochre_status status = och_sandbox_may_use(path, false, err);
    if (status == OCHRE_OK)
        status = och_vfs_posix_open(&single->mem, path, true, &backups, err);
    if (status == OCHRE_OK)
        och_vfs_posix_close(backups);
    return status;
}

/* Open the directory with the rights that are left, then close the door. */
static ochre_status
confine(struct och_single *single, const struct och_single_options *options,
        struct ochre_error *err)
{
    const struct och_sandbox_rights rights = {
            .user = options->user, .keep = options->no_sandbox, .core_dumps = options->core_dumps};
    ochre_status status = och_sandbox_give_up(&rights, err);
    if (status == OCHRE_OK)
        status = och_sandbox_may_use(options->path, options->read_only, err);
    if (status == OCHRE_OK)
        status = och_vfs_posix_open(
                &single->mem, options->path, !options->read_only, &single->vfs, err);
    if (status == OCHRE_OK && options->archive != NULL && !options->read_only) {
        status = och_sandbox_may_use(options->archive, false, err);
        if (status == OCHRE_OK)
            status =
                    och_vfs_posix_open(&single->mem, options->archive, true, &single->archive, err);
    }
    if (status != OCHRE_OK || options->no_sandbox)
        return status;
    const char *dirs[3] = {options->path};
    size_t n_dirs = 1;
    if (options->backup_dir != NULL && !options->read_only) {
        status = make_backup_dir(single, options->backup_dir, err);
        dirs[n_dirs++] = options->backup_dir;
    }
    if (single->archive != NULL)
        dirs[n_dirs++] = options->archive;
    if (status == OCHRE_OK)
        status = och_sandbox_enter(dirs, n_dirs, options->read_only, &single->sandbox, err);
    single->is_confined = status == OCHRE_OK;
    return status;
}

static ochre_status
open_database(struct och_single *single, const struct och_single_options *options,
        struct ochre_error *err)
{
    struct och_cpu cpu = och_cpu_detect();
    ochre_status status = choose_kernels(options, &single->kernels, err);
    unsigned n_background = cpu.cores / 2 > BACKGROUND_MIN ? cpu.cores / 2 : BACKGROUND_MIN;
    if (status == OCHRE_OK)
        status = och_executor_open(&single->mem, 0, n_background, &single->background, err);
    if (status == OCHRE_OK &&
            och_tidy_open(single->background, &single->mem, TIDY_PERIOD_MS, &single->tidy) !=
                    OCHRE_OK)
        status = och_fail_memory(err);
    if (status != OCHRE_OK)
        return status;
    struct och_db_options db_options = {.mem = &single->mem,
            .vfs = single->vfs,
            .machine = och_machine_posix(),
            .kernels = single->kernels,
            .log = options->log,
            .executor = single->background,
            .n_cpus = cpu.cores,
            .create = !options->read_only,
            .read_only = options->read_only,
            .allow_reset = options->allow_reset,
            .backup_dir = options->backup_dir,
            .archive = single->archive,
            .engine = {.retain_s = options->retain_seconds}};
    return och_db_open(&db_options, &single->db, err);
}

static ochre_status
open_server(struct och_single *single, const struct och_single_options *options,
        struct ochre_error *err)
{
    struct och_cpu cpu = och_cpu_detect();
    unsigned n_workers = options->n_threads;
    if (n_workers == 0)
        n_workers = cpu.cores * 2 > WORKERS_MIN ? cpu.cores * 2 : WORKERS_MIN;
    ochre_status status = och_executor_open(&single->mem, n_workers, 0, &single->workers, err);
    if (status != OCHRE_OK)
        return status;
    single->routes.db = single->db;
    struct och_http_options http = {.mem = &single->mem,
            .executor = single->workers,
            .machine = och_machine_posix(),
            .log = options->log,
            .routes = och_routes,
            .n_routes = och_routes_count,
            .context = &single->routes,
            .host = options->host,
            .port = options->port,
            .listeners = &single->listeners,
            .hosts = {options->allowed_hosts, options->n_allowed_hosts},
            .origins = {options->cors_origins, options->n_cors_origins},
            .n_threads = options->n_io_threads == 0 ? cpu.cores : options->n_io_threads,
            .body_size_max = options->body_size_max};
    return och_http_server_open(&http, &single->server, err);
}

/*
 * The sockets come first, because binding may take rights that are given up, and
 * the first thread last.  A port that is taken is told only when the directory
 * could be had: of two servers started the same way, the second's trouble is that
 * its data is in use.
 */
static ochre_status
open_parts(struct och_single *single, const struct och_single_options *options,
        struct ochre_error *err)
{
    struct ochre_error bind_err = {0};
    ochre_status bound =
            och_http_listeners_bind(&single->listeners, options->host, options->port, &bind_err);
    ochre_status status = confine(single, options, err);
    if (status == OCHRE_OK)
        status = open_database(single, options, err);
    if (status == OCHRE_OK && bound != OCHRE_OK) {
        *err = bind_err;
        status = bound;
    }
    if (status == OCHRE_OK && och_db_lacks_log(single->db) &&
            och_log_wants(options->log, OCH_LOG_WARN))
        och_log_event(options->log, OCH_LOG_WARN, "log.damaged",
                "advice=\"collections that may lack records say so; see `ochre check`, `ochre repair`\"");
    bool purges = options->purge_hours > 0 && !options->read_only;
    if (status == OCHRE_OK && purges)
        status = och_purger_begin(&single->purger, single->db,
                (uint64_t) options->purge_hours * 3600 * 1000, options->log, err);
    bool scrubs = options->scrub_hours > 0 && !options->read_only;
    if (status == OCHRE_OK && scrubs)
        status = och_scrubber_begin(&single->scrubber, single->db,
                (uint64_t) options->scrub_hours * 3600 * 1000, options->log, err);
    unsigned seconds =
            options->archive_seconds == 0 ? OCH_ARCHIVE_SECONDS : options->archive_seconds;
    if (status == OCHRE_OK && single->archive != NULL)
        status = och_archiver_begin(
                &single->archiver, single->db, (uint64_t) seconds * 1000, options->log, err);
    return status == OCHRE_OK ? open_server(single, options, err) : status;
}

/* Take down what was put up, the last first. */
static void
close_parts(struct och_single *single, uint64_t limit_ms)
{
    och_db_give_up(single->db);
    och_purger_end(&single->purger); /* which may be at it */
    och_scrubber_end(&single->scrubber);
    och_archiver_end(&single->archiver);
    och_http_server_stop(single->server, limit_ms);
    och_http_listeners_close(&single->listeners);
    och_executor_close(single->workers);
    och_db_close(single->db);
    och_tidy_close(single->tidy);
    och_executor_close(single->background);
    och_vfs_posix_close(single->archive);
    if (single->vfs != NULL)
        och_vfs_posix_close(single->vfs);
}

ochre_status
och_single_check(const struct och_single_options *options, struct ochre_error *err)
{
    const struct och_kernels *kernels;
    return och_kernels_want(och_cpu_detect().sets, "OCHRE_SIMD", options->simd, &kernels, err);
}

ochre_status
och_single_open(const struct och_single_options *options, struct och_single **single_out,
        struct ochre_error *err)
{
    *single_out = NULL;
    struct och_mem root;
    och_mem_init(&root, NULL);
    struct och_single *single = och_mem_take_zeroed(&root, sizeof(*single));
    if (single == NULL)
        return och_fail_memory(err);
    single->mem = root;
    /* A request is refused before the machine is short of memory for all. */
    single->mem.limit = options->memory_limit;
    if (options->memory_limit == 0)
        single->mem.limit = och_process_machine_memory() / 4 * 3;
    ochre_status status = open_parts(single, options, err);
    if (status != OCHRE_OK) {
        close_parts(single, 0);
        root = single->mem;
        och_mem_release(&root, single, sizeof(*single));
        return status;
    }
    *single_out = single;
    return OCHRE_OK;
}

uint16_t
och_single_port(const struct och_single *single)
{
    return och_http_server_port(single->server);
}

const char *
och_single_simd(const struct och_single *single)
{
    return single->kernels->name;
}

size_t
och_single_memory_limit(const struct och_single *single)
{
    return single->mem.limit;
}

const struct och_sandbox *
och_single_sandbox(const struct och_single *single)
{
    return single->is_confined ? &single->sandbox : NULL;
}

ochre_status
och_single_stop(struct och_single *single, uint64_t limit_ms, struct ochre_error *err)
{
    (void) err;
    if (single == NULL)
        return OCHRE_OK;
    close_parts(single, limit_ms);
    struct och_mem root = single->mem;
    och_mem_release(&root, single, sizeof(*single));
    och_assert(och_mem_used(&root) == 0);
    return OCHRE_OK;
}
