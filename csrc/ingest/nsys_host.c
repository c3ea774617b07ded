/* What threads did, and what was measured beside them. */
#include <string.h>

#include "ingest/nsys.h"

/* Tables of calls begin with these. */
enum { CALL_START, CALL_END, CALL_THREAD, CALL_NAME, CALL_COLUMNS };
#define CALL_COLUMN_NAMES "start", "end", "globalTid", "nameId"

static bool
place(nsys *im, nsys_source *source, tsm_event *event)
{
    event->thread = nsys_has(source, CALL_THREAD) ? nsys_thread_row(im, source->values[CALL_THREAD]) : 0;
    if (event->thread == 0) {
        nsys_refuse(im, source, "it is of no thread");
    }
    return event->thread != 0;
}

static uint32_t
name_of(nsys *im, const nsys_source *source)
{
    return nsys_has(source, CALL_NAME) ? nsys_text_row(im, source->values[CALL_NAME]) : 0;
}

/* ---- The driver and the runtime -------------------------------------------------------------- */

enum { RUNTIME_CORRELATION = CALL_COLUMNS, RUNTIME_RESULT, RUNTIME_STACK };

static bool
is_about_event(uint16_t type)
{
    return type == TSM_EVENT_EVENT_RECORD || type == TSM_EVENT_EVENT_WAIT || type == TSM_EVENT_EVENT_SYNC;
}

/* What is known about the call from other tables. True: the allocation has an address. */
static bool
apply_note(const nsys_note *note, tsm_event *event)
{
    bool is_memory = event->type == TSM_EVENT_MEM_ALLOC || event->type == TSM_EVENT_MEM_FREE;
    event->stream = note->stream;
    if (note->has_event && is_about_event(event->type)) {
        event->value = note->event;
        event->flags |= TSM_VALUE_INTEGER;
    } else if (note->has_memory && is_memory) {
        event->value = note->bytes;
        event->flags |= TSM_VALUE_BYTES;
    }
    return note->has_memory && is_memory;
}

static void
add_allocation(nsys *im, const nsys_note *note)
{
    static const char *const field = "address";
    if (im->allocation_schema == 0) {
        im->allocation_schema = ingest_schema(&im->buffer, "allocation", &field, 1, TSM_COLUMN_HEX);
    }
    ingest_buffer_extend(&im->buffer, &(tsm_extension){ .values = { note->address },
                                                        .type = TSM_SLOT_EXTENSION,
                                                        .count = 1,
                                                        .schema = im->allocation_schema });
}

static void
keep_call(nsys *im, nsys_source *source, tsm_event *event)
{
    const int64_t *values = source->values;
    if (!place(im, source, event)) {
        return;
    }
    event->type = TSM_EVENT_RUNTIME_CALL;
    event->name = nsys_has(source, CALL_NAME) ? nsys_call_row(im, values[CALL_NAME], &event->type) : 0;
    event->correlation = (uint64_t)values[RUNTIME_CORRELATION];
    if (nsys_has(source, RUNTIME_STACK)) {
        event->stack = nsys_find(im, NSYS_KEY_CUDA_STACK, values[RUNTIME_STACK], 0, 0);
    }
    if (values[RUNTIME_RESULT] != 0) {
        event->flags |= TSM_EXTRA_METADATA;
        event->extra = ingest_metadata_number(&im->buffer, 0, "returned", values[RUNTIME_RESULT]);
    }
    const nsys_note *note = NULL;
    if (im->note_count > 0 && event->type != TSM_EVENT_RUNTIME_CALL) {
        int64_t process = (int64_t)((uint64_t)values[CALL_THREAD] & ~(uint64_t)0xffffff);
        note = nsys_note_of(im, process, values[RUNTIME_CORRELATION]);
    }
    bool has_address = note != NULL && apply_note(note, event);
    ingest_buffer_add(&im->buffer, event);
    if (has_address) {
        add_allocation(im, note);
    }
}

/* ---- The operating system's calls, libraries, overhead --------------------------------------- */

enum { SYSTEM_STACK = CALL_COLUMNS };

/* Neither a framework's operators nor the driver's calls, and not to be counted as such. */
static void
keep_system_call(nsys *im, nsys_source *source, tsm_event *event)
{
    if (!place(im, source, event)) {
        return;
    }
    if (im->os_metadata == 0) {
        im->os_metadata = ingest_metadata(&im->buffer, 0, "kind", ingest_word(&im->buffer, "operating system"));
    }
    event->type = TSM_EVENT_CUSTOM;
    event->name = name_of(im, source);
    event->flags = TSM_EXTRA_METADATA;
    event->extra = im->os_metadata;
    /* Chain 0 is none. */
    if (source->values[SYSTEM_STACK] != 0) {
        event->stack = nsys_find(im, NSYS_KEY_OS_STACK, source->values[SYSTEM_STACK], 0, 0);
    }
    ingest_buffer_add(&im->buffer, event);
}

static void
keep_library_call(nsys *im, nsys_source *source, tsm_event *event)
{
    event->type = TSM_EVENT_CPU_OP;
    event->name = name_of(im, source);
    if (place(im, source, event)) {
        ingest_buffer_add(&im->buffer, event);
    }
}

static void
keep_overhead(nsys *im, nsys_source *source, tsm_event *event)
{
    event->type = TSM_EVENT_OVERHEAD;
    event->name = name_of(im, source);
    if (place(im, source, event)) {
        ingest_buffer_add(&im->buffer, event);
    }
}

/* ---- Counters -------------------------------------------------------------------------------- */

enum { METRIC_TIME, METRIC_TYPE, METRIC_ID, METRIC_VALUE };

static void
keep_metric(nsys *im, nsys_source *source, tsm_event *event)
{
    const int64_t *values = source->values;
    double value = im->sqlite.column_double(source->statement, METRIC_VALUE);
    event->type = TSM_EVENT_COUNTER;
    event->flags = TSM_VALUE_COUNTER | TSM_EXTRA_COUNTER;
    memcpy(&event->value, &value, sizeof value);
    event->extra = nsys_find(im, NSYS_KEY_METRIC, values[METRIC_TYPE], values[METRIC_ID], 0);
    event->name =
        (uint32_t)tsm_tables_borrow_row(im->buffer.tables, TSM_TABLE_COUNTERS, event->extra)[TSM_COUNTER_NAME];
    event->device = nsys_device_row(im, values[METRIC_TYPE] & 0xff);
    ingest_buffer_add(&im->buffer, event);
}

const nsys_table nsys_host_tables[] = {
    { .name = "CUPTI_ACTIVITY_KIND_RUNTIME",
      .columns = { CALL_COLUMN_NAMES, "correlationId", "returnValue", "callchainId" },
      .has_end = true,
      .keep = keep_call },
    { .name = "OSRT_API", .columns = { CALL_COLUMN_NAMES, "callchainId" }, .has_end = true, .keep = keep_system_call },
    { .name = "CUBLAS_EVENTS", .columns = { CALL_COLUMN_NAMES }, .has_end = true, .keep = keep_library_call },
    { .name = "CUDNN_EVENTS", .columns = { CALL_COLUMN_NAMES }, .has_end = true, .keep = keep_library_call },
    { .name = "CUPTI_ACTIVITY_KIND_OVERHEAD",
      .columns = { CALL_COLUMN_NAMES },
      .has_end = true,
      .keep = keep_overhead },
    { .name = "PROFILER_OVERHEAD", .columns = { CALL_COLUMN_NAMES }, .has_end = true, .keep = keep_overhead },
    { .name = "GPU_METRICS",
      .columns = { "timestamp", "typeId", "metricId", "value" },
      .later = 1u << METRIC_VALUE,
      .keep = keep_metric },
    { .name = NULL },
};
