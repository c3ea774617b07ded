/* Rows and texts of tables as Python sees them. */
#include "python/core/state.h"

#include <string.h>

unsigned
tsm_table_number(const char *name)
{
    for (unsigned i = 0; i < TSM_TABLE_LIMIT; i++) {
        const tsm_table_layout *layout = tsm_table_layout_of(i);
        if (layout != NULL && strcmp(layout->name, name) == 0) {
            return i;
        }
    }
    PyErr_Format(PyExc_ValueError, "there is no table %s; tracesmith._core.TABLES lists them", name);
    return 0;
}

PyObject *
tsm_text_object(unsigned table, tsm_text text)
{
    return table == TSM_TABLE_BLOBS ? PyBytes_FromStringAndSize(text.data, (Py_ssize_t)text.size)
                                    : PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size, "surrogateescape");
}

static int
column_value(const tsm_column *column, PyObject *number, uint64_t *value)
{
    if (column->type == TSM_COLUMN_I64) {
        *value = (uint64_t)PyLong_AsLongLong(number);
        return PyErr_Occurred() ? -1 : 0;
    }
    if (column->type == TSM_COLUMN_F64) {
        double real = PyFloat_AsDouble(number);
        memcpy(value, &real, sizeof real);
        return PyErr_Occurred() ? -1 : 0;
    }
    return tsm_build_u64(number, value);
}

int
tsm_row_values(unsigned table, PyObject *sequence, uint64_t *values)
{
    const tsm_table_layout *layout = tsm_table_layout_of(table);
    PyObject *numbers = PySequence_Tuple(sequence);
    int result = numbers == NULL ? -1 : 0;
    if (result == 0 && (layout->text || (size_t)PyTuple_GET_SIZE(numbers) != layout->column_count)) {
        PyErr_Format(PyExc_ValueError, "a row of %s has %zu values, not %zd", layout->name, layout->column_count,
                     PyTuple_GET_SIZE(numbers));
        result = -1;
    }
    for (size_t i = 0; result == 0 && i < layout->column_count; i++) {
        result = column_value(&layout->columns[i], PyTuple_GET_ITEM(numbers, (Py_ssize_t)i), &values[i]);
    }
    Py_XDECREF(numbers);
    return result;
}
