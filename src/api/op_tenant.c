#include "api/db.h"
#include "api/names.h"
#include "api/ops.h"
#include "base/error.h"
#include "base/limits.h"
#include "storage/log_note.h"

ochre_status
och_op_tenant_create(struct ochre_db *db, struct ochre_bytes name, struct ochre_error *err)
{
    struct ochre_error why;
    ochre_status status = och_name_check(OCH_NAME_TENANT, name, &why);
    if (status != OCHRE_OK)
        return och_fail(err, status, "Validation error: name: %.400s", why.message);
    if (name.size > OCH_TENANT_SIZE_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: name: a tenant's name has %zu bytes; the limit is %u", name.size,
                OCH_TENANT_SIZE_MAX);
    status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_space_admit(&db->engine->space, err);
    if (status != OCHRE_OK)
        return status;
    const struct och_note note = {.kind = OCH_NOTE_TENANT_CREATE, .tenant = name};
    status = och_db_begin_change(db, &note, err);
    if (status != OCHRE_OK)
        return status;
    status = db->catalog->ops->tenant_create(db->catalog, name, err);
    return och_db_end_change(db, &note, status);
}

ochre_status
och_op_tenant_get(struct ochre_db *db, struct och_arena *arena, struct ochre_bytes name,
        struct ochre_bytes *resource_name_out, struct ochre_error *err)
{
    *resource_name_out = (struct ochre_bytes){.data = NULL};
    ochre_status status = och_db_be_current(db, err);
    if (status != OCHRE_OK)
        return status;
    return db->catalog->ops->tenant_get(db->catalog, arena, name, resource_name_out, err);
}

ochre_status
och_op_tenant_update(struct ochre_db *db, struct ochre_bytes name, struct ochre_bytes resource_name,
        struct ochre_error *err)
{
    if (resource_name.size == 0 || resource_name.size > OCH_TENANT_SIZE_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: resource_name: it has %zu bytes; 1 to %u are allowed",
                resource_name.size, OCH_TENANT_SIZE_MAX);
    ochre_status status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_space_admit(&db->engine->space, err);
    if (status != OCHRE_OK)
        return status;
    const struct och_note note = {
            .kind = OCH_NOTE_TENANT_NAME, .tenant = name, .name = resource_name};
    status = och_db_begin_change(db, &note, err);
    if (status != OCHRE_OK)
        return status;
    status = db->catalog->ops->tenant_set_resource_name(db->catalog, name, resource_name, err);
    return och_db_end_change(db, &note, status);
}
