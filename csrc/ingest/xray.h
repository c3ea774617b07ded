/* LLVM XRay logs: from -fxray-instrument, in basic or flight-data-recorder mode, versions 1 to 5.
 * Both kinds come down to records of threads, in each thread's order (xray_calls.c makes events of
 * them). Private to ingest/. */
#ifndef TSM_INGEST_XRAY_H
#define TSM_INGEST_XRAY_H

#include "ingest/input.h"
#include "ingest/keep.h"
#include "symbol/symbol.h"

enum { XRAY_HEADER_BYTES = 32 };
enum { XRAY_BASIC = 0, XRAY_FDR = 1 };

/* As both kinds of log number them. */
enum { XRAY_ENTER = 0, XRAY_EXIT = 1, XRAY_TAIL_EXIT = 2, XRAY_ENTER_ARGUMENT = 3 };

/* What the importer's keys begin with. */
enum { XRAY_KEY_THREAD = 1, XRAY_KEY_CALL, XRAY_KEY_NAME };

/* A function that a thread is in. */
typedef struct {
    uint64_t begin, argument; /* ns */
    uint32_t call;            /* of importer's */
    uint32_t below;           /* the next frame of the same function, counted from 1 */
    uint16_t cpu;
    bool has_argument;
} xray_frame;

typedef struct {
    uint32_t row;
    uint64_t last_ns;
    xray_frame *frames;
    size_t depth, capacity;
} xray_thread;

/* A function as one thread calls it. */
typedef struct {
    uint32_t function, name;
    uint32_t top; /* its innermost frame, counted from 1 */
} xray_call;

typedef struct {
    ingest_buffer out;
    unsigned version, type;
    uint64_t frequency;
    uint64_t shift; /* ns that are added to make the time monotonic; modulo 2^64 */
    tsm_elf *binary;
    const uint64_t *functions; /* of the binary */
    size_t function_count;

    ingest_keys keys;
    xray_thread *threads;
    xray_call *calls;
    size_t thread_count, thread_capacity, call_count, call_capacity;
    uint64_t nameless, kept[3]; /* functions; calls, custom events, typed events */
    uint32_t call_schema, argument_schema, custom_schema, typed_schema;
} xray_importer;

/* xray_calls.c. thread: what xray_thread_of gave, UINT32_MAX after a failure, which is in out. */
uint32_t xray_thread_of(xray_importer *im, uint32_t pid, uint32_t tid);
void xray_function(xray_importer *im, uint32_t thread, unsigned kind, uint32_t function, uint16_t cpu, uint64_t ticks);
/* Of the function entered last. */
void xray_argument(xray_importer *im, uint32_t thread, uint32_t function, uint64_t value);
void xray_finish(xray_importer *im); /* what is still open ends where its thread was last seen */
uint64_t xray_ns(const xray_importer *im, uint64_t ticks);
void xray_flush_if_full(xray_importer *im);

/* xray_notes.c: what the program itself put into the log. type: -1 for a custom event. */
void xray_note(xray_importer *im, uint32_t thread, int32_t type, uint16_t cpu, uint64_t ticks, const uint8_t *data,
               size_t size);

/* xray_names.c: the row of the function's name. */
uint32_t xray_name_of(xray_importer *im, uint32_t function);

/* xray_basic.c, xray_fdr.c. The window begins behind the header; the data with it. */
TSM_NODISCARD tsm_status xray_read_basic(xray_importer *im, tsm_input *input);
TSM_NODISCARD tsm_status xray_read_fdr(xray_importer *im, const uint8_t *data, size_t size, uint64_t buffer_bytes);

/* xray.c. binary: the program that wrote the log, for names; or NULL. */
TSM_NODISCARD tsm_status tsm_ingest_xray(tsm_input *input, const char *binary, tsm_sink *sink,
                                         tsm_ingest_report *report, tsm_error *err);

#endif
