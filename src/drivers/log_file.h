/*
 * log_file.h - the engine's log port on our write-ahead log files.
 */
#ifndef OCH_DRIVERS_LOG_FILE_H
#define OCH_DRIVERS_LOG_FILE_H

#include "base/compiler.h"
#include "engine/ports.h"
#include "storage/wal.h"

/* A log source that opens the files `options` describe; both are borrowed until
 * the log is closed. */
struct och_log_source och_log_file_source(struct och_wal_options *options);

/* The log that `options` describe, which another process writes.  They are copied. */
OCH_MUST_CHECK ochre_status och_log_file_tail(const struct och_wal_options *options,
        struct och_log_tail **tail_out, struct ochre_error *err);

#endif /* OCH_DRIVERS_LOG_FILE_H */
