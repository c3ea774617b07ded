/* Once per chunk: handing the full one over and finding another, by the run's policy. */
#include "ring/producer.h"

#define BLOCK_SLICE_MS 10
#define READER_DEAD_NS 600000000u
#define SPINS          2000
#define SMALL_FIRST    2 /* chunks that a thread takes small before it takes large ones */

static chunk_header *
chunk_at(const process *self, uint32_t index)
{
    const spool_header *spool = self->spool;
    uint64_t offset = index < spool->small_count
                          ? spool->small_at + (uint64_t)index * SMALL_BYTES
                          : spool->large_at + (uint64_t)(index - spool->small_count) * LARGE_BYTES;
    return (chunk_header *)((char *)self->spool + offset);
}

/* What a thread without a chunk has: full, and never written. */
static chunk_header no_chunk = { .committed = sizeof(chunk_header) };

void
ring_take_no_chunk(producer *p)
{
    p->chunk = &no_chunk;
    p->limit = sizeof no_chunk;
}

void
ring_seal(process *self, producer *p)
{
    chunk_header *chunk = p->chunk;
    record *r = p->record;
    if (chunk == &no_chunk) {
        return;
    }
    uint64_t end = atomic_load_explicit(&chunk->committed, memory_order_relaxed);
    uint64_t used = (end - sizeof *chunk) / sizeof(tsm_event);
    uint64_t first_slot = atomic_load_explicit(&chunk->first_slot, memory_order_relaxed);
    uint64_t first_event = atomic_load_explicit(&chunk->first_event, memory_order_relaxed);
    ring_take_no_chunk(p);
    if (used == 0) {
        /* Free, or free as soon as the reader that looks at it goes away. */
        atomic_fetch_and(&self->states[p->chunk_index], ~(uint32_t)CHUNK_OPEN);
        return;
    }
    /* The totals first: killed in between, the reader takes the larger of these and the chunk's. */
    atomic_store_explicit(&r->next_event, first_event + used - p->extensions, memory_order_relaxed);
    atomic_store_explicit(&r->next_slot, first_slot + used, memory_order_relaxed);
    p->past[p->past_end++ & p->past_mask] = (past_chunk){ p->chunk_index, (uint32_t)first_slot };
    /* OPEN becomes SEALED whether or not a reader is at it. Sequentially consistent against the
     * reader's going to sleep (tsm_run_wait). */
    atomic_fetch_xor(&self->states[p->chunk_index], CHUNK_OPEN | CHUNK_SEALED);
    run_page *page = ring_attachment.page;
    if (atomic_load(&page->sleeping) != 0 && atomic_exchange(&page->sleeping, 0) != 0) {
        atomic_fetch_add(&page->bell, 1);
        ring_futex_wake(&page->bell);
    }
}

/* Relaxed: other threads that look for chunks of their own may read these at any time, and see
 * that the chunk is not theirs. */
static void
copy_counter(_Atomic uint64_t *to, _Atomic uint64_t *from)
{
    atomic_store_explicit(to, atomic_load_explicit(from, memory_order_relaxed), memory_order_relaxed);
}

static void
open_chunk(process *self, producer *p, uint32_t index)
{
    chunk_header *chunk = chunk_at(self, index);
    uint32_t bytes = index < self->spool->small_count ? SMALL_BYTES : LARGE_BYTES;
    uint32_t capacity = (uint32_t)((bytes - sizeof *chunk) / sizeof(tsm_event));
    atomic_store_explicit(&chunk->committed, sizeof *chunk, memory_order_relaxed);
    copy_counter(&chunk->serial, &p->record->serial);
    copy_counter(&chunk->first_slot, &p->record->next_slot);
    copy_counter(&chunk->first_event, &p->record->next_event);
    chunk->capacity = capacity;
    chunk->record = (uint32_t)(p->record - self->records);
    /* Release: a reader that sees OPEN sees the header. */
    atomic_store_explicit(&self->states[index], CHUNK_OPEN, memory_order_release);
    p->chunk = chunk;
    p->chunk_index = index;
    p->extensions = 0;
    p->limit = sizeof *chunk + (uint64_t)capacity * sizeof(tsm_event);
    p->taken += p->taken < SMALL_FIRST;
    p->starved = false;
}

static bool
claim_between(process *self, producer *p, uint32_t from, uint32_t to)
{
    /* Lowest first, so that the same few chunks go round and stay in the cache. */
    for (uint32_t i = from; i < to; i++) {
        uint32_t expected = CHUNK_FREE;
        if (atomic_load_explicit(&self->states[i], memory_order_relaxed) != CHUNK_FREE) {
            continue;
        }
        uint64_t offset = (uint64_t)((char *)chunk_at(self, i) - (char *)self->spool);
        if (!ring_reserve_spool(self, offset, i < self->spool->small_count ? SMALL_BYTES : LARGE_BYTES)) {
            return false;
        }
        /* Acquire: what the reader did before it gave the chunk back is done. */
        if (atomic_compare_exchange_strong_explicit(&self->states[i], &expected, CHUNK_CLAIMED, memory_order_acquire,
                                                    memory_order_relaxed)) {
            open_chunk(self, p, i);
            return true;
        }
    }
    return false;
}

/* Small chunks are for threads that begin; a thread that writes a lot leaves them alone. */
static bool
claim_free(process *self, producer *p)
{
    uint32_t small = self->spool->small_count, all = self->spool->chunk_count;
    return (p->taken < SMALL_FIRST && claim_between(self, p, 0, small)) || claim_between(self, p, small, all);
}

/* Drop-oldest: this thread's oldest sealed chunk, unless a reader is at it. What it held shows as
 * a gap in the thread's event numbers, which is how the reader counts it. */
static bool
claim_own_oldest(process *self, producer *p)
{
    uint64_t serial = atomic_load_explicit(&p->record->serial, memory_order_relaxed);
    if (p->past_end - p->past_begin > p->past_mask) {
        p->past_begin = p->past_end - p->past_mask;
    }
    for (uint64_t at = p->past_begin; at != p->past_end; at++) {
        past_chunk old = p->past[at & p->past_mask];
        const chunk_header *chunk = chunk_at(self, old.index);
        uint32_t state = atomic_load_explicit(&self->states[old.index], memory_order_acquire), sealed = CHUNK_SEALED;
        bool ours = (state & CHUNK_SEALED) != 0 && atomic_load_explicit(&chunk->serial, memory_order_relaxed) == serial
                    && (uint32_t)atomic_load_explicit(&chunk->first_slot, memory_order_relaxed) == old.first_slot;
        if (!ours && at == p->past_begin) {
            p->past_begin++; /* read and given back long ago */
        }
        if (ours && atomic_compare_exchange_strong(&self->states[old.index], &sealed, CHUNK_CLAIMED)) {
            open_chunk(self, p, old.index);
            return true;
        }
    }
    return false;
}

static bool
reader_is_dead(const run_page *page)
{
    /* The beat first: one that comes between the two reads must not look like one from the future. */
    uint64_t beat = atomic_load_explicit(&page->heartbeat_ns, memory_order_acquire);
    uint64_t now = tsm_clock_ns();
    return now > beat && now - beat > READER_DEAD_NS;
}

/* False: waited in vain, and the run has changed to drop-newest. */
static bool
wait_for_space(run_page *page, uint32_t seen)
{
    uint64_t begin = tsm_clock_ns();
    bool came = false;
    for (int i = 0; i < SPINS && !came; i++) {
        ring_relax();
        came = atomic_load_explicit(&page->space, memory_order_relaxed) != seen;
    }
    atomic_fetch_add(&page->waiters, 1);
    while (!came && atomic_load(&page->state) == TSM_RUN_ACTIVE) {
        if (tsm_clock_ns() - begin > (uint64_t)page->block_limit_ms * 1000000 || reader_is_dead(page)) {
            atomic_store(&page->fell_back, 1);
            atomic_store(&page->policy, TSM_RING_DROP_NEWEST);
            break;
        }
        if (atomic_exchange(&page->sleeping, 0) != 0) {
            atomic_fetch_add(&page->bell, 1);
            ring_futex_wake(&page->bell);
        }
        ring_futex_wait(&page->space, seen, BLOCK_SLICE_MS);
        came = atomic_load(&page->space) != seen;
    }
    atomic_fetch_sub(&page->waiters, 1);
    return came;
}

bool
ring_find_room(producer *p)
{
    run_page *page = ring_attachment.page;
    process *self = ring_process();
    record *r = p->record;
    ring_seal(self, p);
    if (p->starved && atomic_load_explicit(&page->space, memory_order_relaxed) == p->seen_space
        && atomic_load_explicit(&page->policy, memory_order_relaxed) == TSM_RING_DROP_NEWEST) {
        ring_count_one(&r->refused_full);
        return false;
    }
    for (;;) {
        uint32_t seen = atomic_load(&page->space);
        uint32_t policy = atomic_load_explicit(&page->policy, memory_order_relaxed);
        if (claim_free(self, p) || (policy == TSM_RING_DROP_OLDEST && claim_own_oldest(self, p))) {
            return true;
        }
        if (policy == TSM_RING_BLOCK && wait_for_space(page, seen)) {
            continue;
        }
        p->starved = true;
        p->seen_space = seen;
        ring_count_one(policy == TSM_RING_BLOCK ? &r->refused_blocked : &r->refused_full);
        return false;
    }
}
