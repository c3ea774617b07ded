#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ingest/json.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void
json_skip_long_space(json_cursor *c)
{
#if defined(__SSE2__)
    const __m128i blank = _mm_set1_epi8(' ');
    for (;;) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)c->at);
        /* Space is any byte from 1 to 32: the zeros behind the end stop the loop. */
        __m128i space = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_setzero_si128()),
                                         _mm_cmpeq_epi8(_mm_min_epu8(bytes, blank), bytes));
        unsigned other = ~(unsigned)_mm_movemask_epi8(space) & 0xffffu;
        if (other != 0) {
            c->at += __builtin_ctz(other);
            break;
        }
        c->at += 16;
    }
#else
    while ((unsigned char)(*c->at - 1) < ' ') {
        c->at++;
    }
#endif
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '/' || c == '+'
           || c == '-' || c == '.';
}

static bool
equals(const json_text *text, const char *word)
{
    return text->size == strlen(word) && memcmp(text->data, word, text->size) == 0;
}

/* Numbers that are spelled, and the words. */
static bool
read_word(json_cursor *c, json_value *value)
{
    const char *at = c->at;
    while (is_word_byte(*at)) {
        at++;
    }
    value->text = (json_text){ c->at, (size_t)(at - c->at), false };
    if (at >= c->end) {
        c->at = c->end;
        return json_fail(c, "a value");
    }
    if (equals(&value->text, "NaN") || equals(&value->text, "Infinity") || equals(&value->text, "-Infinity")
        || equals(&value->text, "nan") || equals(&value->text, "-nan") || equals(&value->text, "inf")
        || equals(&value->text, "-inf")) {
        value->kind = JSON_NUMBER;
    } else if (equals(&value->text, "null") || equals(&value->text, "true") || equals(&value->text, "false")
               || equals(&value->text, "N/A")) {
        value->kind = JSON_WORD;
    } else {
        return json_fail(c, "a value");
    }
    c->at = at;
    return true;
}

/* The decimals of a number whose digits before the point make whole. */
static const char *
read_decimals(const char *at, uint64_t whole, json_value *value)
{
    static const uint16_t scales[] = { 1000, 100, 10, 1 };
    const char *digits = at;
    uint64_t number = whole;
    while (is_digit(*at)) {
        number = number * 10 + (uint64_t)(*at++ - '0');
    }
    value->plain = at > digits && at - digits <= 3 && digits - value->text.data <= 16;
    if (value->plain) {
        int64_t thousandths = (int64_t)(number * scales[at - digits]);
        value->integer = *value->text.data == '-' ? -thousandths : thousandths;
    }
    return at;
}

/* Behind the integer part: is it one number up to here? */
static bool
read_fraction(json_cursor *c, const char *at, uint64_t whole, json_value *value)
{
    const char *digits = at;
    value->kind = JSON_NUMBER;
    value->plain = false;
    if (*at == '.') {
        digits = at + 1;
        at = read_decimals(digits, whole, value);
    }
    if (*at == 'e' || *at == 'E') {
        value->plain = false;
        at += at[1] == '+' || at[1] == '-' ? 2 : 1;
        digits = at;
        while (is_digit(*at)) {
            at++;
        }
    }
    if (at >= c->end) {
        c->at = c->end;
        return json_fail(c, "a number");
    }
    c->at = at;
    if (at == digits) {
        return json_fail(c, "a digit");
    }
    value->text.size = (size_t)(at - value->text.data);
    return true;
}

bool
json_read_number(json_cursor *c, json_value *value)
{
    const char *at = c->at + (*c->at == '-');
    const char *digits = at;
    uint64_t number = 0;
    value->text = (json_text){ c->at, 0, false };
    value->plain = false;
    while (is_digit(*at)) {
        number = number * 10 + (uint64_t)(*at++ - '0');
    }
    if (at == digits) {
        return read_word(c, value);
    }
    if (*at == '.' || *at == 'e' || *at == 'E') {
        return read_fraction(c, at, number, value);
    }
    if (at >= c->end) {
        c->at = c->end;
        return json_fail(c, "a number");
    }
    /* 18 digits always fit; of 19 only those whose sum did not overflow the sign. */
    bool fits = at - digits <= 18 || (at - digits == 19 && number <= INT64_MAX);
    value->kind = fits ? JSON_INTEGER : JSON_NUMBER;
    value->integer = *c->at == '-' ? -(int64_t)(fits ? number : 0) : (int64_t)(fits ? number : 0);
    value->text.size = (size_t)(at - c->at);
    c->at = at;
    return true;
}

/* A list or an object: brackets must pair, strings must end. */
bool
json_read_nested(json_cursor *c, json_value *value)
{
    char closing[JSON_DEPTH];
    size_t depth = 0;
    json_text ignored;
    bool plain = true;
    value->kind = *c->at == '[' ? JSON_LIST : JSON_OBJECT;
    value->text = (json_text){ c->at, 0, false };
    do {
        unsigned char byte = (unsigned char)*c->at;
        if (byte == '"') {
            if (!json_string(c, &ignored)) {
                return false;
            }
            continue;
        }
        /* '[' and '{' differ in one bit, and so do their partners. */
        if ((byte | 0x20) == '{') {
            if (depth == JSON_DEPTH) {
                return json_fail(c, "fewer brackets inside each other");
            }
            closing[depth++] = (char)(byte + 2);
        } else if ((byte | 0x20) == '}') {
            if (closing[--depth] != (char)byte) {
                return json_fail(c, "the other bracket");
            }
        } else if (byte < 0x20) {
            plain = false;
            if (c->at >= c->end) {
                return json_fail(c, "a closing bracket");
            }
            json_skip_long_space(c);
            c->at += *c->at == 0 && c->at < c->end;
            continue;
        }
        c->at++;
    } while (depth > 0);
    value->plain = plain;
    value->text.size = (size_t)(c->at - value->text.data);
    return true;
}

static bool
hex4(const char *at, const char *end, uint32_t *code)
{
    *code = 0;
    if (end - at < 4) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = is_digit(c)            ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) {
            return false;
        }
        *code = *code << 4 | digit;
    }
    return true;
}

static size_t
put_utf8(uint32_t code, char *to)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    static const uint8_t leads[] = { 0, 0xc0, 0xe0, 0xf0 };
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    to[0] = (char)(leads[more] | code >> 6 * more);
    for (size_t i = 1; i <= more; i++) {
        to[i] = (char)(0x80 | (code >> 6 * (more - i) & 0x3f));
    }
    return more + 1;
}

/* at is behind "\u". Gives how many bytes were taken, 0 for a broken escape. */
static size_t
unescape_code(const char *at, const char *end, char **to)
{
    uint32_t code, low;
    size_t taken = 4;
    if (!hex4(at, end, &code)) {
        return 0;
    }
    if (code >> 10 == 0x36 && end - at >= 6 && at[4] == '\\' && at[5] == 'u' && hex4(at + 6, end, &low)
        && low >> 10 == 0x37) {
        code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
        taken = 10;
    }
    *to += put_utf8(code, *to);
    return taken;
}

size_t
json_unescape(const json_text *text, char *to)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *at = text->data, *end = at + text->size;
    char *begin = to;
    while (at < end) {
        if (*at != '\\' || end - at < 2) {
            *to++ = *at++;
            continue;
        }
        const char *letter = at[1] == 0 ? NULL : strchr(letters, at[1]);
        if (letter != NULL) {
            *to++ = meanings[letter - letters];
            at += 2;
            continue;
        }
        size_t taken = at[1] == 'u' ? unescape_code(at + 2, end, &to) : 0;
        if (taken == 0) {
            *to++ = *at++;
        } else {
            at += 2 + taken;
        }
    }
    return (size_t)(to - begin);
}

size_t
json_escape(const char *data, size_t size, char *to)
{
    static const char hex[] = "0123456789abcdef";
    char *begin = to;
    *to++ = '"';
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (byte == '"' || byte == '\\') {
            *to++ = '\\';
            *to++ = (char)byte;
        } else if (byte < 0x20) {
            memcpy(to, "\\u00", 4);
            to[4] = hex[byte >> 4];
            to[5] = hex[byte & 15];
            to += 6;
        } else {
            *to++ = (char)byte;
        }
    }
    *to++ = '"';
    return (size_t)(to - begin);
}

size_t
json_compact(const char *data, size_t size, char *to)
{
    char *begin = to;
    json_cursor c = { .at = data, .end = data + size };
    json_text string;
    while (c.at < c.end) {
        const char *from = c.at;
        if ((unsigned char)*from <= ' ') {
            json_skip_space(&c);
            c.at += c.at == from; /* a zero */
            continue;
        }
        if (*from != '"') {
            *to++ = *c.at++;
            continue;
        }
        if (!json_string(&c, &string)) {
            c.at = c.end;
        }
        memcpy(to, from, (size_t)(c.at - from));
        to += c.at - from;
    }
    return (size_t)(to - begin);
}

/* Whatever locale the program has set, a point is a point. */
static double
parse_slowly(const char *digits)
{
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        return NAN;
    }
    double value = strtod_l(digits, NULL, c_locale);
    freelocale(c_locale);
    return value;
}

#define NUMBER_BYTES 1100 /* more digits than decide how a double is rounded */

static double
parse_any(const json_text *number)
{
    char digits[NUMBER_BYTES];
    if (number->size < sizeof digits) {
        memcpy(digits, number->data, number->size);
        digits[number->size] = 0;
        return parse_slowly(digits);
    }
    char *copy = malloc(number->size + 1);
    if (copy == NULL) {
        return NAN;
    }
    memcpy(copy, number->data, number->size);
    copy[number->size] = 0;
    double value = parse_slowly(copy);
    free(copy);
    return value;
}

double
json_double(const json_text *number)
{
    static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    const char *at = number->data, *end = at + number->size;
    bool negative = at < end && *at == '-';
    uint64_t digits = 0;
    size_t count = 0, places = 0;
    for (at += negative; at < end && is_digit(*at) && count < 18; at++, count++) {
        digits = digits * 10 + (uint64_t)(*at - '0');
    }
    if (at < end && *at == '.') {
        for (at++; at < end && is_digit(*at) && count < 18; at++, count++, places++) {
            digits = digits * 10 + (uint64_t)(*at - '0');
        }
    }
    /* Both numbers are exact as doubles, so one division rounds once. */
    if (at == end && count > 0 && digits <= (uint64_t)1 << 53 && places <= 22) {
        double value = (double)digits / powers[places];
        return negative ? -value : value;
    }
    return parse_any(number);
}

/* Numbers with an exponent: rare enough for a long double, which holds 64 bits. */
static bool
thousandths_of_any(const char *data, size_t size, int64_t *value)
{
    char digits[64];
    if (size == 0 || size >= sizeof digits || (!is_digit(data[0]) && data[0] != '-')) {
        return false;
    }
    memcpy(digits, data, size);
    digits[size] = 0;
    char *end;
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        return false;
    }
    long double number = strtold_l(digits, &end, c_locale) * 1000;
    freelocale(c_locale);
    if (end != digits + size || !(number > -9.2e18L && number < 9.2e18L)) {
        return false;
    }
    *value = (int64_t)floorl(number + 0.5L);
    return true;
}

bool
json_thousandths_of_text(const char *data, size_t size, int64_t *value)
{
    const char *at = data, *end = data + size;
    bool negative = at < end && *at == '-';
    uint64_t number = 0;
    at += negative;
    const char *digits = at;
    while (at < end && is_digit(*at) && at - digits < 16) {
        number = number * 10 + (uint64_t)(*at++ - '0');
    }
    if (at == digits || (at < end && *at != '.')) {
        return thousandths_of_any(data, size, value);
    }
    at += at < end;
    for (unsigned i = 0; i < 3; i++) {
        number = number * 10 + (at < end && is_digit(*at) ? (uint64_t)(*at++ - '0') : 0);
    }
    if (at < end && is_digit(*at)) {
        number += *at >= '5';
        while (at < end && is_digit(*at)) {
            at++;
        }
    }
    if (at < end) {
        return thousandths_of_any(data, size, value);
    }
    *value = negative ? -(int64_t)number : (int64_t)number;
    return true;
}
