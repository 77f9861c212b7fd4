/*
 * routes_internal.h - what handlers share.
 *
 * A handler takes its request apart through a struct och_call, step by step.
 * Each step does nothing once one has failed, so that a handler reads as the
 * list of its checks; och_call_end answers, with the error if there was one.
 */
#ifndef OCH_HTTP_ROUTES_INTERNAL_H
#define OCH_HTTP_ROUTES_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "api/ops.h"
#include "http/message.h"
#include "http/router.h"
#include "http/routes.h"
#include "ochre/status.h"

struct och_call {
    struct ochre_db *db;
    struct och_http_request *request;
    struct och_http_response *response;
    struct och_arena *arena; /* the request's */
    struct och_buf *out;     /* the response's body */
    ochre_status status;     /* of the steps so far */
    struct ochre_error err;
};

struct och_call och_call_begin(
        void *context, struct och_http_request *request, struct och_http_response *response);

/* Answer: 200 with what is in `out`, or the error. */
och_http_outcome och_call_end(struct och_call *call);

/* The same, with another status and body in the good case. */
och_http_outcome och_call_end_with(struct och_call *call, unsigned http_status, const char *body);

/* Path parameters, by their place in the pattern. */
enum { OCH_PARAM_TENANT = 0, OCH_PARAM_DATABASE = 1, OCH_PARAM_COLLECTION = 2, OCH_PARAM_PIN = 3 };

/* Is this still a good request? */
static inline bool
och_call_goes_on(const struct och_call *call)
{
    return call->status == OCHRE_OK;
}

/* A number of the query string, within u32; `value` stays when it is not there. */
void och_call_query_natural(struct och_call *call, const char *name, uint64_t *value);

/* A position; false when it is not there, or wrong. */
bool och_call_query_position(struct och_call *call, const char *name, uint64_t *value_out);

/* The header "ochre-position": what a read has seen, or where a write is. */
void och_call_put_position(struct och_call *call, uint64_t position);

/* "read_level" has one of its words, or is not there. */
void och_call_query_read_level(struct och_call *call);

/* The database's name has a length that names have. */
void och_call_check_database(struct och_call *call);

/* Tenant, database and id of the path, the first two checked as above. */
struct och_target och_call_target(struct och_call *call);

/* OCHRE_NOT_FOUND unless the collection exists. */
void och_call_check_collection(struct och_call *call, const struct och_target *target);

och_http_handler och_route_heartbeat, och_route_version, och_route_healthcheck,
        och_route_pre_flight, och_route_identity, och_route_reset, och_route_backup,
        och_route_backup_stream, och_route_compact, och_route_purge, och_route_repair,
        och_route_stats, och_route_v1;

och_http_handler och_route_tenant_create, och_route_tenant_get, och_route_tenant_update,
        och_route_database_create, och_route_database_get, och_route_database_list,
        och_route_database_delete;

och_http_handler och_route_collection_create, och_route_collection_get,
        och_route_collection_get_by_id, och_route_collection_get_by_crn, och_route_collection_list,
        och_route_collection_count, och_route_collection_update, och_route_collection_delete;

och_http_handler och_route_add, och_route_update, och_route_upsert, och_route_delete, och_route_get,
        och_route_query, och_route_count, och_route_indexing_status, och_route_search,
        och_route_fork, och_route_fork_count;

och_http_handler och_route_pin, och_route_pin_list, och_route_unpin;

och_http_handler och_route_upgrade, och_route_upgrade_look, och_route_upgrade_commit;

och_http_handler och_route_function_attach, och_route_function_get, och_route_function_detach,
        och_route_function_add_input, och_route_conditional;

/* What decides how long a read takes; they decode its body for the handler.
 * Counting is short where the collection is in memory. */
uint64_t och_route_get_kind(void *context, struct och_http_request *request);
uint64_t och_route_query_kind(void *context, struct och_http_request *request);
uint64_t och_route_count_kind(void *context, struct och_http_request *request);

#endif /* OCH_HTTP_ROUTES_INTERNAL_H */
