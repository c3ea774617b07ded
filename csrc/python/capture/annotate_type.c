/* annotate: a range around a block or a function. One event, written at the end, so that a range
 * costs one slot; its begin waits in a stack of the thread, so that one annotate object may be
 * entered again before it is left (recursion) and by several threads at once. */
#include "python/capture/state.h"

#include <stddef.h>
#include <stdlib.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *name;
} AnnotateObject;

typedef struct {
    PyObject_HEAD
    PyObject *name, *function, *dict;
    vectorcallfunc vectorcall;
} AnnotatedObject;

typedef struct {
    const void *object;
    uint64_t begin;
} open_range;

#define INLINE_DEPTH 64

static _Thread_local open_range inline_ranges[INLINE_DEPTH];
static _Thread_local open_range *more_ranges; /* beyond; grows, and is kept for the thread's life */
static _Thread_local size_t depth, more_capacity;

static open_range *
range_at(size_t index)
{
    return index < INLINE_DEPTH ? &inline_ranges[index] : &more_ranges[index - INLINE_DEPTH];
}

static bool
push_range(const void *object)
{
    if (depth >= INLINE_DEPTH && depth - INLINE_DEPTH == more_capacity) {
        size_t grown = more_capacity == 0 ? INLINE_DEPTH : more_capacity * 2;
        open_range *moved = realloc(more_ranges, grown * sizeof *moved);
        if (moved == NULL) {
            PyErr_NoMemory();
            return false;
        }
        more_ranges = moved;
        more_capacity = grown;
    }
    *range_at(depth++) = (open_range){ object, tsm_ticks() };
    return true;
}

/* The innermost range of that object; those inside it that were never left (a coroutine that
 * was thrown away) go with it. False: there is none. */
static bool
pop_range(const void *object, uint64_t *begin)
{
    for (size_t at = depth; at-- > 0;) {
        if (range_at(at)->object == object) {
            *begin = range_at(at)->begin;
            if (at + 1 == depth) {
                depth = at;
            } else {
                range_at(at)->object = NULL; /* interleaved: keep the others open */
            }
            while (depth > 0 && range_at(depth - 1)->object == NULL) {
                depth--;
            }
            return true;
        }
    }
    return false;
}

static bool
end_range(capture_state *state, PyObject *name, const void *object)
{
    tsm_event event = { .type = TSM_EVENT_RANGE };
    uint64_t begin;
    bool known = true;
    if (pop_range(object, &begin) && begin != 0) {
        known = capture_name_id(state, name, &event.name);
        if (known && event.name != 0) {
            tsm_emit_range(&event, begin);
        }
    }
    return known;
}

static PyObject *
annotate_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { "name", NULL };
    PyObject *name;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U:annotate", keywords, &name)) {
        return NULL;
    }
    AnnotateObject *self = (AnnotateObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->name = Py_NewRef(name);
    }
    return (PyObject *)self;
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
    return push_range(op) ? Py_NewRef(op) : NULL;
}

static PyObject *
annotate_exit(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    if (!end_range(PyType_GetModuleState(Py_TYPE(op)), ((AnnotateObject *)op)->name, op)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
annotated_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    AnnotatedObject *self = (AnnotatedObject *)op;
    if (!push_range(op)) {
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(self->function, args, nargsf, kwnames);
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    if (!end_range(PyType_GetModuleState(Py_TYPE(op)), self->name, op)) {
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

static PyObject *
annotate_call(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { "function", NULL };
    capture_state *state = PyType_GetModuleState(Py_TYPE(op));
    PyObject *function;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:annotate", keywords, &function)) {
        return NULL;
    }
    if (!PyCallable_Check(function)) {
        PyErr_Format(PyExc_TypeError, "annotate decorates functions, not %.100s", Py_TYPE(function)->tp_name);
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
