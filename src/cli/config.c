#include "cli/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "cli/suggest.h"

/* A configuration of ours is a page; anything like this is the wrong file. */
enum { FILE_SIZE_MAX = 1 << 20 };

/* Origins or hosts in one list. */
enum { LIST_MAX = 1000 };

/* Threads of a kind; more would only wait for one another. */
enum { THREADS_MAX = 1024 };

/* With less, requests of usual size are refused; more is no limit. */
#define MEMORY_MIN (UINT64_C(16) << 20)
#define MEMORY_MAX (UINT64_C(1) << 50)
const char och_config_memory_range[] =
        "a whole number of bytes, or of K, M or G, from 16M to 1048576G";

/* Nesting of what is passed over. */
enum { DEPTH_MAX = 64 };

typedef enum kind {
    KIND_TEXT,
    KIND_PORT,
    KIND_SIZE,
    KIND_THREADS,
    KIND_HOURS,
    KIND_SECONDS,
    KIND_MEMORY,
    KIND_BOOL,
    KIND_LIST,
    KIND_LEVEL,
    KIND_TELEMETRY, /* a mapping of known keys that does nothing yet */
    KIND_IGNORED    /* anything, and it does nothing */
} kind;

struct key {
    const char *name;
    kind kind;
    size_t offset; /* in struct och_config */
};

static const struct key keys[] = {
        {"port", KIND_PORT, offsetof(struct och_config, port)},
        {"listen_address", KIND_TEXT, offsetof(struct och_config, host)},
        {"persist_path", KIND_TEXT, offsetof(struct och_config, path)},
        {"max_payload_size_bytes", KIND_SIZE, offsetof(struct och_config, body_size_max)},
        {"cors_allow_origins", KIND_LIST, offsetof(struct och_config, origins)},
        {"allow_reset", KIND_BOOL, offsetof(struct och_config, allow_reset)},
        {"read_only", KIND_BOOL, offsetof(struct och_config, read_only)},
        {"open_telemetry", KIND_TELEMETRY, 0},
        {"allowed_hosts", KIND_LIST, offsetof(struct och_config, hosts)},
        {"backup_dir", KIND_TEXT, offsetof(struct och_config, backup_dir)},
        {"insecure_no_auth", KIND_BOOL, offsetof(struct och_config, insecure_no_auth)},
        {"purge_hours", KIND_HOURS, offsetof(struct och_config, purge_hours)},
        {"retain_seconds", KIND_SECONDS, offsetof(struct och_config, retain_seconds)},
        {"scrub_hours", KIND_HOURS, offsetof(struct och_config, scrub_hours)},
        {"archive", KIND_TEXT, offsetof(struct och_config, archive)},
        {"archive_seconds", KIND_SECONDS, offsetof(struct och_config, archive_seconds)},
        {"user", KIND_TEXT, offsetof(struct och_config, user)},
        {"sandbox", KIND_BOOL, offsetof(struct och_config, sandbox)},
        {"core_dumps", KIND_BOOL, offsetof(struct och_config, core_dumps)},
        {"io_threads", KIND_THREADS, offsetof(struct och_config, n_io_threads)},
        {"threads", KIND_THREADS, offsetof(struct och_config, n_threads)},
        {"memory_limit", KIND_MEMORY, offsetof(struct och_config, memory_limit)},
        {"log_level", KIND_LEVEL, offsetof(struct och_config, log_level)},
        {"sqlitedb", KIND_IGNORED, 0},
        {"sysdb", KIND_IGNORED, 0},
        {"log", KIND_IGNORED, 0},
        {"executor", KIND_IGNORED, 0},
        {"segment_manager", KIND_IGNORED, 0},
        {"circuit_breaker", KIND_IGNORED, 0},
        {"default_knn_index", KIND_IGNORED, 0},
        {"enable_schema", KIND_IGNORED, 0},
};
enum { N_KEYS = sizeof(keys) / sizeof(keys[0]) };

static const char *const telemetry_names[] = {"service_name", "endpoint", "filters"};
enum { N_TELEMETRY = sizeof(telemetry_names) / sizeof(telemetry_names[0]) };

static_assert(N_KEYS <= 32, "the keys seen so far fit a word");

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; owned */
    bool has_event;
    const char *name; /* of the file */
    struct och_config *config;
    struct och_arena *arena;
    struct ochre_error *err;
};

struct och_config
och_config_defaults(void)
{
    return (struct och_config){.path = "./ochre-data",
            .purge_hours = OCH_PURGE_HOURS,
            .retain_seconds = OCH_RETAIN_SECONDS,
            .scrub_hours = OCH_SCRUB_HOURS,
            .archive_seconds = OCH_ARCHIVE_SECONDS,
            .host = "localhost",
            .port = 8000,
            .body_size_max = OCH_BODY_SIZE_MAX,
            .sandbox = true,
            .log_level = OCH_LOG_INFO};
}

/* --- events ------------------------------------------------------------------ */

/* Go to the next event; a syntax error says where. */
static ochre_status
next(struct reader *reader)
{
    if (reader->has_event)
        yaml_event_delete(&reader->event);
    reader->has_event = yaml_parser_parse(&reader->parser, &reader->event) == 1;
    if (reader->has_event)
        return OCHRE_OK;
    if (reader->parser.error == YAML_MEMORY_ERROR)
        return och_fail_memory(reader->err);
    const char *problem = reader->parser.problem;
    return och_fail(reader->err, OCHRE_INVALID, "%s:%zu:%zu: %s", reader->name,
            reader->parser.problem_mark.line + 1, reader->parser.problem_mark.column + 1,
            problem == NULL ? "not YAML" : problem);
}

/* The current event is wrong: say what was wanted. */
static ochre_status
wrong(struct reader *reader, const char *key, const char *wanted)
{
    const yaml_mark_t *mark = &reader->event.start_mark;
    return och_fail(reader->err, OCHRE_INVALID, "%s:%zu:%zu: %s must be %s", reader->name,
            mark->line + 1, mark->column + 1, key, wanted);
}

static const char *
scalar(const struct reader *reader)
{
    return (const char *) reader->event.data.scalar.value;
}

/* A scalar without NUL bytes: what follows may treat it as a C string. */
static bool
is_scalar(const struct reader *reader)
{
    return reader->event.type == YAML_SCALAR_EVENT &&
            strlen(scalar(reader)) == reader->event.data.scalar.length;
}

/* Numbers and booleans are written without quotes; quoted they are text. */
static bool
is_plain(const struct reader *reader)
{
    return is_scalar(reader) && reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* Pass over the value that begins with the current event. */
static ochre_status
skip(struct reader *reader, const char *key)
{
    size_t depth = 0;
    for (;;) {
        yaml_event_type_t type = reader->event.type;
        if (type == YAML_ALIAS_EVENT)
            return wrong(reader, key, "written out: aliases are not understood");
        if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
            depth++;
        if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT)
            depth--;
        if (depth == 0)
            return OCHRE_OK;
        if (depth > DEPTH_MAX)
            return wrong(reader, key, "nested less deeply");
        ochre_status status = next(reader);
        if (status != OCHRE_OK)
            return status;
    }
}

/* --- values -------------------------------------------------------------------- */

static bool
parse_number(const char *text, uint64_t max, uint64_t *number_out)
{
    uint64_t number = 0;
    *number_out = 0;
    if (text[0] == '\0')
        return false;
    for (const char *digit = text; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9')
            return false;
        number = number * 10 + (uint64_t) (*digit - '0');
        if (number > max)
            return false;
    }
    *number_out = number;
    return true;
}

bool
och_config_port(const char *text, uint16_t *port_out)
{
    uint64_t number;
    bool valid = parse_number(text, UINT16_MAX, &number);
    *port_out = (uint16_t) number;
    return valid;
}

bool
och_config_memory(const char *text, size_t *size_out)
{
    static const char units[] = "KMG";
    char digits[24];
    size_t size = strlen(text);
    const char *unit = size > 0 ? strchr(units, text[size - 1]) : NULL;
    unsigned shift = unit == NULL ? 0 : 10 * (unsigned) (unit - units + 1);
    uint64_t number;
    *size_out = 0;
    if (unit != NULL)
        size--;
    if (size >= sizeof(digits))
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    if (!parse_number(digits, MEMORY_MAX >> shift, &number) || number << shift < MEMORY_MIN)
        return false;
    *size_out = (size_t) (number << shift);
    return true;
}

bool
och_config_log_level(const char *text, och_log_level *level_out)
{
    static const och_log_level levels[] = {
            OCH_LOG_ERROR, OCH_LOG_WARN, OCH_LOG_INFO, OCH_LOG_DEBUG};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(text, och_log_level_name(levels[i])) == 0) {
            *level_out = levels[i];
            return true;
        }
    }
    return false;
}

/* YAML 1.2's words for true and false. */
static bool
parse_bool(const char *text, bool *value_out)
{
    *value_out =
            strcmp(text, "true") == 0 || strcmp(text, "True") == 0 || strcmp(text, "TRUE") == 0;
    return *value_out || strcmp(text, "false") == 0 || strcmp(text, "False") == 0 ||
            strcmp(text, "FALSE") == 0;
}

static ochre_status
read_text(struct reader *reader, const char *key, const char **text_out)
{
    if (!is_scalar(reader) || scalar(reader)[0] == '\0')
        return wrong(reader, key, "a text");
    *text_out = och_arena_copy(reader->arena, scalar(reader), reader->event.data.scalar.length);
    return *text_out == NULL ? och_fail_memory(reader->err) : OCHRE_OK;
}

static ochre_status
read_number(struct reader *reader, const char *key, uint64_t min, uint64_t max, uint64_t *out)
{
    if (is_plain(reader) && parse_number(scalar(reader), max, out) && *out >= min)
        return OCHRE_OK;
    char wanted[80];
    (void) snprintf(wanted, sizeof(wanted), "a whole number from %llu to %llu",
            (unsigned long long) min, (unsigned long long) max);
    return wrong(reader, key, wanted);
}

static ochre_status
read_list(struct reader *reader, const char *key, struct och_config_list *list)
{
    *list = (struct och_config_list){0};
    if (reader->event.type != YAML_SEQUENCE_START_EVENT)
        return wrong(reader, key, "a list of texts");
    const char **texts = och_arena_take_array(reader->arena, LIST_MAX, sizeof(texts[0]));
    if (texts == NULL)
        return och_fail_memory(reader->err);
    size_t n = 0;
    for (;;) {
        ochre_status status = next(reader);
        if (status != OCHRE_OK)
            return status;
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        if (n == LIST_MAX)
            return wrong(reader, key, "a list of at most 1000 texts");
        status = read_text(reader, key, &texts[n]);
        if (status != OCHRE_OK)
            return status;
        n++;
    }
    *list = (struct och_config_list){texts, n};
    return OCHRE_OK;
}

static ochre_status
note_ignored(struct reader *reader, const struct key *key)
{
    struct och_config_list *ignored = &reader->config->ignored;
    if (ignored->texts == NULL)
        ignored->texts = och_arena_take_array(reader->arena, N_KEYS, sizeof(ignored->texts[0]));
    if (ignored->texts == NULL)
        return och_fail_memory(reader->err);
    ignored->texts[ignored->n++] = key->name;
    return OCHRE_OK;
}

static ochre_status
unknown(struct reader *reader, const char *inside, const char *const *names, size_t n_names)
{
    const yaml_mark_t *mark = &reader->event.start_mark;
    const char *nearest = och_suggest(scalar(reader), names, n_names);
    return och_fail(reader->err, OCHRE_INVALID, "%s:%zu:%zu: unknown key \"%.100s\"%s%s%s%s",
            reader->name, mark->line + 1, mark->column + 1, scalar(reader), inside,
            nearest == NULL ? "" : "; did you mean \"", nearest == NULL ? "" : nearest,
            nearest == NULL ? "" : "\"?");
}

static ochre_status
read_telemetry(struct reader *reader, const struct key *key)
{
    if (reader->event.type != YAML_MAPPING_START_EVENT)
        return wrong(reader, key->name, "a mapping");
    for (;;) {
        ochre_status status = next(reader);
        if (status != OCHRE_OK)
            return status;
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            return note_ignored(reader, key);
        if (!is_scalar(reader))
            return wrong(reader, "a key of open_telemetry", "a text");
        bool known = false;
        for (size_t i = 0; i < N_TELEMETRY; i++)
            known |= strcmp(scalar(reader), telemetry_names[i]) == 0;
        if (!known)
            return unknown(reader, " in open_telemetry", telemetry_names, N_TELEMETRY);
        status = next(reader);
        if (status == OCHRE_OK)
            status = skip(reader, key->name);
        if (status != OCHRE_OK)
            return status;
    }
}

/* Read the value that begins with the current event. */
static ochre_status
read_value(struct reader *reader, const struct key *key)
{
    void *field = (char *) reader->config + key->offset;
    ochre_status status;
    uint64_t number = 0;
    switch (key->kind) {
    case KIND_TEXT:
        return read_text(reader, key->name, field);
    case KIND_LIST:
        return read_list(reader, key->name, field);
    case KIND_PORT:
        status = read_number(reader, key->name, 0, UINT16_MAX, &number);
        if (status == OCHRE_OK)
            *(uint16_t *) field = (uint16_t) number;
        return status;
    case KIND_SIZE:
        status = read_number(reader, key->name, 1, OCH_HTTP_BODIES_MEMORY_MAX, &number);
        if (status == OCHRE_OK)
            *(size_t *) field = (size_t) number;
        return status;
    case KIND_THREADS:
        status = read_number(reader, key->name, 0, THREADS_MAX, &number);
        if (status == OCHRE_OK)
            *(unsigned *) field = (unsigned) number;
        return status;
    case KIND_HOURS:
        status = read_number(reader, key->name, 0, OCH_PURGE_HOURS_MAX, &number);
        if (status == OCHRE_OK)
            *(unsigned *) field = (unsigned) number;
        return status;
    case KIND_SECONDS:
        status = read_number(reader, key->name, 1, OCH_RETAIN_SECONDS_MAX, &number);
        if (status == OCHRE_OK)
            *(unsigned *) field = (unsigned) number;
        return status;
    case KIND_MEMORY:
        if (!is_scalar(reader) || !och_config_memory(scalar(reader), field))
            return wrong(reader, key->name, och_config_memory_range);
        return OCHRE_OK;
    case KIND_BOOL:
        if (!is_plain(reader) || !parse_bool(scalar(reader), field))
            return wrong(reader, key->name, "true or false");
        return OCHRE_OK;
    case KIND_LEVEL:
        if (!is_scalar(reader) || !och_config_log_level(scalar(reader), field))
            return wrong(reader, key->name, "error, warn, info or debug");
        return OCHRE_OK;
    case KIND_TELEMETRY:
        return read_telemetry(reader, key);
    case KIND_IGNORED:
        status = skip(reader, key->name);
        return status == OCHRE_OK ? note_ignored(reader, key) : status;
    }
    return och_fail(reader->err, OCHRE_INTERNAL, "key %s has no kind", key->name);
}

/* --- the file --------------------------------------------------------------------- */

/* The current event is a key: which one? */
static ochre_status
find_key(struct reader *reader, uint32_t *seen, const struct key **key_out)
{
    *key_out = NULL;
    if (!is_scalar(reader))
        return wrong(reader, "a key", "a text");
    const char *names[N_KEYS];
    for (size_t i = 0; i < N_KEYS; i++) {
        names[i] = keys[i].name;
        if (strcmp(scalar(reader), keys[i].name) == 0)
            *key_out = &keys[i];
    }
    if (*key_out == NULL)
        return unknown(reader, "", names, N_KEYS);
    uint32_t bit = UINT32_C(1) << (*key_out - keys);
    if ((*seen & bit) != 0)
        return wrong(reader, (*key_out)->name, "given once");
    *seen |= bit;
    return OCHRE_OK;
}

/* From the start of the mapping to its end. */
static ochre_status
read_mapping(struct reader *reader)
{
    uint32_t seen = 0;
    if (reader->event.type != YAML_MAPPING_START_EVENT)
        return wrong(reader, "the file", "a mapping of settings");
    for (;;) {
        const struct key *key;
        ochre_status status = next(reader);
        if (status != OCHRE_OK || reader->event.type == YAML_MAPPING_END_EVENT)
            return status;
        status = find_key(reader, &seen, &key);
        if (status == OCHRE_OK)
            status = next(reader);
        if (status != OCHRE_OK)
            return status;
        och_assert(key != NULL);
        status = read_value(reader, key);
        if (status != OCHRE_OK)
            return status;
    }
}

/* Is the document empty, or a lone null? */
static bool
is_nothing(const struct reader *reader)
{
    if (!is_plain(reader))
        return false;
    return scalar(reader)[0] == '\0' || strcmp(scalar(reader), "null") == 0 ||
            strcmp(scalar(reader), "~") == 0;
}

static ochre_status
read_stream(struct reader *reader)
{
    ochre_status status = next(reader); /* the start of the stream */
    if (status == OCHRE_OK)
        status = next(reader);
    if (status != OCHRE_OK || reader->event.type == YAML_STREAM_END_EVENT)
        return status; /* nothing but comments */
    status = next(reader);
    if (status == OCHRE_OK && !is_nothing(reader))
        status = read_mapping(reader);
    if (status == OCHRE_OK)
        status = next(reader); /* the end of the document */
    if (status == OCHRE_OK)
        status = next(reader);
    if (status == OCHRE_OK && reader->event.type != YAML_STREAM_END_EVENT)
        status = wrong(reader, "the file", "one document");
    return status;
}

ochre_status
och_config_parse(struct och_config *config, struct och_arena *arena, const char *name,
        const char *text, size_t size, struct ochre_error *err)
{
    struct reader reader = {.name = name, .config = config, .arena = arena, .err = err};
    if (yaml_parser_initialize(&reader.parser) != 1)
        return och_fail_memory(err);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *) text, size);
    ochre_status status = read_stream(&reader);
    if (reader.has_event)
        yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    return status;
}

static ochre_status
fail_to_read(struct ochre_error *err, const char *file, int reason)
{
    char buffer[100];
    return och_fail(err, reason == ENOENT ? OCHRE_NOT_FOUND : OCHRE_IO,
            "cannot read configuration file \"%.300s\": %s", file,
            strerror_r(reason, buffer, sizeof(buffer)));
}

ochre_status
och_config_read(struct och_config *config, struct och_arena *arena, const char *file,
        struct ochre_error *err)
{
    FILE *stream = fopen(file, "re");
    if (stream == NULL)
        return fail_to_read(err, file, errno);
    ochre_status status = OCHRE_OK;
    size_t size = 0;
    char *text = och_arena_take(arena, FILE_SIZE_MAX + 1);
    if (text == NULL) {
        status = och_fail_memory(err);
        goto done;
    }
    size = fread(text, 1, FILE_SIZE_MAX + 1, stream);
    if (ferror(stream) != 0) {
        status = fail_to_read(err, file, errno);
        goto done;
    }
    if (size > FILE_SIZE_MAX) {
        status = och_fail(err, OCHRE_TOO_LARGE,
                "configuration file \"%.300s\" is over %d bytes: not one of ours", file,
                FILE_SIZE_MAX);
        goto done;
    }
    status = och_config_parse(config, arena, file, text, size, err);

done:
    (void) fclose(stream); /* it was only read */
    return status;
}

bool
och_config_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (host == NULL || strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
    return false;
}
