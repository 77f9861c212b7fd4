#include "drivers/catalog_copy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "drivers/catalog_pages.h"
#include "os/vfs.h"

#define COPY_NEW OCH_CATALOG_COPY "-new"
#define FILE_NEW OCH_CATALOG_FILE "-new"

#define VERSION 1u
#define HEADER_SIZE ((size_t) 64)
#define RECORD_SIZE ((size_t) 8 + OCH_CATALOG_PAGE_SIZE)
#define END_SIZE ((size_t) 8)

/* So much may be appended before the copy is made anew. */
#define GROWTH_MIN ((uint64_t) 256 * 1024)

static const char magic[8] = {'o', 'c', 'h', 'r', 'c', 'o', 'p', 'y'};

struct group {
    uint32_t n_records;
    uint32_t n_pages;
    uint64_t generation;
    uint64_t previous; /* hash of the group before; 0: there is none */
};

/* A record and its page. */
struct record {
    unsigned char bytes[RECORD_SIZE];
};

static unsigned char *
page_of(struct record *record)
{
    return record->bytes + 8;
}

static uint64_t
hash_of_page(const unsigned char *page)
{
    return och_load_u64(page + OCH_CATALOG_PAGE_SIZE - OCH_CATALOG_RESERVED_SIZE);
}

static uint64_t
place_of(uint32_t number)
{
    return (uint64_t) (number - 1) * OCH_CATALOG_PAGE_SIZE;
}

/* --- headers ------------------------------------------------------------------ */

static void
put_header(char bytes[HEADER_SIZE], const struct group *group)
{
    memset(bytes, 0, HEADER_SIZE);
    memcpy(bytes, magic, sizeof(magic));
    och_store_u32(bytes + 8, VERSION);
    och_store_u32(bytes + 12, group->n_records);
    och_store_u32(bytes + 16, group->n_pages);
    och_store_u64(bytes + 24, group->generation);
    och_store_u64(bytes + 32, group->previous);
    och_store_u64(bytes + 56, och_hash64(bytes, 56));
}

/* *sound_out false: no header, or a damaged one. */
static ochre_status
get_header(const char bytes[HEADER_SIZE], struct group *group_out, bool *sound_out,
        struct ochre_error *err)
{
    *sound_out = memcmp(bytes, magic, sizeof(magic)) == 0 &&
            och_load_u64(bytes + 56) == och_hash64(bytes, 56);
    if (!*sound_out)
        return OCHRE_OK;
    uint32_t version = och_load_u32(bytes + 8);
    if (version != VERSION)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "catalog copy: format %" PRIu32 "; this build reads format %u", version, VERSION);
    *group_out = (struct group){.n_records = och_load_u32(bytes + 12),
            .n_pages = och_load_u32(bytes + 16),
            .generation = och_load_u64(bytes + 24),
            .previous = och_load_u64(bytes + 32)};
    return OCHRE_OK;
}

/* --- reading it ----------------------------------------------------------------- */

struct staged {
    uint32_t number;
    uint64_t hash;
};

struct reading {
    struct och_catalog_known *known;
    struct och_mem *mem;
    struct och_file *file;
    uint64_t size;
    struct staged *staged; /* owned: the records of a group that is being verified */
    size_t room;
    struct record record;
};

static uint64_t
records_end(uint64_t offset, const struct group *group)
{
    return offset + HEADER_SIZE + (uint64_t) group->n_records * RECORD_SIZE;
}

/* The header at the known's end, and whether a group that goes on from there has
 * room in the file. */
static ochre_status
read_header(struct reading *reading, struct group *group_out, uint64_t *hash_out, bool *sound_out,
        struct ochre_error *err)
{
    const struct och_catalog_known *known = reading->known;
    char bytes[HEADER_SIZE] = {0};
    *sound_out = false;
    *hash_out = 0;
    if (reading->size - known->end < HEADER_SIZE + END_SIZE)
        return OCHRE_OK;
    ochre_status status = och_file_read_all(reading->file, known->end, bytes, sizeof(bytes), err);
    if (status == OCHRE_OK)
        status = get_header(bytes, group_out, sound_out, err);
    if (status != OCHRE_OK || !*sound_out)
        return status;
    /* Each page of catalog.db has a record, so that these bound what is allocated. */
    *sound_out = group_out->previous == known->hash &&
            records_end(known->end, group_out) + END_SIZE <= reading->size &&
            group_out->n_pages <= reading->size / RECORD_SIZE + 1;
    *hash_out = och_load_u64(bytes + 56);
    return OCHRE_OK;
}

static ochre_status
make_staging(struct reading *reading, uint32_t n, struct ochre_error *err)
{
    if (n <= reading->room)
        return OCHRE_OK;
    struct staged *staged = och_mem_resize(
            reading->mem, reading->staged, reading->room * sizeof(*staged), n * sizeof(*staged));
    if (staged == NULL)
        return och_fail_memory(err);
    reading->staged = staged;
    reading->room = n;
    return OCHRE_OK;
}

/* Stage the records, and see whether they hash to what stands behind them.  *hash is the
 * header's, then theirs. */
static ochre_status
verify_records(struct reading *reading, const struct group *group, uint64_t *hash, bool *sound_out,
        struct ochre_error *err)
{
    uint64_t offset = reading->known->end + HEADER_SIZE;
    char end[END_SIZE] = {0};
    unsigned char *bytes = reading->record.bytes;
    *sound_out = false;
    ochre_status status = make_staging(reading, group->n_records, err);
    for (uint32_t i = 0; status == OCHRE_OK && i < group->n_records; i++, offset += RECORD_SIZE) {
        status = och_file_read_all(reading->file, offset, bytes, RECORD_SIZE, err);
        if (status != OCHRE_OK)
            return status;
        uint32_t number = och_load_u32(bytes);
        if (number == 0 || number > group->n_pages ||
                !och_catalog_page_is_sound(page_of(&reading->record), number))
            return OCHRE_OK;
        *hash = och_hash64_seeded(bytes, RECORD_SIZE, *hash);
        reading->staged[i] = (struct staged){number, hash_of_page(page_of(&reading->record))};
    }
    if (status == OCHRE_OK)
        status = och_file_read_all(reading->file, offset, end, sizeof(end), err);
    *sound_out = status == OCHRE_OK && och_load_u64(end) == *hash;
    return status;
}

static ochre_status
make_room(struct reading *reading, uint32_t n_pages, struct ochre_error *err)
{
    struct och_catalog_known *known = reading->known;
    if (n_pages <= known->room)
        return OCHRE_OK;
    struct och_copied_page *pages = och_mem_resize(
            reading->mem, known->pages, known->room * sizeof(*pages), n_pages * sizeof(*pages));
    if (pages == NULL)
        return och_fail_memory(err);
    memset(pages + known->room, 0, (n_pages - known->room) * sizeof(*pages));
    known->pages = pages;
    known->room = n_pages;
    return OCHRE_OK;
}

/* The group at the known's end, which is verified and staged, becomes part of it. */
static ochre_status
take_group(
        struct reading *reading, const struct group *group, uint64_t hash, struct ochre_error *err)
{
    struct och_catalog_known *known = reading->known;
    uint64_t offset = known->end + HEADER_SIZE;
    ochre_status status = make_room(reading, group->n_pages, err);
    if (status != OCHRE_OK)
        return status;
    known->n_groups++;
    for (uint32_t i = 0; i < group->n_records; i++, offset += RECORD_SIZE) {
        struct och_copied_page *page = &known->pages[reading->staged[i].number - 1];
        if (page->group != known->n_groups)
            page->hash_before = page->hash;
        page->group = known->n_groups;
        page->offset = offset;
        page->hash = reading->staged[i].hash;
    }
    known->n_pages_before = known->n_pages;
    known->n_pages = group->n_pages;
    known->generation = group->generation;
    known->hash = hash;
    known->end_before = known->n_groups == 1 ? 0 : known->end;
    known->end = offset + END_SIZE;
    if (known->n_groups == 1)
        known->base_end = known->end;
    return OCHRE_OK;
}

static ochre_status
read_groups(struct reading *reading, struct ochre_error *err)
{
    struct och_catalog_known *known = reading->known;
    bool sound = true;
    while (sound && known->end < reading->size) {
        struct group group = {.n_records = 0};
        uint64_t hash;
        ochre_status status = read_header(reading, &group, &hash, &sound, err);
        if (status == OCHRE_OK && sound)
            status = verify_records(reading, &group, &hash, &sound, err);
        if (status == OCHRE_OK && sound)
            status = take_group(reading, &group, hash, err);
        if (status != OCHRE_OK)
            return status;
    }
    known->is_whole = sound && known->n_groups > 0;
    return OCHRE_OK;
}

/* A page that no group has would be a hole. */
static void
refuse_holes(struct och_catalog_known *known)
{
    for (uint32_t number = 1; number <= known->n_pages; number++) {
        if (known->pages[number - 1].offset == 0 && number != OCH_CATALOG_LOCK_PAGE)
            known->n_groups = 0;
    }
    if (known->n_groups == 0)
        known->is_whole = false;
}

ochre_status
och_catalog_known_read(struct och_vfs *vfs, struct och_mem *mem,
        struct och_catalog_known *known_out, struct ochre_error *err)
{
    *known_out = (struct och_catalog_known){.n_groups = 0};
    struct reading reading = {.known = known_out, .mem = mem};
    ochre_status status = och_vfs_open(vfs, OCH_CATALOG_COPY, OCH_OPEN_READ, &reading.file, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_file_size(reading.file, &reading.size, err);
    if (status == OCHRE_OK)
        status = read_groups(&reading, err);
    och_file_close(reading.file);
    och_mem_release(mem, reading.staged, reading.room * sizeof(*reading.staged));
    if (status == OCHRE_OK)
        refuse_holes(known_out);
    else
        known_out->n_groups = 0;
    return status;
}

void
och_catalog_known_clear(struct och_catalog_known *known, struct och_mem *mem)
{
    och_mem_release(mem, known->pages, known->room * sizeof(*known->pages));
    *known = (struct och_catalog_known){.n_groups = 0};
}

/* --- comparing ------------------------------------------------------------------ */

struct comparison {
    const struct och_catalog_known *known;
    bool is_same, is_before;
};

static void
compare_page(struct comparison *comparison, uint32_t number, uint64_t hash)
{
    const struct och_catalog_known *known = comparison->known;
    static const struct och_copied_page none = {.offset = 0};
    const struct och_copied_page *page = number <= known->room ? &known->pages[number - 1] : &none;
    uint64_t before = page->group == known->n_groups ? page->hash_before : page->hash;
    comparison->is_same &= hash == page->hash;
    comparison->is_before &= hash == before;
}

/* Where SQLite keeps the number of pages, big-endian, in the first one. */
static uint32_t
pages_by_header(const unsigned char *page)
{
    return (uint32_t) page[28] << 24 | (uint32_t) page[29] << 16 | (uint32_t) page[30] << 8 |
            (uint32_t) page[31];
}

static ochre_status
compare_pages(
        struct comparison *comparison, struct och_file *db, uint64_t size, struct ochre_error *err)
{
    unsigned char page[OCH_CATALOG_PAGE_SIZE] = {0};
    uint32_t n_pages = (uint32_t) (size / OCH_CATALOG_PAGE_SIZE);
    uint32_t wanted = n_pages;
    for (uint32_t number = 1; number <= n_pages; number++) {
        if (number == OCH_CATALOG_LOCK_PAGE)
            continue;
        ochre_status status = och_file_read_all(db, place_of(number), page, sizeof(page), err);
        if (status != OCHRE_OK)
            return status;
        if (!och_catalog_page_is_sound(page, number))
            return och_fail(err, OCHRE_CORRUPT,
                    "catalog: the checksum of page %" PRIu32 " does not match", number);
        if (number == 1)
            wanted = pages_by_header(page);
        compare_page(comparison, number, hash_of_page(page));
    }
    if (size % OCH_CATALOG_PAGE_SIZE != 0 || n_pages != wanted)
        return och_fail(err, OCHRE_CORRUPT,
                "catalog: %" PRIu64 " bytes where %" PRIu32 " pages belong", size, wanted);
    comparison->is_same &= n_pages == comparison->known->n_pages;
    comparison->is_before &= n_pages == comparison->known->n_pages_before;
    return OCHRE_OK;
}

ochre_status
och_catalog_compare(struct och_vfs *vfs, const struct och_catalog_known *known,
        enum och_catalog_match *match_out, struct ochre_error *err)
{
    struct comparison comparison = {
            .known = known, .is_same = known->n_groups > 0, .is_before = known->n_groups > 1};
    struct och_file *db = NULL;
    uint64_t size = 0;
    *match_out = OCH_CATALOG_OTHER;
    ochre_status status = och_vfs_open(vfs, OCH_CATALOG_FILE, OCH_OPEN_READ, &db, err);
    if (status == OCHRE_OK)
        status = och_file_size(db, &size, err);
    if (status == OCHRE_OK && size == 0)
        status = och_fail(err, OCHRE_NOT_FOUND, "catalog: there is none");
    if (status == OCHRE_OK)
        status = compare_pages(&comparison, db, size, err);
    och_file_close(db);
    if (status == OCHRE_OK && comparison.is_same)
        *match_out = OCH_CATALOG_SAME;
    else if (status == OCHRE_OK && comparison.is_before)
        *match_out = OCH_CATALOG_BEFORE;
    return status;
}

/* --- catalog.db of the copy ----------------------------------------------------- */

static ochre_status
write_pages(const struct och_catalog_known *known, struct och_file *copy, struct och_file *db,
        struct ochre_error *err)
{
    unsigned char page[OCH_CATALOG_PAGE_SIZE] = {0};
    for (uint32_t number = 1; number <= known->n_pages; number++) {
        if (number == OCH_CATALOG_LOCK_PAGE)
            continue;
        ochre_status status = och_file_read_all(
                copy, known->pages[number - 1].offset + 8, page, sizeof(page), err);
        if (status == OCHRE_OK && !och_catalog_page_is_sound(page, number))
            status = och_fail(err, OCHRE_CORRUPT,
                    "catalog copy: the checksum of page %" PRIu32 " does not match", number);
        if (status == OCHRE_OK)
            status = och_file_write(db, place_of(number), page, sizeof(page), err);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

/* A file of nothing, whatever was there. */
static ochre_status
open_empty(
        struct och_vfs *vfs, const char *path, struct och_file **file_out, struct ochre_error *err)
{
    ochre_status status = och_vfs_open(vfs, path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, file_out, err);
    return status == OCHRE_OK ? och_file_truncate(*file_out, 0, err) : status;
}

/* --- writing it along ----------------------------------------------------------- */

/* A group that is being written. */
struct writing {
    struct och_file *from, *to;
    uint64_t offset, hash;
    struct record record;
};

static ochre_status
begin_group(struct writing *writing, const struct group *group, struct ochre_error *err)
{
    char header[HEADER_SIZE];
    put_header(header, group);
    ochre_status status = och_file_write(writing->to, writing->offset, header, sizeof(header), err);
    writing->offset += sizeof(header);
    writing->hash = och_load_u64(header + 56);
    return status;
}

static ochre_status
write_record(struct writing *writing, uint32_t number, struct ochre_error *err)
{
    struct record *record = &writing->record;
    memset(record->bytes, 0, 8);
    och_store_u32(record->bytes, number);
    ochre_status status = och_file_read_all(
            writing->from, place_of(number), page_of(record), OCH_CATALOG_PAGE_SIZE, err);
    if (status == OCHRE_OK && !och_catalog_page_is_sound(page_of(record), number))
        status = och_fail(err, OCHRE_CORRUPT,
                "catalog: the checksum of page %" PRIu32 " does not match", number);
    if (status == OCHRE_OK)
        status = och_file_write(writing->to, writing->offset, record->bytes, RECORD_SIZE, err);
    writing->offset += RECORD_SIZE;
    writing->hash = och_hash64_seeded(record->bytes, RECORD_SIZE, writing->hash);
    return status;
}

static ochre_status
end_group(struct writing *writing, struct ochre_error *err)
{
    char end[END_SIZE];
    och_store_u64(end, writing->hash);
    ochre_status status = och_file_write(writing->to, writing->offset, end, sizeof(end), err);
    writing->offset += sizeof(end);
    return status == OCHRE_OK ? och_file_sync(writing->to, err) : status;
}

static ochre_status
write_base(struct writing *writing, uint64_t generation, struct ochre_error *err)
{
    uint64_t size = 0;
    ochre_status status = och_file_size(writing->from, &size, err);
    uint32_t n_pages = (uint32_t) (size / OCH_CATALOG_PAGE_SIZE);
    struct group group = {.n_records = n_pages - (n_pages >= OCH_CATALOG_LOCK_PAGE),
            .n_pages = n_pages,
            .generation = generation};
    if (status == OCHRE_OK)
        status = begin_group(writing, &group, err);
    for (uint32_t number = 1; status == OCHRE_OK && number <= n_pages; number++) {
        if (number != OCH_CATALOG_LOCK_PAGE)
            status = write_record(writing, number, err);
    }
    return status == OCHRE_OK ? end_group(writing, err) : status;
}

static ochre_status
put_aside(struct och_vfs *vfs, const char *path, const char *aside, struct ochre_error *err)
{
    bool exists = false;
    ochre_status status = och_vfs_exists(vfs, path, &exists, err);
    return status == OCHRE_OK && exists ? och_vfs_rename(vfs, path, aside, err) : status;
}

/*
 * The copy anew, of the catalog.db that is about to be.  The last group of the one there is may
 * lie in the page cache alone: whoever wrote it was killed before it was durable, or was told
 * that it is not.  A catalog.db made of it would then be ahead of its copy after a power cut.
 */
static ochre_status
copy_again(struct och_vfs *vfs, const struct och_catalog_known *known, struct ochre_error *err)
{
    struct writing writing = {.from = NULL};
    ochre_status status = och_vfs_open(vfs, FILE_NEW, OCH_OPEN_READ, &writing.from, err);
    if (status == OCHRE_OK)
        status = open_empty(vfs, COPY_NEW, &writing.to, err);
    if (status == OCHRE_OK)
        status = write_base(&writing, known->generation, err);
    och_file_close(writing.from);
    och_file_close(writing.to);
    if (status == OCHRE_OK)
        status = och_vfs_rename(vfs, COPY_NEW, OCH_CATALOG_COPY, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, "", err) : status;
}

ochre_status
och_catalog_install(
        struct och_vfs *vfs, const struct och_catalog_known *known, struct ochre_error *err)
{
    struct och_file *copy = NULL;
    struct och_file *db = NULL;
    ochre_status status = och_vfs_open(vfs, OCH_CATALOG_COPY, OCH_OPEN_READ, &copy, err);
    if (status == OCHRE_OK)
        status = open_empty(vfs, FILE_NEW, &db, err);
    if (status == OCHRE_OK)
        status = write_pages(known, copy, db, err);
    if (status == OCHRE_OK)
        status = och_file_sync(db, err);
    och_file_close(db);
    och_file_close(copy);
    if (status == OCHRE_OK)
        status = copy_again(vfs, known, err);
    /* catalog.db first, and its journal, which says that it may not be whole, when it is
     * gone for good: what a crash leaves is then never taken for a catalog.  The new one
     * last: that journal would undo it. */
    if (status == OCHRE_OK)
        status = put_aside(vfs, OCH_CATALOG_FILE, OCH_CATALOG_DAMAGED, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, "", err);
    if (status == OCHRE_OK)
        status = put_aside(vfs, OCH_CATALOG_JOURNAL, OCH_CATALOG_JOURNAL_DAMAGED, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, "", err);
    if (status == OCHRE_OK)
        status = och_vfs_rename(vfs, FILE_NEW, OCH_CATALOG_FILE, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, "", err);
    return status;
}

ochre_status
och_catalog_copy_make(struct och_catalog_copy *copy, uint64_t generation, struct ochre_error *err)
{
    struct writing writing = {.from = NULL};
    struct och_vfs *vfs = copy->vfs;
    ochre_status status = och_vfs_open(vfs, OCH_CATALOG_FILE, OCH_OPEN_READ, &writing.from, err);
    if (status == OCHRE_OK)
        status = open_empty(vfs, COPY_NEW, &writing.to, err);
    if (status == OCHRE_OK)
        status = write_base(&writing, generation, err);
    och_file_close(writing.from);
    if (status != OCHRE_OK) {
        och_file_close(writing.to);
        return status;
    }
    /* From here on a crash may show either of the two, so neither may be gone on
     * with until the new one's name is durable. */
    och_catalog_copy_drop(copy);
    status = och_vfs_rename(vfs, COPY_NEW, OCH_CATALOG_COPY, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, "", err);
    if (status != OCHRE_OK) {
        och_file_close(writing.to);
        return status;
    }
    copy->file = writing.to;
    copy->base_end = writing.offset;
    copy->end = writing.offset;
    copy->hash = writing.hash;
    return OCHRE_OK;
}

ochre_status
och_catalog_copy_continue(struct och_catalog_copy *copy, const struct och_catalog_known *known,
        struct ochre_error *err)
{
    och_catalog_copy_drop(copy);
    ochre_status status =
            och_vfs_open(copy->vfs, OCH_CATALOG_COPY, OCH_OPEN_WRITE, &copy->file, err);
    copy->base_end = known->base_end;
    copy->end = known->end;
    copy->hash = known->hash;
    return status;
}

bool
och_catalog_copy_is_long(const struct och_catalog_copy *copy)
{
    uint64_t growth = copy->end - copy->base_end;
    return copy->file != NULL && growth > GROWTH_MIN && growth > copy->base_end;
}

void
och_catalog_copy_note(struct och_catalog_copy *copy, uint32_t number)
{
    if (copy->file == NULL)
        return;
    if (copy->n_numbers == copy->room) {
        size_t room = copy->room == 0 ? 16 : copy->room * 2;
        uint32_t *numbers = och_mem_resize(
                copy->mem, copy->numbers, copy->room * sizeof(*numbers), room * sizeof(*numbers));
        if (numbers == NULL) {
            copy->has_lost_count = true;
            return;
        }
        copy->numbers = numbers;
        copy->room = room;
    }
    copy->numbers[copy->n_numbers++] = number;
}

static int
compare_numbers(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *) a;
    uint32_t right = *(const uint32_t *) b;
    return (left > right) - (left < right);
}

/* Each page once, and none behind the file's end: a transaction that is larger than
 * SQLite's cache writes some more than once. */
static void
sort_numbers(struct och_catalog_copy *copy, uint32_t n_pages)
{
    size_t n = 0;
    qsort(copy->numbers, copy->n_numbers, sizeof(*copy->numbers), compare_numbers);
    for (size_t i = 0; i < copy->n_numbers; i++) {
        uint32_t number = copy->numbers[i];
        if (number <= n_pages && (n == 0 || copy->numbers[n - 1] != number))
            copy->numbers[n++] = number;
    }
    copy->n_numbers = n;
}

static ochre_status
append_group(struct och_catalog_copy *copy, struct writing *writing, struct ochre_error *err)
{
    uint64_t size = 0;
    if (copy->has_lost_count)
        return och_fail_memory(err);
    ochre_status status = och_file_size(writing->from, &size, err);
    sort_numbers(copy, (uint32_t) (size / OCH_CATALOG_PAGE_SIZE));
    struct group group = {.n_records = (uint32_t) copy->n_numbers,
            .n_pages = (uint32_t) (size / OCH_CATALOG_PAGE_SIZE),
            .generation = copy->generation,
            .previous = copy->hash};
    if (status == OCHRE_OK)
        status = begin_group(writing, &group, err);
    for (size_t i = 0; status == OCHRE_OK && i < copy->n_numbers; i++)
        status = write_record(writing, copy->numbers[i], err);
    return status == OCHRE_OK ? end_group(writing, err) : status;
}

ochre_status
och_catalog_copy_append(struct och_catalog_copy *copy, struct och_file *db, struct ochre_error *err)
{
    if (copy->file == NULL || (copy->n_numbers == 0 && !copy->has_lost_count))
        return OCHRE_OK;
    struct writing writing = {.from = db, .to = copy->file, .offset = copy->end};
    ochre_status status = append_group(copy, &writing, err);
    if (status != OCHRE_OK) {
        och_catalog_copy_drop(copy);
        return status;
    }
    copy->n_numbers = 0;
    copy->end = writing.offset;
    copy->hash = writing.hash;
    return OCHRE_OK;
}

void
och_catalog_copy_drop(struct och_catalog_copy *copy)
{
    och_file_close(copy->file);
    copy->file = NULL;
    copy->n_numbers = 0;
    copy->has_lost_count = false;
}

void
och_catalog_copy_close(struct och_catalog_copy *copy)
{
    och_catalog_copy_drop(copy);
    och_mem_release(copy->mem, copy->numbers, copy->room * sizeof(*copy->numbers));
    copy->numbers = NULL;
    copy->room = 0;
}
