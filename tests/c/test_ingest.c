/* Imports into memory, and what the tokenizer makes of numbers and texts. */
#include <math.h>
#include <unistd.h>

#include "ingest/ingest.h"
#include "ingest/json.h"
#include "unit.h"

static char path[] = "/tmp/tracesmith-ingest-XXXXXX";

static FILE *
begin_file(void)
{
    memcpy(path + sizeof path - 7, "XXXXXX", 6);
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    FILE *file = fdopen(fd, "w");
    CHECK(file != NULL);
    return file;
}

static void
end_file(FILE *file)
{
    CHECK_EQUAL(fclose(file), 0);
}

static tsm_memory *
import_file(tsm_ingest_report *report)
{
    tsm_memory *memory;
    tsm_error err = { 0 };
    CHECK_EQUAL(tsm_memory_create(&memory), TSM_OK);
    tsm_status status = tsm_ingest_file(path, TSM_INGEST_UNKNOWN, tsm_memory_sink(memory), NULL, NULL, report, &err);
    if (status != TSM_OK) {
        fprintf(stderr, "%s\n", err.text);
    }
    CHECK_EQUAL(status, TSM_OK);
    unlink(path);
    return memory;
}

static tsm_text
name_of(tsm_memory *memory, size_t event)
{
    tsm_batch batch;
    tsm_memory_borrow(memory, &batch);
    CHECK(event < batch.count);
    return tsm_tables_borrow_text(tsm_memory_tables(memory), TSM_TABLE_STRINGS, batch.events[event].name);
}

static void
check_format(const void *data, size_t size, tsm_ingest_format expected)
{
    tsm_ingest_format format;
    FILE *file = begin_file();
    CHECK_EQUAL(fwrite(data, 1, size, file), size);
    end_file(file);
    CHECK_EQUAL(tsm_ingest_recognize(path, &format, NULL), TSM_OK);
    CHECK_EQUAL(format, expected);
    unlink(path);
}

#define FORMAT(text, expected) check_format(text, sizeof(text) - 1, expected)

static void
formats_are_told_by_content(void)
{
    FORMAT("", TSM_INGEST_UNKNOWN);
    FORMAT("hello\n", TSM_INGEST_UNKNOWN);
    FORMAT("[1,2,3]", TSM_INGEST_UNKNOWN);
    FORMAT("  [ {\"ph\":\"X\"}", TSM_INGEST_CHROME);
    FORMAT("\xef\xbb\xbf{\"traceEvents\":[]}", TSM_INGEST_CHROME);
    FORMAT("{}", TSM_INGEST_CHROME);
    FORMAT("{\"rocprofiler-sdk-tool\":[]}", TSM_INGEST_ROCPROF);
    FORMAT("SQLite format 3\0....", TSM_INGEST_NSYS);
    FORMAT("SBT\0\0\0\1\0", TSM_INGEST_SBT01);
    FORMAT("\x89SBT\r\n\x1a\n", TSM_INGEST_SBT);
}

/* More events than are held at once, far out of order: each part sorted, none lost, and names that
 * come first still known in the last. */
static void
long_files_come_in_sorted_parts(void)
{
    const uint64_t count = 1200000;
    tsm_ingest_report report;
    tsm_batch batch;
    FILE *file = begin_file();
    fputs("[{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":2,\"args\":{\"name\":\"worker\"}}", file);
    for (uint64_t i = 0; i < count; i++) {
        fprintf(file, ",{\"ph\":\"X\",\"name\":\"n%d\",\"pid\":1,\"tid\":2,\"ts\":%" PRIu64 ",\"dur\":1}", (int)(i % 7),
                i * 7919 % count);
    }
    fputs("]", file);
    end_file(file);
    tsm_memory *memory = import_file(&report);
    CHECK_EQUAL(report.events, count);
    tsm_memory_borrow(memory, &batch);
    CHECK_EQUAL(batch.count, count);
    uint64_t sum = 0, descents = 0;
    for (size_t i = 0; i < batch.count; i++) {
        sum += batch.events[i].timestamp / 1000;
        descents += i > 0 && batch.events[i].timestamp < batch.events[i - 1].timestamp;
    }
    CHECK_EQUAL(sum, count * (count - 1) / 2);
    CHECK_EQUAL(descents, 1);
    const uint64_t *thread =
        tsm_tables_borrow_row(tsm_memory_tables(memory), TSM_TABLE_THREADS, batch.events[count - 1].thread);
    tsm_text name =
        tsm_tables_borrow_text(tsm_memory_tables(memory), TSM_TABLE_STRINGS, (uint32_t)thread[TSM_THREAD_NAME]);
    CHECK(name.size == 6 && memcmp(name.data, "worker", 6) == 0);
    tsm_memory_destroy(memory);
}

/* Events of every length around the window's end. */
static void
no_event_is_cut_by_the_window(void)
{
    const size_t count = 3000;
    tsm_ingest_report report;
    FILE *file = begin_file();
    fputs("{\"traceEvents\":[", file);
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "%s\n  {\"ph\":\"X\",\"ts\":%zu,\"dur\":1,\"name\":\"", i == 0 ? "" : ",", i);
        for (size_t k = 0; k < i % 1777; k++) {
            fputc('a' + (int)(k % 26), file);
        }
        fprintf(file, "%zu\"}", i);
    }
    fputs("]}", file);
    end_file(file);
    tsm_memory *memory = import_file(&report);
    CHECK_EQUAL(report.events, count);
    CHECK(!report.truncated);
    for (size_t i = 0; i < count; i++) {
        char digits[24];
        size_t size = (size_t)snprintf(digits, sizeof digits, "%zu", i);
        tsm_text name = name_of(memory, i);
        CHECK_EQUAL(name.size, i % 1777 + size);
        CHECK(memcmp(name.data + i % 1777, digits, size) == 0);
    }
    tsm_memory_destroy(memory);
}

/* A million arrows and events of one moment must not take a million times a million looks. */
static void
hostile_arrows_end(void)
{
    const size_t count = 100000;
    tsm_ingest_report report;
    FILE *file = begin_file();
    fputs("[{}", file);
    for (size_t i = 0; i < count; i++) {
        fputs(",{\"ph\":\"s\",\"cat\":\"ac2g\",\"name\":\"a\",\"id\":9,\"pid\":1,\"tid\":1,\"ts\":5}", file);
    }
    for (size_t i = 0; i < count; i++) {
        fputs(",{\"ph\":\"X\",\"name\":\"a\",\"pid\":1,\"tid\":1,\"ts\":5,\"args\":{\"correlation\":8}}", file);
    }
    fputs("]", file);
    end_file(file);
    tsm_memory *memory = import_file(&report);
    tsm_batch batch;
    tsm_memory_borrow(memory, &batch);
    CHECK_EQUAL(batch.count, count);
    CHECK_EQUAL(batch.extension_count, 2 * count);
    tsm_memory_destroy(memory);
}

static double
parsed(const char *text)
{
    return json_double(&(json_text){ text, strlen(text), false });
}

static void
doubles_are_rounded_once(void)
{
    char text[64];
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 200000; i++) {
        double value;
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) {
            continue;
        }
        value = i % 2 == 0 ? value : (double)(int64_t)(bits >> 20) / 1e6;
        snprintf(text, sizeof text, i % 3 == 0 ? "%.6f" : "%.17g", i % 3 == 0 ? fmod(value, 1e9) : value);
        double expected = strtod(text, NULL), found = parsed(text);
        CHECK(memcmp(&found, &expected, sizeof found) == 0);
    }
    CHECK(isnan(parsed("NaN")) && isinf(parsed("-Infinity")));
}

static int64_t
thousandths(const char *text)
{
    int64_t value = -1;
    char padded[80] = { 0 };
    json_value number;
    memcpy(padded, text, strlen(text));
    padded[strlen(text)] = ',';
    json_cursor c = { .at = padded, .end = padded + strlen(text) + 1 };
    CHECK(json_read(&c, &number));
    CHECK(c.at == padded + strlen(text));
    return json_thousandths(&number, &value) ? value : INT64_MIN;
}

static void
times_are_decimal(void)
{
    char text[64];
    uint64_t bits = 123456789;
    for (int i = 0; i < 100000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        uint64_t ns = bits >> (2 + i % 60);
        if (ns / 1000 >= 9000000000000000u) {
            continue;
        }
        snprintf(text, sizeof text, "%s%" PRIu64 ".%03" PRIu64, i % 2 ? "-" : "", ns / 1000, ns % 1000);
        CHECK_EQUAL(thousandths(text), i % 2 ? -(int64_t)ns : (int64_t)ns);
        snprintf(text, sizeof text, "\"%" PRIu64 ".%03" PRIu64 "4999\"", ns / 1000, ns % 1000);
        CHECK_EQUAL(thousandths(text), ns);
    }
    CHECK_EQUAL(thousandths("1e3"), 1000000);
    CHECK_EQUAL(thousandths("9223372036854775807"), INT64_MIN);
    CHECK_EQUAL(thousandths("\"\""), INT64_MIN);
    CHECK_EQUAL(thousandths("\"1.2.3\""), INT64_MIN);
}

static void
texts_are_escaped_and_back(void)
{
    char text[256], escaped[6 * 256 + 2], back[6 * 256];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)i;
    }
    size_t size = json_escape(text, sizeof text, escaped);
    CHECK(escaped[0] == '"' && escaped[size - 1] == '"');
    CHECK_EQUAL(json_unescape(&(json_text){ escaped + 1, size - 2, true }, back), sizeof text);
    CHECK(memcmp(text, back, sizeof text) == 0);
}

int
main(int argc, char **argv)
{
    static const unit_test tests[] = {
        UNIT(formats_are_told_by_content), UNIT(long_files_come_in_sorted_parts), UNIT(no_event_is_cut_by_the_window),
        UNIT(hostile_arrows_end),          UNIT(doubles_are_rounded_once),        UNIT(times_are_decimal),
        UNIT(texts_are_escaped_and_back),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
