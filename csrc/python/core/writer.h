/* The object behind _core.Writer: its type in writer.c, appending in writer_append.c. */
#ifndef TSM_PYTHON_CORE_WRITER_H
#define TSM_PYTHON_CORE_WRITER_H

#include <sys/types.h>

#include "python/core/state.h"

typedef struct {
    PyObject_HEAD
    tsm_sbt_writer *writer; /* NULL: finalized */
    PyObject *path;
    pid_t pid; /* who opened it: a fork's copy must not touch the file */
    uint32_t process;
    uint64_t final_events;
    PyObject *source; /* the store that remap speaks of: a trace is copied block by block */
    tsm_remap *remap;
    pthread_rwlock_t lock;
} WriterObject;

int tsm_writer_check_process(WriterObject *self);
PyObject *tsm_writer_fail(WriterObject *self, tsm_status status, const tsm_error *err);
tsm_status tsm_writer_intern_text(void *context, unsigned table, const void *data, size_t size, uint32_t *id);

PyObject *tsm_writer_write(PyObject *op, PyObject *object);
PyObject *tsm_writer_write_all(PyObject *op, PyObject *iterable);
PyObject *tsm_writer_write_batch(PyObject *op, PyObject *args);
PyObject *tsm_writer_flush(PyObject *op, PyObject *unused);

#endif
