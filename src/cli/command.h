/*
 * command.h - what a subcommand is, and what its exit code says.
 */
#ifndef OCH_CLI_COMMAND_H
#define OCH_CLI_COMMAND_H

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>

#include "ochre/status.h"

typedef enum och_exit {
    OCH_EXIT_OK = 0,      /* done; for `check`: sound */
    OCH_EXIT_FAILURE = 1, /* it went wrong; for `check`: damaged */
    OCH_EXIT_USAGE = 2,   /* arguments or configuration are wrong; for `check`: could not tell */
    OCH_EXIT_IN_USE = 73, /* another process uses the data directory (EX_CANTCREAT) */
} och_exit;

struct och_command {
    const char *name;
    const char *alias;   /* may be NULL */
    const char *summary; /* one line for the list of commands */
    const struct argp *argp;
    och_exit (*run)(int argc, char **argv); /* argv[0] is "ochre NAME" */
};

extern const struct och_command och_command_run, och_command_check, och_command_backup,
        och_command_restore, och_command_repair, och_command_compact, och_command_purge,
        och_command_stats, och_command_scrub, och_command_upgrade;

/*
 * Parse with `argp`, after refusing unknown long options with a suggestion.
 * False: argv is wrong, and the person has been told.
 */
bool och_command_parse(const struct argp *argp, int argc, char **argv, void *input);

/* What commands take that do something to one data directory, and the options for it. */
struct och_directory_arguments {
    char *path; /* in argv */
    bool quiet, json;
};

#define OCH_OPTION_PATH(text)            \
    {                                    \
        "path", 'p', "DIR", 0, (text), 0 \
    }
#define OCH_OPTION_QUIET(text)           \
    {                                    \
        "quiet", 'q', NULL, 0, (text), 0 \
    }
#define OCH_OPTION_JSON(text)           \
    {                                   \
        "json", 'j', NULL, 0, (text), 0 \
    }

/* For an argp parser: take one of these options, the directory, or the end of the arguments,
 * at which there must be one.  ARGP_ERR_UNKNOWN: it is none of them. */
error_t och_command_take_directory(struct och_directory_arguments *arguments, int key,
        char *argument, const struct argp_state *state);

/* Say what is wrong with the arguments, point to --help, and exit. */
void och_command_usage(const struct argp_state *state, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* "ochre: TEXT" and a line break, to standard error. */
void och_command_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a command that does something to a directory exits with; and, in one word, how it
 * went: `done` if it went well. */
och_exit och_command_exit_of(ochre_status status);
const char *och_command_word_of(och_exit code, const char *done);

/* Have as many files open as a server may need, if the system allows it. */
void och_command_raise_descriptor_limit(void);

/* Print a text as a JSON string, with its quotes: to standard output, or elsewhere. */
void och_command_put_json(const char *text);
void och_command_put_json_to(FILE *out, const char *text);

#endif /* OCH_CLI_COMMAND_H */
