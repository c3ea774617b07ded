/* speedscope's own format: a profile of device time by stack, then one for each thread with what it
 * did when. Times count from the trace's begin, because a double has no room for more. */
#include <stdlib.h>

#include "base/array.h"
#include "export/flame.h"
#include "export/formats.h"

typedef struct {
    tsm_pen pen;
    const tsm_spans *spans;
    const tsm_span *all;
    tsm_flame frames; /* below the root alone: its nodes are the shared frames, in order */
    tsm_buffer scratch;
    uint32_t *open; /* spans */
    size_t capacity;
    bool failed, more; /* more: something stands before in the list that is being written */
} speedscope;

static void
put_u64(speedscope *s, uint64_t value)
{
    s->pen.at = tsm_print_u64(tsm_pen_room(&s->pen, TSM_NUMBER_CHARS), value);
}

static void
put_comma(speedscope *s)
{
    tsm_pen_put(&s->pen, ",", s->more);
    s->more = true;
}

static void
put_string(speedscope *s, const char *data, size_t size)
{
    s->scratch.size = 0;
    tsm_buffer_string(&s->scratch, data, size);
    tsm_pen_put(&s->pen, s->scratch.data, s->scratch.failed ? 0 : s->scratch.size);
}

/* The name of a node, or of two that belong together. */
static void
put_label(speedscope *s, const tsm_flame_node *first, const tsm_flame_node *second)
{
    tsm_buffer label = { 0 };
    tsm_buffer_flame(&label, s->spans->tables, first);
    if (second != NULL) {
        tsm_buffer_say(&label, ", ");
        tsm_buffer_flame(&label, s->spans->tables, second);
    }
    s->failed |= label.failed;
    put_string(s, label.failed ? "" : label.data, label.failed ? 0 : label.size);
    free(label.data);
}

static void
put_frame(speedscope *s, tsm_flame_kind kind, uint32_t row)
{
    const uint32_t node = tsm_flame_child(&s->frames, 0, kind, row);
    put_u64(s, node == 0 ? 0 : node - 1);
}

/* ---- Device time */

static void
put_samples(speedscope *s, const tsm_flame *flame)
{
    uint32_t path[TSM_FLAME_DEPTH + 1];
    s->more = false;
    for (uint32_t node = 1; node < flame->count; node++) {
        if (flame->nodes[node].weight_ns == 0) {
            continue;
        }
        put_comma(s);
        tsm_pen_say(&s->pen, "[");
        const size_t depth = tsm_flame_path(flame, node, path);
        for (size_t i = 0; i < depth; i++) {
            tsm_pen_put(&s->pen, ",", i > 0);
            put_frame(s, flame->nodes[path[i]].kind, flame->nodes[path[i]].row);
        }
        tsm_pen_say(&s->pen, "]");
    }
}

static uint64_t
put_weights(speedscope *s, const tsm_flame *flame)
{
    uint64_t total = 0;
    s->more = false;
    for (uint32_t node = 1; node < flame->count; node++) {
        if (flame->nodes[node].weight_ns > 0) {
            put_comma(s);
            put_u64(s, flame->nodes[node].weight_ns);
            total += flame->nodes[node].weight_ns;
        }
    }
    return total;
}

static void
put_device_time(speedscope *s, const tsm_flame *flame)
{
    tsm_pen_say(&s->pen, "{\"type\":\"sampled\",\"name\":\"Device time by stack\",\"unit\":\"nanoseconds\","
                         "\"startValue\":0,\"samples\":[");
    put_samples(s, flame);
    tsm_pen_say(&s->pen, "],\"weights\":[");
    const uint64_t total = put_weights(s, flame);
    tsm_pen_say(&s->pen, "],\"endValue\":");
    put_u64(s, total);
    tsm_pen_say(&s->pen, "}");
}

/* ---- Threads */

static void
put_event(speedscope *s, bool opens, uint32_t span, uint64_t at)
{
    const uint64_t begin = tsm_timeline_get_facts(s->spans->timeline)->begin_ns;
    put_comma(s);
    if (opens) {
        tsm_pen_say(&s->pen, "\n{\"type\":\"O\",\"frame\":");
    } else {
        tsm_pen_say(&s->pen, "\n{\"type\":\"C\",\"frame\":");
    }
    put_frame(s, TSM_FLAME_NAME, s->spans->events[s->all[span].event].name);
    tsm_pen_say(&s->pen, ",\"at\":");
    put_u64(s, at - begin);
    tsm_pen_say(&s->pen, "}");
}

/* Closes what is open down to depth; no later than time, where a span of the thread begins that
 * overlaps without nesting. */
static void
close_down(speedscope *s, size_t *depth, uint32_t parent, uint64_t time)
{
    while (*depth > 0 && s->open[*depth - 1] != parent) {
        const uint32_t span = s->open[--*depth];
        const uint64_t end = s->all[span].end_ns;
        put_event(s, false, span, end < time ? end : time);
    }
}

static void
put_events(speedscope *s, const tsm_track *track)
{
    size_t depth = 0;
    s->more = false;
    for (uint32_t i = track->first; i < track->first + track->count && !s->failed; i++) {
        close_down(s, &depth, s->all[i].parent, s->all[i].begin_ns);
        if (!tsm_array_reserve(&s->open, &s->capacity, depth + 1)) {
            s->failed = true;
            return;
        }
        put_event(s, true, i, s->all[i].begin_ns);
        s->open[depth++] = i;
    }
    close_down(s, &depth, TSM_SPAN_NONE, UINT64_MAX);
}

static void
put_thread(speedscope *s, const tsm_track *track)
{
    const uint64_t begin = tsm_timeline_get_facts(s->spans->timeline)->begin_ns;
    const tsm_flame_node process = { .kind = TSM_FLAME_PROCESS, .row = track->process };
    const tsm_flame_node thread = { .kind = TSM_FLAME_THREAD, .row = track->row };
    tsm_pen_say(&s->pen, ",\n{\"type\":\"evented\",\"name\":");
    put_label(s, &process, &thread);
    tsm_pen_say(&s->pen, ",\"unit\":\"nanoseconds\",\"startValue\":");
    put_u64(s, track->begin_ns - begin);
    tsm_pen_say(&s->pen, ",\"endValue\":");
    put_u64(s, track->end_ns - begin);
    tsm_pen_say(&s->pen, ",\"events\":[");
    put_events(s, track);
    tsm_pen_say(&s->pen, "]}");
}

static uint64_t
put_threads(speedscope *s)
{
    size_t count;
    uint64_t written = 0;
    const tsm_track *tracks = tsm_timeline_tracks(s->spans->timeline, &count);
    for (size_t i = 0; i < count && !s->failed && !tsm_output_failed(s->pen.output); i++) {
        if (!tracks[i].is_stream && tracks[i].count > 0) {
            put_thread(s, &tracks[i]);
            written += tracks[i].count;
        }
    }
    return written;
}

/* ---- The file */

static void
put_shared_frame(speedscope *s, const tsm_flame_node *node)
{
    const uint64_t *row = tsm_tables_borrow_row(s->spans->tables, TSM_TABLE_FRAMES, node->row);
    tsm_pen_say(&s->pen, "\n{\"name\":");
    put_label(s, node, NULL);
    if (node->kind == TSM_FLAME_FRAME && row[TSM_FRAME_FILE] != 0) {
        const tsm_text file =
            tsm_tables_borrow_text(s->spans->tables, TSM_TABLE_STRINGS, (uint32_t)row[TSM_FRAME_FILE]);
        tsm_pen_say(&s->pen, ",\"file\":");
        put_string(s, file.data, file.size);
        tsm_pen_say(&s->pen, ",\"line\":");
        put_u64(s, row[TSM_FRAME_LINE]);
    }
    tsm_pen_say(&s->pen, "}");
}

static uint64_t
put_all(speedscope *s, const tsm_flame *flame)
{
    size_t count;
    s->all = tsm_timeline_spans(s->spans->timeline, &count);
    tsm_pen_say(&s->pen, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\","
                         "\"exporter\":\"TraceSmith\",\"activeProfileIndex\":0,\"profiles\":[\n");
    put_device_time(s, flame);
    const uint64_t written = put_threads(s);
    tsm_pen_say(&s->pen, "],\n\"shared\":{\"frames\":[");
    s->more = false;
    for (uint32_t i = 1; i < s->frames.count; i++) {
        put_comma(s);
        put_shared_frame(s, &s->frames.nodes[i]);
    }
    tsm_pen_say(&s->pen, "]}}\n");
    return written;
}

static tsm_status
write_spans(const tsm_spans *spans, tsm_output *output, bool stacks, uint64_t *written)
{
    tsm_flame flame;
    uint64_t operations;
    tsm_status status = tsm_flame_build(spans, stacks, &flame, &operations);
    if (status != TSM_OK) {
        return status;
    }
    speedscope s = { .spans = spans };
    tsm_pen_begin(&s.pen, output);
    *written = operations + put_all(&s, &flame);
    tsm_pen_end(&s.pen);
    const bool failed = s.failed || s.frames.failed || s.scratch.failed;
    tsm_flame_free(&s.frames);
    tsm_flame_free(&flame);
    free(s.scratch.data);
    free(s.open);
    return failed ? TSM_E_NOMEM : TSM_OK;
}

tsm_status
tsm_export_speedscope(tsm_cursor *cursor, tsm_output *output, const tsm_export_options *options,
                      tsm_export_report *report, tsm_error *err)
{
    tsm_spans spans;
    tsm_status status = tsm_spans_collect(cursor, false, options, report, &spans, err);
    if (status != TSM_OK) {
        return status;
    }
    status = write_spans(&spans, output, !options->no_stacks, &report->written);
    tsm_spans_free(&spans);
    return status == TSM_OK ? TSM_OK : tsm_fail(err, status, 0, "no memory for the profiles");
}
