/* SBT files that live: read while written, resumed, replaced, on a full disk, by window. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "sbt_check.h"

static void
a_file_is_read_while_it_is_written(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    tsm_sbt_info info;
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    for (size_t i = 0; i < 40; i++) {
        trace t = make_trace(1 + below(3000), 5);
        fill_plausible(&t, i * 1000000000);
        fill_extensions(&t);
        add_rows(tsm_sbt_writer_tables(writer), 2);
        tsm_batch batch = batch_of(&t);
        OK(tsm_sbt_writer_block(writer, &batch, &(tsm_sbt_position){ .producer = 1, .slots = i }, 1, &err));
        OK(tsm_sbt_reader_refresh(reader, &err));
        tsm_sbt_reader_info(reader, &info);
        CHECK(!info.complete);
        CHECK_EQUAL(info.block_count, i + 1);
        CHECK_EQUAL(info.used_bytes, tsm_sbt_writer_bytes(writer));
        trace got = make_trace(t.count, 5);
        OK(tsm_sbt_reader_read(reader, i, got.events, got.extensions, got.rows, &err));
        check_same(&got, &t);
        CHECK_EQUAL(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS), 2 * (i + 1) + 1);
        size_t count;
        CHECK_EQUAL(tsm_sbt_reader_positions(reader, &count)->slots, i);
        free_trace(&t);
        free_trace(&got);
    }
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_refresh(reader, &err));
    tsm_sbt_reader_info(reader, &info);
    CHECK(info.complete && info.used_bytes == info.file_bytes && info.block_count == 40);
    tsm_sbt_reader_close(reader);
    unlink(path);
}

static void
two_writers_do_not_meet_and_old_readers_keep_their_file(void)
{
    tsm_sbt_writer *writer, *second;
    tsm_sbt_reader *reader;
    trace t = make_trace(100, 0);
    fill_plausible(&t, 1);
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    REFUSED(tsm_sbt_writer_open(path, TSM_SBT_PLAIN, &second, &err), TSM_E_BUSY);
    REFUSED(tsm_sbt_writer_resume(path, &second, &err), TSM_E_BUSY);
    REFUSED(tsm_sbt_repair(path, &err), TSM_E_BUSY);
    tsm_batch batch = batch_of(&t);
    OK(tsm_sbt_writer_append(writer, &batch, &err));
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    OK(tsm_sbt_writer_open(path, TSM_SBT_PLAIN, &second, &err));
    trace got = read_all(reader);
    check_same(&got, &t);
    tsm_sbt_reader_close(reader);
    OK(tsm_sbt_reader_open(path, &reader, &err));
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    CHECK(info.event_count == 0 && !info.complete && info.begin_ns == 0 && info.end_ns == 0);
    tsm_sbt_reader_close(reader);
    tsm_sbt_writer_destroy(second);
    free_trace(&got);
    free_trace(&t);
    unlink(path);
}

static void
a_finished_file_is_resumed_and_continued(void)
{
    trace parts[PARTS];
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    size_t refused = 0;
    make_parts(parts);
    write_small(parts, 2, true);
    OK(tsm_sbt_reader_open(path, &reader, &err));
    OK(tsm_sbt_writer_resume(path, &writer, &err));
    add_rows(tsm_sbt_writer_tables(writer), 3);
    tsm_batch batch = batch_of(&parts[2]);
    OK(tsm_sbt_writer_append(writer, &batch, &err));
    OK(tsm_sbt_writer_flush(writer, &err));
    OK(tsm_sbt_reader_refresh(reader, &err));
    CHECK_EQUAL(check_prefix(reader, parts, &refused), PARTS);
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_refresh(reader, &err));
    CHECK_EQUAL(check_prefix(reader, parts, &refused), PARTS);
    CHECK_EQUAL(refused, 0);
    CHECK_EQUAL(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS), 10);
    size_t positions;
    tsm_sbt_reader_positions(reader, &positions);
    CHECK_EQUAL(positions, 3);
    tsm_sbt_reader_close(reader);
    free_parts(parts);
    unlink(path);
}

/* In a child, because the limit cannot be raised again. */
static void
write_into_a_full_disk(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    trace t = make_trace(4000, 0), first = make_trace(50, 0);
    fill_plausible(&t, 1000);
    fill_plausible(&first, 10);
    signal(SIGXFSZ, SIG_IGN);
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    tsm_batch batch = batch_of(&first);
    add_rows(tsm_sbt_writer_tables(writer), 3);
    OK(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err));
    uint64_t whole = tsm_sbt_writer_bytes(writer);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = whole + 10000;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    batch = batch_of(&t);
    add_rows(tsm_sbt_writer_tables(writer), 3);
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_IO);
    CHECK_EQUAL(err.os_error, EFBIG);
    struct stat about;
    CHECK(stat(path, &about) == 0);
    CHECK_EQUAL(about.st_size, tsm_sbt_writer_bytes(writer));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    trace got = read_all(reader);
    check_same(&got, &first);
    free_trace(&got);
    tsm_sbt_reader_close(reader);
    /* Then there is room again. */
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    OK(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err));
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    tsm_sbt_info info;
    tsm_sbt_reader_info(reader, &info);
    CHECK_EQUAL(info.event_count, 4050);
    CHECK_EQUAL(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS), 7);
    tsm_sbt_reader_close(reader);
    free_trace(&t);
    free_trace(&first);
    unlink(path);
}

/* Every limit, so that every kind of section and every byte of it is the one that does not fit. */
static void
write_with_little_room(void)
{
    trace parts[PARTS];
    make_parts(parts);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (uint64_t room = 64; room < 2600; room += 13) {
        tsm_sbt_writer *writer;
        tsm_sbt_reader *reader;
        size_t refused = 0;
        OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
        limit.rlim_cur = room;
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        for (size_t i = 0; i < PARTS; i++) {
            add_rows(tsm_sbt_writer_tables(writer), 3);
            tsm_batch batch = batch_of(&parts[i]);
            if (tsm_sbt_writer_block(writer, &batch, NULL, 0, &err) != TSM_OK) {
                CHECK(err.os_error == EFBIG);
                limit.rlim_cur = limit.rlim_max;
                CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
                OK(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err));
            }
        }
        bool closed = tsm_sbt_writer_close(writer, &err) == TSM_OK;
        limit.rlim_cur = limit.rlim_max;
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        OK(tsm_sbt_reader_open(path, &reader, &err));
        tsm_sbt_info info;
        tsm_sbt_reader_info(reader, &info);
        CHECK(info.complete == closed && info.used_bytes == info.file_bytes);
        CHECK_EQUAL(check_prefix(reader, parts, &refused), PARTS);
        CHECK_EQUAL(tsm_tables_count(tsm_sbt_reader_tables(reader), TSM_TABLE_STRINGS), 10);
        CHECK_EQUAL(refused, 0);
        tsm_sbt_reader_close(reader);
    }
    free_parts(parts);
    unlink(path);
}

static void
run_in_child(void (*run)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run();
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
a_full_disk_is_reported_and_survived(void)
{
    run_in_child(write_into_a_full_disk);
    run_in_child(write_with_little_room);
}

static void
a_window_finds_all_that_touches_it(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    trace t = make_trace(30000, 3000);
    for (size_t i = 0; i < t.count; i++) {
        /* Blocks overlap, some events are very long, times go back between blocks. */
        t.events[i].timestamp = 1000000 + i * 10 - (i / 4096 % 3) * 50000 + below(9);
        t.events[i].duration = below(3000) == 0 ? below(200000) : below(4) == 0 ? 0 : below(50);
        t.events[i].value = i;
    }
    t.events[5000].duration = UINT64_MAX;
    fill_extensions(&t);
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    tsm_batch batch = batch_of(&t);
    OK(tsm_sbt_writer_append(writer, &batch, &err));
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    for (unsigned round = 0; round < 300; round++) {
        uint64_t begin = 900000 + below(500000), end = begin + below(round % 2 ? 100 : 20000);
        tsm_cursor *cursor;
        tsm_batch got;
        tsm_status status;
        size_t events = 0, extensions = 0, wanted = 0, wanted_extensions = 0;
        uint64_t horizon;
        OK(tsm_sbt_reader_cursor(reader, begin, end, &cursor));
        for (;;) {
            horizon = cursor->ops->horizon(cursor);
            status = tsm_cursor_next(cursor, &got, &err);
            if (status != TSM_OK) {
                break;
            }
            for (size_t i = 0; i < got.count; i++) {
                CHECK(tsm_event_overlaps(&got.events[i], begin, end));
                CHECK(got.events[i].timestamp >= horizon);
                CHECK(memcmp(&got.events[i], &t.events[got.events[i].value], sizeof(tsm_event)) == 0);
            }
            for (size_t i = 0; i < got.extension_count; i++) {
                size_t event = got.events[got.extension_rows[i]].value;
                CHECK_EQUAL(got.extensions[i].values[0], 0x7f0000000000u + event / 10 * 64);
            }
            events += got.count;
            extensions += got.extension_count;
        }
        CHECK(status == TSM_E_END && cursor->ops->horizon(cursor) == UINT64_MAX);
        for (size_t i = 0; i < t.count; i++) {
            bool touches = tsm_event_overlaps(&t.events[i], begin, end);
            wanted += touches;
            wanted_extensions += touches && i % 10 == 0;
        }
        CHECK_EQUAL(events, wanted);
        CHECK_EQUAL(extensions, wanted_extensions);
        tsm_cursor_close(cursor);
    }
    tsm_sbt_reader_close(reader);
    free_trace(&t);
    unlink(path);
}

static void
bad_batches_are_refused_and_the_writer_goes_on(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    trace t = make_trace(TSM_SBT_BLOCK_EVENTS + 1, 2);
    fill_plausible(&t, 1);
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    tsm_batch batch = batch_of(&t);
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_LIMIT);
    batch.count = 100;
    t.rows[1] = 100;
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_ARG);
    t.rows[0] = 2;
    t.rows[1] = 1;
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_ARG);
    t.rows[0] = 1;
    t.events[50].timestamp = 0;
    REFUSED(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err), TSM_E_ARG);
    t.events[50].timestamp = t.events[49].timestamp;
    OK(tsm_sbt_writer_block(writer, &batch, NULL, 0, &err));
    OK(tsm_sbt_writer_close(writer, &err));
    OK(tsm_sbt_reader_open(path, &reader, &err));
    CHECK_EQUAL(tsm_sbt_reader_block(reader, 0)->count, 100);
    CHECK(tsm_sbt_reader_block(reader, 1) == NULL);
    REFUSED(tsm_sbt_reader_read(reader, 1, t.events, NULL, NULL, &err), TSM_E_ARG);
    tsm_sbt_reader_close(reader);
    free_trace(&t);
    unlink(path);
}

static void
positions_are_durable_without_events(void)
{
    tsm_sbt_writer *writer;
    tsm_sbt_reader *reader;
    tsm_batch none = { .count = 0 };
    OK(tsm_sbt_writer_open(scratch_path(), TSM_SBT_PLAIN, &writer, &err));
    for (uint32_t i = 0; i < 5000; i++) {
        tsm_sbt_position position = { .producer = i % 1000, .slots = i, .lost = UINT64_MAX - i };
        OK(tsm_sbt_writer_block(writer, &none, &position, 1, &err));
    }
    tsm_sbt_writer_destroy(writer);
    OK(tsm_sbt_writer_resume(path, &writer, &err));
    for (unsigned finished = 0; finished < 2; finished++) {
        size_t count;
        OK(tsm_sbt_reader_open(path, &reader, &err));
        const tsm_sbt_position *positions = tsm_sbt_reader_positions(reader, &count);
        CHECK_EQUAL(count, 1000);
        for (size_t i = 0; i < count; i++) {
            CHECK_EQUAL(positions[i].slots, 4000 + positions[i].producer);
            CHECK_EQUAL(positions[i].lost, UINT64_MAX - positions[i].slots);
        }
        size_t blocks[5000];
        CHECK_EQUAL(tsm_sbt_reader_find(reader, 0, UINT64_MAX, blocks), 0);
        tsm_sbt_reader_close(reader);
        if (finished == 0) {
            OK(tsm_sbt_writer_close(writer, &err));
        }
    }
    unlink(path);
}

static const unit_test tests[] = {
    UNIT(a_file_is_read_while_it_is_written),       UNIT(two_writers_do_not_meet_and_old_readers_keep_their_file),
    UNIT(a_finished_file_is_resumed_and_continued), UNIT(a_full_disk_is_reported_and_survived),
    UNIT(a_window_finds_all_that_touches_it),       UNIT(bad_batches_are_refused_and_the_writer_goes_on),
    UNIT(positions_are_durable_without_events),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
