/* Out of our world. Every exporter pulls a cursor through once, block by block, and holds no more
 * than that; those that need time order say so. What events mean is in docs/events.md. */
#ifndef TSM_EXPORT_EXPORT_H
#define TSM_EXPORT_EXPORT_H

#include <stdbool.h>

#include "trace/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    TSM_EXPORT_CHROME = 1,   /* Chrome JSON in torch.profiler's schema */
    TSM_EXPORT_PERFETTO = 2, /* Perfetto protobuf */
    TSM_EXPORT_DOT = 3,      /* the dependency graph, for Graphviz */
    TSM_EXPORT_FOLDED = 4,   /* folded stacks weighted with device time */
    TSM_EXPORT_SPEEDSCOPE = 5,
    TSM_EXPORT_CSV = 6,
    TSM_EXPORT_TEXT = 7,
} tsm_export_format;

typedef struct {
    bool lean;        /* leave out what viewers can do without: arguments beyond the identifying ones */
    bool compress;    /* gzip around text, deflated packets inside protobuf */
    bool no_device;   /* leave out: what lies on streams */
    bool no_host;     /* what lies on threads */
    bool no_flows;    /* arrows */
    bool no_counters; /* counters */
    bool no_stacks;
    /* Called now and then with the events done; false ends the export with TSM_E_STATE. */
    bool (*progress)(void *context, uint64_t events);
    void *context;
} tsm_export_options;

typedef struct {
    uint64_t events;  /* pulled */
    uint64_t written; /* of them; the rest was left out by an option or has no form there */
    uint64_t bytes;   /* before compression of the whole file */
} tsm_export_report;

/* Takes cursor over. path '-' is standard output. options NULL: everything, not compressed.
 * report may be NULL. */
TSM_NODISCARD tsm_status tsm_export_file(tsm_cursor *cursor, tsm_export_format format, const char *path,
                                         const tsm_export_options *options, tsm_export_report *report, tsm_error *err);

/* ---- Arrow ------------------------------------------------------------------------------------
 *
 * Arrow's C data and stream interfaces, whose layout is a standard: other headers may have declared
 * them already. */

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE           2
#define ARROW_FLAG_MAP_KEYS_SORTED    4

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset;
    int64_t n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};
#endif

/* The events as record batches of at most 65,536 rows, one row each, every id resolved; the columns
 * are listed in docs/python.md. Texts are dictionaries, which grow while the stream goes on, so that
 * codes stay the same, and begin anew when they have become large. Holds one batch at a time; what
 * it has handed out belongs to its taker and outlives it. Takes cursor over, not on failure; the
 * cursor and its tables are looked at inside get_next alone. */
TSM_NODISCARD tsm_status tsm_export_arrow(tsm_cursor *cursor, struct ArrowArrayStream *out);

#ifdef __cplusplus
}
#endif

#endif
