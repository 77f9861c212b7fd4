#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/backup.h"
#include "api/backup_stream.h"
#include "api/restore_point.h"
#include "base/error.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "os/clock.h"

enum { FROM = 0, TO = 1, N_PATHS };

enum { KEY_PATH = 256, KEY_OTHER, KEY_ARCHIVE, KEY_UNTIL };

struct arguments {
    char *paths[N_PATHS];        /* in argv; NULL: not given */
    int path_is;                 /* what --path names: FROM or TO */
    const char *archive, *until; /* NULL: not given */
    bool quiet, json;
};

static const struct argp_option options_backup[] = {
        {"path", KEY_PATH, "DIR", 0, "The data directory, as DIR", 0},
        {"to", KEY_OTHER, "TO", 0, "Where to, as TO; - is standard output", 0},
        {"quiet", 'q', NULL, 0, "Say nothing unless it fails", 0},
        {"json", 'j', NULL, 0, "Print the result as one JSON object", 0},
        {0},
};

static const struct argp_option options_restore[] = {
        {"path", KEY_PATH, "DIR", 0, "The data directory, as DIR", 0},
        {"from", KEY_OTHER, "FROM", 0, "Where from, as FROM; - is standard input", 0},
        {"archive", KEY_ARCHIVE, "DIR", 0,
                "Then do what the log archived in DIR says has happened since the backup", 0},
        {"until", KEY_UNTIL, "POINT", 0,
                "... until a time (2026-11-28T09:30:00Z), a record of the log, or now (default)",
                0},
        {"quiet", 'q', NULL, 0, "Say nothing unless it fails", 0},
        {"json", 'j', NULL, 0, "Print the result as one JSON object", 0},
        {0},
};

static void
take_path(struct arguments *arguments, int which, char *path, const struct argp_state *state)
{
    if (arguments->paths[which] != NULL)
        och_command_usage(state, "\"%s\" and \"%s\": one of them, and no more",
                arguments->paths[which], path);
    arguments->paths[which] = path;
}

static error_t
parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'q':
        arguments->quiet = true;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_PATH:
        take_path(arguments, arguments->path_is, argument, state);
        return 0;
    case KEY_OTHER:
        take_path(arguments, arguments->path_is == FROM ? TO : FROM, argument, state);
        return 0;
    case KEY_ARCHIVE:
        arguments->archive = argument;
        return 0;
    case KEY_UNTIL:
        arguments->until = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->paths[FROM] != NULL && arguments->paths[TO] != NULL)
            och_command_usage(state, "two places, and no more");
        take_path(arguments, arguments->paths[FROM] == NULL ? FROM : TO, argument, state);
        return 0;
    case ARGP_KEY_END:
        if (arguments->paths[FROM] == NULL || arguments->paths[TO] == NULL)
            och_command_usage(state, "two places are needed: from where, and to where");
        if (arguments->until != NULL && arguments->archive == NULL)
            och_command_usage(state, "--until needs an --archive");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp_backup = {
        .options = options_backup,
        .parser = parse_option,
        .args_doc = "DIR TO",
        .doc = "Check the data directory DIR, which no process may use meanwhile, and copy it to "
               "the directory TO.  If TO has an earlier backup of the same database, only what "
               "is new is copied, and the earlier one stays whole until the new one is.  Every "
               "byte of TO is read back before it counts."
               "\n\nIf TO is -, all of it goes to standard output as one stream, also while a "
               "process uses DIR: `ochre backup DIR - | ssh HOST 'cat > ochre.backup'`."
               "\vA server that uses DIR makes such a backup itself: `ochre run --backup-dir TO`, "
               "and `curl -X POST http://localhost:8000/ochre/v1/backup` whenever one is wanted; "
               "and `curl http://localhost:8000/ochre/v1/backup > FILE` is the stream."
               "\n\nExit status: 0 backed up, 1 damaged or failed, 2 wrong arguments, 73 in use.",
};

static const struct argp argp_restore = {
        .options = options_restore,
        .parser = parse_option,
        .args_doc = "FROM DIR",
        .doc = "Verify every byte of the backup FROM, and then make its database in DIR, which "
               "must be empty or not there."
               "\n\nIf FROM is -, a stream is read from standard input.  DIR gets its name when "
               "all of the stream was verified; one that was cut or is damaged leaves nothing."
               "\n\nWith --archive, the database is then brought from the backup's moment to a later "
               "one (--until), with the log that `ochre run --archive` has kept; DIR must not be "
               "there, and gets its name when that is done."
               "\vExit status: 0 restored, 1 damaged or failed, 2 wrong arguments, 73 in use.",
};

/* --- the result ------------------------------------------------------------- */

/* Standard output is the stream's, if there is one. */
static void
print_json(FILE *out, och_exit code, const struct och_backup_totals *totals, const char *message)
{
    (void) fprintf(out,
            "{\"result\": \"%s\", \"files\": %" PRIu64 ", \"bytes\": %" PRIu64
            ", \"files_copied\": %" PRIu64 ", \"bytes_copied\": %" PRIu64
            ", \"made_unix_s\": %" PRIu64
            ", \"leftover_removed\": %s, \"leftover_finished\": %s, \"message\": ",
            och_command_word_of(code, "ok"), totals->n_files, totals->n_bytes,
            totals->n_files_copied, totals->n_bytes_copied, totals->made_s,
            totals->is_redone ? "true" : "false", totals->is_finished ? "true" : "false");
    och_command_put_json_to(out, message);
    (void) fputs("}\n", out);
}

/* --- standard input and output ---------------------------------------------- */

static bool
is_stream(const char *path)
{
    return strcmp(path, "-") == 0;
}

static ochre_status
fail_system(struct ochre_error *err, int code, const char *what)
{
    char buffer[128];
    return och_fail(err, code == ENOSPC ? OCHRE_FULL : OCHRE_IO, "cannot %s: %s", what,
            strerror_r(code, buffer, sizeof(buffer)));
}

static ochre_status
write_out(const char *bytes, size_t size, struct ochre_error *err)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_system(err, errno, "write to standard output");
        bytes += n;
        size -= (size_t) n;
    }
    return OCHRE_OK;
}

static ochre_status
read_in(void *context, void *bytes, size_t size, size_t *n_read_out, struct ochre_error *err)
{
    (void) context;
    *n_read_out = 0;
    while (*n_read_out < size) {
        ssize_t n = read(STDIN_FILENO, (char *) bytes + *n_read_out, size - *n_read_out);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_system(err, errno, "read standard input");
        if (n == 0)
            break;
        *n_read_out += (size_t) n;
    }
    return OCHRE_OK;
}

/* A file that is standard output holds the backup when this has returned. */
static ochre_status
sync_out(struct ochre_error *err)
{
    if (fdatasync(STDOUT_FILENO) != 0 && errno != EINVAL && errno != EROFS)
        return fail_system(err, errno, "sync standard output");
    return OCHRE_OK;
}

static ochre_status
backup_to_output(const struct och_backup_options *how, const char *from,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    enum { SIZE = 1 << 18 };
    struct och_backup_stream *stream = NULL;
    size_t n = 1;
    if (isatty(STDOUT_FILENO))
        return och_fail(err, OCHRE_INVALID, "standard output is a terminal; direct it elsewhere");
    char *bytes = och_mem_take(how->mem, SIZE);
    if (bytes == NULL)
        return och_fail_memory(err);
    ochre_status status = och_backup_stream_open_directory(how, from, &stream, err);
    while (status == OCHRE_OK && n > 0) {
        status = och_backup_stream_read(stream, bytes, SIZE, &n, err);
        if (status == OCHRE_OK)
            status = write_out(bytes, n, err);
    }
    if (status == OCHRE_OK)
        status = sync_out(err);
    if (stream != NULL)
        *totals_out = och_backup_stream_totals(stream);
    och_backup_stream_close(stream);
    och_mem_release(how->mem, bytes, SIZE);
    return status;
}

static ochre_status
back_up(const struct och_backup_options *how, const struct arguments *arguments,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    char *const *paths = arguments->paths;
    if (is_stream(paths[FROM]))
        return och_fail(err, OCHRE_INVALID, "- is no data directory; for one of that name say ./-");
    if (is_stream(paths[TO]))
        return backup_to_output(how, paths[FROM], totals_out, err);
    return och_backup_directory(how, paths[FROM], paths[TO], totals_out, err);
}

static const struct och_backup_input input = {.read = read_in};

/* The backup, and then what the archive says. */
static ochre_status
restore_point(const struct och_backup_options *how, const struct arguments *arguments,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct och_point point;
    struct och_point_reached reached;
    const char *from = arguments->paths[FROM];
    const char *until = arguments->until == NULL ? "now" : arguments->until;
    const struct och_restore_point_paths paths = {.backup = is_stream(from) ? NULL : from,
            .input = &input,
            .archive = arguments->archive,
            .to = arguments->paths[TO]};
    if (!och_point_parse(until, &point))
        return och_fail(err, OCHRE_INVALID,
                "--until \"%.100s\" is no time as 2026-11-28T09:30:00Z, no number of a record, "
                "and not now",
                until);
    ochre_status status = och_restore_point(how, &paths, &point, &reached, totals_out, err);
    if (status == OCHRE_OK && !arguments->quiet && !arguments->json)
        (void) printf("%s: as of record %" PRIu64 "; %" PRIu64 " writes and %" PRIu64
                      " changes were made after the backup's record %" PRIu64 "\n",
                arguments->paths[TO], reached.lsn, reached.n_writes, reached.n_changes,
                reached.first_lsn - 1);
    return status;
}

static ochre_status
restore(const struct och_backup_options *how, const struct arguments *arguments,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    char *const *paths = arguments->paths;
    if (is_stream(paths[TO]))
        return och_fail(err, OCHRE_INVALID, "- is no data directory; for one of that name say ./-");
    if (arguments->archive != NULL)
        return restore_point(how, arguments, totals_out, err);
    if (is_stream(paths[FROM]))
        return och_restore_stream(how, &input, paths[TO], totals_out, err);
    return och_restore_directory(how, paths[FROM], paths[TO], totals_out, err);
}

/* --- the commands ----------------------------------------------------------- */

typedef ochre_status work_fn(const struct och_backup_options *options,
        const struct arguments *arguments, struct och_backup_totals *totals_out,
        struct ochre_error *err);

static void
tell(const struct arguments *arguments, och_exit code, const struct och_backup_totals *totals,
        const char *message)
{
    bool is_output = is_stream(arguments->paths[TO]);
    FILE *out = is_output ? stderr : stdout;
    if (arguments->json) {
        print_json(out, code, totals, message);
        return;
    }
    if (code != OCH_EXIT_OK || arguments->quiet || is_output)
        return;
    if (totals->is_redone)
        (void) fprintf(out, "%s.restoring: what an interrupted restore had left was removed\n",
                arguments->paths[TO]);
    if (totals->is_finished)
        (void) fprintf(out, "%s: an interrupted restore had left all of it, which was finished\n",
                arguments->paths[TO]);
    (void) fprintf(out,
            "%s: %s; %" PRIu64 " files, %" PRIu64 " bytes, of which %" PRIu64 " files, %" PRIu64
            " bytes were copied\n",
            arguments->paths[TO],
            arguments->path_is == FROM ? "backed up and verified" : "restored", totals->n_files,
            totals->n_bytes, totals->n_files_copied, totals->n_bytes_copied);
}

static och_exit
run(int argc, char **argv, const struct argp *argp, int path_is, work_fn *work)
{
    struct arguments arguments = {.path_is = path_is};
    if (!och_command_parse(argp, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct och_progress progress;
    och_progress_begin(&progress, !arguments.quiet);
    struct och_backup_options how = {.mem = &mem,
            .machine = och_machine_posix(),
            .progress = och_progress_draw,
            .context = &progress};
    struct och_backup_totals totals = {.n_files = 0};
    struct ochre_error err = {0};
    och_command_raise_descriptor_limit(); /* a directory in use is read through open files */
    ochre_status status = work(&how, &arguments, &totals, &err);
    och_progress_end(&progress);
    och_exit code = och_command_exit_of(status);
    if (code != OCH_EXIT_OK)
        och_command_complain("%s", err.message);
    tell(&arguments, code, &totals, code == OCH_EXIT_OK ? "" : err.message);
    if (fflush(stdout) != 0 && code == OCH_EXIT_OK)
        return OCH_EXIT_FAILURE;
    return code;
}

static och_exit
run_backup(int argc, char **argv)
{
    return run(argc, argv, &argp_backup, FROM, back_up);
}

static och_exit
run_restore(int argc, char **argv)
{
    return run(argc, argv, &argp_restore, TO, restore);
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
