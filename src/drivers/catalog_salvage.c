#include "drivers/catalog_salvage.h"

#include <stddef.h>

#include "base/error.h"
#include "drivers/catalog_copy.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_sqlite.h"
#include "engine/catalog.h"

/* The files as they are, whatever was made of them in memory before. */
static ochre_status
load(struct och_catalog_salvage *salvage, struct och_vfs *from, struct ochre_error *err)
{
    static const char *const names[] = {OCH_CATALOG_FILE, OCH_CATALOG_JOURNAL, OCH_CATALOG_COPY};
    och_vfs_memory_clear(&salvage->files);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        ochre_status status = och_vfs_memory_copy(&salvage->files, from, names[i], err);
        if (status != OCHRE_OK && status != OCHRE_NOT_FOUND)
            return status;
    }
    return OCHRE_OK;
}

/* Open what there is in memory, mended as at any start, and read all of it. */
static ochre_status
open_files(struct och_catalog_salvage *salvage, struct ochre_error *err)
{
    const struct och_catalog_sqlite_options options = {
            .mem = salvage->files.mem, .vfs = &salvage->files.vfs};
    ochre_status status = och_catalog_sqlite_open_with(&options, &salvage->catalog, err);
    if (status == OCHRE_OK)
        status = salvage->catalog->ops->check(salvage->catalog, err);
    if (status == OCHRE_NOT_FOUND)
        status = och_fail(err, OCHRE_CORRUPT, "catalog.db is missing, and so is its copy");
    if (status != OCHRE_OK && salvage->catalog != NULL) {
        salvage->catalog->ops->close(salvage->catalog);
        salvage->catalog = NULL;
    }
    return status;
}

/* Let catalog.db and the copy be what the copy has up to its last whole group. */
static ochre_status
take_earlier(struct och_catalog_salvage *salvage, const struct och_catalog_known *known,
        struct ochre_error *err)
{
    struct och_vfs *vfs = &salvage->files.vfs;
    ochre_status status = och_catalog_install(vfs, known, err);
    return status == OCHRE_OK ? open_files(salvage, err) : status;
}

static ochre_status
open_earlier(struct och_catalog_salvage *salvage, struct och_vfs *from, struct ochre_error *err)
{
    struct och_catalog_known known;
    ochre_status status = load(salvage, from, err);
    if (status != OCHRE_OK)
        return status;
    status = och_catalog_known_read(&salvage->files.vfs, salvage->files.mem, &known, err);
    if (status == OCHRE_OK && known.n_groups == 0)
        status = och_fail(err, OCHRE_CORRUPT, "%s; and catalog.copy has nothing whole in it",
                salvage->why.message);
    if (status == OCHRE_OK)
        status = take_earlier(salvage, &known, err);
    salvage->is_earlier = status == OCHRE_OK;
    och_catalog_known_clear(&known, salvage->files.mem);
    return status;
}

/* Was something put right on the way? */
static ochre_status
look_what_was_mended(
        struct och_catalog_salvage *salvage, struct och_vfs *from, struct ochre_error *err)
{
    bool had_db = false;
    bool put_aside = false;
    ochre_status status = och_vfs_exists(from, OCH_CATALOG_FILE, &had_db, err);
    if (status == OCHRE_OK)
        status = och_vfs_exists(&salvage->files.vfs, OCH_CATALOG_DAMAGED, &put_aside, err);
    salvage->is_mended = !had_db || put_aside;
    if (salvage->is_mended) {
        ochre_status why = och_fail(
                &salvage->why, OCHRE_CORRUPT, "catalog.db is %s", had_db ? "damaged" : "missing");
        (void) why;
    }
    return status;
}

ochre_status
och_catalog_salvage_open(struct och_catalog_salvage *salvage, struct och_vfs *from,
        struct och_mem *mem, struct ochre_error *err)
{
    *salvage = (struct och_catalog_salvage){.catalog = NULL};
    och_vfs_memory_init(&salvage->files, mem);
    ochre_status status = load(salvage, from, err);
    if (status != OCHRE_OK)
        return status;
    status = open_files(salvage, &salvage->why);
    if (status == OCHRE_OK)
        return look_what_was_mended(salvage, from, err);
    if (status == OCHRE_CORRUPT)
        return open_earlier(salvage, from, err);
    if (err != NULL)
        *err = salvage->why;
    return status;
}

void
och_catalog_salvage_close(struct och_catalog_salvage *salvage)
{
    if (salvage->catalog != NULL)
        salvage->catalog->ops->close(salvage->catalog);
    salvage->catalog = NULL;
    och_vfs_memory_clear(&salvage->files);
}
