#include "export/export.h"

#include "export/formats.h"

static const struct {
    tsm_exporter *write;
    bool gzip; /* compress means gzip around the whole; else the exporter sees to it */
} exporters[] = {
    [TSM_EXPORT_CHROME] = { tsm_export_chrome, true },
    [TSM_EXPORT_PERFETTO] = { tsm_export_perfetto, false },
    [TSM_EXPORT_DOT] = { tsm_export_dot, true },
    [TSM_EXPORT_FOLDED] = { tsm_export_folded, true },
    [TSM_EXPORT_SPEEDSCOPE] = { tsm_export_speedscope, true },
    [TSM_EXPORT_CSV] = { tsm_export_csv, true },
    [TSM_EXPORT_TEXT] = { tsm_export_text, true },
};

static tsm_status
export_to(tsm_cursor *cursor, unsigned format, const char *path, const tsm_export_options *options,
          tsm_export_report *report, tsm_error *err)
{
    tsm_output *output;
    tsm_status status = tsm_output_open(path, options->compress && exporters[format].gzip, &output, err);
    if (status != TSM_OK) {
        return status;
    }
    status = exporters[format].write(cursor, output, options, report, err);
    if (status != TSM_OK) {
        tsm_output_abandon(output);
        return status;
    }
    report->bytes = tsm_output_bytes(output);
    return tsm_output_close(output, err);
}

tsm_status
tsm_export_file(tsm_cursor *cursor, tsm_export_format format, const char *path, const tsm_export_options *options,
                tsm_export_report *report, tsm_error *err)
{
    static const tsm_export_options everything = { 0 };
    tsm_export_report ignored;
    const unsigned count = sizeof exporters / sizeof *exporters;
    tsm_status status = TSM_E_ARG;
    report = report == NULL ? &ignored : report;
    *report = (tsm_export_report){ 0 };
    if ((unsigned)format < count && exporters[format].write != NULL) {
        status = export_to(cursor, format, path, options == NULL ? &everything : options, report, err);
    } else {
        (void)tsm_fail(err, status, 0, "there is no exporter number %u", (unsigned)format);
    }
    tsm_cursor_close(cursor);
    return status;
}
