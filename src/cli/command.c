#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/compiler.h"
#include "cli/suggest.h"

/* One descriptor a connection, and files; the usual soft limit is 1,024. */
#define DESCRIPTORS_WANTED ((rlim_t) 65536)

/* Long options of one command, with argp's own. */
enum { OPTIONS_MAX = 32 };

void
och_command_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void) fputs("ochre: ", stderr);
    (void) vfprintf(stderr, format, args);
    (void) fputc('\n', stderr);
    va_end(args);
}

void
och_command_usage(const struct argp_state *state, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread has been started yet */
    argp_error(state, "%s", size < 0 ? "" : text);
}

static size_t
long_names(const struct argp *argp, const char *names[OPTIONS_MAX])
{
    size_t n = 0;
    names[n++] = "help";
    names[n++] = "usage";
    for (const struct argp_option *option = argp->options;
            option != NULL && (option->name != NULL || option->key != 0); option++) {
        och_assert(n < OPTIONS_MAX);
        if (option->name != NULL)
            names[n++] = option->name;
    }
    return n;
}

/* argp says only that an option is unknown (and takes abbreviations, which
 * would bind us to never adding a longer name); so we look first. */
static bool
is_known(const char *argument, const char *const *names, size_t n_names)
{
    char text[64];
    const char *name = argument + 2;
    size_t size = strcspn(name, "=");
    for (size_t i = 0; i < n_names; i++) {
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
            return true;
    }
    (void) snprintf(text, sizeof(text), "%.*s", size < sizeof(text) ? (int) size : 0, name);
    const char *nearest = och_suggest(text, names, n_names);
    if (nearest == NULL)
        och_command_complain("unknown option \"%s\"; --help lists them", argument);
    else
        och_command_complain("unknown option \"%s\"; did you mean \"--%s\"?", argument, nearest);
    return false;
}

bool
och_command_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    const char *names[OPTIONS_MAX];
    size_t n_names = long_names(argp, names);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && !is_known(argv[i], names, n_names))
            return false;
    }
    argp_err_exit_status = OCH_EXIT_USAGE;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread has been started yet */
    return argp_parse(argp, argc, argv, 0, NULL, input) == 0;
}

error_t
och_command_take_directory(struct och_directory_arguments *arguments, int key, char *argument,
        const struct argp_state *state)
{
    switch (key) {
    case 'q':
        arguments->quiet = true;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case 'p':
    case ARGP_KEY_ARG:
        if (arguments->path != NULL)
            och_command_usage(state, "one directory at a time");
        arguments->path = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->path == NULL)
            och_command_usage(state, "which directory?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void
och_command_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
    (void) setrlimit(RLIMIT_NOFILE, &limit); /* as before, then */
}

void
och_command_put_json_to(FILE *out, const char *text)
{
    (void) putc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char) *text;
        if (byte == '"' || byte == '\\')
            (void) fprintf(out, "\\%c", byte);
        else if (byte < 0x20)
            (void) fprintf(out, "\\u%04x", byte);
        else
            (void) putc(byte, out);
    }
    (void) putc('"', out);
}

void
och_command_put_json(const char *text)
{
    och_command_put_json_to(stdout, text);
}

och_exit
och_command_exit_of(ochre_status status)
{
    if (status == OCHRE_OK)
        return OCH_EXIT_OK;
    if (status == OCHRE_BUSY)
        return OCH_EXIT_IN_USE;
    bool is_argument =
            status == OCHRE_EXISTS || status == OCHRE_INVALID || status == OCHRE_NOT_FOUND;
    return is_argument ? OCH_EXIT_USAGE : OCH_EXIT_FAILURE;
}

const char *
och_command_word_of(och_exit code, const char *done)
{
    return code == OCH_EXIT_OK ? done : code == OCH_EXIT_IN_USE ? "in_use" : "failed";
}
