/* A binary heap of numbers with their owners, the least on top. Zeroed is empty. Private. */
#ifndef TSM_TIMELINE_HEAP_H
#define TSM_TIMELINE_HEAP_H

#include "base/array.h"

typedef struct {
    uint64_t key;
    uint32_t owner;
} tsm_heap_item;

typedef struct {
    tsm_heap_item *items;
    size_t count, capacity;
} tsm_heap;

/* Equal keys come out by owner, so that nothing depends on the order of pushing. */
static inline bool
tsm_heap_less(const tsm_heap_item *a, const tsm_heap_item *b)
{
    return a->key < b->key || (a->key == b->key && a->owner < b->owner);
}

static inline bool
tsm_heap_push(tsm_heap *heap, uint64_t key, uint32_t owner)
{
    if (!tsm_array_reserve(&heap->items, &heap->capacity, heap->count + 1)) {
        return false;
    }
    tsm_heap_item item = { key, owner };
    size_t at = heap->count++;
    while (at > 0 && tsm_heap_less(&item, &heap->items[(at - 1) / 2])) {
        heap->items[at] = heap->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->items[at] = item;
    return true;
}

/* Gives the top another key and owner, and finds its place. */
static inline void
tsm_heap_replace(tsm_heap *heap, uint64_t key, uint32_t owner)
{
    tsm_heap_item item = { key, owner };
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count) {
            break;
        }
        child += child + 1 < heap->count && tsm_heap_less(&heap->items[child + 1], &heap->items[child]);
        if (!tsm_heap_less(&heap->items[child], &item)) {
            break;
        }
        heap->items[at] = heap->items[child];
        at = child;
    }
    heap->items[at] = item;
}

/* Must not be empty. */
static inline tsm_heap_item
tsm_heap_pop(tsm_heap *heap)
{
    tsm_heap_item top = heap->items[0], last = heap->items[--heap->count];
    if (heap->count > 0) {
        tsm_heap_replace(heap, last.key, last.owner);
    }
    return top;
}

#endif
