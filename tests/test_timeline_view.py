"""The timeline as text: TimelineViewer, and `view --timeline`."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracesmith as ts
from tracesmith import EventType as T
from tracesmith import _core
from tracesmith.viewer import decimal, tick_step


def kernel(begin: int, end: int, stream: int = 7, kind: T = T.KernelLaunch) -> ts.TraceEvent:
    return ts.TraceEvent(kind, begin, duration=end - begin, stream_id=stream)


def host(kind: T, begin: int, end: int) -> ts.TraceEvent:
    return ts.TraceEvent(kind, begin, duration=end - begin, thread_id=11)


def picture(events: list[ts.TraceEvent], **options: object) -> list[str]:
    return ts.TimelineViewer(**options).render(ts.build_timeline(events)).splitlines()


def bars(lines: list[str], label: str) -> str:
    return next(line for line in lines if line.startswith(label))[len(label) :].strip().split()[0]


def test_a_bar_is_where_its_span_was() -> None:
    lines = picture(
        [kernel(0, 40), kernel(60, 80, kind=T.MemcpyH2D), kernel(80, 100)], width=88, show_duration=False
    )
    bar = bars(lines, "GPU 0/7")
    tenth = len(bar) // 10
    assert bar == "####..==##".translate({ord(c): c * tenth for c in "#.="})
    assert lines[-1] == "# kernel  = copy  . idle"


def test_a_short_span_is_not_swallowed_by_idle_time() -> None:
    lines = picture([kernel(0, 1), kernel(500_000, 500_001), kernel(999_999, 1_000_000)])
    assert re.fullmatch(r"#\.+#\.+#", bars(lines, "GPU 0/7"))


def test_on_a_thread_the_innermost_span_shows() -> None:
    lines = picture([host(T.CpuOp, 0, 90), host(T.StreamSync, 30, 60), host(T.RuntimeCall, 60, 90)])
    assert re.fullmatch(r"\++w+c+", bars(lines, "thread 11"))


@given(st.integers(20, 300), st.integers(1, 12), st.integers(1, 10**13))
def test_no_line_is_wider_than_asked(width: int, streams: int, length: int) -> None:
    events = [kernel(5, 5 + length, stream) for stream in range(1, streams + 1)]
    lines = picture([*events, host(T.CpuOp, 0, 5)], width=width, max_rows=5)
    assert all(len(line) <= max(width, 40) for line in lines)
    assert sum(line.startswith("GPU") for line in lines) == min(streams, 5)
    if streams > 4:
        assert f"and {streams + 1 - 5} more tracks" in lines


@given(st.floats(0.1, 1e15), st.integers(1, 1000))
def test_ticks_are_round_and_not_too_many(wanted: float, times: int) -> None:
    step, unit, size = tick_step(wanted, int(wanted * times) + 1)
    assert step >= wanted and (wanted < 1 or step <= 5 * wanted)
    assert str(step).rstrip("0") in ("1", "2", "5")
    assert {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit] == size <= step * 1000


@given(st.integers(0, 2**63), st.sampled_from([1, 1000, 10**6, 10**9]))
def test_labels_are_exact(number: int, size: int) -> None:
    assert Fraction(decimal(number, size)) == Fraction(number, size)


def test_the_axis_counts_from_the_traces_begin() -> None:
    timeline = ts.build_timeline([kernel(10**9, 10**9 + 10**7)])
    axis, ticks, *_ = ts.TimelineViewer(width=100).render(timeline).splitlines()
    assert axis.split()[:4] == ["0", "ms", "2", "ms"]
    for label in re.finditer(r"\d+ ms", axis):
        assert ticks[label.start()] == "|"
    late = ts.TimelineViewer(width=100).render(timeline, 10**9 + 5_000_000, 10**9 + 6_000_000)
    assert late.split()[:2] == ["5", "ms"]


def test_names_cannot_drive_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "named.sbt"
    writer = _core.Writer(path)
    stream = writer.add_row("streams", [0, 0, 0, 7, writer.intern("evil\033[2J\nname"), 0])
    events = np.zeros(1, ts.EVENT_DTYPE)
    events["stream"], events["type"], events["duration"] = stream, T.KernelLaunch, 10
    writer.write_batch(None, events, None, None)
    writer.finalize()
    text = ts.TimelineViewer().render(ts.build_timeline(ts.open(path)))
    assert "evil?[2J?name" in text and "\033" not in text


def test_colours_only_where_wanted() -> None:
    events = [kernel(0, 40), host(T.StreamSync, 0, 40)]
    assert "\033" not in "".join(picture(events))
    coloured = "\n".join(picture(events, color=True))
    assert "\033[32m#" in coloured and "\033[31mw" in coloured
    assert re.sub(r"\033\[\d+m", "", coloured) == "\n".join(picture(events))


def test_one_stream_alone() -> None:
    timeline = ts.build_timeline([kernel(0, 10), kernel(0, 10, 8)])
    viewer = ts.TimelineViewer(ts.TimelineViewConfig(width=60, fill_char="X"))
    text = viewer.render_stream(timeline, 8)
    assert "GPU 0/8" in text and "GPU 0/7" not in text and "XXX" in text
    assert viewer.render_stream(timeline, 9) == "there is no stream 9\n"
    assert "GPU utilization     100.0%" in viewer.render_stats(timeline)


# ---- the command


def test_view_timeline_draws_every_track(simulated: Path, cli: Callable) -> None:
    result = cli("view", "--timeline", "--width", "100", simulated)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert sum(line.startswith("GPU 0/") for line in lines) == 4
    assert any(line.startswith("thread ") for line in lines)
    assert lines[-1].endswith(". idle") and all(len(line) <= 100 for line in lines)


def test_view_timeline_gives_numbers_as_json(simulated: Path, cli: Callable) -> None:
    data = cli("view", "--timeline", "-f", "json", simulated).data
    assert 0 < data["gpu_utilization"] < 1 and data["max_concurrent_ops"] >= 2
    assert [track["stream"] for track in data["tracks"]] == [True] * 4 + [False]
    assert data["end_ns"] > data["begin_ns"]


@pytest.mark.parametrize("stream", ["7", "0/7"])
def test_view_timeline_of_one_stream(simulated: Path, cli: Callable, stream: str) -> None:
    data = cli("view", "--timeline", "--stream", stream, "-t", "KernelLaunch", "-f", "json", simulated).data
    assert len(data["tracks"]) == 1


def test_a_timeline_has_no_csv(simulated: Path, cli: Callable) -> None:
    result = cli("view", "--timeline", "-f", "csv", simulated)
    assert result.code == 2 and "leave out" in result.err
