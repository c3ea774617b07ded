/* NumPy arrays in, batches out, and back. */
#include "python/core/state.h"

#include <string.h>

PyArrayObject *
tsm_new_array(PyObject *dtype, npy_intp count)
{
    return (PyArrayObject *)PyArray_Empty(1, &count, (PyArray_Descr *)Py_NewRef(dtype), 0);
}

PyArrayObject *
tsm_as_array(PyObject *object, PyObject *dtype, const char *what)
{
    if (dtype == NULL) { /* no Store yet, so NumPy has not been met */
        PyErr_Format(PyExc_TypeError, "%s must be an array that a Store has made", what);
        return NULL;
    }
    if (!PyArray_Check(object) || !PyArray_EquivTypes(PyArray_DESCR((PyArrayObject *)object), (PyArray_Descr *)dtype)
        || PyArray_NDIM((PyArrayObject *)object) != 1) {
        PyErr_Format(PyExc_TypeError, "%s must be a one-dimensional array of dtype %R", what, dtype);
        return NULL;
    }
    return (PyArrayObject *)PyArray_FromArray((PyArrayObject *)object, (PyArray_Descr *)Py_NewRef(dtype),
                                              NPY_ARRAY_CARRAY_RO);
}

static int
check_rows(const tsm_batch *batch)
{
    uint32_t last = 0;
    for (size_t i = 0; i < batch->extension_count; i++) {
        if (batch->extension_rows[i] < last || batch->extension_rows[i] >= batch->count) {
            PyErr_Format(PyExc_ValueError, "extension %zu belongs to row %u, which is no row or out of order", i,
                         batch->extension_rows[i]);
            return -1;
        }
        last = batch->extension_rows[i];
    }
    return 0;
}

static int
take_extensions(const module_state *state, PyObject *extensions, PyObject *rows, tsm_arrays *out)
{
    PyArray_Descr *u4 = PyArray_DescrFromType(NPY_UINT32);
    out->extensions = tsm_as_array(extensions, state->extension_dtype, "extensions");
    out->rows = out->extensions == NULL ? NULL : tsm_as_array(rows, (PyObject *)u4, "rows");
    Py_DECREF(u4);
    if (out->rows == NULL) {
        return -1;
    }
    if (PyArray_SIZE(out->rows) != PyArray_SIZE(out->extensions)) {
        PyErr_SetString(PyExc_ValueError, "every extension needs its row");
        return -1;
    }
    out->batch.extensions = PyArray_DATA(out->extensions);
    out->batch.extension_rows = PyArray_DATA(out->rows);
    out->batch.extension_count = (size_t)PyArray_SIZE(out->extensions);
    return check_rows(&out->batch);
}

int
tsm_arrays_take(const module_state *state, PyObject *events, PyObject *extensions, PyObject *rows, tsm_arrays *out)
{
    *out = (tsm_arrays){ 0 };
    out->events = tsm_as_array(events, state->event_dtype, "events");
    if (out->events == NULL) {
        return -1;
    }
    out->batch.events = PyArray_DATA(out->events);
    out->batch.count = (size_t)PyArray_SIZE(out->events);
    if (extensions != Py_None && take_extensions(state, extensions, rows, out) < 0) {
        tsm_arrays_release(out);
        return -1;
    }
    return 0;
}

void
tsm_arrays_release(tsm_arrays *arrays)
{
    Py_CLEAR(arrays->events);
    Py_CLEAR(arrays->extensions);
    Py_CLEAR(arrays->rows);
}

static PyArrayObject *
copy_array(PyObject *dtype, const void *data, size_t count, size_t item_bytes)
{
    PyArrayObject *array = tsm_new_array(dtype, (npy_intp)count);
    if (array != NULL && count > 0) {
        memcpy(PyArray_DATA(array), data, count * item_bytes);
    }
    return array;
}

PyObject *
tsm_arrays_copy(const module_state *state, const tsm_batch *batch)
{
    PyArray_Descr *u4 = PyArray_DescrFromType(NPY_UINT32);
    PyArrayObject *events = copy_array(state->event_dtype, batch->events, batch->count, sizeof *batch->events);
    PyArrayObject *extensions =
        copy_array(state->extension_dtype, batch->extensions, batch->extension_count, sizeof *batch->extensions);
    PyArrayObject *rows =
        copy_array((PyObject *)u4, batch->extension_rows, batch->extension_count, sizeof *batch->extension_rows);
    Py_DECREF(u4);
    if (events == NULL || extensions == NULL || rows == NULL) {
        Py_XDECREF(events);
        Py_XDECREF(extensions);
        Py_XDECREF(rows);
        return NULL;
    }
    return Py_BuildValue("(NNN)", events, extensions, rows);
}

static int
collect_one(const module_state *state, const tsm_build_target *target, PyObject *object, tsm_sink *sink)
{
    static const uint32_t rows[TSM_BUILT_EXTENSIONS] = { 0 };
    tsm_built built;
    tsm_error err = { 0 };
    if (tsm_build_event(&state->names, target, object, &built) < 0) {
        return -1;
    }
    tsm_status status =
        tsm_sink_write(sink, &(tsm_batch){ &built.event, 1, built.extensions, rows, built.extension_count }, &err);
    if (status != TSM_OK) {
        tsm_raise(state, status, &err, NULL);
        return -1;
    }
    return 0;
}

tsm_memory *
tsm_collect(const module_state *state, const tsm_build_target *target, PyObject *iterable)
{
    tsm_memory *memory = NULL;
    PyObject *objects = PySequence_Tuple(iterable); /* a copy: building runs the objects' own code */
    if (objects == NULL) {
        return NULL;
    }
    tsm_status status = tsm_memory_create(&memory);
    if (status != TSM_OK) {
        tsm_raise(state, status, NULL, NULL);
    }
    for (Py_ssize_t i = 0; memory != NULL && i < PyTuple_GET_SIZE(objects); i++) {
        if (collect_one(state, target, PyTuple_GET_ITEM(objects, i), tsm_memory_sink(memory)) < 0) {
            tsm_memory_destroy(memory);
            memory = NULL;
        }
    }
    Py_DECREF(objects);
    return memory;
}
