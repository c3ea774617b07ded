/* Store: events. Arrays are allocated first and filled by C without the GIL. */
#include "python/core/state.h"

#include <string.h>

#include "base/host.h"

/* What one call decodes: known before it starts, since blocks never change. */
typedef struct {
    const npy_intp *blocks;
    npy_intp block_count;
    size_t events, extensions;
} plan;

static int
make_plan(StoreObject *self, PyArrayObject *blocks, plan *p)
{
    tsm_sbt_info info = { 0 };
    npy_intp i;
    *p = (plan){ PyArray_DATA(blocks), PyArray_SIZE(blocks), 0, 0 };
    tsm_lock_read(&self->lock);
    if (self->reader != NULL) {
        tsm_sbt_reader_info(self->reader, &info);
    }
    for (i = 0; i < p->block_count; i++) {
        if (p->blocks[i] < 0 || (uint64_t)p->blocks[i] >= info.block_count) {
            break;
        }
        const tsm_sbt_block_info *block = tsm_sbt_reader_block(self->reader, (size_t)p->blocks[i]);
        p->events += block->count;
        p->extensions += block->extension_count;
    }
    tsm_unlock(&self->lock);
    if (i < p->block_count) {
        PyErr_Format(PyExc_IndexError, "there is no block %zd", (Py_ssize_t)p->blocks[i]);
        return -1;
    }
    if (p->events > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "more than 2**32 events at once: read block by block");
        return -1;
    }
    return 0;
}

/* Rows come back relative to their block and leave relative to the whole. */
static tsm_status
decode(StoreObject *self, const plan *p, tsm_event *events, tsm_extension *extensions, uint32_t *rows, tsm_error *err)
{
    size_t event = 0, extension = 0;
    for (npy_intp i = 0; i < p->block_count; i++) {
        const tsm_sbt_block_info *block = tsm_sbt_reader_block(self->reader, (size_t)p->blocks[i]);
        bool wanted = extensions != NULL && block->extension_count > 0;
        tsm_status status =
            tsm_sbt_reader_read(self->reader, (size_t)p->blocks[i], events + event,
                                wanted ? extensions + extension : NULL, wanted ? rows + extension : NULL, err);
        if (status != TSM_OK) {
            return status;
        }
        for (uint32_t k = 0; wanted && k < block->extension_count; k++) {
            rows[extension + k] += (uint32_t)event;
        }
        event += block->count;
        extension += block->extension_count;
    }
    return TSM_OK;
}

/* Keeps what overlaps the window, in place. */
static void
cut(tsm_event *events, size_t *count, tsm_extension *extensions, uint32_t *rows, size_t *extension_count,
    uint64_t begin, uint64_t end)
{
    size_t kept = 0, kept_extensions = 0, at = 0;
    for (size_t i = 0; i < *count; i++) {
        bool keep = tsm_event_overlaps(&events[i], begin, end);
        for (; at < *extension_count && rows[at] == i; at++) {
            if (keep) {
                extensions[kept_extensions] = extensions[at];
                rows[kept_extensions++] = (uint32_t)kept;
            }
        }
        if (keep) {
            events[kept++] = events[i];
        }
    }
    *count = kept;
    *extension_count = kept_extensions;
}

static int
shrink(PyArrayObject *array, size_t count)
{
    npy_intp length = (npy_intp)count;
    if (PyArray_SIZE(array) == length) {
        return 0;
    }
    PyObject *none = PyArray_Resize(array, &(PyArray_Dims){ &length, 1 }, 0, NPY_CORDER);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

typedef struct {
    PyArrayObject *events, *extensions, *rows;
} result;

static int
allocate(const module_state *state, const plan *p, result *r)
{
    PyArray_Descr *u4 = PyArray_DescrFromType(NPY_UINT32);
    r->events = tsm_new_array(state->event_dtype, (npy_intp)p->events);
    r->extensions = tsm_new_array(state->extension_dtype, (npy_intp)p->extensions);
    r->rows = tsm_new_array((PyObject *)u4, (npy_intp)p->extensions);
    Py_DECREF(u4);
    return r->events == NULL || r->extensions == NULL || r->rows == NULL ? -1 : 0;
}

static PyObject *
release(result *r)
{
    Py_CLEAR(r->events);
    Py_CLEAR(r->extensions);
    Py_CLEAR(r->rows);
    return NULL;
}

#define SMALL_READ ((uint64_t)64 << 20) /* bytes: such an array is allocated unasked */

/* A block of equal events is some hundred bytes, so that a small file, honest or not, may hold more
 * events than fit in memory. The kernel would hand out the array all the same and kill the process
 * while it is being filled, so the free memory is asked first; there is no other limit to what a
 * file may hold, since reading block by block needs memory for one block. */
static int
check_memory(const plan *p)
{
    uint64_t wanted =
        p->events * (uint64_t)sizeof(tsm_event) + p->extensions * (uint64_t)(sizeof(tsm_extension) + sizeof(uint32_t));
    uint64_t there = wanted <= SMALL_READ ? UINT64_MAX : tsm_host_memory_bytes();
    if (wanted <= there) {
        return 0;
    }
    PyErr_Format(PyExc_MemoryError,
                 "%zu events at once need %llu MB and %llu MB of memory are free: read block by block, "
                 "as trace.blocks() does",
                 p->events, (unsigned long long)(wanted >> 20), (unsigned long long)(there >> 20));
    return -1;
}

typedef struct {
    bool given;
    uint64_t begin, end;
} window;

static PyObject *
read_new(StoreObject *self, const plan *p, const window *w)
{
    module_state *state = PyType_GetModuleState(Py_TYPE(self));
    result r = { 0 };
    if (check_memory(p) < 0 || allocate(state, p, &r) < 0) {
        return release(&r);
    }
    tsm_event *events = PyArray_DATA(r.events);
    tsm_extension *extensions = PyArray_DATA(r.extensions);
    uint32_t *rows = PyArray_DATA(r.rows);
    size_t count = p->events, extension_count = p->extensions;
    tsm_error err = { 0 };
    tsm_status status;
    Py_BEGIN_ALLOW_THREADS
    pthread_rwlock_rdlock(&self->lock);
    status = decode(self, p, events, extensions, rows, &err);
    tsm_unlock(&self->lock);
    if (status == TSM_OK && w->given) {
        cut(events, &count, extensions, rows, &extension_count, w->begin, w->end);
    }
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        release(&r);
        return tsm_raise(state, status, &err, self->path);
    }
    if (shrink(r.events, count) < 0 || shrink(r.extensions, extension_count) < 0
        || shrink(r.rows, extension_count) < 0) {
        return release(&r);
    }
    return Py_BuildValue("(NNN)", r.events, r.extensions, r.rows);
}

static PyObject *
read_into(StoreObject *self, const plan *p, PyObject *out)
{
    module_state *state = PyType_GetModuleState(Py_TYPE(self));
    tsm_error err = { 0 };
    tsm_status status;
    PyArrayObject *events = tsm_as_array(out, state->event_dtype, "out");
    if (events == NULL) {
        return NULL;
    }
    if ((PyObject *)events != out || !PyArray_ISWRITEABLE(events) || (size_t)PyArray_SIZE(events) != p->events) {
        Py_DECREF(events);
        PyErr_Format(PyExc_ValueError, "out must be a writable, contiguous array of %zu events", p->events);
        return NULL;
    }
    tsm_event *data = PyArray_DATA(events);
    Py_BEGIN_ALLOW_THREADS
    pthread_rwlock_rdlock(&self->lock);
    status = decode(self, p, data, NULL, NULL, &err);
    tsm_unlock(&self->lock);
    Py_END_ALLOW_THREADS
    if (status != TSM_OK) {
        Py_DECREF(events);
        return tsm_raise(state, status, &err, self->path);
    }
    return Py_BuildValue("(NOO)", events, Py_None, Py_None);
}

static int
parse_window(PyObject *begin, PyObject *end, window *w)
{
    w->given = end != Py_None;
    w->begin = 0;
    w->end = UINT64_MAX;
    if (begin != NULL && tsm_build_u64(begin, &w->begin) < 0) {
        return -1;
    }
    return w->given ? tsm_build_u64(end, &w->end) : 0;
}

PyObject *
tsm_store_read(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = { "blocks", "begin", "end", "out", NULL };
    PyObject *numbers, *begin = NULL, *end = Py_None, *out = Py_None, *made = NULL;
    window w;
    plan p;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO$O:read", keywords, &numbers, &begin, &end, &out)
        || parse_window(begin, end, &w) < 0) {
        return NULL;
    }
    PyArrayObject *blocks = (PyArrayObject *)PyArray_FROMANY(numbers, NPY_INTP, 1, 1, NPY_ARRAY_CARRAY_RO);
    if (blocks == NULL) {
        return NULL;
    }
    StoreObject *self = (StoreObject *)op;
    if (make_plan(self, blocks, &p) == 0) {
        made = out == Py_None ? read_new(self, &p, &w) : read_into(self, &p, out);
    }
    Py_DECREF(blocks);
    return made;
}

static size_t
count_blocks(StoreObject *self)
{
    tsm_sbt_info info = { 0 };
    tsm_lock_read(&self->lock);
    if (self->reader != NULL) {
        tsm_sbt_reader_info(self->reader, &info);
    }
    tsm_unlock(&self->lock);
    return (size_t)info.block_count;
}

static PyObject *
find_blocks(StoreObject *self, uint64_t begin, uint64_t end)
{
    /* A refresh may add blocks before the search: find() wants room for all of them. */
    PyArrayObject *array = NULL;
    size_t room, found = 0;
    bool enough = false;
    while (!enough) {
        npy_intp length = (npy_intp)(room = count_blocks(self));
        Py_XSETREF(array, (PyArrayObject *)PyArray_EMPTY(1, &length, NPY_INTP, 0));
        if (array == NULL) {
            return NULL;
        }
        tsm_sbt_info info = { 0 };
        tsm_lock_read(&self->lock);
        if (self->reader != NULL) {
            tsm_sbt_reader_info(self->reader, &info);
        }
        enough = info.block_count <= room;
        if (enough && room > 0) {
            found = tsm_sbt_reader_find(self->reader, begin, end, PyArray_DATA(array));
        }
        tsm_unlock(&self->lock);
    }
    if (shrink(array, found) < 0) {
        Py_CLEAR(array);
    }
    return (PyObject *)array;
}

PyObject *
tsm_store_find(PyObject *op, PyObject *args)
{
    PyObject *begin, *end;
    window w;
    if (!PyArg_ParseTuple(args, "OO:find", &begin, &end) || parse_window(begin, end, &w) < 0) {
        return NULL;
    }
    return find_blocks((StoreObject *)op, w.begin, w.end);
}

PyObject *
tsm_store_blocks(PyObject *op, PyObject *unused)
{
    (void)unused;
    StoreObject *self = (StoreObject *)op;
    module_state *state = PyType_GetModuleState(Py_TYPE(op));
    size_t count = count_blocks(self);
    PyArrayObject *array = tsm_new_array(state->block_dtype, (npy_intp)count);
    if (array == NULL) {
        return NULL;
    }
    tsm_sbt_block_info *blocks = PyArray_DATA(array);
    tsm_lock_read(&self->lock);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = *tsm_sbt_reader_block(self->reader, i);
    }
    tsm_unlock(&self->lock);
    return (PyObject *)array;
}
