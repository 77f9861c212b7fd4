/*
 * Random programs on the simulated disk against the plainest model of what a
 * crash may do: what was synced is there, and the rest is one of the things
 * that it was since.
 */
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "sim/sim_disk.h"
#include "sim_words.h"
#include "support/check.h"

static struct och_mem mem;

enum { N_NAMES = 5, N_FILES = 40, FILE_MAX = 3 * 4096, TAG = 8 };

/*
 * What the model knows of one file: what was synced, and all that might be seen
 * since.  Each file starts with a tag of its own, synced at once, so that a file
 * can be told whatever its name is.
 */
struct model_file {
    unsigned char synced[FILE_MAX];
    unsigned char current[FILE_MAX];
    size_t synced_size;
    size_t current_size;
    size_t size_min;        /* since the last sync */
    bool touched[FILE_MAX]; /* bytes written or cut since the last sync */
    bool is_dirty;
    bool is_safe;          /* its name was synced, and was only ever changed by renames since */
    struct och_file *file; /* open as long as the model lives; NULL for none */
};

/* And of the names: which file each may stand for, N_FILES being none. */
struct model {
    struct model_file files[N_FILES];
    size_t n_files;
    size_t current[N_NAMES];
    bool may_be[N_NAMES][N_FILES + 1];
    size_t moved_out[N_NAMES]; /* the file that went to the other directory last */
};

static const char *const names[N_NAMES] = {"a", "b", "c", "d/a", "d/b"};
static const bool is_in_d[N_NAMES] = {false, false, false, true, true};

static void
model_init(struct model *model)
{
    memset(model, 0, sizeof(*model));
    for (size_t i = 0; i < N_NAMES; i++) {
        model->current[i] = N_FILES;
        model->may_be[i][N_FILES] = true;
        model->moved_out[i] = N_FILES;
    }
}

static void
model_bind(struct model *model, size_t name, size_t file)
{
    model->current[name] = file;
    model->may_be[name][file] = true;
    model->moved_out[name] = N_FILES;
}

static void
model_sync(struct model_file *file)
{
    memcpy(file->synced, file->current, FILE_MAX);
    file->synced_size = file->current_size;
    file->size_min = file->current_size;
    memset(file->touched, 0, sizeof(file->touched));
    file->is_dirty = false;
}

static void
model_resize(struct model_file *file, size_t size)
{
    if (size < file->current_size) {
        memset(file->current + size, 0, FILE_MAX - size);
        memset(file->touched + size, 1, FILE_MAX - size);
    }
    file->is_dirty = file->is_dirty || size != file->current_size;
    file->current_size = size;
    file->size_min = size < file->size_min ? size : file->size_min;
}

static void
step_create(struct sim_disk *disk, struct model *model, size_t name)
{
    if (model->n_files == N_FILES || model->current[name] != N_FILES)
        return;
    struct model_file *file = &model->files[model->n_files];
    file->file = open_file(disk, names[name], CREATE | OCH_OPEN_EXCLUSIVE);
    unsigned char tag[TAG] = {'t', 'a', 'g', (unsigned char) (model->n_files + 1), 1, 2, 3, 4};
    write_at(file->file, 0, tag, TAG);
    sync_file(file->file);
    memcpy(file->current, tag, TAG);
    file->current_size = TAG;
    model_sync(file);
    model_bind(model, name, model->n_files);
    model->n_files++;
}

static void
step_write(struct model_file *file, uint64_t *seed)
{
    static unsigned char bytes[FILE_MAX];
    size_t offset = TAG + (size_t) och_random_below(seed, FILE_MAX - TAG);
    size_t size = 1 + (size_t) och_random_below(seed, FILE_MAX - offset);
    bool zeros = och_random_below(seed, 4) == 0;
    for (size_t i = 0; i < size; i++)
        bytes[i] = zeros ? 0 : (unsigned char) och_random(seed);
    write_at(file->file, offset, bytes, size);
    memcpy(file->current + offset, bytes, size);
    memset(file->touched + offset, 1, size);
    file->is_dirty = true;
    if (offset + size > file->current_size)
        file->current_size = offset + size;
}

static void
step_resize(struct model_file *file, uint64_t *seed)
{
    struct ochre_error err;
    size_t size = TAG + (size_t) och_random_below(seed, FILE_MAX - TAG);
    check_ok(och_file_truncate(file->file, size, &err), &err);
    model_resize(file, size);
}

/* All names of the directory are sure, but for a file that moved out: it may
 * still be there until the other directory is synced. */
static void
step_sync_dir(struct sim_disk *disk, struct model *model, bool in_d)
{
    sync_dir(disk, in_d ? "d" : "");
    for (size_t i = 0; i < N_NAMES; i++) {
        if (is_in_d[i] != in_d)
            continue;
        memset(model->may_be[i], 0, sizeof(model->may_be[i]));
        model->may_be[i][model->current[i]] = true;
        if (model->moved_out[i] != N_FILES)
            model->may_be[i][model->moved_out[i]] = true;
        if (model->current[i] != N_FILES)
            model->files[model->current[i]].is_safe = true;
    }
}

static void
step_remove(struct sim_disk *disk, struct model *model, size_t name)
{
    model->files[model->current[name]].is_safe = false;
    remove_file(disk, names[name]);
    model_bind(model, name, N_FILES);
}

static void
step_rename(struct sim_disk *disk, struct model *model, size_t from, size_t to)
{
    rename_file(disk, names[from], names[to]);
    if (from == to)
        return;
    size_t file = model->current[from];
    if (model->current[to] != N_FILES)
        model->files[model->current[to]].is_safe = false;
    model_bind(model, from, N_FILES);
    model_bind(model, to, file);
    if (is_in_d[from] != is_in_d[to])
        model->moved_out[from] = file;
}

static void
step(struct sim_disk *disk, struct model *model, uint64_t *seed)
{
    size_t name = (size_t) och_random_below(seed, N_NAMES);
    size_t other = (size_t) och_random_below(seed, N_NAMES);
    size_t file = model->current[name];
    uint64_t what = och_random_below(seed, 16);
    if (what == 0) {
        step_sync_dir(disk, model, och_random_below(seed, 2) == 0);
    } else if (what < 4) {
        step_create(disk, model, name);
    } else if (file == N_FILES) {
        return;
    } else if (what < 5) {
        step_remove(disk, model, name);
    } else if (what < 8) {
        step_rename(disk, model, name, other);
    } else if (what < 10) {
        sync_file(model->files[file].file);
        model_sync(&model->files[file]);
    } else if (what < 12) {
        step_resize(&model->files[file], seed);
    } else {
        step_write(&model->files[file], seed);
    }
}

/* The bytes found are synced ones, but for what was touched since. */
static void
check_bytes(const struct model_file *file, const unsigned char *bytes, size_t size)
{
    if (!file->is_dirty) {
        check(size == file->synced_size);
        check(memcmp(bytes, file->synced, size) == 0);
        return;
    }
    check(size >= (file->size_min < file->synced_size ? file->size_min : file->synced_size));
    for (size_t i = 0; i < size && i < file->synced_size; i++)
        check(file->touched[i] || bytes[i] == file->synced[i]);
    for (size_t i = file->synced_size; i < size; i++)
        check(file->touched[i] || bytes[i] == 0);
}

static void
check_against_model(struct sim_disk *after, const struct model *model)
{
    bool found[N_FILES] = {false};
    for (size_t i = 0; i < N_NAMES; i++) {
        static unsigned char bytes[FILE_MAX + 1];
        size_t size = 0;
        if (!get(after, names[i], (char *) bytes, sizeof(bytes), &size)) {
            check(model->may_be[i][N_FILES]);
            continue;
        }
        check(size >= TAG && memcmp(bytes, "tag", 3) == 0);
        size_t file = (size_t) bytes[3] - 1;
        check(file < model->n_files && model->may_be[i][file]);
        check_bytes(&model->files[file], bytes, size);
        check(!found[file]); /* no file has two names */
        found[file] = true;
    }
    for (size_t i = 0; i < model->n_files; i++)
        check(found[i] || !model->files[i].is_safe);
}

static void
check_all_kept(struct sim_disk *after, const struct model *model)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        static unsigned char bytes[FILE_MAX + 1];
        size_t size = 0;
        bool there = get(after, names[i], (char *) bytes, sizeof(bytes), &size);
        check(there == (model->current[i] != N_FILES));
        if (!there)
            continue;
        const struct model_file *file = &model->files[model->current[i]];
        check(size == file->current_size && memcmp(bytes, file->current, size) == 0);
    }
}

static void
random_programs_keep_all_that_was_synced(void **state)
{
    (void) state;
    enum { n_programs = 100, n_steps = 80 };
    static struct model model;
    uint64_t seed = 7;
    print_message("seed %llu\n", (unsigned long long) seed);
    for (int program = 0; program < n_programs; program++) {
        struct sim_disk *disk = sim_disk_open(&mem, (uint64_t) program);
        make_dir(disk, "d");
        sync_dir(disk, "");
        model_init(&model);
        for (int i = 0; i < n_steps; i++) {
            step(disk, &model, &seed);
            if (i % 8 != 7)
                continue;
            for (size_t j = 0; j < (size_t) 3 * SIM_N_MODES; j++) {
                enum sim_mode mode = modes[j % SIM_N_MODES];
                struct sim_disk *after = crashed(disk, mode, och_random(&seed));
                check_against_model(after, &model);
                if (mode == SIM_ALL_KEPT)
                    check_all_kept(after, &model);
                sim_disk_close(after);
            }
        }
        check_all_kept(disk, &model); /* the crashes were those of clones */
        for (size_t i = 0; i < model.n_files; i++)
            och_file_close(model.files[i].file);
        sim_disk_close(disk);
    }
}

/* The bytes of a whole disk with one directory, as one number. */
static uint64_t
digest(struct sim_disk *disk)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < N_NAMES; i++) {
        static char bytes[FILE_MAX + 1];
        size_t size = 0;
        bool there = get(disk, names[i], bytes, sizeof(bytes), &size);
        hash = hash * 31 + there;
        for (size_t j = 0; j < size; j++)
            hash = hash * 31 + (unsigned char) bytes[j];
    }
    return hash;
}

static void
the_same_seeds_give_the_same_bytes(void **state)
{
    (void) state;
    static struct model model;
    uint64_t digests[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        uint64_t seed = 3;
        struct sim_disk *disk = sim_disk_open(&mem, 5);
        make_dir(disk, "d");
        sync_dir(disk, "");
        model_init(&model);
        for (int j = 0; j < 200; j++)
            step(disk, &model, &seed);
        for (uint64_t crash = 0; crash < 20; crash++) {
            struct sim_disk *after = crashed(disk, SIM_RANDOM, crash);
            digests[i] = digests[i] * 31 + digest(after);
            sim_disk_close(after);
        }
        for (size_t j = 0; j < model.n_files; j++)
            och_file_close(model.files[j].file);
        sim_disk_close(disk);
    }
    check(digests[0] == digests[1]);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(random_programs_keep_all_that_was_synced),
            cmocka_unit_test(the_same_seeds_give_the_same_bytes),
    };
    och_mem_init(&mem, NULL);
    int failed = cmocka_run_group_tests_name("sim/model", tests, NULL, NULL);
    return och_mem_used(&mem) == 0 ? failed : 1;
}
