/* What the rest of TraceSmith may ask of capture/ beyond the C API: the spools that crashes leave. */
#ifndef TSM_CAPTURE_CAPTURE_H
#define TSM_CAPTURE_CAPTURE_H

#include "base/status.h"
#include "tracesmith/tracesmith.h"

typedef struct {
    bool drained;            /* a spool was found, and what it held is in the file now */
    tsm_session_stats stats; /* of the whole run, when drained */
    uint64_t recovered;      /* events that the file did not hold before */
} tsm_recovery;

/* Makes a file whose writer died whole: cuts off what is torn, takes what the spools still hold,
 * closes it, and removes the spools. TSM_E_BUSY while it is still being written. A complete file
 * is left alone. */
TSM_EXPORT TSM_NODISCARD tsm_status tsm_recover(const char *path, tsm_recovery *report, tsm_error *err);

/* Calls found for each run below directory (NULL: the usual place) that nobody reads any more. */
typedef void tsm_orphan_found(void *context, const char *spool_directory, const char *output);
TSM_EXPORT void tsm_find_orphans(const char *directory, tsm_orphan_found *found, void *context);

#endif
