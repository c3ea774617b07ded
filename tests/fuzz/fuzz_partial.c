/* A saved analysis from anywhere: refused, or merged and answered. */
#include <stdlib.h>

#include "analysis/analysis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tsm_analysis *analysis, *sum;
    tsm_answers *answers;
    tsm_error error;
    if (tsm_analysis_load(data, size, &analysis, &error) != TSM_OK) {
        return 0;
    }
    if (tsm_analysis_create(&sum) == TSM_OK) {
        if (tsm_analysis_merge(sum, analysis) == TSM_OK && tsm_analysis_merge(sum, analysis) == TSM_OK
            && tsm_analysis_finish(sum, TSM_REPORT_ALL, 10, &answers) == TSM_OK) {
            tsm_answers_destroy(answers);
        }
        tsm_analysis_destroy(sum);
    }
    tsm_analysis_destroy(analysis);
    return 0;
}
