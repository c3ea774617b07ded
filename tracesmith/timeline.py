"""What happened when: spans on tracks, which call launched what, utilisation, dependencies.

Everything plural is an array over memory that C filled; nothing here loops over events.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tracesmith import _core
from tracesmith.events import Events
from tracesmith.types import EventType, TraceEvent, event_type_of

if TYPE_CHECKING:
    from tracesmith.trace import Trace

NONE = 2**32 - 1
WHOLE_DEVICE = 2**32 - 1  # the number of a device's streamless row

SpanClass = enum.IntEnum("SpanClass", _core.SPAN_CLASSES, module=__name__)
SpanClass.__doc__ = "What a span shows as: compute, copy, communication, sync, call, host, other."


class TimelineSpan:
    """One span with its ids resolved. Times are ns; end_time is where it had ended."""

    __slots__ = ("correlation_id", "device_id", "end_time", "name", "start_time", "stream_id", "type")

    def __init__(
        self,
        type: EventType | int = EventType.Unknown,
        name: str = "",
        start_time: int = 0,
        end_time: int = 0,
        device_id: int = 0,
        stream_id: int = 0,
        correlation_id: int = 0,
    ) -> None:
        self.type, self.name = type, name
        self.start_time, self.end_time = start_time, end_time
        self.device_id, self.stream_id, self.correlation_id = device_id, stream_id, correlation_id

    @property
    def duration(self) -> int:
        return self.end_time - self.start_time

    def __repr__(self) -> str:
        return f"<{self.type!r} {self.name!r}: {self.start_time} to {self.end_time} ns>"


@dataclass(frozen=True)
class Concurrency:
    """How many device operations ran at once in a window. levels[n] is the time in ns with exactly n;
    the levels add up to the window."""

    begin: int
    end: int
    busy: int
    work: int
    max: int
    levels: np.ndarray = field(repr=False)

    @property
    def window(self) -> int:
        return self.end - self.begin

    @property
    def utilization(self) -> float:
        """The share of the window with at least one operation; 0 when there is no window."""
        return self.busy / self.window if self.window else 0.0

    @property
    def mean(self) -> float:
        """Operations at once, on average over the window."""
        return self.work / self.window if self.window else 0.0


def as_events(source: Events | Trace | Iterable[Any]) -> Events:
    """Events as they are, those of a trace, or Events made from objects."""
    if isinstance(source, Events):
        return source
    found = getattr(source, "events", None)
    return found if isinstance(found, Events) else Events(source)


class Timeline:
    """Events in order of tracks and time. See build_timeline.

    timeline.spans is a structured array: begin_ns, end_ns, event (an index into timeline.events),
    parent, track (indices, 2**32 - 1 for none), type and depth. timeline[i] is one span resolved.
    """

    def __init__(self, events: Events | Trace | Iterable[Any]) -> None:
        self._events = as_events(events)
        arrays = self._events._array, self._events._extensions, self._events._rows
        self._core = _core.Timeline(self._events.tables._store, *arrays)

    @property
    def events(self) -> Events:
        """What it was made of."""
        return self._events

    @cached_property
    def spans(self) -> np.ndarray:
        """All spans: by track, and in each by begin, the longest first. No copy."""
        return self._core.spans

    @cached_property
    def tracks(self) -> np.ndarray:
        """Streams by process, device and number, then threads by process and tid. No copy."""
        return self._core.tracks

    @cached_property
    def facts(self) -> dict[str, int]:
        """What building it counted: work, pairs joined, orphans, duplicates, ..."""
        return self._core.facts

    def __len__(self) -> int:
        return len(self.spans)

    # ---- time

    @property
    def begin(self) -> int:
        return self.facts["begin_ns"]

    @property
    def end(self) -> int:
        return self.facts["end_ns"]

    @property
    def total_duration(self) -> int:
        """From the first begin to the last end of anything, ns."""
        return self.end - self.begin

    @property
    def window(self) -> tuple[int, int]:
        """From the first begin to the last end on any stream: what utilisation refers to."""
        return self.facts["device_begin_ns"], self.facts["device_end_ns"]

    # ---- utilisation

    @cached_property
    def devices(self) -> np.ndarray:
        """The rows of devices on which work lies."""
        streams = self.tracks[self.tracks["is_stream"] == 1]
        return np.unique(streams["device"][streams["work"] > 0])

    def concurrency(
        self, device: int | None = None, begin: int | None = None, end: int | None = None
    ) -> Concurrency:
        """Operations at once on a device (a row of devices), or on all; in a window, or in the usual one."""
        return Concurrency(*self._core.sweep(NONE if device is None else device, begin, end))

    def utilization(
        self, device: int | None = None, begin: int | None = None, end: int | None = None
    ) -> float:
        """The share of the window in which a device was busy: never more than 1. Without a device,
        the mean over all that have work."""
        devices = self.devices.tolist() if device is None else [device]
        shares = [self.concurrency(row, begin, end).utilization for row in devices]
        return sum(shares) / len(shares) if shares else 0.0

    @cached_property
    def gpu_utilization(self) -> float:
        return self.utilization()

    @cached_property
    def max_concurrent_ops(self) -> int:
        """The most device operations that ran at once, over all devices."""
        return self.concurrency().max

    # ---- spans

    def __getitem__(self, index: int) -> TimelineSpan:
        span = self.spans[index]
        event = self._events.array[span["event"]]
        tables = self._events.tables
        return TimelineSpan(
            event_type_of(int(span["type"])),
            tables.text(int(event["name"])),
            int(span["begin_ns"]),
            int(span["end_ns"]),
            tables._cell("devices", int(event["device"]), "ordinal"),
            tables._cell("streams", int(event["stream"]), "raw_id"),
            int(event["correlation"]),
        )

    def __iter__(self) -> Iterator[TimelineSpan]:
        return (self[i] for i in range(len(self)))

    @property
    def names(self) -> np.ndarray:
        """Every span's name, an array of str."""
        return self._events.names[self.spans["event"]]

    def track_of_stream(self, stream_id: int, device_id: int | None = None) -> int | None:
        """The track of a stream as the driver numbers it; the first that fits."""
        tracks = self.tracks
        fits = (tracks["is_stream"] == 1) & (tracks["raw_id"] == stream_id)
        if device_id is not None:
            fits &= self._ordinals == device_id
        found = np.flatnonzero(fits)
        return int(found[0]) if len(found) else None

    @cached_property
    def _ordinals(self) -> np.ndarray:
        """Each track's device as the driver numbers it."""
        devices = self._events.tables.devices["ordinal"]
        rows = self.tracks["device"]
        return devices[np.where(rows < len(devices), rows, 0)]

    def track_spans(self, track: int) -> np.ndarray:
        """The spans of one track, in time order. No copy."""
        first = int(self.tracks["first"][track])
        return self.spans[first : first + int(self.tracks["count"][track])]

    def at(self, time: int) -> np.ndarray:
        """The indices of the spans that are open at a time."""
        return np.flatnonzero((self.spans["begin_ns"] <= time) & (time < self.spans["end_ns"]))

    # ---- launches

    @cached_property
    def _calls(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._core.calls, self._core.call_rows, self._core.operations

    def launch_of(self, span: int) -> int | None:
        """The span of the call that launched an operation."""
        calls, rows, _ = self._calls
        row = int(rows[span])
        call = NONE if row == NONE else int(calls["span"][row])
        return None if call in (NONE, span) else call

    def operations_of(self, span: int) -> np.ndarray:
        """The spans of the operations that a call launched: many where it launched a graph."""
        calls, rows, operations = self._calls
        row = int(rows[span])
        if row == NONE or int(calls["span"][row]) != span:
            return operations[:0]
        return operations[int(calls["first"][row]) : int(calls["first"][row + 1])]

    @cached_property
    def launches(self) -> np.ndarray:
        """For every span the span of the call that launched it, 2**32 - 1 where there is none."""
        calls, rows, _ = self._calls
        found = calls["span"][np.minimum(rows, np.uint32(len(calls) - 1))]
        return np.where(found == np.arange(len(found), dtype=np.uint32), np.uint32(NONE), found)

    def __repr__(self) -> str:
        return (
            f"<Timeline: {len(self)} spans on {len(self.tracks)} tracks, {self.total_duration} ns, "
            f"GPU utilization {self.gpu_utilization:.1%}>"
        )


def build_timeline(events: Events | Trace | Iterable[TraceEvent]) -> Timeline:
    """The timeline of Events, of a trace, or of TraceEvent objects; in any order."""
    return Timeline(events)


class Pending:
    """Events that were added and wait to be looked at."""

    def __init__(self) -> None:
        self._parts: list[Events] = []
        self._objects: list[Any] = []

    def add_event(self, event: Any) -> None:
        self._objects.append(event)

    def add_events(self, events: Events | Trace | Iterable[Any]) -> None:
        self._flush()
        self._parts.append(as_events(events))

    def _flush(self) -> None:
        if self._objects:
            self._parts.append(Events(self._objects))
            self._objects = []

    def events(self) -> Events:
        """Everything that was added, in that order."""
        self._flush()
        if len(self._parts) > 1:
            self._parts = [Events.concat(self._parts)]
        return self._parts[0] if self._parts else Events()

    def clear(self) -> None:
        self._parts.clear()
        self._objects.clear()


class TimelineBuilder:
    """Collects events, then builds: build_timeline for those who get their events bit by bit."""

    def __init__(self) -> None:
        self._pending = Pending()

    def add_event(self, event: TraceEvent) -> None:
        self._pending.add_event(event)

    def add_events(self, events: Events | Trace | Iterable[TraceEvent]) -> None:
        self._pending.add_events(events)

    def build(self) -> Timeline:
        return Timeline(self._pending.events())

    def clear(self) -> None:
        self._pending.clear()
