"""``version``: which TraceSmith this is."""

from __future__ import annotations

import argparse

from tracesmith import __version__ as VERSION


def add(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser("version", help="print the version", allow_abbrev=False)
    verb.add_argument("--format", choices=("text", "json"), default=argparse.SUPPRESS)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, str]:
    args.output_stream.heading(f"TraceSmith {VERSION}")
    args.output_stream.line("Every GPU operation, the call that launched it, and why it was late.")
    import platform

    args.output_stream.line(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    return {"version": VERSION, "python": platform.python_version(), "machine": platform.machine()}
