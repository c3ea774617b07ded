"""The critical path against an oracle that goes back one nanosecond at a time, and on whole traces."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracesmith as ts
from tracesmith import EventType as T
from tracesmith.critical import PARTS
from tracesmith.timeline import NONE

NAMES = list(PARTS)
WORK = [T.KernelLaunch, T.MemcpyH2D, T.Communication]
SEQUENTIAL, SYNCHRONIZATION, EVENT_WAIT, LAUNCH = 1, 2, 5, 7


def event(type: T, begin: int, length: int, **more: object) -> ts.TraceEvent:
    return ts.TraceEvent(type, begin, duration=length, **more)


@st.composite
def jobs(draw: Callable) -> list[ts.TraceEvent]:
    """Threads that compute, launch, record, wait and synchronise; streams that do as they were told, each
    operation some time after all that it has to wait for. Some launches are lost."""
    events: list[ts.TraceEvent] = []
    free = dict.fromkeys((1, 2, 3), 0)  # when a stream has done all it was given
    recorded: dict[int, int] = {}
    now, correlation = draw(st.integers(0, 5)), 0
    for _ in range(draw(st.integers(1, 14))):
        now += draw(st.integers(0, 6))
        stream, length = draw(st.sampled_from(sorted(free))), draw(st.integers(1, 5))
        action = draw(
            st.sampled_from(["launch"] * 5 + ["record", "wait"] * 3 + ["compute", "sync", "odd sync"])
        )
        if action == "launch":
            correlation += 1
            begin = max(free[stream], now + 1) + draw(st.integers(0, 3))
            lasts = draw(st.integers(1, 90))
            ids = {"device_id": 0, "correlation_id": correlation}
            events.append(event(draw(st.sampled_from(WORK)), begin, lasts, stream_id=stream, **ids))
            free[stream] = begin + lasts
            if draw(st.integers(0, 9)):
                events.append(event(T.RuntimeCall, now, length, thread_id=11, correlation_id=correlation))
        elif action == "compute":
            length += 3
            events.append(event(T.CpuOp, now, length, thread_id=11))
            events.append(event(T.PythonCall, now + 1, length - 2, thread_id=11))
        elif action == "sync":
            length = max(free[stream] - now, 0) + draw(st.integers(0, 2))
            events.append(event(T.StreamSync, now, length, thread_id=11, stream_id=stream))
        elif action == "odd sync":
            events.append(event(T.EventSync, now, length, thread_id=11))
        elif action == "record":
            recorded[stream] = free[stream]
            events.append(event(T.EventRecord, now, length, thread_id=11, stream_id=stream, value=stream))
        elif recorded:
            other = draw(st.sampled_from(sorted(recorded)))
            free[stream] = max(free[stream], recorded[other])
            events.append(event(T.EventWait, now, length, thread_id=11, stream_id=stream, value=other))
        now += length
    return events


def edges_of(timeline: ts.Timeline) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for source, to, _, kind, _ in timeline._core.dependencies()[0].tolist():
        found.setdefault(to, []).append((kind, source))
    return found


class Oracle:
    """Says for every nanosecond, from the last to the first, what the path was in: (part, span)."""

    def __init__(self, timeline: ts.Timeline) -> None:
        self.spans = timeline.spans.tolist()
        self.streams = timeline.tracks["is_stream"].tolist()
        self.edges = edges_of(timeline)
        self.said: dict[int, tuple[str, int]] = {}

    def is_operation(self, span: int) -> bool:
        return self.spans[span][5] in WORK and bool(self.streams[self.spans[span][4]])

    def say(self, begin: int, end: int, part: str, span: int) -> None:
        self.said.update(dict.fromkeys(range(begin, end), (part, span)))

    def operation(self, at: int) -> None:
        begin, end, type = self.spans[at][0], self.spans[at][1], self.spans[at][5]
        self.say(begin, end, ["kernel", "copy", "communication"][WORK.index(type)], at)
        ends = [
            (self.spans[s][1], 0, s) for kind, s in self.edges.get(at, []) if kind in (SEQUENTIAL, EVENT_WAIT)
        ]
        calls = [(self.spans[s][0], 1, s) for kind, s in self.edges.get(at, []) if kind == LAUNCH]
        known = [found for found in ends + calls if found[0] <= begin]
        if not known:
            others = [
                (s[1], i)
                for i, s in enumerate(self.spans)
                if self.is_operation(i) and s[1] <= begin and i != at
            ]
            if others:
                time, last = max(others)
                self.say(time, begin, "waiting", at)
                return self.operation(last)
            return self.say(self.begin, begin, "waiting", at)
        time, is_call, source = max(known, key=lambda found: found[0])
        self.say(time, begin, "launch" if is_call else "waiting", source if is_call else at)
        return self.thread(self.spans[source][4], time) if is_call else self.operation(source)

    def thread(self, track: int, time: int) -> None:
        while time > self.begin:
            time -= 1
            inside = [i for i, s in enumerate(self.spans) if s[4] == track and s[0] <= time < s[1]]
            inner = max(inside, key=lambda i: (self.spans[i][0], -self.spans[i][1]), default=NONE)
            waited = [s for kind, s in self.edges.get(inner, []) if kind == SYNCHRONIZATION]
            over = [s for s in waited if self.spans[s][1] == time + 1 > self.spans[inner][0]]
            if over:
                return self.operation(over[0])
            is_wait = inner != NONE and self.spans[inner][5] in (T.StreamSync, T.EventSync)
            self.say(time, time + 1, "sync" if waited else "waiting" if is_wait else "host", inner)
        return None

    def path(self, begin: int, end: int) -> list[tuple[str, int]]:
        self.begin = begin
        last = max(
            (i for i in range(len(self.spans)) if self.is_operation(i)), key=lambda i: (self.spans[i][1], -i)
        )
        self.operation(last)
        return [self.said[time] for time in range(begin, end)]


def check(path: ts.CriticalPath) -> None:
    begins, ends = path.segments["begin_ns"], path.segments["end_ns"]
    assert (ends > begins).all()
    assert (ends[:-1] == begins[1:]).all()
    if len(path):
        assert (int(begins[0]), int(ends[-1])) == (path.begin, path.end)
    assert int((ends - begins).sum()) == sum(path.parts.values()) == path.duration
    assert sum(path.by_name()["total"]) == sum(path.by_part["total"]) == path.duration
    assert sum(path.path()["duration"]) == path.duration
    assert path.inferred_ns == sum(path.by_name()["inferred"]) <= path.duration


@given(jobs())
def test_it_is_what_going_back_by_the_nanosecond_finds(events: list[ts.TraceEvent]) -> None:
    timeline = ts.build_timeline(events)
    path = ts.critical_path(timeline)
    check(path)
    if path.duration:
        got = [
            (NAMES[part], span)
            for begin, end, span, part, _, _ in path.segments.tolist()
            for _ in range(begin, end)
        ]
        assert got == Oracle(timeline).path(path.begin, path.end)


@given(jobs(), st.integers(0, 300), st.integers(1, 200))
def test_every_window_is_covered_and_found_again(
    events: list[ts.TraceEvent], begin: int, length: int
) -> None:
    first = ts.critical_path(events, begin=begin, end=begin + length)
    check(first)
    assert first.duration == length
    again = ts.critical_path(events, begin=begin, end=begin + length)
    assert (first.segments == again.segments).all()


def test_hidden_communication_is_not_on_it_and_exposed_is() -> None:
    def path(length: int) -> ts.CriticalPath:
        return ts.critical_path(
            [
                event(T.RuntimeCall, 0, 1, thread_id=1, correlation_id=1),
                event(T.RuntimeCall, 1, 1, thread_id=1, correlation_id=2),
                event(T.KernelLaunch, 10, 50, stream_id=1, correlation_id=1, name="gemm"),
                event(T.Communication, 10, length, stream_id=2, correlation_id=2, name="all reduce"),
            ]
        )

    assert path(30).parts["communication"] == 0 and path(30).parts["kernel"] == 50
    assert path(80).parts["communication"] == 80
    assert path(80).by_name()["name"] == ["all reduce"]


def test_without_work_there_is_none() -> None:
    path = ts.critical_path([event(T.CpuOp, 0, 10, thread_id=1)])
    check(path)
    assert len(path) == 0 and path.verdict == "There is no critical path: no device worked"


def test_a_window_must_end_after_it_begins() -> None:
    with pytest.raises(ValueError, match="ends after it begins"):
        ts.critical_path([event(T.KernelLaunch, 0, 10, stream_id=1)], begin=5, end=5)


def test_tables_are_cut_and_say_so() -> None:
    path = ts.critical_path([event(T.KernelLaunch, 10 * i, 5, stream_id=1, name=f"k{i}") for i in range(5)])
    check(path)
    assert (len(path.by_name(2)), path.by_name(2).all) == (2, 9)
    assert (len(path.path(3)), path.path(3).all) == (3, 9)
    assert path.path().rows[1] == [5, 5, "waiting", "k1", "Sequential", "Implied"]


def test_the_simulated_job(simulated: Path) -> None:
    with ts.open(simulated) as trace:
        path = ts.critical_path(trace)
        check(path)
        assert (path.begin, path.end) == path.timeline.window
    assert path.duration > 0 and path.parts["host"] > 0  # its loader keeps the device waiting
    assert (ts.critical_path(simulated).segments == path.segments).all()


def test_the_command_says_it_in_one_line_then_tables(cli: Callable, simulated: Path) -> None:
    text = cli("analyze", simulated, "-r", "critical-path").out
    assert text.startswith("The critical path is ")
    assert "critical-path-parts" in text and "critical-path\n" in text
    data = cli("analyze", simulated, "-r", "critical-path", "--format", "json", "--limit", "0").data
    assert data["critical_path"] == text.splitlines()[0]
    segments = [row[:2] for row in data["tables"]["critical-path-segments"]["rows"]]
    assert all(a + length == b for (a, length), (b, _) in zip(segments, segments[1:], strict=False))
    window = cli("analyze", simulated, "-r", "critical-path", "--time", "1ms/2ms", "--format", "json").data
    parts = window["tables"]["critical-path-parts"]["rows"]
    assert sum(row[1] for row in parts) == 1_000_000
    csv = cli("analyze", simulated, "-r", "critical-path", "--format", "csv").out
    assert csv.startswith("name,part,total,share,segments,inferred\n")


def test_the_command_takes_one_file(cli: Callable, simulated: Path) -> None:
    result = cli("analyze", simulated, simulated, "-r", "critical-path")
    assert result.code == 2 and "takes one file" in result.err


def corpus() -> list[Path]:
    folder = os.environ.get("TRACESMITH_CORPUS")
    return sorted([*Path(folder).glob("*.json.gz"), *Path(folder).glob("*.sqlite")]) if folder else []


@pytest.mark.skipif(not corpus(), reason="TRACESMITH_CORPUS is not set: no real traces here")
@pytest.mark.parametrize("source", corpus(), ids=lambda path: path.name)
def test_real_traces_are_covered(source: Path) -> None:
    timeline = ts.build_timeline(ts.open(source))
    path = ts.critical_path(timeline)
    check(path)
    work = np.isin(timeline.spans["type"], [*WORK, T.KernelComplete]) & (timeline.spans["end_ns"] <= path.end)
    assert work.any() and len(path)
    middle = path.begin + path.duration // 2
    check(ts.critical_path(timeline, begin=middle, end=path.end))
