/*
 * log_file.h - the engine's log port on our write-ahead log files.
 */
#ifndef OCH_DRIVERS_LOG_FILE_H
#define OCH_DRIVERS_LOG_FILE_H

#include "engine/ports.h"
#include "storage/wal.h"

/* A log source that opens the files `options` describe; both are borrowed until
 * the log is closed. */
struct och_log_source och_log_file_source(struct och_wal_options *options);

#endif /* OCH_DRIVERS_LOG_FILE_H */
