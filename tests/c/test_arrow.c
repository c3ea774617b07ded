/* The Arrow stream as a consumer in C meets it: who owns what, and for how long. Under the address
 * sanitizer this is also the test for leaks and for what is used after its release. */
#include "export/export.h"
#include "unit.h"

#define BATCH_ROWS 65536

enum { TIMESTAMP = 0, NAME = 2, TYPE = 3, STREAM = 6, PID = 8, PROCESS_NAME = 9, CORRELATION = 12, COLUMNS = 25 };

/* Event i begins at i, lasts 2 i and is named by the number i % names. */
static tsm_memory *
make_trace(size_t count, size_t names)
{
    tsm_memory *memory;
    CHECK(tsm_memory_create(&memory) == TSM_OK);
    tsm_sink *sink = tsm_memory_sink(memory);
    uint32_t *rows = calloc(names, sizeof *rows);
    char text[32];
    for (size_t i = 0; i < names; i++) {
        const int size = snprintf(text, sizeof text, "name %zu", i);
        CHECK(tsm_tables_intern_text(tsm_sink_tables(sink), TSM_TABLE_STRINGS, text, (size_t)size, &rows[i]) == TSM_OK);
    }
    for (size_t i = 0; i < count; i++) {
        const tsm_event event = {
            .timestamp = i, .duration = 2 * i, .name = rows[i % names], .type = TSM_EVENT_CPU_OP
        };
        CHECK(tsm_sink_write(sink, &(tsm_batch){ &event, 1, NULL, NULL, 0 }, NULL) == TSM_OK);
    }
    free(rows);
    return memory;
}

static struct ArrowArrayStream
open_stream(tsm_memory *memory)
{
    struct ArrowArrayStream stream;
    tsm_cursor *cursor;
    CHECK(tsm_memory_cursor(memory, 0, UINT64_MAX, &cursor) == TSM_OK);
    CHECK(tsm_export_arrow(cursor, &stream) == TSM_OK);
    return stream;
}

static int64_t
integer(const struct ArrowArray *column, size_t row)
{
    return ((const int64_t *)column->buffers[1])[row];
}

static bool
is_null(const struct ArrowArray *column, size_t row)
{
    const unsigned char *valid = column->buffers[0];
    return valid != NULL && (valid[row / 8] >> row % 8 & 1) == 0;
}

static bool
says(const struct ArrowArray *column, size_t row, const char *expected)
{
    const struct ArrowArray *texts = column->dictionary;
    const int32_t code = ((const int32_t *)column->buffers[1])[row];
    const int32_t *offsets = texts->buffers[1];
    CHECK(code >= 0 && code < texts->length);
    const size_t size = (size_t)(offsets[code + 1] - offsets[code]);
    return size == strlen(expected) && memcmp((const char *)texts->buffers[2] + offsets[code], expected, size) == 0;
}

static void
schema_names_its_columns(void)
{
    tsm_memory *memory = make_trace(1, 1);
    struct ArrowArrayStream stream = open_stream(memory);
    struct ArrowSchema schema;
    CHECK_EQUAL(stream.get_schema(&stream, &schema), 0);
    stream.release(&stream);
    CHECK(stream.release == NULL);
    CHECK(strcmp(schema.format, "+s") == 0);
    CHECK_EQUAL(schema.n_children, COLUMNS);
    CHECK(strcmp(schema.children[TIMESTAMP]->name, "timestamp") == 0);
    CHECK(strcmp(schema.children[TIMESTAMP]->format, "l") == 0);
    CHECK(strcmp(schema.children[NAME]->format, "i") == 0);
    CHECK(strcmp(schema.children[NAME]->dictionary->format, "u") == 0);
    CHECK(strcmp(schema.children[COLUMNS - 1]->name, "stack") == 0);
    schema.release(&schema);
    CHECK(schema.release == NULL);
    tsm_memory_destroy(memory);
}

static void
every_row_comes_once_and_in_order(void)
{
    const size_t count = 2 * BATCH_ROWS + 17;
    tsm_memory *memory = make_trace(count, 100);
    struct ArrowArrayStream stream = open_stream(memory);
    struct ArrowArray batch;
    size_t seen = 0;
    char name[32];
    while (stream.get_next(&stream, &batch) == 0 && batch.release != NULL) {
        CHECK(batch.length <= BATCH_ROWS);
        for (size_t row = 0; row < (size_t)batch.length; row++, seen++) {
            snprintf(name, sizeof name, "name %zu", seen % 100);
            CHECK_EQUAL(integer(batch.children[TIMESTAMP], row), seen);
            CHECK_EQUAL(integer(batch.children[1], row), 2 * seen);
            CHECK(says(batch.children[NAME], row, name));
        }
        CHECK(says(batch.children[TYPE], 0, "CpuOp"));
        CHECK_EQUAL(batch.children[TIMESTAMP]->null_count, 0);
        CHECK_EQUAL(batch.children[STREAM]->null_count, batch.length);
        CHECK(is_null(batch.children[STREAM], 0) && is_null(batch.children[CORRELATION], 0));
        CHECK_EQUAL((uintptr_t)batch.children[TIMESTAMP]->buffers[1] % 64, 0);
        batch.release(&batch);
    }
    CHECK_EQUAL(seen, count);
    CHECK(stream.get_last_error(&stream) == NULL);
    CHECK_EQUAL(stream.get_next(&stream, &batch), 0); /* again: the end stays the end */
    CHECK(batch.release == NULL);
    stream.release(&stream);
    tsm_memory_destroy(memory);
}

static void
what_is_handed_out_outlives_stream_and_trace(void)
{
    tsm_memory *memory = make_trace(BATCH_ROWS + 1, 10);
    struct ArrowArrayStream stream = open_stream(memory);
    struct ArrowArray batch, column;
    CHECK_EQUAL(stream.get_next(&stream, &batch), 0);
    stream.release(&stream); /* with half of it unread */
    tsm_memory_destroy(memory);
    column = *batch.children[NAME]; /* taken out, as the interface allows */
    batch.children[NAME]->release = NULL;
    batch.release(&batch);
    CHECK(says(&column, 7, "name 7"));
    column.release(&column);
    CHECK(column.release == NULL);
}

static void
a_stream_nobody_reads_leaves_nothing(void)
{
    tsm_memory *memory = make_trace(10, 1);
    for (int i = 0; i < 1000; i++) {
        struct ArrowArrayStream stream = open_stream(memory);
        stream.release(&stream);
    }
    tsm_memory_destroy(memory);
}

static void
no_events_are_no_batch(void)
{
    tsm_memory *memory = make_trace(0, 1);
    struct ArrowArrayStream stream = open_stream(memory);
    struct ArrowArray batch;
    CHECK_EQUAL(stream.get_next(&stream, &batch), 0);
    CHECK(batch.release == NULL);
    stream.release(&stream);
    tsm_memory_destroy(memory);
}

static void
codes_stay_the_same_until_there_are_many(void)
{
    tsm_memory *memory = make_trace(3 * BATCH_ROWS, 2 * BATCH_ROWS);
    struct ArrowArrayStream stream = open_stream(memory);
    struct ArrowArray first, second, third;
    CHECK_EQUAL(stream.get_next(&stream, &first), 0);
    CHECK_EQUAL(stream.get_next(&stream, &second), 0);
    CHECK_EQUAL(stream.get_next(&stream, &third), 0);
    CHECK_EQUAL(first.children[NAME]->dictionary->length, BATCH_ROWS);
    CHECK_EQUAL(second.children[NAME]->dictionary->length, 2 * BATCH_ROWS);
    CHECK_EQUAL(third.children[NAME]->dictionary->length, BATCH_ROWS);
    CHECK(says(second.children[NAME], 0, "name 65536"));
    CHECK(says(third.children[NAME], 5, "name 5"));
    CHECK(says(first.children[NAME], 5, "name 5"));
    CHECK(first.children[TYPE]->dictionary->buffers[1] == third.children[TYPE]->dictionary->buffers[1]);
    first.release(&first);
    third.release(&third);
    second.release(&second);
    stream.release(&stream);
    tsm_memory_destroy(memory);
}

static void
text_is_made_valid(void)
{
    static const struct {
        const char *bytes, *expected;
    } cases[] = {
        { "plain \xc3\xa9", "plain \xc3\xa9" },
        { "cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd" },
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xff", "\xef\xbf\xbd" },
        { "\xfe", "\xef\xbf\xbd" },
    };
    tsm_memory *memory;
    CHECK(tsm_memory_create(&memory) == TSM_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tsm_event event = { .timestamp = i };
        CHECK(tsm_tables_intern_text(tsm_memory_tables(memory), TSM_TABLE_STRINGS, cases[i].bytes,
                                     strlen(cases[i].bytes), &event.name)
              == TSM_OK);
        CHECK(tsm_sink_write(tsm_memory_sink(memory), &(tsm_batch){ &event, 1, NULL, NULL, 0 }, NULL) == TSM_OK);
    }
    struct ArrowArrayStream stream = open_stream(memory);
    struct ArrowArray batch;
    CHECK_EQUAL(stream.get_next(&stream, &batch), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(says(batch.children[NAME], i, cases[i].expected));
    }
    CHECK_EQUAL(batch.children[NAME]->dictionary->length, sizeof cases / sizeof *cases - 1); /* nothing twice */
    batch.release(&batch);
    stream.release(&stream);
    tsm_memory_destroy(memory);
}

/* Ids that no table has, and numbers that no signed one can hold, are null. */
static void
what_means_nothing_is_null(void)
{
    tsm_memory *memory;
    CHECK(tsm_memory_create(&memory) == TSM_OK);
    const tsm_event event = { .timestamp = UINT64_MAX,
                              .name = 77,
                              .stack = 77,
                              .thread = 77,
                              .stream = 77,
                              .device = 77,
                              .extra = 77,
                              .type = 60000,
                              .flags = TSM_EXTRA_LAUNCH };
    tsm_cursor *cursor;
    CHECK(tsm_batch_cursor(&(tsm_batch){ &event, 1, NULL, NULL, 0 }, tsm_memory_tables(memory), 0, UINT64_MAX, &cursor)
          == TSM_OK);
    struct ArrowArrayStream stream;
    struct ArrowArray batch;
    CHECK(tsm_export_arrow(cursor, &stream) == TSM_OK);
    CHECK_EQUAL(stream.get_next(&stream, &batch), 0);
    for (size_t c = 0; c < COLUMNS; c++) {
        CHECK_EQUAL(batch.children[c]->null_count, c != 1 && c != TYPE);
    }
    CHECK(batch.children[PROCESS_NAME]->dictionary->length == 0);
    CHECK(says(batch.children[TYPE], 0, "Unknown"));
    batch.release(&batch);
    stream.release(&stream);
    tsm_memory_destroy(memory);
}

static void
a_name_that_no_table_has_is_null(void)
{
    tsm_memory *memory;
    CHECK(tsm_memory_create(&memory) == TSM_OK);
    tsm_tables *tables = tsm_memory_tables(memory);
    const uint64_t process[] = { 0, 5, 0, 0, (uint64_t)1 << 40 };
    uint64_t thread[] = { 0, 6, UINT32_MAX - 1 };
    uint32_t id;
    CHECK(tsm_tables_add(tables, TSM_TABLE_PROCESSES, process, &id) == TSM_OK);
    thread[TSM_THREAD_PROCESS] = id;
    CHECK(tsm_tables_add(tables, TSM_TABLE_THREADS, thread, &id) == TSM_OK);
    const tsm_event event = { .thread = id };
    CHECK(tsm_sink_write(tsm_memory_sink(memory), &(tsm_batch){ &event, 1, NULL, NULL, 0 }, NULL) == TSM_OK);
    struct ArrowArrayStream stream = open_stream(memory);
    struct ArrowArray batch;
    CHECK_EQUAL(stream.get_next(&stream, &batch), 0);
    CHECK_EQUAL(integer(batch.children[PID], 0), 5);
    CHECK(is_null(batch.children[PROCESS_NAME], 0) && is_null(batch.children[PROCESS_NAME + 2], 0));
    batch.release(&batch);
    stream.release(&stream);
    tsm_memory_destroy(memory);
}

/* ---- A cursor that fails after its first batch */

static struct {
    tsm_cursor cursor;
    tsm_memory *memory;
    int calls;
} failing;

static tsm_status
fail_later(tsm_cursor *cursor, tsm_batch *batch, tsm_error *err)
{
    static const tsm_event event = { .timestamp = 1 };
    (void)cursor;
    *batch = (tsm_batch){ &event, 1, NULL, NULL, 0 };
    return failing.calls++ == 0 ? TSM_OK : tsm_fail(err, TSM_E_CORRUPT, 5, "damaged on purpose");
}

static tsm_tables *
failing_tables(tsm_cursor *cursor)
{
    (void)cursor;
    return tsm_memory_tables(failing.memory);
}

static void
close_nothing(tsm_cursor *cursor)
{
    (void)cursor;
}

static void
an_error_is_told_and_stays(void)
{
    static const tsm_cursor_ops ops = { .next = fail_later, .tables = failing_tables, .close = close_nothing };
    failing.cursor.ops = &ops;
    failing.memory = make_trace(0, 1);
    struct ArrowArrayStream stream;
    struct ArrowArray batch;
    CHECK(tsm_export_arrow(&failing.cursor, &stream) == TSM_OK);
    CHECK(stream.get_next(&stream, &batch) != 0);
    CHECK(strstr(stream.get_last_error(&stream), "damaged on purpose") != NULL);
    CHECK(stream.get_next(&stream, &batch) != 0);
    CHECK_EQUAL(failing.calls, 2);
    stream.release(&stream);
    tsm_memory_destroy(failing.memory);
}

int
main(int argc, char **argv)
{
    static const unit_test tests[] = {
        UNIT(schema_names_its_columns),
        UNIT(every_row_comes_once_and_in_order),
        UNIT(what_is_handed_out_outlives_stream_and_trace),
        UNIT(a_stream_nobody_reads_leaves_nothing),
        UNIT(no_events_are_no_batch),
        UNIT(codes_stay_the_same_until_there_are_many),
        UNIT(text_is_made_valid),
        UNIT(what_means_nothing_is_null),
        UNIT(a_name_that_no_table_has_is_null),
        UNIT(an_error_is_told_and_stays),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
