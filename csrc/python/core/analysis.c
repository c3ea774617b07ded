/* tracesmith._core.Analysis: traces in, answers out, as plain objects; NumPy is not needed. */
#include "analysis/analysis.h"

#include <stdlib.h>

#include "ingest/ingest.h"
#include "python/core/state.h"
#include "sbt/sbt.h"

/* One thread at a time: the lock is held while C works without the GIL. */
typedef struct {
    PyObject_HEAD
    tsm_analysis *analysis; /* NULL: spoilt by a failure */
    pthread_rwlock_t lock;
} AnalysisObject;

/* What Python watches and says while C works: done, all, and the wish to stop. */
static bool
note_progress(void *context, uint64_t done)
{
    uint64_t *progress = context;
    __atomic_store_n(&progress[0], done, __ATOMIC_RELAXED); /* nothing else goes with it */
    return __atomic_load_n(&progress[2], __ATOMIC_RELAXED) == 0;
}

static bool
note_reading(void *context, uint64_t done, uint64_t all)
{
    uint64_t *progress = context;
    __atomic_store_n(&progress[1], all, __ATOMIC_RELAXED);
    return note_progress(context, done);
}

/* ---- Adding ------------------------------------------------------------------------------------ */

typedef struct {
    PyObject *path;  /* as given, a str */
    PyObject *bytes; /* as the system takes it */
    const char *label;
    uint64_t begin, end;
    int relative;       /* begin and end count from the first event */
    Py_buffer progress; /* obj NULL: nobody watches */
    tsm_ingest_report report;
} file_job;

static void
make_absolute(file_job *job, uint64_t first)
{
    if (job->relative) {
        job->begin = job->begin > UINT64_MAX - first ? UINT64_MAX : job->begin + first;
        job->end = job->end > UINT64_MAX - first ? UINT64_MAX : job->end + first;
    }
}

static uint64_t
first_of(const tsm_memory *memory)
{
    tsm_batch all;
    uint64_t first = UINT64_MAX;
    tsm_memory_borrow(memory, &all);
    for (size_t i = 0; i < all.count; i++) {
        first = all.events[i].timestamp < first ? all.events[i].timestamp : first;
    }
    return first;
}

static tsm_status
add_sbt(tsm_analysis *analysis, file_job *job, tsm_error *err)
{
    tsm_sbt_reader *reader;
    tsm_cursor *cursor;
    tsm_sbt_info info;
    tsm_status status = tsm_sbt_reader_open(PyBytes_AS_STRING(job->bytes), &reader, err);
    if (status != TSM_OK) {
        return status;
    }
    tsm_sbt_reader_info(reader, &info);
    uint64_t *progress = job->progress.buf;
    if (progress != NULL) {
        __atomic_store_n(&progress[1], info.event_count, __ATOMIC_RELAXED);
    }
    job->report.events = info.event_count;
    job->report.truncated = !info.complete;
    make_absolute(job, info.begin_ns);
    status = tsm_sbt_reader_cursor(reader, job->begin, job->end, &cursor);
    if (status == TSM_OK) {
        status = tsm_analysis_add(analysis, cursor, job->label, job->begin, job->end,
                                  progress == NULL ? NULL : note_progress, progress, err);
    }
    tsm_sbt_reader_close(reader);
    return status;
}

static tsm_status
add_foreign(tsm_analysis *analysis, file_job *job, tsm_error *err)
{
    tsm_memory *memory;
    tsm_cursor *cursor;
    tsm_status status = tsm_memory_create(&memory);
    if (status != TSM_OK) {
        return tsm_fail(err, status, 0, "no memory for the trace");
    }
    status = tsm_ingest_file(PyBytes_AS_STRING(job->bytes), job->report.format, tsm_memory_sink(memory),
                             job->progress.buf == NULL ? NULL : note_reading, job->progress.buf, &job->report, err);
    if (status == TSM_OK) {
        make_absolute(job, first_of(memory));
        status = tsm_memory_cursor(memory, job->begin, job->end, &cursor);
    }
    if (status == TSM_OK) {
        status = tsm_analysis_add(analysis, cursor, job->label, job->begin, job->end, NULL, NULL, err);
    }
    tsm_memory_destroy(memory);
    return status;
}

static tsm_status
add_file(tsm_analysis *analysis, file_job *job, tsm_error *err)
{
    tsm_ingest_format format;
    tsm_status status = tsm_ingest_recognize(PyBytes_AS_STRING(job->bytes), &format, err);
    if (status != TSM_OK) {
        return status;
    }
    job->report.format = format;
    bool ours = format == TSM_INGEST_SBT || format == TSM_INGEST_UNKNOWN; /* whose reader says what is wrong */
    return ours ? add_sbt(analysis, job, err) : add_foreign(analysis, job, err);
}

/* After a failure the analysis holds part of a trace, and is given up. */
static PyObject *
settle(AnalysisObject *self, const module_state *state, tsm_status status, const tsm_error *err, PyObject *path)
{
    if (status != TSM_OK) {
        tsm_analysis_destroy(self->analysis);
        self->analysis = NULL;
    }
    tsm_unlock(&self->lock);
    if (status != TSM_OK) {
        return tsm_raise(state, status, err, path);
    }
    Py_RETURN_NONE;
}

static int
usable(AnalysisObject *self, const module_state *state)
{
    if (self->analysis == NULL) {
        PyErr_SetString(state->StateError, "this analysis failed before; begin a new one");
        return 0;
    }
    return 1;
}

static PyObject *
describe_file(const tsm_ingest_report *report)
{
    PyObject *rows = PyList_New(0);
    for (size_t i = 0; rows != NULL && i < report->row_count && i < TSM_INGEST_ROWS; i++) {
        const tsm_ingest_row *row = &report->rows[i];
        PyObject *item = Py_BuildValue("(szK)", row->category, row->reason, (unsigned long long)row->count);
        if (item == NULL || PyList_Append(rows, item) < 0) {
            Py_CLEAR(rows);
        }
        Py_XDECREF(item);
    }
    return rows == NULL ? NULL
                        : Py_BuildValue("{sisKsNsN}", "format", (int)report->format, "events",
                                        (unsigned long long)report->events, "truncated",
                                        PyBool_FromLong(report->truncated), "rows", rows);
}

static int
parse_bound(PyObject *object, uint64_t *bound)
{
    return object == Py_None ? 0 : tsm_build_u64(object, bound);
}

static int
take_progress(PyObject *object, Py_buffer *progress)
{
    if (object == Py_None) {
        return 0;
    }
    if (PyObject_GetBuffer(object, progress, PyBUF_WRITABLE) < 0) {
        return -1;
    }
    if (progress->len != 3 * (Py_ssize_t)sizeof(uint64_t) || ((uintptr_t)progress->buf & 7) != 0) {
        PyBuffer_Release(progress);
        PyErr_SetString(PyExc_TypeError, "progress must be a writable array of three uint64");
        return -1;
    }
    return 0;
}

static PyObject *
analysis_add_file(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "path", "label", "begin", "end", "relative", "progress", NULL };
    AnalysisObject *self = (AnalysisObject *)op;
    const module_state *state = PyType_GetModuleState(Py_TYPE(op));
    PyObject *begin = Py_None, *end = Py_None, *progress = Py_None, *done = NULL;
    file_job job = { .label = "", .end = UINT64_MAX };
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&|sOOpO:add_file", names, PyUnicode_FSDecoder, &job.path,
                                     &job.label, &begin, &end, &job.relative, &progress)) {
        return NULL;
    }
    job.bytes = PyUnicode_EncodeFSDefault(job.path);
    if (job.bytes != NULL && parse_bound(begin, &job.begin) == 0 && parse_bound(end, &job.end) == 0
        && take_progress(progress, &job.progress) == 0) {
        tsm_error err = { 0 };
        tsm_status status;
        tsm_lock_write(&self->lock);
        if (usable(self, state)) {
            Py_BEGIN_ALLOW_THREADS
            status = add_file(self->analysis, &job, &err);
            Py_END_ALLOW_THREADS
            done = settle(self, state, status, &err, job.path);
        } else {
            tsm_unlock(&self->lock);
        }
        PyBuffer_Release(&job.progress);
    }
    Py_XDECREF(job.bytes);
    Py_DECREF(job.path);
    if (done != NULL) {
        Py_SETREF(done, describe_file(&job.report));
    }
    return done;
}

static tsm_status
add_view(tsm_analysis *analysis, tsm_view *view, const char *label, tsm_error *err)
{
    tsm_status status = tsm_view_open(view, false, err);
    if (status == TSM_OK) {
        tsm_cursor *cursor = view->cursor;
        view->cursor = NULL;
        status = tsm_analysis_add(analysis, cursor, label, view->begin, view->end, NULL, NULL, err);
    }
    tsm_view_close(view);
    return status;
}

static PyObject *
analysis_add(PyObject *op, PyObject *args)
{
    AnalysisObject *self = (AnalysisObject *)op;
    const module_state *state = PyType_GetModuleState(Py_TYPE(op));
    PyObject *store, *events, *extensions, *rows, *begin, *end, *done = NULL;
    const char *label;
    tsm_view view;
    if (!PyArg_ParseTuple(args, "OOOOOOs:add", &store, &events, &extensions, &rows, &begin, &end, &label)
        || tsm_view_take(state, store, events, extensions, rows, begin, end, &view) < 0) {
        return NULL;
    }
    tsm_error err = { 0 };
    tsm_status status;
    tsm_lock_write(&self->lock);
    if (usable(self, state)) {
        Py_BEGIN_ALLOW_THREADS
        status = add_view(self->analysis, &view, label, &err);
        Py_END_ALLOW_THREADS
        done = settle(self, state, status, &err, tsm_view_path(&view));
    } else {
        tsm_unlock(&self->lock);
    }
    tsm_view_release(&view);
    return done;
}

/* ---- Partials ---------------------------------------------------------------------------------- */

static PyObject *
analysis_save(PyObject *op, PyObject *unused)
{
    AnalysisObject *self = (AnalysisObject *)op;
    const module_state *state = PyType_GetModuleState(Py_TYPE(op));
    uint8_t *data = NULL;
    size_t size = 0;
    (void)unused;
    tsm_lock_write(&self->lock);
    if (!usable(self, state)) {
        tsm_unlock(&self->lock);
        return NULL;
    }
    tsm_status status = tsm_analysis_save(self->analysis, &data, &size);
    tsm_unlock(&self->lock);
    if (status != TSM_OK) {
        return tsm_raise(state, status, NULL, NULL);
    }
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    free(data);
    return bytes;
}

/* Merges what was saved elsewhere. */
static PyObject *
analysis_merge(PyObject *op, PyObject *saved)
{
    AnalysisObject *self = (AnalysisObject *)op;
    const module_state *state = PyType_GetModuleState(Py_TYPE(op));
    tsm_analysis *other;
    tsm_error err = { 0 };
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(saved, &data, &size) < 0) {
        return NULL;
    }
    tsm_status status = tsm_analysis_load(data, (size_t)size, &other, &err);
    if (status != TSM_OK) {
        return tsm_raise(state, status, &err, NULL);
    }
    tsm_lock_write(&self->lock);
    PyObject *done = NULL;
    if (usable(self, state)) {
        done = settle(self, state, tsm_analysis_merge(self->analysis, other), NULL, NULL);
    } else {
        tsm_unlock(&self->lock);
    }
    tsm_analysis_destroy(other);
    return done;
}

/* ---- Answers ----------------------------------------------------------------------------------- */

static PyObject *
text_object(tsm_text text)
{
    return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size, "replace");
}

static PyObject *
cell_object(const tsm_cell *cell)
{
    switch (cell->type) {
    case TSM_CELL_INTEGER:
        return PyLong_FromUnsignedLongLong(cell->integer);
    case TSM_CELL_REAL:
        return PyFloat_FromDouble(cell->real);
    case TSM_CELL_TEXT:
        return text_object(cell->text);
    default:
        Py_RETURN_NONE;
    }
}

/* A list of count items that make(items, i) gives. */
static PyObject *
build_list(const void *items, size_t count, PyObject *(*make)(const void *items, size_t i))
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = make(items, i);
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
        }
    }
    return list;
}

static PyObject *
make_cell(const void *items, size_t i)
{
    return cell_object((const tsm_cell *)items + i);
}

static PyObject *
make_text(const void *items, size_t i)
{
    return text_object(((const tsm_text *)items)[i]);
}

static PyObject *
make_row(const void *items, size_t i)
{
    const tsm_answer_table *table = items;
    return build_list(table->cells + i * table->column_count, table->column_count, make_cell);
}

static PyObject *
make_column(const void *items, size_t i)
{
    static const char *const types[] = { "none", "integer", "number", "text" };
    const tsm_answer_column *column = (const tsm_answer_column *)items + i;
    return Py_BuildValue("(sss)", column->name, types[column->type], column->unit);
}

static PyObject *
make_table(const void *items, size_t i)
{
    const tsm_answer_table *table = (const tsm_answer_table *)items + i;
    return Py_BuildValue("{sssNsNsn}", "name", tsm_report_name(table->report), "columns",
                         build_list(table->columns, table->column_count, make_column), "rows",
                         build_list(table, table->row_count, make_row), "all", (Py_ssize_t)table->all);
}

static PyObject *
make_finding(const void *items, size_t i)
{
    static const char *const levels[] = { "info", "low", "medium", "high" };
    const tsm_finding *finding = (const tsm_finding *)items + i;
    return Py_BuildValue("{sssssssNsKsdsNsNss}", "id", finding->id, "severity", levels[finding->severity], "confidence",
                         levels[finding->confidence], "what", text_object(finding->what), "cost_ns",
                         (unsigned long long)finding->cost_ns, "share", finding->share, "evidence",
                         build_list(finding->evidence, finding->evidence_count, make_text), "stack",
                         text_object(finding->stack), "advice", finding->advice);
}

#define NS(field) #field, (unsigned long long)totals->field

static PyObject *
totals_object(const tsm_totals *totals)
{
    return Py_BuildValue("{sKsKsKsKsKsKsKsKsKsK}", NS(devices), NS(events), NS(window_ns), NS(compute_ns),
                         NS(exposed_communication_ns), NS(exposed_memory_ns), NS(idle_ns), NS(communication_ns),
                         NS(overlap_ns), NS(gap_threshold_ns));
}

#undef NS

/* Names as bits; -1: ValueError. */
static int
parse_wanted(PyObject *names, uint32_t *wanted)
{
    PyObject *list = PySequence_Fast(names, "reports must be a sequence of names");
    for (Py_ssize_t i = 0; list != NULL && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *name = PySequence_Fast_GET_ITEM(list, i);
        unsigned report = 0;
        while (report < TSM_REPORT_COUNT
               && (!PyUnicode_Check(name) || PyUnicode_CompareWithASCIIString(name, tsm_report_name(report)) != 0)) {
            report++;
        }
        if (report == TSM_REPORT_COUNT) {
            PyErr_Format(PyExc_ValueError, "there is no report %R", name);
            Py_CLEAR(list);
            break;
        }
        *wanted |= TSM_REPORT_BIT(report);
    }
    Py_XDECREF(list);
    return list == NULL ? -1 : 0;
}

static PyObject *
analysis_finish(PyObject *op, PyObject *args)
{
    AnalysisObject *self = (AnalysisObject *)op;
    const module_state *state = PyType_GetModuleState(Py_TYPE(op));
    PyObject *names, *made = NULL;
    Py_ssize_t limit = 0;
    uint32_t wanted = 0;
    tsm_answers *answers;
    tsm_status status;
    if (!PyArg_ParseTuple(args, "O|n:finish", &names, &limit) || parse_wanted(names, &wanted) < 0) {
        return NULL;
    }
    tsm_lock_write(&self->lock);
    if (usable(self, state)) {
        status = tsm_analysis_finish(self->analysis, wanted, limit < 0 ? 0 : (size_t)limit, &answers);
        if (status == TSM_OK) {
            made = Py_BuildValue("{sNsNsNsN}", "verdict", text_object(answers->verdict), "totals",
                                 totals_object(&answers->totals), "findings",
                                 build_list(answers->findings, answers->finding_count, make_finding), "tables",
                                 build_list(answers->tables, answers->table_count, make_table));
            tsm_answers_destroy(answers);
        } else {
            tsm_raise(state, status, NULL, NULL);
        }
    }
    tsm_unlock(&self->lock);
    return made;
}

static PyObject *
make_change(const void *items, size_t i)
{
    static const char *const changes[] = { "same", "slower", "faster", "new", "removed" };
    const tsm_kernel_change *kernel = (const tsm_kernel_change *)items + i;
    return Py_BuildValue("{sssdsdsKsKsKsKsKsKsN}", "change", changes[kernel->change], "ratio", kernel->ratio, "p",
                         kernel->p, "count_before", (unsigned long long)kernel->count_before, "count_after",
                         (unsigned long long)kernel->count_after, "total_before",
                         (unsigned long long)kernel->total_before, "total_after",
                         (unsigned long long)kernel->total_after, "median_before",
                         (unsigned long long)kernel->median_before, "median_after",
                         (unsigned long long)kernel->median_after, "name", text_object(kernel->name));
}

static PyObject *
difference_object(const tsm_difference *difference)
{
    static const char *const changes[] = { "same", "slower", "faster", "new", "removed" };
    return Py_BuildValue("{sNsssssdsdsNsNsN}", "verdict", text_object(difference->verdict), "change",
                         changes[difference->change], "by", difference->by, "ratio", difference->ratio, "p",
                         difference->p, "before", totals_object(&difference->before), "after",
                         totals_object(&difference->after), "kernels",
                         build_list(difference->kernels, difference->kernel_count, make_change));
}

/* The other one goes through bytes, so that no two locks are held at once. */
static PyObject *
analysis_diff(PyObject *op, PyObject *args)
{
    AnalysisObject *self = (AnalysisObject *)op;
    const module_state *state = PyType_GetModuleState(Py_TYPE(op));
    const char *data;
    Py_ssize_t size;
    double threshold, alpha;
    tsm_analysis *after;
    tsm_difference *difference;
    tsm_error err = { 0 };
    PyObject *made = NULL;
    if (!PyArg_ParseTuple(args, "y#dd:diff", &data, &size, &threshold, &alpha)) {
        return NULL;
    }
    tsm_status status = tsm_analysis_load(data, (size_t)size, &after, &err);
    if (status != TSM_OK) {
        return tsm_raise(state, status, &err, NULL);
    }
    tsm_lock_write(&self->lock);
    if (usable(self, state)) {
        status = tsm_analysis_diff(self->analysis, after, threshold, alpha, &difference);
        if (status == TSM_OK) {
            made = difference_object(difference);
            tsm_difference_destroy(difference);
        } else {
            tsm_raise(state, status, NULL, NULL);
        }
    }
    tsm_unlock(&self->lock);
    tsm_analysis_destroy(after);
    return made;
}

/* ---- The type ---------------------------------------------------------------------------------- */

static PyObject *
analysis_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { NULL };
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Analysis", keywords)) {
        return NULL;
    }
    AnalysisObject *self = (AnalysisObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    tsm_lock_init(&self->lock);
    if (tsm_analysis_create(&self->analysis) != TSM_OK) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void
analysis_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    AnalysisObject *self = (AnalysisObject *)op;
    tsm_analysis_destroy(self->analysis);
    pthread_rwlock_destroy(&self->lock);
    type->tp_free(op);
    Py_DECREF(type); /* instances of heap types own their type */
}

static PyMethodDef analysis_methods[] = {
    { "add", analysis_add, METH_VARARGS,
      PyDoc_STR("add($self, store, events, extensions, rows, begin, end, label, /)\n--\n\n"
                "One trace: the store's file when events is None, else these arrays.") },
    { "add_file", (PyCFunction)(void (*)(void))analysis_add_file, METH_VARARGS | METH_KEYWORDS,
      PyDoc_STR("add_file($self, /, path, label='', begin=None, end=None, relative=False, progress=None)\n--\n\n"
                "One file of any format; what was read of it, a dict: format, events, truncated, rows.\n"
                "relative: begin and end count from the first event.\n"
                "progress, a writable buffer of three uint64, holds what is done and all there is, and\n"
                "stops the work when the third is set.") },
    { "save", analysis_save, METH_NOARGS,
      PyDoc_STR("save($self, /)\n--\n\nWhat has been found so far, as bytes that merge() takes anywhere.") },
    { "merge", analysis_merge, METH_O, PyDoc_STR("merge($self, saved, /)\n--\n\nAdd what save() gave.") },
    { "finish", analysis_finish, METH_VARARGS,
      PyDoc_STR("finish($self, reports, limit=0, /)\n--\n\n"
                "The answers, a dict: verdict, totals, findings, tables (of these reports; 0: all rows).") },
    { "diff", analysis_diff, METH_VARARGS,
      PyDoc_STR("diff($self, after, threshold, alpha, /)\n--\n\n"
                "This against what another analysis saved: a dict of verdict, change, by, ratio, p, before,\n"
                "after and kernels.") },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot analysis_slots[] = {
    { Py_tp_doc, (void *)PyDoc_STR("Analysis()\n--\n\nTraces in, answers out. Any thread may use it.") },
    { Py_tp_new, analysis_new },
    { Py_tp_dealloc, analysis_dealloc },
    { Py_tp_methods, analysis_methods },
    { 0, NULL },
};

PyType_Spec tsm_analysis_type_spec = {
    .name = "tracesmith._core.Analysis",
    .basicsize = sizeof(AnalysisObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = analysis_slots,
};
