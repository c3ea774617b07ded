/* TraceEvent, CounterEvent and MemoryEvent: which attribute goes where in the record. */
#include "python/build_event.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const tsm_build_names *names;
    const tsm_build_target *target;
    tsm_built *out;
} builder;

static int
get_u64(PyObject *object, PyObject *name, uint64_t *out)
{
    PyObject *value = PyObject_GetAttr(object, name);
    int result = value == NULL ? -1 : tsm_build_u64(value, out);
    if (value != NULL && result < 0 && PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Format(PyExc_OverflowError, "%U = %R does not fit: it must be in 0..2**64-1", name, value);
    }
    Py_XDECREF(value);
    return result;
}

/* The attribute unless it is None: 1, 0 for None, -1 with an exception. */
static int
get_optional(PyObject *object, PyObject *name, PyObject **out)
{
    *out = PyObject_GetAttr(object, name);
    if (*out == NULL) {
        return -1;
    }
    if (*out == Py_None) {
        Py_CLEAR(*out);
        return 0;
    }
    return 1;
}

static int
check(const builder *b, tsm_status status)
{
    if (status != TSM_OK) {
        b->target->fail(b->target->context, status);
        return -1;
    }
    return 0;
}

static int
intern_row(const builder *b, unsigned table, const uint64_t *values, uint32_t *id)
{
    return check(b, b->target->intern_row(b->target->context, table, values, id));
}

static int
intern_bytes(const builder *b, const char *data, size_t size, uint32_t *id)
{
    return check(b, b->target->intern_text(b->target->context, TSM_TABLE_STRINGS, data, size, id));
}

static int
intern_string(const builder *b, PyObject *text, uint64_t *out)
{
    const char *data;
    Py_ssize_t size;
    PyObject *keep;
    uint32_t id = 0;
    if (tsm_build_text(text, &data, &size, &keep) < 0) {
        return -1;
    }
    int result = intern_bytes(b, data, (size_t)size, &id);
    Py_XDECREF(keep);
    *out = id;
    return result;
}

static int
get_string(const builder *b, PyObject *object, PyObject *name, uint64_t *out)
{
    PyObject *text = PyObject_GetAttr(object, name);
    int result = text == NULL ? -1 : intern_string(b, text, out);
    Py_XDECREF(text);
    return result;
}

/* What is not text yet becomes it: an event is described, not reconstructed. */
static int
intern_shown(const builder *b, PyObject *value, uint64_t *out)
{
    PyObject *text = PyObject_Str(value);
    int result = text == NULL ? -1 : intern_string(b, text, out);
    Py_XDECREF(text);
    return result;
}

typedef struct {
    const char *name;
    tsm_column_type type;
} field;

static int
intern_schema(const builder *b, const char *name, const field *fields, size_t count, uint32_t *id)
{
    uint32_t parent = 0;
    for (size_t i = 0; i <= count; i++) {
        const char *text = i == 0 ? name : fields[i - 1].name;
        uint32_t string;
        if (intern_bytes(b, text, strlen(text), &string) < 0
            || intern_row(b, TSM_TABLE_SCHEMAS,
                          (uint64_t[]){ parent, string, i == 0 ? 0 : (uint64_t)fields[i - 1].type }, &parent)
                   < 0) {
            return -1;
        }
    }
    *id = parent;
    return 0;
}

static int
add_extension(const builder *b, const char *name, const field *fields, size_t count, const uint64_t *values)
{
    tsm_extension *extension = &b->out->extensions[b->out->extension_count];
    *extension = (tsm_extension){ .type = TSM_SLOT_EXTENSION, .count = (uint16_t)count };
    memcpy(extension->values, values, count * sizeof *values);
    if (intern_schema(b, name, fields, count, &extension->schema) < 0) {
        return -1;
    }
    b->out->extension_count++;
    return 0;
}

/* All zeros would be row 0, 'none', and device 0 is not nothing: the name makes the difference. */
static int
add_device(const builder *b, uint64_t ordinal, uint32_t *id)
{
    char text[32];
    uint32_t name;
    int size = snprintf(text, sizeof text, "device %llu", (unsigned long long)ordinal);
    if (intern_bytes(b, text, (size_t)size, &name) < 0) {
        return -1;
    }
    uint64_t row[TSM_COLUMNS_MAX] = { [TSM_DEVICE_ORDINAL] = ordinal, [TSM_DEVICE_NAME] = name };
    return intern_row(b, TSM_TABLE_DEVICES, row, id);
}

/* Device 0 and stream 0 are real ones, so what happens on a device always says which. */
static bool
is_on_device(uint16_t type)
{
    switch (type) {
    case TSM_EVENT_KERNEL_LAUNCH:
    case TSM_EVENT_KERNEL_COMPLETE:
    case TSM_EVENT_MEMCPY_H2D:
    case TSM_EVENT_MEMCPY_D2H:
    case TSM_EVENT_MEMCPY_D2D:
    case TSM_EVENT_MEMCPY_P2P:
    case TSM_EVENT_MEMCPY_H2H:
    case TSM_EVENT_MEMSET_DEVICE:
    case TSM_EVENT_STREAM_SYNC:
    case TSM_EVENT_DEVICE_SYNC:
    case TSM_EVENT_EVENT_RECORD:
    case TSM_EVENT_EVENT_SYNC:
    case TSM_EVENT_EVENT_WAIT:
    case TSM_EVENT_STREAM_CREATE:
    case TSM_EVENT_STREAM_DESTROY:
    case TSM_EVENT_CONTEXT_CREATE:
    case TSM_EVENT_CONTEXT_DESTROY:
    case TSM_EVENT_MEM_ALLOC:
    case TSM_EVENT_MEM_FREE:
    case TSM_EVENT_NCCL_START:
    case TSM_EVENT_NCCL_COMPLETE:
        return true;
    default:
        return false;
    }
}

static bool
is_on_stream(uint16_t type)
{
    return is_on_device(type) && type != TSM_EVENT_DEVICE_SYNC && type != TSM_EVENT_CONTEXT_CREATE
           && type != TSM_EVENT_CONTEXT_DESTROY && type != TSM_EVENT_MEM_ALLOC && type != TSM_EVENT_MEM_FREE;
}

static bool
is_about_bytes(uint16_t type)
{
    switch (type) {
    case TSM_EVENT_MEMCPY_H2D:
    case TSM_EVENT_MEMCPY_D2H:
    case TSM_EVENT_MEMCPY_D2D:
    case TSM_EVENT_MEMCPY_P2P:
    case TSM_EVENT_MEMCPY_H2H:
    case TSM_EVENT_MEMSET_DEVICE:
    case TSM_EVENT_MEM_ALLOC:
    case TSM_EVENT_MEM_FREE:
        return true;
    default:
        return false;
    }
}

static int
add_place(const builder *b, uint64_t device, uint64_t stream)
{
    tsm_event *event = &b->out->event;
    if ((device != 0 || stream != 0 || is_on_device(event->type)) && add_device(b, device, &event->device) < 0) {
        return -1;
    }
    if (stream == 0 && !is_on_stream(event->type)) {
        return 0;
    }
    uint64_t row[TSM_COLUMNS_MAX] = {
        [TSM_STREAM_PROCESS] = b->target->process,
        [TSM_STREAM_DEVICE] = event->device,
        [TSM_STREAM_RAW_ID] = stream,
    };
    return intern_row(b, TSM_TABLE_STREAMS, row, &event->stream);
}

static int
add_thread(const builder *b, uint64_t tid)
{
    if (tid == 0) {
        return 0;
    }
    uint64_t row[TSM_COLUMNS_MAX] = { [TSM_THREAD_PROCESS] = b->target->process, [TSM_THREAD_TID] = tid };
    return intern_row(b, TSM_TABLE_THREADS, row, &b->out->event.thread);
}

static int
add_metadata_item(const builder *b, PyObject *item, uint64_t *rest)
{
    uint64_t row[] = { *rest, 0, 0 };
    uint32_t id;
    if (intern_string(b, PyTuple_GET_ITEM(item, 0), &row[TSM_METADATA_KEY]) < 0
        || intern_shown(b, PyTuple_GET_ITEM(item, 1), &row[TSM_METADATA_VALUE]) < 0
        || intern_row(b, TSM_TABLE_METADATA, row, &id) < 0) {
        return -1;
    }
    *rest = id;
    return 0;
}

/* Sorted by key, so that equal dicts are one row whatever order they were filled in. */
static int
add_metadata(const builder *b, PyObject *object, uint64_t *out)
{
    PyObject *metadata;
    int result = get_optional(object, b->names->metadata, &metadata);
    if (result <= 0) {
        return result;
    }
    PyObject *items = PyMapping_Items(metadata);
    Py_DECREF(metadata);
    if (items == NULL || PyList_Sort(items) < 0) {
        Py_XDECREF(items);
        return -1;
    }
    result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(items); i++) {
        result = add_metadata_item(b, PyList_GET_ITEM(items, i), out);
    }
    Py_DECREF(items);
    return result;
}

static int
add_launch(const builder *b, PyObject *params, uint64_t metadata, uint32_t *id)
{
    const tsm_build_names *n = b->names;
    uint64_t row[TSM_COLUMNS_MAX] = { [TSM_LAUNCH_METADATA] = metadata };
    if (get_u64(params, n->grid_x, &row[TSM_LAUNCH_GRID_X]) < 0
        || get_u64(params, n->grid_y, &row[TSM_LAUNCH_GRID_Y]) < 0
        || get_u64(params, n->grid_z, &row[TSM_LAUNCH_GRID_Z]) < 0
        || get_u64(params, n->block_x, &row[TSM_LAUNCH_BLOCK_X]) < 0
        || get_u64(params, n->block_y, &row[TSM_LAUNCH_BLOCK_Y]) < 0
        || get_u64(params, n->block_z, &row[TSM_LAUNCH_BLOCK_Z]) < 0
        || get_u64(params, n->shared_mem_bytes, &row[TSM_LAUNCH_SHARED_DYNAMIC]) < 0
        || get_u64(params, n->registers_per_thread, &row[TSM_LAUNCH_REGISTERS]) < 0) {
        return -1;
    }
    return intern_row(b, TSM_TABLE_LAUNCHES, row, id);
}

static void
set_extra(const builder *b, unsigned table, uint32_t id)
{
    b->out->event.extra = id;
    b->out->event.flags |= (uint16_t)(id == 0 ? 0 : table);
}

static int
add_counter_row(const builder *b, uint64_t unit, uint64_t track)
{
    uint32_t id;
    if (intern_row(b, TSM_TABLE_COUNTERS, (uint64_t[]){ b->out->event.name, unit, track }, &id) < 0) {
        return -1;
    }
    set_extra(b, TSM_EXTRA_COUNTER, id);
    return 0;
}

/* An event has one extra: the launch, which carries the metadata along; else the metadata;
 * else, for a counter, its row. */
static int
add_extra(const builder *b, PyObject *object)
{
    uint64_t metadata = 0;
    PyObject *params;
    uint32_t id;
    if (add_metadata(b, object, &metadata) < 0) {
        return -1;
    }
    int result = get_optional(object, b->names->kernel_params, &params);
    if (result > 0) {
        result = add_launch(b, params, metadata, &id);
        Py_DECREF(params);
        if (result == 0) {
            set_extra(b, TSM_EXTRA_LAUNCH, id);
        }
        return result;
    }
    if (result == 0 && metadata != 0) {
        set_extra(b, TSM_EXTRA_METADATA, (uint32_t)metadata);
    } else if (result == 0 && b->out->event.type == TSM_EVENT_COUNTER) {
        result = add_counter_row(b, 0, 0);
    }
    return result;
}

static void
set_value(const builder *b, unsigned kind, uint64_t value)
{
    b->out->event.value = value;
    b->out->event.flags |= (uint16_t)kind;
}

static int
set_double(const builder *b, PyObject *number)
{
    uint64_t bits;
    double value = PyFloat_AsDouble(number);
    if (value == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    memcpy(&bits, &value, sizeof bits);
    set_value(b, TSM_VALUE_COUNTER, bits);
    return 0;
}

static int
add_value(const builder *b, PyObject *object)
{
    PyObject *value;
    uint64_t number;
    int result = get_optional(object, b->names->value, &value);
    if (result <= 0) {
        return result;
    }
    if (b->out->event.type == TSM_EVENT_COUNTER || PyFloat_Check(value)) {
        result = set_double(b, value);
    } else {
        result = tsm_build_u64(value, &number);
        if (result == 0) {
            set_value(b, is_about_bytes(b->out->event.type) ? TSM_VALUE_BYTES : TSM_VALUE_INTEGER, number);
        }
    }
    Py_DECREF(value);
    return result;
}

static int
add_memory(const builder *b, PyObject *object)
{
    static const field fields[] = {
        { "source", TSM_COLUMN_HEX },
        { "destination", TSM_COLUMN_HEX },
        { "size", TSM_COLUMN_U64 },
    };
    PyObject *params;
    uint64_t values[3];
    int result = get_optional(object, b->names->memory_params, &params);
    if (result <= 0) {
        return result;
    }
    result = get_u64(params, b->names->src_address, &values[0]) < 0
                     || get_u64(params, b->names->dst_address, &values[1]) < 0
                     || get_u64(params, b->names->size_bytes, &values[2]) < 0
                     || add_extension(b, "memory", fields, 3, values) < 0
                 ? -1
                 : 0;
    Py_DECREF(params);
    if (result == 0 && (b->out->event.flags & TSM_VALUE_MASK) == TSM_VALUE_NONE) {
        set_value(b, TSM_VALUE_BYTES, values[2]);
    }
    return result;
}

static int
add_flow(const builder *b, PyObject *object)
{
    static const field fields[] = {
        { "id", TSM_COLUMN_U64 },
        { "type", TSM_COLUMN_U64 },
        { "is_start", TSM_COLUMN_U64 },
    };
    PyObject *flow;
    uint64_t values[3];
    int result = get_optional(object, b->names->flow_info, &flow);
    if (result <= 0) {
        return result;
    }
    result = get_u64(flow, b->names->id, &values[0]) < 0 || get_u64(flow, b->names->type, &values[1]) < 0
                     || get_u64(flow, b->names->is_start, &values[2]) < 0
                     || add_extension(b, "flow", fields, 3, values) < 0
                 ? -1
                 : 0;
    Py_DECREF(flow);
    return result;
}

static int
add_frame(const builder *b, PyObject *frame, uint64_t *parent)
{
    const tsm_build_names *n = b->names;
    uint64_t row[TSM_COLUMNS_MAX] = { 0 };
    uint32_t id;
    if (get_string(b, frame, n->function_name, &row[TSM_FRAME_FUNCTION]) < 0
        || get_string(b, frame, n->file_name, &row[TSM_FRAME_FILE]) < 0
        || get_u64(frame, n->line_number, &row[TSM_FRAME_LINE]) < 0
        || get_u64(frame, n->address, &row[TSM_FRAME_ADDRESS]) < 0 || get_u64(frame, n->kind, &row[TSM_FRAME_KIND]) < 0
        || intern_row(b, TSM_TABLE_FRAMES, row, &id) < 0
        || intern_row(b, TSM_TABLE_STACKS, (uint64_t[]){ *parent, id }, &id) < 0) {
        return -1;
    }
    *parent = id;
    return 0;
}

/* frames[0] is the innermost call, so the chain is built from the other end. */
static int
add_frames(const builder *b, PyObject *stack)
{
    PyObject *list = PyObject_GetAttr(stack, b->names->frames);
    PyObject *frames = list == NULL ? NULL : PySequence_Tuple(list);
    uint64_t parent = 0;
    int result = frames == NULL ? -1 : 0;
    for (Py_ssize_t i = frames == NULL ? 0 : PyTuple_GET_SIZE(frames); result == 0 && i-- > 0;) {
        result = add_frame(b, PyTuple_GET_ITEM(frames, i), &parent);
    }
    Py_XDECREF(frames);
    Py_XDECREF(list);
    b->out->event.stack = (uint32_t)parent;
    return result;
}

static int
add_stack(const builder *b, PyObject *object)
{
    static const field fields[] = { { "thread", TSM_COLUMN_U64 } };
    PyObject *stack;
    uint64_t tid = 0;
    int result = get_optional(object, b->names->call_stack, &stack);
    if (result <= 0) {
        return result;
    }
    result = add_frames(b, stack);
    if (result == 0) {
        result = get_u64(stack, b->names->thread_id, &tid);
    }
    if (result == 0 && tid != 0) {
        result = add_extension(b, "call_stack", fields, 1, &tid);
    }
    Py_DECREF(stack);
    return result;
}

/* type was read already: it is how a TraceEvent is told from the others. */
static int
build_trace_event(const builder *b, PyObject *object, PyObject *type_object)
{
    const tsm_build_names *n = b->names;
    tsm_event *event = &b->out->event;
    uint64_t type, device, stream, tid, name;
    if (tsm_build_u64(type_object, &type) < 0) {
        return -1;
    }
    if (!TSM_SLOT_IS_EVENT(type)) {
        PyErr_Format(PyExc_ValueError, "type = %R is not an event type", type_object);
        return -1;
    }
    event->type = (uint16_t)type;
    if (get_u64(object, n->timestamp, &event->timestamp) < 0 || get_u64(object, n->duration, &event->duration) < 0
        || get_u64(object, n->correlation_id, &event->correlation) < 0 || get_u64(object, n->device_id, &device) < 0
        || get_u64(object, n->stream_id, &stream) < 0 || get_u64(object, n->thread_id, &tid) < 0
        || get_string(b, object, n->name, &name) < 0) {
        return -1;
    }
    event->name = (uint32_t)name;
    if (add_place(b, device, stream) < 0 || add_thread(b, tid) < 0 || add_extra(b, object) < 0
        || add_value(b, object) < 0 || add_memory(b, object) < 0 || add_flow(b, object) < 0
        || add_stack(b, object) < 0) {
        return -1;
    }
    return 0;
}

static int
build_counter(const builder *b, PyObject *object, PyObject *counter_name)
{
    const tsm_build_names *n = b->names;
    tsm_event *event = &b->out->event;
    uint64_t device, name, unit, track;
    event->type = TSM_EVENT_COUNTER;
    if (intern_string(b, counter_name, &name) < 0 || get_string(b, object, n->unit, &unit) < 0
        || get_u64(object, n->track_id, &track) < 0 || get_u64(object, n->timestamp, &event->timestamp) < 0
        || get_u64(object, n->device_id, &device) < 0 || add_place(b, device, 0) < 0) {
        return -1;
    }
    event->name = (uint32_t)name;
    return add_counter_row(b, unit, track) < 0 || add_value(b, object) < 0 ? -1 : 0;
}

static int
build_memory_event(const builder *b, PyObject *object, PyObject *is_allocation)
{
    static const field fields[] = {
        { "address", TSM_COLUMN_HEX },
        { "allocator", TSM_COLUMN_REF },
        { "category", TSM_COLUMN_U64 },
    };
    const tsm_build_names *n = b->names;
    tsm_event *event = &b->out->event;
    uint64_t device, tid, bytes, values[3];
    int allocates = PyObject_IsTrue(is_allocation);
    if (allocates < 0) {
        return -1;
    }
    event->type = allocates ? TSM_EVENT_MEM_ALLOC : TSM_EVENT_MEM_FREE;
    if (get_u64(object, n->timestamp, &event->timestamp) < 0 || get_u64(object, n->device_id, &device) < 0
        || get_u64(object, n->thread_id, &tid) < 0 || get_u64(object, n->bytes, &bytes) < 0
        || get_u64(object, n->ptr, &values[0]) < 0 || get_string(b, object, n->allocator_name, &values[1]) < 0
        || get_u64(object, n->category, &values[2]) < 0) {
        return -1;
    }
    set_value(b, TSM_VALUE_BYTES, bytes);
    if (add_place(b, device, 0) < 0 || add_thread(b, tid) < 0) {
        return -1;
    }
    return add_extension(b, "allocation", fields, 3, values);
}

typedef int (*build_function)(const builder *b, PyObject *object, PyObject *attribute);

/* Builds if the object has the attribute that marks its kind: 1; 0 if it has not; -1. */
static int
build_if(const builder *b, PyObject *object, PyObject *name, build_function build)
{
    PyObject *attribute = PyObject_GetAttr(object, name);
    if (attribute == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    int result = build(b, object, attribute);
    Py_DECREF(attribute);
    return result < 0 ? -1 : 1;
}

int
tsm_build_event(const tsm_build_names *names, const tsm_build_target *target, PyObject *object, tsm_built *out)
{
    builder b = { names, target, out };
    out->event = (tsm_event){ 0 };
    out->extension_count = 0;
    int built = build_if(&b, object, names->type, build_trace_event);
    if (built == 0) {
        built = build_if(&b, object, names->counter_name, build_counter);
    }
    if (built == 0) {
        built = build_if(&b, object, names->is_allocation, build_memory_event);
    }
    if (built == 0) {
        PyErr_Format(PyExc_TypeError, "expected TraceEvent, CounterEvent or MemoryEvent, not %.100s",
                     Py_TYPE(object)->tp_name);
    }
    return built > 0 ? 0 : -1;
}
