#include "trace/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

#define U64(n)                              \
    {                                       \
        .name = (n), .type = TSM_COLUMN_U64 \
    }
#define I64(n)                              \
    {                                       \
        .name = (n), .type = TSM_COLUMN_I64 \
    }
#define HEX(n)                              \
    {                                       \
        .name = (n), .type = TSM_COLUMN_HEX \
    }
#define REF(n, table)                                                 \
    {                                                                 \
        .name = (n), .type = TSM_COLUMN_REF, .ref = TSM_TABLE_##table \
    }
#define ROWS(id, text, ...)                                                                          \
    [TSM_TABLE_##id] = { .name = (text),                                                             \
                         .column_count = sizeof((tsm_column[]){ __VA_ARGS__ }) / sizeof(tsm_column), \
                         .columns = { __VA_ARGS__ } }

static const tsm_table_layout layouts[TSM_TABLE_LIMIT] = {
    [TSM_TABLE_STRINGS] = { .name = "strings", .text = true },
    [TSM_TABLE_BLOBS] = { .name = "blobs", .text = true },
    /* What is true of the whole trace; a later row of the same key wins. */
    ROWS(INFO, "info", REF("key", STRINGS), REF("value", STRINGS)),
    ROWS(HOSTS, "hosts", REF("name", STRINGS), HEX("boot_high"), HEX("boot_low")),
    /* start: clock ticks since boot, as in /proc/PID/stat, so that a reused pid is another row. */
    ROWS(PROCESSES, "processes", REF("host", HOSTS), U64("pid"), U64("parent_pid"), U64("start"), REF("name", STRINGS)),
    ROWS(THREADS, "threads", REF("process", PROCESSES), U64("tid"), REF("name", STRINGS)),
    ROWS(DEVICES, "devices", REF("host", HOSTS), U64("ordinal"), REF("name", STRINGS), REF("vendor", STRINGS),
         HEX("uuid_high"), HEX("uuid_low"), U64("compute_major"), U64("compute_minor"), U64("memory_bytes"),
         U64("memory_clock_khz"), U64("memory_bus_bits"), U64("multiprocessors"), U64("threads_per_multiprocessor"),
         U64("clock_khz"), U64("warp_size")),
    ROWS(STREAMS, "streams", REF("process", PROCESSES), REF("device", DEVICES), U64("context"), U64("raw_id"),
         REF("name", STRINGS), I64("priority")),
    ROWS(FRAMES, "frames", REF("function", STRINGS), REF("file", STRINGS), U64("line"), HEX("address"), U64("kind")),
    /* A chain from the leaf outwards: frame is the innermost call, parent the rest. */
    ROWS(STACKS, "stacks", REF("parent", STACKS), REF("frame", FRAMES)),
    ROWS(LAUNCHES, "launches", U64("grid_x"), U64("grid_y"), U64("grid_z"), U64("block_x"), U64("block_y"),
         U64("block_z"), U64("shared_static"), U64("shared_dynamic"), U64("registers"), U64("local_bytes"),
         U64("cluster_x"), U64("cluster_y"), U64("cluster_z"), REF("metadata", METADATA)),
    ROWS(METADATA, "metadata", REF("rest", METADATA), REF("key", STRINGS), REF("value", STRINGS)),
    /* The root of a schema has parent 0 and its name as field; then one row per field, the
     * schema's id being the last. type: tsm_column_type. */
    ROWS(SCHEMAS, "schemas", REF("parent", SCHEMAS), REF("field", STRINGS), U64("type")),
    ROWS(COUNTERS, "counters", REF("name", STRINGS), REF("unit", STRINGS), U64("track")),
    ROWS(CLOCKS, "clocks", REF("host", HOSTS), U64("ticks"), U64("monotonic"), U64("raw"), U64("realtime")),
    /* A thread as its spool knows it: spool is the spool's own number, serial the thread's in it. */
    ROWS(PRODUCERS, "producers", HEX("spool"), U64("serial"), REF("thread", THREADS)),
    ROWS(DROPS, "drops", REF("thread", THREADS), U64("begin"), U64("end"), U64("count"), U64("reason")),
};

const tsm_table_layout *
tsm_table_layout_of(unsigned table)
{
    return table < TSM_TABLE_LIMIT && layouts[table].name != NULL ? &layouts[table] : NULL;
}

/* Rows and their finder. Text rows keep offsets into one arena; slots hold row id + 1 beside
 * the upper half of the hash, so that most probes never touch a row. */
typedef struct {
    uint32_t count;
    uint64_t *rows;
    size_t rows_capacity;
    uint64_t *ends; /* text only: where row i ends in bytes; it starts where i-1 ends */
    size_t ends_capacity;
    char *bytes;
    size_t bytes_capacity;
    struct {
        uint32_t hash, row;
    } * slots;
    uint32_t slot_count, indexed; /* rows below indexed are in slots */
} table;

struct tsm_tables {
    table tables[TSM_TABLE_LIMIT];
};

static bool
start_table(table *t, const tsm_table_layout *layout)
{
    if (layout->text) {
        if (!tsm_array_reserve(&t->ends, &t->ends_capacity, 8)) {
            return false;
        }
        t->ends[0] = 0;
    } else {
        if (!tsm_array_reserve(&t->rows, &t->rows_capacity, layout->column_count * 8)) {
            return false;
        }
        memset(t->rows, 0, layout->column_count * sizeof *t->rows);
    }
    t->count = 1;
    return true;
}

tsm_status
tsm_tables_create(tsm_tables **out)
{
    tsm_tables *tables = calloc(1, sizeof *tables);
    if (tables == NULL) {
        return TSM_E_NOMEM;
    }
    for (unsigned i = 0; i < TSM_TABLE_LIMIT; i++) {
        if (layouts[i].name != NULL && !start_table(&tables->tables[i], &layouts[i])) {
            tsm_tables_destroy(tables);
            return TSM_E_NOMEM;
        }
    }
    *out = tables;
    return TSM_OK;
}

void
tsm_tables_destroy(tsm_tables *tables)
{
    if (tables == NULL) {
        return;
    }
    for (unsigned i = 0; i < TSM_TABLE_LIMIT; i++) {
        free(tables->tables[i].rows);
        free(tables->tables[i].ends);
        free(tables->tables[i].bytes);
        free(tables->tables[i].slots);
    }
    free(tables);
}

uint32_t
tsm_tables_count(const tsm_tables *tables, unsigned id)
{
    return tsm_table_layout_of(id) == NULL ? 0 : tables->tables[id].count;
}

static tsm_text
text_at(const table *t, uint32_t row)
{
    uint64_t begin = row == 0 ? 0 : t->ends[row - 1];
    return (tsm_text){ .data = begin == t->ends[row] ? "" : t->bytes + begin, .size = (size_t)(t->ends[row] - begin) };
}

static uint64_t
hash_of_row(const table *t, const tsm_table_layout *layout, uint32_t row)
{
    if (layout->text) {
        tsm_text text = text_at(t, row);
        return tsm_hash_bytes(text.data, text.size);
    }
    return tsm_hash_bytes(t->rows + (size_t)row * layout->column_count, layout->column_count * 8);
}

static bool
row_equals(const table *t, const tsm_table_layout *layout, uint32_t row, const void *data, size_t size)
{
    if (layout->text) {
        tsm_text text = text_at(t, row);
        return text.size == size && (size == 0 || memcmp(text.data, data, size) == 0);
    }
    return memcmp(t->rows + (size_t)row * layout->column_count, data, size) == 0;
}

static void
index_row(table *t, uint64_t hash, uint32_t row)
{
    uint32_t mask = t->slot_count - 1;
    uint32_t at = (uint32_t)hash & mask;
    while (t->slots[at].row != 0) {
        at = (at + 1) & mask;
    }
    t->slots[at].hash = (uint32_t)(hash >> 32);
    t->slots[at].row = row + 1;
}

/* Brings the finder up to date with rows that add() appended, growing it as needed. */
static bool
update_index(table *t, const tsm_table_layout *layout)
{
    uint32_t wanted = t->slot_count == 0 ? 64 : t->slot_count;
    while (wanted / 2 < t->count) {
        if (wanted > UINT32_MAX / 2) {
            return false;
        }
        wanted *= 2;
    }
    if (wanted != t->slot_count) {
        void *slots = calloc(wanted, sizeof *t->slots);
        if (slots == NULL) {
            return false;
        }
        free(t->slots);
        t->slots = slots;
        t->slot_count = wanted;
        t->indexed = 0;
    }
    for (; t->indexed < t->count; t->indexed++) {
        index_row(t, hash_of_row(t, layout, t->indexed), t->indexed);
    }
    return true;
}

/* The first row equal to data, or t->count. The index must be up to date. */
static uint32_t
find_row(const table *t, const tsm_table_layout *layout, uint64_t hash, const void *data, size_t size)
{
    uint32_t mask = t->slot_count - 1;
    for (uint32_t at = (uint32_t)hash & mask; t->slots[at].row != 0; at = (at + 1) & mask) {
        if (t->slots[at].hash == (uint32_t)(hash >> 32) && row_equals(t, layout, t->slots[at].row - 1, data, size)) {
            return t->slots[at].row - 1;
        }
    }
    return t->count;
}

static tsm_status
append_text(table *t, const void *data, size_t size, uint32_t *id)
{
    uint64_t begin = t->ends[t->count - 1];
    if (t->count == UINT32_MAX) {
        return TSM_E_LIMIT;
    }
    if (!tsm_array_reserve(&t->ends, &t->ends_capacity, (size_t)t->count + 1)
        || !tsm_array_reserve(&t->bytes, &t->bytes_capacity, (size_t)begin + size)) {
        return TSM_E_NOMEM;
    }
    if (size > 0) {
        memcpy(t->bytes + begin, data, size);
    }
    t->ends[t->count] = begin + size;
    *id = t->count++;
    return TSM_OK;
}

static tsm_status
append_row(table *t, size_t columns, const uint64_t *values, uint32_t *id)
{
    if (t->count == UINT32_MAX) {
        return TSM_E_LIMIT;
    }
    if (!tsm_array_reserve(&t->rows, &t->rows_capacity, ((size_t)t->count + 1) * columns)) {
        return TSM_E_NOMEM;
    }
    memcpy(t->rows + (size_t)t->count * columns, values, columns * sizeof *values);
    *id = t->count++;
    return TSM_OK;
}

static tsm_status
append(table *t, const tsm_table_layout *layout, const void *data, size_t size, uint32_t *id)
{
    return layout->text ? append_text(t, data, size, id) : append_row(t, layout->column_count, data, id);
}

static tsm_status
intern(tsm_tables *tables, unsigned id, const void *data, size_t size, uint32_t *out)
{
    const tsm_table_layout *layout = tsm_table_layout_of(id);
    table *t = &tables->tables[id];
    if (!update_index(t, layout)) {
        return TSM_E_NOMEM;
    }
    uint64_t hash = tsm_hash_bytes(data, size);
    uint32_t row = find_row(t, layout, hash, data, size);
    if (row < t->count) {
        *out = row;
        return TSM_OK;
    }
    return append(t, layout, data, size, out);
}

tsm_status
tsm_tables_add(tsm_tables *tables, unsigned id, const uint64_t *values, uint32_t *out)
{
    const tsm_table_layout *layout = tsm_table_layout_of(id);
    if (layout == NULL || layout->text) {
        return TSM_E_ARG;
    }
    return append_row(&tables->tables[id], layout->column_count, values, out);
}

tsm_status
tsm_tables_intern(tsm_tables *tables, unsigned id, const uint64_t *values, uint32_t *out)
{
    const tsm_table_layout *layout = tsm_table_layout_of(id);
    if (layout == NULL || layout->text) {
        return TSM_E_ARG;
    }
    return intern(tables, id, values, layout->column_count * sizeof *values, out);
}

static const tsm_table_layout *
text_layout(unsigned id)
{
    const tsm_table_layout *layout = tsm_table_layout_of(id);
    return layout != NULL && layout->text ? layout : NULL;
}

tsm_status
tsm_tables_add_text(tsm_tables *tables, unsigned id, const void *data, size_t size, uint32_t *out)
{
    return text_layout(id) == NULL ? TSM_E_ARG : append_text(&tables->tables[id], data, size, out);
}

tsm_status
tsm_tables_intern_text(tsm_tables *tables, unsigned id, const void *data, size_t size, uint32_t *out)
{
    return text_layout(id) == NULL ? TSM_E_ARG : intern(tables, id, data, size, out);
}

uint32_t
tsm_tables_find_text(tsm_tables *tables, unsigned id, const void *data, size_t size)
{
    const tsm_table_layout *layout = text_layout(id);
    table *t = &tables->tables[id];
    if (layout == NULL || !update_index(t, layout)) {
        return 0;
    }
    uint32_t row = find_row(t, layout, tsm_hash_bytes(data, size), data, size);
    return row < t->count ? row : 0;
}

const uint64_t *
tsm_tables_borrow_row(const tsm_tables *tables, unsigned id, uint32_t row)
{
    const tsm_table_layout *layout = tsm_table_layout_of(id);
    if (layout == NULL || layout->text) {
        return NULL;
    }
    const table *t = &tables->tables[id];
    return t->rows + (row < t->count ? row : 0) * layout->column_count;
}

const uint64_t *
tsm_tables_borrow_rows(const tsm_tables *tables, unsigned id)
{
    return tsm_tables_borrow_row(tables, id, 0);
}

tsm_text
tsm_tables_borrow_text(const tsm_tables *tables, unsigned id, uint32_t row)
{
    if (text_layout(id) == NULL) {
        return (tsm_text){ .data = "", .size = 0 };
    }
    const table *t = &tables->tables[id];
    return text_at(t, row < t->count ? row : 0);
}

tsm_status
tsm_tables_set_info(tsm_tables *tables, const char *key, const char *value)
{
    uint32_t ids[2], row;
    tsm_status status = tsm_tables_intern_text(tables, TSM_TABLE_STRINGS, key, strlen(key), &ids[0]);
    if (status == TSM_OK) {
        status = tsm_tables_intern_text(tables, TSM_TABLE_STRINGS, value, strlen(value), &ids[1]);
    }
    if (status != TSM_OK) {
        return status;
    }
    return tsm_tables_add(tables, TSM_TABLE_INFO, (uint64_t[]){ ids[0], ids[1] }, &row);
}

tsm_text
tsm_tables_borrow_info(tsm_tables *tables, const char *key)
{
    uint32_t id = tsm_tables_find_text(tables, TSM_TABLE_STRINGS, key, strlen(key));
    if (id != 0) {
        for (uint32_t row = tsm_tables_count(tables, TSM_TABLE_INFO); row-- > 1;) {
            const uint64_t *values = tsm_tables_borrow_row(tables, TSM_TABLE_INFO, row);
            if (values[TSM_INFO_KEY] == id) {
                return tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, (uint32_t)values[TSM_INFO_VALUE]);
            }
        }
    }
    return (tsm_text){ .data = "", .size = 0 };
}
