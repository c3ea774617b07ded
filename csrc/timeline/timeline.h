/* What happened when. A timeline is made of an array of events in memory: its spans lie side by
 * side, grouped by track (one stream, or one thread) and in time order inside each. From it follow
 * utilisation and concurrency (a sweep), the state of each stream, and what depended on what.
 *
 * Times are ns; an interval [begin, end) holds its begin and not its end. Spans are named by their
 * index. Nothing here changes the events, which must stay where they are as long as the timeline.
 * A timeline takes 36 bytes per event, 4 more per operation and 8 per call; while it is built, 28
 * more per operation and call, and 32 per event of a track that is out of order. */
#ifndef TSM_TIMELINE_TIMELINE_H
#define TSM_TIMELINE_TIMELINE_H

#include <stdbool.h>

#include "trace/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TSM_SPAN_NONE UINT32_MAX

/* ---- Spans and tracks ----------------------------------------------------------------------- */

typedef struct {
    uint64_t begin_ns, end_ns;
    uint32_t event;  /* index in the batch; of two that were joined, the begin */
    uint32_t parent; /* the innermost span of its thread that holds it, or TSM_SPAN_NONE */
    uint32_t track;
    uint16_t type;  /* tsm_event_type; Range, Communication or KernelLaunch where two were joined */
    uint16_t depth; /* thread: how many spans hold it. Stream: its lane, the lowest that was free;
                     * work and what else lies on a stream have lanes of their own. At most 65535 */
} tsm_span;

typedef struct {
    uint64_t begin_ns, end_ns; /* of all its spans */
    uint64_t busy_ns;          /* union: of the work on a stream, of everything on a thread */
    uint64_t raw_id;           /* the stream as the driver numbers it, or the tid */
    uint32_t first, count;     /* spans */
    uint32_t work;             /* how many of them are device work */
    uint32_t row;              /* of streams or of threads; 0: events that name neither */
    uint32_t process, device;  /* rows; a thread has no device */
    uint32_t straddling;       /* spans that begin inside one of their thread and end after it */
    uint16_t depth;            /* deepest + 1 */
    uint16_t is_stream;
} tsm_track;

typedef struct {
    uint64_t begin_ns, end_ns;               /* of everything */
    uint64_t device_begin_ns, device_end_ns; /* of what lies on streams: the usual window */
    uint64_t work;                           /* device operations */
    uint64_t joined, unpaired;               /* pairs that became one span; halves left alone */
    uint64_t overflowing;                    /* ends beyond 2^64: taken as without extent */
    uint64_t orphans;                        /* work whose launch call is not there */
    uint64_t duplicates;                     /* calls whose correlation an earlier call had */
    uint64_t early;                          /* work that began before its launch call did */
} tsm_timeline_facts;

typedef struct tsm_timeline tsm_timeline;

/* Events in any order, at most 2^32 - 2 of them. tables are only looked at while this runs. */
TSM_NODISCARD tsm_status tsm_timeline_build(const tsm_batch *batch, const tsm_tables *tables, tsm_timeline **out);
void tsm_timeline_destroy(tsm_timeline *timeline); /* NULL is allowed */

/* All borrowed until the timeline is destroyed. Counters are not spans. Tracks: streams by
 * process, device and number, then threads by process and tid. */
const tsm_span *tsm_timeline_spans(const tsm_timeline *timeline, size_t *count);
const tsm_track *tsm_timeline_tracks(const tsm_timeline *timeline, size_t *count);
const tsm_timeline_facts *tsm_timeline_get_facts(const tsm_timeline *timeline);
const tsm_batch *tsm_timeline_batch(const tsm_timeline *timeline);

/* The track of a row of streams or threads, or TSM_SPAN_NONE when nothing lies on it. */
uint32_t tsm_timeline_stream_track(const tsm_timeline *timeline, uint32_t row);
uint32_t tsm_timeline_thread_track(const tsm_timeline *timeline, uint32_t row);

/* The first span of a track that ends after time (that begins at or after it, for
 * tsm_timeline_begins), as an index of spans; first + count when there is none. Spans that end
 * earlier may follow where they overlap. */
uint32_t tsm_timeline_begins(const tsm_timeline *timeline, uint32_t track, uint64_t time);

/* ---- Launches -------------------------------------------------------------------------------- */

/* A host event of a correlation; the operations that it launched are
 * operations[first .. call[1].first), in order of tracks. */
typedef struct {
    uint32_t span;
    uint32_t first;
} tsm_call;

/* count calls, and one behind the last that ends its operations. */
const tsm_call *tsm_timeline_calls(const tsm_timeline *timeline, size_t *count);
const uint32_t *tsm_timeline_operations(const tsm_timeline *timeline, size_t *count);
/* One per span: the row of calls that launched it or that it is, or TSM_SPAN_NONE. */
const uint32_t *tsm_timeline_call_rows(const tsm_timeline *timeline);

/* The span of the call that launched an operation, or TSM_SPAN_NONE. */
uint32_t tsm_timeline_launch_of(const tsm_timeline *timeline, uint32_t span);

/* ---- Utilisation and concurrency ------------------------------------------------------------ */

typedef struct {
    uint64_t begin_ns, end_ns; /* the window */
    uint64_t busy_ns;          /* of it, with at least one operation */
    uint64_t work_ns;          /* operations' durations inside it, added up */
    uint32_t max;              /* operations at once */
    uint64_t *level_ns;        /* max + 1 of them, which add up to the window: time at each number */
} tsm_concurrency;

/* The work of one row of devices, or of all (TSM_SPAN_NONE). begin == end: the usual window. */
TSM_NODISCARD tsm_status tsm_timeline_sweep(const tsm_timeline *timeline, uint32_t device, uint64_t begin_ns,
                                            uint64_t end_ns, tsm_concurrency *out);
void tsm_concurrency_free(tsm_concurrency *concurrency);

/* ---- For looking at -------------------------------------------------------------------------- */

/* X(NAME, name, number): what a span shows as. */
#define TSM_SPAN_CLASSES(X)            \
    X(OTHER, other, 0)                 \
    X(COMPUTE, compute, 1)             \
    X(COPY, copy, 2)                   \
    X(COMMUNICATION, communication, 3) \
    X(SYNC, sync, 4)                   \
    X(CALL, call, 5)                   \
    X(HOST, host, 6)

typedef enum {
#define X(name, text, number) TSM_CLASS_##name = number,
    TSM_SPAN_CLASSES(X)
#undef X
        TSM_CLASS_COUNT = 7,
} tsm_span_class;

tsm_span_class tsm_span_class_of(uint16_t type);

/* Cuts [begin, end) into columns of equal width (to a ns) and tells how long each class had each
 * of them on a track: out[column * TSM_CLASS_COUNT + class], ns. On a thread the innermost span
 * has the time; on a stream the classes are unions, each by itself. */
void tsm_timeline_columns(const tsm_timeline *timeline, uint32_t track, uint64_t begin_ns, uint64_t end_ns,
                          size_t columns, uint64_t *out);

/* ---- Dependencies ----------------------------------------------------------------------------- */

/* X(NAME, Name, number, from which point, to which point, what it says). 1 to 4 are the numbers
 * that users know. */
#define TSM_DEPENDENCY_KINDS(X)                                                              \
    X(SEQUENTIAL, Sequential, 1, END, BEGIN, "one after the other on a stream")              \
    X(SYNCHRONIZATION, Synchronization, 2, END, END, "the host waited for the operation")    \
    X(HOST_BARRIER, HostBarrier, 3, END, BEGIN, "launched after the host's wait had ended")  \
    X(MEMORY, Memory, 4, END, BEGIN, "reads what the copy wrote")                            \
    X(EVENT_WAIT, EventWait, 5, END, BEGIN, "the stream waited for a recorded event")        \
    X(COLLECTIVE, Collective, 6, BEGIN, END, "cannot end before the last partner has begun") \
    X(LAUNCH, Launch, 7, BEGIN, BEGIN, "the call launched the operation")

typedef enum {
#define X(name, python, number, from, to, text) TSM_DEPENDENCY_##name = number,
    TSM_DEPENDENCY_KINDS(X)
#undef X
        TSM_DEPENDENCY_LIMIT = 8,
} tsm_dependency_kind;

typedef enum {
    TSM_PROVENANCE_CAPTURED = 1, /* ids in the trace say so */
    TSM_PROVENANCE_IMPLIED = 2,  /* follows from what the calls mean */
    TSM_PROVENANCE_INFERRED = 3, /* concluded from times; may be wrong */
} tsm_provenance;

/* The point of 'to' that the kind names is not before the point of 'from'. All are spans. */
typedef struct {
    uint32_t from, to;
    uint32_t via; /* EventWait: the wait; a wait for an event: its record; else TSM_SPAN_NONE */
    uint16_t kind;
    uint16_t provenance;
} tsm_dependency;

typedef struct {
    uint64_t kinds[TSM_DEPENDENCY_LIMIT]; /* how many of each */
    uint64_t inferred;
    uint64_t contradicted;    /* the trace's own times say otherwise */
    uint64_t unmatched_waits; /* waits for events of which no record was seen */
} tsm_dependency_facts;

/* Sorted by 'to': the dependencies of span s are edges[first[s] .. first[s + 1]); its dependents
 * are edges[out[i]] for i in first_out[s] .. first_out[s + 1]. */
typedef struct tsm_dependencies {
    size_t span_count, edge_count;
    const tsm_dependency *edges;
    const uint32_t *first;
    const uint32_t *first_out, *out;
    tsm_dependency_facts facts;
} tsm_dependencies;

/* At most a handful of edges per operation and call. 8 bytes per span and 20 per edge, twice that
 * while it runs. tables: those that the timeline was built with. */
TSM_NODISCARD tsm_status tsm_dependencies_build(const tsm_timeline *timeline, tsm_tables *tables,
                                                tsm_dependencies **out);
void tsm_dependencies_destroy(tsm_dependencies *dependencies); /* NULL is allowed */

/* How much later the point of 'to' is than the point of 'from'; negative: contradicted. */
int64_t tsm_dependency_slack(const tsm_timeline *timeline, const tsm_dependency *edge);

/* A span on a circle of dependencies, or TSM_SPAN_NONE: there is none. */
TSM_NODISCARD tsm_status tsm_dependencies_find_cycle(const tsm_dependencies *dependencies, uint32_t *span);

/* ---- The state of each stream ------------------------------------------------------------------ */

/* X(NAME, Name, number): the numbers are those that users know. */
#define TSM_GPU_STATES(X)  \
    X(IDLE, Idle, 0)       \
    X(QUEUED, Queued, 1)   \
    X(RUNNING, Running, 2) \
    X(WAITING, Waiting, 3) \
    X(COMPLETE, Complete, 4)

/* Running: work runs. Waiting: it was told to wait for an event that has not happened. Queued: a
 * launch call has returned and its work has not begun. Complete: everything ended, and no wait of
 * the host has returned since. Idle: neither. An earlier word in this list goes before a later. */
typedef enum {
#define X(name, python, number) TSM_GPU_##name = number,
    TSM_GPU_STATES(X)
#undef X
        TSM_GPU_STATE_COUNT = 5,
} tsm_gpu_state;

typedef struct {
    uint64_t time_ns;
    uint64_t correlation; /* of cause */
    uint32_t cause;       /* span: the work that was launched, began or ended; the wait */
    uint16_t from, to;
} tsm_transition;

/* A stream starts Idle where the window begins. */
typedef struct {
    uint64_t time_ns[TSM_GPU_STATE_COUNT]; /* adds up to the window */
    uint32_t track;
    uint32_t reserved;
    uint64_t first, count; /* transitions */
} tsm_stream_states;

typedef struct {
    uint64_t begin_ns, end_ns;
    size_t stream_count, transition_count;
    const tsm_stream_states *streams; /* in order of tracks */
    const tsm_transition *transitions;
} tsm_states;

/* dependencies may be NULL: then nothing is known of waits. begin == end: the usual window. */
TSM_NODISCARD tsm_status tsm_states_build(const tsm_timeline *timeline, const tsm_dependencies *dependencies,
                                          uint64_t begin_ns, uint64_t end_ns, tsm_states **out);
void tsm_states_destroy(tsm_states *states); /* NULL is allowed */

/* The state from time on; Idle before the window. */
tsm_gpu_state tsm_states_at(const tsm_states *states, size_t stream, uint64_t time_ns);

#ifdef __cplusplus
}
#endif

#endif
