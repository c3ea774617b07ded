#include "analysis/rules.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/classify.h"
#include "analysis/steps.h"
#include "base/array.h"

#define NAME_MOST 60

tsm_finding *
tsm_rule_finds(tsm_rules *rules, const char *id, tsm_level confidence, uint64_t cost_ns)
{
    tsm_answers *answers = rules->builder->answers;
    if (!tsm_array_reserve(&answers->findings, &rules->capacity, answers->finding_count + 1)) {
        rules->builder->failed = true;
        rules->nowhere = (tsm_finding){ 0 };
        return &rules->nowhere;
    }
    double share = rules->totals->window_ns == 0 ? 0 : (double)cost_ns / (double)rules->totals->window_ns;
    tsm_level severity = share >= 0.10               ? TSM_LEVEL_HIGH
                         : share >= 0.03             ? TSM_LEVEL_MEDIUM
                         : share >= TSM_WORTH_SAYING ? TSM_LEVEL_LOW
                                                     : TSM_LEVEL_INFO;
    if (rules->incomplete && confidence > TSM_LEVEL_LOW) {
        confidence--;
    }
    tsm_finding *finding = &answers->findings[answers->finding_count++];
    *finding = (tsm_finding){ .id = id,
                              .severity = severity,
                              .confidence = confidence,
                              .cost_ns = cost_ns,
                              .share = share,
                              .what = { "", 0 },
                              .advice = "",
                              .stack = { "", 0 } };
    return finding;
}

tsm_text
tsm_rule_text(tsm_rules *rules, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return tsm_texts_format(&rules->builder->answers->texts, &rules->builder->failed, "%s", text);
}

void
tsm_rule_evidence(tsm_finding *finding, tsm_text text)
{
    if (finding->evidence_count < TSM_EVIDENCE_MOST) {
        finding->evidence[finding->evidence_count++] = text;
    }
}

bool
tsm_rule_worth(const tsm_rules *rules, uint64_t cost_ns)
{
    return rules->totals->window_ns > 0 && (double)cost_ns >= TSM_WORTH_SAYING * (double)rules->totals->window_ns;
}

/* Cut at the beginning of a character. */
static size_t
cut(tsm_text text)
{
    size_t size = text.size < NAME_MOST ? text.size : NAME_MOST;
    while (size > 0 && size < text.size && ((unsigned char)text.data[size] & 0xc0) == 0x80) {
        size--;
    }
    return size;
}

tsm_text
tsm_rule_name(tsm_rules *rules, uint32_t row)
{
    tsm_text text = tsm_records_borrow(rules->records, row);
    if (text.size == 0) {
        return (tsm_text){ "(no name)", 9 };
    }
    if (text.size > NAME_MOST) {
        tsm_text base = tsm_name_base(text);
        text = base.size > 0 ? base : text;
    }
    size_t size = cut(text);
    return tsm_rule_text(rules, size < text.size ? "%.*s..." : "%.*s", (int)size, text.data);
}

tsm_text
tsm_rule_time(tsm_rules *rules, uint64_t ns)
{
    double value = (double)ns;
    return value >= 1e9   ? tsm_rule_text(rules, "%.3g s", value / 1e9)
           : value >= 1e6 ? tsm_rule_text(rules, "%.3g ms", value / 1e6)
           : value >= 1e3 ? tsm_rule_text(rules, "%.3g us", value / 1e3)
                          : tsm_rule_text(rules, "%" PRIu64 " ns", ns);
}

tsm_text
tsm_rule_bytes(tsm_rules *rules, uint64_t bytes)
{
    double value = (double)bytes;
    return value >= 1e9   ? tsm_rule_text(rules, "%.4g GB", value / 1e9)
           : value >= 1e6 ? tsm_rule_text(rules, "%.4g MB", value / 1e6)
           : value >= 1e3 ? tsm_rule_text(rules, "%.4g kB", value / 1e3)
                          : tsm_rule_text(rules, "%" PRIu64 " bytes", bytes);
}

/* ---- The trace itself ------------------------------------------------------------------------- */

static uint64_t
health_of(const tsm_records *records, const char *what)
{
    for (size_t i = 0; i < records->count; i++) {
        const tsm_record *record = records->items[i];
        tsm_text text = tsm_records_borrow(records, record->keys[0]);
        if (record->kind == TSM_RECORD_HEALTH && text.size == strlen(what) && memcmp(text.data, what, text.size) == 0) {
            return record->fields[0];
        }
    }
    return 0;
}

static uint64_t
sum_of(const tsm_records *records, tsm_record_kind kind, int field)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < records->count; i++) {
        sum += records->items[i]->kind == kind ? records->items[i]->fields[field] : 0;
    }
    return sum;
}

static void
find_losses(tsm_rules *rules, uint64_t dropped)
{
    if (dropped == 0) {
        return;
    }
    tsm_finding *finding = tsm_rule_finds(rules, "events-lost", TSM_LEVEL_HIGH, 0);
    finding->severity = TSM_LEVEL_HIGH;
    finding->what = tsm_rule_text(
        rules, "%" PRIu64 " events were dropped while recording: every other finding may be off", dropped);
    finding->advice = "record again with a larger buffer (--buffer), or with fewer sources";
}

static void
find_doubtful(tsm_rules *rules)
{
    static const struct {
        const char *health, *id, *advice;
    } doubts[] = {
        { "device work before its call", "kernel-before-launch",
          "the recorder's clocks disagree: do not trust launch latencies in this trace" },
        { "negative durations", "negative-durations", "counted as without extent; the recorder is at fault" },
        { "events out of order", "out-of-order", "times around them are less exact" },
        { "begins without an end", "open-ends", "what began and did not end is counted without extent" },
    };
    for (size_t i = 0; i < sizeof doubts / sizeof *doubts; i++) {
        uint64_t count = health_of(rules->records, doubts[i].health);
        if (count > 0) {
            tsm_finding *finding = tsm_rule_finds(rules, doubts[i].id, TSM_LEVEL_HIGH, 0);
            finding->severity = TSM_LEVEL_LOW;
            finding->what = tsm_rule_text(rules, "%s: %" PRIu64, doubts[i].health, count);
            finding->advice = doubts[i].advice;
        }
    }
}

static void
find_orphans(tsm_rules *rules)
{
    uint64_t orphans = health_of(rules->records, "device work without its call");
    uint64_t works = sum_of(rules->records, TSM_RECORD_DEVICE, TSM_DEVICE_OPERATIONS);
    bool windowed = sum_of(rules->records, TSM_RECORD_INPUT, TSM_INPUT_WINDOWED) > 0;
    if (orphans * 20 <= works || windowed) {
        return;
    }
    tsm_finding *finding = tsm_rule_finds(rules, "no-launches", TSM_LEVEL_HIGH, 0);
    finding->severity = TSM_LEVEL_INFO;
    finding->what = tsm_rule_text(
        rules, "%" PRIu64 " of %" PRIu64 " device operations have no launching call in the trace", orphans, works);
    finding->advice = "record host calls too: without them the causes of idle time stay unknown";
}

/* The first steps are not like the others: what they cost is not what training costs. */
static void
find_warm_up(tsm_rules *rules)
{
    tsm_steps steps;
    if (!tsm_steps_of(rules->records, &steps)) {
        rules->builder->failed = true;
        return;
    }
    uint64_t extra = 0, all = 0;
    size_t warm = 0;
    for (size_t i = 0; i < steps.count; i++) {
        all += steps.items[i]->fields[TSM_STEP_NS];
    }
    for (; steps.count >= 4 && warm < 3 && tsm_step_is_outlier(&steps, steps.items[warm])
           && steps.items[warm]->fields[TSM_STEP_NS] > steps.median + steps.median / 2;
         warm++) {
        extra += steps.items[warm]->fields[TSM_STEP_NS] - steps.median;
    }
    if (warm > 0) {
        tsm_finding *finding = tsm_rule_finds(rules, "warm-up-included", TSM_LEVEL_MEDIUM, extra);
        finding->what = tsm_rule_text(
            rules, "the first %zu of %zu steps take %.1f times the median: warm-up colours the averages", warm,
            steps.count, (double)steps.items[0]->fields[TSM_STEP_NS] / (double)(steps.median + !steps.median));
        finding->advice = "look at the later steps alone (--time), or record after the warm-up";
        tsm_rule_evidence(
            finding, tsm_rule_text(rules, "they are %.1f %% of all steps' time", 100.0 * (double)extra / (double)all));
    }
    tsm_steps_free(&steps);
}

void
tsm_rules_trace(tsm_rules *rules)
{
    uint64_t dropped = sum_of(rules->records, TSM_RECORD_INPUT, TSM_INPUT_DROPPED);
    rules->incomplete = dropped > 0;
    find_losses(rules, dropped);
    find_doubtful(rules);
    find_orphans(rules);
    find_warm_up(rules);
}

static int
by_cost(const void *a, const void *b)
{
    const tsm_finding *one = a, *other = b;
    if (one->cost_ns != other->cost_ns) {
        return one->cost_ns < other->cost_ns ? 1 : -1;
    }
    return one->severity != other->severity ? (int)other->severity - (int)one->severity : strcmp(one->id, other->id);
}

void
tsm_find(tsm_builder *builder)
{
    tsm_rules rules = { .builder = builder, .records = builder->records, .totals = &builder->answers->totals };
    tsm_rules_trace(&rules);
    tsm_rules_calls(&rules);
    tsm_rules_devices(&rules);
    if (builder->answers->finding_count > 1) {
        qsort(builder->answers->findings, builder->answers->finding_count, sizeof *builder->answers->findings, by_cost);
    }
}
