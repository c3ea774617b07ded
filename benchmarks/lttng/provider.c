/* The peer of the emit row: an LTTng-UST tracepoint with 24 bytes. A library of its own, which the
 * measuring child opens, because LTTng's threads do not survive a fork. */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "provider.h"

#include <stdbool.h>

#define VISIBLE __attribute__((visibility("default")))

VISIBLE bool lttng_row_enabled(void);
VISIBLE void lttng_row_trace(uint64_t count);

bool
lttng_row_enabled(void)
{
    return lttng_ust_tracepoint_enabled(tracesmith_bench, row);
}

void
lttng_row_trace(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        lttng_ust_tracepoint(tracesmith_bench, row, i, i & 4095, i & 65535);
    }
}
