#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/suggest.h"

static och_exit run_help(int argc, char **argv);

static och_exit
run_version(int argc, char **argv)
{
    (void) argv;
    if (argc > 1) {
        och_command_complain("version takes no arguments");
        return OCH_EXIT_USAGE;
    }
    return puts("ochre " OCH_VERSION) < 0 ? OCH_EXIT_FAILURE : OCH_EXIT_OK;
}

static const struct och_command command_version = {
        .name = "version",
        .alias = "--version",
        .summary = "print the version",
        .run = run_version,
};

static const struct och_command command_help = {
        .name = "help",
        .alias = "--help",
        .summary = "explain a command, or list them",
        .run = run_help,
};

static const struct och_command *const commands[] = {
        &och_command_run,
        &och_command_check,
        &och_command_backup,
        &och_command_restore,
        &och_command_repair,
        &och_command_compact,
        &och_command_purge,
        &och_command_stats,
        &och_command_scrub,
        &och_command_upgrade,
        &command_version,
        &command_help,
};
enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const struct och_command *
find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        const char *alias = commands[i]->alias;
        if (strcmp(name, commands[i]->name) == 0 || (alias != NULL && strcmp(name, alias) == 0))
            return commands[i];
    }
    return NULL;
}

static och_exit
complain_unknown(const char *name)
{
    const char *names[2 * N_COMMANDS];
    size_t n = 0;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[n++] = commands[i]->name;
        if (commands[i]->alias != NULL)
            names[n++] = commands[i]->alias;
    }
    const char *nearest = och_suggest(name, names, n);
    if (nearest == NULL)
        och_command_complain("unknown command \"%s\"; \"ochre help\" lists them", name);
    else
        och_command_complain("unknown command \"%s\"; did you mean \"%s\"?", name, nearest);
    return OCH_EXIT_USAGE;
}

static void
print_commands(FILE *out)
{
    (void) fputs("Usage: ochre COMMAND [OPTION...]\n\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        (void) fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    (void) fputs("\n\"ochre help COMMAND\" explains one.\n", out);
}

static och_exit
run_help(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stdout);
        return OCH_EXIT_OK;
    }
    const struct och_command *command = find(argv[1]);
    if (command == NULL)
        return complain_unknown(argv[1]);
    char name[64];
    (void) snprintf(name, sizeof(name), "ochre %s", command->name);
    if (command->argp != NULL)
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread has been started */
        argp_help(command->argp, stdout, ARGP_HELP_STD_HELP & ~(unsigned) ARGP_HELP_EXIT_OK, name);
    else
        (void) printf("Usage: %s\n%s\n", name, command->summary);
    return OCH_EXIT_OK;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return (int) OCH_EXIT_USAGE;
    }
    const struct och_command *command = find(argv[1]);
    if (command == NULL)
        return (int) complain_unknown(argv[1]);
    char name[64];
    (void) snprintf(name, sizeof(name), "ochre %s", command->name);
    argv[1] = name; /* what usage messages call it */
    return (int) command->run(argc - 1, argv + 1);
}
