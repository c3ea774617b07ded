/* Who holds whom on a thread, and lanes on a stream. One pass over sorted spans. */
#include <stdlib.h>

#include "base/array.h"
#include "timeline/heap.h"
#include "timeline/parts.h"

static uint16_t
clamp_depth(size_t depth)
{
    return depth > UINT16_MAX ? UINT16_MAX : (uint16_t)depth;
}

static void
note_depth(tsm_track *track, size_t depth)
{
    if (depth >= track->depth) {
        track->depth = clamp_depth(depth + 1);
    }
}

/* Length of a union whose parts come by begin: what each adds beyond what is covered. */
static inline uint64_t
cover(uint64_t *covered, const tsm_span *span)
{
    uint64_t from = span->begin_ns > *covered ? span->begin_ns : *covered;
    if (span->end_ns <= from) {
        return 0;
    }
    *covered = span->end_ns;
    return span->end_ns - from;
}

/* A row that the tables do not have is row 0. */
static uint32_t
known_process(const tsm_timeline *t, uint64_t process)
{
    return process < t->process_rows ? (uint32_t)process : 0;
}

/* ---- Threads ---------------------------------------------------------------------------------- */

/* A span that does not fit into the innermost one closes it: so each is popped once, and what is
 * open always nests. */
static tsm_status
nest(tsm_timeline *t, tsm_track *track, tsm_launch_ends *calls)
{
    uint32_t process = known_process(t, track->process);
    uint32_t *open = NULL;
    size_t depth = 0, capacity = 0;
    uint64_t covered = 0;
    for (uint32_t i = track->first; i < track->first + track->count; i++) {
        tsm_span *span = &t->spans[i];
        bool straddles = false;
        while (depth > 0 && t->spans[open[depth - 1]].end_ns < span->end_ns) {
            straddles |= t->spans[open[--depth]].end_ns > span->begin_ns;
        }
        while (depth > 0 && t->spans[open[depth - 1]].end_ns <= span->begin_ns) {
            depth--;
        }
        bool call = tsm_type_is_call(span->type) && tsm_span_kept(span) != 0;
        if (!tsm_array_reserve(&open, &capacity, depth + 1)
            || (call && !tsm_launch_ends_add(calls, span, i, process))) {
            free(open);
            return TSM_E_NOMEM;
        }
        track->straddling += straddles;
        span->track = (uint32_t)(track - t->tracks);
        span->parent = depth > 0 ? open[depth - 1] : TSM_SPAN_NONE;
        span->depth = clamp_depth(depth);
        note_depth(track, depth);
        track->busy_ns += cover(&covered, span);
        open[depth++] = i;
    }
    free(open);
    return TSM_OK;
}

/* ---- Streams ---------------------------------------------------------------------------------- */

typedef struct {
    tsm_heap busy; /* lanes by the end of what is on them */
    tsm_heap idle; /* lanes that were used and are free */
    uint32_t count;
} lanes;

static bool
take_lane(lanes *l, const tsm_span *span, uint32_t *lane)
{
    while (l->busy.count > 0 && l->busy.items[0].key <= span->begin_ns) {
        uint32_t freed = tsm_heap_pop(&l->busy).owner;
        if (!tsm_heap_push(&l->idle, freed, freed)) {
            return false;
        }
    }
    *lane = l->idle.count > 0 ? tsm_heap_pop(&l->idle).owner : l->count++;
    return tsm_heap_push(&l->busy, span->end_ns, *lane);
}

static void
free_lanes(lanes *l)
{
    free(l->busy.items);
    free(l->idle.items);
}

/* Whose correlation an operation has: its stream's process, or its thread's where that is not
 * known; 0 when neither is. */
static uint32_t
process_of(const tsm_timeline *t, const tsm_tables *tables, const tsm_track *track, const tsm_span *span)
{
    uint32_t process = known_process(t, track->process);
    if (process != 0) {
        return process;
    }
    uint32_t thread = t->batch.events[span->event].thread;
    return known_process(t, tsm_tables_borrow_row(tables, TSM_TABLE_THREADS, thread)[TSM_THREAD_PROCESS]);
}

static tsm_status
spread(tsm_timeline *t, const tsm_tables *tables, tsm_track *track, tsm_launch_ends *ends)
{
    lanes work = { 0 }, other = { 0 };
    uint64_t covered = 0;
    tsm_status status = TSM_OK;
    for (uint32_t i = track->first; i < track->first + track->count; i++) {
        tsm_span *span = &t->spans[i];
        uint32_t lane;
        bool works = tsm_event_is_work(span->type);
        if (!take_lane(works ? &work : &other, span, &lane)
            || (works && tsm_span_kept(span) != 0
                && !tsm_launch_ends_add(ends, span, i, process_of(t, tables, track, span)))) {
            status = TSM_E_NOMEM;
            break;
        }
        span->parent = TSM_SPAN_NONE;
        span->track = (uint32_t)(track - t->tracks);
        span->depth = clamp_depth(lane);
        note_depth(track, lane);
        track->work += works;
        track->busy_ns += works ? cover(&covered, span) : 0;
    }
    free_lanes(&work);
    free_lanes(&other);
    return status;
}

static void
bound(const tsm_timeline *t, tsm_track *track)
{
    track->begin_ns = t->spans[track->first].begin_ns;
    for (uint32_t i = track->first; i < track->first + track->count; i++) {
        if (t->spans[i].end_ns > track->end_ns) {
            track->end_ns = t->spans[i].end_ns;
        }
    }
}

tsm_status
tsm_track_nest(tsm_timeline *t, const tsm_tables *tables, tsm_track *track, tsm_launch_ends *ends)
{
    if (track->count == 0) {
        return TSM_OK;
    }
    bound(t, track);
    return track->is_stream ? spread(t, tables, track, ends) : nest(t, track, ends);
}
