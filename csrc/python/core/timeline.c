/* tracesmith._core.Timeline. Its arrays are views of what C made; each keeps the Timeline alive,
 * which keeps the events. */
#include "timeline/timeline.h"

#include "analysis/analysis.h"
#include "python/core/state.h"

#include <stddef.h>
#include <string.h>

typedef struct {
    PyObject_HEAD
    tsm_timeline *timeline;
    tsm_dependencies *dependencies; /* made at first use, under the store's lock */
    StoreObject *store;
    tsm_arrays arrays;
} TimelineObject;

/* ---- dtypes ------------------------------------------------------------------------------------ */

typedef struct {
    const char *name, *format;
    size_t offset;
} field;

#define FIELD(type, member, format)             \
    {                                           \
#member, format, offsetof(type, member) \
    }

static const field span_fields[] = {
    FIELD(tsm_span, begin_ns, "u8"), FIELD(tsm_span, end_ns, "u8"),
    FIELD(tsm_span, event, "u4"),    FIELD(tsm_span, parent, "u4"),
    FIELD(tsm_span, track, "u4"),    FIELD(tsm_span, type, "u2"),
    FIELD(tsm_span, depth, "u2"),    { 0 },
};
static const field track_fields[] = {
    FIELD(tsm_track, begin_ns, "u8"),   FIELD(tsm_track, end_ns, "u8"),
    FIELD(tsm_track, busy_ns, "u8"),    FIELD(tsm_track, raw_id, "u8"),
    FIELD(tsm_track, first, "u4"),      FIELD(tsm_track, count, "u4"),
    FIELD(tsm_track, work, "u4"),       FIELD(tsm_track, row, "u4"),
    FIELD(tsm_track, process, "u4"),    FIELD(tsm_track, device, "u4"),
    FIELD(tsm_track, straddling, "u4"), FIELD(tsm_track, depth, "u2"),
    FIELD(tsm_track, is_stream, "u2"),  { 0 },
};
static const field call_fields[] = { FIELD(tsm_call, span, "u4"), FIELD(tsm_call, first, "u4"), { 0 } };
static const field edge_fields[] = {
    FIELD(tsm_dependency, from, "u4"), FIELD(tsm_dependency, to, "u4"),         FIELD(tsm_dependency, via, "u4"),
    FIELD(tsm_dependency, kind, "u2"), FIELD(tsm_dependency, provenance, "u2"), { 0 },
};
static const field transition_fields[] = {
    FIELD(tsm_transition, time_ns, "u8"), FIELD(tsm_transition, correlation, "u8"), FIELD(tsm_transition, cause, "u4"),
    FIELD(tsm_transition, from, "u2"),    FIELD(tsm_transition, to, "u2"),          { 0 },
};
static const field stream_fields[] = {
    FIELD(tsm_stream_states, time_ns, "5u8"),
    FIELD(tsm_stream_states, track, "u4"),
    FIELD(tsm_stream_states, first, "u8"),
    FIELD(tsm_stream_states, count, "u8"),
    { 0 },
};

static const field segment_fields[] = {
    FIELD(tsm_path_segment, begin_ns, "u8"),
    FIELD(tsm_path_segment, end_ns, "u8"),
    FIELD(tsm_path_segment, span, "u4"),
    FIELD(tsm_path_segment, part, "u2"),
    FIELD(tsm_path_segment, kind, "u1"),
    FIELD(tsm_path_segment, provenance, "u1"),
    { 0 },
};

static PyArray_Descr *
make_dtype(const field *fields, size_t bytes)
{
    PyObject *names = PyList_New(0), *formats = PyList_New(0), *offsets = PyList_New(0);
    PyArray_Descr *dtype = NULL;
    bool made = names != NULL && formats != NULL && offsets != NULL;
    for (; made && fields->name != NULL; fields++) {
        PyObject *name = PyUnicode_FromString(fields->name), *format = PyUnicode_FromString(fields->format);
        PyObject *offset = PyLong_FromSize_t(fields->offset);
        made = name != NULL && format != NULL && offset != NULL && PyList_Append(names, name) == 0
               && PyList_Append(formats, format) == 0 && PyList_Append(offsets, offset) == 0;
        Py_XDECREF(name);
        Py_XDECREF(format);
        Py_XDECREF(offset);
    }
    PyObject *spec = !made ? NULL
                           : Py_BuildValue("{sOsOsOsn}", "names", names, "formats", formats, "offsets", offsets,
                                           "itemsize", (Py_ssize_t)bytes);
    if (spec != NULL && !PyArray_DescrConverter(spec, &dtype)) {
        dtype = NULL;
    }
    Py_XDECREF(spec);
    Py_XDECREF(names);
    Py_XDECREF(formats);
    Py_XDECREF(offsets);
    return dtype;
}

/* ---- Arrays ------------------------------------------------------------------------------------ */

/* A read-only view of what the timeline owns. Takes over dtype, which may be NULL: an exception. */
static PyObject *
view(PyObject *owner, PyArray_Descr *dtype, const void *data, size_t count)
{
    npy_intp length = (npy_intp)count;
    if (dtype == NULL) {
        return NULL;
    }
    PyObject *array = PyArray_NewFromDescr(&PyArray_Type, dtype, 1, &length, NULL, (void *)(uintptr_t)data,
                                           NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED, NULL);
    if (array != NULL && PyArray_SetBaseObject((PyArrayObject *)array, Py_NewRef(owner)) < 0) {
        Py_CLEAR(array);
    }
    return array;
}

static PyObject *
copy(PyArray_Descr *dtype, const void *data, size_t count, size_t bytes)
{
    PyArrayObject *array = dtype == NULL ? NULL : tsm_new_array((PyObject *)dtype, (npy_intp)count);
    Py_XDECREF(dtype);
    if (array != NULL && count > 0) {
        memcpy(PyArray_DATA(array), data, count * bytes);
    }
    return (PyObject *)array;
}

static PyArray_Descr *
numbers(void)
{
    return PyArray_DescrFromType(NPY_UINT32);
}

static PyObject *
get_spans(PyObject *op, void *closure)
{
    (void)closure;
    size_t count;
    const tsm_span *spans = tsm_timeline_spans(((TimelineObject *)op)->timeline, &count);
    return view(op, make_dtype(span_fields, sizeof *spans), spans, count);
}

static PyObject *
get_tracks(PyObject *op, void *closure)
{
    (void)closure;
    size_t count;
    const tsm_track *tracks = tsm_timeline_tracks(((TimelineObject *)op)->timeline, &count);
    return view(op, make_dtype(track_fields, sizeof *tracks), tracks, count);
}

static PyObject *
get_calls(PyObject *op, void *closure)
{
    (void)closure;
    size_t count;
    const tsm_call *calls = tsm_timeline_calls(((TimelineObject *)op)->timeline, &count);
    return view(op, make_dtype(call_fields, sizeof *calls), calls, count + 1);
}

static PyObject *
get_operations(PyObject *op, void *closure)
{
    (void)closure;
    size_t count;
    const uint32_t *operations = tsm_timeline_operations(((TimelineObject *)op)->timeline, &count);
    return view(op, numbers(), operations, count);
}

static PyObject *
get_call_rows(PyObject *op, void *closure)
{
    (void)closure;
    size_t count;
    tsm_timeline *timeline = ((TimelineObject *)op)->timeline;
    (void)tsm_timeline_spans(timeline, &count);
    return view(op, numbers(), tsm_timeline_call_rows(timeline), count);
}

#define FACT(member) #member, (unsigned long long)facts->member

static PyObject *
get_facts(PyObject *op, void *closure)
{
    (void)closure;
    const tsm_timeline_facts *facts = tsm_timeline_get_facts(((TimelineObject *)op)->timeline);
    return Py_BuildValue("{sKsKsKsKsKsKsKsKsKsKsK}", FACT(begin_ns), FACT(end_ns), FACT(device_begin_ns),
                         FACT(device_end_ns), FACT(work), FACT(joined), FACT(unpaired), FACT(overflowing),
                         FACT(orphans), FACT(duplicates), FACT(early));
}

static PyGetSetDef timeline_getset[] = {
    { "spans", get_spans, NULL, PyDoc_STR("All spans, by track and begin."), NULL },
    { "tracks", get_tracks, NULL, PyDoc_STR("Streams, then threads."), NULL },
    { "calls", get_calls, NULL, PyDoc_STR("Calls with a correlation, and one row behind the last."), NULL },
    { "operations", get_operations, NULL, PyDoc_STR("The spans that calls launched, call by call."), NULL },
    { "call_rows", get_call_rows, NULL, PyDoc_STR("For each span the row of its call; 2**32 - 1: none."), NULL },
    { "facts", get_facts, NULL, PyDoc_STR("What was counted while it was built, a dict."), NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

/* ---- Utilisation and pictures ------------------------------------------------------------------- */

/* Both None: 0 and 0, which C takes as the usual window. */
static int
parse_window(PyObject *begin, PyObject *end, uint64_t *out)
{
    out[0] = out[1] = 0;
    if ((begin == Py_None) != (end == Py_None)) {
        PyErr_SetString(PyExc_ValueError, "give both begin and end, or neither");
        return -1;
    }
    if (begin == Py_None) {
        return 0;
    }
    if (tsm_build_u64(begin, &out[0]) < 0 || tsm_build_u64(end, &out[1]) < 0) {
        return -1;
    }
    if (out[1] <= out[0]) {
        PyErr_SetString(PyExc_ValueError, "a window ends after it begins");
        return -1;
    }
    return 0;
}

static PyObject *
timeline_sweep(PyObject *op, PyObject *args)
{
    TimelineObject *self = (TimelineObject *)op;
    unsigned int device;
    PyObject *begin, *end;
    uint64_t window[2];
    tsm_concurrency found;
    tsm_status status;
    if (!PyArg_ParseTuple(args, "IOO:sweep", &device, &begin, &end) || parse_window(begin, end, window) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = tsm_timeline_sweep(self->timeline, device, window[0], window[1], &found);
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        return tsm_raise(PyType_GetModuleState(Py_TYPE(op)), status, NULL, NULL);
    }
    PyObject *levels =
        copy(PyArray_DescrFromType(NPY_UINT64), found.level_ns, (size_t)found.max + 1, sizeof *found.level_ns);
    PyObject *made = levels == NULL ? NULL
                                    : Py_BuildValue("(KKKKIN)", (unsigned long long)found.begin_ns,
                                                    (unsigned long long)found.end_ns, (unsigned long long)found.busy_ns,
                                                    (unsigned long long)found.work_ns, found.max, levels);
    tsm_concurrency_free(&found);
    return made;
}

static PyObject *
timeline_columns(PyObject *op, PyObject *args)
{
    TimelineObject *self = (TimelineObject *)op;
    PyObject *begin, *end;
    unsigned int track;
    Py_ssize_t columns;
    uint64_t window[2];
    size_t tracks;
    if (!PyArg_ParseTuple(args, "IOOn:columns", &track, &begin, &end, &columns)
        || parse_window(begin, end, window) < 0) {
        return NULL;
    }
    (void)tsm_timeline_tracks(self->timeline, &tracks);
    if (track >= tracks || columns < 1 || columns > 1 << 20) {
        PyErr_SetString(PyExc_ValueError, "there is no such track, or too many columns");
        return NULL;
    }
    npy_intp shape[] = { columns, TSM_CLASS_COUNT };
    PyArrayObject *array = (PyArrayObject *)PyArray_EMPTY(2, shape, NPY_UINT64, 0);
    if (array != NULL) {
        uint64_t *out = PyArray_DATA(array);
        Py_BEGIN_ALLOW_THREADS
        tsm_timeline_columns(self->timeline, track, window[0], window[1], (size_t)columns, out);
        Py_END_ALLOW_THREADS
    }
    return (PyObject *)array;
}

/* ---- Dependencies and states -------------------------------------------------------------------- */

/* Looking for names may build the tables' finder, which is a change. */
static tsm_status
make_dependencies(TimelineObject *self)
{
    tsm_status status = TSM_OK;
    pthread_rwlock_wrlock(&self->store->lock);
    if (self->dependencies == NULL) {
        status = tsm_dependencies_build(self->timeline, tsm_store_tables(self->store), &self->dependencies);
    }
    tsm_unlock(&self->store->lock);
    return status;
}

static PyObject *
dependency_facts(const tsm_dependencies *d)
{
    return Py_BuildValue("{sKsKsK}", "inferred", (unsigned long long)d->facts.inferred, "contradicted",
                         (unsigned long long)d->facts.contradicted, "unmatched_waits",
                         (unsigned long long)d->facts.unmatched_waits);
}

static PyObject *
timeline_dependencies(PyObject *op, PyObject *unused)
{
    (void)unused;
    TimelineObject *self = (TimelineObject *)op;
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    status = make_dependencies(self);
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        return tsm_raise(PyType_GetModuleState(Py_TYPE(op)), status, NULL, NULL);
    }
    const tsm_dependencies *d = self->dependencies;
    return Py_BuildValue("(NNNNN)", view(op, make_dtype(edge_fields, sizeof *d->edges), d->edges, d->edge_count),
                         view(op, numbers(), d->first, d->span_count + 1),
                         view(op, numbers(), d->first_out, d->span_count + 1),
                         view(op, numbers(), d->out, d->edge_count), dependency_facts(d));
}

static PyObject *
timeline_find_cycle(PyObject *op, PyObject *unused)
{
    (void)unused;
    TimelineObject *self = (TimelineObject *)op;
    tsm_status status;
    uint32_t span = TSM_SPAN_NONE;
    Py_BEGIN_ALLOW_THREADS
    status = make_dependencies(self);
    if (status == TSM_OK) {
        status = tsm_dependencies_find_cycle(self->dependencies, &span);
    }
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        return tsm_raise(PyType_GetModuleState(Py_TYPE(op)), status, NULL, NULL);
    }
    return span == TSM_SPAN_NONE ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(span);
}

static PyObject *
timeline_states(PyObject *op, PyObject *args)
{
    TimelineObject *self = (TimelineObject *)op;
    PyObject *begin, *end;
    uint64_t window[2];
    tsm_states *states = NULL;
    tsm_status status;
    if (!PyArg_ParseTuple(args, "OO:states", &begin, &end) || parse_window(begin, end, window) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = make_dependencies(self);
    if (status == TSM_OK) {
        status = tsm_states_build(self->timeline, self->dependencies, window[0], window[1], &states);
    }
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        return tsm_raise(PyType_GetModuleState(Py_TYPE(op)), status, NULL, NULL);
    }
    PyObject *made = Py_BuildValue("(KKNN)", (unsigned long long)states->begin_ns, (unsigned long long)states->end_ns,
                                   copy(make_dtype(stream_fields, sizeof *states->streams), states->streams,
                                        states->stream_count, sizeof *states->streams),
                                   copy(make_dtype(transition_fields, sizeof *states->transitions), states->transitions,
                                        states->transition_count, sizeof *states->transitions));
    tsm_states_destroy(states);
    return made;
}

static tsm_status
find_path(TimelineObject *self, const uint64_t window[2], tsm_path **path)
{
    tsm_status status = make_dependencies(self);
    if (status == TSM_OK) {
        pthread_rwlock_rdlock(&self->store->lock);
        status = tsm_critical_path(self->timeline, self->dependencies, tsm_store_tables(self->store), window[0],
                                   window[1], path);
        tsm_unlock(&self->store->lock);
    }
    return status;
}

static PyObject *
timeline_critical_path(PyObject *op, PyObject *args)
{
    PyObject *begin, *end;
    uint64_t window[2];
    tsm_path *path = NULL;
    tsm_status status;
    if (!PyArg_ParseTuple(args, "OO:critical_path", &begin, &end) || parse_window(begin, end, window) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = find_path((TimelineObject *)op, window, &path);
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        return tsm_raise(PyType_GetModuleState(Py_TYPE(op)), status, NULL, NULL);
    }
    PyObject *parts = PyDict_New();
    for (tsm_path_part part = 0; parts != NULL && part < TSM_PATH_PART_COUNT; part++) {
        PyObject *ns = PyLong_FromUnsignedLongLong(path->part_ns[part]);
        if (ns == NULL || PyDict_SetItemString(parts, tsm_path_part_name(part), ns) < 0) {
            Py_CLEAR(parts);
        }
        Py_XDECREF(ns);
    }
    PyObject *made = parts == NULL
                         ? NULL
                         : Py_BuildValue("(KKKNN)", (unsigned long long)path->begin_ns,
                                         (unsigned long long)path->end_ns, (unsigned long long)path->inferred_ns, parts,
                                         copy(make_dtype(segment_fields, sizeof *path->segments), path->segments,
                                              path->count, sizeof *path->segments));
    tsm_path_destroy(path);
    return made;
}

static PyMethodDef timeline_methods[] = {
    { "sweep", timeline_sweep, METH_VARARGS,
      PyDoc_STR("sweep($self, device, begin, end, /)\n--\n\n"
                "(begin, end, busy, work, max, time at each number of operations at once) of the work of a\n"
                "row of devices, or of all (2**32 - 1); begin and end None: the usual window.") },
    { "columns", timeline_columns, METH_VARARGS,
      PyDoc_STR("columns($self, track, begin, end, columns, /)\n--\n\n"
                "How long each class of SPAN_CLASSES had each column: an array (columns, classes) of ns.") },
    { "dependencies", timeline_dependencies, METH_NOARGS,
      PyDoc_STR("dependencies($self, /)\n--\n\n"
                "(edges by their end, first edge of each span, first of out of each span, out, counts).") },
    { "find_cycle", timeline_find_cycle, METH_NOARGS,
      PyDoc_STR("find_cycle($self, /)\n--\n\nA span on a circle of dependencies, or None.") },
    { "states", timeline_states, METH_VARARGS,
      PyDoc_STR("states($self, begin, end, /)\n--\n\n"
                "(begin, end, streams, transitions): what each stream was doing in a window.") },
    { "critical_path", timeline_critical_path, METH_VARARGS,
      PyDoc_STR("critical_path($self, begin, end, /)\n--\n\n"
                "(begin, end, ns that rest on inferred edges, ns by part, segments): what decided how long a\n"
                "window took. Begin and end None: all of the work of devices.") },
    { NULL, NULL, 0, NULL },
};

/* ---- Making one --------------------------------------------------------------------------------- */

static tsm_status
build(TimelineObject *self)
{
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    pthread_rwlock_rdlock(&self->store->lock);
    status = tsm_timeline_build(&self->arrays.batch, tsm_store_tables(self->store), &self->timeline);
    tsm_unlock(&self->store->lock);
    Py_END_ALLOW_THREADS
    return status;
}

static PyObject *
timeline_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    module_state *state = PyType_GetModuleState(type);
    PyObject *store, *events, *extensions, *rows;
    if ((kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)
        || !PyArg_ParseTuple(args, "O!OOO:Timeline", state->StoreType, &store, &events, &extensions, &rows)) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "Timeline() takes no keyword arguments");
    }
    TimelineObject *self = (TimelineObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->store = (StoreObject *)Py_NewRef(store);
    if (tsm_arrays_take(state, events, extensions, rows, &self->arrays) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    tsm_status status = build(self);
    if (status != TSM_OK) {
        Py_DECREF(self);
        return tsm_raise(state, status, NULL, NULL);
    }
    return (PyObject *)self;
}

static void
timeline_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    TimelineObject *self = (TimelineObject *)op;
    tsm_dependencies_destroy(self->dependencies);
    tsm_timeline_destroy(self->timeline);
    tsm_arrays_release(&self->arrays);
    Py_XDECREF(self->store);
    type->tp_free(op);
    Py_DECREF(type); /* instances of heap types own their type */
}

static PyType_Slot timeline_slots[] = {
    { Py_tp_doc, (void *)PyDoc_STR("Timeline(store, events, extensions, rows)\n--\n\n"
                                   "What happened when. The arrays must not change while it lives.") },
    { Py_tp_new, timeline_new },
    { Py_tp_dealloc, timeline_dealloc },
    { Py_tp_methods, timeline_methods },
    { Py_tp_getset, timeline_getset },
    { 0, NULL },
};

PyType_Spec tsm_timeline_type_spec = {
    .name = "tracesmith._core.Timeline",
    .basicsize = sizeof(TimelineObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = timeline_slots,
};

/* ---- Names -------------------------------------------------------------------------------------- */

static int
add_dict(PyObject *module, const char *name, PyObject *dict)
{
    int result = dict == NULL ? -1 : PyModule_AddObjectRef(module, name, dict);
    Py_XDECREF(dict);
    return result;
}

int
tsm_timeline_add_names(PyObject *module)
{
#define FORMAT(...)                                "si"
#define CLASS(name, text, number)                  , #text, number
#define KIND(name, python, number, from, to, text) , #python, number
#define STATE(name, python, number)                , #python, number
    return add_dict(module, "SPAN_CLASSES", Py_BuildValue("{" TSM_SPAN_CLASSES(FORMAT) "}" TSM_SPAN_CLASSES(CLASS))) < 0
                   || add_dict(module, "DEPENDENCY_KINDS",
                               Py_BuildValue("{" TSM_DEPENDENCY_KINDS(FORMAT) "}" TSM_DEPENDENCY_KINDS(KIND)))
                          < 0
                   || add_dict(module, "GPU_STATES",
                               Py_BuildValue("{" TSM_GPU_STATES(FORMAT) "}" TSM_GPU_STATES(STATE)))
                          < 0
               ? -1
               : 0;
}
