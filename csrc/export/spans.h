/* For exports that need all of a trace at once: its events in memory, and their timeline. Private to
 * export/. */
#ifndef TSM_EXPORT_SPANS_H
#define TSM_EXPORT_SPANS_H

#include "export/columns.h"
#include "timeline/timeline.h"

typedef struct {
    tsm_event *events;
    tsm_extension *extensions;
    uint32_t *rows;
    size_t count, extension_count;
    size_t event_capacity, extension_capacity, row_capacity;
    tsm_tables *tables; /* the cursor's */
    tsm_timeline *timeline;
} tsm_spans;

/* Pulls the cursor to its end. Counters stay out, and what the switches leave out; extension records
 * too unless they are wanted. 64 bytes per event and what a timeline takes. */
TSM_NODISCARD tsm_status tsm_spans_collect(tsm_cursor *cursor, bool extensions, const tsm_export_options *options,
                                           tsm_export_report *report, tsm_spans *out, tsm_error *err);
void tsm_spans_free(tsm_spans *spans);

#endif
