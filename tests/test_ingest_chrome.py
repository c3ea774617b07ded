"""Chrome and Kineto JSON: everything that stood in the file can be read from the trace again."""

from __future__ import annotations

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chrome_oracle import Reader, differences, frozen, load, original
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracesmith as ts
from tracesmith import _core

DATA = Path(__file__).parent / "data" / "ingest"
GOOD = sorted((DATA / "good").iterdir())
EXPECTED = json.loads((DATA / "bad" / "EXPECTED.json").read_text())
CORPUS = os.environ.get("TRACESMITH_CORPUS")
TORCH = (
    "hta_cp_alexnet",
    "hta_nccl",
    "kineto_tb_resnet50",
    "tracelens_b200_eager",
    "tracelens_mi300_resnet",
    "tracelens_torch_compile",
)


def corpus(name: str) -> Path:
    if CORPUS is None:
        pytest.skip("TRACESMITH_CORPUS is not set: it names the folder of real traces")
    return Path(CORPUS) / f"{name}.json.gz"


def write(path: Path, content: Any) -> Path:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    return path


def imported(path: Path, content: Any) -> ts.Trace:
    return ts.open(write(path, content))


def read(path: Path, content: Any) -> list[dict[str, Any]]:
    """The events of a file as the oracle sees them after an import."""
    output = path.with_suffix(".sbt")
    ts.import_trace(write(path, content), output)
    return list(Reader(str(output)).events())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trace.json"


# ---- Nothing is lost -------------------------------------------------------------------------


def assert_lossless(path: Path, output: Path) -> None:
    report = ts.import_trace(path, output)
    events = load(path)["traceEvents"]
    assert differences(events, str(output)) == ([], [])
    counts: dict[str, int] = {}
    for event in events:
        name = "metadata" if event["ph"] == "M" else event.get("cat") or "(none)"
        counts[name] = counts.get(name, 0) + 1
    assert report.understood == counts
    assert report.skipped == [] and not report.truncated


@pytest.mark.parametrize("name", ["kineto.json", "kineto-2021.json"])
def test_every_event_of_a_fixture_comes_back(name: str, tmp_path: Path) -> None:
    assert_lossless(DATA / "good" / name, tmp_path / "out.sbt")


@pytest.mark.parametrize("name", TORCH)
def test_every_event_of_the_corpus_comes_back(name: str, tmp_path: Path) -> None:
    assert_lossless(corpus(name), tmp_path / "out.sbt")


@pytest.mark.parametrize("name", TORCH)
def test_an_import_is_small(name: str, tmp_path: Path) -> None:
    if not _core.zstd_available():
        pytest.skip("this build is without zstd")
    path = corpus(name)
    report = ts.import_trace(path, tmp_path / "out.sbt")
    if report.events > 10_000:
        assert (tmp_path / "out.sbt").stat().st_size <= path.stat().st_size / 3


def test_the_corpus_is_a_quarter_of_its_gzipped_size(tmp_path: Path) -> None:
    if not _core.zstd_available():
        pytest.skip("this build is without zstd")
    paths = [corpus(name) for name in TORCH]
    for path in paths:
        ts.import_trace(path, tmp_path / f"{path.name}.sbt")
    ours = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert ours <= sum(path.stat().st_size for path in paths) / 4


def test_members_of_the_file_are_kept_as_json(tmp_path: Path) -> None:
    ts.import_trace(DATA / "good" / "kineto.json", tmp_path / "out.sbt")
    notes = ts.open(tmp_path / "out.sbt").notes
    content = load(DATA / "good" / "kineto.json")
    for key, value in content.items():
        if key != "traceEvents":
            assert json.loads(notes[f"chrome:{key}"]) == value
    events = content["traceEvents"]
    kept = json.loads(notes["chrome:metadata"])
    assert [event["name"] for event in kept] == [event["name"] for event in events if event["ph"] == "M"]
    assert notes["clock"] == "unknown"
    assert json.loads(notes["chrome:flow"]) == ["ac2g", "ac2g"]


def test_members_called_like_our_own_notes_are_kept_beside_them(file: Path) -> None:
    metadata = {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "x"}}
    notes = imported(file, {"traceEvents": [metadata], "metadata": {"os": "Linux"}, "flow": 1}).notes
    assert json.loads(notes["chrome:metadata"]) == [metadata]
    assert json.loads(notes["chrome-member:metadata"]) == {"os": "Linux"}
    assert notes["chrome-member:flow"] == "1"


def test_absolute_times_are_known_as_such() -> None:
    assert ts.open(DATA / "good" / "kineto-2021.json").notes["clock"] == "unix"
    assert ts.open(DATA / "good" / "bare-and-cut.json").notes["clock"] == "unknown"


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(0, 100), st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", "12", "-1", "[1]", '{"', '"', "true", "null", "N/A", "\ud800"]
)
VALUES = st.recursive(
    NUMBERS | TEXTS | st.booleans() | st.none(), lambda x: st.lists(x, max_size=4), max_leaves=6
)
KEYS = st.text(max_size=12).filter(lambda key: not key.startswith("chrome:")) | st.sampled_from(
    ["correlation", "External id", "bytes", "grid", "block", "device", "stream", "context", "queued", "Bytes"]
    + ["memory bandwidth (GB/s)", "registers per thread", "shared memory", "Addr", "Total Allocated", "dtype"]
)
CATEGORIES = st.sampled_from(
    ["cpu_op", "kernel", "gpu_memcpy", "gpu_memset", "cuda_runtime", "cuda_sync", "python_function", "Kernel"]
    + ["user_annotation", "gpu_user_annotation", "overhead", "Trace", "", "something else"]
)
NAMES = TEXTS | st.sampled_from(
    ["ncclKernel", "cudaMalloc", "cuMemFree", "Memcpy DtoH", "[memory]", "Stream Sync"]
)
EVENTS = st.fixed_dictionaries(
    {
        "ph": st.sampled_from(["X", "X", "X", "X", "B", "E", "i", "b", "n", "?"]),
        "name": NAMES,
        "pid": st.integers(-2, 5),
        "tid": st.integers(-2, 5),
        "ts": st.integers(0, 10**12).map(lambda ns: ns / 1000),
    },
    optional={
        "cat": CATEGORIES,
        "dur": st.integers(0, 10**9).map(lambda ns: ns / 1000),
        "args": st.dictionaries(KEYS, VALUES, min_size=1, max_size=10),
        "s": st.sampled_from(["t", "g"]),
        "id": TEXTS,
    },
)
FLOWS = st.fixed_dictionaries(
    {
        "ph": st.sampled_from(["s", "t", "f"]),
        "name": st.sampled_from(["ac2g", "x"]),
        "cat": st.sampled_from(["ac2g", "y"]),
        "id": st.integers(1, 4),
        "pid": st.integers(0, 1),
        "tid": st.integers(0, 1),
        "ts": st.integers(0, 3),
    },
    optional={"bp": st.just("e")},
)


def comparable(event: dict[str, Any]) -> str:
    made = original(event)
    for key in ("ts", "dur"):
        if key in event:
            made[key] = round(event[key] * 1000)  # 12.345 * 1000 is not whole in binary
    if made.get("cat") == "":
        del made["cat"]
    return frozen(made)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(EVENTS | FLOWS, max_size=12), escape=st.booleans(), indent=st.sampled_from([None, 0, 3])
)
def test_any_event_comes_back(
    events: list[dict[str, Any]], escape: bool, indent: int | None, file: Path
) -> None:
    text = json.dumps({"traceEvents": events}, ensure_ascii=escape, indent=indent)
    found = read(file, text.encode("utf-8", "surrogatepass"))
    assert sorted(map(frozen, found)) == sorted(map(comparable, events))


# ---- Time ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        ("4458676522690.655", 4458676522690655),
        ("1623142623460111", 1623142623460111000),
        ("0", 0),
        ("0.001", 1),
        ("1.5", 1500),
        ("1.0004", 1000),
        ("1.0005", 1001),
        ("1.00049999999", 1000),
        ('"12.345"', 12345),
        ("1e3", 1000000),
        ("1.5E-1", 150),
        ("9007199254740993", 9007199254740993000),
        ("9000000000000000.999", 9000000000000000999),
    ],
)
def test_times_are_exact(file: Path, written: str, ns: int) -> None:
    trace = imported(file, b'[{"ph":"X","name":"a","ts":%b,"dur":%b}]' % (written.encode(), written.encode()))
    assert trace.events["timestamp"].tolist() == [ns]
    assert trace.events["duration"].tolist() == [ns]


def test_events_come_out_sorted(file: Path) -> None:
    times = np.random.default_rng(1).permutation(10_000)
    trace = imported(file, [{"ph": "X", "name": "a", "ts": int(t), "dur": 1} for t in times])
    assert (np.diff(trace.events["timestamp"].astype(np.int64)) >= 0).all()


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"ph": "X", "name": "a"}, "no timestamp"),
        ({"ph": "X", "name": "a", "ts": "soon"}, "no timestamp"),
        ({"ph": "X", "name": "a", "ts": -1}, "before time 0"),
        ({"name": "a", "ts": 1}, "no phase"),
        ({"ph": "C", "name": "a", "ts": 1, "args": {"b": "c"}}, "a counter without numbers"),
        ([], "not an object"),
    ],
)
def test_what_is_skipped_is_told(file: Path, event: Any, reason: str) -> None:
    trace = imported(file, [{"ph": "X", "name": "kept", "ts": 1, "dur": 1}, event])
    assert trace.imported is not None
    assert trace.imported.skipped == [("(none)", reason, 1)]
    assert len(trace) == 1


@pytest.mark.parametrize("duration", [-5, -0.001, "long", None])
def test_a_duration_that_is_none_is_kept_beside(file: Path, duration: Any) -> None:
    trace = imported(file, [{"ph": "X", "name": "a", "ts": 1, "dur": duration}])
    assert trace.events["duration"].tolist() == [0]
    assert trace.metadata_of(int(trace.events["extra"][0]))["chrome:dur"] == (
        duration if isinstance(duration, str) else json.dumps(duration)
    )


# ---- What an event is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "name", "kind"),
    [
        ("cpu_op", "aten::mm", "CpuOp"),
        ("Operator", "aten::mm", "CpuOp"),
        ("cuda_runtime", "cudaLaunchKernel", "RuntimeCall"),
        ("cuda_driver", "cuLaunchKernelEx", "RuntimeCall"),
        ("Runtime", "hipStreamSynchronize", "StreamSync"),
        ("cuda_runtime", "cudaStreamSynchronize", "StreamSync"),
        ("cuda_runtime", "cudaDeviceSynchronize", "DeviceSync"),
        ("cuda_driver", "cuCtxSynchronize", "DeviceSync"),
        ("cuda_runtime", "cudaEventSynchronize", "EventSync"),
        ("cuda_runtime", "cudaEventRecordWithFlags", "EventRecord"),
        ("cuda_runtime", "cudaStreamWaitEvent", "EventWait"),
        ("cuda_runtime", "hipMalloc", "MemAlloc"),
        ("cuda_driver", "cuMemAlloc_v2", "MemAlloc"),
        ("cuda_runtime", "cudaFreeHost", "MemFree"),
        ("cuda_runtime", "cudaMemcpyAsync", "RuntimeCall"),
        ("kernel", "void gemm<float>(float*)", "KernelLaunch"),
        ("kernel", "hipblas_gemm", "KernelLaunch"),
        ("kernel", "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgs)", "Communication"),
        ("Kernel", "ncclKernel_AllGather_RING_LL_Sum_int8_t(ncclWorkElem)", "Communication"),
        ("kernel", "void vllm::cross_device_reduce_1stage<__half, 2>(vllm::RankData*)", "Communication"),
        (
            "kernel",
            "void c10d::(anonymous namespace)::one_shot_all_reduce_kernel<float>(int)",
            "Communication",
        ),
        ("kernel", "triton_poi_fused_add_all_reduce_0", "KernelLaunch"),
        ("kernel", "void f<nccl::Tag, all_reduce>(int)", "KernelLaunch"),
        ("kernel", "void add(ncclArgs)", "KernelLaunch"),
        ("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", "MemcpyH2D"),
        ("Memcpy", "Memcpy DtoH (Device -> Pageable)", "MemcpyD2H"),
        ("gpu_memcpy", "Memcpy DtoD (Device -> Device)", "MemcpyD2D"),
        ("gpu_memcpy", "Memcpy PtoP (Device -> Device)", "MemcpyP2P"),
        ("gpu_memset", "Memset (Device)", "MemsetDevice"),
        ("user_annotation", "ProfilerStep#3", "Range"),
        ("gpu_user_annotation", "ProfilerStep#3", "Range"),
        ("python_function", "a.py(1): f", "PythonCall"),
        ("overhead", "Buffer Flush", "Overhead"),
        ("cuda_sync", "Stream Wait Event", "EventWait"),
        ("cuda_sync", "Context Sync", "DeviceSync"),
        ("Trace", "PyTorch Profiler (0)", "Custom"),
        ("somebody's", "f", "Range"),
    ],
)
def test_types(file: Path, category: str, name: str, kind: str) -> None:
    trace = imported(
        file, [{"ph": "X", "cat": category, "name": name, "pid": 0, "tid": 7, "ts": 1, "dur": 1}]
    )
    assert ts.EventType(int(trace.events["type"][0])).name == kind
    on_stream = category.lower() in (
        "kernel",
        "gpu_memcpy",
        "memcpy",
        "gpu_memset",
        "gpu_user_annotation",
        "cuda_sync",
    )
    assert (trace.events["stream"][0] != 0) == on_stream
    assert (trace.events["thread"][0] == 0) == on_stream


def kineto(tmp_path: Path) -> ts.Trace:
    return ts.open(DATA / "good" / "kineto.json")


def named(trace: ts.Trace, prefix: str) -> Any:
    """The event whose name begins so."""
    return next(event for event in trace.events.array if trace.text(int(event["name"])).startswith(prefix))


def test_work_belongs_to_the_thread_and_process_that_launched_it(tmp_path: Path) -> None:
    trace = kineto(tmp_path)
    kernel, call = named(trace, "void gemm"), named(trace, "cudaLaunchKernel")
    assert kernel["thread"] == call["thread"] != 0
    stream = trace.streams[kernel["stream"]]
    assert stream["process"] == trace.threads[call["thread"]]["process"] != 0
    assert (stream["raw_id"], stream["context"]) == (7, 1)
    assert kernel["correlation"] == call["correlation"] == 77
    process = trace.processes[stream["process"]]
    assert (process["pid"], trace.text(process["name"])) == (100, "python3")
    assert trace.text(trace.threads[call["thread"]]["name"]) == "thread 100 (python3)"


def test_devices_have_their_properties(tmp_path: Path) -> None:
    trace = kineto(tmp_path)
    device = trace.devices[named(trace, "void gemm")["device"]]
    assert trace.text(device["name"]) == "NVIDIA H100"
    assert trace.text(device["vendor"]) == "NVIDIA"
    assert (device["ordinal"], device["multiprocessors"], device["compute_major"]) == (0, 132, 9)
    assert device["memory_bytes"] == 85029158912


def test_launch_shapes_and_their_constants(tmp_path: Path) -> None:
    trace = kineto(tmp_path)
    shape = trace.launches[named(trace, "void gemm")["extra"]]
    assert (shape["grid_x"], shape["block_x"], shape["registers"], shape["shared_dynamic"]) == (
        50,
        256,
        32,
        1024,
    )
    constants = trace.metadata_of(int(shape["metadata"]))
    assert constants["blocks per SM"] == "0.625"
    assert constants["est. achieved occupancy %"] == "0"


def test_collectives_tell_bytes_and_ranks(tmp_path: Path) -> None:
    trace = kineto(tmp_path)
    assert trace.extensions("collective")[["bytes", "ranks"]].tolist() == [(4000, 2)]


def test_allocations_have_an_address(tmp_path: Path) -> None:
    trace = kineto(tmp_path)
    found = trace.extensions("allocation")
    assert found[["address", "in_use"]].tolist() == [(140112473391104, 2048)]
    event = trace.events.array[int(found["row"][0])]
    assert (ts.EventType(int(event["type"])).name, event["value"]) == ("MemFree", 512)
    assert trace.devices[event["device"]]["ordinal"] == 0 and event["device"] != 0


@pytest.mark.parametrize("key", ["graph id", "graph node id"])
@pytest.mark.parametrize(("value", "flagged"), [(0, False), (7, True)])
def test_nodes_of_graphs_are_flagged(file: Path, key: str, value: int, flagged: bool) -> None:
    event = {
        "ph": "X",
        "cat": "kernel",
        "name": "k",
        "pid": 0,
        "tid": 7,
        "ts": 1,
        "dur": 1,
        "args": {key: value},
    }
    assert bool(imported(file, [event]).events["flags"][0] & 0x200) == flagged


def test_flows_that_come_late_find_their_event(file: Path) -> None:
    call = {"ph": "X", "cat": "cuda_runtime", "name": "c", "pid": 1, "tid": 1, "ts": 5, "dur": 1}
    events: list[dict[str, Any]] = [call | {"args": {"correlation": number}} for number in (7, 8)]
    events.append({"ph": "X", "cat": "cpu_op", "name": "o", "pid": 1, "tid": 1, "ts": 9, "dur": 1})
    flow = {"name": "ac2g", "cat": "ac2g", "pid": 1, "tid": 1, "ts": 5}
    events += [
        flow | {"ph": "s", "id": 7},
        flow | {"ph": "f", "id": 8, "bp": "e"},
        flow | {"ph": "s", "id": 9},
    ]
    trace = imported(file, {"traceEvents": events})
    assert (trace.events["flags"] & 0x180).tolist() == [0x80, 0x100, 0]
    assert len(trace.extensions("flow")) == 1
    assert sorted(map(frozen, read(file, events))) == sorted(map(comparable, events))


def test_counters(file: Path) -> None:
    counter = {"ph": "C", "name": "memory", "ts": 1, "pid": 1, "args": {"used": 3, "free": 4.5, "value": 1}}
    trace = imported(file, [counter])
    values = trace.events["value"].view(np.float64).tolist()
    names = [trace.text(int(trace.counters[row]["name"])) for row in trace.events["extra"]]
    assert sorted(zip(names, values, strict=True)) == [
        ("memory", 1.0),
        ("memory free", 4.5),
        ("memory used", 3.0),
    ]


# ---- What no standard allows and files hold all the same ---------------------------------------

ONE = b'{"ph":"X","name":"a","ts":1,"dur":2,"pid":1,"tid":1}'


@pytest.mark.parametrize(
    ("content", "events", "truncated"),
    [
        (b"[" + ONE + b"]", 1, False),
        (b"\xef\xbb\xbf[" + ONE + b"]", 1, False),
        (b"[]", 0, False),
        (b"{}", 0, False),
        (b'{"traceEvents":[]}', 0, False),
        (b"[" + ONE + b",]", 1, False),
        (b"[" + ONE + b"," + ONE, 2, True),
        (b"[" + ONE + b",", 1, True),
        (b"[" + ONE + b"," + ONE[:30], 1, True),
        (b"[", 0, True),
        (b'{"traceEvents":[' + ONE, 1, True),
        (b'{"traceEvents":[' + ONE + b"]", 1, True),
        (b'{"traceEvents":[' + ONE + b'],"a', 1, True),
        (b'{"other":{"a":[1,2,{}]},"traceEvents":[' + ONE + b'],"more":"b"}', 1, False),
        (b'{"traceEvents":[' + ONE + b'],"traceEvents":[' + ONE + b"]}", 2, False),
        (b"[" + ONE.replace(b'"a"', b'"a\x01\n\tb"') + b"]", 1, False),
        (b"[" + ONE.replace(b"}", b',"args":{"a":NaN,"b":Infinity,"c":N/A,"d":-Infinity}}') + b"]", 1, False),
        (b"[" + ONE.replace(b"}", b',"args":null}') + b"]", 1, False),
        (b"[" + ONE.replace(b"}", b',"args":{}}') + b"]", 1, False),
        (b" \r\n\t[ " + ONE + b" ] \n", 1, False),
    ],
)
def test_what_is_read_of_odd_files(file: Path, content: bytes, events: int, truncated: bool) -> None:
    trace = imported(file, content)
    assert trace.imported is not None
    assert (len(trace), trace.imported.truncated) == (events, truncated)


def test_cut_anywhere_it_gives_the_events_before_the_cut(file: Path) -> None:
    data = (DATA / "good" / "kineto.json").read_bytes()
    whole = len(ts.open(DATA / "good" / "kineto.json"))
    counts = []
    for size in range(2, len(data), 37):
        trace = imported(file, data[:size])
        assert trace.imported is not None and trace.imported.truncated
        counts.append(len(trace))
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == whole


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_gzip_gives_what_is_whole(file: Path, share: float) -> None:
    events = [{"ph": "X", "name": f"n{i}", "ts": i, "dur": 1} for i in range(20_000)]
    packed = gzip.compress(json.dumps(events).encode())
    trace = imported(file, packed[: int(len(packed) * share)])
    assert trace.imported is not None and trace.imported.truncated
    assert 0 < len(trace) < len(events) + 1
    assert trace.events["timestamp"].tolist() == [i * 1000 for i in range(len(trace))]


def test_gzip_streams_in_a_row_are_one_file(file: Path) -> None:
    trace = imported(file, gzip.compress(b"[" + ONE + b",") + gzip.compress(ONE + b"]") + b"\0\0\0")
    assert len(trace) == 2 and trace.imported is not None and not trace.imported.truncated


def test_strings_of_any_bytes(file: Path) -> None:
    names = [
        b"\xff\xfe",
        b'\\"\\\\\\/\\b',
        b"\\ud83d\\ude00",
        b"\\ud800",
        b"\\udc00x",
        b"\\u12",
        b"\\q",
        "é".encode(),
        b"\x7f",
    ]
    content = b",".join(b'{"ph":"X","ts":%d,"name":"%b"}' % (i, name) for i, name in enumerate(names))
    trace = imported(file, b"[" + content + b"]")
    found = [trace.text(int(row)).encode("utf-8", "surrogateescape") for row in trace.events["name"]]
    assert found == [
        b"\xff\xfe",
        b'"\\/\b',
        "😀".encode(),
        b"\xed\xa0\x80",
        b"\xed\xb0\x80x",
        b"\\u12",
        b"\\q",
        "é".encode(),
        b"\x7f",
    ]


def test_a_second_value_of_a_key_wins(file: Path) -> None:
    args = b'{"n":1,"s":"x","n":2,"s":"y","m":1,"m":"z"}'
    content = b'[{"ph":"X","ts":1,"dur":1,"name":"a","name":"b","args":%b}]' % args
    (found,) = read(file, content)
    assert found["name"] == "b"
    assert found["args"] == {"n": 2, "s": "y", "m": "z"}


def test_numbers_keep_what_they_are(file: Path) -> None:
    numbers = b'{"a":0,"b":0.0,"c":-0.0,"d":1e3,"e":18446744073709551616,"f":-9223372036854775808,"g":1e-320}'
    (found,) = read(file, b'[{"ph":"X","ts":1,"dur":1,"args":%b}]' % numbers)
    assert {key: repr(value) for key, value in found["args"].items()} == {
        key: repr(value) for key, value in json.loads(numbers).items()
    }
    assert math.copysign(1, found["args"]["c"]) == -1


def test_a_megabyte_in_one_name(file: Path) -> None:
    name = "n" * (3 << 20)
    trace = imported(
        file, [{"ph": "X", "name": name, "ts": 1, "dur": 1}, {"ph": "X", "name": "b", "ts": 2, "dur": 1}]
    )
    assert [trace.text(int(row)) for row in trace.events["name"]] == [name, "b"]


@pytest.mark.parametrize("pid", ["", "Spans", "12", None, 1.5, [1], -1, 2**63 - 1])
@pytest.mark.parametrize("tid", ["", "stream 7", "main", None, {"a": 1}, -1])
def test_pids_and_tids_of_any_kind(file: Path, pid: Any, tid: Any) -> None:
    trace = imported(file, [{"ph": "X", "name": "a", "ts": 1, "dur": 1, "pid": pid, "tid": tid}])
    thread = trace.threads[trace.events["thread"][0]]
    process = trace.processes[thread["process"]]
    if isinstance(pid, int):
        assert int(process["pid"]) == pid % 2**64
    if pid == "Spans":
        assert (process["pid"], trace.text(process["name"])) == (0, "Spans")
    if tid == "main":
        assert (thread["tid"], trace.text(thread["name"])) == (0, "main")
    assert thread["tid"] == 7 if tid == "stream 7" else True


def test_many_streams_categories_and_arguments(file: Path) -> None:
    events = [
        {"ph": "X", "cat": f"c{i}", "name": "a", "ts": i, "dur": 1, "pid": i, "tid": i, "args": {f"k{i}": i}}
        for i in range(3000)
    ]
    trace = imported(file, events)
    assert len(trace.threads) == 3001 and trace.imported is not None
    assert sum(trace.imported.understood.values()) == 3000
    assert trace.imported.understood["other"] == 3000 - 62
    assert trace.imported.skipped == []
    unheard = [{"ph": "X", "name": "a"}] * 5
    told = imported(file, events + unheard).imported
    assert told is not None and told.skipped == [("other", "for several reasons", 5)]
    assert sorted(map(frozen, read(file, events))) == sorted(map(comparable, events))


# ---- Refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_bad_file_is_refused_where_it_is_bad(name: str) -> None:
    with pytest.raises(getattr(ts, EXPECTED[name]["exception"])) as caught:
        ts.open(DATA / "bad" / name)
    assert caught.value.offset == EXPECTED[name]["offset"], str(caught.value)
    assert name in str(caught.value)


def test_every_bad_file_is_expected_and_made_by_the_script(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DATA / "make_bad.py", tmp_path], check=True)
    assert {path.name for path in (DATA / "bad").iterdir()} == {*EXPECTED, "EXPECTED.json"}
    for name in [*EXPECTED, "EXPECTED.json"]:
        assert (tmp_path / name).read_bytes() == (DATA / "bad" / name).read_bytes(), name


def test_a_refused_import_leaves_the_output_alone(tmp_path: Path) -> None:
    output = tmp_path / "out.sbt"
    output.write_bytes(b"mine")
    with pytest.raises(ts.CorruptError):
        ts.import_trace(DATA / "bad" / "no-colon.json", output)
    assert output.read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out.sbt"]


def test_what_is_not_there_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ts.open(tmp_path / "absent.json")
    with pytest.raises(IsADirectoryError):
        ts.open(tmp_path)


def test_an_import_can_be_stopped(file: Path) -> None:
    write(file, [{"ph": "X", "name": "a", "ts": 1, "dur": 1}] * 20_000)
    progress = np.array([0, 0, 1], np.uint64)
    with pytest.raises(ts.StateError):
        ts.import_trace(file, file.with_suffix(".sbt"), progress=progress)
    assert progress[1] == file.stat().st_size


def test_ctrl_c_stops_an_import(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracesmith.ingest._SMALL", 0)
    event = b'{"ph":"X","name":"a","ts":1,"dur":1},'
    write(file, b"[" + event * 2_000_000 + event[:-1] + b"]")
    threading.Timer(0.05, lambda: signal.raise_signal(signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        ts.import_trace(file, file.with_suffix(".sbt"))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_long_import_fails_as_a_short_one_does(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracesmith.ingest._SMALL", 0)
    with pytest.raises(ts.CorruptError):
        ts.import_trace(DATA / "bad" / "no-colon.json", file.with_suffix(".sbt"))
    assert ts.import_trace(DATA / "good" / "kineto.json", file.with_suffix(".sbt")).events > 10


# ---- The surface -----------------------------------------------------------------------------


def test_a_foreign_file_opens_like_any_trace() -> None:
    with ts.open(DATA / "good" / "kineto.json") as trace:
        assert trace.path == str(DATA / "good" / "kineto.json")
        assert trace.imported is not None
        assert trace.imported.format == "Chrome or Kineto JSON"
        assert trace.imported.understood["kernel"] == 2
        assert len(trace[: int(trace.events["timestamp"][3])]) >= 3
        assert sum(len(events) for events in trace.blocks()) == len(trace)


def test_nothing_stays_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tracesmith.ingest._SMALL", 0)
    trace = ts.open(DATA / "good" / "kineto.json")
    assert len(trace.events) > 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_formats_are_told_by_content(path: Path, tmp_path: Path) -> None:
    nameless = tmp_path / "nameless"
    nameless.write_bytes(gzip.compress(path.read_bytes()))
    assert ts.recognize(nameless) == ts.recognize(path) == "Chrome or Kineto JSON"


def test_threads_can_import_at_once(tmp_path: Path) -> None:
    results: list[int] = []
    source = DATA / "good" / "kineto.json"
    threads = [
        threading.Thread(
            target=lambda i=i: results.append(ts.import_trace(source, tmp_path / f"{i}.sbt").events)
        )
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 1 and len(results) == 4


def test_import_says_what_it_understood(cli: Callable, tmp_path: Path) -> None:
    output = tmp_path / "out.sbt"
    result = cli("import", DATA / "good" / "kineto.json", "-o", output)
    assert result.code == 0 and result.err == ""
    assert "Chrome or Kineto JSON" in result.out and "cuda_runtime" in result.out
    assert len(ts.open(output)) == ts.import_trace(DATA / "good" / "kineto.json", tmp_path / "b.sbt").events
    again = cli("import", DATA / "good" / "kineto.json", "-o", output)
    assert again.code == 1 and "-f" in again.err
    assert cli("import", DATA / "good" / "kineto.json", "-o", output, "-f", "--compression", "none").code == 0


def test_import_in_one_envelope(cli: Callable, tmp_path: Path) -> None:
    result = cli(
        "import", DATA / "good" / "bare-and-cut.json", "-o", tmp_path / "out.sbt", "--format", "json"
    )
    assert result.data["truncated"] is True
    assert result.data["understood"] == {"(none)": 5, "net": 1}
    assert result.data["events"] == 6


def test_import_names_its_output_after_the_file(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.pt.trace.json.gz").write_bytes(gzip.compress(b"[]"))
    assert cli("import", "run.pt.trace.json.gz").code == 0
    assert (tmp_path / "run.sbt").exists()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_import_refuses_in_one_line(cli: Callable, tmp_path: Path, name: str) -> None:
    result = cli("import", DATA / "bad" / name, "-o", tmp_path / "out.sbt")
    assert result.code == 1 and result.err.count("\n") == 1
    assert not (tmp_path / "out.sbt").exists()


def test_import_refuses_what_is_ours(cli: Callable, tmp_path: Path) -> None:
    ts.import_trace(DATA / "good" / "kineto.json", tmp_path / "a.sbt")
    result = cli("import", tmp_path / "a.sbt", "-o", tmp_path / "b.sbt")
    assert result.code == 1 and "already" in result.err


def test_info_tells_what_a_foreign_file_is(cli: Callable) -> None:
    result = cli("info", DATA / "good" / "kineto.json")
    assert result.code == 0
    assert "Chrome or Kineto JSON" in result.out
