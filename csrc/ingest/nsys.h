/* Nsight Systems' SQLite export becomes events. nsys.c opens the file and reads all its tables of
 * events side by side, whichever is behind going on, so that what it hands to the buffer is nearly
 * in order of time; nsys_query.c asks for columns by name, because every version has others;
 * nsys_facts.c reads what is not an event; nsys_who.c makes threads and streams; nsys_work.c and
 * nsys_host.c say what a row means. Private to ingest/.
 *
 * SQLite is the system's, and not Python's sqlite3, which could bring a row to C only as a tuple
 * of objects: at a million kernels of 25 columns that costs more than everything else here. */
#ifndef TSM_INGEST_NSYS_H
#define TSM_INGEST_NSYS_H

#include "ingest/keep.h"
#include "vendor/sqlite.h"

#define NSYS_COLUMNS 32
#define NSYS_SOURCES 16

typedef struct nsys nsys;
typedef struct nsys_source nsys_source;

/* A table of events. Its first column is when an event began and, if has_end, its second when it
 * ended. Values of later columns are read by keep, if it wants them. */
typedef struct {
    const char *name;
    const char *columns[NSYS_COLUMNS];
    uint32_t later; /* bit i: column i */
    bool has_end, may_lack_end;
    void (*keep)(nsys *im, nsys_source *source, tsm_event *event); /* event: begin and extent */
} nsys_table;

struct nsys_source {
    const nsys_table *table;
    tsm_sqlite_statement *statement; /* NULL: read to its end */
    uint32_t read;                   /* bit i: the table has column i, and it is none of the later ones */
    uint32_t missing, wrong;         /* bit i: column i is NULL; is of another type */
    int64_t values[NSYS_COLUMNS];    /* 0 where missing */
    uint64_t kept;
};

static inline bool
nsys_has(const nsys_source *source, int column)
{
    return (source->missing >> column & 1) == 0;
}

typedef struct {
    int64_t id;
    uint64_t offset;
    uint32_t size;
    uint32_t row, call_row;          /* of strings; of the same without the version that calls bear. 0: not made yet */
    uint16_t kernel_type, call_type; /* plus 1 */
} nsys_text;

/* What other tables say about a call. */
typedef struct {
    uint32_t stream;
    bool has_event, has_memory;
    uint64_t event, bytes, address;
} nsys_note;

struct nsys {
    tsm_sqlite sqlite;
    tsm_sqlite_db *db;
    ingest_buffer buffer;
    tsm_ingest_progress progress;
    void *context;
    uint64_t file_bytes, row_count, rows_read, counted;

    nsys_source sources[NSYS_SOURCES];
    size_t source_count;

    char *text_bytes;
    size_t text_size, text_capacity;
    nsys_text *texts; /* by id */
    size_t text_count, texts_capacity;
    nsys_text *process_names;
    size_t process_name_count, process_name_capacity;
    nsys_text missing_text; /* the one asked for last */

    ingest_keys keys;    /* by nsys_key */
    ingest_keys streams; /* by process, device, context and number */
    nsys_note *notes;
    size_t note_count, note_capacity;
    int64_t only_process; /* globalPid for work that has none; 0: not known */
    int64_t last_thread, last_stream[4];
    uint32_t last_thread_row, last_stream_row;

    uint64_t last_launch[TSM_LAUNCH_METADATA + 1];
    uint32_t last_launch_row;
    uint32_t copy_names[16][9][9];
    uint32_t graph_schema, whole_graph_schema, allocation_schema;
    uint32_t os_metadata, host;
};

/* What a key's first word is, in its last. */
enum {
    NSYS_KEY_PROCESS_NAME = 1,
    NSYS_KEY_PROCESS,
    NSYS_KEY_THREAD_NAME,
    NSYS_KEY_THREAD,
    NSYS_KEY_HOST,
    NSYS_KEY_DEVICE,
    NSYS_KEY_PRIORITY,
    NSYS_KEY_NOTE,
    NSYS_KEY_TEXT,
    NSYS_KEY_DOMAIN,
    NSYS_KEY_CATEGORY,
    NSYS_KEY_CUDA_STACK,
    NSYS_KEY_OS_STACK,
    NSYS_KEY_METRIC,
};

/* The device tables begin with these columns. */
enum {
    WORK_START,
    WORK_END,
    WORK_DEVICE,
    WORK_CONTEXT,
    WORK_STREAM,
    WORK_CORRELATION,
    WORK_PROCESS,
    WORK_COLUMNS,
};
#define NSYS_WORK_COLUMNS "start", "end", "deviceId", "contextId", "streamId", "correlationId", "globalPid"

/* nsys_query.c */
bool nsys_fail(nsys *im, int code, const char *what);
/* A statement for the columns of a table, NULL standing for those that it does not have. False: it
 * failed. *statement stays NULL when there is no such table. found, bit i: it has column i. */
bool nsys_select(nsys *im, const char *table, const char *const *columns, size_t count, const char *tail,
                 tsm_sqlite_statement **statement, uint32_t *found);
/* The same for a small table: each row is handed to keep. */
typedef void nsys_row(nsys *im, tsm_sqlite_statement *row);
bool nsys_each(nsys *im, const char *table, const char *const *columns, size_t count, const char *tail, nsys_row *keep);
bool nsys_query(nsys *im, const char *sql, nsys_row *keep);
bool nsys_step(nsys *im, nsys_source *source);
int64_t nsys_integer(nsys *im, tsm_sqlite_statement *row, int column); /* 0 for what is none */
tsm_text nsys_string(nsys *im, tsm_sqlite_statement *row, int column); /* borrowed until the next step */
bool nsys_is_null(nsys *im, tsm_sqlite_statement *row, int column);
/* Is there such a table, itself and no view? */
bool nsys_has_table(nsys *im, const char *name);

/* nsys_text.c: StringIds */
bool nsys_texts_read(nsys *im);
/* Adds a text to a list, to be found by its place; false: no memory. */
bool nsys_text_keep(nsys *im, nsys_text **list, size_t *count, size_t *capacity, int64_t id, tsm_text text);
uint32_t nsys_text_string(nsys *im, nsys_text *text); /* its row of strings, made if need be */
nsys_text *nsys_text_of(nsys *im, int64_t id);        /* NULL: no memory */
uint32_t nsys_text_row(nsys *im, int64_t id);
uint32_t nsys_call_row(nsys *im, int64_t id, uint16_t *type);
uint32_t nsys_kernel_row(nsys *im, int64_t id, uint16_t *type);

/* nsys_facts.c, nsys_stacks.c: what is no event. */
bool nsys_facts_read(nsys *im);
bool nsys_stacks_read(nsys *im);

/* nsys_who.c */
uint32_t *nsys_key(nsys *im, unsigned kind, int64_t a, int64_t b, int64_t c); /* as ingest_keys_at */
uint32_t nsys_find(nsys *im, unsigned kind, int64_t a, int64_t b, int64_t c);
uint32_t nsys_process_row(nsys *im, int64_t global);
uint32_t nsys_thread_row(nsys *im, int64_t global);
uint32_t nsys_device_row(nsys *im, int64_t ordinal);
uint32_t nsys_stream_row(nsys *im, int64_t process, int64_t device, int64_t context, int64_t stream);

/* nsys_notes.c */
bool nsys_notes_read(nsys *im);
const nsys_note *nsys_note_of(nsys *im, int64_t process, int64_t correlation); /* NULL: none */

/* nsys_work.c, nsys_host.c, nsys_nvtx.c: tables of events, each list ends with a NULL name. */
extern const nsys_table nsys_work_tables[], nsys_host_tables[], nsys_nvtx_tables[];
bool nsys_nvtx_names_read(nsys *im);

/* nsys.c. keep calls nsys_refuse for a row of which it makes no event. reason: static text. */
void nsys_refuse(nsys *im, nsys_source *source, const char *reason);
tsm_status tsm_ingest_nsys(const char *path, tsm_sink *sink, tsm_ingest_progress progress, void *context,
                           tsm_ingest_report *report, tsm_error *err);

#endif
