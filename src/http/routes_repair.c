#include <string.h>

#include "api/repair.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"
#include "http/routes_internal.h"
#include "wire/json_catalog.h"

/* A page of small records is thousands of them: so many are in an answer, all in REPAIR. */
enum { RECORDS_NAMED_MAX = 1000 };

/* A report, as it comes: first what is found, then what became of it. */
struct report {
    struct och_call *call;
    struct och_buf collections;
    bool has_found;
    uint64_t n_records; /* that were named, or left out */
};

static void
put_finding(void *context, const struct och_repair_finding *finding)
{
    struct report *report = context;
    struct och_buf *out = report->call->out;
    const struct ochre_bytes message = {
            finding->message, och_utf8_valid_size(finding->message, strlen(finding->message))};
    if (finding->kind == OCH_REPAIR_RECORD && ++report->n_records > RECORDS_NAMED_MAX)
        return;
    och_buf_put_text(out, report->has_found ? ",{\"kind\":" : "{\"kind\":");
    och_json_put_text(out, och_repair_kind_name(finding->kind));
    och_buf_put_text(out, ",\"path\":");
    och_json_put_text(out, finding->path);
    och_buf_put_text(out, ",\"message\":");
    och_json_put_string(out, message); /* ids may have been cut within a character */
    och_buf_put_u8(out, '}');
    report->has_found = true;
}

/* An empty one is null. */
static void
put_name(struct och_buf *out, const char *key, struct ochre_bytes name)
{
    och_buf_put_text(out, key);
    if (name.size == 0)
        och_buf_put_text(out, "null");
    else
        och_json_put_string(out, name);
}

struct number {
    const char *key;
    uint64_t value;
};

static void
put_numbers(struct och_buf *out, const struct number *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        och_buf_put_text(out, numbers[i].key);
        och_json_put_uint(out, numbers[i].value);
    }
}

/* The names are those of `ochre repair --json`. */
static void
put_collection(void *context, const struct och_repair_collection *sum)
{
    struct report *report = context;
    struct och_buf *out = &report->collections;
    const struct number numbers[] = {{",\"records\":", sum->n_records},
            {",\"position\":", sum->position}, {",\"lost\":", sum->n_lost},
            {",\"in_doubt\":", sum->n_in_doubt}, {",\"files_rebuilt\":", sum->n_rebuilt},
            {",\"writes_given_up\":", sum->n_given_up}, {",\"changes_skipped\":", sum->n_skipped}};
    put_name(out, out->size > 0 ? ",{\"tenant\":" : "{\"tenant\":", sum->tenant);
    put_name(out, ",\"database\":", sum->database);
    put_name(out, ",\"name\":", sum->name);
    if (sum->pin.data != NULL)
        put_name(out, ",\"pin\":", sum->pin);
    put_name(out, ",\"repaired_collection\":", sum->beside);
    put_name(out, ",\"in_doubt_collection\":", sum->doubted);
    och_buf_put_text(out, sum->is_whole ? ",\"whole\":true" : ",\"whole\":false");
    put_numbers(out, numbers, sizeof(numbers) / sizeof(numbers[0]));
    och_buf_put_u8(out, '}');
}

static void
put_totals(struct och_buf *out, const struct report *report, const struct och_repair_totals *totals)
{
    uint64_t n_unnamed =
            report->n_records > RECORDS_NAMED_MAX ? report->n_records - RECORDS_NAMED_MAX : 0;
    const struct number numbers[] = {{"],\"n_collections\":", totals->n_collections},
            {",\"n_whole\":", totals->n_whole}, {",\"records\":", totals->n_records},
            {",\"lost\":", totals->n_lost}, {",\"in_doubt\":", totals->n_in_doubt},
            {",\"lost_records_not_named\":", n_unnamed},
            {",\"log_records_missing\":", totals->n_log_missing},
            {",\"log_bytes_given_up\":", totals->log_bytes_given_up}};
    put_numbers(out, numbers, sizeof(numbers) / sizeof(numbers[0]));
    och_buf_put_text(
            out, totals->has_lost ? ",\"lost_something\":true}" : ",\"lost_something\":false}");
}

och_http_outcome
och_route_repair(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct report report = {.call = &call};
    const struct och_repair_options options = {
            .report = put_finding, .summarize = put_collection, .context = &report};
    struct och_repair_totals totals;
    bool dry_run = false;
    och_buf_init(&report.collections, call.out->mem, SIZE_MAX / 2);
    if (request->body.size > 0)
        call.status = och_wire_read_repair(call.arena, request->body, &dry_run, &call.err);
    och_buf_put_text(call.out, "{\"findings\":[");
    if (och_call_goes_on(&call))
        call.status = och_op_repair(call.db, &options, dry_run, &totals, &call.err);
    if (och_call_goes_on(&call)) {
        och_buf_put_text(call.out, "],\"collections\":[");
        och_buf_put(call.out, report.collections.data, report.collections.size);
        put_totals(call.out, &report, &totals);
        if (och_buf_status(&report.collections) != OCHRE_OK)
            call.status = OCHRE_NO_MEMORY;
    }
    och_buf_clear(&report.collections);
    return och_call_end(&call);
}
