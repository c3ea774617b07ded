"""The Perfetto export: what Perfetto's own reader finds in it is what was in the trace."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import perfetto_check
import pytest
from perfetto_check import (
    BYTES,
    COUNTER,
    COUNTER_ROW,
    LAUNCH,
    METADATA,
    Maker,
    Reader,
    add_gpu,
    add_thread,
    summary,
    write,
)

import tracesmith as ts
from tracesmith import EventType

U64, I64, F64, HEX, REF = range(5)
WORK = perfetto_check.WORK
BASE = perfetto_check.BASE


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    yield from perfetto_check.reader()


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "trace.sbt")


def test_the_simulated_run(reader: Reader, simulated: Path, tmp_path: Path) -> None:
    trace = ts.open(simulated)
    events = trace.events
    device = np.isin(events["type"], list(WORK)) & (events["stream"] > 0)
    host = ~device & (events["type"] != EventType.Counter)
    for options in ({}, {"lean": True}, {"compress": True}, {"lean": True, "compress": True}):
        path = write(trace, tmp_path, **options)
        work, slices, flows, streams, launches = reader.query(
            path,
            "select name, count(*), sum(dur), min(ts), max(ts) from gpu_slice group by name",
            "select name, category, count(*), sum(dur), min(ts), max(ts) from slice"
            " where id not in (select id from gpu_slice) group by name, category",
            "select count(*), sum(t.ts >= s.ts) from flow f join slice s on s.id = f.slice_out"
            " join gpu_slice t on t.id = f.slice_in",
            "select distinct extract_arg(arg_set_id, 'device'), extract_arg(arg_set_id, 'stream')"
            " from gpu_slice",
            "select count(distinct extract_arg(arg_set_id, 'launch.grid_size.x')) from gpu_slice",
        )
        assert reader.complaints(path) == []
        assert sorted(work) == summary(events, device, kinds=False)
        assert sorted(slices) == summary(events, host, kinds=True)
        launched = np.isin(events["correlation"][device], events["correlation"][events["type"] == 28])
        assert flows == [(launched.sum(), launched.sum())] and launched.sum() > 1000
        used = np.unique(events["stream"][device])
        rows = trace.streams[used]
        assert sorted(streams) == sorted((0, int(row["raw_id"])) for row in rows)
        assert (launches[0][0] > 5) == (not options.get("lean", False))


ARROWS = """
    select a.name, b.name from flow f join slice a on a.id = f.slice_out join slice b on b.id = f.slice_in
"""
DISCOVERY = """
    select s.upid, extract_arg(s.arg_set_id, 'device') as device, s.context_id as context,
      extract_arg(s.arg_set_id, 'stream') as stream, gc.api as api, p.pid as pid, p.name
    from gpu_slice s join process p using (upid)
      left join __intrinsic_gpu_context gc on gc.context_id = s.context_id
    where s.upid is not null and s.context_id is not null
      and extract_arg(s.arg_set_id, 'device') is not null and extract_arg(s.arg_set_id, 'stream') is not null
    group by s.upid, device, s.context_id, stream order by p.pid, device, s.context_id, stream
"""  # what dev.perfetto.GpuByProcess asks


def test_two_processes_with_the_same_ids(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    for pid, ordinal, vendor in ((100, 0, "NVIDIA"), (200, 1, "AMD")):
        name = {"NVIDIA": "NVIDIA H100", "AMD": "AMD Instinct MI300X"}[vendor]
        streams = add_gpu(maker, pid, ordinal, 2, name=name, vendor=vendor)
        thread = add_thread(maker, pid, pid)
        for i, stream in enumerate(streams):
            call = {"thread": thread, "stream": stream, "correlation": i + 1}
            maker.add(EventType.RuntimeCall, BASE + pid + i * 10, 5, f"launch {pid}", **call)
            maker.add(EventType.KernelLaunch, BASE + 1000 + pid + i * 10, 7, f"kernel {pid}", **call)
    path = write(maker.close(), tmp_path)
    found, arrows, gpus = reader.query(
        path,
        DISCOVERY,
        ARROWS,
        "select gpu, name, vendor from gpu order by gpu",
    )
    assert reader.complaints(path) == []
    assert [row[1:] for row in found] == [
        (0, 1, 7, "CUDA", 100, "python 100"),
        (0, 1, 8, "CUDA", 100, "python 100"),
        (1, 2, 7, "HIP", 200, "python 200"),
        (1, 2, 8, "HIP", 200, "python 200"),
    ]
    assert sorted(arrows) == 2 * [("launch 100", "kernel 100")] + 2 * [("launch 200", "kernel 200")]
    assert gpus == [(0, "NVIDIA H100", "NVIDIA"), (1, "AMD Instinct MI300X", "AMD")]


def test_every_kernel_of_a_graph_gets_an_arrow(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    (stream,) = add_gpu(maker)
    thread = add_thread(maker)
    maker.add(EventType.RuntimeCall, BASE, 10, "cudaGraphLaunch", thread=thread, correlation=5)
    for i in range(3):
        flags = perfetto_check.GRAPH
        maker.add(
            EventType.KernelLaunch,
            BASE + 20 + 10 * i,
            5,
            f"node {i}",
            stream=stream,
            correlation=5,
            flags=flags,
        )
    maker.add(EventType.KernelLaunch, BASE + 60, 5, "alone", stream=stream)
    path = write(maker.close(), tmp_path)
    arrows, count = reader.query(
        path,
        "select b.name from flow f join slice b on b.id = f.slice_in",
        "select count(*) from gpu_slice",
    )
    assert sorted(arrows) == [("node 0",), ("node 1",), ("node 2",)] and count == [(4,)]
    assert reader.query(write(ts.open(maker.path), tmp_path, no_flows=True), "select count(*) from flow") == [
        [(0,)]
    ]


@pytest.mark.parametrize("seed", range(4))
def test_slices_on_threads_keep_their_extent_however_they_lie(
    reader: Reader, maker: Maker, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    threads = [0, *(add_thread(maker, tid=100 + i, name=f"t{i}") for i in range(3))]
    expected = []
    for i in range(400):
        begin = BASE + chance.randrange(0, 300)
        duration = chance.choice([0, 0, 1, 2, 5, 50, chance.randrange(400)])
        maker.add(EventType.CpuOp, begin, duration, f"op {i}", thread=chance.choice(threads))
        expected.append((f"op {i}", begin, duration))
    path = write(maker.close(), tmp_path)
    found, broken, depths = reader.query(
        path,
        "select name, ts, dur from slice",
        "select count(*) from slice c join slice p on p.id = c.parent_id"
        " where c.ts < p.ts or c.ts + c.dur > p.ts + p.dur",
        "select max(depth) from slice",
    )
    assert reader.complaints(path) == []
    assert sorted(found) == sorted(expected) and broken == [(0,)] and depths[0][0] > 2


def test_slices_that_nest_share_one_track(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    """Also where inner ones were written first and all begin together."""
    thread = add_thread(maker)
    for i in range(300):
        begin = BASE + 1000 * i
        for depth in (3, 2, 1, 0):
            maker.add(EventType.Range, begin, 900 - 100 * depth, f"depth {depth}", thread=thread)
    path = write(maker.close(), tmp_path)
    found, tracks = reader.query(
        path,
        "select name, depth, count(*) from slice group by 1, 2",
        "select count(distinct track_id) from slice",
    )
    assert sorted(found) == [(f"depth {i}", i, 300) for i in range(4)] and tracks == [(1,)]


def test_kernels_that_overlap_on_a_stream_and_extreme_extents(
    reader: Reader, maker: Maker, tmp_path: Path
) -> None:
    (stream,) = add_gpu(maker)
    thread = add_thread(maker)
    expected = []
    for i in range(50):
        maker.add(EventType.KernelLaunch, BASE + i, 100 + i % 7, f"k{i}", stream=stream)
        expected.append((f"k{i}", BASE + i, 100 + i % 7))
    maker.add(EventType.MemcpyH2D, BASE + 60, 0, "nothing", stream=stream)
    maker.add(EventType.MemcpyH2D, BASE + 70, 2**63, "forever", stream=stream)
    maker.add(EventType.CpuOp, BASE + 80, 2**64 - 1, "an eternity", thread=thread)
    maker.add(EventType.Marker, 2**64 - 1, 0, "the end of time", thread=thread)
    end = 2**63 - 1
    expected += [
        ("nothing", BASE + 60, 0),
        ("forever", BASE + 70, end - BASE - 70),
        ("an eternity", BASE + 80, end - BASE - 80),
        ("the end of time", end, 0),
    ]
    path = write(maker.close(), tmp_path)
    assert sorted(reader.query(path, "select name, ts, dur from slice")[0]) == sorted(expected)


def test_arguments(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    (stream,) = add_gpu(maker, ordinal=3, compute_major=9, compute_minor=0)
    thread = add_thread(maker)
    shape = maker.row(
        "launches", grid_x=256, grid_y=2, grid_z=3, block_x=128, block_y=4, block_z=5, shared_static=16,
        shared_dynamic=4096, registers=32, metadata=maker.metadata({"est. achieved occupancy %": "31"}),
    )  # fmt: skip
    numbers = maker.schema("chrome:kernel", {"External id": U64, "delta": I64, "ratio": F64, "text": REF})
    half = struct.unpack("<Q", struct.pack("<d", 0.5))[0]
    values = [77, 2**64 - 3, half, maker.text('quote " tab \t null \0 end')]
    maker.add(
        EventType.KernelLaunch, BASE, 9, "_Z3addPf", stream=stream, correlation=2**40, extra=shape,
        flags=LAUNCH, extensions=[(numbers, values)],
    )  # fmt: skip
    sizes = maker.schema("collective", {"sequence": U64, "bytes": U64, "ranks": U64})
    maker.add(
        EventType.Communication,
        BASE + 10,
        9,
        "ncclAllReduce",
        stream=stream,
        extensions=[(sizes, [4, 1 << 20, 8])],
    )
    maker.add(EventType.MemcpyH2D, BASE + 20, 9, "Memcpy", stream=stream, value=4096, flags=BYTES)
    texts = maker.metadata({"Input Dims": "[[1, 2], []]", "plain": "é中"})
    maker.add(
        EventType.CpuOp, BASE + 30, 9, "aten::add", thread=thread, stream=stream, correlation=6, extra=texts,
        flags=METADATA, extensions=[(numbers, values)],
    )  # fmt: skip
    maker.add(
        EventType.RuntimeCall, BASE + 40, 1, "cuLaunchKernel", thread=thread, stream=stream, correlation=7
    )
    path = write(maker.close(), tmp_path)
    assert reader.complaints(path) == []
    rows = reader.query(
        path,
        "select s.name, a.flat_key, coalesce(a.int_value, a.real_value, a.string_value)"
        " from slice s join args a using (arg_set_id)",
    )[0]
    found: dict[str, dict[str, Any]] = {}
    for name, key, value in rows:
        found.setdefault(name, {})[key] = value
    kernel = {
        "device": 3, "stream": 7, "registers_per_thread": 32, "shared_mem_static": 16,
        "shared_mem_dynamic": 4096, "launch.grid_size.x": 256, "launch.grid_size.y": 2,
        "launch.grid_size.z": 3, "launch.workgroup_size.x": 128, "launch.workgroup_size.y": 4,
        "launch.workgroup_size.z": 5, "est. achieved occupancy %": "31", "External id": 77, "delta": -3,
        "ratio": 0.5, "text": 'quote " tab \t null ␀ end', "kernel_name": "_Z3addPf", "arch": "sm_90",
        "correlation": 2**40, "render_stage_category": 2, "description": "KernelLaunch",
    }  # fmt: skip
    assert kernel.items() <= found["_Z3addPf"].items()
    assert {"sequence": 4, "bytes": 1 << 20, "ranks": 8, "device": 3, "stream": 7}.items() <= found[
        "ncclAllReduce"
    ].items()
    assert {"bytes": 4096, "device": 3, "stream": 7, "render_stage_category": 0}.items() <= found[
        "Memcpy"
    ].items()
    assert found["aten::add"] == {
        "debug.correlation": 6, "debug.device": 3, "debug.stream": 7, "debug.Input Dims": "[[1, 2], []]",
        "debug.plain": "é中", "debug.External id": 77, "debug.delta": -3, "debug.ratio": 0.5,
        "debug.text": 'quote " tab \t null ␀ end',
    }  # fmt: skip
    assert found["cuLaunchKernel"]["gpu_api"] == "GPU_API_CUDA"
    lean = reader.query(
        write(ts.open(maker.path), tmp_path, lean=True),
        "select count(*) from slice s join args a using (arg_set_id) where a.flat_key like 'debug%'"
        " or a.flat_key like 'launch%' or a.flat_key = 'External id'",
    )
    assert lean == [[(0,)]]


def test_stacks(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    thread = add_thread(maker)
    frames = [
        maker.row("frames", function="main", file="train.py", line=3, kind=1),
        maker.row("frames", function="step", file="train.py", line=30, kind=1),
        maker.row("frames", function="at::add", address=0x7F001234),
        maker.row("frames", function="", address=0x7F001300),
    ]
    chains = {"root": frames[:1], "python": frames[:2], "native": frames, "recursive": [frames[1]] * 5}
    for i, (name, chain) in enumerate(chains.items()):
        maker.add(EventType.RuntimeCall, BASE + 10 * i, 5, name, thread=thread, stack=maker.stack(*chain))
    maker.add(EventType.Marker, BASE + 90, 0, "moment", thread=thread, stack=maker.stack(*frames[:2]))
    path = write(maker.close(), tmp_path)
    assert reader.complaints(path) == []
    rows = reader.query(
        path,
        "with recursive up(slice, site, level) as ("
        " select slice_id, callsite_id, 0 from __intrinsic_track_event_callstacks union all"
        " select slice, parent_id, level + 1 from up join stack_profile_callsite c on c.id = site"
        " where parent_id not null)"
        " select s.name, level, f.name, y.source_file, y.line_number from up"
        " join stack_profile_callsite c on c.id = site"
        " join stack_profile_frame f on f.id = c.frame_id join slice s on s.id = slice"
        " left join stack_profile_symbol y on y.symbol_set_id = f.symbol_set_id order by s.name, level desc",
    )[0]
    found: dict[str, list[str]] = {}
    for name, _, function, _, _ in rows:
        found.setdefault(name, []).append(function)
    assert found == {
        "root": ["main"],
        "python": ["main", "step"],
        "native": ["main", "step", "at::add", ""],
        "recursive": ["step"] * 5,
        "moment": ["main", "step"],
    }
    assert {(row[2], row[3], row[4]) for row in rows if row[3]} == {
        ("main", "train.py", 3),
        ("step", "train.py", 30),
    }
    bare = write(ts.open(maker.path), tmp_path, no_stacks=True)
    assert reader.query(bare, "select count(*) from stack_profile_callsite") == [[(0,)]]


def bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def test_counters_and_memory(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    thread = add_thread(maker)
    devices = [maker.row("devices", ordinal=i, name="NVIDIA H100") for i in range(2)]
    power = maker.row("counters", name="power", unit="W")
    size = maker.row("counters", name="resident", unit="bytes")
    expected = []
    for i in range(6):
        value = 100.5 + i
        maker.add(
            EventType.Counter,
            BASE + i,
            0,
            "",
            device=devices[i % 2],
            extra=power,
            flags=COUNTER | COUNTER_ROW,
            value=bits(value),
        )
        expected.append(("power", f"GPU {i % 2} NVIDIA H100", "W", BASE + i, value))
    maker.add(
        EventType.Counter,
        BASE + 9,
        0,
        "",
        thread=thread,
        extra=size,
        value=bits(-1.0),
        flags=COUNTER | COUNTER_ROW,
    )
    maker.add(EventType.Counter, BASE + 9, 0, "unnamed row", value=bits(2.0), flags=COUNTER)
    expected += [("resident", None, "bytes", BASE + 9, -1.0), ("unnamed row", None, None, BASE + 9, 2.0)]
    told = maker.schema("allocation", {"address": HEX, "in_use": U64})
    maker.add(EventType.MemAlloc, BASE + 20, 4, "cudaMalloc", thread=thread, device=devices[0], value=64,
              flags=BYTES, extensions=[(told, [0x1000, 1064])])  # fmt: skip
    maker.add(
        EventType.MemAlloc,
        BASE + 30,
        0,
        "cudaMalloc",
        thread=thread,
        device=devices[1],
        value=64,
        flags=BYTES,
    )
    maker.add(
        EventType.MemFree, BASE + 40, 0, "cudaFree", thread=thread, device=devices[1], value=40, flags=BYTES
    )
    memory = "memory in use"
    expected += [
        (memory, "GPU 0 NVIDIA H100", "bytes", BASE + 20, 1064.0),
        (memory, "GPU 1 NVIDIA H100", "bytes", BASE + 30, 64.0),
        (memory, "GPU 1 NVIDIA H100", "bytes", BASE + 40, 24.0),
    ]
    path = write(maker.close(), tmp_path)
    assert reader.complaints(path) == []
    found, slices = reader.query(
        path,
        "select t.name, p.name, extract_arg(t.source_arg_set_id, 'unit'), c.ts, c.value from counter c"
        " join track t on t.id = c.track_id left join track p on p.id = t.parent_id",
        "select name, ts, dur from slice order by ts",
    )
    assert [(name, ts) for name, _, _, ts, _ in sorted(found, key=str)] == [
        (name, ts) for name, _, _, ts, _ in sorted(expected, key=str)
    ]
    assert Counter((name, ts, value) for name, _, _, ts, value in found) == Counter(
        (name, ts, value) for name, _, _, ts, value in expected
    )
    assert slices == [("cudaMalloc", BASE + 20, 4), ("cudaMalloc", BASE + 30, 0), ("cudaFree", BASE + 40, 0)]


def test_arrows_that_a_source_drew(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    threads = [add_thread(maker, tid=100 + i) for i in range(2)]
    flow = maker.schema("flow", {"id": U64, "phase": U64, "category": REF, "name": REF})
    category, other = maker.text("fwdbwd"), maker.text("async")

    def end(id: int, phase: str, kind: int) -> tuple[int, list[int]]:
        return flow, [id, ord(phase), kind, kind]

    maker.add(
        EventType.CpuOp,
        BASE,
        5,
        "forward",
        thread=threads[0],
        extensions=[end(1, "s", category), end(2, "s", category)],
    )
    maker.add(
        EventType.CpuOp, BASE + 10, 5, "backward", thread=threads[1], extensions=[end(1, "f", category)]
    )
    maker.add(
        EventType.CpuOp,
        BASE + 20,
        5,
        "same id, other kind",
        thread=threads[1],
        extensions=[end(2, "f", other)],
    )
    maker.add(EventType.CpuOp, BASE + 30, 5, "step", thread=threads[1], extensions=[end(2, "t", category)])
    maker.add(EventType.CpuOp, BASE + 40, 5, "last", thread=threads[0], extensions=[end(2, "f", category)])
    path = write(maker.close(), tmp_path)
    found = reader.query(
        path,
        ARROWS,
    )[0]
    assert reader.complaints(path) == []
    assert sorted(found) == [("forward", "backward"), ("forward", "step"), ("step", "last")]


def test_ranges_with_two_ends_and_kernels_with_two_events(
    reader: Reader, maker: Maker, tmp_path: Path
) -> None:
    (stream,) = add_gpu(maker)
    thread = add_thread(maker)
    maker.add(EventType.RangeStart, BASE, 0, "outer", thread=thread)
    maker.add(EventType.CpuOp, BASE + 5, 100, "op that outlives the range", thread=thread)
    maker.add(EventType.RangeStart, BASE + 10, 0, "inner", thread=thread)
    maker.add(EventType.RangeEnd, BASE + 20, 0, "", thread=thread)
    maker.add(EventType.RangeEnd, BASE + 30, 0, "", thread=thread)
    maker.add(EventType.RangeEnd, BASE + 40, 0, "one too many", thread=thread)
    maker.add(EventType.RangeStart, BASE + 50, 0, "never ended", thread=thread)
    maker.add(EventType.KernelLaunch, BASE + 60, 0, "a", stream=stream, correlation=1)
    maker.add(EventType.KernelLaunch, BASE + 61, 0, "b", stream=stream, correlation=2)
    maker.add(EventType.KernelComplete, BASE + 70, 0, "a", stream=stream, correlation=1)
    maker.add(EventType.NCCLStart, BASE + 72, 0, "c", stream=stream, correlation=3)
    maker.add(EventType.NCCLComplete, BASE + 75, 0, "c", stream=stream, correlation=3)
    maker.add(EventType.KernelComplete, BASE + 80, 0, "no begin", stream=stream, correlation=9)
    maker.add(EventType.KernelComplete, BASE + 85, 4, "whole", stream=stream, correlation=10)
    path = write(maker.close(), tmp_path)
    assert reader.complaints(path) == []
    host, device = reader.query(
        path,
        "select name, ts, dur from slice where id not in (select id from gpu_slice) order by ts",
        "select name, ts, dur from gpu_slice order by ts",
    )
    assert host == [
        ("outer", BASE, 30),
        ("op that outlives the range", BASE + 5, 100),
        ("inner", BASE + 10, 10),
        ("never ended", BASE + 50, -1),
    ]
    assert device == [("a", BASE + 60, 10), ("b", BASE + 61, 0), ("c", BASE + 72, 3), ("whole", BASE + 85, 4)]


def test_processes_and_threads_keep_their_names(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    hosts = [maker.row("hosts", name=f"node{i}") for i in range(2)]
    rows = [
        maker.row("processes", host=hosts[0], pid=50, name="rank 0"),
        maker.row("processes", host=hosts[1], pid=50, name="rank 1"),
        maker.row("processes", name="Spans"),
    ]
    for i, row in enumerate(rows):
        thread = maker.row("threads", process=row, tid=50, name=f"thread of {i}")
        maker.add(EventType.CpuOp, BASE + i, 1, f"op {i}", thread=thread)
    maker.add(EventType.CpuOp, BASE + 9, 1, "homeless")
    path = write(maker.close(), tmp_path)
    assert reader.complaints(path) == []
    found = reader.query(
        path,
        "select s.name, t.name, t.tid, p.name, p.pid = 50 from slice s"
        " left join thread_track k on k.id = s.track_id"
        " left join thread t using (utid) left join process p using (upid) order by s.ts",
    )[0]
    assert found == [
        ("op 0", "thread of 0", 50, "rank 0", 1),
        ("op 1", "thread of 1", 50, "rank 1 (pid 50 on node1)", 0),
        ("op 2", "thread of 2", 50, "Spans", 0),
        ("homeless", None, None, None, None),
    ]


def test_time_of_day(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    host = maker.row("hosts", name="node")
    noon = 1_700_000_000_000_000_000
    for i in range(3):
        maker.row(
            "clocks", host=host, ticks=i + 1, monotonic=BASE + i * 10**9, raw=1, realtime=noon + i * 10**9
        )
    maker.add(EventType.CpuOp, BASE + 5, 1, "op")
    path = write(maker.close(), tmp_path)
    assert reader.query(path, "select ts, to_realtime(ts) from slice") == [[(BASE + 5, noon + 5)]]
    assert reader.complaints(path) == []


@pytest.mark.parametrize("clock", ["unix", "unknown"])
def test_other_clocks_keep_their_numbers(reader: Reader, maker: Maker, tmp_path: Path, clock: str) -> None:
    maker.note("clock", clock)
    for i in range(3):
        maker.add(EventType.CpuOp, 1_700_000_000_000_000_000 + i, 1, "op")
    path = write(maker.close(), tmp_path)
    assert reader.complaints(path) == []
    assert reader.query(path, "select ts - 1700000000000000000 from slice order by ts") == [
        [(0,), (1,), (2,)]
    ]


def test_a_file_that_is_cut_loses_its_last_packet(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    (stream,) = add_gpu(maker)
    for i in range(100):
        maker.add(EventType.KernelLaunch, BASE + 10 * i, 5, "kernel", stream=stream)
    whole = write(maker.close(), tmp_path).read_bytes()
    size = len(whole) // 100
    cut = tmp_path / "cut.pftrace"
    for lost in (1, size // 2, len(whole) // 2):
        cut.write_bytes(whole[:-lost])
        left = perfetto_check.whole_packets(whole[:-lost])
        kernels = sum(53 in packet for packet in perfetto_check.packets(left))
        assert 40 < kernels < 100 and len(whole) - lost - len(left) < 64
        assert reader.query(cut, "select count(*) from gpu_slice") == [[(kernels,)]]


def test_strings_of_every_kind(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    (stream,) = add_gpu(maker)
    thread = add_thread(maker)
    names = [
        '"',
        "\\",
        "\x01\x1f\x7f",
        "é",
        "中",
        "\U0001f600",
        "a\nb\tc",
        "x" * 60000,
        "</script>",
        "%s%n",
        " ",
    ]
    for i, name in enumerate(names):
        maker.add(EventType.CpuOp, BASE + 10 * i, 5, name, thread=thread)
        maker.add(EventType.KernelLaunch, BASE + 10 * i, 5, name, stream=stream)
    path = write(maker.close(), tmp_path)
    assert reader.complaints(path) == []
    host, device = reader.query(
        path,
        "select name from slice where id not in (select id from gpu_slice) order by ts",
        "select name from gpu_slice order by ts",
    )
    assert host == device == [(name,) for name in names]
