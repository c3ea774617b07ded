"""``analyze FILE...``: what is wrong with a run, in one screen; the tables behind it with ``-r``."""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING, Any

from tracesmith.cli.output import UsageError, human_ns, printable
from tracesmith.cli.progress import Progress
from tracesmith.cli.tables import show_csv, show_markdown, show_text
from tracesmith.cli.trace import opened, os_errors

if TYPE_CHECKING:
    from tracesmith.analysis import Answers, Finding, Report
    from tracesmith.critical import CriticalPath

SCHEMA = "analyze/1"
PATH = "critical-path"
LEVELS = ("info", "low", "medium", "high")
BAR_WIDTH = 60
SHOWN = 3
FRAMES = 3
# These name no cause of their own: what they cost is in the findings that do.
SYMPTOMS = ("low-utilization", "starvation", "short-kernels")
PARTS = (
    ("compute", "compute_ns", "#", "32"),
    ("communication not hidden", "exposed_communication_ns", "=", "33"),
    ("copies not hidden", "exposed_memory_ns", "+", "34"),
    ("idle", "idle_ns", ".", "31"),
)
MARKS = {"high": "31;1", "medium": "33", "low": "0", "info": "0"}
TIME = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s)?")
SIZES = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, None: 1_000_000_000}


def moment(text: str) -> int | None:
    found = TIME.fullmatch(text)
    if text and not found:
        raise argparse.ArgumentTypeError(f"not a time: {text!r}; write 1.5s, 200ms or 10us")
    return round(float(found[1]) * SIZES[found[2]]) if found else None


def window(text: str) -> tuple[int | None, int | None]:
    begin, slash, end = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError(
            f"not a window: {text!r}; write BEGIN/END, such as 1s/1.5s or 200ms/"
        )
    return moment(begin), moment(end)


def limit(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"not a number of rows: {text!r}; 0 is all")
    return int(text)


def add(verbs: argparse._SubParsersAction) -> None:
    from tracesmith.analysis import REPORTS

    verb = verbs.add_parser(
        "analyze",
        help="say what is wrong with a run: where time went, why, and what to do",
        description="Without options one screen: the verdict, where the time of the GPU went, the three most "
        "expensive causes and what to do about them. Traces of every format that is read.",
        epilog="Exit codes: 0 done, 1 it failed or made a finding that --fail-on names, 2 the command line "
        "is wrong. Reports: findings, critical-path, " + ", ".join(REPORTS) + ".",
        allow_abbrev=False,
    )
    verb.add_argument("files", nargs="+", metavar="FILE", help="several are analysed together")
    verb.add_argument(
        "-r",
        "--report",
        metavar="NAME[,..]",
        action="append",
        default=[],
        help="tables to print; all for all but critical-path, which takes all events into memory",
    )
    verb.add_argument(
        "--time",
        type=window,
        metavar="A/B",
        default=(None, None),
        help="this window, from the first event on",
    )
    verb.add_argument(
        "--limit", type=limit, default=20, metavar="N", help="rows per table (default 20; 0: all)"
    )
    verb.add_argument("--wide", action="store_true", help="whole names")
    verb.add_argument(
        "--fail-on",
        metavar="RULE[:LEVEL]",
        action="append",
        default=[],
        help="exit with 1 if there is this finding, or any of this severity (any:high); repeatable",
    )
    verb.add_argument(
        "-f",
        "--format",
        choices=("text", "json", "csv", "md"),
        default=argparse.SUPPRESS,
        help="csv takes one report",
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    reports = wanted_reports(args)
    rules = [parse_rule(text) for text in args.fail_on]
    inputs, answers = look(args, [name for name in reports if name not in ("findings", PATH)])
    path = look_for_path(args) if PATH in reports else None
    if path is not None:
        for table in (path.by_part, path.by_name(args.limit), path.path(args.limit)):
            answers.reports[table.name] = table
    output = args.output_stream
    show(output, args, reports, answers, path)
    for note in warnings_of(inputs):
        output.note(note)
    broken = [finding for finding in answers.findings if any(breaks(finding, *rule) for rule in rules)]
    for finding in broken:
        output.note(f"--fail-on: {finding.id} ({finding.severity}): {printable(finding.what)}")
    output.exit_code = 1 if broken else 0
    return describe(inputs, answers) | ({} if path is None else {"critical_path": path.verdict})


def wanted_reports(args: argparse.Namespace) -> list[str]:
    from tracesmith.analysis import REPORTS

    known = ("findings", PATH, *REPORTS)
    names = [name for text in args.report for name in text.split(",") if name]
    if "all" in names:
        names = ["findings", *REPORTS, *(PATH for name in names if name == PATH)]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no report {name!r}; there are {', '.join(known)}")
    if PATH in names and len(args.files) > 1:
        raise UsageError(f"-r {PATH} takes one file: nothing says what waited for what across several")
    if args.format == "csv" and (len(names) != 1 or names == ["findings"]):
        raise UsageError("--format csv takes exactly one report: name it with -r")
    if args.format == "json" and not names:
        names = ["breakdown", "causes", "culprits", "gaps", "kernels", "steps", "health"]
    return names


def parse_rule(text: str) -> tuple[str, str]:
    rule, _, level = text.partition(":")
    if level and level not in LEVELS:
        raise UsageError(f"there is no severity {level!r}; there are {', '.join(LEVELS)}")
    return rule, level or "info"


def breaks(finding: Finding, rule: str, level: str) -> bool:
    named = rule in (finding.id, "any")
    return named and LEVELS.index(finding.severity) >= LEVELS.index(level)


def look(args: argparse.Namespace, reports: list[str]) -> tuple[list[dict[str, Any]], Answers]:
    from tracesmith import _core
    from tracesmith.analysis import Answers

    analysis = _core.Analysis()
    inputs = []
    for path in args.files:
        label = label_of(path, args.files)
        with os_errors(path), Progress("analysing", "{:,.0f}".format) as bar:
            facts = analysis.add_file(path, label, *args.time, True, bar.array)
        inputs.append({"path": path, **facts})
    return inputs, Answers(analysis.finish(reports, args.limit))


def look_for_path(args: argparse.Namespace) -> CriticalPath:
    """Unlike the reports this needs all events in memory, and what lies around the window, too."""
    from tracesmith.critical import CriticalPath
    from tracesmith.timeline import Timeline

    with opened(args.files[0]) as trace:
        timeline = Timeline(trace.events)
        begin, end = (None if at is None else timeline.begin + at for at in args.time)
        return CriticalPath(timeline, begin, end)


def label_of(path: str, paths: list[str]) -> str:
    """What tells the devices of this file from the others': its name, as far as that does."""
    if len(paths) == 1:
        return ""
    name = os.path.basename(path)
    unique = sum(os.path.basename(other) == name for other in paths) == 1
    return name if unique else f"{name} ({paths.index(path) + 1})"


def warnings_of(inputs: list[dict[str, Any]]) -> list[str]:
    """What was not read, in one line per file."""
    notes = []
    for facts in inputs:
        skipped = [(category, reason, count) for category, reason, count in facts["rows"] if reason]
        if facts["truncated"]:
            notes.append(f"{facts['path']}: incomplete; what is there was read")
        if skipped:
            total = sum(count for _, _, count in skipped)
            first = f"{printable(skipped[0][0])}: {skipped[0][1]}"
            notes.append(f"{facts['path']}: {total:,} entries were skipped ({first})")
    return notes


def describe(inputs: list[dict[str, Any]], answers: Answers) -> dict[str, Any]:
    """What --format json holds as data."""
    tables = {
        report.name: {
            "columns": [column._asdict() for column in report.columns],
            "rows": report.rows,
            "all": report.all,
        }
        for report in answers.reports.values()
    }
    return {
        "schema": SCHEMA,
        "input": [{key: facts[key] for key in ("path", "events", "truncated")} for facts in inputs],
        "units": {"time": "ns"},
        "verdict": {"text": answers.verdict, **answers.totals},
        "findings": [finding._asdict() for finding in answers.findings],
        "tables": tables,
        "warnings": warnings_of(inputs),
    }


# ---- For people -----------------------------------------------------------------------------------


def show(
    output: Any, args: argparse.Namespace, reports: list[str], answers: Answers, path: CriticalPath | None
) -> None:
    if not reports:
        show_screen(output, args, answers)
    for name in reports:
        if name == PATH and path is not None and args.format != "csv":
            output.heading(printable(path.verdict))
            output.line()
            show_table(output, args, path.by_part)
        if name == "findings":
            show_findings(output, answers.findings)
        else:
            show_table(output, args, answers[name])


def show_table(output: Any, args: argparse.Namespace, report: Report) -> None:
    if args.format == "csv":
        show_csv(output, report)
    elif args.format == "md":
        show_markdown(output, report)
    else:
        show_text(output, report, args.wide)


def show_screen(output: Any, args: argparse.Namespace, answers: Answers) -> None:
    output.heading(printable(answers.verdict))
    if answers.totals["devices"]:
        output.line()
        show_bar(output, answers.totals)
    causes = [finding for finding in answers.findings if finding.id not in SYMPTOMS]
    if causes:
        output.line()
        output.heading("What to look at first")
        show_findings(output, causes[:SHOWN])
    rest = len(answers.findings) - min(len(causes), SHOWN)
    output.line()
    for line in next_steps(args.files, answers, rest):
        output.line(line)


def show_bar(output: Any, totals: dict[str, int]) -> None:
    whole = totals["window_ns"] or 1
    bar, legend, done = "", [], 0
    for name, key, sign, color in PARTS:
        done += totals[key]
        length = round(done / whole * BAR_WIDTH) - sum(bar.count(mark) for _, _, mark, _ in PARTS)
        bar += paint(output, sign * length, color)
        if totals[key]:
            legend.append(f"{paint(output, sign, color)} {name} {totals[key] / whole:.1%}")
    output.line(f"  [{bar}] {human_ns(totals['window_ns'])}")
    output.line("   " + "  ".join(legend))


def paint(output: Any, text: str, color: str) -> str:
    return f"\033[{color}m{text}\033[0m" if output.color and text else text


def show_findings(output: Any, findings: list[Finding]) -> None:
    for finding in findings:
        mark = paint(output, f"{finding.severity:<6}", MARKS[finding.severity])
        cost = f"{finding.share:6.1%} {human_ns(finding.cost_ns):>10}" if finding.cost_ns else " " * 17
        output.line(f"  {mark} {cost}  {printable(finding.what)}")
        for line in finding.evidence:
            output.line(f"{'':27}{printable(line)}")
        for frame in list(reversed(finding.stack.split(";")))[:FRAMES] if finding.stack else ():
            output.line(f"{'':27}at {printable(frame)}")
        output.line(f"{'':25}→ {finding.advice}  [{finding.id}]")


def next_steps(files: list[str], answers: Answers, rest: int) -> list[str]:
    name = " ".join(printable(path) for path in files[:1]) + (" ..." if len(files) > 1 else "")
    if not answers.totals["devices"]:
        return [f"Next: tracesmith-cli analyze {name} -r api, or record with a GPU's events"]
    more = f"-r findings shows {rest} more; " if rest else ""
    idle = answers.totals["idle_ns"] * 10 > answers.totals["window_ns"]
    table = "gaps,culprits" if idle else "kernels,collectives"
    return [f"Next: {more}tracesmith-cli analyze {name} -r {table}"]
