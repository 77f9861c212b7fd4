#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "support/check.h"

/* CRC-32C as its definition reads: one bit at a time. */
static uint32_t
model_crc32c(uint32_t crc, const unsigned char *bytes, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* Check value of the catalogue of CRC algorithms; zeros and ones of RFC 3720 B.4. */
static void
known_texts_have_their_checksum(void **state)
{
    (void) state;
    unsigned char bytes[32];
    check(och_crc32c(0, "", 0) == 0);
    check(och_crc32c(0, "123456789", 9) == 0xe3069283);
    memset(bytes, 0, sizeof(bytes));
    check(och_crc32c(0, bytes, sizeof(bytes)) == 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    check(och_crc32c(0, bytes, sizeof(bytes)) == 0x62a8ab43);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char) i;
    check(och_crc32c(0, bytes, sizeof(bytes)) == 0x46dd794e);
}

/* Lengths around eight bytes and around the lanes of the hardware's way; every
 * misalignment. */
static void
instruction_table_and_definition_agree(void **state)
{
    (void) state;
    enum { SIZE = 3 * 4096 * 3 + 100 };
    struct och_mem mem;
    uint64_t seed = 8;
    och_mem_init(&mem, NULL);
    unsigned char *bytes = och_mem_take(&mem, SIZE);
    check(bytes != NULL);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char) och_random(&seed);
    for (size_t size = 0; size + 8 < SIZE; size += size < 40 || size % 4096 > 4080 ? 1 : 331) {
        size_t shift = (size_t) och_random_below(&seed, 8);
        uint32_t crc = (uint32_t) och_random(&seed);
        uint32_t wanted = model_crc32c(crc, bytes + shift, size);
        check(och_crc32c(crc, bytes + shift, size) == wanted);
        check(och_crc32c_by_table(crc, bytes + shift, size) == wanted);
    }
    och_mem_release(&mem, bytes, SIZE);
}

static void
a_checksum_continues_where_another_ended(void **state)
{
    (void) state;
    static unsigned char bytes[20000];
    uint64_t seed = 9;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char) och_random(&seed);
    uint32_t whole = och_crc32c(0, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut += 777) {
        uint32_t crc = och_crc32c(0, bytes, cut);
        check(och_crc32c(crc, bytes + cut, sizeof(bytes) - cut) == whole);
    }
}

static void
every_flipped_bit_changes_both_sums(void **state)
{
    (void) state;
    unsigned char bytes[100];
    memset(bytes, 0x5a, sizeof(bytes));
    uint32_t crc = och_crc32c(0, bytes, sizeof(bytes));
    uint64_t hash = och_hash64(bytes, sizeof(bytes));
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (unsigned char) (1u << bit % 8);
        check(och_crc32c(0, bytes, sizeof(bytes)) != crc);
        check(och_hash64(bytes, sizeof(bytes)) != hash);
        bytes[bit / 8] ^= (unsigned char) (1u << bit % 8);
    }
}

/* They stand in files: another version of the library must give the same. */
static void
hashes_are_those_of_xxh3(void **state)
{
    (void) state;
    check(och_hash64("", 0) == UINT64_C(0x2d06800538d394c2));
    check(och_hash64_seeded("a", 1, 0) == och_hash64("a", 1));
    check(och_hash64_seeded("a", 1, 1) != och_hash64("a", 1));
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(known_texts_have_their_checksum),
            cmocka_unit_test(instruction_table_and_definition_agree),
            cmocka_unit_test(a_checksum_continues_where_another_ended),
            cmocka_unit_test(every_flipped_bit_changes_both_sums),
            cmocka_unit_test(hashes_are_those_of_xxh3),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
