/* What devices did. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ingest/nsys.h"

#define NO_EVENT 0xffffffff

static int64_t
process_of(const nsys *im, const nsys_source *source)
{
    return nsys_has(source, WORK_PROCESS) ? source->values[WORK_PROCESS] : im->only_process;
}

static void
place(nsys *im, const nsys_source *source, tsm_event *event)
{
    const int64_t *values = source->values;
    event->correlation = (uint64_t)values[WORK_CORRELATION];
    event->stream =
        nsys_stream_row(im, process_of(im, source), values[WORK_DEVICE], values[WORK_CONTEXT], values[WORK_STREAM]);
    event->device = nsys_device_row(im, values[WORK_DEVICE]);
}

/* Adds the event, and the graph's node that it is, if it is one. */
static void
add(nsys *im, tsm_event *event, int64_t graph, int64_t node)
{
    static const char *const fields[] = { "graph", "node" };
    if (node == 0) {
        ingest_buffer_add(&im->buffer, event);
        return;
    }
    if (im->graph_schema == 0) {
        im->graph_schema = ingest_schema(&im->buffer, "nsys:graph node", fields, 2, TSM_COLUMN_U64);
    }
    event->flags |= TSM_FLAG_GRAPH;
    ingest_buffer_add(&im->buffer, event);
    ingest_buffer_extend(&im->buffer, &(tsm_extension){ .values = { (uint64_t)graph, (uint64_t)node },
                                                        .type = TSM_SLOT_EXTENSION,
                                                        .count = 2,
                                                        .schema = im->graph_schema });
}

/* ---- Kernels --------------------------------------------------------------------------------- */

enum {
    KERNEL_NODE = WORK_COLUMNS,
    KERNEL_GRAPH,
    KERNEL_DEMANGLED,
    KERNEL_SHORT,
    KERNEL_MANGLED,
    KERNEL_LAUNCH, /* from here on as in the table of launches */
};

static uint32_t
launch_row(nsys *im, const int64_t *shape)
{
    uint64_t launch[TSM_LAUNCH_METADATA + 1] = { 0 };
    for (size_t i = 0; i < TSM_LAUNCH_METADATA; i++) {
        launch[i] = (uint64_t)shape[i];
    }
    if (im->last_launch_row == 0 || memcmp(launch, im->last_launch, sizeof launch) != 0) {
        im->last_launch_row = ingest_row(&im->buffer, TSM_TABLE_LAUNCHES, launch);
        memcpy(im->last_launch, launch, sizeof launch);
    }
    return im->last_launch_row;
}

/* StringIds has an empty name, or none, for 0. */
static int64_t
kernel_name(nsys *im, const nsys_source *source)
{
    int column = nsys_is_null(im, source->statement, KERNEL_SHORT) ? KERNEL_MANGLED : KERNEL_SHORT;
    return nsys_has(source, KERNEL_DEMANGLED) ? source->values[KERNEL_DEMANGLED]
                                              : nsys_integer(im, source->statement, column);
}

static void
keep_kernel(nsys *im, nsys_source *source, tsm_event *event)
{
    event->type = TSM_EVENT_KERNEL_LAUNCH;
    event->name = nsys_kernel_row(im, kernel_name(im, source), &event->type);
    event->flags = TSM_EXTRA_LAUNCH;
    place(im, source, event);
    event->extra = launch_row(im, source->values + KERNEL_LAUNCH);
    add(im, event, source->values[KERNEL_GRAPH], source->values[KERNEL_NODE]);
}

/* A graph that was recorded as a whole: one piece of work. */
enum { GRAPH_ID = WORK_COLUMNS, GRAPH_EXEC };

static void
keep_graph(nsys *im, nsys_source *source, tsm_event *event)
{
    static const char *const fields[] = { "graph", "executable" };
    char name[40];
    const int64_t *ids = source->values + GRAPH_ID;
    if (im->whole_graph_schema == 0) {
        im->whole_graph_schema = ingest_schema(&im->buffer, "nsys:graph", fields, 2, TSM_COLUMN_U64);
    }
    int size = snprintf(name, sizeof name, "CUDA graph %" PRId64, ids[0]);
    event->type = TSM_EVENT_KERNEL_LAUNCH;
    event->name = ingest_string(&im->buffer, name, (size_t)size);
    place(im, source, event);
    ingest_buffer_add(&im->buffer, event);
    ingest_buffer_extend(&im->buffer, &(tsm_extension){ .values = { (uint64_t)ids[0], (uint64_t)ids[1] },
                                                        .type = TSM_SLOT_EXTENSION,
                                                        .count = 2,
                                                        .schema = im->whole_graph_schema });
}

/* ---- Copies and sets ------------------------------------------------------------------------- */

enum { COPY_NODE = WORK_COLUMNS, COPY_BYTES, COPY_KIND, COPY_FROM, COPY_TO, COPY_FROM_DEVICE, COPY_TO_DEVICE };
enum { SET_NODE = WORK_COLUMNS, SET_BYTES, SET_KIND };

/* By copyKind. What happens in unified memory goes by another name, so that nobody takes it for a
 * call of the program. */
static const struct {
    const char *name;
    uint16_t type;
} copies[] = {
    { "Memcpy", TSM_EVENT_MEMCPY_D2D },
    { "Memcpy HtoD", TSM_EVENT_MEMCPY_H2D },
    { "Memcpy DtoH", TSM_EVENT_MEMCPY_D2H },
    { "Memcpy HtoA", TSM_EVENT_MEMCPY_H2D },
    { "Memcpy AtoH", TSM_EVENT_MEMCPY_D2H },
    { "Memcpy AtoA", TSM_EVENT_MEMCPY_D2D },
    { "Memcpy AtoD", TSM_EVENT_MEMCPY_D2D },
    { "Memcpy DtoA", TSM_EVENT_MEMCPY_D2D },
    { "Memcpy DtoD", TSM_EVENT_MEMCPY_D2D },
    { "Memcpy HtoH", TSM_EVENT_MEMCPY_H2H },
    { "Memcpy PtoP", TSM_EVENT_MEMCPY_P2P },
    { "Unified Memcpy HtoD", TSM_EVENT_MEMCPY_H2D },
    { "Unified Memcpy DtoH", TSM_EVENT_MEMCPY_D2H },
    { "Unified Memcpy DtoD", TSM_EVENT_MEMCPY_D2D },
};
static const char *const memories[] = { "Pageable", "Pinned",        "Device",         "Array",
                                        "Managed",  "Device Static", "Managed Static", "Unknown" };
enum { COPY_KINDS = sizeof copies / sizeof *copies, MEMORIES = sizeof memories / sizeof *memories };

static int
memory_of(const nsys_source *source, int column)
{
    int64_t kind = source->values[column];
    return nsys_has(source, column) && kind >= 0 && kind < MEMORIES ? (int)kind : MEMORIES;
}

static uint32_t
copy_name(nsys *im, size_t kind, int from, int to)
{
    uint32_t *row = &im->copy_names[kind][from][to];
    if (*row == 0) {
        char name[80];
        if (from < MEMORIES && to < MEMORIES) {
            snprintf(name, sizeof name, "%s (%s -> %s)", copies[kind].name, memories[from], memories[to]);
        } else {
            snprintf(name, sizeof name, "%s", copies[kind].name);
        }
        *row = ingest_word(&im->buffer, name);
    }
    return *row;
}

static void
keep_copy(nsys *im, nsys_source *source, tsm_event *event)
{
    const int64_t *values = source->values;
    size_t kind = values[COPY_KIND] >= 0 && values[COPY_KIND] < COPY_KINDS ? (size_t)values[COPY_KIND] : 0;
    bool between = nsys_has(source, COPY_FROM_DEVICE) && nsys_has(source, COPY_TO_DEVICE)
                   && values[COPY_FROM_DEVICE] != values[COPY_TO_DEVICE];
    event->type = copies[kind].type;
    event->name = copy_name(im, kind, memory_of(source, COPY_FROM), memory_of(source, COPY_TO));
    event->value = (uint64_t)values[COPY_BYTES];
    event->flags = TSM_VALUE_BYTES;
    place(im, source, event);
    if (between) {
        event->type = event->type == TSM_EVENT_MEMCPY_D2D ? TSM_EVENT_MEMCPY_P2P : event->type;
        event->flags |= TSM_EXTRA_METADATA;
        event->extra = ingest_metadata_number(&im->buffer, 0, "source device", values[COPY_FROM_DEVICE]);
        event->extra = ingest_metadata_number(&im->buffer, event->extra, "destination device", values[COPY_TO_DEVICE]);
    }
    add(im, event, 0, values[COPY_NODE]);
}

static void
keep_set(nsys *im, nsys_source *source, tsm_event *event)
{
    char name[40];
    int memory = memory_of(source, SET_KIND);
    snprintf(name, sizeof name, "Memset (%s)", memory < MEMORIES ? memories[memory] : "Unknown");
    event->type = TSM_EVENT_MEMSET_DEVICE;
    event->name = ingest_word(&im->buffer, name);
    event->value = (uint64_t)source->values[SET_BYTES];
    event->flags = TSM_VALUE_BYTES;
    place(im, source, event);
    add(im, event, 0, source->values[SET_NODE]);
}

/* ---- Waits ----------------------------------------------------------------------------------- */

enum { WAIT_TYPE = WORK_COLUMNS, WAIT_EVENT };

static const struct {
    const char *name;
    uint16_t type;
} waits[] = {
    { "Synchronization", TSM_EVENT_CUSTOM },       { "Event Sync", TSM_EVENT_EVENT_SYNC },
    { "Stream Wait Event", TSM_EVENT_EVENT_WAIT }, { "Stream Sync", TSM_EVENT_STREAM_SYNC },
    { "Context Sync", TSM_EVENT_DEVICE_SYNC },
};
enum { WAITS = sizeof waits / sizeof *waits };

/* The call knows better than syncType, whose numbers differ by one between versions: 2 is a wait
 * for an event in 2026.2 and a stream's synchronisation in 2025.5. */
static size_t
wait_of(const nsys *im, const nsys_source *source, const tsm_event *event)
{
    uint32_t process =
        (uint32_t)tsm_tables_borrow_row(im->buffer.tables, TSM_TABLE_STREAMS, event->stream)[TSM_STREAM_PROCESS];
    uint16_t call = ingest_buffer_call(&im->buffer, event->correlation, process);
    int64_t type = source->values[WAIT_TYPE];
    for (size_t i = 1; i < WAITS; i++) {
        if (waits[i].type == call) {
            return i;
        }
    }
    return type > 0 && type < WAITS ? (size_t)type : 0;
}

static void
keep_wait(nsys *im, nsys_source *source, tsm_event *event)
{
    place(im, source, event);
    size_t wait = wait_of(im, source, event);
    event->type = waits[wait].type;
    event->name = ingest_word(&im->buffer, waits[wait].name);
    if (nsys_has(source, WAIT_EVENT) && source->values[WAIT_EVENT] != NO_EVENT) {
        event->value = (uint64_t)source->values[WAIT_EVENT];
        event->flags = TSM_VALUE_INTEGER;
    }
    ingest_buffer_add(&im->buffer, event);
}

const nsys_table nsys_work_tables[] = {
    { .name = "CUPTI_ACTIVITY_KIND_KERNEL",
      .columns = { NSYS_WORK_COLUMNS, "graphNodeId", "graphId", "demangledName", "shortName", "mangledName", "gridX",
                   "gridY", "gridZ", "blockX", "blockY", "blockZ", "staticSharedMemory", "dynamicSharedMemory",
                   "registersPerThread", "localMemoryPerThread", "clusterX", "clusterY", "clusterZ" },
      .later = 1u << KERNEL_SHORT | 1u << KERNEL_MANGLED,
      .has_end = true,
      .keep = keep_kernel },
    { .name = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE",
      .columns = { NSYS_WORK_COLUMNS, "graphId", "graphExecId" },
      .has_end = true,
      .keep = keep_graph },
    { .name = "CUPTI_ACTIVITY_KIND_MEMCPY",
      .columns = { NSYS_WORK_COLUMNS, "graphNodeId", "bytes", "copyKind", "srcKind", "dstKind", "srcDeviceId",
                   "dstDeviceId" },
      .has_end = true,
      .keep = keep_copy },
    { .name = "CUPTI_ACTIVITY_KIND_MEMSET",
      .columns = { NSYS_WORK_COLUMNS, "graphNodeId", "bytes", "memKind" },
      .has_end = true,
      .keep = keep_set },
    { .name = "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION",
      .columns = { NSYS_WORK_COLUMNS, "syncType", "eventId" },
      .has_end = true,
      .keep = keep_wait },
    { .name = NULL },
};
