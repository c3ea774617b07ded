/* From a spool's slots to a file's events: ids become rows of the file's tables, ticks become
 * nanoseconds. The drain's hot loop. Private to capture/. */
#ifndef TSM_CAPTURE_TRANSLATE_H
#define TSM_CAPTURE_TRANSLATE_H

#include "base/clock.h"
#include "trace/trace.h"

typedef struct {
    const uint32_t *ids;
    uint32_t count;
} tsm_id_map;

/* Good until the remap or the clock map change. */
typedef struct {
    tsm_id_map strings, stacks, threads, streams, devices;
    tsm_id_map extras[8];       /* by the TSM_EXTRA bits; an empty one leaves ids as they are */
    const tsm_clock_map *clock; /* NULL: there are no ticks */
    tsm_clock_line line;        /* its newest piece */
} tsm_translator;

void tsm_translator_begin(tsm_translator *translator, const tsm_remap *remap, const tsm_clock_map *clock);

/* Copies and translates events until count are done or a slot is not an event; returns how many.
 * slots may be changed by others at any time: each is copied before it is looked at. */
size_t tsm_translate(const tsm_translator *translator, const tsm_event *slots, size_t count, tsm_event *out);

#endif
