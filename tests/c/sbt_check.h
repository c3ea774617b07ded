/* What the tests of the file share: traces to write, and how to compare what comes back. */
#ifndef TSM_TESTS_SBT_CHECK_H
#define TSM_TESTS_SBT_CHECK_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbt/sbt.h"
#include "trace/trace.h"
#include "unit.h"

static tsm_error err;

#define FAIL(...)                                       \
    do {                                                \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
        fprintf(stderr, __VA_ARGS__);                   \
        fputc('\n', stderr);                            \
        exit(1);                                        \
    } while (0)

#define OK(call)                                                           \
    do {                                                                   \
        tsm_status status_ = (call);                                       \
        if (status_ != TSM_OK) {                                           \
            FAIL("%s: %s: %s", #call, tsm_status_text(status_), err.text); \
        }                                                                  \
    } while (0)

#define REFUSED(call, wanted)                                                 \
    do {                                                                      \
        tsm_status status_ = (call);                                          \
        if (status_ != (wanted)) {                                            \
            FAIL("%s: %s, not %s", #call, tsm_status_text(status_), #wanted); \
        }                                                                     \
    } while (0)

static uint64_t random_state = 88172645463325252u;

static inline uint64_t
next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static inline uint64_t
below(uint64_t limit)
{
    return next_random() % limit;
}

/* Any size of number, the small ones as likely as the large. */
static inline uint64_t
random_any(void)
{
    return next_random() >> below(64);
}

static char path[256];

static inline const char *
scratch_path(void)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/test_sbt.%d.sbt", folder == NULL ? "/tmp" : folder, (int)getpid());
    return path;
}

typedef struct {
    tsm_event *events;
    size_t count;
    tsm_extension *extensions;
    uint32_t *rows;
    size_t extension_count;
} trace;

static inline trace
make_trace(size_t count, size_t extension_count)
{
    return (trace){ calloc(count + 1, sizeof(tsm_event)), count, calloc(extension_count + 1, sizeof(tsm_extension)),
                    calloc(extension_count + 1, sizeof(uint32_t)), extension_count };
}

static inline void
free_trace(trace *t)
{
    free(t->events);
    free(t->extensions);
    free(t->rows);
}

static inline tsm_batch
batch_of(const trace *t)
{
    return (tsm_batch){ t->events, t->count, t->extensions, t->rows, t->extension_count };
}

/* About what a training step looks like. */
static inline void
fill_plausible(trace *t, uint64_t start)
{
    uint64_t at = start, correlation = 1000;
    for (size_t i = 0; i < t->count; i++) {
        at += below(5000);
        correlation += 1 + below(3);
        uint32_t name = 1 + (uint32_t)below(40);
        t->events[i] = (tsm_event){ .timestamp = at,
                                    .duration = 500 + (next_random() >> 44) / (1 + below(100)),
                                    .correlation = correlation,
                                    .name = name,
                                    .thread = 1,
                                    .stream = (uint32_t[]){ 7, 20, 24, 28 }[below(4)],
                                    .device = 1,
                                    .extra = name * 3,
                                    .type = name < 20 ? TSM_EVENT_KERNEL_LAUNCH : TSM_EVENT_MEMCPY_H2D,
                                    .flags = TSM_EXTRA_LAUNCH };
    }
}

static inline void
fill_extensions(trace *t)
{
    for (size_t i = 0; i < t->extension_count; i++) {
        t->rows[i] = (uint32_t)(i * t->count / t->extension_count);
        t->extensions[i] = (tsm_extension){ .type = TSM_SLOT_EXTENSION,
                                            .count = (uint16_t)(1 + below(7)),
                                            .schema = 1 + (uint32_t)below(3) };
        for (unsigned value = 0; value < TSM_EXTENSION_VALUES; value++) {
            t->extensions[i].values[value] = value < 2 ? 0x7f0000000000u + i * 64 : random_any();
        }
    }
}

/* Reads all blocks of reader, one behind the other. */
static inline trace
read_all(const tsm_sbt_reader *reader)
{
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    trace t = make_trace(info.event_count, info.extension_count);
    size_t count = 0, extensions = 0;
    for (size_t i = 0; i < info.block_count; i++) {
        const tsm_sbt_block_info *block = tsm_sbt_reader_block(reader, i);
        OK(tsm_sbt_reader_read(reader, i, t.events + count, t.extensions + extensions, t.rows + extensions, &err));
        for (size_t k = 0; k < block->extension_count; k++) {
            t.rows[extensions + k] += (uint32_t)count;
        }
        CHECK_EQUAL(block->first_event, count);
        count += block->count;
        extensions += block->extension_count;
    }
    CHECK_EQUAL(count, info.event_count);
    CHECK_EQUAL(extensions, info.extension_count);
    return t;
}

static inline void
check_same(const trace *got, const trace *wanted)
{
    CHECK_EQUAL(got->count, wanted->count);
    CHECK_EQUAL(got->extension_count, wanted->extension_count);
    for (size_t i = 0; i < got->count; i++) {
        if (memcmp(&got->events[i], &wanted->events[i], sizeof(tsm_event)) != 0) {
            FAIL("event %zu of %zu differs", i, got->count);
        }
    }
    for (size_t i = 0; i < got->extension_count; i++) {
        CHECK_EQUAL(got->rows[i], wanted->rows[i]);
        CHECK(memcmp(&got->extensions[i], &wanted->extensions[i], sizeof(tsm_extension)) == 0);
    }
}

static inline void
add_rows(tsm_tables *tables, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        char name[64];
        uint32_t text, row;
        int size = snprintf(name, sizeof name, "kernel number %u", tsm_tables_count(tables, TSM_TABLE_STRINGS));
        OK(tsm_tables_add_text(tables, TSM_TABLE_STRINGS, name, (size_t)size, &text));
        OK(tsm_tables_add(tables, TSM_TABLE_LAUNCHES, (uint64_t[14]){ text, 1, 1, 256, [13] = 0 }, &row));
        OK(tsm_tables_add(tables, TSM_TABLE_STACKS, (uint64_t[2]){ row - 1, text }, &row));
    }
}

/* A small file with everything in it: tables, extensions, positions, several blocks. */
static inline void
write_small(const trace *parts, size_t count, bool close_it)
{
    tsm_sbt_writer *writer;
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    for (size_t i = 0; i < count; i++) {
        add_rows(tsm_sbt_writer_tables(writer), 3);
        tsm_batch batch = batch_of(&parts[i]);
        tsm_sbt_position positions[] = { { 1, 100 * (i + 1), i, 0, 0 }, { 2 + (uint32_t)i, UINT64_MAX, 2, 3, 4 } };
        OK(tsm_sbt_writer_block(writer, &batch, positions, 2, &err));
    }
    if (close_it) {
        OK(tsm_sbt_writer_close(writer, &err));
    } else {
        tsm_sbt_writer_destroy(writer);
    }
}

#define PARTS 3

static inline void
make_parts(trace parts[PARTS])
{
    for (unsigned i = 0; i < PARTS; i++) {
        parts[i] = make_trace(i == 1 ? 12 : 5, i == 1 ? 6 : 0);
        fill_plausible(&parts[i], 1000000 * (i + 1));
        fill_extensions(&parts[i]);
    }
}

static inline void
free_parts(trace parts[PARTS])
{
    for (unsigned i = 0; i < PARTS; i++) {
        free_trace(&parts[i]);
    }
}

static inline uint8_t *
load_file(size_t *size)
{
    struct stat about;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &about) == 0);
    *size = (size_t)about.st_size;
    uint8_t *data = malloc(*size + 1);
    CHECK(read(fd, data, *size) == (ssize_t)*size);
    close(fd);
    return data;
}

static inline void
store_file(const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

/* A copy that ends where the bytes end, so that a sanitizer sees a step too far. */
static inline tsm_status
open_copy(const uint8_t *data, size_t size, uint8_t **copy, tsm_sbt_reader **reader)
{
    *copy = malloc(size == 0 ? 1 : size);
    if (size > 0) {
        memcpy(*copy, data, size);
    }
    return tsm_sbt_reader_open_memory(*copy, size, reader, &err);
}

/* The first blocks of the file must be the first parts. Blocks that are refused are counted. */
static inline size_t
check_prefix(const tsm_sbt_reader *reader, const trace *parts, size_t *refused)
{
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    CHECK(info.block_count <= PARTS);
    for (size_t i = 0; i < info.block_count; i++) {
        const tsm_sbt_block_info *block = tsm_sbt_reader_block(reader, i);
        trace got = make_trace(block->count, block->extension_count);
        tsm_status status = tsm_sbt_reader_read(reader, i, got.events, got.extensions, got.rows, &err);
        if (status == TSM_OK) {
            check_same(&got, &parts[i]);
        } else {
            CHECK(status == TSM_E_CORRUPT);
            CHECK(err.text[0] != 0);
            ++*refused;
        }
        free_trace(&got);
    }
    return info.block_count;
}

#endif
