/* Events wait here, so that whole files come out sorted and whatever is said about an event
 * elsewhere in the file finds it. Files of more than EVENTS_MAX events come out in sorted parts. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "ingest/chrome.h"

#define EVENTS_MAX     ((size_t)1 << 20)
#define EXTENSIONS_MAX ((size_t)3 << 19)
#define FLOWS_MAX      ((size_t)1 << 20)

bool
chrome_buffer_full(const chrome_importer *im)
{
    return im->event_count >= EVENTS_MAX || im->extension_count >= EXTENSIONS_MAX || im->flow_count >= FLOWS_MAX;
}

void
chrome_add_event(chrome_importer *im, const tsm_event *event, uint32_t track)
{
    if (!tsm_array_reserve(&im->events, &im->event_capacity, im->event_count + 1)
        || !tsm_array_reserve(&im->event_tracks, &im->track_slots, im->event_count + 1)) {
        chrome_note(im, TSM_E_NOMEM);
        return;
    }
    im->events[im->event_count] = *event;
    im->event_tracks[im->event_count++] = track;
}

void
chrome_add_extension(chrome_importer *im, const tsm_extension *extension, uint32_t row)
{
    if (!tsm_array_reserve(&im->extensions, &im->extension_capacity, im->extension_count + 1)
        || !tsm_array_reserve(&im->extension_rows, &im->row_capacity, im->extension_count + 1)) {
        chrome_note(im, TSM_E_NOMEM);
        return;
    }
    im->extensions[im->extension_count] = *extension;
    im->extension_rows[im->extension_count++] = row;
}

/* ---- Which call launched what ---------------------------------------------------------------- */

typedef struct {
    uint32_t *slots; /* event + 1, by correlation; the first of each */
    size_t mask;
} calls;

static uint32_t *
slot_of(const chrome_importer *im, const calls *c, uint64_t correlation)
{
    size_t at = (size_t)tsm_hash_mix(correlation, 0) & c->mask;
    while (c->slots[at] != 0 && im->events[c->slots[at] - 1].correlation != correlation) {
        at = (at + 1) & c->mask;
    }
    return &c->slots[at];
}

static bool
index_calls(const chrome_importer *im, calls *c)
{
    size_t size = 64, count = 0;
    for (size_t i = 0; i < im->event_count; i++) {
        count += im->events[i].correlation != 0 && im->events[i].stream == 0;
    }
    while (size < count * 2) {
        size *= 2;
    }
    c->mask = size - 1;
    c->slots = calloc(size, sizeof *c->slots);
    for (size_t i = 0; c->slots != NULL && i < im->event_count; i++) {
        if (im->events[i].correlation != 0 && im->events[i].stream == 0) {
            uint32_t *slot = slot_of(im, c, im->events[i].correlation);
            *slot = *slot == 0 ? (uint32_t)i + 1 : *slot;
        }
    }
    return c->slots != NULL;
}

/* Device work gets the thread of its call, and its stream the process. */
static void
settle_work(chrome_importer *im, const calls *c, tsm_event *event)
{
    uint32_t track = event->stream - 1, call = event->correlation == 0 ? 0 : *slot_of(im, c, event->correlation);
    uint32_t process = 0;
    event->thread = 0;
    if (call != 0) {
        uint32_t thread = chrome_thread_row(im, im->event_tracks[call - 1]);
        process = (uint32_t)tsm_tables_borrow_row(im->tables, TSM_TABLE_THREADS, thread)[TSM_THREAD_PROCESS];
        event->thread = tsm_event_is_work(event->type) ? thread : 0;
    }
    event->stream = chrome_stream_row(im, track, process);
    event->device = (uint32_t)tsm_tables_borrow_row(im->tables, TSM_TABLE_STREAMS, event->stream)[TSM_STREAM_DEVICE];
}

static void
settle_streams(chrome_importer *im, const calls *c, int work)
{
    for (size_t i = 0; i < im->event_count; i++) {
        tsm_event *event = &im->events[i];
        if (event->stream != 0 && tsm_event_is_work(event->type) == work) {
            settle_work(im, c, event);
        }
    }
}

/* Tracks become rows: streams first, because an event with one must not be taken for a call. */
static void
settle(chrome_importer *im)
{
    calls c;
    if (!index_calls(im, &c)) {
        chrome_note(im, TSM_E_NOMEM);
        return;
    }
    /* Work first, so that a stream's process is its work's; then whatever else lies there. */
    settle_streams(im, &c, 1);
    settle_streams(im, &c, 0);
    free(c.slots);
    for (size_t i = 0; i < im->event_count; i++) {
        tsm_event *event = &im->events[i];
        if (event->stream == 0) {
            event->thread = chrome_thread_row(im, event->thread - 1);
            event->device = event->device == 0 ? 0 : chrome_device_row(im, event->device - 1);
        }
    }
}

void
chrome_flush(chrome_importer *im)
{
    chrome_flows_bind(im);
    if (im->status == TSM_OK) {
        settle(im);
    }
    if (im->status == TSM_OK) {
        chrome_note(
            im, tsm_events_sort(im->events, im->event_count, im->extension_rows, im->extensions, im->extension_count));
    }
    if (im->status == TSM_OK && im->event_count > 0) {
        tsm_batch batch = { im->events, im->event_count, im->extensions, im->extension_rows, im->extension_count };
        im->status = tsm_sink_write(im->sink, &batch, im->err);
        im->report->events += im->status == TSM_OK ? im->event_count : 0;
        im->earliest = im->events->timestamp < im->earliest ? im->events->timestamp : im->earliest;
    }
    im->event_count = im->extension_count = 0;
}
