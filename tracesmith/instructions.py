"""What depended on what: the operations of a trace in order, and the edges between them."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tracesmith import _core
from tracesmith.timeline import Pending, Timeline
from tracesmith.types import EventType

if TYPE_CHECKING:
    from tracesmith.events import Events
    from tracesmith.trace import Trace
    from tracesmith.types import TraceEvent

DependencyType = enum.IntEnum("DependencyType", {"None_": 0, **_core.DEPENDENCY_KINDS}, module=__name__)
DependencyType.__doc__ = "Why one operation came after another."


class Provenance(enum.IntEnum):
    """How a dependency is known: ids in the trace say so; it follows from what the calls mean; it was
    concluded from times and may be wrong."""

    Captured = 1
    Implied = 2
    Inferred = 3


@dataclass(frozen=True)
class OperationDependency:
    """An edge between the operations of two correlations."""

    from_correlation_id: int
    to_correlation_id: int
    type: DependencyType
    provenance: Provenance = Provenance.Captured


@dataclass(frozen=True)
class InstructionNode:
    """One operation, and the correlations of those that it depends on and that depend on it."""

    event: TraceEvent
    dependencies: list[int]
    dependents: list[int]


class Dependencies:
    """The dependency graph of a timeline. edges is a structured array sorted by 'to': from, to and via
    are spans, kind a DependencyType, provenance a Provenance. No copy."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.edges, self._first, self._first_out, self._out, self.facts = timeline._core.dependencies()

    def __len__(self) -> int:
        return len(self.edges)

    def of(self, span: int) -> np.ndarray:
        """The edges that lead to a span: what it depends on."""
        return self.edges[int(self._first[span]) : int(self._first[span + 1])]

    def dependents(self, span: int) -> np.ndarray:
        """The edges that lead from a span."""
        return self.edges[self._out[int(self._first_out[span]) : int(self._first_out[span + 1])]]

    @property
    def counts(self) -> dict[DependencyType, int]:
        """How many edges of each kind."""
        found = np.bincount(self.edges["kind"], minlength=len(DependencyType))
        return {kind: int(found[kind]) for kind in DependencyType if found[kind]}

    @property
    def inferred_share(self) -> float:
        return self.facts["inferred"] / len(self) if len(self) else 0.0

    def find_cycle(self) -> int | None:
        """A span on a circle of dependencies; None, as it should be, when there is none."""
        return self.timeline._core.find_cycle()

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind.name} {count}" for kind, count in self.counts.items())
        return f"<Dependencies: {counts or 'none'}>"


@dataclass(frozen=True)
class InstructionStreamStatistics:
    """operations_per_stream is by (device, stream)."""

    total_operations: int
    kernel_launches: int
    memory_operations: int
    synchronizations: int
    total_dependencies: int
    operations_per_stream: dict[tuple[int, int], int]


_COPIES = [getattr(EventType, f"Memcpy{way}") for way in ("H2D", "D2H", "D2D", "P2P", "H2H")]
_KERNELS = [EventType.KernelLaunch, EventType.KernelComplete]
_MEMORY = [*_COPIES, EventType.MemsetDevice]
_COMMUNICATION = [EventType.Communication, EventType.NCCLStart, EventType.NCCLComplete]
_SYNCS = [EventType.StreamSync, EventType.DeviceSync, EventType.EventSync]


class InstructionStreamBuilder:
    """Collects events and finds what their operations depended on.

    An operation is device work, or a wait of the host. Operations are spans of `timeline`, by index.
    """

    def __init__(self, events: Timeline | Events | Trace | Iterable[TraceEvent] | None = None) -> None:
        self._pending = Pending()
        self._timeline = events if isinstance(events, Timeline) else None
        if events is not None and self._timeline is None:
            self.add_events(events)

    def add_event(self, event: TraceEvent) -> None:
        self._pending.add_event(event)
        self._forget()

    def add_events(self, events: Events | Trace | Iterable[TraceEvent]) -> None:
        self._pending.add_events(events)
        self._forget()

    def _forget(self) -> None:
        self._timeline = None
        for known in ("dependencies", "_correlations"):
            self.__dict__.pop(known, None)

    def analyze(self) -> Dependencies:
        """Finds the dependencies now, which otherwise happens at first use."""
        return self.dependencies

    @property
    def timeline(self) -> Timeline:
        if self._timeline is None:
            self._timeline = Timeline(self._pending.events())
        return self._timeline

    @cached_property
    def dependencies(self) -> Dependencies:
        return Dependencies(self.timeline)

    def _where(self, types: list[EventType]) -> np.ndarray:
        return np.isin(self.timeline.spans["type"], types)

    @property
    def execution_order(self) -> np.ndarray:
        """The operations as they began; equal begins in order of tracks."""
        operations = np.flatnonzero(self._where([*_KERNELS, *_MEMORY, *_COMMUNICATION, *_SYNCS]))
        return operations[np.argsort(self.timeline.spans["begin_ns"][operations], kind="stable")]

    def stream_operations(self, stream_id: int, device_id: int | None = None) -> np.ndarray:
        """The operations on a stream as the driver numbers it, in order."""
        track = self.timeline.track_of_stream(stream_id, device_id)
        if track is None:
            return np.zeros(0, np.intp)
        first, spans = int(self.timeline.tracks["first"][track]), self.timeline.track_spans(track)
        return first + np.flatnonzero(np.isin(spans["type"], [*_KERNELS, *_MEMORY, *_COMMUNICATION]))

    @cached_property
    def _correlations(self) -> np.ndarray:
        return self.timeline.events["correlation"][self.timeline.spans["event"]]

    def has_dependency(self, from_correlation_id: int, to_correlation_id: int) -> bool:
        """Is there an edge between operations of these correlations, in this direction?"""
        edges, correlations = self.dependencies.edges, self._correlations
        leads = correlations[edges["from"]] == from_correlation_id
        return bool((leads & (correlations[edges["to"]] == to_correlation_id)).any())

    def operation_dependencies(self) -> list[OperationDependency]:
        """The edges as objects, for small traces; `dependencies.edges` is the array."""
        edges, correlations = self.dependencies.edges, self._correlations
        ends = correlations[edges["from"]].tolist(), correlations[edges["to"]].tolist()
        kinds = edges["kind"].tolist(), edges["provenance"].tolist()
        return [
            OperationDependency(a, b, DependencyType(kind), Provenance(provenance))
            for a, b, kind, provenance in zip(*ends, *kinds, strict=True)
        ]

    def node(self, span: int) -> InstructionNode:
        """One operation as an object."""
        before, after = self.dependencies.of(span), self.dependencies.dependents(span)
        return InstructionNode(
            self.timeline.events[int(self.timeline.spans["event"][span])],
            self._correlations[before["from"]].tolist(),
            self._correlations[after["to"]].tolist(),
        )

    def export_to_dot(self, path: str | os.PathLike[str]) -> None:
        """Writes the graph for Graphviz."""
        from tracesmith.export import export_trace

        export_trace(self.timeline.events, path, format="dot")

    @property
    def statistics(self) -> InstructionStreamStatistics:
        kernels, memory, other, syncs = (
            int(self._where(types).sum()) for types in (_KERNELS, _MEMORY, _COMMUNICATION, _SYNCS)
        )
        streams: dict[tuple[int, int], int] = {}
        tracks: Any = self.timeline.tracks
        rows = zip(
            self.timeline._ordinals.tolist(), tracks["raw_id"].tolist(), tracks["work"].tolist(), strict=True
        )
        for device, stream, work in rows:
            if work:
                streams[device, stream] = streams.get((device, stream), 0) + work
        return InstructionStreamStatistics(
            kernels + memory + other + syncs, kernels, memory, syncs, len(self.dependencies), streams
        )

    def clear(self) -> None:
        self._pending.clear()
        self._forget()
