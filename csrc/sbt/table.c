/* TABLE sections: rows of one table with the description of its columns, so that a reader that
 * knows fewer or other columns, or not even the table, reads the rest. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"

enum { ROWS_OF_COLUMNS = 0, ROWS_OF_TEXT = 1 };

/* Texts may be so many times as long as the payload that they come from, or a few bytes of zstd
 * could claim any amount. Unlike events they are all held in memory, from opening on. */
#define TEXT_PER_BYTE 64u

static void
put_name(sbt_buffer *out, const char *name)
{
    sbt_put_varint(out, strlen(name));
    sbt_put(out, name, strlen(name));
}

/* The texts behind their size, like a plane of a column: a zstd frame where that is smaller.
 * Returns how long they are together. */
static size_t
put_texts(sbt_encoder *e, const tsm_tables *tables, unsigned table, uint32_t first, uint32_t count, sbt_buffer *out)
{
    sbt_buffer *texts = &e->column;
    texts->size = 0;
    texts->failed = false;
    for (uint32_t i = 0; i < count; i++) {
        tsm_text text = tsm_tables_borrow_text(tables, table, first + i);
        sbt_put(texts, text.data, text.size);
    }
    size_t size = texts->size, bytes = 0;
    uint8_t *frame = e->zstd == NULL || size == 0 ? NULL : sbt_buffer_room(texts, size);
    if (frame != NULL) {
        bytes = sbt_zstd_encode(e->zstd, texts->data, size, frame);
    }
    sbt_put_varint(out, bytes == 0 ? size : bytes);
    sbt_put(out, bytes == 0 ? texts->data : frame, bytes == 0 ? size : bytes);
    out->failed |= texts->failed;
    return size;
}

static size_t
encode_text(sbt_encoder *e, const tsm_tables *tables, unsigned table, uint32_t first, uint32_t count, sbt_buffer *out)
{
    for (uint32_t i = 0; i < count; i++) {
        e->values[i] = tsm_tables_borrow_text(tables, table, first + i).size;
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, NULL, out);
    return put_texts(e, tables, table, first, count, out);
}

static void
encode_columns(sbt_encoder *e, const tsm_tables *tables, unsigned table, uint32_t first, uint32_t count,
               sbt_buffer *out)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    const uint64_t *rows = tsm_tables_borrow_row(tables, table, first);
    sbt_put_varint(out, layout->column_count);
    for (size_t column = 0; column < layout->column_count; column++) {
        put_name(out, layout->columns[column].name);
        sbt_put_u8(out, layout->columns[column].type);
        sbt_put_varint(out, layout->columns[column].ref);
        for (uint32_t i = 0; i < count; i++) {
            e->values[i] = rows[i * layout->column_count + column];
        }
        sbt_column_encode(e, e->values, count, SBT_TRY_BOTH, NULL, out);
    }
}

void
sbt_table_encode(sbt_encoder *e, const tsm_tables *tables, unsigned table, uint32_t first, uint32_t count,
                 sbt_buffer *out)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    size_t begin = out->size, least = count;
    sbt_put_varint(out, first);
    put_name(out, layout->name);
    sbt_put_u8(out, layout->text ? ROWS_OF_TEXT : ROWS_OF_COLUMNS);
    if (layout->text) {
        size_t size = encode_text(e, tables, table, first, count, out);
        least = size / TEXT_PER_BYTE < count ? count : size / TEXT_PER_BYTE + 1;
    } else {
        encode_columns(e, tables, table, first, count, out);
    }
    /* Readers demand a byte per row, or a few bytes could claim any number of equal rows. */
    size_t used = out->size - begin;
    if (!out->failed && used < least) {
        uint8_t *at = sbt_buffer_room(out, least - used);
        if (at != NULL) {
            memset(at, 0, least - used);
            out->size += least - used;
        }
    }
}

/* The texts of total bytes, where they lie or, made anew, in *made, which the caller frees. */
static tsm_status
take_texts(tsm_bytes *bytes, uint64_t total, sbt_zstd_decoder **zstd, const uint8_t **texts, uint8_t **made)
{
    uint64_t size = tsm_bytes_varint(bytes);
    *texts = tsm_bytes_take(bytes, size);
    if (*texts == NULL || size > total) {
        return TSM_E_CORRUPT;
    }
    if (size == total) {
        return TSM_OK;
    }
    *made = malloc((size_t)total);
    if (*made == NULL) {
        return TSM_E_NOMEM;
    }
    tsm_status status = sbt_zstd_decode(zstd, *texts, (size_t)size, *made, (size_t)total);
    *texts = *made;
    return status;
}

static tsm_status
add_texts(tsm_tables *tables, unsigned table, uint32_t count, const uint64_t *lengths, const uint8_t *texts)
{
    tsm_status status = TSM_OK;
    for (uint32_t i = 0, row; status == TSM_OK && i < count; i++) {
        status = tsm_tables_add_text(tables, table, texts, (size_t)lengths[i], &row);
        texts += lengths[i];
    }
    return status;
}

/* most: so long may the texts be together. */
static tsm_status
decode_text(tsm_tables *tables, unsigned table, uint32_t count, tsm_bytes *bytes, uint64_t most, uint64_t *lengths)
{
    sbt_zstd_decoder *zstd = NULL;
    const uint8_t *texts = NULL;
    uint8_t *made = NULL;
    uint64_t total = 0;
    tsm_status status = sbt_column_take(bytes, count, lengths, &zstd);
    for (uint32_t i = 0; status == TSM_OK && i < count; i++) {
        status = lengths[i] > most - total ? TSM_E_CORRUPT : TSM_OK;
        total += lengths[i];
    }
    if (status == TSM_OK) {
        status = take_texts(bytes, total, &zstd, &texts, &made);
    }
    if (status == TSM_OK) {
        status = add_texts(tables, table, count, lengths, texts);
    }
    sbt_zstd_decoder_destroy(zstd);
    free(made);
    return status;
}

/* The layout's column of that name, or column_count. */
static size_t
find_column(const tsm_table_layout *layout, const uint8_t *name, size_t size)
{
    size_t i = 0;
    while (i < layout->column_count
           && (strlen(layout->columns[i].name) != size || memcmp(layout->columns[i].name, name, size) != 0)) {
        i++;
    }
    return i;
}

/* A row that refers to its own table refers to an earlier row: who follows a chain must end. */
static bool
rises(const uint64_t *values, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] >= (uint64_t)first + i && values[i] != 0) {
            return false;
        }
    }
    return true;
}

/* One column into matrix[column_count][count], when this build knows it. */
static tsm_status
decode_column(unsigned table, uint32_t first, uint32_t count, tsm_bytes *bytes, uint64_t *matrix,
              sbt_zstd_decoder **zstd)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    uint64_t name_bytes = tsm_bytes_varint(bytes);
    const uint8_t *name = tsm_bytes_take(bytes, name_bytes);
    tsm_bytes_u8(bytes);
    tsm_bytes_varint(bytes);
    uint64_t size = tsm_bytes_varint(bytes);
    const uint8_t *data = tsm_bytes_take(bytes, size);
    if (name == NULL || data == NULL) {
        return TSM_E_CORRUPT;
    }
    size_t column = find_column(layout, name, (size_t)name_bytes);
    if (column == layout->column_count) {
        return TSM_OK;
    }
    uint64_t *values = matrix + column * count;
    tsm_status status = sbt_column_decode(data, (size_t)size, count, values, zstd);
    const tsm_column *known = &layout->columns[column];
    bool own = known->type == TSM_COLUMN_REF && known->ref == table;
    return status == TSM_OK && own && !rises(values, first, count) ? TSM_E_CORRUPT : status;
}

static tsm_status
decode_columns(tsm_tables *tables, unsigned table, uint32_t first, uint32_t count, tsm_bytes *bytes, uint64_t *matrix)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    sbt_zstd_decoder *zstd = NULL;
    tsm_status status = TSM_OK;
    uint64_t columns = tsm_bytes_varint(bytes);
    for (uint64_t i = 0; i < columns && status == TSM_OK; i++) {
        status = decode_column(table, first, count, bytes, matrix, &zstd);
    }
    sbt_zstd_decoder_destroy(zstd);
    for (uint32_t i = 0; i < count && status == TSM_OK; i++) {
        uint64_t values[TSM_COLUMNS_MAX];
        uint32_t row;
        for (size_t column = 0; column < layout->column_count; column++) {
            values[column] = matrix[column * count + i];
        }
        status = tsm_tables_add(tables, table, values, &row);
    }
    return status;
}

tsm_status
sbt_table_add_lost(tsm_tables *tables, unsigned table, uint32_t count)
{
    static const uint64_t zeros[TSM_COLUMNS_MAX];
    bool text = tsm_table_layout_of(table)->text;
    tsm_status status = TSM_OK;
    for (uint32_t i = 0, row; i < count && status == TSM_OK; i++) {
        status = text ? tsm_tables_add_text(tables, table, "", 0, &row) : tsm_tables_add(tables, table, zeros, &row);
    }
    return status;
}

/* Rows are missing before first: they were in sections whose headers are lost, if those were
 * large enough. Every row costs its section a byte, so nothing that was written is refused. */
static tsm_status
fill_gap(sbt_chain *chain, unsigned table, uint64_t first)
{
    uint64_t have = tsm_tables_count(chain->tables, table);
    if (first < have || first > UINT32_MAX || first - have > chain->lost_bytes) {
        return TSM_E_CORRUPT;
    }
    chain->lost_bytes -= first - have;
    return sbt_table_add_lost(chain->tables, table, (uint32_t)(first - have));
}

static tsm_status
decode_rows(sbt_chain *chain, unsigned table, uint32_t count, tsm_bytes *bytes)
{
    tsm_tables *tables = chain->tables;
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    uint64_t most_text = tsm_bytes_left(bytes) * TEXT_PER_BYTE;
    uint64_t first = tsm_bytes_varint(bytes);
    uint64_t name_bytes = tsm_bytes_varint(bytes);
    tsm_bytes_take(bytes, name_bytes);
    uint8_t kind = tsm_bytes_u8(bytes);
    if (bytes->failed || kind > ROWS_OF_TEXT || layout->text != (kind == ROWS_OF_TEXT)) {
        return TSM_E_CORRUPT;
    }
    tsm_status status = fill_gap(chain, table, first);
    if (status != TSM_OK) {
        return status;
    }
    uint64_t *matrix = calloc((size_t)count * (layout->text ? 1 : layout->column_count) + 1, sizeof *matrix);
    if (matrix == NULL) {
        return TSM_E_NOMEM;
    }
    status = layout->text ? decode_text(tables, table, count, bytes, most_text, matrix)
                          : decode_columns(tables, table, (uint32_t)first, count, bytes, matrix);
    free(matrix);
    return status;
}

static tsm_status
fail_rows(const sbt_section *section, tsm_status status, tsm_error *err)
{
    const char *why = status == TSM_E_UNSUPPORTED && !tsm_sbt_zstd_available()
                          ? "need zstd, or a coding that this build does not have"
                          : tsm_status_text(status);
    return tsm_fail(err, status, section->offset, "rows of table '%s' at byte %llu: %s",
                    tsm_table_layout_of(section->table)->name, (unsigned long long)section->offset, why);
}

tsm_status
sbt_table_decode(sbt_chain *chain, const sbt_section *section, const uint8_t *payload, tsm_error *err)
{
    unsigned table = section->table;
    tsm_status status = TSM_OK;
    if (tsm_table_layout_of(table) == NULL) {
        return TSM_OK;
    }
    if (section->count > SBT_COLUMN_MAX || section->count > section->payload_bytes) {
        status = TSM_E_CORRUPT;
    } else if (section->kind & SBT_KIND_LOST) {
        status = sbt_table_add_lost(chain->tables, table, section->count);
    } else {
        tsm_bytes bytes = { .at = payload, .end = payload + section->payload_bytes };
        status = decode_rows(chain, table, section->count, &bytes);
    }
    return status == TSM_OK ? TSM_OK : fail_rows(section, status, err);
}
