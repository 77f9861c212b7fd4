#include "http/head.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"

/* As text, an address and its zone; anything longer is a name. */
enum { ADDRESS_SIZE_MAX = 64 };

static bool
is_text(struct ochre_bytes bytes, const char *text)
{
    size_t size = strlen(text);
    return bytes.size == size && (size == 0 || strncasecmp(bytes.data, text, size) == 0);
}

struct ochre_bytes
och_http_field_find(const struct och_http_field *fields, size_t n_fields, const char *name)
{
    for (size_t i = 0; i < n_fields; i++) {
        if (is_text(fields[i].name, name))
            return fields[i].value;
    }
    return (struct ochre_bytes){0};
}

/* A byte of a header's name (RFC 9110, section 5.6.2, "tchar"). */
static bool
is_token_byte(char byte)
{
    bool is_digit = byte >= '0' && byte <= '9';
    bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    return is_digit || is_letter || (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool
is_token(struct ochre_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!is_token_byte(text.data[i]))
            return false;
    }
    return text.size > 0;
}

static bool
has_control_byte(struct ochre_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char) text.data[i];
        if ((byte < ' ' && byte != '\t') || byte == 0x7f)
            return true;
    }
    return false;
}

/* Digits only: no sign, no list, nothing that does not fit. */
static bool
parse_length(struct ochre_bytes text, uint64_t *length_out)
{
    enum { digits_max = 18 };
    *length_out = 0;
    if (text.size == 0 || text.size > digits_max)
        return false;
    uint64_t length = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        length = length * 10 + (uint64_t) (text.data[i] - '0');
    }
    *length_out = length;
    return true;
}

static struct och_http_framing
refuse(unsigned status, const char *message)
{
    return (struct och_http_framing){.status = status, .message = message};
}

/* The sizes and spelling of all fields; status 0 when they pass. */
static struct och_http_framing
check_fields(const struct och_http_field *fields, size_t n_fields)
{
    size_t total = 0;
    if (n_fields > OCH_HTTP_HEADERS_MAX)
        return refuse(431, "more than 100 headers");
    for (size_t i = 0; i < n_fields; i++) {
        size_t size = fields[i].name.size + fields[i].value.size;
        total += size;
        if (size > OCH_HTTP_HEADER_MAX)
            return refuse(431, "a header is over 16384 bytes");
        if (!is_token(fields[i].name))
            return refuse(400, "a header's name holds a byte that names may not have");
        if (has_control_byte(fields[i].value))
            return refuse(400, "a header's value holds a control character");
    }
    if (total > OCH_HTTP_HEADERS_SIZE_MAX)
        return refuse(431, "the headers are over 32768 bytes");
    return (struct och_http_framing){0};
}

struct och_http_framing
och_http_framing_of(const struct och_http_field *fields, size_t n_fields, bool is_http10)
{
    struct och_http_framing framing = check_fields(fields, n_fields);
    if (framing.status != 0)
        return framing;

    unsigned n_lengths = 0, n_encodings = 0, n_hosts = 0;
    for (size_t i = 0; i < n_fields; i++) {
        struct ochre_bytes value = fields[i].value;
        if (is_text(fields[i].name, "content-length")) {
            n_lengths++;
            framing.has_length = true;
            if (!parse_length(value, &framing.length))
                return refuse(400, "content-length is not a number");
        } else if (is_text(fields[i].name, "transfer-encoding")) {
            n_encodings++;
            framing.is_chunked = is_text(value, "chunked");
        } else if (is_text(fields[i].name, "host")) {
            n_hosts++;
        } else if (is_text(fields[i].name, "expect")) {
            framing.waits = is_text(value, "100-continue");
            if (!framing.waits)
                return refuse(417, "only \"expect: 100-continue\" is understood");
        }
    }
    if (n_lengths > 1)
        return refuse(400, "more than one content-length");
    if (n_hosts > 1)
        return refuse(400, "more than one host");
    if (n_encodings > 1)
        return refuse(400, "more than one transfer-encoding");
    if (n_encodings > 0 && n_lengths > 0)
        return refuse(400, "both content-length and transfer-encoding");
    if (n_encodings > 0 && is_http10)
        return refuse(400, "HTTP/1.0 has no transfer-encoding");
    if (n_encodings > 0 && !framing.is_chunked)
        return refuse(501, "the only transfer-encoding understood is \"chunked\"");
    return framing;
}

bool
och_http_type_is_json(struct ochre_bytes content_type)
{
    struct ochre_bytes type = content_type;
    const char *semicolon = type.size == 0 ? NULL : memchr(type.data, ';', type.size);
    if (semicolon != NULL)
        type.size = (size_t) (semicolon - type.data);
    while (type.size > 0 && (type.data[type.size - 1] == ' ' || type.data[type.size - 1] == '\t'))
        type.size--;

    static const char family[] = "application/", suffix[] = "+json";
    enum { family_size = sizeof(family) - 1, suffix_size = sizeof(suffix) - 1 };
    if (type.size < family_size || strncasecmp(type.data, family, family_size) != 0)
        return false;
    struct ochre_bytes subtype = {type.data + family_size, type.size - family_size};
    if (!is_token(subtype))
        return false;
    if (is_text(subtype, "json"))
        return true;
    struct ochre_bytes end = {subtype.data + subtype.size - suffix_size, suffix_size};
    return subtype.size > suffix_size && is_text(end, suffix);
}

/* "name:80", "1.2.3.4:80", "[::1]:80": cut the port and the brackets off. */
static bool
split_host(struct ochre_bytes host, struct ochre_bytes *name_out)
{
    struct ochre_bytes name = host, port;
    if (host.data[0] == '[') {
        const char *close = memchr(host.data, ']', host.size);
        if (close == NULL)
            return false;
        size_t size = (size_t) (close - host.data) - 1;
        name = (struct ochre_bytes){host.data + 1, size};
        port = (struct ochre_bytes){close + 1, host.size - size - 2};
    } else {
        const char *colon = memchr(host.data, ':', host.size);
        if (colon != NULL)
            name.size = (size_t) (colon - host.data);
        port = (struct ochre_bytes){host.data + name.size, host.size - name.size};
    }
    if (port.size > 6 || (port.size > 0 && port.data[0] != ':'))
        return false;
    for (size_t i = 1; i < port.size; i++) {
        if (port.data[i] < '0' || port.data[i] > '9')
            return false;
    }
    if (name.size > 1 && name.data[name.size - 1] == '.')
        name.size--; /* "localhost." is the same name, spelled absolutely */
    *name_out = name;
    return name.size > 0;
}

/* An IPv4 or IPv6 address?  *is_loopback_out says whether it is this machine's own. */
static bool
is_address(struct ochre_bytes name, bool *is_loopback_out)
{
    char text[ADDRESS_SIZE_MAX];
    *is_loopback_out = false;
    if (name.size >= sizeof(text))
        return false;
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    if (strlen(text) != name.size)
        return false;

    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        *is_loopback_out = ntohl(v4.s_addr) >> 24 == 127;
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6) == 1) {
        *is_loopback_out = IN6_IS_ADDR_LOOPBACK(&v6) != 0;
        return true;
    }
    return false;
}

static bool
is_localhost(struct ochre_bytes name)
{
    static const char suffix[] = ".localhost";
    enum { suffix_size = sizeof(suffix) - 1 };
    if (is_text(name, "localhost"))
        return true;
    if (name.size <= suffix_size)
        return false;
    return is_text((struct ochre_bytes){name.data + name.size - suffix_size, suffix_size}, suffix);
}

bool
och_http_host_is_allowed(struct ochre_bytes host, const struct och_http_host_rule *rule)
{
    if (host.size == 0)
        return true;
    struct ochre_bytes name;
    if (!split_host(host, &name))
        return false;
    bool is_loopback;
    bool address = is_address(name, &is_loopback);
    if (is_loopback || is_localhost(name) || (address && rule->any_address))
        return true;
    if (rule->host != NULL && is_text(name, rule->host))
        return true;
    if (rule->machine != NULL && is_text(name, rule->machine))
        return true;
    for (size_t i = 0; i < rule->n_names; i++) {
        if (strcmp(rule->names[i], "*") == 0 || is_text(name, rule->names[i]) ||
                is_text(host, rule->names[i]))
            return true;
    }
    return false;
}

bool
och_http_origin_is_listed(struct ochre_bytes origin, const char *const *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        if (is_text(origin, names[i]))
            return true;
    }
    return false;
}

bool
och_http_origin_is_allowed(struct ochre_bytes origin, struct ochre_bytes host,
        const char *const *names, size_t n_names)
{
    if (n_names == 1 && strcmp(names[0], "*") == 0)
        return true;
    if (och_http_origin_is_listed(origin, names, n_names))
        return true;
    static const char scheme[] = "http://";
    enum { scheme_size = sizeof(scheme) - 1 };
    if (origin.size <= scheme_size || strncasecmp(origin.data, scheme, scheme_size) != 0)
        return false;
    return origin.size - scheme_size == host.size &&
            strncasecmp(origin.data + scheme_size, host.data, host.size) == 0;
}
