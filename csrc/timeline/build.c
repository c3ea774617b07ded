/* The timeline from end to end, and looking things up in it. */
#include <stdlib.h>
#include <string.h>

#include "timeline/parts.h"

/* Puts a track in order and behind the one before it, which joining may have made shorter. */
static tsm_status
order_track(tsm_timeline *t, tsm_track *track, uint32_t first)
{
    tsm_span *spans = t->spans + track->first;
    size_t count = track->count;
    tsm_status status = tsm_spans_sort(spans, count);
    if (status == TSM_OK && t->has_halves) {
        status = tsm_spans_join(t, spans, count, &count);
    }
    if (status == TSM_OK && first != track->first) {
        memmove(t->spans + first, spans, count * sizeof *spans);
    }
    track->first = first;
    track->count = (uint32_t)count;
    return status;
}

static void
add_to_facts(tsm_timeline_facts *facts, const tsm_track *track)
{
    if (track->count == 0) {
        return;
    }
    facts->begin_ns = track->begin_ns < facts->begin_ns ? track->begin_ns : facts->begin_ns;
    facts->end_ns = track->end_ns > facts->end_ns ? track->end_ns : facts->end_ns;
    if (track->is_stream) {
        facts->device_begin_ns = track->begin_ns < facts->device_begin_ns ? track->begin_ns : facts->device_begin_ns;
        facts->device_end_ns = track->end_ns > facts->device_end_ns ? track->end_ns : facts->device_end_ns;
        facts->work += track->work;
    }
}

static tsm_status
finish_tracks(tsm_timeline *t, const tsm_tables *tables, tsm_launch_ends *calls, tsm_launch_ends *work)
{
    tsm_timeline_facts *facts = &t->facts;
    uint32_t first = 0;
    facts->begin_ns = facts->device_begin_ns = UINT64_MAX;
    for (size_t i = 0; i < t->track_count; i++) {
        tsm_track *track = &t->tracks[i];
        tsm_status status = order_track(t, track, first);
        if (status == TSM_OK) {
            status = tsm_track_nest(t, tables, track, track->is_stream ? work : calls);
        }
        if (status != TSM_OK) {
            return status;
        }
        first += track->count;
        add_to_facts(facts, track);
    }
    t->span_count = first;
    facts->begin_ns = facts->begin_ns == UINT64_MAX ? 0 : facts->begin_ns;
    facts->device_begin_ns = facts->device_begin_ns == UINT64_MAX ? 0 : facts->device_begin_ns;
    return TSM_OK;
}

static tsm_status
build(tsm_timeline *t, const tsm_tables *tables)
{
    tsm_launch_ends calls = { 0 }, work = { 0 };
    tsm_status status = tsm_tracks_make(t, tables);
    if (status == TSM_OK) {
        status = finish_tracks(t, tables, &calls, &work);
    }
    if (status == TSM_OK) {
        status = tsm_launches_match(t, &calls, &work);
    }
    free(calls.items);
    free(work.items);
    return status;
}

tsm_status
tsm_timeline_build(const tsm_batch *batch, const tsm_tables *tables, tsm_timeline **out)
{
    if (batch->count >= TSM_SPAN_NONE) {
        return TSM_E_LIMIT;
    }
    tsm_timeline *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return TSM_E_NOMEM;
    }
    t->batch = *batch;
    tsm_status status = build(t, tables);
    if (status != TSM_OK) {
        tsm_timeline_destroy(t);
        return status;
    }
    *out = t;
    return TSM_OK;
}

void
tsm_timeline_destroy(tsm_timeline *t)
{
    if (t == NULL) {
        return;
    }
    free(t->spans);
    free(t->tracks);
    free(t->stream_track);
    free(t->thread_track);
    free(t->by_device);
    free(t->call_rows);
    free(t->calls);
    free(t->operations);
    free(t);
}

/* ---- Looking things up ------------------------------------------------------------------------ */

const tsm_span *
tsm_timeline_spans(const tsm_timeline *t, size_t *count)
{
    *count = t->span_count;
    return t->spans;
}

const tsm_track *
tsm_timeline_tracks(const tsm_timeline *t, size_t *count)
{
    *count = t->track_count;
    return t->tracks;
}

const tsm_timeline_facts *
tsm_timeline_get_facts(const tsm_timeline *t)
{
    return &t->facts;
}

const tsm_batch *
tsm_timeline_batch(const tsm_timeline *t)
{
    return &t->batch;
}

uint32_t
tsm_timeline_stream_track(const tsm_timeline *t, uint32_t row)
{
    return row < t->stream_rows ? t->stream_track[row] : TSM_SPAN_NONE;
}

uint32_t
tsm_timeline_thread_track(const tsm_timeline *t, uint32_t row)
{
    return row < t->thread_rows ? t->thread_track[row] : TSM_SPAN_NONE;
}

uint32_t
tsm_timeline_begins(const tsm_timeline *t, uint32_t track, uint64_t time)
{
    uint32_t low = t->tracks[track].first, count = t->tracks[track].count;
    while (count > 0) {
        uint32_t half = count / 2;
        if (t->spans[low + half].begin_ns < time) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

const tsm_call *
tsm_timeline_calls(const tsm_timeline *t, size_t *count)
{
    *count = t->call_count;
    return t->calls;
}

const uint32_t *
tsm_timeline_operations(const tsm_timeline *t, size_t *count)
{
    *count = t->operation_count;
    return t->operations;
}

const uint32_t *
tsm_timeline_call_rows(const tsm_timeline *t)
{
    return t->call_rows;
}

uint32_t
tsm_timeline_launch_of(const tsm_timeline *t, uint32_t span)
{
    uint32_t row = t->call_rows[span];
    return row == TSM_SPAN_NONE || t->calls[row].span == span ? TSM_SPAN_NONE : t->calls[row].span;
}
