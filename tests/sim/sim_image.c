#include "sim/sim_image.h"

#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"

struct sim_page {
    uint32_t n_owners;
    unsigned char bytes[SIM_PAGE_SIZE];
};

static void
release_page(struct och_mem *mem, struct sim_page *page)
{
    if (page == NULL)
        return;
    och_assert(page->n_owners > 0);
    page->n_owners--;
    if (page->n_owners == 0)
        och_mem_release(mem, page, sizeof(*page));
}

static void
grow_pages(struct sim_image *image, size_t n_pages)
{
    if (n_pages <= image->n_pages)
        return;
    size_t target = image->n_pages == 0 ? 4 : image->n_pages;
    while (target < n_pages)
        target *= 2;
    size_t old_size = image->n_pages * sizeof(struct sim_page *);
    image->pages =
            och_mem_resize(image->mem, image->pages, old_size, target * sizeof(struct sim_page *));
    och_assert(image->pages != NULL);
    for (size_t i = image->n_pages; i < target; i++)
        image->pages[i] = NULL;
    image->n_pages = target;
}

/* The page for writing: there, and nobody else's. */
static unsigned char *
own_page(struct sim_image *image, size_t at)
{
    struct sim_page *page = image->pages[at];
    if (page != NULL && page->n_owners == 1)
        return page->bytes;
    struct sim_page *copy = och_mem_take_zeroed(image->mem, sizeof(*copy));
    och_assert(copy != NULL);
    copy->n_owners = 1;
    if (page != NULL)
        memcpy(copy->bytes, page->bytes, SIM_PAGE_SIZE);
    release_page(image->mem, page);
    image->pages[at] = copy;
    return copy->bytes;
}

static void
drop_page(struct sim_image *image, size_t at)
{
    release_page(image->mem, image->pages[at]);
    image->pages[at] = NULL;
}

bool
sim_is_zero(const void *bytes, size_t size)
{
    const unsigned char *first = bytes;
    return size == 0 || (first[0] == 0 && memcmp(first, first + 1, size - 1) == 0);
}

void *
sim_array_grow(struct och_mem *mem, void *items, size_t n, size_t *room, size_t item_size)
{
    if (n < *room)
        return items;
    size_t target = *room == 0 ? 4 : *room * 2;
    void *grown = och_mem_resize(mem, items, *room * item_size, target * item_size);
    och_assert(grown != NULL);
    *room = target;
    return grown;
}

void
sim_image_init(struct sim_image *image, struct och_mem *mem)
{
    *image = (struct sim_image){.mem = mem};
}

void
sim_image_clear(struct sim_image *image)
{
    for (size_t i = 0; i < image->n_pages; i++)
        release_page(image->mem, image->pages[i]);
    och_mem_release(image->mem, image->pages, image->n_pages * sizeof(struct sim_page *));
    sim_image_init(image, image->mem);
}

void
sim_image_copy(struct sim_image *copy, const struct sim_image *image)
{
    sim_image_init(copy, image->mem);
    copy->size = image->size;
    grow_pages(copy, image->n_pages);
    for (size_t i = 0; i < image->n_pages; i++) {
        copy->pages[i] = image->pages[i];
        if (copy->pages[i] != NULL)
            copy->pages[i]->n_owners++;
    }
}

void
sim_image_resize(struct sim_image *image, uint64_t size)
{
    if (size < image->size) {
        size_t n_kept = (size_t) ((size + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE);
        for (size_t i = n_kept; i < image->n_pages; i++)
            drop_page(image, i);
        /* What is cut off must read as zero when the file grows again. */
        size_t used = (size_t) (size % SIM_PAGE_SIZE);
        if (used > 0 && n_kept <= image->n_pages && image->pages[n_kept - 1] != NULL)
            memset(own_page(image, n_kept - 1) + used, 0, SIM_PAGE_SIZE - used);
    }
    image->size = size;
}

void
sim_image_write(struct sim_image *image, uint64_t offset, const void *bytes, size_t size)
{
    const unsigned char *from = bytes;
    if (offset + size > image->size && size > 0)
        image->size = offset + size;
    while (size > 0) {
        size_t at = (size_t) (offset / SIM_PAGE_SIZE);
        size_t start = (size_t) (offset % SIM_PAGE_SIZE);
        size_t n = size < SIM_PAGE_SIZE - start ? size : SIM_PAGE_SIZE - start;
        bool zero = from == NULL || sim_is_zero(from, n);
        if (zero && n == SIM_PAGE_SIZE && at < image->n_pages)
            drop_page(image, at);
        if (zero && at < image->n_pages && image->pages[at] != NULL)
            memset(own_page(image, at) + start, 0, n);
        if (!zero) {
            grow_pages(image, at + 1);
            memcpy(own_page(image, at) + start, from, n);
        }
        from = from == NULL ? NULL : from + n;
        offset += n;
        size -= n;
    }
}

size_t
sim_image_read(const struct sim_image *image, uint64_t offset, void *bytes, size_t size)
{
    if (offset >= image->size)
        return 0;
    if (size > image->size - offset)
        size = (size_t) (image->size - offset);
    unsigned char *to = bytes;
    size_t left = size;
    while (left > 0) {
        size_t at = (size_t) (offset / SIM_PAGE_SIZE);
        size_t start = (size_t) (offset % SIM_PAGE_SIZE);
        size_t n = left < SIM_PAGE_SIZE - start ? left : SIM_PAGE_SIZE - start;
        if (at < image->n_pages && image->pages[at] != NULL)
            memcpy(to, image->pages[at]->bytes + start, n);
        else
            memset(to, 0, n);
        to += n;
        offset += n;
        left -= n;
    }
    return size;
}
