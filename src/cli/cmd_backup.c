#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/backup.h"
#include "base/mem.h"
#include "cli/command.h"
#include "os/clock.h"

struct arguments {
    char *paths[2]; /* in argv */
    unsigned n_paths;
    bool quiet, json;
};

static const struct argp_option options[] = {
        {"quiet", 'q', NULL, 0, "Say nothing unless it fails", 0},
        {"json", 'j', NULL, 0, "Print the result as one JSON object", 0},
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
    if (key == ARGP_KEY_ARG && arguments->n_paths < 2) {
        arguments->paths[arguments->n_paths++] = argument;
        return 0;
    }
    if (key == ARGP_KEY_ARG)
        och_command_usage(state, "two directories, and no more");
    if (key == ARGP_KEY_END && arguments->n_paths < 2)
        och_command_usage(state, "two directories are needed: from where, and to where");
    return key == ARGP_KEY_END ? 0 : ARGP_ERR_UNKNOWN;
}

static const struct argp argp_backup = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR TO",
        .doc = "Check the data directory DIR, which no process may use meanwhile, and copy it to "
               "the directory TO.  If TO has an earlier backup of the same database, only what "
               "is new is copied, and the earlier one stays whole until the new one is.  Every "
               "byte of TO is read back before it counts."
               "\vA server that uses DIR makes such a backup itself: `ochre run --backup-dir TO`, "
               "and `curl -X POST http://localhost:8000/ochre/v1/backup` whenever one is wanted."
               "\n\nExit status: 0 backed up, 1 damaged or failed, 2 wrong arguments, 73 in use.",
};

static const struct argp argp_restore = {
        .options = options,
        .parser = parse_option,
        .args_doc = "FROM DIR",
        .doc = "Verify every byte of the backup FROM, and then make its database in DIR, which "
               "must be empty or not there."
               "\vExit status: 0 restored, 1 damaged or failed, 2 wrong arguments, 73 in use.",
};

/* --- what a person sees meanwhile ------------------------------------------- */

enum { BAR_WIDTH = 40 };

struct bar {
    unsigned percent; /* shown last */
};

static void
draw(void *context, uint64_t done, uint64_t total)
{
    static const char full[] = "########################################";
    static_assert(sizeof(full) == BAR_WIDTH + 1, "a character for each part of the bar");
    struct bar *bar = context;
    if (total == 0) {
        /* How much there is becomes known while it is read for the first time. */
        unsigned megabytes = (unsigned) (done >> 20);
        if (megabytes / 16 != bar->percent)
            (void) fprintf(stderr, "\r%u MiB read", megabytes);
        bar->percent = megabytes / 16;
        return;
    }
    unsigned percent = done >= total ? 100 : (unsigned) (done / (total / 100 + 1));
    if (percent == bar->percent)
        return;
    bar->percent = percent;
    (void) fprintf(stderr, "\r[%-*.*s] %3u%%", BAR_WIDTH, (int) (percent * BAR_WIDTH / 100), full,
            percent);
}

/* --- the result ------------------------------------------------------------- */

static const char *
word_of(och_exit code)
{
    return code == OCH_EXIT_OK ? "ok" : code == OCH_EXIT_IN_USE ? "in_use" : "failed";
}

static void
print_json(och_exit code, const struct och_backup_totals *totals, const char *message)
{
    (void) printf("{\"result\": \"%s\", \"files\": %" PRIu64 ", \"bytes\": %" PRIu64
                  ", \"files_copied\": %" PRIu64 ", \"bytes_copied\": %" PRIu64
                  ", \"made_unix_s\": %" PRIu64 ", \"message\": ",
            word_of(code), totals->n_files, totals->n_bytes, totals->n_files_copied,
            totals->n_bytes_copied, totals->made_s);
    och_command_put_json(message);
    (void) puts("}");
}

typedef ochre_status work_fn(const struct och_backup_options *options, const char *from,
        const char *to, struct och_backup_totals *totals_out, struct ochre_error *err);

static och_exit
run(int argc, char **argv, const struct argp *argp, work_fn *work, const char *done)
{
    struct arguments arguments = {.n_paths = 0};
    if (!och_command_parse(argp, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct bar bar = {.percent = 0};
    bool shown = !arguments.quiet && isatty(STDERR_FILENO);
    struct och_backup_options how = {.mem = &mem,
            .machine = och_machine_posix(),
            .progress = shown ? draw : NULL,
            .context = &bar};
    struct och_backup_totals totals = {.n_files = 0};
    struct ochre_error err = {0};
    ochre_status status = work(&how, arguments.paths[0], arguments.paths[1], &totals, &err);
    if (shown)
        (void) fprintf(stderr, "\r%60s\r", "");
    och_exit code = och_command_exit_of(status);
    if (code != OCH_EXIT_OK)
        och_command_complain("%s", err.message);
    if (arguments.json)
        print_json(code, &totals, code == OCH_EXIT_OK ? "" : err.message);
    else if (code == OCH_EXIT_OK && !arguments.quiet)
        (void) printf("%s: %s; %" PRIu64 " files, %" PRIu64 " bytes, of which %" PRIu64
                      " files, %" PRIu64 " bytes were copied\n",
                arguments.paths[1], done, totals.n_files, totals.n_bytes, totals.n_files_copied,
                totals.n_bytes_copied);
    if (fflush(stdout) != 0 && code == OCH_EXIT_OK)
        return OCH_EXIT_FAILURE;
    return code;
}

static och_exit
run_backup(int argc, char **argv)
{
    return run(argc, argv, &argp_backup, och_backup_directory, "backed up and verified");
}

static och_exit
run_restore(int argc, char **argv)
{
    return run(argc, argv, &argp_restore, och_restore_directory, "restored");
}

const struct och_command och_command_backup = {
        .name = "backup",
        .summary = "copy a data directory, verified, what is new only",
        .argp = &argp_backup,
        .run = run_backup,
};

const struct och_command och_command_restore = {
        .name = "restore",
        .summary = "make a data directory from a backup",
        .argp = &argp_restore,
        .run = run_restore,
};
