#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "sim/sim_internal.h"

/* --- names ---------------------------------------------------------------- */

/* Where `name` is, or belongs. */
static size_t
names_search(const struct sim_names *names, const char *name)
{
    size_t low = 0;
    size_t high = names->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(names->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool
names_has_at(const struct sim_names *names, size_t at, const char *name)
{
    return at < names->n && strcmp(names->entries[at].name, name) == 0;
}

uint32_t
sim_names_find(const struct sim_names *names, const char *name)
{
    size_t at = names_search(names, name);
    return names_has_at(names, at, name) ? names->entries[at].inode : SIM_NOTHING;
}

void
sim_names_set(struct och_mem *mem, struct sim_names *names, const char *name, uint32_t inode)
{
    size_t at = names_search(names, name);
    if (!names_has_at(names, at, name)) {
        names->entries = sim_array_grow(
                mem, names->entries, names->n, &names->room, sizeof(names->entries[0]));
        memmove(&names->entries[at + 1], &names->entries[at],
                (names->n - at) * sizeof(names->entries[0]));
        names->n++;
        size_t size = strlen(name) + 1;
        och_assert(size <= SIM_NAME_SIZE);
        memcpy(names->entries[at].name, name, size);
    }
    names->entries[at].inode = inode;
}

void
sim_names_remove(struct sim_names *names, const char *name)
{
    size_t at = names_search(names, name);
    if (!names_has_at(names, at, name))
        return;
    names->n--;
    memmove(&names->entries[at], &names->entries[at + 1],
            (names->n - at) * sizeof(names->entries[0]));
}

void
sim_names_clear(struct och_mem *mem, struct sim_names *names)
{
    och_mem_release(mem, names->entries, names->room * sizeof(names->entries[0]));
    *names = (struct sim_names){.entries = NULL};
}

void
sim_names_copy(struct och_mem *mem, struct sim_names *copy, const struct sim_names *names)
{
    *copy = (struct sim_names){.entries = NULL};
    if (names->n == 0)
        return;
    copy->entries = och_mem_take(mem, names->n * sizeof(names->entries[0]));
    och_assert(copy->entries != NULL);
    memcpy(copy->entries, names->entries, names->n * sizeof(names->entries[0]));
    copy->n = names->n;
    copy->room = names->n;
}

/* --- inodes --------------------------------------------------------------- */

static void
release_bytes(struct och_mem *mem, struct sim_bytes *bytes)
{
    if (bytes == NULL)
        return;
    bytes->n_owners--;
    if (bytes->n_owners == 0)
        och_mem_release(mem, bytes, sizeof(*bytes) + bytes->size);
}

static void
clear_ops(struct och_mem *mem, struct sim_inode *inode)
{
    for (size_t i = 0; i < inode->n_ops; i++)
        release_bytes(mem, inode->ops[i].bytes);
    inode->n_ops = 0;
}

void
sim_inode_release(struct och_mem *mem, struct sim_inode *inode)
{
    och_assert(inode->n_owners > 0);
    inode->n_owners--;
    if (inode->n_owners > 0)
        return;
    clear_ops(mem, inode);
    och_mem_release(mem, inode->ops, inode->ops_room * sizeof(inode->ops[0]));
    sim_image_clear(&inode->durable);
    sim_image_clear(&inode->current);
    sim_names_clear(mem, &inode->durable_names);
    sim_names_clear(mem, &inode->current_names);
    och_mem_release(mem, inode, sizeof(*inode));
}

static struct sim_inode *
copy_inode(struct och_mem *mem, const struct sim_inode *inode)
{
    struct sim_inode *copy = och_mem_take_zeroed(mem, sizeof(*copy));
    och_assert(copy != NULL);
    copy->n_owners = 1;
    copy->number = inode->number;
    copy->is_dir = inode->is_dir;
    copy->has_lost = inode->has_lost;
    sim_image_copy(&copy->durable, &inode->durable);
    sim_image_copy(&copy->current, &inode->current);
    sim_names_copy(mem, &copy->durable_names, &inode->durable_names);
    sim_names_copy(mem, &copy->current_names, &inode->current_names);
    for (size_t i = 0; i < inode->n_ops; i++) {
        copy->ops = sim_array_grow(mem, copy->ops, i, &copy->ops_room, sizeof(copy->ops[0]));
        copy->ops[i] = inode->ops[i];
        if (copy->ops[i].bytes != NULL)
            copy->ops[i].bytes->n_owners++;
    }
    copy->n_ops = inode->n_ops;
    return copy;
}

/* Where the inode is among the disk's, or n_inodes. */
static size_t
inode_search(const struct sim_disk *disk, uint32_t number)
{
    size_t low = 0;
    size_t high = disk->n_inodes;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (disk->inodes[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < disk->n_inodes && disk->inodes[low]->number == number ? low : disk->n_inodes;
}

struct sim_inode *
sim_inode_get(const struct sim_disk *disk, uint32_t number)
{
    size_t at = inode_search(disk, number);
    return at < disk->n_inodes ? disk->inodes[at] : NULL;
}

struct sim_inode *
sim_inode_own(struct sim_disk *disk, uint32_t number)
{
    size_t at = inode_search(disk, number);
    och_assert(at < disk->n_inodes);
    struct sim_inode *inode = disk->inodes[at];
    if (inode->n_owners == 1)
        return inode;
    disk->inodes[at] = copy_inode(disk->mem, inode);
    sim_inode_release(disk->mem, inode);
    return disk->inodes[at];
}

uint32_t
sim_inode_make(struct sim_disk *disk, bool is_dir)
{
    struct sim_inode *inode = och_mem_take_zeroed(disk->mem, sizeof(*inode));
    och_assert(inode != NULL);
    disk->last_number++;
    inode->n_owners = 1;
    inode->number = disk->last_number;
    inode->is_dir = is_dir;
    sim_image_init(&inode->durable, disk->mem);
    sim_image_init(&inode->current, disk->mem);
    disk->inodes = sim_array_grow(disk->mem, disk->inodes, disk->n_inodes, &disk->inodes_room,
            sizeof(struct sim_inode *));
    disk->inodes[disk->n_inodes++] = inode; /* numbers rise, so the order holds */
    return inode->number;
}

/* --- what can be reached -------------------------------------------------- */

struct marking {
    const struct sim_disk *disk;
    bool *is_marked; /* owned, for each of the disk's inodes */
    size_t *todo;    /* owned: inodes marked whose names are not looked at yet */
    size_t n_todo;
};

static void
mark(struct marking *marking, uint32_t number)
{
    size_t at = inode_search(marking->disk, number);
    if (at == marking->disk->n_inodes || marking->is_marked[at])
        return;
    marking->is_marked[at] = true;
    marking->todo[marking->n_todo++] = at;
}

static void
mark_names(struct marking *marking, const struct sim_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        mark(marking, names->entries[i].inode);
}

static void
mark_all(struct marking *marking)
{
    const struct sim_disk *disk = marking->disk;
    mark(marking, SIM_ROOT);
    for (size_t i = 0; i < disk->n_name_ops; i++) {
        mark(marking, disk->name_ops[i].inode);
        mark(marking, disk->name_ops[i].at.dir);
        mark(marking, disk->name_ops[i].from.dir); /* SIM_NOTHING is no inode */
    }
    for (const struct sim_file *file = disk->files; file != NULL; file = file->next)
        if (file->life == disk->life)
            mark(marking, file->inode);
    while (marking->n_todo > 0) {
        const struct sim_inode *inode = disk->inodes[marking->todo[--marking->n_todo]];
        mark_names(marking, &inode->durable_names);
        mark_names(marking, &inode->current_names);
    }
}

void
sim_collect(struct sim_disk *disk)
{
    size_t n = disk->n_inodes;
    struct marking marking = {
            .disk = disk,
            .is_marked = och_mem_take_zeroed(disk->mem, n * sizeof(bool)),
            .todo = och_mem_take(disk->mem, n * sizeof(size_t)),
    };
    och_assert(marking.is_marked != NULL && marking.todo != NULL);
    mark_all(&marking);

    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (marking.is_marked[i])
            disk->inodes[n_kept++] = disk->inodes[i];
        else
            sim_inode_release(disk->mem, disk->inodes[i]);
    }
    disk->n_inodes = n_kept;
    och_mem_release(disk->mem, marking.is_marked, n * sizeof(bool));
    och_mem_release(disk->mem, marking.todo, n * sizeof(size_t));
}

/* --- changes of names ----------------------------------------------------- */

static struct sim_names *
names_of(struct sim_disk *disk, uint32_t dir, bool durable)
{
    struct sim_inode *inode = sim_inode_own(disk, dir);
    return durable ? &inode->durable_names : &inode->current_names;
}

static void
change_names(struct sim_disk *disk, const struct sim_name_op *op, bool durable)
{
    switch (op->kind) {
    case SIM_LINK:
        sim_names_set(disk->mem, names_of(disk, op->at.dir, durable), op->at.name, op->inode);
        break;
    case SIM_UNLINK:
        sim_names_remove(names_of(disk, op->at.dir, durable), op->at.name);
        break;
    case SIM_RENAME:
        sim_names_remove(names_of(disk, op->from.dir, durable), op->from.name);
        sim_names_set(disk->mem, names_of(disk, op->at.dir, durable), op->at.name, op->inode);
        break;
    }
}

void
sim_do_names(struct sim_disk *disk, const struct sim_name_op *op)
{
    change_names(disk, op, false);
    disk->name_ops = sim_array_grow(disk->mem, disk->name_ops, disk->n_name_ops,
            &disk->name_ops_room, sizeof(disk->name_ops[0]));
    disk->name_ops[disk->n_name_ops++] = *op;
}

void
sim_apply_names(struct sim_disk *disk, const struct sim_name_op *op)
{
    change_names(disk, op, true);
}

static bool
touches(const struct sim_name_op *op, const struct sim_key *key)
{
    bool at = op->at.dir == key->dir && strcmp(op->at.name, key->name) == 0;
    bool from = op->kind == SIM_RENAME && op->from.dir == key->dir &&
            strcmp(op->from.name, key->name) == 0;
    return at || from;
}

bool
sim_depends(const struct sim_name_op *op, const struct sim_name_op *earlier)
{
    if (touches(earlier, &op->at))
        return true;
    switch (op->kind) {
    case SIM_LINK:
        return false;
    case SIM_UNLINK:
        /* A directory was empty when it went: a file that moved out of it has
         * moved, or it would be lost under both names. */
        return earlier->kind == SIM_RENAME && earlier->from.dir == op->inode;
    case SIM_RENAME:
        /* A file cannot move into a directory that is not there yet: it would
         * be lost under both names. */
        return touches(earlier, &op->from) ||
                (earlier->kind != SIM_UNLINK && earlier->inode == op->at.dir);
    }
    return false;
}

void
sim_sync_names(struct sim_disk *disk, uint32_t dir)
{
    size_t n = disk->n_name_ops;
    if (n == 0)
        return;
    bool *is_due = och_mem_take_zeroed(disk->mem, n * sizeof(bool));
    och_assert(is_due != NULL);
    for (size_t i = n; i-- > 0;) {
        is_due[i] = is_due[i] || disk->name_ops[i].at.dir == dir;
        for (size_t j = 0; is_due[i] && j < i; j++)
            is_due[j] = is_due[j] || sim_depends(&disk->name_ops[i], &disk->name_ops[j]);
    }
    size_t n_left = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_due[i])
            sim_apply_names(disk, &disk->name_ops[i]);
        else
            disk->name_ops[n_left++] = disk->name_ops[i];
    }
    disk->n_name_ops = n_left;
    och_mem_release(disk->mem, is_due, n * sizeof(bool));
    sim_collect(disk);
}

/* --- changes of data ------------------------------------------------------ */

static void
push_op(struct sim_disk *disk, struct sim_inode *inode, const struct sim_data_op *op)
{
    inode->ops = sim_array_grow(
            disk->mem, inode->ops, inode->n_ops, &inode->ops_room, sizeof(inode->ops[0]));
    inode->ops[inode->n_ops++] = *op;
}

void
sim_do_write(
        struct sim_disk *disk, uint32_t number, uint64_t offset, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    struct sim_inode *inode = sim_inode_own(disk, number);
    sim_image_write(&inode->current, offset, bytes, size);
    struct sim_bytes *copy = NULL;
    if (!sim_is_zero(bytes, size)) {
        copy = och_mem_take(disk->mem, sizeof(*copy) + size);
        och_assert(copy != NULL);
        *copy = (struct sim_bytes){.n_owners = 1, .size = size};
        memcpy(copy->bytes, bytes, size);
    }
    struct sim_data_op op = {.kind = SIM_WRITE, .offset = offset, .size = size, .bytes = copy};
    push_op(disk, inode, &op);
}

void
sim_do_resize(struct sim_disk *disk, uint32_t number, uint64_t size)
{
    struct sim_inode *inode = sim_inode_own(disk, number);
    if (inode->current.size == size)
        return;
    sim_image_resize(&inode->current, size);
    struct sim_data_op op = {.kind = SIM_RESIZE, .size = size};
    push_op(disk, inode, &op);
}

/* A clone's inode is not copied for a sync that has nothing to do. */
static bool
has_pending(const struct sim_disk *disk, uint32_t number)
{
    const struct sim_inode *inode = sim_inode_get(disk, number);
    och_assert(inode != NULL);
    return inode->n_ops > 0;
}

void
sim_sync_data(struct sim_disk *disk, uint32_t number)
{
    if (!has_pending(disk, number))
        return;
    struct sim_inode *inode = sim_inode_own(disk, number);
    for (size_t i = 0; i < inode->n_ops; i++) {
        const struct sim_data_op *op = &inode->ops[i];
        switch (op->kind) {
        case SIM_WRITE:
            sim_image_write(&inode->durable, op->offset,
                    op->bytes == NULL ? NULL : op->bytes->bytes, (size_t) op->size);
            break;
        case SIM_RESIZE:
            sim_image_resize(&inode->durable, op->size);
            break;
        }
    }
    clear_ops(disk->mem, inode);
}

void
sim_forget_data(struct sim_disk *disk, uint32_t number)
{
    if (!has_pending(disk, number))
        return;
    struct sim_inode *inode = sim_inode_own(disk, number);
    clear_ops(disk->mem, inode);
    inode->has_lost = true;
}
