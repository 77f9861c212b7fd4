/*
 * fuzz_backup_stream.c - a backup's stream, as found or forged, restored to a simulated
 * disk.
 *
 * The first byte says what is done to the rest: 0 nothing; 1 all checksums are made right
 * in order, as a forger would, as far as it can be read: of the head, of the files whose
 * bytes follow, of the manifest and of the end; 2 the same, and the grant of memory that
 * the next byte says is refused; 3 as 1, and the call of the disk that the next byte says
 * fails.  What is refused leaves nothing on the disk; what is taken leaves the files that
 * the manifest names, with their bytes, and no other.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "api/backup_stream.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "storage/backup_manifest.h"
#include "storage/backup_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AS_FOUND, FORGED, SHORT, FAILING, N_WAYS, SIZE_MOST = 16384 };

struct stream {
    char bytes[SIZE_MOST];
    size_t size, at;
};

static ochre_status
read_stream(void *context, void *bytes, size_t size, size_t *n_read_out, struct ochre_error *err)
{
    struct stream *stream = context;
    (void) err;
    size_t left = stream->size - stream->at;
    *n_read_out = size < left ? size : left;
    if (*n_read_out > 0)
        memcpy(bytes, stream->bytes + stream->at, *n_read_out);
    stream->at += *n_read_out;
    return OCHRE_OK;
}

/* --- a forger ------------------------------------------------------------------ */

/* Give the files the hashes of what follows the manifest. */
static void
forge_files(struct stream *stream, size_t manifest_size, struct och_mem *mem)
{
    char *begin = stream->bytes + OCH_BACKUP_STREAM_HEAD_SIZE;
    size_t at = OCH_BACKUP_STREAM_HEAD_SIZE + manifest_size;
    struct och_backup_manifest manifest;
    struct och_backup_firsts firsts;
    struct och_buf buf;
    och_backup_manifest_init(&manifest, mem);
    och_buf_init(&buf, mem, SIZE_MOST);
    if (och_backup_manifest_decode(&manifest, begin, manifest_size, NULL) != OCHRE_OK)
        goto done;
    och_assert(och_backup_firsts_make(&firsts, mem, &manifest, NULL) == OCHRE_OK);
    for (size_t i = 0; i < manifest.n_members; i++) {
        struct och_backup_member *member = &manifest.members[i];
        size_t first = och_backup_firsts_of(&firsts, &manifest, i);
        if (first != i || member->size > stream->size - at)
            continue;
        /* Those that are one with it, by the hash they have now, stay so. */
        uint64_t old = member->hash;
        uint64_t hash = member->size == 0
                ? 0
                : och_backup_hash(0, stream->bytes + at, (size_t) member->size);
        for (size_t k = i + 1; k < manifest.n_members; k++) {
            if (manifest.members[k].hash == old && manifest.members[k].size == member->size)
                manifest.members[k].hash = hash;
        }
        member->hash = hash;
        at += (size_t) member->size;
    }
    och_backup_firsts_clear(&firsts);
    och_backup_manifest_encode(&manifest, &buf);
    och_assert(och_buf_status(&buf) == OCHRE_OK);
    if (buf.size == manifest_size)
        memcpy(begin, buf.data, buf.size);
    if (stream->size - at == OCH_BACKUP_STREAM_END_SIZE)
        och_backup_stream_put_end(och_load_u64(begin + manifest_size - 8), stream->bytes + at);

done:
    och_buf_clear(&buf);
    och_backup_manifest_clear(&manifest);
}

static void
forge(struct stream *stream)
{
    struct och_mem mem;
    char *head = stream->bytes;
    if (stream->size < OCH_BACKUP_STREAM_HEAD_SIZE + 8)
        return;
    och_mem_init(&mem, NULL);
    och_store_u64(head + OCH_BACKUP_STREAM_HEAD_SIZE - 8,
            och_hash64(head, OCH_BACKUP_STREAM_HEAD_SIZE - 8));
    uint64_t size;
    if (och_backup_stream_get_head(head, &size, NULL) == OCHRE_OK && size >= 8 &&
            size <= stream->size - OCH_BACKUP_STREAM_HEAD_SIZE) {
        char *manifest = head + OCH_BACKUP_STREAM_HEAD_SIZE;
        och_store_u64(manifest + size - 8, och_hash64(manifest, (size_t) size - 8));
        forge_files(stream, (size_t) size, &mem);
    }
    och_assert(och_mem_used(&mem) == 0);
}

/* --- what is on the disk ---------------------------------------------------------- */

struct walk {
    struct sim_disk *disk;
    const char *dir;
    size_t n_files;
};

static ochre_status
visit(void *context, const char *name, bool is_dir)
{
    struct walk *walk = context;
    char path[OCH_BACKUP_PATH_SIZE];
    size_t size = strlen(walk->dir) + strlen(name) + 2;
    och_assert(size <= sizeof(path));
    memcpy(path, walk->dir, strlen(walk->dir) + 1);
    if (path[0] != '\0')
        strcat(path, "/"); /* NOLINT: it fits, as asserted */
    strcat(path, name);    /* NOLINT */
    if (is_dir) {
        struct walk below = {.disk = walk->disk, .dir = path};
        och_assert(och_vfs_list(sim_disk_vfs(walk->disk), path, visit, &below, NULL) == OCHRE_OK);
        walk->n_files += below.n_files;
        return OCHRE_OK;
    }
    if (strcmp(path, "LOCK") == 0 || strcmp(path, "RESTORING") == 0)
        return OCHRE_OK;
    och_assert(och_backup_is_member(path));
    walk->n_files++;
    return OCHRE_OK;
}

static size_t
count_files(struct sim_disk *disk)
{
    struct walk walk = {.disk = disk, .dir = ""};
    och_assert(och_vfs_list(sim_disk_vfs(disk), "", visit, &walk, NULL) == OCHRE_OK);
    return walk.n_files;
}

static ochre_status
refuse_all_but_the_mark(void *context, const char *name, bool is_dir)
{
    (void) context;
    (void) is_dir;
    /* The mark, or LOCK beside it, could not be locked. */
    return strcmp(name, "RESTORING") == 0 || strcmp(name, "LOCK") == 0 ? OCHRE_OK : OCHRE_EXISTS;
}

static bool
is_empty(struct sim_disk *disk)
{
    return och_vfs_list(sim_disk_vfs(disk), "", refuse_all_but_the_mark, NULL, NULL) == OCHRE_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stream stream;
    static struct sim_machine machine;
    struct och_mem own, mem;
    if (size < 2 || size - 2 > SIZE_MOST)
        return 0;
    int way = data[0] % N_WAYS;
    uint8_t which = data[1];
    stream.size = size - 2;
    stream.at = 0;
    if (stream.size > 0)
        memcpy(stream.bytes, data + 2, stream.size);
    if (way != AS_FOUND)
        forge(&stream);
    och_mem_init(&own, NULL);
    och_mem_init(&mem, NULL);
    sim_machine_init(&machine, 1);
    struct sim_disk *disk = sim_disk_open(&own, 1);
    const struct och_backup_options options = {.mem = &mem, .machine = &machine.machine};
    const struct och_backup_input input = {.read = read_stream, .context = &stream};
    struct och_backup_totals totals;
    if (way == SHORT)
        mem.fail_at = mem.n_grants + 1 + which;
    if (way == FAILING)
        sim_disk_fail(disk, 1 + (uint64_t) which, SIM_IO_ONCE);
    ochre_status status =
            och_restore_stream_vfs(&options, &input, sim_disk_vfs(disk), &totals, NULL);
    sim_disk_fail(disk, 0, SIM_IO_ONCE);
    och_assert(status == OCHRE_OK || status == OCHRE_CORRUPT || status == OCHRE_INVALID ||
            status == OCHRE_UNSUPPORTED || status == OCHRE_TOO_LARGE ||
            (status == OCHRE_NO_MEMORY && way == SHORT) || (status == OCHRE_IO && way == FAILING));
    if (status == OCHRE_OK)
        och_assert(count_files(disk) == totals.n_files);
    else
        och_assert(is_empty(disk));
    sim_disk_close(disk);
    och_assert(och_mem_used(&mem) == 0 && och_mem_used(&own) == 0);
    return 0;
}
