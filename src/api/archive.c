#include "api/archive.h"

#include <string.h>

#include "api/archive_internal.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/catalog.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/write.h"
#include "os/clock.h"
#include "os/vfs.h"

static struct och_archive *
archive_of(const struct och_record_log *log)
{
    return (struct och_archive *) (uintptr_t) log;
}

static struct och_archive *
archive_of_notes(struct och_notes *notes)
{
    char *start = (char *) notes - offsetof(struct och_archive, notes);
    return (struct och_archive *) (void *) start;
}

/* --- what is put before a group --------------------------------------------------- */

static uint64_t
now_of(const struct och_archive *archive)
{
    uint64_t now = och_machine_wall_ns(archive->options.machine);
    return now > archive->last_ns ? now : archive->last_ns;
}

/* Encode a note into `buf`, and make a record of it. */
static ochre_status
make_record(struct och_buf *buf, const struct och_note *note, struct och_log_record *record_out,
        struct ochre_error *err)
{
    och_buf_reset(buf);
    och_note_encode(note, buf);
    if (och_buf_status(buf) != OCHRE_OK)
        return buf->full
                ? och_fail(err, OCHRE_TOO_LARGE, "a change of more than %zu bytes", buf->size_max)
                : och_fail_memory(err);
    *record_out = (struct och_log_record){.type = OCH_RECORD_NOTE,
            .payload = {buf->data, buf->size},
            .payload_crc = och_crc32c(0, buf->data, buf->size)};
    return OCHRE_OK;
}

/* Is it time to say what time it is?  What was written between two such notes was
 * written between their times. */
static bool
wants_time(const struct och_archive *archive, const struct och_log_record *records, uint64_t now)
{
    return records[0].type == OCH_RECORD_WRITE &&
            now - archive->last_ns >= OCH_ARCHIVE_TIME_MS * UINT64_C(1000000);
}

/*
 * The catalog, which could not tell, is asked once more before a record of this type.  Where
 * it still cannot, a change is refused, as the catalog would refuse it.  A write does not
 * wait for an archive: what is archived from here on begins anew.  What is only said of the
 * log itself can wait.
 */
static ochre_status
answer(struct och_archive *archive, enum och_record_type type, struct ochre_error *err)
{
    const struct ochre_bytes payload = {archive->open_note.data, archive->open_note.size};
    struct och_note note;
    bool done = false;
    if (type != OCH_RECORD_WRITE && type != OCH_RECORD_NOTE)
        return OCHRE_OK;
    if (!och_note_decode(payload, &note)) {
        archive->owed = OCH_OWED_BEGIN;
        return OCHRE_OK;
    }
    ochre_status status =
            och_archive_is_done(archive->options.catalog, archive->options.mem, &note, &done, err);
    if (status == OCHRE_OK)
        archive->owed = done ? OCH_OWED_NOTHING : OCH_OWED_UNDONE;
    else if (type == OCH_RECORD_NOTE)
        return status;
    else
        archive->owed = OCH_OWED_BEGIN;
    return OCHRE_OK;
}

static ochre_status
log_append(struct och_record_log *port, struct och_log_record *records, size_t n,
        struct ochre_error *err)
{
    struct och_archive *archive = archive_of(port);
    size_t n_before = 0;
    ochre_status status = OCHRE_OK;
    uint64_t now = now_of(archive);
    struct och_note note = {.time_ns = now, .lsn = archive->owed_lsn};
    och_assert(n <= OCH_ARCHIVE_GROUP_MAX);
    if (archive->owed == OCH_OWED_ANSWER)
        status = answer(archive, records[0].type, err);
    if (status != OCHRE_OK)
        return status;
    if (archive->owed == OCH_OWED_UNDONE || archive->owed == OCH_OWED_BEGIN) {
        note.kind = archive->owed == OCH_OWED_UNDONE ? OCH_NOTE_UNDONE : OCH_NOTE_BEGIN;
        status = make_record(&archive->before[0], &note, &archive->records[n_before++], err);
    } else if (wants_time(archive, records, now)) {
        note = (struct och_note){.kind = OCH_NOTE_TIME, .time_ns = now};
        status = make_record(&archive->before[0], &note, &archive->records[n_before++], err);
    }
    if (status != OCHRE_OK)
        return status;
    memcpy(archive->records + n_before, records, n * sizeof(*records));
    status = archive->log->ops->append(archive->log, archive->records, n + n_before, err);
    if (status != OCHRE_OK)
        return status;
    memcpy(records, archive->records + n_before, n * sizeof(*records));
    if (n_before > 0)
        archive->last_ns = now;
    if (archive->owed != OCH_OWED_ANSWER) {
        archive->owed = OCH_OWED_NOTHING;
        archive->owed_lsn = 0;
    }
    return OCHRE_OK;
}

/* --- changes ------------------------------------------------------------------------ */

ochre_status
och_archive_note(
        struct och_archive *archive, const struct och_note *change, struct ochre_error *err)
{
    struct och_log_record record = {.type = 0};
    struct och_note note = *change;
    note.time_ns = now_of(archive);
    ochre_status status = make_record(&archive->note, &note, &record, err);
    if (status == OCHRE_OK)
        status = log_append(&archive->port, &record, 1, err);
    if (status != OCHRE_OK)
        return status;
    archive->last_ns = note.time_ns;
    archive->note_lsn = record.lsn;
    return OCHRE_OK;
}

static ochre_status
before_change(struct och_notes *notes, const struct och_note *change, struct ochre_error *err)
{
    return och_archive_note(archive_of_notes(notes), change, err);
}

static bool
same(struct ochre_bytes a, struct ochre_bytes b)
{
    if (a.data == NULL || b.data == NULL)
        return a.data == b.data;
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static ochre_status
is_there(ochre_status status, bool wanted, bool *done_out)
{
    if (status != OCHRE_OK && status != OCHRE_NOT_FOUND)
        return status;
    *done_out = (status == OCHRE_OK) == wanted;
    return OCHRE_OK;
}

static ochre_status
count_one(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    (void) id;
    (void) number;
    (void) state;
    (void) n_segments;
    ++*(size_t *) context;
    return OCHRE_OK;
}

/* A collection's row says what the note says. */
static ochre_status
is_updated(struct och_catalog *catalog, struct och_arena *arena, const struct och_note *note,
        bool *done_out, struct ochre_error *err)
{
    struct och_collection_row row = {.number = 0};
    ochre_status status = catalog->ops->collection_by_id(catalog, arena, note->id, &row, err);
    if (status != OCHRE_OK)
        return is_there(status, true, done_out);
    *done_out = same(row.name, note->name) && same(row.metadata, note->metadata) &&
            same(row.schema, note->schema);
    return OCHRE_OK;
}

static ochre_status
ask_catalog(struct och_catalog *catalog, struct och_arena *arena, const struct och_note *note,
        bool *done_out, struct ochre_error *err)
{
    const struct och_catalog_ops *ops = catalog->ops;
    struct och_collection_row row;
    struct och_database_row database = {.id = {{0}}};
    struct ochre_bytes text = {NULL, 0};
    size_t n = 0;
    ochre_status status;
    switch (note->kind) {
    case OCH_NOTE_TENANT_CREATE:
        return is_there(ops->tenant_get(catalog, arena, note->tenant, &text, err), true, done_out);
    case OCH_NOTE_TENANT_NAME:
        status =
                is_there(ops->tenant_get(catalog, arena, note->tenant, &text, err), true, done_out);
        *done_out = *done_out && same(text, note->name);
        return status;
    case OCH_NOTE_DATABASE_CREATE:
    case OCH_NOTE_DATABASE_DELETE:
        status = is_there(
                ops->database_get(catalog, arena, note->tenant, note->database, &database, err),
                note->kind == OCH_NOTE_DATABASE_CREATE, done_out);
        if (note->kind == OCH_NOTE_DATABASE_CREATE)
            *done_out = *done_out && och_uuid_equal(database.id, note->id);
        return status;
    case OCH_NOTE_COLLECTION_CREATE:
    case OCH_NOTE_COLLECTION_FORK:
    case OCH_NOTE_PIN:
    case OCH_NOTE_COLLECTION_DELETE:
        return is_there(ops->collection_by_id(catalog, arena, note->id, &row, err),
                note->kind != OCH_NOTE_COLLECTION_DELETE, done_out);
    case OCH_NOTE_COLLECTION_UPDATE:
        return is_updated(catalog, arena, note, done_out, err);
    case OCH_NOTE_RESET:
        status = ops->each_collection(catalog, arena, count_one, &n, err);
        *done_out = n == 0;
        return status;
    case OCH_NOTE_BEGIN:
    case OCH_NOTE_TIME:
    case OCH_NOTE_UNDONE:
        break;
    }
    return OCHRE_OK;
}

ochre_status
och_archive_is_done(struct och_catalog *catalog, struct och_mem *mem, const struct och_note *note,
        bool *done_out, struct ochre_error *err)
{
    struct och_arena arena;
    *done_out = false;
    och_arena_init(&arena, mem);
    ochre_status status = ask_catalog(catalog, &arena, note, done_out, err);
    och_arena_clear(&arena);
    return status;
}

/* What was refused with a reason that the catalog gives without a change, has not happened;
 * a name may be there that somebody else gave. */
static void
after_change(struct och_notes *notes, const struct och_note *note, ochre_status status)
{
    struct och_archive *archive = archive_of_notes(notes);
    (void) note;
    if (status == OCHRE_OK)
        return;
    archive->owed_lsn = archive->note_lsn;
    archive->owed = OCH_OWED_UNDONE;
    if (status == OCHRE_EXISTS || status == OCHRE_NOT_FOUND || status == OCHRE_INVALID)
        return;
    archive->owed = OCH_OWED_ANSWER;
    /* As it is in the log: there may be no memory to make it once more. */
    struct och_buf payload = archive->note;
    archive->note = archive->open_note;
    archive->open_note = payload;
}

/* --- the rest of the log -------------------------------------------------------------- */

static bool
log_wants_prepare(const struct och_record_log *port)
{
    const struct och_record_log *log = archive_of(port)->log;
    return log->ops->wants_prepare(log);
}

static ochre_status
log_prepare(struct och_record_log *port, struct ochre_error *err)
{
    struct och_record_log *log = archive_of(port)->log;
    return log->ops->prepare(log, err);
}

static void
log_roll(struct och_record_log *port)
{
    struct och_record_log *log = archive_of(port)->log;
    log->ops->roll(log);
}

/* What is not in the archive stays. */
static uint64_t
clamp(const struct och_archive *archive, uint64_t lsn)
{
    uint64_t archived = atomic_load_explicit(&archive->archived_lsn, memory_order_acquire);
    return lsn < archived ? lsn : archived;
}

static bool
log_can_trim(const struct och_record_log *port, uint64_t lsn)
{
    const struct och_archive *archive = archive_of(port);
    return archive->log->ops->can_trim(archive->log, clamp(archive, lsn));
}

static ochre_status
log_trim(struct och_record_log *port, uint64_t lsn, struct ochre_error *err)
{
    struct och_archive *archive = archive_of(port);
    return archive->log->ops->trim(archive->log, clamp(archive, lsn), err);
}

static uint64_t
log_oldest_lsn(const struct och_record_log *port)
{
    const struct och_record_log *log = archive_of(port)->log;
    return log->ops->oldest_lsn(log);
}

static uint64_t
log_next_lsn(const struct och_record_log *port)
{
    const struct och_record_log *log = archive_of(port)->log;
    return log->ops->next_lsn(log);
}

static uint64_t
log_size(const struct och_record_log *port)
{
    const struct och_record_log *log = archive_of(port)->log;
    return log->ops->size(log);
}

static ochre_status
log_each_file(const struct och_record_log *port,
        ochre_status (*visit)(void *context, uint64_t number, uint64_t size), void *context)
{
    const struct och_record_log *log = archive_of(port)->log;
    return log->ops->each_file(log, visit, context);
}

static struct och_log_stats
log_stats(const struct och_record_log *port)
{
    const struct och_record_log *log = archive_of(port)->log;
    return log->ops->stats(log);
}

static bool
log_has_holes(const struct och_record_log *port)
{
    const struct och_record_log *log = archive_of(port)->log;
    return log->ops->has_holes(log);
}

static bool
log_lacks(struct och_record_log *port, uint32_t collection, uint64_t lsn)
{
    struct och_record_log *log = archive_of(port)->log;
    return log->ops->lacks(log, collection, lsn);
}

static ochre_status
log_settle(struct och_record_log *port, struct ochre_error *err)
{
    struct och_record_log *log = archive_of(port)->log;
    return log->ops->settle(log, err);
}

static bool
log_rest(struct och_record_log *port, bool all)
{
    struct och_record_log *log = archive_of(port)->log;
    return log->ops->rest(log, all);
}

static void
log_put_reach(const struct och_record_log *port, struct och_buf *out)
{
    const struct och_record_log *log = archive_of(port)->log;
    log->ops->put_reach(log, out);
}

/* The engine is done with it; the archive is closed by itself. */
static void
log_close(struct och_record_log *port)
{
    struct och_archive *archive = archive_of(port);
    if (archive->log != NULL)
        archive->log->ops->close(archive->log);
    archive->log = NULL;
}

static const struct och_log_ops log_ops = {
        .append = log_append,
        .wants_prepare = log_wants_prepare,
        .prepare = log_prepare,
        .roll = log_roll,
        .can_trim = log_can_trim,
        .trim = log_trim,
        .oldest_lsn = log_oldest_lsn,
        .next_lsn = log_next_lsn,
        .size = log_size,
        .each_file = log_each_file,
        .stats = log_stats,
        .has_holes = log_has_holes,
        .lacks = log_lacks,
        .settle = log_settle,
        .rest = log_rest,
        .put_reach = log_put_reach,
        .close = log_close,
};

/* --- opening ---------------------------------------------------------------------------- */

/* Remember the note of a change that nothing but bookkeeping follows: a crash may have come
 * before its change. */
static ochre_status
visit_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct och_archive *archive = context;
    struct och_note note;
    bool is_note =
            record->type == OCH_RECORD_NOTE && !damaged && och_note_decode(record->payload, &note);
    if (is_note && note.time_ns > archive->last_ns)
        archive->last_ns = note.time_ns;
    if (record->type == OCH_RECORD_WRITE || (is_note && note.kind != OCH_NOTE_TIME))
        archive->open_lsn = 0;
    if (is_note && och_note_is_change(&note)) {
        archive->open_lsn = record->lsn;
        och_buf_reset(&archive->open_note);
        och_buf_put(&archive->open_note, record->payload.data, record->payload.size);
        if (och_buf_status(&archive->open_note) != OCHRE_OK)
            return och_fail_memory(err);
    }
    return archive->visit(archive->visit_context, record, damaged, err);
}

static ochre_status
open_log(void *context, uint64_t lsn_min, bool passes_holes, och_log_visit visit,
        void *visit_context, struct och_record_log **log_out, struct ochre_error *err)
{
    struct och_archive *archive = context;
    struct och_log_source *source = &archive->options.log;
    *log_out = NULL;
    if (passes_holes) /* what is archived has to be had again by doing all of it in order */
        return och_fail(err, OCHRE_CORRUPT, "a log with holes cannot be archived");
    archive->visit = visit;
    archive->visit_context = visit_context;
    ochre_status status = source->open(
            source->context, lsn_min, false, visit_record, archive, &archive->log, err);
    if (status == OCHRE_OK)
        *log_out = &archive->port;
    return status;
}

ochre_status
och_archive_open(const struct och_archive_options *options, struct och_archive **archive_out,
        struct ochre_error *err)
{
    struct och_archive *archive = och_mem_take_zeroed(options->mem, sizeof(*archive));
    *archive_out = archive;
    if (archive == NULL)
        return och_fail_memory(err);
    archive->port.ops = &log_ops;
    archive->notes = (struct och_notes){before_change, after_change};
    archive->options = *options;
    och_mutex_init(&archive->lock);
    for (size_t i = 0; i < OCH_ARCHIVE_BEFORE_MAX; i++)
        och_buf_init(&archive->before[i], options->mem, OCH_WRITE_SIZE_MAX);
    och_buf_init(&archive->note, options->mem, OCH_WRITE_SIZE_MAX);
    och_buf_init(&archive->open_note, options->mem, OCH_WRITE_SIZE_MAX);
    return OCHRE_OK;
}

void
och_archive_close(struct och_archive *archive)
{
    if (archive == NULL)
        return;
    log_close(&archive->port);
    for (size_t i = 0; i < OCH_ARCHIVE_BEFORE_MAX; i++)
        och_buf_clear(&archive->before[i]);
    och_buf_clear(&archive->note);
    och_buf_clear(&archive->open_note);
    och_mutex_clear(&archive->lock);
    och_mem_release(archive->options.mem, archive, sizeof(*archive));
}

struct och_log_source
och_archive_log(struct och_archive *archive)
{
    return (struct och_log_source){open_log, archive};
}

struct och_notes *
och_archive_notes(struct och_archive *archive)
{
    return &archive->notes;
}

struct och_archive_state
och_archive_state(struct och_archive *archive)
{
    return (struct och_archive_state){
            .next_lsn = atomic_load_explicit(&archive->archived_lsn, memory_order_relaxed),
            .time_ns = atomic_load_explicit(&archive->copied_ns, memory_order_relaxed),
            .n_failures = atomic_load_explicit(&archive->n_failures, memory_order_relaxed)};
}
