#include <stdio.h>
#include <string.h>

#include "api/backup_internal.h"
#include "api/names.h"
#include "api/repair_internal.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "drivers/catalog_pages.h"
#include "os/clock.h"
#include "os/vfs.h"
#include "segment/columns_part.h"
#include "segment/deletes.h"
#include "segment/seal.h"
#include "segment/segment.h"
#include "segment/source.h"
#include "segment/vector_part.h"
#include "storage/directory.h"

enum {
    COLUMNS_ALL = OCH_COLUMN_VECTORS | OCH_COLUMN_IDS | OCH_COLUMN_DOCUMENTS | OCH_COLUMN_URIS |
            OCH_COLUMN_FIELDS | OCH_COLUMN_ORDINALS,
    ID_SHOWN_MAX = 128, /* bytes of an id in a report */
};

/* Records in doubt are put into a collection of this name. */
#define DOUBT_SUFFIX ".in-doubt"
enum { DOUBT_NAME_SIZE = 512, DOUBT_TRIES_MAX = 100 };

/* And what is left of a pin; of two names there so much of each. */
#define UNPINNED_SUFFIX ".unpinned"
enum { PIN_NAME_PART = 200 };

static void
path_of(const struct och_repair_member *member, const struct och_repair_segment *s,
        char path[OCH_PATH_SIZE_MAX])
{
    och_segment_path(path, OCH_PATH_SIZE_MAX, member->row.id, s->row.id);
}

static bool
is_alive(const struct och_repair_segment *s, uint32_t row)
{
    return och_segment_dead(s->segment, row) == OCH_ALIVE;
}

/* Messages of files begin with their paths, and so do lines of a report. */
static const char *
without_path(const struct ochre_error *why, const char *path)
{
    size_t size = strlen(path);
    bool begins = strncmp(why->message, path, size) == 0 && why->message[size] == ':';
    return begins ? why->message + size + 2 : why->message;
}

/* --- what is left ------------------------------------------------------------- */

static void
lose_segment(struct och_repair *repair, struct och_repair_member *member,
        struct och_repair_segment *s, const struct ochre_error *why)
{
    char path[OCH_PATH_SIZE_MAX];
    path_of(member, s, path);
    uint64_t n = s->row.n_rows - (s->row.n_deleted < s->row.n_rows ? s->row.n_deleted : 0);
    och_repair_report(repair, OCH_REPAIR_LOST, path, "%s; its %llu records are lost",
            without_path(why, path), (unsigned long long) n);
    member->sum.n_lost += n;
    member->is_broken = true;
    s->is_lost = true;
    och_segment_release(s->segment);
    s->segment = NULL;
}

/* Damage is a finding, and the repair goes on. */
static bool
is_damage(ochre_status status)
{
    return status == OCHRE_CORRUPT;
}

static ochre_status
open_segment(struct och_repair *repair, struct och_repair_member *member,
        struct och_repair_segment *s, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status = och_segment_open(
            repair->mem, repair->from, member->row.id, s->row.id, &s->segment, &why);
    if (status == OCHRE_OK &&
            (s->segment->footer_hash != s->row.file_hash || s->segment->n_rows != s->row.n_rows ||
                    s->segment->dim != member->state.dim ||
                    s->segment->space != member->settings.space))
        status = och_fail(&why, OCHRE_CORRUPT, "it is not the file that the catalog lists");
    if (is_damage(status)) {
        lose_segment(repair, member, s, &why);
        return OCHRE_OK;
    }
    if (status != OCHRE_OK && err != NULL)
        *err = why;
    return status;
}

static ochre_status
read_deletes(struct och_repair *repair, struct och_repair_member *member,
        struct och_repair_segment *s, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    char path[OCH_PATH_SIZE_MAX];
    if (s->segment == NULL || s->row.deletes_id == 0)
        return OCHRE_OK;
    ochre_status status = och_deletes_read(repair->from, s->segment, s->row.deletes_id, &why);
    if (is_damage(status)) {
        och_deletes_path(path, sizeof(path), member->row.id, s->row.id, s->row.deletes_id);
        och_repair_report(repair, OCH_REPAIR_LOST, path,
                "%s; which %llu of %llu records were deleted or replaced is not known from it",
                without_path(&why, path), (unsigned long long) s->row.n_deleted,
                (unsigned long long) s->row.n_rows);
        s->has_lost_deletes = true;
        member->is_broken = true;
        return OCHRE_OK;
    }
    if (status != OCHRE_OK && err != NULL)
        *err = why;
    return status;
}

/* A row cannot be read: which record was it? */
static ochre_status
lose_row(struct och_repair *repair, struct och_repair_member *member, struct och_repair_segment *s,
        uint32_t row, struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    path_of(member, s, path);
    ochre_status status = och_segment_load_rows(s->segment, row, 1, OCH_COLUMN_IDS, err);
    if (status == OCHRE_OK) {
        struct ochre_bytes id = och_segment_id(s->segment, row);
        och_repair_report(repair, OCH_REPAIR_RECORD, path, "record \"%.*s\"",
                och_name_shown(id, ID_SHOWN_MAX), id.data);
    }
    if (status != OCHRE_OK && !is_damage(status))
        return status;
    member->is_broken = true;
    return och_bitset_add(&s->lost, row) == OCHRE_OK ? OCHRE_OK : och_fail_memory(err);
}

static ochre_status
read_rows(struct och_repair *repair, struct och_repair_member *member, struct och_repair_segment *s,
        struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    for (uint32_t row = 0; row < s->segment->n_rows && status == OCHRE_OK; row++) {
        if (!is_alive(s, row))
            continue;
        status = och_segment_load_rows(s->segment, row, 1, COLUMNS_ALL, err);
        if (is_damage(status))
            status = lose_row(repair, member, s, row, err);
    }
    return status;
}

/* Read every byte; where a page is damaged, find the rows that do not need it. */
static ochre_status
read_segment(struct och_repair *repair, struct och_repair_member *member,
        struct och_repair_segment *s, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    char path[OCH_PATH_SIZE_MAX];
    if (s->segment == NULL)
        return OCHRE_OK;
    ochre_status status = och_segment_verify(s->segment, &why);
    if (status == OCHRE_OK || !is_damage(status)) {
        if (status != OCHRE_OK && err != NULL)
            *err = why;
        return status;
    }
    s->is_damaged = true;
    status = read_rows(repair, member, s, err);
    if (status != OCHRE_OK)
        return status;
    size_t n_lost = och_bitset_count(&s->lost);
    path_of(member, s, path);
    if (n_lost > 0)
        och_repair_report(repair, OCH_REPAIR_LOST, path, "%s; %zu records cannot be read",
                without_path(&why, path), n_lost);
    else
        och_repair_report(repair, OCH_REPAIR_REBUILT, path, "%s; no record needs it",
                without_path(&why, path));
    if (!s->has_lost_deletes)
        member->sum.n_lost += n_lost;
    return OCHRE_OK;
}

/* --- which rows live ------------------------------------------------------------ */

/* Does another segment have this record, alive?  Then every other row of that id is dead.
 * Where it cannot be told: no. */
static ochre_status
lives_elsewhere(struct och_repair_member *member, const struct och_repair_segment *not_here,
        struct ochre_bytes id, bool *lives_out, struct ochre_error *err)
{
    *lives_out = false;
    for (size_t i = 0; i < member->n_segments && !*lives_out; i++) {
        struct och_repair_segment *s = &member->segments[i];
        uint32_t row = OCH_ROW_NONE;
        if (s == not_here || s->segment == NULL || s->has_lost_deletes)
            continue;
        ochre_status status = och_segment_find(s->segment, id, &row, err);
        if (status != OCHRE_OK && !is_damage(status))
            return status;
        *lives_out = status == OCHRE_OK && row != OCH_ROW_NONE && is_alive(s, row);
    }
    return OCHRE_OK;
}

/*
 * The file that says which rows are dead is lost.  Rows whose record lives elsewhere
 * are.  If these are as many as the catalog says died, the others live; if not, each of
 * the others may have been deleted.
 */
static ochre_status
doubt_rows(struct och_repair *repair, struct och_repair_member *member,
        struct och_repair_segment *s, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    och_assert(s->segment != NULL);
    uint32_t n_rows = s->segment->n_rows;
    for (uint32_t row = 0; row < n_rows && status == OCHRE_OK; row++) {
        bool is_dead = false;
        ochre_status read = och_segment_load_rows(s->segment, row, 1, OCH_COLUMN_IDS, err);
        if (read != OCHRE_OK && !is_damage(read))
            return read;
        if (read == OCHRE_OK)
            status = lives_elsewhere(member, s, och_segment_id(s->segment, row), &is_dead, err);
        if (status == OCHRE_OK && is_dead && och_bitset_add(&s->dead, row) != OCHRE_OK)
            return och_fail_memory(err);
    }
    och_bitset_subtract(&s->lost, &s->dead);
    if (status != OCHRE_OK || och_bitset_count(&s->dead) >= s->row.n_deleted) {
        member->sum.n_lost += och_bitset_count(&s->lost);
        return status;
    }
    if (och_bitset_fill(&s->doubted, n_rows) != OCHRE_OK)
        return och_fail_memory(err);
    och_bitset_subtract(&s->doubted, &s->dead);
    och_bitset_subtract(&s->doubted, &s->lost);
    /* Of those that cannot be read so many may have been deleted before. */
    uint64_t n_lost = och_bitset_count(&s->lost);
    uint64_t n_unknown = s->row.n_deleted - och_bitset_count(&s->dead);
    member->sum.n_lost += n_lost > n_unknown ? n_lost - n_unknown : 0;
    char path[OCH_PATH_SIZE_MAX];
    path_of(member, s, path);
    och_repair_report(repair, OCH_REPAIR_IN_DOUBT, path,
            "%zu records, of which %llu or fewer had been deleted: none of them is in the "
            "collection",
            och_bitset_count(&s->doubted), (unsigned long long) n_unknown);
    return OCHRE_OK;
}

/* --- writing -------------------------------------------------------------------- */

static ochre_status
make_directory(struct och_repair *repair, struct och_uuid id, struct ochre_error *err)
{
    char text[OCH_UUID_TEXT_SIZE + 1];
    char path[OCH_PATH_SIZE_MAX];
    och_uuid_put(id, text);
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s", text);
    ochre_status status = och_vfs_mkdir(repair->to, path, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(repair->to, OCH_DIR_SEGMENTS, err) : status;
}

static ochre_status
copy_file(struct och_repair *repair, const char *path, struct ochre_error *err)
{
    const struct och_backup_options options = {
            .mem = repair->mem, .machine = repair->options->machine};
    struct och_copier copier;
    struct och_backup_member member = {.size = 0};
    (void) snprintf(member.path, sizeof(member.path), "%s", path);
    ochre_status status = och_copier_open(&copier, &options, err);
    if (status == OCHRE_OK)
        status = och_copier_hash(&copier, repair->from, path, &member, err);
    const struct och_copy copy = {.from = repair->from,
            .to = repair->to,
            .path_from = path,
            .path_to = path,
            .member = &member};
    if (status == OCHRE_OK)
        status = och_copier_copy(&copier, &copy, err);
    och_copier_close(&copier);
    return status;
}

/* A sound segment stays the file that it is. */
static ochre_status
copy_segment(struct och_repair *repair, const struct och_repair_member *member,
        const struct och_repair_segment *s, struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    path_of(member, s, path);
    ochre_status status = copy_file(repair, path, err);
    if (status == OCHRE_OK && s->row.deletes_id != 0) {
        och_deletes_path(path, sizeof(path), member->row.id, s->row.id, s->row.deletes_id);
        status = copy_file(repair, path, err);
    }
    if (status == OCHRE_OK) {
        *strrchr(path, '/') = '\0';
        status = och_vfs_sync_dir(repair->to, path, err);
    }
    return status;
}

/* The rows of `s` that are to be written: those in doubt, or those that are sure to
 * live. */
static ochre_status
choose_rows(struct och_repair *repair, const struct och_repair_segment *s, bool doubted,
        struct och_seal *seal, struct ochre_error *err)
{
    och_assert(s->segment != NULL);
    uint32_t n = s->segment->n_rows;
    seal->rows = och_mem_take(repair->mem, n * sizeof(*seal->rows));
    if (seal->rows == NULL)
        return och_fail_memory(err);
    seal->room = n;
    for (uint32_t row = 0; row < n; row++) {
        bool in_doubt = och_bitset_has(&s->doubted, row);
        bool wanted = in_doubt == doubted && is_alive(s, row) && !och_bitset_has(&s->lost, row) &&
                !och_bitset_has(&s->dead, row);
        if (wanted)
            seal->rows[seal->n_rows++] = (struct och_seal_row){.source = 0, .row = row};
    }
    return OCHRE_OK;
}

/* Write rows of `s` as a segment of the collection `id`, with all that follows from
 * them.  row_out->n_rows is 0 where there are none. */
static ochre_status
write_rows(struct och_repair *repair, const struct och_repair_member *member,
        const struct och_repair_segment *s, struct och_uuid id, bool doubted,
        struct och_segment_row *row_out, struct ochre_error *err)
{
    och_assert(s->segment != NULL && row_out != NULL);
    struct och_catalog *catalog = repair->catalog.catalog;
    const struct och_source source = {
            .segment = s->segment, .n_rows = s->segment->n_rows, .position = s->segment->position};
    struct och_vector_part vector = {.kernels = repair->options->kernels,
            .effort = member->settings.ef_construction_floor / 2};
    const struct och_seal_part parts[] = {
            och_columns_part, {.write = och_vector_part_write, .context = &vector}};
    struct och_seal seal = {.mem = repair->mem,
            .vfs = repair->to,
            .collection = id,
            .position = s->segment->position,
            .space = member->settings.space,
            .dim = s->segment->dim,
            .sources = &source,
            .n_sources = 1,
            .parts = parts,
            .n_parts = sizeof(parts) / sizeof(parts[0]),
            .bad_source = OCH_SEAL_NO_SOURCE};
    *row_out = (struct och_segment_row){.id = 0};
    ochre_status status = choose_rows(repair, s, doubted, &seal, err);
    if (status == OCHRE_OK && seal.n_rows > 0)
        status = catalog->ops->next_file_id(catalog, &row_out->id, err);
    seal.id = row_out->id;
    row_out->n_rows = seal.n_rows;
    if (status == OCHRE_OK && seal.n_rows > 0 && repair->to != NULL)
        status = och_seal_write(&seal, &row_out->file_hash, &row_out->file_size, err);
    och_seal_clear(&seal);
    return status;
}

/* The new list: sound files, and new ones for damaged ones. */
static ochre_status
write_segments(struct och_repair *repair, struct och_repair_member *member,
        struct och_segment_row *rows, size_t *n_out, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    if (repair->to != NULL && member->n_segments > 0)
        status = make_directory(repair, member->row.id, err);
    for (size_t i = 0; i < member->n_segments && status == OCHRE_OK; i++) {
        struct och_repair_segment *s = &member->segments[i];
        if (s->is_lost)
            continue;
        if (s->is_damaged || s->has_lost_deletes) {
            status = write_rows(repair, member, s, member->row.id, false, &rows[*n_out], err);
            *n_out += rows[*n_out].n_rows > 0;
            member->sum.n_rebuilt++;
            continue;
        }
        rows[(*n_out)++] = s->row;
        if (repair->to != NULL)
            status = copy_segment(repair, member, s, err);
    }
    return status;
}

/* --- records in doubt ------------------------------------------------------------- */

/* Two segments may have a record in doubt: at most one row of it lived, and not the
 * older one. */
static ochre_status
leave_newest(struct och_repair_member *member, size_t i, struct ochre_error *err)
{
    struct och_repair_segment *s = &member->segments[i];
    for (uint32_t row = och_bitset_next(&s->doubted, 0); row != OCH_ROW_NONE;
            row = och_bitset_next(&s->doubted, row + 1)) {
        bool is_there = false;
        for (size_t k = i + 1; k < member->n_segments && !is_there; k++) {
            struct och_repair_segment *newer = &member->segments[k];
            uint32_t found = OCH_ROW_NONE;
            if (newer->segment == NULL || !newer->has_lost_deletes)
                continue;
            ochre_status status =
                    och_segment_find(newer->segment, och_segment_id(s->segment, row), &found, err);
            if (status != OCHRE_OK && !is_damage(status))
                return status;
            is_there = status == OCHRE_OK && found != OCH_ROW_NONE &&
                    och_bitset_has(&newer->doubted, found);
        }
        if (is_there)
            och_bitset_remove(&s->doubted, row);
    }
    return OCHRE_OK;
}

/* A collection like this one, of its id, under a name that begins as its name and is free. */
static ochre_status
create_named(struct och_repair *repair, struct och_collection_row *row, const char *suffix,
        struct ochre_error *err)
{
    struct och_catalog *catalog = repair->catalog.catalog;
    ochre_status status = OCHRE_EXISTS;
    char name[DOUBT_NAME_SIZE];
    const struct ochre_bytes base = row->name;
    /* Room for the longest suffix. */
    int size = base.size < DOUBT_NAME_SIZE - 32 ? (int) base.size : DOUBT_NAME_SIZE - 32;
    for (unsigned i = 1; status == OCHRE_EXISTS && i <= DOUBT_TRIES_MAX; i++) {
        int length = i == 1 ? snprintf(name, sizeof(name), "%.*s%s", size, base.data, suffix)
                            : snprintf(name, sizeof(name), "%.*s%s-%u", size, base.data, suffix, i);
        char *copy = och_arena_copy(&repair->arena, name, (size_t) length);
        if (copy == NULL)
            return och_fail_memory(err);
        row->name = (struct ochre_bytes){copy, (size_t) length};
        status = catalog->ops->collection_create(catalog, row, err);
    }
    return status;
}

static ochre_status
make_doubted(struct och_repair *repair, struct och_repair_member *member, struct ochre_error *err)
{
    struct och_collection_row row = member->row;
    uint8_t random[16] = {0};
    ochre_status status =
            och_machine_entropy(repair->options->machine, random, sizeof(random), err);
    row.id = och_uuid_from_random(random);
    if (status == OCHRE_OK)
        status = create_named(repair, &row, DOUBT_SUFFIX, err);
    if (status == OCHRE_OK)
        member->doubted = row;
    return status;
}

static ochre_status
write_doubted(struct och_repair *repair, struct och_repair_member *member, struct ochre_error *err)
{
    struct och_catalog *catalog = repair->catalog.catalog;
    uint64_t n_rows = 0;
    size_t n = 0;
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < member->n_segments && status == OCHRE_OK; i++) {
        status = leave_newest(member, i, err);
        n_rows += och_bitset_count(&member->segments[i].doubted);
    }
    if (status != OCHRE_OK || n_rows == 0)
        return status;
    struct och_segment_row *rows =
            och_arena_take_array(&repair->arena, member->n_segments, sizeof(*rows));
    status = rows == NULL ? och_fail_memory(err) : make_doubted(repair, member, err);
    if (status == OCHRE_OK && repair->to != NULL)
        status = make_directory(repair, member->doubted.id, err);
    for (size_t i = 0; i < member->n_segments && status == OCHRE_OK; i++) {
        const struct och_repair_segment *s = &member->segments[i];
        if (och_bitset_count(&s->doubted) == 0)
            continue;
        status = write_rows(repair, member, s, member->doubted.id, true, &rows[n], err);
        n += rows[n].n_rows > 0;
    }
    member->sum.n_in_doubt = n_rows;
    member->sum.doubted = member->doubted.name;
    member->doubted_position = member->state.position;
    if (status == OCHRE_OK)
        status = catalog->ops->state_set(catalog, member->doubted.id, &member->state, rows, n, err);
    return status;
}

/* --- pins that lost something ------------------------------------------------------- */

static bool
has_lost_records(const struct och_repair_member *member)
{
    bool has_lost = member->sum.n_lost > 0;
    for (size_t i = 0; i < member->n_segments && !has_lost; i++) {
        const struct och_repair_segment *s = &member->segments[i];
        has_lost = och_bitset_count(&s->lost) + och_bitset_count(&s->doubted) > 0;
    }
    return has_lost;
}

/* A pin shows what was pinned, or it is none: what is left of one that lost records becomes a
 * collection beside the one that it was of. */
static ochre_status
unpin(struct och_repair *repair, struct och_repair_member *member, struct ochre_error *err)
{
    struct och_catalog *catalog = repair->catalog.catalog;
    const struct ochre_bytes of = member->sum.name;
    const struct ochre_bytes pin = member->sum.pin;
    struct och_collection_row row = member->row;
    char name[2 * PIN_NAME_PART + 2];
    int size = snprintf(name, sizeof(name), "%.*s.%.*s",
            of.size < PIN_NAME_PART ? (int) of.size : PIN_NAME_PART, of.data,
            pin.size < PIN_NAME_PART ? (int) pin.size : PIN_NAME_PART, pin.data);
    row.tenant = member->sum.tenant;
    row.database = member->sum.database;
    row.name = (struct ochre_bytes){name, (size_t) size};
    ochre_status status = catalog->ops->collection_delete(catalog, row.id, err);
    if (status == OCHRE_OK)
        status = create_named(repair, &row, UNPINNED_SUFFIX, err);
    if (status != OCHRE_OK)
        return status;
    och_repair_report(repair, OCH_REPAIR_LOST, OCH_CATALOG_FILE,
            "pin \"%.*s\" of collection \"%.*s\" lost records; what is left of it is collection "
            "\"%.*s\"",
            PIN_NAME_PART < pin.size ? PIN_NAME_PART : (int) pin.size, pin.data,
            PIN_NAME_PART < of.size ? PIN_NAME_PART : (int) of.size, of.data, (int) row.name.size,
            row.name.data);
    row.number = member->row.number; /* by which members are found */
    member->row = row;
    member->sum.name = row.name;
    member->sum.pin = (struct ochre_bytes){NULL, 0};
    return OCHRE_OK;
}

/* --- all of it --------------------------------------------------------------------- */

static ochre_status
read_segments(struct och_repair *repair, struct och_repair_member *member, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < member->n_segments && status == OCHRE_OK; i++) {
        struct och_repair_segment *s = &member->segments[i];
        och_bitset_init(&s->lost, repair->mem);
        och_bitset_init(&s->doubted, repair->mem);
        och_bitset_init(&s->dead, repair->mem);
        status = open_segment(repair, member, s, err);
        if (status == OCHRE_OK)
            status = read_deletes(repair, member, s, err);
        if (status == OCHRE_OK)
            status = read_segment(repair, member, s, err);
    }
    for (size_t i = 0; i < member->n_segments && status == OCHRE_OK; i++)
        if (member->segments[i].has_lost_deletes)
            status = doubt_rows(repair, member, &member->segments[i], err);
    return status;
}

void
och_repair_close_segments(struct och_repair *repair, struct och_repair_member *member)
{
    for (size_t i = 0; i < member->n_segments; i++) {
        struct och_repair_segment *s = &member->segments[i];
        och_segment_release(s->segment);
        s->segment = NULL;
        if (s->lost.mem == NULL) /* it was never looked at */
            continue;
        och_bitset_clear(&s->lost);
        och_bitset_clear(&s->doubted);
        och_bitset_clear(&s->dead);
    }
    och_mem_release(repair->mem, member->settled, member->n_slots * sizeof(*member->settled));
    member->settled = NULL;
    member->n_slots = 0;
}

ochre_status
och_repair_segments(
        struct och_repair *repair, struct och_repair_member *member, struct ochre_error *err)
{
    struct och_catalog *catalog = repair->catalog.catalog;
    size_t n = 0;
    struct och_segment_row *rows =
            och_arena_take_array(&repair->arena, member->n_segments + 1, sizeof(*rows));
    if (rows == NULL)
        return och_fail_memory(err);
    ochre_status status = read_segments(repair, member, err);
    struct och_collection_state state = member->state;
    bool is_changed = false;
    for (size_t i = 0; i < member->n_segments; i++) {
        const struct och_repair_segment *s = &member->segments[i];
        is_changed |= s->is_lost || s->is_damaged || s->has_lost_deletes;
    }
    bool has_lost = status == OCHRE_OK && has_lost_records(member);
    /* What a pin is of stays as it is, beside a database in use: what is made is no pin of it. */
    if (status == OCHRE_OK && (has_lost || repair->live != NULL) && member->sum.pin.data != NULL)
        status = unpin(repair, member, err);
    /* As it is now it never was: what it was at its position only a pin may know. */
    state.position += has_lost;
    member->renumbered = state.position;
    if (status == OCHRE_OK)
        status = write_segments(repair, member, rows, &n, err);
    if (status == OCHRE_OK)
        status = write_doubted(repair, member, err);
    if (status == OCHRE_OK && (is_changed || has_lost))
        status = catalog->ops->state_set(catalog, member->row.id, &state, rows, n, err);
    if (!member->is_broken || status != OCHRE_OK)
        och_repair_close_segments(repair, member);
    return status;
}

/* --- for the log --------------------------------------------------------------------- */

ochre_status
och_repair_is_in_doubt(struct och_repair *repair, struct och_repair_member *member,
        struct ochre_bytes id, bool *doubt_out, struct ochre_error *err)
{
    (void) repair;
    bool may_be_lost = false;
    bool is_doubted = false;
    bool lives = false;
    for (size_t i = 0; i < member->n_segments; i++) {
        struct och_repair_segment *s = &member->segments[i];
        uint32_t row = OCH_ROW_NONE;
        if (s->segment == NULL) {
            may_be_lost |= s->is_lost;
            continue;
        }
        ochre_status status = och_segment_find(s->segment, id, &row, err);
        if (status != OCHRE_OK && !is_damage(status))
            return status;
        if (status != OCHRE_OK)
            may_be_lost = true;
        else if (row != OCH_ROW_NONE && is_alive(s, row) && !och_bitset_has(&s->dead, row)) {
            bool is_gone = och_bitset_has(&s->lost, row) || och_bitset_has(&s->doubted, row);
            is_doubted |= is_gone;
            lives |= !is_gone;
        }
    }
    *doubt_out = !lives && (is_doubted || may_be_lost);
    return OCHRE_OK;
}
