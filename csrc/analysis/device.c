/* A device as unions of intervals. Work comes in the order of its begin, so a union is a total and
 * a watermark, its *cover*: whatever lies between now and the cover is busy without a break. */
#include <inttypes.h>
#include <stdlib.h>

#include "analysis/pass.h"
#include "base/array.h"

enum { CACHE_PAIR = 2 };

/* What is new of [begin, end); moves the watermark. */
static uint64_t
cover(uint64_t *covered, uint64_t *total, uint64_t begin, uint64_t end)
{
    uint64_t from = begin > *covered ? begin : *covered;
    if (end <= from) {
        return 0;
    }
    *covered = end;
    *total += end - from;
    return end - from;
}

static bool
start(tsm_pass *pass, tsm_device_state *device, const tsm_work *work)
{
    const uint64_t *row = tsm_tables_borrow_row(pass->tables, TSM_TABLE_DEVICES, work->device);
    tsm_text model = tsm_tables_borrow_text(pass->tables, TSM_TABLE_STRINGS, (uint32_t)row[TSM_DEVICE_NAME]);
    device->place = tsm_pass_place_text(pass, work->device);
    device->record = tsm_records_find(pass->records, TSM_RECORD_DEVICE, &device->place);
    if (device->record == NULL) {
        return false;
    }
    device->active = true;
    device->first = device->cover = device->compute_cover = device->communication_cover = device->either_cover =
        device->memory_cover = work->begin;
    device->record->fields[TSM_DEVICE_SMS] = row[TSM_DEVICE_MULTIPROCESSORS];
    device->record->fields[TSM_DEVICE_SM_THREADS] = row[TSM_DEVICE_THREADS_PER_MULTIPROCESSOR];
    device->record->fields[TSM_DEVICE_MEMORY_SIZE] = row[TSM_DEVICE_MEMORY_BYTES];
    device->record->fields[TSM_DEVICE_MODEL] = tsm_records_text(pass->records, model.data, model.size);
    return true;
}

/* Communication that no computation hid, up to a time before which nothing more can begin. */
void
tsm_device_charge_exposed(tsm_device_state *device, uint64_t until)
{
    uint64_t from = device->exposed_from > device->compute_cover ? device->exposed_from : device->compute_cover;
    uint64_t to = until < device->communication_cover ? until : device->communication_cover;
    if (to > from && device->collective != NULL) {
        device->collective->fields[TSM_COLLECTIVE_EXPOSED_NS] += to - from;
    }
    device->exposed_from = until;
}

static void
unite(tsm_pass *pass, tsm_device_state *device, const tsm_work *work)
{
    (void)pass;
    uint64_t begin = work->begin, end = work->end, before = device->cover;
    if (work->compute || work->communication) {
        tsm_device_charge_exposed(device, begin);
        cover(&device->either_cover, &device->either, begin, end);
    }
    if (work->compute) {
        cover(&device->compute_cover, &device->compute, begin, end);
    } else if (work->communication) {
        if (cover(&device->communication_cover, &device->communication, begin, end) > 0) {
            device->collective = work->collective;
        }
    } else {
        cover(&device->memory_cover, &device->in_memory, begin, end);
    }
    if (cover(&device->cover, &device->busy, begin, end) > 0) {
        device->cover_name = work->name;
        tsm_chunks_add(&device->busy_chunks, begin > before ? begin : before, end);
    }
}

/* ---- How many at once ------------------------------------------------------------------------ */

static void
sink(uint64_t *heap, size_t count, uint64_t value)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && heap[child + 1] < heap[child];
        if (heap[child] >= value) {
            break;
        }
        heap[at] = heap[child];
    }
    heap[at] = value;
}

static void
rise(uint64_t *heap, size_t at, uint64_t value)
{
    for (; at > 0 && heap[(at - 1) / 2] > value; at = (at - 1) / 2) {
        heap[at] = heap[(at - 1) / 2];
    }
    heap[at] = value;
}

static void
count_depth(tsm_pass *pass, tsm_device_state *device, const tsm_work *work)
{
    while (device->end_count > 0 && device->ends[0] <= work->begin) {
        device->end_count--;
        if (device->end_count > 0) {
            sink(device->ends, device->end_count, device->ends[device->end_count]);
        }
    }
    if (work->end > work->begin) {
        if (!tsm_array_reserve(&device->ends, &device->end_capacity, device->end_count + 1)) {
            pass->failed = true;
            return;
        }
        rise(device->ends, device->end_count++, work->end);
    }
    if (device->end_count > device->record->fields[TSM_DEVICE_DEEPEST]) {
        device->record->fields[TSM_DEVICE_DEEPEST] = device->end_count;
    }
}

/* ---- Streams beside each other --------------------------------------------------------------- */

static tsm_record *
find_pair(tsm_pass *pass, tsm_device_state *device, uint32_t low, uint32_t high)
{
    uint64_t key = (uint64_t)low << 32 | high;
    tsm_record *pair = tsm_map_get(&pass->cache, key, CACHE_PAIR);
    if (pair == NULL) {
        uint32_t keys[] = { device->place, tsm_pass_stream_text(pass, low), tsm_pass_stream_text(pass, high) };
        pair = tsm_records_find(pass->records, TSM_RECORD_PAIR, keys);
        pass->failed |= pair == NULL || !tsm_map_put(&pass->cache, key, CACHE_PAIR, pair);
    }
    return pair;
}

static void
count_pair(tsm_pass *pass, tsm_device_state *device, uint32_t one, uint32_t other, uint64_t ns)
{
    uint32_t low = one < other ? one : other, high = one < other ? other : one;
    tsm_record **near = &device->pairs[low % TSM_NEAR_STREAMS][high % TSM_NEAR_STREAMS].record;
    uint64_t *streams = &device->pairs[low % TSM_NEAR_STREAMS][high % TSM_NEAR_STREAMS].streams;
    if (*streams != ((uint64_t)low << 32 | high)) {
        *near = find_pair(pass, device, low, high);
        TSM_OR_RETURN(*near);
        *streams = (uint64_t)low << 32 | high;
    }
    (*near)->fields[0] += ns;
}

/* The new piece [from, end) of one stream against those that are busy now. */
static void
count_pairs(tsm_pass *pass, tsm_device_state *device, uint32_t stream, uint64_t from, uint64_t end, uint64_t now)
{
    for (uint32_t i = 0; i < device->stream_count;) {
        uint32_t other = device->streams[i];
        uint64_t until = pass->streams[other].cover;
        if (until <= now) {
            pass->streams[other].on_list = false;
            device->streams[i] = device->streams[--device->stream_count];
            continue;
        }
        uint64_t to = until < end ? until : end;
        if (other != stream && to > from) {
            count_pair(pass, device, stream, other, to - from);
        }
        i++;
    }
}

static void
count_handover(tsm_pass *pass, const tsm_stream_state *stream, const tsm_work *work)
{
    const tsm_call *call = work->call;
    if (call == NULL || work->of_graph || call->waits_stream != 0 || stream->cover == 0 || call->begin > stream->cover
        || work->begin < stream->cover) {
        return;
    }
    if (pass->handover == NULL) {
        pass->handover = tsm_records_find(pass->records, TSM_RECORD_HANDOVER, NULL);
        TSM_OR_RETURN(pass->handover);
    }
    pass->failed |= !tsm_summary_add(&pass->handover->summaries[0], work->begin - stream->cover);
}

static void
count_stream(tsm_pass *pass, tsm_device_state *device, const tsm_work *work)
{
    tsm_stream_state *stream = &pass->streams[work->stream];
    if (stream->record == NULL) {
        uint32_t keys[] = { device->place, tsm_pass_stream_text(pass, work->stream) };
        stream->record = tsm_records_find(pass->records, TSM_RECORD_STREAM, keys);
        TSM_OR_RETURN(stream->record);
    }
    count_handover(pass, stream, work);
    uint64_t from = work->begin > stream->cover ? work->begin : stream->cover;
    count_pairs(pass, device, work->stream, from, work->end, work->begin);
    stream->record->fields[TSM_STREAM_OPERATIONS]++;
    if (work->end <= from) {
        return;
    }
    stream->before = stream->cover;
    stream->before_name = stream->cover_name;
    stream->cover = work->end;
    stream->cover_name = work->name;
    stream->record->fields[TSM_STREAM_BUSY_NS] += work->end - from;
    stream->record->fields[TSM_STREAM_COMPUTE_NS] += work->compute ? work->end - from : 0;
    if (!stream->on_list) {
        if (device->stream_count == TSM_ACTIVE_STREAMS) {
            pass->health[TSM_HEALTH_LIMITED]++;
            return;
        }
        stream->on_list = true;
        device->streams[device->stream_count++] = work->stream;
    }
}

void
tsm_device_work(tsm_pass *pass, const tsm_work *work)
{
    tsm_device_state *device = &pass->devices[work->device];
    if (!device->active && !start(pass, device, work)) {
        return;
    }
    if (work->begin > device->cover) {
        tsm_gap_explain(pass, device, device->cover, work->begin, work);
        device->cover = work->begin; /* work without extent ends a gap, too */
    }
    unite(pass, device, work);
    count_depth(pass, device, work);
    count_stream(pass, device, work);
    device->record->fields[TSM_DEVICE_OPERATIONS]++;
    device->record->fields[TSM_DEVICE_WORK_NS] += work->end - work->begin;
}

static uint64_t
begin_of(const tsm_chunks *chunks, size_t at)
{
    return chunks->base + ((uint64_t)at << chunks->shift);
}

static tsm_record *
keep_chunk(tsm_pass *pass, const tsm_device_state *device, const tsm_chunks *chunks, size_t at, tsm_record_kind kind)
{
    uint32_t keys[] = { device->place, tsm_records_format(pass->records, "%" PRIu64, (uint64_t)1 << chunks->shift),
                        tsm_records_format(pass->records, "%" PRIu64, begin_of(chunks, at)) };
    tsm_record *chunk = tsm_records_find(pass->records, kind, keys);
    if (chunk != NULL) {
        chunk->fields[0] += chunks->values[at];
        chunk->fields[TSM_CHUNK_BEGIN] = begin_of(chunks, at);
    }
    return chunk;
}

static void
keep_busy(tsm_pass *pass, const tsm_device_state *device)
{
    const tsm_chunks *chunks = &device->busy_chunks;
    for (size_t i = 0; i < TSM_CHUNKS && chunks->shift != 0 && begin_of(chunks, i) < device->cover; i++) {
        uint64_t left = device->cover - begin_of(chunks, i), whole = (uint64_t)1 << chunks->shift;
        tsm_record *chunk = keep_chunk(pass, device, chunks, i, TSM_RECORD_CHUNK);
        TSM_OR_RETURN(chunk);
        chunk->fields[TSM_CHUNK_NS] += left < whole ? left : whole;
    }
}

static void
keep_in_use(tsm_pass *pass, const tsm_device_state *device)
{
    for (size_t i = 0; i < TSM_CHUNKS; i++) {
        if (device->memory_chunks.values[i] != 0) {
            (void)keep_chunk(pass, device, &device->memory_chunks, i, TSM_RECORD_IN_USE);
        }
    }
}

void
tsm_device_end(tsm_pass *pass, uint32_t row)
{
    tsm_device_state *device = &pass->devices[row];
    if (device->active) {
        uint64_t *fields = device->record->fields;
        tsm_device_charge_exposed(device, UINT64_MAX);
        fields[TSM_DEVICE_WINDOW_NS] += device->cover - device->first;
        fields[TSM_DEVICE_BUSY_NS] += device->busy;
        fields[TSM_DEVICE_COMPUTE_NS] += device->compute;
        fields[TSM_DEVICE_COMMUNICATION_NS] += device->communication;
        fields[TSM_DEVICE_EITHER_NS] += device->either;
        fields[TSM_DEVICE_MEMORY_NS] += device->in_memory;
        fields[TSM_DEVICE_BEGIN] = device->first < fields[TSM_DEVICE_BEGIN] ? device->first : fields[TSM_DEVICE_BEGIN];
        fields[TSM_DEVICE_END] = device->cover > fields[TSM_DEVICE_END] ? device->cover : fields[TSM_DEVICE_END];
        keep_busy(pass, device);
    }
    if (device->memory != NULL) {
        keep_in_use(pass, device);
    }
}
