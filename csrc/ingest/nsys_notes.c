/* What is said about a call in a table of its own: the stream that it was given and the CUDA event,
 * the bytes that it allocated. It is read first, and found again by process and correlation. */
#include "base/array.h"
#include "ingest/nsys.h"

#define NO_EVENT 0xffffffff

enum { NOTE_PROCESS, NOTE_CORRELATION, NOTE_DEVICE, NOTE_CONTEXT, NOTE_STREAM, NOTE_EVENT, NOTE_COLUMNS };
enum { MEMORY_PROCESS, MEMORY_CORRELATION, MEMORY_BYTES, MEMORY_ADDRESS, MEMORY_COLUMNS };

static nsys_note *
note_at(nsys *im, tsm_sqlite_statement *row)
{
    int64_t process = nsys_is_null(im, row, NOTE_PROCESS) ? im->only_process : nsys_integer(im, row, NOTE_PROCESS);
    int64_t correlation = nsys_integer(im, row, NOTE_CORRELATION);
    if (process == 0 || correlation == 0) {
        return NULL;
    }
    uint32_t *place = nsys_key(im, NSYS_KEY_NOTE, process, correlation, 0);
    if (place == NULL) {
        return NULL;
    }
    if (*place == 0) {
        if (!tsm_array_reserve(&im->notes, &im->note_capacity, im->note_count + 1)) {
            ingest_note(&im->buffer, TSM_E_NOMEM);
            return NULL;
        }
        im->notes[im->note_count] = (nsys_note){ 0 };
        *place = (uint32_t)++im->note_count;
    }
    return &im->notes[*place - 1];
}

static void
keep_event(nsys *im, tsm_sqlite_statement *row)
{
    nsys_note *note = note_at(im, row);
    if (note == NULL) {
        return;
    }
    int64_t process = nsys_is_null(im, row, NOTE_PROCESS) ? im->only_process : nsys_integer(im, row, NOTE_PROCESS);
    int64_t event = nsys_is_null(im, row, NOTE_EVENT) ? NO_EVENT : nsys_integer(im, row, NOTE_EVENT);
    note->stream = nsys_stream_row(im, process, nsys_integer(im, row, NOTE_DEVICE), nsys_integer(im, row, NOTE_CONTEXT),
                                   nsys_integer(im, row, NOTE_STREAM));
    note->has_event = event != NO_EVENT;
    note->event = (uint64_t)event;
}

static void
keep_record(nsys *im, tsm_sqlite_statement *row)
{
    keep_event(im, row);
    ingest_count(im->buffer.report, "CUPTI_ACTIVITY_KIND_CUDA_EVENT", NULL, 1);
}

static void
keep_memory(nsys *im, tsm_sqlite_statement *row)
{
    nsys_note *note = note_at(im, row);
    ingest_count(im->buffer.report, "CUDA_GPU_MEMORY_USAGE_EVENTS",
                 note != NULL ? NULL : "of no call that could be found", 1);
    if (note != NULL) {
        note->has_memory = true;
        note->bytes = (uint64_t)nsys_integer(im, row, MEMORY_BYTES);
        note->address = (uint64_t)nsys_integer(im, row, MEMORY_ADDRESS);
    }
}

bool
nsys_notes_read(nsys *im)
{
    static const char *const events[NOTE_COLUMNS] = { "globalPid", "correlationId", "deviceId",
                                                      "contextId", "streamId",      "eventId" };
    static const char *const memory[MEMORY_COLUMNS] = { "globalPid", "correlationId", "bytes", "address" };
    return nsys_each(im, "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", events, NOTE_COLUMNS, "", keep_event)
           && nsys_each(im, "CUPTI_ACTIVITY_KIND_CUDA_EVENT", events, NOTE_COLUMNS, "", keep_record)
           && nsys_each(im, "CUDA_GPU_MEMORY_USAGE_EVENTS", memory, MEMORY_COLUMNS, "", keep_memory);
}

const nsys_note *
nsys_note_of(nsys *im, int64_t process, int64_t correlation)
{
    uint32_t found = nsys_find(im, NSYS_KEY_NOTE, process, correlation, 0);
    return found == 0 ? NULL : &im->notes[found - 1];
}
