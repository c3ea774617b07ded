/* One Python object → one event with its extension records. Both extension modules use it:
 * _core to fill tables, _capture to feed a live session. What an id is and where it lives is
 * the target's business; how a TraceEvent maps to the record is decided here alone. */
#ifndef TSM_PYTHON_BUILD_EVENT_H
#define TSM_PYTHON_BUILD_EVENT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "trace/trace.h"

/* The attributes that are read, as interned str: kept in module state. */
#define TSM_BUILD_NAMES(X)                                                                                           \
    X(type)                                                                                                          \
    X(timestamp)                                                                                                     \
    X(duration) X(name) X(device_id) X(stream_id) X(correlation_id) X(thread_id) X(metadata) X(flow_info)            \
        X(call_stack) X(kernel_params) X(memory_params) X(value) X(id) X(is_start) X(frames) X(address)              \
            X(function_name) X(file_name) X(line_number) X(kind) X(grid_x) X(grid_y) X(grid_z) X(block_x) X(block_y) \
                X(block_z) X(shared_mem_bytes) X(registers_per_thread) X(src_address) X(dst_address) X(size_bytes)   \
                    X(counter_name) X(unit) X(track_id) X(is_allocation) X(bytes) X(ptr) X(allocator_name) X(category)

typedef struct {
#define X(name) PyObject *name;
    TSM_BUILD_NAMES(X)
#undef X
} tsm_build_names;

/* -1 with an exception set; whatever was made is released by clear. */
int tsm_build_names_init(tsm_build_names *names);
void tsm_build_names_clear(tsm_build_names *names);

/* The functions are called with the GIL held and may run no Python code. fail turns a status
 * they returned into an exception. process: row of processes that threads and streams get. */
typedef struct {
    void *context;
    tsm_status (*intern_text)(void *context, unsigned table, const void *data, size_t size, uint32_t *id);
    tsm_status (*intern_row)(void *context, unsigned table, const uint64_t *values, uint32_t *id);
    void (*fail)(void *context, tsm_status status);
    uint32_t process;
} tsm_build_target;

#define TSM_BUILT_EXTENSIONS 8

typedef struct {
    tsm_event event;
    tsm_extension extensions[TSM_BUILT_EXTENSIONS];
    size_t extension_count;
} tsm_built;

/* object: anything with the attributes of TraceEvent, CounterEvent or MemoryEvent.
 * -1 with an exception set. */
int tsm_build_event(const tsm_build_names *names, const tsm_build_target *target, PyObject *object, tsm_built *out);

/* The text of a str as it goes into a file: UTF-8, where lone surrogates U+DC80..U+DCFF stand
 * for the bytes that were none. *keep owns data until released; it may be NULL. */
int tsm_build_text(PyObject *text, const char **data, Py_ssize_t *size, PyObject **keep);

/* A Python int as a u64; OverflowError when it does not fit. -1 with an exception set. */
int tsm_build_u64(PyObject *number, uint64_t *out);

/* A new dict {"KernelLaunch": 1, ...}. */
PyObject *tsm_build_event_types(void);

#endif
