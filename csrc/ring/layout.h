/* What lies in a run's shared files. Private to ring/. All numbers are offsets from the start of
 * the file, because every process maps it elsewhere.
 *
 *     control page     struct run_page
 *     a spool          | header | records | states | definitions ... | small chunks | large chunks |
 */
#ifndef TSM_RING_LAYOUT_H
#define TSM_RING_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "trace/trace.h"

#define RUN_MAGIC      0x6e75722d6d737401u
#define SPOOL_MAGIC    0x6c6f6f70732d7401u
#define RING_ABI       1
#define RUN_PAGE_BYTES 8192
#define NAME_BYTES     64

typedef struct {
    uint64_t magic;
    uint32_t abi;
    uint32_t uses_ticks;
    uint64_t run_id;
    uint64_t buffer_bytes;
    uint32_t block_limit_ms;
    _Atomic uint32_t owner_pid; /* who reads */
    _Atomic uint64_t owner_start;
    _Atomic uint32_t spool_count; /* numbers spools, so that a pid may have several */
    _Atomic uint32_t fell_back;   /* the block policy was given up */
    _Atomic uint32_t policy;
    uint32_t padding;
    tsm_clock_point first_point, second_point;
    _Atomic uint32_t latest_sequence; /* latest[n % 2] is the newest; 0: none */
    tsm_clock_point latest[2];
    _Alignas(64) _Atomic uint32_t state; /* read by every emit, written hardly ever */
    _Alignas(64) _Atomic uint64_t heartbeat_ns;
    _Atomic uint32_t bell, sleeping; /* futex: a chunk was sealed; is the reader waiting? */
    _Atomic uint32_t space, waiters; /* futex: chunks came back; how many wait for one? */
    char output[4096];
} run_page;
_Static_assert(sizeof(run_page) <= RUN_PAGE_BYTES, "the control page fits");

enum { CHUNK_FREE = 0, CHUNK_CLAIMED = 1, CHUNK_OPEN = 2, CHUNK_SEALED = 4, CHUNK_READING = 8 };

typedef struct {
    /* Bytes from here to the end of the last complete slot; release store by the producer. Bytes,
     * because then it is also where the next slot goes. */
    _Atomic uint64_t committed;
    _Atomic uint64_t serial;      /* whose */
    _Atomic uint64_t first_slot;  /* of this producer, how many slots came before */
    _Atomic uint64_t first_event; /* and how many events */
    uint32_t capacity;            /* slots */
    uint32_t record;
    uint64_t padding[3];
} chunk_header;
_Static_assert(sizeof(chunk_header) == 64, "slots stay aligned");

enum { RECORD_FREE = 0, RECORD_CLAIMED = 1, RECORD_LIVE = 2, RECORD_ENDED = 3 };

typedef struct {
    _Atomic uint32_t state;
    _Atomic uint32_t busy; /* inside an emit; also how a nested one is noticed */
    _Atomic uint64_t serial;
    _Atomic uint32_t thread; /* local row of threads */
    uint32_t padding;
    _Atomic uint64_t next_slot, next_event; /* where the chunk after the last sealed one begins */
    _Atomic uint64_t refused_full, refused_nested, refused_blocked;
    uint64_t rest[8];
} record;
_Static_assert(sizeof(record) == 128, "two threads never share a line, nor the prefetcher's pair");

typedef struct {
    uint64_t magic;
    uint32_t abi;
    uint32_t pid;
    uint64_t start; /* of the process, as in /proc/PID/stat */
    uint64_t run_id;
    uint64_t id;
    uint64_t bytes;
    char parent[NAME_BYTES];             /* the spool that earlier ids come from, or empty */
    uint32_t inherited[TSM_TABLE_LIMIT]; /* rows of each table that the parents defined */
    uint32_t record_count, chunk_count, small_count, small_bytes, large_bytes, padding;
    uint64_t records_at, states_at, log_at, log_bytes, small_at, large_at;
    tsm_clock_point point;
    _Alignas(64) _Atomic uint64_t log_committed; /* bytes of whole definitions */
    _Atomic uint64_t serials;                    /* given out so far */
    _Atomic uint64_t names_refused, refused_elsewhere;
    _Atomic uint32_t records_used; /* records at or above it have never been touched */
} spool_header;
#define SPOOL_HEADER_BYTES 4096
_Static_assert(sizeof(spool_header) <= SPOOL_HEADER_BYTES, "the header fits its page");

/* A definition in the log: this, then count u64 values or size bytes of text, padded to 8. */
typedef struct {
    uint32_t bytes; /* of the whole entry */
    uint16_t table;
    uint16_t count;
    uint32_t id; /* for the producer's own look-ups; readers count for themselves */
    uint32_t size;
} log_entry;
_Static_assert(sizeof(log_entry) == 16, "payloads stay aligned");

#define RECORDS       8192
#define SMALL_BYTES   4096
#define LARGE_BYTES   65536
#define SEGMENT_BYTES 65536 /* what is reserved at once */

/* pid's start time in clock ticks since boot, or 0 when there is no such process. */
uint64_t ring_process_start(uint32_t pid);

/* A random 64-bit number; never 0. */
uint64_t ring_random(void);

/* Wait while *word is expected, at most timeout_ms; wake everybody who waits. Across processes. */
void ring_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms);
void ring_futex_wake(_Atomic uint32_t *word);

/* Makes a file of that size in directory (O_EXCL, O_NOFOLLOW, 0600) and maps it; NULL with errno.
 * No descriptor stays open. */
void *ring_make_file(const char *directory, const char *name, uint64_t bytes);
/* Maps an existing regular file that belongs to this user. NULL with errno. */
void *ring_map_file(const char *directory, const char *name, uint64_t *bytes);

/* Gives the file's range real pages, so that writing there cannot fault. False: no room. */
bool ring_reserve(const char *directory, const char *name, void *base, uint64_t offset, uint64_t bytes);

/* A pause in a spin. */
static inline void
ring_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
