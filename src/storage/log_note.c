#include "storage/log_note.h"

#include <string.h>

#include "base/buf.h"

#define VERSION 1u
#define ABSENT UINT32_MAX

/* 0 u8 kind | 1 u8 version | 2 zero 6 | 8 u64 time | 16 u64 lsn | 24 id 16 | 40 source 16 |
 * 5 times: u32 size, bytes */

static void
put_string(struct och_buf *buf, struct ochre_bytes string)
{
    if (string.data == NULL)
        och_buf_put_u32(buf, ABSENT);
    else
        och_buf_put_bytes(buf, string.data, string.size);
}

void
och_note_encode(const struct och_note *note, struct och_buf *buf)
{
    static const char zeros[6] = {0};
    och_buf_put_u8(buf, (uint8_t) note->kind);
    och_buf_put_u8(buf, VERSION);
    och_buf_put(buf, zeros, sizeof(zeros));
    och_buf_put_u64(buf, note->time_ns);
    och_buf_put_u64(buf, note->lsn);
    och_buf_put(buf, note->id.bytes, sizeof(note->id.bytes));
    och_buf_put(buf, note->source.bytes, sizeof(note->source.bytes));
    put_string(buf, note->tenant);
    put_string(buf, note->database);
    put_string(buf, note->name);
    put_string(buf, note->metadata);
    put_string(buf, note->schema);
}

static void
get_uuid(struct och_reader *reader, struct och_uuid *id_out)
{
    const char *bytes = och_reader_bytes(reader, sizeof(id_out->bytes));
    if (bytes != NULL)
        memcpy(id_out->bytes, bytes, sizeof(id_out->bytes));
}

static void
get_string(struct och_reader *reader, struct ochre_bytes *string_out)
{
    uint32_t size = och_reader_u32(reader);
    if (size == ABSENT)
        return;
    string_out->data = och_reader_bytes(reader, size);
    string_out->size = string_out->data == NULL ? 0 : size;
}

static bool
is_known(unsigned kind)
{
    return (kind >= OCH_NOTE_BEGIN && kind <= OCH_NOTE_UNDONE) ||
            (kind >= OCH_NOTE_TENANT_CREATE && kind <= OCH_NOTE_PIN);
}

bool
och_note_decode(struct ochre_bytes payload, struct och_note *note_out)
{
    struct och_reader reader;
    *note_out = (struct och_note){.kind = OCH_NOTE_TIME};
    och_reader_init(&reader, payload.data, payload.size);
    unsigned kind = och_reader_u8(&reader);
    unsigned version = och_reader_u8(&reader);
    unsigned zeros = och_reader_u16(&reader);
    zeros |= och_reader_u32(&reader);
    note_out->time_ns = och_reader_u64(&reader);
    note_out->lsn = och_reader_u64(&reader);
    get_uuid(&reader, &note_out->id);
    get_uuid(&reader, &note_out->source);
    get_string(&reader, &note_out->tenant);
    get_string(&reader, &note_out->database);
    get_string(&reader, &note_out->name);
    get_string(&reader, &note_out->metadata);
    get_string(&reader, &note_out->schema);
    if (reader.failed || reader.left != 0 || version != VERSION || zeros != 0 || !is_known(kind))
        return false;
    note_out->kind = (enum och_note_kind) kind;
    return true;
}
