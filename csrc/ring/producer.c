/* A thread's way into its chunk. tsm_ring_emit and tsm_ring_emit_now are the hot path; everything
 * that happens once per chunk or once per thread is below them.
 *
 * busy is set around every touch of the spool. It turns an emit inside an emit (a signal handler,
 * an allocation hook) into a counted refusal, and lets detach wait until nobody is inside. */
#include "ring/process.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARENA_PRODUCERS 512
#define BLOCK_SLICE_MS  10
#define READER_DEAD_NS  600000000u
#define SPINS           2000
#define SMALL_FIRST     2 /* chunks that a thread takes small before it takes large ones */

static producer nobody; /* never written: record stays NULL */
static _Thread_local producer *self_producer __attribute__((tls_model("initial-exec"))) = &nobody;
static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

/* Everything rare is called in tail position, so that the hot path saves no registers. */
#define COLD __attribute__((noinline, cold))

/* Where an event's time comes from: itself, the TSC, or the TSC as the end of a range. */
typedef enum { TIME_GIVEN, TIME_NOW, TIME_RANGE } time_source;

COLD static bool emit_unready(const tsm_event *event, const tsm_extension *extensions, uint32_t count,
                              time_source source, uint64_t begin);
COLD static bool emit_inactive(record *r, const tsm_event *event, time_source source, uint64_t begin);
COLD static bool emit_full(const tsm_event *event, time_source source, uint64_t begin);
COLD static bool find_room(producer *p);

static inline void
leave(record *r)
{
    /* Release: who waits for quiet sees what was done inside. */
    atomic_store_explicit(&r->busy, 0, memory_order_release);
}

/* Only this thread writes these counters, so an increment need not be one instruction. */
static inline void
count_one(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

COLD static bool
refuse_nested(record *r)
{
    count_one(&r->refused_nested);
    return false;
}

/* Relaxed is enough for busy and state: detach issues a barrier on all cores between writing the
 * one and reading the other. The signal fence keeps the compiler from moving code across. */
static inline bool
is_inside(const record *r)
{
    return __builtin_expect(atomic_load_explicit(&r->busy, memory_order_relaxed) != 0, 0);
}

static inline void
enter(record *r)
{
    atomic_store_explicit(&r->busy, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

static inline bool
is_active(const producer *p)
{
    return __builtin_expect(atomic_load_explicit(p->state, memory_order_relaxed) == TSM_RUN_ACTIVE, 1);
}

#define FLAG_BITS(flags) ((uint32_t)(flags) << 16)

/* Where the TSC's halves go: two stores are cheaper than putting them together first. */
static inline void
store_ticks(uint64_t *to)
{
#if defined(__x86_64__)
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    memcpy(to, &low, sizeof low);
    memcpy((char *)to + 4, &high, sizeof high);
#else
    *to = tsm_clock_ticks();
#endif
}

/* Each load as wide as the stores by which a caller has just made the field: a wider one would
 * wait for them to leave the store buffer. type and flags are one word in most callers' eyes. */
__attribute__((always_inline)) static inline void
place(const producer *p, tsm_event *slot, const tsm_event *event, time_source source, uint64_t begin)
{
    uint32_t type_and_flags, thread = event->thread;
    uint64_t stream_side;
    memcpy(&type_and_flags, &event->type, sizeof type_and_flags);
    slot->correlation = event->correlation;
    slot->value = event->value;
    slot->name = event->name;
    slot->stack = event->stack;
    slot->thread = thread != 0 ? thread : p->thread;
    slot->stream = event->stream;
    memcpy(&stream_side, &event->device, sizeof stream_side); /* and extra */
    memcpy(&slot->device, &stream_side, sizeof stream_side);
    if (source == TIME_GIVEN) {
        slot->timestamp = event->timestamp;
        slot->duration = event->duration;
    } else if (source == TIME_NOW) {
        slot->duration = event->duration;
        type_and_flags |= FLAG_BITS(TSM_FLAG_TICKS);
        store_ticks(&slot->timestamp);
    } else {
        slot->timestamp = begin;
        slot->duration = tsm_clock_ticks() - begin;
        type_and_flags |= FLAG_BITS(TSM_FLAG_TICKS | TSM_FLAG_TICKS_DURATION);
    }
    uint64_t last = type_and_flags; /* reserved stays 0 */
    memcpy(&slot->type, &last, sizeof last);
}

static inline void
commit(chunk_header *chunk, uint64_t committed)
{
    /* Release: a reader that sees the count sees the slots. */
    atomic_store_explicit(&chunk->committed, committed, memory_order_release);
}

__attribute__((always_inline)) static inline bool
emit(const tsm_event *event, time_source source, uint64_t begin)
{
    producer *p = self_producer;
    record *r = source == TIME_GIVEN ? p->record : p->ticking;
    if (__builtin_expect(r == NULL, 0)) {
        return emit_unready(event, NULL, 0, source, begin);
    }
    if (is_inside(r)) {
        return refuse_nested(r);
    }
    enter(r);
    if (!is_active(p)) {
        return emit_inactive(r, event, source, begin);
    }
    chunk_header *chunk = p->chunk;
    uint64_t at = atomic_load_explicit(&chunk->committed, memory_order_relaxed);
    if (__builtin_expect(at == p->limit, 0)) {
        return emit_full(event, source, begin);
    }
    tsm_event *slot = (tsm_event *)(void *)((char *)chunk + at);
    place(p, slot, event, source, begin);
    commit(chunk, at + sizeof *slot);
    leave(r);
    return true;
}

bool
tsm_ring_emit(const tsm_event *event)
{
    return emit(event, TIME_GIVEN, 0);
}

bool
tsm_ring_emit_now(const tsm_event *event)
{
    return emit(event, TIME_NOW, 0);
}

bool
tsm_ring_emit_range(const tsm_event *event, uint64_t begin_ticks)
{
    return emit(event, TIME_RANGE, begin_ticks);
}

/* The same after find_room; which of the three is not known at compile time here. */
static void
place_slowly(const producer *p, tsm_event *slot, const tsm_event *event, time_source source, uint64_t begin)
{
    switch (source) {
    case TIME_GIVEN:
        place(p, slot, event, TIME_GIVEN, 0);
        break;
    case TIME_NOW:
        place(p, slot, event, TIME_NOW, 0);
        break;
    case TIME_RANGE:
        place(p, slot, event, TIME_RANGE, begin);
        break;
    }
}

/* busy is held, and the chunk is full. */
COLD static bool
emit_full(const tsm_event *event, time_source source, uint64_t begin)
{
    producer *p = self_producer;
    bool room = find_room(p);
    if (room) {
        place_slowly(p, (tsm_event *)(p->chunk + 1), event, source, begin);
        commit(p->chunk, sizeof(chunk_header) + sizeof(tsm_event));
    }
    leave(p->record);
    return room;
}

COLD static bool
emit_inactive(record *r, const tsm_event *event, time_source source, uint64_t begin)
{
    leave(r);
    return emit_unready(event, NULL, 0, source, begin);
}

uint64_t
tsm_ring_ticks(void)
{
    return ring_attachment.uses_ticks ? tsm_clock_ticks() : tsm_clock_ns();
}

static bool
emit_several(producer *p, const tsm_event *event, const tsm_extension *extensions, uint32_t count)
{
    uint64_t at = atomic_load_explicit(&p->chunk->committed, memory_order_relaxed);
    uint64_t bytes = (uint64_t)(count + 1) * sizeof(tsm_event);
    if (p->limit - at < bytes) {
        if (!find_room(p)) {
            return false;
        }
        at = sizeof(chunk_header);
    }
    tsm_event *slot = (tsm_event *)(void *)((char *)p->chunk + at);
    place(p, slot, event, TIME_GIVEN, 0);
    for (uint32_t i = 0; i < count; i++) {
        tsm_extension *to = (tsm_extension *)(slot + 1 + i);
        *to = extensions[i];
        to->type = TSM_SLOT_EXTENSION;
    }
    p->extensions += count;
    commit(p->chunk, at + bytes);
    return true;
}

bool
tsm_ring_emit_extended(const tsm_event *event, const tsm_extension *extensions, uint32_t count)
{
    producer *p = self_producer;
    record *r = p->record;
    if (count > 16) {
        return false;
    }
    if (r == NULL) {
        return emit_unready(event, extensions, count, TIME_GIVEN, 0);
    }
    if (is_inside(r)) {
        return refuse_nested(r);
    }
    enter(r);
    if (!is_active(p)) {
        leave(r);
        return emit_unready(event, extensions, count, TIME_GIVEN, 0);
    }
    bool done = emit_several(p, event, extensions, count);
    leave(r);
    return done;
}

/* ---- Once per chunk ------------------------------------------------------------------------ */

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

static void
take_no_chunk(producer *p)
{
    p->chunk = &no_chunk;
    p->limit = sizeof no_chunk;
}

static void
seal(process *self, producer *p)
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
    take_no_chunk(p);
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

/* busy is held. A new chunk, which has room for any request; false: none, and that is counted. */
static bool
find_room(producer *p)
{
    run_page *page = ring_attachment.page;
    process *self = ring_process();
    record *r = p->record;
    seal(self, p);
    if (p->starved && atomic_load_explicit(&page->space, memory_order_relaxed) == p->seen_space
        && atomic_load_explicit(&page->policy, memory_order_relaxed) == TSM_RING_DROP_NEWEST) {
        count_one(&r->refused_full);
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
        count_one(policy == TSM_RING_BLOCK ? &r->refused_blocked : &r->refused_full);
        return false;
    }
}

/* ---- Once per thread ----------------------------------------------------------------------- */

static void
return_producer(process *self, producer *p)
{
    p->next_idle = self->idle;
    self->idle = p;
}

static void
on_thread_exit(void *value)
{
    producer *p = value;
    record *r = p->record;
    self_producer = &nobody;
    process *self = r == NULL ? NULL : ring_process();
    if (self == NULL || p->generation != self->generation || is_inside(r)) {
        return;
    }
    enter(r);
    if (atomic_load(p->state) == TSM_RUN_STOPPED) {
        leave(r);
        return;
    }
    seal(self, p);
    leave(r);
    /* Release: the reader that sees it ended sees its final counts. */
    atomic_store_explicit(&r->state, RECORD_ENDED, memory_order_release);
    p->record = p->ticking = NULL;
    pthread_mutex_lock(&self->lock);
    return_producer(self, p);
    pthread_mutex_unlock(&self->lock);
}

static void
make_exit_key(void)
{
    pthread_key_create(&exit_key, on_thread_exit);
}

/* Room to remember every chunk of the spool; only what is used becomes real memory. */
static bool
give_past(const process *self, producer *p)
{
    uint32_t entries = 64;
    while (entries < self->spool->chunk_count) {
        entries *= 2;
    }
    p->past = ring_wiped_pages(entries * sizeof *p->past);
    p->past_mask = entries - 1;
    return p->past != NULL;
}

static producer *
take_producer(process *self)
{
    if (self->idle == NULL) {
        producer *arena = ring_wiped_pages(ARENA_PRODUCERS * sizeof *arena);
        for (int i = 0; arena != NULL && i < ARENA_PRODUCERS; i++) {
            return_producer(self, &arena[i]);
        }
    }
    producer *p = self->idle;
    if (p == NULL) {
        return NULL;
    }
    self->idle = p->next_idle;
    *p = (producer){ .past = p->past, .past_mask = p->past_mask };
    if (p->past == NULL && !give_past(self, p)) {
        return_producer(self, p);
        return NULL;
    }
    return p;
}

static record *
take_record(process *self)
{
    uint32_t used = atomic_load(&self->spool->records_used);
    for (uint32_t i = 0; i < used; i++) {
        uint32_t expected = RECORD_FREE;
        if (atomic_load_explicit(&self->records[i].state, memory_order_relaxed) == RECORD_FREE
            && atomic_compare_exchange_strong(&self->records[i].state, &expected, RECORD_CLAIMED)) {
            return &self->records[i];
        }
    }
    uint64_t offset = self->spool->records_at + (uint64_t)used * sizeof(record);
    if (used == self->spool->record_count || !ring_reserve_spool(self, offset, sizeof(record))) {
        return NULL;
    }
    atomic_store(&self->records[used].state, RECORD_CLAIMED);
    atomic_store(&self->spool->records_used, used + 1);
    return &self->records[used];
}

static uint32_t
define_thread(process *self)
{
    char name[17] = { 0 };
    prctl(PR_GET_NAME, name);
    uint64_t row[] = { self->row, (uint64_t)syscall(SYS_gettid),
                       ring_define(self, TSM_TABLE_STRINGS, name, (uint32_t)strlen(name), 0) };
    return ring_define(self, TSM_TABLE_THREADS, row, sizeof row, 3);
}

static void
start_record(process *self, record *r, uint32_t thread)
{
    uint64_t serial = atomic_fetch_add(&self->spool->serials, 1) + 1;
    atomic_store_explicit(&r->busy, 0, memory_order_relaxed);
    atomic_store_explicit(&r->serial, serial, memory_order_relaxed);
    atomic_store_explicit(&r->thread, thread, memory_order_relaxed);
    atomic_store_explicit(&r->next_slot, 0, memory_order_relaxed);
    atomic_store_explicit(&r->next_event, 0, memory_order_relaxed);
    atomic_store_explicit(&r->refused_full, 0, memory_order_relaxed);
    atomic_store_explicit(&r->refused_nested, 0, memory_order_relaxed);
    atomic_store_explicit(&r->refused_blocked, 0, memory_order_relaxed);
    /* Release: the reader that sees LIVE sees the rest. */
    atomic_store_explicit(&r->state, RECORD_LIVE, memory_order_release);
}

/* With the lock held. NULL: no record or memory left; the caller counts what it refuses. */
static producer *
register_thread(process *self)
{
    producer *p = take_producer(self);
    record *r = p == NULL ? NULL : take_record(self);
    if (r == NULL) {
        if (p != NULL) {
            return_producer(self, p);
        }
        return NULL;
    }
    p->thread = define_thread(self);
    start_record(self, r, p->thread);
    p->state = &ring_attachment.page->state;
    p->generation = self->generation;
    take_no_chunk(p);
    p->record = r;
    p->ticking = ring_attachment.uses_ticks ? r : NULL;
    return p;
}

/* Makes self_producer usable. False: this event cannot be taken; refused is counted if that is
 * a loss, which it is not when no session runs. */
static bool
get_ready(void)
{
    process *self = ring_process();
    if (self == NULL || atomic_load(&ring_attachment.page->state) != TSM_RUN_ACTIVE) {
        return false;
    }
    if (self_producer->record != NULL && self_producer->generation == self->generation) {
        return true;
    }
    pthread_once(&exit_key_once, make_exit_key);
    pthread_mutex_lock(&self->lock);
    producer *p = NULL;
    if (atomic_load(&self->phase) == PROCESS_READY && atomic_load(&ring_attachment.page->state) == TSM_RUN_ACTIVE) {
        p = register_thread(self);
        if (p == NULL) {
            atomic_fetch_add(&self->spool->refused_elsewhere, 1);
        }
    }
    pthread_mutex_unlock(&self->lock);
    if (p == NULL) {
        return false;
    }
    self_producer = p;
    pthread_setspecific(exit_key, p);
    return true;
}

/* Where ticks do not serve as time, the vDSO's clock does; begin is of that clock then. */
static bool
emit_by_clock(const tsm_event *event, time_source source, uint64_t begin)
{
    tsm_event stamped = *event;
    uint64_t now = tsm_clock_ns();
    stamped.timestamp = source == TIME_RANGE ? begin : now;
    stamped.duration = source == TIME_RANGE ? now - begin : event->duration;
    return tsm_ring_emit(&stamped);
}

/* This thread has no record yet, or it is one of an earlier session, or nothing is to be recorded. */
static bool
emit_unready(const tsm_event *event, const tsm_extension *extensions, uint32_t count, time_source source,
             uint64_t begin)
{
    if (ring_in_slow_path) {
        atomic_fetch_add(&ring_attachment.refused_early, 1);
        return false;
    }
    if (atomic_load_explicit(&ring_attachment.generation, memory_order_relaxed) == 0) {
        return false;
    }
    ring_in_slow_path = true;
    bool ready = get_ready();
    ring_in_slow_path = false;
    if (!ready) {
        return false;
    }
    if (extensions != NULL) {
        return tsm_ring_emit_extended(event, extensions, count);
    }
    if (self_producer->ticking == NULL && source != TIME_GIVEN) {
        return emit_by_clock(event, source, begin);
    }
    switch (source) {
    case TIME_NOW:
        return tsm_ring_emit_now(event);
    case TIME_RANGE:
        return tsm_ring_emit_range(event, begin);
    case TIME_GIVEN:
        break;
    }
    return tsm_ring_emit(event);
}
