"""A timeline as text: one row per track, a time axis, a legend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tracesmith.timeline import WHOLE_DEVICE, SpanClass, Timeline
from tracesmith.types import event_type_to_string, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

IDLE = "."
# What each class shows as, and its colour: SGR numbers that 16-colour terminals know.
MARKS = {
    SpanClass.compute: ("#", "32", "kernel"),
    SpanClass.copy: ("=", "36", "copy"),
    SpanClass.communication: ("%", "35", "communication"),
    SpanClass.sync: ("w", "31", "wait"),
    SpanClass.call: ("c", "33", "driver call"),
    SpanClass.host: ("+", "34", "host code"),
    SpanClass.other: ("-", "90", "range"),
}
_STEPS = (1, 2, 5)
_UNITS = (("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))
_TICK_COLUMNS = 12  # a label and some room
MIN_WIDTH = 40


@dataclass
class TimelineViewConfig:
    """width: of the whole picture, in columns. show_timestamps: the axis; show_duration: how long each
    track was busy, when all of it is in the picture. fill_char: shows kernels."""

    width: int = 80
    max_rows: int = 50
    show_timestamps: bool = True
    show_duration: bool = True
    fill_char: str = "#"
    color: bool = False


class TimelineViewer:
    """Draws timelines: TimelineViewer(width=120).render(timeline)."""

    def __init__(self, config: TimelineViewConfig | None = None, **options: Any) -> None:
        self.config = TimelineViewConfig(**options) if config is None else config

    def render(
        self,
        timeline: Timeline,
        begin: int | None = None,
        end: int | None = None,
        tracks: Sequence[int] | None = None,
    ) -> str:
        """The tracks (all, unless given) in a window in ns (the whole trace, unless given)."""
        begin = timeline.begin if begin is None else begin
        end = timeline.end if end is None else end
        if len(timeline) == 0 or end <= begin:
            return "nothing to show: there are no events in this window\n"
        rows = list(range(len(timeline.tracks)) if tracks is None else tracks)
        shown = rows[: self.config.max_rows]
        labels = track_labels(timeline, shown)
        whole = begin <= timeline.begin and timeline.end <= end
        side = [format_duration(int(timeline.tracks["busy_ns"][row])) if whole else "" for row in shown]
        return self._draw(timeline, begin, end, shown, labels, side, len(rows) - len(shown))

    def render_stream(self, timeline: Timeline, stream_id: int, device_id: int | None = None) -> str:
        """One stream, as the driver numbers it."""
        track = timeline.track_of_stream(stream_id, device_id)
        return f"there is no stream {stream_id}\n" if track is None else self.render(timeline, tracks=[track])

    def render_stats(self, timeline: Timeline) -> str:
        """A few numbers about the whole."""
        kinds, counts = np.unique(timeline.spans["type"], return_counts=True)
        lines = [
            ("duration", format_duration(timeline.total_duration)),
            ("tracks", f"{len(timeline.tracks)}"),
            ("spans", f"{len(timeline)}"),
            ("GPU utilization", f"{timeline.gpu_utilization:.1%}"),
            ("operations at once", f"{timeline.max_concurrent_ops}"),
            *((event_type_to_string(int(kind)), f"{n}") for kind, n in zip(kinds, counts, strict=True)),
        ]
        width = max(len(label) for label, _ in lines)
        return "".join(f"{label:<{width}}  {value}\n" for label, value in lines)

    # ---- drawing

    def _draw(
        self,
        timeline: Timeline,
        begin: int,
        end: int,
        rows: list[int],
        labels: list[str],
        side: list[str],
        hidden: int,
    ) -> str:
        config = self.config
        width = max(config.width, MIN_WIDTH)
        right = max(map(len, side)) + 1 if config.show_duration and any(side) else 0
        left = min(max(map(len, labels), default=0), max(width - right - 24, 8))
        columns = max(width - left - right - 1, 10)
        columns = min(columns, end - begin)
        lines = (
            self._axis(begin, end, timeline.begin, left + 1, columns, width) if config.show_timestamps else []
        )
        seen: set[str] = set()
        for row, label, busy in zip(rows, labels, side, strict=True):
            cells = self._cells(timeline._core.columns(row, begin, end, columns))
            seen.update(cells)
            duration = f" {busy:>{right - 1}}" if right else ""
            lines.append(f"{clip(label, left):<{left}} {self._paint(cells)}{duration}")
        if hidden:
            lines.append(f"and {hidden} more tracks")
        lines.extend(self._legend(seen, width))
        return "".join(line.rstrip() + "\n" for line in lines)

    def _mark(self, kind: SpanClass) -> str:
        return self.config.fill_char if kind == SpanClass.compute else MARKS[kind][0]

    def _cells(self, columns: np.ndarray) -> str:
        """Each column shows the class that had most of it; idle only where nothing happened."""
        marks = np.array([self._mark(kind) for kind in sorted(SpanClass)])
        # A range around the work says less than the work does.
        weighed = columns.copy()
        weighed[:, SpanClass.other] = np.minimum(weighed[:, SpanClass.other], 1)
        chosen = marks[weighed.argmax(axis=1)]
        return "".join(np.where(weighed.any(axis=1), chosen, IDLE).tolist())

    def _paint(self, cells: str) -> str:
        if not self.config.color:
            return cells
        colors = {self._mark(kind): code for kind, (_, code, _) in MARKS.items()}
        painted, last = [], ""
        for cell in cells:
            code = colors.get(cell, "0")
            painted.append(cell if code == last else f"\033[{code}m{cell}")
            last = code
        return "".join(painted) + "\033[0m"

    def _axis(self, begin: int, end: int, origin: int, left: int, columns: int, width: int) -> list[str]:
        """Two lines: labels at round times since the trace's begin, and a tick under each."""
        length = end - begin
        step, unit, size = tick_step(length / max(columns // _TICK_COLUMNS, 1), end - origin)
        labels, ticks = [" "] * width, ["-"] * columns
        free = 0
        for tick in range(-(-(begin - origin) // step) * step, end - origin, step):
            column = ((tick + origin - begin + 1) * columns - 1) // length
            text = f"{decimal(tick, size)} {unit}"
            if column >= free and left + column + len(text) <= width:
                labels[left + column : left + column + len(text)] = text
                free = column + len(text) + 1
                ticks[column] = "|"
        return ["".join(labels), " " * left + "".join(ticks)]

    def _legend(self, seen: set[str], width: int) -> list[str]:
        """Only what is in the picture, broken where the line would not fit."""
        entries = [(self._mark(kind), name) for kind, (_, _, name) in MARKS.items()] + [(IDLE, "idle")]
        lines, line, used = [], "", 0
        for mark, name in ((mark, name) for mark, name in entries if mark in seen):
            if used and used + len(name) + 4 > width:
                lines.append(line)
                line, used = "", 0
            line += f"{'  ' if used else ''}{self._paint(mark)} {name}"
            used += len(name) + (4 if used else 2)
        return [*lines, line]


def tick_step(wanted: float, last: int) -> tuple[int, str, int]:
    """The least of 1, 2, 5 times a power of ten that is not below wanted ns; the unit for labels up to
    last ns, and its ns."""
    power = 10 ** max(math.floor(math.log10(max(wanted, 1))), 0)
    step = next(power * factor for factor in (*_STEPS, 10) if power * factor >= wanted)
    unit, size = next((unit, size) for unit, size in _UNITS if size == 1 or (last >= size <= step * 1000))
    return step, unit, size


def decimal(number: int, size: int) -> str:
    """number / size, exactly; size is a power of ten."""
    whole, rest = divmod(number, size)
    return f"{whole}.{rest:0{len(str(size)) - 1}d}".rstrip("0") if rest else str(whole)


def clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 2, 0)] + ".."


def safe(text: str) -> str:
    """Names come from programs: nothing in them may drive the terminal."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)


def track_labels(timeline: Timeline, rows: Sequence[int]) -> list[str]:
    """``GPU 0/7`` for streams, ``thread 4711`` for threads, with their names, and with the process
    where there are several."""
    tables, tracks = timeline.events.tables, timeline.tracks
    several = len(np.unique(tracks["process"])) > 1
    labels = []
    for row in rows:
        track = tracks[row]
        table = "streams" if track["is_stream"] else "threads"
        if track["is_stream"]:
            number = "all" if track["raw_id"] >= WHOLE_DEVICE else int(track["raw_id"])
            label = f"GPU {int(timeline._ordinals[row])}/{number}"
        else:
            label = f"thread {int(track['raw_id'])}" if track["row"] else "no thread"
        name = tables.text(tables._cell(table, int(track["row"]), "name"))
        label = name if name.startswith(label) else f"{label} {name}".rstrip()
        process = process_label(timeline, int(track["process"])) if several else ""
        labels.append(safe(f"{process} {label}".lstrip()))
    return labels


def process_label(timeline: Timeline, row: int) -> str:
    """Its pid, or the text by which alone a source knew it."""
    tables = timeline.events.tables
    pid = tables._cell("processes", row, "pid")
    return str(pid) if pid else tables.text(tables._cell("processes", row, "name"))
