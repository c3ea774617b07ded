/* Arrows. One lies at the begin of the event that it leaves or reaches, mostly just behind it in
 * the file; those that do not are bound when their events are flushed. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "ingest/chrome.h"

/* How many events that begin at one time on one thread are looked at. */
#define CANDIDATES 256

static bool
is_flag(const chrome_importer *im, const chrome_flow *flow)
{
    return !flow->has_bind && flow->phase != 't' && flow->id != 0 && flow->id_text == 0 && im->arrow_known
           && flow->category == im->arrow_category && flow->name == im->arrow_name;
}

/* False: it has one already, or is of another correlation. */
static bool
set_flag(tsm_event *event, const chrome_flow *flow)
{
    uint16_t flag = flow->phase == 's' ? TSM_FLAG_FLOW_OUT : TSM_FLAG_FLOW_IN;
    if (event->correlation != flow->id || event->flags & flag) {
        return false;
    }
    event->flags |= flag;
    return true;
}

static uint32_t
flow_schema(chrome_importer *im, bool text_id, bool bind)
{
    uint32_t row = chrome_schema_field(im, 0, chrome_string(im, "flow", 4), 0);
    row = chrome_schema_field(im, row, chrome_string(im, "id", 2), text_id ? TSM_COLUMN_REF : TSM_COLUMN_U64);
    row = chrome_schema_field(im, row, chrome_string(im, "phase", 5), TSM_COLUMN_U64);
    row = chrome_schema_field(im, row, chrome_string(im, "category", 8), TSM_COLUMN_REF);
    row = chrome_schema_field(im, row, chrome_string(im, "name", 4), TSM_COLUMN_REF);
    return bind ? chrome_schema_field(im, row, chrome_string(im, "bp", 2), TSM_COLUMN_REF) : row;
}

static tsm_extension
as_extension(chrome_importer *im, const chrome_flow *flow)
{
    return (tsm_extension){
        .values = { flow->id_text != 0 ? flow->id_text : flow->id, (uint64_t)flow->phase, flow->category, flow->name,
                    flow->bind },
        .type = TSM_SLOT_EXTENSION,
        .count = flow->has_bind ? 5 : 4,
        .schema = flow_schema(im, flow->id_text != 0, flow->has_bind),
    };
}

static bool
begins_with(const chrome_importer *im, size_t event, const chrome_flow *flow)
{
    return im->events[event].timestamp == flow->timestamp && im->event_tracks[event] == flow->track;
}

static bool
bind_to_last(chrome_importer *im, const chrome_flow *flow)
{
    size_t last = im->event_count - 1;
    if (im->event_count == 0 || !begins_with(im, last, flow)) {
        return false;
    }
    if (is_flag(im, flow)) {
        return set_flag(&im->events[last], flow);
    }
    tsm_extension extension = as_extension(im, flow);
    chrome_add_extension(im, &extension, (uint32_t)last);
    return true;
}

/* An id in hexadecimal is that number; another text is kept. */
static void
set_id(chrome_importer *im, const json_value *value, chrome_flow *flow)
{
    const json_text *text = &value->text;
    uint64_t number = 0;
    if (value->kind == JSON_INTEGER && value->integer >= 0) {
        flow->id = (uint64_t)value->integer;
        return;
    }
    flow->id_text = chrome_plain(im, value);
    if (value->kind != JSON_STRING || text->size < 3 || text->size > 18 || memcmp(text->data, "0x", 2) != 0) {
        return;
    }
    for (size_t i = 2; i < text->size; i++) {
        char c = text->data[i];
        uint64_t digit = c >= '0' && c <= '9'   ? (uint64_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a' + 10)
                                                : 16;
        if (digit == 16) {
            return;
        }
        number = number << 4 | digit;
    }
    flow->id = number;
    flow->id_text = 0;
}

void
chrome_flow_keep(chrome_importer *im, const chrome_event *event, uint32_t category, uint32_t track, uint64_t timestamp)
{
    chrome_flow flow = { .timestamp = timestamp, .track = track, .phase = event->phase };
    const json_text *bind = &event->bind.text;
    flow.category = im->categories.words[category].row;
    flow.name = event->has & HAS_NAME ? chrome_plain(im, &event->name) : 0;
    if (event->has & HAS_ID) {
        set_id(im, &event->id, &flow);
    }
    if (event->phase == 'f') {
        flow.has_bind = !(event->has & HAS_BIND && bind->size == 1 && bind->data[0] == 'e');
    } else {
        flow.has_bind = (event->has & HAS_BIND) != 0;
    }
    if (flow.has_bind && event->has & HAS_BIND) {
        flow.bind = chrome_plain(im, &event->bind);
    }
    if (!im->arrow_known && im->categories.words[category].code == CATEGORY_ARROW) {
        im->arrow_known = true;
        im->arrow_category = flow.category;
        im->arrow_name = flow.name;
    }
    chrome_count(im, category, NULL);
    if (bind_to_last(im, &flow)) {
        return;
    }
    if (!tsm_array_reserve(&im->flows, &im->flow_capacity, im->flow_count + 1)) {
        chrome_note(im, TSM_E_NOMEM);
        return;
    }
    im->flows[im->flow_count++] = flow;
}

/* ---- Binding those that waited --------------------------------------------------------------- */

/* Events by time and track: chains in the order of the file. */
typedef struct {
    uint32_t *heads, *next; /* event + 1 */
    size_t mask;
} finder;

static size_t
place_of(const finder *f, uint64_t timestamp, uint32_t track)
{
    return (size_t)tsm_hash_mix(timestamp, track) & f->mask;
}

static bool
make_finder(const chrome_importer *im, finder *f)
{
    size_t size = 64;
    while (size < im->event_count * 2) {
        size *= 2;
    }
    f->mask = size - 1;
    f->heads = calloc(size, sizeof *f->heads);
    f->next = malloc((im->event_count + 1) * sizeof *f->next);
    if (f->heads == NULL || f->next == NULL) {
        free(f->heads);
        free(f->next);
        return false;
    }
    for (size_t i = im->event_count; i-- > 0;) {
        size_t at = place_of(f, im->events[i].timestamp, im->event_tracks[i]);
        f->next[i] = f->heads[at];
        f->heads[at] = (uint32_t)i + 1;
    }
    return true;
}

/* The event that the arrow binds to, plus 1; its flag is set when a flag is enough. */
static uint32_t
find_event(chrome_importer *im, const finder *f, const chrome_flow *flow, bool *flagged)
{
    uint32_t first = 0, at = f->heads[place_of(f, flow->timestamp, flow->track)];
    for (unsigned looked = 0; at != 0 && looked < CANDIDATES; at = f->next[at - 1], looked++) {
        if (!begins_with(im, at - 1, flow)) {
            continue;
        }
        first = first == 0 ? at : first;
        if (is_flag(im, flow) && set_flag(&im->events[at - 1], flow)) {
            *flagged = true;
            return at;
        }
    }
    return first;
}

static void
add_own_event(chrome_importer *im, const chrome_flow *flow)
{
    tsm_event made = {
        .timestamp = flow->timestamp, .type = TSM_EVENT_CUSTOM, .name = flow->name, .thread = flow->track + 1
    };
    tsm_extension extension = as_extension(im, flow);
    chrome_add_extension(im, &extension, (uint32_t)im->event_count);
    chrome_add_event(im, &made, flow->track);
}

typedef struct {
    tsm_extension extension;
    uint32_t row;
    size_t order;
} late;

static int
compare_late(const void *a, const void *b)
{
    const late *x = a, *y = b;
    return x->row != y->row ? (x->row < y->row ? -1 : 1) : x->order < y->order ? -1 : 1;
}

/* Puts extensions that came late among the others, behind those of their events. */
static void
merge_late(chrome_importer *im, late *items, size_t count)
{
    static const tsm_extension blank;
    size_t from = im->extension_count;
    qsort(items, count, sizeof *items, compare_late);
    for (size_t i = 0; i < count; i++) {
        chrome_add_extension(im, &blank, 0);
    }
    for (size_t to = im->extension_count; im->status == TSM_OK && count > 0; to--) {
        if (from > 0 && im->extension_rows[from - 1] > items[count - 1].row) {
            from--;
            im->extensions[to - 1] = im->extensions[from];
            im->extension_rows[to - 1] = im->extension_rows[from];
        } else {
            count--;
            im->extensions[to - 1] = items[count].extension;
            im->extension_rows[to - 1] = items[count].row;
        }
    }
}

void
chrome_flows_bind(chrome_importer *im)
{
    finder f;
    size_t own = 0, late_count = 0, count = im->flow_count;
    late *items = NULL;
    if (count == 0 || im->status != TSM_OK) {
        return;
    }
    items = malloc(count * sizeof *items);
    if (items == NULL || !make_finder(im, &f)) {
        free(items);
        chrome_note(im, TSM_E_NOMEM);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bool flagged = false;
        uint32_t found = find_event(im, &f, &im->flows[i], &flagged);
        if (found == 0) {
            im->flows[own++] = im->flows[i];
        } else if (!flagged) {
            items[late_count] = (late){ as_extension(im, &im->flows[i]), found - 1, late_count };
            late_count++;
        }
    }
    merge_late(im, items, late_count);
    for (size_t i = 0; i < own; i++) {
        add_own_event(im, &im->flows[i]);
    }
    im->flow_count = 0;
    free(f.heads);
    free(f.next);
    free(items);
}

void
chrome_keep_arrow(chrome_importer *im)
{
    if (!im->arrow_known) {
        return;
    }
    tsm_text category = tsm_tables_borrow_text(im->tables, TSM_TABLE_STRINGS, im->arrow_category);
    tsm_text name = tsm_tables_borrow_text(im->tables, TSM_TABLE_STRINGS, im->arrow_name);
    if (!chrome_scratch(im, 6 * (category.size + name.size) + 8)) {
        return;
    }
    char *at = im->scratch;
    *at++ = '[';
    at += json_escape(category.data, category.size, at);
    *at++ = ',';
    at += json_escape(name.data, name.size, at);
    *at++ = ']';
    chrome_info(im, "chrome:flow", 11, im->scratch, (size_t)(at - im->scratch));
}
