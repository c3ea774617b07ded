/* Text for reading and grepping: one line per event, columns of fixed width, the name last because
 * it has no width. Control characters in names are shown as \xHH, so that a line stays a line and
 * nothing drives the terminal. */
#include <stdlib.h>

#include "export/columns.h"
#include "export/formats.h"

enum { AT_WIDTH = 20, DURATION_WIDTH = 14, TYPE_WIDTH = 15, PLACE_WIDTH = 22, CORRELATION_WIDTH = 12 };

#define CELL_MAX 64

/* Right-justified; what is wider shifts its line. */
static void
put_right(tsm_pen *pen, const char *text, size_t size, size_t width)
{
    char *at = tsm_pen_room(pen, CELL_MAX + width + 2);
    const size_t pad = size < width ? width - size : 0;
    memset(at, ' ', pad);
    memcpy(at + pad, text, size);
    memcpy(at + pad + size, "  ", 2);
    pen->at = at + pad + size + 2;
}

static void
put_left(tsm_pen *pen, const char *text, size_t size, size_t width)
{
    char *at = tsm_pen_room(pen, CELL_MAX + width + 2);
    const size_t pad = size < width ? width - size : 0;
    memcpy(at, text, size);
    memset(at + size, ' ', pad + 2);
    pen->at = at + size + pad + 2;
}

/* Seconds, to the nanosecond. */
static char *
print_seconds(char *at, uint64_t ns)
{
    at = tsm_print_u64(at, ns / 1000000000);
    *at++ = '.';
    uint64_t rest = ns % 1000000000;
    for (int i = 8; i >= 0; i--, rest /= 10) {
        at[i] = (char)('0' + rest % 10);
    }
    return at + 9;
}

static char *
print_known(char *at, const tsm_flat *flat, unsigned column)
{
    if ((flat->known >> column & 1) == 0) {
        *at = '-';
        return at + 1;
    }
    return tsm_print_i64(at, (int64_t)flat->values[column]);
}

/* gpu 0/7 for what lies on a stream, 4711/4712 for what lies on a thread. */
static char *
print_place(char *at, const tsm_event *event, const tsm_flat *flat)
{
    const bool device = tsm_event_on_stream(event);
    if (device) {
        memcpy(at, "gpu ", 4);
        at += 4;
    }
    at = print_known(at, flat, device ? TSM_FLAT_device : TSM_FLAT_pid);
    *at++ = '/';
    return print_known(at, flat, device ? TSM_FLAT_stream : TSM_FLAT_tid);
}

/* Valid UTF-8. The second byte of U+0080 to U+009F, which are controls too, is shown alone. */
static void
put_name(tsm_pen *pen, tsm_text text)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        const bool high = byte == 0xc2 && (unsigned char)text.data[i + 1] < 0xa0;
        byte = high ? (unsigned char)text.data[++i] : byte;
        if (byte < ' ' || byte == 0x7f || high) {
            const char shown[] = { '\\', 'x', hex[byte >> 4], hex[byte & 15] };
            tsm_pen_put(pen, shown, sizeof shown);
        } else {
            tsm_pen_put(pen, &text.data[i], 1);
        }
    }
}

static void
put_header(tsm_pen *pen)
{
    static const struct {
        const char *name;
        size_t width;
        bool left;
    } columns[] = {
        { "at (s)", AT_WIDTH, false },
        { "duration (us)", DURATION_WIDTH, false },
        { "type", TYPE_WIDTH, true },
        { "device/stream, pid/tid", PLACE_WIDTH, true },
        { "correlation", CORRELATION_WIDTH, false },
    };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        (columns[i].left ? put_left : put_right)(pen, columns[i].name, strlen(columns[i].name), columns[i].width);
    }
    tsm_pen_say(pen, "name\n");
}

static void
put_line(tsm_pen *pen, const tsm_tables *tables, const tsm_event *event, tsm_buffer *name)
{
    char cell[CELL_MAX];
    const char *type = tsm_event_type_name(event->type);
    tsm_flat flat;
    tsm_flat_resolve(tables, event, &flat);
    put_right(pen, cell, (size_t)(print_seconds(cell, event->timestamp) - cell), AT_WIDTH);
    put_right(pen, cell, (size_t)(tsm_print_us(cell, event->duration) - cell), DURATION_WIDTH);
    put_left(pen, type, strlen(type), TYPE_WIDTH);
    put_left(pen, cell, (size_t)(print_place(cell, event, &flat) - cell), PLACE_WIDTH);
    put_right(pen, cell, (size_t)(tsm_print_u64(cell, event->correlation) - cell), CORRELATION_WIDTH);
    name->size = 0;
    tsm_buffer_utf8(name, tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, event->name));
    put_name(pen, (tsm_text){ name->data, name->size });
    tsm_pen_say(pen, "\n");
}

static tsm_status
put_all(tsm_pen *pen, tsm_cursor *cursor, tsm_buffer *name, const tsm_export_options *options,
        tsm_export_report *report, tsm_error *err)
{
    tsm_batch batch;
    tsm_status status;
    while ((status = tsm_cursor_next(cursor, &batch, err)) == TSM_OK) {
        const tsm_tables *tables = tsm_cursor_tables(cursor);
        tsm_pen_begin(pen, pen->output);
        for (size_t i = 0; i < batch.count; i++) {
            if (!tsm_export_leaves_out(options, &batch.events[i])) {
                put_line(pen, tables, &batch.events[i], name);
                report->written++;
            }
        }
        tsm_pen_end(pen);
        report->events += batch.count;
        status = name->failed ? tsm_fail(err, TSM_E_NOMEM, 0, "no memory for a name")
                              : tsm_export_note(options, report->events, err);
        if (status != TSM_OK || tsm_output_failed(pen->output)) {
            return status;
        }
    }
    return status == TSM_E_END ? TSM_OK : status;
}

tsm_status
tsm_export_text(tsm_cursor *cursor, tsm_output *output, const tsm_export_options *options, tsm_export_report *report,
                tsm_error *err)
{
    tsm_pen pen;
    tsm_buffer name = { 0 };
    tsm_pen_begin(&pen, output);
    put_header(&pen);
    tsm_pen_end(&pen);
    tsm_status status = put_all(&pen, cursor, &name, options, report, err);
    free(name.data);
    return status;
}
