/* What the reports have in common. Private to analysis/. */
#ifndef TSM_ANALYSIS_REPORTS_H
#define TSM_ANALYSIS_REPORTS_H

#include <stdlib.h>

#include "analysis/answers.h"

/* clang-format off */
#define INTEGER(name, unit) { (name), (unit), TSM_CELL_INTEGER }
#define REAL(name, unit)    { (name), (unit), TSM_CELL_REAL }
#define WORDS(name)         { (name), "", TSM_CELL_TEXT }
#define SHARE(name)         { (name), "%", TSM_CELL_REAL }
#define SUMMARY_COLUMNS(unit)                                                                              \
    INTEGER("count", ""), INTEGER("total", unit), REAL("avg", unit), INTEGER("med", unit), INTEGER("p90", unit), \
    INTEGER("p99", unit), INTEGER("min", unit), INTEGER("max", unit), REAL("std", unit)
/* clang-format on */

#define BEGIN_TABLE(builder, REPORT, columns) \
    tsm_table_begin((builder), TSM_REPORT_##REPORT, (columns), sizeof(columns) / sizeof *(columns))

/* count, total, avg, med, p90, p99, min, max, std */
void tsm_cells_summary(tsm_builder *builder, const tsm_summary *summary);
/* avg, med, min, max, std */
void tsm_cells_spread(tsm_builder *builder, const tsm_summary *summary);

double tsm_rank_summary(const tsm_record *record); /* by the sum of the first summary */
double tsm_rank_second(const tsm_record *record);  /* by field 1 */
double tsm_rank_texts(const tsm_record *record);   /* none: by the texts alone */

#endif
