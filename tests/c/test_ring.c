/* The ring alone: what producers put into a spool is what a reader finds in it. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/process.h"
#include "ring/ring.h"
#include "unit.h"

#define BUDGET (UINT64_C(1) << 20)

static tsm_run *run;
static char folder[64];

static void
begin_with(uint32_t policy, uint64_t budget)
{
    static int number;
    snprintf(folder, sizeof folder, "/tmp/tsm-ring-%d-%d", (int)getpid(), number++);
    tsm_run_config config = {
        .directory = folder, .output = "/nowhere", .buffer_bytes = budget, .policy = policy, .block_limit_ms = 50
    };
    tsm_error err;
    CHECK(tsm_run_create(&config, &run, &err) == TSM_OK);
    CHECK(tsm_run_own(run, &err) == TSM_OK);
    CHECK(tsm_ring_attach(run, &err) == TSM_OK);
    tsm_run_set_state(run, TSM_RUN_ACTIVE);
}

static void
end(void)
{
    char command[128];
    tsm_ring_detach();
    tsm_run_close(run);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK(system(command) == 0);
}

/* What all spools of the run hold, and the counts of their threads. */
typedef struct {
    tsm_spool *spools[64];
    size_t count;
    uint64_t events, extensions, refused, sum, definitions;
} contents;

static void
on_spool(void *context, tsm_spool *spool, const char *name, const tsm_error *why_not)
{
    contents *all = context;
    (void)name;
    (void)why_not;
    CHECK(spool != NULL && all->count < 64);
    all->spools[all->count++] = spool;
}

static void
count_chunk(contents *all, const tsm_spool_chunk *chunk)
{
    for (uint32_t k = 0; k < chunk->committed; k++) {
        if (TSM_SLOT_IS_EVENT(chunk->slots[k].type)) {
            all->events++;
            all->sum += chunk->slots[k].correlation;
        } else {
            CHECK_EQUAL(chunk->slots[k].type, TSM_SLOT_EXTENSION);
            all->extensions++;
        }
    }
}

static void
take_all(contents *all)
{
    tsm_error err;
    CHECK(tsm_run_scan(run, on_spool, all, &err) == TSM_OK);
    for (size_t i = 0; i < all->count; i++) {
        const tsm_spool_chunk *chunks;
        size_t n = tsm_spool_claim(all->spools[i], true, &chunks);
        for (size_t k = 0; k < n; k++) {
            count_chunk(all, &chunks[k]);
        }
        tsm_definition definition;
        bool damaged;
        while (tsm_spool_next_definition(all->spools[i], &definition, &damaged)) {
            all->definitions++;
        }
        CHECK(!damaged);
        for (size_t k = 0; k < tsm_spool_thread_count(all->spools[i]); k++) {
            tsm_spool_thread thread;
            tsm_spool_thread_at(all->spools[i], k, &thread);
            all->refused += thread.refused_full + thread.refused_nested + thread.refused_blocked;
        }
    }
}

static void
close_all(contents *all)
{
    for (size_t i = 0; i < all->count; i++) {
        tsm_spool_close(all->spools[i]);
    }
}

static void
emit_some(uint64_t count)
{
    for (uint64_t i = 1; i <= count; i++) {
        CHECK(tsm_ring_emit(&(tsm_event){ .timestamp = i, .correlation = i, .type = TSM_EVENT_MARKER }));
    }
}

static void
events_come_out_as_they_went_in(void)
{
    begin_with(TSM_RING_DROP_NEWEST, BUDGET);
    emit_some(5000);
    tsm_ring_detach();
    contents all = { 0 };
    take_all(&all);
    CHECK_EQUAL(all.count, 1);
    CHECK_EQUAL(all.events, 5000);
    CHECK_EQUAL(all.sum, UINT64_C(5000) * 5001 / 2);
    close_all(&all);
    end();
}

static void
nothing_is_taken_without_a_session(void)
{
    CHECK(!tsm_ring_emit(&(tsm_event){ .type = TSM_EVENT_MARKER }));
    CHECK_EQUAL(tsm_ring_text(TSM_TABLE_STRINGS, "x", 1), 0);
    begin_with(TSM_RING_DROP_NEWEST, BUDGET);
    emit_some(1);
    tsm_run_set_state(run, TSM_RUN_PAUSED);
    CHECK(!tsm_ring_emit(&(tsm_event){ .type = TSM_EVENT_MARKER }));
    tsm_run_set_state(run, TSM_RUN_ACTIVE);
    emit_some(1);
    end();
    CHECK(!tsm_ring_emit(&(tsm_event){ .type = TSM_EVENT_MARKER }));
}

static void
a_second_session_finds_the_same_threads(void)
{
    for (int i = 0; i < 3; i++) {
        begin_with(TSM_RING_DROP_NEWEST, BUDGET);
        emit_some(10);
        contents all = { 0 };
        take_all(&all);
        CHECK_EQUAL(all.events, 10);
        close_all(&all);
        end();
    }
}

static void
extensions_stay_behind_their_event(void)
{
    begin_with(TSM_RING_DROP_NEWEST, BUDGET);
    tsm_extension extensions[3] = { { .count = 1 }, { .count = 2 }, { .count = 7 } };
    for (int i = 0; i < 1000; i++) {
        CHECK(tsm_ring_emit_extended(&(tsm_event){ .timestamp = 1, .type = TSM_EVENT_MEM_ALLOC }, extensions, 3));
    }
    tsm_ring_detach();
    contents all = { 0 };
    take_all(&all);
    CHECK_EQUAL(all.events, 1000);
    CHECK_EQUAL(all.extensions, 3000);
    close_all(&all);
    end();
}

static void *
emit_thread(void *argument)
{
    uint64_t *taken = argument;
    for (uint64_t i = 0; i < 20000; i++) {
        *taken += tsm_ring_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
    }
    return NULL;
}

static void
what_does_not_fit_is_refused_and_counted(void)
{
    pthread_t threads[4];
    uint64_t taken[4] = { 0 };
    begin_with(TSM_RING_DROP_NEWEST, BUDGET);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, emit_thread, &taken[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    contents all = { 0 };
    take_all(&all);
    CHECK_EQUAL(all.events, taken[0] + taken[1] + taken[2] + taken[3]);
    CHECK(all.refused > 0);
    CHECK_EQUAL(all.events + all.refused, 80000);
    close_all(&all);
    end();
}

static void
drop_oldest_keeps_the_newest(void)
{
    begin_with(TSM_RING_DROP_OLDEST, BUDGET);
    emit_some(100000);
    tsm_ring_detach();
    contents all = { 0 };
    take_all(&all);
    tsm_spool_thread thread;
    tsm_spool_thread_at(all.spools[0], 0, &thread);
    CHECK_EQUAL(all.refused, 0);
    CHECK(all.events > 10000 && all.events < 100000);
    const tsm_spool_chunk *chunks; /* claimed already: nothing is handed out twice */
    CHECK_EQUAL(tsm_spool_claim(all.spools[0], true, &chunks), 0);
    /* the newest n have the highest numbers */
    CHECK_EQUAL(all.sum, all.events * (100000 + (100000 - all.events + 1)) / 2);
    close_all(&all);
    end();
}

static void
block_gives_up_when_nobody_reads(void)
{
    begin_with(TSM_RING_BLOCK, BUDGET);
    uint64_t taken = 0, begin = tsm_clock_ns();
    for (int i = 0; i < 30000; i++) {
        taken += tsm_ring_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
    }
    CHECK(tsm_clock_ns() - begin < 2000000000u);
    CHECK(tsm_run_fell_back(run));
    contents all = { 0 };
    take_all(&all);
    CHECK_EQUAL(all.events, taken);
    CHECK_EQUAL(all.events + all.refused, 30000);
    close_all(&all);
    end();
}

static void
a_forked_child_has_a_spool_of_its_own(void)
{
    begin_with(TSM_RING_DROP_NEWEST, BUDGET);
    uint32_t before = tsm_ring_text(TSM_TABLE_STRINGS, "before", 6);
    emit_some(100);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        uint32_t later = tsm_ring_text(TSM_TABLE_STRINGS, "later", 5);
        emit_some(50);
        _exit(later > before ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    emit_some(7);
    contents all = { 0 };
    take_all(&all);
    CHECK_EQUAL(all.count, 2);
    CHECK_EQUAL(all.events, 157);
    size_t born = tsm_spool_pid(all.spools[0]) == (uint32_t)child ? 0 : 1;
    CHECK(strcmp(tsm_spool_parent(all.spools[born]), tsm_spool_name(all.spools[1 - born])) == 0);
    CHECK(tsm_spool_inherited(all.spools[born], TSM_TABLE_STRINGS) > before);
    CHECK(!tsm_spool_alive(all.spools[born]));
    close_all(&all);
    end();
}

static _Atomic bool go_on;

static void *
emit_until_told(void *argument)
{
    uint64_t *taken = argument;
    while (go_on) {
        *taken += tsm_ring_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
        char name[24];
        int size = snprintf(name, sizeof name, "n%" PRIu64, *taken % 1000);
        tsm_ring_text(TSM_TABLE_STRINGS, name, (size_t)size);
    }
    return NULL;
}

/* A child that no library hears of. */
static pid_t
clone_raw(void)
{
#if defined(__SANITIZE_THREAD__) /* it takes the child for a thread */
    return fork();
#else
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

/* Neither the lock another thread holds at the fork nor a half-made name may harm the child. */
static void
forking_while_another_thread_emits_is_safe(void)
{
    begin_with(TSM_RING_DROP_OLDEST, 4 * BUDGET);
    pthread_t thread;
    uint64_t taken = 0;
    go_on = true;
    CHECK(pthread_create(&thread, NULL, emit_until_told, &taken) == 0);
    for (int i = 0; i < 20; i++) {
        pid_t child = i % 2 == 0 ? fork() : clone_raw();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(10);
            bool fine = tsm_ring_text(TSM_TABLE_STRINGS, "child", 5) > 1;
            fine &= tsm_ring_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
            _exit(fine ? 0 : 1);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_EQUAL(status, 0);
    }
    go_on = false;
    pthread_join(thread, NULL);
    end();
}

static volatile uint64_t nested_refused, nested_taken, outer_taken;

static void
on_signal(int number)
{
    (void)number;
    if (tsm_ring_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER })) {
        nested_taken++;
    } else {
        nested_refused++;
    }
}

static void
an_emit_inside_an_emit_is_refused_and_counted(void)
{
    begin_with(TSM_RING_DROP_OLDEST, BUDGET);
    emit_some(1);
    nested_refused = nested_taken = outer_taken = 0;
    struct sigaction action = { .sa_handler = on_signal }, old;
    sigaction(SIGPROF, &action, &old);
    struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { 0 };
    setitimer(ITIMER_PROF, &often, NULL);
    uint64_t begin = tsm_clock_ns();
    while (tsm_clock_ns() - begin < 300000000u) {
        for (int i = 0; i < 1000; i++) {
            outer_taken += tsm_ring_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
        }
    }
    setitimer(ITIMER_PROF, &never, NULL);
    sigaction(SIGPROF, &old, NULL);
    contents all = { 0 };
    take_all(&all);
    tsm_spool_thread thread;
    tsm_spool_thread_at(all.spools[0], 0, &thread);
    CHECK_EQUAL(thread.refused_nested, nested_refused);
    CHECK(nested_taken + nested_refused > 0);
    close_all(&all);
    end();
}

/* What interrupts the making of a spool cannot be taken, and shows in the counts all the same. */
static void
an_emit_inside_a_registration_is_refused_and_counted(void)
{
    begin_with(TSM_RING_DROP_NEWEST, BUDGET);
    ring_in_slow_path = true; /* as a signal handler would find it */
    CHECK(!tsm_ring_emit(&(tsm_event){ .type = TSM_EVENT_MARKER }));
    ring_in_slow_path = false;
    emit_some(3);
    ring_count_elsewhere();
    contents all = { 0 };
    take_all(&all);
    CHECK_EQUAL(all.events, 3);
    CHECK_EQUAL(tsm_spool_refused_elsewhere(all.spools[0]), 2);
    close_all(&all);
    end();
}

static void
threads_beyond_the_records_are_counted_and_ended_ones_come_back(void)
{
    begin_with(TSM_RING_DROP_NEWEST, 4 * BUDGET);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        uint64_t taken = 0;
        CHECK(pthread_create(&thread, NULL, emit_thread, &taken) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        contents all = { 0 };
        tsm_error err;
        CHECK(tsm_run_scan(run, on_spool, &all, &err) == TSM_OK);
        static tsm_spool *spool;
        spool = all.count > 0 ? all.spools[0] : spool;
        const tsm_spool_chunk *chunks;
        size_t n = tsm_spool_claim(spool, true, &chunks);
        for (size_t k = 0; k < n; k++) {
            CHECK(chunks[k].sealed);
            tsm_spool_release(spool, chunks[k].index);
        }
        tsm_spool_thread ended;
        tsm_spool_thread_at(spool, 0, &ended);
        CHECK(ended.ended);
        CHECK_EQUAL(taken, 20000 - ended.refused_full);
        tsm_spool_thread_release(spool, 0);
        CHECK_EQUAL(tsm_spool_thread_count(spool), 1);
    }
    end();
}

static void
a_full_log_of_names_is_counted_and_named(void)
{
    begin_with(TSM_RING_DROP_NEWEST, UINT64_C(1) << 18);
    char name[2000];
    uint32_t last = 0;
    memset(name, 'x', sizeof name);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, 16, "%015d", i);
        last = tsm_ring_text(TSM_TABLE_STRINGS, name, sizeof name);
    }
    CHECK_EQUAL(last, 1); /* "(overflow)" */
    emit_some(5);         /* events go on */
    contents all = { 0 };
    take_all(&all);
    CHECK(tsm_spool_names_refused(all.spools[0]) > 1000);
    CHECK(all.definitions > 400);
    close_all(&all);
    end();
}

static void
a_scribbled_spool_is_refused_or_read_within_bounds(void)
{
    begin_with(TSM_RING_DROP_NEWEST, UINT64_C(1) << 18);
    emit_some(3000);
    contents all = { 0 };
    take_all(&all);
    close_all(&all);
    char path[160];
    snprintf(path, sizeof path, "%s/%d-0.spool", folder, (int)getpid());
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = aligned_alloc(64, (size + 63) / 64 * 64), *copy = aligned_alloc(64, (size + 63) / 64 * 64);
    CHECK(fread(bytes, 1, size, file) == size);
    fclose(file);
    uint64_t random = 88172645463325252u;
    for (int round = 0; round < 300; round++) {
        memcpy(copy, bytes, size);
        for (int flips = 0; flips < 8; flips++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            size_t range = flips < 4 ? 4096 : size;
            copy[random % range] = (unsigned char)(random >> 32);
        }
        tsm_spool *spool;
        if (tsm_spool_open_memory(copy, size, &spool, NULL) == TSM_OK) {
            contents one = { .spools = { spool }, .count = 1 };
            const tsm_spool_chunk *chunks;
            size_t n = tsm_spool_claim(spool, true, &chunks);
            for (size_t k = 0; k < n; k++) {
                for (uint32_t s = 0; s < chunks[k].committed; s++) {
                    one.sum += chunks[k].slots[s].type;
                }
            }
            tsm_definition definition;
            bool damaged;
            while (tsm_spool_next_definition(spool, &definition, &damaged)) {
                one.definitions++;
            }
            for (size_t k = 0; k < tsm_spool_thread_count(spool); k++) {
                tsm_spool_thread thread;
                tsm_spool_thread_at(spool, k, &thread);
            }
            tsm_spool_close(spool);
        }
    }
    free(bytes);
    free(copy);
    end();
}

static const unit_test tests[] = {
    UNIT(events_come_out_as_they_went_in),
    UNIT(nothing_is_taken_without_a_session),
    UNIT(a_second_session_finds_the_same_threads),
    UNIT(extensions_stay_behind_their_event),
    UNIT(what_does_not_fit_is_refused_and_counted),
    UNIT(drop_oldest_keeps_the_newest),
    UNIT(block_gives_up_when_nobody_reads),
    UNIT(a_forked_child_has_a_spool_of_its_own),
    UNIT(forking_while_another_thread_emits_is_safe),
    UNIT(an_emit_inside_an_emit_is_refused_and_counted),
    UNIT(an_emit_inside_a_registration_is_refused_and_counted),
    UNIT(threads_beyond_the_records_are_counted_and_ended_ones_come_back),
    UNIT(a_full_log_of_names_is_counted_and_named),
    UNIT(a_scribbled_spool_is_refused_or_read_within_bounds),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
