/* Store: tables in memory, filled from Python objects or from another store. */
#include "python/core/state.h"

#include <string.h>

/* The other store's rows must not be added to under a file that is being read. */
static int
refuse_file(StoreObject *self)
{
    if (self->owned == NULL) {
        module_state *state = PyType_GetModuleState(Py_TYPE(self));
        PyErr_SetString(state->StateError, "the tables of a file are read-only: use Store() in memory");
        return -1;
    }
    return 0;
}

static tsm_status
intern_text(void *context, unsigned table, const void *data, size_t size, uint32_t *id)
{
    StoreObject *self = context;
    tsm_lock_write(&self->lock);
    tsm_status status = tsm_tables_intern_text(self->owned, table, data, size, id);
    tsm_unlock(&self->lock);
    return status;
}

static tsm_status
intern_row(void *context, unsigned table, const uint64_t *values, uint32_t *id)
{
    StoreObject *self = context;
    tsm_lock_write(&self->lock);
    tsm_status status = tsm_tables_intern(self->owned, table, values, id);
    tsm_unlock(&self->lock);
    return status;
}

static void
fail(void *context, tsm_status status)
{
    tsm_raise(PyType_GetModuleState(Py_TYPE((PyObject *)context)), status, NULL, NULL);
}

PyObject *
tsm_store_build(PyObject *op, PyObject *iterable)
{
    module_state *state = PyType_GetModuleState(Py_TYPE(op));
    if (refuse_file((StoreObject *)op) < 0) {
        return NULL;
    }
    tsm_build_target target = { op, intern_text, intern_row, fail, 0 };
    tsm_memory *memory = tsm_collect(state, &target, iterable);
    if (memory == NULL) {
        return NULL;
    }
    tsm_batch batch;
    tsm_memory_borrow(memory, &batch);
    PyObject *arrays = tsm_arrays_copy(state, &batch);
    tsm_memory_destroy(memory);
    return arrays;
}

static tsm_status
absorb(StoreObject *self, StoreObject *other, tsm_event *events, size_t count, tsm_extension *extensions,
       size_t extension_count)
{
    tsm_remap *remap = NULL;
    tsm_status status = tsm_remap_create(&remap);
    pthread_rwlock_wrlock(&self->lock);
    if (status == TSM_OK) {
        pthread_rwlock_rdlock(&other->lock);
        status = tsm_remap_tables(remap, self->owned, tsm_store_tables(other));
        tsm_unlock(&other->lock);
    }
    if (status == TSM_OK) {
        tsm_remap_events(remap, events, count);
        tsm_remap_extensions(remap, self->owned, extensions, extension_count);
    }
    tsm_unlock(&self->lock);
    tsm_remap_destroy(remap);
    return status;
}

PyObject *
tsm_store_absorb(PyObject *op, PyObject *args)
{
    module_state *state = PyType_GetModuleState(Py_TYPE(op));
    PyObject *other, *event_object, *extension_object;
    if (!PyArg_ParseTuple(args, "O!OO:absorb", state->StoreType, &other, &event_object, &extension_object)
        || refuse_file((StoreObject *)op) < 0) {
        return NULL;
    }
    PyArrayObject *events = tsm_as_array(event_object, state->event_dtype, "events");
    PyArrayObject *extensions =
        events == NULL ? NULL : tsm_as_array(extension_object, state->extension_dtype, "extensions");
    tsm_status status = TSM_E_ARG;
    if (extensions != NULL && op != other && (PyObject *)events == event_object
        && (PyObject *)extensions == extension_object && PyArray_ISWRITEABLE(events)
        && PyArray_ISWRITEABLE(extensions)) {
        Py_BEGIN_ALLOW_THREADS
        status = absorb((StoreObject *)op, (StoreObject *)other, PyArray_DATA(events), (size_t)PyArray_SIZE(events),
                        PyArray_DATA(extensions), (size_t)PyArray_SIZE(extensions));
        Py_END_ALLOW_THREADS
    }
    bool taken = extensions != NULL;
    Py_XDECREF(events);
    Py_XDECREF(extensions);
    if (!taken) {
        return NULL;
    }
    if (status != TSM_OK) {
        return tsm_raise(state, status, NULL, NULL);
    }
    Py_RETURN_NONE;
}
