#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/log_stderr.h"
#include "os/cpu.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "roles/single.h"

/* What requests that have begun get after the first SIGTERM. */
#define STOP_LIMIT_MS UINT64_C(10000)

enum {
    KEY_PATH = 256, /* above every character: no short options */
    KEY_HOST,
    KEY_PORT,
    KEY_READ_ONLY,
    KEY_ALLOW_RESET,
    KEY_BACKUP_DIR,
    KEY_INSECURE,
    KEY_USER,
    KEY_NO_SANDBOX,
    KEY_CORE_DUMPS,
    KEY_ARCHIVE,
    KEY_CONFIG,
    KEY_MEMORY_LIMIT,
    KEY_LOG_LEVEL
};

/* What the command line says; it goes over what the file says. */
struct arguments {
    const char *path, *host, *config_file, *backup_dir, *archive, *user;
    uint16_t port;
    size_t memory_limit; /* 0: not given */
    och_log_level log_level;
    bool has_port, has_log_level, read_only, allow_reset, insecure_no_auth, no_sandbox, core_dumps;
};

static const struct argp_option options[] = {
        {"path", KEY_PATH, "DIR", 0, "Keep data in DIR (./ochre-data)", 0},
        {"host", KEY_HOST, "HOST", 0, "Listen on HOST (localhost: 127.0.0.1 and ::1)", 0},
        {"port", KEY_PORT, "PORT", 0, "Listen on PORT (8000); 0 takes any free one", 0},
        {"read-only", KEY_READ_ONLY, NULL, 0,
                "Only read DIR, beside the process that writes to it, if there is one", 0},
        {"allow-reset", KEY_ALLOW_RESET, NULL, 0, "Let clients delete everything at once", 0},
        {"backup-dir", KEY_BACKUP_DIR, "DIR", 0,
                "Back up into DIR when a client posts to /ochre/v1/backup", 0},
        {"archive", KEY_ARCHIVE, "DIR", 0,
                "Archive the log in DIR, for restoring to a point in time", 0},
        {"insecure-no-auth", KEY_INSECURE, NULL, 0,
                "Serve HOST though everybody who reaches it may do everything", 0},
        {"user", KEY_USER, "USER", 0,
                "When started by root, become USER (a name or number) when the port is bound", 0},
        {"no-sandbox", KEY_NO_SANDBOX, NULL, 0,
                "Keep rights, files and system calls that a server does not need", 0},
        {"core-dumps", KEY_CORE_DUMPS, NULL, 0, "Let a crash leave its memory on the disk", 0},
        {"config", KEY_CONFIG, "FILE", 0, "Read settings from FILE (YAML)", 0},
        {"memory-limit", KEY_MEMORY_LIMIT, "SIZE", 0,
                "Take at most SIZE of memory, as in 512M or 4G (3/4 of the machine's)", 0},
        {"log-level", KEY_LOG_LEVEL, "LEVEL", 0, "error, warn, info (default) or debug", 0},
        {0},
};

static void
set_config_file(struct arguments *arguments, const char *file, struct argp_state *state)
{
    if (arguments->config_file != NULL)
        och_command_usage(
                state, "two configuration files: \"%s\" and \"%s\"", arguments->config_file, file);
    arguments->config_file = file;
}

static error_t
parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case KEY_PATH:
        arguments->path = argument;
        return 0;
    case KEY_HOST:
        arguments->host = argument;
        return 0;
    case KEY_PORT:
        arguments->has_port = true;
        if (!och_config_port(argument, &arguments->port))
            och_command_usage(state, "port \"%s\" is not a number from 0 to 65535", argument);
        return 0;
    case KEY_READ_ONLY:
        arguments->read_only = true;
        return 0;
    case KEY_ALLOW_RESET:
        arguments->allow_reset = true;
        return 0;
    case KEY_BACKUP_DIR:
        arguments->backup_dir = argument;
        return 0;
    case KEY_ARCHIVE:
        arguments->archive = argument;
        return 0;
    case KEY_INSECURE:
        arguments->insecure_no_auth = true;
        return 0;
    case KEY_USER:
        arguments->user = argument;
        return 0;
    case KEY_NO_SANDBOX:
        arguments->no_sandbox = true;
        return 0;
    case KEY_CORE_DUMPS:
        arguments->core_dumps = true;
        return 0;
    case KEY_MEMORY_LIMIT:
        if (!och_config_memory(argument, &arguments->memory_limit))
            och_command_usage(
                    state, "memory limit \"%s\" is not %s", argument, och_config_memory_range);
        return 0;
    case KEY_LOG_LEVEL:
        arguments->has_log_level = true;
        if (!och_config_log_level(argument, &arguments->log_level))
            och_command_usage(
                    state, "log level \"%s\" is not error, warn, info or debug", argument);
        return 0;
    case KEY_CONFIG:
    case ARGP_KEY_ARG:
        set_config_file(arguments, argument, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "[CONFIG.yaml]",
        .doc = "Serve the Chroma HTTP API from a data directory."
               "\vWhat the command line says goes over what the file says.  SIGTERM and SIGINT "
               "finish the requests that have begun, sync and exit; a second one exits at once."
               "\n\nThe variable OCHRE_SIMD names the instruction set to use: scalar, avx2, avx512, "
               "avx512_vnni or neon."
               "\n\nExit status: 0 stopped, 1 failed, 2 wrong arguments or settings, 73 the "
               "directory is in use.",
};

/* --- settings ------------------------------------------------------------------- */

static bool
load_config(const struct arguments *arguments, struct och_arena *arena, struct och_config *config)
{
    struct ochre_error err;
    *config = och_config_defaults();
    if (arguments->config_file != NULL &&
            och_config_read(config, arena, arguments->config_file, &err) != OCHRE_OK) {
        och_command_complain("%s", err.message);
        return false;
    }
    config->path = arguments->path != NULL ? arguments->path : config->path;
    config->host = arguments->host != NULL ? arguments->host : config->host;
    config->port = arguments->has_port ? arguments->port : config->port;
    if (arguments->memory_limit > 0)
        config->memory_limit = arguments->memory_limit;
    config->log_level = arguments->has_log_level ? arguments->log_level : config->log_level;
    if (arguments->backup_dir != NULL)
        config->backup_dir = arguments->backup_dir;
    if (arguments->archive != NULL)
        config->archive = arguments->archive;
    if (arguments->user != NULL)
        config->user = arguments->user;
    config->sandbox &= !arguments->no_sandbox;
    config->core_dumps |= arguments->core_dumps;
    config->read_only |= arguments->read_only;
    config->allow_reset |= arguments->allow_reset;
    config->insecure_no_auth |= arguments->insecure_no_auth;

    if (och_config_is_loopback(config->host) || config->insecure_no_auth)
        return true;
    och_command_complain(
            "refusing to listen on \"%s\": there is no authentication yet, so everybody who "
            "reaches that address could read and delete everything.  Listen on localhost and put "
            "a proxy that checks its callers in front; or, if that is what you want, say "
            "--insecure-no-auth",
            config->host);
    return false;
}

/* One warning for all keys that do nothing. */
static void
warn_ignored(const struct och_log *log, const struct och_config *config)
{
    char names[400];
    size_t size = 0;
    for (size_t i = 0; i < config->ignored.n; i++) {
        const char *name = config->ignored.texts[i];
        size_t name_size = strlen(name);
        if (size + name_size + 2 > sizeof(names))
            break;
        if (i > 0)
            names[size++] = ',';
        memcpy(names + size, name, name_size);
        size += name_size;
    }
    names[size] = '\0';
    if (size > 0)
        och_log_event(log, OCH_LOG_WARN, "config.ignored",
                "keys=%s reason=\"these settings do nothing here\"", names);
}

/* --- the process ------------------------------------------------------------------ */

/* Signals that end us wait in the main thread's sigwait: blocked before any
 * thread starts, so that all inherit it. */
static void
block_signals(sigset_t *set)
{
    struct sigaction hangup;
    (void) sigemptyset(set);
    (void) sigaddset(set, SIGTERM);
    (void) sigaddset(set, SIGINT);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        (void) sigaddset(set, SIGHUP); /* ignored under nohup, and stays so */
    (void) pthread_sigmask(SIG_BLOCK, set, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigaction(SIGPIPE, &ignore, NULL); /* a client that left is an error code */
}

/* From now on the next signal ends the process where it stands, which is as
 * safe as losing power: what was acknowledged is in the log. */
static void
let_signals_kill(const sigset_t *set)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (sigismember(set, signals[i]) == 1)
            (void) sigaction(signals[i], &standard, NULL);
    }
    (void) pthread_sigmask(SIG_UNBLOCK, set, NULL);
}

static int
wait_for_signal(const sigset_t *set)
{
    int received = 0;
    while (sigwait(set, &received) != 0)
        continue; /* only EINTR can happen: the set is valid */
    return received;
}

/* Set to nothing is not set. */
static const char *
simd_wanted(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread has been started yet */
    const char *simd = getenv("OCHRE_SIMD");
    return simd == NULL || simd[0] == '\0' ? NULL : simd;
}

static const char *
sandbox_name(const struct och_sandbox *sandbox)
{
    if (sandbox == NULL)
        return "off";
    if (sandbox->files_missing == NULL)
        return sandbox->calls_missing == NULL ? "on" : "files";
    return sandbox->calls_missing == NULL ? "calls" : "rights";
}

/* The server is less confined than was asked for: what is not, and why. */
static void
warn_sandbox(const struct och_log *log, const struct och_sandbox *sandbox)
{
    if (sandbox != NULL && sandbox->files_missing != NULL)
        och_log_event(log, OCH_LOG_WARN, "server.sandbox", "missing=files reason=\"%s\"",
                sandbox->files_missing);
    if (sandbox != NULL && sandbox->calls_missing != NULL)
        och_log_event(log, OCH_LOG_WARN, "server.sandbox", "missing=calls reason=\"%s\"",
                sandbox->calls_missing);
}

static och_exit
serve(const struct och_config *config, const struct och_log *log)
{
    const struct och_single_options single_options = {
            .path = config->path,
            .host = config->host,
            .port = config->port,
            .read_only = config->read_only,
            .allow_reset = config->allow_reset,
            .backup_dir = config->backup_dir,
            .archive = config->archive,
            .archive_seconds = config->archive_seconds,
            .purge_hours = config->purge_hours,
            .retain_seconds = config->retain_seconds,
            .scrub_hours = config->scrub_hours,
            .insecure_no_auth = config->insecure_no_auth,
            .user = config->user,
            .no_sandbox = !config->sandbox,
            .core_dumps = config->core_dumps,
            .body_size_max = config->body_size_max,
            .cors_origins = config->origins.texts,
            .n_cors_origins = config->origins.n,
            .allowed_hosts = config->hosts.texts,
            .n_allowed_hosts = config->hosts.n,
            .simd = simd_wanted(),
            .memory_limit = config->memory_limit,
            .n_io_threads = config->n_io_threads,
            .n_threads = config->n_threads,
            .log = log,
    };
    struct ochre_error err = {0};
    struct och_single *single;
    char host[300], path[400];
    sigset_t signals;
    if (och_single_check(&single_options, &err) != OCHRE_OK) {
        och_command_complain("%s", err.message);
        return OCH_EXIT_USAGE;
    }
    och_process_return_memory(och_cpu_detect().cores);
    block_signals(&signals);

    ochre_status status = och_single_open(&single_options, &single, &err);
    if (status != OCHRE_OK) {
        och_command_complain("%s", err.message);
        return status == OCHRE_BUSY ? OCH_EXIT_IN_USE : OCH_EXIT_FAILURE;
    }
    och_log_event(log, OCH_LOG_INFO, "server.ready",
            "host=%s port=%u path=%s simd=%s memory_limit=%zu sandbox=%s",
            och_log_quote(
                    (struct ochre_bytes){config->host, strlen(config->host)}, host, sizeof(host)),
            (unsigned) och_single_port(single),
            och_log_quote(
                    (struct ochre_bytes){config->path, strlen(config->path)}, path, sizeof(path)),
            och_single_simd(single), och_single_memory_limit(single),
            sandbox_name(och_single_sandbox(single)));
    warn_sandbox(log, och_single_sandbox(single));
    if (!och_config_is_loopback(config->host))
        och_log_event(log, OCH_LOG_WARN, "server.open",
                "reason=\"everybody who reaches this address may do everything\"");

    int received = wait_for_signal(&signals);
    let_signals_kill(&signals);
    och_log_event(log, OCH_LOG_INFO, "server.stopping", "signal=%s",
            received == SIGINT           ? "INT"
                    : received == SIGHUP ? "HUP"
                                         : "TERM");
    status = och_single_stop(single, STOP_LIMIT_MS, &err);
    if (status != OCHRE_OK) {
        och_command_complain("%s", err.message);
        return OCH_EXIT_FAILURE;
    }
    och_log_event(log, OCH_LOG_INFO, "server.stopped", "%s", "");
    return OCH_EXIT_OK;
}

static och_exit
run(int argc, char **argv)
{
    struct arguments arguments = {0};
    if (!och_command_parse(&argp, argc, argv, &arguments))
        return OCH_EXIT_USAGE;

    struct och_mem mem;
    struct och_arena arena;
    struct och_config config;
    och_exit exit_code = OCH_EXIT_USAGE;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    (void) umask(077); /* data is its owner's */
    och_command_raise_descriptor_limit();
    if (load_config(&arguments, &arena, &config)) {
        const struct och_log log = och_log_stderr(config.log_level);
        warn_ignored(&log, &config);
        exit_code = serve(&config, &log);
    }
    och_arena_clear(&arena);
    return exit_code;
}

const struct och_command och_command_run = {
        .name = "run",
        .alias = "serve",
        .summary = "serve a data directory over HTTP",
        .argp = &argp,
        .run = run,
};
