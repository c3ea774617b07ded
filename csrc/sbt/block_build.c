/* Events on their way into a block. They come as rows and lie in columns from then on: while a tile
 * of them is in the first cache it is looked over, and its fields move to their columns. A field
 * that is the same in every event stays in the first one and costs nothing. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"
#include "sbt/fields.h"

_Static_assert(SBT_FIELDS == TSM_EVENT_FIELD_COUNT, "sbt.h counts the fields too");

#define TILE 256

void
sbt_block_begin(sbt_encoder *e)
{
    e->build = (sbt_build){ .sorted = true };
}

uint64_t
sbt_build_constant(const sbt_build *build, unsigned field)
{
    uint64_t value = 0;
    memcpy(&value, (const uint8_t *)&build->first + sbt_fields[field].offset, sbt_fields[field].bytes);
    return value;
}

static bool
differs(const uint64_t differences[8], unsigned field)
{
    uint64_t bits = 0;
    memcpy(&bits, (const uint8_t *)differences + sbt_fields[field].offset, sbt_fields[field].bytes);
    return bits != 0;
}

/* Two fields at a time, as the eight words that an event is. */
typedef uint64_t event_word __attribute__((may_alias));

/* The bits in which any event differs from the first, the latest end, and whether time goes back.
 * Meanwhile memory brings in what the caller will look at next. */
static inline __attribute__((always_inline)) void
look_over(sbt_build *build, const tsm_event *tile, size_t count, const tsm_event *ahead)
{
    uint64_t first[8], all[8], last = build->last_ns, latest = build->end_ns;
    bool sorted = build->sorted;
    memcpy(first, &build->first, sizeof first);
    memcpy(all, build->differences, sizeof all);
    for (size_t i = 0; i < count; i++) {
        __builtin_prefetch(&ahead[i]);
        const event_word *words = (const event_word *)&tile[i];
        for (unsigned k = 0; k < 8; k++) {
            all[k] |= words[k] ^ first[k];
        }
        uint64_t start = tile[i].timestamp, end = start + tile[i].duration;
        sorted &= start >= last;
        last = start;
        end = end < start ? UINT64_MAX : end;
        latest = end > latest ? end : latest;
    }
    memcpy(build->differences, all, sizeof all);
    build->sorted = sorted;
    build->last_ns = last;
    build->end_ns = latest;
}

static inline __attribute__((always_inline)) void
gather(const tsm_event *events, size_t count, unsigned field, uint64_t *values)
{
    const uint8_t *at = (const uint8_t *)events + sbt_fields[field].offset;
    switch (sbt_fields[field].bytes) {
    case 8:
        for (size_t i = 0; i < count; i++) {
            values[i] = tsm_load_u64(at + i * sizeof *events);
        }
        break;
    case 4:
        for (size_t i = 0; i < count; i++) {
            values[i] = tsm_load_u32(at + i * sizeof *events);
        }
        break;
    default:
        for (size_t i = 0; i < count; i++) {
            uint16_t value;
            memcpy(&value, at + i * sizeof *events, sizeof value);
            values[i] = value;
        }
    }
}

static void
start_column(sbt_encoder *e, unsigned field)
{
    uint64_t value = sbt_build_constant(&e->build, field);
    for (size_t i = 0; i < e->build.count; i++) {
        e->columns[field][i] = value;
    }
    e->build.varies[field] = true;
}

static inline __attribute__((always_inline)) void
add_tile(sbt_encoder *e, const tsm_event *tile, size_t count, const tsm_event *ahead)
{
    look_over(&e->build, tile, count, ahead);
    for (unsigned field = 0; field < SBT_FIELDS; field++) {
        if (!e->build.varies[field]) {
            if (!differs(e->build.differences, field)) {
                continue;
            }
            start_column(e, field);
        }
        gather(tile, count, field, e->columns[field] + e->build.count);
    }
    e->build.count += count;
}

static void
add_tile_plain(sbt_encoder *e, const tsm_event *tile, size_t count, const tsm_event *ahead)
{
    add_tile(e, tile, count, ahead);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void
add_tile_avx2(sbt_encoder *e, const tsm_event *tile, size_t count, const tsm_event *ahead)
{
    add_tile(e, tile, count, ahead);
}
#endif

void
sbt_block_add(sbt_encoder *e, const tsm_event *events, size_t count, const tsm_event *ahead)
{
    if (e->build.count == 0 && count > 0) {
        e->build.first = events[0];
    }
    void (*add)(sbt_encoder *, const tsm_event *, size_t, const tsm_event *) = add_tile_plain;
#if defined(__x86_64__)
    add = __builtin_cpu_supports("avx2") ? add_tile_avx2 : add;
#endif
    for (size_t at = 0; at < count; at += TILE) {
        add(e, events + at, count - at < TILE ? count - at : TILE, ahead + at);
    }
}

tsm_status
sbt_block_sort(sbt_encoder *e, tsm_extension *extensions, uint32_t *rows, size_t extension_count)
{
    const size_t count = e->build.count;
    if (e->build.sorted) {
        return TSM_OK;
    }
    uint32_t *order = malloc(count * sizeof *order);
    tsm_status status = order == NULL ? TSM_E_NOMEM : tsm_order_by_time(e->columns[SBT_FIELD_timestamp], count, order);
    if (status == TSM_OK && extension_count > 0) {
        status = tsm_extensions_reorder(order, count, rows, extensions, extension_count);
    }
    for (unsigned field = 0; status == TSM_OK && field < SBT_FIELDS; field++) {
        if (e->build.varies[field]) {
            for (size_t i = 0; i < count; i++) {
                e->values[i] = e->columns[field][order[i]];
            }
            memcpy(e->columns[field], e->values, count * sizeof *e->values);
        }
    }
    free(order);
    e->build.sorted = status == TSM_OK;
    return status;
}
