/* Where an event is shown: pid is the device and tid the stream for what lies on streams, as
 * torch.profiler has it. Of an imported trace the numbers stay what they were. Elsewhere two rows
 * never share a number, and overlapping work of one stream is split among lanes, because
 * Perfetto's readers up to v56 drop slices that overlap without nesting. */
#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"
#include "export/torch.h"

#define LANES_MAX 256
#define MADE_UP   ((int64_t)1 << 30) /* numbers that no system gives */

static bool
grow_numbers(torch_numbers *numbers)
{
    if (numbers->taken * 2 < numbers->slot_count) {
        return true;
    }
    const size_t wanted = numbers->slot_count == 0 ? 64 : numbers->slot_count * 2;
    uint64_t *slots = calloc(wanted, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < numbers->slot_count; i++) {
        size_t at = (size_t)numbers->slots[i] & (wanted - 1);
        while (numbers->slots[i] != 0 && slots[at] != 0) {
            at = (at + 1) & (wanted - 1);
        }
        slots[at] = numbers->slots[i] != 0 ? numbers->slots[i] : slots[at];
    }
    free(numbers->slots);
    numbers->slots = slots;
    numbers->slot_count = wanted;
    return true;
}

/* Notes number as taken within space. False: it was before. */
static bool
take(torch *c, int64_t space, int64_t number)
{
    torch_numbers *numbers = &c->numbers;
    if (!grow_numbers(numbers)) {
        c->pieces.failed = true;
        return true;
    }
    const uint64_t key = tsm_hash_mix((uint64_t)space, (uint64_t)number) | 1;
    size_t at = (size_t)key & (numbers->slot_count - 1);
    for (; numbers->slots[at] != 0; at = (at + 1) & (numbers->slot_count - 1)) {
        if (numbers->slots[at] == key) {
            return false;
        }
    }
    numbers->slots[at] = key;
    numbers->taken++;
    return true;
}

static int64_t
number_for(torch *c, int64_t space, int64_t wanted)
{
    return c->imported || take(c, space, wanted) ? wanted : MADE_UP + c->numbers.fresh++;
}

enum { PIDS = -1 }; /* the space of pids; that of tids is their pid */

static void
make_track(torch_track *track, int64_t pid, int64_t tid)
{
    char *at = track->text;
    memcpy(at, ",\"pid\":", 7);
    at = tsm_print_i64(at + 7, pid);
    memcpy(at, ",\"tid\":", 7);
    at = tsm_print_i64(at + 7, tid);
    memcpy(at, ",\"ts\":", 6);
    track->size = (uint8_t)(at + 6 - track->text);
    track->pid = pid;
    track->tid = tid;
}

/* Correlations are unique in their process, flows in the file. */
static uint64_t
flow_base(uint64_t process)
{
    return process > 1 ? (process - 1) << 40 : 0;
}

bool
torch_number_devices(torch *c)
{
    for (uint32_t row = 1; row < c->devices.count; row++) {
        (void)torch_device_track(c, row);
    }
    return !c->pieces.failed;
}

const torch_track *
torch_device_track(torch *c, uint32_t row)
{
    torch_track *track = torch_at(c, devices, row);
    if (track->size == 0) {
        const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_DEVICES, row);
        make_track(track, number_for(c, PIDS, (int64_t)values[TSM_DEVICE_ORDINAL]), 0);
    }
    return track;
}

/* Did a metadata event give this name to the number 0? what: p for processes, t for threads. */
static bool
is_of_zero(torch *c, char what, uint64_t name)
{
    const torch_piece piece = torch_string(c, (uint32_t)name);
    const char *quoted = c->pieces.data + piece.offset, *at = c->zero_names.data;
    const size_t size = piece.size - 1;
    for (size_t left = c->zero_names.size; left >= size + 3; at++, left--) {
        if (at[0] == '\n' && at[1] == what && memcmp(at + 2, quoted, size) == 0 && at[2 + size] == '\n') {
            return true;
        }
    }
    return false;
}

bool
torch_is_text(torch *c, const uint64_t *process)
{
    return process[TSM_PROCESS_PID] == 0 && process[TSM_PROCESS_NAME] != 0
           && !is_of_zero(c, 'p', process[TSM_PROCESS_NAME]);
}

bool
torch_is_text_thread(torch *c, const uint64_t *thread)
{
    return c->imported && thread[TSM_THREAD_TID] == 0 && thread[TSM_THREAD_NAME] != 0
           && !is_of_zero(c, 't', thread[TSM_THREAD_NAME]);
}

const torch_track *
torch_process_track(torch *c, uint32_t row)
{
    torch_track *track = torch_at(c, processes, row);
    if (track->size == 0) {
        const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_PROCESSES, row);
        const int64_t wanted = torch_is_text(c, values) ? TORCH_TEXT_PIDS + row : (int64_t)values[TSM_PROCESS_PID];
        make_track(track, number_for(c, PIDS, wanted), 0);
    }
    return track;
}

const torch_track *
torch_thread_track(torch *c, uint32_t row)
{
    torch_track *track = torch_at(c, threads, row);
    if (track->size == 0) {
        const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_THREADS, row);
        const uint64_t process = values[TSM_THREAD_PROCESS];
        const int64_t pid = torch_process_track(c, (uint32_t)process)->pid;
        const bool text = torch_is_text_thread(c, values);
        make_track(track, pid, number_for(c, pid, text ? TORCH_TEXT_PIDS + row : (int64_t)values[TSM_THREAD_TID]));
        track->flow_base = flow_base(process);
    }
    return track;
}

/* ---- Streams */

/* The stream's first lane has its own number. */
static torch_lane *
add_lane(torch *c, torch_stream *stream, uint32_t row)
{
    if (!tsm_array_reserve(&stream->lanes, &stream->capacity, stream->count + 1)) {
        c->pieces.failed = true;
        return NULL;
    }
    const uint64_t *values = tsm_tables_borrow_row(c->tables, TSM_TABLE_STREAMS, row);
    const int64_t pid = torch_device_track(c, (uint32_t)values[TSM_STREAM_DEVICE])->pid;
    const int64_t raw = (int64_t)values[TSM_STREAM_RAW_ID];
    torch_lane *lane = &stream->lanes[stream->count];
    *lane = (torch_lane){ .work_end = 0 };
    make_track(&lane->track, pid, stream->count == 0 ? number_for(c, pid, raw) : MADE_UP + c->numbers.fresh++);
    lane->track.flow_base = flow_base(values[TSM_STREAM_PROCESS]);
    stream->count++;
    return lane;
}

/* Takes the event when it begins no earlier than the last one, overlaps no work, and lies inside
 * the ranges that are open. */
static bool
takes(torch_lane *lane, uint64_t begin, uint64_t end, bool range)
{
    if (begin < lane->begin || begin < lane->work_end) {
        return false;
    }
    while (lane->range_count > 0 && lane->ranges[lane->range_count - 1] <= begin) {
        lane->range_count--;
    }
    const size_t open = lane->range_count;
    if (open > 0 && end > lane->ranges[open - 1]) {
        return false;
    }
    if (range && open == sizeof lane->ranges / sizeof *lane->ranges) {
        return false;
    }
    lane->begin = begin;
    if (range) {
        lane->ranges[lane->range_count++] = end;
    } else {
        lane->work_end = end;
    }
    return true;
}

const torch_track *
torch_stream_track(torch *c, const tsm_event *event)
{
    const uint32_t row = event->stream < c->streams.count ? event->stream : 0;
    torch_stream *stream = &c->streams.items[row];
    const uint64_t end =
        event->timestamp + event->duration < event->timestamp ? UINT64_MAX : event->timestamp + event->duration;
    for (size_t i = 0; i < stream->count; i++) {
        if (c->imported || takes(&stream->lanes[i], event->timestamp, end, event->type == TSM_EVENT_RANGE)) {
            return &stream->lanes[i].track;
        }
    }
    torch_lane *lane = stream->count < LANES_MAX ? add_lane(c, stream, row) : &stream->lanes[LANES_MAX - 1];
    if (lane == NULL) {
        return torch_process_track(c, 0);
    }
    (void)takes(lane, event->timestamp, end, event->type == TSM_EVENT_RANGE);
    return &lane->track;
}
