/* A thread's way into its chunk: tsm_ring_emit and tsm_ring_emit_now are the hot path.
 *
 * busy is set around every touch of the spool. It turns an emit inside an emit (a signal handler,
 * an allocation hook) into a counted refusal, and lets detach wait until nobody is inside. */
#include "ring/producer.h"

#include <string.h>

/* Everything rare is called in tail position, so that the hot path saves no registers. */
#define COLD __attribute__((noinline, cold))

/* Where an event's time comes from: itself, the TSC, or the TSC as the end of a range. */
typedef enum { TIME_GIVEN, TIME_NOW, TIME_RANGE } time_source;

COLD static bool emit_unready(const tsm_event *event, const tsm_extension *extensions, uint32_t count,
                              time_source source, uint64_t begin);
COLD static bool emit_inactive(record *r, const tsm_event *event, time_source source, uint64_t begin);
COLD static bool emit_full(const tsm_event *event, time_source source, uint64_t begin);

COLD static bool
refuse_nested(record *r)
{
    ring_count_one(&r->refused_nested);
    return false;
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
    producer *p = ring_self;
    record *r = source == TIME_GIVEN ? p->record : p->ticking;
    if (__builtin_expect(r == NULL, 0)) {
        return emit_unready(event, NULL, 0, source, begin);
    }
    if (ring_is_inside(r)) {
        return refuse_nested(r);
    }
    ring_enter(r);
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
    ring_leave(r);
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
    producer *p = ring_self;
    bool room = ring_find_room(p);
    if (room) {
        place_slowly(p, (tsm_event *)(p->chunk + 1), event, source, begin);
        commit(p->chunk, sizeof(chunk_header) + sizeof(tsm_event));
    }
    ring_leave(p->record);
    return room;
}

COLD static bool
emit_inactive(record *r, const tsm_event *event, time_source source, uint64_t begin)
{
    ring_leave(r);
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
        if (!ring_find_room(p)) {
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
    producer *p = ring_self;
    record *r = p->record;
    if (count > TSM_RING_EXTENSIONS_MAX) {
        return false;
    }
    if (r == NULL) {
        return emit_unready(event, extensions, count, TIME_GIVEN, 0);
    }
    if (ring_is_inside(r)) {
        return refuse_nested(r);
    }
    ring_enter(r);
    if (!is_active(p)) {
        ring_leave(r);
        return emit_unready(event, extensions, count, TIME_GIVEN, 0);
    }
    bool done = emit_several(p, event, extensions, count);
    ring_leave(r);
    return done;
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
    if (atomic_load_explicit(&ring_attachment.generation, memory_order_relaxed) == 0) {
        return false;
    }
    if (ring_in_slow_path) { /* a signal handler or an allocation hook, inside our own slow path */
        ring_count_elsewhere();
        return false;
    }
    ring_in_slow_path = true;
    bool ready = ring_get_ready();
    ring_in_slow_path = false;
    if (!ready) {
        return false;
    }
    if (extensions != NULL) {
        return tsm_ring_emit_extended(event, extensions, count);
    }
    if (ring_self->ticking == NULL && source != TIME_GIVEN) {
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
