/* The rows of the drain: how fast it empties the buffers, and what it takes to make it lose events.
 *
 *     drain sustained OUTPUT ROUNDS BUFFER_MB
 *     drain paced OUTPUT SECONDS BUFFER_MB       at 0.45 of the encoder's own rate
 *     drain stopped OUTPUT SECONDS BUFFER_MS     the same, with the drain stopped for 100 ms once */
#include "bench.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbt/layout.h"

#define SAMPLE_BLOCKS     64u
#define VARIANTS          1024u
#define NAMES             100u
#define TIMES_THE_BUFFERS 50u
#define SHARE_OF_ENCODER  0.45
#define STOP_MS           100
#define MOST_AT_ONCE      4096u /* events between two looks at the clock */

static tsm_session *
start(const char *output, uint64_t buffer_bytes, tsm_overflow_policy policy)
{
    tsm_session_config config = tsm_session_config_default();
    config.output = output;
    config.buffer_bytes = buffer_bytes;
    config.policy = policy;
    tsm_session *session;
    tsm_error err;
    pin(DRAIN_CORE);
    check(tsm_session_start(&config, &session, &err), &err);
    return session;
}

/* ---- What is emitted: as varied as a training step, because the encoder's cost depends on it ---- */

static tsm_event variants[VARIANTS];

static void
make_variants(void)
{
    uint32_t names[NAMES], device = tsm_device(0), random = 1;
    for (uint32_t i = 0; i < NAMES; i++) {
        char text[64];
        int size = snprintf(text, sizeof text, "ampere_sgemm_%ux%u_tn_%03u", 32 * (i % 4 + 1), 64 * (i % 2 + 1), i);
        names[i] = tsm_name(text, (size_t)size);
    }
    for (size_t i = 0; i < VARIANTS; i++) {
        random = random * 1664525u + 1013904223u;
        uint64_t share = random >> 16; /* of 65536; cubed, so that few names are most */
        variants[i] = (tsm_event){ .type = TSM_EVENT_KERNEL_COMPLETE,
                                   .name = names[share * share * share * NAMES >> 48],
                                   .duration = 500 + (random >> 8 & 8191) * (1 + (random >> 4 & 3)),
                                   .stream = tsm_stream(0, 7 + (random >> 28 & 3)),
                                   .device = device };
    }
}

/* Returns how many were refused. */
static uint64_t
emit_variants(uint64_t first, uint64_t count)
{
    uint64_t refused = 0;
    for (uint64_t i = first; i < first + count; i++) {
        tsm_event *event = &variants[i % VARIANTS];
        event->correlation = 3 * i + (i & 1);
        refused += !tsm_emit_now(event);
    }
    return refused;
}

/* ---- The encoder alone ---------------------------------------------------------------------- */

typedef struct {
    tsm_event *events;
    uint32_t counts[SAMPLE_BLOCKS];
    size_t blocks;
} sample;

/* The very events that the drain has just written, from the file's middle. */
static sample
take_sample(const char *path)
{
    sample taken = { 0 };
    tsm_sbt_reader *reader;
    tsm_sbt_info info;
    tsm_error err;
    check(tsm_sbt_reader_open(path, &reader, &err), &err);
    tsm_sbt_reader_info(reader, &info);
    taken.events = calloc(SAMPLE_BLOCKS * TSM_SBT_BLOCK_EVENTS, sizeof *taken.events);
    require(taken.events != NULL && info.block_count >= SAMPLE_BLOCKS, "the sample is too small");
    size_t first = ((size_t)info.block_count - SAMPLE_BLOCKS) / 2;
    for (; taken.blocks < SAMPLE_BLOCKS; taken.blocks++) {
        size_t block = first + taken.blocks;
        tsm_event *to = taken.events + taken.blocks * TSM_SBT_BLOCK_EVENTS;
        check(tsm_sbt_reader_read(reader, block, to, NULL, NULL, &err), &err);
        taken.counts[taken.blocks] = tsm_sbt_reader_block(reader, block)->count;
    }
    tsm_sbt_reader_close(reader);
    return taken;
}

/* Events per second, encoded to memory on the drain's core. */
static double
time_encoder(const sample *taken, uint64_t wanted)
{
    sbt_encoder *encoder;
    sbt_buffer out = { 0 };
    uint64_t events = 0;
    pin(DRAIN_CORE);
    require(sbt_encoder_create(TSM_SBT_PLAIN, &encoder) == TSM_OK, "no memory for an encoder");
    uint64_t begin = tsm_clock_ns();
    for (size_t i = 0; events < wanted; i = (i + 1) % taken->blocks) {
        const tsm_event *block = taken->events + i * TSM_SBT_BLOCK_EVENTS;
        out.size = 0;
        sbt_block_begin(encoder);
        sbt_block_add(encoder, block, taken->counts[i], block);
        sbt_block_encode(encoder, NULL, NULL, 0, events, NULL, 0, &out);
        events += taken->counts[i];
        use(out.size);
    }
    double seconds = (double)(tsm_clock_ns() - begin) / 1e9;
    require(!out.failed, "no memory to encode into");
    sbt_encoder_destroy(encoder);
    free(out.data);
    return (double)events / seconds;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
encoder_rate(const sample *taken, uint64_t events)
{
    double rates[9];
    for (int i = 0; i < 9; i++) {
        rates[i] = time_encoder(taken, events / 9);
    }
    qsort(rates, 9, sizeof *rates, compare);
    return rates[4];
}

/* ---- Sustained ------------------------------------------------------------------------------- */

/* Events per second from the first emit until all of them are in the closed file. */
static double
block_rate(const char *output, uint64_t buffer_bytes, uint64_t events)
{
    tsm_session *session = start(output, buffer_bytes, TSM_BLOCK);
    tsm_session_stats stats;
    tsm_error err;
    pin(OUR_CORE);
    make_variants();
    uint64_t begin = tsm_clock_ns();
    uint64_t refused = emit_variants(1, events);
    check(tsm_session_stop(session, &stats, &err), &err);
    uint64_t end = tsm_clock_ns();
    require(refused == 0 && stats.dropped == 0 && stats.delivered == events, "the block policy lost events");
    return (double)events / ((double)(end - begin) / 1e9);
}

static void
measure_sustained(const char *output, int rounds, uint64_t buffer_bytes)
{
    uint64_t events = TIMES_THE_BUFFERS * buffer_bytes / sizeof(tsm_event);
    for (int i = -1; i < rounds; i++) {
        double ours = block_rate(output, buffer_bytes, events);
        sample taken = take_sample(output);
        double alone = encoder_rate(&taken, events / 4);
        free(taken.events);
        unlink(output);
        if (i >= 0) {
            printf("pair %.4f %.4f\n", ours / 1e6, alone / 1e6);
            fflush(stdout);
        }
    }
}

/* ---- At a steady rate ------------------------------------------------------------------------ */

/* The parent's drain is stopped in the middle of the time. */
static void
emit_at_rate(double rate, double seconds, bool stop_once)
{
    pin(OUR_CORE);
    make_variants();
    uint64_t begin = tsm_clock_ns(), sent = 0, total = (uint64_t)(rate * seconds);
    double stop_at = stop_once ? seconds / 2 : INFINITY, resume_at = stop_at + STOP_MS / 1e3;
    while (sent < total) {
        double now = (double)(tsm_clock_ns() - begin) / 1e9;
        uint64_t due = now >= seconds ? total : (uint64_t)(rate * now);
        if (due > sent) {
            uint64_t count = due - sent < MOST_AT_ONCE ? due - sent : MOST_AT_ONCE;
            emit_variants(sent, count);
            sent += count;
        }
        if (now >= stop_at) {
            kill(getppid(), SIGSTOP);
            stop_at = INFINITY;
        } else if (now >= resume_at) {
            kill(getppid(), SIGCONT);
            resume_at = INFINITY;
        }
    }
    kill(getppid(), SIGCONT); /* also when the emits were too slow for their rate */
}

static void
measure_paced(const char *output, double seconds, double buffer, bool stop_once)
{
    block_rate(output, UINT64_C(4) << 20, 2000000);
    sample taken = take_sample(output);
    double rate = SHARE_OF_ENCODER * encoder_rate(&taken, 8000000);
    free(taken.events);
    uint64_t buffer_bytes = (uint64_t)(stop_once ? buffer / 1e3 * rate * sizeof(tsm_event) : buffer * 1048576);
    tsm_session *session = start(output, buffer_bytes, TSM_DROP_NEWEST);
    tsm_session_stats stats;
    tsm_error err;
    int outcome = 0;
    pid_t child = fork();
    if (child == 0) {
        emit_at_rate(rate, seconds, stop_once);
        _exit(0);
    }
    require(child > 0 && waitpid(child, &outcome, 0) == child && outcome == 0, "the child failed");
    check(tsm_session_stop(session, &stats, &err), &err);
    require(stats.emitted == (uint64_t)(rate * seconds) && stats.emitted == stats.delivered + stats.dropped,
            "events are missing from the counts");
    printf("value %llu\n", (unsigned long long)stats.dropped);
    printf("note %.1f million events at %.1f million/s, %.0f MB of buffers\n", (double)stats.emitted / 1e6, rate / 1e6,
           (double)buffer_bytes / 1e6);
    unlink(output);
}

int
main(int argc, char **argv)
{
    require(argc == 5, "usage: drain sustained | paced | stopped  OUTPUT ROUNDS-OR-SECONDS BUFFER");
    double amount = atof(argv[3]), buffer = atof(argv[4]);
    if (strcmp(argv[1], "sustained") == 0) {
        measure_sustained(argv[2], (int)amount, (uint64_t)(buffer * 1048576));
    } else {
        measure_paced(argv[2], amount, buffer, strcmp(argv[1], "stopped") == 0);
    }
    return 0;
}
