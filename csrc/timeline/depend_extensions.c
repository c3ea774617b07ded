/* Dependencies that ride along with events: partners of a collective, by its sequence, and copies
 * that read where another wrote, by address. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "timeline/depend.h"

/* An operation with what its extension says of it. */
typedef struct {
    uint64_t key;   /* a sequence, or an address */
    uint64_t scope; /* in which it means something: a communicator, or a process */
    uint64_t order; /* in which to look at those of one key: a track, or a begin */
    uint32_t span;
    bool writes;
} item;

typedef struct {
    item *items;
    size_t count, capacity;
} list;

/* Which of a record's values the field of this name is; a schema's chain leads from its last field
 * to its name. TSM_EXTENSION_VALUES: none. */
static unsigned
field_index(const tsm_tables *tables, uint32_t schema, uint32_t field)
{
    unsigned length = 0, found = 0;
    bool there = false;
    const uint64_t *row = tsm_tables_borrow_row(tables, TSM_TABLE_SCHEMAS, schema);
    while (row[TSM_SCHEMA_PARENT] != 0 && row[TSM_SCHEMA_PARENT] < schema && length < TSM_EXTENSION_VALUES) {
        if (row[TSM_SCHEMA_FIELD] == field) {
            there = true;
            found = length;
        }
        length++;
        schema = (uint32_t)row[TSM_SCHEMA_PARENT];
        row = tsm_tables_borrow_row(tables, TSM_TABLE_SCHEMAS, schema);
    }
    return there ? length - 1 - found : TSM_EXTENSION_VALUES;
}

uint64_t
tsm_depend_value(const tsm_depend *d, uint32_t event, uint32_t field)
{
    const tsm_batch *batch = &d->timeline->batch;
    size_t low = 0, count = batch->extension_count;
    while (field != 0 && count > 0) {
        size_t half = count / 2;
        if (batch->extension_rows[low + half] < event) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    for (; field != 0 && low < batch->extension_count && batch->extension_rows[low] == event; low++) {
        const tsm_extension *extension = &batch->extensions[low];
        unsigned index = field_index(d->tables, extension->schema, field);
        if (index < extension->count && index < TSM_EXTENSION_VALUES) {
            return extension->values[index];
        }
    }
    return 0;
}

uint32_t
tsm_depend_field(tsm_depend *d, const char *name)
{
    return tsm_tables_find_text(d->tables, TSM_TABLE_STRINGS, name, strlen(name));
}

static bool
add_item(list *l, item made)
{
    if (!tsm_array_reserve(&l->items, &l->capacity, l->count + 1)) {
        return false;
    }
    l->items[l->count++] = made;
    return true;
}

static int
compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int
compare_items(const void *left, const void *right)
{
    const item *a = left, *b = right;
    int order = compare(a->key, b->key);
    order = order != 0 ? order : compare(a->scope, b->scope);
    order = order != 0 ? order : compare(a->order, b->order);
    order = order != 0 ? order : compare(a->span, b->span);
    return order != 0 ? order : a->writes - b->writes; /* a copy reads before it writes */
}

static bool
same_thing(const item *a, const item *b)
{
    return a->key == b->key && a->scope == b->scope;
}

/* ---- Collectives -------------------------------------------------------------------------------- */

static uint64_t
communicator_of(const tsm_event *event)
{
    return (event->flags & TSM_EXTRA_MASK) == TSM_EXTRA_COMMUNICATOR ? event->extra : 0;
}

static bool
list_collective(const tsm_depend *d, uint32_t span, const uint32_t fields[2], list *l)
{
    const tsm_span *at = &d->timeline->spans[span];
    uint64_t sequence = tsm_depend_value(d, at->event, fields[0]);
    uint64_t scope = communicator_of(&d->timeline->batch.events[at->event]);
    return sequence == 0 || add_item(l, (item){ sequence, scope, at->track, span, false });
}

/* Partners are on streams of their own: a sequence that a stream has twice tells no partners. */
static bool
are_partners(const item *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (items[i - 1].order == items[i].order) {
            return false;
        }
    }
    return true;
}

/* The last to begin holds up all the others. */
static tsm_status
join_partners(tsm_depend *d, const item *items, size_t count)
{
    const tsm_span *spans = d->timeline->spans;
    uint32_t last = items[0].span;
    tsm_status status = TSM_OK;
    for (size_t i = 1; i < count; i++) {
        last = spans[items[i].span].begin_ns > spans[last].begin_ns ? items[i].span : last;
    }
    for (size_t i = 0; status == TSM_OK && i < count; i++) {
        if (items[i].span != last) {
            status = tsm_depend_add(d, TSM_DEPENDENCY_COLLECTIVE, last, items[i].span, TSM_SPAN_NONE,
                                    TSM_PROVENANCE_CAPTURED);
        }
    }
    return status;
}

static tsm_status
join_collectives(tsm_depend *d, const list *l)
{
    tsm_status status = TSM_OK;
    for (size_t i = 0, next; status == TSM_OK && i < l->count; i = next) {
        for (next = i + 1; next < l->count && same_thing(&l->items[next], &l->items[i]); next++) {
        }
        if (are_partners(&l->items[i], next - i)) {
            status = join_partners(d, &l->items[i], next - i);
        }
    }
    return status;
}

/* ---- Copies ------------------------------------------------------------------------------------- */

static bool
list_copy(const tsm_depend *d, uint32_t span, const uint32_t fields[2], list *l)
{
    const tsm_span *at = &d->timeline->spans[span];
    uint64_t process = d->timeline->tracks[at->track].process;
    uint64_t source = tsm_depend_value(d, at->event, fields[0]);
    uint64_t destination = tsm_depend_value(d, at->event, fields[1]);
    return (source == 0 || add_item(l, (item){ source, process, at->begin_ns, span, false }))
           && (destination == 0 || add_item(l, (item){ destination, process, at->begin_ns, span, true }));
}

/* From the latest copy to an address to those that read there, if it had ended: else there was no
 * order between them. */
static tsm_status
join_copies(tsm_depend *d, const list *l)
{
    const tsm_span *spans = d->timeline->spans;
    uint32_t writer = TSM_SPAN_NONE;
    tsm_status status = TSM_OK;
    for (size_t i = 0; status == TSM_OK && i < l->count; i++) {
        const item *at = &l->items[i];
        if (i == 0 || !same_thing(&l->items[i - 1], at)) {
            writer = TSM_SPAN_NONE;
        }
        if (at->writes) {
            writer = at->span;
        } else if (writer != TSM_SPAN_NONE && spans[writer].end_ns <= spans[at->span].begin_ns) {
            status = tsm_depend_add(d, TSM_DEPENDENCY_MEMORY, writer, at->span, TSM_SPAN_NONE, TSM_PROVENANCE_CAPTURED);
        }
    }
    return status;
}

/* ---- Both --------------------------------------------------------------------------------------- */

typedef bool lister(const tsm_depend *depend, uint32_t span, const uint32_t fields[2], list *l);

static bool
list_all(const tsm_depend *d, tsm_span_class class, lister *add, const uint32_t fields[2], list *l)
{
    const tsm_timeline *t = d->timeline;
    for (size_t k = 0; k < t->stream_tracks; k++) {
        for (uint32_t i = t->tracks[k].first; i < t->tracks[k].first + t->tracks[k].count; i++) {
            if (tsm_span_class_of(t->spans[i].type) == class && !add(d, i, fields, l)) {
                return false;
            }
        }
    }
    return true;
}

static tsm_status
join_listed(tsm_depend *d, tsm_span_class class, lister *add, const uint32_t fields[2],
            tsm_status (*join)(tsm_depend *, const list *))
{
    list l = { 0 };
    tsm_status status = list_all(d, class, add, fields, &l) ? TSM_OK : TSM_E_NOMEM;
    if (status == TSM_OK && l.count > 1) {
        qsort(l.items, l.count, sizeof *l.items, compare_items);
        status = join(d, &l);
    }
    free(l.items);
    return status;
}

tsm_status
tsm_depend_extensions(tsm_depend *d)
{
    const uint32_t collective[2] = { tsm_depend_field(d, "sequence"), 0 };
    const uint32_t copy[2] = { tsm_depend_field(d, "source"), tsm_depend_field(d, "destination") };
    tsm_status status = TSM_OK;
    if (d->timeline->batch.extension_count > 0 && collective[0] != 0) {
        status = join_listed(d, TSM_CLASS_COMMUNICATION, list_collective, collective, join_collectives);
    }
    if (status == TSM_OK && d->timeline->batch.extension_count > 0 && copy[0] != 0 && copy[1] != 0) {
        status = join_listed(d, TSM_CLASS_COPY, list_copy, copy, join_copies);
    }
    return status;
}
