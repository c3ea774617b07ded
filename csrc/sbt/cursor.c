/* A window of a file, block by block. Of a block that the window cuts, times are read first and
 * then only the rows between the first and the last event inside. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "sbt/fields.h"
#include "sbt/layout.h"

typedef struct {
    tsm_cursor cursor;
    tsm_sbt_reader *reader;
    uint64_t begin, end;
    size_t *blocks;     /* found */
    uint64_t *horizons; /* [i]: the earliest start in blocks[i] and after */
    size_t count, at;
    tsm_event *events;
    size_t event_capacity;
    uint64_t *times; /* starts, then durations */
    size_t time_capacity;
    tsm_extension *extensions;
    uint32_t *rows;
    size_t extension_capacity, row_capacity;
} file_cursor;

static tsm_status
make_room(file_cursor *self, const sbt_block *block, tsm_error *err)
{
    size_t count = block->head.count, extensions = block->head.extension_count;
    if (!tsm_array_reserve(&self->events, &self->event_capacity, count)
        || !tsm_array_reserve(&self->times, &self->time_capacity, 2 * count)
        || !tsm_array_reserve(&self->extensions, &self->extension_capacity, extensions)
        || !tsm_array_reserve(&self->rows, &self->row_capacity, extensions)) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for a block of %zu events", count);
    }
    return TSM_OK;
}

static bool
touches(const file_cursor *self, uint64_t timestamp, uint64_t duration)
{
    tsm_event event = { .timestamp = timestamp, .duration = duration };
    return tsm_event_overlaps(&event, self->begin, self->end);
}

/* The rows between which lies all that the window touches. */
static tsm_status
find_rows(file_cursor *self, const sbt_block *block, uint32_t *from, uint32_t *to, tsm_error *err)
{
    uint32_t count = block->head.count;
    *from = 0;
    *to = count;
    if (block->head.begin_ns >= self->begin && block->head.last_ns < self->end) {
        return TSM_OK;
    }
    void *columns[TSM_EVENT_FIELD_COUNT] = { NULL };
    uint64_t *starts = self->times, *durations = self->times + count;
    columns[SBT_FIELD_timestamp] = starts;
    columns[SBT_FIELD_duration] = durations;
    tsm_status status = sbt_block_columns(block, columns, err);
    if (status != TSM_OK) {
        return status;
    }
    while (*from < count && !touches(self, starts[*from], durations[*from])) {
        ++*from;
    }
    while (*to > *from && !touches(self, starts[*to - 1], durations[*to - 1])) {
        --*to;
    }
    return TSM_OK;
}

/* Keeps of events (rows from.. of the block) what the window touches, and its extensions. */
static void
keep_touching(file_cursor *self, uint32_t from, uint32_t to, size_t extensions, tsm_batch *batch)
{
    size_t kept = 0, kept_extensions = 0, extension = 0;
    for (uint32_t row = from; row < to; row++) {
        const tsm_event *event = &self->events[row - from];
        bool inside = touches(self, event->timestamp, event->duration);
        while (extension < extensions && self->rows[extension] < row) {
            extension++;
        }
        for (; extension < extensions && self->rows[extension] == row; extension++) {
            if (inside) {
                self->extensions[kept_extensions] = self->extensions[extension];
                self->rows[kept_extensions++] = (uint32_t)kept;
            }
        }
        if (inside) {
            self->events[kept++] = *event;
        }
    }
    *batch = (tsm_batch){ self->events, kept, self->extensions, self->rows, kept_extensions };
}

static tsm_status
read_block(file_cursor *self, size_t index, tsm_batch *batch, tsm_error *err)
{
    sbt_block block;
    uint32_t from, to;
    tsm_status status = sbt_reader_block(self->reader, index, &block, err);
    if (status == TSM_OK) {
        status = make_room(self, &block, err);
    }
    if (status == TSM_OK) {
        status = find_rows(self, &block, &from, &to, err);
    }
    if (status != TSM_OK) {
        return status;
    }
    *batch = (tsm_batch){ .count = 0 };
    if (from == to) {
        return TSM_OK;
    }
    status = sbt_block_rows(&block, from, to, self->events, err);
    if (status == TSM_OK) {
        status = sbt_block_extensions(&block, self->extensions, self->rows, err);
    }
    if (status == TSM_OK) {
        keep_touching(self, from, to, block.head.extension_count, batch);
    }
    return status;
}

static tsm_status
next(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err)
{
    file_cursor *self = (file_cursor *)cursor;
    while (self->at < self->count) {
        tsm_batch found;
        /* A damaged block is passed over by calling again. */
        tsm_status status = read_block(self, self->blocks[self->at++], &found, err);
        if (status != TSM_OK) {
            return status;
        }
        if (found.count > 0) {
            *batch = found;
            return TSM_OK;
        }
    }
    return TSM_E_END;
}

static tsm_tables *
tables(tsm_cursor *cursor)
{
    return tsm_sbt_reader_tables(((file_cursor *)cursor)->reader);
}

static void
close_cursor(tsm_cursor *cursor)
{
    file_cursor *self = (file_cursor *)cursor;
    free(self->blocks);
    free(self->horizons);
    free(self->events);
    free(self->times);
    free(self->extensions);
    free(self->rows);
    free(self);
}

static uint64_t
horizon(tsm_cursor *cursor)
{
    file_cursor *self = (file_cursor *)cursor;
    return self->horizons[self->at];
}

static const tsm_cursor_ops file_cursor_ops = {
    .next = next,
    .tables = tables,
    .close = close_cursor,
    .horizon = horizon,
};

tsm_status
tsm_sbt_reader_cursor(tsm_sbt_reader *reader, uint64_t begin, uint64_t end, tsm_cursor **out)
{
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    file_cursor *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return TSM_E_NOMEM;
    }
    *self = (file_cursor){ .cursor.ops = &file_cursor_ops, .reader = reader, .begin = begin, .end = end };
    self->blocks = malloc((info.block_count + 1) * sizeof *self->blocks);
    if (self->blocks != NULL) {
        self->count = tsm_sbt_reader_find(reader, begin, end, self->blocks);
        self->horizons = malloc((self->count + 1) * sizeof *self->horizons);
    }
    if (self->horizons == NULL) {
        close_cursor(&self->cursor);
        return TSM_E_NOMEM;
    }
    self->horizons[self->count] = UINT64_MAX;
    for (size_t i = self->count; i-- > 0;) {
        uint64_t start = tsm_sbt_reader_block(reader, self->blocks[i])->begin_ns;
        self->horizons[i] = start < self->horizons[i + 1] ? start : self->horizons[i + 1];
    }
    *out = &self->cursor;
    return TSM_OK;
}
