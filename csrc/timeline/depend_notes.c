/* The device's own records of waits: events on a stream, without a thread, of the correlation of
 * the call that waited. Torch's traces have the streams of waits only there, and name the call that
 * recorded the event by its correlation, in an extension record. */
#include <stdlib.h>

#include "base/hash.h"
#include "timeline/depend.h"

static bool
is_note(const tsm_span *span)
{
    return tsm_type_is_sync(span->type) || span->type == TSM_EVENT_EVENT_WAIT;
}

static tsm_depend_entry *
find(const tsm_depend_notes *notes, uint32_t kind, uint32_t process, uint64_t correlation)
{
    size_t at = (size_t)tsm_hash_mix(correlation, (uint64_t)process << 2 | kind) & notes->mask;
    for (; notes->entries[at].kind != 0; at = (at + 1) & notes->mask) {
        const tsm_depend_entry *e = &notes->entries[at];
        if (e->correlation == correlation && e->process == process && e->kind == kind) {
            break;
        }
    }
    return &notes->entries[at];
}

uint32_t
tsm_depend_note(const tsm_depend_notes *notes, tsm_depend_note_kind kind, uint32_t process, uint64_t correlation)
{
    if (correlation == 0 || notes->entries == NULL) {
        return TSM_SPAN_NONE;
    }
    const tsm_depend_entry *found = find(notes, kind, process, correlation);
    return found->kind == 0 ? TSM_SPAN_NONE : found->value;
}

uint64_t
tsm_depend_waited_call(const tsm_depend *d, const tsm_depend_notes *notes, uint32_t span)
{
    return tsm_depend_value(d, d->timeline->spans[span].event, notes->call_field);
}

/* A stream of the same process by its number. */
static uint32_t
stream_numbered(const tsm_timeline *t, const tsm_track *like, uint64_t raw_id)
{
    size_t low = 0, count = t->stream_tracks;
    while (count > 0) {
        const tsm_track *track = &t->tracks[low + count / 2];
        if (track->process < like->process
            || (track->process == like->process
                && (track->device < like->device || (track->device == like->device && track->raw_id < raw_id)))) {
            low += count / 2 + 1;
            count -= count / 2 + 1;
        } else {
            count /= 2;
        }
    }
    const tsm_track *found = low < t->stream_tracks ? &t->tracks[low] : NULL;
    bool fits =
        found != NULL && found->process == like->process && found->device == like->device && found->raw_id == raw_id;
    return fits ? (uint32_t)low : TSM_SPAN_NONE;
}

/* The first of several counts. */
static void
enter(tsm_depend_notes *notes, uint32_t kind, uint32_t process, uint64_t correlation, uint32_t value)
{
    tsm_depend_entry *e = find(notes, kind, process, correlation);
    if (e->kind == 0) {
        *e = (tsm_depend_entry){ correlation, process, value, kind };
    }
}

static void
note(const tsm_depend *d, tsm_depend_notes *notes, const tsm_track *track, uint32_t span)
{
    const tsm_timeline *t = d->timeline;
    uint32_t event = t->spans[span].event;
    uint64_t correlation = t->batch.events[event].correlation;
    uint64_t call = tsm_depend_value(d, event, notes->call_field);
    if (correlation != 0) {
        enter(notes, TSM_NOTE_WAIT, track->process, correlation, span);
    }
    if (call != 0) {
        uint32_t stream = stream_numbered(t, track, tsm_depend_value(d, event, notes->stream_field));
        enter(notes, TSM_NOTE_RECORD, track->process, call, stream);
    }
}

static size_t
count_notes(const tsm_timeline *t)
{
    size_t count = 0;
    for (size_t k = 0; k < t->stream_tracks; k++) {
        for (uint32_t i = t->tracks[k].first; i < t->tracks[k].first + t->tracks[k].count; i++) {
            count += is_note(&t->spans[i]);
        }
    }
    return count;
}

tsm_status
tsm_depend_notes_make(tsm_depend *d, tsm_depend_notes *notes)
{
    const tsm_timeline *t = d->timeline;
    size_t count = count_notes(t), size = 16;
    if (count == 0) {
        return TSM_OK;
    }
    while (size < 4 * count) {
        size *= 2;
    }
    notes->mask = size - 1;
    notes->entries = calloc(size, sizeof *notes->entries);
    if (notes->entries == NULL) {
        return TSM_E_NOMEM;
    }
    notes->call_field = tsm_depend_field(d, "wait_on_cuda_event_record_corr_id");
    notes->stream_field = tsm_depend_field(d, "wait_on_stream");
    for (size_t k = 0; k < t->stream_tracks; k++) {
        for (uint32_t i = t->tracks[k].first; i < t->tracks[k].first + t->tracks[k].count; i++) {
            if (is_note(&t->spans[i])) {
                note(d, notes, &t->tracks[k], i);
            }
        }
    }
    return TSM_OK;
}

void
tsm_depend_notes_free(tsm_depend_notes *notes)
{
    free(notes->entries);
}
