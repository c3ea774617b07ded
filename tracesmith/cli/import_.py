"""``import FILE``: another program's trace as an .sbt file, and what of it was understood."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from tracesmith.cli.output import CommandError, human_bytes, printable
from tracesmith.cli.progress import Progress
from tracesmith.cli.trace import os_errors

if TYPE_CHECKING:
    from tracesmith import ImportReport

SUFFIXES = (".gz", ".json", ".sqlite", ".trace", ".pt")


def add(verbs: argparse._SubParsersAction) -> None:
    verb = verbs.add_parser(
        "import",
        help="turn another program's trace into an .sbt file",
        description="Reads torch.profiler's, Chrome's and rocprofv3's JSON, plain or gzipped, and Nsight"
        " Systems' SQLite export. Other verbs read such files too; an imported one opens at once and is a"
        " fraction of the size.",
        allow_abbrev=False,
    )
    verb.add_argument("file", metavar="FILE")
    verb.add_argument("-o", "--output", metavar="FILE", help="default: FILE's name with .sbt")
    verb.add_argument("-f", "--force", action="store_true", help="replace the output if it exists")
    verb.add_argument("--compression", choices=("zstd", "none"), default="zstd", help="default: zstd")
    verb.add_argument("--binary", metavar="FILE", help="the program that wrote an XRay log: for names")
    verb.add_argument("--format", choices=("text", "json"), default=argparse.SUPPRESS)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import tracesmith

    output = args.output or default_output(args.file)
    with os_errors(args.file):
        kind = tracesmith.recognize(args.file)
    if kind == "SBT":
        raise CommandError(f"{args.file}: this is an SBT file already; the other verbs read it as it is")
    if args.binary is not None and kind != "LLVM XRay log":
        raise CommandError(f"{args.file}: --binary gives names to XRay logs, and this is {kind or 'none'}")
    if os.path.exists(output) and not args.force:
        raise CommandError(f"{output}: exists already; give another name with -o, or replace it with -f")
    with os_errors(args.file), Progress("importing", human_bytes) as progress:
        report = tracesmith.import_trace(
            args.file,
            output,
            compress=args.compression == "zstd",
            progress=progress.array,
            binary=args.binary,
        )
    data = describe(report, output)
    show(args.output_stream, report, data)
    return data


def default_output(path: str) -> str:
    name = os.path.basename(path)
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix) or name
    return f"{name}.sbt"


def describe(report: ImportReport, output: str) -> dict[str, Any]:
    return {
        "file": report.path,
        "format": report.format,
        "bytes": report.bytes_read,
        "truncated": report.truncated,
        "output": output,
        "output_bytes": os.path.getsize(output),
        "events": report.events,
        "understood": report.understood,
        "skipped": [
            {"category": category, "reason": reason, "count": count}
            for category, reason, count in report.skipped
        ],
    }


def show(output: Any, report: ImportReport, data: dict[str, Any]) -> None:
    output.heading(f"{printable(report.path)}: {report.format}")
    if report.truncated:
        output.line("  the file ends in the middle: what comes before is kept")
    rows = [(printable(category), f"{count:,}", "") for category, count in report.understood.items()]
    rows += [(printable(name), f"{count:,}", f"skipped: {why}") for name, why, count in report.skipped]
    output.table(("category", "entries", ""), rows, left=(0, 2))
    size, was = data["output_bytes"], data["bytes"]
    share = f", {size / was:.0%} of {human_bytes(was)}" if was else ""
    output.line(f"  {printable(data['output'])}: {report.events:,} events, {human_bytes(size)}{share}")
