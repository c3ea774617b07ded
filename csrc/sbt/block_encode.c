/* BLOCK sections, the writing side. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"
#include "sbt/fields.h"

_Static_assert(SBT_FIELDS == TSM_EVENT_FIELD_COUNT, "sbt.h counts the fields too");

/* One pass over the events: whether they are sorted, the block's head, and the bits in which any
 * event differs from the first. Where there are none, the column is constant and need not be
 * looked at. */
static sbt_block_head
look_over(const tsm_batch *batch, uint64_t differences[8], bool *sorted)
{
    uint64_t last = 0;
    *sorted = true;
    sbt_block_head head = { .count = (uint32_t)batch->count, .extension_count = (uint32_t)batch->extension_count };
    uint64_t first[8], word[8], all[8] = { 0 };
    if (batch->count == 0) {
        return head;
    }
    memcpy(first, batch->events, sizeof first);
    for (size_t i = 0; i < batch->count; i++) {
        memcpy(word, &batch->events[i], sizeof word);
        for (unsigned k = 0; k < 8; k++) {
            all[k] |= word[k] ^ first[k];
        }
        uint64_t start = batch->events[i].timestamp, end = start + batch->events[i].duration;
        *sorted &= start >= last;
        last = start;
        end = end < start ? UINT64_MAX : end;
        head.end_ns = end > head.end_ns ? end : head.end_ns;
    }
    memcpy(differences, all, sizeof all);
    head.begin_ns = batch->events[0].timestamp;
    head.last_ns = last;
    return head;
}

static uint64_t
field_of(const void *event, unsigned field)
{
    uint64_t value = 0;
    memcpy(&value, (const uint8_t *)event + sbt_fields[field].offset, sbt_fields[field].bytes);
    return value;
}

static void
gather(const tsm_event *events, size_t count, unsigned field, uint64_t *values)
{
    const uint8_t *at = (const uint8_t *)events + sbt_fields[field].offset;
    switch (sbt_fields[field].bytes) {
    case 8:
        for (size_t i = 0; i < count; i++) {
            values[i] = tsm_load_u64(at + i * sizeof *events);
        }
        break;
    case 4:
        for (size_t i = 0; i < count; i++) {
            values[i] = tsm_load_u32(at + i * sizeof *events);
        }
        break;
    default:
        for (size_t i = 0; i < count; i++) {
            uint16_t value;
            memcpy(&value, at + i * sizeof *events, sizeof value);
            values[i] = value;
        }
    }
}

#define GATHER_EVENTS 128 /* at a time: they stay in the first cache for all their fields */

static void
put_events(sbt_encoder *e, const tsm_event *events, size_t count, const uint64_t differences[8], sbt_buffer *out)
{
    bool varies[SBT_FIELDS];
    for (unsigned field = 0; field < SBT_FIELDS; field++) {
        varies[field] = field_of(differences, field) != 0;
    }
    for (size_t at = 0; at < count; at += GATHER_EVENTS) {
        size_t some = count - at < GATHER_EVENTS ? count - at : GATHER_EVENTS;
        for (unsigned field = 0; field < SBT_FIELDS; field++) {
            if (varies[field]) {
                gather(events + at, some, field, e->columns[field] + at);
            }
        }
    }
    e->keys.count = 0;
    for (unsigned field = 0; field < SBT_FIELDS; field++) {
        if (!varies[field]) {
            uint64_t value = count == 0 ? 0 : field_of(events, field);
            sbt_column_encode(e, &value, 1, SBT_TRY_OFFSET, NULL, out);
        } else if (field > SBT_FIELD_name) {
            sbt_column_encode_mapped(e, e->columns[field], count, out);
        } else {
            sbt_attempt attempt = field == SBT_FIELD_timestamp     ? SBT_TRY_DELTA
                                  : field == SBT_FIELD_correlation ? SBT_TRY_BOTH
                                                                   : SBT_TRY_OFFSET;
            sbt_column_encode(e, e->columns[field], count, attempt, field == SBT_FIELD_name ? &e->keys : NULL, out);
        }
    }
}

/* Schemas in the order of their appearance. index[i]: which of them extension i has. */
typedef struct {
    uint32_t *schemas, *members, *index;
    size_t count;
} groups;

static bool
find_groups(const tsm_extension *extensions, size_t count, groups *g)
{
    uint32_t *memory = calloc(3 * count + 1, sizeof *memory);
    if (memory == NULL) {
        return false;
    }
    *g = (groups){ memory, memory + count, memory + 2 * count, 0 };
    size_t last = 0;
    for (size_t i = 0; i < count; i++) {
        if (g->count == 0 || g->schemas[last] != extensions[i].schema) {
            for (last = 0; last < g->count && g->schemas[last] != extensions[i].schema; last++) {
            }
            if (last == g->count) {
                g->schemas[g->count++] = extensions[i].schema;
            }
        }
        g->index[i] = (uint32_t)last;
        g->members[last]++;
    }
    return true;
}

static void
put_group(sbt_encoder *e, const tsm_batch *batch, const groups *g, size_t group, sbt_buffer *out)
{
    sbt_put_varint(out, g->schemas[group]);
    sbt_put_varint(out, g->members[group]);
    for (unsigned value = 0; value < TSM_EXTENSION_VALUES; value++) {
        size_t used = 0;
        for (size_t i = 0; i < batch->extension_count; i++) {
            if (g->index[i] == group) {
                e->values[used++] = batch->extensions[i].values[value];
            }
        }
        sbt_column_encode(e, e->values, used, SBT_TRY_BOTH, NULL, out);
    }
}

static void
put_extensions(sbt_encoder *e, const tsm_batch *batch, sbt_buffer *out)
{
    size_t count = batch->extension_count;
    groups g;
    if (!find_groups(batch->extensions, count, &g)) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        e->values[i] = batch->extension_rows[i];
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_BOTH, NULL, out);
    for (size_t i = 0; i < count; i++) {
        e->values[i] = g.index[i];
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, NULL, out);
    for (size_t i = 0; i < count; i++) {
        e->values[i] = batch->extensions[i].type;
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, NULL, out);
    for (size_t i = 0; i < count; i++) {
        e->values[i] = batch->extensions[i].count;
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, NULL, out);
    sbt_put_varint(out, g.count);
    for (size_t group = 0; group < g.count; group++) {
        put_group(e, batch, &g, group, out);
    }
    free(g.schemas);
}

static void
put_positions(const tsm_sbt_position *positions, size_t count, sbt_buffer *out)
{
    sbt_put_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        sbt_put_varint(out, positions[i].producer);
        sbt_put_varint(out, positions[i].slots);
        sbt_put_varint(out, positions[i].delivered);
        sbt_put_varint(out, positions[i].overwritten);
        sbt_put_varint(out, positions[i].lost);
    }
}

tsm_status
sbt_block_encode(sbt_encoder *e, const tsm_batch *batch, uint64_t first_event, const tsm_sbt_position *positions,
                 size_t position_count, sbt_buffer *out)
{
    uint64_t differences[8] = { 0 };
    bool sorted;
    sbt_block_head head = look_over(batch, differences, &sorted);
    if (!sorted) {
        return TSM_E_ARG;
    }
    head.first_event = first_event;
    sbt_put(out, &head, sizeof head);
    sbt_put_u8(out, SBT_FIELDS);
    put_events(e, batch->events, batch->count, differences, out);
    if (batch->extension_count > 0) {
        put_extensions(e, batch, out);
    }
    put_positions(positions, position_count, out);
    return TSM_OK;
}
