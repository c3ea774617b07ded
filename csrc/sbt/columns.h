/* The column codec: up to 65536 integers as few bytes. Blocks and tables are made of columns.
 *
 * A column is a transform, which turns values into small residuals, and a packing of those:
 * docs/sbt.md draws both. The encoder tries what its caller says may pay and takes the smallest. */
#ifndef TSM_SBT_COLUMNS_H
#define TSM_SBT_COLUMNS_H

#include "base/bytes.h"
#include "sbt/bits.h"
#include "sbt/layout.h"
#include "sbt/vector.h"
#include "sbt/zstd.h"

/* The first byte of a column. */
enum { SBT_CONSTANT = 0, SBT_OFFSET = 1, SBT_DELTA = 2, SBT_ZIGZAG = 3, SBT_MAPPED = 4 };
#define SBT_TRANSFORM_MASK 0x0fu
#define SBT_DICTIONARY     0x10u
#define SBT_PLANES         0x20u

/* Residuals of the key column that a mapped column may be mapped by. */
#define SBT_KEYS_MAX       4096u
#define SBT_DICTIONARY_MAX 1024u

typedef enum {
    SBT_TRY_OFFSET = 1, /* values in a range, or few different ones */
    SBT_TRY_DELTA = 2,  /* values that mostly rise */
    SBT_TRY_BOTH = 3,
} sbt_attempt;

typedef struct {
    uint16_t key[SBT_COLUMN_MAX]; /* the key column's residuals */
    size_t count;                 /* of different keys at most; 0: the residuals are too large */
} sbt_keys;

/* What is known of the events in an encoder's columns. */
typedef struct {
    size_t count;
    bool sorted;
    bool varies[TSM_EVENT_FIELD_COUNT]; /* its column is filled; else all are as in first */
    tsm_event first;                    /* that came, not by time */
    uint64_t differences[8];            /* bits of an event's words in which any differs from first */
    uint64_t last_ns, end_ns;
} sbt_build;

struct sbt_encoder {
    sbt_zstd_encoder *zstd; /* NULL: no compression */
    sbt_buffer column;      /* composed here, because its size goes before it */
    sbt_keys keys;
    sbt_build build;
    uint64_t values[SBT_COLUMN_MAX]; /* the caller's to gather in */
    /* Of the block being built. 40 more each, because columns that lie whole pages apart would fight
     * for the same sets of the first cache. */
    uint64_t columns[TSM_EVENT_FIELD_COUNT][TSM_SBT_BLOCK_EVENTS + 40];
    uint64_t deltas[SBT_COLUMN_MAX], indices[SBT_COLUMN_MAX];
    uint64_t dictionary[SBT_DICTIONARY_MAX];
    uint16_t slots[4096]; /* hash of a residual → place in the dictionary + 1 */
    uint64_t map[SBT_KEYS_MAX];
    uint8_t mapped[SBT_KEYS_MAX];
    uint8_t plane[SBT_COLUMN_MAX], packed_plane[SBT_COLUMN_MAX];
};

uint64_t sbt_build_constant(const sbt_build *build, unsigned field);

/* Writes a varint, the column's size in bytes, and the column. keys: filled from this column's
 * residuals, or NULL. */
void sbt_column_encode(sbt_encoder *encoder, const uint64_t *values, size_t count, sbt_attempt attempt, sbt_keys *keys,
                       sbt_buffer *out);
/* The same by the encoder's keys when that is smaller than other ways are likely to be. */
void sbt_column_encode_mapped(sbt_encoder *encoder, const uint64_t *values, size_t count, sbt_buffer *out);

/* A column being read, from its first value on, in steps of SBT_STEP. */
typedef struct {
    uint8_t transform;
    bool has_dictionary, has_planes;
    bool failed; /* a patch made no sense */
    unsigned width;
    size_t count, at;
    uint64_t base, running;
    const uint8_t *packed;
    size_t patch_at; /* of the next one; SIZE_MAX after the last */
    uint64_t patch;
    tsm_bytes patches;
    uint64_t *lookup; /* the dictionary with base added, or the map; owned */
    uint64_t lookup_mask;
    uint8_t *planes; /* owned, count bytes each */
    unsigned plane_count;
} sbt_column;

/* data must hold exactly one column. *zstd is made when it is needed first. */
tsm_status sbt_column_open(sbt_column *column, const uint8_t *data, size_t bytes, size_t count,
                           sbt_zstd_decoder **zstd);
void sbt_column_close(sbt_column *column);

/* The next min(SBT_STEP, left) values; returns how many. keys: the key column's residuals for
 * these rows, needed by a mapped column. residuals: NULL, or where to put this one's own. */
size_t sbt_column_next(sbt_column *column, uint64_t *values, const uint64_t *keys, uint64_t *residuals);
/* Passes over a step. Cheap, except that a delta column must add up. */
void sbt_column_skip(sbt_column *column);

/* Opens, reads all, closes. */
tsm_status sbt_column_decode(const uint8_t *data, size_t bytes, size_t count, uint64_t *values,
                             sbt_zstd_decoder **zstd);
/* The same for a column that stands behind its size. */
tsm_status sbt_column_take(tsm_bytes *bytes, size_t count, uint64_t *values, sbt_zstd_decoder **zstd);

#endif
