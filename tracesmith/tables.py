"""What the ids in a trace's events mean: texts by row, rows as structured arrays, stacks as frames."""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tracesmith import _core
from tracesmith.types import (
    CallStack,
    CounterEvent,
    DeviceInfo,
    EventType,
    FlowInfo,
    FlowType,
    KernelParams,
    MemoryCategory,
    MemoryEvent,
    MemoryParams,
    StackFrame,
    TraceEvent,
    TraceMetadata,
    event_type_of,
)

VALUE_MASK, VALUE_NONE, VALUE_COUNTER = 0x7, 0, 2
EXTRA_MASK, EXTRA_LAUNCH, EXTRA_METADATA, EXTRA_COUNTER = 0x38, 1 << 3, 2 << 3, 3 << 3
_FORMATS = {1: "i8", 2: "f8"}

_VALUES = 7  # of an extension record

Extension = tuple[int, list[int]]  # row of schemas, values

# DeviceInfo's attribute → column of the devices table.
DEVICE_COLUMNS = {
    "compute_major": "compute_major",
    "compute_minor": "compute_minor",
    "total_memory": "memory_bytes",
    "memory_clock_rate": "memory_clock_khz",
    "memory_bus_width": "memory_bus_bits",
    "multiprocessor_count": "multiprocessors",
    "max_threads_per_mp": "threads_per_multiprocessor",
    "clock_rate": "clock_khz",
    "warp_size": "warp_size",
}


class Texts(Sequence[Any]):
    """The texts of a table by row; row 0 is empty. An array of rows gives an array of texts."""

    def __init__(self, store: _core.Store, table: str) -> None:
        self._store = store
        self._table = table

    def __len__(self) -> int:
        return self._store.count(self._table)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self._store.texts(self._table, np.arange(len(self), dtype=np.uint32)[key])
        if isinstance(key, (np.ndarray, list)):
            return self._store.texts(self._table, self._rows(np.asarray(key)))
        row = operator.index(key)
        return self._store.text(self._table, row + len(self) if row < 0 else row)

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        if rows.dtype.kind not in "iu":
            raise TypeError(f"rows of {self._table} are integers, not {rows.dtype}")
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"{self._table} has rows 0..{len(self) - 1}")
        return rows.astype(np.uint32, copy=False)

    def find(self, text: str) -> int:
        """The row that holds text, or 0 when there is none."""
        return self._store.find_text(text)

    def __repr__(self) -> str:
        return f"<{len(self)} {self._table}>"


class Stacks(Sequence[Any]):
    """Call stacks by row: tuples of StackFrame, the innermost call first; row 0 is empty."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def __len__(self) -> int:
        return len(self._tables.table("stacks"))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return [self[row] for row in range(*key.indices(len(self)))]
        row = operator.index(key)
        if not -len(self) <= row < len(self):
            raise IndexError(f"there is no stack {row}")
        return tuple(self._frames(row % len(self)))

    def _frames(self, row: int) -> Iterator[StackFrame]:
        stacks, frames = self._tables.table("stacks"), self._tables.table("frames")
        text = self._tables.text
        while row:
            parent, at = stacks[row].item()
            function, file, line, address, kind = frames[at].item() if at < len(frames) else (0,) * 5
            yield StackFrame(address, text(function), text(file), line, kind)
            row = parent if parent < row else 0  # a damaged file must not loop

    def __repr__(self) -> str:
        return f"<{len(self)} stacks>"


def _table(name: str, text: str) -> property:
    return property(lambda self: self.table(name), doc=text)


class Tables:
    """The tables of a trace. Events keep them, so that their ids stay readable."""

    hosts = _table("hosts", "Machines.")
    processes = _table("processes", "Processes; host is a row of hosts, name of names.")
    threads = _table("threads", "Threads; process is a row of processes.")
    devices = _table("devices", "Devices.")
    streams = _table("streams", "Streams; process and device are rows.")
    frames = _table("frames", "Frames of stacks; function and file are rows of names.")
    launches = _table("launches", "Shapes of kernel launches.")
    counters = _table("counters", "Counters: name, unit and track.")
    clocks = _table("clocks", "Clock points.")
    producers = _table("producers", "Threads as their spools know them.")
    drops = _table("drops", "Intervals in which events were dropped.")

    def __init__(self, store: _core.Store) -> None:
        self._store = store
        self._cache: dict[str, np.ndarray] = {}
        self._columns: dict[tuple[str, str], list[int]] = {}
        self._schemas: dict[int, tuple[str, list[tuple[str, int]]]] = {}

    def table(self, name: str) -> np.ndarray:
        """All rows of a table, read-only; row 0 is 'none'. References stay ids."""
        known = self._cache.get(name)
        if known is None or len(known) != self._store.count(name):
            known = self._store.table(name)
            known.flags.writeable = False
            self._cache[name] = known
        return known

    @property
    def names(self) -> Texts:
        """Every text by row. Bytes that are no UTF-8 are escaped as Python's surrogateescape does."""
        return Texts(self._store, "strings")

    strings = names

    def text(self, row: int) -> str:
        """The text at a row that an event or a table names; empty for one that a damaged file made up."""
        try:
            return self._store.text("strings", row)
        except IndexError:
            return ""

    @property
    def blobs(self) -> Texts:
        """Binary contents by row, as bytes."""
        return Texts(self._store, "blobs")

    @property
    def stacks(self) -> Stacks:
        return Stacks(self)

    @property
    def notes(self) -> dict[str, str]:
        """The info table as a dict: what was noted about the whole trace."""
        return {self.text(key): self.text(value) for key, value in self.table("info")[1:].tolist()}

    @property
    def metadata(self) -> TraceMetadata:
        """Application, command line, times, host, process and devices."""
        notes = self.notes
        processes, hosts = self.processes, self.hosts
        return TraceMetadata(
            application_name=notes.pop("application_name", ""),
            command_line=notes.pop("command_line", ""),
            start_time=_number(notes.pop("start_time", "")),
            end_time=_number(notes.pop("end_time", "")),
            hostname=self.text(int(hosts["name"][1])) if len(hosts) > 1 else "",
            process_id=int(processes["pid"][1]) if len(processes) > 1 else 0,
            devices=self._device_infos(),
            extra=notes,
        )

    def _device_infos(self) -> list[DeviceInfo]:
        found = {}
        for row in self.devices[1:]:
            numbers = {attribute: int(row[column]) for attribute, column in DEVICE_COLUMNS.items()}
            ordinal = int(row["ordinal"])
            found[int(row["host"]), ordinal] = DeviceInfo(
                ordinal, self.text(int(row["name"])), self.text(int(row["vendor"])), **numbers
            )
        return list(found.values())

    # ---- single events

    def metadata_of(self, row: int) -> dict[str, str]:
        """A row of the metadata table as a dict."""
        rows, items = self.table("metadata"), []
        while 0 < row < len(rows):
            rest, key, value = rows[row].item()
            items.append((self.text(key), self.text(value)))
            row = rest if rest < row else 0
        return dict(reversed(items))

    def schema_of(self, row: int) -> tuple[str, list[tuple[str, int]]]:
        """The name of an extension schema and its fields, each with its column type."""
        known = self._schemas.get(row)
        if known is None:
            known = self._schemas[row] = self._read_schema(row)
        return known

    def _read_schema(self, row: int) -> tuple[str, list[tuple[str, int]]]:
        rows, fields = self.table("schemas"), []
        parent, field, kind = rows[row].item() if row < len(rows) else (0, 0, 0)
        while parent and parent < row:
            fields.append((self.text(field) or f"field {row}", kind))
            row = parent
            parent, field, kind = rows[row].item()
        return self.text(field), fields[::-1][:_VALUES]

    def _cell(self, table: str, row: int, column: str) -> int:
        """One value as an int; 0 for a row that is not there. The column is kept as a list."""
        rows = self.table(table)
        known = self._columns.get((table, column))
        if known is None or len(known) != len(rows):
            known = self._columns[table, column] = rows[column].tolist()
        return known[row] if row < len(known) else 0

    def _named(self, extensions: list[Extension]) -> dict[str, dict[str, int]]:
        """Schema name → field → value; the first record of a schema counts."""
        found: dict[str, dict[str, int]] = {}
        for schema, values in extensions:
            name, fields = self.schema_of(schema)
            found.setdefault(name, {field: value for (field, _), value in zip(fields, values, strict=False)})
        return found

    def trace_event(self, event: tuple[int, ...], extensions: list[Extension]) -> TraceEvent:
        """One row of an event array, as a tuple, with everything its ids stand for."""
        time, duration, correlation, value, name, stack, thread, stream, device, extra, kind, flags, _ = event
        made = TraceEvent(
            event_type_of(kind),
            time,
            name=self.text(name),
            duration=duration,
            device_id=self._cell("devices", device, "ordinal"),
            stream_id=self._cell("streams", stream, "raw_id"),
            correlation_id=correlation,
            thread_id=self._cell("threads", thread, "tid"),
            value=_value(flags, value),
        )
        if flags & EXTRA_MASK:
            self._add_extra(made, flags & EXTRA_MASK, extra)
        if 0 < stack < len(self.stacks):
            made.call_stack = CallStack(self.stacks[stack])
        if extensions:
            _add_extensions(made, self._named(extensions))
        return made

    def _add_extra(self, made: TraceEvent, kind: int, row: int) -> None:
        if kind == EXTRA_METADATA:
            made.metadata = self.metadata_of(row)
        elif kind == EXTRA_LAUNCH and row < len(self.launches):
            launch = self.launches[row].item()
            shape, (static, dynamic, registers, *_, metadata) = launch[:6], launch[6:]
            made.kernel_params = KernelParams(*shape, static + dynamic, registers)
            made.metadata = self.metadata_of(metadata)

    def counter_event(self, event: tuple[int, ...], extensions: list[Extension]) -> CounterEvent:
        time, _, _, value, name, _, _, _, device, extra, _, flags, _ = event
        row = extra if flags & EXTRA_MASK == EXTRA_COUNTER else 0
        return CounterEvent(
            self.text(name),
            float(_value(flags, value) or 0),
            time,
            self.text(self._cell("counters", row, "unit")),
            device_id=self._cell("devices", device, "ordinal"),
            track_id=self._cell("counters", row, "track"),
        )

    def memory_event(self, event: tuple[int, ...], extensions: list[Extension]) -> MemoryEvent:
        time, _, _, value, _, _, thread, _, device, _, kind, _, _ = event
        values = self._named(extensions).get("allocation", {})
        return MemoryEvent(
            time,
            self._cell("devices", device, "ordinal"),
            self._cell("threads", thread, "tid"),
            value,
            values.get("address", 0),
            kind == EventType.MemAlloc,
            self.text(values.get("allocator", 0)),
            _member(MemoryCategory, values.get("category", 0)),
        )

    # ---- extensions as columns

    def extension_columns(self, name: str, extensions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The records of one schema: 'row', the event's index, and the schema's typed fields."""
        schemas = [(kind, *self.schema_of(kind)) for kind in np.unique(extensions["schema"]).tolist()]
        parts = [(kind, fields) for kind, schema, fields in schemas if schema == name]
        types = {field: _FORMATS.get(column, "u8") for _, fields in parts for field, column in fields}
        chosen = np.isin(extensions["schema"], [kind for kind, _ in parts])
        found = np.zeros(int(chosen.sum()), dtype=[("row", "u8"), *types.items()])
        found["row"] = rows[chosen]
        records = extensions[chosen]
        for kind, fields in parts:
            mine = records["schema"] == kind
            for i, (field, _) in enumerate(fields):
                found[field][mine] = np.ascontiguousarray(records["values"][mine, i]).view(types[field])
        return found


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _member(kind: Any, number: int) -> Any:
    """The member for a number, or the number itself."""
    return kind._value2member_map_.get(number, number)


def _value(flags: int, bits: int) -> int | float | None:
    kind = flags & VALUE_MASK
    if kind == VALUE_NONE:
        return None
    return struct.unpack("<d", bits.to_bytes(8, "little"))[0] if kind == VALUE_COUNTER else bits


def _add_extensions(made: TraceEvent, found: dict[str, dict[str, int]]) -> None:
    if "memory" in found:
        memory = found["memory"]
        made.memory_params = MemoryParams(
            memory.get("source", 0), memory.get("destination", 0), memory.get("size", 0)
        )
    if "flow" in found:
        flow = found["flow"]
        kind = _member(FlowType, flow.get("type", 0))
        made.flow_info = FlowInfo(flow.get("id", 0), kind, bool(flow.get("is_start", 0)))
    if "call_stack" in found and made.call_stack is not None:
        made.call_stack.thread_id = found["call_stack"].get("thread", 0)
