/* The SBT file: what is written comes back. */
#include <stddef.h>

#include "sbt_check.h"

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
                                 (const char *)&wanted->events[at + row] + fields[f].offset, fields[f].bytes)
                          == 0);
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
                             layout->column_count * 8)
                      == 0);
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

static const unit_test tests[] = {
    UNIT(plausible_events_come_back),
    UNIT(any_events_come_back),
    UNIT(several_extensions_of_one_event_keep_their_order),
    UNIT(unsorted_events_are_sorted_with_their_extensions),
    UNIT(every_table_comes_back),
    UNIT(a_string_of_many_megabytes_and_many_equal_rows_come_back),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
