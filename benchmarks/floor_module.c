/* The floor of the Python rows: a call that does nothing, and the bare time stamp. */
#include <Python.h>

#include <stdint.h>

static PyObject *
noop(PyObject *module, PyObject *arg)
{
    (void)module;
    (void)arg;
    Py_RETURN_NONE;
}

static inline uint64_t
stamp(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_nsec;
#endif
}

static PyObject *
stamps(PyObject *module, PyObject *arg)
{
    unsigned long count = PyLong_AsUnsignedLong(arg);
    (void)module;
    if (count == (unsigned long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    for (unsigned long i = 0; i < count; i++) {
        uint64_t now = stamp();
        __asm__ volatile("" : : "r"(now));
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    { "noop", noop, METH_O, "noop(object, /)\n--\n\nDo nothing." },
    { "stamps", stamps, METH_O, "stamps(count, /)\n--\n\nRead the time stamp counter count times." },
    { NULL, NULL, 0, NULL },
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "bench_floor",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit_bench_floor(void)
{
    return PyModuleDef_Init(&definition);
}
