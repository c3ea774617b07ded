/* Store: what a trace is made of. Its tables are in store_tables.c, reading in store_read.c. */
#include "python/core/state.h"

#include <string.h>

tsm_tables *
tsm_store_tables(StoreObject *store)
{
    return store->reader != NULL ? tsm_sbt_reader_tables(store->reader) : store->owned;
}

static tsm_status
open_reader(StoreObject *self, const char *path, tsm_error *err)
{
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    status = tsm_sbt_reader_open(path, &self->reader, err);
    Py_END_ALLOW_THREADS
    return status;
}

static int
start(const module_state *state, StoreObject *self)
{
    tsm_error err = { 0 };
    tsm_status status;
    if (self->path == NULL) {
        status = tsm_tables_create(&self->owned);
    } else {
        PyObject *bytes = PyUnicode_EncodeFSDefault(self->path);
        if (bytes == NULL) {
            return -1;
        }
        status = open_reader(self, PyBytes_AS_STRING(bytes), &err);
        Py_DECREF(bytes);
    }
    if (status != TSM_OK) {
        tsm_raise(state, status, &err, self->path);
        return -1;
    }
    return 0;
}

static PyObject *
store_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { "path", NULL };
    PyObject *object = Py_None, *path = NULL;
    if (tsm_need_numpy(PyType_GetModuleState(type)) < 0
        || !PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Store", keywords, &object)
        || (object != Py_None && !PyUnicode_FSDecoder(object, &path))) {
        return NULL;
    }
    StoreObject *self = (StoreObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(path);
        return NULL;
    }
    self->path = path;
    tsm_lock_init(&self->lock);
    if (start(PyType_GetModuleState(type), self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
store_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    StoreObject *self = (StoreObject *)op;
    tsm_sbt_reader_close(self->reader);
    tsm_tables_destroy(self->owned);
    pthread_rwlock_destroy(&self->lock);
    Py_XDECREF(self->path);
    type->tp_free(op);
    Py_DECREF(type); /* instances of heap types own their type */
}

static PyObject *
store_get_path(PyObject *op, void *closure)
{
    (void)closure;
    PyObject *path = ((StoreObject *)op)->path;
    return Py_NewRef(path == NULL ? Py_None : path);
}

static PyGetSetDef store_getset[] = {
    { "path", store_get_path, NULL, PyDoc_STR("The file, or None for tables in memory."), NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyObject *
store_refresh(PyObject *op, PyObject *unused)
{
    (void)unused;
    StoreObject *self = (StoreObject *)op;
    tsm_error err = { 0 };
    tsm_status status = TSM_OK;
    if (self->reader != NULL) {
        Py_BEGIN_ALLOW_THREADS
        pthread_rwlock_wrlock(&self->lock);
        status = tsm_sbt_reader_refresh(self->reader, &err);
        tsm_unlock(&self->lock);
        Py_END_ALLOW_THREADS
    }
    if (status != TSM_OK) {
        return tsm_raise(PyType_GetModuleState(Py_TYPE(op)), status, &err, self->path);
    }
    Py_RETURN_NONE;
}

static PyObject *
store_info(PyObject *op, PyObject *unused)
{
    (void)unused;
    StoreObject *self = (StoreObject *)op;
    tsm_sbt_info info = { 0 };
    tsm_lock_read(&self->lock);
    if (self->reader != NULL) {
        tsm_sbt_reader_info(self->reader, &info);
    }
    tsm_unlock(&self->lock);
    return Py_BuildValue("{s(HH)sNsNsy#sKsKsKsKsKsKsK}", "version", info.version_major, info.version_minor, "complete",
                         PyBool_FromLong(info.complete), "compressed", PyBool_FromLong(info.compressed), "uuid",
                         info.uuid, (Py_ssize_t)sizeof info.uuid, "bytes", (unsigned long long)info.file_bytes,
                         "used_bytes", (unsigned long long)info.used_bytes, "events",
                         (unsigned long long)info.event_count, "extensions", (unsigned long long)info.extension_count,
                         "blocks", (unsigned long long)info.block_count, "begin_ns", (unsigned long long)info.begin_ns,
                         "end_ns", (unsigned long long)info.end_ns);
}

static PyObject *
store_positions(PyObject *op, PyObject *unused)
{
    (void)unused;
    StoreObject *self = (StoreObject *)op;
    module_state *state = PyType_GetModuleState(Py_TYPE(op));
    size_t count = 0, room = 0;
    PyArrayObject *array = NULL;
    do { /* the file may have grown while the array was allocated */
        Py_XDECREF(array);
        room = count;
        array = tsm_new_array(state->position_dtype, (npy_intp)room);
        if (array == NULL) {
            return NULL;
        }
        tsm_lock_read(&self->lock);
        const tsm_sbt_position *positions =
            self->reader == NULL ? NULL : tsm_sbt_reader_positions(self->reader, &count);
        if (count == room && count > 0) {
            memcpy(PyArray_DATA(array), positions, count * sizeof *positions);
        }
        tsm_unlock(&self->lock);
    } while (count != room);
    return (PyObject *)array;
}

static PyMethodDef store_methods[] = {
    { "read", (PyCFunction)(void (*)(void))tsm_store_read, METH_VARARGS | METH_KEYWORDS,
      PyDoc_STR("read($self, /, blocks, begin=0, end=None, *, out=None)\n--\n\n"
                "Decode blocks (an array of numbers) into (events, extensions, rows): everything, or,\n"
                "when end is given, the events that overlap [begin, end). rows[i] is the event that\n"
                "extensions[i] belongs to. out: an event array to fill instead of a new one; then\n"
                "nothing is filtered, and (out, None, None) comes back.") },
    { "find", tsm_store_find, METH_VARARGS,
      PyDoc_STR("find($self, begin, end, /)\n--\n\n"
                "Numbers of the blocks that may hold events overlapping [begin, end).") },
    { "blocks", tsm_store_blocks, METH_NOARGS,
      PyDoc_STR("blocks($self, /)\n--\n\nWhat the index says of every block: an array of BLOCK_DTYPE.") },
    { "positions", store_positions, METH_NOARGS,
      PyDoc_STR("positions($self, /)\n--\n\n"
                "How far each producer thread got and what was lost: an array of POSITION_DTYPE.") },
    { "info", store_info, METH_NOARGS, PyDoc_STR("info($self, /)\n--\n\nFacts about the file, a dict.") },
    { "refresh", store_refresh, METH_NOARGS,
      PyDoc_STR("refresh($self, /)\n--\n\nTake in what the file's writer has added since.") },
    { "count", tsm_store_count, METH_VARARGS,
      PyDoc_STR("count($self, table, /)\n--\n\nRows of a table, row 0 ('none') included.") },
    { "table", tsm_store_table, METH_VARARGS,
      PyDoc_STR("table($self, table, /)\n--\n\nA copy of all rows of a table as a structured array.") },
    { "text", tsm_store_text, METH_VARARGS,
      PyDoc_STR("text($self, table, row, /)\n--\n\n"
                "One text as str, or bytes for blobs; IndexError when there is no such row.") },
    { "texts", tsm_store_texts, METH_VARARGS,
      PyDoc_STR("texts($self, table, rows, /)\n--\n\n"
                "The texts of an array of rows, as an object array; equal rows share one object.") },
    { "find_text", tsm_store_find_text, METH_O,
      PyDoc_STR("find_text($self, text, /)\n--\n\nThe row of strings that holds text, or 0.") },
    { "build", tsm_store_build, METH_O,
      PyDoc_STR("build($self, objects, /)\n--\n\n"
                "Turn TraceEvent, CounterEvent and MemoryEvent objects into (events, extensions, rows)\n"
                "whose ids are rows of these tables.") },
    { "absorb", tsm_store_absorb, METH_VARARGS,
      PyDoc_STR("absorb($self, store, events, extensions, /)\n--\n\n"
                "Take over all rows of another store, and rewrite the ids in both arrays, in place,\n"
                "from its rows to these.") },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot store_slots[] = {
    { Py_tp_doc, (void *)PyDoc_STR("Store(path=None)\n--\n\n"
                                   "The tables and events of a file, or tables in memory. Any thread may use it.") },
    { Py_tp_new, store_new },
    { Py_tp_dealloc, store_dealloc },
    { Py_tp_methods, store_methods },
    { Py_tp_getset, store_getset },
    { 0, NULL },
};

PyType_Spec tsm_store_type_spec = {
    .name = "tracesmith._core.Store",
    .basicsize = sizeof(StoreObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = store_slots,
};
