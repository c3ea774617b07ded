/* tracesmith._core.export: events to a file of some other format. */
#include "export/export.h"

#include "python/core/state.h"

/* What Python watches and says while C writes: the events done, all there are (which Python
 * knows), and, once it is not 0, the wish to stop. The store is locked meanwhile, so Python cannot
 * be called. */
enum { PROGRESS_DONE, PROGRESS_ALL, PROGRESS_STOP, PROGRESS_COUNT };

static bool
note_progress(void *context, uint64_t events)
{
    uint64_t *progress = context;
    __atomic_store_n(&progress[PROGRESS_DONE], events, __ATOMIC_RELAXED); /* nothing else goes with it */
    return __atomic_load_n(&progress[PROGRESS_STOP], __ATOMIC_RELAXED) == 0;
}

static int
take_progress(PyObject *object, tsm_export_options *options)
{
    PyArrayObject *array = (PyArrayObject *)object;
    if (object == Py_None) {
        return 0;
    }
    if (!PyArray_Check(object) || PyArray_TYPE(array) != NPY_UINT64 || PyArray_SIZE(array) != PROGRESS_COUNT
        || !PyArray_ISCARRAY(array)) {
        PyErr_SetString(PyExc_TypeError, "progress must be a writable array of three uint64");
        return -1;
    }
    options->progress = note_progress;
    options->context = PyArray_DATA(array);
    return 0;
}

static tsm_status
write_file(tsm_view *view, tsm_export_format format, const char *path, const tsm_export_options *options,
           tsm_export_report *report, tsm_error *err)
{
    tsm_status status = tsm_view_open(view, false, err);
    if (status == TSM_OK) {
        tsm_cursor *cursor = view->cursor;
        view->cursor = NULL;
        status = tsm_export_file(cursor, format, path, options, report, err);
    }
    tsm_view_close(view);
    return status;
}

static PyObject *
export_view(const module_state *state, tsm_view *view, tsm_export_format format, PyObject *path,
            const tsm_export_options *options)
{
    tsm_export_report report = { 0 };
    tsm_error err = { 0 };
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    status = write_file(view, format, PyBytes_AS_STRING(path), options, &report, &err);
    Py_END_ALLOW_THREADS
    if (status == TSM_E_IO) {
        PyObject *name = PyUnicode_DecodeFSDefault(PyBytes_AS_STRING(path));
        tsm_raise(state, status, &err, name);
        Py_XDECREF(name);
        return NULL;
    }
    if (status != TSM_OK) {
        return tsm_raise(state, status, &err, tsm_view_path(view));
    }
    return Py_BuildValue("{sKsKsK}", "events", (unsigned long long)report.events, "written",
                         (unsigned long long)report.written, "bytes", (unsigned long long)report.bytes);
}

PyObject *
tsm_core_export(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "store",    "events",      "extensions", "rows",     "begin",     "end",
                             "path",     "format",      "lean",       "compress", "no_device", "no_host",
                             "no_flows", "no_counters", "no_stacks",  "progress", NULL };
    const module_state *state = PyModule_GetState(module);
    PyObject *store, *events, *extensions, *rows, *begin, *end, *path = NULL, *progress = Py_None, *made = NULL;
    int format, lean = 0, compress = 0, no_device = 0, no_host = 0, no_flows = 0, no_counters = 0, no_stacks = 0;
    tsm_view view;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOO&i|$pppppppO:export", names, &store, &events, &extensions,
                                     &rows, &begin, &end, PyUnicode_FSConverter, &path, &format, &lean, &compress,
                                     &no_device, &no_host, &no_flows, &no_counters, &no_stacks, &progress)) {
        return NULL;
    }
    tsm_export_options options = { .lean = lean,
                                   .compress = compress,
                                   .no_device = no_device,
                                   .no_host = no_host,
                                   .no_flows = no_flows,
                                   .no_counters = no_counters,
                                   .no_stacks = no_stacks };
    if (take_progress(progress, &options) == 0
        && tsm_view_take(state, store, events, extensions, rows, begin, end, &view) == 0) {
        made = export_view(state, &view, (tsm_export_format)format, path, &options);
        tsm_view_release(&view);
    }
    Py_DECREF(path);
    return made;
}
