#include "http/routes.h"

#include "http/routes_internal.h"

#define TENANT "/api/v2/tenants/{tenant}"
#define DATABASE TENANT "/databases/{database}"
#define COLLECTIONS DATABASE "/collections"
#define COLLECTION COLLECTIONS "/{collection_id}"
#define OUR_PINS "/ochre/v1/tenants/{tenant}/databases/{database}/collections/{collection_id}/pins"

enum {
    BODY = OCH_HTTP_READS_BODY,
    /* Answered from memory, to whoever asks: what probes and clients need
     * before they can log in. */
    OPEN = OCH_HTTP_INLINE | OCH_HTTP_PUBLIC,
};

const struct och_http_route och_routes[] = {
        {OCH_HTTP_GET, "/api/v2", OPEN, och_route_heartbeat, NULL},
        {OCH_HTTP_GET, "/api/v2/heartbeat", OPEN, och_route_heartbeat, NULL},
        {OCH_HTTP_GET, "/api/v2/version", OPEN, och_route_version, NULL},
        {OCH_HTTP_GET, "/api/v2/healthcheck", OPEN, och_route_healthcheck, NULL},
        {OCH_HTTP_GET, "/api/v2/pre-flight-checks", OPEN, och_route_pre_flight, NULL},
        {OCH_HTTP_GET, "/api/v2/auth/identity", OCH_HTTP_INLINE, och_route_identity, NULL},
        {OCH_HTTP_POST, "/api/v2/reset", 0, och_route_reset, NULL},
        {OCH_HTTP_GET, "/ochre/v1/stats", OCH_HTTP_LONG, och_route_stats, NULL},
        {OCH_HTTP_POST, "/ochre/v1/backup", OCH_HTTP_LONG, och_route_backup, NULL},
        {OCH_HTTP_GET, "/ochre/v1/backup", OCH_HTTP_LONG | OCH_HTTP_OWN_SITE,
                och_route_backup_stream, NULL},
        {OCH_HTTP_POST, "/ochre/v1/compact", OCH_HTTP_LONG, och_route_compact, NULL},
        {OCH_HTTP_POST, "/ochre/v1/purge", OCH_HTTP_LONG, och_route_purge, NULL},
        {OCH_HTTP_POST, "/ochre/v1/repair", OCH_HTTP_LONG | BODY, och_route_repair, NULL},
        {OCH_HTTP_GET, "/ochre/v1/upgrade", OCH_HTTP_LONG, och_route_upgrade_look, NULL},
        {OCH_HTTP_POST, "/ochre/v1/upgrade", OCH_HTTP_LONG, och_route_upgrade, NULL},
        {OCH_HTTP_POST, "/ochre/v1/upgrade/commit", OCH_HTTP_LONG, och_route_upgrade_commit, NULL},
        {OCH_HTTP_GET, OUR_PINS, 0, och_route_pin_list, NULL},
        {OCH_HTTP_POST, OUR_PINS, BODY, och_route_pin, NULL},
        {OCH_HTTP_DELETE, OUR_PINS "/{pin_name}", 0, och_route_unpin, NULL},
        {OCH_HTTP_GET, "/api/v1/{*rest}", OPEN | OCH_HTTP_ANY_METHOD, och_route_v1, NULL},

        {OCH_HTTP_POST, "/api/v2/tenants", BODY, och_route_tenant_create, NULL},
        {OCH_HTTP_GET, TENANT, 0, och_route_tenant_get, NULL},
        {OCH_HTTP_PATCH, TENANT, BODY, och_route_tenant_update, NULL},

        {OCH_HTTP_GET, TENANT "/databases", 0, och_route_database_list, NULL},
        {OCH_HTTP_POST, TENANT "/databases", BODY, och_route_database_create, NULL},
        {OCH_HTTP_GET, DATABASE, 0, och_route_database_get, NULL},
        {OCH_HTTP_DELETE, DATABASE, 0, och_route_database_delete, NULL},
        {OCH_HTTP_GET, DATABASE "/collections_count", 0, och_route_collection_count, NULL},

        {OCH_HTTP_GET, COLLECTIONS, 0, och_route_collection_list, NULL},
        {OCH_HTTP_POST, COLLECTIONS, BODY, och_route_collection_create, NULL},
        {OCH_HTTP_GET, COLLECTIONS "/{collection_name}", 0, och_route_collection_get, NULL},
        {OCH_HTTP_GET, COLLECTIONS "/by-id/{collection_id}", 0, och_route_collection_get_by_id,
                NULL},
        {OCH_HTTP_GET, "/api/v2/collections/{crn}", 0, och_route_collection_get_by_crn, NULL},
        {OCH_HTTP_PUT, COLLECTION, BODY, och_route_collection_update, NULL},
        {OCH_HTTP_DELETE, COLLECTIONS "/{collection_name}", 0, och_route_collection_delete, NULL},

        {OCH_HTTP_POST, COLLECTION "/add", BODY, och_route_add, NULL},
        {OCH_HTTP_POST, COLLECTION "/update", BODY, och_route_update, NULL},
        {OCH_HTTP_POST, COLLECTION "/upsert", BODY, och_route_upsert, NULL},
        {OCH_HTTP_POST, COLLECTION "/delete", BODY, och_route_delete, NULL},
        {OCH_HTTP_POST, COLLECTION "/get", BODY, och_route_get, och_route_get_kind},
        {OCH_HTTP_POST, COLLECTION "/query", BODY, och_route_query, och_route_query_kind},
        {OCH_HTTP_GET, COLLECTION "/count", 0, och_route_count, och_route_count_kind},
        {OCH_HTTP_GET, COLLECTION "/indexing_status", 0, och_route_indexing_status, NULL},

        {OCH_HTTP_POST, COLLECTION "/search", BODY, och_route_search, NULL},
        {OCH_HTTP_POST, COLLECTION "/fork", BODY, och_route_fork, NULL},
        {OCH_HTTP_GET, COLLECTION "/fork_count", 0, och_route_fork_count, NULL},
        {OCH_HTTP_POST, COLLECTION "/functions/attach", BODY, och_route_function_attach, NULL},
        {OCH_HTTP_GET, COLLECTION "/functions/{function_name}", 0, och_route_function_get, NULL},
        {OCH_HTTP_POST, COLLECTION "/attached_functions/{function_name}/detach", BODY,
                och_route_function_detach, NULL},
        {OCH_HTTP_POST, COLLECTION "/attached_functions/{function_name}/add_input", BODY,
                och_route_function_add_input, NULL},
        {OCH_HTTP_POST, COLLECTION "/conditional/get", BODY, och_route_conditional, NULL},
        {OCH_HTTP_POST, COLLECTION "/conditional/commit", BODY, och_route_conditional, NULL},
};

const size_t och_routes_count = sizeof(och_routes) / sizeof(och_routes[0]);

static_assert(sizeof(och_routes) / sizeof(och_routes[0]) <= OCH_HTTP_ROUTES_MAX,
        "the router has room for all of them");
