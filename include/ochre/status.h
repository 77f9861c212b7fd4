/*
 * ochre/status.h - the one vocabulary of outcomes, from disk to HTTP.
 *
 * Every fallible function in ochre returns an ochre_status.  The numbers are
 * ABI: append, never renumber.
 */
#ifndef OCHRE_STATUS_H
#define OCHRE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* What the shared library exports. */
#if defined(__GNUC__)
#define OCHRE_API __attribute__((visibility("default")))
#else
#define OCHRE_API
#endif

typedef enum ochre_status {
    OCHRE_OK = 0,           /* done */
    OCHRE_NO_MEMORY = 1,    /* allocation refused, or a memory limit reached */
    OCHRE_INVALID = 2,      /* the caller's arguments break a documented rule */
    OCHRE_NOT_FOUND = 3,    /* no such tenant, database, collection or record */
    OCHRE_CORRUPT = 4,      /* stored bytes fail a checksum or a format rule */
    OCHRE_EXISTS = 5,       /* the name is taken */
    OCHRE_IO = 6,           /* the operating system refused a read, write or sync */
    OCHRE_FULL = 7,         /* no space left on the device */
    OCHRE_BUSY = 8,         /* another process holds the directory */
    OCHRE_UNSUPPORTED = 9,  /* understood, but this build does not do it */
    OCHRE_DENIED = 10,      /* switched off by configuration, or not permitted */
    OCHRE_UNAVAILABLE = 11, /* not now: overloaded, closing or read-only; try later */
    OCHRE_SHAPE = 12,       /* well-formed input whose fields have the wrong type */
    OCHRE_TOO_LARGE = 13,   /* over a documented size limit */
    OCHRE_INTERNAL = 14,    /* a result that the reference reports as a server error */
    OCHRE_STALE = 15,       /* a position that can no longer be read, or not yet */
} ochre_status;

/* What went wrong, for a person.  Holds its text inline: reporting never allocates. */
struct ochre_error {
    ochre_status status;
    char message[500]; /* NUL-terminated; lower case, no full stop */
};

/* The name of a status, for logs: "not found".  Never NULL. */
OCHRE_API const char *ochre_status_name(ochre_status status);

#ifdef __cplusplus
}
#endif

#endif /* OCHRE_STATUS_H */
