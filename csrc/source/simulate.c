/* A training job on simulated devices, in virtual time: what happens in which order. Devices
 * have a host thread each and meet in collectives alone. Integers only, and no clock is read
 * after the begin, so every machine makes the same events from the same seed. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "ring/ring.h"
#include "source/simulate.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define LOAD_NS           45000 /* a batch that is ready */
#define SLOW_LOAD_NS      11000000
#define SLOW_LOAD_EVERY   5
#define LOG_NS            900000
#define LOG_EVERY         4
#define DEVICE_SYNC_EVERY 8
#define LEAK_EVERY        4
#define EPOCH_STEPS       10

#define BATCH_BYTES       (16 * MIB)
#define LAYER_BYTES       (12 * MIB)
#define LINK_BYTES_PER_NS 128

/* A device's addresses: 1 TiB each, in regions whose slots are larger than what they hold. */
#define DEVICE_ADDRESS(ordinal) (0x200000000000u + ((uint64_t)(ordinal) << 40))
#define HOST_ADDRESS            0x7f3a40000000u
#define SLOT_BYTES              (32 * MIB)
#define ACTIVATIONS             (256 * GIB)
#define INPUTS                  (512 * GIB)
#define LEAKS                   (640 * GIB)

static uint64_t
parameter_address(const tsm_trainer *t, uint32_t layer)
{
    return DEVICE_ADDRESS(t->ordinal) + layer * SLOT_BYTES;
}

static uint64_t
activation_address(const tsm_trainer *t, uint32_t layer)
{
    return DEVICE_ADDRESS(t->ordinal) + ACTIVATIONS + layer * SLOT_BYTES;
}

/* Longer in some layers than in others, and in every step another sequence length. */
static uint64_t
activation_bytes(const tsm_trainer *t, uint32_t layer)
{
    return (1 + layer % 3) * t->activation_unit;
}

static void
load_batch(tsm_trainer *t, uint32_t step)
{
    bool slow = step % SLOW_LOAD_EVERY == SLOW_LOAD_EVERY - 1;
    tsm_trainer_load(t, slow ? SLOW_LOAD_NS : LOAD_NS);
    /* Two buffers in turn: the previous step may still read the other one. */
    uint64_t half = step % 2 * BATCH_BYTES;
    tsm_trainer_stream *on = tsm_trainer_copy_stream(t);
    tsm_trainer_copy(t, on, TSM_EVENT_MEMCPY_H2D, HOST_ADDRESS + half, DEVICE_ADDRESS(t->ordinal) + INPUTS + half,
                     BATCH_BYTES);
    tsm_trainer_wait(t, &t->streams[0], tsm_trainer_record(t, on));
}

static void
run_forward(tsm_trainer *t)
{
    uint64_t begin = t->now;
    t->activation_unit = (4 + tsm_trainer_random(t, 4)) * MIB;
    for (uint32_t layer = 0; layer < t->job->config.layers; layer++) {
        tsm_trainer_allocate(t, activation_address(t, layer), activation_bytes(t, layer), t->world->activation_stack);
        tsm_trainer_fork(t);
        for (uint32_t s = 0; s < t->compute_streams; s++) {
            tsm_trainer_launch(t, &t->streams[s], &t->world->forward[(layer + 5 * s) % TSM_WORLD_FORWARD], layer);
        }
        tsm_trainer_join(t);
    }
    tsm_trainer_range(t, TSM_EVENT_RANGE, t->world->names.forward_range, begin);
}

/* loss.item(): the host learns the loss, and meanwhile launches nothing. */
static void
fetch_loss(tsm_trainer *t)
{
    tsm_trainer_count_memory(t);
    tsm_trainer_copy(t, &t->streams[0], TSM_EVENT_MEMCPY_D2H, HOST_ADDRESS + 2 * BATCH_BYTES, activation_address(t, 0),
                     4);
    tsm_trainer_synchronize(t, &t->streams[0]);
}

/* Straight after the host waited, when it has no lead over the device. */
static void
log_activations(tsm_trainer *t, uint32_t step)
{
    if (step % LOG_EVERY == 0) {
        tsm_trainer_compute(t, t->world->names.log_metrics, LOG_NS);
    }
    for (uint32_t layer = 0; layer < t->job->config.layers; layer++) {
        tsm_trainer_launch(t, &t->streams[0], &t->world->norm, layer);
    }
}

static void
run_backward(tsm_trainer *t)
{
    uint64_t begin = t->now;
    uint32_t bucket = (t->job->config.layers + TSM_TRAINER_BUCKETS - 1) / TSM_TRAINER_BUCKETS, in_bucket = 0;
    t->all_reduce_count = 0;
    for (uint32_t layer = t->job->config.layers; layer-- > 0;) {
        tsm_trainer_fork(t);
        for (uint32_t s = 0; s < t->compute_streams; s++) {
            uint32_t kind = 2 * layer + 5 * s;
            tsm_trainer_launch(t, &t->streams[s], &t->world->backward[kind % TSM_WORLD_BACKWARD], layer);
            tsm_trainer_launch(t, &t->streams[s], &t->world->backward[(kind + 1) % TSM_WORLD_BACKWARD], layer);
        }
        tsm_trainer_join(t);
        tsm_trainer_release(t, activation_address(t, layer), activation_bytes(t, layer));
        if (++in_bucket == bucket || layer == 0) {
            tsm_trainer_launch_all_reduce(t, in_bucket * LAYER_BYTES);
            in_bucket = 0;
        }
    }
    tsm_trainer_range(t, TSM_EVENT_RANGE, t->world->names.backward_range, begin);
}

/* A collective begins on each device when that one is ready, and ends on all at once. */
static void
exchange_gradients(tsm_job *j)
{
    for (uint32_t index = 0; index < j->trainers[0].all_reduce_count; index++) {
        uint64_t last = 0;
        for (uint32_t i = 0; i < j->config.devices; i++) {
            uint64_t begin = tsm_trainer_all_reduce_begin(&j->trainers[i], index);
            last = begin > last ? begin : last;
        }
        uint64_t end = last + 18000 + j->trainers[0].all_reduces[index].bytes / LINK_BYTES_PER_NS;
        j->sequence++;
        for (uint32_t i = 0; i < j->config.devices; i++) {
            tsm_trainer_finish_all_reduce(&j->trainers[i], index, end);
        }
    }
}

static void
run_optimizer(tsm_trainer *t)
{
    uint64_t begin = t->now;
    tsm_trainer_stream *on = &t->streams[0];
    tsm_trainer_wait(t, on, tsm_trainer_record(t, tsm_trainer_communication_stream(t)));
    for (uint32_t i = 0; i < TSM_WORLD_OPTIMIZER; i++) {
        tsm_trainer_launch(t, on, &t->world->optimizer[i], t->job->config.layers);
    }
    tsm_trainer_clear(t, on, t->job->config.layers * LAYER_BYTES);
    tsm_trainer_range(t, TSM_EVENT_RANGE, t->world->names.optimizer_range, begin);
}

static void
leak(tsm_trainer *t)
{
    uint64_t bytes = (1 + tsm_trainer_random(t, 4)) * (64 << 10);
    tsm_trainer_allocate(t, t->leak_address, bytes, t->world->leak_stack);
    t->leak_address += bytes;
    if (t->ordinal == 0) {
        t->job->answers.leaked_bytes += bytes;
        t->job->answers.leaked_count++;
    }
}

static void
begin_step(tsm_trainer *t, uint32_t step)
{
    t->step_began = t->now;
    if (step % EPOCH_STEPS == 0) {
        tsm_event epoch = {
            .timestamp = t->now,
            .value = step / EPOCH_STEPS,
            .name = t->world->names.epoch,
            .thread = t->rows.thread,
            .type = TSM_EVENT_MARKER,
            .flags = TSM_VALUE_INTEGER,
        };
        tsm_trainer_emit(t, &epoch, NULL);
    }
}

static void
end_step(tsm_trainer *t, uint32_t step, uint32_t name)
{
    if (step % LEAK_EVERY == 1) {
        leak(t);
    }
    tsm_trainer_count_memory(t);
    if ((step + 1) % DEVICE_SYNC_EVERY == 0) {
        tsm_trainer_synchronize_device(t);
    }
    tsm_trainer_range(t, TSM_EVENT_RANGE, name, t->step_began);
}

static void
run_step(tsm_job *j, uint32_t step)
{
    for (uint32_t i = 0; i < j->config.devices; i++) {
        tsm_trainer *t = &j->trainers[i];
        begin_step(t, step);
        load_batch(t, step);
        run_forward(t);
        fetch_loss(t);
        log_activations(t, step);
        run_backward(t);
    }
    exchange_gradients(j);
    char name[32];
    int size = snprintf(name, sizeof name, "ProfilerStep#%" PRIu32, step);
    uint32_t name_row = tsm_ring_text(TSM_TABLE_STRINGS, name, (size_t)size);
    for (uint32_t i = 0; i < j->config.devices; i++) {
        run_optimizer(&j->trainers[i]);
        end_step(&j->trainers[i], step, name_row);
    }
}

static void
set_up(tsm_job *j, tsm_trainer *t, uint32_t ordinal)
{
    t->job = j;
    t->world = &j->world;
    t->ordinal = ordinal;
    t->compute_streams = j->config.streams;
    t->now = t->job->config.begin_ns;
    t->random = t->job->config.seed + ordinal * 0xd1342543de82ef95u;
    t->leak_address = DEVICE_ADDRESS(ordinal) + LEAKS;
    tsm_world_add_device(&t->job->world, ordinal, t->compute_streams, &t->rows);
    tsm_trainer_call(t, TSM_EVENT_CONTEXT_CREATE, t->world->names.context_create, t->rows.whole, 210000);
    for (uint32_t i = 0; i < t->compute_streams + TSM_WORLD_EXTRA_STREAMS; i++) {
        t->streams[i].row = t->rows.streams[i];
        tsm_trainer_call(t, TSM_EVENT_STREAM_CREATE, t->world->names.stream_create, t->rows.streams[i], 5200);
    }
    for (uint32_t layer = 0; layer < t->job->config.layers; layer++) {
        tsm_trainer_allocate(t, parameter_address(t, layer), LAYER_BYTES, t->world->setup_stack);
    }
    tsm_trainer_allocate(t, DEVICE_ADDRESS(ordinal) + INPUTS, 2 * BATCH_BYTES, t->world->load_stack);
}

static void
tear_down(tsm_trainer *t)
{
    tsm_trainer_synchronize_device(t);
    tsm_trainer_release(t, DEVICE_ADDRESS(t->ordinal) + INPUTS, 2 * BATCH_BYTES);
    for (uint32_t layer = 0; layer < t->job->config.layers; layer++) {
        tsm_trainer_release(t, parameter_address(t, layer), LAYER_BYTES);
    }
    for (uint32_t i = 0; i < t->compute_streams + TSM_WORLD_EXTRA_STREAMS; i++) {
        tsm_trainer_call(t, TSM_EVENT_STREAM_DESTROY, t->world->names.stream_destroy, t->rows.streams[i], 3100);
    }
    tsm_trainer_call(t, TSM_EVENT_CONTEXT_DESTROY, t->world->names.context_destroy, t->rows.whole, 95000);
}

#define PACE_SLICE_NS 20000000

static bool
is_stopped(const tsm_job *j)
{
    return j->config.stop != NULL && atomic_load(j->config.stop);
}

/* Sleeps until the clock shows the host thread's time, or the job is stopped. */
static void
keep_pace(const tsm_job *j)
{
    for (uint64_t now = tsm_clock_ns(); now < j->trainers[0].now && !is_stopped(j); now = tsm_clock_ns()) {
        uint64_t left = j->trainers[0].now - now;
        nanosleep(&(struct timespec){ .tv_nsec = (long)(left < PACE_SLICE_NS ? left : PACE_SLICE_NS) }, NULL);
    }
}

static tsm_status
run_steps(tsm_job *j, tsm_error *err)
{
    for (uint32_t step = 0; step < j->config.steps && !is_stopped(j); step++) {
        if (j->config.paced) {
            keep_pace(j);
        }
        if (tsm_ring_process() == 0) {
            return tsm_fail(err, TSM_E_STATE, 0, "the session ended before step %" PRIu32 " of the simulation", step);
        }
        run_step(j, step);
        tsm_ledger_settle(&j->ledger, j->trainers[0].now);
        if (j->ledger.out_of_memory) {
            return tsm_fail(err, TSM_E_NOMEM, 0, "out of memory in step %" PRIu32 " of the simulation", step);
        }
    }
    return TSM_OK;
}

static tsm_status
run_job(tsm_job *j, tsm_error *err)
{
    for (uint32_t i = 0; i < j->config.devices; i++) {
        set_up(j, &j->trainers[i], i);
    }
    tsm_status status = run_steps(j, err);
    if (status != TSM_OK) {
        return status;
    }
    for (uint32_t i = 0; i < j->config.devices; i++) {
        tear_down(&j->trainers[i]);
    }
    tsm_ledger_settle(&j->ledger, UINT64_MAX);
    tsm_ledger_answer(&j->ledger, &j->answers);
    j->answers.wall_ns = j->end_ns - j->config.begin_ns;
    return TSM_OK;
}

static tsm_status
check(const tsm_simulation *config, tsm_error *err)
{
    if (config->devices < 1 || config->devices > TSM_SIMULATION_DEVICES_MAX || config->streams < 1
        || config->streams > TSM_SIMULATION_STREAMS_MAX || config->layers < 1
        || config->layers > TSM_SIMULATION_LAYERS_MAX || config->steps < 1) {
        return tsm_fail(err, TSM_E_ARG, 0,
                        "a simulation takes 1 to %d devices, 1 to %d streams, 1 to %d layers and at least one step",
                        TSM_SIMULATION_DEVICES_MAX, TSM_SIMULATION_STREAMS_MAX, TSM_SIMULATION_LAYERS_MAX);
    }
    /* Leaves 292 years for the job itself. */
    if (config->begin_ns > INT64_MAX) {
        return tsm_fail(err, TSM_E_ARG, 0, "a simulation cannot begin at %" PRIu64 " ns", config->begin_ns);
    }
    return TSM_OK;
}

tsm_simulation
tsm_simulation_default(void)
{
    return (tsm_simulation){ .seed = 1, .devices = 1, .streams = 2, .steps = 20, .layers = 24 };
}

tsm_status
tsm_simulation_run(const tsm_simulation *config, tsm_simulation_answers *answers, tsm_error *err)
{
    tsm_status status = check(config, err);
    if (status != TSM_OK) {
        return status;
    }
    uint32_t process = tsm_ring_process();
    if (process == 0) {
        return tsm_fail(err, TSM_E_STATE, 0, "no session is running: start one, then simulate");
    }
    tsm_job *j = calloc(1, sizeof *j);
    tsm_trainer *trainers = calloc(config->devices, sizeof *trainers);
    if (j == NULL || trainers == NULL) {
        free(trainers);
        free(j);
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for %" PRIu32 " simulated devices", config->devices);
    }
    j->config = *config;
    j->config.begin_ns = config->begin_ns == 0 ? tsm_clock_ns() : config->begin_ns;
    j->trainers = trainers;
    j->ledger.stream_count = config->streams + TSM_WORLD_EXTRA_STREAMS;
    tsm_world_make(&j->world, process);
    status = run_job(j, err);
    if (status == TSM_OK && answers != NULL) {
        *answers = j->answers;
    }
    tsm_ledger_free(&j->ledger);
    free(trainers);
    free(j);
    return status;
}
