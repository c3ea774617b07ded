/* The hub: what makes a trace writes to a sink, what consumes one pulls from a cursor, and both
 * speak of tables. Nothing here knows where events come from or how files look. */
#ifndef TSM_TRACE_TRACE_H
#define TSM_TRACE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "trace/event.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Tables ------------------------------------------------------------------------------
 *
 * A table is a list of rows; a row is one u64 per column, or, in the text tables, bytes.
 * Row 0 is 'none' in every table: all zeros, or the empty text. Rows are only ever added.
 * A column that refers to a row of another table says so, which is how one piece of code
 * translates the ids of any trace into those of any other.
 *
 * Lists are chains: a stack row is {parent stack, frame}, a metadata row {rest, key, value},
 * a schema row {parent, field, type}. So every row is small, and common beginnings are shared. */

typedef enum {
    TSM_COLUMN_U64 = 0,
    TSM_COLUMN_I64 = 1,
    TSM_COLUMN_F64 = 2, /* the bits of a double */
    TSM_COLUMN_HEX = 3, /* a u64 that people read in hexadecimal: address, uuid half */
    TSM_COLUMN_REF = 4, /* a row of table 'ref' */
} tsm_column_type;

/* X(NAME, name, number). On disk: never renumbered. 32 and up are reserved in docs/sbt.md. */
#define TSM_TABLES(X)           \
    X(STRINGS, strings, 1)      \
    X(BLOBS, blobs, 2)          \
    X(INFO, info, 3)            \
    X(HOSTS, hosts, 4)          \
    X(PROCESSES, processes, 5)  \
    X(THREADS, threads, 6)      \
    X(DEVICES, devices, 7)      \
    X(STREAMS, streams, 8)      \
    X(FRAMES, frames, 9)        \
    X(STACKS, stacks, 10)       \
    X(LAUNCHES, launches, 11)   \
    X(METADATA, metadata, 12)   \
    X(SCHEMAS, schemas, 13)     \
    X(COUNTERS, counters, 14)   \
    X(CLOCKS, clocks, 15)       \
    X(PRODUCERS, producers, 16) \
    X(DROPS, drops, 17)

typedef enum {
#define X(name, text, number) TSM_TABLE_##name = number,
    TSM_TABLES(X)
#undef X
        TSM_TABLE_LIMIT = 18,
} tsm_table_id;

#define TSM_COLUMNS_MAX 16

typedef struct {
    const char *name;
    uint8_t type; /* tsm_column_type */
    uint8_t ref;  /* tsm_table_id, when type is TSM_COLUMN_REF */
} tsm_column;

typedef struct {
    const char *name;
    bool text; /* rows are bytes and there are no columns */
    size_t column_count;
    tsm_column columns[TSM_COLUMNS_MAX];
} tsm_table_layout;

/* NULL for a number that is no table of this build. Column order: see tables.c, which is
 * where rows are documented, and the TSM_ROW enums below, which name the columns in C. */
const tsm_table_layout *tsm_table_layout_of(unsigned table);

/* Columns by position, for writing rows in C. */
enum { TSM_INFO_KEY, TSM_INFO_VALUE };
enum { TSM_HOST_NAME, TSM_HOST_BOOT_HIGH, TSM_HOST_BOOT_LOW };
enum { TSM_PROCESS_HOST, TSM_PROCESS_PID, TSM_PROCESS_PARENT_PID, TSM_PROCESS_START, TSM_PROCESS_NAME };
enum { TSM_THREAD_PROCESS, TSM_THREAD_TID, TSM_THREAD_NAME };
enum {
    TSM_DEVICE_HOST,
    TSM_DEVICE_ORDINAL,
    TSM_DEVICE_NAME,
    TSM_DEVICE_VENDOR,
    TSM_DEVICE_UUID_HIGH,
    TSM_DEVICE_UUID_LOW,
    TSM_DEVICE_COMPUTE_MAJOR,
    TSM_DEVICE_COMPUTE_MINOR,
    TSM_DEVICE_MEMORY_BYTES,
    TSM_DEVICE_MEMORY_CLOCK_KHZ,
    TSM_DEVICE_MEMORY_BUS_BITS,
    TSM_DEVICE_MULTIPROCESSORS,
    TSM_DEVICE_THREADS_PER_MULTIPROCESSOR,
    TSM_DEVICE_CLOCK_KHZ,
    TSM_DEVICE_WARP_SIZE,
};
enum {
    TSM_STREAM_PROCESS,
    TSM_STREAM_DEVICE,
    TSM_STREAM_CONTEXT,
    TSM_STREAM_RAW_ID,
    TSM_STREAM_NAME,
    TSM_STREAM_PRIORITY,
};
enum { TSM_FRAME_FUNCTION, TSM_FRAME_FILE, TSM_FRAME_LINE, TSM_FRAME_ADDRESS, TSM_FRAME_KIND };
enum { TSM_STACK_PARENT, TSM_STACK_FRAME };
enum {
    TSM_LAUNCH_GRID_X,
    TSM_LAUNCH_GRID_Y,
    TSM_LAUNCH_GRID_Z,
    TSM_LAUNCH_BLOCK_X,
    TSM_LAUNCH_BLOCK_Y,
    TSM_LAUNCH_BLOCK_Z,
    TSM_LAUNCH_SHARED_STATIC,
    TSM_LAUNCH_SHARED_DYNAMIC,
    TSM_LAUNCH_REGISTERS,
    TSM_LAUNCH_LOCAL_BYTES,
    TSM_LAUNCH_CLUSTER_X,
    TSM_LAUNCH_CLUSTER_Y,
    TSM_LAUNCH_CLUSTER_Z,
    TSM_LAUNCH_METADATA,
};
enum { TSM_METADATA_REST, TSM_METADATA_KEY, TSM_METADATA_VALUE };
enum { TSM_SCHEMA_PARENT, TSM_SCHEMA_FIELD, TSM_SCHEMA_TYPE };
enum { TSM_COUNTER_NAME, TSM_COUNTER_UNIT, TSM_COUNTER_TRACK };
enum { TSM_CLOCK_HOST, TSM_CLOCK_TICKS, TSM_CLOCK_MONOTONIC, TSM_CLOCK_RAW, TSM_CLOCK_REALTIME };
enum { TSM_PRODUCER_SPOOL, TSM_PRODUCER_SERIAL, TSM_PRODUCER_THREAD };
enum { TSM_DROP_THREAD, TSM_DROP_BEGIN, TSM_DROP_END, TSM_DROP_COUNT, TSM_DROP_REASON };

/* TSM_DROP_REASON. */
enum {
    TSM_DROPPED_FULL = 1,        /* no chunk was free */
    TSM_DROPPED_OVERWRITTEN = 2, /* drop-oldest gave the space to newer events */
    TSM_DROPPED_NESTED = 3,      /* an emit inside an emit */
    TSM_DROPPED_OUTPUT = 4,      /* the file could not be written */
    TSM_DROPPED_DAMAGED = 5,     /* the program scribbled on its spool */
    TSM_DROPPED_BLOCKED = 6,     /* waited for block_limit in vain */
};

/* TSM_FRAME_KIND. */
enum { TSM_FRAME_NATIVE = 0, TSM_FRAME_PYTHON = 1 };

typedef struct {
    const char *data; /* not terminated; may hold any byte */
    size_t size;
} tsm_text;

typedef struct tsm_tables tsm_tables;

TSM_NODISCARD tsm_status tsm_tables_create(tsm_tables **out);
void tsm_tables_destroy(tsm_tables *tables); /* NULL is allowed */

/* Rows including row 0, so at least 1. */
uint32_t tsm_tables_count(const tsm_tables *tables, unsigned table);

/* Adds a row even if an equal one exists. values: one per column of the layout. */
TSM_NODISCARD tsm_status tsm_tables_add(tsm_tables *tables, unsigned table, const uint64_t *values, uint32_t *id);

/* The row equal to values, added if there is none. All zeros is row 0. */
TSM_NODISCARD tsm_status tsm_tables_intern(tsm_tables *tables, unsigned table, const uint64_t *values, uint32_t *id);

/* The same for TSM_TABLE_STRINGS and TSM_TABLE_BLOBS. */
TSM_NODISCARD tsm_status tsm_tables_intern_text(tsm_tables *tables, unsigned table, const void *data, size_t size,
                                                uint32_t *id);
TSM_NODISCARD tsm_status tsm_tables_add_text(tsm_tables *tables, unsigned table, const void *data, size_t size,
                                             uint32_t *id);

/* The row with this content, or 0 when there is none: adds nothing. */
uint32_t tsm_tables_find_text(tsm_tables *tables, unsigned table, const void *data, size_t size);

/* Valid until the table grows. An id past the end gives row 0. */
const uint64_t *tsm_tables_borrow_row(const tsm_tables *tables, unsigned table, uint32_t id);
tsm_text tsm_tables_borrow_text(const tsm_tables *tables, unsigned table, uint32_t id);

/* All rows of a table side by side, column_count values each. */
const uint64_t *tsm_tables_borrow_rows(const tsm_tables *tables, unsigned table);

/* Sets one info entry (key → value), interning both; a later one wins. */
TSM_NODISCARD tsm_status tsm_tables_set_info(tsm_tables *tables, const char *key, const char *value);
/* The last value of key, or an empty text. */
tsm_text tsm_tables_borrow_info(tsm_tables *tables, const char *key);

/* The table whose row an event's extra is, by its flags; 0: none, or one this build does not know. */
unsigned tsm_extra_table(uint16_t flags);

/* Bit i: value i of an extension record of this schema is a row of strings. */
uint32_t tsm_schema_strings(const tsm_tables *tables, uint32_t schema);

/* ---- Translating ids ---------------------------------------------------------------------- */

/* Where the rows of one trace's tables are found in another's: one array per table. */
typedef struct tsm_remap tsm_remap;

TSM_NODISCARD tsm_status tsm_remap_create(tsm_remap **out);
void tsm_remap_destroy(tsm_remap *remap);

/* Records that the next local row of table is row id of the target. */
TSM_NODISCARD tsm_status tsm_remap_append(tsm_remap *remap, unsigned table, uint32_t id);
uint32_t tsm_remap_count(const tsm_remap *remap, unsigned table);

/* Takes over the first count rows that another remap knows (a forked child's inheritance). */
TSM_NODISCARD tsm_status tsm_remap_inherit(tsm_remap *remap, unsigned table, const tsm_remap *from, uint32_t count);

/* The target's row for a local one; 0 for one that is not known. */
uint32_t tsm_remap_id(const tsm_remap *remap, unsigned table, uint64_t local);

/* All of a table's answers, local id → target id, tsm_remap_count of them. Valid until it grows. */
const uint32_t *tsm_remap_borrow(const tsm_remap *remap, unsigned table);

/* Interns a local row: translates its references, then interns it in target and appends. */
TSM_NODISCARD tsm_status tsm_remap_row(tsm_remap *remap, tsm_tables *target, unsigned table, const uint64_t *values);
TSM_NODISCARD tsm_status tsm_remap_text(tsm_remap *remap, tsm_tables *target, unsigned table, const void *data,
                                        size_t size);

/* Every row that from has and remap does not know yet. */
TSM_NODISCARD tsm_status tsm_remap_tables(tsm_remap *remap, tsm_tables *target, const tsm_tables *from);

/* Rewrites the ids of events and extension records in place. A value whose schema says
 * TSM_COLUMN_REF is a row of strings; target tells what the schemas are. */
void tsm_remap_events(const tsm_remap *remap, tsm_event *events, size_t count);
void tsm_remap_extensions(const tsm_remap *remap, const tsm_tables *target, tsm_extension *extensions, size_t count);

/* ---- Batches, cursors, sinks ---------------------------------------------------------------- */

/* Events with their extension records. extension_rows[i] is the event (index into events) that
 * extensions[i] belongs to, ascending. */
typedef struct {
    const tsm_event *events;
    size_t count;
    const tsm_extension *extensions;
    const uint32_t *extension_rows;
    size_t extension_count;
} tsm_batch;

/* Pulls a trace through, batch by batch. A batch is sorted by timestamp; batches come in file
 * order, mix threads and may overlap in time. */
typedef struct tsm_cursor tsm_cursor;
typedef struct {
    /* TSM_E_END after the last. The batch is valid until the next call. */
    tsm_status (*next)(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err);
    /* What the events' ids mean; may have grown after next(). Borrowed. */
    tsm_tables *(*tables)(tsm_cursor *cursor);
    void (*close)(tsm_cursor *cursor);
    /* The earliest timestamp that any later batch can hold; UINT64_MAX at the end.
     * Lets a merge hand out what can no longer be overtaken. */
    uint64_t (*horizon)(tsm_cursor *cursor);
} tsm_cursor_ops;
struct tsm_cursor {
    const tsm_cursor_ops *ops; /* first member of every implementation */
};

TSM_NODISCARD tsm_status tsm_cursor_next(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err);
tsm_tables *tsm_cursor_tables(tsm_cursor *cursor);
void tsm_cursor_close(tsm_cursor *cursor); /* NULL is allowed */

/* Takes over source (not on failure) and gives the same events in time order over all batches;
 * equal timestamps keep the source's order. Holds only the batches that overlap; a batch that
 * nothing overlaps is handed through as the source gave it. */
TSM_NODISCARD tsm_status tsm_cursor_merge(tsm_cursor *source, tsm_cursor **out);

/* The events of batch that overlap [begin, end), in batches sorted inside. batch need not be
 * sorted; its arrays and tables must stay as they are until the cursor is closed. */
TSM_NODISCARD tsm_status tsm_batch_cursor(const tsm_batch *batch, tsm_tables *tables, uint64_t begin, uint64_t end,
                                          tsm_cursor **out);

/* Takes a trace in. Ids in a batch are rows of tables(sink), so a producer interns first. */
typedef struct tsm_sink tsm_sink;
typedef struct {
    tsm_tables *(*tables)(tsm_sink *sink);
    tsm_status (*write)(tsm_sink *sink, const tsm_batch *batch, tsm_error *err);
} tsm_sink_ops;
struct tsm_sink {
    const tsm_sink_ops *ops;
};

tsm_tables *tsm_sink_tables(tsm_sink *sink);
TSM_NODISCARD tsm_status tsm_sink_write(tsm_sink *sink, const tsm_batch *batch, tsm_error *err);

/* ---- A trace in memory -------------------------------------------------------------------- */

typedef struct tsm_memory tsm_memory;

TSM_NODISCARD tsm_status tsm_memory_create(tsm_memory **out);
void tsm_memory_destroy(tsm_memory *memory);

/* Borrowed; gone with the memory. */
tsm_sink *tsm_memory_sink(tsm_memory *memory);
tsm_tables *tsm_memory_tables(tsm_memory *memory);

/* Everything written so far, in the order of writing. */
void tsm_memory_borrow(const tsm_memory *memory, tsm_batch *batch);

/* Events that overlap [begin, end), in batches sorted inside. memory must not change meanwhile. */
TSM_NODISCARD tsm_status tsm_memory_cursor(tsm_memory *memory, uint64_t begin, uint64_t end, tsm_cursor **out);

/* Does the event touch the window [begin, end)? An event without extent at begin does. An end of
 * UINT64_MAX is none. */
static inline bool
tsm_event_overlaps(const tsm_event *event, uint64_t begin, uint64_t end)
{
    uint64_t stop = event->timestamp + event->duration;
    return (event->timestamp < end || end == UINT64_MAX)
           && (stop > begin || event->timestamp >= begin || stop < event->timestamp);
}

/* Sorts by timestamp, stably, carrying extension rows along. Sorted input costs one pass. */
TSM_NODISCARD tsm_status tsm_events_sort(tsm_event *events, size_t count, uint32_t *extension_rows,
                                         tsm_extension *extensions, size_t extension_count);

/* The same for who keeps events in columns: order[i] is which of them comes i-th. */
TSM_NODISCARD tsm_status tsm_order_by_time(const uint64_t *timestamps, size_t count, uint32_t *order);
/* Extensions follow their events into a new order; several of one event keep theirs. */
TSM_NODISCARD tsm_status tsm_extensions_reorder(const uint32_t *order, size_t count, uint32_t *rows,
                                                tsm_extension *extensions, size_t extension_count);

#ifdef __cplusplus
}
#endif

#endif
