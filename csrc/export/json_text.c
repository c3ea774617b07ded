/* Strings: escaping ours, and judging JSON that somebody else wrote. */
#include "export/json.h"

#define DEPTH_MAX 64

size_t
tsm_utf8_length(const unsigned char *at, size_t left)
{
    const unsigned first = at[0];
    if (first < 0x80) {
        return 1;
    }
    const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < length) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    const bool odd = (first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] >= 0xa0)
                     || (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] >= 0x90);
    return odd ? 0 : length;
}

/* At most six bytes for one of the text; returns how many were written. */
static size_t
escape(char *to, unsigned char byte)
{
    static const char short_names[32] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };
    static const char hex[] = "0123456789abcdef";
    const char name = byte < 32 ? short_names[byte] : (char)byte;
    to[0] = '\\';
    if (name != 0) {
        to[1] = name;
        return 2;
    }
    memcpy(to + 1, "u00", 3);
    to[4] = hex[byte >> 4];
    to[5] = hex[byte & 15];
    return 6;
}

void
tsm_buffer_string(tsm_buffer *buffer, const char *data, size_t size)
{
    const unsigned char *from = (const unsigned char *)data;
    char *at = size > SIZE_MAX / 8 ? NULL : tsm_buffer_room(buffer, size * 6 + 2);
    if (at == NULL) {
        buffer->failed = true;
        return;
    }
    char *begin = at;
    *at++ = '"';
    for (size_t i = 0; i < size;) {
        const size_t length = tsm_utf8_length(from + i, size - i);
        if (length == 0) {
            memcpy(at, "\xef\xbf\xbd", 3);
            at += 3;
            i++;
        } else if (length == 1 && (from[i] < 32 || from[i] == '"' || from[i] == '\\')) {
            at += escape(at, from[i++]);
        } else {
            memcpy(at, from + i, length);
            at += length;
            i += length;
        }
    }
    *at++ = '"';
    buffer->size += (size_t)(at - begin);
}

/* What is left of a text that is being judged. */
typedef struct {
    const unsigned char *at, *end;
} judged;

static bool
take(judged *text, unsigned char wanted)
{
    if (text->at < text->end && *text->at == wanted) {
        text->at++;
        return true;
    }
    return false;
}

static void
skip_space(judged *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t' || *text->at == '\n' || *text->at == '\r')) {
        text->at++;
    }
}

static bool
take_word(judged *text, const char *word)
{
    const size_t size = strlen(word);
    if ((size_t)(text->end - text->at) < size || memcmp(text->at, word, size) != 0) {
        return false;
    }
    text->at += size;
    return true;
}

static bool
take_digits(judged *text)
{
    const unsigned char *begin = text->at;
    while (text->at < text->end && *text->at >= '0' && *text->at <= '9') {
        text->at++;
    }
    return text->at > begin;
}

static bool
take_number(judged *text)
{
    (void)take(text, '-');
    if (!take(text, '0') && !take_digits(text)) {
        return false;
    }
    if (take(text, '.') && !take_digits(text)) {
        return false;
    }
    if (take(text, 'e') || take(text, 'E')) {
        (void)(take(text, '+') || take(text, '-'));
        return take_digits(text);
    }
    return true;
}

static bool
is_hex(unsigned char byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'f');
}

static bool
take_escape(judged *text)
{
    if (text->at == text->end) {
        return false;
    }
    const unsigned char kind = *text->at++;
    if (kind != 'u') {
        return kind != 0 && strchr("\"\\/bfnrt", kind) != NULL;
    }
    for (int i = 0; i < 4; i++) {
        if (text->at == text->end || !is_hex(*text->at++)) {
            return false;
        }
    }
    return true;
}

static bool
take_string(judged *text)
{
    if (!take(text, '"')) {
        return false;
    }
    while (text->at < text->end && *text->at != '"') {
        const size_t length = tsm_utf8_length(text->at, (size_t)(text->end - text->at));
        if (length == 0 || *text->at < 32) {
            return false;
        }
        const bool escaped = *text->at == '\\';
        text->at += length;
        if (escaped && !take_escape(text)) {
            return false;
        }
    }
    return take(text, '"');
}

static bool
take_scalar(judged *text)
{
    if (text->at == text->end) {
        return false;
    }
    switch (*text->at) {
    case '"':
        return take_string(text);
    case 't':
        return take_word(text, "true");
    case 'f':
        return take_word(text, "false");
    case 'n':
        return take_word(text, "null");
    default:
        return take_number(text);
    }
}

static bool
take_key(judged *text)
{
    skip_space(text);
    if (!take_string(text)) {
        return false;
    }
    skip_space(text);
    return take(text, ':');
}

/* Opens lists and objects until a value stands there. False: wrong. *empty: "[]" or "{}" was it. */
static bool
descend(judged *text, char *open, size_t *depth, bool *empty)
{
    *empty = false;
    for (skip_space(text); text->at < text->end && (*text->at == '[' || *text->at == '{'); skip_space(text)) {
        if (*depth == DEPTH_MAX) {
            return false;
        }
        const char close = (char)(*text->at++ + 2);
        open[(*depth)++] = close;
        skip_space(text);
        if (take(text, (unsigned char)close)) {
            --*depth;
            *empty = true;
            return true;
        }
        if (close == '}' && !take_key(text)) {
            return false;
        }
    }
    return true;
}

bool
tsm_json_valid(const char *data, size_t size)
{
    judged text = { (const unsigned char *)data, (const unsigned char *)data + size };
    char open[DEPTH_MAX];
    size_t depth = 0;
    bool empty;
    do {
        if (!descend(&text, open, &depth, &empty) || (!empty && !take_scalar(&text))) {
            return false;
        }
        skip_space(&text);
        while (depth > 0 && take(&text, (unsigned char)open[depth - 1])) {
            depth--;
            skip_space(&text);
        }
        if (depth > 0 && (!take(&text, ',') || (open[depth - 1] == '}' && !take_key(&text)))) {
            return false;
        }
    } while (depth > 0);
    return text.at == text.end;
}

bool
tsm_json_meant(const char *data, size_t size)
{
    return size > 0 && strchr("[{\"tfn-0123456789", data[0]) != NULL && tsm_json_valid(data, size);
}

static const char *
past_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        at += *at == '\\';
    }
    return at < end ? at + 1 : end;
}

static const char *
past_value(const char *at, const char *end)
{
    size_t depth = 0;
    do {
        if (at < end && *at == '"') {
            at = past_string(at, end);
        } else if (at < end) {
            depth += *at == '[' || *at == '{';
            depth -= *at == ']' || *at == '}';
            at++;
        }
    } while (at < end && (depth > 0 || strchr(" \t\r\n,:]}", *at) == NULL));
    return at;
}

static void
past_separators(tsm_json_walk *walk)
{
    while (walk->at < walk->end && strchr(" \t\r\n,:", *walk->at) != NULL) {
        walk->at++;
    }
}

bool
tsm_json_enter(tsm_json_walk *walk, tsm_text json, char bracket)
{
    *walk = (tsm_json_walk){ json.data, json.data + json.size };
    past_separators(walk);
    return walk->at < walk->end && *walk->at++ == bracket;
}

static tsm_text
take_value(tsm_json_walk *walk)
{
    past_separators(walk);
    const char *begin = walk->at;
    walk->at = past_value(begin, walk->end);
    return (tsm_text){ begin, (size_t)(walk->at - begin) };
}

bool
tsm_json_next(tsm_json_walk *walk, tsm_text *key, tsm_text *value)
{
    past_separators(walk);
    if (walk->at >= walk->end || *walk->at == ']' || *walk->at == '}') {
        return false;
    }
    if (key != NULL) {
        *key = take_value(walk);
    }
    *value = take_value(walk);
    return true;
}
