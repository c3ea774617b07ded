"""Nsight Systems' SQLite export: an import says what SQL says about the same file."""

from __future__ import annotations

import os
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nsys_samples as samples
import numpy as np
import pytest
from nsys_samples import GENERATIONS, OTHER, PID, PROCESS, TID, Database, call, kernel, work

import tracesmith as ts
from tracesmith import _core

CORPUS = os.environ.get("TRACESMITH_CORPUS")
CORPUS_FILES = ("flameox_nsight_2025.5.2", "nsysai_h100_2gpu_1s")
KERNELS = "CUPTI_ACTIVITY_KIND_KERNEL"
RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"


def find(name: str, folder: Path) -> Path:
    """A file of the corpus, or a generated one of a year."""
    if name.isdecimal():
        return samples.full(folder / f"{name}.sqlite", int(name))
    if CORPUS is None:
        pytest.skip("TRACESMITH_CORPUS is not set: it names the folder of real traces")
    return Path(CORPUS) / f"{name}.sqlite"


@pytest.fixture(scope="module", params=[*map(str, GENERATIONS), *CORPUS_FILES])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find(request.param, tmp_path_factory.mktemp("nsys"))


class Sql:
    """The file as SQLite's own Python module reads it."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        self.tables = {row[0] for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def rows(self, sql: str) -> list[Any]:
        return self.connection.execute(sql).fetchall()

    def table(self, name: str) -> list[dict[str, Any]]:
        if name not in self.tables:
            return []
        cursor = self.connection.execute(f"SELECT * FROM {name}")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def strings(self) -> dict[int, str]:
        return dict(self.rows("SELECT id, value FROM StringIds"))


def imported(path: Path) -> ts.Trace:
    return ts.open(path)


def sums(pairs: Any) -> dict[Any, tuple[int, int]]:
    """Key → how many, and the sum of what comes with it."""
    found: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for key, amount in pairs:
        found[key][0] += 1
        found[key][1] += amount
    return {key: (count, amount) for key, (count, amount) in found.items()}


def of_type(trace: ts.Trace, *types: ts.EventType) -> list[ts.TraceEvent]:
    return [event for event in trace.events if event.type in types]


def test_kernels_are_those_of_sql(source: Path) -> None:
    sql = Sql(source)
    strings = defaultdict(lambda: "(string 12345)", sql.strings())
    rows = sql.table(KERNELS)
    expected = sums((strings[row["demangledName"]], row["end"] - row["start"]) for row in rows)
    graphs = sql.table("CUPTI_ACTIVITY_KIND_GRAPH_TRACE")
    expected |= sums((f"CUDA graph {row['graphId']}", row["end"] - row["start"]) for row in graphs)
    with imported(source) as trace:
        array = trace.events.array
        kernels = np.isin(array["type"], [ts.EventType.KernelLaunch, ts.EventType.Communication])
        names, durations = trace.events.names[kernels].tolist(), array["duration"][kernels].tolist()
        assert sums(zip(names, durations, strict=True)) == expected
        starts = [row["start"] for row in rows + graphs]
        assert sorted(array["timestamp"][kernels].tolist()) == sorted(starts)
        launches = trace.events.tables.table("launches")[
            array["extra"][kernels & ((array["flags"] & 0x38) == 8)]
        ]
        for column, ours in (("gridX", "grid_x"), ("blockX", "block_x"), ("registersPerThread", "registers")):
            assert Counter(launches[ours].tolist()) == Counter(row[column] for row in rows)


def test_collectives_are_told_from_kernels(source: Path) -> None:
    sql = Sql(source)
    expected = sum("nccl" in sql.strings().get(row["demangledName"], "") for row in sql.table(KERNELS))
    with imported(source) as trace:
        assert len(of_type(trace, ts.EventType.Communication)) == expected


def test_copies_are_those_of_sql(source: Path) -> None:
    kinds = {1: "MemcpyH2D", 2: "MemcpyD2H", 8: "MemcpyD2D", 11: "MemcpyH2D"}

    def kind_of(row: dict[str, Any]) -> str:
        between = row.get("srcDeviceId") is not None and row["srcDeviceId"] != row["dstDeviceId"]
        return "MemcpyP2P" if between else kinds.get(row["copyKind"], "MemcpyD2D")

    rows = Sql(source).table("CUPTI_ACTIVITY_KIND_MEMCPY")
    expected = sums((kind_of(row), row["bytes"]) for row in rows)
    with imported(source) as trace:
        copies = [event for event in trace.events if event.type.name.startswith("Memcpy")]
        assert sums((event.type.name, event.value) for event in copies) == expected
        sets = of_type(trace, ts.EventType.MemsetDevice)
        rows = Sql(source).table("CUPTI_ACTIVITY_KIND_MEMSET")
        assert sorted(event.value for event in sets) == sorted(row["bytes"] for row in rows)


def test_calls_are_those_of_sql(source: Path) -> None:
    sql = Sql(source)
    strings = sql.strings()
    names = {number: re.sub(r"_v\d{4,5}$", "", text) for number, text in strings.items()}
    rows = sql.table(RUNTIME)
    expected = sums((names[row["nameId"]], row["end"] - row["start"]) for row in rows)
    with imported(source) as trace:
        array = trace.events.array
        # What a call became, whichever its type: nothing else on a thread has a correlation.
        calls = (array["thread"] > 0) & (array["correlation"] > 0) & ~np.isin(array["type"], DEVICE_WORK)
        pairs = zip(trace.events.names[calls].tolist(), array["duration"][calls].tolist(), strict=True)
        assert sums(pairs) == expected
        assert set(array["correlation"][calls].tolist()) == {row["correlationId"] for row in rows}


DEVICE_WORK = (1, 2, 3, 4, 5, 6, 20, 21, 22, 23, 29)


def test_work_lies_on_its_stream_and_knows_who_launched_it(source: Path) -> None:
    sql = Sql(source)
    threads = {(row["globalTid"] >> 24, row["correlationId"]): row["globalTid"] for row in sql.table(RUNTIME)}

    def thread_of(row: dict[str, Any]) -> int:
        process = row.get("globalPid", PROCESS) >> 24
        return threads.get((process, row["correlationId"]), 0) & 0xFFFFFF

    expected = Counter(
        (row["start"], row["deviceId"], row["streamId"], row["contextId"], thread_of(row))
        for table in (KERNELS, "CUPTI_ACTIVITY_KIND_MEMCPY", "CUPTI_ACTIVITY_KIND_MEMSET")
        for row in sql.table(table)
    )
    with imported(source) as trace:
        array, tables = trace.events.array, trace.events.tables
        array = array[np.isin(array["type"], DEVICE_WORK)]
        graphs = {row["start"] for row in sql.table("CUPTI_ACTIVITY_KIND_GRAPH_TRACE")}
        streams, devices = tables.table("streams")[array["stream"]], tables.table("devices")
        found = Counter(
            (time, ordinal, raw, context, thread)
            for time, ordinal, raw, context, thread in zip(
                array["timestamp"].tolist(),
                devices[array["device"]]["ordinal"].tolist(),
                streams["raw_id"].tolist(),
                streams["context"].tolist(),
                tables.table("threads")[array["thread"]]["tid"].tolist(),
                strict=True,
            )
            if time not in graphs
        )
        assert found == expected
        assert (devices[streams["device"]]["ordinal"] == devices[array["device"]]["ordinal"]).all()
        assert set(tables.table("processes")[streams["process"]]["pid"].tolist()) <= {
            row["globalTid"] >> 24 & 0xFFFFFF for row in sql.table(RUNTIME)
        }


def test_nvtx_is_that_of_sql(source: Path) -> None:
    sql = Sql(source)
    strings, rows = sql.strings(), sql.table("NVTX_EVENTS")
    ranges = [row for row in rows if row["eventType"] in (59, 60)]
    expected = Counter(
        (row["text"] if row["text"] is not None else strings[row["textId"]], row["start"], row["end"])
        for row in ranges
        if row["end"] is not None
    )
    with imported(source) as trace:
        found = Counter(
            (event.name, event.timestamp, event.timestamp + event.duration)
            for event in of_type(trace, ts.EventType.Range)
        )
        assert found == expected
        assert len(of_type(trace, ts.EventType.RangeStart)) == len(ranges) - expected.total()
        marks = sorted(event.name for event in of_type(trace, ts.EventType.Marker))
        assert marks == sorted(row["text"] for row in rows if row["eventType"] == 34)


def test_stacks_are_those_of_sql(source: Path) -> None:
    sql = Sql(source)
    strings = sql.strings()
    chains: dict[Any, list[Any]] = defaultdict(list)
    for table in ("CUDA_CALLCHAINS", "OSRT_CALLCHAINS"):
        for row in sorted(sql.table(table), key=lambda row: row["stackDepth"]):
            frame = (strings[row["symbol"]], strings[row["module"]], row["originalIP"] or 0)
            chains[table, row["id"]].append(frame)
    expected = Counter(
        (row["start"], tuple(chains[table, row["callchainId"]]))
        for table, events in (("CUDA_CALLCHAINS", RUNTIME), ("OSRT_CALLCHAINS", "OSRT_API"))
        for row in sql.table(events)
        if row.get("callchainId")
    )
    with imported(source) as trace:
        tables, array = trace.events.tables, trace.events.array
        array = array[array["stack"] > 0]
        found = Counter(
            (time, tuple((f.function_name, f.file_name, f.address) for f in tables.stacks[stack]))
            for time, stack in zip(array["timestamp"].tolist(), array["stack"].tolist(), strict=True)
        )
        assert found == expected


def test_every_row_is_an_event_or_is_reported(source: Path) -> None:
    sql = Sql(source)
    quiet = re.compile(r"ENUM_|META_DATA_|TARGET_INFO_|StringIds|PROCESSES|ThreadNames|DIAGNOSTIC_|ANALYSIS_")
    quiet_too = re.compile(r"ProcessStreams|NVTX_PAYLOAD_|sqlite_|.*_CALLCHAINS")
    with imported(source) as trace:
        report = trace.imported
        assert report.format == "Nsight Systems SQLite" and report.bytes_read == source.stat().st_size
        assert report.events == len(trace) and not report.truncated
        told = Counter(report.understood)
        for table, _, count in report.skipped:
            told[table] += count
        for table in sql.tables:
            if not quiet.match(table) and not quiet_too.match(table):
                assert told[table] == sql.rows(f"SELECT count(*) FROM {table}")[0][0], table
        assert (np.diff(trace.events.array["timestamp"].astype(np.int64)) >= 0).all()


# ---- What the rows mean ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> ts.Trace:
    return imported(samples.full(tmp_path_factory.mktemp("nsys") / "full.sqlite", 2026))


def named(trace: ts.Trace, name: str) -> ts.TraceEvent:
    (found,) = [event for event in trace.events if event.name == name]
    return found


def test_a_copy_is_named_as_cupti_names_it(trace: ts.Trace) -> None:
    names = [event.name for event in trace.events if event.type in range(3, 7) or event.type == 22]
    assert names == [
        "Memcpy HtoD (Pageable -> Device)",
        "Memcpy DtoH (Device -> Pinned)",
        "Memcpy DtoD (Device -> Device)",
        "Unified Memcpy HtoD",
        "Memcpy",
        "Memset (Device)",
    ]
    (between,) = of_type(trace, ts.EventType.MemcpyP2P)
    assert between.metadata == {"source device": "0", "destination device": "1"}


def test_the_nodes_of_a_graph_share_a_launch_and_say_so(trace: ts.Trace) -> None:
    array = trace.events.array
    nodes = array[(array["flags"] & 0x200) != 0]
    assert nodes["correlation"].tolist() == [9, 9]
    found = trace.extensions("nsys:graph node")
    assert found["graph"].tolist() == [4, 4] and found["node"].tolist() == [77, 78]
    whole = trace.extensions("nsys:graph")
    assert (whole["graph"].tolist(), whole["executable"].tolist()) == ([5], [6])
    assert named(trace, "CUDA graph 5").duration == 900


def test_calls_have_the_types_of_what_they_do(trace: ts.Trace) -> None:
    record = named(trace, "cudaEventRecord")
    assert (record.type, record.value, record.stream_id) == (ts.EventType.EventRecord, 21, 13)
    sync = named(trace, "cudaStreamSynchronize")
    assert (sync.type, sync.stream_id, sync.value) == (ts.EventType.StreamSync, 7, None)
    alloc = named(trace, "cudaMalloc")
    assert (alloc.type, alloc.value) == (ts.EventType.MemAlloc, 1 << 20)
    assert trace.extensions("allocation")["address"].tolist() == [0x7F0000000000]
    assert named(trace, "cuMemAlloc_v2").type == ts.EventType.MemAlloc
    assert named(trace, "cudaMemcpyAsync").metadata == {"returned": "2"}
    assert named(trace, "cudaGraphLaunch").metadata == {}


def test_the_call_says_what_a_wait_was_where_versions_number_waits_differently(trace: ts.Trace) -> None:
    waits = of_type(trace, ts.EventType.StreamSync)
    assert [event.name for event in waits] == ["cudaStreamSynchronize", "Stream Sync"]
    assert waits[1].thread_id == 0 and not of_type(trace, ts.EventType.EventWait)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(0, "Custom"), (1, "EventSync"), (2, "EventWait"), (3, "StreamSync"), (4, "DeviceSync")],
)
def test_a_wait_without_a_call_goes_by_its_number(tmp_path: Path, number: int, kind: str) -> None:
    wait = work(5, 9, syncType=number, eventId=3, correlationId=8)
    path = Database(tmp_path / "a.sqlite").add("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", wait).close()
    (event,) = imported(path).events
    assert (event.type.name, event.value, event.stream_id) == (kind, 3, 7)


def test_what_a_person_named_keeps_domain_category_colour_and_payload(trace: ts.Trace) -> None:
    assert named(trace, "registered").metadata == {"domain": "my domain", "category": "io"}
    assert named(trace, "mark").metadata == {"color": "#ff00ff00"}
    assert named(trace, "json").metadata == {"payload": '{"a": 1}'}
    assert trace.extensions("nvtx:i64")["payload"].tolist() == [-5]
    assert trace.extensions("nvtx:f64")["payload"].tolist() == [2.5]
    assert named(trace, "never closed").type == ts.EventType.RangeStart
    assert named(trace, "step, ÄÖÜ").thread_id == TID


def test_the_operating_systems_calls_are_neither_operators_nor_the_drivers(trace: ts.Trace) -> None:
    calls = [event for event in trace.events if event.name == "pthread_cond_wait"]
    assert [event.type for event in calls] == [ts.EventType.Custom] * 2
    assert {event.metadata["kind"] for event in calls} == {"operating system"}
    assert named(trace, "cublasSgemm_v2").type == ts.EventType.CpuOp
    assert named(trace, "TLS allocation").type == ts.EventType.Overhead


def test_metrics_are_counters_of_their_device(trace: ts.Trace) -> None:
    (counter,) = trace.events.counters()
    assert (counter.counter_name, counter.value, counter.unit) == ("SMs Active", 42.0, "Throughput %")
    assert counter.device_id == 1


def test_devices_streams_threads_and_processes_have_their_facts(trace: ts.Trace) -> None:
    tables = trace.events.tables
    device = next(row for row in tables.table("devices") if tables.text(row["name"]) == "NVIDIA H100")
    assert (device["ordinal"], device["multiprocessors"], device["compute_major"]) == (0, 132, 9)
    assert (device["uuid_high"], device["clock_khz"]) == (0xB15C2A5742ED1D24, 1_980_000)
    assert device["threads_per_multiprocessor"] == 2048
    assert tables.text(tables.table("hosts")[device["host"]]["name"]) == "node7"
    stream = next(row for row in tables.table("streams") if row["raw_id"] == 13)
    assert stream["priority"] == -5
    thread = next(row for row in tables.table("threads") if row["tid"] == TID)
    assert tables.text(thread["name"]) == "worker"
    process = tables.table("processes")[thread["process"]]
    assert (process["pid"], tables.text(process["name"])) == (PID, "train.py")
    assert tables.text(tables.table("hosts")[process["host"]]["name"]) == "node7"


def test_the_trace_says_where_it_is_from_and_keeps_no_secrets(trace: ts.Trace, tmp_path: Path) -> None:
    notes = trace.events.tables.notes
    assert notes["source"] == "Nsight Systems 2026.1.1" and notes["clock"] == "unknown"
    assert notes["nsys:utcEpochNs"] == "1785620044423518993"
    assert notes["nsys:warning"].startswith("Not all events were collected, for a reason")
    output = tmp_path / "out.sbt"
    ts.import_trace(samples.full(tmp_path / "full.sqlite", 2026), output, compress=False)
    written = output.read_bytes()
    assert b"hunter2" not in written and b"somebody-elses-editor" not in written and b"train.py" in written


def test_the_report_tells_warnings_names_and_tables_left_out(trace: ts.Trace) -> None:
    skipped = {(category, reason): count for category, reason, count in trace.imported.skipped}
    assert (
        skipped.pop(("Not all events were collected, for a reason tha", "a warning of the profiler's")) == 1
    )
    assert skipped == {
        ("StringIds", "names that are not there: called by their number"): 1,
        ("NVTX_EVENTS", "it gives a name to a domain or category"): 2,
        ("NVTX_EVENTS", "it is neither a range nor a mark"): 1,
        ("SCHED_EVENTS", "a table that is not imported"): 2,
    }


def test_work_of_several_processes_without_a_process_belongs_to_none(tmp_path: Path) -> None:
    base = Database(tmp_path / "a.sqlite", 2020).add(KERNELS, kernel(10, 20, correlationId=1))
    base.add(RUNTIME, call(1, 2, 4, 1), call(3, 4, 4, 1, globalTid=OTHER | 1))
    with imported(base.close()) as trace:
        array = trace.events.array
        (kernels,) = array[array["type"] == 1]
        assert kernels["thread"] == 0
        assert trace.events.tables.table("streams")[kernels["stream"]]["process"] == 0


# ---- Files that are not as they should be ----------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (kernel(20, 10), "it ends before it begins"),
        (kernel(-5, 10), "it lies before the session's begin"),
        (kernel(None, 10), "it has no begin"),  # type: ignore[arg-type]
        (kernel(5, None), "it has no end"),  # type: ignore[arg-type]
        (kernel(5, 10, gridX="many"), "a value is not of its column's type"),
        (kernel(5, 10, streamId=7.5), "a value is not of its column's type"),
        (kernel("soon", 10), "a value is not of its column's type"),  # type: ignore[arg-type]
        (kernel(5, 10, deviceId=b"\0"), "a value is not of its column's type"),
    ],
)
def test_a_row_that_cannot_be_is_left_out_and_reported(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    path = Database(tmp_path / "a.sqlite").add(KERNELS, row, kernel(30, 40)).close()
    with imported(path) as trace:
        assert [event.timestamp for event in trace.events] == [30]
        assert trace.imported.skipped == [(KERNELS, reason, 1)]


def test_a_call_of_no_thread_is_left_out_and_reported(tmp_path: Path) -> None:
    path = Database(tmp_path / "a.sqlite").add(RUNTIME, call(1, 2, 4, 1, globalTid=None)).close()
    with imported(path) as trace:
        assert len(trace) == 0 and trace.imported.skipped == [(RUNTIME, "it is of no thread", 1)]


def test_whole_real_numbers_and_nulls_are_what_they_stand_for(tmp_path: Path) -> None:
    row = kernel(5, 10.0, gridX=None, correlationId=None, demangledName=None)  # type: ignore[arg-type]
    with imported(Database(tmp_path / "a.sqlite").add(KERNELS, row).close()) as trace:
        (event,) = trace.events
        assert (event.duration, event.correlation_id, event.name) == (5, 0, "add")


def test_extents_as_long_as_there_are_numbers(tmp_path: Path) -> None:
    path = (
        Database(tmp_path / "a.sqlite")
        .add(KERNELS, kernel(0, 2**63 - 1), kernel(2**63 - 1, 2**63 - 1))
        .close()
    )
    assert [event.duration for event in imported(path).events] == [2**63 - 1, 0]


def test_strings_that_are_not_there_get_their_number(tmp_path: Path) -> None:
    base = Database(tmp_path / "a.sqlite", strings=False).add(
        KERNELS, kernel(1, 2), kernel(2, 3, demangledName=9)
    )
    assert [event.name for event in imported(base.close()).events] == ["(string 1)", "(string 9)"]


def test_strings_may_be_huge_and_numbered_at_will(tmp_path: Path) -> None:
    base = Database(tmp_path / "a.sqlite", strings=False)
    base.execute("CREATE TABLE StringIds (id INTEGER, value)")
    texts = {7: "x" * (3 << 20), -4: "minus", 2**40: "far", 1: "a\0b", 2: ""}
    for number, text in texts.items():
        base.execute("INSERT INTO StringIds VALUES (?, ?)", number, text)
    base.add(KERNELS, *(kernel(i, i + 1, demangledName=number) for i, number in enumerate(texts)))
    assert [event.name for event in imported(base.close()).events] == list(texts.values())


def test_a_chain_of_any_depths_and_of_itself_ends(tmp_path: Path) -> None:
    base = Database(tmp_path / "a.sqlite")
    deep = [{"id": 1, "symbol": 11, "module": 10, "stackDepth": depth} for depth in (0, 0, 0, 5, -3, 2**40)]
    base.add("CUDA_CALLCHAINS", *deep, *({"id": 2, "symbol": 2, "stackDepth": i} for i in range(5000)))
    base.add(
        RUNTIME,
        call(1, 2, 4, 1, callchainId=1),
        call(3, 4, 4, 2, callchainId=2),
        call(5, 6, 4, 3, callchainId=3),
    )
    with imported(base.close()) as trace:
        depths = [len(trace.events.tables.stacks[int(stack)]) for stack in trace.events.array["stack"]]
        assert depths == [6, 5000, 0]


def test_a_view_is_not_asked(tmp_path: Path) -> None:
    base = Database(tmp_path / "a.sqlite").add(RUNTIME, call(1, 2, 4, 1))
    endless = "WITH RECURSIVE n(start) AS (SELECT 1 UNION ALL SELECT start + 1 FROM n)"
    base.execute(f"CREATE VIEW {KERNELS} AS {endless} SELECT start, start + 1 AS end FROM n")
    with imported(base.close()) as trace:
        assert len(trace) == 1 and trace.imported.skipped == [(KERNELS, "a view and no table", 1)]


def test_a_table_may_have_more_columns_than_anybody_wants(tmp_path: Path) -> None:
    base = Database(tmp_path / "a.sqlite")
    row = kernel(10, 20)
    listed = [*(f"column{i}" for i in range(1900)), *row]
    base.execute(f"CREATE TABLE {KERNELS} ({', '.join(listed)})")
    base.execute(
        f"INSERT INTO {KERNELS} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values()
    )
    (event,) = imported(base.close()).events
    assert (event.timestamp, event.duration, event.stream_id) == (10, 10, 7)


def test_another_database_is_refused(tmp_path: Path) -> None:
    base = Database(tmp_path / "a.sqlite", strings=False).execute("CREATE TABLE orders (id, what)")
    with pytest.raises(ts.FormatError, match="not one that Nsight Systems exported"):
        imported(base.close())


def test_an_export_of_nothing_is_a_trace_of_nothing(tmp_path: Path) -> None:
    assert len(imported(Database(tmp_path / "a.sqlite").close())) == 0


def test_a_database_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = samples.full(tmp_path / "a.sqlite", 2026)
    whole = path.read_bytes()
    for size in (99, 512, 4096, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ts.TruncatedError, match=rf"cut off: {size} bytes"):
            imported(path)


def test_a_page_of_noise_is_an_error_and_no_wrong_number(tmp_path: Path) -> None:
    path = samples.full(tmp_path / "a.sqlite", 2026)
    whole, page = path.read_bytes(), 4096
    events = len(imported(path))
    for at in range(0, len(whole), page):
        noise = np.random.default_rng(at).bytes(page - (100 if at == 0 else 0))
        begin = at + (100 if at == 0 else 0)
        path.write_bytes(whole[:begin] + noise + whole[at + page :])
        try:
            assert len(imported(path)) <= events
        except ts.CorruptError as error:
            assert "SQLite" in str(error)


def test_nothing_is_written_beside_the_file_and_names_may_be_odd(tmp_path: Path) -> None:
    folder = tmp_path / "a%20b#c?mode=rwc&x"
    folder.mkdir()
    path = samples.full(folder / "50%.sqlite", 2026)
    before = path.read_bytes(), path.stat().st_mtime_ns
    folder.chmod(0o500)
    try:
        assert len(imported(path)) > 10
        assert [entry.name for entry in folder.iterdir()] == ["50%.sqlite"]
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
        here = os.getcwd()
        os.chdir(folder)
        assert len(imported(Path("50%.sqlite"))) > 10
        os.chdir(here)
    finally:
        folder.chmod(0o700)


def test_a_gzipped_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "a.sqlite.gz"
    path.write_bytes(gzip.compress(samples.full(tmp_path / "a.sqlite", 2026).read_bytes()))
    with pytest.raises(ts.UnsupportedError, match="gunzip"):
        imported(path)


# ---- Many rows, progress, the command line ---------------------------------------------------


def test_tables_are_read_side_by_side_however_many_rows_they_have(tmp_path: Path) -> None:
    count = 30_000
    base = Database(tmp_path / "a.sqlite")
    base.add(RUNTIME, *(call(i * 10, i * 10 + 5, 4, i + 1) for i in range(count)))
    base.add(KERNELS, *(kernel(i * 10 + 7, i * 10 + 9, correlationId=i + 1) for i in range(count)))
    with imported(base.close()) as trace:
        array = trace.events.array
        assert len(array) == 2 * count
        assert (array["timestamp"][:-1] <= array["timestamp"][1:]).all()
        assert (array["thread"] > 0).all()


def test_an_import_can_be_watched_and_stopped(tmp_path: Path) -> None:
    base = Database(tmp_path / "a.sqlite")
    base.add(KERNELS, *(kernel(i, i + 1) for i in range(20_000)))
    path, watched = base.close(), np.zeros(3, np.uint64)
    _core.import_file(path, tmp_path / "a.sbt", False, watched)
    assert 0 < watched[0] <= watched[1] == path.stat().st_size
    watched[2] = 1
    with pytest.raises(ts.StateError):
        _core.import_file(path, tmp_path / "b.sbt", False, watched)


def test_a_table_without_row_numbers_can_be_watched_too(tmp_path: Path) -> None:
    base = Database(tmp_path / "a.sqlite")
    base.execute(f"CREATE TABLE {KERNELS} (start PRIMARY KEY, end, deviceId, streamId) WITHOUT ROWID")
    path = base.execute(f"INSERT INTO {KERNELS} VALUES (1, 3, 0, 7)").close()
    assert _core.import_file(path, tmp_path / "a.sbt", False, np.zeros(3, np.uint64))["events"] == 1


def test_the_command_line_imports_it(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = samples.full(tmp_path / "report.sqlite", 2026)
    result = cli("import", path, "-o", tmp_path / "report.sbt", "--format", "json")
    assert result.code == 0
    assert result.data["format"] == "Nsight Systems SQLite"
    assert result.data["understood"][KERNELS] == 6
    assert TID in {event.thread_id for event in ts.open(tmp_path / "report.sbt").events}


def test_it_says_what_to_install_where_there_is_no_sqlite(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    path = samples.full(tmp_path / "report.sqlite", 2026)
    hidden = find_without_sqlite(tmp_path)
    if hidden is None:
        pytest.skip("no compiler to stand in for a machine without SQLite")
    preloaded = f"{os.environ.get('LD_PRELOAD', '')} {hidden}".strip()
    result = command("import", path, env=os.environ | {"LD_PRELOAD": preloaded})
    assert result.code != 0 and "libsqlite3.so.0 is not on this machine: install libsqlite3-0" in result.err


def find_without_sqlite(folder: Path) -> str | None:
    """A library that makes dlopen fail for SQLite, as on a machine that has none."""
    import shutil
    import subprocess

    compiler = shutil.which("cc")
    if compiler is None:
        return None
    code = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <string.h>
    void *dlopen(const char *name, int flags)
    {
        void *(*real)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
        return name != 0 && strstr(name, "libsqlite3") != 0 ? 0 : real(name, flags);
    }
    """
    (folder / "hide.c").write_text(code)
    library = folder / "hide.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "hide.c", "-ldl"], check=True)
    return str(library)
