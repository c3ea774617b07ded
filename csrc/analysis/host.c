/* What host threads do: kept as far back as a gap may ask for, counted by call, and watched for
 * launches, waits, steps and event waits. */
#include <stdlib.h>
#include <string.h>

#include "analysis/pass.h"

const tsm_host_span *
tsm_thread_span(const tsm_thread_state *thread, uint64_t number)
{
    return number >= thread->tail && number < thread->head ? &thread->spans[number & (thread->capacity - 1)] : NULL;
}

/* Spans that a gap may still ask for begin after this: every device has been busy until its cover. */
static uint64_t
needed_from(const tsm_pass *pass)
{
    uint64_t from = UINT64_MAX;
    for (uint32_t i = 0; i < pass->device_count && i < 1024; i++) {
        if (pass->devices[i].active && pass->devices[i].cover < from) {
            from = pass->devices[i].cover;
        }
    }
    return from;
}

static bool
widen(tsm_thread_state *thread)
{
    size_t capacity = thread->capacity == 0 ? TSM_SPANS_FEWEST : thread->capacity * 2;
    tsm_host_span *wider = malloc(capacity * sizeof *wider);
    if (wider == NULL) {
        return false;
    }
    for (uint64_t number = thread->tail; number < thread->head; number++) {
        wider[number & (capacity - 1)] = thread->spans[number & (thread->capacity - 1)];
    }
    free(thread->spans);
    thread->spans = wider;
    thread->capacity = capacity;
    return true;
}

static void
make_room(tsm_pass *pass, tsm_thread_state *thread)
{
    if (thread->head - thread->tail < thread->capacity) {
        return;
    }
    bool needed = thread->capacity == 0
                  || (thread->capacity < TSM_SPANS_MOST
                      && thread->spans[thread->tail & (thread->capacity - 1)].end > needed_from(pass));
    if (!needed) {
        thread->tail++; /* the oldest gives way */
    } else if (!widen(thread)) {
        pass->failed = true;
    }
}

static void
keep_span(tsm_pass *pass, uint32_t row, const tsm_event *event, uint64_t end, tsm_host_kind kind)
{
    tsm_thread_state *thread = &pass->threads[row];
    make_room(pass, thread);
    if (thread->head - thread->tail == thread->capacity) {
        return; /* no memory */
    }
    uint64_t parent = thread->head == 0 ? UINT64_MAX : thread->head - 1;
    for (const tsm_host_span *span; parent != UINT64_MAX; parent = span->parent) {
        span = tsm_thread_span(thread, parent);
        if (span == NULL || span->end > event->timestamp) {
            parent = span == NULL ? UINT64_MAX : parent;
            break;
        }
    }
    thread->spans[thread->head++ & (thread->capacity - 1)] = (tsm_host_span){
        .begin = event->timestamp,
        .end = end,
        .parent = parent,
        .name = event->name < pass->name_count ? event->name : 0,
        .stack = event->stack,
        .kind = kind,
    };
}

/* ---- Calls ------------------------------------------------------------------------------------ */

static tsm_host_kind
kind_of_call(const tsm_event *event, uint32_t bits)
{
    switch (event->type) {
    case TSM_EVENT_STREAM_SYNC:
    case TSM_EVENT_DEVICE_SYNC:
    case TSM_EVENT_EVENT_SYNC:
        return TSM_HOST_WAIT;
    case TSM_EVENT_MEM_ALLOC:
    case TSM_EVENT_MEM_FREE:
        return TSM_HOST_ALLOCATE;
    case TSM_EVENT_RUNTIME_CALL:
        return bits & TSM_NAME_SYNC                    ? TSM_HOST_WAIT
               : bits & TSM_NAME_ALLOCATE              ? TSM_HOST_ALLOCATE
               : bits & (TSM_NAME_COPY | TSM_NAME_SET) ? TSM_HOST_COPY
                                                       : TSM_HOST_CALL;
    default:
        return TSM_HOST_CALL;
    }
}

static void
count_call(tsm_pass *pass, tsm_name_state *name, uint32_t row, tsm_host_kind kind, uint64_t duration)
{
    if (name->api == NULL) {
        uint32_t key = tsm_pass_name_text(pass, row);
        name->api = tsm_records_find(pass->records, TSM_RECORD_API, &key);
        TSM_OR_RETURN(name->api);
        name->api->fields[0] = name->class.bits | (kind == TSM_HOST_WAIT ? TSM_NAME_SYNC : 0)
                               | (kind == TSM_HOST_ALLOCATE ? TSM_NAME_ALLOCATE : 0);
    }
    pass->failed |= !tsm_summary_add(&name->api->summaries[0], duration);
}

static uint32_t
stream_of(const tsm_pass *pass, const tsm_event *event)
{
    return event->stream < pass->stream_count ? event->stream : 0;
}

static void
note_call(tsm_pass *pass, const tsm_event *event, uint32_t thread, uint64_t end)
{
    if (event->correlation == 0) {
        return;
    }
    tsm_stream_state *stream = &pass->streams[stream_of(pass, event)];
    tsm_call call = {
        .correlation = event->correlation,
        .begin = event->timestamp,
        .end = end,
        .process = pass->threads[thread].process,
        .thread = thread,
        .name = event->name < pass->name_count ? event->name : 0,
        .stack = event->stack,
        .stream = event->stream,
        .waits_stream = stream->waits_stream,
    };
    stream->waits_stream = 0;
    if (pass->orphans.count > 0) {
        tsm_call_missed(pass, &call);
    }
    pass->failed |= !tsm_calls_add(&pass->calls, &call);
}

static void
note_wait(tsm_pass *pass, const tsm_event *event, uint32_t thread, uint64_t end)
{
    uint32_t stream = stream_of(pass, event);
    uint32_t device = stream != 0                                                ? pass->streams[stream].device
                      : event->device != 0 && event->device < pass->device_count ? event->device
                                                                                 : pass->threads[thread].device;
    tsm_pending_add(pass, &(tsm_pending){ .begin = event->timestamp,
                                          .end = end,
                                          .name = event->name < pass->name_count ? event->name : 0,
                                          .stack = event->stack,
                                          .thread = thread,
                                          .stream = stream,
                                          .device = device });
}

/* Which stream an event stands for, and who waits for it. */
static void
note_event(tsm_pass *pass, const tsm_event *event, uint32_t thread)
{
    uint32_t stream = stream_of(pass, event);
    uint32_t process = pass->threads[thread].process;
    if (event->type == TSM_EVENT_EVENT_RECORD) {
        pass->failed |= !tsm_map_put(&pass->recorded, process, event->value, (void *)((uintptr_t)stream + 1));
    } else if (event->type == TSM_EVENT_EVENT_WAIT) {
        uintptr_t on = (uintptr_t)tsm_map_get(&pass->recorded, process, event->value);
        pass->streams[stream].waits_stream = on == 0 ? 0 : (uint32_t)(on - 1);
        if (pass->streams[stream].record != NULL) {
            pass->streams[stream].record->fields[TSM_STREAM_WAITS]++;
        }
    }
}

static void
on_call(tsm_pass *pass, const tsm_event *event, uint32_t thread, uint64_t end)
{
    uint32_t row = event->name < pass->name_count ? event->name : 0;
    tsm_name_state *name = tsm_pass_name(pass, row);
    tsm_host_kind kind = kind_of_call(event, name->class.bits);
    count_call(pass, name, row, kind, end - event->timestamp);
    keep_span(pass, thread, event, end, kind);
    if (event->type == TSM_EVENT_RUNTIME_CALL) {
        note_call(pass, event, thread, end);
    } else {
        note_event(pass, event, thread);
    }
    if (kind == TSM_HOST_WAIT) {
        note_wait(pass, event, thread, end);
    }
}

/* ---- Operators, ranges, steps ----------------------------------------------------------------- */

static tsm_pending
step_of(const tsm_pass *pass, const tsm_event *event, uint32_t thread, uint64_t end)
{
    uint32_t row = pass->threads[thread].device;
    const tsm_device_state *device = &pass->devices[row];
    uint64_t time = event->timestamp;
    return (tsm_pending){
        .begin = time,
        .end = end,
        .is_step = true,
        .name = event->name,
        .thread = thread,
        .device = row,
        .busy = tsm_union_at(device->busy, device->cover, time),
        .compute = tsm_union_at(device->compute, device->compute_cover, time),
        .either = tsm_union_at(device->either, device->either_cover, time),
    };
}

static bool
is_step(tsm_pass *pass, const tsm_event *event)
{
    return event->name < pass->name_count && (tsm_pass_name(pass, event->name)->class.bits & TSM_NAME_STEP) != 0;
}

/* Ranges whose ends are events of their own nest on their thread; only steps are made of them. */
static void
begin_range(tsm_pass *pass, const tsm_event *event, uint32_t row)
{
    tsm_thread_state *thread = &pass->threads[row];
    thread->depth++;
    if (thread->step_depth == 0 && is_step(pass, event)) {
        if (thread->step == NULL) {
            thread->step = malloc(sizeof *thread->step);
        }
        if (thread->step == NULL) {
            pass->failed = true;
            return;
        }
        *thread->step = step_of(pass, event, row, 0);
        thread->step_depth = thread->depth;
    }
}

static void
end_range(tsm_pass *pass, const tsm_event *event, uint32_t row)
{
    tsm_thread_state *thread = &pass->threads[row];
    if (thread->depth == 0) {
        pass->health[TSM_HEALTH_OPEN]++;
        return;
    }
    if (thread->depth-- == thread->step_depth) {
        thread->step_depth = 0;
        thread->step->end = event->timestamp;
        tsm_pending_add(pass, thread->step);
    }
}

static void
on_operator(tsm_pass *pass, const tsm_event *event, uint32_t thread, uint64_t end)
{
    if (event->type == TSM_EVENT_RANGE && is_step(pass, event)) {
        tsm_pending step = step_of(pass, event, thread, end);
        tsm_pending_add(pass, &step);
    } else if (end > event->timestamp) {
        keep_span(pass, thread, event, end, TSM_HOST_OPERATOR);
    }
}

void
tsm_pass_host(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t extension_count)
{
    uint32_t thread = event->thread < pass->thread_count ? event->thread : 0;
    uint64_t duration = event->duration;
    if (duration > INT64_MAX || event->timestamp + duration < event->timestamp) {
        pass->health[TSM_HEALTH_NEGATIVE]++;
        duration = 0;
    }
    uint64_t end = event->timestamp + duration;
    switch (event->type) {
    case TSM_EVENT_RUNTIME_CALL:
    case TSM_EVENT_STREAM_SYNC:
    case TSM_EVENT_DEVICE_SYNC:
    case TSM_EVENT_EVENT_SYNC:
    case TSM_EVENT_EVENT_RECORD:
    case TSM_EVENT_EVENT_WAIT:
    case TSM_EVENT_STREAM_CREATE:
    case TSM_EVENT_STREAM_DESTROY:
    case TSM_EVENT_CONTEXT_CREATE:
    case TSM_EVENT_CONTEXT_DESTROY:
        on_call(pass, event, thread, end);
        break;
    case TSM_EVENT_MEM_ALLOC:
    case TSM_EVENT_MEM_FREE:
        if (duration > 0) {
            on_call(pass, event, thread, end);
        }
        tsm_pass_memory(pass, event, extensions, extension_count);
        break;
    case TSM_EVENT_RANGE_START:
        begin_range(pass, event, thread);
        break;
    case TSM_EVENT_RANGE_END:
        end_range(pass, event, thread);
        break;
    case TSM_EVENT_CPU_OP:
    case TSM_EVENT_PYTHON_CALL:
    case TSM_EVENT_RANGE:
    case TSM_EVENT_OVERHEAD:
    case TSM_EVENT_CUSTOM:
        on_operator(pass, event, thread, end);
        break;
    default:
        break;
    }
}
