#include "engine/commit.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/apply.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "engine/maintain.h"
#include "engine/write.h"
#include "os/thread.h"

/* A group takes at most so many requests, or so many bytes. */
#define GROUP_MAX 256u
#define GROUP_BYTES_MAX ((size_t) 16 << 20)

/* So often a deletion that found the disk full tries again: beside it there may have
 * been what adds, which by now is refused. */
#define FULL_TRIES 2

/* A request that is being committed. */
struct member {
    struct och_commit_request *request;
    struct och_undo undo;
    struct och_buf built; /* the payload, where the committer made it */
    bool staged;
};

struct group {
    struct och_engine *engine;
    struct member members[GROUP_MAX];
    size_t n;
    struct och_log_record records[GROUP_MAX];
    size_t order[GROUP_MAX]; /* the member of each record */
    size_t n_records;
    struct och_collection *touched[GROUP_MAX]; /* counted: to look after when all is answered */
};

struct och_commit {
    struct och_engine *engine; /* borrowed */
    struct och_mutex lock;     /* guards what follows */
    struct och_cond changed;   /* someone's request is done, or the role is free */
    struct och_commit_request *first, *last;
    bool taken;          /* there is a committer */
    unsigned n_entering; /* who want to be it in och_commit_enter */
    struct group group;  /* the committer's */
};

ochre_status
och_commit_make(struct och_engine *engine, struct och_commit **commit_out)
{
    struct och_commit *commit = och_mem_take_zeroed(engine->ports.mem, sizeof(*commit));
    *commit_out = commit;
    if (commit == NULL)
        return OCHRE_NO_MEMORY;
    commit->engine = engine;
    och_mutex_init(&commit->lock);
    och_cond_init(&commit->changed);
    return OCHRE_OK;
}

void
och_commit_release(struct och_commit *commit)
{
    if (commit == NULL)
        return;
    och_assert(commit->first == NULL && !commit->taken);
    och_cond_clear(&commit->changed);
    och_mutex_clear(&commit->lock);
    och_mem_release(commit->engine->ports.mem, commit, sizeof(*commit));
}

/* --- the role --------------------------------------------------------------- */

void
och_commit_enter(struct och_commit *commit)
{
    och_mutex_lock(&commit->lock);
    commit->n_entering++;
    while (commit->taken)
        och_cond_wait(&commit->changed, &commit->lock);
    commit->n_entering--;
    commit->taken = true;
    och_mutex_unlock(&commit->lock);
}

void
och_commit_leave(struct och_commit *commit)
{
    och_mutex_lock(&commit->lock);
    commit->taken = false;
    och_cond_broadcast(&commit->changed);
    och_mutex_unlock(&commit->lock);
}

/* --- a group ---------------------------------------------------------------- */

/* Write the ids that a delete by filter selects, at its place in the order. */
static ochre_status
resolve_doomed(struct member *member, struct ochre_error *err)
{
    struct och_commit_request *request = member->request;
    struct och_mem *mem = request->collection->engine->ports.mem;
    struct och_arena arena;
    och_arena_init(&arena, mem);
    struct ochre_bytes *ids = NULL;
    size_t n = 0;
    struct och_snapshot snapshot;
    ochre_status status = och_snapshot_take_staged(request->collection, &arena, &snapshot, err);
    if (status == OCHRE_OK)
        status = och_select_ids(&snapshot, request->doomed, request->limit, &arena, &ids, &n, err);
    if (status == OCHRE_OK && n > 0) {
        struct ochre_records records = {.n = n, .ids = ids};
        status = och_write_encode(&member->built, &arena, OCH_WRITE_DELETE, &records);
        if (status != OCHRE_OK && member->built.full)
            status = och_fail(err, OCHRE_TOO_LARGE,
                    "the filter selects %zu records, more than one delete can name; use a limit",
                    n);
        else if (status != OCHRE_OK)
            status = och_fail_memory(err);
        request->payload = (struct ochre_bytes){member->built.data, member->built.size};
        request->n_deleted = status == OCHRE_OK ? n : 0;
    }
    och_snapshot_release(&snapshot);
    och_arena_clear(&arena);
    return status;
}

/* Check and stage one request, and enter it into the log records. */
static ochre_status
stage_member(struct group *group, size_t i, struct ochre_error *err)
{
    struct member *member = &group->members[i];
    struct och_commit_request *request = member->request;
    ochre_status status = och_collection_usable(request->collection, err);
    /* It came when there was space; now there is for deletions. */
    if (status == OCHRE_OK && !request->deletes)
        status = och_space_admit(&group->engine->space, err);
    if (status == OCHRE_OK && request->doomed != NULL)
        status = resolve_doomed(member, err);
    request->position = request->collection->staged.position;
    if (status != OCHRE_OK || request->payload.size == 0)
        return status;
    status = och_apply_stage(request->collection, request->payload, &member->undo, err);
    if (status != OCHRE_OK) {
        och_apply_clear(&member->undo);
        request->n_deleted = 0;
        return status;
    }
    member->staged = true;
    request->position = request->collection->staged.position;
    group->order[group->n_records] = i;
    group->records[group->n_records++] =
            (struct och_log_record){.position = request->collection->staged.position,
                    .collection = request->collection->number,
                    .type = OCH_RECORD_WRITE,
                    .payload = request->payload,
                    .payload_crc = och_crc32c(0, request->payload.data, request->payload.size)};
    return OCHRE_OK;
}

/* The group is durable: let readers see it. */
static void
publish_group(struct group *group)
{
    for (size_t i = 0; i < group->n_records; i++) {
        struct member *member = &group->members[group->order[i]];
        och_apply_publish(member->request->collection, group->records[i].lsn);
    }
}

/* The log refused: nothing of the group has happened.  A delete by filter that found nothing
 * looked at what others had staged, which is gone: it has not been answered. */
static void
abort_group(struct group *group, ochre_status status, const struct ochre_error *why)
{
    for (size_t i = group->n_records; i > 0; i--)
        och_apply_undo(&group->members[group->order[i - 1]].undo);
    for (size_t i = 0; i < group->n; i++) {
        struct och_commit_request *request = group->members[i].request;
        request->position = request->collection->staged.position;
        bool is_undone = group->members[i].staged;
        bool is_misled = request->doomed != NULL && request->status == OCHRE_OK;
        if (!is_undone && !is_misled)
            continue;
        request->status = status;
        request->error = *why;
        request->n_deleted = 0;
    }
}

static void
run_group(struct group *group)
{
    for (size_t i = 0; i < group->n; i++) {
        struct member *member = &group->members[i];
        struct och_commit_request *request = member->request;
        och_buf_init(&member->built, group->engine->ports.mem, OCH_WRITE_SIZE_MAX);
        request->status = stage_member(group, i, &request->error);
    }
    if (group->n_records > 0) {
        struct och_record_log *log = group->engine->log;
        struct ochre_error why = {.status = OCHRE_OK};
        ochre_status status = log->ops->append(log, group->records, group->n_records, &why);
        if (status == OCHRE_OK)
            publish_group(group);
        else
            abort_group(group, status, &why);
    }
    for (size_t i = 0; i < group->n; i++) {
        if (group->members[i].staged)
            och_apply_clear(&group->members[i].undo);
        och_buf_clear(&group->members[i].built);
    }
}

/* --- the queue -------------------------------------------------------------- */

static void
enqueue(struct och_commit *commit, struct och_commit_request *request)
{
    request->next = NULL;
    request->done = false;
    if (commit->last == NULL)
        commit->first = request;
    else
        commit->last->next = request;
    commit->last = request;
}

/* Move requests from the queue into the group, as many as it may hold. */
static void
fill_group(struct och_commit *commit, struct group *group)
{
    size_t bytes = 0;
    while (commit->first != NULL && group->n < GROUP_MAX) {
        struct och_commit_request *request = commit->first;
        if (group->n > 0 && bytes + request->payload.size > GROUP_BYTES_MAX)
            break;
        bytes += request->payload.size;
        commit->first = request->next;
        if (commit->first == NULL)
            commit->last = NULL;
        group->members[group->n++] = (struct member){.request = request};
    }
}

/* The collections that changed; the requests that name them go away with the
 * answer. */
static void
remember_touched(struct group *group)
{
    for (size_t i = 0; i < group->n_records; i++) {
        struct member *member = &group->members[group->order[i]];
        group->touched[i] = och_collection_retain(member->request->collection);
    }
}

static void
look_after_touched(struct group *group)
{
    for (size_t i = 0; i < group->n_records; i++) {
        och_maintain_wrote(group->touched[i]);
        och_maintain_collection(group->touched[i]);
        och_collection_release(group->touched[i]);
    }
    och_maintain_log(group->engine);
    och_maintain_memory(group->engine);
}

/* With the role taken and the lock held: commit one group. */
static void
commit_group(struct och_commit *commit) OCH_NO_THREAD_ANALYSIS
{
    struct group *group = &commit->group;
    group->engine = commit->engine;
    group->n = 0;
    group->n_records = 0;
    fill_group(commit, group);
    och_mutex_unlock(&commit->lock);
    run_group(group);
    remember_touched(group);

    och_mutex_lock(&commit->lock);
    for (size_t i = 0; i < group->n; i++)
        group->members[i].request->done = true;
    och_cond_broadcast(&commit->changed);
    och_mutex_unlock(&commit->lock);

    look_after_touched(group);
    och_mutex_lock(&commit->lock);
}

/* A deletion makes room: it waits for nothing but memory. */
static ochre_status
admit(struct och_commit *commit, const struct och_commit_request *request, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    if (!request->deletes)
        status = och_space_admit(&commit->engine->space, err);
    if (status == OCHRE_OK)
        status = och_maintain_admit(request->collection, err);
    return status == OCHRE_FULL && request->deletes ? OCHRE_OK : status;
}

static void
run_request(struct och_commit *commit, struct och_commit_request *request)
{
    och_mutex_lock(&commit->lock);
    enqueue(commit, request);
    while (!request->done) {
        /* A writer that comes again at once must not keep maintenance out. */
        if (commit->taken || commit->n_entering > 0) {
            och_cond_wait(&commit->changed, &commit->lock);
            continue;
        }
        commit->taken = true;
        commit_group(commit);
        commit->taken = false;
        och_cond_broadcast(&commit->changed);
    }
    och_mutex_unlock(&commit->lock);
}

ochre_status
och_commit_run(
        struct och_commit *commit, struct och_commit_request *request, struct ochre_error *err)
{
    request->deletes = request->doomed != NULL || och_write_deletes(request->payload);
    ochre_status status = admit(commit, request, err);
    if (status != OCHRE_OK)
        return status;
    run_request(commit, request);
    /* Nothing of it has happened.  Once more, with the reserve to use, unless somebody
     * gave it up before, and perhaps uses it. */
    for (int i = 0; i < FULL_TRIES && request->status == OCHRE_FULL && request->deletes; i++) {
        (void) och_space_give(&commit->engine->space);
        if (request->doomed != NULL)
            request->payload = (struct ochre_bytes){NULL, 0};
        run_request(commit, request);
    }
    if (request->status != OCHRE_OK && err != NULL)
        *err = request->error;
    return request->status;
}
