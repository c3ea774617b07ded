"""XRay logs made by hand: every kind of record, every version, and what is missing or damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xray_writer as log

import tracesmith as ts


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., tuple[ts.Events, ts.XRayImporter]]:
    def run(data: bytes, **config: Any) -> tuple[ts.Events, ts.XRayImporter]:
        path = tmp_path / "log.xray"
        path.write_bytes(data)
        importer = ts.XRayImporter(ts.XRayImporterConfig(**config))
        return importer.import_file(path), importer

    return run


def calls(events: ts.Events) -> list[tuple[str, int, int]]:
    chosen = events[events["type"] == ts.EventType.CpuOp]
    return list(
        zip(chosen.names.tolist(), chosen["timestamp"].tolist(), chosen["duration"].tolist(), strict=True)
    )


NESTED = [
    log.basic(log.ENTER, 1, 1000),
    log.basic(log.ENTER, 2, 1100, cpu=3),
    log.basic(log.EXIT, 2, 1150, cpu=4),
    log.basic(log.ENTER, 3, 1200),
    log.basic(log.TAIL_EXIT, 3, 1210),
    log.basic(log.EXIT, 1, 2000),
]


def test_nested_calls_become_events(load: Any) -> None:
    events, importer = load(log.header(3, 0) + b"".join(NESTED))
    assert calls(events) == [("function 1", 1000, 1000), ("function 2", 1100, 50), ("function 3", 1200, 10)]
    assert {event.thread_id for event in events} == {7}
    assert events.tables.processes["pid"].tolist() == [0, 5]
    about = events.extensions("xray")
    assert about["function"].tolist() == [1, 2, 3]
    assert (about["cpu"].tolist(), about["exit_cpu"].tolist()) == ([0, 3, 0], [0, 4, 0])
    assert about["exit"].tolist() == [log.EXIT, log.EXIT, log.TAIL_EXIT]
    assert importer.report.skipped == [("function name", "no binary was given: functions are numbers", 3)]
    assert importer.header == ts.XRayFileHeader(3, 0, 10**9, 6)


def test_ticks_become_nanoseconds_by_the_headers_frequency(load: Any) -> None:
    records = log.basic(log.ENTER, 1, 3 * 10**18) + log.basic(log.EXIT, 1, 3 * 10**18 + 3_100_000)
    events, _ = load(log.header(3, 0, frequency=3_100_000_000) + records)
    assert calls(events) == [("function 1", 3 * 10**18 * 10 // 31, 10**6 + (3 * 10**19 % 31 + 0) // 31)]


def test_records_of_threads_may_be_mixed(load: Any) -> None:
    records = [
        log.basic(log.ENTER, 1, 10, tid=7),
        log.basic(log.ENTER, 1, 11, tid=8),
        log.basic(log.EXIT, 1, 12, tid=7),
        log.basic(log.EXIT, 1, 14, tid=8),
    ]
    events, _ = load(log.header(3, 0) + b"".join(records))
    assert [(event.thread_id, event.timestamp, event.duration) for event in events] == [
        (7, 10, 2),
        (8, 11, 3),
    ]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_process_is_known_from_version_3_on(load: Any, version: int) -> None:
    events, _ = load(log.header(version, 0) + b"".join(NESTED))
    assert events.tables.processes["pid"].tolist() == ([0, 5] if version == 3 else [0])


def test_an_argument_belongs_to_the_call_before_it(load: Any) -> None:
    records = [
        log.basic(log.ENTER_ARGUMENT, 4, 10),
        log.basic_argument(4, 2**64 - 3),
        log.basic(log.EXIT, 4, 12),
        log.basic_argument(4, 1),
    ]
    events, importer = load(log.header(3, 0) + b"".join(records))
    assert events.extensions("xray")["argument"].tolist() == [2**64 - 3]
    assert ("argument", "not behind its function's entry", 1) in importer.report.skipped


def test_a_call_without_an_exit_ends_with_its_caller_and_says_so(load: Any) -> None:
    records = [
        log.basic(log.ENTER, 1, 10),
        log.basic(log.ENTER, 2, 20),
        log.basic(log.ENTER, 3, 30),
        log.basic(log.EXIT, 1, 40),
        log.basic(log.EXIT, 9, 50),
        log.basic(log.ENTER, 5, 60),
        log.basic(log.ENTER, 6, 70),
    ]
    events, importer = load(log.header(3, 0) + b"".join(records))
    assert [(end[1], end[1] + end[2]) for end in calls(events)] == [
        (10, 40),
        (20, 40),
        (30, 40),
        (60, 70),
        (70, 70),
    ]
    inferred = (events["flags"] & 0x40 != 0).tolist()
    assert inferred == [False, True, True, True, True]
    assert ("function exit", "its entry is not in the log", 1) in importer.report.skipped
    assert (
        "function exit",
        "not in the log: the call ends where its thread does",
        2,
    ) in importer.report.skipped


def test_recursion_is_matched_from_the_innermost_call(load: Any) -> None:
    depth = 3000
    records = [log.basic(log.ENTER, 1, at) for at in range(depth)]
    records += [log.basic(log.EXIT, 1, depth + at) for at in range(depth)]
    events, _ = load(log.header(3, 0) + b"".join(records))
    assert events["duration"].tolist() == [2 * depth - 1 - 2 * at for at in range(depth)]


def test_time_that_goes_back_is_held_still(load: Any) -> None:
    events, importer = load(
        log.header(3, 0) + log.basic(log.ENTER, 1, 100) + log.basic(log.EXIT, 1, 90, cpu=1)
    )
    assert calls(events) == [("function 1", 100, 0)]
    assert ("time", "it went back, and was held still", 1) in importer.report.skipped


WALL = 1_500_000_000  # of the buffers, in ns


def recorder(*records: bytes, **options: Any) -> bytes:
    return log.buffer(log.cpu(2, 10**6), *records, **options)


def test_a_flight_recorder_counts_ticks_from_the_record_before(load: Any) -> None:
    records = [
        log.function(log.ENTER, 1, 0),
        log.function(log.ENTER_ARGUMENT, 2, 2**32 - 1),
        log.metadata(log.ARGUMENT, (77).to_bytes(8, "little")),
        log.metadata(log.WRAP, (2**40).to_bytes(8, "little")),
        log.function(log.EXIT, 2, 5),
        log.cpu(300, 2**41),
        log.function(log.TAIL_EXIT, 1, 7),
    ]
    events, _ = load(log.header(5, 1, buffer_bytes=4096) + recorder(*records))
    ends = 2**41 + 7 - 10**6, 2**40 + 5 - 10**6
    assert calls(events) == [
        ("function 1", WALL, ends[0]),
        ("function 2", WALL + 2**32 - 1, ends[1] - 2**32 + 1),
    ]
    about = events.extensions("xray")
    assert (about["cpu"].tolist(), about["exit_cpu"].tolist()) == ([2, 2], [300, 2])
    assert about["argument"].tolist() == [0, 77]


def test_buffers_are_put_in_order_of_time(load: Any) -> None:
    first = log.buffer(log.cpu(0, 1000), log.function(log.ENTER, 1, 0), wall_us=1)
    second = log.buffer(log.cpu(0, 9000), log.function(log.EXIT, 1, 0), wall_us=9)
    events, _ = load(log.header(5, 1) + second + first)
    assert calls(events) == [("function 1", 1000, 8000)]


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_every_version_of_the_flight_recorder_is_read(load: Any, version: int) -> None:
    records = [
        log.function(log.ENTER, 1, 10),
        log.custom(b"beat", version=version, time=20 if version == 5 else 10**6 + 30, processor=9),
        log.function(log.EXIT, 1, 30),
    ]
    made = b"".join(recorder(*records, version=version, size=256, tid=tid) for tid in (7, 8))
    events, importer = load(log.header(version, 1, buffer_bytes=256) + made)
    assert len(events) == 4
    assert [event.thread_id for event in events] == [7, 8, 7, 8]
    assert calls(events) == [("function 1", WALL + 10, 50 if version == 5 else 30)] * 2
    beat = events[2]
    assert (beat.type, beat.timestamp, beat.metadata) == (ts.EventType.Custom, WALL + 30, {"data": "beat"})
    assert events.extensions("xray:custom")["cpu"].tolist() == [9 if version == 4 else 2] * 2
    assert events.tables.notes.get("clock") == "monotonic"
    assert not importer.report.truncated
    assert events.tables.processes["pid"].tolist() == ([0, 5] if version >= 3 else [0])


def test_what_the_program_put_in_stays_what_it_was(load: Any) -> None:
    payloads = [b"hello", b"[1]", b'say "it"', b"12", b"\xff\0", "grüß".encode(), b"true", b'"q\\"']
    made = [log.custom(data, time=1) for data in payloads] + [log.typed(513, b"{}", -2)]
    events, importer = load(log.header(5, 1) + recorder(*made))
    assert [event.metadata for event in events] == [
        {"data": "hello"},
        {"data": '"[1]"'},
        {"data": 'say "it"'},
        {"data": '"12"'},
        {"bytes": "0xff00"},
        {"data": "grüß"},
        {"data": r'"{}"'},
        {"data": '"true"'},
        {"data": r'"\"q\\\""'},
    ]
    assert events.extensions("xray:typed")["type"].tolist() == [513]
    assert events[6].name == "typed event 513"
    assert importer.report.understood == {"custom event": 8, "typed event": 1}
    assert importer.statistics.custom_events == 9


def test_the_records_come_back_one_by_one(load: Any) -> None:
    made = recorder(
        log.function(0, 1, 0), log.custom(b"x", time=3), log.typed(1, b"y", 3), log.function(2, 1, 4)
    )
    _, importer = load(log.header(5, 1) + made)
    kinds = ts.XRayEntryType
    expected = [kinds.FunctionEnter, kinds.CustomEvent, kinds.TypedEvent, kinds.TailExit]
    assert [record.type for record in importer.raw_records] == expected
    assert importer.raw_records[3] == ts.XRayFunctionRecord(1, WALL + 10, kinds.TailExit, 7, 2, "function 1")


def test_short_calls_and_custom_events_can_be_left_out(load: Any) -> None:
    data = log.header(5, 1) + recorder(
        log.function(0, 1, 0),
        log.function(0, 2, 1),
        log.function(1, 2, 10),
        log.custom(b"x", time=3),
        log.function(1, 1, 4),
    )
    events, importer = load(data, filter_short_calls=True, min_duration_ns=11, include_custom_events=False)
    assert events.names.tolist() == ["function 1"]
    assert (importer.statistics.records_filtered, importer.statistics.records_converted) == (2, 1)
    assert importer.import_buffer(data).names.tolist() == ["function 1"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (log.header(4, 0) + NESTED[0], "basic XRay log of version 4"),
        (log.header(3, 0, frequency=0) + NESTED[0], "known format"),
        (log.header(1, 1, buffer_bytes=3) + NESTED[0], "buffers of 3 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(load: Any, data: bytes, words: str) -> None:
    with pytest.raises(ts.TraceError, match=words):
        load(data)


def test_a_damaged_buffer_costs_only_its_rest(load: Any) -> None:
    good = recorder(log.function(0, 1, 0), log.function(1, 1, 4))
    bad = recorder(log.function(0, 2, 0), log.metadata(60), log.function(1, 2, 4))
    events, importer = load(log.header(5, 1) + bad + b"\0" * 5 + good)
    assert calls(events) == [("function 1", WALL, 4), ("function 2", WALL, 4)]
    assert ("buffer", "damaged: its rest is left out", 1) in importer.report.skipped
    assert ("bytes", "of no buffer", 5) in importer.report.skipped


LOGS = {
    "basic": log.header(3, 0) + b"".join(NESTED) + log.basic(3, 4, 2100) + log.basic_argument(4, 9),
    "fdr": log.header(5, 1)
    + recorder(log.function(3, 1, 0), log.metadata(log.ARGUMENT, b"x"), log.custom(b"beat", time=20))
    + recorder(log.typed(3, b"payload", 8), log.function(1, 1, 4), wall_us=1_600_000),
    "fdr 1": log.header(1, 1, buffer_bytes=128) + recorder(log.function(0, 1, 0), version=1, size=128) * 2,
}


def attempt(load: Any, data: bytes) -> ts.XRayImporter | None:
    try:
        return load(data)[1]
    except ts.TraceError:
        return None


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_cut_anywhere_is_refused_or_read_up_to_there(load: Any, kind: str) -> None:
    whole = load(LOGS[kind])[1]
    seen = 0
    for size in range(len(LOGS[kind])):
        importer = attempt(load, LOGS[kind][:size])
        assert (importer is None) == (size < 32)
        if importer is not None:
            seen = len(importer.raw_records)
            assert seen <= len(whole.raw_records)
            assert importer.report.truncated or kind != "fdr" or size in (32, 32 + 16 + 48 + 16 + 8 + 16 + 20)
    assert seen >= len(whole.raw_records) - 2


@pytest.mark.parametrize("kind", LOGS)
def test_a_byte_changed_anywhere_does_no_harm(load: Any, kind: str) -> None:
    random = np.random.default_rng(7)
    for at in range(len(LOGS[kind])):
        data = bytearray(LOGS[kind])
        data[at] ^= int(random.integers(1, 256))
        importer = attempt(load, bytes(data))
        assert importer is None or len(importer.raw_records) <= 2 * len(LOGS[kind])
