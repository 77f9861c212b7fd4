/*
 * log.h - events for whoever runs the process.
 *
 * An event has a level, a stable dotted name and fields as "key=value" text:
 *
 *      och_log_event(log, OCH_LOG_INFO, "segment.merge.done", "rows=%u ms=%u", rows, ms);
 *
 * The library is silent unless it is given a log.  Log where a failure is
 * handled, once.  Never log vectors, documents, metadata values or credentials.
 *
 * Threads: any; `write` may be called by several threads at once.
 */
#ifndef OCH_BASE_LOG_H
#define OCH_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "ochre/types.h"

typedef enum och_log_level {
    OCH_LOG_ERROR = 0, /* someone must act */
    OCH_LOG_WARN,      /* someone should look */
    OCH_LOG_INFO,      /* state changed */
    OCH_LOG_DEBUG,     /* one request */
} och_log_level;

struct och_log {
    /* `fields` is "" or "key=value key=value", without a line break. */
    void (*write)(void *context, och_log_level level, const char *event, const char *fields);
    void *context;
    och_log_level level_max; /* events above it are dropped unformatted */
};

const char *och_log_level_name(och_log_level level);

/* Does `log` (may be NULL) want events of this level? */
bool och_log_wants(const struct och_log *log, och_log_level level);

/* Report an event.  Fields over 1,000 bytes are cut; control bytes become "?". */
void och_log_event(const struct och_log *log, och_log_level level, const char *event,
        const char *format, ...) OCH_PRINTF(4, 5);

/*
 * `text` as the value of a field: "quoted", with quotes, backslashes and bytes
 * outside printable ASCII escaped, cut with "..." where it does not fit.
 */
const char *och_log_quote(struct ochre_bytes text, char *out, size_t size);

#endif /* OCH_BASE_LOG_H */
