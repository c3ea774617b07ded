/* Columns, the writing side. Every choice is by size in bytes, computed from one histogram of bit
 * lengths; only what cannot lose much is decided by rule. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"

/* How residuals would be packed: width bits each, and what is longer patched. */
typedef struct {
    unsigned width, longest;
    size_t bytes;
} plan;

tsm_status
sbt_encoder_create(tsm_sbt_compression compression, sbt_encoder **out)
{
    /* calloc: pages that small columns never touch are never there. */
    sbt_encoder *encoder = calloc(1, sizeof *encoder);
    if (encoder == NULL) {
        return TSM_E_NOMEM;
    }
    if (compression == TSM_SBT_ZSTD && (encoder->zstd = sbt_zstd_encoder_create()) == NULL) {
        free(encoder);
        return TSM_E_NOMEM;
    }
    *out = encoder;
    return TSM_OK;
}

void
sbt_encoder_destroy(sbt_encoder *encoder)
{
    if (encoder != NULL) {
        sbt_zstd_encoder_destroy(encoder->zstd);
        free(encoder->column.data);
        free(encoder);
    }
}

static size_t
varint_bytes(uint64_t value)
{
    return (sbt_bit_length(value | 1) + 6) / 7;
}

static plan
make_plan(const uint64_t *residuals, size_t count)
{
    /* Two, because neighbours are often of one length and would wait for each other's store. */
    uint32_t lengths[2][65] = { { 0 } };
    for (size_t i = 0; i < count; i++) {
        lengths[i & 1][sbt_bit_length(residuals[i])]++;
    }
    plan best = { .longest = 64 };
    for (unsigned i = 0; i <= 64; i++) {
        lengths[0][i] += lengths[1][i];
    }
    while (best.longest > 0 && lengths[0][best.longest] == 0) {
        best.longest--;
    }
    best.width = best.longest;
    best.bytes = sbt_packed_bytes(count, best.longest);
    for (unsigned width = best.longest; width-- > 0;) {
        /* A patch is a gap, nearly always one byte, and the bits above width. */
        size_t patches = 0;
        for (unsigned length = width + 1; length <= best.longest; length++) {
            patches += lengths[0][length] * (1 + (length - width + 6) / 7);
        }
        size_t bytes = sbt_packed_bytes(count, width) + patches;
        if (bytes < best.bytes) {
            best.width = width;
            best.bytes = bytes;
        }
    }
    return best;
}

/* Numbers the different residuals in the order of their appearance; false when there are more
 * than most. indices may be residuals. */
static bool
build_dictionary(sbt_encoder *e, const uint64_t *residuals, size_t count, size_t most, uint64_t *indices,
                 size_t *entries)
{
    const size_t mask = sizeof e->slots / sizeof *e->slots - 1;
    size_t used = 0;
    memset(e->slots, 0, sizeof e->slots);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = residuals[i];
        size_t at = (size_t)(value * 0x9e3779b97f4a7c15u >> 40) & mask;
        while (e->slots[at] != 0 && e->dictionary[e->slots[at] - 1] != value) {
            at = (at + 1) & mask;
        }
        if (e->slots[at] == 0) {
            /* The second test gives up early on what is all different. */
            if (used == most || used > 64 + i / 2) {
                return false;
            }
            e->dictionary[used] = value;
            e->slots[at] = (uint16_t)++used;
        }
        indices[i] = e->slots[at] - 1u;
    }
    *entries = used;
    return true;
}

static void
put_patches(const uint64_t *residuals, size_t count, unsigned width, sbt_buffer *out)
{
    size_t last = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t high = residuals[i] >> width;
        if (high != 0) {
            sbt_put_varint(out, i - last);
            sbt_put_varint(out, high);
            last = i;
        }
    }
}

static void
put_bits(const uint64_t *residuals, size_t count, const plan *p, sbt_buffer *out)
{
    size_t bytes = sbt_packed_bytes(count, p->width);
    sbt_put_u8(out, (uint8_t)p->width);
    uint8_t *at = sbt_buffer_room(out, bytes + 8);
    if (at == NULL) {
        return;
    }
    sbt_pack(residuals, count, p->width, at);
    out->size += bytes;
    if (p->longest > p->width) {
        put_patches(residuals, count, p->width, out);
    }
}

/* Each byte of the residuals apart, so that noise in the low ones does not spoil the codes of the
 * high ones: zstd has one Huffman table per frame. */
static void
put_planes(sbt_encoder *e, const uint64_t *residuals, size_t count, unsigned longest, sbt_buffer *out)
{
    unsigned planes = (longest + 7) / 8;
    sbt_put_u8(out, (uint8_t)planes);
    for (unsigned plane = 0; plane < planes; plane++) {
        for (size_t i = 0; i < count; i++) {
            e->plane[i] = (uint8_t)(residuals[i] >> 8 * plane);
        }
        size_t bytes = sbt_zstd_encode(e->zstd, e->plane, count, e->packed_plane);
        sbt_put_varint(out, bytes == 0 ? count : bytes);
        sbt_put(out, bytes == 0 ? e->plane : e->packed_plane, bytes == 0 ? count : bytes);
    }
}

static void
fill_keys(sbt_keys *keys, const uint64_t *residuals, size_t count, unsigned longest)
{
    uint16_t most = 0;
    keys->count = 0;
    if (longest > sbt_bit_length(SBT_KEYS_MAX - 1)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        keys->key[i] = (uint16_t)residuals[i];
        most = keys->key[i] > most ? keys->key[i] : most;
    }
    keys->count = most + 1u;
}

#define PLANES_FROM 64 /* bytes: below, a frame's own header eats the gain */

/* What goes behind the transform's parameters; *coding gets its flags. */
static void
put_stream(sbt_encoder *e, uint64_t *residuals, size_t count, plan p, sbt_keys *keys, size_t coding,
           sbt_buffer *out)
{
    uint64_t *indices = residuals == e->residuals[0] ? e->residuals[1] : e->residuals[0];
    size_t entries = 0;
    size_t most = p.width > 11 ? SBT_DICTIONARY_MAX : ((size_t)1 << p.width) / 2;
    if (p.width >= 2 && build_dictionary(e, residuals, count, most, indices, &entries)) {
        plan by_index = { .width = sbt_bit_length(entries - 1), .longest = sbt_bit_length(entries - 1) };
        size_t list = varint_bytes(entries);
        for (size_t i = 0; i < entries; i++) {
            list += varint_bytes(e->dictionary[i]);
        }
        by_index.bytes = sbt_packed_bytes(count, by_index.width);
        if (list + by_index.bytes < p.bytes) {
            out->data[coding] |= SBT_DICTIONARY;
            sbt_put_varint(out, entries);
            for (size_t i = 0; i < entries; i++) {
                sbt_put_varint(out, e->dictionary[i]);
            }
            residuals = indices;
            p = by_index;
        }
    }
    if (keys != NULL) {
        fill_keys(keys, residuals, count, p.longest);
    }
    if (e->zstd != NULL && p.bytes >= PLANES_FROM) {
        size_t before = out->size;
        put_planes(e, residuals, count, p.longest, out);
        if (out->failed || out->size - before < p.bytes) {
            if (!out->failed) {
                out->data[coding] |= SBT_PLANES;
            }
            return;
        }
        out->size = before;
    }
    put_bits(residuals, count, &p, out);
}

typedef struct {
    uint64_t low, high;
} range;

static range
find_range(const uint64_t *values, size_t count)
{
    range r = { values[0], values[0] };
    for (size_t i = 1; i < count; i++) {
        r.low = values[i] < r.low ? values[i] : r.low;
        r.high = values[i] > r.high ? values[i] : r.high;
    }
    return r;
}

/* Differences to the value before, less the smallest; or, where some are negative, zigzag. */
static uint8_t
make_deltas(const uint64_t *values, size_t count, uint64_t *residuals, uint64_t *base)
{
    int64_t smallest = INT64_MAX;
    for (size_t i = 1; i < count; i++) {
        int64_t delta = (int64_t)(values[i] - values[i - 1]);
        residuals[i] = (uint64_t)delta;
        smallest = delta < smallest ? delta : smallest;
    }
    residuals[0] = 0;
    if (smallest >= 0) {
        *base = (uint64_t)smallest;
        for (size_t i = 1; i < count; i++) {
            residuals[i] -= (uint64_t)smallest;
        }
        return SBT_DELTA;
    }
    *base = 0;
    for (size_t i = 1; i < count; i++) {
        residuals[i] = tsm_zigzag((int64_t)residuals[i]);
    }
    return SBT_ZIGZAG;
}

static void
put_constant(uint64_t value, sbt_buffer *out)
{
    sbt_put_u8(out, SBT_CONSTANT);
    sbt_put_varint(out, value);
}

static void
put_column(sbt_encoder *e, const uint64_t *values, size_t count, sbt_attempt attempt, sbt_keys *keys,
           sbt_buffer *out)
{
    range r = count == 0 ? (range){ 0, 0 } : find_range(values, count);
    if (r.low == r.high) {
        if (keys != NULL) {
            keys->count = 0;
        }
        put_constant(r.low, out);
        return;
    }
    plan by_offset = { .bytes = SIZE_MAX }, by_delta = { .bytes = SIZE_MAX };
    uint64_t step = 0;
    uint8_t delta = SBT_DELTA;
    if (attempt & SBT_TRY_OFFSET) {
        for (size_t i = 0; i < count; i++) {
            e->residuals[0][i] = values[i] - r.low;
        }
        by_offset = make_plan(e->residuals[0], count);
    }
    if (attempt & SBT_TRY_DELTA) {
        delta = make_deltas(values, count, e->residuals[1], &step);
        by_delta = make_plan(e->residuals[1], count);
    }
    size_t coding = out->size;
    if (by_offset.bytes <= by_delta.bytes) {
        sbt_put_u8(out, SBT_OFFSET);
        sbt_put_varint(out, r.low);
        put_stream(e, e->residuals[0], count, by_offset, keys, coding, out);
        return;
    }
    sbt_put_u8(out, delta);
    sbt_put_varint(out, values[0] - step);
    if (delta == SBT_DELTA) {
        sbt_put_varint(out, step);
    }
    put_stream(e, e->residuals[1], count, by_delta, keys, coding, out);
}

static void
put_sized(sbt_buffer *out, const sbt_buffer *column)
{
    sbt_put_varint(out, column->size);
    sbt_put(out, column->data, column->size);
    out->failed |= column->failed;
}

void
sbt_column_encode(sbt_encoder *e, const uint64_t *values, size_t count, sbt_attempt attempt, sbt_keys *keys,
                  sbt_buffer *out)
{
    e->column.size = 0;
    e->column.failed = sbt_buffer_room(&e->column, 64) == NULL;
    put_column(e, values, count, attempt, keys, &e->column);
    put_sized(out, &e->column);
}

/* The value of each key is the first it appears with; keys that do not appear get fill. Gives how
 * many rows disagree; stops when that cannot pay any more. */
static size_t
build_map(sbt_encoder *e, const uint64_t *values, size_t count, uint64_t fill)
{
    size_t misses = 0;
    memset(e->mapped, 0, e->keys.count);
    for (size_t i = 0; i < e->keys.count; i++) {
        e->map[i] = fill;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t key = e->keys.key[i];
        if (!e->mapped[key]) {
            e->mapped[key] = 1;
            e->map[key] = values[i];
        }
        misses += e->map[key] != values[i];
        if (misses > 16 + i / 16) {
            return count;
        }
    }
    return misses;
}

static void
put_misses(const sbt_encoder *e, const uint64_t *values, size_t count, sbt_buffer *out)
{
    size_t last = 0;
    for (size_t i = 0; i < count; i++) {
        if (e->map[e->keys.key[i]] != values[i]) {
            sbt_put_varint(out, i - last);
            sbt_put_varint(out, values[i]);
            last = i;
        }
    }
}

void
sbt_column_encode_mapped(sbt_encoder *e, const uint64_t *values, size_t count, sbt_buffer *out)
{
    size_t keys = e->keys.count;
    range r = find_range(values, count);
    unsigned width = sbt_bit_length(r.high - r.low);
    size_t misses = keys == 0 || keys > count ? count : build_map(e, values, count, r.low);
    if (misses > 16 + count / 16 || keys * width / 8 + misses * (1 + varint_bytes(r.high)) >= count * width / 8) {
        sbt_column_encode(e, values, count, SBT_TRY_OFFSET, NULL, out);
        return;
    }
    sbt_buffer mapped = { 0 };
    sbt_put_u8(&mapped, SBT_MAPPED);
    sbt_put_varint(&mapped, keys);
    sbt_column_encode(e, e->map, keys, SBT_TRY_OFFSET, NULL, &mapped);
    if (misses > 0) {
        put_misses(e, values, count, &mapped);
    }
    put_sized(out, &mapped);
    free(mapped.data);
}
