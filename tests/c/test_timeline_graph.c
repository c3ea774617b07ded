/* Dependencies and states: made by hand, at random, and on the simulated job, whose answers are
 * known. The ring is a fake that keeps everything. */
#include "fake_ring.h"
#include "source/source.h"
#include "timeline_check.h"

/* ---- Dependencies --------------------------------------------------------------------------------- */

static tsm_dependencies *
build_dependencies(void)
{
    tsm_dependencies *made;
    CHECK_EQUAL(tsm_dependencies_build(trace.timeline, trace.tables, &made), TSM_OK);
    return made;
}

/* The provenance of the edge between the spans of two events; 0: there is none. */
static unsigned
edge(const tsm_dependencies *d, tsm_dependency_kind kind, uint32_t from, uint32_t to)
{
    unsigned found = 0;
    uint32_t a = number_of(span_of_event(from)), b = number_of(span_of_event(to));
    for (uint32_t i = d->first[b]; i < d->first[b + 1]; i++) {
        CHECK_EQUAL(d->edges[i].to, b);
        if (d->edges[i].from == a && d->edges[i].kind == kind) {
            CHECK_EQUAL(found, 0);
            found = d->edges[i].provenance;
        }
    }
    unsigned out = 0;
    for (uint32_t i = d->first_out[a]; i < d->first_out[a + 1]; i++) {
        CHECK_EQUAL(d->edges[d->out[i]].from, a);
        out += d->edges[d->out[i]].to == b && d->edges[d->out[i]].kind == kind;
    }
    CHECK_EQUAL(out, found != 0);
    return found;
}

static void
each_kind_of_dependency_is_found(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 2, 1);                     /* 0 launches 1 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 5, 20, 1);                   /* 1 */
    about_event(TSM_EVENT_EVENT_RECORD, THREAD_A, 3, 4, STREAM_A, 99);        /* 2 records after 1 */
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 5, 6, 2);                     /* 3 launches 4 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 20, 30, 2);                  /* 4 */
    about_event(TSM_EVENT_EVENT_WAIT, THREAD_A, 7, 8, STREAM_B, 99);          /* 5 */
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 9, 10, 3);                    /* 6 launches 7 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 21, 40, 3);                  /* 7 */
    about_event(TSM_EVENT_EVENT_RECORD, THREAD_A, 11, 12, STREAM_B, 99);      /* 8: too late for 5 */
    on_thread(TSM_EVENT_STREAM_SYNC, THREAD_A, 13, 32, 0)->stream = STREAM_A; /* 9 waits for 4 */
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 33, 34, 4);                   /* 10 launches 11 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_C, 50, 60, 4);                  /* 11 */
    about_event(TSM_EVENT_EVENT_SYNC, THREAD_A, 35, 41, 0, 99);               /* 12 waits for 7 */
    on_thread(TSM_EVENT_DEVICE_SYNC, THREAD_A, 42, 43, 0)->device = 1;        /* 13: for 4 and 7 */
    on_thread(TSM_EVENT_DEVICE_SYNC, THREAD_B, 44, 61, 0)->device = 2;        /* 14: for 11 */
    on_thread(TSM_EVENT_DEVICE_SYNC, THREAD_A, 70, 71, 0)->device = 1;        /* 15: nothing new */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 80, 90, 0);                  /* 16: an orphan */
    on_thread(TSM_EVENT_STREAM_SYNC, THREAD_B, 85, 95, 0)->stream = STREAM_A; /* 17 */
    build_trace();
    tsm_dependencies *d = build_dependencies();
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_LAUNCH, 0, 1), TSM_PROVENANCE_CAPTURED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SEQUENTIAL, 1, 4), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SEQUENTIAL, 4, 16), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_EVENT_WAIT, 1, 7), TSM_PROVENANCE_CAPTURED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_EVENT_WAIT, 4, 7), 0);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 4, 9), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_HOST_BARRIER, 9, 11), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 7, 12), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 4, 13), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 7, 13), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 11, 14), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 16, 17), TSM_PROVENANCE_INFERRED);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_LAUNCH], 4);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_SEQUENTIAL], 2);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_SYNCHRONIZATION], 6);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_HOST_BARRIER], 1);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_EVENT_WAIT], 1);
    CHECK_EQUAL(d->edge_count, 14);
    CHECK_EQUAL(d->facts.contradicted, 0);
    uint32_t circle;
    CHECK_EQUAL(tsm_dependencies_find_cycle(d, &circle), TSM_OK);
    CHECK_EQUAL(circle, TSM_SPAN_NONE);
    tsm_dependencies_destroy(d);
}

static void
a_wait_without_a_record_is_counted(void)
{
    start_trace(1);
    about_event(TSM_EVENT_EVENT_WAIT, THREAD_A, 7, 8, STREAM_B, 5);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 9, 10, 3);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 21, 40, 3);
    about_event(TSM_EVENT_EVENT_RECORD, THREAD_C, 1, 2, STREAM_D, 5); /* another process's event 5 */
    build_trace();
    tsm_dependencies *d = build_dependencies();
    CHECK_EQUAL(d->facts.unmatched_waits, 1);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_EVENT_WAIT], 0);
    tsm_dependencies_destroy(d);
}

static void
operations_that_overlap_on_a_stream_do_not_depend_on_each_other(void)
{
    start_trace(1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 0, 10, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 10, 30, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 12, 20, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 25, 28, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 40, 50, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 50, 50, 0);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 50, 60, 0); /* sorts before the empty one */
    build_trace();
    tsm_dependencies *d = build_dependencies();
    const uint32_t pairs[][2] = { { 0, 1 }, { 0, 2 }, { 2, 3 }, { 1, 4 }, { 4, 6 } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        CHECK(edge(d, TSM_DEPENDENCY_SEQUENTIAL, pairs[i][0], pairs[i][1]));
    }
    CHECK(!edge(d, TSM_DEPENDENCY_SEQUENTIAL, 5, 6) && !edge(d, TSM_DEPENDENCY_SEQUENTIAL, 1, 3));
    CHECK_EQUAL(d->facts.contradicted, 0);
    tsm_dependencies_destroy(d);
}

static void
a_circle_is_found(void)
{
    const tsm_dependency edges[] = {
        { 2, 0, TSM_SPAN_NONE, TSM_DEPENDENCY_SEQUENTIAL, TSM_PROVENANCE_INFERRED },
        { 0, 1, TSM_SPAN_NONE, TSM_DEPENDENCY_SEQUENTIAL, TSM_PROVENANCE_INFERRED },
        { 1, 2, TSM_SPAN_NONE, TSM_DEPENDENCY_SEQUENTIAL, TSM_PROVENANCE_INFERRED },
    };
    const uint32_t first[] = { 0, 1, 2, 3, 3 }, first_out[] = { 0, 1, 2, 3, 3 }, out[] = { 1, 2, 0 };
    tsm_dependencies d = { 4, 3, edges, first, first_out, out, { .inferred = 3 } };
    uint32_t circle;
    CHECK_EQUAL(tsm_dependencies_find_cycle(&d, &circle), TSM_OK);
    CHECK(circle <= 2);
    d.edge_count = 2; /* the call launches the work, whose end the call waits for: no circle */
    const tsm_dependency both[] = { { 1, 0, TSM_SPAN_NONE, TSM_DEPENDENCY_SYNCHRONIZATION, TSM_PROVENANCE_INFERRED },
                                    { 0, 1, TSM_SPAN_NONE, TSM_DEPENDENCY_LAUNCH, TSM_PROVENANCE_CAPTURED } };
    const uint32_t one[] = { 0, 1, 2, 2, 2 }, swapped[] = { 1, 0 };
    d.edges = both;
    d.first = d.first_out = one;
    d.out = swapped;
    CHECK_EQUAL(tsm_dependencies_find_cycle(&d, &circle), TSM_OK);
    CHECK_EQUAL(circle, TSM_SPAN_NONE);
}

/* ---- Dependencies from what rides along ----------------------------------------------------------- */

static uint32_t
text_row(const char *text)
{
    uint32_t row;
    CHECK_EQUAL(tsm_tables_intern_text(trace.tables, TSM_TABLE_STRINGS, text, strlen(text), &row), TSM_OK);
    return row;
}

/* A schema of two fields. */
static uint32_t
add_schema(const char *name, const char *first, const char *second)
{
    uint32_t row = add_row(TSM_TABLE_SCHEMAS, (uint64_t[]){ 0, text_row(name), 0 });
    row = add_row(TSM_TABLE_SCHEMAS, (uint64_t[]){ row, text_row(first), 0 });
    return add_row(TSM_TABLE_SCHEMAS, (uint64_t[]){ row, text_row(second), 0 });
}

static struct {
    tsm_extension records[16];
    uint32_t rows[16];
    size_t count;
} extra;

/* Behind the event that was added last. */
static void
extend(uint32_t schema, uint64_t first, uint64_t second)
{
    extra.rows[extra.count] = (uint32_t)trace.count - 1;
    extra.records[extra.count++] =
        (tsm_extension){ .values = { first, second }, .type = TSM_SLOT_EXTENSION, .count = 2, .schema = schema };
}

static tsm_dependencies *
build_extended(void)
{
    tsm_batch batch = { trace.events, trace.count, extra.records, extra.rows, extra.count };
    CHECK_EQUAL(tsm_timeline_build(&batch, trace.tables, &trace.timeline), TSM_OK);
    extra.count = 0;
    return build_dependencies();
}

static void
partners_of_a_collective_wait_for_the_last_to_begin(void)
{
    start_trace(1);
    uint32_t schema = add_schema("collective", "sequence", "bytes");
    const struct {
        uint32_t stream;
        uint64_t begin, sequence;
    } operations[] = {
        { STREAM_A, 10, 5 },  { STREAM_C, 30, 5 },  { STREAM_D, 20, 5 },  /* one collective on three streams */
        { STREAM_A, 100, 0 }, { STREAM_C, 100, 0 },                       /* of no known number */
        { STREAM_A, 110, 6 }, { STREAM_C, 110, 6 }, { STREAM_A, 120, 6 }, /* a number that comes twice */
    };
    for (size_t i = 0; i < 8; i++) {
        on_stream(TSM_EVENT_COMMUNICATION, operations[i].stream, operations[i].begin, operations[i].begin + 30, 0);
        extend(schema, operations[i].sequence, 4096);
    }
    tsm_dependencies *d = build_extended();
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_COLLECTIVE, 1, 0), TSM_PROVENANCE_CAPTURED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_COLLECTIVE, 1, 2), TSM_PROVENANCE_CAPTURED);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_COLLECTIVE], 2);
    tsm_dependencies_destroy(d);
}

static void
a_copy_depends_on_the_one_that_wrote_what_it_reads(void)
{
    start_trace(1);
    uint32_t schema = add_schema("copy", "source", "destination");
    const uint64_t copies[][4] = { { 0, 10, 100, 200 },
                                   { 5, 8, 200, 300 }, /* the second reads too early */
                                   { 20, 30, 200, 400 },
                                   { 40, 50, 100, 200 },
                                   { 60, 70, 200, 200 } };
    for (size_t i = 0; i < 5; i++) {
        on_stream(TSM_EVENT_MEMCPY_D2D, i % 2 ? STREAM_A : STREAM_B, copies[i][0], copies[i][1], 0);
        extend(schema, copies[i][2], copies[i][3]);
    }
    tsm_dependencies *d = build_extended();
    CHECK(edge(d, TSM_DEPENDENCY_MEMORY, 0, 2));
    CHECK(edge(d, TSM_DEPENDENCY_MEMORY, 3, 4));
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_MEMORY], 2);
    tsm_dependencies_destroy(d);
}

/* As torch's traces tell it: the calls name no streams, the device's records of them do. */
static void
the_devices_own_records_say_what_calls_do_not(void)
{
    start_trace(1);
    uint32_t schema = add_schema("chrome:cuda_sync", "wait_on_stream", "wait_on_cuda_event_record_corr_id");
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 2, 1);    /* 0 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 5, 20, 1);  /* 1 */
    on_thread(TSM_EVENT_EVENT_RECORD, THREAD_A, 3, 4, 2);    /* 2 */
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 5, 6, 3);    /* 3 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 20, 30, 3); /* 4: after the record */
    on_thread(TSM_EVENT_EVENT_WAIT, THREAD_A, 7, 8, 4);      /* 5 */
    on_stream(TSM_EVENT_EVENT_WAIT, STREAM_B, 7, 8, 4);      /* 6: stream 3 waits for stream 7 */
    extend(schema, 7, 2);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 9, 10, 5);   /* 7 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 21, 40, 5); /* 8 */
    on_thread(TSM_EVENT_STREAM_SYNC, THREAD_A, 11, 31, 6);   /* 9 */
    on_stream(TSM_EVENT_STREAM_SYNC, STREAM_A, 12, 30, 6);   /* 10 */
    tsm_dependencies *d = build_extended();
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_EVENT_WAIT, 1, 8), TSM_PROVENANCE_CAPTURED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 4, 9), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_EVENT_WAIT], 1);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_SYNCHRONIZATION], 1);
    CHECK_EQUAL(d->facts.unmatched_waits, 0);
    tsm_dependencies_destroy(d);
}

static void
what_a_wait_was_for_is_inferred_when_nothing_says(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 1, 1);   /* 0 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 5, 20, 1); /* 1 */
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 2, 3, 2);   /* 2 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_C, 5, 40, 2); /* 3 */
    on_thread(TSM_EVENT_STREAM_SYNC, THREAD_A, 4, 22, 0);   /* 4: the one that ended last meanwhile */
    on_thread(TSM_EVENT_DEVICE_SYNC, THREAD_A, 23, 42, 0);  /* 5: of which device is not known */
    on_thread(TSM_EVENT_STREAM_SYNC, THREAD_A, 43, 44, 0);  /* 6: everything has ended already */
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_C, 0, 1, 1);   /* 7 */
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_D, 5, 50, 1); /* 8 */
    on_thread(TSM_EVENT_DEVICE_SYNC, THREAD_C, 6, 55, 0);   /* 9: its process has one device only */
    build_trace();
    tsm_dependencies *d = build_dependencies();
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 1, 4), TSM_PROVENANCE_INFERRED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 3, 5), TSM_PROVENANCE_INFERRED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 8, 9), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_SYNCHRONIZATION], 3);
    CHECK_EQUAL(d->facts.inferred, 2);
    tsm_dependencies_destroy(d);
}

static void
a_blocking_copy_is_a_wait_too(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 30, 1)->name = text_row("cudaMemcpy");
    on_stream(TSM_EVENT_MEMCPY_D2H, STREAM_A, 5, 28, 1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 31, 60, 2)->name = text_row("cudaMemcpyAsync");
    on_stream(TSM_EVENT_MEMCPY_H2D, STREAM_B, 35, 40, 2); /* over early by chance */
    build_trace();
    tsm_dependencies *d = build_dependencies();
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_SYNCHRONIZATION, 1, 0), TSM_PROVENANCE_INFERRED);
    CHECK_EQUAL(edge(d, TSM_DEPENDENCY_HOST_BARRIER, 0, 3), TSM_PROVENANCE_IMPLIED);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_SYNCHRONIZATION], 1);
    uint32_t circle;
    CHECK_EQUAL(tsm_dependencies_find_cycle(d, &circle), TSM_OK);
    CHECK_EQUAL(circle, TSM_SPAN_NONE);
    tsm_dependencies_destroy(d);
}

/* ---- States --------------------------------------------------------------------------------------- */

static tsm_gpu_state
expected_state(uint32_t stream, uint64_t begin, uint64_t now)
{
    size_t count;
    const tsm_span *all = spans(&count);
    bool queued = false;
    uint64_t ended = 0, observed = 0;
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        const tsm_event *event = &trace.events[all[i].event];
        if (event->type != TSM_EVENT_KERNEL_LAUNCH || event->stream != stream) {
            continue;
        }
        uint32_t call = tsm_timeline_launch_of(trace.timeline, i);
        if (all[i].begin_ns <= now && now < all[i].end_ns) {
            return TSM_GPU_RUNNING;
        }
        queued |= call != TSM_SPAN_NONE && all[call].end_ns <= now && now < all[i].begin_ns;
        if (all[i].end_ns <= now && all[i].end_ns > all[i].begin_ns && all[i].end_ns > begin) {
            any = true;
            ended = all[i].end_ns > ended ? all[i].end_ns : ended;
        }
    }
    if (queued) {
        return TSM_GPU_QUEUED;
    }
    for (size_t i = 0; i < trace.count; i++) {
        const tsm_event *event = &trace.events[i];
        uint64_t end = event->timestamp + event->duration;
        if (event->type == TSM_EVENT_STREAM_SYNC && event->stream == stream && end <= now && end > observed) {
            observed = end;
        }
    }
    return any && ended > observed ? TSM_GPU_COMPLETE : TSM_GPU_IDLE;
}

/* Calls, work and waits as a program makes them: work of a stream in order, waits that end late. */
static void
add_random_program(void)
{
    uint64_t now = 0, correlation = 0, free_at[5] = { 0 };
    for (size_t i = 0; i < 25; i++) {
        uint32_t stream = STREAM_A + (uint32_t)draw(2);
        now += draw(12);
        if (draw(4) == 0) {
            uint64_t end = (now > free_at[stream] ? now : free_at[stream]) + 1 + draw(4);
            on_thread(TSM_EVENT_STREAM_SYNC, THREAD_A, now, end, 0)->stream = stream;
            now = end;
        } else {
            on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, now, now + 1, ++correlation);
            uint64_t begin = now + 2 > free_at[stream] ? now + 2 : free_at[stream];
            free_at[stream] = begin + draw(20);
            on_stream(TSM_EVENT_KERNEL_LAUNCH, stream, begin, free_at[stream], correlation);
            now += 1;
        }
    }
}

static void
states_are_right_at_every_nanosecond_and_add_up(void)
{
    for (uint64_t seed = 1; seed < 200; seed++) {
        start_trace(seed);
        add_random_program();
        build_trace();
        tsm_dependencies *d = build_dependencies();
        tsm_states *states;
        CHECK_EQUAL(tsm_states_build(trace.timeline, d, 0, 400, &states), TSM_OK);
        for (size_t i = 0; i < states->stream_count; i++) {
            size_t track_count;
            const tsm_track *tracks = tsm_timeline_tracks(trace.timeline, &track_count);
            uint64_t time_ns[TSM_GPU_STATE_COUNT] = { 0 };
            for (uint64_t now = 0; now < 400; now++) {
                tsm_gpu_state expected = expected_state(tracks[states->streams[i].track].row, 0, now);
                CHECK_EQUAL(tsm_states_at(states, i, now), expected);
                time_ns[expected]++;
            }
            for (size_t k = 0; k < TSM_GPU_STATE_COUNT; k++) {
                CHECK_EQUAL(states->streams[i].time_ns[k], time_ns[k]);
            }
        }
        tsm_states_destroy(states);
        tsm_dependencies_destroy(d);
    }
}

static void
a_stream_waits_while_its_event_has_not_happened(void)
{
    start_trace(1);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 0, 2, 1);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_A, 5, 50, 1);
    about_event(TSM_EVENT_EVENT_RECORD, THREAD_A, 3, 4, STREAM_A, 99);
    about_event(TSM_EVENT_EVENT_WAIT, THREAD_A, 7, 8, STREAM_B, 99);
    on_thread(TSM_EVENT_RUNTIME_CALL, THREAD_A, 9, 10, 3);
    on_stream(TSM_EVENT_KERNEL_LAUNCH, STREAM_B, 53, 60, 3);
    build_trace();
    tsm_dependencies *d = build_dependencies();
    tsm_states *states;
    CHECK_EQUAL(tsm_states_build(trace.timeline, d, 0, 70, &states), TSM_OK);
    const uint64_t expected[] = { 8, 3, 7, 42, 10 }; /* B: idle to 8, waits to 50, queued to 53, runs to 60 */
    CHECK_EQUAL(states->streams[0].track, tsm_timeline_stream_track(trace.timeline, STREAM_B));
    for (size_t k = 0; k < TSM_GPU_STATE_COUNT; k++) {
        CHECK_EQUAL(states->streams[0].time_ns[k], expected[k]);
    }
    CHECK_EQUAL(states->streams[0].count, 4);
    CHECK_EQUAL(states->transitions[0].cause, number_of(span_of_event(3)));
    CHECK_EQUAL(states->transitions[2].correlation, 3);
    tsm_states_destroy(states);
    tsm_dependencies_destroy(d);
}

/* ---- The simulated job ---------------------------------------------------------------------------- */

typedef struct {
    tsm_simulation_answers told;
    tsm_timeline *timeline;
    uint32_t *rows;
} job;

/* The fake ring keeps an index for every event; a batch wants the event for every record. */
static job
simulate(tsm_simulation config)
{
    job made = { 0 };
    tsm_error error = { 0 };
    start_ring();
    CHECK_EQUAL(tsm_simulation_run(&config, &made.told, &error), TSM_OK);
    made.rows = calloc(ring.extension_count + 1, sizeof *made.rows);
    CHECK(made.rows != NULL);
    for (size_t i = 0; i < ring.count; i++) {
        if (ring.extension_of[i] != NO_EXTENSION) {
            made.rows[ring.extension_of[i]] = (uint32_t)i;
        }
    }
    tsm_batch batch = { ring.events, ring.count, ring.extensions, made.rows, ring.extension_count };
    CHECK_EQUAL(tsm_timeline_build(&batch, ring.tables, &made.timeline), TSM_OK);
    return made;
}

static void
the_simulated_job_is_as_busy_as_it_says(void)
{
    for (uint32_t shape = 0; shape < 4; shape++) {
        tsm_simulation config = { .seed = shape + 1, .devices = 1 + shape, .streams = 1 + 2 * shape };
        config.steps = 6;
        config.layers = 5;
        config.begin_ns = 1000;
        job j = simulate(config);
        const tsm_timeline_facts *facts = tsm_timeline_get_facts(j.timeline);
        CHECK_EQUAL(facts->work, j.told.launches);
        CHECK_EQUAL(facts->orphans + facts->duplicates + facts->early + facts->overflowing, 0);
        CHECK_EQUAL(facts->end_ns - facts->begin_ns, j.told.wall_ns);
        tsm_concurrency found;
        uint64_t first = UINT64_MAX;
        size_t count;
        const tsm_span *all = tsm_timeline_spans(j.timeline, &count);
        for (size_t i = 0; i < count; i++) {
            if (tsm_event_is_work(all[i].type) && ring.events[all[i].event].device == 1 && all[i].begin_ns < first) {
                first = all[i].begin_ns;
            }
        }
        CHECK_EQUAL(tsm_timeline_sweep(j.timeline, 1, first, first + j.told.active_ns, &found), TSM_OK);
        CHECK_EQUAL(found.busy_ns, j.told.busy_ns);
        CHECK(found.work_ns >= found.busy_ns);
        tsm_concurrency_free(&found);
        tsm_timeline_destroy(j.timeline);
        free(j.rows);
    }
    stop_ring();
}

static void
the_simulated_jobs_dependencies_never_contradict_its_times(void)
{
    job j =
        simulate((tsm_simulation){ .seed = 3, .devices = 3, .streams = 4, .steps = 6, .layers = 5, .begin_ns = 77777 });
    tsm_dependencies *d;
    CHECK_EQUAL(tsm_dependencies_build(j.timeline, ring.tables, &d), TSM_OK);
    CHECK_EQUAL(d->facts.contradicted, 0);
    CHECK_EQUAL(d->facts.unmatched_waits, 0);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_LAUNCH], j.told.launches);
    CHECK_EQUAL(d->facts.kinds[TSM_DEPENDENCY_COLLECTIVE], j.told.collectives / 3 * 2);
    CHECK(d->facts.kinds[TSM_DEPENDENCY_EVENT_WAIT] > 0 && d->facts.kinds[TSM_DEPENDENCY_HOST_BARRIER] > 0);
    uint32_t circle;
    CHECK_EQUAL(tsm_dependencies_find_cycle(d, &circle), TSM_OK);
    CHECK_EQUAL(circle, TSM_SPAN_NONE);
    tsm_states *states;
    CHECK_EQUAL(tsm_states_build(j.timeline, d, 0, 0, &states), TSM_OK);
    for (size_t i = 0; i < states->stream_count; i++) {
        uint64_t sum = 0;
        for (size_t k = 0; k < TSM_GPU_STATE_COUNT; k++) {
            sum += states->streams[i].time_ns[k];
        }
        CHECK_EQUAL(sum, states->end_ns - states->begin_ns);
    }
    tsm_states_destroy(states);
    tsm_dependencies_destroy(d);
    tsm_timeline_destroy(j.timeline);
    free(j.rows);
    stop_ring();
}

int
main(int argc, char **argv)
{
    const unit_test tests[] = {
        UNIT(each_kind_of_dependency_is_found),
        UNIT(a_wait_without_a_record_is_counted),
        UNIT(operations_that_overlap_on_a_stream_do_not_depend_on_each_other),
        UNIT(a_circle_is_found),
        UNIT(partners_of_a_collective_wait_for_the_last_to_begin),
        UNIT(a_copy_depends_on_the_one_that_wrote_what_it_reads),
        UNIT(the_devices_own_records_say_what_calls_do_not),
        UNIT(what_a_wait_was_for_is_inferred_when_nothing_says),
        UNIT(a_blocking_copy_is_a_wait_too),
        UNIT(states_are_right_at_every_nanosecond_and_add_up),
        UNIT(a_stream_waits_while_its_event_has_not_happened),
        UNIT(the_simulated_job_is_as_busy_as_it_says),
        UNIT(the_simulated_jobs_dependencies_never_contradict_its_times),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
