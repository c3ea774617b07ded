"""The C reader and writer against docs/sbt.md, by way of the second decoder."""

import json
import random
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sbt_decoder as sbt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from python_samples import EVENTS, sample

import tracesmith as ts
from tracesmith import _capture, _core

BAD = Path(__file__).parent / "data" / "sbt" / "bad"
TABLE_NUMBERS = {name: number for number, name in sbt.TABLE_NAMES.items()}
TOP = 2**64 - 1


def _skip_zstd() -> str:
    if not _core.zstd_available():
        return "this build is without zstd"
    try:
        import zstandard  # noqa: F401
    except ImportError:
        return "the zstandard package is not installed"
    return ""


needs_zstd = pytest.mark.skipif(bool(_skip_zstd()), reason=_skip_zstd() or "zstd is there")
both = pytest.mark.parametrize("compression", ["none", pytest.param("zstd", marks=needs_zstd)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.sbt"


# ---- Two readers, one content


def assert_same_blocks(trace: ts.Trace, file: sbt.File) -> None:
    assert len(trace.block_table) == len(file.blocks)
    for number, (about, block) in enumerate(zip(trace.block_table, file.blocks, strict=True)):
        assert about["offset"] == block.section.offset
        assert [int(about[key]) for key in ("first_event", "begin_ns", "last_ns", "end_ns")] == [
            block.first_event,
            block.begin,
            block.last,
            block.end,
        ]
        assert (about["count"], about["extension_count"]) == (block.count, block.ext_count)
        array, extensions, rows = trace._store.read(np.array([number], np.intp))
        for name, values in block.fields.items():
            assert array[name].tolist() == values, name
        records = [
            (row, schema, kind, count, tuple(values))
            for row, (values, kind, count, schema) in zip(rows.tolist(), extensions.tolist(), strict=True)
        ]
        assert [(r[0], r[1], r[2], r[3], tuple(map(int, r[4]))) for r in records] == block.extensions
        assert_bounds_are_true(block)


def assert_bounds_are_true(block: sbt.Block) -> None:
    starts, durations = block.fields["timestamp"], block.fields["duration"]
    ends = [min(a + b, TOP) for a, b in zip(starts, durations, strict=True)]
    assert starts == sorted(starts)
    assert (block.begin, block.last, block.end) == (
        (starts[0], starts[-1], max(ends)) if starts else (0, 0, 0)
    )


def assert_same_tables(trace: ts.Trace, file: sbt.File) -> None:
    store = trace._store
    for name in _core.TABLES:
        table = file.table(TABLE_NUMBERS[name])
        assert store.count(name) == table.rows, name
        if name == "blobs":
            assert list(trace.blobs) == table.texts
        elif name == "strings":
            assert list(trace.strings) == [text.decode("utf-8", "surrogateescape") for text in table.texts]
        else:
            assert_same_rows(store.table(name), table)


def assert_same_rows(rows: np.ndarray, table: sbt.Table) -> None:
    for column in rows.dtype.names or ():
        values = np.ascontiguousarray(rows[column]).view(np.uint64).tolist()
        assert values == table.columns.get(column, [0] * table.rows), (table.name, column)


def assert_same_facts(trace: ts.Trace, file: sbt.File) -> None:
    facts, blocks = trace.info, [block for block in file.blocks if block.count]
    assert facts["complete"] == file.complete
    assert facts["version"] == ".".join(map(str, file.version)) and facts["uuid"] == str(
        uuid.UUID(bytes=file.uuid)
    )
    assert facts["used_bytes"] == file.used_bytes
    totals = [
        sum(block.count for block in file.blocks),
        sum(block.ext_count for block in file.blocks),
        len(file.blocks),
        min((block.begin for block in blocks), default=0),
        max((block.end for block in blocks), default=0),
    ]
    assert [facts[key] for key in ("events", "extensions", "blocks", "begin_ns", "end_ns")] == totals
    if file.footer is not None:
        assert list(file.footer[1:]) == totals
    by_producer = {int(position[0]): tuple(map(int, position)) for position in trace.positions.tolist()}
    assert by_producer == file.positions


def assert_same(path: Path) -> sbt.File:
    file = sbt.read_file(path.read_bytes())
    with ts.open(path) as trace:
        assert_same_facts(trace, file)
        assert_same_tables(trace, file)
        assert_same_blocks(trace, file)
    return file


def events_of(**columns: Any) -> np.ndarray:
    count = max(len(values) for values in columns.values())
    array = np.zeros(count, ts.EVENT_DTYPE)
    for name, values in columns.items():
        array[name] = np.array(values, np.uint64).astype(array[name].dtype)
    return array


ROWS = 1000  # the writer refuses ids that its tables do not know


def intern_rows(writer: ts.SBTWriter, count: int) -> None:
    for row in range(1, count):
        assert writer.intern(f"name {row}") == row
        assert writer.intern_row("frames", [0, 0, row, 0, 0]) == row
        assert writer.intern_row("stacks", [0, row]) == row
        assert writer.intern_row("threads", [0, row, 0]) == row
        assert writer.intern_row("streams", [0, 0, row, 0, 0, 0]) == row
        assert writer.intern_row("devices", [0, row] + [0] * 13) == row


def write_arrays(
    path: Path, array: np.ndarray, compression: str = "none", extensions: Any = None, rows: int = ROWS
) -> None:
    array["flags"] &= ~np.uint16(0x38)  # nor does it take an extra of a table that has no such row
    ids = [array[field] for field in ("name", "stack", "thread", "stream", "device")]
    for column in ids:
        column %= rows
    with ts.SBTWriter(path, compression) as writer:
        intern_rows(writer, max(int(column.max(initial=0)) for column in ids) + 1)
        if extensions is None:
            writer.write_events(array)
        else:
            writer._writer.write_batch(None, array, *extensions)


def written(file: sbt.File) -> list[tuple[int, ...]]:
    """Every event of every block as a tuple, sorted."""
    return sorted(event for block in file.blocks for event in zip(*block.fields.values(), strict=True))


@both
def test_objects_of_every_kind_read_alike(path: Path, compression: str) -> None:
    with ts.SBTWriter(path, compression) as writer:
        writer.write_events(EVENTS)
        writer.write_metadata(ts.TraceMetadata("app", hostname="here", process_id=7))
        writer.write_device_info([ts.DeviceInfo(0, "GPU", total_memory=2**40)])
        writer.write_events(sample(5000))
        writer.write_counter("load", -0.5, 4, "W")
        writer.write_event(ts.TraceEvent(1, 77, name="\udcff broken \0 ä"))
    file = assert_same(path)
    assert file.complete and sum(block.count for block in file.blocks) == len(EVENTS) + 5002
    assert file.required == (1 if compression == "zstd" else 0)


SHAPES: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "zeros": lambda rng, n: np.zeros(n, np.uint64),
    "top": lambda rng, n: np.full(n, TOP, np.uint64),
    "ends": lambda rng, n: rng.choice(np.array([0, 1, TOP, TOP - 1, 2**63, 2**63 - 1], np.uint64), n),
    "random": lambda rng, n: rng.integers(0, TOP, n, np.uint64, endpoint=True),
    "rising": lambda rng, n: np.arange(n, dtype=np.uint64) * 1000 + rng.integers(0, 999, n).astype(np.uint64),
    "falling": lambda rng, n: np.uint64(TOP) - np.arange(n, dtype=np.uint64) * np.uint64(3),
    "small": lambda rng, n: rng.integers(0, 5, n).astype(np.uint64),
    "few outliers": lambda rng, n: np.where(rng.random(n) < 0.01, np.uint64(TOP), np.uint64(3)),
    "many": lambda rng, n: rng.integers(0, 40_000, n).astype(np.uint64),
    "blocks of equal": lambda rng, n: np.arange(n, dtype=np.uint64) // np.uint64(100),
}


@both
@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 4095, 4096, 4097, 9000])
def test_columns_of_every_shape_come_back(path: Path, count: int, compression: str) -> None:
    rng = np.random.default_rng(count)
    shapes = list(SHAPES.values())
    array = np.zeros(count, ts.EVENT_DTYPE)
    for place, name in enumerate(sbt.FIELDS):
        values = shapes[(place + count) % len(shapes)](rng, count)
        array[name] = values.astype(array[name].dtype)
    array["type"] %= 256
    write_arrays(path, array, compression)
    file = assert_same(path)
    assert written(file) == sorted(array.tolist())


@both
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("field", ["timestamp", "duration", "correlation", "value", "name", "extra", "flags"])
def test_a_column_of_one_shape_among_zeros_comes_back(
    path: Path, field: str, shape: str, compression: str
) -> None:
    array = np.zeros(1300, ts.EVENT_DTYPE)
    array[field] = SHAPES[shape](np.random.default_rng(5), 1300).astype(array[field].dtype)
    write_arrays(path, array, compression)
    assert written(assert_same(path)) == sorted(array.tolist())


@both
def test_columns_that_follow_the_name_come_back(path: Path, compression: str) -> None:
    rng = np.random.default_rng(3)
    for case, names in enumerate(
        [
            rng.integers(0, 50, 4096),
            rng.integers(0, 3000, 4096),
            rng.zipf(1.5, 4096) % 2**32,
            np.full(4096, 9),
        ]
    ):
        array = events_of(timestamp=np.arange(4096), name=names)
        for place, field in enumerate(("stack", "extra", "type", "flags", "stream")):
            array[field] = (names * (place + 3)) % 199
            disagree = rng.random(4096) < place / 50
            array[field][disagree] = rng.integers(0, 200, int(disagree.sum()))
        copy = path.with_suffix(f".{case}")
        write_arrays(copy, array, compression)
        assert written(assert_same(copy)) == sorted(array.tolist())


U64 = st.one_of(st.integers(0, TOP), st.sampled_from([0, 1, TOP, 2**63]), st.integers(0, 20))
EVENT = st.tuples(*[U64.map(lambda v, bits=bits: v % 2**bits) for bits in sbt.FIELDS.values()])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENT, max_size=40), repeat=st.sampled_from([1, 1, 30]))
def test_any_events_come_back(tmp_path: Path, events: list[tuple[int, ...]], repeat: int) -> None:
    array = np.array(events * repeat, ts.EVENT_DTYPE)
    array["type"] %= 0xFF00
    write_arrays(tmp_path / "any.sbt", array, rows=20)
    assert written(assert_same(tmp_path / "any.sbt")) == sorted(array.tolist())


def random_bits(rng: random.Random, count: int, width: int) -> bytes:
    size = count // 512 * 64 * width + (count % 512 * width + 7) // 8
    return bytes([width]) + rng.randbytes(size)


def random_patches(rng: random.Random, count: int) -> bytes:
    out, place = b"", 0
    for _ in range(rng.choice([0, 0, 1, 5])):
        gap = rng.randrange((count - place) // 2 + 1)
        place += gap
        if place < count:
            out += sbt.varint(gap) + sbt.varint(rng.choice([0, 1, 2**20, TOP]))
    return out


def random_column(rng: random.Random, count: int) -> bytes:
    """Any coding, whether or not a writer would choose it; every place is in its dictionary."""
    transform, dictionary = rng.choice([0, 1, 2, 3]), rng.random() < 0.5
    start = sbt.varint(rng.choice([0, 5, TOP, rng.getrandbits(64)]))
    if transform == 0:
        return b"\0" + start
    out = bytes([transform | 0x10 * dictionary]) + start
    out += sbt.varint(rng.choice([0, 3, TOP])) if transform == 2 else b""
    if dictionary:
        width = rng.randrange(min(count.bit_length(), 12))
        out += sbt.varint(1 << width) + b"".join(sbt.varint(rng.getrandbits(64)) for _ in range(1 << width))
        return out + random_bits(rng, count, width)
    width = rng.randrange(65)
    return out + random_bits(rng, count, width) + (random_patches(rng, count) if width < 64 else b"")


def random_name(rng: random.Random, count: int) -> tuple[bytes, int]:
    """A name column, and the bits of what is packed in it."""
    width = rng.randrange(9)
    if rng.random() < 0.2:
        return b"\0\7", 0
    if rng.random() < 0.5 and 1 << width <= count:
        entries = b"".join(sbt.varint(rng.getrandbits(32)) for _ in range(1 << width))
        return b"\x11\0" + sbt.varint(1 << width) + entries + random_bits(rng, count, width), width
    return bytes([rng.choice([1, 3])]) + b"\3" + random_bits(rng, count, width), width


@pytest.mark.parametrize("seed", range(60))
def test_any_coding_reads_alike(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    count = rng.choice([1, 2, 7, 511, 512, 513, 1024, 1500])
    name, width = random_name(rng, count)
    columns = [random_column(rng, count) for _ in sbt.FIELDS]
    columns[sbt.NAME_COLUMN] = name
    for place in range(sbt.NAME_COLUMN + 1, len(columns)):
        if rng.random() < 0.5:
            table = random_column(rng, 1 << width)
            columns[place] = b"\4" + sbt.varint(1 << width) + sbt.prefixed(table) + random_patches(rng, count)
    payload = struct.pack("<IIQQQQ", count, 0, 0, 0, 0, 0) + b"\x0d"
    payload += b"".join(map(sbt.prefixed, columns)) + b"\0"
    path.write_bytes(sbt.make_file((sbt.BLOCK, payload, 0, count)))
    (block,) = sbt.read_file(path.read_bytes()).blocks
    array = ts.open(path)._store.read(np.arange(1))[0]
    for field, values in block.fields.items():
        assert array[field].tolist() == values, field


@both
@pytest.mark.parametrize("spread", [1, 2, 7, 300])
def test_extension_records_of_several_schemas_stay_in_order(
    path: Path, spread: int, compression: str
) -> None:
    rng = np.random.default_rng(spread)
    array = events_of(timestamp=np.arange(5000), correlation=np.arange(5000))
    rows = np.sort(rng.integers(0, 5000, 7000)).astype(np.uint32)
    extensions = np.zeros(7000, _core.EXTENSION_DTYPE)
    extensions["schema"] = rng.integers(0, spread, 7000)
    extensions["type"] = 0xFF00
    extensions["count"] = rng.integers(0, 8, 7000)
    extensions["values"] = SHAPES["ends"](rng, (7000, 7))
    extensions["values"][:, 0] = np.arange(7000)
    write_arrays(path, array, compression, (extensions, rows))
    file = assert_same(path)
    found = [
        (event, schema, kind, count, values)
        for block in file.blocks
        for row, schema, kind, count, values in block.extensions
        for event in [block.fields["correlation"][row]]
    ]
    assert found == [
        (row, schema, kind, count, tuple(values))
        for row, (values, kind, count, schema) in zip(
            rows.tolist(), [(list(map(int, e[0])), *e[1:]) for e in extensions.tolist()], strict=True
        )
    ]


@both
def test_many_streams_names_and_table_sections_read_alike(path: Path, compression: str) -> None:
    with ts.SBTWriter(path, compression) as writer:
        for part in range(4):
            writer.write_events(
                ts.TraceEvent(1, i * 10, name=f"kernel_{part}_{i}", stream_id=i % 700, thread_id=part)
                for i in range(1500)
            )
            writer.flush()
    file = assert_same(path)
    assert sum(section.kind == sbt.TABLE for section in file.sections) > 8


def test_an_empty_file_reads_alike(path: Path) -> None:
    with ts.SBTWriter(path):
        pass
    assert assert_same(path).footer is not None


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "session.sbt"
    session = ts.TracingSession()
    session.start(output=path)
    _capture.simulate(seed=3, devices=2, streams=3, steps=8)
    session.stop()
    return path


def test_a_recorded_session_reads_alike(recorded: Path) -> None:
    file = assert_same(recorded)
    assert file.complete and file.positions and sum(block.count for block in file.blocks) > 500
    assert file.table(TABLE_NUMBERS["info"]).rows > 1


# ---- Unfinished, unknown, damaged


def small(path: Path, compression: str = "none") -> bytes:
    """A file of some 3 kB with several sections of every kind."""
    cycle = np.random.default_rng(1).integers(0, TOP, 20, np.uint64)
    with ts.SBTWriter(path, compression) as writer:
        for at in range(0, 60, 20):
            writer.write_events([ts.TraceEvent(1, i * 7, name=f"k{i % 3 + at}") for i in range(at, at + 20)])
            writer.flush()
        writer.write_event(ts.MemoryEvent(2, bytes=3, ptr=4))
        writer.flush()
        writer.write_events(events_of(timestamp=range(400), value=np.resize(cycle, 400)))
    return path.read_bytes()


@both
def test_an_unfinished_file_gives_the_same_prefix(path: Path, compression: str) -> None:
    data = small(path, compression)
    whole = sbt.read_file(data)
    boundaries = [section.end() for section in whole.sections]
    near = {place + step for place in boundaries for step in (-1, 0, 1, 8, 31, 32, 33)}
    cuts = sorted(near | set(range(64, len(data), 37)) | {len(data)})
    for cut in cuts:
        if cut > len(data):
            continue
        path.write_bytes(sbt.unfinished(data, cut))
        file = assert_same(path)
        assert not file.complete
        assert file.used_bytes == max((b for b in boundaries if b <= cut), default=64)


def test_a_recording_cut_anywhere_gives_the_same_prefix(recorded: Path, path: Path) -> None:
    data = recorded.read_bytes()
    for cut in random.Random(1).sample(range(64, len(data)), 6):
        path.write_bytes(sbt.unfinished(data, cut))
        assert_same(path)


def inserted(data: bytes, after: int, kind: int, payload: bytes, table: int = 0, count: int = 0) -> bytes:
    """An unfinished copy with another section behind the given number of sections."""
    file = sbt.read_file(data)
    out = sbt.unfinished(data, 64)
    for number, section in enumerate(file.sections):
        if number == after:
            out += sbt.make_section(len(out), kind, payload, table, count)
        body = section.plain()
        out += sbt.make_section(len(out), section.kind, body, section.table, section.count)
    return out


def content(data: bytes, path: Path) -> tuple[Any, ...]:
    """All that somebody can read out of a file through the package."""
    path.write_bytes(data)
    with ts.open(path) as trace:
        array, extensions, rows = trace._store.read(np.arange(trace.info["blocks"]))
        tables = [
            trace._store.table(name).tolist() for name in _core.TABLES if name not in ("strings", "blobs")
        ]
        return (
            array.tobytes(),
            extensions.tobytes(),
            rows.tobytes(),
            tables,
            list(trace.strings),
            list(trace.blobs),
            trace.positions.tolist(),
        )


UNKNOWN_TABLE = b"".join(
    [
        sbt.varint(1),
        sbt.prefixed(b"novel"),
        b"\0",
        sbt.varint(1),
        sbt.prefixed(b"c"),
        b"\0\0",
        sbt.prefixed(b"\0\5"),
    ]
)


@pytest.mark.parametrize(
    ("kind", "payload", "table", "count"),
    [
        (5, b"what may this be", 0, 0),
        (5, b"", 0, 99),
        (0x7FFF, b"x" * 100, 3, 2**32 - 1),
        (sbt.TABLE, UNKNOWN_TABLE, 33, 1),
        (sbt.TABLE, UNKNOWN_TABLE, 1024, 1),
        (sbt.TABLE, UNKNOWN_TABLE, 65535, 1),
        (sbt.TABLE, b"not even of the usual layout", 2000, 1),
        (sbt.BLOCK | sbt.LOST, b"whatever is there", 0, 20),
        (sbt.LOST, b"whatever is there", 0, 0),
    ],
)
def test_what_is_unknown_is_passed_over(
    path: Path, kind: int, payload: bytes, table: int, count: int
) -> None:
    data = small(path)
    plain = content(sbt.unfinished(data, len(data)), path)
    for after in range(len(sbt.read_file(data).sections)):
        assert content(inserted(data, after, kind, payload, table, count), path) == plain


def with_unknown_column(section: sbt.Section) -> bytes:
    """The rows of a table with one more column, of a type that refers to a table nobody knows."""
    reader = sbt.Reader(section.plain())
    reader.varint()
    reader.prefixed()
    reader.u8()
    head = reader.data[: reader.at]
    columns = reader.varint()
    more = sbt.prefixed(b"novel") + b"\4" + sbt.varint(500) + sbt.prefixed(b"\0" + sbt.varint(TOP))
    return head + sbt.varint(columns + 1) + more + reader.data[reader.at :]


def rewritten(data: bytes, change: Callable[[sbt.Section], bytes | None]) -> bytes:
    """An unfinished copy in which change() gave sections another payload."""
    out = sbt.unfinished(data, 64)
    for section in sbt.read_file(data).sections:
        payload = change(section)
        if payload is None:
            payload = section.plain()
        out += sbt.make_section(len(out), section.kind, payload, section.table, section.count)
    return out


def test_unknown_columns_of_a_table_are_passed_over(path: Path) -> None:
    with ts.SBTWriter(path) as writer:
        writer.write_events(EVENTS)
    data = path.read_bytes()
    changed: list[int] = []

    def change(section: sbt.Section) -> bytes | None:
        if section.kind != sbt.TABLE or section.table <= 2:
            return None
        changed.append(section.table)
        return with_unknown_column(section)

    assert content(rewritten(data, change), path) == content(sbt.unfinished(data, len(data)), path)
    assert len(changed) > 5


def test_missing_columns_are_zero(path: Path) -> None:
    payload = sbt.varint(1) + sbt.prefixed(b"threads") + b"\0\1" + sbt.prefixed(b"tid") + b"\0\0"
    payload += sbt.prefixed(b"\0" + sbt.varint(77))
    path.write_bytes(sbt.make_file((sbt.TABLE, payload, TABLE_NUMBERS["threads"], 2)))
    assert_same(path)
    assert ts.open(path)._store.table("threads")["tid"].tolist() == [0, 77, 77]


def test_unknown_columns_of_a_block_are_passed_over(path: Path) -> None:
    data = small(path)

    def change(section: sbt.Section) -> bytes | None:
        if section.kind != sbt.BLOCK:
            return None
        reader = sbt.Reader(section.plain())
        reader.bytes(41)
        for _ in range(13):
            reader.prefixed()
        return reader.data[:40] + b"\x0e" + reader.data[41 : reader.at] + b"\3???" + reader.data[reader.at :]

    assert content(rewritten(data, change), path) == content(sbt.unfinished(data, len(data)), path)


def test_a_lost_table_keeps_later_rows_in_place(path: Path) -> None:
    data = small(path)
    out, lost = sbt.unfinished(data, 64), 0
    for section in sbt.read_file(data).sections:
        body, kind = section.plain(), section.kind
        if kind == sbt.TABLE and section.table == 1 and not lost:
            kind, body, lost = kind | sbt.LOST, b"damage", section.count
        out += sbt.make_section(len(out), kind, body, section.table, section.count)
    path.write_bytes(out)
    file = assert_same(path)
    whole = sbt.read_file(data).table(1).texts
    assert lost and file.table(1).texts == [b""] * (1 + lost) + whole[1 + lost :]


@pytest.mark.parametrize("header_too", [False, True])
@pytest.mark.parametrize("kind", [sbt.TABLE, sbt.BLOCK])
def test_what_repair_gives_up_reads_alike(path: Path, kind: int, header_too: bool) -> None:
    data = small(path)
    data = bytearray(sbt.unfinished(data, len(data)))
    whole = sbt.read_file(bytes(data))
    damaged = next(s for s in whole.sections if s.kind == kind and s.table in (0, 1))
    data[damaged.offset + (8 if header_too else 40)] ^= 0x40
    path.write_bytes(data)
    ts.repair(path)
    file = sbt.read_file(path.read_bytes())
    assert file.complete and file.sections[whole.sections.index(damaged)].kind & sbt.LOST
    names = {bytes(text) for text in file.table(1).texts}
    if kind == sbt.TABLE:
        assert file.table(1).texts == [b""] * (1 + damaged.count) + whole.table(1).texts[1 + damaged.count :]
        assert_same(path)
    else:
        assert written(file) == sorted(
            event for block in whole.blocks[1:] for event in zip(*block.fields.values(), strict=True)
        )
        assert names == set(whole.table(1).texts)
        assert len(ts.open(path)) == len(written(file))


def test_an_unknown_required_feature_is_refused_by_its_bit(path: Path) -> None:
    path.write_bytes(sbt.make_header(required=1 << 5))
    with pytest.raises(ts.UnsupportedError, match="5|0x20") as caught:
        ts.open(path)
    assert caught.value.offset == 20
    with pytest.raises(sbt.Unsupported, match="0x20"):
        sbt.read_file(path.read_bytes())


def test_another_major_version_is_refused_before_the_checksum(path: Path) -> None:
    path.write_bytes(sbt.make_header(major=2)[:60] + b"????")
    with pytest.raises(ts.UnsupportedError, match="2") as caught:
        ts.open(path)
    assert caught.value.offset == 8
    with pytest.raises(sbt.Unsupported, match="version 2"):
        sbt.read_file(path.read_bytes())


def test_a_higher_minor_version_is_read(path: Path) -> None:
    head = bytearray(sbt.make_header())
    head[10] = 9
    path.write_bytes(bytes(head[:60]) + struct.pack("<I", sbt.crc32c(bytes(head[:60]))))
    assert ts.open(path).info["version"] == "1.9"
    assert_same(path)


def test_a_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        ts.open(tmp_path)


EXPECTED = json.loads((BAD / "EXPECTED.json").read_text())


def read_all(path: Path) -> None:
    with ts.open(path) as trace:
        trace._store.read(np.arange(trace.info["blocks"]))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_bad_file_is_refused_where_it_is_bad(name: str) -> None:
    if "zstd" in name and not _core.zstd_available():
        pytest.skip("this build is without zstd")
    expected = EXPECTED[name]
    with pytest.raises(getattr(ts, expected["exception"])) as caught:
        read_all(BAD / name)
    assert type(caught.value).__name__ == expected["exception"]
    assert caught.value.offset == expected["offset"], str(caught.value)
    assert str(BAD / name) in str(caught.value)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_second_decoder_refuses_bad_files_too(name: str) -> None:
    if "zstd" in name and _skip_zstd():
        pytest.skip(_skip_zstd())
    with pytest.raises(sbt.Bad):
        sbt.read_file((BAD / name).read_bytes())


def test_every_bad_file_is_expected_and_made_by_the_script(tmp_path: Path) -> None:
    assert {file.name for file in BAD.glob("*.sbt")} == set(EXPECTED)
    subprocess.run([sys.executable, BAD.parent / "make_bad.py", tmp_path], check=True)
    for name in [*EXPECTED, "EXPECTED.json"]:
        assert (tmp_path / name).read_bytes() == (BAD / name).read_bytes(), name


def outcome(data: bytes, path: Path) -> tuple[Any, ...] | None:
    try:
        return content(data, path)
    except (ts.TraceError, OSError):
        return None


@both
def test_a_finished_file_cut_anywhere_is_refused(path: Path, compression: str) -> None:
    data = small(path, compression)
    for size in range(len(data)):
        assert outcome(data[:size], path) is None, size


@both
def test_one_wrong_byte_never_gives_other_data(path: Path, compression: str) -> None:
    data = small(path, compression)
    original = content(data, path)
    rng = random.Random(2)
    for place in range(len(data)):
        for change in (1 << rng.randrange(8), rng.randrange(1, 256)):
            damaged = bytearray(data)
            damaged[place] ^= change
            assert outcome(bytes(damaged), path) in (None, original), (place, change)


BOMB = """
import resource, sys
import tracesmith as ts
import numpy as np
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ts.open(sys.argv[1]) as trace:
    try:
        trace._store.read(np.arange(1))
    except ts.CorruptError:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@needs_zstd
@pytest.mark.parametrize("says_its_size", [True, False])
def test_a_plane_that_expands_beyond_its_rows_costs_no_memory(path: Path, says_its_size: bool) -> None:
    import zstandard

    compressor = zstandard.ZstdCompressor(write_content_size=says_its_size)
    frame = compressor.compress(bytes(400 << 20))
    assert len(frame) < 100_000
    column = b"\x21\0\1" + sbt.prefixed(frame)
    path.write_bytes(sbt.make_file((sbt.BLOCK, block_payload(100, column), 0, 100)))
    done = subprocess.run([sys.executable, "-c", BOMB, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20 << 10, "kB more than before"
    with pytest.raises(sbt.Bad, match="plane"):
        sbt.read_file(path.read_bytes())


def block_payload(count: int, first: bytes) -> bytes:
    """A block whose first column is given and whose others are zero."""
    payload = struct.pack("<IIQQQQ", count, 0, 0, 0, 0, 0) + b"\x0d" + sbt.prefixed(first)
    return payload + sbt.prefixed(b"\0\0") * 12 + b"\0"


def test_a_constant_block_of_65536_events_is_read_and_one_more_is_not(path: Path) -> None:
    path.write_bytes(sbt.make_file((sbt.BLOCK, block_payload(65536, b"\0\0"), 0, 65536)))
    assert_same(path)
    path.write_bytes(sbt.make_file((sbt.BLOCK, block_payload(65537, b"\0\0"), 0, 65537)))
    with pytest.raises(ts.CorruptError):
        read_all(path)


def memory_bytes() -> int:
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(facts[key].split()[0]) << 10 for key in ("MemTotal", "SwapTotal"))


def test_more_events_than_memory_are_read_block_by_block_only(path: Path) -> None:
    blocks = memory_bytes() // (65536 * 64) + 1
    payload = block_payload(65536, b"\0\0")
    path.write_bytes(sbt.make_file(*[(sbt.BLOCK, payload, 0, 65536)] * blocks))
    assert path.stat().st_size < memory_bytes() // 10_000
    with ts.open(path) as trace:
        assert len(trace) == blocks * 65536
        with pytest.raises((MemoryError, OverflowError), match="block by block"):
            _ = trace.events
        with pytest.raises((MemoryError, OverflowError), match="block by block"):
            _ = trace[0:1]
        assert len(next(iter(trace.blocks(0, 1)))) == 65536
        assert len(trace.read(65536 * 3 - 5, 10)) == 10


def test_an_extension_record_of_a_group_that_is_not_there_is_refused(tmp_path):
    sys.path.insert(0, str(Path(__file__).parent / "data" / "sbt"))
    from make_bad import ZERO, block, one_block

    heads = b"".join(sbt.prefixed(b"\0" + sbt.varint(v)) for v in (0, 1, 0xFF00, 7))
    groups = b"\1" + b"\7\2" + sbt.prefixed(ZERO) * 7
    (tmp_path / "f.sbt").write_bytes(one_block(block(ext_count=2)[:-1] + heads + groups + b"\0"))
    with pytest.raises(ts.CorruptError), ts.open(tmp_path / "f.sbt") as trace:
        trace._store.read(np.arange(1))
