#include "analysis/reports.h"

void
tsm_cells_summary(tsm_builder *builder, const tsm_summary *summary)
{
    tsm_cell_integer(builder, summary->count);
    tsm_cell_integer(builder, summary->sum);
    tsm_cell_real(builder, tsm_summary_average(summary));
    tsm_cell_integer(builder, tsm_summary_quantile(summary, 0.5));
    tsm_cell_integer(builder, tsm_summary_quantile(summary, 0.9));
    tsm_cell_integer(builder, tsm_summary_quantile(summary, 0.99));
    tsm_cell_integer(builder, summary->min);
    tsm_cell_integer(builder, summary->max);
    tsm_cell_real(builder, tsm_summary_deviation(summary));
}

void
tsm_cells_spread(tsm_builder *builder, const tsm_summary *summary)
{
    tsm_cell_real(builder, tsm_summary_average(summary));
    tsm_cell_integer(builder, tsm_summary_quantile(summary, 0.5));
    tsm_cell_integer(builder, summary->min);
    tsm_cell_integer(builder, summary->max);
    tsm_cell_real(builder, tsm_summary_deviation(summary));
}

double
tsm_rank_summary(const tsm_record *record)
{
    return (double)record->summaries[0].sum;
}

double
tsm_rank_second(const tsm_record *record)
{
    return (double)record->fields[1];
}

double
tsm_rank_texts(const tsm_record *record)
{
    (void)record;
    return 0;
}
