/* Definitions: every name and row is written to the log before its id is known to anybody, so an
 * id found in a chunk can always be explained, whoever died. The look-up table is this process's
 * own, in memory that malloc knows nothing of: a name may be new inside an allocation hook. */
#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"
#include "ring/process.h"

#define OFFSET_MASK ((UINT64_C(1) << 40) - 1)
#define FIRST_SLOTS 4096

static uint64_t
hash_of(unsigned table, const void *payload, uint32_t size)
{
    return tsm_hash_mix(tsm_hash_bytes(payload, size), table);
}

static const log_entry *
entry_at(const process *self, uint64_t slot)
{
    return (const log_entry *)(self->log + ((slot & OFFSET_MASK) - 1) * 8);
}

static void
insert(uint64_t *slots, uint64_t count, uint64_t hash, uint64_t slot)
{
    uint64_t at = hash & (count - 1);
    while (slots[at] != 0) {
        at = (at + 1) & (count - 1);
    }
    slots[at] = slot;
}

static uint64_t
slot_for(uint64_t hash, uint64_t offset)
{
    return (hash & ~OFFSET_MASK) | (offset / 8 + 1);
}

static bool
grow_names(process *self)
{
    uint64_t grown = self->name_slots == 0 ? FIRST_SLOTS : self->name_slots * 2;
    uint64_t *slots =
        mmap(NULL, grown * sizeof *slots, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED) {
        return false;
    }
    for (uint64_t i = 0; i < self->name_slots; i++) {
        if (self->names[i] != 0) {
            const log_entry *entry = entry_at(self, self->names[i]);
            insert(slots, grown, hash_of(entry->table, entry + 1, entry->size), self->names[i]);
        }
    }
    if (self->names != NULL) {
        munmap(self->names, self->name_slots * sizeof *self->names);
    }
    self->names = slots;
    self->name_slots = grown;
    return true;
}

static uint32_t
find(const process *self, uint64_t hash, unsigned table, const void *payload, uint32_t size)
{
    if (self->name_slots == 0) {
        return 0;
    }
    for (uint64_t at = hash & (self->name_slots - 1); self->names[at] != 0; at = (at + 1) & (self->name_slots - 1)) {
        if ((self->names[at] ^ hash) & ~OFFSET_MASK) {
            continue;
        }
        const log_entry *entry = entry_at(self, self->names[at]);
        if (entry->table == table && entry->size == size && memcmp(entry + 1, payload, size) == 0) {
            return entry->id;
        }
    }
    return 0;
}

uint32_t
ring_define(process *self, unsigned table, const void *payload, uint32_t size, uint16_t count)
{
    uint64_t hash = hash_of(table, payload, size);
    uint32_t id = find(self, hash, table, payload, size);
    if (id != 0) {
        return id;
    }
    uint64_t bytes = (sizeof(log_entry) + (uint64_t)size + 7) / 8 * 8;
    uint64_t offset = self->log_used;
    if (bytes > self->spool->log_bytes - offset || bytes > UINT32_MAX
        || !ring_reserve_spool(self, self->spool->log_at + offset, bytes)
        || (self->name_count * 2 >= self->name_slots && !grow_names(self))) {
        atomic_fetch_add_explicit(&self->spool->names_refused, 1, memory_order_relaxed);
        return 0;
    }
    log_entry *entry = (log_entry *)(self->log + offset);
    id = self->next_id[table];
    *entry = (log_entry){ .bytes = (uint32_t)bytes, .table = (uint16_t)table, .count = count, .id = id, .size = size };
    memcpy(entry + 1, payload, size);
    /* Release: whoever sees the length sees the entry. */
    atomic_store_explicit(&self->spool->log_committed, offset + bytes, memory_order_release);
    ring_attachment.parent.published = offset + bytes;
    self->log_used = offset + bytes;
    self->next_id[table] = id + 1;
    insert(self->names, self->name_slots, hash, slot_for(hash, offset));
    self->name_count++;
    return id;
}

/* 0 without a session; what interrupts a definition, or finds the log full, gets 'overflow'. */
static uint32_t
define(unsigned table, const void *payload, uint32_t size, uint16_t count)
{
    uint32_t none = table == TSM_TABLE_STRINGS ? OVERFLOW_NAME : 0;
    if (ring_in_slow_path) {
        return none;
    }
    ring_in_slow_path = true;
    uint32_t id = 0;
    process *self = ring_process();
    if (self != NULL) {
        pthread_mutex_lock(&self->lock);
        if (atomic_load(&self->phase) == PROCESS_READY
            && atomic_load(&ring_attachment.page->state) != TSM_RUN_STOPPED) {
            id = ring_define(self, table, payload, size, count);
            id = id == 0 ? none : id;
        }
        pthread_mutex_unlock(&self->lock);
    }
    ring_in_slow_path = false;
    return id;
}

uint32_t
tsm_ring_text(unsigned table, const void *data, size_t size)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    if (layout == NULL || !layout->text || (size == 0 && table == TSM_TABLE_STRINGS)) {
        return 0;
    }
    return size > UINT32_MAX / 2 ? OVERFLOW_NAME : define(table, data, (uint32_t)size, 0);
}

uint32_t
tsm_ring_row(unsigned table, const uint64_t *values)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    if (layout == NULL || layout->text) {
        return 0;
    }
    uint32_t size = (uint32_t)(layout->column_count * sizeof *values);
    return define(table, values, size, (uint16_t)layout->column_count);
}

/* The row of this process (or its host), making its spool if need be. */
static uint32_t
own_row(bool host)
{
    uint32_t row = 0;
    if (!ring_in_slow_path) {
        ring_in_slow_path = true;
        process *self = ring_process();
        if (self != NULL) {
            row = host ? self->host_row : self->row;
        }
        ring_in_slow_path = false;
    }
    return row;
}

uint32_t
tsm_ring_process(void)
{
    return own_row(false);
}

uint32_t
tsm_ring_host(void)
{
    return own_row(true);
}
