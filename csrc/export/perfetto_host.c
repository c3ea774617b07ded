/* What lies on threads. Perfetto has no slice that knows its end: there are begins and ends, and an
 * end ends the innermost slice of its track. So every track keeps the ends of its open slices,
 * which are written when time gets there, and what would not nest goes to a track beside. A heap
 * tells which track's innermost slice ends first. */
#include <stdlib.h>

#include "base/array.h"
#include "export/perfetto.h"

/* TrackEvent. */
enum {
    EVENT_CATEGORY = 3,
    EVENT_TYPE = 9,
    EVENT_NAME = 10,
    EVENT_TRACK = 11,
    EVENT_COUNTER = 30,
    EVENT_DOUBLE = 44,
    EVENT_STACK = 56,
    EVENT_CORRELATION = 3000,
    EVENT_API = 3001
};
enum { TYPE_BEGIN = 1, TYPE_END = 2, TYPE_INSTANT = 3, TYPE_COUNTER = 4 };

static uint64_t
key_of(const pf_writer *w, uint32_t lane)
{
    return w->lanes[lane].ends[w->lanes[lane].count - 1];
}

static void
place(pf_writer *w, size_t at, uint32_t lane)
{
    w->heap[at] = lane;
    w->lanes[lane].heap_at = (uint32_t)at;
}

static void
sift_up(pf_writer *w, size_t at)
{
    uint32_t lane = w->heap[at];
    uint64_t key = key_of(w, lane);
    while (at > 0 && key < key_of(w, w->heap[(at - 1) / 2])) {
        place(w, at, w->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(w, at, lane);
}

static void
sift_down(pf_writer *w, size_t at)
{
    uint32_t lane = w->heap[at];
    uint64_t key = key_of(w, lane);
    for (size_t child; (child = 2 * at + 1) < w->heap_count; at = child) {
        if (child + 1 < w->heap_count && key_of(w, w->heap[child + 1]) < key_of(w, w->heap[child])) {
            child++;
        }
        if (key <= key_of(w, w->heap[child])) {
            break;
        }
        place(w, at, w->heap[child]);
    }
    place(w, at, lane);
}

static void
push_end(pf_writer *w, uint32_t index, uint64_t end)
{
    pf_lane *lane = &w->lanes[index];
    if (!tsm_array_reserve(&lane->ends, &lane->capacity, lane->count + 1)) {
        w->failed = true;
        return;
    }
    lane->ends[lane->count++] = end;
    if (lane->count == 1) {
        w->heap[w->heap_count] = index;
        sift_up(w, w->heap_count++);
    } else {
        sift_up(w, lane->heap_at);
    }
}

/* Of the lane on top of the heap. */
static void
pop_end(pf_writer *w)
{
    pf_lane *lane = &w->lanes[w->heap[0]];
    if (--lane->count == 0) {
        w->heap[0] = w->heap[--w->heap_count];
    }
    if (w->heap_count > 0) {
        sift_down(w, 0);
    }
}

/* Tracks vote with their events for which of them needs no naming. */
#define VOTES 64

static void
vote_for_track(pf_writer *w, uint64_t uuid)
{
    if (uuid == w->candidate_track) {
        w->votes++;
    } else if (w->votes > 0) {
        w->votes--;
    } else {
        w->candidate_track = uuid;
    }
    if (w->votes >= VOTES) {
        w->votes = 0;
        if (w->candidate_track != w->default_track) {
            pf_make_default(w, w->candidate_track);
        }
    }
}

static uint8_t *
put_track(const pf_writer *w, uint8_t *at, uint64_t uuid)
{
    return uuid == w->default_track ? at : tsm_pb_uint(at, EVENT_TRACK, uuid);
}

static void
write_end(pf_writer *w, uint64_t uuid, uint64_t timestamp)
{
    uint8_t *at = pf_packet_begin_at(w, timestamp);
    uint8_t *event = tsm_pb_begin(at, PF_PACKET_TRACK_EVENT);
    at = put_track(w, tsm_pb_uint(event, EVENT_TYPE, TYPE_END), uuid);
    pf_packet_end(w, tsm_pb_end(event, at));
}

void
pf_end_slices(pf_writer *w, uint64_t until)
{
    while (w->heap_count > 0 && key_of(w, w->heap[0]) <= until) {
        write_end(w, w->lanes[w->heap[0]].uuid, key_of(w, w->heap[0]));
        pop_end(w);
    }
}

/* The thread's first lane in which a slice until end nests. */
static uint32_t
find_lane(pf_writer *w, uint32_t thread, uint64_t end)
{
    uint32_t lane = pf_thread_lane(w, thread);
    while (lane != 0 && w->lanes[lane].count > 0 && key_of(w, lane) < end) {
        lane = pf_sibling_lane(w, lane);
    }
    return lane;
}

/* Calls name what they launched, by the number that it will have. */
static uint64_t
launched_by(pf_writer *w, const tsm_event *event)
{
    uint64_t process = pf_row(w, TSM_TABLE_THREADS, event->thread)[TSM_THREAD_PROCESS];
    return event->type == TSM_EVENT_RUNTIME_CALL && !w->options->no_flows
               ? pf_event_id(w, (uint32_t)process, event->correlation)
               : 0;
}

static uint8_t *
put_part(uint8_t *at, const pf_part *part)
{
    if (part->size > 0) {
        memcpy(at, part->bytes, part->size);
    }
    return at + part->size;
}

static void
write_slice(pf_writer *w, const pf_item *item, unsigned type, uint64_t uuid)
{
    const tsm_event *event = item->event;
    uint32_t name = event->name != 0 ? pf_intern(w, PF_NAMES, event->name) : pf_type_name(w, PF_NAMES, event->type);
    uint32_t category = pf_type_name(w, PF_CATEGORIES, event->type);
    uint32_t stack = event->stack == 0 || w->options->no_stacks ? 0 : pf_stack(w, event->stack);
    uint64_t launched = launched_by(w, event);
    unsigned api = event->type == TSM_EVENT_RUNTIME_CALL ? pf_call_api(w, event->name) : PF_API_NONE;
    w->api_seen = api != PF_API_NONE ? api : w->api_seen;
    pf_prepare_annotations(w, item, launched);
    w->flows.size = 0;
    if (item->extension_count > 0) {
        pf_prepare_flows(w, item);
    }
    vote_for_track(w, uuid);

    uint8_t *at = pf_packet_begin_at(w, pf_begin_ns(event));
    uint8_t *body = tsm_pb_begin(at, PF_PACKET_TRACK_EVENT);
    at = put_track(w, tsm_pb_uint(body, EVENT_TYPE, type), uuid);
    at = tsm_pb_uint(at, EVENT_CATEGORY, category);
    at = tsm_pb_uint(at, EVENT_NAME, name);
    at = put_part(put_part(at, &w->arguments), &w->flows);
    at = stack != 0 ? tsm_pb_uint(at, EVENT_STACK, stack) : at;
    if (launched != 0) {
        uint8_t *correlation = tsm_pb_begin(at, EVENT_CORRELATION);
        at = tsm_pb_end(correlation, tsm_pb_uint(correlation, 1, launched));
    }
    at = api != PF_API_NONE && !w->options->lean ? tsm_pb_uint(at, EVENT_API, api) : at;
    pf_packet_end(w, tsm_pb_end(body, at));
}

static void
write_counter(pf_writer *w, uint64_t uuid, uint64_t timestamp, bool whole, uint64_t value)
{
    uint8_t *at = pf_packet_begin_at(w, timestamp);
    uint8_t *event = tsm_pb_begin(at, PF_PACKET_TRACK_EVENT);
    at = tsm_pb_uint(event, EVENT_TYPE, TYPE_COUNTER);
    at = tsm_pb_uint(at, EVENT_TRACK, uuid);
    at = whole ? tsm_pb_uint(at, EVENT_COUNTER, value) : tsm_pb_fixed64(at, EVENT_DOUBLE, value);
    pf_packet_end(w, tsm_pb_end(event, at));
}

/* Where the source does not say how much is in use, it is what was seen to come and go. */
static uint64_t
count_in_use(pf_writer *w, const pf_item *item)
{
    const tsm_event *event = item->event;
    uint32_t device = pf_device_of(w, event);
    if (device >= w->in_use_count) {
        uint64_t *moved = realloc(w->in_use, ((size_t)device + 1) * sizeof *moved);
        if (moved == NULL) {
            w->failed = true;
            return 0;
        }
        memset(moved + w->in_use_count, 0, (device + 1 - w->in_use_count) * sizeof *moved);
        w->in_use = moved;
        w->in_use_count = (size_t)device + 1;
    }
    uint64_t *in_use = &w->in_use[device];
    if (!pf_in_use(w, item, in_use)) {
        *in_use = event->type == TSM_EVENT_MEM_ALLOC ? *in_use + event->value
                  : *in_use > event->value           ? *in_use - event->value
                                                     : 0;
    }
    return *in_use;
}

static bool
write_range_end(pf_writer *w, const tsm_event *event)
{
    uint32_t index = pf_range_lane(w, event->thread);
    pf_lane *lane = &w->lanes[index];
    if (lane->count == 0) {
        return false;
    }
    lane->count--;
    write_end(w, lane->uuid, pf_begin_ns(event));
    return true;
}

static bool
write_whole(pf_writer *w, const pf_item *item)
{
    uint64_t begin = pf_begin_ns(item->event), end = pf_end_ns(item->event);
    uint32_t lane = find_lane(w, item->event->thread, end);
    if (lane == 0) {
        return false;
    }
    write_slice(w, item, TYPE_BEGIN, w->lanes[lane].uuid);
    if (end == begin) {
        write_end(w, w->lanes[lane].uuid, end);
    } else {
        push_end(w, lane, end);
    }
    return true;
}

bool
pf_write_host(pf_writer *w, const pf_item *item)
{
    const tsm_event *event = item->event;
    uint64_t begin = pf_begin_ns(event);
    bool memory = event->type == TSM_EVENT_MEM_ALLOC || event->type == TSM_EVENT_MEM_FREE;
    uint32_t lane;
    switch (event->type) {
    case TSM_EVENT_COUNTER:
        if (!w->options->no_counters) {
            write_counter(w, pf_counter_track(w, event), begin, false, event->value);
        }
        return !w->options->no_counters;
    case TSM_EVENT_RANGE_START:
        lane = pf_range_lane(w, event->thread);
        write_slice(w, item, TYPE_BEGIN, w->lanes[lane].uuid);
        w->lanes[lane].count++;
        return true;
    case TSM_EVENT_RANGE_END:
        return write_range_end(w, event);
    default:
        break;
    }
    if (memory && !w->options->no_counters) {
        write_counter(w, pf_memory_track(w, event), begin, true, count_in_use(w, item));
    }
    if (w->options->no_host) {
        return memory && !w->options->no_counters;
    }
    if (event->duration == 0 && (memory || event->type == TSM_EVENT_MARKER)) {
        lane = pf_thread_lane(w, event->thread);
        write_slice(w, item, TYPE_INSTANT, w->lanes[lane].uuid);
        return true;
    }
    return write_whole(w, item);
}
