/* Rules about devices: starvation and low utilisation are nsys's, the rest our own. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analysis/classify.h"
#include "analysis/reports.h"
#include "analysis/rules.h"

/* ---- Idle time by its reason ------------------------------------------------------------------ */

typedef struct {
    const char *cause, *id, *format, *advice; /* format takes the culprit's name */
    tsm_level confidence;
} idle_rule;

/* host-sync and host-alloc have rules of their own. */
static const idle_rule idle_rules[] = {
    { "host-op", "host-busy", "the device waits while the host is in %.*s",
      "move that work off the launching thread (data loader workers, prefetching), or do it less often",
      TSM_LEVEL_HIGH },
    { "host-launch", "launch-bound", "the host launches too slowly for the device, in %.*s",
      "launch less and larger: CUDA graphs, torch.compile, fused operators, larger batches", TSM_LEVEL_HIGH },
    { "host-transfer", "host-copying", "the device waits while the host copies in %.*s",
      "use pinned memory and asynchronous copies on a stream of their own", TSM_LEVEL_MEDIUM },
    { "dependency", "waits-for-other-device", "the device waits for %.*s",
      "overlap what it waits for with other work, or balance the devices", TSM_LEVEL_MEDIUM },
    { "launch-latency", "launch-latency", "work was launched just in time, and reached the device late (%.*s)",
      "let the host run further ahead, or launch through a CUDA graph", TSM_LEVEL_MEDIUM },
    { "peer-wait", "peer-wait", "a collective was launched and did not begin (%.*s): its peers were late",
      "look at the other ranks: the last to arrive is the cause", TSM_LEVEL_LOW },
};

static bool
is_cause(const tsm_rules *rules, const tsm_record *culprit, const char *cause)
{
    tsm_text text = tsm_records_borrow(rules->records, culprit->keys[0]);
    return text.size == strlen(cause) && memcmp(text.data, cause, text.size) == 0;
}

static void
find_idle(tsm_rules *rules, const idle_rule *rule, const tsm_record **culprits, size_t count)
{
    uint64_t all = tsm_cause_ns(rules->records, rule->cause), named = 0;
    tsm_finding *finding = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!is_cause(rules, culprits[i], rule->cause)) {
            continue;
        }
        const uint64_t *fields = culprits[i]->fields;
        tsm_text name = tsm_rule_name(rules, culprits[i]->keys[1]), time = tsm_rule_time(rules, fields[TSM_CULPRIT_NS]);
        tsm_text longest = tsm_rule_time(rules, fields[TSM_CULPRIT_MAX]);
        /* What several do is one finding, named after the first. */
        if (finding == NULL) {
            if (!tsm_rule_worth(rules, all)) {
                return;
            }
            finding = tsm_rule_finds(rules, rule->id, rule->confidence, all);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            tsm_text what = tsm_rule_text(rules, rule->format, TSM_TEXT(name));
#pragma GCC diagnostic pop
            bool mostly = fields[TSM_CULPRIT_NS] * 2 >= all;
            finding->what = mostly ? what : tsm_rule_text(rules, "%.*s, among others", TSM_TEXT(what));
            finding->advice = rule->advice;
            finding->stack = tsm_records_borrow(rules->records, culprits[i]->keys[2]);
        }
        if (named * 10 < all * 9) {
            tsm_rule_evidence(finding,
                              tsm_rule_text(rules, "%.*s: %.*s in %" PRIu64 " gaps, the longest %.*s", TSM_TEXT(name),
                                            TSM_TEXT(time), fields[TSM_CULPRIT_COUNT], TSM_TEXT(longest)));
        }
        named += fields[TSM_CULPRIT_NS];
    }
}

static void
find_idle_causes(tsm_rules *rules)
{
    size_t count;
    const tsm_record **culprits = tsm_records_ranked(rules->records, TSM_RECORD_CULPRIT, tsm_rank_second, &count);
    for (size_t i = 0; i < sizeof idle_rules / sizeof *idle_rules; i++) {
        find_idle(rules, &idle_rules[i], culprits, count);
    }
    free(culprits);
    uint64_t unknown = tsm_cause_ns(rules->records, "unknown");
    if (tsm_rule_worth(rules, unknown)) {
        tsm_finding *finding = tsm_rule_finds(rules, "idle-unexplained", TSM_LEVEL_HIGH, unknown);
        finding->what = tsm_rule_text(rules, "the device idles, and the trace does not tell why");
        finding->advice = "record host calls with their correlation ids, Python stacks and operators";
    }
}

#define STARVED_NS 500000000u

static void
find_starvation(tsm_rules *rules)
{
    size_t count;
    uint64_t cost = 0, starved = 0;
    const tsm_record **gaps = tsm_records_ranked(rules->records, TSM_RECORD_GAP, tsm_rank_second, &count);
    for (; starved < count && gaps[starved]->fields[TSM_GAP_NS] > STARVED_NS; starved++) {
        cost += gaps[starved]->fields[TSM_GAP_NS];
    }
    if (starved > 0) {
        tsm_text longest = tsm_rule_time(rules, gaps[0]->fields[TSM_GAP_NS]);
        tsm_text next = tsm_rule_name(rules, (uint32_t)gaps[0]->fields[TSM_GAP_NEXT]);
        tsm_finding *finding = tsm_rule_finds(rules, "starvation", TSM_LEVEL_HIGH, cost);
        finding->what =
            tsm_rule_text(rules, "%" PRIu64 " gaps of more than 500 ms without any work on a device", starved);
        finding->advice = "`-r gaps` lists them with what the host did meanwhile";
        finding->stack = tsm_records_borrow(rules->records, gaps[0]->keys[4]);
        tsm_rule_evidence(finding,
                          tsm_rule_text(rules, "the longest: %.*s, before %.*s", TSM_TEXT(longest), TSM_TEXT(next)));
    }
    free(gaps);
}

/* A device in pieces of equal length, neighbours below half joined. */
static void
find_low_utilization(tsm_rules *rules)
{
    uint64_t idle = 0, pieces = 0, low = 0;
    for (size_t i = 0; i < rules->records->count; i++) {
        const tsm_record *piece = rules->records->items[i];
        if (piece->kind == TSM_RECORD_CHUNK) {
            uint64_t width = piece->fields[TSM_CHUNK_NS], busy = piece->fields[TSM_CHUNK_BUSY_NS];
            pieces++;
            if (busy * 2 < width) {
                low++;
                idle += width - busy;
            }
        }
    }
    if (pieces >= 8 && low * 4 >= pieces) {
        tsm_finding *finding = tsm_rule_finds(rules, "low-utilization", TSM_LEVEL_MEDIUM, idle);
        finding->what = tsm_rule_text(
            rules, "in %" PRIu64 " of %" PRIu64 " equal pieces of time a device is busy less than half", low, pieces);
        finding->advice = "see the other findings for why; `-r utilization` shows when";
    }
}

/* ---- Kernels ---------------------------------------------------------------------------------- */

#define SHORT_NS 10000

/* R1: short kernels are a matter only where the host cannot keep up with them. */
static void
find_short_kernels(tsm_rules *rules)
{
    uint64_t launches = 0, brief = 0;
    for (size_t i = 0; i < rules->builder->kernels.count; i++) {
        const tsm_kernel *kernel = &rules->builder->kernels.items[i];
        if (kernel->record->fields[TSM_KERNEL_IS_COMMUNICATION] == 0) {
            const tsm_summary *ns = &kernel->durations;
            launches += ns->count;
            brief += ns->count - tsm_summary_count_from(ns, SHORT_NS);
        }
    }
    uint64_t cost = tsm_cause_ns(rules->records, "host-launch") + tsm_cause_ns(rules->records, "launch-latency");
    if (brief * 2 > launches && rules->totals->window_ns > 0 && cost * 20 > rules->totals->window_ns) {
        tsm_finding *finding = tsm_rule_finds(rules, "short-kernels", TSM_LEVEL_HIGH, cost);
        finding->what = tsm_rule_text(
            rules, "%.0f %% of %" PRIu64 " kernels are shorter than 10 us, and the device waits for launches",
            100.0 * (double)brief / (double)launches, launches);
        finding->advice = "fuse them (torch.compile) or launch them together (CUDA graphs)";
    }
}

/* R2: the share of a configuration's time in which its last wave leaves multiprocessors without work. */
static double
tail_share(const uint64_t *config)
{
    uint64_t threads = config[TSM_CONFIG_THREADS], sms = config[TSM_CONFIG_SMS], per_sm = config[TSM_CONFIG_SM_THREADS];
    if (threads == 0 || sms == 0 || per_sm < threads || config[TSM_CONFIG_BLOCKS] == 0) {
        return 0;
    }
    if (config[TSM_CONFIG_BLOCKS] < sms) {
        return 1 - (double)config[TSM_CONFIG_BLOCKS] / (double)sms;
    }
    double waves = (double)config[TSM_CONFIG_BLOCKS] / ((double)sms * (double)(per_sm / threads));
    double whole = (double)(uint64_t)waves, part = waves - whole;
    return whole >= 1 && part > 0 && part <= 0.25 ? (1 - part) / (whole + 1) : 0;
}

/* Those leave the device to others on purpose. */
static bool
is_communication(const tsm_rules *rules, const tsm_record *config)
{
    tsm_name_class class = tsm_name_classify(tsm_records_borrow(rules->records, config->keys[0]));
    return (class.bits & TSM_NAME_COMMUNICATION) != 0;
}

static void
find_tails(tsm_rules *rules)
{
    double cost = 0, worst = 0;
    const tsm_record *worst_config = NULL;
    for (size_t i = 0; i < rules->records->count; i++) {
        const tsm_record *config = rules->records->items[i];
        if (config->kind == TSM_RECORD_CONFIG && !is_communication(rules, config)) {
            double lost = tail_share(config->fields) * (double)config->summaries[0].sum;
            cost += lost;
            if (lost > worst) {
                worst = lost;
                worst_config = config;
            }
        }
    }
    if (worst_config != NULL && cost >= 0.05 * (double)rules->totals->window_ns) {
        tsm_text name = tsm_rule_name(rules, worst_config->keys[0]),
                 shape = tsm_rule_name(rules, worst_config->keys[1]);
        tsm_finding *finding = tsm_rule_finds(rules, "tail-wave", TSM_LEVEL_LOW, (uint64_t)cost);
        finding->what = tsm_rule_text(
            rules, "grids do not fill the device evenly: fewer blocks than multiprocessors, or a small last wave");
        finding->advice = "choose grids that are a multiple of what fits at once; an estimate, from threads alone";
        tsm_rule_evidence(finding, tsm_rule_text(rules, "worst: %.*s, %.*s", TSM_TEXT(name), TSM_TEXT(shape)));
    }
}

/* ---- Streams and collectives ------------------------------------------------------------------ */

/* R3: several streams compute, and hardly ever at once, though they are made to wait for each other. */
static void
find_serialised(tsm_rules *rules, const tsm_record *device)
{
    const tsm_records *records = rules->records;
    uint64_t sum = 0, most = 0, waits = 0, streams = 0, compute = device->fields[TSM_DEVICE_COMPUTE_NS];
    for (size_t i = 0; i < records->count; i++) {
        const tsm_record *stream = records->items[i];
        if (stream->kind == TSM_RECORD_STREAM && stream->keys[0] == device->keys[0]) {
            uint64_t ns = stream->fields[TSM_STREAM_COMPUTE_NS];
            sum += ns;
            most = ns > most ? ns : most;
            waits += stream->fields[TSM_STREAM_WAITS];
            streams += ns * 20 > compute;
        }
    }
    uint64_t together = sum > compute ? sum - compute : 0;
    if (streams >= 2 && waits > 0 && together * 20 < sum - most && tsm_rule_worth(rules, sum - most)) {
        tsm_finding *finding = tsm_rule_finds(rules, "serialised-streams", TSM_LEVEL_LOW, sum - most);
        finding->what = tsm_rule_text(rules, "%" PRIu64 " streams compute, but hardly ever at once", streams);
        finding->advice = "look for event waits and work on the default stream between them; the cost is the most "
                          "that overlap could hide";
        tsm_rule_evidence(finding, tsm_rule_text(rules, "%" PRIu64 " event waits", waits));
    }
}

static double
rank_exposed(const tsm_record *record)
{
    return (double)record->fields[TSM_COLLECTIVE_EXPOSED_NS];
}

/* R6. One trace cannot tell a late peer from a slow link; the spread of durations is a hint. */
static void
find_exposed(tsm_rules *rules)
{
    size_t count;
    uint64_t cost = rules->totals->exposed_communication_ns;
    const tsm_record **all = tsm_records_ranked(rules->records, TSM_RECORD_COLLECTIVE, rank_exposed, &count);
    if (count > 0 && tsm_rule_worth(rules, cost)) {
        const tsm_summary *ns = &all[0]->summaries[0];
        bool uneven = ns->count >= 8 && tsm_summary_quantile(ns, 0.9) > 2 * tsm_summary_quantile(ns, 0.1);
        tsm_text name = tsm_rule_name(rules, all[0]->keys[0]);
        tsm_finding *finding = tsm_rule_finds(rules, "exposed-communication", TSM_LEVEL_HIGH, cost);
        finding->what = tsm_rule_text(rules, "communication that no computation hides, mostly %.*s", TSM_TEXT(name));
        finding->advice =
            uneven ? "its times vary more than twofold at equal size: look for a late rank before a slow link"
                   : "begin it earlier (smaller buckets), or move less (gradient compression, sharding)";
        tsm_rule_evidence(finding, tsm_rule_text(rules, "%.0f %% of communication is exposed",
                                                 100.0 * (double)cost / (double)rules->totals->communication_ns));
    }
    free(all);
}

static void
find_exposed_copies(tsm_rules *rules)
{
    size_t count;
    uint64_t cost = rules->totals->exposed_memory_ns;
    const tsm_record **copies = tsm_records_ranked(rules->records, TSM_RECORD_COPY, tsm_rank_summary, &count);
    if (count > 0 && tsm_rule_worth(rules, cost)) {
        const tsm_summary *ns = &copies[0]->summaries[0], *bytes = &copies[0]->summaries[1];
        tsm_text name = tsm_rule_name(rules, copies[0]->keys[1]);
        tsm_finding *finding = tsm_rule_finds(rules, "exposed-copies", TSM_LEVEL_HIGH, cost);
        finding->what =
            tsm_rule_text(rules, "copies and memsets that no other work hides, mostly %.*s", TSM_TEXT(name));
        finding->advice = "copy on a stream of its own while the device computes (prefetching), or copy less";
        tsm_text moved = tsm_rule_bytes(rules, bytes->sum);
        tsm_rule_evidence(finding, tsm_rule_text(rules, "%" PRIu64 " times, %.*s in all at %.3g GB/s", ns->count,
                                                 TSM_TEXT(moved), (double)bytes->sum / (double)(ns->sum + !ns->sum)));
    }
    free(copies);
}

void
tsm_rules_devices(tsm_rules *rules)
{
    find_idle_causes(rules);
    find_starvation(rules);
    find_low_utilization(rules);
    find_short_kernels(rules);
    find_tails(rules);
    for (size_t i = 0; i < rules->records->count; i++) {
        if (rules->records->items[i]->kind == TSM_RECORD_DEVICE) {
            find_serialised(rules, rules->records->items[i]);
        }
    }
    find_exposed(rules);
    find_exposed_copies(rules);
}
