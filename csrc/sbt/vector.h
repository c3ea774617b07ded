/* The loops of decoding that vector units go through several values at a time. */
#ifndef TSM_SBT_VECTOR_H
#define TSM_SBT_VECTOR_H

#include "sbt/fields.h"

#define SBT_STEP 128 /* rows that are decoded at a time, so that their columns stay in the nearest cache */

/* A step of events by field. The room behind each column keeps columns that are read side by side
 * out of the same few lines of the cache. */
typedef struct {
    uint64_t columns[SBT_FIELDS][SBT_STEP + 24];
} sbt_tile;

/* Rows begin to end of the tile; of each value as much as its field holds. */
void sbt_tile_rows(const sbt_tile *tile, size_t begin, size_t end, tsm_event *rows);

void sbt_subtract(const uint64_t *values, size_t count, uint64_t by, uint64_t *out);

/* Each value becomes the sum of start and all up to it; returns the last. */
uint64_t sbt_add_up(uint64_t *values, size_t count, uint64_t start);

#endif
