/* A full group of 512 lies in eight lanes: value i is the (i / 8)th of lane i % 8, lanes are
 * sequences of 64-bit words, word k of all lanes side by side. So eight neighbours share one shift
 * count and vector units unpack them together, whatever the width; no code per width is needed.
 * What is left over after the last full group is packed bit behind bit. */
#include "sbt/bits.h"

#include <string.h>

#include "base/bytes.h"

#define LANES 8
#define ROWS  (SBT_GROUP / LANES)

typedef uint64_t quad __attribute__((vector_size(32), aligned(1), may_alias));

static inline uint64_t
mask_of(unsigned width)
{
    return width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
}

static inline __attribute__((always_inline)) void
pack_group(const uint64_t *restrict values, unsigned width, uint64_t base, uint8_t *restrict out)
{
    uint64_t mask = mask_of(width), word[LANES] = { 0 };
    unsigned shift = 0;
    for (unsigned row = 0; row < ROWS; row++, values += LANES) {
        for (unsigned lane = 0; lane < LANES; lane++) {
            word[lane] |= ((values[lane] - base) & mask) << shift;
        }
        shift += width;
        if (shift < 64) {
            continue;
        }
        memcpy(out, word, sizeof word);
        out += sizeof word;
        shift -= 64;
        for (unsigned lane = 0; lane < LANES; lane++) {
            /* In two steps, because a shift by 64 is not defined. */
            word[lane] = ((values[lane] - base) & mask) >> 1 >> (width - shift - 1);
        }
    }
}

static void
pack_tail(const uint64_t *values, size_t count, unsigned width, uint64_t base, uint8_t *out)
{
    uint64_t mask = mask_of(width), word = 0;
    unsigned used = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t value = (values[i] - base) & mask;
        word |= value << used;
        if (used + width >= 64) {
            memcpy(out, &word, 8);
            out += 8;
            word = used == 0 ? 0 : value >> (64 - used);
            used = used + width - 64;
        } else {
            used += width;
        }
    }
    memcpy(out, &word, 8);
}

/* Rows begin to end, the eight lanes in two halves, each word in a register until it is used up. */
static inline __attribute__((always_inline)) void
unpack_rows(const uint8_t *restrict in, size_t begin, size_t end, unsigned width, uint64_t add, uint64_t *restrict out)
{
    uint64_t mask = mask_of(width);
    unsigned used = (unsigned)(begin * width % 64);
    const quad *from = (const quad *)(const void *)in + begin * width / 64 * 2;
    quad *to = (quad *)(void *)out;
    quad low = from[0], high = from[1];
#pragma GCC unroll 4
    for (size_t row = begin; row < end; row++, to += 2) {
        quad a = low >> used, b = high >> used;
        used += width;
        /* The last word of a group has nothing behind it. */
        if (used >= 64 && row + 1 < ROWS) {
            from += 2;
            low = from[0];
            high = from[1];
            used -= 64;
            /* In two steps, because a shift by 64 is not defined. */
            a |= low << 1 << (width - used - 1);
            b |= high << 1 << (width - used - 1);
        }
        to[0] = (a & mask) + add;
        to[1] = (b & mask) + add;
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void
pack_group_avx2(const uint64_t *values, unsigned width, uint64_t base, uint8_t *out)
{
    pack_group(values, width, base, out);
}

__attribute__((target("avx2"))) static void
unpack_rows_avx2(const uint8_t *in, size_t begin, size_t end, unsigned width, uint64_t add, uint64_t *out)
{
    unpack_rows(in, begin, end, width, add, out);
}
#endif

static void
pack_full(const uint64_t *values, unsigned width, uint64_t base, uint8_t *out)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        pack_group_avx2(values, width, base, out);
        return;
    }
#endif
    pack_group(values, width, base, out);
}

static void
unpack_full(const uint8_t *in, size_t begin, size_t end, unsigned width, uint64_t add, uint64_t *out)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        unpack_rows_avx2(in, begin, end, width, add, out);
        return;
    }
#endif
    unpack_rows(in, begin, end, width, add, out);
}

static void
unpack_tail(const uint8_t *in, size_t group, size_t begin, size_t count, unsigned width, uint64_t add, uint64_t *out)
{
    uint8_t copy[SBT_GROUP * 8 + 16];
    size_t bytes = sbt_packed_bytes(group, width);
    uint64_t mask = mask_of(width);
    memcpy(copy, in, bytes);
    memset(copy + bytes, 0, 16);
    for (size_t i = 0; i < count; i++) {
        size_t bit = (begin + i) * width;
        uint64_t low = tsm_load_u64(copy + bit / 8) >> bit % 8;
        uint64_t high = (uint64_t)copy[bit / 8 + 8] << 1 << (63 - bit % 8);
        out[i] = ((low | high) & mask) + add;
    }
}

void
sbt_pack(const uint64_t *values, size_t count, unsigned width, uint64_t base, uint8_t *out)
{
    if (width == 0) {
        return;
    }
    for (; count >= SBT_GROUP; count -= SBT_GROUP, values += SBT_GROUP) {
        pack_full(values, width, base, out);
        out += width * (SBT_GROUP / 8);
    }
    if (count > 0) {
        pack_tail(values, count, width, base, out);
    }
}

void
sbt_unpack(const uint8_t *in, size_t group, size_t begin, size_t count, unsigned width, uint64_t add, uint64_t *out)
{
    if (width == 0) {
        for (size_t i = 0; i < count; i++) {
            out[i] = add;
        }
    } else if (group == SBT_GROUP) {
        unpack_full(in, begin / LANES, (begin + count) / LANES, width, add, out);
    } else {
        unpack_tail(in, group, begin, count, width, add, out);
    }
}
