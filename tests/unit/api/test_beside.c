/*
 * test_beside.c - what restores and repairs leave that are killed: the next one makes good
 * of it, and touches nothing that is somebody else's.
 *
 * A child process does the work up to a point, and is gone without a word.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/backup_stream.h"
#include "api/beside.h"
#include "api/check.h"
#include "api/repair.h"
#include "api/restore_internal.h"
#include "base/buf.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "ochre/ochre.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/vfs_posix.h"
#include "storage/directory.h"
#include "support/check.h"

enum { PATH_SIZE = 512, STREAM_MAX = 1 << 24, KILLED = 9 };

struct fixture {
    struct och_mem mem;
    char root[128];
    char source[PATH_SIZE]; /* a database */
    char again[PATH_SIZE];  /* where it is restored */
    struct och_buf stream;
    struct och_backup_options options;
    struct och_backup_totals totals; /* of the last restore */
    size_t n_taken;                  /* bytes of the stream that it read */
    struct ochre_error err;
};

static const struct och_beside_kind repair_beside = {
        .suffix = ".repairing", .mark = OCH_DIR_REPAIRING, .does = "repairs"};

/* --- files ------------------------------------------------------------------------ */

static const char *
below(char path[PATH_SIZE], const char *dir, const char *rest)
{
    (void) snprintf(path, PATH_SIZE, "%.400s%.100s", dir, rest);
    return path;
}

static bool
is_there(const char *dir, const char *rest)
{
    char path[PATH_SIZE];
    return access(below(path, dir, rest), F_OK) == 0;
}

static void
put_file(const char *dir, const char *rest)
{
    char path[PATH_SIZE];
    FILE *file = fopen(below(path, dir, rest), "w");
    check(file != NULL && fputs("somebody's", file) >= 0 && fclose(file) == 0);
}

static void
remove_tree(const char *dir)
{
    char command[PATH_SIZE + 16];
    (void) snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe,cert-env33-c): one thread, and a path of ours */
    check(system(command) == 0);
}

static void
make_database(const char *path)
{
    struct ochre_error err;
    ochre_db *db = NULL;
    check_ok(ochre_open(path, NULL, &db, &err), &err);
    ochre_close(db);
}

static bool
is_sound(const char *path)
{
    struct och_check_totals totals;
    return och_check_directory(path, NULL, &totals, NULL) == OCHRE_OK;
}

/* --- the fixture ------------------------------------------------------------------- */

static void
fill_stream(struct fixture *f)
{
    static char bytes[65536];
    struct och_backup_stream *stream = NULL;
    size_t n = 1;
    check_ok(och_backup_stream_open_directory(&f->options, f->source, &stream, &f->err), &f->err);
    while (n > 0) {
        check_ok(och_backup_stream_read(stream, bytes, sizeof(bytes), &n, &f->err), &f->err);
        och_buf_put(&f->stream, bytes, n);
    }
    och_backup_stream_close(stream);
    check(och_buf_status(&f->stream) == OCHRE_OK);
}

static void
begin(struct fixture *f)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *tmp = getenv("TMPDIR");
    *f = (struct fixture){.root = ""};
    (void) snprintf(
            f->root, sizeof(f->root), "%.90s/ochre-beside-XXXXXX", tmp != NULL ? tmp : "/tmp");
    check(mkdtemp(f->root) != NULL);
    below(f->source, f->root, "/source");
    below(f->again, f->root, "/again");
    och_mem_init(&f->mem, NULL);
    och_buf_init(&f->stream, &f->mem, STREAM_MAX);
    f->options = (struct och_backup_options){.mem = &f->mem, .machine = och_machine_posix()};
    make_database(f->source);
    fill_stream(f);
}

static void
end(struct fixture *f)
{
    och_buf_clear(&f->stream);
    check(och_mem_used(&f->mem) == 0);
    remove_tree(f->root);
}

/* Have a child do it, and be gone; its exit status. */
static int
in_child(void (*work)(struct fixture *f, int n), struct fixture *f, int n)
{
    int status = 0;
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        work(f, n);
        _exit(0);
    }
    check(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* --- restoring ------------------------------------------------------------------------ */

struct input {
    const struct och_buf *stream;
    size_t at;
    int n_left;           /* reads before the process is gone; negative: never */
    const char *obstacle; /* a directory that somebody makes when all has been read */
};

static ochre_status
read_input(void *context, void *bytes, size_t size, size_t *n_read_out, struct ochre_error *err)
{
    struct input *input = context;
    (void) err;
    if (input->n_left-- == 0)
        _exit(KILLED);
    size_t left = input->stream->size - input->at;
    if (left == 0 && input->obstacle != NULL && mkdir(input->obstacle, 0700) == 0)
        put_file(input->obstacle, "/ours");
    *n_read_out = size < left ? size : left;
    if (*n_read_out > 0)
        memcpy(bytes, input->stream->data + input->at, *n_read_out);
    input->at += *n_read_out;
    return OCHRE_OK;
}

static ochre_status
restore(struct fixture *f, int n_reads, bool *is_redone_out)
{
    struct input from = {.stream = &f->stream, .n_left = n_reads};
    const struct och_backup_input input = {.read = read_input, .context = &from};
    ochre_status status = och_restore_stream(&f->options, &input, f->again, &f->totals, &f->err);
    *is_redone_out = f->totals.is_redone;
    f->n_taken = from.at;
    return status;
}

static void
restore_a_part(struct fixture *f, int n)
{
    bool is_redone = false;
    check_ok(restore(f, n, &is_redone), &f->err);
}

/* There is a whole database now, and nothing beside it. */
static void
check_restored(struct fixture *f, bool had_leftover)
{
    bool is_redone = false;
    check(is_there(f->again, ".restoring/data") == had_leftover);
    check_ok(restore(f, -1, &is_redone), &f->err);
    check(is_redone == had_leftover);
    check(is_sound(f->again) && !is_there(f->again, "/RESTORING"));
    check(!is_there(f->again, ".restoring"));
}

static void
one_that_was_killed_while_it_read_is_done_again(void **state)
{
    (void) state;
    static struct fixture f;
    unsigned n_left = 0;
    int code = KILLED;
    begin(&f);
    for (int n = 0; code == KILLED; n++) {
        code = in_child(restore_a_part, &f, n);
        check((code == 0) == is_there(f.again, ""));
        if (code != KILLED)
            break;
        bool had_leftover = is_there(f.again, ".restoring/data");
        n_left += had_leftover;
        check_restored(&f, had_leftover);
        remove_tree(f.again);
    }
    check(code == 0 && n_left > 3 && is_sound(f.again));
    end(&f);
}

enum { WHOLE, OPENED, NAMED };

/* Up to where FORMAT is there; and then as a replay, or the end of it, would go on. */
static void
restore_to_the_end(struct fixture *f, int until)
{
    struct input from = {.stream = &f->stream, .n_left = -1};
    const struct och_backup_input input = {.read = read_input, .context = &from};
    struct och_backup_totals totals;
    struct och_beside *beside = NULL;
    struct och_vfs *vfs = NULL;
    ochre_db *db = NULL;
    bool is_redone = false;
    check_ok(och_restore_begin_beside(&f->mem, f->again, NULL, &beside, &vfs, &is_redone, &f->err),
            &f->err);
    check_ok(och_restore_stream_vfs(&f->options, &input, vfs, &totals, &f->err), &f->err);
    if (until == OPENED) {
        check_ok(ochre_open(beside->data, NULL, &db, &f->err), &f->err);
        check_ok(ochre_tenant_create(db, "later", &f->err), &f->err);
    }
    if (until == NAMED)
        check_ok(och_beside_name(beside, &f->err), &f->err);
}

static void
one_that_was_killed_before_the_name_is_done_again(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    check(in_child(restore_to_the_end, &f, OPENED) == 0);
    check(is_there(f.again, ".restoring/data/FORMAT") && !is_there(f.again, ""));
    check_restored(&f, true);
    check(!f.totals.is_finished);
    end(&f);
}

/* All of it is there, and had only not become DIR: the next one of the same backup does that. */
static void
one_that_only_lacks_its_name_is_finished(void **state)
{
    (void) state;
    static struct fixture f;
    bool is_redone = true;
    begin(&f);
    check(in_child(restore_to_the_end, &f, WHOLE) == 0);
    check(is_there(f.again, ".restoring/data/FORMAT") && !is_there(f.again, ""));
    check_ok(restore(&f, -1, &is_redone), &f.err);
    check(f.totals.is_finished && !is_redone && f.totals.n_files_copied == 0);
    check(f.n_taken == f.stream.size); /* who writes the stream is not cut off */
    check(is_sound(f.again) && !is_there(f.again, ".restoring"));
    remove_tree(f.again);
    /* Somebody takes the name meanwhile. */
    struct input from = {.stream = &f.stream, .n_left = -1, .obstacle = f.again};
    const struct och_backup_input input = {.read = read_input, .context = &from};
    check(och_restore_stream(&f.options, &input, f.again, &f.totals, &f.err) == OCHRE_EXISTS);
    check(strstr(f.err.message, "again.restoring/data, and the same restore again") != NULL);
    check(is_there(f.again, "/ours") && is_there(f.again, ".restoring/data/FORMAT"));
    remove_tree(f.again);
    check_ok(restore(&f, -1, &is_redone), &f.err);
    check(f.totals.is_finished && is_sound(f.again) && !is_there(f.again, ".restoring"));
    remove_tree(f.again);
    /* Another backup of it is not what is there. */
    check(in_child(restore_to_the_end, &f, WHOLE) == 0);
    remove_tree(f.source);
    make_database(f.source);
    och_buf_reset(&f.stream);
    fill_stream(&f);
    check_restored(&f, true);
    check(!f.totals.is_finished);
    end(&f);
}

static void
one_that_was_killed_behind_the_name_is_done(void **state)
{
    (void) state;
    static struct fixture f;
    bool is_redone = false;
    begin(&f);
    check(in_child(restore_to_the_end, &f, NAMED) == 0);
    check(is_sound(f.again) && is_there(f.again, ".restoring/RESTORING"));
    put_file(f.again, "/ours");
    check(restore(&f, -1, &is_redone) == OCHRE_EXISTS);
    check(is_there(f.again, "/ours") && !is_there(f.again, ".restoring"));
    end(&f);
}

/* A restore is refused with this, and what is at ".restoring" stays. */
static void
check_refused(struct fixture *f, ochre_status wanted, const char *stays)
{
    bool is_redone = false;
    check(restore(f, -1, &is_redone) == wanted && !is_redone);
    check(!is_there(f->again, "") && is_there(f->again, stays));
}

static void
what_is_somebody_elses_stays(void **state)
{
    (void) state;
    static struct fixture f;
    char path[PATH_SIZE];
    char other[PATH_SIZE];
    begin(&f);
    /* A database, and a directory, of this name. */
    below(path, f.again, ".restoring");
    make_database(path);
    check_refused(&f, OCHRE_EXISTS, ".restoring/FORMAT");
    check(is_sound(path));
    remove_tree(path);
    check(mkdir(path, 0700) == 0);
    put_file(path, "/file");
    check_refused(&f, OCHRE_EXISTS, ".restoring/file");
    remove_tree(path);
    /* data/ without a mark. */
    check(mkdir(path, 0700) == 0);
    make_database(below(other, f.again, ".restoring/data"));
    check_refused(&f, OCHRE_EXISTS, ".restoring/data/FORMAT");
    check(is_sound(other));
    /* A mark that says nothing. */
    put_file(path, "/RESTORING");
    check_refused(&f, OCHRE_EXISTS, ".restoring/data/FORMAT");
    check(is_sound(other));
    remove_tree(path);
    /* Another database in the place of what was being restored.  Its LOCK has another
     * number as long as the old one is open. */
    check(in_child(restore_to_the_end, &f, WHOLE) == 0);
    char lock[PATH_SIZE];
    int fd = open(below(lock, f.again, ".restoring/data/LOCK"), O_RDONLY | O_CLOEXEC);
    check(fd >= 0);
    remove_tree(other);
    make_database(other);
    (void) close(fd);
    check_refused(&f, OCHRE_EXISTS, ".restoring/data/FORMAT");
    check(is_sound(other));
    remove_tree(path);
    /* A file that no restore makes, in what was being restored. */
    check(in_child(restore_to_the_end, &f, WHOLE) == 0);
    put_file(other, "/notes");
    check_refused(&f, OCHRE_EXISTS, ".restoring/data/notes");
    remove_tree(path);
    end(&f);
}

static void
what_is_in_use_is_left_alone(void **state)
{
    (void) state;
    static struct fixture f;
    char path[PATH_SIZE];
    static const char *const locks[] = {".restoring/RESTORING", ".restoring/data/LOCK"};
    begin(&f);
    check(in_child(restore_to_the_end, &f, WHOLE) == 0);
    for (size_t i = 0; i < sizeof(locks) / sizeof(locks[0]); i++) {
        int fd = open(below(path, f.again, locks[i]), O_RDWR | O_CLOEXEC);
        check(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
        check_refused(&f, OCHRE_BUSY, ".restoring/data/FORMAT");
        (void) close(fd);
    }
    bool is_redone = true;
    check_ok(restore(&f, -1, &is_redone), &f.err);
    check(f.totals.is_finished && !is_redone);
    end(&f);
}

/* --- repairing ------------------------------------------------------------------------ */

struct watch {
    struct fixture *f;
    int n_left; /* calls before something happens; negative: never */
    unsigned n_locked;
    int to_other[2], from_other[2]; /* pipes */
};

static ochre_status
take(struct fixture *f, const char *path)
{
    struct och_directory directory;
    struct och_vfs *vfs = NULL;
    ochre_status status = och_vfs_posix_open(&f->mem, path, false, &vfs, NULL);
    if (status == OCHRE_OK)
        status = och_directory_open(vfs, f->options.machine, false, &directory, NULL);
    if (status == OCHRE_OK)
        och_directory_close(&directory);
    och_vfs_posix_close(vfs);
    return status;
}

static void
kill_at(void *context, const char *phase, uint64_t done, uint64_t total)
{
    struct watch *watch = context;
    (void) phase;
    (void) done;
    (void) total;
    if (watch->n_left-- == 0)
        _exit(KILLED);
}

static ochre_status
repair(struct fixture *f, struct watch *watch,
        void (*progress)(void *context, const char *phase, uint64_t done, uint64_t total),
        char kept[PATH_SIZE], struct och_repair_totals *totals)
{
    const struct och_repair_options how = {
            .mem = &f->mem, .machine = f->options.machine, .progress = progress, .context = watch};
    return och_repair_in_place(&how, f->source, kept, PATH_SIZE, totals, &f->err);
}

static void
repair_a_part(struct fixture *f, int n)
{
    char kept[PATH_SIZE];
    struct och_repair_totals totals;
    struct watch watch = {.f = f, .n_left = n};
    check_ok(repair(f, &watch, kill_at, kept, &totals), &f->err);
}

static void
check_repaired(struct fixture *f, const char *damaged, bool is_finished)
{
    char kept[PATH_SIZE];
    char wanted[PATH_SIZE];
    struct och_repair_totals totals;
    check_ok(repair(f, NULL, NULL, kept, &totals), &f->err);
    check(totals.is_finished == is_finished);
    check(strcmp(kept, below(wanted, f->source, damaged)) == 0);
    check(is_there(f->source, "/REPAIR") && is_sound(f->source));
    check(is_there(kept, "/FORMAT") && is_there(kept, "/first") && !is_there(kept, "/REPAIR"));
    check(!is_there(f->source, ".repairing"));
}

static void
a_repair_that_was_killed_is_done_again(void **state)
{
    (void) state;
    static struct fixture f;
    unsigned n_left = 0;
    int code = KILLED;
    char path[PATH_SIZE];
    begin(&f);
    put_file(f.source, "/first"); /* the directory as it was is known by it */
    for (int n = 0; code == KILLED; n += 7) {
        code = in_child(repair_a_part, &f, n);
        if (code != KILLED)
            break;
        check(is_there(f.source, "/first"));
        n_left += is_there(f.source, ".repairing/data");
        check_repaired(&f, ".damaged-1", false);
        remove_tree(f.source);
        check(rename(below(path, f.source, ".damaged-1"), f.source) == 0);
    }
    check(code == 0 && n_left > 2);
    end(&f);
}

/* Up to where the two have changed names. */
static void
repair_and_exchange(struct fixture *f, int n)
{
    struct och_beside *beside = NULL;
    enum och_beside_state state;
    struct och_vfs *from = NULL;
    struct och_vfs *to = NULL;
    struct och_repair_totals totals;
    const struct och_repair_options how = {.mem = &f->mem,
            .machine = f->options.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL)};
    (void) n;
    check_ok(och_beside_begin(&f->mem, &repair_beside, f->source, &beside, &state, &f->err),
            &f->err);
    check_ok(och_vfs_posix_open(&f->mem, f->source, false, &from, &f->err), &f->err);
    check_ok(och_beside_make(beside, &to, &f->err), &f->err);
    check_ok(och_repair_vfs(&how, from, to, &totals, &f->err), &f->err);
    check_ok(och_dir_exchange(f->source, beside->data, &f->err), &f->err);
}

static void
a_repair_that_was_killed_behind_the_exchange_is_finished(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    put_file(f.source, "/first");
    check(in_child(repair_and_exchange, &f, 0) == 0);
    check(is_there(f.source, "/REPAIR") && is_there(f.source, ".repairing/data/first"));
    check_repaired(&f, ".damaged-1", true);
    end(&f);
}

/* Somebody wants the directory all the time, once he is told to: what he gets, if anything,
 * is the one that was repaired. */
static void
want_directory(struct fixture *f, int told, int tells)
{
    pid_t parent = getppid();
    struct och_vfs *vfs = NULL;
    struct och_directory directory;
    char byte = 0;
    if (read(told, &byte, 1) != 1)
        _exit(2);
    for (bool has_told = false; getppid() == parent; has_told = true) {
        bool is_repaired = false;
        ochre_status status = och_vfs_posix_open(&f->mem, f->source, false, &vfs, NULL);
        if (status == OCHRE_OK)
            status = och_directory_open(vfs, f->options.machine, false, &directory, NULL);
        if (status == OCHRE_OK) {
            status = och_vfs_exists(vfs, OCH_REPAIR_REPORT, &is_repaired, NULL);
            _exit(status == OCHRE_OK && is_repaired ? 0 : 1);
        }
        och_vfs_posix_close(vfs);
        vfs = NULL;
        if (!has_told && write(tells, "x", 1) != 1)
            _exit(2);
    }
    _exit(2);
}

static void
begin_wanting(void *context, const char *phase, uint64_t done, uint64_t total)
{
    struct watch *watch = context;
    char byte = 0;
    (void) phase;
    (void) done;
    (void) total;
    watch->n_locked += take(watch->f, watch->f->source) == OCHRE_BUSY;
    if (watch->n_left-- != 0)
        return;
    check(write(watch->to_other[1], "x", 1) == 1);
    check(read(watch->from_other[0], &byte, 1) == 1);
}

static void
nobody_takes_a_directory_before_it_has_its_name(void **state)
{
    (void) state;
    static struct fixture f;
    char kept[PATH_SIZE];
    struct och_repair_totals totals;
    int status = 1;
    begin(&f);
    struct watch watch = {.f = &f, .n_left = 20};
    check(pipe(watch.to_other) == 0 && pipe(watch.from_other) == 0);
    /* Before there are locks, which a child has as well. */
    pid_t other = fork();
    check(other >= 0);
    if (other == 0)
        want_directory(&f, watch.to_other[0], watch.from_other[1]);
    check_ok(repair(&f, &watch, begin_wanting, kept, &totals), &f.err);
    check(watch.n_left < 0 && watch.n_locked > 20);
    check(waitpid(other, &status, 0) == other);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (size_t i = 0; i < 2; i++) {
        (void) close(watch.to_other[i]);
        (void) close(watch.from_other[i]);
    }
    end(&f);
}

/* Who opened the directory before its name went to another one, and locks it after that. */
static void
who_has_opened_the_directory_before_is_refused(void **state)
{
    (void) state;
    static struct fixture f;
    char kept[PATH_SIZE];
    struct och_repair_totals totals;
    struct och_directory directory;
    struct och_vfs *before = NULL;
    begin(&f);
    check_ok(och_vfs_posix_open(&f.mem, f.source, false, &before, &f.err), &f.err);
    check_ok(repair(&f, NULL, NULL, kept, &totals), &f.err);
    check(och_directory_open(before, f.options.machine, false, &directory, &f.err) == OCHRE_BUSY);
    och_vfs_posix_close(before);
    check(take(&f, f.source) == OCHRE_OK && take(&f, kept) == OCHRE_OK);
    end(&f);
}

/* A repair that could not exchange the names says that data/ is whole, and somebody may use it. */
static void
what_was_told_of_is_not_removed(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_beside *beside = NULL;
    enum och_beside_state what = OCH_BESIDE_NONE;
    struct och_vfs *vfs = NULL;
    char data[PATH_SIZE];
    bool named = true;
    begin(&f);
    check_ok(och_beside_begin(&f.mem, &repair_beside, f.source, &beside, &what, &f.err), &f.err);
    check_ok(och_beside_make(beside, &vfs, &f.err), &f.err);
    och_vfs_posix_close(vfs);
    below(data, f.source, ".repairing/data");
    make_database(data);
    check_ok(och_beside_keep(beside, &named, &f.err), &f.err);
    check(!named);
    och_beside_end(beside);
    check(is_sound(data));
    check(och_beside_begin(&f.mem, &repair_beside, f.source, &beside, &what, &f.err) ==
            OCHRE_EXISTS);
    check(strstr(f.err.message, "is not empty; move it away") != NULL);
    char kept[PATH_SIZE];
    struct och_repair_totals totals;
    const struct och_repair_options options = {.mem = &f.mem, .machine = och_machine_posix()};
    check(och_repair_in_place(&options, f.source, kept, sizeof(kept), &totals, &f.err) ==
            OCHRE_EXISTS);
    check(is_sound(data) && is_sound(f.source));
    end(&f);
}

/* ... and if the names were exchanged after all, the next one goes on from there. */
static void
what_was_exchanged_after_all_is_known(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_beside *beside = NULL;
    enum och_beside_state what = OCH_BESIDE_NONE;
    struct och_vfs *vfs = NULL;
    char data[PATH_SIZE];
    bool named = false;
    begin(&f);
    check_ok(och_beside_begin(&f.mem, &repair_beside, f.source, &beside, &what, &f.err), &f.err);
    check_ok(och_beside_make(beside, &vfs, &f.err), &f.err);
    och_vfs_posix_close(vfs);
    check_ok(och_dir_exchange(f.source, below(data, f.source, ".repairing/data"), &f.err), &f.err);
    check_ok(och_beside_keep(beside, &named, &f.err), &f.err);
    check(named);
    och_beside_end(beside);
    check_ok(och_beside_begin(&f.mem, &repair_beside, f.source, &beside, &what, &f.err), &f.err);
    check(what == OCH_BESIDE_EXCHANGED);
    och_beside_end(beside);
    check(is_sound(data));
    end(&f);
}

static void
a_mount_point_is_refused_before_anything_is_done(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f);
    check_ok(och_dir_check_exchange(f.root, &f.err), &f.err);
    check(och_dir_check_exchange("/proc", &f.err) == OCHRE_UNSUPPORTED);
    check(strstr(f.err.message, "/proc is a mount point") != NULL);
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(one_that_was_killed_while_it_read_is_done_again),
            cmocka_unit_test(one_that_was_killed_before_the_name_is_done_again),
            cmocka_unit_test(one_that_only_lacks_its_name_is_finished),
            cmocka_unit_test(one_that_was_killed_behind_the_name_is_done),
            cmocka_unit_test(what_is_somebody_elses_stays),
            cmocka_unit_test(what_is_in_use_is_left_alone),
            cmocka_unit_test(a_repair_that_was_killed_is_done_again),
            cmocka_unit_test(a_repair_that_was_killed_behind_the_exchange_is_finished),
            cmocka_unit_test(nobody_takes_a_directory_before_it_has_its_name),
            cmocka_unit_test(who_has_opened_the_directory_before_is_refused),
            cmocka_unit_test(what_was_told_of_is_not_removed),
            cmocka_unit_test(what_was_exchanged_after_all_is_known),
            cmocka_unit_test(a_mount_point_is_refused_before_anything_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
