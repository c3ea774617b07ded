/* SBT files that are cut off, damaged, hostile, or from another time. */
#include <errno.h>

#include "base/bytes.h"
#include "sbt_check.h"

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
    static const uint8_t streams[] = "\1"
                                     "\7streams"
                                     "\0"
                                     "\2"
                                     "\6colour"
                                     "\0\0\2\0\5"
                                     "\6raw_id"
                                     "\0\0\2\0\x2a";
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
    static const uint8_t own[] = "\1"
                                 "\6stacks"
                                 "\0"
                                 "\1"
                                 "\6parent"
                                 "\4\12\2\0\1";
    static const uint8_t text[] = "\1"
                                  "\7strings"
                                  "\1"
                                  "\4\0\xff\xff\x7f"
                                  "abc";
    struct {
        uint16_t table;
        const void *payload;
        size_t bytes;
    } hostile[] = { { 10, own, sizeof own - 1 }, { 1, text, sizeof text - 1 }, { 10, "", 0 } };
    for (unsigned i = 0; i < 3; i++) {
        uint8_t *changed =
            insert_section(data, size, 1, hostile[i].table, hostile[i].payload, hostile[i].bytes, &new_size);
        tsm_sbt_reader *reader;
        REFUSED(tsm_sbt_reader_open_memory(changed, new_size, &reader, &err), TSM_E_CORRUPT);
        CHECK_EQUAL(err.offset, 64);
        free(changed);
    }
    free(data);
    free_parts(parts);
    unlink(path);
}

static uint32_t
intern(tsm_sbt_writer *writer, const char *text)
{
    uint32_t id;
    OK(tsm_tables_intern_text(tsm_sbt_writer_tables(writer), TSM_TABLE_STRINGS, text, strlen(text), &id));
    return id;
}

static uint32_t
add_row(tsm_sbt_writer *writer, unsigned table, const uint64_t *values)
{
    uint32_t id;
    OK(tsm_tables_add(tsm_sbt_writer_tables(writer), table, values, &id));
    return id;
}

static void
write_event(tsm_sbt_writer *writer, uint64_t timestamp, uint32_t name)
{
    tsm_event event = { .timestamp = timestamp, .name = name, .type = TSM_EVENT_KERNEL_LAUNCH };
    OK(tsm_sbt_writer_block(writer, &(tsm_batch){ .events = &event, .count = 1 }, NULL, 0, &err));
}

/* A second block that refers to rows of five tables, written just before it: by an event, by its
 * extra, by a value of its extension record, and by a position. */
static void
write_referring(tsm_sbt_writer *writer)
{
    uint32_t root = add_row(writer, TSM_TABLE_SCHEMAS, (uint64_t[]){ 0, intern(writer, "a"), 0 });
    uint32_t schema = add_row(writer, TSM_TABLE_SCHEMAS, (uint64_t[]){ root, 1, TSM_COLUMN_REF });
    write_event(writer, 1, 1);
    uint32_t name = intern(writer, "b"), value = intern(writer, "c");
    tsm_event event = { .timestamp = 2, .name = name, .type = TSM_EVENT_MARKER, .flags = TSM_EXTRA_METADATA };
    event.stack = add_row(writer, TSM_TABLE_STACKS, (uint64_t[]){ 0, 7 });
    event.extra = add_row(writer, TSM_TABLE_METADATA, (uint64_t[]){ 0, 1, 1 });
    tsm_sbt_position position = { .producer = add_row(writer, TSM_TABLE_PRODUCERS, (uint64_t[]){ 5, 1, 0 }) };
    tsm_extension record = { .type = TSM_SLOT_EXTENSION, .count = 1, .schema = schema, .values = { value } };
    tsm_batch batch = { &event, 1, &record, &(uint32_t){ 0 }, 1 };
    OK(tsm_sbt_writer_block(writer, &batch, &position, 1, &err));
}

/* Destroys the headers of all sections between the first block and the second. */
static void
destroy_between_blocks(void)
{
    size_t size;
    uint8_t *data = load_file(&size);
    unsigned blocks = 0;
    for (size_t at = 64; at < size;) {
        size_t bytes = 32 + ((tsm_load_u64(data + at + 8) + 7) & ~(uint64_t)7);
        blocks += data[at] == 2;
        if (data[at] == 1 && blocks == 1) {
            memset(data + at, 0xa5, 32);
        }
        at += bytes;
    }
    CHECK_EQUAL(blocks, 2);
    store_file(data, size);
    free(data);
}

static void
a_resumed_writer_gives_out_no_id_that_a_block_refers_to(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    write_referring(writer);
    tsm_sbt_writer_destroy(writer);
    destroy_between_blocks();
    OK(tsm_sbt_writer_resume(path, &writer, &err));
    tsm_tables *tables = tsm_sbt_writer_tables(writer);
    CHECK_EQUAL(tsm_tables_find_text(tables, TSM_TABLE_STRINGS, "c", 1), 0);
    CHECK_EQUAL(intern(writer, "d"), 4);
    CHECK_EQUAL(add_row(writer, TSM_TABLE_STACKS, (uint64_t[]){ 0, 8 }), 2);
    CHECK_EQUAL(add_row(writer, TSM_TABLE_METADATA, (uint64_t[]){ 0, 1, 1 }), 2);
    CHECK_EQUAL(add_row(writer, TSM_TABLE_PRODUCERS, (uint64_t[]){ 5, 2, 0 }), 2);
    CHECK_EQUAL(add_row(writer, TSM_TABLE_THREADS, (uint64_t[]){ 0, 1, 0 }), 1);
    write_event(writer, 3, 4);
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    tables = tsm_sbt_reader_tables(reader);
    trace all = read_all(reader);
    CHECK_EQUAL(all.count, 3);
    CHECK_EQUAL(tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, all.events[1].name).size, 0);
    CHECK_EQUAL(tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, (uint32_t)all.extensions[0].values[0]).size, 0);
    CHECK_EQUAL(tsm_tables_borrow_row(tables, TSM_TABLE_STACKS, all.events[1].stack)[TSM_STACK_FRAME], 0);
    CHECK_EQUAL(tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, all.events[2].name).data[0], 'd');
    free_trace(&all);
    tsm_sbt_reader_close(reader);
    unlink(path);
}

static const unit_test tests[] = {
    UNIT(an_unfinished_file_cut_anywhere_reads_to_its_last_block), UNIT(a_finished_file_cut_anywhere_says_so),
    UNIT(a_file_cut_anywhere_is_resumed_where_it_was_whole),       UNIT(no_damaged_byte_of_a_finished_file_goes_unseen),
    UNIT(no_damaged_byte_of_an_unfinished_file_goes_unseen),       UNIT(repair_gives_up_only_what_is_damaged),
    UNIT(a_resumed_writer_gives_out_no_id_that_a_block_refers_to), UNIT(other_files_are_refused_by_name),
    UNIT(unknown_sections_tables_and_columns_are_passed_over),     UNIT(hostile_counts_are_refused),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
