/* Entries and exits become calls. A log may lack either: short calls are left out by the runtime,
 * exceptions leave functions without an exit, a flight recorder forgets its oldest buffers. So an
 * exit ends every call above its own, and one that nothing entered is left out. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "ingest/xray.h"

enum { ENDED_UNSEEN = 0 }; /* beside XRAY_EXIT and XRAY_TAIL_EXIT */

uint64_t
xray_ns(const xray_importer *im, uint64_t ticks)
{
    unsigned __int128 ns = (unsigned __int128)ticks * 1000000000u / im->frequency;
    return (uint64_t)ns + im->shift;
}

void
xray_flush_if_full(xray_importer *im)
{
    if (ingest_buffer_full(&im->out)) {
        ingest_buffer_flush(&im->out);
    }
}

/* Where key's number is kept, which is one more than an index, and 0 when it is new; NULL when
 * there is no memory for it, or for one more item. */
static uint32_t *
number_of(xray_importer *im, const uint64_t key[4], bool room)
{
    uint32_t *number = room ? ingest_keys_at(&im->keys, key) : NULL;
    if (number == NULL) {
        ingest_note(&im->out, TSM_E_NOMEM);
    }
    return number;
}

uint32_t
xray_thread_of(xray_importer *im, uint32_t pid, uint32_t tid)
{
    bool room = tsm_array_reserve(&im->threads, &im->thread_capacity, im->thread_count + 1);
    uint32_t *number = number_of(im, (uint64_t[4]){ XRAY_KEY_THREAD, pid, tid }, room);
    if (number == NULL) {
        return UINT32_MAX;
    }
    if (*number == 0) {
        uint64_t process = ingest_row(&im->out, TSM_TABLE_PROCESSES, (uint64_t[]){ 0, pid, 0, 0, 0 });
        /* All zeros would be row 0, which is no thread. */
        uint64_t name = process == 0 && tid == 0 ? ingest_string(&im->out, "unknown", 7) : 0;
        im->threads[im->thread_count++] =
            (xray_thread){ .row = ingest_row(&im->out, TSM_TABLE_THREADS, (uint64_t[]){ process, tid, name }) };
        *number = (uint32_t)im->thread_count;
    }
    return *number - 1;
}

static uint32_t
call_of(xray_importer *im, uint32_t thread, uint32_t function)
{
    bool room = tsm_array_reserve(&im->calls, &im->call_capacity, im->call_count + 1);
    uint32_t *number = number_of(im, (uint64_t[4]){ XRAY_KEY_CALL, thread, function }, room);
    if (number == NULL) {
        return UINT32_MAX;
    }
    if (*number == 0) {
        im->calls[im->call_count++] = (xray_call){ .function = function };
        *number = (uint32_t)im->call_count;
        im->calls[im->call_count - 1].name = xray_name_of(im, function);
        return (uint32_t)im->call_count - 1;
    }
    return *number - 1;
}

static void
enter(xray_importer *im, xray_thread *thread, uint32_t call, uint16_t cpu, uint64_t now)
{
    if (thread->depth >= UINT32_MAX - 1 || !tsm_array_reserve(&thread->frames, &thread->capacity, thread->depth + 1)) {
        ingest_note(&im->out, TSM_E_NOMEM);
        return;
    }
    thread->frames[thread->depth++] =
        (xray_frame){ .begin = now, .call = call, .below = im->calls[call].top, .cpu = cpu };
    im->calls[call].top = (uint32_t)thread->depth;
}

/* Ends the innermost call. */
static void
leave(xray_importer *im, xray_thread *thread, uint64_t how, uint16_t cpu, uint64_t now)
{
    xray_frame *frame = &thread->frames[--thread->depth];
    xray_call *call = &im->calls[frame->call];
    tsm_event event = {
        .timestamp = frame->begin,
        .duration = now - frame->begin,
        .type = TSM_EVENT_CPU_OP,
        .name = call->name,
        .thread = thread->row,
        .flags = how == ENDED_UNSEEN ? TSM_FLAG_INFERRED : 0,
    };
    tsm_extension about = {
        .values = { call->function, frame->cpu, cpu, how, frame->argument },
        .type = TSM_SLOT_EXTENSION,
        .count = frame->has_argument ? 5 : 4,
        .schema = frame->has_argument ? im->argument_schema : im->call_schema,
    };
    call->top = frame->below;
    ingest_buffer_add(&im->out, &event);
    ingest_buffer_extend(&im->out, &about);
    im->kept[0]++;
    xray_flush_if_full(im);
}

/* The clocks of two processors may disagree: no call ends before it began. */
static uint64_t
advance(xray_importer *im, xray_thread *thread, uint64_t ticks)
{
    uint64_t now = xray_ns(im, ticks);
    if (now < thread->last_ns) {
        ingest_count(im->out.report, "time", "it went back, and was held still", 1);
        return thread->last_ns;
    }
    return thread->last_ns = now;
}

void
xray_function(xray_importer *im, uint32_t thread_number, unsigned kind, uint32_t function, uint16_t cpu, uint64_t ticks)
{
    uint32_t number = thread_number == UINT32_MAX ? UINT32_MAX : call_of(im, thread_number, function);
    if (number == UINT32_MAX) {
        return;
    }
    xray_thread *thread = &im->threads[thread_number];
    uint64_t now = advance(im, thread, ticks);
    if (kind == XRAY_ENTER || kind == XRAY_ENTER_ARGUMENT) {
        enter(im, thread, number, cpu, now);
        return;
    }
    uint32_t top = im->calls[number].top;
    if (top == 0) {
        ingest_count(im->out.report, "function exit", "its entry is not in the log", 1);
        return;
    }
    while (thread->depth > top) {
        leave(im, thread, ENDED_UNSEEN, cpu, now);
    }
    leave(im, thread, kind, cpu, now);
}

void
xray_argument(xray_importer *im, uint32_t thread_number, uint32_t function, uint64_t value)
{
    xray_thread *thread = thread_number == UINT32_MAX ? NULL : &im->threads[thread_number];
    xray_frame *frame = thread == NULL || thread->depth == 0 ? NULL : &thread->frames[thread->depth - 1];
    if (frame == NULL || im->calls[frame->call].function != function || frame->has_argument) {
        ingest_count(im->out.report, "argument", "not behind its function's entry", 1);
        return;
    }
    frame->argument = value;
    frame->has_argument = true;
}

void
xray_finish(xray_importer *im)
{
    static const char *const names[] = { "function call", "custom event", "typed event" };
    uint64_t open = 0;
    for (size_t i = 0; i < im->thread_count; i++) {
        xray_thread *thread = &im->threads[i];
        open += thread->depth;
        while (thread->depth > 0) {
            leave(im, thread, ENDED_UNSEEN, thread->frames[thread->depth - 1].cpu, thread->last_ns);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        if (im->kept[i] > 0) {
            ingest_count(im->out.report, names[i], NULL, im->kept[i]);
        }
    }
    if (open > 0) {
        ingest_count(im->out.report, "function exit", "not in the log: the call ends where its thread does", open);
    }
    if (im->nameless > 0) {
        ingest_count(im->out.report, "function name",
                     im->binary == NULL ? "no binary was given: functions are numbers"
                                        : "not in the binary: is it the program that wrote the log?",
                     im->nameless);
    }
}
