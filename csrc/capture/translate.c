#include "capture/translate.h"

#include <string.h>

#define AHEAD 16

static tsm_id_map
map_of(const tsm_remap *remap, unsigned table)
{
    return (tsm_id_map){ tsm_remap_borrow(remap, table), tsm_remap_count(remap, table) };
}

void
tsm_translator_begin(tsm_translator *t, const tsm_remap *remap, const tsm_clock_map *clock)
{
    *t = (tsm_translator){
        .strings = map_of(remap, TSM_TABLE_STRINGS),
        .stacks = map_of(remap, TSM_TABLE_STACKS),
        .threads = map_of(remap, TSM_TABLE_THREADS),
        .streams = map_of(remap, TSM_TABLE_STREAMS),
        .devices = map_of(remap, TSM_TABLE_DEVICES),
        .clock = clock,
    };
    t->extras[TSM_EXTRA_LAUNCH >> 3] = map_of(remap, TSM_TABLE_LAUNCHES);
    t->extras[TSM_EXTRA_METADATA >> 3] = map_of(remap, TSM_TABLE_METADATA);
    t->extras[TSM_EXTRA_COUNTER >> 3] = map_of(remap, TSM_TABLE_COUNTERS);
    if (clock != NULL) {
        t->line = *tsm_clock_map_last(clock);
    }
}

static inline uint32_t
map_id(const tsm_id_map *map, uint32_t id)
{
    return id < map->count ? map->ids[id] : 0;
}

static inline uint64_t
to_ns(const tsm_translator *t, uint64_t ticks)
{
    return ticks >= t->line.ticks ? tsm_clock_line_ns(&t->line, ticks) : tsm_clock_map_ns(t->clock, ticks);
}

static inline void
convert_time(const tsm_translator *t, tsm_event *event)
{
    if (t->clock != NULL) {
        uint64_t begin = event->timestamp;
        event->timestamp = to_ns(t, begin);
        if (event->flags & TSM_FLAG_TICKS_DURATION) {
            event->duration = to_ns(t, begin + event->duration) - event->timestamp;
        }
    }
    event->flags &= (uint16_t) ~(TSM_FLAG_TICKS | TSM_FLAG_TICKS_DURATION);
}

/* Most events have none of these. */
static inline void
convert_rare_ids(const tsm_translator *t, tsm_event *event)
{
    event->stack = map_id(&t->stacks, event->stack);
    event->stream = map_id(&t->streams, event->stream);
    event->device = map_id(&t->devices, event->device);
    const tsm_id_map *map = &t->extras[(event->flags & TSM_EXTRA_MASK) >> 3];
    event->extra = map->ids == NULL ? event->extra : map_id(map, event->extra);
}

size_t
tsm_translate(const tsm_translator *t, const tsm_event *slots, size_t count, tsm_event *out)
{
    for (size_t i = 0; i < count; i++) {
        /* The slots are in another core's cache; the distance is measured. */
        __builtin_prefetch(&slots[i + AHEAD]);
        tsm_event *event = &out[i];
        memcpy(event, &slots[i], sizeof *event);
        if (!TSM_SLOT_IS_EVENT(event->type)) {
            return i;
        }
        if (event->flags & TSM_FLAG_TICKS) {
            convert_time(t, event);
        }
        event->name = map_id(&t->strings, event->name);
        event->thread = map_id(&t->threads, event->thread);
        if ((event->stack | event->stream | event->device | event->extra) != 0) {
            convert_rare_ids(t, event);
        }
    }
    return count;
}
