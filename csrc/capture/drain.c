#include "capture/drain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "base/host.h"
#include "capture/spools.h"
#include "capture/translate.h"

#define OPEN_CHUNKS_NS 250000000u
#define CLOCK_POINT_NS 1000000000u
#define QUIET_MS       1000
#define TILE           128  /* events on their way from slots to the columns of the writer */
#define LAST_PASSES    1000 /* a program that scribbles on its spool could feed us for ever */

typedef struct {
    drained_spool *spool;
    uint32_t chunk;
} claimed_chunk;

struct tsm_drain {
    tsm_run *run;
    tsm_sbt_writer *writer;
    tsm_clock_map *clock; /* NULL where spools carry nanoseconds */
    uint32_t host;
    drained_spool **spools;
    size_t spool_count, spool_capacity;
    /* The block being filled, and the chunks that can be given back once it is written. */
    size_t event_count; /* given to the writer */
    uint64_t progress;  /* slots and whole chunks taken, ever */
    tsm_extension *extensions;
    uint32_t *extension_rows;
    size_t extension_count, extension_capacity, row_capacity;
    claimed_chunk *done;
    size_t done_count, done_capacity;
    drained_thread **touched; /* threads with events in the block */
    size_t touched_count, touched_capacity;
    tsm_sbt_position *positions;
    size_t position_capacity;
    uint64_t last_open_ns, last_clock_ns;
    tsm_status output_status;
    tsm_error output_error;
    uint64_t begin_ns, end_ns;
    tsm_session_stats last;
};

tsm_status
tsm_drain_create(tsm_run *run, tsm_sbt_writer *writer, tsm_drain **out, tsm_error *err)
{
    tsm_host here;
    tsm_clock_point first, latest;
    tsm_drain *drain = calloc(1, sizeof *drain);
    if (drain == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for the drain");
    }
    drain->run = run;
    drain->writer = writer;
    tsm_status status = TSM_OK;
    if (tsm_run_uses_ticks(run)) {
        tsm_run_clock_points(run, &first, &latest);
        status = tsm_clock_map_create(&first, &latest, &drain->clock);
    }
    tsm_host_describe(&here);
    tsm_tables *tables = tsm_sbt_writer_tables(writer);
    uint32_t name;
    if (status == TSM_OK) {
        status = tsm_tables_intern_text(tables, TSM_TABLE_STRINGS, here.name, strlen(here.name), &name);
    }
    if (status == TSM_OK) {
        status = tsm_tables_intern(tables, TSM_TABLE_HOSTS, (uint64_t[]){ name, here.boot_high, here.boot_low },
                                   &drain->host);
    }
    if (status != TSM_OK) {
        tsm_drain_destroy(drain);
        return tsm_fail(err, status, 0, "cannot begin to drain: %s", tsm_status_text(status));
    }
    drain->begin_ns = tsm_clock_ns();
    *out = drain;
    return TSM_OK;
}

void
tsm_drain_destroy(tsm_drain *drain)
{
    if (drain == NULL) {
        return;
    }
    for (size_t i = 0; i < drain->spool_count; i++) {
        drained_spool_destroy(drain->spools[i]);
    }
    tsm_clock_map_destroy(drain->clock);
    free(drain->spools);
    free(drain->extensions);
    free(drain->extension_rows);
    free(drain->done);
    free(drain->touched);
    free(drain->positions);
    free(drain);
}

/* ---- The block ----------------------------------------------------------------------------- */

static void
note_output(tsm_drain *drain, tsm_status status, const tsm_error *err)
{
    if (status != TSM_OK && drain->output_status == TSM_OK) {
        drain->output_status = status;
        drain->output_error = *err;
    }
}

static void
add_drop(tsm_drain *drain, const drained_thread *thread, uint64_t begin, uint64_t end, uint64_t count, uint64_t reason)
{
    uint32_t row;
    uint64_t values[] = { thread->row, begin, end, count, reason };
    tsm_error err = { 0 };
    note_output(drain, tsm_tables_add(tsm_sbt_writer_tables(drain->writer), TSM_TABLE_DROPS, values, &row), &err);
}

/* What the block could not take is lost, and counted per thread. */
static void
settle_block(tsm_drain *drain, bool written)
{
    for (size_t i = 0; i < drain->touched_count; i++) {
        drained_thread *thread = drain->touched[i];
        if (!written && thread->in_block > 0) {
            thread->position.delivered -= thread->in_block;
            thread->position.lost += thread->in_block;
            thread->lost_output += thread->in_block;
            add_drop(drain, thread, thread->block_ns, thread->last_ns, thread->in_block, TSM_DROPPED_OUTPUT);
        }
        thread->in_block = 0;
        thread->touched = false;
    }
    drain->touched_count = 0;
    drain->event_count = drain->extension_count = 0;
}

static void
give_back(tsm_drain *drain)
{
    for (size_t i = 0; i < drain->done_count; i++) {
        tsm_spool_release(drain->done[i].spool->spool, drain->done[i].chunk);
    }
    if (drain->done_count > 0) {
        tsm_run_announce_space(drain->run);
    }
    drain->done_count = 0;
}

static void
write_block(tsm_drain *drain)
{
    tsm_error err = { 0 };
    if (drain->event_count == 0 && drain->touched_count == 0) {
        give_back(drain);
        return;
    }
    tsm_status status = TSM_E_NOMEM;
    bool room = tsm_array_reserve(&drain->positions, &drain->position_capacity, drain->touched_count);
    for (size_t i = 0; i < drain->touched_count; i++) {
        drained_thread *thread = drain->touched[i];
        thread->position.delivered += thread->in_block;
        if (room) {
            drain->positions[i] = thread->position;
        }
    }
    if (room) {
        status = tsm_sbt_writer_end_block(drain->writer, drain->extensions, drain->extension_rows,
                                          drain->extension_count, drain->positions, drain->touched_count, &err);
    }
    if (status != TSM_OK) {
        tsm_sbt_writer_discard(drain->writer);
    }
    note_output(drain, status, &err);
    settle_block(drain, status == TSM_OK);
    give_back(drain);
    tsm_run_beat(drain->run);
}

static bool
touch(tsm_drain *drain, drained_thread *thread)
{
    if (!thread->touched) {
        if (!tsm_array_reserve(&drain->touched, &drain->touched_capacity, drain->touched_count + 1)) {
            return false;
        }
        thread->touched = true;
        drain->touched[drain->touched_count++] = thread;
    }
    return true;
}

/* ---- From slots to events ------------------------------------------------------------------- */

static bool
add_extension(tsm_drain *drain, const drained_spool *from, const tsm_event *slot)
{
    if (!tsm_array_reserve(&drain->extensions, &drain->extension_capacity, drain->extension_count + 1)
        || !tsm_array_reserve(&drain->extension_rows, &drain->row_capacity, drain->extension_count + 1)) {
        return false;
    }
    tsm_extension *to = &drain->extensions[drain->extension_count];
    memcpy(to, slot, sizeof *to);
    to->count = to->count > TSM_EXTENSION_VALUES ? TSM_EXTENSION_VALUES : to->count;
    tsm_remap_extensions(from->remap, tsm_sbt_writer_tables(drain->writer), to, 1);
    drain->extension_rows[drain->extension_count++] = (uint32_t)drain->event_count - 1;
    return true;
}

/* A slot that is no event: an extension of the one before, or nonsense. */
static void
take_other(tsm_drain *drain, drained_spool *from, drained_thread *thread, const tsm_event *slot, bool has_event)
{
    tsm_event copy = *slot;
    thread->position.slots++;
    drain->progress++;
    if (copy.type != TSM_SLOT_EXTENSION || !has_event || !add_extension(drain, from, &copy)) {
        thread->damaged_slots++;
    }
}

/* Copies the slots [at, committed) of a chunk into blocks. A block ends only before an event, so
 * an event and its extensions are never parted. */
static void
copy_slots(tsm_drain *drain, drained_spool *from, drained_thread *thread, const tsm_spool_chunk *chunk, uint32_t at)
{
    tsm_translator translator;
    tsm_event tile[TILE];
    bool has_event = false; /* an extension has something to belong to */
    tsm_translator_begin(&translator, from->remap, drain->clock);
    while (at < chunk->committed) {
        size_t room = TSM_SBT_BLOCK_EVENTS - drain->event_count, left = chunk->committed - at;
        if (!TSM_SLOT_IS_EVENT(chunk->slots[at].type)) {
            take_other(drain, from, thread, &chunk->slots[at++], has_event);
            continue;
        }
        if (room == 0) {
            write_block(drain);
            continue;
        }
        const tsm_event *slots = &chunk->slots[at];
        size_t some = left < room ? left : room;
        some = some < TILE ? some : TILE;
        size_t taken = tsm_translate(&translator, slots, some, tile);
        if (taken == 0 || !touch(drain, thread)) { /* it changed under our eyes, or no memory */
            take_other(drain, from, thread, &chunk->slots[at++], false);
            continue;
        }
        tsm_sbt_writer_fill(drain->writer, tile, taken, left >= 2 * TILE ? slots + TILE : tile);
        if (thread->in_block == 0) {
            thread->block_ns = tile[0].timestamp;
        }
        drain->event_count += taken;
        thread->in_block += taken;
        thread->position.slots += taken;
        drain->progress += taken;
        thread->last_ns = tile[taken - 1].timestamp;
        at += (uint32_t)taken;
        has_event = true;
    }
}

/* Events of this thread that drop-oldest gave up are the hole between what we have and what the
 * chunk says came before it. */
static void
count_overwritten(tsm_drain *drain, drained_thread *thread, uint64_t first_event, uint64_t first_slot)
{
    uint64_t known = drained_thread_events(thread);
    if (first_slot <= thread->position.slots) {
        return;
    }
    thread->position.slots = first_slot;
    if (first_event > known && touch(drain, thread)) {
        thread->position.overwritten += first_event - known;
        add_drop(drain, thread, thread->last_ns, thread->last_ns, first_event - known, TSM_DROPPED_OVERWRITTEN);
    }
}

static void
take_chunk(tsm_drain *drain, drained_spool *from, const tsm_spool_chunk *chunk)
{
    drained_thread *thread = drained_spool_thread(from, tsm_sbt_writer_tables(drain->writer), chunk->serial);
    if (thread == NULL) { /* a header that the program has overwritten */
        from->damaged += chunk->committed;
        tsm_spool_release(from->spool, chunk->index);
        tsm_spool_unclaim(from->spool, chunk->index);
        return;
    }
    count_overwritten(drain, thread, chunk->first_event, chunk->first_slot);
    uint64_t before = thread->position.slots - chunk->first_slot;
    if (chunk->first_slot <= thread->position.slots && before < chunk->committed) {
        copy_slots(drain, from, thread, chunk, (uint32_t)before);
    }
    /* An open chunk is let go at once: if drop-oldest takes it, what we copied is delivered and the
     * rest shows as a hole. A sealed one stays ours until the block is written. */
    if (!chunk->sealed || !tsm_array_reserve(&drain->done, &drain->done_capacity, drain->done_count + 1)) {
        tsm_spool_unclaim(from->spool, chunk->index);
        return;
    }
    drain->done[drain->done_count++] = (claimed_chunk){ from, chunk->index };
    drain->progress++;
}

static bool
take_spool(tsm_drain *drain, drained_spool *from, bool open_too)
{
    const tsm_spool_chunk *chunks;
    /* Claim first, define second: every id in a slot was defined before the slot was committed. */
    size_t count = tsm_spool_claim(from->spool, open_too, &chunks);
    drained_spool_define(from, tsm_sbt_writer_tables(drain->writer));
    uint64_t before = drain->progress;
    for (size_t i = 0; i < count; i++) {
        take_chunk(drain, from, &chunks[i]);
    }
    return drain->progress != before;
}

/* ---- What comes round ------------------------------------------------------------------------ */

static drained_spool *
find_spool(tsm_drain *drain, const char *name)
{
    for (size_t i = 0; i < drain->spool_count; i++) {
        if (strcmp(tsm_spool_name(drain->spools[i]->spool), name) == 0) {
            return drain->spools[i];
        }
    }
    return NULL;
}

static void
on_spool(void *context, tsm_spool *spool, const char *name, const tsm_error *why_not)
{
    tsm_drain *drain = context;
    drained_spool *added = NULL;
    (void)name;
    if (spool == NULL) {
        note_output(drain, TSM_E_CORRUPT, why_not);
        return;
    }
    if (!tsm_array_reserve(&drain->spools, &drain->spool_capacity, drain->spool_count + 1)
        || (added = drained_spool_create(spool)) == NULL) {
        tsm_spool_close(spool);
        return;
    }
    tsm_spool_reset_claims(spool);
    drain->spools[drain->spool_count++] = added;
}

/* A child's ids begin with its parent's, so the parent's definitions must be known first. */
static void
settle_ancestry(tsm_drain *drain, drained_spool *child, int depth)
{
    if (child->settled || depth > 64) {
        return;
    }
    drained_spool *parent = find_spool(drain, tsm_spool_parent(child->spool));
    tsm_tables *tables = tsm_sbt_writer_tables(drain->writer);
    if (parent != NULL) {
        settle_ancestry(drain, parent, depth + 1);
        drained_spool_define(parent, tables);
    }
    drained_spool_settle(child, parent, drain->writer);
}

static void
find_spools(tsm_drain *drain)
{
    size_t before = drain->spool_count;
    tsm_error err = { 0 };
    note_output(drain, tsm_run_scan(drain->run, on_spool, drain, &err), &err);
    for (size_t i = before; i < drain->spool_count; i++) {
        settle_ancestry(drain, drain->spools[i], 0);
    }
}

static void
note_refusals(tsm_drain *drain, drained_spool *from, uint64_t since, uint64_t now)
{
    for (size_t i = 0; i < tsm_spool_thread_count(from->spool); i++) {
        tsm_spool_thread record;
        tsm_spool_thread_at(from->spool, i, &record);
        drained_thread *thread =
            record.serial == 0 ? NULL : drained_spool_thread(from, tsm_sbt_writer_tables(drain->writer), record.serial);
        if (thread == NULL) {
            continue;
        }
        const uint64_t now_refused[3] = { record.refused_full, record.refused_nested, record.refused_blocked };
        static const uint64_t reasons[3] = { TSM_DROPPED_FULL, TSM_DROPPED_NESTED, TSM_DROPPED_BLOCKED };
        for (int k = 0; k < 3; k++) {
            if (now_refused[k] > thread->refused[k]) {
                add_drop(drain, thread, since, now, now_refused[k] - thread->refused[k], reasons[k]);
                thread->refused[k] = now_refused[k];
            }
        }
        if (record.ended && thread->in_block == 0 && drained_thread_events(thread) >= record.next_event) {
            tsm_spool_thread_release(from->spool, i);
        }
    }
}

static void
take_clock_point(tsm_drain *drain, uint64_t now)
{
    tsm_clock_point point;
    uint32_t row;
    tsm_error err = { 0 };
    if (now - drain->last_clock_ns < CLOCK_POINT_NS) {
        return;
    }
    drain->last_clock_ns = now;
    tsm_clock_take_point(&point);
    tsm_run_publish_clock(drain->run, &point);
    tsm_status status = drain->clock == NULL ? TSM_OK : tsm_clock_map_add(drain->clock, &point);
    if (status == TSM_OK) {
        uint64_t values[] = { drain->host, point.ticks, point.monotonic_ns, point.raw_ns, point.realtime_ns };
        status = tsm_tables_add(tsm_sbt_writer_tables(drain->writer), TSM_TABLE_CLOCKS, values, &row);
    }
    note_output(drain, status, &err);
}

bool
tsm_drain_tick(tsm_drain *drain, bool flush)
{
    uint64_t now = tsm_clock_ns(), since = drain->last_open_ns;
    bool round = flush || now - since >= OPEN_CHUNKS_NS;
    bool moved = false;
    tsm_run_beat(drain->run);
    if (round) {
        take_clock_point(drain, now);
    }
    find_spools(drain);
    for (size_t i = 0; i < drain->spool_count; i++) {
        moved |= take_spool(drain, drain->spools[i], round);
        if (round) {
            note_refusals(drain, drain->spools[i], since == 0 ? drain->begin_ns : since, now);
        }
    }
    /* A block waits for more until it is old, and its chunks with it, unless they are missed. */
    uint64_t held = drain->done_count * 65536;
    if (round || held > tsm_run_buffer_bytes(drain->run) / 4 || tsm_run_wants_space(drain->run)) {
        write_block(drain);
    }
    if (round) {
        drain->last_open_ns = now;
    }
    return moved;
}

/* Every thread of every live process has seen the stop and is out of its last emit. */
static void
wait_until_quiet(tsm_drain *drain)
{
    syscall(SYS_membarrier, 1 /* MEMBARRIER_CMD_GLOBAL */, 0, 0);
    for (size_t i = 0; i < drain->spool_count; i++) {
        tsm_spool *spool = drain->spools[i]->spool;
        for (size_t k = 0; k < tsm_spool_thread_count(spool); k++) {
            tsm_spool_thread thread;
            tsm_spool_thread_at(spool, k, &thread);
            for (int ms = 0; thread.busy && ms < QUIET_MS && tsm_spool_alive(spool); ms++) {
                usleep(1000);
                tsm_spool_thread_at(spool, k, &thread);
            }
        }
    }
}

/* A chunk that was being reused when its thread died is in no chunk any more; the thread's own
 * total still knows of its events. */
static void
settle_counts(tsm_drain *drain, drained_spool *from)
{
    for (size_t i = 0; i < tsm_spool_thread_count(from->spool); i++) {
        tsm_spool_thread record;
        tsm_spool_thread_at(from->spool, i, &record);
        drained_thread *thread =
            record.serial == 0 ? NULL : drained_spool_thread(from, tsm_sbt_writer_tables(drain->writer), record.serial);
        if (thread != NULL) {
            count_overwritten(drain, thread, record.next_event, record.next_slot);
        }
    }
}

static void
set_count(tsm_drain *drain, const char *key, uint64_t value)
{
    char text[24];
    tsm_error err = { 0 };
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    note_output(drain, tsm_tables_set_info(tsm_sbt_writer_tables(drain->writer), key, text), &err);
}

void
tsm_drain_finish(tsm_drain *drain)
{
    tsm_session_stats *stats = &drain->last;
    find_spools(drain);
    wait_until_quiet(drain);
    drain->last_clock_ns = 0;
    for (int i = 0; i < LAST_PASSES && tsm_drain_tick(drain, true); i++) {
    }
    for (size_t i = 0; i < drain->spool_count; i++) {
        settle_counts(drain, drain->spools[i]);
    }
    write_block(drain);
    drain->end_ns = tsm_clock_ns();
    tsm_drain_stats(drain, stats);
    set_count(drain, "emitted", stats->emitted);
    set_count(drain, "delivered", stats->delivered);
    set_count(drain, "dropped", stats->dropped);
    set_count(drain, "names_refused", stats->names_refused);
    set_count(drain, "clock_jumps", stats->clock_jumps);
    set_count(drain, "fell_back", stats->fell_back);
    set_count(drain, "end_ns", drain->end_ns);
}

void
tsm_drain_stats(const tsm_drain *drain, tsm_session_stats *stats)
{
    *stats = (tsm_session_stats){
        .begin_ns = drain->begin_ns,
        .end_ns = drain->end_ns,
        .processes = (uint32_t)drain->spool_count,
        .file_bytes = tsm_sbt_writer_bytes(drain->writer),
        .clock_jumps = drain->clock == NULL ? 0 : (uint32_t)tsm_clock_map_jumps(drain->clock),
        .fell_back = tsm_run_fell_back(drain->run),
    };
    for (size_t i = 0; i < drain->spool_count; i++) {
        drained_spool_add_stats(drain->spools[i], stats);
    }
    stats->dropped = stats->refused_full + stats->refused_nested + stats->refused_blocked + stats->overwritten
                     + stats->lost_output + stats->damaged;
    stats->emitted = stats->delivered + stats->dropped;
}

void
tsm_drain_last_stats(const tsm_drain *drain, tsm_session_stats *stats)
{
    *stats = drain->last;
}

tsm_status
tsm_drain_output_error(const tsm_drain *drain, tsm_error *err)
{
    if (drain->output_status != TSM_OK && err != NULL) {
        *err = drain->output_error;
    }
    return drain->output_status;
}
