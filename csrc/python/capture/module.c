#include "python/capture/state.h"

#include <errno.h>
#include <string.h>

static const char *
exception_name(tsm_status status)
{
    switch (status) { /* no default: -Wswitch finds a status left out */
    case TSM_E_FORMAT:
        return "FormatError";
    case TSM_E_TRUNCATED:
        return "TruncatedError";
    case TSM_E_CORRUPT:
        return "CorruptError";
    case TSM_E_UNSUPPORTED:
        return "UnsupportedError";
    case TSM_E_STATE:
        return "StateError";
    case TSM_E_BUSY:
        return "BusyError";
    case TSM_OK:
    case TSM_E_NOMEM:
    case TSM_E_ARG:
    case TSM_E_IO:
    case TSM_E_LIMIT:
    case TSM_E_END:
        return NULL;
    }
    return NULL;
}

static PyObject *
builtin_exception(tsm_status status)
{
    return status == TSM_E_NOMEM   ? PyExc_MemoryError
           : status == TSM_E_ARG   ? PyExc_ValueError
           : status == TSM_E_LIMIT ? PyExc_OverflowError
                                   : PyExc_SystemError;
}

/* OSError picks its subclass (FileNotFoundError, ...) from the number it is made with. */
static void
raise_os_error(const tsm_error *err, PyObject *path)
{
    PyObject *made = PyObject_CallFunction(PyExc_OSError, "isO", err->os_error == 0 ? EIO : err->os_error, err->text,
                                           path == NULL ? Py_None : path);
    if (made != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(made), made);
        Py_DECREF(made);
    }
}

PyObject *
capture_raise(capture_state *state, tsm_status status, const tsm_error *err, PyObject *path)
{
    const char *name = exception_name(status);
    const char *text = err->text[0] != 0 ? err->text : tsm_status_text(status);
    if (status == TSM_E_IO) {
        raise_os_error(err, path);
        return NULL;
    }
    if (name == NULL) {
        PyErr_SetString(builtin_exception(status), text);
        return NULL;
    }
    PyObject *type = PyObject_GetAttrString(state->errors, name);
    if (type != NULL) {
        PyErr_SetString(type, text);
        Py_DECREF(type);
    }
    return NULL;
}

static void
forget_names(capture_state *state)
{
    for (int i = 0; i < NAME_CACHE; i++) {
        Py_CLEAR(state->cache[i].name);
    }
}

static bool
make_id(capture_state *state, PyObject *name, uint64_t generation, uint32_t *id)
{
    const char *text;
    Py_ssize_t size;
    PyObject *keep;
    if (tsm_build_text(name, &text, &size, &keep) < 0) {
        return false;
    }
    *id = tsm_name(text, (size_t)size);
    Py_XDECREF(keep);
    if (state->generation != generation) {
        forget_names(state);
        state->generation = generation;
    }
    if (generation != 0) {
        cached_name *slot = &state->cache[((uintptr_t)name >> 4) & (NAME_CACHE - 1)];
        Py_XSETREF(slot->name, Py_NewRef(name));
        slot->id = *id;
    }
    return true;
}

bool
capture_look_up(capture_state *state, PyObject *name, uint64_t generation, uint32_t *id)
{
    bool known = true;
    TSM_LOCK(state->errors); /* any object of the module: the cache has no lock of its own */
    const cached_name *slot = &state->cache[((uintptr_t)name >> 4) & (NAME_CACHE - 1)];
    if (slot->name == name && state->generation == generation) {
        *id = slot->id;
    } else {
        known = make_id(state, name, generation, id);
    }
    TSM_UNLOCK();
    return known;
}

/* Takes the reference to value; the module and the state then hold one each. */
static int
add(PyObject *module, const char *name, PyObject *value, PyObject **slot)
{
    *slot = value;
    return PyModule_AddObjectRef(module, name, value);
}

static int
module_exec(PyObject *module)
{
    capture_state *state = PyModule_GetState(module);
    if (strcmp(tsm_version(), TSM_VERSION) != 0) {
        PyErr_Format(PyExc_ImportError,
                     "this is TraceSmith %s, but the process already runs the capture core of TraceSmith %s: "
                     "profile with the same version that the program imports",
                     TSM_VERSION, tsm_version());
        return -1;
    }
    state->errors = PyImport_ImportModule("tracesmith.errors");
    if (state->errors == NULL || tsm_build_names_init(&state->names) < 0
        || add(module, "Session", PyType_FromModuleAndSpec(module, &capture_session_spec, NULL), &state->SessionType)
               < 0
        || add(module, "annotate", PyType_FromModuleAndSpec(module, &capture_annotate_spec, NULL), &state->AnnotateType)
               < 0) {
        return -1; /* module_clear releases what was made */
    }
    capture_annotate_ready(state->AnnotateType);
    state->AnnotatedType = PyType_FromModuleAndSpec(module, &capture_annotated_spec, NULL);
    if (state->AnnotatedType == NULL || PyModule_AddFunctions(module, capture_functions) < 0) {
        return -1;
    }
    PyObject *types = tsm_build_event_types();
    int added = types == NULL ? -1 : PyModule_AddObjectRef(module, "EVENT_TYPES", types);
    Py_XDECREF(types);
    return added;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    capture_state *state = PyModule_GetState(module);
#define X(member) Py_VISIT(state->member);
    MODULE_STATE(X)
#undef X
    return 0;
}

static int
module_clear(PyObject *module)
{
    capture_state *state = PyModule_GetState(module);
#define X(member) Py_CLEAR(state->member);
    MODULE_STATE(X)
#undef X
    tsm_build_names_clear(&state->names);
    forget_names(state);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    { Py_mod_exec, module_exec },
#if PY_VERSION_HEX >= 0x030c0000
    /* There is one session per process, not one per interpreter. */
    { Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED },
#endif
#if PY_VERSION_HEX >= 0x030d0000
    { Py_mod_gil, Py_MOD_GIL_NOT_USED },
#endif
    { 0, NULL },
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tracesmith._capture",
    .m_doc = PyDoc_STR("The live session: the capture core, as Python sees it."),
    .m_size = sizeof(capture_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__capture(void)
{
    return PyModuleDef_Init(&module_def);
}
