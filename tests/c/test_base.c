/* The shelf: bytes, checksums, the clock map, errors. */
#include <errno.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/host.h"
#include "base/status.h"
#include "unit.h"

static void
a_varint_comes_back_and_takes_no_more_than_it_needs(void)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int64_t off = -1; off <= 1; off++) {
            uint8_t room[TSM_VARINT_MAX];
            uint64_t value = (UINT64_C(1) << shift) + (uint64_t)off;
            size_t size = tsm_put_varint(room, value);
            tsm_bytes bytes = { room, room + size, false };
            CHECK_EQUAL(tsm_bytes_varint(&bytes), value);
            CHECK(!bytes.failed && tsm_bytes_left(&bytes) == 0);
            tsm_bytes cut = { room, room + size - 1, false };
            CHECK_EQUAL(tsm_bytes_varint(&cut), 0);
            CHECK(cut.failed);
        }
    }
    const uint8_t endless[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 };
    tsm_bytes bytes = { endless, endless + sizeof endless, false };
    CHECK(tsm_bytes_varint(&bytes) == 0 && bytes.failed);
}

static void
a_window_on_bytes_is_never_left(void)
{
    const uint8_t few[] = { 1, 2, 3 };
    tsm_bytes bytes = { few, few + 3, false };
    CHECK_EQUAL(tsm_bytes_u8(&bytes), 1);
    CHECK_EQUAL(tsm_bytes_u32(&bytes), 0);
    CHECK(bytes.failed && tsm_bytes_take(&bytes, 1) == NULL);
    bytes = (tsm_bytes){ few, few + 3, false };
    CHECK(tsm_bytes_take(&bytes, UINT64_MAX) == NULL && bytes.failed);
}

static void
zigzag_is_its_own_inverse(void)
{
    const int64_t values[] = { 0, 1, -1, 2, INT64_MAX, INT64_MIN };
    for (size_t i = 0; i < 6; i++) {
        CHECK_EQUAL(tsm_unzigzag(tsm_zigzag(values[i])), values[i]);
    }
    CHECK_EQUAL(tsm_zigzag(-1), 1);
}

/* The check value of CRC-32C, and that it may be taken in pieces. */
static void
the_checksum_is_crc32c(void)
{
    CHECK_EQUAL(tsm_crc32c(0, "123456789", 9), 0xe3069283u);
    CHECK_EQUAL(tsm_crc32c(tsm_crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
    CHECK_EQUAL(tsm_crc32c(0, "", 0), 0);
    /* Long runs take another way than short ones. */
    static uint8_t bytes[4000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * i >> 3);
    }
    for (size_t size = 700; size <= sizeof bytes; size += 97) {
        uint32_t one_by_one = 0;
        for (size_t i = 0; i < size; i++) {
            one_by_one = tsm_crc32c(one_by_one, bytes + i, 1);
        }
        CHECK_EQUAL(tsm_crc32c(0, bytes, size), one_by_one);
    }
}

/* 0.4 ns per tick, with a wobble in the points. */
static tsm_clock_point
point_at(uint64_t seconds, int64_t error_ns)
{
    return (tsm_clock_point){ .ticks = 1000 + seconds * 2500000000u,
                              .monotonic_ns = 5000000000u + seconds * 1000000000u + (uint64_t)error_ns };
}

static void
converted_time_is_right_and_never_runs_backwards(void)
{
    tsm_clock_map *map;
    tsm_clock_point first = point_at(0, 0), second = point_at(1, 0);
    CHECK(tsm_clock_map_create(&second, &first, &map) == TSM_E_ARG);
    CHECK(tsm_clock_map_create(&first, &second, &map) == TSM_OK);
    const int64_t wobble[] = { 300, -400, 0, 900, -900, 50 };
    for (uint64_t i = 0; i < 60; i++) {
        tsm_clock_point next = point_at(2 + i, wobble[i % 6]);
        CHECK(tsm_clock_map_add(map, &next) == TSM_OK);
    }
    uint64_t last = 0;
    for (uint64_t ticks = 0; ticks < 154000000000u; ticks += 1234567) {
        uint64_t ns = tsm_clock_map_ns(map, ticks);
        uint64_t right = 5000000000u + (uint64_t)(((__int128)ticks - 1000) * 2 / 5);
        CHECK(ns >= last);
        CHECK(ns + 3000 > right && ns < right + 3000);
        last = ns;
    }
    CHECK_EQUAL(tsm_clock_map_jumps(map), 0);
    CHECK_EQUAL(tsm_clock_line_ns(tsm_clock_map_last(map), UINT64_C(160000000000)),
                tsm_clock_map_ns(map, UINT64_C(160000000000)));
    tsm_clock_map_destroy(map);
}

static void
a_jump_of_the_clock_is_counted_and_survived(void)
{
    tsm_clock_map *map;
    tsm_clock_point first = point_at(0, 0), second = point_at(1, 0);
    CHECK(tsm_clock_map_create(&first, &second, &map) == TSM_OK);
    tsm_clock_point late = point_at(2, 5000000000), back = point_at(3, -1);
    CHECK(tsm_clock_map_add(map, &late) == TSM_OK);
    CHECK_EQUAL(tsm_clock_map_jumps(map), 1);
    CHECK_EQUAL(tsm_clock_map_ns(map, late.ticks), late.monotonic_ns);
    CHECK(tsm_clock_map_ns(map, late.ticks - 1) < late.monotonic_ns);
    CHECK(tsm_clock_map_add(map, &back) == TSM_OK); /* before the last point: not taken */
    CHECK_EQUAL(tsm_clock_map_jumps(map), 1);
    tsm_clock_map_destroy(map);
}

static void
a_point_shows_all_clocks_at_once(void)
{
    tsm_clock_point point;
    uint64_t before = tsm_clock_ns();
    tsm_clock_take_point(&point);
    CHECK(point.monotonic_ns >= before && point.monotonic_ns <= tsm_clock_ns());
    CHECK(point.realtime_ns > point.monotonic_ns);
}

static void
an_error_has_a_place_and_a_cause(void)
{
    tsm_error err;
    CHECK(tsm_fail(&err, TSM_E_CORRUPT, 17, "row %d", 3) == TSM_E_CORRUPT);
    CHECK(err.offset == 17 && strcmp(err.text, "row 3") == 0 && err.os_error == 0);
    errno = ENOSPC;
    CHECK(tsm_fail_errno(&err, TSM_E_IO, "cannot write") == TSM_E_IO);
    CHECK(err.os_error == ENOSPC && strstr(err.text, "cannot write: No space") != NULL);
    CHECK(tsm_fail(NULL, TSM_E_ARG, 0, "nobody asks") == TSM_E_ARG);
    CHECK(strcmp(tsm_status_text(TSM_E_BUSY), "in use by another process or session") == 0);
    CHECK(strcmp(tsm_status_text((tsm_status)99), "unknown status") == 0);
}

static void
the_host_has_a_name_and_a_boot(void)
{
    tsm_host host;
    tsm_host_describe(&host);
    CHECK(host.name[0] != 0);
    char line[8];
    tsm_host_read_line("/nonexistent", line, sizeof line);
    CHECK(line[0] == 0);
}

static const unit_test tests[] = {
    UNIT(a_varint_comes_back_and_takes_no_more_than_it_needs),
    UNIT(a_window_on_bytes_is_never_left),
    UNIT(zigzag_is_its_own_inverse),
    UNIT(the_checksum_is_crc32c),
    UNIT(converted_time_is_right_and_never_runs_backwards),
    UNIT(a_jump_of_the_clock_is_counted_and_survived),
    UNIT(a_point_shows_all_clocks_at_once),
    UNIT(an_error_has_a_place_and_a_cause),
    UNIT(the_host_has_a_name_and_a_boot),
};

int
main(int argc, char **argv)
{
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
