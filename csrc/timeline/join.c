/* What a source saw as two events becomes one span. Ranges nest, so an end closes the innermost
 * open start. Kernels and NCCL operations are matched by correlation, the first begun first where
 * several share one. A half whose other is missing stays, without extent. */
#include <stdlib.h>

#include "base/hash.h"
#include "timeline/parts.h"

typedef enum { WHOLE, RANGE_START, RANGE_END, BEGIN, END } half;

static half
half_of(const tsm_span *span)
{
    bool extent = span->end_ns > span->begin_ns;
    switch (span->type) {
    case TSM_EVENT_RANGE_START:
        return RANGE_START;
    case TSM_EVENT_RANGE_END:
        return RANGE_END;
    case TSM_EVENT_NCCL_START:
    case TSM_EVENT_KERNEL_LAUNCH:
        return extent ? WHOLE : BEGIN;
    case TSM_EVENT_NCCL_COMPLETE:
    case TSM_EVENT_KERNEL_COMPLETE:
        return extent ? WHOLE : END;
    default:
        return WHOLE;
    }
}

/* What the halves become: also what tells NCCL's from kernels'. */
static uint16_t
joined_type(uint16_t type)
{
    return type == TSM_EVENT_RANGE_START || type == TSM_EVENT_RANGE_END      ? TSM_EVENT_RANGE
           : type == TSM_EVENT_NCCL_START || type == TSM_EVENT_NCCL_COMPLETE ? TSM_EVENT_COMMUNICATION
                                                                             : TSM_EVENT_KERNEL_LAUNCH;
}

/* Open begins by key, first in first out: an entry holds the ends of a list through next. */
typedef struct {
    uint64_t correlation;
    uint32_t head, tail; /* TSM_SPAN_NONE: none is open */
    uint16_t type;
    bool used;
} entry;

typedef struct {
    tsm_timeline *timeline;
    tsm_span *spans;
    uint32_t *next;  /* by span: the next open one of the same key, or the range below it */
    uint32_t ranges; /* the innermost open range */
    entry *entries;
    size_t mask;
} joiner;

static entry *
find_entry(const joiner *j, const tsm_span *span)
{
    uint64_t correlation = tsm_span_kept(span);
    uint16_t type = joined_type(span->type);
    size_t at = (size_t)tsm_hash_mix(correlation, type) & j->mask;
    while (j->entries[at].used && (j->entries[at].correlation != correlation || j->entries[at].type != type)) {
        at = (at + 1) & j->mask;
    }
    if (!j->entries[at].used) {
        j->entries[at] = (entry){ correlation, TSM_SPAN_NONE, TSM_SPAN_NONE, type, true };
    }
    return &j->entries[at];
}

static void
open_begin(joiner *j, uint32_t at)
{
    entry *e = find_entry(j, &j->spans[at]);
    j->next[at] = TSM_SPAN_NONE;
    if (e->head == TSM_SPAN_NONE) {
        e->head = at;
    } else {
        j->next[e->tail] = at;
    }
    e->tail = at;
}

/* The begin that an end belongs to, taken out. */
static uint32_t
take_begin(joiner *j, const tsm_span *span)
{
    entry *e = find_entry(j, span);
    uint32_t begin = e->head;
    if (begin != TSM_SPAN_NONE) {
        e->head = j->next[begin];
    }
    return begin;
}

static uint32_t
take_range(joiner *j)
{
    uint32_t begin = j->ranges;
    if (begin != TSM_SPAN_NONE) {
        j->ranges = j->next[begin];
    }
    return begin;
}

/* Marks an end that was used by TSM_SPAN_NONE as its event. */
static void
close_half(joiner *j, uint32_t begin, tsm_span *end)
{
    if (begin == TSM_SPAN_NONE) {
        j->timeline->facts.unpaired++;
        return;
    }
    j->spans[begin].end_ns = end->begin_ns;
    j->spans[begin].type = joined_type(j->spans[begin].type);
    end->event = TSM_SPAN_NONE;
    j->timeline->facts.joined++;
}

static void
join_all(joiner *j, size_t count)
{
    j->ranges = TSM_SPAN_NONE;
    for (uint32_t i = 0; i < count; i++) {
        switch (half_of(&j->spans[i])) {
        case RANGE_START:
            j->next[i] = j->ranges;
            j->ranges = i;
            break;
        case RANGE_END:
            close_half(j, take_range(j), &j->spans[i]);
            break;
        case BEGIN:
            open_begin(j, i);
            break;
        case END:
            close_half(j, take_begin(j, &j->spans[i]), &j->spans[i]);
            break;
        case WHOLE:
            break;
        }
    }
}

static size_t
remove_used(tsm_span *spans, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].event != TSM_SPAN_NONE) {
            spans[kept++] = spans[i];
        }
    }
    return kept;
}

/* Starts that nothing closed. Kernels without extent are no halves of anything by themselves. */
static uint64_t
count_open(const tsm_span *spans, size_t count)
{
    uint64_t open = 0;
    for (size_t i = 0; i < count; i++) {
        open += spans[i].type == TSM_EVENT_RANGE_START
                || (spans[i].type == TSM_EVENT_NCCL_START && spans[i].end_ns == spans[i].begin_ns);
    }
    return open;
}

static bool
has_end(const tsm_span *spans, size_t count, size_t *halves)
{
    bool found = false;
    *halves = 0;
    for (size_t i = 0; i < count; i++) {
        half h = half_of(&spans[i]);
        found |= h == RANGE_END || h == END || h == RANGE_START;
        *halves += h != WHOLE;
    }
    return found;
}

tsm_status
tsm_spans_join(tsm_timeline *timeline, tsm_span *spans, size_t count, size_t *left)
{
    size_t halves;
    joiner j = { .timeline = timeline, .spans = spans, .mask = 1 };
    *left = count;
    if (!has_end(spans, count, &halves)) {
        timeline->facts.unpaired += count_open(spans, count);
        return TSM_OK;
    }
    while (j.mask < 2 * halves) {
        j.mask = 2 * j.mask + 1;
    }
    j.next = malloc(count * sizeof *j.next);
    j.entries = calloc(j.mask + 1, sizeof *j.entries);
    tsm_status status = j.next == NULL || j.entries == NULL ? TSM_E_NOMEM : TSM_OK;
    if (status == TSM_OK) {
        join_all(&j, count);
        *left = remove_used(spans, count);
        timeline->facts.unpaired += count_open(spans, *left);
    }
    free(j.next);
    free(j.entries);
    /* A span that has become longer goes before the others of its begin. */
    return status == TSM_OK ? tsm_spans_sort(spans, *left) : status;
}
