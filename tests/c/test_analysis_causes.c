/* Traces of a few events, made by hand, of which everything is known. */
#include "analysis/summary.h"
#include "analysis_check.h"

#define EVENTS_MOST 200000

static struct {
    tsm_tables *tables;
    tsm_event *events;
    size_t count;
    uint32_t process, thread, other_thread, device, stream, second_stream, far_stream;
    uint64_t correlation;
} made;

static uint32_t
text(const char *string)
{
    uint32_t row;
    CHECK_EQUAL(tsm_tables_intern_text(made.tables, TSM_TABLE_STRINGS, string, strlen(string), &row), TSM_OK);
    return row;
}

static uint32_t
add_row(unsigned table, const uint64_t *values)
{
    uint32_t row;
    CHECK_EQUAL(tsm_tables_intern(made.tables, table, values, &row), TSM_OK);
    return row;
}

static uint32_t
add_stream(uint32_t device, uint64_t number)
{
    return add_row(TSM_TABLE_STREAMS, (uint64_t[]){ made.process, device, 1, number, 0, 0 });
}

static void
begin_trace(void)
{
    tsm_tables_destroy(made.tables);
    free(made.events);
    memset(&made, 0, sizeof made);
    CHECK_EQUAL(tsm_tables_create(&made.tables), TSM_OK);
    made.events = calloc(EVENTS_MOST, sizeof *made.events);
    CHECK(made.events != NULL);
    made.process = add_row(TSM_TABLE_PROCESSES, (uint64_t[]){ 0, 10, 1, 0, 0 });
    made.thread = add_row(TSM_TABLE_THREADS, (uint64_t[]){ made.process, 11, 0 });
    made.other_thread = add_row(TSM_TABLE_THREADS, (uint64_t[]){ made.process, 12, 0 });
    made.device = add_row(TSM_TABLE_DEVICES, (uint64_t[15]){ [TSM_DEVICE_NAME] = text("one") });
    uint32_t far =
        add_row(TSM_TABLE_DEVICES, (uint64_t[15]){ [TSM_DEVICE_ORDINAL] = 1, [TSM_DEVICE_NAME] = text("two") });
    made.stream = add_stream(made.device, 7);
    made.second_stream = add_stream(made.device, 8);
    made.far_stream = add_stream(far, 7);
}

static tsm_event *
add(tsm_event event)
{
    CHECK(made.count < EVENTS_MOST);
    made.events[made.count] = event;
    return &made.events[made.count++];
}

static tsm_event *
host(tsm_event_type type, const char *name, uint64_t begin, uint64_t end)
{
    return add((tsm_event){ .timestamp = begin,
                            .duration = end - begin,
                            .name = text(name),
                            .thread = made.thread,
                            .type = (uint16_t)type });
}

/* A call and what it launched. */
static tsm_event *
launch(const char *name, uint64_t call, uint64_t call_end, uint64_t begin, uint64_t end)
{
    host(TSM_EVENT_RUNTIME_CALL, "cudaLaunchKernel", call, call_end)->correlation = ++made.correlation;
    made.events[made.count - 1].stream = made.stream;
    return add((tsm_event){ .timestamp = begin,
                            .duration = end - begin,
                            .correlation = made.correlation,
                            .name = text(name),
                            .thread = made.thread,
                            .stream = made.stream,
                            .device = made.device,
                            .type = TSM_EVENT_KERNEL_LAUNCH });
}

static tsm_answers *
answer(tsm_analysis **analysis)
{
    *analysis = check_new();
    check_add(*analysis, &(tsm_batch){ .events = made.events, .count = made.count }, made.tables, "");
    tsm_answers *answers = check_finish(*analysis);
    check_sums(answers);
    return answers;
}

/* Analyses what was made, does what follows with 'answers', and throws it away. */
#define WITH_ANSWERS(...)                         \
    do {                                          \
        tsm_analysis *analysis;                   \
        tsm_answers *answers = answer(&analysis); \
        __VA_ARGS__;                              \
        tsm_answers_destroy(answers);             \
        tsm_analysis_destroy(analysis);           \
    } while (0)

#define MS 1000000u

/* Idle from 1 to 11 ms in each: what differs is what the host does. */
static void
begin_gap(void)
{
    begin_trace();
    launch("first", 0, 1000, 2000, 1 * MS);
}

static void
end_gap(uint64_t call)
{
    launch("second", call, call + 1000, 11 * MS, 12 * MS);
}

static void
waiting_is_host_sync_and_so_is_what_follows_it(void)
{
    begin_gap();
    host(TSM_EVENT_STREAM_SYNC, "cudaStreamSynchronize", MS / 2, 9 * MS)->stream = made.stream;
    end_gap(10 * MS + 900000);
    WITH_ANSWERS({
        CHECK_EQUAL(check_cause(answers, "host-sync"), 10 * MS);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_CAUSES, 0, "after_sync"), 10 * MS);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_SYNC, 0, "waited"), MS / 2);
        CHECK(check_is(check_cell(answers, TSM_REPORT_SYNC, 0, "waited_for"), "first"));
        CHECK(check_finding(answers, "sync-call") != NULL);
    });
}

static void
a_wait_that_began_in_the_gap_is_only_itself(void)
{
    begin_gap();
    host(TSM_EVENT_RUNTIME_CALL, "cudaDeviceSynchronize", 2 * MS, 5 * MS);
    end_gap(11 * MS - 3000);
    WITH_ANSWERS({
        CHECK_EQUAL(check_cause(answers, "host-sync"), 3 * MS);
        CHECK_EQUAL(check_cause(answers, "host-op"), 7 * MS); /* in nothing that has a name, for long */
    });
}

static void
allocating_and_copying_are_told_apart_inside_an_operator(void)
{
    begin_gap();
    host(TSM_EVENT_CPU_OP, "prepare", 2 * MS, 8 * MS);
    host(TSM_EVENT_MEM_ALLOC, "cudaMalloc", 3 * MS, 5 * MS);
    host(TSM_EVENT_RUNTIME_CALL, "cudaMemcpy", 6 * MS, 7 * MS);
    end_gap(11 * MS - 100000);
    WITH_ANSWERS({
        CHECK_EQUAL(check_cause(answers, "host-alloc"), 2 * MS);
        CHECK_EQUAL(check_cause(answers, "host-transfer"), 1 * MS);
        size_t row = check_find(answers, TSM_REPORT_CULPRITS, "name", "prepare", "cause", "host-op");
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_CULPRITS, row, "total"), 3 * MS);
        CHECK_EQUAL(check_cause(answers, "host-op"), 7 * MS);
        const tsm_finding *copies = check_finding(answers, "sync-memcpy");
        CHECK(copies != NULL && copies->cost_ns == 1 * MS);
    });
}

static void
the_outermost_operator_that_ended_is_to_blame(void)
{
    begin_gap();
    host(TSM_EVENT_RANGE, "epoch", 0, 20 * MS);
    host(TSM_EVENT_CPU_OP, "load", MS / 2, 10 * MS);
    host(TSM_EVENT_CPU_OP, "read file", 2 * MS, 9 * MS);
    host(TSM_EVENT_CPU_OP, "aten::add", 10 * MS + 100000, 13 * MS);
    end_gap(11 * MS - 10000);
    WITH_ANSWERS({
        size_t row = check_find(answers, TSM_REPORT_CULPRITS, "cause", "host-op", "name", "load");
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_CULPRITS, row, "total"), 9 * MS);
        row = check_find(answers, TSM_REPORT_CULPRITS, "cause", "host-op", "name", "aten::add");
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_CULPRITS, row, "total"), 1 * MS);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_GAPS, 0, "length"), 10 * MS);
        CHECK(check_is(check_cell(answers, TSM_REPORT_GAPS, 0, "in"), "load"));
        CHECK(check_is(check_cell(answers, TSM_REPORT_GAPS, 0, "next"), "second"));
    });
}

static void
short_gaps_are_the_price_of_launching(void)
{
    begin_trace();
    for (uint64_t i = 0; i < 100; i++) {
        host(TSM_EVENT_CPU_OP, "aten::mul", i * 20000, i * 20000 + 12000);
        launch("mul", i * 20000 + 8000, i * 20000 + 10000, i * 20000 + 11000, i * 20000 + 15000);
    }
    WITH_ANSWERS({
        CHECK_EQUAL(check_cause(answers, "host-launch"), 99 * 16000);
        CHECK(check_finding(answers, "launch-bound") != NULL && check_finding(answers, "short-kernels") != NULL);
        CHECK(check_is(check_cell(answers, TSM_REPORT_CULPRITS, 0, "name"), "aten::mul"));
    });
}

static void
work_launched_in_time_is_latency_or_unknown_by_its_length(void)
{
    begin_trace();
    launch("a", 0, 1000, 2000, 100000);
    launch("b", 50000, 51000, 104000, 200000);
    launch("c", 150000, 151000, 900000, 1000000);
    launch("ncclDevKernel_AllReduce", 500000, 501000, 2000000, 2100000);
    WITH_ANSWERS({
        CHECK_EQUAL(check_cause(answers, "launch-latency"), 4000);
        CHECK_EQUAL(check_cause(answers, "unknown"), 700000);
        CHECK_EQUAL(check_cause(answers, "peer-wait"), 1000000);
        CHECK_EQUAL(answers->totals.gap_threshold_ns, 3 * tsm_histogram_floor(tsm_histogram_bucket(700000)) + 3 * 4096);
    });
}

static void
waiting_for_another_device_is_a_dependency_and_named(void)
{
    begin_trace();
    launch("near", 0, 1000, 2000, 1 * MS);
    tsm_event *far = launch("far", 3000, 4000, 5000, 10 * MS);
    far->stream = made.far_stream;
    tsm_event *record = host(TSM_EVENT_EVENT_RECORD, "cudaEventRecord", 6000, 6500);
    record->stream = made.far_stream;
    record->value = 5;
    tsm_event *wait = host(TSM_EVENT_EVENT_WAIT, "cudaStreamWaitEvent", 7000, 7500);
    wait->stream = made.stream;
    wait->value = 5;
    launch("after", 8000, 9000, 10 * MS + 2000, 11 * MS);
    WITH_ANSWERS({
        CHECK_EQUAL(check_cause(answers, "dependency"), 9 * MS + 2000);
        size_t row = check_find(answers, TSM_REPORT_CULPRITS, "cause", "dependency", "name", "far");
        CHECK(row != SIZE_MAX);
    });
}

static void
without_calls_nothing_is_known(void)
{
    begin_trace();
    launch("a", 0, 1, 1000, 2000);
    launch("b", 0, 1, 5000, 6000);
    made.events[0].type = made.events[2].type = TSM_EVENT_UNKNOWN;
    WITH_ANSWERS({
        CHECK_EQUAL(check_cause(answers, "unknown"), 3000);
        CHECK(check_finding(answers, "no-launches") != NULL);
        size_t row = check_find(answers, TSM_REPORT_HEALTH, "what", "device work without its call", NULL, NULL);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_HEALTH, row, "count"), 2);
    });
}

/* The ring of a thread wraps while the device is busy, then grows while it is idle: what was
 * overwritten before must not come back. */
static void
a_long_gap_after_many_calls_is_told_to_the_end(void)
{
    begin_trace();
    host(TSM_EVENT_CPU_OP, "main", 0, 400 * MS);
    launch("first", 10, 20, 1000, 10 * MS);
    for (uint64_t i = 0; i < 1000; i++) {
        host(TSM_EVENT_CPU_OP, "before", 2000 + i * 1000, 2900 + i * 1000);
    }
    for (uint64_t i = 0; i < 5000; i++) {
        host(TSM_EVENT_CPU_OP, "in the gap", 11 * MS + i * 1000, 11 * MS + i * 1000 + 900);
    }
    host(TSM_EVENT_CPU_OP, "load", 100 * MS, 200 * MS);
    launch("second", 300 * MS, 300 * MS + 1000, 300 * MS + 2000, 301 * MS);
    WITH_ANSWERS({
        size_t row = check_find(answers, TSM_REPORT_CULPRITS, "name", "load", NULL, NULL);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_CULPRITS, row, "total"), 100 * MS);
        row = check_find(answers, TSM_REPORT_CULPRITS, "name", "in the gap", NULL, NULL);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_CULPRITS, row, "total"), 5000 * 900);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_CULPRITS, row, "count"), 5000);
    });
}

/* ---- Launches ----------------------------------------------------------------------------------- */

static void
only_positive_queueing_is_averaged(void)
{
    begin_trace();
    launch("k", 0, 1000, 1500, 2000);       /* queues for 500 */
    launch("k", 3000, 4000, 4000, 5000);    /* for nothing */
    launch("k", 6000, 7000, 6500, 8000);    /* begins inside the call */
    launch("k", 9000, 10000, 11500, 12000); /* for 1500 */
    WITH_ANSWERS({
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_LAUNCHES, 0, "count"), 4);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_LAUNCHES, 0, "queued"), 2);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_LAUNCHES, 0, "not_queued"), 1);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_LAUNCHES, 0, "overlapped"), 1);
        CHECK(check_cell(answers, TSM_REPORT_LAUNCHES, 0, "queue_avg")->real == 1000);
        CHECK(check_cell(answers, TSM_REPORT_LAUNCHES, 0, "total_avg")->real == (2000 + 2000 + 2000 + 3000) / 4);
    });
}

static void
a_graph_is_charged_once(void)
{
    begin_trace();
    host(TSM_EVENT_RUNTIME_CALL, "cudaGraphLaunch", 0, 5000)->correlation = 9;
    for (uint64_t i = 0; i < 10; i++) {
        add((tsm_event){ .timestamp = 6000 + i * 2000,
                         .duration = 1500,
                         .correlation = 9,
                         .name = text("node"),
                         .stream = made.stream,
                         .type = TSM_EVENT_KERNEL_LAUNCH,
                         .flags = TSM_FLAG_GRAPH });
    }
    WITH_ANSWERS({
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_GRAPHS, 0, "launches"), 1);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_GRAPHS, 0, "nodes"), 10);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_GRAPHS, 0, "api"), 5000);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_LAUNCHES, 0, "count"), 1);
        CHECK_EQUAL(check_cause(answers, "dependency"), 9 * 500);
    });
}

static void
work_before_its_call_is_reported(void)
{
    begin_trace();
    launch("early", 5000, 6000, 1000, 2000);
    WITH_ANSWERS({
        size_t row = check_find(answers, TSM_REPORT_HEALTH, "what", "device work before its call", NULL, NULL);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_HEALTH, row, "count"), 1);
        CHECK(check_finding(answers, "kernel-before-launch") != NULL);
    });
}

/* ---- Odd traces --------------------------------------------------------------------------------- */

static void
pairs_of_old_sources_are_joined(void)
{
    begin_trace();
    for (uint64_t i = 0; i < 50; i++) {
        tsm_event *begin = launch("pair", i * 1000, i * 1000 + 10, i * 1000 + 20, i * 1000 + 20);
        tsm_event end = *begin;
        end.timestamp = i * 1000 + 820;
        end.type = TSM_EVENT_KERNEL_COMPLETE;
        add(end);
    }
    launch("whole", 60000, 60010, 60020, 60420);
    add((tsm_event){ .timestamp = 70000, .correlation = 999, .stream = made.stream, .type = TSM_EVENT_KERNEL_LAUNCH });
    WITH_ANSWERS({
        size_t row = check_find(answers, TSM_REPORT_KERNELS, "name", "pair", NULL, NULL);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_KERNELS, row, "count"), 50);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_KERNELS, row, "total"), 50 * 800);
        row = check_find(answers, TSM_REPORT_KERNELS, "name", "whole", NULL, NULL);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_KERNELS, row, "count"), 1);
        CHECK_EQUAL(answers->totals.compute_ns, 50 * 800 + 400);
        CHECK_EQUAL(answers->totals.window_ns, 70000 - 20);
        row = check_find(answers, TSM_REPORT_HEALTH, "what", "begins without an end", NULL, NULL);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_HEALTH, row, "count"), 1);
    });
}

static void
a_trace_without_gpu_or_events_gives_an_answer(void)
{
    begin_trace();
    WITH_ANSWERS(CHECK_EQUAL(answers->totals.devices, 0));
    host(TSM_EVENT_CPU_OP, "work", 0, 1000);
    WITH_ANSWERS({
        CHECK_EQUAL(answers->totals.devices, 0);
        CHECK(memmem(answers->verdict.data, answers->verdict.size, "no GPU work", 11) != NULL);
    });
}

static void
nonsense_is_counted_and_harms_nothing(void)
{
    begin_trace();
    launch("a", 0, 1000, 2000, 3000);
    launch("backwards", 0, 1000, 5000, 4000); /* negative */
    launch("endless", 0, 1000, UINT64_MAX - 5, UINT64_MAX)->duration = INT64_MAX;
    for (uint16_t type = 0; type < 300; type++) {
        add((tsm_event){ .timestamp = 7000 + type,
                         .duration = type % 3 == 0 ? UINT64_MAX - 1 : 5,
                         .correlation = type,
                         .value = UINT64_MAX,
                         .name = 4000000000u,
                         .stack = 4000000000u,
                         .thread = 4000000000u,
                         .stream = type % 2 == 0 ? 4000000000u : 0,
                         .device = 4000000000u,
                         .extra = 4000000000u,
                         .type = type,
                         .flags = (uint16_t)(type * 37u) });
    }
    WITH_ANSWERS({
        size_t row = check_find(answers, TSM_REPORT_HEALTH, "what", "negative durations", NULL, NULL);
        CHECK(check_integer(answers, TSM_REPORT_HEALTH, row, "count") > 2);
    });
}

static void
a_hundred_thousand_streams_are_just_more_rows(void)
{
    begin_trace();
    for (uint64_t i = 0; i < 100000; i++) {
        add((tsm_event){ .timestamp = i,
                         .duration = 1000000,
                         .name = text("k"),
                         .stream = add_stream(made.device, 100 + i),
                         .type = TSM_EVENT_KERNEL_LAUNCH });
    }
    WITH_ANSWERS({
        CHECK_EQUAL(answers->totals.compute_ns, 1099999);
        CHECK_EQUAL(answers->tables[TSM_REPORT_STREAMS].row_count, 100000);
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_CONCURRENCY, 0, "max"), 100000);
    });
}

/* ---- Summaries ---------------------------------------------------------------------------------- */

static void
buckets_hold_what_they_say(void)
{
    uint64_t value = 0;
    for (int i = 0; i < 200000; i++) {
        uint32_t bucket = tsm_histogram_bucket(value);
        CHECK(tsm_histogram_floor(bucket) <= value);
        CHECK(bucket + 1 == TSM_HISTOGRAM_POWERS * TSM_HISTOGRAM_SUBS || tsm_histogram_floor(bucket + 1) > value);
        value = value < 5000 ? value + 1 : value + value / 97 < value ? UINT64_MAX : value + value / 97;
    }
    CHECK_EQUAL(tsm_histogram_bucket(UINT64_MAX), TSM_HISTOGRAM_POWERS * TSM_HISTOGRAM_SUBS - 1);
}

static void
quantiles_are_as_near_as_promised(void)
{
    tsm_summary summary = { 0 };
    for (uint64_t i = 1; i <= 100000; i++) {
        CHECK(tsm_summary_add(&summary, i * 31));
    }
    for (int percent = 1; percent <= 100; percent++) {
        double exact = percent * 1000 * 31.0, found = (double)tsm_summary_quantile(&summary, percent / 100.0);
        CHECK(found >= exact * (1 - 1 / 128.0) - 1 && found <= exact * (1 + 1 / 128.0) + 1);
    }
    CHECK_EQUAL(tsm_summary_count_from(&summary, 0), 100000);
    tsm_summary_free(&summary);
}

int
main(int argc, char **argv)
{
    static const unit_test tests[] = {
        UNIT(waiting_is_host_sync_and_so_is_what_follows_it),
        UNIT(a_wait_that_began_in_the_gap_is_only_itself),
        UNIT(allocating_and_copying_are_told_apart_inside_an_operator),
        UNIT(the_outermost_operator_that_ended_is_to_blame),
        UNIT(short_gaps_are_the_price_of_launching),
        UNIT(work_launched_in_time_is_latency_or_unknown_by_its_length),
        UNIT(waiting_for_another_device_is_a_dependency_and_named),
        UNIT(without_calls_nothing_is_known),
        UNIT(a_long_gap_after_many_calls_is_told_to_the_end),
        UNIT(only_positive_queueing_is_averaged),
        UNIT(a_graph_is_charged_once),
        UNIT(work_before_its_call_is_reported),
        UNIT(pairs_of_old_sources_are_joined),
        UNIT(a_trace_without_gpu_or_events_gives_an_answer),
        UNIT(nonsense_is_counted_and_harms_nothing),
        UNIT(a_hundred_thousand_streams_are_just_more_rows),
        UNIT(buckets_hold_what_they_say),
        UNIT(quantiles_are_as_near_as_promised),
    };
    int result = unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
    begin_trace();
    tsm_tables_destroy(made.tables);
    free(made.events);
    return result;
}
