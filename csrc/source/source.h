/* Where events come from. A source is started and stopped by the session and emits through
 * ring/ring.h from whatever thread it likes; it knows nothing of files. */
#ifndef TSM_SOURCE_SOURCE_H
#define TSM_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define TSM_SIMULATION_DEVICES_MAX 64
#define TSM_SIMULATION_STREAMS_MAX 32
#define TSM_SIMULATION_LAYERS_MAX  4096

/* A synthetic training job: what ordinary GPU work looks like, with known answers. */
typedef struct {
    uint64_t seed;
    uint32_t devices;         /* 1..64 */
    uint32_t streams;         /* compute streams per device, 1..32 */
    uint32_t steps;           /* training steps, at least 1 */
    uint32_t layers;          /* of the model, 1..4096: one kernel per stream forward, two backward */
    uint64_t begin_ns;        /* where the job starts; 0: now */
    uint32_t omit;            /* TSM_OMIT_...: what is not recorded; the job is the same */
    bool paced;               /* keep to the clock: a step is not begun before its time has come */
    const _Atomic bool *stop; /* looked at between steps: true ends the job early; may be NULL */
} tsm_simulation;

enum {
    TSM_OMIT_KERNELS = 1, /* and their launches */
    TSM_OMIT_COPIES = 2,
    TSM_OMIT_MEMSETS = 4,
    TSM_OMIT_SYNCS = 8,
    TSM_OMIT_ALLOCATIONS = 16,
    TSM_OMIT_STACKS = 32,        /* of launches */
    TSM_OMIT_LAUNCH_SHAPES = 64, /* of kernels */
    TSM_OMIT_COPY_DETAILS = 128, /* addresses of copies */
};

/* What an analysis of the simulated trace must find.
 *
 * The device is *busy* while a kernel, copy, memset or collective runs on any of its streams.
 * Between its first and its last activity it is busy or idle, and every idle nanosecond has one
 * cause: 'input' while the host thread is inside DataLoader.__next__; else 'sync' if the gap
 * began inside a StreamSync or DeviceSync of the host, which therefore could launch nothing in
 * time; else 'launch': the host was simply slower than the device. So
 *     active = busy + idle_input + idle_sync + idle_launch. */
typedef struct {
    /* Of all devices. */
    uint64_t events; /* emitted, all types, without what is omitted; extension records not counted */
    uint64_t kernels, copies, memsets, collectives;
    uint64_t launches; /* runtime calls, one for each of the four above */
    uint64_t allocations, frees;
    uint64_t wall_ns; /* from the first event's start to the last event's end */
    /* Of device 0. */
    uint64_t active_ns;        /* from the start of the first activity to the end of the last */
    uint64_t busy_ns;          /* union of all activities */
    uint64_t kernel_busy_ns;   /* union of kernels, without collectives */
    uint64_t communication_ns; /* union of collectives */
    uint64_t overlap_ns;       /* a kernel and a collective at once */
    uint64_t idle_input_ns, idle_sync_ns, idle_launch_ns;
    uint64_t copied_bytes; /* host to device */
    uint64_t peak_bytes;   /* most that was allocated at once */
    uint64_t leaked_bytes; /* allocated and never freed */
    uint64_t leaked_count;
} tsm_simulation_answers;

TSM_EXPORT tsm_simulation tsm_simulation_default(void);

/* Emits the whole job into the running session, as fast as it can. The same config gives the
 * same events, whatever the machine. answers may be NULL. TSM_E_STATE: no session is running,
 * or it ended meanwhile. Refused events are the session's to count: answers describe all. */
TSM_EXPORT TSM_NODISCARD tsm_status tsm_simulation_run(const tsm_simulation *config, tsm_simulation_answers *answers,
                                                       tsm_error *err);

#endif
