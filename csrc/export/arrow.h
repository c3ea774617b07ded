/* Arrow: the stream is in arrow.c, a batch in arrow_batch.c, its texts in arrow_texts.c. Private to
 * export/. */
#ifndef TSM_EXPORT_ARROW_H
#define TSM_EXPORT_ARROW_H

#include "export/texts.h"

#define ARROW_BATCH_ROWS 65536
#define ARROW_TEXT_BYTES ((size_t)64 << 20) /* a dictionary of more ends its batch */

/* ---- Texts: a column's dictionary */

/* What batches share. It never changes, and belongs to all that have a reference. */
typedef struct arrow_shared arrow_shared;

typedef struct {
    tsm_cell_texts texts;
    arrow_shared *shared; /* texts as they were when last handed out */
} arrow_texts;

/* Between batches. */
void arrow_texts_renew(arrow_texts *texts);
/* What the dictionary is now, as an array that owns itself. */
TSM_NODISCARD tsm_status arrow_texts_array(arrow_texts *texts, struct ArrowArray *out);
void arrow_texts_free(arrow_texts *texts);

/* ---- A batch in the making */

static inline size_t
arrow_width(tsm_cell cell)
{
    return cell == TSM_CELL_COUNT || tsm_cell_is_text(cell) ? 4 : 8;
}

typedef struct {
    unsigned char *block; /* validity, then values; each aligned. NULL: nothing is known */
    unsigned char *valid, *values;
    size_t known;
} arrow_column;

typedef struct {
    arrow_column columns[TSM_FLAT_COUNT];
    size_t rows;
    bool full; /* no more rows: of them there are enough, or of texts */
} arrow_batch;

void arrow_batch_begin(arrow_batch *batch);
/* TSM_E_LIMIT: a text is too long for Arrow. texts: one per column. */
TSM_NODISCARD tsm_status arrow_batch_add(arrow_batch *batch, arrow_texts *texts, const tsm_tables *tables,
                                         const tsm_event *event);
/* Hands it over; the batch is empty afterwards. */
TSM_NODISCARD tsm_status arrow_batch_finish(arrow_batch *batch, arrow_texts *texts, struct ArrowArray *out);
void arrow_batch_free(arrow_batch *batch);

#endif
