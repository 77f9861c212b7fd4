#include "os/cpu.h"

#include <sched.h>
#include <stdint.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* Bits of XCR0: the registers whose contents the system saves for us. */
enum {
    XCR0_AVX = 0x06,    /* XMM and YMM */
    XCR0_AVX512 = 0xe6, /* those, mask registers, and both halves of ZMM */
};

static bool
has_all(uint64_t bits, uint64_t wanted)
{
    return (bits & wanted) == wanted;
}

static uint64_t
read_xcr0(void)
{
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t) high << 32 | low;
}

static void
detect_sets(struct och_cpu_sets *sets)
{
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    /* Without OSXSAVE the system saves no AVX state, and xgetbv would trap. */
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !has_all(c, bit_OSXSAVE | bit_AVX))
        return;
    bool fma_f16c = has_all(c, bit_FMA | bit_F16C);
    uint64_t enabled = read_xcr0();
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0)
        return;
    sets->avx2_fma = fma_f16c && has_all(b, bit_AVX2) && has_all(enabled, XCR0_AVX);
    sets->avx512 = sets->avx2_fma && has_all(enabled, XCR0_AVX512) &&
            has_all(b, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL);
    sets->avx512_vnni = sets->avx512 && has_all(c, bit_AVX512VNNI);
}

#else

static void
detect_sets(struct och_cpu_sets *sets)
{
#if defined(__aarch64__)
    sets->neon = true;
#else
    (void) sets;
#endif
}

#endif

/* The affinity mask, which container limits and taskset shrink; a machine with
 * more processors than the mask has bits makes the call fail. */
static unsigned
count_cores(void)
{
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
        int n = CPU_COUNT(&allowed);
        return n > 0 ? (unsigned) n : 1;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned) n : 1;
}

struct och_cpu
och_cpu_detect(void)
{
    struct och_cpu cpu = {.cores = count_cores()};
    detect_sets(&cpu.sets);
    return cpu;
}
