/* rocprofv3's JSON becomes events. rocprof.c walks the file, rocprof_record.c takes a record apart,
 * rocprof_names.c keeps what the other sections tell, rocprof_settle.c makes events when agents,
 * names and symbols are known: they may come after the records, which wait until then, each in a
 * fifth of what it took as text. Private to ingest/. */
#ifndef TSM_INGEST_ROCPROF_H
#define TSM_INGEST_ROCPROF_H

#include "ingest/input.h"
#include "ingest/json.h"
#include "ingest/keep.h"

/* The lists of records that become events: first what devices do, then what threads do. */
typedef enum {
    ROCPROF_KERNEL,
    ROCPROF_COPY,
    ROCPROF_ALLOCATION,
    ROCPROF_SCRATCH,
    ROCPROF_MARKER,
    ROCPROF_CALL,
    ROCPROF_OTHER,
} rocprof_section;

typedef struct {
    rocprof_section section;
    const char *list; /* the list's name: static text */
    unsigned has;     /* ROCPROF_HAS bits */
    int64_t begin, end;
    uint64_t thread, correlation, kind, operation, agent, queue, stream;
    union {
        struct {
            uint64_t kernel, private_bytes, group_bytes;
            uint32_t grid[3], workgroup[3]; /* both in work-items */
        };
        struct {
            uint64_t source, destination, bytes, address;
        };
    };
} rocprof_record;

enum { ROCPROF_HAS_BEGIN = 1, ROCPROF_HAS_END = 2, ROCPROF_HAS_WRONG = 4 };

/* A text by number, in the importer's bytes until an event uses it. */
typedef struct {
    uint64_t offset;
    uint32_t size, row;
} rocprof_name;

enum {
    ROCPROF_KEY_KERNEL = 1,
    ROCPROF_KEY_OPERATION,
    ROCPROF_KEY_KIND,
    ROCPROF_KEY_MARKER,
    ROCPROF_KEY_GPU, /* agent → row of devices */
    ROCPROF_KEY_STREAM,
    ROCPROF_KEY_THREAD,
};

#define ROCPROF_HELD 65536 /* records settled at once when nothing is missing */

typedef struct {
    tsm_input *input;
    json_cursor json;
    ingest_buffer buffer;
    bool more; /* what the unit read last leads to */
    char key[64];
    rocprof_section section;
    const char *list;
    uint64_t skipped;

    /* Of the process at hand. */
    bool has_agents, has_symbols, has_strings;
    uint64_t process_id;
    uint32_t process, host;
    ingest_keys keys;
    rocprof_name *names;
    size_t name_count, name_capacity;
    char *text;
    size_t text_size, text_capacity;
    rocprof_record *records;
    size_t record_count, record_capacity;
    uint32_t allocation_schema;
} rocprof;

/* rocprof_record.c. False: im->json.why. */
bool rocprof_record_read(json_cursor *c, rocprof_record *record);
bool rocprof_key_is(const json_text *key, const char *name);

/* Calls keep for each member of an object or item of a list that was read whole; another kind of
 * value has none. */
typedef void rocprof_member(rocprof *im, const json_text *key, const json_value *value, void *context);
typedef void rocprof_item(rocprof *im, const json_value *value, void *context);
void rocprof_members(rocprof *im, const json_value *object, rocprof_member *keep, void *context);
void rocprof_items(rocprof *im, const json_value *list, rocprof_item *keep, void *context);

/* rocprof_names.c */
void rocprof_metadata(rocprof *im, const json_value *value);
void rocprof_agents(rocprof *im, const json_value *value);
void rocprof_strings(rocprof *im, const json_value *value);
void rocprof_symbol(rocprof *im, const json_value *value);
uint32_t rocprof_row(rocprof *im, unsigned kind, uint64_t a, uint64_t b); /* of strings; 0: not known */
/* The value of a key, added if it is new; NULL: no memory. Valid until the next. */
uint32_t *rocprof_at(rocprof *im, unsigned kind, uint64_t a, uint64_t b, uint64_t c);
uint32_t rocprof_find(rocprof *im, unsigned kind, uint64_t a, uint64_t b, uint64_t c);
void rocprof_forget(rocprof *im); /* a process ends */

/* rocprof_settle.c: the records held become events. */
void rocprof_settle(rocprof *im);

/* rocprof.c */
tsm_status tsm_ingest_rocprof(tsm_input *input, tsm_sink *sink, tsm_ingest_report *report, tsm_error *err);

#endif
