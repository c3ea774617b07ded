/* Writer: objects and arrays on their way into the file. */
#include "python/core/writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

tsm_status
tsm_writer_intern_text(void *context, unsigned table, const void *data, size_t size, uint32_t *id)
{
    WriterObject *self = context;
    tsm_lock_write(&self->lock);
    tsm_status status = self->writer == NULL
                            ? TSM_E_STATE
                            : tsm_tables_intern_text(tsm_sbt_writer_tables(self->writer), table, data, size, id);
    tsm_unlock(&self->lock);
    return status;
}

/* An event knows a device by its number; write_device_info may have told more of it. */
static bool
find_device(const tsm_tables *tables, const uint64_t *values, uint32_t *id)
{
    for (uint32_t row = tsm_tables_count(tables, TSM_TABLE_DEVICES); row-- > 1;) {
        const uint64_t *known = tsm_tables_borrow_row(tables, TSM_TABLE_DEVICES, row);
        if (known[TSM_DEVICE_HOST] == values[TSM_DEVICE_HOST]
            && known[TSM_DEVICE_ORDINAL] == values[TSM_DEVICE_ORDINAL]) {
            *id = row;
            return true;
        }
    }
    return false;
}

static tsm_status
intern_row(void *context, unsigned table, const uint64_t *values, uint32_t *id)
{
    WriterObject *self = context;
    tsm_lock_write(&self->lock);
    tsm_status status = TSM_E_STATE;
    if (self->writer != NULL) {
        tsm_tables *tables = tsm_sbt_writer_tables(self->writer);
        bool known = table == TSM_TABLE_DEVICES && find_device(tables, values, id);
        status = known ? TSM_OK : tsm_tables_intern(tables, table, values, id);
    }
    tsm_unlock(&self->lock);
    return status;
}

static void
fail(void *context, tsm_status status)
{
    tsm_writer_fail(context, status, NULL);
}

static tsm_build_target
target_of(WriterObject *self)
{
    tsm_lock_read(&self->lock);
    uint32_t process = self->process;
    tsm_unlock(&self->lock);
    return (tsm_build_target){ self, tsm_writer_intern_text, intern_row, fail, process };
}

static tsm_status
append(WriterObject *self, const tsm_batch *batch, tsm_error *err)
{
    pthread_rwlock_wrlock(&self->lock);
    tsm_status status = self->writer == NULL ? TSM_E_STATE : tsm_sbt_writer_append(self->writer, batch, err);
    tsm_unlock(&self->lock);
    return status;
}

static PyObject *
append_detached(WriterObject *self, const tsm_batch *batch)
{
    tsm_error err = { 0 };
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    status = append(self, batch, &err);
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        return tsm_writer_fail(self, status, &err);
    }
    Py_RETURN_NONE;
}

PyObject *
tsm_writer_write(PyObject *op, PyObject *object)
{
    static const uint32_t rows[TSM_BUILT_EXTENSIONS] = { 0 };
    WriterObject *self = (WriterObject *)op;
    module_state *state = PyType_GetModuleState(Py_TYPE(op));
    tsm_build_target target = target_of(self);
    tsm_built built;
    if (tsm_writer_check_process(self) < 0 || tsm_build_event(&state->names, &target, object, &built) < 0) {
        return NULL;
    }
    return append_detached(self, &(tsm_batch){ &built.event, 1, built.extensions, rows, built.extension_count });
}

PyObject *
tsm_writer_write_all(PyObject *op, PyObject *iterable)
{
    WriterObject *self = (WriterObject *)op;
    tsm_build_target target = target_of(self);
    if (tsm_writer_check_process(self) < 0) {
        return NULL;
    }
    tsm_memory *memory = tsm_collect(PyType_GetModuleState(Py_TYPE(op)), &target, iterable);
    if (memory == NULL) {
        return NULL;
    }
    tsm_batch batch;
    tsm_memory_borrow(memory, &batch);
    PyObject *done = append_detached(self, &batch);
    tsm_memory_destroy(memory);
    return done;
}

/* The name of the field that refers to no row, or NULL. */
static const char *
wrong_field(const tsm_tables *tables, const tsm_event *event)
{
    unsigned extra = tsm_extra_table(event->flags);
    return !TSM_SLOT_IS_EVENT(event->type)                                 ? "type"
           : event->name >= tsm_tables_count(tables, TSM_TABLE_STRINGS)    ? "name"
           : event->stack >= tsm_tables_count(tables, TSM_TABLE_STACKS)    ? "stack"
           : event->thread >= tsm_tables_count(tables, TSM_TABLE_THREADS)  ? "thread"
           : event->stream >= tsm_tables_count(tables, TSM_TABLE_STREAMS)  ? "stream"
           : event->device >= tsm_tables_count(tables, TSM_TABLE_DEVICES)  ? "device"
           : extra != 0 && event->extra >= tsm_tables_count(tables, extra) ? "extra"
                                                                           : NULL;
}

static tsm_status
check_events(const tsm_tables *tables, const tsm_batch *batch, tsm_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const char *field = wrong_field(tables, &batch->events[i]);
        if (field != NULL) {
            return tsm_fail(err, TSM_E_ARG, i, "the %s of event %zu is none that its tables know", field, i);
        }
    }
    return TSM_OK;
}

#define CHUNK 4096

typedef struct {
    tsm_event events[CHUNK];
    tsm_extension *extensions;
    uint32_t *rows;
    size_t extensions_capacity, rows_capacity;
} chunk;

/* Copies events [at, at + n) of all with the extensions from *taken on that belong to them. */
static bool
copy_chunk(chunk *c, const tsm_batch *all, size_t at, size_t n, size_t *taken, tsm_batch *out)
{
    size_t first = *taken, last = first;
    while (last < all->extension_count && all->extension_rows[last] < at + n) {
        last++;
    }
    if (!tsm_array_reserve(&c->extensions, &c->extensions_capacity, last - first)
        || !tsm_array_reserve(&c->rows, &c->rows_capacity, last - first)) {
        return false;
    }
    memcpy(c->events, all->events + at, n * sizeof *c->events);
    for (size_t i = first; i < last; i++) {
        c->extensions[i - first] = all->extensions[i];
        c->rows[i - first] = all->extension_rows[i] - (uint32_t)at;
    }
    *taken = last;
    *out = (tsm_batch){ c->events, n, c->extensions, c->rows, last - first };
    return true;
}

static tsm_status
append_chunks(WriterObject *self, const tsm_batch *all, bool translate, tsm_error *err)
{
    tsm_tables *tables = tsm_sbt_writer_tables(self->writer);
    chunk *c = calloc(1, sizeof *c);
    tsm_status status = c == NULL ? TSM_E_NOMEM : TSM_OK;
    size_t taken = 0;
    for (size_t at = 0; status == TSM_OK && at < all->count; at += CHUNK) {
        tsm_batch batch;
        if (!copy_chunk(c, all, at, all->count - at < CHUNK ? all->count - at : CHUNK, &taken, &batch)) {
            status = TSM_E_NOMEM;
            break;
        }
        if (translate) {
            tsm_remap_events(self->remap, c->events, batch.count);
            tsm_remap_extensions(self->remap, tables, c->extensions, batch.extension_count);
        }
        status = tsm_sbt_writer_append(self->writer, &batch, err);
    }
    if (c != NULL) {
        free(c->extensions);
        free(c->rows);
        free(c);
    }
    return status;
}

/* Brings the remap up to date with store, keeping it between the blocks of one trace. The old
 * store goes to *old, to be released without the lock. */
static tsm_status
prepare_remap(WriterObject *self, StoreObject *store, PyObject **old)
{
    if (self->source != (PyObject *)store) {
        tsm_remap *remap = NULL;
        if (tsm_remap_create(&remap) != TSM_OK) {
            return TSM_E_NOMEM;
        }
        tsm_remap_destroy(self->remap);
        self->remap = remap;
        *old = self->source;
        self->source = (PyObject *)store; /* the caller counts the reference */
    }
    return tsm_remap_tables(self->remap, tsm_sbt_writer_tables(self->writer), tsm_store_tables(store));
}

static tsm_status
write_batch(WriterObject *self, StoreObject *store, const tsm_batch *batch, PyObject **old, tsm_error *err)
{
    tsm_status status = TSM_E_STATE;
    pthread_rwlock_wrlock(&self->lock);
    if (self->writer != NULL && store == NULL) {
        status = check_events(tsm_sbt_writer_tables(self->writer), batch, err);
    } else if (self->writer != NULL) {
        pthread_rwlock_rdlock(&store->lock);
        status = check_events(tsm_store_tables(store), batch, err);
        status = status == TSM_OK ? prepare_remap(self, store, old) : status;
        tsm_unlock(&store->lock);
    }
    if (status == TSM_OK) {
        status = append_chunks(self, batch, store != NULL, err);
    }
    tsm_unlock(&self->lock);
    return status;
}

PyObject *
tsm_writer_write_batch(PyObject *op, PyObject *args)
{
    WriterObject *self = (WriterObject *)op;
    module_state *state = PyType_GetModuleState(Py_TYPE(op));
    PyObject *store, *events, *extensions, *rows;
    if (!PyArg_ParseTuple(args, "OOOO:write_batch", &store, &events, &extensions, &rows)
        || tsm_writer_check_process(self) < 0) {
        return NULL;
    }
    if (store != Py_None && !Py_IS_TYPE(store, (PyTypeObject *)state->StoreType)) {
        return PyErr_Format(PyExc_TypeError, "store must be a Store or None, not %.100s", Py_TYPE(store)->tp_name);
    }
    tsm_arrays arrays;
    if (tsm_arrays_take(state, events, extensions, rows, &arrays) < 0) {
        return NULL;
    }
    /* One reference more for self->source; given back below when it was not needed. */
    PyObject *old = Py_NewRef(store);
    tsm_error err = { 0 };
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    status = write_batch(self, store == Py_None ? NULL : (StoreObject *)store, &arrays.batch, &old, &err);
    Py_END_ALLOW_THREADS
    Py_XDECREF(old);
    tsm_arrays_release(&arrays);
    if (status != TSM_OK) {
        return tsm_writer_fail(self, status, &err);
    }
    Py_RETURN_NONE;
}

PyObject *
tsm_writer_flush(PyObject *op, PyObject *unused)
{
    (void)unused;
    WriterObject *self = (WriterObject *)op;
    tsm_error err = { 0 };
    tsm_status status;
    if (tsm_writer_check_process(self) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    pthread_rwlock_wrlock(&self->lock);
    status = self->writer == NULL ? TSM_E_STATE : tsm_sbt_writer_flush(self->writer, &err);
    tsm_unlock(&self->lock);
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        return tsm_writer_fail(self, status, &err);
    }
    Py_RETURN_NONE;
}
