/* What the parts of the simulator share: the world (who takes part, as rows of tables), the
 * ledger (the answers, kept while events are made), and the trainers, a host thread with a
 * device each, out of which simulate.c makes the job. */
#ifndef TSM_SOURCE_SIMULATE_H
#define TSM_SOURCE_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source/source.h"
#include "trace/event.h"

/* ---- The world ---------------------------------------------------------------------------- */

#define TSM_WORLD_SHAPES 4

/* A kind of kernel and the operator that launches it. */
typedef struct {
    uint32_t name, operator, stack;
    uint32_t shapes[TSM_WORLD_SHAPES]; /* rows of launches, each with twice the blocks of the last */
    uint32_t typical_ns;
} tsm_world_kernel;

#define TSM_WORLD_FORWARD   12
#define TSM_WORLD_BACKWARD  14
#define TSM_WORLD_OPTIMIZER 4

/* X(member, text) */
#define TSM_WORLD_NAMES(X)                                                                      \
    X(log_metrics, "log_metrics")                                                               \
    X(load_batch, "DataLoader.__next__")                                                        \
    X(launch_kernel, "cudaLaunchKernel")                                                        \
    X(launch_collective, "cudaLaunchKernelExC")                                                 \
    X(call_copy, "cudaMemcpyAsync")                                                             \
    X(call_memset, "cudaMemsetAsync")                                                           \
    X(event_record, "cudaEventRecord")                                                          \
    X(stream_wait, "cudaStreamWaitEvent")                                                       \
    X(stream_sync, "cudaStreamSynchronize")                                                     \
    X(device_sync, "cudaDeviceSynchronize")                                                     \
    X(allocate, "cudaMallocAsync")                                                              \
    X(free, "cudaFreeAsync")                                                                    \
    X(context_create, "cuCtxCreate")                                                            \
    X(context_destroy, "cuCtxDestroy")                                                          \
    X(stream_create, "cudaStreamCreateWithPriority")                                            \
    X(stream_destroy, "cudaStreamDestroy")                                                      \
    X(copy_to_device, "Memcpy HtoD (Pinned -> Device)")                                         \
    X(copy_to_host, "Memcpy DtoH (Device -> Pageable)")                                         \
    X(memset_device, "Memset (Device)")                                                         \
    X(all_reduce, "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)") \
    X(memory_counter, "GPU memory")                                                             \
    X(epoch, "epoch")                                                                           \
    X(forward_range, "forward")                                                                 \
    X(backward_range, "backward")                                                               \
    X(optimizer_range, "optimizer")

typedef struct {
    uint32_t process;
    struct {
#define X(member, text) uint32_t member;
        TSM_WORLD_NAMES(X)
#undef X
    } names;
    tsm_world_kernel forward[TSM_WORLD_FORWARD];
    tsm_world_kernel backward[TSM_WORLD_BACKWARD];
    tsm_world_kernel optimizer[TSM_WORLD_OPTIMIZER];
    tsm_world_kernel norm;
    uint32_t setup_stack, load_stack, loss_stack, reduce_stack, zero_stack, activation_stack, leak_stack;
    uint32_t allocation_schema; /* address, in_use: bytes allocated on the device from now on */
    uint32_t copy_schema;       /* source, destination */
    uint32_t collective_schema; /* sequence, bytes, ranks */
} tsm_world;

/* A device's streams are its compute streams, then these two. */
enum { TSM_WORLD_COPY_STREAM, TSM_WORLD_COMMUNICATION_STREAM, TSM_WORLD_EXTRA_STREAMS };

typedef struct {
    uint32_t device, thread, counter;
    uint32_t whole; /* the streamless row of device-wide operations */
    uint32_t streams[TSM_SIMULATION_STREAMS_MAX + TSM_WORLD_EXTRA_STREAMS];
} tsm_world_device;

void tsm_world_make(tsm_world *world, uint32_t process);
void tsm_world_add_device(const tsm_world *world, uint32_t ordinal, uint32_t streams, tsm_world_device *out);

/* ---- The ledger --------------------------------------------------------------------------- */

typedef enum { TSM_WORK_KERNEL, TSM_WORK_COLLECTIVE, TSM_WORK_OTHER } tsm_work;

typedef struct {
    uint64_t begin, end;
    tsm_work work;
} tsm_ledger_span;

typedef struct {
    tsm_ledger_span *spans;
    size_t first, count, capacity; /* those from first on are not settled yet */
} tsm_ledger_queue;

/* Follows one device. Every stream, the host's loads and its syncs are queues, each in time
 * order by itself; settling merges them up to a time before which nothing more can begin. */
typedef struct {
    tsm_ledger_queue streams[TSM_SIMULATION_STREAMS_MAX + TSM_WORLD_EXTRA_STREAMS];
    uint32_t stream_count;
    tsm_ledger_queue loads, syncs;
    bool out_of_memory;
    bool active;
    uint64_t first_ns;
    /* Up to where the device has been covered by: anything, kernels, collectives, either. */
    uint64_t covered, kernels_covered, collectives_covered, either_covered;
    uint64_t busy_ns, kernel_busy_ns, communication_ns, either_ns;
    uint64_t idle_input_ns, idle_sync_ns, idle_launch_ns;
} tsm_ledger;

void tsm_ledger_work(tsm_ledger *ledger, uint32_t stream, tsm_work work, uint64_t begin, uint64_t end);
void tsm_ledger_load(tsm_ledger *ledger, uint64_t begin, uint64_t end);
void tsm_ledger_sync(tsm_ledger *ledger, uint64_t begin, uint64_t end);
void tsm_ledger_settle(tsm_ledger *ledger, uint64_t horizon);
/* After everything is settled. */
void tsm_ledger_answer(const tsm_ledger *ledger, tsm_simulation_answers *answers);
void tsm_ledger_free(tsm_ledger *ledger);

/* ---- Trainers ----------------------------------------------------------------------------- */

#define TSM_TRAINER_BUCKETS 4

typedef struct {
    tsm_simulation config;
    tsm_world world;
    struct tsm_trainer *trainers;
    tsm_ledger ledger;
    tsm_simulation_answers answers;
    uint64_t correlation, cuda_event, sequence; /* the last that was given out */
    uint64_t end_ns;
} tsm_job;

typedef struct {
    uint32_t row;
    uint64_t free_ns; /* when everything it has been given ends */
} tsm_trainer_stream;

/* A point in a stream's order that others can wait for. */
typedef struct {
    uint64_t id, done_ns;
} tsm_trainer_mark;

/* Launched, but whether all partners have arrived is not known yet. */
typedef struct {
    uint64_t ready_ns, correlation, bytes;
} tsm_trainer_all_reduce;

typedef struct tsm_trainer {
    tsm_job *job;
    const tsm_world *world;
    tsm_world_device rows;
    uint32_t ordinal, compute_streams;
    tsm_trainer_stream streams[TSM_SIMULATION_STREAMS_MAX + TSM_WORLD_EXTRA_STREAMS];
    uint64_t now; /* of the host thread */
    uint64_t step_began, random;
    uint64_t activation_unit; /* bytes; another in every step */
    uint64_t in_use, leak_address;
    tsm_trainer_all_reduce all_reduces[TSM_TRAINER_BUCKETS];
    uint32_t all_reduce_count;
} tsm_trainer;

uint64_t tsm_trainer_random(tsm_trainer *t, uint64_t limit); /* below limit */
tsm_trainer_stream *tsm_trainer_copy_stream(tsm_trainer *t);
tsm_trainer_stream *tsm_trainer_communication_stream(tsm_trainer *t);

/* extension may be NULL. */
void tsm_trainer_emit(tsm_trainer *t, const tsm_event *event, const tsm_extension *extension);

/* The host thread only. Times are typical: what really passes varies by an eighth. */
void tsm_trainer_range(tsm_trainer *t, tsm_event_type type, uint32_t name, uint64_t begin); /* to now */
void tsm_trainer_call(tsm_trainer *t, tsm_event_type type, uint32_t name, uint32_t stream_row, uint64_t typical_ns);
void tsm_trainer_compute(tsm_trainer *t, uint32_t name, uint64_t typical_ns);
void tsm_trainer_load(tsm_trainer *t, uint64_t typical_ns);
void tsm_trainer_allocate(tsm_trainer *t, uint64_t address, uint64_t bytes, uint32_t stack);
void tsm_trainer_release(tsm_trainer *t, uint64_t address, uint64_t bytes);
void tsm_trainer_count_memory(tsm_trainer *t);

/* The host waits for the device. */
void tsm_trainer_synchronize(tsm_trainer *t, const tsm_trainer_stream *with);
void tsm_trainer_synchronize_device(tsm_trainer *t);

/* Work: a call of the host, and what it starts on the stream. type: one of the two directions. */
void tsm_trainer_launch(tsm_trainer *t, tsm_trainer_stream *on, const tsm_world_kernel *kind, uint32_t layer);
void tsm_trainer_copy(tsm_trainer *t, tsm_trainer_stream *on, tsm_event_type type, uint64_t host, uint64_t address,
                      uint64_t bytes);
void tsm_trainer_clear(tsm_trainer *t, tsm_trainer_stream *on, uint64_t bytes);

/* Order between streams. fork: the other compute streams wait for the first; join: it for them. */
tsm_trainer_mark tsm_trainer_record(tsm_trainer *t, const tsm_trainer_stream *on);
void tsm_trainer_wait(tsm_trainer *t, tsm_trainer_stream *on, tsm_trainer_mark until);
void tsm_trainer_fork(tsm_trainer *t);
void tsm_trainer_join(tsm_trainer *t);

/* After what the first compute stream has been given. Finished, in order, when all have launched. */
void tsm_trainer_launch_all_reduce(tsm_trainer *t, uint64_t bytes);
uint64_t tsm_trainer_all_reduce_begin(tsm_trainer *t, uint32_t index);
void tsm_trainer_finish_all_reduce(tsm_trainer *t, uint32_t index, uint64_t end);

#endif
