/* Each once for every machine and once for those with AVX2: where compilers do not find the good
 * order of instructions by themselves it is written out. */
#include "sbt/vector.h"

#include <string.h>

static inline __attribute__((always_inline)) void
subtract(const uint64_t *restrict values, size_t count, uint64_t by, uint64_t *restrict out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = values[i] - by;
    }
}

static uint64_t
add_up(uint64_t *values, size_t count, uint64_t sum)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = sum += values[i];
    }
    return sum;
}

static void
make_rows(const sbt_tile *tile, size_t begin, size_t end, tsm_event *rows)
{
    for (size_t i = begin; i < end; i++) {
        *rows++ = (tsm_event){
#define X(type, field, format, text) .field = (type)tile->columns[SBT_FIELD_##field][i],
            TSM_EVENT_FIELDS(X)
#undef X
        };
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 static void
subtract_avx2(const uint64_t *values, size_t count, uint64_t by, uint64_t *out)
{
    subtract(values, count, by, out);
}

AVX2 static uint64_t
add_up_avx2(uint64_t *values, size_t count, uint64_t sum)
{
    __m256i before = _mm256_set1_epi64x((long long)sum);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        __m256i x = _mm256_loadu_si256((const void *)(values + i));
        x = _mm256_add_epi64(x, _mm256_slli_si256(x, 8));
        /* Now the sum of the lower two onto each of the upper two. */
        __m256i lower = _mm256_permute2x128_si256(x, x, 0x08);
        x = _mm256_add_epi64(x, _mm256_unpackhi_epi64(lower, lower));
        _mm256_storeu_si256((void *)(values + i), _mm256_add_epi64(x, before));
        before = _mm256_add_epi64(before, _mm256_permute4x64_epi64(x, 0xff));
    }
    return add_up(values + i, count - i, (uint64_t)_mm256_extract_epi64(before, 0));
}

/* The words of an event, of four rows each. */
_Static_assert(offsetof(tsm_event, name) == 32 && offsetof(tsm_event, type) == 56 && sizeof(tsm_event) == 64,
               "words 0 to 3 are one field each, 4 to 6 two, 7 is three");

AVX2 static inline __m256i
one(const sbt_tile *tile, unsigned field, size_t i)
{
    return _mm256_loadu_si256((const void *)&tile->columns[field][i]);
}

AVX2 static inline __m256i
two(const sbt_tile *tile, unsigned field, size_t i)
{
    return _mm256_blend_epi32(one(tile, field, i), _mm256_slli_epi64(one(tile, field + 1, i), 32), 0xaa);
}

AVX2 static inline __m256i
three(const sbt_tile *tile, unsigned field, size_t i)
{
    __m256i low = _mm256_blend_epi16(one(tile, field, i), _mm256_slli_epi64(one(tile, field + 1, i), 16), 0x22);
    return _mm256_blend_epi32(low, _mm256_slli_epi64(one(tile, field + 2, i), 32), 0xaa);
}

/* Four neighbouring words of four rows. */
AVX2 static inline void
put(__m256i a, __m256i b, __m256i c, __m256i d, void *to)
{
    tsm_event *rows = to;
    __m256i ab_even = _mm256_unpacklo_epi64(a, b), ab_odd = _mm256_unpackhi_epi64(a, b);
    __m256i cd_even = _mm256_unpacklo_epi64(c, d), cd_odd = _mm256_unpackhi_epi64(c, d);
    _mm256_storeu_si256((void *)&rows[0], _mm256_permute2x128_si256(ab_even, cd_even, 0x20));
    _mm256_storeu_si256((void *)&rows[1], _mm256_permute2x128_si256(ab_odd, cd_odd, 0x20));
    _mm256_storeu_si256((void *)&rows[2], _mm256_permute2x128_si256(ab_even, cd_even, 0x31));
    _mm256_storeu_si256((void *)&rows[3], _mm256_permute2x128_si256(ab_odd, cd_odd, 0x31));
}

AVX2 static void
make_rows_avx2(const sbt_tile *t, size_t i, size_t end, tsm_event *rows)
{
    uint8_t *to = (uint8_t *)rows;
    if ((uintptr_t)to % 32 == 0) {
        for (; i + 4 <= end; i += 4, to += 4 * sizeof *rows) {
            put(one(t, SBT_FIELD_timestamp, i), one(t, SBT_FIELD_duration, i), one(t, SBT_FIELD_correlation, i),
                one(t, SBT_FIELD_value, i), to);
            put(two(t, SBT_FIELD_name, i), two(t, SBT_FIELD_thread, i), two(t, SBT_FIELD_device, i),
                three(t, SBT_FIELD_type, i), to + 32);
        }
    } else if (i + 5 <= end) {
        /* Large arrays begin 16 bytes behind a page, where half of those stores would lie across two
         * lines of the cache: so the first two words go with the rest of the row before. */
        memcpy(to, &t->columns[SBT_FIELD_timestamp][i], 8);
        memcpy(to + 8, &t->columns[SBT_FIELD_duration][i], 8);
        for (; i + 5 <= end; i += 4, to += 4 * sizeof *rows) {
            put(one(t, SBT_FIELD_correlation, i), one(t, SBT_FIELD_value, i), two(t, SBT_FIELD_name, i),
                two(t, SBT_FIELD_thread, i), to + 16);
            put(two(t, SBT_FIELD_device, i), three(t, SBT_FIELD_type, i), one(t, SBT_FIELD_timestamp, i + 1),
                one(t, SBT_FIELD_duration, i + 1), to + 48);
        }
    }
    make_rows(t, i, end, (tsm_event *)(void *)to);
}

#define CHOOSE(function) (__builtin_cpu_supports("avx2") ? function##_avx2 : function)
#else
#define CHOOSE(function) function
#endif

void
sbt_tile_rows(const sbt_tile *tile, size_t begin, size_t end, tsm_event *rows)
{
    CHOOSE(make_rows)(tile, begin, end, rows);
}

void
sbt_subtract(const uint64_t *values, size_t count, uint64_t by, uint64_t *out)
{
    CHOOSE(subtract)(values, count, by, out);
}

uint64_t
sbt_add_up(uint64_t *values, size_t count, uint64_t start)
{
    return CHOOSE(add_up)(values, count, start);
}
