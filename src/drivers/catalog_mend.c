#include "drivers/catalog_mend.h"

#include "base/error.h"
#include "base/log.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_sqlite.h"
#include "os/vfs.h"

/* catalog.db cannot be used, for the reason in `why`: the copy takes its place. */
static ochre_status
replace(struct och_catalog_mend *mend, const struct ochre_error *why, struct ochre_error *err)
{
    const struct och_catalog_known *known = &mend->known;
    /* A copy that ends in the middle of a group may have lost what was acknowledged. */
    if (!known->is_whole) {
        if (why->status != OCHRE_CORRUPT || known->n_groups == 0) {
            if (err != NULL)
                *err = *why;
            return why->status;
        }
        return och_fail(err, OCHRE_CORRUPT,
                "%s; and its copy is damaged after generation %llu; run `ochre repair`, "
                "or restore a backup",
                why->message, (unsigned long long) known->generation);
    }
    ochre_status status = och_catalog_install(mend->vfs, known, err);
    if (status == OCHRE_OK) {
        och_catalog_known_clear(&mend->known, mend->mem);
        status = och_catalog_known_read(mend->vfs, mend->mem, &mend->known, err);
    }
    if (status == OCHRE_OK)
        och_log_event(mend->log, OCH_LOG_WARN, "catalog.restored",
                "from=" OCH_CATALOG_COPY " generation=%llu aside=" OCH_CATALOG_DAMAGED
                " reason=\"%s\"",
                (unsigned long long) known->generation, why->message);
    return status;
}

/* The copy and a catalog.db that is whole. */
static enum och_catalog_next
next_of(const struct och_catalog_mend *mend, enum och_catalog_match match)
{
    if (match == OCH_CATALOG_SAME && mend->known.is_whole)
        return OCH_CATALOG_GO_ON;
    if (match == OCH_CATALOG_OTHER && mend->known.n_groups > 0)
        return OCH_CATALOG_ASK;
    return OCH_CATALOG_COPY_ANEW;
}

/* The copy ends with a transaction that was undone: so does it, before the journal goes that says
 * so.  Nothing else can tell it from one that was lost. */
static ochre_status
undo_group(struct och_catalog_mend *mend, struct ochre_error *err)
{
    struct och_file *file = NULL;
    ochre_status status = och_vfs_open(mend->vfs, OCH_CATALOG_COPY, OCH_OPEN_WRITE, &file, err);
    if (status == OCHRE_OK)
        status = och_file_truncate(file, mend->known.end_before, err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    och_catalog_known_clear(&mend->known, mend->mem);
    if (status == OCHRE_OK)
        status = och_catalog_known_read(mend->vfs, mend->mem, &mend->known, err);
    return status;
}

/* Recover catalog.db, and compare.  The journal stays until both are right. */
static ochre_status
recover(struct och_catalog_mend *mend, enum och_catalog_match *match_out, struct ochre_error *err)
{
    bool undone = false;
    ochre_status status = och_catalog_play_back(mend->vfs, &undone, err);
    if (status == OCHRE_OK)
        status = och_catalog_compare(mend->vfs, &mend->known, match_out, err);
    if (status == OCHRE_OK && *match_out == OCH_CATALOG_BEFORE && undone &&
            mend->known.end_before > 0) {
        status = undo_group(mend, err);
        *match_out = OCH_CATALOG_SAME;
    }
    return status == OCHRE_OK ? och_catalog_forget_journal(mend->vfs, err) : status;
}

static ochre_status
judge(struct och_catalog_mend *mend, enum och_catalog_next *next_out, struct ochre_error *err)
{
    enum och_catalog_match match = OCH_CATALOG_OTHER;
    struct ochre_error why = {.status = OCHRE_OK};
    *next_out = OCH_CATALOG_GO_ON;
    ochre_status status = recover(mend, &match, &why);
    if (status == OCHRE_OK && match == OCH_CATALOG_BEFORE)
        status = och_fail(&why, OCHRE_CORRUPT,
                "catalog: it is as it was before generation %llu, and no journal says why",
                (unsigned long long) mend->known.generation);
    if (status == OCHRE_OK) {
        *next_out = next_of(mend, match);
        return OCHRE_OK;
    }
    if (status == OCHRE_NOT_FOUND && mend->known.n_groups == 0)
        return OCHRE_OK; /* there is none at all: the caller's to judge */
    if (status == OCHRE_CORRUPT || status == OCHRE_NOT_FOUND)
        return replace(mend, &why, err);
    if (err != NULL)
        *err = why;
    return status;
}

/* Is there one, and something in it? */
static ochre_status
find_journal(struct och_vfs *vfs, bool *found_out, struct ochre_error *err)
{
    struct och_file *file = NULL;
    uint64_t size = 0;
    *found_out = false;
    ochre_status status = och_vfs_open(vfs, OCH_CATALOG_JOURNAL, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_file_size(file, &size, err);
    och_file_close(file);
    *found_out = size > 0;
    return status;
}

/*
 * A journal that is not empty is of a transaction that was not committed.  So if the copy
 * ends in a part of a group, it is that one's, and nobody was told of it: it is cut off,
 * before recovery takes away the journal that says so.
 */
static ochre_status
cut_unfinished(struct och_catalog_mend *mend, struct ochre_error *err)
{
    struct och_file *file = NULL;
    bool has_journal = false;
    ochre_status status = find_journal(mend->vfs, &has_journal, err);
    if (status != OCHRE_OK || !has_journal)
        return status;
    status = och_vfs_open(mend->vfs, OCH_CATALOG_COPY, OCH_OPEN_WRITE, &file, err);
    if (status == OCHRE_OK)
        status = och_file_truncate(file, mend->known.end, err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    mend->known.is_whole = status == OCHRE_OK;
    return status;
}

ochre_status
och_catalog_mend_recover(struct och_vfs *vfs, struct och_mem *mem, struct ochre_error *err)
{
    struct och_catalog_mend mend = {.vfs = vfs, .mem = mem};
    enum och_catalog_match match;
    bool has_journal = false;
    ochre_status status = find_journal(vfs, &has_journal, err);
    if (status != OCHRE_OK || !has_journal)
        return status == OCHRE_OK ? och_catalog_recover(vfs, err) : status;
    status = och_catalog_known_read(vfs, mem, &mend.known, err);
    if (status == OCHRE_OK && mend.known.n_groups > 0 && !mend.known.is_whole)
        status = cut_unfinished(&mend, err);
    ochre_status compared = OCHRE_CORRUPT;
    if (status == OCHRE_OK && mend.known.n_groups > 0)
        compared = status = recover(&mend, &match, err);
    /* What is torn are pages that were free: others have been put back.  Nobody reads them. */
    if (status == OCHRE_CORRUPT || status == OCHRE_NOT_FOUND)
        status = OCHRE_OK;
    if (status == OCHRE_OK && compared != OCHRE_OK)
        status = och_catalog_recover(vfs, err);
    och_catalog_mend_end(&mend);
    return status;
}

ochre_status
och_catalog_mend(struct och_catalog_mend *mend, struct och_catalog_copy *copy,
        enum och_catalog_next *next_out, struct ochre_error *err)
{
    *next_out = OCH_CATALOG_GO_ON;
    och_catalog_copy_drop(copy);
    ochre_status status = och_catalog_known_read(mend->vfs, mend->mem, &mend->known, err);
    if (status == OCHRE_OK && mend->known.n_groups > 0 && !mend->known.is_whole)
        status = cut_unfinished(mend, err);
    if (status == OCHRE_OK)
        status = judge(mend, next_out, err);
    if (status == OCHRE_OK && *next_out == OCH_CATALOG_GO_ON && mend->known.n_groups > 0)
        status = och_catalog_copy_continue(copy, &mend->known, err);
    return status;
}

ochre_status
och_catalog_mend_older(struct och_catalog_mend *mend, uint64_t generation, bool *replaced_out,
        struct ochre_error *err)
{
    struct ochre_error why;
    *replaced_out = false;
    uint64_t newest = mend->known.generation;
    if (generation > newest + 1 || (generation == newest + 1 && !mend->known.is_whole))
        return OCHRE_OK;
    /* An older ochre has written once, or a journal was lost in the middle of a transaction
     * and pages of two states are mixed: nobody can tell, and one of them is wrong. */
    if (generation == newest + 1)
        return och_fail(err, OCHRE_CORRUPT,
                "catalog: it is of generation %llu, its copy of the one before, and no journal "
                "says why; remove catalog.copy if an older ochre has written last, or else run "
                "`ochre repair`",
                (unsigned long long) generation);
    ochre_status corrupt = och_fail(&why, OCHRE_CORRUPT,
            "catalog: generation %llu is not what the copy has of generation %llu",
            (unsigned long long) generation, (unsigned long long) mend->known.generation);
    (void) corrupt;
    *replaced_out = true;
    return replace(mend, &why, err);
}

void
och_catalog_mend_end(struct och_catalog_mend *mend)
{
    och_catalog_known_clear(&mend->known, mend->mem);
}

ochre_status
och_catalog_copy_verify(struct och_mem *mem, struct och_vfs *vfs, struct ochre_error *err)
{
    struct och_catalog_known known;
    enum och_catalog_match match = OCH_CATALOG_OTHER;
    bool exists = false;
    ochre_status status = och_vfs_exists(vfs, OCH_CATALOG_COPY, &exists, err);
    if (status != OCHRE_OK)
        return status;
    if (!exists)
        return och_fail(err, OCHRE_NOT_FOUND, "catalog copy: there is none");
    status = och_catalog_known_read(vfs, mem, &known, err);
    if (status == OCHRE_OK)
        status = och_catalog_compare(vfs, &known, &match, err);
    /* What a crash leaves: a transaction that the copy alone has, or a part of one. */
    bool agrees = match == OCH_CATALOG_SAME || (match == OCH_CATALOG_BEFORE && known.is_whole);
    if (status == OCHRE_OK && known.n_groups == 0)
        status = och_fail(err, OCHRE_CORRUPT, "catalog copy: its beginning is damaged");
    else if (status == OCHRE_OK && !agrees)
        status = och_fail(err, OCHRE_CORRUPT,
                "catalog copy: generation %llu, the last that is whole in it, is not that of "
                "catalog.db",
                (unsigned long long) known.generation);
    och_catalog_known_clear(&known, mem);
    return status;
}
