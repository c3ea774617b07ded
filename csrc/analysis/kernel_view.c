/* Kernels as answers need them: with the durations that their launch configurations hold. */
#include <stdlib.h>

#include "analysis/map.h"
#include "analysis/reports.h"

void
tsm_kernels_free(tsm_kernels *kernels)
{
    for (size_t i = 0; i < kernels->count; i++) {
        tsm_summary_free(&kernels->items[i].durations);
    }
    free(kernels->items);
    *kernels = (tsm_kernels){ 0 };
}

static int
by_total(const void *a, const void *b)
{
    const tsm_kernel *one = a, *other = b;
    if (one->durations.sum != other->durations.sum) {
        return one->durations.sum < other->durations.sum ? 1 : -1;
    }
    return (one->order > other->order) - (one->order < other->order);
}

static bool
add_up(const tsm_records *records, const tsm_map *by_name)
{
    bool done = true;
    for (size_t i = 0; done && i < records->count; i++) {
        const tsm_record *config = records->items[i];
        tsm_kernel *kernel = config->kind == TSM_RECORD_CONFIG ? tsm_map_get(by_name, config->keys[0], 0) : NULL;
        done = kernel == NULL || tsm_summary_merge(&kernel->durations, &config->summaries[0]);
    }
    return done;
}

bool
tsm_kernels_of(const tsm_records *records, tsm_kernels *kernels)
{
    size_t count;
    tsm_map by_name = { 0 };
    const tsm_record **found = tsm_records_ranked(records, TSM_RECORD_KERNEL, tsm_rank_texts, &count);
    bool done = found != NULL || records->of_kind[TSM_RECORD_KERNEL] == 0;
    *kernels = (tsm_kernels){ .items = calloc(count + 1, sizeof *kernels->items), .count = count };
    done = done && kernels->items != NULL;
    kernels->count = done ? count : 0;
    for (size_t i = 0; done && i < count; i++) {
        tsm_kernel *kernel = &kernels->items[i];
        kernel->record = found[i];
        kernel->order = i;
        done = tsm_summary_merge(&kernel->durations, &found[i]->summaries[0])
               && tsm_map_put(&by_name, found[i]->keys[0], 0, kernel);
    }
    done = done && add_up(records, &by_name);
    if (done) {
        qsort(kernels->items, count, sizeof *kernels->items, by_total);
    }
    tsm_map_free(&by_name);
    free(found);
    return done;
}
