#include "support/check.h"

#include <stdio.h>

#include "base/mem.h"

void
check_status(ochre_status status, ochre_status wanted, const struct ochre_error *err,
        const char *file, int line)
{
    if (status == wanted)
        return;
    print_error("%s:%d: status %d (%s), wanted %d: %s\n", file, line, (int) status,
            ochre_status_name(status), (int) wanted, err == NULL ? "" : err->message);
    _fail(file, line);
}

void
check_each_allocation_failing(bool (*body)(struct och_mem *mem))
{
    bool finished = false;
    for (uint64_t n = 1; !finished; n++) {
        struct och_mem mem;
        och_mem_init(&mem, NULL);
        mem.fail_at = n;
        finished = body(&mem);
        check(och_mem_used(&mem) == 0);
        check(n < 100000);
    }
}
