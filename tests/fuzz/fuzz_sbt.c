/* Any bytes as an SBT file: everything that a reader offers is asked for, and nothing may crash,
 * hang or read outside. Checksums would keep a fuzzer out, so the input's are made right first. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "sbt/sbt.h"

#define HEADER_BYTES  64
#define SECTION_BYTES 32

static void
seal(uint8_t *data, size_t size)
{
    if (size < HEADER_BYTES) {
        return;
    }
    uint32_t crc = tsm_crc32c(0, data, HEADER_BYTES - 4);
    memcpy(data + HEADER_BYTES - 4, &crc, 4);
    for (uint64_t at = HEADER_BYTES; size - at >= SECTION_BYTES;) {
        uint64_t left = size - at - SECTION_BYTES, bytes = tsm_load_u64(data + at + 8);
        uint64_t padded = bytes > left ? left : (bytes + 7) & ~(uint64_t)7;
        if (padded > left) {
            return;
        }
        crc = tsm_crc32c(0, data + at + SECTION_BYTES, padded);
        memcpy(data + at + 4, &crc, 4);
        memcpy(data + at + 16, &at, 8);
        crc = tsm_crc32c(0, data + at, SECTION_BYTES - 4);
        memcpy(data + at + SECTION_BYTES - 4, &crc, 4);
        at += SECTION_BYTES + padded;
    }
}

static void
read_block(const tsm_sbt_reader *reader, size_t index)
{
    const tsm_sbt_block_info *block = tsm_sbt_reader_block(reader, index);
    tsm_error err;
    tsm_event *events = malloc(block->count * sizeof *events + 1);
    tsm_extension *extensions = malloc(block->extension_count * sizeof *extensions + 1);
    uint32_t *rows = malloc(block->extension_count * sizeof *rows + 1);
    void *columns[TSM_EVENT_FIELD_COUNT];
    for (unsigned i = 0; i < TSM_EVENT_FIELD_COUNT; i++) {
        columns[i] = malloc(block->count * sizeof(uint64_t) + 1);
    }
    if (tsm_sbt_reader_read(reader, index, events, extensions, rows, &err) == TSM_OK) {
        for (uint32_t i = 0; i < block->extension_count; i++) {
            if (rows[i] >= block->count) {
                abort();
            }
        }
    }
    (void)!tsm_sbt_reader_read_columns(reader, index, columns, &err);
    for (unsigned i = 0; i < TSM_EVENT_FIELD_COUNT; i++) {
        free(columns[i]);
    }
    free(rows);
    free(extensions);
    free(events);
}

static void
walk_tables(tsm_tables *tables)
{
    for (unsigned table = 0; table < TSM_TABLE_LIMIT; table++) {
        const tsm_table_layout *layout = tsm_table_layout_of(table);
        uint32_t count = layout == NULL ? 0 : tsm_tables_count(tables, table);
        for (uint32_t row = 0; row < count; row++) {
            for (size_t column = 0; column < layout->column_count; column++) {
                const tsm_column *about = &layout->columns[column];
                /* A chain within a table must end. */
                if (about->type == TSM_COLUMN_REF && about->ref == table && row > 0
                    && tsm_tables_borrow_row(tables, table, row)[column] >= row) {
                    abort();
                }
            }
        }
    }
}

static void
walk_window(tsm_sbt_reader *reader, uint64_t begin, uint64_t end)
{
    tsm_cursor *cursor;
    tsm_batch batch;
    tsm_error err;
    if (tsm_sbt_reader_cursor(reader, begin, end, &cursor) != TSM_OK) {
        return;
    }
    for (tsm_status status = TSM_OK; status != TSM_E_END && status != TSM_E_NOMEM;) {
        status = tsm_cursor_next(cursor, &batch, &err);
        for (size_t i = 0; status == TSM_OK && i < batch.count; i++) {
            if (!tsm_event_overlaps(&batch.events[i], begin, end)) {
                abort();
            }
        }
    }
    tsm_cursor_close(cursor);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tsm_sbt_reader *reader;
    tsm_sbt_info info;
    tsm_error err;
    uint8_t *copy = malloc(size + 1);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    /* The optional features mean nothing yet: a bit there keeps the checksums as they are. */
    if (size < HEADER_BYTES || !(data[24] & 0x80)) {
        seal(copy, size);
    }
    if (tsm_sbt_reader_open_memory(copy, size, &reader, &err) == TSM_OK) {
        size_t count;
        tsm_sbt_reader_info(reader, &info);
        tsm_sbt_reader_positions(reader, &count);
        walk_tables(tsm_sbt_reader_tables(reader));
        for (size_t i = 0; i < info.block_count; i++) {
            read_block(reader, i);
        }
        walk_window(reader, 0, UINT64_MAX);
        walk_window(reader, info.begin_ns + (info.end_ns - info.begin_ns) / 3, info.end_ns);
        (void)!tsm_sbt_reader_refresh(reader, &err);
        tsm_sbt_reader_close(reader);
    }
    free(copy);
    return 0;
}
