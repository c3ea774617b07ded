/* The timeline's rows, on the simulated job as a file would give it: sorted in blocks of 4096.
 *
 *     timeline build | shuffled | dependencies | scale | dependencies-scale   ROUNDS [MILLIONS]
 *
 * The scale rows compare MILLIONS of events with one million, per event. Memory is kept between
 * rounds, so that none but the first pays for the kernel's page clearing. */
#include "bench.h"

#include <malloc.h>
#include <string.h>

#include "fake_ring.h"
#include "source/source.h"
#include "timeline/timeline.h"

#define MILLION      1000000u
#define BLOCK_EVENTS 4096

typedef struct {
    tsm_batch batch;
    tsm_tables *tables;
} set;

/* The job grows with its steps, so a few are tried first. */
static uint32_t
steps_for(size_t events, tsm_simulation config)
{
    tsm_simulation_answers answers;
    tsm_error err;
    config.steps = 4;
    start_ring();
    check(tsm_simulation_run(&config, &answers, &err), &err);
    return (uint32_t)(events * config.steps / answers.events * 11 / 10) + 1;
}

static set
make_set(size_t events)
{
    tsm_simulation config = { .seed = 7, .devices = 2, .streams = 2, .layers = 24, .begin_ns = 1000000000 };
    tsm_error err;
    config.steps = steps_for(events, config);
    start_ring();
    require(tsm_array_reserve(&ring.events, &ring.events_capacity, events / 8 * 9 + MILLION), "no memory");
    check(tsm_simulation_run(&config, NULL, &err), &err);
    require(ring.count >= events, "the job is too small");
    for (size_t i = 0; i < events; i += BLOCK_EVENTS) {
        size_t count = events - i < BLOCK_EVENTS ? events - i : BLOCK_EVENTS;
        require(tsm_events_sort(ring.events + i, count, NULL, NULL, 0) == TSM_OK, "no memory");
    }
    return (set){ { .events = ring.events, .count = events }, ring.tables };
}

static void
shuffle(set *s)
{
    tsm_event *events = (tsm_event *)(uintptr_t)s->batch.events;
    uint64_t random = 1;
    for (size_t i = s->batch.count - 1; i > 0; i--) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t other = (size_t)((random >> 32) * (i + 1) >> 32);
        tsm_event event = events[i];
        events[i] = events[other];
        events[other] = event;
    }
}

/* ---- What is timed ----------------------------------------------------------------------------- */

static double
time_build(const set *s, tsm_timeline **out)
{
    uint64_t begin = tsm_clock_ns();
    require(tsm_timeline_build(&s->batch, s->tables, out) == TSM_OK, "no timeline");
    return (double)(tsm_clock_ns() - begin) / (double)s->batch.count;
}

static double
time_timeline(const set *s)
{
    tsm_timeline *timeline;
    double ns = time_build(s, &timeline);
    tsm_timeline_destroy(timeline);
    return ns;
}

static double
time_dependencies(const set *s, const tsm_timeline *timeline)
{
    tsm_dependencies *made;
    uint64_t begin = tsm_clock_ns();
    require(tsm_dependencies_build(timeline, s->tables, &made) == TSM_OK, "no dependencies");
    double ns = (double)(tsm_clock_ns() - begin) / (double)s->batch.count;
    tsm_dependencies_destroy(made);
    return ns;
}

typedef struct {
    uint64_t begin, end;
    uint32_t track, event;
} key;

static int
compare_keys(const void *left, const void *right)
{
    const key *a = left, *b = right;
    if (a->track != b->track) {
        return a->track < b->track ? -1 : 1;
    }
    if (a->begin != b->begin) {
        return a->begin < b->begin ? -1 : 1;
    }
    return (a->end < b->end) - (a->end > b->end);
}

/* The C library's sort of the keys alone: track, begin, end, and which event it was. */
static double
time_qsort(const set *s, key *keys)
{
    for (size_t i = 0; i < s->batch.count; i++) {
        const tsm_event *event = &s->batch.events[i];
        uint32_t track = tsm_event_on_stream(event) ? event->stream : (1u << 31) + event->thread;
        keys[i] = (key){ event->timestamp, event->timestamp + event->duration, track, (uint32_t)i };
    }
    uint64_t begin = tsm_clock_ns();
    qsort(keys, s->batch.count, sizeof *keys, compare_keys);
    return (double)(tsm_clock_ns() - begin) / (double)s->batch.count;
}

/* ---- Rows --------------------------------------------------------------------------------------- */

static void
measure_build(const set *s, int rounds)
{
    key *keys = malloc(s->batch.count * sizeof *keys);
    require(keys != NULL, "no memory");
    for (int i = -2; i < rounds; i++) {
        double ours = time_timeline(s), floor = time_qsort(s, keys);
        if (i >= 0) {
            printf("pair %.3f %.3f\n", ours, floor);
        }
    }
    free(keys);
}

static void
measure_dependencies(const set *s, int rounds)
{
    for (int i = -2; i < rounds; i++) {
        tsm_timeline *timeline;
        double floor = time_build(s, &timeline), ours = time_dependencies(s, timeline);
        tsm_timeline_destroy(timeline);
        if (i >= 0) {
            printf("pair %.3f %.3f\n", ours, floor);
        }
    }
}

/* The small set is the beginning of the large one. */
static void
measure_scale(const set *large, int rounds, bool dependencies)
{
    set small = *large;
    small.batch.count = MILLION;
    tsm_timeline *of_small = NULL, *of_large = NULL;
    if (dependencies) {
        (void)time_build(&small, &of_small);
        (void)time_build(large, &of_large);
    }
    for (int i = -1; i < rounds; i++) {
        double ours = dependencies ? time_dependencies(large, of_large) : time_timeline(large);
        double floor = dependencies ? time_dependencies(&small, of_small) : time_timeline(&small);
        if (i >= 0) {
            printf("pair %.3f %.3f\n", ours, floor);
        }
    }
    tsm_timeline_destroy(of_small);
    tsm_timeline_destroy(of_large);
}

int
main(int argc, char **argv)
{
    require(argc >= 3, "usage: timeline build | shuffled | dependencies | [dependencies-]scale  ROUNDS [MILLIONS]");
    bool scale = strstr(argv[1], "scale") != NULL, dependencies = argv[1][0] == 'd';
    int rounds = atoi(argv[2]);
    pin(OUR_CORE);
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    mallopt(M_TOP_PAD, 64 << 20);
    set s = make_set(scale && argc > 3 ? (size_t)atoi(argv[3]) * MILLION : MILLION);
    if (strcmp(argv[1], "shuffled") == 0) {
        shuffle(&s);
    }
    if (scale) {
        measure_scale(&s, rounds, dependencies);
    } else if (dependencies) {
        measure_dependencies(&s, rounds);
    } else {
        measure_build(&s, rounds);
    }
    stop_ring();
    return 0;
}
