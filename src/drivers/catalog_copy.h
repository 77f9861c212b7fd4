/*
 * catalog_copy.h - the second copy of catalog.db, and which of the two is right.
 *
 * The catalog is small and everything hangs from it: of its pages a second copy
 * is kept, in a file that is only ever appended to.
 *
 *      catalog.copy   group | group | ...        the first holds every page, each
 *                                                later one those a transaction changed
 *      group          header (64) | record * n_records | XXH3-64 of all of it
 *      record         page number (4) | zero (4) | page (4096)
 *
 * A group is durable before the transaction commits, which is when the journal
 * is cut.  So the copy knows every transaction that anybody was told of, and
 * at most one that was undone: catalog.db is what the copy says, or what it said
 * before its last group.  Anything else is damage, and the copy says what belongs.
 *
 *      catalog.db is                           then
 *      the copy's last state                   fine
 *      the state before the last group         undone, if there is a journal: the group is cut
 *                                              off; else catalog.db anew, of the copy
 *      sound, and of a later generation        the copy is old: copy anew
 *      unsound, missing, or anything else      catalog.db anew, of the copy
 *
 * docs/decisions/0019-catalog-copy.md has the reasoning.
 *
 * Threads: one at a time.
 */
#ifndef OCH_DRIVERS_CATALOG_COPY_H
#define OCH_DRIVERS_CATALOG_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_file;
struct och_mem;
struct och_vfs;

#define OCH_CATALOG_COPY "catalog.copy"

/* Where what was damaged is put aside, for people to look at. */
#define OCH_CATALOG_DAMAGED "catalog.db-damaged"
#define OCH_CATALOG_JOURNAL_DAMAGED "catalog.db-journal-damaged"

/* One page, as the copy has it. */
struct och_copied_page {
    uint64_t offset;      /* of the newest record; 0: there is none */
    uint64_t hash;        /* what stands in the page's own checksum */
    uint64_t hash_before; /* the same before the group `group`; 0: it was not there */
    uint32_t group;       /* that has the newest record, from 1 */
};

/* What catalog.copy says. */
struct och_catalog_known {
    struct och_copied_page *pages; /* owned */
    size_t room;
    uint32_t n_pages, n_pages_before; /* of catalog.db, and before the last group */
    uint32_t n_groups;                /* sound ones, from the beginning; 0: it says nothing */
    uint64_t generation;              /* of the last group */
    uint64_t base_end, end;           /* of the first group, and of the last */
    uint64_t end_before;              /* of the one before that; 0: there is none */
    uint64_t hash;                    /* of the last group */
    bool is_whole;                    /* nothing stands behind the last group */
};

/*
 * Read catalog.copy.  One that is not there, or whose beginning is damaged, says
 * nothing.  Clear it after use, whatever this returns.
 *
 * Errors: OCHRE_UNSUPPORTED: another version's; OCHRE_IO, OCHRE_NO_MEMORY.
 * Cost:   all of it is read.
 */
OCH_MUST_CHECK ochre_status och_catalog_known_read(struct och_vfs *vfs, struct och_mem *mem,
        struct och_catalog_known *known_out, struct ochre_error *err);
void och_catalog_known_clear(struct och_catalog_known *known, struct och_mem *mem);

/* How catalog.db compares. */
enum och_catalog_match {
    OCH_CATALOG_SAME,
    OCH_CATALOG_BEFORE, /* as before the copy's last group */
    OCH_CATALOG_OTHER   /* whole by itself, and something else */
};

/*
 * Read all of catalog.db, after recovery, and compare.
 *
 * Errors: OCHRE_CORRUPT: it is not whole; OCHRE_NOT_FOUND: there is none, or no page
 *         in it; OCHRE_IO.
 */
OCH_MUST_CHECK ochre_status och_catalog_compare(struct och_vfs *vfs,
        const struct och_catalog_known *known, enum och_catalog_match *match_out,
        struct ochre_error *err);

/*
 * Make catalog.db anew, of what is known; what is there of it and of its journal is
 * put aside.  The copy is made anew first, of the same: read it again.  A crash in
 * between is harmless, and all of it is done again.
 */
OCH_MUST_CHECK ochre_status och_catalog_install(
        struct och_vfs *vfs, const struct och_catalog_known *known, struct ochre_error *err);

/* The copy that is written along.  All zero is one that is not in step. */
struct och_catalog_copy {
    struct och_mem *mem;   /* borrowed */
    struct och_vfs *vfs;   /* borrowed */
    struct och_file *file; /* owned; NULL: it is not in step with catalog.db */
    uint64_t base_end, end;
    uint64_t hash;
    uint64_t generation; /* of the transaction that is to commit */
    uint32_t *numbers;   /* owned: pages written since the last group */
    size_t n_numbers, room;
    bool has_lost_count; /* there was no memory for a number */
};

/* Go on with the copy that `known` was read from, which is whole and the same. */
OCH_MUST_CHECK ochre_status och_catalog_copy_continue(struct och_catalog_copy *copy,
        const struct och_catalog_known *known, struct ochre_error *err);

/* Make it anew, of catalog.db between two transactions.  When this fails, the one
 * before is in step still, if it was and copy->file says so. */
OCH_MUST_CHECK ochre_status och_catalog_copy_make(
        struct och_catalog_copy *copy, uint64_t generation, struct ochre_error *err);

/* It grows with each transaction: has it grown enough to be made anew? */
bool och_catalog_copy_is_long(const struct och_catalog_copy *copy);

/* Page `number` of catalog.db was written. */
void och_catalog_copy_note(struct och_catalog_copy *copy, uint32_t number);

/*
 * Append the pages that were noted, as they are in `db`, and make them durable.
 * Then the transaction may commit.  After a failure the copy is not in step.
 */
OCH_MUST_CHECK ochre_status och_catalog_copy_append(
        struct och_catalog_copy *copy, struct och_file *db, struct ochre_error *err);

/* Not in step any more; what was noted is forgotten. */
void och_catalog_copy_drop(struct och_catalog_copy *copy);

void och_catalog_copy_close(struct och_catalog_copy *copy);

#endif /* OCH_DRIVERS_CATALOG_COPY_H */
