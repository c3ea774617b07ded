/* A spool from the outside: the drain's and the recovery's view of another process's memory, which
 * that process may scribble on at any moment. So every number is copied once and then checked,
 * and the geometry is computed from the copy of the header made at open. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "ring/layout.h"
#include "ring/ring.h"

struct tsm_spool {
    char name[NAME_BYTES];
    spool_header *shared;
    spool_header header; /* copied and checked */
    bool mapped;         /* to be unmapped at close */
    uint64_t log_at;     /* definitions taken so far, bytes */
    bool log_damaged;
    uint64_t *values; /* of the definition returned last */
    char *text;
    size_t text_capacity;
    tsm_spool_chunk *chunks;
    size_t chunk_count, chunk_capacity;
    uint8_t *claimed; /* per chunk: READING was set by us */
};

static bool
within(uint64_t at, uint64_t count, uint64_t unit, uint64_t bytes)
{
    return at <= bytes && unit > 0 && count <= (bytes - at) / unit && at % 8 == 0;
}

static tsm_status
check_header(const spool_header *h, uint64_t bytes, tsm_error *err)
{
    if (h->magic == 0) {
        return tsm_fail(err, TSM_E_TRUNCATED, 0, "the spool is not made yet");
    }
    if (h->magic != SPOOL_MAGIC) {
        return tsm_fail(err, TSM_E_FORMAT, 0, "not a spool");
    }
    if (h->abi != RING_ABI) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, offsetof(spool_header, abi),
                        "made by another version of TraceSmith (%u, this is %u)", h->abi, RING_ABI);
    }
    if (h->bytes != bytes || h->chunk_count > 1u << 24 || h->small_count > h->chunk_count || h->small_bytes < 128
        || h->large_bytes < 128 || h->small_bytes % 64 != 0 || h->large_bytes % 64 != 0
        || !within(h->records_at, h->record_count, sizeof(record), bytes) || h->record_count > 1u << 20
        || !within(h->states_at, h->chunk_count, sizeof(uint32_t), bytes) || !within(h->log_at, h->log_bytes, 1, bytes)
        || !within(h->small_at, h->small_count, h->small_bytes, bytes)
        || !within(h->large_at, h->chunk_count - h->small_count, h->large_bytes, bytes)) {
        return tsm_fail(err, TSM_E_CORRUPT, 0, "the spool's header makes no sense");
    }
    if (memchr(h->parent, 0, sizeof h->parent) == NULL) {
        return tsm_fail(err, TSM_E_CORRUPT, offsetof(spool_header, parent), "the parent's name does not end");
    }
    return TSM_OK;
}

static tsm_status
open_mapping(void *data, uint64_t bytes, const char *name, tsm_spool **out, tsm_error *err)
{
    if (bytes < SPOOL_HEADER_BYTES) {
        return tsm_fail(err, TSM_E_TRUNCATED, bytes, "too short for a spool");
    }
    tsm_spool *spool = calloc(1, sizeof *spool);
    if (spool == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for a spool");
    }
    spool->shared = data;
    /* Acquire: pairs with the maker's last store. */
    uint64_t magic = atomic_load_explicit((_Atomic uint64_t *)&spool->shared->magic, memory_order_acquire);
    spool->header = *spool->shared;
    spool->header.magic = magic;
    tsm_status status = check_header(&spool->header, bytes, err);
    if (status == TSM_OK) {
        spool->claimed = calloc(spool->header.chunk_count + 1, 1);
        spool->values = calloc(TSM_COLUMNS_MAX, sizeof *spool->values);
        status = spool->claimed == NULL || spool->values == NULL ? TSM_E_NOMEM : TSM_OK;
    }
    if (status != TSM_OK) {
        tsm_spool_close(spool);
        return status;
    }
    snprintf(spool->name, sizeof spool->name, "%s", name);
    *out = spool;
    return TSM_OK;
}

tsm_status
tsm_spool_open_memory(void *data, size_t size, tsm_spool **out, tsm_error *err)
{
    return open_mapping(data, size, "memory", out, err);
}

tsm_status
tsm_spool_open(const char *directory, const char *name, tsm_spool **out, tsm_error *err)
{
    uint64_t bytes;
    void *data = ring_map_file(directory, name, &bytes);
    if (data == NULL) {
        return errno == EPERM || errno == EINVAL
                   ? tsm_fail(err, TSM_E_TRUNCATED, 0, "%s is empty or not ours", name)
                   : tsm_fail_errno(err, TSM_E_IO, "cannot open the spool %s/%s", directory, name);
    }
    tsm_status status = open_mapping(data, bytes, name, out, err);
    if (status != TSM_OK) {
        munmap(data, bytes);
        return status;
    }
    (*out)->mapped = true;
    return TSM_OK;
}

void
tsm_spool_close(tsm_spool *spool)
{
    if (spool == NULL) {
        return;
    }
    if (spool->mapped) {
        munmap(spool->shared, spool->header.bytes);
    }
    free(spool->claimed);
    free(spool->values);
    free(spool->text);
    free(spool->chunks);
    free(spool);
}

const char *
tsm_spool_name(const tsm_spool *spool)
{
    return spool->name;
}

uint64_t
tsm_spool_id(const tsm_spool *spool)
{
    return spool->header.id;
}

uint32_t
tsm_spool_pid(const tsm_spool *spool)
{
    return spool->header.pid;
}

bool
tsm_spool_alive(const tsm_spool *spool)
{
    uint64_t start = ring_process_start(spool->header.pid);
    return start != 0 && start == spool->header.start;
}

const char *
tsm_spool_parent(const tsm_spool *spool)
{
    return spool->header.parent;
}

uint32_t
tsm_spool_inherited(const tsm_spool *spool, unsigned table)
{
    return table < TSM_TABLE_LIMIT ? spool->header.inherited[table] : 0;
}

uint64_t
tsm_spool_names_refused(const tsm_spool *spool)
{
    return atomic_load_explicit(&spool->shared->names_refused, memory_order_relaxed);
}

uint64_t
tsm_spool_refused_elsewhere(const tsm_spool *spool)
{
    return atomic_load_explicit(&spool->shared->refused_elsewhere, memory_order_relaxed);
}

static bool
copy_text(tsm_spool *spool, const char *from, size_t size)
{
    if (size > spool->text_capacity) {
        char *grown = realloc(spool->text, size);
        if (grown == NULL) {
            return false;
        }
        spool->text = grown;
        spool->text_capacity = size;
    }
    memcpy(spool->text, from, size);
    return true;
}

bool
tsm_spool_next_definition(tsm_spool *spool, tsm_definition *out, bool *damaged)
{
    const spool_header *h = &spool->header;
    /* Acquire: what the length covers is written. */
    uint64_t committed = atomic_load_explicit(&spool->shared->log_committed, memory_order_acquire);
    *damaged = spool->log_damaged;
    if (spool->log_damaged || committed == spool->log_at) {
        return false;
    }
    const char *at = (const char *)spool->shared + h->log_at + spool->log_at;
    log_entry entry;
    spool->log_damaged = *damaged = true; /* until everything has been checked */
    if (committed > h->log_bytes || committed < spool->log_at || committed - spool->log_at < sizeof entry) {
        return false;
    }
    memcpy(&entry, at, sizeof entry);
    const tsm_table_layout *layout = tsm_table_layout_of(entry.table);
    if (layout == NULL || entry.bytes % 8 != 0 || entry.bytes > committed - spool->log_at || entry.bytes < sizeof entry
        || entry.size > entry.bytes - sizeof entry
        || (!layout->text && (entry.count != layout->column_count || entry.size != entry.count * 8u))) {
        return false;
    }
    *out = (tsm_definition){ .table = entry.table };
    if (layout->text) {
        if (!copy_text(spool, at + sizeof entry, entry.size)) {
            return false;
        }
        out->data = spool->text;
        out->size = entry.size;
    } else {
        memcpy(spool->values, at + sizeof entry, entry.size);
        out->values = spool->values;
    }
    spool->log_at += entry.bytes;
    spool->log_damaged = *damaged = false;
    return true;
}

static record *
record_at(const tsm_spool *spool, size_t index)
{
    return (record *)((char *)spool->shared + spool->header.records_at) + index;
}

size_t
tsm_spool_thread_count(const tsm_spool *spool)
{
    uint32_t used = atomic_load(&spool->shared->records_used);
    return used < spool->header.record_count ? used : spool->header.record_count;
}

void
tsm_spool_thread_at(const tsm_spool *spool, size_t index, tsm_spool_thread *out)
{
    record *r = record_at(spool, index);
    /* Acquire: the fields of a live record, the final counts of an ended one. */
    uint32_t state = atomic_load_explicit(&r->state, memory_order_acquire);
    bool used = state == RECORD_LIVE || state == RECORD_ENDED;
    *out = (tsm_spool_thread){
        .serial = used ? atomic_load_explicit(&r->serial, memory_order_relaxed) : 0,
        .thread = atomic_load_explicit(&r->thread, memory_order_relaxed),
        .ended = state == RECORD_ENDED,
        .busy = atomic_load_explicit(&r->busy, memory_order_acquire) != 0,
        .next_event = atomic_load_explicit(&r->next_event, memory_order_relaxed),
        .next_slot = atomic_load_explicit(&r->next_slot, memory_order_relaxed),
        .refused_full = atomic_load_explicit(&r->refused_full, memory_order_relaxed),
        .refused_nested = atomic_load_explicit(&r->refused_nested, memory_order_relaxed),
        .refused_blocked = atomic_load_explicit(&r->refused_blocked, memory_order_relaxed),
    };
}

void
tsm_spool_thread_release(tsm_spool *spool, size_t index)
{
    uint32_t ended = RECORD_ENDED;
    atomic_compare_exchange_strong(&record_at(spool, index)->state, &ended, RECORD_FREE);
}

static _Atomic uint32_t *
state_at(const tsm_spool *spool, uint32_t index)
{
    return (_Atomic uint32_t *)((char *)spool->shared + spool->header.states_at) + index;
}

static chunk_header *
chunk_header_at(const tsm_spool *spool, uint32_t index)
{
    const spool_header *h = &spool->header;
    uint64_t offset = index < h->small_count ? h->small_at + (uint64_t)index * h->small_bytes
                                             : h->large_at + (uint64_t)(index - h->small_count) * h->large_bytes;
    return (chunk_header *)((char *)spool->shared + offset);
}

static uint64_t
slots_before(uint64_t end, uint64_t room)
{
    uint64_t slots = end < sizeof(chunk_header) ? 0 : (end - sizeof(chunk_header)) / sizeof(tsm_event);
    return slots < room ? slots : room;
}

static void
read_chunk(const tsm_spool *spool, uint32_t index, bool sealed, tsm_spool_chunk *out)
{
    chunk_header *chunk = chunk_header_at(spool, index);
    uint32_t bytes = index < spool->header.small_count ? spool->header.small_bytes : spool->header.large_bytes;
    uint64_t room = (bytes - sizeof *chunk) / sizeof(tsm_event);
    /* Acquire: the slots that the count covers are written. */
    uint64_t committed = atomic_load_explicit(&chunk->committed, memory_order_acquire);
    *out = (tsm_spool_chunk){
        .index = index,
        .sealed = sealed,
        .serial = chunk->serial,
        .first_slot = chunk->first_slot,
        .first_event = chunk->first_event,
        .committed = (uint32_t)slots_before(committed, room),
        .slots = (const tsm_event *)(chunk + 1),
    };
}

/* Sets READING beside the given state. False: it is in another state now. */
static bool
claim(tsm_spool *spool, uint32_t index, uint32_t state)
{
    if (!atomic_compare_exchange_strong(state_at(spool, index), &state, state | CHUNK_READING)) {
        return false;
    }
    spool->claimed[index] = 1;
    return true;
}

static bool
add_chunk(tsm_spool *spool, uint32_t index, uint32_t state)
{
    if (!tsm_array_reserve(&spool->chunks, &spool->chunk_capacity, spool->chunk_count + 1)
        || !claim(spool, index, state)) {
        return false;
    }
    read_chunk(spool, index, state == CHUNK_SEALED, &spool->chunks[spool->chunk_count++]);
    return true;
}

static int
by_thread_and_position(const void *a, const void *b)
{
    const tsm_spool_chunk *x = a, *y = b;
    if (x->serial != y->serial) {
        return x->serial < y->serial ? -1 : 1;
    }
    return x->first_slot < y->first_slot ? -1 : x->first_slot > y->first_slot;
}

/* The walk over the states is not one instant: a chunk may have been open (and left alone) when we
 * passed it, and its thread's next one sealed when we came there. So whoever was found sealed
 * brings in what the same thread sealed before it; the second walk sees those, because a thread
 * seals one chunk before it opens the next. */
static void
add_predecessors(tsm_spool *spool)
{
    size_t found = spool->chunk_count;
    for (uint32_t i = 0; i < spool->header.chunk_count; i++) {
        if (atomic_load_explicit(state_at(spool, i), memory_order_acquire) != CHUNK_SEALED) {
            continue;
        }
        chunk_header *chunk = chunk_header_at(spool, i);
        for (size_t k = 0; k < found; k++) {
            if (spool->chunks[k].serial == chunk->serial && chunk->first_slot < spool->chunks[k].first_slot) {
                add_chunk(spool, i, CHUNK_SEALED);
                break;
            }
        }
    }
}

/* A chunk that was open when we claimed it is full if its thread has a later one by now. */
static void
complete_predecessors(tsm_spool *spool)
{
    for (size_t i = 0; i + 1 < spool->chunk_count; i++) {
        tsm_spool_chunk *chunk = &spool->chunks[i];
        if (!chunk->sealed && spool->chunks[i + 1].serial == chunk->serial) {
            read_chunk(spool, chunk->index, true, chunk);
        }
    }
}

size_t
tsm_spool_claim(tsm_spool *spool, bool open_too, const tsm_spool_chunk **chunks)
{
    spool->chunk_count = 0;
    for (uint32_t i = 0; i < spool->header.chunk_count; i++) {
        uint32_t state = atomic_load_explicit(state_at(spool, i), memory_order_acquire);
        if (state == CHUNK_SEALED || (open_too && state == CHUNK_OPEN)) {
            add_chunk(spool, i, state);
        }
    }
    if (spool->chunk_count > 0) {
        add_predecessors(spool);
        qsort(spool->chunks, spool->chunk_count, sizeof *spool->chunks, by_thread_and_position);
        complete_predecessors(spool);
    }
    *chunks = spool->chunks;
    return spool->chunk_count;
}

void
tsm_spool_unclaim(tsm_spool *spool, uint32_t index)
{
    if (spool->claimed[index]) {
        spool->claimed[index] = 0;
        /* Release: our reads come before any reuse. */
        atomic_fetch_and_explicit(state_at(spool, index), ~(uint32_t)CHUNK_READING, memory_order_release);
    }
}

void
tsm_spool_release(tsm_spool *spool, uint32_t index)
{
    uint32_t sealed = CHUNK_SEALED | CHUNK_READING;
    if (spool->claimed[index]) {
        spool->claimed[index] = 0;
        /* Release: our reads come before any reuse. */
        atomic_compare_exchange_strong_explicit(state_at(spool, index), &sealed, CHUNK_FREE, memory_order_release,
                                                memory_order_relaxed);
    }
}

void
tsm_spool_reset_claims(tsm_spool *spool)
{
    for (uint32_t i = 0; i < spool->header.chunk_count; i++) {
        atomic_fetch_and(state_at(spool, i), ~(uint32_t)CHUNK_READING);
    }
}
