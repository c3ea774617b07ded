/* Ids that stand for texts, numbered as they are met: dictionaries of Arrow, and cells that CSV
 * quotes once and writes often. Ids of equal texts (stacks that differ in a line, names that had to be
 * repaired) share a code, because consumers refuse a dictionary that says a thing twice. Private to
 * export/. */
#ifndef TSM_EXPORT_TEXTS_H
#define TSM_EXPORT_TEXTS_H

#include "export/columns.h"

static inline bool
tsm_cell_is_text(tsm_cell cell)
{
    return cell == TSM_CELL_STRING || cell == TSM_CELL_TYPE || cell == TSM_CELL_STACK;
}

typedef struct {
    tsm_cell cell;
    bool quoted;     /* as CSV wants it */
    uint32_t *codes; /* by id: the code + 1, or 0 */
    size_t code_capacity;
    int32_t *ends; /* by code: where its text ends */
    size_t count, end_capacity;
    uint32_t *slots; /* by a text's hash: the code + 1, or 0 */
    size_t slot_count;
    tsm_buffer bytes;
} tsm_cell_texts;

/* The code of an id. TSM_E_LIMIT: the text is longer than an int32 can say. */
TSM_NODISCARD tsm_status tsm_cell_texts_code(tsm_cell_texts *texts, const tsm_tables *tables, uint64_t id,
                                             uint32_t *code);
/* Valid until another code is asked for. */
tsm_text tsm_cell_texts_borrow(const tsm_cell_texts *texts, uint32_t code);
/* Forgets all codes if there are many, so that a trace in which every name is another does not
 * gather in memory. Did it? */
bool tsm_cell_texts_renew(tsm_cell_texts *texts);
void tsm_cell_texts_free(tsm_cell_texts *texts);

#endif
