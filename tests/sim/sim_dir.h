/*
 * sim_dir.h - a directory of a disk as files of their own, for what two roots on one
 * machine do: they lose their power together, and fill the same disk.
 *
 * Threads: as the files that it stands on.
 */
#ifndef OCH_TESTS_SIM_DIR_H
#define OCH_TESTS_SIM_DIR_H

#include "os/vfs.h"

enum { SIM_DIR_NAME_SIZE = 32 };

struct sim_dir {
    struct och_vfs vfs;   /* first */
    struct och_vfs *base; /* borrowed */
    char name[SIM_DIR_NAME_SIZE];
};

/* Stand for directory `name` of `base`, which is there.  Nothing to clear. */
void sim_dir_init(struct sim_dir *dir, struct och_vfs *base, const char *name);

#endif /* OCH_TESTS_SIM_DIR_H */
