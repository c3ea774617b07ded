/* Reports of what host threads did: calls, waits, steps, memory. */
#include <stdlib.h>
#include <string.h>

#include "analysis/classify.h"
#include "analysis/reports.h"
#include "analysis/steps.h"

void
tsm_report_API(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { SHARE("share"), SUMMARY_COLUMNS("ns"), WORDS("name") };
    size_t count;
    uint64_t all = 0;
    const tsm_record **calls = tsm_records_ranked(b->records, TSM_RECORD_API, tsm_rank_summary, &count);
    for (size_t i = 0; i < count; i++) {
        all += calls[i]->summaries[0].sum;
    }
    BEGIN_TABLE(b, API, columns);
    for (size_t i = 0; i < count; i++) {
        if (tsm_table_row(b)) {
            tsm_cell_share(b, (double)calls[i]->summaries[0].sum, (double)all);
            tsm_cells_summary(b, &calls[i]->summaries[0]);
            tsm_cell_key(b, calls[i]->keys[0]);
        }
    }
    free(calls);
}

void
tsm_report_SYNC(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { INTEGER("total", "ns"), INTEGER("waited", "ns"), INTEGER("count", ""),
                                                 INTEGER("max", "ns"),   WORDS("call"),           WORDS("waited_for"),
                                                 WORDS("stack") };
    size_t count;
    const tsm_record **waits = tsm_records_ranked(b->records, TSM_RECORD_SYNC, tsm_rank_second, &count);
    BEGIN_TABLE(b, SYNC, columns);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *f = waits[i]->fields;
        if (tsm_table_row(b)) {
            tsm_cell_integer(b, f[TSM_SYNC_NS]);
            tsm_cell_integer(b, f[TSM_SYNC_WAITED_NS]);
            tsm_cell_integer(b, f[TSM_SYNC_COUNT]);
            tsm_cell_integer(b, f[TSM_SYNC_MAX]);
            for (int k = 0; k < 3; k++) {
                tsm_cell_key(b, waits[i]->keys[k]);
            }
        }
    }
    free(waits);
}

/* ---- Steps ------------------------------------------------------------------------------------ */

static int
by_begin(const void *a, const void *b)
{
    const tsm_record *one = *(const tsm_record *const *)a, *other = *(const tsm_record *const *)b;
    uint64_t left = one->fields[TSM_STEP_BEGIN], right = other->fields[TSM_STEP_BEGIN];
    return (left > right) - (left < right);
}

/* Where torch.profiler marked the steps, other ranges that look like steps lie inside them. */
static void
keep_marked(tsm_steps *steps, const tsm_records *records)
{
    size_t marked = 0;
    for (size_t i = 0; i < steps->count; i++) {
        tsm_text name = tsm_records_borrow(records, steps->items[i]->keys[1]);
        if ((tsm_name_classify(name).bits & TSM_NAME_PROFILER_STEP) != 0) {
            const tsm_record *step = steps->items[i];
            steps->items[i] = steps->items[marked];
            steps->items[marked++] = step;
        }
    }
    steps->count = marked > 0 ? marked : steps->count;
}

static int
by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static uint64_t
median(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return count % 2 == 1 ? values[count / 2] : values[count / 2 - 1] / 2 + values[count / 2] / 2;
}

bool
tsm_steps_of(const tsm_records *records, tsm_steps *steps)
{
    *steps = (tsm_steps){ .items = tsm_records_ranked(records, TSM_RECORD_STEP, tsm_rank_texts, &steps->count) };
    steps->count = records->of_kind[TSM_RECORD_STEP];
    if (steps->items == NULL) {
        return steps->count == 0;
    }
    keep_marked(steps, records);
    qsort(steps->items, steps->count, sizeof *steps->items, by_begin);
    uint64_t *values = malloc(steps->count * sizeof *values);
    if (values == NULL) {
        tsm_steps_free(steps);
        return false;
    }
    for (size_t i = 0; i < steps->count; i++) {
        values[i] = steps->items[i]->fields[TSM_STEP_NS];
    }
    steps->median = median(values, steps->count);
    for (size_t i = 0; i < steps->count; i++) {
        uint64_t ns = steps->items[i]->fields[TSM_STEP_NS];
        values[i] = ns > steps->median ? ns - steps->median : steps->median - ns;
    }
    steps->deviation = median(values, steps->count);
    free(values);
    return true;
}

void
tsm_steps_free(tsm_steps *steps)
{
    free(steps->items);
    *steps = (tsm_steps){ 0 };
}

/* 1.4826 MAD is a standard deviation where times are normal. */
bool
tsm_step_is_outlier(const tsm_steps *steps, const tsm_record *step)
{
    double off = (double)step->fields[TSM_STEP_NS] - (double)steps->median;
    double limit = 3 * 1.4826 * (double)steps->deviation, least = 0.01 * (double)steps->median;
    off = off < 0 ? -off : off;
    return steps->count >= 4 && off > limit && off > least;
}

void
tsm_report_STEPS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = {
        INTEGER("number", ""),
        INTEGER("begin", "ns"),
        INTEGER("duration", "ns"),
        INTEGER("busy", "ns"),
        SHARE("utilization"),
        INTEGER("compute", "ns"),
        INTEGER("exposed_communication", "ns"),
        REAL("of_median", ""),
        INTEGER("outlier", ""),
        WORDS("thread"),
        WORDS("name"),
    };
    tsm_steps steps;
    BEGIN_TABLE(b, STEPS, columns);
    if (!tsm_steps_of(b->records, &steps)) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < steps.count; i++) {
        const uint64_t *f = steps.items[i]->fields;
        if (tsm_table_row(b)) {
            tsm_cell_integer(b, f[TSM_STEP_NUMBER]);
            tsm_cell_integer(b, f[TSM_STEP_BEGIN]);
            tsm_cell_integer(b, f[TSM_STEP_NS]);
            tsm_cell_integer(b, f[TSM_STEP_BUSY_NS]);
            tsm_cell_share(b, (double)f[TSM_STEP_BUSY_NS], (double)f[TSM_STEP_NS]);
            tsm_cell_integer(b, f[TSM_STEP_COMPUTE_NS]);
            tsm_cell_integer(b, f[TSM_STEP_EXPOSED_NS]);
            tsm_cell_real(b, steps.median == 0 ? 1 : (double)f[TSM_STEP_NS] / (double)steps.median);
            tsm_cell_integer(b, tsm_step_is_outlier(&steps, steps.items[i]));
            tsm_cell_key(b, steps.items[i]->keys[3]);
            tsm_cell_key(b, steps.items[i]->keys[1]);
        }
    }
    tsm_steps_free(&steps);
}

/* ---- Memory ----------------------------------------------------------------------------------- */

void
tsm_report_MEMORY(tsm_builder *b)
{
    static const tsm_answer_column columns[] = {
        INTEGER("peak", "bytes"), INTEGER("peak_at", "ns"),      INTEGER("allocations", ""),
        INTEGER("frees", ""),     INTEGER("allocated", "bytes"), INTEGER("freed", "bytes"),
        INTEGER("live", "bytes"), INTEGER("live_count", ""),     INTEGER("unknown_frees", ""),
        INTEGER("calls", "ns"),   INTEGER("med_lifetime", "ns"), WORDS("device"),
    };
    static const int order[] = { TSM_MEMORY_PEAK,   TSM_MEMORY_PEAK_AT,    TSM_MEMORY_ALLOCATIONS,
                                 TSM_MEMORY_FREES,  TSM_MEMORY_ALLOCATED,  TSM_MEMORY_FREED,
                                 TSM_MEMORY_LIVE,   TSM_MEMORY_LIVE_COUNT, TSM_MEMORY_STRANGE,
                                 TSM_MEMORY_HOST_NS };
    size_t count;
    const tsm_record **memory = tsm_records_ranked(b->records, TSM_RECORD_MEMORY, tsm_rank_texts, &count);
    BEGIN_TABLE(b, MEMORY, columns);
    for (size_t i = 0; i < count; i++) {
        if (tsm_table_row(b)) {
            for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
                tsm_cell_integer(b, memory[i]->fields[order[k]]);
            }
            tsm_cell_integer(b, tsm_summary_quantile(&memory[i]->summaries[0], 0.5));
            tsm_cell_key(b, memory[i]->keys[0]);
        }
    }
    free(memory);
}

void
tsm_report_LEAKS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = {
        INTEGER("bytes", "bytes"), INTEGER("count", ""), INTEGER("first", "ns"),
        WORDS("device"),           WORDS("call"),        WORDS("stack")
    };
    size_t count;
    const tsm_record **leaks = tsm_records_ranked(b->records, TSM_RECORD_LEAK, tsm_rank_second, &count);
    BEGIN_TABLE(b, LEAKS, columns);
    for (size_t i = 0; i < count; i++) {
        if (tsm_table_row(b)) {
            tsm_cell_integer(b, leaks[i]->fields[TSM_LEAK_BYTES]);
            tsm_cell_integer(b, leaks[i]->fields[TSM_LEAK_COUNT]);
            tsm_cell_integer(b, leaks[i]->fields[TSM_LEAK_FIRST]);
            tsm_cell_key(b, leaks[i]->keys[0]);
            tsm_cell_key(b, leaks[i]->keys[2]);
            tsm_cell_key(b, leaks[i]->keys[1]);
        }
    }
    free(leaks);
}
