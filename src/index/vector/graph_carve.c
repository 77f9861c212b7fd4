#include "index/vector/graph_carve.h"

#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "index/vector/graph_build.h"
#include "index/vector/graph_link.h"
#include "index/vector/graph_near.h"

enum {
    BALL = 512,          /* nodes of a ball, on average */
    BALL_MAX = 4 * BALL, /* what is larger is carved again */
};

/* A node in a ball: its place, and in which of its balls. */
typedef uint32_t member;
enum { SLOT_BITS = 3 };
_Static_assert(OCH_CARVE_FAN <= 1 << SLOT_BITS, "a slot fits");

static uint32_t
place_of(member one)
{
    return one >> SLOT_BITS;
}

static uint32_t
slot_of(member one)
{
    return one & ((1U << SLOT_BITS) - 1);
}

/* Members, ball after ball. */
struct balls {
    struct och_mem *mem;
    member *members;  /* owned: [n_members] */
    uint32_t *begins; /* owned: [n + 1] */
    size_t n_members;
    uint32_t n;
};

/* What a thread needs. */
struct room {
    struct och_near_block block;
    struct och_near_tile tile;
    uint32_t nodes[BALL_MAX];
};

struct carving {
    struct och_link_sharing sharing;
    struct och_graph_build *build;
    struct och_carved *carved;
    struct room *rooms; /* [n_threads] */
    /* Choosing balls. */
    const member *members;
    size_t n_members;
    struct och_near_block leaders;
    uint32_t *chosen; /* [n_members][fan] */
    uint32_t fan;
    /* Looking around in them. */
    const struct balls *balls;
    bool last; /* no ball will be carved again */
};

static struct room *
room_of(const struct carving *carving, const struct och_graph_scratch *scratch)
{
    return &carving->rooms[scratch - carving->build->scratch];
}

static void
clear_balls(struct balls *balls)
{
    if (balls->mem == NULL)
        return;
    och_mem_release(balls->mem, balls->members, balls->n_members * sizeof(member));
    och_mem_release(balls->mem, balls->begins, ((size_t) balls->n + 1) * sizeof(uint32_t));
    *balls = (struct balls){.mem = NULL};
}

/* --- choosing balls --------------------------------------------------------- */

/* Item: a tile of members chooses its leaders. */
static void
choose(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    struct carving *carving = (struct carving *) sharing; /* its first member */
    const struct och_graph_build *build = carving->build;
    struct room *room = room_of(carving, scratch);
    size_t from = (size_t) item * OCH_NEAR_TILE, left = carving->n_members - from;
    uint32_t n = left < OCH_NEAR_TILE ? (uint32_t) left : OCH_NEAR_TILE;
    if (och_link_stopped(build))
        return;
    for (uint32_t i = 0; i < n; i++)
        room->nodes[i] = build->order[place_of(carving->members[from + i])];
    och_near_tile_fill(build, &room->tile, room->nodes, n);
    och_near_find(build, &carving->leaders, &room->tile, OCH_ROW_NONE, carving->fan);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < carving->fan; j++)
            carving->chosen[(from + i) * carving->fan + j] = room->tile.near[i][j].node;
    }
}

/* Leaders, evenly out of the members, which are in random order within a ball.  Of few
 * members some lead more than one. */
static ochre_status
appoint(struct carving *carving, uint32_t n_leaders)
{
    struct och_graph_build *build = carving->build;
    uint32_t *nodes = och_mem_take(build->mem, n_leaders * sizeof(*nodes));
    ochre_status status = och_near_block_make(build, n_leaders, &carving->leaders);
    if (nodes == NULL)
        status = OCHRE_NO_MEMORY;
    for (uint32_t i = 0; i < n_leaders && status == OCHRE_OK; i++)
        nodes[i] = build->order[place_of(carving->members[carving->n_members * i / n_leaders])];
    if (status == OCHRE_OK)
        och_near_block_fill(build, &carving->leaders, nodes, n_leaders);
    och_mem_release(build->mem, nodes, n_leaders * sizeof(*nodes));
    return status;
}

/* Sort members by the balls they chose; members stay in order within a ball. */
static void
sort_members(const struct carving *carving, struct balls *balls)
{
    uint32_t fan = carving->fan;
    size_t n = carving->n_members;
    memset(balls->begins, 0, ((size_t) balls->n + 1) * sizeof(uint32_t));
    for (size_t i = 0; i < n * fan; i++)
        balls->begins[carving->chosen[i]]++;
    uint32_t end = 0; /* begins are ends first, and counted down */
    for (uint32_t i = 0; i < balls->n; i++)
        balls->begins[i] = end += balls->begins[i];
    balls->begins[balls->n] = end;
    for (size_t i = n * fan; i-- > 0;) {
        member one = carving->members[i / fan];
        uint32_t slot = slot_of(one) * fan + (uint32_t) (i % fan);
        balls->members[--balls->begins[carving->chosen[i]]] = place_of(one) << SLOT_BITS | slot;
    }
}

/*
 * Carve members into balls, each into `fan` of them.  A member of slot s goes into slots
 * s * fan to s * fan + fan - 1.
 */
static ochre_status
divide(struct carving *carving, const member *members, size_t n, uint32_t fan,
        struct balls *balls_out)
{
    struct och_mem *mem = carving->build->mem;
    uint32_t n_leaders = (uint32_t) (n * fan / BALL) + 1;
    n_leaders = n_leaders < fan ? fan : n_leaders;
    carving->members = members;
    carving->n_members = n;
    carving->fan = fan;
    *balls_out = (struct balls){.mem = mem, .n = n_leaders, .n_members = n * fan};
    balls_out->members = och_mem_take(mem, n * fan * sizeof(member));
    balls_out->begins = och_mem_take(mem, ((size_t) n_leaders + 1) * sizeof(uint32_t));
    carving->chosen = och_mem_take(mem, n * fan * sizeof(uint32_t));
    ochre_status status = appoint(carving, n_leaders);
    if (balls_out->members == NULL || balls_out->begins == NULL || carving->chosen == NULL)
        status = OCHRE_NO_MEMORY;
    if (status == OCHRE_OK) {
        carving->sharing.work = choose;
        carving->sharing.n = (uint32_t) ((n + OCH_NEAR_TILE - 1) / OCH_NEAR_TILE);
        och_link_share(&carving->sharing);
        status = och_link_stopped(carving->build) ? OCHRE_UNAVAILABLE : OCHRE_OK;
    }
    if (status == OCHRE_OK)
        sort_members(carving, balls_out);
    och_near_block_clear(carving->build, &carving->leaders);
    och_mem_release(mem, carving->chosen, n * fan * sizeof(uint32_t));
    return status;
}

/* --- looking around --------------------------------------------------------- */

/* A tile of a ball, from `from` on: what is near to those that want to know. */
static void
look_around(const struct carving *carving, struct room *room, const member *members, uint32_t from,
        uint32_t n)
{
    struct och_carved *carved = carving->carved;
    uint32_t left = n - from, n_tile = left < OCH_NEAR_TILE ? left : OCH_NEAR_TILE;
    och_near_tile_fill(carving->build, &room->tile, room->nodes + from, n_tile);
    och_near_find(carving->build, &room->block, &room->tile, from, OCH_CARVE_KEPT);
    for (uint32_t i = 0; i < n_tile; i++) {
        member one = members[from + i];
        if (place_of(one) < carved->first)
            continue;
        uint32_t *near = carved->near + (size_t) (place_of(one) - carved->first) * OCH_CARVE_NEAR +
                (size_t) slot_of(one) * OCH_CARVE_KEPT;
        for (uint32_t j = 0; j < room->tile.n_near[i]; j++)
            near[j] = place_of(members[room->tile.near[i][j].node]);
    }
}

static bool
wants_any(const struct carving *carving, const member *members, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (place_of(members[i]) >= carving->carved->first)
            return true;
    }
    return false;
}

static void
look_in_part(const struct carving *carving, struct room *room, const member *members, uint32_t n)
{
    const struct och_graph_build *build = carving->build;
    for (uint32_t i = 0; i < n; i++)
        room->nodes[i] = build->order[place_of(members[i])];
    och_near_block_fill(build, &room->block, room->nodes, n);
    for (uint32_t from = 0; from < n; from += OCH_NEAR_TILE) {
        uint32_t n_tile = n - from < OCH_NEAR_TILE ? n - from : OCH_NEAR_TILE;
        if (wants_any(carving, members + from, n_tile))
            look_around(carving, room, members, from, n);
    }
}

/* Item: a ball.  What is too large for carving to help is cut evenly. */
static void
look_in_ball(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    const struct carving *carving = (const struct carving *) sharing; /* its first member */
    const struct balls *balls = carving->balls;
    const member *members = balls->members + balls->begins[item];
    uint32_t n = balls->begins[item + 1] - balls->begins[item];
    uint32_t n_parts = (n + BALL_MAX - 1) / BALL_MAX;
    if (n_parts > 1 && !carving->last)
        return;
    for (uint32_t i = 0; i < n_parts && !och_link_stopped(carving->build); i++) {
        uint32_t from = (uint32_t) ((uint64_t) n * i / n_parts);
        uint32_t end = (uint32_t) ((uint64_t) n * (i + 1) / n_parts);
        look_in_part(carving, room_of(carving, scratch), members + from, end - from);
    }
}

static void
look(struct carving *carving, const struct balls *balls, bool last)
{
    carving->balls = balls;
    carving->last = last;
    carving->sharing.work = look_in_ball;
    carving->sharing.n = balls->n;
    och_link_share(&carving->sharing);
}

/* Places in the order of balls: where a node is in its first. */
static void
note_places(struct och_carved *carved, const struct balls *balls)
{
    for (size_t i = 0; i < balls->n_members; i++) {
        if (slot_of(balls->members[i]) == 0)
            carved->places[carved->n_places++] = place_of(balls->members[i]);
    }
}

/* Balls of these members; large ones are carved again. */
static ochre_status
carve_all(struct carving *carving, const member *members, size_t n)
{
    struct balls balls;
    ochre_status status = divide(carving, members, n, OCH_CARVE_FAN, &balls);
    if (status == OCHRE_OK) {
        note_places(carving->carved, &balls);
        look(carving, &balls, false);
    }
    for (uint32_t i = 0; i < balls.n && status == OCHRE_OK; i++) {
        uint32_t size = balls.begins[i + 1] - balls.begins[i];
        if (size <= BALL_MAX)
            continue;
        struct balls smaller;
        status = divide(carving, balls.members + balls.begins[i], size, 1, &smaller);
        if (status == OCHRE_OK)
            look(carving, &smaller, true);
        clear_balls(&smaller);
    }
    clear_balls(&balls);
    return status == OCHRE_OK && och_link_stopped(carving->build) ? OCHRE_UNAVAILABLE : status;
}

/* --- all of it --------------------------------------------------------------- */

static void
clear_rooms(struct carving *carving, unsigned n)
{
    for (unsigned i = 0; carving->rooms != NULL && i < n; i++) {
        och_near_block_clear(carving->build, &carving->rooms[i].block);
        och_near_tile_clear(carving->build, &carving->rooms[i].tile);
    }
    och_mem_release(carving->build->mem, carving->rooms, n * sizeof(*carving->rooms));
}

static ochre_status
make_rooms(struct carving *carving, unsigned n)
{
    struct och_graph_build *build = carving->build;
    carving->rooms = och_mem_take_zeroed(build->mem, n * sizeof(*carving->rooms));
    ochre_status status = carving->rooms == NULL ? OCHRE_NO_MEMORY : OCHRE_OK;
    for (unsigned i = 0; i < n && status == OCHRE_OK; i++) {
        status = och_near_block_make(build, BALL_MAX, &carving->rooms[i].block);
        if (status == OCHRE_OK)
            status = och_near_tile_make(build, &carving->rooms[i].tile);
    }
    return status;
}

ochre_status
och_carve(
        struct och_graph_build *build, uint32_t first, uint32_t end, struct och_carved *carved_out)
{
    struct och_mem *mem = build->mem;
    size_t near_size = (size_t) (end - first) * OCH_CARVE_NEAR * sizeof(uint32_t);
    struct carving carving = {.build = build, .carved = carved_out};
    carving.sharing = (struct och_link_sharing){.build = build, .chunk = 1};
    *carved_out = (struct och_carved){.mem = mem, .first = first, .end = end};
    carved_out->near = och_mem_take(mem, near_size);
    carved_out->places = och_mem_take(mem, end * sizeof(uint32_t));
    member *members = och_mem_take(mem, end * sizeof(member));
    ochre_status status = make_rooms(&carving, build->n_threads);
    if (carved_out->near == NULL || carved_out->places == NULL || members == NULL)
        status = OCHRE_NO_MEMORY;
    if (status == OCHRE_OK) {
        memset(carved_out->near, 0xff, near_size); /* OCH_ROW_NONE everywhere */
        for (uint32_t i = 0; i < end; i++)
            members[i] = i << SLOT_BITS;
        status = carve_all(&carving, members, end);
    }
    clear_rooms(&carving, build->n_threads);
    och_mem_release(mem, members, end * sizeof(member));
    return status;
}

void
och_carve_clear(struct och_carved *carved)
{
    if (carved->mem == NULL)
        return;
    size_t n = carved->end - carved->first;
    och_mem_release(carved->mem, carved->near, n * OCH_CARVE_NEAR * sizeof(uint32_t));
    och_mem_release(carved->mem, carved->places, carved->end * sizeof(uint32_t));
    *carved = (struct och_carved){.mem = NULL};
}
