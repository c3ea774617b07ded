"""What docs/events.md says of imported Chrome JSON, read back in plain Python: an SBT file's events as
the dicts that stood in the JSON, and the JSON's own in the same form."""

from __future__ import annotations

import gzip
import json
import struct
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from tracesmith import _core
from tracesmith.tables import Tables

TEXT_ID = 0
TABLES = ("processes", "threads", "devices", "streams", "launches")
EXTRA_LAUNCH, EXTRA_METADATA, FLOW_OUT, FLOW_IN = 1 << 3, 2 << 3, 0x80, 0x100
MEM_FREE, RANGE_START, RANGE_END, COUNTER = 16, 18, 19, 25
I64, F64, REF = 1, 2, 4


class Absent:
    """For members that an event does not have."""


def load(path: Path) -> Any:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path) as file:
        return json.loads(file.read(), strict=False, parse_float=Decimal)


def as_bytes(text: str) -> str:
    """As the bindings give a text back: lone surrogates are the bytes of WTF-8."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def plain(value: Any) -> Any:
    if isinstance(value, str):
        return as_bytes(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {as_bytes(key): plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def identity(value: Any, is_tid: bool) -> Any:
    """pid or tid as a number; 0 for a text that is none."""
    if not isinstance(value, str):
        return value
    digits = value[len(value.rstrip("0123456789")) :]
    if digits and (digits == value or is_tid):
        return int(digits)
    return TEXT_ID


def original(event: dict[str, Any]) -> dict[str, Any]:
    made = {key: plain(value) for key, value in event.items()}
    made["ts"] = int(event["ts"] * 1000)
    if "dur" in event:
        made["dur"] = int(event["dur"] * 1000)
    made["pid"], made["tid"] = identity(event.get("pid", 0), False), identity(event.get("tid", 0), True)
    return made


def frozen(event: dict[str, Any]) -> str:
    """Equal for equal events; 1, 1.0 and True differ."""
    return json.dumps(event, sort_keys=True)


class Reader:
    def __init__(self, path: str) -> None:
        self.store = _core.Store(path)
        self.tables = Tables(self.store)
        self.sets: dict[int, dict[str, Any]] = {}
        self.rows = {name: self.as_dicts(name) for name in TABLES}
        notes = self.tables.notes
        self.arrow = json.loads(notes.get("chrome:flow", "[null, null]"))

    def as_dicts(self, name: str) -> list[dict[str, int]]:
        table = self.tables.table(name)
        return [dict(zip(table.dtype.names, row, strict=True)) for row in table.tolist()]

    def text(self, row: int) -> str:
        return self.tables.text(row)

    def metadata(self, row: int) -> dict[str, Any]:
        if row not in self.sets:
            found = self.tables.metadata_of(row)
            self.sets[row] = {key: self.value(value) for key, value in found.items()}
        return self.sets[row]

    @staticmethod
    def value(text: str) -> Any:
        number = text[:1].isdecimal() or text[:1] == "-"
        if text[:1] in ("[", "{", '"') or text in ("true", "false", "null") or number:
            data = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogatepass")
            return plain(json.loads(data, strict=False))
        return text

    def events(self) -> Iterator[dict[str, Any]]:
        for block in range(len(self.store.blocks())):
            events, extensions, rows = self.store.read([block])
            of: dict[int, list[Any]] = {}
            for extension, row in zip(extensions.tolist(), rows.tolist(), strict=True):
                of.setdefault(row, []).append(extension)
            for i, event in enumerate(events.tolist()):
                yield from self.event(dict(zip(events.dtype.names, event, strict=True)), of.get(i, []))

    def event(self, event: dict[str, int], extensions: list[Any]) -> Iterator[dict[str, Any]]:
        made, category, allocation, flows = {}, None, [], []
        args: dict[str, Any] = {}
        for numbers, _, count, schema in extensions:
            values = numbers.tolist()
            name, fields = self.tables.schema_of(schema)
            if name == "allocation":
                allocation = values
            elif name == "flow":
                flows.append((fields, values[:count]))
            elif name.startswith("chrome:"):
                category = name.removeprefix("chrome:")
                for (field, kind), value in zip(fields, values[:count], strict=True):
                    args[field] = number(kind, value)
        track = self.track(event)
        made = {"name": self.text(event["name"]), "ts": event["timestamp"]} | track
        if category is not None:
            launch, row = None, 0
            if event["flags"] & 0x38 == EXTRA_LAUNCH:
                launch = self.rows["launches"][event["extra"]]
                row = launch["metadata"]
            elif event["flags"] & 0x38 == EXTRA_METADATA:
                row = event["extra"]
            yield self.slice(event, made, category, args, self.metadata(row), launch, allocation)
        yield from self.flows(event, made, flows)

    def slice(self, event, made, category, args, metadata, launch, allocation) -> dict[str, Any]:  # noqa: ANN001
        made = dict(made)
        kind = event["type"]
        phase = {RANGE_START: "B", RANGE_END: "E", COUNTER: "C"}.get(kind, "X")
        made["ph"] = metadata.get("chrome:ph", phase)
        if made["ph"] == "X":
            made["dur"] = event["duration"]
        if category:
            made["cat"] = category
        for key, value in metadata.items():
            if not key.startswith("chrome:"):
                args[key] = value
            elif key == "chrome:dur":
                made["dur"] = Absent if value is None else int(Decimal(str(value)) * 1000)
            elif key not in ("chrome:fields", "chrome:ph"):
                made[key.removeprefix("chrome:")] = value
        for field in metadata.get("chrome:fields", ()):
            args[field] = self.field(field, event, launch, allocation)
        if args:
            made["args"] = args
        return {key: value for key, value in made.items() if value is not Absent}

    def field(self, field: str, event: dict[str, int], launch: Any, allocation: list[int]) -> Any:
        stream = self.rows["streams"][event["stream"]]
        bytes_per_ns = event["value"] / event["duration"] if event["duration"] else 0.0
        whole = int(bytes_per_ns) if "." not in f"{bytes_per_ns:.17g}" else bytes_per_ns
        known: dict[str, Any] = {
            "correlation": event["correlation"],
            "device": signed(self.rows["devices"][stream["device"]]["ordinal"]),
            "stream": signed(stream["raw_id"]),
            "context": stream["context"],
            "bytes": event["value"],
            "memory bandwidth (GB/s)": whole,
            "Bytes": -event["value"] if event["type"] == MEM_FREE else event["value"],
            "wait_on_cuda_event_id": event["value"],
        }
        known["External id"] = known["external id"] = event["correlation"]
        if allocation:
            known["Addr"], known["Total Allocated"] = signed(allocation[0]), signed(allocation[1])
        if launch is not None:
            known["grid"] = [launch[f"grid_{axis}"] for axis in "xyz"]
            known["block"] = [launch[f"block_{axis}"] for axis in "xyz"]
            known["shared memory"] = launch["shared_static"] + launch["shared_dynamic"]
            known["registers per thread"] = launch["registers"]
        return known[field]

    def flows(
        self, event: dict[str, int], made: dict[str, Any], flows: list[Any]
    ) -> Iterator[dict[str, Any]]:
        place = {key: made[key] for key in ("ts", "pid", "tid")}
        category, name = self.arrow
        arrow = place | {"cat": category, "name": name, "id": event["correlation"]}
        if event["flags"] & FLOW_OUT:
            yield arrow | {"ph": "s"}
        if event["flags"] & FLOW_IN:
            yield arrow | {"ph": "f", "bp": "e"}
        for fields, values in flows:
            told = {
                field: self.text(value) if kind == REF else value
                for (field, kind), value in zip(fields, values, strict=True)
            }
            flow = place | {"ph": chr(told["phase"]), "id": told["id"], "name": told["name"]}
            if told["category"]:
                flow["cat"] = told["category"]
            if "bp" in told:
                flow |= {"bp": told["bp"]} if told["bp"] else {}
            elif flow["ph"] == "f":
                flow["bp"] = "e"
            yield flow

    def track(self, event: dict[str, int]) -> dict[str, Any]:
        work = event["type"] in (1, 2, 3, 4, 5, 6, 20, 21, 22, 23, 29)
        if event["stream"] and (not event["thread"] or work):
            row = self.rows["streams"][event["stream"]]
            pid = signed(self.rows["devices"][row["device"]]["ordinal"])
            return {"pid": pid, "tid": signed(row["raw_id"])}
        row = self.rows["threads"][event["thread"]]
        process = self.rows["processes"][row["process"]]
        return {"pid": signed(process["pid"]), "tid": signed(row["tid"])}


def number(kind: int, bits: int) -> Any:
    if kind == F64:
        return struct.unpack("<d", struct.pack("<Q", bits))[0]
    return signed(bits) if kind == I64 else bits


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def counted(events: Iterator[dict[str, Any]]) -> Counter[str]:
    return Counter(frozen(event) for event in events)


def differences(original_events: list[dict[str, Any]], sbt: str) -> tuple[list[str], list[str]]:
    """What only the one has and what only the other, M events apart."""
    wanted = counted(original(event) for event in original_events if event.get("ph") != "M")
    found = counted(Reader(sbt).events())
    return list((wanted - found).elements()), list((found - wanted).elements())
