/* Packing integers into as few bits as asked, in the layout that a CPU unpacks eight at a time. */
#ifndef TSM_SBT_BITS_H
#define TSM_SBT_BITS_H

#include <stddef.h>
#include <stdint.h>

#define SBT_GROUP 512 /* values that are packed together: 8 lanes of 64 */

static inline size_t
sbt_packed_bytes(size_t count, unsigned width)
{
    return count / SBT_GROUP * width * (SBT_GROUP / 8) + (count % SBT_GROUP * width + 7) / 8;
}

static inline unsigned
sbt_bit_length(uint64_t value)
{
    return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}

/* The low width bits of each value less base. out: room for sbt_packed_bytes, and 8 more. */
void sbt_pack(const uint64_t *values, size_t count, unsigned width, uint64_t base, uint8_t *out);

/* Values begin to begin + count of a group, each plus add. in: exactly the bytes of the group, which
 * is SBT_GROUP values or, at the end, fewer. begin and count: multiples of 8, save at the group's end. */
void sbt_unpack(const uint8_t *in, size_t group, size_t begin, size_t count, unsigned width, uint64_t add,
                uint64_t *out);

#endif
