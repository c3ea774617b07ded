/* What a written file holds, for tests that compare it with what was emitted. */
#ifndef TSM_TESTS_TRACE_CHECK_H
#define TSM_TESTS_TRACE_CHECK_H

#include <unistd.h>

#include "sbt/sbt.h"
#include "unit.h"

typedef struct {
    uint64_t events, extensions, sum, highest;
    bool complete, sorted, repeated;
    uint64_t emitted, delivered, dropped; /* as the file's info says; 0 when it does not */
    uint64_t begin_ns, end_ns;
} file_contents;

static inline uint64_t
info_number(tsm_tables *tables, const char *key)
{
    char digits[32] = { 0 };
    tsm_text text = tsm_tables_borrow_info(tables, key);
    memcpy(digits, text.data, text.size < sizeof digits ? text.size : sizeof digits - 1);
    return strtoull(digits, NULL, 10);
}

/* Marks correlation in seen (one byte per number below limit) to notice what comes twice. */
static inline void
add_event(file_contents *all, const tsm_event *event, unsigned char *seen, uint64_t limit)
{
    all->events++;
    all->sum += event->correlation;
    all->highest = event->correlation > all->highest ? event->correlation : all->highest;
    if (seen != NULL && event->correlation < limit) {
        all->repeated |= seen[event->correlation] != 0;
        seen[event->correlation] = 1;
    }
}

static inline file_contents
read_file(const char *path, unsigned char *seen, uint64_t limit)
{
    static tsm_event events[TSM_SBT_BLOCK_EVENTS];
    file_contents all = { .sorted = true };
    tsm_sbt_reader *reader;
    tsm_sbt_info info;
    tsm_error err = { 0 };
    if (tsm_sbt_reader_open(path, &reader, &err) != TSM_OK) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        exit(1);
    }
    tsm_sbt_reader_info(reader, &info);
    for (size_t i = 0; i < info.block_count; i++) {
        uint32_t count = tsm_sbt_reader_block(reader, i)->count;
        CHECK(tsm_sbt_reader_read(reader, i, events, NULL, NULL, &err) == TSM_OK);
        for (uint32_t k = 0; k < count; k++) {
            all.sorted &= k == 0 || events[k].timestamp >= events[k - 1].timestamp;
            add_event(&all, &events[k], seen, limit);
        }
    }
    CHECK_EQUAL(all.events, info.event_count);
    all.extensions = info.extension_count;
    all.complete = info.complete;
    all.begin_ns = info.begin_ns;
    all.end_ns = info.end_ns;
    tsm_tables *tables = tsm_sbt_reader_tables(reader);
    all.emitted = info_number(tables, "emitted");
    all.delivered = info_number(tables, "delivered");
    all.dropped = info_number(tables, "dropped");
    tsm_sbt_reader_close(reader);
    return all;
}

#endif
