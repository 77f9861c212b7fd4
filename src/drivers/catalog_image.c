#include "drivers/catalog_image.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "drivers/catalog_pages.h"
#include "os/vfs_memory.h"

/* So often a copy is tried that is never of one moment. */
#define TRIES_MAX 100

/* The first pages: SQLite's header, and the table with the generation, which every
 * transaction raises. */
#define WITNESS_SIZE ((size_t) 2 * OCH_CATALOG_PAGE_SIZE)

/* Their places among the files in memory. */
enum { DB, JOURNAL };

/* What tells one state of the files from another without reading them. */
struct mark {
    uint64_t pages;   /* of the witnesses' bytes */
    uint64_t journal; /* of the header and size of a journal that is hot; 0: it is not */
};

struct och_catalog_image {
    struct och_mem *mem;
    struct och_vfs *base; /* borrowed: where the catalog lies */
    struct och_vfs_memory shown, copy;
    struct mark mark; /* of what was copied last */
    bool has_mark;
};

/* What the copy has of the two files. */
static struct och_buf *
db_of(struct och_vfs_memory *files)
{
    return &files->files[DB].bytes;
}

static struct och_buf *
journal_of(struct och_vfs_memory *files)
{
    return &files->files[JOURNAL].bytes;
}

static void
begin_files(struct och_vfs_memory *files, struct och_mem *mem)
{
    och_vfs_memory_init(files, mem);
    och_vfs_memory_name(files, DB, OCH_CATALOG_FILE);
    och_vfs_memory_name(files, JOURNAL, OCH_CATALOG_JOURNAL);
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
    struct och_vfs_memory *copy = &attempt->image->copy;
    ochre_status status = OCHRE_OK;
    och_buf_reset(journal_of(copy));
    copy->files[JOURNAL].is_there = attempt->journal != NULL;
    if (copy->files[JOURNAL].is_there)
        status = read_file(attempt->journal, journal_of(copy), err);
    if (status == OCHRE_OK)
        status = read_file(attempt->db, db_of(copy), err);
    copy->files[DB].is_there = true;
    if (status == OCHRE_OK)
        status = read_file(attempt->db, &attempt->again, err);
    /* Pages that the journal protects may change while they are read. */
    *same_out = attempt->mark.journal != 0 || is_equal(db_of(copy), &attempt->again);
    return status;
}

/* Is the journal what it was, under its name and through the descriptor of before? */
static ochre_status
look_at_journal(struct attempt *attempt, bool *same_out, struct ochre_error *err)
{
    struct och_vfs_memory *copy = &attempt->image->copy;
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
        *same_out = (now != NULL) == copy->files[JOURNAL].is_there &&
                held == attempt->mark.journal && named == attempt->mark.journal;
        bool is_still = is_equal(journal_of(copy), &attempt->again);
        if (attempt->mark.journal != 0)
            *same_out = *same_out && is_still;
        else if (!is_still) /* it is being written: nothing depends on it yet */
            och_buf_reset(journal_of(copy));
    }
    och_file_close(now);
    return status;
}

/* Was all that of one moment? */
static ochre_status
end_copy(struct attempt *attempt, bool *same_out, struct ochre_error *err)
{
    struct och_vfs_memory *copy = &attempt->image->copy;
    ochre_status status = look_at_journal(attempt, same_out, err);
    if (status == OCHRE_OK)
        status = read_witness(attempt->db, attempt->pages, err);
    uint64_t pages = och_hash64(attempt->pages, sizeof(attempt->pages));
    if (attempt->mark.journal != 0)
        return status;
    bool whole = db_of(copy)->size >= sizeof(attempt->pages);
    *same_out = *same_out && pages == attempt->mark.pages &&
            (!whole || memcmp(attempt->pages, db_of(copy)->data, sizeof(attempt->pages)) == 0);
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
        *changed_out = status == OCHRE_OK && !is_equal(db_of(&image->copy), db_of(&image->shown));
    }
    end_attempt(&attempt);
    och_buf_clear(&attempt.again);
    return status;
}

void
och_catalog_image_take(struct och_catalog_image *image)
{
    struct och_buf old = *db_of(&image->shown);
    *db_of(&image->shown) = *db_of(&image->copy);
    image->shown.files[DB].is_there = true;
    *db_of(&image->copy) = old;
    och_buf_reset(db_of(&image->copy));
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
    begin_files(&image->shown, mem);
    begin_files(&image->copy, mem);
    return OCHRE_OK;
}

void
och_catalog_image_release(struct och_catalog_image *image)
{
    if (image == NULL)
        return;
    och_vfs_memory_clear(&image->shown);
    och_vfs_memory_clear(&image->copy);
    och_mem_release(image->mem, image, sizeof(*image));
}
