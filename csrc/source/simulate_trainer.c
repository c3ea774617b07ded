/* What a host thread can do with its device. The thread's clock moves by calls and waits alone;
 * work begins on a stream when its launch has reached the device and what is before it on the
 * stream, waits included, has ended. Whatever happens is emitted and, on device 0, entered in
 * the ledger. */
#include <string.h>

#include "ring/ring.h"
#include "source/simulate.h"

#define LAUNCH_LATENCY_NS  4200 /* from the call's begin until the device can begin */
#define HOST_GAP_NS        300
#define SYNC_RETURN_NS     1900
#define COPY_BYTES_PER_NS  24
#define CLEAR_BYTES_PER_NS 1024

uint64_t
tsm_trainer_random(tsm_trainer *t, uint64_t limit)
{
    t->random += 0x9e3779b97f4a7c15u;
    unsigned __int128 product = (unsigned __int128)(t->random ^ 0xa3b195354a39b70du) * 0x1b03738712fad5c9u;
    return ((uint64_t)(product >> 64) ^ (uint64_t)product) % limit;
}

/* An eighth less or more. */
static uint64_t
vary(tsm_trainer *t, uint64_t typical)
{
    return typical - typical / 8 + tsm_trainer_random(t, typical / 4 + 1);
}

static bool
in_ledger(const tsm_trainer *t)
{
    return t->ordinal == 0;
}

tsm_trainer_stream *
tsm_trainer_copy_stream(tsm_trainer *t)
{
    return &t->streams[t->compute_streams + TSM_WORLD_COPY_STREAM];
}

tsm_trainer_stream *
tsm_trainer_communication_stream(tsm_trainer *t)
{
    return &t->streams[t->compute_streams + TSM_WORLD_COMMUNICATION_STREAM];
}

/* The bit of config.omit that leaves out a whole event. */
static uint32_t
omission_of(uint16_t type)
{
    switch (type) {
    case TSM_EVENT_KERNEL_LAUNCH:
        return TSM_OMIT_KERNELS;
    case TSM_EVENT_MEMCPY_H2D:
    case TSM_EVENT_MEMCPY_D2H:
    case TSM_EVENT_MEMCPY_D2D:
        return TSM_OMIT_COPIES;
    case TSM_EVENT_MEMSET_DEVICE:
        return TSM_OMIT_MEMSETS;
    case TSM_EVENT_STREAM_SYNC:
    case TSM_EVENT_DEVICE_SYNC:
    case TSM_EVENT_EVENT_SYNC:
        return TSM_OMIT_SYNCS;
    case TSM_EVENT_MEM_ALLOC:
    case TSM_EVENT_MEM_FREE:
        return TSM_OMIT_ALLOCATIONS;
    default:
        return 0;
    }
}

/* What is left of an event when parts of it are not wanted. */
static tsm_event
without_omitted(const tsm_event *event, uint32_t omit)
{
    tsm_event left = *event;
    if (omit & TSM_OMIT_STACKS) {
        left.stack = 0;
    }
    if ((omit & TSM_OMIT_LAUNCH_SHAPES) && (left.flags & TSM_EXTRA_MASK) == TSM_EXTRA_LAUNCH) {
        left.extra = 0;
        left.flags &= (uint16_t)~TSM_EXTRA_MASK;
    }
    return left;
}

void
tsm_trainer_emit(tsm_trainer *t, const tsm_event *event, const tsm_extension *extension)
{
    uint64_t end = event->timestamp + event->duration;
    tsm_job *j = t->job;
    uint32_t omit = j->config.omit;
    tsm_event left;
    j->end_ns = end > j->end_ns ? end : j->end_ns;
    if (omit != 0) {
        uint32_t kind = omission_of(event->type);
        if (omit & kind) {
            return;
        }
        extension = kind == TSM_OMIT_COPIES && (omit & TSM_OMIT_COPY_DETAILS) ? NULL : extension;
        left = without_omitted(event, omit);
        event = &left;
    }
    j->answers.events++;
    if (extension == NULL) {
        tsm_ring_emit(event);
    } else {
        tsm_ring_emit_extended(event, extension, 1);
    }
}

/* The host thread is busy for about typical_ns. The event is the caller's to complete and emit. */
static tsm_event
spend(tsm_trainer *t, tsm_event_type type, uint32_t name, uint64_t typical_ns)
{
    tsm_event event = {
        .timestamp = t->now,
        .duration = vary(t, typical_ns),
        .name = name,
        .thread = t->rows.thread,
        .type = (uint16_t)type,
    };
    t->now += event.duration + HOST_GAP_NS;
    return event;
}

void
tsm_trainer_range(tsm_trainer *t, tsm_event_type type, uint32_t name, uint64_t begin)
{
    tsm_trainer_emit(t,
                     &(tsm_event){ .timestamp = begin,
                                   .duration = t->now - begin,
                                   .name = name,
                                   .thread = t->rows.thread,
                                   .type = (uint16_t)type },
                     NULL);
}

void
tsm_trainer_call(tsm_trainer *t, tsm_event_type type, uint32_t name, uint32_t stream_row, uint64_t typical_ns)
{
    tsm_event call = spend(t, type, name, typical_ns);
    call.device = t->rows.device;
    call.stream = stream_row;
    tsm_trainer_emit(t, &call, NULL);
}

void
tsm_trainer_compute(tsm_trainer *t, uint32_t name, uint64_t typical_ns)
{
    tsm_event work = spend(t, TSM_EVENT_CPU_OP, name, typical_ns);
    tsm_trainer_emit(t, &work, NULL);
}

void
tsm_trainer_load(tsm_trainer *t, uint64_t typical_ns)
{
    tsm_event load = spend(t, TSM_EVENT_CPU_OP, t->world->names.load_batch, typical_ns);
    tsm_trainer_emit(t, &load, NULL);
    if (in_ledger(t)) {
        tsm_ledger_load(&t->job->ledger, load.timestamp, load.timestamp + load.duration);
    }
}

/* The call returns when what ends at done_ns has ended. */
static void
synchronize(tsm_trainer *t, tsm_event_type type, uint32_t name, uint32_t stream_row, uint64_t done_ns)
{
    tsm_event call = spend(t, type, name, SYNC_RETURN_NS);
    call.device = t->rows.device;
    call.stream = stream_row;
    if (done_ns + SYNC_RETURN_NS > call.timestamp + call.duration) {
        call.duration = done_ns + SYNC_RETURN_NS - call.timestamp;
        t->now = call.timestamp + call.duration + HOST_GAP_NS;
    }
    tsm_trainer_emit(t, &call, NULL);
    if (in_ledger(t)) {
        tsm_ledger_sync(&t->job->ledger, call.timestamp, call.timestamp + call.duration);
    }
}

void
tsm_trainer_synchronize(tsm_trainer *t, const tsm_trainer_stream *with)
{
    synchronize(t, TSM_EVENT_STREAM_SYNC, t->world->names.stream_sync, with->row, with->free_ns);
}

void
tsm_trainer_synchronize_device(tsm_trainer *t)
{
    uint64_t done = 0;
    for (uint32_t i = 0; i < t->compute_streams + TSM_WORLD_EXTRA_STREAMS; i++) {
        done = t->streams[i].free_ns > done ? t->streams[i].free_ns : done;
    }
    synchronize(t, TSM_EVENT_DEVICE_SYNC, t->world->names.device_sync, t->rows.whole, done);
}

static void
emit_allocation(tsm_trainer *t, tsm_event *call, uint64_t address, uint64_t bytes)
{
    call->device = t->rows.device;
    call->stream = t->streams[0].row;
    call->value = bytes;
    call->flags = TSM_VALUE_BYTES;
    tsm_trainer_emit(t, call,
                     &(tsm_extension){ .values = { address, t->in_use },
                                       .type = TSM_SLOT_EXTENSION,
                                       .count = 2,
                                       .schema = t->world->allocation_schema });
}

void
tsm_trainer_allocate(tsm_trainer *t, uint64_t address, uint64_t bytes, uint32_t stack)
{
    tsm_event call = spend(t, TSM_EVENT_MEM_ALLOC, t->world->names.allocate, 650);
    call.stack = stack;
    t->in_use += bytes;
    t->job->answers.allocations++;
    if (in_ledger(t) && t->in_use > t->job->answers.peak_bytes) {
        t->job->answers.peak_bytes = t->in_use;
    }
    emit_allocation(t, &call, address, bytes);
}

void
tsm_trainer_release(tsm_trainer *t, uint64_t address, uint64_t bytes)
{
    tsm_event call = spend(t, TSM_EVENT_MEM_FREE, t->world->names.free, 420);
    t->in_use -= bytes;
    t->job->answers.frees++;
    emit_allocation(t, &call, address, bytes);
}

void
tsm_trainer_count_memory(tsm_trainer *t)
{
    double in_use = (double)t->in_use;
    tsm_event counter = {
        .timestamp = t->now,
        .name = t->world->names.memory_counter,
        .thread = t->rows.thread,
        .device = t->rows.device,
        .extra = t->rows.counter,
        .type = TSM_EVENT_COUNTER,
        .flags = TSM_VALUE_COUNTER | TSM_EXTRA_COUNTER,
    };
    memcpy(&counter.value, &in_use, sizeof counter.value);
    tsm_trainer_emit(t, &counter, NULL);
}

/* The host's call that puts work on a stream; joined with the work by its correlation. */
static tsm_event
call_for_work(tsm_trainer *t, const tsm_trainer_stream *on, uint32_t name, uint32_t stack)
{
    tsm_event call = spend(t, TSM_EVENT_RUNTIME_CALL, name, 2600);
    call.correlation = ++t->job->correlation;
    call.stack = stack;
    call.stream = on->row;
    call.device = t->rows.device;
    t->job->answers.launches++;
    tsm_trainer_emit(t, &call, NULL);
    return call;
}

/* What call launched. work holds duration, name, type and what is special about it. */
static void
execute(tsm_trainer *t, tsm_trainer_stream *on, const tsm_event *call, tsm_event work, const tsm_extension *extension)
{
    uint64_t arrives = call->timestamp + LAUNCH_LATENCY_NS;
    work.timestamp = arrives > on->free_ns ? arrives : on->free_ns;
    work.correlation = call->correlation;
    work.thread = t->rows.thread;
    work.stream = on->row;
    work.device = t->rows.device;
    on->free_ns = work.timestamp + work.duration;
    tsm_trainer_emit(t, &work, extension);
    if (in_ledger(t)) {
        tsm_ledger_work(&t->job->ledger, (uint32_t)(on - t->streams),
                        work.type == TSM_EVENT_KERNEL_LAUNCH ? TSM_WORK_KERNEL : TSM_WORK_OTHER, work.timestamp,
                        on->free_ns);
    }
}

void
tsm_trainer_launch(tsm_trainer *t, tsm_trainer_stream *on, const tsm_world_kernel *kind, uint32_t layer)
{
    uint64_t begin = t->now;
    t->now += vary(t, 2200);
    tsm_event call = call_for_work(t, on, t->world->names.launch_kernel, kind->stack);
    t->now += vary(t, 1300);
    tsm_trainer_range(t, TSM_EVENT_CPU_OP, kind->operator, begin);
    t->job->answers.kernels++;
    execute(t, on, &call,
            (tsm_event){ .duration = vary(t, kind->typical_ns),
                         .name = kind->name,
                         .extra = kind->shapes[layer % TSM_WORLD_SHAPES],
                         .type = TSM_EVENT_KERNEL_LAUNCH,
                         .flags = TSM_EXTRA_LAUNCH },
            NULL);
}

void
tsm_trainer_copy(tsm_trainer *t, tsm_trainer_stream *on, tsm_event_type type, uint64_t host, uint64_t address,
                 uint64_t bytes)
{
    bool to_device = type == TSM_EVENT_MEMCPY_H2D;
    tsm_event call =
        call_for_work(t, on, t->world->names.call_copy, to_device ? t->world->load_stack : t->world->loss_stack);
    t->job->answers.copies++;
    if (in_ledger(t) && to_device) {
        t->job->answers.copied_bytes += bytes;
    }
    tsm_extension ends = {
        .values = { to_device ? host : address, to_device ? address : host },
        .type = TSM_SLOT_EXTENSION,
        .count = 2,
        .schema = t->world->copy_schema,
    };
    execute(t, on, &call,
            (tsm_event){ .duration = vary(t, 1400 + bytes / COPY_BYTES_PER_NS),
                         .value = bytes,
                         .name = to_device ? t->world->names.copy_to_device : t->world->names.copy_to_host,
                         .type = (uint16_t)type,
                         .flags = TSM_VALUE_BYTES },
            &ends);
}

void
tsm_trainer_clear(tsm_trainer *t, tsm_trainer_stream *on, uint64_t bytes)
{
    tsm_event call = call_for_work(t, on, t->world->names.call_memset, t->world->zero_stack);
    t->job->answers.memsets++;
    execute(t, on, &call,
            (tsm_event){ .duration = vary(t, 1100 + bytes / CLEAR_BYTES_PER_NS),
                         .value = bytes,
                         .name = t->world->names.memset_device,
                         .type = TSM_EVENT_MEMSET_DEVICE,
                         .flags = TSM_VALUE_BYTES },
            NULL);
}

static void
emit_mark(tsm_trainer *t, tsm_event_type type, const tsm_trainer_stream *on, uint64_t id)
{
    bool records = type == TSM_EVENT_EVENT_RECORD;
    tsm_event call = spend(t, type, records ? t->world->names.event_record : t->world->names.stream_wait, 380);
    call.value = id;
    call.flags = TSM_VALUE_INTEGER;
    call.stream = on->row;
    call.device = t->rows.device;
    tsm_trainer_emit(t, &call, NULL);
}

tsm_trainer_mark
tsm_trainer_record(tsm_trainer *t, const tsm_trainer_stream *on)
{
    tsm_trainer_mark here = { .id = ++t->job->cuda_event, .done_ns = on->free_ns };
    emit_mark(t, TSM_EVENT_EVENT_RECORD, on, here.id);
    return here;
}

void
tsm_trainer_wait(tsm_trainer *t, tsm_trainer_stream *on, tsm_trainer_mark until)
{
    emit_mark(t, TSM_EVENT_EVENT_WAIT, on, until.id);
    on->free_ns = until.done_ns > on->free_ns ? until.done_ns : on->free_ns;
}

void
tsm_trainer_fork(tsm_trainer *t)
{
    if (t->compute_streams > 1) {
        tsm_trainer_mark here = tsm_trainer_record(t, &t->streams[0]);
        for (uint32_t i = 1; i < t->compute_streams; i++) {
            tsm_trainer_wait(t, &t->streams[i], here);
        }
    }
}

void
tsm_trainer_join(tsm_trainer *t)
{
    for (uint32_t i = 1; i < t->compute_streams; i++) {
        tsm_trainer_wait(t, &t->streams[0], tsm_trainer_record(t, &t->streams[i]));
    }
}

void
tsm_trainer_launch_all_reduce(tsm_trainer *t, uint64_t bytes)
{
    tsm_trainer_stream *on = tsm_trainer_communication_stream(t);
    tsm_trainer_mark gradients = tsm_trainer_record(t, &t->streams[0]);
    emit_mark(t, TSM_EVENT_EVENT_WAIT, on, gradients.id);
    tsm_event call = call_for_work(t, on, t->world->names.launch_collective, t->world->reduce_stack);
    uint64_t arrives = call.timestamp + LAUNCH_LATENCY_NS;
    t->all_reduces[t->all_reduce_count++] = (tsm_trainer_all_reduce){
        .ready_ns = arrives > gradients.done_ns ? arrives : gradients.done_ns,
        .correlation = call.correlation,
        .bytes = bytes,
    };
}

uint64_t
tsm_trainer_all_reduce_begin(tsm_trainer *t, uint32_t index)
{
    uint64_t ready = t->all_reduces[index].ready_ns, free_ns = tsm_trainer_communication_stream(t)->free_ns;
    return ready > free_ns ? ready : free_ns;
}

void
tsm_trainer_finish_all_reduce(tsm_trainer *t, uint32_t index, uint64_t end)
{
    const tsm_trainer_all_reduce *c = &t->all_reduces[index];
    tsm_trainer_stream *on = tsm_trainer_communication_stream(t);
    tsm_event work = {
        .timestamp = tsm_trainer_all_reduce_begin(t, index),
        .correlation = c->correlation,
        .value = c->bytes,
        .name = t->world->names.all_reduce,
        .thread = t->rows.thread,
        .stream = on->row,
        .device = t->rows.device,
        .type = TSM_EVENT_COMMUNICATION,
        .flags = TSM_VALUE_BYTES,
    };
    work.duration = end - work.timestamp;
    on->free_ns = end;
    t->job->answers.collectives++;
    tsm_trainer_emit(t, &work,
                     &(tsm_extension){ .values = { t->job->sequence, c->bytes, t->job->config.devices },
                                       .type = TSM_SLOT_EXTENSION,
                                       .count = 3,
                                       .schema = t->world->collective_schema });
    if (in_ledger(t)) {
        tsm_ledger_work(&t->job->ledger, (uint32_t)(on - t->streams), TSM_WORK_COLLECTIVE, work.timestamp, end);
    }
}
