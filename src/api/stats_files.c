#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/stats_internal.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "index/vector/graph.h"
#include "os/vfs.h"
#include "segment/segment.h"
#include "storage/directory.h"

void
och_tally_init(struct och_tally *tally, struct och_mem *mem, struct och_vfs *vfs)
{
    *tally = (struct och_tally){.mem = mem, .vfs = vfs};
    och_buf_init(&tally->dirs, mem, SIZE_MAX / 2);
}

void
och_tally_clear(struct och_tally *tally)
{
    och_buf_clear(&tally->dirs);
    och_mem_release(tally->mem, tally->files, tally->room * sizeof(*tally->files));
    tally->files = NULL;
    tally->n_files = tally->room = 0;
}

static ochre_status
append(struct och_tally *tally, const struct och_tally_file *file, struct ochre_error *err)
{
    if (tally->n_files == tally->room) {
        size_t room = tally->room == 0 ? 64 : tally->room * 2;
        struct och_tally_file *files = och_mem_resize(
                tally->mem, tally->files, tally->room * sizeof(*files), room * sizeof(*files));
        if (files == NULL)
            return och_fail_memory(err);
        tally->files = files;
        tally->room = room;
    }
    tally->files[tally->n_files++] = *file;
    return OCHRE_OK;
}

/* Where the bytes of a section belong. */
static uint64_t *
place_of(struct ochre_file_bytes *bytes, unsigned kind)
{
    if (kind >= OCH_SECTION_VECTOR)
        return kind == OCH_GRAPH_SECTION_LINKS ? &bytes->graph : &bytes->codes;
    if (kind >= OCH_SECTION_COLUMNS)
        return &bytes->metadata_index;
    if (kind >= OCH_SECTION_FIELD_OFFSETS)
        return &bytes->metadata;
    if (kind >= OCH_SECTION_URI_OFFSETS)
        return &bytes->uris;
    if (kind >= OCH_SECTION_DOCUMENT_OFFSETS)
        return &bytes->documents;
    return kind >= OCH_SECTION_ORDINALS ? &bytes->ids : &bytes->vectors;
}

void
och_tally_measure(
        const struct och_segment *segment, uint64_t n_alive, struct och_tally_file *file_out)
{
    uint64_t primary = 0;
    uint64_t other = segment->file_size;
    for (unsigned kind = 1; kind < OCH_SECTION_KINDS; kind++) {
        if (segment->sections[kind].offset == 0)
            continue;
        uint64_t size = segment->sections[kind].size;
        *place_of(&file_out->bytes, kind) += size;
        other -= size < other ? size : other;
        primary += kind < OCH_SECTION_DERIVED ? size : 0;
    }
    file_out->size = segment->file_size;
    file_out->bytes.other = other;
    if (segment->n_rows > 0)
        file_out->live = (uint64_t) ((double) primary * (double) n_alive / segment->n_rows);
}

/* Where nothing tells which file it is, its name does: no device has number UINT64_MAX. */
static void
identify(struct och_tally_file *file, struct och_file *open, const char *path)
{
    if (och_file_identity(open, file->identity))
        return;
    file->identity[0] = UINT64_MAX;
    file->identity[1] = och_hash64(path, strlen(path));
}

ochre_status
och_tally_add(struct och_tally *tally, struct och_tally_file *file, struct och_file *open,
        const char *path, struct ochre_error *err)
{
    struct och_file *opened = NULL;
    ochre_status status = OCHRE_OK;
    if (open == NULL)
        status = och_vfs_open(tally->vfs, path, OCH_OPEN_READ, &opened, err);
    if (status == OCHRE_OK && open == NULL)
        status = och_file_size(opened, &file->size, err);
    if (status == OCHRE_OK && file->kind == OCH_TALLY_DELETES)
        file->bytes.deletes = file->size;
    if (status == OCHRE_OK) {
        identify(file, open == NULL ? opened : open, path);
        status = append(tally, file, err);
    }
    och_file_close(opened);
    return status;
}

/* --- all there is -------------------------------------------------------------- */

static enum och_tally_kind
kind_of(const char *path)
{
    if (strncmp(path, OCH_DIR_SEGMENTS "/", sizeof(OCH_DIR_SEGMENTS)) == 0)
        return OCH_TALLY_UNLISTED;
    if (strncmp(path, "log/", 4) == 0)
        return OCH_TALLY_LOG;
    if (strncmp(path, "catalog.", 8) == 0)
        return OCH_TALLY_CATALOG;
    return strcmp(path, "RESERVE") == 0 ? OCH_TALLY_RESERVE : OCH_TALLY_OTHER;
}

static ochre_status
visit(void *context, const char *name, bool is_dir)
{
    struct och_tally *tally = context;
    char path[OCH_PATH_SIZE_MAX];
    int size = snprintf(
            path, sizeof(path), "%s%s%s", tally->dir, tally->dir[0] == '\0' ? "" : "/", name);
    if (size < 0 || size >= OCH_PATH_SIZE_MAX)
        return OCHRE_OK; /* no name that ochre gives */
    if (is_dir) {
        och_buf_put(&tally->dirs, path, (size_t) size + 1);
        return OCHRE_OK;
    }
    struct och_tally_file file = {.kind = kind_of(path), .collection = OCH_TALLY_NOBODY};
    ochre_status status = och_tally_add(tally, &file, NULL, path, tally->err);
    /* It went meanwhile; or it is somebody else's, and not for us to open. */
    bool is_passed = status == OCHRE_NOT_FOUND ||
            (file.kind == OCH_TALLY_OTHER && status != OCHRE_NO_MEMORY);
    return is_passed ? OCHRE_OK : status;
}

ochre_status
och_tally_walk(struct och_tally *tally, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    tally->err = err;
    och_buf_put(&tally->dirs, "", 1);
    size_t at = 0;
    while (status == OCHRE_OK && at < tally->dirs.size) {
        char dir[OCH_PATH_SIZE_MAX]; /* the list of them may move */
        size_t size = strlen(tally->dirs.data + at) + 1;
        memcpy(dir, tally->dirs.data + at, size);
        at += size;
        tally->dir = dir;
        status = och_vfs_list(tally->vfs, dir, visit, tally, err);
        if (status == OCHRE_NOT_FOUND)
            status = OCHRE_OK;
    }
    tally->dir = NULL;
    if (status == OCHRE_OK && och_buf_status(&tally->dirs) != OCHRE_OK)
        return och_fail_memory(err);
    return status;
}

ochre_status
och_tally_bytes(
        struct och_mem *mem, struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    struct och_tally tally;
    *bytes_out = 0;
    och_tally_init(&tally, mem, vfs);
    ochre_status status = och_tally_walk(&tally, err);
    for (size_t i = 0; i < tally.n_files; i++)
        *bytes_out += tally.files[i].size;
    och_tally_clear(&tally);
    return status;
}

/* --- summing up ---------------------------------------------------------------- */

/* By file; then names that collections list come first. */
static int
compare(const void *a_bytes, const void *b_bytes)
{
    const struct och_tally_file *a = a_bytes;
    const struct och_tally_file *b = b_bytes;
    for (size_t i = 0; i < 2; i++) {
        if (a->identity[i] != b->identity[i])
            return a->identity[i] < b->identity[i] ? -1 : 1;
    }
    if (a->collection != b->collection)
        return a->collection < b->collection ? -1 : 1;
    return 0;
}

static bool
is_same(const struct och_tally_file *a, const struct och_tally_file *b)
{
    return a->identity[0] == b->identity[0] && a->identity[1] == b->identity[1];
}

static void
add_bytes(struct ochre_file_bytes *to, const struct ochre_file_bytes *bytes)
{
    to->vectors += bytes->vectors;
    to->ids += bytes->ids;
    to->documents += bytes->documents;
    to->uris += bytes->uris;
    to->metadata += bytes->metadata;
    to->metadata_index += bytes->metadata_index;
    to->codes += bytes->codes;
    to->graph += bytes->graph;
    to->deletes += bytes->deletes;
    to->other += bytes->other;
}

static void
count_file(struct ochre_stats *totals, const struct och_tally_file *file)
{
    totals->disk_files++;
    totals->disk_bytes += file->size;
    switch (file->kind) {
    case OCH_TALLY_SEGMENT:
    case OCH_TALLY_DELETES:
        totals->segments += file->kind == OCH_TALLY_SEGMENT;
        totals->delete_files += file->kind == OCH_TALLY_DELETES;
        totals->segment_bytes += file->size;
        totals->live_bytes += file->live;
        add_bytes(&totals->bytes, &file->bytes);
        return;
    case OCH_TALLY_UNLISTED:
        totals->unlisted_files++;
        totals->unlisted_bytes += file->size;
        return;
    case OCH_TALLY_LOG:
        totals->log_files++;
        totals->log_bytes += file->size;
        return;
    case OCH_TALLY_CATALOG:
        totals->catalog_bytes += file->size;
        return;
    case OCH_TALLY_RESERVE:
        totals->reserve_bytes += file->size;
        return;
    case OCH_TALLY_OTHER:
        totals->other_bytes += file->size;
        return;
    }
}

static void
count_collections(struct och_stats *stats)
{
    struct ochre_stats *totals = &stats->totals;
    totals->pins = stats->n_pins;
    for (size_t i = 0; i < stats->n_collections; i++) {
        const struct ochre_collection_stats *collection = &stats->collections[i];
        totals->collections++;
        totals->forks += collection->is_fork;
        totals->records += collection->records;
        totals->dead_rows += collection->dead_rows;
        if (collection->unsealed_rows != UINT64_MAX)
            totals->unsealed_rows += collection->unsealed_rows;
    }
}

/* The names of one file, those of pins behind those of collections: it counts once, with most of what one of them has alive. */
static void
count_names(struct och_stats *stats, struct och_tally_file *names, size_t n)
{
    size_t n_listed = 0;
    for (; n_listed < n && names[n_listed].collection != OCH_TALLY_NOBODY; n_listed++) {
        if (names[n_listed].live > names[0].live)
            names[0].live = names[n_listed].live;
    }
    for (size_t i = 0; n_listed > 1 && i < n_listed; i++) {
        stats->collections[names[i].collection].shared_files++;
        stats->collections[names[i].collection].shared_bytes += names[i].size;
    }
    bool is_pinned = n_listed > 0 && names[0].collection >= stats->n_collections;
    stats->totals.pinned_bytes += is_pinned ? names[0].size : 0;
    count_file(&stats->totals, &names[0]);
}

void
och_tally_sum_up(struct och_tally *tally, struct och_stats *stats)
{
    if (tally->n_files > 0)
        qsort(tally->files, tally->n_files, sizeof(tally->files[0]), compare);
    for (size_t i = 0; i < tally->n_files; i++) {
        const struct och_tally_file *file = &tally->files[i];
        if (file->collection == OCH_TALLY_NOBODY)
            continue;
        struct ochre_collection_stats *collection = &stats->collections[file->collection];
        collection->n_bytes += file->size;
        collection->live_bytes += file->live;
        add_bytes(&collection->bytes, &file->bytes);
    }
    for (size_t i = 0; i < tally->n_files;) {
        size_t n = 1;
        while (i + n < tally->n_files && is_same(&tally->files[i], &tally->files[i + n]))
            n++;
        count_names(stats, &tally->files[i], n);
        i += n;
    }
    count_collections(stats);
}
