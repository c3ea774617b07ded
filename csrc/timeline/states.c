/* What each stream was doing. Three sorted lists of intervals (work runs, a wait holds the stream
 * up, work is queued) and a list of moments (a wait of the host returned) are swept together. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "timeline/parts.h"

enum { RUNNING, WAITING, QUEUED, OBSERVED, LISTS };

typedef struct {
    tsm_span *items; /* 'event' is the span that caused it */
    size_t count, capacity, at;
} list;

typedef struct {
    const tsm_timeline *timeline;
    const tsm_dependencies *dependencies;
    list lists[LISTS];
    tsm_transition *transitions;
    size_t count, capacity;
    uint64_t begin, end;
} machine;

typedef struct {
    tsm_states public;
    tsm_stream_states *streams;
    tsm_transition *transitions;
} owned;

/* ---- Lists -------------------------------------------------------------------------------------- */

static bool
add_interval(machine *m, int which, uint64_t begin, uint64_t end, uint32_t cause)
{
    list *l = &m->lists[which];
    begin = begin > m->begin ? begin : m->begin;
    end = end < m->end ? end : m->end;
    if (begin >= end) {
        return true;
    }
    if (!tsm_array_reserve(&l->items, &l->capacity, l->count + 1)) {
        return false;
    }
    l->items[l->count++] = (tsm_span){ .begin_ns = begin, .end_ns = end, .event = cause };
    return true;
}

/* A moment lasts for no time. */
static bool
add_moment(machine *m, uint64_t time, uint32_t cause)
{
    list *l = &m->lists[OBSERVED];
    if (time < m->begin || time >= m->end) {
        return true;
    }
    if (!tsm_array_reserve(&l->items, &l->capacity, l->count + 1)) {
        return false;
    }
    l->items[l->count++] = (tsm_span){ .begin_ns = time, .end_ns = time, .event = cause };
    return true;
}

/* Work is queued from when its call returned. */
static bool
add_work(machine *m, uint32_t span)
{
    const tsm_span *spans = m->timeline->spans;
    uint32_t call = tsm_timeline_launch_of(m->timeline, span);
    return add_interval(m, RUNNING, spans[span].begin_ns, spans[span].end_ns, span)
           && (call == TSM_SPAN_NONE || add_interval(m, QUEUED, spans[call].end_ns, spans[span].begin_ns, span));
}

/* A stream is held up from the wait's call until the event, for the sake of what came next. */
static bool
add_dependencies(machine *m, uint32_t span)
{
    const tsm_dependencies *d = m->dependencies;
    const tsm_span *spans = m->timeline->spans;
    bool added = true;
    for (uint32_t i = d->first[span]; added && i < d->first[span + 1]; i++) {
        const tsm_dependency *edge = &d->edges[i];
        if (edge->kind == TSM_DEPENDENCY_EVENT_WAIT) {
            uint64_t happened = spans[edge->from].end_ns, begin = spans[span].begin_ns;
            added = add_interval(m, WAITING, spans[edge->via].end_ns, happened < begin ? happened : begin, edge->via);
        }
    }
    for (uint32_t i = d->first_out[span]; added && i < d->first_out[span + 1]; i++) {
        const tsm_dependency *edge = &d->edges[d->out[i]];
        if (edge->kind == TSM_DEPENDENCY_SYNCHRONIZATION) {
            added = add_moment(m, spans[edge->to].end_ns, edge->to);
        }
    }
    return added;
}

static tsm_status
fill_lists(machine *m, const tsm_track *track)
{
    for (int i = 0; i < LISTS; i++) {
        m->lists[i].count = m->lists[i].at = 0;
    }
    for (uint32_t i = track->first; i < track->first + track->count; i++) {
        if (tsm_event_is_work(m->timeline->spans[i].type)
            && (!add_work(m, i) || (m->dependencies != NULL && !add_dependencies(m, i)))) {
            return TSM_E_NOMEM;
        }
    }
    tsm_status status = TSM_OK;
    for (int i = 0; status == TSM_OK && i < LISTS; i++) {
        status = tsm_spans_sort(m->lists[i].items, m->lists[i].count);
    }
    return status;
}

/* ---- Sweeping ----------------------------------------------------------------------------------- */

/* Takes the interval of a list that holds 'now', or NULL. Afterwards at is there, or at the next. */
static const tsm_span *
holding(list *l, uint64_t now)
{
    while (l->at < l->count && l->items[l->at].end_ns <= now) {
        l->at++;
    }
    return l->at < l->count && l->items[l->at].begin_ns <= now ? &l->items[l->at] : NULL;
}

/* When a list next begins or ends an interval after now. */
static uint64_t
next_change(const list *l, uint64_t now)
{
    if (l->at >= l->count) {
        return UINT64_MAX;
    }
    return l->items[l->at].begin_ns > now ? l->items[l->at].begin_ns : l->items[l->at].end_ns;
}

typedef struct {
    uint64_t now;
    tsm_gpu_state state;
    uint32_t last_work; /* that ran; TSM_SPAN_NONE: nothing since the host waited */
    uint32_t observer;  /* the wait that returned last */
} position;

/* Waits that have returned by now; whatever ended before, the host knows of. */
static void
observe(list *l, position *p, bool running)
{
    while (l->at < l->count && l->items[l->at].begin_ns <= p->now) {
        p->observer = l->items[l->at++].event;
        if (!running) {
            p->last_work = TSM_SPAN_NONE;
        }
    }
}

static tsm_gpu_state
state_now(machine *m, position *p, uint32_t *cause)
{
    static const tsm_gpu_state states[] = { TSM_GPU_RUNNING, TSM_GPU_WAITING, TSM_GPU_QUEUED };
    tsm_gpu_state state = TSM_GPU_STATE_COUNT;
    for (int i = RUNNING; i <= QUEUED; i++) {
        const tsm_span *interval = holding(&m->lists[i], p->now);
        if (interval != NULL && state == TSM_GPU_STATE_COUNT) {
            state = states[i];
            *cause = interval->event;
        }
    }
    observe(&m->lists[OBSERVED], p, state == TSM_GPU_RUNNING);
    if (state == TSM_GPU_RUNNING) {
        p->last_work = *cause;
    } else if (state == TSM_GPU_STATE_COUNT) {
        bool idle = p->last_work == TSM_SPAN_NONE;
        state = idle ? TSM_GPU_IDLE : TSM_GPU_COMPLETE;
        *cause = idle ? p->observer : p->last_work;
    }
    return state;
}

static bool
move(machine *m, position *p, tsm_gpu_state to, uint32_t cause)
{
    const tsm_timeline *t = m->timeline;
    if (!tsm_array_reserve(&m->transitions, &m->capacity, m->count + 1)) {
        return false;
    }
    m->transitions[m->count++] = (tsm_transition){
        .time_ns = p->now,
        .correlation = cause == TSM_SPAN_NONE ? 0 : t->batch.events[t->spans[cause].event].correlation,
        .cause = cause,
        .from = (uint16_t)p->state,
        .to = (uint16_t)to,
    };
    p->state = to;
    return true;
}

static tsm_status
sweep(machine *m, tsm_stream_states *out)
{
    position p = { .now = m->begin, .state = TSM_GPU_IDLE, .last_work = TSM_SPAN_NONE, .observer = TSM_SPAN_NONE };
    out->first = m->count;
    while (p.now < m->end) {
        uint32_t cause = TSM_SPAN_NONE;
        tsm_gpu_state state = state_now(m, &p, &cause);
        if (state != p.state && !move(m, &p, state, cause)) {
            return TSM_E_NOMEM;
        }
        uint64_t next = m->end;
        for (int i = 0; i < LISTS; i++) {
            uint64_t change = next_change(&m->lists[i], p.now);
            next = change < next ? change : next;
        }
        out->time_ns[state] += next - p.now;
        p.now = next;
    }
    out->count = m->count - out->first;
    return TSM_OK;
}

/* ---- All streams -------------------------------------------------------------------------------- */

static tsm_status
run(machine *m, owned *o)
{
    const tsm_timeline *t = m->timeline;
    o->streams = calloc(t->stream_tracks + 1, sizeof *o->streams);
    if (o->streams == NULL) {
        return TSM_E_NOMEM;
    }
    for (uint32_t i = 0; i < t->stream_tracks; i++) {
        o->streams[i].track = i;
        tsm_status status = fill_lists(m, &t->tracks[i]);
        if (status == TSM_OK) {
            status = sweep(m, &o->streams[i]);
        }
        if (status != TSM_OK) {
            return status;
        }
    }
    return TSM_OK;
}

tsm_status
tsm_states_build(const tsm_timeline *timeline, const tsm_dependencies *dependencies, uint64_t begin_ns, uint64_t end_ns,
                 tsm_states **out)
{
    machine m = { .timeline = timeline, .dependencies = dependencies, .begin = begin_ns, .end = end_ns };
    if (begin_ns == end_ns) {
        m.begin = timeline->facts.device_begin_ns;
        m.end = timeline->facts.device_end_ns;
    } else if (end_ns < begin_ns) {
        return TSM_E_ARG;
    }
    owned *o = calloc(1, sizeof *o);
    tsm_status status = o == NULL ? TSM_E_NOMEM : run(&m, o);
    for (int i = 0; i < LISTS; i++) {
        free(m.lists[i].items);
    }
    if (status != TSM_OK) {
        free(m.transitions);
        tsm_states_destroy(o == NULL ? NULL : &o->public);
        return status;
    }
    o->transitions = m.transitions;
    o->public = (tsm_states){ m.begin, m.end, timeline->stream_tracks, m.count, o->streams, o->transitions };
    *out = &o->public;
    return TSM_OK;
}

void
tsm_states_destroy(tsm_states *states)
{
    if (states == NULL) {
        return;
    }
    owned *o = (owned *)states; /* its first member */
    free(o->streams);
    free(o->transitions);
    free(o);
}

tsm_gpu_state
tsm_states_at(const tsm_states *states, size_t stream, uint64_t time_ns)
{
    const tsm_stream_states *s = &states->streams[stream];
    uint64_t low = 0, count = s->count; /* of those at or before the time */
    while (count > 0) {
        uint64_t half = count / 2;
        if (states->transitions[s->first + low + half].time_ns <= time_ns) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low == 0 ? TSM_GPU_IDLE : (tsm_gpu_state)states->transitions[s->first + low - 1].to;
}
