/* The answers, by bookkeeping instead of analysis: work is entered as it is made, and settled in
 * time order. A union is then a watermark, and overlap is what two unions have in common. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "source/simulate.h"

static void
push(tsm_ledger *ledger, tsm_ledger_queue *queue, tsm_ledger_span span)
{
    if (!tsm_array_reserve(&queue->spans, &queue->capacity, queue->count + 1)) {
        ledger->out_of_memory = true;
        return;
    }
    queue->spans[queue->count++] = span;
}

static void
drop_settled(tsm_ledger_queue *queue)
{
    if (queue->first > 0) {
        queue->count -= queue->first;
        memmove(queue->spans, queue->spans + queue->first, queue->count * sizeof *queue->spans);
        queue->first = 0;
    }
}

void
tsm_ledger_work(tsm_ledger *ledger, uint32_t stream, tsm_work work, uint64_t begin, uint64_t end)
{
    push(ledger, &ledger->streams[stream], (tsm_ledger_span){ .begin = begin, .end = end, .work = work });
}

void
tsm_ledger_load(tsm_ledger *ledger, uint64_t begin, uint64_t end)
{
    push(ledger, &ledger->loads, (tsm_ledger_span){ .begin = begin, .end = end });
}

void
tsm_ledger_sync(tsm_ledger *ledger, uint64_t begin, uint64_t end)
{
    push(ledger, &ledger->syncs, (tsm_ledger_span){ .begin = begin, .end = end });
}

/* Leaves behind what ended by time, and returns what comes next: NULL for nothing. */
static const tsm_ledger_span *
next_after(tsm_ledger_queue *queue, uint64_t time)
{
    while (queue->first < queue->count && queue->spans[queue->first].end <= time) {
        queue->first++;
    }
    return queue->first < queue->count ? &queue->spans[queue->first] : NULL;
}

static uint64_t
loading_within(tsm_ledger *ledger, uint64_t begin, uint64_t end)
{
    uint64_t total = 0;
    const tsm_ledger_span *load = next_after(&ledger->loads, begin);
    const tsm_ledger_span *stop = ledger->loads.spans + ledger->loads.count;
    for (; load != NULL && load < stop && load->begin < end; load++) {
        uint64_t from = load->begin > begin ? load->begin : begin;
        total += (load->end < end ? load->end : end) - from;
    }
    return total;
}

static void
account_gap(tsm_ledger *ledger, uint64_t begin, uint64_t end)
{
    uint64_t loading = loading_within(ledger, begin, end);
    const tsm_ledger_span *sync = next_after(&ledger->syncs, begin);
    bool synchronizing = sync != NULL && sync->begin <= begin;
    ledger->idle_input_ns += loading;
    *(synchronizing ? &ledger->idle_sync_ns : &ledger->idle_launch_ns) += end - begin - loading;
}

/* How much of span was not covered before; moves the watermark. */
static uint64_t
cover(uint64_t *covered, const tsm_ledger_span *span)
{
    uint64_t from = span->begin > *covered ? span->begin : *covered;
    if (span->end <= from) {
        return 0;
    }
    *covered = span->end;
    return span->end - from;
}

static void
settle_span(tsm_ledger *ledger, const tsm_ledger_span *span)
{
    if (!ledger->active) {
        ledger->active = true;
        ledger->first_ns = span->begin;
    } else if (span->begin > ledger->covered) {
        account_gap(ledger, ledger->covered, span->begin);
    }
    ledger->busy_ns += cover(&ledger->covered, span);
    if (span->work == TSM_WORK_KERNEL) {
        ledger->kernel_busy_ns += cover(&ledger->kernels_covered, span);
    }
    if (span->work == TSM_WORK_COLLECTIVE) {
        ledger->communication_ns += cover(&ledger->collectives_covered, span);
    }
    if (span->work != TSM_WORK_OTHER) {
        ledger->either_ns += cover(&ledger->either_covered, span);
    }
}

/* The stream whose next span begins first, before horizon. */
static tsm_ledger_queue *
earliest(tsm_ledger *ledger, uint64_t horizon)
{
    tsm_ledger_queue *best = NULL;
    for (uint32_t i = 0; i < ledger->stream_count; i++) {
        tsm_ledger_queue *queue = &ledger->streams[i];
        if (queue->first < queue->count && queue->spans[queue->first].begin < horizon) {
            horizon = queue->spans[queue->first].begin;
            best = queue;
        }
    }
    return best;
}

void
tsm_ledger_settle(tsm_ledger *ledger, uint64_t horizon)
{
    for (tsm_ledger_queue *queue; (queue = earliest(ledger, horizon)) != NULL;) {
        settle_span(ledger, &queue->spans[queue->first++]);
    }
    for (uint32_t i = 0; i < ledger->stream_count; i++) {
        drop_settled(&ledger->streams[i]);
    }
    /* What ended before the watermark cannot touch a later gap. */
    (void)next_after(&ledger->loads, ledger->covered);
    (void)next_after(&ledger->syncs, ledger->covered);
    drop_settled(&ledger->loads);
    drop_settled(&ledger->syncs);
}

void
tsm_ledger_answer(const tsm_ledger *ledger, tsm_simulation_answers *answers)
{
    answers->active_ns = ledger->covered - ledger->first_ns;
    answers->busy_ns = ledger->busy_ns;
    answers->kernel_busy_ns = ledger->kernel_busy_ns;
    answers->communication_ns = ledger->communication_ns;
    answers->overlap_ns = ledger->kernel_busy_ns + ledger->communication_ns - ledger->either_ns;
    answers->idle_input_ns = ledger->idle_input_ns;
    answers->idle_sync_ns = ledger->idle_sync_ns;
    answers->idle_launch_ns = ledger->idle_launch_ns;
}

void
tsm_ledger_free(tsm_ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->stream_count; i++) {
        free(ledger->streams[i].spans);
    }
    free(ledger->loads.spans);
    free(ledger->syncs.spans);
}
