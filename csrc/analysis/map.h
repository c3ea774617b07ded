/* From two numbers to a pointer: open addressing, removal without graves. Private to analysis/. */
#ifndef TSM_ANALYSIS_MAP_H
#define TSM_ANALYSIS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

typedef struct {
    uint64_t a, b;
    void *value; /* NULL: free */
} tsm_map_slot;

typedef struct {
    tsm_map_slot *slots;
    size_t count, capacity; /* a power of two, or 0 */
} tsm_map;

static inline size_t
tsm_map_home(const tsm_map *map, uint64_t a, uint64_t b)
{
    return (size_t)tsm_hash_mix(a, b) & (map->capacity - 1);
}

static inline void *
tsm_map_get(const tsm_map *map, uint64_t a, uint64_t b)
{
    if (map->capacity == 0) {
        return NULL;
    }
    for (size_t at = tsm_map_home(map, a, b);; at = (at + 1) & (map->capacity - 1)) {
        const tsm_map_slot *slot = &map->slots[at];
        if (slot->value == NULL || (slot->a == a && slot->b == b)) {
            return slot->value;
        }
    }
}

/* Replaces what was there. value is not NULL. False: out of memory. */
bool tsm_map_put(tsm_map *map, uint64_t a, uint64_t b, void *value);
/* The value taken out, or NULL. */
void *tsm_map_take(tsm_map *map, uint64_t a, uint64_t b);
void tsm_map_free(tsm_map *map);

#endif
