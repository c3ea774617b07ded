/* Old sources write kernels as two events without extent, a begin and an end of one correlation. A
 * begin and everything after it is held until its end has come, so that the rest of the analysis
 * sees whole kernels in the order of their begin. What is held is bounded: a begin that waits for
 * more than HELD_MOST events has no end. */
#include <string.h>

#include "analysis/pass.h"
#include "base/array.h"

#define HELD_MOST 65536u

bool
tsm_event_is_begin(const tsm_event *event)
{
    return (event->type == TSM_EVENT_KERNEL_LAUNCH || event->type == TSM_EVENT_NCCL_START) && event->duration == 0
           && event->correlation != 0;
}

bool
tsm_event_is_end(const tsm_event *event)
{
    return (event->type == TSM_EVENT_KERNEL_COMPLETE || event->type == TSM_EVENT_NCCL_COMPLETE) && event->duration == 0;
}

static void
keep(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t count)
{
    tsm_held *held = &pass->held;
    if (!tsm_array_reserve(&held->items, &held->capacity, held->count + 1)
        || !tsm_array_reserve(&held->extensions, &held->extension_capacity, held->extension_count + count)) {
        pass->failed = true;
        return;
    }
    if (count > 0) {
        memcpy(held->extensions + held->extension_count, extensions, count * sizeof *extensions);
    }
    held->items[held->count++] = (tsm_held_item){
        .event = *event,
        .from = held->extension_count,
        .extensions = count,
        .begin = tsm_event_is_begin(event),
        .open = tsm_event_is_begin(event),
    };
    held->extension_count += count;
}

/* The begin that an end belongs to: held->base counts what has been let go. */
static void
match(tsm_pass *pass, const tsm_event *end)
{
    tsm_held *held = &pass->held;
    uintptr_t number = (uintptr_t)tsm_map_take(&held->begins, end->correlation, end->stream);
    if (number == 0 || number - 1 < held->base) {
        pass->health[TSM_HEALTH_OPEN]++;
        return;
    }
    tsm_held_item *begin = &held->items[number - 1 - held->base];
    begin->event.duration = end->timestamp - begin->event.timestamp;
    begin->open = false;
}

/* Lets go of what waits for nothing any more; of everything when all is set. */
static void
let_go(tsm_pass *pass, bool all)
{
    tsm_held *held = &pass->held;
    for (; held->first < held->count; held->first++) {
        tsm_held_item item = held->items[held->first];
        if (item.open && !all && held->count - held->first <= HELD_MOST) {
            break;
        }
        pass->health[TSM_HEALTH_OPEN] += item.open;
        pass->late = item.begin;
        tsm_pass_take(pass, &item.event, held->extensions + item.from, item.extensions);
        pass->late = false;
    }
    if (held->first == held->count) {
        held->base += held->count;
        held->first = held->count = held->extension_count = 0;
    } else if (held->first >= HELD_MOST) {
        size_t left = held->count - held->first, from = held->items[held->first].from;
        memmove(held->items, held->items + held->first, left * sizeof *held->items);
        memmove(held->extensions, held->extensions + from, (held->extension_count - from) * sizeof *held->extensions);
        for (size_t i = 0; i < left; i++) {
            held->items[i].from -= from;
        }
        held->base += held->first;
        held->extension_count -= from;
        held->count = left;
        held->first = 0;
    }
}

void
tsm_pass_hold(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t count)
{
    tsm_held *held = &pass->held;
    if (tsm_event_is_end(event)) {
        match(pass, event);
    } else {
        keep(pass, event, extensions, count);
        if (tsm_event_is_begin(event)
            && !tsm_map_put(&held->begins, event->correlation, event->stream,
                            (void *)((uintptr_t)held->base + held->count))) {
            pass->failed = true;
        }
    }
    let_go(pass, false);
}

void
tsm_pass_hold_end(tsm_pass *pass)
{
    let_go(pass, true);
}
