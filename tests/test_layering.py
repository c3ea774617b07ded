"""The rooms of csrc/ and who may enter them. The table is read from csrc/README.md itself."""

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
SOURCES = sorted(CSRC.rglob("*.[ch]"))
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)
PRINTS = re.compile(
    r"(?<![\w.>])(printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|exit|_exit|abort|getenv|secure_getenv)\s*\("
)
# tracesmith.h stands beside the rooms and is included by its installed name.
API_HEADER = "tracesmith/tracesmith.h"


def read_table() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `([\w/]+)/` \|.*\| ([^|]+) \|$", (CSRC / "README.md").read_text(), re.MULTILINE)
    return {room: {word.strip() for word in allowed.split(",")} for room, allowed in rows}


TABLE = read_table()


def room_of(path: str) -> str:
    return next(room for room in sorted(TABLE, key=len, reverse=True) if path.startswith(room + "/"))


def public_headers(room: str) -> set[str]:
    """One per folder, named after it; trace/ has two, and base/ and vendor/ are shelves."""
    if room in ("base", "vendor"):
        return {str(header.relative_to(CSRC)) for header in (CSRC / room).rglob("*.h")}
    return {f"{room}/{room}.h"} | ({"trace/event.h"} if room == "trace" else set())


def allowed_headers(room: str) -> set[str]:
    words = TABLE[room]
    if "every public header" in words:
        return {header for other in TABLE for header in public_headers(other)}
    allowed = set()
    for word in words - {"libc"}:
        allowed |= {word} if word.endswith(".h") else public_headers(word)
    return allowed


def refused_includes(path: str, text: str) -> list[str]:
    room = room_of(path)
    refused = []
    for bracket, name in INCLUDE.findall(text):
        if bracket == "<":
            if name.startswith(("Python", "numpy/")) and room != "python":
                refused.append(name)
        elif name == API_HEADER:
            if room not in ("ring", "capture", "source", "python"):
                refused.append(name)
        elif room_of(name) != room and name not in allowed_headers(room):
            refused.append(name)
    return refused


def without_comments_and_strings(text: str) -> str:
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.DOTALL)


def test_the_table_names_every_folder_and_only_folders() -> None:
    folders = {path.relative_to(CSRC).parts[0] for path in SOURCES}
    assert folders <= {room.split("/")[0] for room in TABLE}
    assert TABLE["base"] == {"libc"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(CSRC)))
def test_a_file_includes_only_what_its_room_may(source: Path) -> None:
    assert refused_includes(str(source.relative_to(CSRC)), source.read_text()) == []


@pytest.mark.parametrize(
    ("path", "line", "refused"),
    [
        ("sbt/reader.c", '#include "capture/capture.h"', True),
        ("sbt/reader.c", '#include "ring/ring.h"', True),
        ("capture/drain.c", '#include "sbt/layout.h"', True),
        ("capture/drain.c", '#include "sbt/sbt.h"', False),
        ("capture/drain.c", "#include <Python.h>", True),
        ("base/bytes.c", '#include "trace/event.h"', True),
        ("ring/chunk.c", '#include "ring/layout.h"', False),
    ],
)
def test_the_rule_itself_can_fail(path: str, line: str, refused: bool) -> None:
    assert bool(refused_includes(path, line)) is refused


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(CSRC)))
def test_nothing_outside_python_prints_exits_or_reads_the_environment(source: Path) -> None:
    if room_of(str(source.relative_to(CSRC))) != "python":
        assert PRINTS.findall(without_comments_and_strings(source.read_text())) == []
