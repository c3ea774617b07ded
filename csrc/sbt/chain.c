#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "sbt/layout.h"

tsm_status
sbt_chain_create(sbt_chain *chain)
{
    *chain = (sbt_chain){ .totals.begin_ns = UINT64_MAX };
    return tsm_tables_create(&chain->tables);
}

void
sbt_chain_destroy(sbt_chain *chain)
{
    tsm_tables_destroy(chain->tables);
    free(chain->entries);
    free(chain->positions);
    free(chain->position_slots);
}

static void
index_position(sbt_chain *chain, uint32_t producer, uint32_t index)
{
    size_t mask = chain->position_slot_count - 1;
    size_t at = (size_t)tsm_hash_mix(producer, 0) & mask;
    while (chain->position_slots[at] != 0) {
        at = (at + 1) & mask;
    }
    chain->position_slots[at] = index + 1;
}

static bool
grow_position_slots(sbt_chain *chain, size_t more)
{
    size_t grown = chain->position_slot_count == 0 ? 16 : chain->position_slot_count;
    while (chain->position_count + more > grown / 2) {
        grown *= 2;
    }
    if (grown == chain->position_slot_count) {
        return true;
    }
    uint32_t *slots = calloc(grown, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    free(chain->position_slots);
    chain->position_slots = slots;
    chain->position_slot_count = grown;
    for (size_t i = 0; i < chain->position_count; i++) {
        index_position(chain, chain->positions[i].producer, (uint32_t)i);
    }
    return true;
}

static tsm_sbt_position *
find_position(sbt_chain *chain, uint32_t producer)
{
    size_t mask = chain->position_slot_count - 1;
    for (size_t at = (size_t)tsm_hash_mix(producer, 0) & mask; chain->position_slots[at] != 0; at = (at + 1) & mask) {
        tsm_sbt_position *position = &chain->positions[chain->position_slots[at] - 1];
        if (position->producer == producer) {
            return position;
        }
    }
    return NULL;
}

tsm_status
sbt_chain_reserve(sbt_chain *chain, size_t positions)
{
    bool done = tsm_array_reserve(&chain->entries, &chain->entry_capacity, chain->entry_count + 1)
                && tsm_array_reserve(&chain->positions, &chain->position_capacity, chain->position_count + positions)
                && grow_position_slots(chain, positions);
    return done ? TSM_OK : TSM_E_NOMEM;
}

tsm_status
sbt_chain_set_position(sbt_chain *chain, const tsm_sbt_position *position)
{
    if (!grow_position_slots(chain, 1)) {
        return TSM_E_NOMEM;
    }
    tsm_sbt_position *known = find_position(chain, position->producer);
    if (known != NULL) {
        *known = *position;
        return TSM_OK;
    }
    if (!tsm_array_reserve(&chain->positions, &chain->position_capacity, chain->position_count + 1)) {
        return TSM_E_NOMEM;
    }
    chain->positions[chain->position_count] = *position;
    index_position(chain, position->producer, (uint32_t)chain->position_count++);
    return TSM_OK;
}

tsm_status
sbt_chain_add_entry(sbt_chain *chain, const sbt_entry *entry)
{
    if (!tsm_array_reserve(&chain->entries, &chain->entry_capacity, chain->entry_count + 1)) {
        return TSM_E_NOMEM;
    }
    chain->entries[chain->entry_count++] = *entry;
    if (entry->kind != SBT_KIND_BLOCK) {
        return TSM_OK;
    }
    sbt_footer *totals = &chain->totals;
    totals->block_count++;
    totals->event_count += entry->count;
    totals->extension_count += entry->extension_count;
    if (entry->count > 0) {
        totals->begin_ns = entry->begin_ns < totals->begin_ns ? entry->begin_ns : totals->begin_ns;
        totals->end_ns = entry->end_ns > totals->end_ns ? entry->end_ns : totals->end_ns;
    }
    return TSM_OK;
}

static tsm_status
take_block(sbt_chain *chain, const sbt_section *section, const uint8_t *payload, sbt_entry *entry, tsm_error *err)
{
    sbt_block block;
    tsm_status status = sbt_block_parse(&block, payload, section->payload_bytes, section->offset, err);
    if (status != TSM_OK) {
        return status;
    }
    if (block.head.count != section->count) {
        return tsm_fail(err, TSM_E_CORRUPT, section->offset, "the block at byte %llu counts %u events and %u",
                        (unsigned long long)section->offset, section->count, block.head.count);
    }
    entry->extension_count = block.head.extension_count;
    entry->first_event = block.head.first_event;
    entry->begin_ns = block.head.begin_ns;
    entry->last_ns = block.head.last_ns;
    entry->end_ns = block.head.end_ns;
    return sbt_block_positions(&block, chain, err);
}

tsm_status
sbt_chain_take(sbt_chain *chain, const sbt_section *section, const uint8_t *payload, tsm_error *err)
{
    sbt_entry entry = { .kind = section->kind,
                        .table = section->table,
                        .count = section->count,
                        .offset = section->offset,
                        .payload_bytes = section->payload_bytes };
    tsm_status status = TSM_OK;
    if (section->kind == SBT_KIND_BLOCK) {
        status = take_block(chain, section, payload, &entry, err);
    } else if ((section->kind & ~SBT_KIND_LOST) == SBT_KIND_TABLE) {
        status = sbt_table_decode(chain, section, payload, err);
    } else if (section->kind == SBT_KIND_LOST) {
        chain->lost_bytes += section->payload_bytes;
    }
    if (status != TSM_OK) {
        return status;
    }
    if (sbt_chain_add_entry(chain, &entry) != TSM_OK) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for the list of blocks");
    }
    chain->end = sbt_section_end(section);
    return TSM_OK;
}

/* u64 count, entries, then positions: a varint count and five varints each. */
void
sbt_chain_write_index(const sbt_chain *chain, sbt_buffer *out)
{
    uint64_t count = chain->entry_count;
    sbt_put(out, &count, sizeof count);
    sbt_put(out, chain->entries, chain->entry_count * sizeof *chain->entries);
    sbt_put_varint(out, chain->position_count);
    for (size_t i = 0; i < chain->position_count; i++) {
        const tsm_sbt_position *position = &chain->positions[i];
        sbt_put_varint(out, position->producer);
        sbt_put_varint(out, position->slots);
        sbt_put_varint(out, position->delivered);
        sbt_put_varint(out, position->overwritten);
        sbt_put_varint(out, position->lost);
    }
}

static tsm_status
read_positions(sbt_chain *chain, tsm_bytes *bytes)
{
    uint64_t count = tsm_bytes_varint(bytes);
    for (uint64_t i = 0; i < count; i++) {
        tsm_sbt_position position = { .producer = (uint32_t)tsm_bytes_varint(bytes) };
        position.slots = tsm_bytes_varint(bytes);
        position.delivered = tsm_bytes_varint(bytes);
        position.overwritten = tsm_bytes_varint(bytes);
        position.lost = tsm_bytes_varint(bytes);
        if (bytes->failed) {
            return TSM_E_CORRUPT;
        }
        tsm_status status = sbt_chain_set_position(chain, &position);
        if (status != TSM_OK) {
            return status;
        }
    }
    return bytes->failed ? TSM_E_CORRUPT : TSM_OK;
}

/* Sections follow each other without a gap, up to the index itself. */
static bool
entry_follows(const sbt_entry *entry, uint64_t end, uint64_t limit)
{
    return entry->offset == end && end <= limit - sizeof(sbt_section) && entry->payload_bytes <= limit
           && sbt_padded(entry->payload_bytes) <= limit - sizeof(sbt_section) - end && entry->count <= SBT_COLUMN_MAX
           && entry->extension_count <= SBT_COLUMN_MAX;
}

tsm_status
sbt_chain_read_index(sbt_chain *chain, const sbt_section *section, const uint8_t *payload, tsm_error *err)
{
    tsm_bytes bytes = { .at = payload, .end = payload + section->payload_bytes };
    uint64_t count = tsm_bytes_u64(&bytes);
    tsm_status status = count > tsm_bytes_left(&bytes) / sizeof(sbt_entry) ? TSM_E_CORRUPT : TSM_OK;
    for (uint64_t i = 0; i < count && status == TSM_OK; i++) {
        sbt_entry entry;
        memcpy(&entry, tsm_bytes_take(&bytes, sizeof entry), sizeof entry);
        if (!entry_follows(&entry, chain->end, section->offset)) {
            status = TSM_E_CORRUPT;
        } else {
            status = sbt_chain_add_entry(chain, &entry);
            chain->end += sizeof(sbt_section) + sbt_padded(entry.payload_bytes);
        }
    }
    if (status == TSM_OK) {
        status = read_positions(chain, &bytes);
    }
    if (status == TSM_OK && chain->end != section->offset) {
        status = TSM_E_CORRUPT;
    }
    if (status != TSM_OK) {
        return tsm_fail(err, status, section->offset, "the index at byte %llu: %s; repair makes a new one",
                        (unsigned long long)section->offset, tsm_status_text(status));
    }
    return TSM_OK;
}
