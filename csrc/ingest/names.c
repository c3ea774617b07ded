#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "ingest/names.h"

static bool
begins(tsm_text text, const char *with)
{
    size_t size = strlen(with);
    return text.size >= size && memcmp(text.data, with, size) == 0;
}

static bool
has(tsm_text text, const char *part)
{
    return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

typedef struct {
    const char *text;
    uint16_t type;
} meaning;

/* The type of the first that fits, else otherwise. */
static uint16_t
look_up(tsm_text text, const meaning *list, bool (*fits)(tsm_text, const char *), uint16_t otherwise)
{
    for (; list->text != NULL; list++) {
        if (fits(text, list->text)) {
            return list->type;
        }
    }
    return otherwise;
}

static tsm_text
without(tsm_text text, size_t size)
{
    return (tsm_text){ text.data + size, text.size - size };
}

uint16_t
ingest_call_type(tsm_text name)
{
    static const meaning calls[] = {
        { "StreamSynchronize", TSM_EVENT_STREAM_SYNC },
        { "DeviceSynchronize", TSM_EVENT_DEVICE_SYNC },
        { "CtxSynchronize", TSM_EVENT_DEVICE_SYNC },
        { "EventSynchronize", TSM_EVENT_EVENT_SYNC },
        { "EventRecord", TSM_EVENT_EVENT_RECORD },
        { "StreamWaitEvent", TSM_EVENT_EVENT_WAIT },
        { "Malloc", TSM_EVENT_MEM_ALLOC },
        { "MemAlloc", TSM_EVENT_MEM_ALLOC },
        { "Free", TSM_EVENT_MEM_FREE },
        { "MemFree", TSM_EVENT_MEM_FREE },
        { NULL, 0 },
    };
    size_t prefix = begins(name, "cuda") ? 4 : begins(name, "hip") ? 3 : begins(name, "cu") ? 2 : 0;
    return prefix == 0 ? TSM_EVENT_RUNTIME_CALL : look_up(without(name, prefix), calls, begins, TSM_EVENT_RUNTIME_CALL);
}

/* Behind a bracket that is open, its partner's place + 1; or the end. */
static size_t
behind_bracket(tsm_text name, size_t at, char open, char close)
{
    size_t depth = 0;
    for (; at < name.size; at++) {
        depth += name.data[at] == open;
        if (name.data[at] == close && --depth == 0) {
            return at + 1;
        }
    }
    return at;
}

/* The function's own name out of 'void a::(anonymous namespace)::b<c::d>(e)': b. */
static tsm_text
function_of(tsm_text name)
{
    size_t begin = 0, end = 0, at = 0;
    while (at < name.size) {
        char byte = name.data[at];
        if (byte == '<') {
            end = end > begin ? end : at;
            at = behind_bracket(name, at, '<', '>');
        } else if (byte == '(' && begins(without(name, at), "(anonymous")) {
            at = behind_bracket(name, at, '(', ')');
        } else if (byte == '(') {
            break;
        } else if (byte == ':' || byte == ' ') {
            begin = end = ++at;
        } else {
            end = ++at;
        }
    }
    return (tsm_text){ name.data + begin, end - begin };
}

#define FUNCTION_BYTES 120 /* of a function's name; what is longer is no collective's */

/* Kernels of the collective libraries, and those that frameworks bring for small messages. */
uint16_t
ingest_kernel_type(tsm_text name)
{
    static const meaning libraries[] = {
        { "nccl", TSM_EVENT_COMMUNICATION },
        { "rccl", TSM_EVENT_COMMUNICATION },
        { "hccl", TSM_EVENT_COMMUNICATION },
        { "msccl", TSM_EVENT_COMMUNICATION },
        { "triton_", TSM_EVENT_KERNEL_LAUNCH }, /* named after everything that is fused in it */
        { NULL, 0 },
    };
    static const meaning parts[] = {
        { "all_reduce", TSM_EVENT_COMMUNICATION },          { "allreduce", TSM_EVENT_COMMUNICATION },
        { "all_gather", TSM_EVENT_COMMUNICATION },          { "allgather", TSM_EVENT_COMMUNICATION },
        { "reduce_scatter", TSM_EVENT_COMMUNICATION },      { "reducescatter", TSM_EVENT_COMMUNICATION },
        { "all_to_all", TSM_EVENT_COMMUNICATION },          { "alltoall", TSM_EVENT_COMMUNICATION },
        { "cross_device_reduce", TSM_EVENT_COMMUNICATION }, { NULL, 0 },
    };
    char lower[FUNCTION_BYTES];
    tsm_text function = function_of(name);
    if (function.size > sizeof lower) {
        return TSM_EVENT_KERNEL_LAUNCH;
    }
    for (size_t i = 0; i < function.size; i++) {
        lower[i] = (char)tolower((unsigned char)function.data[i]);
    }
    function.data = lower;
    uint16_t type = look_up(function, libraries, begins, 0);
    return type != 0 ? type : look_up(function, parts, has, TSM_EVENT_KERNEL_LAUNCH);
}

uint16_t
ingest_copy_type(tsm_text name)
{
    static const meaning copies[] = {
        { "HtoD", TSM_EVENT_MEMCPY_H2D },
        { "DtoH", TSM_EVENT_MEMCPY_D2H },
        { "DtoD", TSM_EVENT_MEMCPY_D2D },
        { "PtoP", TSM_EVENT_MEMCPY_P2P },
        { "HtoH", TSM_EVENT_MEMCPY_H2H },
        { "HtoA", TSM_EVENT_MEMCPY_H2D },
        { "AtoH", TSM_EVENT_MEMCPY_D2H },
        { "HostToDevice", TSM_EVENT_MEMCPY_H2D },
        { "DeviceToHost", TSM_EVENT_MEMCPY_D2H },
        { "HostToHost", TSM_EVENT_MEMCPY_H2H },
        { NULL, 0 },
    };
    return look_up(name, copies, has, TSM_EVENT_MEMCPY_D2D);
}

uint16_t
ingest_wait_type(tsm_text name)
{
    static const meaning waits[] = {
        { "Stream Wait Event", TSM_EVENT_EVENT_WAIT }, { "Stream Sync", TSM_EVENT_STREAM_SYNC },
        { "Event Sync", TSM_EVENT_EVENT_SYNC },        { "Context Sync", TSM_EVENT_DEVICE_SYNC },
        { "Device Sync", TSM_EVENT_DEVICE_SYNC },      { NULL, 0 },
    };
    return look_up(name, waits, begins, TSM_EVENT_CUSTOM);
}
