/*
 * backup_stream.h - the ends of a backup that is one stream of bytes.
 *
 *      head        magic, version, how long the manifest is
 *      manifest    the bytes of BACKUP (storage/backup_manifest.h)
 *      contents    of the files, as the manifest lists them, each contents once
 *      end         magic, and which manifest it was
 *
 * Nothing in it says where something lies: that is what the manifest's order and sizes
 * say.  Names of files come from the manifest alone, which admits those that ochre
 * makes itself.
 *
 * The format: docs/formats/backup.md.
 *
 * Threads: one at a time.
 */
#ifndef OCH_STORAGE_BACKUP_STREAM_H
#define OCH_STORAGE_BACKUP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_backup_manifest;
struct och_mem;

enum { OCH_BACKUP_STREAM_HEAD_SIZE = 40, OCH_BACKUP_STREAM_END_SIZE = 24 };

void och_backup_stream_put_head(uint64_t manifest_size, char head[OCH_BACKUP_STREAM_HEAD_SIZE]);

/*
 * How long the manifest behind this head is.
 *
 * Errors: OCHRE_INVALID      not the beginning of such a stream
 *         OCHRE_CORRUPT      damaged
 *         OCHRE_UNSUPPORTED  another version's
 *         OCHRE_TOO_LARGE    longer than OCH_BACKUP_MANIFEST_SIZE_MAX
 */
OCH_MUST_CHECK ochre_status och_backup_stream_get_head(const char head[OCH_BACKUP_STREAM_HEAD_SIZE],
        uint64_t *manifest_size_out, struct ochre_error *err);

/* `manifest_hash`: the last 8 bytes of the manifest. */
void och_backup_stream_put_end(uint64_t manifest_hash, char end[OCH_BACKUP_STREAM_END_SIZE]);

/* Does a stream with this manifest end so? */
bool och_backup_stream_is_end(uint64_t manifest_hash, const char end[OCH_BACKUP_STREAM_END_SIZE]);

/*
 * Which files of a manifest are one: below seg/, where forks have the same files, those
 * of equal size and hash.
 */
struct och_backup_firsts {
    struct och_mem *mem; /* borrowed */
    uint32_t *slots; /* owned: [n_slots] member + 1 of the first with these contents; 0: empty */
    size_t n_slots;  /* a power of two */
};

/* Errors: OCHRE_NO_MEMORY */
OCH_MUST_CHECK ochre_status och_backup_firsts_make(struct och_backup_firsts *firsts,
        struct och_mem *mem, const struct och_backup_manifest *manifest, struct ochre_error *err);
void och_backup_firsts_clear(struct och_backup_firsts *firsts);

/* The first member that member `i` is one file with, or `i`.  Ask for each in order, once
 * or more. */
size_t och_backup_firsts_of(
        struct och_backup_firsts *firsts, const struct och_backup_manifest *manifest, size_t i);

#endif /* OCH_STORAGE_BACKUP_STREAM_H */
