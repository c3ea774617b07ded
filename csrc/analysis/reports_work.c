/* Reports of what devices did, one piece of work at a time. */
#include <string.h>

#include "analysis/classify.h"
#include "analysis/reports.h"

static uint64_t
sum_of(const tsm_record **records, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += records[i]->summaries[0].sum;
    }
    return sum;
}

void
tsm_report_KERNELS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { SHARE("share"), SHARE("of_window"), SUMMARY_COLUMNS("ns"),
                                                 WORDS("class"), WORDS("name") };
    uint64_t all = 0;
    for (size_t i = 0; i < b->kernels.count; i++) {
        all += b->kernels.items[i].durations.sum;
    }
    BEGIN_TABLE(b, KERNELS, columns);
    for (size_t i = 0; i < b->kernels.count; i++) {
        const tsm_kernel *kernel = &b->kernels.items[i];
        if (tsm_table_row(b)) {
            bool communication = kernel->record->fields[TSM_KERNEL_IS_COMMUNICATION] != 0;
            const char *class = communication ? "communication" : "compute";
            tsm_cell_share(b, (double)kernel->durations.sum, (double)all);
            tsm_cell_share(b, (double)kernel->durations.sum, (double)b->answers->totals.window_ns);
            tsm_cells_summary(b, &kernel->durations);
            tsm_cell_text(b, (tsm_text){ class, strlen(class) });
            tsm_cell_key(b, kernel->record->keys[0]);
        }
    }
}

void
tsm_report_CONFIGS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { SHARE("share"),         SUMMARY_COLUMNS("ns"), INTEGER("blocks", ""),
                                                 INTEGER("threads", ""), WORDS("launch"),       WORDS("name") };
    size_t count;
    const tsm_record **configs = tsm_records_ranked(b->records, TSM_RECORD_CONFIG, tsm_rank_summary, &count);
    double all = (double)sum_of(configs, count);
    BEGIN_TABLE(b, CONFIGS, columns);
    for (size_t i = 0; i < count; i++) {
        if (tsm_table_row(b)) {
            tsm_cell_share(b, (double)configs[i]->summaries[0].sum, all);
            tsm_cells_summary(b, &configs[i]->summaries[0]);
            tsm_cell_integer(b, configs[i]->fields[TSM_CONFIG_BLOCKS]);
            tsm_cell_integer(b, configs[i]->fields[TSM_CONFIG_THREADS]);
            tsm_cell_key(b, configs[i]->keys[1]);
            tsm_cell_key(b, configs[i]->keys[0]);
        }
    }
    free(configs);
}

/* The columns of nsys's cuda_kern_exec_sum, and how many did not queue. */
void
tsm_report_LAUNCHES(tsm_builder *b)
{
#define FIVE(what)                                                                                               \
    REAL(what "_avg", "ns"), INTEGER(what "_med", "ns"), INTEGER(what "_min", "ns"), INTEGER(what "_max", "ns"), \
        REAL(what "_std", "ns")
    static const tsm_answer_column columns[] = {
        INTEGER("count", ""),
        INTEGER("queued", ""),
        INTEGER("not_queued", ""),
        INTEGER("overlapped", ""),
        FIVE("total"),
        FIVE("api"),
        FIVE("queue"),
        FIVE("kernel"),
        WORDS("api"),
        WORDS("name"),
    };
#undef FIVE
    size_t count;
    const tsm_record **launches = tsm_records_ranked(b->records, TSM_RECORD_LAUNCH, tsm_rank_summary, &count);
    BEGIN_TABLE(b, LAUNCHES, columns);
    for (size_t i = 0; i < count; i++) {
        const tsm_record *launch = launches[i];
        if (tsm_table_row(b)) {
            tsm_cell_integer(b, launch->summaries[TSM_EXEC_TOTAL].count);
            tsm_cell_integer(b, launch->summaries[TSM_EXEC_QUEUE].count);
            tsm_cell_integer(b, launch->fields[TSM_EXEC_ZERO]);
            tsm_cell_integer(b, launch->fields[TSM_EXEC_NEGATIVE]);
            for (int k = 0; k < 4; k++) {
                tsm_cells_spread(b, &launch->summaries[k]);
            }
            tsm_cell_key(b, launch->keys[1]);
            tsm_cell_key(b, launch->keys[0]);
        }
    }
    free(launches);
}

void
tsm_report_COPIES(tsm_builder *b)
{
    static const tsm_answer_column columns[] = {
        SHARE("share"),
        SUMMARY_COLUMNS("ns"),
        INTEGER("bytes", "bytes"),
        REAL("bandwidth", "GB/s"),
        REAL("avg_bytes", "bytes"),
        INTEGER("med_bytes", "bytes"),
        INTEGER("min_bytes", "bytes"),
        INTEGER("max_bytes", "bytes"),
        INTEGER("tiny", ""),
        INTEGER("pageable_async", ""),
        WORDS("type"),
        WORDS("name"),
    };
    size_t count;
    const tsm_record **copies = tsm_records_ranked(b->records, TSM_RECORD_COPY, tsm_rank_summary, &count);
    double all = (double)sum_of(copies, count);
    BEGIN_TABLE(b, COPIES, columns);
    for (size_t i = 0; i < count; i++) {
        const tsm_summary *ns = &copies[i]->summaries[0], *bytes = &copies[i]->summaries[1];
        if (tsm_table_row(b)) {
            tsm_cell_share(b, (double)ns->sum, all);
            tsm_cells_summary(b, ns);
            tsm_cell_integer(b, bytes->sum);
            if (ns->sum > 0) {
                tsm_cell_real(b, (double)bytes->sum / (double)ns->sum);
            } else {
                tsm_cell_none(b);
            }
            tsm_cell_real(b, tsm_summary_average(bytes));
            tsm_cell_integer(b, tsm_summary_quantile(bytes, 0.5));
            tsm_cell_integer(b, bytes->min);
            tsm_cell_integer(b, bytes->max);
            tsm_cell_integer(b, copies[i]->fields[TSM_COPY_TINY]);
            tsm_cell_integer(b, copies[i]->fields[TSM_COPY_PAGEABLE]);
            tsm_cell_key(b, copies[i]->keys[0]);
            tsm_cell_key(b, copies[i]->keys[1]);
        }
    }
    free(copies);
}

/* What a collective moves over the slowest link, as nccl-tests count it. */
double
tsm_busbw_factor(tsm_text name, uint64_t ranks)
{
    static const struct {
        const char *operation;
        double times; /* (n - 1) / n */
    } factors[] = { { "allreduce", 2 }, { "allgather", 1 }, { "reducescatter", 1 }, { "alltoall", 1 } };
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        if (ranks > 0 && tsm_name_contains(name, factors[i].operation)) {
            return factors[i].times * (double)(ranks - 1) / (double)ranks;
        }
    }
    return 1;
}

static double
rank_collective(const tsm_record *record)
{
    return (double)record->fields[TSM_COLLECTIVE_EXPOSED_NS] + 1e-9 * (double)record->summaries[0].sum;
}

void
tsm_report_COLLECTIVES(tsm_builder *b)
{
    static const tsm_answer_column columns[] = {
        INTEGER("exposed", "ns"), SHARE("exposed_share"), SUMMARY_COLUMNS("ns"), INTEGER("bytes", "bytes"),
        INTEGER("ranks", ""),     REAL("algbw", "GB/s"),  REAL("busbw", "GB/s"), WORDS("name"),
    };
    size_t count;
    const tsm_record **collectives = tsm_records_ranked(b->records, TSM_RECORD_COLLECTIVE, rank_collective, &count);
    BEGIN_TABLE(b, COLLECTIVES, columns);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *fields = collectives[i]->fields;
        const tsm_summary *ns = &collectives[i]->summaries[0];
        if (tsm_table_row(b)) {
            tsm_cell_integer(b, fields[TSM_COLLECTIVE_EXPOSED_NS]);
            tsm_cell_share(b, (double)fields[TSM_COLLECTIVE_EXPOSED_NS], (double)ns->sum);
            tsm_cells_summary(b, ns);
            tsm_cell_integer(b, fields[TSM_COLLECTIVE_BYTES]);
            tsm_cell_integer(b, fields[TSM_COLLECTIVE_RANKS]);
            if (ns->sum > 0 && fields[TSM_COLLECTIVE_BYTES] > 0) {
                double bandwidth = (double)fields[TSM_COLLECTIVE_BYTES] * (double)ns->count / (double)ns->sum;
                tsm_text name = tsm_records_borrow(b->records, collectives[i]->keys[0]);
                tsm_cell_real(b, bandwidth);
                if (fields[TSM_COLLECTIVE_RANKS] > 1) {
                    tsm_cell_real(b, bandwidth * tsm_busbw_factor(name, fields[TSM_COLLECTIVE_RANKS]));
                } else {
                    tsm_cell_none(b);
                }
            } else {
                tsm_cell_none(b);
                tsm_cell_none(b);
            }
            tsm_cell_key(b, collectives[i]->keys[0]);
        }
    }
    free(collectives);
}

void
tsm_report_GRAPHS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { INTEGER("launches", ""), INTEGER("nodes", ""), INTEGER("api", "ns"),
                                                 REAL("api_per_node", "ns"), WORDS("name") };
    size_t count;
    const tsm_record **graphs = tsm_records_ranked(b->records, TSM_RECORD_GRAPH, tsm_rank_second, &count);
    BEGIN_TABLE(b, GRAPHS, columns);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *fields = graphs[i]->fields;
        if (tsm_table_row(b)) {
            tsm_cell_integer(b, fields[TSM_GRAPH_LAUNCHES]);
            tsm_cell_integer(b, fields[TSM_GRAPH_NODES]);
            tsm_cell_integer(b, fields[TSM_GRAPH_CALL_NS]);
            tsm_cell_real(b, (double)fields[TSM_GRAPH_CALL_NS] / (double)fields[TSM_GRAPH_NODES]);
            tsm_cell_key(b, graphs[i]->keys[0]);
        }
    }
    free(graphs);
}

static double
rank_stack(const tsm_record *record)
{
    return (double)record->fields[TSM_STACK_NS];
}

void
tsm_report_STACKS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { SHARE("share"), INTEGER("total", "ns"), INTEGER("count", ""),
                                                 WORDS("name"), WORDS("stack") };
    size_t count;
    uint64_t all = 0;
    const tsm_record **stacks = tsm_records_ranked(b->records, TSM_RECORD_STACK, rank_stack, &count);
    for (size_t i = 0; i < count; i++) {
        all += stacks[i]->fields[TSM_STACK_NS];
    }
    BEGIN_TABLE(b, STACKS, columns);
    for (size_t i = 0; i < count; i++) {
        if (tsm_table_row(b)) {
            tsm_cell_share(b, (double)stacks[i]->fields[TSM_STACK_NS], (double)all);
            tsm_cell_integer(b, stacks[i]->fields[TSM_STACK_NS]);
            tsm_cell_integer(b, stacks[i]->fields[TSM_STACK_COUNT]);
            tsm_cell_key(b, stacks[i]->keys[1]);
            tsm_cell_key(b, stacks[i]->keys[0]);
        }
    }
    free(stacks);
}

static void
report_histogram(tsm_builder *b, const char *of, const tsm_summary *summary, uint32_t name)
{
    uint32_t first = summary->histogram.low * TSM_HISTOGRAM_SUBS;
    for (uint32_t i = first; i < summary->histogram.high * TSM_HISTOGRAM_SUBS; i++) {
        uint64_t count = summary->histogram.counts[i - first];
        if (count > 0 && tsm_table_row(b)) {
            tsm_cell_text(b, (tsm_text){ of, strlen(of) });
            tsm_cell_integer(b, tsm_histogram_floor(i));
            tsm_cell_integer(b, tsm_histogram_floor(i + 1) - 1);
            tsm_cell_integer(b, count);
            tsm_cell_key(b, name);
        }
    }
}

/* Buckets that hold something: durations of kernels and sizes of copies. */
void
tsm_report_HISTOGRAMS(tsm_builder *b)
{
    static const tsm_answer_column columns[] = { WORDS("of"), INTEGER("from", ""), INTEGER("to", ""),
                                                 INTEGER("count", ""), WORDS("name") };
    size_t count;
    BEGIN_TABLE(b, HISTOGRAMS, columns);
    for (size_t i = 0; i < b->kernels.count; i++) {
        report_histogram(b, "duration", &b->kernels.items[i].durations, b->kernels.items[i].record->keys[0]);
    }
    const tsm_record **copies = tsm_records_ranked(b->records, TSM_RECORD_COPY, tsm_rank_summary, &count);
    for (size_t i = 0; i < count; i++) {
        report_histogram(b, "bytes", &copies[i]->summaries[1], copies[i]->keys[1]);
    }
    free(copies);
}
