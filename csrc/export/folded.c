/* Folded stacks, as flamegraph.pl, inferno and speedscope read them: one line per stack, frames
 * between semicolons, then a space and ns of device time. */
#include <stdlib.h>

#include "export/flame.h"
#include "export/formats.h"

static bool
put_line(tsm_output *output, const tsm_tables *tables, const tsm_flame *flame, uint32_t node, tsm_buffer *line)
{
    uint32_t path[TSM_FLAME_DEPTH + 1];
    const size_t depth = tsm_flame_path(flame, node, path);
    line->size = 0;
    for (size_t i = 0; i < depth; i++) {
        tsm_buffer_say(line, i > 0 ? ";" : "");
        tsm_buffer_flame(line, tables, &flame->nodes[path[i]]);
    }
    tsm_buffer_say(line, " ");
    tsm_buffer_u64(line, flame->nodes[node].weight_ns);
    tsm_buffer_say(line, "\n");
    if (!line->failed) {
        tsm_output_put(output, line->data, line->size);
    }
    return !line->failed;
}

static tsm_status
put_all(tsm_output *output, const tsm_tables *tables, const tsm_flame *flame)
{
    tsm_buffer line = { 0 };
    bool good = true;
    for (uint32_t node = 1; node < flame->count && good; node++) {
        if (flame->nodes[node].weight_ns > 0) {
            good = put_line(output, tables, flame, node, &line);
        }
    }
    free(line.data);
    return good ? TSM_OK : TSM_E_NOMEM;
}

tsm_status
tsm_export_folded(tsm_cursor *cursor, tsm_output *output, const tsm_export_options *options, tsm_export_report *report,
                  tsm_error *err)
{
    tsm_spans spans;
    tsm_flame flame;
    tsm_status status = tsm_spans_collect(cursor, false, options, report, &spans, err);
    if (status != TSM_OK) {
        return status;
    }
    status = tsm_flame_build(&spans, !options->no_stacks, &flame, &report->written);
    if (status == TSM_OK) {
        status = put_all(output, spans.tables, &flame);
        tsm_flame_free(&flame);
    }
    tsm_spans_free(&spans);
    return status == TSM_OK ? TSM_OK : tsm_fail(err, status, 0, "no memory for the stacks");
}
