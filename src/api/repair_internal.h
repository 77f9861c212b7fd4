/*
 * repair_internal.h - what the parts of a repair share.
 *
 *      repair.c           the order of things; catalog; the new directory
 *      repair_segments.c  what is left of a collection's files
 *      repair_log.c       what of the log may be applied to that
 *      repair_target.c    the new directory
 *      op_repair.c        the same of a database in use: beside what is damaged
 *
 * Threads: one at a time.
 */
#ifndef OCH_API_REPAIR_INTERNAL_H
#define OCH_API_REPAIR_INTERNAL_H

#include "api/hold.h"
#include "api/repair.h"
#include "base/arena.h"
#include "base/bitset.h"
#include "base/buf.h"
#include "drivers/catalog_salvage.h"
#include "engine/catalog.h"
#include "engine/settings.h"

struct och_segment;

/* A segment that the catalog lists, and what is left of it. */
struct och_repair_segment {
    struct och_segment_row row;  /* as the catalog has it */
    struct och_segment *segment; /* counted; NULL: it cannot be opened, or is not needed */
    bool is_lost;                /* all of it */
    bool is_damaged;             /* a page of it: it is written anew */
    bool has_lost_deletes;       /* which of its rows are dead is not known */
    struct och_bitset lost;      /* rows that cannot be read, and may live */
    struct och_bitset doubted;   /* rows that can be, and may be dead */
    struct och_bitset dead;      /* rows that must be, where the file that says so is lost */
};

struct och_repair_member {
    struct och_collection_row row; /* in the repair's arena, as all below */
    struct och_collection_state state;
    struct och_collection_settings settings;
    struct och_repair_segment *segments;
    size_t n_segments;
    bool is_left_out;    /* it stays where it is */
    bool is_broken;      /* a segment is: what the log changes has to be looked at */
    bool is_unreadable;  /* what the catalog says of it makes no sense */
    bool has_stopped;    /* a record of its log is missing: none is applied from there on */
    uint64_t position;   /* of the log, as it was: applied up to here, */
    uint64_t lsn;        /* the record with this LSN */
    uint64_t renumbered; /* the same, as it is in the new log */
    /* Rows in doubt; number 0: there are none. */
    struct och_collection_row doubted;
    uint64_t doubted_position;
    /* Ids of records that were lost, and of which the log says later that they were
     * deleted: hashes, open addressing, 0 empty. */
    uint64_t *settled;
    size_t n_settled, n_slots;
    struct och_repair_collection sum;
};

/* File ids that a catalog gives are another one's, whose they are to be. */
struct och_lent_ids {
    struct och_catalog_ops ops; /* first: the catalog's pointer is ours */
    const struct och_catalog_ops *own;
    struct och_catalog *live; /* borrowed */
};

struct och_repair {
    const struct och_repair_options *options; /* borrowed */
    struct och_mem *mem;                      /* borrowed */
    struct och_vfs *from, *to;                /* borrowed; `to` NULL: a dry run */
    struct och_hold hold;                     /* of `to` */
    struct och_uuid database;
    struct och_arena arena;
    struct och_catalog_salvage catalog;
    struct och_lent_ids lent;
    struct och_repair_member *members; /* in the arena; by number */
    size_t n_members;
    /* Of a database in use: files get ids of its catalog, pins become collections, and in the
     * end all is in files.  Borrowed; NULL: of a directory. */
    struct och_catalog *live;
    uint64_t lsn_max;    /* the newest record the catalog knows of */
    struct och_buf text; /* the report */
    struct och_repair_totals totals;
};

/*
 * Begin: `from` is held, and `to` may be NULL.  Release it in any case, but for its hold.
 *
 * Errors: OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_repair_make(const struct och_repair_options *options,
        struct och_vfs *from, struct och_vfs *to, struct och_repair **repair_out,
        struct ochre_error *err);
void och_repair_release(struct och_repair *repair); /* NULL is fine */

/* Read what collections there are. */
OCH_MUST_CHECK ochre_status och_repair_look(struct och_repair *repair, struct ochre_error *err);

/* Find out what is left of those that are not left out, and write that where there is a
 * target. */
OCH_MUST_CHECK ochre_status och_repair_work(struct och_repair *repair, struct ochre_error *err);

/* Is nothing of it damaged, as far as that costs records or keeps it from being used? */
bool och_repair_is_whole(const struct och_repair_member *member);

/* Report, and count, what became of those that are not left out. */
void och_repair_sum_up(struct och_repair *repair);

/* Report something. */
void och_repair_report(struct och_repair *repair, och_repair_kind kind, const char *path,
        const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * Read a collection's segments, write what is left of them, and have the catalog list
 * that.  Segments of one that is broken stay open, for the log.
 *
 * Errors: OCHRE_UNSUPPORTED, OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_repair_segments(
        struct och_repair *repair, struct och_repair_member *member, struct ochre_error *err);
void och_repair_close_segments(struct och_repair *repair, struct och_repair_member *member);

/* Is this record, or was it, among those that are lost or in doubt?  Says so too when it
 * cannot be told. */
OCH_MUST_CHECK ochre_status och_repair_is_in_doubt(struct och_repair *repair,
        struct och_repair_member *member, struct ochre_bytes id, bool *doubt_out,
        struct ochre_error *err);

/*
 * Read the log, and write a new one of what may be applied.
 *
 * Errors: OCHRE_UNSUPPORTED, OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_repair_log(struct och_repair *repair, struct ochre_error *err);

/* --- repair_target.c ----------------------------------------------------------- */

/* Take the new directory: an empty one, or what an interrupted repair left. */
OCH_MUST_CHECK ochre_status och_repair_take_target(
        struct och_repair *repair, struct ochre_error *err);

/* Remove a directory's contents, all of which a repair made, FORMAT first and LOCK last. */
OCH_MUST_CHECK ochre_status och_repair_clear(
        struct och_mem *mem, struct och_vfs *vfs, struct ochre_error *err);

/* Write the catalog there, open all of it as any start would, count the records, and
 * verify every byte. */
OCH_MUST_CHECK ochre_status och_repair_write_target(
        struct och_repair *repair, struct ochre_error *err);

/* `lent` lives as long as `catalog`.  Where repair->live is NULL, ids stay its own. */
void och_repair_lend_ids(
        const struct och_repair *repair, struct och_catalog *catalog, struct och_lent_ids *lent);

/* Write the report, and let it be a database. */
OCH_MUST_CHECK ochre_status och_repair_publish_target(
        struct och_repair *repair, struct ochre_error *err);

#endif /* OCH_API_REPAIR_INTERNAL_H */
