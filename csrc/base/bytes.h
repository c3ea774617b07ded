/* Bytes that leave the machine or come from one: little-endian integers, LEB128 varints,
 * zigzag, CRC-32C. Readers take a window and never step outside it. */
#ifndef TSM_BASE_BYTES_H
#define TSM_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian and so are we");

static inline uint64_t
tsm_load_u64(const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t
tsm_load_u32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t
tsm_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t
tsm_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#define TSM_VARINT_MAX 10

/* Writes at most TSM_VARINT_MAX bytes; returns how many. */
static inline size_t
tsm_put_varint(uint8_t *at, uint64_t value)
{
    size_t used = 0;
    while (value >= 0x80) {
        at[used++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[used++] = (uint8_t)value;
    return used;
}

/* A window on foreign bytes. Once a read went past the end, failed stays set and
 * every further read gives 0, so that a parser may check once per record. */
typedef struct {
    const uint8_t *at, *end;
    bool failed;
} tsm_bytes;

static inline size_t
tsm_bytes_left(const tsm_bytes *bytes)
{
    return (size_t)(bytes->end - bytes->at);
}

/* The next size bytes, or NULL. */
static inline const uint8_t *
tsm_bytes_take(tsm_bytes *bytes, uint64_t size)
{
    if (bytes->failed || size > tsm_bytes_left(bytes)) {
        bytes->failed = true;
        return NULL;
    }
    const uint8_t *taken = bytes->at;
    bytes->at += size;
    return taken;
}

static inline uint64_t
tsm_bytes_u64(tsm_bytes *bytes)
{
    const uint8_t *at = tsm_bytes_take(bytes, 8);
    return at == NULL ? 0 : tsm_load_u64(at);
}

static inline uint32_t
tsm_bytes_u32(tsm_bytes *bytes)
{
    const uint8_t *at = tsm_bytes_take(bytes, 4);
    return at == NULL ? 0 : tsm_load_u32(at);
}

static inline uint8_t
tsm_bytes_u8(tsm_bytes *bytes)
{
    const uint8_t *at = tsm_bytes_take(bytes, 1);
    return at == NULL ? 0 : *at;
}

/* Refuses more than ten bytes and bits beyond the 64th. */
uint64_t tsm_bytes_varint(tsm_bytes *bytes);

/* CRC-32C (Castagnoli), as in iSCSI and ext4. seed 0 to begin; chain by passing the last result. */
uint32_t tsm_crc32c(uint32_t seed, const void *data, size_t size);

#endif
