/* Reads a trace in any format that TraceSmith knows, says how busy its devices were, and writes it
 * for Perfetto:
 *     look TRACE OUTPUT.perfetto-trace  */
#include <stdio.h>
#include <stdlib.h>

#include "export/export.h"
#include "ingest/ingest.h"
#include "sbt/sbt.h"
#include "timeline/timeline.h"

/* A trace in memory: of another format, or out of an .sbt file. */
typedef struct {
    tsm_memory *memory;
    tsm_sbt_reader *reader;
    tsm_event *events;
    tsm_batch batch;
    tsm_tables *tables;
} trace;

static tsm_status
read_blocks(trace *t, tsm_error *error)
{
    tsm_sbt_info info;
    tsm_sbt_reader_info(t->reader, &info);
    t->events = malloc((size_t)(info.event_count + 1) * sizeof *t->events);
    if (t->events == NULL) {
        return TSM_E_NOMEM;
    }
    for (size_t block = 0; block < info.block_count; block++) {
        tsm_event *to = t->events + t->batch.count;
        tsm_status status = tsm_sbt_reader_read(t->reader, block, to, NULL, NULL, error);
        if (status != TSM_OK) {
            return status;
        }
        t->batch.count += tsm_sbt_reader_block(t->reader, block)->count;
    }
    t->batch.events = t->events;
    t->tables = tsm_sbt_reader_tables(t->reader);
    return TSM_OK;
}

static tsm_status
load(const char *path, trace *t, tsm_error *error)
{
    tsm_ingest_format format;
    tsm_ingest_report report;
    tsm_status status = tsm_ingest_recognize(path, &format, error);
    if (status != TSM_OK) {
        return status;
    }
    if (format == TSM_INGEST_SBT) {
        status = tsm_sbt_reader_open(path, &t->reader, error);
        return status == TSM_OK ? read_blocks(t, error) : status;
    }
    if (tsm_memory_create(&t->memory) != TSM_OK) {
        return TSM_E_NOMEM;
    }
    status = tsm_ingest_file(path, format, tsm_memory_sink(t->memory), NULL, NULL, &report, error);
    tsm_memory_borrow(t->memory, &t->batch);
    t->tables = tsm_memory_tables(t->memory);
    return status;
}

static void
unload(trace *t)
{
    tsm_memory_destroy(t->memory);
    tsm_sbt_reader_close(t->reader);
    free(t->events);
}

static tsm_status
show(const trace *t)
{
    tsm_timeline *timeline;
    tsm_concurrency all;
    tsm_status status = tsm_timeline_build(&t->batch, t->tables, &timeline);
    if (status != TSM_OK) {
        return status;
    }
    status = tsm_timeline_sweep(timeline, TSM_SPAN_NONE, 0, 0, &all);
    if (status == TSM_OK) {
        double window = (double)(all.end_ns - all.begin_ns);
        printf("%zu events; devices busy %.1f %% of %.3f ms, at most %llu operations at once\n", t->batch.count,
               window > 0 ? 100.0 * (double)all.busy_ns / window : 0.0, window / 1e6, (unsigned long long)all.max);
        tsm_concurrency_free(&all);
    }
    tsm_timeline_destroy(timeline);
    return status;
}

static tsm_status
export_to(const trace *t, const char *path, tsm_error *error)
{
    tsm_cursor *cursor;
    tsm_status status = tsm_batch_cursor(&t->batch, t->tables, 0, UINT64_MAX, &cursor);
    return status == TSM_OK ? tsm_export_file(cursor, TSM_EXPORT_PERFETTO, path, NULL, NULL, error) : status;
}

int
main(int argc, char **argv)
{
    trace t = { 0 };
    tsm_error error = { 0 };
    if (argc != 3) {
        fprintf(stderr, "usage: %s TRACE OUTPUT.perfetto-trace\n", argv[0]);
        return 2;
    }
    tsm_status status = load(argv[1], &t, &error);
    status = status == TSM_OK ? show(&t) : status;
    status = status == TSM_OK ? export_to(&t, argv[2], &error) : status;
    unload(&t);
    if (status != TSM_OK) {
        fprintf(stderr, "%s\n", error.text[0] != 0 ? error.text : tsm_status_text(status));
    }
    return status != TSM_OK;
}
