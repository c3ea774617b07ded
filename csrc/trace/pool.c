#include "trace/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void
tsm_pool_free(tsm_pool *pool)
{
    free(pool->events);
    free(pool->extensions);
    free(pool->rows);
}

tsm_status
tsm_pool_reserve(tsm_pool *pool, size_t events, size_t extensions)
{
    if (pool->count + events > UINT32_MAX) {
        return TSM_E_LIMIT; /* rows have 32 bits */
    }
    extensions += pool->extension_count;
    bool done = tsm_array_reserve(&pool->events, &pool->events_capacity, pool->count + events)
                && tsm_array_reserve(&pool->extensions, &pool->extensions_capacity, extensions)
                && tsm_array_reserve(&pool->rows, &pool->rows_capacity, extensions);
    return done ? TSM_OK : TSM_E_NOMEM;
}

/* rows of the result begin at pool->count where those of batch begin at first. */
static void
append(tsm_pool *pool, const tsm_batch *batch, uint32_t first)
{
    uint32_t moved = (uint32_t)pool->count - first;
    if (batch->count > 0) {
        memcpy(pool->events + pool->count, batch->events, batch->count * sizeof *pool->events);
    }
    for (size_t i = 0; i < batch->extension_count; i++) {
        pool->extensions[pool->extension_count] = batch->extensions[i];
        pool->rows[pool->extension_count++] = batch->extension_rows[i] + moved;
    }
    pool->count += batch->count;
}

tsm_status
tsm_pool_append(tsm_pool *pool, const tsm_batch *batch)
{
    tsm_status status = tsm_pool_reserve(pool, batch->count, batch->extension_count);
    if (status == TSM_OK) {
        append(pool, batch, 0);
    }
    return status;
}

tsm_batch
tsm_pool_borrow(const tsm_pool *pool)
{
    return (tsm_batch){ pool->events, pool->count, pool->extensions, pool->rows, pool->extension_count };
}

size_t
tsm_rest_extensions(const tsm_rest *rest, size_t count)
{
    const tsm_batch *b = &rest->batch;
    size_t end = rest->extension_at;
    if (rest->at + count == b->count) {
        end = b->extension_count;
    }
    while (end < b->extension_count && b->extension_rows[end] < rest->at + count) {
        end++;
    }
    return end - rest->extension_at;
}

void
tsm_rest_skip(tsm_rest *rest, size_t count)
{
    rest->extension_at += tsm_rest_extensions(rest, count);
    rest->at += count;
}

/* The next count events, with rows that still count from the beginning of the batch. */
static tsm_batch
cut(const tsm_rest *rest, size_t count)
{
    tsm_batch out = { .events = rest->batch.events + rest->at, .count = count };
    out.extension_count = tsm_rest_extensions(rest, count);
    if (out.extension_count > 0) {
        out.extensions = rest->batch.extensions + rest->extension_at;
        out.extension_rows = rest->batch.extension_rows + rest->extension_at;
    }
    return out;
}

tsm_status
tsm_rest_take(tsm_rest *rest, size_t count, tsm_pool *scratch, tsm_batch *out)
{
    tsm_batch taken = cut(rest, count);
    if (rest->at > 0 && taken.extension_count > 0) {
        if (!tsm_array_reserve(&scratch->rows, &scratch->rows_capacity, taken.extension_count)) {
            return TSM_E_NOMEM;
        }
        for (size_t i = 0; i < taken.extension_count; i++) {
            scratch->rows[i] = taken.extension_rows[i] - (uint32_t)rest->at;
        }
        taken.extension_rows = scratch->rows;
    }
    rest->at += count;
    rest->extension_at += taken.extension_count;
    *out = taken;
    return TSM_OK;
}

tsm_status
tsm_rest_move(tsm_rest *rest, size_t count, tsm_pool *pool)
{
    tsm_batch taken = cut(rest, count);
    tsm_status status = tsm_pool_reserve(pool, count, taken.extension_count);
    if (status == TSM_OK) {
        append(pool, &taken, (uint32_t)rest->at);
        rest->at += count;
        rest->extension_at += taken.extension_count;
    }
    return status;
}
