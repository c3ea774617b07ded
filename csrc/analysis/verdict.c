/* One sentence: what the device did with its time, and what kept it from doing more. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/reports.h"
#include "analysis/rules.h"

static double
percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

/* Where idle time mostly comes from. */
static tsm_text
idle_clause(tsm_rules *rules)
{
    static const struct {
        const char *cause, *format;
    } clauses[] = {
        { "host-sync", "because the host waits in %.*s" },
        { "host-alloc", "because the host allocates in %.*s" },
        { "host-transfer", "because the host copies in %.*s" },
        { "host-op", "because the host is in %.*s" },
        { "host-launch", "because the host launches too slowly, in %.*s" },
        { "dependency", "waiting for %.*s" },
        { "launch-latency", "between launch and begin, by %.*s" },
        { "peer-wait", "waiting for the peers of %.*s" },
    };
    size_t count;
    tsm_text clause = { "for reasons that the trace does not tell", 40 };
    const tsm_record **culprits = tsm_records_ranked(rules->records, TSM_RECORD_CULPRIT, tsm_rank_second, &count);
    for (size_t i = 0; count > 0 && i < sizeof clauses / sizeof *clauses; i++) {
        tsm_text cause = tsm_records_borrow(rules->records, culprits[0]->keys[0]);
        if (cause.size == strlen(clauses[i].cause) && memcmp(cause.data, clauses[i].cause, cause.size) == 0) {
            tsm_text name = tsm_rule_name(rules, culprits[0]->keys[1]);
            uint64_t ns = culprits[0]->fields[TSM_CULPRIT_NS];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            tsm_text why = tsm_rule_text(rules, clauses[i].format, TSM_TEXT(name));
#pragma GCC diagnostic pop
            clause = tsm_rule_text(rules, "%.1f %% %.*s", percent(ns, rules->totals->window_ns), TSM_TEXT(why));
        }
    }
    free(culprits);
    return clause;
}

static tsm_text
busiest_kernel(tsm_rules *rules)
{
    const tsm_kernels *kernels = &rules->builder->kernels;
    if (kernels->count == 0) {
        return (tsm_text){ "", 0 };
    }
    tsm_text name = tsm_rule_name(rules, kernels->items[0].record->keys[0]);
    return tsm_rule_text(rules, "; the kernel with the most time is %.*s (%.1f %%)", TSM_TEXT(name),
                         percent(kernels->items[0].durations.sum, rules->totals->window_ns));
}

tsm_text
tsm_verdict(tsm_builder *builder)
{
    tsm_rules rules = { .builder = builder, .records = builder->records, .totals = &builder->answers->totals };
    const tsm_totals *t = rules.totals;
    if (t->devices == 0) {
        return tsm_rule_text(&rules, "There is no GPU work among the %" PRIu64 " events of this trace.", t->events);
    }
    tsm_text window = tsm_rule_time(&rules, t->window_ns);
    const char *who = t->devices == 1 ? "The GPU computes" : "The GPUs compute";
    tsm_text start =
        tsm_rule_text(&rules, "%s %.1f %% of %.*s", who, percent(t->compute_ns, t->window_ns), TSM_TEXT(window));
    uint64_t worst = t->idle_ns;
    worst = t->exposed_communication_ns > worst ? t->exposed_communication_ns : worst;
    worst = t->exposed_memory_ns > worst ? t->exposed_memory_ns : worst;
    double share = percent(worst, t->window_ns);
    if (share < 5) {
        tsm_text kernel = busiest_kernel(&rules);
        return tsm_rule_text(&rules, "%.*s: it is kept busy%.*s.", TSM_TEXT(start), TSM_TEXT(kernel));
    }
    if (worst == t->idle_ns) {
        tsm_text clause = idle_clause(&rules);
        return tsm_rule_text(&rules, "%.*s and %s idle for %.1f %%, %.*s.", TSM_TEXT(start),
                             t->devices == 1 ? "is" : "are", share, TSM_TEXT(clause));
    }
    return tsm_rule_text(&rules, "%.*s; %s %.1f %%.", TSM_TEXT(start),
                         worst == t->exposed_memory_ns ? "copies and memsets that nothing hides take"
                                                       : "communication that nothing hides takes",
                         share);
}
