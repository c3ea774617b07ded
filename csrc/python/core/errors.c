/* How a C status becomes a Python exception. */
#include "python/core/state.h"

#include <errno.h>
#include <string.h>

static PyObject *
exception_of(const module_state *state, tsm_status status)
{
    switch (status) { /* no default: -Wswitch finds a status left out */
    case TSM_OK:
    case TSM_E_END:
        return PyExc_SystemError;
    case TSM_E_NOMEM:
        return PyExc_MemoryError;
    case TSM_E_ARG:
        return PyExc_ValueError;
    case TSM_E_IO:
        return PyExc_OSError;
    case TSM_E_FORMAT:
        return state->FormatError;
    case TSM_E_TRUNCATED:
        return state->TruncatedError;
    case TSM_E_CORRUPT:
        return state->CorruptError;
    case TSM_E_UNSUPPORTED:
        return state->UnsupportedError;
    case TSM_E_STATE:
        return state->StateError;
    case TSM_E_BUSY:
        return state->BusyError;
    case TSM_E_LIMIT:
        return PyExc_OverflowError;
    }
    return PyExc_SystemError;
}

/* OSError picks its subclass (FileNotFoundError, ...) from the number it is made with, and adds
 * the path itself: a text that names it already gives way to the system's own words. */
static void
raise_os_error(const tsm_error *err, PyObject *text, PyObject *path)
{
    int number = err->os_error == 0 ? EIO : err->os_error;
    if (path != NULL && PySequence_Contains(text, path) == 1) {
        errno = number;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
        return;
    }
    PyObject *made = path == NULL ? PyObject_CallFunction(PyExc_OSError, "iO", number, text)
                                  : PyObject_CallFunction(PyExc_OSError, "iOO", number, text, path);
    if (made != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(made), made);
        Py_DECREF(made);
    }
}

static void
raise_with_offset(PyObject *type, const tsm_error *err, PyObject *text)
{
    PyObject *made = PyObject_CallOneArg(type, text);
    PyObject *offset = made == NULL ? NULL : PyLong_FromUnsignedLongLong(err->offset);
    if (offset != NULL && PyObject_SetAttrString(made, "offset", offset) == 0) {
        PyErr_SetObject(type, made);
    }
    Py_XDECREF(offset);
    Py_XDECREF(made);
}

static int
is_about_bytes(tsm_status status)
{
    return status == TSM_E_FORMAT || status == TSM_E_TRUNCATED || status == TSM_E_CORRUPT
           || status == TSM_E_UNSUPPORTED;
}

PyObject *
tsm_raise(const module_state *state, tsm_status status, const tsm_error *err, PyObject *path)
{
    const char *reason = err == NULL || err->text[0] == '\0' ? tsm_status_text(status) : err->text;
    PyObject *type = exception_of(state, status);
    PyObject *text = PyUnicode_DecodeUTF8(reason, (Py_ssize_t)strlen(reason), "replace");
    if (text == NULL) {
        return NULL;
    }
    if (status == TSM_E_IO && err != NULL) {
        raise_os_error(err, text, path);
    } else if (is_about_bytes(status) && err != NULL) {
        PyObject *whole = path == NULL ? PyUnicode_FromFormat("%U (at byte %llu)", text, err->offset)
                                       : PyUnicode_FromFormat("%S: %U (at byte %llu)", path, text, err->offset);
        if (whole != NULL) {
            raise_with_offset(type, err, whole);
            Py_DECREF(whole);
        }
    } else {
        PyErr_SetObject(type, text);
    }
    Py_DECREF(text);
    return NULL;
}
