/* Rows whose sections are lost together with their headers. Where a later section of the table
 * follows, it tells how many there were. Elsewhere what is left of the file tells: an id that
 * something refers to must not be given out a second time, and what nothing refers to is no loss. */
#include <stdlib.h>

#include "sbt/layout.h"

typedef struct {
    const sbt_chain *chain;
    sbt_source *source;
    uint64_t largest[TSM_TABLE_LIMIT]; /* id of that table met so far */
} survey;

static void
meet(survey *s, unsigned table, uint64_t id)
{
    if (id > s->largest[table]) {
        s->largest[table] = id;
    }
}

static void
meet_rows(survey *s, unsigned table)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    if (layout == NULL || layout->text) {
        return;
    }
    for (uint32_t row = 1; row < tsm_tables_count(s->chain->tables, table); row++) {
        const uint64_t *values = tsm_tables_borrow_row(s->chain->tables, table, row);
        for (size_t i = 0; i < layout->column_count; i++) {
            if (layout->columns[i].type == TSM_COLUMN_REF) {
                meet(s, layout->columns[i].ref, values[i]);
            }
        }
    }
}

static void
meet_events(survey *s, const tsm_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        meet(s, TSM_TABLE_STRINGS, events[i].name);
        meet(s, TSM_TABLE_STACKS, events[i].stack);
        meet(s, TSM_TABLE_THREADS, events[i].thread);
        meet(s, TSM_TABLE_STREAMS, events[i].stream);
        meet(s, TSM_TABLE_DEVICES, events[i].device);
        unsigned extra = tsm_extra_table(events[i].flags);
        if (extra != 0) {
            meet(s, extra, events[i].extra);
        }
    }
}

/* Which values are strings is not known of a schema that is lost itself; but then nobody can read
 * them as strings. */
static void
meet_extensions(survey *s, const tsm_extension *extensions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        meet(s, TSM_TABLE_SCHEMAS, extensions[i].schema);
        uint32_t strings = tsm_schema_strings(s->chain->tables, extensions[i].schema);
        for (unsigned value = 0; value < TSM_EXTENSION_VALUES; value++) {
            if (strings >> value & 1) {
                meet(s, TSM_TABLE_STRINGS, extensions[i].values[value]);
            }
        }
    }
}

/* A block that cannot be decoded refers to nothing, for nobody will ever read it. */
static tsm_status
meet_block(survey *s, const sbt_entry *entry)
{
    sbt_section section;
    sbt_block block;
    const uint8_t *payload =
        sbt_section_at(s->source, entry->offset, &section) ? sbt_section_payload(s->source, &section) : NULL;
    if (payload == NULL || sbt_block_parse(&block, payload, section.payload_bytes, section.offset, NULL) != TSM_OK) {
        return TSM_OK;
    }
    tsm_event *events = malloc((block.head.count + (size_t)1) * sizeof *events);
    tsm_extension *extensions = malloc((block.head.extension_count + (size_t)1) * sizeof *extensions);
    uint32_t *rows = malloc((block.head.extension_count + (size_t)1) * sizeof *rows);
    bool room = events != NULL && extensions != NULL && rows != NULL;
    if (room && sbt_block_rows(&block, 0, block.head.count, events, NULL) == TSM_OK) {
        meet_events(s, events, block.head.count);
    }
    if (room && sbt_block_extensions(&block, extensions, rows, NULL) == TSM_OK) {
        meet_extensions(s, extensions, block.head.extension_count);
    }
    free(events);
    free(extensions);
    free(rows);
    return room ? TSM_OK : TSM_E_NOMEM;
}

static tsm_status
meet_all(survey *s)
{
    const sbt_chain *chain = s->chain;
    bool lost = false;
    for (unsigned table = 0; table < TSM_TABLE_LIMIT; table++) {
        meet_rows(s, table);
    }
    for (size_t i = 0; i < chain->position_count; i++) {
        meet(s, TSM_TABLE_PRODUCERS, chain->positions[i].producer);
    }
    for (size_t i = 0; i < chain->entry_count; i++) {
        lost |= chain->entries[i].kind == SBT_KIND_LOST;
        tsm_status status =
            lost && chain->entries[i].kind == SBT_KIND_BLOCK ? meet_block(s, &chain->entries[i]) : TSM_OK;
        if (status != TSM_OK) {
            return status;
        }
    }
    return TSM_OK;
}

tsm_status
sbt_chain_restore_rows(sbt_chain *chain, sbt_source *source, tsm_error *err)
{
    survey s = { .chain = chain, .source = source };
    if (chain->lost_bytes == 0) {
        return TSM_OK;
    }
    tsm_status status = meet_all(&s);
    for (unsigned table = 0; table < TSM_TABLE_LIMIT && status == TSM_OK; table++) {
        uint64_t have = tsm_tables_count(chain->tables, table);
        if (have == 0 || s.largest[table] < have) {
            continue;
        }
        /* More than the lost sections can have held were never there. */
        uint64_t missing = s.largest[table] - have + 1;
        if (missing <= chain->lost_bytes && s.largest[table] < UINT32_MAX) {
            chain->lost_bytes -= missing;
            status = sbt_table_add_lost(chain->tables, table, (uint32_t)missing);
        }
    }
    return status == TSM_OK ? TSM_OK : tsm_fail(err, status, 0, "no memory to count the rows of lost sections");
}
