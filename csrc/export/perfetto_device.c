/* What lies on streams: one packet per event, duration included, so nothing has to nest. */
#include "export/perfetto.h"

/* GpuRenderStageEvent. */
enum { STAGE_EVENT = 1, STAGE_DURATION = 2, STAGE_LAUNCH = 21 };

#define CORRELATION_BITS 32
#define OWN_IDS          ((uint64_t)1 << CORRELATION_BITS)

/* The correlation itself in the first process, which most traces have only; those of others and
 * our own numbers lie above. A process that is not known is taken for the only one. Nodes of a
 * graph share one number: readers draw an arrow to each. */
uint64_t
pf_event_id(pf_writer *w, uint32_t process, uint64_t correlation)
{
    if (correlation == 0 || correlation >> CORRELATION_BITS != 0) {
        return 0;
    }
    if (process == 0) {
        return w->last_id_space <= 1 ? correlation : 0;
    }
    uint32_t place = pf_rows_get(&w->id_spaces, process);
    if (place == 0) {
        place = ++w->last_id_space;
        (void)pf_rows_set(w, &w->id_spaces, process, place);
    }
    return place == 1 ? correlation : (uint64_t)place << CORRELATION_BITS | correlation;
}

static uint64_t
id_of(pf_writer *w, const tsm_event *event)
{
    uint32_t process = (uint32_t)pf_row(w, TSM_TABLE_STREAMS, event->stream)[TSM_STREAM_PROCESS];
    uint64_t id = tsm_event_is_work(event->type) ? pf_event_id(w, process, event->correlation) : 0;
    return id != 0 ? id : OWN_IDS | (w->own_ids++ & (OWN_IDS - 1));
}

static void
write_stage(pf_writer *w, const pf_item *item, uint64_t begin, uint64_t duration)
{
    const pf_kind *kind = pf_find_kind(w, item->event);
    if (kind == NULL) {
        return;
    }
    uint64_t id = id_of(w, item->event);
    pf_prepare_compute_args(w, item, id);
    uint8_t *at = pf_packet_begin_at(w, begin);
    uint8_t *stage = tsm_pb_begin(at, PF_PACKET_GPU_STAGE);
    at = tsm_pb_uint(stage, STAGE_EVENT, id);
    at = tsm_pb_uint(at, STAGE_DURATION, duration);
    memcpy(at, kind->fixed, PF_KIND_FIXED);
    at += kind->fixed_size;
    if (kind->launch_size + w->arguments.size > 0) {
        uint8_t *launch = tsm_pb_begin(at, STAGE_LAUNCH);
        memcpy(launch, kind->launch, PF_KIND_LAUNCH);
        at = launch + kind->launch_size;
        if (w->arguments.size > 0) {
            memcpy(at, w->arguments.bytes, w->arguments.size);
        }
        at = tsm_pb_end(launch, at + w->arguments.size);
    }
    pf_packet_end(w, tsm_pb_end(stage, at));
}

static bool
write_pair(pf_writer *w, const tsm_event *end)
{
    tsm_event joined;
    if (!tsm_pairs_end(&w->pairs, end, &joined)) {
        return false;
    }
    uint64_t begin = pf_begin_ns(&joined);
    write_stage(w, &(pf_item){ .event = &joined }, begin, pf_end_ns(&joined) - begin);
    return true;
}

void
pf_end_pairs(pf_writer *w)
{
    for (tsm_event begin; tsm_pairs_pop(&w->pairs, &begin);) {
        write_stage(w, &(pf_item){ .event = &begin }, pf_begin_ns(&begin), 0);
    }
}

bool
pf_write_device(pf_writer *w, const pf_item *item)
{
    const tsm_event *event = item->event;
    /* With an extension record it is no old source's. */
    if (tsm_pairs_begins(event) && item->extension_count == 0) {
        w->failed |= tsm_pairs_begin(&w->pairs, event) != TSM_OK;
        return true;
    }
    if (tsm_pairs_ends(event)) {
        return write_pair(w, event);
    }
    uint64_t begin = pf_begin_ns(event);
    write_stage(w, item, begin, pf_end_ns(event) - begin);
    return true;
}
