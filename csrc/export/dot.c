/* The dependency graph for Graphviz: operations, the calls that launched them and the waits that
 * ended with them, by stream and thread. A picture of more than some hundred operations helps
 * nobody, so it holds the first of them and says how many it leaves out. */
#include <stdlib.h>

#include "export/formats.h"
#include "export/spans.h"

#define OPERATIONS_MAX 500
#define LABEL_CHARS    48

typedef struct {
    tsm_pen pen;
    const tsm_spans *spans;
    const tsm_dependencies *dependencies;
    const tsm_span *all;
    size_t span_count;
    bool *shown; /* by span */
    tsm_buffer scratch;
} dot;

/* ---- What is shown */

static int
compare_begin(const void *left, const void *right)
{
    const tsm_span *a = *(const tsm_span *const *)left, *b = *(const tsm_span *const *)right;
    if (a->begin_ns != b->begin_ns) {
        return a->begin_ns < b->begin_ns ? -1 : 1;
    }
    return (a > b) - (a < b);
}

/* The first operations in time; *count: how many there are. */
static tsm_status
show_operations(dot *d, size_t *count)
{
    const tsm_span **operations = malloc((d->span_count + 1) * sizeof *operations);
    if (operations == NULL) {
        return TSM_E_NOMEM;
    }
    *count = 0;
    for (size_t i = 0; i < d->span_count; i++) {
        if (tsm_event_is_work(d->all[i].type)) {
            operations[(*count)++] = &d->all[i];
        }
    }
    qsort(operations, *count, sizeof *operations, compare_begin);
    for (size_t i = 0; i < *count && i < OPERATIONS_MAX; i++) {
        d->shown[operations[i] - d->all] = true;
    }
    free(operations);
    return TSM_OK;
}

/* Calls that launched a shown operation, and waits that ended with one. */
static void
show_host(dot *d)
{
    const tsm_dependencies *deps = d->dependencies;
    for (size_t i = 0; i < deps->edge_count; i++) {
        const tsm_dependency *edge = &deps->edges[i];
        if (edge->kind == TSM_DEPENDENCY_LAUNCH && d->shown[edge->to]) {
            d->shown[edge->from] = true;
        } else if (edge->kind == TSM_DEPENDENCY_SYNCHRONIZATION && d->shown[edge->from]) {
            d->shown[edge->to] = true;
        }
    }
}

/* ---- Writing */

static void
put_u64(dot *d, uint64_t value)
{
    d->pen.at = tsm_print_u64(tsm_pen_room(&d->pen, TSM_NUMBER_CHARS), value);
}

/* Inside quotes. Names end where a character does. */
static void
put_text(dot *d, tsm_text text)
{
    d->scratch.size = 0;
    tsm_buffer_folded(&d->scratch, text);
    const tsm_buffer *name = &d->scratch;
    size_t end = 0;
    for (size_t chars = 0; end < name->size && chars < LABEL_CHARS; chars++) {
        end += tsm_utf8_length((const unsigned char *)name->data + end, name->size - end);
    }
    for (size_t i = 0; i < end; i++) {
        const bool special = name->data[i] == '"' || name->data[i] == '\\';
        tsm_pen_put(&d->pen, "\\", special);
        tsm_pen_put(&d->pen, &name->data[i], 1);
    }
    tsm_pen_put(&d->pen, "\xe2\x80\xa6", end < name->size ? 3 : 0);
}

static void
put_row_text(dot *d, uint64_t row)
{
    put_text(d, tsm_tables_borrow_text(d->spans->tables, TSM_TABLE_STRINGS, (uint32_t)row));
}

static const char *
look_of(const tsm_span *span)
{
    switch (tsm_span_class_of(span->type)) {
    case TSM_CLASS_COMPUTE:
        return "shape=box, style=filled, fillcolor=\"#cfe8cf\"";
    case TSM_CLASS_COPY:
        return "shape=box, style=filled, fillcolor=\"#cfdcf0\"";
    case TSM_CLASS_COMMUNICATION:
        return "shape=box, style=filled, fillcolor=\"#f3dcc2\"";
    case TSM_CLASS_SYNC:
        return "shape=octagon, style=filled, fillcolor=\"#f0cfcf\"";
    default:
        return "shape=ellipse";
    }
}

static void
put_node(dot *d, uint32_t span)
{
    const tsm_span *s = &d->all[span];
    const char *look = look_of(s);
    tsm_pen_say(&d->pen, "    s");
    put_u64(d, span);
    tsm_pen_say(&d->pen, " [label=\"");
    put_row_text(d, d->spans->events[s->event].name);
    tsm_pen_say(&d->pen, "\\n");
    d->pen.at = tsm_print_us(tsm_pen_room(&d->pen, TSM_NUMBER_CHARS), s->end_ns - s->begin_ns);
    tsm_pen_say(&d->pen, " us\", ");
    tsm_pen_put(&d->pen, look, strlen(look));
    tsm_pen_say(&d->pen, "];\n");
}

static void
put_track_label(dot *d, const tsm_track *track)
{
    const unsigned table = track->is_stream ? TSM_TABLE_STREAMS : TSM_TABLE_THREADS;
    const uint64_t *row = tsm_tables_borrow_row(d->spans->tables, table, track->row);
    const uint64_t *device = tsm_tables_borrow_row(d->spans->tables, TSM_TABLE_DEVICES, track->device);
    if (track->is_stream) {
        tsm_pen_say(&d->pen, "device ");
        d->pen.at = tsm_print_i64(tsm_pen_room(&d->pen, TSM_NUMBER_CHARS), (int64_t)device[TSM_DEVICE_ORDINAL]);
        tsm_pen_say(&d->pen, ", stream ");
    } else {
        tsm_pen_say(&d->pen, "thread ");
    }
    d->pen.at = tsm_print_i64(tsm_pen_room(&d->pen, TSM_NUMBER_CHARS), (int64_t)track->raw_id);
    const uint64_t name = row[track->is_stream ? TSM_STREAM_NAME : TSM_THREAD_NAME];
    if (name != 0) {
        tsm_pen_say(&d->pen, ": ");
        put_row_text(d, name);
    }
}

static void
put_track(dot *d, size_t number, const tsm_track *track, uint64_t *written)
{
    bool begun = false;
    for (uint32_t i = track->first; i < track->first + track->count; i++) {
        if (!d->shown[i]) {
            continue;
        }
        if (!begun) {
            begun = true;
            tsm_pen_say(&d->pen, "  subgraph cluster");
            put_u64(d, number);
            tsm_pen_say(&d->pen, " {\n    label=\"");
            put_track_label(d, track);
            tsm_pen_say(&d->pen, "\";\n");
        }
        put_node(d, i);
        ++*written;
    }
    if (begun) {
        tsm_pen_say(&d->pen, "  }\n");
    }
}

/* Solid: captured. Dashed: implied. Dotted: inferred. */
static void
put_edge(dot *d, const tsm_dependency *edge)
{
    static const char *const kinds[TSM_DEPENDENCY_LIMIT] = {
#define X(name, python, number, from, to, text) [number] = #python,
        TSM_DEPENDENCY_KINDS(X)
#undef X
    };
    static const char *const styles[] = {
        [TSM_PROVENANCE_CAPTURED] = "solid", [TSM_PROVENANCE_IMPLIED] = "dashed", [TSM_PROVENANCE_INFERRED] = "dotted"
    };
    tsm_pen_say(&d->pen, "  s");
    put_u64(d, edge->from);
    tsm_pen_say(&d->pen, " -> s");
    put_u64(d, edge->to);
    tsm_pen_say(&d->pen, " [label=\"");
    tsm_pen_put(&d->pen, kinds[edge->kind], strlen(kinds[edge->kind]));
    if (edge->via != TSM_SPAN_NONE) {
        tsm_pen_say(&d->pen, "\\nby ");
        put_row_text(d, d->spans->events[d->all[edge->via].event].name);
    }
    tsm_pen_say(&d->pen, "\", style=");
    tsm_pen_put(&d->pen, styles[edge->provenance], strlen(styles[edge->provenance]));
    tsm_pen_say(&d->pen, "];\n");
}

static void
put_title(dot *d, size_t operations)
{
    tsm_pen_say(&d->pen,
                "digraph tracesmith {\n  rankdir=LR;\n  newrank=true;\n  node [fontname=\"sans-serif\", fontsize=10];\n"
                "  edge [fontname=\"sans-serif\", fontsize=8];\n  label=\"");
    put_u64(d, operations < OPERATIONS_MAX ? operations : OPERATIONS_MAX);
    tsm_pen_say(&d->pen, " of ");
    put_u64(d, operations);
    tsm_pen_say(&d->pen, " operations");
    if (operations > OPERATIONS_MAX) {
        tsm_pen_say(&d->pen, ": the first in time; ");
        put_u64(d, operations - OPERATIONS_MAX);
        tsm_pen_say(&d->pen, " are left out. A window of time shows others");
    }
    tsm_pen_say(&d->pen, "\\nsolid: captured, dashed: implied by the API, dotted: inferred from times\";\n");
}

static void
put_graph(dot *d, size_t operations, uint64_t *written)
{
    size_t track_count;
    const tsm_track *tracks = tsm_timeline_tracks(d->spans->timeline, &track_count);
    put_title(d, operations);
    for (size_t i = 0; i < track_count; i++) {
        put_track(d, i, &tracks[i], written);
    }
    for (size_t i = 0; i < d->dependencies->edge_count; i++) {
        const tsm_dependency *edge = &d->dependencies->edges[i];
        if (d->shown[edge->from] && d->shown[edge->to]) {
            put_edge(d, edge);
        }
    }
    tsm_pen_say(&d->pen, "}\n");
}

static tsm_status
write_spans(const tsm_spans *spans, tsm_output *output, uint64_t *written)
{
    dot d = { .spans = spans };
    size_t operations;
    tsm_dependencies *dependencies;
    tsm_status status = tsm_dependencies_build(spans->timeline, spans->tables, &dependencies);
    if (status != TSM_OK) {
        return status;
    }
    d.dependencies = dependencies;
    d.all = tsm_timeline_spans(spans->timeline, &d.span_count);
    d.shown = calloc(d.span_count + 1, sizeof *d.shown);
    status = d.shown == NULL ? TSM_E_NOMEM : show_operations(&d, &operations);
    if (status == TSM_OK) {
        show_host(&d);
        tsm_pen_begin(&d.pen, output);
        put_graph(&d, operations, written);
        tsm_pen_end(&d.pen);
        status = d.scratch.failed ? TSM_E_NOMEM : TSM_OK;
    }
    tsm_dependencies_destroy(dependencies);
    free(d.shown);
    free(d.scratch.data);
    return status;
}

tsm_status
tsm_export_dot(tsm_cursor *cursor, tsm_output *output, const tsm_export_options *options, tsm_export_report *report,
               tsm_error *err)
{
    tsm_spans spans;
    tsm_status status = tsm_spans_collect(cursor, true, options, report, &spans, err);
    if (status != TSM_OK) {
        return status;
    }
    status = write_spans(&spans, output, &report->written);
    tsm_spans_free(&spans);
    return status == TSM_OK ? TSM_OK : tsm_fail(err, status, 0, "no graph: %s", tsm_status_text(status));
}
