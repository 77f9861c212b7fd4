#include "engine/history.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "os/clock.h"
#include "segment/head.h"
#include "segment/segment.h"

#define NS_PER_SECOND UINT64_C(1000000000)

/* Of a limit on memory so small a part is used at most. */
#define MEMORY_SHARE 8u

void
och_history_init(struct och_history *history, struct och_mem *mem,
        const struct och_machine *machine, uint32_t retain_s)
{
    *history = (struct och_history){.mem = mem,
            .machine = machine,
            .retain_ns = retain_s * NS_PER_SECOND,
            .memory_min = OCH_RETAIN_MEMORY_MIN,
            .memory_max = OCH_RETAIN_MEMORY_MAX,
            .disk_max = OCH_RETAIN_DISK_MAX};
    for (const struct och_mem *account = mem; account != NULL; account = account->parent)
        if (account->limit / MEMORY_SHARE < history->memory_max)
            history->memory_max = account->limit / MEMORY_SHARE;
    och_mutex_init(&history->lock);
}

void
och_history_clear(struct och_history *history)
{
    och_history_forget_all(history);
    och_mutex_clear(&history->lock);
}

/* --- entries ------------------------------------------------------------------ */

static void
free_entries(struct och_history *history, struct och_history_entry *entry)
{
    while (entry != NULL) {
        struct och_history_entry *next = entry->next;
        och_view_release(entry->view);
        och_mem_release(history->mem, entry, sizeof(*entry));
        entry = next;
    }
}

static void
subtract(struct och_history_load *from, const struct och_history_load *load)
{
    from->n_entries -= load->n_entries;
    from->memory -= load->memory;
    from->disk -= load->disk;
}

/* Move the entry that `link` leads to, `before` it the next older one, into a list of
 * those to be freed, which is done without the lock: it closes files. */
static void
take_out(struct och_history *history, struct och_history_entry **link,
        struct och_history_entry *before, struct och_history_entry **freed)
        OCH_REQUIRES(history->lock)
{
    struct och_history_entry *entry = *link;
    *link = entry->next;
    if (history->newest == entry)
        history->newest = before;
    subtract(&history->load, &entry->load);
    entry->next = *freed;
    *freed = entry;
}

static bool
is_leased(const struct och_history *history, const struct och_history_entry *entry, uint64_t now)
        OCH_REQUIRES(history->lock)
{
    for (unsigned i = 0; i < OCH_HISTORY_LEASES; i++) {
        const struct och_history_lease *lease = &history->leases[i];
        if (lease->used_ns != 0 &&
                now - lease->used_ns < OCH_RETAIN_LEASE_SECONDS * NS_PER_SECOND &&
                lease->position >= entry->first && lease->position < entry->end &&
                och_uuid_equal(lease->collection, entry->collection))
            return true;
    }
    return false;
}

/* Is the rest too much? */
static bool
is_much(const struct och_history *history, const struct och_history_load *load)
{
    uint64_t share = och_mem_used(history->mem) / OCH_RETAIN_MEMORY_SHARE;
    uint64_t most = share > history->memory_min ? share : history->memory_min;
    most = most < history->memory_max ? most : history->memory_max;
    return load->memory > most || load->disk > history->disk_max ||
            load->n_entries > OCH_HISTORY_ENTRIES;
}

/* Let go of what is too old, or too much beside the bytes of memory that come. */
static void
trim(struct och_history *history, uint64_t coming, struct och_history_entry **freed)
        OCH_REQUIRES(history->lock)
{
    uint64_t now = och_machine_monotonic_ns(history->machine);
    struct och_history_load load = history->load; /* but for what is leased */
    load.memory += coming;
    for (struct och_history_entry *entry = history->oldest; entry != NULL; entry = entry->next)
        if (is_leased(history, entry, now))
            subtract(&load, &entry->load);
    struct och_history_entry **link = &history->oldest;
    struct och_history_entry *before = NULL;
    while (*link != NULL) {
        struct och_history_entry *entry = *link;
        bool is_old = now - entry->replaced_ns >= history->retain_ns;
        if ((is_old || is_much(history, &load)) && !is_leased(history, entry, now)) {
            subtract(&load, &entry->load);
            take_out(history, link, before, freed);
            continue;
        }
        before = entry;
        link = &entry->next;
    }
}

static bool
trim_for(struct och_history *history, uint64_t coming)
{
    struct och_history_entry *freed = NULL;
    och_mutex_lock(&history->lock);
    trim(history, coming, &freed);
    bool is_left = history->oldest != NULL;
    och_mutex_unlock(&history->lock);
    free_entries(history, freed);
    return is_left;
}

bool
och_history_trim(struct och_history *history)
{
    return trim_for(history, 0);
}

void
och_history_make_room(struct och_history *history, uint64_t bytes)
{
    bool is_left = trim_for(history, bytes);
    (void) is_left;
}

void
och_history_forget(struct och_history *history, struct och_uuid collection)
{
    struct och_history_entry *freed = NULL;
    och_mutex_lock(&history->lock);
    struct och_history_entry **link = &history->oldest;
    struct och_history_entry *before = NULL;
    while (*link != NULL) {
        if (och_uuid_equal((*link)->collection, collection)) {
            take_out(history, link, before, &freed);
            continue;
        }
        before = *link;
        link = &before->next;
    }
    och_mutex_unlock(&history->lock);
    free_entries(history, freed);
}

void
och_history_forget_all(struct och_history *history)
{
    och_mutex_lock(&history->lock);
    struct och_history_entry *freed = history->oldest;
    history->oldest = history->newest = NULL;
    history->load = (struct och_history_load){0};
    och_mutex_unlock(&history->lock);
    free_entries(history, freed);
}

/* --- keeping ------------------------------------------------------------------ */

/* Take a head that shows something before `end`. */
static void
take_head(struct och_view *to, struct och_head *head, uint64_t end)
{
    if (head != NULL && och_head_rows_at(head, head->n_rows, end - 1) > 0)
        to->frozen[to->n_frozen++].head = och_head_retain(head);
}

/* What of a view is seen before `end`; NULL: no memory. */
static struct och_view *
view_before(struct och_mem *mem, const struct och_view *view, uint64_t end)
{
    uint32_t room = view->n_frozen + 1;
    struct och_view *kept = och_view_make(mem, view->n_segments, room);
    if (kept == NULL)
        return NULL;
    kept->position = view->position;
    for (uint32_t i = 0; i < view->n_segments; i++)
        kept->segments[i] = och_segment_retain(view->segments[i]);
    /* Room for a head is part of what a view is, so empty places stay in it. */
    kept->n_frozen = 0;
    for (uint32_t i = 0; i < view->n_frozen; i++)
        take_head(kept, view->frozen[i].head, end);
    take_head(kept, view->head, end);
    kept->n_frozen = room;
    return kept;
}

void
och_history_keep(struct och_history *history, struct och_uuid collection,
        const struct och_view *view, uint64_t end, bool files)
{
    if (view->position >= end)
        return;
    struct och_history_entry *entry = och_mem_take(history->mem, sizeof(*entry));
    if (entry == NULL)
        return;
    *entry = (struct och_history_entry){.collection = collection,
            .view = view_before(history->mem, view, end),
            .first = view->position,
            .end = end,
            .replaced_ns = och_machine_monotonic_ns(history->machine),
            .load = {.n_entries = 1,
                    .memory = sizeof(*entry) + sizeof(*view) + view->n_segments * sizeof(void *)}};
    if (entry->view == NULL) {
        och_mem_release(history->mem, entry, sizeof(*entry));
        return;
    }
    for (uint32_t i = 0; i < entry->view->n_frozen; i++)
        if (entry->view->frozen[i].head != NULL)
            entry->load.memory += entry->view->frozen[i].head->bytes;
    for (uint32_t i = 0; files && i < view->n_segments; i++)
        entry->load.memory += view->segments[i]->file_size;

    struct och_history_entry *freed = NULL;
    och_mutex_lock(&history->lock);
    if (history->newest != NULL)
        history->newest->next = entry;
    else
        history->oldest = entry;
    history->newest = entry;
    history->load.n_entries++;
    history->load.memory += entry->load.memory;
    trim(history, 0, &freed);
    och_mutex_unlock(&history->lock);
    free_entries(history, freed);
}

static bool
holds(const struct och_history_entry *entry, const struct och_segment *segment)
{
    for (uint32_t i = 0; i < entry->view->n_segments; i++)
        if (entry->view->segments[i] == segment)
            return true;
    return false;
}

void
och_history_retire(
        struct och_history *history, struct och_uuid collection, const struct och_segment *segment)
{
    struct och_history_entry *freed = NULL;
    struct och_history_entry *last = NULL;
    och_mutex_lock(&history->lock);
    for (struct och_history_entry *entry = history->oldest; entry != NULL; entry = entry->next)
        if (och_uuid_equal(entry->collection, collection) && holds(entry, segment))
            last = entry;
    if (last != NULL) {
        /* The file is there until the last of those that hold it goes. */
        last->load.disk += segment->file_size;
        history->load.disk += segment->file_size;
        trim(history, 0, &freed);
    }
    och_mutex_unlock(&history->lock);
    free_entries(history, freed);
}

/* --- looking ------------------------------------------------------------------ */

struct och_view *
och_history_find(struct och_history *history, struct och_uuid collection, uint64_t position)
{
    struct och_view *found = NULL;
    och_mutex_lock(&history->lock);
    for (struct och_history_entry *entry = history->oldest; entry != NULL; entry = entry->next)
        if (position >= entry->first && position < entry->end &&
                och_uuid_equal(entry->collection, collection))
            found = entry->view;
    if (found != NULL)
        (void) och_view_retain(found);
    och_mutex_unlock(&history->lock);
    return found;
}

uint64_t
och_history_oldest(struct och_history *history, struct och_uuid collection, uint64_t first)
{
    uint64_t begin = first, end = first; /* of the entries seen last that go on in each other */
    och_mutex_lock(&history->lock);
    for (const struct och_history_entry *entry = history->oldest; entry != NULL;
            entry = entry->next) {
        if (!och_uuid_equal(entry->collection, collection))
            continue;
        begin = entry->first == end ? begin : entry->first;
        end = entry->end;
    }
    och_mutex_unlock(&history->lock);
    return end == first ? begin : first;
}

void
och_history_lease(struct och_history *history, struct och_uuid collection, uint64_t position)
{
    uint64_t now = och_machine_monotonic_ns(history->machine);
    och_mutex_lock(&history->lock);
    struct och_history_lease *lease = &history->leases[0];
    for (unsigned i = 0; i < OCH_HISTORY_LEASES; i++) {
        struct och_history_lease *other = &history->leases[i];
        if (other->used_ns != 0 && other->position == position &&
                och_uuid_equal(other->collection, collection)) {
            lease = other;
            break;
        }
        if (other->used_ns < lease->used_ns)
            lease = other;
    }
    *lease = (struct och_history_lease){collection, position, now == 0 ? 1 : now};
    och_mutex_unlock(&history->lock);
}
