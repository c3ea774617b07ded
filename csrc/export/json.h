/* Writing JSON fast: a pen on an output, numbers by two digits at a time, and a buffer for pieces
 * that are rendered once and copied often. Private to export/. */
#ifndef TSM_EXPORT_JSON_H
#define TSM_EXPORT_JSON_H

#include "export/output.h"
#include "trace/trace.h"

#define TSM_PEN_ROOM     ((size_t)64 << 10)
#define TSM_NUMBER_CHARS 32 /* the longest number below, its point and sign included */

/* Between two looks at its output, at..end is ours to fill. */
typedef struct {
    tsm_output *output;
    char *begin, *at, *end;
} tsm_pen;

static inline void
tsm_pen_begin(tsm_pen *pen, tsm_output *output)
{
    pen->output = output;
    pen->begin = pen->at = tsm_output_room(output, TSM_PEN_ROOM);
    pen->end = pen->at + TSM_PEN_ROOM;
}

static inline void
tsm_pen_end(tsm_pen *pen)
{
    tsm_output_advance(pen->output, (size_t)(pen->at - pen->begin));
    pen->begin = pen->at;
}

void tsm_pen_put_slowly(tsm_pen *pen, const void *data, size_t bytes);

static inline void
tsm_pen_put(tsm_pen *pen, const void *data, size_t bytes)
{
    if (bytes > (size_t)(pen->end - pen->at)) {
        tsm_pen_put_slowly(pen, data, bytes);
        return;
    }
    memcpy(pen->at, data, bytes);
    pen->at += bytes;
}

/* A literal, whose length the compiler knows. */
#define tsm_pen_say(pen, literal) tsm_pen_put((pen), (literal), sizeof(literal) - 1)

/* Where up to bytes (at most TSM_PEN_ROOM) may be written; then move at. */
static inline char *
tsm_pen_room(tsm_pen *pen, size_t bytes)
{
    if (bytes > (size_t)(pen->end - pen->at)) {
        tsm_pen_end(pen);
        tsm_pen_begin(pen, pen->output);
    }
    return pen->at;
}

extern const char tsm_digit_pairs[201];

/* Each returns where the number ends; room for TSM_NUMBER_CHARS is the caller's care. */
static inline char *
tsm_print_u64(char *at, uint64_t value)
{
    char digits[20];
    char *from = digits + sizeof digits;
    while (value >= 100) {
        from -= 2;
        memcpy(from, tsm_digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        from -= 2;
        memcpy(from, tsm_digit_pairs + value * 2, 2);
    } else {
        *--from = (char)('0' + value);
    }
    const size_t count = (size_t)(digits + sizeof digits - from);
    memcpy(at, from, count);
    return at + count;
}

static inline char *
tsm_print_i64(char *at, int64_t value)
{
    if (value < 0) {
        *at++ = '-';
        return tsm_print_u64(at, 0 - (uint64_t)value);
    }
    return tsm_print_u64(at, (uint64_t)value);
}

/* Nanoseconds as microseconds with exactly three decimals. */
static inline char *
tsm_print_us(char *at, uint64_t ns)
{
    const unsigned rest = (unsigned)(ns % 1000);
    at = tsm_print_u64(at, ns / 1000);
    *at++ = '.';
    *at++ = (char)('0' + rest / 100);
    memcpy(at, tsm_digit_pairs + rest % 100 * 2, 2);
    return at + 2;
}

/* The difference of two times, which may be negative. */
static inline char *
tsm_print_us_since(char *at, uint64_t ns, uint64_t base)
{
    if (ns < base) {
        *at++ = '-';
        return tsm_print_us(at, base - ns);
    }
    return tsm_print_us(at, ns - base);
}

/* A text that reads back as the same double; null for what JSON has no number for. */
char *tsm_print_double(char *at, double value);

/* Grows; once memory ran out, failed stays set and what is put is lost. */
typedef struct {
    char *data;
    size_t size, capacity;
    bool failed;
} tsm_buffer;

/* At least bytes to write to behind size, or NULL when there is no memory. */
char *tsm_buffer_room(tsm_buffer *buffer, size_t bytes);
void tsm_buffer_put(tsm_buffer *buffer, const void *data, size_t bytes);
void tsm_buffer_say(tsm_buffer *buffer, const char *text);
void tsm_buffer_u64(tsm_buffer *buffer, uint64_t value);
void tsm_buffer_i64(tsm_buffer *buffer, int64_t value);
void tsm_buffer_double(tsm_buffer *buffer, double value);

/* The length of the UTF-8 character at at, or 0: too long a form, a surrogate, cut off, ... */
size_t tsm_utf8_length(const unsigned char *at, size_t left);

/* Quoted and escaped. What is not UTF-8 becomes U+FFFD, a byte at a time. */
void tsm_buffer_string(tsm_buffer *buffer, const char *data, size_t size);

/* Is it one JSON value, in valid UTF-8, with nothing around it but white space? */
bool tsm_json_valid(const char *data, size_t size);

/* Does a metadata value stand for JSON (docs/events.md), and is it valid? */
bool tsm_json_meant(const char *data, size_t size);

/* Walks a list or an object of valid JSON; values and keys are its text, strings with their
 * quotes. False: it is no such thing. */
typedef struct {
    const char *at, *end;
} tsm_json_walk;

bool tsm_json_enter(tsm_json_walk *walk, tsm_text json, char bracket);
/* The next value, and in an object the key before it, else NULL. False: that was all. */
bool tsm_json_next(tsm_json_walk *walk, tsm_text *key, tsm_text *value);

#endif
