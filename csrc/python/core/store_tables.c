/* Store: rows and texts. */
#include "python/core/state.h"

#include <string.h>

static int
parse_table(PyObject *args, const char *format, unsigned *table)
{
    const char *name;
    if (!PyArg_ParseTuple(args, format, &name)) {
        return -1;
    }
    *table = tsm_table_number(name);
    return *table == 0 ? -1 : 0;
}

static uint32_t
count_rows(StoreObject *self, unsigned table)
{
    tsm_lock_read(&self->lock);
    uint32_t count = tsm_tables_count(tsm_store_tables(self), table);
    tsm_unlock(&self->lock);
    return count;
}

PyObject *
tsm_store_count(PyObject *op, PyObject *args)
{
    unsigned table;
    if (parse_table(args, "s:count", &table) < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(count_rows((StoreObject *)op, table));
}

static const char *
format_of(const tsm_column *column)
{
    return column->type == TSM_COLUMN_I64 ? "i8" : column->type == TSM_COLUMN_F64 ? "f8" : "u8";
}

static PyObject *
row_dtype(const tsm_table_layout *layout)
{
    PyArray_Descr *dtype = NULL;
    PyObject *fields = PyList_New((Py_ssize_t)layout->column_count);
    for (size_t i = 0; fields != NULL && i < layout->column_count; i++) {
        PyObject *field = Py_BuildValue("(ss)", layout->columns[i].name, format_of(&layout->columns[i]));
        if (field == NULL) {
            Py_CLEAR(fields);
        } else {
            PyList_SET_ITEM(fields, (Py_ssize_t)i, field);
        }
    }
    if (fields != NULL && !PyArray_DescrConverter(fields, &dtype)) {
        dtype = NULL;
    }
    Py_XDECREF(fields);
    return (PyObject *)dtype;
}

PyObject *
tsm_store_table(PyObject *op, PyObject *args)
{
    StoreObject *self = (StoreObject *)op;
    unsigned table;
    if (parse_table(args, "s:table", &table) < 0) {
        return NULL;
    }
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    if (layout->text) {
        PyErr_Format(PyExc_ValueError, "table %s holds texts: use texts()", layout->name);
        return NULL;
    }
    uint32_t count = count_rows(self, table);
    PyObject *dtype = row_dtype(layout);
    PyArrayObject *array = dtype == NULL ? NULL : tsm_new_array(dtype, count);
    Py_XDECREF(dtype);
    if (array == NULL) {
        return NULL;
    }
    tsm_lock_read(&self->lock); /* rows are only ever added: the first count are there */
    memcpy(PyArray_DATA(array), tsm_tables_borrow_rows(tsm_store_tables(self), table),
           count * layout->column_count * sizeof(uint64_t));
    tsm_unlock(&self->lock);
    return (PyObject *)array;
}

static unsigned
text_table(const char *name)
{
    unsigned table = tsm_table_number(name);
    if (table != 0 && !tsm_table_layout_of(table)->text) {
        PyErr_Format(PyExc_ValueError, "table %s holds rows: use table()", name);
        return 0;
    }
    return table;
}

/* str and bytes are not tracked by the collector, so making them runs no other Python code. */
static PyObject *
text_of(StoreObject *self, unsigned table, uint32_t row)
{
    tsm_lock_read(&self->lock);
    PyObject *text = tsm_text_object(table, tsm_tables_borrow_text(tsm_store_tables(self), table, row));
    tsm_unlock(&self->lock);
    return text;
}

PyObject *
tsm_store_text(PyObject *op, PyObject *args)
{
    StoreObject *self = (StoreObject *)op;
    const char *name;
    PyObject *number;
    uint64_t row;
    if (!PyArg_ParseTuple(args, "sO:text", &name, &number) || tsm_build_u64(number, &row) < 0) {
        return NULL;
    }
    unsigned table = text_table(name);
    if (table == 0) {
        return NULL;
    }
    if (row >= count_rows(self, table)) {
        PyErr_Format(PyExc_IndexError, "table %s has no row %llu", name, (unsigned long long)row);
        return NULL;
    }
    return text_of(self, table, (uint32_t)row);
}

/* seen: one object per row of the table, made at first use. A row past the end is row 0. */
static int
fill_texts(StoreObject *self, unsigned table, const uint32_t *rows, PyObject **seen, uint32_t seen_count,
           PyObject **out, npy_intp count)
{
    for (npy_intp i = 0; i < count; i++) {
        uint32_t row = rows[i] < seen_count ? rows[i] : 0;
        if (seen[row] == NULL) {
            seen[row] = text_of(self, table, row);
        }
        if (seen[row] == NULL) {
            return -1;
        }
        Py_XSETREF(out[i], Py_NewRef(seen[row]));
    }
    return 0;
}

static PyObject *
texts_of(StoreObject *self, unsigned table, PyArrayObject *rows)
{
    npy_intp count = PyArray_SIZE(rows);
    uint32_t seen_count = count_rows(self, table);
    PyArrayObject *out = (PyArrayObject *)PyArray_ZEROS(1, &count, NPY_OBJECT, 0);
    PyObject **seen = PyMem_Calloc(seen_count, sizeof *seen);
    if (out == NULL || seen == NULL) {
        Py_CLEAR(out);
        PyErr_NoMemory();
    } else if (fill_texts(self, table, PyArray_DATA(rows), seen, seen_count, PyArray_DATA(out), count) < 0) {
        Py_CLEAR(out);
    }
    for (uint32_t i = 0; seen != NULL && i < seen_count; i++) {
        Py_XDECREF(seen[i]);
    }
    PyMem_Free(seen);
    return (PyObject *)out;
}

PyObject *
tsm_store_texts(PyObject *op, PyObject *args)
{
    const char *name;
    PyObject *object;
    if (!PyArg_ParseTuple(args, "sO:texts", &name, &object)) {
        return NULL;
    }
    unsigned table = text_table(name);
    PyArrayObject *rows =
        table == 0 ? NULL : (PyArrayObject *)PyArray_FROMANY(object, NPY_UINT32, 1, 1, NPY_ARRAY_CARRAY_RO);
    if (rows == NULL) {
        return NULL;
    }
    PyObject *texts = texts_of((StoreObject *)op, table, rows);
    Py_DECREF(rows);
    return texts;
}

PyObject *
tsm_store_find_text(PyObject *op, PyObject *text)
{
    StoreObject *self = (StoreObject *)op;
    const char *data;
    Py_ssize_t size;
    PyObject *keep;
    if (tsm_build_text(text, &data, &size, &keep) < 0) {
        return NULL;
    }
    tsm_lock_write(&self->lock); /* the first search builds the finder */
    uint32_t row = tsm_tables_find_text(tsm_store_tables(self), TSM_TABLE_STRINGS, data, (size_t)size);
    tsm_unlock(&self->lock);
    Py_XDECREF(keep);
    return PyLong_FromUnsignedLong(row);
}
