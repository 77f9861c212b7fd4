#include "drivers/log_file.h"

#include "base/error.h"
#include "base/mem.h"
#include "storage/wal_follow.h"

struct log_file {
    struct och_record_log port; /* first: the port's pointer is ours */
    struct och_mem *mem;
    struct och_wal *wal; /* owned */
};

static struct och_wal *
wal_of(const struct och_record_log *log)
{
    return ((const struct log_file *) log)->wal;
}

static ochre_status
log_append(struct och_record_log *log, struct och_log_record *records, size_t n,
        struct ochre_error *err)
{
    return och_wal_append(wal_of(log), records, n, err);
}

static bool
log_wants_prepare(const struct och_record_log *log)
{
    return och_wal_wants_prepare(wal_of(log));
}

static ochre_status
log_prepare(struct och_record_log *log, struct ochre_error *err)
{
    return och_wal_prepare(wal_of(log), err);
}

static void
log_roll(struct och_record_log *log)
{
    och_wal_roll(wal_of(log));
}

static bool
log_can_trim(const struct och_record_log *log, uint64_t lsn)
{
    return och_wal_can_trim(wal_of(log), lsn);
}

static ochre_status
log_trim(struct och_record_log *log, uint64_t lsn, struct ochre_error *err)
{
    return och_wal_trim(wal_of(log), lsn, err);
}

static uint64_t
log_oldest_lsn(const struct och_record_log *log)
{
    return och_wal_oldest_lsn(wal_of(log));
}

static uint64_t
log_next_lsn(const struct och_record_log *log)
{
    return och_wal_next_lsn(wal_of(log));
}

static uint64_t
log_size(const struct och_record_log *log)
{
    return och_wal_size(wal_of(log));
}

static ochre_status
log_each_file(const struct och_record_log *log,
        ochre_status (*visit)(void *context, uint64_t number, uint64_t size), void *context)
{
    return och_wal_each_file(wal_of(log), visit, context);
}

static struct och_log_stats
log_stats(const struct och_record_log *log)
{
    return och_wal_stats(wal_of(log));
}

static bool
log_has_holes(const struct och_record_log *log)
{
    return och_wal_has_holes(wal_of(log));
}

static bool
log_lacks(struct och_record_log *log, uint32_t collection, uint64_t lsn)
{
    return och_wal_lacks(wal_of(log), collection, lsn);
}

static ochre_status
log_settle(struct och_record_log *log, struct ochre_error *err)
{
    return och_wal_begin_reach(wal_of(log), err);
}

static bool
log_rest(struct och_record_log *log, bool all)
{
    return och_wal_rest(wal_of(log), all);
}

static void
log_put_reach(const struct och_record_log *log, struct och_buf *out)
{
    och_wal_put_reach(wal_of(log), out);
}

static void
log_close(struct och_record_log *log)
{
    struct log_file *file = (struct log_file *) log;
    och_wal_close(file->wal);
    och_mem_release(file->mem, file, sizeof(*file));
}

static const struct och_log_ops log_ops = {
        .append = log_append,
        .wants_prepare = log_wants_prepare,
        .prepare = log_prepare,
        .roll = log_roll,
        .can_trim = log_can_trim,
        .trim = log_trim,
        .oldest_lsn = log_oldest_lsn,
        .next_lsn = log_next_lsn,
        .size = log_size,
        .each_file = log_each_file,
        .stats = log_stats,
        .has_holes = log_has_holes,
        .lacks = log_lacks,
        .settle = log_settle,
        .rest = log_rest,
        .put_reach = log_put_reach,
        .close = log_close,
};

static ochre_status
open_log(void *context, uint64_t lsn_min, bool passes_holes, och_log_visit visit,
        void *visit_context, struct och_record_log **log_out, struct ochre_error *err)
{
    struct och_wal_options *options = context;
    *log_out = NULL;
    struct log_file *file = och_mem_take_zeroed(options->mem, sizeof(*file));
    if (file == NULL)
        return och_fail_memory(err);
    options->lsn_min = lsn_min;
    options->passes_holes = passes_holes;
    ochre_status status = och_wal_open(options, visit, visit_context, &file->wal, err);
    if (status != OCHRE_OK) {
        och_mem_release(options->mem, file, sizeof(*file));
        return status;
    }
    file->port.ops = &log_ops;
    file->mem = options->mem;
    *log_out = &file->port;
    return OCHRE_OK;
}

struct och_log_source
och_log_file_source(struct och_wal_options *options)
{
    return (struct och_log_source){open_log, options};
}

/* --- a log that another process writes ------------------------------------------- */

struct file_tail {
    struct och_log_tail port; /* first: the port's pointer is ours */
    struct och_mem *mem;
    struct och_wal_follower *follower; /* owned */
};

static struct och_wal_follower *
follower_of(const struct och_log_tail *tail)
{
    return ((const struct file_tail *) tail)->follower;
}

static ochre_status
tail_follow(struct och_log_tail *tail, bool now, och_log_visit visit, void *context, bool *lost_out,
        struct ochre_error *err)
{
    return och_wal_follow(follower_of(tail), now, visit, context, lost_out, err);
}

static ochre_status
tail_revisit(struct och_log_tail *tail, uint64_t lsn, och_log_visit visit, void *context,
        bool *lost_out, struct ochre_error *err)
{
    return och_wal_revisit(follower_of(tail), lsn, visit, context, lost_out, err);
}

static void
tail_rewind(struct och_log_tail *tail)
{
    och_wal_follower_rewind(follower_of(tail));
}

static uint64_t
tail_next_lsn(const struct och_log_tail *tail)
{
    return och_wal_follower_next_lsn(follower_of(tail));
}

static void
tail_close(struct och_log_tail *tail)
{
    struct file_tail *file_tail = (struct file_tail *) tail;
    och_wal_follower_close(file_tail->follower);
    och_mem_release(file_tail->mem, file_tail, sizeof(*file_tail));
}

static const struct och_log_tail_ops tail_ops = {
        .follow = tail_follow,
        .revisit = tail_revisit,
        .rewind = tail_rewind,
        .next_lsn = tail_next_lsn,
        .close = tail_close,
};

ochre_status
och_log_file_tail(const struct och_wal_options *options, struct och_log_tail **tail_out,
        struct ochre_error *err)
{
    *tail_out = NULL;
    struct file_tail *tail = och_mem_take_zeroed(options->mem, sizeof(*tail));
    if (tail == NULL)
        return och_fail_memory(err);
    tail->port.ops = &tail_ops;
    tail->mem = options->mem;
    ochre_status status = och_wal_follower_open(options, &tail->follower, err);
    if (status != OCHRE_OK) {
        och_mem_release(options->mem, tail, sizeof(*tail));
        return status;
    }
    *tail_out = &tail->port;
    return OCHRE_OK;
}
