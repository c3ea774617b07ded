/* Writer: an SBT file being made. Its lock is never held while Python code runs, so objects
 * are turned into events intern by intern, and then appended. */
#include "python/core/writer.h"

#include <string.h>
#include <unistd.h>

static module_state *
state_of(WriterObject *self)
{
    return PyType_GetModuleState(Py_TYPE((PyObject *)self));
}

static PyObject *
writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { "path", "compress", NULL };
    PyObject *path = NULL;
    int compress = 0;
    if (tsm_need_numpy(PyType_GetModuleState(type)) < 0
        || !PyArg_ParseTupleAndKeywords(args, kwargs, "O&|p:Writer", keywords, PyUnicode_FSDecoder, &path, &compress)) {
        return NULL;
    }
    PyObject *bytes = PyUnicode_EncodeFSDefault(path);
    WriterObject *self = bytes == NULL ? NULL : (WriterObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(bytes);
        Py_DECREF(path);
        return NULL;
    }
    self->path = path;
    self->pid = getpid();
    tsm_lock_init(&self->lock);
    tsm_error err = { 0 };
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    status =
        tsm_sbt_writer_open(PyBytes_AS_STRING(bytes), compress ? TSM_SBT_ZSTD : TSM_SBT_PLAIN, &self->writer, &err);
    Py_END_ALLOW_THREADS
    Py_DECREF(bytes);
    if (status != TSM_OK) {
        tsm_raise(state_of(self), status, &err, path);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static tsm_status
close_writer(WriterObject *self, tsm_error *err)
{
    tsm_status status = TSM_OK;
    pthread_rwlock_wrlock(&self->lock);
    if (self->writer != NULL) {
        self->final_events = tsm_sbt_writer_events(self->writer);
        status = tsm_sbt_writer_close(self->writer, err);
        self->writer = NULL;
    }
    tsm_unlock(&self->lock);
    return status;
}

static void
forget_source(WriterObject *self)
{
    tsm_remap_destroy(self->remap);
    self->remap = NULL;
    Py_CLEAR(self->source);
}

static PyObject *
writer_finalize(PyObject *op, PyObject *unused)
{
    (void)unused;
    WriterObject *self = (WriterObject *)op;
    tsm_error err = { 0 };
    tsm_status status;
    if (tsm_writer_check_process(self) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = close_writer(self, &err);
    Py_END_ALLOW_THREADS
    tsm_lock_write(&self->lock);
    PyObject *source = self->source;
    self->source = NULL;
    forget_source(self);
    tsm_unlock(&self->lock);
    Py_XDECREF(source);
    if (status != TSM_OK) {
        return tsm_raise(state_of(self), status, &err, self->path);
    }
    Py_RETURN_NONE;
}

static void
finalize_late(WriterObject *self)
{
    if (PyErr_ResourceWarning((PyObject *)self, 1, "SBT file %R was not finalized", self->path) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    tsm_error err = { 0 };
    tsm_status status = close_writer(self, &err);
    if (status != TSM_OK) {
        tsm_raise(state_of(self), status, &err, self->path);
        PyErr_WriteUnraisable((PyObject *)self);
    }
}

/* A writer that nobody finalized: what it collected is saved all the same. A forked child's
 * copy leaves the parent's file alone. */
static void
writer_finalizer(PyObject *op)
{
    WriterObject *self = (WriterObject *)op;
    if (self->writer == NULL || self->pid != getpid()) {
        return;
    }
#if PY_VERSION_HEX >= 0x030c0000
    PyObject *raised = PyErr_GetRaisedException();
    finalize_late(self);
    PyErr_SetRaisedException(raised);
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    finalize_late(self);
    PyErr_Restore(type, value, traceback);
#endif
}

static void
writer_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    WriterObject *self = (WriterObject *)op;
    if (PyObject_CallFinalizerFromDealloc(op) < 0) {
        return;
    }
    forget_source(self);
    pthread_rwlock_destroy(&self->lock);
    Py_XDECREF(self->path);
    type->tp_free(op);
    Py_DECREF(type); /* instances of heap types own their type */
}

int
tsm_writer_check_process(WriterObject *self)
{
    if (self->pid != getpid()) {
        PyErr_Format(state_of(self)->StateError, "%U is written by process %ld, whose fork this is", self->path,
                     (long)self->pid);
        return -1;
    }
    return 0;
}

PyObject *
tsm_writer_fail(WriterObject *self, tsm_status status, const tsm_error *err)
{
    if (status == TSM_E_STATE && (err == NULL || err->text[0] == '\0')) {
        PyErr_Format(state_of(self)->StateError, "%U is finalized: nothing more can be written", self->path);
        return NULL;
    }
    return tsm_raise(state_of(self), status, err, self->path);
}

static PyObject *
writer_intern(PyObject *op, PyObject *text)
{
    WriterObject *self = (WriterObject *)op;
    const char *data;
    Py_ssize_t size;
    PyObject *keep;
    uint32_t id;
    if (tsm_writer_check_process(self) < 0 || tsm_build_text(text, &data, &size, &keep) < 0) {
        return NULL;
    }
    tsm_status status = tsm_writer_intern_text(self, TSM_TABLE_STRINGS, data, (size_t)size, &id);
    Py_XDECREF(keep);
    return status == TSM_OK ? PyLong_FromUnsignedLong(id) : tsm_writer_fail(self, status, NULL);
}

/* The column that refers to a row that is not there, or NULL: readers refuse some of those. */
static const char *
dangling_column(const tsm_tables *tables, unsigned table, const uint64_t *values)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    for (size_t i = 0; i < layout->column_count; i++) {
        const tsm_column *column = &layout->columns[i];
        if (column->type == TSM_COLUMN_REF && values[i] >= tsm_tables_count(tables, column->ref)) {
            return column->name;
        }
    }
    return NULL;
}

static tsm_status
put_row(WriterObject *self, unsigned table, const uint64_t *values, bool interned, uint32_t *id, tsm_error *err)
{
    if (self->writer == NULL) {
        return TSM_E_STATE;
    }
    tsm_tables *tables = tsm_sbt_writer_tables(self->writer);
    const char *dangling = dangling_column(tables, table, values);
    if (dangling != NULL) {
        return tsm_fail(err, TSM_E_ARG, 0, "column %s refers to a row that does not exist", dangling);
    }
    return interned ? tsm_tables_intern(tables, table, values, id) : tsm_tables_add(tables, table, values, id);
}

static PyObject *
writer_row(PyObject *op, PyObject *args, const char *format, bool interned)
{
    WriterObject *self = (WriterObject *)op;
    const char *name;
    PyObject *sequence;
    uint64_t values[TSM_COLUMNS_MAX];
    uint32_t id;
    if (!PyArg_ParseTuple(args, format, &name, &sequence) || tsm_writer_check_process(self) < 0) {
        return NULL;
    }
    unsigned table = tsm_table_number(name);
    if (table == 0 || tsm_row_values(table, sequence, values) < 0) {
        return NULL;
    }
    tsm_error err = { 0 };
    tsm_lock_write(&self->lock);
    tsm_status status = put_row(self, table, values, interned, &id, &err);
    tsm_unlock(&self->lock);
    return status == TSM_OK ? PyLong_FromUnsignedLong(id) : tsm_writer_fail(self, status, &err);
}

static PyObject *
writer_intern_row(PyObject *op, PyObject *args)
{
    return writer_row(op, args, "sO:intern_row", true);
}

static PyObject *
writer_add_row(PyObject *op, PyObject *args)
{
    return writer_row(op, args, "sO:add_row", false);
}

static PyObject *
writer_get_events(PyObject *op, void *closure)
{
    (void)closure;
    WriterObject *self = (WriterObject *)op;
    if (tsm_writer_check_process(self) < 0) {
        return NULL;
    }
    tsm_lock_read(&self->lock);
    uint64_t events = self->writer == NULL ? self->final_events : tsm_sbt_writer_events(self->writer);
    tsm_unlock(&self->lock);
    return PyLong_FromUnsignedLongLong(events);
}

static PyObject *
writer_get_bytes(PyObject *op, void *closure)
{
    (void)closure;
    WriterObject *self = (WriterObject *)op;
    if (tsm_writer_check_process(self) < 0) {
        return NULL;
    }
    tsm_lock_read(&self->lock);
    bool open = self->writer != NULL;
    uint64_t bytes = open ? tsm_sbt_writer_bytes(self->writer) : 0;
    tsm_unlock(&self->lock);
    return open ? PyLong_FromUnsignedLongLong(bytes) : tsm_writer_fail(self, TSM_E_STATE, NULL);
}

static PyObject *
writer_get_closed(PyObject *op, void *closure)
{
    (void)closure;
    WriterObject *self = (WriterObject *)op;
    if (tsm_writer_check_process(self) < 0) {
        return NULL;
    }
    tsm_lock_read(&self->lock);
    bool closed = self->writer == NULL;
    tsm_unlock(&self->lock);
    return PyBool_FromLong(closed);
}

static PyObject *
writer_get_path(PyObject *op, void *closure)
{
    (void)closure;
    return Py_NewRef(((WriterObject *)op)->path);
}

static PyObject *
writer_get_process(PyObject *op, void *closure)
{
    (void)closure;
    WriterObject *self = (WriterObject *)op;
    tsm_lock_read(&self->lock);
    uint32_t process = self->process;
    tsm_unlock(&self->lock);
    return PyLong_FromUnsignedLong(process);
}

static int
writer_set_process(PyObject *op, PyObject *value, void *closure)
{
    (void)closure;
    uint64_t row;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "process cannot be deleted");
        return -1;
    }
    if (tsm_build_u64(value, &row) < 0) {
        return -1;
    }
    if (row > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a row number has 32 bits");
        return -1;
    }
    WriterObject *self = (WriterObject *)op;
    tsm_lock_write(&self->lock);
    self->process = (uint32_t)row;
    tsm_unlock(&self->lock);
    return 0;
}

static PyMethodDef writer_methods[] = {
    { "write", tsm_writer_write, METH_O,
      PyDoc_STR("write($self, event, /)\n--\n\nAppend one TraceEvent, CounterEvent or MemoryEvent.") },
    { "write_all", tsm_writer_write_all, METH_O,
      PyDoc_STR("write_all($self, objects, /)\n--\n\nThe same for any iterable of them: all or none.") },
    { "write_batch", tsm_writer_write_batch, METH_VARARGS,
      PyDoc_STR("write_batch($self, store, events, extensions, rows, /)\n--\n\n"
                "Append arrays whose ids are rows of store, or of this file's own tables when store\n"
                "is None. extensions and rows may both be None.") },
    { "intern", writer_intern, METH_O,
      PyDoc_STR("intern($self, text, /)\n--\n\nThe row of strings that holds text, added if need be.") },
    { "intern_row", writer_intern_row, METH_VARARGS,
      PyDoc_STR("intern_row($self, table, values, /)\n--\n\nThe row equal to values, added if need be.") },
    { "add_row", writer_add_row, METH_VARARGS,
      PyDoc_STR("add_row($self, table, values, /)\n--\n\nAdd a row even if an equal one exists.") },
    { "flush", tsm_writer_flush, METH_NOARGS,
      PyDoc_STR("flush($self, /)\n--\n\nWrite what has been collected, so that readers can see it.") },
    { "finalize", writer_finalize, METH_NOARGS,
      PyDoc_STR("finalize($self, /)\n--\n\nFinish the file and close it. A second call does nothing.") },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef writer_getset[] = {
    { "events", writer_get_events, NULL, PyDoc_STR("Events in the file or collected for it."), NULL },
    { "bytes", writer_get_bytes, NULL, PyDoc_STR("Bytes of the file so far; StateError once finalized."), NULL },
    { "closed", writer_get_closed, NULL, PyDoc_STR("True once finalized."), NULL },
    { "path", writer_get_path, NULL, PyDoc_STR("The file."), NULL },
    { "process", writer_get_process, writer_set_process,
      PyDoc_STR("Row of processes that threads and streams of written objects belong to."), NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot writer_slots[] = {
    { Py_tp_doc, (void *)PyDoc_STR("Writer(path, compress=False)\n--\n\n"
                                   "An SBT file being written. Any thread may use it.") },
    { Py_tp_new, writer_new },
    { Py_tp_dealloc, writer_dealloc },
    { Py_tp_finalize, writer_finalizer },
    { Py_tp_methods, writer_methods },
    { Py_tp_getset, writer_getset },
    { 0, NULL },
};

PyType_Spec tsm_writer_type_spec = {
    .name = "tracesmith._core.Writer",
    .basicsize = sizeof(WriterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = writer_slots,
};
