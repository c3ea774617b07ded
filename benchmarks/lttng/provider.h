#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER tracesmith_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "provider.h"

#if !defined(TSM_BENCH_LTTNG_PROVIDER_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define TSM_BENCH_LTTNG_PROVIDER_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(
    tracesmith_bench, row, LTTNG_UST_TP_ARGS(uint64_t, first, uint64_t, second, uint64_t, third),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint64_t, first, first)
                            lttng_ust_field_integer(uint64_t, second, second)
                                lttng_ust_field_integer(uint64_t, third, third)))

#endif

#include <lttng/tracepoint-event.h>
