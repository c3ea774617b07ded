"""Texts of a table section: by zstd where a file is compressed, and never more than the bytes allow."""

import random
from pathlib import Path

import pytest
import sbt_decoder as sbt

import tracesmith as ts
from tracesmith import _core

needs_zstd = pytest.mark.skipif(not _core.zstd_available(), reason="this build is without zstd")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.sbt"


def write(path: Path, texts: list[str], compression: str) -> sbt.File:
    with ts.SBTWriter(path, compression) as writer:
        for text in texts:
            writer.intern(text)
    pytest.importorskip("zstandard")
    file = sbt.read_file(path.read_bytes())
    with ts.open(path) as trace:
        assert list(trace.strings) == ["", *dict.fromkeys(text for text in texts if text)]
        assert list(trace.strings) == [text.decode() for text in file.table(1).texts]
    return file


def mangled(count: int) -> list[str]:
    """Names as a C++ compiler makes them: long, and much alike."""
    rng = random.Random(1)
    kinds = ["float", "__half", "c10::BFloat16", "double"]
    return [
        f"void at::native::vectorized_elementwise_kernel<{rng.randrange(9)}, at::native::CUDAFunctor_add<"
        f"{rng.choice(kinds)}>, std::array<char*, {i}ul> >(int, at::native::{rng.choice(kinds)}, char*)"
        for i in range(count)
    ]


TEXTS = {
    "none": [],
    "one letter": ["x"],
    "short": ["a", "bc", "déf"],
    "mangled": mangled(3000),
    "equal letters": ["a" * length for length in range(1, 2000)],
    "a long one": ["b" * 3_000_000, "c"],
    "noise": ["".join(map(chr, random.Random(2).choices(range(33, 0x2000), k=9000)))],
}


@needs_zstd
@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_texts_come_back(path: Path, texts: list[str]) -> None:
    plain = write(path, texts, "none")
    compressed = write(path, texts, "zstd")
    assert compressed.used_bytes <= plain.used_bytes


@needs_zstd
def test_long_names_cost_a_fraction(path: Path) -> None:
    plain = write(path, TEXTS["mangled"], "none").used_bytes
    assert write(path, TEXTS["mangled"], "zstd").used_bytes < plain / 8


def text_table(total: int, frame: bytes, padding: int = 0) -> bytes:
    sizes = sbt.prefixed(b"\0" + sbt.varint(total))
    payload = b"\1" + sbt.prefixed(b"strings") + b"\1" + sizes + sbt.prefixed(frame) + bytes(padding)
    return sbt.make_file((sbt.TABLE, payload, 1, 1))


@needs_zstd
@pytest.mark.parametrize("says_its_size", [True, False])
def test_a_frame_gives_no_more_than_64_times_its_section(path: Path, says_its_size: bool) -> None:
    zstandard = pytest.importorskip("zstandard")
    frame = zstandard.ZstdCompressor(write_content_size=says_its_size).compress(bytes(1 << 20))
    path.write_bytes(text_table(1 << 20, frame, (1 << 14) - len(frame)))
    assert [len(text) for text in ts.open(path).strings] == [0, 1 << 20]
    path.write_bytes(text_table(1 << 20, frame, (1 << 14) - len(frame) - 40))
    with pytest.raises(ts.CorruptError, match="strings"):
        ts.open(path)
    for wrong in (1 << 19, (1 << 20) + 1):
        path.write_bytes(text_table(wrong, frame, 1 << 15))
        with pytest.raises(ts.CorruptError, match="strings"):
            ts.open(path)
        with pytest.raises(sbt.Bad):
            sbt.read_file(path.read_bytes())


@pytest.mark.skipif(_core.zstd_available(), reason="this build has zstd")
def test_a_build_without_zstd_says_what_it_lacks(path: Path) -> None:
    path.write_bytes(text_table(5, b"abcd"))
    with pytest.raises(ts.UnsupportedError, match="'strings' at byte 64: need zstd"):
        ts.open(path)
