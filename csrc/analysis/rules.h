/* Rules look at records and say what is wrong, what it costs and what to do. Private to analysis/. */
#ifndef TSM_ANALYSIS_RULES_H
#define TSM_ANALYSIS_RULES_H

#include "analysis/answers.h"

/* Costs below this share of the window are not worth a line. */
#define TSM_WORTH_SAYING 0.005

typedef struct {
    tsm_builder *builder;
    const tsm_records *records;
    const tsm_totals *totals;
    size_t capacity;
    tsm_finding nowhere; /* what is filled in when memory has ended */
    bool incomplete;     /* events were lost: every other finding is less certain */
} tsm_rules;

/* Adds a finding, of a severity that its share of the window deserves. Filled further by the
 * caller, before the next is added; never NULL. */
tsm_finding *tsm_rule_finds(tsm_rules *rules, const char *id, tsm_level confidence, uint64_t cost_ns);

tsm_text tsm_rule_text(tsm_rules *rules, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tsm_rule_evidence(tsm_finding *finding, tsm_text text);
bool tsm_rule_worth(const tsm_rules *rules, uint64_t cost_ns);
/* 'NAME', short enough for a sentence. */
tsm_text tsm_rule_name(tsm_rules *rules, uint32_t text);
tsm_text tsm_rule_time(tsm_rules *rules, uint64_t ns);
tsm_text tsm_rule_bytes(tsm_rules *rules, uint64_t bytes);

void tsm_rules_calls(tsm_rules *rules);   /* copies, memsets, waits, allocations: rules_calls.c */
void tsm_rules_devices(tsm_rules *rules); /* idleness, streams, kernels, collectives: rules_devices.c */
void tsm_rules_trace(tsm_rules *rules);   /* steps and the trace itself: rules.c */

#endif
