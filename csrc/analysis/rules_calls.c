/* Rules about calls: the first four are nsys's, R4 and R5 our own. */
#include <inttypes.h>
#include <string.h>

#include "analysis/classify.h"
#include "analysis/reports.h"
#include "analysis/rules.h"

static void
find_pageable(tsm_rules *rules)
{
    size_t count;
    uint64_t cost = 0, copies = 0;
    const tsm_record **all = tsm_records_ranked(rules->records, TSM_RECORD_COPY, tsm_rank_summary, &count);
    for (size_t i = 0; i < count; i++) {
        cost += all[i]->fields[TSM_COPY_PAGEABLE_NS];
        copies += all[i]->fields[TSM_COPY_PAGEABLE];
    }
    if (copies > 0) {
        tsm_finding *finding = tsm_rule_finds(rules, "pageable-async-copy", TSM_LEVEL_HIGH, cost);
        finding->what = tsm_rule_text(
            rules, "%" PRIu64 " asynchronous copies use pageable memory, so they are not asynchronous", copies);
        finding->advice = "allocate the host side pinned (pin_memory=True, cudaMallocHost)";
        for (size_t i = 0; i < count; i++) {
            if (all[i]->fields[TSM_COPY_PAGEABLE] == 0) {
                continue;
            }
            tsm_text name = tsm_rule_name(rules, all[i]->keys[1]);
            tsm_rule_evidence(finding, tsm_rule_text(rules, "%.*s: %" PRIu64 " times", TSM_TEXT(name),
                                                     all[i]->fields[TSM_COPY_PAGEABLE]));
        }
    }
    free(all);
}

/* Calls that have all bits of with and none of without. */
typedef struct {
    const tsm_record *worst;
    uint64_t ns, count;
} call_sum;

static call_sum
sum_calls(const tsm_rules *rules, uint64_t with, uint64_t without)
{
    call_sum sum = { 0 };
    for (size_t i = 0; i < rules->records->count; i++) {
        const tsm_record *call = rules->records->items[i];
        if (call->kind == TSM_RECORD_API && (call->fields[0] & with) == with && (call->fields[0] & without) == 0) {
            sum.ns += call->summaries[0].sum;
            sum.count += call->summaries[0].count;
            sum.worst = sum.worst == NULL || call->summaries[0].sum > sum.worst->summaries[0].sum ? call : sum.worst;
        }
    }
    return sum;
}

static void
describe_calls(tsm_rules *rules, tsm_finding *finding, const call_sum *calls)
{
    tsm_text name = tsm_rule_name(rules, calls->worst->keys[0]), time = tsm_rule_time(rules, calls->ns);
    tsm_rule_evidence(finding, tsm_rule_text(rules, "%" PRIu64 " calls, %.*s on the host, most in %.*s", calls->count,
                                             TSM_TEXT(time), TSM_TEXT(name)));
}

static void
find_synchronous(tsm_rules *rules, uint32_t kind, const char *id, const char *what, const char *advice)
{
    call_sum calls = sum_calls(rules, kind, TSM_NAME_ASYNC | TSM_NAME_GRAPH | TSM_NAME_LAUNCH);
    if (calls.count > 0) {
        tsm_finding *finding = tsm_rule_finds(rules, id, TSM_LEVEL_HIGH, calls.ns);
        finding->what =
            tsm_rule_text(rules, "%" PRIu64 " %s block the host until the device is done", calls.count, what);
        finding->advice = advice;
        describe_calls(rules, finding, &calls);
    }
}

static const tsm_record *
worst_culprit(const tsm_rules *rules, const char *cause)
{
    const tsm_record *worst = NULL;
    for (size_t i = 0; i < rules->records->count; i++) {
        const tsm_record *record = rules->records->items[i];
        if (record->kind == TSM_RECORD_CULPRIT) {
            tsm_text text = tsm_records_borrow(rules->records, record->keys[0]);
            bool same = text.size == strlen(cause) && memcmp(text.data, cause, text.size) == 0;
            worst = same && (worst == NULL || record->fields[TSM_CULPRIT_NS] > worst->fields[TSM_CULPRIT_NS]) ? record
                                                                                                              : worst;
        }
    }
    return worst;
}

/* Waiting costs what the device idles because of it. */
static void
find_waits(tsm_rules *rules)
{
    uint64_t idle = tsm_cause_ns(rules->records, "host-sync");
    call_sum calls = sum_calls(rules, TSM_NAME_SYNC, 0);
    const tsm_record *worst = worst_culprit(rules, "host-sync");
    if (calls.count == 0 || worst == NULL || !tsm_rule_worth(rules, idle)) {
        return;
    }
    tsm_text name = tsm_rule_name(rules, worst->keys[1]);
    tsm_finding *finding = tsm_rule_finds(rules, "sync-call", TSM_LEVEL_HIGH, idle);
    finding->what =
        tsm_rule_text(rules, "the device runs dry because the host waits for it, mostly in %.*s", TSM_TEXT(name));
    finding->advice = "do not synchronise in the loop: read losses less often (.item(), .cpu()), wait for an event "
                      "instead of the device";
    finding->stack = tsm_records_borrow(rules->records, worst->keys[2]);
    describe_calls(rules, finding, &calls);
}

static void
find_allocations(tsm_rules *rules)
{
    uint64_t idle = tsm_cause_ns(rules->records, "host-alloc");
    const tsm_record *worst = worst_culprit(rules, "host-alloc");
    call_sum calls = sum_calls(rules, TSM_NAME_ALLOCATE, 0);
    if (calls.count == 0 || worst == NULL || !tsm_rule_worth(rules, idle)) {
        return;
    }
    tsm_finding *finding = tsm_rule_finds(rules, "allocation-on-hot-path", TSM_LEVEL_MEDIUM, idle);
    finding->what = tsm_rule_text(rules, "the device idles while the host allocates or frees");
    finding->advice =
        "keep buffers between steps, or allocate from a pool (PyTorch's caching allocator, cudaMallocAsync)";
    finding->stack = tsm_records_borrow(rules->records, worst->keys[2]);
    describe_calls(rules, finding, &calls);
}

#define TINY_COPIES 100

static void
find_tiny_copies(tsm_rules *rules)
{
    for (size_t i = 0; i < rules->records->count; i++) {
        const tsm_record *copy = rules->records->items[i];
        if (copy->kind != TSM_RECORD_COPY || copy->fields[TSM_COPY_TINY] < TINY_COPIES) {
            continue;
        }
        tsm_text type = tsm_records_borrow(rules->records, copy->keys[0]);
        if (tsm_name_contains(type, "memcpy")) {
            tsm_finding *finding =
                tsm_rule_finds(rules, "tiny-copies", TSM_LEVEL_MEDIUM, copy->fields[TSM_COPY_TINY_NS]);
            finding->what = tsm_rule_text(rules, "%" PRIu64 " copies (%.*s) of less than 4 KiB each",
                                          copy->fields[TSM_COPY_TINY], TSM_TEXT(type));
            finding->advice = "gather them into one buffer and copy once, or compute the values on the device";
        }
    }
}

void
tsm_rules_calls(tsm_rules *rules)
{
    find_pageable(rules);
    find_synchronous(rules, TSM_NAME_COPY, "sync-memcpy", "synchronous copies",
                     "use cudaMemcpyAsync with pinned memory (non_blocking=True)");
    find_synchronous(rules, TSM_NAME_SET, "sync-memset", "synchronous memsets", "use cudaMemsetAsync");
    find_waits(rules);
    find_allocations(rules);
    find_tiny_copies(rules);
}
