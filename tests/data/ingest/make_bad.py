"""Makes the files in bad/: each has one thing wrong for which an import is refused, with the exception
and the byte offset that must come out. `python make_bad.py [folder]` writes them and EXPECTED.json."""

import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
EVENT = b'{"ph":"X","name":"a","ts":1,"dur":2,"pid":1,"tid":1}'

Case = tuple[str, bytes, str, int]


def at(name: str, before: bytes, after: bytes, exception: str = "CorruptError") -> Case:
    """What is wrong begins behind before."""
    return name, before + after, exception, len(before)


def stored_gzip(data: bytes, crc: int) -> bytes:
    """A gzip stream of one stored block: no two zlibs differ about it."""
    size = len(data)
    block = b"\1" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + data
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block + crc.to_bytes(4, "little") + size.to_bytes(4, "little")


def database(pages: int, kind: int) -> bytes:
    """One page of SQLite: a header that speaks of so many, and a tree without entries of this kind."""
    sizes = (512).to_bytes(2, "big") + b"\1\1\0\x40\x20\x20"
    counts = (1).to_bytes(4, "big") + pages.to_bytes(4, "big")
    header = (b"SQLite format 3\0" + sizes + counts).ljust(44, b"\0") + (4).to_bytes(4, "big")
    header = header.ljust(56, b"\0") + (1).to_bytes(4, "big")
    header = header.ljust(92, b"\0") + (1).to_bytes(4, "big") + (3_040_001).to_bytes(4, "big")
    tree = bytes([kind, 0, 0, 0, 0]) + (512).to_bytes(2, "big")
    return (header + tree).ljust(512, b"\0")


def rocprof(name: str, before: bytes, after: bytes) -> Case:
    start = b'{"rocprofiler-sdk-tool":[{"metadata":{"pid":7},'
    return at(f"rocprof-{name}.json", start + before, after)


def cases() -> Iterator[Case]:
    yield at("no-colon.json", b'[{"ph" ', b'"X"}]')
    yield at("no-comma.json", b"[" + EVENT, EVENT + b"]")
    yield at("no-comma-in-args.json", b'[{"ph":"X","args":{"a":1 ', b'"b":2}}]')
    yield at("name-without-quotes.json", b"[{", b'ph:"X"}]')
    yield at("quote-in-a-name.json", b'[{"ph":"X","name":"a "', b'quoted" b"}]')
    yield at("other-bracket.json", b'[{"ph":"X","args":{"a":[1,2', b"}}}]")
    yield at("too-deep.json", b'[{"ph":"X","args":{"a":' + b"[" * 512, b"[" + b"]" * 513 + b"}}]")
    yield at("a-word.json", b'[{"ph":"X","ts":', b'soon,"dur":1}]')
    yield at("half-a-number.json", b'[{"ph":"X","ts":1.', b',"dur":1}]')
    yield at("a-minus.json", b'[{"ph":"X","ts":', b'-,"dur":1}]')
    yield at("member-of-no-name.json", b'{"traceEvents":[],', b"17}")
    yield at("events-are-no-list.json", b'{"traceEvents":[' + EVENT + b"]", b':"more"}')
    yield at("zero-byte.json", b"[" + EVENT + b",", b"\0" + EVENT + b"]")
    data = b"[" + EVENT + b"]"
    whole = stored_gzip(data, zlib.crc32(data) ^ 1)
    yield "checksum.json.gz", whole, "CorruptError", len(whole) - 4
    header = stored_gzip(data, 0)
    yield "deflate.json.gz", header[:10] + b"\7" + header[11:], "CorruptError", 11
    yield "words.txt", b"not a trace\n", "FormatError", 0
    yield "a-number.json", b"17", "FormatError", 0
    yield "another-database.sqlite", database(1, 13), "FormatError", 0
    yield "cut-off.sqlite", database(3, 13), "TruncatedError", 512
    yield "damaged.sqlite", database(1, 99), "CorruptError", 0
    yield rocprof("no-colon", b'"buffer_records":{"kernel_dispatch":[{"kind" ', b"11}]}}]}")
    yield rocprof("no-comma", b'"kernel_symbols":[{"kernel_id":1} ', b"{}]}]}")
    yield rocprof("other-bracket", b'"buffer_records":{"hip_api":[', b"}}}]}")


def main(folder: Path) -> None:
    expected = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data, exception, offset in cases():
        (folder / name).write_bytes(data)
        expected[name] = {"exception": exception, "offset": offset}
    (folder / "EXPECTED.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "bad")
