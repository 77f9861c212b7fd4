#include <inttypes.h>
#include <stdio.h>

#include "api/db.h"
#include "api/ops.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "ochre/ochre.h"
#include "os/cpu.h"

/* Two commands that open a directory, do one thing to it and close it. */
static const struct argp_option options[] = {
        OCH_OPTION_PATH("The data directory"),
        OCH_OPTION_QUIET("Say nothing unless it fails"),
        OCH_OPTION_JSON("Print the result as one JSON object"),
        {0},
};

static error_t
parse_option(int key, char *argument, struct argp_state *state)
{
    return och_command_take_directory(state->input, key, argument, state);
}

#define STATUS "Exit status: 0 done, 1 damaged or failed, 2 wrong arguments, 73 in use."

static const struct argp argp_compact = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR",
        .doc = "Put the files of each collection in the data directory DIR together, without what "
               "was deleted.  A server does it by itself, a part at a time; it does all of it on "
               "`curl -X POST http://localhost:8000/ochre/v1/compact`.\v" STATUS,
};

static const struct argp argp_purge = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR",
        .doc = "Have nothing of what was deleted, replaced or dropped in any file of the data "
               "directory DIR: compact it, and let the log go that held it.  Backups, and blocks "
               "that the file system has freed, are not looked at, and what a pin shows is kept.  A server does it on "
               "`curl -X POST http://localhost:8000/ochre/v1/purge`.\v" STATUS,
};

static bool
tell(const struct och_directory_arguments *arguments, och_exit code, const char *done,
        const char *message)
{
    if (arguments->json) {
        (void) printf("{\"result\": \"%s\", \"path\": ", och_command_word_of(code, done));
        och_command_put_json(arguments->path);
        (void) printf(", \"message\": ");
        och_command_put_json(message);
        (void) puts("}");
    } else if (code == OCH_EXIT_OK && !arguments->quiet) {
        (void) printf(
                "%s: %s%s%s\n", arguments->path, done, message[0] == '\0' ? "" : "; ", message);
    }
    return fflush(stdout) == 0 && ferror(stdout) == 0;
}

/* Room for what is said when it is done. */
enum { SAID_SIZE = 80 };

static ochre_status
compact(ochre_db *db, char said[SAID_SIZE], struct ochre_error *err)
{
    said[0] = '\0';
    return ochre_compact(db, err);
}

/* What pins show is no purge's to take: who reads that it is done reads that, too. */
static ochre_status
purge(ochre_db *db, char said[SAID_SIZE], struct ochre_error *err)
{
    uint64_t n_pins = 0;
    said[0] = '\0';
    /* Counted first: when that fails, nothing has been done. */
    ochre_status status = och_op_pin_count(db, &n_pins, err);
    if (status == OCHRE_OK)
        status = ochre_purge(db, err);
    if (status == OCHRE_OK && n_pins > 0)
        (void) snprintf(said, SAID_SIZE, "what pins show is kept: there are %" PRIu64, n_pins);
    return status;
}

static och_exit
run(int argc, char **argv, const struct argp *argp,
        ochre_status (*work)(ochre_db *db, char said[SAID_SIZE], struct ochre_error *err),
        const char *done)
{
    struct och_directory_arguments arguments = {.path = NULL};
    struct och_progress progress;
    struct ochre_error err = {0};
    char said[SAID_SIZE] = "";
    ochre_db *db = NULL;
    if (!och_command_parse(argp, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    struct ochre_options open_options = {
            .size = sizeof(open_options), .must_exist = true, .n_threads = och_cpu_detect().cores};
    och_progress_begin(&progress, !arguments.quiet);
    ochre_status status = ochre_open(arguments.path, &open_options, &db, &err);
    if (status == OCHRE_OK && progress.is_shown)
        och_db_watch(db, och_progress_draw, &progress);
    if (status == OCHRE_OK)
        status = work(db, said, &err);
    ochre_close(db);
    och_progress_end(&progress);
    och_exit code = och_command_exit_of(status);
    if (code != OCH_EXIT_OK)
        och_command_complain("%s", err.message);
    bool printed = tell(&arguments, code, done, code == OCH_EXIT_OK ? said : err.message);
    return code == OCH_EXIT_OK && !printed ? OCH_EXIT_FAILURE : code;
}

static och_exit
run_compact(int argc, char **argv)
{
    return run(argc, argv, &argp_compact, compact, "compacted");
}

static och_exit
run_purge(int argc, char **argv)
{
    return run(argc, argv, &argp_purge, purge, "purged");
}

const struct och_command och_command_compact = {
        .name = "compact",
        .summary = "put the files of a data directory together",
        .argp = &argp_compact,
        .run = run_compact,
};

const struct och_command och_command_purge = {
        .name = "purge",
        .summary = "have nothing deleted in any file of a data directory",
        .argp = &argp_purge,
        .run = run_purge,
};
