/* A thread's producer, between the three files that know it: emit.c (every event), chunks.c (once
 * per chunk), threads.c (once per thread). Private to ring/. */
#ifndef TSM_RING_PRODUCER_H
#define TSM_RING_PRODUCER_H

#include "ring/process.h"

/* The calling thread's; &ring_nobody, whose record stays NULL, before it has one. */
extern producer ring_nobody;
extern _Thread_local producer *ring_self __attribute__((tls_model("initial-exec")));

/* A new chunk, which has room for any request; false: none, and that is counted. busy is held. */
bool ring_find_room(producer *p) __attribute__((noinline, cold));

/* Hands the chunk over, if there is one. busy is held. */
void ring_seal(process *self, producer *p);

/* What a thread without a chunk has: one that is full. */
void ring_take_no_chunk(producer *p);

/* Makes ring_self usable. False: this event cannot be taken; refused is counted if that is a loss,
 * which it is not when no session runs. */
bool ring_get_ready(void);

static inline void
ring_leave(record *r)
{
    /* Release: who waits for quiet sees what was done inside. */
    atomic_store_explicit(&r->busy, 0, memory_order_release);
}

/* Only this thread writes these counters, so an increment need not be one instruction. */
static inline void
ring_count_one(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Relaxed is enough for busy and state: detach issues a barrier on all cores between writing the
 * one and reading the other. The signal fence keeps the compiler from moving code across. */
static inline bool
ring_is_inside(const record *r)
{
    return __builtin_expect(atomic_load_explicit(&r->busy, memory_order_relaxed) != 0, 0);
}

static inline void
ring_enter(record *r)
{
    atomic_store_explicit(&r->busy, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

#endif
