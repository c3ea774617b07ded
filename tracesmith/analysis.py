"""Answers: what a trace says about the run that made it. docs/analysis.md has every definition.

Needs no NumPy: a file goes straight through C, and the answers are plain objects.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tracesmith import _core

if TYPE_CHECKING:
    from tracesmith.events import Events
    from tracesmith.trace import Trace

    Source = Trace | Events | str | os.PathLike[str]

REPORTS = (
    "inputs", "breakdown", "overlap", "causes", "culprits", "gaps", "kernels", "configs", "launches",
    "copies", "api", "sync", "streams", "concurrency", "steps", "collectives", "memory", "leaks", "graphs",
    "stacks", "utilization", "memory-use", "histograms", "health",
)  # fmt: skip


class Column(NamedTuple):
    name: str
    type: str
    """integer, number or text"""
    unit: str
    """ns, bytes, %, GB/s or nothing"""


class Report:
    """A table: columns, and rows of plain values. Iterating gives a dict per row."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.name: str = table["name"]
        self.columns = tuple(Column(*column) for column in table["columns"])
        self.rows: list[list[Any]] = table["rows"]
        self.all: int = table["all"]
        """How many rows there would be without a limit."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        names = [column.name for column in self.columns]
        return (dict(zip(names, row, strict=True)) for row in self.rows)

    def __getitem__(self, name: str) -> list[Any]:
        """One column."""
        at = [column.name for column in self.columns].index(name)
        return [row[at] for row in self.rows]

    def __repr__(self) -> str:
        return f"<Report {self.name}: {len(self)} of {self.all} rows>"


class Finding(NamedTuple):
    """Something that is wrong: what it costs, on what evidence, and what to do."""

    id: str
    severity: str
    """info, low, medium or high"""
    confidence: str
    what: str
    cost_ns: int
    """Device time."""
    share: float
    """Of the window of all devices; costs of different findings may overlap."""
    evidence: list[str]
    stack: str
    """Frames from the outermost to the innermost, parted by semicolons."""
    advice: str


class Answers:
    """The verdict in one sentence, what is wrong with the most expensive first, and the tables."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.verdict: str = facts["verdict"]
        self.totals: dict[str, int] = facts["totals"]
        self.findings = [Finding(**finding) for finding in facts["findings"]]
        self.reports = {table["name"]: Report(table) for table in facts["tables"]}

    def __getitem__(self, name: str) -> Report:
        return self.reports[name]

    def __repr__(self) -> str:
        return f"<Answers: {self.verdict}>"


class Analysis:
    """Traces go in one by one, on any machine; what has been found is saved and merged as bytes."""

    def __init__(self) -> None:
        self._core = _core.Analysis()

    def add(
        self, source: Source, label: str = "", begin: int | None = None, end: int | None = None
    ) -> dict[str, Any] | None:
        """A trace, events or the path of a file; of a file, what was read of it.

        label tells its devices from those of other traces. begin and end cut it to a window in ns.
        """
        if isinstance(source, (str, os.PathLike)):
            return self._core.add_file(source, label, begin, end)
        store, *arrays = _arrays(source)
        self._core.add(store, *arrays, begin, end, label)
        return None

    def save(self) -> bytes:
        """A few kilobytes."""
        return self._core.save()

    def merge(self, saved: bytes) -> None:
        """Add what another analysis saved. The order does not matter."""
        self._core.merge(saved)

    def diff(self, after: Analysis, threshold: float = 0.05, alpha: float = 0.01) -> Difference:
        """This against another. Relative changes below threshold, and those that chance makes more often
        than alpha, are the same."""
        return Difference(**self._core.diff(after.save(), threshold, alpha))

    def answers(self, reports: Iterable[str] = REPORTS, limit: int = 0) -> Answers:
        """limit: rows per report; 0 is all."""
        return Answers(self._core.finish(list(reports), limit))


class Difference(NamedTuple):
    """Two traces compared."""

    verdict: str
    change: str
    """same, slower or faster"""
    by: str
    """What was compared: step, or window where there are no steps."""
    ratio: float
    p: float
    """How likely chance alone makes such a difference; 1 where there is one number on each side."""
    before: dict[str, int]
    after: dict[str, int]
    kernels: list[dict[str, Any]]
    """The largest change of total first; change is same, slower, faster, new or removed."""


def _arrays(source: Any) -> Sequence[Any]:
    from tracesmith.events import Events

    if isinstance(source, Events):
        return source.tables._store, source.array, source._extensions, source._rows
    return source._store, None, None, None


def analyze(
    source: Source | Sequence[Source],
    *,
    begin: int | None = None,
    end: int | None = None,
    reports: Iterable[str] = REPORTS,
    limit: int = 0,
) -> Answers:
    """What a trace, or several together, say about the run. Paths may be of any format that is read."""
    analysis = Analysis()
    if isinstance(source, (list, tuple)):
        for number, one in enumerate(source):
            name = os.path.basename(one) if isinstance(one, (str, os.PathLike)) else str(number)
            analysis.add(one, name, begin, end)
    else:
        analysis.add(source, "", begin, end)
    return analysis.answers(reports, limit)


def diff(before: Source, after: Source, *, threshold: float = 0.05, alpha: float = 0.01) -> Difference:
    """What has changed from one trace to another."""
    sides = Analysis(), Analysis()
    for side, source in zip(sides, (before, after), strict=True):
        side.add(source)
    return sides[0].diff(sides[1], threshold, alpha)
