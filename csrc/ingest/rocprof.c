/* The walk: {"rocprofiler-sdk-tool": [{section: ..., "buffer_records": {list: [record, ...]}}]}, an
 * item of the outer list for each process. One unit at a time, a record or a small section, is
 * whole in the window when it is read; a unit that the window's end cuts is begun again with more
 * bytes. */
#include "ingest/rocprof.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

typedef bool unit(rocprof *im);

/* Reads one unit, with as many bytes as it needs. TSM_E_END: the file ends inside. */
static tsm_status
read_unit(rocprof *im, unit *read)
{
    json_cursor *c = &im->json;
    for (;;) {
        const char *begin = c->at;
        c->why = JSON_FINE;
        if (read(im) || im->buffer.status != TSM_OK) {
            return im->buffer.status;
        }
        if (c->why == JSON_BAD) {
            uint64_t offset = tsm_input_offset(im->input, c->at);
            return tsm_fail(im->buffer.err, TSM_E_CORRUPT, offset, "not JSON at byte %llu: expected %s",
                            (unsigned long long)offset, c->expected);
        }
        tsm_status status = tsm_input_more(im->input, begin, im->buffer.err);
        c->at = tsm_input_begin(im->input);
        c->end = tsm_input_end(im->input);
        if (status != TSM_OK) {
            return status;
        }
    }
}

static bool
read_open(rocprof *im, char open, char close, const char *expected)
{
    json_cursor *c = &im->json;
    if (!json_take(c, open)) {
        return json_fail(c, expected);
    }
    json_skip_space(c);
    if (c->at >= c->end) {
        return json_fail(c, expected);
    }
    im->more = !json_take(c, close);
    return true;
}

static bool
read_open_object(rocprof *im)
{
    return read_open(im, '{', '}', "'{'");
}

static bool
read_open_list(rocprof *im)
{
    return read_open(im, '[', ']', "'['");
}

static bool
read_object_next(rocprof *im)
{
    return json_next(&im->json, '}', &im->more);
}

static bool
read_list_next(rocprof *im)
{
    return json_next(&im->json, ']', &im->more);
}

/* A member's name, and up to its value's first byte. */
static bool
read_key(rocprof *im)
{
    json_cursor *c = &im->json;
    json_text key;
    if (!json_key(c, &key)) {
        return false;
    }
    json_skip_space(c);
    size_t size = key.size < sizeof im->key ? key.size : sizeof im->key - 1;
    memcpy(im->key, key.data, size);
    im->key[size] = 0;
    return c->at < c->end || json_fail(c, "a value");
}

static tsm_status
walk_object(rocprof *im, tsm_status (*member)(rocprof *im))
{
    tsm_status status = read_unit(im, read_open_object);
    while (status == TSM_OK && im->more) {
        status = read_unit(im, read_key);
        status = status == TSM_OK ? member(im) : status;
        status = status == TSM_OK ? read_unit(im, read_object_next) : status;
    }
    return status;
}

static tsm_status
walk_list(rocprof *im, tsm_status (*item)(rocprof *im))
{
    tsm_status status = read_unit(im, read_open_list);
    while (status == TSM_OK && im->more) {
        status = item(im);
        status = status == TSM_OK ? read_unit(im, read_list_next) : status;
    }
    return status;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool
read_and_skip(rocprof *im)
{
    json_value value;
    return json_read(&im->json, &value);
}

static tsm_status
skip(rocprof *im)
{
    return read_unit(im, read_and_skip);
}

static tsm_status
skip_item(rocprof *im)
{
    im->skipped++;
    return skip(im);
}

static bool
read_metadata(rocprof *im)
{
    json_value value;
    if (!json_read(&im->json, &value)) {
        return false;
    }
    rocprof_metadata(im, &value);
    return true;
}

static bool
read_agents(rocprof *im)
{
    json_value value;
    if (!json_read(&im->json, &value)) {
        return false;
    }
    rocprof_agents(im, &value);
    return true;
}

static bool
read_strings(rocprof *im)
{
    json_value value;
    if (!json_read(&im->json, &value)) {
        return false;
    }
    rocprof_strings(im, &value);
    return true;
}

static bool
read_symbol(rocprof *im)
{
    json_value value;
    if (!json_read(&im->json, &value)) {
        return false;
    }
    rocprof_symbol(im, &value);
    return true;
}

static tsm_status
walk_symbol(rocprof *im)
{
    return read_unit(im, read_symbol);
}

/* ---- Records --------------------------------------------------------------------------------- */

static bool
read_record(rocprof *im)
{
    rocprof_record record = { .section = im->section, .list = im->list };
    json_cursor *c = &im->json;
    json_skip_space(c);
    if (c->at < c->end && *c->at != '{') {
        im->skipped++;
        return read_and_skip(im);
    }
    if (!rocprof_record_read(c, &record)) {
        return false;
    }
    if (!tsm_array_reserve(&im->records, &im->record_capacity, im->record_count + 1)) {
        ingest_note(&im->buffer, TSM_E_NOMEM);
        return false;
    }
    im->records[im->record_count++] = record;
    return true;
}

static tsm_status
walk_record(rocprof *im)
{
    tsm_status status = read_unit(im, read_record);
    if (status == TSM_OK && im->record_count >= ROCPROF_HELD && im->has_agents && im->has_symbols && im->has_strings) {
        rocprof_settle(im);
    }
    return status == TSM_OK ? im->buffer.status : status;
}

/* One of the lists of records, by the name in im->key. */
static tsm_status
walk_records(rocprof *im)
{
    static const struct {
        const char *list;
        rocprof_section section;
    } lists[] = {
        { "kernel_dispatch", ROCPROF_KERNEL },
        { "memory_copy", ROCPROF_COPY },
        { "memory_allocation", ROCPROF_ALLOCATION },
        { "scratch_memory", ROCPROF_SCRATCH },
        { "marker_api", ROCPROF_MARKER },
        { "hip_api", ROCPROF_CALL },
        { "hsa_api", ROCPROF_CALL },
        { "rccl_api", ROCPROF_CALL },
        { "rocdecode_api", ROCPROF_CALL },
        { "rocjpeg_api", ROCPROF_CALL },
    };
    char name[sizeof im->key];
    memcpy(name, im->key, sizeof name);
    im->section = ROCPROF_OTHER;
    im->skipped = 0;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (strcmp(name, lists[i].list) == 0) {
            im->section = lists[i].section;
            im->list = lists[i].list;
        }
    }
    if (*im->json.at != '[') {
        return skip(im);
    }
    bool known = im->section != ROCPROF_OTHER;
    tsm_status status = walk_list(im, known ? walk_record : skip_item);
    if (im->skipped > 0) {
        ingest_count(im->buffer.report, name, known ? "not an object" : "records that are not imported", im->skipped);
    }
    return status;
}

/* callback_records: only counters lie there, which belong to kernels and not to times. */
static tsm_status
walk_callbacks(rocprof *im)
{
    char name[sizeof im->key];
    memcpy(name, im->key, sizeof name);
    im->skipped = 0;
    tsm_status status = *im->json.at == '[' ? walk_list(im, skip_item) : skip(im);
    if (im->skipped > 0) {
        ingest_count(im->buffer.report, name, "records that are not imported", im->skipped);
    }
    return status;
}

static tsm_status
walk_section(rocprof *im)
{
    char first = *im->json.at;
    if (strcmp(im->key, "metadata") == 0) {
        return read_unit(im, read_metadata);
    }
    if (strcmp(im->key, "agents") == 0) {
        return read_unit(im, read_agents);
    }
    if (strcmp(im->key, "strings") == 0) {
        return read_unit(im, read_strings);
    }
    if (strcmp(im->key, "kernel_symbols") == 0 && first == '[') {
        tsm_status status = walk_list(im, walk_symbol);
        im->has_symbols = status == TSM_OK;
        return status;
    }
    if (strcmp(im->key, "buffer_records") == 0 && first == '{') {
        return walk_object(im, walk_records);
    }
    if (strcmp(im->key, "callback_records") == 0 && first == '{') {
        return walk_object(im, walk_callbacks);
    }
    return skip(im);
}

static tsm_status
walk_process(rocprof *im)
{
    tsm_status status = walk_object(im, walk_section);
    if (status == TSM_OK || status == TSM_E_END) {
        rocprof_settle(im);
        rocprof_forget(im);
    }
    return im->buffer.status != TSM_OK ? im->buffer.status : status;
}

static tsm_status
walk_top(rocprof *im)
{
    bool is_tool = strcmp(im->key, "rocprofiler-sdk-tool") == 0;
    if (is_tool && *im->json.at == '[') {
        return walk_list(im, walk_process);
    }
    return is_tool && *im->json.at == '{' ? walk_process(im) : skip(im);
}

static void
release(rocprof *im)
{
    ingest_buffer_free(&im->buffer);
    free(im->keys.slots);
    free(im->names);
    free(im->text);
    free(im->records);
    free(im);
}

tsm_status
tsm_ingest_rocprof(tsm_input *input, tsm_sink *sink, tsm_ingest_report *report, tsm_error *err)
{
    rocprof *im = calloc(1, sizeof *im);
    if (im == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to import");
    }
    im->input = input;
    im->buffer = (ingest_buffer){ .sink = sink, .tables = tsm_sink_tables(sink), .report = report, .err = err };
    im->json.at = tsm_input_begin(input);
    im->json.end = tsm_input_end(input);
    tsm_status status = walk_object(im, walk_top);
    report->truncated = status == TSM_E_END;
    if (status == TSM_OK || status == TSM_E_END) {
        ingest_info(&im->buffer, "source", "rocprofv3", 9);
        ingest_info(&im->buffer, "clock", "unknown", 7);
        ingest_buffer_finish(&im->buffer);
        status = im->buffer.status;
    }
    release(im);
    return status;
}
