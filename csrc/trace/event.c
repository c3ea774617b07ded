#include "trace/event.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

const char *
tsm_event_type_name(uint16_t type)
{
    switch (type) {
#define X(name, python, number) \
    case number:                \
        return #python;
        TSM_EVENT_TYPES(X)
#undef X
    }
    return "Unknown";
}

typedef struct {
    uint64_t timestamp;
    uint32_t from;
} key;

/* Natural merge sort: events come as a few sorted runs, one per thread, so the number of
 * passes is the logarithm of the number of runs, not of events. Returns where the result is. */
static key *
merge_runs(key *keys, key *spare, size_t count)
{
    for (;;) {
        size_t runs = 0, at = 0;
        while (at < count) {
            size_t middle = at + 1, end;
            while (middle < count && keys[middle].timestamp >= keys[middle - 1].timestamp) {
                middle++;
            }
            end = middle < count ? middle + 1 : middle;
            while (end < count && keys[end].timestamp >= keys[end - 1].timestamp) {
                end++;
            }
            size_t left = at, right = middle;
            for (size_t to = at; to < end; to++) {
                bool take_left = left < middle && (right >= end || keys[left].timestamp <= keys[right].timestamp);
                spare[to] = keys[take_left ? left++ : right++];
            }
            runs++;
            at = end;
        }
        key *sorted = spare;
        spare = keys;
        keys = sorted;
        if (runs <= 1) {
            return keys;
        }
    }
}

/* order[i]: which of the timestamps comes i-th. */
static tsm_status
order_keys(const uint64_t *timestamps, size_t stride, size_t count, uint32_t *order)
{
    key *keys = malloc(2 * count * sizeof *keys);
    if (keys == NULL) {
        return TSM_E_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        keys[i] = (key){ .timestamp = timestamps[i * stride], .from = (uint32_t)i };
    }
    const key *sorted = merge_runs(keys, keys + count, count);
    for (size_t i = 0; i < count; i++) {
        order[i] = sorted[i].from;
    }
    free(keys);
    return TSM_OK;
}

tsm_status
tsm_order_by_time(const uint64_t *timestamps, size_t count, uint32_t *order)
{
    return order_keys(timestamps, 1, count, order);
}

/* Extensions follow their events; several of one event keep their order. */
tsm_status
tsm_extensions_reorder(const uint32_t *order, size_t count, uint32_t *rows, tsm_extension *extensions,
                       size_t extension_count)
{
    uint32_t *first = calloc(count + 1, sizeof *first);
    tsm_extension *copy = malloc(extension_count * sizeof *copy);
    bool done = first != NULL && copy != NULL;
    if (done) {
        memcpy(copy, extensions, extension_count * sizeof *copy);
        for (size_t i = 0; i < extension_count; i++) {
            first[rows[i] + 1]++;
        }
        for (size_t i = 0; i < count; i++) {
            first[i + 1] += first[i];
        }
        size_t to = 0;
        for (size_t i = 0; i < count; i++) {
            for (uint32_t from = first[order[i]]; from < first[order[i] + 1]; from++) {
                extensions[to] = copy[from];
                rows[to++] = (uint32_t)i;
            }
        }
    }
    free(copy);
    free(first);
    return done ? TSM_OK : TSM_E_NOMEM;
}

static bool
is_sorted(const tsm_event *events, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (events[i].timestamp < events[i - 1].timestamp) {
            return false;
        }
    }
    return true;
}

tsm_status
tsm_events_sort(tsm_event *events, size_t count, uint32_t *extension_rows, tsm_extension *extensions,
                size_t extension_count)
{
    if (is_sorted(events, count)) {
        return TSM_OK;
    }
    if (count > UINT32_MAX) {
        return TSM_E_LIMIT;
    }
    uint32_t *order = malloc(count * sizeof *order);
    tsm_event *copy = malloc(count * sizeof *copy);
    tsm_status status = order == NULL || copy == NULL
                            ? TSM_E_NOMEM
                            : order_keys(&events->timestamp, sizeof *events / sizeof(uint64_t), count, order);
    if (status == TSM_OK && extension_count > 0) {
        status = tsm_extensions_reorder(order, count, extension_rows, extensions, extension_count);
    }
    if (status == TSM_OK) {
        memcpy(copy, events, count * sizeof *copy);
        for (size_t i = 0; i < count; i++) {
            events[i] = copy[order[i]];
        }
    }
    free(copy);
    free(order);
    return status;
}
