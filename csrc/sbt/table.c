/* TABLE sections: rows of one table with the description of its columns, so that a reader that
 * knows fewer or other columns, or not even the table, reads the rest. */
#include <stdlib.h>
#include <string.h>

#include "sbt/columns.h"

enum { ROWS_OF_COLUMNS = 0, ROWS_OF_TEXT = 1 };

static void
put_name(sbt_buffer *out, const char *name)
{
    sbt_put_varint(out, strlen(name));
    sbt_put(out, name, strlen(name));
}

static void
encode_text(sbt_encoder *e, const tsm_tables *tables, unsigned table, uint32_t first, uint32_t count, sbt_buffer *out)
{
    for (uint32_t i = 0; i < count; i++) {
        e->values[i] = tsm_tables_borrow_text(tables, table, first + i).size;
    }
    sbt_column_encode(e, e->values, count, SBT_TRY_OFFSET, NULL, out);
    for (uint32_t i = 0; i < count; i++) {
        tsm_text text = tsm_tables_borrow_text(tables, table, first + i);
        sbt_put(out, text.data, text.size);
    }
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
    size_t begin = out->size;
    sbt_put_varint(out, first);
    put_name(out, layout->name);
    sbt_put_u8(out, layout->text ? ROWS_OF_TEXT : ROWS_OF_COLUMNS);
    if (layout->text) {
        encode_text(e, tables, table, first, count, out);
    } else {
        encode_columns(e, tables, table, first, count, out);
    }
    /* Readers demand a byte per row, or a few bytes could claim any number of equal rows. */
    size_t used = out->size - begin;
    if (!out->failed && used < count) {
        uint8_t *at = sbt_buffer_room(out, count - used);
        if (at != NULL) {
            memset(at, 0, count - used);
            out->size += count - used;
        }
    }
}

static tsm_status
decode_text(tsm_tables *tables, unsigned table, uint32_t count, tsm_bytes *bytes, uint64_t *lengths)
{
    sbt_zstd_decoder *zstd = NULL;
    tsm_status status = sbt_column_take(bytes, count, lengths, &zstd);
    sbt_zstd_decoder_destroy(zstd);
    for (uint32_t i = 0; status == TSM_OK && i < count; i++) {
        uint32_t row;
        const uint8_t *text = tsm_bytes_take(bytes, lengths[i]);
        if (text == NULL) {
            return TSM_E_CORRUPT;
        }
        status = tsm_tables_add_text(tables, table, text, (size_t)lengths[i], &row);
    }
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

static tsm_status
decode_rows(tsm_tables *tables, unsigned table, uint32_t count, tsm_bytes *bytes)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    uint64_t first = tsm_bytes_varint(bytes);
    uint64_t name_bytes = tsm_bytes_varint(bytes);
    tsm_bytes_take(bytes, name_bytes);
    uint8_t kind = tsm_bytes_u8(bytes);
    if (bytes->failed || first != tsm_tables_count(tables, table) || kind > ROWS_OF_TEXT
        || layout->text != (kind == ROWS_OF_TEXT)) {
        return TSM_E_CORRUPT;
    }
    uint64_t *matrix = calloc((size_t)count * (layout->text ? 1 : layout->column_count) + 1, sizeof *matrix);
    if (matrix == NULL) {
        return TSM_E_NOMEM;
    }
    tsm_status status = layout->text ? decode_text(tables, table, count, bytes, matrix)
                                     : decode_columns(tables, table, (uint32_t)first, count, bytes, matrix);
    free(matrix);
    return status;
}

/* Where repair had to give rows up, empty ones keep the ids of those behind. */
static tsm_status
add_lost_rows(tsm_tables *tables, unsigned table, uint32_t count)
{
    static const uint64_t zeros[TSM_COLUMNS_MAX];
    bool text = tsm_table_layout_of(table)->text;
    tsm_status status = TSM_OK;
    for (uint32_t i = 0, row; i < count && status == TSM_OK; i++) {
        status = text ? tsm_tables_add_text(tables, table, "", 0, &row) : tsm_tables_add(tables, table, zeros, &row);
    }
    return status;
}

tsm_status
sbt_table_decode(tsm_tables *tables, const sbt_section *section, const uint8_t *payload, tsm_error *err)
{
    unsigned table = section->table;
    tsm_status status = TSM_OK;
    if (tsm_table_layout_of(table) == NULL) {
        return TSM_OK;
    }
    if (section->count > SBT_COLUMN_MAX || section->count > section->payload_bytes) {
        status = TSM_E_CORRUPT;
    } else if (section->kind & SBT_KIND_LOST) {
        status = add_lost_rows(tables, table, section->count);
    } else {
        tsm_bytes bytes = { .at = payload, .end = payload + section->payload_bytes };
        status = decode_rows(tables, table, section->count, &bytes);
    }
    if (status != TSM_OK) {
        return tsm_fail(err, status, section->offset, "rows of table '%s' at byte %llu: %s",
                        tsm_table_layout_of(table)->name, (unsigned long long)section->offset, tsm_status_text(status));
    }
    return TSM_OK;
}
