/* The session: what was emitted is in the file or counted, under every policy. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "trace_check.h"
#include "tracesmith/tracesmith.h"

static char path[64];

static tsm_session *
start_with(tsm_overflow_policy policy, uint64_t buffer)
{
    tsm_session_config config = tsm_session_config_default();
    tsm_session *session;
    tsm_error err = { 0 };
    snprintf(path, sizeof path, "/tmp/tsm-session-%d.sbt", (int)getpid());
    config.output = path;
    config.policy = policy;
    config.buffer_bytes = buffer;
    if (tsm_session_start(&config, &session, &err) != TSM_OK) {
        fprintf(stderr, "start: %s\n", err.text);
        exit(1);
    }
    return session;
}

static tsm_session_stats
stop(tsm_session *session)
{
    tsm_session_stats stats;
    tsm_error err = { 0 };
    if (tsm_session_stop(session, &stats, &err) != TSM_OK) {
        fprintf(stderr, "stop: %s\n", err.text);
        exit(1);
    }
    CHECK_EQUAL(stats.emitted, stats.delivered + stats.dropped);
    return stats;
}

static void
a_stopped_session_leaves_a_whole_file(void)
{
    tsm_session *session = start_with(TSM_BLOCK, 0);
    uint32_t name = tsm_name("step", 4);
    uint64_t before = tsm_clock_ns();
    for (uint64_t i = 1; i <= 10000; i++) {
        CHECK(tsm_emit_now(&(tsm_event){ .correlation = i, .name = name, .type = TSM_EVENT_MARKER }));
    }
    uint64_t after = tsm_clock_ns();
    tsm_session_stats stats = stop(session);
    file_contents all = read_file(path, NULL, 0);
    CHECK(all.complete && all.sorted);
    CHECK_EQUAL(stats.emitted, 10000);
    CHECK_EQUAL(all.events, 10000);
    CHECK_EQUAL(all.emitted, 10000);
    CHECK_EQUAL(all.sum, UINT64_C(10000) * 10001 / 2);
    /* Ticks became MONOTONIC nanoseconds, to a few microseconds. */
    CHECK(all.begin_ns + 20000 >= before && all.end_ns <= after + 20000);
    unlink(path);
}

static void
a_second_session_is_refused_by_name(void)
{
    tsm_session *session = start_with(TSM_BLOCK, 0), *other;
    tsm_session_config config = tsm_session_config_default();
    tsm_error err;
    config.output = "/tmp/tsm-other.sbt";
    CHECK(tsm_session_start(&config, &other, &err) == TSM_E_BUSY);
    CHECK(strstr(err.text, "running") != NULL);
    stop(session);
    unlink(path);
}

typedef struct {
    uint64_t calls, taken;
} worker;

static void *
work(void *argument)
{
    worker *self = argument;
    for (uint64_t i = 1; i <= self->calls; i++) {
        self->taken += tsm_emit_now(&(tsm_event){ .correlation = i, .type = TSM_EVENT_MARKER });
    }
    return NULL;
}

static void
run_workers(tsm_overflow_policy policy, uint64_t buffer, int count, uint64_t calls)
{
    pthread_t threads[64];
    worker workers[64] = { { 0 } };
    uint64_t taken = 0;
    tsm_session *session = start_with(policy, buffer);
    for (int i = 0; i < count; i++) {
        workers[i].calls = calls;
        CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < count; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        taken += workers[i].taken;
    }
    tsm_session_stats stats = stop(session);
    file_contents all = read_file(path, NULL, 0);
    CHECK_EQUAL(stats.emitted, calls * (uint64_t)count);
    CHECK_EQUAL(stats.delivered, all.events);
    CHECK_EQUAL(all.dropped, stats.dropped);
    CHECK_EQUAL(taken, stats.delivered + stats.overwritten);
    if (policy == TSM_BLOCK && !stats.fell_back) {
        CHECK_EQUAL(stats.dropped, 0);
    }
    unlink(path);
}

static void
counts_are_exact_when_blocking(void)
{
    run_workers(TSM_BLOCK, UINT64_C(1) << 20, 4, 100000);
}

static void
counts_are_exact_when_dropping_the_newest(void)
{
    run_workers(TSM_DROP_NEWEST, UINT64_C(1) << 18, 4, 100000);
}

static void
counts_are_exact_when_dropping_the_oldest(void)
{
    run_workers(TSM_DROP_OLDEST, UINT64_C(1) << 18, 4, 100000);
}

static void
many_threads_at_once_are_all_recorded(void)
{
    for (int round = 0; round < 8; round++) {
        run_workers(TSM_BLOCK, 0, 64, 50);
    }
}

static void
events_come_back_with_all_their_fields_and_extensions(void)
{
    static tsm_event events[16];
    static tsm_extension extensions[8];
    uint32_t rows[8];
    tsm_session *session = start_with(TSM_BLOCK, 0);
    uint32_t root = tsm_row(TSM_TABLE_SCHEMAS, (uint64_t[]){ 0, tsm_name("pair", 4), 0 });
    uint32_t schema = tsm_row(TSM_TABLE_SCHEMAS, (uint64_t[]){ root, tsm_name("a", 1), TSM_COLUMN_U64 });
    tsm_event event = { .timestamp = 1000,
                        .duration = 50,
                        .correlation = 7,
                        .value = 99,
                        .name = tsm_name("k", 1),
                        .stream = tsm_stream(3, 17),
                        .device = tsm_device(3),
                        .type = TSM_EVENT_KERNEL_LAUNCH,
                        .flags = TSM_VALUE_BYTES };
    tsm_extension two[] = { { .values = { 1 }, .count = 1, .schema = schema },
                            { .values = { 2 }, .count = 1, .schema = schema } };
    CHECK(tsm_emit_extended(&event, two, 2));
    stop(session);
    tsm_sbt_reader *reader;
    tsm_error err;
    CHECK(tsm_sbt_reader_open(path, &reader, &err) == TSM_OK);
    CHECK_EQUAL(tsm_sbt_reader_block(reader, 0)->extension_count, 2);
    CHECK(tsm_sbt_reader_read(reader, 0, events, extensions, rows, &err) == TSM_OK);
    tsm_tables *tables = tsm_sbt_reader_tables(reader);
    tsm_event *got = &events[0];
    CHECK(got->timestamp == 1000 && got->duration == 50 && got->correlation == 7 && got->value == 99);
    CHECK_EQUAL(got->flags, TSM_VALUE_BYTES);
    tsm_text name = tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, got->name);
    CHECK(name.size == 1 && name.data[0] == 'k');
    CHECK_EQUAL(tsm_tables_borrow_row(tables, TSM_TABLE_STREAMS, got->stream)[TSM_STREAM_RAW_ID], 17);
    CHECK_EQUAL(tsm_tables_borrow_row(tables, TSM_TABLE_DEVICES, got->device)[TSM_DEVICE_ORDINAL], 3);
    const uint64_t *thread = tsm_tables_borrow_row(tables, TSM_TABLE_THREADS, got->thread);
    CHECK_EQUAL(thread[TSM_THREAD_TID], (uint64_t)gettid());
    CHECK(extensions[0].values[0] == 1 && extensions[1].values[0] == 2 && rows[0] == 0 && rows[1] == 0);
    CHECK(extensions[0].schema != 0 && extensions[0].schema == extensions[1].schema);
    tsm_sbt_reader_close(reader);
    unlink(path);
}

static void
durations_are_nanoseconds_however_the_event_was_stamped(void)
{
    static tsm_event events[16];
    tsm_session *session = start_with(TSM_BLOCK, 0);
    CHECK(tsm_emit_now(&(tsm_event){ .duration = 5000, .type = TSM_EVENT_CUSTOM }));
    uint64_t begin = tsm_ticks(), begin_ns = tsm_clock_ns();
    usleep(20000);
    CHECK(tsm_emit_range(&(tsm_event){ .duration = 1, .type = TSM_EVENT_RANGE }, begin));
    uint64_t took = tsm_clock_ns() - begin_ns;
    stop(session);
    tsm_sbt_reader *reader;
    tsm_error err;
    CHECK(tsm_sbt_reader_open(path, &reader, &err) == TSM_OK);
    for (size_t block = 0, at = 0; at < 2; at += tsm_sbt_reader_block(reader, block++)->count) {
        CHECK(tsm_sbt_reader_read(reader, block, events + at, NULL, NULL, &err) == TSM_OK);
    }
    CHECK_EQUAL(events[0].duration, 5000);
    CHECK(events[1].duration >= 19900000 && events[1].duration < took + 100000);
    CHECK_EQUAL(events[0].flags | events[1].flags, 0);
    tsm_sbt_reader_close(reader);
    unlink(path);
}

static void
a_flush_makes_everything_so_far_readable(void)
{
    tsm_session *session = start_with(TSM_BLOCK, 0);
    tsm_error err;
    for (uint64_t round = 1; round <= 20; round++) {
        for (int i = 0; i < 37; i++) {
            CHECK(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }));
        }
        CHECK(tsm_session_flush(session, &err) == TSM_OK);
        file_contents all = read_file(path, NULL, 0);
        CHECK_EQUAL(all.events, round * 37);
        CHECK(!all.complete);
    }
    stop(session);
    unlink(path);
}

static _Atomic bool go_on;

static void *
emit_until_told(void *argument)
{
    (void)argument;
    while (go_on) {
        tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
    }
    return NULL;
}

static void
a_flush_returns_while_others_go_on_emitting(void)
{
    tsm_session *session = start_with(TSM_DROP_NEWEST, 0);
    tsm_error err;
    pthread_t thread;
    go_on = true;
    CHECK(pthread_create(&thread, NULL, emit_until_told, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        CHECK(tsm_session_flush(session, &err) == TSM_OK);
    }
    go_on = false;
    pthread_join(thread, NULL);
    stop(session);
    unlink(path);
}

static void
what_is_emitted_while_paused_is_not_counted(void)
{
    tsm_session *session = start_with(TSM_BLOCK, 0);
    CHECK(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }));
    tsm_session_pause(session);
    CHECK(!tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }));
    tsm_session_resume(session);
    CHECK(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }));
    CHECK_EQUAL(stop(session).emitted, 2);
    CHECK(!tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }));
    unlink(path);
}

static void
children_are_in_the_same_file(void)
{
    tsm_session *session = start_with(TSM_BLOCK, 0);
    uint32_t name = tsm_name("from the parent", 15);
    CHECK(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER, .name = name }));
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            bool fine = true;
            for (int k = 0; k < 1000; k++) {
                fine &= tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER, .name = name });
            }
            tsm_error err;
            fine &= tsm_session_stop(session, NULL, &err) == TSM_E_STATE; /* it is the parent's */
            if (fork() == 0) {                                            /* and a grandchild */
                _exit(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER, .name = name }) ? 0 : 1);
            }
            int status;
            wait(&status);
            _exit(fine && status == 0 ? 0 : 1);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    tsm_session_stats stats = stop(session);
    CHECK_EQUAL(stats.emitted, 1 + 3 * 1001);
    CHECK_EQUAL(stats.delivered, stats.emitted);
    CHECK_EQUAL(stats.processes, 7);
    static tsm_event events[TSM_SBT_BLOCK_EVENTS];
    tsm_sbt_reader *reader;
    tsm_sbt_info info;
    tsm_error err;
    CHECK(tsm_sbt_reader_open(path, &reader, &err) == TSM_OK);
    tsm_sbt_reader_info(reader, &info);
    tsm_tables *tables = tsm_sbt_reader_tables(reader);
    for (size_t i = 0; i < info.block_count; i++) {
        CHECK(tsm_sbt_reader_read(reader, i, events, NULL, NULL, &err) == TSM_OK);
        for (uint32_t k = 0; k < tsm_sbt_reader_block(reader, i)->count; k++) {
            tsm_text text = tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, events[k].name);
            CHECK(text.size == 15 && memcmp(text.data, "from the parent", 15) == 0);
        }
    }
    tsm_sbt_reader_close(reader);
    unlink(path);
}

/* Counted by the child itself, through a pipe, while its parent stops the session under it. */
static void
a_child_that_emits_across_the_stop_is_counted_exactly(void)
{
    for (int round = 0; round < 5; round++) {
        int channel[2];
        CHECK(pipe(channel) == 0);
        tsm_session *session = start_with(TSM_BLOCK, 0);
        pid_t child = fork();
        if (child == 0) {
            uint64_t taken = 0, refused_in_a_row = 0;
            while (refused_in_a_row < 100000) {
                bool one = tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
                taken += one;
                refused_in_a_row = one ? 0 : refused_in_a_row + 1;
                if (one && taken % 64 == 0) {
                    usleep(10);
                }
            }
            _exit(write(channel[1], &taken, sizeof taken) == sizeof taken ? 0 : 1);
        }
        usleep(30000);
        tsm_session_stats stats = stop(session);
        uint64_t taken = 0;
        CHECK(read(channel[0], &taken, sizeof taken) == sizeof taken);
        CHECK_EQUAL(stats.delivered, taken);
        CHECK_EQUAL(stats.dropped, 0);
        CHECK(taken > 0);
        int status;
        waitpid(child, &status, 0);
        close(channel[0]);
        close(channel[1]);
        unlink(path);
    }
}

static void
a_full_disk_costs_events_but_not_the_program(void)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        tsm_session *session = start_with(TSM_BLOCK, UINT64_C(4) << 20);
        /* After the spool is made: it is a file too. */
        CHECK(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }));
        struct rlimit limit = { 200000, 200000 };
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        uint64_t random = 88172645463325252u;
        for (int i = 1; i < 100000; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            CHECK(tsm_emit_now(&(tsm_event){ .value = random, .type = TSM_EVENT_MARKER }));
        }
        tsm_session_stats stats;
        tsm_error err;
        CHECK(tsm_session_stop(session, &stats, &err) == TSM_E_IO);
        CHECK(err.os_error == EFBIG);
        CHECK_EQUAL(stats.emitted, 100000);
        CHECK_EQUAL(stats.emitted, stats.delivered + stats.dropped);
        CHECK(stats.lost_output > 0 && stats.delivered > 0);
        file_contents all = read_file(path, NULL, 0);
        CHECK_EQUAL(all.events, stats.delivered);
        unlink(path);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQUAL(status, 0);
}

/* A spool on a file system too small for it: never a SIGBUS, every refusal counted. */
static void
a_full_file_system_under_the_spool_is_a_counted_refusal(void)
{
    char mount_point[64];
    snprintf(mount_point, sizeof mount_point, "/tmp/tsm-tiny-%d", (int)getpid());
    CHECK(mkdir(mount_point, 0700) == 0);
    if (mount("tmpfs", mount_point, "tmpfs", 0, "size=2m") != 0) {
        fprintf(stderr, "skipped: cannot mount a tmpfs here\n");
        rmdir(mount_point);
        return;
    }
    tsm_session_config config = tsm_session_config_default();
    tsm_session *session;
    tsm_error err = { 0 };
    config.output = "/tmp/tsm-tiny.sbt";
    config.spool_parent = mount_point;
    config.policy = TSM_DROP_NEWEST;
    CHECK(tsm_session_start(&config, &session, &err) == TSM_OK);
    uint64_t taken = 0;
    for (int i = 0; i < 300000; i++) {
        taken += tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
    }
    for (int i = 0; i < 100000; i++) { /* and names, until their log finds no room either */
        char name[100];
        int size = snprintf(name, sizeof name, "%090d", i);
        CHECK(tsm_name(name, (size_t)size) != 0);
    }
    tsm_session_stats stats = stop(session);
    CHECK_EQUAL(stats.emitted, 300000);
    CHECK_EQUAL(stats.delivered, taken);
    CHECK(stats.names_refused > 0 && taken > 0);
    CHECK(umount(mount_point) == 0);
    rmdir(mount_point);
    unlink("/tmp/tsm-tiny.sbt");
}

static void *
emit_one(void *argument)
{
    *(bool *)argument = tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER });
    usleep(200000); /* all at once */
    return NULL;
}

static void
thousands_of_threads_are_served(void)
{
    enum { THREADS = 3000 };
    static pthread_t threads[THREADS];
    static bool taken[THREADS];
    tsm_session *session = start_with(TSM_DROP_NEWEST, 0);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    uint64_t started = 0;
    while (started < THREADS && pthread_create(&threads[started], &small, emit_one, &taken[started]) == 0) {
        started++;
    }
    uint64_t sum = 0;
    for (uint64_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        sum += taken[i];
    }
    CHECK(started > 1000);
    tsm_session_stats stats = stop(session);
    CHECK_EQUAL(stats.emitted, started);
    CHECK_EQUAL(stats.delivered, sum);
    CHECK_EQUAL(stats.dropped, 0);
    unlink(path);
}

/* A vfork child borrows the parent's memory until it execs; a child of _Fork runs no handlers. */
static void
vfork_and_exec_and_bare_forks_do_no_harm(void)
{
    tsm_session *session = start_with(TSM_BLOCK, 0);
    CHECK(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }));
    for (int i = 0; i < 10; i++) {
        pid_t child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        child = _Fork();
        if (child == 0) {
            _exit(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }) ? 0 : 1);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        CHECK(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }));
    }
    tsm_session_stats stats = stop(session);
    CHECK_EQUAL(stats.delivered, 21);
    CHECK_EQUAL(stats.emitted, 21);
    unlink(path);
}

static void
ten_million_names_end_in_overflow_and_not_in_tears(void)
{
    tsm_session *session = start_with(TSM_BLOCK, UINT64_C(4) << 20);
    uint32_t overflow = 0;
    for (int i = 0; i < 10000000; i++) {
        char name[24];
        int size = snprintf(name, sizeof name, "%d", i);
        uint32_t id = tsm_name(name, (size_t)size);
        overflow += id == 1;
        if (i % 1000 == 0) {
            CHECK(tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER, .name = id }));
        }
    }
    tsm_session_stats stats = stop(session);
    CHECK_EQUAL(stats.names_refused, overflow);
    CHECK(overflow > 9000000);
    CHECK_EQUAL(stats.delivered, 10000);
    unlink(path);
}

static void
an_output_that_cannot_be_is_an_error_with_a_cause(void)
{
    tsm_session_config config = tsm_session_config_default();
    tsm_session *session;
    tsm_error err;
    CHECK(tsm_session_start(&config, &session, &err) == TSM_E_ARG);
    config.output = "/nonexistent/folder/x.sbt";
    CHECK(tsm_session_start(&config, &session, &err) == TSM_E_IO);
    CHECK(err.os_error == ENOENT && strstr(err.text, "/nonexistent") != NULL);
    config.output = "/tmp";
    CHECK(tsm_session_start(&config, &session, &err) == TSM_E_IO);
    config.output = "/tmp/tsm-huge.sbt";
    config.buffer_bytes = UINT64_MAX;
    CHECK(tsm_session_start(&config, &session, &err) == TSM_E_ARG);
    unlink("/tmp/tsm-huge.sbt");
    CHECK(!tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER }));
}

static const unit_test tests[] = {
    UNIT(a_stopped_session_leaves_a_whole_file),
    UNIT(a_second_session_is_refused_by_name),
    UNIT(counts_are_exact_when_blocking),
    UNIT(counts_are_exact_when_dropping_the_newest),
    UNIT(counts_are_exact_when_dropping_the_oldest),
    UNIT(many_threads_at_once_are_all_recorded),
    UNIT(events_come_back_with_all_their_fields_and_extensions),
    UNIT(durations_are_nanoseconds_however_the_event_was_stamped),
    UNIT(a_flush_makes_everything_so_far_readable),
    UNIT(a_flush_returns_while_others_go_on_emitting),
    UNIT(what_is_emitted_while_paused_is_not_counted),
    UNIT(children_are_in_the_same_file),
    UNIT(a_child_that_emits_across_the_stop_is_counted_exactly),
    UNIT(a_full_disk_costs_events_but_not_the_program),
    UNIT(a_full_file_system_under_the_spool_is_a_counted_refusal),
    UNIT(thousands_of_threads_are_served),
    UNIT(vfork_and_exec_and_bare_forks_do_no_harm),
    UNIT(ten_million_names_end_in_overflow_and_not_in_tears),
    UNIT(an_output_that_cannot_be_is_an_error_with_a_cause),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
