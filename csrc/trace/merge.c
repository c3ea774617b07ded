/* Time order over all batches of a cursor. Every batch is a run, and a tournament between the runs
 * says whose turn it is. The newest run is the source's own memory and is copied only if something
 * of it is left when the source is asked for more: where batches do not overlap, none ever is. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "trace/pool.h"
#include "trace/slab.h"
#include "trace/tournament.h"
#include "trace/trace.h"

#define BATCH_EVENTS  4096
#define WORTH_LENDING 256 /* so many in a row are handed out where they lie */
#define WORTH_A_LOOK  8   /* so many in a row, and one looks how many more there are */

#define SLOT_BITS 24
#define NO_SLOT   SIZE_MAX

typedef struct {
    tsm_rest rest;
    uint64_t ticket; /* order of arrival, then the slot */
    tsm_piece piece; /* a copy, or none: the source's memory */
} run;

typedef struct {
    tsm_cursor cursor;
    tsm_cursor *source;
    bool ended;
    tsm_tournament tournament; /* leaf: slot; key: timestamp, then ticket */
    run *runs;                 /* by slot */
    size_t *vacant;
    size_t runs_capacity, vacant_capacity, vacant_count;
    uint64_t arrived;
    size_t lent; /* the slot whose events are the source's */
    tsm_slabs slabs;
    tsm_piece spent; /* of a run that was used up by handing it out: kept until the next call */
    tsm_pool output;
} merge_cursor;

static uint64_t
time_of(tsm_tournament_key key)
{
    return (uint64_t)(key >> 64);
}

static size_t
slot_of(tsm_tournament_key key)
{
    return (size_t)(key & ((1u << SLOT_BITS) - 1));
}

static void
update_key(merge_cursor *self, size_t slot)
{
    const run *r = &self->runs[slot];
    uint64_t timestamp = r->rest.batch.events[r->rest.at].timestamp;
    tsm_tournament_set(&self->tournament, slot, (tsm_tournament_key)timestamp << 64 | r->ticket);
}

/* After something was taken from a run. Returns what a run that is used up has to give back. */
static tsm_piece
move_on(merge_cursor *self, size_t slot)
{
    run *r = &self->runs[slot];
    if (r->rest.at < r->rest.batch.count) {
        update_key(self, slot);
        return (tsm_piece){ NULL, 0 };
    }
    tsm_tournament_set(&self->tournament, slot, TSM_TOURNAMENT_NOBODY);
    self->vacant[self->vacant_count++] = slot;
    self->lent = self->lent == slot ? NO_SLOT : self->lent;
    return r->piece;
}

static tsm_status
make_vacancy(merge_cursor *self)
{
    size_t old = self->tournament.leaves, wanted = old == 0 ? 1 : 2 * old;
    if (self->vacant_count > 0) {
        return TSM_OK;
    }
    if (wanted > (size_t)1 << SLOT_BITS) {
        return TSM_E_LIMIT;
    }
    if (!tsm_array_reserve(&self->runs, &self->runs_capacity, wanted)
        || !tsm_array_reserve(&self->vacant, &self->vacant_capacity, wanted)
        || !tsm_tournament_grow(&self->tournament)) {
        return TSM_E_NOMEM;
    }
    for (size_t slot = wanted; slot-- > old;) {
        self->vacant[self->vacant_count++] = slot;
    }
    return TSM_OK;
}

/* Before the source takes its memory back: copies what is left there. */
static tsm_status
keep_lent(merge_cursor *self)
{
    if (self->lent == NO_SLOT) {
        return TSM_OK;
    }
    run *r = &self->runs[self->lent];
    const tsm_batch *b = &r->rest.batch;
    size_t count = b->count - r->rest.at, extensions = b->extension_count - r->rest.extension_at;
    size_t slots = count + extensions;
    if (slots > SIZE_MAX / 128 || count > UINT32_MAX) {
        return TSM_E_LIMIT;
    }
    if (!tsm_slabs_take(&self->slabs, slots * sizeof(tsm_event) + extensions * sizeof(uint32_t), &r->piece)) {
        return TSM_E_NOMEM;
    }
    tsm_event *memory = r->piece.memory;
    tsm_extension *extension = (tsm_extension *)(memory + count);
    uint32_t *rows = (uint32_t *)(extension + extensions);
    memcpy(memory, b->events + r->rest.at, count * sizeof *memory);
    for (size_t i = 0; i < extensions; i++) {
        extension[i] = b->extensions[r->rest.extension_at + i];
        rows[i] = b->extension_rows[r->rest.extension_at + i] - (uint32_t)r->rest.at;
    }
    r->rest = (tsm_rest){ .batch = { memory, count, extension, rows, extensions } };
    self->lent = NO_SLOT;
    return TSM_OK;
}

static tsm_status
pull(merge_cursor *self, tsm_error *err)
{
    tsm_batch batch;
    tsm_status status = keep_lent(self);
    if (status == TSM_OK) {
        status = make_vacancy(self);
    }
    if (status != TSM_OK) {
        return tsm_fail(err, status, 0, "no room for %zu batches that overlap", self->tournament.leaves);
    }
    status = tsm_cursor_next(self->source, &batch, err);
    if (status == TSM_E_END) {
        self->ended = true;
        return TSM_OK;
    }
    if (status == TSM_OK && batch.count > 0) {
        size_t slot = self->vacant[--self->vacant_count];
        self->runs[slot] = (run){ .rest = { .batch = batch }, .ticket = self->arrived++ << SLOT_BITS | slot };
        self->lent = slot;
        update_key(self, slot);
    }
    return status;
}

/* How many events of a run, at least the next one, have their turn before rival and horizon. */
static size_t
count_turns(const run *r, tsm_tournament_key rival, uint64_t horizon)
{
    const tsm_event *events = r->rest.batch.events + r->rest.at;
    size_t left = r->rest.batch.count - r->rest.at, low = 1, step = 1;
    uint64_t last = r->ticket < (uint64_t)rival ? time_of(rival) : time_of(rival) - 1;
    last = last < horizon ? last : horizon;
    while (low + step <= left && events[low + step - 1].timestamp <= last) {
        low += step;
        step *= 2;
    }
    size_t high = low + step <= left ? low + step - 1 : left;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (events[middle].timestamp <= last) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The next event of a run with its extensions, into output, where there is room for the event.
 * The one after it is asked for already: this run's next turn may be many cache misses away. */
static tsm_status
copy_one(tsm_rest *rest, tsm_pool *output)
{
    if (rest->at + 2 < rest->batch.count) {
        __builtin_prefetch(&rest->batch.events[rest->at + 2]);
    }
    if (tsm_rest_extended(rest)) {
        if (rest->extension_at + 2 < rest->batch.extension_count) {
            __builtin_prefetch(&rest->batch.extensions[rest->extension_at + 2]);
        }
        size_t count = tsm_rest_extensions(rest, 1);
        tsm_status status = tsm_pool_reserve(output, 0, count);
        if (status != TSM_OK) {
            return status;
        }
        for (; count > 0; count--) {
            output->rows[output->extension_count] = (uint32_t)output->count;
            output->extensions[output->extension_count++] = rest->batch.extensions[rest->extension_at++];
        }
    }
    output->events[output->count++] = rest->batch.events[rest->at++];
    return TSM_OK;
}

static tsm_status
copy_turns(merge_cursor *self, size_t slot, size_t count)
{
    tsm_rest *rest = &self->runs[slot].rest;
    tsm_status status = count == 1 ? copy_one(rest, &self->output) : tsm_rest_move(rest, count, &self->output);
    if (status == TSM_OK) {
        tsm_slabs_give(&self->slabs, move_on(self, slot));
    }
    return status;
}

/* Event by event into output, until it is full or a long stretch of one run begins. */
static tsm_status
mix(merge_cursor *self, uint64_t horizon)
{
    size_t last = NO_SLOT, streak = 0;
    tsm_status status = TSM_OK;
    while (status == TSM_OK && self->output.count < BATCH_EVENTS) {
        tsm_tournament_key winner = tsm_tournament_winner(&self->tournament);
        if (winner == TSM_TOURNAMENT_NOBODY || time_of(winner) > horizon) {
            break;
        }
        size_t slot = slot_of(winner), count = 1;
        streak = slot == last ? streak + 1 : 0;
        last = slot;
        if (streak == WORTH_A_LOOK) {
            size_t room = BATCH_EVENTS - self->output.count;
            count = count_turns(&self->runs[slot], tsm_tournament_rival(&self->tournament, slot), horizon);
            if (count >= WORTH_LENDING) {
                break;
            }
            count = count < room ? count : room;
            streak = 0;
        }
        status = copy_turns(self, slot, count);
    }
    return self->output.count > 0 ? TSM_OK : status; /* a failure meets the next call again */
}

static tsm_status
hand_out(merge_cursor *self, uint64_t horizon, tsm_batch *batch)
{
    size_t slot = slot_of(tsm_tournament_winner(&self->tournament));
    tsm_tournament_key rival = tsm_tournament_rival(&self->tournament, slot);
    size_t count = count_turns(&self->runs[slot], rival, horizon);
    bool alone = rival == TSM_TOURNAMENT_NOBODY || time_of(rival) > horizon;
    tsm_status status;
    if (alone || count >= WORTH_LENDING) {
        status = tsm_rest_take(&self->runs[slot].rest, count, &self->output, batch);
        if (status == TSM_OK) {
            self->spent = move_on(self, slot);
        }
        return status;
    }
    status = tsm_pool_reserve(&self->output, BATCH_EVENTS, 0);
    if (status == TSM_OK) {
        status = mix(self, horizon);
        *batch = tsm_pool_borrow(&self->output);
    }
    return status;
}

static uint64_t
source_horizon(const merge_cursor *self)
{
    return self->ended ? UINT64_MAX : self->source->ops->horizon(self->source);
}

static tsm_status
merge_next(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err)
{
    merge_cursor *self = (merge_cursor *)cursor;
    tsm_slabs_give(&self->slabs, self->spent);
    self->spent.memory = NULL;
    tsm_pool_clear(&self->output);
    for (;;) {
        tsm_tournament_key winner = tsm_tournament_winner(&self->tournament);
        uint64_t horizon = source_horizon(self);
        /* At the horizon itself, too: what still comes there arrived later. */
        if (winner != TSM_TOURNAMENT_NOBODY && time_of(winner) <= horizon) {
            tsm_status status = hand_out(self, horizon, batch);
            return status == TSM_OK ? TSM_OK : tsm_fail(err, status, 0, "no room for a batch");
        }
        if (self->ended) {
            return TSM_E_END;
        }
        tsm_status status = pull(self, err);
        if (status != TSM_OK) {
            return status;
        }
    }
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
    tsm_slabs_free(&self->slabs);
    free(self->tournament.nodes);
    free(self->runs);
    free(self->vacant);
    tsm_pool_free(&self->output);
    free(self);
}

static uint64_t
merge_horizon(tsm_cursor *cursor)
{
    merge_cursor *self = (merge_cursor *)cursor;
    uint64_t held = time_of(tsm_tournament_winner(&self->tournament)), source = source_horizon(self);
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
    self->lent = NO_SLOT;
    *out = &self->cursor;
    return TSM_OK;
}
