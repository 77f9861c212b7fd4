#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "api/repair.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "os/clock.h"

enum { KEY_IN_PLACE = 256, RECORDS_NAMED = 10 };

struct arguments {
    struct och_directory_arguments directory;
    char *to; /* in argv */
    bool in_place, dry_run;
    struct och_progress progress;
    bool has_found, has_collection; /* something, so far */
    char lost_path[128];            /* the file that records were lost of last, */
    unsigned n_lost;                /* and how many of it were named */
};

static const struct argp_option options[] = {
        OCH_OPTION_PATH("The damaged directory; it is not changed"),
        {"to", 't', "NEWDIR", 0, "Where to make the repaired one: empty, or not there", 0},
        {"in-place", KEY_IN_PLACE, NULL, 0,
                "Make it beside DIR, and then let the two change names: the damaged one is kept "
                "as DIR.damaged-N",
                0},
        {"dry-run", 'n', NULL, 0, "Write nothing; report what would be kept and lost", 0},
        OCH_OPTION_QUIET("Print the last line only"),
        OCH_OPTION_JSON("Print the report as one JSON object"),
        {0},
};

static void
check_arguments(const struct arguments *arguments, struct argp_state *state)
{
    unsigned n = (arguments->to != NULL) + (unsigned) arguments->in_place;
    if (n > 1)
        och_command_usage(state, "--to NEWDIR or --in-place, not both");
    if (n == 0 && !arguments->dry_run)
        och_command_usage(state, "where to: --to NEWDIR, or --in-place?  (or --dry-run)");
}

static error_t
parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 't':
        arguments->to = argument;
        return 0;
    case KEY_IN_PLACE:
        arguments->in_place = true;
        return 0;
    case 'n':
        arguments->dry_run = true;
        return 0;
    case ARGP_KEY_END:
        check_arguments(arguments, state);
        break;
    default:
        break;
    }
    return och_command_take_directory(&arguments->directory, key, argument, state);
}

static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR --to NEWDIR\nDIR --in-place\nDIR --dry-run",
        .doc = "Make a sound directory of what is left of the damaged one DIR, which no process "
               "may use meanwhile, and which is not changed.  What was kept, what was lost and "
               "what was made anew is printed, and stands in the file REPAIR of the new directory, "
               "every byte of which has been verified."
               "\vRecords that may have been deleted (the file that says so is damaged) are put "
               "into a collection of their own, NAME.in-doubt.  Without any catalog nothing can be "
               "repaired: restore a backup."
               "\n\nA running server makes, beside each damaged collection, a sound one of what is "
               "left, NAME.repaired: "
               "`curl -X POST http://localhost:8000/ochre/v1/repair`."
               "\n\nExit status: 0 repaired, whatever was lost; 1 not repairable, or failed; "
               "2 wrong arguments; 73 in use.",
};

/* --- the report --------------------------------------------------------------- */

/* A page of small records is a thousand of them: all are in the report, some on the screen. */
static bool
is_too_many(struct arguments *arguments, const struct och_repair_finding *finding)
{
    if (finding->kind != OCH_REPAIR_RECORD)
        return false;
    if (strcmp(arguments->lost_path, finding->path) != 0) {
        arguments->n_lost = 0;
        (void) snprintf(arguments->lost_path, sizeof(arguments->lost_path), "%s", finding->path);
    }
    arguments->n_lost++;
    if (arguments->n_lost == RECORDS_NAMED + 1)
        (void) printf("lost %s: and more; %s\n", finding->path,
                arguments->dry_run ? "--json names all"
                                   : "the file " OCH_REPAIR_REPORT " names all");
    return arguments->n_lost > RECORDS_NAMED;
}

static void
print_finding(void *context, const struct och_repair_finding *finding)
{
    struct arguments *arguments = context;
    const char *kind = och_repair_kind_name(finding->kind);
    och_progress_end(&arguments->progress); /* it is drawn again behind the line */
    if (arguments->directory.quiet && !arguments->directory.json)
        return;
    if (!arguments->directory.json && is_too_many(arguments, finding))
        return;
    if (!arguments->directory.json) {
        (void) printf("%s %s: %s\n", kind, finding->path, finding->message);
        return;
    }
    (void) printf("%s{\"kind\": \"%s\", \"path\": ", arguments->has_found ? ", " : "", kind);
    och_command_put_json(finding->path);
    (void) printf(", \"message\": ");
    och_command_put_json(finding->message);
    (void) putchar('}');
    arguments->has_found = true;
}

static void
print_name(const char *key, struct ochre_bytes name)
{
    char text[600];
    (void) snprintf(text, sizeof(text), "%.*s", (int) name.size, name.size > 0 ? name.data : "");
    (void) printf("\"%s\": ", key);
    och_command_put_json(text);
    (void) printf(", ");
}

static void
print_collection_json(struct arguments *arguments, const struct och_repair_collection *sum)
{
    (void) printf("%s{", arguments->has_collection ? ", " : "], \"collections\": [");
    print_name("tenant", sum->tenant);
    print_name("database", sum->database);
    print_name("name", sum->name);
    if (sum->pin.data != NULL)
        print_name("pin", sum->pin);
    print_name("in_doubt_collection", sum->doubted);
    (void) printf("\"whole\": %s, \"records\": %" PRIu64 ", \"position\": %" PRIu64
                  ", \"lost\": %" PRIu64 ", \"in_doubt\": %" PRIu64 ", \"files_rebuilt\": %" PRIu64
                  ", \"writes_given_up\": %" PRIu64 ", \"changes_skipped\": %" PRIu64 "}",
            sum->is_whole ? "true" : "false", sum->n_records, sum->position, sum->n_lost,
            sum->n_in_doubt, sum->n_rebuilt, sum->n_given_up, sum->n_skipped);
    arguments->has_collection = true;
}

static void
print_collection(void *context, const struct och_repair_collection *sum)
{
    struct arguments *arguments = context;
    och_progress_end(&arguments->progress);
    if (arguments->directory.json)
        print_collection_json(arguments, sum);
    if (arguments->directory.json || arguments->directory.quiet)
        return;
    (void) printf("collection %.*s/%.*s/%.*s", (int) sum->tenant.size, sum->tenant.data,
            (int) sum->database.size, sum->database.data, (int) sum->name.size, sum->name.data);
    if (sum->pin.data != NULL)
        (void) printf(", pin %.*s", (int) sum->pin.size, sum->pin.data);
    (void) printf(": ");
    if (!arguments->dry_run)
        (void) printf("%" PRIu64 " records, ", sum->n_records);
    (void) printf("up to position %" PRIu64 " of its log", sum->position);
    if (sum->is_whole)
        (void) printf("; nothing of it is known to be lost");
    if (sum->n_lost > 0)
        (void) printf("; %" PRIu64 " records are lost", sum->n_lost);
    if (sum->n_given_up > 0)
        (void) printf("; %" PRIu64 " writes behind a missing one are given up", sum->n_given_up);
    if (sum->n_skipped > 0)
        (void) printf("; %" PRIu64 " changes of lost records are skipped", sum->n_skipped);
    if (sum->n_in_doubt > 0)
        (void) printf("; %" PRIu64 " records may have been deleted: they are in \"%.*s\"",
                sum->n_in_doubt, (int) sum->doubted.size, sum->doubted.data);
    if (sum->n_rebuilt > 0)
        (void) printf("; %" PRIu64 " files were written anew", sum->n_rebuilt);
    (void) putchar('\n');
}

static void
print_json_end(const struct arguments *arguments, och_exit code,
        const struct och_repair_totals *totals, const char *kept, const char *message)
{
    (void) printf("%s], \"result\": \"%s\", \"lost_something\": %s, \"catalog_is_earlier\": %s"
                  ", \"records\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"in_doubt\": %" PRIu64
                  ", \"log_records_missing\": %" PRIu64 ", \"log_bytes_given_up\": %" PRIu64
                  ", \"damaged_kept_as\": ",
            arguments->has_collection ? "" : "], \"collections\": [",
            och_command_word_of(code,
                    totals->is_finished          ? "finished"
                            : arguments->dry_run ? "repairable"
                                                 : "repaired"),
            totals->has_lost ? "true" : "false", totals->is_earlier ? "true" : "false",
            totals->n_records, totals->n_lost, totals->n_in_doubt, totals->n_log_missing,
            totals->log_bytes_given_up);
    och_command_put_json(kept);
    (void) printf(", \"message\": ");
    och_command_put_json(message);
    (void) puts("}");
}

static void
print_end(
        const struct arguments *arguments, const struct och_repair_totals *totals, const char *kept)
{
    if (totals->is_finished) {
        (void) printf("%s: an interrupted repair is finished; its file " OCH_REPAIR_REPORT
                      " says what was done; the damaged directory is kept as %s\n",
                arguments->directory.path, kept);
        return;
    }
    (void) printf("%s: %s%s; %" PRIu64 " collections, %" PRIu64 " of them whole",
            arguments->to != NULL ? arguments->to : arguments->directory.path,
            arguments->dry_run ? "repairable" : "repaired and verified",
            totals->has_lost ? ", with losses" : ", nothing is lost", totals->n_collections,
            totals->n_whole);
    if (!arguments->dry_run)
        (void) printf(", %" PRIu64 " records", totals->n_records);
    if (kept[0] != '\0')
        (void) printf("; the damaged directory is kept as %s", kept);
    (void) putchar('\n');
}

static void
draw(void *context, const char *phase, uint64_t done, uint64_t total)
{
    struct arguments *arguments = context;
    och_progress_draw_phase(&arguments->progress, phase, done, total);
}

static och_exit
run(int argc, char **argv)
{
    static struct arguments arguments;
    char kept[PATH_MAX] = "";
    if (!och_command_parse(&argp, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    och_command_raise_descriptor_limit(); /* a collection's files, all at once */
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    och_progress_begin(&arguments.progress, !arguments.directory.quiet);
    const struct och_repair_options how = {.mem = &mem,
            .machine = och_machine_posix(),
            .report = print_finding,
            .summarize = print_collection,
            .progress = arguments.progress.is_shown ? draw : NULL,
            .context = &arguments};
    struct och_repair_totals totals = {.n_collections = 0};
    struct ochre_error err = {.status = OCHRE_OK};
    if (arguments.directory.json)
        (void) printf("{\"findings\": [");
    ochre_status status = arguments.in_place && !arguments.dry_run
            ? och_repair_in_place(&how, arguments.directory.path, kept, sizeof(kept), &totals, &err)
            : och_repair_directory(&how, arguments.directory.path,
                      arguments.dry_run ? NULL : arguments.to, &totals, &err);
    och_progress_end(&arguments.progress);
    och_exit code = och_command_exit_of(status);
    if (code != OCH_EXIT_OK)
        och_command_complain("%s", err.message);
    if (arguments.directory.json)
        print_json_end(&arguments, code, &totals, kept, code == OCH_EXIT_OK ? "" : err.message);
    else if (code == OCH_EXIT_OK)
        print_end(&arguments, &totals, kept);
    if (fflush(stdout) != 0 && code == OCH_EXIT_OK)
        return OCH_EXIT_FAILURE;
    return code;
}

const struct och_command och_command_repair = {
        .name = "repair",
        .summary = "make a sound directory of what is left of a damaged one",
        .argp = &argp,
        .run = run,
};
