#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS_SIZE_MAX = 1000 };

const char *
och_log_level_name(och_log_level level)
{
    switch (level) {
    case OCH_LOG_ERROR:
        return "error";
    case OCH_LOG_WARN:
        return "warn";
    case OCH_LOG_INFO:
        return "info";
    case OCH_LOG_DEBUG:
        return "debug";
    }
    return "unknown";
}

bool
och_log_wants(const struct och_log *log, och_log_level level)
{
    return log != NULL && level <= log->level_max;
}

void
och_log_event(
        const struct och_log *log, och_log_level level, const char *event, const char *format, ...)
{
    if (!och_log_wants(log, level))
        return;
    char fields[FIELDS_SIZE_MAX + 1];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(fields, sizeof(fields), format, args);
    va_end(args);
    if (size < 0)
        fields[0] = '\0';
    for (char *c = fields; *c != '\0'; c++) {
        if ((unsigned char) *c < ' ' || *c == 0x7f)
            *c = '?'; /* an event is one line */
    }
    log->write(log->context, level, event, fields);
}

/* One byte as it stands in a quoted value; returns its length, 1 to 4. */
static size_t
escape(unsigned char byte, char out[4])
{
    static const char digits[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\') {
        out[0] = '\\';
        out[1] = (char) byte;
        return 2;
    }
    if (byte >= ' ' && byte < 0x7f) {
        out[0] = (char) byte;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
}

const char *
och_log_quote(struct ochre_bytes text, char *out, size_t size)
{
    /* Kept free for the closing quote, the dots of a cut and the NUL. */
    static const char cut[] = "...\"";
    och_assert(size > sizeof(cut));
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0; i < text.size; i++) {
        char bytes[4];
        size_t n_bytes = escape((unsigned char) text.data[i], bytes);
        if (n + n_bytes + sizeof(cut) > size) {
            memcpy(out + n, cut, sizeof(cut));
            return out;
        }
        memcpy(out + n, bytes, n_bytes);
        n += n_bytes;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}
