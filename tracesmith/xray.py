"""LLVM XRay logs, from programs built with -fxray-instrument."""

from __future__ import annotations

import enum
import os
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracesmith.events import Events
from tracesmith.ingest import ImportReport, import_trace
from tracesmith.trace import Trace
from tracesmith.types import EventType

_HEADER = struct.Struct("<HHIQ16x")


class XRayEntryType(enum.IntEnum):
    FunctionEnter = 0
    FunctionExit = 1
    TailExit = 2
    CustomEvent = 3
    TypedEvent = 4


@dataclass(frozen=True)
class XRayFileHeader:
    version: int = 0
    type: int = 0
    """0: basic, 1: flight data recorder"""
    cycle_frequency: int = 0
    num_records: int = 0
    """Entries, exits and events that were understood."""


@dataclass(frozen=True)
class XRayFunctionRecord:
    function_id: int = 0
    timestamp: int = 0
    type: XRayEntryType = XRayEntryType.FunctionEnter
    thread_id: int = 0
    cpu_id: int = 0
    function_name: str = ""


@dataclass
class XRayImporterConfig:
    resolve_symbols: bool = True
    include_custom_events: bool = True
    filter_short_calls: bool = False
    min_duration_ns: int = 0
    symbol_file: str | os.PathLike[str] | None = None
    """The program that wrote the log."""


@dataclass(frozen=True)
class XRayStatistics:
    records_read: int = 0
    records_converted: int = 0
    records_filtered: int = 0
    custom_events: int = 0
    functions_identified: int = 0
    total_duration_ms: float = 0.0
    """Of all calls together, each with what it called."""


RECORD_DTYPE = np.dtype(
    [
        ("timestamp", np.uint64),
        ("function_id", np.uint32),
        ("type", np.uint8),
        ("thread_id", np.uint64),
        ("cpu_id", np.uint16),
        ("name", np.uint32),
    ]
)


class XRayRecords:
    """The log's records in order of time; array is all of them, dtype RECORD_DTYPE."""

    def __init__(self, events: Events) -> None:
        self._tables = events.tables
        self.array = _records_of(events)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> XRayFunctionRecord:
        time, function, kind, thread, cpu, name = self.array[index].item()
        return XRayFunctionRecord(function, time, XRayEntryType(kind), thread, cpu, self._tables.text(name))

    def __iter__(self) -> Iterator[XRayFunctionRecord]:
        return (self[index] for index in range(len(self)))


def _records_of(events: Events) -> np.ndarray:
    """Every call is two records, or one when its exit was not seen."""
    calls = _extensions(events, "xray", "function", "cpu", "exit_cpu", "exit")
    exits = calls[calls["exit"] != 0]
    ends = _part(events, exits, exits["exit_cpu"], exits["exit"])
    ends["timestamp"] += events["duration"][exits["row"]]
    custom, typed = (_extensions(events, f"xray:{kind}", "function", "cpu") for kind in ("custom", "typed"))
    records = np.concatenate(
        [
            _part(events, calls, calls["cpu"], XRayEntryType.FunctionEnter),
            ends,
            _part(events, custom, custom["cpu"], XRayEntryType.CustomEvent),
            _part(events, typed, typed["cpu"], XRayEntryType.TypedEvent),
        ]
    )
    return records[np.argsort(records["timestamp"], kind="stable")]


def _extensions(events: Events, schema: str, *fields: str) -> np.ndarray:
    """With these fields, 0 where the schema lacks one or there is no record of it."""
    found = events.extensions(schema)
    made = np.zeros(len(found), [("row", np.intp), *((name, np.uint64) for name in fields)])
    for name in {"row", *fields} & set(found.dtype.names or ()):
        made[name] = found[name]
    return made


def _part(events: Events, extensions: np.ndarray, cpu: np.ndarray, kind: Any) -> np.ndarray:
    made = np.zeros(len(extensions), RECORD_DTYPE)
    rows = extensions["row"]
    threads = np.asarray(events.tables.threads["tid"], np.uint64)
    made["timestamp"], made["name"] = events["timestamp"][rows], events["name"][rows]
    made["thread_id"], made["cpu_id"], made["type"] = threads[events["thread"][rows]], cpu, kind
    made["function_id"] = extensions["function"]
    return made


@dataclass
class XRayImporter:
    """Reads logs; what the last one held is kept until the next."""

    config: XRayImporterConfig = field(default_factory=XRayImporterConfig)
    header: XRayFileHeader = field(default=XRayFileHeader(), init=False)
    statistics: XRayStatistics = field(default=XRayStatistics(), init=False)
    report: ImportReport | None = field(default=None, init=False)
    _events: Events | None = field(default=None, init=False, repr=False)

    @staticmethod
    def is_available() -> bool:
        """Always: reading a log needs no LLVM."""
        return True

    def set_symbol_file(self, path: str | os.PathLike[str]) -> None:
        """The program that wrote the logs."""
        self.config.symbol_file = path

    def import_file(self, path: str | os.PathLike[str]) -> Events:
        binary = self.config.symbol_file if self.config.resolve_symbols else None
        with tempfile.TemporaryDirectory(prefix="tracesmith-") as folder:
            output = os.path.join(folder, "log.sbt")
            self.report = import_trace(path, output, compress=False, binary=binary)
            with Trace(output) as trace:
                self._events = trace.events
        with open(path, "rb") as log:
            version, kind, _, frequency = _HEADER.unpack(log.read(_HEADER.size))
        kept = self._events[self._wanted(self._events)]
        self.header = XRayFileHeader(version, kind, frequency, len(self.raw_records))
        self.statistics = self._count(self._events, kept)
        return kept

    def import_buffer(self, data: bytes) -> Events:
        with tempfile.NamedTemporaryFile(prefix="tracesmith-") as log:
            log.write(data)
            log.flush()
            return self.import_file(log.name)

    @property
    def raw_records(self) -> XRayRecords:
        """What the last log held, before config left anything out."""
        return XRayRecords(Events() if self._events is None else self._events)

    def _wanted(self, events: Events) -> np.ndarray:
        custom = events["type"] == EventType.Custom
        wanted = np.ones(len(events), bool) if self.config.include_custom_events else ~custom
        if self.config.filter_short_calls:
            wanted &= custom | (events["duration"] >= self.config.min_duration_ns)
        return wanted

    def _count(self, events: Events, kept: Events) -> XRayStatistics:
        custom = events["type"] == EventType.Custom
        functions = np.unique(events["name"][~custom])
        nameless = sum(count for name, _, count in self.report.skipped if name == "function name")  # type: ignore[union-attr]
        return XRayStatistics(
            records_read=self.header.num_records,
            records_converted=len(kept),
            records_filtered=len(events) - len(kept),
            custom_events=int(custom.sum()),
            functions_identified=len(functions) - nameless,
            total_duration_ms=float(kept["duration"].sum()) / 1e6,
        )
