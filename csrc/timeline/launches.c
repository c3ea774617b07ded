/* Which call launched which operation: by process and correlation. Drivers number their calls one
 * after the other, so a plain array finds them; where they do not, a hash table does. Calls and
 * operations are noted while their tracks are nested, with all that matching wants to know: their
 * spans and events lie far apart. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "timeline/parts.h"

#define SPARE_SLOTS 65536

/* The numbers that one process's calls have, and where its part of the array begins. */
typedef struct {
    uint64_t low, high;
    uint64_t first;
} extent;

typedef struct {
    tsm_timeline *timeline;
    tsm_launch_ends *calls;      /* first all, later one for each row of calls */
    const tsm_launch_ends *work; /* operations that have a correlation */
    extent *extents;             /* by process */
    uint32_t processes;
    uint32_t only_process; /* that makes calls; 0: there are several */
    bool direct;
    uint32_t *slots; /* rows of calls + 1; 0: none */
    size_t mask;     /* of the hash table */
} matcher;

bool
tsm_launch_ends_add(tsm_launch_ends *ends, const tsm_span *span, uint32_t number, uint32_t process)
{
    if (!tsm_array_reserve(&ends->items, &ends->capacity, ends->count + 1)) {
        return false;
    }
    ends->items[ends->count++] = (tsm_launch_end){ tsm_span_kept(span), span->begin_ns, process, number };
    return true;
}

/* ---- Calls ------------------------------------------------------------------------------------- */

static void
measure(matcher *m)
{
    for (uint32_t p = 0; p < m->processes; p++) {
        m->extents[p].low = UINT64_MAX;
    }
    for (size_t i = 0; i < m->calls->count; i++) {
        const tsm_launch_end *call = &m->calls->items[i];
        extent *e = &m->extents[call->process];
        e->low = call->correlation < e->low ? call->correlation : e->low;
        e->high = call->correlation > e->high ? call->correlation : e->high;
    }
}

/* Gives every process its part of the array; false when that would be mostly empty. */
static bool
lay_out(matcher *m, uint64_t *slot_count)
{
    uint64_t limit = 4 * (uint64_t)m->calls->count + SPARE_SLOTS, used = 0;
    for (uint32_t p = 0; p < m->processes; p++) {
        extent *e = &m->extents[p];
        if (e->high == 0) {
            continue;
        }
        if (e->high - e->low >= limit - used) {
            return false;
        }
        e->first = used;
        used += e->high - e->low + 1;
    }
    *slot_count = used;
    return true;
}

static void
find_only_process(matcher *m)
{
    uint32_t found = 0, last = 0;
    for (uint32_t p = 0; p < m->processes; p++) {
        if (m->extents[p].high > 0) {
            found++;
            last = p;
        }
    }
    m->only_process = found == 1 ? last : 0;
}

static tsm_status
make_slots(matcher *m)
{
    uint64_t slot_count = 0;
    measure(m);
    m->direct = lay_out(m, &slot_count);
    find_only_process(m);
    if (!m->direct) {
        for (slot_count = 16; slot_count < 2 * (uint64_t)m->calls->count; slot_count *= 2) {
        }
        m->mask = (size_t)slot_count - 1;
    }
    m->slots = calloc((size_t)slot_count + 1, sizeof *m->slots);
    return m->slots == NULL ? TSM_E_NOMEM : TSM_OK;
}

/* Where the row of the call is, or would be; NULL when the array cannot hold it. */
static uint32_t *
find_slot(const matcher *m, uint32_t process, uint64_t correlation)
{
    if (m->direct) {
        const extent *e = &m->extents[process];
        return correlation < e->low || correlation > e->high ? NULL : &m->slots[e->first + (correlation - e->low)];
    }
    size_t at = (size_t)tsm_hash_mix(correlation, process) & m->mask;
    for (; m->slots[at] != 0; at = (at + 1) & m->mask) {
        const tsm_launch_end *call = &m->calls->items[m->slots[at] - 1];
        if (call->correlation == correlation && call->process == process) {
            break;
        }
    }
    return &m->slots[at];
}

/* Of two calls with one correlation the first in time counts, which on one thread is the outer. */
static void
enter_call(matcher *m, const tsm_launch_end *call)
{
    tsm_timeline *t = m->timeline;
    uint32_t *slot = find_slot(m, call->process, call->correlation);
    if (*slot == 0) {
        m->calls->items[t->call_count++] = *call; /* never behind the one that is entered */
        *slot = (uint32_t)t->call_count;
        return;
    }
    tsm_launch_end *known = &m->calls->items[*slot - 1];
    if (tsm_span_before(&t->spans[call->span], &t->spans[known->span])) {
        *known = *call;
    }
    t->facts.duplicates++;
}

static void
enter_calls(matcher *m)
{
    tsm_timeline *t = m->timeline;
    for (size_t i = 0; i < m->calls->count; i++) {
        enter_call(m, &m->calls->items[i]);
    }
    for (size_t row = 0; row < t->call_count; row++) {
        t->calls[row].span = m->calls->items[row].span;
        t->call_rows[m->calls->items[row].span] = (uint32_t)row;
    }
    t->calls[t->call_count].span = TSM_SPAN_NONE;
}

/* ---- Operations -------------------------------------------------------------------------------- */

static void
match_operation(const matcher *m, const tsm_launch_end *work)
{
    tsm_timeline *t = m->timeline;
    uint32_t process = work->process != 0 ? work->process : m->only_process;
    uint32_t *slot = find_slot(m, process, work->correlation);
    if (slot == NULL || *slot == 0) {
        return;
    }
    t->call_rows[work->span] = *slot - 1;
    t->calls[*slot].first++; /* counted one row further on, where the sum will be wanted */
    t->operation_count++;
    t->facts.early += work->begin_ns < m->calls->items[*slot - 1].begin_ns;
}

/* After the sums calls[row].first is the begin of its operations, and filling moves it to their
 * end, which is the begin of the next: so every row takes its begin from the one before. */
static void
fill_operations(const matcher *m)
{
    tsm_timeline *t = m->timeline;
    for (size_t row = 1; row <= t->call_count; row++) {
        t->calls[row].first += t->calls[row - 1].first;
    }
    for (size_t i = 0; i < m->work->count; i++) {
        uint32_t row = t->call_rows[m->work->items[i].span];
        if (row != TSM_SPAN_NONE) {
            t->operations[t->calls[row].first++] = m->work->items[i].span;
        }
    }
    for (size_t row = t->call_count; row > 0; row--) {
        t->calls[row].first = t->calls[row - 1].first;
    }
    t->calls[0].first = 0;
}

/* ---- All of it --------------------------------------------------------------------------------- */

static tsm_status
allocate(matcher *m)
{
    tsm_timeline *t = m->timeline;
    t->call_rows = malloc((t->span_count + 1) * sizeof *t->call_rows);
    t->calls = calloc(m->calls->count + 1, sizeof *t->calls);
    t->operations = malloc((m->work->count + 1) * sizeof *t->operations);
    m->extents = calloc(m->processes, sizeof *m->extents);
    if (t->call_rows == NULL || t->calls == NULL || t->operations == NULL || m->extents == NULL) {
        return TSM_E_NOMEM;
    }
    memset(t->call_rows, 0xff, t->span_count * sizeof *t->call_rows);
    return make_slots(m);
}

tsm_status
tsm_launches_match(tsm_timeline *t, tsm_launch_ends *calls, const tsm_launch_ends *work)
{
    matcher m = { .timeline = t, .calls = calls, .work = work, .processes = t->process_rows };
    tsm_status status = allocate(&m);
    if (status == TSM_OK) {
        enter_calls(&m);
        for (size_t i = 0; i < work->count; i++) {
            match_operation(&m, &work->items[i]);
        }
        fill_operations(&m);
        t->facts.orphans = t->facts.work - t->operation_count;
    }
    free(m.extents);
    free(m.slots);
    return status;
}
