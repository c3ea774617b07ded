/* What the files of the Chrome exporter share. Whatever a row of a table looks like as JSON is
 * rendered once and copied from then on. Private to export/. */
#ifndef TSM_EXPORT_TORCH_H
#define TSM_EXPORT_TORCH_H

#include "export/export.h"
#include "export/json.h"

/* Arguments that lie in an event's fields; a bit each. Of an imported event those are written that
 * its set names in chrome:fields (docs/events.md); of any other all that its extension records and
 * set do not bring themselves. X(NAME, key) */
#define TORCH_KEYS(X)                       \
    X(DEVICE, "device")                     \
    X(CONTEXT, "context")                   \
    X(STREAM, "stream")                     \
    X(CORRELATION, "correlation")           \
    X(EXTERNAL_ID, "External id")           \
    X(EXTERNAL_ID_2021, "external id")      \
    X(BYTES, "bytes")                       \
    X(BANDWIDTH, "memory bandwidth (GB/s)") \
    X(DELTA, "Bytes")                       \
    X(DEVICE_ID, "Device Id")               \
    X(DEVICE_TYPE, "Device Type")           \
    X(ADDRESS, "Addr")                      \
    X(IN_USE, "Total Allocated")            \
    X(WAIT_EVENT, "wait_on_cuda_event_id")  \
    X(REGISTERS, "registers per thread")    \
    X(SHARED, "shared memory")              \
    X(GRID, "grid")                         \
    X(BLOCK, "block")                       \
    X(BLOCKS_PER_SM, "blocks per SM")       \
    X(WARPS_PER_SM, "warps per SM")         \
    X(STACK, "Call stack")

enum {
#define X(name, key) TORCH_KEY_INDEX_##name,
    TORCH_KEYS(X)
#undef X
        TORCH_KEY_COUNT
};
enum {
#define X(name, key) TORCH_KEY_##name = 1u << TORCH_KEY_INDEX_##name,
    TORCH_KEYS(X)
#undef X
};

/* A rendered text: offset in pieces, and its size plus one; size 0: not rendered yet. */
typedef struct {
    uint64_t offset;
    uint32_t size;
} torch_piece;

/* A metadata set. Keys that begin with chrome: tell how an imported event looked. */
typedef struct {
    torch_piece args;
    torch_piece members; /* of the event itself, each behind a comma */
    torch_piece phase, duration;
    uint32_t named;  /* keys among args */
    uint32_t fields; /* chrome:fields */
} torch_set;

/* pid and tid of a row, as they are written. text: `,"pid":P,"tid":T,"ts":`. */
typedef struct {
    int64_t pid, tid;
    uint64_t flow_base; /* what makes correlations of one process unique in the file */
    char text[72];
    uint8_t size; /* 0: not made yet */
} torch_track;

/* One of the tids among which the overlapping work of one stream is split. */
typedef struct {
    torch_track track;
    uint64_t begin, work_end;
    uint64_t ranges[8]; /* the ends of open ranges, innermost last */
    size_t range_count;
} torch_lane;

/* Of a device, to reckon blocks and warps for each multiprocessor; 0: not reckoned. */
typedef struct {
    uint32_t multiprocessors, warp_size;
} torch_shape;

typedef struct {
    torch_lane *lanes;
    size_t count, capacity;
    uint32_t told;    /* keys that are in args */
    torch_piece args; /* "device":0,"context":1,"stream":7, all that is known */
    torch_shape shape;
} torch_stream;

typedef struct {
    torch_piece piece;
    uint32_t wanted; /* the keys that it was rendered with */
    torch_shape shape;
    bool known;
    uint32_t told; /* keys that the shape has a value for */
    uint32_t set;  /* row of metadata */
} torch_launch;

enum { TORCH_SCHEMA_ARGS, TORCH_SCHEMA_FLOW, TORCH_SCHEMA_ALLOCATION, TORCH_SCHEMA_FOREIGN };

typedef struct {
    bool known;
    uint8_t kind;  /* TORCH_SCHEMA */
    uint8_t count; /* fields */
    uint8_t types[TSM_EXTENSION_VALUES];
    uint32_t named;
    torch_piece keys[TSM_EXTENSION_VALUES]; /* "External id": */
    torch_piece category;                   /* "cat":"kernel", and nothing when it is empty */
} torch_schema;

/* Arrays by table row, grown between batches, so that an item stays where it is during one. */
#define TORCH_CACHES(X)                  \
    X(torch_piece, strings, STRINGS)     \
    X(torch_set, metadata, METADATA)     \
    X(torch_piece, stacks, STACKS)       \
    X(torch_launch, launches, LAUNCHES)  \
    X(torch_schema, schemas, SCHEMAS)    \
    X(torch_stream, streams, STREAMS)    \
    X(torch_track, threads, THREADS)     \
    X(torch_track, processes, PROCESSES) \
    X(torch_track, devices, DEVICES)

/* Which numbers are taken: pids, and tids in their pid. */
typedef struct {
    uint64_t *slots;
    size_t slot_count, taken;
    int64_t fresh; /* the last that was made up */
} torch_numbers;

typedef struct {
    tsm_pen pen;
    tsm_tables *tables;
    const tsm_export_options *options;
    tsm_export_report *report;
    bool imported; /* read from such a file: what it said is repeated, nothing is added */
    bool any;      /* an event is written already */
    uint64_t base;
    torch_piece flow_category, flow_name; /* of arrows from calls to their work, quoted */
    tsm_buffer zero_names;                /* of what really has pid or tid 0: p or t and the quoted name, a line each */
    tsm_buffer pieces, scratch;
    torch_numbers numbers;
#define X(type, name, table) \
    struct {                 \
        type *items;         \
        size_t capacity;     \
        uint32_t count;      \
    } name;
    TORCH_CACHES(X)
#undef X
} torch;

/* The item of a cache for a row; that of row 0 for a row that the table does not have. */
#define torch_at(c, cache, row) (&(c)->cache.items[(row) < (c)->cache.count ? (row) : 0])

/* The event being written, and what belongs to it. */
typedef struct {
    const tsm_event *event;
    const tsm_extension *extensions; /* of this event */
    size_t extension_count;
    const torch_schema *foreign; /* the schema that says which category it was read under, or NULL */
    const torch_set *set;        /* the event's, or of its launch shape; that of row 0 when there is none */
    const torch_track *track;
    char when[112]; /* pid, tid and ts */
    size_t when_size;
    uint32_t wanted; /* keys */
    bool first;      /* no argument is written yet */
} torch_item;

/* torch_text.c */
/* Makes the caches as long as the tables: before each batch. */
tsm_status torch_grow(torch *c);
void torch_free(torch *c);
torch_piece torch_string(torch *c, uint32_t row);
const torch_set *torch_metadata(torch *c, uint32_t row);
torch_piece torch_stack(torch *c, uint32_t row);
/* What is known of a launch shape and of a stream, but for the rendered text of the former. */
const torch_launch *torch_launch_of(torch *c, uint32_t row);
const torch_stream *torch_stream_of(torch *c, uint32_t row);
/* A launch shape as arguments, those among wanted, without its set. Valid until the next call. */
tsm_text torch_launch_text(torch *c, uint32_t row, uint32_t wanted, torch_shape shape);
/* Puts a text as a quoted string into pieces. */
torch_piece torch_quote(torch *c, tsm_text text);
/* Puts JSON there as it is. */
torch_piece torch_copy(torch *c, tsm_text json);
const torch_schema *torch_schema_of(torch *c, uint32_t row);

static inline void
torch_put(torch *c, torch_piece piece)
{
    if (piece.size > 1) {
        tsm_pen_put(&c->pen, c->pieces.data + piece.offset, piece.size - 1);
    }
}

/* Where torch.profiler sorts the processes that it names by a text; their rows are added. */
#define TORCH_TEXT_PIDS ((int64_t)1 << 29)

/* torch_track.c */
/* Gives devices their pids before any process can take them. False: no memory. */
bool torch_number_devices(torch *c);
const torch_track *torch_stream_track(torch *c, const tsm_event *event);
const torch_track *torch_thread_track(torch *c, uint32_t row);
const torch_track *torch_device_track(torch *c, uint32_t row);
const torch_track *torch_process_track(torch *c, uint32_t row);
/* Does the source of this row know the process or thread by a text only (docs/events.md)? */
bool torch_is_text(torch *c, const uint64_t *process);
bool torch_is_text_thread(torch *c, const uint64_t *thread);

/* torch_args.c: the members of "args", without the braces. */
void torch_args(torch *c, torch_item *item);

static inline void
torch_begin_event(torch *c, char phase)
{
    char *at = tsm_pen_room(&c->pen, 16);
    memcpy(at, ",\n{\"ph\":\"?\",", 12);
    at[9] = phase;
    if (!c->any) {
        memcpy(at, " ", 1);
    }
    c->any = true;
    c->pen.at += 12;
}

static inline void
torch_put_when(torch *c, const torch_item *item)
{
    tsm_pen_put(&c->pen, item->when, item->when_size);
}

/* torch_flow.c */
/* The arrows that begin or end at an event. */
void torch_put_flows(torch *c, const torch_item *item);

/* torch_told.c: what an imported trace said of itself (docs/events.md). */
bool torch_is_imported(const torch *c);
/* What its arrows are called, and what it called the number 0. */
void torch_find_told(torch *c);
void torch_put_told_members(torch *c);
void torch_put_told_metadata(torch *c);

/* torch_frame.c: what stands before the events, and after them. first: the earliest timestamp. */
void torch_head(torch *c, uint64_t first);
void torch_tail(torch *c);
/* A metadata event. name: row of strings; when that is empty, instead with a number. */
void torch_put_name(torch *c, const char *what, const torch_track *track, uint64_t name, const char *instead,
                    int64_t number);

#endif
