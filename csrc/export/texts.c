#include "export/texts.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"

#define RENEW_COUNT 65536
#define RENEW_BYTES ((size_t)8 << 20)
#define TEXT_MAX    ((size_t)512 << 20) /* even if all of it has to be repaired, ends stay below 2^31 */

/* The text that begins at from, if it holds what would end a cell or a row. */
static void
quote(tsm_buffer *bytes, size_t from)
{
    size_t quotes = 0;
    bool needed = false;
    for (size_t i = from; i < bytes->size; i++) {
        const char byte = bytes->data[i];
        quotes += byte == '"';
        needed |= byte == '"' || byte == ',' || byte == '\n' || byte == '\r';
    }
    if (!needed || tsm_buffer_room(bytes, quotes + 2) == NULL) {
        return;
    }
    size_t to = bytes->size + quotes + 2;
    bytes->data[--to] = '"';
    for (size_t i = bytes->size; i-- > from;) {
        bytes->data[--to] = bytes->data[i];
        if (bytes->data[i] == '"') {
            bytes->data[--to] = '"';
        }
    }
    bytes->data[from] = '"';
    bytes->size += quotes + 2;
}

static tsm_status
put_text(tsm_cell_texts *texts, const tsm_tables *tables, uint64_t id)
{
    tsm_buffer *bytes = &texts->bytes;
    const size_t from = bytes->size;
    if (texts->cell == TSM_CELL_TYPE) {
        tsm_buffer_say(bytes, tsm_event_type_name((uint16_t)id));
    } else if (texts->cell == TSM_CELL_STACK) {
        tsm_buffer_stack(bytes, tables, (uint32_t)id);
    } else {
        const tsm_text text = tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, (uint32_t)id);
        if (text.size > TEXT_MAX) {
            return TSM_E_LIMIT;
        }
        tsm_buffer_utf8(bytes, text);
    }
    if (texts->quoted && !bytes->failed) {
        quote(bytes, from);
    }
    return bytes->failed ? TSM_E_NOMEM : bytes->size > INT32_MAX ? TSM_E_LIMIT : TSM_OK;
}

/* Where the code of the text is, or would be. */
static uint32_t *
find_slot(const tsm_cell_texts *texts, tsm_text text)
{
    size_t at = (size_t)tsm_hash_bytes(text.data, text.size) & (texts->slot_count - 1);
    for (; texts->slots[at] != 0; at = (at + 1) & (texts->slot_count - 1)) {
        const tsm_text known = tsm_cell_texts_borrow(texts, texts->slots[at] - 1);
        if (known.size == text.size && (text.size == 0 || memcmp(known.data, text.data, text.size) == 0)) {
            break;
        }
    }
    return &texts->slots[at];
}

static tsm_status
make_slots(tsm_cell_texts *texts)
{
    if (texts->count * 2 < texts->slot_count) {
        return TSM_OK;
    }
    const size_t wanted = texts->slot_count == 0 ? 64 : texts->slot_count * 2;
    uint32_t *slots = calloc(wanted, sizeof *slots);
    if (slots == NULL) {
        return TSM_E_NOMEM;
    }
    free(texts->slots);
    texts->slots = slots;
    texts->slot_count = wanted;
    for (uint32_t code = 0; code < texts->count; code++) {
        *find_slot(texts, tsm_cell_texts_borrow(texts, code)) = code + 1;
    }
    return TSM_OK;
}

static tsm_status
make_room(tsm_cell_texts *texts, uint64_t id)
{
    const size_t before = texts->code_capacity;
    if (id >= UINT32_MAX || !tsm_array_reserve(&texts->codes, &texts->code_capacity, (size_t)id + 1)
        || !tsm_array_reserve(&texts->ends, &texts->end_capacity, texts->count + 1)) {
        return TSM_E_NOMEM;
    }
    memset(texts->codes + before, 0, (texts->code_capacity - before) * sizeof *texts->codes);
    return make_slots(texts);
}

/* Of the text that was put behind the others: a new one, or that of its equal. */
static uint32_t
number_last(tsm_cell_texts *texts, size_t from)
{
    uint32_t *slot = find_slot(texts, (tsm_text){ texts->bytes.data + from, texts->bytes.size - from });
    if (*slot != 0) {
        texts->bytes.size = from;
        return *slot - 1;
    }
    texts->ends[texts->count++] = (int32_t)texts->bytes.size;
    *slot = (uint32_t)texts->count;
    return *slot - 1;
}

tsm_status
tsm_cell_texts_code(tsm_cell_texts *texts, const tsm_tables *tables, uint64_t id, uint32_t *code)
{
    if (id < texts->code_capacity && texts->codes[id] != 0) {
        *code = texts->codes[id] - 1;
        return TSM_OK;
    }
    const size_t from = texts->bytes.size;
    tsm_status status = make_room(texts, id);
    if (status == TSM_OK) {
        status = put_text(texts, tables, id);
    }
    if (status == TSM_OK) {
        *code = number_last(texts, from);
        texts->codes[id] = *code + 1;
    }
    return status;
}

bool
tsm_cell_texts_renew(tsm_cell_texts *texts)
{
    if (texts->count <= RENEW_COUNT && texts->bytes.size <= RENEW_BYTES) {
        return false;
    }
    memset(texts->codes, 0, texts->code_capacity * sizeof *texts->codes);
    memset(texts->slots, 0, texts->slot_count * sizeof *texts->slots);
    texts->count = texts->bytes.size = 0;
    return true;
}

tsm_text
tsm_cell_texts_borrow(const tsm_cell_texts *texts, uint32_t code)
{
    const size_t from = code == 0 ? 0 : (size_t)texts->ends[code - 1];
    return (tsm_text){ texts->bytes.data + from, (size_t)texts->ends[code] - from };
}

void
tsm_cell_texts_free(tsm_cell_texts *texts)
{
    free(texts->codes);
    free(texts->slots);
    free(texts->ends);
    free(texts->bytes.data);
}
