/* The log, read while it is written. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "sim/sim_watch.h"
#include "storage/wal.h"
#include "storage/wal_follow.h"
#include "support/check.h"

enum { N_RECORDS_MAX = 512 };

/* What a follower visited, in order. */
struct seen {
    size_t n, n_damaged;
    uint64_t lsn[N_RECORDS_MAX];
    uint64_t hash[N_RECORDS_MAX];
    uint64_t refuse_lsn; /* visiting this one fails; 0: none does */
};

struct fixture {
    struct och_mem own, mem; /* mem: the follower's */
    struct sim_disk *disk;
    struct sim_machine machine;
    struct och_wal_options options;
    struct och_wal *wal;
    struct och_wal_follower *follower;
    struct seen seen;
};

static ochre_status
note_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct seen *seen = context;
    if (record->lsn == seen->refuse_lsn) {
        if (err != NULL)
            err->status = OCHRE_NO_MEMORY;
        return OCHRE_NO_MEMORY;
    }
    check(seen->n < N_RECORDS_MAX);
    seen->n_damaged += damaged;
    seen->lsn[seen->n] = record->lsn;
    seen->hash[seen->n++] = och_hash64(record->payload.data, record->payload.size);
    return OCHRE_OK;
}

static ochre_status
ignore_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    (void) context;
    (void) record;
    (void) damaged;
    (void) err;
    return OCHRE_OK;
}

static void
open_writer(struct fixture *f)
{
    struct ochre_error err;
    struct och_wal_options options = f->options;
    options.mem = &f->own;
    och_wal_close(f->wal);
    check_ok(och_wal_open(&options, ignore_record, NULL, &f->wal, &err), &err);
}

static void
begin(struct fixture *f)
{
    struct ochre_error err;
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->own, 1);
    sim_machine_init(&f->machine, 1);
    f->options = (struct och_wal_options){.mem = &f->mem,
            .vfs = sim_disk_vfs(f->disk),
            .machine = &f->machine.machine,
            .database = {{1, 2, 3}}};
    open_writer(f);
    check_ok(och_wal_follower_open(&f->options, &f->follower, &err), &err);
}

static void
end(struct fixture *f)
{
    och_wal_follower_close(f->follower);
    check(och_mem_used(&f->mem) == 0);
    och_wal_close(f->wal);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->own) == 0);
}

/* Append a group of n records of `size` bytes, each full of its LSN. */
static ochre_status
append(struct fixture *f, size_t n, size_t size, struct ochre_error *err)
{
    static char bytes[1 << 21];
    struct och_log_record records[8];
    check(n <= 8 && n * size <= sizeof(bytes));
    uint64_t lsn = och_wal_next_lsn(f->wal);
    for (size_t i = 0; i < n; i++) {
        char *payload = bytes + i * size;
        memset(payload, (int) (lsn + i), size);
        records[i] = (struct och_log_record){.position = lsn + i,
                .collection = 7,
                .type = 1,
                .payload = {payload, size},
                .payload_crc = och_crc32c(0, payload, size)};
    }
    return och_wal_append(f->wal, records, n, err);
}

static void
add(struct fixture *f, size_t n, size_t size)
{
    struct ochre_error err;
    check_ok(append(f, n, size, &err), &err);
}

/* Look; *lost tells whether records were lost. */
static void
follow(struct fixture *f, bool now, bool lost_wanted)
{
    struct ochre_error err;
    bool lost;
    check_ok(och_wal_follow(f->follower, now, note_record, &f->seen, &lost, &err), &err);
    check(lost == lost_wanted);
}

/* The records seen are those from `first` on, of this size, and no others. */
static void
check_seen(const struct fixture *f, uint64_t first, size_t n, size_t size)
{
    static char payload[1 << 21];
    check(f->seen.n == n && f->seen.n_damaged == 0);
    for (size_t i = 0; i < n; i++) {
        check(f->seen.lsn[i] == first + i);
        memset(payload, (int) (first + i), size);
        check(f->seen.hash[i] == och_hash64(payload, size));
    }
}

static ochre_status
note_name(void *context, const char *name, bool is_dir)
{
    (void) is_dir;
    (void) snprintf(context, 64, "log/%s", name);
    return OCHRE_OK;
}

static void
newest_file(struct fixture *f, char path[64])
{
    struct ochre_error err;
    check_ok(och_vfs_list(f->options.vfs, "log", note_name, path, &err), &err);
}

/* --- tests ------------------------------------------------------------------ */

static void
a_group_is_visited_when_something_says_that_it_is_durable(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    follow(&f, false, false);
    check(f.seen.n == 0 && och_wal_follower_next_lsn(f.follower) == 1);
    add(&f, 2, 100);
    follow(&f, false, false);
    check_seen(&f, 1, 0, 100); /* nothing says so yet */
    follow(&f, false, false);
    check_seen(&f, 1, 2, 100); /* it was made so */
    add(&f, 1, 100);
    add(&f, 3, 100);
    follow(&f, false, false);
    check_seen(&f, 1, 3, 100); /* the second group speaks for the first */
    add(&f, 1, 100);
    follow(&f, false, false);
    check_seen(&f, 1, 6, 100);
    follow(&f, true, false);
    check_seen(&f, 1, 7, 100);
    follow(&f, true, false);
    check_seen(&f, 1, 7, 100); /* each once */
    end(&f);
}

/* Its writer has not synced it: who shows it does. */
static void
a_group_that_is_visited_is_durable(void **state)
{
    (void) state;
    for (int shown = 0; shown < 2; shown++) {
        struct fixture f;
        struct ochre_error err;
        char path[64];
        static char group[4096], zeros[4096];
        struct och_file *file;
        begin(&f);
        add(&f, 1, 100);
        add(&f, 2, 100);
        newest_file(&f, path);
        check_ok(och_vfs_open(f.options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
        check_ok(och_file_read_all(file, 8192, group, sizeof(group), &err), &err);
        check_ok(och_file_write(file, 8192, zeros, sizeof(zeros), &err), &err);
        check_ok(och_file_sync(file, &err), &err);
        check_ok(och_file_write(file, 8192, group, sizeof(group), &err), &err);
        och_file_close(file);
        follow(&f, shown == 1, false);
        check_seen(&f, 1, shown == 1 ? 3 : 1, 100);
        sim_disk_recover(f.disk, SIM_NONE_KEPT, 1);
        open_writer(&f);
        check(och_wal_next_lsn(f.wal) == (shown == 1 ? 4 : 2));
        end(&f);
    }
}

static void
a_group_that_is_being_written_is_not_there(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    char path[64];
    static char group[5 * 4096], zeros[5 * 4096];
    struct och_file *file;
    begin(&f);
    add(&f, 1, 100);
    follow(&f, true, false);
    add(&f, 3, 6000); /* in five pages, behind the header's and the first group's */
    newest_file(&f, path);
    check_ok(och_vfs_open(f.options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_read_all(file, 8192, group, sizeof(group), &err), &err);
    memset(&f.seen, 0, sizeof(f.seen));
    for (size_t there = 0; there < (size_t) 3 * 6048; there += 97) {
        check_ok(och_file_write(file, 8192, zeros, sizeof(zeros), &err), &err);
        check_ok(och_file_write(file, 8192, group, there, &err), &err);
        for (int i = 0; i < 3; i++)
            follow(&f, i == 2, false);
        check(f.seen.n == 0);
    }
    /* Pages come in any order. */
    for (size_t page = 0; page < 5; page++) {
        check_ok(och_file_write(file, 8192, group, sizeof(group), &err), &err);
        check_ok(och_file_write(file, 8192 + page * 4096, zeros, 4096, &err), &err);
        follow(&f, true, false);
        check(f.seen.n == 0);
    }
    check_ok(och_file_write(file, 8192, group, sizeof(group), &err), &err);
    follow(&f, true, false);
    check(f.seen.n == 3 && f.seen.lsn[0] == 2 && f.seen.n_damaged == 0);
    och_file_close(file);
    end(&f);
}

static void
files_that_are_full_and_begun_anew_are_followed(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    for (int i = 0; i < 60; i++) {
        add(&f, 1, 200000);
        if (och_wal_wants_prepare(f.wal))
            check_ok(och_wal_prepare(f.wal, &err), &err);
        if (i % 17 == 3)
            open_writer(&f); /* its end is cut, and the next group is in a new file */
        if (i % 23 == 5)
            och_wal_roll(f.wal);
        if (i % 9 == 0)
            check_ok(och_wal_trim(f.wal, och_wal_follower_next_lsn(f.follower), &err), &err);
        if (i % 3 != 0)
            follow(&f, i % 2 == 0, false);
    }
    follow(&f, true, false);
    check_seen(&f, 1, 60, 200000);
    end(&f);
}

static void
what_was_trimmed_before_it_was_seen_is_lost(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    add(&f, 1, 100);
    follow(&f, true, false);
    for (int i = 0; i < 20; i++)
        add(&f, 1, 300000);
    /* The file at hand is still read to its end. */
    check_ok(och_wal_trim(f.wal, 15, &err), &err);
    follow(&f, true, true);
    memset(&f.seen, 0, sizeof(f.seen));
    och_wal_follower_rewind(f.follower);
    follow(&f, true, false);
    check_seen(&f, och_wal_oldest_lsn(f.wal), 22 - och_wal_oldest_lsn(f.wal), 300000);
    end(&f);
}

static void
what_a_newer_file_overrides_is_lost(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    add(&f, 1, 100);
    sim_disk_fail(f.disk, 2, SIM_IO_ONCE); /* the sync */
    check(append(&f, 2, 100, &err) == OCHRE_IO);
    follow(&f, true, false);
    check_seen(&f, 1, 3, 100);
    add(&f, 1, 50); /* in a new file, as record 2 */
    follow(&f, true, true);
    memset(&f.seen, 0, sizeof(f.seen));
    och_wal_follower_rewind(f.follower);
    follow(&f, true, false);
    check(f.seen.n == 2 && f.seen.lsn[1] == 2);
    static char payload[50];
    memset(payload, 2, sizeof(payload));
    check(f.seen.hash[1] == och_hash64(payload, sizeof(payload)));
    end(&f);
}

static void
flip(struct fixture *f, uint64_t offset)
{
    char path[64];
    newest_file(f, path);
    check(sim_disk_flip(f->disk, path, offset, 3));
}

static void
damage_that_something_vouches_for_is_told(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    bool lost;
    begin(&f);
    add(&f, 1, 100);
    add(&f, 1, 100);
    add(&f, 1, 100);
    flip(&f, 8192 + 60); /* the second one's payload */
    follow(&f, true, false);
    check(f.seen.n == 3 && f.seen.n_damaged == 1 && f.seen.lsn[1] == 2);
    end(&f);

    begin(&f);
    add(&f, 1, 100);
    add(&f, 1, 100);
    add(&f, 1, 100);
    flip(&f, 8192 + 9); /* the second one's header */
    check(och_wal_follow(f.follower, true, note_record, &f.seen, &lost, &err) == OCHRE_CORRUPT);
    end(&f);

    begin(&f); /* and one that was begun to be followed before */
    add(&f, 1, 100);
    follow(&f, true, false);
    add(&f, 1, 100);
    add(&f, 1, 100);
    flip(&f, 8192 + 9);
    ochre_status status = OCHRE_OK;
    int n = 0;
    for (; n < 100 && status == OCHRE_OK; n++)
        status = och_wal_follow(f.follower, true, note_record, &f.seen, &lost, &err);
    check(n > 10 && status == OCHRE_CORRUPT); /* not at once, but it is noticed */
    check(och_wal_follow(f.follower, true, note_record, &f.seen, &lost, &err) == OCHRE_CORRUPT);
    end(&f);
}

/* Damage where a newer file says that there was more. */
static void
an_older_file_that_ends_too_early_is_damaged(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    bool lost;
    begin(&f);
    add(&f, 1, 100);
    add(&f, 1, 100);
    flip(&f, 8192 + 9); /* the second one's header */
    och_wal_roll(f.wal);
    add(&f, 1, 100);
    check(och_wal_follow(f.follower, true, note_record, &f.seen, &lost, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "log/0000000000000001.log: durable record 2 ") != NULL);
    check_seen(&f, 1, 1, 100);
    end(&f);
}

/* Cut the newest file to `size`: what does a new follower say? */
static void
follow_cut(struct fixture *f, uint64_t size, bool damaged)
{
    struct ochre_error err;
    struct och_file *file;
    struct sim_disk *whole = f->disk;
    struct och_wal_follower *old = f->follower;
    char path[64];
    bool lost;
    newest_file(f, path);
    f->disk = sim_disk_clone(whole);
    f->options.vfs = sim_disk_vfs(f->disk);
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_truncate(file, size, &err), &err);
    och_file_close(file);
    check_ok(och_wal_follower_open(&f->options, &f->follower, &err), &err);
    f->seen.n = 0;
    for (int i = 0; i < 3; i++) {
        ochre_status status = och_wal_follow(f->follower, true, note_record, &f->seen, &lost, &err);
        check(status == (damaged ? OCHRE_CORRUPT : OCHRE_OK) && !lost);
        check(!damaged || strstr(err.message, path) != NULL);
    }
    och_wal_follower_close(f->follower);
    f->follower = old;
    sim_disk_close(f->disk);
    f->disk = whole;
    f->options.vfs = sim_disk_vfs(whole);
}

/* Nobody writes, and nobody has looked since: a reader does not show less than there was. */
static void
a_log_that_somebody_cut_is_damaged(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    add(&f, 1, 100);  /* to 8192 */
    add(&f, 5, 3000); /* to 24576 */
    add(&f, 1, 100);  /* to 28672 */
    for (int reopened = 0; reopened < 2; reopened++) {
        for (uint64_t size = 4096; size <= 28672; size += 1024)
            follow_cut(&f, size, true);
        follow_cut(&f, 32768, false);
        check(f.seen.n == 7);
        open_writer(&f); /* which gives the space behind them back */
    }
    end(&f);
}

/* Telling that a short file is whole means reading it, which may fail, and is done again. */
static void
a_look_at_a_short_file_that_fails_is_tried_again(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    bool lost, failed = true;
    unsigned n_in_doubt = 0;
    begin(&f);
    add(&f, 1, 3000);
    add(&f, 5, 3000);
    open_writer(&f);
    for (uint64_t n = 1; failed; n++) {
        och_wal_follower_close(f.follower);
        check_ok(och_wal_follower_open(&f.options, &f.follower, &err), &err);
        f.seen.n = 0;
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status = och_wal_follow(f.follower, true, note_record, &f.seen, &lost, &err);
        failed = sim_disk_has_failed(f.disk);
        sim_disk_fail(f.disk, 0, SIM_IO_ONCE);
        check(status == OCHRE_OK || (failed && status == OCHRE_IO));
        follow(&f, true, false);
        /* Where its own sync failed, nothing says that the last group is durable. */
        bool in_doubt = failed && status == OCHRE_OK && f.seen.n == 1;
        n_in_doubt += in_doubt;
        check_seen(&f, 1, in_doubt ? 1 : 6, 3000);
        check(n > 1 || failed);
    }
    check(n_in_doubt <= 1);
    end(&f);
}

/* What a file's header may say that is not ours, all under a right checksum. */
static void
a_file_of_another_log_is_refused(void **state)
{
    (void) state;
    static const struct {
        size_t at; /* in the header, of a 32-bit number */
        uint32_t number;
        ochre_status wanted;
        const char *message;
    } cases[] = {
            {8, 2, OCHRE_UNSUPPORTED, "log/0000000000000001.log: format 2; "},
            {12, 77, OCHRE_CORRUPT, "log/0000000000000001.log belongs to another database"},
            {28, 5, OCHRE_CORRUPT, "log/0000000000000001.log was renamed from file 5"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        struct ochre_error err;
        struct och_file *file;
        char bytes[56];
        bool lost;
        begin(&f);
        add(&f, 1, 100);
        check_ok(och_vfs_open(
                         f.options.vfs, "log/0000000000000001.log", OCH_OPEN_WRITE, &file, &err),
                &err);
        check_ok(och_file_read_all(file, 0, bytes, sizeof(bytes), &err), &err);
        och_store_u32(bytes + cases[i].at, cases[i].number);
        och_store_u32(bytes + 52, och_crc32c(0, bytes, 52));
        check_ok(och_file_write(file, 0, bytes, sizeof(bytes), &err), &err);
        och_file_close(file);
        check(och_wal_follow(f.follower, true, note_record, &f.seen, &lost, &err) ==
                cases[i].wanted);
        check(strncmp(err.message, cases[i].message, strlen(cases[i].message)) == 0);
        check(f.seen.n == 0);
        end(&f);
    }
}

static void
a_torn_end_stays_a_torn_end(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    add(&f, 1, 100);
    add(&f, 1, 100);
    flip(&f, 8192 + 60); /* nothing vouches for it */
    for (int i = 0; i < 200; i++)
        follow(&f, true, false);
    check_seen(&f, 1, 1, 100);
    end(&f);
}

static void
a_record_whose_visit_fails_is_visited_again(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    bool lost;
    begin(&f);
    add(&f, 4, 100);
    f.seen.refuse_lsn = 3;
    check(och_wal_follow(f.follower, true, note_record, &f.seen, &lost, &err) == OCHRE_NO_MEMORY);
    check_seen(&f, 1, 2, 100);
    f.seen.refuse_lsn = 0;
    follow(&f, true, false);
    check_seen(&f, 1, 4, 100);
    end(&f);
}

static void
records_are_visited_again_from_any_of_them(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    bool lost;
    begin(&f);
    for (int i = 0; i < 20; i++) {
        add(&f, 1 + (size_t) i % 3, 90000);
        if (i % 6 == 5)
            och_wal_roll(f.wal);
    }
    follow(&f, true, false);
    add(&f, 1, 90000); /* has not been visited, and is not visited again */
    size_t all = f.seen.n;
    for (uint64_t lsn = 1; lsn <= all + 1; lsn++) {
        memset(&f.seen, 0, sizeof(f.seen));
        check_ok(och_wal_revisit(f.follower, lsn, note_record, &f.seen, &lost, &err), &err);
        check(!lost);
        check_seen(&f, lsn, all + 1 - lsn, 90000);
    }
    check_ok(och_wal_trim(f.wal, all, &err), &err);
    check_ok(och_wal_revisit(f.follower, 1, note_record, &f.seen, &lost, &err), &err);
    check(lost);
    end(&f);
}

static void
after_any_failed_call_the_next_look_finds_all(void **state)
{
    (void) state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct fixture f;
        struct ochre_error err;
        bool lost;
        begin(&f);
        add(&f, 2, 5000);
        och_wal_roll(f.wal);
        add(&f, 1, 5000);
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status = och_wal_follow(f.follower, true, note_record, &f.seen, &lost, &err);
        failed = sim_disk_has_failed(f.disk);
        check(status == OCHRE_OK || (failed && status == OCHRE_IO));
        sim_disk_fail(f.disk, 0, SIM_IO_ONCE);
        /* A sync that failed is not tried again: the next group tells. */
        add(&f, 1, 5000);
        add(&f, 1, 5000);
        follow(&f, true, false);
        check_seen(&f, 1, 5, 5000);
        end(&f);
    }
}

/* Records larger than what is read at once: each part may fail by itself. */
static void
after_any_failed_call_a_large_record_is_found(void **state)
{
    (void) state;
    enum { LARGE = 1500000 };
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct fixture f;
        struct ochre_error err;
        bool lost;
        begin(&f);
        add(&f, 1, LARGE);
        add(&f, 1, LARGE);
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status = och_wal_follow(f.follower, false, note_record, &f.seen, &lost, &err);
        failed = sim_disk_has_failed(f.disk);
        check(status == (failed ? OCHRE_IO : OCHRE_OK));
        check(och_mem_used(&f.mem) < LARGE); /* what it took to read is not kept */
        sim_disk_fail(f.disk, 0, SIM_IO_ONCE);
        follow(&f, true, false);
        check_seen(&f, 1, 2, LARGE);
        end(&f);
    }
}

/* So much that it is not looked through at once. */
static void
a_long_log_is_followed_in_parts(void **state)
{
    (void) state;
    enum { LARGE = 2000000, N = 40 };
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    for (int i = 0; i < N; i++) {
        /* Prepared files are the longest. */
        if (och_wal_wants_prepare(f.wal))
            check_ok(och_wal_prepare(f.wal, &err), &err);
        add(&f, 1, LARGE);
    }
    follow(&f, true, false);
    check_seen(&f, 1, N, LARGE);
    end(&f);
}

/* Damage the second record's header before the n-th call of a look. */
struct damaging {
    struct fixture *f;
    uint64_t calls_left;
};

static ochre_status
damage_then(void *context, bool changes, struct ochre_error *err)
{
    struct damaging *damaging = context;
    (void) changes;
    (void) err;
    if (damaging->calls_left > 0 && --damaging->calls_left == 0)
        flip(damaging->f, 8192 + 9);
    return OCHRE_OK;
}

static void
damage_while_it_is_read_is_told_and_nothing_is_made_up(void **state)
{
    (void) state;
    size_t n_told = 0;
    bool happened = true;
    for (uint64_t n = 1; happened; n++) {
        struct fixture f;
        struct ochre_error err;
        bool lost;
        struct damaging damaging = {.f = &f};
        begin(&f);
        for (int i = 0; i < 3; i++)
            add(&f, 1, 100);
        och_wal_follower_close(f.follower);
        struct sim_watch *watch = sim_watch_open(f.options.vfs, damage_then, &damaging);
        struct och_wal_options options = f.options;
        options.vfs = sim_watch_vfs(watch);
        check_ok(och_wal_follower_open(&options, &f.follower, &err), &err);
        damaging.calls_left = n;
        ochre_status status = och_wal_follow(f.follower, true, note_record, &f.seen, &lost, &err);
        happened = damaging.calls_left == 0;
        damaging.calls_left = 0;
        n_told += status == OCHRE_CORRUPT;
        check(status == OCHRE_OK || status == OCHRE_CORRUPT);
        check_seen(&f, 1, status == OCHRE_OK ? 3 : 1, 100);
        if (happened)
            flip(&f, 8192 + 9); /* mended */
        follow(&f, true, false);
        check_seen(&f, 1, 3, 100);
        och_wal_follower_close(f.follower);
        f.follower = NULL;
        sim_watch_close(watch);
        end(&f);
    }
    check(n_told > 0);
}

static bool
follow_with(struct och_mem *mem)
{
    struct fixture f;
    bool lost = true;
    begin(&f);
    for (int i = 0; i < 20; i++) {
        add(&f, 1, 3000);
        och_wal_roll(f.wal);
    }
    och_wal_follower_close(f.follower);
    f.options.mem = mem;
    ochre_status status = och_wal_follower_open(&f.options, &f.follower, NULL);
    if (status == OCHRE_OK)
        status = och_wal_follow(f.follower, true, note_record, &f.seen, &lost, NULL);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    bool through = status == OCHRE_OK && f.seen.n == 20 && !lost;
    check(through || status != OCHRE_OK);
    och_wal_follower_close(f.follower);
    f.follower = NULL;
    end(&f);
    return through;
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(follow_with);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_group_is_visited_when_something_says_that_it_is_durable),
            cmocka_unit_test(a_group_that_is_visited_is_durable),
            cmocka_unit_test(a_group_that_is_being_written_is_not_there),
            cmocka_unit_test(files_that_are_full_and_begun_anew_are_followed),
            cmocka_unit_test(what_was_trimmed_before_it_was_seen_is_lost),
            cmocka_unit_test(what_a_newer_file_overrides_is_lost),
            cmocka_unit_test(damage_that_something_vouches_for_is_told),
            cmocka_unit_test(an_older_file_that_ends_too_early_is_damaged),
            cmocka_unit_test(a_log_that_somebody_cut_is_damaged),
            cmocka_unit_test(a_look_at_a_short_file_that_fails_is_tried_again),
            cmocka_unit_test(a_file_of_another_log_is_refused),
            cmocka_unit_test(a_torn_end_stays_a_torn_end),
            cmocka_unit_test(a_record_whose_visit_fails_is_visited_again),
            cmocka_unit_test(records_are_visited_again_from_any_of_them),
            cmocka_unit_test(after_any_failed_call_the_next_look_finds_all),
            cmocka_unit_test(after_any_failed_call_a_large_record_is_found),
            cmocka_unit_test(a_long_log_is_followed_in_parts),
            cmocka_unit_test(damage_while_it_is_read_is_told_and_nothing_is_made_up),
            cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
