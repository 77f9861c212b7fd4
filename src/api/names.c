#include "api/names.h"

#include "base/error.h"
#include "base/limits.h"
#include "base/utf8.h"

/* Enough of a name to know it by; the rest of the message must fit too. */
#define SHOWN_MAX ((size_t) 160)

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_alphanumeric(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int
och_name_shown(struct ochre_bytes text, size_t size_max)
{
    size_t size = 0;
    while (size < text.size && size < size_max && text.data[size] != '\0')
        size++;
    if (size == size_max && size < text.size) {
        while (size > 0 && ((unsigned char) text.data[size] & 0xc0u) == 0x80u)
            size--;
    }
    return (int) size;
}

bool
och_name_is_ipv4(struct ochre_bytes name)
{
    size_t at = 0;
    for (unsigned part = 0; part < 4; part++) {
        if (part > 0) {
            if (at == name.size || name.data[at] != '.')
                return false;
            at++;
        }
        size_t start = at;
        unsigned value = 0;
        while (at < name.size && at - start < 3 && is_digit(name.data[at])) {
            value = value * 10 + (unsigned) (name.data[at] - '0');
            at++;
        }
        if (at == start || value > 255 || (at - start > 1 && name.data[start] == '0'))
            return false;
    }
    return at == name.size;
}

/* One name, or one half of a name with a "+". */
static ochre_status
check_part(struct ochre_bytes part, struct ochre_error *err)
{
    int shown = och_name_shown(part, SHOWN_MAX);

    if (part.size < OCH_NAME_SIZE_MIN || part.size > OCH_NAME_SIZE_MAX)
        return och_fail(err, OCHRE_INVALID, "name '%.*s' has %zu bytes; %u to %u are allowed",
                shown, part.data, part.size, OCH_NAME_SIZE_MIN, OCH_NAME_SIZE_MAX);
    bool dots = false;
    for (size_t i = 0; i < part.size; i++) {
        char c = part.data[i];
        if (!is_alphanumeric(c) && c != '.' && c != '_' && c != '-')
            return och_fail(err, OCHRE_INVALID,
                    "name '%.*s' has something else than a-z A-Z 0-9 . _ - at byte %zu", shown,
                    part.data, i);
        dots = dots || (c == '.' && i > 0 && part.data[i - 1] == '.');
    }
    if (!is_alphanumeric(part.data[0]) || !is_alphanumeric(part.data[part.size - 1]))
        return och_fail(err, OCHRE_INVALID, "name '%.*s' must start and end with a letter or digit",
                shown, part.data);
    if (dots)
        return och_fail(
                err, OCHRE_INVALID, "name '%.*s' has two dots in a row (..)", shown, part.data);
    /* An IPv6 address has a colon, so it has been refused above. */
    if (och_name_is_ipv4(part))
        return och_fail(err, OCHRE_INVALID, "name '%.*s' is an ip address, which is not allowed",
                shown, part.data);
    return OCHRE_OK;
}

static ochre_status
check_name(struct ochre_bytes name, struct ochre_error *err)
{
    size_t n_plus = 0;
    size_t plus = 0; /* where the first one is */
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '+' && n_plus++ == 0)
            plus = i;
    }
    if (n_plus == 0)
        return check_part(name, err);

    int shown = och_name_shown(name, SHOWN_MAX);
    if (n_plus > 1)
        return och_fail(err, OCHRE_INVALID, "name '%.*s' has %zu '+'; one is allowed", shown,
                name.data, n_plus);
    if (name.size > OCH_NAME_SIZE_MAX)
        return och_fail(err, OCHRE_INVALID, "name '%.*s' has %zu bytes; %u to %u are allowed",
                shown, name.data, name.size, OCH_NAME_SIZE_MIN, OCH_NAME_SIZE_MAX);
    ochre_status status = check_part((struct ochre_bytes){name.data, plus}, err);
    if (status != OCHRE_OK)
        return status;
    return check_part((struct ochre_bytes){name.data + plus + 1, name.size - plus - 1}, err);
}

static ochre_status
check_tenant(struct ochre_bytes name, struct ochre_error *err)
{
    if (name.size > OCH_TENANT_SIZE_MAX)
        return och_fail(err, OCHRE_INVALID,
                "tenant name '%.*s' has %zu bytes; at most %u are allowed",
                och_name_shown(name, SHOWN_MAX), name.data, name.size, OCH_TENANT_SIZE_MAX);
    if (!och_utf8_is_valid(name.data, name.size))
        return och_fail(err, OCHRE_INVALID, "tenant name is not valid UTF-8");
    size_t length = och_utf8_count(name.data, name.size);
    if (length < OCH_NAME_SIZE_MIN)
        return och_fail(err, OCHRE_INVALID,
                "tenant name '%.*s' has %zu characters; at least %u are needed",
                och_name_shown(name, SHOWN_MAX), name.data, length, OCH_NAME_SIZE_MIN);
    return OCHRE_OK;
}

ochre_status
och_name_check(och_name_kind kind, struct ochre_bytes name, struct ochre_error *err)
{
    struct ochre_bytes given = name.data == NULL ? (struct ochre_bytes){"", 0} : name;
    switch (kind) {
    case OCH_NAME_TENANT:
        return check_tenant(given, err);
    case OCH_NAME_DATABASE:
    case OCH_NAME_COLLECTION:
        return check_name(given, err);
    }
    return OCHRE_INVALID;
}

ochre_status
och_metadata_key_check(struct ochre_bytes key, struct ochre_error *err)
{
    if (key.size == 0)
        return och_fail(err, OCHRE_INVALID, "Metadata key cannot be empty");
    if (key.data[0] == '#' || key.data[0] == '$')
        return och_fail(err, OCHRE_INVALID, "Metadata key cannot start with '#' or '$': %.*s",
                och_name_shown(key, SHOWN_MAX), key.data);
    if (key.size > OCH_KEY_SIZE_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Metadata key '%.*s' has %zu bytes; at most %u are allowed",
                och_name_shown(key, SHOWN_MAX), key.data, key.size, OCH_KEY_SIZE_MAX);
    return OCHRE_OK;
}
