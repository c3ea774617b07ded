"""SBTWriter: what goes into a file comes out of it."""

import errno
import gc
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from python_samples import EVENTS, full_event, sample

import tracesmith as ts
from tracesmith import _core

needs_zstd = pytest.mark.skipif(
    not __import__("tracesmith._core", fromlist=["_core"]).zstd_available(),
    reason="this build is without zstd",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.sbt"


def read(path: Path) -> ts.Events:
    return ts.SBTReader(path).read_all()


def by_time(events: list[ts.TraceEvent]) -> list[ts.TraceEvent]:
    return sorted(events, key=lambda event: event.timestamp)


@pytest.mark.parametrize("compression", ["none", pytest.param("zstd", marks=needs_zstd)])
def test_everything_an_event_can_carry_comes_back(path: Path, compression: str) -> None:
    with ts.SBTWriter(path, compression) as writer:
        for event in EVENTS:
            writer.write_event(event)
        assert writer.event_count() == len(EVENTS)
    assert list(read(path)) == by_time(EVENTS)


def test_the_calls_that_users_know(path: Path) -> None:
    writer = ts.SBTWriter(str(path))
    assert writer.is_open() and writer.event_count() == 0
    writer.write_metadata(ts.TraceMetadata("app"))
    writer.write_device_info([ts.DeviceInfo(0, "GPU")])
    writer.write_event(ts.TraceEvent(ts.EventType.KernelLaunch, 1))
    writer.write_events([ts.TraceEvent(ts.EventType.KernelLaunch, 2), ts.TraceEvent(ts.EventType.Marker, 3)])
    writer.write_counter("load", 0.5, 4)
    writer.finalize()
    assert not writer.is_open() and writer.event_count() == 4
    assert writer.file_size() == path.stat().st_size
    reader = ts.SBTReader(str(path))
    assert reader.is_open() and reader.is_valid() and reader.event_count() == 4
    assert len(reader.read_events(1, 2)) == 2 and reader.read_metadata().application_name == "app"
    assert reader.read_all().counters() == [ts.CounterEvent("load", 0.5, 4)]


def test_events_may_come_in_any_mixture(path: Path) -> None:
    mixed = [ts.CounterEvent("c", 1.0, 1), ts.MemoryEvent(2, bytes=3, ptr=4), full_event(3)]
    with ts.SBTWriter(path) as writer:
        writer.write_events(iter(mixed))
    events = read(path)
    assert events.counters() == mixed[:1] and events.memory_events() == mixed[1:2] and events[2] == mixed[2]


def test_a_bad_object_in_a_list_writes_nothing_of_it(path: Path) -> None:
    with ts.SBTWriter(path) as writer:
        with pytest.raises(TypeError):
            writer.write_events([ts.TraceEvent(1, 1), "no event"])  # type: ignore[list-item]
        with pytest.raises(OverflowError):
            writer.write_event(ts.TraceEvent(1, 2**64))
        assert writer.event_count() == 0


def test_events_of_other_traces_are_translated(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sbt"
    with ts.SBTWriter(other) as writer:
        writer.write_events(sample(10000))
    with ts.SBTWriter(path) as writer:
        writer.write_event(ts.TraceEvent(1, 0, name="shifts the ids"))
        for block in ts.open(other).blocks():
            writer.write_events(block)
        writer.write_events(ts.Events([ts.MemoryEvent(10**6, allocator_name="pool")]))
    events = read(path)
    names = ["shifts the ids", *(f"k{i}" for i in range(10000)), ""]
    assert sorted(events.names) == sorted(names)
    assert list(events.sorted_by_time()[2:21:3]) == list(sample(20)[1::3])
    assert events.memory_events()[-1].allocator_name == "pool"


def test_arrays_of_own_ids(path: Path) -> None:
    array = np.zeros(3, ts.EVENT_DTYPE)
    with ts.SBTWriter(path) as writer:
        array["timestamp"] = [1, 2, 3]
        array["name"] = writer.intern("kernel")
        array["thread"] = writer.intern_row("threads", (0, 42, 0))
        writer.write_events(array)
        writer.write_events(array[::2])
    events = read(path)
    assert list(events.names) == ["kernel"] * 5 and events[0].thread_id == 42


@pytest.mark.parametrize(
    ("field", "value"), [("name", 99), ("thread", 1), ("stack", 2**32 - 1), ("type", 0xFF00)]
)
def test_an_array_with_an_id_of_nothing_is_refused(path: Path, field: str, value: int) -> None:
    array = np.zeros(9000, ts.EVENT_DTYPE)
    array[field][8888] = value
    with ts.SBTWriter(path) as writer:
        with pytest.raises(ValueError, match=f"the {field} of event 8888"):
            writer.write_events(array)
        assert writer.event_count() == 0


@pytest.mark.parametrize(
    ("rows", "error"),
    [([0, 2, 1], ValueError), ([0, 2], ValueError), ([0, 2, 6], ValueError), ([0.0, 1.0, 2.0], TypeError)],
    ids=str,
)
def test_extensions_without_their_rows_are_refused(
    path: Path, rows: list[int], error: type[Exception]
) -> None:
    extensions = np.zeros(3, _core.EXTENSION_DTYPE)
    kind = np.uint32 if isinstance(rows[0], int) else float
    writer = _core.Writer(path)
    with pytest.raises(error):
        writer.write_batch(None, np.zeros(6, ts.EVENT_DTYPE), extensions, np.array(rows, kind))
    assert writer.events == 0
    writer.finalize()


def test_an_array_of_another_dtype_is_refused(path: Path) -> None:
    with ts.SBTWriter(path) as writer:
        for array in (np.zeros(3), np.zeros((2, 2), ts.EVENT_DTYPE)):
            with pytest.raises(TypeError, match="one-dimensional"):
                writer.write_events(array)


@pytest.mark.parametrize(
    ("table", "values", "error"),
    [
        ("threads", (0, 1), ValueError),
        ("threads", (0, 2**64, 0), OverflowError),
        ("threads", (0, "1", 0), TypeError),
        ("threads", (1, 1, 0), ValueError),
        ("stacks", (1, 0), ValueError),
        ("strings", (0,), ValueError),
        ("nothing", (0,), ValueError),
    ],
)
def test_a_row_that_does_not_fit_its_table_is_refused(
    path: Path, table: str, values: tuple[int, ...], error: type[Exception]
) -> None:
    with ts.SBTWriter(path) as writer, pytest.raises(error):
        writer.intern_row(table, values)


def test_metadata_and_devices_come_back(path: Path) -> None:
    devices = [
        ts.DeviceInfo(0, "H100", "NVIDIA", 9, 0, 80 << 30, 2_619_000, 5120, 132, 2048, 1_980_000, 32),
        ts.DeviceInfo(1, "H100", "NVIDIA"),
    ]
    metadata = ts.TraceMetadata("app", "app --fast", 5, 10**18, "host", 4321, devices, {"note": "ünï"})
    with ts.SBTWriter(path) as writer:
        writer.write_metadata(metadata)
        writer.write_event(ts.TraceEvent(ts.EventType.KernelLaunch, 7, device_id=1, stream_id=3, thread_id=9))
    trace = ts.open(path)
    assert trace.metadata == metadata
    event = trace.events.array[0]
    assert len(trace.devices) == 3 and trace.names[int(trace.devices[event["device"]]["name"])] == "H100"
    process = trace.processes[int(trace.threads[event["thread"]]["process"])]
    assert process["pid"] == 4321 and trace.streams[event["stream"]]["process"] == 1


def test_a_later_note_wins(path: Path) -> None:
    with ts.SBTWriter(path) as writer:
        for value in ("a", "b", "a"):
            writer.note("key", value)
    assert ts.open(path).notes == {"key": "a"}


def test_a_with_block_finishes_the_file_and_notes_the_exception(path: Path) -> None:
    with pytest.raises(RuntimeError, match="went wrong"), ts.SBTWriter(path) as writer:
        writer.write_event(full_event())
        raise RuntimeError("it went wrong")
    trace = ts.open(path)
    assert trace.complete and list(trace.events) == [full_event()]
    assert trace.notes["exception"] == trace.metadata.extra["exception"] == "RuntimeError: it went wrong"


def test_a_finalized_writer_refuses_and_finalizing_twice_is_harmless(path: Path) -> None:
    writer = ts.SBTWriter(path)
    writer.write_event(ts.TraceEvent(1))
    writer.finalize()
    writer.finalize()
    calls = [
        lambda: writer.write_event(ts.TraceEvent(1)),
        lambda: writer.write_events([ts.TraceEvent(1)]),
        lambda: writer.write_events(sample(3)),
        lambda: writer.write_events(np.zeros(1, ts.EVENT_DTYPE)),
        lambda: writer.intern("text"),
        lambda: writer.intern_row("threads", (0, 1, 0)),
        lambda: writer.flush(),
        lambda: writer.note("k", "v"),
    ]
    for call in calls:
        with pytest.raises(ts.StateError, match="finalized"):
            call()
    assert ts.SBTReader(path).event_count() == 1


def test_an_abandoned_writer_warns_and_loses_nothing(path: Path) -> None:
    writer = ts.SBTWriter(path)
    writer.write_event(full_event())
    with pytest.warns(ResourceWarning, match="not finalized"):
        del writer
        gc.collect()
    assert list(read(path)) == [full_event()]


def test_a_forked_child_leaves_the_file_alone(path: Path) -> None:
    code = f"""
        import os, tracesmith as ts
        writer = ts.SBTWriter({str(path)!r})
        writer.write_event(ts.TraceEvent(1, 1, name="parent"))
        pid = os.fork()
        if pid == 0:
            try:
                writer.write_event(ts.TraceEvent(1, 2, name="child"))
            except ts.StateError as error:
                assert "fork" in str(error)
                try:
                    writer.is_open()
                except ts.StateError:
                    pass
                else:
                    os._exit(9)
                del writer
                os._exit(7)
            os._exit(8)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        writer.finalize()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
    assert list(read(path).names) == ["parent"]


def test_a_second_writer_on_one_path_is_refused(path: Path) -> None:
    with ts.SBTWriter(path) as writer:
        with pytest.raises(ts.BusyError):
            ts.SBTWriter(path)
        writer.write_event(full_event())
    assert len(read(path)) == 1


def test_a_file_can_be_replaced_while_it_is_read(path: Path) -> None:
    for name in ("old", "new"):
        with ts.SBTWriter(path) as writer:
            writer.write_event(ts.TraceEvent(1, 1, name=name))
        if name == "old":
            trace = ts.open(path)
    assert list(trace.events.names) == ["old"] and list(read(path).names) == ["new"]


def test_io_errors_are_os_errors_with_number_and_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        ts.SBTWriter(tmp_path / "no" / "folder.sbt")
    assert caught.value.errno == errno.ENOENT and caught.value.filename.endswith("folder.sbt")
    with pytest.raises(OSError):
        ts.SBTWriter(tmp_path)
    with pytest.raises(ValueError, match="null"):
        ts.SBTWriter("a\0b")
    with pytest.raises(ValueError, match="compression"):
        ts.SBTWriter(tmp_path / "x.sbt", compression="lz4")


def test_a_full_disk_reaches_the_caller_and_the_file_stays_readable(path: Path) -> None:
    code = f"""
        import resource, signal, errno, numpy as np, tracesmith as ts
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        writer = ts.SBTWriter({str(path)!r})
        array = np.zeros(50_000, ts.EVENT_DTYPE)
        array["timestamp"] = np.random.default_rng(1).integers(0, 2**60, len(array))
        array["correlation"] = np.random.default_rng(2).integers(0, 2**60, len(array))
        try:
            writer.write_events(array)
            writer.finalize()
        except OSError as error:
            assert error.errno == errno.EFBIG, error
        else:
            raise SystemExit("no error")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, stderr=subprocess.DEVNULL)
    trace = ts.open(path)
    assert 0 < len(trace.events) < 50_000


def test_many_threads_write_one_file(path: Path) -> None:
    def work(writer: ts.SBTWriter, number: int) -> None:
        for i in range(300):
            writer.write_event(ts.TraceEvent(1, i, name=f"thread {number}", thread_id=number + 1))
        writer.write_events(sample(1000))

    with ts.SBTWriter(path) as writer:
        threads = [threading.Thread(target=work, args=(writer, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = read(path)
    assert len(events) == 5200
    for number in range(4):
        mine = events.names == f"thread {number}"
        assert mine.sum() == 300
        assert set(events.tables.threads["tid"][events["thread"][mine]]) == {number + 1}


def test_an_event_that_finalizes_the_writer_while_it_is_read_is_refused(path: Path) -> None:
    writer = ts.SBTWriter(path)

    class Evil:
        def __getattr__(self, name: str) -> object:
            if name == "duration":
                writer.finalize()
            return getattr(ts.TraceEvent(1, 1, thread_id=5), name)

    with pytest.raises(ts.StateError):
        writer.write_event(Evil())  # type: ignore[arg-type]
    assert os.path.exists(path) and len(read(path)) == 0
