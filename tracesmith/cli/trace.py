"""What the verbs that read a file share: opening it, and turning its refusals into one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tracesmith.cli.output import CommandError, printable

if TYPE_CHECKING:
    import numpy as np

    from tracesmith import Trace

NEXT_STEP = {
    "FormatError": "give a file that record or SBTWriter has made",
    "TruncatedError": "`tracesmith-cli repair FILE` keeps what is whole",
    "CorruptError": "`tracesmith-cli repair FILE` keeps what lies before the damage",
    "UnsupportedError": "read it with the TraceSmith that wrote it, or a newer one",
    "BusyError": "wait until the program that writes it has ended",
}


@contextlib.contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Whatever goes wrong with path inside: one line, with the cause and the next step."""
    from tracesmith import errors

    try:
        yield
    except BrokenPipeError:
        raise  # stdout's, not path's
    except FileNotFoundError:
        raise CommandError(f"{path}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise CommandError(f"{path}: this is a directory; name the .sbt file in it") from None
    except PermissionError:
        raise CommandError(f"{path}: not permitted; ask its owner, or choose another path") from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}; check the disk and the path") from None
    except errors.TraceError as error:
        text = printable(str(error))
        named = text if text.startswith(path) else f"{path}: {text}"
        step = NEXT_STEP.get(type(error).__name__)
        raise CommandError(f"{named}; {step}" if step else named) from None


@contextlib.contextmanager
def opened(path: str) -> Iterator[Trace]:
    import tracesmith

    with os_errors(path):
        trace = tracesmith.open(path)
        try:
            yield trace
        finally:
            trace.close()


def cell(rows: np.ndarray, row: int, column: str) -> int | None:
    """None for row 0, which is 'none', and for a row that the file does not have."""
    return int(rows[column][row]) if 0 < row < len(rows) else None


def stream_labels(trace: Trace) -> list[str]:
    """``device/stream`` by row, as the driver numbers them; empty for row 0."""
    streams, devices = trace.streams, trace.devices
    pairs = zip(streams["device"].tolist(), streams["raw_id"].tolist(), strict=True)
    labels = [f"{shown(cell(devices, device, 'ordinal'))}/{raw}" for device, raw in pairs]
    return ["", *labels[1:]]


def shown(number: int | None) -> str:
    return "-" if number is None else str(number)
