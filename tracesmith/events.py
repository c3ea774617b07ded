"""Events: an array of events, the extension records behind them, and the tables they refer to."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tracesmith import _core
from tracesmith.tables import Tables
from tracesmith.types import CounterEvent, EventType, MemoryEvent, TraceEvent

_CHUNK = 1024


class Events:
    """A collection of events that behaves like an array.

    events["duration"] is a column, events[10:20] and events[mask] are Events, events[3] is one
    TraceEvent with its ids resolved. Columns that hold ids are resolved by events.names and
    events.tables. Made from objects: Events([TraceEvent(...), ...]).
    """

    __slots__ = ("__weakref__", "_array", "_extensions", "_rows", "_tables")

    def __init__(self, events: Iterable[TraceEvent | CounterEvent | MemoryEvent] = ()) -> None:
        if isinstance(events, Events):
            self._set(events._tables, events._array, events._extensions, events._rows)
        else:
            store = _core.Store()
            self._set(Tables(store), *store.build(events))

    @classmethod
    def from_list(cls, events: Iterable[TraceEvent | CounterEvent | MemoryEvent]) -> Events:
        return cls(events)

    @classmethod
    def _of(cls, tables: Tables, array: np.ndarray, extensions: np.ndarray, rows: np.ndarray) -> Events:
        made = cls.__new__(cls)
        made._set(tables, array, extensions, rows)
        return made

    def _set(self, tables: Tables, array: np.ndarray, extensions: np.ndarray, rows: np.ndarray) -> None:
        array.flags.writeable = False
        self._tables, self._array, self._extensions, self._rows = tables, array, extensions, rows

    @property
    def array(self) -> np.ndarray:
        """The events themselves, dtype EVENT_DTYPE, read-only: no copy."""
        return self._array

    @property
    def tables(self) -> Tables:
        """What the ids mean."""
        return self._tables

    @property
    def names(self) -> np.ndarray:
        """Every event's name, an array of str."""
        return self._tables._store.texts("strings", np.ascontiguousarray(self._array["name"]))

    def __len__(self) -> int:
        return len(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._array, dtype=dtype) if dtype is not None or copy else self._array

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._array[key]
        if isinstance(key, slice):
            return self._slice(key)
        if isinstance(key, (np.ndarray, list)):
            return self._take(np.asarray(key))
        index = operator.index(key)
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no event {index}: there are {len(self)}")
        return next(self._resolved([index % len(self)], self._tables.trace_event))

    def _resolved(self, indices: Any, make: Callable[..., Any]) -> Iterator[Any]:
        """make(event, extensions) for ascending indices, a chunk at a time."""
        for at in range(0, len(indices), _CHUNK):
            part = self._take(np.asarray(indices[at : at + _CHUNK]))
            extensions: dict[int, list[Any]] = {}
            schemas, values = part._extensions["schema"].tolist(), part._extensions["values"].tolist()
            for row, *extension in zip(part._rows.tolist(), schemas, values, strict=True):
                extensions.setdefault(row, []).append(extension)
            for row, event in enumerate(part._array.tolist()):
                yield make(event, extensions.get(row, ()))

    def _extension_span(self, start: int, stop: int) -> tuple[int, int]:
        if len(self._rows) == 0:
            return 0, 0
        first, last = np.searchsorted(self._rows, np.array([start, stop], np.uint32))
        return int(first), int(last)

    def _slice(self, key: slice) -> Events:
        start, stop, step = key.indices(len(self))
        if step != 1:
            return self._take(np.arange(start, stop, step))
        first, last = self._extension_span(start, max(start, stop))
        rows = self._rows[first:last] - np.uint32(start)
        return self._of(self._tables, self._array[key], self._extensions[first:last], rows)

    def _take(self, key: np.ndarray) -> Events:
        """By mask or by indices; each event brings its extension records along."""
        if key.size == 0:
            key = key.astype(np.intp)
        array = self._array[key]
        if len(self._rows) == 0:
            return self._of(self._tables, array, self._extensions, self._rows)
        indices = np.arange(len(self))[key]
        first = np.searchsorted(self._rows, indices, "left")
        counts = np.searchsorted(self._rows, indices, "right") - first
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        chosen = np.arange(total) + np.repeat(first - (ends - counts), counts)
        rows = np.repeat(np.arange(len(indices), dtype=np.uint32), counts)
        return self._of(self._tables, array, self._extensions[chosen], rows)

    def __iter__(self) -> Iterator[TraceEvent]:
        return self._resolved(range(len(self)), self._tables.trace_event)

    def counters(self) -> list[CounterEvent]:
        """The counter samples among the events, as objects."""
        chosen = np.flatnonzero(self._array["type"] == EventType.Counter)
        return list(self._resolved(chosen, self._tables.counter_event))

    def memory_events(self) -> list[MemoryEvent]:
        """The allocations and frees among the events, as objects."""
        chosen = np.flatnonzero(np.isin(self._array["type"], [EventType.MemAlloc, EventType.MemFree]))
        return list(self._resolved(chosen, self._tables.memory_event))

    def extensions(self, schema: str) -> np.ndarray:
        """The extension records of one schema: 'row', an index into these events, and the fields."""
        return self._tables.extension_columns(schema, self._extensions, self._rows)

    @property
    def extension_schemas(self) -> list[str]:
        """The names of the schemas that these events' extension records have."""
        return sorted({self._tables.schema_of(int(row))[0] for row in np.unique(self._extensions["schema"])})

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The events as an Arrow stream, with every id resolved; see Trace. In batches sorted inside."""
        return _core.arrow_stream(self._tables._store, self._array, self._extensions, self._rows, None, None)

    def to_parquet(self, path: str | os.PathLike[str], *, engine: str | None = None) -> None:
        """Write that table as Parquet, through pyarrow, duckdb or polars."""
        from tracesmith.arrow import to_parquet

        to_parquet(self, path, engine=engine)

    def sorted_by_time(self) -> Events:
        """The same events by timestamp; equal ones keep their order."""
        arrays = self._array.copy(), self._extensions.copy(), self._rows.copy()
        _core.sort(*arrays)
        return self._of(self._tables, *arrays)

    def __add__(self, other: Events) -> Events:
        return Events.concat([self, other]) if isinstance(other, Events) else NotImplemented

    @staticmethod
    def concat(parts: Iterable[Events]) -> Events:
        """One collection after the other. Ids of different traces become rows of new, common tables."""
        parts = list(parts)
        if not parts:
            return Events()
        arrays = np.concatenate([part._array for part in parts])
        extensions = np.concatenate([part._extensions for part in parts])
        starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        rows = [part._rows + np.uint32(start) for part, start in zip(parts, starts, strict=True)]
        stores = [part._tables._store for part in parts]
        tables = parts[0]._tables
        if any(store is not stores[0] for store in stores):
            tables = Tables(_core.Store())
            _translate(tables._store, parts, arrays, extensions)
        return Events._of(tables, arrays, extensions, np.concatenate(rows))

    def __repr__(self) -> str:
        if len(self) == 0:
            return "<Events: none>"
        first, last = int(self._array["timestamp"].min()), int(self._array["timestamp"].max())
        return f"<Events: {len(self)}, started at {first} to {last} ns>"


def _translate(target: _core.Store, parts: list[Events], arrays: np.ndarray, extensions: np.ndarray) -> None:
    event = extension = 0
    for part in parts:
        stop, extension_stop = event + len(part), extension + len(part._extensions)
        target.absorb(part._tables._store, arrays[event:stop], extensions[extension:extension_stop])
        event, extension = stop, extension_stop
