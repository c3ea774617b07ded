/* One trace on its way through: what is kept while events go by in the order of their begin.
 * Names, streams, threads and devices are rows of the trace's tables, so what is known of them lies
 * in arrays; what is found goes straight into records. Private to analysis/. */
#ifndef TSM_ANALYSIS_PASS_H
#define TSM_ANALYSIS_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/classify.h"
#include "analysis/map.h"
#include "analysis/records.h"
#include "base/status.h"
#include "trace/trace.h"

/* ---- Why a device was idle ------------------------------------------------------------------ */

/* X(NAME, id). In the order in which docs/analysis.md explains them. */
#define TSM_CAUSES(X)             \
    X(HOST_SYNC, "host-sync")     \
    X(HOST_ALLOC, "host-alloc")   \
    X(HOST_COPY, "host-transfer") \
    X(HOST_OP, "host-op")         \
    X(HOST_LAUNCH, "host-launch") \
    X(DEPENDENCY, "dependency")   \
    X(LATENCY, "launch-latency")  \
    X(PEER, "peer-wait")          \
    X(UNKNOWN, "unknown")

typedef enum {
#define X(name, id) TSM_CAUSE_##name,
    TSM_CAUSES(X)
#undef X
        TSM_CAUSE_COUNT,
} tsm_cause;

/* ---- Calls that launched something ---------------------------------------------------------- */

typedef struct {
    uint64_t correlation;
    uint64_t begin, end;
    uint32_t process, thread, name, stack, stream;
    uint32_t works;        /* device work of this call so far */
    uint32_t waits_stream; /* its stream was told to wait for something on this one; 0: it was not */
} tsm_call;

/* Two generations: when the young one is full it becomes the old one, which is forgotten. So it
 * reaches back at least TSM_CALLS_REACH calls, which is more than drivers let pile up. */
#define TSM_CALLS_REACH 131072u

typedef struct {
    tsm_call *calls;
    uint32_t *slots; /* index + 1; neighbours in correlation are neighbours here */
    uint32_t count;
} tsm_calls_generation;

typedef struct {
    tsm_calls_generation young, old;
} tsm_calls;

bool tsm_calls_add(tsm_calls *calls, const tsm_call *call);
/* Borrowed until the next add; NULL: not seen, or forgotten. */
tsm_call *tsm_calls_find(tsm_calls *calls, uint32_t process, uint64_t correlation);
void tsm_calls_free(tsm_calls *calls);

/* ---- What is known of the rows -------------------------------------------------------------- */

typedef struct {
    bool classified;
    tsm_name_class class;
    uint32_t text;          /* row + 1 in the records' strings; 0: not looked up */
    tsm_summary *durations; /* of the last launch configuration */
    uint32_t config_extra;
    tsm_record *kernel; /* and its last companions, which tend to come again */
    tsm_record *launch;
    uint32_t launch_call;
    tsm_record *stack_time;
    uint32_t stack_of;
    tsm_record *api;
    tsm_record *copy;
    uint32_t copy_type;
} tsm_name_state;

typedef struct {
    uint32_t device, process;
    uint32_t text;
    tsm_record *record;
    uint64_t cover;      /* up to where the stream is busy */
    uint32_t cover_name; /* with what */
    uint64_t before;     /* up to where it was busy before that, and with what */
    uint32_t before_name;
    uint32_t waits_stream; /* told to the next call: see tsm_call */
    bool on_list;          /* of its device's active streams */
} tsm_stream_state;

#define TSM_CHUNKS         128
#define TSM_ACTIVE_STREAMS 64

/* Equal pieces of time, whose length doubles when they run out. */
typedef struct {
    uint64_t base;
    uint32_t shift; /* a piece is 1 << shift long; 0: nothing yet */
    uint64_t values[TSM_CHUNKS];
} tsm_chunks;

/* Pairs of streams that were met before, by the low bits of their rows. */
#define TSM_NEAR_STREAMS 8

typedef struct {
    uint64_t streams; /* both rows; 0: none */
    tsm_record *record;
} tsm_near_pair;

typedef struct {
    uint32_t place; /* text */
    tsm_record *record, *memory;
    bool active;
    uint32_t process;
    uint32_t cover_name;
    uint64_t first;
    uint64_t cover, compute_cover, communication_cover, either_cover, memory_cover;
    uint64_t busy, compute, communication, either, in_memory;
    uint64_t exposed_from;  /* communication before this has been charged */
    tsm_record *collective; /* whose end communication_cover is */
    uint64_t *ends;         /* heap of what runs */
    size_t end_count, end_capacity;
    uint32_t streams[TSM_ACTIVE_STREAMS];
    uint32_t stream_count;
    tsm_near_pair pairs[TSM_NEAR_STREAMS][TSM_NEAR_STREAMS];
    tsm_record *causes[TSM_CAUSE_COUNT];
    tsm_chunks busy_chunks;
    uint64_t in_use;
    tsm_chunks memory_chunks; /* the most in use */
} tsm_device_state;

typedef enum { TSM_HOST_OPERATOR, TSM_HOST_CALL, TSM_HOST_WAIT, TSM_HOST_ALLOCATE, TSM_HOST_COPY } tsm_host_kind;

/* Something with an extent on a host thread. */
typedef struct {
    uint64_t begin, end;
    uint64_t parent; /* its number on the thread; UINT64_MAX: none */
    uint32_t name, stack;
    tsm_host_kind kind;
} tsm_host_span;

#define TSM_SPANS_FEWEST 256u
#define TSM_SPANS_MOST   65536u

typedef struct {
    uint32_t process;
    uint32_t text;
    uint32_t device;      /* the last it launched to */
    tsm_host_span *spans; /* number n at n & (capacity - 1) */
    uint64_t tail, head;  /* numbers from tail on are kept; a ring that grew has no more than before */
    size_t capacity;
    uint32_t depth;      /* ranges that have begun and not ended, and the outermost that is a step */
    uint32_t step_depth; /* 0: none */
    struct tsm_pending *step;
} tsm_thread_state;

typedef struct {
    bool known;
    int8_t address, in_use, bytes, ranks; /* which value; -1: none */
} tsm_schema_state;

/* Something that can only be told when time has passed its end. */
typedef struct tsm_pending {
    uint64_t end, begin;
    bool is_step;
    uint32_t name, stack, thread, stream, device;
    uint64_t busy, compute, either; /* a step: of the device at its begin */
} tsm_pending;

typedef struct {
    uint64_t begin, length, cause_ns;
    uint32_t place, cause, name, stack, stream, next, call; /* texts, but cause */
} tsm_gap;

#define TSM_GAPS_KEPT 64

typedef struct {
    uint64_t bytes, begin;
    uint32_t stack, name;
    uint32_t device;
} tsm_allocation;

typedef struct {
    tsm_event event;
    size_t from, extensions;
    bool begin, open; /* a begin; one whose end has not come */
} tsm_held_item;

typedef struct {
    tsm_held_item *items; /* from first on; number n of all that were ever held is at n - base */
    size_t first, count, capacity;
    uint64_t base;
    tsm_extension *extensions;
    size_t extension_count, extension_capacity;
    tsm_map begins; /* correlation and stream → number + 1 */
} tsm_held;

/* ---- The pass ------------------------------------------------------------------------------- */

typedef enum {
    TSM_HEALTH_NEGATIVE,
    TSM_HEALTH_ZERO,
    TSM_HEALTH_ORPHAN,
    TSM_HEALTH_BEFORE_CALL,
    TSM_HEALTH_DISORDER,
    TSM_HEALTH_LIMITED, /* a limit of the analysis was met: something is less exact */
    TSM_HEALTH_OPEN,    /* a begin without an end */
    TSM_HEALTH_COUNT,
} tsm_health;

typedef struct {
    tsm_records *records;
    const tsm_tables *tables;
    uint64_t window_begin, window_end;
    uint32_t label; /* text */
    tsm_name_state *names;
    tsm_stream_state *streams;
    tsm_device_state *devices;
    tsm_thread_state *threads;
    tsm_schema_state *schemas;
    uint32_t *stack_texts; /* + 1 */
    size_t names_room, streams_room, devices_room, threads_room, schemas_room, stacks_room;
    uint32_t name_count, stream_count, device_count, thread_count, schema_count, stack_count;
    tsm_calls calls;
    tsm_map cache;        /* records by rows of this trace */
    tsm_map recorded;     /* CUDA event → stream row + 1 */
    tsm_map live;         /* allocations */
    tsm_map orphans;      /* work whose call has not been seen: begin + 1 */
    tsm_pending *pending; /* heap by end */
    size_t pending_count, pending_capacity;
    tsm_gap gaps[TSM_GAPS_KEPT]; /* heap by length, least first */
    size_t gap_count;
    tsm_record *handover;
    tsm_held held;
    bool late; /* what is taken was a begin: it has not been counted with its batch */
    uint64_t now, events, begin, end;
    uint64_t health[TSM_HEALTH_COUNT];
    bool failed; /* out of memory */
} tsm_pass;

TSM_NODISCARD tsm_status tsm_pass_create(tsm_records *records, const char *label, uint64_t begin, uint64_t end,
                                         tsm_pass **out);
/* A batch of a cursor that gives time order. */
TSM_NODISCARD tsm_status tsm_pass_batch(tsm_pass *pass, const tsm_tables *tables, const tsm_batch *batch,
                                        tsm_error *err);
/* After the last batch: what was still under way goes into the records. */
TSM_NODISCARD tsm_status tsm_pass_end(tsm_pass *pass, tsm_tables *tables, tsm_error *err);
void tsm_pass_destroy(tsm_pass *pass); /* NULL is allowed */

/* ---- Its parts ------------------------------------------------------------------------------ */

/* A device event, its call if that is known, and what it does. */
typedef struct {
    const tsm_event *event;
    uint64_t begin, end; /* inside the window */
    uint64_t duration;   /* all of it */
    uint32_t name, stream, device;
    bool compute, communication;
    const tsm_call *call;
    bool of_graph;          /* not the first of its call */
    tsm_record *collective; /* NULL unless communication */
} tsm_work;

/* pass.c: one event, in order */
void tsm_pass_take(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t extension_count);

/* hold.c */
bool tsm_event_is_begin(const tsm_event *event);
bool tsm_event_is_end(const tsm_event *event);
void tsm_pass_hold(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t count);
void tsm_pass_hold_end(tsm_pass *pass);

/* texts.c: rows of the trace as texts of the records. */
void tsm_pass_classify(tsm_pass *pass, uint32_t row);
static inline tsm_name_state *
tsm_pass_name(tsm_pass *pass, uint32_t row)
{
    row = row < pass->name_count ? row : 0;
    if (!pass->names[row].classified) {
        tsm_pass_classify(pass, row);
    }
    return &pass->names[row];
}
uint32_t tsm_pass_name_text(tsm_pass *pass, uint32_t row);
uint32_t tsm_pass_stack_text(tsm_pass *pass, uint32_t row);
uint32_t tsm_pass_stream_text(tsm_pass *pass, uint32_t row);
uint32_t tsm_pass_thread_text(tsm_pass *pass, uint32_t row);
uint32_t tsm_pass_launch_text(tsm_pass *pass, uint32_t row);
uint32_t tsm_pass_place_text(tsm_pass *pass, uint32_t row);

/* grow.c: room for the rows that the tables have gained. */
bool tsm_pass_grow(tsm_pass *pass);

/* work.c, kernels.c */
static inline bool
tsm_event_is_kernel(uint16_t type)
{
    const uint32_t kernels = 1u << TSM_EVENT_KERNEL_LAUNCH | 1u << TSM_EVENT_KERNEL_COMPLETE
                             | 1u << TSM_EVENT_COMMUNICATION | 1u << TSM_EVENT_NCCL_START
                             | 1u << TSM_EVENT_NCCL_COMPLETE;
    return type < 32 && (kernels >> type & 1) != 0;
}
void tsm_pass_work(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t extension_count);
void tsm_kernels_count(tsm_pass *pass, const tsm_batch *batch); /* durations, by launch configuration */
void tsm_work_count(tsm_pass *pass, const tsm_work *work);      /* all else */
tsm_record *tsm_work_collective(tsm_pass *pass, const tsm_work *work, const tsm_extension *extensions, size_t count);
void tsm_call_missed(tsm_pass *pass, const tsm_call *call); /* a call that came after its work */

/* device.c */
void tsm_device_work(tsm_pass *pass, const tsm_work *work);
void tsm_device_charge_exposed(tsm_device_state *device, uint64_t until);
void tsm_device_end(tsm_pass *pass, uint32_t row);
/* How much of a union had passed at time, which is not before the last work's begin. */
static inline uint64_t
tsm_union_at(uint64_t total, uint64_t cover, uint64_t time)
{
    return cover > time ? total - (cover - time) : total;
}

/* chunks.c */
void tsm_chunks_spread(tsm_chunks *chunks, uint64_t begin, uint64_t end);
static inline void
tsm_chunks_add(tsm_chunks *chunks, uint64_t begin, uint64_t end)
{
    uint64_t at = (begin - chunks->base) >> chunks->shift;
    if (chunks->shift != 0 && at < TSM_CHUNKS && (end - 1 - chunks->base) >> chunks->shift == at && end > begin) {
        chunks->values[at] += end - begin;
    } else {
        tsm_chunks_spread(chunks, begin, end);
    }
}
void tsm_chunks_raise(tsm_chunks *chunks, uint64_t time, uint64_t value);

/* gaps.c */
void tsm_gap_explain(tsm_pass *pass, tsm_device_state *device, uint64_t begin, uint64_t end, const tsm_work *next);
void tsm_gaps_end(tsm_pass *pass);

/* host.c */
void tsm_pass_host(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t extension_count);
/* NULL when that number is no longer kept. */
const tsm_host_span *tsm_thread_span(const tsm_thread_state *thread, uint64_t number);

/* pending.c */
void tsm_pending_add(tsm_pass *pass, const tsm_pending *pending);
void tsm_pending_settle(tsm_pass *pass, uint64_t until); /* those that end at or before */

/* memory.c */
void tsm_pass_memory(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t count);
void tsm_memory_end(tsm_pass *pass);

/* schemas.c */
const tsm_schema_state *tsm_pass_schema(tsm_pass *pass, uint32_t row);
/* A value of the first extension whose schema has it; which: its offset in tsm_schema_state. */
bool tsm_pass_value(tsm_pass *pass, const tsm_extension *extensions, size_t count, size_t which, uint64_t *value);

/* Never NULL while memory lasts. */
#define TSM_OR_RETURN(record) \
    if ((record) == NULL) {   \
        return;               \
    }

#endif
