/* How the dependencies are gathered: one pass over what the host did, in order of time, and
 * passes of their own over streams, collectives and copies. Private to timeline/. */
#ifndef TSM_TIMELINE_DEPEND_H
#define TSM_TIMELINE_DEPEND_H

#include "timeline/parts.h"

typedef struct {
    const tsm_timeline *timeline;
    tsm_tables *tables;
    tsm_dependency *edges;
    size_t count, capacity;
    tsm_dependency_facts facts;
} tsm_depend;

TSM_NODISCARD tsm_status tsm_depend_add(tsm_depend *depend, tsm_dependency_kind kind, uint32_t from, uint32_t to,
                                        uint32_t via, tsm_provenance provenance);

/* A row of strings for tsm_depend_value; 0: no schema can have such a field. */
uint32_t tsm_depend_field(tsm_depend *depend, const char *name);
/* What an event's extension records say under this field; 0 when they do not. */
uint64_t tsm_depend_value(const tsm_depend *depend, uint32_t event, uint32_t field);

/* What the device itself noted of waits, to be found by process and the correlation of the call:
 * which host events often do not tell. */
typedef enum {
    TSM_NOTE_WAIT = 1,   /* a span on a stream: the device's record of that call's wait */
    TSM_NOTE_RECORD = 2, /* a track of a stream: where that call recorded what a stream waits for */
} tsm_depend_note_kind;

typedef struct {
    uint64_t correlation;
    uint32_t process, value;
    uint32_t kind; /* 0: free */
} tsm_depend_entry;

typedef struct {
    tsm_depend_entry *entries;
    size_t mask;
    uint32_t call_field, stream_field; /* of extension records: what a wait waits for */
} tsm_depend_notes;

TSM_NODISCARD tsm_status tsm_depend_notes_make(tsm_depend *depend, tsm_depend_notes *notes);
void tsm_depend_notes_free(tsm_depend_notes *notes);
/* TSM_SPAN_NONE: nothing was noted. */
uint32_t tsm_depend_note(const tsm_depend_notes *notes, tsm_depend_note_kind kind, uint32_t process,
                         uint64_t correlation);
/* The correlation of the record that the device's record of a wait names; 0: it names none. */
uint64_t tsm_depend_waited_call(const tsm_depend *depend, const tsm_depend_notes *notes, uint32_t span);

/* Each adds the edges of its kinds. */
TSM_NODISCARD tsm_status tsm_depend_streams(tsm_depend *depend);
TSM_NODISCARD tsm_status tsm_depend_host(tsm_depend *depend);
TSM_NODISCARD tsm_status tsm_depend_extensions(tsm_depend *depend);

#endif
