/* Death at any moment: of the program, of whoever drains it, of both. Nothing that was committed
 * is lost and nothing comes twice. */
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "capture/capture.h"
#include "capture/drain.h"
#include "trace_check.h"
#include "tracesmith/tracesmith.h"

#define LIMIT 4000000

/* Shared between the test, the program and the drain. */
typedef struct {
    _Atomic uint64_t acknowledged; /* emits that returned true */
    _Atomic bool stop;
    _Atomic uint32_t ready;
} board;

static board *shared;
static unsigned char *seen;
static char path[64], folder[64];
static uint64_t random_state = 88172645463325252u;

static uint64_t
random_below(uint64_t limit)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state % limit;
}

static void
prepare(void)
{
    if (shared == NULL) {
        shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        seen = malloc(LIMIT);
        CHECK(shared != MAP_FAILED && seen != NULL);
    }
    *shared = (board){ 0 };
    memset(seen, 0, LIMIT);
    static int number;
    snprintf(path, sizeof path, "/tmp/tsm-recovery-%d-%d.sbt", (int)getpid(), number);
    snprintf(folder, sizeof folder, "/tmp/tsm-recovery-%d-%d.run", (int)getpid(), number++);
}

/* A run that this process and its children emit into. */
static tsm_run *
begin_run(uint32_t policy, uint64_t buffer_bytes, uint32_t block_limit_ms)
{
    tsm_run *run;
    tsm_error err;
    tsm_run_config config = { .directory = folder,
                              .output = path,
                              .buffer_bytes = buffer_bytes,
                              .policy = policy,
                              .block_limit_ms = block_limit_ms };
    CHECK(tsm_run_create(&config, &run, &err) == TSM_OK);
    CHECK(tsm_ring_attach(run, &err) == TSM_OK);
    tsm_run_set_state(run, TSM_RUN_ACTIVE);
    return run;
}

static void
remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK(system(command) == 0);
}

static void
end_run(tsm_run *run)
{
    tsm_ring_detach();
    tsm_run_close(run);
    remove_folder();
}

/* Emits 1, 2, 3, ... and says how far it came after each. */
static void
emit_for_ever(void)
{
    for (uint64_t i = 1; i < LIMIT && !shared->stop; i++) {
        char name[16];
        int size = snprintf(name, sizeof name, "n%d", (int)(i % 500));
        uint32_t id = tsm_name(name, (size_t)size);
        if (!tsm_emit_now(&(tsm_event){ .correlation = i, .name = id, .type = TSM_EVENT_MARKER })) {
            break;
        }
        atomic_store_explicit(&shared->acknowledged, i, memory_order_relaxed);
        if (i % 4096 == 0) {
            usleep(50);
        }
    }
}

/* The emit that was under way at the kill may be in or out; all before it must be in, once. */
static void
check_sequence(uint64_t acknowledged, const file_contents *all)
{
    CHECK(!all->repeated);
    CHECK_EQUAL(all->highest, all->events);
    CHECK_EQUAL(all->sum, all->events * (all->events + 1) / 2);
    CHECK(all->events == acknowledged || all->events == acknowledged + 1);
}

static void
run_program(void)
{
    tsm_session_config config = tsm_session_config_default();
    tsm_session *session;
    tsm_error err;
    config.output = path;
    config.policy = TSM_BLOCK;
    config.buffer_bytes = UINT64_C(8) << 20;
    CHECK(tsm_session_start(&config, &session, &err) == TSM_OK);
    shared->ready = 1;
    emit_for_ever();
    pause();
}

static void
a_killed_program_loses_nothing_that_was_emitted(void)
{
    for (int round = 0; round < 25; round++) {
        prepare();
        pid_t child = fork();
        if (child == 0) {
            run_program();
        }
        while (!shared->ready) {
            usleep(100);
        }
        usleep((useconds_t)random_below(round % 5 == 0 ? 400000 : 8000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        uint64_t acknowledged = shared->acknowledged;
        tsm_recovery report;
        tsm_error err = { 0 };
        tsm_status status = tsm_recover(path, &report, &err);
        if (status != TSM_OK) {
            fprintf(stderr, "recover: %s\n", err.text);
        }
        CHECK(status == TSM_OK);
        CHECK(report.drained);
        file_contents all = read_file(path, seen, LIMIT);
        CHECK(all.complete);
        check_sequence(acknowledged, &all);
        CHECK_EQUAL(all.emitted, all.delivered + all.dropped);
        CHECK_EQUAL(all.delivered, all.events);
        /* Again: there is nothing left to do. */
        CHECK(tsm_recover(path, &report, &err) == TSM_OK && !report.drained);
        unlink(path);
    }
}

static void
a_living_program_is_not_recovered_from(void)
{
    prepare();
    pid_t child = fork();
    if (child == 0) {
        run_program();
    }
    while (!shared->ready) {
        usleep(100);
    }
    tsm_recovery report;
    tsm_error err;
    CHECK(tsm_recover(path, &report, &err) == TSM_E_BUSY);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(tsm_recover(path, &report, &err) == TSM_OK);
    unlink(path);
}

/* A drain in a process of its own, as the profiler's is. */
static void
drain_until_stopped(bool resume)
{
    tsm_run *run;
    tsm_sbt_writer *writer;
    tsm_drain *drain;
    tsm_error err = { 0 };
    tsm_status status = tsm_run_open(folder, &run, &err);
    for (int i = 0; status == TSM_OK && (status = tsm_run_own(run, &err)) == TSM_E_BUSY && i < 1000; i++) {
        usleep(1000);
    }
    if (status == TSM_OK) {
        status = resume ? tsm_sbt_writer_resume(path, &writer, &err)
                        : tsm_sbt_writer_open(path, TSM_SBT_PLAIN, &writer, &err);
    }
    if (status == TSM_OK) {
        status = tsm_drain_create(run, writer, &drain, &err);
    }
    if (status != TSM_OK) {
        fprintf(stderr, "drain: %s\n", err.text);
        _exit(1);
    }
    shared->ready = 1;
    while (!shared->stop) {
        if (!tsm_drain_tick(drain, random_below(10) == 0)) {
            usleep(200);
        }
    }
    tsm_drain_finish(drain);
    _exit(tsm_sbt_writer_close(writer, &err) == TSM_OK ? 0 : 1);
}

static pid_t
start_drain(bool resume)
{
    shared->ready = 0;
    pid_t child = fork();
    if (child == 0) {
        drain_until_stopped(resume);
    }
    while (!shared->ready && waitpid(child, NULL, WNOHANG) == 0) {
        usleep(100);
    }
    CHECK(shared->ready);
    return child;
}

static void
run_with_drains(int kills, uint32_t policy)
{
    tsm_run *run = begin_run(policy, UINT64_C(64) << 20, 1000);
    pid_t drain = start_drain(false);
    pid_t program = fork();
    if (program == 0) {
        emit_for_ever();
        _exit(0);
    }
    for (int i = 0; i < kills; i++) {
        usleep((useconds_t)random_below(30000));
        kill(drain, SIGKILL);
        waitpid(drain, NULL, 0);
        drain = start_drain(true);
    }
    shared->stop = true;
    waitpid(program, NULL, 0);
    tsm_run_set_state(run, TSM_RUN_STOPPED);
    int status;
    waitpid(drain, &status, 0);
    CHECK_EQUAL(status, 0);
    end_run(run);
}

static void
a_killed_drain_is_succeeded_without_loss_or_repetition(void)
{
    for (int round = 0; round < 4; round++) {
        prepare();
        run_with_drains(8, TSM_RING_DROP_NEWEST);
        file_contents all = read_file(path, seen, LIMIT);
        CHECK(all.complete && !all.repeated);
        /* With 64 MB nothing had to be dropped. */
        CHECK_EQUAL(all.events, shared->acknowledged);
        CHECK_EQUAL(all.emitted, all.events);
        CHECK_EQUAL(all.dropped, 0);
        unlink(path);
    }
}

static void
program_and_drain_may_both_be_killed(void)
{
    for (int round = 0; round < 8; round++) {
        prepare();
        tsm_run *run = begin_run(TSM_RING_DROP_NEWEST, UINT64_C(64) << 20, 1000);
        pid_t drain = start_drain(false), program = fork();
        if (program == 0) {
            emit_for_ever();
            pause();
        }
        usleep(2000 + (useconds_t)random_below(60000));
        kill(round % 2 ? program : drain, SIGKILL);
        usleep((useconds_t)random_below(2000));
        kill(round % 2 ? drain : program, SIGKILL);
        waitpid(program, NULL, 0);
        waitpid(drain, NULL, 0);
        uint64_t acknowledged = shared->acknowledged;
        shared->stop = true;
        drain = start_drain(true);
        int status;
        waitpid(drain, &status, 0);
        CHECK_EQUAL(status, 0);
        file_contents all = read_file(path, seen, LIMIT);
        check_sequence(acknowledged, &all);
        end_run(run);
        unlink(path);
    }
}

/* ---- Every instruction ------------------------------------------------------------------- */

/* Few events in a spool so small that chunks are sealed, handed over and reused all the time. */
static void
run_traced_program(void)
{
    begin_run(TSM_RING_DROP_OLDEST, UINT64_C(1) << 18, 1);
    for (uint64_t i = 1; i <= 6000; i++) {
        tsm_emit(&(tsm_event){ .timestamp = i, .correlation = i, .type = TSM_EVENT_MARKER });
        shared->acknowledged = i;
    }
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    for (uint64_t i = 6001;; i++) {
        char name[16];
        int size = snprintf(name, sizeof name, "n%d", (int)i);
        tsm_extension extension = { .count = 1 };
        tsm_event event = { .timestamp = i, .correlation = i, .type = TSM_EVENT_MARKER };
        event.name = i % 50 == 0 ? tsm_name(name, (size_t)size) : 1;
        CHECK(i % 3 == 0 ? tsm_emit_extended(&event, &extension, 1) : tsm_emit(&event));
        shared->acknowledged = i;
    }
}

/* Steps the program through so many instructions, then kills it. */
static void
step_and_kill(pid_t child, uint64_t steps)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    for (uint64_t i = 0; i < steps; i++) {
        CHECK(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0);
        CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}

static void
a_kill_between_any_two_instructions_loses_nothing_that_was_emitted(void)
{
    for (uint64_t steps = 0; steps < 7000; steps += steps < 300 ? 7 : 113) {
        prepare();
        pid_t child = fork();
        if (child == 0) {
            run_traced_program();
        }
        step_and_kill(child, steps);
        uint64_t acknowledged = shared->acknowledged;
        shared->stop = true;
        pid_t drain = start_drain(false);
        int status;
        waitpid(drain, &status, 0);
        CHECK_EQUAL(status, 0);
        file_contents all = read_file(path, seen, LIMIT);
        CHECK(!all.repeated);
        /* The newest are there, the older ones were dropped and counted: to the event. */
        CHECK(all.emitted == acknowledged || all.emitted == acknowledged + 1);
        CHECK(all.highest == acknowledged || all.highest == acknowledged + 1);
        CHECK_EQUAL(all.delivered, all.events);
        CHECK_EQUAL(all.emitted, all.delivered + all.dropped);
        remove_folder();
        unlink(path);
    }
}

static void
under_the_block_policy_a_killed_drain_does_not_hang_the_program(void)
{
    prepare();
    tsm_run *run = begin_run(TSM_RING_BLOCK, UINT64_C(1) << 20, 300);
    pid_t drain = start_drain(false);
    kill(drain, SIGKILL);
    waitpid(drain, NULL, 0);
    uint64_t taken = 0, begin = tsm_clock_ns();
    for (int i = 0; i < 200000; i++) {
        taken += tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
    }
    CHECK(tsm_clock_ns() - begin < 3000000000u);
    CHECK(tsm_run_fell_back(run));
    shared->stop = true;
    drain = start_drain(true);
    int status;
    waitpid(drain, &status, 0);
    CHECK_EQUAL(status, 0);
    file_contents all = read_file(path, NULL, 0);
    CHECK_EQUAL(all.events, taken);
    CHECK_EQUAL(all.emitted, 200000);
    CHECK_EQUAL(all.dropped, 200000 - taken);
    end_run(run);
    unlink(path);
}

static void
on_orphan(void *context, const char *spool_directory, const char *output)
{
    (void)spool_directory;
    *(bool *)context |= strcmp(output, path) == 0;
}

static void
a_dead_run_is_found_by_name(void)
{
    prepare();
    pid_t child = fork();
    if (child == 0) {
        run_program();
    }
    while (!shared->ready) {
        usleep(100);
    }
    bool found = false;
    tsm_find_orphans(NULL, on_orphan, &found);
    CHECK(!found);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    tsm_find_orphans(NULL, on_orphan, &found);
    CHECK(found);
    tsm_recovery report;
    tsm_error err;
    CHECK(tsm_recover(path, &report, &err) == TSM_OK);
    found = false;
    tsm_find_orphans(NULL, on_orphan, &found);
    CHECK(!found);
    unlink(path);
}

static const unit_test tests[] = {
    UNIT(a_killed_program_loses_nothing_that_was_emitted),
    UNIT(a_living_program_is_not_recovered_from),
    UNIT(a_killed_drain_is_succeeded_without_loss_or_repetition),
    UNIT(program_and_drain_may_both_be_killed),
    UNIT(a_kill_between_any_two_instructions_loses_nothing_that_was_emitted),
    UNIT(under_the_block_policy_a_killed_drain_does_not_hang_the_program),
    UNIT(a_dead_run_is_found_by_name),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
