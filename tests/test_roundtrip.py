"""Torch's JSON → SBT → our JSON: every event comes out as it went in, and not a nanosecond moves.

Compared event by event: ph, cat, name, pid, tid, ts, dur, args, id, bp and s, numbers as exact
decimals. One thing is normalised, as docs/events.md says: readers want integers for pid and tid, so a
text that ends in a number is that number, an empty one is 0, and any other gets a number of its own
and an 'M' event that names it. The order of events is free, and so is that of arguments.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import tracesmith as ts

TRACES = [
    "hta_cp_alexnet",
    "hta_nccl",
    "kineto_tb_resnet50",
    "tracelens_b200_eager",
    "tracelens_mi300_resnet",
    "tracelens_torch_compile",
]
MADE_UP = range(1 << 29, 1 << 30)
EVENTS = "traceEvents"


def load(path: Path) -> Any:
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return json.load(file, parse_float=Decimal)


def exact(value: Any, times: bool = True) -> Any:
    """Something that is equal for equal JSON values only: 1 and 1.0 are equal, 1 and true are not.
    Times are exact decimals; what else is no integer is a double, as readers have it."""
    kind = type(value)
    if kind is dict:
        return ("object", *sorted((key, exact(member, times)) for key, member in value.items()))
    if kind is list:
        return ("list", *[exact(member, times) for member in value])
    if kind is Decimal and not times:
        return float(value)
    return value if kind in (int, Decimal, str) else (kind.__name__, value)


def number_of(text: str) -> int | None:
    digits = text[len(text.rstrip("0123456789")) :]
    return int(digits) if digits else 0 if text == "" else None


def is_made_up(event: dict[str, Any]) -> bool:
    """Does it say what one of our numbers stands for?"""
    number = event["pid"] if event["name"] == "process_name" else event["tid"]
    return event["ph"] == "M" and event["ts"] == 0 and number in MADE_UP


def texts_of(events: list[dict[str, Any]]) -> dict[Any, str]:
    """pid → text, (pid, tid) → text."""
    named: dict[Any, str] = {}
    for event in filter(is_made_up, events):
        key = event["pid"] if event["name"] == "process_name" else (event["pid"], event["tid"])
        named[key] = event["args"]["name"]
    return named


def told(event: dict[str, Any], texts: dict[Any, str]) -> Any:
    pid, tid = event["pid"], event["tid"]
    if isinstance(pid, str):
        pid = pid if number_of(pid) is None else number_of(pid)
    if isinstance(tid, str):
        tid = tid if number_of(tid) is None else number_of(tid)
    pid, tid = texts.get(pid, pid), texts.get((event["pid"], tid), tid)
    rest = {key: event.get(key) for key in ("ph", "cat", "name", "ts", "dur", "id", "bp", "s")}
    return (pid, tid, exact(rest), exact(event.get("args") or {}, times=False))


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    texts = texts_of(after[EVENTS])
    kept = [event for event in after[EVENTS] if not is_made_up(event)]
    assert len(after[EVENTS]) - len(kept) == len(texts)
    wanted = Counter(told(event, {}) for event in before[EVENTS])
    found = Counter(told(event, texts) for event in kept)
    missing, extra = wanted - found, found - wanted
    assert not missing and not extra, f"{missing.total()} missing, {extra.total()} extra: " + "\n".join(
        map(str, [*list(missing)[:3], *list(extra)[:3]])
    )
    assert all(isinstance(e["pid"], int) and isinstance(e["tid"], int) for e in after[EVENTS])
    members = set(before) - {EVENTS}
    assert set(after) - {EVENTS} == members
    for member in members:
        assert exact(after[member], times=False) == exact(before[member], times=False), member


def there_and_back(path: Path, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    ts.import_trace(path, tmp_path / "there.sbt")
    with ts.open(tmp_path / "there.sbt") as trace:
        ts.export_trace(trace, tmp_path / "back.json")
    return load(path), load(tmp_path / "back.json")


@pytest.mark.parametrize("name", TRACES)
def test_a_real_torch_trace_comes_out_as_it_went_in(name: str, tmp_path: Path) -> None:
    corpus = os.environ.get("TRACESMITH_CORPUS")
    if not corpus:
        pytest.skip("TRACESMITH_CORPUS does not say where the real traces are")
    assert_same(*there_and_back(Path(corpus) / f"{name}.json.gz", tmp_path))


# ---- The same, small and always

GPU = {"pid": 0, "tid": 7}
CPU = {"pid": 4711, "tid": 4711}
KERNEL_ARGS = {
    "External id": 5, "queued": 0, "device": 0, "context": 1, "stream": 7, "correlation": 9,
    "registers per thread": 32, "shared memory": 0, "blocks per SM": 0.14814815, "warps per SM": 1.1851852,
    "grid": [16, 1, 1], "block": [256, 1, 1], "est. achieved occupancy %": 2,
}  # fmt: skip


def event(ph: str, name: str, ts: Any, **more: Any) -> dict[str, Any]:
    return {"ph": ph, "name": name, "ts": ts} | more


NEW = [
    event("X", "k<int>", Decimal("1000.123"), dur=Decimal("2.080"), cat="kernel", args=KERNEL_ARGS, **GPU),
    event("f", "ac2g", Decimal("1000.123"), id=9, cat="ac2g", bp="e", **GPU),
    event("X", "cudaLaunchKernel", Decimal("990.000"), dur=Decimal("4.321"), cat="cuda_runtime",
          args={"External id": 5, "cbid": 211, "correlation": 9}, **CPU),
    event("s", "ac2g", Decimal("990.000"), id=9, cat="ac2g", **CPU),
    event("X", "Memcpy HtoD (Pageable -> Device)", Decimal("1010"), dur=Decimal("3.000"), cat="gpu_memcpy",
          args={"External id": 6, "device": 0, "context": 1, "stream": 7, "correlation": 10, "bytes": 4096,
                "memory bandwidth (GB/s)": 1.3653333333333333}, **GPU),
    event("X", "Memset (Device)", Decimal("1020.5"), dur=0, cat="gpu_memset",
          args={"device": 0, "context": 1, "stream": 7, "correlation": 0, "bytes": 0,
                "memory bandwidth (GB/s)": 0}, **GPU),
    event("X", "aten::mm", 980, dur=Decimal("30"), cat="cpu_op",
          args={"External id": 5, "Ev Idx": 0, "Input Dims": [[1, 2], []], "Concrete Inputs": ["", "1.5"],
                "Sequence number": -1, "text": 'quote " \\ \n \u00e9 \U0001f680', "odd": "[1, 2",
                "digits": "12", "none": None, "yes": True, "float": 1.0, "big": 2**63 + 5,
                "deep": {"a": [1]}}, **CPU),
    event("s", "fwdbwd", 980, id=3, cat="fwdbwd", **CPU),
    event("f", "fwdbwd", 985, id=3, cat="fwdbwd", bp="e", **CPU),
    event("X", "backward", 985, dur=1, cat="cpu_op", **CPU),
    event("i", "[memory]", 981, s="t", cat="cpu_instant_event",
          args={"Total Reserved": 10, "Total Allocated": 8, "Bytes": -512, "Addr": 140000000000000,
                "Device Id": 0, "Device Type": 1, "Ev Idx": 4}, **CPU),
    event("X", "python", 970, dur=100, cat="python_function",
          args={"Python id": 1, "Python parent id": None, "Ev Idx": 9}, **CPU),
    event("X", "ProfilerStep#3", 960, dur=200, cat="user_annotation", args={"External id": 1}, **CPU),
    event("X", "ProfilerStep#3", 999, dur=100, cat="gpu_user_annotation", args={"External id": 1}, **GPU),
    event("X", "Activity Buffer Request", 900, dur=5, cat="overhead", pid=-1, tid=0),
    event("X", "Stream Sync", 1030, dur=5, cat="cuda_sync", pid=0, tid=-1,
          args={"cuda_sync_kind": "Stream Sync", "stream": -1, "device": 0, "context": 1, "correlation": 11}),
    event("X", "", 1040, dur=1, cat="cpu_op", pid=4711, tid=-549452224),
    event("M", "process_name", 900, pid=4711, tid=0, args={"name": "python"}),
    event("M", "process_name", 900, pid=0, tid=0, args={"name": "python"}),
    event("M", "process_labels", 900, pid=5, tid=0, args={"labels": "GPU 5"}),
    event("M", "thread_name", 900, pid=0, tid=7, args={"name": "stream 7 "}),
    event("M", "process_sort_index", 900, pid="Spans", tid=0, args={"sort_index": 536870912}),
    event("X", "PyTorch Profiler (0)", 900, dur=500, cat="Trace", pid="Spans", tid="PyTorch Profiler",
          args={"Op count": 0}),
    event("i", "Iteration Start: PyTorch Profiler", 900, s="g", pid="Traces", tid="Trace PyTorch Profiler"),
    event("i", "Record Window End", 1400, s="g", pid="", tid=""),
]  # fmt: skip

OLD = [
    event("X", "k", 1623142623460111, dur=25, cat="Kernel", pid=0, tid="stream 7",
          args={"device": 0, "context": 1, "stream": 7, "correlation": 4, "external id": 2,
                "registers per thread": 16, "shared memory": 64, "grid": [1, 2, 3], "block": [4, 5, 6]}),
    event("f", "launch", 1623142623460111, id=4, cat="async", bp="e", pid=0, tid="stream 7"),
    event("X", "cudaLaunchKernel", 1623142623460100, dur=3, cat="Runtime", pid=25738, tid="25738",
          args={"cbid": 211, "correlation": 4, "external id": 2, "external ts": 1623142623460100}),
    event("s", "launch", 1623142623460100, id=4, cat="async", pid=25738, tid="25738"),
    event("i", "[memory]", 1623142623460101, s="t", pid=25738, tid="25738",
          args={"Device Type": 0, "Device Id": -1, "Bytes": 0}),
    event("M", "thread_name", 1623142623460016, pid=25738, tid="25738", args={"name": "thread (python)"}),
]  # fmt: skip


class Plain(json.JSONEncoder):
    """Decimals as they are."""

    def default(self, value: Any) -> Any:
        return float(value)


def written(tmp_path: Path, trace: dict[str, Any]) -> Path:
    path = tmp_path / "before.json"
    path.write_text(json.dumps(trace, cls=Plain, indent=1))
    return path


def test_todays_schema_comes_out_as_it_went_in(tmp_path: Path) -> None:
    members = {
        "schemaVersion": 1,
        "deviceProperties": [{"id": 0, "name": 'NVIDIA "H100"', "numSms": 132, "unknown": {"x": [1.5]}}],
        "distributedInfo": {"backend": "nccl", "rank": 3, "world_size": 8},
        "displayTimeUnit": "ms",
        "baseTimeNanoseconds": 1711964646000000000,
        "traceName": 'a:b "c".json',
    }
    before, after = there_and_back(written(tmp_path, members | {EVENTS: NEW}), tmp_path)
    assert_same(before, after)
    assert '"rank": 3' in (tmp_path / "back.json").read_text()


def test_the_schema_of_2021_comes_out_as_it_went_in(tmp_path: Path) -> None:
    assert_same(*there_and_back(written(tmp_path, {"schemaVersion": 1, EVENTS: OLD}), tmp_path))


def test_a_bare_list_has_the_same_events(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_text(json.dumps(NEW, cls=Plain))
    before, after = there_and_back(path, tmp_path)
    assert_same({EVENTS: before}, {EVENTS: after[EVENTS]})


def test_twice_there_and_back_is_once(tmp_path: Path) -> None:
    path = written(tmp_path, {"schemaVersion": 1, EVENTS: NEW})
    there_and_back(path, tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    first, second = there_and_back(tmp_path / "back.json", again)
    texts = texts_of(first[EVENTS])
    assert Counter(told(e, texts) for e in first[EVENTS]) == Counter(
        told(e, texts_of(second[EVENTS])) for e in second[EVENTS]
    )
