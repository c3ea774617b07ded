#include <stdlib.h>
#include <string.h>

#include "analysis/pass.h"
#include "base/array.h"

/* New rows begin as zeros. */
static bool
grow(void **items, size_t *room, uint32_t *count, uint32_t wanted, size_t item_bytes)
{
    if (wanted <= *count) {
        return true;
    }
    if (!tsm_array_reserve_bytes(items, room, wanted, item_bytes)) {
        return false;
    }
    memset((char *)*items + *count * item_bytes, 0, (wanted - *count) * item_bytes);
    *count = wanted;
    return true;
}

#define GROW(what, room, count, table)                                                                       \
    grow((void **)&pass->what, &pass->room, &pass->count, tsm_tables_count(pass->tables, TSM_TABLE_##table), \
         sizeof *pass->what)

static void
look_up_streams(tsm_pass *pass, uint32_t from)
{
    for (uint32_t i = from; i < pass->stream_count; i++) {
        const uint64_t *row = tsm_tables_borrow_row(pass->tables, TSM_TABLE_STREAMS, i);
        tsm_stream_state *stream = &pass->streams[i];
        stream->device = row[TSM_STREAM_DEVICE] < pass->device_count ? (uint32_t)row[TSM_STREAM_DEVICE] : 0;
        stream->process = (uint32_t)row[TSM_STREAM_PROCESS];
        if (pass->devices[stream->device].process == 0) {
            pass->devices[stream->device].process = stream->process;
        }
    }
}

bool
tsm_pass_grow(tsm_pass *pass)
{
    uint32_t streams = pass->stream_count, threads = pass->thread_count;
    if (!GROW(names, names_room, name_count, STRINGS) || !GROW(devices, devices_room, device_count, DEVICES)
        || !GROW(streams, streams_room, stream_count, STREAMS) || !GROW(threads, threads_room, thread_count, THREADS)
        || !GROW(schemas, schemas_room, schema_count, SCHEMAS)
        || !GROW(stack_texts, stacks_room, stack_count, STACKS)) {
        return false;
    }
    look_up_streams(pass, streams);
    for (uint32_t i = threads; i < pass->thread_count; i++) {
        pass->threads[i].process =
            (uint32_t)tsm_tables_borrow_row(pass->tables, TSM_TABLE_THREADS, i)[TSM_THREAD_PROCESS];
    }
    return true;
}
