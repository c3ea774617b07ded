/* BLOCK sections, the writing side. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"
#include "sbt/fields.h"

static sbt_block_head
make_head(const sbt_encoder *e, size_t extension_count, uint64_t first_event)
{
    const sbt_build *build = &e->build;
    const uint64_t *times = e->columns[SBT_FIELD_timestamp];
    bool spread = build->varies[SBT_FIELD_timestamp];
    return (sbt_block_head){
        .count = (uint32_t)build->count,
        .extension_count = (uint32_t)extension_count,
        .first_event = first_event,
        .begin_ns = spread ? times[0] : build->first.timestamp,
        .last_ns = spread ? times[build->count - 1] : build->first.timestamp,
        .end_ns = build->end_ns,
    };
}

static void
put_events(sbt_encoder *e, sbt_buffer *out)
{
    size_t count = e->build.count;
    e->keys.count = 0;
    for (unsigned field = 0; field < SBT_FIELDS; field++) {
        const uint64_t *values = e->columns[field];
        if (!e->build.varies[field]) {
            uint64_t value = sbt_build_constant(&e->build, field);
            sbt_column_encode(e, &value, 1, SBT_TRY_OFFSET, NULL, out);
        } else if (field > SBT_FIELD_name) {
            sbt_column_encode_mapped(e, values, count, out);
        } else {
            sbt_attempt attempt = field == SBT_FIELD_timestamp     ? SBT_TRY_DELTA
                                  : field == SBT_FIELD_correlation ? SBT_TRY_BOTH
                                                                   : SBT_TRY_OFFSET;
            sbt_column_encode(e, values, count, attempt, field == SBT_FIELD_name ? &e->keys : NULL, out);
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
put_group(sbt_encoder *e, const tsm_extension *extensions, size_t count, const groups *g, size_t group, sbt_buffer *out)
{
    sbt_put_varint(out, g->schemas[group]);
    sbt_put_varint(out, g->members[group]);
    for (unsigned value = 0; value < TSM_EXTENSION_VALUES; value++) {
        size_t used = 0;
        for (size_t i = 0; i < count; i++) {
            if (g->index[i] == group) {
                e->values[used++] = extensions[i].values[value];
            }
        }
        sbt_column_encode(e, e->values, used, SBT_TRY_BOTH, NULL, out);
    }
}

static void
put_extensions(sbt_encoder *e, const tsm_extension *extensions, const uint32_t *rows, size_t count, sbt_buffer *out)
{
    groups g;
    if (!find_groups(extensions, count, &g)) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        e->values[i] = rows[i];
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_BOTH, NULL, out);
    for (size_t i = 0; i < count; i++) {
        e->values[i] = g.index[i];
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, NULL, out);
    for (size_t i = 0; i < count; i++) {
        e->values[i] = extensions[i].type;
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, NULL, out);
    for (size_t i = 0; i < count; i++) {
        e->values[i] = extensions[i].count;
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, NULL, out);
    sbt_put_varint(out, g.count);
    for (size_t group = 0; group < g.count; group++) {
        put_group(e, extensions, count, &g, group, out);
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

void
sbt_block_encode(sbt_encoder *e, const tsm_extension *extensions, const uint32_t *rows, size_t extension_count,
                 uint64_t first_event, const tsm_sbt_position *positions, size_t position_count, sbt_buffer *out)
{
    sbt_block_head head = make_head(e, extension_count, first_event);
    sbt_put(out, &head, sizeof head);
    sbt_put_u8(out, SBT_FIELDS);
    put_events(e, out);
    if (extension_count > 0) {
        put_extensions(e, extensions, rows, extension_count, out);
    }
    put_positions(positions, position_count, out);
}
