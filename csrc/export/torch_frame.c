/* What stands around the events: the trace's own members before them, names of processes and
 * threads behind them. Members are one to a line and have a space after each colon, which is how
 * HTA's search for the rank wants them. */
#include "export/torch.h"

static void
say(torch *c, const char *text)
{
    tsm_pen_put(&c->pen, text, strlen(text));
}

static void
put_number(torch *c, uint64_t value)
{
    c->pen.at = tsm_print_u64(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), value);
}

static tsm_text
text_of(const torch *c, uint64_t row)
{
    return tsm_tables_borrow_text(c->tables, TSM_TABLE_STRINGS, (uint32_t)row);
}

/* ---- Before the events: of our own */

static void
put_device(torch *c, uint32_t row)
{
    static const struct {
        const char *key;
        unsigned column;
    } numbers[] = {
        { ", \"totalGlobalMem\": ", TSM_DEVICE_MEMORY_BYTES },
        { ", \"computeMajor\": ", TSM_DEVICE_COMPUTE_MAJOR },
        { ", \"computeMinor\": ", TSM_DEVICE_COMPUTE_MINOR },
        { ", \"maxThreadsPerMultiprocessor\": ", TSM_DEVICE_THREADS_PER_MULTIPROCESSOR },
        { ", \"warpSize\": ", TSM_DEVICE_WARP_SIZE },
        { ", \"numSms\": ", TSM_DEVICE_MULTIPROCESSORS },
    };
    const uint64_t *device = tsm_tables_borrow_row(c->tables, TSM_TABLE_DEVICES, row);
    tsm_pen_say(&c->pen, "\n  {\"id\": ");
    put_number(c, (uint64_t)torch_device_track(c, row)->pid);
    tsm_pen_say(&c->pen, ", \"name\": ");
    torch_put(c, torch_string(c, (uint32_t)device[TSM_DEVICE_NAME]));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        say(c, numbers[i].key);
        put_number(c, device[numbers[i].column]);
    }
    tsm_pen_say(&c->pen, "}");
}

static void
put_own_head(torch *c)
{
    say(c, "\"schemaVersion\": 1,\n\"distributedInfo\": {\"rank\": 0},\n\"deviceProperties\": [");
    for (uint32_t row = 1; row < c->devices.count; row++) {
        say(c, row > 1 ? "," : "");
        put_device(c, row);
    }
    say(c, "],\n\"traceName\": ");
    const tsm_text source = tsm_tables_borrow_info(c->tables, "source");
    c->scratch.size = 0;
    tsm_buffer_string(&c->scratch, source.size > 0 ? source.data : "TraceSmith", source.size > 0 ? source.size : 10);
    tsm_pen_put(&c->pen, c->scratch.data, c->scratch.size);
    say(c, ",\n\"displayTimeUnit\": \"ms\",\n\"baseTimeNanoseconds\": ");
    put_number(c, c->base);
    say(c, ",\n");
}

void
torch_head(torch *c, uint64_t first)
{
    c->imported = torch_is_imported(c);
    c->base = c->imported ? 0 : first; /* imported timestamps count from what the file said */
    torch_find_told(c);
    say(c, "{\n");
    if (c->imported) {
        torch_put_told_members(c);
    } else {
        put_own_head(c);
    }
    say(c, "\"traceEvents\": [\n");
}

/* ---- Behind the events: names */

static void
begin_metadata(torch *c, const char *name, const torch_track *track)
{
    say(c, c->any ? ",\n{\"ph\":\"M\",\"name\":\"" : "{\"ph\":\"M\",\"name\":\"");
    c->any = true;
    say(c, name);
    say(c, "\"");
    tsm_pen_put(&c->pen, track->text, track->size);
    say(c, "0.000,\"args\":{");
}

static void
put_sort_index(torch *c, const char *name, const torch_track *track, int64_t index)
{
    begin_metadata(c, name, track);
    say(c, "\"sort_index\":");
    c->pen.at = tsm_print_i64(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), index);
    say(c, "}}");
}

/* The name of that row of strings, or, when there is none, instead with a number. */
void
torch_put_name(torch *c, const char *what, const torch_track *track, uint64_t name, const char *instead, int64_t number)
{
    begin_metadata(c, what, track);
    say(c, "\"name\":");
    if (text_of(c, name).size > 0) {
        torch_put(c, torch_string(c, (uint32_t)name));
    } else {
        say(c, "\"");
        say(c, instead);
        c->pen.at = tsm_print_i64(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), number);
        say(c, "\"");
    }
    say(c, "}}");
}

static void
put_processes(torch *c)
{
    for (uint32_t row = 1; row < c->processes.count; row++) {
        const uint64_t *process = tsm_tables_borrow_row(c->tables, TSM_TABLE_PROCESSES, row);
        const torch_track *track = torch_process_track(c, row);
        torch_put_name(c, "process_name", track, process[TSM_PROCESS_NAME], "process ",
                       (int64_t)process[TSM_PROCESS_PID]);
        begin_metadata(c, "process_labels", track);
        say(c, "\"labels\":\"CPU\"}}");
        put_sort_index(c, "process_sort_index", track, track->pid);
    }
}

static void
put_devices(torch *c)
{
    enum { AFTER_PROCESSES = 5000000 };
    for (uint32_t row = 1; row < c->devices.count; row++) {
        const uint64_t *device = tsm_tables_borrow_row(c->tables, TSM_TABLE_DEVICES, row);
        const torch_track *track = torch_device_track(c, row);
        const int64_t ordinal = (int64_t)device[TSM_DEVICE_ORDINAL];
        torch_put_name(c, "process_name", track, device[TSM_DEVICE_NAME], "GPU ", ordinal);
        begin_metadata(c, "process_labels", track);
        say(c, "\"labels\":\"GPU ");
        c->pen.at = tsm_print_i64(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), ordinal);
        say(c, "\"}}");
        put_sort_index(c, "process_sort_index", track, AFTER_PROCESSES + track->pid);
    }
}

static void
put_threads(torch *c)
{
    for (uint32_t row = 1; row < c->threads.count; row++) {
        const uint64_t *thread = tsm_tables_borrow_row(c->tables, TSM_TABLE_THREADS, row);
        const torch_track *track = torch_thread_track(c, row);
        torch_put_name(c, "thread_name", track, thread[TSM_THREAD_NAME], "thread ", (int64_t)thread[TSM_THREAD_TID]);
        put_sort_index(c, "thread_sort_index", track, track->tid);
    }
}

/* Of one stream, its lanes have one name and one place. */
static void
put_streams(torch *c)
{
    for (uint32_t row = 1; row < c->streams.count; row++) {
        const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_STREAMS, row);
        const torch_stream *stream = &c->streams.items[row];
        const int64_t raw = (int64_t)values[TSM_STREAM_RAW_ID];
        for (size_t i = 0; i < stream->count; i++) {
            const torch_track *track = &stream->lanes[i].track;
            torch_put_name(c, "thread_name", track, values[TSM_STREAM_NAME], "stream ", raw);
            put_sort_index(c, "thread_sort_index", track, raw);
        }
    }
}

void
torch_tail(torch *c)
{
    if (c->imported) {
        torch_put_told_metadata(c);
    } else {
        put_processes(c);
        put_devices(c);
        put_threads(c);
        put_streams(c);
    }
    say(c, "\n]\n}\n");
}
