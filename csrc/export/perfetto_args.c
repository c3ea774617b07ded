/* Arguments and arrows. They are encoded before the packet that carries them is begun, because
 * their names and texts may have to be interned first. */
#include "base/array.h"
#include "base/hash.h"
#include "export/perfetto.h"

#define ARGUMENT_MAX  40
#define ARGUMENTS_MAX (PF_PART_BYTES - 1024)

enum { VALUE_UINT, VALUE_INT, VALUE_DOUBLE, VALUE_TEXT, VALUE_POINTER };

/* DebugAnnotation, and ExtraComputeArg, which knows no pointers. */
static const uint8_t slice_fields[] = { 3, 4, 5, 17, 7 }, compute_fields[] = { 4, 3, 5, 7, 4 };

void
pf_begin_args(pf_writer *w, uint32_t field)
{
    w->arguments.size = 0;
    w->argument_field = field;
}

static bool
for_slice(const pf_writer *w)
{
    return w->argument_field == PF_SLICE_ARGS;
}

static void
put(pf_writer *w, uint32_t name, unsigned type, uint64_t value)
{
    if (w->arguments.size > ARGUMENTS_MAX - ARGUMENT_MAX) {
        return;
    }
    uint8_t *to = w->arguments.bytes + w->arguments.size;
    uint8_t *argument = tsm_pb_begin(to, w->argument_field);
    uint8_t *at = tsm_pb_uint(argument, 1, name);
    uint32_t field = (for_slice(w) ? slice_fields : compute_fields)[type];
    at = type == VALUE_DOUBLE ? tsm_pb_fixed64(at, field, value) : tsm_pb_uint(at, field, value);
    w->arguments.size += (size_t)(tsm_pb_end(argument, at) - to);
}

void
pf_put_word(pf_writer *w, unsigned word, uint64_t value)
{
    put(w, pf_word(w, for_slice(w) ? PF_ANNOTATIONS : PF_ARGUMENTS, word), VALUE_UINT, value);
}

static void
put_named(pf_writer *w, uint32_t name, unsigned type, uint64_t value)
{
    uint32_t id = pf_intern(w, for_slice(w) ? PF_ANNOTATIONS : PF_ARGUMENTS, name);
    put(w, id, type, type == VALUE_TEXT ? pf_intern(w, PF_VALUES, (uint32_t)value) : value);
}

/* What an importer keeps of the form that an event had in its file; no argument. */
static bool
is_form(tsm_text key)
{
    static const char prefix[] = "chrome:";
    return key.size >= sizeof prefix - 1 && memcmp(key.data, prefix, sizeof prefix - 1) == 0;
}

/* Rows of a chain go down, so a damaged one ends too. */
void
pf_put_metadata(pf_writer *w, uint64_t metadata)
{
    while (metadata != 0) {
        const uint64_t *row = pf_row(w, TSM_TABLE_METADATA, metadata);
        uint64_t rest = row[TSM_METADATA_REST], key = row[TSM_METADATA_KEY];
        if (!is_form(pf_string(w, key))) {
            put_named(w, (uint32_t)key, VALUE_TEXT, row[TSM_METADATA_VALUE]);
        }
        metadata = rest < metadata ? rest : 0;
    }
}

static bool
is_text(tsm_text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

/* Where the fields are that a schema of this meaning has. */
static void
find_positions(const pf_writer *w, pf_schema *schema, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        schema->positions[i] = TSM_EXTENSION_VALUES;
        for (uint8_t field = 0; field < schema->count; field++) {
            if (is_text(pf_string(w, schema->fields[field].field), names[i])) {
                schema->positions[i] = field;
            }
        }
    }
}

static void
read_schema(const pf_writer *w, pf_schema *schema, uint32_t row)
{
    static const char *const flow[] = { "id", "phase", "category" }, *const allocation[] = { "in_use" };
    pf_field fields[TSM_EXTENSION_VALUES];
    uint8_t count = 0;
    const uint64_t *at = pf_row(w, TSM_TABLE_SCHEMAS, row);
    while (at[TSM_SCHEMA_PARENT] != 0 && at[TSM_SCHEMA_PARENT] < row && count < TSM_EXTENSION_VALUES) {
        fields[count++] = (pf_field){ (uint32_t)at[TSM_SCHEMA_FIELD], (uint8_t)at[TSM_SCHEMA_TYPE] };
        row = (uint32_t)at[TSM_SCHEMA_PARENT];
        at = pf_row(w, TSM_TABLE_SCHEMAS, row);
    }
    tsm_text name = pf_string(w, at[TSM_SCHEMA_FIELD]);
    schema->count = count;
    for (uint8_t i = 0; i < count; i++) {
        schema->fields[i] = fields[count - 1 - i];
    }
    if (is_text(name, "flow")) {
        schema->meaning = PF_SCHEMA_FLOW;
        find_positions(w, schema, flow, 3);
    } else if (is_text(name, "allocation")) {
        schema->meaning = PF_SCHEMA_ALLOCATION;
        find_positions(w, schema, allocation, 1);
    }
}

/* NULL: out of memory. Valid until the next. */
static const pf_schema *
schema_of(pf_writer *w, uint32_t row)
{
    row = pf_known(w, TSM_TABLE_SCHEMAS, row);
    uint32_t known = pf_rows_get(&w->schemas, row);
    if (known == 0) {
        if (!tsm_array_reserve(&w->schema, &w->schema_capacity, w->schema_count + 1)) {
            w->failed = true;
            return NULL;
        }
        w->schema[w->schema_count] = (pf_schema){ 0 };
        read_schema(w, &w->schema[w->schema_count], row);
        known = (uint32_t)++w->schema_count;
        (void)pf_rows_set(w, &w->schemas, row, known);
    }
    return &w->schema[known - 1];
}

/* The i-th extension if it is a record of named values. */
static inline const pf_schema *
extension_schema(pf_writer *w, const pf_item *item, size_t i)
{
    uint32_t known = pf_rows_get(&w->schemas, item->extensions[i].schema);
    if (known != 0 && item->extensions[i].type == TSM_SLOT_EXTENSION) {
        return &w->schema[known - 1];
    }
    return item->extensions[i].type == TSM_SLOT_EXTENSION ? schema_of(w, item->extensions[i].schema) : NULL;
}

static bool
value_at(const tsm_extension *extension, uint8_t position, uint64_t *value)
{
    if (position >= TSM_EXTENSION_VALUES || position >= extension->count) {
        return false;
    }
    *value = extension->values[position];
    return true;
}

static void
put_extension(pf_writer *w, const tsm_extension *extension, const pf_schema *schema)
{
    static const uint8_t types[] = {
        [TSM_COLUMN_U64] = VALUE_UINT,    [TSM_COLUMN_I64] = VALUE_INT,  [TSM_COLUMN_F64] = VALUE_DOUBLE,
        [TSM_COLUMN_HEX] = VALUE_POINTER, [TSM_COLUMN_REF] = VALUE_TEXT,
    };
    for (uint8_t i = 0; i < schema->count && i < extension->count; i++) {
        uint8_t type = schema->fields[i].type;
        put_named(w, schema->fields[i].field, type <= TSM_COLUMN_REF ? types[type] : VALUE_UINT, extension->values[i]);
    }
}

static void
put_value(pf_writer *w, const tsm_event *event)
{
    switch (event->flags & TSM_VALUE_MASK) {
    case TSM_VALUE_BYTES:
        pf_put_word(w, PF_WORD_BYTES, event->value);
        break;
    case TSM_VALUE_ADDRESS:
        put(w, pf_word(w, for_slice(w) ? PF_ANNOTATIONS : PF_ARGUMENTS, PF_WORD_ADDRESS), VALUE_POINTER, event->value);
        break;
    case TSM_VALUE_COUNTER:
        put(w, pf_word(w, for_slice(w) ? PF_ANNOTATIONS : PF_ARGUMENTS, PF_WORD_VALUE), VALUE_DOUBLE, event->value);
        break;
    case TSM_VALUE_INTEGER:
        pf_put_word(w, PF_WORD_VALUE, event->value);
        break;
    default:
        break;
    }
}

static void
put_common(pf_writer *w, const pf_item *item)
{
    const tsm_event *event = item->event;
    put_value(w, event);
    switch (event->flags & TSM_EXTRA_MASK) {
    case TSM_EXTRA_METADATA:
        pf_put_metadata(w, event->extra);
        break;
    case TSM_EXTRA_COMMUNICATOR:
        pf_put_word(w, PF_WORD_COMMUNICATOR, event->extra);
        break;
    case TSM_EXTRA_POOL:
        pf_put_word(w, PF_WORD_POOL, event->extra);
        break;
    default:
        break;
    }
    for (size_t i = 0; i < item->extension_count; i++) {
        const pf_schema *schema = extension_schema(w, item, i);
        if (schema != NULL && schema->meaning != PF_SCHEMA_FLOW) {
            put_extension(w, &item->extensions[i], schema);
        }
    }
    if (event->flags & TSM_FLAG_INFERRED) {
        pf_put_word(w, PF_WORD_INFERRED, 1);
    }
}

void
pf_prepare_annotations(pf_writer *w, const pf_item *item, uint64_t launched)
{
    const tsm_event *event = item->event;
    pf_begin_args(w, PF_SLICE_ARGS);
    if (w->options->lean) {
        return;
    }
    uint32_t device = pf_device_of(w, event);
    if (event->correlation != 0 && event->correlation != launched) {
        pf_put_word(w, PF_WORD_CORRELATION, event->correlation);
    }
    if (device != 0) {
        pf_put_word(w, PF_WORD_DEVICE, pf_row(w, TSM_TABLE_DEVICES, device)[TSM_DEVICE_ORDINAL]);
    }
    if (event->stream != 0) {
        pf_put_word(w, PF_WORD_STREAM, pf_row(w, TSM_TABLE_STREAMS, event->stream)[TSM_STREAM_RAW_ID]);
    }
    put_common(w, item);
}

void
pf_prepare_compute_args(pf_writer *w, const pf_item *item, uint64_t event_id)
{
    pf_begin_args(w, PF_LAUNCH_ARGS);
    if (w->options->lean) {
        return;
    }
    if (item->event->correlation != 0 && item->event->correlation != event_id) {
        pf_put_word(w, PF_WORD_CORRELATION, item->event->correlation);
    }
    if (item->event->flags & TSM_FLAG_GRAPH) {
        pf_put_word(w, PF_WORD_GRAPH, 1);
    }
    put_common(w, item);
}

/* An arrow is known by its category and id; Perfetto knows it by one number. */
void
pf_prepare_flows(pf_writer *w, const pf_item *item)
{
    enum { FLOW = 47, LAST_FLOW = 48 };
    for (size_t i = 0; i < item->extension_count && !w->options->no_flows; i++) {
        const pf_schema *schema = extension_schema(w, item, i);
        const tsm_extension *extension = &item->extensions[i];
        uint64_t id, phase = 's', category = 0;
        if (schema == NULL || schema->meaning != PF_SCHEMA_FLOW || w->flows.size > ARGUMENTS_MAX
            || !value_at(extension, schema->positions[PF_FLOW_ID], &id)) {
            continue;
        }
        (void)value_at(extension, schema->positions[PF_FLOW_PHASE], &phase);
        (void)value_at(extension, schema->positions[PF_FLOW_CATEGORY], &category);
        uint8_t *to = w->flows.bytes + w->flows.size;
        w->flows.size += (size_t)(tsm_pb_fixed64(to, phase == 'f' ? LAST_FLOW : FLOW, tsm_hash_mix(id, category)) - to);
    }
}

bool
pf_in_use(pf_writer *w, const pf_item *item, uint64_t *bytes)
{
    for (size_t i = 0; i < item->extension_count; i++) {
        const pf_schema *schema = extension_schema(w, item, i);
        if (schema != NULL && schema->meaning == PF_SCHEMA_ALLOCATION
            && value_at(&item->extensions[i], schema->positions[PF_ALLOCATION_IN_USE], bytes)) {
            return true;
        }
    }
    return false;
}
