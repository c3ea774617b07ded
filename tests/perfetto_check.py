"""For the tests of the Perfetto export: traces made row by row, a plain decoder of protobuf, and
Perfetto's own reader, which .ci/prepare perfetto build/perfetto fetches."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracesmith as ts
from tracesmith import _core

ROOT = Path(__file__).parent.parent
PERFETTO = 2  # tsm_export_format
CHROME = 1

BYTES, COUNTER, ADDRESS, INTEGER = 1, 2, 3, 4
LAUNCH, METADATA, COUNTER_ROW = 1 << 3, 2 << 3, 3 << 3
GRAPH = 0x200
WORK = {1, 2, 3, 4, 5, 6, 20, 21, 22, 23, 29}  # docs/events.md: device work
BASE = 5_000_000_000


class Maker:
    """Writes a trace event by event, with ids of its own tables."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = _core.Writer(path)
        self._events: list[dict[str, Any]] = []
        self._extensions: list[tuple[int, int, list[int]]] = []

    def text(self, text: str) -> int:
        return self._writer.intern(text) if text else 0

    def row(self, table: str, **columns: Any) -> int:
        """A row by its columns; texts are interned."""
        values = [columns.pop(name, 0) for name in _COLUMNS[table]]
        assert not columns, columns
        return self._writer.intern_row(table, [self.text(v) if isinstance(v, str) else v for v in values])

    def note(self, key: str, value: str) -> None:
        self._writer.add_row("info", (self.text(key), self.text(value)))

    def stack(self, *frames: int) -> int:
        """The root first."""
        stack = 0
        for frame in frames:
            stack = self._writer.intern_row("stacks", (stack, frame))
        return stack

    def metadata(self, items: dict[str, str]) -> int:
        row = 0
        for key, value in items.items():
            row = self._writer.intern_row("metadata", (row, self.text(key), self.text(value)))
        return row

    def schema(self, name: str, fields: dict[str, int]) -> int:
        """fields: tsm_column_type of each."""
        row = self._writer.intern_row("schemas", (0, self.text(name), 0))
        for field, kind in fields.items():
            row = self._writer.intern_row("schemas", (row, self.text(field), kind))
        return row

    def add(
        self, kind: ts.EventType | int, timestamp: int, duration: int = 0, name: str = "", **fields: Any
    ) -> None:
        extensions = fields.pop("extensions", ())
        self._extensions += [(len(self._events), schema, values) for schema, values in extensions]
        fields.update(type=int(kind), timestamp=timestamp, duration=duration, name=self.text(name))
        self._events.append(fields)

    def close(self) -> ts.Trace:
        array = np.zeros(len(self._events), ts.EVENT_DTYPE)
        for i, fields in enumerate(self._events):
            for key, value in fields.items():
                array[key][i] = value
        extensions = np.zeros(len(self._extensions), _core.EXTENSION_DTYPE)
        rows = np.zeros(len(self._extensions), np.uint32)
        for i, (row, schema, values) in enumerate(self._extensions):
            rows[i] = row
            extensions["values"][i][: len(values)] = values
            extensions["type"][i], extensions["count"][i], extensions["schema"][i] = (
                0xFF00,
                len(values),
                schema,
            )
        self._writer.write_batch(None, array, extensions, rows)
        self._writer.finalize()
        return ts.open(self.path)


_COLUMNS = {
    "hosts": ("name", "boot_high", "boot_low"),
    "processes": ("host", "pid", "parent_pid", "start", "name"),
    "threads": ("process", "tid", "name"),
    "devices": (
        "host", "ordinal", "name", "vendor", "uuid_high", "uuid_low", "compute_major", "compute_minor",
        "memory_bytes", "memory_clock_khz", "memory_bus_bits", "multiprocessors",
        "threads_per_multiprocessor", "clock_khz", "warp_size",
    ),
    "streams": ("process", "device", "context", "raw_id", "name", "priority"),
    "frames": ("function", "file", "line", "address", "kind"),
    "launches": (
        "grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z", "shared_static", "shared_dynamic",
        "registers", "local_bytes", "cluster_x", "cluster_y", "cluster_z", "metadata",
    ),
    "counters": ("name", "unit", "track"),
    "clocks": ("host", "ticks", "monotonic", "raw", "realtime"),
}  # fmt: skip


def export(trace: ts.Trace, path: Path, format: int = PERFETTO, **options: Any) -> dict[str, int]:
    return _core.export(trace._store, None, None, None, None, None, path, format, **options)


# ---- A plain decoder


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Every field of a message: its number and its value."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
            yield tag >> 3, value
            continue
        size = 8
        if tag & 7 == 2:
            size, at = varint(data, at)
        else:
            assert tag & 7 == 1, tag
        assert at + size <= len(data)
        yield tag >> 3, data[at : at + size]
        at += size


def packets(data: bytes) -> Iterator[dict[int, Any]]:
    """Packets, compressed ones unpacked in their place; of a field that repeats, the last."""
    for number, packet in fields(data):
        assert number == 1 and isinstance(packet, bytes)
        found = dict(fields(packet))
        if 50 in found:
            assert len(packet) < 512 << 10 and len(found) == 1
            yield from packets(zlib.decompress(found[50]))
        else:
            yield found


def whole_packets(data: bytes) -> bytes:
    """Without the one at the end that was cut off."""
    at = end = 0
    while at < len(data):
        end = at
        try:
            size, at = varint(data, at + 1)
        except IndexError:
            return data[:end]
        at += size
    return data if at == len(data) else data[:end]


# ---- Perfetto's own reader


class Reader:
    """Answers SQL on trace files. One process serves all tests; a trace is loaded per call."""

    def __init__(self, folder: Path) -> None:
        script = ROOT / "tests" / "perfetto" / "tpq.mjs"
        self._command = ["node", str(script), str(folder)]
        self._process: subprocess.Popen[str] | None = None

    def query(self, trace: Path, *queries: str) -> list[list[tuple[Any, ...]]]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdin and self._process.stdout
        print(json.dumps({"trace": str(trace), "queries": queries}), file=self._process.stdin, flush=True)
        answers = json.loads(self._process.stdout.readline())
        errors = [answer["error"] for answer in answers if "error" in answer]
        if {} in answers:  # it has ended over this trace
            self.close()
            self._process = None
        assert errors == [], errors
        return [[tuple(row) for row in answer["rows"]] for answer in answers]

    def complaints(self, trace: Path) -> list[tuple[Any, ...]]:
        return self.query(trace, "select name, value from stats where value > 0 and severity != 'info'")[0]

    def close(self) -> None:
        if self._process is not None and self._process.stdin:
            self._process.stdin.close()
            self._process.wait(30)


def reader() -> Iterator[Reader]:
    folder = Path(os.environ.get("TRACESMITH_PERFETTO", ROOT / "build" / "perfetto"))
    if shutil.which("node") is None:
        pytest.skip("Perfetto's reader needs node")
    if not (folder / "trace_processor.wasm").exists():
        pytest.skip(f"Perfetto's reader is not in {folder}; .ci/prepare perfetto build/perfetto fetches it")
    made = Reader(folder)
    yield made
    made.close()


# ---- Traces and files that several tests make


def write(trace: ts.Trace, tmp_path: Path, **options: Any) -> Path:
    path = tmp_path / "trace.pftrace"
    export(trace, path, **options)
    return path


def add_gpu(maker: Maker, pid: int = 100, ordinal: int = 0, streams: int = 1, **device: Any) -> list[int]:
    process = maker.row("processes", pid=pid, name=f"python {pid}")
    gpu = maker.row("devices", ordinal=ordinal, **{"name": "NVIDIA H100", "vendor": "NVIDIA", **device})
    return [
        maker.row("streams", process=process, device=gpu, context=1, raw_id=7 + i) for i in range(streams)
    ]


def add_thread(maker: Maker, pid: int = 100, tid: int = 100, name: str = "main") -> int:
    return maker.row(
        "threads", process=maker.row("processes", pid=pid, name=f"python {pid}"), tid=tid, name=name
    )


def summary(events: ts.Events, chosen: np.ndarray, *, kinds: bool) -> list[tuple[Any, ...]]:
    """name, type, count, sum of durations, first and last begin."""
    found: dict[tuple[str, ...], list[int]] = {}
    columns = (events[c][chosen].tolist() for c in ("type", "timestamp", "duration"))
    for name, kind, timestamp, duration in zip(events.names[chosen], *columns, strict=True):
        key = (name, ts.EventType(kind).name) if kinds else (name,)
        row = found.setdefault(key, [0, 0, timestamp, timestamp])
        row[:] = row[0] + 1, row[1] + duration, min(row[2], timestamp), max(row[3], timestamp)
    return sorted((*key, *row) for key, row in found.items())
