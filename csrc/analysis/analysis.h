/* Answers: what a trace says about the run that made it. docs/analysis.md has every definition.
 *
 * A trace goes through once, in time order, and leaves a partial of kilobytes, which can be saved,
 * loaded elsewhere and merged with those of other traces, in any order, to the same answers. */
#ifndef TSM_ANALYSIS_ANALYSIS_H
#define TSM_ANALYSIS_ANALYSIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "trace/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tsm_analysis tsm_analysis;

TSM_NODISCARD tsm_status tsm_analysis_create(tsm_analysis **out);
void tsm_analysis_destroy(tsm_analysis *analysis); /* NULL is allowed */

/* Called now and then with the events done; false ends it with TSM_E_STATE. */
typedef bool (*tsm_analysis_progress)(void *context, uint64_t events);

/* One trace. Takes cursor over, whatever comes of it; puts its events into time order by itself.
 * label tells this trace's devices from those of others, and may be empty when there is only one.
 * Device work is cut to [begin, end); what cursor gives beyond it is left out. On failure the
 * analysis is spoilt: destroy it. */
TSM_NODISCARD tsm_status tsm_analysis_add(tsm_analysis *analysis, tsm_cursor *cursor, const char *label, uint64_t begin,
                                          uint64_t end, tsm_analysis_progress progress, void *context, tsm_error *err);

/* As bytes, which the caller frees; and from bytes that are not trusted. */
TSM_NODISCARD tsm_status tsm_analysis_save(const tsm_analysis *analysis, uint8_t **data, size_t *size);
TSM_NODISCARD tsm_status tsm_analysis_load(const void *data, size_t size, tsm_analysis **out, tsm_error *err);
/* On failure, into is spoilt. */
TSM_NODISCARD tsm_status tsm_analysis_merge(tsm_analysis *into, const tsm_analysis *from);

/* ---- Answers ---------------------------------------------------------------------------------- */

/* X(NAME, name). The tables that there are, in the order in which they are given. */
#define TSM_REPORTS(X)            \
    X(INPUTS, "inputs")           \
    X(BREAKDOWN, "breakdown")     \
    X(OVERLAP, "overlap")         \
    X(CAUSES, "causes")           \
    X(CULPRITS, "culprits")       \
    X(GAPS, "gaps")               \
    X(KERNELS, "kernels")         \
    X(CONFIGS, "configs")         \
    X(LAUNCHES, "launches")       \
    X(COPIES, "copies")           \
    X(API, "api")                 \
    X(SYNC, "sync")               \
    X(STREAMS, "streams")         \
    X(CONCURRENCY, "concurrency") \
    X(STEPS, "steps")             \
    X(COLLECTIVES, "collectives") \
    X(MEMORY, "memory")           \
    X(LEAKS, "leaks")             \
    X(GRAPHS, "graphs")           \
    X(STACKS, "stacks")           \
    X(UTILIZATION, "utilization") \
    X(MEMORY_USE, "memory-use")   \
    X(HISTOGRAMS, "histograms")   \
    X(HEALTH, "health")

typedef enum {
#define X(NAME, name) TSM_REPORT_##NAME,
    TSM_REPORTS(X)
#undef X
        TSM_REPORT_COUNT,
} tsm_report;

#define TSM_REPORT_BIT(report) (1u << (report))
#define TSM_REPORT_ALL         ((1u << TSM_REPORT_COUNT) - 1)

const char *tsm_report_name(tsm_report report);

typedef enum { TSM_CELL_NONE, TSM_CELL_INTEGER, TSM_CELL_REAL, TSM_CELL_TEXT } tsm_cell_type;

typedef struct {
    tsm_cell_type type;
    union {
        uint64_t integer;
        double real;
        tsm_text text;
    };
} tsm_cell;

typedef struct {
    const char *name;
    const char *unit; /* "ns", "bytes", "%", "GB/s" or "" */
    tsm_cell_type type;
} tsm_answer_column;

typedef struct {
    tsm_report report;
    const tsm_answer_column *columns;
    size_t column_count;
    tsm_cell *cells; /* row by row */
    size_t row_count;
    size_t all; /* rows there would be without a limit */
} tsm_answer_table;

typedef enum { TSM_LEVEL_INFO, TSM_LEVEL_LOW, TSM_LEVEL_MEDIUM, TSM_LEVEL_HIGH } tsm_level;

#define TSM_EVIDENCE_MOST 4

typedef struct {
    const char *id;
    tsm_level severity, confidence;
    uint64_t cost_ns; /* of device time */
    double share;     /* of the window of all devices */
    tsm_text what;
    const char *advice;
    tsm_text stack; /* empty where there is none */
    tsm_text evidence[TSM_EVIDENCE_MOST];
    size_t evidence_count;
} tsm_finding;

/* Where the device time went, all devices together: window = the next four. */
typedef struct {
    uint64_t devices, events;
    uint64_t window_ns, compute_ns, exposed_communication_ns, exposed_memory_ns, idle_ns;
    uint64_t communication_ns, overlap_ns;
    uint64_t gap_threshold_ns; /* shorter gaps are the device's own hand-over */
} tsm_totals;

typedef struct {
    tsm_totals totals;
    tsm_text verdict; /* one sentence */
    tsm_answer_table *tables;
    size_t table_count;
    tsm_finding *findings; /* the most expensive first */
    size_t finding_count;
    struct tsm_answers_texts *texts; /* private: what the texts are made of */
} tsm_answers;

/* wanted: bits of reports. limit: rows per table, 0 for all. Borrows from analysis, which must
 * outlive the answers unchanged. */
TSM_NODISCARD tsm_status tsm_analysis_finish(const tsm_analysis *analysis, uint32_t wanted, size_t limit,
                                             tsm_answers **out);
void tsm_answers_destroy(tsm_answers *answers); /* NULL is allowed */

/* ---- Two traces ------------------------------------------------------------------------------- */

typedef enum { TSM_DIFF_SAME, TSM_DIFF_SLOWER, TSM_DIFF_FASTER, TSM_DIFF_NEW, TSM_DIFF_REMOVED } tsm_change;

typedef struct {
    tsm_text name;
    uint64_t count_before, count_after, total_before, total_after, median_before, median_after;
    double ratio; /* of the averages; 0 when one side has none */
    double p;     /* that chance alone makes such a difference (Welch) */
    tsm_change change;
} tsm_kernel_change;

typedef struct {
    tsm_totals before, after;
    tsm_change change; /* of the whole */
    double ratio;      /* of what was compared: steps, or else the window */
    double p;          /* 1 when there is only one number on each side */
    const char *by;    /* "step" or "window" */
    tsm_text verdict;
    tsm_kernel_change *kernels; /* the largest change of total first */
    size_t kernel_count;
    struct tsm_answers_texts *texts;
} tsm_difference;

/* threshold: relative changes below it are the same (0.05). alpha: significance (0.01). Borrows
 * from both, which must outlive the difference unchanged. */
TSM_NODISCARD tsm_status tsm_analysis_diff(const tsm_analysis *before, const tsm_analysis *after, double threshold,
                                           double alpha, tsm_difference **out);
void tsm_difference_destroy(tsm_difference *difference); /* NULL is allowed */

/* ---- The critical path ------------------------------------------------------------------------ */

typedef struct tsm_timeline tsm_timeline; /* both of timeline/timeline.h */
typedef struct tsm_dependencies tsm_dependencies;

/* X(NAME, name): what a part of the path is. */
#define TSM_PATH_PARTS(X)             \
    X(KERNEL, "kernel")               \
    X(COPY, "copy")                   \
    X(COMMUNICATION, "communication") \
    X(HOST, "host")                   \
    X(LAUNCH, "launch")               \
    X(SYNC, "sync")                   \
    X(WAITING, "waiting")

typedef enum {
#define X(NAME, name) TSM_PATH_##NAME,
    TSM_PATH_PARTS(X)
#undef X
        TSM_PATH_PART_COUNT,
} tsm_path_part;

/* Led to from what comes behind it. */
typedef struct {
    uint64_t begin_ns, end_ns;
    uint32_t span;      /* the operation, the call, the innermost span of the thread, or for waiting
                         * the operation that waited; TSM_SPAN_NONE: nothing is there */
    uint16_t part;      /* tsm_path_part */
    uint8_t kind;       /* tsm_dependency_kind of the edge that led here; 0: none did */
    uint8_t provenance; /* tsm_provenance of that; 0 where the path starts */
} tsm_path_segment;

/* segments lie in order of time and cover [begin, end) without gap or overlap. */
typedef struct {
    uint64_t begin_ns, end_ns;
    uint64_t part_ns[TSM_PATH_PART_COUNT]; /* adds up to the window */
    uint64_t inferred_ns;                  /* of it, in segments that an inferred edge led to */
    tsm_path_segment *segments;
    size_t count;
} tsm_path;

/* Back from the end of the window, always to what was satisfied last. begin == end: from the begin
 * of the first work to the end of the last. tables: those that the timeline was built with. */
TSM_NODISCARD tsm_status tsm_critical_path(const tsm_timeline *timeline, const tsm_dependencies *dependencies,
                                           const tsm_tables *tables, uint64_t begin_ns, uint64_t end_ns,
                                           tsm_path **out);
void tsm_path_destroy(tsm_path *path); /* NULL is allowed */
const char *tsm_path_part_name(tsm_path_part part);

#ifdef __cplusplus
}
#endif

#endif
