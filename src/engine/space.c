#include "engine/space.h"

#include "base/error.h"
#include "base/limits.h"
#include "os/vfs.h"

#define RESERVE_PATH "RESERVE"
#define PART_OF_FREE 16u
#define UNIT ((uint64_t) 4096)

/* So many times the reserve must be free before it is taken back, or the next
 * write would find the disk full again. */
#define ROOM_FACTOR 2u

/* This part of it is for the log and the catalog alone, and never less than half of the
 * least reserve: dropping one collection may change twenty of the catalog's pages. */
#define KEEP_PART 4u
#define KEEP_MIN (OCH_RESERVE_SIZE_MIN / 2)

void
och_space_init(struct och_space *space, struct och_vfs *vfs)
{
    space->vfs = vfs;
    och_mutex_init(&space->lock);
    atomic_init(&space->is_short, false);
}

void
och_space_clear(struct och_space *space)
{
    och_mutex_clear(&space->lock);
}

bool
och_space_is_short(const struct och_space *space)
{
    return atomic_load_explicit(&space->is_short, memory_order_acquire);
}

/* Have a file of so many bytes that are the file system's to give no more. */
static ochre_status
reserve(struct och_vfs *vfs, uint64_t size, struct ochre_error *err)
{
    struct och_file *file = NULL;
    ochre_status status =
            och_vfs_open(vfs, RESERVE_PATH, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status == OCHRE_OK)
        status = och_file_allocate(file, size, err);
    och_file_close(file);
    if (status != OCHRE_OK) {
        ochre_status removed = och_vfs_remove(vfs, RESERVE_PATH, NULL);
        (void) removed; /* an empty file takes no space */
    }
    return status;
}

/* How large it is already; 0: there is none. */
static uint64_t
size_found(struct och_vfs *vfs)
{
    struct och_file *file = NULL;
    uint64_t size = 0;
    if (och_vfs_open(vfs, RESERVE_PATH, OCH_OPEN_READ, &file, NULL) != OCHRE_OK)
        return 0;
    ochre_status status = och_file_size(file, &size, NULL);
    och_file_close(file);
    return status == OCHRE_OK ? size : 0;
}

/* What is there is made anew: a size that a power cut has kept may stand for no
 * space at all. */
void
och_space_begin(struct och_space *space)
{
    uint64_t left = 0;
    uint64_t size = size_found(space->vfs);
    ochre_status status = size > 0 ? och_vfs_remove(space->vfs, RESERVE_PATH, NULL) : OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_vfs_space_free(space->vfs, &left, NULL);
    if (status == OCHRE_OK) {
        size = size > left / PART_OF_FREE ? size : left / PART_OF_FREE / UNIT * UNIT;
        size = size > OCH_RESERVE_SIZE_MIN ? size : OCH_RESERVE_SIZE_MIN;
        size = size < OCH_RESERVE_SIZE_MAX ? size : OCH_RESERVE_SIZE_MAX;
        status = reserve(space->vfs, size, NULL);
    }
    och_mutex_lock(&space->lock);
    space->size = status == OCHRE_OK || status == OCHRE_FULL ? size : 0;
    och_mutex_unlock(&space->lock);
    atomic_store_explicit(&space->is_short, status == OCHRE_FULL, memory_order_release);
}

ochre_status
och_space_fail(struct och_space *space, const char *what, struct ochre_error *err)
{
    uint64_t left = 0;
    if (och_vfs_space_free(space->vfs, &left, NULL) != OCHRE_OK)
        return och_fail(err, OCHRE_FULL,
                "the disk of the data directory is full, and %s; deleting goes on", what);
    return och_fail(err, OCHRE_FULL,
            "the disk of the data directory is full: %llu bytes are free, and %s; deleting goes on",
            (unsigned long long) left, what);
}

ochre_status
och_space_admit(struct och_space *space, struct ochre_error *err)
{
    if (!och_space_is_short(space))
        return OCHRE_OK;
    uint64_t left = 0;
    och_mutex_lock(&space->lock);
    bool is_short = och_space_is_short(space); /* others may have looked meanwhile */
    ochre_status status = OCHRE_OK;
    if (is_short)
        status = och_vfs_space_free(space->vfs, &left, err);
    /* As at open, a disk that cannot reserve for another reason goes without. */
    if (is_short && status == OCHRE_OK && left >= space->size * ROOM_FACTOR)
        is_short = reserve(space->vfs, space->size, NULL) == OCHRE_FULL;
    if (!is_short)
        atomic_store_explicit(&space->is_short, false, memory_order_release);
    else if (status == OCHRE_OK)
        status = och_fail(err, OCHRE_FULL,
                "the disk of the data directory is full: %llu bytes are free, and what adds is "
                "taken again when there are %llu; deleting goes on",
                (unsigned long long) left, (unsigned long long) (space->size * ROOM_FACTOR));
    och_mutex_unlock(&space->lock);
    return status;
}

ochre_status
och_space_spare(struct och_space *space, uint64_t size, struct ochre_error *err)
{
    if (!och_space_is_short(space) || size == 0)
        return OCHRE_OK;
    uint64_t left = 0;
    och_mutex_lock(&space->lock);
    uint64_t keep = space->size / KEEP_PART;
    keep = keep > KEEP_MIN ? keep : KEEP_MIN;
    och_mutex_unlock(&space->lock);
    ochre_status status = och_vfs_space_free(space->vfs, &left, err);
    if (status != OCHRE_OK || left >= size + keep)
        return status;
    return och_fail(err, OCHRE_FULL,
            "the disk of the data directory is full: %llu bytes are free, and a segment wants %llu",
            (unsigned long long) left, (unsigned long long) size);
}

bool
och_space_give(struct och_space *space)
{
    och_mutex_lock(&space->lock);
    bool held = !och_space_is_short(space) && space->size > 0;
    /* What adds is refused from here on, before there is anything for it to take. */
    if (held)
        atomic_store_explicit(&space->is_short, true, memory_order_release);
    if (held) {
        ochre_status removed = och_vfs_remove(space->vfs, RESERVE_PATH, NULL);
        (void) removed; /* then there is no more room than before, and that is found */
    }
    och_mutex_unlock(&space->lock);
    return held;
}

bool
och_space_give_early(struct och_vfs *vfs)
{
    return size_found(vfs) > 0 && och_vfs_remove(vfs, RESERVE_PATH, NULL) == OCHRE_OK;
}
