"""``info``: this machine and this build. ``info FILE``: what a trace holds."""

from __future__ import annotations

import argparse
import os
import platform
from typing import TYPE_CHECKING, Any

from tracesmith.cli.output import human_bytes, human_ns, printable
from tracesmith.cli.trace import opened
from tracesmith.cli.version import VERSION

if TYPE_CHECKING:
    from tracesmith import Trace

COUNTS = ("emitted", "delivered", "dropped")
COUNTED = ("processes", "threads", "devices", "streams", "names")


def add(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser(
        "info", help="facts about a trace, or about this machine and build", allow_abbrev=False
    )
    verb.add_argument("file", nargs="?", metavar="FILE")
    verb.add_argument("--format", choices=("text", "json"), default=argparse.SUPPRESS)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.file is None:
        return show_system(args.output_stream)
    with opened(args.file) as trace:
        data = describe(trace, args.file)
    data["orphaned"] = orphans_about(args.file, data["notes"].get("spool", ""))
    show_trace(args.output_stream, data)
    show_orphans(args.output_stream, data["orphaned"])
    return data


def show_system(output: Any) -> dict[str, Any]:
    import tracesmith
    from tracesmith import _core

    data = {
        "version": VERSION,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "platform": tracesmith.detect_platform().name,
        "zstd": bool(_core.zstd_available()),
        "libunwind": False,
        "orphaned": orphans(None, "."),
    }
    output.heading(f"TraceSmith {VERSION}")
    output.fields(
        [
            ("Python", data["python"]),
            ("machine", data["machine"]),
            ("platform found", data["platform"]),
            ("zstd", "compiled in" if data["zstd"] else "absent: files are written without it"),
            ("native stacks", "not in this build"),
        ]
    )
    show_orphans(output, data["orphaned"])
    return data


def orphans(*places: str | None) -> list[dict[str, Any]]:
    """Dead runs whose buffers lie in these folders. None is shared memory, where they nearly always
    are; where that was too small they lie beside the file."""
    from tracesmith import _capture

    found: dict[str, dict[str, Any]] = {}
    for place in places:
        for folder, file in _capture.orphans() if place is None else _capture.orphans(place):
            orphan = {"file": file, "buffers": os.path.abspath(folder), "recoverable": os.path.exists(file)}
            found.setdefault(os.path.basename(folder), orphan)
    return list(found.values())


def orphans_about(path: str, spool: str) -> list[dict[str, Any]]:
    """The dead run of this file, wherever its buffers are, and those in the file's folder."""
    beside = os.path.dirname(os.path.abspath(path))
    own = os.path.basename(spool)
    return [
        orphan
        for orphan in orphans(beside, os.path.dirname(spool) or None)
        if os.path.dirname(orphan["buffers"]) == beside or os.path.basename(orphan["buffers"]) == own
    ]


def show_orphans(output: Any, orphaned: list[dict[str, Any]]) -> None:
    for orphan in orphaned:
        output.line("  " + printable(orphan_line(orphan)))


def orphan_line(orphan: dict[str, Any]) -> str:
    if orphan["recoverable"]:
        return f"{orphan['file']}: its run died; `tracesmith-cli repair` takes in what is left of it"
    return f"{orphan['buffers']}: of a dead run whose file is gone; remove the folder"


def describe(trace: Trace, path: str) -> dict[str, Any]:
    info, notes = trace.info, trace.notes
    events = int(info["events"])
    data = {
        "file": path,
        "format": None if trace.imported is None else str(trace.imported),
        "version": str(info["version"]),
        "complete": bool(info["complete"]),
        "compressed": bool(info["compressed"]),
        "uuid": str(info["uuid"]),
        "events": events,
        "extensions": int(info["extensions"]),
        "blocks": int(info["blocks"]),
        "bytes": int(info["bytes"]),
        "bytes_per_event": int(info["bytes"]) / events if events else None,
        "begin_ns": int(info["begin_ns"]),
        "end_ns": int(info["end_ns"]),
        "notes": notes,
        "counts": {key: int(notes[key]) for key in COUNTS if notes.get(key, "").isdecimal()},
        "drops": drops(trace),
    }
    return data | {name: len(getattr(trace, name)) - 1 for name in COUNTED}


REASONS = {
    1: "buffers full",
    2: "overwritten by newer events",
    3: "emitted inside an emit",
    4: "output could not be written",
    5: "spool damaged by the program",
    6: "waited for the drain in vain",
}


def drops(trace: Trace) -> dict[str, int]:
    """By reason, from the intervals that the drain noted."""
    sums: dict[str, int] = {}
    for reason, count in trace.drops[["reason", "count"]][1:].tolist():
        text = REASONS.get(reason, f"reason {reason}")
        sums[text] = sums.get(text, 0) + count
    return sums


def show_trace(output: Any, data: dict[str, Any]) -> None:
    output.heading(printable(data["file"]))
    per_event = "" if data["bytes_per_event"] is None else f", {data['bytes_per_event']:.2f} bytes per event"
    output.fields(
        [
            ("format", data["format"] or f"SBT {data['version']}" + (", zstd" if data["compressed"] else "")),
            ("complete", "yes" if data["complete"] else "no: its writer is alive or died; see repair"),
            ("events", f"{data['events']:,} in {data['blocks']:,} blocks"),
            ("extension records", f"{data['extensions']:,}"),
            ("size", human_bytes(data["bytes"]) + per_event),
            ("time span", human_ns(data["end_ns"] - data["begin_ns"])),
            *((name, f"{data[name]:,}") for name in COUNTED),
            *((name, f"{count:,}") for name, count in data["counts"].items()),
            *((f"dropped: {why}", f"{count:,}") for why, count in data["drops"].items()),
        ]
    )
    output.fields(
        (printable(key), printable(value, 80))
        for key, value in data["notes"].items()
        if key not in COUNTS and not key.startswith("chrome:")
    )
