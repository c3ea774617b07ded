/* The simulated job, whose answers are known, and what becomes of a partial. */
#include "analysis_check.h"
#include "fake_ring.h"
#include "source/source.h"

#define SHAPE(s, d, c, n, l, b)                                                                   \
    {                                                                                             \
        .seed = (s), .devices = (d), .streams = (c), .steps = (n), .layers = (l), .begin_ns = (b) \
    }
static const tsm_simulation shapes[] = {
    SHAPE(1, 1, 2, 20, 24, 5000000000), SHAPE(7, 1, 1, 9, 1, 1),  SHAPE(3, 3, 4, 6, 5, 77777),
    SHAPE(9, 2, 2, 12, 2, 12345),       SHAPE(5, 1, 32, 3, 3, 9), SHAPE(11, 8, 1, 5, 4, 31),
};
#define SHAPE_COUNT (sizeof shapes / sizeof *shapes)

static tsm_simulation_answers
simulate(const tsm_simulation *config)
{
    tsm_simulation_answers told;
    tsm_error error = { 0 };
    start_ring();
    tsm_status status = tsm_simulation_run(config, &told, &error);
    CHECK(status == TSM_OK || puts(error.text) < 0);
    return told;
}

/* What the fake ring keeps, as a batch; the caller frees rows. */
static tsm_batch
as_batch(uint32_t **rows)
{
    *rows = malloc((ring.extension_count + 1) * sizeof **rows);
    CHECK(*rows != NULL);
    size_t count = 0;
    for (size_t i = 0; i < ring.count; i++) {
        if (ring.extension_of[i] != NO_EXTENSION) {
            CHECK_EQUAL(ring.extension_of[i], count);
            (*rows)[count++] = (uint32_t)i;
        }
    }
    return (tsm_batch){ ring.events, ring.count, ring.extensions, *rows, ring.extension_count };
}

static void
add_ring(tsm_analysis *analysis, const char *label)
{
    uint32_t *rows;
    tsm_batch batch = as_batch(&rows);
    check_add(analysis, &batch, ring.tables, label);
    free(rows);
}

static uint64_t
sum_of(const tsm_answers *answers, tsm_report report, const char *column)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < answers->tables[report].row_count; i++) {
        sum += check_integer(answers, report, i, column);
    }
    return sum;
}

static void
check_device(const tsm_answers *answers, const tsm_simulation_answers *told)
{
    size_t row = check_find(answers, TSM_REPORT_BREAKDOWN, "device", "GPU 0", NULL, NULL);
#define DEVICE(column) check_integer(answers, TSM_REPORT_BREAKDOWN, row, column)
    CHECK_EQUAL(DEVICE("window"), told->active_ns);
    CHECK_EQUAL(DEVICE("busy_time"), told->busy_ns);
    CHECK_EQUAL(DEVICE("compute_time"), told->kernel_busy_ns);
    CHECK_EQUAL(DEVICE("exposed_communication_time"), told->communication_ns - told->overlap_ns);
    CHECK_EQUAL(DEVICE("idle_time"), told->idle_input_ns + told->idle_sync_ns + told->idle_launch_ns);
#undef DEVICE
    row = check_find(answers, TSM_REPORT_OVERLAP, "device", "GPU 0", NULL, NULL);
    CHECK_EQUAL(check_integer(answers, TSM_REPORT_OVERLAP, row, "communication"), told->communication_ns);
    CHECK_EQUAL(check_integer(answers, TSM_REPORT_OVERLAP, row, "overlapped"), told->overlap_ns);
    row = check_find(answers, TSM_REPORT_MEMORY, "device", "GPU 0", NULL, NULL);
    CHECK_EQUAL(check_integer(answers, TSM_REPORT_MEMORY, row, "peak"), told->peak_bytes);
    CHECK_EQUAL(check_integer(answers, TSM_REPORT_MEMORY, row, "live"), told->leaked_bytes);
    CHECK_EQUAL(check_integer(answers, TSM_REPORT_MEMORY, row, "live_count"), told->leaked_count);
    CHECK_EQUAL(check_integer(answers, TSM_REPORT_MEMORY, row, "unknown_frees"), 0);
}

static void
check_counts(const tsm_answers *answers, const tsm_simulation_answers *told)
{
    CHECK_EQUAL(answers->totals.events, told->events);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_KERNELS, "count"), told->kernels + told->collectives);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_CONFIGS, "count"), told->kernels);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_COPIES, "count"), told->copies + told->memsets);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_COLLECTIVES, "count"), told->collectives);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_LAUNCHES, "count"), told->kernels + told->collectives);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_STACKS, "count"),
                told->kernels + told->collectives + told->copies + told->memsets);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_MEMORY, "allocations"), told->allocations);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_MEMORY, "frees"), told->frees);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_HEALTH, "count"), 0);
    CHECK_EQUAL(sum_of(answers, TSM_REPORT_COLLECTIVES, "exposed"), answers->totals.exposed_communication_ns);
}

/* The simulator knows three reasons. Its 'input' is what we call by the loader's name; its 'sync' is
 * every gap that began inside a wait, loading left out; its 'launch' is the rest. */
static void
check_reasons(const tsm_answers *answers, const tsm_simulation_answers *told)
{
    uint64_t input = 0, sync = 0;
    for (size_t i = 0; i < answers->tables[TSM_REPORT_CULPRITS].row_count; i++) {
        uint64_t total = check_integer(answers, TSM_REPORT_CULPRITS, i, "total");
        uint64_t after_sync = check_integer(answers, TSM_REPORT_CULPRITS, i, "after_sync");
        if (check_is(check_cell(answers, TSM_REPORT_CULPRITS, i, "name"), "DataLoader.__next__")) {
            input += total;
        } else {
            sync += after_sync;
        }
    }
    CHECK_EQUAL(input, told->idle_input_ns);
    CHECK_EQUAL(sync, told->idle_sync_ns);
}

static void
simulated_jobs_have_the_answers_that_were_told(void)
{
    for (size_t i = 0; i < SHAPE_COUNT; i++) {
        tsm_simulation_answers told = simulate(&shapes[i]);
        tsm_analysis *analysis = check_new();
        add_ring(analysis, "");
        tsm_answers *answers = check_finish(analysis);
        check_sums(answers);
        check_device(answers, &told);
        check_counts(answers, &told);
        if (shapes[i].devices == 1) {
            check_reasons(answers, &told);
        }
        tsm_answers_destroy(answers);
        tsm_analysis_destroy(analysis);
    }
}

static void
steps_are_found_and_the_slow_ones_stand_out(void)
{
    tsm_simulation config = tsm_simulation_default();
    config.begin_ns = 1;
    (void)simulate(&config);
    tsm_analysis *analysis = check_new();
    add_ring(analysis, "");
    tsm_answers *answers = check_finish(analysis);
    CHECK_EQUAL(answers->tables[TSM_REPORT_STEPS].row_count, config.steps);
    for (size_t i = 0; i < config.steps; i++) {
        CHECK_EQUAL(check_integer(answers, TSM_REPORT_STEPS, i, "number"), i);
        CHECK(i % 5 != 4 || check_integer(answers, TSM_REPORT_STEPS, i, "outlier") == 1);
    }
    CHECK(check_finding(answers, "host-busy") != NULL && check_finding(answers, "pageable-async-copy") != NULL);
    CHECK(memmem(answers->verdict.data, answers->verdict.size, "DataLoader.__next__", 19) != NULL);
    tsm_answers_destroy(answers);
    tsm_analysis_destroy(analysis);
}

/* ---- Partials ---------------------------------------------------------------------------------- */

typedef struct {
    uint8_t *data;
    size_t size;
} saved;

static saved
save(const tsm_analysis *analysis)
{
    saved s;
    CHECK_EQUAL(tsm_analysis_save(analysis, &s.data, &s.size), TSM_OK);
    return s;
}

static saved
simulate_and_save(const tsm_simulation *config, const char *label)
{
    (void)simulate(config);
    tsm_analysis *analysis = check_new();
    add_ring(analysis, label);
    saved s = save(analysis);
    tsm_analysis_destroy(analysis);
    return s;
}

static void
check_same(const tsm_analysis *one, const tsm_analysis *other)
{
    tsm_answers *a = check_finish(one), *b = check_finish(other);
    CHECK(memcmp(&a->totals, &b->totals, sizeof a->totals) == 0);
    CHECK(a->verdict.size == b->verdict.size && memcmp(a->verdict.data, b->verdict.data, a->verdict.size) == 0);
    CHECK_EQUAL(a->finding_count, b->finding_count);
    for (size_t t = 0; t < a->table_count; t++) {
        const tsm_answer_table *left = &a->tables[t], *right = &b->tables[t];
        CHECK_EQUAL(left->row_count, right->row_count);
        for (size_t i = 0; i < left->row_count * left->column_count; i++) {
            const tsm_cell *x = &left->cells[i], *y = &right->cells[i];
            CHECK_EQUAL(x->type, y->type);
            if (x->type == TSM_CELL_TEXT) {
                CHECK(x->text.size == y->text.size && memcmp(x->text.data, y->text.data, x->text.size) == 0);
            } else if (x->type != TSM_CELL_NONE) {
                CHECK_EQUAL(x->integer, y->integer);
            }
        }
    }
    tsm_answers_destroy(a);
    tsm_answers_destroy(b);
}

static void
merged_partials_answer_as_the_whole_does(void)
{
    tsm_analysis *whole = check_new(), *forth = check_new(), *back = check_new();
    saved parts[3];
    static const char *const labels[] = { "a", "b", "c" };
    for (int i = 0; i < 3; i++) {
        parts[i] = simulate_and_save(&shapes[i], labels[i]);
        add_ring(whole, labels[i]);
    }
    for (int i = 0; i < 3; i++) {
        tsm_analysis *part;
        tsm_error error;
        CHECK_EQUAL(tsm_analysis_load(parts[i].data, parts[i].size, &part, &error), TSM_OK);
        CHECK_EQUAL(tsm_analysis_merge(forth, part), TSM_OK);
        tsm_analysis_destroy(part);
        CHECK_EQUAL(tsm_analysis_load(parts[2 - i].data, parts[2 - i].size, &part, &error), TSM_OK);
        CHECK_EQUAL(tsm_analysis_merge(back, part), TSM_OK);
        tsm_analysis_destroy(part);
    }
    check_same(whole, forth);
    check_same(whole, back);
    for (int i = 0; i < 3; i++) {
        free(parts[i].data);
    }
    tsm_analysis_destroy(whole);
    tsm_analysis_destroy(forth);
    tsm_analysis_destroy(back);
}

static void
a_partial_that_was_cut_is_refused(void)
{
    saved s = simulate_and_save(&shapes[1], "");
    for (size_t size = 0; size < s.size; size += size < 300 ? 1 : 53) {
        tsm_analysis *analysis = NULL;
        tsm_error error = { 0 };
        uint8_t *copy = malloc(size + 1); /* of that size, so that reading on would be seen */
        CHECK(copy != NULL);
        memcpy(copy, s.data, size);
        CHECK(tsm_analysis_load(copy, size, &analysis, &error) != TSM_OK && analysis == NULL);
        CHECK(error.text[0] != '\0');
        free(copy);
    }
    free(s.data);
}

/* Any byte changed: it is refused, or it is another partial; never read out of bounds. */
static void
a_partial_that_was_damaged_does_no_harm(void)
{
    saved s = simulate_and_save(&shapes[1], "");
    for (size_t i = 0; i < s.size; i += i < 1000 ? 1 : 7) {
        tsm_analysis *analysis;
        uint8_t flip = (uint8_t)(i % 3 == 0 ? 0xffu : 1u << i % 8);
        s.data[i] ^= flip;
        if (tsm_analysis_load(s.data, s.size, &analysis, NULL) == TSM_OK) {
            tsm_answers *answers;
            CHECK_EQUAL(tsm_analysis_finish(analysis, TSM_REPORT_ALL, 5, &answers), TSM_OK);
            tsm_answers_destroy(answers);
            tsm_analysis_destroy(analysis);
        }
        s.data[i] ^= flip;
    }
    free(s.data);
}

int
main(int argc, char **argv)
{
    static const unit_test tests[] = {
        UNIT(simulated_jobs_have_the_answers_that_were_told), UNIT(steps_are_found_and_the_slow_ones_stand_out),
        UNIT(merged_partials_answer_as_the_whole_does),       UNIT(a_partial_that_was_cut_is_refused),
        UNIT(a_partial_that_was_damaged_does_no_harm),
    };
    int result = unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
    stop_ring();
    return result;
}
