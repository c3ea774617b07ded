/* Perfetto protobuf, aimed at the reader's own view of GPU compute: device work as render stages
 * with launches and interned kernels, host slices as track events, arrows between them by event
 * id. Field numbers are those of google/perfetto's protos at v55. */
#include <stdlib.h>

#include "export/formats.h"
#include "export/perfetto.h"

enum { CLOCK_OF_REALTIME = 1, CLOCK_OF_MONOTONIC = 3, CLOCK_OF_READER = 6 };
enum { SNAPSHOT_CLOCK = 1, SNAPSHOT_PRIMARY = 2, INCREMENTAL_STATE_CLEARED = 1 };

static uint8_t *
put_clock(uint8_t *at, uint64_t id, uint64_t timestamp, bool steps)
{
    uint8_t *clock = tsm_pb_begin(at, SNAPSHOT_CLOCK);
    at = tsm_pb_uint(tsm_pb_uint(clock, 1, id), 2, timestamp);
    return tsm_pb_end(clock, steps ? tsm_pb_uint(at, 3, 1) : at);
}

/* What the trace's timestamps count from. */
static uint64_t
clock_of_trace(pf_writer *w)
{
    tsm_text clock = tsm_tables_borrow_info(w->tables, "clock");
    if (clock.size == 4 && memcmp(clock.data, "unix", 4) == 0) {
        return CLOCK_OF_REALTIME;
    }
    return clock.size == 7 && memcmp(clock.data, "unknown", 7) == 0 ? CLOCK_OF_READER : CLOCK_OF_MONOTONIC;
}

/* Other moments at which both clocks are known let a reader tell the time of day. Of one host. */
static void
write_times_of_day(pf_writer *w)
{
    uint32_t count = tsm_tables_count(w->tables, TSM_TABLE_CLOCKS);
    uint64_t host = pf_row(w, TSM_TABLE_CLOCKS, 1)[TSM_CLOCK_HOST], last = 0;
    for (uint32_t i = 1; i < count; i++) {
        const uint64_t *row = pf_row(w, TSM_TABLE_CLOCKS, i);
        uint64_t monotonic = row[TSM_CLOCK_MONOTONIC], realtime = row[TSM_CLOCK_REALTIME];
        if (row[TSM_CLOCK_HOST] != host || monotonic <= last || realtime == 0) {
            continue;
        }
        last = monotonic;
        uint8_t *snapshot = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_CLOCK_SNAPSHOT);
        uint8_t *at = put_clock(snapshot, CLOCK_OF_MONOTONIC, monotonic, false);
        at = put_clock(at, CLOCK_OF_REALTIME, realtime, false);
        at = tsm_pb_uint(at, SNAPSHOT_PRIMARY, CLOCK_OF_MONOTONIC);
        pf_packet_end(w, tsm_pb_end(snapshot, at));
    }
}

/* Begins the sequence: its clock stands at the first event and moves by steps from there. */
static void
begin_sequence(pf_writer *w, uint64_t first)
{
    uint64_t clock = clock_of_trace(w);
    w->now = first;
    uint8_t *at = tsm_pb_uint(pf_packet_begin(w), PF_PACKET_FLAGS, INCREMENTAL_STATE_CLEARED);
    uint8_t *snapshot = tsm_pb_begin(at, PF_PACKET_CLOCK_SNAPSHOT);
    at = put_clock(snapshot, clock, first, false);
    at = put_clock(at, PF_CLOCK_OF_SEQUENCE, 0, true);
    at = tsm_pb_end(snapshot, tsm_pb_uint(at, SNAPSHOT_PRIMARY, clock));
    uint8_t *defaults = tsm_pb_begin(at, PF_PACKET_DEFAULTS);
    at = tsm_pb_end(defaults, tsm_pb_uint(defaults, PF_PACKET_CLOCK, PF_CLOCK_OF_SEQUENCE));
    pf_packet_end(w, at);
    if (clock == CLOCK_OF_MONOTONIC) {
        write_times_of_day(w);
    }
}

void
pf_write_item(pf_writer *w, const pf_item *item)
{
    const tsm_event *event = item->event;
    bool device = tsm_event_on_stream(event) && event->type != TSM_EVENT_COUNTER;
    bool kept = event->type == TSM_EVENT_COUNTER || event->type == TSM_EVENT_MEM_ALLOC
                || event->type == TSM_EVENT_MEM_FREE || !(device ? w->options->no_device : w->options->no_host);
    pf_end_slices(w, pf_begin_ns(event));
    w->report->events++;
    w->report->written += kept && (device ? pf_write_device(w, item) : pf_write_host(w, item));
}

static void
end_sequence(pf_writer *w, tsm_cursor *cursor, bool begun)
{
    w->tables = tsm_cursor_tables(cursor);
    pf_count_rows(w);
    if (!begun) {
        begin_sequence(w, 0);
        pf_describe_devices(w);
    }
    pf_write_held(w);
    pf_end_pairs(w);
    pf_end_slices(w, UINT64_MAX);
    pf_window_flush(w);
}

static tsm_status
no_memory(tsm_error *err)
{
    return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to write a Perfetto trace");
}

static tsm_status
write_all(pf_writer *w, tsm_cursor *cursor, tsm_error *err)
{
    tsm_batch batch;
    tsm_status status;
    bool begun = false;
    while ((status = tsm_cursor_next(cursor, &batch, err)) == TSM_OK) {
        w->tables = tsm_cursor_tables(cursor);
        pf_count_rows(w);
        if (!begun && batch.count > 0) {
            begin_sequence(w, pf_begin_ns(&batch.events[0]));
            begun = true;
        }
        pf_describe_devices(w);
        pf_write_batch(w, &batch);
        if (w->failed) {
            break;
        }
        if (tsm_output_failed(w->output)) {
            return TSM_OK; /* told when the output is closed */
        }
        if (w->options->progress != NULL && !w->options->progress(w->options->context, w->report->events)) {
            return tsm_fail(err, TSM_E_STATE, 0, "the export was interrupted");
        }
    }
    if (status == TSM_E_END) {
        end_sequence(w, cursor, begun);
        status = TSM_OK;
    }
    return w->failed ? no_memory(err) : status;
}

static void
free_writer(pf_writer *w)
{
    pf_rows *const rows[] = { &w->stacks, &w->frames,  &w->launches, &w->schemas, &w->processes, &w->threads,
                              &w->ranges, &w->devices, &w->apis,     &w->gpu_ids, &w->id_spaces };
    pf_map *const maps[] = { &w->contexts, &w->context_numbers, &w->queues,   &w->stages,
                             &w->kernels,  &w->kinds,           &w->shapes,   &w->pids,
                             &w->tids,     &w->counters,        &w->gpu_taken };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        free(rows[i]->ids);
    }
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        free(maps[i]->slots);
    }
    for (size_t i = 0; i < PF_SPACES; i++) {
        free(w->spaces[i].rows.ids);
    }
    for (size_t i = 0; w->lanes != NULL && i < w->lane_count; i++) {
        free(w->lanes[i].ends);
    }
    tsm_pairs_free(&w->pairs);
    free(w->lanes);
    free(w->held);
    free(w->held_extensions);
    free(w->held_rows);
    free(w->items);
    free(w->heap);
    free(w->kind);
    free(w->schema);
    free(w->frame_ids);
    free(w->in_use);
    free(w->arguments.bytes);
    free(w->flows.bytes);
    pf_window_destroy(w);
    free(w);
}

static pf_writer *
create_writer(tsm_output *output, const tsm_export_options *options, tsm_export_report *report)
{
    pf_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return NULL;
    }
    w->output = output;
    w->options = options;
    w->report = report;
    w->arguments.bytes = malloc(PF_PART_BYTES);
    w->flows.bytes = malloc(PF_PART_BYTES);
    w->lanes = calloc(1, sizeof *w->lanes);
    w->lane_count = w->lane_capacity = 1;
    if (!pf_window_create(w) || w->lanes == NULL || w->arguments.bytes == NULL || w->flows.bytes == NULL) {
        free_writer(w);
        return NULL;
    }
    return w;
}

/* A cursor whose owner closes it, for those who take cursors over. */
typedef struct {
    tsm_cursor cursor;
    tsm_cursor *source;
} lent_cursor;

static tsm_status
lent_next(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err)
{
    return tsm_cursor_next(((lent_cursor *)cursor)->source, batch, err);
}

static tsm_tables *
lent_tables(tsm_cursor *cursor)
{
    return tsm_cursor_tables(((lent_cursor *)cursor)->source);
}

static void
lent_close(tsm_cursor *cursor)
{
    (void)cursor;
}

static uint64_t
lent_horizon(tsm_cursor *cursor)
{
    tsm_cursor *source = ((lent_cursor *)cursor)->source;
    return source->ops->horizon(source);
}

tsm_status
tsm_export_perfetto(tsm_cursor *cursor, tsm_output *output, const tsm_export_options *options,
                    tsm_export_report *report, tsm_error *err)
{
    static const tsm_cursor_ops lent_ops = { lent_next, lent_tables, lent_close, lent_horizon };
    lent_cursor lent = { { &lent_ops }, cursor };
    tsm_cursor *ordered;
    pf_writer *w = create_writer(output, options, report);
    if (w == NULL || tsm_cursor_merge(&lent.cursor, &ordered) != TSM_OK) {
        if (w != NULL) {
            free_writer(w);
        }
        return no_memory(err);
    }
    tsm_status status = write_all(w, ordered, err);
    tsm_cursor_close(ordered);
    free_writer(w);
    return status;
}
