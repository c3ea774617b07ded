/* A trace in memory: a sink that keeps what it is given. */
#include <stdlib.h>

#include "trace/pool.h"
#include "trace/trace.h"

tsm_tables *
tsm_sink_tables(tsm_sink *sink)
{
    return sink->ops->tables(sink);
}

tsm_status
tsm_sink_write(tsm_sink *sink, const tsm_batch *batch, tsm_error *err)
{
    return sink->ops->write(sink, batch, err);
}

struct tsm_memory {
    tsm_sink sink;
    tsm_tables *tables;
    tsm_pool pool;
};

static tsm_tables *
memory_tables(tsm_sink *sink)
{
    return ((tsm_memory *)sink)->tables;
}

static tsm_status
memory_write(tsm_sink *sink, const tsm_batch *batch, tsm_error *err)
{
    tsm_status status = tsm_pool_append(&((tsm_memory *)sink)->pool, batch);
    return status == TSM_OK ? TSM_OK : tsm_fail(err, status, 0, "no room for %zu more events", batch->count);
}

static const tsm_sink_ops memory_sink_ops = { .tables = memory_tables, .write = memory_write };

tsm_status
tsm_memory_create(tsm_memory **out)
{
    tsm_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL || tsm_tables_create(&memory->tables) != TSM_OK) {
        free(memory);
        return TSM_E_NOMEM;
    }
    memory->sink.ops = &memory_sink_ops;
    *out = memory;
    return TSM_OK;
}

void
tsm_memory_destroy(tsm_memory *memory)
{
    if (memory != NULL) {
        tsm_tables_destroy(memory->tables);
        tsm_pool_free(&memory->pool);
        free(memory);
    }
}

tsm_sink *
tsm_memory_sink(tsm_memory *memory)
{
    return &memory->sink;
}

tsm_tables *
tsm_memory_tables(tsm_memory *memory)
{
    return memory->tables;
}

void
tsm_memory_borrow(const tsm_memory *memory, tsm_batch *batch)
{
    *batch = tsm_pool_borrow(&memory->pool);
}

tsm_status
tsm_memory_cursor(tsm_memory *memory, uint64_t begin, uint64_t end, tsm_cursor **out)
{
    tsm_batch batch = tsm_pool_borrow(&memory->pool);
    return tsm_batch_cursor(&batch, memory->tables, begin, end, out);
}
