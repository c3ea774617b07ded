/* Functions of the module: the simulated source, recovery, what earlier runs left behind. */
#include "python/capture/state.h"

#include <stdatomic.h>

#include "capture/capture.h"
#include "source/source.h"

PyDoc_STRVAR(simulate_doc,
             "simulate(seed=1, devices=1, streams=2, steps=20, layers=24, begin_ns=0, omit=0, paced=False)\n--\n\n"
             "Emit a synthetic training job into the running session; returns its known answers.\n"
             "paced keeps to the clock, until simulate_stop().");

static PyObject *
answers_dict(const tsm_simulation_answers *a)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
#define X(field) { #field, a->field },
        X(events) X(kernels) X(copies) X(memsets) X(collectives) X(launches) X(allocations) X(frees) X(wall_ns)
            X(active_ns) X(busy_ns) X(kernel_busy_ns) X(communication_ns) X(overlap_ns) X(idle_input_ns) X(idle_sync_ns)
                X(idle_launch_ns) X(copied_bytes) X(peak_bytes) X(leaked_bytes) X(leaked_count)
#undef X
    };
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict != NULL && i < sizeof all / sizeof *all; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(all[i].value);
        if (number == NULL || PyDict_SetItemString(dict, all[i].name, number) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(number);
    }
    return dict;
}

static _Atomic bool stop_simulation;

static PyObject *
simulate(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { "seed", "devices", "streams", "steps", "layers", "begin_ns", "omit", "paced", NULL };
    tsm_simulation config = tsm_simulation_default();
    unsigned long long seed = config.seed, begin = 0;
    int paced = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|KIIIIKIp:simulate", keywords, &seed, &config.devices,
                                     &config.streams, &config.steps, &config.layers, &begin, &config.omit, &paced)) {
        return NULL;
    }
    config.seed = seed;
    config.begin_ns = begin;
    config.paced = paced != 0;
    config.stop = paced ? &stop_simulation : NULL;
    stop_simulation = false;
    tsm_simulation_answers answers;
    tsm_error err = { 0 };
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    status = tsm_simulation_run(&config, &answers, &err);
    Py_END_ALLOW_THREADS
    return status == TSM_OK ? answers_dict(&answers) : capture_raise(PyModule_GetState(module), status, &err, NULL);
}

static PyObject *
simulate_stop(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    stop_simulation = true;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(recover_doc, "recover(path, /)\n--\n\n"
                          "Make a file whose writer died whole, with what its spools still hold.\n"
                          "Returns {'drained': bool, 'recovered': events that were not in the file before}.");

static PyObject *
recover(PyObject *module, PyObject *arg)
{
    PyObject *path;
    if (!PyUnicode_FSConverter(arg, &path)) {
        return NULL;
    }
    tsm_recovery report;
    tsm_error err = { 0 };
    tsm_status status;
    const char *name = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    status = tsm_recover(name, &report, &err);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    if (status != TSM_OK) {
        return capture_raise(PyModule_GetState(module), status, &err, arg);
    }
    return Py_BuildValue("{sOsK}", "drained", report.drained ? Py_True : Py_False, "recovered",
                         (unsigned long long)report.recovered);
}

static void
on_orphan(void *context, const char *spool_directory, const char *output)
{
    PyObject *list = context;
    PyObject *item =
        list == NULL || PyErr_Occurred()
            ? NULL
            : Py_BuildValue("(NN)", PyUnicode_DecodeFSDefault(spool_directory), PyUnicode_DecodeFSDefault(output));
    if (item != NULL) {
        PyList_Append(list, item);
        Py_DECREF(item);
    }
}

static PyObject *
orphans(PyObject *module, PyObject *args)
{
    PyObject *directory = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "|O&:orphans", PyUnicode_FSConverter, &directory)) {
        return NULL;
    }
    PyObject *list = PyList_New(0);
    if (list != NULL) {
        tsm_find_orphans(directory == NULL ? NULL : PyBytes_AsString(directory), on_orphan, list);
    }
    Py_XDECREF(directory);
    if (PyErr_Occurred()) {
        Py_CLEAR(list);
    }
    return list;
}

static PyObject *
now_ns(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLongLong(tsm_now());
}

PyMethodDef capture_functions[] = {
    { "simulate", (PyCFunction)(void (*)(void))simulate, METH_VARARGS | METH_KEYWORDS, simulate_doc },
    { "simulate_stop", simulate_stop, METH_NOARGS,
      PyDoc_STR("simulate_stop()\n--\n\nEnd a paced simulation after its current step.") },
    { "recover", recover, METH_O, recover_doc },
    { "orphans", orphans, METH_VARARGS,
      PyDoc_STR("orphans(directory=None, /)\n--\n\n"
                "[(spool folder, output path)] of runs that nobody reads any more.") },
    { "now_ns", now_ns, METH_NOARGS, PyDoc_STR("now_ns()\n--\n\nCLOCK_MONOTONIC in nanoseconds.") },
    { NULL, NULL, 0, NULL },
};
