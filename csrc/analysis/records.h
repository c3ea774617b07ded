/* What a partial is made of: records, each of a kind, found by texts, that add up. A kind says how
 * many texts name a record, how each of its numbers merges and how many summaries it has, so that
 * finding, merging, saving and loading are written once for all. Private to analysis/. */
#ifndef TSM_ANALYSIS_RECORDS_H
#define TSM_ANALYSIS_RECORDS_H

#include "analysis/summary.h"
#include "base/status.h"
#include "trace/trace.h"

#define TSM_RECORD_KEYS 5

/* X(NAME, number, texts, fields, summaries). A field is '+' (sum), '^' (greatest), 'v' (least),
 * or '"' (a text: whichever came first). Numbers are part of a saved partial. */
#define TSM_RECORD_KINDS(X)                \
    X(INPUT, 1, 1, "++v^+", 0)             \
    X(DEVICE, 2, 1, "++++++++^v^^^^\"", 0) \
    X(KERNEL, 3, 1, "^+", 1)               \
    X(CONFIG, 4, 2, "^^^^", 1)             \
    X(LAUNCH, 5, 2, "++", 4)               \
    X(COPY, 6, 2, "++++", 2)               \
    X(API, 7, 1, "^", 1)                   \
    X(CAUSE, 8, 2, "+", 1)                 \
    X(CULPRIT, 9, 3, "+++^", 0)            \
    X(GAP, 10, 5, "^^^\"\"\"", 0)          \
    X(STREAM, 11, 2, "++++", 0)            \
    X(PAIR, 12, 3, "+", 0)                 \
    X(SYNC, 13, 3, "+++^", 0)              \
    X(STEP, 14, 4, "^^^^^^", 0)            \
    X(COLLECTIVE, 15, 3, "+^^", 1)         \
    X(STACK, 16, 2, "++", 0)               \
    X(MEMORY, 17, 1, "++++^^++++", 1)      \
    X(LEAK, 18, 3, "++v", 0)               \
    X(CHUNK, 19, 3, "++^", 0)              \
    X(IN_USE, 20, 3, "^+^", 0)             \
    X(HEALTH, 21, 1, "+", 0)               \
    X(GRAPH, 22, 1, "+++", 0)              \
    X(HANDOVER, 23, 0, "", 1)

typedef enum {
#define X(name, number, keys, fields, summaries) TSM_RECORD_##name = number,
    TSM_RECORD_KINDS(X)
#undef X
        TSM_RECORD_LIMIT = 24,
} tsm_record_kind;

typedef struct {
    uint32_t key_count, summary_count;
    const char *fields;
} tsm_record_layout;

/* The fields of each kind, by position; times in ns. */
enum { TSM_INPUT_EVENTS, TSM_INPUT_DROPPED, TSM_INPUT_BEGIN, TSM_INPUT_END, TSM_INPUT_WINDOWED };
enum {
    TSM_DEVICE_WINDOW_NS, /* from the first begin to the last end; the next five are unions in it */
    TSM_DEVICE_BUSY_NS,
    TSM_DEVICE_COMPUTE_NS,
    TSM_DEVICE_COMMUNICATION_NS,
    TSM_DEVICE_EITHER_NS, /* compute or communication */
    TSM_DEVICE_MEMORY_NS,
    TSM_DEVICE_OPERATIONS,
    TSM_DEVICE_WORK_NS, /* durations added up */
    TSM_DEVICE_DEEPEST, /* most at once */
    TSM_DEVICE_BEGIN,
    TSM_DEVICE_END,
    TSM_DEVICE_SMS,
    TSM_DEVICE_SM_THREADS,
    TSM_DEVICE_MEMORY_SIZE,
    TSM_DEVICE_MODEL,
};
/* A kernel's durations are in its configs, and only those without one in itself (kernel_view.c). */
enum { TSM_KERNEL_IS_COMMUNICATION, TSM_KERNEL_ZERO };
enum { TSM_CONFIG_BLOCKS, TSM_CONFIG_THREADS, TSM_CONFIG_SMS, TSM_CONFIG_SM_THREADS };
enum { TSM_EXEC_ZERO, TSM_EXEC_NEGATIVE }; /* summaries: */
enum { TSM_EXEC_TOTAL, TSM_EXEC_CALL, TSM_EXEC_QUEUE, TSM_EXEC_KERNEL };
enum { TSM_COPY_PAGEABLE, TSM_COPY_PAGEABLE_NS, TSM_COPY_TINY, TSM_COPY_TINY_NS }; /* summaries: ns, bytes */
enum { TSM_CAUSE_AFTER_SYNC_NS };
enum { TSM_CULPRIT_COUNT, TSM_CULPRIT_NS, TSM_CULPRIT_AFTER_SYNC_NS, TSM_CULPRIT_MAX };
enum { TSM_GAP_BEGIN, TSM_GAP_NS, TSM_GAP_CAUSE_NS, TSM_GAP_STREAM, TSM_GAP_NEXT, TSM_GAP_CALL };
enum { TSM_STREAM_BUSY_NS, TSM_STREAM_OPERATIONS, TSM_STREAM_COMPUTE_NS, TSM_STREAM_WAITS };
enum { TSM_SYNC_COUNT, TSM_SYNC_NS, TSM_SYNC_WAITED_NS, TSM_SYNC_MAX };
enum { TSM_STEP_NUMBER, TSM_STEP_BEGIN, TSM_STEP_NS, TSM_STEP_BUSY_NS, TSM_STEP_COMPUTE_NS, TSM_STEP_EXPOSED_NS };
enum { TSM_COLLECTIVE_EXPOSED_NS, TSM_COLLECTIVE_BYTES, TSM_COLLECTIVE_RANKS };
enum { TSM_STACK_NS, TSM_STACK_COUNT };
enum {
    TSM_MEMORY_ALLOCATIONS,
    TSM_MEMORY_FREES,
    TSM_MEMORY_ALLOCATED,
    TSM_MEMORY_FREED,
    TSM_MEMORY_PEAK,
    TSM_MEMORY_PEAK_AT,
    TSM_MEMORY_LIVE,
    TSM_MEMORY_LIVE_COUNT,
    TSM_MEMORY_STRANGE, /* frees of what nobody allocated in the trace */
    TSM_MEMORY_HOST_NS, /* summary: lifetimes */
};
enum { TSM_CHUNK_BUSY_NS, TSM_CHUNK_NS, TSM_CHUNK_BEGIN }; /* and of IN_USE: bytes, -, begin */
enum { TSM_LEAK_COUNT, TSM_LEAK_BYTES, TSM_LEAK_FIRST };
enum { TSM_GRAPH_LAUNCHES, TSM_GRAPH_NODES, TSM_GRAPH_CALL_NS };

/* NULL for a number that is no kind. */
const tsm_record_layout *tsm_record_layout_of(unsigned kind);

typedef struct {
    uint32_t kind;
    uint32_t keys[TSM_RECORD_KEYS]; /* rows of strings */
    tsm_summary *summaries;
    uint64_t fields[]; /* as many as the layout has */
} tsm_record;

typedef struct {
    tsm_tables *strings;
    tsm_record **items; /* in order of first appearance; records never move */
    size_t count, capacity;
    uint32_t *slots; /* index into items + 1 */
    size_t slot_count;
    size_t of_kind[TSM_RECORD_LIMIT];
    bool failed; /* out of memory: something is missing */
} tsm_records;

TSM_NODISCARD tsm_status tsm_records_create(tsm_records *records);
void tsm_records_free(tsm_records *records);

/* The row of a text; 0, which is the empty text, when out of memory. */
uint32_t tsm_records_text(tsm_records *records, const void *data, size_t size);
uint32_t tsm_records_format(tsm_records *records, const char *format, ...) __attribute__((format(printf, 2, 3)));
tsm_text tsm_records_borrow(const tsm_records *records, uint32_t text);

/* The record of that kind and texts, made if there is none. NULL: out of memory. */
tsm_record *tsm_records_find(tsm_records *records, tsm_record_kind kind, const uint32_t *keys);

/* Adds all of from to into. */
TSM_NODISCARD tsm_status tsm_records_merge(tsm_records *into, const tsm_records *from);

TSM_NODISCARD tsm_status tsm_records_save(const tsm_records *records, uint8_t **data, size_t *size);
/* From foreign bytes, into records that were just created. */
TSM_NODISCARD tsm_status tsm_records_load(tsm_records *records, const void *data, size_t size, tsm_error *err);

#endif
