#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/json_internal.h"

/* The place inside one open container. */
struct step {
    bool in_array;
    size_t n_done;          /* elements complete: the index of the current one */
    struct ochre_bytes key; /* of the current member; data NULL: between two */
};

/* Keys are shown as they are written, up to this many bytes. */
#define KEY_MAX ((size_t) 40)

/* A path that ends with dots is complete: nothing more is appended. */
static void
append(char path[OCH_JSON_PATH_SIZE], size_t *size, const char *text, size_t text_size)
{
    static const char more[] = "...";
    if (*size == OCH_JSON_PATH_SIZE)
        return;
    if (*size + text_size + sizeof(more) > OCH_JSON_PATH_SIZE) {
        memcpy(path + *size, more, sizeof(more));
        *size = OCH_JSON_PATH_SIZE;
        return;
    }
    memcpy(path + *size, text, text_size);
    *size += text_size;
    path[*size] = '\0';
}

/* The first bytes of a key, not cutting a character in two. */
static size_t
shown_size(struct ochre_bytes key)
{
    if (key.size <= KEY_MAX)
        return key.size;
    size_t size = KEY_MAX;
    while (size > 0 && ((unsigned char) key.data[size] & 0xc0) == 0x80)
        size--;
    return size;
}

static void
append_step(char path[OCH_JSON_PATH_SIZE], size_t *size, const struct step *step)
{
    if (!step->in_array && step->key.data == NULL)
        return;
    char text[KEY_MAX + 8];
    int n;
    if (step->in_array) {
        n = snprintf(text, sizeof(text), "[%zu]", step->n_done);
    } else {
        size_t shown = shown_size(step->key);
        n = snprintf(text, sizeof(text), ".%.*s%s", (int) shown, step->key.data,
                shown < step->key.size ? "..." : "");
    }
    och_assert(n > 0 && (size_t) n < sizeof(text));
    append(path, size, text, (size_t) n);
}

/* A value is complete inside this container. */
static void
finish_value(struct step *step)
{
    step->n_done++;
    step->key.data = NULL;
}

/* Note what a token says about where we are; `depth` is the one after it. */
static void
follow(struct step *steps, unsigned depth, och_json_token token, struct ochre_bytes string)
{
    switch (token) {
    case OCH_JSON_BEGIN_OBJECT:
    case OCH_JSON_BEGIN_ARRAY:
        steps[depth - 1] = (struct step){.in_array = token == OCH_JSON_BEGIN_ARRAY};
        break;
    case OCH_JSON_KEY:
        steps[depth - 1].key = string;
        break;
    case OCH_JSON_NULL:
    case OCH_JSON_TRUE:
    case OCH_JSON_FALSE:
    case OCH_JSON_INT:
    case OCH_JSON_UINT:
    case OCH_JSON_FLOAT:
    case OCH_JSON_STRING:
    case OCH_JSON_END_OBJECT:
    case OCH_JSON_END_ARRAY:
        if (depth > 0)
            finish_value(&steps[depth - 1]);
        break;
    case OCH_JSON_END:
    case OCH_JSON_ERROR:
        break;
    }
}

void
och_json_path(const struct och_json_reader *broken, char path[OCH_JSON_PATH_SIZE])
{
    struct step steps[OCH_JSON_DEPTH_MAX] = {{0}};
    struct och_json_reader reader;
    och_json_init(&reader, NULL, broken->start, (size_t) (broken->end - broken->start));
    reader.skimming = true;

    och_json_token token;
    do {
        token = och_json_next(&reader);
        follow(steps, reader.depth, token, reader.string);
    } while (token != OCH_JSON_ERROR && token != OCH_JSON_END);

    size_t size = 0;
    append(path, &size, "$", 1);
    for (unsigned i = 0; i < reader.depth; i++)
        append_step(path, &size, &steps[i]);
}
