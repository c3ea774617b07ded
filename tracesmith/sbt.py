"""SBTWriter and SBTReader: files by the calls that users have always known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tracesmith import _core
from tracesmith.events import Events
from tracesmith.tables import DEVICE_COLUMNS
from tracesmith.trace import Trace
from tracesmith.types import CounterEvent, DeviceInfo, MemoryEvent, TraceEvent, TraceMetadata


class SBTWriter:
    """Writes an SBT file. Use it in a with statement, or call finalize().

    compression: "none" or "zstd". Any thread may write.
    """

    def __init__(self, path: str | os.PathLike[str], compression: str = "none") -> None:
        if compression not in ("none", "zstd"):
            raise ValueError(f'compression is "none" or "zstd", not {compression!r}')
        self._writer = _core.Writer(path, compression == "zstd")

    def write_event(self, event: TraceEvent | CounterEvent | MemoryEvent) -> None:
        """Append one event."""
        self._writer.write(event)

    def write_events(
        self, events: Events | np.ndarray | Iterable[TraceEvent | CounterEvent | MemoryEvent]
    ) -> None:
        """Append many: Events, event objects, or an array whose ids are rows of this file's own
        tables (see intern and intern_row)."""
        if isinstance(events, Events):
            store = events.tables._store
            self._writer.write_batch(store, events.array, events._extensions, events._rows)
        elif isinstance(events, np.ndarray):
            self._writer.write_batch(None, events, None, None)
        else:
            self._writer.write_all(events)

    def write_counter(self, name: str, value: float, timestamp: int = 0, unit: str = "") -> None:
        """Append one sample of a counter."""
        self._writer.write(CounterEvent(name, value, timestamp, unit))

    def intern(self, text: str) -> int:
        """The row of a text in this file, for arrays of own ids."""
        return self._writer.intern(text)

    def intern_row(self, table: str, values: Iterable[int]) -> int:
        """The row of a table, one value per column, for arrays of own ids."""
        return self._writer.intern_row(table, values)

    def note(self, key: str, value: str) -> None:
        """Note something about the whole trace; a later value of a key wins."""
        self._writer.add_row("info", (self.intern(key), self.intern(value)))

    def write_metadata(self, metadata: TraceMetadata) -> None:
        """Say what the trace is about. What is written later belongs to metadata.process_id."""
        notes = {
            "application_name": metadata.application_name,
            "command_line": metadata.command_line,
            "start_time": str(metadata.start_time) if metadata.start_time else "",
            "end_time": str(metadata.end_time) if metadata.end_time else "",
            **metadata.extra,
        }
        for key, value in notes.items():
            if value:
                self.note(key, value)
        host = self.intern_row("hosts", (self.intern(metadata.hostname), 0, 0)) if metadata.hostname else 0
        if metadata.process_id:
            name = self.intern(metadata.application_name)
            self._writer.process = self.intern_row("processes", (host, metadata.process_id, 0, 0, name))
        self.write_device_info(metadata.devices)

    def write_device_info(self, devices: Iterable[DeviceInfo]) -> None:
        """Describe devices; events refer to them by device_id."""
        for device in devices:
            name = self.intern(device.name or f"device {device.device_id}")
            numbers = [getattr(device, attribute) for attribute in DEVICE_COLUMNS]
            self.intern_row(
                "devices", (0, device.device_id, name, self.intern(device.vendor), 0, 0, *numbers)
            )

    def flush(self) -> None:
        """Write what has been collected, so that whoever reads the file now can see it."""
        self._writer.flush()

    def finalize(self) -> None:
        """Finish the file and close it. A second call does nothing."""
        self._writer.finalize()

    def event_count(self) -> int:
        return self._writer.events

    def file_size(self) -> int:
        """Bytes of the file so far."""
        return self._writer.bytes if self.is_open() else os.path.getsize(self._writer.path)

    def is_open(self) -> bool:
        return not self._writer.closed

    def __enter__(self) -> SBTWriter:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        try:
            if error is not None and self.is_open():
                self.note("exception", f"{type(error).__name__}: {error}")
        finally:
            self.finalize()

    def __repr__(self) -> str:
        state = "open" if self.is_open() else "finalized"
        return f"<SBTWriter {self._writer.path!r}: {self.event_count()} events, {state}>"


class SBTReader:
    """Reads an SBT file; tracesmith.open() gives the same and more."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._trace = Trace(path)

    @property
    def trace(self) -> Trace:
        return self._trace

    def is_open(self) -> bool:
        return not self._trace.closed

    def is_valid(self) -> bool:
        """Open, and finished by its writer."""
        return self.is_open() and self._trace.complete

    def event_count(self) -> int:
        return len(self._trace)

    def read_all(self) -> Events:
        return self._trace.events

    def read_events(self, offset: int = 0, count: int | None = None) -> Events:
        """count events from the offset-th on; all that follow when count is left out."""
        return self._trace.read(offset, count)

    def read_metadata(self) -> TraceMetadata:
        return self._trace.metadata

    def close(self) -> None:
        self._trace.close()

    def __iter__(self) -> Iterator[Events]:
        return self._trace.blocks()

    def __enter__(self) -> SBTReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SBTReader of {self._trace!r}>"
