#include "export/flame.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"

static size_t
bucket_of(const tsm_flame *flame, uint32_t parent, unsigned kind, uint32_t row)
{
    return (size_t)tsm_hash_mix((uint64_t)kind << 32 | row, parent) & (flame->bucket_count - 1);
}

static bool
make_room(tsm_flame *flame)
{
    if (flame->count < flame->bucket_count && flame->count < flame->capacity) {
        return true;
    }
    const size_t wanted = flame->bucket_count == 0 ? 256 : flame->bucket_count * 2;
    uint32_t *buckets = calloc(wanted, sizeof *buckets);
    if (buckets == NULL || wanted >= UINT32_MAX || !tsm_array_reserve(&flame->nodes, &flame->capacity, wanted)) {
        free(buckets);
        return false;
    }
    free(flame->buckets);
    flame->buckets = buckets;
    flame->bucket_count = wanted;
    if (flame->count == 0) {
        flame->nodes[flame->count++] = (tsm_flame_node){ .kind = TSM_FLAME_ROOT };
    }
    for (uint32_t i = 1; i < flame->count; i++) {
        tsm_flame_node *node = &flame->nodes[i];
        const size_t bucket = bucket_of(flame, node->parent, node->kind, node->row);
        node->next = buckets[bucket];
        buckets[bucket] = i;
    }
    return true;
}

uint32_t
tsm_flame_child(tsm_flame *flame, uint32_t parent, tsm_flame_kind kind, uint32_t row)
{
    if (flame->failed || !make_room(flame)) {
        flame->failed = true;
        return 0;
    }
    const size_t bucket = bucket_of(flame, parent, kind, row);
    for (uint32_t i = flame->buckets[bucket]; i != 0; i = flame->nodes[i].next) {
        const tsm_flame_node *node = &flame->nodes[i];
        if (node->parent == parent && node->kind == kind && node->row == row) {
            return i;
        }
    }
    const uint32_t made = (uint32_t)flame->count++;
    flame->nodes[made] = (tsm_flame_node){ .parent = parent,
                                           .row = row,
                                           .next = flame->buckets[bucket],
                                           .kind = (uint16_t)kind,
                                           .depth = (uint16_t)(flame->nodes[parent].depth + 1) };
    flame->buckets[bucket] = made;
    return made;
}

void
tsm_flame_free(tsm_flame *flame)
{
    free(flame->nodes);
    free(flame->buckets);
    *flame = (tsm_flame){ .count = 0 };
}

/* ---- Building */

typedef struct {
    const tsm_spans *spans;
    const tsm_span *all;
    tsm_flame flame;
    uint32_t *nodes; /* by span of a thread: its node, or 0 */
    uint32_t *open;  /* spans on the way up, while one is looked for */
    size_t capacity;
    bool stacks;
} builder;

/* One level is kept for the leaf. */
static uint32_t
below(builder *b, uint32_t parent, tsm_flame_kind kind, uint32_t row)
{
    const bool deep = !b->flame.failed && b->flame.nodes[parent].depth >= TSM_FLAME_DEPTH - 1;
    return deep ? parent : tsm_flame_child(&b->flame, parent, kind, row);
}

static uint32_t
thread_node(builder *b, uint32_t thread)
{
    const uint64_t *row = tsm_tables_borrow_row(b->spans->tables, TSM_TABLE_THREADS, thread);
    const uint32_t process = below(b, 0, TSM_FLAME_PROCESS, (uint32_t)row[TSM_THREAD_PROCESS]);
    return below(b, process, TSM_FLAME_THREAD, thread);
}

static const tsm_event *
event_of(const builder *b, uint32_t span)
{
    return &b->spans->events[b->all[span].event];
}

/* The node of a span of a thread; TSM_SPAN_NONE: of the thread itself. */
static uint32_t
span_node(builder *b, uint32_t thread, uint32_t span)
{
    size_t depth = 0;
    while (span != TSM_SPAN_NONE && b->nodes[span] == 0) {
        if (!tsm_array_reserve(&b->open, &b->capacity, depth + 1)) {
            b->flame.failed = true;
            return 0;
        }
        b->open[depth++] = span;
        span = b->all[span].parent;
    }
    uint32_t node = span == TSM_SPAN_NONE ? thread_node(b, thread) : b->nodes[span];
    while (depth > 0) {
        span = b->open[--depth];
        node = below(b, node, TSM_FLAME_NAME, event_of(b, span)->name);
        b->nodes[span] = node;
    }
    return node;
}

static uint32_t
stack_node(builder *b, uint32_t thread, uint32_t stack)
{
    uint32_t frames[TSM_STACK_FRAMES];
    uint32_t node = thread_node(b, thread);
    for (size_t i = tsm_stack_frames(b->spans->tables, stack, frames); i-- > 0;) {
        node = below(b, node, TSM_FLAME_FRAME, frames[i]);
    }
    return node;
}

/* What has the operation as its leaf. */
static uint32_t
launcher_node(builder *b, uint32_t span)
{
    const tsm_event *work = event_of(b, span);
    const uint32_t call = tsm_timeline_launch_of(b->spans->timeline, span);
    const tsm_event *launch = call == TSM_SPAN_NONE ? NULL : event_of(b, call);
    const uint32_t thread = launch != NULL ? launch->thread : work->thread;
    const uint32_t stack = work->stack != 0 || launch == NULL ? work->stack : launch->stack;
    if (b->stacks && stack != 0) {
        return stack_node(b, thread, stack);
    }
    if (launch != NULL) {
        return span_node(b, thread, b->all[call].parent);
    }
    const uint64_t *stream = tsm_tables_borrow_row(b->spans->tables, TSM_TABLE_STREAMS, work->stream);
    const uint32_t process = below(b, 0, TSM_FLAME_PROCESS, (uint32_t)stream[TSM_STREAM_PROCESS]);
    return below(b, process, TSM_FLAME_NOBODY, 0);
}

static uint64_t
charge_all(builder *b)
{
    size_t count, track_count;
    uint64_t operations = 0;
    const tsm_track *tracks = tsm_timeline_tracks(b->spans->timeline, &track_count);
    b->all = tsm_timeline_spans(b->spans->timeline, &count);
    for (size_t t = 0; t < track_count; t++) {
        const uint32_t end = tracks[t].is_stream ? tracks[t].first + tracks[t].count : tracks[t].first;
        for (uint32_t i = tracks[t].first; i < end; i++) {
            if (!tsm_event_is_work(b->all[i].type)) {
                continue;
            }
            const uint32_t launcher = launcher_node(b, i);
            const uint32_t leaf = tsm_flame_child(&b->flame, launcher, TSM_FLAME_NAME, event_of(b, i)->name);
            if (b->flame.failed) {
                return 0;
            }
            b->flame.nodes[leaf].weight_ns += b->all[i].end_ns - b->all[i].begin_ns;
            operations++;
        }
    }
    return operations;
}

tsm_status
tsm_flame_build(const tsm_spans *spans, bool stacks, tsm_flame *out, uint64_t *operations)
{
    builder b = { .spans = spans, .stacks = stacks };
    size_t count;
    (void)tsm_timeline_spans(spans->timeline, &count);
    b.nodes = calloc(count + 1, sizeof *b.nodes);
    if (b.nodes == NULL || !make_room(&b.flame)) {
        b.flame.failed = true;
    } else {
        *operations = charge_all(&b);
    }
    free(b.nodes);
    free(b.open);
    if (b.flame.failed) {
        tsm_flame_free(&b.flame);
        return TSM_E_NOMEM;
    }
    *out = b.flame;
    return TSM_OK;
}

/* ---- Reading */

size_t
tsm_flame_path(const tsm_flame *flame, uint32_t node, uint32_t path[TSM_FLAME_DEPTH + 1])
{
    const size_t depth = flame->nodes[node].depth;
    for (size_t i = depth; i-- > 0; node = flame->nodes[node].parent) {
        path[i] = node;
    }
    return depth;
}

/* Name and number, because two processes of one name are two; unless the name tells it. */
static void
put_numbered(tsm_buffer *buffer, const tsm_tables *tables, const char *what, uint64_t name, uint64_t number)
{
    const tsm_text text = tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, (uint32_t)name);
    char digits[TSM_NUMBER_CHARS];
    const size_t size = (size_t)(tsm_print_i64(digits, (int64_t)number) - digits);
    bool told = number == 0 && text.size > 0;
    for (size_t i = 0; i + size <= text.size && !told; i++) {
        told = memcmp(text.data + i, digits, size) == 0;
    }
    tsm_buffer_folded(buffer, text.size > 0 ? text : (tsm_text){ what, strlen(what) });
    if (!told) {
        tsm_buffer_say(buffer, " ");
        tsm_buffer_put(buffer, digits, size);
    }
}

void
tsm_buffer_flame(tsm_buffer *buffer, const tsm_tables *tables, const tsm_flame_node *node)
{
    const uint64_t *row;
    tsm_text name;
    switch (node->kind) {
    case TSM_FLAME_PROCESS:
        row = tsm_tables_borrow_row(tables, TSM_TABLE_PROCESSES, node->row);
        put_numbered(buffer, tables, "process", row[TSM_PROCESS_NAME], row[TSM_PROCESS_PID]);
        break;
    case TSM_FLAME_THREAD:
        row = tsm_tables_borrow_row(tables, TSM_TABLE_THREADS, node->row);
        put_numbered(buffer, tables, "thread", row[TSM_THREAD_NAME], row[TSM_THREAD_TID]);
        break;
    case TSM_FLAME_FRAME:
        tsm_buffer_frame(buffer, tables, node->row);
        break;
    case TSM_FLAME_NAME:
        name = tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, node->row);
        tsm_buffer_folded(buffer, name.size > 0 ? name : (tsm_text){ "(no name)", 9 });
        break;
    default:
        tsm_buffer_say(buffer, "(no launch in the trace)");
    }
}
