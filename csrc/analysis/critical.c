/* The critical path: back from the last operation, always to what was satisfied last. What an
 * operation waited for are its edges; what a thread did before a call is its own work, back to the
 * last wait that really waited, and from there the path is that of what was waited for. Time only
 * goes back and no operation is passed twice, so it ends, after about one look at each span. */
#include <stdlib.h>

#include "analysis/analysis.h"
#include "analysis/classify.h"
#include "base/array.h"
#include "timeline/timeline.h"

typedef struct {
    uint64_t end_ns;
    uint32_t span;
} ended;

typedef struct {
    const tsm_timeline *timeline;
    const tsm_dependencies *dependencies;
    const tsm_tables *tables;
    const tsm_span *spans;
    size_t span_count;
    const tsm_track *tracks;
    size_t track_count;
    tsm_path *path; /* its segments the last first until the walk is over */
    size_t capacity;
    uint64_t time; /* how far back the path has come */
    uint8_t kind, provenance;
    bool *passed;  /* by span */
    ended *by_end; /* operations, the last to end last; made when they are needed */
    size_t by_end_count;
    uint8_t *names; /* by row of strings: 0 not looked at, else a part + 1 */
    bool failed;
} walk;

const char *
tsm_path_part_name(tsm_path_part part)
{
    static const char *const names[] = {
#define X(NAME, name) name,
        TSM_PATH_PARTS(X)
#undef X
    };
    return names[part];
}

/* ---- Segments --------------------------------------------------------------------------------- */

static void
add(walk *w, uint64_t begin, uint64_t end, tsm_path_part part, uint32_t span)
{
    tsm_path *path = w->path;
    begin = begin > path->begin_ns ? begin : path->begin_ns;
    end = end < path->end_ns ? end : path->end_ns;
    if (begin >= end || w->failed) {
        return;
    }
    if (!tsm_array_reserve(&path->segments, &w->capacity, path->count + 1)) {
        w->failed = true;
        return;
    }
    path->segments[path->count++] = (tsm_path_segment){ begin, end, span, (uint16_t)part, w->kind, w->provenance };
    path->part_ns[part] += end - begin;
    path->inferred_ns += w->provenance == TSM_PROVENANCE_INFERRED ? end - begin : 0;
}

static void
go_back(walk *w, uint64_t to, tsm_path_part part, uint32_t span)
{
    add(w, to, w->time, part, span);
    w->time = to;
}

static void
reverse(tsm_path_segment *segments, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        tsm_path_segment first = segments[i];
        segments[i] = segments[count - 1 - i];
        segments[count - 1 - i] = first;
    }
}

static void
led_by(walk *w, const tsm_dependency *edge)
{
    w->kind = (uint8_t)edge->kind;
    w->provenance = (uint8_t)edge->provenance;
}

/* ---- Operations ------------------------------------------------------------------------------- */

static tsm_path_part
part_of(walk *w, uint32_t span)
{
    tsm_span_class class = tsm_span_class_of(w->spans[span].type);
    uint32_t name = tsm_timeline_batch(w->timeline)->events[w->spans[span].event].name;
    if (class != TSM_CLASS_COMPUTE) {
        return class == TSM_CLASS_COPY ? TSM_PATH_COPY : TSM_PATH_COMMUNICATION;
    }
    if (name >= tsm_tables_count(w->tables, TSM_TABLE_STRINGS)) {
        return TSM_PATH_KERNEL;
    }
    if (w->names[name] == 0) {
        tsm_text text = tsm_tables_borrow_text(w->tables, TSM_TABLE_STRINGS, name);
        bool talks = (tsm_name_classify(text).bits & TSM_NAME_COMMUNICATION) != 0;
        w->names[name] = (uint8_t)(talks ? TSM_PATH_COMMUNICATION + 1 : TSM_PATH_KERNEL + 1);
    }
    return (tsm_path_part)(w->names[name] - 1);
}

/* When what the edge leads from had happened. A wait before the launch is on the launch's thread,
 * which is followed back anyway. */
static bool
lets_begin(const walk *w, const tsm_dependency *edge, uint64_t *when)
{
    switch (edge->kind) {
    case TSM_DEPENDENCY_LAUNCH:
        *when = w->spans[edge->from].begin_ns;
        return true;
    case TSM_DEPENDENCY_SEQUENTIAL:
    case TSM_DEPENDENCY_MEMORY:
    case TSM_DEPENDENCY_EVENT_WAIT:
        *when = w->spans[edge->from].end_ns;
        return !w->passed[edge->from];
    default:
        return false;
    }
}

static bool
lets_end(const walk *w, const tsm_dependency *edge, uint64_t *when)
{
    *when = w->spans[edge->from].begin_ns;
    return edge->kind == TSM_DEPENDENCY_COLLECTIVE && !w->passed[edge->from];
}

static bool
ends_wait(const walk *w, const tsm_dependency *edge, uint64_t *when)
{
    *when = w->spans[edge->from].end_ns;
    return edge->kind == TSM_DEPENDENCY_SYNCHRONIZATION && !w->passed[edge->from];
}

typedef bool chooser(const walk *w, const tsm_dependency *edge, uint64_t *when);

/* The edge to span that was satisfied last in [after, until], or NULL; of equal ones the first. */
static const tsm_dependency *
latest(const walk *w, uint32_t span, chooser *is_wanted, uint64_t after, uint64_t until, uint64_t *when)
{
    const tsm_dependencies *d = w->dependencies;
    const tsm_dependency *found = NULL;
    for (uint32_t i = d->first[span]; i < d->first[span + 1]; i++) {
        uint64_t at;
        if (is_wanted(w, &d->edges[i], &at) && at >= after && at <= until && (found == NULL || at > *when)) {
            found = &d->edges[i];
            *when = at;
        }
    }
    return found;
}

static bool
is_operation(const walk *w, uint32_t span)
{
    return tsm_event_is_work(w->spans[span].type) && w->tracks[w->spans[span].track].is_stream;
}

static int
compare_ends(const void *left, const void *right)
{
    const ended *a = left, *b = right;
    if (a->end_ns != b->end_ns) {
        return a->end_ns < b->end_ns ? -1 : 1;
    }
    return (a->span > b->span) - (a->span < b->span);
}

static void
order_by_end(walk *w)
{
    w->by_end = malloc((w->span_count + 1) * sizeof *w->by_end);
    if (w->by_end == NULL) {
        w->failed = true;
        return;
    }
    for (uint32_t i = 0; i < w->span_count; i++) {
        if (is_operation(w, i)) {
            w->by_end[w->by_end_count++] = (ended){ w->spans[i].end_ns, i };
        }
    }
    qsort(w->by_end, w->by_end_count, sizeof *w->by_end, compare_ends);
}

/* No edge tells why an operation began: the path goes on with the work that had ended last. */
static uint32_t
unexplained(walk *w, uint32_t operation)
{
    uint32_t last = TSM_SPAN_NONE;
    if (w->by_end == NULL) {
        order_by_end(w);
    }
    for (; last == TSM_SPAN_NONE && w->by_end_count > 0; w->by_end_count--) {
        const ended *e = &w->by_end[w->by_end_count - 1];
        last = e->end_ns <= w->time && !w->passed[e->span] ? e->span : TSM_SPAN_NONE;
    }
    w->kind = 0;
    w->provenance = TSM_PROVENANCE_INFERRED;
    go_back(w, last == TSM_SPAN_NONE ? w->path->begin_ns : w->spans[last].end_ns, TSM_PATH_WAITING, operation);
    return last;
}

/* Through an operation, to what it waited for. */
static uint32_t
from_operation(walk *w, uint32_t operation)
{
    uint64_t begin = w->spans[operation].begin_ns, when = 0;
    tsm_path_part part = part_of(w, operation);
    w->passed[operation] = true;
    const tsm_dependency *edge = latest(w, operation, lets_end, begin, w->time, &when);
    if (edge != NULL) {
        go_back(w, when, part, operation);
        led_by(w, edge);
        return edge->from;
    }
    go_back(w, begin, part, operation);
    edge = latest(w, operation, lets_begin, 0, begin, &when);
    if (edge == NULL) {
        return unexplained(w, operation);
    }
    led_by(w, edge);
    if (edge->kind == TSM_DEPENDENCY_LAUNCH) {
        go_back(w, when, TSM_PATH_LAUNCH, edge->from);
    } else {
        go_back(w, when, TSM_PATH_WAITING, operation);
    }
    return edge->from;
}

/* ---- Threads ---------------------------------------------------------------------------------- */

/* What a thread does while span is its innermost. A wait whose end is explained was over: what is
 * left of it is its return. */
static tsm_path_part
host_part(const walk *w, uint32_t span)
{
    if (span == TSM_SPAN_NONE) {
        return TSM_PATH_HOST;
    }
    const tsm_dependencies *d = w->dependencies;
    for (uint32_t i = d->first[span]; i < d->first[span + 1]; i++) {
        if (d->edges[i].kind == TSM_DEPENDENCY_SYNCHRONIZATION) {
            return TSM_PATH_SYNC;
        }
    }
    return tsm_span_class_of(w->spans[span].type) == TSM_CLASS_SYNC ? TSM_PATH_WAITING : TSM_PATH_HOST;
}

static uint32_t
still_open(const walk *w, uint32_t span, uint64_t time)
{
    while (span != TSM_SPAN_NONE && w->spans[span].end_ns <= time) {
        span = w->spans[span].parent;
    }
    return span;
}

/* What an empty child cut in two is one again. first: where the stay on this thread begins. */
static void
add_host(walk *w, uint64_t begin, uint64_t end, uint32_t span, size_t first)
{
    tsm_path *path = w->path;
    size_t count = path->count;
    add(w, begin, end, host_part(w, span), span);
    if (path->count > count && count > first && path->segments[count - 1].span == span) {
        path->segments[count - 1].end_ns = end;
        path->count = count;
    }
}

/* Cuts what a thread did from then until where the path is by its innermost span. */
static void
host_work(walk *w, uint32_t track, uint64_t from)
{
    const tsm_track *t = &w->tracks[track];
    uint64_t to = w->time < w->path->end_ns ? w->time : w->path->end_ns;
    size_t mark = w->path->count;
    w->time = from;
    from = from > w->path->begin_ns ? from : w->path->begin_ns;
    uint32_t next = tsm_timeline_begins(w->timeline, track, from), behind = t->first + t->count;
    uint32_t open = next > t->first ? still_open(w, next - 1, from) : TSM_SPAN_NONE;
    while (from < to) {
        bool opens = next < behind && w->spans[next].begin_ns < to;
        uint64_t until = opens ? w->spans[next].begin_ns : to;
        while (open != TSM_SPAN_NONE && w->spans[open].end_ns < until) {
            add_host(w, from, w->spans[open].end_ns, open, mark);
            from = w->spans[open].end_ns > from ? w->spans[open].end_ns : from;
            open = still_open(w, open, from);
        }
        add_host(w, from, until, open, mark);
        from = until;
        if (opens) {
            open = next++;
        }
    }
    reverse(w->path->segments + mark, w->path->count - mark);
}

/* The last wait of a thread that was still waiting when what it waited for ended. */
static const tsm_dependency *
last_wait(const walk *w, uint32_t track, uint64_t *when)
{
    uint32_t first = w->tracks[track].first;
    for (uint32_t i = tsm_timeline_begins(w->timeline, track, w->time); i > first; i--) {
        const tsm_span *span = &w->spans[i - 1];
        uint64_t until = span->end_ns < w->time ? span->end_ns : w->time;
        const tsm_dependency *edge =
            w->passed[i - 1] ? NULL : latest(w, i - 1, ends_wait, span->begin_ns + 1, until, when);
        if (edge != NULL) {
            return edge;
        }
    }
    return NULL;
}

static uint32_t
from_thread(walk *w, uint32_t track)
{
    uint64_t when = 0;
    const tsm_dependency *edge = last_wait(w, track, &when);
    if (edge == NULL) {
        host_work(w, track, w->path->begin_ns);
        return TSM_SPAN_NONE;
    }
    uint64_t end = w->spans[edge->to].end_ns;
    if (end < w->time) {
        host_work(w, track, end);
    }
    w->passed[edge->to] = true;
    led_by(w, edge);
    go_back(w, when, TSM_PATH_SYNC, edge->to);
    return edge->from;
}

/* ---- The walk --------------------------------------------------------------------------------- */

/* Where the path ends: in the work that runs at the end of the window (that ends last), else it
 * comes from the next, else from the last before. */
static uint32_t
choose_last(const walk *w)
{
    uint64_t end = w->path->end_ns;
    uint32_t running = TSM_SPAN_NONE, next = TSM_SPAN_NONE, before = TSM_SPAN_NONE;
    for (uint32_t i = 0; i < w->span_count; i++) {
        const tsm_span *span = &w->spans[i];
        if (!is_operation(w, i)) {
            continue;
        }
        if (span->begin_ns >= end) {
            next = next == TSM_SPAN_NONE || span->begin_ns < w->spans[next].begin_ns ? i : next;
        } else if (span->end_ns >= end) {
            running = running == TSM_SPAN_NONE || span->end_ns > w->spans[running].end_ns ? i : running;
        } else {
            before = before == TSM_SPAN_NONE || span->end_ns > w->spans[before].end_ns ? i : before;
        }
    }
    return running != TSM_SPAN_NONE ? running : next != TSM_SPAN_NONE ? next : before;
}

static void
walk_back(walk *w)
{
    uint32_t at = choose_last(w);
    if (at != TSM_SPAN_NONE && w->spans[at].end_ns >= w->path->end_ns) {
        w->time = w->spans[at].begin_ns >= w->path->end_ns ? w->spans[at].begin_ns : w->spans[at].end_ns;
    } else {
        w->time = w->path->end_ns;
        go_back(w, at == TSM_SPAN_NONE ? w->path->begin_ns : w->spans[at].end_ns, TSM_PATH_WAITING, TSM_SPAN_NONE);
    }
    while (at != TSM_SPAN_NONE && w->time > w->path->begin_ns && !w->failed) {
        uint32_t track = w->spans[at].track;
        at = w->tracks[track].is_stream ? from_operation(w, at) : from_thread(w, track);
    }
}

static void
usual_window(const walk *w, tsm_path *path)
{
    bool any = false;
    for (uint32_t i = 0; i < w->span_count; i++) {
        const tsm_span *span = &w->spans[i];
        if (is_operation(w, i)) {
            path->begin_ns = !any || span->begin_ns < path->begin_ns ? span->begin_ns : path->begin_ns;
            path->end_ns = span->end_ns > path->end_ns ? span->end_ns : path->end_ns;
            any = true;
        }
    }
}

tsm_status
tsm_critical_path(const tsm_timeline *timeline, const tsm_dependencies *dependencies, const tsm_tables *tables,
                  uint64_t begin_ns, uint64_t end_ns, tsm_path **out)
{
    walk w = { .timeline = timeline, .dependencies = dependencies, .tables = tables };
    if (begin_ns > end_ns) {
        return TSM_E_ARG;
    }
    w.spans = tsm_timeline_spans(timeline, &w.span_count);
    w.tracks = tsm_timeline_tracks(timeline, &w.track_count);
    w.path = calloc(1, sizeof *w.path);
    w.passed = calloc(w.span_count + 1, sizeof *w.passed);
    w.names = calloc(tsm_tables_count(tables, TSM_TABLE_STRINGS) + 1, sizeof *w.names);
    w.failed = w.path == NULL || w.passed == NULL || w.names == NULL;
    if (!w.failed) {
        w.path->begin_ns = begin_ns;
        w.path->end_ns = end_ns;
        if (begin_ns == end_ns) {
            w.path->begin_ns = w.path->end_ns = 0;
            usual_window(&w, w.path);
        }
        walk_back(&w);
        reverse(w.path->segments, w.path->count);
    }
    free(w.passed);
    free(w.names);
    free(w.by_end);
    if (w.failed) {
        tsm_path_destroy(w.path);
        return TSM_E_NOMEM;
    }
    *out = w.path;
    return TSM_OK;
}

void
tsm_path_destroy(tsm_path *path)
{
    if (path != NULL) {
        free(path->segments);
        free(path);
    }
}
