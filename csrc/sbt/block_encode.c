/* BLOCK sections, the writing side. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"
#include "sbt/fields.h"

_Static_assert(SBT_FIELDS == TSM_EVENT_FIELD_COUNT, "sbt.h counts the fields too");

/* The bits in which any event differs from the first: where there are none, the column is
 * constant and need not be looked at. */
static void
find_differences(const tsm_event *events, size_t count, uint64_t differences[8])
{
    const uint8_t *at = (const uint8_t *)events;
    uint64_t first[8], word[8], all[8] = { 0 };
    memcpy(first, at, sizeof first);
    for (size_t i = 1; i < count; i++) {
        memcpy(word, at + i * sizeof *events, sizeof word);
        for (unsigned k = 0; k < 8; k++) {
            all[k] |= word[k] ^ first[k];
        }
    }
    memcpy(differences, all, sizeof all);
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

static void
put_events(sbt_encoder *e, const tsm_event *events, size_t count, sbt_buffer *out)
{
    uint64_t differences[8] = { 0 };
    if (count > 0) {
        find_differences(events, count, differences);
    }
    e->keys.count = 0;
    for (unsigned field = 0; field < SBT_FIELDS; field++) {
        if (field_of(differences, field) == 0) {
            uint64_t value = count == 0 ? 0 : field_of(events, field);
            sbt_column_encode(e, &value, 1, SBT_TRY_OFFSET, NULL, out);
            continue;
        }
        gather(events, count, field, e->values);
        switch (field) {
        case SBT_FIELD_timestamp:
            sbt_column_encode(e, e->values, count, SBT_TRY_DELTA, NULL, out);
            break;
        case SBT_FIELD_correlation:
            sbt_column_encode(e, e->values, count, SBT_TRY_BOTH, NULL, out);
            break;
        case SBT_FIELD_duration:
        case SBT_FIELD_value:
            sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, NULL, out);
            break;
        case SBT_FIELD_name:
            sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, &e->keys, out);
            break;
        default:
            sbt_column_encode_mapped(e, e->values, count, out);
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

static sbt_block_head
make_head(const tsm_batch *batch, uint64_t first_event)
{
    sbt_block_head head = { .count = (uint32_t)batch->count,
                            .extension_count = (uint32_t)batch->extension_count,
                            .first_event = first_event };
    if (batch->count > 0) {
        head.begin_ns = batch->events[0].timestamp;
        head.last_ns = batch->events[batch->count - 1].timestamp;
    }
    for (size_t i = 0; i < batch->count; i++) {
        uint64_t end = batch->events[i].timestamp + batch->events[i].duration;
        end = end < batch->events[i].timestamp ? UINT64_MAX : end;
        head.end_ns = end > head.end_ns ? end : head.end_ns;
    }
    return head;
}

void
sbt_block_encode(sbt_encoder *e, const tsm_batch *batch, uint64_t first_event, const tsm_sbt_position *positions,
                 size_t position_count, sbt_buffer *out)
{
    sbt_block_head head = make_head(batch, first_event);
    sbt_put(out, &head, sizeof head);
    sbt_put_u8(out, SBT_FIELDS);
    put_events(e, batch->events, batch->count, out);
    if (batch->extension_count > 0) {
        put_extensions(e, batch, out);
    }
    put_positions(positions, position_count, out);
}
