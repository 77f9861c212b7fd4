#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/upgrade.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "os/clock.h"
#include "os/vfs_posix.h"

enum { KEY_COMMIT = 256, KEY_REVERT, KEY_DRY_RUN, KEY_DISCARD };

struct arguments {
    struct och_directory_arguments directory;
    bool commits, reverts, dry_run, discards;
    struct och_progress progress;
    bool has_told; /* of a file, so far */
};

static const struct argp_option options[] = {
        OCH_OPTION_PATH("The data directory"),
        {"dry-run", KEY_DRY_RUN, NULL, 0,
                "Say which files are of an older form, and change nothing", 0},
        {"commit", KEY_COMMIT, NULL, 0, "Let go of what was kept: the upgrade stays", 0},
        {"revert", KEY_REVERT, NULL, 0, "Put back exactly what was before the upgrade", 0},
        {"discard-writes", KEY_DISCARD, NULL, 0,
                "With --revert: though something was written since, which is lost", 0},
        OCH_OPTION_QUIET("Say nothing unless it fails"),
        OCH_OPTION_JSON("Print the result as one JSON object"),
        {0},
};

static error_t
parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case KEY_COMMIT:
        arguments->commits = true;
        return 0;
    case KEY_REVERT:
        arguments->reverts = true;
        return 0;
    case KEY_DRY_RUN:
        arguments->dry_run = true;
        return 0;
    case KEY_DISCARD:
        arguments->discards = true;
        return 0;
    case ARGP_KEY_END:
        if (arguments->commits + arguments->reverts + arguments->dry_run > 1)
            och_command_usage(state, "one of --dry-run, --commit and --revert");
        if (arguments->discards && !arguments->reverts)
            och_command_usage(state, "--discard-writes goes with --revert");
        break;
    default:
        break;
    }
    return och_command_take_directory(&arguments->directory, key, argument, state);
}

static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR",
        .doc = "Write those files of the data directory DIR anew that an older version of ochre "
               "wrote, so that all are as this version writes them.  What was is kept in "
               "DIR/upgrade until --commit lets it go or --revert puts it back; the two share "
               "what they have in common.  Older files are read without this, too.  A running "
               "server does the same with `curl -X POST "
               "http://localhost:8000/ochre/v1/upgrade`, and settles it with "
               ".../upgrade/commit; to revert, stop it."
               "\vExit status: 0 done, 1 damaged or failed, 2 wrong arguments, or --revert would "
               "lose what was written since, 73 in use.",
};

static void
report(void *context, const char *path, const char *why)
{
    struct arguments *arguments = context;
    och_progress_end(&arguments->progress); /* it is drawn again behind the line */
    if (arguments->directory.json) {
        (void) printf("%s{\"path\": ", arguments->has_told ? ", " : "");
        och_command_put_json(path);
        (void) printf(", \"reason\": ");
        och_command_put_json(why);
        (void) putchar('}');
    } else if (!arguments->directory.quiet) {
        (void) printf("old %s: %s\n", path, why);
    }
    arguments->has_told = true;
}

static void
draw(void *context, const char *phase, uint64_t done, uint64_t total)
{
    struct arguments *arguments = context;
    och_progress_draw_phase(&arguments->progress, phase, done, total);
}

static const char *
word_of(const struct arguments *arguments, const struct och_upgrade_totals *totals)
{
    if (arguments->commits)
        return "committed";
    if (arguments->reverts)
        return "as it was before the upgrade";
    if (arguments->dry_run)
        return totals->n_old == 0 ? "nothing is old" : "not upgraded";
    return totals->n_old == 0 ? "nothing is old" : "upgraded";
}

static bool
print_result(const struct arguments *arguments, const struct och_upgrade_totals *totals,
        och_exit code, const char *message)
{
    bool is_kept = totals->state == OCH_KEPT_WHOLE;
    if (arguments->directory.json) {
        (void) printf("], \"result\": \"%s\", \"old\": %" PRIu64
                      ", \"kept\": %s, \"kept_unix_s\": %" PRIu64 ", \"message\": ",
                och_command_word_of(code, word_of(arguments, totals)), totals->n_old,
                is_kept ? "true" : "false", totals->kept_unix_s);
        och_command_put_json(message);
        (void) puts("}");
    } else if (code == OCH_EXIT_OK && !arguments->directory.quiet) {
        (void) printf("%s: %s; %" PRIu64 " old files%s\n", arguments->directory.path,
                word_of(arguments, totals), totals->n_old,
                is_kept ? "; what was is kept: settle it with --commit or --revert" : "");
    }
    return fflush(stdout) == 0;
}

static och_exit
run(int argc, char **argv)
{
    struct arguments arguments = {0};
    if (!och_command_parse(&argp, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    och_command_raise_descriptor_limit();
    struct och_mem mem;
    struct och_vfs *vfs = NULL;
    struct ochre_error err = {0};
    struct och_upgrade_totals totals = {0};
    och_mem_init(&mem, NULL);
    och_progress_begin(&arguments.progress, !arguments.directory.quiet);
    const struct och_upgrade_options how = {.mem = &mem,
            .machine = och_machine_posix(),
            .dry_run = arguments.dry_run,
            .discard_writes = arguments.discards,
            .report = report,
            .progress = arguments.progress.is_shown ? draw : NULL,
            .context = &arguments};
    if (arguments.directory.json)
        (void) printf("{\"files\": [");
    ochre_status status = och_vfs_posix_open(&mem, arguments.directory.path, false, &vfs, &err);
    if (status == OCHRE_OK && arguments.commits)
        status = och_upgrade_commit(vfs, &how, &totals, &err);
    else if (status == OCHRE_OK && arguments.reverts)
        status = och_upgrade_revert(vfs, &how, &totals, &err);
    else if (status == OCHRE_OK)
        status = och_upgrade(vfs, &how, &totals, &err);
    if (vfs != NULL)
        och_vfs_posix_close(vfs);
    och_progress_end(&arguments.progress);
    och_exit code = och_command_exit_of(status);
    if (code != OCH_EXIT_OK)
        och_command_complain("%s", err.message);
    bool printed = print_result(&arguments, &totals, code, code == OCH_EXIT_OK ? "" : err.message);
    return code == OCH_EXIT_OK && !printed ? OCH_EXIT_FAILURE : code;
}

const struct och_command och_command_upgrade = {
        .name = "upgrade",
        .summary = "write older files anew, reversibly",
        .argp = &argp,
        .run = run,
};
