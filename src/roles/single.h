/*
 * single.h - everything in one process: engine, verbs, HTTP.
 *
 * Composition only: it opens the directory, puts the parts together and starts
 * the server.  Signals, arguments and messages are the business of cli/.
 *
 * Threads: open and stop on one thread.
 */
#ifndef OCH_ROLES_SINGLE_H
#define OCH_ROLES_SINGLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_log;
struct och_sandbox;
struct och_single;

struct och_single_options {
    const char *path; /* the data directory; made when it is not there */
    const char *host; /* NULL or "localhost": 127.0.0.1 and ::1 */
    uint16_t port;    /* 0: any free one */
    bool read_only;   /* beside whoever writes to the directory, which must be there */
    bool allow_reset;
    const char *backup_dir;   /* where backups go that clients ask for; NULL: they are refused */
    const char *archive;      /* where the log is archived; NULL: it is not */
    unsigned archive_seconds; /* so far behind it may be; 0: OCH_ARCHIVE_SECONDS */
    unsigned purge_hours;     /* what was deleted is gone from files after so many; 0: when asked */
    unsigned scrub_hours;     /* all files are read again every so many; 0: never */
    unsigned retain_seconds;  /* so much of the past can be read; 0: OCH_RETAIN_SECONDS */
    bool insecure_no_auth;    /* the caller has said that a host without authentication is meant */

    size_t body_size_max;            /* 0: OCH_BODY_SIZE_MAX */
    const char *const *cors_origins; /* NULL: CORS is off */
    size_t n_cors_origins;
    const char *const *allowed_hosts; /* Host headers accepted besides loopback and `host` */
    size_t n_allowed_hosts;

    const char *simd;    /* the instruction set to use; NULL: the best there is */
    size_t memory_limit; /* bytes, SQLite's and RE2's apart; 0: three quarters of the machine's */

    const char *user; /* become this one when the sockets are bound; NULL: stay */
    bool no_sandbox;  /* keep rights, files and system calls */
    bool core_dumps;  /* a crash may leave its memory on the disk */

    unsigned n_io_threads; /* 0: chosen from the CPUs */
    unsigned n_threads;    /* workers; 0: chosen from the CPUs */

    const struct och_log *log; /* may be NULL; outlives the process's work */
};

/* Do the settings make sense, before anything is opened?  OCHRE_INVALID. */
OCH_MUST_CHECK ochre_status och_single_check(
        const struct och_single_options *options, struct ochre_error *err);

/*
 * Bind, give up what a server does not need (os/sandbox.h), open the directory and
 * serve.  The process must have no other thread, and what is given up stays so
 * when this fails.  On success requests are being answered.  The
 * options are borrowed until och_single_stop returns.
 *
 * Errors: OCHRE_BUSY         another process uses the directory; the message has its pid
 *         OCHRE_INVALID      the directory is not ochre's or not this user's, or the host or
 *                            user is unknown
 *         OCHRE_UNAVAILABLE  the port is taken
 *         OCHRE_CORRUPT OCHRE_IO OCHRE_FULL OCHRE_NO_MEMORY  from opening the directory
 */
OCH_MUST_CHECK ochre_status och_single_open(const struct och_single_options *options,
        struct och_single **single_out, struct ochre_error *err);

/* The port it serves on, the instructions it uses and the memory it may take. */
uint16_t och_single_port(const struct och_single *single);
const char *och_single_simd(const struct och_single *single);
size_t och_single_memory_limit(const struct och_single *single);

/* What holds of the sandbox; NULL: it is off. */
const struct och_sandbox *och_single_sandbox(const struct och_single *single);

/*
 * Stop accepting, give requests that have begun up to `limit_ms`, sync and
 * close the directory, free everything.  NULL is fine.
 *
 * Errors: OCHRE_IO  the last sync failed: what was acknowledged is safe, the
 *                   clean shutdown is not
 */
OCH_MUST_CHECK ochre_status och_single_stop(
        struct och_single *single, uint64_t limit_ms, struct ochre_error *err);

#endif /* OCH_ROLES_SINGLE_H */
