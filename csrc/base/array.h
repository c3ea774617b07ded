/* A growable array is a pointer, a count and a capacity that its owner keeps. */
#ifndef TSM_BASE_ARRAY_H
#define TSM_BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static inline bool
tsm_array_reserve_bytes(void **items, size_t *capacity, size_t wanted, size_t item_bytes)
{
    if (wanted <= *capacity) {
        return true;
    }
    size_t grown = *capacity < 8 ? 8 : *capacity + *capacity / 2;
    if (grown < wanted) {
        grown = wanted;
    }
    if (grown > SIZE_MAX / 2 / item_bytes) {
        return false;
    }
    void *moved = realloc(*items, grown * item_bytes);
    if (moved == NULL) {
        return false;
    }
    *items = moved;
    *capacity = grown;
    return true;
}

/* Makes room for wanted items in all. False: out of memory, nothing changed. */
#define tsm_array_reserve(items, capacity, wanted) \
    tsm_array_reserve_bytes((void **)(items), (capacity), (wanted), sizeof **(items))

#endif
