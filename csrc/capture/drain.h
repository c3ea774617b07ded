/* From all spools of a run into one file. Used by the session's own thread, by the profiler's
 * process, and by recovery on what the dead left behind: the same code, so that what a crash
 * leaves is read by what is exercised every day. Private to capture/. One thread at a time. */
#ifndef TSM_CAPTURE_DRAIN_H
#define TSM_CAPTURE_DRAIN_H

#include "ring/ring.h"
#include "sbt/sbt.h"
#include "tracesmith/tracesmith.h"

typedef struct tsm_drain tsm_drain;

/* run and writer stay the caller's and must outlive the drain. Goes on where the positions in the
 * writer's file say that an earlier drain stopped. */
TSM_NODISCARD tsm_status tsm_drain_create(tsm_run *run, tsm_sbt_writer *writer, tsm_drain **out, tsm_error *err);
void tsm_drain_destroy(tsm_drain *drain); /* NULL is allowed */

/* Moves what is there. flush: open chunks too, and nothing stays in memory. Returns whether
 * anything moved. A failing output costs events, which are counted; tsm_drain_output_error tells. */
bool tsm_drain_tick(tsm_drain *drain, bool flush);

/* After the run was stopped: takes the rest, settles the counts, and records both in the tables.
 * The writer can be closed afterwards. */
void tsm_drain_finish(tsm_drain *drain);

void tsm_drain_stats(const tsm_drain *drain, tsm_session_stats *stats);

/* As they were at the end of finish, when the writer may be gone already. */
void tsm_drain_last_stats(const tsm_drain *drain, tsm_session_stats *stats);

/* TSM_OK, or the first failure of the output. */
tsm_status tsm_drain_output_error(const tsm_drain *drain, tsm_error *err);

#endif
