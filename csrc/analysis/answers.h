/* How answers are put together. Private to analysis/. */
#ifndef TSM_ANALYSIS_ANSWERS_H
#define TSM_ANALYSIS_ANSWERS_H

#include "analysis/analysis.h"
#include "analysis/records.h"

struct tsm_analysis {
    tsm_records records;
};

/* Texts that were made for the answers, in blocks that never move. */
typedef struct tsm_answers_texts {
    struct tsm_answers_texts *next;
    size_t used, size;
    char data[];
} tsm_answers_texts;

typedef struct {
    const tsm_record *record;
    tsm_summary durations;
    size_t order; /* by name */
} tsm_kernel;

/* The one with the most time first. */
typedef struct {
    tsm_kernel *items;
    size_t count;
} tsm_kernels;

/* False: no memory; what is there is to be freed all the same. */
bool tsm_kernels_of(const tsm_records *records, tsm_kernels *kernels);
void tsm_kernels_free(tsm_kernels *kernels);

typedef struct {
    const tsm_records *records;
    tsm_kernels kernels;
    tsm_answers *answers;
    tsm_answer_table *table; /* the one being filled */
    size_t cells_capacity, cell, limit;
    bool failed;
} tsm_builder;

tsm_text tsm_texts_format(tsm_answers_texts **texts, bool *failed, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tsm_texts_free(tsm_answers_texts *texts);
/* For printf's "%.*s". */
#define TSM_TEXT(text) (int)((text).size > 4096 ? 4096 : (text).size), (text).data

/* The records of a kind, the greatest first by what rank gives, equal ones by their texts. The
 * caller frees it; NULL when there are none, or no memory. */
typedef double tsm_rank(const tsm_record *record);
const tsm_record **tsm_records_ranked(const tsm_records *records, tsm_record_kind kind, tsm_rank *rank, size_t *count);

void tsm_table_begin(tsm_builder *builder, tsm_report report, const tsm_answer_column *columns, size_t count);
/* False when the limit has been reached: the row is counted and not wanted. */
bool tsm_table_row(tsm_builder *builder);
void tsm_cell_integer(tsm_builder *builder, uint64_t value);
void tsm_cell_real(tsm_builder *builder, double value);
void tsm_cell_text(tsm_builder *builder, tsm_text text);
void tsm_cell_key(tsm_builder *builder, uint32_t text); /* a row of the records' strings */
void tsm_cell_none(tsm_builder *builder);
/* In %, or nothing when the whole is nothing. */
void tsm_cell_share(tsm_builder *builder, double part, double whole);

void tsm_totals_of(const tsm_records *records, tsm_totals *totals);
uint64_t tsm_cause_ns(const tsm_records *records, const char *id);

/* One for each report. */
typedef void tsm_reporter(tsm_builder *builder);
#define X(NAME, name) tsm_reporter tsm_report_##NAME;
TSM_REPORTS(X)
#undef X

/* rules.c, verdict.c */
void tsm_find(tsm_builder *builder);
tsm_text tsm_verdict(tsm_builder *builder);
double tsm_busbw_factor(tsm_text name, uint64_t ranks);

#endif
