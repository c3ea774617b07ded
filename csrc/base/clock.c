#include "base/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"

#define JUMP_NS   1000000
#define SECOND_NS 1000000000u

struct tsm_clock_map {
    tsm_clock_line *segments;
    size_t count, capacity;
    tsm_clock_point first, last;
    size_t jumps;
};

bool
tsm_clock_ticks_usable(void)
{
#if defined(__x86_64__)
    static const char path[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    char name[8] = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t got = read(fd, name, sizeof name - 1);
    close(fd);
    return got >= 3 && memcmp(name, "tsc", 3) == 0;
#else
    return false;
#endif
}

void
tsm_clock_take_point(tsm_clock_point *point)
{
    uint64_t best = UINT64_MAX;
    for (int attempt = 0; attempt < 8; attempt++) {
        uint64_t before = tsm_clock_ticks();
        uint64_t monotonic = tsm_clock_ns();
        uint64_t after = tsm_clock_ticks();
        if (after - before < best) {
            best = after - before;
            point->ticks = before + (after - before) / 2;
            point->monotonic_ns = monotonic;
            point->raw_ns = tsm_clock_read_ns(CLOCK_MONOTONIC_RAW);
            point->realtime_ns = tsm_clock_read_ns(CLOCK_REALTIME);
        }
    }
}

static uint64_t
rate_between(uint64_t ticks, uint64_t ns)
{
    return ticks == 0 ? (uint64_t)1 << 32 : (uint64_t)(((unsigned __int128)ns << 32) / ticks);
}

static uint64_t
segment_ns(const tsm_clock_line *at, uint64_t ticks)
{
    if (ticks >= at->ticks) {
        return tsm_clock_line_ns(at, ticks);
    }
    uint64_t back = (uint64_t)(((unsigned __int128)(at->ticks - ticks) * at->ns_per_tick) >> 32);
    return back > at->ns ? 0 : at->ns - back;
}

tsm_status
tsm_clock_map_create(const tsm_clock_point *first, const tsm_clock_point *second, tsm_clock_map **out)
{
    if (second->ticks <= first->ticks || second->monotonic_ns <= first->monotonic_ns) {
        return TSM_E_ARG;
    }
    tsm_clock_map *map = calloc(1, sizeof *map);
    if (map == NULL) {
        return TSM_E_NOMEM;
    }
    if (!tsm_array_reserve(&map->segments, &map->capacity, 1)) {
        free(map);
        return TSM_E_NOMEM;
    }
    map->segments[map->count++] = (tsm_clock_line){
        .ticks = first->ticks,
        .ns = first->monotonic_ns,
        .ns_per_tick = rate_between(second->ticks - first->ticks, second->monotonic_ns - first->monotonic_ns),
    };
    map->first = *first;
    map->last = *second;
    *out = map;
    return TSM_OK;
}

void
tsm_clock_map_destroy(tsm_clock_map *map)
{
    if (map != NULL) {
        free(map->segments);
        free(map);
    }
}

tsm_status
tsm_clock_map_add(tsm_clock_map *map, const tsm_clock_point *point)
{
    if (point->ticks <= map->last.ticks || point->monotonic_ns <= map->last.monotonic_ns) {
        return TSM_OK;
    }
    if (!tsm_array_reserve(&map->segments, &map->capacity, map->count + 1)) {
        return TSM_E_NOMEM;
    }
    uint64_t predicted = segment_ns(&map->segments[map->count - 1], point->ticks);
    int64_t error = (int64_t)(point->monotonic_ns - predicted);
    /* The longest baseline gives the best rate; a jump makes the old one worthless. */
    tsm_clock_line next = {
        .ticks = point->ticks,
        .ns = predicted,
        .ns_per_tick = rate_between(point->ticks - map->first.ticks, point->monotonic_ns - map->first.monotonic_ns),
    };
    if (error > JUMP_NS || error < -JUMP_NS) {
        map->jumps++;
        next.ns_per_tick = map->segments[map->count - 1].ns_per_tick;
        next.ns = error > 0 ? point->monotonic_ns : predicted;
        map->first = *point;
    } else {
        int64_t bend = (int64_t)((__int128)error * (int64_t)next.ns_per_tick / SECOND_NS);
        next.ns_per_tick = (uint64_t)((int64_t)next.ns_per_tick + bend);
    }
    map->segments[map->count++] = next;
    map->last = *point;
    return TSM_OK;
}

uint64_t
tsm_clock_map_ns(const tsm_clock_map *map, uint64_t ticks)
{
    size_t at = map->count - 1;
    if (ticks < map->segments[at].ticks) {
        size_t low = 0;
        while (low < at) { /* the last segment that starts at or before ticks */
            size_t middle = (low + at + 1) / 2;
            if (map->segments[middle].ticks <= ticks) {
                low = middle;
            } else {
                at = middle - 1;
            }
        }
    }
    return segment_ns(&map->segments[at], ticks);
}

const tsm_clock_line *
tsm_clock_map_last(const tsm_clock_map *map)
{
    return &map->segments[map->count - 1];
}

size_t
tsm_clock_map_jumps(const tsm_clock_map *map)
{
    return map->jumps;
}
