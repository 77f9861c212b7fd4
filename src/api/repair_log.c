#include <string.h>

#include "api/repair_internal.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/write.h"
#include "segment/segment.h"
#include "storage/directory.h"
#include "storage/wal.h"
#include "storage/wal_reach.h"
#include "storage/wal_salvage.h"

/* Records are appended to the new log so many bytes at a time. */
#define BATCH_SIZE ((size_t) 4 << 20)
enum { BATCH_RECORDS_MAX = 1024, SETTLED_SLOTS_MIN = 64 };

struct log_repair {
    struct och_repair *repair;
    struct och_wal *wal;  /* owned; NULL in a dry run */
    struct och_buf batch; /* payloads of records to be appended */
    struct och_log_record records[BATCH_RECORDS_MAX];
    size_t offsets[BATCH_RECORDS_MAX]; /* of their payloads in the batch */
    size_t n_records;
    struct och_buf payload; /* of a record that is rewritten */
    uint64_t generation;    /* the newest catalog that the log knows of */
    uint64_t n_unknown;     /* writes of collections that the catalog does not know */
};

/* --- the new log ----------------------------------------------------------------- */

static ochre_status
flush(struct log_repair *log, struct ochre_error *err)
{
    if (log->n_records == 0)
        return OCHRE_OK;
    for (size_t i = 0; i < log->n_records; i++)
        log->records[i].payload.data =
                log->records[i].payload.size > 0 ? log->batch.data + log->offsets[i] : "";
    ochre_status status = och_wal_append(log->wal, log->records, log->n_records, err);
    log->n_records = 0;
    och_buf_reset(&log->batch);
    return status;
}

static ochre_status
append(struct log_repair *log, uint16_t type, uint32_t collection, uint64_t position,
        struct ochre_bytes payload, struct ochre_error *err)
{
    if (log->wal == NULL)
        return OCHRE_OK;
    ochre_status status = OCHRE_OK;
    if (log->n_records == BATCH_RECORDS_MAX || log->batch.size + payload.size > BATCH_SIZE)
        status = flush(log, err);
    if (status != OCHRE_OK)
        return status;
    log->offsets[log->n_records] = log->batch.size;
    och_buf_put(&log->batch, payload.data, payload.size);
    if (och_buf_status(&log->batch) != OCHRE_OK)
        return och_fail_memory(err);
    log->records[log->n_records++] = (struct och_log_record){.position = position,
            .collection = collection,
            .type = type,
            .payload_crc = och_crc32c(0, payload.data, payload.size),
            .payload = {NULL, payload.size}};
    return OCHRE_OK;
}

/* --- ids that are known to be gone -------------------------------------------------- */

static uint64_t
hash_of(struct ochre_bytes id)
{
    return och_hash64(id.data, id.size) | 1; /* 0 is an empty slot */
}

static bool
is_settled(const struct och_repair_member *member, uint64_t hash)
{
    for (size_t n = 0; n < member->n_slots; n++) {
        uint64_t slot = member->settled[(hash + n) & (member->n_slots - 1)];
        if (slot == 0 || slot == hash)
            return slot == hash;
    }
    return false;
}

static void
enter(uint64_t *slots, size_t n_slots, uint64_t hash)
{
    size_t at = (size_t) hash & (n_slots - 1);
    while (slots[at] != 0)
        at = (at + 1) & (n_slots - 1);
    slots[at] = hash;
}

static ochre_status
settle(struct och_repair *repair, struct och_repair_member *member, uint64_t hash,
        struct ochre_error *err)
{
    if (2 * (member->n_settled + 1) > member->n_slots) {
        size_t n_slots = member->n_slots == 0 ? SETTLED_SLOTS_MIN : member->n_slots * 2;
        uint64_t *slots = och_mem_take_zeroed(repair->mem, n_slots * sizeof(*slots));
        if (slots == NULL)
            return och_fail_memory(err);
        for (size_t i = 0; i < member->n_slots; i++)
            if (member->settled[i] != 0)
                enter(slots, n_slots, member->settled[i]);
        och_mem_release(repair->mem, member->settled, member->n_slots * sizeof(*slots));
        member->settled = slots;
        member->n_slots = n_slots;
    }
    enter(member->settled, member->n_slots, hash);
    member->n_settled++;
    return OCHRE_OK;
}

/* --- a write ------------------------------------------------------------------------- */

static struct och_repair_member *
find_member(struct och_repair *repair, uint32_t number)
{
    size_t low = 0;
    size_t high = repair->n_members;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (repair->members[middle].row.number == number)
            return &repair->members[middle];
        if (repair->members[middle].row.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* What of a request is to be applied: not the rows whose record may be lost, whose
 * outcome nobody knows; deleting one settles it. */
static ochre_status
choose_rows(struct log_repair *log, struct och_repair_member *member, struct och_write *write,
        bool *keep, uint32_t *n_out, struct ochre_error *err)
{
    struct och_write_row row;
    ochre_status status = OCHRE_OK;
    *n_out = 0;
    for (uint32_t i = 0; status == OCHRE_OK && och_write_next(write, &row); i++) {
        uint64_t hash = hash_of(row.id);
        bool in_doubt = false;
        if (!is_settled(member, hash))
            status = och_repair_is_in_doubt(log->repair, member, row.id, &in_doubt, err);
        if (status == OCHRE_OK && in_doubt && write->op == OCH_WRITE_DELETE)
            status = settle(log->repair, member, hash, err);
        keep[i] = !in_doubt;
        *n_out += !in_doubt;
        member->sum.n_skipped += in_doubt && write->op != OCH_WRITE_DELETE;
    }
    return status;
}

/* The rows that are to be kept of the payload, in log->payload. */
static ochre_status
encode_kept(struct log_repair *log, struct ochre_bytes payload, const bool *keep,
        struct ochre_error *err)
{
    och_buf_reset(&log->payload);
    ochre_status status = och_write_encode_rows(&log->payload, payload, keep);
    return status == OCHRE_OK ? OCHRE_OK
                              : och_fail(err, status, "a write could not be written anew");
}

static ochre_status
append_kept(struct log_repair *log, struct och_repair_member *member, struct ochre_bytes payload,
        struct ochre_error *err)
{
    return append(log, OCH_RECORD_WRITE, member->row.number, ++member->renumbered, payload, err);
}

/* A write to a collection of which something is lost. */
static ochre_status
filter_write(struct log_repair *log, struct och_repair_member *member,
        const struct och_log_record *record, struct ochre_error *err)
{
    struct och_mem *mem = log->repair->mem;
    struct och_write write;
    uint32_t n_kept = 0;
    /* It was decoded before. */
    if (!och_write_decode(&write, record->payload))
        return OCHRE_OK;
    uint32_t n = write.n;
    enum och_write_op op = write.op;
    bool *keep = och_mem_take_zeroed(mem, n + 1);
    if (keep == NULL)
        return och_fail_memory(err);
    ochre_status status = choose_rows(log, member, &write, keep, &n_kept, err);
    if (status == OCHRE_OK && n_kept == n) {
        status = append_kept(log, member, record->payload, err);
    } else if (status == OCHRE_OK && n_kept > 0) {
        status = encode_kept(log, record->payload, keep, err);
        if (status == OCHRE_OK)
            status = append_kept(
                    log, member, (struct ochre_bytes){log->payload.data, log->payload.size}, err);
    }
    /* What was in doubt, and is deleted, is to be gone there too. */
    if (status == OCHRE_OK && op == OCH_WRITE_DELETE && n_kept < n && member->doubted.number != 0) {
        for (uint32_t i = 0; i < n; i++)
            keep[i] = !keep[i];
        status = encode_kept(log, record->payload, keep, err);
        if (status == OCHRE_OK)
            status = append(log, OCH_RECORD_WRITE, member->doubted.number,
                    ++member->doubted_position,
                    (struct ochre_bytes){log->payload.data, log->payload.size}, err);
    }
    och_mem_release(mem, keep, n + 1);
    return status;
}

/* Nothing is applied to a collection from here on. */
static void
stop_member(struct log_repair *log, struct och_repair_member *member,
        const struct och_log_record *record, const char *why)
{
    member->has_stopped = true;
    och_repair_report(log->repair, OCH_REPAIR_LOST, "log",
            "record %llu, at position %llu of collection \"%.*s\", %s: what follows is not applied",
            (unsigned long long) record->lsn, (unsigned long long) record->position,
            (int) member->row.name.size, member->row.name.data, why);
}

static ochre_status
visit_write(struct log_repair *log, const struct och_log_record *record, bool damaged,
        struct ochre_error *err)
{
    struct och_repair_member *member = find_member(log->repair, record->collection);
    struct och_write write;
    if (member == NULL) {
        log->n_unknown++;
        return OCHRE_OK;
    }
    if (member->is_left_out || record->position <= member->state.position)
        return OCHRE_OK; /* in a segment already */
    if (!member->has_stopped && record->position != member->position + 1)
        stop_member(log, member, record, "does not follow the last one that there is");
    else if (!member->has_stopped && damaged)
        stop_member(log, member, record, "fails its checksum");
    else if (!member->has_stopped && !och_write_decode(&write, record->payload))
        stop_member(log, member, record, "is not a write request");
    if (member->has_stopped) {
        member->sum.n_given_up++;
        return OCHRE_OK;
    }
    member->position = record->position;
    member->lsn = record->lsn;
    return member->is_broken ? filter_write(log, member, record, err)
                             : append_kept(log, member, record->payload, err);
}

static ochre_status
visit_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct log_repair *log = context;
    if (record->type == OCH_RECORD_GENERATION && !damaged && record->payload.size == 8) {
        uint64_t generation = och_load_u64(record->payload.data);
        if (generation > log->generation)
            log->generation = generation;
    }
    return record->type == OCH_RECORD_WRITE ? visit_write(log, record, damaged, err) : OCHRE_OK;
}

static ochre_status
pass_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    (void) context;
    (void) record;
    (void) damaged;
    (void) err;
    return OCHRE_OK;
}

static void
note_missing(void *context, const char *path, const char *message)
{
    struct log_repair *log = context;
    och_repair_report(log->repair, OCH_REPAIR_LOST, path, "%s", message);
}

/* Of what is missing some may be a collection's last records, which no position tells: the
 * table beside the log does.  Without one each may be whole. */
static void
ask_reach(struct log_repair *log, const struct och_wal_salvage *salvage)
{
    struct och_repair *repair = log->repair;
    const struct wal_hole hole = {salvage->missing_from, salvage->missing_to};
    for (size_t i = 0; i < repair->n_members; i++) {
        struct och_repair_member *member = &repair->members[i];
        if (member->has_stopped || och_collection_row_is_pin(&member->row) ||
                !och_wal_reach_lacks(salvage->reach, member->row.number, member->lsn, &hole, 1))
            continue;
        member->has_stopped = true;
        och_repair_report(repair, OCH_REPAIR_LOST, OCH_DIR_REACH,
                "collection \"%.*s\" may have had records behind position %llu, which are missing",
                (int) member->row.name.size, member->row.name.data,
                (unsigned long long) member->position);
    }
}

/* --- all of it ----------------------------------------------------------------------- */

/* Behind every LSN there ever was, so that no record of the old log is taken for one of
 * the new. */
static ochre_status
begin_log(struct log_repair *log, uint64_t lsn_first, struct ochre_error *err)
{
    struct och_repair *repair = log->repair;
    if (repair->to == NULL)
        return OCHRE_OK;
    const struct och_wal_options options = {.mem = repair->mem,
            .vfs = repair->to,
            .machine = repair->options->machine,
            .database = repair->database,
            .lsn_first = lsn_first};
    return och_wal_open(&options, pass_record, NULL, &log->wal, err);
}

static ochre_status
end_log(struct log_repair *log, struct ochre_error *err)
{
    if (log->wal == NULL)
        return OCHRE_OK;
    ochre_status status = append(log, OCH_RECORD_CLOSE, 0, 0, (struct ochre_bytes){"", 0}, err);
    return status == OCHRE_OK ? flush(log, err) : status;
}

static ochre_status
note_generation(struct log_repair *log, struct ochre_error *err)
{
    struct och_repair *repair = log->repair;
    struct och_catalog *catalog = repair->catalog.catalog;
    uint64_t generation = 0;
    ochre_status status = catalog->ops->generation(catalog, &generation, err);
    /* Making collections for records in doubt raised it; that hides no more than it. */
    if (status == OCHRE_OK && generation < log->generation) {
        repair->totals.is_earlier = true;
        och_repair_report(repair, OCH_REPAIR_LOST, "catalog.db",
                "it is of generation %llu; the log knows of generation %llu",
                (unsigned long long) generation, (unsigned long long) log->generation);
    }
    if (repair->totals.is_earlier && log->n_unknown > 0)
        och_repair_report(repair, OCH_REPAIR_LOST, "log",
                "%llu writes of collections that this catalog does not have",
                (unsigned long long) log->n_unknown);
    return status;
}

ochre_status
och_repair_log(struct och_repair *repair, struct ochre_error *err)
{
    struct log_repair *log = och_mem_take_zeroed(repair->mem, sizeof(*log));
    if (log == NULL)
        return och_fail_memory(err);
    log->repair = repair;
    och_buf_init(&log->batch, repair->mem, SIZE_MAX / 2);
    och_buf_init(&log->payload, repair->mem, SIZE_MAX / 2);
    /* Where the new log begins, and then what is in it. */
    struct och_wal_salvage look = {.mem = repair->mem,
            .vfs = repair->from,
            .database = repair->database,
            .lsn_min = repair->lsn_max,
            .visit = pass_record};
    struct och_wal_salvage take = look;
    take.visit = visit_record;
    take.note = note_missing;
    take.context = log;
    struct wal_reach *reach = NULL;
    ochre_status status =
            och_wal_reach_make(repair->mem, repair->from, repair->database, &reach, err);
    look.reach = take.reach = reach;
    if (status == OCHRE_OK)
        status = och_wal_salvage(&look, err);
    uint64_t lsn_last = look.lsn_last > look.lsn_min ? look.lsn_last : look.lsn_min;
    if (status == OCHRE_OK)
        status = begin_log(log, lsn_last + 1, err);
    if (status == OCHRE_OK)
        status = och_wal_salvage(&take, err);
    if (status == OCHRE_OK && take.n_files == 0 && repair->lsn_max > 0)
        note_missing(log, "log", "there is none, and the catalog knows that there was one");
    if (status == OCHRE_OK)
        ask_reach(log, &take);
    if (status == OCHRE_OK)
        status = end_log(log, err);
    if (status == OCHRE_OK)
        status = note_generation(log, err);
    repair->totals.n_log_missing = take.n_missing + take.n_in_doubt;
    repair->totals.log_bytes_given_up = take.bytes_given_up;
    och_wal_reach_close(reach);
    och_wal_close(log->wal);
    och_buf_clear(&log->batch);
    och_buf_clear(&log->payload);
    och_mem_release(repair->mem, log, sizeof(*log));
    return status;
}
