/* What every cursor shares, and the cursor over events that lie in memory: sorted stretches are
 * handed out where they lie, the rest is copied and sorted a batch at a time. */
#include <stdlib.h>

#include "trace/pool.h"
#include "trace/trace.h"

#define BATCH_EVENTS  4096
#define WORTH_LENDING 512 /* shorter stretches would make a merge of too many runs */

tsm_status
tsm_cursor_next(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err)
{
    return cursor->ops->next(cursor, batch, err);
}

tsm_tables *
tsm_cursor_tables(tsm_cursor *cursor)
{
    return cursor->ops->tables(cursor);
}

void
tsm_cursor_close(tsm_cursor *cursor)
{
    if (cursor != NULL) {
        cursor->ops->close(cursor);
    }
}

typedef struct {
    tsm_cursor cursor;
    tsm_tables *tables;
    uint64_t begin, end;
    tsm_rest rest;
    uint64_t *earliest; /* [i]: in the window, from event i * BATCH_EVENTS on; made when first asked for */
    bool looked_ahead;
    tsm_pool pool;
} batch_cursor;

/* How many events from here on are in the window and in order, up to a batch. */
static size_t
count_sorted(const batch_cursor *self)
{
    const tsm_event *events = self->rest.batch.events + self->rest.at;
    size_t left = self->rest.batch.count - self->rest.at, count = 0;
    uint64_t last = 0;
    left = left < BATCH_EVENTS ? left : BATCH_EVENTS;
    while (count < left && events[count].timestamp >= last
           && tsm_event_overlaps(&events[count], self->begin, self->end)) {
        last = events[count++].timestamp;
    }
    return count;
}

/* Copies what the window touches of the next count events. */
static tsm_status
copy_touching(batch_cursor *self, size_t count)
{
    tsm_rest *rest = &self->rest;
    size_t stop = rest->at + count;
    tsm_status status = tsm_pool_reserve(&self->pool, count, tsm_rest_extensions(rest, count));
    while (status == TSM_OK && rest->at < stop) {
        if (!tsm_event_overlaps(&rest->batch.events[rest->at], self->begin, self->end)) {
            tsm_rest_skip(rest, 1);
        } else if (tsm_rest_extended(rest)) {
            status = tsm_rest_move(rest, 1, &self->pool);
        } else {
            self->pool.events[self->pool.count++] = rest->batch.events[rest->at++];
        }
    }
    return status;
}

static tsm_status
batch_next(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err)
{
    batch_cursor *self = (batch_cursor *)cursor;
    tsm_pool *pool = &self->pool;
    tsm_status status = TSM_OK;
    tsm_pool_clear(pool);
    while (status == TSM_OK && pool->count == 0) {
        size_t left = self->rest.batch.count - self->rest.at, sorted = count_sorted(self);
        if (left == 0) {
            return TSM_E_END;
        }
        if (sorted == left || sorted >= WORTH_LENDING) {
            status = tsm_rest_take(&self->rest, sorted, pool, batch);
            return status == TSM_OK ? TSM_OK : tsm_fail(err, status, 0, "no room for a batch");
        }
        status = copy_touching(self, left < BATCH_EVENTS ? left : BATCH_EVENTS);
    }
    if (status == TSM_OK) {
        status = tsm_events_sort(pool->events, pool->count, pool->rows, pool->extensions, pool->extension_count);
    }
    if (status != TSM_OK) {
        return tsm_fail(err, status, 0, "no room for a batch");
    }
    *batch = tsm_pool_borrow(pool);
    return TSM_OK;
}

static tsm_tables *
batch_tables(tsm_cursor *cursor)
{
    return ((batch_cursor *)cursor)->tables;
}

static void
batch_close(tsm_cursor *cursor)
{
    batch_cursor *self = (batch_cursor *)cursor;
    tsm_pool_free(&self->pool);
    free(self->earliest);
    free(self);
}

/* The earliest timestamp in the window of events [from, to), or bound when that is earlier. */
static uint64_t
find_earliest(const batch_cursor *self, size_t from, size_t to, uint64_t bound)
{
    for (size_t at = from; at < to; at++) {
        const tsm_event *event = &self->rest.batch.events[at];
        if (event->timestamp < bound && tsm_event_overlaps(event, self->begin, self->end)) {
            bound = event->timestamp;
        }
    }
    return bound;
}

static void
look_ahead(batch_cursor *self)
{
    size_t count = self->rest.batch.count, i = count / BATCH_EVENTS + 1;
    uint64_t earliest = UINT64_MAX;
    while (i-- > 0) {
        size_t from = i * BATCH_EVENTS, to = from + BATCH_EVENTS < count ? from + BATCH_EVENTS : count;
        self->earliest[i] = earliest = find_earliest(self, from, to, earliest);
    }
    self->looked_ahead = true;
}

static uint64_t
batch_horizon(tsm_cursor *cursor)
{
    batch_cursor *self = (batch_cursor *)cursor;
    size_t count = self->rest.batch.count, at = self->rest.at, part = at / BATCH_EVENTS;
    if (!self->looked_ahead) {
        look_ahead(self);
    }
    if (at % BATCH_EVENTS == 0) {
        return self->earliest[part];
    }
    size_t whole = (part + 1) * BATCH_EVENTS;
    return whole < count ? find_earliest(self, at, whole, self->earliest[part + 1])
                         : find_earliest(self, at, count, UINT64_MAX);
}

static const tsm_cursor_ops batch_cursor_ops = {
    .next = batch_next,
    .tables = batch_tables,
    .close = batch_close,
    .horizon = batch_horizon,
};

tsm_status
tsm_batch_cursor(const tsm_batch *batch, tsm_tables *tables, uint64_t begin, uint64_t end, tsm_cursor **out)
{
    batch_cursor *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return TSM_E_NOMEM;
    }
    *self = (batch_cursor){ .cursor.ops = &batch_cursor_ops, .tables = tables, .begin = begin, .end = end };
    self->rest.batch = *batch;
    self->earliest = malloc((batch->count / BATCH_EVENTS + 1) * sizeof *self->earliest);
    if (self->earliest == NULL) {
        batch_close(&self->cursor);
        return TSM_E_NOMEM;
    }
    *out = &self->cursor;
    return TSM_OK;
}
