#include <stdlib.h>
#include <string.h>

#include "analysis/pass.h"

#define SLOTS (TSM_CALLS_REACH * 2)

static size_t
home(uint32_t process, uint64_t correlation)
{
    return (size_t)(correlation + process * 0x9e3779b1u) & (SLOTS - 1);
}

static tsm_call *
find(const tsm_calls_generation *generation, uint32_t process, uint64_t correlation)
{
    if (generation->count == 0) {
        return NULL;
    }
    for (size_t at = home(process, correlation); generation->slots[at] != 0; at = (at + 1) & (SLOTS - 1)) {
        tsm_call *call = &generation->calls[generation->slots[at] - 1];
        if (call->correlation == correlation && call->process == process) {
            return call;
        }
    }
    return NULL;
}

tsm_call *
tsm_calls_find(tsm_calls *calls, uint32_t process, uint64_t correlation)
{
    tsm_call *call = find(&calls->young, process, correlation);
    return call != NULL ? call : find(&calls->old, process, correlation);
}

static bool
make(tsm_calls_generation *generation)
{
    generation->calls = malloc(TSM_CALLS_REACH * sizeof *generation->calls);
    generation->slots = calloc(SLOTS, sizeof *generation->slots);
    return generation->calls != NULL && generation->slots != NULL;
}

static bool
turn(tsm_calls *calls)
{
    tsm_calls_generation emptied = calls->old;
    calls->old = calls->young;
    calls->young = emptied;
    calls->young.count = 0;
    if (emptied.slots == NULL) {
        return make(&calls->young);
    }
    memset(emptied.slots, 0, SLOTS * sizeof *emptied.slots);
    return true;
}

bool
tsm_calls_add(tsm_calls *calls, const tsm_call *call)
{
    tsm_calls_generation *young = &calls->young;
    if ((young->slots == NULL && !make(young)) || (young->count == TSM_CALLS_REACH && !turn(calls))) {
        return false;
    }
    size_t at = home(call->process, call->correlation);
    for (; young->slots[at] != 0; at = (at + 1) & (SLOTS - 1)) {
        const tsm_call *other = &young->calls[young->slots[at] - 1];
        if (other->correlation == call->correlation && other->process == call->process) {
            return true; /* a driver call inside a runtime call: the outer one came first */
        }
    }
    young->calls[young->count++] = *call;
    young->slots[at] = young->count;
    return true;
}

void
tsm_calls_free(tsm_calls *calls)
{
    free(calls->young.calls);
    free(calls->young.slots);
    free(calls->old.calls);
    free(calls->old.slots);
}
