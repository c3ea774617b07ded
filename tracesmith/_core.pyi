"""Everything right of the file, as C sees it. Users import from tracesmith."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[np.uint32]]

EVENT_TYPES: dict[str, int]
TABLES: tuple[str, ...]
EVENT_DTYPE: np.dtype[np.void]
EXTENSION_DTYPE: np.dtype[np.void]
BLOCK_DTYPE: np.dtype[np.void]
POSITION_DTYPE: np.dtype[np.void]

class Store:
    @property
    def path(self) -> str | None: ...
    def __init__(self, path: str | bytes | os.PathLike[str] | None = None) -> None: ...
    def read(
        self,
        /,
        blocks: ArrayLike,
        begin: int = 0,
        end: int | None = None,
        *,
        out: NDArray[Any] | None = None,
    ) -> Any: ...
    def find(self, begin: int, end: int | None, /) -> NDArray[np.intp]: ...
    def blocks(self, /) -> NDArray[Any]: ...
    def positions(self, /) -> NDArray[Any]: ...
    def info(self, /) -> dict[str, Any]: ...
    def refresh(self, /) -> None: ...
    def count(self, table: str, /) -> int: ...
    def table(self, table: str, /) -> NDArray[Any]: ...
    def text(self, table: str, row: int, /) -> Any: ...
    def texts(self, table: str, rows: ArrayLike, /) -> NDArray[np.object_]: ...
    def find_text(self, text: str, /) -> int: ...
    def build(self, objects: Iterable[Any], /) -> Arrays: ...
    def absorb(self, store: Store, events: NDArray[Any], extensions: NDArray[Any], /) -> None: ...

class Writer:
    process: int
    @property
    def events(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def path(self) -> str: ...
    def __init__(self, path: str | os.PathLike[str], compress: bool = False) -> None: ...
    def write(self, event: Any, /) -> None: ...
    def write_all(self, objects: Iterable[Any], /) -> None: ...
    def write_batch(
        self,
        store: Store | None,
        events: NDArray[Any],
        extensions: NDArray[Any] | None,
        rows: NDArray[Any] | None,
        /,
    ) -> None: ...
    def intern(self, text: str, /) -> int: ...
    def intern_row(self, table: str, values: Iterable[int], /) -> int: ...
    def add_row(self, table: str, values: Iterable[int], /) -> int: ...
    def flush(self, /) -> None: ...
    def finalize(self, /) -> None: ...

SPAN_CLASSES: dict[str, int]
DEPENDENCY_KINDS: dict[str, int]
GPU_STATES: dict[str, int]

class Timeline:
    @property
    def spans(self) -> NDArray[Any]: ...
    @property
    def tracks(self) -> NDArray[Any]: ...
    @property
    def calls(self) -> NDArray[Any]: ...
    @property
    def operations(self) -> NDArray[np.uint32]: ...
    @property
    def call_rows(self) -> NDArray[np.uint32]: ...
    @property
    def facts(self) -> dict[str, int]: ...
    def __init__(
        self,
        store: Store,
        events: NDArray[Any],
        extensions: NDArray[Any] | None,
        rows: NDArray[Any] | None,
    ) -> None: ...
    def sweep(
        self, device: int, begin: int | None, end: int | None, /
    ) -> tuple[int, int, int, int, int, NDArray[np.uint64]]: ...
    def columns(
        self, track: int, begin: int | None, end: int | None, columns: int, /
    ) -> NDArray[np.uint64]: ...
    def dependencies(
        self, /
    ) -> tuple[NDArray[Any], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32], dict[str, int]]: ...
    def find_cycle(self, /) -> int | None: ...
    def states(
        self, begin: int | None, end: int | None, /
    ) -> tuple[int, int, NDArray[Any], NDArray[Any]]: ...
    def critical_path(
        self, begin: int | None, end: int | None, /
    ) -> tuple[int, int, int, dict[str, int], NDArray[Any]]: ...

class Analysis:
    def __init__(self) -> None: ...
    def add(
        self,
        store: Store,
        events: NDArray[Any] | None,
        extensions: NDArray[Any] | None,
        rows: NDArray[Any] | None,
        begin: int | None,
        end: int | None,
        label: str,
        /,
    ) -> None: ...
    def add_file(
        self,
        path: str | bytes | os.PathLike[str],
        label: str = "",
        begin: int | None = None,
        end: int | None = None,
        relative: bool = False,
        progress: Any = None,
    ) -> dict[str, Any]: ...
    def save(self, /) -> bytes: ...
    def merge(self, saved: bytes, /) -> None: ...
    def diff(self, after: bytes, threshold: float, alpha: float, /) -> dict[str, Any]: ...
    def finish(self, reports: Sequence[str], limit: int = 0, /) -> dict[str, Any]: ...

def sort(events: NDArray[Any], extensions: NDArray[Any], rows: NDArray[Any], /) -> None: ...
def count(
    store: Store,
    events: NDArray[Any] | None,
    extensions: NDArray[Any] | None,
    rows: NDArray[Any] | None,
    begin: int | None,
    end: int | None,
    /,
) -> dict[str, int]: ...
def export(
    store: Store,
    events: NDArray[Any] | None,
    extensions: NDArray[Any] | None,
    rows: NDArray[Any] | None,
    begin: int | None,
    end: int | None,
    path: str | bytes | os.PathLike[str],
    format: int,
    *,
    lean: bool = False,
    compress: bool = False,
    no_device: bool = False,
    no_host: bool = False,
    no_flows: bool = False,
    no_counters: bool = False,
    no_stacks: bool = False,
    progress: NDArray[np.uint64] | None = None,
) -> dict[str, int]: ...
def arrow_stream(
    store: Store,
    events: NDArray[Any] | None,
    extensions: NDArray[Any] | None,
    rows: NDArray[Any] | None,
    begin: int | None,
    end: int | None,
    /,
) -> object: ...
def recognize(path: str | bytes | os.PathLike[str], /) -> int: ...
def import_file(
    path: str | bytes | os.PathLike[str],
    output: str | bytes | os.PathLike[str],
    compress: bool = False,
    progress: NDArray[np.uint64] | None = None,
    binary: str | bytes | os.PathLike[str] | None = None,
) -> dict[str, Any]: ...
def zstd_available() -> bool: ...
