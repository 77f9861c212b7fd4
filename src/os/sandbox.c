#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/error.h"
#include "os/sandbox_internal.h"

/* A user's entry: names, a directory and a comment. */
enum { ENTRY_SIZE = 8 * 1024 };

/* Above the last capability that a kernel will have. */
enum { CAPABILITIES_MAX = 64 };

#define USER_NUMBER_MAX UINT32_C(0xfffffffe) /* the one above means "leave it" */

struct user {
    uid_t uid;
    gid_t gid;
};

ochre_status
och_sandbox_fail(struct ochre_error *err, int code, const char *what)
{
    char buffer[100];
    return och_fail(err, OCHRE_IO, "cannot %s: %s", what, strerror_r(code, buffer, sizeof(buffer)));
}

/* --- another user ---------------------------------------------------------------- */

static bool
parse_number(const char *text, uint32_t *number_out)
{
    uint64_t number = 0;
    *number_out = 0;
    if (text[0] == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        number = number * 10 + (uint64_t) (*text - '0');
        if (number > USER_NUMBER_MAX)
            return false;
    }
    *number_out = (uint32_t) number;
    return true;
}

static ochre_status
find_user(const char *text, struct user *user_out, struct ochre_error *err)
{
    char buffer[ENTRY_SIZE];
    struct passwd entry;
    struct passwd *found = NULL;
    uint32_t number = 0;
    bool is_number = parse_number(text, &number);
    int code = is_number ? getpwuid_r(number, &entry, buffer, sizeof(buffer), &found)
                         : getpwnam_r(text, &entry, buffer, sizeof(buffer), &found);
    if (found != NULL)
        *user_out = (struct user){entry.pw_uid, entry.pw_gid};
    else if (is_number)
        *user_out = (struct user){number, number};
    else
        return och_fail(err, OCHRE_INVALID, "there is no user \"%.100s\"%s%s", text,
                code == 0 ? "" : ": ", code == 0 ? "" : strerror_r(code, buffer, sizeof(buffer)));
    return OCHRE_OK;
}

/* Trust no answer but what the kernel says afterwards. */
static bool
is_now(const struct user *user)
{
    uid_t uids[3];
    gid_t gids[3];
    if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
            getresgid(&gids[0], &gids[1], &gids[2]) != 0 || getgroups(0, NULL) != 0)
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (uids[i] != user->uid || gids[i] != user->gid)
            return false;
    }
    return setresuid((uid_t) -1, 0, (uid_t) -1) != 0; /* and there is no way back */
}

static ochre_status
become(const char *name, struct ochre_error *err)
{
    struct user user = {0};
    ochre_status status = find_user(name, &user, err);
    if (status != OCHRE_OK)
        return status;
    if (user.uid == 0)
        return och_fail(err, OCHRE_INVALID,
                "user \"%.100s\" is root, which is nobody to change to; leave the user out", name);
    if (user.uid == getuid() && user.uid == geteuid())
        return OCHRE_OK;
    if (geteuid() != 0)
        return och_fail(err, OCHRE_INVALID,
                "cannot become user \"%.100s\": only root can, and this is user %u", name,
                (unsigned) geteuid());
    if (setgroups(0, NULL) != 0 || setresgid(user.gid, user.gid, user.gid) != 0 ||
            setresuid(user.uid, user.uid, user.uid) != 0)
        return och_sandbox_fail(err, errno, "become another user");
    if (!is_now(&user))
        return och_fail(err, OCHRE_IO, "became user \"%.100s\", but not for good", name);
    return OCHRE_OK;
}

/* --- capabilities ------------------------------------------------------------------ */

/* What a program could be given that is executed later.  Who is not privileged may
 * not shrink it, and gains nothing by it either: see no_new_privileges. */
static ochre_status
empty_bounding_set(struct ochre_error *err)
{
    for (unsigned long i = 0; i < CAPABILITIES_MAX; i++) {
        int has = prctl(PR_CAPBSET_READ, i, 0UL, 0UL, 0UL);
        if (has < 0)
            break; /* past the last one */
        if (has == 1 && prctl(PR_CAPBSET_DROP, i, 0UL, 0UL, 0UL) != 0 && errno != EPERM)
            return och_sandbox_fail(err, errno, "shrink the bounding set of capabilities");
    }
    return OCHRE_OK;
}

/* Root has its files then like any other user: those it owns. */
static ochre_status
drop_capabilities(struct ochre_error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL) != 0 && errno != EINVAL)
        return och_sandbox_fail(err, errno, "drop ambient capabilities");
    if (syscall(SYS_capset, &header, none) != 0)
        return och_sandbox_fail(err, errno, "drop capabilities");
    return OCHRE_OK;
}

static ochre_status
no_new_privileges(struct ochre_error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0)
        return och_sandbox_fail(err, errno, "refuse new privileges");
    return OCHRE_OK;
}

static ochre_status
no_core_dumps(struct ochre_error *err)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return och_sandbox_fail(err, errno, "refuse core dumps");
    return OCHRE_OK;
}

ochre_status
och_sandbox_give_up(const struct och_sandbox_rights *rights, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    if (!rights->keep)
        status = empty_bounding_set(err); /* while we may */
    if (status == OCHRE_OK && rights->user != NULL)
        status = become(rights->user, err);
    if (status != OCHRE_OK || rights->keep)
        return status;
    status = drop_capabilities(err);
    if (status == OCHRE_OK)
        status = no_new_privileges(err);
    if (status == OCHRE_OK && !rights->core_dumps)
        status = no_core_dumps(err);
    return status;
}

ochre_status
och_sandbox_may_use(const char *path, bool read_only, struct ochre_error *err)
{
    char buffer[100];
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode))
        return OCHRE_OK; /* opening it will say so */
    int wanted = R_OK | X_OK | (read_only ? 0 : W_OK);
    if (faccessat(AT_FDCWD, path, wanted, AT_EACCESS) == 0 || errno == ENOENT)
        return OCHRE_OK;
    int code = errno;
    return och_fail(err, OCHRE_INVALID, "directory \"%.300s\" cannot be used by user %u (%s)%s",
            path, (unsigned) geteuid(), strerror_r(code, buffer, sizeof(buffer)),
            code == EACCES ? ": it has to be that user's" : "");
}

/* --- both halves ------------------------------------------------------------------- */

#ifdef OCH_INSTRUMENTED
static const bool is_instrumented = true;
#else
static const bool is_instrumented = false;
#endif

ochre_status
och_sandbox_enter(const char *const *dirs, size_t n_dirs, bool read_only,
        struct och_sandbox *sandbox_out, struct ochre_error *err)
{
    *sandbox_out = (struct och_sandbox){.files_missing = NULL};
    if (is_instrumented) {
        sandbox_out->files_missing = "this build has sanitizers or counts coverage";
        sandbox_out->calls_missing = sandbox_out->files_missing;
        return OCHRE_OK;
    }
    ochre_status status = no_new_privileges(err); /* which both ask for */
    if (status == OCHRE_OK)
        status = och_sandbox_files(dirs, n_dirs, read_only, &sandbox_out->files_missing, err);
    if (status == OCHRE_OK)
        status = och_sandbox_calls(&sandbox_out->calls_missing, err);
    return status;
}
