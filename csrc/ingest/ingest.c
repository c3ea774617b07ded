#include "ingest/ingest.h"

#include <string.h>

#include "base/bytes.h"
#include "ingest/chrome.h"
#include "ingest/nsys.h"
#include "ingest/rocprof.h"
#include "ingest/sbt01.h"
#include "ingest/xray.h"

#define LOOK_BYTES 4096 /* enough of a file to tell what it is */

static bool
begins(const char *at, size_t size, const char *magic, size_t length)
{
    return size >= length && memcmp(at, magic, length) == 0;
}

static bool
has(const char *at, size_t size, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= size; i++) {
        if (at[i] == word[0] && memcmp(at + i, word, length) == 0) {
            return true;
        }
    }
    return false;
}

/* JSON that begins with an object or with a list of objects, or with an empty list. */
static tsm_ingest_format
json_format(const char *at, size_t size)
{
    const char *end = at + size;
    if (begins(at, size, "\xef\xbb\xbf", 3)) {
        at += 3;
    }
    while (at < end && *at != 0 && (unsigned char)*at <= ' ') {
        at++;
    }
    if (at == end || (*at != '{' && *at != '[')) {
        return TSM_INGEST_UNKNOWN;
    }
    if (*at == '{' && has(at, (size_t)(end - at), "\"rocprofiler-sdk-tool\"")) {
        return TSM_INGEST_ROCPROF;
    }
    char open = *at++;
    while (at < end && *at != 0 && (unsigned char)*at <= ' ') {
        at++;
    }
    return at == end || *at == '}' || *at == ']' || *at == (open == '{' ? '"' : '{') ? TSM_INGEST_CHROME
                                                                                     : TSM_INGEST_UNKNOWN;
}

/* No magic: a version, a type, and of the 32 bytes of the header the last are zero or a size. */
static bool
is_xray(const char *at, size_t size)
{
    uint32_t first = size >= 32 ? tsm_load_u32(at) : 0;
    uint32_t version = first & 0xffff, type = first >> 16;
    uint64_t frequency = size >= 32 ? tsm_load_u64(at + 8) : 0;
    return version >= 1 && version <= 5 && type <= 1 && frequency >= 1000000 && frequency <= 100000000000u
           && tsm_load_u64(at + 24) == 0;
}

/* A TracePacket in field 1, whose own fields are numbered as they may be. */
static bool
is_perfetto(const char *at, size_t size)
{
    return size >= 4 && at[0] == 0x0a && at[1] != 0 && ((unsigned char)at[2] & 7) <= 2 && at[2] != 0
           && !has("\n\r\t {[\"", 7, (char[]){ at[1], 0 });
}

static tsm_ingest_format
recognize(const char *at, size_t size)
{
    static const char sqlite[] = "SQLite format 3";
    if (begins(at, size, "\x89SBT\r\n\x1a\n", 8)) {
        return TSM_INGEST_SBT;
    }
    if (begins(at, size, "SBT", 4)) {
        return TSM_INGEST_SBT01;
    }
    if (begins(at, size, sqlite, sizeof sqlite)) {
        return TSM_INGEST_NSYS;
    }
    tsm_ingest_format json = json_format(at, size);
    if (json != TSM_INGEST_UNKNOWN) {
        return json;
    }
    return is_xray(at, size) ? TSM_INGEST_XRAY : is_perfetto(at, size) ? TSM_INGEST_PERFETTO : TSM_INGEST_UNKNOWN;
}

static tsm_status
look(tsm_input *input, tsm_ingest_format *format, tsm_error *err)
{
    tsm_status status = TSM_OK;
    while (status == TSM_OK && tsm_input_end(input) - tsm_input_begin(input) < LOOK_BYTES) {
        status = tsm_input_more(input, tsm_input_begin(input), err);
    }
    if (status == TSM_OK || status == TSM_E_END) {
        *format = recognize(tsm_input_begin(input), (size_t)(tsm_input_end(input) - tsm_input_begin(input)));
        return TSM_OK;
    }
    return status;
}

tsm_status
tsm_ingest_recognize(const char *path, tsm_ingest_format *format, tsm_error *err)
{
    tsm_input *input;
    tsm_status status = tsm_input_open(path, &input, err);
    if (status == TSM_OK) {
        status = look(input, format, err);
        tsm_input_close(input);
    }
    return status;
}

static tsm_status
refuse(tsm_ingest_format format, tsm_error *err)
{
    if (format == TSM_INGEST_UNKNOWN) {
        return tsm_fail(err, TSM_E_FORMAT, 0, "not a trace in any known format");
    }
    if (format == TSM_INGEST_SBT) {
        return tsm_fail(err, TSM_E_ARG, 0, "this is an SBT file already: open it");
    }
    return tsm_fail(err, TSM_E_UNSUPPORTED, 0, "this build does not import this format");
}

tsm_status
tsm_ingest_file(const char *path, tsm_ingest_format format, tsm_sink *sink, tsm_ingest_progress progress, void *context,
                tsm_ingest_report *report, tsm_error *err)
{
    return tsm_ingest_file_with(path, format, NULL, sink, progress, context, report, err);
}

tsm_status
tsm_ingest_file_with(const char *path, tsm_ingest_format format, const char *binary, tsm_sink *sink,
                     tsm_ingest_progress progress, void *context, tsm_ingest_report *report, tsm_error *err)
{
    tsm_input *input;
    *report = (tsm_ingest_report){ .format = format };
    tsm_status status = tsm_input_open(path, &input, err);
    if (status != TSM_OK) {
        return status;
    }
    if (format == TSM_INGEST_UNKNOWN) {
        status = look(input, &report->format, err);
    }
    if (status == TSM_OK && binary != NULL && report->format != TSM_INGEST_XRAY) {
        status = tsm_fail(err, TSM_E_ARG, 0, "a binary gives names to XRay logs, and this is none");
    }
    if (status == TSM_OK) {
        tsm_input_watch(input, progress, context);
        status = report->format == TSM_INGEST_CHROME    ? tsm_ingest_chrome(input, sink, report, err)
                 : report->format == TSM_INGEST_ROCPROF ? tsm_ingest_rocprof(input, sink, report, err)
                 : report->format == TSM_INGEST_NSYS    ? tsm_ingest_nsys(path, sink, progress, context, report, err)
                 : report->format == TSM_INGEST_XRAY    ? tsm_ingest_xray(input, binary, sink, report, err)
                 : report->format == TSM_INGEST_SBT01   ? tsm_ingest_sbt01(input, sink, report, err)
                                                        : refuse(report->format, err);
    }
    report->bytes_read = report->bytes_read == 0 ? tsm_input_taken(input) : report->bytes_read;
    report->truncated |= tsm_input_truncated(input);
    tsm_input_close(input);
    return status;
}
