#include "storage/backup_stream.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "storage/backup_manifest.h"
#include "storage/directory.h"

#define MAJOR 1u
#define SLOTS_MIN ((size_t) 64)
enum { MAGIC_SIZE = 16, MAJOR_AT = 16, MINOR_AT = 20, SIZE_AT = 24, CHECKSUM_AT = 32 };

static_assert(CHECKSUM_AT + 8 == OCH_BACKUP_STREAM_HEAD_SIZE, "the checksum ends the head");
static_assert(MAGIC_SIZE + 8 == OCH_BACKUP_STREAM_END_SIZE, "a magic and a hash are the end");

static const char head_magic[MAGIC_SIZE] = "ochre stream";
static const char end_magic[MAGIC_SIZE] = "ochre end";

/* --- head and end ------------------------------------------------------------- */

void
och_backup_stream_put_head(uint64_t manifest_size, char head[OCH_BACKUP_STREAM_HEAD_SIZE])
{
    memcpy(head, head_magic, MAGIC_SIZE);
    och_store_u32(head + MAJOR_AT, MAJOR);
    och_store_u32(head + MINOR_AT, 0);
    och_store_u64(head + SIZE_AT, manifest_size);
    och_store_u64(head + CHECKSUM_AT, och_hash64(head, CHECKSUM_AT));
}

ochre_status
och_backup_stream_get_head(const char head[OCH_BACKUP_STREAM_HEAD_SIZE],
        uint64_t *manifest_size_out, struct ochre_error *err)
{
    *manifest_size_out = 0;
    if (memcmp(head, head_magic, MAGIC_SIZE) != 0)
        return och_fail(err, OCHRE_INVALID,
                "what is read is not a backup as `ochre backup` "
                "writes it to a stream");
    if (och_load_u64(head + CHECKSUM_AT) != och_hash64(head, CHECKSUM_AT))
        return och_fail(err, OCHRE_CORRUPT, "the stream's first bytes fail their checksum");
    uint32_t major = och_load_u32(head + MAJOR_AT);
    if (major != MAJOR)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "the stream has format %u; this version of ochre reads format %u", (unsigned) major,
                MAJOR);
    *manifest_size_out = och_load_u64(head + SIZE_AT);
    if (*manifest_size_out > OCH_BACKUP_MANIFEST_SIZE_MAX)
        return och_fail(err, OCHRE_TOO_LARGE,
                "the stream has a manifest of %llu bytes; at most %u are read",
                (unsigned long long) *manifest_size_out, OCH_BACKUP_MANIFEST_SIZE_MAX);
    return OCHRE_OK;
}

void
och_backup_stream_put_end(uint64_t manifest_hash, char end[OCH_BACKUP_STREAM_END_SIZE])
{
    memcpy(end, end_magic, MAGIC_SIZE);
    och_store_u64(end + MAGIC_SIZE, manifest_hash);
}

bool
och_backup_stream_is_end(uint64_t manifest_hash, const char end[OCH_BACKUP_STREAM_END_SIZE])
{
    return memcmp(end, end_magic, MAGIC_SIZE) == 0 &&
            och_load_u64(end + MAGIC_SIZE) == manifest_hash;
}

/* --- files that are one ------------------------------------------------------- */

ochre_status
och_backup_firsts_make(struct och_backup_firsts *firsts, struct och_mem *mem,
        const struct och_backup_manifest *manifest, struct ochre_error *err)
{
    size_t n_slots = SLOTS_MIN;
    while (n_slots < 2 * manifest->n_members)
        n_slots *= 2;
    *firsts = (struct och_backup_firsts){.mem = mem,
            .slots = och_mem_take_zeroed(mem, n_slots * sizeof(*firsts->slots)),
            .n_slots = n_slots};
    return firsts->slots == NULL ? och_fail_memory(err) : OCHRE_OK;
}

void
och_backup_firsts_clear(struct och_backup_firsts *firsts)
{
    if (firsts->slots != NULL)
        och_mem_release(firsts->mem, firsts->slots, firsts->n_slots * sizeof(*firsts->slots));
    *firsts = (struct och_backup_firsts){.slots = NULL};
}

static bool
is_of_a_segment(const struct och_backup_member *member)
{
    return strncmp(member->path, OCH_DIR_SEGMENTS "/", sizeof(OCH_DIR_SEGMENTS)) == 0;
}

size_t
och_backup_firsts_of(
        struct och_backup_firsts *firsts, const struct och_backup_manifest *manifest, size_t i)
{
    const struct och_backup_member *members = manifest->members;
    size_t slot = members[i].hash & (firsts->n_slots - 1);
    if (!is_of_a_segment(&members[i]))
        return i;
    for (; firsts->slots[slot] != 0; slot = (slot + 1) & (firsts->n_slots - 1)) {
        size_t other = firsts->slots[slot] - 1;
        if (members[other].hash == members[i].hash && members[other].size == members[i].size)
            return other;
    }
    firsts->slots[slot] = (uint32_t) i + 1;
    return i;
}
