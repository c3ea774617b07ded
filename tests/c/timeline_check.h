/* A small trace made by hand or at random, and its timeline, for the tests of timeline/. */
#ifndef TSM_TESTS_TIMELINE_CHECK_H
#define TSM_TESTS_TIMELINE_CHECK_H

#include <stdbool.h>

#include "timeline/timeline.h"
#include "unit.h"

#define MANY 400
#define TIME 300 /* random times lie below */

static struct {
    tsm_tables *tables;
    tsm_event events[MANY];
    size_t count;
    tsm_timeline *timeline;
    uint64_t random;
} trace;

static inline uint64_t
draw(uint64_t limit)
{
    trace.random = trace.random * 6364136223846793005u + 1442695040888963407u;
    return (trace.random >> 33) % limit;
}

static inline uint32_t
add_row(unsigned table, const uint64_t *values)
{
    uint32_t row;
    CHECK_EQUAL(tsm_tables_add(trace.tables, table, values, &row), TSM_OK);
    return row;
}

/* Two processes; three streams on two devices, the last of the second process; two threads each. */
enum { STREAM_A = 1, STREAM_B, STREAM_C, STREAM_D };
enum { THREAD_A = 1, THREAD_B, THREAD_C };

static inline void
start_trace(uint64_t seed)
{
    tsm_timeline_destroy(trace.timeline);
    tsm_tables_destroy(trace.tables);
    memset(&trace, 0, sizeof trace);
    trace.random = seed;
    CHECK_EQUAL(tsm_tables_create(&trace.tables), TSM_OK);
    add_row(TSM_TABLE_PROCESSES, (uint64_t[]){ 0, 10, 0, 0, 0 });
    add_row(TSM_TABLE_PROCESSES, (uint64_t[]){ 0, 20, 0, 0, 0 });
    add_row(TSM_TABLE_DEVICES, (uint64_t[TSM_COLUMNS_MAX]){ 0, 0 });
    add_row(TSM_TABLE_DEVICES, (uint64_t[TSM_COLUMNS_MAX]){ 0, 1 });
    add_row(TSM_TABLE_STREAMS, (uint64_t[]){ 1, 1, 0, 7, 0, 0 });
    add_row(TSM_TABLE_STREAMS, (uint64_t[]){ 1, 1, 0, 3, 0, 0 });
    add_row(TSM_TABLE_STREAMS, (uint64_t[]){ 1, 2, 0, 7, 0, 0 });
    add_row(TSM_TABLE_STREAMS, (uint64_t[]){ 2, 2, 0, 7, 0, 0 });
    add_row(TSM_TABLE_THREADS, (uint64_t[]){ 1, 12, 0 });
    add_row(TSM_TABLE_THREADS, (uint64_t[]){ 1, 11, 0 });
    add_row(TSM_TABLE_THREADS, (uint64_t[]){ 2, 21, 0 });
}

static inline tsm_event *
add(tsm_event_type type, uint64_t begin, uint64_t end)
{
    CHECK(trace.count < MANY);
    tsm_event *event = &trace.events[trace.count++];
    *event = (tsm_event){ .timestamp = begin, .duration = end - begin, .type = (uint16_t)type };
    return event;
}

static inline tsm_event *
on_stream(tsm_event_type type, uint32_t stream, uint64_t begin, uint64_t end, uint64_t correlation)
{
    tsm_event *event = add(type, begin, end);
    event->stream = stream;
    event->device = (uint32_t)tsm_tables_borrow_row(trace.tables, TSM_TABLE_STREAMS, stream)[TSM_STREAM_DEVICE];
    event->correlation = correlation;
    return event;
}

static inline tsm_event *
on_thread(tsm_event_type type, uint32_t thread, uint64_t begin, uint64_t end, uint64_t correlation)
{
    tsm_event *event = add(type, begin, end);
    event->thread = thread;
    event->correlation = correlation;
    return event;
}

/* A call about the CUDA event 'id'. */
static inline void
about_event(tsm_event_type type, uint32_t thread, uint64_t begin, uint64_t end, uint32_t stream, uint64_t id)
{
    tsm_event *event = on_thread(type, thread, begin, end, 0);
    event->stream = stream;
    event->value = id;
    event->flags = TSM_VALUE_INTEGER;
}

static inline void
build_trace(void)
{
    tsm_batch batch = { .events = trace.events, .count = trace.count };
    CHECK_EQUAL(tsm_timeline_build(&batch, trace.tables, &trace.timeline), TSM_OK);
}

static inline const tsm_span *
spans(size_t *count)
{
    return tsm_timeline_spans(trace.timeline, count);
}

static inline const tsm_span *
span_of_event(uint32_t event)
{
    size_t count;
    const tsm_span *all = spans(&count);
    for (size_t i = 0; i < count; i++) {
        if (all[i].event == event) {
            return &all[i];
        }
    }
    CHECK(count < event); /* never: every event here has a span */
    return NULL;
}

static inline uint32_t
number_of(const tsm_span *span)
{
    size_t count;
    return (uint32_t)(span - spans(&count));
}

#endif
