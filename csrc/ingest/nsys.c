#include "ingest/nsys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"

#define PROGRESS_ROWS 8192

/* ---- Opening --------------------------------------------------------------------------------- */

/* As an URI, of which immutable says that nobody writes: so no lock and no journal is looked for,
 * and a folder that we may not write to is no hindrance. NULL: no memory. */
static char *
uri_of(const char *path)
{
    static const char tail[] = "?mode=ro&immutable=1", hex[] = "0123456789abcdef";
    char *uri = malloc(strlen(path) * 3 + sizeof tail + 8), *to = uri;
    if (uri == NULL) {
        return NULL;
    }
    to = stpcpy(to, path[0] == '/' ? "file://" : "file:");
    for (; *path != 0; path++) {
        unsigned char byte = (unsigned char)*path;
        if (byte == '%' || byte == '?' || byte == '#') {
            *to++ = '%';
            *to++ = hex[byte >> 4];
            *to++ = hex[byte & 15];
        } else {
            *to++ = *path;
        }
    }
    memcpy(to, tail, sizeof tail);
    return uri;
}

/* The file's header knows how many pages there are; SQLite would find out page by page. */
static tsm_status
check_size(nsys *im, const char *path, tsm_error *err)
{
    uint8_t header[100] = { 0 };
    struct stat facts;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &facts) != 0) {
        tsm_status status = tsm_fail_errno(err, TSM_E_IO, "cannot open it");
        if (file != NULL) {
            fclose(file);
        }
        return status;
    }
    size_t size = fread(header, 1, sizeof header, file);
    fclose(file);
    im->file_bytes = (uint64_t)facts.st_size;
    im->buffer.report->bytes_read = im->file_bytes;
    if (header[0] == 0x1f && header[1] == 0x8b) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, 0, "SQLite cannot read a gzipped database: gunzip it first");
    }
    uint64_t page = (uint64_t)header[16] << 8 | header[17];
    uint64_t pages = (uint64_t)__builtin_bswap32(tsm_load_u32(header + 28));
    page = page == 1 ? 65536 : page;
    /* The count holds if it was written by the last change of the file. */
    bool counted = memcmp(header + 24, header + 92, 4) == 0;
    if (size < sizeof header || (counted && page * pages > im->file_bytes)) {
        return tsm_fail(err, TSM_E_TRUNCATED, im->file_bytes, "the database is cut off: %llu bytes of %llu",
                        (unsigned long long)im->file_bytes, (unsigned long long)(page * pages));
    }
    return TSM_OK;
}

static tsm_status
open_database(nsys *im, const char *path, tsm_error *err)
{
    tsm_status status = check_size(im, path, err);
    if (status == TSM_OK) {
        status = tsm_sqlite_load(&im->sqlite, err);
    }
    if (status != TSM_OK) {
        return status;
    }
    char *uri = uri_of(path);
    if (uri == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to import");
    }
    int code = im->sqlite.open_v2(uri, &im->db,
                                  TSM_SQLITE_OPEN_READONLY | TSM_SQLITE_OPEN_URI | TSM_SQLITE_OPEN_NOMUTEX, NULL);
    free(uri);
    if (code == TSM_SQLITE_OK) {
        /* Nothing that a schema says is run: not in defaults, not in indexes of expressions. */
        code = im->sqlite.exec(im->db, "PRAGMA trusted_schema = OFF; PRAGMA cache_size = -65536", NULL, NULL, NULL);
    }
    if (code != TSM_SQLITE_OK) {
        return tsm_fail(err, code == TSM_SQLITE_NOMEM ? TSM_E_NOMEM : TSM_E_CORRUPT, 0, "SQLite cannot open it: %.160s",
                        im->sqlite.errmsg(im->db));
    }
    return TSM_OK;
}

/* ---- The tables ------------------------------------------------------------------------------ */

static void
add_sources(nsys *im, const nsys_table *tables)
{
    for (; tables->name != NULL && im->source_count < NSYS_SOURCES && im->buffer.status == TSM_OK; tables++) {
        nsys_source *source = &im->sources[im->source_count];
        size_t count = 0;
        while (count < NSYS_COLUMNS && tables->columns[count] != NULL) {
            count++;
        }
        *source = (nsys_source){ .table = tables };
        uint32_t found = 0;
        if (nsys_select(im, tables->name, tables->columns, count, "", &source->statement, &found)
            && source->statement != NULL) {
            source->read = found & ~tables->later;
            im->source_count++;
        }
    }
}

static void
keep_only_process(nsys *im, tsm_sqlite_statement *row)
{
    if (!nsys_is_null(im, row, 0) && nsys_integer(im, row, 0) == nsys_integer(im, row, 1)) {
        im->only_process = (int64_t)((uint64_t)nsys_integer(im, row, 0) << 24);
    }
}

/* Early versions do not say whose work it is, which matters only if there are several. */
static bool
find_only_process(nsys *im)
{
    static const char *const columns[] = { "globalTid" };
    tsm_sqlite_statement *statement = NULL;
    uint32_t found;
    if (!nsys_select(im, "CUPTI_ACTIVITY_KIND_RUNTIME", columns, 1, "LIMIT 1", &statement, &found)) {
        return false;
    }
    bool has_threads =
        statement != NULL && im->sqlite.step(statement) == TSM_SQLITE_ROW && !nsys_is_null(im, statement, 0);
    im->sqlite.finalize(statement);
    return !has_threads
           || nsys_query(im, "SELECT min(globalTid >> 24), max(globalTid >> 24) FROM CUPTI_ACTIVITY_KIND_RUNTIME",
                         keep_only_process);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static const char *
refusal(const nsys_source *source)
{
    const nsys_table *table = source->table;
    int64_t begin = source->values[0], end = source->values[1];
    if (source->wrong != 0) {
        return "a value is not of its column's type";
    }
    if (!nsys_has(source, 0)) {
        return "it has no begin";
    }
    if (begin < 0) {
        return "it lies before the session's begin";
    }
    if (!table->has_end) {
        return NULL;
    }
    if (!nsys_has(source, 1)) {
        return table->may_lack_end ? NULL : "it has no end";
    }
    return end < begin ? "it ends before it begins" : NULL;
}

void
nsys_refuse(nsys *im, nsys_source *source, const char *reason)
{
    source->kept--;
    ingest_count(im->buffer.report, source->table->name, reason, 1);
}

static void
keep_row(nsys *im, nsys_source *source)
{
    const char *reason = refusal(source);
    source->kept++;
    if (reason != NULL) {
        nsys_refuse(im, source, reason);
        return;
    }
    tsm_event event = { .timestamp = (uint64_t)source->values[0] };
    if (source->table->has_end && nsys_has(source, 1)) {
        event.duration = (uint64_t)(source->values[1] - source->values[0]);
    }
    source->table->keep(im, source, &event);
}

static bool
report_progress(nsys *im)
{
    if (im->rows_read++ % PROGRESS_ROWS != 0 || im->progress == NULL || im->row_count == 0) {
        return true;
    }
    uint64_t rows = im->rows_read < im->row_count ? im->rows_read : im->row_count;
    uint64_t done = (uint64_t)((double)im->file_bytes * ((double)rows / (double)im->row_count));
    if (!im->progress(im->context, done, im->file_bytes)) {
        ingest_note(&im->buffer, TSM_E_STATE);
        return false;
    }
    return true;
}

/* The source that is furthest behind, and when the next one of the others begins. */
static nsys_source *
next_source(nsys *im, int64_t *others)
{
    nsys_source *first = NULL;
    *others = INT64_MAX;
    for (size_t i = 0; i < im->source_count; i++) {
        nsys_source *source = &im->sources[i];
        if (source->statement == NULL) {
            continue;
        }
        if (first == NULL || source->values[0] < first->values[0]) {
            *others = first == NULL ? *others : first->values[0];
            first = source;
        } else if (source->values[0] < *others) {
            *others = source->values[0];
        }
    }
    return first;
}

static void
read_rows(nsys *im)
{
    int64_t others;
    nsys_source *source;
    for (size_t i = 0; i < im->source_count; i++) {
        nsys_step(im, &im->sources[i]);
    }
    while (im->buffer.status == TSM_OK && (source = next_source(im, &others)) != NULL) {
        do {
            keep_row(im, source);
            if (ingest_buffer_full(&im->buffer)) {
                ingest_buffer_flush(&im->buffer);
            }
        } while (im->buffer.status == TSM_OK && report_progress(im) && nsys_step(im, source)
                 && source->values[0] <= others);
    }
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void
count_row(nsys *im, tsm_sqlite_statement *row)
{
    im->counted = (uint64_t)nsys_integer(im, row, 0);
}

static bool
is_listed(const char *name)
{
    static const nsys_table *const lists[] = { nsys_work_tables, nsys_host_tables, nsys_nvtx_tables };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (const nsys_table *table = lists[i]; table->name != NULL; table++) {
            if (strcmp(name, table->name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Does it hold no events, or is it told of where it is read? By how the name begins. */
static bool
is_beside(const char *name)
{
    static const char known[][32] = {
        "ENUM_",
        "META_DATA_",
        "TARGET_INFO_",
        "sqlite_",
        "StringIds",
        "PROCESSES",
        "ThreadNames",
        "DIAGNOSTIC_",
        "ANALYSIS_",
        "ProcessStreams",
        "NVTX_PAYLOAD_",
        "EXPORT_",
        "CUDA_CALLCHAINS",
        "OSRT_CALLCHAINS",
        "CUDA_GPU_MEMORY_USAGE_EVENTS",
        "CUPTI_ACTIVITY_KIND_CUDA_EVENT",
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strncmp(name, known[i], strlen(known[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Tables that hold events of other kinds, so that nothing is left out in silence. */
static void
report_other(nsys *im, tsm_sqlite_statement *row)
{
    char sql[400];
    tsm_text name = nsys_string(im, row, 0);
    if (name.size > 300 || memchr(name.data, '"', name.size) != NULL || is_listed(name.data) || is_beside(name.data)) {
        return;
    }
    im->counted = 0;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM \"%s\"", name.data);
    if (nsys_query(im, sql, count_row) && im->counted > 0) {
        ingest_count(im->buffer.report, name.data, "a table that is not imported", im->counted);
    }
}

/* For the progress that is shown. The last row's number is near their count, and known at once; a
 * table that has no such numbers counts as empty. */
static void
count_sources(nsys *im)
{
    char sql[160];
    for (size_t i = 0; i < im->source_count; i++) {
        tsm_sqlite_statement *statement = NULL;
        snprintf(sql, sizeof sql, "SELECT max(rowid) FROM \"%s\"", im->sources[i].table->name);
        if (im->sqlite.prepare_v2(im->db, sql, -1, &statement, NULL) == TSM_SQLITE_OK
            && im->sqlite.step(statement) == TSM_SQLITE_ROW && nsys_integer(im, statement, 0) > 0) {
            im->row_count += (uint64_t)nsys_integer(im, statement, 0);
        }
        im->sqlite.finalize(statement);
    }
}

static void
read_all(nsys *im)
{
    if (!nsys_texts_read(im) || !find_only_process(im) || !nsys_facts_read(im) || !nsys_stacks_read(im)
        || !nsys_nvtx_names_read(im) || !nsys_notes_read(im)) {
        return;
    }
    add_sources(im, nsys_work_tables);
    add_sources(im, nsys_host_tables);
    add_sources(im, nsys_nvtx_tables);
    if (im->buffer.status == TSM_OK && im->source_count == 0 && im->text_count == 0) {
        im->buffer.status = tsm_fail(im->buffer.err, TSM_E_FORMAT, 0,
                                     "a SQLite database, but not one that Nsight Systems exported: it has neither "
                                     "StringIds nor a table of events");
    }
    if (im->progress != NULL) {
        count_sources(im);
    }
    read_rows(im);
    for (size_t i = 0; i < im->source_count; i++) {
        if (im->sources[i].kept > 0) {
            ingest_count(im->buffer.report, im->sources[i].table->name, NULL, im->sources[i].kept);
        }
    }
    if (im->buffer.status == TSM_OK) {
        nsys_query(im, "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 ORDER BY name",
                   report_other);
    }
    ingest_buffer_finish(&im->buffer);
}

static void
release(nsys *im)
{
    for (size_t i = 0; im->db != NULL && i < im->source_count; i++) {
        im->sqlite.finalize(im->sources[i].statement);
    }
    if (im->db != NULL) {
        im->sqlite.close(im->db);
    }
    ingest_buffer_free(&im->buffer);
    free(im->keys.slots);
    free(im->streams.slots);
    free(im->notes);
    free(im->texts);
    free(im->process_names);
    free(im->text_bytes);
    free(im);
}

tsm_status
tsm_ingest_nsys(const char *path, tsm_sink *sink, tsm_ingest_progress progress, void *context,
                tsm_ingest_report *report, tsm_error *err)
{
    nsys *im = calloc(1, sizeof *im);
    if (im == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to import");
    }
    im->buffer = (ingest_buffer){ .sink = sink, .tables = tsm_sink_tables(sink), .report = report, .err = err };
    im->progress = progress;
    im->context = context;
    tsm_status status = open_database(im, path, err);
    if (status == TSM_OK) {
        read_all(im);
        status = im->buffer.status;
    }
    release(im);
    return status;
}
