/* What every built event needs: attribute names, texts, numbers. */
#include "python/build_event.h"

#include <stdint.h>

int
tsm_build_names_init(tsm_build_names *names)
{
#define X(name)                                      \
    names->name = PyUnicode_InternFromString(#name); \
    if (names->name == NULL) {                       \
        return -1;                                   \
    }
    TSM_BUILD_NAMES(X)
#undef X
    return 0;
}

void
tsm_build_names_clear(tsm_build_names *names)
{
#define X(name) Py_CLEAR(names->name);
    TSM_BUILD_NAMES(X)
#undef X
}

PyObject *
tsm_build_event_types(void)
{
    static const struct {
        const char *name;
        int number;
    } types[] = {
#define X(name, python, number) { #python, number },
        TSM_EVENT_TYPES(X)
#undef X
    };
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict != NULL && i < sizeof types / sizeof *types; i++) {
        PyObject *number = PyLong_FromLong(types[i].number);
        if (number == NULL || PyDict_SetItemString(dict, types[i].name, number) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(number);
    }
    return dict;
}

int
tsm_build_text(PyObject *text, const char **data, Py_ssize_t *size, PyObject **keep)
{
    *keep = NULL;
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "expected str, not %.100s", Py_TYPE(text)->tp_name);
        return -1;
    }
    *data = PyUnicode_AsUTF8AndSize(text, size);
    if (*data != NULL) {
        return 0;
    }
    PyErr_Clear();
    *keep = PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape");
    if (*keep == NULL || PyBytes_AsStringAndSize(*keep, (char **)(uintptr_t)data, size) < 0) {
        Py_CLEAR(*keep);
        return -1;
    }
    return 0;
}

int
tsm_build_u64(PyObject *number, uint64_t *out)
{
    PyObject *index = PyNumber_Index(number);
    if (index == NULL) {
        return -1;
    }
    unsigned long long value = PyLong_AsUnsignedLongLong(index);
    Py_DECREF(index);
    if (value == (unsigned long long)-1 && PyErr_Occurred()) {
        return -1;
    }
    *out = value;
    return 0;
}
