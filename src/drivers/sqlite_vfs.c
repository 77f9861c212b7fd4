#include "drivers/sqlite_vfs.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/random.h"
#include "drivers/catalog_copy.h"
#include "drivers/catalog_pages.h"
#include "os/vfs.h"

enum { NAME_SIZE = 40, PATH_SIZE_MAX = 64 };

/* Only the part of a header that SQLite writes when it completes one. */
enum { COMPLETION_SIZE = 12 };

struct och_sqlite_vfs {
    sqlite3_vfs base;
    struct och_mem *mem;           /* borrowed */
    struct och_vfs *vfs;           /* borrowed */
    struct och_catalog_copy *copy; /* borrowed; NULL: there is none */
    struct och_file *db;           /* borrowed: catalog.db, while it is open */
    struct ochre_error failure;    /* the first one; status OCHRE_OK: none */
    uint64_t seed;
    bool frozen;
    char name[NAME_SIZE];
    unsigned char page[OCH_CATALOG_PAGE_SIZE]; /* being stamped or verified */
};

/* What SQLite sees as an open file; it allocates szOsFile bytes for one. */
struct sqlite_file {
    sqlite3_file base;
    struct och_sqlite_vfs *owner; /* borrowed */
    struct och_file *file;        /* owned */
    bool is_journal;
    bool name_is_new; /* the directory is to be synced with the next sync */

    /* The journal only: the last four bytes written or read, which name the page
     * that follows them, and SQLite's part of the header written last. */
    uint64_t number_offset;
    uint32_t number;
    uint64_t header_offset;
    unsigned char header[OCH_JOURNAL_HEADER_SIZE];
};

/* Where to put a message: only the first failure counts, what follows it are
 * consequences. */
static struct ochre_error *
failure_slot(struct och_sqlite_vfs *owner)
{
    return owner->failure.status == OCHRE_OK ? &owner->failure : NULL;
}

static int
code_of(ochre_status status, int otherwise)
{
    if (status == OCHRE_OK)
        return SQLITE_OK;
    if (status == OCHRE_FULL)
        return SQLITE_FULL;
    if (status == OCHRE_NO_MEMORY)
        return SQLITE_IOERR_NOMEM;
    return status == OCHRE_CORRUPT ? SQLITE_IOERR_DATA : otherwise;
}

/* The code of a call that changes a file: its failure freezes everything. */
static int
changed(struct och_sqlite_vfs *owner, ochre_status status, int otherwise)
{
    if (status != OCHRE_OK)
        owner->frozen = true;
    return code_of(status, otherwise);
}

static ochre_status
refuse_if_frozen(struct och_sqlite_vfs *owner)
{
    if (!owner->frozen)
        return OCHRE_OK;
    return och_fail(failure_slot(owner), OCHRE_IO, "catalog: closed after a failure");
}

static int
file_close(sqlite3_file *base)
{
    struct sqlite_file *file = (struct sqlite_file *) base;
    if (file->owner->db == file->file)
        file->owner->db = NULL;
    och_file_close(file->file);
    file->file = NULL;
    return SQLITE_OK;
}

static ochre_status
unsound(struct och_sqlite_vfs *owner, uint32_t number, const char *where)
{
    return och_fail(failure_slot(owner), OCHRE_CORRUPT,
            "catalog%s: the checksum of page %" PRIu32 " does not match", where, number);
}

/*
 * Read one page of catalog.db into `page` and verify it.  *n_read_out is the
 * page's size, or 0 when the file ends before it, which is for SQLite to judge.
 */
static ochre_status
read_page(struct sqlite_file *file, uint64_t index, unsigned char *page, size_t *n_read_out)
{
    struct och_sqlite_vfs *owner = file->owner;
    ochre_status status = och_file_read(file->file, index * OCH_CATALOG_PAGE_SIZE, page,
            OCH_CATALOG_PAGE_SIZE, n_read_out, failure_slot(owner));
    if (status != OCHRE_OK || *n_read_out == 0)
        return status;
    uint32_t number = (uint32_t) index + 1;
    if (*n_read_out != OCH_CATALOG_PAGE_SIZE || !och_catalog_page_is_sound(page, number))
        return unsound(owner, number, "");
    return OCHRE_OK;
}

/* SQLite reads whole pages, and parts of the first one when it opens the file. */
static int
read_db(struct sqlite_file *file, unsigned char *bytes, size_t size, uint64_t offset)
{
    unsigned char *shared = file->owner->page;
    while (size > 0) {
        size_t skip = (size_t) (offset % OCH_CATALOG_PAGE_SIZE);
        size_t part = OCH_CATALOG_PAGE_SIZE - skip;
        part = part < size ? part : size;
        unsigned char *page = part == OCH_CATALOG_PAGE_SIZE ? bytes : shared;
        size_t n_read = 0;
        ochre_status status = read_page(file, offset / OCH_CATALOG_PAGE_SIZE, page, &n_read);
        if (status != OCHRE_OK)
            return code_of(status, SQLITE_IOERR_READ);
        if (n_read == 0) {
            memset(bytes, 0, size);
            return SQLITE_IOERR_SHORT_READ;
        }
        if (page == shared)
            memcpy(bytes, shared + skip, part);
        bytes += part;
        size -= part;
        offset += part;
    }
    return SQLITE_OK;
}

static uint32_t
number_at(const unsigned char *bytes)
{
    return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 |
            (uint32_t) bytes[3];
}

/* Four bytes may be a page number: remember them for what follows. */
static void
note_number(struct sqlite_file *file, const unsigned char *bytes, uint64_t offset)
{
    file->number = number_at(bytes);
    file->number_offset = offset;
}

/*
 * SQLite reads a journal it wrote itself, in this process, when it undoes a
 * statement.  Journals of the past are och_catalog_recover's.
 */
static int
read_journal(struct sqlite_file *file, unsigned char *bytes, size_t size, uint64_t offset)
{
    struct och_sqlite_vfs *owner = file->owner;
    size_t n_read = 0;
    ochre_status status =
            och_file_read(file->file, offset, bytes, size, &n_read, failure_slot(owner));
    if (status != OCHRE_OK)
        return code_of(status, SQLITE_IOERR_READ);
    if (n_read < size) {
        memset(bytes + n_read, 0, size - n_read);
        return SQLITE_IOERR_SHORT_READ;
    }
    if (size == 4)
        note_number(file, bytes, offset);
    if (size == OCH_CATALOG_PAGE_SIZE) {
        bool named = file->number_offset + 4 == offset;
        if (!named || !och_catalog_page_is_sound(bytes, file->number)) {
            status = unsound(owner, named ? file->number : 0, " journal");
            return code_of(status, SQLITE_IOERR_READ);
        }
    }
    return SQLITE_OK;
}

static int
file_read(sqlite3_file *base, void *bytes, int size, sqlite3_int64 offset)
{
    struct sqlite_file *file = (struct sqlite_file *) base;
    if (file->is_journal)
        return read_journal(file, bytes, (size_t) size, (uint64_t) offset);
    return read_db(file, bytes, (size_t) size, (uint64_t) offset);
}

/* The same page with its checksum: what SQLite keeps in the last eight bytes is
 * what was there when it read the page. */
static const unsigned char *
stamped(struct och_sqlite_vfs *owner, const void *page, uint32_t number)
{
    memcpy(owner->page, page, OCH_CATALOG_PAGE_SIZE);
    och_catalog_page_stamp(owner->page, number);
    return owner->page;
}

static ochre_status
write_db(struct sqlite_file *file, const void *bytes, size_t size, uint64_t offset)
{
    struct och_sqlite_vfs *owner = file->owner;
    if (size != OCH_CATALOG_PAGE_SIZE || offset % OCH_CATALOG_PAGE_SIZE != 0) {
        return och_fail(failure_slot(owner), OCHRE_IO,
                "catalog: a write of %zu bytes at %" PRIu64 " is not a page", size, offset);
    }
    uint32_t number = (uint32_t) (offset / OCH_CATALOG_PAGE_SIZE) + 1;
    if (owner->copy != NULL)
        och_catalog_copy_note(owner->copy, number);
    return och_file_write(
            file->file, offset, stamped(owner, bytes, number), size, failure_slot(owner));
}

/*
 * A segment is written as a header of a sector, records, and at last the first
 * 12 bytes of the header again.  We see which is which by size and place.
 */
static ochre_status
write_journal(struct sqlite_file *file, const void *bytes, size_t size, uint64_t offset)
{
    struct och_sqlite_vfs *owner = file->owner;
    struct ochre_error *err = failure_slot(owner);

    if (size == OCH_CATALOG_PAGE_SIZE && file->number_offset + 4 == offset)
        return och_file_write(file->file, offset, stamped(owner, bytes, file->number), size, err);
    if (size == 4)
        note_number(file, bytes, offset);
    if (size == OCH_JOURNAL_SECTOR_SIZE) {
        memcpy(file->header, bytes, OCH_JOURNAL_FACTS_SIZE);
        file->header_offset = offset;
    }
    if (size == COMPLETION_SIZE && offset == file->header_offset) {
        memcpy(file->header, bytes, COMPLETION_SIZE);
        och_journal_header_stamp(file->header, offset);
        return och_file_write(file->file, offset, file->header, sizeof(file->header), err);
    }
    return och_file_write(file->file, offset, bytes, size, err);
}

static int
file_write(sqlite3_file *base, const void *bytes, int size, sqlite3_int64 offset)
{
    struct sqlite_file *file = (struct sqlite_file *) base;
    ochre_status status = refuse_if_frozen(file->owner);
    if (status == OCHRE_OK && file->is_journal)
        status = write_journal(file, bytes, (size_t) size, (uint64_t) offset);
    else if (status == OCHRE_OK)
        status = write_db(file, bytes, (size_t) size, (uint64_t) offset);
    return changed(file->owner, status, SQLITE_IOERR_WRITE);
}

static int
file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct sqlite_file *file = (struct sqlite_file *) base;
    struct och_sqlite_vfs *owner = file->owner;
    ochre_status status = refuse_if_frozen(owner);
    /* Cutting the journal is the commit: from then on nobody can undo it, so the
     * copy must know of it before. */
    if (status == OCHRE_OK && file->is_journal && owner->copy != NULL && owner->db != NULL)
        status = och_catalog_copy_append(owner->copy, owner->db, failure_slot(owner));
    if (status == OCHRE_OK)
        status = och_file_truncate(file->file, (uint64_t) size, failure_slot(file->owner));
    return changed(file->owner, status, SQLITE_IOERR_TRUNCATE);
}

static int
file_sync(sqlite3_file *base, int flags)
{
    (void) flags;
    struct sqlite_file *file = (struct sqlite_file *) base;
    struct och_sqlite_vfs *owner = file->owner;
    ochre_status status = refuse_if_frozen(owner);
    if (status == OCHRE_OK)
        status = och_file_sync(file->file, failure_slot(owner));
    if (status == OCHRE_OK && file->name_is_new) {
        status = och_vfs_sync_dir(owner->vfs, "", failure_slot(owner));
        file->name_is_new = status != OCHRE_OK;
    }
    return changed(owner, status, SQLITE_IOERR_FSYNC);
}

static int
file_size(sqlite3_file *base, sqlite3_int64 *size_out)
{
    struct sqlite_file *file = (struct sqlite_file *) base;
    uint64_t size = 0;
    ochre_status status = och_file_size(file->file, &size, failure_slot(file->owner));
    *size_out = (sqlite3_int64) size;
    return code_of(status, SQLITE_IOERR_FSTAT);
}

static int
file_lock(sqlite3_file *base, int level)
{
    (void) base;
    (void) level;
    return SQLITE_OK;
}

static int
file_check_lock(sqlite3_file *base, int *reserved_out)
{
    (void) base;
    *reserved_out = 0;
    return SQLITE_OK;
}

static int
file_control(sqlite3_file *base, int operation, void *argument)
{
    (void) base;
    (void) operation;
    (void) argument;
    return SQLITE_NOTFOUND;
}

static int
file_sector_size(sqlite3_file *base)
{
    (void) base;
    return OCH_JOURNAL_SECTOR_SIZE;
}

/* A write that a power cut tears leaves the bytes beside it alone; this is also
 * what makes SQLite's journal header one sector of 512 bytes. */
static int
file_characteristics(sqlite3_file *base)
{
    (void) base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* Version 1: no shared memory, so no write-ahead mode, and no mapping. */
static const sqlite3_io_methods methods = {
        .iVersion = 1,
        .xClose = file_close,
        .xRead = file_read,
        .xWrite = file_write,
        .xTruncate = file_truncate,
        .xSync = file_sync,
        .xFileSize = file_size,
        .xLock = file_lock,
        .xUnlock = file_lock,
        .xCheckReservedLock = file_check_lock,
        .xFileControl = file_control,
        .xSectorSize = file_sector_size,
        .xDeviceCharacteristics = file_characteristics,
};

static struct och_sqlite_vfs *
owner_of(sqlite3_vfs *base)
{
    return base->pAppData;
}

static int
vfs_open(sqlite3_vfs *base, const char *name, sqlite3_file *file_base, int flags, int *flags_out)
{
    struct och_sqlite_vfs *owner = owner_of(base);
    struct sqlite_file *file = (struct sqlite_file *) file_base;
    bool is_journal = name != NULL && strcmp(name, OCH_CATALOG_JOURNAL) == 0;
    bool is_db = name != NULL && strcmp(name, OCH_CATALOG_FILE) == 0;
    *file = (struct sqlite_file){.owner = owner, .is_journal = is_journal};
    if (!is_journal && !is_db)
        return SQLITE_CANTOPEN;
    bool creates = (flags & SQLITE_OPEN_CREATE) != 0;
    unsigned wanted = OCH_OPEN_READ | OCH_OPEN_WRITE | (creates ? OCH_OPEN_CREATE : 0u);
    ochre_status status = och_vfs_open(owner->vfs, name, wanted, &file->file, failure_slot(owner));
    if (status != OCHRE_OK)
        return code_of(status, SQLITE_CANTOPEN);

    /* It may have been there without being durable, so only the flag counts. */
    file->name_is_new = creates;
    if (is_db)
        owner->db = file->file;
    file->base.pMethods = &methods;
    if (flags_out != NULL)
        *flags_out = flags;
    return SQLITE_OK;
}

static int
vfs_delete(sqlite3_vfs *base, const char *name, int sync_dir)
{
    struct och_sqlite_vfs *owner = owner_of(base);
    ochre_status status = refuse_if_frozen(owner);
    if (status == OCHRE_OK) {
        struct ochre_error err = {.status = OCHRE_OK};
        status = och_vfs_remove(owner->vfs, name, &err);
        if (status == OCHRE_NOT_FOUND)
            return SQLITE_IOERR_DELETE_NOENT;
        if (status != OCHRE_OK && owner->failure.status == OCHRE_OK)
            owner->failure = err;
    }
    if (status == OCHRE_OK && sync_dir != 0)
        status = och_vfs_sync_dir(owner->vfs, "", failure_slot(owner));
    return changed(owner, status, SQLITE_IOERR_DELETE);
}

static int
vfs_access(sqlite3_vfs *base, const char *name, int flags, int *yes_out)
{
    (void) flags;
    struct och_sqlite_vfs *owner = owner_of(base);
    *yes_out = 0;
    if (strcmp(name, OCH_CATALOG_JOURNAL) != 0 && strcmp(name, OCH_CATALOG_FILE) != 0)
        return SQLITE_OK; /* catalog.db-wal, which never exists */
    bool exists = false;
    ochre_status status = och_vfs_exists(owner->vfs, name, &exists, failure_slot(owner));
    *yes_out = exists;
    return code_of(status, SQLITE_IOERR_ACCESS);
}

static int
vfs_full_path(sqlite3_vfs *base, const char *name, int size, char *path_out)
{
    (void) base;
    int length = snprintf(path_out, (size_t) size, "%s", name);
    return length >= 0 && length < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* SQLite seeds its generator from the default VFS; this is for completeness. */
static int
vfs_randomness(sqlite3_vfs *base, int size, char *bytes_out)
{
    struct och_sqlite_vfs *owner = owner_of(base);
    for (int i = 0; i < size; i++)
        bytes_out[i] = (char) (och_random(&owner->seed) & 0x7f);
    return size;
}

/* Nothing is ever locked by another, so SQLite has nothing to wait for. */
static int
vfs_sleep(sqlite3_vfs *base, int microseconds)
{
    (void) base;
    return microseconds;
}

/* No statement of ours asks for the time: 1970-01-01 as a Julian day. */
static int
vfs_time(sqlite3_vfs *base, double *day_out)
{
    (void) base;
    *day_out = 2440587.5;
    return SQLITE_OK;
}

static int
vfs_last_error(sqlite3_vfs *base, int size, char *text_out)
{
    (void) base;
    if (size > 0)
        text_out[0] = '\0';
    return 0;
}

ochre_status
och_sqlite_vfs_open(struct och_mem *mem, struct och_vfs *vfs, struct och_sqlite_vfs **files_out,
        struct ochre_error *err)
{
    *files_out = NULL;
    struct och_sqlite_vfs *files = och_mem_take_zeroed(mem, sizeof(*files));
    if (files == NULL)
        return och_fail_memory(err);
    files->mem = mem;
    files->vfs = vfs;
    files->seed = 1;
    /* The address is what no other VFS in this process has. */
    (void) snprintf(files->name, sizeof(files->name), "ochre-%016" PRIxPTR, (uintptr_t) files);
    files->base = (sqlite3_vfs){
            .iVersion = 1,
            .szOsFile = (int) sizeof(struct sqlite_file),
            .mxPathname = PATH_SIZE_MAX,
            .zName = files->name,
            .pAppData = files,
            .xOpen = vfs_open,
            .xDelete = vfs_delete,
            .xAccess = vfs_access,
            .xFullPathname = vfs_full_path,
            .xRandomness = vfs_randomness,
            .xSleep = vfs_sleep,
            .xCurrentTime = vfs_time,
            .xGetLastError = vfs_last_error,
    };
    if (sqlite3_vfs_register(&files->base, 0) != SQLITE_OK) {
        och_mem_release(mem, files, sizeof(*files));
        return och_fail_memory(err); /* of SQLite's own initialisation */
    }
    *files_out = files;
    return OCHRE_OK;
}

void
och_sqlite_vfs_close(struct och_sqlite_vfs *files)
{
    if (files == NULL)
        return;
    (void) sqlite3_vfs_unregister(&files->base); /* fails only where it never was registered */
    och_mem_release(files->mem, files, sizeof(*files));
}

void
och_sqlite_vfs_set_copy(struct och_sqlite_vfs *files, struct och_catalog_copy *copy)
{
    files->copy = copy;
}

const char *
och_sqlite_vfs_name(const struct och_sqlite_vfs *files)
{
    return files->name;
}

void
och_sqlite_vfs_freeze(struct och_sqlite_vfs *files)
{
    files->frozen = true;
}

void
och_sqlite_vfs_thaw(struct och_sqlite_vfs *files)
{
    files->frozen = false;
}

void
och_sqlite_vfs_forget(struct och_sqlite_vfs *files)
{
    files->failure = (struct ochre_error){.status = OCHRE_OK};
}

ochre_status
och_sqlite_vfs_failure(const struct och_sqlite_vfs *files, struct ochre_error *err)
{
    if (files->failure.status != OCHRE_OK && err != NULL)
        *err = files->failure;
    return files->failure.status;
}
