/* The critical path: of small traces whose path is known, and at random. */
#include "analysis/analysis.h"
#include "timeline_check.h"

typedef struct {
    uint64_t begin, end;
    tsm_path_part part;
    int event; /* NOTHING: no span */
} step;

#define NOTHING (-1)

static tsm_path *
find_path(uint64_t begin, uint64_t end)
{
    tsm_dependencies *d;
    tsm_path *path;
    tsm_timeline_destroy(trace.timeline);
    build_trace();
    CHECK_EQUAL(tsm_dependencies_build(trace.timeline, trace.tables, &d), TSM_OK);
    CHECK_EQUAL(tsm_critical_path(trace.timeline, d, trace.tables, begin, end, &path), TSM_OK);
    tsm_dependencies_destroy(d);
    return path;
}

static void
check_path(const tsm_path *path, const step *steps, size_t count)
{
    for (size_t i = 0; i < path->count && i < count; i++) {
        const tsm_path_segment *s = &path->segments[i];
        CHECK_EQUAL(s->begin_ns, steps[i].begin);
        CHECK_EQUAL(s->end_ns, steps[i].end);
        CHECK_EQUAL(s->part, steps[i].part);
        CHECK_EQUAL(s->span,
                    steps[i].event == NOTHING ? TSM_SPAN_NONE : number_of(span_of_event((uint32_t)steps[i].event)));
    }
    CHECK_EQUAL(path->count, count);
}

#define CHECK_PATH(begin, end, ...)                             \
    do {                                                        \
        const step steps[] = { __VA_ARGS__ };                   \
        tsm_path *found = find_path(begin, end);                \
        check_path(found, steps, sizeof steps / sizeof *steps); \
        tsm_path_destroy(found);                                \
    } while (0)

static uint32_t
name(const char *text)
{
    uint32_t row;
    CHECK_EQUAL(tsm_tables_intern_text(trace.tables, TSM_TABLE_STRINGS, text, strlen(text), &row), TSM_OK);
    return row;
}

static void
a_chain_on_a_stream_is_its_operations(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 2, 1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 5, 20, 1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 3, 4, 2);
    on_stream(TSM_EVENT_MEMCPY_H2D, STREAM_A, 23, 30, 2);
    CHECK_PATH(0, 0, { 5, 20, TSM_PATH_KERNEL, 1 }, { 20, 23, TSM_PATH_WAITING, 3 }, { 23, 30, TSM_PATH_COPY, 3 });
    CHECK_PATH(0, 25, { 0, 5, TSM_PATH_LAUNCH, 0 }, { 5, 20, TSM_PATH_KERNEL, 1 }, { 20, 23, TSM_PATH_WAITING, 3 },
               { 23, 25, TSM_PATH_COPY, 3 });
    CHECK_PATH(10, 21, { 10, 20, TSM_PATH_KERNEL, 1 }, { 20, 21, TSM_PATH_WAITING, 3 });
}

static void
a_wait_for_an_event_leads_to_the_other_stream(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 2, 1);
    on_stream(TSM_EVENT_COMMUNICATION, STREAM_A, 5, 40, 1); /* 1 */
    about_event(TSM_EVENT_EVENT_RECORD, THREAD_A, 3, 4, STREAM_A, 99);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 5, 6, 2);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 8, 30, 2); /* 4: hidden behind 1 */
    about_event(TSM_EVENT_EVENT_WAIT, THREAD_A, 7, 8, STREAM_B, 99);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 9, 10, 3);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 40, 50, 3); /* 7 */
    CHECK_PATH(0, 0, { 5, 40, TSM_PATH_COMMUNICATION, 1 }, { 40, 50, TSM_PATH_KERNEL, 7 });
}

static void
a_late_launch_is_the_work_of_its_thread(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 2, 1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 5, 10, 1);
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 12, 40, 0); /* 2 */
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 15, 20, 0); /* 3, with an empty one in the middle */
    on_thread(TSM_EVENT_MARKER, THREAD_A, 17, 17, 0);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 30, 32, 2); /* 5 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 35, 50, 2);
    CHECK_PATH(0, 0, { 5, 12, TSM_PATH_HOST, NOTHING }, { 12, 15, TSM_PATH_HOST, 2 }, { 15, 20, TSM_PATH_HOST, 3 },
               { 20, 30, TSM_PATH_HOST, 2 }, { 30, 35, TSM_PATH_LAUNCH, 5 }, { 35, 50, TSM_PATH_KERNEL, 6 });
}

static void
a_wait_of_the_host_leads_to_what_it_waited_for(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 2, 1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 5, 20, 1);                   /* 1 */
    on_thread(TSM_EVENT_STREAM_SYNC, THREAD_A, 6, 22, 0)->stream = STREAM_A;  /* 2 */
    on_thread(TSM_EVENT_STREAM_SYNC, THREAD_A, 23, 25, 0)->stream = STREAM_A; /* 3 had nothing to wait for */
    on_thread(TSM_EVENT_STREAM_SYNC, THREAD_A, 26, 28, 0)->stream = STREAM_C; /* 4: nobody knows why */
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 30, 31, 2);                   /* 5 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 33, 40, 2);                  /* 6 */
    CHECK_PATH(0, 0, { 5, 20, TSM_PATH_KERNEL, 1 }, { 20, 22, TSM_PATH_SYNC, 2 }, { 22, 23, TSM_PATH_HOST, NOTHING },
               { 23, 25, TSM_PATH_SYNC, 3 }, { 25, 26, TSM_PATH_HOST, NOTHING }, { 26, 28, TSM_PATH_WAITING, 4 },
               { 28, 30, TSM_PATH_HOST, NOTHING }, { 30, 33, TSM_PATH_LAUNCH, 5 }, { 33, 40, TSM_PATH_KERNEL, 6 });
}

static void
a_wait_that_found_nothing_to_wait_for_leads_nowhere(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 0, 19, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 5, 20, 0);
    on_thread(TSM_EVENT_STREAM_SYNC, THREAD_A, 20, 22, 0)->stream = STREAM_A; /* it had ended just then */
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 25, 26, 1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 27, 30, 1);
    CHECK_PATH(0, 30, { 0, 19, TSM_PATH_HOST, 0 }, { 19, 20, TSM_PATH_HOST, NOTHING }, { 20, 22, TSM_PATH_SYNC, 2 },
               { 22, 25, TSM_PATH_HOST, NOTHING }, { 25, 27, TSM_PATH_LAUNCH, 3 }, { 27, 30, TSM_PATH_KERNEL, 4 });
}

static void
of_two_that_were_over_at_once_the_streams_own_order_goes_first(void)
{
    start_trace(1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 0, 10, 0);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 10, 11, 1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 12, 20, 1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 20, 30, 0); /* nothing explains it, but 2 ended then */
    CHECK_PATH(0, 0, { 0, 10, TSM_PATH_KERNEL, 0 }, { 10, 12, TSM_PATH_WAITING, 2 }, { 12, 20, TSM_PATH_KERNEL, 2 },
               { 20, 30, TSM_PATH_KERNEL, 3 });
}

static void
the_nodes_of_a_graph_follow_each_other_to_one_launch(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 0, 10, 0);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 10, 12, 1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 15, 20, 1); /* 2 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 20, 40, 1); /* 3 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 20, 25, 1); /* 4, beside 3 */
    on_stream(TSM_EVENT_MEMCPY_D2H, STREAM_A, 41, 45, 1);    /* 5 */
    CHECK_PATH(4, 45, { 4, 10, TSM_PATH_HOST, 0 }, { 10, 15, TSM_PATH_LAUNCH, 1 }, { 15, 20, TSM_PATH_KERNEL, 2 },
               { 20, 40, TSM_PATH_KERNEL, 3 }, { 40, 41, TSM_PATH_WAITING, 5 }, { 41, 45, TSM_PATH_COPY, 5 });
}

static void
what_nothing_explains_follows_the_work_that_ended_last_and_is_inferred(void)
{
    start_trace(1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 0, 10, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 2, 14, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_C, 20, 30, 7);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 25, 26, 7); /* after its own kernel began: clocks differ */
    trace.events[2].name = name("ncclDevKernel_AllReduce");
    CHECK_PATH(0, 0, { 0, 2, TSM_PATH_WAITING, 1 }, { 2, 14, TSM_PATH_KERNEL, 1 }, { 14, 20, TSM_PATH_WAITING, 2 },
               { 20, 30, TSM_PATH_COMMUNICATION, 2 });
    tsm_path *path = find_path(0, 0);
    CHECK_EQUAL(path->inferred_ns, 20);
    CHECK_EQUAL(path->segments[3].provenance, 0);
    CHECK_EQUAL(path->part_ns[TSM_PATH_COMMUNICATION], 10);
    tsm_path_destroy(path);
}

static void
a_window_without_work_has_no_path_and_one_behind_the_work_waits(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 0, 10, 0);
    tsm_path *path = find_path(0, 0);
    CHECK_EQUAL(path->begin_ns, path->end_ns);
    CHECK_EQUAL(path->count, 0);
    tsm_path_destroy(path);
    CHECK_PATH(3, 9, { 3, 9, TSM_PATH_WAITING, NOTHING });
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 2, 5, 0);
    CHECK_PATH(3, 9, { 3, 5, TSM_PATH_KERNEL, 1 }, { 5, 9, TSM_PATH_WAITING, NOTHING });
    tsm_dependencies *d;
    CHECK_EQUAL(tsm_dependencies_build(trace.timeline, trace.tables, &d), TSM_OK);
    CHECK_EQUAL(tsm_critical_path(trace.timeline, d, trace.tables, 9, 3, &path), TSM_E_ARG);
    tsm_dependencies_destroy(d);
}

/* A partner that begins late, which the timeline's edges tell; made by hand, without extensions. */
static void
a_late_partner_leads_on_from_the_middle_of_a_collective(void)
{
    start_trace(1);
    on_stream(TSM_EVENT_COMMUNICATION, STREAM_A, 0, 30, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_C, 0, 18, 0);
    on_stream(TSM_EVENT_COMMUNICATION, STREAM_C, 20, 29, 0);
    build_trace();
    uint32_t a = number_of(span_of_event(0)), k = number_of(span_of_event(1)), c = number_of(span_of_event(2));
    CHECK(a == 0 && k == 1 && c == 2);
    const tsm_dependency edges[] = {
        { c, a, TSM_SPAN_NONE, TSM_DEPENDENCY_COLLECTIVE, TSM_PROVENANCE_CAPTURED },
        { k, c, TSM_SPAN_NONE, TSM_DEPENDENCY_SEQUENTIAL, TSM_PROVENANCE_INFERRED },
    };
    const uint32_t first[] = { 0, 1, 1, 2 };
    const tsm_dependencies d = { .span_count = 3, .edge_count = 2, .edges = edges, .first = first };
    tsm_path *path;
    CHECK_EQUAL(tsm_critical_path(trace.timeline, &d, trace.tables, 0, 0, &path), TSM_OK);
    const step steps[] = { { 0, 18, TSM_PATH_KERNEL, 1 },
                           { 18, 20, TSM_PATH_WAITING, 2 },
                           { 20, 30, TSM_PATH_COMMUNICATION, 0 } };
    check_path(path, steps, 3);
    CHECK_EQUAL(path->inferred_ns, 20);
    tsm_path_destroy(path);
}

static void
add_random(void)
{
    static const tsm_event_type hosts[] = { TSM_EVENT_RUNTIME_CALL, TSM_EVENT_STREAM_SYNC, TSM_EVENT_DEVICE_SYNC,
                                            TSM_EVENT_EVENT_SYNC,   TSM_EVENT_CPU_OP,      TSM_EVENT_MARKER };
    uint64_t begin = draw(TIME), end = begin + draw(draw(4) == 0 ? 1 : 40);
    if (draw(2) == 0) {
        on_stream(draw(3) == 0 ? TSM_EVENT_COMMUNICATION : TSM_EVENT_KERNEL_LAUNCH, (uint32_t)(1 + draw(4)), begin, end,
                  draw(20));
        return;
    }
    tsm_event *event = on_thread(hosts[draw(6)], (uint32_t)(1 + draw(3)), begin, end, draw(20));
    if (tsm_span_class_of(event->type) == TSM_CLASS_SYNC) {
        event->stream = (uint32_t)draw(5);
        event->device = (uint32_t)draw(3);
    }
}

static void
every_path_covers_its_window_in_order(void)
{
    for (uint64_t seed = 1; seed <= 600; seed++) {
        start_trace(seed);
        for (uint64_t count = 1 + draw(60); count > 0; count--) {
            add_random();
        }
        uint64_t begin = seed % 3 == 0 ? 1 + draw(TIME) : 0, end = begin + (seed % 3 == 0 ? 1 + draw(TIME) : 0);
        tsm_path *path = find_path(begin, end);
        uint64_t at = path->begin_ns, parts = 0;
        for (size_t i = 0; i < path->count; i++) {
            CHECK_EQUAL(path->segments[i].begin_ns, at);
            CHECK(path->segments[i].end_ns > at);
            at = path->segments[i].end_ns;
        }
        CHECK_EQUAL(at, path->end_ns);
        for (size_t i = 0; i < TSM_PATH_PART_COUNT; i++) {
            parts += path->part_ns[i];
        }
        CHECK_EQUAL(parts, path->end_ns - path->begin_ns);
        tsm_path_destroy(path);
    }
}

int
main(int argc, char **argv)
{
    const unit_test tests[] = {
        UNIT(a_chain_on_a_stream_is_its_operations),
        UNIT(a_wait_for_an_event_leads_to_the_other_stream),
        UNIT(a_late_launch_is_the_work_of_its_thread),
        UNIT(a_wait_of_the_host_leads_to_what_it_waited_for),
        UNIT(a_wait_that_found_nothing_to_wait_for_leads_nowhere),
        UNIT(of_two_that_were_over_at_once_the_streams_own_order_goes_first),
        UNIT(the_nodes_of_a_graph_follow_each_other_to_one_launch),
        UNIT(what_nothing_explains_follows_the_work_that_ended_last_and_is_inferred),
        UNIT(a_window_without_work_has_no_path_and_one_behind_the_work_waits),
        UNIT(a_late_partner_leads_on_from_the_middle_of_a_collective),
        UNIT(every_path_covers_its_window_in_order),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
