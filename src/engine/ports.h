/*
 * ports.h - what an engine needs from the outside, as structs of functions.
 *
 * Whoever composes a process fills these in: files and SQLite on one node,
 * PostgreSQL and S3 in a cluster, simulators in the tests.  The engine cannot
 * tell which.
 */
#ifndef OCH_ENGINE_PORTS_H
#define OCH_ENGINE_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/log_record.h"

struct och_catalog;
struct och_executor;
struct och_kernels;
struct och_buf;
struct och_record_log;
struct och_log_tail;
struct och_machine;
struct och_mem;
struct och_notes;
struct och_vfs;

/*
 * The log: what was promised, in order.
 *
 * Threads: one at a time, but `prepare`, which may run beside the rest.
 */
struct och_log_ops {
    /* Append as one group, durable on OCHRE_OK; sets the records' LSNs.  After
     * an error none of them counts, though a crash may bring them back. */
    ochre_status (*append)(struct och_record_log *log, struct och_log_record *records, size_t n,
            struct ochre_error *err);
    bool (*wants_prepare)(const struct och_record_log *log);
    ochre_status (*prepare)(struct och_record_log *log, struct ochre_error *err);
    /* Keep what is appended from now on apart from what was: so that all of that can be
     * forgotten. */
    void (*roll)(struct och_record_log *log);
    /* Forget records below `lsn`, in whole files. */
    bool (*can_trim)(const struct och_record_log *log, uint64_t lsn);
    ochre_status (*trim)(struct och_record_log *log, uint64_t lsn, struct ochre_error *err);
    uint64_t (*oldest_lsn)(const struct och_record_log *log);
    uint64_t (*next_lsn)(const struct och_record_log *log);
    uint64_t (*size)(const struct och_record_log *log);
    /* Visit the files that hold records, and the bytes of each that count, oldest first. */
    ochre_status (*each_file)(const struct och_record_log *log,
            ochre_status (*visit)(void *context, uint64_t number, uint64_t size), void *context);
    struct och_log_stats (*stats)(const struct och_record_log *log);
    /* Of a log that was opened with records missing: are there any, and may some be the
     * collection's, of which none behind `lsn` was read?  True is remembered with the log. */
    bool (*has_holes)(const struct och_record_log *log);
    bool (*lacks)(struct och_record_log *log, uint32_t collection, uint64_t lsn);
    /* What the opening visited was taken, before the first append.  It may fail, at no loss
     * but where records are missing. */
    ochre_status (*settle)(struct och_record_log *log, struct ochre_error *err);
    /* Note, beside the log, what has not written since the last call (or all) as being at
     * rest.  True: something is not. */
    bool (*rest)(struct och_record_log *log, bool all);
    /* Put what would lie beside the files that each_file visits, for who copies them: where they
     * begin and end, and how far each collection goes (storage/wal_reach.h). */
    void (*put_reach)(const struct och_record_log *log, struct och_buf *out);
    void (*close)(struct och_record_log *log);
};

struct och_record_log {
    const struct och_log_ops *ops;
};

/* Opens the log and visits what is in it; it must reach `lsn_min`.  `passes_holes`: when
 * records are missing, go on, if it can be told what each collection lacks. */
struct och_log_source {
    ochre_status (*open)(void *context, uint64_t lsn_min, bool passes_holes, och_log_visit visit,
            void *visit_context, struct och_record_log **log_out, struct ochre_error *err);
    void *context;
};

/*
 * The log, read while another process writes it (storage/wal_follow.h has the
 * contract).
 *
 * Threads: one at a time.
 */
struct och_log_tail_ops {
    ochre_status (*follow)(struct och_log_tail *tail, bool now, och_log_visit visit, void *context,
            bool *lost_out, struct ochre_error *err);
    ochre_status (*revisit)(struct och_log_tail *tail, uint64_t lsn, och_log_visit visit,
            void *context, bool *lost_out, struct ochre_error *err);
    void (*rewind)(struct och_log_tail *tail);
    uint64_t (*next_lsn)(const struct och_log_tail *tail);
    void (*close)(struct och_log_tail *tail);
};

struct och_log_tail {
    const struct och_log_tail_ops *ops;
};

struct och_ports {
    struct och_mem *mem;
    struct och_vfs *vfs; /* where segments lie */
    const struct och_machine *machine;
    const struct och_kernels *kernels;
    struct och_catalog *catalog;   /* borrowed; closed by the composer */
    struct och_log_source log;     /* or, when another process writes: */
    struct och_log_tail *tail;     /* borrowed; NULL: nobody else does */
    struct och_notes *notes;       /* borrowed: who is told of changes; NULL: nobody (notes.h) */
    struct och_executor *executor; /* NULL: work is done where it arises */
};

#endif /* OCH_ENGINE_PORTS_H */
