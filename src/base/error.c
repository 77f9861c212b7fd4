#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

ochre_status
och_fail(struct ochre_error *err, ochre_status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    va_list args;
    va_start(args, format);
    (void) vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    err->status = status;
    return status;
}

ochre_status
och_fail_memory(struct ochre_error *err)
{
    return och_fail(err, OCHRE_NO_MEMORY, "out of memory, or over the memory limit");
}
