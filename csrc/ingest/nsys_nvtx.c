/* What the program named: NVTX ranges and marks, with their domains, categories and payloads. */
#include <stdio.h>
#include <string.h>

#include "ingest/nsys.h"

enum {
    NVTX_START,
    NVTX_END,
    NVTX_KIND,
    NVTX_THREAD,
    NVTX_TEXT,
    NVTX_TEXT_ID,
    NVTX_DOMAIN,
    NVTX_CATEGORY,
    NVTX_COLOR,
    NVTX_JSON,
    NVTX_JSON_ID,
    NVTX_INTEGERS, /* payloads: four kinds of integers, then two of real numbers */
    NVTX_REALS = NVTX_INTEGERS + 4,
    NVTX_LIMIT = NVTX_REALS + 2,
};
#define NVTX_COLUMN_NAMES                                                                                    \
    "start", "end", "eventType", "globalTid", "text", "textId", "domainId", "category", "color", "jsonText", \
        "jsonTextId", "uint64Value", "int64Value", "uint32Value", "int32Value", "doubleValue", "floatValue"

/* eventType: those that nsys keeps today, and those that were read from text files. */
enum {
    KIND_CATEGORY = 33,
    KIND_MARK = 34,
    KIND_PUSHED = 59,
    KIND_STARTED = 60,
    KIND_TEXT_CATEGORY = 64,
    KIND_TEXT_MARK = 65,
    KIND_TEXT_PUSHED = 70,
    KIND_TEXT_STARTED = 71,
    KIND_DOMAIN = 75,
};

static uint32_t
name_of(nsys *im, const nsys_source *source)
{
    if (!nsys_is_null(im, source->statement, NVTX_TEXT)) {
        tsm_text text = nsys_string(im, source->statement, NVTX_TEXT);
        return ingest_string(&im->buffer, text.data, text.size);
    }
    return nsys_has(source, NVTX_TEXT_ID) ? nsys_text_row(im, source->values[NVTX_TEXT_ID]) : 0;
}

/* A name that stands for a number, or the number if it was given none. */
static uint32_t
named(nsys *im, uint32_t rest, const char *key, uint32_t name, int64_t number)
{
    return name != 0 ? ingest_metadata(&im->buffer, rest, key, name)
                     : ingest_metadata_number(&im->buffer, rest, key, number);
}

static uint32_t
metadata_of(nsys *im, const nsys_source *source)
{
    const int64_t *values = source->values;
    int64_t process = (int64_t)((uint64_t)values[NVTX_THREAD] & ~(uint64_t)0xffffff);
    uint32_t set = 0;
    if (values[NVTX_DOMAIN] != 0) {
        uint32_t name = nsys_find(im, NSYS_KEY_DOMAIN, process, values[NVTX_DOMAIN], 0);
        set = named(im, set, "domain", name, values[NVTX_DOMAIN]);
    }
    if (values[NVTX_CATEGORY] != 0) {
        uint32_t name = nsys_find(im, NSYS_KEY_CATEGORY, process, values[NVTX_DOMAIN], values[NVTX_CATEGORY]);
        set = named(im, set, "category", name, values[NVTX_CATEGORY]);
    }
    if (nsys_has(source, NVTX_COLOR)) {
        char color[24];
        snprintf(color, sizeof color, "#%08x", (unsigned)(uint32_t)values[NVTX_COLOR]);
        set = ingest_metadata(&im->buffer, set, "color", ingest_word(&im->buffer, color));
    }
    if (!nsys_is_null(im, source->statement, NVTX_JSON)) {
        tsm_text json = nsys_string(im, source->statement, NVTX_JSON);
        set = ingest_metadata(&im->buffer, set, "payload", ingest_string(&im->buffer, json.data, json.size));
    } else if (nsys_has(source, NVTX_JSON_ID)) {
        set = ingest_metadata(&im->buffer, set, "payload", nsys_text_row(im, values[NVTX_JSON_ID]));
    }
    return set;
}

/* The number that the program gave along, in an extension: it differs from event to event. */
static void
add_payload(nsys *im, const nsys_source *source)
{
    static const char *const field = "payload";
    static const struct {
        const char *schema;
        unsigned type;
    } kinds[] = {
        { "nvtx:u64", TSM_COLUMN_U64 }, { "nvtx:i64", TSM_COLUMN_I64 }, { "nvtx:u64", TSM_COLUMN_U64 },
        { "nvtx:i64", TSM_COLUMN_I64 }, { "nvtx:f64", TSM_COLUMN_F64 }, { "nvtx:f64", TSM_COLUMN_F64 },
    };
    tsm_extension extension = { .type = TSM_SLOT_EXTENSION, .count = 1 };
    int column = NVTX_INTEGERS;
    while (column < NVTX_LIMIT
           && (column < NVTX_REALS ? !nsys_has(source, column) : nsys_is_null(im, source->statement, column))) {
        column++;
    }
    if (column == NVTX_LIMIT) {
        return;
    }
    if (column < NVTX_REALS) {
        extension.values[0] = (uint64_t)source->values[column];
    } else {
        double real = im->sqlite.column_double(source->statement, column);
        memcpy(&extension.values[0], &real, sizeof real);
    }
    int kind = column - NVTX_INTEGERS;
    extension.schema = ingest_schema(&im->buffer, kinds[kind].schema, &field, 1, kinds[kind].type);
    ingest_buffer_extend(&im->buffer, &extension);
}

static bool
is_range(int64_t kind)
{
    return kind == KIND_PUSHED || kind == KIND_STARTED || kind == KIND_TEXT_PUSHED || kind == KIND_TEXT_STARTED;
}

static void
keep_nvtx(nsys *im, nsys_source *source, tsm_event *event)
{
    int64_t kind = source->values[NVTX_KIND];
    bool is_mark = kind == KIND_MARK || kind == KIND_TEXT_MARK;
    if (!is_mark && !is_range(kind)) {
        bool names = kind == KIND_CATEGORY || kind == KIND_TEXT_CATEGORY || kind == KIND_DOMAIN;
        nsys_refuse(im, source, names ? "it gives a name to a domain or category" : "it is neither a range nor a mark");
        return;
    }
    event->thread = nsys_has(source, NVTX_THREAD) ? nsys_thread_row(im, source->values[NVTX_THREAD]) : 0;
    if (event->thread == 0) {
        nsys_refuse(im, source, "it is of no thread");
        return;
    }
    event->type = is_mark ? TSM_EVENT_MARKER : nsys_has(source, NVTX_END) ? TSM_EVENT_RANGE : TSM_EVENT_RANGE_START;
    event->duration = is_mark ? 0 : event->duration;
    event->name = name_of(im, source);
    event->extra = metadata_of(im, source);
    event->flags = event->extra != 0 ? TSM_EXTRA_METADATA : 0;
    ingest_buffer_add(&im->buffer, event);
    add_payload(im, source);
}

const nsys_table nsys_nvtx_tables[] = {
    { .name = "NVTX_EVENTS",
      .columns = { NVTX_COLUMN_NAMES },
      .later = 1u << NVTX_TEXT | 1u << NVTX_JSON | 3u << NVTX_REALS,
      .has_end = true,
      .may_lack_end = true,
      .keep = keep_nvtx },
    { .name = NULL },
};

/* ---- Names of domains and categories --------------------------------------------------------- */

enum { NAME_KIND, NAME_THREAD, NAME_DOMAIN, NAME_CATEGORY, NAME_TEXT, NAME_TEXT_ID, NAME_COLUMNS };

static void
keep_name(nsys *im, tsm_sqlite_statement *row)
{
    int64_t process = (int64_t)((uint64_t)nsys_integer(im, row, NAME_THREAD) & ~(uint64_t)0xffffff);
    int64_t domain = nsys_integer(im, row, NAME_DOMAIN);
    tsm_text text = nsys_string(im, row, NAME_TEXT);
    uint32_t name = nsys_is_null(im, row, NAME_TEXT) ? nsys_text_row(im, nsys_integer(im, row, NAME_TEXT_ID))
                                                     : ingest_string(&im->buffer, text.data, text.size);
    bool is_domain = nsys_integer(im, row, NAME_KIND) == KIND_DOMAIN;
    uint32_t *slot = is_domain ? nsys_key(im, NSYS_KEY_DOMAIN, process, domain, 0)
                               : nsys_key(im, NSYS_KEY_CATEGORY, process, domain, nsys_integer(im, row, NAME_CATEGORY));
    if (slot != NULL) {
        *slot = name;
    }
}

bool
nsys_nvtx_names_read(nsys *im)
{
    static const char *const columns[NAME_COLUMNS] = { "eventType", "globalTid", "domainId",
                                                       "category",  "text",      "textId" };
    char filter[64];
    snprintf(filter, sizeof filter, "WHERE eventType IN (%d, %d, %d)", KIND_CATEGORY, KIND_TEXT_CATEGORY, KIND_DOMAIN);
    return nsys_each(im, "NVTX_EVENTS", columns, NAME_COLUMNS, filter, keep_name);
}
