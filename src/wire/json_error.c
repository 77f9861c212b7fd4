#include "wire/json_error.h"

#include "base/compiler.h"

static const char invalid[] = "InvalidArgumentError";
static const char missing[] = "NotFoundError";
static const char internal[] = "InternalError";
static const char stale[] = "StaleReadError";
static const char other[] = "ChromaError";

struct och_wire_error
och_wire_error_of(ochre_status status)
{
    switch (status) {
    case OCHRE_INVALID:
        return (struct och_wire_error){400, invalid, false};
    case OCHRE_SHAPE:
        return (struct och_wire_error){422, other, false};
    case OCHRE_NOT_FOUND:
        return (struct och_wire_error){404, missing, false};
    case OCHRE_EXISTS:
        return (struct och_wire_error){409, other, false};
    case OCHRE_STALE:
        return (struct och_wire_error){412, stale, false};
    case OCHRE_DENIED:
        return (struct och_wire_error){403, other, false};
    case OCHRE_UNSUPPORTED:
        return (struct och_wire_error){501, other, false};
    case OCHRE_TOO_LARGE:
        return (struct och_wire_error){413, other, false};
    case OCHRE_FULL:
        return (struct och_wire_error){507, other, false};
    case OCHRE_NO_MEMORY:
    case OCHRE_UNAVAILABLE:
    case OCHRE_BUSY:
        return (struct och_wire_error){503, other, true};
    case OCHRE_CORRUPT:
    case OCHRE_IO:
    case OCHRE_INTERNAL:
        return (struct och_wire_error){500, internal, false};
    case OCHRE_OK:
        break;
    }
    och_assert_failed("an error has a status", __FILE__, __LINE__);
}
