/* Rows of tables as JSON, each rendered when it is first met. */
#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "export/torch.h"

static bool
grow(void **items, size_t *capacity, uint32_t *count, size_t item_bytes, uint32_t wanted)
{
    if (!tsm_array_reserve_bytes(items, capacity, wanted, item_bytes)) {
        return false;
    }
    memset((char *)*items + (size_t)*count * item_bytes, 0, (size_t)(wanted - *count) * item_bytes);
    *count = wanted;
    return true;
}

tsm_status
torch_grow(torch *c)
{
#define X(type, cache, table)                                                                        \
    if (!grow((void **)&c->cache.items, &c->cache.capacity, &c->cache.count, sizeof *c->cache.items, \
              tsm_tables_count(c->tables, TSM_TABLE_##table))) {                                     \
        return TSM_E_NOMEM;                                                                          \
    }
    TORCH_CACHES(X)
#undef X
    return torch_number_devices(c) ? TSM_OK : TSM_E_NOMEM;
}

void
torch_free(torch *c)
{
    for (uint32_t i = 0; i < c->streams.count; i++) {
        free(c->streams.items[i].lanes);
    }
#define X(type, cache, table) free(c->cache.items);
    TORCH_CACHES(X)
#undef X
    free(c->numbers.slots);
    free(c->pieces.data);
    free(c->scratch.data);
    free(c->zero_names.data);
}

/* What was put into pieces since begin. */
static torch_piece
piece_since(torch *c, size_t begin)
{
    const size_t size = c->pieces.size - begin;
    if (c->pieces.failed || size >= UINT32_MAX) {
        c->pieces.failed = true;
        return (torch_piece){ .offset = 0, .size = 1 };
    }
    return (torch_piece){ .offset = begin, .size = (uint32_t)size + 1 };
}

static tsm_text
text_of(const torch *c, uint64_t row)
{
    return tsm_tables_borrow_text(c->tables, TSM_TABLE_STRINGS, (uint32_t)row);
}

torch_piece
torch_quote(torch *c, tsm_text text)
{
    const size_t begin = c->pieces.size;
    tsm_buffer_string(&c->pieces, text.data, text.size);
    return piece_since(c, begin);
}

torch_piece
torch_copy(torch *c, tsm_text json)
{
    const size_t begin = c->pieces.size;
    tsm_buffer_put(&c->pieces, json.data, json.size);
    return piece_since(c, begin);
}

torch_piece
torch_string(torch *c, uint32_t row)
{
    torch_piece *piece = torch_at(c, strings, row);
    if (piece->size == 0) {
        *piece = torch_quote(c, text_of(c, row));
    }
    return *piece;
}

static bool
is_word(tsm_text text, const char *word)
{
    return strlen(word) == text.size && memcmp(word, text.data, text.size) == 0;
}

static uint32_t
key_bit(tsm_text key)
{
    static const char *const keys[] = {
#define X(name, text) text,
        TORCH_KEYS(X)
#undef X
    };
    for (unsigned i = 0; i < TORCH_KEY_COUNT; i++) {
        if (is_word(key, keys[i])) {
            return 1u << i;
        }
    }
    return 0;
}

static void
put_key(tsm_buffer *buffer, tsm_text key)
{
    tsm_buffer_string(buffer, key.data, key.size);
    tsm_buffer_put(buffer, ":", 1);
}

/* The keys among a JSON list of them. */
static uint32_t
key_bits(tsm_text list)
{
    tsm_json_walk walk;
    tsm_text key;
    uint32_t bits = 0;
    if (!tsm_json_valid(list.data, list.size) || !tsm_json_enter(&walk, list, '[')) {
        return 0;
    }
    while (tsm_json_next(&walk, NULL, &key)) {
        bits |= key.size < 2 ? 0 : key_bit((tsm_text){ key.data + 1, key.size - 2 });
    }
    return bits;
}

static void
put_value(tsm_buffer *buffer, tsm_text value)
{
    if (tsm_json_meant(value.data, value.size)) {
        tsm_buffer_put(buffer, value.data, value.size);
    } else {
        tsm_buffer_string(buffer, value.data, value.size);
    }
}

static torch_piece
value_piece(torch *c, tsm_text value)
{
    const size_t begin = c->pieces.size;
    put_value(&c->pieces, value);
    return piece_since(c, begin);
}

/* key begins with chrome: and told is the rest of it. */
static void
add_told(torch *c, torch_set *set, tsm_text told, tsm_text value)
{
    if (is_word(told, "fields")) {
        set->fields = key_bits(value);
    } else if (is_word(told, "ph")) {
        set->phase = value_piece(c, value);
    } else if (is_word(told, "dur")) {
        set->duration = value_piece(c, value);
    } else {
        tsm_buffer_put(&c->scratch, ",", 1);
        put_key(&c->scratch, told);
        put_value(&c->scratch, value);
    }
}

static const char told_prefix[] = "chrome:";

static bool
is_told(tsm_text key)
{
    const size_t size = sizeof told_prefix - 1;
    return key.size >= size && memcmp(key.data, told_prefix, size) == 0;
}

static tsm_text
behind_prefix(tsm_text key)
{
    const size_t size = sizeof told_prefix - 1;
    return (tsm_text){ key.data + size, key.size - size };
}

/* A row refers to earlier ones only; else the table is damaged, and the chain ends there. */
static uint32_t
next_in_set(const uint64_t *values, uint32_t row)
{
    return values[TSM_METADATA_REST] < row ? (uint32_t)values[TSM_METADATA_REST] : 0;
}

static void
render_told(torch *c, torch_set *set, uint32_t row)
{
    c->scratch.size = 0;
    while (row != 0) {
        const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_METADATA, row);
        const tsm_text key = text_of(c, values[TSM_METADATA_KEY]);
        if (is_told(key)) {
            add_told(c, set, behind_prefix(key), text_of(c, values[TSM_METADATA_VALUE]));
        }
        row = next_in_set(values, row);
    }
    set->members = torch_copy(c, (tsm_text){ c->scratch.data, c->scratch.size });
}

static void
render_args(torch *c, torch_set *set, uint32_t row)
{
    const size_t begin = c->pieces.size;
    while (row != 0) {
        const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_METADATA, row);
        const tsm_text key = text_of(c, values[TSM_METADATA_KEY]);
        if (!is_told(key)) {
            tsm_buffer_put(&c->pieces, ",", c->pieces.size > begin ? 1 : 0);
            put_key(&c->pieces, key);
            put_value(&c->pieces, text_of(c, values[TSM_METADATA_VALUE]));
            set->named |= key_bit(key);
        }
        row = next_in_set(values, row);
    }
    set->args = piece_since(c, begin);
}

const torch_set *
torch_metadata(torch *c, uint32_t row)
{
    torch_set *set = torch_at(c, metadata, row);
    if (set->args.size == 0) {
        row = row < c->metadata.count ? row : 0;
        render_told(c, set, row);
        render_args(c, set, row);
    }
    return set;
}

/* file(line): function, as torch.profiler writes frames. */
static void
render_frame(torch *c, tsm_buffer *buffer, uint32_t row)
{
    const uint64_t *frame = tsm_tables_borrow_row(c->tables, TSM_TABLE_FRAMES, row);
    const tsm_text file = text_of(c, frame[TSM_FRAME_FILE]), function = text_of(c, frame[TSM_FRAME_FUNCTION]);
    if (file.size > 0) {
        tsm_buffer_put(buffer, file.data, file.size);
        tsm_buffer_put(buffer, "(", 1);
        tsm_buffer_u64(buffer, frame[TSM_FRAME_LINE]);
        tsm_buffer_put(buffer, "): ", 3);
    }
    tsm_buffer_put(buffer, function.data, function.size);
}

torch_piece
torch_stack(torch *c, uint32_t row)
{
    torch_piece *piece = torch_at(c, stacks, row);
    if (piece->size == 0) {
        row = row < c->stacks.count ? row : 0;
        c->scratch.size = 0;
        while (row != 0) {
            const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_STACKS, row);
            render_frame(c, &c->scratch, (uint32_t)values[TSM_STACK_FRAME]);
            row = values[TSM_STACK_PARENT] < row ? (uint32_t)values[TSM_STACK_PARENT] : 0;
            tsm_buffer_put(&c->scratch, ";", row == 0 ? 0 : 1);
        }
        const size_t begin = c->pieces.size;
        tsm_buffer_string(&c->pieces, c->scratch.data == NULL ? "" : c->scratch.data, c->scratch.size);
        *piece = piece_since(c, begin);
    }
    return *piece;
}

/* ---- Launch shapes and streams */

static void
render_dimensions(tsm_buffer *buffer, const char *key, const uint64_t *at)
{
    tsm_buffer_say(buffer, key);
    for (int i = 0; i < 3; i++) {
        tsm_buffer_put(buffer, i == 0 ? "[" : ",", 1);
        tsm_buffer_u64(buffer, at[i]);
    }
    tsm_buffer_say(buffer, "],");
}

static void
render_number(tsm_buffer *buffer, const char *key, uint64_t value)
{
    tsm_buffer_say(buffer, key);
    tsm_buffer_u64(buffer, value);
    tsm_buffer_put(buffer, ",", 1);
}

static void
render_ratio(tsm_buffer *buffer, const char *key, double value)
{
    tsm_buffer_say(buffer, key);
    tsm_buffer_double(buffer, value);
    tsm_buffer_put(buffer, ",", 1);
}

static void
render_shape(tsm_buffer *buffer, const uint64_t *launch, uint32_t wanted, torch_shape shape)
{
    const uint64_t *grid = launch + TSM_LAUNCH_GRID_X, *block = launch + TSM_LAUNCH_BLOCK_X;
    if ((wanted & TORCH_KEY_REGISTERS) != 0) {
        render_number(buffer, "\"registers per thread\":", launch[TSM_LAUNCH_REGISTERS]);
    }
    if ((wanted & TORCH_KEY_SHARED) != 0) {
        render_number(buffer,
                      "\"shared memory\":", launch[TSM_LAUNCH_SHARED_STATIC] + launch[TSM_LAUNCH_SHARED_DYNAMIC]);
    }
    if ((wanted & TORCH_KEY_BLOCKS_PER_SM) != 0 && shape.multiprocessors != 0) {
        const double blocks = (double)grid[0] * (double)grid[1] * (double)grid[2] / shape.multiprocessors;
        const double threads = (double)block[0] * (double)block[1] * (double)block[2];
        render_ratio(buffer, "\"blocks per SM\":", blocks);
        render_ratio(buffer,
                     "\"warps per SM\":", blocks * ceil(threads / (shape.warp_size == 0 ? 32 : shape.warp_size)));
    }
    if ((wanted & TORCH_KEY_GRID) != 0) {
        render_dimensions(buffer, "\"grid\":", grid);
    }
    if ((wanted & TORCH_KEY_BLOCK) != 0) {
        render_dimensions(buffer, "\"block\":", block);
    }
}

/* Every part ends with a comma, the whole does not. */
static void
render_launch(torch *c, tsm_buffer *buffer, uint32_t row, uint32_t wanted, torch_shape shape)
{
    const size_t begin = buffer->size;
    render_shape(buffer, tsm_tables_borrow_row(c->tables, TSM_TABLE_LAUNCHES, row), wanted, shape);
    buffer->size -= buffer->size > begin ? 1 : 0;
}

tsm_text
torch_launch_text(torch *c, uint32_t row, uint32_t wanted, torch_shape shape)
{
    torch_launch *launch = torch_at(c, launches, row);
    row = row < c->launches.count ? row : 0;
    if (launch->piece.size == 0) {
        const size_t begin = c->pieces.size;
        render_launch(c, &c->pieces, row, wanted, shape);
        launch->piece = piece_since(c, begin);
        launch->wanted = wanted;
        launch->shape = shape;
    }
    if (launch->wanted == wanted && launch->shape.multiprocessors == shape.multiprocessors
        && launch->shape.warp_size == shape.warp_size) {
        return (tsm_text){ c->pieces.data + launch->piece.offset, launch->piece.size - 1 };
    }
    c->scratch.size = 0;
    render_launch(c, &c->scratch, row, wanted, shape);
    return (tsm_text){ c->scratch.data, c->scratch.size };
}

const torch_launch *
torch_launch_of(torch *c, uint32_t row)
{
    torch_launch *launch = torch_at(c, launches, row);
    if (!launch->known) {
        const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_LAUNCHES, row);
        launch->known = true;
        launch->set = (uint32_t)values[TSM_LAUNCH_METADATA];
        if (values[TSM_LAUNCH_GRID_X] != 0 || values[TSM_LAUNCH_BLOCK_X] != 0) {
            launch->told = TORCH_KEY_GRID | TORCH_KEY_BLOCK | TORCH_KEY_BLOCKS_PER_SM;
        }
        if (values[TSM_LAUNCH_REGISTERS] != 0) {
            launch->told |= TORCH_KEY_REGISTERS | TORCH_KEY_SHARED;
        }
        if (values[TSM_LAUNCH_SHARED_STATIC] != 0 || values[TSM_LAUNCH_SHARED_DYNAMIC] != 0) {
            launch->told |= TORCH_KEY_SHARED;
        }
    }
    return launch;
}

static void
render_stream(torch *c, torch_stream *stream, uint32_t row)
{
    const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_STREAMS, row);
    const uint64_t *device = tsm_tables_borrow_row(c->tables, TSM_TABLE_DEVICES, (uint32_t)values[TSM_STREAM_DEVICE]);
    const size_t begin = c->pieces.size;
    stream->told = TORCH_KEY_DEVICE | TORCH_KEY_STREAM;
    stream->shape =
        (torch_shape){ (uint32_t)device[TSM_DEVICE_MULTIPROCESSORS], (uint32_t)device[TSM_DEVICE_WARP_SIZE] };
    tsm_buffer_say(&c->pieces, "\"device\":");
    tsm_buffer_i64(&c->pieces, (int64_t)device[TSM_DEVICE_ORDINAL]);
    if (values[TSM_STREAM_CONTEXT] != 0) {
        stream->told |= TORCH_KEY_CONTEXT;
        tsm_buffer_say(&c->pieces, ",\"context\":");
        tsm_buffer_i64(&c->pieces, (int64_t)values[TSM_STREAM_CONTEXT]);
    }
    tsm_buffer_say(&c->pieces, ",\"stream\":");
    tsm_buffer_i64(&c->pieces, (int64_t)values[TSM_STREAM_RAW_ID]);
    stream->args = piece_since(c, begin);
}

const torch_stream *
torch_stream_of(torch *c, uint32_t row)
{
    torch_stream *stream = torch_at(c, streams, row);
    if (stream->args.size == 0) {
        render_stream(c, stream, row);
    }
    return stream;
}

/* ---- Schemas of extension records */

static void
name_schema(torch *c, torch_schema *schema, tsm_text name)
{
    const size_t begin = c->pieces.size;
    if (!is_told(name)) {
        schema->kind = is_word(name, "flow")         ? TORCH_SCHEMA_FLOW
                       : is_word(name, "allocation") ? TORCH_SCHEMA_ALLOCATION
                                                     : TORCH_SCHEMA_ARGS;
        return;
    }
    const tsm_text category = behind_prefix(name);
    schema->kind = TORCH_SCHEMA_FOREIGN;
    if (category.size > 0) {
        tsm_buffer_say(&c->pieces, "\"cat\":");
        tsm_buffer_string(&c->pieces, category.data, category.size);
        tsm_buffer_put(&c->pieces, ",", 1);
    }
    schema->category = piece_since(c, begin);
}

/* Our fields that torch.profiler has another word for. */
static tsm_text
spelling(tsm_text schema, tsm_text field)
{
    static const char *const words[][3] = {
        { "allocation", "address", "Addr" },
        { "allocation", "in_use", "Total Allocated" },
        { "collective", "sequence", "Seq" },
        { "collective", "ranks", "Group size" },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (is_word(schema, words[i][0]) && is_word(field, words[i][1])) {
            return (tsm_text){ words[i][2], strlen(words[i][2]) };
        }
    }
    return field;
}

static void
add_field(torch *c, torch_schema *schema, unsigned index, tsm_text name, const uint64_t *values)
{
    const tsm_text key = spelling(name, text_of(c, values[TSM_SCHEMA_FIELD]));
    const size_t begin = c->pieces.size;
    put_key(&c->pieces, key);
    schema->keys[index] = piece_since(c, begin);
    const bool number = values[TSM_SCHEMA_TYPE] == TSM_COLUMN_HEX && schema->kind == TORCH_SCHEMA_ALLOCATION;
    schema->types[index] = number ? TSM_COLUMN_U64 : (uint8_t)values[TSM_SCHEMA_TYPE];
    schema->named |= key_bit(key);
}

static void
render_schema(torch *c, torch_schema *schema, uint32_t row)
{
    uint32_t fields[TSM_EXTENSION_VALUES];
    unsigned count = 0;
    const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_SCHEMAS, row);
    while (values[TSM_SCHEMA_PARENT] != 0 && values[TSM_SCHEMA_PARENT] < row && count < TSM_EXTENSION_VALUES) {
        fields[count++] = row;
        row = (uint32_t)values[TSM_SCHEMA_PARENT];
        values = tsm_tables_borrow_row(c->tables, TSM_TABLE_SCHEMAS, row);
    }
    const tsm_text name = text_of(c, values[TSM_SCHEMA_FIELD]);
    name_schema(c, schema, name);
    schema->count = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        add_field(c, schema, i, name, tsm_tables_borrow_row(c->tables, TSM_TABLE_SCHEMAS, fields[count - 1 - i]));
    }
}

const torch_schema *
torch_schema_of(torch *c, uint32_t row)
{
    torch_schema *schema = torch_at(c, schemas, row);
    if (!schema->known) {
        schema->known = true;
        render_schema(c, schema, row < c->schemas.count ? row : 0);
    }
    return schema;
}
