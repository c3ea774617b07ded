/* A track as a row of a picture: which class has how much of each column. */
#include <string.h>

#include "timeline/parts.h"

tsm_span_class
tsm_span_class_of(uint16_t type)
{
    switch (type) {
    case TSM_EVENT_KERNEL_LAUNCH:
    case TSM_EVENT_KERNEL_COMPLETE:
        return TSM_CLASS_COMPUTE;
    case TSM_EVENT_MEMCPY_H2D:
    case TSM_EVENT_MEMCPY_D2H:
    case TSM_EVENT_MEMCPY_D2D:
    case TSM_EVENT_MEMCPY_P2P:
    case TSM_EVENT_MEMCPY_H2H:
    case TSM_EVENT_MEMSET_DEVICE:
        return TSM_CLASS_COPY;
    case TSM_EVENT_COMMUNICATION:
    case TSM_EVENT_NCCL_START:
    case TSM_EVENT_NCCL_COMPLETE:
        return TSM_CLASS_COMMUNICATION;
    case TSM_EVENT_STREAM_SYNC:
    case TSM_EVENT_DEVICE_SYNC:
    case TSM_EVENT_EVENT_SYNC:
        return TSM_CLASS_SYNC;
    case TSM_EVENT_CPU_OP:
    case TSM_EVENT_PYTHON_CALL:
    case TSM_EVENT_OVERHEAD:
        return TSM_CLASS_HOST;
    default:
        return tsm_type_is_call(type) ? TSM_CLASS_CALL : TSM_CLASS_OTHER;
    }
}

typedef struct {
    uint64_t begin, end;
    size_t columns;
    uint64_t *out;
} picture;

/* Column k begins at k * length / columns, rounded down: none differs by more than a ns. */
static uint64_t
begin_of(const picture *p, size_t column)
{
    return p->begin + (uint64_t)((unsigned __int128)column * (p->end - p->begin) / p->columns);
}

static size_t
column_of(const picture *p, uint64_t time)
{
    unsigned __int128 behind = (unsigned __int128)(time - p->begin + 1) * p->columns;
    return (size_t)((behind - 1) / (p->end - p->begin));
}

/* Adds [begin, end), which may reach out of the window, to every column it touches. */
static void
fill(const picture *p, tsm_span_class class, uint64_t begin, uint64_t end)
{
    begin = begin > p->begin ? begin : p->begin;
    end = end < p->end ? end : p->end;
    while (begin < end) {
        size_t column = column_of(p, begin);
        uint64_t stop = begin_of(p, column + 1);
        stop = stop < end ? stop : end;
        p->out[column * TSM_CLASS_COUNT + class] += stop - begin;
        begin = stop;
    }
}

static void
fill_stream(const picture *p, const tsm_timeline *t, const tsm_track *track)
{
    uint64_t covered[TSM_CLASS_COUNT] = { 0 };
    for (uint32_t i = track->first; i < track->first + track->count; i++) {
        const tsm_span *span = &t->spans[i];
        tsm_span_class class = tsm_span_class_of(span->type);
        if (span->begin_ns >= p->end) {
            return;
        }
        fill(p, class, span->begin_ns > covered[class] ? span->begin_ns : covered[class], span->end_ns);
        covered[class] = span->end_ns > covered[class] ? span->end_ns : covered[class];
    }
}

/* Gives the time up to 'until' to the spans that are open, innermost first, from 'span' outwards;
 * afterwards span is the innermost that is still open. */
static void
settle(const picture *p, const tsm_timeline *t, uint32_t *span, uint64_t *now, uint64_t until)
{
    while (*span != TSM_SPAN_NONE) {
        const tsm_span *open = &t->spans[*span];
        uint64_t stop = open->end_ns < until ? open->end_ns : until;
        if (stop > *now) {
            fill(p, tsm_span_class_of(open->type), *now, stop);
            *now = stop;
        }
        if (open->end_ns > until) {
            return;
        }
        *span = open->parent;
    }
    *now = until;
}

static void
fill_thread(const picture *p, const tsm_timeline *t, const tsm_track *track)
{
    uint32_t open = TSM_SPAN_NONE;
    uint64_t now = track->begin_ns;
    for (uint32_t i = track->first; i < track->first + track->count && t->spans[i].begin_ns < p->end; i++) {
        settle(p, t, &open, &now, t->spans[i].begin_ns);
        open = i;
    }
    settle(p, t, &open, &now, p->end);
}

void
tsm_timeline_columns(const tsm_timeline *timeline, uint32_t track, uint64_t begin_ns, uint64_t end_ns, size_t columns,
                     uint64_t *out)
{
    memset(out, 0, columns * TSM_CLASS_COUNT * sizeof *out);
    if (columns == 0 || end_ns <= begin_ns) {
        return;
    }
    picture p = { begin_ns, end_ns, columns, out };
    const tsm_track *row = &timeline->tracks[track];
    (row->is_stream ? fill_stream : fill_thread)(&p, timeline, row);
}
