/* What a process that emits keeps of its own. Private to ring/.
 *
 * All of it lies on pages that fork wipes (MADV_WIPEONFORK), so a child finds zeros: no thread is
 * registered, no lock is held, no name is known, and its first emit sets everything up anew. That
 * costs the hot path nothing and cannot be missed, however the child was made. What the child
 * must know of its parent lies in ordinary memory (struct inheritance). */
#ifndef TSM_RING_PROCESS_H
#define TSM_RING_PROCESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring/layout.h"
#include "ring/ring.h"

enum { PROCESS_FRESH = 0, PROCESS_STARTING = 1, PROCESS_READY = 2, PROCESS_FAILED = 3 };

typedef struct {
    _Atomic uint32_t phase;
    pthread_mutex_t lock; /* registering threads, defining names; never taken by a plain emit */
    uint64_t generation;
    char spool_name[NAME_BYTES];
    spool_header *spool;
    record *records;
    _Atomic uint32_t *states;
    char *log;
    uint64_t log_used, log_reserved;
    uint32_t next_id[TSM_TABLE_LIMIT];
    uint32_t host_row, row; /* of this process in hosts and processes */
    uint64_t *names;        /* hash table over the log: 24 bits of hash, 40 of offset / 8; 0 is empty */
    uint64_t name_count, name_slots;
    _Atomic uint8_t *reserved;   /* per segment of the spool: has real pages */
    _Atomic uint64_t no_room_ns; /* when the file system last refused a segment */
    struct producer *idle;       /* of threads that ended */
} process;

/* A chunk as its producer remembers it. */
typedef struct {
    uint32_t index;
    uint32_t first_slot; /* the lower half: tells two uses of a chunk apart */
} past_chunk;

/* One thread's way in. The first line is what an emit touches. */
typedef struct producer {
    _Alignas(128) record *record; /* NULL: not registered, or not in this process */
    record *ticking;              /* the same where stamps are TSC ticks, else NULL */
    _Atomic uint32_t *state;
    chunk_header *chunk; /* never NULL when there is a record: at worst a full one, of no slots */
    uint64_t limit;      /* chunk->committed when it is full */
    uint32_t thread;
    uint32_t extensions; /* slots of this chunk that are not events */
    uint32_t taken;      /* chunks so far, up to a few */
    uint32_t chunk_index;
    uint32_t seen_space; /* run->space when no chunk was to be had */
    bool starved;
    uint64_t generation;
    /* The chunks it sealed, oldest first, for drop-oldest; a ring of at least as many as there are
     * chunks, so only entries that mean nothing any more are overwritten. */
    past_chunk *past;
    uint64_t past_begin, past_end;
    uint32_t past_mask;
    struct producer *next_idle;
} producer;

/* What a child needs of the process it was forked from. */
typedef struct {
    char spool_name[NAME_BYTES];
    const spool_header *spool;
    uint64_t published; /* bytes of the log whose ids may be known to anybody */
} inheritance;

typedef struct {
    run_page *page;  /* a mapping of its own, so that it outlives the reader's */
    bool uses_ticks; /* stamps are TSC ticks */
    char directory[3072];
    _Atomic uint64_t generation; /* of the attached run; 0: none */
    uint64_t last_generation;
    inheritance parent;
    _Atomic uint64_t refused_early; /* nested in a registration, before there is a spool to count in */
} attachment;

extern attachment ring_attachment;

/* This process's state, set up if need be; NULL when not attached or no spool can be made. */
process *ring_process(void);

/* Counts an event that was refused where its thread has no record to count it in. */
void ring_count_elsewhere(void);

/* Zeroed pages that are zeros again in a forked child; NULL where that cannot be had. */
void *ring_wiped_pages(uint64_t bytes);

/* Reserves the spool's pages under [offset, offset + bytes). False: no room now. */
bool ring_reserve_spool(process *self, uint64_t offset, uint64_t bytes);

/* Set while this thread is in a slow path, so that what interrupts it stays out. */
extern _Thread_local bool ring_in_slow_path;

/* With the lock held. The id of a definition, made if it is new; 0 when the log is full. */
uint32_t ring_define(process *self, unsigned table, const void *payload, uint32_t size, uint16_t count);

/* "(overflow)" is the first name of every first spool. */
#define OVERFLOW_NAME 1

#endif
