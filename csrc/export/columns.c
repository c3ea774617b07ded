#include "export/columns.h"

#define WHOLE_DEVICE UINT32_MAX /* the number of the row for what belongs to no stream */

const tsm_flat_column tsm_flat_columns[TSM_FLAT_COUNT] = {
#define X(name, cell) { #name, TSM_CELL_##cell },
    TSM_FLAT_COLUMNS(X)
#undef X
};

static inline void
put(tsm_flat *flat, unsigned column, uint64_t value)
{
    flat->values[column] = value;
    flat->known |= 1u << column;
}

static inline void
put_if(tsm_flat *flat, unsigned column, uint64_t value, bool known)
{
    flat->values[column] = value;
    flat->known = (flat->known & ~(1u << column)) | (uint32_t)known << column;
}

static inline bool
is_row(const tsm_tables *tables, unsigned table, uint64_t row)
{
    return row != 0 && row < tsm_tables_count(tables, table);
}

static void
put_text(const tsm_tables *tables, unsigned column, uint64_t row, tsm_flat *out)
{
    put_if(out, column, row, is_row(tables, TSM_TABLE_STRINGS, row));
}

static void
put_process(const tsm_tables *tables, uint64_t row, tsm_flat *out)
{
    if (is_row(tables, TSM_TABLE_PROCESSES, row)) {
        const uint64_t *process = tsm_tables_borrow_row(tables, TSM_TABLE_PROCESSES, (uint32_t)row);
        put(out, TSM_FLAT_pid, process[TSM_PROCESS_PID]);
        put_text(tables, TSM_FLAT_process_name, process[TSM_PROCESS_NAME], out);
    }
}

static void
put_device(const tsm_tables *tables, uint64_t row, tsm_flat *out)
{
    if (is_row(tables, TSM_TABLE_DEVICES, row)) {
        const uint64_t *device = tsm_tables_borrow_row(tables, TSM_TABLE_DEVICES, (uint32_t)row);
        put(out, TSM_FLAT_device, device[TSM_DEVICE_ORDINAL]);
        put_text(tables, TSM_FLAT_device_name, device[TSM_DEVICE_NAME], out);
    }
}

static void
put_stream(const tsm_tables *tables, uint32_t row, tsm_flat *out)
{
    const uint64_t *stream = tsm_tables_borrow_row(tables, TSM_TABLE_STREAMS, row);
    put_if(out, TSM_FLAT_stream, stream[TSM_STREAM_RAW_ID], stream[TSM_STREAM_RAW_ID] != WHOLE_DEVICE);
    put_text(tables, TSM_FLAT_stream_name, stream[TSM_STREAM_NAME], out);
    put_device(tables, stream[TSM_STREAM_DEVICE], out);
    put_process(tables, stream[TSM_STREAM_PROCESS], out);
}

/* The thread's process goes before the stream's. */
static void
put_thread(const tsm_tables *tables, uint32_t row, tsm_flat *out)
{
    const uint64_t *thread = tsm_tables_borrow_row(tables, TSM_TABLE_THREADS, row);
    put(out, TSM_FLAT_tid, thread[TSM_THREAD_TID]);
    put_text(tables, TSM_FLAT_thread_name, thread[TSM_THREAD_NAME], out);
    put_process(tables, thread[TSM_THREAD_PROCESS], out);
}

static void
put_launch(const tsm_tables *tables, uint32_t row, tsm_flat *out)
{
    static const struct {
        uint8_t column, from;
    } plain[] = {
        { TSM_FLAT_grid_x, TSM_LAUNCH_GRID_X },       { TSM_FLAT_grid_y, TSM_LAUNCH_GRID_Y },
        { TSM_FLAT_grid_z, TSM_LAUNCH_GRID_Z },       { TSM_FLAT_block_x, TSM_LAUNCH_BLOCK_X },
        { TSM_FLAT_block_y, TSM_LAUNCH_BLOCK_Y },     { TSM_FLAT_block_z, TSM_LAUNCH_BLOCK_Z },
        { TSM_FLAT_registers, TSM_LAUNCH_REGISTERS },
    };
    const uint64_t *launch = tsm_tables_borrow_row(tables, TSM_TABLE_LAUNCHES, row);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        put_if(out, plain[i].column, launch[plain[i].from], launch[plain[i].from] <= UINT32_MAX);
    }
    const uint64_t fixed = launch[TSM_LAUNCH_SHARED_STATIC], dynamic = launch[TSM_LAUNCH_SHARED_DYNAMIC];
    put_if(out, TSM_FLAT_shared_memory, fixed + dynamic, fixed <= UINT32_MAX && dynamic <= UINT32_MAX - fixed);
}

static void
put_value(const tsm_event *event, tsm_flat *out)
{
    switch (event->flags & TSM_VALUE_MASK) {
    case TSM_VALUE_NONE:
        break;
    case TSM_VALUE_BYTES:
        put_if(out, TSM_FLAT_bytes, event->value, event->value <= INT64_MAX);
        break;
    case TSM_VALUE_COUNTER:
        put(out, TSM_FLAT_counter, event->value);
        break;
    default:
        put(out, TSM_FLAT_value, event->value);
    }
}

/* What does not fit a signed number is not known, rather than negative. */
void
tsm_flat_resolve(const tsm_tables *tables, const tsm_event *event, tsm_flat *out)
{
    out->known = 0;
    put_if(out, TSM_FLAT_timestamp, event->timestamp, event->timestamp <= INT64_MAX);
    put_if(out, TSM_FLAT_duration, event->duration, event->duration <= INT64_MAX);
    put_text(tables, TSM_FLAT_name, event->name, out);
    put(out, TSM_FLAT_type, event->type);
    put_if(out, TSM_FLAT_correlation, event->correlation, event->correlation != 0);
    put_if(out, TSM_FLAT_stack, event->stack, is_row(tables, TSM_TABLE_STACKS, event->stack));
    put_value(event, out);
    put_device(tables, event->device, out);
    if (is_row(tables, TSM_TABLE_STREAMS, event->stream)) {
        put_stream(tables, event->stream, out);
    }
    if (is_row(tables, TSM_TABLE_THREADS, event->thread)) {
        put_thread(tables, event->thread, out);
    }
    if (tsm_extra_table(event->flags) == TSM_TABLE_LAUNCHES && is_row(tables, TSM_TABLE_LAUNCHES, event->extra)) {
        put_launch(tables, event->extra, out);
    }
}

/* ---- Texts */

static void
repair(tsm_buffer *buffer, tsm_text text, bool folded)
{
    const unsigned char *from = (const unsigned char *)text.data;
    char *at = text.size > SIZE_MAX / 4 ? NULL : tsm_buffer_room(buffer, text.size * 3 + 1);
    if (at == NULL) {
        buffer->failed = true;
        return;
    }
    char *const begin = at;
    for (size_t i = 0; i < text.size;) {
        const size_t length = tsm_utf8_length(from + i, text.size - i);
        if (length == 0) {
            memcpy(at, "\xef\xbf\xbd", 3);
            at += 3;
            i++;
            continue;
        }
        memcpy(at, from + i, length);
        if (folded && (*at == ';' || (*at >= 0 && *at < ' '))) {
            *at = *at == ';' ? ':' : ' ';
        }
        at += length;
        i += length;
    }
    buffer->size += (size_t)(at - begin);
}

void
tsm_buffer_utf8(tsm_buffer *buffer, tsm_text text)
{
    repair(buffer, text, false);
}

void
tsm_buffer_folded(tsm_buffer *buffer, tsm_text text)
{
    repair(buffer, text, true);
}

static void
put_place(tsm_buffer *buffer, const tsm_tables *tables, const uint64_t *frame)
{
    static const char hex[] = "0123456789abcdef";
    if (frame[TSM_FRAME_FILE] != 0) {
        tsm_buffer_folded(buffer, tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, (uint32_t)frame[TSM_FRAME_FILE]));
        tsm_buffer_say(buffer, ":");
        tsm_buffer_u64(buffer, frame[TSM_FRAME_LINE]);
        return;
    }
    char digits[18] = "0x";
    size_t used = 2;
    for (int shift = 60; shift >= 0; shift -= 4) {
        const unsigned digit = (unsigned)(frame[TSM_FRAME_ADDRESS] >> shift) & 15;
        if (digit != 0 || used > 2 || shift == 0) {
            digits[used++] = hex[digit];
        }
    }
    tsm_buffer_put(buffer, digits, used);
}

void
tsm_buffer_frame(tsm_buffer *buffer, const tsm_tables *tables, uint32_t frame)
{
    const uint64_t *row = tsm_tables_borrow_row(tables, TSM_TABLE_FRAMES, frame);
    const tsm_text function = tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, (uint32_t)row[TSM_FRAME_FUNCTION]);
    if (function.size > 0) {
        tsm_buffer_folded(buffer, function);
    } else {
        put_place(buffer, tables, row);
    }
}

size_t
tsm_stack_frames(const tsm_tables *tables, uint32_t stack, uint32_t frames[TSM_STACK_FRAMES])
{
    size_t count = 0;
    while (stack != 0 && count < TSM_STACK_FRAMES) { /* the limit also ends a chain that bites its tail */
        const uint64_t *row = tsm_tables_borrow_row(tables, TSM_TABLE_STACKS, stack);
        frames[count++] = (uint32_t)row[TSM_STACK_FRAME];
        stack = (uint32_t)row[TSM_STACK_PARENT];
    }
    return count;
}

void
tsm_buffer_stack(tsm_buffer *buffer, const tsm_tables *tables, uint32_t stack)
{
    uint32_t frames[TSM_STACK_FRAMES];
    for (size_t count = tsm_stack_frames(tables, stack, frames), i = count; i-- > 0;) {
        tsm_buffer_frame(buffer, tables, frames[i]);
        if (i > 0) {
            tsm_buffer_say(buffer, ";");
        }
    }
}
