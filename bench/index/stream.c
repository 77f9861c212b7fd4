/*
 * stream.c - how fast memory can be read here: the bound of exact search.
 *
 *      stream MIB [THREADS]
 *
 * Each thread adds up MIB of its own, again and again; prints GB/s in all, the
 * best of seven passes; of one thread by its own clock.  Compile with -O3
 * -march=native.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { N_PASSES = 7, N_THREADS_MAX = 64 };

struct reader {
    const uint64_t *words;
    size_t n_words;
    uint64_t sum;
};

static double
now_s(size_t n_threads)
{
    struct timespec t;
    clock_gettime(n_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static void *
pass(void *argument)
{
    struct reader *reader = argument;
    uint64_t sums[32] = {0}; /* apart from each other: no chain of additions to wait for */
    for (size_t i = 0; i + 32 <= reader->n_words; i += 32) {
        for (size_t j = 0; j < 32; j++)
            sums[j] += reader->words[i + j];
    }
    for (size_t j = 0; j < 32; j++)
        reader->sum += sums[j];
    return NULL;
}

int
main(int argc, char **argv)
{
    size_t size = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1024) << 20;
    size_t n_threads = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct reader readers[N_THREADS_MAX] = {0};
    pthread_t threads[N_THREADS_MAX];
    double best = 0;
    uint64_t sum = 0;
    if (size == 0 || n_threads == 0 || n_threads > N_THREADS_MAX)
        return 2;
    for (size_t i = 0; i < n_threads; i++) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return 1;
        (void) madvise(memory, size, MADV_HUGEPAGE);
        memset(memory, 1, size);
        readers[i] = (struct reader){.words = memory, .n_words = size / sizeof(uint64_t)};
    }
    for (int p = 0; p < N_PASSES; p++) {
        double start = now_s(n_threads);
        for (size_t i = 1; i < n_threads; i++) {
            if (pthread_create(&threads[i], NULL, pass, &readers[i]) != 0)
                return 1;
        }
        pass(&readers[0]);
        for (size_t i = 1; i < n_threads; i++)
            pthread_join(threads[i], NULL);
        double rate = (double) size * (double) n_threads / (now_s(n_threads) - start) / 1e9;
        best = rate > best ? rate : best;
    }
    for (size_t i = 0; i < n_threads; i++)
        sum += readers[i].sum;
    printf("{\"what\": \"stream\", \"mib\": %zu, \"threads\": %zu, \"gbps\": %.2f, \"sum\": %llu}\n",
            size >> 20, n_threads, best, (unsigned long long) sum);
    return 0;
}
