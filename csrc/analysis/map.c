#include "analysis/map.h"

#include <stdlib.h>

static size_t
place(const tsm_map *map, uint64_t a, uint64_t b)
{
    size_t at = tsm_map_home(map, a, b);
    while (map->slots[at].value != NULL && (map->slots[at].a != a || map->slots[at].b != b)) {
        at = (at + 1) & (map->capacity - 1);
    }
    return at;
}

static bool
grow(tsm_map *map)
{
    tsm_map wider = { .count = map->count, .capacity = map->capacity == 0 ? 64 : map->capacity * 2 };
    wider.slots = calloc(wider.capacity, sizeof *wider.slots);
    if (wider.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->capacity; i++) {
        const tsm_map_slot *slot = &map->slots[i];
        if (slot->value != NULL) {
            wider.slots[place(&wider, slot->a, slot->b)] = *slot;
        }
    }
    free(map->slots);
    *map = wider;
    return true;
}

bool
tsm_map_put(tsm_map *map, uint64_t a, uint64_t b, void *value)
{
    if (map->count * 2 >= map->capacity && !grow(map)) {
        return false;
    }
    tsm_map_slot *slot = &map->slots[place(map, a, b)];
    map->count += slot->value == NULL;
    *slot = (tsm_map_slot){ a, b, value };
    return true;
}

void *
tsm_map_take(tsm_map *map, uint64_t a, uint64_t b)
{
    if (map->capacity == 0) {
        return NULL;
    }
    size_t mask = map->capacity - 1, hole = place(map, a, b);
    void *value = map->slots[hole].value;
    if (value == NULL) {
        return NULL;
    }
    /* Whatever could have gone into the hole moves there. */
    for (size_t at = (hole + 1) & mask; map->slots[at].value != NULL; at = (at + 1) & mask) {
        size_t wanted = tsm_map_home(map, map->slots[at].a, map->slots[at].b);
        if (((at - wanted) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole].value = NULL;
    map->count--;
    return value;
}

void
tsm_map_free(tsm_map *map)
{
    free(map->slots);
    *map = (tsm_map){ 0 };
}
