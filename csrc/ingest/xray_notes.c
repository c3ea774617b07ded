/* __xray_customevent and __xray_typedevent: bytes that the program chose. They are kept as text
 * where they are text, else in hexadecimal. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/xray.h"

/* Bytes of the UTF-8 letter at at; 0: there is none, or one that is not printed. */
static size_t
letter(const uint8_t *at, size_t left)
{
    size_t size = *at < 0x80 ? 1 : *at >= 0xc2 && *at < 0xe0 ? 2 : *at >= 0xe0 && *at < 0xf0 ? 3 : *at < 0xf5 ? 4 : 0;
    if (*at < 0x20 || *at == 0x7f || (*at >= 0x80 && *at < 0xc2) || size > left) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool beyond = (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) || (*at == 0xf0 && at[1] < 0x90)
                  || (*at == 0xf4 && at[1] > 0x8f);
    return beyond ? 0 : size;
}

static bool
is_text(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t more = letter(data + at, size - at);
        if (more == 0) {
            return false;
        }
        at += more;
    }
    return true;
}

/* Would a reader of metadata take it for JSON? */
static bool
looks_like_json(const uint8_t *data, size_t size)
{
    static const char *const words[] = { "true", "false", "null" };
    for (size_t i = 0; i < 3; i++) {
        if (size == strlen(words[i]) && memcmp(data, words[i], size) == 0) {
            return true;
        }
    }
    return size > 0 && memchr("[{\"-0123456789", data[0], 14) != NULL;
}

static size_t
write_quoted(const uint8_t *data, size_t size, char *to)
{
    size_t used = 0;
    to[used++] = '"';
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '"' || data[i] == '\\') {
            to[used++] = '\\';
        }
        to[used++] = (char)data[i];
    }
    to[used++] = '"';
    return used;
}

static size_t
write_hex(const uint8_t *data, size_t size, char *to)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    to[used++] = '0';
    to[used++] = 'x';
    for (size_t i = 0; i < size; i++) {
        to[used++] = digits[data[i] >> 4];
        to[used++] = digits[data[i] & 15];
    }
    return used;
}

static uint32_t
metadata_of(xray_importer *im, const uint8_t *data, size_t size)
{
    bool text = is_text(data, size);
    if (text && !looks_like_json(data, size)) {
        return ingest_metadata(&im->out, 0, "data", ingest_string(&im->out, (const char *)data, size));
    }
    char *value = malloc(2 * size + 2);
    if (value == NULL) {
        ingest_note(&im->out, TSM_E_NOMEM);
        return 0;
    }
    size_t used = text ? write_quoted(data, size, value) : write_hex(data, size, value);
    uint32_t row = ingest_metadata(&im->out, 0, text ? "data" : "bytes", ingest_string(&im->out, value, used));
    free(value);
    return row;
}

void
xray_note(xray_importer *im, uint32_t thread, int32_t type, uint16_t cpu, uint64_t ticks, const uint8_t *data,
          size_t size)
{
    char name[32] = "custom event";
    if (thread == UINT32_MAX) {
        return;
    }
    if (type >= 0) {
        snprintf(name, sizeof name, "typed event %" PRId32, type);
    }
    tsm_event event = {
        .timestamp = xray_ns(im, ticks),
        .type = TSM_EVENT_CUSTOM,
        .name = ingest_word(&im->out, name),
        .thread = im->threads[thread].row,
        .extra = metadata_of(im, data, size),
        .flags = TSM_EXTRA_METADATA,
    };
    tsm_extension about = {
        .values = { cpu, type < 0 ? 0 : (uint64_t)type },
        .type = TSM_SLOT_EXTENSION,
        .count = type < 0 ? 1 : 2,
        .schema = type < 0 ? im->custom_schema : im->typed_schema,
    };
    ingest_buffer_add(&im->out, &event);
    ingest_buffer_extend(&im->out, &about);
    im->kept[type < 0 ? 1 : 2]++;
    xray_flush_if_full(im);
}
