/*
 * sim_watch.h - files whose calls are told to a test before they are made, and two
 * threads that take turns at such calls.
 *
 * A test that looks, or lets another run, at each call sees every state in which another
 * process could find the files, but for halves of single calls.
 *
 * Threads: a watch as what it is told to; turns: two.
 */
#ifndef OCH_TESTS_SIM_WATCH_H
#define OCH_TESTS_SIM_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "os/thread.h"

struct och_vfs;
struct sim_watch;

/* Called before each call but unmap and close; `changes` says that it may change
 * something.  Another status than OCHRE_OK is the call's, which is then not made. */
typedef ochre_status (*sim_watch_before)(void *context, bool changes, struct ochre_error *err);

/* Watch the files of `base`, which is borrowed. */
struct sim_watch *sim_watch_open(struct och_vfs *base, sim_watch_before before, void *context);
void sim_watch_close(struct sim_watch *watch); /* no file is open; NULL is fine */

struct och_vfs *sim_watch_vfs(struct sim_watch *watch);

/* Which of two threads runs, chosen by the seed. */
struct sim_turns {
    struct och_mutex lock; /* guards what follows */
    struct och_cond changed;
    unsigned turn;
    bool over[2];
    uint64_t seed;
    unsigned one_in; /* calls at which the other one's turn comes */
};

/* Side 0 begins. */
void sim_turns_init(struct sim_turns *turns, uint64_t seed, unsigned one_in);
void sim_turns_clear(struct sim_turns *turns);

/* A side begins: wait for its turn; perhaps lets the other one run; ends. */
void sim_turns_begin(struct sim_turns *turns, unsigned side);
void sim_turns_pass(struct sim_turns *turns, unsigned side);
void sim_turns_end(struct sim_turns *turns, unsigned side);

#endif /* OCH_TESTS_SIM_WATCH_H */
