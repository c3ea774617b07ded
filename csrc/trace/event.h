/* The record that every stage speaks: 64 bytes, one cache line. Installed: part of the C API.
 *
 * An event names things by the row they have in a table (trace/trace.h): strings, stacks,
 * threads, streams and devices are never raw ids, because pid 12, device 0 and stream 7 exist
 * on every machine. Row 0 of every table means 'none'. What hardly repeats (addresses, sync
 * ids, flows) rides behind its event in extension records of the same size. */
#ifndef TSM_TRACE_EVENT_H
#define TSM_TRACE_EVENT_H

#include <stdint.h>

/* X(C type, field, NumPy format, what it holds). The order is the layout, here and in SBT. */
#define TSM_EVENT_FIELDS(X)                                                                            \
    X(uint64_t, timestamp, "u8", "start, CLOCK_MONOTONIC ns")                                          \
    X(uint64_t, duration, "u8", "ns; 0 for what has no extent")                                        \
    X(uint64_t, correlation, "u8", "joins a launch with what it launched; unique in its process")      \
    X(uint64_t, value, "u8", "bytes, an address or a counter's double: TSM_VALUE in flags says which") \
    X(uint32_t, name, "u4", "row of strings")                                                          \
    X(uint32_t, stack, "u4", "row of stacks")                                                          \
    X(uint32_t, thread, "u4", "row of threads")                                                        \
    X(uint32_t, stream, "u4", "row of streams")                                                        \
    X(uint32_t, device, "u4", "row of devices")                                                        \
    X(uint32_t, extra, "u4", "row of the table that TSM_EXTRA in flags names")                         \
    X(uint16_t, type, "u2", "tsm_event_type")                                                          \
    X(uint16_t, flags, "u2", "TSM_VALUE, TSM_EXTRA and the TSM_FLAG bits")                             \
    X(uint32_t, reserved, "u4", "0")

typedef struct {
#define X(type, field, format, text) type field;
    TSM_EVENT_FIELDS(X)
#undef X
} tsm_event;

/* What is nearly unique per event: up to seven values whose names and types the schema tells.
 * It lies directly behind its event wherever the two travel, and is dropped with it. */
#define TSM_EXTENSION_VALUES 7

typedef struct {
    uint64_t values[TSM_EXTENSION_VALUES];
    uint16_t type;   /* TSM_SLOT_EXTENSION: the same offset as an event's type */
    uint16_t count;  /* of values used */
    uint32_t schema; /* row of schemas */
} tsm_extension;

/* X(NAME, Name as in Python, number). Written to disk: never renumbered, holes stay holes.
 * 0..21 and 255 are the numbers that TraceSmith has always used. */
#define TSM_EVENT_TYPES(X)                 \
    X(UNKNOWN, Unknown, 0)                 \
    X(KERNEL_LAUNCH, KernelLaunch, 1)      \
    X(KERNEL_COMPLETE, KernelComplete, 2)  \
    X(MEMCPY_H2D, MemcpyH2D, 3)            \
    X(MEMCPY_D2H, MemcpyD2H, 4)            \
    X(MEMCPY_D2D, MemcpyD2D, 5)            \
    X(MEMSET_DEVICE, MemsetDevice, 6)      \
    X(STREAM_SYNC, StreamSync, 7)          \
    X(DEVICE_SYNC, DeviceSync, 8)          \
    X(EVENT_RECORD, EventRecord, 9)        \
    X(EVENT_SYNC, EventSync, 10)           \
    X(STREAM_CREATE, StreamCreate, 11)     \
    X(STREAM_DESTROY, StreamDestroy, 12)   \
    X(CONTEXT_CREATE, ContextCreate, 13)   \
    X(CONTEXT_DESTROY, ContextDestroy, 14) \
    X(MEM_ALLOC, MemAlloc, 15)             \
    X(MEM_FREE, MemFree, 16)               \
    X(MARKER, Marker, 17)                  \
    X(RANGE_START, RangeStart, 18)         \
    X(RANGE_END, RangeEnd, 19)             \
    X(NCCL_START, NCCLStart, 20)           \
    X(NCCL_COMPLETE, NCCLComplete, 21)     \
    X(MEMCPY_P2P, MemcpyP2P, 22)           \
    X(MEMCPY_H2H, MemcpyH2H, 23)           \
    X(EVENT_WAIT, EventWait, 24)           \
    X(COUNTER, Counter, 25)                \
    X(RANGE, Range, 26)                    \
    X(CPU_OP, CpuOp, 27)                   \
    X(RUNTIME_CALL, RuntimeCall, 28)       \
    X(COMMUNICATION, Communication, 29)    \
    X(PYTHON_CALL, PythonCall, 30)         \
    X(OVERHEAD, Overhead, 31)              \
    X(CUSTOM, Custom, 255)

typedef enum {
#define X(name, python, number) TSM_EVENT_##name = number,
    TSM_EVENT_TYPES(X)
#undef X
} tsm_event_type;

/* Slots that are not events, told apart by the type at offset 56. */
#define TSM_SLOT_EXTENSION      0xff00u
#define TSM_SLOT_PC_SAMPLE      0xff01u
#define TSM_SLOT_CLOCK          0xff02u
#define TSM_SLOT_IS_EVENT(type) ((type) < 0xff00u)

/* flags, bits 0-2: what value holds. */
#define TSM_VALUE_MASK    0x0007u
#define TSM_VALUE_NONE    0u
#define TSM_VALUE_BYTES   1u
#define TSM_VALUE_COUNTER 2u /* the bits of a double */
#define TSM_VALUE_ADDRESS 3u
#define TSM_VALUE_INTEGER 4u

/* flags, bits 3-5: the table that extra is a row of. */
#define TSM_EXTRA_MASK         0x0038u
#define TSM_EXTRA_NONE         0u
#define TSM_EXTRA_LAUNCH       (1u << 3)
#define TSM_EXTRA_METADATA     (2u << 3)
#define TSM_EXTRA_COUNTER      (3u << 3)
#define TSM_EXTRA_COMMUNICATOR (4u << 3)
#define TSM_EXTRA_POOL         (5u << 3)

/* flags, the rest. */
#define TSM_FLAG_INFERRED       0x0040u /* not observed: concluded */
#define TSM_FLAG_FLOW_OUT       0x0080u /* an arrow named correlation begins here */
#define TSM_FLAG_FLOW_IN        0x0100u /* and ends here */
#define TSM_FLAG_GRAPH          0x0200u /* a node of a graph: its launch is shared */
#define TSM_FLAG_TICKS          0x8000u /* only inside a spool: timestamp is raw TSC ticks */
#define TSM_FLAG_TICKS_DURATION 0x4000u /* and so is duration */

/* What a device does, as opposed to what a host thread does (docs/events.md). */
static inline int
tsm_event_is_work(uint16_t type)
{
    const uint32_t work = 1u << TSM_EVENT_KERNEL_LAUNCH | 1u << TSM_EVENT_KERNEL_COMPLETE | 1u << TSM_EVENT_MEMCPY_H2D
                          | 1u << TSM_EVENT_MEMCPY_D2H | 1u << TSM_EVENT_MEMCPY_D2D | 1u << TSM_EVENT_MEMSET_DEVICE
                          | 1u << TSM_EVENT_NCCL_START | 1u << TSM_EVENT_NCCL_COMPLETE | 1u << TSM_EVENT_MEMCPY_P2P
                          | 1u << TSM_EVENT_MEMCPY_H2H | 1u << TSM_EVENT_COMMUNICATION;
    return type < 32 && (work >> type & 1) != 0;
}

/* Does it lie on its stream, or else on its thread? */
static inline int
tsm_event_on_stream(const tsm_event *event)
{
    return event->stream != 0 && (event->thread == 0 || tsm_event_is_work(event->type));
}

/* The number's name as Python spells it; "Unknown" for a number this build does not know. */
const char *tsm_event_type_name(uint16_t type);

#ifdef __cplusplus
#define TSM_STATIC_ASSERT static_assert
#else
#define TSM_STATIC_ASSERT _Static_assert
#endif
TSM_STATIC_ASSERT(sizeof(tsm_event) == 64, "an event is one cache line");
TSM_STATIC_ASSERT(sizeof(tsm_extension) == 64, "an extension fits an event's slot");

#endif
