"""Chrome JSON as torch.profiler writes it: valid for every string, exact, and the same as a plain
Python rendering of the same events."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracesmith as ts

STRINGS = [
    "plain",
    'quote " backslash \\ slash /',
    "".join(map(chr, range(32))) + "\x7f",
    "é ∑ 🚀 \u2028\u2029 \ufeff",
    "[not json",
    "{also not",
    '"open',
    "tru",
    "x" * 200_000,
    "",
]


def exported(events: Any, tmp_path: Path, name: str = "out.json", **options: Any) -> dict[str, Any]:
    path = tmp_path / name
    ts.export_trace(events, path, **options)
    raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    return json.loads(raw.decode("utf-8", "strict"), parse_float=Decimal, parse_constant=refuse)


def refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def complete(trace: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] == "X"]


def kernel(name: str = "k", timestamp: int = 1000, duration: int = 500, **more: Any) -> ts.TraceEvent:
    return ts.TraceEvent(
        ts.EventType.KernelLaunch,
        name=name,
        timestamp=timestamp,
        duration=duration,
        **({"stream_id": 7} | more),
    )


@pytest.mark.parametrize("text", STRINGS, ids=range(len(STRINGS)))
def test_any_string_comes_back_from_a_strict_parser(tmp_path: Path, text: str) -> None:
    trace = exported([kernel(text, metadata={text or "empty": text})], tmp_path)
    (event,) = complete(trace)
    assert event["name"] == text
    assert event["args"][text or "empty"] == text


def test_metadata_that_is_json_is_exported_as_json(tmp_path: Path) -> None:
    values = {"list": '[1, {"a": null}]', "word": "true", "number": "-1.5e3", "text": "hello", "bad": "[1,]"}
    (event,) = complete(exported([kernel(metadata=values)], tmp_path))
    args = event["args"]
    assert args["list"] == [1, {"a": None}]
    assert args["word"] is True
    assert args["number"] == -1500
    assert (args["text"], args["bad"]) == ("hello", "[1,]")


def test_times_are_exact_to_the_nanosecond(tmp_path: Path) -> None:
    times = [(10**18 + step * 1001, step * 999_999_937 % 10**12) for step in range(500)]
    trace = exported([kernel(str(i), *pair) for i, pair in enumerate(times)], tmp_path)
    base = trace["baseTimeNanoseconds"]
    found = {event["name"]: (base + event["ts"] * 1000, event["dur"] * 1000) for event in complete(trace)}
    assert found == {str(i): pair for i, pair in enumerate(times)}
    written = re.findall(r'"(?:ts|dur)":([^,}]+)', (tmp_path / "out.json").read_text())
    assert len(written) > 1000
    assert all(re.fullmatch(r"\d+\.\d{3}", number) for number in written)


def test_the_simulated_trace_agrees_with_its_events(tmp_path: Path, simulated: Path) -> None:
    with ts.open(simulated) as source:
        trace = exported(source, tmp_path)
        expected = Counter()
        for event in source.events:
            if event.duration and event.type not in (ts.EventType.MemAlloc, ts.EventType.MemFree):
                expected[event.name, event.timestamp, event.duration, event.correlation_id] += 1
    base = trace["baseTimeNanoseconds"]
    found = Counter(
        (e["name"], base + e["ts"] * 1000, e["dur"] * 1000, e.get("args", {}).get("correlation", 0))
        for e in complete(trace)
        if e["dur"]
    )
    assert found == expected
    assert sum(found.values()) > 100


def test_every_event_has_what_readers_index_unguarded(tmp_path: Path, simulated: Path) -> None:
    with ts.open(simulated) as source:
        trace = exported(source, tmp_path)
    for event in trace["traceEvents"]:
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int)
        assert event["ts"] >= 0
        assert "name" in event
        assert event["ph"] != "X" or event["cat"]
    kernels = [event for event in complete(trace) if event["cat"] == "kernel"]
    for event in kernels:
        args = event["args"]
        assert event["pid"] == args["device"]
        assert {"stream", "correlation"} <= set(args)
        assert "nccl" in event["name"] or {"grid", "block", "registers per thread"} <= set(args)
    assert re.search(r'"rank":\s+(\d+)', (tmp_path / "out.json").read_text()[:2000])
    assert {e["name"] for e in trace["traceEvents"] if e["ph"] == "M"} >= {
        "process_name", "process_sort_index", "thread_name", "thread_sort_index",
    }  # fmt: skip


def test_an_arrow_leads_from_every_call_to_its_work(tmp_path: Path, simulated: Path) -> None:
    with ts.open(simulated) as source:
        trace = exported(source, tmp_path)
    by_phase: dict[str, dict[int, dict[str, Any]]] = {"s": {}, "f": {}}
    for event in trace["traceEvents"]:
        if event["ph"] in by_phase:
            assert event["id"] not in by_phase[event["ph"]]
            by_phase[event["ph"]][event["id"]] = event
    work = {(e["pid"], e["tid"], e["ts"]): e for e in complete(trace) if e["cat"] in WORK}
    calls = {(e["pid"], e["tid"], e["ts"]): e for e in complete(trace) if e["cat"] == "cuda_runtime"}
    assert len(by_phase["f"]) == len(work) > 100
    for number, end in by_phase["f"].items():
        assert end["bp"] == "e"
        assert work[end["pid"], end["tid"], end["ts"]]["args"]["correlation"] == number
        begin = by_phase["s"][number]
        assert calls[begin["pid"], begin["tid"], begin["ts"]]["args"]["correlation"] == number


WORK = ("kernel", "gpu_memcpy", "gpu_memset")


def test_overlapping_work_of_one_stream_is_split_and_never_overlaps(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    begins = np.sort(rng.integers(0, 20_000, 400))
    events = [kernel(str(i), int(t), int(rng.integers(1, 400))) for i, t in enumerate(begins)]
    events.append(ts.TraceEvent(ts.EventType.Range, name="around", timestamp=0, duration=30_000, stream_id=7))
    found = [e for e in complete(exported(events, tmp_path)) if e["cat"] == "kernel"]
    assert len(found) == 400
    assert {event["args"]["stream"] for event in found} == {7}
    lanes: dict[int, list[tuple[Decimal, Decimal]]] = {}
    for event in found:
        lanes.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    assert 7 in lanes and len(lanes) < 20
    for lane in lanes.values():
        lane.sort()
        assert all(end <= begin for (_, end), (begin, _) in zip(lane, lane[1:], strict=False))


def test_a_begin_and_an_end_of_one_correlation_become_one_event(tmp_path: Path) -> None:
    events = []
    for i in range(200):
        events.append(kernel(f"k{i}", 1000 + i, 0, correlation_id=i + 1))
    for i in range(199):
        end = kernel(f"k{i}", 5000 + 2 * i, 0, correlation_id=i + 1)
        end.type = ts.EventType.KernelComplete
        events.append(end)
    found = {event["name"]: event["dur"] * 1000 for event in complete(exported(events, tmp_path))}
    assert found == {f"k{i}": 4000 + i for i in range(199)} | {"k199": 0}


def test_what_two_processes_share_by_number_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "two.sbt"
    with ts.SBTWriter(path) as writer:
        host = writer.intern_row("hosts", (writer.intern("h"), 0, 0))
        device = writer.intern_row("devices", (host, 0, writer.intern("GPU"), *[0] * 12))
        rows = []
        for pid in (1, 0):  # 0 is the device's number, too
            process = writer.intern_row("processes", (host, pid, 0, pid, writer.intern(f"p{pid}")))
            stream = writer.intern_row("streams", (process, device, 1, 7, 0, 0))
            thread = writer.intern_row("threads", (process, 5, 0))
            rows.append((stream, thread))
        events = np.zeros(4, ts.EVENT_DTYPE)
        for i, (stream, thread) in enumerate(rows):
            events[2 * i : 2 * i + 2]["correlation"] = 9
            events[2 * i]["type"], events[2 * i]["thread"] = ts.EventType.RuntimeCall, thread
            events[2 * i + 1]["type"], events[2 * i + 1]["stream"] = ts.EventType.KernelLaunch, stream
            events[2 * i : 2 * i + 2]["duration"] = 5
        events["name"] = writer.intern("x")
        writer.write_events(events)
    trace = exported(ts.open(path), tmp_path)
    tracks = Counter((event["pid"], event["tid"]) for event in complete(trace))
    assert len(tracks) == 4
    assert Counter(e["id"] for e in trace["traceEvents"] if e["ph"] == "s").most_common(1)[0][1] == 1


def test_counters_are_numbers_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    values = [0.0, 1.5, -2.25, 1e300, 5e-324, 0.1, 123456789.123, float("nan"), float("inf")]
    counters = [ts.CounterEvent("c", value, timestamp=i) for i, value in enumerate(values)]
    path = tmp_path / "out.json"
    report = ts.export_trace(counters, path)
    assert (report.events, report.written) == (9, 7)
    events = json.loads(path.read_text())["traceEvents"]
    assert [e["args"]["value"] for e in events if e["ph"] == "C"] == values[:7]


def test_the_switches_leave_out_what_they_say(tmp_path: Path, simulated: Path) -> None:
    with ts.open(simulated) as source:
        everything = exported(source, tmp_path)
        no_device = exported(source, tmp_path, device=False)
        no_host = exported(source, tmp_path, host=False)
        no_flows = exported(source, tmp_path, flows=False)
        no_counters = exported(source, tmp_path, counters=False)
        no_stacks = exported(source, tmp_path, stacks=False)
        lean = exported(source, tmp_path, lean=True)

    def phases(trace: dict[str, Any]) -> Counter:
        return Counter(event["ph"] for event in trace["traceEvents"])

    assert not [e for e in complete(no_device) if e["cat"] in WORK] and complete(no_device)
    assert {e["cat"] for e in complete(no_host)} <= {*WORK, "gpu_user_annotation", "cuda_sync"}
    assert phases(no_flows)["s"] == 0 and phases(everything)["s"] > 0
    assert phases(no_counters)["C"] == 0 and phases(everything)["C"] > 0
    assert not any("Call stack" in e.get("args", {}) for e in no_stacks["traceEvents"])
    assert any("Call stack" in e.get("args", {}) for e in everything["traceEvents"])
    assert len(lean["traceEvents"]) == len(everything["traceEvents"])
    for event in complete(lean):
        assert set(event.get("args", {})) <= {"device", "stream", "correlation", "bytes"}


def test_a_window_exports_what_it_touches(tmp_path: Path) -> None:
    events = ts.Events([kernel(str(i), i * 100, 50) for i in range(100)])
    found = complete(exported(events, tmp_path, begin=1000, end=1251))
    assert [event["name"] for event in found] == ["10", "11", "12"]


@pytest.mark.parametrize("events", [[], [ts.TraceEvent(ts.EventType.Custom, name="x")]])
def test_hardly_anything_is_valid_too(tmp_path: Path, events: list[ts.TraceEvent]) -> None:
    assert len(complete(exported(events, tmp_path))) == len(events)


def test_gzip_is_around_what_would_be_written(tmp_path: Path, simulated: Path) -> None:
    with ts.open(simulated) as source:
        report = ts.export_trace(source, tmp_path / "a.json")
        ts.export_trace(source, tmp_path / "a.json.gz")
    plain = (tmp_path / "a.json").read_bytes()
    assert gzip.decompress((tmp_path / "a.json.gz").read_bytes()) == plain
    assert report.bytes == len(plain)


def test_a_failed_export_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    stopped = np.array([0, 0, 1], np.uint64)
    with pytest.raises(ts.StateError, match="stopped"):
        ts.export_trace([kernel()], path, progress=stopped)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.json"]
    with pytest.raises(FileNotFoundError):
        ts.export_trace([kernel()], tmp_path / "absent" / "out.json")
    with pytest.raises(IsADirectoryError):
        ts.export_trace([kernel()], tmp_path, "chrome")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OSError, match="No space"):
        ts.export_trace([kernel()], "/dev/full", "chrome")


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    ts.export_trace([kernel()], tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["traceEvents"]


# ---- The names that users know


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.json", ("chrome", False)),
        ("b.JSON.gz", ("chrome", True)),
        ("c.perfetto-trace", ("perfetto", False)),
        ("d.pftrace", ("perfetto", False)),
        ("e.perfetto", ("perfetto", False)),
    ],
)
def test_the_name_tells_the_format(name: str, found: tuple[str, bool]) -> None:
    from tracesmith.export import format_of

    assert format_of(name) == found


def test_a_name_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tells no format"):
        ts.export_perfetto([kernel()], tmp_path / "out.abc")
    ts.export_perfetto([kernel()], tmp_path / "out.abc", use_protobuf=False)
    assert json.loads((tmp_path / "out.abc").read_text())["traceEvents"]


def test_the_exporter_has_its_switches() -> None:
    exporter = ts.PerfettoExporter()
    events = [kernel(correlation_id=3), ts.TraceEvent(ts.EventType.CpuOp, name="op", thread_id=4, duration=1)]
    counters = [ts.CounterEvent("c", 4.0)]

    def phases() -> set[str]:
        text = exporter.export_to_string_with_counters(events, counters)
        return {event["ph"] for event in json.loads(text)["traceEvents"]} - {"M"}

    assert phases() == {"X", "f", "C"}
    exporter.set_enable_flow_events(False)
    exporter.set_enable_counter_tracks(False)
    assert phases() == {"X"}
    exporter.set_enable_gpu_tracks(False)
    names = [
        e["name"] for e in json.loads(exporter.export_to_string(events))["traceEvents"] if e["ph"] == "X"
    ]
    assert names == ["op"]


def test_the_proto_exporter_knows_its_format(tmp_path: Path) -> None:
    assert ts.PerfettoProtoExporter().get_format() == ts.PerfettoFormat.PROTOBUF == 1
    exporter = ts.PerfettoProtoExporter(ts.PerfettoFormat.JSON)
    assert exporter.export_to_file([kernel()], tmp_path / "any")
    assert json.loads((tmp_path / "any").read_text())["traceEvents"]
    assert ts.PerfettoProtoExporter.is_sdk_available()


# ---- The command


def test_the_command_writes_a_file_and_says_what_opens_it(
    cli: Callable[..., Any], tmp_path: Path, simulated: Path
) -> None:
    result = cli("export", simulated, "-o", tmp_path / "out.json", "--lean", "--no-flows")
    assert result.code == 0, result.err
    assert "ui.perfetto.dev" in result.out
    assert all(e["ph"] != "s" for e in json.loads((tmp_path / "out.json").read_text())["traceEvents"])
    again = cli("export", simulated, "-o", tmp_path / "out.json")
    assert again.code == 1 and "--force" in again.err
    forced = cli("export", simulated, "-o", tmp_path / "out.json", "--force", "--format", "json")
    assert forced.code == 0
    assert forced.data["written"] == forced.data["events"] > 0


def test_the_command_writes_to_standard_output(command: Callable[..., Any], simulated: Path) -> None:
    result = command("export", simulated, "-o", "-")
    assert result.code == 0, result.err
    assert json.loads(result.out)["traceEvents"]
    assert "events" in result.err


@pytest.mark.parametrize("words", [["-o", "out.abc"], ["-f", "gif"], ["-o", "-", "--format", "json"]])
def test_the_command_refuses_what_it_cannot_mean(
    cli: Callable[..., Any], simulated: Path, words: list[str]
) -> None:
    result = cli("export", simulated, *words)
    assert result.code == 2
    assert result.err.count("\n") == 1


def test_without_a_name_the_input_names_the_output(
    cli: Callable[..., Any], simulated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("export", simulated).code == 0
    assert os.listdir(tmp_path) == ["run.json"]
