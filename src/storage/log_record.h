/*
 * log_record.h - one record of a log, whichever keeps it.
 */
#ifndef OCH_STORAGE_LOG_RECORD_H
#define OCH_STORAGE_LOG_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "ochre/status.h"
#include "ochre/types.h"

struct och_log_record {
    uint64_t lsn;         /* the log's own dense number; set by appending */
    uint64_t position;    /* the collection's dense number */
    uint32_t collection;  /* its number in the catalog; 0: none */
    uint16_t type;        /* the engine's business */
    uint32_t payload_crc; /* och_crc32c(0, payload) */
    struct ochre_bytes payload;
};

/*
 * Called for each record at open, in LSN order.  `damaged` says that the
 * payload of a durable record fails its checksum: its collection must be
 * degraded.  Another status than OCHRE_OK ends the recovery with it.
 */
typedef ochre_status (*och_log_visit)(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err);

/* What a log has done since it was opened. */
struct och_log_stats {
    uint64_t n_records, n_groups, n_syncs, bytes;
};

#endif /* OCH_STORAGE_LOG_RECORD_H */
