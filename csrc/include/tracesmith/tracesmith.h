/* TraceSmith's C API: record events from any thread into one .sbt file, without locks,
 * allocations or system calls on the way. Reading and writing such files is sbt/sbt.h and
 * trace/trace.h, included here; what is made of a trace, which you include yourself, is
 * ingest/ingest.h, timeline/timeline.h, analysis/analysis.h and export/export.h. Their functions
 * are in libtracesmith_trace.a, which the CMake target TraceSmith::tracesmith links too.
 *
 *     tsm_session_config config = tsm_session_config_default();
 *     config.output = "run.sbt";
 *     tsm_session *session;
 *     tsm_error error;
 *     if (tsm_session_start(&config, &session, &error) != TSM_OK) { puts(error.text); ... }
 *     uint32_t step = tsm_name("step", 4);
 *     tsm_emit_now(&(tsm_event){ .type = TSM_EVENT_MARKER, .name = step });
 *     tsm_session_stop(session, NULL, &error);
 *
 * Without CMake, give the compiler both include and include/tracesmith.
 *
 * One session at a time per process. Ids (names, rows) belong to the session they were made in.
 * Also compiles as C++. */
#ifndef TRACESMITH_TRACESMITH_H
#define TRACESMITH_TRACESMITH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "sbt/sbt.h"
#include "trace/event.h"
#include "trace/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TSM_VERSION "1.0.0.dev0"

/* The version of the library that is really loaded. */
TSM_EXPORT const char *tsm_version(void);

/* What happens to an event for which no room is left. */
typedef enum {
    TSM_DROP_OLDEST = 0, /* the oldest unread events of the same thread make room */
    TSM_DROP_NEWEST = 1, /* it is refused */
    TSM_BLOCK = 2,       /* the thread waits, at most block_limit_ms, then TSM_DROP_NEWEST for good */
} tsm_overflow_policy;

typedef struct {
    const char *output;       /* path of the .sbt file */
    const char *spool_parent; /* where the spool's folder goes; NULL: /dev/shm or beside the output */
    const char *application;  /* for the file's metadata; NULL: the process's name */
    uint64_t buffer_bytes;    /* of chunks, per process; 0: 64 MiB */
    tsm_overflow_policy policy;
    uint32_t block_limit_ms; /* 0: 1000 */
    bool compress;           /* zstd, where built in */
} tsm_session_config;

TSM_EXPORT tsm_session_config tsm_session_config_default(void);

typedef struct {
    uint64_t emitted, delivered, dropped; /* emitted = delivered + dropped, once stopped */
    uint64_t refused_full, refused_nested, refused_blocked, overwritten, lost_output, damaged;
    uint64_t names_refused;    /* new names and rows for which no room was left */
    uint64_t begin_ns, end_ns; /* of the session, CLOCK_MONOTONIC; end_ns 0 while it runs */
    uint64_t file_bytes;
    uint32_t processes, threads;
    uint32_t clock_jumps;
    bool fell_back; /* TSM_BLOCK was given up */
} tsm_session_stats;

typedef struct tsm_session tsm_session;

/* TSM_E_BUSY when a session is running in this process already. */
TSM_EXPORT TSM_NODISCARD tsm_status tsm_session_start(const tsm_session_config *config, tsm_session **out,
                                                      tsm_error *err);

/* Emits are refused from here on; all that was emitted is in the file when this returns, and the
 * session is gone. A failure of the output is reported here, and stats say what it cost. */
TSM_EXPORT TSM_NODISCARD tsm_status tsm_session_stop(tsm_session *session, tsm_session_stats *stats, tsm_error *err);

/* Emits between pause and resume are ignored: neither emitted nor dropped. */
TSM_EXPORT void tsm_session_pause(tsm_session *session);
TSM_EXPORT void tsm_session_resume(tsm_session *session);

/* Returns when everything emitted before the call is in the file. */
TSM_EXPORT TSM_NODISCARD tsm_status tsm_session_flush(tsm_session *session, tsm_error *err);

/* A fact about the whole trace, for the file's metadata; a later one of the same key wins. */
TSM_EXPORT TSM_NODISCARD tsm_status tsm_session_set_info(tsm_session *session, const char *key, const char *value);

TSM_EXPORT void tsm_session_stats_now(tsm_session *session, tsm_session_stats *stats);

/* The file being written. Valid until stop. */
TSM_EXPORT const char *tsm_session_path(const tsm_session *session);

/* Any thread, any time; in a forked child too. False: no session is running (or it is paused),
 * or the event was refused and counted. thread 0 means the calling thread. */
TSM_EXPORT bool tsm_emit(const tsm_event *event);     /* with the caller's timestamp, MONOTONIC ns */
TSM_EXPORT bool tsm_emit_now(const tsm_event *event); /* stamped here; duration is kept */

/* An event with count extension records (at most TSM_EXTENSIONS_MAX), all or nothing.
 * type and reserved of the records need not be set. */
#define TSM_EXTENSIONS_MAX 16
TSM_EXPORT bool tsm_emit_extended(const tsm_event *event, const tsm_extension *extensions, uint32_t count);

/* The time that events carry: CLOCK_MONOTONIC, ns. */
TSM_EXPORT uint64_t tsm_now(void);

/* A point in time for tsm_emit_range: cheaper than a clock call. */
TSM_EXPORT uint64_t tsm_ticks(void);

/* A range from begin (of tsm_ticks) to now; the event's timestamp and duration are filled in. */
TSM_EXPORT bool tsm_emit_range(const tsm_event *event, uint64_t begin_ticks);

/* The id of a name, made at its first use; keep it. 0 without a session. When no room is left
 * for new names it is the id of "(overflow)", and that is counted. */
TSM_EXPORT uint32_t tsm_name(const char *text, size_t size);

/* The id of a row of any other table (numbers and columns: docs/sbt.md), made at its first use. */
TSM_EXPORT uint32_t tsm_row(unsigned table, const uint64_t *values);

/* Shorthands for the rows that most events need: this process, a device, a stream of it. */
TSM_EXPORT uint32_t tsm_process(void);
TSM_EXPORT uint32_t tsm_device(uint32_t ordinal);
TSM_EXPORT uint32_t tsm_stream(uint32_t ordinal, uint64_t raw_id);
TSM_EXPORT bool tsm_emit_counter(uint32_t name, double value);

/* Goes up with every session: ids kept from an earlier one mean nothing any more. (A forked
 * child goes on with its parent's.) 0 without a session. */
TSM_EXPORT uint64_t tsm_generation(void);

#ifdef __cplusplus
}
#endif

#endif
