/*
 * sim_image.h - the bytes of one file, in pages that copies share.
 *
 *      size 9000      pages: [ 0 ][ 1 ][ 2 ]       a missing page reads as zero
 *                              |    |    |
 *                       4 KiB each, counted, copied before a shared one is changed
 *
 * Copying an image costs one pointer a page, so that a sweep may keep a copy of
 * a disk for each of its steps.
 *
 * Memory never runs out here: the account has no limit, and a refusal stops the
 * test.
 *
 * Threads: one thread at a time, over all images that share pages.
 */
#ifndef OCH_TESTS_SIM_IMAGE_H
#define OCH_TESTS_SIM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct och_mem;
struct sim_page;

enum { SIM_PAGE_SIZE = 4096 };

struct sim_image {
    struct och_mem *mem;     /* borrowed */
    struct sim_page **pages; /* owned; each page shared (counted), or NULL */
    size_t n_pages;          /* in the array; pages past it are missing */
    uint64_t size;
};

void sim_image_init(struct sim_image *image, struct och_mem *mem);
void sim_image_clear(struct sim_image *image);

/* Make `copy`, which is uninitialised, the same as `image`. */
void sim_image_copy(struct sim_image *copy, const struct sim_image *image);

/* Cut, or grow with zeros. */
void sim_image_resize(struct sim_image *image, uint64_t size);

/* Write, growing the file as needed.  `bytes` may be NULL for zeros. */
void sim_image_write(struct sim_image *image, uint64_t offset, const void *bytes, size_t size);

/* Read up to the end; returns the bytes read. */
size_t sim_image_read(const struct sim_image *image, uint64_t offset, void *bytes, size_t size);

/* True when all `size` bytes are zero. */
bool sim_is_zero(const void *bytes, size_t size);

/* Make room for one more item in an array of `n`; returns the array. */
void *sim_array_grow(struct och_mem *mem, void *items, size_t n, size_t *room, size_t item_size);

#endif /* OCH_TESTS_SIM_IMAGE_H */
