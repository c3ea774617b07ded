"""The timeline as Python users see it, against oracles that look at every nanosecond and every pair."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracesmith as ts
from tracesmith import EventType as T
from tracesmith.timeline import NONE

LAST = 120  # times in generated traces lie below


def kernel(
    begin: int, end: int, stream: int = 7, device: int = 0, correlation: int = 0, **more: object
) -> ts.TraceEvent:
    return ts.TraceEvent(
        more.pop("type", T.KernelLaunch), begin, duration=end - begin, stream_id=stream, device_id=device,
        correlation_id=correlation, **more,
    )  # fmt: skip


def host(type: T, begin: int, end: int, thread: int = 11, correlation: int = 0) -> ts.TraceEvent:
    return ts.TraceEvent(type, begin, duration=end - begin, thread_id=thread, correlation_id=correlation)


WORK = [T.KernelLaunch, T.MemcpyH2D, T.MemsetDevice, T.Communication]


@st.composite
def works(draw: Callable) -> ts.TraceEvent:
    begin = draw(st.integers(0, LAST - 1))
    end = draw(st.integers(begin, LAST))
    return kernel(
        begin,
        end,
        draw(st.integers(1, 3)),
        draw(st.integers(0, 1)),
        draw(st.integers(0, 20)),
        type=draw(st.sampled_from(WORK)),
    )


@st.composite
def calls(draw: Callable) -> ts.TraceEvent:
    begin = draw(st.integers(0, LAST - 1))
    end = draw(st.integers(begin, LAST))
    kind = draw(st.sampled_from([T.RuntimeCall, T.CpuOp, T.StreamSync]))
    return host(kind, begin, end, draw(st.integers(11, 13)), draw(st.integers(0, 20)))


traces = st.lists(st.one_of(works(), calls()), max_size=40)
busy_traces = st.lists(works(), min_size=1, max_size=40)


def covering(events: list[ts.TraceEvent], time: int, device: int | None = None) -> int:
    return sum(
        e.timestamp <= time < e.timestamp + e.duration and (device is None or e.device_id == device)
        for e in events
        if e.type in WORK
    )


# ---- spans and tracks


@given(traces)
def test_every_event_is_one_span_in_order(events: list[ts.TraceEvent]) -> None:
    timeline = ts.build_timeline(events)
    spans, tracks = timeline.spans, timeline.tracks
    assert sorted(spans["event"].tolist()) == list(range(len(events)))
    assert int(tracks["count"].sum()) == len(spans)
    for row, track in enumerate(tracks):
        own = timeline.track_spans(row)
        assert (own["track"] == row).all()
        keys = [(begin, -end, event) for begin, end, event, *_ in own.tolist()]
        assert keys == sorted(keys)
        assert int(track["begin_ns"]) == int(own["begin_ns"].min())
        assert int(track["end_ns"]) == int(own["end_ns"].max())
    for span in spans:
        event = events[span["event"]]
        assert (span["begin_ns"], span["end_ns"]) == (event.timestamp, event.timestamp + event.duration)


@given(traces)
def test_a_parent_holds_its_children(events: list[ts.TraceEvent]) -> None:
    spans = ts.build_timeline(events).spans
    for span in spans[spans["parent"] != NONE]:
        parent = spans[span["parent"]]
        assert parent["begin_ns"] <= span["begin_ns"] and span["end_ns"] <= parent["end_ns"]
        assert parent["depth"] + 1 == span["depth"]
        assert parent["track"] == span["track"]


@given(traces)
def test_busy_time_of_a_track_is_a_union(events: list[ts.TraceEvent]) -> None:
    timeline = ts.build_timeline(events)
    for row, track in enumerate(timeline.tracks):
        own = timeline.track_spans(row)
        if track["is_stream"]:
            own = own[np.isin(own["type"], WORK)]
        covered = {t for span in own for t in range(int(span["begin_ns"]), int(span["end_ns"]))}
        assert int(track["busy_ns"]) == len(covered)


def test_spans_are_views_that_keep_what_they_show() -> None:
    spans = ts.build_timeline([kernel(5, 9), kernel(1, 3)]).spans
    assert not spans.flags.writeable and not spans.flags.owndata
    assert spans["begin_ns"].tolist() == [1, 5]
    with pytest.raises(ValueError, match="read-only"):
        spans["begin_ns"] = 0


def test_a_span_resolved_has_names_and_numbers() -> None:
    timeline = ts.build_timeline([kernel(5, 9, 7, 1, 42, name="gemm")])
    span = timeline[0]
    assert (span.name, span.start_time, span.end_time, span.duration) == ("gemm", 5, 9, 4)
    assert (span.device_id, span.stream_id, span.correlation_id, span.type) == (1, 7, 42, T.KernelLaunch)
    assert [s.name for s in timeline] == ["gemm"] == timeline.names.tolist()
    with pytest.raises(IndexError):
        timeline[1]


def test_at_gives_what_is_open() -> None:
    timeline = ts.build_timeline([kernel(0, 10), kernel(5, 15, 8), kernel(10, 20)])
    assert timeline.at(9).tolist() == [0, 2]
    assert timeline.at(10).tolist() == [1, 2]
    assert timeline.at(20).tolist() == []


def test_starts_and_ends_are_joined_not_invented() -> None:
    """Five events of no duration and no correlation are no spans of a microsecond."""
    pair = [
        ts.TraceEvent(kind, t, stream_id=7) for t, kind in enumerate([T.KernelLaunch, T.KernelComplete] * 2)
    ]
    timeline = ts.build_timeline(pair)
    assert [(s.start_time, s.end_time) for s in timeline] == [(0, 1), (2, 3)]
    assert timeline.facts["joined"] == 2
    lonely = ts.build_timeline([ts.TraceEvent(T.KernelLaunch, 3, stream_id=7)] * 5)
    assert len(lonely) == 5 and lonely.total_duration == 0 and lonely.gpu_utilization == 0.0


# ---- utilisation


@given(busy_traces)
def test_utilization_is_a_union_over_the_window(events: list[ts.TraceEvent]) -> None:
    timeline = ts.build_timeline(events)
    begin, end = timeline.window
    assert begin == min(e.timestamp for e in events)
    assert end == max(e.timestamp + e.duration for e in events)
    shares = []
    for device in {e.device_id for e in events}:
        busy = sum(covering(events, t, device) > 0 for t in range(begin, end))
        shares.append(busy / (end - begin) if end > begin else 0.0)
    assert timeline.gpu_utilization == pytest.approx(sum(shares) / len(shares))
    assert 0.0 <= timeline.gpu_utilization <= 1.0


@given(busy_traces, st.integers(0, LAST), st.integers(1, LAST))
def test_concurrency_is_what_a_stopwatch_shows(events: list[ts.TraceEvent], begin: int, length: int) -> None:
    timeline = ts.build_timeline(events)
    levels = [covering(events, t) for t in range(begin, begin + length)]
    found = timeline.concurrency(begin=begin, end=begin + length)
    assert found.levels.tolist() == np.bincount(levels).tolist()
    assert found.max == max(levels)
    assert found.work == sum(levels)
    assert found.mean == pytest.approx(sum(levels) / length)
    whole = [covering(events, t) for t in range(LAST)]
    assert timeline.max_concurrent_ops == max(whole)


def test_a_window_must_be_one() -> None:
    timeline = ts.build_timeline([kernel(0, 10)])
    with pytest.raises(ValueError, match="both begin and end"):
        timeline.concurrency(begin=3)
    with pytest.raises(ValueError, match="ends after it begins"):
        timeline.concurrency(begin=3, end=3)


def test_nothing_gives_an_empty_timeline() -> None:
    timeline = ts.build_timeline([])
    assert (len(timeline), timeline.total_duration, timeline.gpu_utilization) == (0, 0, 0.0)
    assert timeline.max_concurrent_ops == 0
    assert "nothing to show" in ts.TimelineViewer().render(timeline)
    assert len(ts.InstructionStreamBuilder().dependencies) == 0
    assert ts.GPUStateMachine().streams == []


# ---- launches


@given(traces)
def test_operations_know_their_call(events: list[ts.TraceEvent]) -> None:
    timeline = ts.build_timeline(events)
    spans = timeline.spans.tolist()
    callers: dict[int, int] = {}
    order = sorted(range(len(spans)), key=lambda i: (spans[i][0], -spans[i][1], i))
    for i in order:
        event = events[spans[i][2]]
        if event.type in (T.RuntimeCall, T.StreamSync) and event.correlation_id:
            callers.setdefault(event.correlation_id, i)
    launched: dict[int, list[int]] = {}
    for i, span in enumerate(spans):
        event = events[span[2]]
        expected = callers.get(event.correlation_id) if event.type in WORK else None
        assert timeline.launch_of(i) == expected
        assert int(timeline.launches[i]) == (NONE if expected is None else expected)
        if expected is not None:
            launched.setdefault(expected, []).append(i)
    for i in range(len(spans)):
        assert timeline.operations_of(i).tolist() == launched.get(i, [])
    work = sum(e.type in WORK for e in events)
    assert timeline.facts["orphans"] == work - sum(map(len, launched.values()))


# ---- dependencies


@given(traces)
def test_dependencies_go_forward_and_both_ways_agree(events: list[ts.TraceEvent]) -> None:
    builder = ts.InstructionStreamBuilder(events)
    graph, spans = builder.analyze(), builder.timeline.spans
    listed = [tuple(edge) for span in range(len(spans)) for edge in graph.of(span).tolist()]
    assert listed == [tuple(edge) for edge in graph.edges.tolist()]
    out = [tuple(edge) for span in range(len(spans)) for edge in graph.dependents(span).tolist()]
    assert sorted(out) == sorted(listed)
    assert sum(graph.counts.values()) == len(graph)
    assert graph.find_cycle() is None
    assert len(graph) <= 6 * len(events)
    sequential = graph.edges[graph.edges["kind"] == ts.DependencyType.Sequential]
    for before, after in zip(sequential["from"].tolist(), sequential["to"].tolist(), strict=True):
        earlier = spans[:after]
        earlier = earlier[(earlier["track"] == spans["track"][after]) & np.isin(earlier["type"], WORK)]
        ended = earlier["end_ns"][earlier["end_ns"] <= spans["begin_ns"][after]]
        assert spans["track"][before] == spans["track"][after]
        assert spans["end_ns"][before] == ended.max()


def test_edges_are_named_and_say_how_they_are_known() -> None:
    events = [
        host(T.RuntimeCall, 0, 2, correlation=1),
        kernel(5, 20, correlation=1),
        host(T.RuntimeCall, 3, 4, correlation=2),
        kernel(20, 30, correlation=2),
    ]
    builder = ts.InstructionStreamBuilder()
    for event in events:
        builder.add_event(event)
    found = {(d.from_correlation_id, d.to_correlation_id, d.type.name, d.provenance.name)
             for d in builder.operation_dependencies()}  # fmt: skip
    assert found == {
        (1, 1, "Launch", "Captured"),
        (2, 2, "Launch", "Captured"),
        (1, 2, "Sequential", "Implied"),
    }
    assert builder.has_dependency(1, 2) and not builder.has_dependency(2, 1)
    assert builder.stream_operations(7).tolist() == builder.execution_order.tolist() == [0, 1]
    assert builder.node(1).dependencies == [1, 2] and builder.node(0).dependents == [2]
    statistics = builder.statistics
    assert (statistics.total_operations, statistics.kernel_launches) == (2, 2)
    assert statistics.total_dependencies == 3
    assert statistics.operations_per_stream == {(0, 7): 2}


def test_the_graph_goes_to_graphviz(tmp_path: Path) -> None:
    path = tmp_path / "graph.dot"
    ts.InstructionStreamBuilder([kernel(0, 1, name="first"), kernel(2, 3)]).export_to_dot(path)
    assert path.read_text().startswith("digraph") and "first" in path.read_text()


def test_adding_events_later_is_noticed() -> None:
    builder = ts.InstructionStreamBuilder([kernel(0, 1)])
    assert len(builder.dependencies) == 0
    builder.add_events([kernel(2, 3)])
    assert len(builder.dependencies) == 1
    builder.clear()
    assert len(builder.dependencies) == 0


# ---- states


@given(traces)
def test_states_add_up_to_the_window_exactly(events: list[ts.TraceEvent]) -> None:
    machine = ts.GPUStateMachine(events, begin=10, end=100)
    for stream in machine.streams:
        times = stream.time_in_states
        assert sum(times.values()) == 90
        sampled = [stream.state_at(t) for t in range(10, 100)]
        assert {state: sampled.count(state) for state in ts.GPUState} == times
        running = {
            t
            for e in events
            if e.type in WORK and (e.device_id, e.stream_id) == (stream.device_id, stream.stream_id)
            for t in range(e.timestamp, e.timestamp + e.duration)
        }
        found = {t for t, s in zip(range(10, 100), sampled, strict=True) if s == ts.GPUState.Running}
        assert found == running & set(range(10, 100))


def test_a_kernel_is_queued_then_runs_then_is_complete() -> None:
    machine = ts.GPUStateMachine()
    machine.process_events([host(T.RuntimeCall, 0, 2, correlation=1), kernel(5, 20, correlation=1)])
    machine.process_event(kernel(30, 40))
    state = machine.get_stream_state(0, 7)
    assert state is not None and machine.all_streams == [(0, 7)]
    assert [(t.to_state.name, t.when) for t in state.history] == [
        ("Running", 5), ("Complete", 20), ("Running", 30)
    ]  # fmt: skip
    assert state.current_state == ts.GPUState.Running and state.utilization == 25 / 35
    assert machine.statistics.transitions_per_stream == {(0, 7): 3}
    early = ts.GPUStateMachine(machine.timeline, begin=0, end=40).streams[0]
    assert [(t.to_state.name, t.when) for t in early.history][:2] == [("Queued", 2), ("Running", 5)]
    assert early.history[1].correlation_id == 1 and early.history[1].reason == "work began"
    assert machine.get_stream_state(1, 7) is None
    machine.reset()
    assert machine.streams == []


def test_a_stream_state_can_be_kept_by_hand() -> None:
    state = ts.GPUStreamState(7, device_id=1, end=100)
    state.transition_to(ts.GPUState.Running, 10, correlation_id=3)
    state.transition_to(ts.GPUState.Complete, 30)
    state.transition_to(ts.GPUState.Complete, 40)
    assert state.state_at(9) == ts.GPUState.Idle and state.state_at(10) == ts.GPUState.Running
    assert state.time_in_states[ts.GPUState.Running] == 20 and len(state.history) == 2
    with pytest.raises(ValueError, match="before the last"):
        state.transition_to(ts.GPUState.Idle, 5)


# ---- building


def test_a_builder_collects_objects_and_arrays() -> None:
    builder = ts.TimelineBuilder()
    builder.add_event(kernel(0, 10, name="a"))
    builder.add_events(ts.Events([kernel(10, 20, name="b")]))
    builder.add_event(kernel(20, 30, name="c"))
    assert builder.build().names.tolist() == ["a", "b", "c"]
    builder.clear()
    assert len(builder.build()) == 0


def test_a_trace_is_taken_as_it_is(simulated: Path) -> None:
    with ts.open(simulated) as trace:
        timeline = ts.build_timeline(trace)
        assert timeline.facts["orphans"] == 0 and timeline.facts["early"] == 0
        assert 0.5 < timeline.gpu_utilization < 1.0
        assert timeline.concurrency(int(timeline.devices[0])).utilization == timeline.gpu_utilization
        assert ts.InstructionStreamBuilder(timeline).dependencies.facts["contradicted"] == 0


# ---- the corpus


def corpus() -> list[Path]:
    folder = os.environ.get("TRACESMITH_CORPUS")
    return sorted(Path(folder).glob("*.json.gz")) if folder else []


@pytest.mark.skipif(not corpus(), reason="TRACESMITH_CORPUS is not set: no real traces here")
@pytest.mark.parametrize("path", corpus(), ids=lambda path: path.name)
def test_real_traces_keep_the_invariants(path: Path) -> None:
    try:
        timeline = ts.build_timeline(ts.open(path))
    except ts.UnsupportedError as refused:
        pytest.skip(str(refused))
    spans, tracks = timeline.spans, timeline.tracks
    assert (spans["end_ns"] >= spans["begin_ns"]).all()
    assert 0.0 <= timeline.gpu_utilization <= 1.0
    for first, count in zip(tracks["first"].tolist(), tracks["count"].tolist(), strict=True):
        assert (np.diff(spans["begin_ns"][first : first + count].astype("i8")) >= 0).all()
    held = np.flatnonzero(spans["parent"] != NONE)
    parents = spans[spans["parent"][held]]
    assert (parents["begin_ns"] <= spans["begin_ns"][held]).all()
    assert (parents["end_ns"] >= spans["end_ns"][held]).all()
    graph = ts.InstructionStreamBuilder(timeline).dependencies
    assert graph.find_cycle() is None
    for stream in itertools.islice(ts.GPUStateMachine(timeline).streams, 4):
        assert sum(stream.time_in_states.values()) == stream.end - stream.begin
