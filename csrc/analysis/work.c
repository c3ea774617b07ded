/* What a device does: joined with its call, classified, handed on. */
#include "analysis/pass.h"

#define ORPHANS_MOST 65536u

static bool
is_kernel(uint16_t type)
{
    return type == TSM_EVENT_KERNEL_LAUNCH || type == TSM_EVENT_KERNEL_COMPLETE;
}

static bool
is_communication(uint16_t type)
{
    return type == TSM_EVENT_COMMUNICATION || type == TSM_EVENT_NCCL_START || type == TSM_EVENT_NCCL_COMPLETE;
}

/* False: nothing of it lies in the window. */
static bool
measure(tsm_pass *pass, const tsm_event *event, tsm_work *work)
{
    work->duration = event->duration;
    if (event->duration > INT64_MAX || event->timestamp + event->duration < event->timestamp) {
        pass->health[TSM_HEALTH_NEGATIVE]++;
        work->duration = 0;
    } else if (event->duration == 0) {
        pass->health[TSM_HEALTH_ZERO]++;
    }
    uint64_t end = event->timestamp + work->duration;
    work->begin = event->timestamp > pass->window_begin ? event->timestamp : pass->window_begin;
    work->end = end < pass->window_end ? end : pass->window_end;
    return work->begin <= work->end;
}

static void
miss_call(tsm_pass *pass, uint32_t process, const tsm_event *event)
{
    pass->health[TSM_HEALTH_ORPHAN]++;
    if (event->correlation != 0 && pass->orphans.count < ORPHANS_MOST
        && !tsm_map_put(&pass->orphans, process, event->correlation, pass)) {
        pass->failed = true;
    }
}

void
tsm_call_missed(tsm_pass *pass, const tsm_call *call)
{
    if (tsm_map_take(&pass->orphans, call->process, call->correlation) != NULL) {
        pass->health[TSM_HEALTH_ORPHAN]--;
        pass->health[TSM_HEALTH_BEFORE_CALL]++;
    }
}

static void
join(tsm_pass *pass, tsm_work *work)
{
    const tsm_event *event = work->event;
    uint32_t process = pass->streams[work->stream].process;
    uint32_t thread = event->thread < pass->thread_count ? event->thread : 0;
    if (process == 0) {
        process = pass->threads[thread].process;
    }
    tsm_call *call = event->correlation == 0 ? NULL : tsm_calls_find(&pass->calls, process, event->correlation);
    if (call == NULL) {
        miss_call(pass, process, event);
        return;
    }
    work->of_graph = call->works++ > 0;
    work->call = call;
    pass->threads[call->thread].device = work->device;
}

void
tsm_pass_work(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t extension_count)
{
    tsm_work work = { .event = event };
    work.name = event->name < pass->name_count ? event->name : 0;
    work.stream = event->stream < pass->stream_count ? event->stream : 0;
    work.device = work.stream != 0 ? pass->streams[work.stream].device : event->device;
    work.device = work.device < pass->device_count ? work.device : 0;
    if (!measure(pass, event, &work)) {
        return;
    }
    bool kernel = is_kernel(event->type);
    work.communication = is_communication(event->type)
                         || (kernel && (tsm_pass_name(pass, work.name)->class.bits & TSM_NAME_COMMUNICATION) != 0);
    work.compute = kernel && !work.communication;
    join(pass, &work);
    if (work.communication) {
        work.collective = tsm_work_collective(pass, &work, extensions, extension_count);
    }
    tsm_work_count(pass, &work);
    tsm_device_work(pass, &work);
}
