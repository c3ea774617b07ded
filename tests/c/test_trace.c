/* The hub: tables, ids translated from one trace to another, a trace in memory, and time order. */
#include "trace/trace.h"
#include "unit.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t
random_below(uint64_t limit)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state % limit;
}

static uint32_t
text_id(tsm_tables *tables, const char *text)
{
    uint32_t id;
    CHECK(tsm_tables_intern_text(tables, TSM_TABLE_STRINGS, text, strlen(text), &id) == TSM_OK);
    return id;
}

static void
equal_rows_are_one_row_and_zeros_are_none(void)
{
    tsm_tables *tables;
    uint32_t a, b, c;
    CHECK(tsm_tables_create(&tables) == TSM_OK);
    CHECK_EQUAL(text_id(tables, ""), 0);
    CHECK_EQUAL(text_id(tables, "x"), text_id(tables, "x"));
    CHECK(tsm_tables_intern(tables, TSM_TABLE_STACKS, (uint64_t[]){ 0, 0 }, &a) == TSM_OK && a == 0);
    CHECK(tsm_tables_intern(tables, TSM_TABLE_STACKS, (uint64_t[]){ 0, 5 }, &a) == TSM_OK);
    CHECK(tsm_tables_intern(tables, TSM_TABLE_STACKS, (uint64_t[]){ a, 5 }, &b) == TSM_OK);
    CHECK(tsm_tables_intern(tables, TSM_TABLE_STACKS, (uint64_t[]){ 0, 5 }, &c) == TSM_OK);
    CHECK(a == 1 && b == 2 && c == 1);
    CHECK(tsm_tables_add(tables, TSM_TABLE_STACKS, (uint64_t[]){ 0, 5 }, &c) == TSM_OK && c == 3);
    CHECK(tsm_tables_add(tables, TSM_TABLE_STRINGS, (uint64_t[]){ 0 }, &c) == TSM_E_ARG);
    CHECK(tsm_tables_intern_text(tables, TSM_TABLE_STACKS, "x", 1, &c) == TSM_E_ARG);
    CHECK(tsm_tables_intern(tables, 99, (uint64_t[]){ 0 }, &c) == TSM_E_ARG);
    CHECK_EQUAL(tsm_tables_count(tables, 99), 0);
    CHECK_EQUAL(tsm_tables_borrow_row(tables, TSM_TABLE_STACKS, 1000)[TSM_STACK_FRAME], 0);
    CHECK_EQUAL(tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, 1000).size, 0);
    CHECK_EQUAL(tsm_tables_find_text(tables, TSM_TABLE_STRINGS, "never", 5), 0);
    tsm_tables_destroy(tables);
}

static void
a_hundred_thousand_names_keep_their_ids(void)
{
    tsm_tables *tables;
    char name[32];
    CHECK(tsm_tables_create(&tables) == TSM_OK);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 1; i <= 100000; i++) {
            snprintf(name, sizeof name, "name %u", i);
            CHECK_EQUAL(text_id(tables, name), i);
        }
    }
    tsm_tables_destroy(tables);
}

static void
the_last_info_of_a_key_wins(void)
{
    tsm_tables *tables;
    CHECK(tsm_tables_create(&tables) == TSM_OK);
    CHECK(tsm_tables_set_info(tables, "key", "old") == TSM_OK);
    CHECK(tsm_tables_set_info(tables, "key", "new") == TSM_OK);
    tsm_text value = tsm_tables_borrow_info(tables, "key");
    CHECK(value.size == 3 && memcmp(value.data, "new", 3) == 0);
    CHECK_EQUAL(tsm_tables_borrow_info(tables, "other").size, 0);
    tsm_tables_destroy(tables);
}

/* Two traces that number the same things differently. */
static void
ids_of_one_trace_become_those_of_another(void)
{
    tsm_tables *from, *to;
    tsm_remap *remap;
    uint32_t frame, stack, field, schema;
    CHECK(tsm_tables_create(&from) == TSM_OK && tsm_tables_create(&to) == TSM_OK);
    CHECK(tsm_remap_create(&remap) == TSM_OK);
    text_id(to, "already here");
    uint32_t name = text_id(from, "main");
    CHECK(tsm_tables_intern(from, TSM_TABLE_FRAMES, (uint64_t[]){ name, 0, 7, 0, 1 }, &frame) == TSM_OK);
    CHECK(tsm_tables_intern(from, TSM_TABLE_STACKS, (uint64_t[]){ 0, frame }, &stack) == TSM_OK);
    CHECK(tsm_tables_intern(from, TSM_TABLE_SCHEMAS, (uint64_t[]){ 0, name, 0 }, &field) == TSM_OK);
    CHECK(tsm_tables_intern(from, TSM_TABLE_SCHEMAS, (uint64_t[]){ field, name, TSM_COLUMN_REF }, &schema) == TSM_OK);
    CHECK(tsm_remap_tables(remap, to, from) == TSM_OK);
    tsm_event event = { .name = name, .stack = stack, .thread = 99, .extra = 5, .flags = TSM_EXTRA_POOL };
    tsm_extension extension = { .values = { name }, .count = 1, .schema = schema };
    tsm_remap_events(remap, &event, 1);
    tsm_remap_extensions(remap, to, &extension, 1);
    CHECK_EQUAL(event.name, 2);
    CHECK_EQUAL(event.thread, 0); /* unknown there: none here */
    CHECK_EQUAL(event.extra, 5);  /* of a table that this build does not know: left alone */
    const uint64_t *row = tsm_tables_borrow_row(to, TSM_TABLE_STACKS, event.stack);
    row = tsm_tables_borrow_row(to, TSM_TABLE_FRAMES, (uint32_t)row[TSM_STACK_FRAME]);
    CHECK(row[TSM_FRAME_FUNCTION] == 2 && row[TSM_FRAME_LINE] == 7);
    CHECK_EQUAL(extension.values[0], 2);
    CHECK(extension.schema != 0);
    tsm_remap_destroy(remap);
    tsm_tables_destroy(from);
    tsm_tables_destroy(to);
}

#define MANY 20000

/* Events in a few sorted runs that overlap, each carrying its number, some with extensions. */
static tsm_memory *
make_memory(void)
{
    tsm_memory *memory;
    CHECK(tsm_memory_create(&memory) == TSM_OK);
    uint64_t clocks[4] = { 0 };
    for (uint32_t i = 0; i < MANY; i++) {
        uint64_t *clock = &clocks[i / 700 % 4];
        *clock += random_below(50);
        tsm_event event = { .timestamp = *clock, .duration = random_below(100), .correlation = i };
        tsm_extension extensions[20];
        uint32_t rows[20] = { 0 };
        size_t count = i % 1000 == 0 ? 20 : i % 3 == 0;
        for (size_t k = 0; k < count; k++) {
            extensions[k] = (tsm_extension){ .values = { i, k }, .count = 2 };
        }
        tsm_batch batch = { &event, 1, extensions, rows, count };
        CHECK(tsm_sink_write(tsm_memory_sink(memory), &batch, NULL) == TSM_OK);
    }
    CHECK(tsm_sink_tables(tsm_memory_sink(memory)) == tsm_memory_tables(memory));
    return memory;
}

/* Every extension sits behind the event whose number it carries, in its old order. */
static size_t
check_extensions(const tsm_batch *batch)
{
    uint64_t last_row = 0, expected = 0;
    for (size_t i = 0; i < batch->extension_count; i++) {
        uint32_t row = batch->extension_rows[i];
        expected = i > 0 && row == last_row ? expected + 1 : 0;
        CHECK(row < batch->count && row >= last_row);
        CHECK_EQUAL(batch->extensions[i].values[0], batch->events[row].correlation);
        CHECK_EQUAL(batch->extensions[i].values[1], expected);
        last_row = row;
    }
    return batch->extension_count;
}

static void
read_through(tsm_cursor *cursor, uint64_t begin, uint64_t end, bool in_order, const tsm_memory *memory)
{
    static unsigned char seen[MANY];
    tsm_batch batch, all;
    size_t events = 0, extensions = 0, expected = 0, batches = 0;
    uint64_t last = 0;
    tsm_status status;
    memset(seen, 0, sizeof seen);
    while ((status = tsm_cursor_next(cursor, &batch, NULL)) == TSM_OK) {
        CHECK(batch.count > 0);
        for (size_t i = 0; i < batch.count; i++) {
            CHECK(i == 0 || batch.events[i].timestamp >= batch.events[i - 1].timestamp);
            CHECK(!in_order || batch.events[i].timestamp >= last);
            last = batch.events[i].timestamp;
            CHECK(tsm_event_overlaps(&batch.events[i], begin, end));
            CHECK(seen[batch.events[i].correlation]++ == 0);
        }
        events += batch.count;
        extensions += check_extensions(&batch);
        batches++;
    }
    CHECK(status == TSM_E_END);
    CHECK(tsm_cursor_tables(cursor) != NULL);
    tsm_memory_borrow(memory, &all);
    for (size_t i = 0; i < all.count; i++) {
        expected += tsm_event_overlaps(&all.events[i], begin, end);
    }
    CHECK_EQUAL(events, expected);
    CHECK(events < MANY || extensions == all.extension_count);
    CHECK(events < MANY || batches > 1); /* it did not simply hold everything */
}

static void
a_memory_is_read_in_sorted_batches(void)
{
    tsm_memory *memory = make_memory();
    const uint64_t windows[][2] = { { 0, UINT64_MAX }, { 1000, 5000 }, { 7, 8 }, { 5000, 5000 } };
    for (size_t i = 0; i < 4; i++) {
        tsm_cursor *cursor;
        CHECK(tsm_memory_cursor(memory, windows[i][0], windows[i][1], &cursor) == TSM_OK);
        read_through(cursor, windows[i][0], windows[i][1], false, memory);
        tsm_cursor_close(cursor);
    }
    tsm_memory_destroy(memory);
}

static void
a_merge_gives_time_order_over_all_batches(void)
{
    tsm_memory *memory = make_memory();
    const uint64_t windows[][2] = { { 0, UINT64_MAX }, { 1000, 5000 } };
    for (size_t i = 0; i < 2; i++) {
        tsm_cursor *source, *cursor;
        CHECK(tsm_memory_cursor(memory, windows[i][0], windows[i][1], &source) == TSM_OK);
        CHECK(tsm_cursor_merge(source, &cursor) == TSM_OK);
        CHECK_EQUAL(cursor->ops->horizon(cursor) <= windows[i][1], 1);
        read_through(cursor, windows[i][0], windows[i][1], true, memory);
        CHECK_EQUAL(cursor->ops->horizon(cursor), UINT64_MAX);
        tsm_cursor_close(cursor);
    }
    tsm_memory_destroy(memory);
}

static void
sorting_is_stable_and_takes_extensions_along(void)
{
    enum { COUNT = 3000 };
    static tsm_event events[COUNT];
    static tsm_extension extensions[COUNT];
    static uint32_t rows[COUNT];
    for (int round = 0; round < 20; round++) {
        size_t extension_count = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            events[i] = (tsm_event){ .timestamp = random_below(round % 2 ? 50 : 1000000), .correlation = i };
            for (uint64_t k = 0; k < random_below(3) && extension_count < COUNT; k++) {
                extensions[extension_count] = (tsm_extension){ .values = { i, k } };
                rows[extension_count++] = i;
            }
        }
        CHECK(tsm_events_sort(events, COUNT, rows, extensions, extension_count) == TSM_OK);
        for (uint32_t i = 1; i < COUNT; i++) {
            CHECK(events[i - 1].timestamp < events[i].timestamp
                  || (events[i - 1].timestamp == events[i].timestamp
                      && events[i - 1].correlation < events[i].correlation));
        }
        tsm_batch batch = { events, COUNT, extensions, rows, extension_count };
        check_extensions(&batch);
    }
}

static void
every_number_has_a_name_and_every_name_its_number(void)
{
    CHECK(strcmp(tsm_event_type_name(TSM_EVENT_KERNEL_LAUNCH), "KernelLaunch") == 0);
    CHECK(strcmp(tsm_event_type_name(12345), "Unknown") == 0);
    CHECK(TSM_EVENT_NCCL_COMPLETE == 21 && TSM_EVENT_CUSTOM == 255); /* as they have always been */
    CHECK(tsm_table_layout_of(0) == NULL && tsm_table_layout_of(TSM_TABLE_LIMIT) == NULL);
    CHECK(strcmp(tsm_table_layout_of(TSM_TABLE_STREAMS)->columns[TSM_STREAM_RAW_ID].name, "raw_id") == 0);
    CHECK(strcmp(tsm_table_layout_of(TSM_TABLE_LAUNCHES)->columns[TSM_LAUNCH_METADATA].name, "metadata") == 0);
    CHECK(strcmp(tsm_table_layout_of(TSM_TABLE_DEVICES)->columns[TSM_DEVICE_WARP_SIZE].name, "warp_size") == 0);
}

static const unit_test tests[] = {
    UNIT(equal_rows_are_one_row_and_zeros_are_none),
    UNIT(a_hundred_thousand_names_keep_their_ids),
    UNIT(the_last_info_of_a_key_wins),
    UNIT(ids_of_one_trace_become_those_of_another),
    UNIT(a_memory_is_read_in_sorted_batches),
    UNIT(a_merge_gives_time_order_over_all_batches),
    UNIT(sorting_is_stable_and_takes_extensions_along),
    UNIT(every_number_has_a_name_and_every_name_its_number),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
