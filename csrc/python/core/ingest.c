/* tracesmith._core.recognize and import_file: other people's traces into SBT. */
#include "ingest/ingest.h"

#include "python/core/state.h"

/* What Python watches and says while C reads: an array of three, the bytes read, those there are,
 * and, once it is not 0, the wish to stop. */
enum { PROGRESS_DONE, PROGRESS_TOTAL, PROGRESS_STOP, PROGRESS_COUNT };

static bool
note_progress(void *context, uint64_t done, uint64_t total)
{
    uint64_t *progress = context;
    if (progress == NULL) {
        return true;
    }
    /* Each stands for itself. */
    __atomic_store_n(&progress[PROGRESS_TOTAL], total, __ATOMIC_RELAXED);
    __atomic_store_n(&progress[PROGRESS_DONE], done, __ATOMIC_RELAXED);
    return __atomic_load_n(&progress[PROGRESS_STOP], __ATOMIC_RELAXED) == 0;
}

static int
take_progress(PyObject *object, uint64_t **progress)
{
    PyArrayObject *array = (PyArrayObject *)object;
    *progress = NULL;
    if (object == Py_None) {
        return 0;
    }
    if (!PyArray_Check(object) || PyArray_TYPE(array) != NPY_UINT64 || PyArray_SIZE(array) != PROGRESS_COUNT
        || !PyArray_ISCARRAY(array)) {
        PyErr_SetString(PyExc_TypeError, "progress must be a writable array of three uint64");
        return -1;
    }
    *progress = PyArray_DATA(array);
    return 0;
}

/* For C and for people. */
typedef struct {
    PyObject *text, *bytes;
} path_object;

/* Takes text over, even on failure. */
static int
encode_path(path_object *path)
{
    path->bytes = PyUnicode_EncodeFSDefault(path->text);
    if (path->bytes == NULL) {
        Py_CLEAR(path->text);
    }
    return path->bytes == NULL ? -1 : 0;
}

static void
release_path(path_object *path)
{
    Py_DECREF(path->text);
    Py_DECREF(path->bytes);
}

PyObject *
tsm_core_recognize(PyObject *module, PyObject *args)
{
    path_object path;
    tsm_ingest_format format = TSM_INGEST_UNKNOWN;
    tsm_error err = { 0 };
    tsm_status status;
    if (!PyArg_ParseTuple(args, "O&:recognize", PyUnicode_FSDecoder, &path.text) || encode_path(&path) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = tsm_ingest_recognize(PyBytes_AS_STRING(path.bytes), &format, &err);
    Py_END_ALLOW_THREADS
    PyObject *made = status == TSM_OK ? PyLong_FromLong((long)format)
                                      : tsm_raise(PyModule_GetState(module), status, &err, path.text);
    release_path(&path);
    return made;
}

static PyObject *
report_rows(const tsm_ingest_report *report)
{
    PyObject *rows = PyList_New(0);
    for (size_t i = 0; rows != NULL && i < report->row_count; i++) {
        const tsm_ingest_row *row = &report->rows[i];
        PyObject *category = PyUnicode_DecodeUTF8(row->category, (Py_ssize_t)strlen(row->category), "replace");
        PyObject *made = NULL;
        if (category != NULL) {
            made = Py_BuildValue("(NKz)", category, (unsigned long long)row->count, row->reason);
        }
        if (made == NULL || PyList_Append(rows, made) < 0) {
            Py_CLEAR(rows);
        }
        Py_XDECREF(made);
    }
    return rows;
}

static PyObject *
report_object(const tsm_ingest_report *report)
{
    PyObject *rows = report_rows(report);
    return rows == NULL
               ? NULL
               : Py_BuildValue("{sisKsKsOsN}", "format", (int)report->format, "bytes_read",
                               (unsigned long long)report->bytes_read, "events", (unsigned long long)report->events,
                               "truncated", report->truncated ? Py_True : Py_False, "rows", rows);
}

/* *about_output: the failure is the written file's. */
static tsm_status
import_to(const char *path, const char *binary, const char *output, bool compress, uint64_t *progress,
          tsm_ingest_report *report, bool *about_output, tsm_error *err)
{
    tsm_sbt_writer *writer;
    *about_output = true;
    tsm_status status = tsm_sbt_writer_open(output, compress ? TSM_SBT_ZSTD : TSM_SBT_PLAIN, &writer, err);
    if (status != TSM_OK) {
        return status;
    }
    *about_output = false;
    status = tsm_ingest_file_with(path, TSM_INGEST_UNKNOWN, binary, tsm_sbt_writer_sink(writer), note_progress,
                                  progress, report, err);
    if (status != TSM_OK) {
        tsm_sbt_writer_destroy(writer);
        return status;
    }
    *about_output = true;
    return tsm_sbt_writer_close(writer, err);
}

static PyObject *
import_paths(const module_state *state, const path_object *path, const char *binary, const path_object *output,
             bool compress, uint64_t *progress)
{
    tsm_ingest_report report;
    tsm_error err = { 0 };
    bool about_output;
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    status = import_to(PyBytes_AS_STRING(path->bytes), binary, PyBytes_AS_STRING(output->bytes), compress, progress,
                       &report, &about_output, &err);
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        return tsm_raise(state, status, &err, about_output ? output->text : path->text);
    }
    return report_object(&report);
}

/* For PyArg_Parse: bytes as the file system has them, NULL for None. */
static int
optional_path(PyObject *object, void *out)
{
    return object == Py_None ? 1 : PyUnicode_FSConverter(object, out);
}

PyObject *
tsm_core_import_file(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "path", "output", "compress", "progress", "binary", NULL };
    path_object path = { NULL, NULL }, output = { NULL, NULL };
    PyObject *progress = Py_None, *binary = NULL, *made = NULL;
    int compress = 0;
    uint64_t *watched;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O&|pOO&:import_file", names, PyUnicode_FSDecoder, &path.text,
                                     PyUnicode_FSDecoder, &output.text, &compress, &progress, optional_path, &binary)
        || encode_path(&path) < 0) {
        Py_XDECREF(binary);
        return NULL;
    }
    if (encode_path(&output) < 0) {
        release_path(&path);
        Py_XDECREF(binary);
        return NULL;
    }
    if (take_progress(progress, &watched) == 0) {
        made = import_paths(PyModule_GetState(module), &path, binary == NULL ? NULL : PyBytes_AS_STRING(binary),
                            &output, compress != 0, watched);
    }
    Py_XDECREF(binary);
    release_path(&path);
    release_path(&output);
    return made;
}
