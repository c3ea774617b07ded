"""Perfetto's own reader on our Chrome JSON: all slices, their sums and arrows, and no complaint."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import perfetto_check
import pytest
from perfetto_check import Reader

import tracesmith as ts

SLICES = "select name, category, count(*), sum(dur), min(ts) from slice group by name, category order by 1, 2"
ARROWS = """select a.name, b.name, count(*) from flow f join slice a on a.id = f.slice_out
    join slice b on b.id = f.slice_in group by 1, 2 order by 1, 2"""


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    yield from perfetto_check.reader()


def test_a_recording_of_our_own(reader: Reader, simulated: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with ts.open(simulated) as trace:
        ts.export_trace(trace, path)
        events = trace.events
    lies = np.isin(events["type"], [ts.EventType.Counter], invert=True)
    work = np.isin(events["type"], list(perfetto_check.WORK)) & (events["stream"] > 0)
    slices, counters, arrows = reader.query(
        path, "select count(*) from slice where dur >= 0", "select count(*) from counter", ARROWS
    )
    assert reader.complaints(path) == []
    assert slices == [(int(lies.sum()),)]
    assert counters == [(int((~lies).sum()),)]
    assert sum(count for *_, count in arrows) == int(work.sum()) > 1000
    total = reader.query(path, "select sum(dur) from slice where category in ('kernel', 'gpu_memcpy')")
    copies_and_kernels = work & (events["type"] != ts.EventType.MemsetDevice)
    assert total == [[(int(events["duration"][copies_and_kernels].sum()),)]]


def test_work_that_overlaps_on_a_stream_is_kept(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    kernels = [
        ts.TraceEvent(ts.EventType.KernelLaunch, i * 100, name="k", duration=950, stream_id=7)
        for i in range(300)
    ]
    ts.export_trace(kernels, path)
    assert reader.query(path, "select count(*), sum(dur) from slice") == [[(300, 300 * 950)]]
    assert reader.complaints(path) == []


def test_one_launch_of_a_graph_leads_to_all_its_kernels(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    call = ts.TraceEvent(
        ts.EventType.RuntimeCall, 0, name="cudaGraphLaunch", duration=5, thread_id=3, correlation_id=4
    )
    nodes = [
        ts.TraceEvent(ts.EventType.KernelLaunch, 100 * i, name="n", duration=9, stream_id=7, correlation_id=4)
        for i in range(1, 4)
    ]
    ts.export_trace([call, *nodes], path)
    assert reader.query(path, ARROWS) == [[("cudaGraphLaunch", "n", 3)]]


TRACES = ["hta_cp_alexnet", "hta_nccl", "tracelens_b200_eager", "tracelens_mi300_resnet"]


@pytest.mark.parametrize("name", TRACES)
def test_an_imported_trace_is_to_it_what_the_original_is(name: str, reader: Reader, tmp_path: Path) -> None:
    corpus = os.environ.get("TRACESMITH_CORPUS")
    if not corpus:
        pytest.skip("TRACESMITH_CORPUS does not say where the real traces are")
    original, ours = Path(corpus) / f"{name}.json.gz", tmp_path / "trace.json"
    with ts.open(original) as trace:
        ts.export_trace(trace, ours)
    assert json.loads(ours.read_text())["traceEvents"]
    assert reader.query(ours, SLICES, ARROWS) == reader.query(original, SLICES, ARROWS)
    assert reader.complaints(ours) == reader.complaints(original)
