#include "segment/head.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/size.h"

#define SLOTS_MIN 128u
#define VECTOR_ALIGNMENT ((size_t) 64)

static_assert(OCH_HEAD_CHUNK_ROWS % 64 == 0, "a word of a set of rows lies in one chunk");

ochre_status
och_head_make(struct och_mem *mem, uint32_t dim, struct och_head **head_out)
{
    struct och_head *head = och_mem_take_zeroed(mem, sizeof(*head));
    *head_out = head;
    if (head == NULL)
        return OCHRE_NO_MEMORY;
    head->mem = mem;
    head->dim = dim;
    atomic_init(&head->in_order, true);
    atomic_init(&head->n_owners, 1);
    och_arena_init_apart(&head->texts, mem);
    return OCHRE_OK;
}

struct och_head *
och_head_retain(struct och_head *head)
{
    (void) atomic_fetch_add_explicit(&head->n_owners, 1, memory_order_relaxed);
    return head;
}

void
och_head_release(struct och_head *head)
{
    if (head == NULL)
        return;
    if (atomic_fetch_sub_explicit(&head->n_owners, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned c = 0; c < OCH_HEAD_CHUNKS_MAX; c++)
        och_mem_release_apart(head->mem, head->chunks[c].vectors, head->chunk_bytes[c]);
    och_arena_clear(&head->texts);
    och_mem_release(head->mem, head->slots, head->n_slots * sizeof(uint32_t));
    och_mem_release(head->mem, head->hashes, head->n_slots * sizeof(uint32_t));
    och_mem_release(head->mem, head, sizeof(*head));
}

/* --- the id map ------------------------------------------------------------- */

static uint32_t
hash_of(struct ochre_bytes id)
{
    return (uint32_t) och_hash64(id.data, id.size);
}

static bool
same_id(const struct och_head *head, uint32_t row, struct ochre_bytes id)
{
    const struct och_row_texts *texts = och_head_texts(head, row);
    return texts->id.size == id.size && memcmp(texts->id.data, id.data, id.size) == 0;
}

/* The slot of `id`: the one that holds it, or the empty one where it would go. */
static uint32_t
slot_of(const struct och_head *head, struct ochre_bytes id, uint32_t hash)
{
    uint32_t mask = head->n_slots - 1;
    uint32_t slot = hash & mask;
    while (head->slots[slot] != 0) {
        if (head->hashes[slot] == hash && same_id(head, head->slots[slot] - 1, id))
            break;
        slot = (slot + 1) & mask;
    }
    return slot;
}

uint32_t
och_head_find(const struct och_head *head, struct ochre_bytes id)
{
    if (head->n_slots == 0)
        return OCH_ROW_NONE;
    uint32_t slot = slot_of(head, id, hash_of(id));
    return head->slots[slot] == 0 ? OCH_ROW_NONE : head->slots[slot] - 1;
}

/* Make sure that one more id fits, at most half full. */
static ochre_status
reserve_slot(struct och_head *head)
{
    if (head->n_used < head->n_slots / 2)
        return OCHRE_OK;
    uint32_t n_new = head->n_slots == 0 ? SLOTS_MIN : head->n_slots * 2;
    uint32_t *slots = och_mem_take_zeroed(head->mem, n_new * sizeof(uint32_t));
    uint32_t *hashes = och_mem_take(head->mem, n_new * sizeof(uint32_t));
    if (slots == NULL || hashes == NULL) {
        och_mem_release(head->mem, slots, n_new * sizeof(uint32_t));
        och_mem_release(head->mem, hashes, n_new * sizeof(uint32_t));
        return OCHRE_NO_MEMORY;
    }
    for (uint32_t old = 0; old < head->n_slots; old++) {
        if (head->slots[old] == 0)
            continue;
        uint32_t slot = head->hashes[old] & (n_new - 1);
        while (slots[slot] != 0)
            slot = (slot + 1) & (n_new - 1);
        slots[slot] = head->slots[old];
        hashes[slot] = head->hashes[old];
    }
    och_mem_release(head->mem, head->slots, head->n_slots * sizeof(uint32_t));
    och_mem_release(head->mem, head->hashes, head->n_slots * sizeof(uint32_t));
    head->slots = slots;
    head->hashes = hashes;
    head->n_slots = n_new;
    return OCHRE_OK;
}

/* Empty a slot and close the gap (Knuth 1998, 6.4, algorithm R). */
static void
remove_slot(struct och_head *head, uint32_t slot)
{
    uint32_t mask = head->n_slots - 1;
    uint32_t hole = slot;
    for (uint32_t next = (slot + 1) & mask; head->slots[next] != 0; next = (next + 1) & mask) {
        uint32_t home = head->hashes[next] & mask;
        if (((next - home) & mask) < ((next - hole) & mask))
            continue;
        head->slots[hole] = head->slots[next];
        head->hashes[hole] = head->hashes[next];
        hole = next;
    }
    head->slots[hole] = 0;
    head->n_used--;
}

/* --- rows ------------------------------------------------------------------- */

/* One block holds all of a chunk's columns, the vectors first. */
static ochre_status
reserve_chunk(struct och_head *head, unsigned chunk)
{
    if (chunk >= OCH_HEAD_CHUNKS_MAX)
        return OCHRE_NO_MEMORY;
    struct och_head_chunk *columns = &head->chunks[chunk];
    if (columns->vectors != NULL)
        return OCHRE_OK;
    size_t rows = och_head_chunk_rows(chunk);
    size_t vectors;
    if (!och_size_mul(rows * sizeof(float), head->dim, &vectors))
        return OCHRE_NO_MEMORY;
    vectors = och_size_align(vectors, VECTOR_ALIGNMENT);
    size_t row_size =
            sizeof(struct och_row_texts) + 3 * sizeof(uint64_t) + sizeof(uint32_t) + sizeof(float);
    size_t codes = rows * och_tail_row_size(head->dim);
    size_t total = vectors + codes + rows * row_size;
    char *block = och_mem_take_apart(head->mem, total); /* aligned to 64 */
    if (block == NULL)
        return OCHRE_NO_MEMORY;
    head->chunk_bytes[chunk] = total;
    och_tail_place(&columns->tail, block + vectors, head->dim, (uint32_t) rows);
    char *next = block + vectors + codes;
    columns->texts = (struct och_row_texts *) (void *) next;
    next += rows * sizeof(struct och_row_texts);
    columns->ordinals = (uint64_t *) (void *) next;
    next += rows * sizeof(uint64_t);
    columns->born = (uint64_t *) (void *) next;
    next += rows * sizeof(uint64_t);
    columns->dead = (_Atomic(uint64_t) *) (void *) next;
    next += rows * sizeof(uint64_t);
    columns->previous = (uint32_t *) (void *) next;
    next += rows * sizeof(uint32_t);
    columns->norms = (float *) (void *) next;
    columns->vectors = (float *) (void *) block;
    return OCHRE_OK;
}

static bool
copy_bytes(struct och_head *head, struct ochre_bytes *bytes)
{
    if (bytes->data == NULL)
        return true;
    bytes->data = och_arena_copy(&head->texts, bytes->data, bytes->size);
    return bytes->data != NULL;
}

static size_t
texts_size(const struct och_row_texts *texts)
{
    return texts->id.size + texts->document.size + texts->uri.size + texts->fields.size;
}

static size_t
row_bytes(const struct och_head *head, const struct och_row_texts *texts)
{
    return head->dim * sizeof(float) + och_tail_row_size(head->dim) + sizeof(*texts) + 32 +
            texts_size(texts);
}

ochre_status
och_head_append(struct och_head *head, const struct och_head_insert *insert)
{
    uint32_t row = head->n_rows;
    uint32_t at;
    unsigned c = och_head_chunk_of(row, &at);
    ochre_status status = reserve_chunk(head, c);
    if (status == OCHRE_OK)
        status = reserve_slot(head);
    if (status != OCHRE_OK)
        return status;
    struct och_row_texts texts = insert->texts;
    struct och_arena_mark mark = och_arena_mark(&head->texts);
    if (!copy_bytes(head, &texts.id) || !copy_bytes(head, &texts.document) ||
            !copy_bytes(head, &texts.uri) || !copy_bytes(head, &texts.fields)) {
        och_arena_rewind(&head->texts, &mark);
        return OCHRE_NO_MEMORY;
    }

    struct och_head_chunk *chunk = &head->chunks[c];
    if (head->dim > 0) {
        memcpy(chunk->vectors + (size_t) at * head->dim, insert->vector, head->dim * sizeof(float));
        och_tail_encode(&chunk->tail, at, insert->vector, head->dim);
    }
    chunk->norms[at] = insert->norm;
    chunk->ordinals[at] = insert->ordinal;
    chunk->born[at] = insert->position;
    atomic_init(&chunk->dead[at], OCH_ALIVE);
    chunk->texts[at] = texts;

    uint32_t hash = hash_of(texts.id);
    uint32_t slot = slot_of(head, texts.id, hash);
    chunk->previous[at] = head->slots[slot] == 0 ? OCH_ROW_NONE : head->slots[slot] - 1;
    if (head->slots[slot] == 0)
        head->n_used++;
    head->slots[slot] = row + 1;
    head->hashes[slot] = hash;
    if (row > 0 && och_head_ordinal(head, row - 1) > insert->ordinal)
        atomic_store_explicit(&head->in_order, false, memory_order_relaxed);
    head->n_rows++;
    head->bytes += row_bytes(head, &texts);
    return OCHRE_OK;
}

void
och_head_undo_append(struct och_head *head, const struct och_arena_mark *mark)
{
    och_assert(head->n_rows > 0);
    uint32_t row = head->n_rows - 1;
    uint32_t at;
    struct och_head_chunk *chunk = &head->chunks[och_head_chunk_of(row, &at)];
    struct ochre_bytes id = chunk->texts[at].id;
    uint32_t slot = slot_of(head, id, hash_of(id));
    och_assert(head->slots[slot] == row + 1);
    if (atomic_load_explicit(&chunk->dead[at], memory_order_relaxed) != OCH_ALIVE)
        och_head_undo_kill(head, row);
    if (chunk->previous[at] == OCH_ROW_NONE)
        remove_slot(head, slot);
    else
        head->slots[slot] = chunk->previous[at] + 1;
    head->bytes -= row_bytes(head, &chunk->texts[at]);
    och_arena_rewind(&head->texts, mark);
    head->n_rows--;
}

bool
och_head_is_dead(const struct och_head *head)
{
    return atomic_load_explicit(&head->n_dead, memory_order_relaxed) == head->n_rows;
}

void
och_head_kill(struct och_head *head, uint32_t row, uint64_t position)
{
    uint32_t at;
    struct och_head_chunk *chunk = &head->chunks[och_head_chunk_of(row, &at)];
    atomic_store_explicit(&chunk->dead[at], position, memory_order_relaxed);
    (void) atomic_fetch_add_explicit(&head->n_dead, 1, memory_order_relaxed);
}

void
och_head_undo_kill(struct och_head *head, uint32_t row)
{
    uint32_t at;
    struct och_head_chunk *chunk = &head->chunks[och_head_chunk_of(row, &at)];
    atomic_store_explicit(&chunk->dead[at], OCH_ALIVE, memory_order_relaxed);
    (void) atomic_fetch_sub_explicit(&head->n_dead, 1, memory_order_relaxed);
}

/* --- reading ---------------------------------------------------------------- */

uint64_t
och_head_ordinal(const struct och_head *head, uint32_t row)
{
    uint32_t at;
    return head->chunks[och_head_chunk_of(row, &at)].ordinals[at];
}

uint64_t
och_head_dead(const struct och_head *head, uint32_t row)
{
    uint32_t at;
    const struct och_head_chunk *chunk = &head->chunks[och_head_chunk_of(row, &at)];
    return atomic_load_explicit(&chunk->dead[at], memory_order_relaxed);
}

const struct och_row_texts *
och_head_texts(const struct och_head *head, uint32_t row)
{
    uint32_t at;
    return &head->chunks[och_head_chunk_of(row, &at)].texts[at];
}

const float *
och_head_vector(const struct och_head *head, uint32_t row, float *norm_out)
{
    uint32_t at;
    const struct och_head_chunk *chunk = &head->chunks[och_head_chunk_of(row, &at)];
    *norm_out = chunk->norms[at];
    return chunk->vectors + (size_t) at * head->dim;
}

uint32_t
och_head_rows_at(const struct och_head *head, uint32_t n_rows, uint64_t position)
{
    uint32_t low = 0;
    while (low < n_rows) {
        uint32_t middle = low + (n_rows - low) / 2;
        uint32_t at;
        const struct och_head_chunk *chunk = &head->chunks[och_head_chunk_of(middle, &at)];
        if (chunk->born[at] <= position)
            low = middle + 1;
        else
            n_rows = middle;
    }
    return low;
}

bool
och_head_is_visible(const struct och_head *head, uint32_t row, uint64_t position)
{
    uint32_t at;
    const struct och_head_chunk *chunk = &head->chunks[och_head_chunk_of(row, &at)];
    return chunk->born[at] <= position &&
            position < atomic_load_explicit(&chunk->dead[at], memory_order_relaxed);
}

uint32_t
och_head_version(const struct och_head *head, uint32_t row, uint32_t n_rows, uint64_t position)
{
    while (row != OCH_ROW_NONE) {
        uint32_t at;
        const struct och_head_chunk *chunk = &head->chunks[och_head_chunk_of(row, &at)];
        if (row < n_rows && och_head_is_visible(head, row, position))
            return row;
        row = chunk->previous[at];
    }
    return OCH_ROW_NONE;
}

ochre_status
och_head_visible(
        const struct och_head *head, uint32_t n_rows, uint64_t position, struct och_bitset *rows)
{
    ochre_status status = och_bitset_reserve(rows, n_rows);
    if (status != OCHRE_OK)
        return status;
    /* A chunk begins at a multiple of 64 rows, and so of a word. */
    for (uint32_t first = 0; first < n_rows; first += OCH_HEAD_CHUNK_ROWS) {
        uint32_t at;
        const struct och_head_chunk *chunk = &head->chunks[och_head_chunk_of(first, &at)];
        uint32_t n = n_rows - first < 64 ? n_rows - first : 64;
        uint64_t word = 0;
        for (uint32_t i = 0; i < n; i++, at++) {
            uint64_t dead = atomic_load_explicit(&chunk->dead[at], memory_order_relaxed);
            word |= (uint64_t) (chunk->born[at] <= position && position < dead) << i;
        }
        rows->words[first / 64] = word;
    }
    return OCHRE_OK;
}
