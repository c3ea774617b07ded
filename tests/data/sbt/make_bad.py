"""Makes the files in bad/: each has one thing wrong that a reader must refuse, with the exception
and the byte offset that must come out. `python make_bad.py [folder]` writes them and EXPECTED.json."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

import sbt_decoder as sbt  # noqa: E402

FIRST = 64  # where the first section begins
PAYLOAD = FIRST + 32
COLUMNS = PAYLOAD + 40  # of a block

Case = tuple[str, bytes, str, int]
ZERO = b"\0\0"  # a column: constant 0


def block(columns: dict[int, bytes] | None = None, count: int = 10, **other: int) -> bytes:
    """A block of zeros, but for the columns given by number."""
    about = {"ext_count": 0, "first": 0, "begin": 0, "last": 0, "end": 0} | other
    payload = struct.pack("<IIQQQQ", count, *about.values()) + b"\x0d"
    return payload + b"".join(sbt.prefixed((columns or {}).get(i, ZERO)) for i in range(13)) + b"\0"


def one_block(payload: bytes, count: int = 10) -> bytes:
    return sbt.make_file((sbt.BLOCK, payload, 0, count))


def column(number: int, data: bytes) -> bytes:
    return one_block(block({number: data}))


def table(first: int, columns: bytes, count: int, number: int, name: bytes) -> bytes:
    payload = sbt.varint(first) + sbt.prefixed(name) + columns
    return sbt.make_file((sbt.TABLE, payload, number, count))


def headers() -> Iterator[Case]:
    head = sbt.make_header()
    yield "empty", b"", "TruncatedError", 0
    yield "text", b"this is a text, and a long one, that nobody would take for a trace " * 2, "FormatError", 0
    # The earlier format: ts.open imports such files, and refuses this one there.
    yield "sbt-0.1", b"SBT\0" + struct.pack("<HH", 0, 1) + bytes(120), "CorruptError", 12
    yield "line-ends", head.replace(b"\r\n", b"\n"), "FormatError", 0
    yield "half-a-header", head[:40], "TruncatedError", 40
    yield "header-checksum", head[:40] + b"?" + head[41:], "CorruptError", 0
    yield "version-2", sbt.make_header(major=2), "UnsupportedError", 8
    yield "version-0", sbt.make_header(major=0), "UnsupportedError", 8
    yield "required-bit-31", sbt.make_header(required=1 << 31), "UnsupportedError", 20
    for size in (0, 56, 68):
        odd = head[:12] + struct.pack("<I", size) + head[16:60]
        yield f"header-of-{size}", odd + struct.pack("<I", sbt.crc32c(odd)), "CorruptError", 0


def finished() -> Iterator[Case]:
    yield "footer-nowhere", sbt.make_header(footer=0, flags=0) + bytes(64), "CorruptError", 0
    yield "footer-beyond", sbt.make_header(footer=4096, flags=0), "TruncatedError", 64
    index = sbt.make_section(FIRST, sbt.INDEX, struct.pack("<Q", 0) + b"\0")
    at = FIRST + len(index)
    footer = sbt.make_section(at, sbt.FOOTER, struct.pack("<6Q", FIRST, 0, 0, 0, 0, 0))
    head = sbt.make_header(footer=at, flags=0)
    torn = bytearray(footer)
    torn[-1] ^= 1
    yield "footer-payload", head + index + torn, "CorruptError", at
    yield "index-payload", head + index[:-8] + b"\1" + index[-7:] + footer, "CorruptError", FIRST
    many = sbt.make_section(FIRST, sbt.INDEX, struct.pack("<Q", 2**58) + b"\0")
    yield "index-of-2-to-the-58", head + many + footer, "CorruptError", FIRST


def columns() -> Iterator[Case]:
    yield "unknown-transform", column(0, b"\5\0\0"), "UnsupportedError", FIRST
    yield "unknown-coding-bit", column(0, b"\x41\0\0"), "UnsupportedError", FIRST
    yield "width-65", column(0, b"\1\0\x41" + bytes(90)), "CorruptError", FIRST
    yield "bits-end-early", column(0, b"\1\0\x08" + bytes(9)), "CorruptError", FIRST
    yield "varint-of-65-bits", column(0, b"\0" + b"\xff" * 9 + b"\2"), "CorruptError", FIRST
    yield "patch-outside", column(0, b"\1\0\x01\0\0" + b"\x0a\1"), "CorruptError", FIRST
    yield (
        "patch-gap-overflows",
        column(0, b"\1\0\1\0\0\3\1" + sbt.varint(2**64 - 2) + b"\1"),
        "CorruptError",
        FIRST,
    )
    yield "dictionary-too-big", column(0, b"\x11\0\x0b" + bytes(11) + b"\0"), "CorruptError", FIRST
    yield "dictionary-of-none", column(1, b"\x11\0\0\0"), "CorruptError", FIRST
    yield "nine-planes", column(0, b"\x21\0\x09" + (b"\x0a" + bytes(10)) * 9), "CorruptError", FIRST
    yield "zstd-not-a-frame", column(1, b"\x21\0\1\x05hello"), "CorruptError", FIRST
    yield "mapped-before-name", column(0, b"\4\1\2\0\0"), "CorruptError", FIRST
    yield "mapped-of-4097", column(8, b"\4" + sbt.varint(4097) + b"\2\0\0"), "CorruptError", FIRST
    yield "mapped-by-mapped", column(8, b"\4\1\5\4\1\2\0\0"), "CorruptError", FIRST


def blocks() -> Iterator[Case]:
    yield "block-too-short", one_block(bytes(39)), "CorruptError", FIRST
    yield "block-of-12-columns", one_block(block()[:40] + b"\x0c" + block()[44:]), "CorruptError", FIRST
    yield "block-of-another-count", one_block(block(count=11)), "CorruptError", FIRST
    yield "block-of-65537", one_block(block(count=65537), 65537), "CorruptError", FIRST
    yield "column-longer-than-block", one_block(block()[:41] + b"\xff\x7f" + bytes(40)), "CorruptError", FIRST

    def extended(row: int, group: int, groups: bytes) -> bytes:
        values = b"".join(sbt.prefixed(b"\0" + sbt.varint(v)) for v in (row, group, 0xFF00, 7))
        return one_block(block(ext_count=2)[:-1] + values + groups + b"\0")

    group = b"\1" + b"%c" + sbt.prefixed(ZERO) * 7
    yield "extension-of-no-event", extended(10, 0, b"\1" + group.replace(b"%c", b"\2")), "CorruptError", FIRST
    yield "group-too-small", extended(0, 0, b"\1" + group.replace(b"%c", b"\1")), "CorruptError", FIRST
    yield "group-too-big", extended(0, 0, b"\1" + group.replace(b"%c", b"\3")), "CorruptError", FIRST


def tables() -> Iterator[Case]:
    threads = b"\0\1" + sbt.prefixed(b"tid") + b"\0\0" + sbt.prefixed(b"\0\7") + bytes(50)
    yield "table-with-a-gap", table(2, threads, 1, 6, b"threads"), "CorruptError", FIRST
    yield "table-from-row-0", table(0, threads, 1, 6, b"threads"), "CorruptError", FIRST
    yield "more-rows-than-bytes", table(1, threads, 100, 6, b"threads"), "CorruptError", FIRST
    yield "table-of-form-2", table(1, b"\2" + bytes(8), 1, 6, b"threads"), "CorruptError", FIRST
    itself = b"\0\1" + sbt.prefixed(b"parent") + b"\4\x0a" + sbt.prefixed(b"\0\1")
    yield "stack-of-itself", table(1, itself, 1, 10, b"stacks"), "CorruptError", FIRST

    def texts(length: int, data: bytes, count: int = 1) -> bytes:
        sizes = sbt.prefixed(b"\0" + sbt.varint(length))
        return table(1, b"\1" + sizes + sbt.prefixed(data), count, 1, b"strings")

    yield "text-too-long", texts(3, b"abcd"), "CorruptError", FIRST
    yield "texts-of-2-to-the-64", texts(2**63, b"abcd", 2), "CorruptError", FIRST
    yield "zstd-text-not-a-frame", texts(5, b"abcd"), "CorruptError", FIRST
    # A frame of 2000 zeros, in one block of one repeated byte: more than 64 times the section.
    frame = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", 2000 - 256) + (2000 << 3 | 3).to_bytes(3, "little")
    yield "zstd-texts-of-too-many-bytes", texts(2000, frame + b"\0"), "CorruptError", FIRST
    lost = (sbt.LOST, bytes(16), 0, 0)
    rows = sbt.varint(18) + sbt.prefixed(b"threads") + threads
    after = sbt.make_file(lost, (sbt.TABLE, rows, 6, 1))
    yield "gap-larger-than-what-is-lost", after, "CorruptError", FIRST + 48


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "bad"
    expected = {}
    for cases in (headers, finished, columns, blocks, tables):
        for name, data, exception, offset in cases():
            (folder / f"{name}.sbt").write_bytes(data)
            expected[f"{name}.sbt"] = {"exception": exception, "offset": offset}
    (folder / "EXPECTED.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
