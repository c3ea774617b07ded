"""Events for programs that speak Arrow: Parquet through whichever of them is installed.

Trace and Events have ``__arrow_c_stream__``, which is all that DuckDB, Polars, pandas and pyarrow
need; this is for what they write.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable
from typing import Any, Protocol


class ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def _by_pyarrow(pyarrow: Any, stream: ArrowStream, path: str) -> None:
    parquet = importlib.import_module("pyarrow.parquet")
    reader = pyarrow.RecordBatchReader.from_stream(stream)
    with parquet.ParquetWriter(path, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


def _by_duckdb(duckdb: Any, stream: ArrowStream, path: str) -> None:
    with duckdb.connect() as connection:
        connection.from_arrow(stream).write_parquet(path, compression="zstd")


def _by_polars(polars: Any, stream: ArrowStream, path: str) -> None:
    polars.DataFrame(stream).write_parquet(path, compression="zstd")


# Polars holds the whole table, so it comes last.
_ENGINES: dict[str, Callable[[Any, ArrowStream, str], None]] = {
    "pyarrow": _by_pyarrow,
    "duckdb": _by_duckdb,
    "polars": _by_polars,
}


def _engine(name: str | None) -> tuple[str, Any]:
    if name is not None and name not in _ENGINES:
        raise ValueError(f"engine is one of {', '.join(_ENGINES)}, not {name!r}")
    for candidate in _ENGINES if name is None else [name]:
        with contextlib.suppress(ModuleNotFoundError):
            return candidate, importlib.import_module(candidate)
    wanted = name or "pyarrow"
    missing = "none of pyarrow, duckdb and polars is" if name is None else f"{name} is not"
    raise ModuleNotFoundError(
        f"{missing} installed, and Parquet needs one: pip install {wanted}", name=wanted
    )


def to_parquet(stream: ArrowStream, path: str | os.PathLike[str], *, engine: str | None = None) -> None:
    """Write one row per event, in the columns of ``__arrow_c_stream__``, compressed with zstd.

    engine: "pyarrow", "duckdb" or "polars"; by default the first that is installed. An existing file
    is replaced when the new one is whole.
    """
    name, module = _engine(engine)
    path = os.fspath(path)
    part = f"{path}.{os.getpid()}.part"
    try:
        _ENGINES[name](module, stream, part)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)
        raise
