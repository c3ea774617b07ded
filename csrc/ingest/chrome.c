/* The walk through the file: an object with traceEvents among its members, or the bare list. One
 * unit at a time, an event or another member, is whole in the window when it is read; a unit that
 * the window's end cuts is begun again with more bytes. */
#include "ingest/chrome.h"

#include <stdlib.h>
#include <string.h>

#define UNIX_FROM UINT64_C(1000000000000000000) /* ns: September 2001 */

typedef bool unit(chrome_importer *im);

/* Reads one unit, with as many bytes as it needs. TSM_E_END: the file ends inside. */
static tsm_status
read_unit(chrome_importer *im, unit *read)
{
    json_cursor *c = &im->json;
    for (;;) {
        const char *begin = c->at;
        c->why = JSON_FINE;
        if (read(im) || im->status != TSM_OK) {
            return im->status;
        }
        if (c->why == JSON_BAD) {
            return tsm_fail(im->err, TSM_E_CORRUPT, tsm_input_offset(im->input, c->at),
                            "not JSON at byte %llu: expected %s",
                            (unsigned long long)tsm_input_offset(im->input, c->at), c->expected);
        }
        tsm_status status = tsm_input_more(im->input, begin, im->err);
        c->at = tsm_input_begin(im->input);
        c->end = tsm_input_end(im->input);
        if (status != TSM_OK) {
            return status;
        }
    }
}

static bool
read_event(chrome_importer *im)
{
    json_cursor *c = &im->json;
    json_value other;
    const char *begin;
    json_skip_space(c);
    begin = c->at;
    if (*c->at != '{') {
        uint32_t none = chrome_words_find(im, &im->categories, "", 0);
        /* Some writers end the list with {} or null. */
        if (!json_read(c, &other)) {
            return false;
        }
        if (none != UINT32_MAX) {
            chrome_count(im, none, "not an object");
        }
        return true;
    }
    if (!chrome_event_read(im, &im->event)) {
        return false;
    }
    chrome_event_keep(im, &im->event, begin, c->at);
    return true;
}

/* Behind an event: ',' and more, or ']'. */
static bool
read_separator(chrome_importer *im)
{
    json_cursor *c = &im->json;
    if (!json_next(c, ']', &im->more)) {
        return false;
    }
    return !im->more || c->at < c->end || json_fail(c, "an event");
}

static bool
read_list_start(chrome_importer *im)
{
    json_cursor *c = &im->json;
    if (!json_take(c, '[')) {
        return json_fail(c, "'['");
    }
    json_skip_space(c);
    return c->at < c->end || json_fail(c, "an event or ']'");
}

static tsm_status
read_events(chrome_importer *im)
{
    tsm_status status = read_unit(im, read_list_start);
    if (status != TSM_OK || json_take(&im->json, ']')) {
        return status;
    }
    for (im->more = true; im->more && status == TSM_OK;) {
        status = read_unit(im, read_event);
        if (status == TSM_OK) {
            status = read_unit(im, read_separator);
        }
        if (status == TSM_OK && chrome_buffer_full(im)) {
            chrome_words_trim(&im->arguments);
            chrome_words_trim(&im->categories);
            chrome_flush(im);
            status = im->status;
        }
    }
    return status;
}

/* ---- The object form ------------------------------------------------------------------------- */

static bool
is_key(const json_text *key, const char *name)
{
    return key->size == strlen(name) && memcmp(key->data, name, key->size) == 0;
}

static void
keep_member(chrome_importer *im, const json_text *key, const json_value *value)
{
    const char *data = value->text.data - (value->kind == JSON_STRING);
    size_t size = value->text.size + (value->kind == JSON_STRING ? 2 : 0);
    uint32_t row;
    uint64_t values[2];
    if (is_key(key, "deviceProperties") && value->kind == JSON_LIST) {
        chrome_devices_read(im, &value->text);
    }
    im->has_base |= is_key(key, "baseTimeNanoseconds");
    im->is_torch |= is_key(key, "schemaVersion");
    /* Two keys are taken by what we gather ourselves. */
    values[TSM_INFO_KEY] = is_key(key, "metadata") ? chrome_string(im, "chrome-member:metadata", 22)
                           : is_key(key, "flow")   ? chrome_string(im, "chrome-member:flow", 18)
                                                   : chrome_prefixed(im, key->data, key->size);
    if (chrome_scratch(im, size)) {
        values[TSM_INFO_VALUE] = chrome_string(im, im->scratch, json_compact(data, size, im->scratch));
        chrome_note(im, tsm_tables_add(im->tables, TSM_TABLE_INFO, values, &row));
    }
}

/* One member, but of traceEvents no more than its name: the list comes next. */
static bool
read_member(chrome_importer *im)
{
    json_cursor *c = &im->json;
    json_text key;
    json_value value;
    if (!json_key(c, &key)) {
        return false;
    }
    json_skip_space(c);
    if (is_key(&key, "traceEvents") && *c->at == '[') {
        im->in_list = true;
        return true;
    }
    if (!json_read(c, &value)) {
        return false;
    }
    keep_member(im, &key, &value);
    return true;
}

static bool
read_member_end(chrome_importer *im)
{
    return json_next(&im->json, '}', &im->more);
}

static bool
read_start(chrome_importer *im)
{
    json_cursor *c = &im->json;
    static const char mark[] = "\xef\xbb\xbf";
    if (c->end - c->at >= 3 && memcmp(c->at, mark, 3) == 0) {
        c->at += 3;
    }
    json_skip_space(c);
    return *c->at == '{' || *c->at == '[' || json_fail(c, "'{' or '['");
}

static bool
read_object_start(chrome_importer *im)
{
    json_cursor *c = &im->json;
    c->at++;
    json_skip_space(c);
    im->more = *c->at != '}';
    return c->at < c->end || json_fail(c, "a member or '}'");
}

static tsm_status
read_object(chrome_importer *im)
{
    tsm_status status = read_unit(im, read_object_start);
    while (status == TSM_OK && im->more) {
        im->in_list = false;
        status = read_unit(im, read_member);
        if (status == TSM_OK && im->in_list) {
            status = read_events(im);
        }
        if (status == TSM_OK) {
            status = read_unit(im, read_member_end);
        }
    }
    return status;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void
finish(chrome_importer *im)
{
    static const char torch[] = "torch.profiler (Kineto)", other[] = "Chrome JSON";
    chrome_flush(im);
    if (im->status != TSM_OK) {
        return;
    }
    chrome_info(im, "source", 6, im->is_torch ? torch : other, im->is_torch ? sizeof torch - 1 : sizeof other - 1);
    /* Of numbers this large, only nanoseconds since 1970 are likely. */
    bool is_unix = !im->has_base && im->earliest > UNIX_FROM && im->earliest != UINT64_MAX;
    chrome_info(im, "clock", 5, is_unix ? "unix" : "unknown", is_unix ? 4 : 7);
    if (im->metadata_size > 0) {
        im->metadata[im->metadata_size++] = ']';
        chrome_info(im, "chrome:metadata", 15, im->metadata, im->metadata_size);
    }
    chrome_keep_arrow(im);
    /* The rows that came last reach a file with the next batch, so there is an empty one. */
    tsm_batch nothing = { 0 };
    im->status = im->status == TSM_OK ? tsm_sink_write(im->sink, &nothing, im->err) : im->status;
}

static void
release(chrome_importer *im)
{
    chrome_words_free(&im->arguments);
    chrome_words_free(&im->categories);
    free(im->event.args.items);
    free(im->event.members.items);
    free(im->scratch);
    free(im->map.slots);
    free(im->processes);
    free(im->tracks);
    free(im->devices);
    free(im->names);
    free(im->events);
    free(im->event_tracks);
    free(im->extensions);
    free(im->extension_rows);
    free(im->flows);
    free(im->metadata);
    free(im);
}

tsm_status
tsm_ingest_chrome(tsm_input *input, tsm_sink *sink, tsm_ingest_report *report, tsm_error *err)
{
    chrome_importer *im = calloc(1, sizeof *im);
    if (im == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to import");
    }
    im->input = input;
    im->sink = sink;
    im->tables = tsm_sink_tables(sink);
    im->report = report;
    im->err = err;
    im->earliest = UINT64_MAX;
    im->arguments.known = chrome_known_arguments;
    im->categories.known = chrome_known_categories;
    im->json.at = tsm_input_begin(input);
    im->json.end = tsm_input_end(input);
    tsm_status status = read_unit(im, read_start);
    if (status == TSM_OK) {
        status = *im->json.at == '{' ? read_object(im) : read_events(im);
    }
    report->truncated = status == TSM_E_END;
    if (status == TSM_OK || status == TSM_E_END) {
        finish(im);
        status = im->status;
    }
    release(im);
    return status;
}
