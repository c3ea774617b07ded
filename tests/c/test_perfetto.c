/* What Python cannot make: text that is not UTF-8, rows that no table has, a memory output. And
 * the encoder's corners. */
#include "export/formats.h"
#include "export/perfetto.h"
#include "unit.h"

static void
lengths_take_as_many_bytes_as_they_need(void)
{
    static const size_t sizes[] = { 0, 1, 127, 128, 129, 16383, 16384, 20000 };
    static uint8_t data[20020], expected[20020];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *fields = tsm_pb_begin(data, 12);
        for (size_t k = 0; k < sizes[i]; k++) {
            fields[k] = (uint8_t)(k * 7);
        }
        uint8_t *end = tsm_pb_end(fields, fields + sizes[i]);
        uint8_t *at = tsm_pb_varint(tsm_pb_varint(expected, 12 << 3 | 2), sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++) {
            *at++ = (uint8_t)(k * 7);
        }
        CHECK_EQUAL(end - data, at - expected);
        CHECK(memcmp(data, expected, (size_t)(at - expected)) == 0);
    }
}

static void
text_becomes_valid(void)
{
    static const struct {
        const char *from, *to;
        size_t size;
    } cases[] = {
        { "plain", "plain", 5 },
        { "", "", 0 },
        { "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", 9 },
        { "a\0b",
          "a\xe2\x90\x80"
          "b",
          3 },
        { "\xff", "\xef\xbf\xbd", 1 },
        { "\xc3", "\xef\xbf\xbd", 1 },                                 /* cut off */
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 3 }, /* half a surrogate pair */
        { "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd", 2 },                 /* overlong */
        { "\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 3 },
        { "\xf4\x90\x80\x80x", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx", 5 }, /* beyond Unicode */
        { "\xe4\xb8y", "\xef\xbf\xbd\xef\xbf\xbdy", 3 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t data[64];
        uint8_t *end = pf_text(data, 2, (tsm_text){ cases[i].from, cases[i].size });
        CHECK_EQUAL(end - data, strlen(cases[i].to) + 2);
        CHECK_EQUAL(data[1], strlen(cases[i].to));
        CHECK(memcmp(data + 2, cases[i].to, strlen(cases[i].to)) == 0);
    }
}

static void
text_is_bounded(void)
{
    static char long_text[3 * PF_TEXT_MAX];
    static uint8_t data[PF_TEXT_MAX + 16];
    memset(long_text, 0xff, sizeof long_text);
    uint8_t *end = pf_text(data, 2, (tsm_text){ long_text, sizeof long_text });
    CHECK((size_t)(end - data) <= PF_TEXT_MAX + 8);
    CHECK((size_t)(end - data) > PF_TEXT_MAX - 16);
}

/* An export to memory of these events, with tables that hold only their rows 0. */
static size_t
export_events(const tsm_event *events, size_t count, const tsm_export_options *options, tsm_export_report *report)
{
    tsm_memory *memory;
    tsm_cursor *cursor;
    tsm_output *output;
    tsm_error err = { 0 };
    char *data;
    size_t size;
    CHECK(tsm_memory_create(&memory) == TSM_OK);
    tsm_batch batch = { events, count, NULL, NULL, 0 };
    CHECK(tsm_sink_write(tsm_memory_sink(memory), &batch, &err) == TSM_OK);
    CHECK(tsm_memory_cursor(memory, 0, UINT64_MAX, &cursor) == TSM_OK);
    CHECK(tsm_output_open_memory(&output) == TSM_OK);
    *report = (tsm_export_report){ 0 };
    CHECK(tsm_export_perfetto(cursor, output, options, report, &err) == TSM_OK);
    CHECK(tsm_output_take(output, &data, &size) == TSM_OK);
    free(data);
    tsm_cursor_close(cursor);
    tsm_memory_destroy(memory);
    return size;
}

static void
rows_of_no_table_are_taken_for_none(void)
{
    static tsm_event events[34 * 6];
    size_t count = 0;
    for (uint16_t type = 0; type < 34; type++) {
        for (unsigned i = 0; i < 6; i++) {
            static const uint32_t rows[] = { 1, 77, 1u << 20, UINT32_MAX, UINT32_MAX - 1, 5 };
            events[count++] = (tsm_event){
                .timestamp = count,
                .duration = i % 2 * 10,
                .name = rows[i],
                .stack = rows[i],
                .thread = i == 5 ? 0 : rows[i],
                .stream = i == 4 ? 0 : rows[i],
                .device = rows[i],
                .extra = rows[i],
                .correlation = i,
                .type = type,
                .flags = (uint16_t)((type + i) % 64),
            };
        }
    }
    for (unsigned lean = 0; lean < 2; lean++) {
        tsm_export_options options = { .lean = lean != 0 };
        tsm_export_report report;
        CHECK(export_events(events, count, &options, &report) < 64 * 1024);
        CHECK_EQUAL(report.events, count);
    }
}

static bool
stop(void *context, uint64_t events)
{
    *(uint64_t *)context = events;
    return false;
}

static void
progress_can_stop_it(void)
{
    tsm_event event = { .timestamp = 1, .type = TSM_EVENT_CPU_OP };
    uint64_t seen = 0;
    tsm_export_options options = { .progress = stop, .context = &seen };
    tsm_export_report report = { 0 };
    tsm_memory *memory;
    tsm_cursor *cursor;
    tsm_output *output;
    tsm_error err = { 0 };
    CHECK(tsm_memory_create(&memory) == TSM_OK);
    tsm_batch batch = { &event, 1, NULL, NULL, 0 };
    CHECK(tsm_sink_write(tsm_memory_sink(memory), &batch, &err) == TSM_OK);
    CHECK(tsm_memory_cursor(memory, 0, UINT64_MAX, &cursor) == TSM_OK);
    CHECK(tsm_output_open_memory(&output) == TSM_OK);
    CHECK(tsm_export_perfetto(cursor, output, &options, &report, &err) == TSM_E_STATE);
    CHECK(strlen(err.text) > 0);
    tsm_output_abandon(output);
    tsm_cursor_close(cursor);
    tsm_memory_destroy(memory);
}

int
main(int argc, char **argv)
{
    static const unit_test tests[] = {
        UNIT(lengths_take_as_many_bytes_as_they_need), UNIT(text_becomes_valid),   UNIT(text_is_bounded),
        UNIT(rows_of_no_table_are_taken_for_none),     UNIT(progress_can_stop_it),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
