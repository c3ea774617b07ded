"""Files of the earlier TraceSmith: every combination of fields, and what is missing or damaged."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sbt01_writer import Event, File

import tracesmith as ts

KERNEL = (256, 2, 1, 128, 1, 1, 4096, 32)
STACK = (77, [(0x4010, "inner", "a.cpp", 12), (0x4020, "outer", "", 0)])
NUMBERS = (9, 0, 80 << 30, 2619000, 5120, 132, 2048, 1980000, 32)
METADATA = ("train", "python train.py", 5, 9, "node1", 4242)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes], ts.Trace]:
    def run(data: bytes) -> ts.Trace:
        path = tmp_path / "old.sbt"
        path.write_bytes(data)
        return ts.open(path)

    return run


def combinations() -> list[Event]:
    """One event for each set of parts that an event may have."""
    made = []
    for flags in range(16):
        made.append(
            Event(
                3 if flags & 4 else 1,
                1000 + 10 * flags,
                f"op {flags}",
                duration=flags + 1 if flags & 1 else None,
                device=flags % 3,
                stream=flags % 5,
                correlation=flags * 7,
                kernel=KERNEL if flags & 2 else None,
                memory=(0xA000, 0xB000, 512 + flags) if flags & 4 else None,
                stack=STACK if flags & 8 else None,
            )
        )
    return made


WHOLE = File(combinations(), METADATA, [(0, "H100", "NVIDIA", NUMBERS), (1, "H100", "NVIDIA", NUMBERS)])


def test_every_combination_of_parts_is_read(load: Callable[[bytes], ts.Trace]) -> None:
    with load(bytes(WHOLE)) as trace:
        events = list(trace.events)
        assert len(events) == len(WHOLE.events)
        for old, new in zip(WHOLE.events, events, strict=True):
            assert (new.type, new.timestamp, new.name) == (old.type, old.timestamp, old.name)
            assert (new.duration, new.correlation_id) == (old.duration or 0, old.correlation)
            assert (new.device_id, new.stream_id) == (old.device, old.stream)
            assert new.kernel_params == (old.kernel and ts.KernelParams(*old.kernel))
            assert new.memory_params == (old.memory and ts.MemoryParams(*old.memory))
            assert new.value == (old.memory[2] if old.memory else None)
            frames = [] if new.call_stack is None else new.call_stack.frames
            found = [(f.address, f.function_name, f.file_name, f.line_number) for f in frames]
            assert found == (old.stack[1] if old.stack else [])
            if old.stack:
                assert new.call_stack is not None and new.call_stack.thread_id == old.stack[0]
        assert trace.imported is not None and not trace.imported.truncated and not trace.imported.skipped
        assert trace.imported.understood["KernelLaunch"] == 8
        assert trace.notes["clock"] == "unix"
        assert trace.notes["command_line"] == "python train.py"
        assert trace.processes["pid"].tolist() == [0, 4242]
        device = trace.devices[1]
        assert (trace.text(device["name"]), device["memory_bytes"], device["warp_size"]) == (
            "H100",
            80 << 30,
            32,
        )


def test_every_type_keeps_its_number(load: Callable[[bytes], ts.Trace]) -> None:
    types = [*range(22), 255, 200]
    with load(bytes(File([Event(kind, 10 + at, "x") for at, kind in enumerate(types)]))) as trace:
        assert trace.events["type"].tolist() == [*range(22), 255, 0]


def test_pairs_stay_pairs_and_are_joined_by_readers(load: Callable[[bytes], ts.Trace]) -> None:
    pair = [Event(1, 100, "gemm", stream=3, correlation=5), Event(2, 180, "gemm", stream=3, correlation=5)]
    with load(bytes(File(pair))) as trace:
        assert trace.events["duration"].tolist() == [0, 0]
        assert ts.build_timeline(trace.events).total_duration == 80


def test_a_host_event_lies_on_its_thread_and_work_on_its_stream(load: Callable[[bytes], ts.Trace]) -> None:
    with load(bytes(File([Event(7, 1, "sync", stack=STACK), Event(1, 2, "gemm", stack=STACK)]))) as trace:
        assert trace.threads["tid"][trace.events["thread"]].tolist()[0] == 77
        assert (trace.events["stream"] != 0).all()


def test_time_may_go_back(load: Callable[[bytes], ts.Trace]) -> None:
    with load(bytes(File([Event(17, 500, "b"), Event(17, 400, "a"), Event(17, 600, "c")]))) as trace:
        assert trace.events["timestamp"].tolist() == [400, 500, 600]
        assert trace.events.names.tolist() == ["a", "b", "c"]


def test_an_empty_file_has_no_events(load: Callable[[bytes], ts.Trace]) -> None:
    with load(bytes(File([]))) as trace:
        assert len(trace) == 0 and trace.imported is not None and not trace.imported.truncated


def test_the_writer_of_these_tests_is_that_of_the_earlier_tracesmith() -> None:
    """The kept file was written by TraceSmith 0.9's own SBTWriter, from the same events."""
    kept = Path(__file__).parent / "data" / "sbt01" / "good" / "every-combination.sbt"
    assert bytes(WHOLE) == kept.read_bytes()


def test_a_file_that_was_never_finished_loses_only_names(load: Callable[[bytes], ts.Trace]) -> None:
    data = bytes(dataclasses.replace(WHOLE, finished=False))
    with load(data) as trace:
        assert trace.events["timestamp"].tolist() == [event.timestamp for event in WHOLE.events]
        assert trace.events.names[0] == "name 0"
        assert trace.processes["pid"].tolist() == [0, 4242]
        assert trace.imported is not None and trace.imported.truncated
        assert ("names", "the file was never finished: its names are lost", 1) in trace.imported.skipped


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (4, 1, "SBT 1.1 of the earlier"),
        (6, 2, "SBT 0.2 of the earlier"),
        (12, 64, "header of 64 bytes"),
        (64, 2, "compression 2"),
    ],
)
def test_other_headers_are_refused_by_name(
    load: Callable[[bytes], ts.Trace], at: int, value: int, words: str
) -> None:
    data = bytearray(bytes(WHOLE))
    data[at] = value
    with pytest.raises(ts.TraceError, match=words):
        load(bytes(data))


def attempt(load: Callable[[bytes], ts.Trace], data: bytes) -> tuple[int, bool] | None:
    """How many events, and whether the report tells of damage; None when refused."""
    try:
        with load(data) as trace:
            report = trace.imported
            assert report is not None
            return len(trace), report.truncated or bool(report.skipped)
    except ts.TraceError:
        return None


@pytest.mark.parametrize("finished", [True, False])
def test_a_file_cut_anywhere_is_refused_or_partial_with_a_report(
    load: Callable[[bytes], ts.Trace], finished: bool
) -> None:
    data = bytes(dataclasses.replace(WHOLE, finished=finished))
    most = 0
    # Without its last byte, the end mark, a finished file lacks nothing.
    for size in range(len(data) - finished):
        found = attempt(load, data[:size])
        assert (found is None) == (size < 72)
        if found is not None:
            assert found[1] and found[0] >= most
            most = found[0]
    assert most >= len(WHOLE.events) - (not finished)


def test_a_byte_changed_anywhere_does_no_harm(load: Callable[[bytes], ts.Trace]) -> None:
    data = bytes(WHOLE)
    random = np.random.default_rng(3)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= int(random.integers(1, 256))
        found = attempt(load, bytes(changed))
        assert found is None or found[0] <= len(data)
