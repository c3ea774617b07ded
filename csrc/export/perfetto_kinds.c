/* What device work of one name, type, stream and launch shape shares is encoded once. What does
 * not depend on the grid goes further, into the interned kernel, whose arguments readers copy to
 * every event that names it: three bytes there instead of fourteen and more. */
#include <stdio.h>

#include "base/array.h"
#include "base/hash.h"
#include "export/perfetto.h"

/* GpuRenderStageEvent and its launch. */
enum { STAGE_CONTEXT = 5, STAGE_GPU = 11, STAGE_QUEUE = 13, STAGE_STAGE = 14, STAGE_KERNEL = 19 };
enum { LAUNCH_GRID = 1, LAUNCH_BLOCK = 2 };
enum { CATEGORY_OTHER = 0, CATEGORY_COMPUTE = 2 };

static uint32_t
new_specification(pf_writer *w, tsm_text name, const char *description, unsigned category)
{
    uint32_t id = ++w->last_specification;
    uint8_t *data = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_INTERNED);
    uint8_t *entry = tsm_pb_begin(data, PF_INTERNED_SPECIFICATIONS);
    uint8_t *at = pf_text(tsm_pb_uint(entry, 1, id), 2, name);
    if (description != NULL) {
        at = tsm_pb_bytes(at, 3, description, strlen(description));
    }
    at = tsm_pb_uint(at, 4, category);
    pf_packet_end(w, tsm_pb_end(data, tsm_pb_end(entry, at)));
    return id;
}

/* Old sources end a kernel with KernelComplete, and newer ones may call it so: it is one thing. */
static uint16_t
kind_of_type(uint16_t type)
{
    switch (type) {
    case TSM_EVENT_KERNEL_COMPLETE:
        return TSM_EVENT_KERNEL_LAUNCH;
    case TSM_EVENT_NCCL_START:
    case TSM_EVENT_NCCL_COMPLETE:
        return TSM_EVENT_COMMUNICATION;
    default:
        return type;
    }
}

/* A slice takes its stage's name, so the stage is the kernel. */
static uint32_t
stage_of(pf_writer *w, uint32_t name, uint16_t type)
{
    uint32_t stage = pf_map_get(&w->stages, name, type);
    if (stage == 0) {
        const char *description = tsm_event_type_name(type);
        bool compute = type == TSM_EVENT_KERNEL_LAUNCH || type == TSM_EVENT_COMMUNICATION;
        tsm_text text = name == 0 ? (tsm_text){ description, strlen(description) } : pf_string(w, name);
        stage = new_specification(w, text, description, compute ? CATEGORY_COMPUTE : CATEGORY_OTHER);
        (void)pf_map_set(w, &w->stages, name, type, stage);
    }
    return stage;
}

/* What people named lies beside the work and spans it, so it gets a queue of its own. */
static uint32_t
queue_of(pf_writer *w, uint32_t stream, bool beside)
{
    uint32_t queue = pf_map_get(&w->queues, stream, beside);
    if (queue == 0) {
        char text[200];
        const uint64_t *row = pf_row(w, TSM_TABLE_STREAMS, stream);
        tsm_text name = pf_string(w, row[TSM_STREAM_NAME]);
        int length = name.size > 0 ? snprintf(text, sizeof text, "%.*s%s", name.size < 128 ? (int)name.size : 128,
                                              name.data, beside ? " annotations" : "")
                                   : snprintf(text, sizeof text, "Stream %llu%s",
                                              (unsigned long long)row[TSM_STREAM_RAW_ID], beside ? " annotations" : "");
        queue =
            new_specification(w, (tsm_text){ text, (size_t)length }, NULL, beside ? CATEGORY_OTHER : CATEGORY_COMPUTE);
        (void)pf_map_set(w, &w->queues, stream, beside, queue);
    }
    return queue;
}

/* A context's number where no other process has it, else the next that is free. */
static uint32_t
context_number(pf_writer *w, uint64_t raw)
{
    if (raw != 0 && raw < 1u << 20 && pf_map_get(&w->context_numbers, raw, 0) == 0) {
        return (uint32_t)raw;
    }
    do {
        w->last_context++;
    } while (pf_map_get(&w->context_numbers, w->last_context, 0) != 0);
    return w->last_context;
}

static uint32_t
context_of(pf_writer *w, uint32_t stream)
{
    const uint64_t *row = pf_row(w, TSM_TABLE_STREAMS, stream);
    uint64_t raw = row[TSM_STREAM_CONTEXT];
    uint32_t process = (uint32_t)row[TSM_STREAM_PROCESS], device = (uint32_t)row[TSM_STREAM_DEVICE];
    uint64_t owner = (uint64_t)process << 32 | device;
    uint32_t id = pf_map_get(&w->contexts, owner, raw);
    if (id != 0) {
        return id;
    }
    id = context_number(w, raw);
    (void)pf_map_set(w, &w->context_numbers, id, 0, 1);
    (void)pf_map_set(w, &w->contexts, owner, raw, id);
    unsigned api = pf_device_api(w, device);
    api = api != PF_API_NONE ? api : w->api_seen;
    uint8_t *data = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_INTERNED);
    uint8_t *entry = tsm_pb_begin(data, PF_INTERNED_CONTEXTS);
    uint8_t *at = tsm_pb_uint(entry, 1, id);
    at = process != 0 ? tsm_pb_uint(at, 2, pf_process_pid(w, process)) : at;
    at = api != PF_API_NONE ? tsm_pb_uint(at, 3, api) : at;
    pf_packet_end(w, tsm_pb_end(data, tsm_pb_end(entry, at)));
    return id;
}

/* The first launch row that is the same but for grid and block. */
static uint32_t
shape_of(pf_writer *w, uint32_t launch)
{
    uint32_t shape = launch == 0 ? 0 : pf_rows_get(&w->launches, launch);
    if (launch == 0 || shape != 0) {
        return shape;
    }
    const uint64_t *row = pf_row(w, TSM_TABLE_LAUNCHES, launch);
    const uint64_t *rest = row + TSM_LAUNCH_SHARED_STATIC;
    size_t size = (TSM_LAUNCH_METADATA - TSM_LAUNCH_SHARED_STATIC + 1) * sizeof *rest;
    uint64_t key = tsm_hash_bytes(rest, size), attempt = 0;
    while ((shape = pf_map_get(&w->shapes, key, attempt)) != 0
           && memcmp(pf_row(w, TSM_TABLE_LAUNCHES, shape) + TSM_LAUNCH_SHARED_STATIC, rest, size) != 0) {
        attempt++;
    }
    if (shape == 0) {
        shape = launch;
        (void)pf_map_set(w, &w->shapes, key, attempt, launch);
    }
    (void)pf_rows_set(w, &w->launches, launch, shape);
    return shape;
}

static void
put_attributes(pf_writer *w, uint32_t stream, uint32_t launch)
{
    const uint64_t *row = pf_row(w, TSM_TABLE_STREAMS, stream);
    uint64_t device = row[TSM_STREAM_DEVICE], raw = row[TSM_STREAM_RAW_ID];
    pf_put_word(w, PF_WORD_DEVICE, pf_row(w, TSM_TABLE_DEVICES, device)[TSM_DEVICE_ORDINAL]);
    pf_put_word(w, PF_WORD_STREAM, raw);
    if (launch == 0) {
        return;
    }
    row = pf_row(w, TSM_TABLE_LAUNCHES, launch);
    pf_put_word(w, PF_WORD_REGISTERS, row[TSM_LAUNCH_REGISTERS]);
    if (w->options->lean) {
        return;
    }
    pf_put_word(w, PF_WORD_SHARED_STATIC, row[TSM_LAUNCH_SHARED_STATIC]);
    pf_put_word(w, PF_WORD_SHARED_DYNAMIC, row[TSM_LAUNCH_SHARED_DYNAMIC]);
    if (row[TSM_LAUNCH_LOCAL_BYTES] != 0) {
        pf_put_word(w, PF_WORD_LOCAL_BYTES, row[TSM_LAUNCH_LOCAL_BYTES]);
    }
    for (unsigned i = 0; i < 3 && row[TSM_LAUNCH_CLUSTER_X] != 0; i++) {
        pf_put_word(w, PF_WORD_CLUSTER_X + i, row[TSM_LAUNCH_CLUSTER_X + i]);
    }
    pf_put_metadata(w, row[TSM_LAUNCH_METADATA]);
}

/* name 0: work that is no kernel, of which only the place is told. */
static uint32_t
kernel_of(pf_writer *w, uint32_t name, uint32_t stream, uint32_t launch)
{
    /* Lean, a kernel has one set of attributes: that of the launch that was met first. */
    uint32_t shape = w->options->lean ? launch != 0 : shape_of(w, launch);
    uint64_t key = (uint64_t)name << 32 | stream;
    uint32_t id = pf_map_get(&w->kernels, key, shape);
    if (id != 0) {
        return id;
    }
    id = ++w->last_kernel;
    pf_begin_args(w, PF_KERNEL_ARGS);
    put_attributes(w, stream, launch);
    tsm_text text = pf_string(w, name);
    uint32_t device = (uint32_t)pf_row(w, TSM_TABLE_STREAMS, stream)[TSM_STREAM_DEVICE];
    const uint64_t *row = pf_row(w, TSM_TABLE_DEVICES, device);
    uint8_t *data = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_INTERNED);
    uint8_t *entry = tsm_pb_begin(data, PF_INTERNED_KERNELS);
    uint8_t *at = tsm_pb_uint(entry, 1, id);
    if (text.size > 0) {
        bool mangled = text.size > 2 && memcmp(text.data, "_Z", 2) == 0;
        at = pf_text(at, mangled ? 2 : 3, text);
    }
    if (name != 0 && row[TSM_DEVICE_COMPUTE_MAJOR] != 0 && pf_device_api(w, device) == PF_API_CUDA) {
        char arch[48];
        int length = snprintf(arch, sizeof arch, "sm_%llu%llu", (unsigned long long)row[TSM_DEVICE_COMPUTE_MAJOR],
                              (unsigned long long)row[TSM_DEVICE_COMPUTE_MINOR]);
        at = tsm_pb_bytes(at, 4, arch, (size_t)length);
    }
    memcpy(at, w->arguments.bytes, w->arguments.size);
    pf_packet_end(w, tsm_pb_end(data, tsm_pb_end(entry, at + w->arguments.size)));
    (void)pf_map_set(w, &w->kernels, key, shape, id);
    return id;
}

static uint8_t *
put_size(uint8_t *at, uint32_t field, const uint64_t *xyz)
{
    uint8_t *size = tsm_pb_begin(at, field);
    at = size;
    for (uint32_t i = 0; i < 3; i++) {
        at = tsm_pb_uint(at, i + 1, xyz[i] & UINT32_MAX);
    }
    return tsm_pb_end(size, at);
}

static void
encode_launch(const pf_writer *w, pf_kind *kind, uint32_t launch)
{
    const uint64_t *row = pf_row(w, TSM_TABLE_LAUNCHES, launch);
    uint8_t *at = kind->launch;
    if (launch != 0 && !w->options->lean) {
        at = put_size(at, LAUNCH_GRID, row + TSM_LAUNCH_GRID_X);
        at = put_size(at, LAUNCH_BLOCK, row + TSM_LAUNCH_BLOCK_X);
    }
    kind->launch_size = (uint8_t)(at - kind->launch);
}

static const pf_kind *
new_kind(pf_writer *w, const tsm_event *event, uint16_t type, uint32_t launch)
{
    if (!tsm_array_reserve(&w->kind, &w->kind_capacity, w->kind_count + 2)) {
        w->failed = true;
        return NULL;
    }
    bool kernel = type == TSM_EVENT_KERNEL_LAUNCH || type == TSM_EVENT_COMMUNICATION;
    uint32_t gpu = pf_gpu_id(w, pf_device_of(w, event)), queue = queue_of(w, event->stream, !tsm_event_is_work(type));
    uint32_t stage = stage_of(w, event->name, type), context = context_of(w, event->stream);
    uint32_t interned = kernel_of(w, kernel ? event->name : 0, event->stream, launch);

    pf_kind *kind = &w->kind[++w->kind_count];
    uint8_t *at = kind->fixed;
    at = tsm_pb_uint(at, STAGE_CONTEXT, context);
    at = gpu != 0 ? tsm_pb_uint(at, STAGE_GPU, gpu) : at;
    at = tsm_pb_uint(at, STAGE_QUEUE, queue);
    at = tsm_pb_uint(at, STAGE_STAGE, stage);
    at = tsm_pb_uint(at, STAGE_KERNEL, interned);
    kind->fixed_size = (uint8_t)(at - kind->fixed);
    encode_launch(w, kind, launch);
    return kind;
}

const pf_kind *
pf_find_kind(pf_writer *w, const tsm_event *event)
{
    uint16_t type = kind_of_type(event->type);
    uint32_t launch = (event->flags & TSM_EXTRA_MASK) == TSM_EXTRA_LAUNCH ? event->extra : 0;
    uint64_t a = (uint64_t)event->name << 32 | event->stream;
    uint64_t b = (uint64_t)type << 32 | (w->options->lean ? launch != 0 : launch);
    uint32_t known = pf_map_get(&w->kinds, a, b);
    if (known != 0) {
        return &w->kind[known];
    }
    const pf_kind *kind = new_kind(w, event, type, launch);
    if (kind == NULL || !pf_map_set(w, &w->kinds, a, b, (uint32_t)w->kind_count)) {
        return NULL;
    }
    return kind;
}
