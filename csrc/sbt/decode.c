/* Columns, the reading side. Nothing that a column says is believed: every index is masked into a
 * table of a power of two, every patch must lie inside, every size is held against the bytes. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"

/* Most are one byte. */
static inline uint64_t
take_varint(tsm_bytes *bytes)
{
    if (bytes->at < bytes->end && *bytes->at < 0x80) {
        return *bytes->at++;
    }
    return tsm_bytes_varint(bytes);
}

static void
next_patch(sbt_column *c)
{
    if (tsm_bytes_left(&c->patches) == 0) {
        c->patch_at = SIZE_MAX;
        return;
    }
    uint64_t gap = take_varint(&c->patches);
    c->patch = take_varint(&c->patches);
    if (c->patches.failed || gap >= c->count - c->patch_at) {
        c->failed = true;
        c->patch_at = SIZE_MAX;
        return;
    }
    c->patch_at += gap;
}

/* A table of count u64 rounded up to a power of two, the rest 0. */
static tsm_status
make_lookup(sbt_column *c, size_t count)
{
    size_t room = 1;
    while (room < count) {
        room *= 2;
    }
    c->lookup = calloc(room, sizeof *c->lookup);
    c->lookup_mask = room - 1;
    return c->lookup == NULL ? TSM_E_NOMEM : TSM_OK;
}

static tsm_status
open_dictionary(sbt_column *c, tsm_bytes *bytes)
{
    uint64_t entries = take_varint(bytes);
    if (bytes->failed || entries == 0 || entries > tsm_bytes_left(bytes) || entries > c->count) {
        return TSM_E_CORRUPT;
    }
    tsm_status status = make_lookup(c, (size_t)entries);
    for (size_t i = 0; status == TSM_OK && i < entries; i++) {
        c->lookup[i] = take_varint(bytes) + c->base;
    }
    return status == TSM_OK && bytes->failed ? TSM_E_CORRUPT : status;
}

static tsm_status
open_planes(sbt_column *c, tsm_bytes *bytes, sbt_zstd_decoder **zstd)
{
    c->plane_count = tsm_bytes_u8(bytes);
    if (bytes->failed || c->plane_count > 8) {
        return TSM_E_CORRUPT;
    }
    c->planes = malloc(c->plane_count * c->count + 1);
    if (c->planes == NULL) {
        return TSM_E_NOMEM;
    }
    for (unsigned plane = 0; plane < c->plane_count; plane++) {
        uint8_t *to = c->planes + plane * c->count;
        uint64_t size = take_varint(bytes);
        const uint8_t *from = tsm_bytes_take(bytes, size);
        if (from == NULL || size > c->count) {
            return TSM_E_CORRUPT;
        }
        tsm_status status = TSM_OK;
        if (size == c->count) {
            memcpy(to, from, c->count);
        } else {
            status = sbt_zstd_decode(zstd, from, (size_t)size, to, c->count);
        }
        if (status != TSM_OK) {
            return status;
        }
    }
    return tsm_bytes_left(bytes) == 0 ? TSM_OK : TSM_E_CORRUPT;
}

static tsm_status
open_bits(sbt_column *c, tsm_bytes *bytes)
{
    c->width = tsm_bytes_u8(bytes);
    if (bytes->failed || c->width > 64) {
        return TSM_E_CORRUPT;
    }
    c->packed = tsm_bytes_take(bytes, sbt_packed_bytes(c->count, c->width));
    if (c->packed == NULL || (c->width == 64 && tsm_bytes_left(bytes) > 0)) {
        return TSM_E_CORRUPT;
    }
    c->patches = *bytes;
    next_patch(c);
    return c->failed ? TSM_E_CORRUPT : TSM_OK;
}

static tsm_status
open_map(sbt_column *c, tsm_bytes *bytes, sbt_zstd_decoder **zstd)
{
    uint64_t keys = take_varint(bytes);
    if (bytes->failed || keys == 0 || keys > SBT_KEYS_MAX) {
        return TSM_E_CORRUPT;
    }
    tsm_status status = make_lookup(c, (size_t)keys);
    if (status == TSM_OK) {
        status = sbt_column_take(bytes, (size_t)keys, c->lookup, zstd);
    }
    if (status != TSM_OK) {
        return status;
    }
    c->patches = *bytes;
    next_patch(c);
    return c->failed ? TSM_E_CORRUPT : TSM_OK;
}

static tsm_status
open_stream(sbt_column *c, uint8_t coding, tsm_bytes *bytes, sbt_zstd_decoder **zstd)
{
    c->has_dictionary = (coding & SBT_DICTIONARY) != 0;
    c->has_planes = (coding & SBT_PLANES) != 0;
    tsm_status status = c->has_dictionary ? open_dictionary(c, bytes) : TSM_OK;
    if (status != TSM_OK) {
        return status;
    }
    return c->has_planes ? open_planes(c, bytes, zstd) : open_bits(c, bytes);
}

static tsm_status
open_column(sbt_column *c, tsm_bytes *bytes, sbt_zstd_decoder **zstd)
{
    uint8_t coding = tsm_bytes_u8(bytes);
    c->transform = coding & SBT_TRANSFORM_MASK;
    if (coding & ~(SBT_TRANSFORM_MASK | SBT_DICTIONARY | SBT_PLANES) || c->transform > SBT_MAPPED
        || ((c->transform == SBT_CONSTANT || c->transform == SBT_MAPPED) && coding != c->transform)) {
        return TSM_E_UNSUPPORTED;
    }
    if (c->transform == SBT_MAPPED) {
        return open_map(c, bytes, zstd);
    }
    uint64_t first = take_varint(bytes);
    c->running = first;
    c->base = c->transform == SBT_DELTA ? take_varint(bytes) : c->transform == SBT_ZIGZAG ? 0 : first;
    if (bytes->failed) {
        return TSM_E_CORRUPT;
    }
    if (c->transform == SBT_CONSTANT) {
        return tsm_bytes_left(bytes) == 0 ? TSM_OK : TSM_E_CORRUPT;
    }
    return open_stream(c, coding, bytes, zstd);
}

tsm_status
sbt_column_open(sbt_column *c, const uint8_t *data, size_t bytes, size_t count, sbt_zstd_decoder **zstd)
{
    *c = (sbt_column){ .count = count, .patch_at = 0 };
    tsm_bytes window = { .at = data, .end = data + bytes };
    tsm_status status = bytes == 0 ? TSM_E_CORRUPT : open_column(c, &window, zstd);
    if (status != TSM_OK) {
        sbt_column_close(c);
    }
    return status;
}

void
sbt_column_close(sbt_column *c)
{
    free(c->lookup);
    free(c->planes);
    c->lookup = NULL;
    c->planes = NULL;
}

static void
join_planes(const sbt_column *c, size_t count, uint64_t *restrict values)
{
    memset(values, 0, count * sizeof *values);
    for (unsigned plane = 0; plane < c->plane_count; plane++) {
        const uint8_t *from = c->planes + plane * c->count + c->at;
        for (size_t i = 0; i < count; i++) {
            values[i] |= (uint64_t)from[i] << 8 * plane;
        }
    }
}

/* Residuals plus add. */
static void
next_residuals(sbt_column *c, size_t count, uint64_t add, uint64_t *values)
{
    if (c->has_planes) {
        join_planes(c, count, values);
        for (size_t i = 0; i < count && add != 0; i++) {
            values[i] += add;
        }
        return;
    }
    size_t begin = c->at % SBT_GROUP, left = c->count - (c->at - begin);
    size_t group = left < SBT_GROUP ? left : SBT_GROUP;
    sbt_unpack(c->packed + (c->at - begin) / 8 * c->width, group, begin, count, c->width, add, values);
    while (c->patch_at < c->at + count) {
        values[c->patch_at - c->at] += c->patch << c->width;
        next_patch(c);
    }
}

static void
look_up(const sbt_column *c, const uint64_t *keys, size_t count, uint64_t *values)
{
    const uint64_t *restrict lookup = c->lookup;
    const uint64_t mask = c->lookup_mask;
    /* Else counting is a third of the work. */
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++) {
        values[i] = lookup[keys[i] & mask];
    }
}

static void
add_up(sbt_column *c, size_t count, uint64_t *values)
{
    for (size_t i = 0; c->transform == SBT_ZIGZAG && i < count; i++) {
        values[i] = (uint64_t)tsm_unzigzag(values[i]);
    }
    c->running = sbt_add_up(values, count, c->running);
}

/* Both in one, which is quicker than one after the other. */
static void
look_up_and_add(sbt_column *c, size_t count, uint64_t *values)
{
    const uint64_t *restrict lookup = c->lookup;
    const uint64_t mask = c->lookup_mask;
    uint64_t sum = c->running;
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++) {
        values[i] = sum += lookup[values[i] & mask];
    }
    c->running = sum;
}

static void
next_mapped(sbt_column *c, size_t count, const uint64_t *keys, uint64_t *values)
{
    look_up(c, keys, count, values);
    while (c->patch_at < c->at + count) {
        values[c->patch_at - c->at] = c->patch;
        next_patch(c);
    }
}

static void
next_plain(sbt_column *c, size_t count, uint64_t *values, uint64_t *residuals)
{
    uint64_t add = c->has_dictionary ? 0 : c->base;
    next_residuals(c, count, add, values);
    if (residuals != NULL) {
        sbt_subtract(values, count, add, residuals);
    }
    if (c->has_dictionary && c->transform == SBT_DELTA) {
        look_up_and_add(c, count, values);
        return;
    }
    if (c->has_dictionary) {
        look_up(c, values, count, values);
    }
    if (c->transform != SBT_OFFSET) {
        add_up(c, count, values);
    }
}

size_t
sbt_column_next(sbt_column *c, uint64_t *values, const uint64_t *keys, uint64_t *residuals)
{
    size_t count = c->count - c->at < SBT_STEP ? c->count - c->at : SBT_STEP;
    if (c->transform == SBT_CONSTANT) {
        for (size_t i = 0; i < count; i++) {
            values[i] = c->base;
        }
        for (size_t i = 0; residuals != NULL && i < count; i++) {
            residuals[i] = 0;
        }
    } else if (c->transform == SBT_MAPPED) {
        next_mapped(c, count, keys, values);
    } else {
        next_plain(c, count, values, residuals);
    }
    c->at += count;
    return count;
}

void
sbt_column_skip(sbt_column *c)
{
    size_t count = c->count - c->at < SBT_STEP ? c->count - c->at : SBT_STEP;
    if (c->transform == SBT_DELTA || c->transform == SBT_ZIGZAG) {
        uint64_t unused[SBT_STEP];
        sbt_column_next(c, unused, NULL, NULL);
        return;
    }
    c->at += count;
    while (c->patch_at < c->at) {
        next_patch(c);
    }
}

tsm_status
sbt_column_decode(const uint8_t *data, size_t bytes, size_t count, uint64_t *values, sbt_zstd_decoder **zstd)
{
    sbt_column column;
    if (bytes > 0 && data[0] == SBT_MAPPED) {
        return TSM_E_CORRUPT; /* there is no key here; nor may maps be nested */
    }
    tsm_status status = sbt_column_open(&column, data, bytes, count, zstd);
    if (status != TSM_OK) {
        return status;
    }
    for (size_t at = 0; at < count;) {
        at += sbt_column_next(&column, values + at, NULL, NULL);
    }
    status = column.failed ? TSM_E_CORRUPT : TSM_OK;
    sbt_column_close(&column);
    return status;
}

tsm_status
sbt_column_take(tsm_bytes *bytes, size_t count, uint64_t *values, sbt_zstd_decoder **zstd)
{
    uint64_t size = tsm_bytes_varint(bytes);
    const uint8_t *data = tsm_bytes_take(bytes, size);
    return data == NULL ? TSM_E_CORRUPT : sbt_column_decode(data, (size_t)size, count, values, zstd);
}
