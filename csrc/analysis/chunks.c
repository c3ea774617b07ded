#include "analysis/pass.h"

#define FIRST_SHIFT 10

static void
double_length(tsm_chunks *chunks, bool greatest)
{
    for (size_t i = 0; i < TSM_CHUNKS / 2; i++) {
        uint64_t left = chunks->values[2 * i], right = chunks->values[2 * i + 1];
        chunks->values[i] = greatest ? (left > right ? left : right) : left + right;
    }
    for (size_t i = TSM_CHUNKS / 2; i < TSM_CHUNKS; i++) {
        chunks->values[i] = 0;
    }
    chunks->shift++;
}

/* The number of time's chunk; chunks begin at the first time there is. */
static size_t
reach(tsm_chunks *chunks, uint64_t time, bool greatest)
{
    if (chunks->shift == 0) {
        chunks->base = time;
        chunks->shift = FIRST_SHIFT;
    }
    if (time < chunks->base) {
        return 0;
    }
    while ((time - chunks->base) >> chunks->shift >= TSM_CHUNKS) {
        double_length(chunks, greatest);
    }
    return (size_t)((time - chunks->base) >> chunks->shift);
}

void
tsm_chunks_spread(tsm_chunks *chunks, uint64_t begin, uint64_t end)
{
    if (end <= begin) {
        return;
    }
    (void)reach(chunks, begin, false);
    size_t last = reach(chunks, end - 1, false), at = reach(chunks, begin, false);
    for (; at <= last; at++) {
        uint64_t from = chunks->base + ((uint64_t)at << chunks->shift), to = from + ((uint64_t)1 << chunks->shift);
        chunks->values[at] += (end < to ? end : to) - (begin > from ? begin : from);
    }
}

void
tsm_chunks_raise(tsm_chunks *chunks, uint64_t time, uint64_t value)
{
    size_t at = reach(chunks, time, true);
    chunks->values[at] = value > chunks->values[at] ? value : chunks->values[at];
}
