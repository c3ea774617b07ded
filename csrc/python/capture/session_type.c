/* Session: start, emit, stop. Subclassed once, by tracesmith.session.TracingSession. */
#include "python/capture/state.h"

#include <string.h>

typedef struct {
    PyObject_HEAD
    tsm_session *session; /* NULL: not running */
    uint64_t generation;  /* of the ids that belong to it */
    capture_state *state; /* of the module, which the type keeps alive */
} SessionObject;

static capture_state *
state_of(PyObject *op)
{
    return ((SessionObject *)op)->state;
}

static PyObject *
session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args; /* a subclass's __init__ takes what it likes */
    (void)kwargs;
    SessionObject *self = (SessionObject *)type->tp_alloc(type, 0);
    while (!(type->tp_flags & Py_TPFLAGS_IMMUTABLETYPE)) { /* subclasses have no module state */
        type = type->tp_base;
    }
    if (self != NULL) {
        self->state = PyType_GetModuleState(type);
    }
    return (PyObject *)self;
}

static PyObject *
stats_dict(const tsm_session_stats *s)
{
    return Py_BuildValue("{sKsKsKsKsKsKsKsKsKsKsKsKsKsIsIsIsO}", "emitted", s->emitted, "delivered", s->delivered,
                         "dropped", s->dropped, "refused_full", s->refused_full, "refused_nested", s->refused_nested,
                         "refused_blocked", s->refused_blocked, "overwritten", s->overwritten, "lost_output",
                         s->lost_output, "damaged", s->damaged, "names_refused", s->names_refused, "begin_ns",
                         s->begin_ns, "end_ns", s->end_ns, "file_bytes", s->file_bytes, "processes", s->processes,
                         "threads", s->threads, "clock_jumps", s->clock_jumps, "fell_back",
                         s->fell_back ? Py_True : Py_False);
}

static void
session_dealloc(PyObject *op)
{
    SessionObject *self = (SessionObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->session != NULL) { /* an error here has nobody to go to; the file says it is incomplete */
        tsm_error err;
        tsm_status status = tsm_session_stop(self->session, NULL, &err);
        (void)status;
    }
    type->tp_free(op);
    Py_DECREF(type);
}

static int
session_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return 0;
}

/* As PyUnicode_FSConverter, and None is NULL. */
static int
optional_path(PyObject *object, void *target)
{
    return object == Py_None ? 1 : PyUnicode_FSConverter(object, target);
}

PyDoc_STRVAR(start_doc, "start($self, /, output, *, buffer_bytes=0, policy=0, block_limit_ms=0, compress=False,\n"
                        "      application=None, spool=None)\n--\n\n"
                        "Begin to record into the file output.");

static PyObject *
session_start(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { "output",   "buffer_bytes", "policy", "block_limit_ms",
                                "compress", "application",  "spool",  NULL };
    SessionObject *self = (SessionObject *)op;
    PyObject *output = NULL, *spool = NULL;
    const char *application = NULL;
    unsigned long long buffer = 0;
    unsigned int policy = 0, limit = 0;
    int compress = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&|$KIIpzO&:start", keywords, PyUnicode_FSConverter, &output,
                                     &buffer, &policy, &limit, &compress, &application, optional_path, &spool)) {
        return NULL;
    }
    tsm_session_config config = tsm_session_config_default();
    config.output = PyBytes_AsString(output);
    config.spool_parent = spool == NULL ? NULL : PyBytes_AsString(spool);
    config.buffer_bytes = buffer;
    config.policy = (tsm_overflow_policy)policy;
    config.block_limit_ms = limit;
    config.compress = compress != 0;
    config.application = application;
    tsm_session *session = NULL;
    tsm_error err = { 0 };
    tsm_status status = TSM_E_STATE;
    if (self->session != NULL) {
        tsm_fail(&err, status, 0, "this session is running already: stop it first");
    } else if (policy > TSM_BLOCK) {
        status = tsm_fail(&err, TSM_E_ARG, 0, "policy must be 0, 1 or 2, not %u", policy);
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = tsm_session_start(&config, &session, &err);
        Py_END_ALLOW_THREADS
        self->session = session;
        self->generation = tsm_generation();
    }
    PyObject *path = PyUnicode_DecodeFSDefault(config.output);
    PyObject *result = status == TSM_OK ? Py_NewRef(Py_None) : capture_raise(state_of(op), status, &err, path);
    Py_XDECREF(path);
    Py_DECREF(output);
    Py_XDECREF(spool);
    return result;
}

PyDoc_STRVAR(stop_doc, "stop($self, /)\n--\n\n"
                       "Stop recording and finish the file. Returns the counts, as a dict.\n"
                       "The session is over even when an error of the output is raised.");

static PyObject *
session_stop(PyObject *op, PyObject *unused)
{
    SessionObject *self = (SessionObject *)op;
    tsm_session_stats stats;
    tsm_error err = { 0 };
    tsm_session *session = NULL;
    tsm_status status = TSM_E_STATE;
    (void)unused;
    TSM_LOCK(op);
    session = self->session;
    self->session = NULL;
    TSM_UNLOCK();
    if (session == NULL) {
        tsm_fail(&err, status, 0, "the session is not running");
        return capture_raise(state_of(op), status, &err, NULL);
    }
    Py_BEGIN_ALLOW_THREADS
    status = tsm_session_stop(session, &stats, &err);
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        return capture_raise(state_of(op), status, &err, NULL);
    }
    return stats_dict(&stats);
}

static PyObject *
session_stats(PyObject *op, PyObject *unused)
{
    SessionObject *self = (SessionObject *)op;
    tsm_session_stats stats;
    (void)unused;
    if (self->session == NULL) {
        Py_RETURN_NONE;
    }
    tsm_session *session = self->session;
    Py_BEGIN_ALLOW_THREADS
    tsm_session_stats_now(session, &stats);
    Py_END_ALLOW_THREADS
    return stats_dict(&stats);
}

static PyObject *
session_flush(PyObject *op, PyObject *unused)
{
    SessionObject *self = (SessionObject *)op;
    tsm_error err = { 0 };
    tsm_status status = TSM_OK;
    (void)unused;
    if (self->session != NULL) {
        tsm_session *session = self->session;
        Py_BEGIN_ALLOW_THREADS
        status = tsm_session_flush(session, &err);
        Py_END_ALLOW_THREADS
    }
    return status == TSM_OK ? Py_NewRef(Py_None) : capture_raise(state_of(op), status, &err, NULL);
}

static PyObject *
session_set_info(PyObject *op, PyObject *args)
{
    SessionObject *self = (SessionObject *)op;
    const char *key, *value;
    tsm_error err = { 0 };
    tsm_status status = TSM_E_STATE;
    if (!PyArg_ParseTuple(args, "ss:set_info", &key, &value)) {
        return NULL;
    }
    if (self->session != NULL) {
        status = tsm_session_set_info(self->session, key, value);
    }
    return status == TSM_OK ? Py_NewRef(Py_None) : capture_raise(state_of(op), status, &err, NULL);
}

static PyObject *
session_pause(PyObject *op, PyObject *unused)
{
    (void)unused;
    if (((SessionObject *)op)->session != NULL) {
        tsm_session_pause(((SessionObject *)op)->session);
    }
    Py_RETURN_NONE;
}

static PyObject *
session_resume(PyObject *op, PyObject *unused)
{
    (void)unused;
    if (((SessionObject *)op)->session != NULL) {
        tsm_session_resume(((SessionObject *)op)->session);
    }
    Py_RETURN_NONE;
}

/* ---- emit ------------------------------------------------------------------------------------ */

static tsm_status
live_text(void *context, unsigned table, const void *data, size_t size, uint32_t *id)
{
    (void)context;
    if (table != TSM_TABLE_STRINGS) {
        return TSM_E_ARG;
    }
    *id = tsm_name(data, size);
    return TSM_OK;
}

static tsm_status
live_row(void *context, unsigned table, const uint64_t *values, uint32_t *id)
{
    (void)context;
    *id = tsm_row(table, values);
    return TSM_OK;
}

static void
live_fail(void *context, tsm_status status)
{
    PyErr_SetString((PyObject *)context, tsm_status_text(status));
}

static PyObject *
emit_object(capture_state *state, PyObject *object)
{
    tsm_built built;
    tsm_build_target target = { PyExc_ValueError, live_text, live_row, live_fail, tsm_process() };
    if (tsm_build_event(&state->names, &target, object, &built) < 0) {
        return NULL;
    }
    bool taken;
    if (built.event.timestamp == 0) {
        built.event.timestamp = tsm_now();
    }
    if (built.extension_count > 0) {
        taken = tsm_emit_extended(&built.event, built.extensions, (uint32_t)built.extension_count);
    } else {
        taken = tsm_emit(&built.event);
    }
    return PyBool_FromLong(taken);
}

/* The fields that may follow a name, in order. */
static bool
parse_fields(PyObject *const *args, Py_ssize_t count, tsm_event *event)
{
    uint64_t *const targets[] = { NULL, NULL, &event->timestamp, &event->duration, &event->correlation, &event->value };
    uint64_t type;
    if (count > 6) {
        PyErr_Format(PyExc_TypeError, "emit() takes at most 6 arguments (%zd given)", count);
        return false;
    }
    if (count > 1) {
        if (tsm_build_u64(args[1], &type) < 0) {
            return false;
        }
        if (type >= TSM_SLOT_EXTENSION) {
            PyErr_Format(PyExc_ValueError, "%llu is no event type", (unsigned long long)type);
            return false;
        }
        event->type = (uint16_t)type;
    }
    for (Py_ssize_t i = 2; i < count; i++) {
        if (tsm_build_u64(args[i], targets[i]) < 0) {
            return false;
        }
    }
    event->flags = count > 5 ? TSM_VALUE_INTEGER : 0;
    return true;
}

PyDoc_STRVAR(emit_doc,
             "emit($self, event, type=EventType.Marker, timestamp=0, duration=0, correlation_id=0, value=0, /)\n--\n\n"
             "Record an event: a TraceEvent, or quickly, without an object, a name and its fields.\n"
             "timestamp 0 is now. False when nothing records or there is no room (which is counted).");

static PyObject *
session_emit(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    capture_state *state = state_of(op);
    tsm_event event = { .type = TSM_EVENT_MARKER };
    bool taken;
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "emit() needs an event or a name");
        return NULL;
    }
    if (((SessionObject *)op)->session == NULL) {
        Py_RETURN_FALSE;
    }
    if (!PyUnicode_Check(args[0])) {
        if (count > 1) {
            PyErr_SetString(PyExc_TypeError, "emit() takes fields only after a name");
            return NULL;
        }
        return emit_object(state, args[0]);
    }
    if (!capture_name_id(state, args[0], ((SessionObject *)op)->generation, &event.name)
        || (count > 1 && !parse_fields(args, count, &event))) {
        return NULL;
    }
    taken = event.timestamp == 0 ? tsm_emit_now(&event) : tsm_emit(&event);
    return PyBool_FromLong(taken);
}

PyDoc_STRVAR(emit_counter_doc, "emit_counter($self, name, value, timestamp=0, /)\n--\n\n"
                               "Record the value of a counter. timestamp 0 is now.");

static PyObject *
session_emit_counter(PyObject *op, PyObject *args)
{
    PyObject *name;
    double value;
    unsigned long long timestamp = 0;
    tsm_event event = { .type = TSM_EVENT_COUNTER, .flags = TSM_VALUE_COUNTER };
    if (!PyArg_ParseTuple(args, "Ud|K:emit_counter", &name, &value, &timestamp)) {
        return NULL;
    }
    if (((SessionObject *)op)->session == NULL) {
        Py_RETURN_FALSE;
    }
    if (!capture_name_id(state_of(op), name, ((SessionObject *)op)->generation, &event.name)) {
        return NULL;
    }
    memcpy(&event.value, &value, sizeof value);
    event.timestamp = timestamp;
    return PyBool_FromLong(timestamp == 0 ? tsm_emit_now(&event) : tsm_emit(&event));
}

static PyObject *
session_get_active(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((SessionObject *)op)->session != NULL);
}

static PyMethodDef emit_method = { "emit", (PyCFunction)(void (*)(void))session_emit, METH_FASTCALL, emit_doc };

/* CPython specialises calls of a C method only where the object is exactly of the class that
 * defines it, so each subclass gets emit as its own. */
static PyObject *
session_init_subclass(PyObject *type, PyObject *unused)
{
    (void)unused;
    PyObject *method = PyDescr_NewMethod((PyTypeObject *)type, &emit_method);
    int failed = method == NULL || PyObject_SetAttrString(type, "emit", method) < 0;
    Py_XDECREF(method);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef session_methods[] = {
    { "start", (PyCFunction)(void (*)(void))session_start, METH_VARARGS | METH_KEYWORDS, start_doc },
    { "stop", session_stop, METH_NOARGS, stop_doc },
    { "stats", session_stats, METH_NOARGS,
      PyDoc_STR("stats($self, /)\n--\n\nThe counts so far as a dict, or None when not running.") },
    { "flush", session_flush, METH_NOARGS,
      PyDoc_STR("flush($self, /)\n--\n\nReturn when everything emitted so far is in the file.") },
    { "set_info", session_set_info, METH_VARARGS,
      PyDoc_STR("set_info($self, key, value, /)\n--\n\nRecord a fact about the whole trace.") },
    { "pause", session_pause, METH_NOARGS, PyDoc_STR("pause($self, /)\n--\n\nIgnore emits until resume().") },
    { "resume", session_resume, METH_NOARGS, PyDoc_STR("resume($self, /)\n--\n\nRecord again.") },
    { "emit", (PyCFunction)(void (*)(void))session_emit, METH_FASTCALL, emit_doc },
    { "__init_subclass__", session_init_subclass, METH_CLASS | METH_NOARGS, NULL },
    { "emit_counter", session_emit_counter, METH_VARARGS, emit_counter_doc },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef session_getset[] = {
    { "active", session_get_active, NULL, PyDoc_STR("Whether it is running (paused counts)."), NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot session_slots[] = {
    { Py_tp_doc, (void *)PyDoc_STR("Session()\n--\n\nRecords events of this process and its children.") },
    { Py_tp_new, session_new },
    { Py_tp_dealloc, session_dealloc },
    { Py_tp_traverse, session_traverse },
    { Py_tp_methods, session_methods },
    { Py_tp_getset, session_getset },
    { 0, NULL },
};

PyType_Spec capture_session_spec = {
    .name = "tracesmith._capture.Session",
    .basicsize = sizeof(SessionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = session_slots,
};
