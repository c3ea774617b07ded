/* The simulated job against a brute-force reading of what it emits. The ring is a fake that
 * keeps everything: what is tested here is the source alone. */
#include <stdbool.h>

#include "fake_ring.h"
#include "source/source.h"
#include "unit.h"

static tsm_simulation_answers
simulate(tsm_simulation config)
{
    tsm_simulation_answers answers;
    tsm_error error = { 0 };
    start_ring();
    tsm_status status = tsm_simulation_run(&config, &answers, &error);
    CHECK(status == TSM_OK || puts(error.text) < 0);
    CHECK_EQUAL(answers.events, ring.count);
    return answers;
}

static tsm_simulation
configuration(uint64_t seed, uint32_t devices, uint32_t streams, uint32_t steps, uint32_t layers)
{
    return (tsm_simulation){
        .seed = seed, .devices = devices, .streams = streams, .steps = steps, .layers = layers, .begin_ns = 1000000007
    };
}

/* Every shape that the code treats differently. */
#define SHAPE(s, d, c, n, l, b)                                                                   \
    {                                                                                             \
        .seed = (s), .devices = (d), .streams = (c), .steps = (n), .layers = (l), .begin_ns = (b) \
    }
static const tsm_simulation shapes[] = {
    SHAPE(1, 1, 2, 20, 24, 5000000000), SHAPE(7, 1, 1, 9, 1, 1),  SHAPE(3, 3, 4, 6, 5, 77777),
    SHAPE(9, 2, 2, 12, 2, 12345),       SHAPE(5, 1, 32, 3, 3, 9), SHAPE(11, 8, 1, 5, 4, 31),
};
#define SHAPE_COUNT (sizeof shapes / sizeof *shapes)

static uint64_t
end_of(const tsm_event *event)
{
    return event->timestamp + event->duration;
}

static bool
is_copy(const tsm_event *event)
{
    return event->type == TSM_EVENT_MEMCPY_H2D || event->type == TSM_EVENT_MEMCPY_D2H;
}

static bool
is_work(const tsm_event *event)
{
    return event->type == TSM_EVENT_KERNEL_LAUNCH || event->type == TSM_EVENT_COMMUNICATION || is_copy(event)
           || event->type == TSM_EVENT_MEMSET_DEVICE;
}

static bool
is_sync(const tsm_event *event)
{
    return event->type == TSM_EVENT_STREAM_SYNC || event->type == TSM_EVENT_DEVICE_SYNC;
}

static uint64_t
ordinal_of(const tsm_event *event)
{
    return tsm_tables_borrow_row(ring.tables, TSM_TABLE_DEVICES, event->device)[TSM_DEVICE_ORDINAL];
}

static bool
on_first_device(const tsm_event *event)
{
    return event->device != 0 && ordinal_of(event) == 0;
}

static bool
is_named(const tsm_event *event, const char *name)
{
    return event->name == tsm_tables_find_text(ring.tables, TSM_TABLE_STRINGS, name, strlen(name));
}

static const tsm_extension *
extension_of(const tsm_event *event)
{
    size_t at = ring.extension_of[event - ring.events];
    CHECK(at != NO_EXTENSION);
    return &ring.extensions[at];
}

static const tsm_event *
events_end(void)
{
    return ring.events + ring.count;
}

/* The row of the thread that drives device 0. */
static uint32_t
first_thread(void)
{
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (on_first_device(e)) {
            return e->thread;
        }
    }
    return 0;
}

/* ---- Answers by brute force --------------------------------------------------------------- */

enum { ANY, KERNEL, COLLECTIVE, LOAD, SYNC, STATES };

typedef struct {
    uint64_t time;
    int state, change;
} edge;

static int
by_time(const void *a, const void *b)
{
    uint64_t left = ((const edge *)a)->time, right = ((const edge *)b)->time;
    return (left > right) - (left < right);
}

static size_t
add_edges(edge *edges, size_t count, const tsm_event *event, int state)
{
    edges[count] = (edge){ event->timestamp, state, 1 };
    edges[count + 1] = (edge){ end_of(event), state, -1 };
    return count + 2;
}

static size_t
collect_edges(edge *edges)
{
    size_t count = 0;
    uint32_t thread = first_thread();
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (is_work(e) && on_first_device(e)) {
            count = add_edges(edges, count, e, ANY);
            if (e->type == TSM_EVENT_KERNEL_LAUNCH || e->type == TSM_EVENT_COMMUNICATION) {
                count = add_edges(edges, count, e, e->type == TSM_EVENT_KERNEL_LAUNCH ? KERNEL : COLLECTIVE);
            }
        } else if (is_sync(e) && on_first_device(e)) {
            count = add_edges(edges, count, e, SYNC);
        } else if (e->thread == thread && is_named(e, "DataLoader.__next__")) {
            count = add_edges(edges, count, e, LOAD);
        }
    }
    qsort(edges, count, sizeof *edges, by_time);
    return count;
}

/* Adds what passes between two neighbouring edges to what it counts as. */
static void
account(tsm_simulation_answers *found, const int *state, bool synchronizing, uint64_t ns)
{
    found->busy_ns += state[ANY] > 0 ? ns : 0;
    found->kernel_busy_ns += state[KERNEL] > 0 ? ns : 0;
    found->communication_ns += state[COLLECTIVE] > 0 ? ns : 0;
    found->overlap_ns += state[KERNEL] > 0 && state[COLLECTIVE] > 0 ? ns : 0;
    if (state[ANY] == 0) {
        *(state[LOAD] > 0 ? &found->idle_input_ns
          : synchronizing ? &found->idle_sync_ns
                          : &found->idle_launch_ns) += ns;
    }
}

static void
find_times(tsm_simulation_answers *found)
{
    edge *edges = malloc(ring.count * 4 * sizeof *edges);
    CHECK(edges != NULL);
    size_t count = collect_edges(edges);
    uint64_t first = UINT64_MAX, last = 0;
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (is_work(e) && on_first_device(e)) {
            first = e->timestamp < first ? e->timestamp : first;
            last = end_of(e) > last ? end_of(e) : last;
        }
    }
    found->active_ns = last - first;
    int state[STATES] = { 0 };
    bool synchronizing = false;
    for (size_t i = 0; i < count;) {
        uint64_t time = edges[i].time;
        int busy_before = state[ANY];
        for (; i < count && edges[i].time == time; i++) {
            state[edges[i].state] += edges[i].change;
        }
        if (busy_before > 0 && state[ANY] == 0) {
            synchronizing = state[SYNC] > 0;
        }
        if (i < count && time >= first && time < last) {
            account(found, state, synchronizing, edges[i].time - time);
        }
    }
    free(edges);
}

static bool
is_freed(const tsm_event *allocation)
{
    uint64_t address = extension_of(allocation)->values[0];
    for (const tsm_event *e = allocation + 1; e < events_end(); e++) {
        if (e->type == TSM_EVENT_MEM_FREE && e->device == allocation->device && extension_of(e)->values[0] == address) {
            CHECK_EQUAL(e->value, allocation->value);
            return true;
        }
    }
    return false;
}

static void
find_memory(tsm_simulation_answers *found)
{
    uint64_t in_use = 0;
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (!on_first_device(e) || (e->type != TSM_EVENT_MEM_ALLOC && e->type != TSM_EVENT_MEM_FREE)) {
            continue;
        }
        in_use += e->type == TSM_EVENT_MEM_ALLOC ? e->value : 0 - e->value;
        CHECK_EQUAL(extension_of(e)->values[1], in_use);
        found->peak_bytes = in_use > found->peak_bytes ? in_use : found->peak_bytes;
        if (e->type == TSM_EVENT_MEM_ALLOC && !is_freed(e)) {
            found->leaked_bytes += e->value;
            found->leaked_count++;
        }
    }
    CHECK_EQUAL(in_use, found->leaked_bytes);
}

static void
find_counts(tsm_simulation_answers *found)
{
    uint64_t begin = UINT64_MAX, end = 0;
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        found->events++;
        found->kernels += e->type == TSM_EVENT_KERNEL_LAUNCH;
        found->copies += is_copy(e);
        found->memsets += e->type == TSM_EVENT_MEMSET_DEVICE;
        found->collectives += e->type == TSM_EVENT_COMMUNICATION;
        found->launches += e->type == TSM_EVENT_RUNTIME_CALL;
        found->allocations += e->type == TSM_EVENT_MEM_ALLOC;
        found->frees += e->type == TSM_EVENT_MEM_FREE;
        found->copied_bytes += e->type == TSM_EVENT_MEMCPY_H2D && on_first_device(e) ? e->value : 0;
        begin = e->timestamp < begin ? e->timestamp : begin;
        end = end_of(e) > end ? end_of(e) : end;
    }
    found->wall_ns = end - begin;
}

static void
check_answers(const tsm_simulation_answers *told)
{
    tsm_simulation_answers found = { 0 };
    find_counts(&found);
    find_times(&found);
    find_memory(&found);
#define SAME(field) CHECK_EQUAL(told->field, found.field)
    SAME(events);
    SAME(kernels);
    SAME(copies);
    SAME(memsets);
    SAME(collectives);
    SAME(launches);
    SAME(allocations);
    SAME(frees);
    SAME(wall_ns);
    SAME(active_ns);
    SAME(busy_ns);
    SAME(kernel_busy_ns);
    SAME(communication_ns);
    SAME(overlap_ns);
    SAME(idle_input_ns);
    SAME(idle_sync_ns);
    SAME(idle_launch_ns);
    SAME(copied_bytes);
    SAME(peak_bytes);
    SAME(leaked_bytes);
    SAME(leaked_count);
#undef SAME
    CHECK_EQUAL(told->launches, told->kernels + told->copies + told->memsets + told->collectives);
    CHECK_EQUAL(told->active_ns, told->busy_ns + told->idle_input_ns + told->idle_sync_ns + told->idle_launch_ns);
}

static void
answers_are_what_brute_force_finds(void)
{
    for (size_t i = 0; i < SHAPE_COUNT; i++) {
        tsm_simulation_answers told = simulate(shapes[i]);
        check_answers(&told);
    }
}

static void
default_job_has_something_of_everything(void)
{
    tsm_simulation_answers told = simulate(tsm_simulation_default());
    CHECK(told.events >= 10000 && told.events <= 20000);
    CHECK(told.overlap_ns > 0 && told.overlap_ns < told.communication_ns);
    CHECK(told.idle_input_ns > 0 && told.idle_sync_ns > 0 && told.idle_launch_ns > 0);
    CHECK(told.leaked_count > 0 && told.leaked_bytes > 0 && told.peak_bytes > told.leaked_bytes);
    uint64_t names[512] = { 0 }, distinct = 0;
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (e->type == TSM_EVENT_KERNEL_LAUNCH) {
            CHECK(e->name < 512 && e->extra != 0 && (e->flags & TSM_EXTRA_MASK) == TSM_EXTRA_LAUNCH);
            distinct += names[e->name]++ == 0;
        }
    }
    CHECK(distinct >= 20 && distinct <= 40);
}

/* ---- Cause and effect --------------------------------------------------------------------- */

/* By correlation, when the host's call began that launched it. */
static uint64_t *
launch_times(uint64_t launches)
{
    uint64_t *times = calloc(launches + 1, sizeof *times);
    CHECK(times != NULL);
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (e->type == TSM_EVENT_RUNTIME_CALL) {
            CHECK(e->correlation >= 1 && e->correlation <= launches && times[e->correlation] == 0);
            times[e->correlation] = e->timestamp;
        }
    }
    return times;
}

static void
work_follows_its_launch_and_its_stream(void)
{
    for (size_t i = 0; i < SHAPE_COUNT; i++) {
        tsm_simulation_answers told = simulate(shapes[i]);
        uint64_t *launched = launch_times(told.launches), works = 0;
        uint64_t free_at[1024] = { 0 };
        for (const tsm_event *e = ring.events; e < events_end(); e++) {
            if (is_work(e)) {
                works++;
                CHECK(launched[e->correlation] != 0 && e->timestamp > launched[e->correlation]);
                CHECK(e->stream != 0 && e->stream < 1024 && e->timestamp >= free_at[e->stream]);
                free_at[e->stream] = end_of(e);
                launched[e->correlation] = 0; /* launches one thing only */
            }
        }
        CHECK_EQUAL(works, told.launches);
        free(launched);
    }
}

static void
check_wait(const tsm_event *wait, const uint64_t *launched)
{
    const tsm_event *record = wait;
    while (record->type != TSM_EVENT_EVENT_RECORD || record->value != wait->value) {
        CHECK(record-- > ring.events);
    }
    uint64_t done = 0;
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (is_work(e) && e->stream == record->stream && launched[e->correlation] < record->timestamp) {
            done = end_of(e) > done ? end_of(e) : done;
        }
    }
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (is_work(e) && e->stream == wait->stream && launched[e->correlation] > wait->timestamp) {
            CHECK(e->timestamp >= done);
        }
    }
}

static void
check_sync(const tsm_event *sync, const uint64_t *launched)
{
    bool found = false;
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        bool concerned = sync->type == TSM_EVENT_DEVICE_SYNC ? e->device == sync->device : e->stream == sync->stream;
        if (is_work(e) && concerned && launched[e->correlation] < sync->timestamp) {
            CHECK(end_of(e) < end_of(sync));
            found = true;
        }
    }
    CHECK(found);
}

static void
waits_and_syncs_are_honoured(void)
{
    for (size_t i = 1; i < SHAPE_COUNT; i++) {
        tsm_simulation_answers told = simulate(shapes[i]);
        uint64_t *launched = launch_times(told.launches), waits = 0, syncs = 0;
        for (const tsm_event *e = ring.events; e < events_end(); e++) {
            if (e->type == TSM_EVENT_EVENT_WAIT) {
                check_wait(e, launched);
                waits++;
            }
            if (is_sync(e)) {
                check_sync(e, launched);
                syncs++;
            }
        }
        CHECK(waits > 0 && syncs > 0);
        free(launched);
    }
}

static void
collectives_end_on_all_devices_at_once(void)
{
    tsm_simulation_answers told = simulate(configuration(4, 4, 2, 5, 8));
    const tsm_event *last = NULL;
    uint64_t members = 0, late = 0;
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (e->type != TSM_EVENT_COMMUNICATION) {
            continue;
        }
        CHECK_EQUAL(extension_of(e)->values[2], 4);
        if (last != NULL && extension_of(e)->values[0] == extension_of(last)->values[0]) {
            CHECK_EQUAL(end_of(e), end_of(last));
            late += e->timestamp != last->timestamp;
        } else {
            CHECK(members % 4 == 0);
        }
        members++;
        last = e;
    }
    CHECK_EQUAL(members, told.collectives);
    CHECK(late > 0); /* somebody waited for somebody */
}

static void
live_allocations_never_overlap(void)
{
    simulate(configuration(6, 1, 2, 12, 6));
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        if (e->type != TSM_EVENT_MEM_ALLOC) {
            continue;
        }
        uint64_t begin = extension_of(e)->values[0], end = begin + e->value;
        for (const tsm_event *later = e + 1; later < events_end(); later++) {
            if (later->type == TSM_EVENT_MEM_FREE && extension_of(later)->values[0] == begin) {
                break;
            }
            if (later->type == TSM_EVENT_MEM_ALLOC) {
                uint64_t other = extension_of(later)->values[0];
                CHECK(other >= end || other + later->value <= begin);
            }
        }
    }
}

/* ---- Determinism, tables, refusals -------------------------------------------------------- */

static uint64_t
hash_of_events(void)
{
    uint64_t hash = 14695981039346656037u;
    const unsigned char *bytes = (const unsigned char *)ring.events;
    for (size_t i = 0; i < ring.count * sizeof *ring.events; i++) {
        hash = (hash ^ bytes[i]) * 1099511628211u;
    }
    return hash;
}

static void
a_seed_always_gives_the_same_events(void)
{
    simulate(configuration(1, 2, 2, 4, 6));
    uint64_t first = hash_of_events();
    simulate(configuration(2, 2, 2, 4, 6));
    CHECK(hash_of_events() != first);
    simulate(configuration(1, 2, 2, 4, 6));
    CHECK_EQUAL(hash_of_events(), first);
}

/* Known by heart, so that another machine, compiler or careless change shows. */
static void
seed_one_gives_the_known_answers(void)
{
    tsm_simulation_answers told = simulate(tsm_simulation_default());
    CHECK_EQUAL(told.events, 15875);
    CHECK_EQUAL(told.busy_ns, 158662445);
    CHECK_EQUAL(told.overlap_ns, 36469440);
    CHECK_EQUAL(told.idle_input_ns, 26901802);
    CHECK_EQUAL(told.peak_bytes, 688783360);
}

static void
begin_moves_the_job_and_changes_nothing_else(void)
{
    tsm_simulation config = configuration(1, 1, 2, 3, 4);
    tsm_simulation_answers here = simulate(config);
    uint64_t first = ring.events[0].timestamp;
    config.begin_ns += 1000;
    tsm_simulation_answers there = simulate(config);
    CHECK_EQUAL(first, 1000000007);
    CHECK_EQUAL(ring.events[0].timestamp, first + 1000);
    CHECK(memcmp(&here, &there, sizeof here) == 0);
}

static void
check_text(uint64_t row, const char *expected)
{
    tsm_text text = tsm_tables_borrow_text(ring.tables, TSM_TABLE_STRINGS, (uint32_t)row);
    CHECK(text.size == strlen(expected) && memcmp(text.data, expected, text.size) == 0);
}

static void
ids_are_rows_that_say_who_took_part(void)
{
    simulate(configuration(1, 3, 2, 2, 4));
    CHECK_EQUAL(tsm_tables_count(ring.tables, TSM_TABLE_DEVICES), 1 + 3);
    CHECK_EQUAL(tsm_tables_count(ring.tables, TSM_TABLE_THREADS), 1 + 3);
    CHECK_EQUAL(tsm_tables_count(ring.tables, TSM_TABLE_STREAMS), 1 + 3 * (2 + 2 + 1));
    for (const tsm_event *e = ring.events; e < events_end(); e++) {
        CHECK(e->name != 0 && e->thread != 0);
        if (is_work(e)) {
            const uint64_t *stream = tsm_tables_borrow_row(ring.tables, TSM_TABLE_STREAMS, e->stream);
            CHECK_EQUAL(stream[TSM_STREAM_DEVICE], e->device);
            CHECK_EQUAL(stream[TSM_STREAM_PROCESS], ring.process);
            const uint64_t *device = tsm_tables_borrow_row(ring.tables, TSM_TABLE_DEVICES, e->device);
            check_text(device[TSM_DEVICE_NAME], "Simulated GPU");
            check_text(device[TSM_DEVICE_VENDOR], "TraceSmith");
        }
        CHECK(e->type != TSM_EVENT_RUNTIME_CALL || e->stack != 0);
    }
}

static void
what_cannot_be_simulated_is_refused(void)
{
    const tsm_simulation wrong[] = {
        SHAPE(1, 0, 1, 1, 1, 0), SHAPE(1, 65, 1, 1, 1, 0), SHAPE(1, 1, 0, 1, 1, 0),    SHAPE(1, 1, 33, 1, 1, 0),
        SHAPE(1, 1, 1, 0, 1, 0), SHAPE(1, 1, 1, 1, 0, 0),  SHAPE(1, 1, 1, 1, 4097, 0), SHAPE(1, 1, 1, 1, 1, UINT64_MAX),
    };
    start_ring();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tsm_error error = { 0 };
        CHECK_EQUAL(tsm_simulation_run(&wrong[i], NULL, &error), TSM_E_ARG);
        CHECK(error.text[0] != '\0');
    }
    CHECK_EQUAL(ring.count, 0);
}

static void
a_session_that_is_missing_or_ends_is_reported(void)
{
    tsm_simulation config = configuration(1, 1, 1, 5, 2);
    tsm_error error = { 0 };
    start_ring();
    ring.process_calls = 0;
    CHECK_EQUAL(tsm_simulation_run(&config, NULL, &error), TSM_E_STATE);
    CHECK_EQUAL(ring.count, 0);
    start_ring();
    ring.process_calls = 3;
    CHECK_EQUAL(tsm_simulation_run(&config, NULL, &error), TSM_E_STATE);
    CHECK(strstr(error.text, "before step 2") != NULL);
}

int
main(int argc, char **argv)
{
    static const unit_test tests[] = {
        UNIT(answers_are_what_brute_force_finds),           UNIT(default_job_has_something_of_everything),
        UNIT(work_follows_its_launch_and_its_stream),       UNIT(waits_and_syncs_are_honoured),
        UNIT(collectives_end_on_all_devices_at_once),       UNIT(live_allocations_never_overlap),
        UNIT(a_seed_always_gives_the_same_events),          UNIT(seed_one_gives_the_known_answers),
        UNIT(begin_moves_the_job_and_changes_nothing_else), UNIT(ids_are_rows_that_say_who_took_part),
        UNIT(what_cannot_be_simulated_is_refused),          UNIT(a_session_that_is_missing_or_ends_is_reported),
    };
    int result = unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
    stop_ring();
    return result;
}
