/* Cursors over batches and the merge of them, held against a brute-force sort. */
#include <malloc.h>

#include "trace/trace.h"
#include "unit.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t
random_below(uint64_t limit)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state % limit;
}

typedef struct {
    uint64_t timestamp;
    uint32_t arrival;
} position;

static int
compare_positions(const void *a, const void *b)
{
    const position *x = a, *y = b;
    return x->timestamp != y->timestamp ? (x->timestamp < y->timestamp ? -1 : 1)
                                        : (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

/* Events that carry their number and how many extensions they have, cut into batches. */
typedef struct {
    tsm_event *events;
    tsm_extension *extensions;
    uint32_t *rows;
    size_t count, extension_count;
    size_t *ends; /* of batch i: how many events lie in batches 0..i */
    size_t batch_count;
} scenario;

static void
scenario_free(scenario *s)
{
    free(s->events);
    free(s->extensions);
    free(s->rows);
    free(s->ends);
}

/* spread: how far apart timestamps lie; step: how much later each batch begins. */
static scenario
make_scenario(size_t batch_count, size_t largest, uint64_t spread, uint64_t step, uint64_t extended)
{
    size_t room = batch_count * largest + 1;
    scenario s = { .events = malloc(room * sizeof *s.events),
                   .extensions = malloc(3 * room * sizeof *s.extensions),
                   .rows = malloc(3 * room * sizeof *s.rows),
                   .ends = malloc((batch_count + 1) * sizeof *s.ends),
                   .batch_count = batch_count };
    for (size_t i = 0; i < batch_count; i++) {
        uint64_t clock = i * step, size = random_below(5) == 0 ? 0 : random_below(largest + 1);
        for (; size > 0; size--) {
            uint64_t extensions = random_below(100) < extended ? random_below(4) : 0;
            clock += random_below(spread);
            s.events[s.count] = (tsm_event){
                .timestamp = clock, .duration = random_below(20), .correlation = s.count, .value = extensions
            };
            for (uint64_t k = 0; k < extensions; k++) {
                s.extensions[s.extension_count] = (tsm_extension){ .values = { s.count, k }, .count = 2 };
                s.rows[s.extension_count++] = (uint32_t)s.count;
            }
            s.count++;
        }
        s.ends[i] = s.count;
    }
    return s;
}

static scenario
random_scenario(void)
{
    static const uint64_t spreads[] = { 1, 2, 30, 1000 }, steps[] = { 0, 0, 1, 500, 100000 };
    size_t largest = random_below(2) ? 30 : 5000;
    uint64_t extended = random_below(2) ? 0 : random_below(101);
    return make_scenario(random_below(largest == 30 ? 300 : 12), largest, spreads[random_below(4)],
                         steps[random_below(5)], extended);
}

static position *
sort_by_force(const scenario *s, uint64_t begin, uint64_t end, size_t *count)
{
    position *sorted = malloc((s->count + 1) * sizeof *sorted);
    *count = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (tsm_event_overlaps(&s->events[i], begin, end)) {
            sorted[(*count)++] = (position){ s->events[i].timestamp, (uint32_t)i };
        }
    }
    qsort(sorted, *count, sizeof *sorted, compare_positions);
    return sorted;
}

/* Every event has as many extensions as it says, in their order, and none has another's. */
static void
check_extensions(const tsm_batch *batch)
{
    size_t at = 0;
    for (size_t i = 0; i < batch->count; i++) {
        for (uint64_t k = 0; k < batch->events[i].value; k++, at++) {
            CHECK(at < batch->extension_count);
            CHECK_EQUAL(batch->extension_rows[at], i);
            CHECK_EQUAL(batch->extensions[at].values[0], batch->events[i].correlation);
            CHECK_EQUAL(batch->extensions[at].values[1], k);
        }
    }
    CHECK_EQUAL(at, batch->extension_count);
}

/* cursor gives exactly the events of s in the window, in stable time order; TSM_E_CORRUPT is
 * passed over. Closes cursor; returns how many batches were given. */
static size_t
check_stable_order(tsm_cursor *cursor, const scenario *s, uint64_t begin, uint64_t end)
{
    size_t count, at = 0, batches = 0;
    position *expected = sort_by_force(s, begin, end, &count);
    tsm_batch batch;
    for (;;) {
        uint64_t horizon = cursor->ops->horizon(cursor);
        tsm_status status = tsm_cursor_next(cursor, &batch, NULL);
        CHECK(at == count || horizon <= expected[at].timestamp);
        if (status == TSM_E_END) {
            break;
        }
        if (status == TSM_E_CORRUPT) {
            continue;
        }
        CHECK(status == TSM_OK && batch.count > 0 && batch.count <= count - at);
        for (size_t i = 0; i < batch.count; i++, at++) {
            CHECK_EQUAL(batch.events[i].correlation, expected[at].arrival);
            CHECK_EQUAL(batch.events[i].timestamp, expected[at].timestamp);
        }
        check_extensions(&batch);
        batches++;
    }
    CHECK_EQUAL(at, count);
    CHECK_EQUAL(cursor->ops->horizon(cursor), UINT64_MAX);
    tsm_cursor_close(cursor);
    free(expected);
    return batches;
}

/* Gives a scenario's batches, empty ones too. What it gave before is freed, as the contract
 * allows, so that AddressSanitizer sees whoever still reads it; and now and then it fails. */
typedef struct {
    tsm_cursor cursor;
    const scenario *s;
    size_t at;
    bool fails;
    tsm_event *events;
    tsm_extension *extensions;
    uint32_t *rows;
} strict_cursor;

static void
strict_forget(strict_cursor *self)
{
    free(self->events);
    free(self->extensions);
    free(self->rows);
    self->events = NULL, self->extensions = NULL, self->rows = NULL;
}

static tsm_status
strict_next(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err)
{
    strict_cursor *self = (strict_cursor *)cursor;
    const scenario *s = self->s;
    strict_forget(self);
    if (self->fails && random_below(4) == 0) {
        return tsm_fail(err, TSM_E_CORRUPT, 0, "just so");
    }
    if (self->at == s->batch_count) {
        return TSM_E_END;
    }
    size_t first = self->at == 0 ? 0 : s->ends[self->at - 1], count = s->ends[self->at] - first, from = 0, to;
    while (from < s->extension_count && s->rows[from] < first) {
        from++;
    }
    for (to = from; to < s->extension_count && s->rows[to] < first + count;) {
        to++;
    }
    self->events = malloc((count + 1) * sizeof *self->events);
    self->extensions = malloc((to - from + 1) * sizeof *self->extensions);
    self->rows = malloc((to - from + 1) * sizeof *self->rows);
    memcpy(self->events, s->events + first, count * sizeof *self->events);
    for (size_t i = from; i < to; i++) {
        self->extensions[i - from] = s->extensions[i];
        self->rows[i - from] = s->rows[i] - (uint32_t)first;
    }
    self->at++;
    *batch = (tsm_batch){ self->events, count, self->extensions, self->rows, to - from };
    return TSM_OK;
}

static tsm_tables *
strict_tables(tsm_cursor *cursor)
{
    (void)cursor;
    return NULL;
}

static void
strict_close(tsm_cursor *cursor)
{
    strict_forget((strict_cursor *)cursor);
}

static uint64_t
strict_horizon(tsm_cursor *cursor)
{
    strict_cursor *self = (strict_cursor *)cursor;
    uint64_t earliest = UINT64_MAX;
    for (size_t i = self->at == 0 ? 0 : self->s->ends[self->at - 1]; i < self->s->count; i++) {
        earliest = self->s->events[i].timestamp < earliest ? self->s->events[i].timestamp : earliest;
    }
    return earliest;
}

static const tsm_cursor_ops strict_ops = { strict_next, strict_tables, strict_close, strict_horizon };

static void
a_merge_is_a_stable_sort(void)
{
    for (int round = 0; round < 300; round++) {
        scenario s = random_scenario();
        strict_cursor source = { .cursor.ops = &strict_ops, .s = &s, .fails = round % 3 == 0 };
        tsm_cursor *merged;
        CHECK(tsm_cursor_merge(&source.cursor, &merged) == TSM_OK);
        check_stable_order(merged, &s, 0, UINT64_MAX);
        scenario_free(&s);
    }
}

static void
a_merge_closed_halfway_lets_go_of_everything(void)
{
    for (int round = 0; round < 50; round++) {
        scenario s = random_scenario();
        strict_cursor source = { .cursor.ops = &strict_ops, .s = &s };
        tsm_cursor *merged;
        tsm_batch batch;
        CHECK(tsm_cursor_merge(&source.cursor, &merged) == TSM_OK);
        tsm_status status = TSM_OK;
        for (uint64_t i = random_below(8); i > 0 && status == TSM_OK; i--) {
            status = tsm_cursor_next(merged, &batch, NULL);
        }
        tsm_cursor_close(merged);
        scenario_free(&s);
    }
}

static void
what_nothing_overlaps_is_handed_through(void)
{
    scenario s = make_scenario(20, 5000, 10, 1000000, 30);
    strict_cursor source = { .cursor.ops = &strict_ops, .s = &s };
    tsm_cursor *merged;
    tsm_batch batch;
    size_t batches = 0;
    CHECK(tsm_cursor_merge(&source.cursor, &merged) == TSM_OK);
    while (tsm_cursor_next(merged, &batch, NULL) == TSM_OK) {
        CHECK(batch.events == source.events);
        CHECK(batch.extension_count == 0 || batch.extension_rows == source.rows);
        batches++;
    }
    CHECK(batches > 5);
    tsm_cursor_close(merged);
    scenario_free(&s);
}

/* Batches one after another are an array that is not sorted as a whole. */
static void
a_batch_is_read_in_a_window_and_merged(void)
{
    for (int round = 0; round < 300; round++) {
        scenario s = random_scenario();
        uint64_t last = 1;
        for (size_t i = 0; i < s.count; i++) {
            last = s.events[i].timestamp >= last ? s.events[i].timestamp + 1 : last;
        }
        uint64_t begin = random_below(2) ? 0 : random_below(last);
        uint64_t end = random_below(2) ? UINT64_MAX : begin + random_below(last);
        tsm_batch all = { s.events, s.count, s.extensions, s.rows, s.extension_count };
        tsm_cursor *cursor, *merged;
        CHECK(tsm_batch_cursor(&all, NULL, begin, end, &cursor) == TSM_OK);
        if (random_below(2)) { /* a horizon that was asked for late is the same */
            tsm_batch first;
            tsm_cursor *other;
            CHECK(tsm_batch_cursor(&all, NULL, begin, end, &other) == TSM_OK);
            uint64_t horizon = cursor->ops->horizon(cursor);
            while (tsm_cursor_next(other, &first, NULL) == TSM_OK) {
                CHECK(first.events[0].timestamp >= horizon);
                horizon = other->ops->horizon(other);
            }
            CHECK_EQUAL(other->ops->horizon(other), UINT64_MAX);
            tsm_cursor_close(other);
        }
        CHECK(tsm_cursor_merge(cursor, &merged) == TSM_OK);
        check_stable_order(merged, &s, begin, end);
        scenario_free(&s);
    }
}

static void
sorted_stretches_of_a_batch_are_not_copied(void)
{
    scenario s = make_scenario(6, 20000, 10, 0, 40);
    tsm_batch all = { s.events, s.count, s.extensions, s.rows, s.extension_count }, batch;
    tsm_cursor *cursor;
    size_t lent = 0;
    CHECK(tsm_batch_cursor(&all, NULL, 0, UINT64_MAX, &cursor) == TSM_OK);
    while (tsm_cursor_next(cursor, &batch, NULL) == TSM_OK) {
        CHECK(batch.count <= 4096);
        check_extensions(&batch);
        if (batch.events >= s.events && batch.events < s.events + s.count) {
            CHECK(batch.extension_count == 0 || batch.extensions >= s.extensions);
            lent += batch.count;
        }
    }
    CHECK(lent > s.count - 6 * 4096 && s.count > 6 * 4096);
    tsm_cursor_close(cursor);
    scenario_free(&s);
}

/* Batches of which a few overlap at a time. AddressSanitizer tells no sizes. */
static void
a_merge_holds_only_what_overlaps(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    scenario s = make_scenario(300, 3000, 30, 15000, 0);
    strict_cursor source = { .cursor.ops = &strict_ops, .s = &s };
    tsm_cursor *merged;
    tsm_batch batch;
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, most = 0;
    CHECK(s.count * sizeof *s.events > 8 << 20);
    CHECK(tsm_cursor_merge(&source.cursor, &merged) == TSM_OK);
    while (tsm_cursor_next(merged, &batch, NULL) == TSM_OK) {
        size_t now = mallinfo2().uordblks + mallinfo2().hblkhd;
        most = now > most ? now : most;
    }
    CHECK(most < before + (2 << 20));
    tsm_cursor_close(merged);
    scenario_free(&s);
#endif
}

static const unit_test tests[] = {
    UNIT(a_merge_is_a_stable_sort),
    UNIT(a_merge_closed_halfway_lets_go_of_everything),
    UNIT(what_nothing_overlaps_is_handed_through),
    UNIT(a_batch_is_read_in_a_window_and_merged),
    UNIT(sorted_stretches_of_a_batch_are_not_copied),
    UNIT(a_merge_holds_only_what_overlaps),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
