/* The exporters, one file each. They write to output and leave closing it to their caller, who
 * also closes the cursor. Private to export/. */
#ifndef TSM_EXPORT_FORMATS_H
#define TSM_EXPORT_FORMATS_H

#include "export/export.h"
#include "export/output.h"

/* report->bytes is the caller's to fill. */
typedef tsm_status tsm_exporter(tsm_cursor *cursor, tsm_output *output, const tsm_export_options *options,
                                tsm_export_report *report, tsm_error *err);

tsm_exporter tsm_export_chrome, tsm_export_perfetto;
tsm_exporter tsm_export_dot, tsm_export_folded, tsm_export_speedscope, tsm_export_csv, tsm_export_text;

#endif
