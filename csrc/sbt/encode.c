/* Columns, the writing side. Every choice is by size in bytes, computed from one histogram of bit
 * lengths; only what cannot lose much is decided by rule. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"

/* How residuals would be packed: width bits each, and what is longer patched. */
typedef struct {
    unsigned width;
    size_t bytes; /* about */
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
    sbt_block_begin(encoder);
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

/* What is to be packed: values less base, the longest of which has so many bits. */
typedef struct {
    const uint64_t *values;
    uint64_t base;
    size_t count;
    unsigned longest;
} residuals;

#define SAMPLE_FROM 2048 /* values: above, the lengths of every seventh are counted */

static plan
make_plan(const residuals *r)
{
    /* Two, because neighbours are often of one length and would wait for each other's store. */
    uint32_t lengths[2][65] = { { 0 } };
    size_t stride = r->count >= SAMPLE_FROM ? 7 : 1;
    for (size_t i = 0; i < r->count; i += stride) {
        lengths[i & 1][sbt_bit_length(r->values[i] - r->base)]++;
    }
    plan best = { .width = r->longest, .bytes = sbt_packed_bytes(r->count, r->longest) };
    for (unsigned width = r->longest; width-- > 0;) {
        /* A patch is a gap, nearly always one byte, and the bits above width. */
        size_t patches = 0;
        for (unsigned length = width + 1; length <= r->longest; length++) {
            patches += (lengths[0][length] + lengths[1][length]) * (1 + (length - width + 6) / 7);
        }
        size_t bytes = sbt_packed_bytes(r->count, width) + patches * stride;
        if (bytes < best.bytes) {
            best = (plan){ .width = width, .bytes = bytes };
        }
    }
    return best;
}

/* Numbers the different residuals in the order of their appearance; false when there are more
 * than most. */
static bool
build_dictionary(sbt_encoder *e, const residuals *r, size_t most, uint64_t *indices, size_t *entries)
{
    const size_t mask = sizeof e->slots / sizeof *e->slots - 1;
    const bool small = r->longest <= 12; /* then every residual has a slot of its own */
    size_t used = 0;
    memset(e->slots, 0, sizeof e->slots);
    for (size_t i = 0; i < r->count; i++) {
        uint64_t value = r->values[i] - r->base;
        size_t at = small ? (size_t)value : (size_t)(value * 0x9e3779b97f4a7c15u >> 40) & mask;
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
put_bits(const residuals *r, unsigned width, sbt_buffer *out)
{
    /* A patch may take two varints. */
    size_t bytes = sbt_packed_bytes(r->count, width);
    uint8_t *at = sbt_buffer_room(out, 1 + bytes + 8 + 2 * TSM_VARINT_MAX * r->count);
    if (at == NULL) {
        return;
    }
    *at++ = (uint8_t)width;
    sbt_pack(r->values, r->count, width, r->base, at);
    at += bytes;
    for (size_t i = 0, last = 0; i < r->count && r->longest > width; i++) {
        uint64_t high = (r->values[i] - r->base) >> width;
        if (high != 0) {
            at += tsm_put_varint(at, i - last);
            at += tsm_put_varint(at, high);
            last = i;
        }
    }
    out->size = (size_t)(at - out->data);
}

/* Each byte of the residuals apart, so that noise in the low ones does not spoil the codes of the
 * high ones: zstd has one Huffman table per frame. */
static void
put_planes(sbt_encoder *e, const residuals *r, sbt_buffer *out)
{
    unsigned planes = (r->longest + 7) / 8;
    sbt_put_u8(out, (uint8_t)planes);
    for (unsigned plane = 0; plane < planes; plane++) {
        for (size_t i = 0; i < r->count; i++) {
            e->plane[i] = (uint8_t)((r->values[i] - r->base) >> 8 * plane);
        }
        size_t bytes = sbt_zstd_encode(e->zstd, e->plane, r->count, e->packed_plane);
        sbt_put_varint(out, bytes == 0 ? r->count : bytes);
        sbt_put(out, bytes == 0 ? e->plane : e->packed_plane, bytes == 0 ? r->count : bytes);
    }
}

static void
fill_keys(sbt_keys *keys, const residuals *r)
{
    uint16_t most = 0;
    keys->count = 0;
    if (r->longest > sbt_bit_length(SBT_KEYS_MAX - 1)) {
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        keys->key[i] = (uint16_t)(r->values[i] - r->base);
        most = keys->key[i] > most ? keys->key[i] : most;
    }
    keys->count = most + 1u;
}

/* Replaces residuals by their places in a list of the different ones, if that is shorter. */
static bool
put_dictionary(sbt_encoder *e, residuals *r, plan *p, sbt_buffer *out)
{
    size_t entries = 0, bits = p->bytes == 0 ? 0 : (p->bytes * 8 - 1) / r->count;
    size_t most = bits >= 10 ? SBT_DICTIONARY_MAX : (size_t)1 << bits;
    if (most < 2 || !build_dictionary(e, r, most, e->indices, &entries)) {
        return false;
    }
    unsigned width = sbt_bit_length(entries - 1);
    size_t bytes = sbt_packed_bytes(r->count, width), list = varint_bytes(entries);
    for (size_t i = 0; i < entries; i++) {
        list += varint_bytes(e->dictionary[i]);
    }
    if (list + bytes >= p->bytes) {
        return false;
    }
    sbt_put_varint(out, entries);
    for (size_t i = 0; i < entries; i++) {
        sbt_put_varint(out, e->dictionary[i]);
    }
    *r = (residuals){ .values = e->indices, .count = r->count, .longest = width };
    *p = (plan){ .width = width, .bytes = bytes };
    return true;
}

#define PLANES_FROM 64 /* bytes: below, a frame's own header eats the gain */

/* What goes behind the transform's parameters; the byte at coding gets its flags. */
static void
put_stream(sbt_encoder *e, residuals r, plan p, sbt_keys *keys, size_t coding, sbt_buffer *out)
{
    uint8_t flags = put_dictionary(e, &r, &p, out) ? SBT_DICTIONARY : 0;
    if (keys != NULL) {
        fill_keys(keys, &r);
    }
    size_t before = out->size;
    if (e->zstd != NULL && p.bytes >= PLANES_FROM) {
        flags |= SBT_PLANES;
        put_planes(e, &r, out);
    }
    if (!(flags & SBT_PLANES) || out->size - before >= p.bytes) {
        flags &= (uint8_t)~SBT_PLANES;
        out->size = before;
        put_bits(&r, p.width, out);
    }
    if (!out->failed) {
        out->data[coding] |= flags;
    }
}

typedef struct {
    uint64_t low, high;
} range;

static inline __attribute__((always_inline)) range
range_of(const uint64_t *values, size_t count)
{
    range r = { values[0], values[0] };
    for (size_t i = 1; i < count; i++) {
        r.low = values[i] < r.low ? values[i] : r.low;
        r.high = values[i] > r.high ? values[i] : r.high;
    }
    return r;
}

/* The smallest and the largest of the differences, as signed numbers. */
static inline __attribute__((always_inline)) range
subtract(const uint64_t *restrict values, size_t count, uint64_t *restrict deltas)
{
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (size_t i = 1; i < count; i++) {
        int64_t delta = (int64_t)(values[i] - values[i - 1]);
        deltas[i] = (uint64_t)delta;
        low = delta < low ? delta : low;
        high = delta > high ? delta : high;
    }
    return (range){ (uint64_t)low, (uint64_t)high };
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static range
range_of_avx2(const uint64_t *values, size_t count)
{
    return range_of(values, count);
}

__attribute__((target("avx2"))) static range
subtract_avx2(const uint64_t *values, size_t count, uint64_t *deltas)
{
    return subtract(values, count, deltas);
}
#define FASTEST(name, ...) (__builtin_cpu_supports("avx2") ? name##_avx2(__VA_ARGS__) : name(__VA_ARGS__))
#else
#define FASTEST(name, ...) name(__VA_ARGS__)
#endif

static residuals
less_smallest(const uint64_t *values, size_t count)
{
    range r = FASTEST(range_of, values, count);
    return (residuals){ values, r.low, count, sbt_bit_length(r.high - r.low) };
}

/* Differences to the value before, less the smallest; or, where some are negative, zigzag. */
static residuals
make_deltas(const uint64_t *values, size_t count, uint64_t *deltas, uint8_t *transform)
{
    range r = FASTEST(subtract, values, count, deltas);
    uint64_t all = 0;
    if ((int64_t)r.low >= 0) {
        *transform = SBT_DELTA;
        deltas[0] = r.low;
        return (residuals){ deltas, r.low, count, sbt_bit_length(r.high - r.low) };
    }
    *transform = SBT_ZIGZAG;
    deltas[0] = 0;
    for (size_t i = 1; i < count; i++) {
        deltas[i] = tsm_zigzag((int64_t)deltas[i]);
        all |= deltas[i];
    }
    return (residuals){ deltas, 0, count, sbt_bit_length(all) };
}

static void
put_column(sbt_encoder *e, const uint64_t *values, size_t count, sbt_attempt attempt, sbt_keys *keys, sbt_buffer *out)
{
    residuals by_offset = { 0 }, by_delta = { 0 };
    plan offset_plan = { .bytes = SIZE_MAX }, delta_plan = { .bytes = SIZE_MAX };
    uint8_t transform = SBT_OFFSET;
    if (attempt & SBT_TRY_OFFSET) {
        by_offset = less_smallest(values, count);
        offset_plan = make_plan(&by_offset);
    }
    if (attempt & SBT_TRY_DELTA) {
        by_delta = make_deltas(values, count, e->deltas, &transform);
        delta_plan = make_plan(&by_delta);
    }
    size_t coding = out->size;
    if (offset_plan.bytes <= delta_plan.bytes) {
        sbt_put_u8(out, SBT_OFFSET);
        sbt_put_varint(out, by_offset.base);
        put_stream(e, by_offset, offset_plan, keys, coding, out);
        return;
    }
    sbt_put_u8(out, transform);
    sbt_put_varint(out, values[0] - by_delta.base);
    if (transform == SBT_DELTA) {
        sbt_put_varint(out, by_delta.base);
    }
    put_stream(e, by_delta, delta_plan, keys, coding, out);
}

static bool
all_equal(const uint64_t *values, size_t count)
{
    return count < 2 || memcmp(values, values + 1, (count - 1) * sizeof *values) == 0;
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
    e->column.failed = false;
    if (all_equal(values, count)) {
        sbt_put_u8(&e->column, SBT_CONSTANT);
        sbt_put_varint(&e->column, count == 0 ? 0 : values[0]);
        if (keys != NULL) {
            keys->count = 0;
        }
    } else {
        put_column(e, values, count, attempt, keys, &e->column);
    }
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
    size_t misses = keys == 0 || keys > count ? count : build_map(e, values, count, values[0]);
    /* Most of a map's cost is its misses; what it saves is at least about a bit per value. */
    if (misses > 16 + count / 16 || keys + 4 * misses >= count) {
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
