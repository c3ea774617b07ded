/* tracesmith._core.arrow_stream: events through Arrow's PyCapsule interface. The consumer may pull
 * and release on any thread, with the GIL or without; so the store is locked inside get_next alone,
 * and may grow between two batches. */
#include "export/export.h"

#include "python/core/state.h"

#define CAPSULE "arrow_array_stream"

typedef struct {
    struct ArrowArrayStream inner;
    tsm_view view; /* what inner's cursor reads */
} guarded;

static int
get_schema(struct ArrowArrayStream *self, struct ArrowSchema *out)
{
    guarded *g = self->private_data;
    return g->inner.get_schema(&g->inner, out);
}

/* Who waits for the lock must not hold the GIL, which the lock's holder may be waiting for. */
static int
get_next(struct ArrowArrayStream *self, struct ArrowArray *out)
{
    guarded *g = self->private_data;
    PyThreadState *thread = PyGILState_Check() ? PyEval_SaveThread() : NULL;
    pthread_rwlock_rdlock(&g->view.store->lock);
    int result = g->inner.get_next(&g->inner, out);
    tsm_unlock(&g->view.store->lock);
    if (thread != NULL) {
        PyEval_RestoreThread(thread);
    }
    return result;
}

static const char *
get_last_error(struct ArrowArrayStream *self)
{
    guarded *g = self->private_data;
    return g->inner.get_last_error(&g->inner);
}

static void
release(struct ArrowArrayStream *self)
{
    guarded *g = self->private_data;
    self->release = NULL;
    g->inner.release(&g->inner);
    if (Py_IsInitialized()) { /* else the objects are gone, or soon will be */
        PyGILState_STATE gil = PyGILState_Ensure();
        tsm_view_release(&g->view);
        PyGILState_Release(gil);
    }
    PyMem_RawFree(g);
}

static void
destroy_capsule(PyObject *capsule)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, CAPSULE);
    if (stream->release != NULL) { /* nobody took it */
        stream->release(stream);
    }
    PyMem_RawFree(stream);
}

/* The view keeps store and arrays; its cursor becomes the stream's. */
static tsm_status
open_stream(guarded *g, tsm_error *err)
{
    tsm_status status = tsm_view_open(&g->view, false, err);
    if (status == TSM_OK) {
        status = tsm_export_arrow(g->view.cursor, &g->inner);
        g->view.cursor = status == TSM_OK ? NULL : g->view.cursor;
    }
    tsm_view_close(&g->view);
    return status;
}

/* Takes over what g holds, whatever happens. */
static PyObject *
make_capsule(const module_state *state, guarded *g)
{
    tsm_error err = { 0 };
    tsm_status status;
    struct ArrowArrayStream *stream = PyMem_RawMalloc(sizeof *stream);
    Py_BEGIN_ALLOW_THREADS
    status = stream == NULL ? TSM_E_NOMEM : open_stream(g, &err);
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        tsm_raise(state, status, &err, tsm_view_path(&g->view));
        tsm_view_release(&g->view);
        PyMem_RawFree(g);
        PyMem_RawFree(stream);
        return NULL;
    }
    *stream = (struct ArrowArrayStream){ .get_schema = get_schema,
                                         .get_next = get_next,
                                         .get_last_error = get_last_error,
                                         .release = release,
                                         .private_data = g };
    PyObject *capsule = PyCapsule_New(stream, CAPSULE, destroy_capsule);
    if (capsule == NULL) {
        release(stream);
        PyMem_RawFree(stream);
    }
    return capsule;
}

PyObject *
tsm_core_arrow_stream(PyObject *module, PyObject *args)
{
    const module_state *state = PyModule_GetState(module);
    PyObject *store, *events, *extensions, *rows, *begin, *end;
    if (!PyArg_ParseTuple(args, "OOOOOO:arrow_stream", &store, &events, &extensions, &rows, &begin, &end)) {
        return NULL;
    }
    guarded *g = PyMem_RawCalloc(1, sizeof *g);
    if (g == NULL) {
        return PyErr_NoMemory();
    }
    if (tsm_view_take(state, store, events, extensions, rows, begin, end, &g->view) < 0) {
        PyMem_RawFree(g);
        return NULL;
    }
    return make_capsule(state, g);
}
