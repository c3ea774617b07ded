/* The flight recorder's log: buffers, each of one thread and in its order, but in no order of time
 * among themselves, so all are found first. What a buffer holds:
 *
 *   8 bytes   | function << 4 | kind << 1 | 0 | ticks since the record before |
 *   16 bytes  | kind << 1 | 1 | 15 bytes that depend on the kind |     and perhaps a payload
 *
 * A buffer begins with records that tell its thread, the time of day, its process (from version 3
 * on), and processor and ticks. From version 2 on another record before it tells its length;
 * in version 1 all have the length that the file's header tells. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "ingest/xray.h"

enum {
    NEW_BUFFER,
    END_OF_BUFFER,
    NEW_CPU,
    TICKS_WRAPPED,
    WALL_TIME,
    CUSTOM_EVENT,
    ARGUMENT,
    EXTENTS,
    TYPED_EVENT,
    PROCESS,
};
enum { FUNCTION_BYTES = 8, METADATA_BYTES = 16 };
enum { EXTENTS_BYTE = EXTENTS << 1 | 1 };

typedef struct {
    const uint8_t *data;
    size_t size;
    bool cut; /* the file ends inside */
    uint32_t pid, tid;
    uint64_t wall_us, ticks;
    bool has_thread, has_wall, has_ticks;
    size_t order;
} block;

typedef struct {
    block *items;
    size_t count, capacity;
} blocks;

/* ---- Finding buffers ------------------------------------------------------------------------- */

/* The records before the first that tells what happened. */
static void
look_into(block *b)
{
    for (size_t at = 0; b->size - at >= METADATA_BYTES && (b->data[at] & 1) != 0; at += METADATA_BYTES) {
        const uint8_t *body = b->data + at + 1;
        switch (b->data[at] >> 1) {
        case NEW_BUFFER:
            b->tid = tsm_load_u32(body);
            b->has_thread = true;
            break;
        case WALL_TIME:
            b->wall_us = tsm_load_u64(body) * 1000000u + tsm_load_u32(body + 8);
            b->has_wall = true;
            break;
        case PROCESS:
            b->pid = tsm_load_u32(body);
            break;
        case NEW_CPU:
            b->ticks = tsm_load_u64(body + 2);
            b->has_ticks = true;
            return;
        default:
            return;
        }
    }
}

static void
add_block(xray_importer *im, blocks *all, const uint8_t *data, uint64_t size, size_t left)
{
    block found = { .data = data, .size = size < left ? (size_t)size : left, .cut = size > left, .order = all->count };
    im->out.report->truncated |= found.cut;
    look_into(&found);
    if (!found.has_thread) {
        if (!found.cut) {
            ingest_count(im->out.report, "buffer", "it does not begin with a thread", 1);
        }
    } else if (!tsm_array_reserve(&all->items, &all->capacity, all->count + 1)) {
        ingest_note(&im->out, TSM_E_NOMEM);
    } else {
        all->items[all->count++] = found;
    }
}

static void
find_fixed(xray_importer *im, blocks *all, const uint8_t *data, size_t size, uint64_t buffer_bytes)
{
    for (size_t at = 0; at < size && im->out.status == TSM_OK;) {
        size_t left = size - at;
        add_block(im, all, data + at, buffer_bytes, left);
        at += buffer_bytes < left ? (size_t)buffer_bytes : left;
    }
}

/* After damage the next thing that looks like a length is taken for one. */
static void
find_extents(xray_importer *im, blocks *all, const uint8_t *data, size_t size)
{
    size_t at = 0, lost = 0;
    while (size - at >= METADATA_BYTES && im->out.status == TSM_OK) {
        if (data[at] != EXTENTS_BYTE) {
            at++;
            lost++;
            continue;
        }
        uint64_t bytes = tsm_load_u64(data + at + 1);
        at += METADATA_BYTES;
        size_t left = size - at;
        if (bytes > 0) {
            add_block(im, all, data + at, bytes, left);
        }
        at += bytes < left ? (size_t)bytes : left;
    }
    im->out.report->truncated |= at < size && lost == 0;
    ingest_count(im->out.report, "bytes", "of no buffer", lost);
}

static int
by_thread_and_time(const void *left, const void *right)
{
    const block *a = left, *b = right;
    if (a->pid != b->pid) {
        return a->pid < b->pid ? -1 : 1;
    }
    if (a->tid != b->tid) {
        return a->tid < b->tid ? -1 : 1;
    }
    if (a->wall_us != b->wall_us) {
        return a->wall_us < b->wall_us ? -1 : 1;
    }
    return a->order < b->order ? -1 : 1;
}

/* The time of day in a buffer is CLOCK_MONOTONIC in microseconds, taken just behind its first
 * ticks: so one pair of the two tells what the ticks count from. */
static void
find_shift(xray_importer *im, const blocks *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const block *b = &all->items[i];
        if (b->has_wall && b->has_ticks) {
            im->shift = b->wall_us * 1000u - xray_ns(im, b->ticks);
            ingest_info(&im->out, "clock", "monotonic", 9);
            return;
        }
    }
    ingest_info(&im->out, "clock", "unknown", 7);
}

/* ---- What a buffer holds --------------------------------------------------------------------- */

typedef struct {
    xray_importer *im;
    uint32_t thread;
    const uint8_t *at, *end;
    uint64_t ticks;
    uint32_t function; /* of the record before */
    uint16_t cpu;
} reader;

static uint16_t
load_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static bool
read_function(reader *r)
{
    if (r->end - r->at < FUNCTION_BYTES) {
        return false;
    }
    uint32_t word = tsm_load_u32(r->at);
    unsigned kind = word >> 1 & 7;
    if (kind > XRAY_ENTER_ARGUMENT) {
        return false;
    }
    r->ticks += tsm_load_u32(r->at + 4);
    r->function = word >> 4;
    r->at += FUNCTION_BYTES;
    xray_function(r->im, r->thread, kind, r->function, r->cpu, r->ticks);
    return true;
}

/* Up to version 4 a custom event has a time of its own, and in version 4 a processor. */
static bool
read_payload(reader *r, bool typed)
{
    const uint8_t *body = r->at + 1;
    uint32_t size = tsm_load_u32(body);
    uint64_t ticks = tsm_load_u64(body + 4);
    uint16_t cpu = r->im->version == 4 && !typed ? load_u16(body + 12) : r->cpu;
    if (size > (size_t)(r->end - r->at) - METADATA_BYTES) {
        return false;
    }
    if (typed || r->im->version >= 5) {
        r->ticks += (uint64_t)(int64_t)(int32_t)tsm_load_u32(body + 4);
        ticks = r->ticks;
    }
    xray_note(r->im, r->thread, typed ? load_u16(body + 8) : -1, cpu, ticks, r->at + METADATA_BYTES, size);
    r->at += METADATA_BYTES + size;
    return true;
}

static bool
read_metadata(reader *r)
{
    const uint8_t *body = r->at + 1;
    if (r->end - r->at < METADATA_BYTES) {
        return false;
    }
    switch (*r->at >> 1) {
    case NEW_BUFFER:
    case WALL_TIME:
    case PROCESS:
    case EXTENTS:
        break;
    case END_OF_BUFFER:
        r->at = r->end;
        return true;
    case NEW_CPU:
        r->cpu = load_u16(body);
        r->ticks = tsm_load_u64(body + 2);
        break;
    case TICKS_WRAPPED:
        r->ticks = tsm_load_u64(body);
        break;
    case CUSTOM_EVENT:
    case TYPED_EVENT:
        return read_payload(r, *r->at >> 1 == TYPED_EVENT);
    case ARGUMENT:
        xray_argument(r->im, r->thread, r->function, tsm_load_u64(body));
        break;
    default:
        return false;
    }
    r->at += METADATA_BYTES;
    return true;
}

static void
read_block(xray_importer *im, const block *b)
{
    reader r = { .im = im, .at = b->data, .end = b->data + b->size };
    r.thread = xray_thread_of(im, b->pid, b->tid);
    while (r.at < r.end && im->out.status == TSM_OK) {
        if (!((*r.at & 1) != 0 ? read_metadata(&r) : read_function(&r))) {
            if (!b->cut) {
                ingest_count(im->out.report, "buffer", "damaged: its rest is left out", 1);
            }
            return;
        }
    }
}

tsm_status
xray_read_fdr(xray_importer *im, const uint8_t *data, size_t size, uint64_t buffer_bytes)
{
    blocks all = { 0 };
    if (im->version == 1 && buffer_bytes < METADATA_BYTES) {
        return tsm_fail(im->out.err, TSM_E_CORRUPT, 16, "an XRay log of version 1 with buffers of %llu bytes",
                        (unsigned long long)buffer_bytes);
    }
    if (im->version == 1) {
        find_fixed(im, &all, data + XRAY_HEADER_BYTES, size - XRAY_HEADER_BYTES, buffer_bytes);
    } else {
        find_extents(im, &all, data + XRAY_HEADER_BYTES, size - XRAY_HEADER_BYTES);
    }
    find_shift(im, &all);
    if (all.count > 0) {
        qsort(all.items, all.count, sizeof *all.items, by_thread_and_time);
    }
    for (size_t i = 0; i < all.count && im->out.status == TSM_OK; i++) {
        read_block(im, &all.items[i]);
    }
    free(all.items);
    return TSM_OK;
}
