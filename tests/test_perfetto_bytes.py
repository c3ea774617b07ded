"""The Perfetto export's bytes, by a decoder that knows nothing but protobuf."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from perfetto_check import (
    BASE,
    CHROME,
    COUNTER,
    LAUNCH,
    WORK,
    Maker,
    add_gpu,
    add_thread,
    export,
    fields,
    packets,
    write,
)

import tracesmith as ts
from tracesmith import EventType


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "trace.sbt")


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def gpu_events(path: Path) -> list[tuple[int, int]]:
    """Begin and duration of every render stage."""
    now, found = 0, []
    for packet in packets(path.read_bytes()):
        if packet.get(13) == 1:
            first = next(dict(fields(clock)) for number, clock in fields(packet[6]) if number == 1)
            now = first[2]
        now += signed(packet.get(8, 0))
        if 53 in packet:
            stage = dict(fields(packet[53]))
            found.append((now, stage[2]))
    return found


def many_kernels(maker: Maker, count: int) -> ts.Trace:
    streams = add_gpu(maker, streams=4)
    thread = add_thread(maker)
    shape = {"grid_y": 1, "grid_z": 1, "block_x": 128, "block_y": 1, "block_z": 1, "registers": 32}
    shapes = [maker.row("launches", grid_x=i + 1, **shape) for i in range(10)]
    chance = random.Random(1)
    now = BASE
    for i in range(count):
        now += chance.randrange(1000, 20000)
        number = min(99, int(chance.expovariate(0.1)))
        name = f"void at::native::vectorized_elementwise_kernel<4, Functor_{number}>"
        maker.add(
            EventType.KernelLaunch, now, int(chance.lognormvariate(9, 1)), name, correlation=i + 1,
            thread=thread, stream=chance.choice(streams), extra=chance.choice(shapes), flags=LAUNCH,
        )  # fmt: skip
    return maker.close()


def test_times_are_exact(maker: Maker, tmp_path: Path) -> None:
    trace = many_kernels(maker, 3000)
    array = trace.events.sorted_by_time().array
    assert gpu_events(write(trace, tmp_path)) == list(
        zip(array["timestamp"].tolist(), array["duration"].tolist(), strict=True)
    )


def test_deflated_packets_hold_the_same_bytes(maker: Maker, tmp_path: Path) -> None:
    trace = many_kernels(maker, 20000)
    plain = export(trace, tmp_path / "plain")
    packed = export(trace, tmp_path / "packed", compress=True)
    assert packed["bytes"] < plain["bytes"] / 2
    assert [*packets((tmp_path / "packed").read_bytes())] == [*packets((tmp_path / "plain").read_bytes())]


def test_a_lean_kernel_takes_less_than_32_bytes_and_all_of_it_a_seventh_of_json(
    maker: Maker, tmp_path: Path
) -> None:
    trace = many_kernels(maker, 20000)
    lean = export(trace, tmp_path / "lean", lean=True)
    full = export(trace, tmp_path / "full")
    assert lean["bytes"] < 32 * 20000
    assert full["bytes"] < 60 * 20000
    assert full["bytes"] <= 0.15 * export(trace, tmp_path / "full.json", CHROME)["bytes"]
    assert lean["bytes"] <= 0.2 * export(trace, tmp_path / "lean.json", CHROME, lean=True)["bytes"]


def test_one_event_of_each_type_and_what_options_leave_out(maker: Maker, tmp_path: Path) -> None:
    (stream,) = add_gpu(maker)
    thread = add_thread(maker)
    for i, kind in enumerate(EventType):
        place = {"stream": stream} if int(kind) in WORK else {"thread": thread}
        flags = {"flags": COUNTER} if kind is EventType.Counter else {}
        maker.add(kind, BASE + 100 * i, 10, f"{kind.name} x", **place, **flags)
    trace = maker.close()
    count = len(EventType)
    work = len(WORK)
    # RangeEnd has the form of an end; both ends of a pair have an extent here and are whole.
    assert export(trace, tmp_path / "a") == {
        "events": count,
        "written": count,
        "bytes": (tmp_path / "a").stat().st_size,
    }
    assert export(trace, tmp_path / "b", no_device=True)["written"] == count - work
    assert (
        export(trace, tmp_path / "c", no_host=True)["written"] == work + 3
    )  # the counter, and two of memory
    assert export(trace, tmp_path / "d", no_host=True, no_counters=True)["written"] == work
    kinds = [packet.keys() & {11, 53} for packet in packets((tmp_path / "d").read_bytes())]
    assert kinds.count({53}) == work and {11} not in kinds


def test_no_events_make_a_file_without_any(maker: Maker, tmp_path: Path) -> None:
    path = write(maker.close(), tmp_path)
    (first,) = packets(path.read_bytes())
    assert first[13] == 1 and 6 in first
