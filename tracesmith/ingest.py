"""Other people's traces: what a file is, and how it becomes one of ours."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracesmith import _core
from tracesmith.trace import Trace

FORMATS = {
    1: "Chrome or Kineto JSON",
    2: "rocprofv3 JSON",
    3: "Nsight Systems SQLite",
    4: "LLVM XRay log",
    5: "SBT 0.1",
    6: "Perfetto protobuf",
    7: "SBT",
}
STOP = 2
"""Of the array that progress is: the wish to stop."""
_SMALL = 16 << 20
_SHARED_MEMORY = "/dev/shm"


@dataclass(frozen=True)
class ImportReport:
    """What an import understood, by category, and what it skipped and why."""

    path: str
    format: str
    bytes_read: int
    events: int
    truncated: bool
    understood: dict[str, int]
    skipped: list[tuple[str, str, int]]
    """(category, reason, count)"""

    def __str__(self) -> str:
        cut = ", cut off at its end" if self.truncated else ""
        left_out = sum(count for _, _, count in self.skipped)
        without = f", {left_out:,} skipped" if left_out else ""
        return f"{self.format}{cut}: {self.events:,} events{without}"


def recognize(path: str | os.PathLike[str]) -> str | None:
    """The name of the format that a file has, by its content; None when nothing fits."""
    return FORMATS.get(_core.recognize(path))


def import_trace(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    compress: bool = True,
    progress: np.ndarray | None = None,
    binary: str | os.PathLike[str] | None = None,
) -> ImportReport:
    """Write another program's trace to output as SBT. What fails leaves the output as it was.

    progress: an array of three uint64, which holds the bytes read and those there are, and stops the
    import when the third is not 0. binary: the program that wrote an XRay log, for its functions' names.
    """
    partial = f"{os.fsdecode(output)}.{os.getpid()}-{threading.get_ident()}.part"
    try:
        facts = _import(path, partial, compress and _core.zstd_available(), progress, binary)
        os.replace(partial, output)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise
    return report_of(os.fsdecode(path), facts)


def _import(
    path: str | os.PathLike[str],
    output: str,
    compress: bool,
    progress: np.ndarray | None,
    binary: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """What takes long runs in a thread of its own, so that Ctrl-C reaches this one and stops it."""
    if os.path.getsize(path) <= _SMALL or threading.current_thread() is not threading.main_thread():
        return _core.import_file(path, output, compress, progress, binary)
    watched = np.zeros(3, np.uint64) if progress is None else progress
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(_core.import_file(path, output, compress, watched, binary))
        except BaseException as error:
            outcome.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        worker.join()
    except BaseException:
        watched[STOP] = 1
        worker.join()
        raise
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def report_of(path: str, facts: dict[str, Any]) -> ImportReport:
    rows = facts["rows"]
    return ImportReport(
        path,
        FORMATS[facts["format"]],
        facts["bytes_read"],
        facts["events"],
        facts["truncated"],
        {category: count for category, count, reason in rows if reason is None and count},
        [(category, reason, count) for category, count, reason in rows if reason is not None and count],
    )


def open_foreign(path: str | os.PathLike[str]) -> Trace:
    """A trace of another format, imported into a file that is gone when the trace is closed."""
    folder = tempfile.mkdtemp(prefix="tracesmith-", dir=_place(path))
    try:
        output = os.path.join(folder, "imported.sbt")
        report = import_trace(path, output, compress=False)
        trace = Trace(output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    trace.imported = report
    return trace


def _place(path: str | os.PathLike[str]) -> str | None:
    """Memory for what is small and surely fits, else where temporary files go."""
    if os.path.getsize(path) <= _SMALL and os.access(_SHARED_MEMORY, os.W_OK):
        there = os.statvfs(_SHARED_MEMORY)
        if there.f_bavail * there.f_frsize > 32 * _SMALL:
            return _SHARED_MEMORY
    return None
