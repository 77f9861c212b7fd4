#include "api/held_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/db.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "drivers/catalog_sqlite.h"
#include "engine/catalog.h"
#include "engine/engine.h"
#include "engine/ports.h"
#include "os/vfs.h"
#include "segment/deletes.h"
#include "segment/segment.h"
#include "storage/backup_manifest.h"
#include "storage/directory.h"
#include "storage/wal_follow.h"
#include "storage/wal_reach.h"

/* So often it is tried to open what another process is about to remove. */
#define TRIES_MAX 16

#define CATALOG "catalog.db"
#define LOCK "LOCK"
#define REACH OCH_DIR_REACH

/* A file that is there. */
struct member {
    char path[OCH_BACKUP_PATH_SIZE];
    uint64_t size_max;     /* it has so many bytes, or fewer */
    bool is_log;           /* and then zeros, as far as a copy of the log has them */
    struct och_file *open; /* owned; NULL: it is opened by its name */
};

struct och_held_files {
    struct och_vfs vfs; /* first: the vfs's pointer is ours */
    struct och_mem *mem;
    struct ochre_db *db;
    struct och_vfs *base;   /* where they lie */
    struct member *members; /* owned; in byte order */
    size_t n_members, room;
    struct och_buf catalog;
    struct och_buf reach; /* what lies beside the log; empty: nothing does */
    bool is_held;
    struct ochre_error *err; /* borrowed: while it is looked */
};

/* An open one: in memory, or another vfs's. */
struct held_file {
    struct och_file file; /* first */
    struct och_mem *mem;
    struct och_file *base; /* NULL: in memory */
    bool is_shared;        /* base is the member's, and stays open */
    const char *bytes;
    uint64_t size_max;
    bool is_log;
    bool is_lock; /* what is written to it is for people, and they find it elsewhere */
};

static struct och_held_files *
held_of(struct och_vfs *vfs)
{
    return (struct och_held_files *) vfs;
}

static struct held_file *
file_of(struct och_file *file)
{
    return (struct held_file *) file;
}

static ochre_status
refuse(struct ochre_error *err)
{
    return och_fail(err, OCHRE_DENIED, "the files of a database in use are only read");
}

/* --- files ------------------------------------------------------------------- */

static ochre_status
file_size(struct och_file *base, uint64_t *size_out, struct ochre_error *err)
{
    struct held_file *file = file_of(base);
    ochre_status status = OCHRE_OK;
    *size_out = file->size_max;
    if (file->base != NULL)
        status = och_file_size(file->base, size_out, err);
    if (file->is_log)
        *size_out = och_wal_copy_size(file->size_max, *size_out);
    else if (*size_out > file->size_max)
        *size_out = file->size_max;
    return status;
}

/* Behind what counts of a log file there may be more by now; there were zeros. */
static ochre_status
read_space(struct held_file *file, uint64_t offset, char *bytes, size_t size, size_t *n_read,
        struct ochre_error *err)
{
    uint64_t end = 0;
    ochre_status status = file_size(&file->file, &end, err);
    uint64_t left = offset < end ? end - offset : 0;
    size_t n = size < left ? size : (size_t) left;
    if (status != OCHRE_OK || n <= *n_read)
        return status;
    memset(bytes + *n_read, 0, n - *n_read);
    *n_read = n;
    return OCHRE_OK;
}

static ochre_status
file_read(struct och_file *base, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    struct held_file *file = file_of(base);
    uint64_t left = offset < file->size_max ? file->size_max - offset : 0;
    size_t n = size < left ? size : (size_t) left;
    ochre_status status = OCHRE_OK;
    *n_read_out = n;
    if (n > 0 && file->base != NULL)
        status = och_file_read(file->base, offset, bytes, n, n_read_out, err);
    else if (n > 0)
        memcpy(bytes, file->bytes + offset, n);
    if (status == OCHRE_OK && file->is_log && n == left && *n_read_out == n)
        status = read_space(file, offset, bytes, size, n_read_out, err);
    return status;
}

static ochre_status
file_write(struct och_file *base, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    (void) offset;
    (void) bytes;
    (void) size;
    return file_of(base)->is_lock ? OCHRE_OK : refuse(err);
}

/* What is held is durable: a reader may want to be sure (storage/wal_follow.h). */
static ochre_status
file_sync(struct och_file *base, struct ochre_error *err)
{
    (void) base;
    (void) err;
    return OCHRE_OK;
}

/* Also its `allocate`. */
static ochre_status
file_truncate(struct och_file *base, uint64_t size, struct ochre_error *err)
{
    (void) size;
    return file_of(base)->is_lock ? OCHRE_OK : refuse(err);
}

static ochre_status
file_map(struct och_file *base, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    struct held_file *file = file_of(base);
    if (size > file->size_max)
        return och_fail(err, OCHRE_CORRUPT, "a file has %" PRIu64 " bytes instead of %" PRIu64,
                file->size_max, size);
    if (file->base != NULL)
        return och_file_map(file->base, size, bytes_out, err);
    *bytes_out = file->bytes;
    return OCHRE_OK;
}

static void
file_unmap(struct och_file *base, const void *bytes, uint64_t size)
{
    struct held_file *file = file_of(base);
    if (file->base != NULL)
        och_file_unmap(file->base, bytes, size);
}

/* The database has the lock. */
static ochre_status
file_lock(struct och_file *base, struct ochre_error *err)
{
    (void) base;
    (void) err;
    return OCHRE_OK;
}

static void
file_close(struct och_file *base)
{
    struct held_file *file = file_of(base);
    if (!file->is_shared)
        och_file_close(file->base);
    och_mem_release(file->mem, file, sizeof(*file));
}

static const struct och_file_ops file_ops = {
        .read = file_read,
        .write = file_write,
        .sync = file_sync,
        .truncate = file_truncate,
        .allocate = file_truncate,
        .size = file_size,
        .map = file_map,
        .unmap = file_unmap,
        .lock = file_lock,
        .close = file_close,
};

/* --- the vfs ----------------------------------------------------------------- */

/* The first member whose path is not less than this. */
static size_t
lower_bound(const struct och_held_files *held, const char *path)
{
    size_t low = 0, high = held->n_members;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(held->members[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct member *
find(const struct och_held_files *held, const char *path)
{
    size_t i = lower_bound(held, path);
    return i < held->n_members && strcmp(held->members[i].path, path) == 0 ? &held->members[i]
                                                                           : NULL;
}

static ochre_status
vfs_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct och_held_files *held = held_of(vfs);
    const struct member *member = find(held, path);
    if (member == NULL)
        return (flags & OCH_OPEN_CREATE) != 0
                ? refuse(err)
                : och_fail(err, OCHRE_NOT_FOUND, "there is no file %s", path);
    struct held_file *file = och_mem_take(held->mem, sizeof(*file));
    if (file == NULL)
        return och_fail_memory(err);
    *file = (struct held_file){.file.ops = &file_ops,
            .mem = held->mem,
            .size_max = member->size_max,
            .is_log = member->is_log,
            .bytes = ""};
    ochre_status status = OCHRE_OK;
    file->is_lock = strcmp(path, LOCK) == 0;
    file->is_shared = member->open != NULL;
    file->base = member->open;
    if (strcmp(path, CATALOG) == 0)
        file->bytes = held->catalog.data;
    else if (strcmp(path, REACH) == 0)
        file->bytes = held->reach.data;
    else if (!file->is_lock && !file->is_shared)
        status = och_vfs_open(held->base, path, OCH_OPEN_READ, &file->base, err);
    if (status != OCHRE_OK) {
        och_mem_release(held->mem, file, sizeof(*file));
        return status;
    }
    *file_out = &file->file;
    return OCHRE_OK;
}

/* Also its `rmdir`. */
static ochre_status
vfs_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    (void) vfs;
    (void) path;
    return refuse(err);
}

static ochre_status
vfs_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    (void) vfs;
    (void) from;
    (void) to;
    return refuse(err);
}

/* Names do not change.  Also its `mkdir`: those that are wanted are there. */
static ochre_status
vfs_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    (void) vfs;
    (void) path;
    (void) err;
    return OCHRE_OK;
}

/* The members below a directory ("": all), as they come in byte order: the prefix of
 * their paths and the first of them. */
static size_t
first_below(const struct och_held_files *held, const char *dir, char prefix[OCH_PATH_SIZE_MAX])
{
    (void) snprintf(prefix, OCH_PATH_SIZE_MAX, "%s%s", dir, dir[0] == '\0' ? "" : "/");
    return lower_bound(held, prefix);
}

static bool
is_below(const struct och_held_files *held, size_t i, const char *prefix)
{
    return i < held->n_members && strncmp(held->members[i].path, prefix, strlen(prefix)) == 0;
}

static ochre_status
vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    struct och_held_files *held = held_of(vfs);
    char prefix[OCH_PATH_SIZE_MAX];
    char previous[OCH_BACKUP_PATH_SIZE] = "";
    (void) err;
    for (size_t i = first_below(held, path, prefix); is_below(held, i, prefix); i++) {
        const char *rest = held->members[i].path + strlen(prefix);
        size_t size = strcspn(rest, "/");
        bool is_dir = rest[size] == '/';
        if (strncmp(rest, previous, size) == 0 && previous[size] == '\0')
            continue;
        (void) snprintf(previous, sizeof(previous), "%.*s", (int) size, rest);
        ochre_status status = visit(context, previous, is_dir);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

static ochre_status
vfs_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    struct och_held_files *held = held_of(vfs);
    char prefix[OCH_PATH_SIZE_MAX];
    (void) err;
    *exists_out = strcmp(path, "log") == 0 || strcmp(path, OCH_DIR_SEGMENTS) == 0 ||
            find(held, path) != NULL || is_below(held, first_below(held, path, prefix), prefix);
    return OCHRE_OK;
}

static ochre_status
vfs_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    return och_vfs_space_free(held_of(vfs)->base, bytes_out, err);
}

static const struct och_vfs_ops vfs_ops = {
        .open = vfs_open,
        .remove = vfs_remove,
        .rename = vfs_rename,
        .sync_dir = vfs_sync_dir,
        .mkdir = vfs_sync_dir,
        .rmdir = vfs_remove,
        .list = vfs_list,
        .exists = vfs_exists,
        .space_free = vfs_space_free,
};

/* --- what there is ------------------------------------------------------------ */

static ochre_status
add_member(
        struct och_held_files *held, const char *path, uint64_t size_max, struct ochre_error *err)
{
    if (held->n_members == held->room) {
        size_t room = held->room == 0 ? 64 : held->room * 2;
        struct member *members = och_mem_resize(
                held->mem, held->members, held->room * sizeof(*members), room * sizeof(*members));
        if (members == NULL)
            return och_fail_memory(err);
        held->members = members;
        held->room = room;
    }
    struct member *member = &held->members[held->n_members++];
    (void) snprintf(member->path, sizeof(member->path), "%s", path);
    member->size_max = size_max;
    member->is_log = false;
    member->open = NULL;
    return OCHRE_OK;
}

static ochre_status
visit_log(void *context, uint64_t number, uint64_t size)
{
    struct och_held_files *held = context;
    char path[OCH_BACKUP_PATH_SIZE];
    (void) snprintf(path, sizeof(path), "log/%016" PRIx64 ".log", number);
    ochre_status status = add_member(held, path, size, held->err);
    if (status == OCHRE_OK)
        held->members[held->n_members - 1].is_log = true;
    return status;
}

/* While nobody writes (och_engine_hold): the log first, since the catalog may go on. */
static ochre_status
look(void *context, struct och_engine *engine, struct ochre_error *err)
{
    struct och_held_files *held = context;
    struct och_catalog *catalog = engine->ports.catalog;
    held->err = err;
    ochre_status status = engine->log->ops->each_file(engine->log, visit_log, held);
    engine->log->ops->put_reach(engine->log, &held->reach);
    return status == OCHRE_OK ? catalog->ops->copy(catalog, &held->catalog, err) : status;
}

/* --- what the copied catalog lists --------------------------------------------- */

struct listing {
    struct och_held_files *held;
    struct och_catalog *catalog;
    struct och_buf ids; /* of collections */
};

/* The catalog answers one question at a time. */
static ochre_status
remember(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct listing *listing = context;
    (void) number;
    (void) state;
    if (n_segments > 0)
        och_buf_put(&listing->ids, id.bytes, sizeof(id.bytes));
    return OCHRE_OK;
}

static ochre_status
add_segment(struct och_held_files *held, struct och_uuid collection,
        const struct och_segment_row *row, struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), collection, row->id);
    ochre_status status = add_member(held, path, UINT64_MAX, err);
    if (status != OCHRE_OK || row->deletes_id == 0)
        return status;
    och_deletes_path(path, sizeof(path), collection, row->id, row->deletes_id);
    return add_member(held, path, UINT64_MAX, err);
}

static ochre_status
add_collection(struct listing *listing, struct och_arena *arena, struct och_uuid id,
        struct ochre_error *err)
{
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n;
    ochre_status status =
            listing->catalog->ops->state_get(listing->catalog, arena, id, &state, &rows, &n, err);
    for (size_t i = 0; i < n && status == OCHRE_OK; i++)
        status = add_segment(listing->held, id, &rows[i], err);
    return status;
}

static ochre_status
add_collections(struct listing *listing, struct ochre_error *err)
{
    struct och_arena arena;
    struct och_uuid id;
    och_arena_init(&arena, listing->held->mem);
    ochre_status status = listing->catalog->ops->each_collection(
            listing->catalog, &arena, remember, listing, err);
    if (status == OCHRE_OK && och_buf_status(&listing->ids) != OCHRE_OK)
        status = och_fail_memory(err);
    for (size_t at = 0; at < listing->ids.size && status == OCHRE_OK; at += sizeof(id.bytes)) {
        struct och_arena_mark mark = och_arena_mark(&arena);
        memcpy(id.bytes, listing->ids.data + at, sizeof(id.bytes));
        status = add_collection(listing, &arena, id, err);
        och_arena_rewind(&arena, &mark);
    }
    och_arena_clear(&arena);
    return status;
}

static int
compare_members(const void *a, const void *b)
{
    return strcmp(((const struct member *) a)->path, ((const struct member *) b)->path);
}

/* Add what the catalog lists, which is held by now. */
static ochre_status
list_members(struct och_held_files *held, struct ochre_error *err)
{
    struct listing listing = {.held = held};
    ochre_status status = add_member(held, "FORMAT", UINT64_MAX, err);
    if (status == OCHRE_OK)
        status = add_member(held, LOCK, 0, err);
    if (status == OCHRE_OK)
        status = add_member(held, CATALOG, held->catalog.size, err);
    if (status == OCHRE_OK && och_buf_status(&held->reach) != OCHRE_OK)
        status = och_fail_memory(err);
    if (status == OCHRE_OK && held->reach.size > 0)
        status = add_member(held, REACH, held->reach.size, err);
    if (status != OCHRE_OK)
        return status;
    qsort(held->members, held->n_members, sizeof(*held->members), compare_members);
    och_buf_init(&listing.ids, held->mem, SIZE_MAX);
    const struct och_catalog_sqlite_options options = {
            .mem = held->mem, .vfs = &held->vfs, .only_reads = true};
    status = och_catalog_sqlite_open_with(&options, &listing.catalog, err);
    if (status == OCHRE_OK)
        status = add_collections(&listing, err);
    if (listing.catalog != NULL)
        listing.catalog->ops->close(listing.catalog);
    och_buf_clear(&listing.ids);
    if (status == OCHRE_OK)
        qsort(held->members, held->n_members, sizeof(*held->members), compare_members);
    return status;
}

static struct och_held_files *
make(struct och_mem *mem, struct och_vfs *base)
{
    struct och_held_files *held = och_mem_take_zeroed(mem, sizeof(*held));
    if (held == NULL)
        return NULL;
    held->vfs.ops = &vfs_ops;
    held->mem = mem;
    held->base = base;
    och_buf_init(&held->catalog, mem, SIZE_MAX);
    och_buf_init(&held->reach, mem, SIZE_MAX);
    return held;
}

/* --- where another process has the database -------------------------------------- */

struct beside {
    struct och_catalog *catalog;       /* owned */
    struct och_wal_follower *follower; /* owned */
    struct och_uuid database;
};

static ochre_status
ignore_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    (void) context;
    (void) record;
    (void) damaged;
    (void) err;
    return OCHRE_OK;
}

static void
forget_members(struct och_held_files *held)
{
    for (size_t i = 0; i < held->n_members; i++)
        och_file_close(held->members[i].open);
    held->n_members = 0;
    och_buf_reset(&held->catalog);
    och_buf_reset(&held->reach);
}

/* Open all that is there; *gone_out: the log is not what it was. */
static ochre_status
open_members(struct och_held_files *held, bool *gone_out, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < held->n_members && status == OCHRE_OK; i++) {
        struct member *member = &held->members[i];
        if (strcmp(member->path, CATALOG) == 0 || strcmp(member->path, LOCK) == 0 ||
                strcmp(member->path, REACH) == 0)
            continue;
        status = och_vfs_open(held->base, member->path, OCH_OPEN_READ, &member->open, err);
        /* The log may have been trimmed, as this catalog allows; another file was removed
         * on the strength of a newer one, or is missing. */
        if (status == OCHRE_NOT_FOUND && strncmp(member->path, "log/", 4) == 0)
            *gone_out = true;
        if (status == OCHRE_NOT_FOUND)
            status = OCHRE_OK;
    }
    return status;
}

/* The catalog as it is, the log to its end, and the files; *same_out: the catalog was
 * the same all the while, so that they belong together. */
static ochre_status
look_beside(
        struct och_held_files *held, struct beside *beside, bool *same_out, struct ochre_error *err)
{
    bool changed = false, lost = false, gone = false;
    forget_members(held);
    held->err = err;
    ochre_status status = beside->catalog->ops->follow(beside->catalog, &changed, err);
    if (status == OCHRE_OK)
        status = beside->catalog->ops->copy(beside->catalog, &held->catalog, err);
    if (status == OCHRE_OK) /* before the log is read, which has come further by then */
        status =
                och_wal_reach_put_least(held->mem, held->base, beside->database, &held->reach, err);
    if (status == OCHRE_OK)
        status = och_wal_follow(beside->follower, true, ignore_record, NULL, &lost, err);
    if (status == OCHRE_OK)
        status = och_wal_follower_each_file(beside->follower, visit_log, held);
    if (status == OCHRE_OK)
        status = list_members(held, err);
    if (status == OCHRE_OK)
        status = open_members(held, &gone, err);
    if (status == OCHRE_OK)
        status = beside->catalog->ops->follow(beside->catalog, &changed, err);
    if (lost)
        och_wal_follower_rewind(beside->follower);
    /* What is gone though the catalog lists it is damage, for whoever reads it. */
    *same_out = status == OCHRE_OK && !changed && !lost && !gone;
    return status;
}

static ochre_status
look_until_same(struct och_held_files *held, struct beside *beside, struct ochre_error *err)
{
    bool same = false;
    ochre_status status = OCHRE_OK;
    for (int i = 0; i < TRIES_MAX && !same; i++) {
        status = look_beside(held, beside, &same, err);
        /* What is just being written looks damaged, once or twice. */
        if (status != OCHRE_OK && (status != OCHRE_CORRUPT || i == TRIES_MAX - 1))
            break;
    }
    if (status == OCHRE_OK && !same)
        return och_fail(err, OCHRE_UNAVAILABLE,
                "the catalog changed each of %d times that its files were opened", TRIES_MAX);
    return status;
}

ochre_status
och_held_files_make_beside(struct och_mem *mem, struct och_vfs *vfs,
        struct och_directory *directory_out, struct och_held_files **held_out,
        struct ochre_error *err)
{
    struct beside beside = {.catalog = NULL};
    *held_out = NULL;
    struct och_held_files *held = make(mem, vfs);
    if (held == NULL)
        return och_fail_memory(err);
    ochre_status status = och_directory_look(vfs, directory_out, err);
    bool is_ours = status == OCHRE_OK;
    if (is_ours)
        status = och_catalog_sqlite_open_beside(mem, vfs, &beside.catalog, err);
    if (is_ours && status == OCHRE_NOT_FOUND)
        status = och_fail(err, OCHRE_CORRUPT, "catalog.db is missing");
    struct och_wal_options options = {.mem = mem, .vfs = vfs, .database = directory_out->database};
    beside.database = directory_out->database;
    if (status == OCHRE_OK)
        status = och_wal_follower_open(&options, &beside.follower, err);
    if (status == OCHRE_OK)
        status = look_until_same(held, &beside, err);
    och_wal_follower_close(beside.follower);
    if (beside.catalog != NULL)
        beside.catalog->ops->close(beside.catalog);
    if (status != OCHRE_OK) {
        och_held_files_release(held);
        return status;
    }
    *held_out = held;
    return OCHRE_OK;
}

/* --- making one ------------------------------------------------------------------- */

ochre_status
och_held_files_make(struct och_mem *mem, struct ochre_db *db, struct och_held_files **held_out,
        struct ochre_error *err)
{
    *held_out = NULL;
    struct och_held_files *held = make(mem, db->options.vfs);
    if (held == NULL)
        return och_fail_memory(err);
    held->db = db;
    ochre_status status = och_engine_hold(db->engine, look, held, err);
    held->is_held = status == OCHRE_OK;
    if (status == OCHRE_OK)
        status = list_members(held, err);
    if (status != OCHRE_OK) {
        och_held_files_release(held);
        return status;
    }
    *held_out = held;
    return OCHRE_OK;
}

void
och_held_files_release(struct och_held_files *held)
{
    if (held == NULL)
        return;
    if (held->is_held)
        och_engine_let_go(held->db->engine);
    forget_members(held);
    och_buf_clear(&held->catalog);
    och_buf_clear(&held->reach);
    och_mem_release(held->mem, held->members, held->room * sizeof(*held->members));
    och_mem_release(held->mem, held, sizeof(*held));
}

struct och_vfs *
och_held_files_vfs(struct och_held_files *held)
{
    return &held->vfs;
}
