/* What must hold of any import, whatever the bytes: its events are sorted inside a batch, lie
 * somewhere, and every id is a row. */
#ifndef TSM_FUZZ_CHECKER_H
#define TSM_FUZZ_CHECKER_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ingest/ingest.h"

typedef struct {
    tsm_sink sink;
    tsm_tables *tables;
    uint64_t events;
} checker;

static tsm_tables *
checker_tables(tsm_sink *sink)
{
    return ((checker *)sink)->tables;
}

static void
check_row(const tsm_tables *tables, unsigned table, uint64_t row)
{
    if (table != 0 && row >= tsm_tables_count(tables, table)) {
        abort();
    }
}

static void
check_event(const tsm_tables *tables, const tsm_event *event)
{
    check_row(tables, TSM_TABLE_STRINGS, event->name);
    check_row(tables, TSM_TABLE_STACKS, event->stack);
    check_row(tables, TSM_TABLE_THREADS, event->thread);
    check_row(tables, TSM_TABLE_STREAMS, event->stream);
    check_row(tables, TSM_TABLE_DEVICES, event->device);
    check_row(tables, tsm_extra_table(event->flags), event->extra);
    bool lies = event->thread != 0 || event->stream != 0 || (event->type == TSM_EVENT_COUNTER && event->device != 0);
    if (!lies || !TSM_SLOT_IS_EVENT(event->type)) {
        abort();
    }
}

static tsm_status
checker_write(tsm_sink *sink, const tsm_batch *batch, tsm_error *err)
{
    checker *self = (checker *)sink;
    (void)err;
    for (size_t i = 0; i < batch->count; i++) {
        check_event(self->tables, &batch->events[i]);
        if (i > 0 && batch->events[i].timestamp < batch->events[i - 1].timestamp) {
            abort();
        }
    }
    for (size_t i = 0; i < batch->extension_count; i++) {
        const tsm_extension *extension = &batch->extensions[i];
        check_row(self->tables, TSM_TABLE_SCHEMAS, extension->schema);
        if (extension->count > TSM_EXTENSION_VALUES || extension->type != TSM_SLOT_EXTENSION || extension->schema == 0
            || batch->extension_rows[i] >= batch->count
            || (i > 0 && batch->extension_rows[i] < batch->extension_rows[i - 1])) {
            abort();
        }
    }
    self->events += batch->count;
    return TSM_OK;
}

static void
check_references(const tsm_tables *tables)
{
    for (unsigned table = 0; table < TSM_TABLE_LIMIT; table++) {
        const tsm_table_layout *layout = tsm_table_layout_of(table);
        uint32_t count = layout == NULL || layout->text ? 0 : tsm_tables_count(tables, table);
        for (uint32_t row = 0; row < count; row++) {
            const uint64_t *values = tsm_tables_borrow_row(tables, table, row);
            for (size_t column = 0; column < layout->column_count; column++) {
                check_row(tables, layout->columns[column].ref, values[column]);
            }
        }
    }
}

/* Imports the file and checks what it becomes. */
static inline void
check_import(const char *path, tsm_ingest_format format)
{
    static const tsm_sink_ops ops = { .tables = checker_tables, .write = checker_write };
    checker self = { .sink = { &ops } };
    tsm_ingest_report report;
    tsm_error err;
    if (tsm_tables_create(&self.tables) != TSM_OK) {
        abort();
    }
    tsm_status status = tsm_ingest_file(path, format, &self.sink, NULL, NULL, &report, &err);
    if (report.events != self.events || (status == TSM_OK && report.row_count > TSM_INGEST_ROWS)) {
        abort();
    }
    check_references(self.tables);
    tsm_tables_destroy(self.tables);
}

static inline void
check_import_of(const uint8_t *data, size_t size, tsm_ingest_format format)
{
    char path[64];
    int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check_import(path, format);
    close(fd);
}

#endif
