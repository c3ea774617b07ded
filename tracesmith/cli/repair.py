"""``repair FILE``: makes the file of a recording that died whole, with everything that was committed."""

from __future__ import annotations

import argparse
from typing import Any

from tracesmith.cli.trace import opened, os_errors


def add(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser(
        "repair",
        help="make the trace of a run that was killed whole",
        description="Takes in what the dead run had committed and not yet written, then closes the file.",
        allow_abbrev=False,
    )
    verb.add_argument("file", metavar="FILE")
    verb.add_argument("--format", choices=("text", "json"), default=argparse.SUPPRESS)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    was = state_of(args.file)
    report = mend(args.file)
    with opened(args.file) as trace:
        events = int(trace.info["events"])
    say = args.output_stream.line
    if was == "complete":
        say(f"{args.file} was complete already: {events:,} events")
    else:
        gained = f"{report['recovered']:,} of them from the buffers of the dead run"
        say(f"{args.file} is whole: {events:,} events, {gained}")
    if was == "incomplete" and not report["drained"]:
        say("  no buffers of its run were found: events that had not reached the file are gone")
    return {"file": args.file, "was": was, "events": events} | report


def state_of(path: str) -> str:
    import tracesmith

    with os_errors(path):
        try:
            with tracesmith.open(path) as trace:
                return "complete" if trace.info["complete"] else "incomplete"
        except tracesmith.TruncatedError:
            return "cut"


def mend(path: str) -> dict[str, Any]:
    import tracesmith

    with os_errors(path):
        return tracesmith.repair(path)
