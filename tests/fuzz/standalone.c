/*
 * standalone.c - run a fuzz target over files, without libFuzzer.
 *
 *      replay_json tests/fuzz/corpus/json one-more-file
 *
 * A directory stands for the files in it (not for those further down).  Any
 * file that the target does not survive ends the program, so the name is
 * printed first when the environment asks for it with FUZZ_VERBOSE.  The last
 * line says how many inputs there were; none at all is a failure, because a
 * corpus that was not found tests nothing.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool verbose;

/* Run the target on one file; false when the file cannot be read. */
static bool
replay_file(const char *path)
{
    if (verbose)
        (void) fprintf(stderr, "%s\n", path);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;

    uint8_t *bytes = NULL;
    bool read = false;
    long size = 0;
    if (fseek(file, 0, SEEK_END) != 0)
        goto done;
    size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0)
        goto done;
    /* Exactly as long as the input, so that reading past its end is found. */
    bytes = malloc(size == 0 ? 1 : (size_t) size);
    if (bytes == NULL || fread(bytes, 1, (size_t) size, file) != (size_t) size)
        goto done;
    (void) LLVMFuzzerTestOneInput(bytes, (size_t) size);
    read = true;

done:
    free(bytes);
    (void) fclose(file);
    return read;
}

/* Run the target on the files of a directory; how many, or -1. */
static long
replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -1;
    long n_files = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char name[4096];
        struct stat info;
        int length = snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (length < 0 || (size_t) length >= sizeof(name) || stat(name, &info) != 0) {
            n_files = -1;
            break;
        }
        if (!S_ISREG(info.st_mode))
            continue;
        if (!replay_file(name)) {
            n_files = -1;
            break;
        }
        n_files++;
    }
    (void) closedir(dir);
    return n_files;
}

int
main(int argc, char **argv)
{
    long n_inputs = 0;
    verbose = getenv("FUZZ_VERBOSE") != NULL;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        long n_here = -1;
        if (stat(argv[i], &info) == 0)
            n_here = S_ISDIR(info.st_mode) ? replay_directory(argv[i])
                    : replay_file(argv[i]) ? 1
                                           : -1;
        if (n_here < 0) {
            (void) fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 2;
        }
        n_inputs += n_here;
    }
    (void) printf("%ld inputs replayed\n", n_inputs);
    return n_inputs > 0 ? 0 : 2;
}
