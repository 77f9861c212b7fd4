#include <string.h>

#include "base/random.h"
#include "base/uuid.h"
#include "support/check.h"

static const struct och_uuid known = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc,
        0xba, 0x98, 0x76, 0x54, 0x32, 0x10}};

static void
every_written_form_is_read(void **state)
{
    (void) state;
    static const char *const forms[] = {
            "01234567-89ab-cdef-fedc-ba9876543210",
            "01234567-89AB-CDEF-FEDC-BA9876543210",
            "0123456789abcdeffedcba9876543210",
            "0123456789ABCDEFfedcba9876543210",
            "{01234567-89ab-cdef-fedc-ba9876543210}",
            "urn:uuid:01234567-89ab-cdef-fedc-ba9876543210",
            "URN:UUID:01234567-89AB-CDEF-FEDC-BA9876543210",
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct och_uuid uuid;
        check(och_uuid_parse(forms[i], strlen(forms[i]), &uuid));
        check(och_uuid_equal(uuid, known));
    }
}

static void
anything_else_is_refused_and_leaves_the_nil_uuid(void **state)
{
    (void) state;
    static const char *const texts[] = {
            "",
            "0123456789abcdeffedcba987654321",
            "0123456789abcdeffedcba98765432100",
            "01234567-89ab-cdef-fedc-ba987654321",
            "01234567-89ab-cdef-fedc-ba98765432101",
            "0123456-789ab-cdef-fedc-ba9876543210",
            "01234567x89ab-cdef-fedc-ba9876543210",
            "01234567-89ab-cdef-fedc-ba987654321g",
            "g1234567-89ab-cdef-fedc-ba9876543210",
            "{01234567-89ab-cdef-fedc-ba9876543210)",
            "(01234567-89ab-cdef-fedc-ba9876543210}",
            "urn:uuit:01234567-89ab-cdef-fedc-ba9876543210",
            "urn:uuid:{1234567-89ab-cdef-fedc-ba9876543210",
            " 01234567-89ab-cdef-fedc-ba9876543210",
    };
    static const struct och_uuid nil = {{0}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct och_uuid uuid = known;
        check(!och_uuid_parse(texts[i], strlen(texts[i]), &uuid));
        check(och_uuid_equal(uuid, nil));
    }
}

static void
every_byte_out_of_place_is_noticed(void **state)
{
    (void) state;
    for (size_t place = 0; place < OCH_UUID_TEXT_SIZE; place++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[OCH_UUID_TEXT_SIZE + 1];
            och_uuid_put(known, text);
            bool hyphen = text[place] == '-';
            text[place] = (char) byte;
            bool digit = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
                    (byte >= 'A' && byte <= 'F');
            struct och_uuid uuid;
            bool wanted = hyphen ? byte == '-' : digit;
            check(och_uuid_parse(text, OCH_UUID_TEXT_SIZE, &uuid) == wanted);
        }
    }
}

static void
random_uuids_are_version_4_and_survive_their_text(void **state)
{
    (void) state;
    uint64_t seed = 7;
    for (int i = 0; i < 1000; i++) {
        uint8_t random[16];
        for (size_t k = 0; k < sizeof(random); k++)
            random[k] = (uint8_t) och_random(&seed);
        struct och_uuid uuid = och_uuid_from_random(random), again;
        char text[OCH_UUID_TEXT_SIZE + 1];
        och_uuid_put(uuid, text);
        check(strlen(text) == OCH_UUID_TEXT_SIZE);
        check(text[14] == '4' && strchr("89ab", text[19]) != NULL);
        check(och_uuid_parse(text, OCH_UUID_TEXT_SIZE, &again));
        check(och_uuid_equal(uuid, again));
        again.bytes[i % 16] ^= 1;
        check(!och_uuid_equal(uuid, again));
        /* All other bits are the random ones. */
        random[6] = uuid.bytes[6];
        random[8] = uuid.bytes[8];
        check(memcmp(random, uuid.bytes, sizeof(random)) == 0);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(every_written_form_is_read),
            cmocka_unit_test(anything_else_is_refused_and_leaves_the_nil_uuid),
            cmocka_unit_test(every_byte_out_of_place_is_noticed),
            cmocka_unit_test(random_uuids_are_version_4_and_survive_their_text),
    };
    return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
