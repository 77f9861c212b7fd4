/* Each promise of the sandbox, asked of the kernel in a child process that entered
 * it, because there is no way out.  Where the kernel cannot, all but the answers
 * to that is skipped, and said. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/sandbox.h"
#include "support/check.h"

enum { SKIPPED = 77, NOBODY = 65534 };

static char ours[64];   /* may be written below */
static char theirs[64]; /* may not; has a file "letter" */

/* --- a kernel without ------------------------------------------------------------ */

static long refused_call; /* the one that answers refused_code; 0: none */
static int refused_code;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long
__wrap_syscall(long number, ...)
{
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (size_t i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (refused_call != 0 && number == refused_call) {
        errno = refused_code;
        return -1;
    }
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
            arguments[4], arguments[5]);
}

/* --- children ---------------------------------------------------------------------- */

static int
enter(struct och_sandbox *sandbox)
{
    struct ochre_error err;
    const char *dirs[] = {ours};
    const struct och_sandbox_rights rights = {.user = NULL};
    if (och_sandbox_give_up(&rights, &err) != OCHRE_OK ||
            och_sandbox_enter(dirs, 1, false, sandbox, &err) != OCHRE_OK) {
        (void) fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    return 0;
}

/* Run `body` in a child that has entered; it returns 0, or the line that failed. */
static void
check_in_sandbox(int (*body)(void))
{
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        struct och_sandbox sandbox;
        _exit(enter(&sandbox) == 0 ? body() : 255);
    }
    int status = 0;
    check(waitpid(child, &status, 0) == child);
    if (status != 0)
        print_error("the child ended with %d, signal %d\n", WEXITSTATUS(status), WTERMSIG(status));
    check(status == 0);
}

static int line_failed; /* an exit status has 8 bits, so the line is printed */

static int
expect_at(bool condition, int line)
{
    if (!condition && line_failed == 0) {
        line_failed = 1;
        (void) fprintf(stderr, "test_sandbox.c:%d: not as expected (errno %d)\n", line, errno);
    }
    return line_failed;
}
#define expect(condition) (void) expect_at((condition), __LINE__)
#define expect_refused(call, code) (errno = 0, expect((call) == -1 && errno == (code)))

static const char *
below(const char *dir, const char *name)
{
    static char path[2][128];
    static unsigned next;
    next ^= 1u;
    (void) snprintf(path[next], sizeof(path[next]), "%s/%s", dir, name);
    return path[next];
}

/* --- files --------------------------------------------------------------------------- */

static int
use_ours(void)
{
    expect(mkdir(below(ours, "a"), 0700) == 0 && mkdir(below(ours, "b"), 0700) == 0);
    int fd = open(below(ours, "a/file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    expect(fd >= 0 && write(fd, "bytes", 5) == 5 && fsync(fd) == 0 && ftruncate(fd, 3) == 0);
    expect(rename(below(ours, "a/file"), below(ours, "b/file")) == 0);
    expect(open(below(ours, "b/file"), O_RDWR | O_TRUNC | O_CLOEXEC) >= 0);
    expect(unlink(below(ours, "b/file")) == 0);
    expect(rmdir(below(ours, "a")) == 0 && rmdir(below(ours, "b")) == 0);
    return line_failed;
}

static void
our_own_directory_can_be_used(void **state)
{
    (void) state;
    check_in_sandbox(use_ours);
}

static int
use_theirs(void)
{
    static const char *const system_files[] = {
            "/etc/passwd", "/proc/self/maps", "/bin/sh", "/proc/1/cmdline"};
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR | O_CREAT, O_WRONLY | O_TRUNC};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        expect_refused(open(below(theirs, "letter"), flags[i] | O_CLOEXEC, 0600), EACCES);
    for (size_t i = 0; i < sizeof(system_files) / sizeof(system_files[0]); i++)
        expect_refused(open(system_files[i], O_RDONLY | O_CLOEXEC), EACCES);
    expect_refused(open(below(theirs, "new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EACCES);
    expect_refused(open(theirs, O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES);
    expect_refused(mkdir(below(theirs, "new"), 0700), EACCES);
    expect_refused(unlink(below(theirs, "letter")), EACCES);
    expect(rename(below(theirs, "letter"), below(ours, "letter")) == -1);
    /* A link to it, or a device, in our own directory would be a way out. */
    expect(symlink(theirs, below(ours, "link")) == -1);
    expect(link(below(theirs, "letter"), below(ours, "hard")) == -1);
    expect(mknod(below(ours, "fifo"), S_IFIFO | 0600, 0) == -1);
    return line_failed;
}

static void
nothing_else_can_be_read_or_written(void **state)
{
    (void) state;
    check_in_sandbox(use_theirs);
    struct stat info;
    check(stat(below(theirs, "letter"), &info) == 0 && info.st_size == 4);
    check(stat(below(theirs, "new"), &info) != 0);
}

static int
follow_link(void)
{
    expect_refused(open(below(ours, "planted/letter"), O_RDONLY | O_CLOEXEC), EACCES);
    expect_refused(open(below(ours, "planted/new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EACCES);
    return line_failed;
}

static void
a_link_in_our_directory_leads_nowhere(void **state)
{
    (void) state;
    check(symlink(theirs, below(ours, "planted")) == 0);
    check_in_sandbox(follow_link);
    check(unlink(below(ours, "planted")) == 0);
}

/* --- system calls ---------------------------------------------------------------------- */

static int
call_what_is_not_listed(void)
{
    char name[] = "sh";
    char *const words[] = {name, NULL};
    struct io_uring_params ring = {0};
    union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY};
    expect_refused(execve("/bin/sh", words, words + 1), EPERM);
    expect_refused(syscall(SYS_execveat, -100, "/bin/sh", words, words + 1, 0), EPERM);
    expect_refused(fork(), EPERM);
    expect_refused(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), EPERM);
    expect_refused(syscall(SYS_clone3, NULL, 0), ENOSYS);
    expect_refused(socket(AF_INET, SOCK_STREAM, 0), EPERM);
    expect_refused(socket(AF_UNIX, SOCK_STREAM, 0), EPERM);
    expect_refused(connect(0, NULL, 0), EPERM);
    expect_refused(bind(0, NULL, 0), EPERM);
    expect_refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM);
    expect_refused(syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0), EPERM);
    expect_refused(syscall(SYS_mount, "none", ours, "tmpfs", 0, NULL), EPERM);
    expect_refused(syscall(SYS_unshare, 0), EPERM);
    expect_refused(syscall(SYS_chroot, ours), EPERM);
    expect_refused(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)), EPERM);
    expect_refused(syscall(SYS_io_uring_setup, 1, &ring), EPERM);
    expect_refused(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0), EPERM);
    expect_refused(syscall(SYS_memfd_create, "code", 0), EPERM);
    expect_refused(syscall(SYS_keyctl, 0, 0, 0, 0, 0), EPERM);
    expect_refused(setresuid(1, 1, 1), EPERM);
    expect_refused(syscall(SYS_kill, 1, 0), EPERM);
    expect_refused(syscall(SYS_tgkill, 1, 1, 0), EPERM);
    expect_refused(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), EPERM);
    expect_refused(syscall(SYS_fchmodat, -100, ours, 0777), EPERM);
    return line_failed;
}

static void
calls_that_are_not_listed_are_refused(void **state)
{
    (void) state;
    check_in_sandbox(call_what_is_not_listed);
}

static int
make_code(void)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(page != MAP_FAILED);
    expect_refused(mprotect(page, 4096, PROT_READ | PROT_EXEC), EPERM);
    errno = 0;
    expect(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                    MAP_FAILED &&
            errno == EPERM);
    return line_failed;
}

static void
memory_does_not_become_code(void **state)
{
    (void) state;
    check_in_sandbox(make_code);
}

static void *
refused_in_thread(void *argument)
{
    (void) argument;
    (void) pthread_setname_np(pthread_self(), "inside");
    expect_refused(socket(AF_INET, SOCK_STREAM, 0), EPERM);
    expect_refused(open(below(theirs, "letter"), O_RDONLY | O_CLOEXEC), EACCES);
    int fd = open(below(ours, "thread"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    expect(fd >= 0 && close(fd) == 0);
    return NULL;
}

static int
start_thread(void)
{
    pthread_t thread;
    expect(pthread_create(&thread, NULL, refused_in_thread, NULL) == 0);
    expect(pthread_join(thread, NULL) == 0);
    return line_failed;
}

static void
threads_can_be_started_and_are_inside(void **state)
{
    (void) state;
    check_in_sandbox(start_thread);
}

static int
abort_here(void)
{
    abort();
}

static void
a_crash_still_is_one(void **state)
{
    (void) state;
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        struct och_sandbox sandbox;
        _exit(enter(&sandbox) == 0 ? abort_here() : 255);
    }
    int status = 0;
    check(waitpid(child, &status, 0) == child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !WCOREDUMP(status));
}

/* --- rights ------------------------------------------------------------------------------ */

/* Does /proc/self/status have this line? */
static bool
status_says(const char *line)
{
    char text[8192];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[size > 0 ? size : 0] = '\0';
    if (fd >= 0)
        (void) close(fd);
    return strstr(text, line) != NULL;
}

/* In a child: what is given up does not come back. */
static void
check_given_up(const struct och_sandbox_rights *rights, int (*body)(void))
{
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        struct ochre_error err;
        if (och_sandbox_give_up(rights, &err) != OCHRE_OK) {
            (void) fprintf(stderr, "%s\n", err.message);
            _exit(255);
        }
        _exit(body());
    }
    int status = 0;
    check(waitpid(child, &status, 0) == child && status == 0);
}

static int
has_no_rights(void)
{
    struct rlimit core;
    expect(status_says("\nNoNewPrivs:\t1\n"));
    expect(status_says("\nCapEff:\t0000000000000000\n"));
    expect(status_says("\nCapPrm:\t0000000000000000\n"));
    expect(status_says("\nCapInh:\t0000000000000000\n"));
    expect(status_says("\nCapAmb:\t0000000000000000\n"));
    expect(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
    return line_failed;
}

static int
has_no_bounding_set_and_core_dumps(void)
{
    struct rlimit core;
    expect(status_says("\nCapBnd:\t0000000000000000\n"));
    expect(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max > 0);
    return line_failed;
}

static void
rights_are_given_up(void **state)
{
    static const struct och_sandbox_rights all = {.user = NULL}, dumps = {.core_dumps = true};
    struct rlimit core;
    (void) state;
    check_given_up(&all, has_no_rights);
    check(getrlimit(RLIMIT_CORE, &core) == 0);
    if (geteuid() == 0 && core.rlim_max > 0)
        check_given_up(&dumps, has_no_bounding_set_and_core_dumps);
}

static int
is_nobody(void)
{
    struct ochre_error err;
    expect(getuid() == NOBODY && geteuid() == NOBODY && getegid() != 0 && getgroups(0, NULL) == 0);
    expect(setuid(0) == -1 && seteuid(0) == -1 && setgid(0) == -1);
    expect(och_sandbox_may_use(theirs, false, &err) == OCHRE_INVALID);
    expect(strstr(err.message, theirs) != NULL && strstr(err.message, "65534") != NULL);
    return line_failed;
}

static void
root_becomes_another_user_for_good(void **state)
{
    static const struct och_sandbox_rights name = {.user = "nobody"}, number = {.user = "65534"},
                                           alone = {.user = "65534", .keep = true};
    (void) state;
    if (geteuid() != 0)
        skip();
    check_given_up(&name, is_nobody);
    check_given_up(&number, is_nobody);
    check_given_up(&alone, is_nobody);
}

static int
cannot_become(void)
{
    static const struct och_sandbox_rights other = {.user = "1"}, same = {.user = "65534"};
    struct ochre_error err;
    expect(och_sandbox_give_up(&other, &err) == OCHRE_INVALID);
    expect(strstr(err.message, "only root can") != NULL);
    expect(och_sandbox_give_up(&same, &err) == OCHRE_OK);
    return line_failed;
}

static void
users_that_make_no_sense_are_refused(void **state)
{
    static const char *const names[][2] = {{"nobody-of-that-name", "there is no user"},
            {"root", "is root"}, {"0", "is root"}, {"", "there is no user"},
            {"-1", "there is no user"}, {"4294967295", "there is no user"}};
    static const struct och_sandbox_rights nobody = {.user = "65534"};
    (void) state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct ochre_error err;
        /* Nothing is given up before the user is known, but what a failure may leave. */
        const struct och_sandbox_rights rights = {.user = names[i][0], .keep = true};
        check(och_sandbox_give_up(&rights, &err) == OCHRE_INVALID);
        check(strstr(err.message, names[i][1]) != NULL);
    }
    if (geteuid() == 0)
        check_given_up(&nobody, cannot_become);
}

static void
a_directory_that_is_not_there_may_be_made(void **state)
{
    struct ochre_error err;
    (void) state;
    check_ok(och_sandbox_may_use(ours, false, &err), &err);
    check_ok(och_sandbox_may_use(below(ours, "not-there"), false, &err), &err);
    check(och_sandbox_may_use(below(theirs, "letter/below"), false, &err) == OCHRE_INVALID);
}

/* --- what the kernel lacks ----------------------------------------------------------------- */

static int
lacks_files(void)
{
    struct och_sandbox sandbox;
    refused_call = SYS_landlock_create_ruleset;
    refused_code = ENOSYS;
    expect(enter(&sandbox) == 0);
    expect(sandbox.files_missing != NULL && strstr(sandbox.files_missing, "no Landlock") != NULL);
    expect(sandbox.calls_missing == NULL);
    expect(open(below(theirs, "letter"), O_RDONLY | O_CLOEXEC) >= 0);
    expect_refused(socket(AF_INET, SOCK_STREAM, 0), EPERM);
    return line_failed;
}

static int
lacks_calls(void)
{
    struct och_sandbox sandbox;
    refused_call = SYS_seccomp;
    refused_code = EINVAL;
    expect(enter(&sandbox) == 0);
    expect(sandbox.calls_missing != NULL && sandbox.files_missing == NULL);
    expect_refused(open(below(theirs, "letter"), O_RDONLY | O_CLOEXEC), EACCES);
    return line_failed;
}

static int
refuses(void)
{
    struct och_sandbox sandbox;
    struct ochre_error err;
    const char *dirs[] = {ours}, *missing[] = {below(ours, "not-there")};
    expect(och_sandbox_enter(missing, 1, false, &sandbox, &err) == OCHRE_IO);
    expect(strstr(err.message, "not-there") != NULL);
    refused_call = SYS_landlock_restrict_self;
    refused_code = E2BIG;
    expect(och_sandbox_enter(dirs, 1, false, &sandbox, &err) == OCHRE_IO);
    refused_call = SYS_seccomp;
    refused_code = EACCES;
    expect(och_sandbox_enter(dirs, 1, false, &sandbox, &err) == OCHRE_IO);
    expect(strstr(err.message, "filter system calls") != NULL);
    return line_failed;
}

static void
check_in_child(int (*body)(void))
{
    pid_t child = fork();
    check(child >= 0);
    if (child == 0)
        _exit(body());
    int status = 0;
    check(waitpid(child, &status, 0) == child && status == 0);
}

static void
what_the_kernel_lacks_is_told_and_the_rest_holds(void **state)
{
    (void) state;
    check_in_child(lacks_files);
    check_in_child(lacks_calls);
}

static void
what_the_kernel_refuses_is_an_error(void **state)
{
    (void) state;
    check_in_child(refuses);
}

/* --- set-up ---------------------------------------------------------------------------------- */

static int
make_directories(void **state)
{
    (void) state;
    (void) strcpy(ours, "/tmp/ochre-sandbox-XXXXXX");
    (void) strcpy(theirs, "/tmp/ochre-outside-XXXXXX");
    if (mkdtemp(ours) == NULL || mkdtemp(theirs) == NULL)
        return -1;
    int fd = open(below(theirs, "letter"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool made = fd >= 0 && write(fd, "dear", 4) == 4;
    return made && close(fd) == 0 ? 0 : -1;
}

static int
remove_directories(void **state)
{
    (void) state;
    (void) unlink(below(theirs, "letter"));
    (void) unlink(below(ours, "thread"));
    return rmdir(theirs) == 0 && rmdir(ours) == 0 ? 0 : -1;
}

/* What this machine's sandbox lacks, asked in a child; NULL: nothing. */
static const char *
find_missing(void)
{
    static const char *const reasons[] = {
            NULL, "files are not confined here", "system calls are not confined here"};
    pid_t child = fork();
    if (child == 0) {
        struct och_sandbox sandbox;
        struct ochre_error err;
        const char *dirs[] = {"/tmp"};
        if (och_sandbox_enter(dirs, 1, false, &sandbox, &err) != OCHRE_OK)
            _exit(0); /* a failure, which the tests will show */
        _exit(sandbox.files_missing != NULL ? 1 : sandbox.calls_missing != NULL ? 2 : 0);
    }
    int status = 0;
    bool asked = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
    return asked && WEXITSTATUS(status) < 3 ? reasons[WEXITSTATUS(status)] : NULL;
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(our_own_directory_can_be_used),
            cmocka_unit_test(nothing_else_can_be_read_or_written),
            cmocka_unit_test(a_link_in_our_directory_leads_nowhere),
            cmocka_unit_test(calls_that_are_not_listed_are_refused),
            cmocka_unit_test(memory_does_not_become_code),
            cmocka_unit_test(threads_can_be_started_and_are_inside),
            cmocka_unit_test(a_crash_still_is_one),
            cmocka_unit_test(rights_are_given_up),
            cmocka_unit_test(root_becomes_another_user_for_good),
            cmocka_unit_test(users_that_make_no_sense_are_refused),
            cmocka_unit_test(a_directory_that_is_not_there_may_be_made),
            cmocka_unit_test(what_the_kernel_lacks_is_told_and_the_rest_holds),
            cmocka_unit_test(what_the_kernel_refuses_is_an_error),
    };
    const char *missing = find_missing();
    if (missing != NULL) {
        (void) printf("SKIPPED: os/sandbox: %s\n", missing);
        return SKIPPED;
    }
    return cmocka_run_group_tests_name("os/sandbox", tests, make_directories, remove_directories);
}
