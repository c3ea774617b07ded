/* Files of the earlier TraceSmith, SBT 0.1. Private to ingest/. */
#ifndef TSM_INGEST_SBT01_H
#define TSM_INGEST_SBT01_H

#include "ingest/input.h"

TSM_NODISCARD tsm_status tsm_ingest_sbt01(tsm_input *input, tsm_sink *sink, tsm_ingest_report *report, tsm_error *err);

#endif
