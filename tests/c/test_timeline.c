/* Spans, launches and utilisation against answers worked out the slow way: time steps of a
 * nanosecond, and every pair of events. Traces are random and small, so that everything meets
 * everything. */
#include "timeline_check.h"

/* ---- Order and tracks --------------------------------------------------------------------------- */

static void
add_random_events(size_t count, uint64_t time)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t begin = draw(time), end = begin + draw(time / 4 + 1);
        if (draw(2) == 0) {
            on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A + (uint32_t)draw(4), begin, end, 1 + draw(count));
        } else {
            on_thread(draw(3) == 0 ? TSM_EVENT_CPU_OP : TSM_EVENT_RUNTIME_CALL, THREAD_A + (uint32_t)draw(3), begin,
                      end, 1 + draw(count));
        }
    }
}

static void
every_event_is_one_span_of_its_track_in_order(void)
{
    for (uint64_t seed = 1; seed < 200; seed++) {
        size_t count, track_count;
        start_trace(seed);
        add_random_events(draw(MANY), 1 + draw(TIME));
        build_trace();
        const tsm_span *all = spans(&count);
        const tsm_track *tracks = tsm_timeline_tracks(trace.timeline, &track_count);
        bool seen[MANY] = { false };
        CHECK_EQUAL(count, trace.count);
        for (size_t i = 0; i < count; i++) {
            const tsm_event *event = &trace.events[all[i].event];
            const tsm_track *track = &tracks[all[i].track];
            CHECK(!seen[all[i].event]);
            seen[all[i].event] = true;
            CHECK_EQUAL(all[i].begin_ns, event->timestamp);
            CHECK_EQUAL(all[i].end_ns, event->timestamp + event->duration);
            CHECK_EQUAL(track->row, track->is_stream ? event->stream : event->thread);
            CHECK(i >= track->first && i < track->first + track->count);
            if (i > track->first) {
                const tsm_span *before = &all[i - 1];
                CHECK(before->begin_ns < all[i].begin_ns
                      || (before->begin_ns == all[i].begin_ns
                          && (before->end_ns > all[i].end_ns
                              || (before->end_ns == all[i].end_ns && before->event < all[i].event))));
            }
        }
    }
}

/* Long and short runs, which the sort treats differently, and many of one begin. */
static void
long_tracks_are_sorted_whatever_their_order(void)
{
    enum { LONG = 20000 };
    tsm_event *events = calloc(LONG, sizeof *events);
    CHECK(events != NULL);
    const uint64_t ranges[] = { 1, 3, 1000, 1u << 20, 1ull << 50 };
    const uint64_t runs[] = { 1, 2, 5, 400, LONG };
    for (size_t k = 0; k < 25; k++) {
        start_trace(k + 1);
        uint64_t time = 0;
        for (size_t i = 0; i < LONG; i++) {
            time = draw(LONG) < runs[k % 5] ? draw(ranges[k / 5]) : time + draw(ranges[k / 5] / LONG + 2);
            events[i] = (tsm_event){
                .timestamp = time, .duration = draw(ranges[k / 5]), .thread = THREAD_A, .type = TSM_EVENT_CPU_OP
            };
        }
        size_t count;
        tsm_batch batch = { .events = events, .count = LONG };
        CHECK_EQUAL(tsm_timeline_build(&batch, trace.tables, &trace.timeline), TSM_OK);
        const tsm_span *all = spans(&count);
        unsigned char *seen = calloc(LONG, 1);
        CHECK(seen != NULL);
        CHECK_EQUAL(count, LONG);
        for (size_t i = 0; i < count; i++) {
            CHECK(!seen[all[i].event]++);
            CHECK(i == 0 || all[i - 1].begin_ns < all[i].begin_ns
                  || (all[i - 1].begin_ns == all[i].begin_ns
                      && (all[i - 1].end_ns > all[i].end_ns
                          || (all[i - 1].end_ns == all[i].end_ns && all[i - 1].event < all[i].event))));
        }
        free(seen);
    }
    free(events);
}

static void
tracks_come_by_process_device_and_number(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_CPU_OP, THREAD_C, 0, 1, 0);
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 0, 1, 0);
    on_thread(TSM_EVENT_CPU_OP, THREAD_B, 0, 1, 0);
    for (uint32_t stream = STREAM_D; stream >= STREAM_A; stream--) {
        on_stream(TSM_EVENT_KERNEL_LAUNCH, stream, 5, 8, 0);
    }
    on_stream(TSM_EVENT_KERNEL_LAUNCH, 77, 0, 1, 0); /* a row that is not there is none */
    build_trace();
    size_t count;
    const tsm_track *tracks = tsm_timeline_tracks(trace.timeline, &count);
    const uint32_t rows[] = { STREAM_B, STREAM_A, STREAM_C, STREAM_D, 0, THREAD_B, THREAD_A, THREAD_C };
    CHECK_EQUAL(count, 8);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQUAL(tracks[i].row, rows[i]);
        CHECK_EQUAL(tracks[i].is_stream, i < 4);
    }
    CHECK_EQUAL(tsm_timeline_stream_track(trace.timeline, STREAM_C), 2);
    CHECK_EQUAL(tsm_timeline_thread_track(trace.timeline, THREAD_A), 6);
    CHECK_EQUAL(tsm_timeline_stream_track(trace.timeline, 77), TSM_SPAN_NONE);
}

static void
no_events_make_an_empty_timeline(void)
{
    start_trace(1);
    build_trace();
    size_t count;
    (void)spans(&count);
    CHECK_EQUAL(count, 0);
    (void)tsm_timeline_tracks(trace.timeline, &count);
    CHECK_EQUAL(count, 0);
    tsm_concurrency found;
    CHECK_EQUAL(tsm_timeline_sweep(trace.timeline, TSM_SPAN_NONE, 0, 0, &found), TSM_OK);
    CHECK_EQUAL(found.busy_ns + found.max + found.level_ns[0], 0);
    tsm_concurrency_free(&found);
    tsm_dependencies *dependencies;
    CHECK_EQUAL(tsm_dependencies_build(trace.timeline, trace.tables, &dependencies), TSM_OK);
    CHECK_EQUAL(dependencies->edge_count, 0);
    tsm_dependencies_destroy(dependencies);
}

static void
an_end_beyond_time_is_taken_as_no_extent_and_counted(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 100, 0, 0)->duration = UINT64_MAX - 50;
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 100, 0, 0)->duration = UINT64_MAX - 100;
    build_trace();
    CHECK_EQUAL(tsm_timeline_get_facts(trace.timeline)->overflowing, 1);
    CHECK_EQUAL(span_of_event(0)->end_ns, 100);
    CHECK_EQUAL(span_of_event(1)->end_ns, UINT64_MAX);
}

/* ---- Nesting, lanes, joining ---------------------------------------------------------------------- */

static void
parents_hold_their_children_and_depth_counts_them(void)
{
    for (uint64_t seed = 1; seed < 200; seed++) {
        size_t count;
        uint64_t straddling = 0;
        start_trace(seed);
        add_random_events(draw(60), 1 + draw(TIME));
        build_trace();
        const tsm_span *all = spans(&count);
        for (size_t i = 0; i < count; i++) {
            size_t track_count;
            const tsm_track *track = &tsm_timeline_tracks(trace.timeline, &track_count)[all[i].track];
            if (track->is_stream) {
                CHECK_EQUAL(all[i].parent, TSM_SPAN_NONE);
                continue;
            }
            const tsm_span *parent = all[i].parent == TSM_SPAN_NONE ? NULL : &all[all[i].parent];
            CHECK_EQUAL(all[i].depth, parent == NULL ? 0 : parent->depth + 1u);
            CHECK(parent == NULL
                  || (parent->begin_ns <= all[i].begin_ns && parent->end_ns >= all[i].end_ns
                      && parent->track == all[i].track));
            straddling += i == track->first ? track->straddling : 0;
        }
        /* Where everything nests, the parent is the nearest one before that holds the span. */
        for (size_t i = 0; straddling == 0 && i < count; i++) {
            uint32_t nearest = TSM_SPAN_NONE;
            for (size_t k = 0; k < i; k++) {
                bool empty = all[k].begin_ns == all[k].end_ns;
                if (all[k].track == all[i].track && all[k].end_ns >= all[i].end_ns && !empty
                    && all[k].end_ns > all[i].begin_ns) {
                    nearest = (uint32_t)k;
                }
            }
            size_t track_count;
            if (!tsm_timeline_tracks(trace.timeline, &track_count)[all[i].track].is_stream) {
                CHECK_EQUAL(all[i].parent, nearest);
            }
        }
    }
}

static void
work_on_a_lane_never_overlaps_and_lanes_are_as_few_as_can_be(void)
{
    for (uint64_t seed = 1; seed < 100; seed++) {
        size_t count, track_count;
        start_trace(seed);
        for (size_t i = 0; i < 60; i++) {
            uint64_t begin = draw(TIME);
            on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, begin, begin + 1 + draw(40), 0);
        }
        build_trace();
        const tsm_span *all = spans(&count);
        size_t most = 0;
        for (uint64_t now = 0; now < 2 * TIME; now++) {
            bool taken[64] = { false };
            size_t running = 0;
            for (size_t i = 0; i < count; i++) {
                if (all[i].begin_ns <= now && now < all[i].end_ns) {
                    CHECK(all[i].depth < tsm_timeline_tracks(trace.timeline, &track_count)->depth);
                    CHECK(!taken[all[i].depth]);
                    taken[all[i].depth] = true;
                    running++;
                }
            }
            most = running > most ? running : most;
        }
        CHECK_EQUAL(tsm_timeline_tracks(trace.timeline, &track_count)[0].depth, most);
    }
}

static void
pairs_become_one_span(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RANGE_START, THREAD_A, 10, 10, 0); /* 0 */
    on_thread(TSM_EVENT_RANGE_START, THREAD_A, 20, 20, 0); /* 1 */
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 20, 30, 0);      /* 2 */
    on_thread(TSM_EVENT_RANGE_END, THREAD_A, 40, 40, 0);   /* 3 closes 1 */
    on_thread(TSM_EVENT_RANGE_END, THREAD_A, 50, 50, 0);   /* 4 closes 0 */
    on_thread(TSM_EVENT_RANGE_END, THREAD_A, 60, 60, 0);   /* 5 closes nothing */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 5, 5, 9); /* 6 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 6, 6, 8); /* 7 */
    on_stream(TSM_EVENT_KERNEL_COMPLETE, STREAM_A, 12, 12, 8);
    on_stream(TSM_EVENT_KERNEL_COMPLETE, STREAM_A, 15, 15, 9);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 1, 1, 8); /* 10: no end on its stream */
    on_stream(TSM_EVENT_NCCL_START, STREAM_B, 20, 20, 0);  /* 11 */
    on_stream(TSM_EVENT_NCCL_START, STREAM_B, 30, 30, 0);  /* 12 */
    on_stream(TSM_EVENT_NCCL_COMPLETE, STREAM_B, 25, 25, 0);
    on_stream(TSM_EVENT_NCCL_COMPLETE, STREAM_B, 45, 45, 0);
    on_stream(TSM_EVENT_KERNEL_COMPLETE, STREAM_C, 3, 7, 4); /* 15: whole */
    build_trace();
    size_t count;
    (void)spans(&count);
    CHECK_EQUAL(count, 10);
    CHECK_EQUAL(tsm_timeline_get_facts(trace.timeline)->joined, 6);
    CHECK_EQUAL(tsm_timeline_get_facts(trace.timeline)->unpaired, 1);
    const uint64_t ends[][2] = { { 0, 50 }, { 1, 40 }, { 2, 30 },  { 5, 60 },  { 6, 15 },
                                 { 7, 12 }, { 10, 1 }, { 11, 25 }, { 12, 45 }, { 15, 7 } };
    for (size_t i = 0; i < count; i++) {
        CHECK_EQUAL(span_of_event((uint32_t)ends[i][0])->end_ns, ends[i][1]);
    }
    CHECK_EQUAL(span_of_event(0)->type, TSM_EVENT_RANGE);
    CHECK_EQUAL(span_of_event(11)->type, TSM_EVENT_COMMUNICATION);
    CHECK_EQUAL(span_of_event(2)->parent, number_of(span_of_event(1)));
    CHECK_EQUAL(span_of_event(1)->parent, number_of(span_of_event(0)));
}

static void
a_range_that_grew_goes_before_what_it_holds(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_CPU_OP, THREAD_A, 10, 30, 0);
    on_thread(TSM_EVENT_RANGE_START, THREAD_A, 10, 10, 0);
    on_thread(TSM_EVENT_RANGE_END, THREAD_A, 90, 90, 0);
    build_trace();
    CHECK_EQUAL(number_of(span_of_event(1)), 0);
    CHECK_EQUAL(span_of_event(0)->parent, 0);
}

/* ---- Launches ------------------------------------------------------------------------------------- */

static bool
is_call(const tsm_event *event)
{
    return event->type == TSM_EVENT_RUNTIME_CALL;
}

static uint64_t
process_of(const tsm_event *event)
{
    return event->type == TSM_EVENT_KERNEL_LAUNCH
               ? tsm_tables_borrow_row(trace.tables, TSM_TABLE_STREAMS, event->stream)[TSM_STREAM_PROCESS]
               : tsm_tables_borrow_row(trace.tables, TSM_TABLE_THREADS, event->thread)[TSM_THREAD_PROCESS];
}

/* The first call in time that has the operation's correlation. */
static uint32_t
find_call(const tsm_event *operation)
{
    uint32_t found = TSM_SPAN_NONE;
    size_t count;
    const tsm_span *all = spans(&count);
    for (uint32_t i = 0; i < count; i++) {
        const tsm_event *event = &trace.events[all[i].event];
        if (is_call(event) && event->correlation == operation->correlation && process_of(event) == process_of(operation)
            && (found == TSM_SPAN_NONE || all[i].begin_ns < all[found].begin_ns
                || (all[i].begin_ns == all[found].begin_ns && all[i].end_ns > all[found].end_ns))) {
            found = i;
        }
    }
    return found;
}

static void
check_launches(void)
{
    size_t count, call_count, operation_count, matched = 0;
    const tsm_span *all = spans(&count);
    const tsm_call *calls = tsm_timeline_calls(trace.timeline, &call_count);
    const uint32_t *operations = tsm_timeline_operations(trace.timeline, &operation_count);
    uint64_t orphans = 0;
    for (uint32_t i = 0; i < count; i++) {
        const tsm_event *event = &trace.events[all[i].event];
        if (event->type == TSM_EVENT_KERNEL_LAUNCH) {
            uint32_t expected = find_call(event);
            CHECK_EQUAL(tsm_timeline_launch_of(trace.timeline, i), expected);
            matched += expected != TSM_SPAN_NONE;
            orphans += expected == TSM_SPAN_NONE;
        }
    }
    CHECK_EQUAL(operation_count, matched);
    CHECK_EQUAL(tsm_timeline_get_facts(trace.timeline)->orphans, orphans);
    CHECK_EQUAL(calls[call_count].first, matched);
    for (size_t row = 0; row < call_count; row++) {
        for (uint32_t k = calls[row].first; k < calls[row + 1].first; k++) {
            CHECK_EQUAL(tsm_timeline_launch_of(trace.timeline, operations[k]), calls[row].span);
            CHECK(k == calls[row].first || operations[k - 1] < operations[k]);
        }
    }
}

static void
operations_find_the_call_that_launched_them(void)
{
    for (uint64_t seed = 1; seed < 200; seed++) {
        start_trace(seed);
        add_random_events(draw(150), TIME);
        build_trace();
        check_launches();
    }
}

/* Numbers so far apart that no array could hold them. */
static void
scattered_correlations_are_found_too(void)
{
    for (uint64_t seed = 1; seed < 100; seed++) {
        start_trace(seed);
        add_random_events(draw(150), TIME);
        for (size_t i = 0; i < trace.count; i++) {
            trace.events[i].correlation *= 0x123456789abcdef1u;
        }
        build_trace();
        check_launches();
    }
}

static void
a_graph_launch_has_all_its_nodes(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 5, 42);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 10, 20, 42);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 12, 18, 42);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 20, 30, 42);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_D, 20, 30, 42); /* another process's */
    build_trace();
    size_t count;
    const tsm_call *calls = tsm_timeline_calls(trace.timeline, &count);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(calls[1].first - calls[0].first, 3);
    CHECK_EQUAL(tsm_timeline_get_facts(trace.timeline)->orphans, 1);
}

/* ---- Utilisation ---------------------------------------------------------------------------------- */

static void
utilisation_and_concurrency_are_those_of_a_stopwatch(void)
{
    for (uint64_t seed = 1; seed < 200; seed++) {
        start_trace(seed);
        add_random_events(draw(40), TIME);
        build_trace();
        uint32_t device = draw(3) == 0 ? TSM_SPAN_NONE : 1 + (uint32_t)draw(2);
        uint64_t begin = draw(TIME), end = begin + 1 + draw(TIME), busy = 0, work = 0, levels[MANY] = { 0 };
        size_t most = 0;
        for (uint64_t now = begin; now < end; now++) {
            size_t running = 0;
            for (size_t i = 0; i < trace.count; i++) {
                const tsm_event *event = &trace.events[i];
                running += event->type == TSM_EVENT_KERNEL_LAUNCH && event->timestamp <= now
                           && now < event->timestamp + event->duration
                           && (device == TSM_SPAN_NONE || event->device == device);
            }
            busy += running > 0;
            work += running;
            levels[running]++;
            most = running > most ? running : most;
        }
        tsm_concurrency found;
        CHECK_EQUAL(tsm_timeline_sweep(trace.timeline, device, begin, end, &found), TSM_OK);
        CHECK_EQUAL(found.busy_ns, busy);
        CHECK_EQUAL(found.work_ns, work);
        CHECK_EQUAL(found.max, most);
        for (size_t i = 0; i <= most; i++) {
            CHECK_EQUAL(found.level_ns[i], levels[i]);
        }
        tsm_concurrency_free(&found);
    }
}

static void
columns_add_up_to_what_ran(void)
{
    for (uint64_t seed = 1; seed < 200; seed++) {
        size_t count, track_count;
        start_trace(seed);
        add_random_events(1 + draw(40), TIME);
        build_trace();
        const tsm_span *all = spans(&count);
        (void)tsm_timeline_tracks(trace.timeline, &track_count);
        uint32_t track = (uint32_t)draw(track_count);
        uint64_t begin = draw(TIME), end = begin + 1 + draw(TIME), out[17 * TSM_CLASS_COUNT];
        uint64_t expected[17 * TSM_CLASS_COUNT] = { 0 };
        size_t columns = 1 + draw(17);
        bool stream = tsm_timeline_tracks(trace.timeline, &track_count)[track].is_stream;
        for (uint64_t now = begin; now < end; now++) {
            const tsm_span *innermost = NULL;
            for (size_t i = 0; i < count; i++) {
                if (all[i].track == track && all[i].begin_ns <= now && now < all[i].end_ns
                    && (innermost == NULL || all[i].depth >= innermost->depth)) {
                    innermost = &all[i];
                }
            }
            if (innermost != NULL) {
                size_t column = columns - 1;
                while (column * (end - begin) / columns > now - begin) {
                    column--;
                }
                expected[column * TSM_CLASS_COUNT + tsm_span_class_of(innermost->type)]++;
            }
        }
        tsm_timeline_columns(trace.timeline, track, begin, end, columns, out);
        if (stream || tsm_timeline_tracks(trace.timeline, &track_count)[track].straddling == 0) {
            for (size_t i = 0; i < columns * TSM_CLASS_COUNT; i++) {
                CHECK_EQUAL(out[i], expected[i]);
            }
        }
    }
}

int
main(int argc, char **argv)
{
    const unit_test tests[] = {
        UNIT(every_event_is_one_span_of_its_track_in_order),
        UNIT(long_tracks_are_sorted_whatever_their_order),
        UNIT(tracks_come_by_process_device_and_number),
        UNIT(no_events_make_an_empty_timeline),
        UNIT(an_end_beyond_time_is_taken_as_no_extent_and_counted),
        UNIT(parents_hold_their_children_and_depth_counts_them),
        UNIT(work_on_a_lane_never_overlaps_and_lanes_are_as_few_as_can_be),
        UNIT(pairs_become_one_span),
        UNIT(a_range_that_grew_goes_before_what_it_holds),
        UNIT(operations_find_the_call_that_launched_them),
        UNIT(scattered_correlations_are_found_too),
        UNIT(a_graph_launch_has_all_its_nodes),
        UNIT(utilisation_and_concurrency_are_those_of_a_stopwatch),
        UNIT(columns_add_up_to_what_ran),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
