/* Dependencies: gathered as a list of edges, then sorted by where they lead, both ways. */
#include "timeline/depend.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* What is handed out, and what it owns. */
typedef struct {
    tsm_dependencies public;
    tsm_dependency *edges;
    uint32_t *first, *first_out, *out;
} owned;

enum { BEGIN, END };

static const struct {
    unsigned char from, to;
} points[TSM_DEPENDENCY_LIMIT] = {
#define X(name, python, number, from, to, text) [number] = { from, to },
    TSM_DEPENDENCY_KINDS(X)
#undef X
};

static uint64_t
time_of(const tsm_timeline *t, uint32_t span, unsigned point)
{
    return point == BEGIN ? t->spans[span].begin_ns : t->spans[span].end_ns;
}

int64_t
tsm_dependency_slack(const tsm_timeline *timeline, const tsm_dependency *edge)
{
    return (int64_t)(time_of(timeline, edge->to, points[edge->kind].to)
                     - time_of(timeline, edge->from, points[edge->kind].from));
}

tsm_status
tsm_depend_add(tsm_depend *d, tsm_dependency_kind kind, uint32_t from, uint32_t to, uint32_t via,
               tsm_provenance provenance)
{
    tsm_dependency edge = { from, to, via, (uint16_t)kind, (uint16_t)provenance };
    if (d->count >= UINT32_MAX) {
        return TSM_E_LIMIT;
    }
    if (!tsm_array_reserve(&d->edges, &d->capacity, d->count + 1)) {
        return TSM_E_NOMEM;
    }
    d->edges[d->count++] = edge;
    d->facts.kinds[kind]++;
    d->facts.inferred += provenance == TSM_PROVENANCE_INFERRED;
    d->facts.contradicted += tsm_dependency_slack(d->timeline, &edge) < 0;
    return TSM_OK;
}

/* ---- One after the other on a stream ---------------------------------------------------------- */

/* The work that was the last to end before the next begins. Where operations of a stream overlap
 * (nodes of a graph), those that run together do not depend on each other. */
static tsm_status
chain(tsm_depend *d, const tsm_track *track, const uint32_t *by_end)
{
    const tsm_span *spans = d->timeline->spans;
    uint32_t ended = 0, last = TSM_SPAN_NONE;
    tsm_status status = TSM_OK;
    for (uint32_t i = track->first; status == TSM_OK && i < track->first + track->count; i++) {
        if (!tsm_event_is_work(spans[i].type)) {
            continue;
        }
        while (by_end[ended] < i && spans[by_end[ended]].end_ns <= spans[i].begin_ns) {
            last = by_end[ended++];
        }
        if (last != TSM_SPAN_NONE) {
            status = tsm_depend_add(d, TSM_DEPENDENCY_SEQUENTIAL, last, i, TSM_SPAN_NONE, TSM_PROVENANCE_IMPLIED);
        }
    }
    return status;
}

/* The work of a track by (end, index), through the sort that spans have anyway. */
static tsm_status
order_by_end(const tsm_timeline *t, const tsm_track *track, tsm_span *scratch, uint32_t *by_end)
{
    uint32_t count = 0;
    for (uint32_t i = track->first; i < track->first + track->count; i++) {
        if (tsm_event_is_work(t->spans[i].type)) {
            scratch[count++] = (tsm_span){ .begin_ns = t->spans[i].end_ns, .event = i };
        }
    }
    tsm_status status = tsm_spans_sort(scratch, count);
    for (uint32_t i = 0; i < count; i++) {
        by_end[i] = scratch[i].event;
    }
    by_end[count] = TSM_SPAN_NONE;
    return status;
}

tsm_status
tsm_depend_streams(tsm_depend *d)
{
    const tsm_timeline *t = d->timeline;
    uint32_t longest = 0;
    for (size_t i = 0; i < t->stream_tracks; i++) {
        longest = t->tracks[i].work > longest ? t->tracks[i].work : longest;
    }
    tsm_span *scratch = malloc(((size_t)longest + 1) * sizeof *scratch);
    uint32_t *by_end = malloc(((size_t)longest + 1) * sizeof *by_end);
    tsm_status status = scratch == NULL || by_end == NULL ? TSM_E_NOMEM : TSM_OK;
    for (size_t i = 0; status == TSM_OK && i < t->stream_tracks; i++) {
        status = order_by_end(t, &t->tracks[i], scratch, by_end);
        if (status == TSM_OK) {
            status = chain(d, &t->tracks[i], by_end);
        }
    }
    free(scratch);
    free(by_end);
    return status;
}

/* ---- Both ways --------------------------------------------------------------------------------- */

static void
sum_up(uint32_t *first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        first[i + 1] += first[i];
    }
}

/* first[s] is counted at s + 2 and filled at s + 1, so that filling leaves it right. */
static void
sort_edges(const tsm_depend *d, owned *o)
{
    size_t spans = d->timeline->span_count;
    for (size_t i = 0; i < d->count; i++) {
        o->first[d->edges[i].to + 2]++;
        o->first_out[d->edges[i].from + 2]++;
    }
    sum_up(o->first, spans + 1);
    sum_up(o->first_out, spans + 1);
    for (size_t i = 0; i < d->count; i++) {
        o->edges[o->first[d->edges[i].to + 1]++] = d->edges[i];
    }
    for (uint32_t i = 0; i < d->count; i++) {
        o->out[o->first_out[o->edges[i].from + 1]++] = i;
    }
}

static tsm_status
finish(const tsm_depend *d, tsm_dependencies **out)
{
    size_t spans = d->timeline->span_count;
    owned *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return TSM_E_NOMEM;
    }
    o->edges = malloc((d->count + 1) * sizeof *o->edges);
    o->first = calloc(spans + 2, sizeof *o->first);
    o->first_out = calloc(spans + 2, sizeof *o->first_out);
    o->out = malloc((d->count + 1) * sizeof *o->out);
    o->public = (tsm_dependencies){
        .span_count = spans,
        .edge_count = d->count,
        .edges = o->edges,
        .first = o->first,
        .first_out = o->first_out,
        .out = o->out,
        .facts = d->facts,
    };
    if (o->edges == NULL || o->first == NULL || o->first_out == NULL || o->out == NULL) {
        tsm_dependencies_destroy(&o->public);
        return TSM_E_NOMEM;
    }
    sort_edges(d, o);
    *out = &o->public;
    return TSM_OK;
}

tsm_status
tsm_dependencies_build(const tsm_timeline *timeline, tsm_tables *tables, tsm_dependencies **out)
{
    tsm_depend d = { .timeline = timeline, .tables = tables };
    tsm_status status = tsm_depend_streams(&d);
    if (status == TSM_OK) {
        status = tsm_depend_host(&d);
    }
    if (status == TSM_OK) {
        status = tsm_depend_extensions(&d);
    }
    if (status == TSM_OK) {
        status = finish(&d, out);
    }
    free(d.edges);
    return status;
}

void
tsm_dependencies_destroy(tsm_dependencies *dependencies)
{
    if (dependencies == NULL) {
        return;
    }
    owned *o = (owned *)dependencies; /* its first member */
    free(o->edges);
    free(o->first);
    free(o->first_out);
    free(o->out);
    free(o);
}

/* ---- Circles ----------------------------------------------------------------------------------- */

/* A span is two points, its begin before its end. What can be taken away point by point, each
 * after all that lead to it, has no circle; what is left over has one. */
typedef struct {
    const tsm_dependencies *dependencies;
    uint32_t *waiting; /* by point: how many lead to it that were not taken yet */
    uint32_t *ready;
    size_t ready_count;
} peeler;

static void
release(peeler *p, uint64_t point)
{
    if (--p->waiting[point] == 0) {
        p->ready[p->ready_count++] = (uint32_t)(point / 2);
    }
}

/* Takes the points of a span that are free; an end is free only after its begin. */
static void
take_point(peeler *p, uint32_t span, unsigned point)
{
    const tsm_dependencies *d = p->dependencies;
    for (uint32_t i = d->first_out[span]; i < d->first_out[span + 1]; i++) {
        const tsm_dependency *edge = &d->edges[d->out[i]];
        if (points[edge->kind].from == point) {
            release(p, 2 * (uint64_t)edge->to + points[edge->kind].to);
        }
    }
}

#define TAKEN UINT32_MAX

static void
peel(peeler *p)
{
    while (p->ready_count > 0) {
        uint32_t span = p->ready[--p->ready_count];
        uint32_t *waiting = &p->waiting[2 * (uint64_t)span];
        if (waiting[BEGIN] == 0) {
            waiting[BEGIN] = TAKEN;
            take_point(p, span, BEGIN);
            release(p, 2 * (uint64_t)span + END);
        } else if (waiting[END] == 0) {
            waiting[END] = TAKEN;
            take_point(p, span, END);
        }
    }
}

tsm_status
tsm_dependencies_find_cycle(const tsm_dependencies *d, uint32_t *span)
{
    peeler p = { .dependencies = d };
    p.waiting = calloc(2 * d->span_count + 1, sizeof *p.waiting);
    p.ready = malloc((2 * d->span_count + 1) * sizeof *p.ready);
    if (p.waiting == NULL || p.ready == NULL) {
        free(p.waiting);
        free(p.ready);
        return TSM_E_NOMEM;
    }
    for (size_t i = 0; i < d->edge_count; i++) {
        p.waiting[2 * (size_t)d->edges[i].to + points[d->edges[i].kind].to]++;
    }
    for (uint32_t i = 0; i < d->span_count; i++) {
        p.waiting[2 * (size_t)i + END]++;
        if (p.waiting[2 * (size_t)i + BEGIN] == 0) {
            p.ready[p.ready_count++] = i;
        }
    }
    peel(&p);
    *span = TSM_SPAN_NONE;
    for (uint32_t i = 0; i < d->span_count && *span == TSM_SPAN_NONE; i++) {
        *span = p.waiting[2 * (size_t)i + END] != TAKEN ? i : TSM_SPAN_NONE;
    }
    free(p.waiting);
    free(p.ready);
    return TSM_OK;
}
