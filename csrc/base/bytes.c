#include "base/bytes.h"

#include <stdatomic.h>

uint64_t
tsm_bytes_varint(tsm_bytes *bytes)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = tsm_bytes_u8(bytes);
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return bytes->failed ? 0 : value;
        }
    }
    bytes->failed = true;
    return 0;
}

#define POLYNOMIAL 0x82f63b78u /* reflected 0x1edc6f41 */

static uint32_t crc_table[8][256];
static _Atomic int crc_table_ready;

/* Any thread; two that race write the same values. */
static void
fill_crc_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (POLYNOMIAL & -(crc & 1));
        }
        crc_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++) {
            crc_table[k][i] = (crc_table[k - 1][i] >> 8) ^ crc_table[0][crc_table[k - 1][i] & 0xff];
        }
    }
    /* Release: whoever sees the flag sees the table. */
    atomic_store_explicit(&crc_table_ready, 1, memory_order_release);
}

static uint32_t
crc_by_table(uint32_t crc, const uint8_t *at, size_t size)
{
    if (!atomic_load_explicit(&crc_table_ready, memory_order_acquire)) {
        fill_crc_table();
    }
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word = tsm_load_u64(at) ^ crc;
        crc = 0;
        for (int k = 0; k < 8; k++) {
            crc ^= crc_table[7 - k][(word >> (8 * k)) & 0xff];
        }
    }
    while (size-- > 0) {
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *at++) & 0xff];
    }
    return crc;
}

#if defined(__x86_64__)
#define LANE 256 /* bytes */

/* behind[k][b]: what byte k of a checksum becomes when LANE zeros follow. */
static uint32_t behind[4][256];
static _Atomic int behind_ready;

/* Any thread; two that race write the same values. A checksum is linear, so the bits suffice. */
__attribute__((target("sse4.2"))) static void
fill_behind(void)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        uint64_t crc = (uint64_t)1 << bit;
        for (unsigned i = 0; i < LANE; i += 8) {
            crc = __builtin_ia32_crc32di(crc, 0);
        }
        behind[bit / 8][1u << bit % 8] = (uint32_t)crc;
    }
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned byte = 1; byte < 256; byte++) {
            behind[k][byte] = behind[k][byte & (byte - 1)] ^ behind[k][byte & -byte];
        }
    }
    /* Release: whoever sees the flag sees the table. */
    atomic_store_explicit(&behind_ready, 1, memory_order_release);
}

static uint64_t
move_behind(uint64_t crc)
{
    return behind[0][crc & 0xff] ^ behind[1][crc >> 8 & 0xff] ^ behind[2][crc >> 16 & 0xff] ^ behind[3][crc >> 24];
}

/* Three lanes at once, because the instruction takes three cycles and one can begin in each. */
__attribute__((target("sse4.2"))) static uint64_t
crc_of_lanes(uint64_t crc, const uint8_t *at)
{
    uint64_t second = 0, third = 0;
    for (unsigned i = 0; i < LANE; i += 8) {
        crc = __builtin_ia32_crc32di(crc, tsm_load_u64(at + i));
        second = __builtin_ia32_crc32di(second, tsm_load_u64(at + LANE + i));
        third = __builtin_ia32_crc32di(third, tsm_load_u64(at + 2 * LANE + i));
    }
    return move_behind(move_behind(crc) ^ second) ^ third;
}

__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t crc, const uint8_t *at, size_t size)
{
    uint64_t wide = crc;
    if (size >= 3 * LANE && !atomic_load_explicit(&behind_ready, memory_order_acquire)) {
        fill_behind();
    }
    for (; size >= 3 * LANE; at += 3 * LANE, size -= 3 * LANE) {
        wide = crc_of_lanes(wide, at);
    }
    for (; size >= 8; at += 8, size -= 8) {
        wide = __builtin_ia32_crc32di(wide, tsm_load_u64(at));
    }
    crc = (uint32_t)wide;
    while (size-- > 0) {
        crc = __builtin_ia32_crc32qi(crc, *at++);
    }
    return crc;
}
#endif

uint32_t
tsm_crc32c(uint32_t seed, const void *data, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~crc_by_instruction(~seed, data, size);
    }
#endif
    return ~crc_by_table(~seed, data, size);
}
