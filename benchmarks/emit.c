/* The emit rows. A forked child emits, through the shared library as a user's program does, into the
 * session of its parent, whose drain it can thus stop (SIGSTOP) to be measured alone.
 *
 *     emit solo | live | two | lttng PROVIDER | count N   OUTPUT ROUNDS */
#include "bench.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOLO_EVENTS 100000u
#define LIVE_EVENTS 200000u
#define TWO_EVENTS  150000u
#define SOLO_BUFFER (UINT64_C(1) << 20) /* stays in a core's cache */
#define TWO_BUFFER  (UINT64_C(128) << 20)
#define WARM_UP     3

/* What the events carry. */
typedef struct {
    uint32_t name, stream, device;
} vocabulary;

static vocabulary
make_vocabulary(void)
{
    static const char text[] = "void at::native::vectorized_elementwise_kernel<4, at::native::Functor>";
    return (vocabulary){ tsm_name(text, sizeof text - 1), tsm_stream(0, 7), tsm_device(0) };
}

/* Returns how many were refused. Every field is stored per event, as a caller would. */
static uint64_t
emit_many(const vocabulary *words, uint64_t first, uint64_t count)
{
    uint64_t refused = 0;
    for (uint64_t i = first; i < first + count; i++) {
        refused += !tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_KERNEL_COMPLETE,
                                               .flags = TSM_VALUE_BYTES,
                                               .duration = i & 4095,
                                               .correlation = i,
                                               .value = i & 65535,
                                               .name = words->name,
                                               .stream = words->stream,
                                               .device = words->device });
    }
    return refused;
}

static void
stop_drain(void)
{
    kill(getppid(), SIGSTOP);
    nap_ms(2);
}

static void
resume_drain(void)
{
    kill(getppid(), SIGCONT);
}

static double
time_emits(const vocabulary *words, uint64_t count, bool lossless)
{
    uint64_t begin = tsm_clock_ns();
    uint64_t refused = emit_many(words, 1, count);
    uint64_t end = tsm_clock_ns();
    require(!lossless || refused == 0, "events were refused: the buffers were not large enough");
    return (double)(end - begin) / (double)count;
}

static double
time_rdtsc(uint64_t count)
{
    uint64_t begin = tsm_clock_ns();
    for (uint64_t i = 0; i < count; i++) {
        use(tsm_clock_ticks());
    }
    return (double)(tsm_clock_ns() - begin) / (double)count;
}

static void
measure_solo(const vocabulary *words, int rounds)
{
    stop_drain();
    for (int i = -WARM_UP; i < rounds; i++) {
        double ours = time_emits(words, SOLO_EVENTS, false), floor = time_rdtsc(SOLO_EVENTS);
        if (i >= 0) {
            printf("pair %.3f %.3f\n", ours, floor);
        }
    }
    resume_drain();
}

static void
measure_live(const vocabulary *words, int rounds)
{
    for (int i = -WARM_UP; i < rounds; i++) {
        double ours = time_emits(words, LIVE_EVENTS, true), floor = time_rdtsc(LIVE_EVENTS);
        if (i >= 0) {
            printf("pair %.3f %.3f\n", ours, floor);
        }
        nap_ms(50);
    }
}

static void
measure_lttng(const vocabulary *words, int rounds, const char *provider)
{
    void *library = dlopen(provider, RTLD_NOW);
    require(library != NULL, dlerror());
    bool (*enabled)(void);
    void (*trace)(uint64_t);
    *(void **)&enabled = dlsym(library, "lttng_row_enabled");
    *(void **)&trace = dlsym(library, "lttng_row_trace");
    require(enabled != NULL && trace != NULL, "the provider lacks its functions");
    for (int ms = 0; ms < 5000 && !enabled(); ms += 10) {
        nap_ms(10);
    }
    require(enabled(), "LTTng did not enable the tracepoint");
    stop_drain();
    for (int i = -WARM_UP; i < rounds; i++) {
        double ours = time_emits(words, SOLO_EVENTS, false);
        uint64_t begin = tsm_clock_ns();
        trace(SOLO_EVENTS);
        double theirs = (double)(tsm_clock_ns() - begin) / SOLO_EVENTS;
        if (i >= 0) {
            printf("pair %.3f %.3f\n", ours, theirs);
        }
    }
    resume_drain();
}

/* ---- Two producers -------------------------------------------------------------------------- */

/* Each turn is begun by raising turn; who takes part emits from start_ns on. */
typedef struct {
    const vocabulary *words;
    _Atomic unsigned turn, done;
    bool second_takes_part, quit;
    uint64_t start_ns;
    double second_ns;
} relay;

/* From the common start to this thread's last event, so that a late start counts too. */
static double
run_turn(relay *race)
{
    while (tsm_clock_ns() < race->start_ns) {
    }
    require(emit_many(race->words, 1, TWO_EVENTS) == 0, "events were refused: the buffers were not large enough");
    return (double)(tsm_clock_ns() - race->start_ns);
}

static void *
second_thread(void *argument)
{
    relay *race = argument;
    pin(DRAIN_CORE);
    for (unsigned turn = 1;; turn++) {
        while (atomic_load_explicit(&race->turn, memory_order_acquire) < turn) {
        }
        if (race->quit) {
            return NULL;
        }
        if (race->second_takes_part) {
            race->second_ns = run_turn(race);
        }
        atomic_store_explicit(&race->done, turn, memory_order_release);
    }
}

/* Nanoseconds until the last of them was through. */
static double
take_turn(relay *race, bool first, bool second)
{
    race->second_takes_part = second;
    race->second_ns = 0;
    race->start_ns = tsm_clock_ns() + 20000;
    unsigned turn = atomic_fetch_add_explicit(&race->turn, 1, memory_order_release) + 1;
    double first_ns = first ? run_turn(race) : 0;
    while (atomic_load_explicit(&race->done, memory_order_acquire) < turn) {
    }
    return first_ns > race->second_ns ? first_ns : race->second_ns;
}

static void
measure_two(const vocabulary *words, int rounds)
{
    relay race = { .words = words };
    pthread_t second;
    require(pthread_create(&second, NULL, second_thread, &race) == 0, "cannot start a thread");
    for (int i = -WARM_UP; i < rounds; i++) {
        stop_drain();
        double one = (take_turn(&race, true, false) + take_turn(&race, false, true)) / 2;
        double both = take_turn(&race, true, true);
        resume_drain();
        if (i >= 0) { /* events per microsecond */
            printf("pair %.3f %.3f\n", 2e3 * TWO_EVENTS / both, 1e3 * TWO_EVENTS / one);
        }
        nap_ms(100);
    }
    race.quit = true;
    atomic_fetch_add(&race.turn, 1);
    pthread_join(second, NULL);
}

/* --------------------------------------------------------------------------------------------- */

/* For callgrind, which counts inside tsm_emit_now only. */
static void
count_emits(const vocabulary *words, uint64_t count)
{
    tsm_event event = { .type = TSM_EVENT_KERNEL_COMPLETE, .name = words->name, .stream = words->stream };
    for (uint64_t i = 0; i < count; i++) {
        event.correlation = i;
        tsm_emit_now(&event);
    }
}

static void
measure(const char *mode, const char *detail, int rounds)
{
    pin(OUR_CORE);
    vocabulary words = make_vocabulary();
    if (strcmp(mode, "solo") == 0) {
        measure_solo(&words, rounds);
    } else if (strcmp(mode, "live") == 0) {
        measure_live(&words, rounds);
    } else if (strcmp(mode, "two") == 0) {
        measure_two(&words, rounds);
    } else if (strcmp(mode, "lttng") == 0) {
        measure_lttng(&words, rounds, detail);
    } else {
        count_emits(&words, (uint64_t)atoll(detail));
        printf("note child %d\n", (int)getpid());
    }
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    require(argc >= 4, "usage: emit solo | live | two | lttng PROVIDER | count N   OUTPUT ROUNDS");
    const char *mode = argv[1];
    bool alone = strcmp(mode, "solo") == 0 || strcmp(mode, "lttng") == 0;
    tsm_session_config config = tsm_session_config_default();
    config.output = argv[argc - 2];
    config.policy = alone ? TSM_DROP_OLDEST : TSM_DROP_NEWEST;
    config.buffer_bytes = alone ? SOLO_BUFFER : strcmp(mode, "two") == 0 ? TWO_BUFFER : 0;
    tsm_session *session;
    tsm_error err;
    int outcome = 0;
    pin(DRAIN_CORE);
    check(tsm_session_start(&config, &session, &err), &err);
    pid_t child = fork();
    if (child == 0) {
        measure(mode, argv[2], atoi(argv[argc - 1]));
        _exit(0);
    }
    require(child > 0 && waitpid(child, &outcome, 0) == child, "cannot run the child");
    check(tsm_session_stop(session, NULL, &err), &err);
    unlink(config.output);
    return outcome == 0 ? 0 : 1;
}
