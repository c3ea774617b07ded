/* Once per thread: its record in the spool, its producer, and what happens when it ends. */
#include "ring/producer.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARENA_PRODUCERS 512

producer ring_nobody; /* never written */
_Thread_local producer *ring_self __attribute__((tls_model("initial-exec"))) = &ring_nobody;

static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;

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
    ring_self = &ring_nobody;
    process *self = r == NULL ? NULL : ring_process();
    if (self == NULL || p->generation != self->generation || ring_is_inside(r)) {
        return;
    }
    ring_enter(r);
    if (atomic_load(p->state) == TSM_RUN_STOPPED) {
        ring_leave(r);
        return;
    }
    ring_seal(self, p);
    ring_leave(r);
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
    ring_take_no_chunk(p);
    p->record = r;
    p->ticking = ring_attachment.uses_ticks ? r : NULL;
    return p;
}

bool
ring_get_ready(void)
{
    process *self = ring_process();
    if (self == NULL || atomic_load(&ring_attachment.page->state) != TSM_RUN_ACTIVE) {
        return false;
    }
    if (ring_self->record != NULL && ring_self->generation == self->generation) {
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
    ring_self = p;
    pthread_setspecific(exit_key, p);
    return true;
}
