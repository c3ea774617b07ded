/* From any thread to the drain, through shared memory that outlives the process.
 *
 * A *run* is a folder with one control page and one *spool* per process. A spool holds
 * definitions (an append-only log), a record per thread, and chunks of 64-byte slots. Every
 * thread fills a chunk of its own; 'committed' in the chunk's header, a release store, is all
 * that publishes an event, so whatever was emitted survives the death of everybody. A full chunk
 * is sealed and handed over whole. Who reads (the drain, or repair after a crash) claims a chunk,
 * copies its slots and gives it back only when what it held is safely written elsewhere.
 *
 * Chunk states:
 *
 *      FREE ──claim──▶ CLAIMED ──header written──▶ OPEN ──full or thread gone──▶ SEALED
 *        ▲                ▲                                                     │
 *        │                └──────── drop-oldest, same thread, not READING ──────┤
 *        └───────────────────────── reader is done with all of it ──────────────┘
 *
 * and READING, a bit beside OPEN or SEALED, keeps a chunk from being reused while it is read.
 *
 * The half above the line is for producers, the half below for whoever reads. */
#ifndef TSM_RING_RING_H
#define TSM_RING_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/status.h"
#include "trace/event.h"
#include "trace/trace.h"

/* As TSM_EXTENSIONS_MAX and tsm_overflow_policy in tracesmith.h. */
#define TSM_RING_EXTENSIONS_MAX 16
enum { TSM_RING_DROP_OLDEST = 0, TSM_RING_DROP_NEWEST = 1, TSM_RING_BLOCK = 2 };

typedef struct {
    const char *directory; /* made here, mode 0700; must not exist */
    const char *output;    /* absolute path of the file that the events go to */
    uint64_t buffer_bytes; /* of chunks per process */
    uint32_t policy;       /* TSM_RING_... */
    uint32_t block_limit_ms;
} tsm_run_config;

typedef struct tsm_run tsm_run;

TSM_NODISCARD tsm_status tsm_run_create(const tsm_run_config *config, tsm_run **out, tsm_error *err);
/* An existing run, live or left behind by the dead. */
TSM_NODISCARD tsm_status tsm_run_open(const char *directory, tsm_run **out, tsm_error *err);
void tsm_run_close(tsm_run *run); /* NULL is allowed; the folder stays */

/* Makes this process (and its future children) emit into run. TSM_E_BUSY: it already does. */
TSM_NODISCARD tsm_status tsm_ring_attach(tsm_run *run, tsm_error *err);
/* Emits are refused from here on. Returns when no thread of this process is inside an emit;
 * from then on the spool is not touched by this process any more. */
void tsm_ring_detach(void);
bool tsm_ring_attached(void);

/* Any thread, any time; see tracesmith.h, whose functions of the same name call these. */
bool tsm_ring_emit(const tsm_event *event);
bool tsm_ring_emit_now(const tsm_event *event);
bool tsm_ring_emit_range(const tsm_event *event, uint64_t begin_ticks);
bool tsm_ring_emit_extended(const tsm_event *event, const tsm_extension *extensions, uint32_t count);
uint64_t tsm_ring_ticks(void);
uint32_t tsm_ring_text(unsigned table, const void *data, size_t size);
uint32_t tsm_ring_row(unsigned table, const uint64_t *values);
uint32_t tsm_ring_process(void); /* the row of this process; 0 when not attached */
uint32_t tsm_ring_host(void);    /* and of its host */
uint64_t tsm_ring_generation(void);

/* --------------------------------------------------------------------------------------------- */

typedef enum { TSM_RUN_STOPPED = 0, TSM_RUN_ACTIVE = 1, TSM_RUN_PAUSED = 2 } tsm_run_state;

void tsm_run_set_state(tsm_run *run, tsm_run_state state);
const char *tsm_run_directory(const tsm_run *run);
const char *tsm_run_output(const tsm_run *run); /* as recorded in the control page */
bool tsm_run_uses_ticks(const tsm_run *run);
bool tsm_run_fell_back(const tsm_run *run); /* the block policy was given up */

/* Is the process that reads this run (its owner) alive? */
bool tsm_run_owner_alive(const tsm_run *run);
/* Declares this process the reader: TSM_E_BUSY while another holds that. Ends at close. */
TSM_NODISCARD tsm_status tsm_run_own(tsm_run *run, tsm_error *err);

/* Reader's side of the hand-over: says 'I live', waits until a chunk was sealed or timeout. */
void tsm_run_beat(tsm_run *run);
void tsm_run_wait(tsm_run *run, uint32_t timeout_ms);
/* Wakes a reader that waits. Any thread. */
void tsm_run_ring_bell(tsm_run *run);

/* The two points the run was calibrated with, and the latest; a point to publish. */
void tsm_run_clock_points(const tsm_run *run, tsm_clock_point *first, tsm_clock_point *latest);
void tsm_run_publish_clock(tsm_run *run, const tsm_clock_point *point);

typedef struct tsm_spool tsm_spool;

/* Opens spools of run that were not open yet; calls found for each, and for each that is refused
 * (spool NULL, with the reason). Names that are no spools are ignored. */
typedef void tsm_spool_found(void *context, tsm_spool *spool, const char *name, const tsm_error *why_not);
TSM_NODISCARD tsm_status tsm_run_scan(tsm_run *run, tsm_spool_found *found, void *context, tsm_error *err);

/* One spool by file name; for scan and for tests. Hostile bytes: every number is checked. */
TSM_NODISCARD tsm_status tsm_spool_open(const char *directory, const char *name, tsm_spool **out, tsm_error *err);
/* The same over memory that the caller owns (fuzzers); size in bytes, 8-aligned. */
TSM_NODISCARD tsm_status tsm_spool_open_memory(void *data, size_t size, tsm_spool **out, tsm_error *err);
void tsm_spool_close(tsm_spool *spool);

const char *tsm_spool_name(const tsm_spool *spool);
uint64_t tsm_spool_id(const tsm_spool *spool);
uint32_t tsm_spool_pid(const tsm_spool *spool);
bool tsm_spool_alive(const tsm_spool *spool); /* its process runs (and is not another of that pid) */
/* The spool whose definitions come before this one's; empty for none. */
const char *tsm_spool_parent(const tsm_spool *spool);
/* How many rows of table come from the parents. */
uint32_t tsm_spool_inherited(const tsm_spool *spool, unsigned table);

/* The next definition that has been published and not been returned. False: none for now.
 * damaged is set when what follows makes no sense; nothing more will come then. */
typedef struct {
    unsigned table;
    const uint64_t *values; /* NULL for text tables; copied, valid until the next call */
    const void *data;       /* text */
    size_t size;
} tsm_definition;
bool tsm_spool_next_definition(tsm_spool *spool, tsm_definition *out, bool *damaged);
uint64_t tsm_spool_names_refused(const tsm_spool *spool);

/* A thread's record, copied. */
typedef struct {
    uint64_t serial;     /* unique in the spool; 0: no thread here */
    uint32_t thread;     /* local row of threads */
    bool ended;          /* the thread is gone */
    bool busy;           /* inside an emit right now */
    uint64_t next_event; /* events in its sealed chunks, ever */
    uint64_t next_slot;
    uint64_t refused_full, refused_nested, refused_blocked;
} tsm_spool_thread;

size_t tsm_spool_thread_count(const tsm_spool *spool); /* records in use or used before */
void tsm_spool_thread_at(const tsm_spool *spool, size_t index, tsm_spool_thread *out);
/* Gives the record of a thread that has ended back, once all its counts are accounted for. */
void tsm_spool_thread_release(tsm_spool *spool, size_t index);
/* Refused where no record could be had. */
uint64_t tsm_spool_refused_elsewhere(const tsm_spool *spool);

typedef struct {
    uint32_t index;
    bool sealed;
    uint64_t serial, first_slot, first_event;
    uint32_t committed;     /* slots to read */
    const tsm_event *slots; /* shared memory: copy before believing */
} tsm_spool_chunk;

/* Claims the sealed chunks, and the open ones too if asked, by setting READING; ordered by thread
 * and position, no thread with a hole that a chunk could still fill. Returns how many; *chunks is
 * borrowed until the next call. Chunks that already are claimed by this reader are not returned. */
size_t tsm_spool_claim(tsm_spool *spool, bool open_too, const tsm_spool_chunk **chunks);

/* Takes READING back: the chunk stays for later. Or: everything in it is dealt with. */
void tsm_spool_unclaim(tsm_spool *spool, uint32_t index);
void tsm_spool_release(tsm_spool *spool, uint32_t index);

/* Forgets claims of a reader that died. */
void tsm_spool_reset_claims(tsm_spool *spool);

/* Wakes producers that wait for room, after releases. */
void tsm_run_announce_space(tsm_run *run);
/* Does a producer wait for room? */
bool tsm_run_wants_space(const tsm_run *run);
uint64_t tsm_run_buffer_bytes(const tsm_run *run);

#endif
