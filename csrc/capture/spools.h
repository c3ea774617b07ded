/* What the drain knows of each spool: where its ids are found in the file, and how far each of
 * its threads has come. Private to capture/. */
#ifndef TSM_CAPTURE_SPOOLS_H
#define TSM_CAPTURE_SPOOLS_H

#include "ring/ring.h"
#include "sbt/sbt.h"
#include "tracesmith/tracesmith.h"

typedef struct {
    uint32_t row;              /* of threads, in the file */
    tsm_sbt_position position; /* slots: copied; the other counts: up to the last block written */
    uint64_t in_block;         /* events in the block that is being filled */
    uint64_t lost_output, damaged_slots;
    uint64_t refused[3]; /* full, nested, blocked: as far as reported */
    uint64_t block_ns;   /* the time of the first of them */
    uint64_t last_ns;    /* the last event's time */
    bool touched;        /* is in the block's list */
} drained_thread;

/* All events of the thread that have come or are known never to. */
static inline uint64_t
drained_thread_events(const drained_thread *thread)
{
    return thread->position.delivered + thread->position.overwritten + thread->position.lost + thread->in_block;
}

typedef struct {
    tsm_spool *spool;
    tsm_remap *remap;
    bool settled;             /* its parent's ids are known */
    drained_thread **threads; /* by serial - 1 */
    size_t thread_count, thread_capacity;
    uint64_t damaged;                      /* slots in chunks that belong to nobody */
    const tsm_sbt_position *old_positions; /* of an earlier drain, in the writer's file */
    size_t old_position_count;
} drained_spool;

/* Takes spool over. NULL: out of memory, and spool is still the caller's. */
drained_spool *drained_spool_create(tsm_spool *spool);
void drained_spool_destroy(drained_spool *self);

/* Once: takes over the ids of the parent (NULL when it has none, or it is gone). */
void drained_spool_settle(drained_spool *self, const drained_spool *parent, tsm_sbt_writer *writer);

/* Interns the definitions published since the last call. */
void drained_spool_define(drained_spool *self, tsm_tables *tables);

/* The thread of that serial; NULL when the spool knows no such thread. */
drained_thread *drained_spool_thread(drained_spool *self, tsm_tables *tables, uint64_t serial);

void drained_spool_add_stats(const drained_spool *self, tsm_session_stats *stats);

#endif
