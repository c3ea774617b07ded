/* Old sources write two events for one piece of work, its begin and its end (docs/events.md).
 * This joins them while a trace passes by, holding only the begins that are open. */
#ifndef TSM_EXPORT_PAIRS_H
#define TSM_EXPORT_PAIRS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "trace/event.h"

typedef struct {
    struct tsm_pair {
        tsm_event begin;
        uint32_t next; /* in its bucket, or free: index + 1 */
    } * pairs;
    size_t capacity, count;
    uint32_t *buckets; /* index + 1 */
    size_t bucket_count;
    uint32_t free;
    size_t drained; /* buckets that pop has emptied */
} tsm_pairs;

/* Is event one end of a pair? Such a one has no duration. */
static inline bool
tsm_pairs_begins(const tsm_event *event)
{
    return event->duration == 0 && (event->type == TSM_EVENT_KERNEL_LAUNCH || event->type == TSM_EVENT_NCCL_START);
}

static inline bool
tsm_pairs_ends(const tsm_event *event)
{
    return event->duration == 0 && (event->type == TSM_EVENT_KERNEL_COMPLETE || event->type == TSM_EVENT_NCCL_COMPLETE);
}

TSM_NODISCARD tsm_status tsm_pairs_begin(tsm_pairs *pairs, const tsm_event *event);
/* Takes out the begin of the same stream and correlation, with its extent filled in. False: none. */
bool tsm_pairs_end(tsm_pairs *pairs, const tsm_event *event, tsm_event *joined);
/* Takes out any begin that found no end. Nothing is added afterwards. */
bool tsm_pairs_pop(tsm_pairs *pairs, tsm_event *begin);
void tsm_pairs_free(tsm_pairs *pairs);

#endif
