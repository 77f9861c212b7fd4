/*
 * config.h - the settings of `ochre run`, and the YAML file they come from.
 *
 * A file holds one mapping.  Chroma's keys mean what they mean there; ours
 * stand beside them; keys that only make sense inside Chroma's server are
 * accepted and do nothing; any other key is an error that names the nearest
 * one.  The README.md beside this file lists them.
 *
 * Threads: one thread at a time.
 */
#ifndef OCH_CLI_CONFIG_H
#define OCH_CLI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/log.h"
#include "ochre/status.h"

struct och_arena;

struct och_config_list {
    const char **texts; /* in the arena */
    size_t n;
};

/* Strings are static, in argv or in the arena. */
struct och_config {
    const char *path; /* persist_path */
    const char *host; /* listen_address */
    uint16_t port;
    size_t body_size_max;           /* max_payload_size_bytes */
    struct och_config_list origins; /* cors_allow_origins */
    bool read_only;
    bool allow_reset;

    const char *backup_dir; /* NULL: none */
    const char *archive;    /* NULL: none */
    const char *user;       /* NULL: the one that started it */
    bool sandbox, core_dumps;
    struct och_config_list hosts; /* allowed_hosts */
    bool insecure_no_auth;
    unsigned purge_hours, retain_seconds, scrub_hours, archive_seconds;
    unsigned n_io_threads; /* io_threads; 0: chosen from the CPUs */
    unsigned n_threads;    /* threads; the same */
    size_t memory_limit;   /* 0: chosen from the machine's memory */
    och_log_level log_level;

    struct och_config_list ignored; /* the keys found that do nothing */
};

struct och_config och_config_defaults(void);

/*
 * Read the file into `config`, over what is there.
 *
 * Errors: OCHRE_INVALID    the file's text is wrong: "FILE:LINE:COLUMN: what"
 *         OCHRE_NOT_FOUND  there is no such file
 *         OCHRE_TOO_LARGE OCHRE_IO OCHRE_NO_MEMORY
 *         after an error `config` may hold some of the file's settings
 */
OCH_MUST_CHECK ochre_status och_config_read(struct och_config *config, struct och_arena *arena,
        const char *file, struct ochre_error *err);

/* The same from memory; `name` stands for the file in messages. */
OCH_MUST_CHECK ochre_status och_config_parse(struct och_config *config, struct och_arena *arena,
        const char *name, const char *text, size_t size, struct ochre_error *err);

/* Read a port from the command line: 0 to 65535. */
OCH_MUST_CHECK bool och_config_port(const char *text, uint16_t *port_out);

/* Read an amount of memory: bytes, or with K, M or G behind it 1024, 1024^2 or
 * 1024^3 of them; within what och_config_memory_range says. */
OCH_MUST_CHECK bool och_config_memory(const char *text, size_t *size_out);
extern const char och_config_memory_range[];

/* "error", "warn", "info" or "debug". */
OCH_MUST_CHECK bool och_config_log_level(const char *text, och_log_level *level_out);

/* Can nobody but this machine reach a server on `host`? */
bool och_config_is_loopback(const char *host);

#endif /* OCH_CLI_CONFIG_H */
