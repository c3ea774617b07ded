/* The sections beside the records: the process, its agents, the names of operations and kernels,
 * the texts of markers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "ingest/rocprof.h"

#define GPU 2 /* an agent's type */

uint32_t *
rocprof_at(rocprof *im, unsigned kind, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t key[4] = { a, b, c, kind };
    uint32_t *value = ingest_keys_at(&im->keys, key);
    if (value == NULL) {
        ingest_note(&im->buffer, TSM_E_NOMEM);
    }
    return value;
}

uint32_t
rocprof_find(rocprof *im, unsigned kind, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t key[4] = { a, b, c, kind };
    return ingest_keys_find(&im->keys, key);
}

/* ---- Names by number ------------------------------------------------------------------------- */

static void
keep_name(rocprof *im, unsigned kind, uint64_t a, uint64_t b, const json_text *text)
{
    uint32_t *place = rocprof_at(im, kind, a, b, 0);
    if (place == NULL || *place != 0) {
        return;
    }
    if (!tsm_array_reserve(&im->names, &im->name_capacity, im->name_count + 1)
        || !tsm_array_reserve(&im->text, &im->text_capacity, im->text_size + text->size + 1)) {
        ingest_note(&im->buffer, TSM_E_NOMEM);
        return;
    }
    char *to = im->text + im->text_size;
    size_t size = text->size;
    if (text->escaped) {
        size = json_unescape(text, to);
    } else {
        memcpy(to, text->data, size);
    }
    im->names[im->name_count] = (rocprof_name){ .offset = im->text_size, .size = (uint32_t)size };
    im->text_size += size;
    *place = (uint32_t)++im->name_count;
}

uint32_t
rocprof_row(rocprof *im, unsigned kind, uint64_t a, uint64_t b)
{
    uint32_t place = rocprof_find(im, kind, a, b, 0);
    rocprof_name *name = place == 0 ? NULL : &im->names[place - 1];
    if (name != NULL && name->row == 0) {
        name->row = ingest_string(&im->buffer, im->text + name->offset, name->size);
    }
    return name == NULL ? 0 : name->row;
}

void
rocprof_forget(rocprof *im)
{
    free(im->keys.slots);
    im->keys = (ingest_keys){ 0 };
    im->name_count = im->text_size = 0;
    im->process_id = im->process = im->host = 0;
    im->has_agents = im->has_symbols = im->has_strings = false;
}

/* ---- strings --------------------------------------------------------------------------------- */

typedef struct {
    uint64_t kind, operation;
} place;

static void
keep_operation(rocprof *im, const json_value *value, void *context)
{
    place *at = context;
    if (value->kind == JSON_STRING) {
        keep_name(im, ROCPROF_KEY_OPERATION, at->kind, at->operation, &value->text);
    }
    at->operation++;
}

static void
keep_kind_member(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    place *at = context;
    if (rocprof_key_is(key, "kind") && value->kind == JSON_STRING) {
        keep_name(im, ROCPROF_KEY_KIND, at->kind, 0, &value->text);
    } else if (rocprof_key_is(key, "operations")) {
        rocprof_items(im, value, keep_operation, at);
    }
}

static void
keep_kind(rocprof *im, const json_value *value, void *context)
{
    place *at = context;
    at->operation = 0;
    rocprof_members(im, value, keep_kind_member, at);
    at->kind++;
}

typedef struct {
    int64_t key;
    json_text value;
} pair;

static void
keep_pair_member(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    pair *made = context;
    (void)im;
    if (rocprof_key_is(key, "key") && value->kind == JSON_INTEGER) {
        made->key = value->integer;
    } else if (rocprof_key_is(key, "value") && value->kind == JSON_STRING) {
        made->value = value->text;
    }
}

static void
keep_marker(rocprof *im, const json_value *value, void *context)
{
    pair made = { -1, { NULL, 0, false } };
    (void)context;
    rocprof_members(im, value, keep_pair_member, &made);
    if (made.value.data != NULL) {
        keep_name(im, ROCPROF_KEY_MARKER, (uint64_t)made.key, 0, &made.value);
    }
}

static void
keep_strings(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    place at = { 0, 0 };
    (void)context;
    if (rocprof_key_is(key, "buffer_records")) {
        rocprof_items(im, value, keep_kind, &at);
    } else if (rocprof_key_is(key, "marker_api")) {
        rocprof_items(im, value, keep_marker, NULL);
    }
}

void
rocprof_strings(rocprof *im, const json_value *value)
{
    rocprof_members(im, value, keep_strings, NULL);
    im->has_strings = true;
}

/* ---- kernel_symbols -------------------------------------------------------------------------- */

typedef struct {
    int64_t id;
    json_text texts[3];
} symbol;

static void
keep_symbol_member(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    static const char *const names[] = { "formatted_kernel_name", "demangled_kernel_name", "kernel_name" };
    symbol *made = context;
    (void)im;
    if (rocprof_key_is(key, "kernel_id") && value->kind == JSON_INTEGER) {
        made->id = value->integer;
    }
    for (size_t i = 0; i < 3; i++) {
        if (value->kind == JSON_STRING && rocprof_key_is(key, names[i])) {
            made->texts[i] = value->text;
        }
    }
}

void
rocprof_symbol(rocprof *im, const json_value *value)
{
    symbol made = { .id = -1 };
    rocprof_members(im, value, keep_symbol_member, &made);
    for (size_t i = 0; i < 3; i++) {
        if (made.texts[i].size > 0) {
            keep_name(im, ROCPROF_KEY_KERNEL, (uint64_t)made.id, 0, &made.texts[i]);
            return;
        }
    }
}

/* ---- agents ---------------------------------------------------------------------------------- */

typedef struct {
    uint64_t handle, type, target, waves, lanes, ordinal;
    json_text vendor, product, name;
    uint64_t columns[TSM_COLUMNS_MAX];
} agent;

static void
keep_handle(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    (void)im;
    if (rocprof_key_is(key, "handle") && value->kind == JSON_INTEGER) {
        *(uint64_t *)context = (uint64_t)value->integer;
    }
}

/* 'value0' to 'value15' */
static void
keep_uuid_byte(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    uint64_t *columns = context;
    unsigned at = 0;
    (void)im;
    if (key->size < 6 || key->size > 7 || memcmp(key->data, "value", 5) != 0 || value->kind != JSON_INTEGER) {
        return;
    }
    for (size_t i = 5; i < key->size; i++) {
        at = at * 10 + (unsigned)(key->data[i] - '0');
    }
    if (at < 16) {
        columns[at < 8 ? TSM_DEVICE_UUID_HIGH : TSM_DEVICE_UUID_LOW] |= ((uint64_t)value->integer & 255)
                                                                        << (56 - at % 8 * 8);
    }
}

static void
keep_uuid(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    (void)key;
    rocprof_members(im, value, keep_uuid_byte, context);
}

static void
keep_bank_member(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    uint64_t *columns = context;
    (void)im;
    if (value->kind != JSON_INTEGER) {
        return;
    }
    if (rocprof_key_is(key, "size_in_bytes")) {
        columns[TSM_DEVICE_MEMORY_BYTES] += (uint64_t)value->integer;
    } else if (rocprof_key_is(key, "width")) {
        columns[TSM_DEVICE_MEMORY_BUS_BITS] = (uint64_t)value->integer;
    } else if (rocprof_key_is(key, "mem_clk_max")) {
        columns[TSM_DEVICE_MEMORY_CLOCK_KHZ] = (uint64_t)value->integer * 1000;
    }
}

static void
keep_bank(rocprof *im, const json_value *value, void *context)
{
    rocprof_members(im, value, keep_bank_member, context);
}

static void
keep_agent_number(agent *made, const json_text *key, uint64_t number)
{
    const struct {
        const char *name;
        uint64_t *to;
        uint64_t times;
    } known[] = {
        { "type", &made->type, 1 },
        { "gfx_target_version", &made->target, 1 },
        { "max_waves_per_cu", &made->waves, 1 },
        { "wave_front_size", &made->lanes, 1 },
        { "logical_node_type_id", &made->ordinal, 1 },
        { "cu_count", &made->columns[TSM_DEVICE_MULTIPROCESSORS], 1 },
        { "max_engine_clk_fcompute", &made->columns[TSM_DEVICE_CLOCK_KHZ], 1000 },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (rocprof_key_is(key, known[i].name)) {
            *known[i].to = number * known[i].times;
        }
    }
}

static void
keep_agent_member(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    agent *made = context;
    if (value->kind == JSON_INTEGER) {
        keep_agent_number(made, key, (uint64_t)value->integer);
    } else if (rocprof_key_is(key, "id")) {
        rocprof_members(im, value, keep_handle, &made->handle);
    } else if (rocprof_key_is(key, "uuid")) {
        rocprof_members(im, value, keep_uuid, made->columns);
    } else if (rocprof_key_is(key, "mem_banks")) {
        rocprof_items(im, value, keep_bank, made->columns);
    } else if (value->kind == JSON_STRING && rocprof_key_is(key, "vendor_name")) {
        made->vendor = value->text;
    } else if (value->kind == JSON_STRING && rocprof_key_is(key, "product_name")) {
        made->product = value->text;
    } else if (value->kind == JSON_STRING && rocprof_key_is(key, "name")) {
        made->name = value->text;
    }
}

/* Only GPUs become devices: what has no row is the host. */
static void
keep_agent(rocprof *im, const json_value *value, void *context)
{
    agent made = { 0 };
    (void)context;
    rocprof_members(im, value, keep_agent_member, &made);
    uint32_t *row = made.type == GPU ? rocprof_at(im, ROCPROF_KEY_GPU, made.handle, 0, 0) : NULL;
    if (row == NULL) {
        return;
    }
    const json_text *name = made.product.size > 0 ? &made.product : &made.name;
    uint64_t *columns = made.columns;
    columns[TSM_DEVICE_HOST] = im->host;
    columns[TSM_DEVICE_ORDINAL] = made.ordinal;
    columns[TSM_DEVICE_NAME] = ingest_string(&im->buffer, name->size == 0 ? "" : name->data, name->size);
    columns[TSM_DEVICE_VENDOR] = ingest_string(&im->buffer, made.vendor.size == 0 ? "AMD" : made.vendor.data,
                                               made.vendor.size == 0 ? 3 : made.vendor.size);
    columns[TSM_DEVICE_COMPUTE_MAJOR] = made.target / 10000;
    columns[TSM_DEVICE_COMPUTE_MINOR] = made.target / 100 % 100;
    columns[TSM_DEVICE_WARP_SIZE] = made.lanes;
    columns[TSM_DEVICE_THREADS_PER_MULTIPROCESSOR] = made.waves * made.lanes;
    *row = ingest_row(&im->buffer, TSM_TABLE_DEVICES, columns);
}

void
rocprof_agents(rocprof *im, const json_value *value)
{
    rocprof_items(im, value, keep_agent, NULL);
    im->has_agents = true;
}

/* ---- metadata -------------------------------------------------------------------------------- */

/* The command and the configuration stay out: they may hold what should not be passed on. */
static void
keep_metadata(rocprof *im, const json_text *key, const json_value *value, void *context)
{
    bool in_node = context != NULL;
    if (!in_node && rocprof_key_is(key, "pid") && value->kind == JSON_INTEGER) {
        im->process_id = (uint64_t)value->integer;
    } else if (!in_node && rocprof_key_is(key, "node")) {
        rocprof_members(im, value, keep_metadata, im);
    } else if (in_node && rocprof_key_is(key, "hostname") && value->kind == JSON_STRING) {
        uint64_t host[TSM_COLUMNS_MAX] = {
            [TSM_HOST_NAME] = ingest_string(&im->buffer, value->text.data, value->text.size),
        };
        im->host = ingest_row(&im->buffer, TSM_TABLE_HOSTS, host);
    }
}

void
rocprof_metadata(rocprof *im, const json_value *value)
{
    rocprof_members(im, value, keep_metadata, NULL);
}
