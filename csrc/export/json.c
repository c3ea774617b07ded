#include "export/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"

const char tsm_digit_pairs[201] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

void
tsm_pen_put_slowly(tsm_pen *pen, const void *data, size_t bytes)
{
    tsm_pen_end(pen);
    if (bytes > TSM_PEN_ROOM) {
        tsm_output_put(pen->output, data, bytes);
        bytes = 0;
    }
    tsm_pen_begin(pen, pen->output);
    memcpy(pen->at, data, bytes);
    pen->at += bytes;
}

static char *
trim_zeros(char *at)
{
    while (at[-1] == '0' && at[-2] != '.') {
        at--;
    }
    return at;
}

/* Most doubles in traces are decimal fractions of few places. When places / scale, rounded once
 * as IEEE division does, is the value, those digits read back as the value too. */
static char *
print_fraction(char *at, double size)
{
    const double scale = 1e9;
    if (!(size < 9e6) || (size < 1e-3 && size != 0)) {
        return NULL;
    }
    const uint64_t places = (uint64_t)(size * scale + 0.5);
    if ((double)places / scale != size) {
        return NULL;
    }
    at = tsm_print_u64(at, places / 1000000000);
    *at++ = '.';
    uint64_t rest = places % 1000000000;
    for (int i = 8; i >= 0; i--, rest /= 10) {
        at[i] = (char)('0' + rest % 10);
    }
    return trim_zeros(at + 9);
}

char *
tsm_print_double(char *at, double value)
{
    if (!isfinite(value)) {
        memcpy(at, "null", 4);
        return at + 4;
    }
    char *begin = at;
    if (signbit(value)) {
        *at++ = '-';
    }
    char *end = print_fraction(at, fabs(value));
    for (int precision = 15; end == NULL && precision <= 17; precision++) {
        const int used = snprintf(begin, TSM_NUMBER_CHARS, "%.*g", precision, value);
        if (strtod(begin, NULL) == value) {
            end = begin + used;
        }
    }
    if (end == NULL) { /* cannot be: 17 digits tell any two doubles apart */
        end = begin;
    }
    if (strcspn(begin, ".e") >= (size_t)(end - begin)) {
        memcpy(end, ".0", 2);
        end += 2;
    }
    return end;
}

char *
tsm_buffer_room(tsm_buffer *buffer, size_t bytes)
{
    if (buffer->failed || bytes > SIZE_MAX / 2
        || !tsm_array_reserve(&buffer->data, &buffer->capacity, buffer->size + bytes)) {
        buffer->failed = true;
        return NULL;
    }
    return buffer->data + buffer->size;
}

void
tsm_buffer_put(tsm_buffer *buffer, const void *data, size_t bytes)
{
    char *at = tsm_buffer_room(buffer, bytes);
    if (at != NULL && bytes > 0) {
        memcpy(at, data, bytes);
        buffer->size += bytes;
    }
}

void
tsm_buffer_say(tsm_buffer *buffer, const char *text)
{
    tsm_buffer_put(buffer, text, strlen(text));
}

void
tsm_buffer_u64(tsm_buffer *buffer, uint64_t value)
{
    char digits[TSM_NUMBER_CHARS];
    tsm_buffer_put(buffer, digits, (size_t)(tsm_print_u64(digits, value) - digits));
}

void
tsm_buffer_i64(tsm_buffer *buffer, int64_t value)
{
    char digits[TSM_NUMBER_CHARS];
    tsm_buffer_put(buffer, digits, (size_t)(tsm_print_i64(digits, value) - digits));
}

void
tsm_buffer_double(tsm_buffer *buffer, double value)
{
    char digits[TSM_NUMBER_CHARS];
    tsm_buffer_put(buffer, digits, (size_t)(tsm_print_double(digits, value) - digits));
}
