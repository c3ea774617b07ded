"""rocprofv3's JSON: an import says what json.load says about the same file."""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracesmith as ts

CORPUS = os.environ.get("TRACESMITH_CORPUS")
HOST, GPU, OTHER_GPU = 900, 901, 902
KINDS = {
    "NONE": [],
    "KERNEL_DISPATCH": ["NONE", "ENQUEUE", "COMPLETE"],
    "MEMORY_COPY": ["NONE", "MEMORY_COPY_HOST_TO_HOST", "MEMORY_COPY_HOST_TO_DEVICE"],
    "MEMORY_ALLOCATION": ["NONE", "MEMORY_ALLOCATION_ALLOCATE", "MEMORY_ALLOCATION_FREE"],
    "SCRATCH_MEMORY": ["NONE", "SCRATCH_MEMORY_ALLOC"],
    "MARKER_CORE_API": ["roctxMarkA", "roctxGetThreadId"],
    "MARKER_CORE_RANGE_API": ["roctxMarkA", "roctxThreadRangeA"],
    "HIP_RUNTIME_API": ["hipLaunchKernel", "hipStreamSynchronize", "hipMalloc"],
    "HSA_CORE_API": ["hsa_init"],
    "RCCL_API": ["ncclAllReduce"],
}
NAMES = list(KINDS)


def record(
    kind: str, operation: int, begin: Any, end: Any, correlation: int = 0, **other: Any
) -> dict[str, Any]:
    made = {"size": 184, "kind": NAMES.index(kind), "operation": operation, "thread_id": 77}
    made["correlation_id"] = {"internal": correlation, "external": 5}
    return made | {"start_timestamp": begin, "end_timestamp": end} | other


def dispatch(begin: Any, end: Any, correlation: int, kernel: int = 8, **other: Any) -> dict[str, Any]:
    info = {
        "agent_id": {"handle": other.pop("agent", GPU)},
        "queue_id": {"handle": other.pop("queue", 16)},
        "kernel_id": kernel,
        "private_segment_size": 12,
        "group_segment_size": 2048,
        "workgroup_size": dict(zip("xyz", other.pop("workgroup", (256, 1, 1)), strict=True)),
        "grid_size": dict(zip("xyz", other.pop("grid", (1000, 4, 1)), strict=True)),
    }
    stream = {"stream_id": {"handle": other.pop("stream", 0)}}
    return record("KERNEL_DISPATCH", 2, begin, end, correlation, dispatch_info=info) | stream | other


def copy(begin: int, end: int, source: int, destination: int, size: int, **other: Any) -> dict[str, Any]:
    place = {"src_agent_id": {"handle": source}, "dst_agent_id": {"handle": destination}, "bytes": size}
    return record("MEMORY_COPY", 2, begin, end) | place | other


def sections(process: int = 4711) -> dict[str, Any]:
    uuid = {"bytes": {f"value{i}": 16 + i for i in range(16)}}
    gpu = {"type": 2, "vendor_name": "AMD", "product_name": "AMD Instinct MI350X", "cu_count": 256}
    gpu |= {"wave_front_size": 64, "max_waves_per_cu": 32, "gfx_target_version": 90500, "uuid": uuid}
    gpu |= {"mem_banks": [{"size_in_bytes": 1 << 38, "width": 8192, "mem_clk_max": 2000}]}
    return {
        "metadata": {
            "node": {"hostname": "node7"},
            "pid": process,
            "command": ["train.py", "--token=hunter2"],
        },
        "agents": [
            {"id": {"handle": HOST}, "type": 1, "name": "EPYC", "logical_node_type_id": 0},
            gpu | {"id": {"handle": GPU}, "logical_node_type_id": 0},
            gpu | {"id": {"handle": OTHER_GPU}, "logical_node_type_id": 1},
        ],
        "strings": {
            "buffer_records": [{"kind": kind, "operations": names} for kind, names in KINDS.items()],
            "marker_api": [{"key": 31, "value": 'step "1" \u00e4'}, {"key": 32, "value": "here"}],
        },
        "kernel_symbols": [
            {"kernel_id": 0, "formatted_kernel_name": "", "kernel_name": ""},
            {"kernel_id": 8, "kernel_name": "_Z3add.kd", "formatted_kernel_name": "void add<float>(float*)"},
            {"kernel_id": 9, "kernel_name": "ncclDevKernel_Generic.kd", "formatted_kernel_name": ""},
        ],
        "buffer_records": {
            "kernel_dispatch": [
                dispatch(2_000, 2_500, 1),
                dispatch(2_100, 2_300, 2, kernel=9, queue=17),
                dispatch(1_900, 1_950, 3, agent=OTHER_GPU, stream=4, grid=(7, 1, 1), workgroup=(0, 1, 1)),
                dispatch(4_000, 4_010, 4, kernel=1234, stream=16),
            ],
            "hip_api": [
                record("HIP_RUNTIME_API", 0, 1_000, 1_100, 1),
                record("HIP_RUNTIME_API", 0, 1_100, 1_200, 2, thread_id=78),
                record("HIP_RUNTIME_API", 1, 2_400, 2_600, 5),
                record("HIP_RUNTIME_API", 2, 100, 200, 6),
            ],
            "hsa_api": [record("HSA_CORE_API", 0, 10, 20, 7)],
            "rccl_api": [record("RCCL_API", 0, 1_090, 1_210, 8)],
            "marker_api": [
                record("MARKER_CORE_RANGE_API", 1, 900, 3_000, 31),
                record("MARKER_CORE_API", 0, 950, 951, 32),
                record("MARKER_CORE_API", 1, 960, 961, 33),
            ],
            "memory_copy": [
                copy(3_000, 3_100, HOST, GPU, 4096),
                copy(3_100, 3_200, GPU, HOST, 512),
                copy(3_200, 3_300, GPU, OTHER_GPU, 64),
                copy(3_300, 3_400, GPU, GPU, 32),
                copy(3_400, 3_500, HOST, HOST, 16, stream_id={"handle": 4}),
            ],
            "memory_allocation": [
                record(
                    "MEMORY_ALLOCATION", 1, 100, 190, 6, agent_id={"handle": GPU}, address="0x7f0000000000"
                )
                | {"allocation_size": 1 << 20},
                record("MEMORY_ALLOCATION", 2, 5_000, 5_010, 0, address={"value": 0x7F0000000000}),
            ],
            "scratch_memory": [record("SCRATCH_MEMORY", 1, 1_990, 1_999, 1, agent_id={"handle": GPU})],
            "pc_sample_host_trap": [{"any": 1}, {"any": 2}],
        },
        "callback_records": {"counter_collection": [{"dispatch_data": {}, "records": []}]},
    }


def written(path: Path, *processes: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"rocprofiler-sdk-tool": list(processes)}))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "results.json", sections())


def named(trace: ts.Trace, name: str) -> ts.TraceEvent:
    (found,) = [event for event in trace.events if event.name == name]
    return found


def kernels_of(process: dict[str, Any]) -> Counter[Any]:
    """What a dispatch is, in plain Python: grid_size counts work-items."""
    names = {row["kernel_id"]: row["formatted_kernel_name"] for row in process["kernel_symbols"]}
    agents = {row["id"]["handle"]: row["logical_node_type_id"] for row in process["agents"]}
    found: Counter[Any] = Counter()
    for row in process["buffer_records"]["kernel_dispatch"]:
        info = row["dispatch_info"]
        groups = [-(-info["grid_size"][axis] // info["workgroup_size"][axis]) for axis in "xyz"]
        queue = row["stream_id"]["handle"] or info["queue_id"]["handle"]
        key = (
            names[info["kernel_id"]],
            row["start_timestamp"],
            row["end_timestamp"] - row["start_timestamp"],
            row["correlation_id"]["internal"],
            agents[info["agent_id"]["handle"]],
            queue,
            *groups,
            *info["workgroup_size"].values(),
            info["group_segment_size"],
        )
        found[key] += 1
    return found


def imported_kernels(trace: ts.Trace) -> Counter[Any]:
    array, tables = trace.events.array, trace.events.tables
    chosen = np.isin(array["type"], [1, 29])
    array, names = array[chosen], trace.events.names[chosen]
    launches = tables.table("launches")[array["extra"]]
    shape = [launches[f"{what}_{axis}"].tolist() for what in ("grid", "block") for axis in "xyz"]
    return Counter(
        zip(
            names.tolist(),
            array["timestamp"].tolist(),
            array["duration"].tolist(),
            array["correlation"].tolist(),
            tables.table("devices")[array["device"]]["ordinal"].tolist(),
            tables.table("streams")[array["stream"]]["raw_id"].tolist(),
            *shape,
            launches["shared_static"].tolist(),
            strict=True,
        )
    )


def test_the_corpus_file_is_what_json_says() -> None:
    if CORPUS is None:
        pytest.skip("TRACESMITH_CORPUS is not set: it names the folder of real traces")
    path = Path(CORPUS) / "tracelens_rocprofv3_908.json.gz"
    (process,) = json.loads(gzip.decompress(path.read_bytes()))["rocprofiler-sdk-tool"]
    with ts.open(path) as trace:
        assert imported_kernels(trace) == kernels_of(process)
        assert trace.imported.understood == {"kernel_dispatch": 43_915} and trace.imported.skipped == []
        tables = trace.events.tables
        device = tables.table("devices")[trace.events.array["device"][0]]
        assert tables.text(device["name"]) == "AMD Instinct MI350X"
        assert (device["compute_major"], device["compute_minor"]) == (9, 5)
        assert device["memory_bytes"] == 309_220_868_096


def test_generated_kernels_are_what_json_says(tmp_path: Path) -> None:
    process = sections()
    process["buffer_records"]["kernel_dispatch"] = [
        dispatch(
            1_000 * i,
            1_000 * i + i,
            i + 1,
            kernel=8,
            grid=(i + 1, 5, 3),
            workgroup=(i % 7 + 1, 2, 3),
            stream=i % 3,
        )
        for i in range(500)
    ]
    with ts.open(written(tmp_path / "a.json", process)) as trace:
        assert imported_kernels(trace) == kernels_of(process)


def test_sections_come_in_any_order(tmp_path: Path) -> None:
    process = sections()
    keys = ("metadata", "agents", "strings", "kernel_symbols", "buffer_records")
    expected = None
    for order in itertools.permutations(keys):
        path = written(tmp_path / "a.json", {key: process[key] for key in order})
        with ts.open(path) as trace:
            found = [
                (event.name, event.type, event.timestamp, event.device_id, event.stream_id, event.thread_id)
                for event in trace.events
            ]
        expected = sorted(found) if expected is None else expected
        assert sorted(found) == expected, order


def test_a_dispatch_knows_its_queue_or_stream_and_who_launched_it(file: Path) -> None:
    with ts.open(file) as trace:
        kernels = [event for event in trace.events if event.type in (1, 29)]
        assert [(event.name, event.thread_id, event.device_id) for event in kernels] == [
            ("void add<float>(float*)", 0, 1),
            ("void add<float>(float*)", 77, 0),
            ("ncclDevKernel_Generic.kd", 78, 0),
            ("(kernel 1234)", 0, 0),
        ]
        tables = trace.events.tables
        rows = tables.table("streams")[
            trace.events.array["stream"][np.isin(trace.events.array["type"], [1, 29])]
        ]
        assert [tables.text(row["name"]) for row in rows] == ["stream 4", "queue 16", "queue 17", "stream 16"]
        # Queue 16 and stream 16 are two.
        assert rows["raw_id"].tolist() == [4, 16, 17, 16]
        assert kernels[2].type == ts.EventType.Communication


def test_groups_are_counted_and_a_last_one_may_not_be_full(file: Path) -> None:
    with ts.open(file) as trace:
        found = imported_kernels(trace)
        grids = sorted(key[6:12] for key in found)
        assert grids == [(4, 4, 1, 256, 1, 1)] * 3 + [(7, 1, 1, 0, 1, 1)]


def test_copies_go_by_the_agents_at_their_ends(file: Path) -> None:
    with ts.open(file) as trace:
        copies = [event for event in trace.events if event.name.startswith("Memcpy")]
        assert [(event.name, event.type.name, event.value, event.device_id) for event in copies] == [
            ("Memcpy HtoD", "MemcpyH2D", 4096, 0),
            ("Memcpy DtoH", "MemcpyD2H", 512, 0),
            ("Memcpy PtoP", "MemcpyP2P", 64, 1),
            ("Memcpy DtoD", "MemcpyD2D", 32, 0),
            ("Memcpy HtoH", "MemcpyH2H", 16, HOST),
        ]


def test_calls_allocations_and_markers(file: Path) -> None:
    with ts.open(file) as trace:
        assert named(trace, "hipStreamSynchronize").type == ts.EventType.StreamSync
        assert named(trace, "hsa_init").type == ts.EventType.RuntimeCall
        assert named(trace, "ncclAllReduce").correlation_id == 8
        step = named(trace, 'step "1" ä')
        assert (step.type, step.duration, step.thread_id) == (ts.EventType.Range, 2_100, 77)
        mark = named(trace, "here")
        assert (mark.type, mark.duration) == (ts.EventType.Marker, 0)
        assert named(trace, "roctxGetThreadId").type == ts.EventType.RuntimeCall
        allocated = named(trace, "MEMORY_ALLOCATION_ALLOCATE")
        assert (allocated.type, allocated.value) == (ts.EventType.MemAlloc, 1 << 20)
        assert named(trace, "MEMORY_ALLOCATION_FREE").type == ts.EventType.MemFree
        assert trace.extensions("allocation")["address"].tolist() == [0x7F0000000000] * 2
        assert named(trace, "SCRATCH_MEMORY_ALLOC").type == ts.EventType.Custom


def test_the_report_counts_everything(file: Path, tmp_path: Path) -> None:
    with ts.open(file) as trace:
        records = sections()["buffer_records"]
        samples = records.pop("pc_sample_host_trap")
        assert trace.imported.understood == {name: len(rows) for name, rows in records.items()}
        assert sorted(trace.imported.skipped) == [
            ("counter_collection", "records that are not imported", 1),
            ("kernel_symbols", "names that are not there: called by their number", 1),
            ("pc_sample_host_trap", "records that are not imported", len(samples)),
        ]
        assert trace.events.tables.notes["source"] == "rocprofv3"
        device = trace.events.tables.table("devices")[1]
        assert (device["uuid_high"], device["uuid_low"]) == (0x1011121314151617, 0x18191A1B1C1D1E1F)
    output = tmp_path / "out.sbt"
    ts.import_trace(file, output, compress=False)
    assert b"hunter2" not in output.read_bytes()


def test_processes_are_kept_apart(tmp_path: Path) -> None:
    first, second = sections(1), sections(2)
    second["kernel_symbols"][1]["formatted_kernel_name"] = "another"
    with ts.open(written(tmp_path / "a.json", first, second)) as trace:
        array, tables = trace.events.array, trace.events.tables
        work = array[trace.events.names == "another"]
        processes = tables.table("processes")[tables.table("streams")[work["stream"]]["process"]]
        assert processes["pid"].tolist() == [2, 2]
        threads = tables.table("threads")[work["thread"]]
        assert tables.table("processes")[threads["process"]]["pid"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (dispatch(20, 10, 1), "it ends before it begins"),
        (dispatch(-5, 10, 1), "it lies before the clock's begin"),
        (dispatch("soon", 10, 1), "a value is no number"),
        (dispatch(1.5, 10, 1), "a value is no number"),
        (dispatch(5, 10, 1, grid=(2**40, 1, 1)), "a value is no number"),
        ({"kind": 1}, "it has no begin or no end"),
        ({"start_timestamp": 4}, "it has no begin or no end"),
    ],
)
def test_a_record_that_cannot_be_is_left_out_and_reported(tmp_path: Path, row: Any, reason: str) -> None:
    process = sections()
    process["buffer_records"] = {"kernel_dispatch": [row, dispatch(30, 40, 1)]}
    with ts.open(written(tmp_path / "a.json", process)) as trace:
        assert [event.timestamp for event in trace.events] == [30]
        assert ("kernel_dispatch", reason, 1) in trace.imported.skipped


def test_a_call_of_no_thread_is_left_out_and_reported(tmp_path: Path) -> None:
    process = {"buffer_records": {"hip_api": [{"start_timestamp": 1, "end_timestamp": 2}]}}
    with ts.open(written(tmp_path / "a.json", process)) as trace:
        assert len(trace) == 0 and trace.imported.skipped == [("hip_api", "it is of no thread", 1)]


def test_what_is_no_record_is_counted_and_nothing_is_needed(tmp_path: Path) -> None:
    process = {
        "buffer_records": {"kernel_dispatch": [1, None, dispatch(1, 2, 3)], "hip_api": {"a": 1}},
        "agents": 7,
    }
    with ts.open(written(tmp_path / "a.json", process, {"strings": []}, {})) as trace:
        (event,) = trace.events
        assert event.name == "(kernel 8)"
        assert ("kernel_dispatch", "not an object", 2) in trace.imported.skipped


def test_one_process_need_not_be_in_a_list(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"rocprofiler-sdk-tool": sections()}))
    assert len(ts.open(path)) == 21


def test_a_file_that_was_cut_off_is_read_up_to_there(file: Path) -> None:
    whole = file.read_text()
    total = len(ts.open(file))
    counts = []
    for size in range(40, len(whole) - 1, 97):
        file.write_text(whole[:size])
        with ts.open(file) as trace:
            assert trace.imported.truncated
            counts.append(len(trace))
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == total


def test_what_is_no_json_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    before = '{"rocprofiler-sdk-tool":[{"buffer_records":{"kernel_dispatch":[{"kind" '
    path.write_text(before + "1}]}}]}")
    with pytest.raises(ts.CorruptError, match="expected ':'") as caught:
        ts.open(path)
    assert caught.value.offset == len(before)


def test_the_command_line_imports_it(cli: Callable[..., Any], file: Path, tmp_path: Path) -> None:
    result = cli("import", file, "-o", tmp_path / "out.sbt", "--format", "json")
    assert result.code == 0 and result.data["format"] == "rocprofv3 JSON"
    assert result.data["understood"]["kernel_dispatch"] == 4
