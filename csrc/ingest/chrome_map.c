/* What an event is: its type by phase, category and name. */
#include <string.h>

#include "base/array.h"
#include "ingest/chrome.h"

#define METADATA_BYTES ((size_t)64 << 20) /* of M events that are kept */

/* The last two rows take whatever finds no other: what was skipped, and what was not. */
static tsm_ingest_row *
other_row(tsm_ingest_report *report, bool skipped)
{
    tsm_ingest_row *rows = &report->rows[TSM_INGEST_ROWS - 2];
    if (report->row_count < TSM_INGEST_ROWS) {
        rows[0] = (tsm_ingest_row){ .category = "other", .reason = "for several reasons" };
        rows[1] = (tsm_ingest_row){ .category = "other" };
        report->row_count = TSM_INGEST_ROWS;
    }
    return &rows[skipped ? 0 : 1];
}

/* place: where the row was found before, plus 1. */
static tsm_ingest_row *
find_row(tsm_ingest_report *report, const char *text, size_t length, const char *reason, uint32_t *place)
{
    const size_t most = TSM_INGEST_ROWS - 2;
    size_t i = *place == 0 ? 0 : *place - 1;
    for (; i < report->row_count && i < most; i++) {
        const tsm_ingest_row *row = &report->rows[i];
        if (row->reason == reason && memcmp(row->category, text, length) == 0 && row->category[length] == 0) {
            break;
        }
    }
    *place = (uint32_t)i + 1;
    if (i == most) {
        return other_row(report, reason != NULL);
    }
    if (i == report->row_count) {
        memcpy(report->rows[i].category, text, length);
        report->rows[i].reason = reason;
        report->row_count++;
    }
    return &report->rows[i];
}

static void
count_row(tsm_ingest_report *report, const char *text, size_t size, const char *reason, uint32_t *place)
{
    const size_t most = sizeof report->rows->category - 1;
    find_row(report, text, size < most ? size : most, reason, place)->count++;
}

void
chrome_count(chrome_importer *im, uint32_t category, const char *reason)
{
    chrome_word *word = &im->categories.words[category];
    uint32_t anywhere = 0;
    const char *text = word->size == 0 ? "(none)" : word->data;
    count_row(im->report, text, word->size == 0 ? 6 : word->size, reason, reason == NULL ? &word->report : &anywhere);
}

static void
keep_metadata(chrome_importer *im, const chrome_event *event, const char *begin, const char *end)
{
    size_t size = (size_t)(end - begin);
    uint32_t place = 0;
    chrome_track_name(im, event);
    if (im->metadata_size + size > METADATA_BYTES) {
        count_row(im->report, "metadata", 8, "more than 64 MB of it", &place);
        return;
    }
    if (!tsm_array_reserve(&im->metadata, &im->metadata_capacity, im->metadata_size + size + 2)) {
        chrome_note(im, TSM_E_NOMEM);
        return;
    }
    im->metadata[im->metadata_size] = im->metadata_size == 0 ? '[' : ',';
    im->metadata_size += 1 + json_compact(begin, size, im->metadata + im->metadata_size + 1);
    count_row(im->report, "metadata", 8, NULL, &place);
}

static bool
is_memory(const chrome_event *event)
{
    return event->name.text.size == 8 && memcmp(event->name.text.data, "[memory]", 8) == 0;
}

static uint16_t
complete_type(chrome_importer *im, chrome_category category, uint32_t name)
{
    switch (category) {
    case CATEGORY_OPERATOR:
        return TSM_EVENT_CPU_OP;
    case CATEGORY_RUNTIME:
        return chrome_call_type(im, name);
    case CATEGORY_KERNEL:
        return chrome_kernel_type(im, name);
    case CATEGORY_COPY:
        return chrome_copy_type(im, name);
    case CATEGORY_SET:
        return TSM_EVENT_MEMSET_DEVICE;
    case CATEGORY_PYTHON:
        return TSM_EVENT_PYTHON_CALL;
    case CATEGORY_OVERHEAD:
        return TSM_EVENT_OVERHEAD;
    case CATEGORY_SYNC:
        return chrome_wait_type(im, name);
    case CATEGORY_RANGE:
    case CATEGORY_DEVICE_RANGE:
        return TSM_EVENT_RANGE;
    case CATEGORY_SPAN:
    case CATEGORY_INSTANT:
    case CATEGORY_ARROW:
        return TSM_EVENT_CUSTOM;
    default:
        return TSM_EVENT_RANGE; /* a tracer of another kind: what a thread was in */
    }
}

static uint16_t
type_of(chrome_importer *im, const chrome_event *event, chrome_category category, uint32_t name)
{
    switch (event->phase) {
    case 'X':
        return complete_type(im, category, name);
    case 'B':
        return TSM_EVENT_RANGE_START;
    case 'E':
        return TSM_EVENT_RANGE_END;
    case 'i':
    case 'I':
        return is_memory(event) ? TSM_EVENT_MEM_ALLOC : TSM_EVENT_MARKER;
    default:
        return TSM_EVENT_CUSTOM;
    }
}

static bool
is_of_stream(const chrome_event *event, chrome_category category)
{
    return event->phase == 'X'
           && (category == CATEGORY_KERNEL || category == CATEGORY_COPY || category == CATEGORY_SET
               || category == CATEGORY_DEVICE_RANGE || category == CATEGORY_SYNC);
}

static void
keep_slice(chrome_importer *im, const chrome_event *event, uint32_t category, uint32_t track, uint64_t timestamp)
{
    chrome_category code = im->categories.words[category].code;
    tsm_event made = { .timestamp = timestamp };
    int64_t duration;
    made.name = event->has & HAS_NAME ? chrome_plain(im, &event->name) : 0;
    made.type = type_of(im, event, code, made.name);
    if (event->phase == 'X' && event->has & HAS_DURATION && json_thousandths(&event->duration, &duration)
        && duration > 0) {
        made.duration = (uint64_t)duration;
    }
    *(is_of_stream(event, code) ? &made.stream : &made.thread) = track + 1;
    chrome_args_keep(im, event, category, track, &made);
    chrome_add_event(im, &made, track);
    chrome_count(im, category, NULL);
}

/* One series of a counter. */
static void
keep_series(chrome_importer *im, uint32_t category, tsm_event *made, const chrome_arg *arg)
{
    const chrome_word *series = &im->arguments.words[arg->key];
    const bool integer = arg->value.kind == JSON_INTEGER;
    double number = json_double(&arg->value.text);
    tsm_extension extension = { .type = TSM_SLOT_EXTENSION, .count = 1 };
    uint64_t values[] = { [TSM_COUNTER_NAME] = made->name, [TSM_COUNTER_UNIT] = 0, [TSM_COUNTER_TRACK] = 0 };
    tsm_text name = tsm_tables_borrow_text(im->tables, TSM_TABLE_STRINGS, made->name);
    bool plain = series->size == 5 && memcmp(series->data, "value", 5) == 0;
    if (!plain && chrome_scratch(im, name.size + series->size + 1)) {
        memcpy(im->scratch, name.data, name.size);
        im->scratch[name.size] = ' ';
        memcpy(im->scratch + name.size + 1, series->data, series->size);
        values[TSM_COUNTER_NAME] = chrome_string(im, im->scratch, name.size + series->size + 1);
    }
    chrome_note(im, tsm_tables_intern(im->tables, TSM_TABLE_COUNTERS, values, &made->extra));
    memcpy(&made->value, &number, sizeof number);
    extension.values[0] = integer ? (uint64_t)arg->value.integer : made->value;
    extension.schema = chrome_schema_field(im, chrome_schema_of(im, category), im->arguments.words[arg->key].row,
                                           integer ? TSM_COLUMN_I64 : TSM_COLUMN_F64);
    chrome_add_extension(im, &extension, (uint32_t)im->event_count);
    chrome_add_event(im, made, made->thread - 1);
}

static void
keep_counter(chrome_importer *im, const chrome_event *event, uint32_t category, uint32_t track, uint64_t timestamp)
{
    tsm_event made = { .timestamp = timestamp, .type = TSM_EVENT_COUNTER, .thread = track + 1 };
    size_t kept = 0;
    made.flags = TSM_VALUE_COUNTER | TSM_EXTRA_COUNTER;
    made.name = event->has & HAS_NAME ? chrome_plain(im, &event->name) : 0;
    for (size_t i = 0; i < event->args.count; i++) {
        const chrome_arg *arg = &event->args.items[i];
        if (arg->value.kind == JSON_INTEGER || arg->value.kind == JSON_NUMBER) {
            keep_series(im, category, &made, arg);
            kept++;
        }
    }
    chrome_count(im, category, kept == 0 ? "a counter without numbers" : NULL);
}

void
chrome_event_keep(chrome_importer *im, const chrome_event *event, const char *begin, const char *end)
{
    const json_text none = { "", 0, false };
    const json_text *text = event->has & HAS_CATEGORY ? &event->category.text : &none;
    uint32_t category, track;
    int64_t timestamp = 0;
    if (event->phase == 'M') {
        keep_metadata(im, event, begin, end);
        return;
    }
    category = chrome_words_find(im, &im->categories, text->data, text->size);
    if (category == UINT32_MAX || !chrome_track_of(im, event, &track)) {
        return;
    }
    if (!(event->has & HAS_PHASE)) {
        chrome_count(im, category, "no phase");
    } else if (!(event->has & HAS_TIME) || !json_thousandths(&event->time, &timestamp)) {
        chrome_count(im, category, "no timestamp");
    } else if (timestamp < 0) {
        chrome_count(im, category, "before time 0");
    } else if (event->phase == 's' || event->phase == 't' || event->phase == 'f') {
        chrome_flow_keep(im, event, category, track, (uint64_t)timestamp);
    } else if (event->phase == 'C') {
        keep_counter(im, event, category, track, (uint64_t)timestamp);
    } else {
        keep_slice(im, event, category, track, (uint64_t)timestamp);
    }
}
