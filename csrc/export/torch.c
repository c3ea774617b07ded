/* Chrome JSON in torch.profiler's schema, one event after the other as the cursor brings them. */
#include "export/torch.h"

#include "export/formats.h"
#include "export/pairs.h"

#define CATEGORY(name) ((tsm_text){ "\"cat\":\"" name "\",", sizeof("\"cat\":\"" name "\",") - 1 })

/* Categories of what was not read from such a file, as torch.profiler calls them. */
static tsm_text
category_of(const tsm_event *event)
{
    switch (event->type) {
    case TSM_EVENT_KERNEL_LAUNCH:
    case TSM_EVENT_KERNEL_COMPLETE:
    case TSM_EVENT_COMMUNICATION:
    case TSM_EVENT_NCCL_START:
    case TSM_EVENT_NCCL_COMPLETE:
        return CATEGORY("kernel");
    case TSM_EVENT_MEMCPY_H2D:
    case TSM_EVENT_MEMCPY_D2H:
    case TSM_EVENT_MEMCPY_D2D:
    case TSM_EVENT_MEMCPY_P2P:
    case TSM_EVENT_MEMCPY_H2H:
        return CATEGORY("gpu_memcpy");
    case TSM_EVENT_MEMSET_DEVICE:
        return CATEGORY("gpu_memset");
    case TSM_EVENT_RANGE:
    case TSM_EVENT_RANGE_START:
    case TSM_EVENT_RANGE_END:
    case TSM_EVENT_MARKER:
        return tsm_event_on_stream(event) ? CATEGORY("gpu_user_annotation") : CATEGORY("user_annotation");
    case TSM_EVENT_CPU_OP:
        return CATEGORY("cpu_op");
    case TSM_EVENT_PYTHON_CALL:
        return CATEGORY("python_function");
    case TSM_EVENT_OVERHEAD:
        return CATEGORY("overhead");
    case TSM_EVENT_MEM_ALLOC:
    case TSM_EVENT_MEM_FREE:
        return CATEGORY("cpu_instant_event");
    case TSM_EVENT_COUNTER:
        return CATEGORY("counter");
    case TSM_EVENT_STREAM_SYNC:
    case TSM_EVENT_DEVICE_SYNC:
    case TSM_EVENT_EVENT_SYNC:
    case TSM_EVENT_EVENT_RECORD:
    case TSM_EVENT_EVENT_WAIT:
        return tsm_event_on_stream(event) ? CATEGORY("cuda_sync") : CATEGORY("cuda_runtime");
    case TSM_EVENT_CUSTOM:
    case TSM_EVENT_UNKNOWN:
        return CATEGORY("custom");
    default:
        return CATEGORY("cuda_runtime");
    }
}

static char
phase_of(const tsm_event *event)
{
    switch (event->type) {
    case TSM_EVENT_MARKER:
    case TSM_EVENT_MEM_ALLOC:
    case TSM_EVENT_MEM_FREE:
        return 'i';
    case TSM_EVENT_RANGE_START:
        return 'B';
    case TSM_EVENT_RANGE_END:
        return 'E';
    case TSM_EVENT_COUNTER:
        return 'C';
    default:
        return 'X';
    }
}

/* Rendered once for the event and its arrows. */
static void
render_when(const torch *c, torch_item *item)
{
    const torch_track *track = item->track;
    memcpy(item->when, track->text, sizeof track->text);
    item->when_size =
        (size_t)(tsm_print_us_since(item->when + track->size, item->event->timestamp, c->base) - item->when);
}

/* ---- Events */

static const torch_track *
track_of(torch *c, const tsm_event *event)
{
    if (tsm_event_on_stream(event)) {
        return torch_stream_track(c, event);
    }
    if (event->thread != 0) {
        return torch_thread_track(c, event->thread);
    }
    return event->device != 0 ? torch_device_track(c, event->device) : torch_process_track(c, 0);
}

static void
put_category(torch *c, const torch_item *item)
{
    if (item->foreign != NULL) {
        torch_put(c, item->foreign->category);
    } else {
        const tsm_text category = category_of(item->event);
        tsm_pen_put(&c->pen, category.data, category.size);
    }
}

/* Readers look for allocations under this name. */
static void
put_name(torch *c, const torch_item *item)
{
    const uint16_t type = item->event->type;
    if (item->foreign == NULL && (type == TSM_EVENT_MEM_ALLOC || type == TSM_EVENT_MEM_FREE)) {
        tsm_pen_say(&c->pen, "\"name\":\"[memory]\"");
    } else {
        tsm_pen_say(&c->pen, "\"name\":");
        torch_put(c, torch_string(c, item->event->name));
    }
}

/* How an imported event was marked, if that is not what its type says. */
static void
begin_told(torch *c, const torch_item *item, char phase)
{
    if (item->set->phase.size == 0) {
        torch_begin_event(c, phase);
        return;
    }
    if (c->any) {
        tsm_pen_say(&c->pen, ",\n{\"ph\":");
    } else {
        tsm_pen_say(&c->pen, "{\"ph\":");
    }
    c->any = true;
    torch_put(c, item->set->phase);
    tsm_pen_say(&c->pen, ",");
}

static void
put_duration(torch *c, const torch_item *item, char phase)
{
    const torch_piece told = item->set->duration;
    if (told.size > 1 && memcmp(c->pieces.data + told.offset, "null", 4) == 0) {
        return;
    }
    if (told.size > 0) {
        tsm_pen_say(&c->pen, ",\"dur\":");
        torch_put(c, told);
    } else if ((phase == 'X' && item->set->phase.size == 0) || item->event->duration > 0) {
        tsm_pen_say(&c->pen, ",\"dur\":");
        c->pen.at = tsm_print_us(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), item->event->duration);
    }
}

/* Instants of our own are their thread's; an imported one says whose it is. */
static void
put_event(torch *c, torch_item *item)
{
    const bool foreign = item->foreign != NULL;
    const uint16_t type = item->event->type;
    const char phase =
        foreign && type != TSM_EVENT_RANGE_START && type != TSM_EVENT_RANGE_END && type != TSM_EVENT_COUNTER
            ? 'X'
            : phase_of(item->event);
    begin_told(c, item, phase);
    put_category(c, item);
    put_name(c, item);
    torch_put_when(c, item);
    if (phase == 'i') {
        tsm_pen_say(&c->pen, ",\"s\":\"t\"");
    } else {
        put_duration(c, item, phase);
    }
    torch_put(c, item->set->members);
    torch_args(c, item);
    tsm_pen_say(&c->pen, "}");
}

/* A counter's name comes from its row; what is no number is left out. */
static bool
put_counter(torch *c, const torch_item *item)
{
    const tsm_event *event = item->event;
    const bool has_row = (event->flags & TSM_EXTRA_MASK) == TSM_EXTRA_COUNTER;
    const uint64_t *row = tsm_tables_borrow_row(c->tables, TSM_TABLE_COUNTERS, has_row ? event->extra : 0);
    const uint32_t name = row[TSM_COUNTER_NAME] != 0 ? (uint32_t)row[TSM_COUNTER_NAME] : event->name;
    double value = 0;
    if ((event->flags & TSM_VALUE_MASK) == TSM_VALUE_COUNTER) {
        memcpy(&value, &event->value, sizeof value);
    } else {
        value = (double)event->value;
    }
    if (value - value != 0) { /* infinite, or none */
        return false;
    }
    torch_begin_event(c, 'C');
    put_category(c, item);
    tsm_pen_say(&c->pen, "\"name\":");
    torch_put(c, torch_string(c, name));
    torch_put_when(c, item);
    tsm_pen_say(&c->pen, ",\"args\":{\"value\":");
    c->pen.at = tsm_print_double(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), value);
    tsm_pen_say(&c->pen, "}}");
    return true;
}

static bool
is_wanted(const torch *c, const tsm_event *event)
{
    const tsm_export_options *options = c->options;
    if (event->type == TSM_EVENT_COUNTER) {
        return !options->no_counters;
    }
    return !(tsm_event_on_stream(event) ? options->no_device : options->no_host);
}

static const torch_set *
set_of(torch *c, const tsm_event *event)
{
    const unsigned extra = event->flags & TSM_EXTRA_MASK;
    if (extra == TSM_EXTRA_LAUNCH) {
        return torch_metadata(c, torch_launch_of(c, event->extra)->set);
    }
    return torch_metadata(c, extra == TSM_EXTRA_METADATA ? event->extra : 0);
}

/* An event of an imported trace that was not read as one is there for its arrows (docs/events.md). */
static bool
is_anchor(const torch *c, const torch_item *item)
{
    return c->imported && item->foreign == NULL && item->event->type == TSM_EVENT_CUSTOM;
}

static void
write_item(torch *c, torch_item *item)
{
    const tsm_event *event = item->event;
    if (!is_wanted(c, event)) {
        return;
    }
    for (size_t i = 0; i < item->extension_count; i++) {
        const torch_schema *schema = torch_schema_of(c, item->extensions[i].schema);
        item->foreign = schema->kind == TORCH_SCHEMA_FOREIGN ? schema : item->foreign;
    }
    item->track = track_of(c, event);
    render_when(c, item);
    item->set = set_of(c, event);
    if (event->type == TSM_EVENT_COUNTER && item->foreign == NULL) {
        c->report->written += put_counter(c, item);
        return;
    }
    if (!is_anchor(c, item)) {
        put_event(c, item);
    }
    c->report->written++;
    if (!c->options->no_flows) {
        torch_put_flows(c, item);
    }
}

/* ---- The trace */

static tsm_status
write_or_join(torch *c, tsm_pairs *pairs, torch_item *item)
{
    const tsm_event *event = item->event;
    tsm_event joined;
    if (c->imported || item->extension_count > 0) {
        write_item(c, item);
    } else if (tsm_pairs_begins(event)) {
        return tsm_pairs_begin(pairs, event);
    } else if (tsm_pairs_ends(event) && tsm_pairs_end(pairs, event, &joined)) {
        c->report->written++; /* both ends are in the one event */
        write_item(c, &(torch_item){ .event = &joined });
    } else {
        write_item(c, item);
    }
    return TSM_OK;
}

static tsm_status
write_batch(torch *c, tsm_pairs *pairs, const tsm_batch *batch)
{
    tsm_status status = torch_grow(c);
    size_t extension = 0;
    for (size_t i = 0; status == TSM_OK && i < batch->count; i++) {
        torch_item item = { .event = &batch->events[i], .extensions = &batch->extensions[extension] };
        while (extension < batch->extension_count && batch->extension_rows[extension] == i) {
            extension++;
            item.extension_count++;
        }
        status = write_or_join(c, pairs, &item);
    }
    return c->pieces.failed || c->scratch.failed ? TSM_E_NOMEM : status;
}

static void
write_unpaired(torch *c, tsm_pairs *pairs)
{
    tsm_event begin;
    while (tsm_pairs_pop(pairs, &begin)) {
        write_item(c, &(torch_item){ .event = &begin });
    }
}

static tsm_status
write_events(torch *c, tsm_cursor *cursor, tsm_pairs *pairs, tsm_error *err)
{
    const tsm_export_options *options = c->options;
    tsm_batch batch;
    tsm_status status;
    while ((status = tsm_cursor_next(cursor, &batch, err)) == TSM_OK) {
        status = write_batch(c, pairs, &batch);
        if (status != TSM_OK) {
            return status;
        }
        c->report->events += batch.count;
        if (options->progress != NULL && !options->progress(options->context, c->report->events)) {
            return tsm_fail(err, TSM_E_STATE, 0, "the export was stopped");
        }
        if (tsm_output_failed(c->pen.output)) {
            return TSM_OK; /* closing the output tells why */
        }
    }
    write_unpaired(c, pairs);
    return status == TSM_E_END ? TSM_OK : status;
}

tsm_status
tsm_export_chrome(tsm_cursor *cursor, tsm_output *output, const tsm_export_options *options, tsm_export_report *report,
                  tsm_error *err)
{
    torch c = { .tables = tsm_cursor_tables(cursor), .options = options, .report = report };
    tsm_pairs pairs = { 0 };
    tsm_status status = torch_grow(&c);
    tsm_pen_begin(&c.pen, output);
    if (status == TSM_OK) {
        const uint64_t first = cursor->ops->horizon(cursor);
        torch_head(&c, first == UINT64_MAX ? 0 : first);
        status = write_events(&c, cursor, &pairs, err);
    }
    if (status == TSM_OK) {
        status = torch_grow(&c);
    }
    if (status == TSM_OK) {
        torch_tail(&c);
        status = c.pieces.failed || c.scratch.failed ? TSM_E_NOMEM : TSM_OK;
    }
    tsm_pen_end(&c.pen);
    tsm_pairs_free(&pairs);
    torch_free(&c);
    return status;
}
