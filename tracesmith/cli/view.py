"""``view FILE``: the first events of a trace, sums by type and name, or a picture of all of it. Only
the picture holds more than a block at a time."""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tracesmith.cli.output import UsageError, human_ns, printable
from tracesmith.cli.trace import cell, opened, shown, stream_labels

if TYPE_CHECKING:
    import numpy as np

    from tracesmith import Events, Trace

WHOLE_DEVICE = 2**32 - 1  # the stream row of operations that belong to no stream
TOP_NAMES = 20
NAME_WIDTH = 48


def add(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser(
        "view",
        help="print the events of a trace, or sums over them",
        description="Events come in file order: sorted inside a block of at most 4096.",
        allow_abbrev=False,
    )
    verb.add_argument("file", metavar="FILE")
    verb.add_argument("-n", "--limit", type=count, default=20, help="how many events (default: 20)")
    verb.add_argument(
        "-t",
        "--type",
        action="append",
        default=[],
        help="only this type, for example KernelLaunch; repeatable",
    )
    verb.add_argument(
        "--stream", metavar="[DEVICE/]STREAM", help="only this stream, as the device numbers it"
    )
    verb.add_argument("--stats", action="store_true", help="a table by type and of the top names instead")
    verb.add_argument(
        "--timeline", action="store_true", help="a picture instead: one row per stream and thread"
    )
    verb.add_argument(
        "--width", type=count, metavar="COLUMNS", help="of the picture (default: the terminal's)"
    )
    verb.add_argument("-f", "--format", choices=("text", "json", "csv"), default=argparse.SUPPRESS)
    verb.set_defaults(run=run)


def count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.timeline and args.format == "csv":
        raise UsageError("a timeline is text or json: leave out --format csv, or --timeline")
    types = wanted_types(args.type)
    with opened(args.file) as trace:
        selection = Selection(trace, types, args.stream)
        if args.stats:
            return show_stats(args, trace, selection)
        if args.timeline:
            return show_timeline(args, trace, selection)
        return show_events(args, trace, selection)


def wanted_types(names: list[str]) -> list[int]:
    import tracesmith

    known = {spelling(member.name): int(member) for member in tracesmith.EventType}
    for name in names:
        if spelling(name) not in known:
            listed = ", ".join(member.name for member in tracesmith.EventType)
            raise UsageError(f"there is no event type {name!r}; the types are {listed}")
    return [known[spelling(name)] for name in names]


def spelling(name: str) -> str:
    """KernelLaunch, kernel_launch and kernel-launch are one."""
    return name.replace("_", "").replace("-", "").lower()


class Selection:
    def __init__(self, trace: Trace, types: list[int], stream: str | None) -> None:
        self.types = types
        self.streams = None if stream is None else self._rows(trace, stream)

    @staticmethod
    def _rows(trace: Trace, stream: str) -> list[int]:
        labels = stream_labels(trace)
        rows = [row for row, label in enumerate(labels) if label and stream in (label, label.split("/")[1])]
        if not rows:
            listed = ", ".join(label for label in labels if label) or "none"
            raise UsageError(f"there is no stream {stream!r} in this trace; its streams are {listed}")
        return rows

    def of(self, events: np.ndarray) -> np.ndarray:
        mask = self.mask(events)
        return events if mask is None else events[mask]

    def of_events(self, events: Events) -> Events:
        """With what rides along."""
        mask = self.mask(events.array)
        return events if mask is None else events[mask]

    def mask(self, events: np.ndarray) -> np.ndarray | None:
        import numpy as np

        masks = []
        if self.types:
            masks.append(np.isin(events["type"], self.types))
        if self.streams is not None:
            masks.append(np.isin(events["stream"], self.streams))
        return np.logical_and.reduce(masks) if masks else None


def selected(trace: Trace, selection: Selection) -> Iterator[np.ndarray]:
    for block in trace.blocks():
        yield selection.of(block.array)


# ---- events


def show_events(args: argparse.Namespace, trace: Trace, selection: Selection) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for events in selected(trace, selection):
        rows += [as_row(trace, event) for event in events[: args.limit - len(rows)]]
        if len(rows) >= args.limit:
            break
    if args.format == "csv":
        print_csv(rows)
    elif args.format == "text":
        print_events(args, trace, rows)
    return {"events": rows, "total": int(trace.info["events"])}


def type_name(number: int) -> str:
    import tracesmith

    try:
        return tracesmith.EventType(number).name
    except ValueError:
        return f"type {number}"


COLUMNS = (
    "timestamp",
    "duration",
    "type",
    "name",
    "process",
    "thread",
    "device",
    "stream",
    "correlation",
    "value",
)


def as_row(trace: Trace, event: np.void) -> dict[str, Any]:
    thread = int(event["thread"])
    return {
        "timestamp": int(event["timestamp"]),
        "duration": int(event["duration"]),
        "type": type_name(int(event["type"])),
        "name": name_of(trace, int(event["name"])),
        "process": cell(trace.processes, cell(trace.threads, thread, "process") or 0, "pid"),
        "thread": cell(trace.threads, thread, "tid"),
        "device": cell(trace.devices, int(event["device"]), "ordinal"),
        "stream": stream_of(trace, int(event["stream"])),
        "correlation": int(event["correlation"]),
        "value": value_of(event),
    }


def stream_of(trace: Trace, row: int) -> int | None:
    raw = cell(trace.streams, row, "raw_id")
    return None if raw == WHOLE_DEVICE else raw


def name_of(trace: Trace, row: int) -> str:
    return trace.names[row] if row < len(trace.names) else f"name {row}, which the file does not have"


def value_of(event: np.void) -> int | float | None:
    """flags, bits 0-2: 0 is no value, 2 a counter's double."""
    kind = int(event["flags"]) & 7
    if kind == 2:
        return float(event["value"].view("f8"))
    return int(event["value"]) if kind else None


def print_csv(rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    sys.stdout.write(text.getvalue().encode("utf-8", "backslashreplace").decode())


def print_events(args: argparse.Namespace, trace: Trace, rows: list[dict[str, Any]]) -> None:
    output = args.output_stream
    begin = int(trace.info["begin_ns"])
    lines = [
        (
            human_ns(row["timestamp"] - begin),
            human_ns(row["duration"]) if row["duration"] else "",
            row["type"],
            "" if row["stream"] is None else f"{shown(row['device'])}/{row['stream']}",
            shown(row["thread"]),
            printable(row["name"], NAME_WIDTH),
        )
        for row in rows
    ]
    if lines:
        output.table(("at", "duration", "type", "stream", "thread", "name"), lines, left=(2, 5))
    output.line(f"{len(rows):,} of {int(trace.info['events']):,} events shown")


# ---- a picture


def show_timeline(args: argparse.Namespace, trace: Trace, selection: Selection) -> dict[str, Any]:
    from tracesmith.timeline import Timeline
    from tracesmith.viewer import TimelineViewer, track_labels

    timeline = Timeline(selection.of_events(trace.events))
    output = args.output_stream
    if args.format != "json":
        width = args.width or shutil.get_terminal_size().columns
        viewer = TimelineViewer(width=width, max_rows=max(args.limit, 1), color=output.color)
        print(viewer.render(timeline), end="")
    tracks = timeline.tracks
    rows = zip(
        track_labels(timeline, range(len(tracks))),
        *(tracks[column].tolist() for column in ("is_stream", "count", "begin_ns", "end_ns", "busy_ns")),
        strict=True,
    )
    names = ("label", "stream", "spans", "begin_ns", "end_ns", "busy_ns")
    return {
        "begin_ns": timeline.begin,
        "end_ns": timeline.end,
        "gpu_utilization": timeline.gpu_utilization,
        "max_concurrent_ops": timeline.max_concurrent_ops,
        "tracks": [{**dict(zip(names, row, strict=True)), "stream": bool(row[1])} for row in rows],
    }


# ---- sums


def show_stats(args: argparse.Namespace, trace: Trace, selection: Selection) -> dict[str, Any]:
    import numpy as np

    types, names = Sums(np.dtype("u2")), Sums(np.dtype("u4"))
    for events in selected(trace, selection):
        types.add(events["type"], events["duration"])
        names.add(events["name"], events["duration"])
    by_type = types.rows(type_name, None)
    by_name = names.rows(lambda row: name_of(trace, row), TOP_NAMES)
    data = {"types": by_type, "names": by_name}
    if args.format == "csv":
        print_stats_csv(data)
    elif args.format == "text":
        print_stats(args.output_stream, data)
    return data


class Sums:
    """Count and total duration by key, in arrays that grow to the largest key seen."""

    def __init__(self, key: np.dtype) -> None:
        import numpy as np

        self.key = key
        self.counts = np.zeros(256, "u8")
        self.totals = np.zeros(256, "u8")

    def add(self, keys: np.ndarray, durations: np.ndarray) -> None:
        import numpy as np

        if len(keys) == 0:
            return
        size = int(keys.max()) + 1
        if size > len(self.counts):
            missing = max(size, 2 * len(self.counts)) - len(self.counts)
            self.counts = np.concatenate([self.counts, np.zeros(missing, "u8")])
            self.totals = np.concatenate([self.totals, np.zeros(missing, "u8")])
        np.add.at(self.counts, keys, np.uint64(1))
        np.add.at(self.totals, keys, durations)

    def rows(self, label: Any, limit: int | None) -> list[dict[str, Any]]:
        """Largest total first; among equals the more frequent."""
        import numpy as np

        present = np.flatnonzero(self.counts)
        order = np.lexsort((self.counts[present], self.totals[present]))[::-1][:limit]
        return [
            {
                "label": label(int(key)),
                "count": int(self.counts[key]),
                "total_ns": int(self.totals[key]),
                "average_ns": int(self.totals[key]) / int(self.counts[key]),
            }
            for key in present[order]
        ]


def print_stats(output: Any, data: dict[str, list[dict[str, Any]]]) -> None:
    for title, rows in data.items():
        lines = [
            (
                printable(row["label"], NAME_WIDTH) or "(no name)",
                f"{row['count']:,}",
                human_ns(row["total_ns"]),
                human_ns(row["average_ns"]),
            )
            for row in rows
        ]
        if lines:
            output.table((title[:-1], "count", "total", "average"), lines)
            output.line()
    if not data["types"]:
        output.line("no events")


def print_stats_csv(data: dict[str, list[dict[str, Any]]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("by", "label", "count", "total_ns", "average_ns"))
    for title, rows in data.items():
        writer.writerows((title[:-1], *row.values()) for row in rows)
    sys.stdout.write(text.getvalue().encode("utf-8", "backslashreplace").decode())
