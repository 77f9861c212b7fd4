#include "cli/log_stderr.h"

#include <stdio.h>
#include <time.h>

#include "os/clock.h"

/* A line: the time, the level, a name and at most 1,000 bytes of fields. */
enum { LINE_SIZE_MAX = 1200 };

static void
write_line(void *context, och_log_level level, const char *event, const char *fields)
{
    (void) context;
    uint64_t now_ns = och_machine_wall_ns(och_machine_posix());
    time_t seconds = (time_t) (now_ns / 1000000000u);
    unsigned ms = (unsigned) (now_ns / 1000000u % 1000u);
    char time_text[32], line[LINE_SIZE_MAX];
    struct tm utc;
    if (gmtime_r(&seconds, &utc) == NULL ||
            strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        time_text[0] = '\0';
    int size = snprintf(line, sizeof(line), "%s.%03uZ %s %s%s%s\n", time_text, ms,
            och_log_level_name(level), event, fields[0] == '\0' ? "" : " ", fields);
    if (size < 0)
        return;
    size_t length = (size_t) size;
    if (length >= sizeof(line)) {
        length = sizeof(line) - 1;
        line[length - 1] = '\n';
    }
    /* One piece, as standard error has no buffer; nobody is left to tell if it fails. */
    (void) fwrite(line, 1, length, stderr);
}

struct och_log
och_log_stderr(och_log_level level_max)
{
    return (struct och_log){.write = write_line, .level_max = level_max};
}
