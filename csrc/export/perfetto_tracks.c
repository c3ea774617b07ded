/* Processes, threads and counters, each described when it is first met. */
#include <stdio.h>

#include "base/array.h"
#include "export/perfetto.h"

/* Above every pid and tid that Linux hands out: stands for those that are not known, or that
 * another process or thread of the trace (on another host, or earlier) has already. The name
 * tells which it is. */
#define STAND_IN 10000000u

/* TrackDescriptor. */
enum {
    TRACK_UUID = 1,
    TRACK_NAME = 2,
    TRACK_PROCESS = 3,
    TRACK_THREAD = 4,
    TRACK_PARENT = 5,
    TRACK_COUNTER = 8,
    TRACK_MERGING = 15
};
enum { MERGE_NONE = 2 };

/* The row's own number, or a stand-in if that is 0, too large or taken within scope. */
static uint64_t
number_of(pf_writer *w, pf_map *taken, uint64_t scope, uint64_t number, uint32_t row)
{
    uint32_t owner = number == 0 || number > INT32_MAX ? 0 : pf_map_get(taken, scope, number);
    if (number == 0 || number > INT32_MAX || (owner != 0 && owner != row + 1)) {
        return STAND_IN + row;
    }
    return pf_map_set(w, taken, scope, number, row + 1) ? number : STAND_IN + row;
}

uint64_t
pf_process_pid(pf_writer *w, uint32_t process)
{
    return number_of(w, &w->pids, 0, pf_row(w, TSM_TABLE_PROCESSES, process)[TSM_PROCESS_PID], process);
}

static uint8_t *
track_begin(pf_writer *w, uint64_t uuid, uint8_t **fields)
{
    *fields = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_TRACK);
    return tsm_pb_uint(*fields, TRACK_UUID, uuid);
}

static void
track_end(pf_writer *w, uint8_t *fields, uint8_t *at)
{
    pf_packet_end(w, tsm_pb_end(fields, at));
}

/* The process's name; for one whose pid is a stand-in, with what is known of it. */
static uint8_t *
put_process_name(pf_writer *w, uint8_t *at, uint32_t process, uint64_t pid)
{
    char text[300];
    const uint64_t *row = pf_row(w, TSM_TABLE_PROCESSES, process);
    tsm_text name = pf_string(w, row[TSM_PROCESS_NAME]);
    if (pid != row[TSM_PROCESS_PID] && row[TSM_PROCESS_PID] != 0) {
        tsm_text host = pf_string(w, pf_row(w, TSM_TABLE_HOSTS, row[TSM_PROCESS_HOST])[TSM_HOST_NAME]);
        int length = snprintf(text, sizeof text, "%.*s (pid %llu%s%.*s)", name.size < 128 ? (int)name.size : 128,
                              name.data, (unsigned long long)row[TSM_PROCESS_PID], host.size > 0 ? " on " : "",
                              host.size < 64 ? (int)host.size : 64, host.data);
        name = (tsm_text){ text, (size_t)length };
    }
    return name.size > 0 ? pf_text(at, 6, name) : at;
}

static uint64_t
process_track(pf_writer *w, uint32_t process)
{
    uint64_t uuid = pf_rows_get(&w->processes, process);
    if (uuid != 0) {
        return uuid;
    }
    uuid = ++w->last_uuid;
    (void)pf_rows_set(w, &w->processes, process, (uint32_t)uuid);
    uint64_t pid = pf_process_pid(w, process);
    uint8_t *fields, *at = track_begin(w, uuid, &fields);
    uint8_t *inner = tsm_pb_begin(at, TRACK_PROCESS);
    at = put_process_name(w, tsm_pb_uint(inner, 1, pid), process, pid);
    track_end(w, fields, tsm_pb_end(inner, at));
    return uuid;
}

static uint32_t
new_lane(pf_writer *w, uint64_t uuid)
{
    if (!tsm_array_reserve(&w->lanes, &w->lane_capacity, w->lane_count + 1)
        || !tsm_array_reserve(&w->heap, &w->heap_capacity, w->lane_count + 1)) {
        w->failed = true;
        return 0;
    }
    w->lanes[w->lane_count] = (pf_lane){ .uuid = uuid };
    return (uint32_t)w->lane_count++;
}

static uint64_t
thread_track(pf_writer *w, uint32_t thread)
{
    const uint64_t *row = pf_row(w, TSM_TABLE_THREADS, thread);
    uint32_t process = (uint32_t)row[TSM_THREAD_PROCESS];
    uint64_t tid_known = row[TSM_THREAD_TID];
    tsm_text name = pf_string(w, row[TSM_THREAD_NAME]);
    uint64_t uuid, pid = pf_process_pid(w, process);
    (void)process_track(w, process);
    uuid = ++w->last_uuid;
    uint64_t tid = number_of(w, &w->tids, pid, tid_known, thread);
    uint8_t *fields, *at = track_begin(w, uuid, &fields);
    uint8_t *inner = tsm_pb_begin(at, TRACK_THREAD);
    at = tsm_pb_uint(inner, 1, pid);
    at = tsm_pb_uint(at, 2, tid);
    at = name.size > 0 ? pf_text(at, 5, name) : at;
    track_end(w, fields, tsm_pb_end(inner, at));
    return uuid;
}

static uint64_t
named_track(pf_writer *w, uint64_t parent, const char *name, size_t size)
{
    uint64_t uuid = ++w->last_uuid;
    uint8_t *fields, *at = track_begin(w, uuid, &fields);
    if (parent != 0) {
        at = tsm_pb_uint(at, TRACK_PARENT, parent);
    }
    at = pf_text(at, TRACK_NAME, (tsm_text){ name, size });
    track_end(w, fields, tsm_pb_uint(at, TRACK_MERGING, MERGE_NONE));
    return uuid;
}

static uint64_t
child_track(pf_writer *w, uint64_t parent, const char *name)
{
    return named_track(w, parent, name, strlen(name));
}

void
pf_make_default(pf_writer *w, uint64_t uuid)
{
    enum { DEFAULT_TRACK = 11 };
    w->default_track = uuid;
    uint8_t *defaults = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_DEFAULTS);
    uint8_t *at = tsm_pb_uint(defaults, PF_PACKET_CLOCK, PF_CLOCK_OF_SEQUENCE);
    uint8_t *event = tsm_pb_begin(at, PF_PACKET_TRACK_EVENT);
    at = tsm_pb_end(event, tsm_pb_uint(event, DEFAULT_TRACK, uuid));
    pf_packet_end(w, tsm_pb_end(defaults, at));
}

uint32_t
pf_thread_lane_new(pf_writer *w, uint32_t thread)
{
    thread = pf_known(w, TSM_TABLE_THREADS, thread);
    uint32_t lane = pf_rows_get(&w->threads, thread);
    if (lane == 0) {
        lane = new_lane(w, thread == 0 ? child_track(w, 0, "no thread") : thread_track(w, thread));
        (void)pf_rows_set(w, &w->threads, thread, lane);
    }
    return lane;
}

/* Ranges whose ends are not known when they begin nest among themselves only. */
uint32_t
pf_range_lane(pf_writer *w, uint32_t thread)
{
    thread = pf_known(w, TSM_TABLE_THREADS, thread);
    uint32_t lane = pf_rows_get(&w->ranges, thread);
    if (lane == 0) {
        uint32_t around = pf_thread_lane(w, thread);
        lane = new_lane(w, child_track(w, w->lanes[around].uuid, "ranges"));
        (void)pf_rows_set(w, &w->ranges, thread, lane);
    }
    return lane;
}

uint32_t
pf_sibling_lane(pf_writer *w, uint32_t lane)
{
    if (w->lanes[lane].sibling == 0) {
        uint32_t sibling = new_lane(w, child_track(w, w->lanes[lane].uuid, "overlapping"));
        w->lanes[lane].sibling = sibling;
    }
    return w->lanes[lane].sibling;
}

static uint64_t
device_track(pf_writer *w, uint32_t device)
{
    uint64_t uuid = pf_rows_get(&w->devices, device);
    if (uuid == 0) {
        char text[200];
        const uint64_t *row = pf_row(w, TSM_TABLE_DEVICES, device);
        tsm_text name = pf_string(w, row[TSM_DEVICE_NAME]);
        int length = snprintf(text, sizeof text, "GPU %llu %.*s", (unsigned long long)row[TSM_DEVICE_ORDINAL],
                              name.size < 128 ? (int)name.size : 128, name.data);
        uuid = named_track(w, 0, text, (size_t)length);
        (void)pf_rows_set(w, &w->devices, device, (uint32_t)uuid);
    }
    return uuid;
}

/* What a counter without a device belongs to. */
static uint64_t
owner_track(pf_writer *w, const tsm_event *event, uint32_t device)
{
    if (device != 0) {
        return device_track(w, device);
    }
    uint64_t process = pf_row(w, TSM_TABLE_THREADS, event->thread)[TSM_THREAD_PROCESS];
    return event->thread == 0 ? 0 : process_track(w, (uint32_t)process);
}

static uint64_t
describe_counter(pf_writer *w, uint64_t parent, tsm_text name, tsm_text unit)
{
    static const char *const units[] = { [1] = "ns", [2] = "count", [3] = "bytes" };
    uint64_t uuid = ++w->last_uuid;
    uint8_t *fields, *at = track_begin(w, uuid, &fields);
    if (parent != 0) {
        at = tsm_pb_uint(at, TRACK_PARENT, parent);
    }
    at = pf_text(at, TRACK_NAME, name);
    at = tsm_pb_uint(at, TRACK_MERGING, MERGE_NONE);
    uint8_t *inner = tsm_pb_begin(at, TRACK_COUNTER);
    unsigned known = 1;
    while (known <= 3 && (unit.size != strlen(units[known]) || memcmp(unit.data, units[known], unit.size) != 0)) {
        known++;
    }
    at = known <= 3 ? tsm_pb_uint(inner, 3, known) : unit.size > 0 ? pf_text(inner, 6, unit) : inner;
    track_end(w, fields, tsm_pb_end(inner, at));
    return uuid;
}

static uint64_t
known_counter(pf_writer *w, uint64_t counter, uint64_t parent, tsm_text name, tsm_text unit)
{
    uint64_t uuid = pf_map_get(&w->counters, counter, parent);
    if (uuid == 0) {
        uuid = describe_counter(w, parent, name, unit);
        (void)pf_map_set(w, &w->counters, counter, parent, (uint32_t)uuid);
    }
    return uuid;
}

uint64_t
pf_counter_track(pf_writer *w, const tsm_event *event)
{
    bool described = (event->flags & TSM_EXTRA_MASK) == TSM_EXTRA_COUNTER;
    const uint64_t *row = pf_row(w, TSM_TABLE_COUNTERS, described ? event->extra : 0);
    uint64_t row_name = row[TSM_COUNTER_NAME], unit = row[TSM_COUNTER_UNIT];
    uint64_t parent = owner_track(w, event, pf_device_of(w, event));
    uint64_t key = (uint64_t)event->name << 32 | (described ? event->extra : 0);
    return known_counter(w, key, parent, pf_string(w, row_name != 0 ? row_name : event->name), pf_string(w, unit));
}

uint64_t
pf_memory_track(pf_writer *w, const tsm_event *event)
{
    uint64_t parent = owner_track(w, event, pf_device_of(w, event));
    return known_counter(w, UINT64_MAX, parent, (tsm_text){ "memory in use", 13 }, (tsm_text){ "bytes", 5 });
}
