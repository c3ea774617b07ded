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

static PyObject *
zstd_available(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyBool_FromLong(tsm_sbt_zstd_available());
}

PyMethodDef tsm_functions[] = {
    { "sort", sort, METH_VARARGS,
      PyDoc_STR("sort($module, events, extensions, rows, /)\n--\n\n"
                "Sort by timestamp, in place and stably; extensions follow their events.") },
    { "zstd_available", zstd_available, METH_NOARGS,
      PyDoc_STR("zstd_available($module, /)\n--\n\nCan this build write and read compressed blocks?") },
    { NULL, NULL, 0, NULL },
};
