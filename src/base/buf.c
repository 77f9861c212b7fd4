#include "base/buf.h"

#include <string.h>

#include "base/mem.h"
#include "base/size.h"

#define ROOM_MIN ((size_t) 256)

void
och_buf_init(struct och_buf *buf, struct och_mem *mem, size_t size_max)
{
    *buf = (struct och_buf){.mem = mem, .size_max = size_max};
}

void
och_buf_clear(struct och_buf *buf)
{
    och_mem_release(buf->mem, buf->data, buf->room);
    och_buf_init(buf, buf->mem, buf->size_max);
}

void
och_buf_reset(struct och_buf *buf)
{
    buf->size = 0;
    buf->failed = false;
    buf->full = false;
}

ochre_status
och_buf_status(const struct och_buf *buf)
{
    return buf->failed ? OCHRE_NO_MEMORY : OCHRE_OK;
}

bool
och_buf_reserve(struct och_buf *buf, size_t size)
{
    if (buf->failed)
        return false;
    if (size <= buf->room - buf->size)
        return true;
    if (size > buf->size_max - buf->size) {
        buf->failed = true;
        buf->full = true;
        return false;
    }
    size_t need = buf->size + size;
    size_t room = buf->room < ROOM_MIN ? ROOM_MIN : buf->room;
    while (room < need)
        room = room > buf->size_max / 2 ? need : room * 2;
    if (room > buf->size_max)
        room = buf->size_max; /* so that no more than that ever fits */
    char *data = och_mem_resize(buf->mem, buf->data, buf->room, room);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->room = room;
    return true;
}

void
och_buf_put_u16(struct och_buf *buf, uint16_t value)
{
    och_buf_put(buf, &value, sizeof(value));
}

void
och_buf_put_u32(struct och_buf *buf, uint32_t value)
{
    och_buf_put(buf, &value, sizeof(value));
}

void
och_buf_put_u64(struct och_buf *buf, uint64_t value)
{
    och_buf_put(buf, &value, sizeof(value));
}

void
och_buf_put_f64(struct och_buf *buf, double value)
{
    och_buf_put(buf, &value, sizeof(value));
}

void
och_buf_put_bytes(struct och_buf *buf, const void *bytes, size_t size)
{
    och_assert(size <= UINT32_MAX);
    och_buf_put_u32(buf, (uint32_t) size);
    och_buf_put(buf, bytes, size);
}

void
och_buf_pad(struct och_buf *buf, size_t unit)
{
    size_t gap = och_size_align(buf->size, unit) - buf->size;
    if (gap == 0)
        return;
    char *to = och_buf_extend(buf, gap);
    if (to != NULL)
        memset(to, 0, gap);
}

void
och_reader_init(struct och_reader *reader, const void *bytes, size_t size)
{
    *reader = (struct och_reader){.next = bytes, .left = size};
}

const char *
och_reader_bytes(struct och_reader *reader, size_t size)
{
    if (size > reader->left) {
        reader->failed = true;
        reader->left = 0;
        return NULL;
    }
    const char *bytes = reader->next;
    reader->next += size;
    reader->left -= size;
    return bytes;
}

uint8_t
och_reader_u8(struct och_reader *reader)
{
    const char *bytes = och_reader_bytes(reader, 1);
    return bytes == NULL ? 0 : (uint8_t) *bytes;
}

uint16_t
och_reader_u16(struct och_reader *reader)
{
    uint16_t value = 0;
    const char *bytes = och_reader_bytes(reader, sizeof(value));
    if (bytes != NULL)
        memcpy(&value, bytes, sizeof(value));
    return value;
}

uint32_t
och_reader_u32(struct och_reader *reader)
{
    const char *bytes = och_reader_bytes(reader, sizeof(uint32_t));
    return bytes == NULL ? 0 : och_load_u32(bytes);
}

uint64_t
och_reader_u64(struct och_reader *reader)
{
    const char *bytes = och_reader_bytes(reader, sizeof(uint64_t));
    return bytes == NULL ? 0 : och_load_u64(bytes);
}

double
och_reader_f64(struct och_reader *reader)
{
    double value = 0;
    const char *bytes = och_reader_bytes(reader, sizeof(value));
    if (bytes != NULL)
        memcpy(&value, bytes, sizeof(value));
    return value;
}
