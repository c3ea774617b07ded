/* Device memory: what is in use, the most of it, what is never given back, and by whom. */
#include <inttypes.h>
#include <stdlib.h>

#include "analysis/pass.h"

static tsm_device_state *
device_of(tsm_pass *pass, const tsm_event *event, uint32_t *row)
{
    uint32_t stream = event->stream < pass->stream_count ? event->stream : 0;
    *row = stream != 0 ? pass->streams[stream].device : event->device;
    *row = *row < pass->device_count ? *row : 0;
    tsm_device_state *device = &pass->devices[*row];
    if (device->memory == NULL) {
        device->place = device->place == 0 ? tsm_pass_place_text(pass, *row) : device->place;
        device->memory = tsm_records_find(pass->records, TSM_RECORD_MEMORY, &device->place);
    }
    return device;
}

static void
use(tsm_device_state *device, const tsm_event *event, uint64_t in_use)
{
    uint64_t *fields = device->memory->fields;
    device->in_use = in_use;
    if (in_use > fields[TSM_MEMORY_PEAK]) {
        fields[TSM_MEMORY_PEAK] = in_use;
        fields[TSM_MEMORY_PEAK_AT] = event->timestamp;
    }
    tsm_chunks_raise(&device->memory_chunks, event->timestamp, in_use);
}

/* How much was in use: as the source says, or counted from the trace's begin. */
static uint64_t
in_use_after(tsm_pass *pass, const tsm_device_state *device, const tsm_event *event, const tsm_extension *extensions,
             size_t count)
{
    uint64_t in_use;
    if (tsm_pass_value(pass, extensions, count, offsetof(tsm_schema_state, in_use), &in_use)) {
        return in_use;
    }
    if (event->type == TSM_EVENT_MEM_ALLOC) {
        return device->in_use + event->value;
    }
    return device->in_use > event->value ? device->in_use - event->value : 0;
}

static void
allocated(tsm_pass *pass, uint32_t row, const tsm_event *event, uint64_t address)
{
    tsm_allocation *allocation = malloc(sizeof *allocation);
    tsm_allocation *lost = tsm_map_take(&pass->live, address, row);
    free(lost);
    if (allocation == NULL || !tsm_map_put(&pass->live, address, row, allocation)) {
        free(allocation);
        pass->failed = true;
        return;
    }
    *allocation = (tsm_allocation){
        .bytes = event->value, .begin = event->timestamp, .stack = event->stack, .name = event->name, .device = row
    };
}

static void
freed(tsm_pass *pass, uint32_t row, const tsm_event *event, uint64_t address, tsm_record *memory)
{
    tsm_allocation *allocation = tsm_map_take(&pass->live, address, row);
    if (allocation == NULL) {
        memory->fields[TSM_MEMORY_STRANGE]++;
        return;
    }
    pass->failed |= !tsm_summary_add(&memory->summaries[0], event->timestamp - allocation->begin);
    free(allocation);
}

void
tsm_pass_memory(tsm_pass *pass, const tsm_event *event, const tsm_extension *extensions, size_t count)
{
    uint32_t row;
    tsm_device_state *device = device_of(pass, event, &row);
    TSM_OR_RETURN(device->memory);
    bool allocates = event->type == TSM_EVENT_MEM_ALLOC;
    uint64_t address, *fields = device->memory->fields;
    use(device, event, in_use_after(pass, device, event, extensions, count));
    fields[allocates ? TSM_MEMORY_ALLOCATIONS : TSM_MEMORY_FREES]++;
    fields[allocates ? TSM_MEMORY_ALLOCATED : TSM_MEMORY_FREED] += event->value;
    fields[TSM_MEMORY_HOST_NS] += event->duration > INT64_MAX ? 0 : event->duration;
    if (tsm_pass_value(pass, extensions, count, offsetof(tsm_schema_state, address), &address)) {
        if (allocates) {
            allocated(pass, row, event, address);
        } else {
            freed(pass, row, event, address, device->memory);
        }
    }
}

/* What nobody freed. */
void
tsm_memory_end(tsm_pass *pass)
{
    for (size_t i = 0; i < pass->live.capacity; i++) {
        const tsm_allocation *allocation = pass->live.slots[i].value;
        if (allocation == NULL) {
            continue;
        }
        const tsm_device_state *device = &pass->devices[allocation->device];
        uint32_t keys[] = { device->place, tsm_pass_stack_text(pass, allocation->stack),
                            tsm_pass_name_text(pass, allocation->name) };
        tsm_record *leak = tsm_records_find(pass->records, TSM_RECORD_LEAK, keys);
        TSM_OR_RETURN(leak);
        leak->fields[TSM_LEAK_COUNT]++;
        leak->fields[TSM_LEAK_BYTES] += allocation->bytes;
        if (allocation->begin < leak->fields[TSM_LEAK_FIRST]) {
            leak->fields[TSM_LEAK_FIRST] = allocation->begin;
        }
        device->memory->fields[TSM_MEMORY_LIVE] += allocation->bytes;
        device->memory->fields[TSM_MEMORY_LIVE_COUNT]++;
    }
}
