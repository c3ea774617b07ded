#include "trace/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

typedef struct {
    uint32_t *ids;
    size_t count, capacity;
} mapping;

struct tsm_remap {
    mapping tables[TSM_TABLE_LIMIT];
};

tsm_status
tsm_remap_create(tsm_remap **out)
{
    tsm_remap *remap = calloc(1, sizeof *remap);
    if (remap == NULL) {
        return TSM_E_NOMEM;
    }
    for (unsigned i = 0; i < TSM_TABLE_LIMIT; i++) {
        if (tsm_remap_append(remap, i, 0) != TSM_OK) {
            tsm_remap_destroy(remap);
            return TSM_E_NOMEM;
        }
    }
    *out = remap;
    return TSM_OK;
}

void
tsm_remap_destroy(tsm_remap *remap)
{
    if (remap != NULL) {
        for (unsigned i = 0; i < TSM_TABLE_LIMIT; i++) {
            free(remap->tables[i].ids);
        }
        free(remap);
    }
}

tsm_status
tsm_remap_append(tsm_remap *remap, unsigned table, uint32_t id)
{
    mapping *m = &remap->tables[table];
    if (!tsm_array_reserve(&m->ids, &m->capacity, m->count + 1)) {
        return TSM_E_NOMEM;
    }
    m->ids[m->count++] = id;
    return TSM_OK;
}

uint32_t
tsm_remap_count(const tsm_remap *remap, unsigned table)
{
    return (uint32_t)remap->tables[table].count;
}

const uint32_t *
tsm_remap_borrow(const tsm_remap *remap, unsigned table)
{
    return remap->tables[table].ids;
}

tsm_status
tsm_remap_inherit(tsm_remap *remap, unsigned table, const tsm_remap *from, uint32_t count)
{
    for (uint32_t i = tsm_remap_count(remap, table); i < count; i++) {
        tsm_status status = tsm_remap_append(remap, table, tsm_remap_id(from, table, i));
        if (status != TSM_OK) {
            return status;
        }
    }
    return TSM_OK;
}

uint32_t
tsm_remap_id(const tsm_remap *remap, unsigned table, uint64_t local)
{
    const mapping *m = &remap->tables[table];
    return local < m->count ? m->ids[local] : 0;
}

tsm_status
tsm_remap_row(tsm_remap *remap, tsm_tables *target, unsigned table, const uint64_t *values)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    uint64_t moved[TSM_COLUMNS_MAX];
    uint32_t id;
    if (layout == NULL || layout->text) {
        return TSM_E_ARG;
    }
    for (size_t i = 0; i < layout->column_count; i++) {
        bool is_reference = layout->columns[i].type == TSM_COLUMN_REF;
        moved[i] = is_reference ? tsm_remap_id(remap, layout->columns[i].ref, values[i]) : values[i];
    }
    tsm_status status = tsm_tables_intern(target, table, moved, &id);
    return status == TSM_OK ? tsm_remap_append(remap, table, id) : status;
}

tsm_status
tsm_remap_text(tsm_remap *remap, tsm_tables *target, unsigned table, const void *data, size_t size)
{
    uint32_t id;
    tsm_status status = tsm_tables_intern_text(target, table, data, size, &id);
    return status == TSM_OK ? tsm_remap_append(remap, table, id) : status;
}

/* References go to tables of lower number or to the own table's earlier rows, except that
 * launches refer to metadata; so metadata goes first. */
static const uint8_t order[] = {
    TSM_TABLE_STRINGS,   TSM_TABLE_BLOBS,    TSM_TABLE_METADATA, TSM_TABLE_INFO,     TSM_TABLE_HOSTS,
    TSM_TABLE_PROCESSES, TSM_TABLE_THREADS,  TSM_TABLE_DEVICES,  TSM_TABLE_STREAMS,  TSM_TABLE_FRAMES,
    TSM_TABLE_STACKS,    TSM_TABLE_LAUNCHES, TSM_TABLE_SCHEMAS,  TSM_TABLE_COUNTERS, TSM_TABLE_CLOCKS,
    TSM_TABLE_PRODUCERS, TSM_TABLE_DROPS,
};
_Static_assert(sizeof order == TSM_TABLE_LIMIT - 1, "every table is listed");

tsm_status
tsm_remap_tables(tsm_remap *remap, tsm_tables *target, const tsm_tables *from)
{
    for (size_t i = 0; i < sizeof order; i++) {
        unsigned table = order[i];
        bool text = tsm_table_layout_of(table)->text;
        for (uint32_t row = tsm_remap_count(remap, table); row < tsm_tables_count(from, table); row++) {
            tsm_status status;
            if (text) {
                tsm_text bytes = tsm_tables_borrow_text(from, table, row);
                status = tsm_remap_text(remap, target, table, bytes.data, bytes.size);
            } else {
                status = tsm_remap_row(remap, target, table, tsm_tables_borrow_row(from, table, row));
            }
            if (status != TSM_OK) {
                return status;
            }
        }
    }
    return TSM_OK;
}

unsigned
tsm_extra_table(uint16_t flags)
{
    switch (flags & TSM_EXTRA_MASK) {
    case TSM_EXTRA_LAUNCH:
        return TSM_TABLE_LAUNCHES;
    case TSM_EXTRA_METADATA:
        return TSM_TABLE_METADATA;
    case TSM_EXTRA_COUNTER:
        return TSM_TABLE_COUNTERS;
    default:
        return 0;
    }
}

void
tsm_remap_events(const tsm_remap *remap, tsm_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tsm_event *event = &events[i];
        event->name = tsm_remap_id(remap, TSM_TABLE_STRINGS, event->name);
        event->stack = tsm_remap_id(remap, TSM_TABLE_STACKS, event->stack);
        event->thread = tsm_remap_id(remap, TSM_TABLE_THREADS, event->thread);
        event->stream = tsm_remap_id(remap, TSM_TABLE_STREAMS, event->stream);
        event->device = tsm_remap_id(remap, TSM_TABLE_DEVICES, event->device);
        unsigned extra = tsm_extra_table(event->flags);
        if (extra != 0) { /* else the id stays as it is */
            event->extra = tsm_remap_id(remap, extra, event->extra);
        }
    }
}

/* Parents come before their children, so a damaged chain ends too. */
uint32_t
tsm_schema_strings(const tsm_tables *tables, uint32_t schema)
{
    uint32_t mask = 0;
    while (schema != 0) {
        const uint64_t *row = tsm_tables_borrow_row(tables, TSM_TABLE_SCHEMAS, schema);
        if (row[TSM_SCHEMA_PARENT] == 0 || row[TSM_SCHEMA_PARENT] >= schema) {
            break;
        }
        mask = mask << 1 | (row[TSM_SCHEMA_TYPE] == TSM_COLUMN_REF);
        schema = (uint32_t)row[TSM_SCHEMA_PARENT];
    }
    return mask;
}

void
tsm_remap_extensions(const tsm_remap *remap, const tsm_tables *target, tsm_extension *extensions, size_t count)
{
    uint32_t known = 0, strings = 0;
    for (size_t i = 0; i < count; i++) {
        tsm_extension *extension = &extensions[i];
        extension->schema = tsm_remap_id(remap, TSM_TABLE_SCHEMAS, extension->schema);
        if (extension->schema != known) {
            known = extension->schema;
            strings = tsm_schema_strings(target, known);
        }
        for (unsigned value = 0; value < TSM_EXTENSION_VALUES && strings >> value != 0; value++) {
            if (strings >> value & 1) {
                extension->values[value] = tsm_remap_id(remap, TSM_TABLE_STRINGS, extension->values[value]);
            }
        }
    }
}
