/* What the names of calls and kernels tell, whoever wrote them down. Private to ingest/. */
#ifndef TSM_INGEST_NAMES_H
#define TSM_INGEST_NAMES_H

#include "trace/trace.h"

uint16_t ingest_call_type(tsm_text name);   /* of the driver or runtime */
uint16_t ingest_kernel_type(tsm_text name); /* TSM_EVENT_KERNEL_LAUNCH or TSM_EVENT_COMMUNICATION */
uint16_t ingest_copy_type(tsm_text name);
uint16_t ingest_wait_type(tsm_text name); /* of the device's own record of a wait; else TSM_EVENT_CUSTOM */

#endif
