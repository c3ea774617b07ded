"""Repair where sections are destroyed together with their headers: no row changes its id, and no id
that is still referred to is given out again."""

import random
from pathlib import Path

import pytest
import sbt_decoder as sbt

import tracesmith as ts

REFERENCES = {"name": 1, "stack": 10, "thread": 6, "stream": 8, "device": 7}  # to these tables


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.sbt"


def cut(data: bytes) -> bytes:
    """A file without what only its end says."""
    return sbt.unfinished(data, sbt.read_file(data).sections[-1].end())


def destroy(data: bytes, sections: list[sbt.Section], header: bool) -> bytes:
    out = bytearray(data)
    for section in sections:
        out[section.offset + 33] ^= 0x5A
        out[section.offset + 24] ^= 0x5A * header
    return bytes(out)


def two_devices(path: Path) -> bytes:
    with ts.SBTWriter(path) as writer:
        for device in (0, 1):
            writer.write_event(ts.TraceEvent(1, 10 + device, name=f"kernel {device}", device_id=device))
            writer.flush()
    return cut(path.read_bytes())


def assert_rows_keep_their_ids(whole: sbt.File, repaired: sbt.File) -> None:
    """Every row is what it was or the placeholder: zeros, or the empty text."""
    for number, table in repaired.tables.items():
        before = whole.table(number)
        assert table.rows <= before.rows
        assert all(now in (b"", was) for now, was in zip(table.texts, before.texts, strict=False))
        for name, values in table.columns.items():
            assert all(now in (0, was) for now, was in zip(values, before.columns[name], strict=False))


def assert_references_are_taken(file: sbt.File) -> None:
    for block in file.blocks:
        for field, number in REFERENCES.items():
            assert all(row < file.table(number).rows for row in block.fields[field]), field
    for table, column, other in [(6, "name", 1), (7, "name", 1), (8, "device", 7), (8, "name", 1)]:
        assert all(row < file.table(other).rows for row in file.table(table).columns.get(column, []))


@pytest.mark.parametrize("header", [False, True])
def test_a_hole_that_held_rows_of_two_tables_is_repaired(path: Path, header: bool) -> None:
    data = two_devices(path)
    whole = sbt.read_file(data)
    lost = whole.sections[:2]
    assert [section.table for section in lost] == [1, 7]
    path.write_bytes(destroy(data, lost, header))
    ts.repair(path)
    file = sbt.read_file(path.read_bytes())
    assert file.complete and len(file.blocks) == 2
    assert_rows_keep_their_ids(whole, file)
    with ts.open(path) as trace:
        assert [(event.timestamp, event.device_id, event.name) for event in trace.events] == [
            (10, 0, ""),
            (11, 1, "kernel 1"),
        ]
        assert list(trace.strings) == ["", "", "", "kernel 1", "device 1"]
        assert trace.devices["ordinal"].tolist() == [0, 0, 1]


def test_rows_that_no_later_section_tells_of_are_counted_by_what_refers_to_them(path: Path) -> None:
    data = two_devices(path)
    whole = sbt.read_file(data)
    tables = [section for section in whole.sections if section.kind == sbt.TABLE]
    path.write_bytes(destroy(data, tables, True))
    ts.repair(path)
    file = sbt.read_file(path.read_bytes())
    assert_rows_keep_their_ids(whole, file)
    assert_references_are_taken(file)
    assert [event.name for event in ts.open(path).events] == ["", ""]
    assert whole.table(1).texts[4:] == [b"device 1"], "to which only a lost row refers"
    assert (file.table(1).rows, file.table(7).rows) == (4, whole.table(7).rows)


def mixed(path: Path, compression: str = "none") -> bytes:
    with ts.SBTWriter(path, compression) as writer:
        for part in range(4):
            writer.write_events(
                ts.TraceEvent(
                    1, part * 100 + i, name=f"k{part}{i % 5}", device_id=i % (part + 1), stream_id=i % 3
                )
                for i in range(20)
            )
            writer.write_counter(f"load {part}", 0.5, part * 100 + 90)
            writer.flush()
    return cut(path.read_bytes())


@pytest.mark.parametrize("seed", range(40))
def test_whatever_sections_are_destroyed_nothing_is_taken_for_another(path: Path, seed: int) -> None:
    data = mixed(path)
    whole = sbt.read_file(data)
    rng = random.Random(seed)
    lost = rng.sample(whole.sections, rng.randrange(1, len(whole.sections)))
    for section in lost:
        data = destroy(data, [section], rng.random() < 0.7)
    path.write_bytes(data)
    ts.repair(path)
    file = sbt.read_file(path.read_bytes())
    assert file.complete
    assert_rows_keep_their_ids(whole, file)
    assert_references_are_taken(file)
    kept = {section.offset for section in file.sections}
    last = max((section.offset for section in whole.sections if section not in lost), default=0)
    assert kept.issuperset(s.offset for s in whole.sections if s not in lost and s.offset <= last)
    original = {block.section.offset: block for block in whole.blocks}
    for block in file.blocks:
        assert block.fields == original[block.section.offset].fields
        names = [file.table(1).texts[row] for row in block.fields["name"]]
        assert all(
            name in (b"", whole.table(1).texts[row])
            for name, row in zip(names, block.fields["name"], strict=True)
        )
    assert len(ts.open(path).events) == sum(block.count for block in file.blocks)


def test_a_gap_that_lost_sections_explain_is_read_and_a_larger_one_is_not(path: Path) -> None:
    def rows(first: int) -> bytes:
        columns = b"\0\1" + sbt.prefixed(b"tid") + b"\0\0" + sbt.prefixed(b"\0\7")
        return sbt.varint(first) + sbt.prefixed(b"threads") + columns

    lost = (sbt.LOST, bytes(16), 0, 0)
    path.write_bytes(sbt.make_file(lost, (sbt.TABLE, rows(11), 6, 1), (sbt.TABLE, rows(18), 6, 1)))
    assert ts.open(path).threads["tid"].tolist() == [0] * 11 + [7] + [0] * 6 + [7]
    assert sbt.read_file(path.read_bytes()).table(6).columns["tid"] == [0] * 11 + [7] + [0] * 6 + [7]
    path.write_bytes(sbt.make_file(lost, (sbt.TABLE, rows(11), 6, 1), (sbt.TABLE, rows(19), 6, 1)))
    with pytest.raises(ts.CorruptError, match="threads"):
        ts.open(path)
