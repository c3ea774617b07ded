"""Verbs that this build does not have. They are known, so that the answer is not 'unknown command'."""

from __future__ import annotations

import argparse

from tracesmith.cli.output import UsageError
from tracesmith.cli.version import VERSION

INSTEAD = {
    "profile": "`record --platform simulation` records the simulated workload",
    "replay": "`view` shows the events in order",
    "devices": "`info FILE` lists the devices of a trace",
    "benchmark": "`make bench` in a checkout runs the benchmarks",
    "top": "`view` reads a trace while it is being written",
    "attach": "`record` starts a recording of its own",
}


def add(verbs: argparse._SubParsersAction) -> None:
    for name in INSTEAD:
        verb = verbs.add_parser(name, add_help=False, prefix_chars="\0")
        verb.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
        verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    raise UsageError(
        f"{args.command} is not in this build (TraceSmith {VERSION}) yet; {INSTEAD[args.command]}"
    )
