/* What the host did, in order of time: it launched, recorded events, told streams to wait for
 * them, and waited itself. Each stream remembers the operation that will be the last to end of
 * those it was given, which is all that a record or a wait has to know, streams being queues. So
 * the edges are at most a handful per call and operation. Work without a launch call counts as
 * launched when it began, and what follows from that is inferred. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "timeline/depend.h"

typedef struct {
    uint32_t from, via; /* the work to wait for; the wait */
    uint32_t next;      /* another wait of the same stream, or TSM_SPAN_NONE */
} pending;

/* By stream track. */
typedef struct {
    uint32_t last;    /* work */
    uint32_t waits;   /* pending ones */
    uint32_t barrier; /* the host's wait that is already known to come before */
    uint32_t next_dirty;
    bool last_inferred, is_dirty;
    uint32_t group;
} stream_state;

/* The streams of one process on one device, which a device-wide wait waits for. */
typedef struct {
    uint32_t process, device;
    uint32_t dirty;     /* a list of streams that were given work since the last such wait */
    uint32_t last_sync; /* a span */
    uint32_t first;     /* of its streams, which lie side by side */
} group;

/* The latest record of an event, by process and the event's id, or by the correlation of the call
 * that recorded it, where a wait names that. */
typedef struct {
    uint64_t id;
    uint32_t process;
    bool by_call;
    uint32_t record; /* span */
    uint32_t from;   /* work, or TSM_SPAN_NONE: the stream had none */
    bool inferred;
} recorded;

typedef struct {
    tsm_depend *depend;
    const tsm_timeline *timeline;
    tsm_span *actions; /* copies of spans, 'parent' being their index */
    size_t action_count, action_capacity;
    stream_state *streams;
    group *groups;
    size_t group_count;
    uint32_t *last_sync; /* by track of a thread */
    recorded *events;    /* in order of first appearance, which keeps those of one time together */
    size_t event_count;
    uint32_t *event_slots; /* hashed: an index of events + 1; 0: free */
    size_t event_mask;
    pending *waits;
    size_t wait_count, wait_capacity;
    tsm_depend_notes notes;
} host;

static const tsm_event *
event_of(const host *h, uint32_t span)
{
    return &h->timeline->batch.events[h->timeline->spans[span].event];
}

static bool
has_operations(const tsm_timeline *t, uint32_t span)
{
    uint32_t row = t->call_rows[span];
    return row != TSM_SPAN_NONE && t->calls[row].span == span && t->calls[row + 1].first > t->calls[row].first;
}

static bool
is_wait_or_record(uint16_t type)
{
    return tsm_type_is_sync(type) || type == TSM_EVENT_EVENT_RECORD || type == TSM_EVENT_EVENT_WAIT;
}

/* The stream that a call names, or else the one on which the device's own record of it lies. */
static uint32_t
stream_of(const host *h, uint32_t span, uint32_t own)
{
    uint32_t track = tsm_timeline_stream_track(h->timeline, event_of(h, span)->stream);
    return track == TSM_SPAN_NONE && own != TSM_SPAN_NONE ? h->timeline->spans[own].track : track;
}

/* ---- Gathering --------------------------------------------------------------------------------- */

static bool
is_action(const tsm_timeline *t, const tsm_track *track, uint32_t span)
{
    uint16_t type = t->spans[span].type;
    if (track->is_stream) {
        return tsm_event_is_work(type) && t->call_rows[span] == TSM_SPAN_NONE;
    }
    return is_wait_or_record(type) || has_operations(t, span);
}

static tsm_status
gather(host *h)
{
    const tsm_timeline *t = h->timeline;
    for (size_t k = 0; k < t->track_count; k++) {
        const tsm_track *track = &t->tracks[k];
        for (uint32_t i = track->first; i < track->first + track->count; i++) {
            if (!is_action(t, track, i)) {
                continue;
            }
            if (!tsm_array_reserve(&h->actions, &h->action_capacity, h->action_count + 1)) {
                return TSM_E_NOMEM;
            }
            h->actions[h->action_count] = t->spans[i];
            h->actions[h->action_count++].parent = i;
        }
    }
    return tsm_spans_sort(h->actions, h->action_count);
}

/* ---- Streams ----------------------------------------------------------------------------------- */

static tsm_status
wait_pending(host *h, stream_state *s, uint32_t operation)
{
    tsm_status status = TSM_OK;
    for (; status == TSM_OK && s->waits != TSM_SPAN_NONE; s->waits = h->waits[s->waits].next) {
        const pending *wait = &h->waits[s->waits];
        status = tsm_depend_add(h->depend, TSM_DEPENDENCY_EVENT_WAIT, wait->from, operation, wait->via,
                                TSM_PROVENANCE_CAPTURED);
    }
    return status;
}

static void
give(host *h, uint32_t track, uint32_t operation, bool inferred)
{
    stream_state *s = &h->streams[track];
    const tsm_span *spans = h->timeline->spans;
    if (s->last == TSM_SPAN_NONE || spans[operation].end_ns >= spans[s->last].end_ns) {
        s->last = operation;
        s->last_inferred = inferred;
    }
    if (!s->is_dirty) {
        s->is_dirty = true;
        s->next_dirty = h->groups[s->group].dirty;
        h->groups[s->group].dirty = track;
    }
}

/* on: the stream that the call named, which for a graph need not be the operation's own. */
static tsm_status
submit(host *h, uint32_t operation, uint32_t on, uint32_t sync, bool inferred)
{
    uint32_t own = h->timeline->spans[operation].track;
    stream_state *s = &h->streams[own];
    tsm_status status = wait_pending(h, s, operation);
    if (status == TSM_OK && on != TSM_SPAN_NONE && on != own) {
        status = wait_pending(h, &h->streams[on], operation);
        give(h, on, operation, inferred);
    }
    if (status == TSM_OK && sync != TSM_SPAN_NONE && s->barrier != sync) {
        s->barrier = sync;
        status = tsm_depend_add(h->depend, TSM_DEPENDENCY_HOST_BARRIER, sync, operation, TSM_SPAN_NONE,
                                TSM_PROVENANCE_IMPLIED);
    }
    give(h, own, operation, inferred);
    return status;
}

/* ---- Calls ------------------------------------------------------------------------------------- */

static bool
contains(tsm_text text, const char *word)
{
    return text.size > 0 && memmem(text.data, text.size, word, strlen(word)) != NULL;
}

/* A copy that a call without 'Async' in its name made is over when the call returns; an async one
 * to or from pageable memory may be. Only the times tell. */
static bool
waits_for_copy(const host *h, uint32_t call, uint32_t operation)
{
    const tsm_timeline *t = h->timeline;
    uint16_t type = t->spans[operation].type;
    if ((type != TSM_EVENT_MEMCPY_D2H && type != TSM_EVENT_MEMCPY_H2D)
        || t->spans[operation].end_ns > t->spans[call].end_ns) {
        return false;
    }
    const tsm_tables *tables = h->depend->tables;
    tsm_text name = tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, event_of(h, call)->name);
    tsm_text copy = tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, event_of(h, operation)->name);
    return !contains(name, "Async") || (type == TSM_EVENT_MEMCPY_D2H && contains(copy, "Pageable"));
}

static tsm_status
launch(host *h, uint32_t call)
{
    const tsm_timeline *t = h->timeline;
    const tsm_call *row = &t->calls[t->call_rows[call]];
    uint32_t thread = t->spans[call].track, sync = h->last_sync[thread];
    uint32_t on = tsm_timeline_stream_track(t, event_of(h, call)->stream);
    tsm_status status = TSM_OK;
    for (uint32_t i = row->first; status == TSM_OK && i < row[1].first; i++) {
        uint32_t operation = t->operations[i];
        status =
            tsm_depend_add(h->depend, TSM_DEPENDENCY_LAUNCH, call, operation, TSM_SPAN_NONE, TSM_PROVENANCE_CAPTURED);
        if (status == TSM_OK) {
            status = submit(h, operation, on, sync, false);
        }
        if (status == TSM_OK && waits_for_copy(h, call, operation)) {
            h->last_sync[thread] = call;
            status = tsm_depend_add(h->depend, TSM_DEPENDENCY_SYNCHRONIZATION, operation, call, TSM_SPAN_NONE,
                                    TSM_PROVENANCE_INFERRED);
        }
    }
    return status;
}

/* ---- Events ------------------------------------------------------------------------------------ */

static uint32_t *
find_slot(const host *h, uint32_t process, uint64_t id, bool by_call)
{
    size_t at = (size_t)tsm_hash_mix(id, process) & h->event_mask;
    for (; h->event_slots[at] != 0; at = (at + 1) & h->event_mask) {
        const recorded *r = &h->events[h->event_slots[at] - 1];
        if (r->id == id && r->process == process && r->by_call == by_call) {
            break;
        }
    }
    return &h->event_slots[at];
}

static const recorded *
find_event(const host *h, uint32_t process, uint64_t id, bool by_call)
{
    uint32_t slot = *find_slot(h, process, id, by_call);
    return slot == 0 ? NULL : &h->events[slot - 1];
}

static bool
names_event(const tsm_event *event)
{
    return (event->flags & TSM_VALUE_MASK) != TSM_VALUE_NONE;
}

static void
note_record(host *h, uint32_t span, uint32_t process, uint64_t id, bool by_call, uint32_t track)
{
    const stream_state *s = track == TSM_SPAN_NONE ? NULL : &h->streams[track];
    uint32_t *slot = find_slot(h, process, id, by_call);
    *slot = *slot == 0 ? (uint32_t)++h->event_count : *slot;
    h->events[*slot - 1] = (recorded){
        .id = id,
        .process = process,
        .by_call = by_call,
        .record = span,
        .from = s == NULL ? TSM_SPAN_NONE : s->last,
        .inferred = s != NULL && s->last_inferred,
    };
}

static void
record(host *h, uint32_t span, uint32_t process)
{
    const tsm_event *event = event_of(h, span);
    uint32_t track = tsm_timeline_stream_track(h->timeline, event->stream);
    uint32_t waited = tsm_depend_note(&h->notes, TSM_NOTE_RECORD, process, event->correlation);
    if (names_event(event)) {
        note_record(h, span, process, event->value, false, track);
    }
    if (waited != TSM_SPAN_NONE) {
        note_record(h, span, process, event->correlation, true, waited);
    }
}

/* The record that a wait means, or NULL, which is counted. 'own' is the device's record of the
 * same wait, which may know more, or TSM_SPAN_NONE. */
static const recorded *
recorded_for(host *h, uint32_t span, uint32_t own, uint32_t process)
{
    const tsm_event *event = event_of(h, span);
    const recorded *found = NULL;
    uint64_t call = own == TSM_SPAN_NONE ? 0 : tsm_depend_waited_call(h->depend, &h->notes, own);
    if (call != 0) {
        found = find_event(h, process, call, true);
    } else if (names_event(event)) {
        found = find_event(h, process, event->value, false);
    } else if (own != TSM_SPAN_NONE && names_event(event_of(h, own))) {
        found = find_event(h, process, event_of(h, own)->value, false);
    }
    if (found == NULL) {
        h->depend->facts.unmatched_waits++;
        return NULL;
    }
    return found->from == TSM_SPAN_NONE ? NULL : found;
}

static tsm_status
wait_on_stream(host *h, uint32_t span, uint32_t own, uint32_t process)
{
    uint32_t track = stream_of(h, span, own);
    const recorded *found = recorded_for(h, span, own, process);
    if (found == NULL || track == TSM_SPAN_NONE || h->timeline->spans[found->from].track == track) {
        return TSM_OK; /* a stream's own order needs no event */
    }
    if (!tsm_array_reserve(&h->waits, &h->wait_capacity, h->wait_count + 1)) {
        return TSM_E_NOMEM;
    }
    h->waits[h->wait_count] = (pending){ found->from, span, h->streams[track].waits };
    h->streams[track].waits = (uint32_t)h->wait_count++;
    return TSM_OK;
}

/* ---- The host waits ----------------------------------------------------------------------------- */

static tsm_status
wait_for(host *h, uint32_t from, uint32_t sync, uint32_t via, bool inferred)
{
    return tsm_depend_add(h->depend, TSM_DEPENDENCY_SYNCHRONIZATION, from, sync, via,
                          inferred ? TSM_PROVENANCE_INFERRED : TSM_PROVENANCE_IMPLIED);
}

/* The first group that is not before (process, device). */
static size_t
lower_group(const host *h, uint64_t process, uint32_t device)
{
    size_t low = 0, count = h->group_count;
    while (count > 0) {
        const group *g = &h->groups[low + count / 2];
        if (g->process < process || (g->process == process && g->device < device)) {
            low += count / 2 + 1;
            count -= count / 2 + 1;
        } else {
            count /= 2;
        }
    }
    return low;
}

static group *
find_group(const host *h, uint32_t process, uint32_t device)
{
    size_t at = lower_group(h, process, device);
    bool found = at < h->group_count && h->groups[at].process == process && h->groups[at].device == device;
    return found ? &h->groups[at] : NULL;
}

/* The streams that a process may have waited for, when nothing says which: its own, or those of
 * processes that are not known. 0: there are none, or too many to look at every time. */
#define GUESSED_STREAMS 256

static uint32_t
streams_of_process(const host *h, uint32_t process, uint32_t *first)
{
    size_t low = lower_group(h, process, 0), high = lower_group(h, (uint64_t)process + 1, 0);
    if (low == high) {
        return process == 0 ? 0 : streams_of_process(h, 0, first);
    }
    *first = h->groups[low].first;
    size_t end = high < h->group_count ? h->groups[high].first : h->timeline->stream_tracks;
    return end - *first > GUESSED_STREAMS ? 0 : (uint32_t)(end - *first);
}

/* Nothing says for what: then probably for the work that ended last while it lasted. */
static tsm_status
sync_unknown(host *h, uint32_t span, uint32_t process)
{
    const tsm_span *spans = h->timeline->spans;
    uint32_t first = 0, count = streams_of_process(h, process, &first), latest = TSM_SPAN_NONE;
    for (uint32_t i = first; i < first + count; i++) {
        uint32_t last = h->streams[i].last;
        if (last != TSM_SPAN_NONE && spans[last].end_ns > spans[span].begin_ns
            && spans[last].end_ns <= spans[span].end_ns
            && (latest == TSM_SPAN_NONE || spans[last].end_ns > spans[latest].end_ns)) {
            latest = last;
        }
    }
    return latest == TSM_SPAN_NONE ? TSM_OK : wait_for(h, latest, span, TSM_SPAN_NONE, true);
}

static tsm_status
sync_stream(host *h, uint32_t span, uint32_t own, uint32_t process)
{
    uint32_t track = stream_of(h, span, own);
    if (track == TSM_SPAN_NONE) {
        return event_of(h, span)->stream == 0 ? sync_unknown(h, span, process) : TSM_OK;
    }
    const stream_state *s = &h->streams[track];
    return s->last == TSM_SPAN_NONE ? TSM_OK : wait_for(h, s->last, span, TSM_SPAN_NONE, s->last_inferred);
}

static tsm_status
sync_event(host *h, uint32_t span, uint32_t own, uint32_t process)
{
    if (!names_event(event_of(h, span)) && own == TSM_SPAN_NONE) {
        h->depend->facts.unmatched_waits++;
        return sync_unknown(h, span, process);
    }
    const recorded *found = recorded_for(h, span, own, process);
    return found == NULL ? TSM_OK : wait_for(h, found->from, span, found->record, found->inferred);
}

/* The streams of the device that was waited for. Where the call does not say, the device's own
 * record of the wait may, or the process has but one. */
static group *
group_of(const host *h, uint32_t span, uint32_t own, uint32_t process)
{
    uint32_t device = event_of(h, span)->device;
    if (device == 0 && own != TSM_SPAN_NONE) {
        device = h->timeline->tracks[h->timeline->spans[own].track].device;
    }
    group *g = find_group(h, process, device);
    if (g == NULL && device != 0) {
        g = find_group(h, 0, device);
    }
    uint32_t first, count = g != NULL || device != 0 ? 0 : streams_of_process(h, process, &first);
    if (count > 0 && h->streams[first].group == h->streams[first + count - 1].group) {
        g = &h->groups[h->streams[first].group];
    }
    return g;
}

/* What an earlier wait of another thread waited for needs no edges of its own: one from that wait
 * will do, if it was over first. So no stream is named twice for the same work. */
static tsm_status
sync_group(host *h, uint32_t span, group *g)
{
    const tsm_span *spans = h->timeline->spans;
    tsm_status status = TSM_OK;
    for (; status == TSM_OK && g->dirty != TSM_SPAN_NONE; g->dirty = h->streams[g->dirty].next_dirty) {
        stream_state *s = &h->streams[g->dirty];
        s->is_dirty = false;
        status = wait_for(h, s->last, span, TSM_SPAN_NONE, s->last_inferred);
    }
    if (status == TSM_OK && g->last_sync != TSM_SPAN_NONE && spans[g->last_sync].track != spans[span].track
        && spans[g->last_sync].end_ns <= spans[span].end_ns) {
        status = wait_for(h, g->last_sync, span, TSM_SPAN_NONE, false);
    }
    g->last_sync = span;
    return status;
}

static tsm_status
sync_device(host *h, uint32_t span, uint32_t own, uint32_t process)
{
    group *g = group_of(h, span, own, process);
    if (g != NULL) {
        return sync_group(h, span, g);
    }
    return event_of(h, span)->device == 0 ? sync_unknown(h, span, process) : TSM_OK;
}

static tsm_status
act(host *h, const tsm_span *action)
{
    uint32_t span = action->parent, process = h->timeline->tracks[action->track].process;
    tsm_status status = TSM_OK;
    if (h->timeline->tracks[action->track].is_stream) {
        return submit(h, span, TSM_SPAN_NONE, TSM_SPAN_NONE, true);
    }
    if (has_operations(h->timeline, span)) {
        status = launch(h, span);
    }
    if (status != TSM_OK || !is_wait_or_record(action->type)) {
        return status;
    }
    uint32_t own = tsm_depend_note(&h->notes, TSM_NOTE_WAIT, process, event_of(h, span)->correlation);
    switch (action->type) {
    case TSM_EVENT_EVENT_RECORD:
        record(h, span, process);
        return TSM_OK;
    case TSM_EVENT_EVENT_WAIT:
        return wait_on_stream(h, span, own, process);
    case TSM_EVENT_STREAM_SYNC:
        status = sync_stream(h, span, own, process);
        break;
    case TSM_EVENT_DEVICE_SYNC:
        status = sync_device(h, span, own, process);
        break;
    default:
        status = sync_event(h, span, own, process);
    }
    h->last_sync[action->track] = span;
    return status;
}

/* ---- Setting up --------------------------------------------------------------------------------- */

/* Tracks lie by process and device, so groups are found one after the other. */
static void
make_groups(host *h)
{
    const tsm_timeline *t = h->timeline;
    for (size_t i = 0; i < t->stream_tracks; i++) {
        const tsm_track *track = &t->tracks[i];
        group *last = h->group_count == 0 ? NULL : &h->groups[h->group_count - 1];
        if (last == NULL || last->process != track->process || last->device != track->device) {
            h->groups[h->group_count++] =
                (group){ track->process, track->device, TSM_SPAN_NONE, TSM_SPAN_NONE, (uint32_t)i };
        }
        h->streams[i] = (stream_state){
            .last = TSM_SPAN_NONE,
            .waits = TSM_SPAN_NONE,
            .barrier = TSM_SPAN_NONE,
            .group = (uint32_t)h->group_count - 1,
        };
    }
}

/* A record may be found by its event, and by its call where waits name that. */
static tsm_status
make_events(host *h)
{
    size_t records = 0, size = 16, names = h->notes.entries == NULL ? 1 : 2;
    for (size_t i = 0; i < h->action_count; i++) {
        records += h->actions[i].type == TSM_EVENT_EVENT_RECORD ? names : 0;
    }
    while (size < 2 * records) {
        size *= 2;
    }
    h->event_mask = size - 1;
    h->event_slots = calloc(size, sizeof *h->event_slots);
    h->events = malloc((records + 1) * sizeof *h->events);
    return h->event_slots == NULL || h->events == NULL ? TSM_E_NOMEM : TSM_OK;
}

static tsm_status
set_up(host *h)
{
    const tsm_timeline *t = h->timeline;
    h->streams = malloc((t->stream_tracks + 1) * sizeof *h->streams);
    h->groups = malloc((t->stream_tracks + 1) * sizeof *h->groups);
    h->last_sync = malloc((t->track_count + 1) * sizeof *h->last_sync);
    if (h->streams == NULL || h->groups == NULL || h->last_sync == NULL) {
        return TSM_E_NOMEM;
    }
    memset(h->last_sync, 0xff, (t->track_count + 1) * sizeof *h->last_sync);
    make_groups(h);
    tsm_status status = gather(h);
    if (status == TSM_OK) {
        status = tsm_depend_notes_make(h->depend, &h->notes);
    }
    return status == TSM_OK ? make_events(h) : status;
}

/* Events lie in another order than actions, and slots in none: asked for some actions ahead. */
#define EVENT_AHEAD 32
#define SLOT_AHEAD  12

static void
prefetch(const host *h, size_t at)
{
    if (at + EVENT_AHEAD < h->action_count) {
        __builtin_prefetch(&h->timeline->batch.events[h->actions[at + EVENT_AHEAD].event]);
    }
    const tsm_span *next = at + SLOT_AHEAD < h->action_count ? &h->actions[at + SLOT_AHEAD] : NULL;
    if (next != NULL && (next->type == TSM_EVENT_EVENT_RECORD || next->type == TSM_EVENT_EVENT_WAIT)) {
        uint32_t process = h->timeline->tracks[next->track].process;
        size_t slot = (size_t)tsm_hash_mix(h->timeline->batch.events[next->event].value, process) & h->event_mask;
        __builtin_prefetch(&h->event_slots[slot]);
    }
}

tsm_status
tsm_depend_host(tsm_depend *depend)
{
    host h = { .depend = depend, .timeline = depend->timeline };
    tsm_status status = set_up(&h);
    for (size_t i = 0; status == TSM_OK && i < h.action_count; i++) {
        prefetch(&h, i);
        status = act(&h, &h.actions[i]);
    }
    free(h.actions);
    free(h.streams);
    free(h.groups);
    free(h.last_sync);
    free(h.events);
    free(h.event_slots);
    free(h.waits);
    tsm_depend_notes_free(&h.notes);
    return status;
}
