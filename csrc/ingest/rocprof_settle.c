/* Records become events. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ingest/names.h"
#include "ingest/rocprof.h"

static uint32_t
process_row(rocprof *im)
{
    if (im->process == 0) {
        uint64_t values[TSM_COLUMNS_MAX] = { [TSM_PROCESS_HOST] = im->host, [TSM_PROCESS_PID] = im->process_id };
        im->process = ingest_row(&im->buffer, TSM_TABLE_PROCESSES, values);
    }
    return im->process;
}

static uint32_t
thread_row(rocprof *im, uint64_t thread)
{
    uint32_t *row = rocprof_at(im, ROCPROF_KEY_THREAD, thread, 0, 0);
    if (row != NULL && *row == 0) {
        uint64_t values[TSM_COLUMNS_MAX] = { [TSM_THREAD_PROCESS] = process_row(im), [TSM_THREAD_TID] = thread };
        *row = ingest_row(&im->buffer, TSM_TABLE_THREADS, values);
    }
    return row == NULL ? 0 : *row;
}

/* An agent that nobody told of is a device of which only the number is known. */
static uint32_t
device_row(rocprof *im, uint64_t agent)
{
    uint32_t *row = rocprof_at(im, ROCPROF_KEY_GPU, agent, 0, 0);
    if (row != NULL && *row == 0) {
        uint64_t values[TSM_COLUMNS_MAX] = { [TSM_DEVICE_HOST] = im->host,
                                             [TSM_DEVICE_ORDINAL] = agent,
                                             [TSM_DEVICE_VENDOR] = ingest_word(&im->buffer, "AMD") };
        *row = ingest_row(&im->buffer, TSM_TABLE_DEVICES, values);
    }
    return row == NULL ? 0 : *row;
}

#define COPY_ENGINE UINT64_MAX /* for a queue: copies are in none */

/* HIP's stream if the record tells it, else the queue: 0 says either that it does not or that it is
 * the default stream, which runs in several queues at once. */
static void
place(rocprof *im, const rocprof_record *record, uint64_t agent, uint64_t queue, tsm_event *event)
{
    char name[40];
    bool has_stream = record->stream != 0;
    uint64_t number = has_stream ? record->stream : queue;
    event->device = device_row(im, agent);
    uint32_t *row = rocprof_at(im, ROCPROF_KEY_STREAM, agent, number, has_stream);
    if (row != NULL && *row == 0) {
        snprintf(name, sizeof name, has_stream ? "stream %" PRIu64 : "queue %" PRIu64, number);
        uint64_t values[TSM_COLUMNS_MAX] = {
            [TSM_STREAM_PROCESS] = process_row(im),
            [TSM_STREAM_DEVICE] = event->device,
            [TSM_STREAM_RAW_ID] = number,
            [TSM_STREAM_NAME] = ingest_word(&im->buffer, number == COPY_ENGINE && !has_stream ? "copies" : name),
        };
        /* A new row even if equal: a stream's number may be a queue's too. */
        ingest_note(&im->buffer, tsm_tables_add(im->buffer.tables, TSM_TABLE_STREAMS, values, row));
    }
    event->stream = row == NULL ? 0 : *row;
}

static uint32_t
operation_row(rocprof *im, const rocprof_record *record)
{
    return rocprof_row(im, ROCPROF_KEY_OPERATION, record->kind, record->operation);
}

static tsm_text
text_of(const rocprof *im, uint32_t row)
{
    return tsm_tables_borrow_text(im->buffer.tables, TSM_TABLE_STRINGS, row);
}

static bool
has(tsm_text text, const char *part)
{
    return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

/* ---- Work ------------------------------------------------------------------------------------ */

/* Of grid and workgroup, both in work-items, how many groups: the last one may not be full. */
static uint64_t
groups(uint32_t grid, uint32_t workgroup)
{
    return workgroup == 0 ? grid : ((uint64_t)grid + workgroup - 1) / workgroup;
}

static uint32_t
launch_row(rocprof *im, const rocprof_record *r)
{
    uint64_t values[TSM_COLUMNS_MAX] = {
        [TSM_LAUNCH_GRID_X] = groups(r->grid[0], r->workgroup[0]),
        [TSM_LAUNCH_GRID_Y] = groups(r->grid[1], r->workgroup[1]),
        [TSM_LAUNCH_GRID_Z] = groups(r->grid[2], r->workgroup[2]),
        [TSM_LAUNCH_BLOCK_X] = r->workgroup[0],
        [TSM_LAUNCH_BLOCK_Y] = r->workgroup[1],
        [TSM_LAUNCH_BLOCK_Z] = r->workgroup[2],
        [TSM_LAUNCH_SHARED_STATIC] = r->group_bytes,
        [TSM_LAUNCH_LOCAL_BYTES] = r->private_bytes,
    };
    return ingest_row(&im->buffer, TSM_TABLE_LAUNCHES, values);
}

static void
keep_kernel(rocprof *im, const rocprof_record *record, tsm_event *event)
{
    char name[40];
    event->name = rocprof_row(im, ROCPROF_KEY_KERNEL, record->kernel, 0);
    if (event->name == 0) {
        snprintf(name, sizeof name, "(kernel %" PRIu64 ")", record->kernel);
        event->name = ingest_word(&im->buffer, name);
        ingest_count(im->buffer.report, "kernel_symbols", "names that are not there: called by their number", 1);
    }
    event->type = ingest_kernel_type(text_of(im, event->name));
    event->extra = launch_row(im, record);
    event->flags = TSM_EXTRA_LAUNCH;
    place(im, record, record->agent, record->queue, event);
    ingest_buffer_add(&im->buffer, event);
}

static void
keep_copy(rocprof *im, const rocprof_record *record, tsm_event *event)
{
    static const struct {
        const char *name;
        uint16_t type;
    } copies[2][2] = {
        { { "Memcpy HtoH", TSM_EVENT_MEMCPY_H2H }, { "Memcpy HtoD", TSM_EVENT_MEMCPY_H2D } },
        { { "Memcpy DtoH", TSM_EVENT_MEMCPY_D2H }, { "Memcpy DtoD", TSM_EVENT_MEMCPY_D2D } },
    };
    bool from = rocprof_find(im, ROCPROF_KEY_GPU, record->source, 0, 0) != 0;
    bool to = rocprof_find(im, ROCPROF_KEY_GPU, record->destination, 0, 0) != 0;
    bool between = from && to && record->source != record->destination;
    event->type = between ? TSM_EVENT_MEMCPY_P2P : copies[from][to].type;
    event->name = ingest_word(&im->buffer, between ? "Memcpy PtoP" : copies[from][to].name);
    event->value = record->bytes;
    event->flags = TSM_VALUE_BYTES;
    place(im, record, to ? record->destination : record->source, COPY_ENGINE, event);
    ingest_buffer_add(&im->buffer, event);
}

/* ---- What threads did ------------------------------------------------------------------------ */

static void
keep_allocation(rocprof *im, const rocprof_record *record, tsm_event *event)
{
    static const char *const field = "address";
    event->name = operation_row(im, record);
    event->type = has(text_of(im, event->name), "FREE") ? TSM_EVENT_MEM_FREE : TSM_EVENT_MEM_ALLOC;
    event->device = rocprof_find(im, ROCPROF_KEY_GPU, record->agent, 0, 0);
    if (record->section == ROCPROF_SCRATCH) {
        event->type = TSM_EVENT_CUSTOM; /* a kernel's own, which no program asked for */
    }
    if (record->bytes > 0) {
        event->value = record->bytes;
        event->flags = TSM_VALUE_BYTES;
    }
    ingest_buffer_add(&im->buffer, event);
    if (record->address == 0) {
        return;
    }
    if (im->allocation_schema == 0) {
        im->allocation_schema = ingest_schema(&im->buffer, "allocation", &field, 1, TSM_COLUMN_HEX);
    }
    ingest_buffer_extend(&im->buffer, &(tsm_extension){ .values = { record->address },
                                                        .type = TSM_SLOT_EXTENSION,
                                                        .count = 1,
                                                        .schema = im->allocation_schema });
}

/* What a person named is known by the correlation; a call of the library that names nothing is a
 * call. */
static void
keep_marker(rocprof *im, const rocprof_record *record, tsm_event *event)
{
    uint32_t text = rocprof_row(im, ROCPROF_KEY_MARKER, record->correlation, 0);
    uint32_t operation = operation_row(im, record);
    bool is_mark = has(text_of(im, operation), "Mark") || event->duration == 0;
    event->name = text != 0 ? text : operation;
    event->type = text == 0 ? TSM_EVENT_RUNTIME_CALL : is_mark ? TSM_EVENT_MARKER : TSM_EVENT_RANGE;
    event->duration = event->type == TSM_EVENT_MARKER ? 0 : event->duration;
    event->correlation = 0; /* of the marker's own, which launched nothing */
    ingest_buffer_add(&im->buffer, event);
}

static void
keep_call(rocprof *im, const rocprof_record *record, tsm_event *event)
{
    event->name = operation_row(im, record);
    event->type = ingest_call_type(text_of(im, event->name));
    ingest_buffer_add(&im->buffer, event);
}

static const char *
refusal(const rocprof_record *record)
{
    if (record->has & ROCPROF_HAS_WRONG) {
        return "a value is no number";
    }
    if ((record->has & (ROCPROF_HAS_BEGIN | ROCPROF_HAS_END)) != (ROCPROF_HAS_BEGIN | ROCPROF_HAS_END)) {
        return "it has no begin or no end";
    }
    if (record->begin < 0) {
        return "it lies before the clock's begin";
    }
    return record->end < record->begin ? "it ends before it begins" : NULL;
}

static void
settle_record(rocprof *im, const rocprof_record *record)
{
    typedef void keeper(rocprof * im, const rocprof_record *record, tsm_event *event);
    static keeper *const keepers[] = {
        [ROCPROF_KERNEL] = keep_kernel,      [ROCPROF_COPY] = keep_copy,     [ROCPROF_ALLOCATION] = keep_allocation,
        [ROCPROF_SCRATCH] = keep_allocation, [ROCPROF_MARKER] = keep_marker, [ROCPROF_CALL] = keep_call,
    };
    const char *reason = refusal(record);
    tsm_event event = { .timestamp = (uint64_t)record->begin, .correlation = record->correlation };
    if (reason == NULL && record->section >= ROCPROF_ALLOCATION) {
        event.thread = thread_row(im, record->thread);
        reason = event.thread == 0 ? "it is of no thread" : NULL;
    }
    ingest_count(im->buffer.report, record->list, reason, 1);
    if (reason == NULL) {
        event.duration = (uint64_t)(record->end - record->begin);
        keepers[record->section](im, record, &event);
    }
}

void
rocprof_settle(rocprof *im)
{
    for (size_t i = 0; i < im->record_count && im->buffer.status == TSM_OK; i++) {
        settle_record(im, &im->records[i]);
        if (ingest_buffer_full(&im->buffer)) {
            ingest_buffer_flush(&im->buffer);
        }
    }
    im->record_count = 0;
}
