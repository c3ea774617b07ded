/* Chrome and Kineto JSON become events. What is kept where is in docs/events.md; the way there:
 * chrome.c walks the file, chrome_event.c takes one event apart, chrome_map.c says what it is,
 * chrome_args.c keeps its arguments, chrome_tracks.c and chrome_flows.c settle who and whence when
 * chrome_buffer.c, full or at the end, sorts what it holds and hands it to the sink: names and
 * arrows often come after the events that they belong to. Private to ingest/. */
#ifndef TSM_INGEST_CHROME_H
#define TSM_INGEST_CHROME_H

#include "ingest/input.h"
#include "ingest/json.h"

/* ---- Words: argument names and categories, known again at a glance ------------------------ */

typedef struct {
    char *data;
    size_t size;
    uint32_t row;    /* of strings */
    uint32_t schema; /* of a category: the root of chrome:CATEGORY, 0 when not made yet */
    uint32_t report; /* of a category: its row in the report, plus 1 */
    uint32_t next;   /* the word that followed last time */
    uint32_t serial; /* of an argument: the event that had it last, ... */
    uint32_t place;  /* ... and where */
    uint32_t parent; /* of an argument: the schema before it last time, ... */
    uint32_t child;  /* ... and with it, in the type below */
    uint16_t type;
    uint16_t code; /* chrome_argument or chrome_category; 0: nothing special */
} chrome_word;

typedef struct {
    const char *text;
    uint16_t code;
} chrome_known;

typedef struct {
    const chrome_known *known; /* ends with a NULL */
    chrome_word *words;
    size_t count, capacity;
    uint32_t *slots; /* word + 1 */
    uint32_t slot_count, last;
} chrome_words;

/* Arguments that become fields (docs/events.md) come first: the number is their bit in
 * chrome:fields. */
typedef enum {
    ARGUMENT_OTHER,
    ARGUMENT_CORRELATION,
    ARGUMENT_EXTERNAL_ID,
    ARGUMENT_EXTERNAL_ID_2021,
    ARGUMENT_DEVICE,
    ARGUMENT_STREAM,
    ARGUMENT_CONTEXT,
    ARGUMENT_GRID,
    ARGUMENT_BLOCK,
    ARGUMENT_SHARED,
    ARGUMENT_REGISTERS,
    ARGUMENT_BYTES,
    ARGUMENT_BANDWIDTH,
    ARGUMENT_DELTA, /* Bytes of an allocation, with its sign */
    ARGUMENT_ADDRESS,
    ARGUMENT_IN_USE,
    ARGUMENT_WAIT_EVENT,
    ARGUMENT_FIELDS,                     /* how many are above */
    ARGUMENT_CONSTANT = ARGUMENT_FIELDS, /* a number that a kernel's shape determines */
    ARGUMENT_QUEUED,
    ARGUMENT_GRAPH,
    ARGUMENT_DEVICE_ID,
    ARGUMENT_DEVICE_TYPE,
    ARGUMENT_SYNC_KIND,
    ARGUMENT_GROUP_SIZE,
    ARGUMENT_ELEMENTS_IN,
    ARGUMENT_ELEMENTS_OUT,
    ARGUMENT_ELEMENT_TYPE,
    ARGUMENT_SEQUENCE,
    ARGUMENT_NAME, /* of M events */
    ARGUMENT_LIMIT,
} chrome_argument;

typedef enum {
    CATEGORY_OTHER,
    CATEGORY_NONE,
    CATEGORY_OPERATOR,
    CATEGORY_RUNTIME,
    CATEGORY_KERNEL,
    CATEGORY_COPY,
    CATEGORY_SET,
    CATEGORY_RANGE,
    CATEGORY_DEVICE_RANGE,
    CATEGORY_PYTHON,
    CATEGORY_OVERHEAD,
    CATEGORY_SYNC,
    CATEGORY_INSTANT,
    CATEGORY_SPAN, /* the profiler's own */
    CATEGORY_ARROW,
} chrome_category;

/* ---- One event as it is written ----------------------------------------------------------- */

typedef struct {
    uint32_t key; /* word */
    json_value value;
} chrome_arg;

typedef struct {
    chrome_arg *items;
    size_t count, capacity;
} chrome_args;

enum {
    HAS_NAME = 1,
    HAS_CATEGORY = 2,
    HAS_PHASE = 4,
    HAS_PID = 8,
    HAS_TID = 16,
    HAS_TIME = 32,
    HAS_DURATION = 64,
    HAS_ID = 128,
    HAS_BIND = 256,
};

typedef struct {
    unsigned has;
    char phase; /* 0: of several letters, or none */
    json_value name, category, phase_value, pid, tid, time, duration, id, bind;
    chrome_args args, members; /* members: those that have no place above */
} chrome_event;

/* ---- Who: processes, threads, devices, streams -------------------------------------------- */

/* An exact key in four words to a number. */
typedef struct {
    struct chrome_slot {
        uint64_t key[4];
        uint32_t value, used;
    } * slots;
    uint32_t slot_count, count;
} chrome_map;

/* What a pid or tid may be. */
typedef struct {
    int64_t number;
    uint32_t text; /* row of strings; 0: the number is all */
} chrome_id;

typedef struct {
    chrome_id id;
    uint32_t name, row;
} chrome_process;

typedef struct {
    chrome_id tid;
    uint32_t process; /* of importer's */
    uint32_t name, thread_row, stream_row;
    bool has_context;
    uint64_t context;
} chrome_track;

typedef struct {
    uint64_t ordinal;
    uint64_t columns[TSM_COLUMNS_MAX];
    uint32_t row;
} chrome_device;

/* ---- Arrows that wait for their event ----------------------------------------------------- */

typedef struct {
    uint64_t timestamp, id;
    uint32_t track, id_text, category, name, bind;
    char phase;
    bool has_bind; /* the field bp is needed */
} chrome_flow;

/* What a name means, by its row of strings; 0: not looked at. */
typedef struct {
    uint16_t call, kernel, copy, wait; /* an event type, plus 1 */
} chrome_name;

/* A row of metadata that was asked for not long ago. */
typedef struct {
    uint32_t rest, key, value, row;
} chrome_set;

typedef struct {
    tsm_input *input;
    json_cursor json;
    tsm_sink *sink;
    tsm_tables *tables;
    tsm_ingest_report *report;
    tsm_status status; /* the first failure to keep something */
    tsm_error *err;

    chrome_words arguments, categories;
    chrome_event event;
    uint32_t serial;
    char *scratch;
    size_t scratch_capacity;

    chrome_set sets[4096];
    chrome_map map;
    chrome_process *processes;
    chrome_track *tracks;
    chrome_device *devices;
    size_t process_count, process_capacity, track_count, track_capacity, device_count, device_capacity;
    json_text last_pid, last_tid; /* in last_ids */
    char last_ids[64];
    uint32_t last_track;

    chrome_name *names;
    size_t name_capacity;
    struct {
        uint32_t mask, phase, row;
    } bases[64];
    uint32_t base_count;

    /* Events hold tracks until they are flushed: track + 1 in thread or stream, and the ordinal
     * + 1 in device. */
    tsm_event *events;
    uint32_t *event_tracks;
    tsm_extension *extensions;
    uint32_t *extension_rows;
    size_t event_count, event_capacity, track_slots, extension_count, extension_capacity, row_capacity;
    chrome_flow *flows;
    size_t flow_count, flow_capacity;
    uint32_t arrow_category, arrow_name;
    bool arrow_known;

    char *metadata; /* the M events, compact, with commas */
    size_t metadata_size, metadata_capacity;
    bool is_torch, has_base;
    uint64_t earliest;  /* timestamp */
    bool more, in_list; /* what the unit read last leads to */
} chrome_importer;

/* chrome_words.c. The word for these bytes, added if it is new; UINT32_MAX on failure. */
uint32_t chrome_words_find(chrome_importer *im, chrome_words *words, const char *data, size_t size);
/* The word that followed the last one before, if it stands at at with a quote behind it; else
 * UINT32_MAX. */
uint32_t chrome_words_guess(chrome_words *words, const char *at, const char *end);
void chrome_words_trim(chrome_words *words); /* between events: too many are forgotten */
void chrome_words_free(chrome_words *words);
extern const chrome_known chrome_known_arguments[], chrome_known_categories[];
const char *chrome_argument_text(unsigned code);

/* chrome_text.c: texts to rows. 0 on failure, and then im->status says so. */
bool chrome_scratch(chrome_importer *im, size_t bytes);
uint32_t chrome_string(chrome_importer *im, const char *data, size_t size);
/* A string's content; of anything else its text. */
uint32_t chrome_plain(chrome_importer *im, const json_value *value);
/* By the rule of docs/events.md. */
uint32_t chrome_metadata_value(chrome_importer *im, const json_value *value);
uint32_t chrome_metadata(chrome_importer *im, uint32_t rest, uint32_t key, uint32_t value);
/* With "chrome:" before it. */
uint32_t chrome_prefixed(chrome_importer *im, const char *data, size_t size);
uint32_t chrome_schema_field(chrome_importer *im, uint32_t parent, uint32_t field, unsigned type);
void chrome_info(chrome_importer *im, const char *key, size_t key_size, const char *value, size_t value_size);
void chrome_note(chrome_importer *im, tsm_status status); /* remembers the first failure */

/* chrome_event.c. False: im->json.why. */
bool chrome_event_read(chrome_importer *im, chrome_event *event);

/* chrome_map.c. Everything about one event; begin and end are its text. */
void chrome_event_keep(chrome_importer *im, const chrome_event *event, const char *begin, const char *end);
void chrome_count(chrome_importer *im, uint32_t category, const char *reason);

/* chrome_names.c */
uint16_t chrome_call_type(chrome_importer *im, uint32_t name);
uint16_t chrome_kernel_type(chrome_importer *im, uint32_t name);
uint16_t chrome_copy_type(chrome_importer *im, uint32_t name);
uint16_t chrome_wait_type(chrome_importer *im, uint32_t name);

/* chrome_args.c. Sets the event's fields that come from arguments, and its extensions and extra. */
void chrome_args_keep(chrome_importer *im, const chrome_event *event, uint32_t category, uint32_t track,
                      tsm_event *made);
uint32_t chrome_schema_of(chrome_importer *im, uint32_t category); /* the root of chrome:CATEGORY */

/* chrome_tracks.c */
bool chrome_track_of(chrome_importer *im, const chrome_event *event, uint32_t *track);
void chrome_track_name(chrome_importer *im, const chrome_event *event);
void chrome_devices_read(chrome_importer *im, const json_text *list);
uint32_t chrome_thread_row(chrome_importer *im, uint32_t track);
/* process: row of processes, for a stream that has no row yet. */
uint32_t chrome_stream_row(chrome_importer *im, uint32_t track, uint32_t process);
uint32_t chrome_device_row(chrome_importer *im, uint64_t ordinal);

/* chrome_flows.c */
void chrome_flow_keep(chrome_importer *im, const chrome_event *event, uint32_t category, uint32_t track,
                      uint64_t timestamp);
void chrome_flows_bind(chrome_importer *im); /* those that waited */
void chrome_keep_arrow(chrome_importer *im); /* what the flags stand for */

/* chrome_buffer.c */
void chrome_add_event(chrome_importer *im, const tsm_event *event, uint32_t track);
void chrome_add_extension(chrome_importer *im, const tsm_extension *extension, uint32_t row);
bool chrome_buffer_full(const chrome_importer *im);
void chrome_flush(chrome_importer *im);

/* chrome.c */
tsm_status tsm_ingest_chrome(tsm_input *input, tsm_sink *sink, tsm_ingest_report *report, tsm_error *err);

#endif
