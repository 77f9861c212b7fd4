#include <stdio.h>

#include "cli/command.h"
#include "ochre/ochre.h"
#include "os/cpu.h"

/* Two commands that open a directory, do one thing to it and close it. */
struct arguments {
    char *path; /* in argv */
};

static error_t
parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
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

#define STATUS "Exit status: 0 done, 1 damaged or failed, 2 wrong arguments, 73 in use."

static const struct argp argp_compact = {
        .parser = parse_option,
        .args_doc = "DIR",
        .doc = "Put the files of each collection in the data directory DIR together, without what "
               "was deleted.  A server does it by itself, a part at a time; it does all of it on "
               "`curl -X POST http://localhost:8000/ochre/v1/compact`.\v" STATUS,
};

static const struct argp argp_purge = {
        .parser = parse_option,
        .args_doc = "DIR",
        .doc = "Have nothing of what was deleted, replaced or dropped in any file of the data "
               "directory DIR: compact it, and let the log go that held it.  Backups, and blocks "
               "that the file system has freed, are not looked at.  A server does it on "
               "`curl -X POST http://localhost:8000/ochre/v1/purge`.\v" STATUS,
};

static och_exit
run(int argc, char **argv, const struct argp *argp,
        ochre_status (*work)(ochre_db *db, struct ochre_error *err), const char *done)
{
    struct arguments arguments = {0};
    struct ochre_error err = {0};
    ochre_db *db = NULL;
    if (!och_command_parse(argp, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    struct ochre_options options = {
            .size = sizeof(options), .must_exist = true, .n_threads = och_cpu_detect().cores};
    ochre_status status = ochre_open(arguments.path, &options, &db, &err);
    if (status == OCHRE_OK)
        status = work(db, &err);
    ochre_close(db);
    if (status != OCHRE_OK) {
        och_command_complain("%s", err.message);
        return och_command_exit_of(status);
    }
    bool printed = printf("%s: %s\n", arguments.path, done) > 0 && fflush(stdout) == 0;
    return printed ? OCH_EXIT_OK : OCH_EXIT_FAILURE;
}

static och_exit
run_compact(int argc, char **argv)
{
    return run(argc, argv, &argp_compact, ochre_compact, "compacted");
}

static och_exit
run_purge(int argc, char **argv)
{
    return run(argc, argv, &argp_purge, ochre_purge, "purged");
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
