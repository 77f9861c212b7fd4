#include "storage/backup_manifest.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "storage/directory.h"

#define MAJOR 1u
#define HEAD_SIZE ((size_t) 64)
#define HASH_SIZE ((size_t) 8)
#define MEMBERS_ROOM_MIN ((size_t) 16)
enum { HEX_SIZE = 16 };

/* 0 magic 16 | 16 u32 major | 20 u32 minor | 24 uuid 16 | 40 u64 made | 48 u64 members |
 * 56 u64 bytes | members | u64 XXH3 of all before */
static const char magic[16] = "ochre backup";

void
och_backup_manifest_init(struct och_backup_manifest *manifest, struct och_mem *mem)
{
    *manifest = (struct och_backup_manifest){.mem = mem};
}

void
och_backup_manifest_clear(struct och_backup_manifest *manifest)
{
    och_mem_release(manifest->mem, manifest->members, manifest->room * sizeof(*manifest->members));
    och_backup_manifest_init(manifest, manifest->mem);
}

/* --- paths ------------------------------------------------------------------ */

/* Behind `prefix`, or NULL when the path has none. */
static const char *
skip_text(const char *path, const char *prefix)
{
    size_t size = strlen(prefix);
    return path != NULL && strncmp(path, prefix, size) == 0 ? path + size : NULL;
}

static const char *
skip_hex(const char *path)
{
    return path != NULL && strspn(path, "0123456789abcdef") == HEX_SIZE ? path + HEX_SIZE : NULL;
}

/* A UUID as ochre writes it: no second spelling of one directory. */
static const char *
skip_uuid(const char *path)
{
    char text[OCH_UUID_TEXT_SIZE + 1];
    struct och_uuid id;
    if (path == NULL || strnlen(path, OCH_UUID_TEXT_SIZE) < OCH_UUID_TEXT_SIZE ||
            !och_uuid_parse(path, OCH_UUID_TEXT_SIZE, &id))
        return NULL;
    och_uuid_put(id, text);
    return skip_text(path, text);
}

static bool
is_text(const char *path, const char *text)
{
    return path != NULL && strcmp(path, text) == 0;
}

bool
och_backup_is_member(const char *path)
{
    if (is_text(path, "FORMAT") || is_text(path, "catalog.db"))
        return true;
    if (is_text(skip_hex(skip_text(path, "log/")), ".log"))
        return true;
    const char *file = skip_hex(skip_text(skip_uuid(skip_text(path, OCH_DIR_SEGMENTS "/")), "/"));
    return is_text(file, ".seg") || is_text(skip_hex(skip_text(file, ".")), ".del");
}

void
och_backup_stored(const struct och_backup_member *member, char path[OCH_BACKUP_STORED_SIZE])
{
    (void) snprintf(path, OCH_BACKUP_STORED_SIZE, "files/%016llx-%016llx",
            (unsigned long long) member->hash, (unsigned long long) member->size);
}

uint64_t
och_backup_hash(uint64_t hash, const void *bytes, size_t size)
{
    return och_hash64_seeded(bytes, size, hash);
}

/* --- members ---------------------------------------------------------------- */

static ochre_status
grow(struct och_backup_manifest *manifest, struct ochre_error *err)
{
    if (manifest->n_members < manifest->room)
        return OCHRE_OK;
    size_t room = manifest->room == 0 ? MEMBERS_ROOM_MIN : manifest->room * 2;
    struct och_backup_member *members = och_mem_resize(manifest->mem, manifest->members,
            manifest->room * sizeof(*members), room * sizeof(*members));
    if (members == NULL)
        return och_fail_memory(err);
    manifest->members = members;
    manifest->room = room;
    return OCHRE_OK;
}

ochre_status
och_backup_manifest_add(struct och_backup_manifest *manifest,
        const struct och_backup_member *member, struct ochre_error *err)
{
    size_t n = manifest->n_members;
    if (!och_backup_is_member(member->path))
        return och_fail(err, OCHRE_CORRUPT, "\"%.100s\" is not the path of a database's file",
                member->path);
    if (n > 0 && strcmp(manifest->members[n - 1].path, member->path) >= 0)
        return och_fail(err, OCHRE_CORRUPT, "%s is out of order", member->path);
    if (n == OCH_BACKUP_MEMBERS_MAX)
        return och_fail(err, OCHRE_TOO_LARGE, "more than %u files", OCH_BACKUP_MEMBERS_MAX);
    if (member->size > UINT64_MAX - manifest->n_bytes)
        return och_fail(err, OCHRE_CORRUPT, "the size of %s, %llu, cannot be", member->path,
                (unsigned long long) member->size);
    ochre_status status = grow(manifest, err);
    if (status != OCHRE_OK)
        return status;
    manifest->members[manifest->n_members++] = *member;
    manifest->n_bytes += member->size;
    return OCHRE_OK;
}

/* --- bytes ------------------------------------------------------------------ */

void
och_backup_manifest_encode(const struct och_backup_manifest *manifest, struct och_buf *buf)
{
    size_t begin = buf->size;
    och_buf_put(buf, magic, sizeof(magic));
    och_buf_put_u32(buf, MAJOR);
    och_buf_put_u32(buf, 0);
    och_buf_put(buf, manifest->database.bytes, sizeof(manifest->database.bytes));
    och_buf_put_u64(buf, manifest->made_s);
    och_buf_put_u64(buf, manifest->n_members);
    och_buf_put_u64(buf, manifest->n_bytes);
    for (size_t i = 0; i < manifest->n_members; i++) {
        const struct och_backup_member *member = &manifest->members[i];
        och_buf_put_u64(buf, member->size);
        och_buf_put_u64(buf, member->hash);
        och_buf_put_bytes(buf, member->path, strlen(member->path));
    }
    if (och_buf_status(buf) == OCHRE_OK)
        och_buf_put_u64(buf, och_hash64(buf->data + begin, buf->size - begin));
}

static ochre_status
read_member(
        struct och_backup_manifest *manifest, struct och_reader *reader, struct ochre_error *err)
{
    struct och_backup_member member = {.path = ""};
    member.size = och_reader_u64(reader);
    member.hash = och_reader_u64(reader);
    uint32_t path_size = och_reader_u32(reader);
    const char *path = och_reader_bytes(reader, path_size);
    if (reader->failed || path == NULL)
        return och_fail(
                err, OCHRE_CORRUPT, "BACKUP ends within its member %zu", manifest->n_members);
    if (path_size >= sizeof(member.path))
        return och_fail(err, OCHRE_CORRUPT, "BACKUP has a path of %u bytes; they have at most %d",
                (unsigned) path_size, OCH_BACKUP_PATH_SIZE - 1);
    memcpy(member.path, path, path_size);
    if (strlen(member.path) != path_size)
        return och_fail(err, OCHRE_CORRUPT, "BACKUP has a path with a NUL in it");
    return och_backup_manifest_add(manifest, &member, err);
}

static ochre_status
check_frame(const char *bytes, size_t size, struct ochre_error *err)
{
    if (size < HEAD_SIZE + HASH_SIZE || memcmp(bytes, magic, sizeof(magic)) != 0)
        return och_fail(err, OCHRE_CORRUPT, "BACKUP is not that of an ochre backup");
    if (och_load_u64(bytes + size - HASH_SIZE) != och_hash64(bytes, size - HASH_SIZE))
        return och_fail(err, OCHRE_CORRUPT, "BACKUP fails its checksum");
    uint32_t major = och_load_u32(bytes + sizeof(magic));
    if (major != MAJOR)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "the backup has format %u; this version of ochre reads format %u", (unsigned) major,
                MAJOR);
    return OCHRE_OK;
}

ochre_status
och_backup_manifest_decode(struct och_backup_manifest *manifest, const void *bytes, size_t size,
        struct ochre_error *err)
{
    ochre_status status = check_frame(bytes, size, err);
    if (status != OCHRE_OK)
        return status;
    struct och_reader reader;
    och_reader_init(&reader, bytes, size - HASH_SIZE);
    manifest->hash = och_load_u64((const char *) bytes + size - HASH_SIZE);
    (void) och_reader_bytes(&reader, sizeof(magic) + 8); /* looked at above */
    const char *id = och_reader_bytes(&reader, sizeof(manifest->database.bytes));
    if (id != NULL)
        memcpy(manifest->database.bytes, id, sizeof(manifest->database.bytes));
    manifest->made_s = och_reader_u64(&reader);
    uint64_t n_members = och_reader_u64(&reader);
    uint64_t n_bytes = och_reader_u64(&reader);
    /* A count that lies meets the end of the bytes long before the end of memory. */
    for (uint64_t i = 0; i < n_members && status == OCHRE_OK; i++)
        status = read_member(manifest, &reader, err);
    if (status != OCHRE_OK)
        return status;
    if (reader.left != 0 || manifest->n_bytes != n_bytes)
        return och_fail(err, OCHRE_CORRUPT,
                "BACKUP lists %llu files of %llu bytes, and says %llu bytes",
                (unsigned long long) n_members, (unsigned long long) manifest->n_bytes,
                (unsigned long long) n_bytes);
    return OCHRE_OK;
}
