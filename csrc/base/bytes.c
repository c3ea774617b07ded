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
__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t crc, const uint8_t *at, size_t size)
{
    uint64_t wide = crc;
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
