/* The in-process session: a run, a file, and a thread that drains the one into the other. */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/host.h"
#include "capture/drain.h"
#include "capture/folder.h"
#include "tracesmith/tracesmith.h"

#define DEFAULT_BUFFER (UINT64_C(64) << 20)
#define MINIMUM_BUFFER (UINT64_C(1) << 18)
#define MAXIMUM_BUFFER (UINT64_C(64) << 30)
#define FIRST_NAP_NS   50000
#define LAST_NAP_NS    800000
#define SLEEP_MS       100

struct tsm_session {
    pid_t owner;
    tsm_run *run;
    tsm_sbt_writer *writer;
    tsm_drain *drain;
    char output[PATH_MAX];
    pthread_t thread;
    bool thread_runs;
    /* Below: under lock, which also guards the drain and the writer against stats_now. */
    pthread_mutex_t lock;
    pthread_cond_t flushed;
    uint64_t flush_wanted, flush_done;
    bool stopping;
};

tsm_session_config
tsm_session_config_default(void)
{
    return (tsm_session_config){ .policy = TSM_DROP_OLDEST };
}

static tsm_status
describe(tsm_session *session, const tsm_session_config *config)
{
    tsm_tables *tables = tsm_sbt_writer_tables(session->writer);
    char name[64], number[24], started[24];
    tsm_clock_point now;
    tsm_host_read_line("/proc/self/comm", name, sizeof name);
    tsm_clock_take_point(&now);
    snprintf(number, sizeof number, "%u", (unsigned)getpid());
    snprintf(started, sizeof started, "%llu", (unsigned long long)now.realtime_ns);
    const char *const entries[][2] = {
        { "application", config->application != NULL ? config->application : name },
        { "tracesmith", TSM_VERSION },
        { "process_id", number },
        { "start_realtime_ns", started },
        { "clock", tsm_run_uses_ticks(session->run) ? "tsc" : "monotonic" },
        { "spool", tsm_run_directory(session->run) },
    };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        tsm_status status = tsm_tables_set_info(tables, entries[i][0], entries[i][1]);
        if (status != TSM_OK) {
            return status;
        }
    }
    return TSM_OK;
}

static tsm_status
make_run(tsm_session *session, const tsm_session_config *config, tsm_error *err)
{
    char folder[PATH_MAX];
    uint64_t budget = config->buffer_bytes == 0 ? DEFAULT_BUFFER : config->buffer_bytes;
    budget = budget < MINIMUM_BUFFER ? MINIMUM_BUFFER : budget;
    if (budget > MAXIMUM_BUFFER) {
        return tsm_fail(err, TSM_E_ARG, 0, "buffer_bytes is beyond 64 GiB");
    }
    tsm_status status = tsm_folder_choose(config->spool_parent, session->output, budget, folder, sizeof folder, err);
    if (status != TSM_OK) {
        return status;
    }
    tsm_run_config plan = {
        .directory = folder,
        .output = session->output,
        .buffer_bytes = budget,
        .policy = config->policy,
        .block_limit_ms = config->block_limit_ms == 0 ? 1000 : config->block_limit_ms,
    };
    return tsm_run_create(&plan, &session->run, err);
}

/* Once through: what is there, and what was asked for. Returns whether there may be more at once. */
static bool
work(tsm_session *session, bool *stopping)
{
    pthread_mutex_lock(&session->lock);
    uint64_t wanted = session->flush_wanted;
    bool flush = wanted != session->flush_done;
    bool moved = tsm_drain_tick(session->drain, flush);
    if (flush && moved) {
        /* A chunk that was sealed just as we came by is left for the second pass. Not more than
         * two: threads that go on emitting would keep us here for ever. */
        tsm_drain_tick(session->drain, true);
    }
    if (flush) {
        session->flush_done = wanted;
        pthread_cond_broadcast(&session->flushed);
    }
    *stopping = session->stopping;
    pthread_mutex_unlock(&session->lock);
    return moved;
}

static void *
drain_thread(void *argument)
{
    tsm_session *session = argument;
    bool stopping = false;
    long nap = FIRST_NAP_NS;
    while (!stopping) {
        if (work(session, &stopping)) {
            nap = FIRST_NAP_NS;
        } else if (nap <= LAST_NAP_NS) { /* while events flow, so that producers need not wake us */
            nanosleep(&(struct timespec){ .tv_nsec = nap }, NULL);
            nap *= 2;
        } else {
            tsm_run_wait(session->run, SLEEP_MS);
        }
    }
    return NULL;
}

/* The program's signals are not for this thread. */
static int
start_thread(tsm_session *session)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&session->thread, NULL, drain_thread, session);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    session->thread_runs = failed == 0;
    return failed;
}

static void
destroy(tsm_session *session)
{
    tsm_drain_destroy(session->drain);
    tsm_sbt_writer_destroy(session->writer);
    if (session->run != NULL) {
        tsm_folder_remove(tsm_run_directory(session->run));
        tsm_run_close(session->run);
    }
    pthread_mutex_destroy(&session->lock);
    pthread_cond_destroy(&session->flushed);
    free(session);
}

static tsm_status
begin(tsm_session *session, const tsm_session_config *config, tsm_error *err)
{
    tsm_sbt_compression compression = config->compress ? TSM_SBT_ZSTD : TSM_SBT_PLAIN;
    tsm_status status = tsm_folder_absolute(config->output, session->output, sizeof session->output, err);
    if (status == TSM_OK) {
        status = tsm_sbt_writer_open(session->output, compression, &session->writer, err);
    }
    if (status == TSM_OK) {
        status = make_run(session, config, err);
    }
    if (status == TSM_OK) {
        status = tsm_run_own(session->run, err);
    }
    if (status == TSM_OK && describe(session, config) != TSM_OK) {
        status = tsm_fail(err, TSM_E_NOMEM, 0, "no memory for the session's description");
    }
    if (status == TSM_OK) { /* the file names its spool before anything can be in it */
        status = tsm_sbt_writer_flush(session->writer, err);
    }
    if (status == TSM_OK) {
        status = tsm_drain_create(session->run, session->writer, &session->drain, err);
    }
    if (status == TSM_OK) {
        status = tsm_ring_attach(session->run, err);
    }
    return status;
}

tsm_status
tsm_session_start(const tsm_session_config *config, tsm_session **out, tsm_error *err)
{
    if (config->output == NULL || config->output[0] == 0) {
        return tsm_fail(err, TSM_E_ARG, 0, "a session needs an output path");
    }
    if (tsm_ring_attached()) {
        return tsm_fail(err, TSM_E_BUSY, 0, "a session is running in this process already: stop it first");
    }
    tsm_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for a session");
    }
    session->owner = getpid();
    pthread_mutex_init(&session->lock, NULL);
    pthread_cond_init(&session->flushed, NULL);
    tsm_status status = begin(session, config, err);
    if (status != TSM_OK) {
        destroy(session);
        return status;
    }
    tsm_run_set_state(session->run, TSM_RUN_ACTIVE);
    if (start_thread(session) != 0) {
        tsm_ring_detach();
        destroy(session);
        return tsm_fail(err, TSM_E_NOMEM, 0, "the drain's thread could not be started");
    }
    *out = session;
    return TSM_OK;
}

static void
stop_thread(tsm_session *session)
{
    pthread_mutex_lock(&session->lock);
    session->stopping = true;
    pthread_mutex_unlock(&session->lock);
    tsm_run_ring_bell(session->run);
    pthread_join(session->thread, NULL);
}

tsm_status
tsm_session_stop(tsm_session *session, tsm_session_stats *stats, tsm_error *err)
{
    tsm_session_stats own;
    if (session->owner != getpid()) {
        return tsm_fail(err, TSM_E_STATE, 0, "the session belongs to process %d, which must stop it",
                        (int)session->owner);
    }
    tsm_run_set_state(session->run, TSM_RUN_STOPPED);
    tsm_ring_detach();
    stop_thread(session);
    tsm_drain_finish(session->drain);
    tsm_status status = tsm_drain_output_error(session->drain, err);
    tsm_error close_error = { 0 };
    tsm_status closed = tsm_sbt_writer_close(session->writer, &close_error);
    session->writer = NULL;
    if (status == TSM_OK && closed != TSM_OK) {
        status = closed;
        if (err != NULL) {
            *err = close_error;
        }
    }
    stats = stats == NULL ? &own : stats;
    *stats = (tsm_session_stats){ 0 };
    tsm_drain_last_stats(session->drain, stats);
    destroy(session);
    return status;
}

void
tsm_session_pause(tsm_session *session)
{
    tsm_run_set_state(session->run, TSM_RUN_PAUSED);
}

void
tsm_session_resume(tsm_session *session)
{
    tsm_run_set_state(session->run, TSM_RUN_ACTIVE);
}

tsm_status
tsm_session_flush(tsm_session *session, tsm_error *err)
{
    if (session->owner != getpid()) {
        return tsm_fail(err, TSM_E_STATE, 0, "the session belongs to process %d", (int)session->owner);
    }
    pthread_mutex_lock(&session->lock);
    uint64_t wanted = ++session->flush_wanted;
    pthread_mutex_unlock(&session->lock);
    tsm_run_ring_bell(session->run);
    pthread_mutex_lock(&session->lock);
    while (session->flush_done < wanted) {
        pthread_cond_wait(&session->flushed, &session->lock);
    }
    tsm_status status = tsm_drain_output_error(session->drain, err);
    pthread_mutex_unlock(&session->lock);
    return status;
}

tsm_status
tsm_session_set_info(tsm_session *session, const char *key, const char *value)
{
    if (session->owner != getpid()) {
        return TSM_E_STATE;
    }
    pthread_mutex_lock(&session->lock);
    tsm_status status = tsm_tables_set_info(tsm_sbt_writer_tables(session->writer), key, value);
    pthread_mutex_unlock(&session->lock);
    return status;
}

void
tsm_session_stats_now(tsm_session *session, tsm_session_stats *stats)
{
    pthread_mutex_lock(&session->lock);
    tsm_drain_stats(session->drain, stats);
    pthread_mutex_unlock(&session->lock);
}

const char *
tsm_session_path(const tsm_session *session)
{
    return session->output;
}
