#include "analysis/classify.h"

#include <stdbool.h>
#include <string.h>

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool
begins(tsm_text text, const char *with)
{
    size_t size = strlen(with);
    if (text.size < size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (lower(text.data[i]) != with[i]) {
            return false;
        }
    }
    return true;
}

bool
tsm_name_contains(tsm_text text, const char *what)
{
    for (; text.size > 0; text.data++, text.size--) {
        if (begins(text, what)) {
            return true;
        }
    }
    return false;
}

tsm_text
tsm_name_base(tsm_text name)
{
    size_t end = 0, begin = 0;
    if (begins(name, "void ")) {
        begin = end = 5;
    }
    for (; end < name.size && name.data[end] != '<' && name.data[end] != '('; end++) {
        if (name.data[end] == ':' || name.data[end] == ' ') {
            begin = end + 1;
        }
    }
    /* '(anonymous namespace)::b' has its parenthesis in front. */
    if (end < name.size && name.data[end] == '(' && begin == end && end + 1 < name.size) {
        tsm_text rest = { name.data + end + 1, name.size - end - 1 };
        const char *close = memchr(rest.data, ')', rest.size);
        if (close != NULL) {
            return tsm_name_base((tsm_text){ close + 1, (size_t)(rest.data + rest.size - close - 1) });
        }
    }
    return (tsm_text){ name.data + begin, end - begin };
}

/* Libraries by how their kernels begin (also inside a longer word, as in mscclpp's), then operations
 * that others write by hand. Never 'hip': that begins the name of every kernel of a vendor. */
static bool
is_communication(tsm_text name)
{
    static const char *const libraries[] = { "nccl", "rccl", "msccl", "oneccl", "nvshmem", "rocshmem" };
    static const char *const operations[] = {
        "cross_device_reduce", "allreduce",      "all_reduce", "allgather",  "all_gather",
        "reducescatter",       "reduce_scatter", "alltoall",   "all_to_all",
    };
    tsm_text base = tsm_name_base(name);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        if (begins(base, libraries[i])) {
            return true;
        }
    }
    if (tsm_name_contains(base, "nccldevkernel") || tsm_name_contains(base, "ncclkernel")) {
        return true;
    }
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (tsm_name_contains(base, operations[i])) {
            return true;
        }
    }
    return false;
}

/* 'ProfilerStep#12', 'step 12', 'train_step', 'iteration_12', 'batch: 3'. */
static bool
is_step(tsm_text name, uint64_t *number)
{
    static const char *const words[] = { "profilerstep#", "training_step", "train_step", "training step", "train step",
                                         "iteration",     "step",          "iter",       "batch" };
    size_t at = 0;
    for (size_t i = 0; at == 0 && i < sizeof words / sizeof *words; i++) {
        at = begins(name, words[i]) ? strlen(words[i]) : 0;
    }
    if (at == 0) {
        return false;
    }
    while (at < name.size && strchr(" _#:-=", name.data[at]) != NULL && name.data[at] != '\0') {
        at++;
    }
    for (*number = 0; at < name.size && name.data[at] >= '0' && name.data[at] <= '9'; at++) {
        *number = *number * 10 + (uint64_t)(name.data[at] - '0');
    }
    return at == name.size;
}

static uint32_t
classify_call(tsm_text name)
{
    uint32_t bits = 0;
    bits |= tsm_name_contains(name, "synchronize") || begins(name, "clfinish") || begins(name, "clwait")
                    || begins(name, "hsa_signal_wait")
                ? TSM_NAME_SYNC
                : 0;
    bits |= tsm_name_contains(name, "malloc") || tsm_name_contains(name, "free") || tsm_name_contains(name, "memalloc")
                    || tsm_name_contains(name, "memcreate") || tsm_name_contains(name, "memmap")
                    || tsm_name_contains(name, "hostalloc") || tsm_name_contains(name, "hostregister")
                    || tsm_name_contains(name, "hostunregister")
                ? TSM_NAME_ALLOCATE
                : 0;
    bits |= tsm_name_contains(name, "memcpy") || tsm_name_contains(name, "enqueueread")
                    || tsm_name_contains(name, "enqueuewrite") || tsm_name_contains(name, "enqueuecopy")
                ? TSM_NAME_COPY
                : 0;
    bits |= tsm_name_contains(name, "memset") || tsm_name_contains(name, "enqueuefill") ? TSM_NAME_SET : 0;
    bits |= tsm_name_contains(name, "async") || begins(name, "clenqueue") ? TSM_NAME_ASYNC : 0;
    bits |= tsm_name_contains(name, "launch") || tsm_name_contains(name, "enqueuendrange") ? TSM_NAME_LAUNCH : 0;
    bits |= tsm_name_contains(name, "graphlaunch") ? TSM_NAME_GRAPH : 0;
    return bits;
}

tsm_name_class
tsm_name_classify(tsm_text name)
{
    tsm_name_class found = { 0 };
    found.bits |= is_communication(name) ? TSM_NAME_COMMUNICATION : 0;
    found.bits |= tsm_name_contains(name, "pageable") ? TSM_NAME_PAGEABLE : 0;
    found.bits |= is_step(name, &found.number) ? TSM_NAME_STEP : 0;
    found.bits |= begins(name, "profilerstep#") ? TSM_NAME_PROFILER_STEP : 0;
    return (tsm_name_class){ found.bits | classify_call(name), found.number };
}
