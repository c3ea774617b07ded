/* A trace as one flat table: a row per event with every id resolved. CSV, text and Arrow have these
 * columns. Private to export/. */
#ifndef TSM_EXPORT_COLUMNS_H
#define TSM_EXPORT_COLUMNS_H

#include <stdbool.h>

#include "export/export.h"
#include "export/json.h"
#include "trace/trace.h"

typedef enum {
    TSM_CELL_INTEGER, /* int64 */
    TSM_CELL_NATURAL, /* uint64 */
    TSM_CELL_COUNT,   /* uint32 */
    TSM_CELL_REAL,    /* the bits of a double */
    TSM_CELL_STRING,  /* a row of strings */
    TSM_CELL_TYPE,    /* a tsm_event_type */
    TSM_CELL_STACK,   /* a row of stacks */
} tsm_cell;

/* X(name, tsm_cell); docs/python.md says what they hold. Signed where people subtract: unsigned
 * differences wrap around, or fail, in every consumer. */
#define TSM_FLAT_COLUMNS(X) \
    X(timestamp, INTEGER)   \
    X(duration, INTEGER)    \
    X(name, STRING)         \
    X(type, TYPE)           \
    X(device, INTEGER)      \
    X(device_name, STRING)  \
    X(stream, INTEGER)      \
    X(stream_name, STRING)  \
    X(pid, INTEGER)         \
    X(process_name, STRING) \
    X(tid, INTEGER)         \
    X(thread_name, STRING)  \
    X(correlation, NATURAL) \
    X(bytes, INTEGER)       \
    X(counter, REAL)        \
    X(value, NATURAL)       \
    X(grid_x, COUNT)        \
    X(grid_y, COUNT)        \
    X(grid_z, COUNT)        \
    X(block_x, COUNT)       \
    X(block_y, COUNT)       \
    X(block_z, COUNT)       \
    X(shared_memory, COUNT) \
    X(registers, COUNT)     \
    X(stack, STACK)

enum {
#define X(name, cell) TSM_FLAT_##name,
    TSM_FLAT_COLUMNS(X)
#undef X
        TSM_FLAT_COUNT
};

typedef struct {
    const char *name;
    tsm_cell cell;
} tsm_flat_column;

extern const tsm_flat_column tsm_flat_columns[TSM_FLAT_COUNT];

/* Bit c of known: values[c] means something. */
typedef struct {
    uint64_t values[TSM_FLAT_COUNT];
    uint32_t known;
} tsm_flat;

void tsm_flat_resolve(const tsm_tables *tables, const tsm_event *event, tsm_flat *out);

/* The text as valid UTF-8: what is not becomes U+FFFD, a byte at a time. */
void tsm_buffer_utf8(tsm_buffer *buffer, tsm_text text);

/* One frame: its function, else its file and line, else its address. Semicolons become colons and
 * line ends spaces, because folded stacks have no way to quote. Valid UTF-8. */
void tsm_buffer_frame(tsm_buffer *buffer, const tsm_tables *tables, uint32_t frame);
void tsm_buffer_stack(tsm_buffer *buffer, const tsm_tables *tables, uint32_t stack);
/* The same for a name that becomes a frame. */
void tsm_buffer_folded(tsm_buffer *buffer, tsm_text text);

#define TSM_STACK_FRAMES 1024

/* The frames of a stack, the innermost first; returns how many. Deeper stacks lose their outermost. */
size_t tsm_stack_frames(const tsm_tables *tables, uint32_t stack, uint32_t frames[TSM_STACK_FRAMES]);

/* Do the switches leave it out? */
static inline bool
tsm_export_leaves_out(const tsm_export_options *options, const tsm_event *event)
{
    if (event->type == TSM_EVENT_COUNTER) {
        return options->no_counters;
    }
    return tsm_event_on_stream(event) ? options->no_device : options->no_host;
}

/* TSM_E_STATE, with a text, when whoever watches wants to stop. */
static inline tsm_status
tsm_export_note(const tsm_export_options *options, uint64_t events, tsm_error *err)
{
    if (options->progress != NULL && !options->progress(options->context, events)) {
        return tsm_fail(err, TSM_E_STATE, 0, "stopped");
    }
    return TSM_OK;
}

#endif
