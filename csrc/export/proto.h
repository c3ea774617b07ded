/* Protobuf's wire format, as far as writers need it. Every function takes where to write and
 * returns where it stopped; the caller knows that there is room. Private to export/. */
#ifndef TSM_EXPORT_PROTO_H
#define TSM_EXPORT_PROTO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

enum { TSM_PB_VARINT = 0, TSM_PB_FIXED64 = 1, TSM_PB_BYTES = 2 };

static inline uint8_t *
tsm_pb_varint(uint8_t *at, uint64_t value)
{
    return at + tsm_put_varint(at, value);
}

static inline uint8_t *
tsm_pb_tag(uint8_t *at, uint32_t field, uint32_t wire)
{
    return tsm_pb_varint(at, (uint64_t)field << 3 | wire);
}

static inline uint8_t *
tsm_pb_uint(uint8_t *at, uint32_t field, uint64_t value)
{
    return tsm_pb_varint(tsm_pb_tag(at, field, TSM_PB_VARINT), value);
}

static inline uint8_t *
tsm_pb_fixed64(uint8_t *at, uint32_t field, uint64_t value)
{
    at = tsm_pb_tag(at, field, TSM_PB_FIXED64);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static inline uint8_t *
tsm_pb_bytes(uint8_t *at, uint32_t field, const void *data, size_t size)
{
    at = tsm_pb_varint(tsm_pb_tag(at, field, TSM_PB_BYTES), size);
    memcpy(at, data, size);
    return at + size;
}

/* An embedded message: begin gives where its fields go, end is told that place again and where
 * they stopped. One byte is kept for the length, which nearly always does; else they move up. */
static inline uint8_t *
tsm_pb_begin(uint8_t *at, uint32_t field)
{
    return tsm_pb_tag(at, field, TSM_PB_BYTES) + 1;
}

/* What tsm_pb_end may add behind the fields. */
#define TSM_PB_LENGTH_MAX 4

static inline uint8_t *
tsm_pb_end(uint8_t *fields, uint8_t *at)
{
    size_t size = (size_t)(at - fields), length = 1;
    if (size >= 128) {
        uint8_t bytes[TSM_VARINT_MAX];
        length = tsm_put_varint(bytes, size);
        memmove(fields - 1 + length, fields, size);
        memcpy(fields - 1, bytes, length);
    } else {
        fields[-1] = (uint8_t)size;
    }
    return at + length - 1;
}

#endif
