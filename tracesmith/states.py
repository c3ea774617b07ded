"""What each stream was doing: idle, queued, running, waiting, complete."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tracesmith import _core
from tracesmith.timeline import Pending, Timeline

if TYPE_CHECKING:
    from tracesmith.events import Events
    from tracesmith.trace import Trace
    from tracesmith.types import TraceEvent

GPUState = enum.IntEnum("GPUState", _core.GPU_STATES, module=__name__)
GPUState.__doc__ = """What a stream is doing.

Running: work runs. Waiting: the stream was told to wait for an event that has not happened yet.
Queued: a launch call has returned and its work has not begun. Complete: everything it was given has
ended, and no wait of the host has returned since. Idle: neither.
"""

_REASONS = {
    GPUState.Idle: "the host has waited for it",
    GPUState.Queued: "work was launched",
    GPUState.Running: "work began",
    GPUState.Waiting: "told to wait for an event",
    GPUState.Complete: "work ended",
}


@dataclass(frozen=True)
class StateTransition:
    """One change of a stream's state. when: ns."""

    from_state: GPUState = GPUState.Idle
    to_state: GPUState = GPUState.Idle
    when: int = 0
    correlation_id: int = 0
    reason: str = ""


_TRANSITION = np.dtype(
    [("time_ns", "u8"), ("correlation", "u8"), ("cause", "u4"), ("from", "u2"), ("to", "u2")]
)


class GPUStreamState:
    """The states of one stream over time. transitions is a structured array: time_ns, correlation,
    cause (a span), from, to; a stream is Idle before the first."""

    def __init__(self, stream_id: int, device_id: int = 0, begin: int = 0, end: int = 0) -> None:
        self.stream_id, self.device_id = stream_id, device_id
        self.begin, self.end = begin, end
        self.transitions = np.zeros(0, _TRANSITION)

    @classmethod
    def _of(cls, stream_id: int, device_id: int, window: tuple[int, int], transitions: Any) -> GPUStreamState:
        made = cls(stream_id, device_id, *window)
        made.transitions = transitions
        return made

    @property
    def current_state(self) -> GPUState:
        return GPUState(int(self.transitions["to"][-1])) if len(self.transitions) else GPUState.Idle

    def transition_to(self, new_state: GPUState, when: int, correlation_id: int = 0) -> None:
        """Adds a change by hand; times must not run backwards."""
        if len(self.transitions) and when < int(self.transitions["time_ns"][-1]):
            raise ValueError(f"{when} is before the last transition")
        if new_state != self.current_state:
            row = np.array([(when, correlation_id, 2**32 - 1, self.current_state, new_state)], _TRANSITION)
            self.transitions = np.concatenate([self.transitions.astype(_TRANSITION), row])
        self.end = max(self.end, when)

    def state_at(self, time: int) -> GPUState:
        """The state from that time on."""
        row = int(np.searchsorted(self.transitions["time_ns"], np.uint64(time), "right"))
        return GPUState(int(self.transitions["to"][row - 1])) if row else GPUState.Idle

    @property
    def history(self) -> list[StateTransition]:
        """The transitions as objects."""
        return [
            StateTransition(GPUState(was), GPUState(to), when, correlation, _REASONS[GPUState(to)])
            for when, correlation, _, was, to in self.transitions.tolist()
        ]

    @property
    def time_in_states(self) -> dict[GPUState, int]:
        """ns in each state; adds up to end - begin exactly."""
        begin, end = np.array([[self.begin], [self.end]], np.uint64)
        times = np.concatenate([begin, self.transitions["time_ns"], end])
        states = np.concatenate([np.zeros(1, np.uint16), self.transitions["to"]])
        spent = np.diff(times)
        return {state: int(spent[states == state].sum()) for state in GPUState}

    @property
    def utilization(self) -> float:
        """The share of the window in which it was Running."""
        return (
            self.time_in_states[GPUState.Running] / (self.end - self.begin) if self.end > self.begin else 0.0
        )

    def reset(self) -> None:
        self.transitions = np.zeros(0, _TRANSITION)
        self.begin = self.end = 0

    def __repr__(self) -> str:
        return f"<GPUStreamState {self.device_id}/{self.stream_id}: {len(self.transitions)} transitions>"


@dataclass(frozen=True)
class GPUStateHistory:
    device_id: int
    stream_id: int
    transitions: list[StateTransition]


@dataclass(frozen=True)
class GPUStateMachineStatistics:
    """transitions_per_stream is by (device, stream); overall_utilization the mean over streams."""

    total_events: int
    total_transitions: int
    transitions_per_stream: dict[tuple[int, int], int]
    total_time_per_state: dict[GPUState, int]
    overall_utilization: float


class GPUStateMachine:
    """The states of all streams of a trace: GPUStateMachine(events), or process_events(events).

    Streams are named by (device, stream) as the driver numbers them; where several processes have the
    same numbers, all their streams are in `streams`, and the first is found by number.
    """

    def __init__(
        self,
        events: Timeline | Events | Trace | Iterable[TraceEvent] | None = None,
        *,
        begin: int | None = None,
        end: int | None = None,
    ) -> None:
        self._pending = Pending()
        self._window = begin, end
        self._timeline: Timeline | None = None
        self._streams: list[GPUStreamState] | None = None
        if isinstance(events, Timeline):
            self._timeline = events
        elif events is not None:
            self.process_events(events)

    def process_event(self, event: TraceEvent) -> None:
        self._pending.add_event(event)
        self._timeline = self._streams = None

    def process_events(self, events: Events | Trace | Iterable[TraceEvent]) -> None:
        self._pending.add_events(events)
        self._timeline = self._streams = None

    @property
    def timeline(self) -> Timeline:
        if self._timeline is None:
            self._timeline = Timeline(self._pending.events())
        return self._timeline

    @property
    def streams(self) -> list[GPUStreamState]:
        """One for each stream, in the timeline's order."""
        if self._streams is None:
            timeline = self.timeline
            begin, end, rows, transitions = timeline._core.states(*self._window)
            tracks = timeline.tracks["raw_id"].tolist(), timeline._ordinals.tolist()
            self._streams = [
                GPUStreamState._of(
                    tracks[0][track], tracks[1][track], (begin, end), transitions[first : first + count]
                )
                for _, track, first, count in rows.tolist()
            ]
        return self._streams

    @property
    def all_streams(self) -> list[tuple[int, int]]:
        """(device, stream) of each."""
        return [(stream.device_id, stream.stream_id) for stream in self.streams]

    def get_stream_state(self, device_id: int, stream_id: int) -> GPUStreamState | None:
        names = self.all_streams
        wanted = device_id, stream_id
        return self.streams[names.index(wanted)] if wanted in names else None

    @property
    def statistics(self) -> GPUStateMachineStatistics:
        counts: dict[tuple[int, int], int] = {}
        times = dict.fromkeys(GPUState, 0)
        for stream in self.streams:
            name = stream.device_id, stream.stream_id
            counts[name] = counts.get(name, 0) + len(stream.transitions)
            for state, spent in stream.time_in_states.items():
                times[state] += spent
        total = sum(times.values())
        return GPUStateMachineStatistics(
            len(self.timeline.events),
            sum(counts.values()),
            counts,
            times,
            times[GPUState.Running] / total if total else 0.0,
        )

    def export_history(self) -> list[GPUStateHistory]:
        return [GPUStateHistory(s.device_id, s.stream_id, s.history) for s in self.streams]

    def reset(self) -> None:
        self._pending.clear()
        self._timeline = self._streams = None
