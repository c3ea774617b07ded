/* A ring that keeps everything: what a source emits, for the test of that source alone. To be
 * included by one file, whose definitions then stand in for those of csrc/ring. */
#ifndef TSM_TESTS_FAKE_RING_H
#define TSM_TESTS_FAKE_RING_H

#include <stdbool.h>

#include "base/array.h"
#include "ring/ring.h"
#include "trace/trace.h"
#include "unit.h"

#define NO_EXTENSION SIZE_MAX

static struct {
    tsm_tables *tables;
    tsm_event *events;
    size_t *extension_of; /* index into extensions, for each event */
    tsm_extension *extensions;
    size_t count, events_capacity, of_capacity, extension_count, extension_capacity;
    uint32_t process;
    uint32_t process_calls; /* after so many there is no session any more */
} ring;

static void
stop_ring(void)
{
    free(ring.events);
    free(ring.extension_of);
    free(ring.extensions);
    tsm_tables_destroy(ring.tables);
    memset(&ring, 0, sizeof ring);
}

static void
start_ring(void)
{
    stop_ring();
    CHECK_EQUAL(tsm_tables_create(&ring.tables), TSM_OK);
    ring.process_calls = UINT32_MAX;
    ring.process = tsm_ring_row(TSM_TABLE_PROCESSES, (uint64_t[]){ 0, 4711, 1, 99, 0 });
}

bool
tsm_ring_emit(const tsm_event *event)
{
    CHECK(tsm_array_reserve(&ring.events, &ring.events_capacity, ring.count + 1));
    CHECK(tsm_array_reserve(&ring.extension_of, &ring.of_capacity, ring.count + 1));
    ring.extension_of[ring.count] = NO_EXTENSION;
    ring.events[ring.count++] = *event;
    return true;
}

bool
tsm_ring_emit_extended(const tsm_event *event, const tsm_extension *extensions, uint32_t count)
{
    CHECK_EQUAL(count, 1);
    CHECK(tsm_array_reserve(&ring.extensions, &ring.extension_capacity, ring.extension_count + 1));
    tsm_ring_emit(event);
    ring.extension_of[ring.count - 1] = ring.extension_count;
    ring.extensions[ring.extension_count++] = *extensions;
    return true;
}

uint32_t
tsm_ring_text(unsigned table, const void *data, size_t size)
{
    uint32_t row;
    CHECK_EQUAL(tsm_tables_intern_text(ring.tables, table, data, size, &row), TSM_OK);
    return row;
}

uint32_t
tsm_ring_row(unsigned table, const uint64_t *values)
{
    uint32_t row;
    CHECK_EQUAL(tsm_tables_intern(ring.tables, table, values, &row), TSM_OK);
    return row;
}

uint32_t
tsm_ring_process(void)
{
    return ring.process_calls > 0 && ring.process_calls-- > 0 ? ring.process : 0;
}

#endif
