#include "api/restore_point.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/archive_internal.h"
#include "api/backup_stream.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/restore_internal.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/write.h"
#include "os/cpu.h"
#include "os/vfs_posix.h"
#include "storage/log_note.h"

#define NS_PER_S UINT64_C(1000000000)
#define PAGE ((size_t) 4096)

/* --- points --------------------------------------------------------------------- */

/* `n` digits; false when there are not so many. */
static bool
take_digits(const char **text, int n, unsigned *value_out)
{
    *value_out = 0;
    for (int i = 0; i < n; i++, ++*text) {
        if (**text < '0' || **text > '9')
            return false;
        *value_out = *value_out * 10 + (unsigned) (**text - '0');
    }
    return true;
}

static bool
take_char(const char **text, char wanted)
{
    if (**text != wanted)
        return false;
    ++*text;
    return true;
}

static bool
is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01, which is not after it; false: there is no such day. */
static bool
days_of(unsigned year, unsigned month, unsigned day, uint64_t *days_out)
{
    static const unsigned lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t days = 0;
    if (year < 1970 || month < 1 || month > 12 || day < 1)
        return false;
    if (day > lengths[month - 1] + (month == 2 && is_leap(year) ? 1 : 0))
        return false;
    for (unsigned y = 1970; y < year; y++)
        days += is_leap(y) ? 366 : 365;
    for (unsigned m = 1; m < month; m++)
        days += lengths[m - 1] + (m == 2 && is_leap(year) ? 1 : 0);
    *days_out = days + day - 1;
    return true;
}

static bool
parse_time(const char *text, uint64_t *ns_out)
{
    unsigned year, month, day, hour, minute, second;
    uint64_t days = 0, fraction = 0;
    if (!take_digits(&text, 4, &year) || !take_char(&text, '-') || !take_digits(&text, 2, &month) ||
            !take_char(&text, '-') || !take_digits(&text, 2, &day) || !take_char(&text, 'T') ||
            !take_digits(&text, 2, &hour) || !take_char(&text, ':') ||
            !take_digits(&text, 2, &minute) || !take_char(&text, ':') ||
            !take_digits(&text, 2, &second))
        return false;
    if (take_char(&text, '.')) {
        uint64_t unit = NS_PER_S;
        if (*text < '0' || *text > '9')
            return false;
        for (; *text >= '0' && *text <= '9'; text++) {
            unit /= 10;
            fraction += unit * (uint64_t) (*text - '0');
        }
    }
    if (!take_char(&text, 'Z') || *text != '\0' || hour > 23 || minute > 59 || second > 59 ||
            year > 2500 || !days_of(year, month, day, &days))
        return false;
    *ns_out = (((days * 24 + hour) * 60 + minute) * 60 + second) * NS_PER_S + fraction;
    return true;
}

bool
och_point_parse(const char *text, struct och_point *point_out)
{
    enum { DIGITS_MAX = 18 };
    size_t size = strlen(text);
    *point_out = (struct och_point){.lsn = UINT64_MAX, .time_ns = UINT64_MAX};
    if (strcmp(text, "now") == 0)
        return true;
    if (size == 0 || size > DIGITS_MAX || strspn(text, "0123456789") != size)
        return parse_time(text, &point_out->time_ns);
    point_out->lsn = 0;
    for (; *text != '\0'; text++)
        point_out->lsn = point_out->lsn * 10 + (uint64_t) (*text - '0');
    return true;
}

/* --- doing it once more ----------------------------------------------------------- */

struct replay {
    struct ochre_db *db;
    struct och_mem *mem;
    struct och_arena arena; /* of one record */
    const struct och_point *point;
    struct och_point_reached *reached;
    struct och_buf pending; /* the note of a change that may be taken back; empty: none */
    uint64_t pending_lsn;
    uint64_t next_lsn; /* that the archive must have */
    bool is_at_point;
};

static ochre_status
fail_change(uint64_t lsn, const struct ochre_error *why, struct ochre_error *err)
{
    return och_fail(err, OCHRE_CORRUPT,
            "the change that record %" PRIu64 " of the archived log notes cannot be made again: "
            "%.300s",
            lsn, why->message);
}

static ochre_status
ready(void *context, const struct och_collection_row *row, const struct och_facts *facts,
        struct ochre_error *err)
{
    (void) context;
    (void) row;
    (void) facts;
    (void) err;
    return OCHRE_OK;
}

static ochre_status
find_by_id(struct replay *replay, struct och_uuid id, struct och_collection **collection_out,
        struct ochre_error *err)
{
    struct och_collection_row row;
    struct och_catalog *catalog = replay->db->catalog;
    *collection_out = NULL;
    ochre_status status = catalog->ops->collection_by_id(catalog, &replay->arena, id, &row, err);
    return status == OCHRE_OK ? och_engine_collection(replay->db->engine, &row, collection_out, err)
                              : status;
}

static ochre_status
fork_again(struct replay *replay, const struct och_note *note, struct ochre_error *err)
{
    struct och_collection *source = NULL;
    struct och_collection_row row = {.id = note->id,
            .tenant = note->tenant,
            .database = note->database,
            .name = note->name,
            .metadata = note->metadata};
    const struct och_fork_answer answer = {.arena = &replay->arena, .ready = ready};
    ochre_status status = find_by_id(replay, note->source, &source, err);
    if (status == OCHRE_OK)
        status = och_engine_fork(source, &row, &answer, err);
    och_collection_release(source);
    return status;
}

static ochre_status
update_again(struct replay *replay, const struct och_note *note, struct ochre_error *err)
{
    struct och_engine *engine = replay->db->engine;
    const struct och_collection_row row = {
            .id = note->id, .name = note->name, .metadata = note->metadata, .schema = note->schema};
    och_commit_enter(engine->commit);
    ochre_status status = och_engine_update(engine, &row, err);
    och_commit_leave(engine->commit);
    return status;
}

static ochre_status
change_again(struct replay *replay, const struct och_note *note, struct ochre_error *err)
{
    struct ochre_db *db = replay->db;
    struct och_catalog *catalog = db->catalog;
    struct och_collection_row row = {.id = note->id,
            .tenant = note->tenant,
            .database = note->database,
            .name = note->name,
            .metadata = note->metadata,
            .schema = note->schema};
    const struct och_database_row database = {
            .id = note->id, .tenant = note->tenant, .name = note->database};
    switch (note->kind) {
    case OCH_NOTE_TENANT_CREATE:
        return catalog->ops->tenant_create(catalog, note->tenant, err);
    case OCH_NOTE_TENANT_NAME:
        return catalog->ops->tenant_set_resource_name(catalog, note->tenant, note->name, err);
    case OCH_NOTE_DATABASE_CREATE:
        return catalog->ops->database_create(catalog, &database, err);
    case OCH_NOTE_DATABASE_DELETE:
        return och_op_database_delete(db, note->tenant, note->database, err);
    case OCH_NOTE_COLLECTION_CREATE:
        return catalog->ops->collection_create(catalog, &row, err);
    case OCH_NOTE_COLLECTION_UPDATE:
        return update_again(replay, note, err);
    case OCH_NOTE_COLLECTION_DELETE:
        return och_engine_drop(db->engine, note->id, err);
    case OCH_NOTE_COLLECTION_FORK:
    case OCH_NOTE_PIN:
        return fork_again(replay, note, err);
    case OCH_NOTE_RESET:
        return och_engine_reset(db->engine, err);
    case OCH_NOTE_BEGIN:
    case OCH_NOTE_TIME:
    case OCH_NOTE_UNDONE:
        break;
    }
    return OCHRE_OK;
}

static bool
is_of_the_machine(ochre_status status)
{
    return status == OCHRE_IO || status == OCHRE_FULL || status == OCHRE_NO_MEMORY;
}

/* What was noted last was not taken back: it happened. */
static ochre_status
settle_pending(struct replay *replay, struct ochre_error *err)
{
    struct och_note note;
    struct ochre_error why = {.status = OCHRE_OK};
    const struct ochre_bytes payload = {replay->pending.data, replay->pending.size};
    if (payload.size == 0)
        return OCHRE_OK;
    bool is_whole = och_note_decode(payload, &note); /* it was, when it came */
    och_assert(is_whole);
    bool is_done = false;
    ochre_status status = change_again(replay, &note, &why);
    /* A crash came before it was said that this was refused, as there was nothing to do. */
    if ((status == OCHRE_EXISTS || status == OCHRE_NOT_FOUND) &&
            och_archive_is_done(replay->db->catalog, replay->mem, &note, &is_done, NULL) ==
                    OCHRE_OK &&
            is_done)
        status = OCHRE_OK;
    och_buf_reset(&replay->pending);
    och_arena_clear(&replay->arena);
    if (status == OCHRE_OK) {
        replay->reached->n_changes++;
        return OCHRE_OK;
    }
    if (!is_of_the_machine(status))
        return fail_change(replay->pending_lsn, &why, err);
    if (err != NULL)
        *err = why;
    return status;
}

static ochre_status
write_again(struct replay *replay, const struct och_log_record *record, struct ochre_error *err)
{
    struct ochre_db *db = replay->db;
    struct och_catalog *catalog = db->catalog;
    struct och_collection_row row;
    struct och_collection *collection = NULL;
    ochre_status status = catalog->ops->collection_by_number(
            catalog, &replay->arena, record->collection, &row, err);
    if (status == OCHRE_NOT_FOUND)
        return och_fail(err, OCHRE_CORRUPT,
                "record %" PRIu64 " of the archived log writes to collection %" PRIu32
                ", which nothing has made",
                record->lsn, record->collection);
    if (status == OCHRE_OK)
        status = och_engine_collection(db->engine, &row, &collection, err);
    if (status == OCHRE_OK && record->position != collection->staged.position + 1)
        status = och_fail(err, OCHRE_CORRUPT,
                "record %" PRIu64 " of the archived log has position %" PRIu64 "; %" PRIu64
                " is next",
                record->lsn, record->position, collection->staged.position + 1);
    struct och_commit_request request = {.collection = collection, .payload = record->payload};
    if (status == OCHRE_OK)
        status = och_commit_run(db->engine->commit, &request, err);
    och_collection_release(collection);
    och_arena_clear(&replay->arena);
    replay->reached->n_writes += status == OCHRE_OK;
    return status;
}

/* What is before the first record to be done, or not wanted any more; *done_out: nothing is
 * to be done with it. */
static ochre_status
judge(struct replay *replay, uint64_t lsn, const struct och_note *note, bool *done_out,
        struct ochre_error *err)
{
    const struct och_point *point = replay->point;
    uint64_t first = replay->reached->first_lsn;
    bool is_later = note != NULL && note->time_ns > point->time_ns;
    *done_out = true;
    if (lsn < first && is_later)
        return och_fail(err, OCHRE_INVALID,
                "the backup is of a later moment than the one to restore; use an older one");
    if (lsn < first)
        return OCHRE_OK;
    if (lsn > replay->next_lsn)
        return och_fail(err, OCHRE_CORRUPT,
                "the archive goes on with record %" PRIu64
                ", and the backup ends at record %" PRIu64 ": files of the log are missing",
                lsn, replay->next_lsn - 1);
    replay->is_at_point |= lsn > point->lsn || is_later;
    *done_out = replay->is_at_point;
    return OCHRE_OK;
}

static ochre_status
take_note(struct replay *replay, const struct och_log_record *record, const struct och_note *note,
        struct ochre_error *err)
{
    if (note->kind == OCH_NOTE_BEGIN)
        return och_fail(err, OCHRE_INVALID,
                "the database was open without an archive, or was repaired, before record %" PRIu64
                ": what happened until then is not known; use a backup that was made after it",
                record->lsn);
    if (!och_note_is_change(note))
        return OCHRE_OK;
    och_buf_put(&replay->pending, record->payload.data, record->payload.size);
    replay->pending_lsn = record->lsn;
    return och_buf_status(&replay->pending) == OCHRE_OK ? OCHRE_OK : och_fail_memory(err);
}

static ochre_status
visit(void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct replay *replay = context;
    struct och_note note = {.kind = OCH_NOTE_TIME};
    bool is_note = record->type == OCH_RECORD_NOTE && !damaged;
    bool is_done = false;
    if (damaged && record->lsn >= replay->reached->first_lsn && record->lsn <= replay->point->lsn)
        return och_fail(err, OCHRE_CORRUPT,
                "record %" PRIu64 " of the archived log fails its checksum", record->lsn);
    if (is_note && !och_note_decode(record->payload, &note))
        return och_fail(err, OCHRE_UNSUPPORTED,
                "record %" PRIu64 " of the archived log notes what this version does not know",
                record->lsn);
    ochre_status status = judge(replay, record->lsn, is_note ? &note : NULL, &is_done, err);
    if (status != OCHRE_OK || (is_done && !replay->is_at_point))
        return status;
    if (is_note && note.kind == OCH_NOTE_UNDONE && note.lsn == replay->pending_lsn)
        och_buf_reset(&replay->pending);
    bool says_more = record->type == OCH_RECORD_WRITE || (is_note && note.kind != OCH_NOTE_TIME);
    replay->next_lsn = record->lsn + 1;
    /* What was noted before the point may be taken back behind it. */
    if (is_done && !says_more && replay->pending.size > 0)
        return OCHRE_OK;
    if (says_more || is_done)
        status = settle_pending(replay, err);
    if (status == OCHRE_OK && is_done)
        return och_fail(err, OCHRE_UNAVAILABLE, "the point is reached"); /* read no further */
    if (status == OCHRE_OK && record->type == OCH_RECORD_WRITE)
        status = write_again(replay, record, err);
    else if (status == OCHRE_OK && is_note)
        status = take_note(replay, record, &note, err);
    replay->reached->lsn = record->lsn;
    if (is_note)
        replay->reached->time_ns = note.time_ns;
    return status;
}

/* --- what there is ------------------------------------------------------------------- */

/* The log of the backup, the newest file of it, and the newest time that is noted in it. */
struct base {
    struct och_wal_options options;
    uint64_t next_lsn, number;
    uint64_t time_ns;
    bool has_time;
};

static ochre_status
note_time(void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct base *base = context;
    struct och_note note;
    if (base->next_lsn != 0 && record->lsn >= base->next_lsn)
        return och_fail(err, OCHRE_UNAVAILABLE, "this is behind the backup"); /* read no further */
    if (damaged || record->type != OCH_RECORD_NOTE || !och_note_decode(record->payload, &note))
        return OCHRE_OK;
    base->time_ns = note.time_ns > base->time_ns ? note.time_ns : base->time_ns;
    base->has_time = true;
    return OCHRE_OK;
}

static ochre_status
note_number(void *context, uint64_t number, uint64_t size)
{
    (void) size;
    *(uint64_t *) context = number;
    return OCHRE_OK;
}

static ochre_status
look_at_base(struct base *base, struct och_vfs *vfs, struct ochre_error *err)
{
    struct och_directory directory;
    struct och_wal *wal = NULL;
    ochre_status status = och_directory_look(vfs, &directory, err);
    if (status != OCHRE_OK)
        return status;
    base->options.vfs = vfs;
    base->options.database = directory.database;
    base->options.read_only = true;
    status = och_wal_open(&base->options, note_time, base, &wal, err);
    if (status == OCHRE_OK) {
        base->next_lsn = och_wal_next_lsn(wal);
        status = och_wal_each_file(wal, note_number, &base->number);
    }
    och_wal_close(wal);
    return status;
}

/* Of the archive's files: the newest one below a number. */
struct older {
    uint64_t below, number;
};

static ochre_status
note_older(void *context, const char *name, bool is_dir)
{
    struct older *older = context;
    uint64_t number = 0;
    if (!is_dir && och_archive_file_number(name, &number) && number < older->below &&
            number > older->number)
        older->number = number;
    return OCHRE_OK;
}

/*
 * When was the backup made?  What its own log does not say, because that was just begun, files of
 * the archive from before it do.
 */
static ochre_status
find_time(struct base *base, struct och_vfs *archive, struct ochre_error *err)
{
    struct older older = {.below = base->number + 1};
    ochre_status status = OCHRE_OK;
    while (status == OCHRE_OK && !base->has_time) {
        struct och_wal *wal = NULL;
        struct och_wal_options options = base->options;
        older.number = 0;
        status = och_vfs_list(archive, "log", note_older, &older, err);
        if (status != OCHRE_OK || older.number == 0)
            break;
        options.vfs = archive;
        options.first_number = older.below = older.number;
        status = och_wal_open(&options, note_time, base, &wal, err);
        och_wal_close(wal);
        if (status == OCHRE_UNAVAILABLE)
            status = OCHRE_OK;
    }
    if (status == OCHRE_OK && !base->has_time)
        return och_fail(err, OCHRE_INVALID,
                "neither the backup nor the archive says of what moment the backup is; "
                "use another one, or name a record");
    return status;
}

/* Whatever is in the backup is in what is made of it. */
static ochre_status
check_time(struct base *base, struct och_vfs *archive, const struct och_point *point,
        struct ochre_error *err)
{
    if (point->time_ns == UINT64_MAX)
        return OCHRE_OK;
    ochre_status status = find_time(base, archive, err);
    if (status == OCHRE_OK && base->time_ns > point->time_ns)
        return och_fail(err, OCHRE_INVALID,
                "the backup is of a later moment than the one to restore; use an older one");
    return status;
}

static ochre_status
read_page(struct och_vfs *vfs, uint64_t number, char page[PAGE], struct ochre_error *err)
{
    char path[32];
    struct och_file *file = NULL;
    (void) snprintf(path, sizeof(path), "log/%016" PRIx64 ".log", number);
    ochre_status status = och_vfs_open(vfs, path, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_OK)
        status = och_file_read_all(file, 0, page, PAGE, err);
    och_file_close(file);
    return status;
}

/* The backup's newest file of the log is the archive's, if that has it. */
static ochre_status
compare_histories(const struct base *base, struct och_vfs *archive, struct ochre_error *err)
{
    char ours[PAGE] = {0};
    char theirs[PAGE] = {0};
    if (base->number == 0)
        return OCHRE_OK;
    ochre_status status = read_page(archive, base->number, theirs, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK; /* what is missing then, is noticed */
    if (status == OCHRE_OK)
        status = read_page(base->options.vfs, base->number, ours, err);
    if (status == OCHRE_OK && memcmp(ours, theirs, PAGE) != 0)
        status = och_fail(err, OCHRE_INVALID,
                "the archive is of another history than the backup: their files "
                "log/%016" PRIx64 ".log differ",
                base->number);
    return status;
}

static ochre_status
check_reach(const struct base *base, const struct och_archive_reached *reached,
        const struct och_point *point, struct ochre_error *err)
{
    if (!och_uuid_equal(reached->database, base->options.database))
        return och_fail(err, OCHRE_INVALID, "the archive is another database's");
    if (point->lsn < base->next_lsn - 1)
        return och_fail(err, OCHRE_INVALID,
                "the backup is of record %" PRIu64 ", which is after record %" PRIu64
                "; use an older one",
                base->next_lsn - 1, point->lsn);
    if (point->lsn != UINT64_MAX && point->lsn >= reached->next_lsn && point->lsn >= base->next_lsn)
        return och_fail(err, OCHRE_INVALID,
                "the archive ends at record %" PRIu64 ", before record %" PRIu64,
                reached->next_lsn - 1, point->lsn);
    return OCHRE_OK;
}

static ochre_status
run(struct replay *replay, const struct base *base, struct och_vfs *archive,
        const struct och_archive_reached *reached, struct ochre_error *err)
{
    struct och_wal_options options = base->options;
    struct och_wal *wal = NULL;
    struct ochre_error why = {.status = OCHRE_OK};
    options.vfs = archive;
    options.first_number = base->number;
    ochre_status status = OCHRE_OK;
    /* Nothing in it is newer than the backup: nothing in it is needed. */
    if (reached->next_lsn > base->next_lsn)
        status = och_wal_open(&options, visit, replay, &wal, &why);
    if (status == OCHRE_CORRUPT) /* without what is to be done about a log in use */
        (void) och_fail(
                err, status, "the archive: %.*s", (int) strcspn(why.message, ";"), why.message);
    else if (status != OCHRE_OK && err != NULL)
        *err = why;
    if (wal != NULL && och_wal_next_lsn(wal) < reached->next_lsn)
        status = och_fail(err, OCHRE_CORRUPT,
                "the archive's log ends at record %" PRIu64 ", and had %" PRIu64
                ": its newest file is damaged or missing",
                och_wal_next_lsn(wal) - 1, reached->next_lsn - 1);
    och_wal_close(wal);
    if (replay->is_at_point && status == OCHRE_UNAVAILABLE)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        status = settle_pending(replay, err);
    if (status == OCHRE_OK && replay->point->time_ns != UINT64_MAX)
        return och_fail(err, OCHRE_INVALID,
                "the archive ends before that time, at record %" PRIu64
                "; all of it is restored until now",
                reached->next_lsn - 1);
    return status;
}

ochre_status
och_replay(const struct och_backup_options *options, struct och_vfs *vfs, struct och_vfs *archive,
        const struct och_point *point, struct och_point_reached *reached_out,
        struct ochre_error *err)
{
    struct och_archive_reached reached;
    struct base base = {.options = {.mem = options->mem, .machine = options->machine}};
    struct replay replay = {.mem = options->mem, .point = point, .reached = reached_out};
    *reached_out = (struct och_point_reached){.lsn = 0};
    ochre_status status = och_archive_read_state(archive, &reached, err);
    if (status == OCHRE_NOT_FOUND)
        status = och_fail(err, OCHRE_INVALID, "not an archive (no STATE file)");
    if (status == OCHRE_OK)
        status = look_at_base(&base, vfs, err);
    if (status == OCHRE_OK)
        status = check_reach(&base, &reached, point, err);
    if (status == OCHRE_OK)
        status = compare_histories(&base, archive, err);
    if (status == OCHRE_OK)
        status = check_time(&base, archive, point, err);
    if (status != OCHRE_OK)
        return status;
    reached_out->first_lsn = base.next_lsn;
    reached_out->lsn = base.next_lsn - 1;
    replay.next_lsn = base.next_lsn;
    const struct och_db_options db_options = {.mem = options->mem,
            .vfs = vfs,
            .machine = options->machine,
            .kernels = och_kernels_choose(och_cpu_detect().sets, NULL),
            .n_cpus = 1,
            .defers_syncs = true};
    status = och_db_open(&db_options, &replay.db, err);
    och_arena_init(&replay.arena, options->mem);
    och_buf_init(&replay.pending, options->mem, SIZE_MAX / 2);
    if (status == OCHRE_OK)
        status = run(&replay, &base, archive, &reached, err);
    och_buf_clear(&replay.pending);
    och_arena_clear(&replay.arena);
    och_db_close(replay.db);
    return status == OCHRE_OK ? och_wal_sync_files(vfs, err) : status;
}

/* --- all of it ------------------------------------------------------------------------ */

static ochre_status
check_free(struct och_mem *mem, const char *to, struct ochre_error *err)
{
    struct och_vfs *vfs = NULL;
    ochre_status status = och_vfs_posix_open(mem, to, false, &vfs, err);
    och_vfs_posix_close(vfs);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        och_beside_tidy(mem, &och_restore_beside, to);
    return status == OCHRE_OK
            ? och_fail(err, OCHRE_EXISTS, "%.300s is there already; name another directory", to)
            : status;
}

static ochre_status
restore_base(const struct och_backup_options *options, const struct och_restore_point_paths *paths,
        struct och_vfs *vfs, struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct och_vfs *source = NULL;
    if (paths->backup == NULL)
        return och_restore_stream_vfs(options, paths->input, vfs, totals_out, err);
    ochre_status status = och_vfs_posix_open(options->mem, paths->backup, false, &source, err);
    if (status == OCHRE_OK)
        status = och_restore_vfs(options, source, vfs, totals_out, err);
    och_vfs_posix_close(source);
    return status;
}

static ochre_status
replay_from(const struct och_backup_options *options, struct och_vfs *vfs, const char *archive,
        const struct och_point *point, struct och_point_reached *reached_out,
        struct ochre_error *err)
{
    struct och_vfs *archive_vfs = NULL;
    ochre_status status = och_vfs_posix_open(options->mem, archive, false, &archive_vfs, err);
    if (status == OCHRE_OK)
        status = och_replay(options, vfs, archive_vfs, point, reached_out, err);
    och_vfs_posix_close(archive_vfs);
    return status;
}

/* Nothing is made before the backup is known to be one. */
static ochre_status
look_at_backup(const struct och_backup_options *options,
        const struct och_restore_point_paths *paths, struct ochre_error *err)
{
    struct och_vfs *source = NULL;
    if (paths->backup == NULL)
        return OCHRE_OK;
    ochre_status status = och_vfs_posix_open(options->mem, paths->backup, false, &source, err);
    och_vfs_posix_close(source);
    return status;
}

ochre_status
och_restore_point(const struct och_backup_options *options,
        const struct och_restore_point_paths *paths, const struct och_point *point,
        struct och_point_reached *reached_out, struct och_backup_totals *totals_out,
        struct ochre_error *err)
{
    struct och_beside *beside = NULL;
    struct och_vfs *vfs = NULL;
    bool is_redone = false;
    *reached_out = (struct och_point_reached){.lsn = 0};
    *totals_out = (struct och_backup_totals){.n_files = 0};
    ochre_status status = check_free(options->mem, paths->to, err);
    if (status == OCHRE_OK)
        status = look_at_backup(options, paths, err);
    if (status == OCHRE_OK)
        status = och_restore_begin_beside(
                options->mem, paths->to, NULL, &beside, &vfs, &is_redone, err);
    if (status == OCHRE_OK)
        status = restore_base(options, paths, vfs, totals_out, err);
    if (status == OCHRE_OK)
        status = replay_from(options, vfs, paths->archive, point, reached_out, err);
    totals_out->is_redone = is_redone;
    if (status != OCHRE_OK && vfs != NULL)
        och_restore_clear(vfs);
    och_vfs_posix_close(vfs);
    if (status == OCHRE_OK)
        status = och_beside_name(beside, err);
    och_beside_end(beside);
    return status;
}
