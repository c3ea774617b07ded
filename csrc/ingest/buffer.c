/* Events wait here, so that whole files come out sorted. Files of more than EVENTS_MAX events come
 * out in sorted parts. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "ingest/keep.h"

#define EVENTS_MAX     ((size_t)1 << 20)
#define EXTENSIONS_MAX ((size_t)3 << 19)

/* ---- Which call launched what ---------------------------------------------------------------- */

static struct ingest_call *
call_slot(struct ingest_call *slots, size_t count, uint64_t correlation, uint32_t process)
{
    size_t at = (size_t)tsm_hash_mix(correlation, process) & (count - 1);
    while (slots[at].thread != 0 && (slots[at].correlation != correlation || slots[at].process != process)) {
        at = (at + 1) & (count - 1);
    }
    return &slots[at];
}

static bool
grow_calls(ingest_calls *calls)
{
    size_t wanted = calls->slot_count == 0 ? 1024 : calls->slot_count * 2;
    struct ingest_call *slots = calloc(wanted, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < calls->slot_count; i++) {
        const struct ingest_call *call = &calls->slots[i];
        if (call->thread != 0) {
            *call_slot(slots, wanted, call->correlation, call->process) = *call;
        }
    }
    free(calls->slots);
    calls->slots = slots;
    calls->slot_count = wanted;
    return true;
}

/* The first of several with one correlation: the outer one, as calls are found in order. */
static void
remember_call(ingest_buffer *b, const tsm_event *event)
{
    if (b->calls.count * 2 >= b->calls.slot_count && !grow_calls(&b->calls)) {
        ingest_note(b, TSM_E_NOMEM);
        return;
    }
    uint32_t process = (uint32_t)tsm_tables_borrow_row(b->tables, TSM_TABLE_THREADS, event->thread)[TSM_THREAD_PROCESS];
    struct ingest_call *slot = call_slot(b->calls.slots, b->calls.slot_count, event->correlation, process);
    if (slot->thread == 0) {
        *slot = (struct ingest_call){ event->correlation, process, event->thread, event->type };
        b->calls.count++;
    }
}

static const struct ingest_call *
find_call(const ingest_buffer *b, uint64_t correlation, uint32_t process)
{
    static const struct ingest_call none = { 0 };
    const ingest_calls *generations[] = { &b->calls, &b->calls_before };
    for (size_t i = 0; i < 2; i++) {
        const ingest_calls *calls = generations[i];
        if (calls->count > 0) {
            const struct ingest_call *call = call_slot(calls->slots, calls->slot_count, correlation, process);
            if (call->thread != 0) {
                return call;
            }
        }
    }
    return &none;
}

uint16_t
ingest_buffer_call(const ingest_buffer *b, uint64_t correlation, uint32_t process)
{
    return find_call(b, correlation, process)->type;
}

static void
join_work(ingest_buffer *b)
{
    const uint64_t *streams = tsm_tables_borrow_rows(b->tables, TSM_TABLE_STREAMS);
    size_t columns = tsm_table_layout_of(TSM_TABLE_STREAMS)->column_count;
    for (size_t i = 0; i < b->event_count; i++) {
        tsm_event *event = &b->events[i];
        if (event->correlation != 0 && event->stream != 0 && tsm_event_is_work(event->type)) {
            uint32_t process = (uint32_t)streams[event->stream * columns + TSM_STREAM_PROCESS];
            event->thread = find_call(b, event->correlation, process)->thread;
        }
    }
}

/* ---- The buffer ------------------------------------------------------------------------------ */

bool
ingest_buffer_full(const ingest_buffer *b)
{
    return b->event_count >= EVENTS_MAX || b->extension_count >= EXTENSIONS_MAX;
}

void
ingest_buffer_add(ingest_buffer *b, const tsm_event *event)
{
    if (!tsm_array_reserve(&b->events, &b->event_capacity, b->event_count + 1)) {
        ingest_note(b, TSM_E_NOMEM);
        return;
    }
    b->events[b->event_count++] = *event;
    if (event->correlation != 0 && event->thread != 0 && !tsm_event_is_work(event->type)) {
        remember_call(b, event);
    }
}

void
ingest_buffer_extend(ingest_buffer *b, const tsm_extension *extension)
{
    if (!tsm_array_reserve(&b->extensions, &b->extension_capacity, b->extension_count + 1)
        || !tsm_array_reserve(&b->extension_rows, &b->row_capacity, b->extension_count + 1)) {
        ingest_note(b, TSM_E_NOMEM);
    } else if (b->event_count > 0) {
        b->extensions[b->extension_count] = *extension;
        b->extension_rows[b->extension_count++] = (uint32_t)(b->event_count - 1);
    }
}

static void
forget_older_calls(ingest_buffer *b)
{
    ingest_calls older = b->calls_before;
    b->calls_before = b->calls;
    b->calls = older;
    b->calls.count = 0;
    if (older.slot_count > 0) {
        memset(older.slots, 0, older.slot_count * sizeof *older.slots);
    }
}

void
ingest_buffer_flush(ingest_buffer *b)
{
    if (b->status == TSM_OK) {
        join_work(b);
        ingest_note(b,
                    tsm_events_sort(b->events, b->event_count, b->extension_rows, b->extensions, b->extension_count));
    }
    if (b->status == TSM_OK && b->event_count > 0) {
        tsm_batch batch = { b->events, b->event_count, b->extensions, b->extension_rows, b->extension_count };
        b->status = tsm_sink_write(b->sink, &batch, b->err);
        b->report->events += b->status == TSM_OK ? b->event_count : 0;
    }
    b->event_count = b->extension_count = 0;
    forget_older_calls(b);
}

void
ingest_buffer_finish(ingest_buffer *b)
{
    ingest_buffer_flush(b);
    tsm_batch nothing = { 0 };
    b->status = b->status == TSM_OK ? tsm_sink_write(b->sink, &nothing, b->err) : b->status;
}

void
ingest_buffer_free(ingest_buffer *b)
{
    free(b->events);
    free(b->extensions);
    free(b->extension_rows);
    free(b->calls.slots);
    free(b->calls_before.slots);
}
