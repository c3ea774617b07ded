"""Folded stacks, speedscope, DOT, CSV and text: against arithmetic over the same events, and each
against the rules of its format."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arrow_consumer import read
from python_samples import EVENTS

import tracesmith as ts

FORMATS = ["folded", "speedscope", "dot", "csv", "text"]
CORPUS = os.environ.get("TRACESMITH_CORPUS")
REAL = ["hta_cp_alexnet", "hta_nccl", "tracelens_b200_eager", "tracelens_mi300_resnet"]


def host(kind: ts.EventType, name: str, begin: int, end: int, **more: Any) -> ts.TraceEvent:
    return ts.TraceEvent(kind, begin, name=name, duration=end - begin, thread_id=11, **more)


def kernel(name: str, begin: int, duration: int, correlation: int) -> ts.TraceEvent:
    return ts.TraceEvent(
        ts.EventType.KernelLaunch,
        begin,
        name=name,
        duration=duration,
        stream_id=7,
        correlation_id=correlation,
    )


STACK = ts.CallStack([ts.StackFrame(function_name="inner;x"), ts.StackFrame(function_name="main")])

# A step with an operator that launches two kernels, a launch with a stack, and a kernel that nobody
# in the trace launched.
STEP = [
    host(ts.EventType.Range, "step", 0, 1000),
    host(ts.EventType.CpuOp, "aten::add", 100, 300),
    host(ts.EventType.RuntimeCall, "cudaLaunchKernel", 110, 120, correlation_id=1),
    host(ts.EventType.RuntimeCall, "cudaLaunchKernel", 130, 140, correlation_id=2),
    host(ts.EventType.RuntimeCall, "cudaLaunchKernel", 400, 410, correlation_id=3, call_stack=STACK),
    host(ts.EventType.StreamSync, "cudaStreamSynchronize", 500, 990, stream_id=7),
    kernel("add", 200, 50, 1),
    kernel("add", 260, 40, 2),
    kernel("mul", 450, 500, 3),
    kernel("stray", 960, 7, 99),
]


def export(events: Any, path: Path, form: str, **options: Any) -> str:
    ts.export_trace(events, path, form, **options)
    return path.read_text("utf-8")


def folded(events: Any, tmp_path: Path, **options: Any) -> dict[str, int]:
    lines = [
        line.rpartition(" ")
        for line in export(events, tmp_path / "x.folded", "folded", **options).splitlines()
    ]
    assert len({stack for stack, _, _ in lines}) == len(lines)
    return {stack: int(weight) for stack, _, weight in lines}


# ---- Folded stacks


def test_device_time_is_charged_to_the_stack_of_the_launch(tmp_path: Path) -> None:
    found = folded(ts.Events(STEP), tmp_path)
    assert {stack.partition(";")[2]: weight for stack, weight in found.items()} == {
        "thread 11;step;aten::add;add": 90,
        "thread 11;main;inner:x;mul": 500,
        "(no launch in the trace);stray": 7,
    }


def test_without_stacks_the_ranges_around_the_launch_take_their_place(tmp_path: Path) -> None:
    found = folded(ts.Events(STEP), tmp_path, stacks=False)
    assert {stack.partition(";")[2] for stack in found} == {
        "thread 11;step;aten::add;add",
        "thread 11;step;mul",
        "(no launch in the trace);stray",
    }


def test_a_pair_of_begin_and_end_is_one_operation(tmp_path: Path) -> None:
    half = {"name": "old", "stream_id": 7, "correlation_id": 5}
    pair = [
        ts.TraceEvent(ts.EventType.KernelLaunch, 10, **half),
        ts.TraceEvent(ts.EventType.KernelComplete, 25, **half),
    ]
    assert list(folded(ts.Events(pair), tmp_path).values()) == [15]


def test_nesting_without_end_is_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    deep = [host(ts.EventType.Range, f"r{i}", i, 20_000 - i) for i in range(2000)]
    deep += [host(ts.EventType.RuntimeCall, "launch", 5000, 5001, correlation_id=1), kernel("k", 6000, 10, 1)]
    ((stack, weight),) = folded(ts.Events(deep), tmp_path).items()
    assert weight == 10
    assert stack.endswith(";k") and stack.count(";") == 511


# ---- speedscope


def check_speedscope(document: dict[str, Any]) -> None:
    """What its schema and its importer insist on."""
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = document["shared"]["frames"]
    assert all(isinstance(frame["name"], str) for frame in frames)
    for profile in document["profiles"]:
        assert profile["unit"] == "nanoseconds" and profile["startValue"] <= profile["endValue"]
        if profile["type"] == "sampled":
            assert len(profile["samples"]) == len(profile["weights"])
            assert all(0 <= frame < len(frames) for sample in profile["samples"] for frame in sample)
            continue
        assert profile["type"] == "evented"
        stack, now = [], profile["startValue"]
        for event in profile["events"]:
            assert now <= event["at"] <= profile["endValue"]
            now = event["at"]
            if event["type"] == "O":
                assert 0 <= event["frame"] < len(frames)
                stack.append(event["frame"])
            else:
                assert event["type"] == "C" and stack.pop() == event["frame"]
        assert stack == []


def test_speedscope_holds_threads_and_device_time(tmp_path: Path) -> None:
    document = json.loads(export(ts.Events(STEP), tmp_path / "x.speedscope.json", "speedscope"))
    check_speedscope(document)
    names = [frame["name"] for frame in document["shared"]["frames"]]
    device, thread = document["profiles"]
    assert device["endValue"] == sum(device["weights"]) == 597
    stacks = [[names[frame] for frame in sample][2:] for sample in device["samples"]]
    assert sorted(stacks) == [["main", "inner:x", "mul"], ["step", "aten::add", "add"], ["stray"]]
    events = [(event["type"], names[event["frame"]], event["at"]) for event in thread["events"]]
    assert events[:4] == [
        ("O", "step", 0),
        ("O", "aten::add", 100),
        ("O", "cudaLaunchKernel", 110),
        ("C", "cudaLaunchKernel", 120),
    ]
    assert events[-1] == ("C", "step", 1000)


def test_spans_that_overlap_without_nesting_are_cut_to_nest(tmp_path: Path) -> None:
    events = [
        host(ts.EventType.CpuOp, "a", 0, 10),
        host(ts.EventType.CpuOp, "b", 5, 20),
        host(ts.EventType.CpuOp, "c", 20, 20),
    ]
    document = json.loads(export(ts.Events(events), tmp_path / "x.json", "speedscope"))
    check_speedscope(document)
    times = [event["at"] for event in document["profiles"][1]["events"]]
    assert times == [0, 5, 5, 20, 20, 20]


# ---- DOT


def test_dot_has_operations_their_launches_and_waits(tmp_path: Path) -> None:
    text = export(ts.Events(STEP), tmp_path / "x.dot", "dot")
    assert text.startswith("digraph") and text.rstrip().endswith("}")
    assert "4 of 4 operations" in text
    labels = dict(re.findall(r'^ +(s\d+) \[label="(\w+)\\n', text, re.MULTILINE))
    edges = {
        (labels[a], labels[b], kind) for a, b, kind in re.findall(r'(s\d+) -> (s\d+) \[label="(\w+)', text)
    }
    assert ("cudaLaunchKernel", "add", "Launch") in edges
    assert ("add", "mul", "Sequential") in edges
    assert any(to == "cudaStreamSynchronize" and kind == "Synchronization" for _, to, kind in edges)
    assert Counter(labels.values())["add"] == 2


def test_dot_says_what_it_leaves_out(tmp_path: Path) -> None:
    text = export(ts.Events([kernel(f"k{i}", i * 10, 5, 0) for i in range(600)]), tmp_path / "x.dot", "dot")
    assert "500 of 600 operations: the first in time; 100 are left out" in text
    assert "k499" in text and "k500" not in text


def test_graphviz_draws_it(tmp_path: Path) -> None:
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    odd = [kernel('quote " back \\ slash\n<b> {x|y}', 0, 5, 0), kernel("é" * 100, 10, 5, 0)]
    export(ts.Events([*STEP, *odd]), tmp_path / "x.dot", "dot")
    done = subprocess.run(["dot", "-Tsvg", tmp_path / "x.dot"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    assert "cudaStreamSynchronize" in done.stdout


# ---- CSV and text


def as_csv(value: Any) -> str:
    return "" if value is None else str(value)


def test_csv_says_what_the_arrow_stream_says(tmp_path: Path) -> None:
    odd = ['comma, "quote"', "line\nend", "\r", "", "plain"]
    events = ts.Events(
        [*EVENTS, *(ts.TraceEvent(ts.EventType.Marker, 50 + i, name=name) for i, name in enumerate(odd))]
    )
    ts.export_trace(events, tmp_path / "x.csv")
    with open(tmp_path / "x.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    table, _ = read(events)
    assert header == list(table)
    assert rows == [list(map(as_csv, row)) for row in zip(*table.values(), strict=True)]


def test_csv_is_read_by_duckdb(tmp_path: Path, simulated: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    with ts.open(simulated) as trace:
        ts.export_trace(trace, tmp_path / "x.csv")
        expected = trace.events
    found = duckdb.sql(
        f"select count(*), sum(duration), count(distinct name) from '{tmp_path}/x.csv'"
    ).fetchall()
    assert found == [(len(expected), int(expected["duration"].sum()), len(set(expected.names.tolist())))]


def test_text_has_a_line_for_each_event_whatever_its_name(tmp_path: Path) -> None:
    odd = ["a\nb", "\x1b[31mred", "\x9b31m", "plain"]
    lines = export(
        ts.Events([kernel(name, 1_500_000_000, 1234, 9) for name in odd]), tmp_path / "x.txt", "text"
    ).split("\n")
    assert len(lines) == len(odd) + 2 and lines[-1] == ""
    assert lines[0].split()[-1] == "name"
    assert [line.split("  ")[-1] for line in lines[1:-1]] == ["a\\x0ab", "\\x1b[31mred", "\\x9b31m", "plain"]
    assert lines[4].split()[:6] == ["1.500000000", "1.234", "KernelLaunch", "gpu", "0/7", "9"]


# ---- All of them


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("events", [[], EVENTS], ids=["nothing", "everything"])
def test_any_events_can_be_exported(form: str, events: list[ts.TraceEvent], tmp_path: Path) -> None:
    text = export(ts.Events(events), tmp_path / "out", form)
    if form == "speedscope":
        check_speedscope(json.loads(text))
    with pytest.raises(ts.StateError, match="stopped"):
        ts.export_trace(ts.Events(STEP), tmp_path / "out", form, progress=stopped())
    assert (tmp_path / "out").read_text("utf-8") == text
    assert os.listdir(tmp_path) == ["out"]


def stopped() -> Any:
    import numpy as np

    return np.array([0, 0, 1], np.uint64)


@pytest.mark.parametrize("form", ["csv", "text"])
def test_the_switches_leave_out_what_they_say(form: str, tmp_path: Path) -> None:
    whole = ts.Events([*STEP, ts.TraceEvent(ts.EventType.Counter, 5, name="power", value=1.5)])
    lines = {
        switch: len(export(whole, tmp_path / "out", form, **{switch: False}).splitlines())
        for switch in ("device", "host", "counters", "flows")
    }
    assert lines == {"device": 8, "host": 6, "counters": 11, "flows": 12}


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_knows_it(form: str, cli: Callable[..., Any], tmp_path: Path, simulated: Path) -> None:
    result = cli("export", simulated, "-f", form, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert (tmp_path / "out").stat().st_size > 0
    zipped = cli("export", simulated, "-f", form, "-o", tmp_path / "out.gz", "--compress")
    assert zipped.code == 0, zipped.err
    assert gzip.decompress((tmp_path / "out.gz").read_bytes()) == (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("name", REAL)
def test_a_real_trace_keeps_its_device_time(name: str, tmp_path: Path) -> None:
    if CORPUS is None:
        pytest.skip("TRACESMITH_CORPUS does not name the folder of real traces")
    with ts.open(Path(CORPUS) / f"{name}.json.gz") as trace:
        timeline = ts.build_timeline(trace)
        work = [span for track in timeline.tracks if track["is_stream"] for span in spans_of(timeline, track)]
        expected = sum(int(span["end_ns"] - span["begin_ns"]) for span in work)
        assert sum(folded(trace, tmp_path).values()) == expected
        document = json.loads(export(trace, tmp_path / "x.speedscope.json", "speedscope"))
        check_speedscope(document)
        assert document["profiles"][0]["endValue"] == expected
        assert len(export(trace, tmp_path / "x.csv", "csv").splitlines()) >= len(trace) + 1
        assert f" of {len(work)} operations" in export(trace, tmp_path / "x.dot", "dot")


WORK = {"KernelLaunch", "KernelComplete", "MemsetDevice", "Communication", "NCCLStart", "NCCLComplete"}


def spans_of(timeline: ts.Timeline, track: Any) -> list[Any]:
    first, count = int(track["first"]), int(track["count"])
    kinds = {int(kind) for kind in ts.EventType if kind.name in WORK or kind.name.startswith("Memcpy")}
    return [span for span in timeline.spans[first : first + count] if int(span["type"]) in kinds]
