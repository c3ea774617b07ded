/* From events to tracks: two passes over the events, the first of which counts. Every event has a
 * slot: its row of streams, or behind those its row of threads. */
#include <stdlib.h>
#include <string.h>

#include "timeline/parts.h"

#define PREFETCH 24 /* events: the array is read in order, but 64 bytes at a time want asking early */

typedef struct {
    uint32_t streams, threads; /* rows that the tables have */
    uint32_t *next;            /* by slot: how many, then where the next one goes */
} slots;

/* A row that the tables do not have is row 0, which is no stream. */
static inline uint32_t
slot_of(const slots *s, const tsm_event *event)
{
    if (tsm_event_on_stream(event) && event->stream < s->streams) {
        return event->stream;
    }
    return s->streams + (event->thread < s->threads ? event->thread : 0);
}

/* Types seen; a kernel's end without extent counts as a type of its own, which no event has. */
#define SEEN_KERNEL_END (1u << TSM_EVENT_UNKNOWN)
#define SEEN_HALVES                                                                                         \
    (SEEN_KERNEL_END | 1u << TSM_EVENT_RANGE_START | 1u << TSM_EVENT_RANGE_END | 1u << TSM_EVENT_NCCL_START \
     | 1u << TSM_EVENT_NCCL_COMPLETE)

static uint32_t
count_events(const tsm_batch *batch, const slots *s)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const tsm_event *event = &batch->events[i];
        __builtin_prefetch(event + PREFETCH);
        if (event->type == TSM_EVENT_COUNTER) {
            continue;
        }
        s->next[slot_of(s, event)]++;
        seen |= event->type > TSM_EVENT_UNKNOWN && event->type < 32 ? 1u << event->type : 0;
        seen |= event->type == TSM_EVENT_KERNEL_COMPLETE && event->duration == 0 ? SEEN_KERNEL_END : 0;
    }
    return seen;
}

/* ---- The order of tracks --------------------------------------------------------------------- */

static tsm_track
describe(const slots *s, const tsm_tables *tables, uint32_t slot)
{
    tsm_track track = { .count = s->next[slot], .is_stream = slot < s->streams };
    track.row = slot < s->streams ? slot : slot - s->streams;
    if (track.is_stream) {
        const uint64_t *row = tsm_tables_borrow_row(tables, TSM_TABLE_STREAMS, track.row);
        track.process = (uint32_t)row[TSM_STREAM_PROCESS];
        track.device = (uint32_t)row[TSM_STREAM_DEVICE];
        track.raw_id = row[TSM_STREAM_RAW_ID];
    } else {
        const uint64_t *row = tsm_tables_borrow_row(tables, TSM_TABLE_THREADS, track.row);
        track.process = (uint32_t)row[TSM_THREAD_PROCESS];
        track.raw_id = row[TSM_THREAD_TID];
    }
    return track;
}

static int
compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int
compare_tracks(const void *left, const void *right)
{
    const tsm_track *a = left, *b = right;
    int order = b->is_stream - a->is_stream;
    order = order != 0 ? order : compare(a->process, b->process);
    order = order != 0 ? order : compare(a->device, b->device);
    order = order != 0 ? order : compare(a->raw_id, b->raw_id);
    return order != 0 ? order : compare(a->row, b->row);
}

static tsm_status
make_tracks(tsm_timeline *t, slots *s, const tsm_tables *tables)
{
    size_t used = 0;
    for (uint64_t slot = 0; slot < (uint64_t)s->streams + s->threads; slot++) {
        used += s->next[slot] > 0;
    }
    t->tracks = malloc((used + 1) * sizeof *t->tracks);
    if (t->tracks == NULL) {
        return TSM_E_NOMEM;
    }
    for (uint64_t slot = 0; slot < (uint64_t)s->streams + s->threads; slot++) {
        if (s->next[slot] > 0) {
            t->tracks[t->track_count++] = describe(s, tables, (uint32_t)slot);
        }
    }
    qsort(t->tracks, t->track_count, sizeof *t->tracks, compare_tracks);
    return TSM_OK;
}

/* Where each track's spans begin, and for each row its track. */
static void
place_tracks(tsm_timeline *t, slots *s)
{
    uint32_t first = 0;
    memset(t->stream_track, 0xff, (size_t)s->streams * sizeof *t->stream_track);
    memset(t->thread_track, 0xff, (size_t)s->threads * sizeof *t->thread_track);
    for (uint32_t i = 0; i < t->track_count; i++) {
        tsm_track *track = &t->tracks[i];
        track->first = first;
        first += track->count;
        t->stream_tracks += track->is_stream;
        s->next[track->is_stream ? track->row : s->streams + track->row] = track->first;
        (track->is_stream ? t->stream_track : t->thread_track)[track->row] = i;
    }
    t->span_count = first;
}

typedef struct {
    uint32_t device, track;
} place;

static int
compare_places(const void *left, const void *right)
{
    const place *a = left, *b = right;
    int order = compare(a->device, b->device);
    return order != 0 ? order : compare(a->track, b->track);
}

/* Processes share devices, so in the order of tracks a device's streams lie apart. */
static tsm_status
order_by_device(tsm_timeline *t)
{
    place *places = malloc((t->stream_tracks + 1) * sizeof *places);
    t->by_device = malloc((t->stream_tracks + 1) * sizeof *t->by_device);
    if (places == NULL || t->by_device == NULL) {
        free(places);
        return TSM_E_NOMEM;
    }
    for (uint32_t i = 0; i < t->stream_tracks; i++) {
        places[i] = (place){ t->tracks[i].device, i };
    }
    qsort(places, t->stream_tracks, sizeof *places, compare_places);
    for (size_t i = 0; i < t->stream_tracks; i++) {
        t->by_device[i] = places[i].track;
    }
    free(places);
    return TSM_OK;
}

/* ---- Events to spans -------------------------------------------------------------------------- */

static uint64_t
scatter(tsm_timeline *t, const slots *s)
{
    const tsm_batch *batch = &t->batch;
    uint64_t overflowing = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const tsm_event *event = &batch->events[i];
        __builtin_prefetch(event + PREFETCH);
        if (event->type == TSM_EVENT_COUNTER) {
            continue;
        }
        uint64_t end = event->timestamp + event->duration;
        if (end < event->timestamp) {
            overflowing++;
            end = event->timestamp;
        }
        tsm_span *span = &t->spans[s->next[slot_of(s, event)]++];
        *span = (tsm_span){ .begin_ns = event->timestamp, .end_ns = end, .event = (uint32_t)i, .type = event->type };
        tsm_span_keep(span, event->correlation);
    }
    return overflowing;
}

static tsm_status
allocate(tsm_timeline *t, slots *s)
{
    size_t rows = (size_t)s->streams + s->threads;
    s->next = calloc(rows, sizeof *s->next);
    t->stream_track = malloc(s->streams * sizeof *t->stream_track);
    t->thread_track = malloc(s->threads * sizeof *t->thread_track);
    return s->next == NULL || t->stream_track == NULL || t->thread_track == NULL ? TSM_E_NOMEM : TSM_OK;
}

static tsm_status
allocate_spans(tsm_timeline *t)
{
    t->spans = malloc((t->span_count + 1) * sizeof *t->spans);
    return t->spans == NULL ? TSM_E_NOMEM : TSM_OK;
}

tsm_status
tsm_tracks_make(tsm_timeline *t, const tsm_tables *tables)
{
    slots s = { .streams = tsm_tables_count(tables, TSM_TABLE_STREAMS),
                .threads = tsm_tables_count(tables, TSM_TABLE_THREADS) };
    t->stream_rows = s.streams;
    t->thread_rows = s.threads;
    t->process_rows = tsm_tables_count(tables, TSM_TABLE_PROCESSES);
    tsm_status status = allocate(t, &s);
    if (status == TSM_OK) {
        t->has_halves = (count_events(&t->batch, &s) & SEEN_HALVES) != 0;
        status = make_tracks(t, &s, tables);
    }
    if (status == TSM_OK) {
        place_tracks(t, &s);
        status = order_by_device(t);
    }
    if (status == TSM_OK) {
        status = allocate_spans(t);
    }
    if (status == TSM_OK) {
        t->facts.overflowing = scatter(t, &s);
    }
    free(s.next);
    return status;
}
