#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "support/check.h"
#include "wire/json_search.h"

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

struct search_case {
    const char *text;
    ochre_status status;   /* at once */
    ochre_status deferred; /* else */
};

#define SEARCH(members) "{\"searches\":[{" members "}]}"
#define RANK(rank) SEARCH("\"rank\":" rank)
#define KNN "{\"$knn\":{\"query\":[1,2]}}"
#define GROUP(group) SEARCH("\"rank\":" KNN ",\"group_by\":" group)

static const struct search_case cases[] = {
        {"{\"searches\":[]}", OCHRE_OK, OCHRE_UNSUPPORTED},
        {"{\"searches\":[{},{}],\"read_level\":\"index_only\"}", OCHRE_OK, OCHRE_UNSUPPORTED},
        {"{}", OCHRE_SHAPE, OCHRE_OK},
        {"{\"searches\":null}", OCHRE_SHAPE, OCHRE_OK},
        {"{\"searches\":[5]}", OCHRE_SHAPE, OCHRE_OK},
        {"{\"searches\":[", OCHRE_INVALID, OCHRE_OK},
        {"{\"searches\":[],\"read_level\":\"bad\"}", OCHRE_SHAPE, OCHRE_OK},
        {"{\"searches\":[],\"read_level\":null}", OCHRE_INVALID, OCHRE_OK},
        {SEARCH("\"filter\":null"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {SEARCH("\"filter\":{}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {SEARCH("\"filter\":{\"a\":1},\"rank\":null"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {SEARCH("\"filter\":{\"a\":1},\"filter\":{\"a\":1}"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"filter\":[]"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"filter\":{\"$foo\":1}"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"filter\":{\"#document\":{\"$regex\":\"(\"}}"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"filter\":{\"#document\":{\"$regex\":\"a+\"}}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {RANK(KNN), OCHRE_OK, OCHRE_UNSUPPORTED},
        {RANK("{\"$knn\":{\"query\":[1],\"key\":\"#embedding\",\"limit\":3,\"default\":null,"
              "\"return_rank\":true,\"x\":1}}"),
                OCHRE_OK, OCHRE_UNSUPPORTED},
        {RANK("{\"$knn\":{\"query\":[1],\"default\":1.5}}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {RANK("{\"$knn\":{}}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$knn\":5}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$knn\":{\"query\":\"text\"}}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$knn\":{\"query\":[\"a\"]}}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$knn\":{\"query\":[1],\"limit\":-1}}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$knn\":{\"query\":[1],\"key\":null}}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$knn\":{\"query\":[1],\"default\":\"x\"}}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$knn\":{\"query\":[1],\"return_rank\":1}}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$knn\":{\"query\":{\"indices\":[1,2],\"values\":[1,2]}}}"), OCHRE_OK,
                OCHRE_INVALID},
        {RANK("{\"$knn\":{\"query\":{\"indices\":[2,1],\"values\":[1,2]}}}"), OCHRE_OK,
                OCHRE_INVALID},
        {RANK("{\"$knn\":{\"query\":{\"#type\":\"bad\",\"indices\":[1],\"values\":[1]}}}"),
                OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$val\":1.5}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {RANK("{\"$val\":\"x\"}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$sum\":[" KNN ",{\"$val\":1}]}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {RANK("{\"$sum\":5}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$max\":[{\"$foo\":1}]}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$div\":{\"left\":" KNN ",\"right\":{\"$val\":2}}}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {RANK("{\"$sub\":[{\"$val\":1},{\"$exp\":{\"$log\":{\"$abs\":{\"$val\":2}}}}]}"), OCHRE_OK,
                OCHRE_UNSUPPORTED},
        {RANK("{\"$sub\":[{\"$val\":1}]}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$div\":{\"left\":{\"$val\":1}}}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{\"$abs\":null}"), OCHRE_INVALID, OCHRE_OK},
        {RANK("{\"$rrf\":{}}"), OCHRE_SHAPE, OCHRE_OK},
        {RANK("\"$knn\""), OCHRE_SHAPE, OCHRE_OK},
        {RANK("{}"), OCHRE_INVALID, OCHRE_OK},
        {RANK("5"), OCHRE_INVALID, OCHRE_OK},
        {RANK("{\"$val\":1,\"$abs\":1}"), OCHRE_INVALID, OCHRE_OK},
        {SEARCH("\"limit\":{}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {SEARCH("\"limit\":{\"limit\":null,\"offset\":3}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {SEARCH("\"limit\":null"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"limit\":{\"limit\":-1}"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"limit\":{\"offset\":null}"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"select\":{}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {SEARCH("\"select\":{\"keys\":[\"#document\",\"a\"]}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {SEARCH("\"select\":null"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"select\":{\"keys\":\"a\"}"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"select\":{\"keys\":[1]}"), OCHRE_SHAPE, OCHRE_OK},
        {SEARCH("\"select\":{\"keys\":[],\"keys\":[]}"), OCHRE_SHAPE, OCHRE_OK},
        {GROUP("{}"), OCHRE_OK, OCHRE_UNSUPPORTED},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":{\"$min_k\":{\"keys\":[\"#score\"],\"k\":1}}}"),
                OCHRE_OK, OCHRE_UNSUPPORTED},
        {GROUP("null"), OCHRE_SHAPE, OCHRE_OK},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":{\"$foo\":{}}}"), OCHRE_SHAPE, OCHRE_OK},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":{}}"), OCHRE_INVALID, OCHRE_OK},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":{\"$max_k\":{\"keys\":[\"a\"]}}}"), OCHRE_SHAPE,
                OCHRE_OK},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":{\"$max_k\":{\"k\":1}}}"), OCHRE_SHAPE, OCHRE_OK},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":{\"$max_k\":5}}"), OCHRE_SHAPE, OCHRE_OK},
        {GROUP("{\"keys\":[\"c\"]}"), OCHRE_OK, OCHRE_INVALID},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":null}"), OCHRE_OK, OCHRE_INVALID},
        {GROUP("{\"aggregate\":{\"$min_k\":{\"keys\":[\"a\"],\"k\":1}}}"), OCHRE_OK, OCHRE_INVALID},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":{\"$min_k\":{\"keys\":[\"a\"],\"k\":0}}}"),
                OCHRE_OK, OCHRE_INVALID},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":{\"$min_k\":{\"keys\":[],\"k\":1}}}"), OCHRE_OK,
                OCHRE_INVALID},
        {GROUP("{\"keys\":[\"#score\"],\"aggregate\":{\"$min_k\":{\"keys\":[\"a\"],\"k\":1}}}"),
                OCHRE_OK, OCHRE_INVALID},
        {GROUP("{\"keys\":[\"c\"],\"aggregate\":{\"$min_k\":{\"keys\":[\"#document\"],\"k\":1}}}"),
                OCHRE_OK, OCHRE_INVALID},
        {SEARCH("\"group_by\":{\"keys\":[\"c\"],\"aggregate\":{\"$min_k\":{\"keys\":[\"a\"],\"k\":1}}}"),
                OCHRE_OK, OCHRE_INVALID},
};

static void
each_request_is_judged_as_the_reference_does(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct och_mem mem;
        struct och_arena arena;
        struct ochre_error deferred = {.status = OCHRE_OK}, err = {.status = OCHRE_OK};
        och_mem_init(&mem, NULL);
        och_arena_init(&arena, &mem);
        ochre_status status =
                och_wire_read_search(&arena, bytes_of(cases[i].text), &deferred, &err);
        bool right = status == cases[i].status && deferred.status == cases[i].deferred &&
                err.status == status;
        if (!right)
            print_error("%s\n  gives %d, %d: %s%s\n", cases[i].text, (int) status,
                    (int) deferred.status, err.message, deferred.message);
        check(right);
        och_arena_clear(&arena);
        check(och_mem_used(&mem) == 0);
    }
}

static bool
read_with(struct och_mem *mem)
{
    struct och_arena arena;
    struct ochre_error deferred, err;
    och_arena_init(&arena, mem);
    ochre_status status = och_wire_read_search(&arena,
            bytes_of(
                    SEARCH("\"filter\":{\"#document\":{\"$regex\":\"a+\"}},\"rank\":{\"$sum\":[" KNN
                           "," KNN "," KNN "," KNN "," KNN "," KNN "," KNN "," KNN "," KNN
                           ",{\"$sub\":[{\"$val\":1},{\"$val\":1}]}]}")),
            &deferred, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_arena_clear(&arena);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(read_with);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(each_request_is_judged_as_the_reference_does),
            cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
