/* A cursor gives events in order of time. Of those that begin together the longest must come first,
 * because it is around the others; and a batch may end in the middle of them, so those at its end
 * are held until the next one is seen. */
#include <stdlib.h>

#include "base/array.h"
#include "export/perfetto.h"

static int
compare_items(const void *a, const void *b)
{
    const tsm_event *left = ((const pf_item *)a)->event, *right = ((const pf_item *)b)->event;
    if (left->duration != right->duration) {
        return left->duration > right->duration ? -1 : 1;
    }
    return left < right ? -1 : left > right;
}

static size_t
count_simultaneous(const tsm_batch *batch, size_t first)
{
    size_t count = 1;
    while (first + count < batch->count && batch->events[first + count].timestamp == batch->events[first].timestamp) {
        count++;
    }
    return count;
}

/* The event at row with its extensions, of which the next is told. */
static pf_item
take_item(const tsm_batch *batch, size_t row, size_t *extension)
{
    size_t begin = *extension;
    while (*extension < batch->extension_count && batch->extension_rows[*extension] <= row) {
        ++*extension;
    }
    return (pf_item){ &batch->events[row], batch->extensions + begin, *extension - begin };
}

static void
write_simultaneous(pf_writer *w, const tsm_batch *batch, size_t first, size_t count, size_t *extension)
{
    if (!tsm_array_reserve(&w->items, &w->item_capacity, count)) {
        w->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        w->items[i] = take_item(batch, first + i, extension);
    }
    qsort(w->items, count, sizeof *w->items, compare_items);
    for (size_t i = 0; i < count; i++) {
        pf_write_item(w, &w->items[i]);
    }
}

static void
hold(pf_writer *w, const tsm_batch *batch, size_t first, size_t count, size_t *extension)
{
    if (!tsm_array_reserve(&w->held, &w->held_capacity, w->held_count + count)) {
        w->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        pf_item item = take_item(batch, first + i, extension);
        size_t at = w->held_extension_count, wanted = at + item.extension_count;
        if (!tsm_array_reserve(&w->held_extensions, &w->held_extension_capacity, wanted)
            || !tsm_array_reserve(&w->held_rows, &w->held_row_capacity, wanted)) {
            w->failed = true;
            return;
        }
        for (; at < wanted; at++) {
            w->held_extensions[at] = item.extensions[at - w->held_extension_count];
            w->held_rows[at] = (uint32_t)w->held_count;
        }
        w->held_extension_count = wanted;
        w->held[w->held_count++] = *item.event;
    }
}

void
pf_write_held(pf_writer *w)
{
    size_t extension = 0;
    tsm_batch batch = { w->held, w->held_count, w->held_extensions, w->held_rows, w->held_extension_count };
    w->held_count = w->held_extension_count = 0;
    if (batch.count > 0) {
        write_simultaneous(w, &batch, 0, batch.count, &extension);
    }
}

void
pf_write_batch(pf_writer *w, const tsm_batch *batch)
{
    size_t extension = 0;
    for (size_t i = 0, count; i < batch->count && !w->failed; i += count) {
        count = count_simultaneous(batch, i);
        if (w->held_count > 0 && w->held[0].timestamp != batch->events[i].timestamp) {
            pf_write_held(w);
        }
        if (count == 1 && w->held_count == 0 && i + 1 < batch->count) {
            pf_item item = take_item(batch, i, &extension);
            pf_write_item(w, &item);
        } else if (w->held_count > 0 || i + count == batch->count) {
            hold(w, batch, i, count, &extension);
        } else {
            write_simultaneous(w, batch, i, count, &extension);
        }
    }
}
