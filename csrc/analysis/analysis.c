#include "analysis/analysis.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/answers.h"
#include "analysis/pass.h"

#define PROGRESS_EVENTS ((uint64_t)1 << 18)

tsm_status
tsm_analysis_create(tsm_analysis **out)
{
    tsm_analysis *analysis = malloc(sizeof *analysis);
    if (analysis == NULL || tsm_records_create(&analysis->records) != TSM_OK) {
        free(analysis);
        return TSM_E_NOMEM;
    }
    *out = analysis;
    return TSM_OK;
}

void
tsm_analysis_destroy(tsm_analysis *analysis)
{
    if (analysis != NULL) {
        tsm_records_free(&analysis->records);
        free(analysis);
    }
}

static tsm_status
run(tsm_pass *pass, tsm_cursor *cursor, tsm_analysis_progress progress, void *context, tsm_error *err)
{
    tsm_batch batch;
    tsm_status status;
    uint64_t told = 0;
    while ((status = tsm_cursor_next(cursor, &batch, err)) == TSM_OK) {
        status = tsm_pass_batch(pass, tsm_cursor_tables(cursor), &batch, err);
        if (status != TSM_OK) {
            return status;
        }
        if (progress != NULL && pass->events - told >= PROGRESS_EVENTS) {
            told = pass->events;
            if (!progress(context, told)) {
                return tsm_fail(err, TSM_E_STATE, 0, "the analysis was stopped");
            }
        }
    }
    return status == TSM_E_END ? tsm_pass_end(pass, tsm_cursor_tables(cursor), err) : status;
}

tsm_status
tsm_analysis_add(tsm_analysis *analysis, tsm_cursor *cursor, const char *label, uint64_t begin, uint64_t end,
                 tsm_analysis_progress progress, void *context, tsm_error *err)
{
    tsm_pass *pass = NULL;
    tsm_cursor *ordered = NULL;
    tsm_status status = tsm_cursor_merge(cursor, &ordered);
    if (status != TSM_OK) {
        tsm_cursor_close(cursor);
        return tsm_fail(err, status, 0, "no memory to put events into order");
    }
    status = tsm_pass_create(&analysis->records, label, begin, end, &pass);
    status = status == TSM_OK ? run(pass, ordered, progress, context, err)
                              : tsm_fail(err, status, 0, "no memory for the analysis");
    tsm_pass_destroy(pass);
    tsm_cursor_close(ordered);
    return status;
}

tsm_status
tsm_analysis_save(const tsm_analysis *analysis, uint8_t **data, size_t *size)
{
    return tsm_records_save(&analysis->records, data, size);
}

tsm_status
tsm_analysis_load(const void *data, size_t size, tsm_analysis **out, tsm_error *err)
{
    tsm_analysis *analysis;
    tsm_status status = tsm_analysis_create(&analysis);
    if (status != TSM_OK) {
        return tsm_fail(err, status, 0, "no memory for a partial analysis");
    }
    status = tsm_records_load(&analysis->records, data, size, err);
    if (status != TSM_OK) {
        tsm_analysis_destroy(analysis);
        return status;
    }
    *out = analysis;
    return TSM_OK;
}

tsm_status
tsm_analysis_merge(tsm_analysis *into, const tsm_analysis *from)
{
    return tsm_records_merge(&into->records, &from->records);
}

const char *
tsm_report_name(tsm_report report)
{
    static const char *const names[TSM_REPORT_COUNT] = {
#define X(NAME, name) [TSM_REPORT_##NAME] = name,
        TSM_REPORTS(X)
#undef X
    };
    return names[report];
}

static tsm_reporter *const reporters[TSM_REPORT_COUNT] = {
#define X(NAME, name) [TSM_REPORT_##NAME] = tsm_report_##NAME,
    TSM_REPORTS(X)
#undef X
};

tsm_status
tsm_analysis_finish(const tsm_analysis *analysis, uint32_t wanted, size_t limit, tsm_answers **out)
{
    tsm_answers *answers = calloc(1, sizeof *answers);
    if (answers == NULL || (answers->tables = calloc(TSM_REPORT_COUNT, sizeof *answers->tables)) == NULL) {
        free(answers);
        return TSM_E_NOMEM;
    }
    tsm_builder builder = { .records = &analysis->records, .answers = answers, .limit = limit == 0 ? SIZE_MAX : limit };
    tsm_totals_of(builder.records, &answers->totals);
    builder.failed = !tsm_kernels_of(builder.records, &builder.kernels);
    for (unsigned i = 0; i < TSM_REPORT_COUNT; i++) {
        if ((wanted & TSM_REPORT_BIT(i)) != 0) {
            reporters[i](&builder);
        }
    }
    tsm_find(&builder);
    answers->verdict = tsm_verdict(&builder);
    tsm_kernels_free(&builder.kernels);
    if (builder.failed) {
        tsm_answers_destroy(answers);
        return TSM_E_NOMEM;
    }
    *out = answers;
    return TSM_OK;
}

void
tsm_answers_destroy(tsm_answers *answers)
{
    if (answers == NULL) {
        return;
    }
    for (size_t i = 0; i < answers->table_count; i++) {
        free(answers->tables[i].cells);
    }
    free(answers->tables);
    free(answers->findings);
    tsm_texts_free(answers->texts);
    free(answers);
}
