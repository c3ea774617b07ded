/* Other people's traces become ours: a file in any known format is read once, front to back, and
 * written to a sink. What the events mean afterwards is in docs/events.md. */
#ifndef TSM_INGEST_INGEST_H
#define TSM_INGEST_INGEST_H

#include <stdbool.h>

#include "trace/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    TSM_INGEST_UNKNOWN = 0,
    TSM_INGEST_CHROME = 1,   /* Chrome and Kineto JSON, plain or gzipped */
    TSM_INGEST_ROCPROF = 2,  /* rocprofv3 JSON */
    TSM_INGEST_NSYS = 3,     /* Nsight Systems' SQLite export */
    TSM_INGEST_XRAY = 4,     /* LLVM XRay, basic and FDR */
    TSM_INGEST_SBT01 = 5,    /* files of the earlier TraceSmith */
    TSM_INGEST_PERFETTO = 6, /* protobuf, as far as export/ writes it */
    TSM_INGEST_SBT = 7,      /* ours: not for ingest, but recognised */
} tsm_ingest_format;

/* What was understood, by category, and what was not, with the reason. Rows are in order of first
 * appearance. reason is NULL for what became events. */
typedef struct {
    char category[48];
    const char *reason; /* static text */
    uint64_t count;
} tsm_ingest_row;

#define TSM_INGEST_ROWS 64

typedef struct {
    tsm_ingest_format format;
    uint64_t bytes_read; /* of the file */
    uint64_t events;     /* given to the sink */
    bool truncated;      /* the file ends in the middle; what came before is in the sink */
    size_t row_count;    /* when there are too many categories, the last rows are 'other' */
    tsm_ingest_row rows[TSM_INGEST_ROWS];
} tsm_ingest_report;

/* Called now and then with the bytes read so far and the file's size; false ends the import with
 * TSM_E_STATE. NULL is allowed. */
typedef bool (*tsm_ingest_progress)(void *context, uint64_t done, uint64_t total);

/* By content, never by name. TSM_INGEST_UNKNOWN when nothing fits. */
TSM_NODISCARD tsm_status tsm_ingest_recognize(const char *path, tsm_ingest_format *format, tsm_error *err);

/* Reads path into sink. format: TSM_INGEST_UNKNOWN to recognise it. The report is filled on
 * failure too. A file that was cut off is read up to there, and reported as truncated. */
TSM_NODISCARD tsm_status tsm_ingest_file(const char *path, tsm_ingest_format format, tsm_sink *sink,
                                         tsm_ingest_progress progress, void *context, tsm_ingest_report *report,
                                         tsm_error *err);

/* The same, with what XRay logs need for names: the program that wrote them, or NULL. */
TSM_NODISCARD tsm_status tsm_ingest_file_with(const char *path, tsm_ingest_format format, const char *binary,
                                              tsm_sink *sink, tsm_ingest_progress progress, void *context,
                                              tsm_ingest_report *report, tsm_error *err);

#ifdef __cplusplus
}
#endif

#endif
