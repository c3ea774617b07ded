/* For the units of analysis/: a trace made event by event, and cells of answers by name. */
#ifndef TSM_TESTS_ANALYSIS_CHECK_H
#define TSM_TESTS_ANALYSIS_CHECK_H

#include <stdbool.h>

#include "analysis/analysis.h"
#include "trace/trace.h"
#include "unit.h"

static inline tsm_analysis *
check_new(void)
{
    tsm_analysis *analysis;
    CHECK_EQUAL(tsm_analysis_create(&analysis), TSM_OK);
    return analysis;
}

static inline void
check_add(tsm_analysis *analysis, const tsm_batch *batch, tsm_tables *tables, const char *label)
{
    tsm_cursor *cursor;
    tsm_error error = { 0 };
    CHECK_EQUAL(tsm_batch_cursor(batch, tables, 0, UINT64_MAX, &cursor), TSM_OK);
    tsm_status status = tsm_analysis_add(analysis, cursor, label, 0, UINT64_MAX, NULL, NULL, &error);
    CHECK(status == TSM_OK || puts(error.text) < 0);
}

static inline tsm_answers *
check_finish(const tsm_analysis *analysis)
{
    tsm_answers *answers;
    CHECK_EQUAL(tsm_analysis_finish(analysis, TSM_REPORT_ALL, 0, &answers), TSM_OK);
    CHECK_EQUAL(answers->table_count, TSM_REPORT_COUNT);
    return answers;
}

static inline const tsm_cell *
check_cell(const tsm_answers *answers, tsm_report report, size_t row, const char *column)
{
    const tsm_answer_table *table = &answers->tables[report];
    CHECK(row < table->row_count);
    for (size_t i = 0; i < table->column_count; i++) {
        if (strcmp(table->columns[i].name, column) == 0) {
            return &table->cells[row * table->column_count + i];
        }
    }
    fprintf(stderr, "%s has no column %s\n", tsm_report_name(report), column);
    exit(1);
}

static inline uint64_t
check_integer(const tsm_answers *answers, tsm_report report, size_t row, const char *column)
{
    const tsm_cell *cell = check_cell(answers, report, row, column);
    CHECK_EQUAL(cell->type, TSM_CELL_INTEGER);
    return cell->integer;
}

static inline bool
check_is(const tsm_cell *cell, const char *text)
{
    return cell->type == TSM_CELL_TEXT && cell->text.size == strlen(text)
           && memcmp(cell->text.data, text, cell->text.size) == 0;
}

/* The first row whose cells say so; column2 may be NULL. SIZE_MAX: there is none. */
static inline size_t
check_find(const tsm_answers *answers, tsm_report report, const char *column, const char *text, const char *column2,
           const char *text2)
{
    for (size_t row = 0; row < answers->tables[report].row_count; row++) {
        if (check_is(check_cell(answers, report, row, column), text)
            && (column2 == NULL || check_is(check_cell(answers, report, row, column2), text2))) {
            return row;
        }
    }
    return SIZE_MAX;
}

static inline uint64_t
check_cause(const tsm_answers *answers, const char *cause)
{
    size_t row = check_find(answers, TSM_REPORT_CAUSES, "cause", cause, NULL, NULL);
    return row == SIZE_MAX ? 0 : check_integer(answers, TSM_REPORT_CAUSES, row, "total");
}

static inline const tsm_finding *
check_finding(const tsm_answers *answers, const char *id)
{
    for (size_t i = 0; i < answers->finding_count; i++) {
        if (strcmp(answers->findings[i].id, id) == 0) {
            return &answers->findings[i];
        }
    }
    return NULL;
}

/* What must hold of every trace. */
static inline void
check_sums(const tsm_answers *answers)
{
    const tsm_totals *t = &answers->totals;
    CHECK_EQUAL(t->window_ns, t->compute_ns + t->exposed_communication_ns + t->exposed_memory_ns + t->idle_ns);
    CHECK_EQUAL(t->communication_ns, t->exposed_communication_ns + t->overlap_ns);
    uint64_t causes = 0, culprits = 0;
    for (size_t i = 0; i < answers->tables[TSM_REPORT_CAUSES].row_count; i++) {
        causes += check_integer(answers, TSM_REPORT_CAUSES, i, "total");
    }
    for (size_t i = 0; i < answers->tables[TSM_REPORT_CULPRITS].row_count; i++) {
        culprits += check_integer(answers, TSM_REPORT_CULPRITS, i, "total");
    }
    CHECK_EQUAL(causes, t->idle_ns);
    CHECK_EQUAL(culprits, t->idle_ns);
    for (size_t i = 1; i < answers->finding_count; i++) {
        CHECK(answers->findings[i - 1].cost_ns >= answers->findings[i].cost_ns);
    }
}

#endif
