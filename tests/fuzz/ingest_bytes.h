/* Bytes as a file for an importer: what it gives is checked against what every sink may expect. */
#ifndef TSM_FUZZ_INGEST_BYTES_H
#define TSM_FUZZ_INGEST_BYTES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ingest/ingest.h"

static void
check_batch(const tsm_batch *batch, tsm_tables *tables)
{
    for (size_t i = 0; i < batch->count; i++) {
        const tsm_event *event = &batch->events[i];
        if (event->name >= tsm_tables_count(tables, TSM_TABLE_STRINGS)
            || event->thread >= tsm_tables_count(tables, TSM_TABLE_THREADS)
            || event->stream >= tsm_tables_count(tables, TSM_TABLE_STREAMS)
            || event->stack >= tsm_tables_count(tables, TSM_TABLE_STACKS) || !TSM_SLOT_IS_EVENT(event->type)) {
            abort();
        }
    }
    for (size_t i = 0; i < batch->extension_count; i++) {
        if (batch->extension_rows[i] >= batch->count || (i > 0 && batch->extension_rows[i] < batch->extension_rows[i - 1])
            || batch->extensions[i].count > TSM_EXTENSION_VALUES) {
            abort();
        }
    }
}

static void
ingest_bytes(const uint8_t *data, size_t size, tsm_ingest_format format)
{
    char path[64];
    tsm_memory *memory;
    tsm_batch batch;
    tsm_ingest_report report;
    tsm_error err;
    int fd = memfd_create("input", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || tsm_memory_create(&memory) != TSM_OK) {
        abort();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (tsm_ingest_file(path, format, tsm_memory_sink(memory), NULL, NULL, &report, &err) == TSM_OK) {
        tsm_memory_borrow(memory, &batch);
        if (report.events != batch.count || report.row_count > TSM_INGEST_ROWS) {
            abort();
        }
        check_batch(&batch, tsm_memory_tables(memory));
    }
    tsm_memory_destroy(memory);
    close(fd);
}

#endif
