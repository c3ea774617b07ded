"""The critical path: what decided how long a run took. docs/analysis.md says how it is found."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tracesmith.analysis import Report
from tracesmith.instructions import DependencyType, Provenance
from tracesmith.timeline import NONE, Timeline
from tracesmith.types import event_type_to_string

if TYPE_CHECKING:
    from tracesmith.events import Events
    from tracesmith.trace import Trace

PARTS = {
    "kernel": "kernels",
    "copy": "copies",
    "communication": "communication",
    "host": "host",
    "launch": "launch latency",
    "sync": "returning from waits",
    "waiting": "waiting unexplained",
}
KINDS = {kind.value: kind.name for kind in DependencyType if kind}
PROVENANCES = {provenance.value: provenance.name for provenance in Provenance if provenance}
TOP = 3
OUTSIDE = 0xFFFF  # no event has this type
NAME_WIDTH = 48


class CriticalPath:
    """Segments in order of time that cover [begin, end) without gap or overlap.

    segments is a structured array: begin_ns, end_ns, span (an index into timeline.spans, 2**32 - 1 for
    none), part (an index into PARTS), kind and provenance of the dependency that led there, 0 for none.
    parts is ns by part, which add up to the window; inferred_ns is what an inferred edge led to.
    """

    def __init__(self, timeline: Timeline, begin: int | None = None, end: int | None = None) -> None:
        if (begin is None) != (end is None):
            first, last = timeline.window
            begin, end = (first if begin is None else begin), (last if end is None else end)
        self.timeline = timeline
        self.begin, self.end, self.inferred_ns, self.parts, self.segments = timeline._core.critical_path(
            begin, end
        )

    @property
    def duration(self) -> int:
        return self.end - self.begin

    def __len__(self) -> int:
        return len(self.segments)

    def share(self, ns: int) -> float:
        """Of the path; 0 where there is none."""
        return ns / self.duration if self.duration else 0.0

    # ---- names

    @cached_property
    def _keys(self) -> tuple[np.ndarray, np.ndarray]:
        """What has one name, as part << 56 | row of strings << 16 | type, and for each segment which it
        is. The type counts only where there is no name."""
        spans, events = self.timeline.spans, self.timeline.events.array
        inside = self.segments["span"] != NONE
        at = self.segments["span"][inside]
        rows = events["name"][spans["event"][at]].astype(np.int64)
        keys = self.segments["part"].astype(np.int64) << 56
        keys[inside] |= np.where(rows == 0, spans["type"][at].astype(np.int64), rows << 16)
        keys[~inside] |= OUTSIDE
        return np.unique(keys, return_inverse=True)

    @cached_property
    def _texts(self) -> list[str]:
        return [self._text((key & (1 << 56) - 1) >> 16, key & 0xFFFF) for key in self._keys[0].tolist()]

    def _text(self, row: int, kind: int) -> str:
        if row:
            return self.timeline.events.tables.text(row)
        return "(outside of any span)" if kind == OUTSIDE else event_type_to_string(kind)

    # ---- tables

    @cached_property
    def by_part(self) -> Report:
        counts = np.bincount(self.segments["part"], minlength=len(PARTS)).tolist()
        rows = [
            [part, ns, 100 * self.share(ns), count]
            for (part, ns), count in zip(self.parts.items(), counts, strict=True)
        ]
        columns = [PART, ("total", "integer", "ns"), SHARE, ("segments", "integer", "")]
        return table("critical-path-parts", columns, rows)

    def by_name(self, limit: int = 0) -> Report:
        """What is longest on the path first; inferred is what an inferred edge led to."""
        keys, which = self._keys
        lengths = self.segments["end_ns"] - self.segments["begin_ns"]
        total, inferred = np.zeros((2, len(keys)), np.uint64)
        np.add.at(total, which, lengths)
        guessed = self.segments["provenance"] == Provenance.Inferred
        np.add.at(inferred, which[guessed], lengths[guessed])
        counts = np.bincount(which, minlength=len(keys))
        names = list(PARTS)
        rows = [
            [text, names[part], ns, 100 * self.share(ns), count, guess]
            for text, part, ns, count, guess in zip(
                self._texts,
                (keys >> 56).tolist(),
                total.tolist(),
                counts.tolist(),
                inferred.tolist(),
                strict=True,
            )
        ]
        rows.sort(key=lambda row: (-row[2], row[0], row[1]))
        columns = [
            ("name", "text", ""), PART, ("total", "integer", "ns"), SHARE, ("segments", "integer", ""),
            ("inferred", "integer", "ns"),
        ]  # fmt: skip
        return table("critical-path", columns, rows, limit)

    def path(self, limit: int = 0) -> Report:
        """The segments themselves, by time."""
        names, texts = list(PARTS), self._texts
        which = self._keys[1].tolist()
        wanted = len(self) if limit == 0 else limit
        rows = [
            [
                begin,
                end - begin,
                names[part],
                texts[which[at]],
                KINDS.get(kind),
                PROVENANCES.get(told),
            ]
            for at, (begin, end, _, part, kind, told) in enumerate(self.segments[:wanted].tolist())
        ]
        columns = [
            ("begin", "integer", "ns"), ("duration", "integer", "ns"), PART, ("name", "text", ""),
            ("dependency", "text", ""), ("provenance", "text", ""),
        ]  # fmt: skip
        return table("critical-path-segments", columns, rows, all=len(self))

    @property
    def verdict(self) -> str:
        if not self.duration:
            return "There is no critical path: no device worked"
        ranked = sorted(
            ((ns, part) for part, ns in self.parts.items() if self.share(ns) >= 0.005), reverse=True
        )
        parts = ", ".join(f"{100 * self.share(ns):.0f} % {PARTS[part]}" for ns, part in ranked)
        guessed = f"; {100 * self.share(self.inferred_ns):.0f} % rests on inferred edges"
        top = ", ".join(f"{clip(row[0])} ({row[3]:.0f} %)" for row in self.by_name(TOP).rows)
        return (
            f"The critical path is {self.duration / 1e6:,.3f} ms: {parts}"
            f"{guessed if self.inferred_ns else ''}; top: {top}"
        )

    def __repr__(self) -> str:
        return f"<CriticalPath: {len(self)} segments, {self.duration} ns>"


PART = ("part", "text", "")
SHARE = ("share", "number", "%")


def table(
    name: str,
    columns: list[tuple[str, str, str]],
    rows: list[list[Any]],
    limit: int = 0,
    all: int | None = None,
) -> Report:
    shown = rows[:limit] if limit else rows
    return Report({"name": name, "columns": columns, "rows": shown, "all": len(rows) if all is None else all})


def clip(name: str) -> str:
    """In the middle: names of kernels differ at both ends."""
    half = NAME_WIDTH // 2
    return name if len(name) <= NAME_WIDTH else f"{name[: half - 1]}…{name[-half:]}"


def critical_path(
    source: Trace | Events | Timeline | str | os.PathLike[str] | Iterable[Any],
    *,
    begin: int | None = None,
    end: int | None = None,
) -> CriticalPath:
    """What decided how long the work of the devices took, or a window in ns of it."""
    if isinstance(source, (str, os.PathLike)):
        import tracesmith

        with tracesmith.open(source) as trace:
            return CriticalPath(Timeline(trace.events), begin, end)
    return CriticalPath(source if isinstance(source, Timeline) else Timeline(source), begin, end)
