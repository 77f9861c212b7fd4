#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "base/random.h"
#include "sim/sim_internal.h"

enum { TEAR_UNIT = 512 }; /* what disks write at once, at the least */

enum fate { FATE_KEEP, FATE_LOSE, FATE_CHANCE };

/* What happens to what is pending. */
struct crash {
    enum fate names;
    enum fate sizes;
    enum fate data;
    uint64_t seed;
    unsigned chance; /* of 8, that a thing left to chance is kept */
};

static struct crash
crash_of(enum sim_mode mode, uint64_t seed)
{
    struct crash crash = {FATE_LOSE, FATE_LOSE, FATE_LOSE, seed, 0};
    switch (mode) {
    case SIM_NONE_KEPT:
        break;
    case SIM_ALL_KEPT:
        crash.names = FATE_KEEP;
        crash.sizes = FATE_KEEP;
        crash.data = FATE_KEEP;
        break;
    case SIM_RANDOM:
        crash.names = FATE_CHANCE;
        crash.sizes = FATE_CHANCE;
        crash.data = FATE_CHANCE;
        break;
    case SIM_ADVERSARIAL:
        crash.names = (seed & 1) == 0 ? FATE_KEEP : FATE_LOSE;
        crash.data = (seed & 1) == 0 ? FATE_LOSE : FATE_KEEP;
        crash.sizes = (seed & 2) == 0 ? crash.names : crash.data;
        break;
    }
    return crash;
}

/* Even chances would almost never keep, or lose, all of a file: each file draws
 * its own, from nearly nothing to nearly everything. */
static void
draw_chance(struct crash *crash)
{
    static const unsigned chances[] = {1, 4, 7};
    crash->chance = chances[och_random_below(&crash->seed, sizeof(chances) / sizeof(chances[0]))];
}

static bool
is_kept(struct crash *crash, enum fate fate)
{
    switch (fate) {
    case FATE_KEEP:
        return true;
    case FATE_LOSE:
        return false;
    case FATE_CHANCE:
        return och_random_below(&crash->seed, 8) < crash->chance;
    }
    return false;
}

/* --- names ---------------------------------------------------------------- */

/* An operation is kept only if all it depends on is. */
static void
keep_names(struct sim_disk *disk, struct crash *crash)
{
    size_t n = disk->n_name_ops;
    if (n == 0)
        return;
    bool *kept = och_mem_take_zeroed(disk->mem, n * sizeof(bool));
    och_assert(kept != NULL);
    draw_chance(crash);
    for (size_t i = 0; i < n; i++) {
        kept[i] = is_kept(crash, crash->names);
        for (size_t j = 0; kept[i] && j < i; j++)
            kept[i] = kept[j] || !sim_depends(&disk->name_ops[i], &disk->name_ops[j]);
        if (kept[i])
            sim_apply_names(disk, &disk->name_ops[i]);
    }
    disk->n_name_ops = 0;
    och_mem_release(disk->mem, kept, n * sizeof(bool));
}

/* --- data ----------------------------------------------------------------- */

/* A piece of a pending write that lies in one sector. */
struct piece {
    uint64_t offset;
    const unsigned char *bytes; /* NULL for zeros */
    size_t size;
};

static void
write_piece(struct sim_image *image, const struct piece *piece, size_t size)
{
    /* Data whose size was lost lies past the end, where nobody looks. */
    if (piece->offset >= image->size)
        return;
    if (size > image->size - piece->offset)
        size = (size_t) (image->size - piece->offset);
    sim_image_write(image, piece->offset, piece->bytes, size);
}

/* A sector that was given to the file but never written shows what was there
 * before: some file systems let that be seen. */
static void
write_junk(struct sim_image *image, const struct piece *piece, struct crash *crash)
{
    unsigned char bytes[SIM_PAGE_SIZE];
    for (size_t i = 0; i < piece->size; i++)
        bytes[i] = (unsigned char) och_random_below(&crash->seed, 256);
    struct piece junk = {.offset = piece->offset, .bytes = bytes, .size = piece->size};
    write_piece(image, &junk, junk.size);
}

static void
chance_piece(
        struct sim_image *image, const struct piece *piece, uint64_t old_size, struct crash *crash)
{
    if (och_random_below(&crash->seed, 8) == 0) { /* torn, whatever the chances */
        size_t cut = (size_t) och_random_below(&crash->seed, piece->size + 1);
        if (och_random_below(&crash->seed, 2) == 0)
            cut -= cut % TEAR_UNIT;
        write_piece(image, piece, cut);
        return;
    }
    if (is_kept(crash, FATE_CHANCE))
        write_piece(image, piece, piece->size);
    else if (piece->offset >= old_size && och_random_below(&crash->seed, 4) == 0)
        write_junk(image, piece, crash);
}

/* Cut a write into its sectors and decide each.  Half of all writes end short
 * instead, at a byte, which a decision by sectors alone would rarely give. */
static void
chance_write(struct sim_image *image, const struct sim_data_op *op, uint64_t old_size,
        struct crash *crash)
{
    bool is_short = och_random_below(&crash->seed, 2) == 0;
    uint64_t n_kept = is_short ? och_random_below(&crash->seed, op->size + 1) : op->size;
    if (is_short && is_kept(crash, FATE_CHANCE))
        n_kept = op->size;
    for (uint64_t done = 0; done < op->size;) {
        uint64_t in_sector = (op->offset + done) % SIM_PAGE_SIZE;
        uint64_t size = SIM_PAGE_SIZE - in_sector;
        if (size > op->size - done)
            size = op->size - done;
        struct piece piece = {
                .offset = op->offset + done,
                .bytes = op->bytes == NULL ? NULL : op->bytes->bytes + done,
                .size = (size_t) size,
        };
        if (!is_short)
            chance_piece(image, &piece, old_size, crash);
        else if (done < n_kept)
            write_piece(image, &piece, (size_t) (size < n_kept - done ? size : n_kept - done));
        done += size;
    }
}

static void
keep_write(struct sim_image *image, const struct sim_data_op *op, uint64_t old_size,
        struct crash *crash)
{
    uint64_t end = op->offset + op->size;
    if (end > image->size && is_kept(crash, crash->sizes))
        sim_image_resize(image, end);
    struct piece whole = {
            .offset = op->offset,
            .bytes = op->bytes == NULL ? NULL : op->bytes->bytes,
            .size = (size_t) op->size,
    };
    switch (crash->data) {
    case FATE_KEEP:
        write_piece(image, &whole, whole.size);
        break;
    case FATE_LOSE:
        break;
    case FATE_CHANCE:
        chance_write(image, op, old_size, crash);
        break;
    }
}

/* Let the durable state have what is kept. */
static void
keep_data(struct sim_inode *inode, struct crash *crash)
{
    uint64_t old_size = inode->durable.size;
    draw_chance(crash);
    for (size_t i = 0; i < inode->n_ops; i++) {
        const struct sim_data_op *op = &inode->ops[i];
        switch (op->kind) {
        case SIM_WRITE:
            keep_write(&inode->durable, op, old_size, crash);
            break;
        case SIM_RESIZE:
            if (is_kept(crash, crash->sizes))
                sim_image_resize(&inode->durable, op->size);
            break;
        }
    }
}

/* What is durable is what is there. */
static void
restart(struct sim_disk *disk, struct sim_inode *inode)
{
    sim_forget_data(disk, inode->number);
    inode->has_lost = false;
    sim_image_clear(&inode->current);
    sim_image_copy(&inode->current, &inode->durable);
    sim_names_clear(disk->mem, &inode->current_names);
    sim_names_copy(disk->mem, &inode->current_names, &inode->durable_names);
}

void
sim_disk_recover(struct sim_disk *disk, enum sim_mode mode, uint64_t seed)
{
    struct crash crash = crash_of(mode, seed);
    keep_names(disk, &crash);
    for (size_t i = 0; i < disk->n_inodes; i++) {
        struct sim_inode *inode = disk->inodes[i];
        if (!inode->is_dir && inode->n_ops == 0 && !inode->has_lost)
            continue; /* both states are the same: go on sharing it */
        inode = sim_inode_own(disk, inode->number);
        keep_data(inode, &crash);
        restart(disk, inode);
    }
    disk->life++; /* files that are open now belong to the dead */
    disk->crash_at = UINT64_MAX;
    disk->fault_in = 0;
    disk->has_failed = false;
    sim_collect(disk);
}

const char *
sim_mode_name(enum sim_mode mode)
{
    switch (mode) {
    case SIM_NONE_KEPT:
        return "none kept";
    case SIM_ALL_KEPT:
        return "all kept";
    case SIM_RANDOM:
        return "random";
    case SIM_ADVERSARIAL:
        return "adversarial";
    }
    return "unknown";
}
