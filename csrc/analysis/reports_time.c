/* Reports of where time went: devices, streams, gaps, memory, the trace itself. */
#include <string.h>

#include "analysis/reports.h"

/* ---- Devices ---------------------------------------------------------------------------------- */

void
tsm_totals_of(const tsm_records *records, tsm_totals *totals)
{
    *totals = (tsm_totals){ 0 };
    for (size_t i = 0; i < records->count; i++) {
        const uint64_t *f = records->items[i]->fields;
        switch (records->items[i]->kind) {
        case TSM_RECORD_INPUT:
            totals->events += f[TSM_INPUT_EVENTS];
            break;
        case TSM_RECORD_HANDOVER:
            totals->gap_threshold_ns = 3 * tsm_summary_quantile(&records->items[i]->summaries[0], 0.5);
            break;
        case TSM_RECORD_DEVICE:
            totals->devices++;
            totals->window_ns += f[TSM_DEVICE_WINDOW_NS];
            totals->compute_ns += f[TSM_DEVICE_COMPUTE_NS];
            totals->exposed_communication_ns += f[TSM_DEVICE_EITHER_NS] - f[TSM_DEVICE_COMPUTE_NS];
            totals->exposed_memory_ns += f[TSM_DEVICE_BUSY_NS] - f[TSM_DEVICE_EITHER_NS];
            totals->idle_ns += f[TSM_DEVICE_WINDOW_NS] - f[TSM_DEVICE_BUSY_NS];
            totals->communication_ns += f[TSM_DEVICE_COMMUNICATION_NS];
            totals->overlap_ns += f[TSM_DEVICE_COMPUTE_NS] + f[TSM_DEVICE_COMMUNICATION_NS] - f[TSM_DEVICE_EITHER_NS];
            break;
        default:
            break;
        }
    }
}

void
tsm_report_BREAKDOWN(tsm_builder *b)
{
    static const tsm_answer_column columns[] = {
        INTEGER("window", "ns"),
        SHARE("compute"),
        SHARE("exposed_communication"),
        SHARE("exposed_memory"),
        SHARE("idle"),
        INTEGER("compute_time", "ns"),
        INTEGER("exposed_communication_time", "ns"),
        INTEGER("exposed_memory_time", "ns"),
        INTEGER("idle_time", "ns"),
        INTEGER("busy_time", "ns"),
        SHARE("utilization"),
        WORDS("device"),
        WORDS("model"),
    };
    size_t count;
    const tsm_record **devices = tsm_records_ranked(b->records, TSM_RECORD_DEVICE, tsm_rank_texts, &count);
    BEGIN_TABLE(b, BREAKDOWN, columns);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *f = devices[i]->fields;
        uint64_t window = f[TSM_DEVICE_WINDOW_NS], parts[] = {
            f[TSM_DEVICE_COMPUTE_NS],
            f[TSM_DEVICE_EITHER_NS] - f[TSM_DEVICE_COMPUTE_NS],
            f[TSM_DEVICE_BUSY_NS] - f[TSM_DEVICE_EITHER_NS],
            window - f[TSM_DEVICE_BUSY_NS],
        };
        if (tsm_table_row(b)) {
            tsm_cell_integer(b, window);
            for (int k = 0; k < 4; k++) {
                tsm_cell_share(b, (double)parts[k], (double)window);
            }
            for (int k = 0; k < 4; k++) {
                tsm_cell_integer(b, parts[k]);
            }
            tsm_cell_integer(b, f[TSM_DEVICE_BUSY_NS]);
            tsm_cell_share(b, (double)f[TSM_DEVICE_BUSY_NS], (double)window);
            tsm_cell_key(b, devices[i]->keys[0]);
            tsm_cell_key(b, (uint32_t)f[TSM_DEVICE_MODEL]);
        }
    }
    free(devices);
}

void
tsm_report_OVERLAP(tsm_builder *b)
{
    static const tsm_answer_column columns[] = {
        INTEGER("communication", "ns"), INTEGER("overlapped", "ns"), SHARE("overlap"),
        INTEGER("exposed", "ns"),       SHARE("exposed_of_window"),  WORDS("device")
    };
    size_t count;
    const tsm_record **devices = tsm_records_ranked(b->records, TSM_RECORD_DEVICE, tsm_rank_texts, &count);
    BEGIN_TABLE(b, OVERLAP, columns);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *f = devices[i]->fields;
        uint64_t communication = f[TSM_DEVICE_COMMUNICATION_NS];
        uint64_t exposed = f[TSM_DEVICE_EITHER_NS] - f[TSM_DEVICE_COMPUTE_NS];
        if (communication > 0 && tsm_table_row(b)) {
            tsm_cell_integer(b, communication);
            tsm_cell_integer(b, communication - exposed);
            tsm_cell_share(b, (double)(communication - exposed), (double)communication);
            tsm_cell_integer(b, exposed);
            tsm_cell_share(b, (double)exposed, (double)f[TSM_DEVICE_WINDOW_NS]);
            tsm_cell_key(b, devices[i]->keys[0]);
        }
    }
    free(devices);
}

/* ---- Idle time -------------------------------------------------------------------------------- */

uint64_t
tsm_cause_ns(const tsm_records *records, const char *id)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < records->count; i++) {
        const tsm_record *record = records->items[i];
        if (record->kind == TSM_RECORD_CAUSE) {
            tsm_text cause = tsm_records_borrow(records, record->keys[1]);
            sum += cause.size == strlen(id) && memcmp(cause.data, id, cause.size) == 0 ? record->summaries[0].sum : 0;
        }
    }
    return sum;
}

void
tsm_report_CAUSES(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { SHARE("of_idle"),
                                                 SHARE("of_window"),
                                                 SUMMARY_COLUMNS("ns"),
                                                 INTEGER("after_sync", "ns"),
                                                 INTEGER("over_threshold", ""),
                                                 WORDS("device"),
                                                 WORDS("cause") };
    const tsm_totals *totals = &b->answers->totals;
    size_t count;
    const tsm_record **causes = tsm_records_ranked(b->records, TSM_RECORD_CAUSE, tsm_rank_summary, &count);
    BEGIN_TABLE(b, CAUSES, columns);
    for (size_t i = 0; i < count; i++) {
        const tsm_summary *pieces = &causes[i]->summaries[0];
        if (tsm_table_row(b)) {
            tsm_cell_share(b, (double)pieces->sum, (double)totals->idle_ns);
            tsm_cell_share(b, (double)pieces->sum, (double)totals->window_ns);
            tsm_cells_summary(b, pieces);
            tsm_cell_integer(b, causes[i]->fields[TSM_CAUSE_AFTER_SYNC_NS]);
            tsm_cell_integer(b, tsm_summary_count_from(pieces, totals->gap_threshold_ns));
            tsm_cell_key(b, causes[i]->keys[0]);
            tsm_cell_key(b, causes[i]->keys[1]);
        }
    }
    free(causes);
}

void
tsm_report_CULPRITS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { SHARE("of_idle"),       SHARE("of_window"),
                                                 INTEGER("total", "ns"), INTEGER("count", ""),
                                                 INTEGER("max", "ns"),   INTEGER("after_sync", "ns"),
                                                 WORDS("cause"),         WORDS("name"),
                                                 WORDS("stack") };
    size_t count;
    const tsm_record **culprits = tsm_records_ranked(b->records, TSM_RECORD_CULPRIT, tsm_rank_second, &count);
    BEGIN_TABLE(b, CULPRITS, columns);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *f = culprits[i]->fields;
        if (tsm_table_row(b)) {
            tsm_cell_share(b, (double)f[TSM_CULPRIT_NS], (double)b->answers->totals.idle_ns);
            tsm_cell_share(b, (double)f[TSM_CULPRIT_NS], (double)b->answers->totals.window_ns);
            tsm_cell_integer(b, f[TSM_CULPRIT_NS]);
            tsm_cell_integer(b, f[TSM_CULPRIT_COUNT]);
            tsm_cell_integer(b, f[TSM_CULPRIT_MAX]);
            tsm_cell_integer(b, f[TSM_CULPRIT_AFTER_SYNC_NS]);
            for (int k = 0; k < 3; k++) {
                tsm_cell_key(b, culprits[i]->keys[k]);
            }
        }
    }
    free(culprits);
}

void
tsm_report_GAPS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = {
        INTEGER("length", "ns"),
        INTEGER("begin", "ns"),
        INTEGER("cause_time", "ns"),
        WORDS("device"),
        WORDS("stream"),
        WORDS("cause"),
        WORDS("in"),
        WORDS("next"),
        WORDS("call"),
        WORDS("stack"),
    };
    size_t count;
    const tsm_record **gaps = tsm_records_ranked(b->records, TSM_RECORD_GAP, tsm_rank_second, &count);
    BEGIN_TABLE(b, GAPS, columns);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *f = gaps[i]->fields;
        if (f[TSM_GAP_NS] >= b->answers->totals.gap_threshold_ns && tsm_table_row(b)) {
            tsm_cell_integer(b, f[TSM_GAP_NS]);
            tsm_cell_integer(b, f[TSM_GAP_BEGIN]);
            tsm_cell_integer(b, f[TSM_GAP_CAUSE_NS]);
            tsm_cell_key(b, gaps[i]->keys[0]);
            tsm_cell_key(b, (uint32_t)f[TSM_GAP_STREAM]);
            tsm_cell_key(b, gaps[i]->keys[2]);
            tsm_cell_key(b, gaps[i]->keys[3]);
            tsm_cell_key(b, (uint32_t)f[TSM_GAP_NEXT]);
            tsm_cell_key(b, (uint32_t)f[TSM_GAP_CALL]);
            tsm_cell_key(b, gaps[i]->keys[4]);
        }
    }
    free(gaps);
}

/* ---- Streams ---------------------------------------------------------------------------------- */

static double
rank_first(const tsm_record *record)
{
    return (double)record->fields[0];
}

void
tsm_report_STREAMS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { INTEGER("busy", "ns"),     INTEGER("compute", "ns"),
                                                 INTEGER("operations", ""), INTEGER("waits", ""),
                                                 WORDS("device"),           WORDS("stream") };
    size_t count;
    const tsm_record **streams = tsm_records_ranked(b->records, TSM_RECORD_STREAM, rank_first, &count);
    BEGIN_TABLE(b, STREAMS, columns);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *f = streams[i]->fields;
        if (tsm_table_row(b)) {
            tsm_cell_integer(b, f[TSM_STREAM_BUSY_NS]);
            tsm_cell_integer(b, f[TSM_STREAM_COMPUTE_NS]);
            tsm_cell_integer(b, f[TSM_STREAM_OPERATIONS]);
            tsm_cell_integer(b, f[TSM_STREAM_WAITS]);
            tsm_cell_key(b, streams[i]->keys[0]);
            tsm_cell_key(b, streams[i]->keys[1]);
        }
    }
    free(streams);
}

/* Per device, then per pair of streams: the same columns, with no stream for the device's row. */
void
tsm_report_CONCURRENCY(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { WORDS("device"),           WORDS("stream"),  WORDS("other"),
                                                 INTEGER("together", "ns"), REAL("mean", ""), INTEGER("max", "") };
    size_t count;
    BEGIN_TABLE(b, CONCURRENCY, columns);
    const tsm_record **devices = tsm_records_ranked(b->records, TSM_RECORD_DEVICE, tsm_rank_texts, &count);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *f = devices[i]->fields;
        if (tsm_table_row(b)) {
            tsm_cell_key(b, devices[i]->keys[0]);
            tsm_cell_none(b);
            tsm_cell_none(b);
            tsm_cell_none(b);
            if (f[TSM_DEVICE_BUSY_NS] > 0) {
                tsm_cell_real(b, (double)f[TSM_DEVICE_WORK_NS] / (double)f[TSM_DEVICE_BUSY_NS]);
            } else {
                tsm_cell_none(b);
            }
            tsm_cell_integer(b, f[TSM_DEVICE_DEEPEST]);
        }
    }
    free(devices);
    const tsm_record **pairs = tsm_records_ranked(b->records, TSM_RECORD_PAIR, rank_first, &count);
    for (size_t i = 0; i < count; i++) {
        if (tsm_table_row(b)) {
            tsm_cell_key(b, pairs[i]->keys[0]);
            tsm_cell_key(b, pairs[i]->keys[1]);
            tsm_cell_key(b, pairs[i]->keys[2]);
            tsm_cell_integer(b, pairs[i]->fields[0]);
            tsm_cell_none(b);
            tsm_cell_none(b);
        }
    }
    free(pairs);
}

/* A number that is part of a record's name. */
static uint64_t
number_of(const tsm_builder *b, uint32_t row)
{
    tsm_text text = tsm_records_borrow(b->records, row);
    uint64_t number = 0;
    for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    return number;
}

static double
rank_begin(const tsm_record *record)
{
    return -(double)record->fields[TSM_CHUNK_BEGIN];
}

/* Pieces of time per device, the earliest first. */
static void
report_pieces(tsm_builder *b, tsm_record_kind kind, bool share)
{
    size_t count;
    const tsm_record **pieces = tsm_records_ranked(b->records, kind, rank_begin, &count);
    for (size_t i = 0; i < count; i++) {
        if (tsm_table_row(b)) {
            tsm_cell_key(b, pieces[i]->keys[0]);
            tsm_cell_integer(b, pieces[i]->fields[TSM_CHUNK_BEGIN]);
            tsm_cell_integer(b, number_of(b, pieces[i]->keys[1]));
            if (share) {
                tsm_cell_share(b, (double)pieces[i]->fields[TSM_CHUNK_BUSY_NS],
                               (double)pieces[i]->fields[TSM_CHUNK_NS]);
            } else {
                tsm_cell_integer(b, pieces[i]->fields[0]);
            }
        }
    }
    free(pieces);
}

void
tsm_report_UTILIZATION(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { WORDS("device"), INTEGER("begin", "ns"), INTEGER("length", "ns"),
                                                 SHARE("busy") };
    BEGIN_TABLE(b, UTILIZATION, columns);
    report_pieces(b, TSM_RECORD_CHUNK, true);
}

void
tsm_report_MEMORY_USE(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { WORDS("device"), INTEGER("begin", "ns"), INTEGER("length", "ns"),
                                                 INTEGER("most_in_use", "bytes") };
    BEGIN_TABLE(b, MEMORY_USE, columns);
    report_pieces(b, TSM_RECORD_IN_USE, false);
}

/* ---- The trace itself ------------------------------------------------------------------------- */

void
tsm_report_INPUTS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { INTEGER("events", ""), INTEGER("dropped", ""), INTEGER("begin", "ns"),
                                                 INTEGER("end", "ns"), WORDS("input") };
    size_t count;
    const tsm_record **inputs = tsm_records_ranked(b->records, TSM_RECORD_INPUT, tsm_rank_texts, &count);
    BEGIN_TABLE(b, INPUTS, columns);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *f = inputs[i]->fields;
        if (tsm_table_row(b)) {
            bool any = f[TSM_INPUT_EVENTS] > 0;
            tsm_cell_integer(b, f[TSM_INPUT_EVENTS]);
            tsm_cell_integer(b, f[TSM_INPUT_DROPPED]);
            tsm_cell_integer(b, any ? f[TSM_INPUT_BEGIN] : 0);
            tsm_cell_integer(b, any ? f[TSM_INPUT_END] : 0);
            tsm_cell_key(b, inputs[i]->keys[0]);
        }
    }
    free(inputs);
}

void
tsm_report_HEALTH(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { INTEGER("count", ""), WORDS("what") };
    size_t count;
    const tsm_record **health = tsm_records_ranked(b->records, TSM_RECORD_HEALTH, rank_first, &count);
    BEGIN_TABLE(b, HEALTH, columns);
    for (size_t i = 0; i < count; i++) {
        if (tsm_table_row(b)) {
            tsm_cell_integer(b, health[i]->fields[0]);
            tsm_cell_key(b, health[i]->keys[0]);
        }
    }
    free(health);
}
