/* The steps of a loop, in order, and what is usual among them. Private to analysis/. */
#ifndef TSM_ANALYSIS_STEPS_H
#define TSM_ANALYSIS_STEPS_H

#include "analysis/answers.h"

typedef struct {
    const tsm_record **items;
    size_t count;
    uint64_t median, deviation; /* of durations; the median of what they are off it */
} tsm_steps;

/* False: no memory. */
bool tsm_steps_of(const tsm_records *records, tsm_steps *steps);
void tsm_steps_free(tsm_steps *steps);
bool tsm_step_is_outlier(const tsm_steps *steps, const tsm_record *step);

#endif
