/* What is counted of each piece of device work by itself. */
#include <inttypes.h>

#include "analysis/pass.h"

#define CONFIGS_MOST 65536u
#define STACKS_MOST  65536u
#define TINY_BYTES   4096

enum { CACHE_CONFIG = 1, CACHE_STACK = 4, CACHE_COLLECTIVE = 5 }; /* beside those of gaps.c and device.c */

static tsm_record *
find_config(tsm_pass *pass, const tsm_event *event, uint32_t device)
{
    uint64_t key = (uint64_t)event->name << 32 | event->extra;
    tsm_record *config = tsm_map_get(&pass->cache, key, CACHE_CONFIG);
    if (config != NULL || pass->records->of_kind[TSM_RECORD_CONFIG] >= CONFIGS_MOST) {
        return config;
    }
    uint32_t keys[] = { tsm_pass_name_text(pass, event->name), tsm_pass_launch_text(pass, event->extra) };
    config = tsm_records_find(pass->records, TSM_RECORD_CONFIG, keys);
    if (config == NULL || !tsm_map_put(&pass->cache, key, CACHE_CONFIG, config)) {
        pass->failed = true;
        return NULL;
    }
    const uint64_t *shape = tsm_tables_borrow_row(pass->tables, TSM_TABLE_LAUNCHES, event->extra);
    const uint64_t *row = tsm_tables_borrow_row(pass->tables, TSM_TABLE_DEVICES, device);
    config->fields[TSM_CONFIG_BLOCKS] = shape[TSM_LAUNCH_GRID_X] * shape[TSM_LAUNCH_GRID_Y] * shape[TSM_LAUNCH_GRID_Z];
    config->fields[TSM_CONFIG_THREADS] =
        shape[TSM_LAUNCH_BLOCK_X] * shape[TSM_LAUNCH_BLOCK_Y] * shape[TSM_LAUNCH_BLOCK_Z];
    config->fields[TSM_CONFIG_SMS] = row[TSM_DEVICE_MULTIPROCESSORS];
    config->fields[TSM_CONFIG_SM_THREADS] = row[TSM_DEVICE_THREADS_PER_MULTIPROCESSOR];
    return config;
}

static tsm_summary *
durations_of(tsm_pass *pass, const tsm_event *event, tsm_name_state *name)
{
    uint32_t device = event->stream < pass->stream_count ? pass->streams[event->stream].device : 0;
    tsm_record *found = NULL;
    if ((event->flags & TSM_EXTRA_MASK) == TSM_EXTRA_LAUNCH && event->extra != 0 && event->name < pass->name_count) {
        found = find_config(pass, event, device);
        pass->health[TSM_HEALTH_LIMITED] += found == NULL;
    }
    if (found == NULL) {
        uint32_t key = tsm_pass_name_text(pass, event->name);
        found = tsm_records_find(pass->records, TSM_RECORD_KERNEL, &key);
    }
    name->durations = found == NULL ? NULL : &found->summaries[0];
    name->config_extra = event->extra;
    return name->durations;
}

/* Histograms do not fit the nearest caches: the bucket that an event will count in is fetched while
 * others are dealt with. A guess: that the name comes with the launch configuration it had last. */
static void
fetch_bucket(const tsm_pass *pass, const tsm_event *event)
{
    const tsm_summary *durations = event->name < pass->name_count ? pass->names[event->name].durations : NULL;
    if (durations != NULL) {
        __builtin_prefetch(durations->histogram.counts + tsm_histogram_bucket(event->duration)
                               - (size_t)durations->histogram.low * TSM_HISTOGRAM_SUBS,
                           1);
    }
}

#define FETCH_AHEAD 16

static bool
count_duration(tsm_pass *pass, const tsm_event *event)
{
    tsm_name_state *name = &pass->names[event->name < pass->name_count ? event->name : 0];
    tsm_summary *durations = name->durations;
    if (durations == NULL || name->config_extra != event->extra) {
        durations = durations_of(pass, event, name);
    }
    return durations != NULL && tsm_summary_add(durations, event->duration > INT64_MAX ? 0 : event->duration);
}

/* A loop of its own, and short, so that the processor can wait for several events' memory at once. */
void
tsm_kernels_count(tsm_pass *pass, const tsm_batch *batch)
{
    bool failed = false;
    for (size_t i = 0; i < batch->count; i++) {
        const tsm_event *event = &batch->events[i];
        if (i + FETCH_AHEAD < batch->count) {
            fetch_bucket(pass, &batch->events[i + FETCH_AHEAD]);
        }
        if (tsm_event_is_kernel(event->type)
            && (event->duration != 0 || (!tsm_event_is_begin(event) && !tsm_event_is_end(event)))) {
            failed |= !count_duration(pass, event);
        }
    }
    pass->failed |= failed;
}

/* In the sense of nsys's cuda_kern_exec_sum: only waiting that is positive counts as queueing. */
static void
count_launch(tsm_pass *pass, const tsm_work *work, tsm_name_state *name)
{
    const tsm_call *call = work->call;
    if (call == NULL || work->of_graph) {
        return;
    }
    if (name->launch == NULL || name->launch_call != call->name) {
        uint32_t keys[] = { tsm_pass_name_text(pass, work->name), tsm_pass_name_text(pass, call->name) };
        name->launch = tsm_records_find(pass->records, TSM_RECORD_LAUNCH, keys);
        name->launch_call = call->name;
        TSM_OR_RETURN(name->launch);
    }
    tsm_record *launch = name->launch;
    uint64_t begin = work->event->timestamp, end = begin + work->duration;
    bool done = tsm_summary_add(&launch->summaries[TSM_EXEC_TOTAL], (end > call->end ? end : call->end) - call->begin)
                && tsm_summary_add(&launch->summaries[TSM_EXEC_CALL], call->end - call->begin)
                && tsm_summary_add(&launch->summaries[TSM_EXEC_KERNEL], work->duration);
    if (begin > call->end) {
        done = done && tsm_summary_add(&launch->summaries[TSM_EXEC_QUEUE], begin - call->end);
    } else {
        launch->fields[begin == call->end ? TSM_EXEC_ZERO : TSM_EXEC_NEGATIVE]++;
    }
    pass->failed |= !done;
}

static void
count_kernel(tsm_pass *pass, const tsm_work *work)
{
    tsm_name_state *name = &pass->names[work->name];
    if (name->kernel == NULL) {
        uint32_t key = tsm_pass_name_text(pass, work->name);
        name->kernel = tsm_records_find(pass->records, TSM_RECORD_KERNEL, &key);
        TSM_OR_RETURN(name->kernel);
    }
    name->kernel->fields[TSM_KERNEL_IS_COMMUNICATION] |= work->communication;
    name->kernel->fields[TSM_KERNEL_ZERO] += work->duration == 0;
    if (pass->late) {
        pass->failed |= !count_duration(pass, work->event);
    }
    count_launch(pass, work, name);
}

static void
count_copy(tsm_pass *pass, const tsm_work *work)
{
    const tsm_event *event = work->event;
    tsm_name_state *name = tsm_pass_name(pass, work->name);
    if (name->copy == NULL || name->copy_type != event->type) {
        const char *type = tsm_event_type_name(event->type);
        uint32_t keys[] = { tsm_records_format(pass->records, "%s", type), tsm_pass_name_text(pass, work->name) };
        name->copy = tsm_records_find(pass->records, TSM_RECORD_COPY, keys);
        name->copy_type = event->type;
        TSM_OR_RETURN(name->copy);
    }
    uint64_t *fields = name->copy->fields;
    bool asked_async = work->call != NULL && (tsm_pass_name(pass, work->call->name)->class.bits & TSM_NAME_ASYNC) != 0;
    if (asked_async && (name->class.bits & TSM_NAME_PAGEABLE) != 0) {
        fields[TSM_COPY_PAGEABLE]++;
        fields[TSM_COPY_PAGEABLE_NS] += work->duration;
    }
    if (event->value < TINY_BYTES && (event->flags & TSM_VALUE_MASK) == TSM_VALUE_BYTES) {
        fields[TSM_COPY_TINY]++;
        fields[TSM_COPY_TINY_NS] += work->duration;
    }
    bool done = tsm_summary_add(&name->copy->summaries[0], work->duration);
    if ((event->flags & TSM_VALUE_MASK) == TSM_VALUE_BYTES) {
        done = done && tsm_summary_add(&name->copy->summaries[1], event->value);
    }
    pass->failed |= !done;
}

tsm_record *
tsm_work_collective(tsm_pass *pass, const tsm_work *work, const tsm_extension *extensions, size_t count)
{
    uint64_t bytes = 0, ranks = 0;
    (void)tsm_pass_value(pass, extensions, count, offsetof(tsm_schema_state, bytes), &bytes);
    (void)tsm_pass_value(pass, extensions, count, offsetof(tsm_schema_state, ranks), &ranks);
    if (bytes == 0 && (work->event->flags & TSM_VALUE_MASK) == TSM_VALUE_BYTES) {
        bytes = work->event->value;
    }
    uint64_t key = (uint64_t)work->name << 32 | (ranks & 0xffffff) << 8 | CACHE_COLLECTIVE;
    tsm_record *found = tsm_map_get(&pass->cache, bytes, key);
    if (found != NULL) {
        return found;
    }
    uint32_t keys[] = { tsm_pass_name_text(pass, work->name), tsm_records_format(pass->records, "%" PRIu64, bytes),
                        tsm_records_format(pass->records, "%" PRIu64, ranks) };
    found = tsm_records_find(pass->records, TSM_RECORD_COLLECTIVE, keys);
    if (found == NULL || !tsm_map_put(&pass->cache, bytes, key, found)) {
        pass->failed = true;
        return NULL;
    }
    found->fields[TSM_COLLECTIVE_BYTES] = bytes;
    found->fields[TSM_COLLECTIVE_RANKS] = ranks;
    return found;
}

/* Time by the stack that led to it; the call's where the work itself has none. */
static void
count_stack(tsm_pass *pass, const tsm_work *work)
{
    uint32_t stack = work->event->stack != 0 ? work->event->stack : work->call != NULL ? work->call->stack : 0;
    tsm_name_state *name = &pass->names[work->name];
    if (name->stack_time == NULL || name->stack_of != stack) {
        uint64_t key = (uint64_t)work->name << 32 | stack;
        tsm_record *found = tsm_map_get(&pass->cache, key, CACHE_STACK);
        if (found == NULL) {
            if (pass->records->of_kind[TSM_RECORD_STACK] >= STACKS_MOST) {
                pass->health[TSM_HEALTH_LIMITED]++;
                return;
            }
            uint32_t keys[] = { tsm_pass_stack_text(pass, stack), tsm_pass_name_text(pass, work->name) };
            found = tsm_records_find(pass->records, TSM_RECORD_STACK, keys);
            TSM_OR_RETURN(found);
            pass->failed |= !tsm_map_put(&pass->cache, key, CACHE_STACK, found);
        }
        name->stack_time = found;
        name->stack_of = stack;
    }
    name->stack_time->fields[TSM_STACK_NS] += work->duration;
    name->stack_time->fields[TSM_STACK_COUNT]++;
}

static void
count_graph(tsm_pass *pass, const tsm_work *work)
{
    const tsm_call *call = work->call;
    bool node = (work->event->flags & TSM_FLAG_GRAPH) != 0;
    if (call == NULL || !(node || (tsm_pass_name(pass, call->name)->class.bits & TSM_NAME_GRAPH) != 0)) {
        return;
    }
    uint32_t key = tsm_pass_name_text(pass, call->name);
    tsm_record *graph = tsm_records_find(pass->records, TSM_RECORD_GRAPH, &key);
    TSM_OR_RETURN(graph);
    graph->fields[TSM_GRAPH_NODES]++;
    if (!work->of_graph) {
        graph->fields[TSM_GRAPH_LAUNCHES]++;
        graph->fields[TSM_GRAPH_CALL_NS] += call->end - call->begin;
    }
}

void
tsm_work_count(tsm_pass *pass, const tsm_work *work)
{
    if (work->compute || work->communication) {
        count_kernel(pass, work);
    } else {
        count_copy(pass, work);
    }
    if (work->collective != NULL) {
        pass->failed |= !tsm_summary_add(&work->collective->summaries[0], work->duration);
    }
    count_stack(pass, work);
    count_graph(pass, work);
}
