#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "support/check.h"

static void
an_error_is_made_and_returned_in_one_step(void **state)
{
    (void) state;
    struct ochre_error err = {0};
    check(och_fail(&err, OCHRE_EXISTS, "name \"%s\" is taken %d times", "x", 3) == OCHRE_EXISTS);
    check(err.status == OCHRE_EXISTS);
    check(strcmp(err.message, "name \"x\" is taken 3 times") == 0);
    check(och_fail_memory(&err) == OCHRE_NO_MEMORY && err.status == OCHRE_NO_MEMORY);
    check(err.message[0] != '\0');
}

static void
nobody_needs_to_listen(void **state)
{
    (void) state;
    check(och_fail(NULL, OCHRE_IO, "%d", 1) == OCHRE_IO);
    check(och_fail_memory(NULL) == OCHRE_NO_MEMORY);
}

static void
a_message_too_long_is_cut(void **state)
{
    (void) state;
    struct ochre_error err;
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    check(och_fail(&err, OCHRE_INVALID, "%s", text) == OCHRE_INVALID);
    check(strlen(err.message) == sizeof(err.message) - 1);
}

static void
every_status_has_a_name_of_its_own(void **state)
{
    (void) state;
    for (int a = OCHRE_OK; a <= OCHRE_STALE; a++) {
        const char *name = ochre_status_name((ochre_status) a);
        check(name[0] != '\0' && strcmp(name, "unknown") != 0);
        for (int b = OCHRE_OK; b < a; b++)
            check(strcmp(name, ochre_status_name((ochre_status) b)) != 0);
    }
    int beyond = OCHRE_STALE + 1;
    ochre_status unknown;
    memcpy(&unknown, &beyond, sizeof(unknown));
    check(strcmp(ochre_status_name(unknown), "unknown") == 0);
}

/* The invariant's text and place go to stderr, and the process ends. */
static void
a_broken_invariant_stops_the_process(void **state)
{
    (void) state;
    int pipes[2];
    check(pipe(pipes) == 0);
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        (void) dup2(pipes[1], STDERR_FILENO);
        och_assert(1 + 1 == 2);
        och_assert(1 + 1 == 3);
        _exit(0);
    }
    check(close(pipes[1]) == 0);
    char text[200] = {0};
    check(read(pipes[0], text, sizeof(text) - 1) > 0);
    check(strstr(text, "1 + 1 == 3") != NULL && strstr(text, "test_error.c") != NULL);
    check(close(pipes[0]) == 0);
    int status;
    check(waitpid(child, &status, 0) == child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(an_error_is_made_and_returned_in_one_step),
            cmocka_unit_test(nobody_needs_to_listen),
            cmocka_unit_test(a_message_too_long_is_cut),
            cmocka_unit_test(every_status_has_a_name_of_its_own),
            cmocka_unit_test(a_broken_invariant_stops_the_process),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
