"""``diff A B``: is the second run slower, and which kernels made it so."""

from __future__ import annotations

import argparse
import math
from typing import Any

from tracesmith.cli.output import human_ns, printable
from tracesmith.cli.progress import Progress
from tracesmith.cli.tables import NAME_WIDTH, clip
from tracesmith.cli.trace import os_errors

SCHEMA = "diff/1"
PARTS = ("window_ns", "compute_ns", "exposed_communication_ns", "exposed_memory_ns", "idle_ns")


def share(text: str) -> float:
    number = text.removesuffix("%")
    try:
        value = float(number) / (100 if number != text else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"not a share: {text!r}; write 5% or 0.05")
    return value


def add(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser(
        "diff",
        help="compare two traces: slower or not, and which kernels changed",
        description="Compares steps where both traces have them, else the time from first to last work.",
        allow_abbrev=False,
    )
    verb.add_argument("before", metavar="A")
    verb.add_argument("after", metavar="B")
    verb.add_argument(
        "--threshold",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="changes below it are none (default 5%%)",
    )
    verb.add_argument(
        "--alpha", type=share, default=0.01, metavar="P", help="how likely chance may be (default 0.01)"
    )
    verb.add_argument(
        "--limit", type=int, default=20, metavar="N", help="kernels to show (default 20; 0: all)"
    )
    verb.add_argument("--wide", action="store_true", help="whole names")
    verb.add_argument("--fail-on-regression", action="store_true", help="exit with 1 when B is slower")
    verb.add_argument("--format", choices=("text", "json"), default=argparse.SUPPRESS)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    from tracesmith import _core

    sides = []
    for path in (args.before, args.after):
        side = _core.Analysis()
        with os_errors(path), Progress("analysing", "{:,.0f}".format) as bar:
            side.add_file(path, progress=bar.array)
        sides.append(side)
    found = sides[0].diff(sides[1].save(), args.threshold, args.alpha)
    args.output_stream.exit_code = int(args.fail_on_regression and found["change"] == "slower")
    show(args.output_stream, found, args.limit, args.wide)
    return {"schema": SCHEMA, "input": [{"path": args.before}, {"path": args.after}], **found}


def show(output: Any, found: dict[str, Any], limit: int, wide: bool) -> None:
    output.heading(printable(found["verdict"]))
    output.line()
    rows = [
        [key.removesuffix("_ns").replace("_", " "), *map(human_ns, pair), percent(*pair)]
        for key in PARTS
        if any(pair := (found["before"][key], found["after"][key]))
    ]
    output.table(["", "Before", "After", "Change"], rows)
    kernels = [kernel for kernel in found["kernels"] if kernel["change"] != "same"]
    if kernels:
        output.line()
        show_kernels(output, kernels[: limit or None], wide)
        if limit and len(kernels) > limit:
            output.line(f"  showing {limit:,} of {len(kernels):,}; --limit 0 for all")
    same = len(found["kernels"]) - len(kernels)
    output.line(f"\n  {same:,} kernels did not change")


def show_kernels(output: Any, kernels: list[dict[str, Any]], wide: bool) -> None:
    header = ["Change", "Before", "After", "Median", "Calls", "p", "Name"]
    rows = [
        [
            kernel["change"],
            human_ns(kernel["total_before"]),
            human_ns(kernel["total_after"]),
            percent(kernel["median_before"], kernel["median_after"]),
            f"{kernel['count_before']:,} → {kernel['count_after']:,}",
            f"{kernel['p']:.2g}",
            printable(kernel["name"]) if wide else clip(printable(kernel["name"]), NAME_WIDTH),
        ]
        for kernel in kernels
    ]
    output.table(header, rows, left=(0, 6))


def percent(before: int, after: int) -> str:
    return f"{(after / before - 1):+.1%}" if before and after else "-"
