#include "export/spans.h"

#include <stdlib.h>

#include "base/array.h"

static tsm_status
take_extensions(tsm_spans *spans, const tsm_batch *batch, size_t *at, uint32_t row)
{
    for (; *at < batch->extension_count && batch->extension_rows[*at] <= row; ++*at) {
        if (batch->extension_rows[*at] < row) {
            continue;
        }
        const size_t wanted = spans->extension_count + 1;
        if (!tsm_array_reserve(&spans->extensions, &spans->extension_capacity, wanted)
            || !tsm_array_reserve(&spans->rows, &spans->row_capacity, wanted)) {
            return TSM_E_NOMEM;
        }
        spans->extensions[spans->extension_count] = batch->extensions[*at];
        spans->rows[spans->extension_count++] = (uint32_t)spans->count;
    }
    return TSM_OK;
}

static tsm_status
take(tsm_spans *spans, const tsm_batch *batch, bool extensions, const tsm_export_options *options)
{
    size_t extension = 0;
    if (!tsm_array_reserve(&spans->events, &spans->event_capacity, spans->count + batch->count)) {
        return TSM_E_NOMEM;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        const tsm_event *event = &batch->events[i];
        if (event->type == TSM_EVENT_COUNTER || tsm_export_leaves_out(options, event)) {
            continue;
        }
        tsm_status status = extensions ? take_extensions(spans, batch, &extension, i) : TSM_OK;
        if (status != TSM_OK) {
            return status;
        }
        spans->events[spans->count++] = *event;
    }
    return TSM_OK;
}

static tsm_status
pull(tsm_spans *spans, tsm_cursor *cursor, bool extensions, const tsm_export_options *options,
     tsm_export_report *report, tsm_error *err)
{
    tsm_batch batch;
    tsm_status status;
    while ((status = tsm_cursor_next(cursor, &batch, err)) == TSM_OK) {
        if (take(spans, &batch, extensions, options) != TSM_OK) {
            return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for all events at once; export a window of time");
        }
        report->events += batch.count;
        status = tsm_export_note(options, report->events, err);
        if (status != TSM_OK) {
            return status;
        }
    }
    return status == TSM_E_END ? TSM_OK : status;
}

tsm_status
tsm_spans_collect(tsm_cursor *cursor, bool extensions, const tsm_export_options *options, tsm_export_report *report,
                  tsm_spans *out, tsm_error *err)
{
    tsm_spans spans = { .count = 0 };
    tsm_status status = pull(&spans, cursor, extensions, options, report, err);
    if (status == TSM_OK) {
        const tsm_batch batch = { spans.events, spans.count, spans.extensions, spans.rows, spans.extension_count };
        spans.tables = tsm_cursor_tables(cursor);
        status = tsm_timeline_build(&batch, spans.tables, &spans.timeline);
        status = status == TSM_OK
                     ? TSM_OK
                     : tsm_fail(err, status, 0, "no timeline of %zu events: %s", spans.count, tsm_status_text(status));
    }
    if (status != TSM_OK) {
        tsm_spans_free(&spans);
        return status;
    }
    *out = spans;
    return TSM_OK;
}

void
tsm_spans_free(tsm_spans *spans)
{
    tsm_timeline_destroy(spans->timeline);
    free(spans->events);
    free(spans->extensions);
    free(spans->rows);
    *spans = (tsm_spans){ .count = 0 };
}
