/* The file's rows, on the standard set as python_rows.py has written it.
 *
 *     sbt write | columns | window | plain | zstd   STANDARD.sbt SCRATCH ROUNDS
 *
 * SCRATCH is a folder, on tmpfs if there is one. */
#include "bench.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbt/sbt.h"

#define WINDOW_SHARE 100 /* of the trace's time, one part */

typedef struct {
    tsm_sbt_reader *reader;
    tsm_sbt_info info;
    tsm_event *events;
    char path[PATH_MAX];
} standard_set;

static void
load(standard_set *set, const char *path, const char *scratch)
{
    tsm_error err;
    check(tsm_sbt_reader_open(path, &set->reader, &err), &err);
    tsm_sbt_reader_info(set->reader, &set->info);
    set->events = malloc(set->info.event_count * sizeof *set->events);
    require(set->events != NULL, "no memory");
    for (size_t i = 0; i < set->info.block_count; i++) {
        uint64_t first = tsm_sbt_reader_block(set->reader, i)->first_event;
        check(tsm_sbt_reader_read(set->reader, i, set->events + first, NULL, NULL, &err), &err);
    }
    snprintf(set->path, sizeof set->path, "%s/row", scratch);
}

static double
per_event(const standard_set *set, uint64_t ns)
{
    return (double)ns / (double)set->info.event_count;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* The tables go into a fresh writer in the order of their rows, so the ids stay what they are. */
static void
fill_tables(const standard_set *set, tsm_sbt_writer *writer)
{
    tsm_remap *remap;
    tsm_event last = set->events[set->info.event_count - 1];
    tsm_event same = last;
    require(tsm_remap_create(&remap) == TSM_OK, "no memory");
    require(tsm_remap_tables(remap, tsm_sbt_writer_tables(writer), tsm_sbt_reader_tables(set->reader)) == TSM_OK,
            "the tables could not be copied");
    tsm_remap_events(remap, &same, 1);
    require(memcmp(&last, &same, sizeof last) == 0, "ids have changed");
    tsm_remap_destroy(remap);
}

/* Nanoseconds per event from open to close; the tables' interning is not the row's subject. */
static double
time_sbt(const standard_set *set, tsm_sbt_compression compression, uint64_t *bytes)
{
    tsm_sbt_writer *writer;
    tsm_error err;
    struct stat facts;
    unlink(set->path);
    uint64_t begin = tsm_clock_ns();
    check(tsm_sbt_writer_open(set->path, compression, &writer, &err), &err);
    uint64_t spent = tsm_clock_ns() - begin;
    fill_tables(set, writer);
    begin = tsm_clock_ns();
    check(tsm_sbt_writer_append(writer, &(tsm_batch){ .events = set->events, .count = set->info.event_count }, &err),
          &err);
    check(tsm_sbt_writer_close(writer, &err), &err);
    spent += tsm_clock_ns() - begin;
    require(stat(set->path, &facts) == 0, "the file is gone");
    *bytes = (uint64_t)facts.st_size;
    unlink(set->path);
    return per_event(set, spent);
}

static double
time_raw(const standard_set *set)
{
    const char *at = (const char *)set->events;
    uint64_t left = set->info.event_count * sizeof *set->events;
    unlink(set->path);
    uint64_t begin = tsm_clock_ns();
    int fd = open(set->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    require(fd >= 0, "cannot write to the scratch folder");
    while (left > 0) {
        uint64_t piece = TSM_SBT_BLOCK_EVENTS * sizeof *set->events;
        ssize_t wrote = write(fd, at, left < piece ? left : piece);
        require(wrote > 0, "cannot write to the scratch folder");
        at += wrote;
        left -= (uint64_t)wrote;
    }
    close(fd);
    uint64_t spent = tsm_clock_ns() - begin;
    unlink(set->path);
    return per_event(set, spent);
}

static void
measure_write(const standard_set *set, int rounds)
{
    uint64_t bytes;
    for (int i = -1; i < rounds; i++) {
        double ours = time_sbt(set, TSM_SBT_PLAIN, &bytes), raw = time_raw(set);
        if (i >= 0) {
            printf("pair %.3f %.3f\n", ours, raw);
        }
    }
}

static void
measure_size(const standard_set *set, tsm_sbt_compression compression)
{
    uint64_t bytes;
    if (compression == TSM_SBT_ZSTD && !tsm_sbt_zstd_available()) {
        printf("skip this build has no zstd\n");
        return;
    }
    double ns = time_sbt(set, compression, &bytes);
    printf("value %.3f\nnote %.0f ns per event to write\n", per_event(set, bytes), ns);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static const size_t field_bytes[] = {
#define X(type, field, format, text) sizeof(type),
    TSM_EVENT_FIELDS(X)
#undef X
};

static void
make_columns(const standard_set *set, void *columns[TSM_EVENT_FIELD_COUNT])
{
    for (size_t i = 0; i < TSM_EVENT_FIELD_COUNT; i++) {
        columns[i] = malloc(set->info.event_count * field_bytes[i]);
        require(columns[i] != NULL, "no memory");
        memset(columns[i], 1, set->info.event_count * field_bytes[i]);
    }
}

static double
time_columns(const standard_set *set, void *const columns[TSM_EVENT_FIELD_COUNT])
{
    tsm_error err;
    uint64_t begin = tsm_clock_ns();
    for (size_t i = 0; i < set->info.block_count; i++) {
        void *part[TSM_EVENT_FIELD_COUNT];
        for (size_t k = 0; k < TSM_EVENT_FIELD_COUNT; k++) {
            part[k] = (char *)columns[k] + tsm_sbt_reader_block(set->reader, i)->first_event * field_bytes[k];
        }
        check(tsm_sbt_reader_read_columns(set->reader, i, part, &err), &err);
    }
    return per_event(set, tsm_clock_ns() - begin);
}

static double
time_copies(const standard_set *set, void *const to[TSM_EVENT_FIELD_COUNT], void *const from[TSM_EVENT_FIELD_COUNT])
{
    uint64_t begin = tsm_clock_ns();
    for (size_t k = 0; k < TSM_EVENT_FIELD_COUNT; k++) {
        memcpy(to[k], from[k], set->info.event_count * field_bytes[k]);
        __asm__ volatile("" : : "r"(to[k]) : "memory");
    }
    return per_event(set, tsm_clock_ns() - begin);
}

static void
measure_columns(const standard_set *set, int rounds)
{
    void *columns[TSM_EVENT_FIELD_COUNT], *copies[TSM_EVENT_FIELD_COUNT];
    make_columns(set, columns);
    make_columns(set, copies);
    for (int i = -1; i < rounds; i++) {
        double ours = time_columns(set, columns), copied = time_copies(set, copies, columns);
        if (i >= 0) {
            printf("pair %.3f %.3f\n", ours, copied);
        }
    }
}

/* Microseconds to read what touches [begin, end). */
static double
time_window(const standard_set *set, uint64_t begin_ns, uint64_t end_ns, uint64_t *events)
{
    tsm_cursor *cursor;
    tsm_batch batch;
    tsm_error err;
    *events = 0;
    uint64_t begin = tsm_clock_ns();
    check(tsm_sbt_reader_cursor(set->reader, begin_ns, end_ns, &cursor), &(tsm_error){ .text = "no cursor" });
    tsm_status status;
    while ((status = tsm_cursor_next(cursor, &batch, &err)) == TSM_OK) {
        *events += batch.count;
        use((uint64_t)(uintptr_t)batch.events);
    }
    require(status == TSM_E_END, err.text);
    tsm_cursor_close(cursor);
    return (double)(tsm_clock_ns() - begin) / 1e3;
}

static void
measure_window(const standard_set *set, int rounds)
{
    uint64_t whole = set->info.end_ns - set->info.begin_ns, width = whole / WINDOW_SHARE, events, all;
    for (int i = -1; i < rounds; i++) {
        uint64_t at = set->info.begin_ns + (whole - width) / (uint64_t)(rounds + 1) * (uint64_t)(i + 1);
        double ours = time_window(set, at, at + width, &events);
        double full = time_window(set, 0, UINT64_MAX, &all);
        require(all == set->info.event_count && events * WINDOW_SHARE > all / 2, "events are missing");
        if (i >= 0) {
            printf("pair %.3f %.3f\n", ours, full);
        }
    }
}

int
main(int argc, char **argv)
{
    require(argc == 5, "usage: sbt write | columns | window | plain | zstd  STANDARD.sbt SCRATCH ROUNDS");
    static standard_set set;
    int rounds = atoi(argv[4]);
    pin(OUR_CORE);
    load(&set, argv[2], argv[3]);
    if (strcmp(argv[1], "write") == 0) {
        measure_write(&set, rounds);
    } else if (strcmp(argv[1], "columns") == 0) {
        measure_columns(&set, rounds);
    } else if (strcmp(argv[1], "window") == 0) {
        measure_window(&set, rounds);
    } else {
        measure_size(&set, strcmp(argv[1], "zstd") == 0 ? TSM_SBT_ZSTD : TSM_SBT_PLAIN);
    }
    return 0;
}
