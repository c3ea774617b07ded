/* A batch: filled column by column as its rows come, then handed over. Consumers may take a column
 * out and release the rest, so each owns what it needs. */
#include <stdlib.h>

#include "export/arrow.h"

#define ALIGNMENT 64

static size_t
padded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t
valid_bytes(size_t rows)
{
    return padded((rows + 7) / 8);
}

/* What a column is that no row has a value for, as most are in most traces. Never written to. */
static _Alignas(ALIGNMENT) unsigned char nothing[ARROW_BATCH_ROWS * 8];

static bool
make_column(arrow_column *column, size_t rows, size_t width)
{
    unsigned char *block = calloc(1, valid_bytes(rows) + padded(rows * width) + ALIGNMENT);
    if (block == NULL) {
        return false;
    }
    unsigned char *aligned = block + (ALIGNMENT - (uintptr_t)block % ALIGNMENT) % ALIGNMENT;
    *column = (arrow_column){ .block = block, .valid = aligned, .values = aligned + valid_bytes(rows) };
    return true;
}

void
arrow_batch_free(arrow_batch *batch)
{
    for (size_t c = 0; c < TSM_FLAT_COUNT; c++) {
        free(batch->columns[c].block);
    }
    *batch = (arrow_batch){ .rows = 0 };
}

void
arrow_batch_begin(arrow_batch *batch)
{
    *batch = (arrow_batch){ .rows = 0 };
}

tsm_status
arrow_batch_add(arrow_batch *batch, arrow_texts *texts, const tsm_tables *tables, const tsm_event *event)
{
    const size_t row = batch->rows;
    tsm_flat flat;
    tsm_flat_resolve(tables, event, &flat);
    for (uint32_t left = flat.known; left != 0; left &= left - 1) {
        const unsigned c = (unsigned)__builtin_ctz(left);
        const tsm_cell cell = tsm_flat_columns[c].cell;
        arrow_column *column = &batch->columns[c];
        if (column->block == NULL && !make_column(column, ARROW_BATCH_ROWS, arrow_width(cell))) {
            return TSM_E_NOMEM;
        }
        uint32_t narrow = (uint32_t)flat.values[c];
        if (tsm_cell_is_text(cell)) {
            tsm_status status = tsm_cell_texts_code(&texts[c].texts, tables, flat.values[c], &narrow);
            if (status != TSM_OK) {
                return status;
            }
            batch->full |= texts[c].texts.bytes.size > ARROW_TEXT_BYTES;
        }
        if (arrow_width(cell) == 4) {
            memcpy(column->values + row * 4, &narrow, 4);
        } else {
            memcpy(column->values + row * 8, &flat.values[c], 8);
        }
        column->valid[row / 8] = (unsigned char)(column->valid[row / 8] | 1u << row % 8);
        column->known++;
    }
    batch->full |= ++batch->rows == ARROW_BATCH_ROWS;
    return TSM_OK;
}

/* ---- Handing over */

/* Of one column. Its address, and that of its dictionary, must not change when it is taken out. */
typedef struct {
    const void *buffers[2];
    unsigned char *block;
    struct ArrowArray dictionary;
} column_owner;

static void
release_column(struct ArrowArray *array)
{
    column_owner *owner = array->private_data;
    if (owner->dictionary.release != NULL) {
        owner->dictionary.release(&owner->dictionary);
    }
    free(owner->block);
    free(owner);
    array->release = NULL;
}

typedef struct {
    const void *buffers[1];
    struct ArrowArray *pointers[TSM_FLAT_COUNT];
    struct ArrowArray columns[TSM_FLAT_COUNT];
} batch_owner;

static void
release_batch(struct ArrowArray *array)
{
    batch_owner *owner = array->private_data;
    for (size_t c = 0; c < TSM_FLAT_COUNT; c++) {
        if (owner->columns[c].release != NULL) {
            owner->columns[c].release(&owner->columns[c]);
        }
    }
    free(owner);
    array->release = NULL;
}

/* A last batch of few rows should not hold the room of a full one. */
static tsm_status
trim(arrow_column *column, size_t rows, size_t width)
{
    arrow_column fit;
    if (column->block == NULL || rows > ARROW_BATCH_ROWS / 2) {
        return TSM_OK;
    }
    if (!make_column(&fit, rows, width)) {
        return TSM_E_NOMEM;
    }
    memcpy(fit.valid, column->valid, (rows + 7) / 8);
    memcpy(fit.values, column->values, rows * width);
    fit.known = column->known;
    free(column->block);
    *column = fit;
    return TSM_OK;
}

static tsm_status
finish_column(arrow_column *column, size_t rows, tsm_cell cell, arrow_texts *texts, struct ArrowArray *out)
{
    column_owner *owner = calloc(1, sizeof *owner);
    tsm_status status = owner == NULL ? TSM_E_NOMEM : TSM_OK;
    if (status == TSM_OK && tsm_cell_is_text(cell)) {
        status = arrow_texts_array(texts, &owner->dictionary);
    }
    if (status != TSM_OK) {
        free(owner);
        return status;
    }
    const bool empty = column->block == NULL;
    owner->buffers[0] = column->known == rows ? NULL : empty ? nothing : column->valid;
    owner->buffers[1] = empty ? nothing : column->values;
    owner->block = column->block;
    column->block = NULL;
    *out = (struct ArrowArray){ .length = (int64_t)rows,
                                .null_count = (int64_t)(rows - column->known),
                                .n_buffers = 2,
                                .buffers = owner->buffers,
                                .dictionary = tsm_cell_is_text(cell) ? &owner->dictionary : NULL,
                                .release = release_column,
                                .private_data = owner };
    return TSM_OK;
}

tsm_status
arrow_batch_finish(arrow_batch *batch, arrow_texts *texts, struct ArrowArray *out)
{
    batch_owner *owner = calloc(1, sizeof *owner);
    struct ArrowArray made = { .length = (int64_t)batch->rows,
                               .n_buffers = 1,
                               .n_children = TSM_FLAT_COUNT,
                               .release = release_batch,
                               .private_data = owner };
    tsm_status status = owner == NULL ? TSM_E_NOMEM : TSM_OK;
    for (size_t c = 0; status == TSM_OK && c < TSM_FLAT_COUNT; c++) {
        const tsm_cell cell = tsm_flat_columns[c].cell;
        owner->pointers[c] = &owner->columns[c];
        status = trim(&batch->columns[c], batch->rows, arrow_width(cell));
        if (status == TSM_OK) {
            status = finish_column(&batch->columns[c], batch->rows, cell, &texts[c], &owner->columns[c]);
        }
    }
    arrow_batch_free(batch);
    if (status != TSM_OK) {
        if (owner != NULL) {
            release_batch(&made);
        }
        return status;
    }
    made.buffers = owner->buffers;
    made.children = owner->pointers;
    *out = made;
    return TSM_OK;
}
