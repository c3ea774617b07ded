/* BLOCK sections, the reading side: into rows, into columns. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"
#include "sbt/vector.h"

static tsm_status
fail_block(const sbt_block *block, tsm_status status, const char *what, tsm_error *err)
{
    const char *why = status == TSM_E_UNSUPPORTED && !tsm_sbt_zstd_available()
                          ? "needs zstd, or a coding that this build does not have"
                          : tsm_status_text(status);
    return tsm_fail(err, status, block->offset, "%s of the block at byte %llu: %s", what,
                    (unsigned long long)block->offset, why);
}

tsm_status
sbt_block_parse(sbt_block *block, const uint8_t *payload, uint64_t payload_bytes, uint64_t offset, tsm_error *err)
{
    tsm_bytes bytes = { .at = payload, .end = payload + payload_bytes };
    const uint8_t *head = tsm_bytes_take(&bytes, sizeof block->head);
    block->offset = offset;
    if (head == NULL) {
        return fail_block(block, TSM_E_CORRUPT, "head", err);
    }
    memcpy(&block->head, head, sizeof block->head);
    unsigned columns = tsm_bytes_u8(&bytes);
    /* Columns that a later minor version adds stand behind ours. */
    for (unsigned field = 0; field < columns; field++) {
        uint64_t size = tsm_bytes_varint(&bytes);
        const uint8_t *data = tsm_bytes_take(&bytes, size);
        if (field < SBT_FIELDS) {
            block->columns[field] = data;
            block->column_bytes[field] = (size_t)size;
        }
    }
    if (bytes.failed || columns < SBT_FIELDS || block->head.count > SBT_COLUMN_MAX
        || block->head.extension_count > SBT_COLUMN_MAX) {
        return fail_block(block, TSM_E_CORRUPT, "head", err);
    }
    block->rest = bytes.at;
    block->end = bytes.end;
    return TSM_OK;
}

/* The columns of a block that somebody wants, walked together, step by step. */
typedef struct {
    sbt_column columns[SBT_FIELDS];
    bool open[SBT_FIELDS];
    bool mapped; /* some column is by name: the residuals of name are needed */
    sbt_zstd_decoder *zstd;
} walk;

static tsm_status
open_column(walk *w, const sbt_block *block, unsigned field)
{
    if (w->open[field]) {
        return TSM_OK;
    }
    tsm_status status = sbt_column_open(&w->columns[field], block->columns[field], block->column_bytes[field],
                                        block->head.count, &w->zstd);
    if (status != TSM_OK) {
        return status;
    }
    w->open[field] = true;
    if (w->columns[field].transform == SBT_MAPPED) {
        w->mapped = true;
        return field > SBT_FIELD_name ? open_column(w, block, SBT_FIELD_name) : TSM_E_CORRUPT;
    }
    return TSM_OK;
}

static tsm_status
finish(walk *w, tsm_status status)
{
    for (unsigned field = 0; field < SBT_FIELDS; field++) {
        if (w->open[field]) {
            if (status == TSM_OK && w->columns[field].failed) {
                status = TSM_E_CORRUPT;
            }
            sbt_column_close(&w->columns[field]);
        }
    }
    sbt_zstd_decoder_destroy(w->zstd);
    return status;
}

static bool
is_constant(const sbt_block *block, unsigned field, uint64_t *value)
{
    tsm_bytes bytes = { .at = block->columns[field], .end = block->columns[field] + block->column_bytes[field] };
    bool constant = tsm_bytes_u8(&bytes) == SBT_CONSTANT;
    *value = tsm_bytes_varint(&bytes);
    return constant && !bytes.failed && tsm_bytes_left(&bytes) == 0;
}

static void
fill(void *column, unsigned bytes, size_t count, uint64_t value)
{
    for (size_t i = 0; bytes == 8 && i < count; i++) {
        ((uint64_t *)column)[i] = value;
    }
    for (size_t i = 0; bytes == 4 && i < count; i++) {
        ((uint32_t *)column)[i] = (uint32_t)value;
    }
    for (size_t i = 0; bytes == 2 && i < count; i++) {
        ((uint16_t *)column)[i] = (uint16_t)value;
    }
}

static void
narrow(const uint64_t *restrict values, size_t count, unsigned bytes, void *restrict column)
{
    if (bytes == 4) {
        uint32_t *to = column;
        for (size_t i = 0; i < count; i++) {
            to[i] = (uint32_t)values[i];
        }
    } else {
        uint16_t *to = column;
        for (size_t i = 0; i < count; i++) {
            to[i] = (uint16_t)values[i];
        }
    }
}

static void
walk_columns(walk *w, size_t count, void *const columns[TSM_EVENT_FIELD_COUNT])
{
    uint64_t keys[SBT_STEP], values[SBT_STEP];
    for (size_t at = 0; at < count; at += SBT_STEP) {
        for (unsigned field = 0; field < SBT_FIELDS; field++) {
            if (!w->open[field]) {
                continue;
            }
            unsigned bytes = sbt_fields[field].bytes;
            uint8_t *to = columns[field] == NULL ? NULL : (uint8_t *)columns[field] + at * bytes;
            bool direct = to != NULL && bytes == 8;
            uint64_t *own_keys = field == SBT_FIELD_name && w->mapped ? keys : NULL;
            size_t got = sbt_column_next(&w->columns[field], direct ? (uint64_t *)(void *)to : values, keys, own_keys);
            if (to != NULL && !direct) {
                narrow(values, got, bytes, to);
            }
        }
    }
}

tsm_status
sbt_block_columns(const sbt_block *block, void *const columns[TSM_EVENT_FIELD_COUNT], tsm_error *err)
{
    walk w = { .mapped = false };
    tsm_status status = TSM_OK;
    for (unsigned field = 0; field < SBT_FIELDS && status == TSM_OK; field++) {
        uint64_t value;
        if (columns[field] == NULL) {
            continue;
        }
        if (is_constant(block, field, &value)) {
            fill(columns[field], sbt_fields[field].bytes, block->head.count, value);
        } else {
            status = open_column(&w, block, field);
        }
    }
    if (status == TSM_OK) {
        /* A constant name that was filled above may still be wanted as keys: then it is open. */
        walk_columns(&w, block->head.count, columns);
    }
    status = finish(&w, status);
    return status == TSM_OK ? TSM_OK : fail_block(block, status, "columns", err);
}

/* Opens what differs from row to row; the rest is put into the tile once. */
static tsm_status
open_tile(walk *w, const sbt_block *block, sbt_tile *tile)
{
    for (unsigned field = 0; field < SBT_FIELDS; field++) {
        uint64_t value;
        if (is_constant(block, field, &value)) {
            fill(tile->columns[field], sizeof value, SBT_STEP, value);
            continue;
        }
        tsm_status status = open_column(w, block, field);
        if (status != TSM_OK) {
            return status;
        }
    }
    return TSM_OK;
}

static void
walk_tile(walk *w, sbt_tile *tile)
{
    uint64_t keys[SBT_STEP];
    for (unsigned field = 0; field < SBT_FIELDS; field++) {
        if (w->open[field]) {
            uint64_t *own_keys = field == SBT_FIELD_name && w->mapped ? keys : NULL;
            sbt_column_next(&w->columns[field], tile->columns[field], keys, own_keys);
        }
    }
}

static void
skip_tile(walk *w)
{
    for (unsigned field = 0; field < SBT_FIELDS; field++) {
        if (w->open[field]) {
            sbt_column_skip(&w->columns[field]);
        }
    }
}

tsm_status
sbt_block_rows(const sbt_block *block, uint32_t from, uint32_t to, tsm_event *events, tsm_error *err)
{
    walk w = { .mapped = false };
    sbt_tile tile;
    tsm_status status = open_tile(&w, block, &tile);
    for (size_t at = 0; at < to && status == TSM_OK; at += SBT_STEP) {
        if (at + SBT_STEP <= from) {
            skip_tile(&w);
            continue;
        }
        size_t begin = at < from ? from - at : 0, end = to - at < SBT_STEP ? to - at : SBT_STEP;
        walk_tile(&w, &tile);
        sbt_tile_rows(&tile, begin, end, events + (at + begin - from));
    }
    status = finish(&w, status);
    return status == TSM_OK ? TSM_OK : fail_block(block, status, "rows", err);
}

/* What the extensions of a block are decoded through. */
typedef struct {
    uint64_t *values; /* of one column */
    uint32_t *group;  /* per extension */
    uint32_t *order;  /* extensions sorted by group, stably */
    uint32_t *starts; /* per group, into order */
    sbt_zstd_decoder *zstd;
} extension_scratch;

static tsm_status
take_heads(tsm_bytes *bytes, const sbt_block *block, extension_scratch *s, tsm_extension *extensions, uint32_t *rows)
{
    uint32_t count = block->head.extension_count;
    uint64_t last = 0;
    tsm_status status = sbt_column_take(bytes, count, s->values, &s->zstd);
    for (uint32_t i = 0; status == TSM_OK && i < count; i++) {
        if (s->values[i] >= block->head.count || s->values[i] < last) {
            return TSM_E_CORRUPT;
        }
        rows[i] = (uint32_t)(last = s->values[i]);
    }
    if (status == TSM_OK && (status = sbt_column_take(bytes, count, s->values, &s->zstd)) == TSM_OK) {
        for (uint32_t i = 0; i < count; i++) {
            if (s->values[i] >= count) {
                return TSM_E_CORRUPT;
            }
            s->group[i] = (uint32_t)s->values[i];
        }
    }
    if (status == TSM_OK && (status = sbt_column_take(bytes, count, s->values, &s->zstd)) == TSM_OK) {
        for (uint32_t i = 0; i < count; i++) {
            extensions[i].type = (uint16_t)s->values[i];
        }
    }
    if (status == TSM_OK && (status = sbt_column_take(bytes, count, s->values, &s->zstd)) == TSM_OK) {
        for (uint32_t i = 0; i < count; i++) {
            extensions[i].count = (uint16_t)s->values[i];
        }
    }
    return status;
}

static void
sort_by_group(extension_scratch *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        s->starts[s->group[i] + 1]++;
    }
    for (uint32_t group = 0; group < count; group++) {
        s->starts[group + 1] += s->starts[group];
    }
    for (uint32_t i = count; i-- > 0;) {
        /* From the back, so that starts[g + 1] comes down to where group g begins. */
        s->order[--s->starts[s->group[i] + 1]] = i;
    }
}

static tsm_status
take_groups(tsm_bytes *bytes, uint32_t count, extension_scratch *s, tsm_extension *extensions)
{
    uint64_t groups = tsm_bytes_varint(bytes);
    uint32_t at = 0;
    if (groups > count) {
        return TSM_E_CORRUPT;
    }
    for (uint64_t group = 0; group < groups; group++) {
        uint64_t schema = tsm_bytes_varint(bytes);
        uint64_t members = tsm_bytes_varint(bytes);
        uint32_t end = group + 2 <= count ? s->starts[group + 2] : count; /* where the next group begins */
        if (bytes->failed || s->starts[group + 1] != at || members != end - at || schema > UINT32_MAX) {
            return TSM_E_CORRUPT;
        }
        for (unsigned value = 0; value < TSM_EXTENSION_VALUES; value++) {
            tsm_status status = sbt_column_take(bytes, (size_t)members, s->values, &s->zstd);
            if (status != TSM_OK) {
                return status;
            }
            for (uint32_t i = 0; i < members; i++) {
                extensions[s->order[at + i]].values[value] = s->values[i];
            }
        }
        for (uint32_t i = 0; i < members; i++) {
            extensions[s->order[at + i]].schema = (uint32_t)schema;
        }
        at += (uint32_t)members;
    }
    return at == count ? TSM_OK : TSM_E_CORRUPT;
}

static tsm_status
take_extensions(tsm_bytes *bytes, const sbt_block *block, tsm_extension *extensions, uint32_t *rows)
{
    size_t count = block->head.extension_count;
    extension_scratch s = { .values = malloc(count * sizeof *s.values),
                            .group = malloc(2 * count * sizeof *s.group),
                            .starts = calloc(count + 1, sizeof *s.starts) };
    tsm_status status = TSM_E_NOMEM;
    if (s.values != NULL && s.group != NULL && s.starts != NULL) {
        s.order = s.group + count;
        status = take_heads(bytes, block, &s, extensions, rows);
        if (status == TSM_OK) {
            sort_by_group(&s, (uint32_t)count);
            status = take_groups(bytes, (uint32_t)count, &s, extensions);
        }
    }
    sbt_zstd_decoder_destroy(s.zstd);
    free(s.values);
    free(s.group);
    free(s.starts);
    return status;
}

tsm_status
sbt_block_extensions(const sbt_block *block, tsm_extension *extensions, uint32_t *rows, tsm_error *err)
{
    if (block->head.extension_count == 0) {
        return TSM_OK;
    }
    tsm_bytes bytes = { .at = block->rest, .end = block->end };
    tsm_status status = take_extensions(&bytes, block, extensions, rows);
    return status == TSM_OK ? TSM_OK : fail_block(block, status, "extensions", err);
}

/* Behind the extensions: 4 columns, and for each group its schema, its members and 7 columns. */
static void
skip_extensions(tsm_bytes *bytes)
{
    for (unsigned column = 0; column < 4; column++) {
        tsm_bytes_take(bytes, tsm_bytes_varint(bytes));
    }
    uint64_t groups = tsm_bytes_varint(bytes);
    for (uint64_t group = 0; group < groups && !bytes->failed; group++) {
        tsm_bytes_varint(bytes);
        tsm_bytes_varint(bytes);
        for (unsigned value = 0; value < TSM_EXTENSION_VALUES; value++) {
            tsm_bytes_take(bytes, tsm_bytes_varint(bytes));
        }
    }
}

tsm_status
sbt_block_positions(const sbt_block *block, sbt_chain *chain, tsm_error *err)
{
    tsm_bytes bytes = { .at = block->rest, .end = block->end };
    if (block->head.extension_count > 0) {
        skip_extensions(&bytes);
    }
    uint64_t count = tsm_bytes_varint(&bytes);
    for (uint64_t i = 0; i < count && !bytes.failed; i++) {
        uint64_t producer = tsm_bytes_varint(&bytes);
        tsm_sbt_position position = { .producer = (uint32_t)producer };
        position.slots = tsm_bytes_varint(&bytes);
        position.delivered = tsm_bytes_varint(&bytes);
        position.overwritten = tsm_bytes_varint(&bytes);
        position.lost = tsm_bytes_varint(&bytes);
        if (bytes.failed || producer > UINT32_MAX) {
            break;
        }
        tsm_status status = sbt_chain_set_position(chain, &position);
        if (status != TSM_OK) {
            return fail_block(block, status, "positions", err);
        }
    }
    return bytes.failed ? fail_block(block, TSM_E_CORRUPT, "positions", err) : TSM_OK;
}
