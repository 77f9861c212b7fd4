#include "drivers/catalog_image.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "drivers/catalog_pages.h"
#include "os/vfs.h"

/* So often a copy is tried that is never of one moment. */
#define TRIES_MAX 100

/* The first pages: SQLite's header, and the table with the generation, which every
 * transaction raises. */
#define WITNESS_SIZE ((size_t) 2 * OCH_CATALOG_PAGE_SIZE)

/* Both files, in memory. */
struct pair {
    struct och_vfs vfs; /* first: the vfs's pointer is ours */
    struct och_mem *mem;
    struct och_buf db, journal;
    bool has_db, has_journal;
};

/* What tells one state of the files from another without reading them. */
struct mark {
    uint64_t pages;   /* of the witnesses' bytes */
    uint64_t journal; /* of the header and size of a journal that is hot; 0: it is not */
};

struct och_catalog_image {
    struct och_mem *mem;
    struct och_vfs *base; /* borrowed: where the catalog lies */
    struct pair shown, copy;
    struct mark mark; /* of what was copied last */
    bool has_mark;
};

/* --- files in memory ----------------------------------------------------------- */

struct memory_file {
    struct och_file file; /* first */
    struct och_mem *mem;
    struct och_buf *bytes; /* borrowed */
};

static struct och_buf *
bytes_of(struct och_file *file)
{
    return ((struct memory_file *) file)->bytes;
}

static ochre_status
file_read(struct och_file *file, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    const struct och_buf *all = bytes_of(file);
    size_t left = offset < all->size ? all->size - (size_t) offset : 0;
    (void) err;
    *n_read_out = size < left ? size : left;
    if (*n_read_out > 0)
        memcpy(bytes, all->data + offset, *n_read_out);
    return OCHRE_OK;
}

static ochre_status
resize(struct och_buf *bytes, uint64_t size, struct ochre_error *err)
{
    if (size <= bytes->size) {
        bytes->size = (size_t) size;
        return OCHRE_OK;
    }
    size_t more = (size_t) size - bytes->size;
    char *zeros = och_buf_extend(bytes, more);
    if (zeros == NULL)
        return och_fail_memory(err);
    memset(zeros, 0, more);
    return OCHRE_OK;
}

static ochre_status
file_write(struct och_file *file, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    struct och_buf *all = bytes_of(file);
    ochre_status status = OCHRE_OK;
    if (offset + size > all->size)
        status = resize(all, offset + size, err);
    if (status == OCHRE_OK && all->data != NULL)
        memcpy(all->data + offset, bytes, size);
    return status;
}

static ochre_status
file_sync(struct och_file *file, struct ochre_error *err)
{
    (void) file;
    (void) err;
    return OCHRE_OK;
}

static ochre_status
file_truncate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    return resize(bytes_of(file), size, err);
}

static ochre_status
file_allocate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    return size <= bytes_of(file)->size ? OCHRE_OK : resize(bytes_of(file), size, err);
}

static ochre_status
file_size(struct och_file *file, uint64_t *size_out, struct ochre_error *err)
{
    (void) err;
    *size_out = bytes_of(file)->size;
    return OCHRE_OK;
}

static ochre_status
file_map(struct och_file *file, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    if (size > bytes_of(file)->size)
        return och_fail(err, OCHRE_CORRUPT, "the catalog's copy is shorter than its map");
    *bytes_out = bytes_of(file)->data;
    return OCHRE_OK;
}

static void
file_unmap(struct och_file *file, const void *bytes, uint64_t size)
{
    (void) file;
    (void) bytes;
    (void) size;
}

static void
file_close(struct och_file *file)
{
    struct memory_file *memory_file = (struct memory_file *) file;
    och_mem_release(memory_file->mem, memory_file, sizeof(*memory_file));
}

static const struct och_file_ops file_ops = {
        .read = file_read,
        .write = file_write,
        .sync = file_sync,
        .truncate = file_truncate,
        .allocate = file_allocate,
        .size = file_size,
        .map = file_map,
        .unmap = file_unmap,
        .lock = file_sync,
        .close = file_close,
};

/* --- a file system of two files -------------------------------------------------- */

static bool
is_db(const char *path)
{
    return strcmp(path, OCH_CATALOG_FILE) == 0;
}

/* What says whether a file is there; NULL: there is never one of this name. */
static bool *
presence_of(struct pair *pair, const char *path)
{
    if (is_db(path))
        return &pair->has_db;
    return strcmp(path, OCH_CATALOG_JOURNAL) == 0 ? &pair->has_journal : NULL;
}

static ochre_status
vfs_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct pair *pair = (struct pair *) vfs;
    bool *is_there = presence_of(pair, path);
    if (is_there == NULL || (!*is_there && (flags & OCH_OPEN_CREATE) == 0))
        return och_fail(err, OCHRE_NOT_FOUND, "there is no copy of %s", path);
    struct memory_file *file = och_mem_take(pair->mem, sizeof(*file));
    if (file == NULL)
        return och_fail_memory(err);
    *file = (struct memory_file){.file.ops = &file_ops,
            .mem = pair->mem,
            .bytes = is_db(path) ? &pair->db : &pair->journal};
    *is_there = true;
    *file_out = &file->file;
    return OCHRE_OK;
}

static ochre_status
vfs_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    struct pair *pair = (struct pair *) vfs;
    bool *is_there = presence_of(pair, path);
    if (is_there == NULL || !*is_there)
        return och_fail(err, OCHRE_NOT_FOUND, "there is no copy of %s", path);
    *is_there = false;
    och_buf_reset(is_db(path) ? &pair->db : &pair->journal);
    return OCHRE_OK;
}

static ochre_status
vfs_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    (void) vfs;
    return och_fail(err, OCHRE_DENIED, "%s is not renamed to %s in memory", from, to);
}

/* Also its `mkdir` and `rmdir`: there are no directories. */
static ochre_status
vfs_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    (void) vfs;
    (void) path;
    (void) err;
    return OCHRE_OK;
}

static ochre_status
vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    struct pair *pair = (struct pair *) vfs;
    (void) path;
    (void) err;
    ochre_status status = pair->has_db ? visit(context, OCH_CATALOG_FILE, false) : OCHRE_OK;
    if (status == OCHRE_OK && pair->has_journal)
        status = visit(context, OCH_CATALOG_JOURNAL, false);
    return status;
}

static ochre_status
vfs_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    (void) err;
    const bool *is_there = presence_of((struct pair *) vfs, path);
    *exists_out = is_there != NULL && *is_there;
    return OCHRE_OK;
}

static ochre_status
vfs_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    (void) vfs;
    (void) err;
    *bytes_out = UINT64_MAX;
    return OCHRE_OK;
}

static const struct och_vfs_ops vfs_ops = {
        .open = vfs_open,
        .remove = vfs_remove,
        .rename = vfs_rename,
        .sync_dir = vfs_sync_dir,
        .mkdir = vfs_sync_dir,
        .rmdir = vfs_sync_dir,
        .list = vfs_list,
        .exists = vfs_exists,
        .space_free = vfs_space_free,
};

static void
begin_pair(struct pair *pair, struct och_mem *mem)
{
    *pair = (struct pair){.vfs.ops = &vfs_ops, .mem = mem};
    och_buf_init(&pair->db, mem, SIZE_MAX / 2);
    och_buf_init(&pair->journal, mem, SIZE_MAX / 2);
}

static void
clear_pair(struct pair *pair)
{
    och_buf_clear(&pair->db);
    och_buf_clear(&pair->journal);
}

/* --- reading what may change ------------------------------------------------------ */

/* All of a file, as long as it is: another process may cut it meanwhile. */
static ochre_status
read_file(struct och_file *file, struct och_buf *bytes, struct ochre_error *err)
{
    uint64_t size;
    size_t n_read = 0;
    och_buf_reset(bytes);
    ochre_status status = och_file_size(file, &size, err);
    if (status != OCHRE_OK || size == 0)
        return status;
    char *room = och_buf_extend(bytes, (size_t) size);
    if (room == NULL)
        return och_fail_memory(err);
    status = och_file_read(file, 0, room, (size_t) size, &n_read, err);
    bytes->size = n_read;
    return status;
}

static bool
is_equal(const struct och_buf *bytes, const struct och_buf *others)
{
    return bytes->size == others->size &&
            (bytes->size == 0 || memcmp(bytes->data, others->data, bytes->size) == 0);
}

/* The journal, opened by its name; *file_out NULL: there is none. */
static ochre_status
open_journal(struct och_catalog_image *image, struct och_file **file_out, struct ochre_error *err)
{
    ochre_status status =
            och_vfs_open(image->base, OCH_CATALOG_JOURNAL, OCH_OPEN_READ, file_out, err);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

/* Does it protect pages that may have been changed?  *mark_out is 0 if not. */
static ochre_status
mark_journal(struct och_file *file, uint64_t *mark_out, struct ochre_error *err)
{
    unsigned char header[OCH_JOURNAL_HEADER_SIZE + sizeof(uint64_t)];
    size_t n_read = 0;
    uint64_t size = 0;
    *mark_out = 0;
    if (file == NULL)
        return OCHRE_OK;
    ochre_status status = och_file_size(file, &size, err);
    if (status == OCHRE_OK && size >= OCH_JOURNAL_SECTOR_SIZE)
        status = och_file_read(file, 0, header, OCH_JOURNAL_HEADER_SIZE, &n_read, err);
    if (status != OCHRE_OK || n_read < OCH_JOURNAL_HEADER_SIZE ||
            !och_journal_header_is_sound(header, 0))
        return status;
    och_store_u64(header + OCH_JOURNAL_HEADER_SIZE, size);
    *mark_out = och_hash64(header, sizeof(header)) | 1;
    return OCHRE_OK;
}

static ochre_status
read_witness(struct och_file *file, unsigned char pages[WITNESS_SIZE], struct ochre_error *err)
{
    size_t n_read = 0;
    ochre_status status = och_file_read(file, 0, pages, WITNESS_SIZE, &n_read, err);
    memset(pages + n_read, 0, WITNESS_SIZE - n_read);
    return status;
}

/* --- one copy --------------------------------------------------------------------- */

/* A try at copying; `pages` is scratch. */
struct attempt {
    struct och_catalog_image *image;
    struct och_file *db, *journal; /* owned; journal NULL: there was none */
    struct och_buf again;          /* read for comparing */
    struct mark mark;              /* at its beginning */
    unsigned char pages[WITNESS_SIZE];
};

/* In this order: the witnesses, and then the journal. */
static ochre_status
begin_attempt(struct attempt *attempt, struct ochre_error *err)
{
    struct och_catalog_image *image = attempt->image;
    ochre_status status =
            och_vfs_open(image->base, OCH_CATALOG_FILE, OCH_OPEN_READ, &attempt->db, err);
    if (status == OCHRE_OK)
        status = read_witness(attempt->db, attempt->pages, err);
    if (status != OCHRE_OK)
        return status;
    attempt->mark.pages = och_hash64(attempt->pages, sizeof(attempt->pages));
    status = open_journal(image, &attempt->journal, err);
    if (status == OCHRE_OK)
        status = mark_journal(attempt->journal, &attempt->mark.journal, err);
    return status;
}

static void
end_attempt(struct attempt *attempt)
{
    och_file_close(attempt->db);
    och_file_close(attempt->journal);
    attempt->db = NULL;
    attempt->journal = NULL;
}

static ochre_status
read_copies(struct attempt *attempt, bool *same_out, struct ochre_error *err)
{
    struct pair *copy = &attempt->image->copy;
    ochre_status status = OCHRE_OK;
    och_buf_reset(&copy->journal);
    copy->has_journal = attempt->journal != NULL;
    if (copy->has_journal)
        status = read_file(attempt->journal, &copy->journal, err);
    if (status == OCHRE_OK)
        status = read_file(attempt->db, &copy->db, err);
    copy->has_db = true;
    if (status == OCHRE_OK)
        status = read_file(attempt->db, &attempt->again, err);
    /* Pages that the journal protects may change while they are read. */
    *same_out = attempt->mark.journal != 0 || is_equal(&copy->db, &attempt->again);
    return status;
}

/* Is the journal what it was, under its name and through the descriptor of before? */
static ochre_status
look_at_journal(struct attempt *attempt, bool *same_out, struct ochre_error *err)
{
    struct pair *copy = &attempt->image->copy;
    struct och_file *now = NULL;
    uint64_t held = 0, named = 0;
    *same_out = false;
    ochre_status status = open_journal(attempt->image, &now, err);
    if (status == OCHRE_OK)
        status = mark_journal(attempt->journal, &held, err);
    if (status == OCHRE_OK)
        status = mark_journal(now, &named, err);
    if (status == OCHRE_OK && now != NULL)
        status = read_file(now, &attempt->again, err);
    else
        och_buf_reset(&attempt->again);
    if (status == OCHRE_OK) {
        *same_out = (now != NULL) == copy->has_journal && held == attempt->mark.journal &&
                named == attempt->mark.journal;
        bool is_still = is_equal(&copy->journal, &attempt->again);
        if (attempt->mark.journal != 0)
            *same_out = *same_out && is_still;
        else if (!is_still) /* it is being written: nothing depends on it yet */
            och_buf_reset(&copy->journal);
    }
    och_file_close(now);
    return status;
}

/* Was all that of one moment? */
static ochre_status
end_copy(struct attempt *attempt, bool *same_out, struct ochre_error *err)
{
    struct pair *copy = &attempt->image->copy;
    ochre_status status = look_at_journal(attempt, same_out, err);
    if (status == OCHRE_OK)
        status = read_witness(attempt->db, attempt->pages, err);
    uint64_t pages = och_hash64(attempt->pages, sizeof(attempt->pages));
    if (attempt->mark.journal != 0)
        return status;
    bool whole = copy->db.size >= sizeof(attempt->pages);
    *same_out = *same_out && pages == attempt->mark.pages &&
            (!whole || memcmp(attempt->pages, copy->db.data, sizeof(attempt->pages)) == 0);
    return status;
}

static ochre_status
try_copy(struct attempt *attempt, bool *same_out, struct ochre_error *err)
{
    *same_out = false;
    ochre_status status = begin_attempt(attempt, err);
    if (status == OCHRE_OK)
        status = read_copies(attempt, same_out, err);
    if (status == OCHRE_OK && *same_out)
        status = end_copy(attempt, same_out, err);
    return status;
}

/* --- looking ---------------------------------------------------------------------- */

static ochre_status
copy_catalog(struct och_catalog_image *image, struct attempt *attempt, struct ochre_error *err)
{
    bool same = false;
    ochre_status status = OCHRE_OK;
    for (int i = 0; i < TRIES_MAX && status == OCHRE_OK && !same; i++) {
        end_attempt(attempt);
        status = try_copy(attempt, &same, err);
    }
    if (status == OCHRE_OK && !same)
        status = och_fail(err, OCHRE_UNAVAILABLE,
                "catalog: it changed each of %d times while it was read", TRIES_MAX);
    if (status == OCHRE_OK)
        status = och_catalog_recover(&image->copy.vfs, err);
    return status;
}

ochre_status
och_catalog_image_look(struct och_catalog_image *image, bool *changed_out, struct ochre_error *err)
{
    struct attempt attempt = {.image = image};
    och_buf_init(&attempt.again, image->mem, SIZE_MAX / 2);
    *changed_out = false;
    ochre_status status = begin_attempt(&attempt, err);
    bool known = status == OCHRE_OK && image->has_mark && attempt.mark.pages == image->mark.pages &&
            attempt.mark.journal == image->mark.journal;
    if (status == OCHRE_OK && !known) {
        status = copy_catalog(image, &attempt, err);
        image->has_mark = status == OCHRE_OK;
        image->mark = attempt.mark;
        *changed_out = status == OCHRE_OK && !is_equal(&image->copy.db, &image->shown.db);
    }
    end_attempt(&attempt);
    och_buf_clear(&attempt.again);
    return status;
}

void
och_catalog_image_take(struct och_catalog_image *image)
{
    struct och_buf old = image->shown.db;
    image->shown.db = image->copy.db;
    image->shown.has_db = true;
    image->copy.db = old;
    och_buf_reset(&image->copy.db);
}

struct och_vfs *
och_catalog_image_vfs(struct och_catalog_image *image)
{
    return &image->shown.vfs;
}

ochre_status
och_catalog_image_make(struct och_mem *mem, struct och_vfs *vfs,
        struct och_catalog_image **image_out, struct ochre_error *err)
{
    struct och_catalog_image *image = och_mem_take_zeroed(mem, sizeof(*image));
    *image_out = image;
    if (image == NULL)
        return och_fail_memory(err);
    image->mem = mem;
    image->base = vfs;
    begin_pair(&image->shown, mem);
    begin_pair(&image->copy, mem);
    return OCHRE_OK;
}

void
och_catalog_image_release(struct och_catalog_image *image)
{
    if (image == NULL)
        return;
    clear_pair(&image->shown);
    clear_pair(&image->copy);
    och_mem_release(image->mem, image, sizeof(*image));
}
