"""Reads an Arrow stream by the letter of its C interface, with ctypes and nothing else: a second
reader, so that the stream is tested where no Arrow library is installed."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

TEXT = "text"
FORMATS = {b"l": "i8", b"L": "u8", b"I": "u4", b"g": "f8", b"i": TEXT}
NULLABLE = 2


class Schema(ctypes.Structure):
    pass


class Array(ctypes.Structure):
    pass


class Stream(ctypes.Structure):
    pass


Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(Schema))),
    ("dictionary", ctypes.POINTER(Schema)),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(Schema))),
    ("private_data", ctypes.c_void_p),
]
Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(Array))),
    ("dictionary", ctypes.POINTER(Array)),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(Array))),
    ("private_data", ctypes.c_void_p),
]
Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Stream), ctypes.POINTER(Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Stream), ctypes.POINTER(Array))),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.POINTER(Stream))),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(Stream))),
    ("private_data", ctypes.c_void_p),
]

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def stream_of(capsule: Any) -> Any:
    """The stream in a capsule, which must be kept as long."""
    return ctypes.cast(_pointer(capsule, b"arrow_array_stream"), ctypes.POINTER(Stream))


def _buffer(array: Array, index: int, dtype: str, count: int) -> np.ndarray:
    address = array.buffers[index]
    if not address or count == 0:
        return np.empty(0, dtype)
    data = ctypes.string_at(address, count * np.dtype(dtype).itemsize)
    return np.frombuffer(data, dtype)


def _texts(array: Array) -> list[str]:
    offsets = _buffer(array, 1, "i4", array.length + 1).tolist()
    data = _buffer(array, 2, "u1", offsets[-1] if offsets else 0).tobytes()
    return [
        data[begin:end].decode("utf-8", "strict") for begin, end in zip(offsets, offsets[1:], strict=False)
    ]


def _column(array: Array, form: str) -> list[Any]:
    rows = array.length
    valid = np.unpackbits(_buffer(array, 0, "u1", (rows + 7) // 8), bitorder="little")[:rows]
    values = _buffer(array, 1, "i4" if form is TEXT else form, rows).tolist()
    assert array.null_count == (rows - int(valid.sum()) if len(valid) else 0)
    known = valid.tolist() or [1] * rows
    if form is TEXT:
        texts = _texts(array.dictionary.contents)
        assert len(set(texts)) == len(texts)
        return [texts[code] if there else None for code, there in zip(values, known, strict=True)]
    return [value if there else None for value, there in zip(values, known, strict=True)]


def read_schema(source: Any) -> dict[str, str]:
    capsule = source.__arrow_c_stream__()
    stream = stream_of(capsule)
    schema = Schema()
    assert stream.contents.get_schema(stream, ctypes.byref(schema)) == 0
    assert schema.format == b"+s"
    children = [schema.children[i].contents for i in range(schema.n_children)]
    assert all(child.flags == NULLABLE for child in children)
    columns = {child.name.decode(): FORMATS[child.format] for child in children}
    texts = [child.dictionary.contents.format for child in children if child.dictionary]
    assert texts == [b"u"] * list(columns.values()).count(TEXT)
    schema.release(ctypes.byref(schema))
    assert not schema.release
    del capsule
    return columns


def read(source: Any) -> tuple[dict[str, list[Any]], list[int]]:
    """Every column as a list, and how many rows each batch had."""
    columns = read_schema(source)
    capsule = source.__arrow_c_stream__(None)
    stream = stream_of(capsule)
    table: dict[str, list[Any]] = {name: [] for name in columns}
    sizes = []
    while True:
        batch = Array()
        assert stream.contents.get_next(stream, ctypes.byref(batch)) == 0
        if not batch.release:
            break
        assert batch.n_children == len(columns)
        sizes.append(batch.length)
        for i, (name, form) in enumerate(columns.items()):
            table[name] += _column(batch.children[i].contents, form)
        batch.release(ctypes.byref(batch))
        assert not batch.release
    stream.contents.release(stream)
    assert not stream.contents.release
    return table, sizes
