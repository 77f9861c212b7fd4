#include "base/compiler.h"
#include "base/hash_internal.h"

bool
och_crc32c_has_instruction(void)
{
    return false;
}

uint32_t
och_crc32c_by_instruction(uint32_t crc, const void *bytes, size_t size)
{
    (void) crc;
    (void) bytes;
    (void) size;
    och_assert_failed("there is an instruction", __FILE__, __LINE__);
}
