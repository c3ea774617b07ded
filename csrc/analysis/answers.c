#include "analysis/answers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define TEXT_BLOCK 16384

/* ---- Texts ------------------------------------------------------------------------------------ */

static char *
room_for(tsm_answers_texts **texts, size_t size)
{
    if (*texts == NULL || (*texts)->size - (*texts)->used < size) {
        size_t block = size > TEXT_BLOCK ? size : TEXT_BLOCK;
        tsm_answers_texts *made = malloc(sizeof *made + block);
        if (made == NULL) {
            return NULL;
        }
        made->next = *texts;
        made->used = 0;
        made->size = block;
        *texts = made;
    }
    return (*texts)->data + (*texts)->used;
}

tsm_text
tsm_texts_format(tsm_answers_texts **texts, bool *failed, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    char *room = size < 0 ? NULL : room_for(texts, (size_t)size + 1);
    tsm_text made = { "", 0 };
    if (room == NULL) {
        *failed = true;
    } else {
        made = (tsm_text){ room, (size_t)vsnprintf(room, (size_t)size + 1, format, again) };
        (*texts)->used += made.size + 1;
    }
    va_end(again);
    va_end(args);
    return made;
}

void
tsm_texts_free(tsm_answers_texts *texts)
{
    while (texts != NULL) {
        tsm_answers_texts *next = texts->next;
        free(texts);
        texts = next;
    }
}

/* ---- Records in order ------------------------------------------------------------------------- */

typedef struct {
    double rank;
    const tsm_record *record;
    const tsm_records *records;
} ranked;

static int
compare_texts(tsm_text a, tsm_text b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int
compare(const void *a, const void *b)
{
    const ranked *one = a, *other = b;
    const tsm_records *records = one->records;
    if (one->rank != other->rank) {
        return one->rank < other->rank ? 1 : -1;
    }
    for (size_t i = 0; i < TSM_RECORD_KEYS; i++) {
        int order = compare_texts(tsm_records_borrow(records, one->record->keys[i]),
                                  tsm_records_borrow(records, other->record->keys[i]));
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

const tsm_record **
tsm_records_ranked(const tsm_records *records, tsm_record_kind kind, tsm_rank *rank, size_t *count)
{
    size_t wanted = records->of_kind[kind], found = 0;
    *count = 0;
    ranked *order = wanted == 0 ? NULL : malloc(wanted * sizeof *order);
    const tsm_record **out = wanted == 0 ? NULL : malloc(wanted * sizeof *out);
    if (order == NULL || out == NULL) {
        free(order);
        free(out);
        return NULL;
    }
    for (size_t i = 0; i < records->count; i++) {
        if (records->items[i]->kind == kind) {
            order[found++] = (ranked){ rank(records->items[i]), records->items[i], records };
        }
    }
    qsort(order, found, sizeof *order, compare);
    for (size_t i = 0; i < found; i++) {
        out[i] = order[i].record;
    }
    free(order);
    *count = found;
    return out;
}

/* ---- Tables ----------------------------------------------------------------------------------- */

void
tsm_table_begin(tsm_builder *builder, tsm_report report, const tsm_answer_column *columns, size_t count)
{
    builder->table = &builder->answers->tables[builder->answers->table_count++];
    *builder->table = (tsm_answer_table){ .report = report, .columns = columns, .column_count = count };
    builder->cells_capacity = 0;
}

bool
tsm_table_row(tsm_builder *builder)
{
    tsm_answer_table *table = builder->table;
    if (table->all++ >= builder->limit) {
        return false;
    }
    size_t cells = (table->row_count + 1) * table->column_count;
    if (!tsm_array_reserve(&table->cells, &builder->cells_capacity, cells)) {
        builder->failed = true;
        return false;
    }
    table->row_count++;
    builder->cell = cells - table->column_count;
    return true;
}

/* Rows are filled from left to right. */
static void
put(tsm_builder *builder, tsm_cell cell)
{
    builder->table->cells[builder->cell++] = cell;
}

void
tsm_cell_integer(tsm_builder *builder, uint64_t value)
{
    put(builder, (tsm_cell){ .type = TSM_CELL_INTEGER, .integer = value });
}

void
tsm_cell_real(tsm_builder *builder, double value)
{
    put(builder, (tsm_cell){ .type = TSM_CELL_REAL, .real = value });
}

void
tsm_cell_text(tsm_builder *builder, tsm_text text)
{
    put(builder, (tsm_cell){ .type = TSM_CELL_TEXT, .text = text });
}

void
tsm_cell_key(tsm_builder *builder, uint32_t text)
{
    tsm_cell_text(builder, tsm_records_borrow(builder->records, text));
}

void
tsm_cell_none(tsm_builder *builder)
{
    put(builder, (tsm_cell){ .type = TSM_CELL_NONE });
}

void
tsm_cell_share(tsm_builder *builder, double part, double whole)
{
    if (whole > 0) {
        tsm_cell_real(builder, 100 * part / whole);
    } else {
        tsm_cell_none(builder);
    }
}
