/* The C API's producing half, under its public names. */
#include <string.h>

#include "ring/ring.h"
#include "tracesmith/tracesmith.h"

_Static_assert(TSM_DROP_OLDEST == (int)TSM_RING_DROP_OLDEST && TSM_DROP_NEWEST == (int)TSM_RING_DROP_NEWEST
                   && TSM_BLOCK == (int)TSM_RING_BLOCK,
               "the ring's policies are the API's");

_Static_assert(TSM_EXTENSIONS_MAX == TSM_RING_EXTENSIONS_MAX, "and its limit");

const char *
tsm_version(void)
{
    return TSM_VERSION;
}

bool
tsm_emit(const tsm_event *event)
{
    return tsm_ring_emit(event);
}

bool
tsm_emit_now(const tsm_event *event)
{
    return tsm_ring_emit_now(event);
}

bool
tsm_emit_extended(const tsm_event *event, const tsm_extension *extensions, uint32_t count)
{
    return tsm_ring_emit_extended(event, extensions, count);
}

uint64_t
tsm_now(void)
{
    return tsm_clock_ns();
}

uint32_t
tsm_process(void)
{
    return tsm_ring_process();
}

uint64_t
tsm_ticks(void)
{
    return tsm_ring_ticks();
}

bool
tsm_emit_range(const tsm_event *event, uint64_t begin_ticks)
{
    return tsm_ring_emit_range(event, begin_ticks);
}

uint32_t
tsm_name(const char *text, size_t size)
{
    return tsm_ring_text(TSM_TABLE_STRINGS, text, size);
}

uint32_t
tsm_row(unsigned table, const uint64_t *values)
{
    return tsm_ring_row(table, values);
}

uint32_t
tsm_device(uint32_t ordinal)
{
    uint64_t row[TSM_COLUMNS_MAX] = { [TSM_DEVICE_HOST] = tsm_ring_host(), [TSM_DEVICE_ORDINAL] = ordinal };
    return tsm_ring_row(TSM_TABLE_DEVICES, row);
}

uint32_t
tsm_stream(uint32_t ordinal, uint64_t raw_id)
{
    uint64_t row[TSM_COLUMNS_MAX] = {
        [TSM_STREAM_PROCESS] = tsm_ring_process(),
        [TSM_STREAM_DEVICE] = tsm_device(ordinal),
        [TSM_STREAM_RAW_ID] = raw_id,
    };
    return tsm_ring_row(TSM_TABLE_STREAMS, row);
}

bool
tsm_emit_counter(uint32_t name, double value)
{
    tsm_event event = { .type = TSM_EVENT_COUNTER, .flags = TSM_VALUE_COUNTER, .name = name };
    memcpy(&event.value, &value, sizeof value);
    return tsm_ring_emit_now(&event);
}

uint64_t
tsm_generation(void)
{
    return tsm_ring_generation();
}
