#include "api/stats.h"
#include "base/buf.h"
#include "base/json.h"

struct member {
    const char *name;
    uint64_t value;
};

static const char *
name_of(ochre_space space)
{
    switch (space) {
    case OCHRE_SPACE_L2:
        return "l2";
    case OCHRE_SPACE_COSINE:
        return "cosine";
    case OCHRE_SPACE_IP:
        return "ip";
    }
    return "";
}

/* More members of an object that has some already, or none. */
static void
put_members(struct och_buf *buf, const struct member *members, size_t n, bool is_first)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_first || i > 0)
            och_buf_put_u8(buf, ',');
        och_json_put_text(buf, members[i].name);
        och_buf_put_u8(buf, ':');
        och_json_put_uint(buf, members[i].value);
    }
}

static void
put_bytes(struct och_buf *buf, const struct ochre_file_bytes *bytes)
{
    const struct member members[] = {{"vectors", bytes->vectors}, {"ids", bytes->ids},
            {"documents", bytes->documents}, {"uris", bytes->uris}, {"metadata", bytes->metadata},
            {"metadata_index", bytes->metadata_index}, {"codes", bytes->codes},
            {"graph", bytes->graph}, {"deletes", bytes->deletes}, {"other", bytes->other}};
    och_buf_put_text(buf, ",\"bytes_by_kind\":{");
    put_members(buf, members, sizeof(members) / sizeof(members[0]), true);
    och_buf_put_u8(buf, '}');
}

/* Where a thing belongs, which begins its object. */
static void
put_place(struct och_buf *buf, const struct ochre_collection_stats *collection)
{
    och_buf_put_text(buf, "{\"tenant\":");
    och_json_put_string(buf, collection->tenant);
    och_buf_put_text(buf, ",\"database\":");
    och_json_put_string(buf, collection->database);
}

static void
put_collection(struct och_buf *buf, const struct ochre_collection_stats *collection)
{
    const struct member members[] = {{"forks", collection->forks}, {"pins", collection->pins},
            {"records", collection->records}, {"dead_rows", collection->dead_rows},
            {"segments", collection->segments}, {"graph_segments", collection->graph_segments},
            {"delete_files", collection->delete_files}, {"shared_files", collection->shared_files},
            {"shared_bytes", collection->shared_bytes}, {"live_bytes", collection->live_bytes},
            {"bytes", collection->n_bytes}};
    put_place(buf, collection);
    och_buf_put_text(buf, ",\"name\":");
    och_json_put_string(buf, collection->name);
    och_buf_put_text(buf, ",\"id\":");
    och_json_put_text(buf, collection->id);
    och_buf_put_text(buf, ",\"space\":");
    och_json_put_text(buf, name_of(collection->space));
    och_buf_put_text(buf, ",\"dimension\":");
    if (collection->dim == 0)
        och_buf_put_text(buf, "null");
    else
        och_json_put_uint(buf, collection->dim);
    och_buf_put_text(buf, collection->is_fork ? ",\"is_fork\":true" : ",\"is_fork\":false");
    och_buf_put_text(buf, ",\"unsealed_rows\":");
    if (collection->unsealed_rows == UINT64_MAX)
        och_buf_put_text(buf, "null");
    else
        och_json_put_uint(buf, collection->unsealed_rows);
    put_members(buf, members, sizeof(members) / sizeof(members[0]), false);
    put_bytes(buf, &collection->bytes);
    och_buf_put_text(buf, ",\"problem\":");
    if (collection->problem == NULL)
        och_buf_put_text(buf, "null");
    else
        och_json_put_text(buf, collection->problem);
    och_buf_put_u8(buf, '}');
}

/* The sums of a database's collections, which are the first n from here on. */
static void
put_database(struct och_buf *buf, const struct ochre_collection_stats *collections, size_t n)
{
    uint64_t records = 0, dead_rows = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        records += collections[i].records;
        dead_rows += collections[i].dead_rows;
        bytes += collections[i].n_bytes;
    }
    const struct member members[] = {
            {"collections", n}, {"records", records}, {"dead_rows", dead_rows}, {"bytes", bytes}};
    put_place(buf, &collections[0]);
    put_members(buf, members, sizeof(members) / sizeof(members[0]), false);
    och_buf_put_u8(buf, '}');
}

static void
put_databases(struct och_buf *buf, const struct och_stats *stats)
{
    for (size_t i = 0; i < stats->n_collections;) {
        const struct ochre_collection_stats *first = &stats->collections[i];
        size_t n = 1;
        while (i + n < stats->n_collections && och_bytes_equal(first[n].tenant, first->tenant) &&
                och_bytes_equal(first[n].database, first->database))
            n++;
        if (i > 0)
            och_buf_put_u8(buf, ',');
        put_database(buf, first, n);
        i += n;
    }
}

static void
put_totals(struct och_buf *buf, const struct ochre_stats *totals)
{
    const struct member members[] = {{"collections", totals->collections}, {"forks", totals->forks},
            {"pins", totals->pins}, {"pinned_bytes", totals->pinned_bytes},
            {"records", totals->records}, {"dead_rows", totals->dead_rows},
            {"unsealed_rows", totals->unsealed_rows}, {"segments", totals->segments},
            {"delete_files", totals->delete_files}, {"segment_bytes", totals->segment_bytes},
            {"live_bytes", totals->live_bytes}, {"log_files", totals->log_files},
            {"log_bytes", totals->log_bytes}, {"catalog_bytes", totals->catalog_bytes},
            {"reserve_bytes", totals->reserve_bytes}, {"unlisted_files", totals->unlisted_files},
            {"unlisted_bytes", totals->unlisted_bytes}, {"other_bytes", totals->other_bytes},
            {"disk_files", totals->disk_files}, {"disk_bytes", totals->disk_bytes},
            {"scrub_damaged", totals->scrub_damaged}, {"free_bytes", totals->free_bytes},
            {"log_lsn", totals->log_lsn}, {"archived_lsn", totals->archived_lsn},
            {"archived_unix_s", totals->archived_unix_s},
            {"archive_failures", totals->archive_failures}};
    och_buf_put_u8(buf, '{');
    put_members(buf, members, sizeof(members) / sizeof(members[0]), true);
    put_bytes(buf, &totals->bytes);
    och_buf_put_text(buf, ",\"scrubbed_unix_s\":");
    if (totals->scrubbed_unix_s == 0)
        och_buf_put_text(buf, "null");
    else
        och_json_put_uint(buf, totals->scrubbed_unix_s);
    och_buf_put_text(buf, ",\"disk_over_live\":");
    if (totals->live_bytes == 0)
        och_buf_put_text(buf, "null");
    else
        och_json_put_f64(buf, (double) totals->disk_bytes / (double) totals->live_bytes);
    och_buf_put_u8(buf, '}');
}

void
och_stats_put_json(struct och_buf *buf, const struct och_stats *stats)
{
    och_buf_put_text(buf, "{\"collections\":[");
    for (size_t i = 0; i < stats->n_collections; i++) {
        if (i > 0)
            och_buf_put_u8(buf, ',');
        put_collection(buf, &stats->collections[i]);
    }
    och_buf_put_text(buf, "],\"databases\":[");
    put_databases(buf, stats);
    och_buf_put_text(buf, "],\"totals\":");
    put_totals(buf, &stats->totals);
    och_buf_put_u8(buf, '}');
}
