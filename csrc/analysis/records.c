#include "analysis/records.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

static const tsm_record_layout layouts[TSM_RECORD_LIMIT] = {
#define X(name, number, keys, fields, summaries) [number] = { keys, summaries, fields },
    TSM_RECORD_KINDS(X)
#undef X
};

const tsm_record_layout *
tsm_record_layout_of(unsigned kind)
{
    return kind < TSM_RECORD_LIMIT && layouts[kind].fields != NULL ? &layouts[kind] : NULL;
}

tsm_status
tsm_records_create(tsm_records *records)
{
    *records = (tsm_records){ 0 };
    return tsm_tables_create(&records->strings);
}

static void
record_free(tsm_record *record)
{
    for (uint32_t i = 0; i < layouts[record->kind].summary_count; i++) {
        tsm_summary_free(&record->summaries[i]);
    }
    free(record->summaries);
    free(record);
}

void
tsm_records_free(tsm_records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        record_free(records->items[i]);
    }
    free(records->items);
    free(records->slots);
    tsm_tables_destroy(records->strings);
    *records = (tsm_records){ 0 };
}

uint32_t
tsm_records_text(tsm_records *records, const void *data, size_t size)
{
    uint32_t row = 0;
    if (size > 0 && tsm_tables_intern_text(records->strings, TSM_TABLE_STRINGS, data, size, &row) != TSM_OK) {
        records->failed = true;
        return 0;
    }
    return row;
}

uint32_t
tsm_records_format(tsm_records *records, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return size <= 0 ? 0 : tsm_records_text(records, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

tsm_text
tsm_records_borrow(const tsm_records *records, uint32_t text)
{
    return tsm_tables_borrow_text(records->strings, TSM_TABLE_STRINGS, text);
}

static size_t
home(const tsm_records *records, const uint32_t *keys, uint32_t kind, uint32_t key_count)
{
    uint64_t hash = kind;
    for (uint32_t i = 0; i < key_count; i++) {
        hash = tsm_hash_mix(hash, keys[i]);
    }
    return (size_t)hash & (records->slot_count - 1);
}

static bool
grow_slots(tsm_records *records)
{
    size_t count = records->slot_count == 0 ? 256 : records->slot_count * 2;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    free(records->slots);
    records->slots = slots;
    records->slot_count = count;
    for (size_t i = 0; i < records->count; i++) {
        const tsm_record *record = records->items[i];
        size_t at = home(records, record->keys, record->kind, layouts[record->kind].key_count);
        while (slots[at] != 0) {
            at = (at + 1) & (count - 1);
        }
        slots[at] = (uint32_t)i + 1;
    }
    return true;
}

static tsm_record *
make(const tsm_record_layout *layout, uint32_t kind, const uint32_t *keys)
{
    size_t fields = strlen(layout->fields);
    tsm_record *record = calloc(1, sizeof *record + fields * sizeof *record->fields);
    if (record == NULL) {
        return NULL;
    }
    record->kind = kind;
    record->summaries = calloc(layout->summary_count + 1, sizeof *record->summaries);
    if (record->summaries == NULL) {
        free(record);
        return NULL;
    }
    if (layout->key_count > 0) {
        memcpy(record->keys, keys, layout->key_count * sizeof *keys);
    }
    for (size_t i = 0; i < fields; i++) {
        record->fields[i] = layout->fields[i] == 'v' ? UINT64_MAX : 0;
    }
    return record;
}

static tsm_record *
fail(tsm_records *records)
{
    records->failed = true;
    return NULL;
}

tsm_record *
tsm_records_find(tsm_records *records, tsm_record_kind kind, const uint32_t *keys)
{
    const tsm_record_layout *layout = &layouts[kind];
    if (records->count * 2 >= records->slot_count && !grow_slots(records)) {
        return fail(records);
    }
    size_t at = home(records, keys, kind, layout->key_count);
    for (; records->slots[at] != 0; at = (at + 1) & (records->slot_count - 1)) {
        tsm_record *record = records->items[records->slots[at] - 1];
        if (record->kind == kind
            && (layout->key_count == 0 || memcmp(record->keys, keys, layout->key_count * sizeof *keys) == 0)) {
            return record;
        }
    }
    tsm_record *record = make(layout, kind, keys);
    if (record == NULL || !tsm_array_reserve(&records->items, &records->capacity, records->count + 1)) {
        if (record != NULL) {
            record_free(record);
        }
        return fail(records);
    }
    records->items[records->count++] = record;
    records->slots[at] = (uint32_t)records->count;
    records->of_kind[kind]++;
    return record;
}

static void
merge_field(char how, uint64_t *into, uint64_t from)
{
    switch (how) {
    case '+':
        *into += from;
        break;
    case '^':
        *into = from > *into ? from : *into;
        break;
    case 'v':
        *into = from < *into ? from : *into;
        break;
    default: /* a text */
        *into = *into == 0 ? from : *into;
    }
}

static bool
merge_record(tsm_records *into, const tsm_records *from, const tsm_record *record, const uint32_t *texts)
{
    const tsm_record_layout *layout = &layouts[record->kind];
    uint32_t keys[TSM_RECORD_KEYS] = { 0 };
    (void)from;
    for (uint32_t i = 0; i < layout->key_count; i++) {
        keys[i] = texts[record->keys[i]];
    }
    tsm_record *target = tsm_records_find(into, record->kind, keys);
    if (target == NULL) {
        return false;
    }
    for (size_t i = 0; layout->fields[i] != '\0'; i++) {
        uint64_t value = layout->fields[i] == '"' ? texts[record->fields[i]] : record->fields[i];
        merge_field(layout->fields[i], &target->fields[i], value);
    }
    for (uint32_t i = 0; i < layout->summary_count; i++) {
        if (!tsm_summary_merge(&target->summaries[i], &record->summaries[i])) {
            return false;
        }
    }
    return true;
}

tsm_status
tsm_records_merge(tsm_records *into, const tsm_records *from)
{
    uint32_t text_count = tsm_tables_count(from->strings, TSM_TABLE_STRINGS);
    uint32_t *texts = calloc(text_count, sizeof *texts);
    bool done = texts != NULL;
    for (uint32_t i = 1; done && i < text_count; i++) {
        tsm_text text = tsm_records_borrow(from, i);
        texts[i] = tsm_records_text(into, text.data, text.size);
    }
    for (size_t i = 0; done && i < from->count; i++) {
        done = merge_record(into, from, from->items[i], texts);
    }
    free(texts);
    into->failed = into->failed || from->failed;
    return done && !into->failed ? TSM_OK : TSM_E_NOMEM;
}
