/* Where arguments go: into the event's own fields, which chrome:fields notes; numbers into
 * extensions; everything else into a metadata set. Sets repeat, so they are rows of a table, and
 * only what does not repeat costs bytes in the event. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/chrome.h"

#define BIT(code) (1u << (code))

typedef struct {
    chrome_importer *im;
    const chrome_event *event;
    tsm_event *made;
    uint32_t category, track;
    uint32_t mask; /* of arguments that fields tell */
    const json_value *found[ARGUMENT_LIMIT];
    uint64_t launch[TSM_COLUMNS_MAX];
    tsm_extension extension;
    uint32_t schema; /* the root */
} keeper;

static const int64_t *
integer(const keeper *k, chrome_argument code)
{
    const json_value *value = k->found[code];
    return value != NULL && value->kind == JSON_INTEGER ? &value->integer : NULL;
}

static bool
is_kernel(const keeper *k)
{
    return k->made->type == TSM_EVENT_KERNEL_LAUNCH || k->made->type == TSM_EVENT_COMMUNICATION;
}

uint32_t
chrome_schema_of(chrome_importer *im, uint32_t category)
{
    chrome_word *word = &im->categories.words[category];
    if (word->schema == 0) {
        uint32_t name = chrome_prefixed(im, word->data, word->size);
        word->schema = chrome_schema_field(im, 0, name, 0);
    }
    return word->schema;
}

static void
look_for_known(keeper *k)
{
    for (size_t i = 0; i < k->event->args.count; i++) {
        const chrome_arg *arg = &k->event->args.items[i];
        k->found[k->im->arguments.words[arg->key].code] = &arg->value;
    }
}

/* ---- Fields ---------------------------------------------------------------------------------- */

static void
take_correlation(keeper *k)
{
    const int64_t *correlation = integer(k, ARGUMENT_CORRELATION);
    if (correlation != NULL && *correlation >= 0) {
        k->made->correlation = (uint64_t)*correlation;
        k->mask |= BIT(ARGUMENT_CORRELATION);
    }
}

static void
take_stream(keeper *k)
{
    chrome_track *track = &k->im->tracks[k->track];
    const chrome_process *process = &k->im->processes[track->process];
    const int64_t *device = integer(k, ARGUMENT_DEVICE), *stream = integer(k, ARGUMENT_STREAM);
    const int64_t *context = integer(k, ARGUMENT_CONTEXT);
    if (device != NULL && process->id.text == 0 && *device == process->id.number) {
        k->mask |= BIT(ARGUMENT_DEVICE);
    }
    if (stream != NULL && *stream == track->tid.number) {
        k->mask |= BIT(ARGUMENT_STREAM);
    }
    if (context != NULL && !track->has_context && track->stream_row == 0) {
        track->has_context = true;
        track->context = (uint64_t)*context;
    }
    if (context != NULL && track->has_context && track->context == (uint64_t)*context) {
        k->mask |= BIT(ARGUMENT_CONTEXT);
    }
}

/* A list of three numbers. */
static bool
three(const json_value *value, uint64_t *to)
{
    uint64_t numbers[3];
    json_cursor c;
    if (value == NULL || value->kind != JSON_LIST) {
        return false;
    }
    c = (json_cursor){ .at = value->text.data + 1, .end = value->text.data + value->text.size };
    for (unsigned i = 0; i < 3; i++) {
        json_value number;
        if (!json_read(&c, &number) || number.kind != JSON_INTEGER || number.integer < 0
            || !json_take(&c, i < 2 ? ',' : ']')) {
            return false;
        }
        numbers[i] = (uint64_t)number.integer;
    }
    memcpy(to, numbers, sizeof numbers);
    return true;
}

static void
take_launch(keeper *k)
{
    const int64_t *shared = integer(k, ARGUMENT_SHARED), *registers = integer(k, ARGUMENT_REGISTERS);
    if (three(k->found[ARGUMENT_GRID], &k->launch[TSM_LAUNCH_GRID_X])) {
        k->mask |= BIT(ARGUMENT_GRID);
    }
    if (three(k->found[ARGUMENT_BLOCK], &k->launch[TSM_LAUNCH_BLOCK_X])) {
        k->mask |= BIT(ARGUMENT_BLOCK);
    }
    if (shared != NULL && *shared >= 0) {
        k->launch[TSM_LAUNCH_SHARED_DYNAMIC] = (uint64_t)*shared;
        k->mask |= BIT(ARGUMENT_SHARED);
    }
    if (registers != NULL && *registers >= 0) {
        k->launch[TSM_LAUNCH_REGISTERS] = (uint64_t)*registers;
        k->mask |= BIT(ARGUMENT_REGISTERS);
    }
    const int64_t *graph = integer(k, ARGUMENT_GRAPH);
    if (graph != NULL && *graph != 0) {
        k->made->flags |= TSM_FLAG_GRAPH;
    }
}

/* Is this number what a reader will print for bytes / duration? */
static bool
is_bandwidth(const json_value *value, uint64_t bytes, uint64_t duration)
{
    char text[40];
    double rate = (double)bytes / (double)duration;
    if (duration == 0) {
        return false;
    }
    if (value->kind == JSON_INTEGER) {
        return value->integer >= 0 && (double)value->integer == rate && rate < 1e15;
    }
    int size = snprintf(text, sizeof text, "%.17g", rate);
    return value->kind == JSON_NUMBER && size > 0 && memchr(text, '.', (size_t)size) != NULL
           && json_double(&value->text) == rate;
}

static void
take_bytes(keeper *k)
{
    const int64_t *bytes = integer(k, ARGUMENT_BYTES);
    const json_value *rate = k->found[ARGUMENT_BANDWIDTH];
    if (bytes == NULL || *bytes < 0) {
        return;
    }
    k->made->value = (uint64_t)*bytes;
    k->made->flags |= TSM_VALUE_BYTES;
    k->mask |= BIT(ARGUMENT_BYTES);
    if (rate != NULL && is_bandwidth(rate, k->made->value, k->made->duration)) {
        k->mask |= BIT(ARGUMENT_BANDWIDTH);
    }
}

static void
add_allocation(keeper *k, const int64_t *address, const int64_t *in_use)
{
    chrome_importer *im = k->im;
    tsm_extension extension = { .type = TSM_SLOT_EXTENSION, .count = 1 };
    uint32_t schema = chrome_schema_field(im, 0, chrome_string(im, "allocation", 10), 0);
    schema = chrome_schema_field(im, schema, chrome_string(im, "address", 7), TSM_COLUMN_HEX);
    extension.values[0] = (uint64_t)*address;
    k->mask |= BIT(ARGUMENT_ADDRESS);
    if (in_use != NULL && *in_use >= 0) {
        schema = chrome_schema_field(im, schema, chrome_string(im, "in_use", 6), TSM_COLUMN_U64);
        extension.values[extension.count++] = (uint64_t)*in_use;
        k->mask |= BIT(ARGUMENT_IN_USE);
    }
    extension.schema = schema;
    chrome_add_extension(im, &extension, (uint32_t)im->event_count);
}

static void
take_memory(keeper *k)
{
    const int64_t *delta = integer(k, ARGUMENT_DELTA), *address = integer(k, ARGUMENT_ADDRESS);
    const int64_t *device = integer(k, ARGUMENT_DEVICE_ID), *kind = integer(k, ARGUMENT_DEVICE_TYPE);
    if (delta != NULL) {
        k->made->type = *delta < 0 ? TSM_EVENT_MEM_FREE : TSM_EVENT_MEM_ALLOC;
        k->made->value = *delta < 0 ? (uint64_t) - *delta : (uint64_t)*delta;
        k->made->flags |= TSM_VALUE_BYTES;
        k->mask |= BIT(ARGUMENT_DELTA);
    }
    if (device != NULL && *device >= 0 && *device < UINT16_MAX && kind != NULL && *kind != 0) {
        k->made->device = (uint32_t)*device + 1;
    }
    if (address != NULL) {
        add_allocation(k, address, integer(k, ARGUMENT_IN_USE));
    }
}

static uint64_t
element_bytes(const json_value *type)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } types[] = {
        { "Float", 4 }, { "BFloat16", 2 }, { "Half", 2 },          { "Double", 8 },
        { "Int", 4 },   { "Long", 8 },     { "Byte", 1 },          { "Char", 1 },
        { "Short", 2 }, { "Bool", 1 },     { "Float8_e4m3fn", 1 }, { "Float8_e5m2", 1 },
    };
    for (size_t i = 0; type != NULL && type->kind == JSON_STRING && i < sizeof types / sizeof *types; i++) {
        if (strlen(types[i].name) == type->text.size && memcmp(types[i].name, type->text.data, type->text.size) == 0) {
            return types[i].bytes;
        }
    }
    return 0;
}

/* Sizes as nccl-tests counts them: the larger of what goes in and what comes out. */
static void
add_collective(keeper *k)
{
    chrome_importer *im = k->im;
    const int64_t *ranks = integer(k, ARGUMENT_GROUP_SIZE), *sequence = integer(k, ARGUMENT_SEQUENCE);
    const int64_t *in = integer(k, ARGUMENT_ELEMENTS_IN), *out = integer(k, ARGUMENT_ELEMENTS_OUT);
    uint64_t bytes = element_bytes(k->found[ARGUMENT_ELEMENT_TYPE]);
    int64_t elements = in == NULL || out == NULL ? -1 : *in > *out ? *in : *out;
    if (ranks == NULL || elements < 0 || bytes == 0 || (uint64_t)elements > UINT64_MAX / 16) {
        return;
    }
    tsm_extension extension = { .type = TSM_SLOT_EXTENSION, .count = 3 };
    uint32_t schema = chrome_schema_field(im, 0, chrome_string(im, "collective", 10), 0);
    schema = chrome_schema_field(im, schema, chrome_string(im, "sequence", 8), TSM_COLUMN_U64);
    schema = chrome_schema_field(im, schema, chrome_string(im, "bytes", 5), TSM_COLUMN_U64);
    extension.schema = chrome_schema_field(im, schema, chrome_string(im, "ranks", 5), TSM_COLUMN_U64);
    extension.values[0] = sequence == NULL ? 0 : (uint64_t)*sequence;
    extension.values[1] = (uint64_t)elements * bytes;
    extension.values[2] = (uint64_t)*ranks;
    chrome_add_extension(im, &extension, (uint32_t)im->event_count);
}

static void
take_wait(keeper *k)
{
    const int64_t *event = integer(k, ARGUMENT_WAIT_EVENT);
    if (event != NULL && *event >= 0) {
        k->made->value = (uint64_t)*event;
        k->made->flags |= TSM_VALUE_INTEGER;
        k->mask |= BIT(ARGUMENT_WAIT_EVENT);
    }
}

static void
take_fields(keeper *k)
{
    chrome_category category = k->im->categories.words[k->category].code;
    bool complete = k->event->phase == 'X';
    take_correlation(k);
    if (k->made->stream != 0) {
        take_stream(k);
    }
    if (complete && category == CATEGORY_KERNEL) {
        take_launch(k);
    } else if (complete && (category == CATEGORY_COPY || category == CATEGORY_SET)) {
        take_bytes(k);
    } else if (complete && category == CATEGORY_SYNC) {
        take_wait(k);
    } else if (k->made->type == TSM_EVENT_MEM_ALLOC && k->event->phase != 'X') {
        take_memory(k);
    }
    if (k->made->type == TSM_EVENT_COMMUNICATION) {
        add_collective(k);
    }
}

/* ---- Extensions ------------------------------------------------------------------------------ */

static void
put_extension(keeper *k)
{
    k->extension.type = TSM_SLOT_EXTENSION;
    chrome_add_extension(k->im, &k->extension, (uint32_t)k->im->event_count);
    k->extension = (tsm_extension){ .schema = k->schema };
}

static void
put_number(keeper *k, chrome_word *field, uint16_t type, uint64_t value)
{
    if (k->extension.count == TSM_EXTENSION_VALUES) {
        put_extension(k);
    }
    if (field->parent != k->extension.schema || field->type != type) {
        field->child = chrome_schema_field(k->im, k->extension.schema, field->row, type);
        field->parent = k->extension.schema;
        field->type = type;
    }
    k->extension.schema = field->child;
    k->extension.values[k->extension.count++] = value;
}

/* ---- Metadata -------------------------------------------------------------------------------- */

/* Written as JSON: names out of our own list, which need no escapes. */
static uint32_t
fields_value(chrome_importer *im, uint32_t mask)
{
    char text[512];
    size_t used = 0;
    for (unsigned code = 1; code < ARGUMENT_FIELDS; code++) {
        if (mask & BIT(code)) {
            int more = snprintf(text + used, sizeof text - used, "%s\"%s\"", used == 0 ? "[" : ",",
                                chrome_argument_text(code));
            used += more > 0 ? (size_t)more : 0;
        }
    }
    text[used] = ']';
    return chrome_string(im, text, used + 1);
}

static uint32_t
make_base(chrome_importer *im, uint32_t mask, const json_value *phase)
{
    uint32_t row = 0;
    if (mask != 0) {
        row = chrome_metadata(im, row, chrome_prefixed(im, "fields", 6), fields_value(im, mask));
    }
    if (phase != NULL) {
        row = chrome_metadata(im, row, chrome_prefixed(im, "ph", 2), chrome_metadata_value(im, phase));
    }
    return row;
}

/* Where every set begins: what fields tell, and the phase where the type does not. There are few. */
static uint32_t
base_of(keeper *k)
{
    chrome_importer *im = k->im;
    char phase = k->event->phase;
    bool told = phase == 'X' || phase == 'B' || phase == 'E';
    if (told) {
        phase = 'X';
    }
    for (uint32_t i = 0; phase != 0 && i < im->base_count; i++) {
        if (im->bases[i].mask == k->mask && im->bases[i].phase == (uint32_t)phase) {
            return im->bases[i].row;
        }
    }
    uint32_t row = make_base(im, k->mask, told ? NULL : &k->event->phase_value);
    if (phase != 0) {
        uint32_t at = im->base_count < sizeof im->bases / sizeof *im->bases ? im->base_count++ : im->base_count - 1;
        im->bases[at].mask = k->mask;
        im->bases[at].phase = (uint32_t)phase;
        im->bases[at].row = row;
    }
    return row;
}

static uint32_t
add_member(chrome_importer *im, uint32_t rest, const char *name, const json_value *value)
{
    return chrome_metadata(im, rest, chrome_prefixed(im, name, strlen(name)), chrome_metadata_value(im, value));
}

/* The event's members that are not arguments and not among its fields. */
static uint32_t
add_members(keeper *k, uint32_t row)
{
    static const json_value absent = { .kind = JSON_WORD, .text = { "null", 4, false } };
    const chrome_event *event = k->event;
    bool has_duration = (event->has & HAS_DURATION) != 0;
    int64_t duration = 0;
    if (event->phase == 'X' ? !has_duration : false) {
        row = add_member(k->im, row, "dur", &absent);
    } else if (has_duration
               && (event->phase != 'X' || !json_thousandths(&event->duration, &duration) || duration < 0)) {
        row = add_member(k->im, row, "dur", &event->duration);
    }
    if (event->has & HAS_ID) {
        row = add_member(k->im, row, "id", &event->id);
    }
    if (event->has & HAS_BIND) {
        row = add_member(k->im, row, "bp", &event->bind);
    }
    for (size_t i = 0; i < event->members.count; i++) {
        const chrome_arg *member = &event->members.items[i];
        const chrome_word *word = &k->im->arguments.words[member->key];
        uint32_t key = chrome_prefixed(k->im, word->data, word->size);
        row = chrome_metadata(k->im, row, key, chrome_metadata_value(k->im, &member->value));
    }
    return row;
}

/* ---- Arguments ------------------------------------------------------------------------------- */

/* An integer that no 64 bits hold is no double either. */
static bool
is_whole(const json_text *number)
{
    for (size_t i = 0; i < number->size; i++) {
        if ((number->data[i] < '0' || number->data[i] > '9') && number->data[i] != '-') {
            return false;
        }
    }
    return true;
}

/* Numbers that a kernel's shape determines repeat with it. */
static bool
repeats(const keeper *k, chrome_argument code, const json_value *value)
{
    return is_kernel(k)
           && (code == ARGUMENT_CONSTANT
               || (code == ARGUMENT_QUEUED && value->kind == JSON_INTEGER && value->integer == 0));
}

static uint32_t
keep_arg(keeper *k, const chrome_arg *arg, uint32_t row)
{
    chrome_word *word = &k->im->arguments.words[arg->key];
    const json_value *value = &arg->value;
    if (word->code != ARGUMENT_OTHER && word->code < ARGUMENT_FIELDS && k->mask & BIT(word->code)) {
        return row;
    }
    bool number = (value->kind == JSON_INTEGER || (value->kind == JSON_NUMBER && !is_whole(&value->text)))
                  && !repeats(k, word->code, value) && word->row != 0; /* a field must have a name */
    if (!number) {
        return chrome_metadata(k->im, row, word->row, chrome_metadata_value(k->im, value));
    }
    uint64_t bits = (uint64_t)value->integer;
    if (value->kind == JSON_NUMBER) {
        double real = json_double(&value->text);
        memcpy(&bits, &real, sizeof bits);
    }
    put_number(k, word, value->kind == JSON_NUMBER ? TSM_COLUMN_F64 : TSM_COLUMN_I64, bits);
    return row;
}

static void
set_extra(keeper *k, uint32_t metadata)
{
    const uint32_t launch = BIT(ARGUMENT_GRID) | BIT(ARGUMENT_BLOCK) | BIT(ARGUMENT_SHARED) | BIT(ARGUMENT_REGISTERS);
    k->made->extra = metadata;
    if (k->mask & launch) {
        k->launch[TSM_LAUNCH_METADATA] = metadata;
        k->made->flags |= TSM_EXTRA_LAUNCH;
        chrome_note(k->im, tsm_tables_intern(k->im->tables, TSM_TABLE_LAUNCHES, k->launch, &k->made->extra));
    } else if (metadata != 0) {
        k->made->flags |= TSM_EXTRA_METADATA;
    }
}

void
chrome_args_keep(chrome_importer *im, const chrome_event *event, uint32_t category, uint32_t track, tsm_event *made)
{
    keeper k = { .im = im, .event = event, .made = made, .category = category, .track = track };
    k.schema = k.extension.schema = chrome_schema_of(im, category);
    look_for_known(&k);
    take_fields(&k);
    uint32_t row = add_members(&k, base_of(&k));
    for (size_t i = 0; i < event->args.count; i++) {
        row = keep_arg(&k, &event->args.items[i], row);
    }
    put_extension(&k);
    set_extra(&k, row);
}
