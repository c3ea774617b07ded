"""How reports are printed: for people with units that fit, or as CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracesmith.cli.output import printable

if TYPE_CHECKING:
    from tracesmith.analysis import Column, Report

UNITS = {
    "ns": (("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1)),
    "bytes": (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)),
}
NAME_WIDTH = 60


def clip(text: str, width: int) -> str:
    """In the middle: names of kernels differ at both ends."""
    if len(text) <= width:
        return text
    left = (width - 1) // 2
    return f"{text[:left]}…{text[len(text) - (width - 1 - left) :]}"


def scale_of(column: Column, values: Sequence[Any]) -> tuple[str, float]:
    """The unit in which the median of what is not 0 is at least 1. Moments stay nanoseconds."""
    numbers = sorted(value for value in values if value)
    if column.unit not in UNITS or not numbers or column.name in ("begin", "end", "peak_at", "first"):
        return ("ns" if column.unit == "ns" else column.unit), 1
    middle = numbers[len(numbers) // 2]
    return next((unit for unit in UNITS[column.unit] if middle >= unit[1]), UNITS[column.unit][-1])


def number(value: Any, size: float) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and size == 1:
        return f"{value:,}"
    return f"{value / size:,.2f}"


def cells_of(column: Column, values: Sequence[Any], width: int | None) -> tuple[str, list[str]]:
    """The header and the cells of a column."""
    title = column.name.replace("_", " ").capitalize()
    if column.type == "text":
        texts = ["" if value is None else printable(value) for value in values]
        return title, texts if width is None else [clip(text, width) for text in texts]
    unit, size = scale_of(column, values)
    return f"{title} ({unit})" if unit else title, [number(value, size) for value in values]


def laid_out(report: Report, width: int | None) -> tuple[list[str], list[list[str]]]:
    columns = [cells_of(column, report[column.name], width) for column in report.columns]
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return [title for title, _ in columns], rows


def show_text(output: Any, report: Report, wide: bool) -> None:
    header, rows = laid_out(report, None if wide else NAME_WIDTH)
    output.heading(report.name)
    if rows:
        left = [at for at, column in enumerate(report.columns) if column.type == "text"]
        output.table(header, rows, left)
    else:
        output.line("  nothing")
    if len(report) < report.all:
        output.line(f"  showing {len(report):,} of {report.all:,}; --limit 0 for all")
    output.line()


def show_markdown(output: Any, report: Report) -> None:
    header, rows = laid_out(report, None)
    rule = ["---" if column.type == "text" else "---:" for column in report.columns]
    output.line(f"### {report.name}\n")
    for row in [header, rule, *rows]:
        output.line("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    output.line()


def show_csv(output: Any, report: Report) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in report.columns)
    writer.writerows(report.rows)
    output.line(text.getvalue().removesuffix("\n"))
