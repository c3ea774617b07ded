/* CSV: a row per event, the columns of columns.h, quoted as RFC 4180 has it. What is not known is
 * empty. Lines end with a line feed alone, as `view` writes them. */
#include "export/formats.h"
#include "export/texts.h"

typedef struct {
    tsm_pen pen;
    const tsm_tables *tables;
    tsm_cell_texts texts[TSM_FLAT_COUNT];
} csv;

static void
put_header(csv *c)
{
    for (size_t i = 0; i < TSM_FLAT_COUNT; i++) {
        tsm_pen_put(&c->pen, tsm_flat_columns[i].name, strlen(tsm_flat_columns[i].name));
        tsm_pen_put(&c->pen, i + 1 < TSM_FLAT_COUNT ? "," : "\n", 1);
    }
}

static tsm_status
put_text(csv *c, size_t column, uint64_t id)
{
    uint32_t code;
    tsm_cell_texts *texts = &c->texts[column];
    tsm_status status = tsm_cell_texts_code(texts, c->tables, id, &code);
    if (status == TSM_OK) {
        const tsm_text text = tsm_cell_texts_borrow(texts, code);
        tsm_pen_put(&c->pen, text.data, text.size);
    }
    return status;
}

static void
put_number(csv *c, tsm_cell cell, uint64_t value)
{
    char *at = tsm_pen_room(&c->pen, TSM_NUMBER_CHARS);
    if (cell == TSM_CELL_INTEGER) {
        c->pen.at = tsm_print_i64(at, (int64_t)value);
    } else if (cell == TSM_CELL_REAL) {
        double real;
        memcpy(&real, &value, sizeof real);
        c->pen.at = real - real == 0 ? tsm_print_double(at, real) : at; /* neither is a number */
    } else {
        c->pen.at = tsm_print_u64(at, value);
    }
}

static tsm_status
put_row(csv *c, const tsm_event *event, bool stacks)
{
    tsm_status status = TSM_OK;
    tsm_flat flat;
    tsm_flat_resolve(c->tables, event, &flat);
    flat.known &= stacks ? UINT32_MAX : ~(1u << TSM_FLAT_stack);
    for (size_t i = 0; i < TSM_FLAT_COUNT && status == TSM_OK; i++) {
        const tsm_cell cell = tsm_flat_columns[i].cell;
        const bool known = flat.known >> i & 1;
        if (known && tsm_cell_is_text(cell)) {
            status = put_text(c, i, flat.values[i]);
        } else if (known) {
            put_number(c, cell, flat.values[i]);
        }
        tsm_pen_put(&c->pen, i + 1 < TSM_FLAT_COUNT ? "," : "\n", 1);
    }
    return status;
}

static tsm_status
put_batch(csv *c, const tsm_batch *batch, const tsm_export_options *options, tsm_export_report *report)
{
    tsm_status status = TSM_OK;
    for (size_t i = 0; i < TSM_FLAT_COUNT; i++) {
        (void)tsm_cell_texts_renew(&c->texts[i]);
    }
    for (size_t i = 0; i < batch->count && status == TSM_OK; i++) {
        if (!tsm_export_leaves_out(options, &batch->events[i])) {
            status = put_row(c, &batch->events[i], !options->no_stacks);
            report->written++;
        }
    }
    return status;
}

static tsm_status
put_all(csv *c, tsm_cursor *cursor, const tsm_export_options *options, tsm_export_report *report, tsm_error *err)
{
    tsm_batch batch;
    tsm_status status;
    while ((status = tsm_cursor_next(cursor, &batch, err)) == TSM_OK) {
        c->tables = tsm_cursor_tables(cursor);
        tsm_pen_begin(&c->pen, c->pen.output);
        status = put_batch(c, &batch, options, report);
        tsm_pen_end(&c->pen);
        report->events += batch.count;
        if (status != TSM_OK) {
            return tsm_fail(err, status, 0, "a text does not fit: %s", tsm_status_text(status));
        }
        status = tsm_export_note(options, report->events, err);
        if (status != TSM_OK || tsm_output_failed(c->pen.output)) {
            return status;
        }
    }
    return status == TSM_E_END ? TSM_OK : status;
}

tsm_status
tsm_export_csv(tsm_cursor *cursor, tsm_output *output, const tsm_export_options *options, tsm_export_report *report,
               tsm_error *err)
{
    csv c = { .pen.output = output };
    for (size_t i = 0; i < TSM_FLAT_COUNT; i++) {
        c.texts[i].cell = tsm_flat_columns[i].cell;
        c.texts[i].quoted = true;
    }
    tsm_pen_begin(&c.pen, output);
    put_header(&c);
    tsm_pen_end(&c.pen);
    tsm_status status = put_all(&c, cursor, options, report, err);
    for (size_t i = 0; i < TSM_FLAT_COUNT; i++) {
        tsm_cell_texts_free(&c.texts[i]);
    }
    return status;
}
