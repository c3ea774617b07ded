/* Numbers that many files can share: count, sum, squares, extremes and a histogram, all integers,
 * so that merging in any order gives the same bits. Private to analysis/.
 *
 * The histogram has 64 buckets per power of two: values below 128 are exact, and the middle of a
 * bucket is at most 1/128 (0.8 %) away from anything in it. Only the powers that occur take room. */
#ifndef TSM_ANALYSIS_SUMMARY_H
#define TSM_ANALYSIS_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define TSM_HISTOGRAM_SUBS   64u
#define TSM_HISTOGRAM_POWERS 59u

typedef struct {
    uint64_t *counts; /* of powers [low, high), TSM_HISTOGRAM_SUBS each */
    uint32_t low, high;
} tsm_histogram;

typedef struct {
    uint64_t count, sum, min, max; /* min and max mean nothing while count is 0 */
    unsigned __int128 squares;
    tsm_histogram histogram;
} tsm_summary;

static inline uint32_t
tsm_histogram_bucket(uint64_t value)
{
    if (value < TSM_HISTOGRAM_SUBS) {
        return (uint32_t)value;
    }
    uint32_t shift = 57u - (uint32_t)__builtin_clzll(value);
    return shift * TSM_HISTOGRAM_SUBS + (uint32_t)(value >> shift);
}

/* The least value of a bucket. */
static inline uint64_t
tsm_histogram_floor(uint32_t bucket)
{
    if (bucket < 2 * TSM_HISTOGRAM_SUBS) {
        return bucket;
    }
    uint32_t shift = bucket / TSM_HISTOGRAM_SUBS - 1;
    return (uint64_t)(bucket % TSM_HISTOGRAM_SUBS + TSM_HISTOGRAM_SUBS) << shift;
}

/* Makes room for powers [low, high). False: out of memory, nothing changed. */
bool tsm_histogram_widen(tsm_histogram *histogram, uint32_t low, uint32_t high);

static inline bool
tsm_histogram_add(tsm_histogram *histogram, uint64_t value, uint64_t count)
{
    uint32_t bucket = tsm_histogram_bucket(value), power = bucket / TSM_HISTOGRAM_SUBS;
    if ((power < histogram->low || power >= histogram->high) && !tsm_histogram_widen(histogram, power, power + 1)) {
        return false;
    }
    histogram->counts[bucket - histogram->low * TSM_HISTOGRAM_SUBS] += count;
    return true;
}

static inline bool
tsm_summary_add(tsm_summary *summary, uint64_t value)
{
    if (summary->count++ == 0) {
        summary->min = summary->max = value;
    } else {
        summary->min = value < summary->min ? value : summary->min;
        summary->max = value > summary->max ? value : summary->max;
    }
    summary->sum += value;
    summary->squares += (unsigned __int128)value * value;
    return tsm_histogram_add(&summary->histogram, value, 1);
}

bool tsm_summary_merge(tsm_summary *into, const tsm_summary *from);
void tsm_summary_free(tsm_summary *summary);

double tsm_summary_average(const tsm_summary *summary);
/* Of the population: what was seen is all there is. */
double tsm_summary_deviation(const tsm_summary *summary);
/* The value of rank ceil(share * count), as the middle of its bucket; 0 when there is none. */
uint64_t tsm_summary_quantile(const tsm_summary *summary, double share);
/* How many values lie in buckets that begin at or above limit. */
uint64_t tsm_summary_count_from(const tsm_summary *summary, uint64_t limit);

/* At most this many bytes. */
size_t tsm_summary_saved_bytes(const tsm_summary *summary);
uint8_t *tsm_summary_save(const tsm_summary *summary, uint8_t *at);
/* From foreign bytes into an empty summary. False: damaged (bytes->failed) or out of memory. */
bool tsm_summary_load(tsm_summary *summary, tsm_bytes *bytes);

#endif
