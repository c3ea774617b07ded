/* Memory for the runs of a merge: pieces given back are used again, and what is taken from the
 * system comes in large slabs, of huge pages where there are any, since touching fresh pages
 * costs more than merging what is written to them. All of it never exceeds by much what was in use
 * at one time, and is freed with the merge. Private to trace/. */
#ifndef TSM_TRACE_SLAB_H
#define TSM_TRACE_SLAB_H

#include <stdbool.h>
#include <stddef.h>

#define TSM_SLAB_CLASSES 160 /* four sizes to every power of two */

typedef struct {
    void **slabs;
    size_t slab_count, slabs_capacity;
    char *open; /* what is left of the newest slab */
    size_t open_bytes, taken_bytes;
    void *vacant[TSM_SLAB_CLASSES]; /* a list per size; each piece begins with the next one's address */
} tsm_slabs;

typedef struct {
    void *memory; /* begins a cache line; NULL: none */
    unsigned size_class;
} tsm_piece;

bool tsm_slabs_take(tsm_slabs *slabs, size_t bytes, tsm_piece *out); /* false: out of memory */
void tsm_slabs_give(tsm_slabs *slabs, tsm_piece piece);
void tsm_slabs_free(tsm_slabs *slabs); /* all pieces, given back or not */

#endif
