"""``record``: records the platform found for a while into a file."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from tracesmith.cli.output import CommandError, human_bytes, human_ns
from tracesmith.cli.trace import os_errors

if TYPE_CHECKING:
    from tracesmith import PlatformType, Profiler

PLATFORMS = ("auto", "simulation", "cuda", "rocm", "metal")
SECONDS = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
POWERS = {"": 0, "K": 10, "M": 20, "G": 30}
BAR_WIDTH = 30
TICK_S = 0.1
EVENT_BYTES = 64


def duration(text: str) -> float:
    """Seconds from ``10s``, ``500ms``, ``2m`` or a bare number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|)", text)
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"not a duration: {text!r}; write 10s, 500ms or 2m")
    return seconds


def byte_count(text: str) -> int:
    """Bytes from ``64M``, ``512KiB`` or a bare number."""
    match = re.fullmatch(r"(\d+)\s*([KMG]?)(?:i?B)?", text, re.IGNORECASE)
    count = int(match[1]) << POWERS[match[2].upper()] if match else 0
    if count == 0:
        raise argparse.ArgumentTypeError(f"not a size: {text!r}; write 512K, 64M or 1G")
    return count


def add(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser(
        "record",
        help="record the platform found into a file",
        description="Ctrl-C ends the recording early and keeps what there is.",
        allow_abbrev=False,
    )
    verb.add_argument("-o", "--output", default="trace.sbt", metavar="FILE", help="default: trace.sbt")
    verb.add_argument("-f", "--force", action="store_true", help="replace FILE if it exists")
    verb.add_argument(
        "-d",
        "--duration",
        type=duration,
        default=5.0,
        help="10s, 500ms, 2m; a bare number is seconds (default: 5s)",
    )
    verb.add_argument(
        "-b",
        "--buffer",
        type=byte_count,
        default=64 << 20,
        metavar="BYTES",
        help="512K, 64M, 1G (default: 64M)",
    )
    verb.add_argument(
        "-p", "--platform", choices=PLATFORMS, default="auto", help="default: auto, what is found"
    )
    verb.add_argument("-v", "--verbose", action="store_true", help="say every second how far it is")
    verb.add_argument("--format", choices=("text", "json"), default=argparse.SUPPRESS)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    platform = chosen_platform(args.platform)
    if os.path.lexists(args.output) and not args.force:
        raise CommandError(f"{args.output} exists; replace it with --force, or choose another name with -o")
    note = args.output_stream.note
    note(f"recording platform {platform.name.lower()} for {human_ns(args.duration * 1e9)} into {args.output}")
    with os_errors(args.output):
        counts = record(args, platform)
    size = os.path.getsize(args.output)
    args.output_stream.line(
        f"{args.output}: {counts['emitted']:,} events emitted, {counts['delivered']:,} delivered, "
        f"{counts['dropped']:,} dropped, {human_bytes(size)}"
    )
    return {"file": args.output, "platform": platform.name.lower(), "bytes": size} | counts


def chosen_platform(name: str) -> PlatformType:
    import tracesmith

    found = tracesmith.detect_platform()
    if name == "auto":
        return found
    if name != found.name.lower():
        raise CommandError(
            f"{name} cannot be recorded by this build; what it finds here is {found.name.lower()}, "
            "which --platform auto takes"
        )
    return found


def record(args: argparse.Namespace, platform: PlatformType) -> dict[str, int]:
    import tracesmith

    config = tracesmith.ProfilerConfig(
        buffer_size=max(args.buffer // EVENT_BYTES, 1), output_file=args.output
    )
    profiler = tracesmith.create_profiler(platform)
    profiler.initialize(config)
    profiler.start_capture()
    try:
        wait(args, profiler)
    finally:
        profiler.stop_capture()
    statistics = profiler.session.get_statistics()
    return {
        "emitted": statistics.events_emitted,
        "delivered": statistics.events_delivered,
        "dropped": statistics.events_dropped,
    }


def wait(args: argparse.Namespace, profiler: Profiler) -> None:
    """Until the time is over, or Ctrl-C. A bar when somebody watches, a line a second with -v."""
    watched = sys.stderr.isatty() and not args.output_stream.json
    begin = reported = time.monotonic()
    try:
        while (elapsed := time.monotonic() - begin) < args.duration:
            time.sleep(min(TICK_S, args.duration - elapsed))
            if watched:
                print(
                    bar(elapsed / args.duration, profiler.events_captured()),
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
            elif args.verbose and time.monotonic() - reported >= 1:
                reported = time.monotonic()
                args.output_stream.note(f"{elapsed:.0f} s: {profiler.events_captured():,} events in the file")
    except KeyboardInterrupt:
        args.output_stream.note("\ninterrupted: keeping what there is")
    if watched:
        print(file=sys.stderr)


def bar(share: float, events: int) -> str:
    done = round(min(share, 1) * BAR_WIDTH)
    return f"\r[{'#' * done}{'.' * (BAR_WIDTH - done)}] {events:,} events"
