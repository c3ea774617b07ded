/* What the benchmark programs share. They speak to run.py in lines: 'pair OURS FLOOR', once per
 * interleaved pair; 'value NUMBER'; 'note TEXT'; 'skip REASON'. */
#ifndef TSM_BENCH_H
#define TSM_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity */
#endif

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tracesmith/tracesmith.h"

#define OUR_CORE   0 /* of what is measured */
#define DRAIN_CORE 1 /* of the session's drain */

static inline void
require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "benchmark: %s\n", what);
        exit(1);
    }
}

static inline void
check(tsm_status status, const tsm_error *err)
{
    require(status == TSM_OK, err->text);
}

/* The calling thread, and the threads it starts from now on. */
static inline void
pin(unsigned core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    require(sched_setaffinity(0, sizeof set, &set) == 0, "cannot pin to a core: two are needed");
}

static inline void
nap_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 }, NULL);
}

/* Keeps the compiler from dropping what computed value. */
static inline void
use(uint64_t value)
{
    __asm__ volatile("" : : "r"(value));
}

#endif
