/*
 * main.c - run the sweeps: --crash, --errors, --memory, or all of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash/sqlite_memory.h"
#include "crash/sweep.h"

/* An option that takes a number. */
struct number_option {
    const char *name;
    uint64_t value;
};

enum { OPT_SEED, OPT_OPS, OPT_ONE_IN, OPT_OP, OPT_CALL, OPT_PART, OPT_PARTS, OPT_FAILURES, N_OPTS };

static int
usage(void)
{
    (void) fprintf(stderr,
            "usage: sweep [--crash] [--errors] [--memory] [--seed S] [--ops N]\n"
            "             [--one-in K] [--part I --parts N] [--op I] [--call N] [--failures N]\n"
            "  --one-in K   run one in K of the trials, chosen by the seed\n"
            "  --parts N    only operations that leave --part (0) when divided by N\n"
            "  --op I       only operation I; the number of operations: the first opening\n"
            "  --call N     only call (or allocation) N of it\n");
    return 2;
}

static bool
parse_number(const char *text, uint64_t *value_out)
{
    char *end;
    *value_out = strtoull(text, &end, 10);
    return end != text && *end == '\0';
}

static bool
parse(int argc, char **argv, struct number_option options[N_OPTS], bool wanted[3])
{
    static const char *const sweeps[] = {"--crash", "--errors", "--memory"};
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (size_t s = 0; s < 3; s++) {
            if (strcmp(argv[i], sweeps[s]) == 0)
                wanted[s] = known = true;
        }
        for (size_t o = 0; o < N_OPTS && !known; o++) {
            if (strcmp(argv[i], options[o].name) != 0 || i + 1 == argc)
                continue;
            known = parse_number(argv[++i], &options[o].value);
        }
        if (!known)
            return false;
    }
    if (!wanted[0] && !wanted[1] && !wanted[2])
        wanted[0] = wanted[1] = wanted[2] = true;
    return true;
}

int
main(int argc, char **argv)
{
    struct number_option options[N_OPTS] = {
            [OPT_SEED] = {"--seed", 1},
            [OPT_OPS] = {"--ops", 220},
            [OPT_ONE_IN] = {"--one-in", 1},
            [OPT_OP] = {"--op", SIZE_MAX},
            [OPT_CALL] = {"--call", 0},
            [OPT_PART] = {"--part", 0},
            [OPT_PARTS] = {"--parts", 1},
            [OPT_FAILURES] = {"--failures", 10},
    };
    bool wanted[3] = {false, false, false};
    if (!parse(argc, argv, options, wanted) || options[OPT_PART].value >= options[OPT_PARTS].value)
        return usage();
    (void) setvbuf(stdout, NULL, _IOLBF, 0);
    sqlite_memory_install();
    static struct sweep sweep; /* too big for a stack frame */
    struct sweep_options sweep_options = {.seed = options[OPT_SEED].value,
            .n_ops = (size_t) options[OPT_OPS].value,
            .one_in = options[OPT_ONE_IN].value,
            .only_op = (size_t) options[OPT_OP].value,
            .only_call = options[OPT_CALL].value,
            .part = (size_t) options[OPT_PART].value,
            .n_parts = (size_t) options[OPT_PARTS].value,
            .n_failures_max = (unsigned) options[OPT_FAILURES].value};
    bool right = sweep_open(&sweep, &sweep_options);
    if (right && wanted[0])
        right = sweep_crashes(&sweep);
    sweep.n_points = 0;
    if (right && wanted[1])
        right = sweep_errors(&sweep);
    sweep.n_points = 0;
    if (right && wanted[2])
        right = sweep_memory(&sweep);
    sweep_close(&sweep);
    return right ? 0 : 1;
}
