/* How consumers get their events: a cursor over a Store's file or over arrays, and the lock that
 * goes with it. */
#include "python/core/state.h"

static int
parse_window(PyObject *begin, PyObject *end, tsm_view *view)
{
    view->end = UINT64_MAX;
    if (begin != Py_None && tsm_build_u64(begin, &view->begin) < 0) {
        return -1;
    }
    return end == Py_None ? 0 : tsm_build_u64(end, &view->end);
}

int
tsm_view_take(const module_state *state, PyObject *store, PyObject *events, PyObject *extensions, PyObject *rows,
              PyObject *begin, PyObject *end, tsm_view *out)
{
    *out = (tsm_view){ 0 };
    if (!Py_IS_TYPE(store, (PyTypeObject *)state->StoreType)) {
        PyErr_Format(PyExc_TypeError, "store must be a Store, not %.100s", Py_TYPE(store)->tp_name);
        return -1;
    }
    if (events == Py_None && ((StoreObject *)store)->reader == NULL) {
        PyErr_SetString(PyExc_ValueError, "this store has no file: give the events themselves");
        return -1;
    }
    if (parse_window(begin, end, out) < 0
        || (events != Py_None && tsm_arrays_take(state, events, extensions, rows, &out->arrays) < 0)) {
        return -1;
    }
    out->store = (StoreObject *)Py_NewRef(store);
    return 0;
}

static tsm_status
open_source(tsm_view *view)
{
    StoreObject *store = view->store;
    if (view->arrays.events == NULL) {
        return tsm_sbt_reader_cursor(store->reader, view->begin, view->end, &view->cursor);
    }
    return tsm_batch_cursor(&view->arrays.batch, tsm_store_tables(store), view->begin, view->end, &view->cursor);
}

tsm_status
tsm_view_open(tsm_view *view, bool in_order, tsm_error *err)
{
    tsm_cursor *merged;
    pthread_rwlock_rdlock(&view->store->lock);
    view->locked = true;
    tsm_status status = open_source(view);
    if (status == TSM_OK && in_order) {
        status = tsm_cursor_merge(view->cursor, &merged);
        view->cursor = status == TSM_OK ? merged : view->cursor;
    }
    if (status != TSM_OK) {
        tsm_view_close(view);
        return tsm_fail(err, status, 0, "no memory for a cursor");
    }
    return TSM_OK;
}

void
tsm_view_close(tsm_view *view)
{
    tsm_cursor_close(view->cursor);
    view->cursor = NULL;
    if (view->locked) {
        tsm_unlock(&view->store->lock);
        view->locked = false;
    }
}

void
tsm_view_release(tsm_view *view)
{
    tsm_view_close(view);
    tsm_arrays_release(&view->arrays);
    Py_CLEAR(view->store);
}

PyObject *
tsm_view_path(const tsm_view *view)
{
    return view->arrays.events == NULL ? view->store->path : NULL;
}
