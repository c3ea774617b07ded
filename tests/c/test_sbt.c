/* The SBT file: what is written comes back, and what is damaged, cut off or hostile is refused. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "sbt/sbt.h"
#include "trace/trace.h"
#include "unit.h"

static tsm_error err;

#define FAIL(...)                                       \
    do {                                                \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
        fprintf(stderr, __VA_ARGS__);                   \
        fputc('\n', stderr);                            \
        exit(1);                                        \
    } while (0)

#define OK(call)                                                                        \
    do {                                                                                \
        tsm_status status_ = (call);                                                    \
        if (status_ != TSM_OK) {                                                        \
            FAIL("%s: %s: %s", #call, tsm_status_text(status_), err.text);              \
        }                                                                               \
    } while (0)

#define REFUSED(call, wanted)                                                           \
    do {                                                                                \
        tsm_status status_ = (call);                                                    \
        if (status_ != (wanted)) {                                                      \
            FAIL("%s: %s, not %s", #call, tsm_status_text(status_), #wanted);           \
        }                                                                               \
    } while (0)

static uint64_t random_state = 88172645463325252u;

static uint64_t
next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint64_t
below(uint64_t limit)
{
    return next_random() % limit;
}

/* Any size of number, the small ones as likely as the large. */
static uint64_t
random_any(void)
{
    return next_random() >> below(64);
}

static char path[256];

static const char *
scratch_path(void)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/test_sbt.%d.sbt", folder == NULL ? "/tmp" : folder, (int)getpid());
    return path;
}

typedef struct {
    tsm_event *events;
    size_t count;
    tsm_extension *extensions;
    uint32_t *rows;
    size_t extension_count;
} trace;

static trace
make_trace(size_t count, size_t extension_count)
{
    return (trace){ calloc(count + 1, sizeof(tsm_event)), count, calloc(extension_count + 1, sizeof(tsm_extension)),
                    calloc(extension_count + 1, sizeof(uint32_t)), extension_count };
}

static void
free_trace(trace *t)
{
    free(t->events);
    free(t->extensions);
    free(t->rows);
}

static tsm_batch
batch_of(const trace *t)
{
    return (tsm_batch){ t->events, t->count, t->extensions, t->rows, t->extension_count };
}

/* About what a training step looks like. */
static void
fill_plausible(trace *t, uint64_t start)
{
    uint64_t at = start, correlation = 1000;
    for (size_t i = 0; i < t->count; i++) {
        at += below(5000);
        correlation += 1 + below(3);
        uint32_t name = 1 + (uint32_t)below(40);
        t->events[i] = (tsm_event){ .timestamp = at,
                                    .duration = 500 + (next_random() >> 44) / (1 + below(100)),
                                    .correlation = correlation,
                                    .name = name,
                                    .thread = 1,
                                    .stream = (uint32_t[]){ 7, 20, 24, 28 }[below(4)],
                                    .device = 1,
                                    .extra = name * 3,
                                    .type = name < 20 ? TSM_EVENT_KERNEL_LAUNCH : TSM_EVENT_MEMCPY_H2D,
                                    .flags = TSM_EXTRA_LAUNCH };
    }
}

static void
fill_extensions(trace *t)
{
    for (size_t i = 0; i < t->extension_count; i++) {
        t->rows[i] = (uint32_t)(i * t->count / t->extension_count);
        t->extensions[i] = (tsm_extension){ .type = TSM_SLOT_EXTENSION,
                                            .count = (uint16_t)(1 + below(7)),
                                            .schema = 1 + (uint32_t)below(3) };
        for (unsigned value = 0; value < TSM_EXTENSION_VALUES; value++) {
            t->extensions[i].values[value] = value < 2 ? 0x7f0000000000u + i * 64 : random_any();
        }
    }
}

/* Reads all blocks of reader, one behind the other. */
static trace
read_all(const tsm_sbt_reader *reader)
{
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    trace t = make_trace(info.event_count, info.extension_count);
    size_t count = 0, extensions = 0;
    for (size_t i = 0; i < info.block_count; i++) {
        const tsm_sbt_block_info *block = tsm_sbt_reader_block(reader, i);
        OK(tsm_sbt_reader_read(reader, i, t.events + count, t.extensions + extensions, t.rows + extensions, &err));
        for (size_t k = 0; k < block->extension_count; k++) {
            t.rows[extensions + k] += (uint32_t)count;
        }
        CHECK_EQUAL(block->first_event, count);
        count += block->count;
        extensions += block->extension_count;
    }
    CHECK_EQUAL(count, info.event_count);
    CHECK_EQUAL(extensions, info.extension_count);
    return t;
}

static void
check_same(const trace *got, const trace *wanted)
{
    CHECK_EQUAL(got->count, wanted->count);
    CHECK_EQUAL(got->extension_count, wanted->extension_count);
    for (size_t i = 0; i < got->count; i++) {
        if (memcmp(&got->events[i], &wanted->events[i], sizeof(tsm_event)) != 0) {
            FAIL("event %zu of %zu differs", i, got->count);
        }
    }
    for (size_t i = 0; i < got->extension_count; i++) {
        CHECK_EQUAL(got->rows[i], wanted->rows[i]);
        CHECK(memcmp(&got->extensions[i], &wanted->extensions[i], sizeof(tsm_extension)) == 0);
    }
}

/* Every column by itself and all together, against the rows. */
static void
check_columns(const tsm_sbt_reader *reader, const trace *wanted)
{
    static const struct {
        size_t offset, bytes;
    } fields[] = {
#define X(type, field, format, text) { offsetof(tsm_event, field), sizeof(type) },
        TSM_EVENT_FIELDS(X)
#undef X
    };
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    for (unsigned only = 0; only <= TSM_EVENT_FIELD_COUNT; only++) {
        size_t at = 0;
        for (size_t i = 0; i < info.block_count; i++) {
            size_t count = tsm_sbt_reader_block(reader, i)->count;
            void *columns[TSM_EVENT_FIELD_COUNT] = { NULL };
            for (unsigned f = 0; f < TSM_EVENT_FIELD_COUNT; f++) {
                if (only == TSM_EVENT_FIELD_COUNT || only == f) {
                    columns[f] = malloc(count * 8 + 1);
                }
            }
            OK(tsm_sbt_reader_read_columns(reader, i, columns, &err));
            for (unsigned f = 0; f < TSM_EVENT_FIELD_COUNT; f++) {
                for (size_t row = 0; columns[f] != NULL && row < count; row++) {
                    CHECK(memcmp((char *)columns[f] + row * fields[f].bytes,
                                 (const char *)&wanted->events[at + row] + fields[f].offset, fields[f].bytes) == 0);
                }
                free(columns[f]);
            }
            at += count;
        }
    }
}

static void
check_round_trip(const trace *t, tsm_sbt_compression compression)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    OK(tsm_sbt_writer_open(scratch_path(), compression, &writer, &err));
    tsm_batch batch = batch_of(t);
    OK(tsm_sbt_writer_append(writer, &batch, &err));
    CHECK_EQUAL(tsm_sbt_writer_events(writer), t->count);
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    CHECK(info.complete);
    CHECK_EQUAL(info.used_bytes, info.file_bytes);
    trace got = read_all(reader);
    check_same(&got, t);
    check_columns(reader, t);
    free_trace(&got);
    tsm_sbt_reader_close(reader);
    unlink(path);
}

static void
check_both(const trace *t)
{
    check_round_trip(t, TSM_SBT_PLAIN);
    if (tsm_sbt_zstd_available()) {
        check_round_trip(t, TSM_SBT_ZSTD);
    }
}

static void
plausible_events_come_back(void)
{
    static const size_t counts[] = { 0, 1, 2, 7, 511, 512, 513, 4095, 4096, 4097, 9000 };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        trace t = make_trace(counts[i], counts[i] / 3);
        fill_plausible(&t, 1700000000000000000u);
        fill_extensions(&t);
        check_both(&t);
        free_trace(&t);
    }
}

static int
by_timestamp(const void *a, const void *b)
{
    const tsm_event *x = a, *y = b;
    return x->timestamp < y->timestamp ? -1 : x->timestamp > y->timestamp;
}

/* Each field from a generator of its own, so that all codings meet all others. */
static uint64_t
draw(unsigned kind, uint64_t i, uint64_t name)
{
    switch (kind) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return next_random();
    case 3:
        return random_any();
    case 4:
        return i;
    case 5:
        return UINT64_MAX - i * 3;
    case 6:
        return below(5) * 0x123456789abu;
    case 7:
        return below(100) == 0 ? next_random() : below(16);
    case 8:
        return name * 17;
    case 9:
        return below(200) == 0 ? below(1000) : name ^ 5;
    case 10:
        return i % 3 == 0 ? i * 1000 : i * 1000 - below(5000);
    default:
        return 1000000 + below(700);
    }
}

static void
any_events_come_back(void)
{
    for (unsigned round = 0; round < 120; round++) {
        trace t = make_trace(1 + below(round % 4 == 0 ? 9000 : 700), round % 3 == 0 ? below(900) : 0);
        unsigned kinds[TSM_EVENT_FIELD_COUNT];
        for (unsigned f = 0; f < TSM_EVENT_FIELD_COUNT; f++) {
            kinds[f] = (unsigned)below(12);
        }
        for (size_t i = 0; i < t.count; i++) {
            uint64_t name = kinds[4] < 8 ? draw(kinds[4], i, 0) : below(60);
            unsigned f = 0;
#define X(type, field, format, text) t.events[i].field = (type)draw(kinds[f++], i, name);
            TSM_EVENT_FIELDS(X)
#undef X
            t.events[i].name = (uint32_t)name;
        }
        qsort(t.events, t.count, sizeof *t.events, by_timestamp);
        fill_extensions(&t);
        for (size_t i = 0; i < t.extension_count; i++) {
            t.extensions[i].schema = (uint32_t)random_any();
            t.extensions[i].type = (uint16_t)next_random();
        }
        check_both(&t);
        free_trace(&t);
    }
}

static void
several_extensions_of_one_event_keep_their_order(void)
{
    trace t = make_trace(3, 9);
    fill_plausible(&t, 5);
    for (unsigned i = 0; i < 9; i++) {
        t.rows[i] = i < 7 ? 1 : 2;
        t.extensions[i] = (tsm_extension){ .schema = i % 3, .count = 7, .values = { i, 0, UINT64_MAX } };
    }
    check_both(&t);
    free_trace(&t);
}

static void
unsorted_events_are_sorted_with_their_extensions(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    trace t = make_trace(5000, 5000);
    for (size_t i = 0; i < t.count; i++) {
        t.events[i].timestamp = below(1000000);
        t.events[i].value = i;
        t.rows[i] = (uint32_t)i;
        t.extensions[i].values[0] = i;
    }
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    tsm_batch batch = batch_of(&t);
    OK(tsm_sink_write(tsm_sbt_writer_sink(writer), &batch, &err));
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    trace got = read_all(reader);
    CHECK_EQUAL(got.count, t.count);
    for (size_t i = 0; i < got.count; i++) {
        CHECK(i == 0 || i == 4096 || got.events[i].timestamp >= got.events[i - 1].timestamp);
        CHECK_EQUAL(got.rows[i], i);
        CHECK_EQUAL(got.extensions[i].values[0], got.events[i].value);
        CHECK_EQUAL(got.events[i].timestamp, t.events[got.events[i].value].timestamp);
    }
    free_trace(&got);
    free_trace(&t);
    tsm_sbt_reader_close(reader);
    unlink(path);
}

static void
add_rows(tsm_tables *tables, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        char name[64];
        uint32_t text, row;
        int size = snprintf(name, sizeof name, "kernel number %u", tsm_tables_count(tables, TSM_TABLE_STRINGS));
        OK(tsm_tables_add_text(tables, TSM_TABLE_STRINGS, name, (size_t)size, &text));
        OK(tsm_tables_add(tables, TSM_TABLE_LAUNCHES, (uint64_t[14]){ text, 1, 1, 256, [13] = 0 }, &row));
        OK(tsm_tables_add(tables, TSM_TABLE_STACKS, (uint64_t[2]){ row - 1, text }, &row));
    }
}

static void
check_same_tables(const tsm_tables *got, const tsm_tables *wanted)
{
    for (unsigned table = 0; table < TSM_TABLE_LIMIT; table++) {
        const tsm_table_layout *layout = tsm_table_layout_of(table);
        if (layout == NULL) {
            continue;
        }
        CHECK_EQUAL(tsm_tables_count(got, table), tsm_tables_count(wanted, table));
        for (uint32_t row = 0; row < tsm_tables_count(got, table); row++) {
            if (layout->text) {
                tsm_text a = tsm_tables_borrow_text(got, table, row), b = tsm_tables_borrow_text(wanted, table, row);
                CHECK(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
            } else {
                CHECK(memcmp(tsm_tables_borrow_row(got, table, row), tsm_tables_borrow_row(wanted, table, row),
                             layout->column_count * 8) == 0);
            }
        }
    }
}

static void
every_table_comes_back(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    tsm_tables *tables;
    OK(tsm_tables_create(&tables));
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    for (unsigned table = 0; table < TSM_TABLE_LIMIT; table++) {
        const tsm_table_layout *layout = tsm_table_layout_of(table);
        for (uint32_t i = 0; layout != NULL && i < 300; i++) {
            uint64_t values[TSM_COLUMNS_MAX];
            char bytes[300];
            uint32_t row;
            for (size_t c = 0; c < TSM_COLUMNS_MAX; c++) {
                bool own = c < layout->column_count && layout->columns[c].type == TSM_COLUMN_REF
                           && layout->columns[c].ref == table;
                values[c] = own ? below(i + 1) : random_any();
            }
            for (size_t c = 0; c < sizeof bytes; c++) {
                bytes[c] = (char)next_random();
            }
            tsm_tables *both[] = { tables, tsm_sbt_writer_tables(writer) };
            size_t size = below(sizeof bytes);
            for (unsigned k = 0; k < 2; k++) {
                OK(layout->text ? tsm_tables_add_text(both[k], table, bytes, size, &row)
                                : tsm_tables_add(both[k], table, values, &row));
            }
        }
        OK(tsm_sbt_writer_flush(writer, &err));
    }
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    check_same_tables(tsm_sbt_reader_tables(reader), tables);
    tsm_tables_destroy(tables);
    tsm_sbt_reader_close(reader);
    unlink(path);
}

static void
a_string_of_many_megabytes_and_many_equal_rows_come_back(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    uint32_t row;
    size_t size = 5u << 20;
    char *text = malloc(size);
    memset(text, 'x', size);
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    tsm_tables *tables = tsm_sbt_writer_tables(writer);
    OK(tsm_tables_add_text(tables, TSM_TABLE_BLOBS, text, size, &row));
    for (unsigned i = 0; i < 40000; i++) {
        OK(tsm_tables_add(tables, TSM_TABLE_DROPS, (uint64_t[5]){ 1, 2, 3, 4, 5 }, &row));
    }
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    tables = tsm_sbt_reader_tables(reader);
    CHECK_EQUAL(tsm_tables_borrow_text(tables, TSM_TABLE_BLOBS, 1).size, size);
    CHECK_EQUAL(tsm_tables_count(tables, TSM_TABLE_DROPS), 40001);
    CHECK_EQUAL(tsm_tables_borrow_row(tables, TSM_TABLE_DROPS, 40000)[4], 5);
    tsm_sbt_reader_close(reader);
    free(text);
    unlink(path);
}

/* A small file with everything in it: tables, extensions, positions, several blocks. */
static void
write_small(const trace *parts, size_t count, bool close_it)
{
    tsm_sbt_writer *writer;
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    for (size_t i = 0; i < count; i++) {
        add_rows(tsm_sbt_writer_tables(writer), 3);
        tsm_batch batch = batch_of(&parts[i]);
        tsm_sbt_position positions[] = { { 1, 100 * (i + 1), i, 0, 0 }, { 2 + (uint32_t)i, UINT64_MAX, 2, 3, 4 } };
        OK(tsm_sbt_writer_block(writer, &batch, positions, 2, &err));
    }
    if (close_it) {
        OK(tsm_sbt_writer_close(writer, &err));
    } else {
        tsm_sbt_writer_destroy(writer);
    }
}

#define PARTS 3

static void
make_parts(trace parts[PARTS])
{
    for (unsigned i = 0; i < PARTS; i++) {
        parts[i] = make_trace(i == 1 ? 12 : 5, i == 1 ? 6 : 0);
        fill_plausible(&parts[i], 1000000 * (i + 1));
        fill_extensions(&parts[i]);
    }
}

static void
free_parts(trace parts[PARTS])
{
    for (unsigned i = 0; i < PARTS; i++) {
        free_trace(&parts[i]);
    }
}

static uint8_t *
load_file(size_t *size)
{
    struct stat about;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &about) == 0);
    *size = (size_t)about.st_size;
    uint8_t *data = malloc(*size + 1);
    CHECK(read(fd, data, *size) == (ssize_t)*size);
    close(fd);
    return data;
}

static void
store_file(const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

/* A copy that ends where the bytes end, so that a sanitizer sees a step too far. */
static tsm_status
open_copy(const uint8_t *data, size_t size, uint8_t **copy, tsm_sbt_reader **reader)
{
    *copy = malloc(size == 0 ? 1 : size);
    if (size > 0) {
        memcpy(*copy, data, size);
    }
    return tsm_sbt_reader_open_memory(*copy, size, reader, &err);
}

/* The first blocks of the file must be the first parts. Blocks that are refused are counted. */
static size_t
check_prefix(const tsm_sbt_reader *reader, const trace *parts, size_t *refused)
{
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    CHECK(info.block_count <= PARTS);
    for (size_t i = 0; i < info.block_count; i++) {
        const tsm_sbt_block_info *block = tsm_sbt_reader_block(reader, i);
        trace got = make_trace(block->count, block->extension_count);
        tsm_status status = tsm_sbt_reader_read(reader, i, got.events, got.extensions, got.rows, &err);
        if (status == TSM_OK) {
            check_same(&got, &parts[i]);
        } else {
            CHECK(status == TSM_E_CORRUPT);
            CHECK(err.text[0] != 0);
            ++*refused;
        }
        free_trace(&got);
    }
    return info.block_count;
}

static void
an_unfinished_file_cut_anywhere_reads_to_its_last_block(void)
{
    trace parts[PARTS];
    make_parts(parts);
    write_small(parts, PARTS, false);
    size_t size, before = 0, refused = 0;
    uint8_t *data = load_file(&size), *copy;
    for (size_t length = 0; length <= size; length++) {
        tsm_sbt_reader *reader;
        tsm_status status = open_copy(data, length, &copy, &reader);
        if (length < 64) {
            CHECK(status == TSM_E_TRUNCATED && err.text[0] != 0);
        } else {
            CHECK(status == TSM_OK);
            tsm_sbt_info info;
            tsm_sbt_reader_info(reader, &info);
            CHECK(!info.complete && info.used_bytes <= length && info.file_bytes == length);
            size_t blocks = check_prefix(reader, parts, &refused);
            CHECK(blocks == before || blocks == before + 1);
            before = blocks;
            tsm_sbt_reader_close(reader);
        }
        free(copy);
    }
    CHECK_EQUAL(before, PARTS);
    CHECK_EQUAL(refused, 0);
    free(data);
    free_parts(parts);
    unlink(path);
}

static void
a_finished_file_cut_anywhere_says_so(void)
{
    trace parts[PARTS];
    make_parts(parts);
    write_small(parts, PARTS, true);
    size_t size;
    uint8_t *data = load_file(&size), *copy;
    for (size_t length = 0; length < size; length++) {
        tsm_sbt_reader *reader;
        REFUSED(open_copy(data, length, &copy, &reader), TSM_E_TRUNCATED);
        CHECK(err.text[0] != 0);
        free(copy);
    }
    free(data);
    free_parts(parts);
    unlink(path);
}

static void
a_file_cut_anywhere_is_resumed_where_it_was_whole(void)
{
    trace parts[PARTS];
    make_parts(parts);
    for (unsigned finished = 0; finished < 2; finished++) {
        write_small(parts, PARTS, finished);
        size_t size, refused = 0;
        uint8_t *data = load_file(&size);
        for (size_t length = 64; length <= size; length += finished ? 7 : 1) {
            tsm_sbt_writer *writer;
            tsm_sbt_reader *reader;
            store_file(data, length);
            OK(tsm_sbt_writer_resume(path, &writer, &err));
            size_t positions, events = 0;
            const tsm_sbt_position *position = tsm_sbt_writer_positions(writer, &positions);
            size_t blocks = positions == 0 ? 0 : positions - 1;
            for (size_t i = 0; i < blocks; i++) {
                events += parts[i].count;
            }
            CHECK_EQUAL(tsm_sbt_writer_events(writer), events);
            CHECK(blocks == 0 || position[0].slots == 100 * blocks);
            for (size_t i = blocks; i < PARTS; i++) {
                /* Rows may be ahead of their block by those that were just written. */
                while (tsm_tables_count(tsm_sbt_writer_tables(writer), TSM_TABLE_STRINGS) < 3 * (i + 1) + 1) {
                    add_rows(tsm_sbt_writer_tables(writer), 1);
                }
                tsm_batch batch = batch_of(&parts[i]);
                OK(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err));
            }
            OK(tsm_sbt_writer_close(writer, &err));
            OK(tsm_sbt_reader_open(path, &reader, &err));
            CHECK_EQUAL(check_prefix(reader, parts, &refused), PARTS);
            CHECK(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS) >= 10);
            tsm_text name = tsm_tables_borrow_text(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS, 9);
            CHECK(name.size == 15 && memcmp(name.data, "kernel number 9", 15) == 0);
            tsm_sbt_reader_close(reader);
        }
        CHECK_EQUAL(refused, 0);
        free(data);
    }
    free_parts(parts);
    unlink(path);
}

/* No single damaged byte may give other data without an error. */
static void
check_every_flip(bool finished)
{
    trace parts[PARTS];
    make_parts(parts);
    write_small(parts, PARTS, finished);
    size_t size;
    uint8_t *data = load_file(&size), *copy;
    tsm_sbt_reader *whole;
    OK(tsm_sbt_reader_open(path, &whole, &err));
    for (size_t at = 0; at < size; at++) {
        uint8_t was = data[at];
        for (unsigned way = 0; way < 3; way++) {
            tsm_sbt_reader *reader;
            size_t refused = 0;
            data[at] = (uint8_t)(way == 0 ? was ^ 1 << at % 8 : way == 1 ? ~was : was + 1);
            tsm_status status = open_copy(data, size, &copy, &reader);
            if (status == TSM_OK) {
                tsm_sbt_info info;
                tsm_sbt_reader_info(reader, &info);
                check_prefix(reader, parts, &refused);
                if (refused == 0 && info.used_bytes == info.file_bytes) {
                    FAIL("byte %zu of %zu may be damaged unseen", at, size);
                }
                tsm_sbt_reader_close(reader);
            } else {
                CHECK(err.text[0] != 0);
            }
            free(copy);
        }
        data[at] = was;
    }
    tsm_sbt_reader_close(whole);
    free(data);
    free_parts(parts);
    unlink(path);
}

static void
no_damaged_byte_of_a_finished_file_goes_unseen(void)
{
    check_every_flip(true);
}

static void
no_damaged_byte_of_an_unfinished_file_goes_unseen(void)
{
    check_every_flip(false);
}

/* Whatever byte behind the header is damaged, repair keeps all blocks but the one it lies in. */
static void
repair_gives_up_only_what_is_damaged(void)
{
    trace parts[PARTS];
    make_parts(parts);
    write_small(parts, PARTS, true);
    size_t size;
    uint8_t *data = load_file(&size);
    for (size_t at = 64; at < size; at++) {
        tsm_sbt_reader *reader;
        data[at] ^= 0x10;
        store_file(data, size);
        data[at] ^= 0x10;
        OK(tsm_sbt_repair(path, &err));
        OK(tsm_sbt_reader_open(path, &reader, &err));
        tsm_sbt_info info;
        tsm_sbt_reader_info(reader, &info);
        CHECK(info.complete && info.used_bytes == info.file_bytes);
        CHECK(info.block_count >= PARTS - 1);
        for (size_t i = 0; i < info.block_count; i++) {
            const tsm_sbt_block_info *block = tsm_sbt_reader_block(reader, i);
            trace got = make_trace(block->count, block->extension_count);
            OK(tsm_sbt_reader_read(reader, i, got.events, got.extensions, got.rows, &err));
            size_t part = block->begin_ns / 1000000 - 1;
            check_same(&got, &parts[part]);
            free_trace(&got);
        }
        tsm_text name = tsm_tables_borrow_text(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS, 9);
        CHECK(name.size == 0 || memcmp(name.data, "kernel number 9", 15) == 0);
        tsm_sbt_reader_close(reader);
    }
    free(data);
    free_parts(parts);
    unlink(path);
}

static void
put_u16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void
seal_header(uint8_t *data)
{
    uint32_t crc = tsm_crc32c(0, data, 60);
    memcpy(data + 60, &crc, 4);
}

static void
other_files_are_refused_by_name(void)
{
    trace parts[PARTS];
    tsm_sbt_reader *reader;
    make_parts(parts);
    write_small(parts, PARTS, true);
    size_t size;
    uint8_t *data = load_file(&size);
    REFUSED(tsm_sbt_reader_open_memory("", 0, &reader, &err), TSM_E_TRUNCATED);
    REFUSED(tsm_sbt_reader_open_memory("{\"traceEvents\": []}", 19, &reader, &err), TSM_E_FORMAT);
    REFUSED(tsm_sbt_reader_open_memory("SBT\0\0\0\1\0", 8, &reader, &err), TSM_E_UNSUPPORTED);
    CHECK(strstr(err.text, "older") != NULL);
    put_u16(data + 8, 2);
    seal_header(data);
    REFUSED(tsm_sbt_reader_open_memory(data, size, &reader, &err), TSM_E_UNSUPPORTED);
    CHECK(strstr(err.text, "version 2.0") != NULL && err.offset == 8);
    put_u16(data + 8, 1);
    data[22] = 0x20;
    seal_header(data);
    REFUSED(tsm_sbt_reader_open_memory(data, size, &reader, &err), TSM_E_UNSUPPORTED);
    CHECK(strstr(err.text, "feature number 21") != NULL && err.offset == 20);
    data[22] = 0;
    data[26] = 0x20; /* an optional feature may be ignored, as may a minor version */
    put_u16(data + 10, 9);
    seal_header(data);
    OK(tsm_sbt_reader_open_memory(data, size, &reader, &err));
    tsm_sbt_reader_close(reader);
    free(data);
    free_parts(parts);
    unlink(path);
    REFUSED(tsm_sbt_reader_open(path, &reader, &err), TSM_E_IO);
    CHECK_EQUAL(err.os_error, ENOENT);
    REFUSED(tsm_sbt_reader_open("/", &reader, &err), TSM_E_IO);
    CHECK_EQUAL(err.os_error, EISDIR);
    tsm_sbt_writer *writer;
    REFUSED(tsm_sbt_writer_open("/", TSM_SBT_PLAIN, &writer, &err), TSM_E_IO);
    REFUSED(tsm_sbt_writer_open("/nowhere/at/all.sbt", TSM_SBT_PLAIN, &writer, &err), TSM_E_IO);
    REFUSED(tsm_sbt_writer_resume("/", &writer, &err), TSM_E_IO);
}

/* Puts a section between the header and the first of data; all others move back, so that their
 * headers must be sealed anew. */
static uint8_t *
insert_section(const uint8_t *data, size_t size, uint16_t kind, uint16_t table, const void *payload, size_t bytes,
               size_t *new_size)
{
    size_t padded = (bytes + 7) & ~(size_t)7, shift = 32 + padded;
    uint8_t *out = calloc(1, size + shift);
    memcpy(out, data, 64);
    memcpy(out + 64 + 32, payload, bytes);
    memcpy(out + 64 + shift, data + 64, size - 64);
    uint64_t offset = 64, length = bytes;
    uint32_t one = 1, crc = tsm_crc32c(0, out + 96, padded);
    put_u16(out + 64, kind);
    put_u16(out + 66, table);
    memcpy(out + 68, &crc, 4);
    memcpy(out + 72, &length, 8);
    memcpy(out + 80, &offset, 8);
    memcpy(out + 88, &one, 4);
    for (*new_size = size + shift; offset < *new_size;) {
        memcpy(out + offset + 16, &offset, 8);
        crc = tsm_crc32c(0, out + offset, 28);
        memcpy(out + offset + 28, &crc, 4);
        offset += 32 + ((tsm_load_u64(out + offset + 8) + 7) & ~(uint64_t)7);
    }
    return out;
}

static void
unknown_sections_tables_and_columns_are_passed_over(void)
{
    trace parts[PARTS];
    make_parts(parts);
    write_small(parts, PARTS, false);
    size_t size, new_size, refused = 0;
    uint8_t *data = load_file(&size);
    /* streams: first row 1, of columns; 'colour' is not ours; raw_id is constant 42 */
    static const uint8_t streams[] = "\1" "\7streams" "\0" "\2" "\6colour" "\0\0\2\0\5" "\6raw_id" "\0\0\2\0\x2a";
    struct {
        uint16_t kind, table;
        const void *payload;
        size_t bytes;
    } strange[] = { { 77, 0, "whatever", 8 }, { 1, 40, "a table of tomorrow", 19 }, { 1, 8, streams, sizeof streams } };
    for (unsigned i = 0; i < 3; i++) {
        uint8_t *changed = insert_section(data, size, strange[i].kind, strange[i].table, strange[i].payload,
                                          strange[i].bytes, &new_size);
        tsm_sbt_reader *reader;
        OK(tsm_sbt_reader_open_memory(changed, new_size, &reader, &err));
        tsm_sbt_info info;
        tsm_sbt_reader_info(reader, &info);
        CHECK_EQUAL(info.used_bytes, new_size);
        CHECK_EQUAL(check_prefix(reader, parts, &refused), PARTS);
        CHECK_EQUAL(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS), 10);
        if (i == 2) {
            const uint64_t *row = tsm_tables_borrow_row(tsm_sbt_reader_tables(reader), TSM_TABLE_STREAMS, 1);
            CHECK_EQUAL(row[TSM_STREAM_RAW_ID], 42);
            CHECK_EQUAL(row[TSM_STREAM_DEVICE], 0);
        }
        tsm_sbt_reader_close(reader);
        free(changed);
    }
    free(data);
    free_parts(parts);
    unlink(path);
}

static void
hostile_counts_are_refused(void)
{
    trace parts[PARTS];
    make_parts(parts);
    write_small(parts, PARTS, false);
    size_t size, new_size;
    uint8_t *data = load_file(&size);
    /* A stack whose parent is itself; a text longer than the section; a row count without bytes. */
    static const uint8_t own[] = "\1" "\6stacks" "\0" "\1" "\6parent" "\4\12\2\0\1";
    static const uint8_t text[] = "\1" "\7strings" "\1" "\4\0\xff\xff\x7f" "abc";
    struct {
        uint16_t table;
        const void *payload;
        size_t bytes;
    } hostile[] = { { 10, own, sizeof own - 1 }, { 1, text, sizeof text - 1 }, { 10, "", 0 } };
    for (unsigned i = 0; i < 3; i++) {
        uint8_t *changed = insert_section(data, size, 1, hostile[i].table, hostile[i].payload, hostile[i].bytes,
                                          &new_size);
        tsm_sbt_reader *reader;
        REFUSED(tsm_sbt_reader_open_memory(changed, new_size, &reader, &err), TSM_E_CORRUPT);
        CHECK_EQUAL(err.offset, 64);
        free(changed);
    }
    free(data);
    free_parts(parts);
    unlink(path);
}

static void
a_file_is_read_while_it_is_written(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    tsm_sbt_info info;
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    for (size_t i = 0; i < 40; i++) {
        trace t = make_trace(1 + below(3000), 5);
        fill_plausible(&t, i * 1000000000);
        fill_extensions(&t);
        add_rows(tsm_sbt_writer_tables(writer), 2);
        tsm_batch batch = batch_of(&t);
        OK(tsm_sbt_writer_block(writer, &batch, &(tsm_sbt_position){ .producer = 1, .slots = i }, 1, &err));
        OK(tsm_sbt_reader_refresh(reader, &err));
        tsm_sbt_reader_info(reader, &info);
        CHECK(!info.complete);
        CHECK_EQUAL(info.block_count, i + 1);
        CHECK_EQUAL(info.used_bytes, tsm_sbt_writer_bytes(writer));
        trace got = make_trace(t.count, 5);
        OK(tsm_sbt_reader_read(reader, i, got.events, got.extensions, got.rows, &err));
        check_same(&got, &t);
        CHECK_EQUAL(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS), 2 * (i + 1) + 1);
        size_t count;
        CHECK_EQUAL(tsm_sbt_reader_positions(reader, &count)->slots, i);
        free_trace(&t);
        free_trace(&got);
    }
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_refresh(reader, &err));
    tsm_sbt_reader_info(reader, &info);
    CHECK(info.complete && info.used_bytes == info.file_bytes && info.block_count == 40);
    tsm_sbt_reader_close(reader);
    unlink(path);
}

static void
two_writers_do_not_meet_and_old_readers_keep_their_file(void)
{
    tsm_sbt_writer *writer, *second;
    tsm_sbt_reader *reader;
    trace t = make_trace(100, 0);
    fill_plausible(&t, 1);
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    REFUSED(tsm_sbt_writer_open(path, TSM_SBT_PLAIN, &second, &err), TSM_E_BUSY);
    REFUSED(tsm_sbt_writer_resume(path, &second, &err), TSM_E_BUSY);
    REFUSED(tsm_sbt_repair(path, &err), TSM_E_BUSY);
    tsm_batch batch = batch_of(&t);
    OK(tsm_sbt_writer_append(writer, &batch, &err));
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    OK(tsm_sbt_writer_open(path, TSM_SBT_PLAIN, &second, &err));
    trace got = read_all(reader);
    check_same(&got, &t);
    tsm_sbt_reader_close(reader);
    OK(tsm_sbt_reader_open(path, &reader, &err));
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    CHECK(info.event_count == 0 && !info.complete && info.begin_ns == 0 && info.end_ns == 0);
    tsm_sbt_reader_close(reader);
    tsm_sbt_writer_destroy(second);
    free_trace(&got);
    free_trace(&t);
    unlink(path);
}

static void
a_finished_file_is_resumed_and_continued(void)
{
    trace parts[PARTS];
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    size_t refused = 0;
    make_parts(parts);
    write_small(parts, 2, true);
    OK(tsm_sbt_reader_open(path, &reader, &err));
    OK(tsm_sbt_writer_resume(path, &writer, &err));
    add_rows(tsm_sbt_writer_tables(writer), 3);
    tsm_batch batch = batch_of(&parts[2]);
    OK(tsm_sbt_writer_append(writer, &batch, &err));
    OK(tsm_sbt_writer_flush(writer, &err));
    OK(tsm_sbt_reader_refresh(reader, &err));
    CHECK_EQUAL(check_prefix(reader, parts, &refused), PARTS);
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_refresh(reader, &err));
    CHECK_EQUAL(check_prefix(reader, parts, &refused), PARTS);
    CHECK_EQUAL(refused, 0);
    CHECK_EQUAL(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS), 10);
    size_t positions;
    tsm_sbt_reader_positions(reader, &positions);
    CHECK_EQUAL(positions, 3);
    tsm_sbt_reader_close(reader);
    free_parts(parts);
    unlink(path);
}

/* In a child, because the limit cannot be raised again. */
static void
write_into_a_full_disk(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    trace t = make_trace(4000, 0), first = make_trace(50, 0);
    fill_plausible(&t, 1000);
    fill_plausible(&first, 10);
    signal(SIGXFSZ, SIG_IGN);
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    tsm_batch batch = batch_of(&first);
    add_rows(tsm_sbt_writer_tables(writer), 3);
    OK(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err));
    uint64_t whole = tsm_sbt_writer_bytes(writer);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = whole + 10000;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    batch = batch_of(&t);
    add_rows(tsm_sbt_writer_tables(writer), 3);
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_IO);
    CHECK_EQUAL(err.os_error, EFBIG);
    struct stat about;
    CHECK(stat(path, &about) == 0);
    CHECK_EQUAL(about.st_size, tsm_sbt_writer_bytes(writer));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    trace got = read_all(reader);
    check_same(&got, &first);
    free_trace(&got);
    tsm_sbt_reader_close(reader);
    /* Then there is room again. */
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    OK(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err));
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    CHECK_EQUAL(info.event_count, 4050);
    CHECK_EQUAL(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS), 7);
    tsm_sbt_reader_close(reader);
    free_trace(&t);
    free_trace(&first);
    unlink(path);
}

/* Every limit, so that every kind of section and every byte of it is the one that does not fit. */
static void
write_with_little_room(void)
{
    trace parts[PARTS];
    make_parts(parts);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (uint64_t room = 64; room < 2600; room += 13) {
        tsm_sbt_writer *writer;
        tsm_sbt_reader *reader;
        size_t refused = 0;
        OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
        limit.rlim_cur = room;
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        for (size_t i = 0; i < PARTS; i++) {
            add_rows(tsm_sbt_writer_tables(writer), 3);
            tsm_batch batch = batch_of(&parts[i]);
            if (tsm_sbt_writer_block(writer, &batch, NULL, 0, &err) != TSM_OK) {
                CHECK(err.os_error == EFBIG);
                limit.rlim_cur = limit.rlim_max;
                CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
                OK(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err));
            }
        }
        bool closed = tsm_sbt_writer_close(writer, &err) == TSM_OK;
        limit.rlim_cur = limit.rlim_max;
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        OK(tsm_sbt_reader_open(path, &reader, &err));
        tsm_sbt_info info;
        tsm_sbt_reader_info(reader, &info);
        CHECK(info.complete == closed && info.used_bytes == info.file_bytes);
        CHECK_EQUAL(check_prefix(reader, parts, &refused), PARTS);
        CHECK_EQUAL(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS), 10);
        CHECK_EQUAL(refused, 0);
        tsm_sbt_reader_close(reader);
    }
    free_parts(parts);
    unlink(path);
}

static void
run_in_child(void (*run)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run();
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
a_full_disk_is_reported_and_survived(void)
{
    run_in_child(write_into_a_full_disk);
    run_in_child(write_with_little_room);
}

static void
a_window_finds_all_that_touches_it(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    trace t = make_trace(30000, 3000);
    for (size_t i = 0; i < t.count; i++) {
        /* Blocks overlap, some events are very long, times go back between blocks. */
        t.events[i].timestamp = 1000000 + i * 10 - (i / 4096 % 3) * 50000 + below(9);
        t.events[i].duration = below(3000) == 0 ? below(200000) : below(4) == 0 ? 0 : below(50);
        t.events[i].value = i;
    }
    t.events[5000].duration = UINT64_MAX;
    fill_extensions(&t);
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    tsm_batch batch = batch_of(&t);
    OK(tsm_sbt_writer_append(writer, &batch, &err));
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    for (unsigned round = 0; round < 300; round++) {
        uint64_t begin = 900000 + below(500000), end = begin + below(round % 2 ? 100 : 20000);
        tsm_cursor *cursor;
        tsm_batch got;
        tsm_status status;
        size_t events = 0, extensions = 0, wanted = 0, wanted_extensions = 0;
        uint64_t horizon;
        OK(tsm_sbt_reader_cursor(reader, begin, end, &cursor));
        for (;;) {
            horizon = cursor->ops->horizon(cursor);
            status = tsm_cursor_next(cursor, &got, &err);
            if (status != TSM_OK) {
                break;
            }
            for (size_t i = 0; i < got.count; i++) {
                CHECK(tsm_event_overlaps(&got.events[i], begin, end));
                CHECK(got.events[i].timestamp >= horizon);
                CHECK(memcmp(&got.events[i], &t.events[got.events[i].value], sizeof(tsm_event)) == 0);
            }
            for (size_t i = 0; i < got.extension_count; i++) {
                size_t event = got.events[got.extension_rows[i]].value;
                CHECK_EQUAL(got.extensions[i].values[0], 0x7f0000000000u + event / 10 * 64);
            }
            events += got.count;
            extensions += got.extension_count;
        }
        CHECK(status == TSM_E_END && cursor->ops->horizon(cursor) == UINT64_MAX);
        for (size_t i = 0; i < t.count; i++) {
            bool touches = tsm_event_overlaps(&t.events[i], begin, end);
            wanted += touches;
            wanted_extensions += touches && i % 10 == 0;
        }
        CHECK_EQUAL(events, wanted);
        CHECK_EQUAL(extensions, wanted_extensions);
        tsm_cursor_close(cursor);
    }
    tsm_sbt_reader_close(reader);
    free_trace(&t);
    unlink(path);
}

static void
bad_batches_are_refused_and_the_writer_goes_on(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    trace t = make_trace(TSM_SBT_BLOCK_EVENTS + 1, 2);
    fill_plausible(&t, 1);
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    tsm_batch batch = batch_of(&t);
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_LIMIT);
    batch.count = 100;
    t.rows[1] = 100;
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_ARG);
    t.rows[0] = 2;
    t.rows[1] = 1;
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_ARG);
    t.rows[0] = 1;
    t.events[50].timestamp = 0;
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_ARG);
    t.events[50].timestamp = t.events[49].timestamp;
    OK(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err));
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    CHECK_EQUAL(tsm_sbt_reader_block(reader, 0)->count, 100);
    CHECK(tsm_sbt_reader_block(reader, 1) == NULL);
    REFUSED(tsm_sbt_reader_read(reader, 1, t.events, NULL, NULL, &err), TSM_E_ARG);
    tsm_sbt_reader_close(reader);
    free_trace(&t);
    unlink(path);
}

static void
positions_are_durable_without_events(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    tsm_batch none = { .count = 0 };
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    for (uint32_t i = 0; i < 5000; i++) {
        tsm_sbt_position position = { .producer = i % 1000, .slots = i, .lost = UINT64_MAX - i };
        OK(tsm_sbt_writer_block(writer, &none, &position, 1, &err));
    }
    tsm_sbt_writer_destroy(writer);
    OK(tsm_sbt_writer_resume(path, &writer, &err));
    for (unsigned finished = 0; finished < 2; finished++) {
        size_t count;
        OK(tsm_sbt_reader_open(path, &reader, &err));
        const tsm_sbt_position *positions = tsm_sbt_reader_positions(reader, &count);
        CHECK_EQUAL(count, 1000);
        for (size_t i = 0; i < count; i++) {
            CHECK_EQUAL(positions[i].slots, 4000 + positions[i].producer);
            CHECK_EQUAL(positions[i].lost, UINT64_MAX - positions[i].slots);
        }
        size_t blocks[5000];
        CHECK_EQUAL(tsm_sbt_reader_find(reader, 0, UINT64_MAX, blocks), 0);
        tsm_sbt_reader_close(reader);
        if (finished == 0) {
            OK(tsm_sbt_writer_close(writer, &err));
        }
    }
    unlink(path);
}

static const unit_test tests[] = {
    UNIT(plausible_events_come_back),
    UNIT(any_events_come_back),
    UNIT(several_extensions_of_one_event_keep_their_order),
    UNIT(unsorted_events_are_sorted_with_their_extensions),
    UNIT(every_table_comes_back),
    UNIT(a_string_of_many_megabytes_and_many_equal_rows_come_back),
    UNIT(an_unfinished_file_cut_anywhere_reads_to_its_last_block),
    UNIT(a_finished_file_cut_anywhere_says_so),
    UNIT(a_file_cut_anywhere_is_resumed_where_it_was_whole),
    UNIT(no_damaged_byte_of_a_finished_file_goes_unseen),
    UNIT(no_damaged_byte_of_an_unfinished_file_goes_unseen),
    UNIT(repair_gives_up_only_what_is_damaged),
    UNIT(other_files_are_refused_by_name),
    UNIT(unknown_sections_tables_and_columns_are_passed_over),
    UNIT(hostile_counts_are_refused),
    UNIT(a_file_is_read_while_it_is_written),
    UNIT(two_writers_do_not_meet_and_old_readers_keep_their_file),
    UNIT(a_finished_file_is_resumed_and_continued),
    UNIT(a_full_disk_is_reported_and_survived),
    UNIT(a_window_finds_all_that_touches_it),
    UNIT(bad_batches_are_refused_and_the_writer_goes_on),
    UNIT(positions_are_durable_without_events),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
