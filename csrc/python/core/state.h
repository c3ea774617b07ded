/* Shared by the files of tracesmith._core. */
#ifndef TSM_PYTHON_CORE_STATE_H
#define TSM_PYTHON_CORE_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API  NPY_1_7_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL TSM_ARRAY_API
#ifndef TSM_IMPORT_ARRAY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include <pthread.h>

#include "python/build_event.h"
#include "sbt/sbt.h"

/* Every reference the module owns, listed once. */
#define MODULE_STATE(X) \
    X(StoreType)        \
    X(WriterType)       \
    X(TimelineType)     \
    X(AnalysisType)     \
    X(event_dtype)      \
    X(extension_dtype)  \
    X(block_dtype)      \
    X(position_dtype)   \
    X(TraceError)       \
    X(FormatError)      \
    X(TruncatedError)   \
    X(CorruptError)     \
    X(UnsupportedError) \
    X(StateError)       \
    X(BusyError)

typedef struct {
#define X(member) PyObject *member;
    MODULE_STATE(X)
#undef X
    tsm_build_names names;
} module_state;

/* Where rows live, and perhaps events: a file that is read, or tables in memory. The lock
 * guards both: read to look, write to change. It is never held while Python code runs. */
typedef struct {
    PyObject_HEAD
    tsm_sbt_reader *reader; /* NULL: in memory */
    tsm_tables *owned;      /* NULL: the reader's */
    PyObject *path;
    pthread_rwlock_t lock;
} StoreObject;

tsm_tables *tsm_store_tables(StoreObject *store);

extern PyType_Spec tsm_store_type_spec, tsm_writer_type_spec, tsm_timeline_type_spec, tsm_analysis_type_spec;
extern PyMethodDef tsm_functions[];

int tsm_timeline_add_names(PyObject *module);                                  /* timeline.c */
PyObject *tsm_core_export(PyObject *module, PyObject *args, PyObject *kwargs); /* export.c */
PyObject *tsm_core_arrow_stream(PyObject *module, PyObject *args);             /* arrow.c */
PyObject *tsm_core_recognize(PyObject *module, PyObject *args);                /* ingest.c */
PyObject *tsm_core_import_file(PyObject *module, PyObject *args, PyObject *kwargs);

/* Methods of Store, by file. */
PyObject *tsm_store_read(PyObject *op, PyObject *args, PyObject *kwargs); /* store_read.c */
PyObject *tsm_store_find(PyObject *op, PyObject *args);
PyObject *tsm_store_blocks(PyObject *op, PyObject *unused);
PyObject *tsm_store_count(PyObject *op, PyObject *args); /* store_tables.c */
PyObject *tsm_store_table(PyObject *op, PyObject *args);
PyObject *tsm_store_text(PyObject *op, PyObject *args);
PyObject *tsm_store_texts(PyObject *op, PyObject *args);
PyObject *tsm_store_find_text(PyObject *op, PyObject *text);
PyObject *tsm_store_build(PyObject *op, PyObject *iterable); /* store_build.c */
PyObject *tsm_store_absorb(PyObject *op, PyObject *args);

void tsm_lock_init(pthread_rwlock_t *lock);
/* Waits without the GIL, and only when it has to wait. Never take one twice in a thread. */
void tsm_lock_read(pthread_rwlock_t *lock);
void tsm_lock_write(pthread_rwlock_t *lock);
void tsm_unlock(pthread_rwlock_t *lock);

/* Sets the exception for status and returns NULL. err and path (a str or bytes) may be NULL. */
PyObject *tsm_raise(const module_state *state, tsm_status status, const tsm_error *err, PyObject *path);

/* Before the first array is made or taken: whoever makes a Store or a Writer calls it. */
int tsm_need_numpy(module_state *state);
PyObject *tsm_core_getattr(PyObject *module, PyObject *name);

/* Exactly this dtype, one dimension, C order: a new reference, or TypeError. */
PyArrayObject *tsm_as_array(PyObject *object, PyObject *dtype, const char *what);
PyArrayObject *tsm_new_array(PyObject *dtype, npy_intp count);

/* A batch over three arrays as Store.read returns them, extensions and rows together or not at
 * all; rows ascending and below the number of events. The arrays keep the memory. */
typedef struct {
    PyArrayObject *events, *extensions, *rows;
    tsm_batch batch;
} tsm_arrays;

int tsm_arrays_take(const module_state *state, PyObject *events, PyObject *extensions, PyObject *rows, tsm_arrays *out);
void tsm_arrays_release(tsm_arrays *arrays);
/* The tuple (events, extensions, rows) with copies of what batch holds. */
PyObject *tsm_arrays_copy(const module_state *state, const tsm_batch *batch);

/* The events that a consumer is to read. take and release with the GIL, open and close without;
 * between open and close the store is locked for reading, so no Python code may run there, and
 * its tables must not be added to. A second view in one thread is opened after the first is closed. */
typedef struct {
    StoreObject *store;
    tsm_arrays arrays; /* none: the store's file */
    uint64_t begin, end;
    tsm_cursor *cursor; /* while open. Who takes it over sets it to NULL */
    bool locked;
} tsm_view;

/* events None: the store's file. begin and end: a window in ns, None for no bound. */
int tsm_view_take(const module_state *state, PyObject *store, PyObject *events, PyObject *extensions, PyObject *rows,
                  PyObject *begin, PyObject *end, tsm_view *out);
/* in_order: one merge over all batches, else batches sorted inside. A view may be opened again. */
TSM_NODISCARD tsm_status tsm_view_open(tsm_view *view, bool in_order, tsm_error *err);
void tsm_view_close(tsm_view *view);
void tsm_view_release(tsm_view *view); /* closes it, too */
/* For tsm_raise: the file that is read, or NULL. Borrowed. */
PyObject *tsm_view_path(const tsm_view *view);

/* Builds every object of an iterable into a memory that the caller destroys. NULL: exception. */
tsm_memory *tsm_collect(const module_state *state, const tsm_build_target *target, PyObject *iterable);

/* 0 when there is no such table: ValueError. */
unsigned tsm_table_number(const char *name);
/* One value per column from a sequence of ints, negative ones where a column allows it. */
int tsm_row_values(unsigned table, PyObject *sequence, uint64_t *values);
/* str for text tables of text, bytes for blobs. */
PyObject *tsm_text_object(unsigned table, tsm_text text);

#endif
