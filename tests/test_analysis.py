"""Answers against brute force: small random traces, analysed by C and by plain sums over every nanosecond."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracesmith as ts
from tracesmith.analysis import REPORTS

COMPUTE, COMMUNICATION, MEMORY = "kernel", "ncclDevKernel_AllReduce", "Memcpy HtoD (Pinned -> Device)"


def write(path: Path, works: list[tuple], calls: list[tuple] = ()) -> Path:
    """works: (kind, stream, begin, duration, correlation); calls: (name, begin, duration, correlation)."""
    with ts.SBTWriter(path) as writer:
        host = writer.intern_row("hosts", (writer.intern("host"), 0, 0))
        process = writer.intern_row("processes", (host, 10, 1, 0, 0))
        thread = writer.intern_row("threads", (process, 11, 0))
        devices = [
            writer.intern_row("devices", (host, number, writer.intern("GPU"), *[0] * 12))
            for number in range(2)
        ]
        streams = [
            writer.intern_row("streams", (process, devices[number % 2], 1, number, 0, 0))
            for number in range(6)
        ]
        events = np.zeros(len(works) + len(calls), ts.EVENT_DTYPE)
        for event, (kind, stream, begin, duration, correlation) in zip(events, works, strict=False):
            event["name"], event["stream"] = writer.intern(kind), streams[stream]
            event["timestamp"], event["duration"], event["correlation"] = begin, duration, correlation
            event["type"] = ts.EventType.MemcpyH2D if kind == MEMORY else ts.EventType.KernelComplete
        for event, (name, begin, duration, correlation) in zip(events[len(works) :], calls, strict=True):
            event["name"], event["thread"] = writer.intern(name), thread
            event["timestamp"], event["duration"], event["correlation"] = begin, duration, correlation
            event["type"] = ts.EventType.RuntimeCall
        writer.write_events(events)
    return path


works = st.lists(
    st.tuples(
        st.sampled_from([COMPUTE, COMMUNICATION, MEMORY]),
        st.integers(0, 5),
        st.integers(0, 400),
        st.integers(1, 90),
        st.just(0),
    ),
    min_size=1,
    max_size=40,
)


def timeline(events: list[tuple], device: int) -> np.ndarray:
    """For every nanosecond of the window: bits of what runs, computed without any interval arithmetic."""
    mine = [event for event in events if event[1] % 2 == device]
    if not mine:
        return np.zeros(0, np.int64)
    first = min(event[2] for event in mine)
    bits = np.zeros(max(event[2] + event[3] for event in mine) - first, np.int64)
    for kind, _, begin, duration, _ in mine:
        bits[begin - first : begin + duration - first] |= 1 << [COMPUTE, COMMUNICATION, MEMORY].index(kind)
    return bits


@settings(deadline=None, max_examples=80)
@given(events=works)
def test_the_breakdown_is_what_counting_every_nanosecond_gives(
    events: list[tuple], tmp_path_factory: pytest.TempPathFactory
) -> None:
    answers = ts.analyze(write(tmp_path_factory.mktemp("a") / "t.sbt", events))
    rows = {row["device"]: row for row in answers["breakdown"]}
    for device in range(2):
        bits = timeline(events, device)
        if not len(bits):
            assert f"GPU {device}" not in rows
            continue
        row = rows[f"GPU {device}"]
        assert row["window"] == len(bits)
        assert row["compute_time"] == np.sum(bits & 1 != 0)
        assert row["exposed_communication_time"] == np.sum((bits & 1 == 0) & (bits & 2 != 0))
        assert row["exposed_memory_time"] == np.sum(bits == 4)
        assert row["idle_time"] == np.sum(bits == 0)
    both = [timeline(events, device) for device in range(2)]
    assert answers.totals["overlap_ns"] == sum(int(np.sum(bits & 3 == 3)) for bits in both)
    exposed = sum(answers["collectives"]["exposed"])
    assert exposed == answers.totals["exposed_communication_ns"]
    assert sum(answers["causes"]["total"]) == answers.totals["idle_ns"] == sum(answers["culprits"]["total"])


@settings(deadline=None, max_examples=60)
@given(events=works)
def test_streams_and_concurrency_are_what_counting_gives(
    events: list[tuple], tmp_path_factory: pytest.TempPathFactory
) -> None:
    answers = ts.analyze(write(tmp_path_factory.mktemp("a") / "t.sbt", events))
    running = np.zeros((6, 500), np.int64)
    for _, stream, begin, duration, _ in events:
        running[stream, begin : begin + duration] += 1
    for row in answers["streams"]:
        assert row["busy"] == np.sum(running[int(row["stream"])] > 0)
    together = {
        (row["stream"], row["other"]): row["together"] for row in answers["concurrency"] if row["stream"]
    }
    for one in range(6):
        for other in range(one + 2, 6, 2):
            both = int(np.sum((running[one] > 0) & (running[other] > 0)))
            assert together.get((str(one), str(other)), together.get((str(other), str(one)), 0)) == both
    for row in answers["concurrency"]:
        if row["stream"] is None:
            mine = running[int(row["device"][-1]) :: 2].sum(axis=0)
            assert row["max"] == mine.max()
            assert row["mean"] == pytest.approx(mine.sum() / np.sum(mine > 0))


launches = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 200), st.integers(-150, 700), st.integers(1, 300)),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(given=launches)
def test_queueing_is_averaged_as_nsys_does(
    given: list[tuple], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """given: (call begin, call duration, from the call's end to the kernel's begin, kernel duration)."""
    given = [(call, length, max(delay, 1 - length), work) for call, length, delay, work in given]
    calls = [("cudaLaunchKernel", call, length, 1 + i) for i, (call, length, _, _) in enumerate(given)]
    events = [
        (COMPUTE, 0, call + length + delay, work, 1 + i)
        for i, (call, length, delay, work) in enumerate(given)
    ]
    answers = ts.analyze(write(tmp_path_factory.mktemp("a") / "t.sbt", events, calls))
    queues = [delay for _, _, delay, _ in given if delay > 0]
    (row,) = answers["launches"]
    assert row["count"] == len(given)
    assert row["queued"] == len(queues)
    assert row["not_queued"] == sum(delay == 0 for _, _, delay, _ in given)
    assert row["overlapped"] == sum(delay < 0 for _, _, delay, _ in given)
    assert row["queue_avg"] == pytest.approx(np.mean(queues) if queues else 0)
    assert row["queue_std"] == pytest.approx(np.std(queues) if queues else 0, abs=1e-6)
    totals = [length + max(delay + work, 0) for _, length, delay, work in given]
    assert row["total_avg"] == pytest.approx(np.mean(totals))
    assert sum(answers["causes"]["total"]) == answers.totals["idle_ns"]


@settings(deadline=None, max_examples=30)
@given(parts=st.lists(works, min_size=2, max_size=4))
def test_merged_partials_answer_as_the_whole(
    parts: list[list[tuple]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("a")
    whole, merged = ts.Analysis(), ts.Analysis()
    saved = []
    for number, events in enumerate(parts):
        path = write(folder / f"{number}.sbt", events)
        whole.add(path, str(number))
        one = ts.Analysis()
        one.add(path, str(number))
        saved.append(one.save())
    for part in reversed(saved):
        merged.merge(part)
    left, right = whole.answers(), merged.answers()
    assert left.verdict == right.verdict and left.findings == right.findings
    for name in REPORTS:
        assert left[name].rows == right[name].rows, name


def test_a_window_cuts_device_work(tmp_path: Path) -> None:
    path = write(tmp_path / "t.sbt", [(COMPUTE, 0, 100, 100, 0), (COMPUTE, 0, 300, 100, 0)])
    answers = ts.analyze(path, begin=150, end=350)
    assert answers.totals["window_ns"] == 200
    assert answers.totals["compute_ns"] == 50 + 50


def test_trace_events_and_path_give_the_same(simulated: Path) -> None:
    with ts.open(simulated) as trace:
        by_path, by_trace, by_events = ts.analyze(simulated), ts.analyze(trace), ts.analyze(trace.events)
    for name in REPORTS:
        assert by_path[name].rows == by_trace[name].rows == by_events[name].rows, name
    assert set(by_path.reports) == set(REPORTS)


def test_a_partial_is_kilobytes(simulated: Path) -> None:
    analysis = ts.Analysis()
    analysis.add(simulated)
    assert len(analysis.save()) < 100_000


def test_what_is_no_partial_is_refused_and_a_failure_is_remembered(tmp_path: Path) -> None:
    analysis = ts.Analysis()
    with pytest.raises(ts.FormatError):
        analysis.merge(b"nonsense")
    with pytest.raises(FileNotFoundError):
        analysis.add(tmp_path / "nowhere.sbt")
    with pytest.raises(ts.StateError):
        analysis.answers()


def test_a_diff_finds_the_kernel_that_became_slower(tmp_path: Path) -> None:
    sizes = np.random.default_rng(1).integers(90, 110, 200).tolist()
    before = [(COMPUTE, 0, 1000 * i, size, 0) for i, size in enumerate(sizes)]
    after = [(COMPUTE, 0, 1000 * i, 3 * size, 0) for i, size in enumerate(sizes)]
    after += [(COMMUNICATION, 0, 1000 * i + 500, 10, 0) for i in range(5)]
    found = ts.diff(write(tmp_path / "a.sbt", before), write(tmp_path / "b.sbt", after))
    changes = {kernel["name"]: kernel for kernel in found.kernels}
    assert changes[COMPUTE]["change"] == "slower"
    assert changes[COMPUTE]["ratio"] == pytest.approx(3)
    assert changes[COMPUTE]["p"] < 1e-6
    assert changes[COMMUNICATION]["change"] == "new"
    assert ts.diff(tmp_path / "a.sbt", tmp_path / "a.sbt").change == "same"


def test_chance_is_not_called_a_change(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    paths = []
    for name in "ab":
        sizes = generator.integers(50, 250, 30).tolist()
        paths.append(
            write(tmp_path / f"{name}.sbt", [(COMPUTE, 0, 1000 * i, s, 0) for i, s in enumerate(sizes)])
        )
    (kernel,) = ts.diff(*paths, threshold=0).kernels
    assert kernel["change"] == "same" and 0.01 < kernel["p"] <= 1


# ---- Real traces ------------------------------------------------------------------------------------


@pytest.fixture
def corpus() -> Path:
    folder = os.environ.get("TRACESMITH_CORPUS")
    if not folder:
        pytest.skip("TRACESMITH_CORPUS does not say where the real traces are")
    return Path(folder)


def union(intervals: list[tuple[int, int]]) -> int:
    total, cover = 0, -1
    for begin, end in sorted(intervals):
        total += max(0, end - max(begin, cover))
        cover = max(cover, end)
    return total


def device_work(path: Path) -> list[dict[str, Any]]:
    import gzip

    events = json.loads(gzip.decompress(path.read_bytes()), parse_float=str, parse_int=str)
    events = events["traceEvents"] if isinstance(events, dict) else events
    categories = {"kernel", "gpu_memcpy", "gpu_memset", "memcpy", "memset"}
    return [
        event for event in events if event.get("ph") == "X" and event.get("cat", "").lower() in categories
    ]


def ns(text: str) -> int:
    whole, _, rest = str(text).partition(".")
    return int(whole) * 1000 + int((rest + "000")[:3])


@pytest.mark.parametrize(
    "name", ["hta_nccl", "kineto_tb_resnet50", "tracelens_mi300_resnet", "tracelens_b200_eager"]
)
def test_real_traces_have_the_unions_that_sorting_their_json_gives(corpus: Path, name: str) -> None:
    path = corpus / f"{name}.json.gz"
    works = device_work(path)
    answers = ts.analyze(path)
    by_device: dict[Any, list[tuple[int, int]]] = {}
    for event in works:
        begin = ns(event["ts"])
        by_device.setdefault((event["pid"]), []).append((begin, begin + ns(event.get("dur", "0"))))
    busy = sum(union(spans) for spans in by_device.values())
    window = sum(
        max(end for _, end in spans) - min(begin for begin, _ in spans) for spans in by_device.values()
    )
    totals = answers.totals
    assert totals["window_ns"] == window
    assert totals["window_ns"] - totals["idle_ns"] == busy
    assert sum(answers["kernels"]["count"]) == sum(event["cat"].lower() == "kernel" for event in works)
    assert sum(answers["causes"]["total"]) == totals["idle_ns"]


def test_the_loader_is_to_blame_in_the_resnet_trace(corpus: Path) -> None:
    """996.5 ms from the first to the last work, of which 591.5 compute and 12.0 only copy."""
    answers = ts.analyze(corpus / "kineto_tb_resnet50.json.gz")
    worst = next(finding for finding in answers.findings if finding.id == "host-busy")
    assert "DataLoader" in worst.what and worst.share > 0.25
    assert "DataLoader" in answers.verdict


# ---- The command ------------------------------------------------------------------------------------


def test_one_screen_names_the_loader(cli: Callable, simulated: Path) -> None:
    result = cli("analyze", simulated)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert len(lines) <= 40
    assert "DataLoader.__next__" in lines[0]
    assert any("[host-busy]" in line for line in lines)
    assert lines[-1].startswith("Next: ")


def test_json_holds_whole_names_and_adds_up(cli: Callable, simulated: Path) -> None:
    data = cli("analyze", simulated, "--format", "json", "-r", "kernels,breakdown").data
    assert data["schema"] == "analyze/1"
    verdict = data["verdict"]
    parts = ("compute_ns", "exposed_communication_ns", "exposed_memory_ns", "idle_ns")
    assert verdict["window_ns"] == sum(verdict[part] for part in parts)
    assert [column["name"] for column in data["tables"]["kernels"]["columns"]][-1] == "name"
    assert {"id", "severity", "confidence", "what", "cost_ns", "share", "evidence", "advice"} <= set(
        data["findings"][0]
    )


def test_csv_and_markdown(cli: Callable, simulated: Path) -> None:
    lines = cli("analyze", simulated, "-r", "kernels", "--format", "csv", "--limit", "3").out.splitlines()
    assert lines[0].startswith("share,of_window,count") and len(lines) == 4
    assert cli("analyze", simulated, "-r", "api", "--format", "md").out.startswith("### api\n")
    assert cli("analyze", simulated, "--format", "csv").code == 2


def test_fail_on_is_an_exit_code_and_nothing_else(cli: Callable, simulated: Path) -> None:
    plain = cli("analyze", simulated)
    failing = cli("analyze", simulated, "--fail-on", "host-busy:medium")
    assert (plain.code, failing.code) == (0, 1)
    assert failing.out == plain.out
    assert cli("analyze", simulated, "--fail-on", "no-such-rule", "--fail-on", "host-busy:high").code in (
        0,
        1,
    )
    assert cli("analyze", simulated, "--fail-on", "any:terrible").code == 2


def test_wrong_words_are_refused(cli: Callable, simulated: Path) -> None:
    assert cli("analyze", simulated, "-r", "nonsense").code == 2
    assert cli("analyze", simulated, "--time", "5").code == 2
    assert cli("analyze", simulated.parent / "nowhere.sbt").code == 1


def test_a_window_counts_from_the_first_event(cli: Callable, simulated: Path) -> None:
    whole = cli("analyze", simulated, "--format", "json").data["verdict"]
    part = cli("analyze", simulated, "--format", "json", "--time", "10ms/20ms").data["verdict"]
    assert 0 < part["window_ns"] <= 10_000_000 < whole["window_ns"]


def test_two_files_keep_their_devices_apart(cli: Callable, simulated: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sbt"
    other.write_bytes(simulated.read_bytes())
    data = cli("analyze", simulated, other, "--format", "json", "-r", "breakdown").data
    assert [row[-2] for row in data["tables"]["breakdown"]["rows"]] == [
        "other.sbt: GPU 0",
        f"{simulated.name}: GPU 0",
    ]


def test_the_command_needs_no_numpy(simulated: Path) -> None:
    program = (
        "import sys; from tracesmith.cli import main; code = main(['analyze', sys.argv[1]]);"
        "sys.exit(code or ('numpy' in sys.modules and 9))"
    )
    done = subprocess.run([sys.executable, "-c", program, simulated], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_diff_says_same_of_a_trace_and_itself(cli: Callable, simulated: Path) -> None:
    result = cli("diff", simulated, simulated)
    assert result.code == 0 and result.out.startswith("No difference")
    assert (
        cli("diff", simulated, simulated, "--fail-on-regression", "--format", "json").data["change"] == "same"
    )
