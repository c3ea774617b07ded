/* Waits and steps, told when time has passed their end: only then is it known what ran until then. */
#include <inttypes.h>

#include "analysis/pass.h"
#include "base/array.h"

void
tsm_pending_add(tsm_pass *pass, const tsm_pending *pending)
{
    if (!tsm_array_reserve(&pass->pending, &pass->pending_capacity, pass->pending_count + 1)) {
        pass->failed = true;
        return;
    }
    size_t at = pass->pending_count++;
    for (; at > 0 && pass->pending[(at - 1) / 2].end > pending->end; at = (at - 1) / 2) {
        pass->pending[at] = pass->pending[(at - 1) / 2];
    }
    pass->pending[at] = *pending;
}

static tsm_pending
take_first(tsm_pass *pass)
{
    tsm_pending first = pass->pending[0], last = pass->pending[--pass->pending_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < pass->pending_count; at = child) {
        child += child + 1 < pass->pending_count && pass->pending[child + 1].end < pass->pending[child].end;
        if (pass->pending[child].end >= last.end) {
            break;
        }
        pass->pending[at] = pass->pending[child];
    }
    if (pass->pending_count > 0) {
        pass->pending[at] = last;
    }
    return first;
}

static void
end_step(tsm_pass *pass, const tsm_pending *step)
{
    uint32_t row = pass->threads[step->thread].device;
    const tsm_device_state *device = &pass->devices[row];
    /* Had the thread launched to no device before, then to this one from within the step. */
    bool same = row == step->device || step->device == 0;
    uint32_t keys[] = { pass->label, tsm_pass_name_text(pass, step->name),
                        tsm_records_format(pass->records, "%" PRIu64, step->begin),
                        tsm_pass_thread_text(pass, step->thread) };
    tsm_record *record = tsm_records_find(pass->records, TSM_RECORD_STEP, keys);
    TSM_OR_RETURN(record);
    uint64_t *fields = record->fields;
    fields[TSM_STEP_NUMBER] = tsm_pass_name(pass, step->name)->class.number;
    fields[TSM_STEP_BEGIN] = step->begin;
    fields[TSM_STEP_NS] = step->end - step->begin;
    if (same) {
        uint64_t compute = tsm_union_at(device->compute, device->compute_cover, step->end) - step->compute;
        uint64_t either = tsm_union_at(device->either, device->either_cover, step->end) - step->either;
        fields[TSM_STEP_BUSY_NS] = tsm_union_at(device->busy, device->cover, step->end) - step->busy;
        fields[TSM_STEP_COMPUTE_NS] = compute;
        fields[TSM_STEP_EXPOSED_NS] = either - compute;
    }
}

/* What ended last on the stream, or, when no stream is given, on the device, by the end of the wait. */
static uint64_t
waited_until(const tsm_pass *pass, const tsm_pending *wait, uint32_t *name)
{
    const tsm_stream_state *stream = &pass->streams[wait->stream];
    *name = 0;
    if (stream->record == NULL) {
        const tsm_device_state *device = &pass->devices[wait->device];
        *name = device->cover_name;
        return device->active && device->cover <= wait->end ? device->cover : 0;
    }
    bool last = stream->cover <= wait->end;
    *name = last ? stream->cover_name : stream->before_name;
    return last ? stream->cover : stream->before;
}

static void
end_wait(tsm_pass *pass, const tsm_pending *wait)
{
    uint32_t name;
    uint64_t until = waited_until(pass, wait, &name);
    bool waited = until > wait->begin;
    uint32_t keys[] = { tsm_pass_name_text(pass, wait->name), waited ? tsm_pass_name_text(pass, name) : 0,
                        tsm_pass_stack_text(pass, wait->stack) };
    tsm_record *sync = tsm_records_find(pass->records, TSM_RECORD_SYNC, keys);
    TSM_OR_RETURN(sync);
    uint64_t ns = wait->end - wait->begin;
    sync->fields[TSM_SYNC_COUNT]++;
    sync->fields[TSM_SYNC_NS] += ns;
    sync->fields[TSM_SYNC_WAITED_NS] += waited ? until - wait->begin : 0;
    sync->fields[TSM_SYNC_MAX] = ns > sync->fields[TSM_SYNC_MAX] ? ns : sync->fields[TSM_SYNC_MAX];
}

void
tsm_pending_settle(tsm_pass *pass, uint64_t until)
{
    while (pass->pending_count > 0 && pass->pending[0].end <= until) {
        tsm_pending first = take_first(pass);
        if (first.is_step) {
            end_step(pass, &first);
        } else {
            end_wait(pass, &first);
        }
    }
}
