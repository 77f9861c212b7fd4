#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/random.h"
#include "support/check.h"

/* Decode `text` into memory of exactly the room it needs. */
static bool
decode(struct och_mem *mem, const char *text, size_t size, const void *wanted, size_t wanted_size)
{
    size_t room = och_base64_room(size) + (och_base64_room(size) == 0);
    unsigned char *out = och_mem_take(mem, room);
    char *exact = och_mem_take(mem, size + (size == 0));
    check(out != NULL && exact != NULL);
    memcpy(exact, text, size);
    size_t n = 77;
    bool valid = och_base64_decode(exact, size, out, &n);
    if (valid)
        check(n == wanted_size && (n == 0 || memcmp(out, wanted, n) == 0));
    och_mem_release(mem, out, room);
    och_mem_release(mem, exact, size + (size == 0));
    check(och_mem_used(mem) == 0);
    return valid;
}

/* The standard's own examples (RFC 4648 section 10), and a pair of floats. */
static void
known_texts_decode(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    check(decode(&mem, "", 0, "", 0));
    check(decode(&mem, "Zg==", 4, "f", 1));
    check(decode(&mem, "Zm8=", 4, "fo", 2));
    check(decode(&mem, "Zm9v", 4, "foo", 3));
    check(decode(&mem, "Zm9vYg==", 8, "foob", 4));
    check(decode(&mem, "Zm9vYmE=", 8, "fooba", 5));
    check(decode(&mem, "Zm9vYmFy", 8, "foobar", 6));
    static const float pair[2] = {1.0f, 2.0f};
    check(decode(&mem, "AACAPwAAAEA=", 12, pair, sizeof(pair)));
    check(decode(&mem, "+/+/", 4, "\xfb\xff\xbf", 3));
}

static void
anything_not_strict_is_refused(void **state)
{
    (void) state;
    static const char *const texts[] = {"Z", "Zg", "Zg=", "Zm9vY",
            "Zg==Zg==", "Zm9=", "Zh==", "====", "A===", "=AAA", "AA=A", "Zm9v\n", "Zm9\n", "-_-_",
            "Zm 9", "AA\x80=", "AAAAA===", "Zg==AAAA", "\xff\xff\xff\xff"};
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check(!decode(&mem, texts[i], strlen(texts[i]), NULL, 0));
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The plainest encoder: bit by bit. */
static size_t
encode(const unsigned char *bytes, size_t size, char *text)
{
    size_t n = 0;
    for (size_t bit = 0; bit < 8 * size; bit += 6) {
        unsigned six = 0;
        for (size_t k = bit; k < bit + 6; k++)
            six = six << 1 | (k < 8 * size ? (unsigned) bytes[k / 8] >> (7 - k % 8) & 1u : 0u);
        text[n++] = alphabet[six];
    }
    while (n % 4 != 0)
        text[n++] = '=';
    return n;
}

static void
random_bytes_survive_a_naive_encoder(void **state)
{
    (void) state;
    struct och_mem mem;
    uint64_t seed = 5;
    och_mem_init(&mem, NULL);
    for (size_t size = 0; size < 300; size++) {
        unsigned char bytes[300];
        char text[404];
        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char) och_random(&seed);
        size_t n = encode(bytes, size, text);
        check(decode(&mem, text, n, bytes, size));
    }
}

static void
a_foreign_byte_is_found_at_every_place(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (size_t size = 4; size <= 40; size += 4) {
        for (size_t place = 0; place < size; place++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[40];
                memset(text, 'A', sizeof(text));
                text[place] = (char) byte;
                bool known = byte != 0 && strchr(alphabet, byte) != NULL;
                bool padding = byte == '=' && place == size - 1;
                unsigned char out[30];
                size_t n;
                check(och_base64_decode(text, size, out, &n) == (known || padding));
            }
        }
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(known_texts_decode),
            cmocka_unit_test(anything_not_strict_is_refused),
            cmocka_unit_test(random_bytes_survive_a_naive_encoder),
            cmocka_unit_test(a_foreign_byte_is_found_at_every_place),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
