/* JSON as it is found, taken apart by whoever calls: no tree is built. A cursor lies on bytes
 * that end with at least 16 zeros behind end. Every function returns false when it cannot go on,
 * and why says whether more bytes may help (JSON_MORE: begin the unit anew) or none (JSON_BAD).
 *
 * Taken though no standard allows it: control characters and invalid UTF-8 in strings, NaN,
 * Infinity, N/A, a comma before a closing bracket. Private to ingest/. */
#ifndef TSM_INGEST_JSON_H
#define TSM_INGEST_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/status.h"

#define JSON_DEPTH 512

typedef enum { JSON_FINE, JSON_MORE, JSON_BAD } json_why;

typedef struct {
    const char *at, *end;
    json_why why;
    const char *expected; /* for people, when why is JSON_BAD */
} json_cursor;

/* A value as it is written; of a string, what lies between the quotes. */
typedef struct {
    const char *data;
    size_t size;
    bool escaped; /* a string with backslashes: json_unescape it */
} json_text;

typedef enum {
    JSON_STRING,
    JSON_INTEGER, /* fits 64 bits with sign */
    JSON_NUMBER,  /* any other number, and NaN and the infinities */
    JSON_WORD,    /* true, false, null, N/A */
    JSON_LIST,
    JSON_OBJECT,
} json_kind;

typedef struct {
    json_kind kind;
    bool plain; /* a JSON_NUMBER of at most three decimals and 15 digits before: integer holds it times 1000;
                 * a list or object without control characters outside its strings */
    json_text text;
    int64_t integer; /* JSON_INTEGER */
} json_value;

static inline bool
json_fail(json_cursor *c, const char *expected)
{
    c->why = c->at >= c->end ? JSON_MORE : JSON_BAD;
    c->expected = expected;
    return false;
}

void json_skip_long_space(json_cursor *c);

static inline void
json_skip_space(json_cursor *c)
{
    if ((unsigned char)*c->at <= ' ') {
        /* One blank or none between tokens is what most writers write. */
        if (*c->at == ' ' && (unsigned char)c->at[1] > ' ') {
            c->at++;
            return;
        }
        json_skip_long_space(c);
    }
}

/* The next byte after space is this one, and is taken. */
static inline bool
json_take(json_cursor *c, char wanted)
{
    json_skip_space(c);
    if (*c->at != wanted) {
        return false;
    }
    c->at++;
    return true;
}

/* A string, the cursor being on its opening quote. */
static inline bool
json_string(json_cursor *c, json_text *text)
{
    const char *at = ++c->at;
    text->data = at;
    text->escaped = false;
    for (;;) {
#if defined(__SSE2__)
        const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
        int found;
        for (;;) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
            found = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)));
            if (found != 0 || at >= c->end) {
                break;
            }
            at += 16;
        }
        at += found == 0 ? 0 : __builtin_ctz((unsigned)found);
#else
        while (at < c->end && *at != '"' && *at != '\\') {
            at++;
        }
#endif
        if (at >= c->end) {
            c->at = c->end;
            return json_fail(c, "the end of a string");
        }
        if (*at == '"') {
            text->size = (size_t)(at - text->data);
            c->at = at + 1;
            return true;
        }
        text->escaped = true;
        at += 2;
    }
}

bool json_read_number(json_cursor *c, json_value *value); /* and words */
bool json_read_nested(json_cursor *c, json_value *value);

/* A member's name and the colon behind it. */
static inline bool
json_key(json_cursor *c, json_text *key)
{
    json_skip_space(c);
    if (*c->at != '"') {
        return json_fail(c, "a member's name in quotes");
    }
    return json_string(c, key) && (json_take(c, ':') || json_fail(c, "':'"));
}

/* Any value, lists and objects whole and unchecked inside but for brackets and strings. */
static inline bool
json_read(json_cursor *c, json_value *value)
{
    json_skip_space(c);
    if (*c->at == '"') {
        value->kind = JSON_STRING;
        return json_string(c, &value->text);
    }
    return *c->at == '[' || *c->at == '{' ? json_read_nested(c, value) : json_read_number(c, value);
}

/* Between members: takes a comma (more is true) or the closing bracket (more is false). */
static inline bool
json_next(json_cursor *c, char close, bool *more)
{
    json_skip_space(c);
    *more = *c->at == ',';
    if (*more) {
        c->at++;
        json_skip_space(c);
    }
    if (*c->at == close) {
        c->at++;
        *more = false;
        return true;
    }
    return *more || json_fail(c, close == '}' ? "',' or '}'" : "',' or ']'");
}

/* Decodes escapes into to, which has room for text->size bytes; returns how many were written.
 * A lone surrogate becomes its three bytes as in WTF-8; a broken escape stays as it is. */
size_t json_unescape(const json_text *text, char *to);

/* Writes a string as JSON with its quotes into to: room for 6 * size + 2 bytes. */
size_t json_escape(const char *data, size_t size, char *to);

/* Copies a value without the space outside its strings; room for size bytes. */
size_t json_compact(const char *data, size_t size, char *to);

/* A JSON_INTEGER or JSON_NUMBER as a double, rounded once. */
double json_double(const json_text *number);

/* A number, or a string that is one, times 1000, exact to the unit and rounded half up below it.
 * False: no number, or beyond 63 bits. */
bool json_thousandths_of_text(const char *data, size_t size, int64_t *thousandths);

static inline bool
json_thousandths(const json_value *value, int64_t *thousandths)
{
    if (value->kind == JSON_NUMBER && value->plain) {
        *thousandths = value->integer;
        return true;
    }
    if (value->kind == JSON_INTEGER && value->integer > -INT64_C(9000000000000000)
        && value->integer < INT64_C(9000000000000000)) {
        *thousandths = value->integer * 1000;
        return true;
    }
    return json_thousandths_of_text(value->text.data, value->text.size, thousandths);
}

#endif
