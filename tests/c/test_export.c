/* Output, the pieces of JSON, and what tables from outside may hold. */
#include <float.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "export/export.h"
#include "export/json.h"
#include "export/output.h"
#include "export/pairs.h"
#include "unit.h"

static char folder[] = "/tmp/tsm-export-XXXXXX";

static const char *
path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static char *
read_back(const char *path, size_t *size)
{
    gzFile file = gzopen(path, "rb"); /* reads plain files, too */
    CHECK(file != NULL);
    size_t capacity = 32 << 20;
    char *data = malloc(capacity);
    int got = gzread(file, data, (unsigned)capacity - 1);
    CHECK(got >= 0);
    gzclose(file);
    data[got] = '\0';
    *size = (size_t)got;
    return data;
}

/* Pieces of every length up to beyond the buffer, each byte telling its place. */
static uint64_t
fill(tsm_output *output)
{
    static char piece[700000];
    uint64_t at = 0;
    for (size_t length = 1; length < sizeof piece; length += length / 2 + 1) {
        for (size_t i = 0; i < length; i++) {
            piece[i] = (char)((at + i) * 31 % 251);
        }
        tsm_output_put(output, piece, length);
        at += length;
        char *room = tsm_output_room(output, 3);
        for (int i = 0; i < 3; i++) {
            room[i] = (char)((at + (size_t)i) * 31 % 251);
        }
        tsm_output_advance(output, 3);
        at += 3;
    }
    CHECK_EQUAL(tsm_output_bytes(output), at);
    return at;
}

static void
check_filled(const char *data, size_t size, uint64_t expected)
{
    CHECK_EQUAL(size, expected);
    for (size_t i = 0; i < size; i++) {
        CHECK(data[i] == (char)(i * 31 % 251));
    }
}

static void
what_is_put_is_what_the_file_holds(void)
{
    for (int gzip = 0; gzip < 2; gzip++) {
        tsm_output *output;
        tsm_error err = { 0 };
        size_t size;
        CHECK(tsm_output_open(path_of("filled"), gzip != 0, &output, &err) == TSM_OK);
        uint64_t expected = fill(output);
        CHECK(tsm_output_close(output, &err) == TSM_OK);
        char *data = read_back(path_of("filled"), &size);
        check_filled(data, size, expected);
        free(data);
    }
}

static void
memory_holds_the_same(void)
{
    tsm_output *output;
    char *data;
    size_t size;
    CHECK(tsm_output_open_memory(&output) == TSM_OK);
    uint64_t expected = fill(output);
    CHECK(tsm_output_take(output, &data, &size) == TSM_OK);
    check_filled(data, size, expected);
    free(data);
}

static void
what_is_abandoned_leaves_nothing(void)
{
    tsm_output *output;
    tsm_error err = { 0 };
    CHECK(tsm_output_open(path_of("abandoned"), true, &output, &err) == TSM_OK);
    fill(output);
    tsm_output_abandon(output);
    tsm_output_abandon(NULL);
    (void)unlink(path_of("filled"));
    CHECK(rmdir(folder) == 0); /* so nothing lay in it */
    CHECK(mkdir(folder, 0700) == 0);
}

static void
a_full_disk_is_told_when_closing_and_writing_goes_on(void)
{
    tsm_output *output;
    tsm_error err = { 0 };
    if (access("/dev/full", W_OK) < 0) {
        return;
    }
    CHECK(tsm_output_open("/dev/full", false, &output, &err) == TSM_OK);
    fill(output);
    CHECK(tsm_output_failed(output));
    CHECK(tsm_output_close(output, &err) == TSM_E_IO);
    CHECK(strstr(err.text, "/dev/full") != NULL);
}

/* ---- Numbers */

static void
check_number(double value, const char *expected)
{
    char text[TSM_NUMBER_CHARS + 1] = { 0 };
    char *end = tsm_print_double(text, value);
    CHECK(end < text + TSM_NUMBER_CHARS);
    *end = '\0';
    CHECK(expected == NULL || strcmp(text, expected) == 0);
    CHECK(strtod(text, NULL) == value);
    CHECK(tsm_json_valid(text, (size_t)(end - text)));
}

static void
doubles_read_back_as_they_were(void)
{
    static const double odd[] = { 0.0,  -0.0,    1e-3,     9e6, 9007199254740993.0, DBL_MIN, DBL_MAX, 5e-324,
                                  1e21, 123.456, 1.0 / 3., 0.1, 8999999.999999999,  1e300,   -2.5e-7, 1e9 };
    uint64_t bits = 88172645463325252u;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        check_number(odd[i], NULL);
    }
    for (int i = 0; i < 200000; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) {
            check_number(value, NULL);
        }
        check_number((double)(bits >> 30) / 1000, NULL);
        check_number((double)(float)((double)(bits >> 44) * 1.37), NULL);
    }
    check_number(32, "32.0");
    check_number(0.1, "0.1");
    check_number(-1.5, "-1.5");
    check_number(0.148148, "0.148148");
}

static void
times_have_three_decimals(void)
{
    static const struct {
        uint64_t ns, base;
        const char *text;
    } cases[] = { { 0, 0, "0.000" },
                  { 5, 0, "0.005" },
                  { 1234, 0, "1.234" },
                  { 1234, 1240, "-0.006" },
                  { UINT64_MAX, 0, "18446744073709551.615" },
                  { 1695835542943623001, 1695835542943623000, "0.001" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[TSM_NUMBER_CHARS + 1] = { 0 };
        *tsm_print_us_since(text, cases[i].ns, cases[i].base) = '\0';
        CHECK(strcmp(text, cases[i].text) == 0);
    }
}

/* ---- Strings */

static void
check_string(const char *text, size_t size, const char *expected)
{
    tsm_buffer buffer = { 0 };
    tsm_buffer_string(&buffer, text, size);
    CHECK_EQUAL(buffer.size, strlen(expected));
    CHECK(memcmp(buffer.data, expected, buffer.size) == 0);
    CHECK(tsm_json_valid(buffer.data, buffer.size));
    free(buffer.data);
}

#define BAD "\xef\xbf\xbd"

static void
what_is_no_utf8_is_replaced(void)
{
    check_string("", 0, "\"\"");
    check_string("a\"\\/\n\x01\x7f", 7, "\"a\\\"\\\\/\\n\\u0001\x7f\"");
    check_string("\0x", 2, "\"\\u0000x\"");
    check_string("\xc3\xa9\xe2\x88\x91\xf0\x9f\x9a\x80", 9, "\"\xc3\xa9\xe2\x88\x91\xf0\x9f\x9a\x80\"");
    check_string("\xff", 1, "\"" BAD "\"");
    check_string("\xc0\x80", 2, "\"" BAD BAD "\"");                 /* too long a form of NUL */
    check_string("\xed\xa0\x80", 3, "\"" BAD BAD BAD "\"");         /* a surrogate */
    check_string("\xf4\x90\x80\x80", 4, "\"" BAD BAD BAD BAD "\""); /* beyond the last character */
    check_string("\xe2\x88", 2, "\"" BAD BAD "\"");                 /* cut off */
    check_string("\xe2\x88x", 3, "\"" BAD BAD "x\"");
}

static void
only_json_is_taken_for_json(void)
{
    static const char *const good[] = {
        "[]",     "{}",     "[1, -2.5e+3, \"a\\u00e9\", null]", "{\"a\": {\"b\": [true]}}", "0", " \"x\" ", "-0.5",
        "[[[]]]", "[{},{}]"
    };
    static const char *const bad[] = { "",      "[",      "]",   "[1,]",    "{\"a\"}", "{\"a\":}",
                                       "{a:1}", "01",     "+1",  "1.",      ".5",      "1e",
                                       "nul",   "truex",  "\"a", "\"\\x\"", "[1 2]",   "{\"a\":1,}",
                                       "[1]x",  "\"\n\"", "-",   "[}",      "NaN",     "\"\xff\"" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(tsm_json_valid(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!tsm_json_valid(bad[i], strlen(bad[i])));
    }
    char deep[2000];
    memset(deep, '[', 1000);
    memset(deep + 1000, ']', 1000);
    CHECK(!tsm_json_valid(deep, sizeof deep)); /* deeper than we follow: then it is a text */
}

static void
a_walk_meets_every_member(void)
{
    static const char json[] = "{\"a,]\": [1, \"}\"], \"b\" : \"x\\\"y\" ,\"c\":{}}";
    static const char *const expected[] = { "\"a,]\"", "[1, \"}\"]", "\"b\"", "\"x\\\"y\"", "\"c\"", "{}" };
    tsm_json_walk walk;
    tsm_text key, value;
    size_t at = 0;
    CHECK(tsm_json_enter(&walk, (tsm_text){ json, sizeof json - 1 }, '{'));
    for (; tsm_json_next(&walk, &key, &value); at += 2) {
        CHECK(at < 6);
        CHECK(key.size == strlen(expected[at]) && memcmp(key.data, expected[at], key.size) == 0);
        CHECK(value.size == strlen(expected[at + 1]) && memcmp(value.data, expected[at + 1], value.size) == 0);
    }
    CHECK_EQUAL(at, 6);
    CHECK(!tsm_json_enter(&walk, (tsm_text){ json, sizeof json - 1 }, '['));
}

/* ---- Pairs */

static void
ends_find_their_begins_in_any_order(void)
{
    enum { PAIRS = 5000 };
    tsm_pairs pairs = { 0 };
    tsm_event joined;
    for (uint64_t i = 0; i < PAIRS; i++) {
        tsm_event begin = { .timestamp = i, .correlation = i / 2, .stream = (uint32_t)(i % 2) };
        CHECK(tsm_pairs_begin(&pairs, &begin) == TSM_OK);
    }
    for (uint64_t i = 0; i < PAIRS - 2; i++) {
        uint64_t which = i * 11 % (PAIRS - 2);
        tsm_event end = { .timestamp = which + 9, .correlation = which / 2, .stream = (uint32_t)(which % 2) };
        CHECK(tsm_pairs_end(&pairs, &end, &joined));
        CHECK_EQUAL(joined.timestamp, which);
        CHECK_EQUAL(joined.duration, 9);
        CHECK(!tsm_pairs_end(&pairs, &end, &joined));
    }
    CHECK(tsm_pairs_pop(&pairs, &joined) && tsm_pairs_pop(&pairs, &joined) && !tsm_pairs_pop(&pairs, &joined));
    tsm_pairs_free(&pairs);
}

/* ---- A whole export of tables that nobody should trust */

static tsm_memory *
hostile_trace(void)
{
    tsm_memory *memory;
    uint32_t name, set, schema;
    CHECK(tsm_memory_create(&memory) == TSM_OK);
    tsm_tables *tables = tsm_memory_tables(memory);
    CHECK(tsm_tables_intern_text(tables, TSM_TABLE_STRINGS, "n\xff\"", 3, &name) == TSM_OK);
    /* Chains that lead to themselves and beyond the table. */
    CHECK(tsm_tables_add(tables, TSM_TABLE_METADATA, (uint64_t[]){ 1, name, 99999 }, &set) == TSM_OK);
    CHECK(tsm_tables_add(tables, TSM_TABLE_METADATA, (uint64_t[]){ 3, 77777, name }, &set) == TSM_OK);
    CHECK(tsm_tables_add(tables, TSM_TABLE_STACKS, (uint64_t[]){ 1, 5 }, &set) == TSM_OK);
    CHECK(tsm_tables_add(tables, TSM_TABLE_SCHEMAS, (uint64_t[]){ 1, name, 200 }, &schema) == TSM_OK);
    CHECK(tsm_tables_add(tables, TSM_TABLE_STREAMS, (uint64_t[]){ 9, 9, 1, UINT64_MAX, 9, 9 }, &set) == TSM_OK);
    CHECK(tsm_tables_add(tables, TSM_TABLE_THREADS, (uint64_t[]){ UINT32_MAX, 7, 9 }, &set) == TSM_OK);
    uint64_t bits = 1;
    for (uint16_t i = 0; i < 600; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        tsm_event event = { .timestamp = bits >> (i % 60),
                            .duration = i % 3 == 0 ? UINT64_MAX : bits,
                            .value = bits,
                            .correlation = bits,
                            .name = i % 5,
                            .stack = i % 4,
                            .thread = i % 3,
                            .stream = i % 4,
                            .device = i % 2 == 0 ? UINT32_MAX : 0,
                            .extra = i % 7,
                            .type = i % 40,
                            .flags = (uint16_t)(bits >> 48) & 0x3fff };
        tsm_extension extension = { .values = { bits, 's', 99, 98, 97 },
                                    .type = TSM_SLOT_EXTENSION,
                                    .count = (uint16_t)(i % 12),
                                    .schema = i % 4 };
        const uint32_t row = 0;
        CHECK(tsm_sink_write(tsm_memory_sink(memory), &(tsm_batch){ &event, 1, &extension, &row, 1 }, NULL) == TSM_OK);
    }
    return memory;
}

static void
a_trace_that_refers_to_nothing_is_valid_json(void)
{
    tsm_memory *memory = hostile_trace();
    tsm_cursor *cursor;
    tsm_export_report report;
    tsm_error err = { 0 };
    size_t size;
    CHECK(tsm_memory_cursor(memory, 0, UINT64_MAX, &cursor) == TSM_OK);
    CHECK(tsm_export_file(cursor, TSM_EXPORT_CHROME, path_of("hostile.json"), NULL, &report, &err) == TSM_OK);
    char *data = read_back(path_of("hostile.json"), &size);
    CHECK(tsm_json_valid(data, size));
    CHECK_EQUAL(size, report.bytes);
    CHECK(report.written > 0 && report.written <= report.events);
    free(data);
    tsm_memory_destroy(memory);
}

static void
a_format_that_is_none_is_refused(void)
{
    tsm_memory *memory;
    tsm_cursor *cursor;
    tsm_error err = { 0 };
    CHECK(tsm_memory_create(&memory) == TSM_OK);
    CHECK(tsm_memory_cursor(memory, 0, UINT64_MAX, &cursor) == TSM_OK);
    CHECK(tsm_export_file(cursor, (tsm_export_format)99, path_of("none"), NULL, NULL, &err) == TSM_E_ARG);
    CHECK(access(path_of("none"), F_OK) < 0);
    tsm_memory_destroy(memory);
}

int
main(int argc, char **argv)
{
    static const unit_test tests[] = {
        UNIT(what_is_put_is_what_the_file_holds),
        UNIT(memory_holds_the_same),
        UNIT(what_is_abandoned_leaves_nothing),
        UNIT(a_full_disk_is_told_when_closing_and_writing_goes_on),
        UNIT(doubles_read_back_as_they_were),
        UNIT(times_have_three_decimals),
        UNIT(what_is_no_utf8_is_replaced),
        UNIT(only_json_is_taken_for_json),
        UNIT(a_walk_meets_every_member),
        UNIT(ends_find_their_begins_in_any_order),
        UNIT(a_trace_that_refers_to_nothing_is_valid_json),
        UNIT(a_format_that_is_none_is_refused),
    };
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int result = unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
    for (const char *const *name = (const char *const[]){ "filled", "hostile.json", NULL }; *name != NULL; name++) {
        (void)unlink(path_of(*name));
    }
    (void)rmdir(folder);
    return result;
}
