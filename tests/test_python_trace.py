"""Trace and SBTReader: files, windows, blocks, and what is refused."""

import errno
import gc
import os
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from python_samples import full_event, sample

import tracesmith as ts

COUNT = 20_000


@pytest.fixture(scope="module")
def arrays() -> np.ndarray:
    """Out of order, with extents from nothing to the whole trace."""
    random = np.random.default_rng(7)
    array = np.zeros(COUNT, ts.EVENT_DTYPE)
    array["timestamp"] = np.arange(COUNT) * 100 + random.integers(0, 3000, COUNT)
    array["duration"] = random.choice([0, 1, 50, 500], COUNT)
    array["duration"][random.integers(0, COUNT, 5)] = 10**6
    array["correlation"] = np.arange(COUNT)
    array["type"] = 1
    return array


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, arrays: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("trace") / "windows.sbt"
    with ts.SBTWriter(path) as writer:
        array = arrays.copy()
        array["name"] = [writer.intern(f"kernel {i % 50}") for i in range(COUNT)]
        writer.write_events(array)
    return path


def overlapping(array: np.ndarray, begin: int, end: int) -> set[int]:
    start, stop = array["timestamp"], array["timestamp"] + array["duration"]
    return set(array["correlation"][(start < end) & ((stop > begin) | (start >= begin))].tolist())


def test_a_trace_says_what_it_is(path: Path) -> None:
    with ts.open(path) as trace:
        info = trace.info
        assert info["complete"] is trace.complete is True
        assert info["events"] == len(trace) == COUNT
        assert info["blocks"] == len(trace.block_table) == len(list(trace.blocks())) > 4
        assert info["bytes"] == path.stat().st_size
        assert len(info["uuid"]) == 36 and info["version"].startswith("1.")
        assert (info["begin_ns"], info["end_ns"]) == (
            int(trace.events["timestamp"].min()),
            int((trace.events["timestamp"] + trace.events["duration"]).max()),
        )
        assert str(path) in repr(trace) and str(COUNT) in repr(trace)
        assert trace.path == str(path)


def test_events_are_those_that_were_written(path: Path, arrays: np.ndarray) -> None:
    events = ts.open(path).events
    order = np.argsort(events["correlation"])
    for field in ("timestamp", "duration", "type", "correlation"):
        assert (events[field][order] == arrays[field]).all()
    assert (events.names[order] == [f"kernel {i % 50}" for i in range(COUNT)]).all()


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (0, 1),
        (0, 2**64 - 1),
        (5000, 5001),
        (100_000, 200_000),
        (999_999, 1_000_000),
        (10**12, 10**13),
        (5, 5),
        (9, 2),
    ],
)
def test_a_window_is_what_brute_force_finds(path: Path, arrays: np.ndarray, begin: int, end: int) -> None:
    with ts.open(path) as trace:
        assert set(trace[begin:end]["correlation"].tolist()) == overlapping(arrays, begin, end)
        blocks = [events["correlation"] for events in trace.blocks(begin, end)]
        assert set(np.concatenate([*blocks, []]).astype(int).tolist()) == overlapping(arrays, begin, end)


def test_random_windows_are_what_brute_force_finds(path: Path, arrays: np.ndarray) -> None:
    trace = ts.open(path)
    random = np.random.default_rng(11)
    for begin, length in zip(random.integers(0, 2 * 10**6, 60), random.integers(0, 50_000, 60), strict=True):
        window = trace[int(begin) : int(begin + length)]
        assert set(window["correlation"].tolist()) == overlapping(arrays, begin, begin + length)


def test_a_window_may_be_open(path: Path, arrays: np.ndarray) -> None:
    trace = ts.open(path)
    assert trace[:] is trace[:]
    assert set(trace[500_000:]["correlation"].tolist()) == overlapping(arrays, 500_000, 2**64 - 1)
    assert set(trace[:500_000]["correlation"].tolist()) == overlapping(arrays, 0, 500_000)


def test_a_window_keeps_extensions_with_their_events(tmp_path: Path) -> None:
    with ts.SBTWriter(tmp_path / "x.sbt") as writer:
        writer.write_events(sample(12_000))
    trace = ts.open(tmp_path / "x.sbt")
    window = trace[6000:6010]
    expected = [
        event for event in sample(6010) if event.timestamp + event.duration > 6000 or event.timestamp >= 6000
    ]
    assert list(window) == expected
    assert trace.extensions("memory")["row"].tolist() == list(range(0, 12_000, 3))


def test_windows_and_indices_are_told_apart(path: Path) -> None:
    trace = ts.open(path)
    for key in (0, slice(0, 10, 2), "name"):
        with pytest.raises(TypeError, match="window"):
            trace[key]  # type: ignore[index]
    for begin in (-1, 2**64):
        with pytest.raises(OverflowError):
            trace[begin:5]


@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, None), (0, 0), (4090, 10), (COUNT - 5, None), (COUNT, 5), (10**9, 1), (17, 9000)],
)
def test_reading_by_position(path: Path, offset: int, count: int | None) -> None:
    reader = ts.SBTReader(path)
    everything = reader.read_all()["correlation"]
    stop = None if count is None else offset + count
    assert (reader.read_events(offset, count)["correlation"] == everything[offset:stop]).all()


def test_reading_by_a_negative_position_is_refused(path: Path) -> None:
    for arguments in ((-1, 5), (0, -5)):
        with pytest.raises(ValueError, match="not negative"):
            ts.SBTReader(path).read_events(*arguments)


def test_the_reader_iterates_by_blocks(path: Path) -> None:
    with ts.SBTReader(path) as reader:
        assert sum(len(events) for events in reader) == COUNT
    assert not reader.is_open() and not reader.is_valid()


def test_blocks_come_sorted_and_in_bounded_memory(path: Path) -> None:
    trace = ts.open(path)
    tracemalloc.start()
    for events in trace.blocks():
        assert len(events) <= 4096 and (np.diff(events["timestamp"].astype(np.int64)) >= 0).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 4096 * 64


def test_events_can_be_read_into_an_array(path: Path) -> None:
    trace = ts.open(path)
    array = np.empty(COUNT, ts.EVENT_DTYPE)
    assert trace.read_into(array) is array
    assert (array == trace.events.array).all()
    for wrong in (
        np.empty(COUNT - 1, ts.EVENT_DTYPE),
        np.empty(2 * COUNT, ts.EVENT_DTYPE)[::2],
        trace.events.array,
    ):
        with pytest.raises(ValueError, match="writable"):
            trace.read_into(wrong)


def test_events_are_decoded_once_while_somebody_keeps_them(path: Path) -> None:
    trace = ts.open(path)
    events = trace.events
    assert trace.events is events
    gone = weakref.ref(events)
    del events
    gc.collect()
    assert gone() is None


def test_a_closed_trace_refuses_and_its_events_stay(path: Path) -> None:
    with ts.open(path) as trace:
        events, names, array = trace[:50_000], trace.names, trace.events.array
    trace.close()
    for use in (
        lambda: trace.events,
        lambda: len(trace),
        lambda: trace.info,
        lambda: trace[0:1],
        lambda: trace.threads,
    ):
        with pytest.raises(ts.StateError, match="is closed"):
            use()
    assert repr(trace).endswith("closed>") and trace.closed
    gc.collect()
    assert events.names[0].startswith("kernel") and len(names) > 50 and array["type"].max() == 1
    assert events[0].name == events.names[0]


def test_closing_frees_the_mapping(path: Path) -> None:
    def mapped() -> bool:
        return str(path) in Path("/proc/self/maps").read_text()

    gc.collect()
    assert not mapped()
    trace = ts.open(path)
    assert mapped()
    trace.close()
    assert not mapped()


def test_reading_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "live.sbt"
    with ts.SBTWriter(path) as writer:
        writer.write_event(ts.TraceEvent(1, 1, name="first"))
        writer.flush()
        trace = ts.open(path)
        assert list(trace.events.names) == ["first"] and not trace.complete
        early = trace.events
        writer.write_events([full_event(2, "second"), ts.TraceEvent(1, 3, name="third")])
        writer.flush()
        assert len(trace) == 1
        trace.refresh()
        assert list(trace.events.names) == ["first", "second", "third"]
        assert list(early.names) == ["first"] and trace.events[1] == full_event(2, "second")
    trace.refresh()
    assert trace.complete and len(trace) == 3
    assert list(trace.events.names) == ["first", "second", "third"]


def test_threads_read_while_one_refreshes(tmp_path: Path) -> None:
    path = tmp_path / "live.sbt"
    failures: list[BaseException] = []
    done = threading.Event()
    with ts.SBTWriter(path) as writer:
        writer.write_events(sample(100))
        writer.flush()
        trace = ts.open(path)

        def look() -> None:
            try:
                while not done.is_set():
                    for events in trace.blocks():
                        assert len(events.names) == len(events) and len(trace.streams) > 1
                    trace[10:20].extensions("flow")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            writer.write_events(sample(200))
            writer.flush()
            trace.refresh()
        done.set()
        for thread in threads:
            thread.join()
    assert failures == [] and len(trace) == 6100


def test_a_file_whose_writer_died_reads_and_can_be_repaired(tmp_path: Path) -> None:
    path = tmp_path / "orphan.sbt"
    code = f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import tracesmith as ts
        from python_samples import sample
        writer = ts.SBTWriter({str(path)!r})
        writer.write_events(sample(10_000))
        os._exit(1)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)]).returncode == 1
    with ts.open(path) as trace:
        assert not trace.complete and "incomplete" in repr(trace)
        assert len(trace) == 2 * 4096
        expected = list(trace.events)
    ts.repair(path)
    with ts.open(path) as trace:
        assert trace.complete and list(trace.events) == expected


def test_a_finished_file_that_was_cut_says_so_and_can_be_repaired(path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.sbt"
    size = path.stat().st_size * 6 // 10
    cut.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ts.TruncatedError, match="repair") as caught:
        ts.open(cut)
    assert caught.value.offset == size
    ts.repair(cut)
    with ts.open(cut) as trace:
        assert trace.complete and 0 < len(trace) < COUNT


def test_what_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        ts.open(tmp_path / "none.sbt")
    assert caught.value.errno == errno.ENOENT and caught.value.filename == str(tmp_path / "none.sbt")
    with pytest.raises(OSError):
        ts.open(tmp_path)
    with pytest.raises(OSError):
        ts.repair(tmp_path / "none.sbt")
    with pytest.raises(TypeError):
        ts.open(5)  # type: ignore[arg-type]


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Root may read everything, so for a moment we are not root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_a_file_without_permission_is_a_permission_error(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    secret = tmp_path / "secret.sbt"
    with ts.SBTWriter(secret):
        pass
    secret.chmod(0)
    request.getfixturevalue("ordinary_user")
    with pytest.raises(PermissionError) as caught:
        ts.open(secret)
    assert caught.value.filename == str(secret)


@pytest.mark.parametrize(
    "content", [b"", b"S", b"not a trace at all, but long enough to be one" * 10], ids=len
)
def test_what_is_no_sbt_file_is_refused_with_an_offset(tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.sbt"
    bad.write_bytes(content)
    with pytest.raises(ts.FormatError) as caught:
        ts.open(bad)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, ts.TraceError)
    assert isinstance(caught.value.offset, int) and str(bad) in str(caught.value)


def test_a_flipped_bit_in_a_block_is_corrupt_with_its_offset(path: Path, tmp_path: Path) -> None:
    with ts.open(path) as trace:
        block = trace.block_table[2]
    content = bytearray(path.read_bytes())
    at = int(block["offset"]) + int(block["bytes"]) // 2
    content[at] ^= 1
    damaged = tmp_path / "damaged.sbt"
    damaged.write_bytes(content)
    with pytest.raises(ts.CorruptError) as caught:
        ts.open(damaged).events  # noqa: B018
    assert int(block["offset"]) <= caught.value.offset <= at  # type: ignore[operator]


def test_a_block_that_is_not_there_is_an_index_error(path: Path) -> None:
    store = ts.open(path)._store
    for block in (-1, 10**6):
        with pytest.raises(IndexError, match="no block"):
            store.read([block])


def test_the_tables_of_a_file_are_read_only(path: Path) -> None:
    trace = ts.open(path)
    with pytest.raises(ts.StateError, match="read-only"):
        trace._store.build([])
    with pytest.raises(ValueError, match="read-only"):
        trace.threads["tid"] = 1
    assert trace.strings[1] == trace.names[1]
    assert len(trace.blobs) == 1 and trace.blobs[0] == b""
    assert len(trace.positions) == 0
