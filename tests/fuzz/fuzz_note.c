/*
 * fuzz_note.c - a note of the log, as found in an archive: what is read as one encodes to
 * the bytes it was read from, and its texts lie within them.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "storage/log_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct ochre_bytes text, const char *begin, size_t size)
{
    if (text.data == NULL) {
        och_assert(text.size == 0);
        return;
    }
    och_assert(text.data >= begin && text.size <= size);
    och_assert(text.data + text.size <= begin + size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct och_note note;
    struct och_mem mem;
    struct och_buf buf;
    const char *bytes = (const char *) data;
    if (!och_note_decode((struct ochre_bytes){bytes, size}, &note))
        return 0;
    check_inside(note.tenant, bytes, size);
    check_inside(note.database, bytes, size);
    check_inside(note.name, bytes, size);
    check_inside(note.metadata, bytes, size);
    check_inside(note.schema, bytes, size);
    och_assert(och_note_is_change(&note) == (note.kind > OCH_NOTE_UNDONE));
    och_mem_init(&mem, NULL);
    och_buf_init(&buf, &mem, size);
    och_note_encode(&note, &buf);
    och_assert(och_buf_status(&buf) == OCHRE_OK);
    och_assert(buf.size == size && memcmp(buf.data, data, size) == 0);
    och_buf_clear(&buf);
    return 0;
}
