#include "analysis/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool
tsm_histogram_widen(tsm_histogram *histogram, uint32_t low, uint32_t high)
{
    if (histogram->counts != NULL) {
        low = low < histogram->low ? low : histogram->low;
        high = high > histogram->high ? high : histogram->high;
    }
    uint64_t *wider = calloc((size_t)(high - low) * TSM_HISTOGRAM_SUBS, sizeof *wider);
    if (wider == NULL) {
        return false;
    }
    if (histogram->counts != NULL) {
        memcpy(wider + (size_t)(histogram->low - low) * TSM_HISTOGRAM_SUBS, histogram->counts,
               (size_t)(histogram->high - histogram->low) * TSM_HISTOGRAM_SUBS * sizeof *wider);
        free(histogram->counts);
    }
    *histogram = (tsm_histogram){ wider, low, high };
    return true;
}

static size_t
bucket_count(const tsm_histogram *histogram)
{
    return (size_t)(histogram->high - histogram->low) * TSM_HISTOGRAM_SUBS;
}

static uint32_t
first_bucket(const tsm_histogram *histogram)
{
    return histogram->low * TSM_HISTOGRAM_SUBS;
}

bool
tsm_summary_merge(tsm_summary *into, const tsm_summary *from)
{
    if (from->count == 0) {
        return true;
    }
    if (!tsm_histogram_widen(&into->histogram, from->histogram.low, from->histogram.high)) {
        return false;
    }
    for (size_t i = 0; i < bucket_count(&from->histogram); i++) {
        size_t shift = first_bucket(&from->histogram) - first_bucket(&into->histogram);
        into->histogram.counts[i + shift] += from->histogram.counts[i];
    }
    into->min = into->count == 0 || from->min < into->min ? from->min : into->min;
    into->max = into->count == 0 || from->max > into->max ? from->max : into->max;
    into->count += from->count;
    into->sum += from->sum;
    into->squares += from->squares;
    return true;
}

void
tsm_summary_free(tsm_summary *summary)
{
    free(summary->histogram.counts);
    *summary = (tsm_summary){ 0 };
}

double
tsm_summary_average(const tsm_summary *summary)
{
    return summary->count == 0 ? 0 : (double)summary->sum / (double)summary->count;
}

double
tsm_summary_deviation(const tsm_summary *summary)
{
    if (summary->count == 0) {
        return 0;
    }
    double n = (double)summary->count, sum = (double)summary->sum;
    /* n * squares - sum * sum, exactly where it fits, which it does below 2^63 in all. */
    unsigned __int128 left = summary->squares * summary->count, right = (unsigned __int128)summary->sum * summary->sum;
    bool fits = summary->squares < ((unsigned __int128)1 << 96) && summary->count < ((uint64_t)1 << 31);
    double spread = fits ? (left > right ? (double)(left - right) : 0) : (double)summary->squares * n - sum * sum;
    return spread > 0 ? sqrt(spread) / n : 0;
}

uint64_t
tsm_summary_quantile(const tsm_summary *summary, double share)
{
    const tsm_histogram *histogram = &summary->histogram;
    if (summary->count == 0) {
        return 0;
    }
    uint64_t rank = (uint64_t)ceil(share * (double)summary->count), seen = 0;
    rank = rank == 0 ? 1 : rank;
    for (size_t i = 0; i < bucket_count(histogram); i++) {
        seen += histogram->counts[i];
        if (seen >= rank) {
            uint32_t bucket = first_bucket(histogram) + (uint32_t)i;
            uint64_t from = tsm_histogram_floor(bucket);
            uint64_t middle = from + (tsm_histogram_floor(bucket + 1) - from) / 2;
            return middle < summary->min ? summary->min : middle > summary->max ? summary->max : middle;
        }
    }
    return summary->max;
}

uint64_t
tsm_summary_count_from(const tsm_summary *summary, uint64_t limit)
{
    uint64_t count = 0;
    for (size_t i = bucket_count(&summary->histogram); i-- > 0;) {
        if (tsm_histogram_floor(first_bucket(&summary->histogram) + (uint32_t)i) < limit) {
            break;
        }
        count += summary->histogram.counts[i];
    }
    return count;
}

/* count, sum, min, max, squares in two halves, then {steps to the next used bucket, its count},
 * ended by a step of 0. The first step counts from bucket -1. */
size_t
tsm_summary_saved_bytes(const tsm_summary *summary)
{
    size_t used = 0;
    for (size_t i = 0; i < bucket_count(&summary->histogram); i++) {
        used += summary->histogram.counts[i] != 0;
    }
    return (7 + 2 * used) * TSM_VARINT_MAX;
}

uint8_t *
tsm_summary_save(const tsm_summary *summary, uint8_t *at)
{
    uint64_t head[] = { summary->count,
                        summary->sum,
                        summary->min,
                        summary->max,
                        (uint64_t)summary->squares,
                        (uint64_t)(summary->squares >> 64) };
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) {
        at += tsm_put_varint(at, head[i]);
    }
    int64_t last = -1;
    for (size_t i = 0; i < bucket_count(&summary->histogram); i++) {
        if (summary->histogram.counts[i] != 0) {
            int64_t bucket = (int64_t)(first_bucket(&summary->histogram) + i);
            at += tsm_put_varint(at, (uint64_t)(bucket - last));
            at += tsm_put_varint(at, summary->histogram.counts[i]);
            last = bucket;
        }
    }
    return at + tsm_put_varint(at, 0);
}

bool
tsm_summary_load(tsm_summary *summary, tsm_bytes *bytes)
{
    summary->count = tsm_bytes_varint(bytes);
    summary->sum = tsm_bytes_varint(bytes);
    summary->min = tsm_bytes_varint(bytes);
    summary->max = tsm_bytes_varint(bytes);
    summary->squares = tsm_bytes_varint(bytes);
    summary->squares |= (unsigned __int128)tsm_bytes_varint(bytes) << 64;
    uint64_t bucket = UINT64_MAX, counted = 0;
    for (uint64_t step; (step = tsm_bytes_varint(bytes)) != 0;) {
        uint64_t count = tsm_bytes_varint(bytes);
        bucket += step;
        if (step > TSM_HISTOGRAM_POWERS * TSM_HISTOGRAM_SUBS || bucket >= TSM_HISTOGRAM_POWERS * TSM_HISTOGRAM_SUBS) {
            bytes->failed = true;
            return false;
        }
        if (!tsm_histogram_add(&summary->histogram, tsm_histogram_floor((uint32_t)bucket), count)) {
            return false;
        }
        counted += count;
    }
    bytes->failed = bytes->failed || counted != summary->count || summary->min > summary->max;
    return !bytes->failed;
}
