/*
 * catalog_pages.h - the pages of catalog.db and the journal that protects them.
 *
 * SQLite writes both files; this module adds what SQLite lacks, a checksum on
 * every byte that a later answer depends on, and takes recovery out of SQLite's
 * hands: its own playback stops at the first record it does not like and calls
 * that success, which is right for a torn journal and wrong for a damaged one.
 *
 *      catalog.db           page = 4088 bytes of SQLite's | XXH3-64, seed: page number
 *
 *      catalog.db-journal   segment = header (512) | record * n_records | padding to 512
 *      header               SQLite's 28 bytes | XXH3-64, seed: offset | whatever
 *      record               page number (4) | page (4096) | SQLite's sum (4)
 *
 * SQLite completes a header only after all records of its segment are durable,
 * and changes catalog.db only after that header is durable.  So a sound header
 * whose records are not all sound is damage.  And where no header is sound,
 * catalog.db still holds what the records hold; if it does not, there was a
 * header, and that is damage too.  docs/formats/catalog.md has the reasoning.
 *
 * Threads: one thread at a time; no state.
 */
#ifndef OCH_DRIVERS_CATALOG_PAGES_H
#define OCH_DRIVERS_CATALOG_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_vfs;

/* "Ochr", where SQLite keeps a program's mark. */
#define OCH_CATALOG_APPLICATION 0x4f636872u

#define OCH_CATALOG_FILE "catalog.db"
#define OCH_CATALOG_JOURNAL "catalog.db-journal"

enum {
    OCH_CATALOG_PAGE_SIZE = 4096,
    OCH_CATALOG_RESERVED_SIZE = 8, /* at the end of each page: its checksum */
    OCH_JOURNAL_SECTOR_SIZE = 512, /* a segment's header, and what segments align to */
    OCH_JOURNAL_RECORD_SIZE = 4 + OCH_CATALOG_PAGE_SIZE + 4,
    OCH_JOURNAL_FACTS_SIZE = 28, /* SQLite's part of a header */
    OCH_JOURNAL_HEADER_SIZE = OCH_JOURNAL_FACTS_SIZE + 8
};

/* SQLite never uses the page that holds its lock bytes, one GiB into the file. */
#define OCH_CATALOG_LOCK_PAGE ((uint32_t) (0x40000000 / OCH_CATALOG_PAGE_SIZE + 1))

/* Write the checksum of page `number` (from 1) into its last 8 bytes. */
void och_catalog_page_stamp(unsigned char *page, uint32_t number);

bool och_catalog_page_is_sound(const unsigned char *page, uint32_t number);

/* Fill in the checksum that makes the header at `offset` sound. */
void och_journal_header_stamp(unsigned char header[OCH_JOURNAL_HEADER_SIZE], uint64_t offset);

/* Is the header at `offset` one that SQLite has completed?  Only then may pages have
 * been changed. */
bool och_journal_header_is_sound(
        const unsigned char header[OCH_JOURNAL_HEADER_SIZE], uint64_t offset);

/*
 * Whether catalog.db has tables of `version`, by its first page alone, where that is
 * sound and ochre's; what is not, others judge.  Asked before recovery as well, which
 * would change what another version has left.
 *
 * Errors: OCHRE_UNSUPPORTED when the version is another one; nothing is changed.
 */
OCH_MUST_CHECK ochre_status och_catalog_check_version(
        struct och_vfs *vfs, uint32_t version, struct ochre_error *err);

/*
 * Leave catalog.db as the last whole transaction made it, and no journal, both
 * durable.  Done before each opening of the catalog, so that SQLite never meets
 * a journal it did not write itself.
 *
 * A crash during recovery is harmless: the next one starts over.
 *
 * Errors: OCHRE_CORRUPT, with both files untouched, when the journal is needed
 * and not whole.
 */
OCH_MUST_CHECK ochre_status och_catalog_recover(struct och_vfs *vfs, struct ochre_error *err);

/* The two halves of that, between which the copy can be put right by what the journal says.
 * *undone_out: there is one that is not empty, so the last transaction was undone, or had changed
 * nothing. */
OCH_MUST_CHECK ochre_status och_catalog_play_back(
        struct och_vfs *vfs, bool *undone_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_catalog_forget_journal(
        struct och_vfs *vfs, struct ochre_error *err);

/* Read every page of catalog.db; OCHRE_CORRUPT names the first unsound one. */
OCH_MUST_CHECK ochre_status och_catalog_pages_verify(struct och_vfs *vfs, struct ochre_error *err);

#endif /* OCH_DRIVERS_CATALOG_PAGES_H */
