#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "storage/wal_internal.h"

ochre_status
och_wal_fetch(struct wal_scan *scan, uint64_t offset, size_t size, const char **bytes_out,
        struct ochre_error *err)
{
    *bytes_out = scan->window;
    if (offset >= scan->window_at && offset + size <= scan->window_at + scan->window_used) {
        *bytes_out = scan->window + (offset - scan->window_at);
        return OCHRE_OK;
    }
    struct och_mem *mem = scan->mem;
    if (size > scan->window_size) {
        size_t room = size < WAL_WINDOW_MIN ? WAL_WINDOW_MIN : size;
        char *window = och_mem_take(mem, room);
        if (window == NULL)
            return och_fail_memory(err);
        och_mem_release(mem, scan->window, scan->window_size);
        scan->window = window;
        scan->window_size = room;
    }
    uint64_t left = scan->file_size - offset;
    size_t want = left < scan->window_size ? (size_t) left : scan->window_size;
    size_t n_read = 0;
    ochre_status status = och_file_read(scan->file, offset, scan->window, want, &n_read, err);
    /* Where another process opens the log meanwhile, what is behind its last record goes. */
    if (status == OCHRE_OK && n_read < size)
        status = och_fail(err, OCHRE_CORRUPT,
                "a log file ends at byte %llu where %zu bytes from %llu were wanted",
                (unsigned long long) (offset + n_read), size, (unsigned long long) offset);
    scan->window_at = offset;
    scan->window_used = status == OCHRE_OK ? n_read : 0;
    *bytes_out = scan->window;
    return status;
}

ochre_status
och_wal_read_frame(struct wal_scan *scan, uint64_t offset, bool *valid_out, bool *cut_out,
        struct wal_frame *frame, struct ochre_error *err)
{
    *valid_out = false;
    *cut_out = false;
    if (offset > scan->file_size || scan->file_size - offset < WAL_FRAME_SIZE)
        return OCHRE_OK;
    const char *bytes;
    ochre_status status = och_wal_fetch(scan, offset, WAL_FRAME_SIZE, &bytes, err);
    if (status != OCHRE_OK)
        return status;
    bool is_frame = och_wal_frame_get(bytes, scan->salt, frame) &&
            frame->payload_size <= OCH_WRITE_SIZE_MAX;
    *cut_out = is_frame && och_wal_record_size(frame->payload_size) > scan->file_size - offset;
    *valid_out = is_frame && !*cut_out;
    return OCHRE_OK;
}

ochre_status
och_wal_synced_after(
        struct wal_scan *scan, uint64_t offset, uint64_t *lsn_out, struct ochre_error *err)
{
    *lsn_out = 0;
    offset = (offset + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
    for (; offset < scan->file_size; offset += WAL_PAGE) {
        bool valid, cut;
        struct wal_frame frame;
        ochre_status status = och_wal_read_frame(scan, offset, &valid, &cut, &frame, err);
        if (status != OCHRE_OK)
            return status;
        if (valid && frame.synced_lsn > *lsn_out)
            *lsn_out = frame.synced_lsn;
    }
    return OCHRE_OK;
}

uint64_t
och_wal_copy_size(uint64_t used, uint64_t file_size)
{
    if (used >= file_size)
        return file_size;
    uint64_t size = (used + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE + WAL_PAGE;
    return size < file_size ? size : file_size;
}

ochre_status
och_wal_rest_is_zero(struct wal_scan *scan, uint64_t at, bool *zero_out, struct ochre_error *err)
{
    static const char zeros[WAL_PAGE];
    *zero_out = at <= scan->file_size;
    for (; at < scan->file_size && *zero_out; at += WAL_PAGE) {
        uint64_t left = scan->file_size - at;
        size_t size = left < WAL_PAGE ? (size_t) left : WAL_PAGE;
        const char *bytes;
        ochre_status status = och_wal_fetch(scan, at, size, &bytes, err);
        if (status != OCHRE_OK)
            return status;
        *zero_out = memcmp(bytes, zeros, size) == 0;
    }
    return OCHRE_OK;
}

ochre_status
och_wal_is_cut(struct wal_scan *scan, uint64_t offset, bool *cut_out, struct ochre_error *err)
{
    bool is_space = false;
    /* A file of before a header said how long it is was cut behind its last record. */
    *cut_out = scan->full_size != 0 ? scan->file_size < scan->full_size
                                    : scan->file_size != offset && scan->file_size % WAL_PAGE != 0;
    if (!*cut_out || offset + WAL_PAGE > scan->file_size)
        return OCHRE_OK;
    ochre_status status = och_wal_rest_is_zero(scan, offset, &is_space, err);
    *cut_out = !is_space;
    return status;
}

ochre_status
och_wal_fail_damaged(uint64_t number, uint64_t lsn, struct ochre_error *err)
{
    char path[WAL_PATH_SIZE];
    och_wal_path(path, number, WAL_SUFFIX);
    return och_fail(err, OCHRE_CORRUPT,
            "%s: durable record %llu is missing or damaged; run `ochre repair`, or restore a backup",
            path, (unsigned long long) lsn);
}

void
och_wal_scan_close(struct wal_scan *scan)
{
    och_file_close(scan->file);
    och_mem_release(scan->mem, scan->window, scan->window_size);
    *scan = (struct wal_scan){.mem = scan->mem};
}

ochre_status
och_wal_scan_open(struct wal_scan *scan, const struct och_wal_options *options, uint64_t number,
        uint64_t salt, unsigned flags, struct ochre_error *err)
{
    *scan = (struct wal_scan){.mem = options->mem, .salt = salt};
    char path[WAL_PATH_SIZE];
    och_wal_path(path, number, WAL_SUFFIX);
    ochre_status status = och_vfs_open(options->vfs, path, flags, &scan->file, err);
    if (status != OCHRE_OK)
        return status;
    status = och_file_size(scan->file, &scan->file_size, err);
    if (status != OCHRE_OK)
        och_wal_scan_close(scan);
    return status;
}
