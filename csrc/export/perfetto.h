/* What the files of the Perfetto exporter share. One sequence of packets carries everything, in
 * order of time, so that timestamps are small steps of one clock; what repeats is interned when
 * it is first met, in a packet of its own before the one that needs it.
 *
 * Out of memory is remembered in `failed` and told once per batch. Private to export/. */
#ifndef TSM_EXPORT_PERFETTO_H
#define TSM_EXPORT_PERFETTO_H

#include <stdbool.h>

#include "export/export.h"
#include "export/output.h"
#include "export/pairs.h"
#include "export/proto.h"
#include "trace/trace.h"

/* Fields of Trace and TracePacket. */
enum {
    PF_TRACE_PACKET = 1,
    PF_PACKET_CLOCK_SNAPSHOT = 6,
    PF_PACKET_TIMESTAMP = 8,
    PF_PACKET_SEQUENCE = 10,
    PF_PACKET_TRACK_EVENT = 11,
    PF_PACKET_INTERNED = 12,
    PF_PACKET_FLAGS = 13,
    PF_PACKET_COMPRESSED = 50,
    PF_PACKET_GPU_COUNTER = 52,
    PF_PACKET_GPU_STAGE = 53,
    PF_PACKET_CLOCK = 58,
    PF_PACKET_DEFAULTS = 59,
    PF_PACKET_TRACK = 60,
    PF_PACKET_GPU_INFO = 128,
};

enum { PF_CLOCK_OF_SEQUENCE = 64 };

/* InternedData. */
enum {
    PF_INTERNED_FRAMES = 6,
    PF_INTERNED_STACKS = 7,
    PF_INTERNED_MAPPINGS = 19,
    PF_INTERNED_CONTEXTS = 23,
    PF_INTERNED_SPECIFICATIONS = 24,
    PF_INTERNED_KERNELS = 1000,
};

/* The kinds of text that a packet can name by a number. */
enum {
    PF_NAMES,
    PF_CATEGORIES,
    PF_ANNOTATIONS, /* names of a slice's arguments */
    PF_ARGUMENTS,   /* names of a kernel's arguments */
    PF_VALUES,
    PF_FUNCTIONS,
    PF_SOURCES,
    PF_PATHS,
    PF_SPACES,
};

/* X(NAME, text): names of arguments that no table of the trace holds. */
#define PF_WORDS(X)                         \
    X(DEVICE, "device")                     \
    X(STREAM, "stream")                     \
    X(REGISTERS, "registers_per_thread")    \
    X(SHARED_STATIC, "shared_mem_static")   \
    X(SHARED_DYNAMIC, "shared_mem_dynamic") \
    X(LOCAL_BYTES, "local_bytes")           \
    X(CLUSTER_X, "launch.cluster_size.x")   \
    X(CLUSTER_Y, "launch.cluster_size.y")   \
    X(CLUSTER_Z, "launch.cluster_size.z")   \
    X(BYTES, "bytes")                       \
    X(ADDRESS, "address")                   \
    X(VALUE, "value")                       \
    X(CORRELATION, "correlation")           \
    X(COMMUNICATOR, "communicator")         \
    X(POOL, "pool")                         \
    X(GRAPH, "graph_node")                  \
    X(INFERRED, "inferred")

enum {
#define X(name, text) PF_WORD_##name,
    PF_WORDS(X)
#undef X
        PF_WORD_COUNT
};

/* One number per row of a table, 0 for none yet. */
typedef struct {
    uint32_t *ids;
    size_t count;
} pf_rows;

static inline uint32_t
pf_rows_get(const pf_rows *rows, uint32_t row)
{
    return row < rows->count ? rows->ids[row] : 0;
}

/* From two numbers to one that is not 0. */
typedef struct {
    uint64_t a, b;
    uint32_t value;
} pf_map_slot;
typedef struct {
    pf_map_slot *slots;
    uint32_t slot_count, used;
} pf_map;

typedef struct {
    pf_rows rows; /* of strings */
    uint32_t words[PF_WORD_COUNT], types[TSM_EVENT_CUSTOM + 1];
    uint32_t last;
} pf_space;

/* All that events of one name, type, stream and launch shape share, ready to be copied. */
#define PF_KIND_FIXED  40
#define PF_KIND_LAUNCH 56
typedef struct {
    uint8_t fixed_size, launch_size;
    uint8_t fixed[PF_KIND_FIXED];
    uint8_t launch[PF_KIND_LAUNCH];
} pf_kind;

/* Slices that nest: the ends of those that are open, the innermost last. */
typedef struct {
    uint64_t uuid;
    uint64_t *ends;
    size_t count, capacity;
    uint32_t sibling; /* where goes what does not nest here */
    uint32_t heap_at;
} pf_lane;

typedef struct {
    uint32_t field; /* row of strings */
    uint8_t type;   /* tsm_column_type */
} pf_field;

enum { PF_SCHEMA_OTHER, PF_SCHEMA_FLOW, PF_SCHEMA_ALLOCATION };

/* positions: of the fields that a schema with a meaning has; TSM_EXTENSION_VALUES: it lacks it. */
enum { PF_FLOW_ID, PF_FLOW_PHASE, PF_FLOW_CATEGORY, PF_ALLOCATION_IN_USE = 0 };
typedef struct {
    uint8_t meaning, count, positions[3];
    pf_field fields[TSM_EXTENSION_VALUES];
} pf_schema;

/* An event as the cursor gave it. */
typedef struct {
    const tsm_event *event;
    const tsm_extension *extensions;
    size_t extension_count;
} pf_item;

/* Encoded fields that wait for the message they belong to. */
#define PF_PART_BYTES ((size_t)96 << 10)
typedef struct {
    size_t size;
    uint8_t *bytes;
} pf_part;

typedef struct {
    tsm_output *output;
    const tsm_export_options *options;
    tsm_tables *tables;
    tsm_export_report *report;
    bool failed;

    /* Packets gather here and leave together; see perfetto_window.c. */
    uint8_t *window, *at, *flush_at, *packed;
    void *deflate; /* z_stream; NULL: not compressed */

    uint32_t counts[TSM_TABLE_LIMIT]; /* rows of each table, and the most of any */
    uint32_t row_limit;
    uint64_t now; /* where the sequence's clock stands */

    pf_space spaces[PF_SPACES];
    uint32_t last_specification, last_context, last_kernel, last_frame, last_stack, last_mapping;
    pf_rows stacks, frames, launches, schemas, processes, threads, ranges, devices, apis;
    pf_map contexts, context_numbers, queues, stages, kernels, kinds, shapes, pids, tids, counters;
    pf_kind *kind;
    size_t kind_count, kind_capacity;
    pf_schema *schema;
    size_t schema_count, schema_capacity;
    uint32_t *frame_ids;
    size_t frame_capacity;

    uint64_t last_uuid, own_ids;
    uint64_t default_track, candidate_track; /* default: of events that name none */
    unsigned votes;
    pf_rows id_spaces; /* process row → its place above the bits of a correlation; 1: ours */
    uint32_t last_id_space;
    unsigned api_seen;    /* in calls: that of devices which do not tell */
    uint32_t device_rows; /* that have been described */
    pf_rows gpu_ids;      /* device row → gpu_id + 1 */
    pf_map gpu_taken;
    uint64_t *in_use; /* device row → bytes allocated on it */
    size_t in_use_count;

    pf_lane *lanes; /* lanes[0] is none */
    size_t lane_count, lane_capacity;
    uint32_t *heap;
    size_t heap_count, heap_capacity;

    tsm_pairs pairs;

    tsm_event *held; /* perfetto_order.c */
    tsm_extension *held_extensions;
    uint32_t *held_rows;
    pf_item *items;
    size_t held_count, held_capacity, held_extension_count, held_extension_capacity, held_row_capacity, item_capacity;

    pf_part arguments, flows;
    uint32_t argument_field;
} pf_writer;

/* ---- perfetto_window.c: packets, on their way out */

bool pf_window_create(pf_writer *w);
void pf_window_destroy(pf_writer *w);
void pf_window_flush(pf_writer *w);

/* Text of a trace as a field: valid UTF-8 and of bounded length. */
uint8_t *pf_text(uint8_t *at, uint32_t field, tsm_text text);
#define PF_TEXT_MAX ((size_t)64 << 10)

/* Begins a packet: where its fields go. At most 256 KiB fit. */
static inline uint8_t *
pf_packet_begin(pf_writer *w)
{
    if (w->at >= w->flush_at) {
        pf_window_flush(w);
    }
    uint8_t *at = tsm_pb_begin(w->at, PF_TRACE_PACKET);
    return tsm_pb_uint(at, PF_PACKET_SEQUENCE, 1);
}

static inline uint8_t *
pf_packet_begin_at(pf_writer *w, uint64_t timestamp)
{
    uint8_t *at = tsm_pb_uint(pf_packet_begin(w), PF_PACKET_TIMESTAMP, timestamp - w->now);
    w->now = timestamp;
    return at;
}

static inline void
pf_packet_end(pf_writer *w, uint8_t *at)
{
    w->at = tsm_pb_end(w->at + 2, at);
}

/* Time as Perfetto can hold it. */
#define PF_TIME_MAX ((uint64_t)INT64_MAX)

static inline uint64_t
pf_begin_ns(const tsm_event *event)
{
    return event->timestamp < PF_TIME_MAX ? event->timestamp : PF_TIME_MAX;
}

static inline uint64_t
pf_end_ns(const tsm_event *event)
{
    uint64_t begin = pf_begin_ns(event);
    return event->duration < PF_TIME_MAX - begin ? begin + event->duration : PF_TIME_MAX;
}

/* ---- perfetto_order.c: events in the order in which slices nest; perfetto.c: one of them */

void pf_write_batch(pf_writer *w, const tsm_batch *batch);
/* What was kept back because the next batch may begin at the same time. */
void pf_write_held(pf_writer *w);
void pf_write_item(pf_writer *w, const pf_item *item);

/* ---- perfetto_map.c */

/* After tables may have grown. */
void pf_count_rows(pf_writer *w);
/* False: out of memory, and the writer has failed. */
bool pf_rows_set(pf_writer *w, pf_rows *rows, uint32_t row, uint32_t id);
uint32_t pf_map_get(const pf_map *map, uint64_t a, uint64_t b); /* 0: none */
bool pf_map_set(pf_writer *w, pf_map *map, uint64_t a, uint64_t b, uint32_t value);

/* ---- perfetto_intern.c: numbers for what repeats, made known when new */

uint32_t pf_intern_new(pf_writer *w, unsigned space, uint32_t string);
uint32_t pf_word(pf_writer *w, unsigned space, unsigned word);
uint32_t pf_type_name_new(pf_writer *w, unsigned space, uint16_t type);
uint32_t pf_stack(pf_writer *w, uint32_t stack); /* not 0 */

static inline uint32_t
pf_type_name(pf_writer *w, unsigned space, uint16_t type)
{
    type = type > TSM_EVENT_CUSTOM ? TSM_EVENT_UNKNOWN : type;
    uint32_t id = w->spaces[space].types[type];
    return id != 0 ? id : pf_type_name_new(w, space, type);
}

static inline uint32_t
pf_intern(pf_writer *w, unsigned space, uint32_t string)
{
    uint32_t id = pf_rows_get(&w->spaces[space].rows, string);
    return id != 0 ? id : pf_intern_new(w, space, string);
}

/* The row if the table has it, else 0. */
static inline uint32_t
pf_known(const pf_writer *w, unsigned table, uint64_t row)
{
    return row < w->counts[table] ? (uint32_t)row : 0;
}

tsm_text pf_string(const pf_writer *w, uint64_t string);
const uint64_t *pf_row(const pf_writer *w, unsigned table, uint64_t row);

/* ---- perfetto_tracks.c: who there is */

uint32_t pf_thread_lane_new(pf_writer *w, uint32_t thread);

static inline uint32_t
pf_thread_lane(pf_writer *w, uint32_t thread)
{
    uint32_t lane = pf_rows_get(&w->threads, thread);
    return lane != 0 ? lane : pf_thread_lane_new(w, thread);
}

uint32_t pf_range_lane(pf_writer *w, uint32_t thread);
/* From here on, events that name no track are on this one. */
void pf_make_default(pf_writer *w, uint64_t uuid);
uint32_t pf_sibling_lane(pf_writer *w, uint32_t lane);
/* The pid under which Perfetto knows a process. */
uint64_t pf_process_pid(pf_writer *w, uint32_t process);
uint64_t pf_counter_track(pf_writer *w, const tsm_event *event);
/* bytes in use on the event's device */
uint64_t pf_memory_track(pf_writer *w, const tsm_event *event);

/* ---- perfetto_gpu.c: which devices there are */

void pf_describe_devices(pf_writer *w);
uint32_t pf_gpu_id(pf_writer *w, uint32_t device);
uint32_t pf_device_of(const pf_writer *w, const tsm_event *event);
enum { PF_API_NONE, PF_API_GL, PF_API_VULKAN, PF_API_OPENCL, PF_API_CUDA, PF_API_HIP };
unsigned pf_device_api(const pf_writer *w, uint32_t device);
/* Which vendor's call a name is. */
unsigned pf_call_api(pf_writer *w, uint32_t name);

/* ---- perfetto_kinds.c: what device work of one kind shares */

const pf_kind *pf_find_kind(pf_writer *w, const tsm_event *event);

/* ---- perfetto_args.c: w->arguments and w->flows of an item */

/* launched: the event id that the slice tells of as well, or 0 */
void pf_prepare_annotations(pf_writer *w, const pf_item *item, uint64_t launched);
void pf_prepare_compute_args(pf_writer *w, const pf_item *item, uint64_t event_id);
void pf_prepare_flows(pf_writer *w, const pf_item *item);
/* Whose arguments: the field that they have there. */
enum { PF_LAUNCH_ARGS = 3, PF_SLICE_ARGS = 4, PF_KERNEL_ARGS = 5 };
void pf_begin_args(pf_writer *w, uint32_t field);
void pf_put_word(pf_writer *w, unsigned word, uint64_t value);
void pf_put_metadata(pf_writer *w, uint64_t metadata);
/* The value that the item's allocation record holds. */
bool pf_in_use(pf_writer *w, const pf_item *item, uint64_t *bytes);

/* ---- perfetto_device.c, perfetto_host.c: one event; false: it has no form */

bool pf_write_device(pf_writer *w, const pf_item *item);
void pf_end_pairs(pf_writer *w);
bool pf_write_host(pf_writer *w, const pf_item *item);
/* Ends all slices that end until then. */
void pf_end_slices(pf_writer *w, uint64_t until);
/* The number by which a call names the device work that it launched; 0: it names none. */
uint64_t pf_event_id(pf_writer *w, uint32_t process, uint64_t correlation);

#endif
