/* Shared by the files of tracesmith._capture: the live session, without NumPy. */
#ifndef TSM_PYTHON_CAPTURE_STATE_H
#define TSM_PYTHON_CAPTURE_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "python/build_event.h"
#include "tracesmith/tracesmith.h"

/* Every reference the module owns, listed once. */
#define MODULE_STATE(X) \
    X(SessionType)      \
    X(AnnotateType)     \
    X(AnnotatedType)    \
    X(errors)

/* Name objects seen lately and their ids: a hit costs one comparison. The objects are kept alive,
 * so an address cannot come to mean another name. */
#define NAME_CACHE 1024

typedef struct {
    PyObject *name;
    uint32_t id;
} cached_name;

typedef struct {
#define X(member) PyObject *member;
    MODULE_STATE(X)
#undef X
    tsm_build_names names;
    uint64_t generation; /* that the ids below belong to */
    cached_name cache[NAME_CACHE];
} capture_state;

extern PyType_Spec capture_session_spec, capture_annotate_spec, capture_annotated_spec;
extern PyMethodDef capture_functions[];
void capture_annotate_ready(PyObject *type);

/* The id of a str in the session of that generation (tsm_generation), 0 without a session. False:
 * an exception is set. */
bool capture_look_up(capture_state *state, PyObject *name, uint64_t generation, uint32_t *id);

/* Sets the exception for status and returns NULL; path may be NULL. */
PyObject *capture_raise(capture_state *state, tsm_status status, const tsm_error *err, PyObject *path);

/* Free-threaded builds lock the object; others compile to a plain block. */
#ifdef Py_GIL_DISABLED
#define TSM_LOCK(object) Py_BEGIN_CRITICAL_SECTION(object)
#define TSM_UNLOCK()     Py_END_CRITICAL_SECTION()
#else
#define TSM_LOCK(object) {
#define TSM_UNLOCK()     }
#endif

static inline bool
capture_name_id(capture_state *state, PyObject *name, uint64_t generation, uint32_t *id)
{
#ifndef Py_GIL_DISABLED
    const cached_name *slot = &state->cache[((uintptr_t)name >> 4) & (NAME_CACHE - 1)];
    if (__builtin_expect(slot->name == name && state->generation == generation, 1)) {
        *id = slot->id;
        return true;
    }
#endif
    return capture_look_up(state, name, generation, id);
}

#endif
