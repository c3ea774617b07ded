#include "ingest/keep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static struct ingest_slot *
slot_of(struct ingest_slot *slots, uint32_t count, const uint64_t key[4])
{
    uint64_t at = tsm_hash_bytes(key, 4 * sizeof *key);
    struct ingest_slot *slot;
    while ((slot = &slots[at & (count - 1)])->used && memcmp(slot->key, key, sizeof slot->key) != 0) {
        at++;
    }
    return slot;
}

static bool
grow(ingest_keys *keys)
{
    uint32_t wanted = keys->slot_count == 0 ? 64 : keys->slot_count * 2;
    struct ingest_slot *slots = wanted == 0 ? NULL : calloc(wanted, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < keys->slot_count; i++) {
        if (keys->slots[i].used) {
            *slot_of(slots, wanted, keys->slots[i].key) = keys->slots[i];
        }
    }
    free(keys->slots);
    keys->slots = slots;
    keys->slot_count = wanted;
    return true;
}

uint32_t *
ingest_keys_at(ingest_keys *keys, const uint64_t key[4])
{
    if (keys->count * 2 >= keys->slot_count && !grow(keys)) {
        return NULL;
    }
    struct ingest_slot *slot = slot_of(keys->slots, keys->slot_count, key);
    if (!slot->used) {
        memcpy(slot->key, key, sizeof slot->key);
        slot->used = 1;
        keys->count++;
    }
    return &slot->value;
}

uint32_t
ingest_keys_find(const ingest_keys *keys, const uint64_t key[4])
{
    return keys->slot_count == 0 ? 0 : slot_of(keys->slots, keys->slot_count, key)->value;
}

void
ingest_note(ingest_buffer *b, tsm_status status)
{
    if (b->status == TSM_OK && status != TSM_OK) {
        b->status = tsm_fail(b->err, status, 0, "cannot keep an event: %s", tsm_status_text(status));
    }
}

uint32_t
ingest_string(ingest_buffer *b, const char *data, size_t size)
{
    uint32_t row = 0;
    ingest_note(b, tsm_tables_intern_text(b->tables, TSM_TABLE_STRINGS, data, size, &row));
    return row;
}

uint32_t
ingest_word(ingest_buffer *b, const char *text)
{
    return ingest_string(b, text, strlen(text));
}

uint32_t
ingest_row(ingest_buffer *b, unsigned table, const uint64_t *values)
{
    uint32_t row = 0;
    ingest_note(b, tsm_tables_intern(b->tables, table, values, &row));
    return row;
}

void
ingest_info(ingest_buffer *b, const char *key, const char *value, size_t size)
{
    uint32_t row;
    uint64_t values[] = { [TSM_INFO_KEY] = ingest_word(b, key), [TSM_INFO_VALUE] = ingest_string(b, value, size) };
    ingest_note(b, tsm_tables_add(b->tables, TSM_TABLE_INFO, values, &row));
}

uint32_t
ingest_metadata(ingest_buffer *b, uint32_t rest, const char *key, uint32_t value)
{
    uint64_t values[] = {
        [TSM_METADATA_REST] = rest, [TSM_METADATA_KEY] = ingest_word(b, key), [TSM_METADATA_VALUE] = value
    };
    return ingest_row(b, TSM_TABLE_METADATA, values);
}

uint32_t
ingest_metadata_number(ingest_buffer *b, uint32_t rest, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    return ingest_metadata(b, rest, key, ingest_word(b, text));
}

uint32_t
ingest_schema(ingest_buffer *b, const char *name, const char *const *fields, size_t count, unsigned type)
{
    uint64_t values[] = { [TSM_SCHEMA_PARENT] = 0, [TSM_SCHEMA_FIELD] = ingest_word(b, name), [TSM_SCHEMA_TYPE] = 0 };
    uint32_t row = ingest_row(b, TSM_TABLE_SCHEMAS, values);
    for (size_t i = 0; i < count; i++) {
        values[TSM_SCHEMA_PARENT] = row;
        values[TSM_SCHEMA_FIELD] = ingest_word(b, fields[i]);
        values[TSM_SCHEMA_TYPE] = type;
        row = ingest_row(b, TSM_TABLE_SCHEMAS, values);
    }
    return row;
}

static bool
same_reason(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

void
ingest_count(tsm_ingest_report *report, const char *category, const char *reason, uint64_t count)
{
    tsm_ingest_row *row = report->rows, *end = row + report->row_count;
    while (row < end
           && (strncmp(row->category, category, sizeof row->category - 1) != 0 || !same_reason(row->reason, reason))) {
        row++;
    }
    if (row == end && report->row_count == TSM_INGEST_ROWS) {
        row = end - 1;
        snprintf(row->category, sizeof row->category, "other");
        row->reason = row->reason == NULL || reason == NULL ? NULL : "of several kinds";
    } else if (row == end) {
        report->row_count++;
        /* What is longer is cut between letters. */
        size_t size = strnlen(category, sizeof row->category - 1);
        while (category[size] != 0 && size > 0 && ((unsigned char)category[size] & 0xc0) == 0x80) {
            size--;
        }
        memcpy(row->category, category, size);
        row->category[size] = 0;
        row->reason = reason;
        row->count = 0;
    }
    row->count += count;
}
