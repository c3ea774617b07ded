/* Device time by the host's stack: a tree whose leaves are device operations, each below what
 * launched it: process, thread, then the frames of its launch's stack where one was taken, else the
 * operators, ranges and calls that the launch lies in. Private to export/. */
#ifndef TSM_EXPORT_FLAME_H
#define TSM_EXPORT_FLAME_H

#include "export/spans.h"

typedef enum {
    TSM_FLAME_ROOT,
    TSM_FLAME_PROCESS, /* a row of processes */
    TSM_FLAME_THREAD,  /* of threads */
    TSM_FLAME_NAME,    /* of strings */
    TSM_FLAME_FRAME,   /* of frames */
    TSM_FLAME_NOBODY,  /* in place of a thread: no call in the trace launched it */
} tsm_flame_kind;

typedef struct {
    uint64_t weight_ns; /* of this node alone */
    uint32_t parent, row;
    uint32_t next; /* in its bucket */
    uint16_t kind, depth;
} tsm_flame_node;

#define TSM_FLAME_DEPTH 512 /* what lies deeper is charged to what it lies in */

/* Node 0 is the root. Once memory ran out, failed stays set. */
typedef struct {
    tsm_flame_node *nodes;
    size_t count, capacity;
    uint32_t *buckets;
    size_t bucket_count;
    bool failed;
} tsm_flame;

/* The child of parent, added if there is none. */
uint32_t tsm_flame_child(tsm_flame *flame, uint32_t parent, tsm_flame_kind kind, uint32_t row);
void tsm_flame_free(tsm_flame *flame);

/* The tree of all device work; operations: how much that was. stacks false: as if none were taken. */
TSM_NODISCARD tsm_status tsm_flame_build(const tsm_spans *spans, bool stacks, tsm_flame *out, uint64_t *operations);

/* The nodes from below the root to a node, that one included. */
size_t tsm_flame_path(const tsm_flame *flame, uint32_t node, uint32_t path[TSM_FLAME_DEPTH + 1]);
/* What a node is called, fit to be folded. */
void tsm_buffer_flame(tsm_buffer *buffer, const tsm_tables *tables, const tsm_flame_node *node);

#endif
