/* Making this process's spool, at its first event. */
#include "ring/process.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/host.h"

#define RETRY_NS 100000000u

attachment ring_attachment;
_Thread_local bool ring_in_slow_path __attribute__((tls_model("initial-exec")));

static process *the_process; /* on a page of its own that fork wipes */

static uint64_t
round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* A quarter of the budget in small chunks lets thousands of threads begin at once. */
static void
lay_out(spool_header *plan, uint64_t budget)
{
    uint64_t small = round_up(budget / 4, LARGE_BYTES);
    uint64_t large = round_up(budget - budget / 4, LARGE_BYTES);
    plan->small_bytes = SMALL_BYTES;
    plan->large_bytes = LARGE_BYTES;
    plan->small_count = (uint32_t)(small / SMALL_BYTES);
    plan->chunk_count = plan->small_count + (uint32_t)(large / LARGE_BYTES);
    plan->record_count = RECORDS;
    plan->records_at = SPOOL_HEADER_BYTES;
    plan->states_at = plan->records_at + RECORDS * sizeof(record);
    plan->log_at = round_up(plan->states_at + plan->chunk_count * sizeof(uint32_t), SEGMENT_BYTES);
    plan->log_bytes = round_up(budget < (1u << 20) ? 1u << 20 : budget, SEGMENT_BYTES);
    plan->small_at = plan->log_at + plan->log_bytes;
    plan->large_at = plan->small_at + small;
    plan->bytes = plan->large_at + large;
}

bool
ring_reserve_spool(process *self, uint64_t offset, uint64_t bytes)
{
    for (uint64_t at = offset / SEGMENT_BYTES; at * SEGMENT_BYTES < offset + bytes; at++) {
        if (atomic_load_explicit(&self->reserved[at], memory_order_relaxed)) {
            continue;
        }
        /* A full file system is asked again ten times a second, not at every event. */
        uint64_t refused = atomic_load_explicit(&self->no_room_ns, memory_order_relaxed);
        if (refused != 0 && tsm_clock_ns() - refused < RETRY_NS) {
            return false;
        }
        if (!ring_reserve(ring_attachment.directory, self->spool_name, self->spool, at * SEGMENT_BYTES,
                          SEGMENT_BYTES)) {
            atomic_store_explicit(&self->no_room_ns, tsm_clock_ns(), memory_order_relaxed);
            return false;
        }
        atomic_store_explicit(&self->reserved[at], 1, memory_order_relaxed);
    }
    return true;
}

/* Where this process's own ids begin: behind all that its parents had published at the fork. */
static void
inherit(spool_header *header, const inheritance *from)
{
    for (unsigned i = 0; i < TSM_TABLE_LIMIT; i++) {
        header->inherited[i] = 1; /* row 0 is everybody's */
    }
    if (from->spool == NULL) {
        return;
    }
    memcpy(header->parent, from->spool_name, sizeof header->parent);
    memcpy(header->inherited, from->spool->inherited, sizeof header->inherited);
    const char *log = (const char *)from->spool + from->spool->log_at;
    for (uint64_t at = 0; at < from->published;) {
        const log_entry *entry = (const log_entry *)(log + at);
        header->inherited[entry->table]++;
        at += entry->bytes;
    }
}

static uint32_t
define_text(process *self, const char *text)
{
    return ring_define(self, TSM_TABLE_STRINGS, text, (uint32_t)strlen(text), 0);
}

static void
describe_process(process *self)
{
    tsm_host host;
    char name[64];
    tsm_host_describe(&host);
    tsm_host_read_line("/proc/self/comm", name, sizeof name);
    uint64_t host_row[] = { define_text(self, host.name), host.boot_high, host.boot_low };
    self->host_row = ring_define(self, TSM_TABLE_HOSTS, host_row, sizeof host_row, 3);
    uint64_t row[] = { self->host_row, (uint64_t)getpid(), (uint64_t)getppid(), self->spool->start,
                       define_text(self, name) };
    self->row = ring_define(self, TSM_TABLE_PROCESSES, row, sizeof row, 5);
}

static void *
anonymous(uint64_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Where MADV_WIPEONFORK is missing (before Linux 4.14) fork's handler does the same by hand. A
 * raw clone is not noticed there. */
typedef struct {
    void *memory;
    uint64_t bytes;
} wiped_range;

static wiped_range by_hand[1024];
static _Atomic uint32_t by_hand_count;

static void
wipe_in_child(void)
{
    for (uint32_t i = 0; i < atomic_load(&by_hand_count); i++) {
        memset(by_hand[i].memory, 0, by_hand[i].bytes);
    }
}

static bool
wipe_by_hand(void *memory, uint64_t bytes)
{
    uint32_t at = atomic_fetch_add(&by_hand_count, 1);
    if (at >= sizeof by_hand / sizeof *by_hand) {
        atomic_fetch_sub(&by_hand_count, 1);
        return false;
    }
    by_hand[at] = (wiped_range){ memory, bytes };
    return at > 0 || pthread_atfork(NULL, NULL, wipe_in_child) == 0;
}

void *
ring_wiped_pages(uint64_t bytes)
{
    bytes = round_up(bytes, 4096);
    void *memory = anonymous(bytes);
    if (memory != NULL && madvise(memory, bytes, MADV_WIPEONFORK) != 0 && !wipe_by_hand(memory, bytes)) {
        munmap(memory, bytes);
        memory = NULL;
    }
    return memory;
}

static bool
make_spool(process *self)
{
    run_page *page = ring_attachment.page;
    spool_header plan = { 0 };
    lay_out(&plan, page->buffer_bytes);
    uint32_t number = atomic_fetch_add(&page->spool_count, 1);
    snprintf(self->spool_name, sizeof self->spool_name, "%u-%u.spool", (unsigned)getpid(), number);
    self->reserved = anonymous(plan.bytes / SEGMENT_BYTES + 1);
    self->spool =
        self->reserved == NULL ? NULL : ring_make_file(ring_attachment.directory, self->spool_name, plan.bytes);
    if (self->spool == NULL) {
        return false;
    }
    if (!ring_reserve_spool(self, 0, SPOOL_HEADER_BYTES)
        || !ring_reserve_spool(self, plan.states_at, plan.chunk_count * sizeof(uint32_t))) {
        munmap(self->spool, plan.bytes);
        self->spool = NULL;
        return false;
    }
    plan.abi = RING_ABI;
    plan.pid = (uint32_t)getpid();
    plan.start = ring_process_start(plan.pid);
    plan.run_id = page->run_id;
    plan.id = ring_random();
    tsm_clock_take_point(&plan.point);
    inherit(&plan, &ring_attachment.parent);
    memcpy(self->next_id, plan.inherited, sizeof self->next_id);
    memcpy(self->spool, &plan, sizeof plan);
    self->records = (record *)((char *)self->spool + plan.records_at);
    self->states = (_Atomic uint32_t *)((char *)self->spool + plan.states_at);
    self->log = (char *)self->spool + plan.log_at;
    /* Release: a reader that sees the magic sees the rest of the header. */
    atomic_store_explicit((_Atomic uint64_t *)&self->spool->magic, SPOOL_MAGIC, memory_order_release);
    return true;
}

static void
set_up(process *self)
{
    pthread_mutexattr_t shared;
    pthread_mutexattr_init(&shared);
    pthread_mutex_init(&self->lock, &shared);
    pthread_mutexattr_destroy(&shared);
    self->generation = atomic_load(&ring_attachment.generation);
    if (!make_spool(self)) {
        atomic_store(&self->phase, PROCESS_FAILED);
        return;
    }
    inheritance mine = { .spool = self->spool };
    memcpy(mine.spool_name, self->spool_name, sizeof mine.spool_name);
    ring_attachment.parent = mine;
    if (self->next_id[TSM_TABLE_STRINGS] == OVERFLOW_NAME) {
        define_text(self, "(overflow)");
    }
    describe_process(self);
    atomic_fetch_add(&self->spool->refused_elsewhere, atomic_exchange(&ring_attachment.refused_early, 0));
    atomic_store(&self->phase, PROCESS_READY);
}

void
ring_count_elsewhere(void)
{
    process *self = the_process;
    bool ready = self != NULL && atomic_load(&self->phase) == PROCESS_READY;
    atomic_fetch_add(ready ? &self->spool->refused_elsewhere : &ring_attachment.refused_early, 1);
}

process *
ring_process(void)
{
    process *self = the_process;
    if (self == NULL || atomic_load(&ring_attachment.generation) == 0) {
        return NULL;
    }
    uint32_t fresh = PROCESS_FRESH;
    if (atomic_load(&self->phase) == PROCESS_FRESH
        && atomic_compare_exchange_strong(&self->phase, &fresh, PROCESS_STARTING)) {
        set_up(self);
    }
    while (atomic_load(&self->phase) == PROCESS_STARTING) {
        usleep(100); /* another thread of this process is at it */
    }
    return atomic_load(&self->phase) == PROCESS_READY ? self : NULL;
}

/* membarrier makes every running thread see what was stored before it, without any thread paying
 * for a fence in emit. */
enum { BARRIER_EXPEDITED = 8, BARRIER_REGISTER = 16 };

static void
barrier_everywhere(void)
{
    if (syscall(SYS_membarrier, BARRIER_EXPEDITED, 0, 0) != 0) {
        usleep(20000); /* an old kernel: a store buffer does not hold back that long */
    }
}

tsm_status
tsm_ring_attach(tsm_run *run, tsm_error *err)
{
    attachment *at = &ring_attachment;
    if (atomic_load(&at->generation) != 0) {
        return tsm_fail(err, TSM_E_BUSY, 0, "a session is running in this process already: stop it first");
    }
    uint64_t bytes;
    run_page *page = ring_map_file(tsm_run_directory(run), "run", &bytes);
    /* Fresh for every session: a thread that is still on its way out of the last one's lock must
     * not meet this one's. */
    process *fresh = page == NULL ? NULL : ring_wiped_pages(sizeof *fresh);
    if (fresh == NULL) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot map the run in %s", tsm_run_directory(run));
    }
    syscall(SYS_membarrier, BARRIER_REGISTER, 0, 0);
    the_process = fresh;
    at->page = page;
    at->uses_ticks = page->uses_ticks != 0;
    at->parent = (inheritance){ 0 };
    atomic_store(&at->refused_early, 0);
    snprintf(at->directory, sizeof at->directory, "%s", tsm_run_directory(run));
    atomic_store(&at->generation, ++at->last_generation);
    return TSM_OK;
}

bool
tsm_ring_attached(void)
{
    return atomic_load(&ring_attachment.generation) != 0;
}

static void
wait_until_quiet(process *self)
{
    uint32_t used = atomic_load(&self->spool->records_used);
    for (uint32_t i = 0; i < used; i++) {
        while (atomic_load(&self->records[i].busy) != 0) {
            usleep(50);
        }
    }
}

/* A thread may hold a pointer to its record for as long as it likes, so the addresses of records
 * and control page stay valid for ever; behind them are zeros now, and a zero state refuses. */
static void
leave_zeros(void *at, uint64_t bytes)
{
    mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

void
tsm_ring_detach(void)
{
    process *self = the_process;
    if (atomic_load(&ring_attachment.generation) == 0) {
        return;
    }
    atomic_store(&ring_attachment.page->state, TSM_RUN_STOPPED);
    atomic_store(&ring_attachment.generation, 0);
    barrier_everywhere();
    while (atomic_load(&self->phase) == PROCESS_STARTING) {
        usleep(100);
    }
    if (atomic_load(&self->phase) != PROCESS_READY) {
        leave_zeros(ring_attachment.page, RUN_PAGE_BYTES);
        return;
    }
    pthread_mutex_lock(&self->lock);
    wait_until_quiet(self);
    leave_zeros(ring_attachment.page, RUN_PAGE_BYTES);
    uint64_t bytes = self->spool->bytes, kept = self->spool->log_at;
    leave_zeros(self->spool, kept);
    munmap((char *)self->spool + kept, bytes - kept);
    if (self->names != NULL) {
        munmap(self->names, self->name_slots * sizeof *self->names);
    }
    munmap((void *)self->reserved, bytes / SEGMENT_BYTES + 1);
    atomic_store(&self->phase, PROCESS_FAILED); /* until the next attach */
    pthread_mutex_unlock(&self->lock);
}

uint64_t
tsm_ring_generation(void)
{
    return atomic_load(&ring_attachment.generation);
}
