/* The writer. What it knows of the file is the chain, which grows only when a section is whole in
 * the file; a section that cannot be written is cut off again, and table rows in it are tried
 * again before the next block. */
#include "sbt/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/bytes.h"
#include "sbt/columns.h"

#define TABLE_SECTION_ROWS 16384u
#define TABLE_SECTION_TEXT ((size_t)1 << 20)

static tsm_status
write_at(tsm_sbt_writer *w, const void *data, size_t bytes, uint64_t offset, tsm_error *err)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        ssize_t put = pwrite(w->fd, at, bytes, (off_t)offset);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            errno = put == 0 ? ENOSPC : errno;
            return tsm_fail_errno(err, TSM_E_IO, "cannot write %zu bytes at byte %llu", bytes,
                                  (unsigned long long)offset);
        }
        at += put;
        offset += (uint64_t)put;
        bytes -= (size_t)put;
    }
    return TSM_OK;
}

tsm_status
sbt_write_header(tsm_sbt_writer *w, tsm_error *err)
{
    sbt_header_seal(&w->header);
    return write_at(w, &w->header, sizeof w->header, 0, err);
}

static void
begin_section(tsm_sbt_writer *w)
{
    w->buffer.size = 0;
    w->buffer.failed = false;
    sbt_put(&w->buffer, &(sbt_section){ 0 }, sizeof(sbt_section));
}

/* Seals what buffer holds, writes it behind the chain, and cuts it off again if that fails. */
static tsm_status
end_section(tsm_sbt_writer *w, uint16_t kind, unsigned table, uint32_t count, sbt_section *section, tsm_error *err)
{
    uint64_t payload_bytes = w->buffer.size - sizeof *section;
    sbt_put(&w->buffer, &(uint64_t){ 0 }, (size_t)(sbt_padded(payload_bytes) - payload_bytes));
    if (w->buffer.failed) {
        w->buffer.failed = false;
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to write a section");
    }
    *section = (sbt_section){ .kind = kind, .table = (uint16_t)table, .count = count };
    section->offset = w->at;
    section->payload_bytes = payload_bytes;
    section->payload_crc = tsm_crc32c(0, w->buffer.data + sizeof *section, w->buffer.size - sizeof *section);
    sbt_section_seal(section);
    memcpy(w->buffer.data, section, sizeof *section);
    tsm_status status = write_at(w, w->buffer.data, w->buffer.size, w->at, err);
    if (status == TSM_OK) {
        w->at += w->buffer.size;
    } else if (ftruncate(w->fd, (off_t)w->at) != 0) {
        /* Then the rest of the section stays behind the chain: a reader stops there, and the
         * next section overwrites it. */
        return status;
    }
    return status;
}

/* How many of the rows from first on go into one section. */
static uint32_t
rows_for_section(const tsm_tables *tables, unsigned table, uint32_t first)
{
    uint32_t left = tsm_tables_count(tables, table) - first;
    uint32_t most = left < TABLE_SECTION_ROWS ? left : TABLE_SECTION_ROWS;
    if (!tsm_table_layout_of(table)->text) {
        return most;
    }
    size_t bytes = 0;
    uint32_t rows = 0;
    while (rows < most && (rows == 0 || bytes < TABLE_SECTION_TEXT)) {
        bytes += tsm_tables_borrow_text(tables, table, first + rows++).size;
    }
    return rows;
}

static tsm_status
write_rows(tsm_sbt_writer *w, unsigned table, tsm_error *err)
{
    uint32_t *written = &w->written_rows[table];
    while (*written < tsm_tables_count(w->chain.tables, table)) {
        sbt_section section;
        uint32_t rows = rows_for_section(w->chain.tables, table, *written);
        begin_section(w);
        sbt_table_encode(w->encoder, w->chain.tables, table, *written, rows, &w->buffer);
        if (sbt_chain_reserve(&w->chain, 0) != TSM_OK) {
            return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to write table rows");
        }
        tsm_status status = end_section(w, SBT_KIND_TABLE, table, rows, &section, err);
        if (status != TSM_OK) {
            return status;
        }
        *written += rows;
        w->chain.end = w->at;
        status = sbt_chain_add_entry(&w->chain, &(sbt_entry){ .kind = SBT_KIND_TABLE,
                                                              .table = (uint16_t)table,
                                                              .count = rows,
                                                              .offset = section.offset,
                                                              .payload_bytes = section.payload_bytes });
        if (status != TSM_OK) {
            return status;
        }
    }
    return TSM_OK;
}

static tsm_status
write_tables(tsm_sbt_writer *w, tsm_error *err)
{
    for (unsigned table = 0; table < TSM_TABLE_LIMIT; table++) {
        if (tsm_table_layout_of(table) != NULL) {
            tsm_status status = write_rows(w, table, err);
            if (status != TSM_OK) {
                return status;
            }
        }
    }
    return TSM_OK;
}

static tsm_status
check_batch(const tsm_batch *batch, tsm_error *err)
{
    if (batch->count > TSM_SBT_BLOCK_EVENTS || batch->extension_count > SBT_COLUMN_MAX) {
        return tsm_fail(err, TSM_E_LIMIT, 0, "a block holds up to %d events and %u extensions, not %zu and %zu",
                        TSM_SBT_BLOCK_EVENTS, SBT_COLUMN_MAX, batch->count, batch->extension_count);
    }
    for (size_t i = 0; i < batch->extension_count; i++) {
        if (batch->extension_rows[i] >= batch->count
            || (i > 0 && batch->extension_rows[i] < batch->extension_rows[i - 1])) {
            return tsm_fail(err, TSM_E_ARG, 0, "extension %zu of a block is out of order or of no event", i);
        }
    }
    return TSM_OK;
}

/* The block is in the file: nothing may fail any more, so memory was reserved before. */
static tsm_status
note_block(tsm_sbt_writer *w, size_t count, const sbt_section *section, const tsm_sbt_position *positions,
           size_t position_count)
{
    sbt_block_head head;
    memcpy(&head, w->buffer.data + sizeof *section, sizeof head);
    w->chain.end = w->at;
    tsm_status status = sbt_chain_add_entry(&w->chain, &(sbt_entry){ .kind = SBT_KIND_BLOCK,
                                                                     .count = (uint32_t)count,
                                                                     .offset = section->offset,
                                                                     .payload_bytes = section->payload_bytes,
                                                                     .first_event = head.first_event,
                                                                     .begin_ns = head.begin_ns,
                                                                     .last_ns = head.last_ns,
                                                                     .end_ns = head.end_ns,
                                                                     .extension_count = head.extension_count });
    for (size_t i = 0; i < position_count && status == TSM_OK; i++) {
        status = sbt_chain_set_position(&w->chain, &positions[i]);
    }
    return status;
}

/* What the encoder holds, with these extensions, as one section. It is kept until it is written. */
static tsm_status
write_block(tsm_sbt_writer *w, const tsm_extension *extensions, const uint32_t *rows, size_t extension_count,
            const tsm_sbt_position *positions, size_t position_count, tsm_error *err)
{
    sbt_section section;
    size_t count = w->encoder->build.count;
    tsm_status status = write_tables(w, err);
    if (status != TSM_OK || (count == 0 && position_count == 0)) {
        return status;
    }
    begin_section(w);
    sbt_block_encode(w->encoder, extensions, rows, extension_count, w->chain.totals.event_count, positions,
                     position_count, &w->buffer);
    if (sbt_chain_reserve(&w->chain, position_count) != TSM_OK) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to write a block");
    }
    status = end_section(w, SBT_KIND_BLOCK, 0, (uint32_t)count, &section, err);
    if (status == TSM_OK) {
        status = note_block(w, count, &section, positions, position_count);
        sbt_block_begin(w->encoder);
    }
    return status;
}

size_t
tsm_sbt_writer_fill(tsm_sbt_writer *w, const tsm_event *events, size_t count, const tsm_event *ahead)
{
    size_t room = TSM_SBT_BLOCK_EVENTS - w->encoder->build.count;
    count = count < room ? count : room;
    sbt_block_add(w->encoder, events, count, ahead);
    return count;
}

tsm_status
tsm_sbt_writer_end_block(tsm_sbt_writer *w, tsm_extension *extensions, uint32_t *rows, size_t extension_count,
                         const tsm_sbt_position *positions, size_t position_count, tsm_error *err)
{
    tsm_status status = sbt_block_sort(w->encoder, extensions, rows, extension_count);
    if (status != TSM_OK) {
        return tsm_fail(err, status, 0, "no memory to sort a block");
    }
    return write_block(w, extensions, rows, extension_count, positions, position_count, err);
}

void
tsm_sbt_writer_discard(tsm_sbt_writer *w)
{
    sbt_block_begin(w->encoder);
}

static tsm_status
write_collected(tsm_sbt_writer *w, tsm_error *err)
{
    tsm_status status = tsm_sbt_writer_end_block(w, w->extensions, w->extension_rows, w->extension_count, NULL, 0, err);
    if (status == TSM_OK) {
        w->extension_count = 0;
    }
    return status;
}

tsm_status
tsm_sbt_writer_block(tsm_sbt_writer *w, const tsm_batch *batch, const tsm_sbt_position *positions,
                     size_t position_count, tsm_error *err)
{
    tsm_status status = check_batch(batch, err);
    if (status == TSM_OK) {
        status = write_collected(w, err);
    }
    if (status != TSM_OK) {
        return status;
    }
    tsm_sbt_writer_fill(w, batch->events, batch->count, batch->events);
    status = w->encoder->build.sorted
                 ? write_block(w, batch->extensions, batch->extension_rows, batch->extension_count, positions,
                               position_count, err)
                 : tsm_fail(err, TSM_E_ARG, 0, "the events of a block are not sorted by timestamp");
    tsm_sbt_writer_discard(w);
    return status;
}

/* How many of the events from first on go into the block being built, and where their extensions,
 * which begin at extension, end. */
static size_t
take_some(const tsm_sbt_writer *w, const tsm_batch *batch, size_t first, size_t extension, size_t *extension_end)
{
    size_t room = TSM_SBT_BLOCK_EVENTS - w->encoder->build.count, left = batch->count - first, end = extension;
    size_t stop = first + (left < room ? left : room), most = extension + SBT_COLUMN_MAX - w->extension_count;
    while (end < batch->extension_count && batch->extension_rows[end] < stop) {
        if (end == most) { /* this event's do not all fit */
            stop = batch->extension_rows[end];
            while (end > extension && batch->extension_rows[end - 1] == stop) {
                end--;
            }
            break;
        }
        end++;
    }
    *extension_end = end;
    return stop - first;
}

static tsm_status
collect(tsm_sbt_writer *w, const tsm_batch *batch, size_t first, size_t count, size_t extension, size_t extension_end,
        tsm_error *err)
{
    size_t all = w->extension_count + extension_end - extension;
    if (!tsm_array_reserve(&w->extensions, &w->extension_capacity, all)
        || !tsm_array_reserve(&w->extension_rows, &w->extension_row_capacity, all)) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to collect a block");
    }
    for (uint32_t before = (uint32_t)w->encoder->build.count; extension < extension_end; extension++) {
        w->extensions[w->extension_count] = batch->extensions[extension];
        w->extension_rows[w->extension_count++] = before + batch->extension_rows[extension] - (uint32_t)first;
    }
    tsm_sbt_writer_fill(w, batch->events + first, count, batch->events + first);
    return TSM_OK;
}

tsm_status
tsm_sbt_writer_append(tsm_sbt_writer *w, const tsm_batch *batch, tsm_error *err)
{
    size_t extension = 0;
    for (size_t i = 0; i < batch->count;) {
        size_t extension_end, count = take_some(w, batch, i, extension, &extension_end);
        tsm_status status = TSM_OK;
        if (count > 0) {
            status = collect(w, batch, i, count, extension, extension_end, err);
            i += count;
            extension = extension_end;
        } else if (w->encoder->build.count == 0) {
            return tsm_fail(err, TSM_E_LIMIT, 0, "an event with more than %u extensions", SBT_COLUMN_MAX);
        }
        if (status == TSM_OK && (count == 0 || w->encoder->build.count == TSM_SBT_BLOCK_EVENTS)) {
            status = write_collected(w, err);
        }
        if (status != TSM_OK) {
            return status;
        }
    }
    return TSM_OK;
}

tsm_status
tsm_sbt_writer_flush(tsm_sbt_writer *w, tsm_error *err)
{
    return write_collected(w, err);
}

static tsm_tables *
sink_tables(tsm_sink *sink)
{
    return ((tsm_sbt_writer *)sink)->chain.tables;
}

static tsm_status
sink_write(tsm_sink *sink, const tsm_batch *batch, tsm_error *err)
{
    return tsm_sbt_writer_append((tsm_sbt_writer *)sink, batch, err);
}

const tsm_sink_ops sbt_writer_sink_ops = { .tables = sink_tables, .write = sink_write };

tsm_tables *
tsm_sbt_writer_tables(tsm_sbt_writer *w)
{
    return w->chain.tables;
}

tsm_sink *
tsm_sbt_writer_sink(tsm_sbt_writer *w)
{
    return &w->sink;
}

const tsm_sbt_position *
tsm_sbt_writer_positions(const tsm_sbt_writer *w, size_t *count)
{
    *count = w->chain.position_count;
    return w->chain.positions;
}

uint64_t
tsm_sbt_writer_events(const tsm_sbt_writer *w)
{
    return w->chain.totals.event_count + w->encoder->build.count;
}

uint64_t
tsm_sbt_writer_bytes(const tsm_sbt_writer *w)
{
    return w->at;
}

/* The mark 'complete' is the last byte to change: until then a reader scans. */
static tsm_status
finish(tsm_sbt_writer *w, tsm_error *err)
{
    sbt_section index, section;
    tsm_status status = tsm_sbt_writer_flush(w, err);
    if (status != TSM_OK) {
        return status;
    }
    begin_section(w);
    sbt_chain_write_index(&w->chain, &w->buffer);
    status = end_section(w, SBT_KIND_INDEX, 0, 0, &index, err);
    if (status != TSM_OK) {
        return status;
    }
    sbt_footer footer = w->chain.totals;
    footer.index = index.offset;
    footer.begin_ns = footer.event_count == 0 ? 0 : footer.begin_ns;
    begin_section(w);
    sbt_put(&w->buffer, &footer, sizeof footer);
    status = end_section(w, SBT_KIND_FOOTER, 0, 0, &section, err);
    /* A file that shrank (a resumed one) may have old bytes behind. */
    if (status == TSM_OK && ftruncate(w->fd, (off_t)w->at) != 0) {
        status = tsm_fail_errno(err, TSM_E_IO, "cannot end the file at byte %llu", (unsigned long long)w->at);
    }
    if (status != TSM_OK) {
        return status;
    }
    w->header.flags &= ~SBT_FLAG_INCOMPLETE;
    w->header.footer = section.offset;
    return sbt_write_header(w, err);
}

tsm_status
tsm_sbt_writer_close(tsm_sbt_writer *w, tsm_error *err)
{
    tsm_status status = finish(w, err);
    int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0 && status == TSM_OK) {
        status = tsm_fail_errno(err, TSM_E_IO, "cannot close the file");
    }
    tsm_sbt_writer_destroy(w);
    return status;
}

void
tsm_sbt_writer_destroy(tsm_sbt_writer *w)
{
    if (w == NULL) {
        return;
    }
    if (w->fd >= 0) {
        close(w->fd);
    }
    sbt_chain_destroy(&w->chain);
    sbt_encoder_destroy(w->encoder);
    free(w->buffer.data);
    free(w->extensions);
    free(w->extension_rows);
    free(w);
}
