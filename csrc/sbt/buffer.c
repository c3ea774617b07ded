#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "sbt/layout.h"

uint8_t *
sbt_buffer_room(sbt_buffer *buffer, size_t bytes)
{
    if (buffer->failed) {
        return NULL;
    }
    if (bytes > buffer->capacity - buffer->size) {
        size_t wanted = buffer->size + bytes + buffer->capacity / 2;
        uint8_t *moved = wanted < bytes ? NULL : realloc(buffer->data, wanted);
        if (moved == NULL) {
            buffer->failed = true;
            return NULL;
        }
        buffer->data = moved;
        buffer->capacity = wanted;
    }
    return buffer->data + buffer->size;
}

void
sbt_put(sbt_buffer *buffer, const void *data, size_t bytes)
{
    uint8_t *at = sbt_buffer_room(buffer, bytes);
    if (at != NULL && bytes > 0) {
        memcpy(at, data, bytes);
        buffer->size += bytes;
    }
}

void
sbt_put_u8(sbt_buffer *buffer, uint8_t value)
{
    sbt_put(buffer, &value, 1);
}

void
sbt_put_varint(sbt_buffer *buffer, uint64_t value)
{
    uint8_t *at = sbt_buffer_room(buffer, TSM_VARINT_MAX);
    if (at != NULL) {
        buffer->size += tsm_put_varint(at, value);
    }
}
