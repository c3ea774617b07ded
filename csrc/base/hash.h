/* One hash for all tables: fast on short keys, good enough in every bit. Not for keys that an
 * enemy chooses in order to collide; nothing here waits on such a table's speed. */
#ifndef TSM_BASE_HASH_H
#define TSM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t
tsm_hash_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t
tsm_hash_bytes(const void *data, size_t size)
{
    const unsigned char *at = data;
    uint64_t hash = size, word;
    for (; size >= 8; at += 8, size -= 8) {
        memcpy(&word, at, 8);
        hash = tsm_hash_mix(hash, word);
    }
    word = 0;
    if (size > 0) {
        memcpy(&word, at, size);
    }
    return tsm_hash_mix(hash, word);
}

#endif
