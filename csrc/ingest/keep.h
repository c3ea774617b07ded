/* What importers of tables and records share: strings, metadata and schemas by one call each, the
 * report's rows, a map of keys to rows, and a buffer in which events wait to be sorted and joined
 * with the calls that launched them. Private to ingest/. */
#ifndef TSM_INGEST_KEEP_H
#define TSM_INGEST_KEEP_H

#include "ingest/ingest.h"

/* An exact key of four words to a number. All zeros is empty. */
typedef struct {
    struct ingest_slot {
        uint64_t key[4];
        uint32_t value, used;
    } * slots;
    uint32_t slot_count, count;
} ingest_keys;

/* The value of key, 0 when it was not there and is added; NULL: no memory. Valid until the next. */
uint32_t *ingest_keys_at(ingest_keys *keys, const uint64_t key[4]);
/* The same, but adds nothing: 0 when it is not there. */
uint32_t ingest_keys_find(const ingest_keys *keys, const uint64_t key[4]);

/* Calls by process and correlation. */
typedef struct {
    struct ingest_call {
        uint64_t correlation;
        uint32_t process, thread; /* rows; thread 0: the slot is free */
        uint16_t type;
    } * slots;
    size_t slot_count, count;
} ingest_calls;

typedef struct {
    tsm_sink *sink;
    tsm_tables *tables;
    tsm_ingest_report *report;
    tsm_error *err;
    tsm_status status; /* the first failure; whatever comes after it is lost */

    tsm_event *events;
    size_t event_count, event_capacity;
    tsm_extension *extensions;
    uint32_t *extension_rows;
    size_t extension_count, extension_capacity, row_capacity;
    ingest_calls calls, calls_before; /* of what waits here, and of what was flushed last */
} ingest_buffer;

/* keep.c. What makes rows gives 0 on failure, and then the buffer's status says so. */
void ingest_note(ingest_buffer *b, tsm_status status);
uint32_t ingest_string(ingest_buffer *b, const char *data, size_t size);
uint32_t ingest_word(ingest_buffer *b, const char *text);
uint32_t ingest_row(ingest_buffer *b, unsigned table, const uint64_t *values);
void ingest_info(ingest_buffer *b, const char *key, const char *value, size_t size);
/* The set rest with one more: value a row of strings, or a number. */
uint32_t ingest_metadata(ingest_buffer *b, uint32_t rest, const char *key, uint32_t value);
uint32_t ingest_metadata_number(ingest_buffer *b, uint32_t rest, const char *key, int64_t value);
/* The schema of these fields, all of one type. */
uint32_t ingest_schema(ingest_buffer *b, const char *name, const char *const *fields, size_t count, unsigned type);
/* reason: static text, NULL for what became events. category is copied. */
void ingest_count(tsm_ingest_report *report, const char *category, const char *reason, uint64_t count);

/* buffer.c */
void ingest_buffer_add(ingest_buffer *b, const tsm_event *event);
void ingest_buffer_extend(ingest_buffer *b, const tsm_extension *extension); /* of the event added last */
/* The type of the call of this process and correlation, if it was added; else TSM_EVENT_UNKNOWN. */
uint16_t ingest_buffer_call(const ingest_buffer *b, uint64_t correlation, uint32_t process);
bool ingest_buffer_full(const ingest_buffer *b);
/* Work gets its call's thread; then all goes to the sink in order of time. */
void ingest_buffer_flush(ingest_buffer *b);
/* The same, and the rows of tables that no event brought along. */
void ingest_buffer_finish(ingest_buffer *b);
void ingest_buffer_free(ingest_buffer *b);

#endif
