/* Time. A trace's time is CLOCK_MONOTONIC in nanoseconds; a producer may stamp events with
 * raw TSC ticks instead, which costs a third of it, and the drain converts them.
 *
 * Conversion is piecewise linear and continuous: each calibration point starts a segment at
 * the time the previous segment predicts for it, and bends the rate so that the error is
 * gone one second later. So converted time never runs backwards and what was written is never
 * revised; only a jump (suspend, a migrated machine) breaks the line, and is counted. */
#ifndef TSM_BASE_CLOCK_H
#define TSM_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/status.h"

/* One instant as every clock shows it. */
typedef struct {
    uint64_t ticks;
    uint64_t monotonic_ns;
    uint64_t raw_ns;
    uint64_t realtime_ns;
} tsm_clock_point;

static inline uint64_t
tsm_clock_read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t
tsm_clock_ns(void)
{
    return tsm_clock_read_ns(CLOCK_MONOTONIC);
}

/* True where the kernel itself keeps time by the TSC, which makes it safe to use:
 * constant, synchronised over the cores, readable in user space. */
bool tsm_clock_ticks_usable(void);

static inline uint64_t
tsm_clock_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return tsm_clock_ns();
#endif
}

/* Reads all clocks as nearly at once as can be: the tightest of several attempts. */
void tsm_clock_take_point(tsm_clock_point *point);

/* A straight piece of the map: from ticks on, until the next piece. */
typedef struct {
    uint64_t ticks;
    uint64_t ns;
    uint64_t ns_per_tick; /* 32.32 fixed point */
} tsm_clock_line;

/* ticks must not be before the line. */
static inline uint64_t
tsm_clock_line_ns(const tsm_clock_line *line, uint64_t ticks)
{
    return line->ns + (uint64_t)(((unsigned __int128)(ticks - line->ticks) * line->ns_per_tick) >> 32);
}

typedef struct tsm_clock_map tsm_clock_map;

/* first and second: any two points, second later; they give the first rate. */
TSM_NODISCARD tsm_status tsm_clock_map_create(const tsm_clock_point *first, const tsm_clock_point *second,
                                              tsm_clock_map **out);
void tsm_clock_map_destroy(tsm_clock_map *map);

/* Adds a point taken after all earlier ones. A point from before is ignored. */
TSM_NODISCARD tsm_status tsm_clock_map_add(tsm_clock_map *map, const tsm_clock_point *point);

/* MONOTONIC nanoseconds for ticks, before, between or after the points. */
uint64_t tsm_clock_map_ns(const tsm_clock_map *map, uint64_t ticks);

/* The piece that the newest events are on; valid until the next point is added. */
const tsm_clock_line *tsm_clock_map_last(const tsm_clock_map *map);

/* How often the clocks jumped against each other by more than a millisecond. */
size_t tsm_clock_map_jumps(const tsm_clock_map *map);

#endif
