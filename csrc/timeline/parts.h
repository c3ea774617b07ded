/* What the files of this room share. Private to timeline/. */
#ifndef TSM_TIMELINE_PARTS_H
#define TSM_TIMELINE_PARTS_H

#include "timeline/timeline.h"

struct tsm_timeline {
    tsm_batch batch;
    tsm_span *spans;
    size_t span_count;
    tsm_track *tracks;
    size_t track_count, stream_tracks;     /* streams come first */
    uint32_t *stream_track, *thread_track; /* by row */
    uint32_t *by_device;                   /* the tracks of streams by (device, track) */
    uint32_t stream_rows, thread_rows;
    uint32_t *call_rows; /* by span */
    tsm_call *calls;
    size_t call_count;
    uint32_t *operations;
    size_t operation_count;
    tsm_timeline_facts facts;
    uint32_t process_rows;
    bool has_halves; /* something that comes as two events may be there */
};

/* One end of a launch: a call, or an operation. */
typedef struct {
    uint64_t correlation, begin_ns;
    uint32_t process;
    uint32_t span;
} tsm_launch_end;

typedef struct {
    tsm_launch_end *items;
    size_t count, capacity;
} tsm_launch_ends;

/* Counts events by track, makes the tracks in their order, and puts every event as a span where
 * it belongs, in the order of the batch. */
TSM_NODISCARD tsm_status tsm_tracks_make(tsm_timeline *timeline, const tsm_tables *tables);

/* By (begin, -end), stably. Nearly sorted costs about one pass. */
TSM_NODISCARD tsm_status tsm_spans_sort(tsm_span *spans, size_t count);

/* Joins the halves among a track's sorted spans, in place; how many spans are left. */
TSM_NODISCARD tsm_status tsm_spans_join(tsm_timeline *timeline, tsm_span *spans, size_t count, size_t *left);

/* Fills depth, parent and track of spans, and in the track what follows from them; notes the
 * calls of a thread, or the work of a stream. */
TSM_NODISCARD tsm_status tsm_track_nest(tsm_timeline *timeline, const tsm_tables *tables, tsm_track *track,
                                        tsm_launch_ends *ends);

/* False: out of memory. number: the span's. */
bool tsm_launch_ends_add(tsm_launch_ends *ends, const tsm_span *span, uint32_t number, uint32_t process);
/* Makes calls, operations and call_rows out of what was noted, of which calls is used up. */
TSM_NODISCARD tsm_status tsm_launches_match(tsm_timeline *timeline, tsm_launch_ends *calls,
                                            const tsm_launch_ends *work);

/* Until a span is nested, its parent and track hold its event's correlation: so that goes along
 * when spans are sorted, and the event need not be looked at again. */
static inline void
tsm_span_keep(tsm_span *span, uint64_t correlation)
{
    span->parent = (uint32_t)correlation;
    span->track = (uint32_t)(correlation >> 32);
}

static inline uint64_t
tsm_span_kept(const tsm_span *span)
{
    return span->parent | (uint64_t)span->track << 32;
}

static inline bool
tsm_type_is_sync(uint16_t type)
{
    return type == TSM_EVENT_STREAM_SYNC || type == TSM_EVENT_DEVICE_SYNC || type == TSM_EVENT_EVENT_SYNC;
}

/* Host events that are calls into a driver, and so may have launched what has their correlation. */
static inline bool
tsm_type_is_call(uint16_t type)
{
    return (type >= TSM_EVENT_STREAM_SYNC && type <= TSM_EVENT_MEM_FREE) || type == TSM_EVENT_EVENT_WAIT
           || type == TSM_EVENT_RUNTIME_CALL;
}

/* The order of spans in a track. */
static inline bool
tsm_span_before(const tsm_span *a, const tsm_span *b)
{
    return a->begin_ns < b->begin_ns || (a->begin_ns == b->begin_ns && a->end_ns > b->end_ns);
}

#endif
