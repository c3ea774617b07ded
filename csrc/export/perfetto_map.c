#include <stdlib.h>

#include "base/hash.h"
#include "export/perfetto.h"

void
pf_count_rows(pf_writer *w)
{
    for (unsigned table = 1; table < TSM_TABLE_LIMIT; table++) {
        w->counts[table] = tsm_tables_count(w->tables, table);
        w->row_limit = w->counts[table] > w->row_limit ? w->counts[table] : w->row_limit;
    }
}

bool
pf_rows_set(pf_writer *w, pf_rows *rows, uint32_t row, uint32_t id)
{
    if (row >= w->row_limit) {
        return true; /* of no table: a damaged file's */
    }
    if (row >= rows->count) {
        size_t count = rows->count < 64 ? 64 : rows->count * 2;
        count = count > row ? count : (size_t)row + 1;
        uint32_t *ids = realloc(rows->ids, count * sizeof *ids);
        if (ids == NULL) {
            w->failed = true;
            return false;
        }
        memset(ids + rows->count, 0, (count - rows->count) * sizeof *ids);
        rows->ids = ids;
        rows->count = count;
    }
    rows->ids[row] = id;
    return true;
}

/* The slot that holds the key, or the free one where it would go. */
static pf_map_slot *
find_slot(const pf_map *map, uint64_t a, uint64_t b)
{
    uint32_t mask = map->slot_count - 1, at = (uint32_t)tsm_hash_mix(a, b) & mask;
    while (map->slots[at].value != 0 && (map->slots[at].a != a || map->slots[at].b != b)) {
        at = (at + 1) & mask;
    }
    return &map->slots[at];
}

uint32_t
pf_map_get(const pf_map *map, uint64_t a, uint64_t b)
{
    return map->slot_count == 0 ? 0 : find_slot(map, a, b)->value;
}

static bool
grow(pf_map *map)
{
    pf_map wider = { .slot_count = map->slot_count == 0 ? 64 : map->slot_count * 2, .used = map->used };
    wider.slots = wider.slot_count == 0 ? NULL : calloc(wider.slot_count, sizeof *wider.slots);
    if (wider.slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < map->slot_count; i++) {
        const pf_map_slot *slot = &map->slots[i];
        if (slot->value != 0) {
            *find_slot(&wider, slot->a, slot->b) = *slot;
        }
    }
    free(map->slots);
    *map = wider;
    return true;
}

bool
pf_map_set(pf_writer *w, pf_map *map, uint64_t a, uint64_t b, uint32_t value)
{
    if (map->used >= map->slot_count / 2 && !grow(map)) {
        w->failed = true;
        return false;
    }
    pf_map_slot *slot = find_slot(map, a, b);
    map->used += slot->value == 0;
    *slot = (pf_map_slot){ a, b, value };
    return true;
}
