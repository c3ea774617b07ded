/* How much of a device's time was busy, and how many operations ran at once: a sweep over the
 * work of all its streams by begin, with the ends of what runs in a heap. */
#include <stdlib.h>

#include "base/array.h"
#include "timeline/heap.h"
#include "timeline/parts.h"

typedef struct {
    const tsm_timeline *timeline;
    tsm_heap streams; /* tracks by the begin of their next work */
    tsm_heap ends;
    uint32_t *next; /* by track: its next work */
    size_t level_capacity;
    uint64_t now;
    tsm_concurrency *out;
} sweep;

/* The next work of a track at or behind a span. */
static uint32_t
next_work(const tsm_timeline *t, uint32_t track, uint32_t span)
{
    uint32_t end = t->tracks[track].first + t->tracks[track].count;
    while (span < end && !tsm_event_is_work(t->spans[span].type)) {
        span++;
    }
    return span;
}

/* The first place in by_device whose device is not below this one. */
static size_t
lower_device(const tsm_timeline *t, uint64_t device)
{
    size_t low = 0, count = t->stream_tracks;
    while (count > 0) {
        size_t half = count / 2;
        if (t->tracks[t->by_device[low + half]].device < device) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

static bool
start(sweep *s, uint32_t device)
{
    const tsm_timeline *t = s->timeline;
    size_t first = device == TSM_SPAN_NONE ? 0 : lower_device(t, device);
    size_t end = device == TSM_SPAN_NONE ? t->stream_tracks : lower_device(t, (uint64_t)device + 1);
    s->next = malloc((t->stream_tracks + 1) * sizeof *s->next);
    if (s->next == NULL) {
        return false;
    }
    for (size_t i = first; i < end; i++) {
        uint32_t track = t->by_device[i];
        if (t->tracks[track].work == 0) {
            continue;
        }
        s->next[track] = next_work(t, track, t->tracks[track].first);
        if (!tsm_heap_push(&s->streams, t->spans[s->next[track]].begin_ns, track)) {
            return false;
        }
    }
    return true;
}

/* The work that begins next, over all streams. */
static const tsm_span *
take(sweep *s)
{
    const tsm_timeline *t = s->timeline;
    uint32_t track = s->streams.items[0].owner, span = s->next[track];
    uint32_t next = s->next[track] = next_work(t, track, span + 1);
    if (next < t->tracks[track].first + t->tracks[track].count) {
        tsm_heap_replace(&s->streams, t->spans[next].begin_ns, track);
    } else {
        (void)tsm_heap_pop(&s->streams);
    }
    return &t->spans[span];
}

static void
pass(sweep *s, uint64_t until)
{
    s->out->level_ns[s->ends.count] += until - s->now;
    s->now = until;
}

static void
end_until(sweep *s, uint64_t time)
{
    while (s->ends.count > 0 && s->ends.items[0].key <= time) {
        pass(s, s->ends.items[0].key);
        (void)tsm_heap_pop(&s->ends);
    }
}

static bool
add(sweep *s, const tsm_span *span)
{
    tsm_concurrency *out = s->out;
    uint64_t begin = span->begin_ns > out->begin_ns ? span->begin_ns : out->begin_ns;
    uint64_t end = span->end_ns < out->end_ns ? span->end_ns : out->end_ns;
    if (end <= begin) {
        return true;
    }
    end_until(s, begin);
    pass(s, begin);
    if (!tsm_heap_push(&s->ends, end, 0)) {
        return false;
    }
    if (s->ends.count > out->max) {
        if (!tsm_array_reserve(&out->level_ns, &s->level_capacity, s->ends.count + 1)) {
            return false;
        }
        out->max = (uint32_t)s->ends.count;
        out->level_ns[out->max] = 0;
    }
    out->work_ns += end - begin;
    return true;
}

static tsm_status
run(sweep *s, uint32_t device)
{
    tsm_concurrency *out = s->out;
    if (!tsm_array_reserve(&out->level_ns, &s->level_capacity, 1) || !start(s, device)) {
        return TSM_E_NOMEM;
    }
    out->level_ns[0] = 0;
    while (s->streams.count > 0 && s->streams.items[0].key < out->end_ns) {
        if (!add(s, take(s))) {
            return TSM_E_NOMEM;
        }
    }
    end_until(s, out->end_ns);
    pass(s, out->end_ns);
    out->busy_ns = out->end_ns - out->begin_ns - out->level_ns[0];
    return TSM_OK;
}

tsm_status
tsm_timeline_sweep(const tsm_timeline *timeline, uint32_t device, uint64_t begin_ns, uint64_t end_ns,
                   tsm_concurrency *out)
{
    tsm_concurrency made = { .begin_ns = begin_ns, .end_ns = end_ns };
    if (begin_ns == end_ns) {
        made.begin_ns = timeline->facts.device_begin_ns;
        made.end_ns = timeline->facts.device_end_ns;
    } else if (end_ns < begin_ns) {
        return TSM_E_ARG;
    }
    sweep s = { .timeline = timeline, .now = made.begin_ns, .out = &made };
    tsm_status status = run(&s, device);
    free(s.streams.items);
    free(s.ends.items);
    free(s.next);
    if (status != TSM_OK) {
        tsm_concurrency_free(&made);
        return status;
    }
    *out = made;
    return TSM_OK;
}

void
tsm_concurrency_free(tsm_concurrency *concurrency)
{
    free(concurrency->level_ns);
    concurrency->level_ns = NULL;
}
