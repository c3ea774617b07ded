/* annotate: a range around a block or a function. One event, written at the end, so that a range
 * costs one slot. Its begin waits in the object, or, when the object is entered again before it is
 * left (recursion, another thread), in a stack of the thread. */
#include "python/capture/state.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>

/* Where a range that is open has begun: in the object, if the object is not in use already. */
typedef struct {
    _Atomic bool in_use;
    uint64_t begin;
} open_range;

typedef struct {
    PyObject_HEAD
    PyObject *name;
    open_range range;
} AnnotateObject;

typedef struct {
    PyObject_HEAD
    PyObject *name, *function, *dict;
    vectorcallfunc vectorcall;
    open_range range;
} AnnotatedObject;

typedef struct {
    const open_range *range;
    uint64_t begin;
} nested_range;

/* What this thread has open beyond that: recursion, and objects that another thread is using. */
static _Thread_local nested_range *nested __attribute__((tls_model("initial-exec")));
static _Thread_local uint32_t depth __attribute__((tls_model("initial-exec")));
static _Thread_local uint32_t capacity __attribute__((tls_model("initial-exec")));

static bool
push_nested(const open_range *range, uint64_t begin)
{
    if (depth == capacity) {
        uint32_t grown = capacity == 0 ? 32 : capacity * 2;
        nested_range *moved = realloc(nested, grown * sizeof *moved);
        if (moved == NULL) {
            PyErr_NoMemory();
            return false;
        }
        nested = moved;
        capacity = grown;
    }
    nested[depth++] = (nested_range){ range, begin };
    return true;
}

/* The innermost that this thread has pushed of that object. */
static bool
pop_nested(const open_range *range, uint64_t *begin)
{
    for (uint32_t at = depth; at-- > 0;) {
        if (nested[at].range == range) {
            *begin = nested[at].begin;
            memmove(&nested[at], &nested[at + 1], (--depth - at) * sizeof *nested);
            if (depth == 0) { /* nothing stays behind a thread that ends */
                free(nested);
                nested = NULL;
                capacity = 0;
            }
            return true;
        }
    }
    return false;
}

static inline bool
begin_range(open_range *range)
{
    /* Relaxed: begin is written and read by the thread that got the flag. */
    if (!atomic_exchange_explicit(&range->in_use, true, memory_order_relaxed)) {
        range->begin = tsm_ticks();
        return true;
    }
    return push_nested(range, tsm_ticks());
}

static inline bool
end_range(capture_state *state, PyObject *name, open_range *range)
{
    tsm_event event = { .type = TSM_EVENT_RANGE };
    uint64_t begin;
    if (depth == 0 || !pop_nested(range, &begin)) {
        begin = range->begin;
        atomic_store_explicit(&range->in_use, false, memory_order_relaxed);
    }
    if (!capture_name_id(state, name, tsm_generation(), &event.name)) {
        return false;
    }
    if (event.name != 0 && begin != 0) {
        tsm_emit_range(&event, begin);
    }
    return true;
}

/* Per use, so it does without a tuple of arguments. */
static PyObject *
annotate_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t count = PyVectorcall_NARGS(nargsf) + (kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames));
    if (count != 1 || !PyUnicode_Check(args[0])
        || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) == 1
            && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "name") != 0)) {
        PyErr_SetString(PyExc_TypeError, "annotate() takes one argument, a str: annotate(name)");
        return NULL;
    }
    AnnotateObject *self = (AnnotateObject *)((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
    if (self != NULL) {
        self->name = Py_NewRef(args[0]);
    }
    return (PyObject *)self;
}

/* What inspection finds; calls go to annotate_vectorcall. */
static PyObject *
annotate_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { "name", NULL };
    PyObject *name;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U:annotate", keywords, &name)) {
        return NULL;
    }
    return annotate_vectorcall((PyObject *)type, &name, 1, NULL);
}

static void
annotate_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    Py_DECREF(((AnnotateObject *)op)->name);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
annotate_enter(PyObject *op, PyObject *unused)
{
    (void)unused;
    return begin_range(&((AnnotateObject *)op)->range) ? Py_NewRef(op) : NULL;
}

static PyObject *
annotate_exit(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    AnnotateObject *self = (AnnotateObject *)op;
    (void)args;
    (void)count;
    if (!end_range(PyType_GetModuleState(Py_TYPE(op)), self->name, &self->range)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
annotated_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    AnnotatedObject *self = (AnnotatedObject *)op;
    if (!begin_range(&self->range)) {
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(self->function, args, nargsf, kwnames);
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    if (!end_range(PyType_GetModuleState(Py_TYPE(op)), self->name, &self->range)) {
        PyErr_Clear(); /* the function's outcome matters more than its name's encoding */
    }
    PyErr_Restore(type, value, traceback);
    return result;
}

static bool
wrap_metadata(PyObject *wrapper, PyObject *function)
{
    PyObject *functools = PyImport_ImportModule("functools");
    PyObject *done =
        functools == NULL ? NULL : PyObject_CallMethod(functools, "update_wrapper", "OO", wrapper, function);
    Py_XDECREF(functools);
    Py_XDECREF(done);
    return done != NULL;
}

/* A call of a coroutine function only makes the coroutine: its range would mean nothing. */
static bool
can_be_annotated(PyObject *function)
{
    if (!PyCallable_Check(function)) {
        PyErr_Format(PyExc_TypeError, "annotate decorates functions, not %.100s", Py_TYPE(function)->tp_name);
        return false;
    }
    if (PyFunction_Check(function)
        && ((PyCodeObject *)PyFunction_GET_CODE(function))->co_flags
               & (CO_COROUTINE | CO_ASYNC_GENERATOR | CO_GENERATOR)) {
        PyErr_SetString(PyExc_TypeError, "annotate cannot decorate generators and coroutines: use it inside, as "
                                         "'with annotate(name):'");
        return false;
    }
    return true;
}

static PyObject *
annotate_call(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { "function", NULL };
    capture_state *state = PyType_GetModuleState(Py_TYPE(op));
    PyObject *function;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:annotate", keywords, &function)) {
        return NULL;
    }
    if (!can_be_annotated(function)) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)state->AnnotatedType;
    AnnotatedObject *made = (AnnotatedObject *)type->tp_alloc(type, 0);
    if (made == NULL) {
        return NULL;
    }
    made->name = Py_NewRef(((AnnotateObject *)op)->name);
    made->function = Py_NewRef(function);
    made->vectorcall = annotated_vectorcall;
    if (!wrap_metadata((PyObject *)made, function)) {
        Py_DECREF(made);
        return NULL;
    }
    return (PyObject *)made;
}

static PyMethodDef annotate_methods[] = {
    { "__enter__", annotate_enter, METH_NOARGS, NULL },
    { "__exit__", (PyCFunction)(void (*)(void))annotate_exit, METH_FASTCALL, NULL },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot annotate_slots[] = {
    { Py_tp_doc, (void *)PyDoc_STR("annotate(name)\n--\n\n"
                                   "A named range around a block (with) or a function (decorator), recorded by the\n"
                                   "session that runs when it ends; nothing at all when none runs.") },
    { Py_tp_new, annotate_new },
    { Py_tp_dealloc, annotate_dealloc },
    { Py_tp_call, annotate_call },
    { Py_tp_methods, annotate_methods },
    { 0, NULL },
};

void
capture_annotate_ready(PyObject *type)
{
    ((PyTypeObject *)type)->tp_vectorcall = annotate_vectorcall; /* a slot only since CPython 3.14 */
}

PyType_Spec capture_annotate_spec = {
    .name = "tracesmith._capture.annotate",
    .basicsize = sizeof(AnnotateObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = annotate_slots,
};

static int
annotated_traverse(PyObject *op, visitproc visit, void *arg)
{
    AnnotatedObject *self = (AnnotatedObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->name);
    Py_VISIT(self->function);
    Py_VISIT(self->dict);
    return 0;
}

static int
annotated_clear(PyObject *op)
{
    AnnotatedObject *self = (AnnotatedObject *)op;
    Py_CLEAR(self->name);
    Py_CLEAR(self->function);
    Py_CLEAR(self->dict);
    return 0;
}

static void
annotated_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)annotated_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* Bound like a function, so that methods can be decorated. */
static PyObject *
annotated_descr_get(PyObject *op, PyObject *instance, PyObject *owner)
{
    (void)owner;
    return instance == NULL || instance == Py_None ? Py_NewRef(op) : PyMethod_New(op, instance);
}

static PyMemberDef annotated_members[] = {
    { "__dictoffset__", T_PYSSIZET, offsetof(AnnotatedObject, dict), READONLY, NULL },
    { "__vectorcalloffset__", T_PYSSIZET, offsetof(AnnotatedObject, vectorcall), READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};

static PyGetSetDef annotated_getset[] = {
    { "__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot annotated_slots[] = {
    { Py_tp_doc, (void *)PyDoc_STR("A function in a range.") },
    { Py_tp_dealloc, annotated_dealloc },
    { Py_tp_traverse, annotated_traverse },
    { Py_tp_clear, annotated_clear },
    { Py_tp_call, PyVectorcall_Call },
    { Py_tp_descr_get, annotated_descr_get },
    { Py_tp_members, annotated_members },
    { Py_tp_getset, annotated_getset },
    { 0, NULL },
};

PyType_Spec capture_annotated_spec = {
    .name = "tracesmith._capture.annotated",
    .basicsize = sizeof(AnnotatedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = annotated_slots,
};
