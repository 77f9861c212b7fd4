#include <inttypes.h>
#include <stdio.h>

#include "api/check.h"
#include "api/paced_files.h"
#include "base/limits.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "os/clock.h"
#include "os/thread.h"

/* Two commands: all at once; or slowly, beside other work. */
struct arguments {
    struct och_directory_arguments directory;
    uint64_t rate;  /* bytes a second; 0: as fast as can be */
    bool has_found; /* something, so far */
    bool is_deep;
};

#define OPTION_PATH OCH_OPTION_PATH("The data directory")
#define OPTION_QUIET OCH_OPTION_QUIET("Print the last line only")
#define OPTION_JSON OCH_OPTION_JSON("Print findings and result as one JSON object")

enum { KEY_DEEP = 256 };

static const struct argp_option options_check[] = {
        OPTION_PATH,
        OPTION_QUIET,
        OPTION_JSON,
        {"deep", KEY_DEEP, NULL, 0,
                "Also derive all indexes once more and compare, and look for records that live twice",
                0},
        {0},
};

static const struct argp_option options_scrub[] = {
        OPTION_PATH,
        OPTION_QUIET,
        OPTION_JSON,
        {"rate", 'r', "MB/S", 0,
                "Read so many megabytes (MiB) a second at most, 32 unless said; 0: as fast as can be",
                0},
        {0},
};

static void
set_rate(struct arguments *arguments, const char *text, const struct argp_state *state)
{
    uint64_t rate = 0;
    bool valid = text[0] != '\0';
    for (; *text != '\0' && valid; text++) {
        valid = *text >= '0' && *text <= '9';
        if (valid)
            rate = rate * 10 + (uint64_t) (*text - '0');
        valid = valid && rate <= OCH_SCRUB_RATE_MAX_MB;
    }
    if (!valid)
        och_command_usage(state, "the rate is not a whole number of megabytes a second, 0 to %u",
                OCH_SCRUB_RATE_MAX_MB);
    arguments->rate = rate << 20;
}

static error_t
parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    if (key == KEY_DEEP) {
        arguments->is_deep = true;
        return 0;
    }
    if (key != 'r')
        return och_command_take_directory(&arguments->directory, key, argument, state);
    set_rate(arguments, argument, state);
    return 0;
}

static const struct argp argp_check = {
        .options = options_check,
        .parser = parse_option,
        .args_doc = "DIR",
        .doc = "Read every byte of the data directory DIR, verify every checksum, and compare "
               "the catalog with the files it names.  Changes nothing.  A process may use DIR "
               "meanwhile: then what is checked is what there is at one moment.  With --deep "
               "lengths, codes and indexes are compared with what the records give, each row "
               "has to be reached in its graph, and no id may live twice."
               "\vExit status: 0 sound, 1 damaged, 2 could not tell.",
};

static const struct argp argp_scrub = {
        .options = options_scrub,
        .parser = parse_option,
        .args_doc = "DIR",
        .doc = "Check the data directory DIR as `ochre check` does, but slowly, at low priority, so "
               "that it does not get in the way of what else the machine does.  A directory that no "
               "process uses is held meanwhile; one in use is read as it is at one moment, beside "
               "that process.  A server does it by itself (`scrub_hours`), a file at a time, and "
               "makes anew what follows from whole records."
               "\vExit status: 0 sound, 1 damaged, 2 could not tell.",
};

static void
print_finding(void *context, const struct och_check_finding *finding)
{
    struct arguments *arguments = context;
    const char *kind = finding->kind == OCH_CHECK_DAMAGE ? "damaged" : "note";
    if (arguments->directory.json) {
        (void) printf("%s{\"kind\": \"%s\", \"path\": ", arguments->has_found ? ", " : "", kind);
        och_command_put_json(finding->path);
        (void) printf(", \"message\": ");
        och_command_put_json(finding->message);
        (void) printf(", \"derived\": %s}", finding->is_derived ? "true" : "false");
    } else if (!arguments->directory.quiet) {
        (void) printf("%s %s: %s%s\n", kind, finding->path, finding->message,
                finding->is_derived ? " (it is made of the records, which are whole; a server that "
                                      "opens it makes it anew)"
                                    : "");
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

struct watch {
    struct arguments *arguments;
    struct och_progress progress;
};

static void
report(void *context, const struct och_check_finding *finding)
{
    struct watch *watch = context;
    och_progress_end(&watch->progress); /* it is drawn again behind the finding */
    print_finding(watch->arguments, finding);
}

static och_exit
check(struct arguments *arguments)
{
    struct watch watch = {.arguments = arguments};
    och_command_raise_descriptor_limit(); /* a directory in use: all its files at once */
    och_progress_begin(&watch.progress, !arguments->directory.quiet);
    struct och_read_pace pace = {.machine = och_machine_posix(),
            .rate = arguments->rate,
            .progress = watch.progress.is_shown ? och_progress_draw : NULL,
            .context = &watch.progress};
    const struct och_check_options check_options = {
            .pace = &pace, .report = report, .context = &watch, .is_deep = arguments->is_deep};
    struct och_check_totals totals = {0};
    struct ochre_error err = {0};
    if (arguments->directory.json)
        (void) printf("{\"findings\": [");
    ochre_status status =
            och_check_directory(arguments->directory.path, &check_options, &totals, &err);
    och_progress_end(&watch.progress);
    bool told = status == OCHRE_OK || status == OCHRE_CORRUPT;
    const char *result = status == OCHRE_OK ? "sound"
            : status == OCHRE_CORRUPT       ? "damaged"
                                            : "unknown";
    if (!told)
        och_command_complain("could not tell: %s", err.message);
    bool printed = true;
    if (arguments->directory.json)
        printed = print_json(result, &totals, told ? "" : err.message);
    else if (told)
        printed = print_line(arguments->directory.path, result, &totals);
    if (!told || !printed || fflush(stdout) != 0)
        return OCH_EXIT_USAGE; /* a verdict nobody can read is none */
    return status == OCHRE_OK ? OCH_EXIT_OK : OCH_EXIT_FAILURE;
}

static och_exit
run_check(int argc, char **argv)
{
    struct arguments arguments = {0};
    if (!och_command_parse(&argp_check, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    return check(&arguments);
}

static och_exit
run_scrub(int argc, char **argv)
{
    struct arguments arguments = {.rate = OCH_SCRUB_RATE};
    if (!och_command_parse(&argp_scrub, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    och_thread_lower_priority();
    return check(&arguments);
}

const struct och_command och_command_check = {
        .name = "check",
        .summary = "verify every byte of a data directory",
        .argp = &argp_check,
        .run = run_check,
};

const struct och_command och_command_scrub = {
        .name = "scrub",
        .summary = "the same, slowly, beside other work",
        .argp = &argp_scrub,
        .run = run_scrub,
};
