/* Devices: numbered without gaps, because readers take the place in the list for the number. */
#include <ctype.h>

#include "export/perfetto.h"

/* GpuInfo.Gpu. */
enum { GPU_NAME = 1, GPU_VENDOR = 2, GPU_ARCHITECTURE = 4, GPU_UUID = 5, GPU_EXTRA = 6 };

static bool
contains(tsm_text text, const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i + size <= text.size; i++) {
        size_t same = 0;
        while (same < size && tolower((unsigned char)text.data[i + same]) == word[same]) {
            same++;
        }
        if (same == size) {
            return true;
        }
    }
    return false;
}

unsigned
pf_device_api(const pf_writer *w, uint32_t device)
{
    const uint64_t *row = pf_row(w, TSM_TABLE_DEVICES, device);
    const tsm_text texts[] = { pf_string(w, row[TSM_DEVICE_VENDOR]), pf_string(w, row[TSM_DEVICE_NAME]) };
    for (size_t i = 0; i < 2; i++) {
        if (contains(texts[i], "nvidia")) {
            return PF_API_CUDA;
        }
        if (contains(texts[i], "amd ") || contains(texts[i], "advanced micro") || contains(texts[i], "radeon")) {
            return PF_API_HIP;
        }
        if (contains(texts[i], "intel")) {
            return PF_API_OPENCL;
        }
    }
    return PF_API_NONE;
}

static bool
begins_call(tsm_text name, const char *prefix)
{
    size_t size = strlen(prefix);
    return name.size > size && memcmp(name.data, prefix, size) == 0 && isupper((unsigned char)name.data[size]);
}

unsigned
pf_call_api(pf_writer *w, uint32_t name)
{
    unsigned known = pf_rows_get(&w->apis, name);
    if (known == 0) {
        tsm_text text = pf_string(w, name);
        unsigned api = begins_call(text, "cuda") || begins_call(text, "cu") ? PF_API_CUDA
                       : begins_call(text, "hip")                           ? PF_API_HIP
                       : begins_call(text, "cl")                            ? PF_API_OPENCL
                       : begins_call(text, "vk")                            ? PF_API_VULKAN
                                                                            : PF_API_NONE;
        known = api + 1;
        (void)pf_rows_set(w, &w->apis, name, known);
    }
    return known - 1;
}

uint32_t
pf_device_of(const pf_writer *w, const tsm_event *event)
{
    uint64_t device = event->device;
    if (event->stream != 0) {
        device = pf_row(w, TSM_TABLE_STREAMS, event->stream)[TSM_STREAM_DEVICE];
    }
    return pf_known(w, TSM_TABLE_DEVICES, device);
}

/* The device's ordinal where that is free and leaves no gap, else the lowest number that is. */
uint32_t
pf_gpu_id(pf_writer *w, uint32_t device)
{
    uint32_t id = pf_rows_get(&w->gpu_ids, device);
    if (id != 0) {
        return id - 1;
    }
    uint64_t ordinal = pf_row(w, TSM_TABLE_DEVICES, device)[TSM_DEVICE_ORDINAL];
    uint32_t count = tsm_tables_count(w->tables, TSM_TABLE_DEVICES) - 1;
    id = 0;
    if (device != 0 && ordinal < count && pf_map_get(&w->gpu_taken, ordinal, 0) == 0) {
        id = (uint32_t)ordinal;
    } else {
        while (pf_map_get(&w->gpu_taken, id, 0) != 0) {
            id++;
        }
    }
    (void)pf_map_set(w, &w->gpu_taken, id, 0, device + 1);
    (void)pf_rows_set(w, &w->gpu_ids, device, id + 1);
    return id;
}

static uint8_t *
put_extra(uint8_t *at, const char *key, uint64_t value)
{
    char digits[24];
    size_t first = sizeof digits;
    if (value == 0) {
        return at;
    }
    for (; value != 0; value /= 10) {
        digits[--first] = (char)('0' + value % 10);
    }
    uint8_t *extra = tsm_pb_begin(at, GPU_EXTRA);
    at = tsm_pb_bytes(extra, 1, key, strlen(key));
    at = tsm_pb_bytes(at, 2, digits + first, sizeof digits - first);
    return tsm_pb_end(extra, at);
}

static uint8_t *
put_uuid(uint8_t *at, uint64_t high, uint64_t low)
{
    uint8_t bytes[16];
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(high >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    return (high | low) != 0 ? tsm_pb_bytes(at, GPU_UUID, bytes, sizeof bytes) : at;
}

static uint8_t *
put_gpu(const pf_writer *w, uint8_t *at, uint32_t device)
{
    const uint64_t *row = pf_row(w, TSM_TABLE_DEVICES, device);
    const tsm_table_layout *layout = tsm_table_layout_of(TSM_TABLE_DEVICES);
    tsm_text name = pf_string(w, row[TSM_DEVICE_NAME]), vendor = pf_string(w, row[TSM_DEVICE_VENDOR]);
    uint8_t *gpu = tsm_pb_begin(at, 1);
    at = name.size > 0 ? pf_text(gpu, GPU_NAME, name) : gpu;
    at = vendor.size > 0 ? pf_text(at, GPU_VENDOR, vendor) : at;
    at = put_uuid(at, row[TSM_DEVICE_UUID_HIGH], row[TSM_DEVICE_UUID_LOW]);
    for (size_t column = TSM_DEVICE_COMPUTE_MAJOR; column < layout->column_count; column++) {
        at = put_extra(at, layout->columns[column].name, row[column]);
    }
    return tsm_pb_end(gpu, at);
}

#define DEVICES_MAX 64 /* in one packet, which holds no more of the longest texts */

/* Again in full when rows were added: the list is one message. */
void
pf_describe_devices(pf_writer *w)
{
    uint32_t count = tsm_tables_count(w->tables, TSM_TABLE_DEVICES);
    if (count == w->device_rows || count <= 1) {
        return;
    }
    w->device_rows = count;
    for (uint32_t device = 1; device < count; device++) {
        (void)pf_gpu_id(w, device);
    }
    uint8_t *list = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_GPU_INFO), *at = list;
    for (uint32_t id = 0; id < DEVICES_MAX; id++) {
        uint32_t owner = pf_map_get(&w->gpu_taken, id, 0);
        if (owner == 0 || (size_t)(at - list) > PF_TEXT_MAX) {
            break;
        }
        at = put_gpu(w, at, owner - 1);
    }
    pf_packet_end(w, tsm_pb_end(list, at));
}
