"""``export FILE``: a trace in a format that other programs open."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from tracesmith.cli.output import CommandError, UsageError, human_bytes, printable
from tracesmith.cli.progress import Progress
from tracesmith.cli.trace import opened, os_errors

if TYPE_CHECKING:
    from tracesmith.export import ExportReport

FORMATS = ("chrome", "perfetto", "folded", "speedscope", "dot", "csv", "text")
ENDING = {
    "chrome": ".json",
    "perfetto": ".perfetto-trace",
    "folded": ".folded",
    "speedscope": ".speedscope.json",
    "dot": ".dot",
    "csv": ".csv",
    "text": ".txt",
}
SUFFIXES = (".sbt", ".gz", ".json", ".trace", ".pt")
OPENED_BY = {
    "chrome": "ui.perfetto.dev, chrome://tracing, HTA and TensorBoard open it",
    "perfetto": "ui.perfetto.dev and trace_processor open it",
    "folded": "flamegraph.pl, inferno and speedscope.app draw it: ns of device time by stack",
    "speedscope": "speedscope.app opens it",
    "dot": "Graphviz draws it: dot -Tsvg",
    "csv": "one row per event, the columns of docs/cli.md",
    "text": "one line per event",
}
LEFT_OUT = {
    "device": "what lies on streams",
    "host": "what lies on threads",
    "flows": "arrows between calls and their work",
    "counters": "counters",
    "stacks": "call stacks",
}


def add(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser(
        "export",
        help="write a trace for Perfetto, Chrome, HTA and others",
        description="Written block by block: memory does not grow with the trace.",
        allow_abbrev=False,
    )
    verb.add_argument("file", metavar="FILE")
    verb.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="default: the name of FILE with another ending; - is stdout",
    )
    verb.add_argument("-f", "--to", choices=FORMATS, help="default: what OUT's name tells, else chrome")
    verb.add_argument("--force", action="store_true", help="replace the output if it exists")
    verb.add_argument("--lean", action="store_true", help="only the arguments that identify")
    verb.add_argument(
        "--compress", action="store_true", help="gzip around text, deflated packets inside protobuf"
    )
    for name, what in LEFT_OUT.items():
        verb.add_argument(f"--no-{name}", action="store_false", dest=name, help=f"leave out {what}")
    verb.add_argument("--format", choices=("text", "json"), default=argparse.SUPPRESS)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import tracesmith

    output = args.output or default_output(args.file, args.to or "chrome")
    if output == "-" and args.output_stream.json:
        raise UsageError("-o - and --format json both want stdout; leave one of them out")
    if output != "-" and os.path.exists(output) and not args.force:
        raise CommandError(f"{output}: exists already; give another name with -o, or replace it with --force")
    options = {name: getattr(args, name) for name in LEFT_OUT} | {"lean": args.lean}
    if args.compress:
        options["compress"] = True
    with opened(args.file) as trace, os_errors(output), Progress("exporting", "{:,.0f} events".format) as bar:
        if bar.array is not None:
            bar.array[1] = len(trace)
        form = args.to or format_told(output)
        report = tracesmith.export_trace(trace, output, form, progress=bar.array, **options)
    return show(args.output_stream, report)


def default_output(path: str, form: str) -> str:
    name = os.path.basename(path)
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix) or name
    return name + ENDING[form]


def format_told(output: str) -> str:
    from tracesmith.export import format_of

    try:
        return format_of(output)[0]
    except ValueError:
        if output == "-":
            return "chrome"
        raise UsageError(
            f"{output}: the name tells no format; say it with -f {' or -f '.join(FORMATS)}"
        ) from None


def show(output: Any, report: ExportReport) -> dict[str, Any]:
    left_out = report.events - report.written
    without = f", {left_out:,} of {report.events:,} left out" if left_out else ""
    say = output.note if report.path == "-" else output.line
    where = "standard output" if report.path == "-" else printable(report.path)
    say(f"{where}: {report.written:,} events{without}, {human_bytes(report.bytes)}")
    say(f"  {OPENED_BY[report.format]}")
    return {
        "output": report.path,
        "format": report.format,
        "events": report.events,
        "written": report.written,
        "bytes": report.bytes,
    }
