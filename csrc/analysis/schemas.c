#include <string.h>

#include "analysis/pass.h"

static bool
is(tsm_text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

/* A schema's row is its last field; the chain leads back to its name. */
static tsm_schema_state
look_up(const tsm_tables *tables, uint32_t row)
{
    static const char *const names[] = { "address", "in_use", "bytes", "ranks" };
    int8_t found[4] = { -1, -1, -1, -1 };
    int depth = 0, at = 0;
    for (uint32_t i = row; i != 0 && depth < 64; depth++) {
        uint64_t parent = tsm_tables_borrow_row(tables, TSM_TABLE_SCHEMAS, i)[TSM_SCHEMA_PARENT];
        i = parent < i ? (uint32_t)parent : 0;
    }
    for (uint32_t i = row; i != 0 && at < depth - 1; at++) {
        const uint64_t *values = tsm_tables_borrow_row(tables, TSM_TABLE_SCHEMAS, i);
        tsm_text field = tsm_tables_borrow_text(tables, TSM_TABLE_STRINGS, (uint32_t)values[TSM_SCHEMA_FIELD]);
        for (int k = 0; k < 4; k++) {
            found[k] = is(field, names[k]) ? (int8_t)(depth - 2 - at) : found[k];
        }
        i = values[TSM_SCHEMA_PARENT] < i ? (uint32_t)values[TSM_SCHEMA_PARENT] : 0;
    }
    return (tsm_schema_state){ true, found[0], found[1], found[2], found[3] };
}

const tsm_schema_state *
tsm_pass_schema(tsm_pass *pass, uint32_t row)
{
    tsm_schema_state *schema = &pass->schemas[row < pass->schema_count ? row : 0];
    if (!schema->known) {
        *schema = look_up(pass->tables, row < pass->schema_count ? row : 0);
    }
    return schema;
}

bool
tsm_pass_value(tsm_pass *pass, const tsm_extension *extensions, size_t count, size_t which, uint64_t *value)
{
    for (size_t i = 0; i < count; i++) {
        const tsm_schema_state *schema = tsm_pass_schema(pass, extensions[i].schema);
        int at = ((const int8_t *)schema)[which];
        if (at >= 0 && at < extensions[i].count && at < TSM_EXTENSION_VALUES) {
            *value = extensions[i].values[at];
            return true;
        }
    }
    return false;
}
