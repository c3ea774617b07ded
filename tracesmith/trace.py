"""A trace file: opened lazily, memory-mapped, decoded block by block."""

from __future__ import annotations

import os
import uuid
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tracesmith import _core
from tracesmith.errors import StateError
from tracesmith.events import Events
from tracesmith.tables import Tables

if TYPE_CHECKING:
    from tracesmith.ingest import ImportReport

EVENT_DTYPE = _core.EVENT_DTYPE
_FOREVER = 2**64 - 1


class _Closed:
    """Stands in for the store of a closed trace."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __getattr__(self, name: str) -> Any:
        raise StateError(f"{self.path} is closed; Events taken from it before stay usable")


class Trace(Tables):
    """An SBT file. Nothing is decoded before it is asked for.

    trace.events is everything, trace[begin:end] what overlaps a window in ns, trace.blocks()
    any size in bounded memory. Batches come in file order: sorted inside a block, and blocks may
    overlap. Its tables (names, stacks, threads, ...) tell what the ids in events mean.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(_core.Store(path))
        self._shared = Tables(self._store)
        self._events: Any = lambda: None
        self.imported: ImportReport | None = None
        """What the import told, when the file is of another format."""

    @property
    def path(self) -> str:
        return str(self._store.path) if self.imported is None else self.imported.path

    @property
    def info(self) -> dict[str, Any]:
        """version, uuid, complete, compressed, bytes, used_bytes, events, extensions, blocks,
        begin_ns and end_ns of the file."""
        facts = self._store.info()
        facts["version"] = ".".join(map(str, facts["version"]))
        facts["uuid"] = str(uuid.UUID(bytes=facts["uuid"]))
        return facts

    @property
    def complete(self) -> bool:
        """Was the file finished by its writer? If not, it is being written, or its writer died."""
        return self._store.info()["complete"]

    @property
    def closed(self) -> bool:
        return isinstance(self._store, _Closed)

    def __len__(self) -> int:
        return self._store.info()["events"]

    @property
    def block_table(self) -> np.ndarray:
        """What the index says of every block."""
        return self._store.blocks()

    @property
    def positions(self) -> np.ndarray:
        """How far each producer thread got, and what it lost."""
        return self._store.positions()

    @property
    def events(self) -> Events:
        """Everything, in file order. Kept while you keep it."""
        events = self._events()
        if events is None or len(events) != len(self):
            events = self._read(range(self._store.info()["blocks"]))
            self._events = weakref.ref(events)
        return events

    def _read(self, blocks: Any, begin: int = 0, end: int | None = None) -> Events:
        return Events._of(self._shared, *self._store.read(np.asarray(blocks, np.intp), begin, end))

    def read_into(self, array: np.ndarray) -> np.ndarray:
        """Fill an array of len(trace) events that you already have."""
        return self._store.read(np.arange(self._store.info()["blocks"]), out=array)[0]

    def __getitem__(self, window: slice) -> Events:
        """The events that overlap [begin, end), in ns."""
        if not isinstance(window, slice) or window.step is not None:
            raise TypeError("trace[begin:end] is a window in ns; single events are trace.events[i]")
        if window.start is None and window.stop is None:
            return self.events
        begin, end = _bounds(window.start, window.stop)
        return self._read(self._store.find(begin, end), begin, end)

    def blocks(self, begin: int | None = None, end: int | None = None) -> Iterator[Events]:
        """The events block by block, in bounded memory; given bounds, those that overlap them."""
        if begin is None and end is None:
            return (self._read([block]) for block in range(self._store.info()["blocks"]))
        return self._window_blocks(*_bounds(begin, end))

    def _window_blocks(self, begin: int, end: int) -> Iterator[Events]:
        for block in self._store.find(begin, end):
            events = self._read([block], begin, end)
            if len(events):
                yield events

    def read(self, offset: int = 0, count: int | None = None) -> Events:
        """count events from the offset-th on, in file order; decodes only the blocks they are in."""
        if offset < 0 or (count is not None and count < 0):
            raise ValueError("offset and count are not negative")
        table = self._store.blocks()
        stop = len(self) if count is None else min(len(self), offset + count)
        if offset >= stop:
            return self._read([])
        first = table["first_event"]
        low = int(np.searchsorted(first, np.uint64(offset), "right")) - 1
        high = int(np.searchsorted(first, np.uint64(stop), "left"))
        skipped = int(first[low])
        return self._read(range(low, high))[offset - skipped : stop - skipped]

    def extensions(self, schema: str) -> np.ndarray:
        """The extension records of one schema: 'row', an index into trace.events, and the fields."""
        return self.events.extensions(schema)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The events as an Arrow stream, block by block, with every id resolved: DuckDB, Polars, pandas
        and pyarrow take the trace itself for a table. The columns are listed in docs/python.md."""
        self._store.info()  # says so when it is closed
        return _core.arrow_stream(self._store, None, None, None, None, None)

    def to_parquet(self, path: str | os.PathLike[str], *, engine: str | None = None) -> None:
        """Write that table as Parquet, through pyarrow, duckdb or polars."""
        from tracesmith.arrow import to_parquet

        to_parquet(self, path, engine=engine)

    def refresh(self) -> None:
        """Take in what the file's writer has added since."""
        self._store.refresh()

    def close(self) -> None:
        """Let go of the file. Events taken from it keep what they need, and stay usable."""
        if not self.closed:
            self._store = _Closed(self.path)  # type: ignore[assignment]
            self._events = lambda: None
            self._cache.clear()
            self._columns.clear()
            del self._shared

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<Trace {self._store.path!r}, closed>"
        state = "" if self.complete else ", incomplete"
        return f"<Trace {self.path!r}: {len(self)} events in {self._store.info()['blocks']} blocks{state}>"


def _bounds(begin: int | None, end: int | None) -> tuple[int, int]:
    return 0 if begin is None else begin, _FOREVER if end is None else end


def open(path: str | os.PathLike[str]) -> Trace:
    """Open a trace for reading: an SBT file, or one of any format that can be imported."""
    from tracesmith.ingest import open_foreign, recognize

    return open_foreign(path) if recognize(path) not in (None, "SBT") else Trace(path)


def repair(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Finish a file whose writer died: cut off the torn tail, take in what the dead run's buffers
    still hold, write index and footer. Returns {"drained": were there buffers, "recovered": events
    that the file did not hold before}. A complete file is left alone."""
    from tracesmith import _capture

    return _capture.recover(path)
