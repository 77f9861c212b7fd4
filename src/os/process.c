#include "os/process.h"

#include <stdint.h>
#include <unistd.h>

size_t
och_process_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);
    return pages <= 0 || page_size <= 0 ? SIZE_MAX : (size_t) pages * (size_t) page_size;
}

unsigned long
och_process_id(void)
{
    return (unsigned long) getpid();
}
