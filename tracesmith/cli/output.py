"""How every verb speaks: text or one JSON envelope on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from tracesmith.cli.version import VERSION

TOOL = "tracesmith-cli"


class CommandError(Exception):
    """The operation failed; the text is one line, with the cause and the next step."""


class UsageError(Exception):
    """The command line cannot be understood."""


class Output:
    def __init__(self, json: bool, color: bool) -> None:
        self.json = json
        self.command: str | None = None
        self.exit_code = 0  # of a verb that did what it was told, and found something
        self.color = color and not os.environ.get("NO_COLOR") and sys.stdout.isatty()

    def line(self, text: str = "") -> None:
        if not self.json:
            print(text)

    def heading(self, text: str) -> None:
        self.line(f"\033[1m{text}\033[0m" if self.color else text)

    def fields(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Aligned ``label  value`` lines."""
        rows = [(label, str(value)) for label, value in pairs]
        width = max((len(label) for label, _ in rows), default=0)
        for label, value in rows:
            self.line(f"  {label:<{width}}  {value}")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> None:
        """Columns in left are aligned left, numbers right."""
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for number, row in enumerate([header, *rows]):
            cells = [
                cell.ljust(width) if column in left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print_line = self.line if number else self.heading
            print_line("  " + "  ".join(cells).rstrip())

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)

    def finish(self, data: Any) -> None:
        if self.json:
            self._envelope("data", data)

    def fail(self, text: str) -> None:
        if self.json:
            self._envelope("error", {"message": text})
        self.note(f"{TOOL}: {text}")

    def _envelope(self, kind: str, content: Any) -> None:
        print(json.dumps({"tool": TOOL, "version": VERSION, "command": self.command, kind: content}))


def printable(text: str, width: int | None = None) -> str:
    """Names come from programs: nothing in them may drive the terminal."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    if width is not None and len(safe) > width:
        return safe[: width - 1] + "…"
    return safe


def human_ns(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3f} {unit}"
    return f"{ns:.0f} ns"


def human_bytes(count: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"
