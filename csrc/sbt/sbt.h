/* SBT, the file: an append-only chain of checksummed sections (docs/sbt.md), so that a file
 * whose writer died reads up to its last complete block, and a file being written can be read.
 *
 * The writer is also a tsm_sink; the reader maps the file and decodes only the blocks asked for. */
#ifndef TSM_SBT_SBT_H
#define TSM_SBT_SBT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "trace/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TSM_SBT_BLOCK_EVENTS 4096

/* How far a block (and all before it) got in the slots of one producer thread. Written inside
 * the block, so that event and position become durable together. */
typedef struct {
    uint32_t producer;    /* row of the producers table */
    uint64_t slots;       /* of this producer, everything below is dealt with */
    uint64_t delivered;   /* events of it written so far */
    uint64_t overwritten; /* events of it known lost to newer ones so far */
    uint64_t lost;        /* events of it lost because the output failed, or damaged */
} tsm_sbt_position;

/* ---- Writing ------------------------------------------------------------------------------ */

typedef enum {
    TSM_SBT_PLAIN = 0, /* bit-packed columns */
    TSM_SBT_ZSTD = 1,  /* byte planes and texts, each by zstd: smaller, slower */
} tsm_sbt_compression;

typedef struct tsm_sbt_writer tsm_sbt_writer;

/* Creates path. A file that another writer has open is refused (TSM_E_BUSY); any other file of
 * that name is replaced by a new one, so that whoever still reads the old one keeps it. */
TSM_NODISCARD tsm_status tsm_sbt_writer_open(const char *path, tsm_sbt_compression compression, tsm_sbt_writer **out,
                                             tsm_error *err);

/* Goes on with a file whose writer died: what lies behind the last complete section is cut off.
 * A finished file is opened too and its index and footer are cut off. */
TSM_NODISCARD tsm_status tsm_sbt_writer_resume(const char *path, tsm_sbt_writer **out, tsm_error *err);

/* Borrowed. Rows added here reach the file before the next block does. */
tsm_tables *tsm_sbt_writer_tables(tsm_sbt_writer *writer);
tsm_sink *tsm_sbt_writer_sink(tsm_sbt_writer *writer);

/* One block, at once: at most TSM_SBT_BLOCK_EVENTS events, sorted by timestamp, with the
 * positions it reaches. count may be 0 when there are positions or new rows to make durable.
 * On failure the file ends after its last complete section, and the caller may go on. */
TSM_NODISCARD tsm_status tsm_sbt_writer_block(tsm_sbt_writer *writer, const tsm_batch *batch,
                                              const tsm_sbt_position *positions, size_t position_count, tsm_error *err);

/* The same for who has no array of events to give. fill takes up to count events into the block
 * being built and says how many there was room for; ahead are count events that the caller will
 * read next, which memory brings in meanwhile (events again when there are none). end_block sorts
 * what was filled in, and the extensions with it, and writes it; after a failure the block can be
 * tried again or discarded. */
size_t tsm_sbt_writer_fill(tsm_sbt_writer *writer, const tsm_event *events, size_t count, const tsm_event *ahead);
TSM_NODISCARD tsm_status tsm_sbt_writer_end_block(tsm_sbt_writer *writer, tsm_extension *extensions, uint32_t *rows,
                                                  size_t extension_count, const tsm_sbt_position *positions,
                                                  size_t position_count, tsm_error *err);
void tsm_sbt_writer_discard(tsm_sbt_writer *writer);

/* Any number of events in any order: collected, sorted and written block by block. */
TSM_NODISCARD tsm_status tsm_sbt_writer_append(tsm_sbt_writer *writer, const tsm_batch *batch, tsm_error *err);
/* Writes what append has collected, and table rows not yet in the file. */
TSM_NODISCARD tsm_status tsm_sbt_writer_flush(tsm_sbt_writer *writer, tsm_error *err);

/* The positions that the file holds: after resume those of the dead writer. Borrowed. */
const tsm_sbt_position *tsm_sbt_writer_positions(const tsm_sbt_writer *writer, size_t *count);

uint64_t tsm_sbt_writer_events(const tsm_sbt_writer *writer); /* in the file or collected */
uint64_t tsm_sbt_writer_bytes(const tsm_sbt_writer *writer);  /* of the file so far */

/* Flushes, writes index and footer, marks the file complete, closes it. The writer is gone
 * afterwards, even on failure. */
TSM_NODISCARD tsm_status tsm_sbt_writer_close(tsm_sbt_writer *writer, tsm_error *err);

/* Closes without finishing: the file stays readable and says that it is incomplete. */
void tsm_sbt_writer_destroy(tsm_sbt_writer *writer); /* NULL is allowed */

bool tsm_sbt_zstd_available(void);

/* ---- Reading ------------------------------------------------------------------------------ */

typedef struct tsm_sbt_reader tsm_sbt_reader;

typedef struct {
    uint16_t version_major, version_minor;
    bool complete;   /* closed by its writer: index and footer are there */
    bool compressed; /* written with zstd: some block or text may need it */
    uint8_t uuid[16];
    uint64_t file_bytes; /* of the file */
    uint64_t used_bytes; /* up to the end of the last complete section */
    uint64_t event_count, extension_count, block_count;
    uint64_t begin_ns, end_ns; /* first start, last end; 0, 0 when there are no events */
} tsm_sbt_info;

typedef struct {
    uint64_t offset, bytes; /* of the section in the file */
    uint64_t first_event;   /* events in all blocks before */
    uint64_t begin_ns;      /* the earliest start */
    uint64_t last_ns;       /* the latest start */
    uint64_t end_ns;        /* the latest end */
    uint32_t count, extension_count;
} tsm_sbt_block_info;

/* Any thread may read a reader that nobody refreshes or closes meanwhile. */
TSM_NODISCARD tsm_status tsm_sbt_reader_open(const char *path, tsm_sbt_reader **out, tsm_error *err);
/* The same from memory, which must outlive the reader (tests, fuzzers, embedded traces). */
TSM_NODISCARD tsm_status tsm_sbt_reader_open_memory(const void *data, size_t size, tsm_sbt_reader **out,
                                                    tsm_error *err);
void tsm_sbt_reader_close(tsm_sbt_reader *reader); /* NULL is allowed */

/* Takes in what the writer has added since. */
TSM_NODISCARD tsm_status tsm_sbt_reader_refresh(tsm_sbt_reader *reader, tsm_error *err);

void tsm_sbt_reader_info(const tsm_sbt_reader *reader, tsm_sbt_info *info);
tsm_tables *tsm_sbt_reader_tables(tsm_sbt_reader *reader); /* borrowed; do not add rows */
const tsm_sbt_block_info *tsm_sbt_reader_block(const tsm_sbt_reader *reader, size_t block);
const tsm_sbt_position *tsm_sbt_reader_positions(const tsm_sbt_reader *reader, size_t *count);

/* Decodes one block into the caller's arrays: room for the block's count events and its
 * extension_count extensions and rows. extensions and extension_rows may both be NULL. */
TSM_NODISCARD tsm_status tsm_sbt_reader_read(const tsm_sbt_reader *reader, size_t block, tsm_event *events,
                                             tsm_extension *extensions, uint32_t *extension_rows, tsm_error *err);

/* Decodes one block into columns, without making rows: columns[i] is the array for field i of
 * TSM_EVENT_FIELDS, of that field's type, or NULL where the caller does not want it. */
#define TSM_EVENT_FIELD_COUNT 13
TSM_NODISCARD tsm_status tsm_sbt_reader_read_columns(const tsm_sbt_reader *reader, size_t block,
                                                     void *const columns[TSM_EVENT_FIELD_COUNT], tsm_error *err);

/* The blocks that may hold events touching [begin, end): fills indices (room for block_count)
 * in file order and returns how many. O(log blocks + blocks found + long events). */
size_t tsm_sbt_reader_find(const tsm_sbt_reader *reader, uint64_t begin, uint64_t end, size_t *indices);

/* All blocks that overlap [begin, end), cut to the events that do. Holds one block at a time.
 * The reader must outlive the cursor. */
TSM_NODISCARD tsm_status tsm_sbt_reader_cursor(tsm_sbt_reader *reader, uint64_t begin, uint64_t end, tsm_cursor **out);

/* Resume and close in one: makes a file whose writer died whole. */
TSM_NODISCARD tsm_status tsm_sbt_repair(const char *path, tsm_error *err);

#ifdef __cplusplus
}
#endif

#endif
