/* Records as bytes: "TSMP", version, texts, records; everything a varint. What comes back is not
 * trusted: every count is bounded by the bytes that remain, every text row by the texts there are. */
#include <stdlib.h>
#include <string.h>

#include "analysis/records.h"
#include "base/bytes.h"

#define VERSION 1

static const uint8_t magic[4] = { 'T', 'S', 'M', 'P' };

static size_t
saved_bytes(const tsm_records *records)
{
    size_t size = sizeof magic + 3 * TSM_VARINT_MAX;
    for (uint32_t i = 1; i < tsm_tables_count(records->strings, TSM_TABLE_STRINGS); i++) {
        size += TSM_VARINT_MAX + tsm_records_borrow(records, i).size;
    }
    for (size_t i = 0; i < records->count; i++) {
        const tsm_record_layout *layout = tsm_record_layout_of(records->items[i]->kind);
        size += (1 + layout->key_count + strlen(layout->fields)) * TSM_VARINT_MAX;
        for (uint32_t k = 0; k < layout->summary_count; k++) {
            size += tsm_summary_saved_bytes(&records->items[i]->summaries[k]);
        }
    }
    return size;
}

static uint8_t *
save_texts(const tsm_records *records, uint8_t *at)
{
    uint32_t count = tsm_tables_count(records->strings, TSM_TABLE_STRINGS);
    at += tsm_put_varint(at, count - 1);
    for (uint32_t i = 1; i < count; i++) {
        tsm_text text = tsm_records_borrow(records, i);
        at += tsm_put_varint(at, text.size);
        memcpy(at, text.data, text.size);
        at += text.size;
    }
    return at;
}

static uint8_t *
save_record(const tsm_record *record, uint8_t *at)
{
    const tsm_record_layout *layout = tsm_record_layout_of(record->kind);
    at += tsm_put_varint(at, record->kind);
    for (uint32_t i = 0; i < layout->key_count; i++) {
        at += tsm_put_varint(at, record->keys[i]);
    }
    for (size_t i = 0; layout->fields[i] != '\0'; i++) {
        /* The least of nothing is saved as 0, short. */
        uint64_t value = record->fields[i];
        at += tsm_put_varint(at, layout->fields[i] == 'v' ? value + 1 : value);
    }
    for (uint32_t i = 0; i < layout->summary_count; i++) {
        at = tsm_summary_save(&record->summaries[i], at);
    }
    return at;
}

tsm_status
tsm_records_save(const tsm_records *records, uint8_t **data, size_t *size)
{
    uint8_t *start = malloc(saved_bytes(records));
    if (start == NULL || records->failed) {
        free(start);
        return TSM_E_NOMEM;
    }
    memcpy(start, magic, sizeof magic);
    uint8_t *at = start + sizeof magic;
    at += tsm_put_varint(at, VERSION);
    at = save_texts(records, at);
    at += tsm_put_varint(at, records->count);
    for (size_t i = 0; i < records->count; i++) {
        at = save_record(records->items[i], at);
    }
    *data = start;
    *size = (size_t)(at - start);
    return TSM_OK;
}

/* A text may come twice in damaged bytes: then the later one keeps a row of its own. */
static bool
load_texts(tsm_records *records, tsm_bytes *bytes)
{
    uint64_t count = tsm_bytes_varint(bytes);
    bytes->failed = bytes->failed || count > tsm_bytes_left(bytes);
    for (uint64_t i = 0; !bytes->failed && i < count; i++) {
        uint64_t size = tsm_bytes_varint(bytes);
        const uint8_t *text = tsm_bytes_take(bytes, size);
        uint32_t row;
        if (text != NULL
            && tsm_tables_add_text(records->strings, TSM_TABLE_STRINGS, text, (size_t)size, &row) != TSM_OK) {
            return false;
        }
    }
    return !bytes->failed;
}

static uint32_t
load_text(tsm_bytes *bytes, uint32_t text_count)
{
    uint64_t row = tsm_bytes_varint(bytes);
    bytes->failed = bytes->failed || row >= text_count;
    return bytes->failed ? 0 : (uint32_t)row;
}

static bool
load_record(tsm_records *records, tsm_bytes *bytes, uint32_t text_count)
{
    uint64_t kind = tsm_bytes_varint(bytes);
    const tsm_record_layout *layout = tsm_record_layout_of(kind > TSM_RECORD_LIMIT ? 0 : (unsigned)kind);
    uint32_t keys[TSM_RECORD_KEYS] = { 0 };
    bytes->failed = bytes->failed || layout == NULL;
    for (uint32_t i = 0; !bytes->failed && i < layout->key_count; i++) {
        keys[i] = load_text(bytes, text_count);
    }
    size_t before = records->count;
    tsm_record *record = bytes->failed ? NULL : tsm_records_find(records, (tsm_record_kind)kind, keys);
    if (record == NULL || records->count == before) { /* damaged, out of memory, or twice the same */
        bytes->failed = bytes->failed || record != NULL;
        return false;
    }
    for (size_t i = 0; layout->fields[i] != '\0'; i++) {
        record->fields[i] = layout->fields[i] == '"' ? load_text(bytes, text_count)
                                                     : tsm_bytes_varint(bytes) - (layout->fields[i] == 'v');
    }
    bool done = !bytes->failed;
    for (uint32_t i = 0; done && i < layout->summary_count; i++) {
        done = tsm_summary_load(&record->summaries[i], bytes);
    }
    return done;
}

tsm_status
tsm_records_load(tsm_records *records, const void *data, size_t size, tsm_error *err)
{
    tsm_bytes bytes = { .at = data, .end = (const uint8_t *)data + size };
    const uint8_t *start = bytes.at, *head = tsm_bytes_take(&bytes, sizeof magic);
    if (head == NULL || memcmp(head, magic, sizeof magic) != 0) {
        return tsm_fail(err, TSM_E_FORMAT, 0, "this is not a partial analysis");
    }
    uint64_t version = tsm_bytes_varint(&bytes);
    if (!bytes.failed && version != VERSION) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, sizeof magic, "a partial analysis of version %llu; this build reads %d",
                        (unsigned long long)version, VERSION);
    }
    bool done = load_texts(records, &bytes);
    uint64_t count = done ? tsm_bytes_varint(&bytes) : 0;
    bytes.failed = bytes.failed || count > tsm_bytes_left(&bytes);
    uint32_t text_count = tsm_tables_count(records->strings, TSM_TABLE_STRINGS);
    for (uint64_t i = 0; done && !bytes.failed && i < count; i++) {
        done = load_record(records, &bytes, text_count);
    }
    bytes.failed = bytes.failed || (done && tsm_bytes_left(&bytes) > 0);
    if (bytes.failed) {
        return tsm_fail(err, TSM_E_CORRUPT, (uint64_t)(bytes.at - start), "a damaged partial analysis");
    }
    return done ? TSM_OK : tsm_fail(err, TSM_E_NOMEM, 0, "no memory for a partial analysis");
}
