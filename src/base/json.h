/*
 * json.h - read and write JSON (RFC 8259), iteratively, within limits.
 *
 * Reading.  A struct och_json_reader walks a document as a stream of tokens;
 * nothing is copied until asked for, and nothing recurses: the stack of open
 * containers is a bit per level.
 *
 *      {"ids": ["a"], "n": 1}
 *      BEGIN_OBJECT  KEY ids  BEGIN_ARRAY  STRING a  END_ARRAY  KEY n  INT 1  END_OBJECT  END
 *
 * The first syntax error sticks: every later call returns OCH_JSON_ERROR, and
 * och_json_status() turns it into OCHRE_INVALID with byte offset and path.
 * Rules beyond the RFC: UTF-8 is checked, lone surrogates are refused, a byte
 * order mark is refused, literals beyond the double range are refused, depth
 * is limited (OCH_JSON_DEPTH_MAX), and text after the document is an error.
 *
 * Two shortcuts serve the hot path of ingest: och_json_read_floats reads an
 * array of numbers straight into f32, and a string without escapes is returned
 * as a slice of the input.  Decoded strings die with the arena.
 *
 * Small documents (filters, configurations, schemas) are easier as a tree:
 * och_json_parse builds one in an arena.  Walk it with an explicit stack.
 *
 * Writing.  Functions that append to an och_buf; the caller puts commas.
 *
 * Threads: one thread at a time a reader; trees are immutable.
 */
#ifndef OCH_BASE_JSON_H
#define OCH_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_buf;

typedef enum och_json_token {
    OCH_JSON_ERROR = 0,
    OCH_JSON_END, /* the document is complete and nothing follows it */
    OCH_JSON_NULL,
    OCH_JSON_TRUE,
    OCH_JSON_FALSE,
    OCH_JSON_INT,    /* reader->integer; -0 is 0, with reader->number -0.0 */
    OCH_JSON_UINT,   /* above INT64_MAX, within UINT64_MAX: reader->natural */
    OCH_JSON_FLOAT,  /* reader->number; has a point or exponent, or is beyond u64 */
    OCH_JSON_STRING, /* reader->string */
    OCH_JSON_KEY,    /* reader->string */
    OCH_JSON_BEGIN_OBJECT,
    OCH_JSON_END_OBJECT,
    OCH_JSON_BEGIN_ARRAY,
    OCH_JSON_END_ARRAY,
} och_json_token;

enum { OCH_JSON_DEPTH_MAX = 127 }; /* levels; the reference refuses 128 */

struct och_json_reader {
    struct och_arena *arena; /* borrowed: strings with escapes are decoded here */
    const char *start, *next, *end;
    och_json_token token; /* the last one returned */
    int64_t integer;
    uint64_t natural;
    double number;             /* also set for INT and UINT, rounded */
    struct ochre_bytes string; /* in the input or the arena; never NULL data */
    size_t offset;             /* where the last token began */
    unsigned depth;            /* open containers */
    /* Private: */
    uint64_t in_object[(OCH_JSON_DEPTH_MAX + 63) / 64];
    int state;
    bool skimming; /* strings with escapes are checked but not decoded */
    ochre_status status;
    const char *problem; /* static text */
};

void och_json_init(
        struct och_json_reader *reader, struct och_arena *arena, const char *text, size_t size);

/* The next token; OCH_JSON_ERROR for ever after a problem. */
och_json_token och_json_next(struct och_json_reader *reader);

/*
 * Pass over the rest of the value whose first token was just returned, checking
 * its syntax.  A scalar or END_* is nothing more to skip; after KEY, the member's
 * value is passed over.  False on a syntax error.
 */
OCH_MUST_CHECK bool och_json_skip(struct och_json_reader *reader);

/*
 * After BEGIN_ARRAY was returned: read numbers up to and including the closing
 * bracket into `out`, at most `max`.  Integers and floats are accepted and
 * rounded once, correctly, to f32.
 *
 * Returns true when the array held numbers only.  *n_out says how many there
 * were even beyond `max` (then the rest was parsed but not stored).
 * *overflow_out is set when a finite literal is infinite as f32.
 * Returns false on a syntax error (token is OCH_JSON_ERROR) or on an element
 * that is not a number (token is that element's first token).
 */
OCH_MUST_CHECK bool och_json_read_floats(
        struct och_json_reader *reader, float *out, size_t max, size_t *n_out, bool *overflow_out);

/*
 * OCHRE_OK; or OCHRE_INVALID (syntax), written to `err` with byte offset, line,
 * column and path ("$.ids[3]"); or OCHRE_NO_MEMORY.  Cost: reads the text again.
 */
OCH_MUST_CHECK ochre_status och_json_status(
        const struct och_json_reader *reader, struct ochre_error *err);

/* --- trees ------------------------------------------------------------- */

typedef enum och_json_kind {
    OCH_JSON_KIND_NULL,
    OCH_JSON_KIND_BOOL,
    OCH_JSON_KIND_INT,
    OCH_JSON_KIND_UINT, /* above INT64_MAX */
    OCH_JSON_KIND_FLOAT,
    OCH_JSON_KIND_STRING,
    OCH_JSON_KIND_ARRAY,
    OCH_JSON_KIND_OBJECT,
} och_json_kind;

struct och_json {
    och_json_kind kind;
    uint32_t n; /* elements of an array, members of an object, as written */
    union {
        bool boolean;
        int64_t integer;
        uint64_t natural;
        double number;
        struct ochre_bytes string;
    } as;
    struct och_json *first; /* first element or member, in order; NULL if none */
    struct och_json *next;  /* next sibling */
    struct ochre_bytes key; /* in an object: the member's name; duplicates are kept */
};

/* Parse a whole document into `arena`.  Strings are copied: the tree needs the
 * arena but not the text.  Errors as och_json_status. */
OCH_MUST_CHECK ochre_status och_json_parse(struct och_arena *arena, const char *text, size_t size,
        struct och_json **root_out, struct ochre_error *err);

/* Build the tree of the value whose first token `reader` has just returned, in
 * the reader's arena, with its own copies of all strings. */
OCH_MUST_CHECK ochre_status och_json_parse_value(
        struct och_json_reader *reader, struct och_json **root_out, struct ochre_error *err);

/* The last member named `key` (a C string), or NULL; NULL as well when `object`
 * is NULL or no object.  Cost: O(members). */
const struct och_json *och_json_get(const struct och_json *object, const char *key);

/* Is this string exactly `text`? */
bool och_bytes_is(struct ochre_bytes bytes, const char *text);

/* Are both the same bytes?  (Absent equals absent only.) */
bool och_bytes_equal(struct ochre_bytes a, struct ochre_bytes b);

/* --- writing ------------------------------------------------------------ */

/* Quoted and escaped; what is absent is null.  `text` is UTF-8, and left raw. */
void och_json_put_string(struct och_buf *buf, struct ochre_bytes text);
void och_json_put_text(struct och_buf *buf, const char *text); /* the same */
void och_json_put_int(struct och_buf *buf, int64_t value);
void och_json_put_uint(struct och_buf *buf, uint64_t value);
/* Shortest digits that read back as the same f32 or f64; whole numbers keep
 * ".0"; what is not finite is null. */
void och_json_put_f32(struct och_buf *buf, float value);
void och_json_put_f64(struct och_buf *buf, double value);
/* A tree, in order, without white space, at most OCH_JSON_DEPTH_MAX levels deep. */
void och_json_put_tree(struct och_buf *buf, const struct och_json *root);

#endif /* OCH_BASE_JSON_H */
