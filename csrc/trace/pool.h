/* Events with their extension records, grown by appending; and what is left of a batch that is
 * taken piece by piece. Private to trace/. */
#ifndef TSM_TRACE_POOL_H
#define TSM_TRACE_POOL_H

#include "trace/trace.h"

typedef struct {
    tsm_event *events;
    size_t count, events_capacity;
    tsm_extension *extensions;
    uint32_t *rows;
    size_t extension_count, extensions_capacity, rows_capacity;
} tsm_pool;

void tsm_pool_free(tsm_pool *pool); /* what it holds */

/* Room for that many more. */
TSM_NODISCARD tsm_status tsm_pool_reserve(tsm_pool *pool, size_t events, size_t extensions);
TSM_NODISCARD tsm_status tsm_pool_append(tsm_pool *pool, const tsm_batch *batch);
tsm_batch tsm_pool_borrow(const tsm_pool *pool);

static inline void
tsm_pool_clear(tsm_pool *pool)
{
    pool->count = pool->extension_count = 0;
}

/* The events of batch from at on, with the extensions from extension_at on. */
typedef struct {
    tsm_batch batch;
    size_t at, extension_at;
} tsm_rest;

/* Does the next event have extensions? */
static inline bool
tsm_rest_extended(const tsm_rest *rest)
{
    return rest->extension_at < rest->batch.extension_count
           && rest->batch.extension_rows[rest->extension_at] <= rest->at;
}

/* How many extensions belong to the next count events. */
size_t tsm_rest_extensions(const tsm_rest *rest, size_t count);

void tsm_rest_skip(tsm_rest *rest, size_t count);

/* The next count events where they are. Only the rows may have to be counted anew: those then lie
 * in scratch, until its next use. */
TSM_NODISCARD tsm_status tsm_rest_take(tsm_rest *rest, size_t count, tsm_pool *scratch, tsm_batch *out);

/* Copies the next count events to the end of pool. */
TSM_NODISCARD tsm_status tsm_rest_move(tsm_rest *rest, size_t count, tsm_pool *pool);

#endif
