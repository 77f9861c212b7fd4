#include "os/process.h"

#include <stdint.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <unistd.h>

size_t
och_process_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);
    return pages <= 0 || page_size <= 0 ? SIZE_MAX : (size_t) pages * (size_t) page_size;
}

void
och_process_return_memory(unsigned n_cpus)
{
#ifdef __GLIBC__
    /* Left to itself glibc takes freed large blocks for a sign to keep such blocks, up to
     * 32 MiB, and has eight heaps a processor: 100 rounds of adding and deleting 5,000
     * records left 89 MiB resident where this leaves 55.  With 256 KiB it was 20, but
     * bodies of requests are larger than that, and loads took 22 % more processor time. */
    /* NOLINTBEGIN(concurrency-mt-unsafe): no thread has been started yet */
    (void) mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
    (void) mallopt(M_ARENA_MAX, (int) (n_cpus < 1 ? 1 : n_cpus));
    /* NOLINTEND(concurrency-mt-unsafe) */
#else
    (void) n_cpus;
#endif
}

void
och_process_trim_memory(void)
{
#ifdef __GLIBC__
    (void) malloc_trim(0);
#endif
}

unsigned long
och_process_id(void)
{
    return (unsigned long) getpid();
}
