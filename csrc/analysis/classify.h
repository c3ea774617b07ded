/* What a name says of the event that bears it. Looked at once per name. Private to analysis/. */
#ifndef TSM_ANALYSIS_CLASSIFY_H
#define TSM_ANALYSIS_CLASSIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/trace.h"

/* Bits; a name may have several. Those of calls are meant for RuntimeCall only. */
enum {
    TSM_NAME_COMMUNICATION = 1, /* a kernel that is a collective or a transfer between devices */
    TSM_NAME_PAGEABLE = 2,      /* a copy from or to memory that is not pinned */
    TSM_NAME_STEP = 4,          /* a range that is one step of a loop: number tells which */
    TSM_NAME_SYNC = 8,          /* a call that waits */
    TSM_NAME_ALLOCATE = 16,
    TSM_NAME_COPY = 32,
    TSM_NAME_SET = 64,
    TSM_NAME_ASYNC = 128,
    TSM_NAME_LAUNCH = 256,
    TSM_NAME_GRAPH = 512,
    TSM_NAME_PROFILER_STEP = 1024, /* a step marked by torch.profiler: wins over other steps */
};

typedef struct {
    uint32_t bits;
    uint64_t number; /* of a step */
} tsm_name_class;

tsm_name_class tsm_name_classify(tsm_text name);

/* what is in lower case, and is found in either. */
bool tsm_name_contains(tsm_text name, const char *what);

/* Of 'void a::b<c::d>(e)' it is 'b': the function itself, not what it is made of or for. */
tsm_text tsm_name_base(tsm_text name);

#endif
