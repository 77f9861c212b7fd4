/*
 * fuzz_wal.c - two decoders of the log.
 *
 * First byte even: the rest is the payload of a write request (of 2, behind a
 * byte that says after how many grants encoding runs out of memory).  It decodes
 * or it does not; if it does, every row lies inside of it, and what its rows
 * encode to has the same rows and encodes to itself.
 *
 * First byte odd: the rest is a program, letters with their operands, of a log beside which
 * a table of how far collections reach is kept, if the byte has bit 1.  First, on a fresh log:
 *
 *      a n size      append a group
 *      e call        let a call of the disk fail, once (for what follows)
 *      r             close and open again: all that was acknowledged is there
 *      p             prepare the next file
 *      t lsn         trim
 *
 * then what happens to its files (numbered as they are listed):
 *
 *      w file at at value    overwrite a byte
 *      c file at at          cut the file
 *      f file frame field value   set a field of a record's header, checksum mended
 *      h file field value         of a file's header, in both copies
 *      H file field value         of a file's header, in the first copy alone
 *      n file number         rename it to another number
 *      k file                rename it to one that is half made
 *      d file                remove it
 *      u number              a file that was prepared and never begun
 *      j                     names that are no log's
 *
 * then how it is opened at the end: o read-only, b as another database's, l lsn
 * with what the catalog knows, i call (I: and all after it) with a disk that
 * fails, g grant (G) with memory that runs out; and, if it is damaged then and has a table,
 * once more, with holes passed over.
 *
 * The log opens or says why not.  A record that is not called damaged has the
 * payload that was appended under its LSN, unless a header was forged; LSNs are
 * dense; an undamaged log has all that was acknowledged, and keeps it when
 * opening it fails.  Before that, what is salvaged of it is what was appended, and all
 * that was acknowledged where nothing is damaged.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/write.h"
#include "index/meta/fields.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "storage/wal.h"
#include "storage/wal_salvage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- payloads --------------------------------------------------------------- */

/* A hash of all rows; what is absent differs from what is empty. */
static uint64_t
sum_rows(struct och_write write)
{
    struct och_write_row row;
    uint64_t sum = 0;
    uint32_t n = 0;
    while (och_write_next(&write, &row)) {
        struct ochre_bytes texts[] = {row.id, row.document, row.uri};
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
            sum = sum * 31 + (texts[i].data == NULL ? 7 : och_hash64(texts[i].data, texts[i].size));
        sum = sum * 31 + (row.vector == NULL ? 7 : och_hash64(row.vector, write.dim * 4u));
        if (row.fields.data != NULL)
            (void) och_hash64(row.fields.data, row.fields.size); /* all of it can be read */
        n++;
    }
    och_assert(n == write.n);
    return sum;
}

/* The columns of what was decoded, to be encoded again. */
struct columns {
    struct ochre_records records;
    struct ochre_bytes *ids, *documents, *uris;
    struct ochre_metadata *metadatas;
    uint32_t *dims;
    float *floats;
};

static void
take_columns(struct och_arena *arena, struct och_write write, struct columns *columns)
{
    size_t n = write.n, n_floats = 0;
    struct och_write_row row;
    columns->ids = och_arena_take_array(arena, n, sizeof(*columns->ids));
    columns->documents = och_arena_take_array(arena, n, sizeof(*columns->documents));
    columns->uris = och_arena_take_array(arena, n, sizeof(*columns->uris));
    columns->metadatas = och_arena_take_array(arena, n, sizeof(*columns->metadatas));
    columns->dims = och_arena_take_array(arena, n, sizeof(*columns->dims));
    columns->floats =
            och_arena_take_array(arena, write.n_vectors, write.dim * sizeof(*columns->floats));
    for (size_t i = 0; och_write_next(&write, &row); i++) {
        columns->ids[i] = row.id;
        columns->documents[i] = row.document;
        columns->uris[i] = row.uri;
        columns->dims[i] = row.vector == NULL ? 0 : write.dim;
        och_assert(och_fields_decode(arena, row.fields, false, &columns->metadatas[i]) == OCHRE_OK);
        if (row.vector != NULL) {
            memcpy(columns->floats + n_floats, row.vector, write.dim * sizeof(float));
            n_floats += write.dim;
        }
    }
    columns->records = (struct ochre_records){.n = n, .ids = columns->ids};
    if (write.n_vectors > 0) {
        columns->records.embeddings = columns->floats;
        columns->records.dim = write.dim;
    }
    /* Where all have one it need not be said for each; half of them say it. */
    if (write.n_vectors != n || write.dim % 2 == 0)
        columns->records.dims = columns->dims;
    if (write.documents.sizes != NULL)
        columns->records.documents = columns->documents;
    if (write.uris.sizes != NULL)
        columns->records.uris = columns->uris;
    if (write.fields.sizes != NULL)
        columns->records.metadatas = columns->metadatas;
}

/* Encode what was decoded into `buf`. */
static ochre_status
encode_again(struct och_arena *arena, const struct och_write *write, struct och_arena *scratch,
        struct och_buf *buf)
{
    struct columns columns;
    take_columns(arena, *write, &columns);
    return och_write_encode(buf, scratch, write->op, &columns.records);
}

static void
check_payload(const uint8_t *data, size_t size, uint64_t fail_from)
{
    struct ochre_bytes payload = {(const char *) data, size};
    struct och_write write, again;
    struct och_mem mem, tight;
    struct och_arena arena, scratch;
    struct och_buf first, second;
    if (!och_write_decode(&write, payload))
        return;
    uint64_t sum = sum_rows(write);
    och_mem_init(&mem, NULL);
    och_mem_init(&tight, NULL);
    tight.fail_from = fail_from;
    och_arena_init(&arena, &mem);
    och_arena_init(&scratch, &tight);
    och_buf_init(&first, &tight, SIZE_MAX / 2);
    och_buf_init(&second, &mem, SIZE_MAX / 2);

    ochre_status status = encode_again(&arena, &write, &scratch, &first);
    och_assert(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && fail_from != 0));
    if (status == OCHRE_OK) {
        struct ochre_bytes encoded = {first.data, first.size};
        och_assert(och_write_decode(&again, encoded));
        och_assert(again.op == write.op && sum_rows(again) == sum);
        och_assert(encode_again(&arena, &again, &arena, &second) == OCHRE_OK);
        och_assert(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    }
    och_buf_clear(&first);
    och_buf_clear(&second);
    och_arena_clear(&scratch);
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0 && och_mem_used(&tight) == 0);
}

/* --- files ------------------------------------------------------------------ */

enum { N_RECORDS_MAX = 64, N_FILES_MAX = 12, N_STEPS_MAX = 24 };
enum { GROUP_MAX = 4, N_MAYBE_MAX = 96, DISK_SIZE = 2 << 20 };
enum { PAGE = 4096, FRAME_SIZE = 48, HEADER_SIZE = 56, HEADER_COPY_AT = 2048 };
enum { DATABASE_AT = 12, SALT_AT = 44 };

struct program {
    const uint8_t *next;
    size_t left;
};

static uint8_t
operand(struct program *program)
{
    if (program->left == 0)
        return 0;
    program->left--;
    return *program->next++;
}

/* A record of a group that failed: it may come back. */
struct maybe {
    uint64_t lsn, hash;
};

struct log {
    struct och_mem disk_mem, mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct och_wal_options options;
    struct och_wal *wal;
    uint64_t hashes[N_RECORDS_MAX + 1]; /* by LSN */
    uint64_t n;                         /* acknowledged */
    struct maybe maybes[N_MAYBE_MAX];   /* of every group that failed */
    size_t n_maybes;
    size_t n_overridden; /* of them, the first ones, from before what was acknowledged last */
    uint64_t lsn_last;   /* seen while it is opened; 0: none yet */
    bool is_damaged;     /* records may be missing or called damaged */
    bool is_forged;      /* payloads may be anything */
    bool passes_holes;   /* LSNs may be missing */
};

/* Was this appended under this LSN?  In a damaged log, what overrides a group that
 * failed may be lost, so that it is seen after all. */
static bool
is_appended(const struct log *log, uint64_t lsn, uint64_t hash)
{
    bool found = lsn >= 1 && lsn <= log->n && log->hashes[lsn] == hash;
    size_t first = log->is_damaged ? 0 : log->n_overridden;
    for (size_t i = first; i < log->n_maybes && (lsn > log->n || log->is_damaged); i++)
        found |= log->maybes[i].lsn == lsn && log->maybes[i].hash == hash;
    return found;
}

static ochre_status
check_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct log *log = context;
    (void) err;
    och_assert(log->lsn_last == 0 || record->lsn == log->lsn_last + 1 ||
            (log->passes_holes && record->lsn > log->lsn_last));
    log->lsn_last = record->lsn;
    if (log->is_forged)
        return OCHRE_OK;
    och_assert(!damaged || log->is_damaged);
    uint64_t hash = och_hash64(record->payload.data, record->payload.size);
    och_assert(damaged || is_appended(log, record->lsn, hash));
    if (record->lsn > log->n && record->lsn <= N_RECORDS_MAX)
        log->hashes[record->lsn] = hash; /* it has come back, and counts from here on */
    return OCHRE_OK;
}

static ochre_status
open_log(struct log *log, const struct och_wal_options *options)
{
    struct ochre_error err = {.status = OCHRE_OK};
    log->lsn_last = 0;
    ochre_status status = och_wal_open(options, check_record, log, &log->wal, &err);
    och_assert((status == OCHRE_OK) == (log->wal != NULL));
    och_assert(status == OCHRE_OK || (err.status == status && err.message[0] != '\0'));
    return status;
}

/* Is all there that was acknowledged? */
static void
check_whole(const struct log *log)
{
    och_assert(log->is_damaged || och_wal_next_lsn(log->wal) > log->n);
    och_assert(log->lsn_last == 0 || och_wal_next_lsn(log->wal) == log->lsn_last + 1);
}

static ochre_status
check_salvaged(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct log *log = context;
    (void) err;
    och_assert(record->lsn > log->lsn_last);
    log->lsn_last = record->lsn;
    uint64_t hash = och_hash64(record->payload.data, record->payload.size);
    och_assert(log->is_forged || damaged || is_appended(log, record->lsn, hash));
    return OCHRE_OK;
}

/* What a repair would find. */
static void
salvage_log(struct log *log)
{
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_wal_salvage salvage = {.mem = &log->mem,
            .vfs = log->options.vfs,
            .database = log->options.database,
            .visit = check_salvaged,
            .context = log};
    log->lsn_last = 0;
    ochre_status status = och_wal_salvage(&salvage, &err);
    och_assert(status == OCHRE_OK || err.status == status);
    och_assert(
            status != OCHRE_OK || log->is_damaged || log->is_forged || salvage.lsn_last >= log->n);
}

static void
append_group(struct log *log, struct program *program)
{
    static char bytes[GROUP_MAX][256 * 40];
    struct och_log_record records[GROUP_MAX];
    struct maybe group[GROUP_MAX];
    size_t n = 1 + operand(program) % GROUP_MAX;
    size_t each = operand(program) * 40u;
    if (log->n + n > N_RECORDS_MAX || log->n_maybes + n > N_MAYBE_MAX)
        return;
    for (size_t i = 0; i < n; i++) {
        memset(bytes[i], (int) program->left, each); /* no two groups alike */
        records[i] = (struct och_log_record){.position = log->n + i + 1,
                .collection = 1,
                .type = OCH_RECORD_WRITE,
                .payload = {bytes[i], each},
                .payload_crc = och_crc32c(0, bytes[i], each)};
        group[i] = (struct maybe){log->n + i + 1, och_hash64(bytes[i], each)};
    }
    ochre_status status = och_wal_append(log->wal, records, n, NULL);
    och_assert(status == OCHRE_OK || status == OCHRE_IO || status == OCHRE_FULL);
    if (status == OCHRE_OK)
        log->n_overridden = log->n_maybes;
    for (size_t i = 0; i < n; i++) {
        if (status == OCHRE_OK)
            log->hashes[++log->n] = group[i].hash;
        else
            log->maybes[log->n_maybes++] = group[i];
    }
}

/* Close and open: what failed may have come back, and then it stays. */
static void
reopen(struct log *log)
{
    och_wal_close(log->wal);
    sim_disk_fail(log->disk, 0, SIM_IO_ONCE);
    ochre_status status = open_log(log, &log->options);
    och_assert(status == OCHRE_OK || status == OCHRE_FULL);
    if (status != OCHRE_OK)
        return;
    check_whole(log);
    ochre_status begun = och_wal_begin_reach(log->wal, NULL);
    (void) begun;
    log->n = och_wal_next_lsn(log->wal) - 1;
    log->n_overridden = log->n_maybes;
}

/* Run the first part of the program; what stops it is put back. */
static void
write_log(struct log *log, struct program *program)
{
    och_assert(open_log(log, &log->options) == OCHRE_OK);
    ochre_status begun = och_wal_begin_reach(log->wal, NULL);
    (void) begun;
    for (unsigned step = 0; step < N_STEPS_MAX && log->wal != NULL && program->left > 0; step++) {
        ochre_status status = OCHRE_OK;
        uint8_t letter = *program->next;
        if (strchr("aerpt", letter) == NULL || letter == '\0')
            break;
        (void) operand(program);
        if (letter == 'a')
            append_group(log, program);
        else if (letter == 'e')
            sim_disk_fail(log->disk, 1u + operand(program) % 16, SIM_IO_ONCE);
        else if (letter == 'r')
            reopen(log);
        else if (letter == 'p')
            status = och_wal_prepare(log->wal, NULL);
        else
            status = och_wal_trim(log->wal, operand(program), NULL);
        och_assert(status == OCHRE_OK || status == OCHRE_IO || status == OCHRE_FULL);
    }
    (void) och_wal_rest(log->wal, log->n % 2 == 0);
    sim_disk_fail(log->disk, 0, SIM_IO_ONCE);
    och_wal_close(log->wal);
    log->wal = NULL;
}

/* --- what happens to files -------------------------------------------------- */

struct names {
    char paths[N_FILES_MAX][64];
    size_t n;
};

static ochre_status
note_name(void *context, const char *name, bool is_dir)
{
    struct names *names = context;
    if (!is_dir && names->n < N_FILES_MAX)
        (void) snprintf(names->paths[names->n++], sizeof(names->paths[0]), "log/%s", name);
    return OCHRE_OK;
}

/* The path of a file, as they are listed now; NULL when there is none. */
static const char *
choose_file(struct log *log, struct program *program)
{
    static struct names names;
    names.n = 0;
    uint8_t which = operand(program);
    och_assert(och_vfs_list(log->options.vfs, "log", note_name, &names, NULL) == OCHRE_OK);
    return names.n == 0 ? NULL : names.paths[which % names.n];
}

static void
put_le(char *bytes, size_t size, uint8_t value)
{
    memset(bytes, value >= 0x80 ? 0x7f : 0, size);
    bytes[0] = (char) value;
}

/* Set a field of the `which`-th record's header, and make its checksum fit. */
static void
forge_frame(struct och_file *file, uint64_t size, struct program *program)
{
    static const struct {
        uint8_t at, size;
    } fields[] = {{4, 4}, {8, 8}, {16, 8}, {24, 8}, {32, 4}, {36, 4}, {40, 2}, {42, 2}};
    uint8_t which = operand(program), field = operand(program) % 8, value = operand(program);
    uint64_t at = PAGE;
    char frame[FRAME_SIZE], salt[8];
    for (; at + sizeof(frame) <= size; which--) {
        och_assert(och_file_read_all(file, at, frame, sizeof(frame), NULL) == OCHRE_OK);
        if (which == 0 || och_load_u64(frame + 8) == 0)
            break;
        uint64_t end = at + sizeof(frame) + ((uint64_t) och_load_u32(frame + 36) + 7) / 8 * 8;
        at = (och_load_u32(frame + 40) >> 16 & 1) != 0 ? (end + PAGE - 1) / PAGE * PAGE : end;
    }
    if (at + sizeof(frame) > size)
        return;
    och_assert(och_file_read_all(file, SALT_AT, salt, sizeof(salt), NULL) == OCHRE_OK);
    put_le(frame + fields[field].at, fields[field].size, value);
    och_store_u32(frame, och_crc32c(och_crc32c(0, salt, 8), frame + 4, sizeof(frame) - 4));
    och_assert(och_file_write(file, at, frame, sizeof(frame), NULL) == OCHRE_OK);
}

static void
forge_header(struct och_file *file, uint64_t size, bool both, struct program *program)
{
    static const struct {
        uint8_t at, size;
    } fields[] = {{0, 8}, {8, 4}, {DATABASE_AT, 16}, {28, 8}, {36, 8}, {SALT_AT, 8}};
    char header[HEADER_SIZE];
    uint8_t field = operand(program) % 6, value = operand(program);
    if (size < PAGE)
        return;
    for (uint64_t at = 0; at <= HEADER_COPY_AT && (both || at == 0); at += HEADER_COPY_AT) {
        och_assert(och_file_read_all(file, at, header, sizeof(header), NULL) == OCHRE_OK);
        put_le(header + fields[field].at, fields[field].size, value);
        och_store_u32(header + HEADER_SIZE - 4, och_crc32c(0, header, HEADER_SIZE - 4));
        och_assert(och_file_write(file, at, header, sizeof(header), NULL) == OCHRE_OK);
    }
}

static void
damage_file(struct log *log, uint8_t letter, struct program *program)
{
    const char *path = choose_file(log, program);
    struct och_file *file;
    uint64_t size;
    if (path == NULL)
        return;
    och_assert(och_vfs_open(log->options.vfs, path, OCH_OPEN_WRITE, &file, NULL) == OCHRE_OK);
    och_assert(och_file_size(file, &size, NULL) == OCHRE_OK);
    if (letter == 'f') {
        forge_frame(file, size, program);
    } else if (letter == 'h' || letter == 'H') {
        forge_header(file, size, letter == 'h', program);
    } else {
        uint64_t at = (uint64_t) operand(program) << 8;
        at |= operand(program);
        uint8_t value = letter == 'w' ? operand(program) : 0;
        if (letter == 'w' && at < size)
            och_assert(och_file_write(file, at, &value, 1, NULL) == OCHRE_OK);
        else if (letter == 'c' && at < size)
            och_assert(och_file_truncate(file, at, NULL) == OCHRE_OK);
    }
    och_file_close(file);
}

static void
move_file(struct log *log, uint8_t letter, struct program *program)
{
    const char *path = choose_file(log, program);
    char to[64];
    if (path == NULL)
        return;
    (void) snprintf(to, sizeof(to), "log/%016x.%s", letter == 'n' ? operand(program) : 0x77u,
            letter == 'n' ? "log" : "tmp");
    ochre_status status = letter == 'd' ? och_vfs_remove(log->options.vfs, path, NULL)
                                        : och_vfs_rename(log->options.vfs, path, to, NULL);
    och_assert(status == OCHRE_OK);
}

static void
make_file(struct log *log, const char *path)
{
    struct och_file *file;
    unsigned flags = OCH_OPEN_WRITE | OCH_OPEN_CREATE;
    och_assert(och_vfs_open(log->options.vfs, path, flags, &file, NULL) == OCHRE_OK);
    och_assert(och_file_truncate(file, 2ul * PAGE, NULL) == OCHRE_OK);
    och_file_close(file);
}

/* Run the second part; it stops at a letter that is not of it. */
static void
change_files(struct log *log, struct program *program)
{
    for (unsigned step = 0; step < N_STEPS_MAX && program->left > 0; step++) {
        uint8_t letter = *program->next;
        if (letter == '\0' || strchr("wcfhHnkduj", letter) == NULL)
            return;
        (void) operand(program);
        if (letter == 'u') {
            char path[64];
            unsigned number = operand(program);
            (void) snprintf(path, sizeof(path), "log/%016x.log", number);
            bool exists;
            och_assert(och_vfs_exists(log->options.vfs, path, &exists, NULL) == OCHRE_OK);
            if (!exists)
                make_file(log, path);
        } else if (letter == 'j') {
            make_file(log, "log/notes");
            make_file(log, "log/000000000000000g.log");
            make_file(log, "log/0000000000000001.lock");
            och_assert(
                    och_vfs_mkdir(log->options.vfs, "log/0000000000000fff.log", NULL) == OCHRE_OK);
        } else if (strchr("nkd", letter) != NULL) {
            move_file(log, letter, program);
            log->is_damaged = true;
            log->is_forged = true;
        } else {
            damage_file(log, letter, program);
            log->is_damaged = true;
            log->is_forged |= strchr("fhH", letter) != NULL;
        }
    }
}

/* Whoever reads the headers finds whose log it is, or nobody. */
static void
check_owner(const struct log *log)
{
    struct och_uuid database;
    bool is_known = och_wal_find_database(log->options.vfs, &database);
    if (is_known && !log->is_forged)
        och_assert(och_uuid_equal(database, log->options.database));
}

/* What there is of a damaged log is read, and it goes on behind that. */
static void
pass_holes(struct log *log, const struct och_wal_options *strict)
{
    struct och_wal_options options = *strict;
    options.passes_holes = true;
    log->passes_holes = true;
    log->is_damaged = true; /* even if only lsn_min says so: from here on the table does, too */
    if (open_log(log, &options) == OCHRE_OK) {
        bool has_holes = och_wal_has_holes(log->wal);
        bool lacks = och_wal_lacks(log->wal, 1, log->lsn_last);
        och_assert(has_holes || !lacks);
        och_assert(och_wal_next_lsn(log->wal) > log->lsn_last);
        ochre_status begun = och_wal_begin_reach(log->wal, NULL);
        (void) begun;
    }
    och_wal_close(log->wal);
    log->passes_holes = false;
}

/* Run the third part and open. */
static void
open_at_last(struct log *log, struct program *program)
{
    struct och_wal_options options = log->options;
    bool disk_fails = false, memory_fails = false;
    while (program->left > 0) {
        uint8_t letter = operand(program);
        uint64_t n = 1;
        if (letter != 'o' && letter != 'b')
            n += operand(program);
        if (letter == 'o') {
            options.read_only = true;
        } else if (letter == 'b') {
            options.database.bytes[0] ^= 1;
        } else if (letter == 'l') {
            options.lsn_min = n - 1;
        } else if (letter == 'i' || letter == 'I') {
            sim_disk_fail(log->disk, n, letter == 'i' ? SIM_IO_ONCE : SIM_IO_FROM);
            disk_fails = true;
        } else if (letter == 'g' || letter == 'G') {
            log->mem.fail_at = letter == 'g' ? log->mem.n_grants + n : 0;
            log->mem.fail_from = letter == 'G' ? log->mem.n_grants + n : 0;
            memory_fails = true;
        }
    }
    check_owner(log);
    bool is_ours = options.database.bytes[0] == log->options.database.bytes[0];
    ochre_status status = open_log(log, &options);
    if (status == OCHRE_OK)
        check_whole(log);
    else if (status == OCHRE_CORRUPT)
        och_assert(log->is_damaged || !is_ours || options.lsn_min > log->n);
    else if (status == OCHRE_UNSUPPORTED)
        och_assert(log->is_forged); /* another version, under a right checksum */
    else
        och_assert((status == OCHRE_IO && disk_fails) || status == OCHRE_FULL ||
                (status == OCHRE_NO_MEMORY && memory_fails));
    och_wal_close(log->wal);
    if (status == OCHRE_CORRUPT && options.keeps_reach && !options.read_only)
        pass_holes(log, &options);
    if (log->is_damaged)
        return;
    /* Whatever happened, nothing was lost by it. */
    sim_disk_fail(log->disk, 0, SIM_IO_ONCE);
    log->mem.fail_at = 0;
    log->mem.fail_from = 0;
    och_assert(open_log(log, &log->options) == OCHRE_OK);
    check_whole(log);
    och_wal_close(log->wal);
}

static void
run_program(const uint8_t *data, size_t size, bool keeps_reach)
{
    static struct log log;
    struct program program = {data, size};
    log = (struct log){.n = 0};
    och_mem_init(&log.disk_mem, NULL);
    och_mem_init(&log.mem, NULL);
    log.disk = sim_disk_open(&log.disk_mem, 1);
    sim_disk_set_capacity(log.disk, DISK_SIZE); /* small disk, small files: quick to make */
    sim_machine_init(&log.machine, 1);
    log.options = (struct och_wal_options){.mem = &log.mem,
            .vfs = sim_disk_vfs(log.disk),
            .machine = &log.machine.machine,
            .keeps_reach = keeps_reach};
    write_log(&log, &program);
    sim_disk_set_capacity(log.disk, UINT64_MAX); /* damage needs no room */
    change_files(&log, &program);
    salvage_log(&log);
    sim_disk_set_capacity(log.disk, DISK_SIZE);
    open_at_last(&log, &program);
    sim_disk_close(log.disk);
    och_assert(och_mem_used(&log.mem) == 0 && och_mem_used(&log.disk_mem) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if ((data[0] & 1) != 0)
        run_program(data + 1, size - 1, (data[0] & 2) != 0);
    else if (data[0] == 2)
        check_payload(data + 2, size - 2, (uint64_t) data[1] + 1);
    else
        check_payload(data + 1, size - 1, 0);
    return 0;
}
