/* Which files of a backup are one: with many of them, the table of their contents grows. */
#include <stdio.h>

#include "base/mem.h"
#include "storage/backup_manifest.h"
#include "storage/backup_stream.h"
#include "support/check.h"

enum { N_MEMBERS = 1000, N_CONTENTS = 300 };

/* Files of `N_CONTENTS` contents, some of them of one hash and different sizes. */
static void
fill(struct och_backup_manifest *manifest)
{
    struct ochre_error err;
    for (uint32_t i = 0; i < N_MEMBERS; i++) {
        uint32_t content = i * 7 % N_CONTENTS;
        struct och_backup_member member = {.size = content, .hash = content / 2 * 64};
        (void) snprintf(member.path, sizeof(member.path),
                "seg/00000000-0000-4000-8000-000000000000/%016x.seg", (unsigned) i);
        check_ok(och_backup_manifest_add(manifest, &member, &err), &err);
    }
}

static void
files_of_the_same_contents_are_one_however_many_there_are(void **state)
{
    (void) state;
    struct och_mem mem;
    struct ochre_error err;
    struct och_backup_manifest manifest;
    struct och_backup_firsts firsts;
    size_t n_firsts = 0;
    och_mem_init(&mem, NULL);
    och_backup_manifest_init(&manifest, &mem);
    fill(&manifest);
    check_ok(och_backup_firsts_make(&firsts, &mem, &manifest, &err), &err);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < N_MEMBERS; i++) {
            size_t first = och_backup_firsts_of(&firsts, &manifest, i);
            check(first <= i && manifest.members[first].size == manifest.members[i].size);
            check(i < N_CONTENTS ? first == i : first < N_CONTENTS);
            n_firsts += first == i;
        }
        check(n_firsts == (round + 1) * (size_t) N_CONTENTS);
    }
    och_backup_firsts_clear(&firsts);
    mem.fail_at = atomic_load(&mem.n_grants) + 1;
    check(och_backup_firsts_make(&firsts, &mem, &manifest, &err) == OCHRE_NO_MEMORY);
    och_backup_firsts_clear(&firsts);
    och_backup_manifest_clear(&manifest);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(files_of_the_same_contents_are_one_however_many_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
