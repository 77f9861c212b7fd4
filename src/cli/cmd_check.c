#include <inttypes.h>
#include <stdio.h>

#include "api/check.h"
#include "cli/command.h"

struct arguments {
    char *path; /* in argv */
    bool quiet, json;
    bool has_found; /* something, so far */
};

static const struct argp_option options[] = {
        {"quiet", 'q', NULL, 0, "Print the last line only", 0},
        {"json", 'j', NULL, 0, "Print findings and result as one JSON object", 0},
        {0},
};

static error_t
parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    if (key == 'q') {
        arguments->quiet = true;
        return 0;
    }
    if (key == 'j') {
        arguments->json = true;
        return 0;
    }
    if (key == ARGP_KEY_ARG && state->arg_num == 0) {
        arguments->path = argument;
        return 0;
    }
    if (key == ARGP_KEY_ARG)
        och_command_usage(state, "one directory at a time");
    if (key == ARGP_KEY_NO_ARGS)
        och_command_usage(state, "which directory?");
    return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR",
        .doc = "Read every byte of the data directory DIR, verify every checksum, and compare "
               "the catalog with the files it names.  Changes nothing.  A process may use DIR "
               "meanwhile: then what is checked is what there is at one moment."
               "\vExit status: 0 sound, 1 damaged, 2 could not tell.",
};

static void
print_finding(void *context, const struct och_check_finding *finding)
{
    struct arguments *arguments = context;
    const char *kind = finding->kind == OCH_CHECK_DAMAGE ? "damaged" : "note";
    if (arguments->json) {
        (void) printf("%s{\"kind\": \"%s\", \"path\": ", arguments->has_found ? ", " : "", kind);
        och_command_put_json(finding->path);
        (void) printf(", \"message\": ");
        och_command_put_json(finding->message);
        (void) putchar('}');
    } else if (!arguments->quiet) {
        (void) printf("%s %s: %s\n", kind, finding->path, finding->message);
    }
    arguments->has_found = true;
}

static bool
print_json(const char *result, const struct och_check_totals *totals, const char *message)
{
    (void) printf("], \"result\": \"%s\", \"files\": %" PRIu64 ", \"bytes\": %" PRIu64
                  ", \"collections\": %" PRIu64 ", \"segments\": %" PRIu64
                  ", \"log_records\": %" PRIu64 ", \"message\": ",
            result, totals->n_files, totals->n_bytes, totals->n_collections, totals->n_segments,
            totals->n_log_records);
    och_command_put_json(message);
    return puts("}") >= 0;
}

static bool
print_line(const char *path, const char *result, const struct och_check_totals *totals)
{
    return printf("%s: %s; %" PRIu64 " files, %" PRIu64 " bytes, %" PRIu64 " collections, %" PRIu64
                  " segments, %" PRIu64 " log records\n",
                   path, result, totals->n_files, totals->n_bytes, totals->n_collections,
                   totals->n_segments, totals->n_log_records) >= 0;
}

static och_exit
run(int argc, char **argv)
{
    struct arguments arguments = {0};
    if (!och_command_parse(&argp, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    och_command_raise_descriptor_limit(); /* a directory in use: all its files at once */

    const struct och_check_options check_options = {.report = print_finding, .context = &arguments};
    struct och_check_totals totals = {0};
    struct ochre_error err = {0};
    if (arguments.json)
        (void) printf("{\"findings\": [");
    ochre_status status = och_check_directory(arguments.path, &check_options, &totals, &err);
    bool told = status == OCHRE_OK || status == OCHRE_CORRUPT;
    const char *result = status == OCHRE_OK ? "sound"
            : status == OCHRE_CORRUPT       ? "damaged"
                                            : "unknown";
    if (!told)
        och_command_complain("could not tell: %s", err.message);
    bool printed = true;
    if (arguments.json)
        printed = print_json(result, &totals, told ? "" : err.message);
    else if (told)
        printed = print_line(arguments.path, result, &totals);
    if (!told || !printed || fflush(stdout) != 0)
        return OCH_EXIT_USAGE; /* a verdict nobody can read is none */
    return status == OCHRE_OK ? OCH_EXIT_OK : OCH_EXIT_FAILURE;
}

const struct och_command och_command_check = {
        .name = "check",
        .summary = "verify every byte of a data directory",
        .argp = &argp,
        .run = run,
};
