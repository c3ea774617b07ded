"""Perfetto's own examples of GPU traces decode to the tables that ours of the same content do, and
exported traces of real programs hold what the traces do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import perfetto_check
import pytest
from perfetto_check import LAUNCH, Maker, Reader, add_thread, summary, write

import tracesmith as ts
from tracesmith import EventType

CORPUS = os.environ.get("TRACESMITH_CORPUS")
needs_corpus = pytest.mark.skipif(
    CORPUS is None, reason="TRACESMITH_CORPUS does not name the folder of real traces"
)
SLICES = (
    "select s.name, s.ts, s.dur, s.depth, t.name, s.context_id, p.pid, gc.api from gpu_slice s"
    " join track t on t.id = s.track_id"
    " left join process p using (upid) left join __intrinsic_gpu_context gc using (context_id) order by s.ts"
)
ARGS = (
    "select s.ts, a.flat_key, a.int_value, a.string_value from gpu_slice s join args a using (arg_set_id)"
    " where a.flat_key not in ('device', 'stream', 'hw_queue_id', 'description', 'upid', 'submission_id', {})"
    " order by s.ts, a.flat_key"
)


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    yield from perfetto_check.reader()


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "trace.sbt")


def golden(name: str) -> Path:
    return Path(str(CORPUS)) / "perfetto_gpu" / f"ref_gpu_{name}.pftrace"


def golden_gpu(maker: Maker, pid: int, **device: Any) -> int:
    process = maker.row("processes", pid=pid, name=f"python {pid}")
    gpu = maker.row("devices", vendor="NVIDIA", **device)
    return maker.row("streams", process=process, device=gpu, context=1, raw_id=7, name="Compute Queue")


@needs_corpus
def test_golden_compute_kernel(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    stream = golden_gpu(maker, 100, compute_major=8)
    add, multiply = "vectorAdd(float*, float*, float*, int)", "matMul(float*, float*, float*, int, int)"
    for timestamp, duration, name in ((100, 50, add), (200, 100, multiply), (400, 50, add)):
        maker.add(EventType.KernelLaunch, timestamp, duration, name, stream=stream)
    ours, theirs = write(maker.close(), tmp_path), golden("compute_kernel")
    # There every kernel's slice is called Kernel; ours bears its name. The mangled one we do not know.
    names = "'kernel_name', 'kernel_demangled_name'"
    kernels = "select ts, extract_arg(arg_set_id, 'kernel_demangled_name') from gpu_slice order by ts"
    mine, other = (reader.query(path, SLICES, ARGS.format(names), kernels) for path in (ours, theirs))
    assert [row[1:] for row in mine[0]] == [row[1:] for row in other[0]] and len(mine[0]) == 3
    assert mine[1:] == other[1:]


@needs_corpus
def test_golden_compute_launch(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    stream = golden_gpu(maker, 100, compute_major=8)
    shape = maker.row(
        "launches",
        grid_x=256,
        grid_y=1,
        grid_z=1,
        block_x=128,
        block_y=1,
        block_z=1,
        shared_dynamic=4096,
        registers=32,
    )
    maker.add(EventType.KernelLaunch, 100, 50, "vectorAdd", stream=stream, extra=shape, flags=LAUNCH)
    ours, theirs = write(maker.close(), tmp_path), golden("compute_launch")
    names = (
        "'kernel_name', 'kernel_demangled_name', 'shared_mem_static'"  # we tell the last where it is 0, too
    )
    mine, other = (reader.query(path, SLICES, ARGS.format(names)) for path in (ours, theirs))
    assert mine == other and len(mine[0]) == 1


@needs_corpus
def test_golden_context(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    vendors = {100: ("", 0), 200: ("NVIDIA", 1)}  # they have Vulkan there, which no source of ours speaks
    for i, (pid, (vendor, ordinal)) in enumerate(vendors.items()):
        process = maker.row("processes", pid=pid)
        gpu = maker.row("devices", ordinal=ordinal, vendor=vendor)
        stream = maker.row("streams", process=process, device=gpu, context=1 + i, raw_id=7, name="queue")
        maker.add(EventType.Custom, 100 * (i + 1), 10 * (i + 1), "stage", stream=stream)
    ours, theirs = write(maker.close(), tmp_path), golden("context")
    columns = "select s.name, s.ts, s.dur, s.context_id, p.pid from gpu_slice s join process p using (upid)"
    mine, other = (reader.query(path, columns) for path in (ours, theirs))
    assert mine == other and len(mine[0]) == 2
    apis = "select api from __intrinsic_gpu_context where pid = 200"
    assert reader.query(ours, apis) == reader.query(theirs, apis) == [[("CUDA",)]]


@needs_corpus
def test_golden_flow(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    thread = add_thread(maker, 42, 42)
    stream = golden_gpu(maker, 42)
    maker.add(EventType.RuntimeCall, 20, 2, "HostSubmit", thread=thread, correlation=1)
    maker.add(EventType.KernelLaunch, 100, 50, "softmax", stream=stream, correlation=1)
    ours, theirs = write(maker.close(), tmp_path), golden("render_stages_flow")
    arrows = (
        "select a.name, a.ts, a.dur, b.name, b.ts, b.dur from flow f join slice a on a.id = f.slice_out"
        " join slice b on b.id = f.slice_in where a.name = 'HostSubmit'"
    )
    mine, other = (reader.query(path, arrows)[0] for path in (ours, theirs))
    assert mine == other and len(mine) == 1


@needs_corpus
def test_golden_api_slice(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    thread = add_thread(maker)
    maker.add(EventType.RuntimeCall, 100, 100, "cuLaunchKernel", thread=thread)
    maker.add(EventType.RuntimeCall, 300, 100, "vkCmdDispatch", thread=thread)
    ours, theirs = write(maker.close(), tmp_path), golden("api_slice")
    slices = "select name, ts, dur, extract_arg(arg_set_id, 'gpu_api') from slice order by ts"
    mine, other = (reader.query(path, slices)[0] for path in (ours, theirs))
    assert mine == other and len(mine) == 2


@needs_corpus
def test_golden_gpu_info(reader: Reader, maker: Maker, tmp_path: Path) -> None:
    uuids = ((0x0123456789ABCDEF,) * 2, (0xABCDEFABCDEFABCD,) * 2)
    for ordinal, (high, low) in enumerate(uuids):
        maker.row(
            "devices",
            ordinal=ordinal,
            name="NVIDIA A100-SXM4-80GB",
            vendor="NVIDIA",
            uuid_high=high,
            uuid_low=low,
        )
    maker.add(EventType.CpuOp, 1, 1, "op")
    ours, theirs = write(maker.close(), tmp_path), golden("info")
    # Model, architecture and PCI address are not in our device table.
    columns = "select gpu, name, vendor, uuid from gpu order by gpu"
    mine, other = (reader.query(path, columns)[0] for path in (ours, theirs))
    assert [row[:3] for row in mine] == [row[:3] for row in other] and len(mine) == 2
    assert mine[0] == other[0]


@needs_corpus
@pytest.mark.parametrize(
    "name",
    ["hta_cp_alexnet", "hta_nccl", "kineto_tb_resnet50", "tracelens_b200_eager", "tracelens_torch_compile"],
)
def test_real_traces(reader: Reader, tmp_path: Path, name: str) -> None:
    imported = tmp_path / "imported.sbt"
    ts.import_trace(Path(str(CORPUS)) / f"{name}.json.gz", imported)
    trace = ts.open(imported)
    events = trace.events
    device = (events["stream"] > 0) & (
        np.isin(events["type"], list(perfetto_check.WORK)) | (events["thread"] == 0)
    )
    host = ~device & (events["type"] != EventType.Counter)
    for options in ({}, {"lean": True, "compress": True}):
        path = write(trace, tmp_path, **options)
        assert reader.complaints(path) == []
        stages, slices = reader.query(
            path,
            "select name, count(*), sum(dur), min(ts), max(ts) from gpu_slice group by name",
            "select name, category, count(*), sum(dur), min(ts), max(ts) from slice"
            " where id not in (select id from gpu_slice) group by name, category",
        )
        assert sorted(stages) == summary(events, device, kinds=False)
        assert sorted(slices) == summary(events, host, kinds=True)
