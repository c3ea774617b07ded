/* Sorting a track. What arrives is nearly always sorted, or made of a few long sorted runs that
 * hardly overlap: so runs are found first and merged in pairs, moving only what overlaps. Many
 * short runs are put in order by their digits instead. Both are stable. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "timeline/parts.h"

#define FEW_RUNS(count) ((count) / 16 + 2)
#define SMALL           64
#define DIGIT_BITS      11
#define DIGITS          (1u << DIGIT_BITS)

/* ---- Merging ---------------------------------------------------------------------------------- */

/* The first of sorted spans that belongs behind key. */
static size_t
place_behind(const tsm_span *spans, size_t count, const tsm_span *key)
{
    size_t low = 0;
    while (count > 0) {
        size_t half = count / 2;
        if (tsm_span_before(key, &spans[low + half])) {
            count = half;
        } else {
            low += half + 1;
            count -= half + 1;
        }
    }
    return low;
}

/* Merges spans[0, middle) with spans[middle, count); scratch has room for the former. */
static void
merge(tsm_span *spans, size_t middle, size_t count, tsm_span *scratch)
{
    size_t skip = place_behind(spans, middle, &spans[middle]);
    size_t left = 0, left_count = middle - skip, right = middle, to = skip;
    memcpy(scratch, spans + skip, left_count * sizeof *spans);
    while (left < left_count && right < count) {
        bool take_right = tsm_span_before(&spans[right], &scratch[left]);
        spans[to++] = take_right ? spans[right] : scratch[left];
        right += take_right;
        left += !take_right;
    }
    memcpy(spans + to, scratch + left, (left_count - left) * sizeof *spans);
}

/* starts: count + 1 of them, the last one the end. */
static void
merge_runs(tsm_span *spans, size_t *starts, size_t count, tsm_span *scratch)
{
    while (count > 1) {
        size_t kept = 0;
        for (size_t i = 0; i < count; i += 2) {
            if (i + 1 < count) {
                merge(spans + starts[i], starts[i + 1] - starts[i], starts[i + 2] - starts[i], scratch);
            }
            starts[kept++] = starts[i];
        }
        starts[kept] = starts[count];
        count = kept;
    }
}

/* ---- By digits -------------------------------------------------------------------------------- */

static void
insertion_sort(tsm_span *spans, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        tsm_span span = spans[i];
        size_t at = i;
        for (; at > 0 && tsm_span_before(&span, &spans[at - 1]); at--) {
            spans[at] = spans[at - 1];
        }
        spans[at] = span;
    }
}

/* One pass by a digit of begin - base, or of ~end. */
static void
sort_digit(const tsm_span *from, tsm_span *to, size_t count, uint64_t base, bool by_end, unsigned shift)
{
    size_t next[DIGITS] = { 0 }, sum = 0;
    for (size_t i = 0; i < count; i++) {
        next[((by_end ? base - from[i].end_ns : from[i].begin_ns - base) >> shift) % DIGITS]++;
    }
    for (size_t d = 0; d < DIGITS; d++) {
        size_t here = next[d];
        next[d] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++) {
        to[next[((by_end ? base - from[i].end_ns : from[i].begin_ns - base) >> shift) % DIGITS]++] = from[i];
    }
}

/* All digits that differ; true when the result is in scratch. */
static bool
sort_key(tsm_span *spans, tsm_span *scratch, size_t count, bool by_end)
{
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t key = by_end ? spans[i].end_ns : spans[i].begin_ns;
        low = key < low ? key : low;
        high = key > high ? key : high;
    }
    bool swapped = false;
    for (unsigned shift = 0; shift < 64 && (high - low) >> shift != 0; shift += DIGIT_BITS) {
        sort_digit(swapped ? scratch : spans, swapped ? spans : scratch, count, by_end ? high : low, by_end, shift);
        swapped = !swapped;
    }
    return swapped;
}

/* Spans of one begin, longest first. */
static void
sort_group(tsm_span *spans, size_t count, tsm_span *scratch)
{
    if (count <= SMALL) {
        insertion_sort(spans, count);
    } else if (sort_key(spans, scratch, count, true)) {
        memcpy(spans, scratch, count * sizeof *spans);
    }
}

static void
sort_by_digits(tsm_span *spans, size_t count, tsm_span *scratch)
{
    if (sort_key(spans, scratch, count, false)) {
        memcpy(spans, scratch, count * sizeof *spans);
    }
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && spans[next].begin_ns == spans[i].begin_ns; next++) {
        }
        if (next - i > 1) {
            sort_group(spans + i, next - i, scratch);
        }
    }
}

/* ---- Choosing --------------------------------------------------------------------------------- */

/* Starts of the sorted runs and the end behind them; stops at too many. 0: out of memory. */
static size_t
find_runs(const tsm_span *spans, size_t count, size_t **starts)
{
    size_t runs = 0, capacity = 0;
    for (size_t i = 0; i < count && runs <= FEW_RUNS(count); i++) {
        if (i == 0 || tsm_span_before(&spans[i], &spans[i - 1])) {
            if (!tsm_array_reserve(starts, &capacity, runs + 2)) {
                return 0;
            }
            (*starts)[runs++] = i;
        }
    }
    (*starts)[runs] = count;
    return runs;
}

static size_t
sorted_prefix(const tsm_span *spans, size_t count)
{
    size_t i = 1;
    while (i < count && !tsm_span_before(&spans[i], &spans[i - 1])) {
        i++;
    }
    return i;
}

tsm_status
tsm_spans_sort(tsm_span *spans, size_t count)
{
    if (sorted_prefix(spans, count) >= count) {
        return TSM_OK;
    }
    if (count <= SMALL) {
        insertion_sort(spans, count);
        return TSM_OK;
    }
    size_t *starts = NULL;
    tsm_span *scratch = malloc(count * sizeof *scratch);
    size_t runs = scratch == NULL ? 0 : find_runs(spans, count, &starts);
    if (runs > FEW_RUNS(count)) {
        sort_by_digits(spans, count, scratch);
    } else if (runs > 0) {
        merge_runs(spans, starts, runs, scratch);
    }
    free(starts);
    free(scratch);
    return runs > 0 ? TSM_OK : TSM_E_NOMEM;
}
