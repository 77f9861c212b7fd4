/*
 * seccomp: the system calls this process may still make.  The filter is written
 * by hand from one table, because the library that embedders link must not bring
 * another one along for a server's sake (docs/decisions/0016).
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/sandbox_internal.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

/* When a call of the table is allowed: what one of its arguments must be. */
typedef enum condition {
    ALWAYS = 0,
    HAS_ALL,  /* every bit of the value */
    HAS_NONE, /* no bit of it */
    IS,       /* the value */
    IS_SELF   /* the number of this process */
} condition;

struct call {
    uint32_t number;
    condition condition;
    uint32_t argument;
    uint32_t value;
};

/* What makes a thread of what would be a process. */
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

/*
 * Everything allowed.  Whatever is not here fails with EPERM: programs (execve),
 * processes (fork, and clone without THREAD_FLAGS), other processes' memory
 * (ptrace, process_vm_*), connections outwards and new listeners (socket, bind,
 * connect), identity, mounts, modules, bpf, io_uring, keys, and all the rest.
 * What a read or search needs comes first; the kernel remembers which of these
 * are allowed whatever their arguments, so the order costs nothing.
 */
static const struct call calls[] = {
        /* Memory, locks and clocks.  No memory becomes code: nothing here makes any. */
        {SYS_futex, ALWAYS, 0, 0},
        {SYS_madvise, ALWAYS, 0, 0},
        {SYS_mmap, HAS_NONE, 2, PROT_EXEC},
        {SYS_mprotect, HAS_NONE, 2, PROT_EXEC},
        {SYS_munmap, ALWAYS, 0, 0},
        {SYS_mremap, ALWAYS, 0, 0},
        {SYS_brk, ALWAYS, 0, 0},
        {SYS_sched_yield, ALWAYS, 0, 0},
        {SYS_clock_gettime, ALWAYS, 0, 0},
        {SYS_clock_getres, ALWAYS, 0, 0},
        {SYS_gettimeofday, ALWAYS, 0, 0},
        {SYS_nanosleep, ALWAYS, 0, 0},
        {SYS_clock_nanosleep, ALWAYS, 0, 0},
        {SYS_restart_syscall, ALWAYS, 0, 0},
        {SYS_getrandom, ALWAYS, 0, 0},
        /* Connections: those that come to the sockets bound at the start. */
        {SYS_epoll_pwait, ALWAYS, 0, 0},
        {SYS_epoll_ctl, ALWAYS, 0, 0},
        {SYS_epoll_create1, ALWAYS, 0, 0},
        {SYS_eventfd2, ALWAYS, 0, 0},
        {SYS_pipe2, ALWAYS, 0, 0}, /* libmicrohttpd, where it has no eventfd */
        {SYS_ppoll, ALWAYS, 0, 0},
        {SYS_listen, ALWAYS, 0, 0},
        {SYS_accept4, ALWAYS, 0, 0},
        {SYS_recvfrom, ALWAYS, 0, 0},
        {SYS_recvmsg, ALWAYS, 0, 0},
        {SYS_sendto, ALWAYS, 0, 0},
        {SYS_sendmsg, ALWAYS, 0, 0},
        {SYS_shutdown, ALWAYS, 0, 0},
        {SYS_setsockopt, ALWAYS, 0, 0},
        {SYS_getsockopt, ALWAYS, 0, 0},
        {SYS_getsockname, ALWAYS, 0, 0},
        {SYS_getpeername, ALWAYS, 0, 0},
        {SYS_dup, ALWAYS, 0, 0}, /* to drain a refused connection */
        {SYS_fcntl, ALWAYS, 0, 0},
        /* Files: which, is Landlock's business. */
        {SYS_read, ALWAYS, 0, 0},
        {SYS_readv, ALWAYS, 0, 0},
        {SYS_write, ALWAYS, 0, 0},
        {SYS_writev, ALWAYS, 0, 0},
        {SYS_pread64, ALWAYS, 0, 0},
        {SYS_pwrite64, ALWAYS, 0, 0},
        {SYS_lseek, ALWAYS, 0, 0},
        {SYS_close, ALWAYS, 0, 0},
        {SYS_openat, ALWAYS, 0, 0},
        {SYS_fstat, ALWAYS, 0, 0},
        {SYS_newfstatat, ALWAYS, 0, 0},
        {SYS_statx, ALWAYS, 0, 0},
        {SYS_fstatfs, ALWAYS, 0, 0},
        {SYS_statfs, ALWAYS, 0, 0},
        {SYS_faccessat, ALWAYS, 0, 0},
        {SYS_fdatasync, ALWAYS, 0, 0},
        {SYS_fsync, ALWAYS, 0, 0},
        {SYS_ftruncate, ALWAYS, 0, 0},
        {SYS_fallocate, ALWAYS, 0, 0},
        {SYS_flock, ALWAYS, 0, 0},
        {SYS_getdents64, ALWAYS, 0, 0},
        {SYS_mkdirat, ALWAYS, 0, 0},
        {SYS_unlinkat, ALWAYS, 0, 0},
        {SYS_linkat, ALWAYS, 0, 0},
        {SYS_renameat, ALWAYS, 0, 0},
        {SYS_renameat2, ALWAYS, 0, 0},
        {SYS_readlinkat, ALWAYS, 0, 0}, /* realpath */
        {SYS_getcwd, ALWAYS, 0, 0},
        /* Threads: their start, name, niceness, cost and end. */
        {SYS_clone, HAS_ALL, 0, THREAD_FLAGS},
        {SYS_clone3, ALWAYS, 0, 0}, /* refused by the other filter, see below */
        {SYS_set_robust_list, ALWAYS, 0, 0},
        {SYS_rseq, ALWAYS, 0, 0},
        {SYS_prctl, IS, 0, PR_SET_NAME},
        {SYS_gettid, ALWAYS, 0, 0},
        {SYS_getpriority, ALWAYS, 0, 0},
        {SYS_setpriority, IS, 0, PRIO_PROCESS},
        {SYS_sched_getaffinity, ALWAYS, 0, 0},
        {SYS_getrusage, ALWAYS, 0, 0},
        {SYS_exit, ALWAYS, 0, 0},
        /* Signals: waiting for those that end us, and abort. */
        {SYS_rt_sigprocmask, ALWAYS, 0, 0},
        {SYS_rt_sigaction, ALWAYS, 0, 0},
        {SYS_rt_sigreturn, ALWAYS, 0, 0},
        {SYS_rt_sigtimedwait, ALWAYS, 0, 0},
        {SYS_sigaltstack, ALWAYS, 0, 0},
        {SYS_tgkill, IS_SELF, 0, 0},
        /* Facts, of this process and the machine. */
        {SYS_getpid, ALWAYS, 0, 0},
        {SYS_getuid, ALWAYS, 0, 0},
        {SYS_geteuid, ALWAYS, 0, 0},
        {SYS_getgid, ALWAYS, 0, 0},
        {SYS_getegid, ALWAYS, 0, 0},
        {SYS_prlimit64, IS, 0, 0}, /* of itself, and without rights only downwards */
        {SYS_sysinfo, ALWAYS, 0, 0},
        {SYS_uname, ALWAYS, 0, 0},
        {SYS_exit_group, ALWAYS, 0, 0},
#if defined(__x86_64__)
        /* The same by their older names, which libraries use where there are two. */
        {SYS_epoll_wait, ALWAYS, 0, 0},
        {SYS_poll, ALWAYS, 0, 0},
        {SYS_open, ALWAYS, 0, 0},
        {SYS_stat, ALWAYS, 0, 0},
        {SYS_lstat, ALWAYS, 0, 0},
        {SYS_access, ALWAYS, 0, 0},
        {SYS_mkdir, ALWAYS, 0, 0},
        {SYS_rmdir, ALWAYS, 0, 0},
        {SYS_unlink, ALWAYS, 0, 0},
        {SYS_link, ALWAYS, 0, 0},
        {SYS_rename, ALWAYS, 0, 0},
        {SYS_readlink, ALWAYS, 0, 0},
        {SYS_time, ALWAYS, 0, 0},
#endif
};
enum { N_CALLS = sizeof(calls) / sizeof(calls[0]) };

/* Instructions: six at the start and end, and at most six for each call. */
enum { PROGRAM_MAX = 8 + 6 * N_CALLS };
static_assert(PROGRAM_MAX <= BPF_MAXINSNS, "the kernel takes the filter");

struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short n;
};

static void
emit(struct program *program, uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t value)
{
    program->code[program->n++] = (struct sock_filter){code, if_true, if_false, value};
}

static void
load(struct program *program, size_t offset)
{
    emit(program, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t) offset);
}

static void
answer(struct program *program, uint32_t value)
{
    emit(program, BPF_RET | BPF_K, 0, 0, value);
}

/* Both architectures are little-endian, and each argument asked for is an int, or
 * flags of which the kernel looks at the lower half. */
static size_t
argument_at(uint32_t argument)
{
    return offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t);
}

/* Compare the accumulator; the next two instructions allow and refuse. */
static void
compare(struct program *program, const struct call *call)
{
    switch (call->condition) {
    case HAS_ALL:
        emit(program, BPF_ALU | BPF_AND | BPF_K, 0, 0, call->value);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, call->value);
        break;
    case HAS_NONE:
        emit(program, BPF_JMP | BPF_JSET | BPF_K, 1, 0, call->value);
        break;
    case IS_SELF:
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t) getpid());
        break;
    case IS:
    case ALWAYS:
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, call->value);
        break;
    }
}

/* The number of the call is in the accumulator, and still is when it is not this one. */
static void
allow(struct program *program, const struct call *call, uint32_t otherwise)
{
    unsigned short jump = program->n;
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, call->number);
    if (call->condition != ALWAYS) {
        load(program, argument_at(call->argument));
        compare(program, call);
    }
    answer(program, SECCOMP_RET_ALLOW);
    if (call->condition != ALWAYS)
        answer(program, otherwise);
    program->code[jump].jf = (uint8_t) (program->n - jump - 1);
}

/* Calls in another architecture's numbers have other meanings; nobody here makes
 * any, so whoever does has taken over. */
static void
begin(struct program *program)
{
    program->n = 0;
    load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE);
    answer(program, SECCOMP_RET_KILL_PROCESS);
    load(program, offsetof(struct seccomp_data, nr));
}

static int
install(struct program *program, unsigned long flags)
{
    struct sock_fprog filter = {.len = program->n, .filter = program->code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter) == 0 ? 0 : errno;
}

/*
 * The flags of clone3 lie in memory, where a filter cannot look, so it is said not
 * to exist and libc uses clone.  That happens for every thread, so it stands in a
 * filter of its own, which is not logged: of two answers the stricter counts.
 */
static int
refuse_clone3(struct program *program)
{
    begin(program);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_clone3);
    answer(program, SECCOMP_RET_ERRNO | ENOSYS);
    answer(program, SECCOMP_RET_ALLOW);
    return install(program, 0);
}

/* Refused calls are logged by the kernel, where it can: the process cannot say so. */
static int
allow_calls(struct program *program)
{
    const uint32_t refuse = SECCOMP_RET_ERRNO | EPERM;
    begin(program);
    for (size_t i = 0; i < N_CALLS; i++)
        allow(program, &calls[i], refuse);
    answer(program, refuse);
    int code = install(program, SECCOMP_FILTER_FLAG_LOG);
    return code == EINVAL ? install(program, 0) : code;
}

ochre_status
och_sandbox_calls(const char **missing_out, struct ochre_error *err)
{
    struct program program;
    *missing_out = NULL;
    int code = refuse_clone3(&program);
    if (code == ENOSYS || code == EINVAL) {
        *missing_out = "this kernel has no filters of system calls";
        return OCHRE_OK;
    }
    if (code == 0)
        code = allow_calls(&program);
    return code == 0 ? OCHRE_OK : och_sandbox_fail(err, code, "filter system calls");
}

#else

ochre_status
och_sandbox_calls(const char **missing_out, struct ochre_error *err)
{
    (void) err;
    *missing_out = "the system calls of this processor are not listed";
    return OCHRE_OK;
}

#endif
