/*
 * fuzz_config.c - the input is a configuration file.
 *
 * A first byte of 3 sends it through a real file; the second says what else may
 * be wrong with that.  What follows may run short of memory (shortage.h).
 *
 * Beyond not crashing: an error names a place; from a file and from memory the
 * settings are the same; nothing is leaked.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "cli/config.h"
#include "fuzz/shortage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum file_kind { FILE_WHOLE, FILE_IS_DIRECTORY, FILE_MISSING, FILE_TOO_LARGE, FILE_KINDS };

enum { THROUGH_FILE = 3, TOO_LARGE = (1 << 20) + 1 };

static bool
is_same_text(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static bool
is_same_list(const struct och_config_list *a, const struct och_config_list *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = is_same_text(a->texts[i], b->texts[i]);
    return same;
}

static void
check_same(const struct och_config *a, const struct och_config *b)
{
    och_assert(is_same_text(a->path, b->path) && is_same_text(a->host, b->host));
    och_assert(is_same_text(a->backup_dir, b->backup_dir) && is_same_text(a->user, b->user));
    och_assert(is_same_text(a->archive, b->archive) && a->archive_seconds == b->archive_seconds);
    och_assert(a->sandbox == b->sandbox && a->core_dumps == b->core_dumps);
    och_assert(a->port == b->port && a->body_size_max == b->body_size_max);
    och_assert(a->allow_reset == b->allow_reset && a->insecure_no_auth == b->insecure_no_auth);
    och_assert(a->n_io_threads == b->n_io_threads && a->n_threads == b->n_threads);
    och_assert(a->log_level == b->log_level && a->memory_limit == b->memory_limit);
    och_assert(is_same_list(&a->origins, &b->origins) && is_same_list(&a->hosts, &b->hosts));
    och_assert(is_same_list(&a->ignored, &b->ignored));
}

/* Text starts with "127." or is a name or address that needs no network to be ours. */
static void
check_loopback(const char *host)
{
    bool ours = och_config_is_loopback(host);
    och_assert(!ours || strncmp(host, "127.", 4) == 0 || strchr(host, ':') != NULL ||
            (strlen(host) == 9 && (host[0] | 0x20) == 'l'));
}

/* Read through a file that is as `kind` says. */
static ochre_status
read_file(struct och_config *config, struct och_arena *arena, struct ochre_bytes text,
        enum file_kind kind, struct ochre_error *err)
{
    if (kind == FILE_IS_DIRECTORY)
        return och_config_read(config, arena, "/", err);
    if (kind == FILE_MISSING)
        return och_config_read(config, arena, "/dev/null/missing", err);
    int fd = memfd_create("config", MFD_CLOEXEC);
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    och_assert(fd >= 0);
    och_assert(write(fd, text.data, text.size) == (ssize_t) text.size);
    if (kind == FILE_TOO_LARGE)
        och_assert(ftruncate(fd, TOO_LARGE) == 0);
    ochre_status status = och_config_read(config, arena, path, err);
    (void) close(fd);
    return status;
}

static void
check_file(const struct och_config *config, ochre_status status, struct ochre_bytes text,
        enum file_kind kind, struct shortage shortage)
{
    struct och_mem mem;
    struct och_arena arena;
    struct ochre_error err = {0};
    struct och_config other = och_config_defaults();
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    fuzz_run_short(shortage, &arena);
    ochre_status read = read_file(&other, &arena, text, kind, &err);
    och_assert(read != OCHRE_NO_MEMORY || shortage.kind != SHORTAGE_NONE);
    if (kind == FILE_WHOLE && read == OCHRE_OK)
        check_same(config, &other);
    if (kind == FILE_WHOLE && read != OCHRE_NO_MEMORY)
        och_assert(read == status);
    if (kind == FILE_TOO_LARGE)
        och_assert(read == OCHRE_TOO_LARGE || read == OCHRE_NO_MEMORY);
    if (kind == FILE_IS_DIRECTORY)
        och_assert(read == OCHRE_IO || read == OCHRE_NO_MEMORY);
    if (kind == FILE_MISSING)
        och_assert(read == OCHRE_IO || read == OCHRE_NOT_FOUND);
    och_assert(read == OCHRE_OK || (err.status == read && err.message[0] != '\0'));
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct och_mem mem;
    struct och_arena arena;
    struct ochre_error err = {0};
    struct och_config config = och_config_defaults();
    bool has_file = size >= 2 && data[0] == THROUGH_FILE;
    enum file_kind kind = has_file ? (enum file_kind)(data[1] % FILE_KINDS) : FILE_WHOLE;
    size_t used = has_file ? 2 : 0;
    struct ochre_bytes text;
    struct shortage shortage = fuzz_shortage(data + used, size - used, &text);
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    if (!has_file)
        fuzz_run_short(shortage, &arena);
    ochre_status status = och_config_parse(&config, &arena, "c", text.data, text.size, &err);
    och_assert(status != OCHRE_NO_MEMORY || (shortage.kind != SHORTAGE_NONE && !has_file));
    if (status == OCHRE_OK)
        och_assert(config.path != NULL && config.host != NULL && config.path[0] != '\0');
    else if (status != OCHRE_NO_MEMORY)
        och_assert(status == OCHRE_INVALID && strncmp(err.message, "c:", 2) == 0);
    if (status == OCHRE_OK)
        check_loopback(config.host);
    if (has_file)
        check_file(&config, status, text, kind, shortage);
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
