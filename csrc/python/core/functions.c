#include "python/core/state.h"

static bool
is_own(PyArrayObject *taken, PyObject *given)
{
    return (PyObject *)taken == given && PyArray_ISWRITEABLE(taken);
}

static PyObject *
sort(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *events, *extensions, *rows;
    tsm_arrays arrays;
    tsm_status status = TSM_E_ARG;
    if (!PyArg_ParseTuple(args, "OOO:sort", &events, &extensions, &rows)
        || tsm_arrays_take(state, events, extensions, rows, &arrays) < 0) {
        return NULL;
    }
    if (is_own(arrays.events, events) && arrays.extensions != NULL && is_own(arrays.extensions, extensions)
        && is_own(arrays.rows, rows)) {
        Py_BEGIN_ALLOW_THREADS
        status = tsm_events_sort(PyArray_DATA(arrays.events), arrays.batch.count, PyArray_DATA(arrays.rows),
                                 PyArray_DATA(arrays.extensions), arrays.batch.extension_count);
        Py_END_ALLOW_THREADS
    }
    tsm_arrays_release(&arrays);
    if (status != TSM_OK) {
        return tsm_raise(state, status, NULL, NULL);
    }
    Py_RETURN_NONE;
}

/* Numbers that this build does not know are counted as Unknown. */
static void
count_batch(const tsm_batch *batch, uint64_t counts[TSM_EVENT_CUSTOM + 1])
{
    for (size_t i = 0; i < batch->count; i++) {
        uint16_t type = batch->events[i].type;
        counts[type <= TSM_EVENT_CUSTOM ? type : TSM_EVENT_UNKNOWN]++;
    }
}

static int
add_count(PyObject *dict, const char *name, uint64_t count)
{
    PyObject *old = PyDict_GetItemString(dict, name); /* borrowed */
    PyObject *number = PyLong_FromUnsignedLongLong(count + (old == NULL ? 0 : PyLong_AsUnsignedLongLong(old)));
    int result = number == NULL ? -1 : PyDict_SetItemString(dict, name, number);
    Py_XDECREF(number);
    return result;
}

static PyObject *
make_counts(const uint64_t counts[TSM_EVENT_CUSTOM + 1])
{
    PyObject *dict = PyDict_New();
    for (uint16_t type = 0; dict != NULL && type <= TSM_EVENT_CUSTOM; type++) {
        if (counts[type] > 0 && add_count(dict, tsm_event_type_name(type), counts[type]) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

static PyObject *
count(PyObject *module, PyObject *args)
{
    module_state *state = PyModule_GetState(module);
    PyObject *store, *events, *extensions, *rows, *begin, *end, *made = NULL;
    uint64_t counts[TSM_EVENT_CUSTOM + 1] = { 0 };
    tsm_error err = { 0 };
    tsm_view view;
    tsm_status status;
    if (!PyArg_ParseTuple(args, "OOOOOO:count", &store, &events, &extensions, &rows, &begin, &end)
        || tsm_view_take(state, store, events, extensions, rows, begin, end, &view) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    tsm_batch batch;
    status = tsm_view_open(&view, false, &err);
    while (status == TSM_OK && (status = tsm_cursor_next(view.cursor, &batch, &err)) == TSM_OK) {
        count_batch(&batch, counts);
    }
    tsm_view_close(&view);
    Py_END_ALLOW_THREADS
    if (status == TSM_E_END) {
        made = make_counts(counts);
    } else {
        tsm_raise(state, status, &err, tsm_view_path(&view));
    }
    tsm_view_release(&view);
    return made;
}

static PyObject *
zstd_available(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyBool_FromLong(tsm_sbt_zstd_available());
}

PyMethodDef tsm_functions[] = {
    { "__getattr__", tsm_core_getattr, METH_O, NULL },
    { "sort", sort, METH_VARARGS,
      PyDoc_STR("sort($module, events, extensions, rows, /)\n--\n\n"
                "Sort by timestamp, in place and stably; extensions follow their events.") },
    { "count", count, METH_VARARGS,
      PyDoc_STR("count($module, store, events, extensions, rows, begin, end, /)\n--\n\n"
                "How many events of each type overlap [begin, end): a dict. events None: those of the\n"
                "store's file, read block by block; a bound that is None is no bound.") },
    { "export", (PyCFunction)(void (*)(void))tsm_core_export, METH_VARARGS | METH_KEYWORDS,
      PyDoc_STR("export($module, store, events, extensions, rows, begin, end, path, format, *, lean=False,\n"
                "       compress=False, no_device=False, no_host=False, no_flows=False, no_counters=False,\n"
                "       no_stacks=False, progress=None)\n--\n\n"
                "Write events to path in another format, a tsm_export_format; a dict: events, written, bytes.\n"
                "progress, an array of three uint64, holds the events done, and stops the export when the\n"
                "third is set.") },
    { "arrow_stream", tsm_core_arrow_stream, METH_VARARGS,
      PyDoc_STR("arrow_stream($module, store, events, extensions, rows, begin, end, /)\n--\n\n"
                "The events as an Arrow stream: a capsule 'arrow_array_stream'.") },
    { "recognize", tsm_core_recognize, METH_VARARGS,
      PyDoc_STR("recognize($module, path, /)\n--\n\nWhich format a file has, by its content: a tsm_ingest_format.") },
    { "import_file", (PyCFunction)(void (*)(void))tsm_core_import_file, METH_VARARGS | METH_KEYWORDS,
      PyDoc_STR("import_file($module, path, output, compress=False, progress=None, binary=None)\n--\n\n"
                "Write a trace of another format to output as SBT; a dict: format, bytes_read, events,\n"
                "truncated and rows of (category, count, reason or None). progress, an array of three\n"
                "uint64, holds the bytes read and in all, and stops the import when the third is set.\n"
                "binary: the program that wrote an XRay log, for its functions' names.") },
    { "zstd_available", zstd_available, METH_NOARGS,
      PyDoc_STR("zstd_available($module, /)\n--\n\nCan this build write and read compressed blocks?") },
    { NULL, NULL, 0, NULL },
};
