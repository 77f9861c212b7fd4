#include "drivers/catalog_pages.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "os/vfs.h"

#define CHECKED_SIZE ((size_t) (OCH_CATALOG_PAGE_SIZE - OCH_CATALOG_RESERVED_SIZE))

/* SQLite's sum of a journalled page takes every 200th byte, counted from the end. */
#define SUM_STRIDE 200

/* Where SQLite keeps two numbers of ours, in the first page. */
enum { USER_VERSION_AT = 60, APPLICATION_AT = 68 };

/* How SQLite begins a header it completes. */
static const unsigned char magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};

/* The facts of one segment's header. */
struct header {
    bool is_sound; /* else the segment was never needed, and the rest is junk */
    uint32_t n_records;
    uint32_t sum_start;
    uint32_t n_pages; /* of catalog.db before the transaction */
};

struct recovery {
    struct och_file *journal; /* owned */
    struct och_file *db;      /* owned; NULL when there is no catalog.db */
    uint64_t journal_size;
    uint64_t db_size;
    uint64_t end;     /* where the segments with sound headers end */
    uint32_t n_pages; /* of the first segment's header */
    bool hot;         /* a header is sound: catalog.db may be half changed */
    unsigned char record[OCH_JOURNAL_RECORD_SIZE];
    unsigned char page[OCH_CATALOG_PAGE_SIZE];
};

/* SQLite's numbers are big-endian. */
static uint32_t
number_at(const unsigned char *bytes)
{
    return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 |
            (uint32_t) bytes[3];
}

static uint64_t
aligned(uint64_t offset)
{
    return (offset + OCH_JOURNAL_SECTOR_SIZE - 1) & ~((uint64_t) OCH_JOURNAL_SECTOR_SIZE - 1);
}

void
och_catalog_page_stamp(unsigned char *page, uint32_t number)
{
    och_store_u64(page + CHECKED_SIZE, och_hash64_seeded(page, CHECKED_SIZE, number));
}

bool
och_catalog_page_is_sound(const unsigned char *page, uint32_t number)
{
    return och_load_u64(page + CHECKED_SIZE) == och_hash64_seeded(page, CHECKED_SIZE, number);
}

void
och_journal_header_stamp(unsigned char header[OCH_JOURNAL_HEADER_SIZE], uint64_t offset)
{
    och_store_u64(header + OCH_JOURNAL_FACTS_SIZE,
            och_hash64_seeded(header, OCH_JOURNAL_FACTS_SIZE, offset));
}

ochre_status
och_catalog_check_version(struct och_vfs *vfs, uint32_t version, struct ochre_error *err)
{
    struct och_file *file = NULL;
    unsigned char page[OCH_CATALOG_PAGE_SIZE];
    size_t n_read = 0;
    ochre_status status = och_vfs_open(vfs, OCH_CATALOG_FILE, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_file_read(file, 0, page, sizeof(page), &n_read, err);
    och_file_close(file);
    if (status != OCHRE_OK || n_read < sizeof(page) || !och_catalog_page_is_sound(page, 1) ||
            number_at(page + APPLICATION_AT) != OCH_CATALOG_APPLICATION)
        return status;
    uint32_t found = number_at(page + USER_VERSION_AT);
    if (found != version)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "catalog: format %" PRIu32 "; this build reads format %" PRIu32, found, version);
    return OCHRE_OK;
}

bool
och_journal_header_is_sound(const unsigned char header[OCH_JOURNAL_HEADER_SIZE], uint64_t offset)
{
    return och_load_u64(header + OCH_JOURNAL_FACTS_SIZE) ==
            och_hash64_seeded(header, OCH_JOURNAL_FACTS_SIZE, offset);
}

static ochre_status
read_header(struct recovery *recovery, uint64_t offset, struct header *header_out,
        struct ochre_error *err)
{
    unsigned char bytes[OCH_JOURNAL_HEADER_SIZE];
    ochre_status status = och_file_read_all(recovery->journal, offset, bytes, sizeof(bytes), err);
    if (status != OCHRE_OK)
        return status;
    *header_out = (struct header){
            .is_sound = och_journal_header_is_sound(bytes, offset),
            .n_records = number_at(bytes + 8),
            .sum_start = number_at(bytes + 12),
            .n_pages = number_at(bytes + 16),
    };
    if (header_out->is_sound &&
            (memcmp(bytes, magic, sizeof(magic)) != 0 ||
                    number_at(bytes + 20) != OCH_JOURNAL_SECTOR_SIZE ||
                    number_at(bytes + 24) != OCH_CATALOG_PAGE_SIZE))
        return och_fail(err, OCHRE_CORRUPT,
                "catalog journal: the header at %" PRIu64 " is not one of ochre", offset);
    return OCHRE_OK;
}

static ochre_status
read_record(struct recovery *recovery, uint64_t offset, struct ochre_error *err)
{
    return och_file_read_all(
            recovery->journal, offset, recovery->record, sizeof(recovery->record), err);
}

static bool
record_page_is_sound(const unsigned char *record)
{
    return number_at(record) != 0 && och_catalog_page_is_sound(record + 4, number_at(record));
}

static bool
record_is_sound(const unsigned char *record, uint32_t sum_start)
{
    uint32_t sum = sum_start;
    for (int at = OCH_CATALOG_PAGE_SIZE - SUM_STRIDE; at > 0; at -= SUM_STRIDE)
        sum += record[4 + at];
    return record_page_is_sound(record) && number_at(record + 4 + OCH_CATALOG_PAGE_SIZE) == sum;
}

static ochre_status
verify_records(struct recovery *recovery, uint64_t offset, const struct header *header,
        struct ochre_error *err)
{
    for (uint32_t i = 0; i < header->n_records; i++) {
        ochre_status status = read_record(recovery, offset, err);
        if (status != OCHRE_OK)
            return status;
        if (!record_is_sound(recovery->record, header->sum_start)) {
            return och_fail(err, OCHRE_CORRUPT,
                    "catalog journal: the record at %" PRIu64 " is damaged", offset);
        }
        offset += OCH_JOURNAL_RECORD_SIZE;
    }
    return OCHRE_OK;
}

/*
 * A segment without a sound header was never needed, or so it says: then each
 * page that got into it whole is still in catalog.db as it is.
 */
static ochre_status
compare_records(struct recovery *recovery, uint64_t offset, struct ochre_error *err)
{
    for (; offset + OCH_JOURNAL_RECORD_SIZE <= recovery->journal_size;
            offset += OCH_JOURNAL_RECORD_SIZE) {
        ochre_status status = read_record(recovery, offset, err);
        if (status != OCHRE_OK)
            return status;
        if (!record_page_is_sound(recovery->record))
            continue;
        uint32_t number = number_at(recovery->record);
        uint64_t place = (uint64_t) (number - 1) * OCH_CATALOG_PAGE_SIZE;
        bool same = place + OCH_CATALOG_PAGE_SIZE <= recovery->db_size;
        if (same) {
            status = och_file_read_all(
                    recovery->db, place, recovery->page, sizeof(recovery->page), err);
            if (status != OCHRE_OK)
                return status;
            same = memcmp(recovery->page, recovery->record + 4, sizeof(recovery->page)) == 0;
        }
        if (!same) {
            return och_fail(err, OCHRE_CORRUPT,
                    "catalog journal: page %" PRIu32 " was changed, but the header is damaged",
                    number);
        }
    }
    return OCHRE_OK;
}

/* Read the whole journal, and learn whether it is needed and where it ends. */
static ochre_status
verify_journal(struct recovery *recovery, struct ochre_error *err)
{
    uint64_t offset = 0;
    while (offset + OCH_JOURNAL_SECTOR_SIZE <= recovery->journal_size) {
        struct header header;
        ochre_status status = read_header(recovery, offset, &header, err);
        if (status != OCHRE_OK)
            return status;
        uint64_t records = offset + OCH_JOURNAL_SECTOR_SIZE;
        if (!header.is_sound)
            return compare_records(recovery, records, err);
        uint64_t room = (recovery->journal_size - records) / OCH_JOURNAL_RECORD_SIZE;
        if (header.n_records > room) {
            return och_fail(err, OCHRE_CORRUPT,
                    "catalog journal: %" PRIu64 " of %" PRIu32 " records are left", room,
                    header.n_records);
        }
        status = verify_records(recovery, records, &header, err);
        if (status != OCHRE_OK)
            return status;
        if (!recovery->hot)
            recovery->n_pages = header.n_pages;
        recovery->hot = true;
        recovery->end = records + (uint64_t) header.n_records * OCH_JOURNAL_RECORD_SIZE;
        offset = aligned(recovery->end);
    }
    return OCHRE_OK;
}

/* Put the pages of the segments with sound headers back. */
static ochre_status
play_back(struct recovery *recovery, struct ochre_error *err)
{
    uint64_t size = (uint64_t) recovery->n_pages * OCH_CATALOG_PAGE_SIZE;
    if (size > recovery->db_size) {
        return och_fail(err, OCHRE_CORRUPT,
                "catalog: %" PRIu64 " bytes are left of the %" PRIu64 " its journal speaks of",
                recovery->db_size, size);
    }
    if (recovery->db == NULL)
        return OCHRE_OK;
    ochre_status status = OCHRE_OK;
    if (size < recovery->db_size)
        status = och_file_truncate(recovery->db, size, err);

    uint64_t offset = 0;
    while (status == OCHRE_OK && offset < recovery->end) {
        struct header header;
        status = read_header(recovery, offset, &header, err);
        offset += OCH_JOURNAL_SECTOR_SIZE;
        for (uint32_t i = 0; status == OCHRE_OK && i < header.n_records; i++) {
            status = read_record(recovery, offset, err);
            offset += OCH_JOURNAL_RECORD_SIZE;
            uint32_t number = number_at(recovery->record);
            if (status == OCHRE_OK && number <= recovery->n_pages) {
                status = och_file_write(recovery->db,
                        (uint64_t) (number - 1) * OCH_CATALOG_PAGE_SIZE, recovery->record + 4,
                        OCH_CATALOG_PAGE_SIZE, err);
            }
        }
        offset = aligned(offset);
    }
    return status == OCHRE_OK ? och_file_sync(recovery->db, err) : status;
}

static ochre_status
open_both(struct recovery *recovery, struct och_vfs *vfs, struct ochre_error *err)
{
    ochre_status status =
            och_vfs_open(vfs, OCH_CATALOG_JOURNAL, OCH_OPEN_READ, &recovery->journal, err);
    if (status != OCHRE_OK)
        return status;
    status = och_file_size(recovery->journal, &recovery->journal_size, err);
    if (status != OCHRE_OK)
        return status;
    status =
            och_vfs_open(vfs, OCH_CATALOG_FILE, OCH_OPEN_READ | OCH_OPEN_WRITE, &recovery->db, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    return status == OCHRE_OK ? och_file_size(recovery->db, &recovery->db_size, err) : status;
}

ochre_status
och_catalog_play_back(struct och_vfs *vfs, bool *undone_out, struct ochre_error *err)
{
    struct recovery recovery = {.end = 0};
    *undone_out = false;
    ochre_status status = open_both(&recovery, vfs, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK; /* no journal, so the last transaction is whole */
    if (status == OCHRE_OK)
        status = verify_journal(&recovery, err);
    if (status == OCHRE_OK && recovery.hot)
        status = play_back(&recovery, err);
    *undone_out = status == OCHRE_OK && recovery.journal_size > 0;
    och_file_close(recovery.db);
    och_file_close(recovery.journal);
    return status;
}

/* An empty journal goes as well: the truncation that ended its transaction may not be durable, and
 * what is read from now on must not be undone by it.  Nor by one that an earlier recovery has
 * removed, and that is not durably gone. */
ochre_status
och_catalog_forget_journal(struct och_vfs *vfs, struct ochre_error *err)
{
    bool exists = false;
    ochre_status status = och_vfs_exists(vfs, OCH_CATALOG_JOURNAL, &exists, err);
    if (status == OCHRE_OK && exists)
        status = och_vfs_remove(vfs, OCH_CATALOG_JOURNAL, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, "", err) : status;
}

ochre_status
och_catalog_recover(struct och_vfs *vfs, struct ochre_error *err)
{
    bool undone = false;
    ochre_status status = och_catalog_play_back(vfs, &undone, err);
    return status == OCHRE_OK ? och_catalog_forget_journal(vfs, err) : status;
}

ochre_status
och_catalog_pages_verify(struct och_vfs *vfs, struct ochre_error *err)
{
    struct och_file *file = NULL;
    uint64_t size = 0;
    unsigned char page[OCH_CATALOG_PAGE_SIZE];
    ochre_status status = och_vfs_open(vfs, OCH_CATALOG_FILE, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_OK)
        status = och_file_size(file, &size, err);
    if (status == OCHRE_OK && size % OCH_CATALOG_PAGE_SIZE != 0) {
        status = och_fail(err, OCHRE_CORRUPT,
                "catalog: %" PRIu64 " bytes are not a whole number of pages", size);
    }
    for (uint64_t place = 0; status == OCHRE_OK && place < size; place += sizeof(page)) {
        uint32_t number = (uint32_t) (place / sizeof(page)) + 1;
        if (number == OCH_CATALOG_LOCK_PAGE)
            continue;
        status = och_file_read_all(file, place, page, sizeof(page), err);
        if (status == OCHRE_OK && !och_catalog_page_is_sound(page, number)) {
            status = och_fail(err, OCHRE_CORRUPT,
                    "catalog: the checksum of page %" PRIu32 " does not match", number);
        }
    }
    och_file_close(file);
    return status;
}
