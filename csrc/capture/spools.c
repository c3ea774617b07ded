#include "capture/spools.h"

#include <stdlib.h>

#include "base/array.h"

#define SERIALS_MAX     (1u << 22) /* more threads than that is a scribbled counter */
#define UNKNOWN_IDS_MAX (1u << 22) /* so are more inherited ids than that without their parent */

drained_spool *
drained_spool_create(tsm_spool *spool)
{
    drained_spool *self = calloc(1, sizeof *self);
    if (self == NULL || tsm_remap_create(&self->remap) != TSM_OK) {
        free(self);
        return NULL;
    }
    self->spool = spool;
    return self;
}

void
drained_spool_destroy(drained_spool *self)
{
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->thread_count; i++) {
        free(self->threads[i]);
    }
    free(self->threads);
    tsm_remap_destroy(self->remap);
    tsm_spool_close(self->spool);
    free(self);
}

void
drained_spool_settle(drained_spool *self, const drained_spool *parent, tsm_sbt_writer *writer)
{
    self->settled = true;
    self->old_positions = tsm_sbt_writer_positions(writer, &self->old_position_count);
    for (unsigned table = 1; table < TSM_TABLE_LIMIT; table++) {
        uint32_t known = parent == NULL ? 1 : tsm_remap_count(parent->remap, table);
        uint32_t inherited = tsm_spool_inherited(self->spool, table);
        if (inherited > known + UNKNOWN_IDS_MAX) {
            inherited = known;
        }
        const tsm_remap *from = parent == NULL ? self->remap : parent->remap;
        if (tsm_remap_inherit(self->remap, table, from, inherited) != TSM_OK) {
            self->damaged++;
        }
    }
}

void
drained_spool_define(drained_spool *self, tsm_tables *tables)
{
    tsm_definition definition;
    bool damaged;
    while (self->settled && tsm_spool_next_definition(self->spool, &definition, &damaged)) {
        tsm_status status =
            definition.values == NULL
                ? tsm_remap_text(self->remap, tables, definition.table, definition.data, definition.size)
                : tsm_remap_row(self->remap, tables, definition.table, definition.values);
        if (status != TSM_OK && tsm_remap_append(self->remap, definition.table, 0) != TSM_OK) {
            return; /* no memory at all: later ids are unknown, and shown as none */
        }
    }
}

/* The record tells which row of threads a serial is. */
static bool
find_record(const drained_spool *self, uint64_t serial, tsm_spool_thread *out)
{
    for (size_t i = 0; i < tsm_spool_thread_count(self->spool); i++) {
        tsm_spool_thread_at(self->spool, i, out);
        if (out->serial == serial) {
            return true;
        }
    }
    return false;
}

static drained_thread *
add_thread(drained_spool *self, tsm_tables *tables, uint64_t serial)
{
    tsm_spool_thread record;
    if (!find_record(self, serial, &record)
        || !tsm_array_reserve(&self->threads, &self->thread_capacity, (size_t)serial)) {
        return NULL;
    }
    while (self->thread_count < serial) {
        self->threads[self->thread_count++] = NULL;
    }
    drained_spool_define(self, tables);
    drained_thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL) {
        return NULL;
    }
    thread->row = tsm_remap_id(self->remap, TSM_TABLE_THREADS, record.thread);
    uint64_t row[] = { tsm_spool_id(self->spool), serial, thread->row };
    if (tsm_tables_intern(tables, TSM_TABLE_PRODUCERS, row, &thread->position.producer) != TSM_OK) {
        free(thread);
        return NULL;
    }
    for (size_t i = 0; i < self->old_position_count; i++) {
        if (self->old_positions[i].producer == thread->position.producer) {
            thread->position = self->old_positions[i];
        }
    }
    self->threads[serial - 1] = thread;
    return thread;
}

drained_thread *
drained_spool_thread(drained_spool *self, tsm_tables *tables, uint64_t serial)
{
    if (serial == 0 || serial > SERIALS_MAX) {
        return NULL;
    }
    if (serial <= self->thread_count && self->threads[serial - 1] != NULL) {
        return self->threads[serial - 1];
    }
    return add_thread(self, tables, serial);
}

void
drained_spool_add_stats(const drained_spool *self, tsm_session_stats *stats)
{
    for (size_t i = 0; i < self->thread_count; i++) {
        const drained_thread *thread = self->threads[i];
        if (thread != NULL) {
            stats->threads++;
            stats->delivered += thread->position.delivered;
            stats->overwritten += thread->position.overwritten;
            stats->lost_output += thread->position.lost;
            stats->refused_full += thread->refused[0];
            stats->refused_nested += thread->refused[1];
            stats->refused_blocked += thread->refused[2];
            stats->damaged += thread->damaged_slots;
        }
    }
    stats->damaged += self->damaged;
    stats->refused_full += tsm_spool_refused_elsewhere(self->spool);
    stats->names_refused += tsm_spool_names_refused(self->spool);
}
