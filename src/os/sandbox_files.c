/*
 * Landlock: what this process may open.  The C library has no calls for it, and
 * headers may be older than the kernel, so numbers are given here; they are part
 * of what the kernel promises never to change.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/sandbox_internal.h"

/* Before 2, no file could be moved between directories, which ochre does. */
enum { VERSION_MIN = 2 };
enum { VERSION_TRUNCATE = 3, VERSION_NET = 4, VERSION_DEVICES = 5, VERSION_SCOPES = 6 };

/* The first release's thirteen rights over files, and what came later. */
#define RIGHTS_FIRST ((UINT64_C(1) << 13) - 1)
#define RIGHT_REFER (UINT64_C(1) << 13)
#define RIGHT_TRUNCATE (UINT64_C(1) << 14)
#define RIGHT_DEVICES (UINT64_C(1) << 15)
#define NET_ALL UINT64_C(3)    /* bind and connect, TCP */
#define SCOPES_ALL UINT64_C(3) /* abstract sockets and signals of processes outside */

/* struct landlock_ruleset_attr of the newest release we know. */
struct ruleset {
    uint64_t files, net, scopes;
};

/* In our own directories: files and directories come, move and go, and forks give
 * files second names; no devices, symbolic links, sockets or pipes are made, and nothing is executed. */
#define RIGHTS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RIGHTS_OURS                                                                 \
    (RIGHTS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
            LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |           \
            LANDLOCK_ACCESS_FS_MAKE_DIR | RIGHT_REFER | RIGHT_TRUNCATE)

/* All that is read of the rest of the system, by libraries and once each; where one
 * is not there, they do without. */
static const char *const readable[] = {
        "/dev/urandom",                   /* SQLite: random numbers of its own */
        "/etc/localtime",                 /* libc: before it prints any time */
        "/proc/sys/vm/overcommit_memory", /* malloc: whether giving back memory is worth it */
        "/sys/devices/system/cpu/online", /* libc: how many processors there are */
};

static struct ruleset
ruleset_of(long version)
{
    struct ruleset ruleset = {.files = RIGHTS_FIRST | RIGHT_REFER};
    if (version >= VERSION_TRUNCATE)
        ruleset.files |= RIGHT_TRUNCATE;
    if (version >= VERSION_NET)
        ruleset.net = NET_ALL;
    if (version >= VERSION_DEVICES)
        ruleset.files |= RIGHT_DEVICES;
    if (version >= VERSION_SCOPES)
        ruleset.scopes = SCOPES_ALL;
    return ruleset;
}

/* A kernel takes a longer struct than it knows when the rest is zero, but not
 * every one did so from the start. */
static size_t
ruleset_size(long version)
{
    if (version >= VERSION_SCOPES)
        return sizeof(struct ruleset);
    return version >= VERSION_NET ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

static int
allow(int ruleset_fd, const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return errno;
    long failed = syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int code = failed == 0 ? 0 : errno;
    (void) close(rule.parent_fd);
    return code;
}

static ochre_status
fail_to_allow(struct ochre_error *err, int code, const char *path)
{
    char what[500];
    (void) snprintf(what, sizeof(what), "confine files to \"%.400s\"", path);
    return och_sandbox_fail(err, code, what);
}

static ochre_status
allow_all(int ruleset_fd, const char *const *dirs, size_t n_dirs, uint64_t rights,
        struct ochre_error *err)
{
    for (size_t i = 0; i < n_dirs; i++) {
        int code = allow(ruleset_fd, dirs[i], rights);
        if (code != 0)
            return fail_to_allow(err, code, dirs[i]);
    }
    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++) {
        int code = allow(ruleset_fd, readable[i], LANDLOCK_ACCESS_FS_READ_FILE);
        if (code != 0 && code != ENOENT && code != EACCES && code != ENOTDIR)
            return fail_to_allow(err, code, readable[i]);
    }
    return OCHRE_OK;
}

/* What this kernel has; 0: nothing, with *missing_out. */
static long
find_version(const char **missing_out)
{
    long version =
            syscall(SYS_landlock_create_ruleset, NULL, (size_t) 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version >= VERSION_MIN)
        return version;
    *missing_out = version == 1   ? "this kernel's Landlock cannot move files between directories"
            : errno == ENOSYS     ? "this kernel has no Landlock"
            : errno == EOPNOTSUPP ? "Landlock is switched off in this kernel"
                                  : "Landlock is refused here";
    return 0;
}

ochre_status
och_sandbox_files(const char *const *dirs, size_t n_dirs, bool read_only, const char **missing_out,
        struct ochre_error *err)
{
    *missing_out = NULL;
    long version = find_version(missing_out);
    if (version == 0)
        return OCHRE_OK;
    struct ruleset ruleset = ruleset_of(version);
    uint64_t rights = read_only ? RIGHTS_READ : RIGHTS_OURS;
    int fd = (int) syscall(SYS_landlock_create_ruleset, &ruleset, ruleset_size(version), 0);
    if (fd < 0)
        return och_sandbox_fail(err, errno, "make a Landlock ruleset");
    ochre_status status = allow_all(fd, dirs, n_dirs, rights & ruleset.files, err);
    if (status == OCHRE_OK && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        status = och_sandbox_fail(err, errno, "apply a Landlock ruleset");
    (void) close(fd);
    return status;
}
