/* The header, which both kinds of log share and which has no magic:
 *
 *   0         2      4       8           16             24 ... 32
 *   | version | type | flags | frequency | buffer bytes |       | */
#include "ingest/xray.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ingest/whole.h"

static const unsigned newest[] = { [XRAY_BASIC] = 3, [XRAY_FDR] = 5 };

static tsm_status
read_header(xray_importer *im, const uint8_t *at, tsm_error *err)
{
    im->version = tsm_load_u32(at) & 0xffff;
    im->type = tsm_load_u32(at) >> 16;
    im->frequency = tsm_load_u64(at + 8);
    if (im->type > XRAY_FDR) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, 2, "an XRay log of type %u; basic (0) and FDR (1) are read", im->type);
    }
    if (im->version < 1 || im->version > newest[im->type]) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, 0, "%s XRay log of version %u; 1 to %u are known",
                        im->type == XRAY_FDR ? "an FDR" : "a basic", im->version, newest[im->type]);
    }
    return im->frequency != 0 ? TSM_OK
                              : tsm_fail(err, TSM_E_CORRUPT, 8, "the log does not say how fast its clock runs");
}

static tsm_status
open_binary(xray_importer *im, const char *path, tsm_error *err)
{
    tsm_error why = { 0 };
    tsm_status status = tsm_elf_open(path, &im->binary, &why);
    if (status == TSM_E_IO || status == TSM_E_NOMEM) {
        return tsm_fail(err, status, 0, "%s", why.text);
    }
    if (status != TSM_OK) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, why.offset, "no names from %s: %s", path, why.text);
    }
    im->functions = tsm_elf_borrow_xray(im->binary, &im->function_count);
    return im->function_count > 0
               ? TSM_OK
               : tsm_fail(err, TSM_E_UNSUPPORTED, 0,
                          "no names from %s: no functions are numbered in it. Was it built with -fxray-instrument?",
                          path);
}

static void
make_schemas(xray_importer *im)
{
    static const char *const call[] = { "function", "cpu", "exit_cpu", "exit", "argument" };
    static const char *const note[] = { "cpu", "type" };
    im->call_schema = ingest_schema(&im->out, "xray", call, 4, TSM_COLUMN_U64);
    im->argument_schema = ingest_schema(&im->out, "xray", call, 5, TSM_COLUMN_U64);
    im->custom_schema = ingest_schema(&im->out, "xray:custom", note, 1, TSM_COLUMN_U64);
    im->typed_schema = ingest_schema(&im->out, "xray:typed", note, 2, TSM_COLUMN_U64);
}

static tsm_status
read_fdr(xray_importer *im, tsm_input *input)
{
    uint8_t *data;
    size_t size;
    tsm_status status = ingest_read_whole(input, &data, &size, im->out.err);
    if (status == TSM_OK) {
        status = xray_read_fdr(im, data, size, tsm_load_u64(data + 16));
        free(data);
    }
    return status;
}

static tsm_status
read_log(xray_importer *im, tsm_input *input)
{
    static const char basic[] = "LLVM XRay (basic)", fdr[] = "LLVM XRay (FDR)";
    const char *source = im->type == XRAY_FDR ? fdr : basic;
    tsm_status status;
    ingest_info(&im->out, "source", source, strlen(source));
    make_schemas(im);
    if (im->type == XRAY_FDR) {
        status = read_fdr(im, input);
    } else {
        ingest_info(&im->out, "clock", "unknown", 7);
        status = xray_read_basic(im, input);
    }
    if (status == TSM_OK) {
        xray_finish(im);
        ingest_buffer_finish(&im->out);
    }
    return status == TSM_OK ? im->out.status : status;
}

static void
release(xray_importer *im)
{
    for (size_t i = 0; i < im->thread_count; i++) {
        free(im->threads[i].frames);
    }
    free(im->threads);
    free(im->calls);
    free(im->keys.slots);
    ingest_buffer_free(&im->out);
    tsm_elf_close(im->binary);
}

static tsm_status
fill(tsm_input *input, tsm_error *err)
{
    tsm_status status = TSM_OK;
    while (status == TSM_OK && tsm_input_end(input) - tsm_input_begin(input) < XRAY_HEADER_BYTES) {
        status = tsm_input_more(input, tsm_input_begin(input), err);
    }
    return status == TSM_E_END ? tsm_fail(err, TSM_E_TRUNCATED, 0, "the header of 32 bytes is cut off") : status;
}

tsm_status
tsm_ingest_xray(tsm_input *input, const char *binary, tsm_sink *sink, tsm_ingest_report *report, tsm_error *err)
{
    xray_importer im = { .out = { .sink = sink, .tables = tsm_sink_tables(sink), .report = report, .err = err } };
    tsm_status status = fill(input, err);
    if (status == TSM_OK) {
        status = read_header(&im, (const uint8_t *)tsm_input_begin(input), err);
    }
    if (status == TSM_OK && binary != NULL) {
        status = open_binary(&im, binary, err);
    }
    if (status == TSM_OK) {
        status = read_log(&im, input);
    }
    release(&im);
    return status;
}
