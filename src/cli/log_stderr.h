/*
 * log_stderr.h - events as lines on standard error.
 *
 *      2026-03-01T12:00:00.123Z info server.ready port=8000
 *
 * Threads: any; a line is written in one piece.
 */
#ifndef OCH_CLI_LOG_STDERR_H
#define OCH_CLI_LOG_STDERR_H

#include "base/log.h"

struct och_log och_log_stderr(och_log_level level_max);

#endif /* OCH_CLI_LOG_STDERR_H */
