/* NumPy, met when it is first needed: what makes no arrays starts without it, in half the time. */
#define TSM_IMPORT_ARRAY
#include "python/core/state.h"

#include <stddef.h>
#include <string.h>

static PyObject *
make_dtype(PyObject *spec)
{
    PyArray_Descr *dtype = NULL;
    if (spec != NULL && !PyArray_DescrConverter(spec, &dtype)) {
        dtype = NULL;
    }
    Py_XDECREF(spec);
    return (PyObject *)dtype;
}

/* The dtypes spell out offsetof(), so NumPy and C cannot disagree on padding. */
static PyObject *
make_event_dtype(void)
{
#define S(ctype, field, format, text)      "s"
#define N(ctype, field, format, text)      "n"
#define NAME(ctype, field, format, text)   #field,
#define FORMAT(ctype, field, format, text) format,
#define OFFSET(ctype, field, format, text) (Py_ssize_t) offsetof(tsm_event, field),
    return make_dtype(
        Py_BuildValue("{s[" TSM_EVENT_FIELDS(S) "]s[" TSM_EVENT_FIELDS(S) "]s[" TSM_EVENT_FIELDS(N) "]sn}", "names",
                      TSM_EVENT_FIELDS(NAME) "formats", TSM_EVENT_FIELDS(FORMAT) "offsets",
                      TSM_EVENT_FIELDS(OFFSET) "itemsize", (Py_ssize_t)sizeof(tsm_event)));
#undef S
#undef N
#undef NAME
#undef FORMAT
#undef OFFSET
}

#define AT(type, field) (Py_ssize_t) offsetof(type, field)

static PyObject *
make_extension_dtype(void)
{
    return make_dtype(Py_BuildValue("{s[ssss]s[(s(i))sss]s[nnnn]sn}", "names", "values", "type", "count", "schema",
                                    "formats", "u8", TSM_EXTENSION_VALUES, "u2", "u2", "u4", "offsets",
                                    AT(tsm_extension, values), AT(tsm_extension, type), AT(tsm_extension, count),
                                    AT(tsm_extension, schema), "itemsize", (Py_ssize_t)sizeof(tsm_extension)));
}

static PyObject *
make_block_dtype(void)
{
    return make_dtype(
        Py_BuildValue("{s[ssssssss]s[ssssssss]s[nnnnnnnn]sn}", "names", "offset", "bytes", "first_event", "begin_ns",
                      "last_ns", "end_ns", "count", "extension_count", "formats", "u8", "u8", "u8", "u8", "u8", "u8",
                      "u4", "u4", "offsets", AT(tsm_sbt_block_info, offset), AT(tsm_sbt_block_info, bytes),
                      AT(tsm_sbt_block_info, first_event), AT(tsm_sbt_block_info, begin_ns),
                      AT(tsm_sbt_block_info, last_ns), AT(tsm_sbt_block_info, end_ns), AT(tsm_sbt_block_info, count),
                      AT(tsm_sbt_block_info, extension_count), "itemsize", (Py_ssize_t)sizeof(tsm_sbt_block_info)));
}

static PyObject *
make_position_dtype(void)
{
    return make_dtype(Py_BuildValue("{s[sssss]s[sssss]s[nnnnn]sn}", "names", "producer", "slots", "delivered",
                                    "overwritten", "lost", "formats", "u4", "u8", "u8", "u8", "u8", "offsets",
                                    AT(tsm_sbt_position, producer), AT(tsm_sbt_position, slots),
                                    AT(tsm_sbt_position, delivered), AT(tsm_sbt_position, overwritten),
                                    AT(tsm_sbt_position, lost), "itemsize", (Py_ssize_t)sizeof(tsm_sbt_position)));
}

static const struct {
    const char *name;
    PyObject *(*make)(void);
    size_t slot; /* in the module's state */
} dtypes[] = {
    { "EVENT_DTYPE", make_event_dtype, offsetof(module_state, event_dtype) },
    { "EXTENSION_DTYPE", make_extension_dtype, offsetof(module_state, extension_dtype) },
    { "BLOCK_DTYPE", make_block_dtype, offsetof(module_state, block_dtype) },
    { "POSITION_DTYPE", make_position_dtype, offsetof(module_state, position_dtype) },
};
#define DTYPES (sizeof dtypes / sizeof *dtypes)

static PyObject **
slot_of(module_state *state, size_t i)
{
    return (PyObject **)((char *)state + dtypes[i].slot);
}

int
tsm_need_numpy(module_state *state)
{
    if (state->position_dtype != NULL) { /* the last one */
        return 0;
    }
    if (PyArray_ImportNumPyAPI() < 0) {
        return -1;
    }
    for (size_t i = 0; i < DTYPES; i++) {
        PyObject *dtype = dtypes[i].make();
        if (dtype == NULL) {
            return -1;
        }
        Py_XSETREF(*slot_of(state, i), dtype);
    }
    return 0;
}

/* The module's __getattr__. */
PyObject *
tsm_core_getattr(PyObject *module, PyObject *name)
{
    module_state *state = PyModule_GetState(module);
    const char *wanted = PyUnicode_AsUTF8(name);
    for (size_t i = 0; wanted != NULL && i < DTYPES; i++) {
        if (strcmp(wanted, dtypes[i].name) == 0) {
            return tsm_need_numpy(state) < 0 ? NULL : Py_NewRef(*slot_of(state, i));
        }
    }
    if (wanted != NULL) {
        PyErr_Format(PyExc_AttributeError, "module 'tracesmith._core' has no attribute %R", name);
    }
    return NULL;
}
