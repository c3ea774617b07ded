/* The arguments of an event: those that lie in its fields, those of its extension records, those
 * of its metadata set. */
#include "export/torch.h"

static void
separate(torch *c, torch_item *item)
{
    if (item->first) {
        tsm_pen_say(&c->pen, ",\"args\":{");
        item->first = false;
    } else {
        tsm_pen_say(&c->pen, ",");
    }
}

static bool
wants(const torch_item *item, uint32_t key)
{
    return (item->wanted & key) != 0;
}

static void
put_u64(torch *c, uint64_t value)
{
    c->pen.at = tsm_print_u64(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), value);
}

static void
put_i64(torch *c, int64_t value)
{
    c->pen.at = tsm_print_i64(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), value);
}

#define put_number(c, item, key, literal, value)        \
    do {                                                \
        if (wants(item, key)) {                         \
            separate(c, item);                          \
            tsm_pen_say(&(c)->pen, "\"" literal "\":"); \
            put_i64(c, value);                          \
        }                                               \
    } while (0)

/* ---- From fields */

enum {
    LAUNCH_KEYS = TORCH_KEY_REGISTERS | TORCH_KEY_SHARED | TORCH_KEY_GRID | TORCH_KEY_BLOCK | TORCH_KEY_BLOCKS_PER_SM,
    STREAM_KEYS = TORCH_KEY_DEVICE | TORCH_KEY_CONTEXT | TORCH_KEY_STREAM,
};

/* Mostly all that is known is wanted, and then it is rendered already. */
static void
put_stream(torch *c, torch_item *item)
{
    const torch_stream *stream = torch_stream_of(c, item->event->stream);
    if ((item->wanted & STREAM_KEYS) == stream->told) {
        separate(c, item);
        torch_put(c, stream->args);
        return;
    }
    const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_STREAMS, item->event->stream);
    const uint64_t *device = tsm_tables_borrow_row(c->tables, TSM_TABLE_DEVICES, (uint32_t)values[TSM_STREAM_DEVICE]);
    put_number(c, item, TORCH_KEY_DEVICE, "device", (int64_t)device[TSM_DEVICE_ORDINAL]);
    put_number(c, item, TORCH_KEY_CONTEXT, "context", (int64_t)values[TSM_STREAM_CONTEXT]);
    put_number(c, item, TORCH_KEY_STREAM, "stream", (int64_t)values[TSM_STREAM_RAW_ID]);
}

static void
put_correlation(torch *c, torch_item *item)
{
    const int64_t correlation = (int64_t)item->event->correlation;
    put_number(c, item, TORCH_KEY_EXTERNAL_ID, "External id", correlation);
    put_number(c, item, TORCH_KEY_EXTERNAL_ID_2021, "external id", correlation);
    put_number(c, item, TORCH_KEY_CORRELATION, "correlation", correlation);
}

/* An integer where it is whole: torch.profiler writes it so. */
static void
put_ratio(torch *c, uint64_t bytes, uint64_t ns)
{
    char *begin = tsm_pen_room(&c->pen, TSM_NUMBER_CHARS);
    char *end = tsm_print_double(begin, (double)bytes / (double)ns);
    const bool whole = end - begin > 2 && memcmp(end - 2, ".0", 2) == 0;
    c->pen.at = whole ? end - 2 : end;
}

/* Bytes in a nanosecond are gigabytes in a second. Of our own, three decimals will do. */
static void
put_bandwidth(torch *c, torch_item *item)
{
    const tsm_event *event = item->event;
    separate(c, item);
    tsm_pen_say(&c->pen, "\"memory bandwidth (GB/s)\":");
    if (item->foreign != NULL || event->value >= UINT64_MAX / 1000) {
        put_ratio(c, event->value, event->duration);
    } else {
        const uint64_t thousandths = event->value * 1000 / event->duration;
        c->pen.at = tsm_print_us(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), thousandths);
    }
}

static void
put_value(torch *c, torch_item *item)
{
    const tsm_event *event = item->event;
    const int64_t value = (int64_t)event->value;
    const int64_t delta = event->type == TSM_EVENT_MEM_FREE ? (int64_t)(0 - event->value) : value;
    put_number(c, item, TORCH_KEY_BYTES, "bytes", value);
    if (wants(item, TORCH_KEY_BANDWIDTH) && event->duration > 0) {
        put_bandwidth(c, item);
    }
    put_number(c, item, TORCH_KEY_DELTA, "Bytes", delta);
    put_number(c, item, TORCH_KEY_WAIT_EVENT, "wait_on_cuda_event_id", value);
}

static void
put_device(torch *c, torch_item *item)
{
    enum { CUDA = 1 };
    const uint64_t *device = tsm_tables_borrow_row(c->tables, TSM_TABLE_DEVICES, item->event->device);
    put_number(c, item, TORCH_KEY_DEVICE_ID, "Device Id", (int64_t)device[TSM_DEVICE_ORDINAL]);
    put_number(c, item, TORCH_KEY_DEVICE_TYPE, "Device Type", CUDA);
}

static void
put_launch(torch *c, torch_item *item)
{
    const bool reckoned = wants(item, TORCH_KEY_BLOCKS_PER_SM);
    const torch_shape shape = reckoned ? torch_stream_of(c, item->event->stream)->shape : (torch_shape){ 0 };
    const tsm_text text = torch_launch_text(c, item->event->extra, item->wanted & LAUNCH_KEYS, shape);
    if (text.size > 0) {
        separate(c, item);
        tsm_pen_put(&c->pen, text.data, text.size);
    }
}

/* ---- From extension records */

static void
put_hex(torch *c, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    char text[20];
    char *at = text + sizeof text;
    *--at = '"';
    do {
        *--at = digits[value & 15];
        value >>= 4;
    } while (value != 0);
    *--at = 'x';
    *--at = '0';
    tsm_pen_say(&c->pen, "\"");
    tsm_pen_put(&c->pen, at, (size_t)(text + sizeof text - at));
}

static void
put_field(torch *c, uint8_t type, uint64_t bits)
{
    double number;
    switch (type) {
    case TSM_COLUMN_I64:
        put_i64(c, (int64_t)bits);
        break;
    case TSM_COLUMN_F64:
        memcpy(&number, &bits, sizeof number);
        c->pen.at = tsm_print_double(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), number);
        break;
    case TSM_COLUMN_HEX:
        put_hex(c, bits);
        break;
    case TSM_COLUMN_REF:
        torch_put(c, torch_string(c, (uint32_t)bits));
        break;
    default:
        put_u64(c, bits);
    }
}

/* Of an imported event's records only those speak that hold its arguments; what we concluded
 * from them does not. */
static bool
speaks(const torch_item *item, const torch_schema *schema)
{
    return item->foreign == NULL ? schema->kind != TORCH_SCHEMA_FLOW : schema->kind == TORCH_SCHEMA_FOREIGN;
}

static void
put_extension(torch *c, torch_item *item, const tsm_extension *extension)
{
    const torch_schema *schema = torch_schema_of(c, extension->schema);
    const unsigned count = extension->count < schema->count ? extension->count : schema->count;
    if (item->foreign != NULL && schema->kind == TORCH_SCHEMA_ALLOCATION) {
        put_number(c, item, TORCH_KEY_ADDRESS, "Addr", (int64_t)extension->values[0]);
        put_number(c, item, TORCH_KEY_IN_USE, "Total Allocated", (int64_t)extension->values[1]);
    }
    for (unsigned i = 0; speaks(item, schema) && i < count; i++) {
        separate(c, item);
        torch_put(c, schema->keys[i]);
        put_field(c, schema->types[i], extension->values[i]);
    }
}

static void
put_rest(torch *c, torch_item *item)
{
    for (size_t i = 0; i < item->extension_count; i++) {
        put_extension(c, item, &item->extensions[i]);
    }
    if (item->set->args.size > 1) {
        separate(c, item);
        torch_put(c, item->set->args);
    }
    if (wants(item, TORCH_KEY_STACK)) {
        separate(c, item);
        tsm_pen_say(&c->pen, "\"Call stack\":");
        torch_put(c, torch_stack(c, item->event->stack));
    }
}

/* ---- Which of them */

static uint32_t
wanted_for_value(const tsm_event *event)
{
    const unsigned kind = event->flags & TSM_VALUE_MASK;
    if (kind == TSM_VALUE_INTEGER) {
        const bool waits = event->type == TSM_EVENT_EVENT_WAIT || event->type == TSM_EVENT_EVENT_SYNC
                           || event->type == TSM_EVENT_EVENT_RECORD || event->type == TSM_EVENT_STREAM_SYNC;
        return waits ? TORCH_KEY_WAIT_EVENT : 0;
    }
    if (kind != TSM_VALUE_BYTES) {
        return 0;
    }
    if (event->type != TSM_EVENT_MEM_ALLOC && event->type != TSM_EVENT_MEM_FREE) {
        return TORCH_KEY_BYTES | TORCH_KEY_BANDWIDTH;
    }
    return TORCH_KEY_DELTA | (event->device != 0 ? TORCH_KEY_DEVICE_ID | TORCH_KEY_DEVICE_TYPE : 0);
}

/* All that the event's fields hold. */
static uint32_t
wanted_of_own(torch *c, const tsm_event *event)
{
    uint32_t wanted = wanted_for_value(event);
    wanted |= tsm_event_on_stream(event) ? torch_stream_of(c, event->stream)->told : 0;
    wanted |= event->correlation != 0 ? TORCH_KEY_CORRELATION : 0;
    wanted |= (event->flags & TSM_EXTRA_MASK) == TSM_EXTRA_LAUNCH ? torch_launch_of(c, event->extra)->told : 0;
    return wanted | (event->stack != 0 ? TORCH_KEY_STACK : 0);
}

static void
find_wanted(torch *c, torch_item *item)
{
    const uint32_t identifying =
        TORCH_KEY_DEVICE | TORCH_KEY_STREAM | TORCH_KEY_CORRELATION | TORCH_KEY_BYTES | TORCH_KEY_DELTA;
    item->wanted = item->foreign == NULL ? wanted_of_own(c, item->event) : item->set->fields;
    if (c->options->lean) {
        item->wanted &= identifying;
        return;
    }
    if (item->foreign == NULL) {
        for (size_t i = 0; i < item->extension_count; i++) {
            item->wanted &= ~torch_schema_of(c, item->extensions[i].schema)->named;
        }
        item->wanted &= ~item->set->named;
    }
    item->wanted &= c->options->no_stacks ? ~(uint32_t)TORCH_KEY_STACK : UINT32_MAX;
}

void
torch_args(torch *c, torch_item *item)
{
    item->first = true;
    find_wanted(c, item);
    if ((item->wanted & STREAM_KEYS) != 0) {
        put_stream(c, item);
    }
    put_correlation(c, item);
    put_value(c, item);
    if ((item->wanted & TORCH_KEY_DEVICE_ID) != 0) {
        put_device(c, item);
    }
    if ((item->wanted & LAUNCH_KEYS) != 0 && (item->event->flags & TSM_EXTRA_MASK) == TSM_EXTRA_LAUNCH) {
        put_launch(c, item);
    }
    if (!c->options->lean) {
        put_rest(c, item);
    }
    if (!item->first) {
        tsm_pen_say(&c->pen, "}");
    }
}
