#include "api/db.h"
#include "api/ops.h"
#include "base/error.h"
#include "os/clock.h"

uint64_t
och_op_heartbeat_ns(struct ochre_db *db)
{
    return och_machine_wall_ns(db->options.machine);
}

ochre_status
och_op_reset(struct ochre_db *db, struct ochre_error *err)
{
    if (!db->options.allow_reset)
        return och_fail(err, OCHRE_DENIED, "Reset is disabled by config");
    return och_engine_reset(db->engine, err);
}
