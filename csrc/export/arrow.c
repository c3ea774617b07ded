/* The stream: pulls the cursor, and answers in errno's numbers, as the interface wants it. */
#include "export/arrow.h"

#include <errno.h>
#include <stdlib.h>

typedef struct {
    tsm_cursor *cursor;
    tsm_batch rest; /* of the cursor's batch, events not yet taken */
    arrow_texts texts[TSM_FLAT_COUNT];
    arrow_batch batch;
    tsm_status status; /* TSM_E_END, or why it cannot go on */
    tsm_error error;
} stream;

/* ---- Schema */

static const char *
format_of(tsm_cell cell)
{
    switch (cell) {
    case TSM_CELL_INTEGER:
        return "l";
    case TSM_CELL_NATURAL:
        return "L";
    case TSM_CELL_COUNT:
        return "I";
    case TSM_CELL_REAL:
        return "g";
    default:
        return "i"; /* codes */
    }
}

static void
release_column_schema(struct ArrowSchema *schema)
{
    if (schema->dictionary != NULL && schema->dictionary->release != NULL) {
        schema->dictionary->release(schema->dictionary);
    }
    free(schema->dictionary);
    schema->release = NULL;
}

typedef struct {
    struct ArrowSchema *pointers[TSM_FLAT_COUNT];
    struct ArrowSchema columns[TSM_FLAT_COUNT];
} schema_owner;

static void
release_schema(struct ArrowSchema *schema)
{
    schema_owner *owner = schema->private_data;
    for (size_t c = 0; c < TSM_FLAT_COUNT; c++) {
        if (owner->columns[c].release != NULL) {
            owner->columns[c].release(&owner->columns[c]);
        }
    }
    free(owner);
    schema->release = NULL;
}

static bool
describe_column(const tsm_flat_column *column, struct ArrowSchema *out)
{
    struct ArrowSchema *dictionary = NULL;
    if (tsm_cell_is_text(column->cell)) {
        dictionary = malloc(sizeof *dictionary);
        if (dictionary == NULL) {
            return false;
        }
        *dictionary = (struct ArrowSchema){ .format = "u", .name = "", .release = release_column_schema };
    }
    *out = (struct ArrowSchema){ .format = format_of(column->cell),
                                 .name = column->name,
                                 .flags = ARROW_FLAG_NULLABLE,
                                 .dictionary = dictionary,
                                 .release = release_column_schema };
    return true;
}

static int
get_schema(struct ArrowArrayStream *self, struct ArrowSchema *out)
{
    (void)self;
    schema_owner *owner = calloc(1, sizeof *owner);
    if (owner == NULL) {
        return ENOMEM;
    }
    struct ArrowSchema made = { .format = "+s",
                                .name = "",
                                .n_children = TSM_FLAT_COUNT,
                                .children = owner->pointers,
                                .release = release_schema,
                                .private_data = owner };
    for (size_t c = 0; c < TSM_FLAT_COUNT; c++) {
        owner->pointers[c] = &owner->columns[c];
        if (!describe_column(&tsm_flat_columns[c], &owner->columns[c])) {
            release_schema(&made);
            return ENOMEM;
        }
    }
    *out = made;
    return 0;
}

/* ---- Batches */

/* Adds of rest what fits. */
static tsm_status
take_rest(stream *s)
{
    const tsm_tables *tables = tsm_cursor_tables(s->cursor);
    while (s->rest.count > 0 && !s->batch.full) {
        tsm_status status = arrow_batch_add(&s->batch, s->texts, tables, s->rest.events);
        if (status != TSM_OK) {
            return tsm_fail(&s->error, status, 0, "an event does not fit into a batch: %s", tsm_status_text(status));
        }
        s->rest.events++;
        s->rest.count--;
    }
    return TSM_OK;
}

static tsm_status
fill(stream *s)
{
    tsm_status status = TSM_OK;
    arrow_batch_begin(&s->batch);
    for (size_t c = 0; c < TSM_FLAT_COUNT; c++) {
        arrow_texts_renew(&s->texts[c]);
    }
    while (status == TSM_OK && !s->batch.full) {
        if (s->rest.count == 0) {
            status = tsm_cursor_next(s->cursor, &s->rest, &s->error);
        }
        if (status == TSM_OK) {
            status = take_rest(s);
        }
    }
    return status;
}

static int
number_of(tsm_status status)
{
    return status == TSM_E_NOMEM ? ENOMEM : status == TSM_E_IO ? EIO : EINVAL;
}

static int
get_next(struct ArrowArrayStream *self, struct ArrowArray *out)
{
    stream *s = self->private_data;
    if (s->status == TSM_OK) {
        s->status = fill(s);
        if (s->batch.rows > 0 && (s->status == TSM_OK || s->status == TSM_E_END)) {
            tsm_status status = arrow_batch_finish(&s->batch, s->texts, out);
            s->status = status == TSM_OK ? s->status : tsm_fail(&s->error, status, 0, "no memory for a batch");
            return status == TSM_OK ? 0 : ENOMEM;
        }
        arrow_batch_free(&s->batch);
    }
    if (s->status == TSM_E_END) {
        *out = (struct ArrowArray){ .release = NULL };
        return 0;
    }
    return number_of(s->status);
}

static const char *
get_last_error(struct ArrowArrayStream *self)
{
    const stream *s = self->private_data;
    if (s->status == TSM_OK || s->status == TSM_E_END) {
        return NULL;
    }
    return s->error.text[0] != 0 ? s->error.text : tsm_status_text(s->status);
}

static void
release_stream(struct ArrowArrayStream *self)
{
    stream *s = self->private_data;
    tsm_cursor_close(s->cursor);
    for (size_t c = 0; c < TSM_FLAT_COUNT; c++) {
        arrow_texts_free(&s->texts[c]);
    }
    free(s);
    self->release = NULL;
}

tsm_status
tsm_export_arrow(tsm_cursor *cursor, struct ArrowArrayStream *out)
{
    stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return TSM_E_NOMEM;
    }
    s->cursor = cursor;
    for (size_t c = 0; c < TSM_FLAT_COUNT; c++) {
        s->texts[c].texts.cell = tsm_flat_columns[c].cell;
    }
    *out = (struct ArrowArrayStream){ .get_schema = get_schema,
                                      .get_next = get_next,
                                      .get_last_error = get_last_error,
                                      .release = release_stream,
                                      .private_data = s };
    return TSM_OK;
}
