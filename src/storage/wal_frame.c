#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "storage/wal_internal.h"

#define HEADER_MAGIC UINT64_C(0x474f4c455248434f) /* "OCHRELOG" */
#define HEADER_SIZE ((size_t) 56)
#define FULL_SIZE_END ((size_t) 68) /* with the size of the file, and a checksum of both */
#define NONCE_END ((size_t) 80)     /* with the nonce of the table beside it, likewise */
#define NUMBER_DIGITS 16

void
och_wal_path(char path[WAL_PATH_SIZE], uint64_t number, const char *suffix)
{
    (void) snprintf(path, WAL_PATH_SIZE, WAL_DIR "/%016llx%s", (unsigned long long) number, suffix);
}

bool
och_wal_path_number(const char *name, const char *suffix, uint64_t *number_out)
{
    uint64_t number = 0;
    for (size_t i = 0; i < NUMBER_DIGITS; i++) {
        char c = name[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned) (c - '0')
                : c >= 'a' && c <= 'f'        ? (unsigned) (c - 'a') + 10
                                              : 16;
        if (digit == 16)
            return false;
        number = number << 4 | digit;
    }
    *number_out = number;
    return strcmp(name + NUMBER_DIGITS, suffix) == 0;
}

static uint32_t
frame_crc(const char *bytes, uint64_t salt)
{
    uint32_t crc = och_crc32c(0, &salt, sizeof(salt));
    return och_crc32c(crc, bytes + 4, WAL_FRAME_SIZE - 4);
}

void
och_wal_frame_put(char bytes[WAL_FRAME_SIZE], const struct wal_frame *frame, uint64_t salt)
{
    och_store_u32(bytes + 4, frame->payload_crc);
    och_store_u64(bytes + 8, frame->lsn);
    och_store_u64(bytes + 16, frame->position);
    och_store_u64(bytes + 24, frame->synced_lsn);
    och_store_u32(bytes + 32, frame->collection);
    och_store_u32(bytes + 36, frame->payload_size);
    och_store_u32(bytes + 40, (uint32_t) frame->type | (uint32_t) frame->flags << 16);
    och_store_u32(bytes + 44, 0);
    och_store_u32(bytes, frame_crc(bytes, salt));
}

bool
och_wal_frame_get(const char *bytes, uint64_t salt, struct wal_frame *frame_out)
{
    if (och_load_u32(bytes) != frame_crc(bytes, salt))
        return false;
    uint32_t type_flags = och_load_u32(bytes + 40);
    *frame_out = (struct wal_frame){
            .payload_crc = och_load_u32(bytes + 4),
            .lsn = och_load_u64(bytes + 8),
            .position = och_load_u64(bytes + 16),
            .synced_lsn = och_load_u64(bytes + 24),
            .collection = och_load_u32(bytes + 32),
            .payload_size = och_load_u32(bytes + 36),
            .type = (uint16_t) type_flags,
            .flags = (uint16_t) (type_flags >> 16),
    };
    return frame_out->lsn != 0;
}

uint64_t
och_wal_record_size(uint64_t payload_size)
{
    return WAL_FRAME_SIZE + ((payload_size + 7) & ~UINT64_C(7));
}

static void
put_header_copy(char *bytes, const struct wal_header *header)
{
    och_store_u64(bytes, HEADER_MAGIC);
    och_store_u32(bytes + 8, WAL_VERSION);
    memcpy(bytes + 12, header->database.bytes, sizeof(header->database.bytes));
    och_store_u64(bytes + 28, header->number);
    och_store_u64(bytes + 36, header->first_lsn);
    och_store_u64(bytes + 44, header->salt);
    och_store_u32(bytes + HEADER_SIZE - 4, och_crc32c(0, bytes, HEADER_SIZE - 4));
    och_store_u64(bytes + HEADER_SIZE, header->full_size);
    och_store_u32(bytes + FULL_SIZE_END - 4, och_crc32c(0, bytes, FULL_SIZE_END - 4));
    och_store_u64(bytes + FULL_SIZE_END, header->reach_nonce);
    och_store_u32(bytes + NONCE_END - 4, och_crc32c(0, bytes, NONCE_END - 4));
}

void
och_wal_header_put(char page[WAL_PAGE], const struct wal_header *header)
{
    memset(page, 0, WAL_PAGE);
    put_header_copy(page, header);
    put_header_copy(page + WAL_HEADER_COPY_AT, header);
}

static bool
get_header_copy(const char *bytes, struct wal_header *header_out)
{
    if (och_load_u64(bytes) != HEADER_MAGIC)
        return false;
    if (och_load_u32(bytes + HEADER_SIZE - 4) != och_crc32c(0, bytes, HEADER_SIZE - 4))
        return false;
    *header_out = (struct wal_header){.version = och_load_u32(bytes + 8)};
    if (header_out->version != WAL_VERSION)
        return true; /* a later one keeps these 56 bytes and their checksum where they are */
    memcpy(header_out->database.bytes, bytes + 12, sizeof(header_out->database.bytes));
    header_out->number = och_load_u64(bytes + 28);
    header_out->first_lsn = och_load_u64(bytes + 36);
    header_out->salt = och_load_u64(bytes + 44);
    if (och_load_u32(bytes + FULL_SIZE_END - 4) == och_crc32c(0, bytes, FULL_SIZE_END - 4))
        header_out->full_size = och_load_u64(bytes + HEADER_SIZE);
    if (och_load_u32(bytes + NONCE_END - 4) == och_crc32c(0, bytes, NONCE_END - 4))
        header_out->reach_nonce = och_load_u64(bytes + FULL_SIZE_END);
    return true;
}

bool
och_wal_header_get(const char page[WAL_PAGE], struct wal_header *header_out)
{
    struct wal_header copy = {.number = 0};
    bool has_copy = get_header_copy(page + WAL_HEADER_COPY_AT, &copy);
    if (!get_header_copy(page, header_out)) {
        *header_out = copy;
        return has_copy;
    }
    if (has_copy && header_out->full_size == 0)
        header_out->full_size = copy.full_size;
    if (has_copy && header_out->reach_nonce == 0)
        header_out->reach_nonce = copy.reach_nonce;
    return true;
}
