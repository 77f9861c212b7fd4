/*
 * buf.h - growable bytes with a stated maximum, and a cursor to read them back.
 *
 * Everything that is written to disk or the wire is first put together in a
 * buffer, little-endian.  Errors stick: after a refused growth every put does
 * nothing, and och_buf_status says so once at the end, so that encoders stay
 * straight lines.
 *
 * A reader is the other direction: it never runs past its bytes.  A read past
 * the end gives zero and sets `failed`, which is checked once at the end.
 *
 * Threads: one thread at a time.
 */
#ifndef OCH_BASE_BUF_H
#define OCH_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_mem;

struct och_buf {
    struct och_mem *mem; /* borrowed: the account that pays */
    char *data;          /* owned */
    size_t size;         /* bytes written */
    size_t room;         /* bytes allocated */
    size_t size_max;     /* never more than this */
    bool failed;         /* a growth was refused */
    bool full;           /* ... because of size_max, not for want of memory */
};

void och_buf_init(struct och_buf *buf, struct och_mem *mem, size_t size_max);

/* Give the memory back and leave an empty buffer with the same maximum. */
void och_buf_clear(struct och_buf *buf);

/* Forget the bytes, keep the memory, forgive a failure. */
void och_buf_reset(struct och_buf *buf);

/* OCHRE_OK, or OCHRE_NO_MEMORY when anything put since the last reset is missing. */
OCH_MUST_CHECK ochre_status och_buf_status(const struct och_buf *buf);

/* Make room for `size` more bytes; false, and the buffer has failed, if there is none. */
bool och_buf_reserve(struct och_buf *buf, size_t size);

/* `size` new bytes for the caller to fill at once, or NULL.  Here, and not in
 * buf.c, because an answer is thousands of puts of a few bytes. */
OCH_MUST_CHECK static inline char *
och_buf_extend(struct och_buf *buf, size_t size)
{
    if ((buf->failed || size > buf->room - buf->size) && !och_buf_reserve(buf, size))
        return NULL;
    char *bytes = buf->data + buf->size;
    buf->size += size;
    return bytes;
}

static inline void
och_buf_put(struct och_buf *buf, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    char *to = och_buf_extend(buf, size);
    if (to != NULL)
        __builtin_memcpy(to, bytes, size);
}

/* Without its NUL. */
static inline void
och_buf_put_text(struct och_buf *buf, const char *text)
{
    och_buf_put(buf, text, __builtin_strlen(text));
}

static inline void
och_buf_put_u8(struct och_buf *buf, uint8_t value)
{
    och_buf_put(buf, &value, sizeof(value));
}

void och_buf_put_u16(struct och_buf *buf, uint16_t value);
void och_buf_put_u32(struct och_buf *buf, uint32_t value);
void och_buf_put_u64(struct och_buf *buf, uint64_t value);
void och_buf_put_f64(struct och_buf *buf, double value);
/* u32 size, then the bytes. */
void och_buf_put_bytes(struct och_buf *buf, const void *bytes, size_t size);
/* Zero bytes up to a multiple of `unit` (a power of two), counted from the start. */
void och_buf_pad(struct och_buf *buf, size_t unit);

struct och_reader {
    const char *next; /* borrowed */
    size_t left;
    bool failed;
};

void och_reader_init(struct och_reader *reader, const void *bytes, size_t size);
uint8_t och_reader_u8(struct och_reader *reader);
uint16_t och_reader_u16(struct och_reader *reader);
uint32_t och_reader_u32(struct och_reader *reader);
uint64_t och_reader_u64(struct och_reader *reader);
double och_reader_f64(struct och_reader *reader);
/* The next `size` bytes, not copied; NULL when there are fewer. */
const char *och_reader_bytes(struct och_reader *reader, size_t size);

/* Little-endian numbers at an address that need not be aligned. */
static inline uint32_t
och_load_u32(const void *bytes)
{
    uint32_t value;
    __builtin_memcpy(&value, bytes, sizeof(value));
    return value;
}

static inline uint64_t
och_load_u64(const void *bytes)
{
    uint64_t value;
    __builtin_memcpy(&value, bytes, sizeof(value));
    return value;
}

static inline void
och_store_u32(void *bytes, uint32_t value)
{
    __builtin_memcpy(bytes, &value, sizeof(value));
}

static inline void
och_store_u64(void *bytes, uint64_t value)
{
    __builtin_memcpy(bytes, &value, sizeof(value));
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
        "loads and stores copy bytes as they are: a big-endian port swaps them here");

#endif /* OCH_BASE_BUF_H */
