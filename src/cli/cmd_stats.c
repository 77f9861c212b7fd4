#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/stats.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "cli/command.h"

static const struct argp_option options[] = {
        OCH_OPTION_PATH("The data directory"),
        OCH_OPTION_JSON("Print all of it as one JSON object"),
        {0},
};

static error_t
parse_option(int key, char *argument, struct argp_state *state)
{
    return och_command_take_directory(state->input, key, argument, state);
}

static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "DIR",
        .doc = "Say what the data directory DIR holds and what that costs: records, files and "
               "bytes of each collection, of the log and of the catalog.  Reads no records and "
               "changes nothing.  A process may use DIR meanwhile; a server answers the same as "
               "`curl http://localhost:8000/ochre/v1/stats`."
               "\vDEAD counts deleted and replaced records that still take space, UNSEALED those "
               "that are in the log only, SHARED the files that a fork has in common with others. "
               " A file with several names counts once in the totals."
               "\n\nExit status: 0 done, 1 damaged or failed, 2 wrong arguments.",
};

/* --- a table ---------------------------------------------------------------------- */

enum { SIZE_TEXT = 16, NUMBER_TEXT = 24 };

/* Three digits that count, and a unit. */
static const char *
size_text(char text[SIZE_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double) bytes;
    size_t unit = 0;
    while (size >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        size /= 1024;
        unit++;
    }
    int digits = unit == 0 || size >= 99.5 ? 0 : size >= 9.95 ? 1 : 2;
    (void) snprintf(text, SIZE_TEXT, "%.*f %s", digits, size, units[unit]);
    return text;
}

static const char *
number_text(char text[NUMBER_TEXT], uint64_t number, uint64_t unknown)
{
    if (number == unknown)
        return "-";
    (void) snprintf(text, NUMBER_TEXT, "%" PRIu64, number);
    return text;
}

static const char *
space_text(ochre_space space)
{
    return space == OCHRE_SPACE_L2 ? "l2" : space == OCHRE_SPACE_COSINE ? "cosine" : "ip";
}

/* Names are anybody's bytes: what could move a terminal's cursor is shown as "?". */
static void
print_name(struct ochre_bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        unsigned char byte = (unsigned char) name.data[i];
        (void) putchar(byte < 0x20 || byte == 0x7f ? '?' : byte);
    }
}

static bool
is_same(struct ochre_bytes a, struct ochre_bytes b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static void
print_heading(const struct ochre_collection_stats *collection)
{
    print_name(collection->tenant);
    (void) putchar('/');
    print_name(collection->database);
    (void) printf("\n  %10s %9s %9s %6s %-6s %6s %7s %9s %9s %9s %9s %9s  %s\n", "RECORDS", "DEAD",
            "UNSEALED", "DIM", "SPACE", "FILES", "SHARED", "VECTORS", "TEXTS", "INDEX", "DELETES",
            "TOTAL", "NAME");
}

static void
print_collection(const struct ochre_collection_stats *collection)
{
    char numbers[3][NUMBER_TEXT];
    char sizes[5][SIZE_TEXT];
    const struct ochre_file_bytes *bytes = &collection->bytes;
    uint64_t texts = bytes->ids + bytes->documents + bytes->uris + bytes->metadata;
    uint64_t index = bytes->metadata_index + bytes->codes + bytes->graph;
    (void) printf("  %10s %9" PRIu64 " %9s %6s %-6s %6" PRIu64 " %7" PRIu64
                  " %9s %9s %9s %9s %9s  ",
            number_text(numbers[0], collection->records, UINT64_MAX), collection->dead_rows,
            number_text(numbers[1], collection->unsealed_rows, UINT64_MAX),
            number_text(numbers[2], collection->dim, 0), space_text(collection->space),
            collection->segments + collection->delete_files, collection->shared_files,
            size_text(sizes[0], bytes->vectors), size_text(sizes[1], texts),
            size_text(sizes[2], index), size_text(sizes[3], bytes->deletes),
            size_text(sizes[4], collection->n_bytes));
    print_name(collection->name);
    (void) printf("%s\n", collection->is_fork ? " (fork)" : "");
    if (collection->problem != NULL)
        (void) printf("  %10s %s\n", "problem:", collection->problem);
}

static void
print_size(const char *what, uint64_t bytes, const char *more)
{
    char size[SIZE_TEXT];
    (void) printf("  %-22s %10s%s\n", what, size_text(size, bytes), more);
}

static void
print_totals(const struct ochre_stats *totals)
{
    char more[80];
    (void) printf("total\n  %" PRIu64 " collections (%" PRIu64 " forks), %" PRIu64
                  " records, %" PRIu64 " dead, %" PRIu64 " unsealed\n",
            totals->collections, totals->forks, totals->records, totals->dead_rows,
            totals->unsealed_rows);
    if (totals->pins > 0)
        (void) printf("  %" PRIu64 " pins\n", totals->pins);
    (void) snprintf(more, sizeof(more), "  in %" PRIu64 " segments, %" PRIu64 " delete files",
            totals->segments, totals->delete_files);
    print_size("files of collections", totals->segment_bytes, more);
    print_size("  vectors", totals->bytes.vectors, "");
    print_size("  ids", totals->bytes.ids, "");
    print_size("  documents", totals->bytes.documents, "");
    print_size("  uris", totals->bytes.uris, "");
    print_size("  metadata", totals->bytes.metadata, "");
    print_size("  index of metadata", totals->bytes.metadata_index, "");
    print_size("  codes", totals->bytes.codes, "");
    print_size("  graph", totals->bytes.graph, "");
    print_size("  deletes", totals->bytes.deletes, "");
    if (totals->pins > 0)
        print_size("  for pins only", totals->pinned_bytes, "");
    print_size("  checksums, padding", totals->bytes.other, "");
    (void) snprintf(more, sizeof(more), "  in %" PRIu64 " files", totals->log_files);
    print_size("log", totals->log_bytes, more);
    print_size("catalog and its copy", totals->catalog_bytes, "");
    print_size("reserve", totals->reserve_bytes, "");
    (void) snprintf(more, sizeof(more), "  in %" PRIu64 " files, about to be removed",
            totals->unlisted_files);
    print_size("unlisted", totals->unlisted_bytes, totals->unlisted_files == 0 ? "" : more);
    print_size("other", totals->other_bytes, "");
    more[0] = '\0';
    if (totals->live_bytes > 0)
        (void) snprintf(more, sizeof(more), "  in %" PRIu64 " files; %.2f of what records take",
                totals->disk_files, (double) totals->disk_bytes / (double) totals->live_bytes);
    print_size("on disk", totals->disk_bytes, more);
    print_size("free", totals->free_bytes, "");
}

static bool
print_table(const struct och_stats *stats)
{
    for (size_t i = 0; i < stats->n_collections; i++) {
        const struct ochre_collection_stats *now = &stats->collections[i];
        if (i == 0 || !is_same(now[-1].tenant, now->tenant) ||
                !is_same(now[-1].database, now->database))
            print_heading(now);
        print_collection(now);
    }
    print_totals(&stats->totals);
    return fflush(stdout) == 0;
}

/* --- the command --------------------------------------------------------------------- */

static bool
print_json(struct och_mem *mem, const struct och_stats *stats)
{
    struct och_buf buf;
    och_buf_init(&buf, mem, SIZE_MAX / 2);
    och_stats_put_json(&buf, stats);
    och_buf_put_u8(&buf, '\n');
    bool printed = och_buf_status(&buf) == OCHRE_OK &&
            fwrite(buf.data, 1, buf.size, stdout) == buf.size && fflush(stdout) == 0;
    och_buf_clear(&buf);
    return printed;
}

static och_exit
run(int argc, char **argv)
{
    struct och_directory_arguments arguments = {0};
    if (!och_command_parse(&argp, argc, argv, &arguments))
        return OCH_EXIT_USAGE;
    och_command_raise_descriptor_limit(); /* a file each for what the log is about */
    struct och_mem mem;
    struct och_arena arena;
    struct och_stats stats;
    struct ochre_error err = {0};
    ochre_db *db = NULL;
    const struct ochre_options open_options = {
            .size = sizeof(open_options), .must_exist = true, .read_only = true};
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    bool printed = true;
    ochre_status status = ochre_open(arguments.path, &open_options, &db, &err);
    if (status == OCHRE_OK)
        status = och_op_stats(db, &arena, &stats, &err);
    if (status == OCHRE_OK)
        printed = arguments.json ? print_json(&mem, &stats) : print_table(&stats);
    ochre_close(db);
    och_arena_clear(&arena);
    if (status != OCHRE_OK) {
        och_command_complain("%s", err.message);
        return och_command_exit_of(status);
    }
    return printed ? OCH_EXIT_OK : OCH_EXIT_FAILURE;
}

const struct och_command och_command_stats = {
        .name = "stats",
        .summary = "say what a data directory holds and costs",
        .argp = &argp,
        .run = run,
};
