/* Rows of a trace as texts that mean the same in every other: interned once per row. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analysis/pass.h"

#define STACK_DEPTH 256

void
tsm_pass_classify(tsm_pass *pass, uint32_t row)
{
    pass->names[row].classified = true;
    pass->names[row].class = tsm_name_classify(tsm_tables_borrow_text(pass->tables, TSM_TABLE_STRINGS, row));
}

static uint32_t
text_of(tsm_pass *pass, uint32_t strings_row)
{
    tsm_text text = tsm_tables_borrow_text(pass->tables, TSM_TABLE_STRINGS, strings_row);
    return tsm_records_text(pass->records, text.data, text.size);
}

uint32_t
tsm_pass_name_text(tsm_pass *pass, uint32_t row)
{
    tsm_name_state *name = tsm_pass_name(pass, row);
    if (name->text == 0) {
        name->text = text_of(pass, row) + 1;
    }
    return name->text - 1;
}

typedef struct {
    char data[8192];
    size_t size;
} buffer;

static void
put(buffer *to, tsm_text text)
{
    for (size_t i = 0; i < text.size && to->size < sizeof to->data; i++) {
        /* ';' parts frames, and folded stacks are lines. */
        char c = text.data[i];
        to->data[to->size++] = c == ';' ? ':' : c == '\n' ? ' ' : c;
    }
}

static void
put_text(buffer *to, const char *text)
{
    put(to, (tsm_text){ text, strlen(text) });
}

static void
put_frame(tsm_pass *pass, buffer *to, uint32_t frame)
{
    const uint64_t *row = tsm_tables_borrow_row(pass->tables, TSM_TABLE_FRAMES, frame);
    tsm_text function = tsm_tables_borrow_text(pass->tables, TSM_TABLE_STRINGS, (uint32_t)row[TSM_FRAME_FUNCTION]);
    tsm_text file = tsm_tables_borrow_text(pass->tables, TSM_TABLE_STRINGS, (uint32_t)row[TSM_FRAME_FILE]);
    char number[32];
    if (function.size > 0) {
        put(to, function);
    } else {
        snprintf(number, sizeof number, "0x%" PRIx64, row[TSM_FRAME_ADDRESS]);
        put_text(to, number);
    }
    if (file.size > 0) {
        put_text(to, " (");
        put(to, file);
        if (row[TSM_FRAME_LINE] != 0) {
            snprintf(number, sizeof number, ":%" PRIu64, row[TSM_FRAME_LINE]);
            put_text(to, number);
        }
        put_text(to, ")");
    }
}

/* From the outermost call to the innermost, parted by ';'. */
static uint32_t
fold(tsm_pass *pass, uint32_t stack)
{
    uint32_t frames[STACK_DEPTH];
    size_t depth = 0;
    for (uint32_t at = stack; at != 0 && depth < STACK_DEPTH;) {
        const uint64_t *row = tsm_tables_borrow_row(pass->tables, TSM_TABLE_STACKS, at);
        frames[depth++] = (uint32_t)row[TSM_STACK_FRAME];
        at = row[TSM_STACK_PARENT] < at ? (uint32_t)row[TSM_STACK_PARENT] : 0;
    }
    buffer text = { .size = 0 };
    while (depth-- > 0) {
        put_frame(pass, &text, frames[depth]);
        if (depth > 0 && text.size < sizeof text.data) {
            text.data[text.size++] = ';';
        }
    }
    return tsm_records_text(pass->records, text.data, text.size);
}

uint32_t
tsm_pass_stack_text(tsm_pass *pass, uint32_t row)
{
    if (row == 0 || row >= pass->stack_count) {
        return 0;
    }
    if (pass->stack_texts[row] == 0) {
        pass->stack_texts[row] = fold(pass, row) + 1;
    }
    return pass->stack_texts[row] - 1;
}

uint32_t
tsm_pass_stream_text(tsm_pass *pass, uint32_t row)
{
    tsm_stream_state *stream = &pass->streams[row < pass->stream_count ? row : 0];
    if (stream->text == 0 && stream != pass->streams) {
        const uint64_t *values = tsm_tables_borrow_row(pass->tables, TSM_TABLE_STREAMS, row);
        tsm_text name = tsm_tables_borrow_text(pass->tables, TSM_TABLE_STRINGS, (uint32_t)values[TSM_STREAM_NAME]);
        uint32_t context = (uint32_t)values[TSM_STREAM_CONTEXT];
        stream->text = 1
                       + (name.size > 0 ? tsm_records_format(pass->records, "%" PRIu64 " (%.*s)",
                                                             values[TSM_STREAM_RAW_ID], (int)name.size, name.data)
                          : context > 1 ? tsm_records_format(pass->records, "%" PRIu64 " of context %" PRIu32,
                                                             values[TSM_STREAM_RAW_ID], context)
                                        : tsm_records_format(pass->records, "%" PRIu64, values[TSM_STREAM_RAW_ID]));
    }
    return stream->text == 0 ? 0 : stream->text - 1;
}

uint32_t
tsm_pass_thread_text(tsm_pass *pass, uint32_t row)
{
    tsm_thread_state *thread = &pass->threads[row < pass->thread_count ? row : 0];
    if (thread->text == 0 && thread != pass->threads) {
        const uint64_t *values = tsm_tables_borrow_row(pass->tables, TSM_TABLE_THREADS, row);
        const uint64_t *process =
            tsm_tables_borrow_row(pass->tables, TSM_TABLE_PROCESSES, (uint32_t)values[TSM_THREAD_PROCESS]);
        thread->text = 1
                       + tsm_records_format(pass->records, "%" PRIu64 "/%" PRIu64, process[TSM_PROCESS_PID],
                                            values[TSM_THREAD_TID]);
    }
    return thread->text == 0 ? 0 : thread->text - 1;
}

uint32_t
tsm_pass_launch_text(tsm_pass *pass, uint32_t row)
{
    const uint64_t *v = tsm_tables_borrow_row(pass->tables, TSM_TABLE_LAUNCHES, row);
    return tsm_records_format(pass->records,
                              "%" PRIu64 "x%" PRIu64 "x%" PRIu64 " by %" PRIu64 "x%" PRIu64 "x%" PRIu64 ", %" PRIu64
                              " B shared, %" PRIu64 " registers",
                              v[TSM_LAUNCH_GRID_X], v[TSM_LAUNCH_GRID_Y], v[TSM_LAUNCH_GRID_Z], v[TSM_LAUNCH_BLOCK_X],
                              v[TSM_LAUNCH_BLOCK_Y], v[TSM_LAUNCH_BLOCK_Z],
                              v[TSM_LAUNCH_SHARED_STATIC] + v[TSM_LAUNCH_SHARED_DYNAMIC], v[TSM_LAUNCH_REGISTERS]);
}

/* Two devices of one number (two hosts, two ranks in a file) are told apart by their row. */
static bool
number_is_taken(tsm_pass *pass, uint32_t row, uint64_t ordinal)
{
    for (uint32_t i = 1; i < row && i < 4096; i++) {
        if (pass->devices[i].record != NULL
            && tsm_tables_borrow_row(pass->tables, TSM_TABLE_DEVICES, i)[TSM_DEVICE_ORDINAL] == ordinal) {
            return true;
        }
    }
    return false;
}

uint32_t
tsm_pass_place_text(tsm_pass *pass, uint32_t row)
{
    uint64_t ordinal = tsm_tables_borrow_row(pass->tables, TSM_TABLE_DEVICES, row)[TSM_DEVICE_ORDINAL];
    tsm_text label = tsm_records_borrow(pass->records, pass->label);
    char number[64];
    if (row == 0) {
        snprintf(number, sizeof number, "unknown GPU");
    } else if (number_is_taken(pass, row, ordinal)) {
        snprintf(number, sizeof number, "GPU %" PRIu64 " (row %" PRIu32 ")", ordinal, row);
    } else {
        snprintf(number, sizeof number, "GPU %" PRIu64, ordinal);
    }
    return label.size == 0 ? tsm_records_format(pass->records, "%s", number)
                           : tsm_records_format(pass->records, "%.*s: %s", (int)label.size, label.data, number);
}
