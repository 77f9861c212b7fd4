#include "ochre/status.h"

const char *
ochre_status_name(ochre_status status)
{
    switch (status) {
    case OCHRE_OK:
        return "ok";
    case OCHRE_NO_MEMORY:
        return "no memory";
    case OCHRE_INVALID:
        return "invalid";
    case OCHRE_NOT_FOUND:
        return "not found";
    case OCHRE_CORRUPT:
        return "corrupt";
    case OCHRE_EXISTS:
        return "exists";
    case OCHRE_IO:
        return "input/output error";
    case OCHRE_FULL:
        return "disk full";
    case OCHRE_BUSY:
        return "busy";
    case OCHRE_UNSUPPORTED:
        return "unsupported";
    case OCHRE_DENIED:
        return "denied";
    case OCHRE_UNAVAILABLE:
        return "unavailable";
    case OCHRE_SHAPE:
        return "wrong shape";
    case OCHRE_TOO_LARGE:
        return "too large";
    case OCHRE_INTERNAL:
        return "internal";
    case OCHRE_STALE:
        return "stale";
    }
    return "unknown";
}
