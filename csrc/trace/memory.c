/* A trace in memory: a sink to fill it and a cursor to read it, and the merge that puts any
 * cursor's batches into time order. */
#include "trace/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define BATCH_EVENTS 4096

/* Events with their extensions, grown by appending. Both the memory and the merge keep some. */
typedef struct {
    tsm_event *events;
    size_t count, events_capacity;
    tsm_extension *extensions;
    uint32_t *rows;
    size_t extension_count, extensions_capacity, rows_capacity;
} pool;

static void
pool_free(pool *p)
{
    free(p->events);
    free(p->extensions);
    free(p->rows);
}

static tsm_status
pool_append(pool *p, const tsm_batch *batch)
{
    if (p->count + batch->count > UINT32_MAX) {
        return TSM_E_LIMIT;
    }
    if (!tsm_array_reserve(&p->events, &p->events_capacity, p->count + batch->count)
        || !tsm_array_reserve(&p->extensions, &p->extensions_capacity, p->extension_count + batch->extension_count)
        || !tsm_array_reserve(&p->rows, &p->rows_capacity, p->extension_count + batch->extension_count)) {
        return TSM_E_NOMEM;
    }
    if (batch->count > 0) {
        memcpy(p->events + p->count, batch->events, batch->count * sizeof *p->events);
    }
    for (size_t i = 0; i < batch->extension_count; i++) {
        p->extensions[p->extension_count] = batch->extensions[i];
        p->rows[p->extension_count++] = (uint32_t)p->count + batch->extension_rows[i];
    }
    p->count += batch->count;
    return TSM_OK;
}

/* One more extension for the event appended last. */
static tsm_status
pool_extend(pool *p, const tsm_extension *extension)
{
    static const uint32_t row = 0;
    p->count--;
    tsm_status status = pool_append(p, &(tsm_batch){ NULL, 0, extension, &row, 1 });
    p->count++;
    return status;
}

static tsm_batch
pool_batch(const pool *p)
{
    return (tsm_batch){ p->events, p->count, p->extensions, p->rows, p->extension_count };
}

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
    pool pool;
};

static tsm_tables *
memory_tables(tsm_sink *sink)
{
    return ((tsm_memory *)sink)->tables;
}

static tsm_status
memory_write(tsm_sink *sink, const tsm_batch *batch, tsm_error *err)
{
    tsm_status status = pool_append(&((tsm_memory *)sink)->pool, batch);
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
        pool_free(&memory->pool);
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
    *batch = pool_batch(&memory->pool);
}

typedef struct {
    tsm_cursor cursor;
    tsm_memory *memory;
    uint64_t begin, end;
    size_t at, extension_at;
    uint64_t *horizons; /* horizons[i]: earliest timestamp in event batch i and all after it */
    pool pool;
} memory_cursor;

static tsm_status
memory_next(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err)
{
    memory_cursor *self = (memory_cursor *)cursor;
    const pool *all = &self->memory->pool;
    self->pool.count = self->pool.extension_count = 0;
    while (self->pool.count == 0) {
        if (self->at >= all->count) {
            return TSM_E_END;
        }
        size_t stop = self->at + BATCH_EVENTS < all->count ? self->at + BATCH_EVENTS : all->count;
        for (; self->at < stop; self->at++) {
            size_t from = self->extension_at;
            while (self->extension_at < all->extension_count && all->rows[self->extension_at] == self->at) {
                self->extension_at++;
            }
            if (!tsm_event_overlaps(&all->events[self->at], self->begin, self->end)) {
                continue;
            }
            tsm_status status = pool_append(&self->pool, &(tsm_batch){ .events = &all->events[self->at], .count = 1 });
            while (status == TSM_OK && from < self->extension_at) {
                status = pool_extend(&self->pool, &all->extensions[from++]);
            }
            if (status != TSM_OK) {
                return tsm_fail(err, status, 0, "no room for a batch");
            }
        }
    }
    *batch = pool_batch(&self->pool);
    return tsm_events_sort(self->pool.events, self->pool.count, self->pool.rows, self->pool.extensions,
                           self->pool.extension_count);
}

static tsm_tables *
memory_cursor_tables(tsm_cursor *cursor)
{
    return ((memory_cursor *)cursor)->memory->tables;
}

static void
memory_cursor_close(tsm_cursor *cursor)
{
    memory_cursor *self = (memory_cursor *)cursor;
    pool_free(&self->pool);
    free(self->horizons);
    free(self);
}

static uint64_t
memory_horizon(tsm_cursor *cursor)
{
    memory_cursor *self = (memory_cursor *)cursor;
    return self->horizons[(self->at + BATCH_EVENTS - 1) / BATCH_EVENTS];
}

static const tsm_cursor_ops memory_cursor_ops = {
    .next = memory_next,
    .tables = memory_cursor_tables,
    .close = memory_cursor_close,
    .horizon = memory_horizon,
};

tsm_status
tsm_memory_cursor(tsm_memory *memory, uint64_t begin, uint64_t end, tsm_cursor **out)
{
    size_t batches = (memory->pool.count + BATCH_EVENTS - 1) / BATCH_EVENTS;
    memory_cursor *self = calloc(1, sizeof *self);
    uint64_t *horizons = malloc((batches + 1) * sizeof *horizons);
    if (self == NULL || horizons == NULL) {
        free(self);
        free(horizons);
        return TSM_E_NOMEM;
    }
    *self = (memory_cursor){ { &memory_cursor_ops }, memory, begin, end, .horizons = horizons };
    horizons[batches] = UINT64_MAX;
    for (size_t i = batches; i-- > 0;) {
        uint64_t earliest = horizons[i + 1];
        for (size_t at = i * BATCH_EVENTS; at < (i + 1) * BATCH_EVENTS && at < memory->pool.count; at++) {
            uint64_t timestamp = memory->pool.events[at].timestamp;
            earliest = timestamp < earliest ? timestamp : earliest;
        }
        horizons[i] = earliest;
    }
    *out = &self->cursor;
    return TSM_OK;
}

typedef struct {
    tsm_cursor cursor;
    tsm_cursor *source;
    pool held; /* sorted; everything below given has been handed out */
    size_t given, extensions_given;
    bool ended;
} merge_cursor;

static void
drop_given(merge_cursor *self)
{
    pool *p = &self->held;
    memmove(p->events, p->events + self->given, (p->count - self->given) * sizeof *p->events);
    p->count -= self->given;
    size_t left = p->extension_count - self->extensions_given;
    memmove(p->extensions, p->extensions + self->extensions_given, left * sizeof *p->extensions);
    for (size_t i = 0; i < left; i++) {
        p->rows[i] = p->rows[self->extensions_given + i] - (uint32_t)self->given;
    }
    p->extension_count = left;
    self->given = self->extensions_given = 0;
}

/* How many held events nothing that still comes can precede. */
static size_t
count_ready(merge_cursor *self)
{
    const pool *p = &self->held;
    if (self->ended) {
        return p->count;
    }
    uint64_t horizon = self->source->ops->horizon(self->source);
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->events[middle].timestamp < horizon) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static tsm_status
merge_next(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err)
{
    merge_cursor *self = (merge_cursor *)cursor;
    pool *p = &self->held;
    size_t ready;
    if (self->given > 0) {
        drop_given(self);
    }
    while ((ready = count_ready(self)) == 0) {
        if (self->ended) {
            return TSM_E_END;
        }
        tsm_batch next;
        tsm_status status = tsm_cursor_next(self->source, &next, err);
        if (status == TSM_E_END) {
            self->ended = true;
            continue;
        }
        if (status == TSM_OK) {
            status = pool_append(p, &next);
        }
        if (status == TSM_OK) {
            status = tsm_events_sort(p->events, p->count, p->rows, p->extensions, p->extension_count);
        }
        if (status != TSM_OK) {
            return status;
        }
    }
    size_t extensions = 0;
    while (extensions < p->extension_count && p->rows[extensions] < ready) {
        extensions++;
    }
    *batch = (tsm_batch){ p->events, ready, p->extensions, p->rows, extensions };
    self->given = ready;
    self->extensions_given = extensions;
    return TSM_OK;
}

static tsm_tables *
merge_tables(tsm_cursor *cursor)
{
    return tsm_cursor_tables(((merge_cursor *)cursor)->source);
}

static void
merge_close(tsm_cursor *cursor)
{
    merge_cursor *self = (merge_cursor *)cursor;
    tsm_cursor_close(self->source);
    pool_free(&self->held);
    free(self);
}

static uint64_t
merge_horizon(tsm_cursor *cursor)
{
    merge_cursor *self = (merge_cursor *)cursor;
    uint64_t source = self->ended ? UINT64_MAX : self->source->ops->horizon(self->source);
    uint64_t held = self->given < self->held.count ? self->held.events[self->given].timestamp : UINT64_MAX;
    return held < source ? held : source;
}

static const tsm_cursor_ops merge_ops = {
    .next = merge_next,
    .tables = merge_tables,
    .close = merge_close,
    .horizon = merge_horizon,
};

tsm_status
tsm_cursor_merge(tsm_cursor *source, tsm_cursor **out)
{
    merge_cursor *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return TSM_E_NOMEM;
    }
    self->cursor.ops = &merge_ops;
    self->source = source;
    *out = &self->cursor;
    return TSM_OK;
}
