#include "python/core/state.h"

/* Takes the reference to value; the module and the state then hold one each. */
static int
add(PyObject *module, const char *name, PyObject *value, PyObject **slot)
{
    *slot = value;
    return value == NULL ? -1 : PyModule_AddObjectRef(module, name, value);
}

static int
add_exceptions(module_state *state)
{
    PyObject *errors = PyImport_ImportModule("tracesmith.errors");
    if (errors == NULL) {
        return -1;
    }
    struct {
        const char *name;
        PyObject **slot;
    } wanted[] = {
        { "TraceError", &state->TraceError },
        { "FormatError", &state->FormatError },
        { "TruncatedError", &state->TruncatedError },
        { "CorruptError", &state->CorruptError },
        { "UnsupportedError", &state->UnsupportedError },
        { "StateError", &state->StateError },
        { "BusyError", &state->BusyError },
    };
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof wanted / sizeof *wanted; i++) {
        *wanted[i].slot = PyObject_GetAttrString(errors, wanted[i].name);
        result = *wanted[i].slot == NULL ? -1 : 0;
    }
    Py_DECREF(errors);
    return result;
}

static int
add_table_names(PyObject *module)
{
    PyObject *names = PyList_New(0);
    for (unsigned i = 0; names != NULL && i < TSM_TABLE_LIMIT; i++) {
        const tsm_table_layout *layout = tsm_table_layout_of(i);
        PyObject *name = layout == NULL ? NULL : PyUnicode_FromString(layout->name);
        if (layout != NULL && (name == NULL || PyList_Append(names, name) < 0)) {
            Py_CLEAR(names);
        }
        Py_XDECREF(name);
    }
    PyObject *tuple = names == NULL ? NULL : PyList_AsTuple(names);
    Py_XDECREF(names);
    int result = tuple == NULL ? -1 : PyModule_AddObjectRef(module, "TABLES", tuple);
    Py_XDECREF(tuple);
    return result;
}

static int
add_event_types(PyObject *module)
{
    PyObject *types = tsm_build_event_types();
    int result = types == NULL ? -1 : PyModule_AddObjectRef(module, "EVENT_TYPES", types);
    Py_XDECREF(types);
    return result;
}

static int
module_exec(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    if (tsm_build_names_init(&state->names) < 0 || add_exceptions(state) < 0 || add_event_types(module) < 0
        || add_table_names(module) < 0
        || add(module, "Store", PyType_FromModuleAndSpec(module, &tsm_store_type_spec, NULL), &state->StoreType) < 0
        || add(module, "Writer", PyType_FromModuleAndSpec(module, &tsm_writer_type_spec, NULL), &state->WriterType) < 0
        || add(module, "Timeline", PyType_FromModuleAndSpec(module, &tsm_timeline_type_spec, NULL),
               &state->TimelineType)
               < 0
        || add(module, "Analysis", PyType_FromModuleAndSpec(module, &tsm_analysis_type_spec, NULL),
               &state->AnalysisType)
               < 0
        || tsm_timeline_add_names(module) < 0) {
        return -1; /* module_clear releases what was made */
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);
#define X(member) Py_VISIT(state->member);
    MODULE_STATE(X)
#undef X
    return 0;
}

static int
module_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
#define X(member) Py_CLEAR(state->member);
    MODULE_STATE(X)
#undef X
    tsm_build_names_clear(&state->names);
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
    /* NumPy's own modules refuse subinterpreters, so we do too. */
    { Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED },
#endif
#if PY_VERSION_HEX >= 0x030d0000
    { Py_mod_gil, Py_MOD_GIL_NOT_USED },
#endif
    { 0, NULL },
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tracesmith._core",
    .m_doc = PyDoc_STR("Traces, as C sees them: everything right of the file."),
    .m_size = sizeof(module_state),
    .m_methods = tsm_functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
