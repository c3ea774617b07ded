#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "ingest/chrome.h"

void
chrome_note(chrome_importer *im, tsm_status status)
{
    if (im->status == TSM_OK && status != TSM_OK) {
        im->status = tsm_fail(im->err, status, tsm_input_offset(im->input, im->json.at), "cannot keep an event: %s",
                              tsm_status_text(status));
    }
}

bool
chrome_scratch(chrome_importer *im, size_t bytes)
{
    if (tsm_array_reserve(&im->scratch, &im->scratch_capacity, bytes)) {
        return true;
    }
    chrome_note(im, TSM_E_NOMEM);
    return false;
}

uint32_t
chrome_string(chrome_importer *im, const char *data, size_t size)
{
    uint32_t row = 0;
    chrome_note(im, tsm_tables_intern_text(im->tables, TSM_TABLE_STRINGS, data, size, &row));
    return row;
}

uint32_t
chrome_plain(chrome_importer *im, const json_value *value)
{
    if (value->kind != JSON_STRING || !value->text.escaped) {
        return chrome_string(im, value->text.data, value->text.size);
    }
    if (!chrome_scratch(im, value->text.size)) {
        return 0;
    }
    return chrome_string(im, im->scratch, json_unescape(&value->text, im->scratch));
}

/* Would this text be taken for JSON? */
static bool
looks_like_json(const char *data, size_t size)
{
    if (size == 0) {
        return false;
    }
    if (data[0] == '[' || data[0] == '{' || data[0] == '"') {
        return true;
    }
    if (data[0] == 't' || data[0] == 'f' || data[0] == 'n') {
        return (size == 4 && (memcmp(data, "true", 4) == 0 || memcmp(data, "null", 4) == 0))
               || (size == 5 && memcmp(data, "false", 5) == 0);
    }
    /* Rather too many texts than too few: anything that begins like a number is quoted. */
    return (data[0] >= '0' && data[0] <= '9') || data[0] == '-';
}

static uint32_t
string_value(chrome_importer *im, const json_text *text)
{
    if (!text->escaped && !looks_like_json(text->data, text->size)) {
        return chrome_string(im, text->data, text->size);
    }
    if (!chrome_scratch(im, 7 * text->size + 2)) {
        return 0;
    }
    /* The content lies behind the room that its escaped form may need. */
    char *content = im->scratch + 6 * text->size + 2;
    size_t size = json_unescape(text, content);
    if (!looks_like_json(content, size)) {
        return chrome_string(im, content, size);
    }
    return chrome_string(im, im->scratch, json_escape(content, size, im->scratch));
}

uint32_t
chrome_metadata_value(chrome_importer *im, const json_value *value)
{
    if (value->kind == JSON_STRING) {
        return string_value(im, &value->text);
    }
    if ((value->kind != JSON_LIST && value->kind != JSON_OBJECT) || value->plain) {
        return chrome_string(im, value->text.data, value->text.size);
    }
    if (!chrome_scratch(im, value->text.size)) {
        return 0;
    }
    return chrome_string(im, im->scratch, json_compact(value->text.data, value->text.size, im->scratch));
}

uint32_t
chrome_metadata(chrome_importer *im, uint32_t rest, uint32_t key, uint32_t value)
{
    if (key == 0 && value == 0) {
        value = chrome_string(im, "\"\"", 2); /* all zeros would be no row */
    }
    const size_t places = sizeof im->sets / sizeof *im->sets;
    chrome_set *known = &im->sets[tsm_hash_mix((uint64_t)rest << 32 | key, value) & (places - 1)];
    if (known->row == 0 || known->rest != rest || known->key != key || known->value != value) {
        uint32_t row = 0;
        chrome_note(im, tsm_tables_intern(im->tables, TSM_TABLE_METADATA, (uint64_t[]){ rest, key, value }, &row));
        *known = (chrome_set){ rest, key, value, row };
    }
    return known->row;
}

uint32_t
chrome_prefixed(chrome_importer *im, const char *data, size_t size)
{
    static const char prefix[] = "chrome:";
    const size_t length = sizeof prefix - 1;
    char small[256], *whole = small;
    if (size > sizeof small - length) {
        whole = malloc(size + length);
        if (whole == NULL) {
            chrome_note(im, TSM_E_NOMEM);
            return 0;
        }
    }
    memcpy(whole, prefix, length);
    memcpy(whole + length, data, size);
    uint32_t row = chrome_string(im, whole, size + length);
    if (whole != small) {
        free(whole);
    }
    return row;
}

uint32_t
chrome_schema_field(chrome_importer *im, uint32_t parent, uint32_t field, unsigned type)
{
    uint32_t row = 0;
    chrome_note(im, tsm_tables_intern(im->tables, TSM_TABLE_SCHEMAS, (uint64_t[]){ parent, field, type }, &row));
    return row;
}

void
chrome_info(chrome_importer *im, const char *key, size_t key_size, const char *value, size_t value_size)
{
    uint32_t row;
    uint64_t values[2];
    values[TSM_INFO_KEY] = chrome_string(im, key, key_size);
    values[TSM_INFO_VALUE] = chrome_string(im, value, value_size);
    chrome_note(im, tsm_tables_add(im->tables, TSM_TABLE_INFO, values, &row));
}
