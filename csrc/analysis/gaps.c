/* Why a device was idle in [begin, end), told from the work that ended the gap, the call that
 * launched it, and what the calling thread did meanwhile (docs/analysis.md has the rules). A gap is
 * cut into pieces, and every piece has one cause, so that the causes add up to the idle time. */
#include <inttypes.h>

#include "analysis/pass.h"

/* Work that was launched and could begin, and did not for longer than this, waited for something
 * that the trace does not hold. */
#define LATENCY_MOST_NS 50000

/* What takes the host at least this long between two launches is work of its own; what takes less is
 * the price of launching. */
#define OWN_WORK_NS 200000

enum { CACHE_CULPRIT = 16 }; /* + the cause */

static const char *const cause_ids[TSM_CAUSE_COUNT] = {
#define X(name, id) [TSM_CAUSE_##name] = id,
    TSM_CAUSES(X)
#undef X
};

typedef struct {
    tsm_pass *pass;
    tsm_device_state *device;
    uint64_t begin, end, explained;
    const tsm_thread_state *thread;
    const tsm_host_span *sync; /* in which the thread was when the gap began */
    uint64_t most;             /* the longest piece so far, and what it is */
    tsm_cause cause;
    uint32_t name, stack;
} gap;

static tsm_record *
find_culprit(gap *g, tsm_cause cause, uint32_t name, uint32_t stack)
{
    tsm_pass *pass = g->pass;
    uint64_t key = (uint64_t)name << 32 | stack;
    tsm_record *culprit = tsm_map_get(&pass->cache, key, CACHE_CULPRIT + cause);
    if (culprit == NULL) {
        uint32_t keys[] = { tsm_records_format(pass->records, "%s", cause_ids[cause]), tsm_pass_name_text(pass, name),
                            tsm_pass_stack_text(pass, stack) };
        culprit = tsm_records_find(pass->records, TSM_RECORD_CULPRIT, keys);
        pass->failed |= culprit == NULL || !tsm_map_put(&pass->cache, key, CACHE_CULPRIT + cause, culprit);
    }
    return culprit;
}

static tsm_record *
find_cause(gap *g, tsm_cause cause)
{
    tsm_record **slot = &g->device->causes[cause];
    if (*slot == NULL) {
        uint32_t keys[] = { g->device->place, tsm_records_format(g->pass->records, "%s", cause_ids[cause]) };
        *slot = tsm_records_find(g->pass->records, TSM_RECORD_CAUSE, keys);
    }
    return *slot;
}

static void
add_piece(gap *g, tsm_cause cause, uint32_t name, uint32_t stack, uint64_t ns)
{
    if (ns == 0) {
        return;
    }
    g->explained += ns;
    if (ns > g->most) {
        g->most = ns;
        g->cause = cause;
        g->name = name;
        g->stack = stack;
    }
    tsm_record *total = find_cause(g, cause), *culprit = find_culprit(g, cause, name, stack);
    if (total == NULL || culprit == NULL) {
        return;
    }
    uint64_t after_sync = g->sync != NULL ? ns : 0;
    g->pass->failed |= !tsm_summary_add(&total->summaries[0], ns);
    total->fields[TSM_CAUSE_AFTER_SYNC_NS] += after_sync;
    culprit->fields[TSM_CULPRIT_COUNT]++;
    culprit->fields[TSM_CULPRIT_NS] += ns;
    culprit->fields[TSM_CULPRIT_AFTER_SYNC_NS] += after_sync;
    if (ns > culprit->fields[TSM_CULPRIT_MAX]) {
        culprit->fields[TSM_CULPRIT_MAX] = ns;
    }
}

/* ---- What the thread did ---------------------------------------------------------------------- */

/* The number after that of the last span that began at or before time. */
static uint64_t
spans_until(const tsm_thread_state *thread, uint64_t time)
{
    uint64_t number = thread->head;
    for (const tsm_host_span *span; number > 0 && (span = tsm_thread_span(thread, number - 1)) != NULL; number--) {
        if (span->begin <= time) {
            break;
        }
    }
    return number;
}

static const tsm_host_span *
parent_of(const tsm_thread_state *thread, const tsm_host_span *span)
{
    return span->parent == UINT64_MAX ? NULL : tsm_thread_span(thread, span->parent);
}

static const tsm_host_span *
sync_at(const tsm_thread_state *thread, uint64_t time, uint64_t number)
{
    const tsm_host_span *span = number == 0 ? NULL : tsm_thread_span(thread, number - 1);
    for (; span != NULL; span = parent_of(thread, span)) {
        if (span->kind == TSM_HOST_WAIT && span->end > time) {
            return span;
        }
    }
    return NULL;
}

static bool
is_special(const tsm_host_span *span)
{
    return span->kind == TSM_HOST_WAIT || span->kind == TSM_HOST_ALLOCATE || span->kind == TSM_HOST_COPY;
}

/* Walks the thread from the gap's begin to the call. outer is the outermost span that ended before
 * the call: what the program did instead of launching. Inside it, waiting, allocating and copying
 * are told apart; the rest of it is its own. */
typedef struct {
    gap *g;
    uint64_t limit; /* the call's begin */
    uint64_t done;  /* special spans have been charged up to here */
    const tsm_host_span *outer;
    uint64_t special_in_outer;
} walk;

static uint64_t
clipped(const walk *w, const tsm_host_span *span, uint64_t from)
{
    from = span->begin > from ? span->begin : from;
    uint64_t to = span->end < w->limit ? span->end : w->limit;
    return to > from ? to - from : 0;
}

static tsm_cause
kind_of_work(uint64_t ns)
{
    return ns >= OWN_WORK_NS ? TSM_CAUSE_HOST_OP : TSM_CAUSE_HOST_LAUNCH;
}

static void
leave_outer(walk *w)
{
    if (w->outer != NULL) {
        uint64_t all = clipped(w, w->outer, w->g->begin);
        if (all > w->special_in_outer) {
            uint64_t own = all - w->special_in_outer;
            add_piece(w->g, kind_of_work(own), w->outer->name, w->outer->stack, own);
        }
    }
    w->outer = NULL;
    w->special_in_outer = 0;
}

static void
meet_special(walk *w, const tsm_host_span *span)
{
    static const tsm_cause causes[] = {
        [TSM_HOST_WAIT] = TSM_CAUSE_HOST_SYNC,
        [TSM_HOST_ALLOCATE] = TSM_CAUSE_HOST_ALLOC,
        [TSM_HOST_COPY] = TSM_CAUSE_HOST_COPY,
    };
    uint64_t ns = clipped(w, span, w->done);
    if (ns > 0) {
        add_piece(w->g, causes[span->kind], span->name, span->stack, ns);
        w->done = (span->begin > w->done ? span->begin : w->done) + ns;
        w->special_in_outer += ns;
    }
}

static void
begin_walk(walk *w, uint64_t number)
{
    const tsm_thread_state *thread = w->g->thread;
    const tsm_host_span *special = NULL, *span = number == 0 ? NULL : tsm_thread_span(thread, number - 1);
    for (; span != NULL; span = parent_of(thread, span)) {
        if (span->end <= w->g->begin) {
            continue;
        }
        special = special == NULL && is_special(span) ? span : special;
        w->outer = span->end <= w->limit ? span : w->outer;
    }
    if (special != NULL) {
        meet_special(w, special);
    }
}

static void
walk_thread(gap *g, uint64_t limit, uint64_t number)
{
    walk w = { .g = g, .limit = limit, .done = g->begin };
    begin_walk(&w, number);
    for (const tsm_host_span *span; (span = tsm_thread_span(g->thread, number)) != NULL && span->begin < limit;
         number++) {
        if (span->end <= limit && (w.outer == NULL || span->begin >= w.outer->end)) {
            leave_outer(&w);
            w.outer = span;
        }
        if (is_special(span)) {
            meet_special(&w, span);
        }
    }
    leave_outer(&w);
}

/* The innermost operator that the call is in, else the call itself. */
static uint32_t
way_to(const gap *g, const tsm_call *call)
{
    uint64_t number = spans_until(g->thread, call->begin);
    const tsm_host_span *span = number == 0 ? NULL : tsm_thread_span(g->thread, number - 1);
    for (; span != NULL; span = parent_of(g->thread, span)) {
        if (span->kind == TSM_HOST_OPERATOR && span->end > call->begin) {
            return span->name;
        }
    }
    return call->name;
}

static void
explain_late_host(gap *g, const tsm_call *call, uint64_t number)
{
    walk_thread(g, call->begin < g->end ? call->begin : g->end, number);
    uint64_t length = g->end - g->begin, rest = length > g->explained ? length - g->explained : 0;
    if (g->sync != NULL) {
        add_piece(g, TSM_CAUSE_HOST_SYNC, g->sync->name, g->sync->stack != 0 ? g->sync->stack : call->stack, rest);
    } else {
        add_piece(g, kind_of_work(rest), way_to(g, call), call->stack, rest);
    }
}

/* ---- Launched in time ------------------------------------------------------------------------- */

/* The work on another device that the stream was told to wait for, if it ended inside the gap. */
static bool
find_dependency(const gap *g, const tsm_call *call, uint32_t *name)
{
    if (call->waits_stream == 0) {
        return false;
    }
    const tsm_stream_state *on = &g->pass->streams[call->waits_stream];
    if (on->cover > g->begin && on->cover <= g->end) {
        *name = on->cover_name;
        return true;
    }
    *name = on->before_name;
    return on->before > g->begin && on->before <= g->end;
}

static void
explain_launched(gap *g, const tsm_work *next)
{
    const tsm_call *call = next->call;
    uint64_t length = g->end - g->begin, from = call->end > g->begin ? call->end : g->begin;
    uint64_t waited = g->end > from ? g->end - from : 0;
    uint32_t name;
    if (find_dependency(g, call, &name)) {
        add_piece(g, TSM_CAUSE_DEPENDENCY, name, call->stack, length);
    } else if (next->of_graph) {
        add_piece(g, TSM_CAUSE_DEPENDENCY, call->name, call->stack, length);
    } else if (waited <= LATENCY_MOST_NS) {
        add_piece(g, TSM_CAUSE_LATENCY, call->name, call->stack, length);
    } else {
        add_piece(g, next->communication ? TSM_CAUSE_PEER : TSM_CAUSE_UNKNOWN, next->name, call->stack, length);
    }
}

/* ---- The worst -------------------------------------------------------------------------------- */

static bool
is_shorter(const tsm_gap *one, const tsm_gap *other)
{
    return one->length != other->length ? one->length < other->length : one->begin > other->begin;
}

static void
remember(const gap *g, const tsm_work *next)
{
    tsm_pass *pass = g->pass;
    tsm_gap found = { .begin = g->begin, .length = g->end - g->begin, .cause_ns = g->most, .cause = g->cause };
    size_t at = pass->gap_count;
    if (at == TSM_GAPS_KEPT) {
        if (!is_shorter(&pass->gaps[0], &found)) {
            return;
        }
        /* The shortest gives way: sift the hole down, then the new one up from there. */
        at = 0;
        for (size_t child; (child = 2 * at + 1) < TSM_GAPS_KEPT; at = child) {
            child += child + 1 < TSM_GAPS_KEPT && is_shorter(&pass->gaps[child + 1], &pass->gaps[child]);
            pass->gaps[at] = pass->gaps[child];
        }
    } else {
        pass->gap_count++;
    }
    found.place = g->device->place;
    found.name = tsm_pass_name_text(pass, g->name);
    found.stack = tsm_pass_stack_text(pass, g->stack != 0 || next->call == NULL ? g->stack : next->call->stack);
    found.stream = tsm_pass_stream_text(pass, next->stream);
    found.next = tsm_pass_name_text(pass, next->name);
    found.call = next->call == NULL ? 0 : tsm_pass_name_text(pass, next->call->name);
    for (; at > 0 && is_shorter(&found, &pass->gaps[(at - 1) / 2]); at = (at - 1) / 2) {
        pass->gaps[at] = pass->gaps[(at - 1) / 2];
    }
    pass->gaps[at] = found;
}

void
tsm_gaps_end(tsm_pass *pass)
{
    for (size_t i = 0; i < pass->gap_count; i++) {
        const tsm_gap *found = &pass->gaps[i];
        uint32_t keys[] = { found->place, tsm_records_format(pass->records, "%" PRIu64, found->begin),
                            tsm_records_format(pass->records, "%s", cause_ids[found->cause]), found->name,
                            found->stack };
        tsm_record *record = tsm_records_find(pass->records, TSM_RECORD_GAP, keys);
        TSM_OR_RETURN(record);
        record->fields[TSM_GAP_BEGIN] = found->begin;
        record->fields[TSM_GAP_NS] = found->length;
        record->fields[TSM_GAP_CAUSE_NS] = found->cause_ns;
        record->fields[TSM_GAP_STREAM] = found->stream;
        record->fields[TSM_GAP_NEXT] = found->next;
        record->fields[TSM_GAP_CALL] = found->call;
    }
}

void
tsm_gap_explain(tsm_pass *pass, tsm_device_state *device, uint64_t begin, uint64_t end, const tsm_work *next)
{
    gap g = { .pass = pass, .device = device, .begin = begin, .end = end, .cause = TSM_CAUSE_UNKNOWN };
    const tsm_call *call = next->call;
    if (call == NULL) {
        add_piece(&g, TSM_CAUSE_UNKNOWN, next->name, next->event->stack, end - begin);
    } else {
        g.thread = &pass->threads[call->thread];
        uint64_t number = spans_until(g.thread, begin);
        g.sync = sync_at(g.thread, begin, number);
        if (call->begin >= begin) {
            explain_late_host(&g, call, number);
        } else {
            explain_launched(&g, next);
        }
    }
    remember(&g, next);
}
