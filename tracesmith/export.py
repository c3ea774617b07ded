"""Out of our world: Chrome JSON as torch.profiler writes it, Perfetto's protobuf, and what else
`export_trace` lists."""

from __future__ import annotations

import enum
import os
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracesmith import _core
from tracesmith.events import Events
from tracesmith.trace import Trace
from tracesmith.types import CounterEvent, MemoryEvent, TraceEvent

Exportable = Trace | Events | Iterable[TraceEvent | CounterEvent | MemoryEvent]

FORMATS = {"chrome": 1, "perfetto": 2, "dot": 3, "folded": 4, "speedscope": 5, "csv": 6, "text": 7}
ENDINGS = {
    ".speedscope.json": ("speedscope", False),
    ".json": ("chrome", False),
    ".json.gz": ("chrome", True),
    ".perfetto-trace": ("perfetto", False),
    ".perfetto": ("perfetto", False),
    ".pftrace": ("perfetto", False),
    ".dot": ("dot", False),
    ".folded": ("folded", False),
    ".csv": ("csv", False),
    ".csv.gz": ("csv", True),
    ".txt": ("text", False),
}


class PerfettoFormat(enum.IntEnum):
    """What ui.perfetto.dev and trace_processor read."""

    JSON = 0
    PROTOBUF = 1


_NAMES = {PerfettoFormat.JSON: "chrome", PerfettoFormat.PROTOBUF: "perfetto"}


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote: of so many events how many, and bytes before gzip."""

    path: str
    format: str
    events: int
    written: int
    bytes: int


def format_of(path: str | os.PathLike[str]) -> tuple[str, bool]:
    """The format that a file's name asks for, and whether gzip goes around it."""
    name = os.fspath(path).lower()
    for ending, found in ENDINGS.items():
        if name.endswith(ending):
            return found
    raise ValueError(f"{os.fspath(path)}: the name tells no format; it may end in {', '.join(ENDINGS)}")


def _arrays(events: Exportable) -> tuple[Any, ...]:
    """Store, events, extensions, rows, as _core takes them."""
    if isinstance(events, Trace):
        return events._store, None, None, None
    if not isinstance(events, Events):
        events = Events(events)
    return events.tables._store, events.array, events._extensions, events._rows


def export_trace(
    events: Exportable,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    begin: int | None = None,
    end: int | None = None,
    compress: bool | None = None,
    lean: bool = False,
    device: bool = True,
    host: bool = True,
    flows: bool = True,
    counters: bool = True,
    stacks: bool = True,
    progress: np.ndarray | None = None,
) -> ExportReport:
    """Write events, or those that overlap [begin, end) ns, to path; "-" is standard output.

    format: "chrome", "perfetto", "folded" and "speedscope" (device time by stack), "dot" (what depended
    on what), "csv" or "text"; by default the name tells. compress: gzip around text, deflated
    packets inside protobuf; by default where the name ends in .gz. lean: only the arguments that
    identify. device, host, flows, counters, stacks: leave them out. progress: an array of three
    uint64, which holds the events done, and stops the export when the third is not 0.

    A trace of any size is written block by block, except as folded, speedscope and dot, which need
    all events of the window at once: about 100 bytes each. What fails leaves an existing file as it was.
    """
    if format is None:
        format, gzip = format_of(path)
    else:
        gzip = os.fspath(path).lower().endswith(".gz")
    if format not in FORMATS:
        raise ValueError(f"format is one of {', '.join(FORMATS)}, not {format!r}")
    watched = np.zeros(3, np.uint64) if progress is None else progress
    source = _arrays(events)
    if os.fspath(path) == "-":
        sys.stdout.flush()

    def write() -> dict[str, int]:
        return _core.export(
            *source,
            begin,
            end,
            path,
            FORMATS[format],
            lean=lean,
            compress=gzip if compress is None else compress,
            no_device=not device,
            no_host=not host,
            no_flows=not flows,
            no_counters=not counters,
            no_stacks=not stacks,
            progress=watched,
        )

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(write)
        try:
            return ExportReport(os.fspath(path), format, **done.result())
        except BaseException:
            watched[2] = 1  # Ctrl-C ends the writing, too
            raise


def export_perfetto(
    events: Exportable,
    filename: str | os.PathLike[str],
    use_protobuf: bool | None = None,
    **options: Any,
) -> ExportReport:
    """Write what ui.perfetto.dev opens: .json and .json.gz as Chrome JSON, .perfetto-trace, .perfetto
    and .pftrace as protobuf; use_protobuf overrules the name. options: as for export_trace."""
    if use_protobuf is None:
        return export_trace(events, filename, **options)
    return export_trace(events, filename, "perfetto" if use_protobuf else "chrome", **options)


def is_protobuf_available() -> bool:
    """Can protobuf be written? Always: no library is needed for it."""
    return True


class PerfettoExporter:
    """Exports with switches: GPU tracks (what lies on streams), flows (arrows), counter tracks."""

    def __init__(self, *, gpu_tracks: bool = True, flows: bool = True, counter_tracks: bool = True) -> None:
        self.gpu_tracks = gpu_tracks
        self.flows = flows
        self.counter_tracks = counter_tracks

    def set_enable_gpu_tracks(self, enable: bool) -> None:
        self.gpu_tracks = enable

    def set_enable_flow_events(self, enable: bool) -> None:
        self.flows = enable

    def set_enable_counter_tracks(self, enable: bool) -> None:
        self.counter_tracks = enable

    def _switches(self) -> dict[str, bool]:
        return {"device": self.gpu_tracks, "flows": self.flows, "counters": self.counter_tracks}

    def export_to_file(self, events: Exportable, output_file: str | os.PathLike[str], **options: Any) -> bool:
        """As export_perfetto, within the switches."""
        export_perfetto(events, output_file, **(self._switches() | options))
        return True

    def export_to_file_with_counters(
        self,
        events: Exportable,
        counters: Events | Iterable[CounterEvent],
        output_file: str | os.PathLike[str],
    ) -> bool:
        return self.export_to_file(_joined(events, counters), output_file)

    def export_to_string(self, events: Exportable) -> str:
        """The Chrome JSON as text."""
        with tempfile.TemporaryDirectory(prefix="tracesmith-") as folder:
            path = os.path.join(folder, "trace.json")
            self.export_to_file(events, path)
            with open(path, encoding="utf-8") as file:
                return file.read()

    def export_to_string_with_counters(
        self, events: Exportable, counters: Events | Iterable[CounterEvent]
    ) -> str:
        return self.export_to_string(_joined(events, counters))


def _joined(events: Exportable, counters: Events | Iterable[CounterEvent]) -> Events:
    whole = events.events if isinstance(events, Trace) else Events(events)
    return whole + Events(counters)


class PerfettoProtoExporter:
    """Exports in one format, whatever the file is called."""

    def __init__(self, format: PerfettoFormat | int = PerfettoFormat.PROTOBUF) -> None:
        self._format = PerfettoFormat(format)

    def get_format(self) -> PerfettoFormat:
        return self._format

    @staticmethod
    def is_sdk_available() -> bool:
        """Can protobuf be written? Always: no SDK is needed for it."""
        return is_protobuf_available()

    def export_to_file(self, events: Exportable, output_file: str | os.PathLike[str], **options: Any) -> bool:
        export_trace(events, output_file, _NAMES[self._format], **options)
        return True

    def export_to_proto(self, events: Exportable, **options: Any) -> bytes:
        """The file's content."""
        with tempfile.TemporaryDirectory(prefix="tracesmith-") as folder:
            path = os.path.join(folder, "trace")
            self.export_to_file(events, path, **options)
            with open(path, "rb") as file:
                return file.read()
