#include "analysis/pass.h"

#include <stdlib.h>
#include <string.h>

static const char *const health_ids[TSM_HEALTH_COUNT] = {
    [TSM_HEALTH_NEGATIVE] = "negative durations",         [TSM_HEALTH_ZERO] = "device work without extent",
    [TSM_HEALTH_ORPHAN] = "device work without its call", [TSM_HEALTH_BEFORE_CALL] = "device work before its call",
    [TSM_HEALTH_DISORDER] = "events out of order",        [TSM_HEALTH_LIMITED] = "beyond a limit of the analysis",
    [TSM_HEALTH_OPEN] = "begins without an end",
};

tsm_status
tsm_pass_create(tsm_records *records, const char *label, uint64_t begin, uint64_t end, tsm_pass **out)
{
    tsm_pass *pass = calloc(1, sizeof *pass);
    if (pass == NULL) {
        return TSM_E_NOMEM;
    }
    pass->records = records;
    pass->label = tsm_records_text(records, label, strlen(label));
    pass->window_begin = begin;
    pass->window_end = end;
    pass->begin = UINT64_MAX;
    *out = pass;
    return TSM_OK;
}

void
tsm_pass_destroy(tsm_pass *pass)
{
    if (pass == NULL) {
        return;
    }
    for (uint32_t i = 0; i < pass->device_count; i++) {
        free(pass->devices[i].ends);
    }
    for (uint32_t i = 0; i < pass->thread_count; i++) {
        free(pass->threads[i].spans);
        free(pass->threads[i].step);
    }
    for (size_t i = 0; i < pass->live.capacity; i++) {
        free(pass->live.slots[i].value);
    }
    tsm_calls_free(&pass->calls);
    tsm_map_free(&pass->cache);
    tsm_map_free(&pass->recorded);
    tsm_map_free(&pass->live);
    tsm_map_free(&pass->orphans);
    tsm_map_free(&pass->held.begins);
    free(pass->held.items);
    free(pass->held.extensions);
    free(pass->pending);
    free(pass->names);
    free(pass->streams);
    free(pass->devices);
    free(pass->threads);
    free(pass->schemas);
    free(pass->stack_texts);
    free(pass);
}

void
tsm_pass_take(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t extension_count)
{
    pass->health[TSM_HEALTH_DISORDER] += event->timestamp < pass->now;
    pass->now = event->timestamp;
    uint64_t end = event->timestamp + (event->duration > INT64_MAX ? 0 : event->duration);
    pass->begin = event->timestamp < pass->begin ? event->timestamp : pass->begin;
    pass->end = end > pass->end ? end : pass->end;
    if (pass->pending_count > 0 && pass->pending[0].end <= event->timestamp) {
        tsm_pending_settle(pass, event->timestamp);
    }
    if (tsm_event_is_work(event->type)) {
        tsm_pass_work(pass, event, extensions, extension_count);
    } else if (!tsm_event_on_stream(event)) {
        tsm_pass_host(pass, event, extensions, extension_count);
    }
}

tsm_status
tsm_pass_batch(tsm_pass *pass, const tsm_tables *tables, const tsm_batch *batch, tsm_error *err)
{
    pass->tables = tables;
    if (!tsm_pass_grow(pass)) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for what is known of the trace's rows");
    }
    size_t extension = 0;
    tsm_kernels_count(pass, batch);
    for (size_t i = 0; i < batch->count; i++) {
        size_t from = extension;
        while (extension < batch->extension_count && batch->extension_rows[extension] == i) {
            extension++;
        }
        const tsm_event *event = &batch->events[i];
        if (pass->held.count > 0 || (event->duration == 0 && (tsm_event_is_begin(event) || tsm_event_is_end(event)))) {
            tsm_pass_hold(pass, event, batch->extensions + from, extension - from);
        } else {
            tsm_pass_take(pass, event, batch->extensions + from, extension - from);
        }
    }
    pass->events += batch->count;
    bool failed = pass->failed || pass->records->failed;
    return failed ? tsm_fail(err, TSM_E_NOMEM, 0, "no memory for the analysis") : TSM_OK;
}

static uint64_t
count_drops(const tsm_tables *tables)
{
    uint64_t dropped = 0;
    for (uint32_t i = 1; i < tsm_tables_count(tables, TSM_TABLE_DROPS); i++) {
        dropped += tsm_tables_borrow_row(tables, TSM_TABLE_DROPS, i)[TSM_DROP_COUNT];
    }
    return dropped;
}

static void
describe_input(tsm_pass *pass, const tsm_tables *tables)
{
    tsm_record *input = tsm_records_find(pass->records, TSM_RECORD_INPUT, &pass->label);
    TSM_OR_RETURN(input);
    uint64_t *fields = input->fields;
    fields[TSM_INPUT_EVENTS] += pass->events;
    fields[TSM_INPUT_DROPPED] += count_drops(tables);
    fields[TSM_INPUT_BEGIN] = pass->begin < fields[TSM_INPUT_BEGIN] ? pass->begin : fields[TSM_INPUT_BEGIN];
    fields[TSM_INPUT_END] = pass->end > fields[TSM_INPUT_END] ? pass->end : fields[TSM_INPUT_END];
    fields[TSM_INPUT_WINDOWED] += pass->window_begin != 0 || pass->window_end != UINT64_MAX;
}

tsm_status
tsm_pass_end(tsm_pass *pass, tsm_tables *tables, tsm_error *err)
{
    pass->tables = tables;
    tsm_pass_hold_end(pass);
    tsm_pending_settle(pass, UINT64_MAX);
    for (uint32_t i = 0; i < pass->device_count; i++) {
        tsm_device_end(pass, i);
    }
    tsm_gaps_end(pass);
    tsm_memory_end(pass);
    describe_input(pass, tables);
    for (int i = 0; i < TSM_HEALTH_COUNT; i++) {
        uint32_t key = tsm_records_format(pass->records, "%s", health_ids[i]);
        tsm_record *record = tsm_records_find(pass->records, TSM_RECORD_HEALTH, &key);
        if (record != NULL) {
            record->fields[0] += pass->health[i];
        }
    }
    bool failed = pass->failed || pass->records->failed;
    return failed ? tsm_fail(err, TSM_E_NOMEM, 0, "no memory for the analysis") : TSM_OK;
}
