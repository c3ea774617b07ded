"""The Arrow stream: what a consumer sees is what the events say, whoever the consumer is."""

from __future__ import annotations

import gc
import importlib
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrow_consumer import read, read_schema
from python_samples import EVENTS, sample

import tracesmith as ts

COUNT = 150_000  # more than two batches


def engine(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


def many_events(names: int) -> ts.Events:
    """COUNT kernels on four streams, of so many names."""
    random = np.random.default_rng(5)
    kinds = ts.Events(
        [
            ts.TraceEvent(
                ts.EventType.KernelLaunch, 0, name=f"kernel {i} é", stream_id=i % 4, device_id=i % 2
            )
            for i in range(names)
        ]
    )
    array = kinds.array[random.integers(0, names, COUNT)].copy()
    array["timestamp"] = np.cumsum(random.integers(1, 50, COUNT))
    array["duration"] = random.integers(1, 10_000, COUNT)
    array["correlation"] = np.arange(1, COUNT + 1)
    return ts.Events._of(kinds.tables, array, kinds._extensions[:0], kinds._rows[:0])


@pytest.fixture(
    scope="module", params=[100, 80_000], ids=["few names", "more names than one dictionary holds"]
)
def events(request: pytest.FixtureRequest) -> ts.Events:
    return many_events(request.param)


@pytest.fixture(scope="module")
def trace(events: ts.Events, tmp_path_factory: pytest.TempPathFactory) -> ts.Trace:
    path = tmp_path_factory.mktemp("arrow") / "many.sbt"
    with ts.SBTWriter(path) as writer:
        writer.write_events(events)
    return ts.open(path)


@pytest.fixture(scope="module")
def sums(events: ts.Events) -> dict[str, int]:
    rows, inverse = np.unique(events["name"], return_inverse=True)
    totals = np.bincount(inverse, weights=events["duration"])
    names = events.tables.names
    return {names[row]: int(total) for row, total in zip(rows, totals, strict=True)}


def test_the_columns_are_the_same_for_a_trace_and_its_events(trace: ts.Trace, events: ts.Events) -> None:
    columns = read_schema(trace)
    assert columns == read_schema(events)
    assert columns["timestamp"] == "i8" and columns["name"] == "text" and columns["counter"] == "f8"


def test_the_document_lists_the_columns() -> None:
    text = (Path(__file__).parent.parent / "docs" / "python.md").read_text()
    kinds = {"int64": "i8", "uint64": "u8", "uint32": "u4", "double": "f8", "text": "text"}
    rows = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \| (\w+) \|", text.partition("| column | type |")[2], re.MULTILINE
    )
    listed = {name: kinds[kind] for names, kind in rows for name in re.findall(r"`(\w+)`", names)}
    assert list(listed.items()) == list(read_schema(ts.Events()).items())


def test_every_event_is_a_row(trace: ts.Trace, events: ts.Events) -> None:
    for source in (trace, events):
        table, sizes = read(source)
        assert max(sizes) <= 65_536 and sum(sizes) == COUNT
        for column in ("timestamp", "duration", "correlation"):
            assert table[column] == events[column].tolist()
        assert table["name"] == events.names.tolist()
        assert set(table["type"]) == {"KernelLaunch"}
        streams = events.tables.streams
        assert table["stream"] == streams["raw_id"][events["stream"]].tolist()
        assert table["bytes"] == [None] * COUNT


def test_everything_that_an_event_carries_has_its_column() -> None:
    table, sizes = read(ts.Events(EVENTS))
    assert sizes == [len(EVENTS)]
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    kernel = next(row for row in rows if row["name"] == "kernel")
    assert (kernel["device"], kernel["stream"], kernel["tid"]) == (3, 7, 12)
    assert kernel["correlation"] == 2**64 - 1
    assert [kernel[f"grid_{axis}"] for axis in "xyz"] == [4, 5, 6]
    assert [kernel[f"block_{axis}"] for axis in "xyz"] == [7, 8, 9]
    assert (kernel["shared_memory"], kernel["registers"]) == (10, 11)
    assert kernel["stack"] == "outer;inner"
    copy = next(row for row in rows if row["type"] == "MemcpyH2D")
    assert copy["bytes"] == 4096
    assert copy["duration"] is None, "2**64 - 1 is no int64"
    mark = next(row for row in rows if row["name"] == "mark")
    assert mark["timestamp"] is None
    power = next(row for row in rows if row["type"] == "Counter")
    assert (power["name"], power["counter"], power["bytes"], power["value"]) == ("power", -1.5, None, None)


def test_no_events_are_no_rows() -> None:
    table, sizes = read(ts.Events())
    assert sizes == [] and set(map(tuple, table.values())) == {()}


def test_names_come_whole_and_stacks_can_be_split() -> None:
    names = ["é ∑ 🚀", "nul \0", "semi;colon\nline", 'quote"', "x" * 100_000]
    stack = ts.CallStack([ts.StackFrame(function_name="a;b"), ts.StackFrame(function_name="c\nd")])
    marks = [ts.TraceEvent(ts.EventType.Marker, i, name=n, call_stack=stack) for i, n in enumerate(names)]
    table, _ = read(ts.Events(marks))
    assert table["name"] == names
    assert set(table["stack"]) == {"c d;a:b"}


def test_stacks_that_differ_in_a_line_are_one_text() -> None:
    def mark(line: int) -> ts.TraceEvent:
        stack = ts.CallStack([ts.StackFrame(function_name="f", line_number=line)])
        return ts.TraceEvent(ts.EventType.Marker, line, name="m", call_stack=stack)

    events = ts.Events([mark(1), mark(2)])
    assert len(set(events["stack"].tolist())) == 2
    assert read(events)[0]["stack"] == ["f", "f"]  # the reader refuses a dictionary that says a thing twice


def test_a_closed_trace_says_so(tmp_path: Path) -> None:
    with ts.SBTWriter(tmp_path / "a.sbt") as writer:
        writer.write_events(sample())
    trace = ts.open(tmp_path / "a.sbt")
    capsule = trace.__arrow_c_stream__()
    trace.close()
    with pytest.raises(ts.StateError, match="closed"):
        trace.__arrow_c_stream__()
    del capsule  # held what it needed; nobody took it


def test_streams_in_several_threads_do_not_meet(trace: ts.Trace, events: ts.Events) -> None:
    expected = int(events["duration"].sum())
    found = []

    def pull() -> None:
        found.append(sum(read(trace)[0]["duration"]))

    threads = [threading.Thread(target=pull) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        trace.refresh()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3


HAMMER = """
import ctypes, sys, threading, time
sys.path.insert(0, sys.argv[1])
import arrow_consumer as arrow
import tracesmith as ts

events = ts.Events([ts.TraceEvent(1, i, name=f"n{i}") for i in range(3000)])
store = events.tables._store
end = time.monotonic() + 1.5

def pull(prototype):
    # A consumer in C: CFUNCTYPE lets go of the GIL around the call, PYFUNCTYPE keeps it.
    get_next = prototype(ctypes.c_int, ctypes.POINTER(arrow.Stream), ctypes.POINTER(arrow.Array))
    while time.monotonic() < end:
        capsule = events.__arrow_c_stream__()
        stream = arrow.stream_of(capsule)
        address = ctypes.cast(stream.contents.get_next, ctypes.c_void_p).value
        batch = arrow.Array()
        assert get_next(address)(stream, ctypes.byref(batch)) == 0 and batch.length == 3000
        batch.release(ctypes.byref(batch))

def write():
    n = 0
    while time.monotonic() < end:
        store.build([ts.TraceEvent(1, 0, name=f"new {n}")])
        n += 1

work = [(pull, ctypes.CFUNCTYPE), (pull, ctypes.CFUNCTYPE), (pull, ctypes.PYFUNCTYPE), (write,)]
threads = [threading.Thread(target=target, args=args, daemon=True) for target, *args in work]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


def test_consumers_that_keep_the_gil_do_not_wait_for_one_who_wants_it() -> None:
    words = [sys.executable, "-c", HAMMER, str(Path(__file__).parent)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.stdout == "done\n", done.stderr


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="there is no /proc/self/statm")
def test_streams_that_are_dropped_leave_nothing_behind() -> None:
    events = sample(2000)
    for _ in range(20):
        read(events)
    gc.collect()
    before = resident_bytes()
    for _ in range(3000):
        events.__arrow_c_stream__()
    for _ in range(100):
        read(events)
    gc.collect()
    # One stream with its batch is about 500 KB here: keeping a hundredth of them would show.
    assert resident_bytes() - before < 10_000_000


# ---- Real consumers


def test_duckdb_queries_a_trace_by_its_name(trace: ts.Trace, events: ts.Events, sums: dict[str, int]) -> None:
    duckdb = engine("duckdb")
    for source in (trace, events):
        assert source is not None  # found by DuckDB under its name
        found = duckdb.sql("select name, sum(duration) from source group by name").fetchall()
        assert {name: int(total) for name, total in found} == sums
    both = duckdb.sql("select count(*) from trace a join events b using (correlation)").fetchall()
    assert both == [(COUNT,)]


def test_polars_reads_a_trace(trace: ts.Trace, events: ts.Events, sums: dict[str, int]) -> None:
    polars = engine("polars")
    for source in (trace, events):
        frame = polars.DataFrame(source)
        assert frame["timestamp"].to_list() == events["timestamp"].tolist()
        assert frame["name"].cast(polars.String).to_list() == events.names.tolist()
        totals = frame.group_by("name").agg(polars.col("duration").sum())
        assert dict(totals.rows()) == sums


def test_pyarrow_reads_a_trace(trace: ts.Trace, events: ts.Events, sums: dict[str, int]) -> None:
    pyarrow = engine("pyarrow")
    for source in (trace, events):
        table = pyarrow.table(source)
        table.validate(full=True)
        assert table["duration"].to_pylist() == events["duration"].tolist()
        totals = table.unify_dictionaries().group_by("name").aggregate([("duration", "sum")])
        assert dict(zip(totals["name"].to_pylist(), totals["duration_sum"].to_pylist(), strict=True)) == sums


def test_pandas_reads_a_trace(trace: ts.Trace, sums: dict[str, int]) -> None:
    pandas = engine("pandas")
    if not hasattr(pandas.DataFrame, "from_arrow"):
        pytest.skip("this pandas has no DataFrame.from_arrow")
    engine("pyarrow")
    frame = pandas.DataFrame.from_arrow(trace)
    assert frame.groupby("name", observed=True)["duration"].sum().to_dict() == sums


@pytest.mark.parametrize("name", ["pyarrow", "duckdb", "polars"])
def test_parquet_holds_what_the_trace_holds(
    trace: ts.Trace, events: ts.Events, tmp_path: Path, name: str
) -> None:
    engine(name)
    path = tmp_path / "out.parquet"
    path.write_text("old")
    trace.to_parquet(path, engine=name)
    assert os.listdir(tmp_path) == ["out.parquet"]
    if name == "duckdb":
        found = engine("duckdb").sql(f"select duration, name from '{path}'").fetchall()
        durations, names = (list(column) for column in zip(*found, strict=True))
    else:
        module = engine("polars") if name == "polars" else importlib.import_module("pyarrow.parquet")
        table = module.read_parquet(path) if name == "polars" else module.read_table(path)
        durations = table["duration"].to_list() if name == "polars" else table["duration"].to_pylist()
        names = table["name"].to_list() if name == "polars" else table["name"].to_pylist()
    assert durations == events["duration"].tolist()
    assert names == events.names.tolist()


NONE_INSTALLED = """
import sys
for name in ("pyarrow", "duckdb", "polars"):
    sys.modules[name] = None
import tracesmith as ts
try:
    ts.Events().to_parquet("x.parquet")
except ModuleNotFoundError as error:
    print(error)
"""


def test_without_any_of_them_parquet_says_what_to_install(tmp_path: Path) -> None:
    words = [sys.executable, "-c", NONE_INSTALLED]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install pyarrow" in done.stdout
    assert os.listdir(tmp_path) == []


def test_an_engine_that_is_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pyarrow, duckdb, polars"):
        ts.Events().to_parquet(tmp_path / "x.parquet", engine="excel")
